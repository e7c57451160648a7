/* Element-wise kernels: activations and their gradients (compat.md 5 and 20.1), and the small linear algebra
 * of arrays. The end of an array goes through the same vector code as the rest, so results don't depend on
 * how an array is split. */
#include "exp.h"
#include "activation.h"

/* ---- activations ---- */

DN_INLINE void activate_array(dn_activation kind, float *x, size_t count) {
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) vstore(x + i, activate_vector(kind, vload(x + i)));
    const int left = (int)(count % LEVEL_LANES);
    if (left) vstore_partial(x + i, activate_vector(kind, vload_partial(x + i, left)), left);
}

/* The cases look alike so that each loop is compiled for its kind. */
static void activate(dn_activation kind, float *x, size_t count) {
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        activate_array(DN_ACTIVATION_LOGISTIC, x, count);
        break;
    case DN_ACTIVATION_LOGGY:
        activate_array(DN_ACTIVATION_LOGGY, x, count);
        break;
    case DN_ACTIVATION_RELU:
        activate_array(DN_ACTIVATION_RELU, x, count);
        break;
    case DN_ACTIVATION_ELU:
        activate_array(DN_ACTIVATION_ELU, x, count);
        break;
    case DN_ACTIVATION_SELU:
        activate_array(DN_ACTIVATION_SELU, x, count);
        break;
    case DN_ACTIVATION_RELIE:
        activate_array(DN_ACTIVATION_RELIE, x, count);
        break;
    case DN_ACTIVATION_RAMP:
        activate_array(DN_ACTIVATION_RAMP, x, count);
        break;
    case DN_ACTIVATION_LEAKY:
    case DN_ACTIVATION_REVLEAKY:
        activate_array(DN_ACTIVATION_LEAKY, x, count);
        break;
    case DN_ACTIVATION_TANH:
        activate_array(DN_ACTIVATION_TANH, x, count);
        break;
    case DN_ACTIVATION_PLSE:
        activate_array(DN_ACTIVATION_PLSE, x, count);
        break;
    case DN_ACTIVATION_STAIR:
        activate_array(DN_ACTIVATION_STAIR, x, count);
        break;
    case DN_ACTIVATION_HARDTAN:
        activate_array(DN_ACTIVATION_HARDTAN, x, count);
        break;
    case DN_ACTIVATION_LHTAN:
        activate_array(DN_ACTIVATION_LHTAN, x, count);
        break;
    case DN_ACTIVATION_RELU6:
        activate_array(DN_ACTIVATION_RELU6, x, count);
        break;
    case DN_ACTIVATION_SWISH:
        activate_array(DN_ACTIVATION_SWISH, x, count);
        break;
    case DN_ACTIVATION_MISH:
        activate_array(DN_ACTIVATION_MISH, x, count);
        break;
    case DN_ACTIVATION_HARD_MISH:
        activate_array(DN_ACTIVATION_HARD_MISH, x, count);
        break;
    case DN_ACTIVATION_GELU:
        activate_array(DN_ACTIVATION_GELU, x, count);
        break;
    default:
        break; /* linear */
    }
}

/* `from` is y, or the pre-activation for the "pre" kinds. */
DN_INLINE void gradient_array(dn_activation kind, const float *from, float *delta, size_t count) {
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
        vstore(delta + i, gradient_vector(kind, vload(from + i)) * vload(delta + i));
    const int left = (int)(count % LEVEL_LANES);
    if (left) {
        vfloat g = gradient_vector(kind, vload_partial(from + i, left));
        vstore_partial(delta + i, g * vload_partial(delta + i, left), left);
    }
}

