/* l2norm.c - [l2norm]: the channels of every pixel as a vector of length 1; of length 0 where they all are.
 * The backward pass hands the delta on as it is, as the reference's CPU build does: no true derivative.
 * compat.md 6.19. */
#include "layer.h"

static const dn_key keys[] = {{NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    DN_TRY(dn_layer_needs_image(layer, section));
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    run->ops->l2norm(run->device, dn_run_input(run, layer), run->output[layer->index], run->batch,
                     layer->in_c, (size_t)layer->in_w * (size_t)layer->in_h);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

const dn_layer_type dn_type_l2norm = {
    .name = "l2norm",
    .summary = "scales the channels of every pixel to a vector of length 1",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
