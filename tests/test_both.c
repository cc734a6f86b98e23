/* test_both.c - both directions of a layer at once, on groups of threads: the bits of one after the other. And the
 * model that chooses threads, and what overrules it. */
#include "cpu/cpu.h"
#include "harness.h"

#include <string.h>

static const struct level_row {
  const char *name;
  rondo_isa isa;
} levels[] = {{"portable", RONDO_ISA_PORTABLE},       {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512},
              {"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX},   {NULL, 0}};

/* ---- groups of the pool ------------------------------------------------------------------------------------------ */

enum { POOL = 4, BARRIERS = 40 };

typedef struct groups {
  rondo_pool *pool;
  int threads, first; /* of the first group */
  int turns[POOL], behind[POOL];
} groups;

/* The second group takes more turns than the first, and neither waits for the other. */
static void take_turns(void *context, int thread) {
  groups *g = context;
  int group = thread >= g->first, begin = group ? g->first : 0, end = group ? g->threads : g->first;
  for (int i = 0; i < BARRIERS * (1 + group); i++) {
    g->turns[thread]++;
    rondo_pool_group_barrier(g->pool, group, end - begin);
    for (int other = begin; other < end; other++) g->behind[thread] += g->turns[other] != g->turns[thread];
    rondo_pool_group_barrier(g->pool, group, end - begin);
  }
}

static void pool_groups(const void *unused) {
  (void)unused;
  groups g = {0};
  if (!EXPECT_OK(rondo_pool_create(&g.pool, &(rondo_context_desc){.threads = POOL}))) return;
  for (int call = 0; call < 12; call++) {
    g.threads = 2 + call % (POOL - 1);
    g.first = 1 + call % (g.threads - 1);
    memset(g.turns, 0, sizeof g.turns), memset(g.behind, 0, sizeof g.behind);
    rondo_pool_run(g.pool, &g.threads, take_turns, &g);
    for (int i = 0; i < POOL; i++) {
      int expected = i >= g.threads ? 0 : i < g.first ? BARRIERS : 2 * BARRIERS;
      EXPECT(g.turns[i] == expected && !g.behind[i], "call %d, %d of %d in the first group: thread %d took %d turns",
             call, g.first, g.threads, i, g.turns[i]);
    }
  }
  rondo_pool_destroy(g.pool);
}

/* ---- whole calls ------------------------------------------------------------------------------------------------- */

/* Where barriers are so dear, both directions at once are always less dear than one after the other. */
static rondo_context *context_of(const struct level_row *level, int threads) {
  rondo_context *ctx =
      test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = threads, .max_isa = level->isa});
  if (!ctx) return NULL;
  rondo_cpu_state *state = ctx->state;
  state->costs = (rondo_cpu_costs){.barrier = 1e9, .arrival = 1e9};
  return ctx;
}

static int says(const rondo_plan *plan, const char *what) {
  return strstr(rondo_plan_text(plan), what) != NULL;
}

/* Every place that the directions write beside each other, both forms of layers, steps of several rows and of one. */
static const char *const together[] = {"lstm:n1t9c3h70:bi:h0",
                                       "lstm:n5t6c2h65l2:bi:back:time",
                                       "lstm:n13t7c5h48:bi=separate:len:h0:strided",
                                       "gru:n7t6c5h48:bi:mask=holes:head=5=softmax",
                                       "gru:n6t7c3h40:bi:before:len:slots:restart:h0",
                                       "lstm:n9t4c5h19l2:bi:mask=left:h0:peephole:norm:proj=7",
                                       "rnn:n17t5c9h65:bi:zero:mask=left",
                                       "rnn:n3t1c9h20:bi:timeorder:back",
                                       "lstm:n17t5c9h49l2:bi:time:len:h0:weights=bf16",
                                       NULL};

static test_outputs run(const struct level_row *level, const problem_data *data, int threads, test_setup *s) {
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.threads = threads;
  rondo_context *ctx = context_of(level, threads);
  if (!ctx || !test_set_up(s, ctx, data, &desc)) return (test_outputs){0};
  EXPECT(says(s->plan, "on both directions at once as asked") == (threads > 1), "%d threads: \"%s\"", threads,
         rondo_plan_text(s->plan));
  return test_forward(s, &s->batch);
}

static void same_bits(const void *level) {
  for (const char *const *name = together; *name; name++) {
    const problem_data *data = test_data_named(*name);
    test_setup s;
    test_outputs one = run(level, data, 1, &s);
    for (int threads = 2; one.y && threads <= POOL; threads++) {
      test_outputs out = run(level, data, threads, &s);
      if (!out.y) return;
      EXPECT(test_same_outputs(&s, &out, &one), "%s: both directions on %d threads differ", *name, threads);
    }
  }
}

