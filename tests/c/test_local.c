/* test_local.c - what locally connected layers are made of: patches as rows, and many products of one size.
 */
#include "targets.h"

static void test_patches(const dn_conv_shape *p, size_t batch) {
    const size_t k = (size_t)(p->in_c * p->size * p->size), plane = (size_t)(p->in_h * p->in_w);
    const size_t locations = (size_t)(p->out_h * p->out_w), n = locations * batch * k,
                 m = batch * (size_t)p->in_c * plane;
    float *x = numbers(m, 1), *rows = numbers(n, 1);
    target gather = target_new("patches_gather", n, 1), scatter = target_new("patches_scatter", m, 1);
    ON_EVERY_DEVICE(t) {
        ops->patches_gather(devices[t], p, (int)batch, x, gather.got[t]);
        ops->patches_scatter(devices[t], p, (int)batch, rows, scatter.got[t]);
    }
    for (size_t at = 0; at < n; ++at) {
        const int kx = (int)(at % (size_t)p->size), ky = (int)(at / (size_t)p->size % (size_t)p->size);
        const size_t c = at % k / (size_t)(p->size * p->size), b = at / k % batch, location = at / k / batch;
        const int y = (int)location / p->out_w * p->stride_y - p->pad + ky;
        const int column = (int)location % p->out_w * p->stride_x - p->pad + kx;
        const bool inside = y >= 0 && y < p->in_h && column >= 0 && column < p->in_w;
        const size_t from = inside ? (b * (size_t)p->in_c + c) * plane + (size_t)(y * p->in_w + column) : 0;
        gather.want[at] = inside ? x[from] : 0;
        if (inside) scatter.want[from] += rows[at];
    }
    target_check(&gather, 1);
    target_check(&scatter, 4);
    dn_free(x), dn_free(rows);
}

static void test_matmul_batch(int count, bool ta, bool tb, int m, int n, int k, bool accumulate) {
    const size_t rows = (size_t)m, columns = (size_t)n, depth = (size_t)k;
    const size_t a_stride = rows * depth + 3, b_stride = depth * columns + 1, c_stride = rows * columns + 2;
    float *a = numbers((size_t)count * a_stride, 1), *b = numbers((size_t)count * b_stride, 1);
    target c = target_new("matmul_batch", (size_t)count * c_stride, 1);
    ON_EVERY_DEVICE(t) {
        float *scratch = dn_alloc(ops->matmul_scratch(devices[t], m, n, k) * sizeof *scratch);
        ops->matmul_batch(devices[t], count, ta, tb, m, n, k, a, a_stride, b, b_stride, c.got[t], c_stride,
                          accumulate, scratch);
        dn_free(scratch);
    }
    for (size_t p = 0; p < (size_t)count; ++p)
        for (size_t i = 0; i < rows; ++i)
            for (size_t j = 0; j < columns; ++j) {
                float *to = c.want + p * c_stride + i * columns + j;
                double sum = accumulate ? (double)*to : 0;
                for (size_t d = 0; d < depth; ++d)
                    sum += (double)a[p * a_stride + (ta ? d * rows + i : i * depth + d)] *
                           (double)b[p * b_stride + (tb ? j * depth + d : d * columns + j)];
                *to = (float)sum;
            }
    target_check(&c, 1 + sqrt((double)k));
    dn_free(a), dn_free(b);
}

static void test_local(void) {
    int before = failures;
    const dn_conv_shape shapes[] = {{.in_c = 3, .in_h = 6, .in_w = 5, .size = 3, .pad = 1, .stride_y = 1},
                                    {.in_c = 20, .in_h = 13, .in_w = 12, .size = 3, .pad = 1, .stride_y = 2},
                                    {.in_c = 2, .in_h = 9, .in_w = 7, .size = 5, .pad = 0, .stride_y = 1},
                                    {.in_c = 2, .in_h = 2, .in_w = 2, .size = 9, .pad = 4, .stride_y = 1},
                                    {.in_c = 7, .in_h = 8, .in_w = 9, .size = 1, .pad = 0, .stride_y = 3}};
    for (size_t i = 0; i < DN_COUNT(shapes); ++i) {
        dn_conv_shape shape = shapes[i];
        shape.stride_x = shape.stride_y;
        shape.dilation = shape.groups = 1;
        shape.out_h = (shape.in_h + 2 * shape.pad - shape.size) / shape.stride_y + 1;
        shape.out_w = (shape.in_w + 2 * shape.pad - shape.size) / shape.stride_x + 1;
        for (size_t batch = 1; batch <= 3; ++batch) test_patches(&shape, batch);
    }
    const int sizes[][4] = {{1, 1, 1, 1},   {5, 1, 70, 33},  {2, 1, 300, 5}, {7, 3, 129, 40},
                            {2, 9, 30, 20}, {11, 9, 30, 20}, {3, 33, 1, 17}, {4, 40, 65, 300}};
    for (size_t i = 0; i < DN_COUNT(sizes); ++i)
        for (int flags = 0; flags < 8; ++flags)
            test_matmul_batch(sizes[i][0], flags & 1, flags & 2, sizes[i][1], sizes[i][2], sizes[i][3],
                              flags & 4);
    done("local", before);
}

int main(void) {
    source = dn_random_keyed(1, 2, 3);
    if (!open_devices()) return 1;
    test_local();
    close_devices();
    return failures != 0;
}
