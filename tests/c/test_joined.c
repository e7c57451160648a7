/* test_joined.c - convolutions in one step, on every level: a depthwise one with the pointwise or direct one
 * before it, the pointwise one behind it, or both; a direct one and the one with Winograd tiles behind it.
 * The same bits as in steps of their own, for any number of threads; and which convolutions join. */
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

enum { MOST_JOINED = 3 };

static size_t outputs_of(const dn_conv_shape *s) {
    return (size_t)(s->out_c * s->out_h * s->out_w);
}

/* One after the other. */
static float *run_apart(const dn_kernels *kernels, const packed_conv *convs, const dn_conv_shape *shapes,
                        int count, const float *x, const float *residual) {
    dn_device alone = {pools[0], kernels};
    float *before = NULL;
    for (int i = 0; i < count; ++i) {
        float *y = numbers(outputs_of(&shapes[i]), 1);
        run_one(&alone, convs[i].prepared, i ? before : x, i + 1 == count ? residual : NULL, y);
        dn_free(before);
        before = y;
    }
    return before;
}

/* most_floats: of the last. sum: the activation behind it is that of the sum with the residual. */
static void check(const dn_kernels *kernels, const dn_conv_shape *shapes, int count, dn_activation activation,
                  bool with_residual, bool sum, size_t most_floats) {
    const dn_conv_shape *first = &shapes[0], *last = &shapes[count - 1];
    const size_t outputs = outputs_of(last);
    float *x = numbers((size_t)(first->in_c * first->in_h * first->in_w), 1);
    float *residual = numbers(outputs, 1), *bias = numbers(1000, 1), *weights[MOST_JOINED];
    const float *add = with_residual ? residual : NULL;
    packed_conv convs[MOST_JOINED];
    const dn_conv_prepared *prepared[MOST_JOINED];
    bool packed = true;
    for (int i = 0; i < count; ++i) {
        const bool end = i + 1 == count;
        weights[i] = weights_for(&shapes[i]);
        packed = packed && pack_conv(&convs[i], kernels, &shapes[i], weights[i], bias, activation, end && sum,
                                     end ? most_floats : 0);
        prepared[i] = convs[i].prepared;
    }
    if (!packed || !dn_cpu_conv_joins(prepared, count)) {
        report(kernels->level, "do not join: channels", first->out_c, INFINITY);
        return;
    }
    float *want = run_apart(kernels, convs, shapes, count, x, add);
    for (int t = 0; t < MOST_THREADS; ++t) {
        dn_device device = {pools[t], kernels};
        const size_t floats = dn_cpu_conv_joined_scratch(prepared, count, t + 1);
        float *got = numbers(outputs, 1), *scratch = dn_alloc((floats + 1) * sizeof *scratch);
        scratch[floats] = 17;
        dn_cpu_conv_joined_run(&device, prepared, count, x, add, got, scratch);
        const bool same = memcmp(got, want, outputs * sizeof *got) == 0 && scratch[floats] == 17;
        char text[100];
        snprintf(text, sizeof text, "%d of %dx%dx%d -> %dx%dx%d, %s behind %s, threads", count, first->in_c,
                 first->in_h, first->in_w, last->out_c, last->out_h, last->out_w,
                 dn_cpu_conv_prepared_algorithm(prepared[count - 1]),
                 dn_cpu_conv_prepared_algorithm(prepared[0]));
        report(kernels->level, text, t + 1, same ? 0 : INFINITY);
        dn_free(got);
        dn_free(scratch);
    }
    for (int i = 0; i < count; ++i) {
        free_packed(&convs[i]);
        dn_free(weights[i]);
    }
    dn_free(x), dn_free(bias), dn_free(residual), dn_free(want);
}

static dn_conv_shape pointwise_behind(const dn_conv_shape *before, int out_c) {
    return (dn_conv_shape){.in_c = before->out_c,
                           .in_h = before->out_h,
                           .in_w = before->out_w,
                           .out_c = out_c,
                           .out_h = before->out_h,
                           .out_w = before->out_w,
                           .size = 1,
                           .stride_y = 1,
                           .stride_x = 1,
                           .dilation = 1,
                           .groups = 1};
}

/* Maps that are cut into bands, by size or for the threads, whose ends and channels are no multiple. */
static void test_separable(void) {
    const sizes all[] = {{3, 5, 7, 9, 3, 1},     {8, 20, 33, 31, 3, 2},  {4, 9, 150, 161, 3, 1},
                         {4, 9, 151, 163, 3, 2}, {5, 17, 90, 100, 5, 1}, {5, 17, 91, 99, 5, 2},
                         {40, 30, 10, 10, 5, 1}, {256, 8, 2, 3, 3, 1},   {2, 2, 5, 1, 3, 2},
                         {2, 3, 12, 9000, 3, 1}, {32, 70, 20, 20, 3, 1}, {12, 72, 40, 40, 3, 1},
                         {7, 300, 19, 37, 3, 1}};
    for (int level = 0; dn_kernels_available(level); ++level) {
        const dn_kernels *kernels = dn_kernels_available(level);
        const int before = failures;
        for (size_t i = 0; i < DN_COUNT(all); ++i) {
            dn_conv_shape shapes[3];
            const bool add = i % 2 == 0;
            shapes_of(&all[i], &shapes[0], &shapes[1]);
            shapes[2] = pointwise_behind(&shapes[1], all[i].in_c + 3);
            check(kernels, shapes, 2, DN_ACTIVATION_RELU6, add, false, 0);
            check(kernels, shapes, 3, DN_ACTIVATION_RELU6, !add, false, 0);
            check(kernels, shapes + 1, 2, DN_ACTIVATION_LEAKY, add, true, 0);
            if (all[i].w >= 100) continue;
            check(kernels, shapes, 2, DN_ACTIVATION_MISH, !add, false, 0);
            check(kernels, shapes, 3, DN_ACTIVATION_MISH, add, true, 0);
        }
        done(kernels->level, before);
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
            dn_conv_shape shapes[2];
            chain_of(&all[i], &shapes[0], &shapes[1]);
            const size_t small = 16 * (size_t)shapes[1].in_c * (size_t)shapes[1].out_c;
            const dn_activation kind = kinds[i % DN_COUNT(kinds)];
            check(kernels, shapes, 2, kind, i % 3 == 1, i % 2 == 1, i == 2 ? small : SIZE_MAX);
        }
        done(kernels->level, before);
    }
}

