/* Winograd convolution F(m x m, 3 x 3), n points per axis (winograd_transforms.h): transforms of images, and
 * the products. Vector lanes are channels: images are transposed to [pixel][lanes] on the way in and back on
 * the way out, so that maps of any size waste no lanes. A strip of PIXELS of a row of tiles is staged at a
 * time, n * PIXELS * lanes floats, which the first-level cache holds; the image's lines under the next row of
 * tiles are fetched meanwhile, as no processor foresees reads of 16 planes at once. The weights are
 * transformed in backends/cpu/conv_winograd_weights.c, or winograd_train.h. */

enum { WINOGRAD_PIXELS = DN_WINOGRAD_PIXELS };

/* All kinds of tiles: m, stride, small along y, small along x. */
#define WINOGRAD_SIZES(CASE, m, stride)                                                                      \
    CASE(m, stride, false, false)                                                                            \
    CASE(m, stride, false, true) CASE(m, stride, true, false) CASE(m, stride, true, true)
#define WINOGRAD_STRIDED_CASES(CASE) WINOGRAD_SIZES(CASE, 4, 2) CASE(2, 2, false, false)
#define WINOGRAD_CASES(CASE)                                                                                 \
    WINOGRAD_SIZES(CASE, 6, 1)                                                                               \
    WINOGRAD_SIZES(CASE, 5, 1)                                                                               \
    WINOGRAD_SIZES(CASE, 4, 1)                                                                               \
    WINOGRAD_SIZES(CASE, 3, 1) CASE(2, 1, false, false) WINOGRAD_STRIDED_CASES(CASE)

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
DN_INLINE void winograd_strip(const int m, const int stride, const bool gradient, const bool staged,
                              const bool small_y, const bool small_x, const dn_winograd_row *row, int first,
                              int tiles, float *stage, float *v) {
    const int points = winograd_points_of(m, stride), my = m - small_y, mx = m - small_x;
    const int ny = winograd_points_of(my, stride), nx = winograd_points_of(mx, stride);
    const int high = gradient ? my : ny, wide = gradient ? mx : nx, step = mx * stride;
    const int pixels = tiles * step + wide - step;
    const size_t pitch = (size_t)pixels * LEVEL_LANES;
    for (int i = 0; i < high && !staged; ++i)
        winograd_stage_row(row, row->y + i, row->left + first * step, pixels,
                           row->y + i + my * stride < row->h ? (size_t)(my * stride * row->w) : 0,
                           stage + (size_t)i * pitch);
    for (size_t at = 0; at < pitch; at += LEVEL_LANES) {
        vfloat d[WINOGRAD_MOST_POINTS], t[WINOGRAD_MOST_POINTS];
        DN_UNROLL
        for (int i = 0; i < high; ++i) d[i] = vload(stage + (size_t)i * pitch + at);
        if (gradient)
            winograd_spread(my, d, t);
        else
            winograd_in(my, stride, d, t);
        if (small_y && stride == 1) winograd_rescale(my, t);
        DN_UNROLL
        for (int i = 0; i < ny; ++i) vstore(stage + (size_t)i * pitch + at, t[i]);
    }
    for (int tile = 0; tile < tiles; ++tile) {
        const int number = row->first + first + tile;
        float *to = v + (size_t)(number / row->panel_tiles) * row->panel_stride + row->channel_offset +
                    (size_t)(number % row->panel_tiles) * LEVEL_LANES;
        const float *from = stage + (size_t)(tile * step) * LEVEL_LANES;
        for (int i = 0; i < ny; ++i, from += pitch) {
            float *line = to + (size_t)(winograd_point(my, stride, small_y, i) * points) * row->point_stride;
            vfloat d[WINOGRAD_MOST_POINTS], t[WINOGRAD_MOST_POINTS];
            DN_UNROLL
            for (int j = 0; j < wide; ++j) d[j] = vload(from + j * LEVEL_LANES);
            if (gradient)
                winograd_spread(mx, d, t);
            else
                winograd_in(mx, stride, d, t);
            if (small_x && stride == 1) winograd_rescale(mx, t);
            DN_UNROLL
            for (int j = 0; j < nx; ++j) {
                float *point = line + (size_t)winograd_point(mx, stride, small_x, j) * row->point_stride;
                vstore(point, t[j]);
                __builtin_prefetch(point + LEVEL_LANES, 1, 2); /* the next tile's: stores foresee nothing */
            }
        }
    }
}

