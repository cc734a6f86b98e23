/* threads.c - the pool: words that threads wait on, one to start a call and one for each barrier.
 *
 * A recurrence has a barrier every few microseconds, so a waiting thread first spins; it sleeps when the wait gets
 * long, as on a machine with other work a spinning thread keeps away the very thread it waits for.
 *
 * Threads may also be the caller's own, borrowed for a call. How many of them run at once nobody knows beforehand, and
 * a barrier for one that never comes would hang. So they pass a gate: each counts itself in, and it closes when all
 * have come or when no other has for a while. Whoever is in works, and barriers are for these; who comes later returns
 * at once. As those that are in do all run, their barriers are passed whatever kind of pool it is. */
#include "cpu/threads.h"

#include "cpu/float_mode.h"
#include "error.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

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

/* Where threads wait for each other. */
typedef struct barrier {
  word passed;                       /* how often all have come */
  _Alignas(LINE) atomic_int arrived; /* those that have come since */
} barrier;

typedef struct worker {
  pthread_t thread;
  rondo_pool *pool;
  int index; /* 1 and above */
} worker;

struct rondo_pool {
  int threads;
  rondo_task *task;
  void *context;
  int working; /* threads of the running call */
  word start;  /* calls begun * CALL + threads of the last one; 0 threads: end */
  barrier all; /* of the running call */
  barrier group[RONDO_GROUPS];
  /* Borrowed threads. `start` is then 0 while the gate is open, and after that the number that work. */
  rondo_parallel_for *parallel_for; /* NULL: none */
  void *lender;
  int asked, *threads_in; /* of the running call */
  atomic_int came;        /* to the gate, and CLOSED */
  int started;            /* workers */
  worker workers[];
};

/* A sleeping thread wakes within some 20 to 70 us. */
enum { CLOSED = 1 << 16, PATIENCE = 100000 /* ns */ };

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

static void barrier_init(barrier *b) {
  word_init(&b->passed);
  atomic_init(&b->arrived, 0);
}

static void barrier_destroy(barrier *b) {
  word_destroy(&b->passed);
}

/* Comes to a barrier of so many threads without waiting; gives the number that `passed` has until all have come. */
static uint64_t arrive(barrier *b, int threads) {
  uint64_t before = atomic_load_explicit(&b->passed.value, memory_order_relaxed);
  if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) == threads - 1) {
    atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
    word_set(&b->passed, before + 1);
  }
  return before;
}

static void meet(barrier *b, int threads) {
  if (threads > 1) word_wait(&b->passed, arrive(b, threads));
}

void rondo_pool_barrier(rondo_pool *pool) {
  meet(&pool->all, pool->working);
}

void rondo_pool_group_barrier(rondo_pool *pool, int group, int threads) {
  meet(&pool->group[group], threads);
}

static void *work(void *argument) {
  worker *self = argument;
  rondo_pool *pool = self->pool;
  uint64_t seen = 0;
  rondo_enter_float_mode(); /* for good: it does nothing else */
  for (;;) {
    seen = word_wait(&pool->start, seen);
    int threads = (int)(seen % CALL);
    if (threads == 0) return NULL;
    if (self->index >= threads) continue;
    pool->task(pool->context, self->index);
    arrive(&pool->all, threads); /* after this the pool's fields belong to the next call */
  }
}

/* ---- borrowed threads -------------------------------------------------------------------------------------------- */

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void close_gate(rondo_pool *pool) {
  int came = atomic_fetch_or(&pool->came, CLOSED);
  if (came & CLOSED) return; /* by another */
  pool->working = *pool->threads_in = came;
  word_set(&pool->start, (uint64_t)came);
}

/* Gives the number of threads that work. */
static int wait_at_gate(rondo_pool *pool, int came) {
  int64_t since = now();
  for (int others; !((others = atomic_load(&pool->came)) & CLOSED); relax()) {
    if (others != came)
      came = others, since = now();
    else if (now() - since > PATIENCE)
      close_gate(pool);
  }
  return (int)word_wait(&pool->start, 0);
}

