/* test_borrowed.c - contexts that borrow the program's threads: pools of every kind, good ones and ones that run the
 * parts too late, too few at a time, or not at all. None changes a bit of a result, and none can make a call hang.
 * Means most under ThreadSanitizer. */
#define _GNU_SOURCE /* sched_getaffinity */
#include "cpu/cpu.h"
#include "harness.h"
#include "train.h"

#include <fenv.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* which takes stack of its own */
#endif

enum { PARTS = 4, WORKERS = 4, JOBS = 64 };

/* ---- a pool with a queue ----------------------------------------------------------------------------------------- */

/* What the calling thread does while its parts run; DROPS: takes back what nobody has begun. */
typedef enum caller { WAITS, HELPS, DROPS } caller;

typedef struct pool_row {
  const char *name;
  rondo_parallel_for *parallel_for;
  int most;      /* parts at once */
  int workers;   /* of a team; 0: it is none */
  caller caller; /* and so is the rest */
  int last_first;
  long late; /* nanoseconds that every second part comes later */
} pool_row;

/* The parts of one call that have not returned. */
typedef struct crowd {
  int left;
} crowd;

typedef struct job {
  rondo_task *task;
  void *context;
  int part;
  crowd *crowd;
} job;

typedef struct team {
  const pool_row *row;
  pthread_mutex_t mutex;
  pthread_cond_t changed;
  job jobs[JOBS];
  int count, ended, started;
  pthread_t threads[WORKERS];
} team;

static _Thread_local int in_call; /* this thread is in a call of the library */

/* Takes out a job of this crowd, NULL: any; 0: there is none. With the mutex held, as all that follows. */
static int take(team *t, const crowd *of, job *taken) {
  int found = -1;
  for (int i = 0; i < t->count && (found < 0 || t->row->last_first); i++)
    if (!of || t->jobs[i].crowd == of) found = i;
  if (found < 0) return 0;
  *taken = t->jobs[found];
  t->count--;
  memmove(&t->jobs[found], &t->jobs[found + 1], (size_t)(t->count - found) * sizeof(job));
  return 1;
}

/* As float_mode.h has it. */
static unsigned float_mode(void) {
#if defined(__x86_64__)
  return _mm_getcsr();
#else
  return 0;
#endif
}

/* The part's thread is as it was. */
static void run_job(team *t, const job *j) {
  pthread_mutex_unlock(&t->mutex);
  if (j->part % 2 && t->row->late) nanosleep(&(struct timespec){.tv_nsec = t->row->late}, NULL);
  unsigned before = float_mode();
  j->task(j->context, j->part);
  EXPECT(float_mode() == before, "%s: a part leaves float mode %x, it was %x", t->row->name, float_mode(), before);
  pthread_mutex_lock(&t->mutex);
  j->crowd->left--;
  pthread_cond_broadcast(&t->changed);
}

static void *work(void *pool) {
  team *t = pool;
  job j;
  fesetround(FE_UPWARD); /* the program's own affair */
  pthread_mutex_lock(&t->mutex);
  while (!t->ended) {
    if (take(t, NULL, &j))
      run_job(t, &j);
    else
      pthread_cond_wait(&t->changed, &t->mutex);
  }
  pthread_mutex_unlock(&t->mutex);
  return NULL;
}

static void share_out(team *t, caller how, int parts, rondo_task *task, void *context) {
  crowd own = {.left = parts};
  job j;
  pthread_mutex_lock(&t->mutex);
  for (int i = 0; i < parts; i++) t->jobs[t->count++] = (job){task, context, i, &own};
  pthread_cond_broadcast(&t->changed);
  if (how == DROPS && take(t, &own, &j)) run_job(t, &j);
  while (own.left > 0) {
    if (how != WAITS && take(t, &own, &j)) {
      if (how == DROPS)
        own.left--;
      else
        run_job(t, &j);
    } else {
      pthread_cond_wait(&t->changed, &t->mutex);
    }
  }
  pthread_mutex_unlock(&t->mutex);
}

static void with_team(void *pool, int parts, rondo_task *task, void *context) {
  team *t = pool;
  EXPECT(in_call, "%s: called on another thread, or outside of a call", t->row->name);
  share_out(t, t->row->caller, parts, task, context);
}

static void end_team(void *pool) {
  team *t = pool;
  pthread_mutex_lock(&t->mutex);
  t->ended = 1;
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->mutex);
  for (int i = 0; i < t->started; i++) pthread_join(t->threads[i], NULL);
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->mutex);
}

