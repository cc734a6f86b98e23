/* test_properties.c - what must be equal to what. On the CPU and the reference: bit for bit. On CUDA another batch or
 * another length may sum in another order, so there both sides are held to the bounds of the exact result instead, and
 * to equal bits from run to run. */
#include "dense.h"

#include "internal.h"

#include <string.h>

/* ---- The sequence in two pieces ---------------------------------------------------------------------------------- */

/* Timesteps from..to - 1 in order of processing, with x, y and what is skipped to match. */
static rondo_batch piece(const test_setup *s, int from, int to) {
  const problem_data *d = s->data;
  const problem *p = &d->problem;
  rondo_batch b = s->batch;
  int first = p->go_backwards ? p->timesteps - to : from, count = to - from;
  int turned = p->go_backwards && p->time_order;
  b.timesteps = count;
  b.x = (const float *)b.x + problem_at(b.x_strides, 0, first);
  b.y = (float *)b.y + problem_at(b.y_strides, 0, turned ? first : from);
  if (b.lengths || b.mask) {
    uint8_t *mask = test_memory((size_t)p->batch * (size_t)count);
    for (int i = 0; i < p->batch * count; i++) mask[i] = (uint8_t)problem_is_real(d, i / count, first + i % count);
    b.mask = mask, b.lengths = NULL;
  }
  return b;
}

static void split(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int cut = 1; cut < s.data->problem.timesteps; cut++) {
    buffer_poison(s.ctx, s.batch.y, s.y_count);
    rondo_batch first = piece(&s, 0, cut), second = piece(&s, cut, s.data->problem.timesteps);
    first.y_last = NULL;
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &first));
    second.h_0 = second.h_n, second.c_0 = second.c_n; /* in place */
    second.restart = NULL;
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &second));
    test_outputs both = test_download(&s, &s.batch);
    if (s.ctx->ops->id == RONDO_REFERENCE)
      expect_bounds("two pieces", s.data, &both); /* it keeps doubles within a call, floats from call to call */
    else
      judge("two pieces", &s, s.data, &both, &whole);
  }
}

/* ---- The batch --------------------------------------------------------------------------------------------------- */

/* Row n of the new data is row (7 n + 3) mod N of the old, or its mirror where 7 divides N. */
static int permuted(const problem *p, int n) {
  return p->batch % 7 ? (7 * n + 3) % p->batch : p->batch - 1 - n;
}

static void permute_state(const problem_data *data, float *to, const float *from, int columns) {
  const problem *p = &data->problem;
  int directions = problem_directions(p);
  for (int i = 0; to && from && i < p->num_layers * directions * p->batch; i++) {
    int layer = i / p->batch / directions, direction = i / p->batch % directions, n = i % p->batch;
    memcpy(to + problem_state_at(data, layer, direction, n),
           from + problem_state_at(data, layer, direction, permuted(p, n)), (size_t)columns * sizeof *to);
  }
}

static void *copy_of(const void *from, size_t bytes) {
  return from ? memcpy(test_memory(bytes), from, bytes) : NULL;
}

/* The same sequences in another order: with slots, each keeps its own. */
static problem_data permute(const problem_data *data) {
  const problem *p = &data->problem;
  problem_data to = *data; /* shares the weights */
  size_t n_end = (size_t)p->batch, t_end = (size_t)p->timesteps;
  to.x = copy_of(data->x, data->x_count * sizeof(float));
  to.lengths = copy_of(data->lengths, n_end * sizeof *to.lengths);
  to.slots = copy_of(data->slots, n_end * sizeof *to.slots);
  to.mask = copy_of(data->mask, n_end * t_end);
  to.restart = copy_of(data->restart, n_end);
  for (int n = 0; n < p->batch; n++) {
    int from = permuted(p, n);
    for (int t = 0; t < p->timesteps; t++)
      memcpy(to.x + problem_at(data->x_strides, n, t), data->x + problem_at(data->x_strides, from, t),
             (size_t)p->input_size * sizeof(float));
    if (to.lengths) to.lengths[n] = data->lengths[from];
    if (to.slots) to.slots[n] = data->slots[from];
    if (to.restart) to.restart[n] = data->restart[from];
    if (to.mask) memcpy(to.mask + (size_t)n * t_end, data->mask + (size_t)from * t_end, t_end);
  }
  if (data->slots) return to;
  to.h_0 = copy_of(data->h_0, data->state_count * sizeof(float));
  to.c_0 = copy_of(data->c_0, data->state_count * sizeof(float));
  permute_state(data, to.h_0, data->h_0, problem_output_size(p));
  permute_state(data, to.c_0, data->c_0, p->hidden_size);
  return to;
}

/* Rows 0..N-1 of (parts, N, columns) in the order of permute. */
static float *permute_rows(const problem *p, const float *from, size_t count, size_t parts) {
  size_t n_end = (size_t)p->batch, columns = count / parts / n_end;
  float *to = from ? test_memory(count * sizeof *to) : NULL;
  for (size_t i = 0; to && i < parts * n_end; i++) {
    size_t row = i / n_end * n_end + (size_t)permuted(p, (int)(i % n_end));
    memcpy(to + i * columns, from + row * columns, columns * sizeof *to);
  }
  return to;
}

