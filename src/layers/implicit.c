/* implicit.c - [implicit]: learned values that depend on no input (Wang et al. 2021, "You Only Learn One
 * Representation"), the same for every image. compat.md 20.8. */
#include "layer.h"

static const dn_key keys[] = {
    {"filters", "128", "channels of the output"},
    {"atoms", "1", "rows of the output"},
    {"mean", "0", "mean of the initial values"},
    {"std", "0.2", "largest distance of the initial values from it"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    int filters, atoms;
    dn_param *param;
    DN_TRY(dn_option_int(&filters, section, "filters", 1, 1 << 24));
    DN_TRY(dn_option_int(&atoms, section, "atoms", 1, 1 << 24));
    DN_TRY(dn_layer_set_output(layer, section, 1, atoms, filters));
    DN_TRY(dn_layer_add_param(layer, &param, "weights", DN_PARAM_WEIGHT, filters, atoms, 0, 0));
    DN_TRY(dn_option_float(&param->center, section, "mean", -1e6f, 1e6f));
    DN_TRY(dn_option_float(&param->spread, section, "std", 0, 1e6f));
    layer->reads_previous = false;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    float *output = run->output[layer->index];
    run->ops->fill(run->device, output, 0, (size_t)run->batch * layer->outputs);
    run->ops->bias_add(run->device, output, dn_run_param(run, layer, 0), run->batch, (int)layer->outputs, 1);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    run->ops->bias_gradient(run->device, dn_run_gradient(run, layer, 0), run->delta[layer->index], run->batch,
                            (int)layer->outputs, 1);
    return DN_OK;
}

const dn_layer_type dn_type_implicit = {
    .name = "implicit",
    .summary = "learned values, the same for every image",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
