/* maxpool.c - [maxpool]: the largest value of each window; outside the image counts as -infinity.
 * compat.md 6.6, 20.8. */
#include "blur.h"
#include "pool.h"

typedef struct maxpool_settings {
    dn_pool_shape shape;
    dn_blur blur;
    size_t sharp; /* floats per image before the blur; without one, the output */
    bool depth;   /* over channels instead of windows */
} maxpool_settings;

static const dn_key keys[] = {
    DN_POOL_KEYS,
    {"maxpool_depth", "0", "take the largest over channels g, g + out_channels, ... at each pixel"},
    {"antialiasing", "0", "run at stride 1, then blur with the stride: 1 by 3x3, 2 by 2x2"},
    {"out_channels", "1", "channels left by maxpool_depth"},
    {NULL, NULL, NULL},
};

static dn_status configure_depth(dn_layer *layer, dn_section *section, maxpool_settings *s) {
    int out_c;
    DN_TRY(dn_option_int(&out_c, section, "out_channels", 1, 1 << 24));
    if (out_c > layer->in_c)
        return dn_option_error(section, "out_channels", "%d is more than the %d input channels", out_c,
                               layer->in_c);
    s->shape = (dn_pool_shape){.c = layer->in_c, .h = layer->in_h, .w = layer->in_w};
    layer->saved_per_image = (size_t)layer->in_w * (size_t)layer->in_h * (size_t)out_c; /* argmax */
    return dn_layer_set_output(layer, section, layer->in_w, layer->in_h, out_c);
}

static dn_status configure(dn_layer *layer, dn_section *section, const dn_graph *graph) {
    (void)graph;
    maxpool_settings *s = layer->settings;
    dn_pool_shape *shape = &s->shape;
    int padding;
    DN_TRY(dn_layer_needs_image(layer, section));
    DN_TRY(dn_pool_read(shape, &padding, section));
    DN_TRY(dn_blur_read(&s->blur, section, &shape->stride_y, &shape->stride_x));
    DN_TRY(dn_option_flag(&s->depth, section, "maxpool_depth"));
    if (s->depth && s->blur.kind)
        return dn_option_error(section, "antialiasing", "is not available together with maxpool_depth");
    if (s->depth) return configure_depth(layer, section, s);
    DN_TRY(dn_pool_configure(shape, padding, layer, section));
    s->sharp = layer->outputs;
    layer->saved_per_image = s->sharp; /* argmax */
    if (!s->blur.kind) return DN_OK;
    layer->saved_per_image += s->sharp; /* delta before the blur */
    DN_TRY(dn_blur_configure(&s->blur, section, layer->in_c, s->shape.out_h, s->shape.out_w));
    return dn_layer_set_output(layer, section, s->blur.shape.out_w, s->blur.shape.out_h, layer->in_c);
}

/* The blur's own, then the map before it. */
static size_t scratch(const dn_layer *layer, const dn_ops *ops, dn_device *device, int batch, bool train) {
    (void)train;
    const maxpool_settings *s = layer->settings;
    if (!s->blur.kind) return 0;
    return dn_round_up(dn_blur_scratch(&s->blur, ops, device, batch), 16) + (size_t)batch * s->sharp;
}

static float *sharp_map(const maxpool_settings *s, const dn_run *run) {
    return run->scratch + dn_round_up(dn_blur_scratch(&s->blur, run->ops, run->device, run->batch), 16);
}

static dn_status forward(const dn_layer *layer, dn_run *run) {
    const maxpool_settings *s = layer->settings;
    const float *input = dn_run_input(run, layer);
    float *output = run->output[layer->index];
    int32_t *argmax = run->train ? (int32_t *)(void *)run->saved[layer->index] : NULL;
    if (s->depth)
        run->ops->maxpool_depth_forward(run->device, run->batch, layer->in_c, layer->out_c,
                                        (size_t)layer->out_w * (size_t)layer->out_h, input, output, argmax);
    else
        run->ops->maxpool_forward(run->device, &s->shape, run->batch, input,
                                  s->blur.kind ? sharp_map(s, run) : output, argmax);
    if (s->blur.kind) dn_blur_forward(&s->blur, run, sharp_map(s, run), output, run->scratch);
    return DN_OK;
}

static dn_status backward(const dn_layer *layer, dn_run *run) {
    const maxpool_settings *s = layer->settings;
    float *input_delta = dn_run_input_delta(run, layer);
    const int32_t *argmax = (const int32_t *)(const void *)run->saved[layer->index];
    const float *delta = run->delta[layer->index];
    if (!input_delta) return DN_OK;
    if (s->blur.kind) {
        float *sharp_delta = run->saved[layer->index] + (size_t)run->batch * s->sharp;
        dn_blur_backward(&s->blur, run, delta, sharp_delta, run->scratch);
        delta = sharp_delta;
    }
    if (s->depth && run->overwrite)
        run->ops->fill(run->device, input_delta, 0, (size_t)run->batch * layer->inputs);
    if (s->depth)
        run->ops->maxpool_depth_backward(run->device, run->batch, layer->in_c, layer->out_c,
                                         (size_t)layer->out_w * (size_t)layer->out_h, argmax, delta,
                                         input_delta);
    else
        run->ops->maxpool_backward(run->device, &s->shape, run->batch, argmax, delta, input_delta,
                                   !run->overwrite);
    return DN_OK;
}

static void lower(const dn_layer *layer, dn_lowered *out) {
    const maxpool_settings *s = layer->settings;
    if (!s->depth && !s->blur.kind) *out = (dn_lowered){.kind = DN_LOWERED_MAXPOOL, .windows = s->shape};
}

const dn_layer_type dn_type_maxpool = {
    .name = "maxpool",
    .aliases = "max",
    .summary = "largest value of each window",
    .keys = keys,
    .settings_size = sizeof(maxpool_settings),
    .configure = configure,
    .scratch = scratch,
    .overwrites = true,
    .forward = forward,
    .backward = backward,
    .lower = lower,
};