DN_INLINE void winograd_input_of(const int m, const int stride, const bool gradient, const bool small_y,
                                 const bool small_x, const dn_winograd_row *row, float *stage, float *v) {
    const int mx = m - small_x, step = mx * stride, wide = gradient ? mx : winograd_points_of(mx, stride);
    const int most = (WINOGRAD_PIXELS - (wide - step)) / step;
    for (int first = 0; first < row->tiles; first += most)
        winograd_strip(m, stride, gradient, false, small_y, small_x, row, first,
                       row->tiles - first < most ? row->tiles - first : most, stage, v);
}

/* Transforms one row of tiles into v, at panel, point, channel block and tile. */
static void winograd_input(int m, int stride, const dn_winograd_row *row, float *stage, float *v) {
#define INPUT_CASE(m_, stride_, small_y_, small_x_)                                                          \
    if (m == (m_) && stride == (stride_) && row->small_y == (small_y_) && row->small_x == (small_x_))        \
        winograd_input_of(m_, stride_, false, small_y_, small_x_, row, stage, v);
    WINOGRAD_CASES(INPUT_CASE)
#undef INPUT_CASE
}

static void winograd_staged(int m, const dn_winograd_row *row, float *stage, float *v) {
#define STAGED_CASE(m_, stride_, small_y_, small_x_)                                                         \
    if (m == (m_) && row->small_y == (small_y_) && row->small_x == (small_x_))                               \
        winograd_strip(m_, stride_, false, true, small_y_, small_x_, row, 0, row->tiles, stage, v);
    WINOGRAD_STRIDED_CASES(STAGED_CASE)
#undef STAGED_CASE
}

static void winograd_input_gradient(int m, const dn_winograd_row *row, float *stage, float *v) {
    if (m == 4) winograd_input_of(4, 1, true, false, false, row, stage, v);
    if (m == 3) winograd_input_of(3, 1, true, false, false, row, stage, v);
    if (m == 2) winograd_input_of(2, 1, true, false, false, row, stage, v);
}

enum { WINOGRAD_UNROLLED = 4 }; /* channels */

DN_INLINE void winograd_multiply_of(const int tiles, int count, const dn_winograd_factors *factors,
                                    int blocks, size_t block_stride, bool accumulate, float *out,
                                    size_t out_stride, size_t next_apart) {
    vfloat sum[WINOGRAD_TILES][2];
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) sum[i][0] = sum[i][1] = (vfloat){0};
    for (const dn_winograd_factors *end = factors + count; factors < end; ++factors) {
        const float *v = factors->v, *u = factors->u, *next = factors->next;
        for (int block = 0; block < blocks; ++block, v += block_stride) {
            const float *lane = v, *again = v; /* opaque, or both loads of a value become one */
            DN_OPAQUE(again);
            for (int k = 0; k < LEVEL_LANES; k += WINOGRAD_UNROLLED) {
                DN_UNROLL
                for (int c = 0; c < WINOGRAD_UNROLLED; ++c, ++lane, ++again, u += 2 * LEVEL_LANES) {
                    const vfloat u0 = vload(u), u1 = vload(u + LEVEL_LANES);
                    __builtin_prefetch(next, 0, 2);
                    if (tiles <= WINOGRAD_TILES / 2 || tiles < 10)
                        __builtin_prefetch(next + next_apart, 0, 2);
                    next += DN_WINOGRAD_FETCH;
                    DN_UNROLL
                    for (int i = 0; i < tiles; ++i) {
                        const vfloat value = vset(lane[i * LEVEL_LANES]);
                        sum[i][0] += value * u0;
                        sum[i][1] +=
                            (i < values_as_operands(tiles) ? vset(again[i * LEVEL_LANES]) : value) * u1;
                    }
                }
            }
        }
    }
    DN_UNROLL
    for (int i = 0; i < tiles; ++i) {
        float *to = out + (size_t)i * out_stride;
        vstore(to, accumulate ? vload(to) + sum[i][0] : sum[i][0]);
        vstore(to + LEVEL_LANES, accumulate ? vload(to + LEVEL_LANES) + sum[i][1] : sum[i][1]);
    }
}

