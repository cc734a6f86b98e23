/* test_state.c - streaming: one timestep a call, the state updated in place, against the whole sequence in one call. */
#include "dense.h"

#include <string.h>

/* One stream of a whole batch: its state in the backend's memory, its place in the sequence. */
typedef struct stream {
  rondo_batch batch;
  float *h, *c;
  int step;
} stream;

/* A state of its own that begins as the problem's, or with zeros. NULL for a cell that has none. */
static float *own_state(const test_setup *s, const float *from, int has_one) {
  if (!has_one) return NULL;
  float *zeros = test_memory(s->state_count * sizeof *zeros);
  return buffer_upload(s->ctx, from ? from : zeros, s->state_count);
}

static stream open_stream(const test_setup *s, rondo_batch batch) {
  stream st = {.batch = batch};
  st.h = own_state(s, s->data->h_0, batch.h_n != NULL);
  st.c = own_state(s, s->data->c_0, batch.c_n != NULL);
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
  b.y = (float *)b.y + problem_at(b.y_strides, 0, st->step);
  if (st->step++) b.restart = NULL;
  EXPECT_OK(rondo_forward(plan, s->ctx, &b));
}

static void expect_whole(const test_setup *s, const char *what, const stream *st, const test_outputs *whole) {
  test_outputs out = test_download(s, &st->batch);
  if (rondo_context_backend(s->ctx) == RONDO_CPU)
    judge(what, s, s->data, &out, whole);
  else
    expect_bounds(what, s->data,
                  &out); /* CUDA may sum in other orders; the reference rounds its doubles after a call */
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

/* ---- Sessions ---------------------------------------------------------------------------------------------------- */

/* What a server does: sequences of a problem come and go, each with its state in a slot of a pool, and a call steps
 * whichever have a sample. */
typedef struct sessions {
  const test_setup *whole;
  rondo_plan *plan;
  rondo_batch batch;
  float *pool_h, *pool_c, *x, *y; /* x (N, C) and y (N, columns) of a call */
  int *step;                      /* (N): samples that a sequence has had */
  float *result;                  /* (N, T, columns) on the host */
} sessions;

/* A pool of NaN: nothing of it may be read before a sequence has started. */
static int open_sessions(sessions *all, const test_setup *s) {
  const problem *p = &s->data->problem;
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.max_timesteps = 1;
  *all = (sessions){.whole = s, .plan = test_plan(s->ctx, &desc), .batch = {.timesteps = 1, .params = s->batch.params}};
  if (!all->plan) return 0;
  size_t n = (size_t)p->batch, columns = (size_t)problem_columns(p);
  size_t pool = (size_t)p->num_layers * (2 * n + 1) * (size_t)p->hidden_size;
  all->pool_h = buffer_output(s->ctx, pool);
  all->pool_c = problem_has_cell_state(p) ? buffer_output(s->ctx, pool) : NULL;
  all->x = buffer_output(s->ctx, n * (size_t)p->input_size);
  all->y = buffer_output(s->ctx, n * columns);
  all->step = test_memory(n * sizeof *all->step);
  all->result = test_memory(n * (size_t)p->timesteps * columns * sizeof *all->result);
  all->batch.workspace = buffer_new(s->ctx, rondo_plan_sizes(all->plan)->workspace);
  all->batch.h_0 = all->batch.h_n = all->pool_h;
  all->batch.c_0 = all->batch.c_n = all->pool_c;
  all->batch.state_stride = (size_t)p->hidden_size;
  all->batch.slot_count = 2 * p->batch + 1;
  all->batch.x = all->x, all->batch.y = all->y;
  return 1;
}

/* One call for the sequences who[0..count - 1]; sequence n lives in slot 2 n + 1. */
static void step_sessions(sessions *all, const int *who, int count) {
  const problem_data *d = all->whole->data;
  const problem *p = &d->problem;
  size_t columns = (size_t)problem_columns(p), inputs = (size_t)p->input_size;
  int32_t *slots = test_memory((size_t)count * sizeof *slots);
  uint8_t *restart = test_memory((size_t)count);
  float *x = test_memory((size_t)count * inputs * sizeof *x);
  for (int i = 0; i < count; i++) {
    int t = all->step[who[i]];
    slots[i] = 2 * who[i] + 1;
    restart[i] = t == 0;
    memcpy(x + (size_t)i * inputs, d->x + problem_at(d->x_strides, who[i], t), inputs * sizeof *x);
  }
  rondo_batch b = all->batch;
  b.batch = count, b.slots = slots, b.restart = restart;
  buffer_write(all->whole->ctx, all->x, x, (size_t)count * inputs * sizeof *x);
  EXPECT_OK(rondo_forward(all->plan, all->whole->ctx, &b));
  float *y = buffer_download(all->whole->ctx, NULL, all->y, (size_t)count * columns);
  for (int i = 0; i < count; i++) {
    size_t row = (size_t)(who[i] * p->timesteps + all->step[who[i]]++);
    memcpy(all->result + row * columns, y + (size_t)i * columns, columns * sizeof *y);
  }
}

/* Calls of changing sizes until every sequence has had all its samples; some start late. */
static void mixed_sessions(const void *name) {
  test_setup s;
  sessions all;
  if (!set_up_named(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  if (!open_sessions(&all, &s)) return;
  const problem *p = &s.data->problem;
  int *who = test_memory((size_t)p->batch * sizeof *who);
  for (int call = 0, left = p->batch; left; call++) {
    int count = 0;
    left = 0;
    for (int i = 0; i < p->batch; i++) {
      int n = (i * 3 + call) % p->batch; /* another order in every call, with repetitions where 3 divides N */
      int ready = problem_random(test_seed(), (uint64_t)call, (uint64_t)n) > -0.3f && call >= n / 2;
      for (int k = 0; k < count; k++) ready = ready && who[k] != n;
      if (ready && all.step[n] < p->timesteps) who[count++] = n;
    }
    if (count) step_sessions(&all, who, count);
    for (int n = 0; n < p->batch; n++) left += all.step[n] < p->timesteps;
  }
  test_outputs out = {.y = all.result};
  if (rondo_context_backend(s.ctx) == RONDO_CPU)
    judge("sessions", &s, s.data, &out, &(test_outputs){.y = whole.y});
  else
    expect_bounds("sessions", s.data, &out);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static const char *const streams[] = {"lstm:n1t9c1h2",
                                      "lstm:n1t20c39h64",
                                      "lstm:n3t6c7h9:h0",
                                      "lstm:n3t5c7h9:back:time:h0",
                                      "lstm:n2t9c6h5l3:h0",
                                      "lstm:n5t4c3h17l2:nobias",
                                      "lstm:n9t7c5h33:time",
                                      "lstm:n3t6c7h9l2:h0:peephole:norm:proj=5",
                                      "lstm:n3t6c7h9:h0:slots:restart:cifg:cellclip=1:zoneout=0.1:zoneoutc=0.2",
                                      "gru:n3t6c7h9l2:h0",
                                      "gru:n5t6c7h33:before:h0:slots",
                                      "gru:n3t6c7h9:h0:head=4=softmax",
                                      "rnn:n3t6c7h17:h0:act=relu",
                                      "lstm:n3t6c7h33l2:h0:slots:weights=int8",
                                      "gru:n5t6c7h33:before:h0:weights=int8",
                                      NULL};
/* Dense states, so that both places of an output have the same layout. */
static const char *const with_state[] = {"lstm:n3t6c7h9:h0", "lstm:n2t9c6h5l3:h0", "lstm:n9t2c5h33:h0",
                                         "lstm:n5t6c7h9:bi:len:h0", NULL};
static const char *const served[] = {
    "lstm:n5t6c7h9",        "lstm:n9t4c5h17l2",     "lstm:n4t6c7h9:peephole:norm:proj=5", "gru:n7t5c3h9l2",
    "gru:n5t4c3h33:before", "rnn:n6t5c3h17:head=3", "lstm:n9t4c5h17:weights=int8",        NULL};

const test_suite test_state = {"State", TEST_ALL | TEST_HOISTED,
                               (const test_row[]){{"one_step_plan", one_step_plan, TEST_TABLE(streams)},
                                                  {"long_plan", long_plan, TEST_TABLE(streams)},
                                                  {"interleaved", interleaved, TEST_TABLE(streams)},
                                                  {"one_of_two_in_place", one_of_two_in_place, TEST_TABLE(with_state)},
                                                  {"mixed_sessions", mixed_sessions, TEST_TABLE(served)},
                                                  {NULL, NULL, NULL, 0}}};
