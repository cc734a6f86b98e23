/* test_cells_cpu.c - the functions of the CPU backend against libm in double, and its cells row by row against the
 * reference twins. */
#include "kernels_cpu.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- functions --------------------------------------------------------------------------------------------------- */

/* Bounds: relative to the result, in u; and relative to the terms |alpha x| and |beta| of a sum, which may cancel, or,
 * in tanh_shrink, to tanh(x).
 * Where the result is below 100 FLT_MIN, that bounds the absolute error. As stated in vec.h and vec_functions.h. */
static const struct function_row {
  const char *name;
  rondo_function function;
  double relative, of_terms;
} functions[] = {{"tanh", {RONDO_TANH, 0, 0}, 3.3, 0},
                 {"sigmoid", {RONDO_SIGMOID, 0, 0}, 2.5, 0},
                 {"hard_sigmoid", {RONDO_HARD_SIGMOID, 1.0f / 6, 0.5f}, 1, 1},
                 {"hard_sigmoid of Keras 2", {RONDO_HARD_SIGMOID, 0.2f, 0.5f}, 1, 1},
                 {"relu", {RONDO_RELU, 0, 0}, 0, 0},
                 {"linear", {RONDO_LINEAR, 0, 0}, 0, 0},
                 {"softsign", {RONDO_SOFTSIGN, 0, 0}, 2, 0},
                 {"softplus", {RONDO_SOFTPLUS, 0, 0}, 5, 0},
                 {"elu", {RONDO_ELU, 1, 0}, 2.6, 0},
                 {"elu 0.3", {RONDO_ELU, 0.3f, 0}, 3.6, 0},
                 {"selu", {RONDO_SELU, 0, 0}, 5, 0},
                 {"exponential", {RONDO_EXPONENTIAL, 0, 0}, 2.2, 0},
                 {"silu", {RONDO_SILU, 0, 0}, 5, 0},
                 {"gelu", {RONDO_GELU, 0, 0}, 8, 0},
                 {"leaky_relu", {RONDO_LEAKY_RELU, 0.2f, 0}, 1, 0},
                 {"relu6", {RONDO_RELU6, 0, 0}, 0, 0},
                 {"mish", {RONDO_MISH, 0, 0}, 6, 0},
                 {"hard_silu", {RONDO_HARD_SILU, 1.0f / 6, 0.5f}, 2, 2},
                 {"hard_tanh", {RONDO_HARD_TANH, 0, 0}, 0, 0},
                 {"log_sigmoid", {RONDO_LOG_SIGMOID, 0, 0}, 5, 0},
                 {"affine", {RONDO_AFFINE, 0.7f, 0.3f}, 1, 1},
                 {"thresholded_relu", {RONDO_THRESHOLDED_RELU, 1, 0}, 0, 0},
                 {"scaled_tanh", {RONDO_SCALED_TANH, 1.7f, 0.6f}, 5.3, 0},
                 {"celu", {RONDO_CELU, 1, 0}, 2.6, 0},
                 {"celu 0.3", {RONDO_CELU, 0.3f, 0}, 4.6, 0},
                 {"squareplus", {RONDO_SQUAREPLUS, 4, 0}, 5, 0},
                 {"squareplus 0.1", {RONDO_SQUAREPLUS, 0.1f, 0}, 5, 0},
                 {"soft_shrink", {RONDO_SOFT_SHRINK, 0.5f, 0}, 1, 0},
                 {"hard_shrink", {RONDO_HARD_SHRINK, 0.5f, 0}, 0, 0},
                 {"tanh_shrink", {RONDO_TANH_SHRINK, 0, 0}, 1, 3.3},
                 {"threshold", {RONDO_THRESHOLD, 0.5f, -2}, 0, 0},
                 {"sparse_plus", {RONDO_SPARSE_PLUS, 0, 0}, 3, 0},
                 {"sparse_sigmoid", {RONDO_SPARSE_SIGMOID, 0, 0}, 1, 0},
                 {NULL, {RONDO_DEFAULT, 0, 0}, 0, 0}};

