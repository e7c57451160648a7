/* cpu_softmax.c - softmax over strided rows: classes of a pixel, groups of a word tree, flat outputs. */
#include "cpu.h"

#include <math.h>

typedef struct softmax {
    const float *x;
    float *y;
    size_t n, stride, rows_a, stride_a, rows_b, stride_b;
    float temperature;
} softmax;

static void softmax_row(const float *x, float *y, size_t n, size_t stride, float temperature) {
    float largest = x[0];
    for (size_t i = 1; i < n; ++i) largest = x[i * stride] > largest ? x[i * stride] : largest;
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        float e = expf(x[i * stride] / temperature - largest / temperature);
        sum += (double)e;
        y[i * stride] = e;
    }
    float factor = (float)(1 / sum);
    for (size_t i = 0; i < n; ++i) y[i * stride] *= factor;
}

static void softmax_task(void *context, int part, int parts) {
    const softmax *op = context;
    size_t begin, end;
    dn_pool_slice(op->rows_a * op->rows_b, 1, part, parts, &begin, &end);
    for (size_t row = begin; row < end; ++row) {
        size_t at = row / op->rows_b * op->stride_a + row % op->rows_b * op->stride_b;
        softmax_row(op->x + at, op->y + at, op->n, op->stride, op->temperature);
    }
}

void dn_cpu_softmax(dn_device *device, const float *x, float *y, int n, size_t stride, size_t rows_a,
                    size_t stride_a, size_t rows_b, size_t stride_b, float temperature) {
    if (n <= 0) return;
    softmax op = {x, y, (size_t)n, stride, rows_a, stride_a, rows_b, stride_b, temperature};
    dn_cpu_parallel(device, op.n * rows_a * rows_b * 4, softmax_task,
                    &op); /* an exponential costs some passes */
}
