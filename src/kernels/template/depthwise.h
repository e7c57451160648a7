/* Planes of a depthwise convolution with half its size as padding, from the plane as it is.
 *
 * Nine multiplications per output are few: loads decide, and how many instructions there are beside the
 * multiply-adds. A block of 4 output rows shares the rows under it: with a 3x3 kernel at stride 1, 18 loads
 * serve 36 multiply-adds. At stride 2 even and odd columns are separated in registers, in whatever order
 * takes one instruction each; the sums are put right. What is outside is zero: rows there are a row of zeros,
 * columns are masked; only the first and last vector of a row need masks. Registers: 9 weights, 4 sums, 3
 * columns. Bias, activation and residual follow in registers, too. (Copying bands with a border and
 * activating them in passes of their own took as long as the sums.) */

enum {
    DEPTHWISE_ROWS = 4,
    DEPTHWISE_MOST = 5,    /* size */
    DEPTHWISE_COLUMNS = 16 /* vectors of a strip */
};

/* On which sides inputs of a vector of output columns are outside. EDGE_BOTH: or outputs are, too. */
typedef enum depthwise_edges { EDGE_NONE, EDGE_LEFT, EDGE_RIGHT, EDGE_BOTH } depthwise_edges;

/* A vector of output columns, and which of its inputs are inside the plane: of each column of the kernel, or,
 * at stride 2, of both vectors from which two columns are taken. */
typedef struct depthwise_column {
    int first, count; /* of the outputs */
    depthwise_edges edges;
    vmask masks[DEPTHWISE_MOST + 1];
} depthwise_column;

/* At stride 2: where the vectors begin that columns kx and kx + 1 are the even and the odd lanes of. The last
 * column alone is the odd ones, too: no more is read than needed. */
DN_INLINE int depthwise_pair_at(const int size, int kx) {
    return kx - size / 2 - (kx + 1 == size);
}

DN_INLINE void depthwise_column_of(const int size, const int stride, int w, int first, int count,
                                   depthwise_column *column) {
    const int pad = size / 2, at = first * stride, end = at + stride * LEVEL_LANES;
    column->first = first;
    column->count = count;
    const bool left_edge = at < pad;
    const bool right_edge = end + pad - (stride - 1) > w;
    column->edges = count < LEVEL_LANES || (left_edge && right_edge) ? EDGE_BOTH
                    : left_edge                                      ? EDGE_LEFT
                    : right_edge                                     ? EDGE_RIGHT
                                                                     : EDGE_NONE;
    DN_UNROLL
    for (int kx = 0; kx < size; kx += stride) {
        const int left = at + (stride == 1 ? kx - pad : depthwise_pair_at(size, kx));
        column->masks[kx] = vmask_of(-left, w - left);
        if (stride == 2) column->masks[kx + 1] = vmask_of(-left - LEVEL_LANES, w - left - LEVEL_LANES);
    }
}

DN_INLINE vfloat depthwise_load(const bool masked, const float *p, const vmask *mask) {
    return masked ? vload_masked(p, *mask) : vload(p);
}

/* taps[kx]: what column kx of the kernel is multiplied with; row: where the inputs of its middle begin. Only
 * what may be outside is masked: that takes a third more time. */
DN_INLINE void depthwise_taps(const int size, const int stride, const depthwise_edges edges, const float *row,
                              const vmask *masks, vfloat *taps) {
    const int middle = size / 2;
    const bool both = edges == EDGE_BOTH;
    DN_UNROLL
    for (int kx = 0; kx < size; kx += stride) {
        const float *from = row + (stride == 1 ? kx - middle : depthwise_pair_at(size, kx));
        const bool left = both || (edges == EDGE_LEFT && kx < middle);
        if (stride == 1) {
            const bool right = edges == EDGE_RIGHT && kx > middle;
            taps[kx] = depthwise_load(left || right, from, &masks[kx]);
            continue;
        }
        const vfloat a = depthwise_load(left, from, &masks[kx]);
        const vfloat b = depthwise_load(both || edges == EDGE_RIGHT, from + LEVEL_LANES, &masks[kx + 1]);
        if (kx + 1 < size) taps[kx] = TAKE_EVEN_PAIRS(a, b);
        taps[kx + 1 < size ? kx + 1 : kx] = TAKE_ODD_PAIRS(a, b);
    }
}