static double function_bound(const struct function_row *row, double x, double expected) {
  double terms = fabs((double)row->function.alpha * x) + fabs((double)row->function.beta);
  if (row->function.kind == RONDO_HARD_SILU) terms = fabs(x) <= 3 ? fabs(x) * terms : 0;
  if (row->function.kind == RONDO_TANH_SHRINK) terms = fabs(tanh(x));
  if (row->function.kind == RONDO_HARD_SIGMOID && terms > 4) terms = 0; /* far beyond 0 and 1 */
  return u * (row->relative * fabs(expected) + (row->of_terms > 0 ? row->of_terms * terms : 0)) + 100 * FLT_MIN;
}

/* Every exponent and both signs. Results beyond the floats must be infinite, those next to them may be. */
static void sweep(const rondo_cpu_kernels *kernels, const struct function_row *row) {
  enum { MANY = 1 << 12 };
  static const uint32_t stride = 4099; /* of bit patterns; a prime */
  float in[MANY], out[MANY];
  double worst = 0;
  uint64_t bits = 0;
  while (bits <= UINT32_MAX) {
    int count = 0;
    for (; count < MANY && bits <= UINT32_MAX; bits += stride) {
      uint32_t pattern = (uint32_t)bits;
      memcpy(&in[count], &pattern, sizeof pattern);
      if (isfinite(in[count])) count++;
    }
    kernels->map(row->function, count, in, out);
    for (int i = 0; i < count; i++) {
      double expected = rondo_function_ref(row->function, in[i]);
      if (fabs(expected) > FLT_MAX)
        EXPECT(isinf(out[i]), "%s(%g) is %g, not infinite", row->name, (double)in[i], (double)out[i]);
      else
        worst = fmax(worst, cpu_share(out[i], expected, function_bound(row, in[i], expected)));
    }
  }
  EXPECT_RATIO(worst, "%s", row->name);
}

/* Zeros, infinities and NaN: as in double. */
static void special_values(const rondo_cpu_kernels *kernels, const struct function_row *row) {
  static const float values[] = {0.0f, -0.0f, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    float got;
    kernels->map(row->function, 1, &values[i], &got);
    double expected = isnan(values[i]) ? (double)NAN : rondo_function_ref(row->function, values[i]);
    EXPECT(cpu_share(got, expected, function_bound(row, 0, expected)) <= 1, "%s(%g) is %g, not %g", row->name,
           (double)values[i], (double)got, expected);
  }
}

