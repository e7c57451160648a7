/* Winograd convolution F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural networks",
 * 2015), n = m + 2 points per axis. Vector lanes are channels: images are transposed to [pixel][lanes] on the
 * way in and back on the way out, so that maps of any size waste no lanes. The interpolation points are 0,
 * DN_WINOGRAD_POINTS and infinity: 3/4 and 3/2 are exact and round four times less than the usual 1 and 2.
 * The weights are transformed in backends/cpu/conv_winograd.c.
 *
 * Stride 2, m = 2, n = 5: along an axis the outer taps meet every other pixel, which is a convolution of 2
 * taps, 2 outputs by 3 products; the middle tap meets those between, 2 products. 25 products replace 36, and
 * no transform multiplies. (m = 3 would save another eighth of them and take twice the weights: no faster.)
 */

static const float winograd_a = DN_WINOGRAD_A, winograd_b = DN_WINOGRAD_B;

DN_INLINE int winograd_points_of(const int m, const int stride) {
    return stride == 2 ? 2 * m + 1 : m + 2;
}

/* t = B^T d */
DN_INLINE void winograd_in(const int m, const int stride, const vfloat *d, vfloat *t) {
    const float a = winograd_a, b = winograd_b, a2 = a * a, b2 = b * b;
    if (stride == 2) {
        t[0] = d[0] - d[2];
        t[1] = d[2];
        t[2] = d[4] - d[2];
        t[3] = d[1];
        t[4] = d[3];
    } else if (m == 4) {
        const vfloat even_a = d[4] - b2 * d[2], odd_a = a * (d[3] - b2 * d[1]);
        const vfloat even_b = d[4] - a2 * d[2], odd_b = b * (d[3] - a2 * d[1]);
        t[0] = (d[4] - (a2 + b2) * d[2]) + (a2 * b2) * d[0];
        t[1] = even_a + odd_a;
        t[2] = even_a - odd_a;
        t[3] = even_b + odd_b;
        t[4] = even_b - odd_b;
        t[5] = (d[5] - (a2 + b2) * d[3]) + (a2 * b2) * d[1];
    } else if (m == 3) { /* points 0, a, -a, -b */
        const vfloat even = d[3] + b * d[2], odd = a * (d[2] + b * d[1]);
        t[0] = even - a2 * (d[1] + b * d[0]);
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = d[3] - a2 * d[1];
        t[4] = (d[4] + b * d[3]) - a2 * (d[2] + b * d[1]);
    } else { /* points 0, 1, -1 */
        t[0] = d[2] - d[0];
        t[1] = d[2] + d[1];
        t[2] = d[2] - d[1];
        t[3] = d[3] - d[1];
    }
}

/* y = A^T p */
DN_INLINE void winograd_out(const int m, const int stride, const vfloat *p, vfloat *y) {
    const float a = winograd_a, b = winograd_b;
    const vfloat sum = p[1] + p[2], difference = p[1] - p[2];
    if (stride == 2) {
        y[0] = p[0] + p[1] + p[3];
        y[1] = sum + p[4];
    } else if (m == 4) {
        const vfloat sum_b = p[3] + p[4], difference_b = p[3] - p[4];
        y[0] = p[0] + sum + sum_b;
        y[1] = a * difference + b * difference_b;
        y[2] = (a * a) * sum + (b * b) * sum_b;
        y[3] = (a * a * a) * difference + ((b * b * b) * difference_b + p[5]);
    } else if (m == 3) {
        y[0] = p[0] + sum + p[3];
        y[1] = a * difference - b * p[3];
        y[2] = (a * a) * sum + ((b * b) * p[3] + p[4]);
    } else {
        y[0] = p[0] + sum;
        y[1] = difference + p[3];
    }
}

/* t = A e, the transpose of winograd_out: n points from the m gradients of a tile's outputs. */
DN_INLINE void winograd_spread(const int m, const vfloat *e, vfloat *t) {
    const float a = winograd_a, b = winograd_b;
    if (m == 4) {
        const vfloat even_a = e[0] + (a * a) * e[2], odd_a = a * e[1] + (a * a * a) * e[3];
        const vfloat even_b = e[0] + (b * b) * e[2], odd_b = b * e[1] + (b * b * b) * e[3];
        t[1] = even_a + odd_a;
        t[2] = even_a - odd_a;
        t[3] = even_b + odd_b;
        t[4] = even_b - odd_b;
    } else if (m == 3) {
        const vfloat even = e[0] + (a * a) * e[2], odd = a * e[1];
        t[1] = even + odd;
        t[2] = even - odd;
        t[3] = (e[0] + (b * b) * e[2]) - b * e[1];
    } else {
        t[1] = e[0] + e[1];
        t[2] = e[0] - e[1];
    }
    t[0] = e[0];
    t[m + 1] = e[m - 1];
}