static void permuted_batch(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  const problem *p = &s.data->problem;
  test_outputs whole = test_forward(&s, &s.batch);
  problem_data moved = permute(s.data);
  if (!test_set_up(&other, s.ctx, &moved, NULL)) return;
  test_outputs out = test_forward(&other, &other.batch);
  if (!is_exact(s.ctx)) {
    expect_bounds("permuted batch", &moved, &out);
    return;
  }
  dense got = dense_of(&moved, &out), expected = dense_of(s.data, &whole);
  size_t parts = (size_t)p->num_layers * (size_t)problem_directions(p);
  expected.y = permute_rows(p, expected.y, expected.y_count, 1);
  expected.y_last = permute_rows(p, expected.y_last, expected.y_last_count, 1);
  expected.h_n = permute_rows(p, expected.h_n, expected.h_count, parts);
  expected.c_n = permute_rows(p, expected.c_n, expected.c_count, parts);
  dense_expect_same("permuted batch", &got, &expected);
}

static void *forward_by(const void *pointer, size_t floats) {
  return pointer ? (float *)(uintptr_t)pointer + floats : NULL;
}

/* Sequences first..first + count - 1 alone. Their states lie N rows apart from layer to layer, in a call of fewer; but
 * with slots the pool stays. */
static rondo_batch some_rows(const test_setup *s, int first, int count) {
  rondo_batch b = s->batch;
  size_t state = b.slots ? 0 : (size_t)first * s->data->state_stride;
  b.batch = count;
  b.x = forward_by(b.x, problem_at(b.x_strides, first, 0));
  b.y = forward_by(b.y, problem_at(b.y_strides, first, 0));
  b.y_last = forward_by(b.y_last, (size_t)first * b.y_last_stride);
  b.h_0 = forward_by(b.h_0, state), b.c_0 = forward_by(b.c_0, state);
  b.h_n = forward_by(b.h_n, state), b.c_n = forward_by(b.c_n, state);
  if (b.lengths) b.lengths += first;
  if (b.mask) b.mask += first * b.timesteps;
  if (b.slots) b.slots += first;
  if (b.restart) b.restart += first;
  if (count == 1 && !b.slots) b.state_stride *= (size_t)s->data->problem.batch;
  return b;
}

static void each_row_alone(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  poison_outputs(&s);
  for (int n = 0; n < s.data->problem.batch; n++) {
    rondo_batch b = some_rows(&s, n, 1);
    EXPECT_OK(rondo_forward(s.plan, s.ctx, &b));
  }
  test_outputs alone = test_download(&s, &s.batch);
  judge("each row alone", &s, s.data, &alone, &whole);
}

/* Every way to cut the batch in two; one layer and direction, as the states of two would then not be N rows apart. */
static void batch_in_two(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
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
  if (!set_up_named(&s, name)) return;
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
  if (!set_up_named(&s, name)) return;
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
  if (!set_up_named(&s, "lstm:n3t6c7h9")) return;
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
  if (!set_up_named(&s, name)) return;
  test_outputs first = test_forward(&s, &s.batch);
  poison_outputs(&s);
  test_outputs second = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &first, &second), "the same call gave other bits");
}

/* Other numbers behind the same pointers. */
static void write_other_inputs(const test_setup *s) {
  problem_data other;
  if (!EXPECT(problem_data_create(&other, &s->data->problem, test_seed() + 1), "no host memory")) return;
  const rondo_batch *b = &s->batch;
  buffer_write(s->ctx, (void *)(uintptr_t)b->x, other.x, s->x_count * sizeof(float));
  /* Their slots differ: NaN stands elsewhere. */
  if (b->h_0 && !b->slots) buffer_write(s->ctx, (void *)(uintptr_t)b->h_0, other.h_0, s->state_count * sizeof(float));
  if (b->c_0 && !b->slots) buffer_write(s->ctx, (void *)(uintptr_t)b->c_0, other.c_0, s->state_count * sizeof(float));
  problem_data_free(&other);
}

/* Twice as it was made, then with other numbers behind the same pointers. */
static void graph(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
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
  write_other_inputs(&s);
  EXPECT_OK(rondo_graph_launch(graph, s.ctx));
  test_outputs launched = test_download(&s, &s.batch), called = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &called, &launched), "a launch with another x differs from rondo_forward");
  EXPECT_OK(rondo_synchronize(s.ctx));
  rondo_graph_destroy(graph);
}