/* A team, or of a pool without threads the same with none; ended with the test. NULL, with the failure recorded. */
static team *make_team(const pool_row *row) {
  team *t = test_memory(sizeof *t);
  t->row = row;
  pthread_mutex_init(&t->mutex, NULL);
  pthread_cond_init(&t->changed, NULL);
  for (; t->started < row->workers; t->started++)
    if (!EXPECT(!pthread_create(&t->threads[t->started], NULL, work, t), "a thread cannot be started")) break;
  test_at_end(end_team, t);
  return t->started == row->workers ? t : NULL;
}

/* ---- pools without one ------------------------------------------------------------------------------------------- */

static void one_by_one(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool;
  for (int i = 0; i < parts; i++) task(context, i);
}

static void one_by_one_backwards(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool;
  for (int i = parts - 1; i >= 0; i--) task(context, i);
}

static void the_last_alone(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool;
  task(context, parts - 1);
}

static void none(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool, (void)parts, (void)task, (void)context;
}

static void *work_once(void *of) {
  job *j = of;
  j->task(j->context, j->part);
  return NULL;
}

/* Each part on a thread made for it, with little stack; the calling thread has no part. */
static void with_new_threads(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool;
  pthread_t threads[PARTS];
  job jobs[PARTS];
  int started = 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
#if !defined(SANITIZED)
  pthread_attr_setstacksize(&attributes, 64 << 10);
#endif
  for (; started < parts; started++) {
    jobs[started] = (job){task, context, started, NULL};
    if (pthread_create(&threads[started], &attributes, work_once, &jobs[started]) != 0) break;
  }
  for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
  pthread_attr_destroy(&attributes);
}

static const pool_row pools[] = {{"team", with_team, PARTS, WORKERS, WAITS, 0, 0},
                                 {"two_at_once", with_team, 2, 2, WAITS, 0, 0},
                                 {"one_at_once", with_team, 1, 1, WAITS, 0, 0},
                                 {"last_first", with_team, PARTS, WORKERS, WAITS, 1, 0},
                                 {"late", with_team, PARTS, WORKERS, WAITS, 0, 1000000},
                                 {"caller_helps", with_team, 3, 2, HELPS, 0, 0},
                                 {"caller_alone", with_team, 1, 0, HELPS, 0, 0},
                                 {"caller_drops", with_team, 3, 2, DROPS, 0, 0},
                                 {"caller_drops_all_but_one", with_team, 1, 0, DROPS, 1, 0},
                                 {"new_threads", with_new_threads, PARTS, 0, WAITS, 0, 0},
                                 {"one_by_one", one_by_one, 1, 0, WAITS, 0, 0},
                                 {"one_by_one_backwards", one_by_one_backwards, 1, 0, WAITS, 0, 0},
                                 {"the_last_alone", the_last_alone, 1, 0, WAITS, 0, 0},
                                 {"none", none, 1, 0, WAITS, 0, 0},
                                 {NULL, NULL, 0, 0, WAITS, 0, 0}};

/* ---- the pool of threads.h --------------------------------------------------------------------------------------- */

enum { CALLS = 20, BARRIERS = 20 };

typedef struct turns {
  rondo_pool *pool;
  int threads, taken[PARTS], behind; /* taken: written by its own thread, read by all after a barrier */
} turns;

static void take_turns(void *context, int thread) {
  turns *t = context;
  if (!EXPECT(thread >= 0 && thread < t->threads, "thread %d of %d", thread, t->threads)) return;
  for (int i = 0; i < BARRIERS; i++) {
    t->taken[thread]++;
    rondo_pool_barrier(t->pool);
    for (int other = 0; thread == 0 && other < t->threads; other++) t->behind += t->taken[other] != t->taken[0];
    rondo_pool_barrier(t->pool);
  }
}

static void destroy_pool(void *pool) {
  rondo_pool_destroy(pool);
}

/* In each call those that are in, and they alone, take all turns together. */
static void check_calls(const pool_row *row, turns *t) {
  for (int call = 0; call < CALLS; call++) {
    int asked = t->threads = 1 + call % PARTS, most = asked < row->most ? asked : row->most, wrong = 0;
    memset(t->taken, 0, sizeof t->taken);
    in_call = 1;
    rondo_pool_run(t->pool, &t->threads, take_turns, t);
    in_call = 0;
    for (int i = 0; i < PARTS; i++) wrong += t->taken[i] != (i < t->threads ? BARRIERS : 0);
    EXPECT(t->threads >= 1 && t->threads <= most, "%s: %d of %d work, at most %d can", row->name, t->threads, asked,
           most);
    EXPECT(!wrong && !t->behind, "%s: of %d threads %d have missed turns", row->name, t->threads, wrong);
  }
}