/* ---- direct, depthwise, pointwise ---- */

static void stem_of(const chain_sizes *s, int depthwise_stride, dn_conv_shape shapes[3]) {
    chain_of(s, &shapes[0], &shapes[1]);
    const sizes middle = {s->between, s->between, shapes[0].out_h, shapes[0].out_w, 3, depthwise_stride};
    dn_conv_shape before;
    shapes_of(&middle, &before, &shapes[1]);
    shapes[2] = pointwise_behind(&shapes[1], s->out_c);
}

static void test_stems(void) {
    const chain_sizes all[] = {{3, 160, 160, 3, 2, 16, 1, 8},  {3, 97, 67, 3, 2, 8, 1, 19},
                               {1, 40, 81, 5, 1, 17, 1, 5},    {3, 3, 70, 3, 1, 16, 1, 8},
                               {3, 333, 210, 3, 2, 24, 1, 12}, {2, 64, 500, 3, 1, 11, 1, 4}};
    for (int level = 0; dn_kernels_available(level); ++level) {
        const dn_kernels *kernels = dn_kernels_available(level);
        const int before = failures;
        for (size_t i = 0; i < DN_COUNT(all); ++i) {
            dn_conv_shape shapes[3];
            stem_of(&all[i], 1 + (int)(i % 2), shapes);
            check(kernels, shapes, 3, DN_ACTIVATION_RELU, i % 3 == 0, false, 0);
            check(kernels, shapes, 3, DN_ACTIVATION_SWISH, i % 3 == 1, true, 0);
        }
        done(kernels->level, before);
    }
}

/* Whether these join, the first pooled. */
static bool joins(const dn_conv_shape *shapes, int count, bool pooled) {
    const dn_kernels *kernels = dn_kernels_available(0);
    dn_conv_prepared *convs[MOST_JOINED] = {NULL};
    const dn_conv_prepared *given[MOST_JOINED];
    const dn_conv_shape *first = shapes;
    const dn_pool_shape windows = {
        first->out_c, first->out_h, first->out_w, first->out_h / 2, first->out_w / 2, 2, 2, 2, 0, 0};
    bool found = true;
    for (int i = 0; i < count; ++i) {
        found = found && dn_cpu_conv_prepare_level(&convs[i], kernels, &shapes[i], DN_ACTIVATION_LEAKY, false,
                                                   0) == DN_OK;
        given[i] = convs[i];
    }
    found = found && (!pooled || dn_cpu_conv_pool(convs[0], &windows)) && dn_cpu_conv_joins(given, count);
    for (int i = 0; i < count; ++i) dn_cpu_conv_prepared_free(convs[i]);
    return found;
}

static void test_stem_choice(void) {
    const int before = failures;
    const chain_sizes usual = {3, 160, 160, 3, 2, 16, 1, 8}, wide = {3, 16, 9000, 3, 2, 16, 1, 8};
    dn_conv_shape shapes[3];
    stem_of(&wide, 1, shapes);
    if (joins(shapes, 3, false)) failures++; /* not four rows in a cache */
    stem_of(&usual, 1, shapes);
    if (!joins(shapes, 3, false) || joins(shapes, 3, true) || joins(shapes, 2, false)) failures++;
    if (!joins(shapes + 1, 2, false) || joins(shapes + 1, 1, false)) failures++;
    shapes[2].groups = 4;
    if (joins(shapes, 3, false) || joins(shapes + 1, 2, false)) failures++;
    if (failures > before) printf("FAIL which convolutions make a stem\n");
    done("choice of stems", before);
}

/* Whether the two join, second's weights in so many floats, and the first pooled. */
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
        found = dn_cpu_conv_joins((const dn_conv_prepared *[]){a, b}, 2);
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
    return dn_separable_fits(&first, &second, NULL);
}

static void test_choice(void) {
    const int before = failures;
    const sizes usual = {16, 96, 40, 40, 3, 1}, deep = {257, 96, 40, 40, 3, 1},
                large = {16, 96, 40, 40, 7, 1};
    if (!fits(&usual, 96, 1, 1)) failures++;
    if (fits(&deep, 96, 1, 1) || fits(&large, 96, 3, 1)) failures++;
    if (fits(&usual, 192, 1, 1) || fits(&usual, 96, 0, 1) || fits(&usual, 96, 1, 2)) failures++;
    if (failures > before) printf("FAIL which convolutions join a depthwise one\n");
    done("choice", before);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    for (int t = 0; t < MOST_THREADS; ++t)
        if (dn_pool_create(&pools[t], t + 1) != DN_OK) return 2;
    test_separable();
    test_choice();
    test_stems();
    test_stem_choice();
    test_chains();
    test_chain_choice();
    for (int t = 0; t < MOST_THREADS; ++t) dn_pool_free(pools[t]);
    return failures != 0;
}