/* The library keeps no pointer after the call: a graph has its own copy of lengths. */
static void graph_keeps_lengths(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up_named(&s, "lstm:n5t7c3h6:len")) return;
  test_outputs whole = test_forward(&s, &s.batch);
  int32_t lengths[5];
  memcpy(lengths, s.batch.lengths, sizeof lengths);
  rondo_batch batch = s.batch;
  batch.lengths = lengths;
  rondo_graph *graph = NULL;
  poison_outputs(&s);
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, s.ctx, &batch))) return;
  memset(lengths, 0x7f, sizeof lengths);
  EXPECT_OK(rondo_graph_launch(graph, s.ctx));
  test_outputs launched = test_download(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &whole, &launched), "the graph looked at the caller's lengths again");
  rondo_graph_destroy(graph);
}

static void state_in_place(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name) || !EXPECT(s.batch.h_0, "the problem has no h0")) return;
  test_outputs apart = test_forward(&s, &s.batch);
  rondo_batch b = s.batch;
  b.h_n = (void *)(uintptr_t)b.h_0, b.c_n = (void *)(uintptr_t)b.c_0;
  test_outputs in_place = test_forward(&s, &b);
  judge("in place", &s, s.data, &in_place, &apart);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

/* One direction; stacks that go backwards cannot be cut: the upper layer reads the end first. What a piece skips before
 * its first step it cannot repeat, so with masks skipped steps give zeros. */
static const char *const splittable[] = {"lstm:n1t7c1h2",
                                         "lstm:n3t6c7h9:h0",
                                         "lstm:n3t5c7h9:back:strided",
                                         "lstm:n2t9c6h5l3:h0",
                                         "lstm:n5t4c3h17l2:nobias",
                                         "lstm:n2t36c3h18:time",
                                         "lstm:n17t3c4h33:time",
                                         "lstm:n5t6c7h9:len:zero:h0",
                                         "lstm:n5t6c7h9:back:timeorder:mask=holes:zero:h0:slots",
                                         "lstm:n3t6c7h9:h0:peephole:proj=5:cellclip=1:zoneout=0.1:zoneoutc=0.2",
                                         "lstm:n3t6c7h9:h0:slots:restart:norm",
                                         "gru:n3t6c7h9:h0",
                                         "gru:n2t36c3h37:h0:weights=f16",
                                         "gru:n5t6c7h9l2:before:mask=left:zero:h0",
                                         "gru:n3t36c7h9:back:h0:head=3",
                                         "rnn:n3t6c7h17l2:len:zero:h0:restart",
                                         "lstm:n17t5c35h33:h0:weights=bf16",
                                         "lstm:n3t36c7h18:len:zero:h0:weights=int8",
                                         "gru:n5t6c7h33l2:before:h0:weights=int8",
                                         NULL};
static const char *const one_part[] = {"lstm:n3t6c7h9",
                                       "lstm:n9t4c5h16:strided:h0",
                                       "lstm:n17t3c4h33:time",
                                       "lstm:n7t5c4h9l2:bi:mask=holes:h0:slots:restart",
                                       "gru:n9t4c5h16:len:h0",
                                       "gru:n7t5c3h37:back:h0",
                                       "lstm:n7t5c3h25:len:h0:weights=f16",
                                       "rnn:n7t5c4h9:back:mask=left",
                                       "dense:n7t3c4h9",
                                       "lstm:n35t2c33h37:len:h0:weights=bf16",
                                       "gru:n34t2c5h19:weights=bf16",
                                       "rnn:n33t2c3h70:weights=bf16",
                                       "lstm:n17t3c4h33:len:h0:weights=int8",
                                       NULL};
static const char *const with_state[] = {"lstm:n3t5c7h9:h0",
                                         "lstm:n3t5c7h9:back:time:strided:h0",
                                         "lstm:n2t9c6h5l3:h0",
                                         "lstm:n9t2c5h33:h0",
                                         "lstm:n5t6c7h9l2:bi:len:h0:slots:restart:proj=5",
                                         "gru:n4t5c6h11:mask=holes:h0",
                                         "gru:n4t5c6h11l2:bi:before:h0",
                                         "rnn:n6t5c3h17:back:h0:slots",
                                         "lstm:n5t6c7h33l2:len:h0:weights=int8",
                                         NULL};

const test_suite test_properties = {
    "Properties", TEST_ALL | TEST_HOISTED,
    (const test_row[]){{"split", split, TEST_TABLE(splittable)},
                       {"permuted_batch", permuted_batch, TEST_TABLE(problem_small_table)},
                       {"each_row_alone", each_row_alone, TEST_TABLE(problem_small_table)},
                       {"batch_in_two", batch_in_two, TEST_TABLE(one_part)},
                       {"layouts", layouts, TEST_TABLE(problem_small_table)},
                       {"larger_plan", larger_plan, TEST_TABLE(problem_small_table)},
                       {"overlapping_rows", overlapping_rows, NULL, 0},
                       {"run_to_run", run_to_run, TEST_TABLE(problem_small_table)},
                       {"graph", graph, TEST_TABLE(problem_small_table)},
                       {"graph_keeps_lengths", graph_keeps_lengths, NULL, 0},
                       {"state_in_place", state_in_place, TEST_TABLE(with_state)},
                       {NULL, NULL, NULL, 0}}};