/* What follows the sums, which begin with the bias: activation and residual. */
typedef struct depthwise_finish {
    bool clamps;
    clamp_kind kind; /* without residual */
    vfloat bias;
    clamping clamp;
    const float *residual; /* of the plane, or NULL */
} depthwise_finish;

DN_INLINE void depthwise_clamp(const int rows, const clamp_kind kind, const depthwise_finish *finish,
                               vfloat *sum) {
    DN_UNROLL
    for (int o = 0; o < rows; ++o) sum[o] = clamp_vector(kind, &finish->clamp, sum[o]);
}

DN_INLINE void depthwise_store(const int rows, const bool whole, const depthwise_column *column, int width,
                               const depthwise_finish *finish, size_t to, vfloat *sum, float *y) {
    if (finish->clamps && finish->residual) {
        const float *residual = finish->residual + to;
        DN_UNROLL
        for (int o = 0; o < rows; ++o, residual += width) {
            const vfloat add = whole ? vload(residual) : vload_partial(residual, column->count);
            sum[o] = clamp_and_add(&finish->clamp, sum[o], true, add);
        }
    } else if (finish->kind == CLAMP_RELU) {
        depthwise_clamp(rows, CLAMP_RELU, finish, sum);
    } else if (finish->kind == CLAMP_LEAKY) {
        depthwise_clamp(rows, CLAMP_LEAKY, finish, sum);
    } else if (finish->kind == CLAMP_ANY) {
        depthwise_clamp(rows, CLAMP_ANY, finish, sum);
    }
    float *into = y + to;
    DN_UNROLL
    for (int o = 0; o < rows; ++o, into += width)
        if (whole)
            vstore(into, sum[o]);
        else
            vstore_partial(into, sum[o], column->count);
}

/* `rows` outputs from row `first` on at one vector of columns; from: the rows under them. size, stride, rows
 * and edges are constants where it is inlined. */
DN_INLINE void depthwise_block(const int size, const int stride, const int rows, const depthwise_edges edges,
                               const dn_depthwise_planes *job, const vfloat *weights,
                               const float *const *from, int first, const depthwise_column *column,
                               const depthwise_finish *finish) {
    vfloat sum[DEPTHWISE_ROWS];
    DN_UNROLL
    for (int o = 0; o < rows; ++o) sum[o] = finish->bias;
    DN_UNROLL
    for (int r = 0; r < (rows - 1) * stride + size; ++r) {
        const float *row = from[r] + column->first * stride;
        DN_OPAQUE(row); /* one address per row, not one per load */
        vfloat taps[DEPTHWISE_MOST];
        depthwise_taps(size, stride, edges, row, column->masks, taps);
        DN_UNROLL
        for (int kx = 0; kx < size; ++kx) {
            DN_UNROLL
            for (int o = 0; o < rows; ++o) {
                const int ky = r - o * stride;
                if (ky < 0 || ky >= size) continue;
                sum[o] += (size == 3 ? weights[ky * 3 + kx] : vset(job->weights[ky * size + kx])) * taps[kx];
            }
        }
    }
    DN_UNROLL
    for (int o = 0; stride == 2 && o < rows; ++o) sum[o] = SORT_PAIRS(sum[o]);
    const bool whole = edges != EDGE_BOTH || column->count == LEVEL_LANES;
    depthwise_store(rows, whole, column, job->out_w, finish,
                    (size_t)first * (size_t)job->out_w + (size_t)column->first, sum, job->y);
}

