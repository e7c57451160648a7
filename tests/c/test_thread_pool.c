/* test_thread_pool.c - the pool of src/base/threads.h: every part is done once in each run, the caller does
 * those that no worker has begun, and every piece is claimed once. Also for the thread sanitiser (make tsan).
 */
#define _GNU_SOURCE /* pthread_getaffinity_np */
#include "../../src/base/platform.h"
#include "../../src/base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 48, RUNS = 400 };

static int failures;

static void check(bool good, const char *name) {
    printf("%s %s\n", good ? "ok" : "FAIL", name);
    failures += !good;
}

typedef struct job {
    int parts;
    pthread_t caller;
    int done[MOST]; /* each written by one thread at a time, if parts are claimed once */
    atomic_int wrong, by_caller;
} job;

static void note(void *context, int part, int parts) {
    job *j = context;
    if (parts != j->parts || part < 0 || part >= parts) {
        atomic_fetch_add(&j->wrong, 1);
        return;
    }
    j->done[part]++;
    if (part > 0 && pthread_equal(pthread_self(), j->caller)) atomic_fetch_add(&j->by_caller, 1);
}

/* Runs it many times; returns how many parts of workers the caller did, or -1 if a part was not done once. */
static int run_all(int threads) {
    dn_pool *pool;
    job j = {.parts = threads, .caller = pthread_self()};
    if (dn_pool_create(&pool, threads) != DN_OK) return -1;
    bool once = true;
    for (int run = 1; run <= RUNS; ++run) {
        dn_pool_run(pool, note, &j);
        for (int part = 0; part < threads; ++part) once = once && j.done[part] == run;
    }
    dn_pool_free(pool);
    return once && atomic_load(&j.wrong) == 0 ? atomic_load(&j.by_caller) : -1;
}

/* Whether every part may run where the caller of the pool may: workers are woken beside it. */
typedef struct freedom {
    atomic_int confined, begun;
    dn_processors caller;
} freedom;

static bool allowed(dn_processors *out) {
#if defined(__linux__)
    cpu_set_t set;
    if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) != 0) return false;
    memcpy(out, &set, sizeof *out);
    return true;
#else
    (void)out;
    return false;
#endif
}

static void look_around(void *context, int part, int parts) {
    freedom *f = context;
    dn_processors own;
    atomic_fetch_add(&f->begun, 1);
    for (int wait = 0; part == 0 && wait < 1000 && atomic_load(&f->begun) < parts; ++wait) usleep(1000);
    if (allowed(&own) && memcmp(&own, &f->caller, sizeof own) != 0) atomic_fetch_add(&f->confined, 1);
}

static bool wakes_free(int threads) {
    dn_pool *pool;
    freedom f = {.caller = {{0}}};
    if (!allowed(&f.caller)) return true;
    if (dn_pool_create(&pool, threads) != DN_OK) return false;
    for (int run = 0; run < 20; ++run) {
        usleep(2000); /* workers fall asleep */
        atomic_store(&f.begun, 0);
        dn_pool_run(pool, look_around, &f);
    }
    dn_pool_free(pool);
    return atomic_load(&f.confined) == 0;
}

enum { PIECES = 1000 };

typedef struct piece_job {
    int pieces, done[PIECES]; /* each written by one thread at a time, if pieces are claimed once */
    atomic_int wrong;
} piece_job;

static void claim_all(void *context, int part, dn_ranges *ranges) {
    piece_job *j = context;
    for (int piece; dn_range_claim(ranges, part, &piece);)
        if (piece >= 0 && piece < j->pieces && ranges->pieces == j->pieces)
            j->done[piece]++;
        else
            atomic_fetch_add(&j->wrong, 1);
}

static bool claims_once(int threads) {
    static const int counts[] = {0, 1, 2, 7, 64, PIECES};
    dn_pool *pool;
    if (dn_pool_create(&pool, threads) != DN_OK) return false;
    bool good = true;
    for (size_t c = 0; c < sizeof counts / sizeof *counts; ++c) {
        piece_job j = {.pieces = counts[c]};
        for (int run = 1; run <= RUNS / 4; ++run) {
            dn_pool_share(pool, j.pieces, claim_all, &j);
            for (int piece = 0; piece < PIECES; ++piece)
                good = good && j.done[piece] == (piece < j.pieces ? run : 0);
        }
        good = good && atomic_load(&j.wrong) == 0;
    }
    dn_pool_free(pool);
    return good;
}

/* Without a pool: each piece once, in order, before it returns. */
static void claim_next(void *context, int part, dn_ranges *ranges) {
    int *next = context;
    for (int piece; part == 0 && dn_range_claim(ranges, part, &piece);)
        *next = piece == *next ? piece + 1 : -1;
}

static bool claims_alone(void) {
    for (int pieces = 0; pieces < 9; ++pieces) {
        int next = 0;
        dn_share_alone(pieces, claim_next, &next);
        if (next != pieces) return false;
    }
    return true;
}

/* What part 0 of three gets of ten pieces if the others get none. */
static bool claims_in_order(void) {
    static const int expected[] = {0, 1, 2, 9, 5, 8, 4, 7, 3, 6};
    dn_range each[3];
    dn_ranges ranges = {.each = each, .parts = 3};
    dn_ranges_begin(&ranges, 10);
    int piece;
    for (int i = 0; i < 10; ++i)
        if (!dn_range_claim(&ranges, 0, &piece) || piece != expected[i]) return false;
    return !dn_range_claim(&ranges, 0, &piece) && !dn_range_claim(&ranges, 1, &piece);
}

int main(void) {
    check(run_all(1) == 0, "one thread does its part in each run");
    check(run_all(2) >= 0, "two threads do each part once in each run");
    check(run_all(5) >= 0, "five threads do each part once in each run");
    check(run_all(MOST) > 0, "the caller does parts that no worker has begun");
    check(wakes_free(2) && wakes_free(5), "workers that slept may run wherever they might before");
    check(claims_once(1), "one thread claims each piece once");
    check(claims_once(2), "two threads claim each piece once");
    check(claims_once(5), "five threads claim each piece once");
    check(claims_alone(), "a caller alone does all pieces in order");
    check(claims_in_order(),
          "pieces come from the front of one's own range, then from the end of the longest");
    return failures != 0;
}
