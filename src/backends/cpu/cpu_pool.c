/* cpu_pool.c - pooling: maximum over windows and over channels, mean over windows and over planes. */
#include "cpu.h"

#include <math.h>

/* ---- maximum over windows ---- */

typedef struct maxpool {
    const dn_kernels *kernels;
    const dn_pool_shape *shape;
    const float *from;
    float *into;
    int32_t *argmax;            /* forward */
    const int32_t *from_argmax; /* backward */
    size_t planes;
    bool accumulate;
} maxpool;

static void maxpool_task(void *context, int part, int parts) {
    const maxpool *op = context;
    const dn_pool_shape *p = op->shape;
    size_t in = (size_t)p->h * (size_t)p->w, out = (size_t)p->out_h * (size_t)p->out_w, begin, end;
    dn_pool_slice(op->planes, 1, part, parts, &begin, &end);
    for (size_t plane = begin; plane < end; ++plane)
        op->kernels->maxpool(op->from + plane * in, p->h, p->w, op->into + plane * out,
                             op->argmax ? op->argmax + plane * out : NULL, p->out_h, p->out_w, p->size,
                             p->stride_y, p->stride_x, p->offset_y, p->offset_x);
}

void dn_cpu_maxpool_forward(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y, int32_t *argmax) {
    maxpool op = {device->kernels, shape, x, y, argmax, NULL, (size_t)batch * (size_t)shape->c, false};
    const size_t values = op.planes * (size_t)shape->h * (size_t)shape->w;
    dn_cpu_parallel(device, values * (size_t)shape->size, maxpool_task, &op); /* each is seen that often */
}

static void maxpool_backward_task(void *context, int part, int parts) {
    const maxpool *op = context;
    const dn_pool_shape *p = op->shape;
    size_t in = (size_t)p->h * (size_t)p->w, out = (size_t)p->out_h * (size_t)p->out_w, begin, end;
    dn_pool_slice(op->planes, 1, part, parts, &begin, &end);
    for (size_t plane = begin; plane < end; ++plane)
        op->kernels->maxpool_gradient(op->from_argmax + plane * out, op->from + plane * out, p->out_h,
                                      p->out_w, op->into + plane * in, p->h, p->w, p->size, p->stride_y,
                                      p->stride_x, p->offset_y, p->offset_x, op->accumulate);
}

void dn_cpu_maxpool_backward(dn_device *device, const dn_pool_shape *shape, int batch, const int32_t *argmax,
                             const float *dy, float *dx, bool accumulate) {
    maxpool op = {device->kernels, shape, dy, dx, NULL, argmax, (size_t)batch * (size_t)shape->c, accumulate};
    dn_cpu_parallel(device, op.planes * (size_t)shape->h * (size_t)shape->w, maxpool_backward_task, &op);
}

/* ---- maximum over channels g, g + out_c, ...: one thread has output channel g of an image ---- */

typedef struct depth {
    const float *from;
    float *into;
    int32_t *argmax;            /* forward */
    const int32_t *from_argmax; /* backward */
    size_t batch, c, out_c, s;
} depth;

static void depth_task(void *context, int part, int parts) {
    const depth *op = context;
    size_t begin, end, s = op->s;
    dn_pool_slice(op->batch * op->out_c, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        float *y = op->into + unit * s;
        int32_t *argmax = op->argmax ? op->argmax + unit * s : NULL;
        for (size_t i = 0; i < s; ++i) y[i] = -INFINITY;
        for (size_t i = 0; i < s && argmax; ++i) argmax[i] = -1;
        for (size_t k = unit % op->out_c; k < op->c; k += op->out_c) {
            const float *x = op->from + (unit / op->out_c * op->c + k) * s;
            for (size_t i = 0; i < s && argmax; ++i) argmax[i] = x[i] > y[i] ? (int32_t)k : argmax[i];
            for (size_t i = 0; i < s; ++i) y[i] = x[i] > y[i] ? x[i] : y[i];
        }
    }
}

void dn_cpu_maxpool_depth_forward(dn_device *device, int batch, int c, int out_c, size_t s, const float *x,
                                  float *y, int32_t *argmax) {
    depth op = {x, y, argmax, NULL, (size_t)batch, (size_t)c, (size_t)out_c, s};
    dn_cpu_parallel(device, op.batch * op.c * s, depth_task, &op);
}

/* Output channels share no input channel, so threads don't meet. */
static void depth_backward_task(void *context, int part, int parts) {
    const depth *op = context;
    size_t begin, end, s = op->s;
    dn_pool_slice(op->batch * op->out_c, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        float *image = op->into + unit / op->out_c * op->c * s;
        for (size_t i = 0; i < s; ++i) {
            int32_t channel = op->from_argmax[unit * s + i];
            if (channel >= 0) image[(size_t)channel * s + i] += op->from[unit * s + i];
        }
    }
}

