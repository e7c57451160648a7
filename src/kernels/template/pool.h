/* Max pooling of one plane. Outside the plane is -infinity, and NaN is never larger than anything, so a
 * window without a number gives -infinity and, where asked for, index -1. */

/* The outputs j in [*begin, *end) whose column j*stride + offset lies in [0, w). */
DN_INLINE void columns_inside(int w, int out_w, int stride, int offset, int *begin, int *end) {
    *begin = offset < 0 ? dn_min_int((-offset + stride - 1) / stride, out_w) : 0;
    *end = offset < w ? dn_min_int((w - 1 - offset) / stride + 1, out_w) : 0;
}

/* row[j * stride] against the best so far; its index is first + j * stride. Branch-free, so compilers
 * vectorise it. */
DN_INLINE void take_larger(const float *restrict row, int stride, int first, float *restrict best,
                           int32_t *restrict index, int count) {
    for (int j = 0; j < count; ++j) {
        float value = row[(size_t)j * (size_t)stride];
        bool larger = value > best[j];
        best[j] = larger ? value : best[j];
        index[j] = larger ? first + j * stride : index[j];
    }
}

/* Window elements in scan order, each for a whole row of outputs: the first maximum wins. */
static void maxpool_indices(const float *in, int h, int w, float *out, int32_t *argmax, int out_h, int out_w,
                            int size, int stride_y, int stride_x, int offset_y, int offset_x) {
    for (int i = 0; i < out_h; ++i, out += out_w, argmax += out_w) {
        for (int j = 0; j < out_w; ++j) {
            out[j] = -__builtin_inff();
            argmax[j] = -1;
        }
        int top = i * stride_y + offset_y;
        for (int y = dn_max_int(top, 0); y < dn_min_int(top + size, h); ++y)
            for (int dx = 0; dx < size; ++dx) {
                int begin, end;
                columns_inside(w, out_w, stride_x, offset_x + dx, &begin, &end);
                if (begin >= end) continue;
                int first = y * w + begin * stride_x + offset_x + dx;
                if (stride_x == 1)
                    take_larger(in + first, 1, first, out + begin, argmax + begin, end - begin);
                else if (stride_x == 2)
                    take_larger(in + first, 2, first, out + begin, argmax + begin, end - begin);
                else
                    take_larger(in + first, stride_x, first, out + begin, argmax + begin, end - begin);
            }
    }
}

DN_INLINE vfloat maximum_below(const float *in, int w, int rows) {
    vfloat best = vset(-__builtin_inff());
    for (int y = 0; y < rows; ++y) best = vmax(vload(in + (size_t)y * (size_t)w), best);
    return best;
}

/* into[x] = maximum of rows at x; rows are w apart. The last vector may overlap the one before it. */
static void maximum_of_rows(const float *in, int w, int rows, float *into, int count) {
    if (count >= LEVEL_LANES) {
        for (int x = 0; x + LEVEL_LANES <= count; x += LEVEL_LANES)
            vstore(into + x, maximum_below(in + x, w, rows));
        const int last = count - LEVEL_LANES;
        vstore(into + last, maximum_below(in + last, w, rows));
        return;
    }
    for (int x = 0; x < count; ++x) into[x] = -__builtin_inff();
    for (int y = 0; y < rows; ++y, in += w)
        for (int x = 0; x < count; ++x) into[x] = in[x] > into[x] ? in[x] : into[x];
}

/* out[j] = maximum of row[j*stride .. +size). row holds no NaN. */
DN_INLINE void maximum_of_columns(const float *restrict row, int stride, int size, float *restrict out,
                                  int count) {
    for (int j = 0; j < count; ++j) {
        float best = row[j * stride];
        for (int k = 1; k < size; ++k) best = row[j * stride + k] > best ? row[j * stride + k] : best;
        out[j] = best;
    }
}

DN_INLINE vfloat maximum_of_shifts(const float *row, int size) {
    vfloat best = vload(row);
    for (int k = 1; k < size; ++k) best = vmax(vload(row + k), best);
    return best;
}

