/* test_thread_pool.c - the pool of src/base/threads.h: every part is done once in each run, and the caller
 * does those that no worker has begun. Also for the thread sanitiser (make tsan). */
#include "../../src/base/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

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

int main(void) {
    check(run_all(1) == 0, "one thread does its part in each run");
    check(run_all(2) >= 0, "two threads do each part once in each run");
    check(run_all(5) >= 0, "five threads do each part once in each run");
    check(run_all(MOST) > 0, "the caller does parts that no worker has begun");
    return failures != 0;
}
