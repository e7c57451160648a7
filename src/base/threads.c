/* threads.c - the pool of threads.h. Workers wait for a new generation number: first spinning, which costs
 * nothing between the steps of one network, then asleep on a condition. A part belongs to a worker, but is
 * claimed before it is run: where other programs keep a worker from its processor, the caller does its part
 * rather than wait for it. */
#include "threads.h"
#include "platform.h"

/* Some 250 us where a pause takes 25 ns: who falls asleep between two steps of a network, or between two
 * calls of a loop in Python, up to 200 us, delays what comes next: waking up takes 90 us. */
enum {
    SPINS = 10000,
    MOST_KEPT_APART = 8 /* threads; a microsecond for each */
};

typedef struct worker {
    struct dn_pool *pool;
    pthread_t thread;
    int part;
    atomic_uint claimed; /* the last generation in which somebody took the part */
    bool sleeping;       /* with the mutex */
    bool kept_off;       /* the processor of the caller that wakes it; before: where else it may run */
    dn_processors before;
} worker;

struct dn_pool {
    int threads, started;
    bool apart;      /* workers wake up beside their caller, not on its processor */
    long process;    /* whose threads they are: a forked child has none of them */
    worker *workers; /* threads - 1 */
    pthread_mutex_t mutex;
    pthread_cond_t wake, done;
    atomic_uint generation; /* changes when there is work, or it is time to stop */
    atomic_int running;     /* parts of workers that are not finished in this generation */
    atomic_int asleep;      /* workers on `wake`: only then does announcing need the mutex */
    atomic_bool waiting;    /* the caller is on `done` */
    atomic_bool stop;
    dn_task task;
    void *context;
    dn_ranges ranges;
};

/* True for one of the worker and the caller in each generation. Whoever comes late finds a later one: every
 * part of a generation is claimed before it ends. */
static bool claim(worker *owner, unsigned generation) {
    unsigned before = generation - 1;
    return atomic_compare_exchange_strong(&owner->claimed, &before, generation);
}