/* A case for each number of tiles, which kernels are compiled for. */
#define WINOGRAD_6_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6)
#define WINOGRAD_14_CASES(CASE)                                                                              \
    WINOGRAD_6_CASES(CASE) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#define WINOGRAD_28_CASES(CASE)                                                                              \
    WINOGRAD_14_CASES(CASE)                                                                                  \
    CASE(15)                                                                                                 \
    CASE(16)                                                                                                 \
    CASE(17)                                                                                                 \
    CASE(18) CASE(19) CASE(20) CASE(21) CASE(22) CASE(23) CASE(24) CASE(25) CASE(26) CASE(27) CASE(28)

/* out[tile][2 lanes] (+)= the sum of v[block][tile][lanes] u[blocks * lanes][2 lanes]; next: what to fetch
 * meanwhile, a cache line per k, which is as fast as memory follows beside many tiles, and two beside few. */
static void winograd_multiply(int tiles, int count, const dn_winograd_factors *factors, int blocks,
                              size_t block_stride, bool accumulate, float *out, size_t out_stride,
                              size_t next_apart) {
    switch (tiles) {
#define TILES_CASE(t)                                                                                        \
    case t:                                                                                                  \
        winograd_multiply_of((t) <= WINOGRAD_TILES ? (t) : 1, count, factors, blocks, block_stride,          \
                             accumulate, out, out_stride, next_apart);                                       \
        break;
        WINOGRAD_14_CASES(TILES_CASE)
#undef TILES_CASE
    }
}

/* Bias, then the larger of x and slope times x, of which only the bits of keep remain: linear, leaky and relu
 * cost next to nothing while values are in registers. The powers of point 1 are all 1, so that the bias is
 * added to each output of a tile by adding it to one product. */
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

/* The inverse transform of one tile, finished, as [my][pitch] pixels of lanes. */
DN_INLINE void winograd_tile_of(const int m, const int stride, const bool small_y, const bool small_x,
                                const float *in, size_t point_stride, const winograd_finish *finish,
                                float *stage, size_t pitch) {
    const int points = winograd_sums_of(m, stride), my = m - small_y, mx = m - small_x;
    const int ny = winograd_sums_of(my, stride), nx = winograd_sums_of(mx, stride);
    const vfloat bias = finish->bias * (winograd_bias_factor(my, stride) * winograd_bias_factor(mx, stride));
    vfloat half[WINOGRAD_MOST_OUTPUTS][WINOGRAD_MOST_POINTS];
    DN_UNROLL
    for (int j = 0; j < nx; ++j) {
        const float *column = in + (size_t)winograd_point(mx, stride, small_x, j) * point_stride;
        vfloat t[WINOGRAD_MOST_POINTS], y[WINOGRAD_MOST_OUTPUTS];
        DN_UNROLL
        for (int i = 0; i < ny; ++i)
            t[i] = vload(column + (size_t)(winograd_point(my, stride, small_y, i) * points) * point_stride);
        if (j == 1) t[1] += bias;
        winograd_out(my, stride, t, y);
        DN_UNROLL
        for (int i = 0; i < my; ++i) half[i][j] = y[i];
    }
    const vfloat slope = finish->slope;
    const vint keep = finish->keep;
    DN_UNROLL
    for (int i = 0; i < my; ++i) {
        vfloat y[WINOGRAD_MOST_OUTPUTS];
        winograd_out(mx, stride, half[i], y);
        DN_UNROLL
        for (int j = 0; j < mx; ++j)
            vstore(stage + (size_t)i * pitch + j * LEVEL_LANES,
                   vmax((vfloat)((vint)(y[j] * slope) & keep), y[j]));
    }
}

static void winograd_tile(const dn_winograd_result *result, const float *in, const winograd_finish *finish,
                          float *stage, size_t pitch) {
#define TILE_OUT_CASE(m_, stride_, small_y_, small_x_)                                                       \
    if (result->m == (m_) && result->stride == (stride_) && result->small_y == (small_y_) &&                 \
        result->small_x == (small_x_))                                                                       \
        winograd_tile_of(m_, stride_, small_y_, small_x_, in, result->point_stride, finish, stage, pitch);
    WINOGRAD_CASES(TILE_OUT_CASE)
#undef TILE_OUT_CASE
}

