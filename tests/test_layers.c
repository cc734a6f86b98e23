/* test_layers.c - the table of problems through every backend variant and algorithm, against the exact result with the
 * bounds of compare.c. RONDO_REFERENCE is one of the variants and held to bounds of its own, some 2^-24 of a value. */
#include "compare.h"
#include "dense.h"

#include "internal.h"

#include <stdio.h>
#include <string.h>

static void expect_close(const compare_expected *expected, const problem_data *data, const test_outputs *out) {
  if (out->y) EXPECT_RATIO(compare_y(expected, data, out->y), "y");
  if (out->y_last) EXPECT_RATIO(compare_y_last(expected, data, out->y_last), "y_last");
  if (out->h_n) EXPECT_RATIO(compare_h_n(expected, data, out->h_n), "h_n");
  if (out->c_n) EXPECT_RATIO(compare_c_n(expected, data, out->c_n), "c_n");
}

/* All outputs against the exact ones: step by step from the y that was computed, where that has every h; else as a
 * whole. */
static void expect_exact(const test_setup *s, const test_outputs *out) {
  compare_expected expected;
  const problem *p = &s->data->problem;
  compare_arithmetic arithmetic = compare_arithmetic_of(rondo_context_backend(s->ctx), (rondo_isa)s->ctx->variant, p);
  int made = compare_has_steps(p) ? compare_expect_steps(&expected, s->data, arithmetic, out->y)
                                  : compare_expect(&expected, s->data, arithmetic);
  if (!EXPECT(made, "no host memory")) return;
  expect_close(&expected, s->data, out);
  compare_free(&expected);
}

/* ---- What may not be written ------------------------------------------------------------------------------------- */

static void wipe(float *from, int count) {
  for (int i = 0; i < count; i++) from[i] = 0;
}

/* When all that may be written is wiped, the rest must be poison. */
static void expect_poison(const char *name, const float *rest, size_t count) {
  uint32_t pattern = 0;
  for (size_t i = 0; i < count; i++) {
    memcpy(&pattern, rest + i, sizeof pattern);
    if (pattern && !EXPECT(test_is_poison(rest + i, 1), "%s: the gap at float %zu was written", name, i)) return;
  }
}

static float *copy_of(const float *array, size_t count) {
  return array ? memcpy(test_memory(count * sizeof *array), array, count * sizeof *array) : NULL;
}

static void expect_state_gaps(const test_setup *s, const char *name, const float *state, int columns) {
  const problem_data *d = s->data;
  float *rest = copy_of(state, s->state_count);
  int directions = problem_directions(&d->problem);
  if (!rest) return;
  for (int part = 0; part < d->problem.num_layers * directions; part++)
    for (int n = 0; n < d->problem.batch; n++)
      wipe(rest + problem_state_at(d, part / directions, part % directions, n), columns);
  expect_poison(name, rest, s->state_count);
}

/* Whether nothing but the rows was written: poison must stand between them, and in slots that no sequence has. */
static void expect_all_gaps(const test_setup *s, const test_outputs *out) {
  const problem_data *d = s->data;
  const problem *p = &d->problem;
  float *y = copy_of(out->y, s->y_count), *last = copy_of(out->y_last, s->y_last_count);
  for (int half = 0; half < problem_halves(p); half++)
    for (int n = 0; n < p->batch; n++) {
      size_t h = (size_t)half;
      if (last) wipe(last + (size_t)n * d->y_last_stride + h * d->y_last_direction, problem_columns(p));
      for (int t = 0; y && t < p->timesteps; t++)
        wipe(y + problem_at(d->y_strides, n, t) + h * d->y_strides.direction, problem_columns(p));
    }
  if (y) expect_poison("y", y, s->y_count);
  if (last) expect_poison("y_last", last, s->y_last_count);
  expect_state_gaps(s, "h_n", out->h_n, problem_output_size(p));
  expect_state_gaps(s, "c_n", out->c_n, p->hidden_size);
}

