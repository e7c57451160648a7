/* avgpool.c - [avgpool]: the mean of each channel. compat.md 6.7. */
#include "layer.h"

static const dn_key keys[] = {{NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    DN_TRY(dn_layer_needs_image(layer, section));
    return dn_layer_set_output(layer, section, 1, 1, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    run->ops->mean_forward(run->device, dn_run_input(run, layer), run->output[layer->index],
                           (size_t)run->batch * (size_t)layer->in_c,
                           (size_t)layer->in_w * (size_t)layer->in_h);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta)
        run->ops->mean_backward(run->device, run->delta[layer->index], input_delta,
                                (size_t)run->batch * (size_t)layer->in_c,
                                (size_t)layer->in_w * (size_t)layer->in_h);
    return DN_OK;
}

const dn_layer_type dn_type_avgpool = {
    .name = "avgpool",
    .aliases = "avg",
    .summary = "mean of each channel over the whole map",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
