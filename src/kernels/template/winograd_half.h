/* Winograd products with weights transformed along one axis only: h[row of points][channel][3][2 lanes] takes
 * 3 n floats where u takes n n. The other axis is transformed on the way into registers and never stored:
 * stores of whole vectors take twice as long as multiply-adds (Zen 4), and a buffer of u passed on to the
 * ordinary product took longer by 10 %. Without the factors of G, which sums of products are multiplied by,
 * u is a + x b + x^2 c at a point x, of taps a, b, c. What is kept of them makes points by few additions, as
 * even beside a multiplier each takes a third of a multiply-add's time (Zen 4): p = 2 (a + c), b' = 2 b and
 * q = a + 4 c.
 *     +-1: 2 (a +- b + c) = p +- b'       0: 3 a = 2 p - q          +-1/2: 2 (4 a +- 2 b + c) =
 *     +-2: a +- 2 b + 4 c = q +- b'       infinity: 6 c = 2 q - p          2 (2 p - q +- b') + p
 * Where the sums of all tiles at both points of a pair fit into registers, both are multiplied together. Few
 * tiles, as at the end of networks, wait for memory more than for sums.
 * A level whose multiply-adds can take a value from memory for all lanes meets twice as many tiles with one
 * vector of filters at a time (WINOGRAD_HALF_TILES): each weight then makes points for twice as many
 * multiply-adds, is read from the second-level cache half as often, and additions hide behind those entirely
 * (Zen 4: 97 to 99 % of the peak from 7 tiles on, where two vectors reach 75 to 95 %). Few tiles, which wait
 * for memory, are met by both. What is fetched is spread evenly, as memory falls behind in any burst (all
 * beside the first vector: 8 % longer at 32 x 32, 4 % at 16 x 16 on Emerald Rapids). */

enum {
    WINOGRAD_REGISTERS = WINOGRAD_TILES < 12 ? 16 : 32,
    WINOGRAD_FEW_TILES = WINOGRAD_TILES < 6 ? WINOGRAD_TILES : 6, /* by both vectors, if registers allow */
    WINOGRAD_FEW_PAIR_VECTORS = WINOGRAD_REGISTERS < 32 ? 1 : 2,
    WINOGRAD_MORE_VECTORS = WINOGRAD_HALF_TILES > WINOGRAD_TILES ? 1 : 2,
    WINOGRAD_PAIR_TILES = WINOGRAD_MORE_VECTORS == 1 ? WINOGRAD_HALF_TILES / 2 : WINOGRAD_FEW_TILES
};

/* The points of a kind, of a pair both, at one vector of filters. */
DN_INLINE void winograd_expand(const dn_winograd_kind kind, const float *h, vfloat *u) {
    const vfloat p = vload(h), b = vload(h + 2 * LEVEL_LANES), q = vload(h + 4 * LEVEL_LANES);
    if (kind == DN_WINOGRAD_ZERO) u[0] = (p + p) - q;
    if (kind == DN_WINOGRAD_INFINITY) u[0] = (q + q) - p;
    if (kind == DN_WINOGRAD_PAIR_P) {
        u[0] = p + b;
        u[1] = p - b;
    }
    if (kind == DN_WINOGRAD_PAIR_Q) {
        u[0] = q + b;
        u[1] = q - b;
    }
    if (kind == DN_WINOGRAD_PAIR_R) {
        const vfloat even = (p + p) - q, plus = even + b, minus = even - b;
        u[0] = (plus + plus) + p;
        u[1] = (minus + minus) + p;
    }
}

DN_INLINE void winograd_expand_all(const dn_winograd_kind kind, const int vectors, const float *h,
                                   vfloat u[2][2]) {
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) winograd_expand(kind, h + j * LEVEL_LANES, u[j]);
}

/* A processor takes the oldest work first, so that additions begin only when all multiply-adds before them
 * are done, and those behind wait: where registers hold them, the next channel's points are made before this
 * one's are multiplied (Emerald Rapids: 147 -> 156, 158 -> 163, 125 -> 144 of 179 GFLOP/s at points 0, +-1,
 * +-1/2). So h is read one channel further than multiplied. */
