/* test_conv.c - the convolution and matrix product slots of the CPU backend against plain loops in double
 * precision, on every level this machine has, for awkward shapes, and bit for bit the same for 1, 2 and 3
 * threads. */
#include "convolutions.h"
#include "packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;

static float *random_floats(size_t count, uint64_t stream) {
    dn_random random = dn_random_keyed(17, stream, 0);
    float *x = dn_alloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; ++i) x[i] = dn_random_uniform(&random, -1, 1);
    return x;
}

/* The largest difference over the largest magnitude; infinite where something is not a number. */
static double error_of(const float *got, const double *expected, size_t count) {
    double most = 0.1, difference = 0; /* a lone value near zero has no range */
    for (size_t i = 0; i < count; ++i) {
        const double d = fabs((double)got[i] - expected[i]);
        if (!(d <= 1e30)) return INFINITY;
        if (d > difference) difference = d;
        if (fabs(expected[i]) > most) most = fabs(expected[i]);
    }
    return difference / most;
}

static void report(const char *name, const char *level, const char *shape, double error, double limit,
                   bool same) {
    if (error <= limit && same) return;
    ++failures;
    printf("FAIL %s on %s, %s: error %.3g (limit %.3g)%s\n", name, level, shape, error, limit,
           same ? "" : ", threads change the result");
}

/* ---- one convolution, everywhere ---- */

enum { MOST_THREADS = 3 };

static dn_pool *pools[MOST_THREADS];

typedef struct sizes {
    size_t x, y, w;
} sizes;

static void check_slots(const dn_conv_shape *s, int batch, const char *text, const plain *p, sizes n) {
    const double limit = s->exact ? 2e-6 : 1.5e-5;
    float *got[MOST_THREADS][3];
    for (int level = 0; dn_kernels_available(level); ++level) {
        bool same[3] = {true, true, true};
        for (int t = 0; t < MOST_THREADS; ++t) {
            dn_device device = {pools[t], dn_kernels_available(level)};
            float *scratch = dn_alloc(dn_cpu_conv_scratch(&device, s, batch) * sizeof *scratch);
            float **g = got[t];
            g[0] = random_floats(n.y, 5);
            g[1] = random_floats(n.x, 6);
            g[2] = random_floats(n.w, 7);
            dn_cpu_conv_forward(&device, s, batch, p->x, p->w, g[0], scratch);
            dn_cpu_conv_data_gradient(&device, s, batch, p->w, p->dy, g[1], true, scratch);
            dn_cpu_conv_weight_gradient(&device, s, batch, p->x, p->dy, g[2], scratch);
            dn_free(scratch);
            same[0] = same[0] && memcmp(g[0], got[0][0], n.y * sizeof(float)) == 0;
            same[1] = same[1] && memcmp(g[1], got[0][1], n.x * sizeof(float)) == 0;
            same[2] = same[2] && memcmp(g[2], got[0][2], n.w * sizeof(float)) == 0;
        }
        const char *name = dn_kernels_available(level)->level;
        report("conv_forward", name, text, error_of(got[0][0], p->y, n.y), limit, same[0]);
        report("conv_data_gradient", name, text, error_of(got[0][1], p->dx, n.x), limit, same[1]);
        report("conv_weight_gradient", name, text, error_of(got[0][2], p->dw, n.w), 2 * limit, same[2]);
        for (int t = 0; t < MOST_THREADS; ++t)
            for (int i = 0; i < 3; ++i) dn_free(got[t][i]);
    }
}

static double leaky(double x) {
    return x > 0 ? x : 0.1 * x;
}

/* The planned convolution of the first image, without and with residual, exact and not, and with the
 * activation of the sum. */
