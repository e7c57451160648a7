/* dropout.c - [dropout]: in training each value is zeroed with a probability, the others scaled up; otherwise
 * the identity. Works in the previous layer's buffers, so layers that refer to it see the dropped values.
 * compat.md 6.9. */
#include "layer.h"

typedef struct dropout_settings {
    float probability;
} dropout_settings;

static const dn_key keys[] = {
    {"probability", "0.5", "share of values that are dropped"},
    {"dropblock", "0", "drop square blocks (accepted; plain dropout is done, as in the fork's CPU build)"},
    {"dropblock_size_rel", NULL, "side of a block relative to the map (no effect)"},
    {"dropblock_size_abs", NULL, "side of a block (no effect)"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    dropout_settings *s = layer->settings;
    DN_TRY(dn_option_float(&s->probability, section, "probability", 0, 1));
    if (s->probability == 1) return dn_option_error(section, "probability", "1 would drop everything");
    for (const dn_key *key = keys + 1; key->name; ++key) (void)dn_option_text(section, key->name);
    layer->in_place = layer->index > 0; /* the network's input is not ours to change */
    layer->out_w = layer->in_w;
    layer->out_h = layer->in_h;
    layer->out_c = layer->in_c;
    layer->outputs = layer->inputs;
    layer->saved_per_image = layer->inputs; /* mask */
    return DN_OK;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const dropout_settings *s = layer->settings;
    if (!layer->in_place)
        run->ops->copy(run->device, run->output[0], run->input, (size_t)run->batch * layer->outputs);
    if (run->train)
        run->ops->dropout(run->device, run->output[layer->index], run->saved[layer->index],
                          (size_t)run->batch * layer->outputs, s->probability, run->seed,
                          (uint64_t)layer->index + 1, run->step);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    float *delta = run->delta[layer->index];
    size_t total = (size_t)run->batch * layer->outputs;
    run->ops->multiply(run->device, delta, run->saved[layer->index], total);
    if (!layer->in_place && run->input_delta) run->ops->axpy(run->device, run->input_delta, 1, delta, total);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    if (layer->in_place) *out = (dn_lowered){.kind = DN_LOWERED_ALIAS, .source = layer->index - 1};
}

const dn_layer_type dn_type_dropout = {
    .name = "dropout",
    .summary = "zeroes random values in training",
    .keys = keys,
    .settings_size = sizeof(dropout_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
