/* cpu_move.c - operations that move or combine feature maps: copies of rows, nearest-neighbour scaling,
 * reorg, transposition, shortcuts, scaling of channels. */
#include "cpu.h"

#include <string.h>

/* ---- rows ---- */

typedef struct rows {
    const dn_kernels *kernels;
    float *y;
    const float *x;
    size_t y_stride, x_stride, rows, columns;
    bool accumulate;
} rows;

static void copy_rows_task(void *context, int part, int parts) {
    const rows *op = context;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        float *y = op->y + row * op->y_stride;
        const float *x = op->x + row * op->x_stride;
        if (op->accumulate)
            op->kernels->axpy(y, 1, x, op->columns);
        else
            memcpy(y, x, op->columns * sizeof *y);
    }
}

void dn_cpu_copy_rows(dn_device *device, float *y, size_t y_stride, const float *x, size_t x_stride,
                      size_t count, size_t columns, bool accumulate) {
    rows op = {device->kernels, y, x, y_stride, x_stride, count, columns, accumulate};
    dn_cpu_parallel(device, count * columns, copy_rows_task, &op);
}

/* ---- nearest-neighbour scaling: a unit is a row of the smaller map ---- */

typedef struct resample {
    const float *x;
    float *y;
    size_t rows, w, stride; /* of the smaller map, all planes together */
    float factor;
    bool accumulate;
} resample;

static void expand_task(void *context, int part, int parts) {
    const resample *op = context;
    const size_t stride = op->stride, wide = op->w * stride;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float *x = op->x + row * op->w;
        float *y = op->y + row * stride * wide;
        if (op->accumulate) {
            for (size_t line = 0; line < stride; ++line)
                for (size_t i = 0; i < op->w; ++i)
                    for (size_t k = 0; k < stride; ++k) y[line * wide + i * stride + k] += op->factor * x[i];
            continue;
        }
        if (stride == 2) {
            for (size_t i = 0; i < op->w; ++i) y[2 * i] = y[2 * i + 1] = op->factor * x[i];
        } else {
            for (size_t i = 0; i < op->w; ++i)
                for (size_t k = 0; k < stride; ++k) y[i * stride + k] = op->factor * x[i];
        }
        for (size_t line = 1; line < stride; ++line) memcpy(y + line * wide, y, wide * sizeof *y);
    }
}

void dn_cpu_expand(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate) {
    resample op = {x, y, planes * (size_t)h, (size_t)w, (size_t)stride, factor, accumulate};
    dn_cpu_parallel(device, op.rows * op.w * op.stride * op.stride, expand_task, &op);
}

static void reduce_task(void *context, int part, int parts) {
    const resample *op = context;
    const size_t stride = op->stride, wide = op->w * stride;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float *x = op->x + row * stride * wide;
        float *y = op->y + row * op->w;
        for (size_t i = 0; i < op->w; ++i) {
            float sum = 0;
            for (size_t line = 0; line < stride; ++line)
                for (size_t k = 0; k < stride; ++k) sum += x[line * wide + i * stride + k];
            y[i] = (op->accumulate ? y[i] : 0) + op->factor * sum;
        }
    }
}

void dn_cpu_reduce(dn_device *device, const float *x, float *y, size_t planes, int h, int w, int stride,
                   float factor, bool accumulate) {
    resample op = {x, y, planes * (size_t)h, (size_t)w, (size_t)stride, factor, accumulate};
    dn_cpu_parallel(device, op.rows * op.w * op.stride * op.stride, reduce_task, &op);
}

/* ---- reorg (compat.md 6.14): a fixed permutation, not space to depth. c, h, w are the input's, and `big`
 * addresses one side as if it were [c/stride^2][h*stride][w*stride]. ---- */

typedef struct reorg {
    const float *x;
    float *y;
    size_t batch, c, h, w, stride;
    bool reverse, accumulate;
} reorg;

static void reorg_row(const reorg *op, size_t small, size_t big) {
    const size_t stride = op->stride;
    if (op->reverse) {
        const float *x = op->x + small;
        float *y = op->y + big;
        for (size_t i = 0; i < op->w; ++i) y[i * stride] = op->accumulate ? y[i * stride] + x[i] : x[i];
    } else {
        const float *x = op->x + big;
        float *y = op->y + small;
        for (size_t i = 0; i < op->w; ++i) y[i] = op->accumulate ? y[i] + x[i * stride] : x[i * stride];
    }
}

static void reorg_task(void *context, int part, int parts) {
    const reorg *op = context;
    const size_t s = op->stride, planes = op->c / (s * s);
    size_t begin, end;
    dn_pool_slice(op->batch * op->c, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        size_t image = unit / op->c * op->c * op->h * op->w, k = unit % op->c, q = k / planes;
        for (size_t j = 0; j < op->h; ++j) {
            size_t small = image + op->w * (j + op->h * k);
            size_t big = image + q % s + op->w * s * (j * s + q / s + op->h * s * (k % planes));
            reorg_row(op, small, big);
        }
    }
}