static void check_planned(const dn_conv_shape *s, const char *text, const plain *p, sizes n) {
    float *bias = random_floats((size_t)s->out_c, 8), *residual = random_floats(n.y, 9);
    double *expected = dn_alloc(n.y * sizeof *expected);
    const size_t pixels = (size_t)s->out_h * (size_t)s->out_w;
    for (int variant = 0; variant < 5; ++variant) {
        const bool exact = variant & 1, with_residual = variant >= 2, sum = variant == 4;
        const dn_activation activation = with_residual ? DN_ACTIVATION_LEAKY : DN_ACTIVATION_LINEAR;
        for (size_t i = 0; i < n.y; ++i) {
            const double value = p->y[i] + (with_residual ? (double)bias[i / pixels] : 0);
            const double add = with_residual ? (double)residual[i] : 0;
            expected[i] = sum ? leaky(value + add) : with_residual ? leaky(value) + add : value;
        }
        for (int level = 0; dn_kernels_available(level); ++level) {
            const dn_kernels *kernels = dn_kernels_available(level);
            packed_conv conv;
            if (!pack_conv(&conv, kernels, s, p->w, with_residual ? bias : NULL, activation, sum,
                           exact ? 0 : SIZE_MAX)) {
                report("conv_prepare", kernels->level, text, INFINITY, 0, true);
                free_packed(&conv);
                continue;
            }
            const dn_conv_prepared *prepared = conv.prepared;
            const char *name = dn_cpu_conv_prepared_algorithm(prepared);
            float *got[MOST_THREADS];
            bool same = true;
            for (int t = 0; t < MOST_THREADS; ++t) {
                dn_device device = {pools[t], kernels};
                float *scratch = dn_alloc(dn_cpu_conv_prepared_scratch(prepared, t + 1, 1) * sizeof *scratch);
                got[t] = random_floats(n.y, 10);
                const dn_conv_images one = {
                    .count = 1, .x = p->x, .residual = with_residual ? residual : NULL, .y = got[t]};
                dn_cpu_conv_run(&device, prepared, &one, scratch);
                dn_free(scratch);
                same = same && memcmp(got[t], got[0], n.y * sizeof(float)) == 0;
            }
            same = same && !(exact && strncmp(name, "winograd", 8) == 0);
            report(name, kernels->level, text, error_of(got[0], expected, n.y), exact ? 2e-6 : 1.5e-5, same);
            for (int t = 0; t < MOST_THREADS; ++t) dn_free(got[t]);
            free_packed(&conv);
        }
    }
    dn_free(bias);
    dn_free(residual);
    dn_free(expected);
}

/* Images some way apart, all at once or one by one: the same bits, and nothing between them. */
static void check_planned_images(const dn_conv_shape *s, const char *text, const float *w, sizes n) {
    enum { IMAGES = 3, GAP = 5 };
    const size_t x_apart = n.x + GAP, y_apart = n.y + GAP, all = IMAGES * y_apart;
    for (int level = 0; dn_kernels_available(level); ++level) {
        dn_device device = {pools[1], dn_kernels_available(level)};
        packed_conv conv;
        if (!pack_conv(&conv, device.kernels, s, w, NULL, 0, level % 2, SIZE_MAX)) {
            free_packed(&conv);
            continue;
        }
        const dn_conv_prepared *prepared = conv.prepared;
        float *x = random_floats(IMAGES * x_apart, 20), *residual = random_floats(all, 21);
        float *together = random_floats(all, 22), *alone = random_floats(all, 22);
        float *scratch = dn_alloc(dn_cpu_conv_prepared_scratch(prepared, 2, IMAGES) * sizeof *scratch);
        dn_conv_images images = {IMAGES, x, residual, together, x_apart, y_apart};
        dn_cpu_conv_run(&device, prepared, &images, scratch);
        for (size_t i = 0; i < IMAGES; ++i) {
            images = (dn_conv_images){1, x + i * x_apart, residual + i * y_apart, alone + i * y_apart, 0, 0};
            dn_cpu_conv_run(&device, prepared, &images, scratch);
        }
        report("images", device.kernels->level, text, 0, 1, !memcmp(together, alone, all * sizeof *alone));
        void *owned[] = {x, residual, together, alone, scratch};
        for (size_t i = 0; i < DN_COUNT(owned); ++i) dn_free(owned[i]);
        free_packed(&conv);
    }
}

