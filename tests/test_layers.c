/* test_layers.c - the table of problems through every backend variant and algorithm, against the exact result with the
 * bounds of compare.c. RONDO_REFERENCE is one of the variants and held to bounds of its own, some 2^-24 of a value. */
#include "compare.h"
#include "harness.h"

#include "internal.h"

#include <stdio.h>
#include <string.h>

static compare_arithmetic arithmetic_of(const rondo_context *ctx, const problem *p) {
  if (rondo_context_backend(ctx) == RONDO_REFERENCE) return compare_reference;
  return rondo_context_backend(ctx) == RONDO_CUDA && p->allow_tf32 ? compare_tf32 : compare_float;
}

static void expect_close(const compare_expected *expected, const problem_data *data, const test_outputs *out) {
  if (out->y) EXPECT_RATIO(compare_y(expected, data, out->y), "y");
  if (out->y_last) EXPECT_RATIO(compare_y_last(expected, data, out->y_last), "y_last");
  if (out->h_n) EXPECT_RATIO(compare_h_n(expected, data, out->h_n), "h_n");
  if (out->c_n) EXPECT_RATIO(compare_c_n(expected, data, out->c_n), "c_n");
}

/* All outputs against the exact ones: of one layer, step by step from the y that was computed; of more, as a whole. */
static void expect_exact(const test_setup *s, const test_outputs *out) {
  compare_expected expected;
  const problem *p = &s->data->problem;
  compare_arithmetic arithmetic = arithmetic_of(s->ctx, p);
  int made = p->num_layers == 1 ? compare_expect_steps(&expected, s->data, arithmetic, out->y)
                                : compare_expect(&expected, s->data, arithmetic);
  if (!EXPECT(made, "no host memory")) return;
  expect_close(&expected, s->data, out);
  compare_free(&expected);
}

/* Whether nothing but the rows was written: poison must stand between them. rows x columns rows of H floats. */
static void expect_gaps(const char *name, const float *array, size_t count, int rows, int columns, size_t to_row,
                        size_t to_column, int hidden) {
  if (!array) return;
  float *rest = test_memory(count * sizeof *rest), *filler = test_memory((size_t)hidden * sizeof *filler);
  uint32_t pattern = 0;
  memcpy(rest, array, count * sizeof *rest);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++)
      memcpy(rest + (size_t)r * to_row + (size_t)c * to_column, filler, (size_t)hidden * sizeof *filler);
  for (size_t i = 0; i < count; i++) {
    memcpy(&pattern, rest + i, sizeof pattern);
    if (pattern && !EXPECT(test_is_poison(rest + i, 1), "%s: the gap at float %zu was written", name, i)) return;
  }
}

static void expect_all_gaps(const test_setup *s, const test_outputs *out) {
  const problem *p = &s->data->problem;
  const problem_data *d = s->data;
  int hidden = p->hidden_size, states = p->num_layers * p->batch;
  expect_gaps("y", out->y, s->y_count, p->batch, p->timesteps, d->y_strides.sequence, d->y_strides.timestep, hidden);
  expect_gaps("y_last", out->y_last, s->y_last_count, p->batch, 1, d->y_last_stride, 0, hidden);
  expect_gaps("h_n", out->h_n, s->state_count, states, 1, d->state_stride, 0, hidden);
  expect_gaps("c_n", out->c_n, s->state_count, states, 1, d->state_stride, 0, hidden);
}

static void expect_unchanged(const test_setup *s, const char *name, const void *now, const float *before,
                             size_t count) {
  if (before && !EXPECT(now, "%s is gone", name)) return;
  if (before)
    EXPECT(test_same_bits(buffer_download(s->ctx, NULL, now, count), before, count), "the call changed %s", name);
}

/* y_last is y's last row, and h_n's of the top layer: one value, written to three places. */
static void expect_one_value(const test_setup *s, const test_outputs *out) {
  const problem *p = &s->data->problem;
  size_t hidden = (size_t)p->hidden_size;
  for (int n = 0; n < p->batch; n++) {
    const float *last = out->y_last + (size_t)n * s->data->y_last_stride;
    EXPECT(test_same_bits(last, out->y + problem_at(s->data->y_strides, n, p->timesteps - 1), hidden),
           "y_last is not the last row of y, sequence %d", n);
    EXPECT(test_same_bits(last, out->h_n + problem_state_at(s->data, p->num_layers - 1, n), hidden),
           "y_last is not h_n, sequence %d", n);
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
  for (int i = 0; i < ctx->ops->algorithm_count; i++) one_algorithm(ctx, data, ctx->ops->algorithms[i].id);
}

/* Each of the 15 sets of wanted outputs, and what was not wanted stays as it was. */
static void wanted_outputs(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  test_setup s;
  compare_expected expected;
  if (!test_set_up(&s, ctx, data, NULL)) return;
  if (!EXPECT(compare_expect(&expected, data, arithmetic_of(ctx, &data->problem)), "no host memory")) return;
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
    for (int i = 0; i < 4; i++) {
      buffer_poison(ctx, all[i].buffer, all[i].count);
      if (!(set >> i & 1)) *fields[i] = NULL;
    }
    test_outputs out = test_forward(&s, &b);
    expect_close(&expected, data, &out);
    expect_all_gaps(&s, &out);
    for (int i = 0; i < 4; i++)
      if (!(set >> i & 1))
        EXPECT(test_is_poison(buffer_download(ctx, NULL, all[i].buffer, all[i].count), all[i].count),
               "output %d was written, but only the set %d was wanted", i, set);
  }
  compare_free(&expected);
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
    compare_expected expected;
    if (!test_set_up(&s, ctx, &half, NULL)) return;
    if (!EXPECT(compare_expect(&expected, &half, arithmetic_of(ctx, &half.problem)), "no host memory")) return;
    test_outputs out = test_forward(&s, &s.batch);
    expect_close(&expected, &half, &out);
    compare_free(&expected);
  }
}

