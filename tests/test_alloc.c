/* test_alloc.c - rondo_forward allocates nothing on the host, in no thread: malloc and its relatives are replaced in
 * this program by ones that count. (What CUDA is asked for is counted in test_cuda.c.) */
#include "cpu/cpu.h"
#include "harness.h"
#include "train.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* the sanitizer has replaced them already */
#endif

static atomic_long calls; /* of any allocation function, by any thread */

#if defined(__GLIBC__) && !defined(SANITIZED)
#define COUNTED 1
/* glibc's own names for the functions that are replaced here. */
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);
extern void __libc_free(void *memory);

#define EXPORTED __attribute__((visibility("default")))

static void count(void) {
  atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

EXPORTED void *malloc(size_t bytes) {
  count();
  return __libc_malloc(bytes);
}

EXPORTED void *calloc(size_t number, size_t bytes) {
  count();
  return __libc_calloc(number, bytes);
}

EXPORTED void *realloc(void *memory, size_t bytes) {
  count();
  return __libc_realloc(memory, bytes);
}

EXPORTED void *aligned_alloc(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}

EXPORTED void *memalign(size_t alignment, size_t bytes) {
  count();
  return __libc_memalign(alignment, bytes);
}

EXPORTED int posix_memalign(void **memory, size_t alignment, size_t bytes) {
  count();
  *memory = __libc_memalign(alignment, bytes);
  return *memory ? 0 : ENOMEM;
}

EXPORTED void free(void *memory) {
  if (memory) count();
  __libc_free(memory);
}
#else
#define COUNTED 0
#endif

static void counter_counts(const void *unused) {
  (void)unused;
  if (!COUNTED) SKIP("a sanitizer, or another C library than glibc, has its own malloc");
  long before = atomic_load(&calls);
  void *volatile memory[3] = {malloc(1), calloc(1, 1), aligned_alloc(64, 64)};
  memory[0] = realloc(memory[0], 100);
  for (int i = 0; i < 3; i++) free(memory[i]);
  long counted = atomic_load(&calls) - before;
  EXPECT(counted == 7, "7 calls were made, %ld counted", counted);
}

/* Not even the first call of a context allocates: what it needs came with the context, the plan or the workspace; but
 * where rows must be ordered or slots looked up, the context grows on its first such call. */
static void forward_allocates_nothing(const void *name) {
  if (!COUNTED) SKIP("a sanitizer, or another C library than glibc, has its own malloc");
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  rondo_batch wrong = s.batch;
  wrong.timesteps = 0;
  int grows = s.batch.lengths || s.batch.mask || s.batch.slots;
  rondo_status status[4] = {RONDO_OK, RONDO_OK, RONDO_OK, RONDO_OK};
  if (grows) status[3] = rondo_forward(s.plan, ctx, &s.batch);
  EXPECT(status[3] == RONDO_OK, "%s", rondo_status_name(status[3]));
  long before = atomic_load(&calls);
  for (int i = 0; i < 3; i++) status[i] = rondo_forward(s.plan, ctx, &s.batch);
  status[3] = rondo_forward(s.plan, ctx, &wrong);
  long counted = atomic_load(&calls) - before;
  for (int i = 0; i < 3; i++) EXPECT(status[i] == RONDO_OK, "%s", rondo_status_name(status[i]));
  EXPECT(status[3] == RONDO_INVALID_ARGUMENT, "%s", rondo_status_name(status[3]));
  EXPECT(counted == 0, "four calls of rondo_forward made %ld calls of malloc, free or their like", counted);
}

/* Nor does launching a graph. */
static void launch_allocates_nothing(const void *name) {
  if (!COUNTED) SKIP("a sanitizer, or another C library than glibc, has its own malloc");
  rondo_context *ctx = test_context();
  test_setup s;
  rondo_graph *graph = NULL;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, ctx, &s.batch))) return;
  EXPECT_OK(rondo_graph_launch(graph, ctx)); /* see above */
  long before = atomic_load(&calls);
  rondo_status first = rondo_graph_launch(graph, ctx), second = rondo_graph_launch(graph, ctx);
  long counted = atomic_load(&calls) - before;
  rondo_graph_destroy(graph);
  EXPECT(first == RONDO_OK && second == RONDO_OK, "%s, %s", rondo_status_name(first), rondo_status_name(second));
  EXPECT(counted == 0, "two launches made %ld calls of malloc, free or their like", counted);
}