static void check_conv(dn_conv_shape s, int batch) {
    const int reach = (s.size - 1) * s.dilation + 1;
    if (s.in_h + 2 * s.pad < reach || s.in_w + 2 * s.pad < reach) return;
    s.out_h = (s.in_h + 2 * s.pad - reach) / s.stride_y + 1;
    s.out_w = (s.in_w + 2 * s.pad - reach) / s.stride_x + 1;
    char text[160];
    snprintf(text, sizeof text,
             "%dx%dx%d -> %dx%dx%d size %d stride %d,%d pad %d dilation %d groups %d batch %d", s.in_c,
             s.in_h, s.in_w, s.out_c, s.out_h, s.out_w, s.size, s.stride_y, s.stride_x, s.pad, s.dilation,
             s.groups, batch);
    const sizes one = {(size_t)(s.in_c * s.in_h * s.in_w), (size_t)(s.out_c * s.out_h * s.out_w),
                       (size_t)(s.out_c * (s.in_c / s.groups) * s.size * s.size)};
    const sizes all = {one.x * (size_t)batch, one.y * (size_t)batch, one.w};
    float *x = random_floats(all.x, 1), *w = random_floats(all.w, 2), *dy = random_floats(all.y, 3);
    float *dx_start = random_floats(all.x, 6), *dw_start = random_floats(all.w, 7);
    double *y = dn_alloc_zero(all.y, sizeof *y), *dx = dn_alloc_zero(all.x, sizeof *dx);
    double *dw = dn_alloc_zero(all.w, sizeof *dw);
    for (size_t i = 0; i < all.x; ++i) dx[i] = (double)dx_start[i]; /* gradients add to what is there */
    for (size_t i = 0; i < all.w; ++i) dw[i] = (double)dw_start[i];
    for (int b = 0; b < batch; ++b) {
        const size_t i = (size_t)b;
        plain image = {x + i * one.x, w, dy + i * one.y, y + i * one.y, dx + i * one.x, dw};
        each_tap(&s, plain_tap, &image);
    }
    const plain p = {x, w, dy, y, dx, dw};
    check_slots(&s, batch, text, &p, all);
    check_planned_images(&s, text, w, one);
    s.exact = true;
    check_slots(&s, batch, text, &p, all);
    check_planned(&s, text, &p, one);
    void *owned[] = {x, w, dy, dx_start, dw_start, y, dx, dw};
    for (size_t i = 0; i < DN_COUNT(owned); ++i) dn_free(owned[i]);
}

/* ---- the shapes ---- */

static void done(const char *name, int before) {
    if (failures == before) printf("ok %s\n", name);
}

static void test_sizes(void) {
    const int before = failures;
    const int kernel[] = {1, 2, 3, 5, 7};
    for (size_t k = 0; k < DN_COUNT(kernel); ++k)
        for (int stride = 1; stride <= 3; ++stride)
            for (int pad = 0; pad <= kernel[k] / 2 + 1; ++pad) {
                check_conv((dn_conv_shape){.in_c = 3,
                                           .in_h = 11,
                                           .in_w = 13,
                                           .out_c = 5,
                                           .size = kernel[k],
                                           .stride_y = stride,
                                           .stride_x = 1 + stride % 3,
                                           .pad = pad,
                                           .dilation = 1,
                                           .groups = 1},
                           1 + stride % 2);
                check_conv((dn_conv_shape){.in_c = 17,
                                           .in_h = 9,
                                           .in_w = 20,
                                           .out_c = 9,
                                           .size = kernel[k],
                                           .stride_y = stride,
                                           .stride_x = stride,
                                           .pad = pad,
                                           .dilation = 1,
                                           .groups = 1},
                           1);
            }
    done("sizes, strides and padding", before);
}

static void test_maps(void) {
    const int before = failures;
    const int maps[][2] = {{1, 1}, {1, 7}, {7, 1}, {2, 2}, {3, 53}, {13, 13}, {5, 100}, {9, 210}};
    for (size_t i = 0; i < DN_COUNT(maps); ++i)
        for (int size = 1; size <= 3; size += 2)
            for (int channels = 1; channels <= 34; channels += 16) {
                dn_conv_shape s = {.in_c = channels,
                                   .in_h = maps[i][0],
                                   .in_w = maps[i][1],
                                   .out_c = 18 - channels % 18,
                                   .size = size,
                                   .stride_y = 1,
                                   .stride_x = 1,
                                   .pad = size / 2,
                                   .dilation = 1,
                                   .groups = 1};
                check_conv(s, 3);
                s.stride_x = s.stride_y = 2;
                check_conv(s, 2);
            }
    done("maps", before);
}

/* Pixels of 1x1 convolutions that are read in place or packed, in blocks, fetched ahead or not. */
static void test_pixels(void) {
    const int before = failures;
    const struct {
        int in_c, h, w, out_c;
    } ways[] = {{300, 32, 64, 33}, {257, 23, 27, 70}, {130, 32, 32, 130}, {40, 20, 52, 96},
                {256, 64, 32, 9},  {64, 20, 20, 257}, {520, 16, 32, 72}};
    for (size_t i = 0; i < DN_COUNT(ways); ++i)
        check_conv((dn_conv_shape){.in_c = ways[i].in_c,
                                   .in_h = ways[i].h,
                                   .in_w = ways[i].w,
                                   .out_c = ways[i].out_c,
                                   .size = 1,
                                   .stride_y = 1,
                                   .stride_x = 1,
                                   .dilation = 1,
                                   .groups = 1},
                   1);
    done("1x1 convolutions' pixels", before);
}

