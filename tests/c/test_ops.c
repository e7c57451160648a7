/* test_ops.c - the operations of the CPU backend but products and normalisation against plain loops; and that
 * thread counts change no bit. */
#include "targets.h"

static void test_flat(size_t n) {
    float *a = numbers(n, 1), *b = numbers(n, 1);
    target fill = target_new("fill", n, 1), copy = target_new("copy", n, 1), axpy = target_new("axpy", n, 1);
    target scale = target_new("scale", n, 1), multiply = target_new("multiply", n, 1);
    target add = target_new("multiply_add", n, 1), sign = target_new("sign", n, 1);
    target through = target_new("sign_gradient", n, 1), clamp = target_new("clamp", n, 1);
    target w = target_new("sgd", n, 1), g = target_new("sgd momentum", n, 1);
    ON_EVERY_DEVICE(t) {
        ops->fill(devices[t], fill.got[t], 2.5f, n);
        ops->copy(devices[t], copy.got[t], a, n);
        ops->axpy(devices[t], axpy.got[t], .3f, a, n);
        ops->scale(devices[t], scale.got[t], .3f, n);
        ops->multiply(devices[t], multiply.got[t], a, n);
        ops->multiply_add(devices[t], add.got[t], a, b, n);
        ops->sign(devices[t], a, sign.got[t], n);
        ops->sign_gradient(devices[t], a, through.got[t], n);
        ops->clamp(devices[t], clamp.got[t], .5f, n);
        ops->sgd(devices[t], w.got[t], g.got[t], n, .1f, .9f, .5f);
    }
    for (size_t i = 0; i < n; ++i) {
        fill.want[i] = 2.5f;
        copy.want[i] = a[i];
        axpy.want[i] += .3f * a[i];
        scale.want[i] *= .3f;
        multiply.want[i] *= a[i];
        add.want[i] += a[i] * b[i];
        sign.want[i] = a[i] > 0 ? 1 : -1;
        if (fabsf(a[i]) >= 1) through.want[i] = 0;
        clamp.want[i] = fminf(fmaxf(clamp.want[i], -.5f), .5f);
        g.want[i] -= .5f * w.want[i];
        w.want[i] += .1f * g.want[i];
        g.want[i] *= .9f;
    }
    target *all[] = {&fill, &copy, &axpy, &scale, &multiply, &add, &sign, &through, &clamp, &w, &g};
    for (size_t i = 0; i < DN_COUNT(all); ++i) target_check(all[i], 1);
    dn_free(a), dn_free(b);
}

static void test_adam_op(size_t n) {
    float *w = numbers(n, 1), *g = numbers(n, 1), *m = numbers(n, 1), *v = numbers(n, 1);
    for (size_t i = 0; i < n; ++i) v[i] = fabsf(v[i]);
    target t = target_new("adam", n, 1);
    ON_EVERY_DEVICE(d) {
        float *g1 = copied(g, n), *m1 = copied(m, n), *v1 = copied(v, n);
        memcpy(t.got[d], w, n * sizeof *w);
        ops->adam(devices[d], t.got[d], g1, m1, v1, n, .01f, .9f, .999f, 1e-6f, .05f, .19f, .002f);
        dn_free(g1), dn_free(m1), dn_free(v1);
    }
    memcpy(t.want, w, n * sizeof *w);
    dn_kernels_get()->adam(t.want, g, m, v, n, .01f, .9f, .999f, 1e-6f, .05f, .19f, .002f);
    target_check(&t, 1);
    dn_free(w), dn_free(g), dn_free(m), dn_free(v);
}

static void test_bias(int batch, int c, size_t s) {
    size_t n = (size_t)batch * (size_t)c * s;
    float *bias = numbers((size_t)c, 1), *delta = numbers(n, 1);
    target add = target_new("bias_add", n, 1), gradient_of = target_new("bias_gradient", (size_t)c, 1);
    ON_EVERY_DEVICE(t) {
        ops->bias_add(devices[t], add.got[t], bias, batch, c, s);
        ops->bias_gradient(devices[t], gradient_of.got[t], delta, batch, c, s);
    }
    for (size_t i = 0; i < n; ++i) add.want[i] += bias[i / s % (size_t)c];
    for (int k = 0; k < c; ++k) {
        double sum = (double)gradient_of.want[k];
        for (int b = 0; b < batch; ++b)
            for (size_t i = 0; i < s; ++i) sum += (double)delta[((size_t)b * (size_t)c + (size_t)k) * s + i];
        gradient_of.want[k] = (float)sum;
    }
    target_check(&add, 1);
    target_check(&gradient_of, 10);
    dn_free(bias), dn_free(delta);
}

