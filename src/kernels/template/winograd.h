/* Winograd convolution F(m x m, 3 x 3), n points per axis (winograd_transforms.h): transforms of images, and
 * the products. Vector lanes are channels: images are transposed to [pixel][lanes] on the way in and back on
 * the way out, so that maps of any size waste no lanes. A strip of PIXELS of a row of tiles is staged at a
 * time, n * PIXELS * lanes floats, which the first-level cache holds; the image's lines under the next row of
 * tiles are fetched meanwhile, as no processor foresees reads of 16 planes at once. The weights are
 * transformed in backends/cpu/conv_winograd_weights.c, or winograd_train.h. */

enum { WINOGRAD_PIXELS = DN_WINOGRAD_PIXELS };

/* `pixels` of an image row from `left` on, as [pixel][lanes], zero outside the image; ahead: floats to the
 * row to fetch meanwhile. */
static void winograd_stage_row(const dn_winograd_row *row, int y, int left, int pixels, size_t ahead,
                               float *stage) {
    const int first = left > 0 ? left : 0;
    const int last = left + pixels < row->w ? left + pixels : row->w;
    if (y < 0 || y >= row->h || first >= last) {
        memset(stage, 0, (size_t)pixels * LEVEL_LANES * sizeof *stage);
        return;
    }
    memset(stage, 0, (size_t)(first - left) * LEVEL_LANES * sizeof *stage);
    float *to = stage + (size_t)(first - left) * LEVEL_LANES;
    for (int x = first; x < last; x += LEVEL_LANES, to += LEVEL_LANES * LEVEL_LANES) {
        const int count = last - x < LEVEL_LANES ? last - x : LEVEL_LANES;
        const float *from = row->x + (ptrdiff_t)y * row->w + x;
        vfloat square[LEVEL_LANES];
        if (row->channels == LEVEL_LANES &&
            row->x_end - from >= (ptrdiff_t)(row->plane * (LEVEL_LANES - 1)) + LEVEL_LANES) {
            DN_UNROLL
            for (int i = 0; i < LEVEL_LANES; ++i) {
                square[i] = vload(from + (size_t)i * row->plane);
                __builtin_prefetch(from + (size_t)i * row->plane + ahead, 0, 2);
            }
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
    memset(stage + (size_t)(last - left) * LEVEL_LANES, 0,
           (size_t)(left + pixels - last) * LEVEL_LANES * sizeof *stage);
}

/* Transforms `tiles` of a row from its tile `first` on. Tiles of inputs are n pixels wide and overlap by 2,
 * or by 1 at stride 2; those of gradients don't, and are m pixels wide. */
DN_INLINE void winograd_strip(const int m, const int stride, const bool gradient, const dn_winograd_row *row,
                              int first, int tiles, float *stage, float *v) {
    const int n = winograd_points_of(m, stride), wide = gradient ? m : n, step = m * stride;
    const int pixels = tiles * step + wide - step;
    const size_t pitch = (size_t)pixels * LEVEL_LANES;
    for (int i = 0; i < wide; ++i)
        winograd_stage_row(row, row->y + i, row->left + first * step, pixels,
                           row->y + i + step < row->h ? (size_t)(step * row->w) : 0,
                           stage + (size_t)i * pitch);
    for (size_t at = 0; at < pitch; at += LEVEL_LANES) {
        vfloat d[WINOGRAD_MOST_POINTS], t[WINOGRAD_MOST_POINTS];
        DN_UNROLL
        for (int i = 0; i < wide; ++i) d[i] = vload(stage + (size_t)i * pitch + at);
        if (gradient)
            winograd_spread(m, d, t);
        else
            winograd_in(m, stride, d, t);
        DN_UNROLL
        for (int i = 0; i < n; ++i) vstore(stage + (size_t)i * pitch + at, t[i]);
    }
    for (int tile = 0; tile < tiles; ++tile) {
        const int number = row->first + first + tile;
        float *to = v + (size_t)(number / row->panel_tiles) * row->panel_stride + row->channel_offset +
                    (size_t)(number % row->panel_tiles) * LEVEL_LANES;
        const float *from = stage + (size_t)(tile * step) * LEVEL_LANES;
        for (int i = 0; i < n; ++i, from += pitch) {
            vfloat d[WINOGRAD_MOST_POINTS], t[WINOGRAD_MOST_POINTS];
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

DN_INLINE void winograd_input_of(const int m, const int stride, const bool gradient,
                                 const dn_winograd_row *row, float *stage, float *v) {
    const int step = m * stride, wide = gradient ? m : winograd_points_of(m, stride);
    const int most = (WINOGRAD_PIXELS - (wide - step)) / step;
    for (int first = 0; first < row->tiles; first += most)
        winograd_strip(m, stride, gradient, row, first, row->tiles - first < most ? row->tiles - first : most,
                       stage, v);
}

/* Transforms one row of tiles into v, at panel, point, channel block and tile. */
static void winograd_input(int m, int stride, const dn_winograd_row *row, float *stage, float *v) {
    if (stride == 2) {
        if (m == 4) winograd_input_of(4, 2, false, row, stage, v);
        if (m == 2) winograd_input_of(2, 2, false, row, stage, v);
        return;
    }
    if (m == 6) winograd_input_of(6, 1, false, row, stage, v);
    if (m == 5) winograd_input_of(5, 1, false, row, stage, v);
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

/* Bias, then slope times x and the bits of keep where x <= 0: linear, leaky and relu cost next to nothing
 * while values are in registers. */
typedef struct winograd_finish {
    vfloat bias, slope;
    vint keep;
} winograd_finish;

static bool winograd_is_simple(dn_activation kind) {
    return kind == DN_ACTIVATION_LINEAR || kind == DN_ACTIVATION_LEAKY || kind == DN_ACTIVATION_RELU;
}

DN_INLINE winograd_finish winograd_finish_of(const dn_epilogue *epilogue, int channels) {
    winograd_finish finish = {{0}, vset(1.0f), vsplat(-1)};
    if (!epilogue) return finish;
    if (epilogue->bias)
        finish.bias =
            channels == LEVEL_LANES ? vload(epilogue->bias) : vload_partial(epilogue->bias, channels);
    if (epilogue->activation == DN_ACTIVATION_LEAKY) finish.slope = vset(0.1f);
    if (epilogue->activation == DN_ACTIVATION_RELU) finish.keep = vsplat(0);
    return finish;
}

/* The inverse transform of one tile, finished, as [m][pitch] pixels of lanes. */
DN_INLINE void winograd_tile_out(const int m, const int stride, const float *in, size_t point_stride,
                                 winograd_finish finish, float *stage, size_t pitch) {
    const int n = winograd_points_of(m, stride);
    vfloat half[WINOGRAD_MOST_OUTPUTS][WINOGRAD_MOST_POINTS];
    DN_UNROLL
    for (int j = 0; j < n; ++j) {
        vfloat p[WINOGRAD_MOST_POINTS], y[WINOGRAD_MOST_OUTPUTS];
        DN_UNROLL
        for (int i = 0; i < n; ++i) p[i] = vload(in + (size_t)(i * n + j) * point_stride);
        winograd_out(m, stride, p, y);
        DN_UNROLL
        for (int i = 0; i < m; ++i) half[i][j] = y[i];
    }
    DN_UNROLL
    for (int i = 0; i < m; ++i) {
        vfloat y[WINOGRAD_MOST_OUTPUTS];
        winograd_out(m, stride, half[i], y);
        DN_UNROLL
        for (int j = 0; j < m; ++j) {
            const vfloat x = y[j] + finish.bias;
            vstore(stage + (size_t)i * pitch + j * LEVEL_LANES,
                   vselect(x <= 0.0f, (vfloat)((vint)(x * finish.slope) & finish.keep), x));
        }
    }
}

DN_INLINE void winograd_output_of(const int m, const int stride, const float *in, size_t tile_stride,
                                  size_t point_stride, int tiles, int channels, float *y, size_t plane, int w,
                                  int rows, int columns, bool accumulate, const dn_epilogue *epilogue) {
    const float *residual = epilogue ? epilogue->residual : NULL;
    const winograd_finish finish = winograd_finish_of(epilogue, channels);
    const bool simple = !epilogue || winograd_is_simple(epilogue->activation);
    /* A group of tiles ends with a whole vector; m = 5 has the largest. */
    const int most = m == 6 ? LEVEL_LANES / 2 : LEVEL_LANES;
    float stage[5 * 5 * LEVEL_LANES * LEVEL_LANES];
    const size_t pitch = (size_t)(m * most) * LEVEL_LANES;
    for (int tile = 0; tile < tiles; tile += most) {
        const int group = tiles - tile < most ? tiles - tile : most;
        const int units = (group * m + LEVEL_LANES - 1) / LEVEL_LANES; /* vectors of a row */
        for (int t = 0; t < group; ++t) {
            /* Lines about to be written, and added, are fetched meanwhile: 16 planes are too many streams. */
            for (int unit = t; unit < m * units; unit += group) {
                const size_t at =
                    (size_t)(unit / units) * (size_t)w + (size_t)(tile * m + unit % units * LEVEL_LANES);
                for (int l = 0; l < channels; ++l) __builtin_prefetch(y + (size_t)l * plane + at, 0, 2);
                for (int l = 0; l < channels && residual; ++l)
                    __builtin_prefetch(residual + (size_t)l * plane + at, 0, 2);
            }
            winograd_tile_out(m, stride, in + (size_t)(tile + t) * tile_stride, point_stride, finish,
                              stage + (size_t)(t * m) * LEVEL_LANES, pitch);
        }
        if (!simple) /* lanes of channels: no row has an end to treat apart */
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
    OUTPUT_CASE(6, 1)
    OUTPUT_CASE(5, 1)
    OUTPUT_CASE(4, 1)
    OUTPUT_CASE(3, 1)
    OUTPUT_CASE(2, 1)
    OUTPUT_CASE(2, 2)
    OUTPUT_CASE(4, 2)
#undef OUTPUT_CASE
}
