/* targets.h - what tests of the CPU backend's operations share: each operation runs on 1, 2 and 3 threads,
 * whose results must be the same bits, and its result is compared with a plain loop. */
#ifndef DN_TEST_TARGETS_H
#define DN_TEST_TARGETS_H

#include "reference.h"

enum { THREADS = 3 };
static dn_device *devices[THREADS];
static const dn_ops *const ops = &dn_ops_cpu;

/* One array that an operation writes: its start value, and what it should become. */
typedef struct target {
    const char *name;
    size_t count;
    float *start, *want, *got[THREADS];
} target;

static target target_new(const char *name, size_t count, float spread) {
    target t = {.name = name, .count = count, .start = numbers(count, spread)};
    t.want = copied(t.start, count);
    for (int i = 0; i < THREADS; ++i) t.got[i] = copied(t.start, count);
    return t;
}

static void target_check(target *t, double slack) {
    for (int i = 1; i < THREADS; ++i)
        if (t->count && memcmp(t->got[0], t->got[i], t->count * sizeof(float)) != 0) {
            printf("FAIL %s: %d threads give other bits than one\n", t->name, i + 1);
            failures++;
        }
    report("cpu", t->name, (int)t->count, array_distance(t->got[0], t->want, t->count) / slack);
    dn_free(t->start), dn_free(t->want);
    for (int i = 0; i < THREADS; ++i) dn_free(t->got[i]);
}

#define ON_EVERY_DEVICE(t) for (int t = 0; t < THREADS; ++t)

static bool open_devices(void) {
    ON_EVERY_DEVICE(t)
    if (ops->open(&devices[t], t + 1) != DN_OK) {
        printf("FAIL open with %d threads\n", t + 1);
        return false;
    }
    return true;
}

static void close_devices(void) {
    ON_EVERY_DEVICE(t) ops->close(devices[t]);
}

#endif
