/* logistic.c - [logistic]: y = 1 / (1 + e^-x), with binary cross-entropy when there is truth. The delta is
 * truth - y: the derivative of the logistic is folded in. compat.md 6.18. */
#include "layer.h"

#include <math.h>

static const dn_key keys[] = {{NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)section;
    (void)graph;
    layer->out_w = layer->in_w;
    layer->out_h = layer->in_h;
    layer->out_c = layer->in_c;
    layer->outputs = layer->inputs;
    layer->has_cost = true;
    layer->truths = layer->inputs;
    return DN_OK;
}

/* The logarithms of a saturated y stay finite, as in the reference's GPU build. */
static dn_status loss(const dn_layer *layer, dn_run *run) {
    if (run->truths != layer->inputs)
        return dn_fail(DN_ERROR_DATA, "layer %d [logistic] needs %zu truth values per image, not %zu",
                       layer->index, layer->inputs, run->truths);
    const float least = 1e-7f, *output = run->output[layer->index], *truth = run->truth;
    float *delta = dn_run_delta(run, layer);
    double cost = 0;
    for (size_t i = 0; i < (size_t)run->batch * layer->inputs; ++i) {
        float y = output[i], t = truth[i];
        cost -= (double)(t * logf(y + least) + (1 - t) * logf(1 - y + least));
        if (delta) delta[i] = t - y;
    }
    run->cost[layer->index] = (float)cost;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    size_t total = (size_t)run->batch * layer->outputs;
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, dn_run_input(run, layer), total);
    run->ops->activate(run->device, DN_ACTIVATION_LOGISTIC, output, 1, 1, total);
    return run->truth ? loss(layer, run) : DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

const dn_layer_type dn_type_logistic = {
    .name = "logistic",
    .summary = "values become probabilities, each on its own, with binary cross-entropy",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
