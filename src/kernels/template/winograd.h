/* Winograd convolution F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural networks",
 * 2015), n = m + 2 points per axis. Vector lanes are channels: images are transposed to [pixel][lanes] on the
 * way in and back on the way out, so that maps of any size waste no lanes. The interpolation points are 0,
 * DN_WINOGRAD_POINTS and infinity: 3/4 and 3/2 are exact and round four times less than the usual 1 and 2.
 * The weights are transformed in backends/cpu/conv_winograd.c. */

static const float winograd_a = DN_WINOGRAD_A, winograd_b = DN_WINOGRAD_B;

/* t = B^T d */
DN_INLINE void winograd_in(const int m, const vfloat *d, vfloat *t) {
    const float a = winograd_a, b = winograd_b, a2 = a * a, b2 = b * b;
    if (m == 4) {
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
DN_INLINE void winograd_out(const int m, const vfloat *p, vfloat *y) {
    const float a = winograd_a, b = winograd_b;
    const vfloat sum = p[1] + p[2], difference = p[1] - p[2];
    if (m == 4) {
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

DN_INLINE void winograd_input_of(const int m, const dn_winograd_row *row, float *stage, float *v) {
    const int n = m + 2, pixels = row->tiles * m + 2;
    const size_t pitch = (size_t)pixels * LEVEL_LANES;
    for (int i = 0; i < n; ++i) winograd_stage_row(row, row->y + i, pixels, stage + (size_t)i * pitch);
    for (size_t at = 0; at < pitch; at += LEVEL_LANES) {
        vfloat d[6], t[6];
        DN_UNROLL
        for (int i = 0; i < n; ++i) d[i] = vload(stage + (size_t)i * pitch + at);
        winograd_in(m, d, t);
        DN_UNROLL
        for (int i = 0; i < n; ++i) vstore(stage + (size_t)i * pitch + at, t[i]);
    }
    for (int tile = 0; tile < row->tiles; ++tile) {
        const int number = row->first + tile;
        float *to = v + (size_t)(number / row->panel_tiles) * row->panel_stride + row->channel_offset +
                    (size_t)(number % row->panel_tiles) * LEVEL_LANES;
        const float *from = stage + (size_t)(tile * m) * LEVEL_LANES;
        for (int i = 0; i < n; ++i, from += pitch) {
            vfloat d[6], t[6];
            DN_UNROLL
            for (int j = 0; j < n; ++j) d[j] = vload(from + j * LEVEL_LANES);
            winograd_in(m, d, t);
            DN_UNROLL
            for (int j = 0; j < n; ++j, to += row->point_stride) vstore(to, t[j]);
        }
    }
}

/* Transforms one row of tiles into v, at panel, point, channel block and tile. stage: (m + 2)(m tiles + 2)
 * lanes. */
static void winograd_input(int m, const dn_winograd_row *row, float *stage, float *v) {
    if (m == 4) winograd_input_of(4, row, stage, v);
    if (m == 3) winograd_input_of(3, row, stage, v);
    if (m == 2) winograd_input_of(2, row, stage, v);
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

/* The inverse transform of one tile, as [m][pitch] pixels of lanes. */
DN_INLINE void winograd_tile_out(const int m, const float *in, size_t point_stride, float *stage,
                                 size_t pitch) {
    const int n = m + 2;
    vfloat half[4][6];
    DN_UNROLL
    for (int j = 0; j < n; ++j) {
        vfloat p[6], y[4];
        DN_UNROLL
        for (int i = 0; i < n; ++i) p[i] = vload(in + (size_t)(i * n + j) * point_stride);
        winograd_out(m, p, y);
        DN_UNROLL
        for (int i = 0; i < m; ++i) half[i][j] = y[i];
    }
    DN_UNROLL
    for (int i = 0; i < m; ++i) {
        vfloat y[4];
        winograd_out(m, half[i], y);
        DN_UNROLL
        for (int j = 0; j < m; ++j) vstore(stage + (size_t)i * pitch + j * LEVEL_LANES, y[j]);
    }
}

DN_INLINE void winograd_output_of(const int m, const float *in, size_t tile_stride, size_t point_stride,
                                  int tiles, int channels, float *y, size_t plane, int w, int rows,
                                  int columns) {
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
            winograd_tile_out(m, in + (size_t)(tile + t) * tile_stride, point_stride,
                              stage + (size_t)(t * m) * LEVEL_LANES, pitch);
        }
        const int first = tile * m;
        const int pixels = columns - first < group * m ? columns - first : group * m;
        for (int i = 0; i < rows; ++i)
            for (int x = 0; x < pixels; x += LEVEL_LANES) {
                const int count = pixels - x < LEVEL_LANES ? pixels - x : LEVEL_LANES;
                const float *from = stage + (size_t)i * pitch + (size_t)x * LEVEL_LANES;
                float *to = y + (size_t)i * (size_t)w + (size_t)(first + x);
                vfloat square[LEVEL_LANES];
                DN_UNROLL
                for (int l = 0; l < LEVEL_LANES; ++l)
                    square[l] = l < count ? vload(from + l * LEVEL_LANES) : (vfloat){0};
                vtranspose(square);
                if (count == LEVEL_LANES && channels == LEVEL_LANES) {
                    DN_UNROLL
                    for (int l = 0; l < LEVEL_LANES; ++l) vstore(to + (size_t)l * plane, square[l]);
                } else {
                    DN_UNROLL
                    for (int l = 0; l < LEVEL_LANES; ++l)
                        if (l < channels) {
                            if (count == LEVEL_LANES)
                                vstore(to + (size_t)l * plane, square[l]);
                            else
                                vstore_partial(to + (size_t)l * plane, square[l], count);
                        }
                }
            }
    }
}

/* The inverse transform of one row of tiles of one block of channels, cut to rows x columns pixels of y. */
static void winograd_output(int m, const float *in, size_t tile_stride, size_t point_stride, int tiles,
                            int channels, float *y, size_t plane, int w, int rows, int columns) {
    if (m == 4)
        winograd_output_of(4, in, tile_stride, point_stride, tiles, channels, y, plane, w, rows, columns);
    if (m == 3)
        winograd_output_of(3, in, tile_stride, point_stride, tiles, channels, y, plane, w, rows, columns);
    if (m == 2)
        winograd_output_of(2, in, tile_stride, point_stride, tiles, channels, y, plane, w, rows, columns);
}
