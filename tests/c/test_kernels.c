/* test_kernels.c - every element-wise, reduction, pooling, normalising and optimiser kernel on every level of
 * this machine against plain loops in double, on awkward counts. */
#include "reference.h"

static const size_t counts[] = {0, 1, 3, 7, 15, 16, 17, 31, 100, 1000, 5000};

static void test_activation(const dn_kernels *k, dn_activation kind, size_t n) {
    float *x = numbers(n, 4), *y = copied(x, n), *residual = numbers(n, 1), *delta = numbers(n, 1);
    if (n >= 100) {
        const float special[] = {0, 90, -90, 104, -110, 1e9f, -1e9f, NAN, -3, -2, 6, 5e-7f};
        memcpy(x, special, sizeof special);
        memcpy(y, special, sizeof special);
    }
    double worst = 0;
    k->activate(kind, y, n);
    for (size_t i = 0; i < n; ++i)
        worst = larger(worst, distance((double)y[i], activated(kind, (double)x[i])));
    report(k->level, "activate", (int)kind, worst);

    worst = 0;
    float *row = copied(x, n), *before = copied(delta, n);
    k->affine_activate(kind, false, row, .5f, .25f, n % 2 ? residual : NULL, n);
    for (size_t i = 0; i < n && kind != DN_ACTIVATION_STAIR; ++i) {
        double want = activated(kind, (double)x[i] * .5 + .25) + (n % 2 ? (double)residual[i] : 0);
        worst = larger(worst, distance((double)row[i], want));
    }
    memcpy(row, x, n * sizeof *row);
    k->affine_activate(kind, true, row, .5f, .25f, n % 2 ? residual : NULL, n);
    for (size_t i = 0; i < n && kind != DN_ACTIVATION_STAIR; ++i) {
        const double sum = (double)x[i] * .5 + .25 + (n % 2 ? (double)residual[i] : 0);
        worst = larger(worst, distance((double)row[i], activated(kind, sum)));
    }
    report(k->level, "affine_activate", (int)kind, worst);

    worst = 0;
    const float *from = takes_pre(kind) ? x : y;
    k->activate_gradient(kind, y, takes_pre(kind) ? x : NULL, delta, n);
    for (size_t i = 0; i < n; ++i)
        if (!isnan(from[i]) && fabsf(from[i]) < 1e6f)
            worst = larger(worst,
                           distance((double)delta[i], (double)before[i] * gradient(kind, (double)from[i])));
    report(k->level, "activate_gradient", (int)kind, worst);
    dn_free(x), dn_free(y), dn_free(residual), dn_free(delta), dn_free(row), dn_free(before);
}

/* ---- arrays ---- */

static void test_arrays(const dn_kernels *k, size_t n) {
    float *a = numbers(n, 1), *b = numbers(n, 1), *y = numbers(n, 1), *axpy = copied(y, n),
          *scale = copied(y, n);
    float *product = copied(y, n), *sum = copied(y, n), *w = copied(a, n), *g = copied(b, n);
    k->axpy(axpy, 1.5f, a, n);
    k->scale(scale, -.7f, n);
    k->multiply(product, a, b, n);
    k->multiply_add(sum, a, b, n);
    k->sgd(w, g, n, .1f, .9f, .05f);
    double worst[6] = {0}, total = 0, dot = 0, squares = 0;
    for (size_t i = 0; i < n; ++i) {
        double gradient_i = (double)b[i] - .05 * (double)a[i];
        worst[0] = larger(worst[0], distance((double)axpy[i], (double)y[i] + 1.5 * (double)a[i]));
        worst[1] = larger(worst[1], distance((double)scale[i], -.7 * (double)y[i]));
        worst[2] = larger(worst[2], distance((double)product[i], (double)a[i] * (double)b[i]));
        worst[3] = larger(worst[3], distance((double)sum[i], (double)y[i] + (double)a[i] * (double)b[i]));
        worst[4] = larger(worst[4], distance((double)w[i], (double)a[i] + .1 * gradient_i));
        worst[5] = larger(worst[5], distance((double)g[i], .9 * gradient_i));
        total += (double)a[i];
        dot += (double)a[i] * (double)b[i];
        squares += pow((double)a[i] - .3, 2);
    }
    const char *names[] = {"axpy", "scale", "multiply", "multiply_add", "sgd", "sgd momentum"};
    for (int i = 0; i < 6; ++i) report(k->level, names[i], (int)n, worst[i]);
    double slack = 1 + sqrt((double)n); /* cancellation */
    report(k->level, "sum", (int)n, distance(k->sum(a, n), total) / slack);
    report(k->level, "dot", (int)n, distance(k->dot(a, b, n), dot) / slack);
    report(k->level, "sum_squared_difference", (int)n,
           distance(k->sum_squared_difference(a, .3f, n), squares));
    dn_free(a), dn_free(b), dn_free(y), dn_free(axpy), dn_free(scale), dn_free(product), dn_free(sum);
    dn_free(w), dn_free(g);
}

