/* blur.c - the blur of antialiased layers, as a depthwise convolution with fixed weights. */
#include "blur.h"

#include <string.h>

dn_status dn_blur_read(dn_blur *blur, dn_section *section, int *stride_y, int *stride_x) {
    DN_TRY(dn_option_int(&blur->kind, section, "antialiasing", 0, 2));
    if (*stride_y == 1 && *stride_x == 1) blur->kind = 0;
    if (!blur->kind) return DN_OK;
    blur->shape.stride_y = *stride_y;
    blur->shape.stride_x = *stride_x;
    *stride_y = *stride_x = 1;
    return DN_OK;
}

dn_status dn_blur_configure(dn_blur *blur, const dn_section *section, int c, int h, int w) {
    dn_conv_shape *shape = &blur->shape;
    if (!blur->kind) return DN_OK;
    shape->in_c = shape->out_c = shape->groups = c;
    shape->in_h = h;
    shape->in_w = w;
    shape->size = blur->kind == 1 ? 3 : 2;
    shape->pad = blur->kind == 1 ? 1 : 0;
    shape->dilation = 1;
    if (w + 2 * shape->pad < shape->size || h + 2 * shape->pad < shape->size)
        return dn_option_error(section, "antialiasing", "a map of %d x %d is too small to blur", w, h);
    shape->out_h = (h + 2 * shape->pad - shape->size) / shape->stride_y + 1;
    shape->out_w = (w + 2 * shape->pad - shape->size) / shape->stride_x + 1;
    return DN_OK;
}

static size_t weight_count(const dn_blur *blur) {
    return dn_round_up((size_t)blur->shape.in_c * (size_t)(blur->shape.size * blur->shape.size), 16);
}

size_t dn_blur_scratch(const dn_blur *blur, const dn_ops *ops, dn_device *device, int batch) {
    return blur->kind ? weight_count(blur) + ops->conv_scratch(device, &blur->shape, batch) : 0;
}

/* The same kernel for every channel, written before each use: it is small beside the map it blurs. */
static void fill_weights(const dn_blur *blur, float *weights) {
    static const float binomial[9] = {1 / 16.f, 2 / 16.f, 1 / 16.f, 2 / 16.f, 4 / 16.f,
                                      2 / 16.f, 1 / 16.f, 2 / 16.f, 1 / 16.f};
    static const float mean[4] = {1 / 4.f, 1 / 4.f, 1 / 4.f, 1 / 4.f};
    const float *taps = blur->kind == 1 ? binomial : mean;
    size_t count = blur->kind == 1 ? DN_COUNT(binomial) : DN_COUNT(mean);
    for (int c = 0; c < blur->shape.in_c; ++c)
        memcpy(weights + (size_t)c * count, taps, count * sizeof *taps);
}

void dn_blur_forward(const dn_blur *blur, const dn_run *run, const float *x, float *y, float *scratch) {
    fill_weights(blur, scratch);
    run->ops->conv_forward(run->device, &blur->shape, run->batch, x, scratch, y,
                           scratch + weight_count(blur));
}

void dn_blur_backward(const dn_blur *blur, const dn_run *run, const float *dy, float *dx, float *scratch) {
    fill_weights(blur, scratch);
    run->ops->conv_data_gradient(run->device, &blur->shape, run->batch, scratch, dy, dx, false,
                                 scratch + weight_count(blur));
}
