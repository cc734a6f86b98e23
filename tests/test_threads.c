/* test_threads.c - one plan and one block of parameters for many threads, each with a context of its own; contexts and
 * plans that come and go; the number of threads and the results. Means most under ThreadSanitizer. */
#include "harness.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { THREADS = 4 };

/* Runs work in THREADS threads at once, each with its own element of jobs (job_bytes each). */
static void in_parallel(void *(*work)(void *job), void *jobs, size_t job_bytes) {
  pthread_t threads[THREADS];
  int started = 0;
  for (; started < THREADS; started++)
    if (!EXPECT(!pthread_create(&threads[started], NULL, work, (char *)jobs + (size_t)started * job_bytes),
                "thread %d cannot be started", started))
      break;
  for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

/* ---- Shared plan, shared parameters ------------------------------------------------------------------------------ */

typedef struct sharer {
  const test_setup *shared; /* its plan, params and inputs; not its context */
  rondo_context *ctx;
  rondo_batch batch; /* own outputs and workspace */
  int calls;
} sharer;

static void *call_forward(void *job) {
  const sharer *j = job;
  for (int i = 0; i < j->calls; i++) EXPECT_OK(rondo_forward(j->shared->plan, j->ctx, &j->batch));
  EXPECT_OK(rondo_synchronize(j->ctx));
  return NULL;
}

static int make_sharer(sharer *j, const test_setup *s) {
  *j = (sharer){.shared = s, .ctx = test_context(), .batch = s->batch, .calls = 50};
  if (!j->ctx) return 0;
  if (test_is_simt(j->ctx)) j->calls = 3;
  j->batch.workspace = buffer_new(j->ctx, rondo_plan_sizes(s->plan)->workspace);
  j->batch.y = buffer_output(j->ctx, s->y_count);
  j->batch.y_last = buffer_output(j->ctx, s->y_last_count);
  if (j->batch.h_n) j->batch.h_n = buffer_output(j->ctx, s->state_count);
  if (j->batch.c_n) j->batch.c_n = buffer_output(j->ctx, s->state_count);
  return 1;
}

static void shared_plan(const void *name) {
  rondo_context *ctx = test_context();
  test_setup s;
  sharer jobs[THREADS];
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs alone = test_forward(&s, &s.batch);
  for (int i = 0; i < THREADS; i++)
    if (!make_sharer(&jobs[i], &s)) return;
  in_parallel(call_forward, jobs, sizeof *jobs);
  for (int i = 0; i < THREADS; i++) {
    test_setup own = s;
    own.ctx = jobs[i].ctx;
    test_outputs out = test_download(&own, &jobs[i].batch);
    EXPECT(test_same_outputs(&s, &out, &alone), "thread %d got other bits than one thread alone", i);
  }
}

/* One context handed from thread to thread: any thread may use it, not two at once. */
static void *call_once(void *job) {
  sharer *j = job;
  EXPECT_OK(rondo_forward(j->shared->plan, j->ctx, &j->batch));
  EXPECT_OK(rondo_synchronize(j->ctx));
  return NULL;
}

static void context_changes_threads(const void *name) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs alone = test_forward(&s, &s.batch);
  sharer job = {.shared = &s, .ctx = ctx, .batch = s.batch};
  for (int i = 0; i < 5; i++) {
    pthread_t thread;
    if (!EXPECT(!pthread_create(&thread, NULL, call_once, &job), "a thread cannot be started")) return;
    pthread_join(thread, NULL);
    test_outputs out = test_download(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &out, &alone), "thread %d got other bits", i);
  }
}

/* ---- Storms ------------------------------------------------------------------------------------------------------ */

typedef struct stormer {
  const rondo_context_desc *desc;
  const test_setup *shared;
  int rounds, index;
} stormer;

/* Contexts and plans made, used (not every time) and destroyed; the block was packed by another context. */
static void *storm_rounds(void *job) {
  const stormer *j = job;
  const test_setup *s = j->shared;
  rondo_plan_desc plan_desc = problem_plan_desc(&s->data->problem);
  for (int i = 0; i < j->rounds; i++) {
    rondo_context *ctx = NULL;
    rondo_plan *plan = NULL;
    plan_desc.max_batch = s->data->problem.batch + i % 3;
    EXPECT_OK(rondo_context_create(&ctx, j->desc));
    EXPECT_OK(rondo_plan_create(&plan, ctx, &plan_desc));
    rondo_batch b = s->batch;
    float *y = ctx && plan ? rondo_alloc(ctx, s->y_count * sizeof(float)) : NULL;
    void *workspace = y ? rondo_alloc(ctx, rondo_plan_sizes(plan)->workspace) : NULL;
    b.y = y, b.workspace = workspace;
    b.y_last = b.h_n = b.c_n = NULL;
    if (EXPECT(workspace, "%s", rondo_last_error()) && (i + j->index) % 3) {
      EXPECT_OK(rondo_forward(plan, ctx, &b));
      EXPECT_OK(rondo_synchronize(ctx));
    }
    rondo_free(ctx, y);
    rondo_free(ctx, workspace);
    rondo_plan_destroy(plan);
    rondo_context_destroy(ctx);
  }
  return NULL;
}