/* rows x pixels of `lanes` channels, from [row][pitch] pixels of lanes, to `at` floats from the first pixel.
 */
static void winograd_store(const dn_winograd_result *result, const float *residual, const float *stage,
                           size_t pitch, int rows, int pixels, size_t at) {
    const int channels = result->channels;
    const size_t plane = result->plane;
    for (int i = 0; i < rows; ++i)
        for (int x = 0; x < pixels; x += LEVEL_LANES) {
            const int count = pixels - x < LEVEL_LANES ? pixels - x : LEVEL_LANES;
            const size_t offset = at + (size_t)i * (size_t)result->w + (size_t)x;
            const float *from = stage + (size_t)i * pitch + (size_t)x * LEVEL_LANES;
            float *to = result->y + offset;
            const float *add = result->accumulate ? to : residual ? residual + offset : NULL;
            vfloat square[LEVEL_LANES];
            DN_UNROLL
            for (int l = 0; l < LEVEL_LANES; ++l)
                square[l] = l < count ? vload(from + l * LEVEL_LANES) : (vfloat){0};
            vtranspose(square);
            if (count == LEVEL_LANES && channels == LEVEL_LANES) {
                DN_UNROLL
                for (int l = 0; l < LEVEL_LANES; ++l) {
                    const size_t apart = (size_t)l * plane;
                    vstore(to + apart, add ? vload(add + apart) + square[l] : square[l]);
                }
                continue;
            }
            DN_UNROLL
            for (int l = 0; l < LEVEL_LANES; ++l) {
                const size_t apart = (size_t)l * plane;
                if (l >= channels) continue;
                if (count == LEVEL_LANES)
                    vstore(to + apart, add ? vload(add + apart) + square[l] : square[l]);
                else
                    vstore_partial(to + apart,
                                   add ? vload_partial(add + apart, count) + square[l] : square[l], count);
            }
        }
}

/* The inverse transform of one row of tiles, in groups that end with whole vectors. */
static void winograd_output(const dn_winograd_result *result) {
    const dn_epilogue *epilogue = result->epilogue;
    const float *residual = epilogue ? epilogue->residual : NULL;
    const winograd_finish finish = winograd_finish_of(epilogue, result->channels);
    const bool simple = !epilogue || winograd_is_simple(epilogue->activation);
    const int my = result->m - result->small_y, mx = result->m - result->small_x;
    const int most = mx == 6 ? LEVEL_LANES / 2 : LEVEL_LANES;
    const size_t w = (size_t)result->w, pitch = (size_t)(mx * most) * LEVEL_LANES;
    float stage[6 * 5 * LEVEL_LANES * LEVEL_LANES]; /* my <= 6, mx * most <= 5 lanes */
    for (int tile = 0; tile < result->tiles; tile += most) {
        const int group = result->tiles - tile < most ? result->tiles - tile : most, first = tile * mx;
        const int units = (group * mx + LEVEL_LANES - 1) / LEVEL_LANES; /* vectors of a row */
        for (int t = 0; t < group; ++t) {
            /* Lines about to be written, and added, are fetched meanwhile: 16 planes are too many streams. */
            for (int unit = t; unit < my * units; unit += group) {
                const size_t at = (size_t)(unit / units) * w + (size_t)(first + unit % units * LEVEL_LANES);
                for (int l = 0; l < result->channels; ++l)
                    __builtin_prefetch(result->y + (size_t)l * result->plane + at, 0, 2);
                for (int l = 0; l < result->channels && residual; ++l)
                    __builtin_prefetch(residual + (size_t)l * result->plane + at, 0, 2);
            }
            winograd_tile(result, result->in + (size_t)(tile + t) * result->tile_stride, &finish,
                          stage + (size_t)(t * mx) * LEVEL_LANES, pitch);
        }
        if (!simple) /* lanes of channels: no row has an end to treat apart */
            for (int i = 0; i < my; ++i)
                activate(epilogue->activation, stage + (size_t)i * pitch, (size_t)(group * mx) * LEVEL_LANES);
        winograd_store(result, residual, stage, pitch, result->rows,
                       result->columns - first < group * mx ? result->columns - first : group * mx,
                       (size_t)first);
    }
}
