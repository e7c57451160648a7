/* threads.h - a small pool of workers with static partition: which part computes what depends on the number
 * of parts only, never on timing. Workers spin briefly, then sleep. */
#ifndef DN_THREADS_H
#define DN_THREADS_H

#include "base.h"

typedef struct dn_pool dn_pool;
typedef void (*dn_task)(void *context, int part, int parts);

dn_status dn_pool_create(dn_pool **out, int threads); /* threads >= 1, including the caller */
void dn_pool_free(dn_pool *pool);
int dn_pool_threads(const dn_pool *pool);
/* Runs task(context, part, parts) for every part and returns when all are done; the caller does part 0, and
 * then those that no worker has begun. One caller at a time. A task must not call dn_pool_run. */
void dn_pool_run(dn_pool *pool, dn_task task, void *context);
/* The slice [begin, end) of total that belongs to part, in whole multiples of grain. */
void dn_pool_slice(size_t total, size_t grain, int part, int parts, size_t *begin, size_t *end);

#endif
