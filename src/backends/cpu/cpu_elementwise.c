/* cpu_elementwise.c - operations that treat each element, or each channel's constant, alone: filling, linear
 * algebra of arrays, biases, dropout, binarisation. */
#include "cpu.h"

#include <math.h>
#include <string.h>

/* ---- flat arrays: each thread takes a slice ---- */

enum { FLAT_GRAIN = 1024 };

typedef struct flat {
    void (*body)(const struct flat *op, size_t begin, size_t count);
    const dn_kernels *kernels;
    float *y;
    const float *a, *b;
    float value;
    size_t count;
} flat;

static void flat_task(void *context, int part, int parts) {
    const flat *op = context;
    size_t begin, end;
    dn_pool_slice(op->count, FLAT_GRAIN, part, parts, &begin, &end);
    if (begin < end) op->body(op, begin, end - begin);
}

static void run_flat(dn_device *device, flat *op) {
    op->kernels = device->kernels;
    dn_cpu_parallel(device, op->count, flat_task, op);
}

static void fill_body(const flat *op, size_t begin, size_t count) {
    for (size_t i = begin; i < begin + count; ++i) op->y[i] = op->value;
}

void dn_cpu_fill(dn_device *device, float *x, float value, size_t count) {
    run_flat(device, &(flat){.body = fill_body, .y = x, .value = value, .count = count});
}

static void copy_body(const flat *op, size_t begin, size_t count) {
    memcpy(op->y + begin, op->a + begin, count * sizeof *op->y);
}

void dn_cpu_copy(dn_device *device, float *y, const float *x, size_t count) {
    if (x != y) run_flat(device, &(flat){.body = copy_body, .y = y, .a = x, .count = count});
}

static void axpy_body(const flat *op, size_t begin, size_t count) {
    op->kernels->axpy(op->y + begin, op->value, op->a + begin, count);
}

void dn_cpu_axpy(dn_device *device, float *y, float a, const float *x, size_t count) {
    run_flat(device, &(flat){.body = axpy_body, .y = y, .a = x, .value = a, .count = count});
}

static void scale_body(const flat *op, size_t begin, size_t count) {
    op->kernels->scale(op->y + begin, op->value, count);
}

void dn_cpu_scale(dn_device *device, float *x, float a, size_t count) {
    run_flat(device, &(flat){.body = scale_body, .y = x, .value = a, .count = count});
}

static void multiply_body(const flat *op, size_t begin, size_t count) {
    op->kernels->multiply(op->y + begin, op->y + begin, op->a + begin, count);
}

void dn_cpu_multiply(dn_device *device, float *x, const float *factor, size_t count) {
    run_flat(device, &(flat){.body = multiply_body, .y = x, .a = factor, .count = count});
}

static void multiply_add_body(const flat *op, size_t begin, size_t count) {
    op->kernels->multiply_add(op->y + begin, op->a + begin, op->b + begin, count);
}

void dn_cpu_multiply_add(dn_device *device, float *y, const float *a, const float *b, size_t count) {
    run_flat(device, &(flat){.body = multiply_add_body, .y = y, .a = a, .b = b, .count = count});
}

static void sign_body(const flat *op, size_t begin, size_t count) {
    for (size_t i = begin; i < begin + count; ++i) op->y[i] = op->a[i] > 0 ? 1.0f : -1.0f;
}

void dn_cpu_sign(dn_device *device, const float *x, float *y, size_t count) {
    run_flat(device, &(flat){.body = sign_body, .y = y, .a = x, .count = count});
}

static void sign_gradient_body(const flat *op, size_t begin, size_t count) {
    for (size_t i = begin; i < begin + count; ++i) op->y[i] = fabsf(op->a[i]) >= 1 ? 0 : op->y[i];
}

void dn_cpu_sign_gradient(dn_device *device, const float *x, float *delta, size_t count) {
    run_flat(device, &(flat){.body = sign_gradient_body, .y = delta, .a = x, .count = count});
}

/* ---- biases: x[batch][c][s] ---- */

typedef struct bias {
    const dn_kernels *kernels;
    float *into;
    const float *from;
    int batch, c;
    size_t s;
} bias;

