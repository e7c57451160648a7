/* Winograd products with weights transformed along one axis only: h[row of points][channel][3 taps][2 lanes]
 * takes 3 n floats where u takes n n. The other axis is transformed on the way into registers, u = G h, and
 * never stored: stores of whole vectors take twice as long as multiply-adds (Zen 4), and a buffer of u passed
 * on to the ordinary product took longer by 10 %. Without the factors of G, which sums of products are
 * multiplied by, that is a matter of additions, 2 x being x + x: for the points p, -p = +-1
 * three per vector, for q, -q = +-2 and r, -r = +-1/2 (times 4) six. Processors with adders beside their
 * multipliers have them for nothing, others need products of several tiles for each; the two points of a
 * pair, which share even and odd halves, are multiplied together. Few tiles, as at the end of networks, wait
 * for memory more than for sums. */

enum {
    WINOGRAD_PAIR_TILES = WINOGRAD_TILES < 6 ? WINOGRAD_TILES : 6,
    WINOGRAD_PAIR_VECTORS = WINOGRAD_TILES < 12 ? 1 : 2 /* with 16 registers, with 32 */
};

/* The points of a kind at one vector of taps. */
DN_INLINE void winograd_expand(const dn_winograd_kind kind, const float *h, vfloat *u) {
    const vfloat a = vload(h), b = vload(h + 2 * LEVEL_LANES), c = vload(h + 4 * LEVEL_LANES);
    if (kind == DN_WINOGRAD_ZERO) u[0] = a;
    if (kind == DN_WINOGRAD_INFINITY) u[0] = c;
    if (kind == DN_WINOGRAD_PLUS_Q || kind == DN_WINOGRAD_PLUS_R) {
        const bool q = kind == DN_WINOGRAD_PLUS_Q;
        const vfloat large = q ? c : a, half = (large + large) + b;
        u[0] = (half + half) + (q ? a : c);
    }
    if (kind == DN_WINOGRAD_PAIR_P) {
        const vfloat even = a + c;
        u[0] = even + b;
        u[1] = even - b;
    }
    if (kind == DN_WINOGRAD_PAIR_Q || kind == DN_WINOGRAD_PAIR_R) {
        const bool q = kind == DN_WINOGRAD_PAIR_Q;
        const vfloat large = q ? c : a, twice = large + large;
        const vfloat even = (twice + twice) + (q ? a : c), odd = b + b;
        u[0] = even + odd;
        u[1] = even - odd;
    }
}

DN_INLINE void winograd_half_of(const dn_winograd_kind kind, const int tiles, const int vectors,
                                const dn_winograd_half *half, const float *v, const float *h, float *out,
                                const float *next) {
    const int points = kind >= DN_WINOGRAD_PAIR_P ? 2 : 1, blocks = half->blocks;
    const size_t out_stride = half->out_stride, block_stride = half->block_stride, v_apart = half->v_apart;
    const size_t next_apart = (size_t)(blocks * LEVEL_LANES) * 16;
    vfloat sum[WINOGRAD_TILES][2][2];
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[i][p][j] = (vfloat){0};
    for (int block = 0; block < blocks; ++block, v += block_stride) {
        const float *lane = v;
        for (int k = 0; k < LEVEL_LANES; ++k, ++lane) {
            vfloat u[2][2]; /* vector, point */
            DN_UNROLL
            for (int j = 0; j < vectors; ++j) winograd_expand(kind, h + j * LEVEL_LANES, u[j]);
            __builtin_prefetch(next, 0, 2);
            if (points == 2) __builtin_prefetch(next + next_apart, 0, 2);
            DN_UNROLL
            for (int i = 0; i < tiles; ++i) DN_UNROLL
            for (int p = 0; p < points; ++p) {
                const vfloat value = vset(lane[(size_t)(i * LEVEL_LANES) + (size_t)p * v_apart]);
                DN_UNROLL
                for (int j = 0; j < vectors; ++j) sum[i][p][j] += value * u[j][p];
            }
            h += 6 * LEVEL_LANES;
            next += 16;
        }
    }
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) DN_UNROLL
    for (int j = 0; j < vectors; ++j) {
        float *to = out + (size_t)i * out_stride + (p * 2 + j) * LEVEL_LANES;
        const vfloat scaled = sum[i][p][j] * half->scale[p];
        vstore(to, half->accumulate ? vload(to) + scaled : scaled);
    }
}

