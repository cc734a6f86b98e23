/* threads.c - the pool: two words that threads wait on, one to start a call and one for the barrier.
 *
 * A recurrence has a barrier every few microseconds, so a waiting thread first spins; it sleeps when the wait gets
 * long, as on a machine with other work a spinning thread keeps away the very thread it waits for. */
#include "cpu/threads.h"

#include "error.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SPINS = 2000, LINE = 64 }; /* some 20 to 70 us of spinning: the time a sleeping thread needs to wake */

/* A number to wait on. */
typedef struct word {
  _Alignas(LINE) atomic_uint_fast64_t value;
  atomic_int sleepers;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
} word;

typedef struct worker {
  pthread_t thread;
  rondo_pool *pool;
  int index; /* 1 and above */
} worker;

struct rondo_pool {
  int threads;
  void (*task)(void *context, int thread);
  void *context;
  int working;                       /* threads of the running call */
  word start;                        /* calls begun * CALL + threads of the last one; 0 threads: end */
  word passed;                       /* barriers passed */
  _Alignas(LINE) atomic_int arrived; /* at the next barrier */
  worker workers[];                  /* threads - 1 */
};

/* The number of threads travels in the word itself: a worker that sits a call out must not look at the pool's fields,
 * which may already be those of the next call. */
enum { CALL = 2048 };

static void relax(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void word_init(word *w) {
  atomic_init(&w->value, 0);
  atomic_init(&w->sleepers, 0);
  pthread_mutex_init(&w->mutex, NULL);
  pthread_cond_init(&w->changed, NULL);
}

static void word_destroy(word *w) {
  pthread_cond_destroy(&w->changed);
  pthread_mutex_destroy(&w->mutex);
}

/* Waits until the value is not `old`, and gives it. */
static uint64_t word_wait(word *w, uint64_t old) {
  uint64_t value;
  for (int i = 0; i < SPINS; i++) {
    value = atomic_load_explicit(&w->value, memory_order_acquire);
    if (value != old) return value;
    relax();
  }
  pthread_mutex_lock(&w->mutex);
  atomic_fetch_add(&w->sleepers, 1);
  while ((value = atomic_load(&w->value)) == old) pthread_cond_wait(&w->changed, &w->mutex);
  atomic_fetch_sub(&w->sleepers, 1);
  pthread_mutex_unlock(&w->mutex);
  return value;
}

/* Sequentially consistent: either this sees the sleeper, or the sleeper sees the new value before it sleeps. */
static void word_set(word *w, uint64_t value) {
  atomic_store(&w->value, value);
  if (!atomic_load(&w->sleepers)) return;
  pthread_mutex_lock(&w->mutex);
  pthread_cond_broadcast(&w->changed);
  pthread_mutex_unlock(&w->mutex);
}

/* Comes to the barrier without waiting; gives the number that `passed` has until all have come. */
static uint64_t arrive(rondo_pool *pool) {
  uint64_t before = atomic_load_explicit(&pool->passed.value, memory_order_relaxed);
  int others = pool->working - 1; /* read first: once all have come, the caller may begin another call */
  if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) == others) {
    atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
    word_set(&pool->passed, before + 1);
  }
  return before;
}

void rondo_pool_barrier(rondo_pool *pool) {
  if (pool->working > 1) word_wait(&pool->passed, arrive(pool));
}

static void *work(void *argument) {
  worker *self = argument;
  rondo_pool *pool = self->pool;
  uint64_t seen = 0;
  for (;;) {
    seen = word_wait(&pool->start, seen);
    int threads = (int)(seen % CALL);
    if (threads == 0) return NULL;
    if (self->index >= threads) continue;
    pool->task(pool->context, self->index);
    arrive(pool); /* after this the pool's fields belong to the next call */
  }
}

void rondo_pool_run(rondo_pool *pool, int threads, void (*task)(void *context, int thread), void *context) {
  pool->task = task;
  pool->context = context;
  pool->working = threads;
  if (threads > 1) {
    uint64_t calls = atomic_load_explicit(&pool->start.value, memory_order_relaxed) / CALL;
    word_set(&pool->start, (calls + 1) * CALL + (uint64_t)threads);
  }
  task(context, 0);
  rondo_pool_barrier(pool);
}

int rondo_pool_threads(const rondo_pool *pool) {
  return pool->threads;
}

static void join(rondo_pool *pool, int workers) {
  word_set(&pool->start, (atomic_load(&pool->start.value) / CALL + 1) * CALL);
  for (int i = 0; i < workers; i++) pthread_join(pool->workers[i].thread, NULL);
  word_destroy(&pool->start);
  word_destroy(&pool->passed);
  free(pool);
}

void rondo_pool_destroy(rondo_pool *pool) {
  if (pool) join(pool, pool->threads - 1);
}

static int start_workers(rondo_pool *pool) {
  int started = 0;
  while (started < pool->threads - 1) {
    worker *w = &pool->workers[started];
    w->pool = pool;
    w->index = started + 1;
    if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    started++;
  }
  return started;
}

rondo_status rondo_pool_create(rondo_pool **out, int threads) {
  size_t bytes = sizeof(rondo_pool) + (size_t)(threads - 1) * sizeof(worker);
  rondo_pool *pool = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
  if (!pool) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory for %d threads", threads);
  pool->threads = threads;
  pool->working = 1;
  word_init(&pool->start);
  word_init(&pool->passed);
  atomic_init(&pool->arrived, 0);
  sigset_t all, before; /* signals are for the program's own threads */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int started = start_workers(pool);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (started < threads - 1) {
    join(pool, started);
    return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: thread %d of %d cannot be started", started + 1,
                      threads);
  }
  *out = pool;
  return RONDO_OK;
}