DN_INLINE void winograd_half_of(const dn_winograd_kind kind, const int points, const int point,
                                const int tiles, const int vectors, const dn_winograd_half *half,
                                const float *v, const float *h, float *out, const float *next) {
    const int blocks = half->blocks;
    const size_t out_stride = half->out_stride, block_stride = half->block_stride, v_apart = half->v_apart;
    const size_t next_apart = (size_t)(blocks * LEVEL_LANES) * 16;
    const bool early = (tiles + 2) * points * vectors + 2 <= WINOGRAD_REGISTERS;
    vfloat sum[WINOGRAD_HALF_TILES][2][2], u[2][2], soon[2][2]; /* of those: vector, point */
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[i][p][j] = (vfloat){0};
    if (early) winograd_expand_all(kind, vectors, h, soon);
    const float *second = points == 2 ? v + v_apart : v; /* opaque, or each of its tiles has a pointer */
    for (int block = 0; block < blocks; ++block, v += block_stride, second += block_stride) {
        const float *lane[2] = {v, second};
        DN_OPAQUE(lane[1]);
        for (int k = 0; k < LEVEL_LANES; ++k, ++lane[0], ++lane[1]) {
            if (early) {
                memcpy(u, soon, sizeof u);
                h += 6 * LEVEL_LANES;
                winograd_expand_all(kind, vectors, h, soon);
            } else {
                winograd_expand_all(kind, vectors, h, u);
                h += 6 * LEVEL_LANES;
            }
            __builtin_prefetch(next, 0, 2);
            if (points == 2 && vectors == 2) __builtin_prefetch(next + next_apart, 0, 2);
            DN_UNROLL
            for (int i = 0; i < tiles; ++i) DN_UNROLL
            for (int p = 0; p < points; ++p) {
                const vfloat value = vset(lane[p][i * LEVEL_LANES]);
                DN_UNROLL
                for (int j = 0; j < vectors; ++j) sum[i][p][j] += value * u[j][point + p];
            }
            next += points == 1 && vectors == 1 ? 8 : 16; /* half of it beside each vector of filters */
        }
    }
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) DN_UNROLL
    for (int j = 0; j < vectors; ++j) {
        float *to = out + (size_t)i * out_stride + (p * 2 + j) * LEVEL_LANES;
        const vfloat scaled = sum[i][p][j] * half->scale[point + p];
        vstore(to, half->accumulate ? vload(to) + scaled : scaled);
    }
}

DN_INLINE void winograd_single_of(const dn_winograd_kind kind, const int point,
                                  const dn_winograd_half *half) {
    const float *v = half->v + (size_t)point * half->v_apart;
    const int vectors = half->tiles <= WINOGRAD_FEW_TILES ? 2 : WINOGRAD_MORE_VECTORS;
    for (int j = 0; j < 2; j += vectors) {
        const float *h = half->h + j * LEVEL_LANES;
        const float *next = half->next + (size_t)((2 * point + j) * half->blocks * LEVEL_LANES) * 8;
        float *out = half->out + (point * 2 + j) * LEVEL_LANES;
        switch (half->tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        if ((t) <= WINOGRAD_HALF_TILES)                                                                      \
            winograd_half_of(kind, 1, point, (t) <= WINOGRAD_HALF_TILES ? (t) : 1,                           \
                             (t) <= WINOGRAD_FEW_TILES ? 2 : WINOGRAD_MORE_VECTORS, half, v, h, out, next);  \
        break;
            WINOGRAD_28_CASES(TILES_CASE)
#undef TILES_CASE
        }
    }
}