static void *work(void *argument) {
    worker *self = argument;
    dn_pool *pool = self->pool;
    unsigned seen = 0;
    for (;;) {
        for (int spin = 0;
             spin < SPINS && atomic_load_explicit(&pool->generation, memory_order_acquire) == seen; ++spin)
            dn_platform_pause();
        if (atomic_load_explicit(&pool->generation, memory_order_acquire) == seen) {
            /* Counted before the generation is looked at again; announce() changes it before it looks at the
             * count: one of the two sees the other. */
            pthread_mutex_lock(&pool->mutex);
            atomic_fetch_add(&pool->asleep, 1);
            self->sleeping = true;
            while (atomic_load(&pool->generation) == seen) pthread_cond_wait(&pool->wake, &pool->mutex);
            self->sleeping = false;
            atomic_fetch_sub(&pool->asleep, 1);
            const bool kept_off = self->kept_off;
            self->kept_off = false;
            pthread_mutex_unlock(&pool->mutex);
            if (kept_off) dn_platform_allow(&self->before);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load(&pool->stop)) return NULL;
        if (!claim(self, seen)) continue;
        pool->task(pool->context, self->part, pool->threads);
        if (atomic_fetch_sub(&pool->running, 1) == 1 && atomic_load(&pool->waiting)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

/* Linux may wake a worker on the processor that its caller runs on, though another one is idle, and leave
 * both there for milliseconds: longer than a small network takes (mobilenetv2 after 30 ms of rest on two
 * threads: 8.6 ms, and 5.1 where that is avoided). */
static void keep_off(worker *self) {
    if (self->sleeping && !self->kept_off) self->kept_off = dn_platform_keep_off(self->thread, &self->before);
}

static void announce(dn_pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->asleep) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    for (int i = 0; i < pool->started && pool->apart; ++i) keep_off(&pool->workers[i]);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
}

dn_status dn_pool_create(dn_pool **out, int threads) {
    *out = NULL;
    if (threads < 1 || threads > 1024)
        return dn_fail(DN_ERROR_ARGUMENT, "threads: must be 1 to 1024, not %d", threads);
    dn_pool *pool;
    DN_TRY(dn_new(&pool, 1, sizeof *pool, "thread pool"));
    pool->threads = threads;
    pool->apart = threads <= dn_min_int(MOST_KEPT_APART, dn_platform_processors());
    pool->process = dn_platform_process();
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->ranges.parts = threads;
    dn_status status = dn_new(&pool->workers, (size_t)threads, sizeof *pool->workers, "thread pool");
    if (status == DN_OK)
        status = dn_new(&pool->ranges.each, (size_t)threads, sizeof *pool->ranges.each, "thread pool");
    for (int i = 1; status == DN_OK && i < threads; ++i) {
        worker *self = &pool->workers[i - 1];
        self->pool = pool;
        self->part = i;
        if (pthread_create(&self->thread, NULL, work, self) != 0)
            status = dn_fail(DN_ERROR_NO_MEMORY, "the system refused thread %d of %d", i + 1, threads);
        else
            pool->started++;
    }
    if (status != DN_OK) {
        dn_pool_free(pool);
        return status;
    }
    *out = pool;
    return DN_OK;
}

static void free_memory(dn_pool *pool) {
    dn_free(pool->ranges.each);
    dn_free(pool->workers);
    dn_free(pool);
}

void dn_pool_free(dn_pool *pool) {
    if (!pool) return;
    if (pool->process != dn_platform_process()) { /* nobody to join, and locks in whatever state */
        free_memory(pool);
        return;
    }
    atomic_store(&pool->stop, true);
    announce(pool);
    for (int i = 0; i < pool->started; ++i) pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free_memory(pool);
}

int dn_pool_threads(const dn_pool *pool) {
    return pool->threads;
}

void dn_pool_run(dn_pool *pool, dn_task task, void *context) {
    if (pool->threads == 1) {
        task(context, 0, 1);
        return;
    }
    if (pool->process != dn_platform_process()) { /* the same parts, one after the other: the same results */
        for (int part = 0; part < pool->threads; ++part) task(context, part, pool->threads);
        return;
    }
    pool->task = task;
    pool->context = context;
    atomic_store(&pool->running, pool->threads - 1);
    announce(pool);
    task(context, 0, pool->threads);
    const unsigned generation = atomic_load(&pool->generation);
    for (int part = 1; part < pool->threads && atomic_load(&pool->running) > 0; ++part)
        if (claim(&pool->workers[part - 1], generation)) {
            task(context, part, pool->threads);
            atomic_fetch_sub(&pool->running, 1);
        }
    for (int spin = 0; spin < SPINS && atomic_load_explicit(&pool->running, memory_order_acquire) > 0; ++spin)
        dn_platform_pause();
    if (atomic_load_explicit(&pool->running, memory_order_acquire) > 0) {
        pthread_mutex_lock(&pool->mutex);
        atomic_store(&pool->waiting, true);
        while (atomic_load(&pool->running) > 0) pthread_cond_wait(&pool->done, &pool->mutex);
        atomic_store(&pool->waiting, false);
        pthread_mutex_unlock(&pool->mutex);
    }
}

/* ---- pieces ---- */

static uint64_t range_of(uint64_t first, uint64_t end) {
    return first << 32 | end;
}

static int first_of(uint64_t left) {
    return (int)(left >> 32);
}

static int end_of(uint64_t left) {
    return (int)(left & UINT32_MAX);
}

void dn_ranges_begin(dn_ranges *ranges, int pieces) {
    ranges->pieces = pieces;
    for (int part = 0; part < ranges->parts; ++part) {
        size_t first, end;
        dn_pool_slice((size_t)pieces, 1, part, ranges->parts, &first, &end);
        atomic_store_explicit(&ranges->each[part].left, range_of(first, end), memory_order_relaxed);
    }
}

/* The first piece, or the last. A range only shrinks, so one that looks as it did before is as it was. The
 * pool orders what is computed; claims order nothing. */
static bool take(dn_range *range, bool last, int *piece) {
    uint64_t left = atomic_load_explicit(&range->left, memory_order_relaxed), less;
    do {
        if (first_of(left) >= end_of(left)) return false;
        *piece = last ? end_of(left) - 1 : first_of(left);
        less = last ? left - 1 : left + range_of(1, 0);
    } while (!atomic_compare_exchange_weak_explicit(&range->left, &left, less, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

bool dn_range_claim(dn_ranges *ranges, int part, int *piece) {
    if (take(&ranges->each[part], false, piece)) return true;
    for (;;) {
        dn_range *fullest = NULL;
        int most = 0;
        for (int i = 0; i < ranges->parts; ++i) {
            const uint64_t left = atomic_load_explicit(&ranges->each[i].left, memory_order_relaxed);
            if (end_of(left) - first_of(left) <= most) continue;
            most = end_of(left) - first_of(left);
            fullest = &ranges->each[i];
        }
        if (!fullest) return false;
        if (take(fullest, true, piece)) return true;
    }
}

typedef struct shared_job {
    dn_ranges *ranges;
    dn_shared_task task;
    void *context;
} shared_job;

static void run_shared(void *context, int part, int parts) {
    (void)parts;
    const shared_job *job = context;
    job->task(job->context, part, job->ranges);
}

void dn_pool_share(dn_pool *pool, int pieces, dn_shared_task task, void *context) {
    shared_job job = {&pool->ranges, task, context};
    dn_ranges_begin(&pool->ranges, pieces);
    dn_pool_run(pool, run_shared, &job);
}

void dn_share_alone(int pieces, dn_shared_task task, void *context) {
    dn_range range;
    dn_ranges alone = {.each = &range, .parts = 1};
    dn_ranges_begin(&alone, pieces);
    task(context, 0, &alone);
}

/* ---- slices ---- */

void dn_pool_slice(size_t total, size_t grain, int part, int parts, size_t *begin, size_t *end) {
    size_t grains = (total + grain - 1) / grain;
    size_t first = grains * (size_t)part / (size_t)parts, last = grains * (size_t)(part + 1) / (size_t)parts;
    *begin = dn_min_size(first * grain, total);
    *end = dn_min_size(last * grain, total);
}
