/* reorg.c - [reorg]: the fixed permutation that YOLOv2's passthrough layer depends on. It is not
 * space-to-depth; see compat.md 6.14 for the literal rule. */
#include "layer.h"

#include <limits.h>

typedef struct reorg_settings {
    int stride, extra;
    bool reverse, flatten;
} reorg_settings;

static const dn_key keys[] = {
    {"stride", "1", "side of the blocks"},
    {"reverse", "0", "the other direction: fewer channels, larger map"},
    {"flatten", "0", "exchange channel-major and pixel-major order instead"},
    {"extra", "0", "append this many zeros; the output is a plain vector"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    reorg_settings *s = layer->settings;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->stride, section, "stride", 1, 1024));
    DN_TRY(dn_option_flag(&s->reverse, section, "reverse"));
    DN_TRY(dn_option_flag(&s->flatten, section, "flatten"));
    DN_TRY(dn_option_int(&s->extra, section, "extra", 0, 1 << 28));
    if (s->extra) {
        if (layer->inputs + (size_t)s->extra > INT_MAX)
            return dn_option_error(section, "extra", "%d is too large", s->extra);
        layer->outputs = layer->inputs + (size_t)s->extra;
        return DN_OK;
    }
    int stride = s->stride, block = stride * stride;
    if (layer->in_c % block && (s->reverse || !s->flatten))
        return dn_option_error(section, "stride", "%d squared must divide the %d channels", stride,
                               layer->in_c);
    if (!s->reverse && (layer->in_w % stride || layer->in_h % stride))
        return dn_option_error(section, "stride", "%d must divide the input's %d x %d", stride, layer->in_w,
                               layer->in_h);
    if (s->reverse)
        return dn_layer_set_output(layer, section, layer->in_w * stride, layer->in_h * stride,
                                   layer->in_c / block);
    return dn_layer_set_output(layer, section, layer->in_w / stride, layer->in_h / stride,
                               layer->in_c * block);
}

/* y (adds) the permutation of x, or with `back` its inverse. */
static void permute(const dn_layer *layer, dn_run *run, const float *x, float *y, bool back) {
    const reorg_settings *s = layer->settings;
    size_t pixels = (size_t)layer->in_w * (size_t)layer->in_h;
    bool reverse = s->reverse != back;
    if (s->extra)
        run->ops->copy_rows(run->device, y, back ? layer->inputs : layer->outputs, x,
                            back ? layer->outputs : layer->inputs, (size_t)run->batch, layer->inputs, back);
    else if (s->flatten)
        run->ops->transpose(run->device, x, y, run->batch, reverse ? (int)pixels : layer->in_c,
                            reverse ? (size_t)layer->in_c : pixels, back);
    else
        run->ops->reorg(run->device, x, y, run->batch, layer->in_c, layer->in_h, layer->in_w, s->stride,
                        reverse, back);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const reorg_settings *s = layer->settings;
    float *output = run->output[layer->index];
    if (s->extra) run->ops->fill(run->device, output, 0, (size_t)run->batch * layer->outputs);
    permute(layer, run, dn_run_input(run, layer), output, false);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta) permute(layer, run, run->delta[layer->index], input_delta, true);
    return DN_OK;
}

const dn_layer_type dn_type_reorg = {
    .name = "reorg",
    .summary = "the reference's permutation between space and channels",
    .keys = keys,
    .settings_size = sizeof(reorg_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