static void test_dilation_and_groups(void) {
    const int before = failures;
    for (int stride = 1; stride <= 3; ++stride)
        for (int dilation = 1; dilation <= 2; ++dilation) {
            dn_conv_shape s = {.in_c = 12,
                               .in_h = 10,
                               .in_w = 19,
                               .out_c = 24,
                               .size = 3,
                               .stride_y = stride,
                               .stride_x = stride,
                               .pad = dilation,
                               .dilation = dilation,
                               .groups = 1};
            const int groups[] = {1, 2, 3, 4, 12};
            for (size_t i = 0; i < DN_COUNT(groups); ++i) {
                s.groups = groups[i];
                check_conv(s, 2);
            }
            s.out_c = 12;
            s.in_w = 67;
            check_conv(s, 1);
            s.size = 5;
            s.stride_x = 1 + stride % 3;
            check_conv(s, 1);
        }
    done("dilation, groups and depthwise", before);
}

/* One input channel per group: widths around the vector's, heights around the bands' and the blocks of rows.
 */
static void test_depthwise(void) {
    const int before = failures, widths[] = {1, 2, 7, 15, 16, 17, 31, 33, 50},
              heights[] = {1, 3, 4, 5, 16, 35};
    for (int size = 3; size <= 5; size += 2)
        for (int stride = 1; stride <= 2; ++stride)
            for (size_t w = 0; w < DN_COUNT(widths); ++w)
                for (size_t h = 0; h < DN_COUNT(heights); ++h) {
                    const int pad = (int)(w + h) % 2 ? size / 2 : size - 1;
                    const dn_conv_shape s = {.in_c = 3,
                                             .in_h = heights[h],
                                             .in_w = widths[w],
                                             .out_c = w % 3 ? 3 : 6,
                                             .size = size,
                                             .stride_y = stride,
                                             .stride_x = stride,
                                             .pad = pad,
                                             .dilation = 1,
                                             .groups = 3};
                    check_conv(s, 1 + (int)h % 2);
                }
    done("depthwise", before);
}

static void check_plain(int in_c, int in_h, int in_w, int out_c, int size, int stride, int batch) {
    check_conv((dn_conv_shape){.in_c = in_c,
                               .in_h = in_h,
                               .in_w = in_w,
                               .out_c = out_c,
                               .size = size,
                               .stride_y = stride,
                               .stride_x = stride,
                               .pad = size / 2,
                               .dilation = 1,
                               .groups = 1},
               batch);
}

/* Long depths cross the blocks of depth; wide maps those of columns, whose rows may begin within lines. The
 * products that are largest have pieces for threads to claim. */
static void test_blocks(void) {
    const int before = failures;
    check_plain(300, 3, 5, 250, 1, 1, 2);
    check_plain(520, 25, 27, 41, 1, 1, 1);
    check_plain(520, 13, 13, 270, 1, 1, 1);
    check_plain(300, 1, 1, 25, 1, 1, 1);
    check_plain(33, 6, 200, 20, 3, 1, 1);
    check_plain(70, 9, 9, 130, 3, 2, 1);
    done("blocks", before);
}

/* Each F(m x m, 3 x 3) of a stride by force, on maps with and without cut tiles, and large enough for several
 * blocks. */
