/* Local response normalisation (compat.md 6.17) and the powers it is made of. Vectors run along the pixels;
 * a norm slides from channel to channel in a register. */

/* Relative error below 3e-7. x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 artanh(s), s = (m - 1) / (m
 * + 1), by the series of artanh, whose first omitted term is below 1e-9 of the sum. */
DN_INLINE vfloat vlog(vfloat x) {
    const vint subnormal = x < 0x1p-126f;
    const vfloat normal = vselect(subnormal, x * 0x1p25f, x);
    const vuint bits = (vuint)normal;
    const vint power = (vint)(bits - 0x3f3504f3u) >> 23; /* sqrt(1/2) as bits */
    const vfloat m = (vfloat)(bits - ((vuint)power << 23));
    const vfloat s = (m - 1.0f) / (m + 1.0f), z = s * s;
    vfloat p = z * (2.0f / 9) + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    p = p * z + 2.0f;
    const vfloat e = __builtin_convertvector(power, vfloat) - vselect(subnormal, vset(25.0f), vset(0.0f));
    vfloat y = e * 0.693359375f + (p * s - e * 2.12194440e-4f); /* ln 2 in two parts, as in vexp */
    y = vselect(x < __builtin_inff(), y, x);                    /* infinity and NaN stay */
    y = vselect(x == 0.0f, vset(-__builtin_inff()), y);
    return vselect(x < 0.0f, vset(__builtin_nanf("")), y);
}

/* x^exponent for x >= 0; NaN for negative x */
DN_INLINE vfloat vpow(vfloat x, float exponent) {
    return vexp(exponent * vlog(x));
}

/* The first `count` pixels of every plane, at most `vectors` vectors of them. */
DN_INLINE void lrn_block(const int vectors, int count, const dn_lrn *lrn, int c, size_t plane, const float *x,
                         float *y, float *factor) {
    const int tail = count - (vectors - 1) * LEVEL_LANES;
    const vfloat alpha = vset(lrn->alpha);
    vfloat norm[4];
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) norm[j] = vset(lrn->kappa);
#define LRN_LOAD(k, j)                                                                                       \
    ((j) + 1 < vectors || tail == LEVEL_LANES                                                                \
         ? vload(x + (size_t)(k) * plane + (j) * LEVEL_LANES)                                                \
         : vload_partial(x + (size_t)(k) * plane + (j) * LEVEL_LANES, tail))
    /* The first window ends one channel early: the reference's rule. */
    for (int k = 0; k < lrn->size / 2 && k < c; ++k) {
        DN_UNROLL
        for (int j = 0; j < vectors; ++j) {
            const vfloat v = LRN_LOAD(k, j);
            norm[j] += alpha * (v * v);
        }
    }
    for (int k = 0; k < c; ++k) {
        const int leaving = k - (lrn->size - 1) / 2 - 1, entering = k + lrn->size / 2;
        DN_UNROLL
        for (int j = 0; j < vectors; ++j) {
            if (k > 0 && leaving >= 0) {
                const vfloat v = LRN_LOAD(leaving, j);
                norm[j] -= alpha * (v * v);
            }
            if (k > 0 && entering < c) {
                const vfloat v = LRN_LOAD(entering, j);
                norm[j] += alpha * (v * v);
            }
            const size_t at = (size_t)k * plane + (size_t)(j * LEVEL_LANES);
            const vfloat f = vpow(norm[j], -lrn->beta), product = LRN_LOAD(k, j) * f;
            if (j + 1 < vectors || tail == LEVEL_LANES) {
                vstore(y + at, product);
                if (factor) vstore(factor + at, f);
            } else {
                vstore_partial(y + at, product, tail);
                if (factor) vstore_partial(factor + at, f, tail);
            }
        }
    }
#undef LRN_LOAD
}

static void lrn(const dn_lrn *options, int c, size_t plane, size_t count, const float *x, float *y,
                float *factor) {
    size_t i = 0;
    for (; i + 4 * LEVEL_LANES <= count; i += 4 * LEVEL_LANES)
        lrn_block(4, 4 * LEVEL_LANES, options, c, plane, x + i, y + i, factor ? factor + i : NULL);
    for (; i < count; i += LEVEL_LANES)
        lrn_block(1, (int)dn_min_size(LEVEL_LANES, count - i), options, c, plane, x + i, y + i,
                  factor ? factor + i : NULL);
}
