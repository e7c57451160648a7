/* matmul.c - the matrix product slots. Products with a vector read the matrix once, at the speed of memory;
 * all others go through gemm.c. */
#include "cpu.h"

enum {
    SLICE = 2048,    /* columns per pass: the sums stay in the first-level cache */
    ROWS = 8,        /* per pass, when there are several vectors: they stay in the second-level cache */
    GRAIN = 64,      /* elements of a result that one thread takes at least */
    MOST_VECTORS = 8 /* that are faster one by one than packing the matrix */
};

size_t dn_cpu_matmul_scratch(dn_device *device, int m, int n, int k) {
    return dn_gemm_scratch(device->kernels, m, n, k, dn_pool_threads(device->pool));
}

/* Products of one size; strides are 0 where there is one. */
typedef struct product {
    bool ta, tb, accumulate;
    int m, n, k;
    const float *a, *b;
    float *c;
    size_t a_stride, b_stride, c_stride;
} product;

/* y[vectors][count] = (accumulate ? y : 0) + matrix x[vectors][k], the matrix [count][k], or [k][count] if
 * transposed (then there is one vector); for each of the products. */
typedef struct vector_job {
    const dn_kernels *kernels;
    bool transposed, accumulate;
    int vectors, count, k, products;
    const float *matrix, *x;
    float *y;
    size_t matrix_stride, x_stride, y_stride;
} vector_job;

/* Elements begin .. end of one product. */
static void multiply_vectors(const vector_job *job, size_t index, size_t begin, size_t end) {
    const size_t k = (size_t)job->k, count = (size_t)job->count;
    const size_t step = job->vectors == 1 ? end - begin : ROWS;
    const float *matrix = job->matrix + index * job->matrix_stride, *x = job->x + index * job->x_stride;
    float *y = job->y + index * job->y_stride;
    if (!job->transposed) {
        for (size_t at = begin; at < end; at += step)
            for (size_t i = 0; i < (size_t)job->vectors; ++i)
                job->kernels->multiply_vector((int)dn_min_size(step, end - at), job->k, matrix + at * k, k,
                                              x + i * k, y + i * count + at, job->accumulate);
        return;
    }
    for (size_t at = begin; at < end; at += SLICE)
        job->kernels->multiply_vector_transposed(job->k, (int)dn_min_size(SLICE, end - at), matrix + at,
                                                 count, x, y + at, job->accumulate);
}

static void run_vectors(void *context, int part, int parts) {
    const vector_job *job = context;
    const size_t count = (size_t)job->count, grains = (count + GRAIN - 1) / GRAIN;
    size_t begin, end;
    dn_pool_slice((size_t)job->products * grains, 1, part, parts, &begin, &end);
    while (begin < end) {
        const size_t index = begin / grains, last = dn_min_size(end, (index + 1) * grains);
        multiply_vectors(job, index, (begin - index * grains) * GRAIN,
                         dn_min_size(count, (last - index * grains) * GRAIN));
        begin = last;
    }
}

/* True if the products are with vectors; then they are done. */
static bool run_as_vectors(dn_device *device, int products, const product *p) {
    const bool few_rows = p->m <= MOST_VECTORS && !p->ta && p->tb;
    const bool from_left = p->m == 1 || few_rows; /* a holds the vectors, b the matrix */
    if (!from_left && p->n != 1) return false;
    vector_job job = {.kernels = device->kernels,
                      .transposed = from_left ? !p->tb : p->ta,
                      .accumulate = p->accumulate,
                      .vectors = from_left ? p->m : 1,
                      .count = from_left ? p->n : p->m,
                      .k = p->k,
                      .products = products,
                      .matrix = from_left ? p->b : p->a,
                      .x = from_left ? p->a : p->b,
                      .y = p->c,
                      .matrix_stride = from_left ? p->b_stride : p->a_stride,
                      .x_stride = from_left ? p->a_stride : p->b_stride,
                      .y_stride = p->c_stride};
    const size_t values = (size_t)products * (size_t)job.count * (size_t)job.k;
    dn_cpu_parallel(device, values * (size_t)job.vectors, run_vectors, &job);
    return true;
}

static dn_gemm gemm_of(const product *p, size_t index) {
    dn_gemm gemm = {.m = p->m,
                    .n = p->n,
                    .k = p->k,
                    .c = p->c + index * p->c_stride,
                    .ldc = (size_t)p->n,
                    .accumulate = p->accumulate};
    gemm.left = (dn_operand){.layout = p->ta ? DN_LAYOUT_ROWS : DN_LAYOUT_COLUMNS,
                             .p = p->a + index * p->a_stride,
                             .stride = (size_t)(p->ta ? p->m : p->k)};
    gemm.right = (dn_operand){.layout = p->tb ? DN_LAYOUT_COLUMNS : DN_LAYOUT_ROWS,
                              .p = p->b + index * p->b_stride,
                              .stride = (size_t)(p->tb ? p->k : p->n)};
    return gemm;
}

void dn_cpu_matmul(dn_device *device, bool ta, bool tb, int m, int n, int k, const float *a, const float *b,
                   float *c, bool accumulate, float *scratch) {
    const product p = {
        .ta = ta, .tb = tb, .accumulate = accumulate, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c};
    if (run_as_vectors(device, 1, &p)) return;
    const dn_gemm gemm = gemm_of(&p, 0);
    dn_gemm_run(device, &gemm, scratch);
}

/* ---- many products ---- */

typedef struct batch_job {
    const dn_kernels *kernels;
    const product *product;
    size_t count, scratch_size; /* per thread */
    float *scratch;
} batch_job;

static void run_products(void *context, int part, int parts) {
    const batch_job *job = context;
    size_t begin, end;
    dn_pool_slice(job->count, 1, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) {
        const dn_gemm gemm = gemm_of(job->product, i);
        dn_gemm_run_alone(job->kernels, &gemm, job->scratch + (size_t)part * job->scratch_size);
    }
}

void dn_cpu_matmul_batch(dn_device *device, int count, bool ta, bool tb, int m, int n, int k, const float *a,
                         size_t a_stride, const float *b, size_t b_stride, float *c, size_t c_stride,
                         bool accumulate, float *scratch) {
    const product p = {ta, tb, accumulate, m, n, k, a, b, c, a_stride, b_stride, c_stride};
    if (run_as_vectors(device, count, &p)) return;
    if (count >= dn_pool_threads(device->pool)) { /* a thread takes whole products */
        batch_job job = {device->kernels, &p, (size_t)count, dn_gemm_scratch(device->kernels, m, n, k, 1),
                         scratch};
        dn_pool_run(device->pool, run_products, &job);
        return;
    }
    for (int i = 0; i < count; ++i) {
        const dn_gemm gemm = gemm_of(&p, (size_t)i);
        dn_gemm_run(device, &gemm, scratch);
    }
}