static void check_winograd(int m, int stride, bool taps, dn_conv_shape s) {
    s.size = 3;
    s.stride_x = s.stride_y = stride;
    s.dilation = s.groups = 1;
    s.out_h = (s.in_h + 2 * s.pad - 3) / stride + 1;
    s.out_w = (s.in_w + 2 * s.pad - 3) / stride + 1;
    char text[100];
    snprintf(text, sizeof text, "m = %d%s, stride %d, %dx%dx%d -> %d channels, pad %d", m,
             taps ? " taps" : "", stride, s.in_c, s.in_h, s.in_w, s.out_c, s.pad);
    const sizes n = {(size_t)(s.in_c * s.in_h * s.in_w), (size_t)(s.out_c * s.out_h * s.out_w),
                     (size_t)(s.out_c * s.in_c * 9)};
    float *x = random_floats(n.x, 1), *w = random_floats(n.w, 2), *dy = random_floats(n.y, 3);
    double *y = dn_alloc_zero(n.y, sizeof *y), *dx = dn_alloc_zero(n.x, sizeof *dx),
           *dw = dn_alloc_zero(n.w, sizeof *dw);
    plain p = {x, w, dy, y, dx, dw};
    each_tap(&s, plain_tap, &p);
    const dn_epilogue epilogue = {.activation = DN_ACTIVATION_LINEAR};
    for (int level = 0; dn_kernels_available(level); ++level) {
        dn_winograd winograd = dn_winograd_describe(dn_kernels_available(level), &s, m, true);
        if (taps) dn_winograd_keep_taps(&winograd);
        winograd.u = dn_alloc_zero(dn_winograd_u_size(&winograd), sizeof *winograd.u);
        if (!winograd.u) {
            report("winograd_describe", dn_kernels_available(level)->level, text, INFINITY, 0, true);
            continue;
        }
        dn_winograd_pack(&winograd, 0, s.out_c, w);
        float *got[MOST_THREADS];
        bool same = true;
        for (int t = 0; t < MOST_THREADS; ++t) {
            dn_device device = {pools[t], dn_kernels_available(level)};
            float *scratch = dn_alloc(dn_winograd_scratch(&winograd, t + 1, 1) * sizeof *scratch);
            got[t] = random_floats(n.y, 10);
            dn_winograd_run(&device, &winograd, &(dn_conv_images){.count = 1, .x = x, .y = got[t]}, &epilogue,
                            scratch);
            dn_free(scratch);
            same = same && memcmp(got[t], got[0], n.y * sizeof(float)) == 0;
        }
        report("winograd", dn_kernels_available(level)->level, text, error_of(got[0], y, n.y),
               m > 3 ? 3e-5 : 1e-5, same);
        for (int t = 0; t < MOST_THREADS; ++t) dn_free(got[t]);
        dn_free(winograd.u);
    }
    void *owned[] = {x, w, dy, y, dx, dw};
    for (size_t i = 0; i < DN_COUNT(owned); ++i) dn_free(owned[i]);
}

typedef struct training_case {
    const char *text;
    dn_conv_shape shape, back;
    int batch;
    sizes n;
    const float *x, *w, *dy;
    plain expected;
} training_case;

/* The three products of a batch by F(m x m, 3 x 3), with weights as they are. */
static void check_training(const training_case *c, const dn_kernels *kernels, int m) {
    const dn_winograd forward = dn_winograd_describe(kernels, &c->shape, m, false);
    const dn_winograd backward = dn_winograd_describe(kernels, &c->back, m, false);
    const size_t counts[3] = {c->n.y, c->n.x, c->n.w};
    const double *expected[3] = {c->expected.y, c->expected.dx, c->expected.dw};
    const char *names[3] = {"winograd forward", "winograd data gradient", "winograd weight gradient"};
    float *got[MOST_THREADS][3];
    bool same[3] = {true, true, true};
    for (int t = 0; t < MOST_THREADS; ++t) {
        dn_device device = {pools[t], kernels};
        size_t floats = dn_max_size(dn_winograd_batch_scratch(&forward, c->batch, t + 1),
                                    dn_winograd_batch_scratch(&backward, c->batch, t + 1));
        floats = dn_max_size(floats, dn_winograd_gradient_scratch(&forward, c->batch, t + 1));
        float *scratch = dn_alloc(floats * sizeof *scratch);
        memset(scratch, 0xff, floats * sizeof *scratch); /* NaN: what was there must not matter */
        for (int i = 0; i < 3; ++i) got[t][i] = random_floats(counts[i], 5 + (uint64_t)i);
        dn_winograd_batch_run(&device, &forward, c->batch, c->x, c->w, false, got[t][0], false, scratch);
        dn_winograd_batch_run(&device, &backward, c->batch, c->dy, c->w, true, got[t][1], true, scratch);
        dn_winograd_gradient_run(&device, &forward, c->batch, c->x, c->dy, got[t][2], scratch);
        dn_free(scratch);
        for (int i = 0; i < 3; ++i)
            same[i] = same[i] && memcmp(got[t][i], got[0][i], counts[i] * sizeof(float)) == 0;
    }
    for (int i = 0; i < 3; ++i)
        report(names[i], kernels->level, c->text, error_of(got[0][i], expected[i], counts[i]), 1e-5, same[i]);
    for (int t = 0; t < MOST_THREADS; ++t)
        for (int i = 0; i < 3; ++i) dn_free(got[t][i]);
}