/* One image row under the tiles, as [pixel][lanes], zero outside the image. */
static void winograd_stage_row(const dn_winograd_row *row, int y, int pixels, float *stage) {
    const int first = row->left > 0 ? row->left : 0;
    const int last = row->left + pixels < row->w ? row->left + pixels : row->w;
    if (y < 0 || y >= row->h || first >= last) {
        memset(stage, 0, (size_t)pixels * LEVEL_LANES * sizeof *stage);
        return;
    }
    memset(stage, 0, (size_t)(first - row->left) * LEVEL_LANES * sizeof *stage);
    float *to = stage + (size_t)(first - row->left) * LEVEL_LANES;
    for (int x = first; x < last; x += LEVEL_LANES, to += LEVEL_LANES * LEVEL_LANES) {
        const int count = last - x < LEVEL_LANES ? last - x : LEVEL_LANES;
        const float *from = row->x + (ptrdiff_t)y * row->w + x;
        vfloat square[LEVEL_LANES];
        if (row->channels == LEVEL_LANES &&
            row->x_end - from >= (ptrdiff_t)(row->plane * (LEVEL_LANES - 1)) + LEVEL_LANES) {
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) square[i] = vload(from + (size_t)i * row->plane);
        } else {
            for (int i = 0; i < LEVEL_LANES; ++i) {
                square[i] = (vfloat){0};
                if (i < row->channels)
                    square[i] = count == LEVEL_LANES ? vload(from + (size_t)i * row->plane)
                                                     : vload_partial(from + (size_t)i * row->plane, count);
            }
        }
        vtranspose(square);
        if (count == LEVEL_LANES) {
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) vstore(to + i * LEVEL_LANES, square[i]);
        } else {
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i)
                if (i < count) vstore(to + i * LEVEL_LANES, square[i]);
        }
    }
    memset(stage + (size_t)(last - row->left) * LEVEL_LANES, 0,
           (size_t)(row->left + pixels - last) * LEVEL_LANES * sizeof *stage);
}

/* Tiles of inputs are n pixels wide and overlap by 2, or by 1 at stride 2; those of gradients don't, and are
 * m pixels wide. */
DN_INLINE void winograd_input_of(const int m, const int stride, const bool gradient,
                                 const dn_winograd_row *row, float *stage, float *v) {
    const int n = winograd_points_of(m, stride), wide = gradient ? m : n, step = m * stride;
    const int pixels = row->tiles * step + wide - step;
    const size_t pitch = (size_t)pixels * LEVEL_LANES;
    for (int i = 0; i < wide; ++i) winograd_stage_row(row, row->y + i, pixels, stage + (size_t)i * pitch);
    for (size_t at = 0; at < pitch; at += LEVEL_LANES) {
        vfloat d[6], t[6];
        DN_UNROLL
        for (int i = 0; i < wide; ++i) d[i] = vload(stage + (size_t)i * pitch + at);
        if (gradient)
            winograd_spread(m, d, t);
        else
            winograd_in(m, stride, d, t);
        DN_UNROLL
        for (int i = 0; i < n; ++i) vstore(stage + (size_t)i * pitch + at, t[i]);
    }
    for (int tile = 0; tile < row->tiles; ++tile) {
        const int number = row->first + tile;
        float *to = v + (size_t)(number / row->panel_tiles) * row->panel_stride + row->channel_offset +
                    (size_t)(number % row->panel_tiles) * LEVEL_LANES;
        const float *from = stage + (size_t)(tile * step) * LEVEL_LANES;
        for (int i = 0; i < n; ++i, from += pitch) {
            vfloat d[6], t[6];
            DN_UNROLL
            for (int j = 0; j < wide; ++j) d[j] = vload(from + j * LEVEL_LANES);
            if (gradient)
                winograd_spread(m, d, t);
            else
                winograd_in(m, stride, d, t);
            DN_UNROLL
            for (int j = 0; j < n; ++j, to += row->point_stride) vstore(to, t[j]);
        }
    }
}

