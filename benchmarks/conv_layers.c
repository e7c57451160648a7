/* conv_layers.c - the convolutions of yolov3-tiny at 416x416 through conv_run, each alone and all back to
 * back: time, rate of the direct convolution's floating point operations, algorithm, and the error against
 * direct summation in double precision on sampled outputs, checked before anything is timed.
 *
 * gcc -std=c11 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -D_POSIX_C_SOURCE=200809L \
 *     benchmarks/conv_layers.c src/base/[a-z]*.c src/kernels/[a-z]*.c src/backends/cpu/[a-z]*.c -lm -lpthread
 * ./a.out [threads] [repetitions] */
#include "machine.h"

#include "../src/backends/cpu/cpu.h"
#include "../src/base/platform.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct layer {
    dn_conv_shape shape;
    float *weights, *bias, *x, *y, *scratch;
    dn_conv_prepared *prepared;
    double seconds;
} layer;

static float *random_floats(size_t count, uint64_t stream, float range) {
    dn_random random = dn_random_keyed(1, stream, 0);
    float *x = dn_alloc(count * sizeof *x);
    for (size_t i = 0; x && i < count; ++i) x[i] = dn_random_uniform(&random, -range, range);
    return x;
}

/* Direct summation at one output, without bias and activation. */
static double direct(const layer *l, int o, int oy, int ox) {
    const dn_conv_shape *s = &l->shape;
    double sum = 0;
    for (int c = 0; c < s->in_c; ++c)
        for (int ky = 0; ky < s->size; ++ky)
            for (int kx = 0; kx < s->size; ++kx) {
                const int y = oy + ky - s->pad, x = ox + kx - s->pad;
                if (y < 0 || y >= s->in_h || x < 0 || x >= s->in_w) continue;
                sum += (double)l->x[(c * s->in_h + y) * s->in_w + x] *
                       (double)l->weights[((o * s->in_c + c) * s->size + ky) * s->size + kx];
            }
    return sum;
}

static double error_of(const layer *l) {
    const dn_conv_shape *s = &l->shape;
    dn_random random = dn_random_keyed(2, 0, 0);
    double difference = 0, most = 0;
    for (int i = 0; i < 2000; ++i) {
        const int o = dn_random_int(&random, 0, s->out_c - 1), y = dn_random_int(&random, 0, s->out_h - 1);
        const int x = dn_random_int(&random, 0, s->out_w - 1);
        double expected = direct(l, o, y, x) + (double)l->bias[o];
        if (expected < 0) expected *= 0.1;
        const double d = fabs(expected - (double)l->y[(o * s->out_h + y) * s->out_w + x]);
        if (!(d <= difference)) difference = d;
        if (fabs(expected) > most) most = fabs(expected);
    }
    return difference / most;
}

static bool make_layer(layer *l, int in_c, int out_c, int map, int size, int threads, uint64_t stream) {
    l->shape = (dn_conv_shape){.in_c = in_c,
                               .in_h = map,
                               .in_w = map,
                               .out_c = out_c,
                               .out_h = map,
                               .out_w = map,
                               .size = size,
                               .stride_y = 1,
                               .stride_x = 1,
                               .pad = size / 2,
                               .dilation = 1,
                               .groups = 1};
    const size_t plane = (size_t)map * (size_t)map, depth = (size_t)(in_c * size * size);
    l->weights = random_floats((size_t)out_c * depth, stream, (float)sqrt(6.0 / (double)depth));
    l->bias = random_floats((size_t)out_c, stream + 100, 0.1f);
    l->x = random_floats((size_t)in_c * plane, stream + 200, 1);
    l->y = random_floats((size_t)out_c * plane, stream + 300, 1);
    if (dn_cpu_conv_prepare(&l->prepared, &l->shape, DN_ACTIVATION_LEAKY, false, SIZE_MAX) != DN_OK)
        return false;
    float *place = dn_alloc_zero(dn_cpu_conv_prepared_bytes(l->prepared), 1);
    if (!place || !l->weights || !l->bias) return false;
    dn_cpu_conv_place(l->prepared, place);
    dn_cpu_conv_pack(l->prepared, 0, out_c, l->weights, l->bias);
    l->scratch = dn_alloc((dn_cpu_conv_prepared_scratch(l->prepared, threads, 1) + 16) * sizeof(float));
    return l->x && l->y && l->scratch;
}

