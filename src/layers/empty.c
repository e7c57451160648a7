/* empty.c - [empty]: the previous layer's output under another index. compat.md 20.8. */
#include "layer.h"

static const dn_key keys[] = {{NULL, NULL, NULL}};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)section;
    (void)graph;
    layer->in_place = layer->index > 0; /* the network's input is not ours to share */
    layer->out_w = layer->in_w;
    layer->out_h = layer->in_h;
    layer->out_c = layer->in_c;
    layer->outputs = layer->inputs;
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    if (!layer->in_place)
        run->ops->copy(run->device, run->output[0], run->input, (size_t)run->batch * layer->outputs);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    if (!layer->in_place && run->input_delta)
        run->ops->axpy(run->device, run->input_delta, 1, run->delta[0], (size_t)run->batch * layer->outputs);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    if (layer->in_place) *out = (dn_lowered){.kind = DN_LOWERED_ALIAS, .source = layer->index - 1};
}

const dn_layer_type dn_type_empty = {
    .name = "empty",
    .aliases = "silence",
    .summary = "passes the previous layer on",
    .keys = keys,
    .configure = configure,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
