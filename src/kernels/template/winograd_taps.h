/* Winograd products with weights that take no more memory than those of direct convolution, 9 floats per
 * filter and channel where u takes n n. Some channels' h[channel][3][lanes] is made for a row of points, in
 * the first-level cache, then the points along it on the way into registers. (Both at once, into a buffer for
 * the ordinary product, took longer: stores of whole vectors take twice as long as multiply-adds.)
 * Without the factors of G, which sums of products are multiplied by, a point is a + x b + x^2 c at x, of
 * taps a, b, c. What is kept of them makes points by few additions: p = 2 (a + c), b' = 2 b and q = a + 4 c.
 *     +-1: 2 (a +- b + c) = p +- b'       0: 3 a = 2 p - q          +-1/2: 2 (4 a +- 2 b + c) =
 *     +-2: a +- 2 b + 4 c = q +- b'       infinity: 6 c = 2 q - p          2 (2 p - q +- b') + p
 * A vector of filters at a time meets as many tiles as registers hold sums of, or half as many at both points
 * of a pair: so each point made serves most multiply-adds. What is fetched is spread evenly, as memory falls
 * behind in any burst. */

enum {
    WINOGRAD_REGISTERS = WINOGRAD_TILES < 12 ? 16 : 32,
    WINOGRAD_PAIR_TILES = WINOGRAD_TAPS_TILES / 2,
    WINOGRAD_LINE = 16 /* floats of a cache line */
};

/* The points of a pair, from sums of taps. */
DN_INLINE void winograd_points(const dn_winograd_pair pair, const vfloat p, const vfloat b, const vfloat q,
                               vfloat u[2]) {
    if (pair == DN_WINOGRAD_ENDS) {
        u[0] = (p + p) - q;
        u[1] = (q + q) - p;
    } else if (pair == DN_WINOGRAD_PAIR_P) {
        u[0] = p + b;
        u[1] = p - b;
    } else if (pair == DN_WINOGRAD_PAIR_Q) {
        u[0] = q + b;
        u[1] = q - b;
    } else {
        const vfloat even = (p + p) - q, plus = even + b, minus = even - b;
        u[0] = (plus + plus) + p;
        u[1] = (minus + minus) + p;
    }
}

DN_INLINE void winograd_points_at(const dn_winograd_pair pair, const float *h, vfloat u[2]) {
    winograd_points(pair, vload(h), vload(h + LEVEL_LANES), vload(h + 2 * LEVEL_LANES), u);
}

/* Both points of a call, or one of them, the first or the second. A processor takes the oldest work first, so
 * that additions begin only when all multiply-adds before them are done, and those behind wait: where
 * registers hold them, the next channel's points are made before this one's are multiplied. So h is read one
 * channel further than multiplied. The values of many tiles are fetched a block ahead: that saves 6 % at 26 x
 * 26, and would cost few tiles 3 % (Emerald Rapids). */
DN_INLINE void winograd_meet_of(const dn_winograd_pair pair, const int points, const int first,
                                const int tiles, const dn_winograd_call *call, const dn_winograd_taps *taps,
                                const float *next) {
    const size_t out_stride = taps->out_stride, block_stride = taps->block_stride;
    const size_t step = taps->next_step * (size_t)points;
    const bool early = (tiles + 2) * points + 2 <= WINOGRAD_REGISTERS, ahead = tiles > WINOGRAD_LINE;
    const float *h = taps->h, *v = taps->v + call->v + (first == 1 ? call->v_apart : 0);
    vfloat sum[WINOGRAD_TAPS_TILES][2], u[2], soon[2];
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) sum[i][p] = (vfloat){0};
    if (early) winograd_points_at(pair, h, soon);
    const float *second =
        points == 2 ? v + call->v_apart : v; /* opaque, or each of its tiles has a pointer */
    for (int block = 0; block < taps->blocks; ++block, v += block_stride, second += block_stride) {
        const float *lane[2] = {v, second};
        DN_OPAQUE(lane[1]);
        for (int k = 0; k < LEVEL_LANES; ++k, ++lane[0], ++lane[1], next += step) {
            if (!early) winograd_points_at(pair, h, soon);
            memcpy(u, soon, sizeof u);
            h += 3 * LEVEL_LANES;
            if (early) winograd_points_at(pair, h, soon);
            __builtin_prefetch(next, 0, 2);
            if (ahead) {
                const float *soon_met = v + block_stride + k * tiles;
                __builtin_prefetch(soon_met);
                __builtin_prefetch(soon_met + WINOGRAD_LINE);
            }
            DN_UNROLL
            for (int i = 0; i < tiles; ++i) DN_UNROLL
            for (int p = 0; p < points; ++p) sum[i][p] += vset(lane[p][i * LEVEL_LANES]) * u[first + p];
        }
    }
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) DN_UNROLL
    for (int p = 0; p < points; ++p) {
        float *to = taps->out + call->out + (size_t)i * out_stride + (size_t)(first + p) * call->out_apart;
        const vfloat scaled = sum[i][p] * call->scale[first + p];
        vstore(to, taps->accumulate ? vload(to) + scaled : scaled);
    }
}

