/* upsample.c - [upsample]: nearest neighbour; a negative stride sums blocks instead. compat.md 6.15. */
#include "layer.h"

#include <limits.h>
#include <stdlib.h>

typedef struct upsample_settings {
    int stride; /* magnitude */
    bool reverse;
    float scale;
} upsample_settings;

static const dn_key keys[] = {
    {"stride", "2", "factor; negative: sums blocks of that size"},
    {"scale", "1", "multiplies the values"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    upsample_settings *s = layer->settings;
    int stride;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&stride, section, "stride", -1024, 1024));
    DN_TRY(dn_option_float(&s->scale, section, "scale", -1e30f, 1e30f));
    if (stride == 0) return dn_option_error(section, "stride", "must not be 0");
    s->stride = abs(stride);
    s->reverse = stride < 0;
    if (!s->reverse && dn_max_int(layer->in_w, layer->in_h) > INT_MAX / s->stride)
        return dn_option_error(section, "stride", "%d times %d x %d is too large", s->stride, layer->in_w,
                               layer->in_h);
    if (!s->reverse)
        return dn_layer_set_output(layer, section, layer->in_w * s->stride, layer->in_h * s->stride,
                                   layer->in_c);
    if (layer->in_w % s->stride || layer->in_h % s->stride)
        return dn_option_error(section, "stride", "%d must divide the input's %d x %d", s->stride,
                               layer->in_w, layer->in_h);
    return dn_layer_set_output(layer, section, layer->in_w / s->stride, layer->in_h / s->stride, layer->in_c);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const upsample_settings *s = layer->settings;
    size_t planes = (size_t)run->batch * (size_t)layer->in_c;
    if (s->reverse)
        run->ops->reduce(run->device, dn_run_input(run, layer), run->output[layer->index], planes,
                         layer->out_h, layer->out_w, s->stride, s->scale, false);
    else
        run->ops->expand(run->device, dn_run_input(run, layer), run->output[layer->index], planes,
                         layer->in_h, layer->in_w, s->stride, s->scale, false);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const upsample_settings *s = layer->settings;
    size_t planes = (size_t)run->batch * (size_t)layer->in_c;
    float *input_delta = dn_run_input_delta(run, layer);
    if (!input_delta) return DN_OK;
    if (s->reverse)
        run->ops->expand(run->device, run->delta[layer->index], input_delta, planes, layer->out_h,
                         layer->out_w, s->stride, s->scale, true);
    else
        run->ops->reduce(run->device, run->delta[layer->index], input_delta, planes, layer->in_h, layer->in_w,
                         s->stride, s->scale, true);
    return DN_OK;
}

const dn_layer_type dn_type_upsample = {
    .name = "upsample",
    .summary = "repeats pixels, or sums blocks of them",
    .keys = keys,
    .settings_size = sizeof(upsample_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