/* A state that is updated in place: each direction has rows of its own. */
static void in_place(const void *level) {
  const problem_data *data = test_data_named("lstm:n5t6c4h33l2:bi:len:h0");
  test_setup s;
  test_outputs out = run(level, data, 3, &s);
  if (!out.y) return;
  rondo_batch batch = s.batch;
  batch.h_n = (void *)batch.h_0, batch.c_n = (void *)batch.c_0;
  test_outputs same = test_forward(&s, &batch);
  EXPECT(test_same_outputs(&s, &out, &same), "with its state in place the result differs");
}

/* Directions of another cell and size each, which groups of another size each take. */
static void unlike(const void *level) {
  enum { N = 3, T = 5, C = 4, H = 16, BACK = 48 };
  float *numbers = test_memory(4 * (H + BACK + C) * (H + BACK) * sizeof *numbers), *y[4] = {NULL};
  for (size_t i = 0; i < 4 * (H + BACK + C) * (H + BACK); i++) numbers[i] = problem_random(test_seed(), 1, i);
  const rondo_layer back = {.cell = RONDO_GRU, .hidden_size = BACK};
  for (int threads = 1; threads <= POOL; threads++) {
    rondo_context *ctx = context_of(level, threads);
    rondo_plan_desc desc = {.layer = {.input_size = C, .hidden_size = H, .bidirectional = 1, .backward_layer = &back}};
    desc.max_batch = N, desc.max_timesteps = T, desc.threads = threads;
    rondo_plan *plan = ctx ? test_plan(ctx, &desc) : NULL;
    if (!plan) return;
    EXPECT(says(plan, "at once") == (threads > 1), "%d threads: \"%s\"", threads, rondo_plan_text(plan));
    const rondo_sizes *sizes = rondo_plan_sizes(plan);
    size_t count = (size_t)N * T * (H + BACK);
    rondo_batch b = {.batch = N, .timesteps = T, .params = buffer_new(ctx, sizes->params), .x = numbers};
    b.workspace = buffer_new(ctx, sizes->workspace), b.y = buffer_output(ctx, count);
    for (int d = 0; d < 2; d++)
      EXPECT_OK(rondo_pack(plan, ctx, (void *)b.params,
                           &(rondo_weights){.direction = d, .kernel = numbers, .recurrent_kernel = numbers + 100}));
    EXPECT_OK(rondo_forward(plan, ctx, &b));
    y[threads - 1] = buffer_download(ctx, NULL, b.y, count);
    EXPECT(test_same_bits(y[threads - 1], y[0], count), "%d threads give other bits than one", threads);
  }
}

typedef struct lender {
  int calls, parts;
} lender;

static void lend_one(void *pool, int parts, rondo_task *task, void *context) {
  lender *l = pool;
  l->calls++, l->parts = parts;
  task(context, 0);
}

/* The pool is asked once for a layer's two directions. */
static void one_call(const void *level_row) {
  const struct level_row *level = level_row;
  lender l = {0};
  rondo_context_desc desc = {.backend = RONDO_CPU, .threads = 2, .max_isa = level->isa, .pool = &l};
  desc.parallel_for = lend_one;
  rondo_context *ctx = test_context_of(&desc);
  if (!ctx) return;
  rondo_cpu_state *state = ctx->state;
  state->costs = (rondo_cpu_costs){.barrier = 1e9};
  test_setup s;
  if (!test_set_up(&s, ctx, test_data_named("lstm:n5t6c4h33l3:bi"), NULL)) return;
  EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
  EXPECT(l.calls == 3 && l.parts == 2, "three layers made %d calls for %d parts", l.calls, l.parts);
}

/* Sequences without a step give their initial state. */
static void empty(const void *level) {
  rondo_context *ctx = context_of(level, 2);
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n2t3c4h33:bi:h0"), NULL)) return;
  static const int32_t lengths[2] = {0, 0};
  rondo_batch batch = s.batch;
  batch.lengths = lengths;
  test_outputs out = test_forward(&s, &batch);
  EXPECT(test_same_bits(out.h_n, s.data->h_0, s.state_count), "h_n is not h_0");
  EXPECT(test_same_bits(out.c_n, s.data->c_0, s.state_count), "c_n is not c_0");
}