static void test_split_pairs(const dn_kernels *k, size_t pairs) {
    float *from = numbers(2 * pairs, 1), *even = numbers(pairs, 1), *odd = numbers(pairs, 1);
    bool same = true;
    k->split_pairs(from, (int)pairs, even, odd);
    for (size_t i = 0; i < pairs; ++i) same = same && even[i] == from[2 * i] && odd[i] == from[2 * i + 1];
    report(k->level, "split_pairs", (int)pairs, same ? 0 : 1);
    dn_free(from), dn_free(even), dn_free(odd);
}

static void test_normalize(const dn_kernels *k, size_t n) {
    float *x = numbers(n, 1), *delta = numbers(n, 1), *y = numbers(n, 1), *gradient_x = copied(delta, n);
    for (size_t i = 0; i < n; ++i) x[i] += 3;
    double sums[2], want[2] = {0}, worst[2] = {0};
    k->normalize(x, y, 3.1f, .8f, -.2f, n);
    k->normalize_sums(x, delta, 3.1f, n, sums);
    k->normalize_gradient(x, gradient_x, 3.1f, .7f, .3f, -.1f, n);
    for (size_t i = 0; i < n; ++i) {
        const double centred = (double)x[i] - (double)3.1f;
        worst[0] = larger(worst[0], distance((double)y[i], centred * .8 - .2));
        worst[1] =
            larger(worst[1], distance((double)gradient_x[i], (double)delta[i] * .7 + centred * .3 - .1) / 2);
        want[0] += (double)delta[i];
        want[1] += (double)delta[i] * centred;
    }
    const double slack = 1 + sqrt((double)n); /* cancellation */
    report(k->level, "normalize", (int)n, worst[0]);
    report(k->level, "normalize_gradient", (int)n, worst[1]);
    report(k->level, "normalize_sums", (int)n, distance(sums[0], want[0]) / slack);
    report(k->level, "normalize_sums", (int)n, distance(sums[1], want[1]) / slack);
    dn_free(x), dn_free(delta), dn_free(y), dn_free(gradient_x);
}

/* x = x / 2 + 1 ends at 2, by half of the way each time. */
static void test_chains(const dn_kernels *k, size_t rounds) {
    const size_t n = (size_t)(DN_CHAINS * k->lanes);
    float *x = numbers(n, 1), *before = copied(x, n);
    double worst = 0;
    k->multiply_add_chains(rounds, .5f, 1, x);
    for (size_t i = 0; i < n; ++i)
        worst = larger(worst, distance((double)x[i], 2 + ((double)before[i] - 2) * pow(.5, (double)rounds)));
    report(k->level, "multiply_add_chains", (int)rounds, worst);
    dn_free(x), dn_free(before);
}

static void test_adam(const dn_kernels *k, size_t n) {
    float *w = numbers(n, 1), *g = numbers(n, 1), *m = numbers(n, 1), *v = numbers(n, 1), worst = 0;
    for (size_t i = 0; i < n; ++i) v[i] = fabsf(v[i]);
    float *w0 = copied(w, n), *g0 = copied(g, n), *m0 = copied(m, n), *v0 = copied(v, n);
    k->adam(w, g, m, v, n, .01f, .9f, .999f, 1e-6f, .05f, .19f, .002f);
    for (size_t i = 0; i < n; ++i) {
        double gradient_i = (double)g0[i] - .05 * (double)w0[i], mean = .9 * (double)m0[i] + .1 * gradient_i;
        double square = .999 * (double)v0[i] + .001 * gradient_i * gradient_i;
        double want = (double)w0[i] + .01 * (mean / .19) / (sqrt(square / .002) + 1e-6);
        worst = fmaxf(worst, (float)distance((double)w[i], want));
        worst = fmaxf(worst, (float)distance((double)m[i], mean));
        worst = fmaxf(worst, (float)(distance((double)v[i], square) / 2)); /* 1 - .999f is rounded */
        if (g[i] != 0) worst = INFINITY;
    }
    report(k->level, "adam", (int)n, (double)worst);
    dn_free(w), dn_free(g), dn_free(m), dn_free(v), dn_free(w0), dn_free(g0), dn_free(m0), dn_free(v0);
}