static void test_normalize_channels(dn_activation kind, size_t batch, size_t c, size_t s) {
    size_t n = batch * c * s;
    target forward = target_new("normalize_channels", n, 2), backward = target_new("its gradient", n, 1);
    bool plain = kind == DN_ACTIVATION_NORMALIZE_CHANNELS;
    for (size_t b = 0; b < batch; ++b)
        for (size_t i = 0; i < s; ++i) {
            double sum = 1e-4, product = 0, largest = -INFINITY;
            float *y = forward.want + b * c * s + i, *delta = backward.want + b * c * s + i;
            for (size_t k = 0; k < c; ++k) largest = larger(largest, (double)y[k * s]);
            if (kind != DN_ACTIVATION_NORMALIZE_CHANNELS_SOFTMAX_MAXVAL) largest = 0;
            for (size_t k = 0; k < c; ++k)
                sum += plain ? fmax((double)y[k * s], 0) : exp((double)y[k * s] - largest);
            for (size_t k = 0; k < c; ++k) {
                y[k * s] =
                    (float)((plain ? fmax((double)y[k * s], 0) : exp((double)y[k * s] - largest)) / sum);
                product += (double)y[k * s] * (double)delta[k * s];
            }
            for (size_t k = 0; k < c; ++k)
                if (!plain || y[k * s] > 0) delta[k * s] *= (float)product;
        }
    ON_EVERY_DEVICE(t) {
        ops->activate(devices[t], kind, forward.got[t], (int)batch, (int)c, s);
        ops->activate_gradient(devices[t], kind, forward.want, NULL, backward.got[t], (int)batch, (int)c, s);
    }
    target_check(&forward, 1);
    target_check(&backward, 1);
}

static void test_activate_op(dn_activation kind, int c, size_t s) {
    size_t n = (size_t)c * s;
    target forward = target_new("activate", n, 3), backward = target_new("activate_gradient", n, 1);
    float *y = copied(forward.start, n);
    dn_kernels_get()->activate(kind, y, n);
    for (size_t i = 0; i < n; ++i) {
        forward.want[i] = (float)activated(kind, (double)forward.start[i]);
        backward.want[i] *= (float)gradient(kind, (double)(takes_pre(kind) ? forward.start[i] : y[i]));
    }
    ON_EVERY_DEVICE(t) {
        ops->activate(devices[t], kind, forward.got[t], 1, c, s);
        ops->activate_gradient(devices[t], kind, y, forward.start, backward.got[t], 1, c, s);
    }
    target_check(&forward, 1);
    target_check(&backward, 1);
    dn_free(y);
}

/* ---- pooling ---- */

static void test_pool_ops(int batch, int c, int h, int w, int size, int stride) {
    dn_pool_shape p = {c,    h,      w,      (h - 1) / stride + 1, (w - 1) / stride + 1,
                       size, stride, stride, -((size - 1) / 2),    -((size - 1) / 2)};
    const int strides[] = {stride, stride}, offsets[] = {p.offset_y, p.offset_x};
    size_t planes = (size_t)batch * (size_t)c, in = (size_t)h * (size_t)w,
           out = (size_t)p.out_h * (size_t)p.out_w;
    float *x = numbers(planes * in, 2), *dy = numbers(planes * out, 1);
    int32_t *at = dn_alloc(planes * out * sizeof *at), *want_at = dn_alloc(planes * out * sizeof *at);
    target forward = target_new("maxpool_forward", planes * out, 1);
    target backward = target_new("maxpool_backward", planes * in, 1);
    for (size_t plane = 0; plane < planes; ++plane)
        pool_naive(x + plane * in, h, w, forward.want + plane * out, want_at + plane * out, p.out_h, p.out_w,
                   size, strides, offsets);
    want_at[0] = -1; /* as of an empty window, which is ignored */
    for (size_t i = 1; i < planes * out; ++i) backward.want[i / out * in + (size_t)want_at[i]] += dy[i];
    ON_EVERY_DEVICE(t) {
        ops->maxpool_forward(devices[t], &p, batch, x, forward.got[t], at);
        at[0] = -1;
        ops->maxpool_backward(devices[t], &p, batch, at, dy, backward.got[t], true);
        if (memcmp(at, want_at, planes * out * sizeof *at) != 0)
            report("cpu", "maxpool argmax", size, INFINITY);
    }
    target_check(&forward, 1);
    target_check(&backward, 1);
    dn_free(x), dn_free(dy), dn_free(at), dn_free(want_at);
}