static void gate(const void *row_of_table) {
  const pool_row *row = row_of_table;
  turns t = {0};
  rondo_context_desc desc = {.threads = PARTS, .parallel_for = row->parallel_for, .pool = make_team(row)};
  if (!desc.pool || !EXPECT_OK(rondo_pool_create(&t.pool, &desc))) return;
  test_at_end(destroy_pool, t.pool);
  check_calls(row, &t);
}

/* A pool that begins the parts together has them all work; not in each call, as a machine may have other work. */
static void all_work(const void *unused) {
  (void)unused;
  enum { SECONDS = 60 };
  static const pool_row row = {"pair", with_team, 2, 2, WAITS, 0, 0};
  turns t = {0};
  cpu_set_t cpus;
  if (!sched_getaffinity(0, sizeof cpus, &cpus) && CPU_COUNT(&cpus) < 2) SKIP("there is one processor");
  rondo_context_desc desc = {.threads = 2, .parallel_for = with_team, .pool = make_team(&row)};
  if (!desc.pool || !EXPECT_OK(rondo_pool_create(&t.pool, &desc))) return;
  test_at_end(destroy_pool, t.pool);
  time_t end = time(NULL) + SECONDS;
  int working = 0;
  in_call = 1;
  while (working < 2 && time(NULL) < end) {
    t.threads = 2;
    rondo_pool_run(t.pool, &t.threads, take_turns, &t);
    working = t.threads;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  in_call = 0;
  EXPECT(working == 2, "in %d seconds no call waited for its second thread", SECONDS);
}

/* ---- whole calls ------------------------------------------------------------------------------------------------- */

static const struct level_row {
  const char *name;
  rondo_isa isa;
} levels[] = {{"portable", RONDO_ISA_PORTABLE},       {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512},
              {"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX},   {NULL, 0}};

/* A context that shares out even the smallest layer. row NULL: with threads of its own, which begin in the mode of the
 * thread that starts them. */
static rondo_context *context_of(const struct level_row *level, int threads, const pool_row *row, team *t) {
  rondo_context_desc desc = {.backend = RONDO_CPU, .threads = threads, .max_isa = level->isa};
  if (row) desc.parallel_for = row->parallel_for, desc.pool = t;
  fesetround(FE_DOWNWARD);
  rondo_context *ctx = test_context_of(&desc);
  fesetround(FE_TONEAREST);
  if (!ctx) return NULL;
  rondo_cpu_state *state = ctx->state;
  state->costs = (rondo_cpu_costs){0};
  return ctx;
}

/* Every phase of a call; so many sequences that each thread has some of its own. */
static const char *const inferred[] = {"lstm:n1t9c3h70:h0",
                                       "lstm:n5t6c2h65l2:back",
                                       "lstm:n13t7c5h48:len:h0",
                                       "lstm:n17t5c9h49l2:time:len:h0:weights=bf16",
                                       "gru:n7t6c5h48:mask=holes:weights=bf16",
                                       "lstm:n13t7c5h70l2:bi:len:h0:weights=int8",
                                       "gru:n9t5c3h40:before:h0:head=5=softmax",
                                       "lstm:n9t4c5h19l2:mask=holes:h0:peephole:norm:proj=7:zoneout=0.1",
                                       "rnn:n17t5c9h65:bi=ave:mask=left",
                                       "gru:n5t6c7h33l2:bi:len:h0",
                                       "dense:n9t5c3h40:act=softmax",
                                       NULL};
static const char *const trained[] = {"lstm:n13t4c5h48:len:h0:peephole:proj=7",
                                      "lstm:n60t4c3h9:len:h0:norm:zoneoutc=0.2:dropout=0.3:rdropout=0.2",
                                      "gru:n9t3c9h40:mask=holes:norm:h0:dropout=0.3:rdropout=0.2:head=3=gelu",
                                      "gru:n60t4c3h9l2:bi:len:before",
                                      "rnn:n9t3c3h40:h0:rdropout=0.2",
                                      "dense:n9t5c3h40:act=gelu",
                                      NULL};

static test_outputs call_forward(const test_setup *s) {
  in_call = 1;
  test_outputs out = test_forward(s, &s->batch);
  in_call = 0;
  return out;
}

static int call_both(train_call *c, rondo_context *ctx, const problem_data *data, int recompute) {
  in_call = 1;
  int done = train(c, ctx, data, recompute);
  in_call = 0;
  return done;
}

/* The bits of a context of its own with one thread, and with PARTS, come from every pool, one call after another. */
static void forward(const void *of) {
  const struct level_row *level = of;
  for (const char *const *name = inferred; *name; name++) {
    const problem_data *data = test_data_named(*name);
    rondo_context *one = context_of(level, 1, NULL, NULL), *own = one ? context_of(level, PARTS, NULL, NULL) : NULL;
    test_setup s, b;
    if (!own || !test_set_up(&s, one, data, NULL) || !test_set_up(&b, own, data, NULL)) return;
    test_outputs expected = test_forward(&s, &s.batch), same = test_forward(&b, &b.batch);
    EXPECT(test_same_outputs(&s, &expected, &same), "%s: %d threads of its own differ from one", *name, PARTS);
    for (const pool_row *row = pools; row->name; row++) {
      team *t = make_team(row);
      rondo_context *ctx = t ? context_of(level, PARTS, row, t) : NULL;
      if (!ctx || !test_set_up(&b, ctx, data, NULL)) return;
      for (int i = 0; i < 3; i++) {
        test_outputs got = call_forward(&b);
        EXPECT(test_same_outputs(&s, &expected, &got), "%s: pool \"%s\" gives other bits in call %d", *name, row->name,
               i);
      }
    }
  }
}

static void forward_and_backward(const void *of) {
  const struct level_row *level = of;
  for (const char *const *name = trained; *name; name++)
    for (int recompute = 0; recompute < 2; recompute++) {
      const problem_data *data = test_data_named(*name);
      rondo_context *own = context_of(level, PARTS, NULL, NULL);
      train_call expected, got;
      if (!own || !train(&expected, own, data, recompute)) return;
      for (const pool_row *row = pools; row->name; row++) {
        team *t = make_team(row);
        rondo_context *ctx = t ? context_of(level, PARTS, row, t) : NULL;
        if (!ctx || !call_both(&got, ctx, data, recompute)) return;
        EXPECT(train_same(&expected, &got), "%s, recompute %d: pool \"%s\" gives other bits", *name, recompute,
               row->name);
      }
    }
}

static void graph(const void *row_of_table) {
  const pool_row *row = row_of_table;
  team *t = make_team(row);
  rondo_context *ctx = t ? context_of(levels, PARTS, row, t) : NULL;
  rondo_graph *frozen = NULL;
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n3t6c7h33:h0"), NULL)) return;
  test_outputs expected = call_forward(&s);
  buffer_poison(ctx, s.batch.y, s.y_count);
  if (!EXPECT_OK(rondo_graph_create(&frozen, s.plan, ctx, &s.batch))) return;
  in_call = 1;
  EXPECT_OK(rondo_graph_launch(frozen, ctx));
  in_call = 0;
  test_outputs got = test_download(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &expected, &got), "pool \"%s\" gives other bits", row->name);
  rondo_graph_destroy(frozen);
}

/* ---- a server ---------------------------------------------------------------------------------------------------- */

enum { REQUESTS = 3, ROUNDS = 25 };

typedef struct request {
  test_setup s;
  test_outputs expected;
  int wrong;
} request;

static void serve(void *requests, int index) {
  request *r = (request *)requests + index;
  in_call = 1;
  for (int i = 0; i < ROUNDS; i++) {
    EXPECT_OK(rondo_forward(r->s.plan, r->s.ctx, &r->s.batch));
    r->wrong += !test_same_bits(r->s.batch.y, r->expected.y, r->s.y_count);
  }
  in_call = 0;
}

/* Threads of the pool compute themselves, and borrow from the same pool, which is too small for all. */
static void server(const void *unused) {
  (void)unused;
  static const pool_row rows[] = {{"helps", with_team, PARTS, 2, HELPS, 0, 0},
                                  {"drops", with_team, PARTS, 2, DROPS, 0, 0}};
  for (int k = 0; k < 2; k++) {
    request *requests = test_memory(REQUESTS * sizeof *requests);
    team *t = make_team(&rows[k]);
    for (int i = 0; t && i < REQUESTS; i++) {
      request *r = &requests[i];
      rondo_context *ctx = context_of(levels, PARTS, &rows[k], t);
      if (!ctx || !test_set_up(&r->s, ctx, test_data_named("lstm:n3t9c7h33l2:h0"), NULL)) return;
      r->expected = call_forward(&r->s);
    }
    if (!t) return;
    share_out(t, WAITS, REQUESTS, serve, requests);
    for (int i = 0; i < REQUESTS; i++)
      EXPECT(!requests[i].wrong, "request %d had other bits %d times", i, requests[i].wrong);
  }
}

/* ---- a context with such a pool ---------------------------------------------------------------------------------- */

static int threads_of_process(void) {
  int threads = 0;
  char line[256];
  FILE *file = fopen("/proc/self/status", "r");
  while (file && fgets(line, sizeof line, file)) sscanf(line, "Threads: %d", &threads);
  if (file) fclose(file);
  return threads;
}

/* It starts no thread, says whose it has, and asks for none where there is nothing to share. */
static void starts_none(const void *unused) {
  (void)unused;
  static const pool_row row = {"never called", with_team, 0, 0, WAITS, 0, 0};
  team *t = make_team(&row);
  int before = threads_of_process();
  rondo_context_desc desc = {.backend = RONDO_CPU, .threads = 64, .parallel_for = with_team, .pool = t};
  rondo_context *ctx = t ? test_context_of(&desc) : NULL;
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n1t1c1h1"), NULL)) return;
  EXPECT(threads_of_process() == before, "%d threads before, %d now", before, threads_of_process());
  EXPECT(strstr(rondo_context_text(ctx), ", 64 threads of the caller's pool"), "\"%s\"", rondo_context_text(ctx));
  EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch)); /* with_team would complain */
  desc.threads = 1;
  ctx = test_context_of(&desc);
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n100t4c5h130"), NULL)) return;
  EXPECT(strstr(rondo_context_text(ctx), ", 1 thread") && !strstr(rondo_context_text(ctx), "pool"), "\"%s\"",
         rondo_context_text(ctx));
  EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
}