/* ---- max pooling ---- */

static void test_maxpool_case(const dn_kernels *k, int h, int w, int size, int stride_y, int stride_x,
                              int padding) {
    const int stride[] = {stride_y, stride_x}, offset[] = {-(padding / 2), -(padding / 2)};
    int out_h = (h + padding - size) / stride_y + 1, out_w = (w + padding - size) / stride_x + 1;
    if (out_h <= 0 || out_w <= 0) return;
    size_t n = (size_t)h * (size_t)w, m = (size_t)out_h * (size_t)out_w;
    float *in = numbers(n, 3);
    for (size_t i = 0; i < n; ++i)
        in[i] = dn_random_bits(&source) % 16 == 0 ? NAN : rintf(in[i]) + 0.5f; /* ties */
    float *want = numbers(m, 1), *plain = numbers(m, 1), *indexed = numbers(m, 1);
    int32_t *want_at = dn_alloc(m * sizeof *want_at), *at = dn_alloc(m * sizeof *at);
    pool_naive(in, h, w, want, want_at, out_h, out_w, size, stride, offset);
    k->maxpool(in, h, w, plain, NULL, out_h, out_w, size, stride_y, stride_x, offset[0], offset[1]);
    k->maxpool(in, h, w, indexed, at, out_h, out_w, size, stride_y, stride_x, offset[0], offset[1]);
    if (memcmp(want, plain, m * sizeof *want) != 0) report(k->level, "maxpool", size * 1000 + w, INFINITY);
    if (memcmp(want, indexed, m * sizeof *want) != 0 || memcmp(want_at, at, m * sizeof *at) != 0)
        report(k->level, "maxpool argmax", size * 1000 + w, INFINITY);
    float *dy = numbers(m, 1), *start = numbers(n, 1), *added = copied(start, n), *set = numbers(n, 1);
    double worst = 0;
    k->maxpool_gradient(at, dy, out_h, out_w, added, h, w, size, stride_y, stride_x, offset[0], offset[1],
                        true);
    k->maxpool_gradient(at, dy, out_h, out_w, set, h, w, size, stride_y, stride_x, offset[0], offset[1],
                        false);
    double *gradient_at = dn_alloc_zero(n, sizeof *gradient_at);
    for (size_t i = 0; i < m; ++i)
        if (at[i] >= 0) gradient_at[at[i]] += (double)dy[i];
    for (size_t i = 0; i < n; ++i) {
        worst = larger(worst, distance((double)added[i], (double)start[i] + gradient_at[i]));
        worst = larger(worst, distance((double)set[i], gradient_at[i]));
    }
    report(k->level, "maxpool_gradient", size * 1000 + w, worst / 20);
    dn_free(in), dn_free(want), dn_free(plain), dn_free(indexed), dn_free(want_at), dn_free(at);
    dn_free(dy), dn_free(start), dn_free(added), dn_free(set), dn_free(gradient_at);
}

static void test_maxpool(const dn_kernels *k) {
    const int sizes[] = {1, 2, 3, 5, 9, 13, 40}, widths[] = {1, 2, 7, 13, 16, 17, 33, 64, 100, 2100};
    for (size_t s = 0; s < DN_COUNT(sizes); ++s)
        for (size_t i = 0; i < DN_COUNT(widths); ++i)
            for (int stride = 1; stride <= 3; ++stride) {
                test_maxpool_case(k, dn_min_int(widths[i], 19), widths[i], sizes[s], stride, stride,
                                  sizes[s] - 1);
                test_maxpool_case(k, 11, widths[i], sizes[s], stride, 4 - stride, 0);
                test_maxpool_case(k, 3, widths[i], sizes[s], 1, stride, 2 * sizes[s]); /* windows outside */
            }
    for (int w = 1; w <= 70; ++w) { /* every end of a row */
        test_maxpool_case(k, 6, w, 2, 2, 2, 0);
        test_maxpool_case(k, 6, w, 2, 1, 1, 1);
        test_maxpool_case(k, 7, w, 3, 2, 2, w % 3);
        test_maxpool_case(k, 5, w, 5, 1, 1, 4);
    }
    test_maxpool_case(k, 3, 700, 600, 1, 2, 599);
}

