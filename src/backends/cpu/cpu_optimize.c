/* cpu_optimize.c - optimiser steps and clamping of parameters, sliced over the threads. */
#include "cpu.h"

enum { OPTIMIZE_GRAIN = 1024 };

typedef struct optimize {
    const dn_kernels *kernels;
    float *w, *g, *m, *v;
    size_t count;
    float rate, momentum, decay, b1, b2, eps, correction1, correction2, limit;
} optimize;

static void sgd_task(void *context, int part, int parts) {
    const optimize *op = context;
    size_t begin, end;
    dn_pool_slice(op->count, OPTIMIZE_GRAIN, part, parts, &begin, &end);
    if (begin < end)
        op->kernels->sgd(op->w + begin, op->g + begin, end - begin, op->rate, op->momentum, op->decay);
}

void dn_cpu_sgd(dn_device *device, float *w, float *g, size_t count, float rate, float momentum,
                float decay) {
    optimize op = {.kernels = device->kernels,
                   .w = w,
                   .g = g,
                   .count = count,
                   .rate = rate,
                   .momentum = momentum,
                   .decay = decay};
    dn_cpu_parallel(device, count, sgd_task, &op);
}

static void adam_task(void *context, int part, int parts) {
    const optimize *op = context;
    size_t begin, end;
    dn_pool_slice(op->count, OPTIMIZE_GRAIN, part, parts, &begin, &end);
    if (begin < end)
        op->kernels->adam(op->w + begin, op->g + begin, op->m + begin, op->v + begin, end - begin, op->rate,
                          op->b1, op->b2, op->eps, op->decay, op->correction1, op->correction2);
}

void dn_cpu_adam(dn_device *device, float *w, float *g, float *m, float *v, size_t count, float rate,
                 float b1, float b2, float eps, float decay, float correction1, float correction2) {
    optimize op = {.kernels = device->kernels,
                   .w = w,
                   .g = g,
                   .m = m,
                   .v = v,
                   .count = count,
                   .rate = rate,
                   .decay = decay,
                   .b1 = b1,
                   .b2 = b2,
                   .eps = eps,
                   .correction1 = correction1,
                   .correction2 = correction2};
    dn_cpu_parallel(device, count, adam_task, &op);
}

static void clamp_task(void *context, int part, int parts) {
    const optimize *op = context;
    const float limit = op->limit;
    size_t begin, end;
    dn_pool_slice(op->count, OPTIMIZE_GRAIN, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) {
        float low = op->w[i] < -limit ? -limit : op->w[i]; /* NaN stays */
        op->w[i] = low > limit ? limit : low;
    }
}

void dn_cpu_clamp(dn_device *device, float *x, float limit, size_t count) {
    optimize op = {.w = x, .count = count, .limit = limit};
    dn_cpu_parallel(device, count, clamp_task, &op);
}
