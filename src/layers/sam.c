/* sam.c - [sam]: the previous layer times an earlier one, element by element (spatial attention). compat.md
 * 20.8. */
#include "layer.h"

typedef struct sam_settings {
    dn_activation activation;
} sam_settings;

static const dn_key keys[] = {
    {"from", NULL, "the layer to multiply by; of the same shape"},
    {"activation", "linear", "activation function"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    sam_settings *s = layer->settings;
    int reference, index;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&reference, section, "from", -(1 << 20), 1 << 20));
    DN_TRY(dn_layer_reference(&index, layer, section, "from", reference));
    DN_TRY(dn_layer_set_sources(layer, &index, 1));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    if (dn_activation_needs_pre(s->activation) || dn_activation_across_channels(s->activation))
        return dn_option_error(section, "activation", "is not available in this layer");
    const dn_layer *from = &graph->layers[index];
    if (from->out_w != layer->in_w || from->out_h != layer->in_h || from->out_c != layer->in_c)
        return dn_option_error(section, "from",
                               "layer %d is %d x %d x %d, but the previous layer is %d x %d x %d", index,
                               from->out_w, from->out_h, from->out_c, layer->in_w, layer->in_h, layer->in_c);
    layer->flops = (double)from->outputs;
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const sam_settings *s = layer->settings;
    size_t total = (size_t)run->batch * layer->outputs;
    float *output = run->output[layer->index];
    run->ops->copy(run->device, output, dn_run_input(run, layer), total);
    run->ops->multiply(run->device, output, run->output[layer->sources[0]], total);
    run->ops->activate(run->device, s->activation, output, 1, 1, total);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const sam_settings *s = layer->settings;
    size_t total = (size_t)run->batch * layer->outputs;
    int from = layer->sources[0];
    float *delta = run->delta[layer->index];
    run->ops->activate_gradient(run->device, s->activation, run->output[layer->index], NULL, delta, 1, 1,
                                total);
    run->ops->multiply_add(run->device, dn_run_input_delta(run, layer), delta, run->output[from], total);
    run->ops->multiply_add(run->device, run->delta[from], delta, dn_run_input(run, layer), total);
    return DN_OK;
}

const dn_layer_type dn_type_sam = {
    .name = "sam",
    .summary = "the previous layer times an earlier one, element by element",
    .keys = keys,
    .settings_size = sizeof(sam_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
