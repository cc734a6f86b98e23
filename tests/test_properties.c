/* test_properties.c - what must be equal to what. On the CPU and the reference: bit for bit. On CUDA another batch or
 * another length may sum in another order, so there both sides are held to the bounds of the exact result instead, and
 * to equal bits from run to run. */
#include "compare.h"
#include "harness.h"

#include "internal.h"

#include <math.h>
#include <string.h>

/* The outputs of a problem without layout and gaps: y (N, T, H), y_last (N, H), h_n and c_n (L, N, H). */
typedef struct dense {
  float *y, *y_last, *h_n, *c_n;
} dense;

static size_t state_floats(const problem *p) {
  return (size_t)p->num_layers * (size_t)p->batch * (size_t)p->hidden_size;
}

static size_t y_floats(const problem *p) {
  return (size_t)p->batch * (size_t)p->timesteps * (size_t)p->hidden_size;
}

static dense dense_of(const problem_data *data, const test_outputs *out) {
  const problem *p = &data->problem;
  size_t h = (size_t)p->hidden_size, row = h * sizeof(float);
  dense d = {test_memory(y_floats(p) * sizeof(float)), test_memory((size_t)p->batch * row),
             test_memory(state_floats(p) * sizeof(float)), test_memory(state_floats(p) * sizeof(float))};
  for (int n = 0; n < p->batch; n++) {
    for (int t = 0; t < p->timesteps; t++)
      memcpy(d.y + ((size_t)n * (size_t)p->timesteps + (size_t)t) * h, out->y + problem_at(data->y_strides, n, t), row);
    memcpy(d.y_last + (size_t)n * h, out->y_last + (size_t)n * data->y_last_stride, row);
    for (int l = 0; l < p->num_layers; l++) {
      size_t at = ((size_t)l * (size_t)p->batch + (size_t)n) * h;
      memcpy(d.h_n + at, out->h_n + problem_state_at(data, l, n), row);
      memcpy(d.c_n + at, out->c_n + problem_state_at(data, l, n), row);
    }
  }
  return d;
}

static void expect_same(const char *what, const problem *p, const dense *a, const dense *b) {
  EXPECT(test_same_bits(a->y, b->y, y_floats(p)), "%s: y has other bits, at most %g apart", what,
         compare_difference(a->y, b->y, y_floats(p)));
  EXPECT(test_same_bits(a->y_last, b->y_last, (size_t)p->batch * (size_t)p->hidden_size), "%s: y_last has other bits",
         what);
  EXPECT(test_same_bits(a->h_n, b->h_n, state_floats(p)), "%s: h_n has other bits", what);
  EXPECT(test_same_bits(a->c_n, b->c_n, state_floats(p)), "%s: c_n has other bits, at most %g apart", what,
         compare_difference(a->c_n, b->c_n, state_floats(p)));
}

/* Against the exact result, whose layout the outputs have; the units are float's also for the reference, where a state
 * that is carried from call to call is rounded to float. */
static void expect_bounds(const char *what, const problem_data *data, const test_outputs *out) {
  compare_expected expected;
  compare_arithmetic arithmetic = data->problem.allow_tf32 ? compare_tf32 : compare_float;
  if (!EXPECT(compare_expect(&expected, data, arithmetic), "no host memory")) return;
  EXPECT_RATIO(compare_y(&expected, data, out->y), "%s: y", what);
  EXPECT_RATIO(compare_y_last(&expected, data, out->y_last), "%s: y_last", what);
  EXPECT_RATIO(compare_h_n(&expected, data, out->h_n), "%s: h_n", what);
  EXPECT_RATIO(compare_c_n(&expected, data, out->c_n), "%s: c_n", what);
  compare_free(&expected);
}

static int is_exact(const test_setup *s) {
  return rondo_context_backend(s->ctx) != RONDO_CUDA;
}

/* got, which has the layout of data, must be equal to whole, or keep the bounds where bits may differ. */
static void judge(const char *what, const test_setup *s, const problem_data *data, const test_outputs *got,
                  const test_outputs *whole) {
  if (!is_exact(s)) {
    expect_bounds(what, data, got);
    return;
  }
  dense a = dense_of(data, got), b = dense_of(s->data, whole);
  expect_same(what, &data->problem, &a, &b);
}