void dn_cpu_reorg(dn_device *device, const float *x, float *y, int batch, int c, int h, int w, int stride,
                  bool reverse, bool accumulate) {
    reorg op = {x, y, (size_t)batch, (size_t)c, (size_t)h, (size_t)w, (size_t)stride, reverse, accumulate};
    dn_cpu_parallel(device, op.batch * op.c * op.h * op.w, reorg_task, &op);
}

/* ---- transposition of [c][s] to [s][c], in tiles that fit the first cache ---- */

enum { TILE = 16 };

typedef struct transpose {
    const float *x;
    float *y;
    size_t batch, c, s;
    bool accumulate;
} transpose;

static void transpose_tile(const transpose *op, const float *x, float *y, size_t channels, size_t pixels) {
    for (size_t i = 0; i < pixels; ++i)
        for (size_t k = 0; k < channels; ++k) {
            float *to = y + i * op->c + k;
            *to = op->accumulate ? *to + x[k * op->s + i] : x[k * op->s + i];
        }
}

static void transpose_task(void *context, int part, int parts) {
    const transpose *op = context;
    size_t tiles = (op->s + TILE - 1) / TILE, begin, end;
    dn_pool_slice(op->batch * tiles, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        size_t image = unit / tiles * op->c * op->s, first = unit % tiles * TILE;
        for (size_t k = 0; k < op->c; k += TILE)
            transpose_tile(op, op->x + image + k * op->s + first, op->y + image + first * op->c + k,
                           dn_min_size(TILE, op->c - k), dn_min_size(TILE, op->s - first));
    }
}

void dn_cpu_transpose(dn_device *device, const float *x, float *y, int batch, int c, size_t s,
                      bool accumulate) {
    transpose op = {x, y, (size_t)batch, (size_t)c, s, accumulate};
    dn_cpu_parallel(device, op.batch * op.c * s, transpose_task, &op);
}

/* ---- shortcut (compat.md 6.13) ---- */

typedef struct shortcut {
    const dn_kernels *kernels;
    const dn_shortcut_shape *shape;
    const float *x;
    float *y;
    size_t batch;
    int channels, rows, columns; /* of the overlap */
    int stride, sample;          /* steps in `from` and in the output */
    bool backward;
} shortcut;

static void shortcut_plan(shortcut *op) {
    const dn_shortcut_shape *shape = op->shape;
    op->stride = dn_max_int(1, shape->from_w / shape->out_w);
    op->sample = dn_max_int(1, shape->out_w / shape->from_w);
    op->channels = dn_min_int(shape->from_c, shape->out_c);
    op->columns = dn_min_int(shape->from_w, shape->out_w);
    /* The reference requires the heights to have the same ratio; where they don't, stay inside both maps. */
    op->rows = dn_min_int((shape->from_h + op->stride - 1) / op->stride,
                          (shape->out_h + op->sample - 1) / op->sample);
    op->rows = dn_min_int(op->rows, dn_min_int(shape->from_h, shape->out_h));
    if (shape->from_w == shape->out_w && shape->from_h == shape->out_h) { /* a plane is one long row */
        op->columns *= op->rows;
        op->rows = 1;
    }
}

static void shortcut_row(const shortcut *op, const float *x, float *y) {
    const float alpha = op->shape->alpha, beta = op->shape->beta;
    const size_t columns = (size_t)op->columns, stride = (size_t)op->stride, sample = (size_t)op->sample;
    if (op->backward) {
        if (stride == 1 && sample == 1)
            op->kernels->axpy(y, beta, x, columns);
        else
            for (size_t i = 0; i < columns; ++i) y[i * stride] += beta * x[i * sample];
    } else if (stride == 1 && sample == 1) {
        if (alpha != 1) op->kernels->scale(y, alpha, columns);
        op->kernels->axpy(y, beta, x, columns);
    } else {
        for (size_t i = 0; i < columns; ++i) y[i * sample] = alpha * y[i * sample] + beta * x[i * stride];
    }
}

static void shortcut_task(void *context, int part, int parts) {
    const shortcut *op = context;
    const dn_shortcut_shape *shape = op->shape;
    const size_t from_w = (size_t)shape->from_w, from_h = (size_t)shape->from_h;
    const size_t out_w = (size_t)shape->out_w, out_h = (size_t)shape->out_h;
    const size_t channels = (size_t)op->channels;
    size_t begin, end;
    dn_pool_slice(op->batch * channels, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        size_t image = unit / channels, k = unit % channels;
        size_t from = (image * (size_t)shape->from_c + k) * from_h * from_w;
        size_t out = (image * (size_t)shape->out_c + k) * out_h * out_w;
        for (size_t j = 0; j < (size_t)op->rows; ++j) {
            size_t from_row = from + j * (size_t)op->stride * from_w,
                   out_row = out + j * (size_t)op->sample * out_w;
            if (op->backward)
                shortcut_row(op, op->x + out_row, op->y + from_row);
            else
                shortcut_row(op, op->x + from_row, op->y + out_row);
        }
    }
}