/* Transforms one row of tiles into v, at panel, point, channel block and tile. stage: n (m stride (tiles - 1)
 * + n) lanes. */
static void winograd_input(int m, int stride, const dn_winograd_row *row, float *stage, float *v) {
    if (m == 2 && stride == 2) winograd_input_of(2, 2, false, row, stage, v);
    if (stride == 2) return;
    if (m == 4) winograd_input_of(4, 1, false, row, stage, v);
    if (m == 3) winograd_input_of(3, 1, false, row, stage, v);
    if (m == 2) winograd_input_of(2, 1, false, row, stage, v);
}

static void winograd_input_gradient(int m, const dn_winograd_row *row, float *stage, float *v) {
    if (m == 4) winograd_input_of(4, 1, true, row, stage, v);
    if (m == 3) winograd_input_of(3, 1, true, row, stage, v);
    if (m == 2) winograd_input_of(2, 1, true, row, stage, v);
}

DN_INLINE void winograd_multiply_of(const int tiles, int blocks, size_t block_stride, const float *v,
                                    const float *u, float *out, size_t out_stride, const float *next) {
    vfloat sum[WINOGRAD_TILES][2];
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) sum[i][0] = sum[i][1] = (vfloat){0};
    for (int block = 0; block < blocks; ++block, v += block_stride) {
        const float *lane = v;
        for (int k = 0; k < LEVEL_LANES; ++k, ++lane) {
            const vfloat u0 = vload(u), u1 = vload(u + LEVEL_LANES);
            __builtin_prefetch(next, 0, 2);
            DN_UNROLL
            for (int i = 0; i < tiles; ++i) {
                const vfloat value = vset(lane[i * LEVEL_LANES]);
                sum[i][0] += value * u0;
                sum[i][1] += value * u1;
            }
            u += 2 * LEVEL_LANES;
            next += 16;
        }
    }
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) {
        vstore(out + (size_t)i * out_stride, sum[i][0]);
        vstore(out + (size_t)i * out_stride + LEVEL_LANES, sum[i][1]);
    }
}

/* out[tile][2 lanes] = v[block][tile][lanes] u[blocks * lanes][2 lanes]; next: what to fetch meanwhile, a
 * cache line per k, which is as fast as memory can follow. */
static void winograd_multiply(int tiles, int blocks, size_t block_stride, const float *v, const float *u,
                              float *out, size_t out_stride, const float *next) {
    switch (tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        winograd_multiply_of((t) <= WINOGRAD_TILES ? (t) : 1, blocks, block_stride, v, u, out, out_stride,   \
                             next);                                                                          \
        break;
        TILES_CASE(1)
        TILES_CASE(2)
        TILES_CASE(3)
        TILES_CASE(4)
        TILES_CASE(5)
        TILES_CASE(6)
        TILES_CASE(7)
        TILES_CASE(8)
        TILES_CASE(9)
        TILES_CASE(10)
        TILES_CASE(11)
        TILES_CASE(12)
        TILES_CASE(13)
        TILES_CASE(14)
#undef TILES_CASE
    }
}

/* The inverse transform of one tile plus bias, as [m][pitch] pixels of lanes. */
DN_INLINE void winograd_tile_out(const int m, const int stride, const float *in, size_t point_stride,
                                 vfloat bias, float *stage, size_t pitch) {
    const int n = winograd_points_of(m, stride);
    vfloat half[4][6];
    DN_UNROLL
    for (int j = 0; j < n; ++j) {
        vfloat p[6], y[4];
        DN_UNROLL
        for (int i = 0; i < n; ++i) p[i] = vload(in + (size_t)(i * n + j) * point_stride);
        winograd_out(m, stride, p, y);
        DN_UNROLL
        for (int i = 0; i < m; ++i) half[i][j] = y[i];
    }
    DN_UNROLL
    for (int i = 0; i < m; ++i) {
        vfloat y[4];
        winograd_out(m, stride, half[i], y);
        DN_UNROLL
        for (int j = 0; j < m; ++j) vstore(stage + (size_t)i * pitch + j * LEVEL_LANES, y[j] + bias);
    }
}

