/* test_pair.c - two convolutions in one step, on every level: a pointwise one and the depthwise one behind
 * it, a direct one and the one with Winograd tiles behind it. The same bits as in two steps, for any number
 * of threads; and which convolutions make a pair. */
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

static float *weights_for(const dn_conv_shape *s) {
    return numbers((size_t)(s->out_c * (s->in_c / s->groups) * s->size * s->size), 1);
}

/* most_floats: of the second. sum: the activation behind it is that of the sum with the residual. */
static void check(const dn_kernels *kernels, const dn_conv_shape *first, const dn_conv_shape *second,
                  dn_activation activation, bool with_residual, bool sum, size_t most_floats) {
    const size_t between = (size_t)(first->out_c * first->out_h * first->out_w);
    const size_t count = (size_t)(second->out_c * second->out_h * second->out_w);
    float *x = numbers((size_t)(first->in_c * first->in_h * first->in_w), 1), *y = numbers(between, 1);
    float *first_weights = weights_for(first), *second_weights = weights_for(second);
    float *bias = numbers((size_t)dn_max_int(first->out_c, second->out_c), 1);
    float *residual = numbers(count, 1), *want = numbers(count, 1);
    const float *add = with_residual ? residual : NULL;
    packed_conv a, b;
    const bool packed = pack_conv(&a, kernels, first, first_weights, bias, activation, false, 0) &&
                        pack_conv(&b, kernels, second, second_weights, bias, activation, sum, most_floats);
    if (!packed || !dn_cpu_conv_pairs(a.prepared, b.prepared)) {
        report(kernels->level, "no pair: channels", first->out_c, INFINITY);
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
        snprintf(text, sizeof text, "%d -> %dx%dx%d, %s %d/%d, threads", first->in_c, first->out_c,
                 first->out_h, first->out_w, dn_cpu_conv_prepared_algorithm(b.prepared), second->size,
                 second->stride_x);
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
            const dn_kernels *kernels = dn_kernels_available(level);
            dn_conv_shape first, second;
            shapes_of(&all[i], &first, &second);
            check(kernels, &first, &second, DN_ACTIVATION_RELU6, i % 2 == 0, false, 0);
            if (all[i].w < 100) check(kernels, &first, &second, DN_ACTIVATION_MISH, i % 2 == 1, false, 0);
        }
        done(dn_kernels_available(level)->level, before);
    }
}

/* ---- direct, then Winograd tiles at stride 2 ---- */

typedef struct chain_sizes {
    int in_c, h, w, size, stride, between, pad, out_c; /* pad: of the second */
} chain_sizes;

static void chain_of(const chain_sizes *s, dn_conv_shape *first, dn_conv_shape *second) {
    *first = (dn_conv_shape){.in_c = s->in_c,
                             .in_h = s->h,
                             .in_w = s->w,
                             .out_c = s->between,
                             .out_h = (s->h - 1) / s->stride + 1,
                             .out_w = (s->w - 1) / s->stride + 1,
                             .size = s->size,
                             .stride_y = s->stride,
                             .stride_x = s->stride,
                             .pad = s->size / 2,
                             .dilation = 1,
                             .groups = 1};
    *second = (dn_conv_shape){.in_c = s->between,
                              .in_h = first->out_h,
                              .in_w = first->out_w,
                              .out_c = s->out_c,
                              .out_h = (first->out_h + 2 * s->pad - 3) / 2 + 1,
                              .out_w = (first->out_w + 2 * s->pad - 3) / 2 + 1,
                              .size = 3,
                              .stride_y = 2,
                              .stride_x = 2,
                              .pad = s->pad,
                              .dilation = 1,
                              .groups = 1};
}

/* Tiles of both sizes, strips that end anywhere, channels that are no multiple, rows and columns of nothing
 * but padding. Tiles of 2 x 2 where most_floats allows no more. */
static void test_chains(void) {
    const chain_sizes all[] = {{3, 96, 128, 3, 1, 32, 1, 64}, {3, 193, 230, 3, 2, 32, 1, 60},
                               {3, 91, 131, 3, 1, 30, 1, 62}, {1, 97, 117, 5, 1, 29, 0, 64},
                               {4, 95, 200, 3, 1, 44, 3, 57}, {3, 310, 98, 3, 1, 32, 1, 96}};
    const dn_activation kinds[] = {DN_ACTIVATION_LEAKY, DN_ACTIVATION_MISH, DN_ACTIVATION_RELU6,
                                   DN_ACTIVATION_LOGISTIC, DN_ACTIVATION_LINEAR};
    for (int level = 0; dn_kernels_available(level); ++level) {
        const dn_kernels *kernels = dn_kernels_available(level);
        const int before = failures;
        for (size_t i = 0; i < DN_COUNT(all); ++i) {
            dn_conv_shape first, second;
            chain_of(&all[i], &first, &second);
            const size_t small = 16 * (size_t)second.in_c * (size_t)second.out_c;
            const dn_activation kind = kinds[i % DN_COUNT(kinds)];
            check(kernels, &first, &second, kind, i % 3 == 1, i % 2 == 1, i == 2 ? small : SIZE_MAX);
        }
        done(kernels->level, before);
    }
}

/* Whether the two make a pair, second's weights in so many floats, and the first pooled. */
static bool chains(const chain_sizes *s, size_t most_floats, bool pooled) {
    const dn_kernels *kernels = dn_kernels_available(0);
    dn_conv_shape first, second;
    dn_conv_prepared *a = NULL, *b = NULL;
    chain_of(s, &first, &second);
    const dn_pool_shape windows = {
        first.out_c, first.out_h, first.out_w, first.out_h / 2, first.out_w / 2, 2, 2, 2, 0, 0};
    bool found = false;
    if (dn_cpu_conv_prepare_level(&a, kernels, &first, DN_ACTIVATION_LEAKY, false, 0) == DN_OK &&
        dn_cpu_conv_prepare_level(&b, kernels, &second, DN_ACTIVATION_LEAKY, false, most_floats) == DN_OK &&
        (!pooled || dn_cpu_conv_pool(a, &windows)))
        found = dn_cpu_conv_pairs(a, b);
    dn_cpu_conv_prepared_free(a);
    dn_cpu_conv_prepared_free(b);
    return found;
}

static void test_chain_choice(void) {
    const int before = failures;
    const chain_sizes usual = {3, 128, 128, 3, 1, 32, 1, 64}, few = {3, 30, 128, 3, 1, 32, 1, 64},
                      deep = {8, 128, 128, 5, 1, 32, 1, 64};
    if (!chains(&usual, SIZE_MAX, false)) failures++;
    if (chains(&usual, 0, false) || chains(&usual, SIZE_MAX, true)) failures++;
    if (chains(&few, SIZE_MAX, false) || chains(&deep, SIZE_MAX, false)) failures++;
    if (failures > before) printf("FAIL which convolutions make a chain\n");
    done("choice of chains", before);
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
    test_chains();
    test_chain_choice();
    for (int t = 0; t < MOST_THREADS; ++t) dn_pool_free(pools[t]);
    return failures != 0;
}
