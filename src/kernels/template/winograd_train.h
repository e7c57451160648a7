/* Winograd convolution in training: weights are transformed at every step, with the transform as a table
 * g[m + 2][3], and products of transformed inputs and gradients go back through it. m = 2, 3, 4. */

/* Two columns of lanes: u = G w G^T. */
DN_INLINE void winograd_weights_of(const int n, const bool reverse, const float *g, const float *w, float *u,
                                   size_t point_stride) {
    vfloat half[6][3];
    DN_UNROLL
    for (int j = 0; j < 3; ++j) {
        vfloat d[3];
        DN_UNROLL
        for (int i = 0; i < 3; ++i) d[i] = vload(w + (reverse ? 8 - 3 * i - j : 3 * i + j) * 2 * LEVEL_LANES);
        half[0][j] = g[0] * d[0];
        half[n - 1][j] = d[2];
        DN_UNROLL
        for (int i = 1; i < n - 1; ++i)
            half[i][j] = g[3 * i] * d[0] + g[3 * i + 1] * d[1] + g[3 * i + 2] * d[2];
    }
    DN_UNROLL
    for (int i = 0; i < n; ++i, u += (size_t)n * point_stride) {
        vstore(u, g[0] * half[i][0]);
        vstore(u + (size_t)(n - 1) * point_stride, half[i][2]);
        DN_UNROLL
        for (int j = 1; j < n - 1; ++j)
            vstore(u + (size_t)j * point_stride,
                   g[3 * j] * half[i][0] + g[3 * j + 1] * half[i][1] + g[3 * j + 2] * half[i][2]);
    }
}

static void winograd_weights(int m, int channels, const float *g, bool reverse, const float *w, float *u,
                             size_t point_stride) {
    for (int half = 0; half < 2 * channels; ++half) {
        const float *from = w + (half / 2) * 18 * LEVEL_LANES + half % 2 * LEVEL_LANES;
        float *to = u + half * LEVEL_LANES;
        if (m == 4 && !reverse) winograd_weights_of(6, false, g, from, to, point_stride);
        if (m == 4 && reverse) winograd_weights_of(6, true, g, from, to, point_stride);
        if (m == 3) winograd_weights_of(5, reverse, g, from, to, point_stride);
        if (m == 2) winograd_weights_of(4, reverse, g, from, to, point_stride);
    }
}

/* ---- the gradient of the weights: products summed over tiles, then back through G ---- */

enum { WINOGRAD_GRADIENT_ROWS = LEVEL_LANES > 8 ? 8 : 4 };

DN_INLINE void winograd_gradient_of(const int halves, int tiles, const float *v, const float *e,
                                    size_t e_stride, float *out, bool accumulate) {
    for (int row = 0; row < LEVEL_LANES; row += WINOGRAD_GRADIENT_ROWS) {
        vfloat sum[WINOGRAD_GRADIENT_ROWS][2];
        DN_UNROLL
        for (int i = 0; i < WINOGRAD_GRADIENT_ROWS; ++i) sum[i][0] = sum[i][1] = (vfloat){0};
        const float *left = v + row, *right = e;
        for (int t = 0; t < tiles; ++t, left += LEVEL_LANES, right += LEVEL_LANES) {
            vfloat column[2] = {vload(right)};
            if (halves == 2) column[1] = vload(right + e_stride);
            DN_UNROLL
            for (int i = 0; i < WINOGRAD_GRADIENT_ROWS; ++i) {
                const vfloat value = vset(left[i]);
                DN_UNROLL
                for (int j = 0; j < halves; ++j) sum[i][j] += value * column[j];
            }
        }
        DN_UNROLL
        for (int i = 0; i < WINOGRAD_GRADIENT_ROWS; ++i) DN_UNROLL
        for (int j = 0; j < halves; ++j) {
            float *to = out + (size_t)(row + i) * (2 * LEVEL_LANES) + j * LEVEL_LANES;
            vstore(to, accumulate ? vload(to) + sum[i][j] : sum[i][j]);
        }
    }
}

static void winograd_gradient(int tiles, int halves, const float *v, const float *e, size_t e_stride,
                              float *out, bool accumulate) {
    if (halves == 2)
        winograd_gradient_of(2, tiles, v, e, e_stride, out, accumulate);
    else
        winograd_gradient_of(1, tiles, v, e, e_stride, out, accumulate);
}

/* One channel's 9 taps, G^T p G, for `lanes` filters: taps[9][lanes]. */
DN_INLINE void winograd_taps_of(const int n, const float *g, const float *p, size_t point_stride,
                                float *taps) {
    vfloat half[3][6];
    DN_UNROLL
    for (int j = 0; j < n; ++j) {
        vfloat d[6];
        DN_UNROLL
        for (int i = 0; i < n; ++i) d[i] = vload(p + (size_t)(i * n + j) * point_stride);
        half[0][j] = g[0] * d[0];
        half[1][j] = (vfloat){0};
        half[2][j] = d[n - 1];
        DN_UNROLL
        for (int i = 1; i < n - 1; ++i) DN_UNROLL
        for (int k = 0; k < 3; ++k) half[k][j] += g[3 * i + k] * d[i];
    }
    DN_UNROLL
    for (int k = 0; k < 3; ++k) {
        vfloat tap[3] = {g[0] * half[k][0], {0}, half[k][n - 1]};
        DN_UNROLL
        for (int j = 1; j < n - 1; ++j) DN_UNROLL
        for (int l = 0; l < 3; ++l) tap[l] += g[3 * j + l] * half[k][j];
        DN_UNROLL
        for (int l = 0; l < 3; ++l) vstore(taps + (3 * k + l) * LEVEL_LANES, tap[l]);
    }
}

static void winograd_weights_gradient(int m, const float *g, const float *p, int channels, int filters,
                                      float *dw, size_t stride) {
    const size_t point_stride = 2 * LEVEL_LANES * LEVEL_LANES;
    float taps[9 * LEVEL_LANES * LEVEL_LANES]; /* [channel][tap][lanes] */
    for (int first = 0; first < filters; first += LEVEL_LANES, p += LEVEL_LANES) {
        const int count = filters - first < LEVEL_LANES ? filters - first : LEVEL_LANES;
        for (int c = 0; c < channels; ++c) {
            const float *from = p + c * 2 * LEVEL_LANES;
            float *to = taps + c * 9 * LEVEL_LANES;
            if (m == 4) winograd_taps_of(6, g, from, point_stride, to);
            if (m == 3) winograd_taps_of(5, g, from, point_stride, to);
            if (m == 2) winograd_taps_of(4, g, from, point_stride, to);
        }
        for (int at = 0; at < 9 * channels; at += LEVEL_LANES) {
            const int left = 9 * channels - at < LEVEL_LANES ? 9 * channels - at : LEVEL_LANES;
            vfloat square[LEVEL_LANES];
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i)
                square[i] = i < left ? vload(taps + (at + i) * LEVEL_LANES) : (vfloat){0};
            vtranspose(square);
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) {
                float *to = dw + (size_t)(first + i) * stride + at;
                if (i >= count) continue;
                if (left == LEVEL_LANES)
                    vstore(to, vload(to) + square[i]);
                else
                    vstore_partial(to, vload_partial(to, left) + square[i], left);
            }
        }
    }
}
