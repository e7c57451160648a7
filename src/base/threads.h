/* threads.h - a small pool of workers. A task has a part for each; what a part computes is either a slice
 * that depends on the number of parts only, or pieces that it claims while others compute theirs. Workers
 * spin briefly, then sleep. */
#ifndef DN_THREADS_H
#define DN_THREADS_H

#include "base.h"

#include <stdatomic.h>

/* What is left of a part's pieces: the first in the upper half, the end in the lower. On a line of its own:
 * others look at it only when their own is empty. */
typedef struct dn_range {
    _Alignas(64) atomic_uint_least64_t left;
} dn_range;

/* Pieces of a task, numbered from 0, each of which one part computes. Parts begin with neighbouring ranges of
 * equal length and take pieces from the front of their own; who has none left takes the last one of the range
 * that has most. So no part waits for longer than a piece, though one has a slower processor or other
 * programs beside it, and each has neighbours mostly. Who computes a piece is a matter of timing: results
 * must not depend on it. */
typedef struct dn_ranges {
    dn_range *each;
    int parts, pieces;
} dn_ranges;

void dn_ranges_begin(dn_ranges *ranges, int pieces);          /* nobody claims meanwhile */
bool dn_range_claim(dn_ranges *ranges, int part, int *piece); /* false: all pieces are claimed */

typedef struct dn_pool dn_pool;
typedef void (*dn_task)(void *context, int part, int parts);

dn_status dn_pool_create(dn_pool **out, int threads); /* threads >= 1, including the caller */
void dn_pool_free(dn_pool *pool);
int dn_pool_threads(const dn_pool *pool);
/* Runs task(context, part, parts) for every part and returns when all are done; the caller does part 0, and
 * then those that no worker has begun. One caller at a time. A task must not call dn_pool_run. */
void dn_pool_run(dn_pool *pool, dn_task task, void *context);
/* The same, of a task in pieces that its parts claim. */
typedef void (*dn_shared_task)(void *context, int part, dn_ranges *ranges);
void dn_pool_share(dn_pool *pool, int pieces, dn_shared_task task, void *context);
/* The same by the calling thread alone, without a pool. */
void dn_share_alone(int pieces, dn_shared_task task, void *context);
/* The slice [begin, end) of total that belongs to part, in whole multiples of grain. */
void dn_pool_slice(size_t total, size_t grain, int part, int parts, size_t *begin, size_t *end);

#endif