static void run(dn_device *device, layer *l) {
    const dn_conv_images images = {.count = 1, .x = l->x, .y = l->y};
    dn_cpu_conv_run(device, l->prepared, &images, l->scratch);
}

/* The register tile with operands in the first-level cache: GFLOP/s. */
static double tile_rate(const dn_kernels *kernels) {
    enum { DEPTH = 96 };
    const int rows = kernels->gemm_rows, columns = kernels->gemm_columns;
    float *a = random_floats((size_t)(DEPTH * rows), 1, 1),
          *b = random_floats((size_t)(DEPTH * columns), 2, 1);
    float *c = random_floats((size_t)(rows * columns), 3, 1);
    ptrdiff_t offsets[DEPTH];
    for (int k = 0; k < DEPTH; ++k) offsets[k] = k * columns;
    const dn_tiles tile = {.depth = DEPTH,
                           .rows = rows,
                           .columns = columns,
                           .a = a,
                           .b = b,
                           .offsets = offsets,
                           .c = c,
                           .ldc = (size_t)columns};
    double best = 1e9;
    for (int i = 0; i < 20; ++i) {
        const double start = dn_platform_seconds();
        for (int j = 0; j < 500; ++j) kernels->gemm_tiles(&tile);
        best = fmin(best, dn_platform_seconds() - start);
    }
    dn_free(a);
    dn_free(b);
    dn_free(c);
    return 500.0 * 2 * DEPTH * rows * columns / best * 1e-9;
}

int main(int count, char **arguments) {
    static const int sizes[][4] = {
        {3, 16, 416, 3},   {16, 32, 208, 3},   {32, 64, 104, 3},   {64, 128, 52, 3},  {128, 256, 26, 3},
        {256, 512, 13, 3}, {512, 1024, 13, 3}, {1024, 256, 13, 1}, {256, 512, 13, 3}, {512, 255, 13, 1},
        {256, 128, 13, 1}, {384, 256, 26, 3},  {256, 255, 26, 1}};
    enum { LAYERS = sizeof sizes / sizeof *sizes };
    const int threads = count > 1 ? atoi(arguments[1]) : 1, repetitions = count > 2 ? atoi(arguments[2]) : 20;
    static layer layers[LAYERS];
    dn_device device = {NULL, dn_kernels_get()};
    if (!device.kernels || dn_pool_create(&device.pool, threads) != DN_OK) return 2;
    print_machine(count, arguments);
    printf("# register tile in cache: %.1f GFLOP/s\n", tile_rate(device.kernels));
    double errors[LAYERS];
    for (int i = 0; i < LAYERS; ++i) {
        if (!make_layer(&layers[i], sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], threads, (uint64_t)i))
            return 2;
        run(&device, &layers[i]);
        layers[i].seconds = 1e9;
        errors[i] = error_of(&layers[i]);
        if (!(errors[i] < 3e-5)) {
            printf("layer %d is wrong: error %.3g\n", i, errors[i]);
            return 1;
        }
    }
    double best = 1e9, total = 0;
    for (int r = 0; r < repetitions; ++r) {
        const double start = dn_platform_seconds();
        double before = start;
        for (int i = 0; i < LAYERS; ++i) {
            run(&device, &layers[i]);
            const double after = dn_platform_seconds();
            layers[i].seconds = fmin(layers[i].seconds, after - before);
            before = after;
        }
        best = fmin(best, before - start);
        total += before - start;
    }
    for (int i = 0; i < LAYERS; ++i) {
        const dn_conv_shape *s = &layers[i].shape;
        const double flops = 2.0 * s->out_c * s->out_h * s->out_w * s->in_c * s->size * s->size;
        printf("%4d -> %4d @%3d %dx%d %-10s %7.3f ms %7.1f GFLOP/s  error %.1e\n", s->in_c, s->out_c,
               s->out_w, s->size, s->size, dn_cpu_conv_prepared_algorithm(layers[i].prepared),
               layers[i].seconds * 1e3, flops / layers[i].seconds * 1e-9, errors[i]);
    }
    printf("back to back, %d thread%s: best %.2f ms, mean %.2f ms\n", threads, threads > 1 ? "s" : "",
           best * 1e3, total / repetitions * 1e3);
    return 0;
}