/* One layer of a stack as a problem of its own: it reads what the layer below gave. Shares the arrays of data. */
static problem_data layer_alone(const problem_data *data, int layer, float *x) {
  problem p = data->problem;
  problem_data alone;
  if (layer) p.input_size = p.hidden_size;
  p.num_layers = 1;
  problem_layout(&alone, &p);
  alone.x = x;
  if (layer) alone.x_strides = alone.y_strides, alone.x_count = alone.y_count;
  if (data->h_0) alone.h_0 = data->h_0 + problem_state_at(data, layer, 0);
  if (data->c_0) alone.c_0 = data->c_0 + problem_state_at(data, layer, 0);
  alone.kernel[0] = data->kernel[layer];
  alone.recurrent_kernel[0] = data->recurrent_kernel[layer];
  alone.bias[0] = data->bias[layer];
  return alone;
}

/* The lowest layers of a stack as a stack of their own, whose y is what goes into the next. Shares the arrays too. */
static problem_data lowest_layers(const problem_data *data, int count) {
  problem_data lowest = *data;
  lowest.problem.num_layers = count;
  lowest.state_count =
      problem_state_at(&lowest, count - 1, lowest.problem.batch - 1) + (size_t)lowest.problem.hidden_size;
  return lowest;
}

static void expect_same_layer(const problem_data *data, int layer, const test_outputs *stack,
                              const test_outputs *alone) {
  for (int n = 0; n < data->problem.batch; n++) {
    size_t at = problem_state_at(data, layer, n), row = problem_state_at(data, 0, n);
    size_t hidden = (size_t)data->problem.hidden_size;
    EXPECT(test_same_bits(stack->h_n + at, alone->h_n + row, hidden), "h_n of layer %d, sequence %d, differs", layer,
           n);
    EXPECT(test_same_bits(stack->c_n + at, alone->c_n + row, hidden), "c_n of layer %d, sequence %d, differs", layer,
           n);
  }
}

/* Each layer of a stack makes of the y below what it should, within its bounds: the y of a stack that ends below. And a
 * stack has the bits of its layers one after another, but where cuBLAS chooses by its own lights. */
static void layer_by_layer(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  test_setup whole;
  if (!test_set_up(&whole, ctx, test_data_named(name), NULL)) return;
  const problem_data *data = whole.data;
  int same_bits = rondo_context_backend(ctx) == RONDO_CPU || test_is_simt(ctx);
  test_outputs all = test_forward(&whole, &whole.batch);
  float *x = data->x;
  for (int l = 0; l < data->problem.num_layers; l++) {
    problem_data alone = layer_alone(data, l, x), lowest = lowest_layers(data, l + 1);
    test_setup one, stack;
    if (!test_set_up(&one, ctx, &alone, NULL) || !test_set_up(&stack, ctx, &lowest, NULL)) return;
    test_outputs out = test_forward(&stack, &stack.batch), top = out;
    top.h_n += problem_state_at(data, l, 0), top.c_n += problem_state_at(data, l, 0);
    expect_exact(&one, &top);
    x = out.y;
    if (!same_bits) continue;
    test_outputs by_itself = test_forward(&one, &one.batch);
    expect_same_layer(data, l, &out, &by_itself);
    expect_same_layer(data, l, &all, &by_itself);
    EXPECT(test_same_bits(out.y, by_itself.y, one.y_count), "y differs from that of layer %d by itself", l);
  }
  if (same_bits) EXPECT(test_same_bits(all.y, x, whole.y_count), "the same stack gave another y");
}