/* Windows hang over every edge; an output outside the plane altogether is 0. */
static void test_avgpool(int batch, int c, int h, int w, int size, int stride, int offset) {
    dn_pool_shape p = {
        c, h, w, (h - offset) / stride + 1, (w - offset) / stride + 1, size, stride, stride, offset, offset};
    size_t planes = (size_t)batch * (size_t)c, in = (size_t)h * (size_t)w,
           out = (size_t)p.out_h * (size_t)p.out_w;
    float *x = numbers(planes * in, 2), *dy = numbers(planes * out, 1);
    target forward = target_new("avgpool_forward", planes * out, 1);
    target backward = target_new("avgpool_backward", planes * in, 1);
    for (size_t o = 0; o < planes * out; ++o) {
        int top = (int)(o % out) / p.out_w * stride + offset,
            left = (int)(o % out) % p.out_w * stride + offset;
        double sum = 0, count = 0;
        for (int pass = 0; pass < 2; ++pass)
            for (int k = 0; k < size * size; ++k) {
                int y = top + k / size, column = left + k % size;
                if (y < 0 || y >= h || column < 0 || column >= w) continue;
                size_t at = o / out * in + (size_t)y * (size_t)w + (size_t)column;
                if (pass == 0)
                    sum += (double)x[at], count += 1;
                else
                    backward.want[at] += dy[o] / (float)count;
            }
        forward.want[o] = count > 0 ? (float)(sum / count) : 0;
    }
    ON_EVERY_DEVICE(t) {
        ops->avgpool_forward(devices[t], &p, batch, x, forward.got[t]);
        ops->avgpool_backward(devices[t], &p, batch, dy, backward.got[t]);
    }
    target_check(&forward, 4);
    target_check(&backward, 4);
    dn_free(x), dn_free(dy);
}

static void test_depth_and_mean(size_t batch, size_t c, size_t out_c, size_t s) {
    float *x = numbers(batch * c * s, 2), *dy = numbers(batch * out_c * s, 1), *dmean = numbers(batch * c, 1);
    int32_t *at = dn_alloc(batch * out_c * s * sizeof *at);
    target forward = target_new("maxpool_depth_forward", batch * out_c * s, 1);
    target backward = target_new("maxpool_depth_backward", batch * c * s, 1);
    target mean = target_new("mean_forward", batch * c, 1),
           spread = target_new("mean_backward", batch * c * s, 1);
    for (size_t b = 0; b < batch; ++b)
        for (size_t g = 0; g < out_c; ++g)
            for (size_t i = 0; i < s; ++i) {
                size_t best = g;
                for (size_t k = g; k < c; k += out_c)
                    if (x[(b * c + k) * s + i] > x[(b * c + best) * s + i]) best = k;
                forward.want[(b * out_c + g) * s + i] = x[(b * c + best) * s + i];
                backward.want[(b * c + best) * s + i] += dy[(b * out_c + g) * s + i];
            }
    for (size_t row = 0; row < batch * c; ++row) {
        double sum = 0;
        for (size_t i = row * s; i < (row + 1) * s; ++i) {
            sum += (double)x[i];
            spread.want[i] += dmean[row] / (float)s;
        }
        mean.want[row] = (float)(sum / (double)s);
    }
    ON_EVERY_DEVICE(t) {
        ops->maxpool_depth_forward(devices[t], (int)batch, (int)c, (int)out_c, s, x, forward.got[t], at);
        ops->maxpool_depth_backward(devices[t], (int)batch, (int)c, (int)out_c, s, at, dy, backward.got[t]);
        ops->mean_forward(devices[t], x, mean.got[t], batch * c, s);
        ops->mean_backward(devices[t], dmean, spread.got[t], batch * c, s);
    }
    target *all[] = {&forward, &backward, &mean, &spread};
    for (size_t i = 0; i < DN_COUNT(all); ++i) target_check(all[i], 1);
    dn_free(x), dn_free(dy), dn_free(dmean), dn_free(at);
}

