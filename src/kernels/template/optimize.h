/* Optimiser steps over flat arrays (compat.md 10.3, 10.4). Gradients are the reference's: the descent
 * direction. */

DN_INLINE void sgd_vector(vfloat *weight, vfloat *gradient, float rate, float momentum, float decay) {
    *gradient -= vset(decay) * *weight;
    *weight += vset(rate) * *gradient;
    *gradient *= vset(momentum);
}

static void sgd(float *w, float *g, size_t count, float rate, float momentum, float decay) {
    size_t i = 0;
    for (; i + LEVEL_LANES <= count; i += LEVEL_LANES) {
        vfloat weight = vload(w + i), gradient = vload(g + i);
        sgd_vector(&weight, &gradient, rate, momentum, decay);
        vstore(w + i, weight);
        vstore(g + i, gradient);
    }
    const int left = (int)(count % LEVEL_LANES);
    if (left) {
        vfloat weight = vload_partial(w + i, left), gradient = vload_partial(g + i, left);
        sgd_vector(&weight, &gradient, rate, momentum, decay);
        vstore_partial(w + i, weight, left);
        vstore_partial(g + i, gradient, left);
    }
}

/* correction1 = 1 - b1^t, correction2 = 1 - b2^t. The gradient is used up: g = 0. */
static void adam(float *restrict w, float *restrict g, float *restrict m, float *restrict v, size_t count,
                 float rate, float b1, float b2, float eps, float decay, float correction1,
                 float correction2) {
    const float fresh1 = 1.0f - b1, fresh2 = 1.0f - b2;
    for (size_t i = 0; i < count; ++i) {
        float gradient = g[i] - decay * w[i];
        float mean = b1 * m[i] + fresh1 * gradient;
        float square = b2 * v[i] + fresh2 * gradient * gradient;
        w[i] += rate * (mean / correction1) / (__builtin_sqrtf(square / correction2) + eps);
        m[i] = mean;
        v[i] = square;
        g[i] = 0.0f;
    }
}