/* The same for stride 1. Reads whole vectors of row. */
DN_INLINE void maximum_of_neighbours(const float *row, int size, float *out, int count) {
    int j = 0;
    for (; j + LEVEL_LANES <= count; j += LEVEL_LANES) vstore(out + j, maximum_of_shifts(row + j, size));
    const int left = count - j;
    if (left > 0 && left < LEVEL_LANES) vstore_partial(out + j, maximum_of_shifts(row + j, size), left);
}

/* The same for stride 2 and sizes 2 and 3: even and odd columns apart. Reads 2 lanes + 2 past the row. */
DN_INLINE void maximum_of_pairs(const float *row, const int size, float *out, int count) {
    for (int j = 0; j < count; j += LEVEL_LANES) {
        const float *at = row + 2 * j;
        const vfloat a = vload(at), b = vload(at + LEVEL_LANES);
        vfloat best = vmax(TAKE_EVEN(a, b), TAKE_ODD(a, b));
        if (size == 3) best = vmax(TAKE_EVEN(vload(at + 2), vload(at + 2 + LEVEL_LANES)), best);
        if (count - j >= LEVEL_LANES)
            vstore(out + j, best);
        else
            vstore_partial(out + j, best, count - j);
    }
}

enum { POOL_ROW = 1024, POOL_AHEAD = 1024 };

/* One row of outputs: the rows' maximum into a buffer with -infinity beyond the sides, then the columns'
 * maximum. */
static void maxpool_row(const float *in, int w, int rows, float *out, int out_w, int size, int stride,
                        int offset) {
    float buffer[POOL_ROW + 2 * LEVEL_LANES + 2]; /* a vector that starts inside may end beyond */
    int most = (POOL_ROW - size) / stride + 1;
    for (int first = 0; first < out_w; first += most) {
        int count = dn_min_int(most, out_w - first), left = first * stride + offset;
        int span = (count - 1) * stride + size;
        int begin = dn_min_int(dn_max_int(0, -left), span),
            end = dn_max_int(begin, dn_min_int(span, w - left));
        for (int i = 0; i < begin; ++i) buffer[i] = -__builtin_inff();
        if (end > begin) maximum_of_rows(in + (left + begin), w, rows, buffer + begin, end - begin);
        for (int i = end; i < span; ++i) buffer[i] = -__builtin_inff();
        for (int i = span; i < span + 2 * LEVEL_LANES + 2; ++i) buffer[i] = 0;
        if (stride == 1)
            maximum_of_neighbours(buffer, size, out + first, count);
        else if (stride == 2 && size == 2)
            maximum_of_pairs(buffer, 2, out + first, count);
        else if (stride == 2 && size == 3)
            maximum_of_pairs(buffer, 3, out + first, count);
        else
            maximum_of_columns(buffer, stride, size, out + first, count);
    }
}

/* One row of outputs of 2x2 windows at stride 2 inside the plane, which are read once: what comes POOL_AHEAD
 * floats later is fetched meanwhile, as processors foresee no further than a page. */
static void maxpool_quads(const float *in, int w, float *out, int count) {
    const vfloat lowest = vset(-__builtin_inff());
    int j = 0;
    for (; j + LEVEL_LANES <= count; j += LEVEL_LANES) {
        vfloat columns[2];
        DN_UNROLL
        for (int half = 0; half < 2; ++half) {
            const float *above = in + 2 * j + half * LEVEL_LANES, *below = above + w;
            __builtin_prefetch(above + POOL_AHEAD, 0, 2);
            __builtin_prefetch(below + POOL_AHEAD, 0, 2);
            columns[half] = vmax(vload(below), vmax(vload(above), lowest));
        }
        vstore(out + j, vmax(TAKE_EVEN(columns[0], columns[1]), TAKE_ODD(columns[0], columns[1])));
    }
    if (j < count) maxpool_row(in + 2 * j, w, 2, out + j, count - j, 2, 2, 0);
}

/* Windows too wide for the buffer: global pools of large maps, which are few. */
static void maxpool_wide(const float *in, int w, int rows, float *out, int out_w, int size, int stride,
                         int offset) {
    for (int j = 0; j < out_w; ++j) {
        float best = -__builtin_inff();
        int left = j * stride + offset;
        for (int y = 0; y < rows; ++y)
            for (int x = dn_max_int(left, 0); x < dn_min_int(left + size, w); ++x) {
                float value = in[(size_t)y * (size_t)w + (size_t)x];
                best = value > best ? value : best;
            }
        out[j] = best;
    }
}