/* What parallel_for is given. When all have come, shares are by index: a pool that gives an index to the same thread
 * each time then gives it the same weights, which its core's cache may still hold. */
static void work_borrowed(void *context, int index) {
  rondo_pool *pool = context;
  int before = atomic_fetch_add(&pool->came, 1);
  if (before & CLOSED) return;
  assert(index >= 0 && index < pool->asked);
  if (before + 1 == pool->asked) close_gate(pool);
  int working = wait_at_gate(pool, before + 1);
  unsigned mode = rondo_enter_float_mode();
  pool->task(pool->context, working == pool->asked ? index : before);
  rondo_leave_float_mode(mode);
}

static void run_borrowed(rondo_pool *pool, int *threads) {
  pool->asked = *threads;
  pool->threads_in = threads;
  atomic_store(&pool->came, 0);
  atomic_store(&pool->start.value, 0);
  pool->parallel_for(pool->lender, *threads, work_borrowed, pool);
  if (atomic_fetch_add(&pool->came, 1) != 0) return;
  close_gate(pool); /* nobody came */
  pool->task(pool->context, 0);
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

static void run_own(rondo_pool *pool, int threads) {
  if (threads > 1) {
    uint64_t calls = atomic_load_explicit(&pool->start.value, memory_order_relaxed) / CALL;
    word_set(&pool->start, (calls + 1) * CALL + (uint64_t)threads);
  }
  pool->task(pool->context, 0);
  rondo_pool_barrier(pool);
}

void rondo_pool_run(rondo_pool *pool, int *threads, rondo_task *task, void *context) {
  pool->task = task;
  pool->context = context;
  pool->working = *threads;
  if (pool->parallel_for && *threads > 1)
    run_borrowed(pool, threads);
  else
    run_own(pool, *threads);
}

int rondo_pool_threads(const rondo_pool *pool) {
  return pool->threads;
}

/* ---- making and ending ------------------------------------------------------------------------------------------- */

void rondo_pool_destroy(rondo_pool *pool) {
  if (!pool) return;
  word_set(&pool->start, (atomic_load(&pool->start.value) / CALL + 1) * CALL);
  for (int i = 0; i < pool->started; i++) pthread_join(pool->workers[i].thread, NULL);
  word_destroy(&pool->start);
  barrier_destroy(&pool->all);
  for (int i = 0; i < RONDO_GROUPS; i++) barrier_destroy(&pool->group[i]);
  free(pool);
}

static void start_workers(rondo_pool *pool, int workers) {
  sigset_t all, before; /* signals are for the program's own threads */
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (pool->started < workers) {
    worker *w = &pool->workers[pool->started];
    w->pool = pool;
    w->index = pool->started + 1;
    if (pthread_create(&w->thread, NULL, work, w) != 0) break;
    pool->started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

rondo_status rondo_pool_create(rondo_pool **out, const rondo_context_desc *desc) {
  int threads = desc->threads, workers = desc->parallel_for ? 0 : threads - 1;
  size_t bytes = sizeof(rondo_pool) + (size_t)workers * sizeof(worker);
  rondo_pool *pool = aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE);
  if (!pool) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory for %d threads", threads);
  pool->threads = threads;
  pool->working = 1;
  pool->parallel_for = desc->parallel_for;
  pool->lender = desc->pool;
  pool->started = 0;
  word_init(&pool->start);
  barrier_init(&pool->all);
  for (int i = 0; i < RONDO_GROUPS; i++) barrier_init(&pool->group[i]);
  atomic_init(&pool->came, CLOSED);
  start_workers(pool, workers);
  if (pool->started < workers) {
    int failed = pool->started + 1;
    rondo_pool_destroy(pool);
    return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: thread %d of %d cannot be started", failed, threads);
  }
  *out = pool;
  return RONDO_OK;
}