/* A plan of a context with one thread has no workspace for both; its guard bands would show. */
static void no_room(const void *level) {
  rondo_context *one = context_of(level, 1), *three = one ? context_of(level, 3) : NULL;
  test_setup s;
  if (!three || !test_set_up(&s, one, test_data_named("lstm:n5t6c4h33:bi:h0"), NULL)) return;
  test_outputs expected = test_forward(&s, &s.batch);
  s.ctx = three;
  test_outputs out = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &out, &expected), "a plan of one thread gives other bits on three");
}

/* The second direction of a sum reads what the first wrote. */
static void merged(const void *level) {
  rondo_context *ctx = context_of(level, 2);
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n5t6c4h33:bi=sum"), NULL)) return;
  EXPECT(!says(s.plan, "at once"), "\"%s\"", rondo_plan_text(s.plan));
}

/* ---- the model --------------------------------------------------------------------------------------------------- */

/* A millisecond's work of 64 parts, 100 barriers and weights of 64 KiB. */
static const rondo_cpu_work work = {
    .parts = 64, .products = 1e8, .rate = 100, .passes = 100, .weights = 65536, .waits = 100, .wakes = 1};
static const rondo_cpu_limits all = {1, 1000};

static int threads_for(rondo_cpu_costs costs, rondo_cpu_work of, rondo_cpu_limits limits) {
  return rondo_cpu_choose(&costs, &of, limits).threads;
}

static void choices(const void *unused) {
  (void)unused;
  EXPECT(threads_for((rondo_cpu_costs){0}, work, all) == 64, "what costs nothing is not shared by all");
  EXPECT(threads_for((rondo_cpu_costs){0}, work, (rondo_cpu_limits){1, 2}) == 2, "more threads than there are");
  EXPECT(threads_for((rondo_cpu_costs){0}, work, (rondo_cpu_limits){80, 80}) == 64, "more threads than parts");
  EXPECT(threads_for((rondo_cpu_costs){.wake_up = 2e6}, work, all) == 1, "threads are woken for less than that costs");
  EXPECT(threads_for((rondo_cpu_costs){.wake_up = 2e6}, work, (rondo_cpu_limits){3, 3}) == 3, "three were asked for");
  EXPECT(threads_for((rondo_cpu_costs){.barrier = 1e4}, work, all) == 1, "barriers cost more than is saved");
  EXPECT(threads_for((rondo_cpu_costs){.barrier = 4e3}, work, (rondo_cpu_limits){1, 2}) == 2, "two save 0.1 ms");
  /* 1e6 / P + 100 (100 + 1000 (P - 2)) is least for P = 3. */
  EXPECT(threads_for((rondo_cpu_costs){.barrier = 100, .arrival = 1000}, work, all) == 3, "a third pays, a fourth not");
  EXPECT(threads_for((rondo_cpu_costs){.arrival = 1e9}, work, all) == 2, "two threads pay for the arrival of a third");
  rondo_cpu_work five = work;
  five.parts = 5;
  rondo_cpu_work ahead = work;
  ahead.ahead = 1e8, ahead.products = 0;
  EXPECT(threads_for((rondo_cpu_costs){.wake_up = 4e5}, ahead, (rondo_cpu_limits){1, 2}) == 2, "two save 0.1 ms");
  EXPECT(threads_for((rondo_cpu_costs){.wake_up = 1}, five, (rondo_cpu_limits){1, 4}) == 3,
         "of five parts a thread has two, with three threads as with four");
}

/* Threads that are awake for one layer are so for the next. */
static void wakes(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = 2});
  rondo_plan_desc desc = {.layer = {.input_size = 64, .hidden_size = 64}, .max_batch = 1, .max_timesteps = 100};
  if (!ctx) return;
  rondo_cpu_state *state = ctx->state;
  rondo_plan *plan = test_plan(ctx, &desc);
  if (!plan) return;
  rondo_cpu_layout layout = rondo_cpu_layout_of(plan, &plan->direction[0], 64);
  rondo_cpu_work one = rondo_cpu_work_of(plan, &layout, 100, 100, 100);
  state->costs = (rondo_cpu_costs){0};
  double saved = rondo_cpu_choose(&state->costs, &one, (rondo_cpu_limits){1, 1}).time -
                 rondo_cpu_choose(&state->costs, &one, (rondo_cpu_limits){2, 2}).time;
  state->costs.wake_up = 2 * saved; /* pays for three layers, not for one */
  for (int layers = 1; layers <= 3; layers += 2) {
    desc.layer.num_layers = layers;
    rondo_plan *stack = test_plan(ctx, &desc);
    if (!stack) return;
    EXPECT(says(stack, layers == 1 ? ", 1 of 2 threads" : ", 2 of 2 threads"), "\"%s\"", rondo_plan_text(stack));
  }
}