static void maxpool(const float *in, int h, int w, float *out, int32_t *argmax, int out_h, int out_w,
                    int size, int stride_y, int stride_x, int offset_y, int offset_x) {
    if (argmax) {
        maxpool_indices(in, h, w, out, argmax, out_h, out_w, size, stride_y, stride_x, offset_y, offset_x);
        return;
    }
    for (int i = 0; i < out_h; ++i, out += out_w) {
        int top = i * stride_y + offset_y;
        int begin = dn_max_int(top, 0), rows = dn_max_int(0, dn_min_int(top + size, h) - begin);
        const float *from = rows ? in + (size_t)begin * (size_t)w : in;
        if (size == 2 && rows == 2 && stride_x == 2 && offset_x == 0 && 2 * out_w <= w)
            maxpool_quads(from, w, out, out_w);
        else if (size <= POOL_ROW / 2)
            maxpool_row(from, w, rows, out, out_w, size, stride_x, offset_x);
        else
            maxpool_wide(from, w, rows, out, out_w, size, stride_x, offset_x);
    }
}

/* ---- gradient ---- */

/* Up to `lanes` floats of a row, set or added to. */
DN_INLINE void put_floats(float *to, vfloat value, int count, bool accumulate) {
    if (count >= LEVEL_LANES)
        vstore(to, accumulate ? vload(to) + value : value);
    else if (count > 0)
        vstore_partial(to, accumulate ? vload_partial(to, count) + value : value, count);
}

/* A row of 2x2 windows at stride 2: both input rows, whole, without branches. */
static void maxpool_gradient_pairs(const int32_t *argmax, const float *dy, int count, int first, float *dx,
                                   int w, bool accumulate) {
    vint corner;
    for (int i = 0; i < LEVEL_LANES; ++i) corner[i] = first + 2 * i;
    const vfloat zero = {0};
    for (int j = 0; j < count; j += LEVEL_LANES, corner += 2 * LEVEL_LANES) {
        const int left = count - j;
        vint at = {0};
        vfloat d;
        if (left >= LEVEL_LANES) {
            memcpy(&at, argmax + j, sizeof at);
            d = vload(dy + j);
        } else {
            memcpy(&at, argmax + j, (size_t)left * sizeof *argmax);
            d = vload_partial(dy + j, left);
        }
        DN_UNROLL
        for (int row = 0; row < 2; ++row) {
            const vint start = corner + row * w;
            const vfloat even = vselect(at == start, d, zero), odd = vselect(at == start + 1, d, zero);
            float *to = dx + (ptrdiff_t)row * w + 2 * j;
            put_floats(to, INTERLEAVE_LOW(even, odd), 2 * left, accumulate);
            put_floats(to + LEVEL_LANES, INTERLEAVE_HIGH(even, odd), 2 * left - LEVEL_LANES, accumulate);
        }
    }
}

static void maxpool_gradient(const int32_t *argmax, const float *dy, int out_h, int out_w, float *dx, int h,
                             int w, int size, int stride_y, int stride_x, int offset_y, int offset_x,
                             bool accumulate) {
    if (size == 2 && stride_y == 2 && stride_x == 2 && offset_y == 0 && offset_x == 0 && h == 2 * out_h &&
        w == 2 * out_w) {
        for (int i = 0; i < out_h; ++i, argmax += out_w, dy += out_w)
            maxpool_gradient_pairs(argmax, dy, out_w, 2 * i * w, dx + (ptrdiff_t)(2 * i) * w, w, accumulate);
        return;
    }
    int cleared = accumulate ? h : 0; /* rows that hold something to add to */
    for (int i = 0; i < out_h; ++i, argmax += out_w, dy += out_w) {
        const int bottom = dn_min_int(h, i * stride_y + offset_y + size);
        for (; cleared < bottom; ++cleared) zero_floats(dx + (ptrdiff_t)cleared * w, w);
        for (int j = 0; j < out_w; ++j)
            if (argmax[j] >= 0) dx[argmax[j]] += dy[j];
    }
    for (; cleared < h; ++cleared) zero_floats(dx + (ptrdiff_t)cleared * w, w);
}
