/* Products of a matrix and a vector, which read the matrix once: memory decides.
 *
 * Eight rows beside each other, as many streams as the processor foresees, and what comes next fetched into
 * the second-level cache: fetching it into the first would take the few buffers that loads from there wait
 * in. On a Zen 4 core a matrix of 4096 columns passes at 29 GB/s; four rows, nothing fetched: 22; one
 * row: 17. */

enum {
    VECTOR_ROWS = 8,
    VECTOR_FEW = 4,     /* what is left of the rows */
    VECTOR_AHEAD = 512, /* floats of a row */
    VECTOR_LINE = 16    /* floats of a cache line */
};

/* Columns begin .. end, a multiple of 2 vectors; ahead: from what is read to what is fetched. */
DN_INLINE void multiply_columns(const int rows, int begin, int end, ptrdiff_t ahead, const float *const *row,
                                const float *x, vfloat sum[VECTOR_ROWS][2]) {
    for (int k = begin; k < end; k += 2 * LEVEL_LANES) {
        const vfloat x0 = vload(x + k), x1 = vload(x + k + LEVEL_LANES);
        DN_UNROLL
        for (int r = 0; r < rows; ++r) {
            DN_UNROLL
            for (int j = 0; j < 2 * LEVEL_LANES; j += VECTOR_LINE)
                __builtin_prefetch(row[r] + k + ahead + j, 0, 2);
            sum[r][0] += vload(row[r] + k) * x0;
            sum[r][1] += vload(row[r] + k + LEVEL_LANES) * x1;
        }
    }
}

/* rows: a constant where it is inlined, of which `count` are stored. The others repeat the last one. */
DN_INLINE void multiply_rows(const int rows, int count, int depth, const float *a, size_t stride,
                             const float *x, float *y, bool accumulate) {
    const float *row[VECTOR_ROWS];
    vfloat sum[VECTOR_ROWS][2] = {{{0}}};
    DN_UNROLL
    for (int r = 0; r < rows; ++r) row[r] = a + (size_t)dn_min_int(r, count - 1) * stride;
    /* At the end of these rows the beginnings of those under them are fetched. */
    const int whole = depth / (2 * LEVEL_LANES) * (2 * LEVEL_LANES);
    const int turn = dn_max_int(0, whole - VECTOR_AHEAD);
    multiply_columns(rows, 0, turn, VECTOR_AHEAD, row, x, sum);
    multiply_columns(rows, turn, whole, (ptrdiff_t)stride * rows - turn, row, x, sum);
    for (int r = 0; r < count; ++r) {
        float total = vsum(sum[r][0] + sum[r][1]);
        for (int k = whole; k < depth; ++k) total += row[r][k] * x[k];
        y[r] = accumulate ? y[r] + total : total;
    }
}

static void multiply_vector(int rows, int depth, const float *a, size_t stride, const float *x, float *y,
                            bool accumulate) {
    int i = 0;
    for (; i + VECTOR_ROWS <= rows; i += VECTOR_ROWS)
        multiply_rows(VECTOR_ROWS, VECTOR_ROWS, depth, a + (size_t)i * stride, stride, x, y + i, accumulate);
    for (; i < rows; i += VECTOR_FEW)
        multiply_rows(VECTOR_FEW, dn_min_int(VECTOR_FEW, rows - i), depth, a + (size_t)i * stride, stride, x,
                      y + i, accumulate);
}

static void multiply_vector_transposed(int depth, int columns, const float *a, size_t stride, const float *x,
                                       float *y, bool accumulate) {
    if (!accumulate) zero_floats(y, columns);
    int k = 0;
    for (; k + 4 <= depth; k += 4, a += 4 * stride) {
        const float *a1 = a + stride, *a2 = a1 + stride, *a3 = a2 + stride;
        const vfloat x0 = vset(x[k]), x1 = vset(x[k + 1]), x2 = vset(x[k + 2]), x3 = vset(x[k + 3]);
        int j = 0;
        for (; j + LEVEL_LANES <= columns; j += LEVEL_LANES) {
            vfloat sum = vload(y + j) + vload(a + j) * x0 + vload(a1 + j) * x1;
            vstore(y + j, sum + vload(a2 + j) * x2 + vload(a3 + j) * x3);
        }
        if (j < columns) {
            const int tail = columns - j;
            vfloat sum = vload_partial(y + j, tail) + vload_partial(a + j, tail) * x0 +
                         vload_partial(a1 + j, tail) * x1;
            sum = sum + vload_partial(a2 + j, tail) * x2 + vload_partial(a3 + j, tail) * x3;
            vstore_partial(y + j, sum, tail);
        }
    }
    for (; k < depth; ++k, a += stride) {
        const vfloat x0 = vset(x[k]);
        int j = 0;
        for (; j + LEVEL_LANES <= columns; j += LEVEL_LANES) vstore(y + j, vload(y + j) + vload(a + j) * x0);
        if (j < columns) {
            const int tail = columns - j;
            vstore_partial(y + j, vload_partial(y + j, tail) + vload_partial(a + j, tail) * x0, tail);
        }
    }
}
