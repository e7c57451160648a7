/* cpu_activate.c - activations over the threads, and the kinds that look across the channels of a pixel
 * (compat.md 20.1), which flat kernels can't do. */
#include "cpu.h"

#include <math.h>

enum { ACTIVATE_GRAIN = 1024, PIXELS = 64 /* a block of pixels whose sums stay in the first cache */ };

typedef struct activation {
    const dn_kernels *kernels;
    dn_activation kind;
    float *x; /* or delta */
    const float *y, *pre;
    size_t batch, c, s;
} activation;

static bool across_channels(dn_activation kind) {
    return kind == DN_ACTIVATION_NORMALIZE_CHANNELS || kind == DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX ||
           kind == DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL;
}

static void activate_task(void *context, int part, int parts) {
    const activation *op = context;
    size_t begin, end;
    dn_pool_slice(op->batch * op->c * op->s, ACTIVATE_GRAIN, part, parts, &begin, &end);
    if (begin < end) op->kernels->activate(op->kind, op->x + begin, end - begin);
}

static void gradient_task(void *context, int part, int parts) {
    const activation *op = context;
    size_t begin, end;
    dn_pool_slice(op->batch * op->c * op->s, ACTIVATE_GRAIN, part, parts, &begin, &end);
    if (begin < end)
        op->kernels->activate_gradient(op->kind, op->y + begin, op->pre ? op->pre + begin : NULL,
                                       op->x + begin, end - begin);
}

/* ---- across channels: `pixels` columns of x[c][s] ---- */

static void normalize_positive(float *x, size_t c, size_t s, size_t pixels) {
    float sum[PIXELS];
    for (size_t i = 0; i < pixels; ++i) sum[i] = 1e-4f;
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i) sum[i] += x[k * s + i] > 0 ? x[k * s + i] : 0;
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i) x[k * s + i] = x[k * s + i] <= 0 ? 0 : x[k * s + i] / sum[i];
}

static void normalize_exponentials(float *x, size_t c, size_t s, size_t pixels, bool subtract_largest) {
    float largest[PIXELS], sum[PIXELS];
    for (size_t i = 0; i < pixels; ++i) {
        largest[i] = subtract_largest ? x[i] : 0;
        sum[i] = 1e-4f;
    }
    for (size_t k = 1; k < c && subtract_largest; ++k)
        for (size_t i = 0; i < pixels; ++i)
            largest[i] = x[k * s + i] > largest[i] ? x[k * s + i] : largest[i];
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i) {
            x[k * s + i] = expf(x[k * s + i] - largest[i]);
            sum[i] += x[k * s + i];
        }
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i) x[k * s + i] /= sum[i];
}

/* delta *= sum over channels of y delta, for the plain kind only where y > 0 */
static void normalize_gradient(const float *y, float *delta, size_t c, size_t s, size_t pixels,
                               bool positive_only) {
    float sum[PIXELS] = {0};
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i) sum[i] += y[k * s + i] * delta[k * s + i];
    for (size_t k = 0; k < c; ++k)
        for (size_t i = 0; i < pixels; ++i)
            delta[k * s + i] *= !positive_only || y[k * s + i] > 0 ? sum[i] : 1.0f;
}

static void channels_task(void *context, int part, int parts) {
    const activation *op = context;
    size_t blocks = (op->s + PIXELS - 1) / PIXELS, begin, end;
    dn_pool_slice(op->batch * blocks, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        size_t first = unit % blocks * PIXELS, pixels = dn_min_size(PIXELS, op->s - first);
        size_t at = unit / blocks * op->c * op->s + first;
        bool plain = op->kind == DN_ACTIVATION_NORMALIZE_CHANNELS;
        if (op->y)
            normalize_gradient(op->y + at, op->x + at, op->c, op->s, pixels, plain);
        else if (plain)
            normalize_positive(op->x + at, op->c, op->s, pixels);
        else
            normalize_exponentials(op->x + at, op->c, op->s, pixels,
                                   op->kind == DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL);
    }
}

void dn_cpu_activate(dn_device *device, dn_activation kind, float *x, int batch, int c, size_t s) {
    if (kind == DN_ACTIVATION_LINEAR) return;
    activation op = {device->kernels, kind, x, NULL, NULL, (size_t)batch, (size_t)c, s};
    dn_cpu_parallel(device, op.batch * op.c * s, across_channels(kind) ? channels_task : activate_task, &op);
}

void dn_cpu_activate_gradient(dn_device *device, dn_activation kind, const float *y, const float *pre,
                              float *delta, int batch, int c, size_t s) {
    if (kind == DN_ACTIVATION_LINEAR) return;
    activation op = {device->kernels, kind, delta, y, pre, (size_t)batch, (size_t)c, s};
    dn_cpu_parallel(device, op.batch * op.c * s, across_channels(kind) ? channels_task : gradient_task, &op);
}
