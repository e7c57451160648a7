/* reorg3d.c - [reorg3d]: space to depth, as the fork corrected [reorg]: the reference's permutation with the
 * output's dimensions. So reverse=1 is not the way back; it is what the fork computes. compat.md 6.14. */
#include "layer.h"

typedef struct reorg3d_settings {
    int stride;
    bool reverse;
} reorg3d_settings;

static const dn_key keys[] = {
    {"stride", "1", "side of the blocks"},
    {"reverse", "0", "fewer channels, larger map; not the inverse"},
    {NULL, NULL, NULL},
};

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    reorg3d_settings *s = layer->settings;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_option_int(&s->stride, section, "stride", 1, 1024));
    DN_TRY(dn_option_flag(&s->reverse, section, "reverse"));
    int stride = s->stride, block = stride * stride;
    if (s->reverse) {
        /* The channels that are left are divided once more. */
        if (layer->in_c % block || layer->in_c / block % block)
            return dn_option_error(section, "stride", "%d to the fourth must divide the %d channels", stride,
                                   layer->in_c);
        return dn_layer_set_output(layer, section, layer->in_w * stride, layer->in_h * stride,
                                   layer->in_c / block);
    }
    if (layer->in_w % stride || layer->in_h % stride)
        return dn_option_error(section, "stride", "%d must divide the input's %d x %d", stride, layer->in_w,
                               layer->in_h);
    return dn_layer_set_output(layer, section, layer->in_w / stride, layer->in_h / stride,
                               layer->in_c * block);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const reorg3d_settings *s = layer->settings;
    run->ops->reorg(run->device, dn_run_input(run, layer), run->output[layer->index], run->batch,
                    layer->out_c, layer->out_h, layer->out_w, s->stride, s->reverse, false);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const reorg3d_settings *s = layer->settings;
    float *input_delta = dn_run_input_delta(run, layer);
    if (input_delta)
        run->ops->reorg(run->device, run->delta[layer->index], input_delta, run->batch, layer->out_c,
                        layer->out_h, layer->out_w, s->stride, !s->reverse, true);
    return DN_OK;
}

const dn_layer_type dn_type_reorg3d = {
    .name = "reorg3d",
    .summary = "blocks of pixels become channels",
    .keys = keys,
    .settings_size = sizeof(reorg3d_settings),
    .configure = configure,
    .forward = forward,
    .backward = backward,
};