static void activate_gradient(dn_activation kind, const float *y, const float *pre, float *delta,
                              size_t count) {
    switch (kind) {
    case DN_ACTIVATION_LOGISTIC:
        gradient_array(DN_ACTIVATION_LOGISTIC, y, delta, count);
        break;
    case DN_ACTIVATION_LOGGY:
        gradient_array(DN_ACTIVATION_LOGGY, y, delta, count);
        break;
    case DN_ACTIVATION_RELU:
        gradient_array(DN_ACTIVATION_RELU, y, delta, count);
        break;
    case DN_ACTIVATION_ELU:
        gradient_array(DN_ACTIVATION_ELU, y, delta, count);
        break;
    case DN_ACTIVATION_SELU:
        gradient_array(DN_ACTIVATION_SELU, y, delta, count);
        break;
    case DN_ACTIVATION_RELIE:
        gradient_array(DN_ACTIVATION_RELIE, y, delta, count);
        break;
    case DN_ACTIVATION_RAMP:
        gradient_array(DN_ACTIVATION_RAMP, y, delta, count);
        break;
    case DN_ACTIVATION_LEAKY:
    case DN_ACTIVATION_REVLEAKY:
        gradient_array(DN_ACTIVATION_LEAKY, y, delta, count);
        break;
    case DN_ACTIVATION_TANH:
        gradient_array(DN_ACTIVATION_TANH, y, delta, count);
        break;
    case DN_ACTIVATION_PLSE:
        gradient_array(DN_ACTIVATION_PLSE, y, delta, count);
        break;
    case DN_ACTIVATION_STAIR:
        gradient_array(DN_ACTIVATION_STAIR, y, delta, count);
        break;
    case DN_ACTIVATION_HARDTAN:
        gradient_array(DN_ACTIVATION_HARDTAN, y, delta, count);
        break;
    case DN_ACTIVATION_LHTAN:
        gradient_array(DN_ACTIVATION_LHTAN, y, delta, count);
        break;
    case DN_ACTIVATION_RELU6:
        gradient_array(DN_ACTIVATION_RELU6, y, delta, count);
        break;
    case DN_ACTIVATION_SWISH:
        gradient_array(DN_ACTIVATION_SWISH, pre, delta, count);
        break;
    case DN_ACTIVATION_MISH:
        gradient_array(DN_ACTIVATION_MISH, pre, delta, count);
        break;
    case DN_ACTIVATION_HARD_MISH:
        gradient_array(DN_ACTIVATION_HARD_MISH, pre, delta, count);
        break;
    case DN_ACTIVATION_GELU:
        gradient_array(DN_ACTIVATION_GELU, y, delta, count);
        break;
    default:
        break; /* linear */
    }
}

/* One vector: the activation of the sum with the residual, or the sum of both. */
DN_INLINE vfloat add_and_activate(dn_activation kind, bool activate_sum, vfloat y, vfloat residual) {
    return activate_sum ? activate_vector(kind, y + residual) : activate_vector(kind, y) + residual;
}

DN_INLINE void affine_array(dn_activation kind, bool activate_sum, float *row, float factor, float shift,
                            const float *residual, size_t count) {
    const vfloat factors = vset(factor), shifts = vset(shift);
    size_t i = 0;
    if (residual) {
        for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
            vstore(row + i, add_and_activate(kind, activate_sum, vload(row + i) * factors + shifts,
                                             vload(residual + i)));
    } else {
        for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
            vstore(row + i, activate_vector(kind, vload(row + i) * factors + shifts));
    }
    const int left = (int)(count % LEVEL_LANES);
    if (left) {
        vfloat y = vload_partial(row + i, left) * factors + shifts;
        y = residual ? add_and_activate(kind, activate_sum, y, vload_partial(residual + i, left))
                     : activate_vector(kind, y);
        vstore_partial(row + i, y, left);
    }
}

/* Activations of one piece below zero and one above, with a limit, for results that are still in registers.
 * The processors that have multiply-adds take minima and maxima in the same units, so the usual kinds do
 * without those that change nothing. */
typedef enum clamp_kind { CLAMP_NONE, CLAMP_RELU, CLAMP_LEAKY, CLAMP_ANY } clamp_kind;

typedef struct clamping {
    clamp_kind kind;
    vfloat slope, most;
    vint keep; /* relu: nothing below zero, not even of -infinity */
    bool sum;
} clamping;

DN_INLINE bool clamping_of(const dn_epilogue *epilogue, clamping *clamp) {
    const dn_activation kind = epilogue->activation;
    clamp->kind = kind == DN_ACTIVATION_LINEAR  ? CLAMP_NONE
                  : kind == DN_ACTIVATION_RELU  ? CLAMP_RELU
                  : kind == DN_ACTIVATION_LEAKY ? CLAMP_LEAKY
                                                : CLAMP_ANY;
    clamp->slope = vset(kind == DN_ACTIVATION_LEAKY ? 0.1f : 1.0f);
    clamp->most = vset(kind == DN_ACTIVATION_RELU6 ? 6.0f : __builtin_inff());
    clamp->keep = vsplat(kind == DN_ACTIVATION_RELU || kind == DN_ACTIVATION_RELU6 ? 0 : -1);
    clamp->sum = epilogue->activate_sum;
    return clamp->kind != CLAMP_ANY || kind == DN_ACTIVATION_RELU6;
}

