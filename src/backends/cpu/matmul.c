/* matmul.c - the matrix product slot. Products with a vector read the matrix once, at the speed of memory; all others
 * go through gemm.c. */
#include "cpu.h"

enum { SLICE = 2048 /* columns per pass: the sums stay in the first-level cache */ };

size_t dn_cpu_matmul_scratch(dn_device *device, int m, int n, int k) {
    return dn_gemm_scratch(device->kernels, m, n, k, dn_pool_threads(device->pool));
}

/* y[count] = (accumulate ? y : 0) + matrix x, the matrix [count][k], or [k][count] if transposed. */
typedef struct vector_job {
    const dn_kernels *kernels;
    bool transposed, accumulate;
    int count, k;
    const float *matrix, *x;
    float *y;
} vector_job;

static void run_vector(void *context, int part, int parts) {
    const vector_job *job = context;
    size_t begin, end;
    dn_pool_slice((size_t)job->count, 64, part, parts, &begin, &end);
    if (!job->transposed) {
        if (begin < end)
            job->kernels->multiply_vector((int)(end - begin), job->k, job->matrix + begin * (size_t)job->k,
                                          (size_t)job->k, job->x, job->y + begin, job->accumulate);
        return;
    }
    for (size_t at = begin; at < end; at += SLICE)
        job->kernels->multiply_vector_transposed(job->k, (int)dn_min_size(SLICE, end - at), job->matrix + at,
                                                 (size_t)job->count, job->x, job->y + at, job->accumulate);
}

void dn_cpu_matmul(dn_device *device, bool ta, bool tb, int m, int n, int k, const float *a, const float *b, float *c,
                   bool accumulate, float *scratch) {
    if (m == 1 || n == 1) {
        vector_job job = {.kernels = device->kernels, .accumulate = accumulate, .k = k, .y = c};
        job.transposed = m == 1 ? !tb : ta;
        job.count = m == 1 ? n : m;
        job.matrix = m == 1 ? b : a;
        job.x = m == 1 ? a : b;
        dn_pool_run(device->pool, run_vector, &job);
        return;
    }
    dn_gemm gemm = {.m = m, .n = n, .k = k, .c = c, .ldc = (size_t)n, .accumulate = accumulate};
    gemm.left = (dn_operand){.layout = ta ? DN_LAYOUT_ROWS : DN_LAYOUT_COLUMNS, .p = a, .stride = (size_t)(ta ? m : k)};
    gemm.right = (dn_operand){.layout = tb ? DN_LAYOUT_COLUMNS : DN_LAYOUT_ROWS, .p = b, .stride = (size_t)(tb ? k : n)};
    dn_gemm_run(device, &gemm, scratch);
}