/* No more threads than there are cores, but where they are asked for. */
static void cores(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = 5});
  rondo_plan_desc desc = {.layer = {.input_size = 512, .hidden_size = 512}, .max_batch = 8, .max_timesteps = 100};
  if (!ctx) return;
  rondo_cpu_state *state = ctx->state;
  state->costs = (rondo_cpu_costs){.cores = 3};
  for (desc.threads = 0; desc.threads <= 4; desc.threads += 4) {
    rondo_plan *plan = test_plan(ctx, &desc);
    if (!plan) return;
    EXPECT(says(plan, desc.threads ? ", 4 threads as asked" : ", 3 of 5 threads"), "\"%s\"", rondo_plan_text(plan));
  }
}

/* Halves of the weights that fit a cache are worth more than half of the time. */
static void cache(const void *unused) {
  (void)unused;
  rondo_cpu_work large = work;
  large.products = 0, large.waits = 0;
  rondo_cpu_costs costs = {.cache = 65536 / 2};
  double one = rondo_cpu_choose(&costs, &large, (rondo_cpu_limits){1, 1}).time;
  double two = rondo_cpu_choose(&costs, &large, (rondo_cpu_limits){2, 2}).time;
  EXPECT(two < 0.45 * one, "%g after %g", two, one);
  costs.cache = 0;
  one = rondo_cpu_choose(&costs, &large, (rondo_cpu_limits){1, 1}).time;
  two = rondo_cpu_choose(&costs, &large, (rondo_cpu_limits){2, 2}).time;
  EXPECT(two == 0.5 * one, "%g after %g", two, one);
}

/* Both directions at once where that saves barriers; not where each would have to read more than its cache holds. */
static void at_once(const void *unused) {
  (void)unused;
  rondo_cpu_work works[2] = {work, work};
  works[0].wakes = works[1].wakes = 0.5;
  rondo_cpu_limits two = {1, 2};
  rondo_cpu_choice choice = rondo_cpu_choose_both(&(rondo_cpu_costs){.barrier = 100, .wake_up = 1e4}, works, two);
  EXPECT(choice.both && choice.threads == 2 && choice.time == 1e6 + 1e4, "%d threads, %g", choice.threads, choice.time);
  choice = rondo_cpu_choose_both(&(rondo_cpu_costs){.wake_up = 3e6}, works, two);
  EXPECT(!choice.both && choice.threads == 1 && choice.time == 2e6, "%d threads, %g", choice.threads, choice.time);
  choice = rondo_cpu_choose_both(&(rondo_cpu_costs){0}, works, two);
  EXPECT(choice.both && choice.threads == 2, "where both ways take the same, %d threads and no groups", choice.threads);
  choice = rondo_cpu_choose_both(&(rondo_cpu_costs){0}, works, (rondo_cpu_limits){1, 1});
  EXPECT(!choice.both && choice.threads == 1, "%d threads of one", choice.threads);
  for (int d = 0; d < 2; d++) works[d].products = 0;
  choice = rondo_cpu_choose_both(&(rondo_cpu_costs){.cache = 32768, .barrier = 1}, works, two);
  EXPECT(!choice.both && choice.threads == 2, "%d threads, %g", choice.threads, choice.time);
}

/* Groups are as the work of the directions is, and never empty. */
static void group_sizes(const void *unused) {
  (void)unused;
  static const struct {
    double share;
    int threads, first;
  } rows[] = {{0.5, 2, 1}, {0.5, 4, 2}, {0.25, 4, 1}, {0.01, 2, 1}, {0.99, 2, 1}, {0.01, 8, 1}, {0.99, 8, 7}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int first = rondo_cpu_first_group(&(rondo_cpu_choice){.first_share = rows[i].share}, rows[i].threads);
    EXPECT(first == rows[i].first, "%d of %d threads for a share of %g", first, rows[i].threads, rows[i].share);
  }
}

/* ---- what is asked for ------------------------------------------------------------------------------------------- */

