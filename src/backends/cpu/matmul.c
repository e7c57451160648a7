/* matmul.c - the matrix product slot. Products with a vector read the matrix once, at the speed of memory;
 * all others go through gemm.c. */
#include "cpu.h"

enum {
    SLICE = 2048,    /* columns per pass: the sums stay in the first-level cache */
    ROWS = 4,        /* per pass, when there are several vectors: they stay in the second-level cache */
    MOST_VECTORS = 8 /* that are faster one by one than packing the matrix */
};

size_t dn_cpu_matmul_scratch(dn_device *device, int m, int n, int k) {
    return dn_gemm_scratch(device->kernels, m, n, k, dn_pool_threads(device->pool));
}

/* y[vectors][count] = (accumulate ? y : 0) + matrix x[vectors][k], the matrix [count][k], or [k][count] if
 * transposed (then there is one vector). */
typedef struct vector_job {
    const dn_kernels *kernels;
    bool transposed, accumulate;
    int vectors, count, k;
    const float *matrix, *x;
    float *y;
} vector_job;

static void run_vector(void *context, int part, int parts) {
    const vector_job *job = context;
    size_t begin, end;
    dn_pool_slice((size_t)job->count, 64, part, parts, &begin, &end);
    const size_t k = (size_t)job->k, count = (size_t)job->count;
    const size_t step = job->vectors == 1 ? end - begin : ROWS;
    if (!job->transposed) {
        for (size_t at = begin; at < end; at += step)
            for (size_t i = 0; i < (size_t)job->vectors; ++i)
                job->kernels->multiply_vector((int)dn_min_size(step, end - at), job->k, job->matrix + at * k,
                                              k, job->x + i * k, job->y + i * count + at, job->accumulate);
        return;
    }
    for (size_t at = begin; at < end; at += SLICE)
        job->kernels->multiply_vector_transposed(job->k, (int)dn_min_size(SLICE, end - at), job->matrix + at,
                                                 (size_t)job->count, job->x, job->y + at, job->accumulate);
}

void dn_cpu_matmul(dn_device *device, bool ta, bool tb, int m, int n, int k, const float *a, const float *b,
                   float *c, bool accumulate, float *scratch) {
    const bool few_rows = m <= MOST_VECTORS && !ta && tb;
    if (m == 1 || n == 1 || few_rows) {
        vector_job job = {.kernels = device->kernels, .accumulate = accumulate, .k = k, .y = c};
        const bool from_left = m == 1 || few_rows; /* a holds the vectors, b the matrix */
        job.transposed = from_left ? !tb : ta;
        job.vectors = from_left ? m : 1;
        job.count = from_left ? n : m;
        job.matrix = from_left ? b : a;
        job.x = from_left ? a : b;
        dn_pool_run(device->pool, run_vector, &job);
        return;
    }
    dn_gemm gemm = {.m = m, .n = n, .k = k, .c = c, .ldc = (size_t)n, .accumulate = accumulate};
    gemm.left = (dn_operand){
        .layout = ta ? DN_LAYOUT_ROWS : DN_LAYOUT_COLUMNS, .p = a, .stride = (size_t)(ta ? m : k)};
    gemm.right = (dn_operand){
        .layout = tb ? DN_LAYOUT_COLUMNS : DN_LAYOUT_ROWS, .p = b, .stride = (size_t)(tb ? k : n)};
    dn_gemm_run(device, &gemm, scratch);
}