static void every_function(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  if (!kernels) return;
  for (const struct function_row *row = functions; row->name; row++) {
    sweep(kernels, row);
    special_values(kernels, row);
  }
  float zeros[2] = {0.0f, -0.0f}, signs[2], infinite = -INFINITY, tiny;
  kernels->map((rondo_function){.kind = RONDO_TANH}, 2, zeros, signs);
  EXPECT(!signbit(signs[0]) && signbit(signs[1]), "tanh keeps the sign of 0");
  kernels->exp(1, &infinite, &tiny);
  EXPECT(tiny <= 1.1f * FLT_MIN, "the kernels' own exp(-inf) is %g", (double)tiny);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

enum { ROWS = 3 };

typedef struct cell_case {
  rondo_layer layer;
  rondo_cell_forward_args args;
  float *c_out; /* (ROWS, hidden) */
} cell_case;

static cell_case cell_make(const rondo_cpu_kernels *kernels, rondo_context *ctx, rondo_layer layer, int hidden) {
  static const int gate_counts[] = {4, 3, 1, 1};
  int units = (hidden - 1) / kernels->lanes * kernels->lanes + kernels->lanes, gates = gate_counts[layer.cell];
  size_t sums = (size_t)(ROWS * gates * units), states = (size_t)(ROWS * hidden);
  cell_case c = {.layer = layer, .c_out = buffer_output(ctx, states)};
  c.args = (rondo_cell_forward_args){.rows = ROWS,
                                     .hidden = hidden,
                                     .units = units,
                                     .x_sums = cpu_filled(ctx, sums, 1),
                                     .h_sums = cpu_filled(ctx, sums, 2),
                                     .inner = buffer_output(ctx, (size_t)(ROWS * units)),
                                     .peephole = cpu_filled(ctx, (size_t)(3 * units), 3),
                                     .h_in = (const float *const *)cpu_rows(cpu_filled(ctx, states, 4), ROWS, hidden),
                                     .c_in = (const float *const *)cpu_rows(cpu_filled(ctx, states, 5), ROWS, hidden),
                                     .c_out = cpu_rows(c.c_out, ROWS, hidden)};
  return c;
}

/* With functions whose slopes are at most 1 and which are off by 4 u at most, values within 1, sums of two or three
 * numbers within 1: a gate is off by 4 u * 3 + 4 u, and what is made of a few of them by a few times that. */
static double cell_bound(void) {
  double gate = 16 * u, cell = 3 * gate + 4 * u, output = gate + cell + 4 * u; /* peephole: o's sum has c in it */
  return output + cell + 4 * u;
}

/* The functions and options of the cells, all of slope 1 at most. */
static const rondo_layer layers[] = {
    {.cell = RONDO_LSTM},
    {.cell = RONDO_LSTM, .peephole = 1},
    {.cell = RONDO_LSTM, .input_forget = 1, .cell_clip = 0.3f},
    {.cell = RONDO_LSTM, .peephole = 1, .clip = 0.4f, .zoneout_cell = 0.25f},
    {.cell = RONDO_LSTM,
     .recurrent_activation = {RONDO_HARD_SIGMOID, 0.2f, 0.5f},
     .activation = {RONDO_SOFTSIGN, 0, 0}},
    {.cell = RONDO_GRU},
    {.cell = RONDO_GRU, .clip = 0.4f},
    {.cell = RONDO_GRU, .reset_before = 1, .activation = {RONDO_HARD_TANH, 0, 0}},
    {.cell = RONDO_RNN, .activation = {RONDO_RELU, 0, 0}},
    {.cell = RONDO_RNN, .clip = 0.5f},
    {.cell = RONDO_DENSE, .activation = {RONDO_SIGMOID, 0, 0}},
};

static rondo_layer resolved(rondo_layer layer) {
  if (!layer.activation.kind) layer.activation.kind = RONDO_TANH;
  if (!layer.recurrent_activation.kind) layer.recurrent_activation.kind = RONDO_SIGMOID;
  layer.output_activation = layer.activation;
  return layer;
}

static void check_cell(const rondo_cpu_kernels *kernels, cell_case *c) {
  const rondo_cell_forward_args *args = &c->args;
  size_t count = (size_t)(ROWS * args->hidden);
  double *inner = test_memory(count * sizeof(double)), *cell = test_memory(count * sizeof(double)), worst = 0;
  int dense = c->layer.cell == RONDO_DENSE;
  if (c->layer.reset_before) kernels->gru_reset_forward(args);
  for (int n = 0; c->layer.reset_before && n < ROWS; n++)
    for (int j = 0; j < args->hidden; j++) {
      float reset = args->x_sums[(n * 3 + 1) * args->units + j], product = reset * args->h_in[n][j];
      EXPECT(args->inner[n * args->units + j] == product, "r * h at %d, %d", n, j);
    }
  rondo_cell_forward_ref(args, inner, cell);
  kernels->cell_forward[c->layer.cell](args);
  for (int n = 0; n < ROWS; n++)
    for (int j = 0; j < args->hidden; j++) {
      int at = n * args->hidden + j;
      const float *got = dense ? args->x_sums : args->inner;
      worst = fmax(worst, cpu_share(got[n * args->units + j], inner[at], cell_bound()));
      if (c->layer.cell == RONDO_LSTM) worst = fmax(worst, cpu_share(c->c_out[at], cell[at], cell_bound()));
    }
  EXPECT_RATIO(worst, "cell %d, hidden %d", (int)c->layer.cell, args->hidden);
}

static void every_cell(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
    for (int hidden = 1; hidden <= 2 * kernels->lanes + 1; hidden += hidden < 3 ? 1 : 5) {
      cell_case c = cell_make(kernels, ctx, resolved(layers[i]), hidden);
      c.args.layer = &c.layer;
      check_cell(kernels, &c);
    }
}

/* z and r of reset_before, which every_cell takes as given. */
static void reset_gates(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  rondo_layer layer = resolved((rondo_layer){.cell = RONDO_GRU, .reset_before = 1});
  cell_case c = cell_make(kernels, ctx, layer, kernels->lanes + 1);
  c.args.layer = &c.layer;
  int width = 3 * c.args.units;
  double *sums = test_memory((size_t)(ROWS * width) * sizeof(double)), worst = 0;
  for (int i = 0; i < ROWS * width; i++) sums[i] = (double)c.args.x_sums[i] + c.args.h_sums[i];
  kernels->gru_reset_forward(&c.args);
  for (int n = 0; n < ROWS; n++)
    for (int g = 0; g < 2; g++)
      for (int j = 0; j < c.args.hidden; j++) {
        int at = n * width + g * c.args.units + j;
        worst = fmax(worst, cpu_share(c.args.x_sums[at], 1 / (1 + exp(-sums[at])), 16 * u));
      }
  EXPECT_RATIO(worst, "z and r");
}

/* ---- layer_norm, softmax, output --------------------------------------------------------------------------------- */

/* The mean of n numbers within 1 is off by n u, and so is a distance from it; half of the variance's relative error is
 * that over the deviation, and the sum of squares rounds n times. */
static double norm_error(const float *v, const float *got, int hidden, int units, const float *gamma,
                         const float *beta) {
  double *expected = test_memory((size_t)(4 * units) * sizeof(double)), scale, worst = 0;
  rondo_layer_norm_ref(v, 4, hidden, units, gamma, beta, expected, &scale);
  for (int i = 0; i < 4 * units; i++) {
    if (i % units >= hidden) continue;
    double terms = 4 * hidden, away = (terms + 2) * u * scale;
    double standard = gamma[i] != 0 ? fabs((expected[i] - beta[i]) / gamma[i]) : 0;
    double bound = fabs(gamma[i]) * (away + standard * (away + (terms / 2 + 4) * u)) + 2 * u * (1 + standard);
    worst = fmax(worst, cpu_share(got[i], expected[i], bound));
  }
  return worst;
}

static void norm(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (int hidden = 1; hidden <= 2 * kernels->lanes + 1; hidden += 4) {
    rondo_layer layer = resolved((rondo_layer){.cell = RONDO_LSTM, .layer_norm = 1});
    cell_case before = cell_make(kernels, ctx, layer, hidden), c = cell_make(kernels, ctx, layer, hidden);
    int units = c.args.units, width = 4 * units;
    c.args.layer = &c.layer;
    c.args.gamma_kernel = cpu_filled(ctx, (size_t)width, 6);
    c.args.gamma_recurrent = cpu_filled(ctx, (size_t)width, 7);
    c.args.bias = cpu_filled(ctx, (size_t)width, 8);
    c.args.recurrent_bias = cpu_filled(ctx, (size_t)width, 9);
    kernels->layer_norm_forward(&c.args);
    double worst = 0;
    for (int n = 0; n < ROWS; n++) {
      worst = fmax(worst, norm_error(before.args.x_sums + n * width, c.args.x_sums + n * width, hidden, units,
                                     c.args.gamma_kernel, c.args.bias));
      worst = fmax(worst, norm_error(before.args.h_sums + n * width, c.args.h_sums + n * width, hidden, units,
                                     c.args.gamma_recurrent, c.args.recurrent_bias));
    }
    EXPECT_RATIO(worst, "layer_norm of 4 x %d", hidden);
  }
}

/* exp is off by 2.2 u and its argument by u times it, the sum by u for each term, the division by u. */
static void softmax(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (int hidden = 1; hidden <= 3 * kernels->lanes; hidden += 3) {
    cell_case c =
        cell_make(kernels, ctx, (rondo_layer){.cell = RONDO_DENSE, .activation = {RONDO_SOFTMAX, 0, 0}}, hidden);
    c.args.layer = &c.layer;
    int units = c.args.units;
    double *e = test_memory((size_t)(ROWS * units) * sizeof(double)), worst = 0;
    for (int i = 0; i < ROWS * units; i++) e[i] = exp((double)(c.args.x_sums[i] *= 40));
    kernels->cell_forward[RONDO_DENSE](&c.args);
    for (int n = 0; n < ROWS; n++) {
      double sum = 0;
      for (int j = 0; j < hidden; j++) sum += e[n * units + j];
      for (int j = 0; j < hidden; j++) {
        double expected = e[n * units + j] / sum, bound = (2 * (2.2 + 80) + hidden + 1) * u * expected + 2 * FLT_MIN;
        worst = fmax(worst, cpu_share(c.args.x_sums[n * units + j], expected, bound));
      }
    }
    EXPECT_RATIO(worst, "softmax of %d", hidden);
  }
}

/* zoneout, a second place, and merges; nothing beyond the columns. */
static void output(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (int columns = 1; columns <= 2 * kernels->lanes + 1; columns++)
    for (int merge = 0; merge <= RONDO_AVE; merge++) {
      int width = columns + kernels->lanes, count = ROWS * columns;
      float *value = cpu_filled(ctx, (size_t)(ROWS * width), 1), *h = cpu_filled(ctx, (size_t)count, 2);
      float *h_out = buffer_output(ctx, (size_t)count), *y = cpu_filled(ctx, (size_t)count, 3);
      float *other = cpu_filled(ctx, (size_t)count, 3), rate = merge % 2 ? 0.25f : 0;
      kernels->output_forward(&(rondo_output_forward_args){.rows = ROWS,
                                                           .columns = columns,
                                                           .value = value,
                                                           .value_row = width,
                                                           .zoneout = rate,
                                                           .h_in = (const float *const *)cpu_rows(h, ROWS, columns),
                                                           .h_out = cpu_rows(h_out, ROWS, columns),
                                                           .y = cpu_rows(y, ROWS, columns),
                                                           .merge = (rondo_merge)merge});
      for (int i = 0; i < count; i++) {
        double fresh = value[i / columns * width + i % columns];
        double expected = (double)rate * h[i] + (1 - (double)rate) * fresh;
        EXPECT(fabs(h_out[i] - expected) <= 2 * u * (fabs((double)h[i]) + fabs(fresh)), "h at %d of %d", i, columns);
        float merged = merge == RONDO_MUL ? other[i] * h_out[i] : other[i] + h_out[i];
        float y_expected = merge == RONDO_CONCAT ? h_out[i] : merge == RONDO_AVE ? merged / 2 : merged;
        EXPECT(y[i] == y_expected, "y at %d of %d, merge %d", i, columns, merge);
      }
    }
}

const test_suite test_cells_cpu = {"KernelsCpu", TEST_ONCE,
                                   (const test_row[]){CPU_TEST(every_function),
                                                      CPU_TEST(every_cell),
                                                      CPU_TEST(reset_gates),
                                                      CPU_TEST(norm),
                                                      CPU_TEST(softmax),
                                                      CPU_TEST(output),
                                                      {0}}};
