/* test_weights.c - weights in other frameworks' orders, and arrays that are left out: the bits of Keras's. */
#include "dense.h"

/* Which gate of Keras's order stands where: i, f, g, o of an LSTM, z, r, h of a GRU. */
static const struct format_row {
  const char *name;
  rondo_format format;
  int lstm[4], gru[3];
} formats[] = {{"keras", RONDO_KERAS, {0, 1, 2, 3}, {0, 1, 2}},
               {"pytorch", RONDO_PYTORCH, {0, 1, 2, 3}, {1, 0, 2}},
               {"onnx", RONDO_ONNX, {0, 3, 1, 2}, {0, 1, 2}},
               {"cudnn", RONDO_CUDNN, {0, 1, 2, 3}, {1, 0, 2}},
               {NULL, RONDO_KERAS, {0}, {0}}};

static int gate_at(const struct format_row *to, const problem *p, int place) {
  return p->cell == RONDO_LSTM ? to->lstm[place] : p->cell == RONDO_GRU ? to->gru[place] : 0;
}

/* Keras's (rows, G*H) in the format's order. */
static float *reorder(const struct format_row *to, const problem *p, const float *from, int rows) {
  size_t hidden = (size_t)p->hidden_size, gates = (size_t)problem_gates(p), width = gates * hidden;
  float *result = from ? test_memory((size_t)rows * width * sizeof *result) : NULL;
  for (size_t k = 0; result && k < (size_t)rows; k++)
    for (size_t i = 0; i < width; i++) {
      float value = from[k * width + (size_t)gate_at(to, p, (int)(i / hidden)) * hidden + i % hidden];
      result[to->format == RONDO_KERAS ? k * width + i : i * (size_t)rows + k] = value;
    }
  return result;
}

/* Keras's (H, O) as (O, H). */
static float *reorder_projection(const struct format_row *to, const problem *p, const float *from) {
  size_t hidden = (size_t)p->hidden_size, output = (size_t)problem_output_size(p);
  float *result = from ? test_memory(hidden * output * sizeof *result) : NULL;
  for (size_t i = 0; result && i < hidden * output; i++)
    result[to->format == RONDO_KERAS ? i : i % output * hidden + i / output] = from[i];
  return result;
}

/* Rows i, f, o; ONNX: i, o, f. */
static float *reorder_peephole(const struct format_row *to, const problem *p, const float *from) {
  size_t hidden = (size_t)p->hidden_size;
  float *result = from ? test_memory(3 * hidden * sizeof *result) : NULL;
  for (size_t i = 0; result && i < 3 * hidden; i++) {
    size_t row = i / hidden, other = row ? 3 - row : 0;
    result[(to->format == RONDO_ONNX ? other : row) * hidden + i % hidden] = from[i];
  }
  return result;
}

/* Half of each number, in both arrays. */
static const float *halve(const float *bias, size_t count) {
  float *half = test_memory(count * sizeof *half);
  for (size_t i = 0; i < count; i++) half[i] = bias[i] / 2;
  return half;
}

static rondo_weights reorder_all(const struct format_row *to, const problem *p, const rondo_weights *from) {
  rondo_weights w = *from;
  int output = problem_output_size(p);
  w.format = to->format;
  w.kernel = reorder(to, p, w.kernel, problem_inputs(p, w.layer));
  w.recurrent_kernel = reorder(to, p, w.recurrent_kernel, output);
  w.bias = reorder(to, p, w.bias, 1);
  w.recurrent_bias = reorder(to, p, w.recurrent_bias, 1);
  w.peephole = reorder_peephole(to, p, w.peephole);
  w.projection = reorder_projection(to, p, w.projection);
  w.gamma_kernel = reorder(to, p, w.gamma_kernel, 1);
  w.gamma_recurrent = reorder(to, p, w.gamma_recurrent, 1);
  return w;
}

/* Whether the two biases of every gate are added up, so that a bias may come as two halves. */
static int adds_biases(const problem *p) {
  return p->cell == RONDO_LSTM || p->cell == RONDO_RNN || (p->cell == RONDO_GRU && p->reset_before);
}