static void storm(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  test_setup s;
  stormer jobs[THREADS];
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n3t4c5h17l2:h0"), NULL)) return;
  for (int i = 0; i < THREADS; i++)
    jobs[i] = (stormer){.desc = &test_here()->desc, .shared = &s, .rounds = test_is_simt(ctx) ? 3 : 40, .index = i};
  in_parallel(storm_rounds, jobs, sizeof *jobs);
}

/* ---- Each thread has its own last sentence ----------------------------------------------------------------------- */

typedef struct failer {
  int threads; /* an impossible number, different in each thread */
} failer;

static void *fail_often(void *job) {
  const failer *j = job;
  char word[32];
  snprintf(word, sizeof word, "threads %d ", j->threads);
  EXPECT(!*rondo_last_error(), "a new thread begins with \"%s\"", rondo_last_error());
  for (int i = 0; i < 200; i++) {
    rondo_context *ctx = NULL;
    EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.threads = j->threads}));
    EXPECT(strstr(rondo_last_error(), word), "\"%s\" is another thread's", rondo_last_error());
  }
  return NULL;
}

static void sentence_per_thread(const void *unused) {
  (void)unused;
  failer jobs[THREADS];
  for (int i = 0; i < THREADS; i++) jobs[i].threads = -1 - i;
  rondo_context *ctx = NULL;
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.device = -7}));
  in_parallel(fail_often, jobs, sizeof *jobs);
  EXPECT(strstr(rondo_last_error(), "device -7"), "other threads changed the sentence to \"%s\"", rondo_last_error());
}

/* ---- Number of threads ------------------------------------------------------------------------------------------- */

static const struct level_row {
  const char *name;
  rondo_isa isa;
} levels[] = {{"portable", RONDO_ISA_PORTABLE},       {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512},
              {"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX},   {NULL, 0}};

/* Bits do not depend on the number of threads, also where there is less work than threads. */
static void same_bits(const void *row) {
  const struct level_row *level = row;
  static const int counts[] = {1, 2, 3, 4, 7};
  static const char *const names[] = {"lstm:n1t3c2h1",
                                      "lstm:n1t9c5h33",
                                      "lstm:n3t6c7h9l2:h0",
                                      "lstm:n17t5c9h48:time",
                                      "lstm:n2t36c3h130",
                                      "lstm:n5t6c7h33:bi:len:h0:slots:restart",
                                      "lstm:n9t4c5h19l2:mask=holes:h0:peephole:norm:proj=7:zoneout=0.1",
                                      "gru:n7t5c9h48:len:h0",
                                      "gru:n3t6c7h17l2:back:before:head=5=softmax",
                                      "rnn:n17t5c9h65:bi=ave:mask=left",
                                      "lstm:n17t5c9h49l2:time:len:h0:weights=bf16",
                                      "gru:n9t6c7h35:before:h0:weights=bf16",
                                      "lstm:n17t5c9h49l2:time:len:h0:weights=int8",
                                      "gru:n9t6c7h35:before:h0:weights=int8",
                                      "dense:n9t4c5h33:act=softmax"};
  for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
    const problem_data *data = test_data_named(names[k]);
    test_outputs one = {0};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
      rondo_context *ctx =
          test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = counts[i], .max_isa = level->isa});
      test_setup s;
      if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
      test_outputs out = test_forward(&s, &s.batch);
      if (!i) one = out;
      EXPECT(test_same_outputs(&s, &out, &one), "%s: %d threads give other bits than one", names[k], counts[i]);
    }
  }
}

static const char *const shapes[] = {"lstm:n3t6c7h9:h0", "lstm:n9t5c5h33l2:strided",
                                     "gru:n5t6c7h9:bi:len:h0:slots:restart", NULL};

const test_suite test_threads = {
    "Threads", TEST_ALL,
    (const test_row[]){{"shared_plan", shared_plan, TEST_TABLE(shapes)},
                       {"context_changes_threads", context_changes_threads, TEST_TABLE(shapes)},
                       {"storm", storm, NULL, 0},
                       {NULL, NULL, NULL, 0}}};

const test_suite test_thread_counts = {"ThreadCounts", TEST_ONCE,
                                       (const test_row[]){{"same_bits", same_bits, TEST_TABLE(levels)},
                                                          {"sentence_per_thread", sentence_per_thread, NULL, 0},
                                                          {NULL, NULL, NULL, 0}}};
