/* test_pair.c - a pointwise convolution and the depthwise one behind it in one step, on every level: the same
 * bits as in two steps, for any number of threads; and which convolutions make a pair. */
#include "packed.h"
#include "reference.h"

enum { MOST_THREADS = 3 };
static dn_pool *pools[MOST_THREADS];

typedef struct sizes {
    int in_c, between, h, w, size, stride;
} sizes;

static void shapes_of(const sizes *s, dn_conv_shape *first, dn_conv_shape *second) {
    *first = (dn_conv_shape){.in_c = s->in_c,
                             .in_h = s->h,
                             .in_w = s->w,
                             .out_c = s->between,
                             .out_h = s->h,
                             .out_w = s->w,
                             .size = 1,
                             .stride_y = 1,
                             .stride_x = 1,
                             .dilation = 1,
                             .groups = 1};
    *second = *first;
    second->in_c = second->out_c = second->groups = s->between;
    second->size = s->size;
    second->stride_x = second->stride_y = s->stride;
    second->pad = s->size / 2;
    second->out_h = (s->h - 1) / s->stride + 1;
    second->out_w = (s->w - 1) / s->stride + 1;
}

static void run_one(dn_device *device, const dn_conv_prepared *conv, const float *x, const float *residual,
                    float *y) {
    const dn_conv_images one = {.count = 1, .x = x, .residual = residual, .y = y};
    const int threads = dn_pool_threads(device->pool);
    float *scratch = dn_alloc(dn_cpu_conv_prepared_scratch(conv, threads, 1) * sizeof *scratch);
    dn_cpu_conv_run(device, conv, &one, scratch);
    dn_free(scratch);
}

static void check(const dn_kernels *kernels, const sizes *s, dn_activation activation, bool with_residual) {
    dn_conv_shape first, second;
    shapes_of(s, &first, &second);
    const size_t between = (size_t)s->between * (size_t)(s->h * s->w);
    const size_t count = (size_t)s->between * (size_t)(second.out_h * second.out_w);
    float *x = numbers((size_t)s->in_c * (size_t)(s->h * s->w), 1), *y = numbers(between, 1);
    float *first_weights = numbers((size_t)(s->between * s->in_c), 1);
    float *second_weights = numbers((size_t)(s->between * s->size * s->size), 1);
    float *bias = numbers((size_t)s->between, 1), *residual = numbers(count, 1), *want = numbers(count, 1);
    const float *add = with_residual ? residual : NULL;
    packed_conv a, b;
    const bool packed = pack_conv(&a, kernels, &first, first_weights, bias, activation, false, 0) &&
                        pack_conv(&b, kernels, &second, second_weights, bias, activation, false, 0);
    if (!packed || !dn_cpu_conv_pairs(a.prepared, b.prepared)) {
        report(kernels->level, "no pair: channels", s->between, INFINITY);
        return;
    }
    dn_device alone = {pools[0], kernels};
    run_one(&alone, a.prepared, x, NULL, y);
    run_one(&alone, b.prepared, y, add, want);
    for (int t = 0; t < MOST_THREADS; ++t) {
        dn_device device = {pools[t], kernels};
        const size_t floats = dn_cpu_conv_pair_scratch(a.prepared, b.prepared, t + 1);
        float *got = numbers(count, 1), *scratch = dn_alloc((floats + 1) * sizeof *scratch);
        scratch[floats] = 17;
        dn_cpu_conv_pair_run(&device, a.prepared, b.prepared, x, add, got, scratch);
        const bool same = memcmp(got, want, count * sizeof *got) == 0 && scratch[floats] == 17;
        char text[100];
        snprintf(text, sizeof text, "%d -> %dx%dx%d, %dx%d/%d, threads", s->in_c, s->between, s->h, s->w,
                 s->size, s->size, s->stride);
        report(kernels->level, text, t + 1, same ? 0 : INFINITY);
        dn_free(got);
        dn_free(scratch);
    }
    free_packed(&a), free_packed(&b);
    dn_free(x), dn_free(y), dn_free(first_weights), dn_free(second_weights);
    dn_free(bias), dn_free(residual), dn_free(want);
}

/* Maps that are cut into bands, by size or for the threads, whose ends and channels are no multiple. */
static void test_pairs(void) {
    const sizes all[] = {{3, 5, 7, 9, 3, 1},     {8, 20, 33, 31, 3, 2},  {4, 9, 150, 161, 3, 1},
                         {4, 9, 151, 163, 3, 2}, {5, 17, 90, 100, 5, 1}, {5, 17, 91, 99, 5, 2},
                         {40, 30, 10, 10, 5, 1}, {256, 8, 2, 3, 3, 1},   {2, 2, 5, 1, 3, 2},
                         {2, 3, 12, 9000, 3, 1}};
    for (int level = 0; dn_kernels_available(level); ++level) {
        const int before = failures;
        for (size_t i = 0; i < DN_COUNT(all); ++i) {
            check(dn_kernels_available(level), &all[i], DN_ACTIVATION_RELU6, i % 2 == 0);
            if (all[i].w < 100) check(dn_kernels_available(level), &all[i], DN_ACTIVATION_MISH, i % 2 == 1);
        }
        done(dn_kernels_available(level)->level, before);
    }
}

static bool fits(const sizes *s, int channels, int pad, int depthwise_stride_x) {
    dn_conv_shape first, second;
    shapes_of(s, &first, &second);
    second.out_c = channels;
    second.pad = pad;
    second.stride_x = depthwise_stride_x;
    return dn_pair_fits(&first, &second);
}

static void test_choice(void) {
    const int before = failures;
    const sizes usual = {16, 96, 40, 40, 3, 1}, deep = {257, 96, 40, 40, 3, 1},
                large = {16, 96, 40, 40, 7, 1};
    if (!fits(&usual, 96, 1, 1)) failures++;
    if (fits(&deep, 96, 1, 1) || fits(&large, 96, 3, 1)) failures++;
    if (fits(&usual, 192, 1, 1) || fits(&usual, 96, 0, 1) || fits(&usual, 96, 1, 2)) failures++;
    if (failures > before) printf("FAIL which convolutions make a pair\n");
    done("choice", before);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    for (int t = 0; t < MOST_THREADS; ++t)
        if (dn_pool_create(&pools[t], t + 1) != DN_OK) return 2;
    test_pairs();
    test_choice();
    for (int t = 0; t < MOST_THREADS; ++t) dn_pool_free(pools[t]);
    return failures != 0;
}