static int set_up(test_setup *s, const char *name) {
  rondo_context *ctx = test_context();
  return ctx && test_set_up(s, ctx, test_data_named(name), NULL);
}

/* ---- The sequence in two pieces ---------------------------------------------------------------------------------- */

/* Timesteps from..to - 1 in order of processing, with x and y to match. */
static rondo_batch piece(const test_setup *s, int from, int to) {
  const problem *p = &s->data->problem;
  rondo_batch b = s->batch;
  int first = p->go_backwards ? p->timesteps - to : from;
  b.timesteps = to - from;
  b.x = (const float *)b.x + problem_at(b.x_strides, 0, first);
  b.y = (float *)b.y + problem_at(b.y_strides, 0, from);
  return b;
}

static void split(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int cut = 1; cut < s.data->problem.timesteps; cut++) {
    buffer_poison(s.ctx, s.batch.y, s.y_count);
    rondo_batch first = piece(&s, 0, cut), second = piece(&s, cut, s.data->problem.timesteps);
    first.y_last = NULL;
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &first));
    second.h_0 = second.h_n, second.c_0 = second.c_n; /* in place */
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &second));
    test_outputs both = test_download(&s, &s.batch);
    if (s.ctx->ops->id == RONDO_REFERENCE)
      expect_bounds("two pieces", s.data, &both); /* it keeps doubles within a call, floats from call to call */
    else
      judge("two pieces", &s, s.data, &both, &whole);
  }
}

/* ---- The batch --------------------------------------------------------------------------------------------------- */

static void move_row(float *to, const float *from, size_t to_at, size_t from_at, int count) {
  if (to) memcpy(to + to_at, from + from_at, (size_t)count * sizeof *to);
}

/* Row n of the new data is row (7 n + 3) mod N of the old, or its mirror where 7 divides N. */
static int permuted(const problem *p, int n) {
  return p->batch % 7 ? (7 * n + 3) % p->batch : p->batch - 1 - n;
}

static void permute_rows(const problem_data *data, test_setup *s) {
  const problem *p = &data->problem;
  float *x = test_memory(s->x_count * sizeof *x);
  float *h = data->h_0 ? test_memory(s->state_count * sizeof *h) : NULL;
  float *c = data->c_0 ? test_memory(s->state_count * sizeof *c) : NULL;
  for (int n = 0; n < p->batch; n++) {
    int from = permuted(p, n);
    for (int t = 0; t < p->timesteps; t++)
      move_row(x, data->x, problem_at(data->x_strides, n, t), problem_at(data->x_strides, from, t), p->input_size);
    for (int l = 0; l < p->num_layers; l++) {
      size_t at = problem_state_at(data, l, n), old = problem_state_at(data, l, from);
      move_row(h, data->h_0, at, old, p->hidden_size);
      move_row(c, data->c_0, at, old, p->hidden_size);
    }
  }
  buffer_write(s->ctx, (void *)(uintptr_t)s->batch.x, x, s->x_count * sizeof *x);
  if (h) buffer_write(s->ctx, (void *)(uintptr_t)s->batch.h_0, h, s->state_count * sizeof *h);
  if (c) buffer_write(s->ctx, (void *)(uintptr_t)s->batch.c_0, c, s->state_count * sizeof *c);
}

static test_outputs unpermute(const problem_data *data, const test_setup *s, const test_outputs *got) {
  const problem *p = &data->problem;
  test_outputs back = {test_memory(s->y_count * sizeof(float)), test_memory(s->y_last_count * sizeof(float)),
                       test_memory(s->state_count * sizeof(float)), test_memory(s->state_count * sizeof(float))};
  for (int n = 0; n < p->batch; n++) {
    int to = permuted(p, n);
    for (int t = 0; t < p->timesteps; t++)
      move_row(back.y, got->y, problem_at(data->y_strides, to, t), problem_at(data->y_strides, n, t), p->hidden_size);
    size_t row = data->y_last_stride;
    move_row(back.y_last, got->y_last, (size_t)to * row, (size_t)n * row, p->hidden_size);
    for (int l = 0; l < p->num_layers; l++) {
      size_t at = problem_state_at(data, l, to), old = problem_state_at(data, l, n);
      move_row(back.h_n, got->h_n, at, old, p->hidden_size);
      move_row(back.c_n, got->c_n, at, old, p->hidden_size);
    }
  }
  return back;
}