static void expect_unchanged(const test_setup *s, const char *name, const void *now, const float *before,
                             size_t count) {
  if (before && !EXPECT(now, "%s is gone", name)) return;
  if (before)
    EXPECT(test_same_bits(buffer_download(s->ctx, NULL, now, count), before, count), "the call changed %s", name);
}

/* y_last is the row of y that was processed last, and h_n of the top layer: one value, written to three places. With a
 * head, or where directions are merged or steps skipped, it is not. */
static void expect_one_value(const test_setup *s, const test_outputs *out) {
  const problem_data *d = s->data;
  const problem *p = &d->problem;
  size_t output = (size_t)problem_output_size(p);
  int directions = problem_directions(p), aligned = p->time_order && p->go_backwards;
  if (p->head_units || p->lengths || p->mask || problem_width(p) != problem_output_size(p) * directions) return;
  for (int i = 0; i < directions * p->batch; i++) {
    int half = i / p->batch, n = i % p->batch, at_start = half ? !aligned : aligned;
    const float *last = out->y_last + (size_t)n * d->y_last_stride + (size_t)half * d->y_last_direction;
    const float *row = out->y + problem_at(d->y_strides, n, at_start ? 0 : p->timesteps - 1);
    row += (size_t)half * d->y_strides.direction;
    EXPECT(test_same_bits(last, row, output), "y_last is not the row of y processed last, sequence %d", n);
    if (!out->h_n) continue;
    const float *h = out->h_n + problem_state_at(d, p->num_layers - 1, half, n);
    EXPECT(test_same_bits(last, h, output), "y_last is not h_n, sequence %d", n);
  }
}

/* A buffer of the backend on the host, to see whether it changes; NULL where the host cannot look into it at once. */
static void *snapshot(const rondo_context *ctx, const void *memory, size_t bytes) {
  return rondo_context_backend(ctx) == RONDO_CUDA ? NULL : memcpy(test_memory(bytes), memory, bytes);
}

static void one_algorithm(rondo_context *ctx, const problem_data *data, rondo_algorithm algorithm) {
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  test_setup s;
  desc.algorithm = algorithm;
  if (!test_set_up(&s, ctx, data, &desc)) return;
  size_t bytes = rondo_plan_sizes(s.plan)->params;
  void *params = snapshot(ctx, s.batch.params, bytes);
  test_outputs out = test_forward(&s, &s.batch);
  expect_exact(&s, &out);
  expect_one_value(&s, &out);
  expect_all_gaps(&s, &out);
  expect_unchanged(&s, "x", s.batch.x, data->x, s.x_count);
  expect_unchanged(&s, "h_0", s.batch.h_0, data->h_0, s.state_count);
  expect_unchanged(&s, "c_0", s.batch.c_0, data->c_0, s.state_count);
  if (params) EXPECT(!memcmp(params, s.batch.params, bytes), "the call changed params");
}

static void algorithms(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  for (int i = 0; i < ctx->ops->algorithm_count; i++)
    if (!ctx->ops->algorithms[i].training_only) one_algorithm(ctx, data, ctx->ops->algorithms[i].id);
}

/* Every set of wanted outputs: each output as when all are wanted (bits; on CUDA, bounds), and what was not wanted
 * stays as it was. */
static void wanted_outputs(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  expect_exact(&s, &whole);
  struct {
    float *buffer;
    size_t count;
  } all[4] = {{s.batch.y, s.y_count},
              {s.batch.y_last, s.y_last_count},
              {s.batch.h_n, s.state_count},
              {s.batch.c_n, s.state_count}};
  for (int set = 1; set < 16; set++) {
    rondo_batch b = s.batch;
    void **const fields[4] = {&b.y, &b.y_last, &b.h_n, &b.c_n};
    poison_outputs(&s);
    int wanted = 0;
    for (int i = 0; i < 4; i++) {
      if (!(set >> i & 1)) *fields[i] = NULL;
      wanted += *fields[i] != NULL;
    }
    if (!wanted) continue;
    test_outputs out = test_forward(&s, &b);
    judge("some of the outputs", &s, s.data, &out, &whole);
    expect_all_gaps(&s, &out);
    for (int i = 0; i < 4; i++)
      if (all[i].buffer && !(set >> i & 1))
        EXPECT(test_is_poison(buffer_download(s.ctx, NULL, all[i].buffer, all[i].count), all[i].count),
               "output %d was written, but only the set %d was wanted", i, set);
  }
}

