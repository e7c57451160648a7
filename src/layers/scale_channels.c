/* scale_channels.c - [scale_channels]: an earlier map times a factor per channel (squeeze-excitation), or per
 * pixel. compat.md 20.8. */
#include "layer.h"

typedef struct scale_channels_settings {
    dn_activation activation;
    bool per_pixel;
} scale_channels_settings;

static const dn_key keys[] = {
    {"from", NULL, "the layer to scale; the previous layer gives the factors"},
    {"scale_wh", "0", "the factors are one per pixel instead of one per channel"},
    {"activation", "linear", "activation function"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    scale_channels_settings *s = layer->settings;
    int reference, index;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&reference, section, "from", -(1 << 20), 1 << 20));
    DN_TRY(dn_layer_reference(&index, layer, section, "from", reference));
    DN_TRY(dn_layer_set_sources(layer, &index, 1));
    DN_TRY(dn_option_flag(&s->per_pixel, section, "scale_wh"));
    DN_TRY(dn_layer_activation(&s->activation, section, "activation"));
    if (dn_activation_needs_pre(s->activation) || dn_activation_across_channels(s->activation))
        return dn_option_error(section, "activation", "is not available in this layer");
    const dn_layer *from = &graph->layers[index];
    int w = s->per_pixel ? from->out_w : 1, h = s->per_pixel ? from->out_h : 1,
        c = s->per_pixel ? 1 : from->out_c;
    if (layer->in_w != w || layer->in_h != h || layer->in_c != c)
        return dn_option_error(section, "from",
                               "layer %d needs factors of %d x %d x %d, but the previous layer gives "
                               "%d x %d x %d",
                               index, w, h, c, layer->in_w, layer->in_h, layer->in_c);
    layer->flops = (double)from->outputs;
    return dn_layer_set_output(layer, section, from->out_w, from->out_h, from->out_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const scale_channels_settings *s = layer->settings;
    size_t pixels = (size_t)layer->out_w * (size_t)layer->out_h;
    run->ops->scale_channels_forward(run->device, dn_run_input(run, layer), run->output[layer->sources[0]],
                                     run->output[layer->index], run->batch, layer->out_c, pixels,
                                     s->per_pixel);
    run->ops->activate(run->device, s->activation, run->output[layer->index], run->batch, layer->out_c,
                       pixels);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const scale_channels_settings *s = layer->settings;
    size_t pixels = (size_t)layer->out_w * (size_t)layer->out_h;
    float *delta = run->delta[layer->index];
    run->ops->activate_gradient(run->device, s->activation, run->output[layer->index], NULL, delta,
                                run->batch, layer->out_c, pixels);
    run->ops->scale_channels_backward(run->device, dn_run_input(run, layer), run->output[layer->sources[0]],
                                      delta, dn_run_input_delta(run, layer), run->delta[layer->sources[0]],
                                      run->batch, layer->out_c, pixels, s->per_pixel);
    return DN_OK;
}

const dn_layer_type dn_type_scale_channels = {
    .name = "scale_channels",
    .summary = "an earlier map times a factor per channel or per pixel",
    .keys = keys,
    .settings_size = sizeof(scale_channels_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
