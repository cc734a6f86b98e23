/* test_state.c - streaming: one timestep a call, the state updated in place, against the whole sequence in one call. */
#include "compare.h"
#include "harness.h"

#include <string.h>

/* One stream of a whole batch: its state in the backend's memory, its place in the sequence. */
typedef struct stream {
  rondo_batch batch;
  float *h, *c;
  int step;
} stream;

static void copy_state(rondo_context *ctx, float *to, const float *from, size_t count) {
  if (from) buffer_write(ctx, to, from, count * sizeof *from);
}

/* zeroed: where the problem starts from zeros, a state of zeros is updated; else h_0 and c_0. */
static stream open_stream(const test_setup *s, rondo_batch batch) {
  stream st = {.batch = batch, .h = buffer_output(s->ctx, s->state_count), .c = buffer_output(s->ctx, s->state_count)};
  float *zeros = test_memory(s->state_count * sizeof *zeros);
  copy_state(s->ctx, st.h, s->data->h_0 ? s->data->h_0 : zeros, s->state_count);
  copy_state(s->ctx, st.c, s->data->c_0 ? s->data->c_0 : zeros, s->state_count);
  st.batch.timesteps = 1;
  st.batch.h_0 = st.batch.h_n = st.h;
  st.batch.c_0 = st.batch.c_n = st.c;
  return st;
}

static void advance(const test_setup *s, const rondo_plan *plan, stream *st) {
  const problem *p = &s->data->problem;
  rondo_batch b = st->batch;
  int t = p->go_backwards ? p->timesteps - 1 - st->step : st->step;
  b.x = (const float *)b.x + problem_at(b.x_strides, 0, t);
  b.y = (float *)b.y + problem_at(b.y_strides, 0, st->step++);
  EXPECT_OK(rondo_forward(plan, s->ctx, &b));
}

static void expect_whole(const test_setup *s, const char *what, const stream *st, const test_outputs *whole) {
  test_outputs out = test_download(s, &st->batch);
  if (rondo_context_backend(s->ctx) == RONDO_CPU) {
    EXPECT(test_same_outputs(s, &out, whole), "%s has other bits than one call", what);
    return;
  }
  /* CUDA may sum other batches in other orders, and the reference rounds its doubles when a call ends. */
  compare_expected e;
  compare_arithmetic arithmetic = s->data->problem.allow_tf32 ? compare_tf32 : compare_float;
  if (!EXPECT(compare_expect(&e, s->data, arithmetic), "no host memory")) return;
  EXPECT_RATIO(compare_y(&e, s->data, out.y), "%s: y", what);
  EXPECT_RATIO(compare_y_last(&e, s->data, out.y_last), "%s: y_last", what);
  EXPECT_RATIO(compare_h_n(&e, s->data, out.h_n), "%s: h_n", what);
  EXPECT_RATIO(compare_c_n(&e, s->data, out.c_n), "%s: c_n", what);
  compare_free(&e);
}

static void poison_outputs(const test_setup *s) {
  buffer_poison(s->ctx, s->batch.y, s->y_count);
  buffer_poison(s->ctx, s->batch.y_last, s->y_last_count);
}

/* max_timesteps: of the plan that streams; its parameters are those packed for the plan of the whole sequence. */
static void stream_whole(const char *name, int max_timesteps) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  rondo_plan_desc desc = problem_plan_desc(&s.data->problem);
  desc.max_timesteps = max_timesteps;
  rondo_plan *plan = test_plan(ctx, &desc);
  if (!plan) return;
  poison_outputs(&s);
  stream st = open_stream(&s, s.batch);
  st.batch.workspace = buffer_new(ctx, rondo_plan_sizes(plan)->workspace);
  while (st.step < s.data->problem.timesteps) advance(&s, plan, &st);
  expect_whole(&s, "the stream", &st, &whole);
}

static void one_step_plan(const void *name) {
  stream_whole(name, 1);
}

static void long_plan(const void *name) {
  stream_whole(name, 100);
}

/* Two streams through one plan, one workspace: nothing of the one may stay for the other. */
static void interleaved(const void *name) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  poison_outputs(&s);
  rondo_batch second = s.batch;
  second.y = buffer_output(ctx, s.y_count);
  second.y_last = buffer_output(ctx, s.y_last_count);
  stream a = open_stream(&s, s.batch), b = open_stream(&s, second);
  int steps = s.data->problem.timesteps;
  for (int i = 0; i < 2 * steps; i++) { /* a is ahead of b by up to 3 timesteps */
    stream *st = (a.step < b.step + 3 && a.step < steps) ? &a : &b;
    advance(&s, s.plan, st);
  }
  EXPECT(a.step == steps && b.step == steps, "the streams took %d and %d steps", a.step, b.step);
  expect_whole(&s, "stream a", &a, &whole);
  expect_whole(&s, "stream b", &b, &whole);
}

/* h_n alone in place of h_0, c_n elsewhere, and the other way round: each pair is on its own. */
static void one_of_two_in_place(const void *name) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int c_in_place = 0; c_in_place < 2; c_in_place++) {
    poison_outputs(&s);
    stream st = open_stream(&s, s.batch);
    st.batch.timesteps = s.data->problem.timesteps;
    if (c_in_place)
      st.batch.h_n = s.batch.h_n;
    else
      st.batch.c_n = s.batch.c_n;
    EXPECT_OK(rondo_forward(s.plan, ctx, &st.batch));
    expect_whole(&s, c_in_place ? "c in place" : "h in place", &st, &whole);
  }
}

static const char *const streams[] = {
    "lstm:n1t9c1h2",      "lstm:n1t20c39h64",        "lstm:n3t6c7h9:h0",    "lstm:n3t5c7h9:back:time:h0",
    "lstm:n2t9c6h5l3:h0", "lstm:n5t4c3h17l2:nobias", "lstm:n9t7c5h33:time", NULL};
/* Dense states, so that both places of an output have the same layout. */
static const char *const with_state[] = {"lstm:n3t6c7h9:h0", "lstm:n2t9c6h5l3:h0", "lstm:n9t2c5h33:h0", NULL};

const test_suite test_state = {"State", TEST_ALL,
                               (const test_row[]){{"one_step_plan", one_step_plan, TEST_TABLE(streams)},
                                                  {"long_plan", long_plan, TEST_TABLE(streams)},
                                                  {"interleaved", interleaved, TEST_TABLE(streams)},
                                                  {"one_of_two_in_place", one_of_two_in_place, TEST_TABLE(with_state)},
                                                  {NULL, NULL, NULL, 0}}};