static void bias_add_task(void *context, int part, int parts) {
    const bias *op = context;
    size_t begin, end, c = (size_t)op->c;
    if (op->s == 1) { /* vectors run along the channels */
        dn_pool_slice((size_t)op->batch, 1, part, parts, &begin, &end);
        for (size_t b = begin; b < end; ++b) op->kernels->axpy(op->into + b * c, 1, op->from, c);
        return;
    }
    dn_pool_slice((size_t)op->batch * c, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row)
        op->kernels->affine_activate(DN_ACTIVATION_LINEAR, false, op->into + row * op->s, 1,
                                     op->from[row % c], NULL, op->s);
}

void dn_cpu_bias_add(dn_device *device, float *x, const float *values, int batch, int c, size_t s) {
    bias op = {device->kernels, x, values, batch, c, s};
    dn_cpu_parallel(device, (size_t)batch * (size_t)c * s, bias_add_task, &op);
}

static void bias_gradient_task(void *context, int part, int parts) {
    const bias *op = context;
    size_t begin, end, c = (size_t)op->c, batch = (size_t)op->batch;
    if (op->s == 1) {
        dn_pool_slice(c, 64, part, parts, &begin, &end);
        for (size_t b = 0; b < batch && begin < end; ++b)
            op->kernels->axpy(op->into + begin, 1, op->from + b * c + begin, end - begin);
        return;
    }
    dn_pool_slice(c, 1, part, parts, &begin, &end);
    for (size_t channel = begin; channel < end; ++channel) {
        double sum = 0;
        for (size_t b = 0; b < batch; ++b)
            sum += op->kernels->sum(op->from + (b * c + channel) * op->s, op->s);
        op->into[channel] += (float)sum;
    }
}

void dn_cpu_bias_gradient(dn_device *device, float *gradient, const float *delta, int batch, int c,
                          size_t s) {
    bias op = {device->kernels, gradient, delta, batch, c, s};
    dn_cpu_parallel(device, (size_t)batch * (size_t)c * s, bias_gradient_task, &op);
}

/* ---- dropout ---- */

enum { DROPOUT_CHUNK = 4096, RANDOM_BLOCK = 4 /* numbers per counter value of dn_random */ };

typedef struct dropout {
    float *x, *mask;
    size_t count;
    float probability;
    dn_random start;
} dropout;

/* Element i takes number i of the stream, whoever computes it: a chunk starts by moving the counter. */
static void dropout_task(void *context, int part, int parts) {
    const dropout *op = context;
    const float kept = 1.0f / (1.0f - op->probability);
    size_t begin, end;
    dn_pool_slice(op->count, DROPOUT_CHUNK, part, parts, &begin, &end);
    dn_random random = op->start;
    random.counter[0] += (uint32_t)(begin / RANDOM_BLOCK);
    for (size_t i = begin; i < end; ++i) {
        op->mask[i] = dn_random_unit(&random) < op->probability ? 0 : kept;
        op->x[i] *= op->mask[i];
    }
}

void dn_cpu_dropout(dn_device *device, float *x, float *mask, size_t count, float probability, uint64_t seed,
                    uint64_t stream, uint64_t step) {
    dropout op = {x, mask, count, probability, dn_random_keyed(seed, stream, step)};
    dn_cpu_parallel(device, count, dropout_task, &op);
}

/* ---- binarisation of weights (compat.md 6.1.1) ---- */

typedef struct binarize {
    const float *x;
    float *y;
    size_t rows, columns;
} binarize;

static void binarize_task(void *context, int part, int parts) {
    const binarize *op = context;
    size_t begin, end;
    dn_pool_slice(op->rows, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        const float *x = op->x + row * op->columns;
        float *y = op->y + row * op->columns;
        double sum = 0;
        for (size_t i = 0; i < op->columns; ++i) sum += (double)fabsf(x[i]);
        float mean = (float)(sum / (double)op->columns);
        for (size_t i = 0; i < op->columns; ++i) y[i] = x[i] > 0 ? mean : -mean;
    }
}

void dn_cpu_binarize_rows(dn_device *device, const float *x, float *y, size_t rows, size_t columns) {
    binarize op = {x, y, rows, columns};
    dn_cpu_parallel(device, rows * columns, binarize_task, &op);
}