DN_INLINE void winograd_single_of(const dn_winograd_pair pair, const int first, const dn_winograd_call *call,
                                  const dn_winograd_taps *taps, const float *next) {
    switch (call->tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        if ((t) <= WINOGRAD_TAPS_TILES)                                                                      \
            winograd_meet_of(pair, 1, first, (t) <= WINOGRAD_TAPS_TILES ? (t) : 1, call, taps, next);        \
        break;
        WINOGRAD_28_CASES(TILES_CASE)
#undef TILES_CASE
    }
}

DN_INLINE void winograd_call_of(const dn_winograd_pair pair, const dn_winograd_call *call,
                                const dn_winograd_taps *taps, const float *next) {
    if (call->points == 1 || call->tiles > WINOGRAD_PAIR_TILES) {
        winograd_single_of(pair, 0, call, taps, next);
        next += (size_t)(taps->blocks * LEVEL_LANES) * taps->next_step;
        if (call->points == 2) winograd_single_of(pair, 1, call, taps, next);
        return;
    }
    switch (call->tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        if ((t) <= WINOGRAD_PAIR_TILES)                                                                      \
            winograd_meet_of(pair, 2, 0, (t) <= WINOGRAD_PAIR_TILES ? (t) : 1, call, taps, next);            \
        break;
        WINOGRAD_14_CASES(TILES_CASE)
#undef TILES_CASE
    }
}

#define PAIR_CASES(CASE)                                                                                     \
    CASE(DN_WINOGRAD_ENDS)                                                                                   \
    CASE(DN_WINOGRAD_PAIR_P)                                                                                 \
    CASE(DN_WINOGRAD_PAIR_Q)                                                                                 \
    CASE(DN_WINOGRAD_PAIR_R)

static const float *winograd_multiply_taps(const dn_winograd_call *calls, int count,
                                           const dn_winograd_taps *taps) {
    const float *next = taps->next;
    for (const dn_winograd_call *call = calls; call < calls + count; ++call) {
        switch (call->pair) {
#define PAIR_CASE(constant)                                                                                  \
    case constant:                                                                                           \
        winograd_call_of(constant, call, taps, next);                                                        \
        break;
            PAIR_CASES(PAIR_CASE)
#undef PAIR_CASE
        }
        next += (size_t)(taps->blocks * LEVEL_LANES * call->points) * taps->next_step;
    }
    return next;
}

/* ---- a row of points, from sums of taps along both axes ---- */

DN_INLINE void winograd_row_of(const dn_winograd_pair pair, const int point, int channels, const float *w,
                               float *h) {
    const size_t apart = 3 * LEVEL_LANES;
    for (int c = 0; c < channels; ++c, w += 2 * apart) {
        DN_UNROLL
        for (int i = 0; i < 3; ++i, w += LEVEL_LANES, h += LEVEL_LANES) {
            vfloat u[2];
            winograd_points(pair, vload(w), vload(w + apart), vload(w + 2 * apart), u);
            vstore(h, u[point]);
        }
    }
}