DN_INLINE void winograd_pair_of(const dn_winograd_kind kind, const dn_winograd_half *half) {
    if (half->tiles > WINOGRAD_PAIR_TILES) {
        winograd_single_of(kind, 0, half);
        winograd_single_of(kind, 1, half);
        return;
    }
    const int vectors = half->tiles <= WINOGRAD_FEW_TILES ? WINOGRAD_FEW_PAIR_VECTORS : 1;
    for (int j = 0; j < 2; j += vectors) {
        const float *h = half->h + j * LEVEL_LANES;
        const float *next = half->next + (size_t)(j * half->blocks * LEVEL_LANES) * 16;
        float *out = half->out + j * LEVEL_LANES;
        switch (half->tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        if ((t) <= WINOGRAD_PAIR_TILES)                                                                      \
            winograd_half_of(kind, 2, 0, (t) <= WINOGRAD_PAIR_TILES ? (t) : 1,                               \
                             (t) <= WINOGRAD_FEW_TILES ? WINOGRAD_FEW_PAIR_VECTORS : 1, half, half->v, h,    \
                             out, next);                                                                     \
        break;
            WINOGRAD_14_CASES(TILES_CASE)
#undef TILES_CASE
        }
    }
}

static void winograd_multiply_half(dn_winograd_kind kind, const dn_winograd_half *half) {
    switch (kind) {
    case DN_WINOGRAD_ZERO:
        winograd_single_of(DN_WINOGRAD_ZERO, 0, half);
        break;
    case DN_WINOGRAD_INFINITY:
        winograd_single_of(DN_WINOGRAD_INFINITY, 0, half);
        break;
    case DN_WINOGRAD_PLUS_Q:
        winograd_single_of(DN_WINOGRAD_PAIR_Q, 0, half);
        break;
    case DN_WINOGRAD_PLUS_R:
        winograd_single_of(DN_WINOGRAD_PAIR_R, 0, half);
        break;
    case DN_WINOGRAD_PAIR_P:
        winograd_pair_of(DN_WINOGRAD_PAIR_P, half);
        break;
    case DN_WINOGRAD_PAIR_Q:
        winograd_pair_of(DN_WINOGRAD_PAIR_Q, half);
        break;
    case DN_WINOGRAD_PAIR_R:
        winograd_pair_of(DN_WINOGRAD_PAIR_R, half);
        break;
    }
}

/* ---- h of G w, in double precision as winograd_weights.h's u ---- */

/* One channel of `lanes` filters. */
DN_INLINE void winograd_half_exact_of(const int n, const double *g, const float *w, float *h,
                                      size_t row_stride) {
    vdouble d[9][2];
    DN_UNROLL
    for (int tap = 0; tap < 9; ++tap) DN_UNROLL
    for (int part = 0; part < 2; ++part)
        d[tap][part] = vwiden(w + tap * 2 * LEVEL_LANES + part * (LEVEL_LANES / 2));
    for (int i = 0; i < n; ++i, h += row_stride) {
        vdouble p[2], b[2], q[2];
        DN_UNROLL
        for (int part = 0; part < 2; ++part) {
            vdouble taps[3];
            DN_UNROLL
            for (int j = 0; j < 3; ++j)
                taps[j] =
                    g[3 * i] * d[j][part] + g[3 * i + 1] * d[3 + j][part] + g[3 * i + 2] * d[6 + j][part];
            p[part] = 2 * (taps[0] + taps[2]);
            b[part] = 2 * taps[1];
            q[part] = taps[0] + 4 * taps[2];
        }
        vstore(h, vnarrow(p[0], p[1]));
        vstore(h + 2 * LEVEL_LANES, vnarrow(b[0], b[1]));
        vstore(h + 4 * LEVEL_LANES, vnarrow(q[0], q[1]));
    }
}

static void winograd_weights_half(int n, int channels, const double *g, const float *w, float *h,
                                  size_t row_stride) {
    for (int half = 0; half < 2 * channels; ++half)
        winograd_half_exact_of(n, g, w + (half / 2) * 18 * LEVEL_LANES + half % 2 * LEVEL_LANES,
                               h + (half / 2) * 6 * LEVEL_LANES + half % 2 * LEVEL_LANES, row_stride);
}