static void run_shortcut(dn_device *device, shortcut *op) {
    shortcut_plan(op);
    size_t work = op->batch * (size_t)op->channels * (size_t)op->rows * (size_t)op->columns;
    dn_cpu_parallel(device, work, shortcut_task, op);
}

void dn_cpu_shortcut_forward(dn_device *device, const dn_shortcut_shape *shape, int batch, const float *from,
                             float *out) {
    run_shortcut(
        device,
        &(shortcut){.kernels = device->kernels, .shape = shape, .x = from, .y = out, .batch = (size_t)batch});
}

void dn_cpu_shortcut_backward(dn_device *device, const dn_shortcut_shape *shape, int batch,
                              const float *delta, float *from_delta) {
    run_shortcut(device, &(shortcut){.kernels = device->kernels,
                                     .shape = shape,
                                     .x = delta,
                                     .y = from_delta,
                                     .batch = (size_t)batch,
                                     .backward = true});
}

/* ---- scaling of channels, or of pixels ---- */

typedef struct channels {
    const dn_kernels *kernels;
    const float *factor, *x, *delta;
    float *y, *factor_delta, *x_delta;
    size_t batch, c, s;
    bool per_pixel;
} channels;

static void scale_channels_task(void *context, int part, int parts) {
    const channels *op = context;
    size_t begin, end;
    dn_pool_slice(op->batch * op->c, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float *x = op->x + row * op->s;
        float *y = op->y + row * op->s;
        if (op->per_pixel) {
            op->kernels->multiply(y, op->factor + row / op->c * op->s, x, op->s);
        } else {
            const float factor = op->factor[row];
            for (size_t i = 0; i < op->s; ++i) y[i] = factor * x[i];
        }
    }
}

void dn_cpu_scale_channels_forward(dn_device *device, const float *factor, const float *x, float *y,
                                   int batch, int c, size_t s, bool per_pixel) {
    channels op = {.kernels = device->kernels,
                   .factor = factor,
                   .x = x,
                   .y = y,
                   .batch = (size_t)batch,
                   .c = (size_t)c,
                   .s = s,
                   .per_pixel = per_pixel};
    dn_cpu_parallel(device, op.batch * op.c * s, scale_channels_task, &op);
}

static void channel_gradient_task(void *context, int part, int parts) {
    const channels *op = context;
    size_t begin, end;
    dn_pool_slice(op->batch * op->c, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float *delta = op->delta + row * op->s;
        if (op->factor_delta)
            op->factor_delta[row] += (float)op->kernels->dot(op->x + row * op->s, delta, op->s);
        if (op->x_delta) op->kernels->axpy(op->x_delta + row * op->s, op->factor[row], delta, op->s);
    }
}

/* A pixel's sum over the channels belongs to one thread: a unit is a block of pixels. */
static void pixel_gradient_task(void *context, int part, int parts) {
    enum { PIXELS = 1024 };
    const channels *op = context;
    size_t blocks = (op->s + PIXELS - 1) / PIXELS, begin, end;
    dn_pool_slice(op->batch * blocks, 1, part, parts, &begin, &end);
    for (size_t unit = begin; unit < end; ++unit) {
        size_t image = unit / blocks, first = unit % blocks * PIXELS,
               count = dn_min_size(PIXELS, op->s - first);
        size_t pixel = image * op->s + first;
        for (size_t k = 0; k < op->c; ++k) {
            size_t at = (image * op->c + k) * op->s + first;
            if (op->factor_delta)
                op->kernels->multiply_add(op->factor_delta + pixel, op->x + at, op->delta + at, count);
            if (op->x_delta)
                op->kernels->multiply_add(op->x_delta + at, op->factor + pixel, op->delta + at, count);
        }
    }
}

void dn_cpu_scale_channels_backward(dn_device *device, const float *factor, const float *x,
                                    const float *delta, float *factor_delta, float *x_delta, int batch, int c,
                                    size_t s, bool per_pixel) {
    channels op = {.kernels = device->kernels,
                   .factor = factor,
                   .x = x,
                   .delta = delta,
                   .factor_delta = factor_delta,
                   .x_delta = x_delta,
                   .batch = (size_t)batch,
                   .c = (size_t)c,
                   .s = s};
    dn_cpu_parallel(device, op.batch * op.c * s, per_pixel ? pixel_gradient_task : channel_gradient_task,
                    &op);
}