static void misuse(const void *unused) {
  (void)unused;
  int pool;
  rondo_context *ctx = NULL;
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.parallel_for = none}));
  EXPECT(!ctx && !strcmp(rondo_last_error(),
                         "rondo_context_create: threads is 0, but parallel_for needs a number of at least 1"),
         "the sentence is \"%s\"", rondo_last_error());
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.threads = 2, .pool = &pool}));
  EXPECT(!ctx && !strcmp(rondo_last_error(), "rondo_context_create: pool is given, but parallel_for is NULL"),
         "the sentence is \"%s\"", rondo_last_error());
  rondo_context_desc fine = {.backend = RONDO_REFERENCE, .threads = 2, .parallel_for = none, .pool = &pool};
  if (EXPECT_OK(rondo_context_create(&ctx, &fine))) rondo_context_destroy(ctx);
}

/* 0: the child of a fork has used and ended the parent's context, with the same bits. */
static int child_of(const test_setup *s, const test_outputs *expected) {
  pid_t child = fork();
  if (child == 0) {
    int failed =
        rondo_forward(s->plan, s->ctx, &s->batch) != RONDO_OK || !test_same_bits(s->batch.y, expected->y, s->y_count);
    rondo_context_destroy(s->ctx);
    _exit(failed);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

/* A context without threads of its own survives, as its pool does here. */
static void forked(const void *unused) {
  (void)unused;
  static const pool_row row = {"one_by_one", one_by_one, 1, 0, WAITS, 0, 0};
  for (int i = 0; i < 2; i++) {
    rondo_context *ctx = i ? context_of(levels, PARTS, &row, NULL) : context_of(levels, 1, NULL, NULL);
    test_setup s;
    if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n3t5c7h33l2:h0"), NULL)) return;
    test_outputs expected = test_forward(&s, &s.batch);
    buffer_poison(ctx, s.batch.y, s.y_count);
    int status = child_of(&s, &expected);
    EXPECT(!status, "the child ends with status %d, %s", status, i ? "a borrowed pool" : "one thread");
    test_outputs after = test_forward(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &expected, &after), "the parent gets other bits afterwards");
  }
}

#define POOL_TEST(name)                                                                                                \
  { #name, name, TEST_TABLE(pools) }
#define LEVEL_TEST(name)                                                                                               \
  { #name, name, TEST_TABLE(levels) }
#define PLAIN_TEST(name)                                                                                               \
  { #name, name, NULL, 0 }

const test_suite test_borrowed = {"Borrowed", TEST_ONCE,
                                  (const test_row[]){POOL_TEST(gate),
                                                     POOL_TEST(graph),
                                                     LEVEL_TEST(forward),
                                                     LEVEL_TEST(forward_and_backward),
                                                     PLAIN_TEST(all_work),
                                                     PLAIN_TEST(server),
                                                     PLAIN_TEST(starts_none),
                                                     PLAIN_TEST(misuse),
                                                     PLAIN_TEST(forked),
                                                     {0}}};