static void one_format(const struct format_row *to, rondo_context *ctx, const char *name) {
  test_setup s;
  if (!test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  const problem *p = &s.data->problem;
  test_outputs keras = test_forward(&s, &s.batch);
  void *params = buffer_new(ctx, rondo_plan_sizes(s.plan)->params);
  for (int i = 0; i < s.data->weights_count; i++) {
    problem head = {.cell = RONDO_DENSE, .input_size = problem_width(p), .hidden_size = p->head_units};
    int is_head = s.data->weights[i].layer == p->num_layers;
    rondo_weights from = s.data->weights[i];
    if (is_head) from.layer = 0;
    rondo_weights w = reorder_all(to, is_head ? &head : p, &from);
    w.layer = s.data->weights[i].layer;
    if (w.bias && !is_head && adds_biases(p))
      w.bias = w.recurrent_bias = halve(w.bias, (size_t)problem_gates(p) * (size_t)p->hidden_size);
    EXPECT_OK(rondo_pack(s.plan, ctx, params, &w));
  }
  rondo_batch b = s.batch;
  b.params = params;
  poison_outputs(&s);
  test_outputs other = test_forward(&s, &b);
  EXPECT(test_same_outputs(&s, &keras, &other), "%s: weights packed from %s give other bits", name, to->name);
}

/* Bits equal those of Keras's order, also when half of each bias comes as the recurrent one. */
static void weight_formats(const void *row) {
  static const char *const names[] = {"lstm:n2t3c5h6l2",        "lstm:n2t3c5h6:bi:h0:peephole:proj=4",
                                      "lstm:n2t3c5h6:h0:norm",  "gru:n2t3c5h6l2:bi:h0:head=3",
                                      "gru:n2t3c5h6:before:h0", "gru:n2t3c5h6:h0:norm",
                                      "rnn:n2t3c5h6l2:h0",      "dense:n2t3c5h6"};
  rondo_context *ctx = test_context();
  for (size_t i = 0; ctx && i < sizeof names / sizeof *names; i++) one_format(row, ctx, names[i]);
}

/* A GRU that resets after its product keeps its biases apart: exchanged, they mean something else. */
static void gru_biases(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named("gru:n2t3c5h6:h0");
  rondo_weights *w = &data.weights[0];
  const float *bias = w->bias;
  w->bias = w->recurrent_bias, w->recurrent_bias = bias;
  test_setup s;
  if (!test_set_up(&s, ctx, &data, NULL)) return;
  test_outputs out = test_forward(&s, &s.batch);
  expect_bounds("exchanged biases", &data, &out);
}

/* Arrays that may be left out: biases are zeros, gammas ones, beta_cell zeros. */
static void left_out(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *whole = test_data_named(name);
  const size_t optional[] = {offsetof(rondo_weights, bias),         offsetof(rondo_weights, recurrent_bias),
                             offsetof(rondo_weights, gamma_kernel), offsetof(rondo_weights, gamma_recurrent),
                             offsetof(rondo_weights, gamma_cell),   offsetof(rondo_weights, beta_cell)};
  for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
    problem_data data = *whole; /* shares the arrays */
    const float **array = (const float **)(void *)((char *)&data.weights[0] + optional[i]);
    test_setup s;
    if (!*array) continue;
    *array = NULL;
    if (!test_set_up(&s, ctx, &data, NULL)) return;
    test_outputs out = test_forward(&s, &s.batch);
    expect_bounds("an array left out", &data, &out);
  }
}

static const char *const with_options[] = {
    "lstm:n2t3c5h6",        "lstm:n2t3c5h6:h0:norm", "gru:n2t3c5h6:h0", "gru:n2t3c5h6:before",
    "gru:n2t3c5h6:h0:norm", "rnn:n2t3c5h6:h0",       "dense:n2t3c5h6",  NULL};

const test_suite test_weights = {"Weights", TEST_ALL,
                                 (const test_row[]){{"weight_formats", weight_formats, TEST_TABLE(formats)},
                                                    {"gru_biases", gru_biases, NULL, 0},
                                                    {"left_out", left_out, TEST_TABLE(with_options)},
                                                    {NULL, NULL, NULL, 0}}};
