/* Rows of a depthwise convolution from a padded plane. A block of output rows shares the rows under it: with
 * 4 outputs and a 3x3 kernel, 18 loads serve 36 multiplications; unaligned loads are what limits the kernel.
 */

enum { DEPTHWISE_ROWS = 4 };

static void copy_rows(float *to, size_t to_stride, const float *from, size_t from_stride, int rows,
                      int columns, int step) {
    for (int r = 0; r < rows; ++r, to += to_stride, from += from_stride) {
        int j = 0;
        if (step == 1) {
            copy_floats(to, from, columns);
            continue;
        }
        for (; step == 2 && j + LEVEL_LANES < columns;
             j += LEVEL_LANES) /* reads no further than the last one */
            vstore(to + j, TAKE_EVEN(vload(from + 2 * j), vload(from + 2 * j + LEVEL_LANES)));
        for (; j < columns; ++j) to[j] = from[j * step];
    }
}

/* `rows` outputs at one column; all three constants where it is inlined. */
DN_INLINE void depthwise_block(const int size, const int stride, const int rows, const dn_depthwise_rows *job,
                               const vfloat *weights, const float *from, float *y, int count) {
    vfloat sum[DEPTHWISE_ROWS];
    DN_UNROLL
    for (int o = 0; o < rows; ++o) sum[o] = (vfloat){0};
    DN_UNROLL
    for (int r = 0; r < (rows - 1) * stride + size; ++r) {
        DN_UNROLL
        for (int kx = 0; kx < size; ++kx) {
            const vfloat x = vload(from + (size_t)r * job->pitch + job->columns[kx]);
            DN_UNROLL
            for (int o = 0; o < rows; ++o) {
                const int ky = r - o * stride;
                if (ky >= 0 && ky < size) sum[o] += weights[ky * size + kx] * x;
            }
        }
    }
    DN_UNROLL
    for (int o = 0; o < rows; ++o) {
        float *to = y + (size_t)o * (size_t)job->width;
        if (count >= LEVEL_LANES)
            vstore(to, sum[o]);
        else
            vstore_partial(to, sum[o], count);
    }
}

DN_INLINE void depthwise_row_block(const int size, const int stride, const int rows,
                                   const dn_depthwise_rows *job, const vfloat *weights, const float *from,
                                   float *y) {
    int j = 0;
    for (; j + LEVEL_LANES <= job->width; j += LEVEL_LANES)
        depthwise_block(size, stride, rows, job, weights, from + j, y + j, LEVEL_LANES);
    if (j == job->width) return;
    if (job->width >= LEVEL_LANES) /* the last vector overlaps the one before it */
        depthwise_block(size, stride, rows, job, weights, from + job->width - LEVEL_LANES,
                        y + job->width - LEVEL_LANES, LEVEL_LANES);
    else
        depthwise_block(size, stride, rows, job, weights, from + j, y + j, job->width - j);
}

DN_INLINE void depthwise_rows_of(const int size, const int stride, const dn_depthwise_rows *job) {
    vfloat weights[25];
    DN_UNROLL
    for (int t = 0; t < size * size; ++t) weights[t] = vset(job->weights[t]);
    int row = 0;
    for (; row + DEPTHWISE_ROWS <= job->rows; row += DEPTHWISE_ROWS)
        depthwise_row_block(size, stride, DEPTHWISE_ROWS, job, weights,
                            job->from + (size_t)(row * stride) * job->pitch,
                            job->y + (size_t)row * (size_t)job->width);
    for (; row < job->rows; ++row)
        depthwise_row_block(size, stride, 1, job, weights, job->from + (size_t)(row * stride) * job->pitch,
                            job->y + (size_t)row * (size_t)job->width);
}

static void depthwise_rows(const dn_depthwise_rows *job) {
    if (job->size == 3 && job->stride == 1)
        depthwise_rows_of(3, 1, job);
    else if (job->size == 3)
        depthwise_rows_of(3, 2, job);
    else if (job->stride == 1)
        depthwise_rows_of(5, 1, job);
    else
        depthwise_rows_of(5, 2, job);
}
