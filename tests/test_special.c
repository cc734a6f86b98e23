/* test_special.c - numbers out of the ordinary: NaN and infinities stay where they came in, saturation is exact, and
 * weights may all be zero. */
#include "compare.h"
#include "dense.h"

#include <math.h>
#include <string.h>

static int has_nan(const float *row, int count) {
  for (int j = 0; j < count; j++)
    if (isnan(row[j])) return 1;
  return 0;
}

/* A real step of a sequence, in its middle where it has one there; -1: it has none. */
static int pick_step(const problem_data *data, int sick) {
  int last = -1;
  for (int t = 0; t < data->problem.timesteps; t++)
    if (problem_is_real(data, sick, t) && (last < 0 || t <= data->problem.timesteps / 2)) last = t;
  return last;
}

/* Puts the healthy outputs of a sequence back, so that all can be judged. */
static void heal(const problem_data *data, int sick, const dense *whole, const dense *got) {
  const problem *p = &data->problem;
  size_t columns = (size_t)whole->columns, y = (size_t)p->timesteps * columns;
  memcpy(got->y + (size_t)sick * y, whole->y + (size_t)sick * y, y * sizeof(float));
  memcpy(got->y_last + (size_t)sick * columns, whole->y_last + (size_t)sick * columns, columns * sizeof(float));
  for (int part = 0; got->h_n && part < p->num_layers * problem_directions(p); part++) {
    size_t output = (size_t)problem_output_size(p), hidden = (size_t)p->hidden_size;
    size_t row = (size_t)(part * p->batch + sick);
    memcpy(got->h_n + row * output, whole->h_n + row * output, output * sizeof(float));
    if (got->c_n) memcpy(got->c_n + row * hidden, whole->c_n + row * hidden, hidden * sizeof(float));
  }
}

/* One element of x of one sequence is not finite: the other sequences keep their bits, which on CUDA too the same call
 * gives. */
static void one_bad_sequence(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  const problem_data *data = s.data;
  const problem *p = &data->problem;
  const float bad[3] = {NAN, INFINITY, -INFINITY};
  test_outputs before = test_forward(&s, &s.batch);
  dense whole = dense_of(data, &before);
  float *x = test_memory(s.x_count * sizeof *x);
  for (int i = 0; i < 3; i++) {
    int sick = (p->batch - 1) * i / 2, t = pick_step(data, sick);
    if (t < 0) continue;
    memcpy(x, data->x, s.x_count * sizeof *x);
    x[problem_at(data->x_strides, sick, t)] = bad[i];
    buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, s.x_count * sizeof *x);
    test_outputs out = test_forward(&s, &s.batch);
    dense got = dense_of(data, &out);
    const float *row = got.y + (size_t)sick * (size_t)p->timesteps * (size_t)got.columns;
    if (i == 0 || p->weights == RONDO_INT8) EXPECT(has_nan(row, p->timesteps * got.columns), "the NaN is lost");
    heal(data, sick, &whole, &got);
    dense_expect_same("one bad sequence", &got, &whole);
  }
}

/* x of +-inf saturates the gates to exactly 0 or 1, and g to -1 or 1, so c is exactly -1, 0 or 1 after one step, and h
 * is 0 or +-tanh(1): what is left is the error of one tanh. */
static void infinite_input(const void *unused) {
  (void)unused;
  test_setup s;
  rondo_context *ctx = test_context();
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n2t1c1h33"), NULL)) return;
  const float x[2] = {INFINITY, -INFINITY};
  buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, sizeof x);
  test_outputs out = test_forward(&s, &s.batch);
  const float *kernel = s.data->weights[0].kernel;
  for (int n = 0; n < 2; n++)
    for (int j = 0; j < 33; j++) {
      double sign = n ? -1 : 1, c = 0, h = 0;
      if (sign * kernel[j] > 0) c = sign * kernel[2 * 33 + j] > 0 ? 1 : -1;
      if (sign * kernel[3 * 33 + j] > 0) h = tanh(c);
      EXPECT(out.c_n[n * 33 + j] == (float)c, "c is %g, not %g", (double)out.c_n[n * 33 + j], c);
      double bound = (compare_float.active + compare_float.state) * fabs(h);
      EXPECT(fabs(out.h_n[n * 33 + j] - h) <= bound, "h is %.9g, not %.9g", (double)out.h_n[n * 33 + j], h);
    }
}

/* With all weights zero: an LSTM's gates are 1/2 and g is 0, a GRU's h is halved towards 0, and from zero state y is
 * exactly zero, where tanh is what makes it. */
static void zero_weights(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named(name);
  const problem *p = &data.problem;
  for (int i = 0; i < data.weights_count; i++) {
    rondo_weights *w = &data.weights[i];
    size_t gates = (size_t)problem_gates(p) * (size_t)p->hidden_size;
    w->kernel = test_memory((size_t)problem_inputs(p, w->layer) * gates * sizeof(float));
    if (w->recurrent_kernel) w->recurrent_kernel = test_memory((size_t)problem_output_size(p) * gates * sizeof(float));
    w->bias = w->recurrent_bias = w->beta_cell = NULL;
  }
  test_setup s;
  if (!test_set_up(&s, ctx, &data, NULL)) return;
  test_outputs out = test_forward(&s, &s.batch);
  expect_bounds("zero weights", &data, &out);
  dense got = dense_of(&data, &out);
  for (size_t i = 0; i < got.y_count && !data.h_0; i++)
    if (!EXPECT(got.y[i] == 0, "y is %g, not 0", (double)got.y[i])) return;
}

static const char *const batches[] = {"lstm:n3t5c7h9",
                                      "lstm:n9t4c5h17l2:strided",
                                      "lstm:n17t3c4h33:back:time",
                                      "lstm:n5t6c7h9:bi:len:h0:slots:restart",
                                      "lstm:n5t6c7h9:mask=holes:h0:peephole:norm:proj=5",
                                      "gru:n5t6c7h9:len:h0:slots",
                                      "gru:n4t5c6h33l2:back:before:mask=left:zero",
                                      "rnn:n6t5c3h17:bi:mask=holes:h0",
                                      "dense:n5t4c3h7:act=softmax",
                                      "lstm:n5t6c7h9:bi:len:h0:slots:restart:weights=int8",
                                      "gru:n4t5c6h33l2:back:before:mask=left:zero:weights=int8",
                                      "dense:n5t4c3h7:act=softmax:weights=int8",
                                      NULL};
static const char *const zeroed[] = {"lstm:n1t1c1h1",
                                     "lstm:n3t6c7h9",
                                     "lstm:n2t9c6h5l3:h0",
                                     "lstm:n17t3c4h33:time",
                                     "lstm:n5t6c7h9:bi:len:h0",
                                     "lstm:n3t4c5h7:norm",
                                     "gru:n5t4c3h17:len",
                                     "gru:n3t4c5h7l2:before:h0",
                                     "rnn:n5t6c3h9:bi=sum",
                                     "dense:n3t4c5h7",
                                     "lstm:n3t6c7h9:weights=int8",
                                     "gru:n3t4c5h7l2:before:h0:weights=int8",
                                     NULL};

const test_suite test_special = {"Special", TEST_ALL | TEST_HOISTED,
                                 (const test_row[]){{"one_bad_sequence", one_bad_sequence, TEST_TABLE(batches)},
                                                    {"infinite_input", infinite_input, NULL, 0},
                                                    {"zero_weights", zero_weights, TEST_TABLE(zeroed)},
                                                    {NULL, NULL, NULL, 0}}};
