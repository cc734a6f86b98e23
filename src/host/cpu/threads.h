/* threads.h - a pool of threads that work on one call together, with a barrier that costs less than a microsecond. */
#ifndef RONDO_CPU_THREADS_H
#define RONDO_CPU_THREADS_H

#include "rondo/rondo.h"

typedef struct rondo_pool rondo_pool;

enum { RONDO_GROUPS = 2 }; /* that the threads of a call may fall into */

/* A pool of desc->threads, of which the caller of rondo_pool_run is one and the others are started here; with
 * desc->parallel_for none is, and threads are borrowed for each call. */
rondo_status rondo_pool_create(rondo_pool **pool, const rondo_context_desc *desc);
void rondo_pool_destroy(rondo_pool *pool);
int rondo_pool_threads(const rondo_pool *pool);

/* Runs task(context, i) for i in 0..*threads-1, each on a thread of its own, and returns when all have returned.
 * *threads is at most the pool's; where threads are borrowed it becomes the number of those that have come, before a
 * task begins. The caller is in the library's float mode, and so are the tasks. Allocates nothing. */
void rondo_pool_run(rondo_pool *pool, int *threads, rondo_task *task, void *context);

/* For tasks of the running call: returns when all its threads have come here. */
void rondo_pool_barrier(rondo_pool *pool);

/* The same for `threads` of them, which are group `group` of the call: each of these says so. A group of one does not
 * wait. */
void rondo_pool_group_barrier(rondo_pool *pool, int group, int threads);

#endif