/* ---- moving ---- */

static void test_resample(size_t planes, size_t h, size_t w, size_t stride, bool accumulate) {
    size_t small = planes * h * w, wide = w * stride;
    float *x = numbers(small, 1), *big = numbers(small * stride * stride, 1);
    target expand = target_new("expand", small * stride * stride, 1), reduce = target_new("reduce", small, 1);
    for (size_t i = 0; i < small && !accumulate; ++i) reduce.want[i] = 0;
    for (size_t row = 0; row < planes * h * stride; ++row)
        for (size_t i = 0; i < wide; ++i) {
            size_t at = row / stride * w + i / stride;
            expand.want[row * wide + i] = (accumulate ? expand.want[row * wide + i] : 0) + .7f * x[at];
            reduce.want[at] += .7f * big[row * wide + i];
        }
    ON_EVERY_DEVICE(t) {
        ops->expand(devices[t], x, expand.got[t], planes, (int)h, (int)w, (int)stride, .7f, accumulate);
        ops->reduce(devices[t], big, reduce.got[t], planes, (int)h, (int)w, (int)stride, .7f, accumulate);
    }
    target_check(&expand, 1);
    target_check(&reduce, 4);
    dn_free(x), dn_free(big);
}

static void test_reorg(size_t batch, size_t c, size_t h, size_t w, size_t s, bool reverse, bool accumulate) {
    size_t image = c * h * w, oc = c / (s * s);
    float *x = numbers(batch * image, 1);
    target reorg = target_new("reorg", batch * image, 1),
           transpose = target_new("transpose", batch * image, 1);
    for (size_t b = 0; b < batch; ++b)
        for (size_t k = 0; k < c; ++k)
            for (size_t j = 0; j < h; ++j)
                for (size_t i = 0; i < w; ++i) {
                    size_t q = k / oc, c2 = k % oc, small = b * image + i + w * (j + h * k);
                    size_t big = b * image + (i * s + q % s) + w * s * ((j * s + q / s) + h * s * c2);
                    size_t to = reverse ? big : small, from = reverse ? small : big;
                    reorg.want[to] = (accumulate ? reorg.want[to] : 0) + x[from];
                    to = b * image + (j * w + i) * c + k;
                    transpose.want[to] = (accumulate ? transpose.want[to] : 0) + x[small];
                }
    ON_EVERY_DEVICE(t) {
        ops->reorg(devices[t], x, reorg.got[t], (int)batch, (int)c, (int)h, (int)w, (int)s, reverse,
                   accumulate);
        ops->transpose(devices[t], x, transpose.got[t], (int)batch, (int)c, h * w, accumulate);
    }
    target_check(&reorg, 1);
    target_check(&transpose, 1);
    dn_free(x);
}

static void test_copy_rows(size_t rows, size_t columns, bool accumulate) {
    float *x = numbers(rows * (columns + 3), 1);
    target t = target_new("copy_rows", rows * (columns + 5), 1);
    for (size_t row = 0; row < rows; ++row)
        for (size_t i = 0; i < columns; ++i) {
            float *to = t.want + row * (columns + 5) + i;
            *to = (accumulate ? *to : 0) + x[row * (columns + 3) + i];
        }
    ON_EVERY_DEVICE(d)
    ops->copy_rows(devices[d], t.got[d], columns + 5, x, columns + 3, rows, columns, accumulate);
    target_check(&t, 1);
    dn_free(x);
}