/* h_0 without c_0, and the other way round: the missing one is zeros. */
static void half_a_state(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  for (int without_h = 0; without_h < 2; without_h++) {
    problem_data half = *data; /* shares the arrays */
    *(without_h ? &half.h_0 : &half.c_0) = NULL;
    test_setup s;
    if (!test_set_up(&s, ctx, &half, NULL)) return;
    test_outputs out = test_forward(&s, &s.batch);
    expect_exact(&s, &out);
  }
}

/* A state of zero stride: rows of h are as long as the output, those of c as the cell state. */
static dense dense_states(const problem_data *data) {
  return dense_of(data, &(test_outputs){.h_n = data->h_0, .c_n = data->c_0});
}

/* Strides of 0 mean the dense ones. */
static void zero_strides(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  test_outputs given = test_forward(&s, &s.batch);
  dense expected = dense_of(s.data, &given), states = dense_states(s.data);
  rondo_batch b = s.batch;
  b.x_strides = b.y_strides = (rondo_strides){0, 0, 0};
  b.y_last_stride = b.y_last_direction = b.state_stride = 0;
  b.h_0 = buffer_upload(s.ctx, states.h_n, states.h_count);
  b.c_0 = buffer_upload(s.ctx, states.c_n, states.c_count);
  poison_outputs(&s);
  test_outputs zero = test_forward(&s, &b);
  EXPECT(test_same_bits(zero.y, given.y, s.y_count), "y: strides of 0 differ from the dense ones");
  EXPECT(test_same_bits(zero.y_last, given.y_last, s.y_last_count), "y_last: strides of 0 differ from the dense ones");
  EXPECT(test_same_bits(zero.h_n, expected.h_n, expected.h_count), "h_n: a stride of 0 differs from the dense one");
  EXPECT(test_same_bits(zero.c_n, expected.c_n, expected.c_count), "c_n: a stride of 0 differs from the dense one");
}

static const char *const no_gaps[] = {"lstm:n3t5c7h9:h0",
                                      "lstm:n3t5c7h9l2:time:h0",
                                      "lstm:n2t3c4h17l3:back",
                                      "gru:n3t5c7h9:bi:h0",
                                      "rnn:n3t5c7h9:bi=separate",
                                      "lstm:n3t5c7h9:bi=separate:time:len:h0",
                                      "lstm:n3t5c7h9:h0:proj=4",
                                      "lstm:n2t3c4h9l2:bi:h0:proj=5",
                                      "gru:n3t5c7h9:h0:head=2",
                                      "dense:n3t5c7h9:time",
                                      NULL};
static const char *const with_state[] = {"lstm:n3t5c7h9:h0", "lstm:n3t5c7h17l2:strided:h0",
                                         "lstm:n3t5c7h9:bi:mask=holes:h0:peephole:proj=4", NULL};

const test_suite test_layers = {"Layers", TEST_ALL,
                                (const test_row[]){{"algorithms", algorithms, TEST_TABLE(problem_table)},
                                                   {"options", algorithms, TEST_TABLE(problem_option_table)},
                                                   {"wanted_outputs", wanted_outputs, TEST_TABLE(problem_small_table)},
                                                   {"half_a_state", half_a_state, TEST_TABLE(with_state)},
                                                   {"zero_strides", zero_strides, TEST_TABLE(no_gaps)},
                                                   {NULL, NULL, NULL, 0}}};
