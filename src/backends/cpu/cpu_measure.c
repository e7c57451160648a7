/* cpu_measure.c - what the machine can do at most: multiply-adds between registers, and reads of memory. The
 * times of layers are judged by these two. */
#include "../../base/platform.h"
#include "cpu.h"

#include <math.h>

enum {
    MOST_LANES = 16,
    ROUNDS = 40 * 1000, /* about a fifth of a millisecond */
    REPETITIONS = 500,  /* the best counts: another program may take a processor for a while */
    FLOATS = 64 << 20,  /* 256 MiB, more than caches hold */
    GRAIN = 1024,       /* floats of a page */
    PASSES = 6
};

typedef struct measurement {
    const dn_kernels *kernels;
    float *values;
} measurement;

static void chain_task(void *context, int part, int parts) {
    const measurement *m = context;
    float x[DN_CHAINS * MOST_LANES] = {0};
    (void)part;
    (void)parts;
    m->kernels->multiply_add_chains(ROUNDS, .5f, .5f, x);
}

static void fill_task(void *context, int part, int parts) {
    const measurement *m = context;
    size_t begin, end;
    dn_pool_slice(FLOATS, GRAIN, part, parts, &begin, &end);
    for (size_t i = begin; i < end; ++i) m->values[i] = 1;
}

static void read_task(void *context, int part, int parts) {
    const measurement *m = context;
    size_t begin, end;
    dn_pool_slice(FLOATS, GRAIN, part, parts, &begin, &end);
    m->kernels->sum(m->values + begin, end - begin);
}

/* Seconds of the quickest of so many runs. */
static double best_of(int runs, dn_pool *pool, dn_task task, measurement *m) {
    double best = INFINITY;
    for (int i = 0; i < runs; ++i) {
        const double begin = dn_platform_seconds();
        dn_pool_run(pool, task, m);
        best = fmin(best, dn_platform_seconds() - begin);
    }
    return best;
}

dn_status dn_cpu_measure(double *flops, double *bytes, int threads) {
    if (!flops || !bytes) return dn_fail(DN_ERROR_ARGUMENT, "dn_cpu_measure needs two numbers to write");
    measurement m = {.kernels = dn_kernels_get()};
    dn_pool *pool;
    if (!m.kernels) return DN_ERROR_ARGUMENT;
    DN_TRY(dn_pool_create(&pool, threads > 0 ? threads : dn_platform_processors()));
    const double parts = (double)dn_pool_threads(pool);
    *flops = 2.0 * DN_CHAINS * m.kernels->lanes * ROUNDS * parts / best_of(REPETITIONS, pool, chain_task, &m);
    m.values = dn_alloc(FLOATS * sizeof *m.values);
    if (m.values) {
        dn_pool_run(pool, fill_task, &m);
        *bytes = FLOATS * sizeof *m.values / best_of(PASSES, pool, read_task, &m);
    }
    dn_pool_free(pool);
    dn_free(m.values);
    return m.values ? DN_OK : dn_fail(DN_ERROR_NO_MEMORY, "no memory to measure how fast it is read");
}