DN_INLINE void winograd_single_of(const dn_winograd_kind kind, const dn_winograd_half *half) {
    switch (half->tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        winograd_half_of(kind, (t) <= WINOGRAD_TILES ? (t) : 1, 2, half, half->v, half->h, half->out,        \
                         half->next);                                                                        \
        break;
        WINOGRAD_14_CASES(TILES_CASE)
#undef TILES_CASE
    }
}

DN_INLINE void winograd_pair_of(const dn_winograd_kind kind, const dn_winograd_half *half) {
    const int parts = (half->tiles + WINOGRAD_PAIR_TILES - 1) / WINOGRAD_PAIR_TILES;
    for (int part = 0; part < parts; ++part)
        for (int j = 0; j < 2; j += WINOGRAD_PAIR_VECTORS) {
            const int first = half->tiles * part / parts, end = half->tiles * (part + 1) / parts;
            const float *v = half->v + first * LEVEL_LANES, *h = half->h + j * LEVEL_LANES;
            const float *next = part + j == 0 ? half->next : h;
            float *out = half->out + (size_t)first * half->out_stride + j * LEVEL_LANES;
            switch (end - first) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        winograd_half_of(kind, (t) <= WINOGRAD_PAIR_TILES ? (t) : 1, WINOGRAD_PAIR_VECTORS, half, v, h, out, \
                         next);                                                                              \
        break;
                WINOGRAD_6_CASES(TILES_CASE)
#undef TILES_CASE
            }
        }
}

static void winograd_multiply_half(dn_winograd_kind kind, const dn_winograd_half *half) {
    switch (kind) {
#define KIND_CASE(kind_, kernel)                                                                             \
    case kind_:                                                                                              \
        kernel(kind_, half);                                                                                 \
        break;
        KIND_CASE(DN_WINOGRAD_ZERO, winograd_single_of)
        KIND_CASE(DN_WINOGRAD_INFINITY, winograd_single_of)
        KIND_CASE(DN_WINOGRAD_PLUS_Q, winograd_single_of)
        KIND_CASE(DN_WINOGRAD_PLUS_R, winograd_single_of)
        KIND_CASE(DN_WINOGRAD_PAIR_P, winograd_pair_of)
        KIND_CASE(DN_WINOGRAD_PAIR_Q, winograd_pair_of)
        KIND_CASE(DN_WINOGRAD_PAIR_R, winograd_pair_of)
#undef KIND_CASE
    }
}

/* ---- h = G w, in double precision as winograd_weights.h's u ---- */

DN_INLINE void winograd_half_exact_of(const int n, const double *g, const float *w, float *h,
                                      size_t row_stride) {
    for (int j = 0; j < 3; ++j, w += 2 * LEVEL_LANES, h += 2 * LEVEL_LANES) {
        vdouble d[3][2];
        DN_UNROLL
        for (int tap = 0; tap < 3; ++tap) DN_UNROLL
        for (int part = 0; part < 2; ++part)
            d[tap][part] = vwiden(w + tap * 6 * LEVEL_LANES + part * (LEVEL_LANES / 2));
        for (int i = 0; i < n; ++i) {
            vdouble sum[2];
            DN_UNROLL
            for (int part = 0; part < 2; ++part)
                sum[part] = g[3 * i] * d[0][part] + g[3 * i + 1] * d[1][part] + g[3 * i + 2] * d[2][part];
            vstore(h + (size_t)i * row_stride, vnarrow(sum[0], sum[1]));
        }
    }
}

static void winograd_weights_half(int n, int channels, const double *g, const float *w, float *h,
                                  size_t row_stride) {
    for (int half = 0; half < 2 * channels; ++half)
        winograd_half_exact_of(n, g, w + (half / 2) * 18 * LEVEL_LANES + half % 2 * LEVEL_LANES,
                               h + (half / 2) * 6 * LEVEL_LANES + half % 2 * LEVEL_LANES, row_stride);
}
