/* local_avgpool.c - [local_avgpool]: the mean of each window, of what lies inside the image. compat.md 20.8.
 */
#include "pool.h"

static const dn_key keys[] = {DN_POOL_KEYS, {NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    dn_pool_shape *shape = layer->settings;
    int padding;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_pool_read(shape, &padding, section));
    return dn_pool_configure(shape, padding, layer, section);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    run->ops->avgpool_forward(run->device, layer->settings, run->batch, dn_run_input(run, layer),
                              run->output[layer->index]);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta)
        run->ops->avgpool_backward(run->device, layer->settings, run->batch, run->delta[layer->index],
                                   input_delta);
    return DN_OK;
}

const dn_layer_type dn_type_local_avgpool = {
    .name = "local_avgpool",
    .aliases = "local_avg",
    .summary = "mean of each window",
    .keys = keys,
    .settings_size = sizeof(dn_pool_shape),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