static void permuted_batch(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  permute_rows(s.data, &s);
  test_outputs moved = test_forward(&s, &s.batch), back = unpermute(s.data, &s, &moved);
  judge("permuted batch", &s, s.data, &back, &whole);
}

/* Sequences first..first + count - 1 alone. Their states lie N rows apart from layer to layer, in a call of fewer. */
static rondo_batch some_rows(const test_setup *s, int first, int count) {
  rondo_batch b = s->batch;
  size_t state = (size_t)first * s->data->state_stride;
  b.batch = count;
  b.x = (const float *)b.x + problem_at(b.x_strides, first, 0);
  b.y = (float *)b.y + problem_at(b.y_strides, first, 0);
  b.y_last = (float *)b.y_last + (size_t)first * b.y_last_stride;
  if (b.h_0) b.h_0 = (const float *)b.h_0 + state;
  if (b.c_0) b.c_0 = (const float *)b.c_0 + state;
  b.h_n = (float *)b.h_n + state;
  b.c_n = (float *)b.c_n + state;
  if (count == 1) b.state_stride *= (size_t)s->data->problem.batch;
  return b;
}

static void poison_outputs(const test_setup *s) {
  buffer_poison(s->ctx, s->batch.y, s->y_count);
  buffer_poison(s->ctx, s->batch.y_last, s->y_last_count);
  buffer_poison(s->ctx, s->batch.h_n, s->state_count);
  buffer_poison(s->ctx, s->batch.c_n, s->state_count);
}

static void each_row_alone(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  poison_outputs(&s);
  for (int n = 0; n < s.data->problem.batch; n++) {
    rondo_batch b = some_rows(&s, n, 1);
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &b));
  }
  test_outputs alone = test_download(&s, &s.batch);
  judge("each row alone", &s, s.data, &alone, &whole);
}

/* Every way to cut the batch in two; one layer, as the states of two layers would then not be N rows apart. */
static void batch_in_two(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int cut = 1; cut < s.data->problem.batch; cut++) {
    poison_outputs(&s);
    rondo_batch one = some_rows(&s, 0, cut), two = some_rows(&s, cut, s.data->problem.batch - cut);
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &one));
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &two));
    test_outputs both = test_download(&s, &s.batch);
    judge("batch in two", &s, s.data, &both, &whole);
  }
}

/* ---- The layout, the plan ---------------------------------------------------------------------------------------- */

/* Batch- or time-major, dense or with gaps: problem_data_create gives all four the same numbers. */
static void layouts(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int i = 0; i < 4; i++) {
    problem p = s.data->problem;
    p.time_major = i & 1;
    p.strided = i >> 1;
    test_setup other;
    if (!test_set_up(&other, s.ctx, test_data(&p), NULL)) return;
    test_outputs out = test_forward(&other, &other.batch);
    judge(i & 1 ? "time-major" : "batch-major", &s, other.data, &out, &whole);
  }
}

/* All calls fit a larger plan, and the parameters packed for one plan fit the other. */
static void larger_plan(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  rondo_plan_desc desc = problem_plan_desc(&s.data->problem);
  desc.max_batch += 13;
  desc.max_timesteps += 70;
  rondo_plan *plan = test_plan(s.ctx, &desc);
  if (!plan) return;
  EXPECT(rondo_plan_sizes(plan)->params == rondo_plan_sizes(s.plan)->params, "the sizes of params differ");
  rondo_batch b = s.batch;
  b.workspace = buffer_new(s.ctx, rondo_plan_sizes(plan)->workspace);
  poison_outputs(&s);
  EXPECT_OK(rondo_forward(plan, s.ctx, &b));
  test_outputs out = test_download(&s, &s.batch);
  judge("larger plan", &s, s.data, &out, &whole);
}

