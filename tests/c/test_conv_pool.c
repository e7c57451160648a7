/* test_conv_pool.c - planned convolutions that give the largest values of windows of their output: bit for
 * bit what pooling the stored output gives, on every level, for 1, 2 and 3 threads and several images. */
#include "packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_THREADS = 3, IMAGES = 2 };

static int failures, pooled;

static float *random_floats(size_t count, uint64_t stream) {
    dn_random random = dn_random_keyed(17, stream, 0);
    float *x = dn_alloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; ++i) x[i] = dn_random_uniform(&random, -1, 1);
    return x;
}

static void run(dn_pool *pool, const dn_kernels *kernels, int threads, const packed_conv *conv,
                const dn_conv_images *images) {
    dn_device device = {pool, kernels};
    const size_t floats = dn_cpu_conv_prepared_scratch(conv->prepared, threads, images->count);
    float *scratch = dn_alloc(floats * sizeof *scratch);
    memset(scratch, 0xff, floats * sizeof *scratch); /* NaN: what was there must not matter */
    dn_cpu_conv_run(&device, conv->prepared, images, scratch);
    dn_free(scratch);
}

static void check_level(const dn_kernels *kernels, const dn_conv_shape *s, const dn_pool_shape *windows,
                        dn_activation activation, dn_pool **pools) {
    const size_t x_image = (size_t)(s->in_c * s->in_h * s->in_w), map = (size_t)(s->out_h * s->out_w),
                 small = (size_t)(windows->out_h * windows->out_w), filters = (size_t)s->out_c,
                 y_apart = filters * map + 3;
    float *w = random_floats(filters * (size_t)(s->in_c * s->size * s->size), 1);
    float *bias = random_floats(filters, 2), *x = random_floats(IMAGES * x_image, 3);
    float *y = random_floats(IMAGES * y_apart, 4), *expected = random_floats(IMAGES * y_apart, 5);
    x[x_image / 2] = NAN; /* never the largest */
    packed_conv whole, conv;
    bool packed = pack_conv(&whole, kernels, s, w, bias, activation, false, SIZE_MAX);
    packed = pack_conv(&conv, kernels, s, w, bias, activation, false, SIZE_MAX) && packed;
    const char *name = packed ? dn_cpu_conv_prepared_algorithm(conv.prepared) : "none";
    const bool pools_it = packed && dn_cpu_conv_pool(conv.prepared, windows);
    run(pools[0], kernels, 1, &whole, &(dn_conv_images){IMAGES, x, NULL, y, x_image, y_apart});
    for (size_t i = 0; i < IMAGES; ++i)
        for (size_t f = 0; f < filters; ++f)
            kernels->maxpool(y + i * y_apart + f * map, s->out_h, s->out_w,
                             expected + i * y_apart + f * small, NULL, windows->out_h, windows->out_w,
                             windows->size, windows->stride_y, windows->stride_x, windows->offset_y,
                             windows->offset_x);
    for (int t = 0; t < MOST_THREADS && pools_it; ++t) {
        float *got = random_floats(IMAGES * y_apart, 5);
        run(pools[t], kernels, t + 1, &conv, &(dn_conv_images){IMAGES, x, NULL, got, x_image, y_apart});
        if (memcmp(got, expected, IMAGES * y_apart * sizeof *got) != 0) {
            ++failures;
            printf("FAIL %s on %s, %d threads: %dx%dx%d -> %dx%dx%d -> %dx%d\n", name, kernels->level, t + 1,
                   s->in_c, s->in_h, s->in_w, s->out_c, s->out_h, s->out_w, windows->out_h, windows->out_w);
        }
        dn_free(got);
        ++pooled;
    }
    void *owned[] = {w, bias, x, y, expected};
    for (size_t i = 0; i < DN_COUNT(owned); ++i) dn_free(owned[i]);
    free_packed(&whole);
    free_packed(&conv);
}

/* padding: in all, after the map */
static void check(dn_conv_shape s, int padding, dn_activation activation, dn_pool **pools) {
    s.dilation = s.groups = 1;
    s.pad = s.size / 2;
    s.out_h = (s.in_h + 2 * s.pad - s.size) / s.stride_y + 1;
    s.out_w = (s.in_w + 2 * s.pad - s.size) / s.stride_x + 1;
    dn_pool_shape windows = {
        .c = s.out_c, .h = s.out_h, .w = s.out_w, .size = 2, .stride_y = 2, .stride_x = 2};
    windows.out_h = (s.out_h + padding - 2) / 2 + 1;
    windows.out_w = (s.out_w + padding - 2) / 2 + 1;
    for (int level = 0; dn_kernels_available(level); ++level)
        check_level(dn_kernels_available(level), &s, &windows, activation, pools);
}

int main(void) {
    dn_pool *pools[MOST_THREADS];
    for (int t = 0; t < MOST_THREADS; ++t)
        if (dn_pool_create(&pools[t], t + 1) != DN_OK) return 1;
    const int sizes[][2] = {{2, 96}, {3, 97}, {5, 110}, {16, 113}, {19, 129}, {34, 128}};
    const dn_activation kinds[] = {DN_ACTIVATION_LEAKY, DN_ACTIVATION_RELU,     DN_ACTIVATION_LINEAR,
                                   DN_ACTIVATION_RELU6, DN_ACTIVATION_LOGISTIC, DN_ACTIVATION_MISH};
    for (size_t i = 0; i < DN_COUNT(sizes); ++i)
        for (int stride = 1; stride <= 2; ++stride) {
            const dn_conv_shape s = {.in_c = 3,
                                     .in_h = stride * sizes[i][0],
                                     .in_w = stride * sizes[i][1],
                                     .out_c = 5 + 3 * (int)i,
                                     .size = i % 2 ? 3 : 5,
                                     .stride_y = stride,
                                     .stride_x = stride};
            check(s, (int)i % 2, kinds[i], pools);
            check(s, 1, DN_ACTIVATION_LEAKY, pools);
        }
    if (pooled == 0) {
        ++failures;
        printf("FAIL no convolution pools\n");
    }
    for (int t = 0; t < MOST_THREADS; ++t) dn_pool_free(pools[t]);
    printf("%d failures, %d convolutions pooled\n", failures, pooled);
    return failures != 0;
}