void dn_cpu_maxpool_depth_backward(dn_device *device, int batch, int c, int out_c, size_t s,
                                   const int32_t *argmax, const float *dy, float *dx) {
    depth op = {dy, dx, NULL, argmax, (size_t)batch, (size_t)c, (size_t)out_c, s};
    dn_cpu_parallel(device, op.batch * op.c * s, depth_backward_task, &op);
}

/* ---- mean over windows: what lies outside does not count ---- */

typedef struct avgpool {
    const dn_pool_shape *shape;
    const float *from;
    float *into;
    size_t planes;
} avgpool;

/* Part [*begin, *end) of window i inside 0..size-1. */
static void window_part(int i, int stride, int offset, int window, int size, int *begin, int *end) {
    int first = i * stride + offset;
    *begin = dn_max_int(first, 0);
    *end = dn_min_int(first + window, size);
}

static float window_mean(const float *plane, int w, int top, int bottom, int left, int right) {
    float sum = 0;
    for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) sum += plane[(size_t)y * (size_t)w + (size_t)x];
    return top < bottom && left < right ? sum / (float)((bottom - top) * (right - left)) : 0;
}

static void avgpool_task(void *context, int part, int parts) {
    const avgpool *op = context;
    const dn_pool_shape *p = op->shape;
    size_t in = (size_t)p->h * (size_t)p->w, out = (size_t)p->out_h * (size_t)p->out_w, begin, end;
    int top, bottom, left, right;
    dn_pool_slice(op->planes, 1, part, parts, &begin, &end);
    for (size_t plane = begin; plane < end; ++plane) {
        float *y = op->into + plane * out;
        for (int i = 0; i < p->out_h; ++i) {
            window_part(i, p->stride_y, p->offset_y, p->size, p->h, &top, &bottom);
            for (int j = 0; j < p->out_w; ++j) {
                window_part(j, p->stride_x, p->offset_x, p->size, p->w, &left, &right);
                *y++ = window_mean(op->from + plane * in, p->w, top, bottom, left, right);
            }
        }
    }
}

void dn_cpu_avgpool_forward(dn_device *device, const dn_pool_shape *shape, int batch, const float *x,
                            float *y) {
    avgpool op = {shape, x, y, (size_t)batch * (size_t)shape->c};
    dn_cpu_parallel(device, op.planes * (size_t)shape->h * (size_t)shape->w, avgpool_task, &op);
}

static void avgpool_backward_task(void *context, int part, int parts) {
    const avgpool *op = context;
    const dn_pool_shape *p = op->shape;
    size_t in = (size_t)p->h * (size_t)p->w, out = (size_t)p->out_h * (size_t)p->out_w, begin, end;
    int top, bottom, left, right;
    dn_pool_slice(op->planes, 1, part, parts, &begin, &end);
    for (size_t plane = begin; plane < end; ++plane) {
        const float *dy = op->from + plane * out;
        float *dx = op->into + plane * in;
        for (int i = 0; i < p->out_h; ++i) {
            window_part(i, p->stride_y, p->offset_y, p->size, p->h, &top, &bottom);
            for (int j = 0; j < p->out_w; ++j) {
                window_part(j, p->stride_x, p->offset_x, p->size, p->w, &left, &right);
                float share = *dy++ / (float)dn_max_int((bottom - top) * (right - left), 1);
                for (int y = top; y < bottom; ++y)
                    for (int x = left; x < right; ++x) dx[(size_t)y * (size_t)p->w + (size_t)x] += share;
            }
        }
    }
}

void dn_cpu_avgpool_backward(dn_device *device, const dn_pool_shape *shape, int batch, const float *dy,
                             float *dx) {
    avgpool op = {shape, dy, dx, (size_t)batch * (size_t)shape->c};
    dn_cpu_parallel(device, op.planes * (size_t)shape->h * (size_t)shape->w, avgpool_backward_task, &op);
}

/* ---- mean of rows ---- */

typedef struct mean {
    const dn_kernels *kernels;
    const float *from;
    float *into;
    size_t rows, s;
} mean;

static void mean_task(void *context, int part, int parts) {
    const mean *op = context;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row)
        op->into[row] = (float)(op->kernels->sum(op->from + row * op->s, op->s) / (double)op->s);
}

void dn_cpu_mean_forward(dn_device *device, const float *x, float *y, size_t rows, size_t s) {
    mean op = {device->kernels, x, y, rows, s};
    dn_cpu_parallel(device, rows * s, mean_task, &op);
}

static void mean_backward_task(void *context, int part, int parts) {
    const mean *op = context;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float share = op->from[row] / (float)op->s;
        for (size_t i = row * op->s; i < (row + 1) * op->s; ++i) op->into[i] += share;
    }
}

void dn_cpu_mean_backward(dn_device *device, const float *dy, float *dx, size_t rows, size_t s) {
    mean op = {device->kernels, dy, dx, rows, s};
    dn_cpu_parallel(device, rows * s, mean_backward_task, &op);
}
