/* activation.c - [activation]: y = f(x). compat.md 6.20. */
#include "layer.h"

typedef struct activation_settings {
    dn_activation activation;
} activation_settings;

static const dn_key keys[] = {
    {"activation", "linear", "activation function"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    activation_settings *s = layer->settings;
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    layer->out_w = layer->in_w;
    layer->out_h = layer->in_h;
    layer->out_c = layer->in_c;
    layer->outputs = layer->inputs;
    return DN_OK;
}

/* Channels and pixels; a plain vector is all channels. */
static int channels(const dn_layer *layer) {
    return layer->in_c ? layer->in_c : (int)layer->inputs;
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const activation_settings *s = layer->settings;
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, dn_run_input(run, layer), (size_t)run->batch * layer->outputs);
    run->ops->activate(run->device, s->activation, output, run->batch, channels(layer),
                       layer->outputs / (size_t)channels(layer));
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const activation_settings *s = layer->settings;
    float *delta = run->delta[layer->index];
    run->ops->activate_gradient(run->device, s->activation, run->output[layer->index],
                                dn_run_input(run, layer), delta, run->batch, channels(layer),
                                layer->outputs / (size_t)channels(layer));
    dn_run_pass_delta(run, layer, 1);
    return DN_OK;
}

const dn_layer_type dn_type_activation = {
    .name = "activation",
    .summary = "applies an activation function",
    .keys = keys,
    .settings_size = sizeof(activation_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
