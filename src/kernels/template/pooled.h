/* Rows of outputs of a convolution of few channels of which only the largest of 2x2 windows remain. A tile
 * has up to two vectors of two rows, of as many filters as leave their sums in registers. */

enum { POOLED_FILTERS = GEMM_ROWS >= 8 ? 4 : 2 };

/* Every sum is made in the order of k, as in gemm.h. */
DN_INLINE void pooled_multiply(const int vectors, const dn_pooled_rows *rows, const float *a, int x,
                               vfloat sum[POOLED_FILTERS][2][2]) {
    const float *row[2] = {rows->top + x, rows->bottom + x};
    const ptrdiff_t *offsets = rows->offsets;
    DN_UNROLL
    for (int f = 0; f < POOLED_FILTERS; ++f) DN_UNROLL
    for (int i = 0; i < 4; ++i) sum[f][i / 2][i % 2] = (vfloat){0};
    for (int k = 0; k < rows->depth; ++k, a += GEMM_ROWS) {
        vfloat from[2][2];
        DN_UNROLL
        for (int i = 0; i < 2; ++i) DN_UNROLL
        for (int j = 0; j < vectors; ++j) from[i][j] = vload(row[i] + offsets[k] + j * LEVEL_LANES);
        DN_UNROLL
        for (int f = 0; f < POOLED_FILTERS; ++f) {
            const vfloat factor = vset(a[f]);
            DN_UNROLL
            for (int i = 0; i < 2; ++i) DN_UNROLL
            for (int j = 0; j < vectors; ++j) sum[f][i][j] += factor * from[i][j];
        }
    }
}

/* Activations that are no clamping, by way of memory. */
static void pooled_activate(dn_activation kind, float bias, vfloat sum[2][2]) {
    float stage[4 * LEVEL_LANES];
    DN_UNROLL
    for (int i = 0; i < 4; ++i) vstore(stage + i * LEVEL_LANES, sum[i / 2][i % 2]);
    affine_activate(kind, false, stage, 1.0f, bias, NULL, (size_t)(4 * LEVEL_LANES));
    DN_UNROLL
    for (int i = 0; i < 4; ++i) sum[i / 2][i % 2] = vload(stage + i * LEVEL_LANES);
}

/* clamp: NULL for other activations. */
DN_INLINE void pooled_finish(const int vectors, const clamp_kind kind, const clamping *clamp,
                             const dn_epilogue *epilogue, int filter, vfloat sum[2][2]) {
    const float bias = epilogue->bias[filter];
    if (!clamp) {
        pooled_activate(epilogue->activation, bias, sum);
        return;
    }
    DN_UNROLL
    for (int i = 0; i < 2; ++i) DN_UNROLL
    for (int j = 0; j < vectors; ++j) sum[i][j] = clamp_vector(kind, clamp, sum[i][j] + bias);
}

/* The largest of the windows of a tile; what lies beyond the `left` columns inside is never that. */
DN_INLINE vfloat pooled_largest(const int vectors, vfloat sum[2][2], int left) {
    const vfloat lowest = vset(-__builtin_inff());
    vfloat larger[2] = {lowest, lowest};
    DN_UNROLL
    for (int j = 0; j < vectors; ++j) {
        larger[j] = vmax(sum[1][j], vmax(sum[0][j], lowest));
        if (left < vectors * LEVEL_LANES)
            larger[j] = vchoose(vmask_of(0, left - j * LEVEL_LANES), larger[j], lowest);
    }
    return vmax(TAKE_EVEN(larger[0], larger[1]), TAKE_ODD(larger[0], larger[1]));
}

/* Windows from column x on. */
DN_INLINE void pooled_tile(const int vectors, const clamp_kind kind, const clamping *clamp,
                           const dn_pooled_rows *rows, int first, int filters, int x) {
    const float *a = rows->a + (ptrdiff_t)(first - first % GEMM_ROWS) * rows->depth + first % GEMM_ROWS;
    float *y = rows->y + (size_t)first * rows->plane + x;
    const int count = rows->pooled_columns - x;
    vfloat sum[POOLED_FILTERS][2][2];
    for (int f = 0; f < filters; ++f)
        __builtin_prefetch(y + (size_t)f * rows->plane + LEVEL_LANES, 1); /* written next */
    pooled_multiply(vectors, rows, a, 2 * x, sum);
    DN_UNROLL
    for (int f = 0; f < POOLED_FILTERS; ++f, y += rows->plane) {
        if (f >= filters) continue;
        pooled_finish(vectors, kind, clamp, rows->epilogue, first + f, sum[f]);
        put_floats(y, pooled_largest(vectors, sum[f], rows->columns - 2 * x), count, false);
    }
}

DN_INLINE void pooled_tiles(const clamp_kind kind, const clamping *clamp, const dn_pooled_rows *rows) {
    for (int first = 0; first < rows->filters; first += POOLED_FILTERS) {
        const int filters = dn_min_int(POOLED_FILTERS, rows->filters - first);
        int x = 0;
        for (; rows->columns - 2 * x > LEVEL_LANES; x += LEVEL_LANES)
            pooled_tile(2, kind, clamp, rows, first, filters, x);
        if (x < rows->pooled_columns) pooled_tile(1, kind, clamp, rows, first, filters, x);
    }
}

static void pooled_rows(const dn_pooled_rows *rows) {
    clamping clamp;
    const bool clamps = clamping_of(rows->epilogue, &clamp);
    if (!clamps)
        pooled_tiles(CLAMP_ANY, NULL, rows);
    else if (clamp.kind == CLAMP_LEAKY)
        pooled_tiles(CLAMP_LEAKY, &clamp, rows);
    else if (clamp.kind == CLAMP_RELU)
        pooled_tiles(CLAMP_RELU, &clamp, rows);
    else
        pooled_tiles(CLAMP_ANY, &clamp, rows);
}
