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

enum { POOL_ROW = 1024, POOL_AHEAD = 1024 };

/* The maximum of rows that are w apart, of columns x .. x + lanes; -infinity beyond the sides. */
DN_INLINE vfloat maximum_of_rows(const float *in, int w, int rows, int x) {
    const vfloat lowest = vset(-__builtin_inff());
    vfloat best = lowest;
    const float *at = in + x;
    if (x >= 0 && x + LEVEL_LANES <= w) {
        for (int y = 0; y < rows; ++y, at += w) best = vmax(vload(at), best);
        return best;
    }
    const vmask inside = vmask_of(-x, w - x);
    for (int y = 0; y < rows; ++y, at += w) best = vmax(vload_masked(at, inside), best);
    return vchoose(inside, best, lowest);
}

/* Up to `lanes` floats of a row, set or added to. */
DN_INLINE void put_floats(float *to, vfloat value, int count, bool accumulate) {
    if (count >= LEVEL_LANES)
        vstore(to, accumulate ? vload(to) + value : value);
    else if (count > 0)
        vstore_partial(to, accumulate ? vload_partial(to, count) + value : value, count);
}

/* The vector of outputs after the one at j. The last is whole, too, if the row has so many: it overlaps the
 * one before it. */
DN_INLINE int next_outputs(int j, int count) {
    j += LEVEL_LANES;
    return j < count && j + LEVEL_LANES > count ? count - LEVEL_LANES : j;
}

/* One row of outputs of windows of 2 or 3 columns at stride 1 or 2, in registers. What comes POOL_AHEAD
 * floats later is fetched meanwhile, as processors foresee no further than a page. */
DN_INLINE void maxpool_narrow(const int size, const int stride, const float *in, int w, int rows, float *out,
                              int count, int offset) {
    for (int j = 0; j < count; j = next_outputs(j, count)) {
        const int x = j * stride + offset;
        vfloat best;
        for (int y = 0; y < rows; ++y) {
            const float *ahead = in + (ptrdiff_t)y * w + x + POOL_AHEAD;
            __builtin_prefetch(ahead, 0, 2);
            if (stride == 2) __builtin_prefetch(ahead + LEVEL_LANES, 0, 2);
        }
        if (stride == 1) {
            best = maximum_of_rows(in, w, rows, x);
            DN_UNROLL
            for (int k = 1; k < size; ++k) best = vmax(maximum_of_rows(in, w, rows, x + k), best);
        } else {
            const vfloat a = maximum_of_rows(in, w, rows, x),
                         b = maximum_of_rows(in, w, rows, x + LEVEL_LANES);
            best = vmax(TAKE_EVEN(a, b), TAKE_ODD(a, b));
            if (size == 3)
                best = vmax(TAKE_EVEN(maximum_of_rows(in, w, rows, x + 2),
                                      maximum_of_rows(in, w, rows, x + 2 + LEVEL_LANES)),
                            best);
        }
        put_floats(out + j, best, count - j, false);
    }
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

/* The same for stride 1. Reads whole vectors of row. */
DN_INLINE void maximum_of_neighbours(const float *row, int size, float *out, int count) {
    for (int j = 0; j < count; j = next_outputs(j, count)) {
        vfloat best = vload(row + j);
        for (int k = 1; k < size; ++k) best = vmax(vload(row + j + k), best);
        put_floats(out + j, best, count - j, false);
    }
}

/* One row of outputs of any windows: the rows' maximum into a buffer, then the columns' maximum. */
static void maxpool_row(const float *in, int w, int rows, float *out, int out_w, int size, int stride,
                        int offset) {
    float buffer[POOL_ROW];
    int most = (POOL_ROW - size) / stride + 1;
    for (int first = 0; first < out_w; first += most) {
        int count = dn_min_int(most, out_w - first), left = first * stride + offset;
        int span = dn_max_int((count - 1) * stride, LEVEL_LANES - 1) + size; /* of one vector at least */
        for (int x = 0; x < span; x += LEVEL_LANES)
            vstore(buffer + x, maximum_of_rows(in, w, rows, left + x));
        if (stride == 1)
            maximum_of_neighbours(buffer, size, out + first, count);
        else
            maximum_of_columns(buffer, stride, size, out + first, count);
    }
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
        if (size == 2 && stride_x == 2)
            maxpool_narrow(2, 2, from, w, rows, out, out_w, offset_x);
        else if (size == 3 && stride_x == 2)
            maxpool_narrow(3, 2, from, w, rows, out, out_w, offset_x);
        else if (size == 2 && stride_x == 1)
            maxpool_narrow(2, 1, from, w, rows, out, out_w, offset_x);
        else if (size <= POOL_ROW / 2)
            maxpool_row(from, w, rows, out, out_w, size, stride_x, offset_x);
        else
            maxpool_wide(from, w, rows, out, out_w, size, stride_x, offset_x);
    }
}

/* ---- gradient ---- */

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
