/* cpu_across.c - normalisation across the channels of each pixel: to length 1, and by local response. A unit
 * of work is a block of pixels of one image; vectors run along the pixels. */
#include "cpu.h"

#include <math.h>

enum { PIXELS = 256 };

typedef struct across {
    const dn_kernels *kernels;
    const float *x;
    float *y, *factor;
    size_t batch, c, s;
    const dn_lrn *lrn;
    void (*body)(const struct across *op, size_t at, size_t count); /* pixels at .. of every plane */
} across;

static void across_task(void *context, int part, int parts) {
    const across *op = context;
    const size_t blocks = (op->s + PIXELS - 1) / PIXELS;
    size_t begin, end;
    dn_pool_slice(op->batch * blocks, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        const size_t first = unit % blocks * PIXELS;
        op->body(op, unit / blocks * op->c * op->s + first, dn_min_size(PIXELS, op->s - first));
    }
}

/* 0 stays 0: its factor is 1, as in the reference's GPU build. */
static float reciprocal_length(float squares) {
    return squares == 0 ? 1 : 1 / sqrtf(squares);
}

static void l2norm_body(const across *op, size_t at, size_t count) {
    float factor[PIXELS] = {0};
    const float *x = op->x + at;
    float *y = op->y + at;
    if (op->s == 1) { /* vectors run along the channels */
        float scale = reciprocal_length((float)op->kernels->dot(x, x, op->c));
        for (size_t k = 0; k < op->c; ++k) y[k] = scale * x[k];
        return;
    }
    for (size_t k = 0; k < op->c; ++k) op->kernels->multiply_add(factor, x + k * op->s, x + k * op->s, count);
    for (size_t i = 0; i < count; ++i) factor[i] = reciprocal_length(factor[i]);
    for (size_t k = 0; k < op->c; ++k) op->kernels->multiply(y + k * op->s, x + k * op->s, factor, count);
}

void dn_cpu_l2norm(dn_device *device, const float *x, float *y, int batch, int c, size_t s) {
    across op = {.kernels = device->kernels,
                 .x = x,
                 .y = y,
                 .batch = (size_t)batch,
                 .c = (size_t)c,
                 .s = s,
                 .body = l2norm_body};
    dn_cpu_parallel(device, op.batch * op.c * s, across_task, &op);
}

static void lrn_body(const across *op, size_t at, size_t count) {
    op->kernels->lrn(op->lrn, (int)op->c, op->s, count, op->x + at, op->y + at,
                     op->factor ? op->factor + at : NULL);
}

void dn_cpu_lrn(dn_device *device, const dn_lrn *lrn, const float *x, float *y, float *factor, int batch,
                int c, size_t s) {
    across op = {.kernels = device->kernels,
                 .x = x,
                 .y = y,
                 .factor = factor,
                 .batch = (size_t)batch,
                 .c = (size_t)c,
                 .s = s,
                 .lrn = lrn,
                 .body = lrn_body};
    dn_cpu_parallel(device, op.batch * op.c * s * 8, across_task, &op); /* a power costs some passes */
}