static void winograd_row(dn_winograd_pair pair, int point, int channels, const float *w, float *h) {
    switch (pair) {
#define PAIR_CASE(constant)                                                                                  \
    case constant:                                                                                           \
        if (point == 0)                                                                                      \
            winograd_row_of(constant, 0, channels, w, h);                                                    \
        else                                                                                                 \
            winograd_row_of(constant, 1, channels, w, h);                                                    \
        break;
        PAIR_CASES(PAIR_CASE)
#undef PAIR_CASE
    }
}
#undef PAIR_CASES

/* ---- sums of taps, in double precision as winograd_weights.h's u ---- */

/* Along an axis whose taps are so far apart. */
DN_INLINE void winograd_sum_axis(const vdouble *tap, const int apart, vdouble sums[3]) {
    sums[0] = 2 * (tap[0] + tap[2 * apart]);
    sums[1] = 2 * tap[apart];
    sums[2] = tap[0] + 4 * tap[2 * apart];
}

static void winograd_weights_taps(int channels, const float *w, float *sums, size_t vector_stride) {
    for (int i = 0; i < 2 * channels; ++i) {
        const float *from = w + (i / 2 * 18 + i % 2) * LEVEL_LANES;
        float *to = sums + (size_t)(i % 2) * vector_stride + i / 2 * 9 * LEVEL_LANES;
        vdouble both[2][9];
        DN_UNROLL
        for (int part = 0; part < 2; ++part) {
            vdouble taps[9], rows[9];
            DN_UNROLL
            for (int tap = 0; tap < 9; ++tap)
                taps[tap] = vwiden(from + tap * 2 * LEVEL_LANES + part * (LEVEL_LANES / 2));
            DN_UNROLL
            for (int x = 0; x < 3; ++x) {
                vdouble column[3];
                winograd_sum_axis(taps + x, 3, column);
                DN_UNROLL
                for (int y = 0; y < 3; ++y) rows[3 * y + x] = column[y];
            }
            DN_UNROLL
            for (int y = 0; y < 3; ++y) winograd_sum_axis(rows + 3 * y, 1, both[part] + 3 * y);
        }
        DN_UNROLL
        for (int sum = 0; sum < 9; ++sum) vstore(to + sum * LEVEL_LANES, vnarrow(both[0][sum], both[1][sum]));
    }
}

/* ---- stride 2 ---- */

/* A row of the points of weights: of outer taps a and c, a at 0, a +- c at +-1, a + 2 c at 2 and c at
 * infinity; then the middle tap. */
DN_INLINE vfloat winograd_strided_point(const int m, const int point, const vfloat a, const vfloat b,
                                        const vfloat c) {
    if (point == m + 1) return b;
    if (point == m) return c;
    return point == 0 ? a : point == 1 ? a + c : point == 2 ? a - c : a + (c + c);
}

DN_INLINE void winograd_row_strided_of(const int m, const int row, int channels, const float *w, float *u,
                                       size_t point_stride) {
    const size_t apart = 2 * LEVEL_LANES;
    for (int half = 0; half < 2 * channels; ++half, u += LEVEL_LANES) {
        const float *tap = w + (half / 2 * 18 + half % 2) * LEVEL_LANES;
        vfloat h[3];
        DN_UNROLL
        for (int x = 0; x < 3; ++x, tap += apart)
            h[x] = winograd_strided_point(m, row, vload(tap), vload(tap + 3 * apart), vload(tap + 6 * apart));
        DN_UNROLL
        for (int x = 0; x < m + 2; ++x)
            vstore(u + (size_t)x * point_stride, winograd_strided_point(m, x, h[0], h[1], h[2]));
    }
}

static void winograd_row_strided(int m, int row, int channels, const float *w, float *u,
                                 size_t point_stride) {
    switch (m * 6 + row) {
#define ROW_CASE(m, row)                                                                                     \
    case (m) * 6 + (row):                                                                                    \
        winograd_row_strided_of(m, row, channels, w, u, point_stride);                                       \
        break;
        ROW_CASE(2, 0)
        ROW_CASE(2, 1)
        ROW_CASE(2, 2)
        ROW_CASE(2, 3)
        ROW_CASE(4, 0)
        ROW_CASE(4, 1)
        ROW_CASE(4, 2)
        ROW_CASE(4, 3)
        ROW_CASE(4, 4)
        ROW_CASE(4, 5)
#undef ROW_CASE
    }
}