DN_INLINE void winograd_output_of(const int m, const int stride, const float *in, size_t tile_stride,
                                  size_t point_stride, int tiles, int channels, float *y, size_t plane, int w,
                                  int rows, int columns, bool accumulate, const dn_epilogue *epilogue) {
    const float *residual = epilogue ? epilogue->residual : NULL;
    vfloat bias = {0};
    if (epilogue && epilogue->bias)
        bias = channels == LEVEL_LANES ? vload(epilogue->bias) : vload_partial(epilogue->bias, channels);
    float stage[4 * 4 * LEVEL_LANES * LEVEL_LANES]; /* a group of `lanes` tiles */
    const size_t pitch = (size_t)m * LEVEL_LANES * LEVEL_LANES;
    for (int tile = 0; tile < tiles; tile += LEVEL_LANES) {
        const int group = tiles - tile < LEVEL_LANES ? tiles - tile : LEVEL_LANES;
        for (int t = 0; t < group; ++t) {
            /* The output is about to be written in m x m vectors per channel: fetch its lines meanwhile. */
            if (group == LEVEL_LANES)
                for (int unit = t; unit < m * m; unit += LEVEL_LANES)
                    for (int l = 0; l < channels; ++l)
                        __builtin_prefetch(y + (size_t)l * plane + (size_t)(unit / m) * (size_t)w +
                                               (size_t)(tile * m + unit % m * LEVEL_LANES),
                                           1);
            winograd_tile_out(m, stride, in + (size_t)(tile + t) * tile_stride, point_stride, bias,
                              stage + (size_t)(t * m) * LEVEL_LANES, pitch);
        }
        if (epilogue) /* lanes of channels: no row has an end to treat apart */
            for (int i = 0; i < m; ++i)
                activate(epilogue->activation, stage + (size_t)i * pitch, (size_t)(group * m) * LEVEL_LANES);
        const int first = tile * m;
        const int pixels = columns - first < group * m ? columns - first : group * m;
        for (int i = 0; i < rows; ++i)
            for (int x = 0; x < pixels; x += LEVEL_LANES) {
                const int count = pixels - x < LEVEL_LANES ? pixels - x : LEVEL_LANES;
                const float *from = stage + (size_t)i * pitch + (size_t)x * LEVEL_LANES;
                float *to = y + (size_t)i * (size_t)w + (size_t)(first + x);
                const float *add = accumulate ? to : residual ? residual + (to - y) : NULL;
                vfloat square[LEVEL_LANES];
                DN_UNROLL
                for (int l = 0; l < LEVEL_LANES; ++l)
                    square[l] = l < count ? vload(from + l * LEVEL_LANES) : (vfloat){0};
                vtranspose(square);
                if (count == LEVEL_LANES && channels == LEVEL_LANES) {
                    DN_UNROLL
                    for (int l = 0; l < LEVEL_LANES; ++l) {
                        const size_t at = (size_t)l * plane;
                        vstore(to + at, add ? vload(add + at) + square[l] : square[l]);
                    }
                } else {
                    DN_UNROLL
                    for (int l = 0; l < LEVEL_LANES; ++l)
                        if (l < channels) {
                            const size_t at = (size_t)l * plane;
                            if (count == LEVEL_LANES)
                                vstore(to + at, add ? vload(add + at) + square[l] : square[l]);
                            else
                                vstore_partial(to + at,
                                               add ? vload_partial(add + at, count) + square[l] : square[l],
                                               count);
                        }
                }
            }
    }
}

/* The inverse transform of one row of tiles of one block of channels, cut to rows x columns pixels of y. */
static void winograd_output(int m, int stride, const float *in, size_t tile_stride, size_t point_stride,
                            int tiles, int channels, float *y, size_t plane, int w, int rows, int columns,
                            bool accumulate, const dn_epilogue *epilogue) {
#define OUTPUT_CASE(m_, stride_)                                                                             \
    if (m == (m_) && stride == (stride_))                                                                    \
        winograd_output_of(m_, stride_, in, tile_stride, point_stride, tiles, channels, y, plane, w, rows,   \
                           columns, accumulate, epilogue);
    OUTPUT_CASE(4, 1)
    OUTPUT_CASE(3, 1)
    OUTPUT_CASE(2, 1)
    OUTPUT_CASE(2, 2)
#undef OUTPUT_CASE
}

/* ---- weights in training: transformed at every step, with the transform as a table g[m + 2][3] ---- */

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