/* kind: a constant, that of the clamping or CLAMP_ANY; the results are the same bits. */
DN_INLINE vfloat clamp_vector(const clamp_kind kind, const clamping *clamp, vfloat x) {
    if (kind == CLAMP_NONE) return x;
    if (kind == CLAMP_RELU) return vmax((vfloat){0}, x);
    if (kind == CLAMP_LEAKY) return vmax(x * clamp->slope, x);
    return vmin(clamp->most, vmax((vfloat)((vint)(x * clamp->slope) & clamp->keep), x));
}

DN_INLINE vfloat clamp_and_add(const clamping *clamp, vfloat x, bool has_residual, vfloat residual) {
    if (has_residual && clamp->sum) x += residual;
    x = clamp_vector(CLAMP_ANY, clamp, x);
    return has_residual && !clamp->sum ? x + residual : x;
}

/* The common kinds in one pass; the others in blocks that stay in the first cache. */
static void affine_activate(dn_activation kind, bool activate_sum, float *row, float factor, float shift,
                            const float *residual, size_t count) {
    enum { BLOCK = 1024 };
    activate_sum = activate_sum && residual && kind != DN_ACTIVATION_LINEAR;
    switch (activate_sum ? DN_ACTIVATION_COUNT : kind) {
#define AFFINE_CASE(one)                                                                                     \
    case one:                                                                                                \
        affine_array(one, false, row, factor, shift, residual, count);                                       \
        return;
        AFFINE_CASE(DN_ACTIVATION_LINEAR)
        AFFINE_CASE(DN_ACTIVATION_LEAKY)
        AFFINE_CASE(DN_ACTIVATION_RELU)
        AFFINE_CASE(DN_ACTIVATION_RELU6)
        AFFINE_CASE(DN_ACTIVATION_LOGISTIC)
        AFFINE_CASE(DN_ACTIVATION_SWISH)
        AFFINE_CASE(DN_ACTIVATION_MISH)
#undef AFFINE_CASE
    default:
        break;
    }
    if (activate_sum && (kind == DN_ACTIVATION_LEAKY || kind == DN_ACTIVATION_RELU)) {
        if (kind == DN_ACTIVATION_LEAKY)
            affine_array(DN_ACTIVATION_LEAKY, true, row, factor, shift, residual, count);
        else
            affine_array(DN_ACTIVATION_RELU, true, row, factor, shift, residual, count);
        return;
    }
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        const size_t length = dn_min_size(BLOCK, count - begin);
        const float *add = residual ? residual + begin : NULL;
        affine_array(DN_ACTIVATION_LINEAR, false, row + begin, factor, shift, activate_sum ? add : NULL,
                     length);
        activate(kind, row + begin, length);
        if (add && !activate_sum) affine_array(DN_ACTIVATION_LINEAR, false, row + begin, 1, 0, add, length);
    }
}

/* ---- arrays ---- */

static void axpy(float *y, float a, const float *x, size_t count) {
    const vfloat factor = vset(a);
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) vstore(y + i, factor * vload(x + i) + vload(y + i));
    const int left = (int)(count % LEVEL_LANES);
    if (left) vstore_partial(y + i, factor * vload_partial(x + i, left) + vload_partial(y + i, left), left);
}

static void scale(float *x, float a, size_t count) {
    const vfloat factor = vset(a);
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) vstore(x + i, factor * vload(x + i));
    for (; i < count; ++i) x[i] *= a;
}

static void multiply(float *y, const float *a, const float *b, size_t count) {
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) vstore(y + i, vload(a + i) * vload(b + i));
    for (; i < count; ++i) y[i] = a[i] * b[i];
}

static void multiply_add(float *y, const float *a, const float *b, size_t count) {
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
        vstore(y + i, vload(a + i) * vload(b + i) + vload(y + i));
    const int left = (int)(count % LEVEL_LANES);
    if (left) {
        vfloat product = vload_partial(a + i, left) * vload_partial(b + i, left);
        vstore_partial(y + i, product + vload_partial(y + i, left), left);
    }
}

/* ---- reductions: SUM_LANES float sums over SUM_BLOCK elements at most, then double. The numbers are the
 * same at every level, and so is the order. ---- */

enum { SUM_LANES = 32, SUM_BLOCK = 2048, SUM_VECTORS = SUM_LANES / LEVEL_LANES };

DN_INLINE double sum_of_lanes(const vfloat *partial) {
    float lanes[SUM_LANES];
    memcpy(lanes, partial, sizeof lanes);
    double total = 0;
    for (int i = 0; i < SUM_LANES; ++i) total += (double)lanes[i];
    return total;
}