static void check_winograd_training(int batch, dn_conv_shape s) {
    s.size = 3;
    s.stride_x = s.stride_y = s.dilation = s.groups = 1;
    s.out_h = s.in_h + 2 * s.pad - 2;
    s.out_w = s.in_w + 2 * s.pad - 2;
    training_case c = {.shape = s, .back = s, .batch = batch};
    c.back.in_c = s.out_c, c.back.in_h = s.out_h, c.back.in_w = s.out_w;
    c.back.out_c = s.in_c, c.back.out_h = s.in_h, c.back.out_w = s.in_w;
    c.back.pad = 2 - s.pad;
    char text[100];
    snprintf(text, sizeof text, "%d images, %dx%dx%d -> %d channels, pad %d", batch, s.in_c, s.in_h, s.in_w,
             s.out_c, s.pad);
    const size_t images = (size_t)batch, x_image = (size_t)(s.in_c * s.in_h * s.in_w),
                 y_image = (size_t)(s.out_c * s.out_h * s.out_w);
    c.n = (sizes){images * x_image, images * y_image, (size_t)(s.out_c * s.in_c * 9)};
    float *x = random_floats(c.n.x, 1), *w = random_floats(c.n.w, 2), *dy = random_floats(c.n.y, 3);
    float *dx_start = random_floats(c.n.x, 6), *dw_start = random_floats(c.n.w, 7);
    double *y = dn_alloc_zero(c.n.y, sizeof *y), *dx = dn_alloc_zero(c.n.x, sizeof *dx),
           *dw = dn_alloc_zero(c.n.w, sizeof *dw);
    for (size_t i = 0; i < c.n.x; ++i) dx[i] = (double)dx_start[i]; /* gradients add to what is there */
    for (size_t i = 0; i < c.n.w; ++i) dw[i] = (double)dw_start[i];
    for (size_t i = 0; i < images; ++i) {
        plain p = {x + i * x_image, w, dy + i * y_image, y + i * y_image, dx + i * x_image, dw};
        each_tap(&s, plain_tap, &p);
    }
    c.text = text;
    c.x = x, c.w = w, c.dy = dy;
    c.expected = (plain){x, w, dy, y, dx, dw};
    for (int level = 0; dn_kernels_available(level); ++level)
        for (int m = 2; m <= 4; ++m) check_training(&c, dn_kernels_available(level), m);
    void *owned[] = {x, w, dy, dx_start, dw_start, y, dx, dw};
    for (size_t i = 0; i < DN_COUNT(owned); ++i) dn_free(owned[i]);
}

static void test_winograd_training(void) {
    const int before = failures;
    for (int side = 3; side <= 14; ++side)
        check_winograd_training(
            3, (dn_conv_shape){.in_c = 16, .in_h = side, .in_w = 17 - side, .out_c = 33, .pad = 1});
    for (int pad = 0; pad <= 3; ++pad)
        check_winograd_training(2,
                                (dn_conv_shape){.in_c = 19, .in_h = 11, .in_w = 23, .out_c = 7, .pad = pad});
    check_winograd_training(5, (dn_conv_shape){.in_c = 3, .in_h = 60, .in_w = 101, .out_c = 20, .pad = 1});
    check_winograd_training(4, (dn_conv_shape){.in_c = 130, .in_h = 13, .in_w = 13, .out_c = 70, .pad = 1});
    check_winograd_training(2, (dn_conv_shape){.in_c = 72, .in_h = 40, .in_w = 37, .out_c = 50, .pad = 1});
    /* more weights and more tiles than one block holds */
    check_winograd_training(3, (dn_conv_shape){.in_c = 112, .in_h = 37, .in_w = 38, .out_c = 100, .pad = 1});
    done("winograd in training", before);
}

