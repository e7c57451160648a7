/* reference.h - what the kernel and operation tests share: numbers, comparison, and activations and max
 * pooling in plain loops. Each test is one file, so everything here is static. */
#ifndef DN_TEST_REFERENCE_H
#define DN_TEST_REFERENCE_H

#include "../../src/backends/cpu/cpu.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures;
static dn_random source;

static void report(const char *level, const char *name, int index, double error) {
    if (error <= 1) return;
    printf("FAIL %s %s %d: error is %g times the tolerance\n", level, name, index, error);
    failures++;
}

static void done(const char *name, int failures_before) {
    if (failures == failures_before) printf("ok %s\n", name);
}

static float *numbers(size_t count, float spread) {
    float *x = dn_alloc((count + 1) * sizeof *x);
    for (size_t i = 0; i < count; ++i) x[i] = spread * dn_random_normal(&source);
    return x;
}

static inline float *copied(const float *x, size_t count) {
    float *y = dn_alloc((count + 1) * sizeof *y);
    if (count) memcpy(y, x, count * sizeof *y);
    return y;
}

/* |a - b| over the tolerance; NaN must meet NaN */
static double distance(double a, double b) {
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b) ? 0 : INFINITY;
    if (a == b) return 0;
    return fabs(a - b) / (2e-6 + 1e-5 * fabs(b));
}

/* In loops, in place of fmax, at which GCC 12 for AArch64 crashes. */
static inline double larger(double a, double b) {
    return a < b ? b : a;
}

static inline double array_distance(const float *a, const float *b, size_t count) {
    double worst = 0;
    for (size_t i = 0; i < count; ++i) worst = larger(worst, distance((double)a[i], (double)b[i]));
    return worst;
}

/* ---- activations ---- */

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}
static double softplus(double x) {
    return x > 30 ? x : log1p(exp(x));
}

static inline double activated(dn_activation kind, double x) {
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        return sigmoid(x);
    case DN_ACTIVATION_LOGGY:
        return 2 * sigmoid(x) - 1;
    case DN_ACTIVATION_RELU:
        return isnan(x) ? x : fmax(x, 0);
    case DN_ACTIVATION_ELU:
        return x >= 0 ? x : expm1(x);
    case DN_ACTIVATION_SELU:
        return x >= 0 ? 1.0507 * x : 1.0507 * 1.6732 * expm1(x);
    case DN_ACTIVATION_RELIE:
        return x > 0 ? x : .01 * x;
    case DN_ACTIVATION_RAMP:
        return (x <= 0 ? 0 : x) + .1 * x;
    case DN_ACTIVATION_LEAKY:
    case DN_ACTIVATION_REVLEAKY:
        return x > 0 ? x : .1 * x;
    case DN_ACTIVATION_TANH:
        return tanh(x);
    case DN_ACTIVATION_PLSE:
        return x < -4 ? .01 * (x + 4) : x > 4 ? .01 * (x - 4) + 1 : .125 * x + .5;
    case DN_ACTIVATION_STAIR:
        return fmod(floor(x), 2) == 0 ? floor(x / 2) : x - floor(x) + floor(x / 2);
    case DN_ACTIVATION_HARDTAN:
        return x < -1 ? -1 : x > 1 ? 1 : x;
    case DN_ACTIVATION_LHTAN:
        return x < 0 ? .001 * x : x > 1 ? .001 * (x - 1) + 1 : x;
    case DN_ACTIVATION_RELU6:
        return x < 0 ? 0 : x > 6 ? 6 : x;
    case DN_ACTIVATION_SWISH:
        return x * sigmoid(x);
    case DN_ACTIVATION_MISH:
        return x * tanh(softplus(x));
    case DN_ACTIVATION_HARD_MISH:
        return x > 0 ? x : x <= -2 ? 0 : x * x / 2 + x;
    case DN_ACTIVATION_GELU:
        return .5 * x * (1 + tanh(.797885 * x + .035677 * x * x * x));
    default:
        return x;
    }
}

static inline bool takes_pre(dn_activation kind) {
    return kind == DN_ACTIVATION_SWISH || kind == DN_ACTIVATION_MISH || kind == DN_ACTIVATION_HARD_MISH;
}

static inline double gradient(dn_activation kind, double y) {
    double s = sigmoid(y), t;
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        return (1 - y) * y;
    case DN_ACTIVATION_LOGGY:
        return 2 * (1 - (y + 1) / 2) * (y + 1) / 2;
    case DN_ACTIVATION_RELU:
        return y > 0;
    case DN_ACTIVATION_ELU:
        return y >= 0 ? 1 : y + 1;
    case DN_ACTIVATION_SELU:
        return y >= 0 ? 1.0507 : y + 1.0507 * 1.6732;
    case DN_ACTIVATION_RELIE:
        return y > 0 ? 1 : .01;
    case DN_ACTIVATION_RAMP:
        return (y > 0) + .1;
    case DN_ACTIVATION_LEAKY:
    case DN_ACTIVATION_REVLEAKY:
        return y > 0 ? 1 : .1;
    case DN_ACTIVATION_TANH:
        return 1 - y * y;
    case DN_ACTIVATION_PLSE:
        return y < 0 || y > 1 ? .01 : .125;
    case DN_ACTIVATION_STAIR:
        return floor(y) == y ? 0 : 1;
    case DN_ACTIVATION_HARDTAN:
        return y > -1 && y < 1;
    case DN_ACTIVATION_LHTAN:
        return y > 0 && y < 1 ? 1 : .001;
    case DN_ACTIVATION_RELU6:
        return y > 0 && y < 6;
    case DN_ACTIVATION_SWISH:
        return y * s + s * (1 - y * s);
    case DN_ACTIVATION_MISH:
        t = tanh(softplus(y));
        return y * (1 - t * t) * s + t;
    case DN_ACTIVATION_HARD_MISH:
        return y > 0 ? 1 : y > -2 ? y + 1 : 0;
    case DN_ACTIVATION_GELU:
        t = tanh(.0356774 * y * y * y + .797885 * y);
        return .5 * t + (.0535161 * y * y * y + .398942 * y) * (1 - t * t) + .5;
    default:
        return 1;
    }
}

/* ---- max pooling ---- */

static inline void pool_naive(const float *in, int h, int w, float *out, int32_t *argmax, int out_h,
                              int out_w, int size, const int stride[2], const int offset[2]) {
    for (int i = 0; i < out_h; ++i)
        for (int j = 0; j < out_w; ++j) {
            float best = -INFINITY;
            int32_t at = -1;
            for (int y = i * stride[0] + offset[0]; y < i * stride[0] + offset[0] + size; ++y)
                for (int x = j * stride[1] + offset[1]; x < j * stride[1] + offset[1] + size; ++x)
                    if (y >= 0 && y < h && x >= 0 && x < w && in[y * w + x] > best) {
                        best = in[y * w + x];
                        at = y * w + x;
                    }
            out[i * out_w + j] = best;
            argmax[i * out_w + j] = at;
        }
}

#endif