/* ---- local response normalisation ---- */

/* Small squares beside kappa: as a channel leaves that never entered, a norm may otherwise come near 0. */
static void test_lrn(const dn_kernels *k, const dn_lrn *lrn, int c, size_t count) {
    const size_t plane = count + 5, n = (size_t)c * plane;
    float *x = numbers(n, 1), *y = numbers(n, 1), *factor = copied(y, n);
    float *before = copied(y, n), *alone = copied(y, n);
    double worst = 0;
    k->lrn(lrn, c, plane, count, x, y, factor);
    k->lrn(lrn, c, plane, count, x, alone, NULL);
    for (size_t i = 0; i < plane; ++i) {
        double norm = (double)lrn->kappa;
        for (int j = -1; j < c; ++j) { /* -1: the first window */
            const int leaving = j - (lrn->size - 1) / 2 - 1;
            const int entering = j < 0 ? 0 : j + lrn->size / 2;
            const int entered = j < 0 ? lrn->size / 2 : j ? entering + 1 : entering;
            if (j > 0 && leaving >= 0)
                norm -= (double)lrn->alpha * pow((double)x[(size_t)leaving * plane + i], 2);
            for (int e = entering; e < entered && e < c; ++e)
                norm += (double)lrn->alpha * pow((double)x[(size_t)e * plane + i], 2);
            if (j < 0) continue;
            const size_t at = (size_t)j * plane + i;
            const double want = i < count ? pow(norm, -(double)lrn->beta) : (double)before[at];
            worst = larger(worst, distance((double)factor[at], want));
            worst = larger(worst, distance((double)y[at], i < count ? (double)x[at] * want : want));
        }
    }
    if (memcmp(y, alone, n * sizeof *y) != 0) worst = INFINITY;
    report(k->level, "lrn", (int)count, worst);
    dn_free(x), dn_free(y), dn_free(factor), dn_free(before), dn_free(alone);
}

/* Without alpha the norm is kappa: powers of anything. */
static void test_powers(const dn_kernels *k) {
    const float values[] = {1, 0, 1e-40f, 1e-30f, .3f, .9999999f, 1.0000001f, 7, 1e30f, INFINITY, NAN, -1};
    const float betas[] = {.75f, .5f, -1.5f};
    for (size_t v = 0; v < DN_COUNT(values); ++v)
        for (size_t b = 0; b < DN_COUNT(betas); ++b) {
            const dn_lrn lrn = {.beta = betas[b], .kappa = values[v], .size = 5};
            float one = 1, y, factor;
            k->lrn(&lrn, 1, 1, 1, &one, &y, &factor);
            double want = (double)(float)pow((double)values[v], -(double)betas[b]);
            report(k->level, "lrn power", (int)v, distance((double)y, values[v] < 0 ? (double)NAN : want));
        }
}

static void test_lrns(const dn_kernels *k) {
    const dn_lrn options[] = {
        {1e-4f, .75f, 1, 5}, {.05f, .5f, 2, 3}, {.01f, 1.5f, .5f, 1}, {.03f, -1, 1, 4}, {.05f, .75f, 1, 40}};
    for (size_t i = 0; i < DN_COUNT(counts) && counts[i] < 500; ++i)
        for (size_t o = 0; o < DN_COUNT(options); ++o)
            for (int c = 1; c < 12; c += 5) test_lrn(k, &options[o], c, counts[i]);
    test_powers(k);
}

static void test_kernels(const dn_kernels *k) {
    int before = failures;
    for (size_t i = 0; i < DN_COUNT(counts); ++i) {
        for (int kind = 0; kind <= DN_ACTIVATION_GELU; ++kind)
            test_activation(k, (dn_activation)kind, counts[i]);
        test_normalize(k, counts[i]);
        test_arrays(k, counts[i]);
        test_split_pairs(k, counts[i]);
        test_adam(k, counts[i]);
        test_chains(k, counts[i]);
    }
    test_maxpool(k);
    test_lrns(k);
    char name[64];
    snprintf(name, sizeof name, "kernels %s", k->level);
    done(name, before);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    for (int i = 0; dn_kernels_available(i); ++i) test_kernels(dn_kernels_available(i));
    return failures != 0;
}