/* Output rows first .. first + rows at some vectors of columns. */
DN_INLINE void depthwise_row_block(const int size, const int stride, const int rows,
                                   const dn_depthwise_planes *job, const vfloat *weights, int first,
                                   const depthwise_column *columns, int count,
                                   const depthwise_finish *finish) {
    const float *from[(DEPTHWISE_ROWS - 1) * 2 + DEPTHWISE_MOST];
    const int top = first * stride + job->top - size / 2;
    DN_UNROLL
    for (int r = 0; r < (rows - 1) * stride + size; ++r)
        from[r] = top + r >= 0 && top + r < job->h ? job->x + (ptrdiff_t)(top + r) * job->w : job->zeros;
    for (int i = 0; i < count; ++i) {
        const depthwise_column *column = &columns[i];
        switch (column->edges) {
#define EDGES_CASE(edges)                                                                                    \
    case edges:                                                                                              \
        depthwise_block(size, stride, rows, edges, job, weights, from, first, column, finish);               \
        break;
            EDGES_CASE(EDGE_NONE)
            EDGES_CASE(EDGE_LEFT)
            EDGES_CASE(EDGE_RIGHT)
            EDGES_CASE(EDGE_BOTH)
#undef EDGES_CASE
        }
    }
}

/* One plane at some vectors of columns, of which these are the last ones or not. */
DN_INLINE void depthwise_strip(const int size, const int stride, const dn_depthwise_planes *job,
                               const depthwise_column *columns, int count, bool last) {
    const dn_epilogue *epilogue = &job->epilogue;
    depthwise_finish finish;
    finish.residual = epilogue->residual;
    finish.clamps = clamping_of(epilogue, &finish.clamp) && epilogue->bias;
    finish.kind = finish.clamps ? finish.clamp.kind : CLAMP_NONE;
    finish.bias = vset(finish.clamps ? epilogue->bias[0] : 0.0f);
    vfloat weights[9] = {{0}};
    if (size == 3) {
        DN_UNROLL
        for (int t = 0; t < 9; ++t) weights[t] = vset(job->weights[t]);
    }
    int row = 0;
    for (; row + DEPTHWISE_ROWS <= job->out_h; row += DEPTHWISE_ROWS)
        depthwise_row_block(size, stride, DEPTHWISE_ROWS, job, weights, row, columns, count, &finish);
    for (; row + 2 <= job->out_h; row += 2)
        depthwise_row_block(size, stride, 2, job, weights, row, columns, count, &finish);
    for (; row < job->out_h; ++row)
        depthwise_row_block(size, stride, 1, job, weights, row, columns, count, &finish);
    if (epilogue->bias && !finish.clamps && last)
        affine_activate(epilogue->activation, epilogue->activate_sum, job->y, 1.0f, epilogue->bias[0],
                        epilogue->residual, (size_t)job->out_h * (size_t)job->out_w);
}

DN_INLINE void depthwise_planes_of(const int size, const int stride, const dn_depthwise_planes *job) {
    depthwise_column columns[DEPTHWISE_COLUMNS];
    for (int at = 0; at < job->out_w;) {
        int count = 0;
        for (; count < DEPTHWISE_COLUMNS && at < job->out_w; at += LEVEL_LANES, ++count) {
            /* The last vector overlaps the one before it. */
            const int begin = dn_max_int(0, dn_min_int(at, job->out_w - LEVEL_LANES));
            depthwise_column_of(size, stride, job->w, begin, dn_min_int(LEVEL_LANES, job->out_w - begin),
                                &columns[count]);
        }
        for (int i = 0; i < job->planes; ++i) {
            dn_depthwise_planes one = *job;
            one.x += (size_t)(i / job->multiplier) * job->x_plane;
            one.y += (size_t)i * job->y_plane;
            one.weights += i * size * size;
            if (one.epilogue.bias) one.epilogue.bias += i;
            if (one.epilogue.residual) one.epilogue.residual += (size_t)i * job->y_plane;
            depthwise_strip(size, stride, &one, columns, count, at >= job->out_w);
        }
    }
}

static void depthwise_planes(const dn_depthwise_planes *job) {
    if (job->size == 3 && job->stride == 1)
        depthwise_planes_of(3, 1, job);
    else if (job->size == 3)
        depthwise_planes_of(3, 2, job);
    else if (job->stride == 1)
        depthwise_planes_of(5, 1, job);
    else
        depthwise_planes_of(5, 2, job);
}