static void multiply_add_chains(size_t rounds, float a, float b, float *x) {
    const vfloat factor = vset(a), term = vset(b);
    vfloat chains[DN_CHAINS];
    DN_UNROLL
    for (int i = 0; i < DN_CHAINS; ++i) chains[i] = vload(x + i * LEVEL_LANES);
    for (size_t round = 0; round < rounds; ++round) {
        DN_UNROLL
        for (int i = 0; i < DN_CHAINS; ++i) chains[i] = chains[i] * factor + term;
    }
    DN_UNROLL
    for (int i = 0; i < DN_CHAINS; ++i) vstore(x + i * LEVEL_LANES, chains[i]);
}

static double sum(const float *x, size_t count) {
    double total = 0;
    size_t whole = count / SUM_LANES * SUM_LANES, i = 0;
    while (i < whole) {
        vfloat partial[SUM_VECTORS] = {{0}};
        size_t end = dn_min_size(whole, i + SUM_BLOCK);
        for (; i < end; i += SUM_LANES)
            for (int v = 0; v < SUM_VECTORS; ++v) partial[v] += vload(x + i + v * LEVEL_LANES);
        total += sum_of_lanes(partial);
    }
    for (; i < count; ++i) total += (double)x[i];
    return total;
}

static double dot(const float *x, const float *y, size_t count) {
    double total = 0;
    size_t whole = count / SUM_LANES * SUM_LANES, i = 0;
    while (i < whole) {
        vfloat partial[SUM_VECTORS] = {{0}};
        size_t end = dn_min_size(whole, i + SUM_BLOCK);
        for (; i < end; i += SUM_LANES)
            for (int v = 0; v < SUM_VECTORS; ++v)
                partial[v] += vload(x + i + v * LEVEL_LANES) * vload(y + i + v * LEVEL_LANES);
        total += sum_of_lanes(partial);
    }
    for (; i < count; ++i) total += (double)x[i] * (double)y[i];
    return total;
}

static double sum_squared_difference(const float *x, float mean, size_t count) {
    const vfloat means = vset(mean);
    double total = 0;
    size_t whole = count / SUM_LANES * SUM_LANES, i = 0;
    while (i < whole) {
        vfloat partial[SUM_VECTORS] = {{0}};
        size_t end = dn_min_size(whole, i + SUM_BLOCK);
        for (; i < end; i += SUM_LANES)
            for (int v = 0; v < SUM_VECTORS; ++v) {
                vfloat difference = vload(x + i + v * LEVEL_LANES) - means;
                partial[v] += difference * difference;
            }
        total += sum_of_lanes(partial);
    }
    for (; i < count; ++i) total += ((double)x[i] - (double)mean) * ((double)x[i] - (double)mean);
    return total;
}

/* ---- batch normalisation ---- */

static void normalize(const float *x, float *y, float mean, float factor, float shift, size_t count) {
    const vfloat means = vset(mean), factors = vset(factor), shifts = vset(shift);
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
        vstore(y + i, (vload(x + i) - means) * factors + shifts);
    const int left = (int)(count % LEVEL_LANES);
    if (left) vstore_partial(y + i, (vload_partial(x + i, left) - means) * factors + shifts, left);
}

static void normalize_sums(const float *x, const float *delta, float mean, size_t count, double sums[2]) {
    const vfloat means = vset(mean);
    sums[0] = sums[1] = 0;
    size_t whole = count / SUM_LANES * SUM_LANES, i = 0;
    while (i < whole) {
        vfloat partial[SUM_VECTORS] = {{0}}, product[SUM_VECTORS] = {{0}};
        size_t end = dn_min_size(whole, i + SUM_BLOCK);
        for (; i < end; i += SUM_LANES)
            for (int v = 0; v < SUM_VECTORS; ++v) {
                const vfloat d = vload(delta + i + v * LEVEL_LANES);
                partial[v] += d;
                product[v] += d * (vload(x + i + v * LEVEL_LANES) - means);
            }
        sums[0] += sum_of_lanes(partial);
        sums[1] += sum_of_lanes(product);
    }
    for (; i < count; ++i) {
        sums[0] += (double)delta[i];
        sums[1] += (double)delta[i] * (double)(x[i] - mean);
    }
}

static void normalize_gradient(const float *x, float *delta, float mean, float slope, float centred,
                               float constant, size_t count) {
    const vfloat means = vset(mean), slopes = vset(slope), factors = vset(centred),
                 constants = vset(constant);
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES)
        vstore(delta + i, vload(delta + i) * slopes + ((vload(x + i) - means) * factors + constants));
    const int left = (int)(count % LEVEL_LANES);
    if (left) {
        const vfloat shift = (vload_partial(x + i, left) - means) * factors + constants;
        vstore_partial(delta + i, vload_partial(delta + i, left) * slopes + shift, left);
    }
}