/* Nor does training. */
static void training_allocates_nothing(const void *name) {
  if (!COUNTED) SKIP("a sanitizer, or another C library than glibc, has its own malloc");
  rondo_context *ctx = test_context();
  train_call c;
  if (!ctx || !train_set_up(&c, ctx, test_data_named(name), 1)) return;
  const test_setup *s = &c.setup;
  if (s->batch.lengths || s->batch.mask || s->batch.slots) EXPECT_OK(rondo_forward(s->plan, ctx, &s->batch));
  long before = atomic_load(&calls);
  rondo_status forward = rondo_forward(s->plan, ctx, &s->batch);
  rondo_status backward = rondo_backward(s->plan, ctx, &s->batch);
  long counted = atomic_load(&calls) - before;
  EXPECT(forward == RONDO_OK, "%s", rondo_status_name(forward));
  EXPECT(backward == RONDO_OK, "%s", rondo_status_name(backward));
  EXPECT(counted == 0, "forward and backward made %ld calls of malloc, free or their like", counted);
}

static void one_by_one(void *pool, int parts, rondo_task *task, void *context) {
  (void)pool;
  for (int i = 0; i < parts; i++) task(context, i);
}

/* Nor do calls with borrowed threads. */
static void borrowing_allocates_nothing(const void *name) {
  if (!COUNTED) SKIP("a sanitizer, or another C library than glibc, has its own malloc");
  rondo_context_desc desc = test_here()->desc;
  if (desc.backend != RONDO_CPU || desc.threads < 2) return;
  desc.parallel_for = one_by_one;
  rondo_context *ctx = test_context_of(&desc);
  train_call c;
  if (!ctx) return;
  rondo_cpu_state *state = ctx->state;
  state->costs = (rondo_cpu_costs){0}; /* so that there is something to share */
  if (!train_set_up(&c, ctx, test_data_named(name), 0)) return;
  EXPECT_OK(rondo_forward(c.setup.plan, ctx, &c.setup.batch)); /* see above */
  long before = atomic_load(&calls);
  rondo_status forward = rondo_forward(c.setup.plan, ctx, &c.setup.batch);
  rondo_status backward = rondo_backward(c.setup.plan, ctx, &c.setup.batch);
  long counted = atomic_load(&calls) - before;
  EXPECT(forward == RONDO_OK && backward == RONDO_OK, "%s, %s", rondo_status_name(forward),
         rondo_status_name(backward));
  EXPECT(counted == 0, "forward and backward made %ld calls of malloc, free or their like", counted);
}

static const char *const shapes[] = {"lstm:n1t1c1h1",
                                     "lstm:n3t6c7h9:strided:h0",
                                     "lstm:n17t40c33h48l3",
                                     "lstm:n1t300c5h130:back",
                                     "lstm:n5t6c7h9l2:bi:len:h0:slots:restart",
                                     "lstm:n5t6c7h9:mask=holes:peephole:norm:proj=5:head=3=softmax",
                                     "gru:n5t6c7h33:h0:restart",
                                     "rnn:n5t6c7h33:bi:mask=left",
                                     "dense:n5t6c7h33",
                                     "lstm:n5t6c7h33:len:h0:proj=5:weights=f16",
                                     "gru:n9t6c7h9:before:weights=bf16",
                                     "lstm:n9t6c7h33l2:len:h0:weights=int8",
                                     NULL};
static const char *const trained[] = {"lstm:n3t4c5h7l2:bi:len:h0:slots:dropout=0.3:rdropout=0.3:ldropout=0.3",
                                      "lstm:n17t40c33h48:norm:peephole:proj=5:head=3=softmax",
                                      "gru:n5t6c7h33:before:mask=holes:h0:rdropout=0.5",
                                      "gru:n5t6c7h33:bi=mul:norm:dropout=0.5",
                                      "rnn:n5t6c7h33:h0:dropout=0.5:rdropout=0.5",
                                      "dense:n5t6c7h33",
                                      NULL};

const test_suite test_alloc_counter = {
    "AllocCounter", TEST_ONCE, (const test_row[]){{"counter_counts", counter_counts, NULL, 0}, {NULL, NULL, NULL, 0}}};

const test_suite test_alloc = {
    "Alloc", TEST_REFERENCE | TEST_CPU,
    (const test_row[]){{"forward_allocates_nothing", forward_allocates_nothing, TEST_TABLE(shapes)},
                       {"launch_allocates_nothing", launch_allocates_nothing, TEST_TABLE(shapes)},
                       {"training_allocates_nothing", training_allocates_nothing, TEST_TABLE(trained)},
                       {"borrowing_allocates_nothing", borrowing_allocates_nothing, TEST_TABLE(trained)},
                       {NULL, NULL, NULL, 0}}};