/* Strides of 0 mean the dense ones. */
static void zero_strides(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  test_setup s;
  if (!test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  test_outputs given = test_forward(&s, &s.batch);
  rondo_batch b = s.batch;
  b.x_strides = b.y_strides = (rondo_strides){0, 0};
  b.y_last_stride = b.state_stride = 0;
  buffer_poison(ctx, b.y, s.y_count);
  test_outputs zero = test_forward(&s, &b);
  EXPECT(test_same_outputs(&s, &given, &zero), "strides of 0 differ from the dense ones");
}

static const char *const stacks[] = {"lstm:n3t5c7h9l2",
                                     "lstm:n2t9c6h5l3:h0",
                                     "lstm:n4t6c8h33l3:strided:back",
                                     "lstm:n1t20c256h256l2:back:h0",
                                     "lstm:n1t257c3h5l2:h0",
                                     NULL};
static const char *const dense[] = {"lstm:n3t5c7h9:h0", "lstm:n3t5c7h9l2:time:h0", "lstm:n2t3c4h17l3:back", NULL};
static const char *const with_state[] = {"lstm:n3t5c7h9:h0", "lstm:n3t5c7h17l2:strided:h0", NULL};

/* ---- Weights in other frameworks' orders ------------------------------------------------------------------------- */

static const struct format_row {
  const char *name;
  rondo_format format;
  int gates[4]; /* which of i, f, g, o stands where */
} formats[] = {{"keras", RONDO_KERAS, {0, 1, 2, 3}},
               {"pytorch", RONDO_PYTORCH, {0, 1, 2, 3}},
               {"onnx", RONDO_ONNX, {0, 3, 1, 2}},
               {"cudnn", RONDO_CUDNN, {0, 1, 2, 3}},
               {NULL, RONDO_KERAS, {0}}};

/* Keras's (rows, 4H) in the format's order; rows 0: a bias (4H), each element halved. */
static float *reorder(const struct format_row *to, const float *from, size_t rows, size_t hidden) {
  size_t width = rows ? rows : 1;
  float *result = test_memory(width * 4 * hidden * sizeof *result);
  for (size_t k = 0; k < width; k++)
    for (size_t gate = 0; gate < 4; gate++)
      for (size_t j = 0; j < hidden; j++) {
        float value = from[k * 4 * hidden + (size_t)to->gates[gate] * hidden + j];
        size_t column = gate * hidden + j;
        result[to->format == RONDO_KERAS ? k * 4 * hidden + column : column * width + k] = rows ? value : value / 2;
      }
  return result;
}

/* Bits equal those of Keras's order, also when half of each bias comes as the recurrent one. */
static void weight_formats(const void *row) {
  const struct format_row *to = row;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  test_setup s;
  if (!test_set_up(&s, ctx, test_data_named("lstm:n2t3c5h6l2"), NULL)) return;
  test_outputs keras = test_forward(&s, &s.batch);
  void *params = buffer_new(ctx, rondo_plan_sizes(s.plan)->params);
  for (int l = 0; l < 2; l++) {
    rondo_weights w = problem_weights(s.data, l);
    w.format = to->format;
    w.kernel = reorder(to, w.kernel, l ? 6 : 5, 6);
    w.recurrent_kernel = reorder(to, w.recurrent_kernel, 6, 6);
    w.bias = w.recurrent_bias = reorder(to, w.bias, 0, 6);
    EXPECT_OK(rondo_pack(s.plan, ctx, params, &w));
  }
  rondo_batch b = s.batch;
  b.params = params;
  test_outputs other = test_forward(&s, &b);
  EXPECT(test_same_outputs(&s, &keras, &other), "weights packed from %s give other bits", to->name);
}

/* A bias that is not given is zeros, for a layer that has one. */
static void no_bias_array(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named("lstm:n2t3c5h6");
  data.bias[0] = NULL;
  test_setup s;
  compare_expected expected;
  if (!test_set_up(&s, ctx, &data, NULL)) return;
  if (!EXPECT(compare_expect(&expected, &data, arithmetic_of(ctx, &data.problem)), "no host memory")) return;
  test_outputs out = test_forward(&s, &s.batch);
  expect_close(&expected, &data, &out);
  compare_free(&expected);
}

/* Not on the reference, whose doubles go from layer to layer unrounded. */
const test_suite test_stacks = {
    "Stacks", TEST_CPU | TEST_CUDA,
    (const test_row[]){{"layer_by_layer", layer_by_layer, TEST_TABLE(stacks)}, {NULL, NULL, NULL, 0}}};

const test_suite test_layers = {"Layers", TEST_ALL,
                                (const test_row[]){{"algorithms", algorithms, TEST_TABLE(problem_table)},
                                                   {"wanted_outputs", wanted_outputs, TEST_TABLE(problem_small_table)},
                                                   {"half_a_state", half_a_state, TEST_TABLE(with_state)},
                                                   {"zero_strides", zero_strides, TEST_TABLE(dense)},
                                                   {"weight_formats", weight_formats, TEST_TABLE(formats)},
                                                   {"no_bias_array", no_bias_array, NULL, 0},
                                                   {NULL, NULL, NULL, 0}}};