/* A window that slides over a signal: rows of x overlap. */
static void overlapping_rows(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s, "lstm:n3t6c7h9")) return;
  problem_data window = *s.data;
  window.x_strides = (rondo_strides){.sequence = 11, .timestep = 2};
  rondo_batch b = s.batch;
  b.x_strides = window.x_strides;
  test_outputs out = test_forward(&s, &b);
  expect_bounds("overlapping rows", &window, &out);
}

/* ---- Again, frozen, in place ------------------------------------------------------------------------------------- */

static void run_to_run(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs first = test_forward(&s, &s.batch);
  poison_outputs(&s);
  test_outputs second = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &first, &second), "the same call gave other bits");
}

/* Twice as it was made, then with other numbers behind the same pointers. */
static void graph(const void *name) {
  test_setup s;
  if (!set_up(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  rondo_graph *graph = NULL;
  poison_outputs(&s);
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, s.ctx, &s.batch))) return;
  test_outputs none = test_download(&s, &s.batch);
  EXPECT(test_is_poison(none.y, s.y_count), "rondo_graph_create computed something");
  for (int i = 0; i < 2; i++) {
    poison_outputs(&s);
    EXPECT_OK(rondo_graph_launch(graph, s.ctx));
    test_outputs out = test_download(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &whole, &out), "launch %d differs from rondo_forward", i);
  }
  permute_rows(s.data, &s);
  EXPECT_OK(rondo_graph_launch(graph, s.ctx));
  test_outputs launched = test_download(&s, &s.batch), called = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &called, &launched), "a launch with another x differs from rondo_forward");
  EXPECT_OK(rondo_synchronize(s.ctx));
  rondo_graph_destroy(graph);
}

static void state_in_place(const void *name) {
  test_setup s;
  if (!set_up(&s, name) || !EXPECT(s.batch.h_0, "the problem has no h0")) return;
  test_outputs apart = test_forward(&s, &s.batch);
  rondo_batch b = s.batch;
  b.h_n = (void *)(uintptr_t)b.h_0, b.c_n = (void *)(uintptr_t)b.c_0;
  test_outputs in_place = test_forward(&s, &b);
  judge("in place", &s, s.data, &in_place, &apart);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static const char *const splittable[] =
    {/* layers that go backwards cannot be cut: the upper reads the end first */
     "lstm:n1t7c1h2",           "lstm:n3t6c7h9:h0",     "lstm:n3t5c7h9:back:strided", "lstm:n2t9c6h5l3:h0",
     "lstm:n5t4c3h17l2:nobias", "lstm:n2t36c3h18:time", "lstm:n17t3c4h33:time",       NULL};
static const char *const one_layer[] = {"lstm:n3t6c7h9", "lstm:n9t4c5h16:strided:h0", "lstm:n17t3c4h33:time", NULL};
static const char *const with_state[] = {"lstm:n3t5c7h9:h0", "lstm:n3t5c7h9:back:time:strided:h0", "lstm:n2t9c6h5l3:h0",
                                         "lstm:n9t2c5h33:h0", NULL};

const test_suite test_properties = {
    "Properties", TEST_ALL,
    (const test_row[]){{"split", split, TEST_TABLE(splittable)},
                       {"permuted_batch", permuted_batch, TEST_TABLE(problem_small_table)},
                       {"each_row_alone", each_row_alone, TEST_TABLE(problem_small_table)},
                       {"batch_in_two", batch_in_two, TEST_TABLE(one_layer)},
                       {"layouts", layouts, TEST_TABLE(problem_small_table)},
                       {"larger_plan", larger_plan, TEST_TABLE(problem_small_table)},
                       {"overlapping_rows", overlapping_rows, NULL, 0},
                       {"run_to_run", run_to_run, TEST_TABLE(problem_small_table)},
                       {"graph", graph, TEST_TABLE(problem_small_table)},
                       {"state_in_place", state_in_place, TEST_TABLE(with_state)},
                       {NULL, NULL, NULL, 0}}};