static void check_winograd_maps(int m, int stride, bool taps) {
    for (int side = 3; side <= 14; ++side)
        check_winograd(m, stride, taps,
                       (dn_conv_shape){.in_c = 16, .in_h = side, .in_w = 17 - side, .out_c = 33, .pad = 1});
    for (int pad = 0; pad <= 3; ++pad)
        check_winograd(m, stride, taps,
                       (dn_conv_shape){.in_c = 19, .in_h = 11, .in_w = 23, .out_c = 7, .pad = pad});
    check_winograd(m, stride, taps,
                   (dn_conv_shape){.in_c = 3, .in_h = 60, .in_w = 101, .out_c = 32, .pad = 1});
    check_winograd(m, stride, taps,
                   (dn_conv_shape){.in_c = 130, .in_h = 13, .in_w = 13, .out_c = 260, .pad = 1});
    check_winograd(m, stride, taps,
                   (dn_conv_shape){.in_c = 300, .in_h = 7, .in_w = 7, .out_c = 40, .pad = 1});
    check_winograd(m, stride, taps,
                   (dn_conv_shape){.in_c = 96, .in_h = 40, .in_w = 37, .out_c = 128, .pad = 1});
}

static void test_winograd(void) {
    const int before = failures;
    for (int m = 2; m <= 6; ++m) check_winograd_maps(m, 1, false);
    for (int m = 2; m <= 6; ++m) check_winograd_maps(m, 1, true);
    check_winograd_maps(2, 2, false);
    check_winograd_maps(4, 2, false);
    check_winograd_maps(2, 2, true);
    check_winograd_maps(4, 2, true);
    done("winograd", before);
}

/* ---- matrix products ---- */

static void check_matmul(bool ta, bool tb, int m, int n, int k, bool accumulate) {
    char text[100];
    snprintf(text, sizeof text, "%dx%dx%d%s%s%s", m, n, k, ta ? " ta" : "", tb ? " tb" : "",
             accumulate ? " adds" : "");
    const size_t count = (size_t)m * (size_t)n;
    float *a = random_floats((size_t)m * (size_t)k, 1), *b = random_floats((size_t)k * (size_t)n, 2);
    float *start = random_floats(count, 3);
    double *c = dn_alloc(count * sizeof *c);
    for (int i = 0; i < m; ++i)
        for (int j = 0; j < n; ++j) {
            double sum = accumulate ? (double)start[i * n + j] : 0;
            for (int l = 0; l < k; ++l)
                sum +=
                    (double)(ta ? a[l * m + i] : a[i * k + l]) * (double)(tb ? b[j * k + l] : b[l * n + j]);
            c[i * n + j] = sum;
        }
    for (int level = 0; dn_kernels_available(level); ++level) {
        float *got[MOST_THREADS];
        bool same = true;
        for (int t = 0; t < MOST_THREADS; ++t) {
            dn_device device = {pools[t], dn_kernels_available(level)};
            float *scratch = dn_alloc(dn_cpu_matmul_scratch(&device, m, n, k) * sizeof *scratch);
            got[t] = random_floats(count, 3);
            dn_cpu_matmul(&device, ta, tb, m, n, k, a, b, got[t], accumulate, scratch);
            dn_free(scratch);
            same = same && memcmp(got[t], got[0], count * sizeof(float)) == 0;
        }
        report("matmul", dn_kernels_available(level)->level, text, error_of(got[0], c, count), 2e-6, same);
        for (int t = 0; t < MOST_THREADS; ++t) dn_free(got[t]);
    }
    dn_free(a);
    dn_free(b);
    dn_free(start);
    dn_free(c);
}

static void test_matmul(void) {
    const int before = failures;
    const int sizes_[][3] = {{1, 1, 1},     {1, 200, 37},  {200, 1, 37}, {1, 3000, 5}, {2, 3, 4},
                             {7, 48, 300},  {17, 49, 1},   {64, 97, 65}, {300, 20, 9}, {31, 500, 2},
                             {5, 130, 513}, {1, 77, 1100}, {13, 1, 600}};
    for (size_t i = 0; i < DN_COUNT(sizes_); ++i)
        for (int flags = 0; flags < 8; ++flags)
            check_matmul(flags & 1, flags & 2, sizes_[i][0], sizes_[i][1], sizes_[i][2], flags & 4);
    done("matmul", before);
}

int main(void) {
    for (int t = 0; t < MOST_THREADS; ++t)
        if (dn_pool_create(&pools[t], t + 1) != DN_OK) return 2;
    test_matmul();
    test_sizes();
    test_maps();
    test_pixels();
    test_dilation_and_groups();
    test_depthwise();
    test_blocks();
    test_winograd();
    test_winograd_training();
    for (int t = 0; t < MOST_THREADS; ++t) dn_pool_free(pools[t]);
    return failures != 0;
}