/* So many threads are borrowed as the plan says, whatever that costs. */
static void asked(const void *level_row) {
  const struct level_row *level = level_row;
  for (int training = 0; training < 2; training++)
    for (int threads = 1; threads <= POOL; threads++) {
      lender l = {0};
      rondo_context_desc context = {.backend = RONDO_CPU, .threads = POOL, .max_isa = level->isa, .pool = &l};
      context.parallel_for = lend_one;
      rondo_context *ctx = test_context_of(&context);
      const problem_data *data = test_data_named("lstm:n2t3c5h64");
      rondo_plan_desc desc = problem_plan_desc(&data->problem);
      desc.threads = threads, desc.training = training;
      test_setup s;
      if (!ctx || !test_set_up(&s, ctx, data, &desc)) return;
      if (training) s.batch.reserve = buffer_new(ctx, rondo_plan_sizes(s.plan)->reserve);
      EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
      EXPECT(threads == 1 ? !l.calls : l.parts == threads, "%d threads asked, %d parts", threads, l.parts);
      EXPECT(says(s.plan, threads == 1 ? ", 1 thread as asked," : " threads as asked,"), "\"%s\"",
             rondo_plan_text(s.plan));
    }
}

/* What is chosen is said with a reason: the other choice's time. */
static void reasons(const void *level_row) {
  const struct level_row *level = level_row;
  static const char *const names[] = {"lstm:n1t1c2h2", "lstm:n64t50c512h512"};
  for (int i = 0; i < 2; i++) {
    const problem p = test_data_named(names[0])->problem;
    rondo_plan_desc desc = problem_plan_desc(&p);
    if (i) desc.layer.input_size = desc.layer.hidden_size = 512, desc.max_batch = 64, desc.max_timesteps = 50;
    rondo_context *one = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .max_isa = level->isa});
    rondo_context *two =
        test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = 2, .max_isa = level->isa});
    rondo_plan *of_one = one ? test_plan(one, &desc) : NULL, *of_two = two ? test_plan(two, &desc) : NULL;
    if (!of_one || !of_two) return;
    EXPECT(says(of_one, ", 1 thread, "), "\"%s\"", rondo_plan_text(of_one));
    EXPECT(says(of_two, i ? ", 2 of 2 threads: " : ", 1 of 2 threads: ") && says(of_two, " ms by the model, ") &&
               says(of_two, i ? ", 1 takes " : ", 2 take "),
           "\"%s\"", rondo_plan_text(of_two));
  }
}

/* A plan that asks for more threads than a context has is refused when it is made, and when it comes from another. */
static void too_many(const void *unused) {
  (void)unused;
  rondo_context *one = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU});
  rondo_context *two = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = 2});
  rondo_plan_desc desc = {.layer = {.input_size = 1, .hidden_size = 1}, .max_batch = 1, .max_timesteps = 1};
  rondo_plan *plan = NULL;
  static const int wrong[] = {-1, 3};
  if (!one || !two) return;
  for (int i = 0; i < 2; i++) {
    desc.threads = wrong[i];
    EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, two, &desc));
    EXPECT(
        !plan && !strcmp(rondo_last_error(), i ? "rondo_plan_create: threads 3 is not in 0..2, the context's threads"
                                               : "rondo_plan_create: threads -1 is not in 0..2, the context's threads"),
        "the sentence is \"%s\"", rondo_last_error());
  }
  const problem_data *data = test_data_named("lstm:n1t1c1h1");
  test_setup s;
  desc = problem_plan_desc(&data->problem), desc.threads = 2;
  if (!test_set_up(&s, two, data, &desc)) return;
  EXPECT_OK(rondo_forward(s.plan, two, &s.batch));
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_forward(s.plan, one, &s.batch));
  EXPECT(!strcmp(rondo_last_error(), "rondo_forward: the plan's threads 2 are more than the context's 1"),
         "the sentence is \"%s\"", rondo_last_error());
}

#define LEVEL_TEST(name)                                                                                               \
  { #name, name, TEST_TABLE(levels) }
#define PLAIN_TEST(name)                                                                                               \
  { #name, name, NULL, 0 }

const test_suite test_both = {"BothDirections", TEST_ONCE,
                              (const test_row[]){PLAIN_TEST(pool_groups),
                                                 LEVEL_TEST(same_bits),
                                                 LEVEL_TEST(in_place),
                                                 LEVEL_TEST(unlike),
                                                 LEVEL_TEST(one_call),
                                                 LEVEL_TEST(empty),
                                                 LEVEL_TEST(no_room),
                                                 LEVEL_TEST(merged),
                                                 {0}}};

const test_suite test_cost = {"ThreadCost", TEST_ONCE,
                              (const test_row[]){PLAIN_TEST(choices),
                                                 PLAIN_TEST(wakes),
                                                 PLAIN_TEST(cores),
                                                 PLAIN_TEST(cache),
                                                 PLAIN_TEST(at_once),
                                                 PLAIN_TEST(group_sizes),
                                                 PLAIN_TEST(too_many),
                                                 LEVEL_TEST(asked),
                                                 LEVEL_TEST(reasons),
                                                 {0}}};