static void test_shortcut(dn_shortcut_shape p, size_t batch) {
    size_t w1 = (size_t)p.from_w, h1 = (size_t)p.from_h, c1 = (size_t)p.from_c;
    size_t w2 = (size_t)p.out_w, h2 = (size_t)p.out_h, c2 = (size_t)p.out_c;
    size_t stride = dn_max_size(1, w1 / w2), sample = dn_max_size(1, w2 / w1);
    float *from = numbers(batch * c1 * h1 * w1, 1), *delta = numbers(batch * c2 * h2 * w2, 1);
    target out = target_new("shortcut_forward", batch * c2 * h2 * w2, 1);
    target back = target_new("shortcut_backward", batch * c1 * h1 * w1, 1);
    for (size_t b = 0; b < batch; ++b)
        for (size_t k = 0; k < dn_min_size(c1, c2); ++k)
            for (size_t j = 0; j < dn_min_size(h1, h2); ++j)
                for (size_t i = 0; i < dn_min_size(w1, w2); ++i) {
                    size_t o = ((b * c2 + k) * h2 + j * sample) * w2 + i * sample;
                    size_t f = ((b * c1 + k) * h1 + j * stride) * w1 + i * stride;
                    out.want[o] = p.alpha * out.want[o] + p.beta * from[f];
                    back.want[f] += p.beta * delta[o];
                }
    ON_EVERY_DEVICE(t) {
        ops->shortcut_forward(devices[t], &p, (int)batch, from, out.got[t]);
        ops->shortcut_backward(devices[t], &p, (int)batch, delta, back.got[t]);
    }
    target_check(&out, 1);
    target_check(&back, 1);
    dn_free(from), dn_free(delta);
}

static void test_scale_channels(size_t batch, size_t c, size_t s, bool per_pixel) {
    size_t n = batch * c * s, factors = batch * (per_pixel ? s : c);
    float *factor = numbers(factors, 1), *x = numbers(n, 1), *delta = numbers(n, 1);
    target y = target_new("scale_channels_forward", n, 1), dx = target_new("its x_delta", n, 1);
    target df = target_new("its factor_delta", factors, 1);
    for (size_t b = 0; b < batch; ++b)
        for (size_t k = 0; k < c; ++k)
            for (size_t i = 0; i < s; ++i) {
                size_t at = (b * c + k) * s + i, f = per_pixel ? b * s + i : b * c + k;
                y.want[at] = factor[f] * x[at];
                df.want[f] += x[at] * delta[at];
                dx.want[at] += factor[f] * delta[at];
            }
    ON_EVERY_DEVICE(t) {
        ops->scale_channels_forward(devices[t], factor, x, y.got[t], (int)batch, (int)c, s, per_pixel);
        ops->scale_channels_backward(devices[t], factor, x, delta, df.got[t], NULL, (int)batch, (int)c, s,
                                     per_pixel);
        ops->scale_channels_backward(devices[t], factor, x, delta, NULL, dx.got[t], (int)batch, (int)c, s,
                                     per_pixel);
    }
    target_check(&y, 1);
    target_check(&dx, 1);
    target_check(&df, 20);
    dn_free(factor), dn_free(x), dn_free(delta);
}

static void test_softmax(int n, size_t rows_a, size_t rows_b, float temperature) { /* x[rows_a][n][rows_b] */
    size_t count = (size_t)n * rows_a * rows_b;
    float *x = numbers(count, 20);
    target t = target_new("softmax", count, 1);
    for (size_t row = 0; row < rows_a * rows_b; ++row) {
        size_t at = row / rows_b * (size_t)n * rows_b + row % rows_b;
        double sum = 0, largest = -INFINITY, T = (double)temperature;
        for (int i = 0; i < n; ++i) largest = larger(largest, (double)x[at + (size_t)i * rows_b]);
        for (int i = 0; i < n; ++i) sum += exp(((double)x[at + (size_t)i * rows_b] - largest) / T);
        for (int i = 0; i < n; ++i)
            t.want[at + (size_t)i * rows_b] =
                (float)(exp(((double)x[at + (size_t)i * rows_b] - largest) / T) / sum);
    }
    ON_EVERY_DEVICE(d)
    ops->softmax(devices[d], x, t.got[d], n, rows_b, rows_a, (size_t)n * rows_b, rows_b, 1, temperature);
    target_check(&t, 3);
    dn_free(x);
}

