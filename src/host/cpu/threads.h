/* threads.h - a pool of threads that work on one call together, with a barrier that costs less than a microsecond. */
#ifndef RONDO_CPU_THREADS_H
#define RONDO_CPU_THREADS_H

#include "rondo/rondo.h"

typedef struct rondo_pool rondo_pool;

/* A pool of `threads`, of which the caller of rondo_pool_run is one and the others are started here. */
rondo_status rondo_pool_create(rondo_pool **pool, int threads);
void rondo_pool_destroy(rondo_pool *pool);
int rondo_pool_threads(const rondo_pool *pool);

/* Runs task(context, i) for i in 0..threads-1, each on a thread of its own (0: the caller), and returns when all have
 * returned. threads is at most the pool's. Allocates nothing. */
void rondo_pool_run(rondo_pool *pool, int threads, void (*task)(void *context, int thread), void *context);

/* For tasks of the running call: returns when all its threads have come here. */
void rondo_pool_barrier(rondo_pool *pool);

#endif