static void test_random_and_binary(size_t n) {
    target x = target_new("dropout", n, 1), mask = target_new("dropout mask", n, 1);
    target binary = target_new("binarize_rows", 3 * n, 1);
    float *weights = numbers(3 * n, 1);
    dn_random random = dn_random_keyed(7, 3, 11);
    for (size_t i = 0; i < n; ++i) {
        mask.want[i] = dn_random_unit(&random) < .3f ? 0 : 1 / (1 - .3f);
        x.want[i] *= mask.want[i];
    }
    for (size_t row = 0; row < 3; ++row) {
        double sum = 0;
        for (size_t i = row * n; i < (row + 1) * n; ++i) sum += fabs((double)weights[i]);
        for (size_t i = row * n; i < (row + 1) * n; ++i)
            binary.want[i] = (float)(weights[i] > 0 ? sum / (double)n : -sum / (double)n);
    }
    ON_EVERY_DEVICE(t) {
        ops->dropout(devices[t], x.got[t], mask.got[t], n, .3f, 7, 3, 11);
        ops->binarize_rows(devices[t], weights, binary.got[t], 3, n);
    }
    target_check(&x, 1);
    target_check(&mask, 1);
    target_check(&binary, 1);
    dn_free(weights);
}

/* ---- all of them, small (one thread) and large (all) ---- */

static void test_moves(void) {
    for (int accumulate = 0; accumulate < 2; ++accumulate) {
        for (size_t stride = 1; stride <= 3; ++stride) {
            test_resample(2, 3, 5, stride, accumulate);
            test_resample(7, 30, 41, stride, accumulate);
        }
        for (int reverse = 0; reverse < 2; ++reverse) {
            test_reorg(2, 8, 4, 6, 2, reverse, accumulate);
            test_reorg(1, 64, 26, 26, 2, reverse, accumulate);
            test_reorg(2, 18, 27, 33, 3, reverse, accumulate);
        }
        test_copy_rows(3, 5, accumulate);
        test_copy_rows(50, 777, accumulate);
        test_scale_channels(2, 5, 7, accumulate);
        test_scale_channels(2, 30, 1500, accumulate);
    }
    const dn_shortcut_shape shapes[] = {{4, 6, 6, 4, 6, 6, 1, 1},
                                        {3, 6, 4, 5, 6, 4, .5f, 2},
                                        {6, 12, 12, 4, 6, 6, 1, .5f},
                                        {6, 5, 7, 8, 10, 14, .3f, 1},
                                        {64, 33, 31, 64, 33, 31, 1, 1}};
    for (size_t i = 0; i < DN_COUNT(shapes); ++i) test_shortcut(shapes[i], 2);
}

static void test_backend(void) {
    int before = failures;
    const size_t sizes[] = {0, 1, 17, 4095, 70001};
    for (size_t i = 0; i < DN_COUNT(sizes); ++i) {
        test_flat(sizes[i]);
        test_adam_op(sizes[i]);
        if (sizes[i]) test_random_and_binary(sizes[i]);
    }
    const struct {
        int batch, c;
        size_t s;
    } shapes[] = {{1, 1, 1}, {3, 5, 1}, {2, 3, 7}, {64, 700, 1}, {3, 37, 400}};
    for (size_t i = 0; i < DN_COUNT(shapes); ++i) {
        size_t batch = (size_t)shapes[i].batch, c = (size_t)shapes[i].c, s = shapes[i].s;
        test_bias(shapes[i].batch, shapes[i].c, s);
        for (int kind = DN_ACTIVATION_NORMALIZE_CHANNELS; kind < DN_ACTIVATION_COUNT; ++kind)
            test_normalize_channels((dn_activation)kind, batch, c, s);
        test_depth_and_mean(batch, c, (c + 2) / 3, s);
    }
    for (int kind = 0; kind <= DN_ACTIVATION_GELU; ++kind) {
        test_activate_op((dn_activation)kind, 3, 7);
        test_activate_op((dn_activation)kind, 7, 5001);
    }
    for (int size = 1; size <= 5; ++size)
        for (int stride = 1; stride <= 3; ++stride) {
            test_pool_ops(2, size * 5, 31, 37, size, stride);
            test_avgpool(2, size * 5, 31, 37, size, stride, -size);
        }
    test_softmax(1, 1, 1, 1);
    test_softmax(80, 5, 169, 1);
    test_softmax(1000, 16, 1, 2.5f);
    test_moves();
    done("cpu backend", before);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    if (!open_devices()) return 1;
    float *buffer = ops->allocate(devices[0], 1000);
    for (int i = 0; i < 1000; ++i) failures += buffer[i] != 0;
    failures += (uintptr_t)buffer % 64 != 0;
    done("allocate", 0);
    ops->release(devices[0], buffer);
    test_backend();
    close_devices();
    return failures != 0;
}
