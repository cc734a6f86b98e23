/* kernels_ref.c - the reference twins of the CPU kernels: one sum after another in double, straight from kernels.h.
 * Part of the tests, not of the library. */
#include "cpu/kernels.h"

#include "half.h"

#include <math.h>

/* Number k of a row that is number `column` of (rows, width) pairs. */
static double of_pair(const uint32_t *pairs, int width, int k, int column) {
  uint32_t pair = pairs[k / 2 * width + column];
  return rondo_from_bf16((uint16_t)(k % 2 ? pair : pair >> 16));
}

static double float_at(const uint32_t *words, int at) {
  return rondo_bits_float(words[at]);
}

/* Likewise of a column (2 + rows / 4 rounded up, width) of quads, whose head is not looked at but for the scale. */
static double of_quad(const uint32_t *quads, int width, int k, int column) {
  const int8_t *levels = (const int8_t *)(quads + RONDO_CPU_QUADS_HEAD * width);
  return levels[4 * (k / 4 * width + column) + k % 4] * float_at(quads, width + column);
}

/* Number k of `count` of a row of words. */
static double of_row(rondo_dtype type, const uint32_t *words, int count, int k) {
  if (type == RONDO_BF16) return of_pair(words, 1, k, 0);
  return (((const uint8_t *)words)[k] - 128) * float_at(words, (count + 3) / 4);
}

/* The weight of row k and a column of a stream (rows, width). */
static double weight_at(rondo_dtype type, int fill, const void *weights, int stream, int rows, int width, int k,
                        int column) {
  int at = (stream * rows + k) * width + column, quads = RONDO_CPU_QUADS_HEAD + (rows + 3) / 4;
  if (type == RONDO_INT8) return of_quad((const uint32_t *)weights + stream * quads * width, width, k, column);
  int depth = (int)rondo_cpu_filled(fill, (size_t)rows);
  if (fill > 1) return of_pair((const uint32_t *)weights + stream * depth / 2 * width, width, k, column);
  return type == RONDO_F32 ? ((const float *)weights)[at] : rondo_from_half(type, ((const uint16_t *)weights)[at]);
}

void rondo_product_forward_ref(const rondo_product_forward_args *args, const rondo_cpu_kernels *kernels, double *sums,
                               double *size) {
  int width = args->gates * kernels->lanes, fill = args->in_words ? rondo_cpu_fill(kernels, args->type) : 1;
  for (int block = 0; block < args->blocks; block++)
    for (int m = 0; m < args->rows; m++)
      for (int column = 0; column < width; column++) {
        double sum = args->start ? args->start[m * args->start_row + block * width + column] : 0;
        double absolute = fabs(sum);
        for (int k = 0; k < args->inputs; k++) {
          const uint32_t *words = args->in_words ? args->in_words + m * args->words_row : NULL;
          double weight = weight_at(args->type, fill, args->weights, block, args->inputs, width, k, column);
          double term = (words ? of_row(args->type, words, args->inputs, k) : args->in[m][k]) * weight;
          sum += term;
          absolute += fabs(term);
        }
        *sums++ = sum;
        *size++ = absolute;
      }
}

static double sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}

/* a and size (G) of unit `unit` of row n; `apart`: gate 2 begins with the recurrent bias instead of x's part. */
static void gate_sums(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, int gates, int n,
                      int unit, int apart, double *a, double *size) {
  int lanes = kernels->lanes, block = unit / lanes, lane = unit % lanes;
  int fill = args->h_in_words ? rondo_cpu_fill(kernels, args->type) : 1;
  for (int g = 0; g < gates; g++) {
    a[g] = args->sums[block * args->sums_block + (n * gates + g) * lanes + lane];
    if (apart && g == 2) a[g] = args->bias[unit];
    size[g] = fabs(a[g]);
    for (int k = 0; k < args->hidden; k++) {
      const uint32_t *words = args->h_in_words ? args->h_in_words + n * args->words_row : NULL;
      double weight =
          weight_at(args->type, fill, args->weights, block, args->hidden, gates * lanes, k, g * lanes + lane);
      double term = (words ? of_row(args->type, words, args->hidden, k) : args->h_in[n][k]) * weight;
      a[g] += term;
      size[g] += fabs(term);
    }
  }
}

static int end_unit(const rondo_fused_forward_args *args, int lanes) {
  int end = (args->first_block + args->blocks) * lanes;
  return end < args->hidden ? end : args->hidden;
}

/* c and h of a unit from its gate sums. */
static void lstm_state(const rondo_fused_forward_args *args, int n, int unit, const double *a, double *c, double *h) {
  *c = sigmoid(a[1]) * args->c_in[n][unit] + sigmoid(a[0]) * tanh(a[2]);
  *h = sigmoid(a[3]) * tanh(*c);
}

static double gru_state(const rondo_fused_forward_args *args, int lanes, int n, int unit, const double *a) {
  double x_part = args->sums[unit / lanes * args->sums_block + (n * 3 + 2) * lanes + unit % lanes];
  double z = sigmoid(a[0]);
  return z * args->h_in[n][unit] + (1 - z) * tanh(x_part + sigmoid(a[1]) * a[2]);
}

void rondo_narrow_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, rondo_cell cell,
                              double *a, double *c, double *h) {
  int lanes = kernels->lanes, gates = cell == RONDO_LSTM ? 4 : 3, begin = args->first_block * lanes;
  for (int n = 0; n < args->rows; n++)
    for (int unit = begin; unit < args->hidden; unit++) {
      int at = n * args->hidden + unit;
      const float *sums = args->sums + args->first_block * args->sums_block + n * gates * lanes + unit - begin;
      for (int g = 0; g < gates; g++) a[gates * at + g] = sums[g * (args->hidden - begin)];
      if (cell == RONDO_LSTM)
        lstm_state(args, n, unit, a + gates * at, &c[at], &h[at]);
      else
        h[at] = gru_state(args, lanes, n, unit, a + gates * at);
    }
}

void rondo_lstm_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                            double *size, double *c, double *h) {
  int lanes = kernels->lanes;
  for (int n = 0; n < args->rows; n++)
    for (int unit = args->first_block * lanes; unit < end_unit(args, lanes); unit++) {
      int at = n * args->hidden + unit;
      double *gates = a + 4 * at;
      gate_sums(args, kernels, 4, n, unit, 0, gates, size + 4 * at);
      lstm_state(args, n, unit, gates, &c[at], &h[at]);
    }
}

void rondo_gru_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                           double *size, double *h) {
  int lanes = kernels->lanes;
  for (int n = 0; n < args->rows; n++)
    for (int unit = args->first_block * lanes; unit < end_unit(args, lanes); unit++) {
      int at = n * args->hidden + unit;
      gate_sums(args, kernels, 3, n, unit, 1, a + 3 * at, size + 3 * at);
      h[at] = gru_state(args, lanes, n, unit, a + 3 * at);
    }
}

void rondo_rnn_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                           double *size, double *h) {
  int lanes = kernels->lanes;
  for (int n = 0; n < args->rows; n++)
    for (int unit = args->first_block * lanes; unit < end_unit(args, lanes); unit++) {
      int at = n * args->hidden + unit;
      gate_sums(args, kernels, 1, n, unit, 0, a + at, size + at);
      h[at] = tanh(a[at]);
    }
}

static double clamp(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

static double softplus(double x) {
  return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double elu(double x, double alpha) {
  return x > 0 ? x : alpha * expm1(x);
}

/* By a / (root - x) below 0, where x + root cancels. */
static double squareplus(double x, double alpha) {
  double root = sqrt(x * x + alpha);
  return (x > 0 ? x + root : alpha / (root - x)) / 2;
}

double rondo_function_ref(rondo_function function, double x) {
  double alpha = (double)function.alpha, beta = (double)function.beta;
  switch (function.kind) {
    case RONDO_TANH: return tanh(x);
    case RONDO_SIGMOID: return sigmoid(x);
    case RONDO_HARD_SIGMOID: return clamp(alpha * x + beta, 0, 1);
    case RONDO_RELU: return x < 0 ? 0 : x;
    case RONDO_SOFTSIGN: return x / (1 + fabs(x));
    case RONDO_SOFTPLUS: return softplus(x);
    case RONDO_ELU: return elu(x, alpha);
    case RONDO_SELU: return 1.0507009873554805 * elu(x, 1.6732632423543772);
    case RONDO_EXPONENTIAL: return exp(x);
    case RONDO_SILU: return x * sigmoid(x);
    case RONDO_GELU: return x * erfc(-x / sqrt(2)) / 2;
    case RONDO_LEAKY_RELU: return x < 0 ? alpha * x : x;
    case RONDO_RELU6: return clamp(x, 0, 6);
    case RONDO_MISH: return x * tanh(softplus(x));
    case RONDO_HARD_SILU: return x * clamp(x / 6 + 0.5, 0, 1);
    case RONDO_HARD_TANH: return clamp(x, -1, 1);
    case RONDO_LOG_SIGMOID: return -softplus(-x);
    case RONDO_AFFINE: return alpha * x + beta;
    case RONDO_THRESHOLDED_RELU: return x <= alpha ? 0 : x;
    case RONDO_SCALED_TANH: return alpha * tanh(beta * x);
    case RONDO_CELU: return x > 0 ? x : alpha * expm1(x / alpha);
    case RONDO_SQUAREPLUS: return squareplus(x, alpha);
    case RONDO_SOFT_SHRINK: return x < -alpha ? x + alpha : x > alpha ? x - alpha : 0;
    case RONDO_HARD_SHRINK: return fabs(x) <= alpha ? 0 : x;
    case RONDO_TANH_SHRINK: return x - tanh(x);
    case RONDO_THRESHOLD: return x <= alpha ? beta : x;
    case RONDO_SPARSE_PLUS: return x >= 1 ? x : pow(clamp(x + 1, 0, 2), 2) / 4;
    case RONDO_SPARSE_SIGMOID: return clamp(x + 1, 0, 2) / 2;
    case RONDO_LINEAR:
    case RONDO_SOFTMAX:
    case RONDO_DEFAULT: break;
  }
  return x;
}

/* ---- cells row by row -------------------------------------------------------------------------------------------- */

static double limited(double x, float bound) {
  return bound > 0 ? clamp(x, -(double)bound, (double)bound) : x;
}

static double gate(const rondo_cell_forward_args *args, rondo_function function, double sum) {
  return rondo_function_ref(function, limited(sum, args->layer->clip));
}

/* Unit j of a row whose sums are x and h, (G, U) each. */
static void lstm_unit(const rondo_cell_forward_args *args, const float *x, const float *h, int row, int j,
                      double *inner, double *c) {
  const rondo_layer *l = args->layer;
  int units = args->units;
  double before = args->c_in[row][j], p[3] = {0, 0, 0}, sums[4];
  for (int k = 0; l->peephole && k < 3; k++) p[k] = args->peephole[k * units + j];
  for (int g = 0; g < 4; g++) sums[g] = (double)x[g * units + j] + h[g * units + j];
  double i = gate(args, l->recurrent_activation, sums[0] + p[0] * before);
  double f = l->input_forget ? 1 - i : gate(args, l->recurrent_activation, sums[1] + p[1] * before);
  double fresh = limited(f * before + i * gate(args, l->activation, sums[2]), l->cell_clip);
  double o = gate(args, l->recurrent_activation, sums[3] + p[2] * fresh);
  *inner = o * rondo_function_ref(l->output_activation, fresh);
  *c = (double)l->zoneout_cell * before + (1 - (double)l->zoneout_cell) * fresh;
}

static double gru_unit(const rondo_cell_forward_args *args, const float *x, const float *h, int row, int j) {
  const rondo_layer *l = args->layer;
  int units = args->units, before = l->reset_before; /* then x holds z and r already */
  double zr[2];
  for (int g = 0; g < 2; g++)
    zr[g] =
        before ? x[g * units + j] : gate(args, l->recurrent_activation, (double)x[g * units + j] + h[g * units + j]);
  double recurrent = h[2 * units + j] * (before ? 1 : zr[1]);
  return zr[0] * args->h_in[row][j] + (1 - zr[0]) * gate(args, l->activation, x[2 * units + j] + recurrent);
}

void rondo_cell_forward_ref(const rondo_cell_forward_args *args, double *inner, double *c) {
  static const int gates[] = {4, 3, 1, 1};
  int width = gates[args->layer->cell] * args->units;
  for (int row = 0; row < args->rows; row++)
    for (int j = 0; j < args->hidden; j++) {
      const float *x = args->x_sums + row * width, *h = args->h_sums + row * width;
      int at = row * args->hidden + j;
      switch (args->layer->cell) {
        case RONDO_LSTM: lstm_unit(args, x, h, row, j, &inner[at], &c[at]); break;
        case RONDO_GRU: inner[at] = gru_unit(args, x, h, row, j); break;
        case RONDO_RNN: inner[at] = gate(args, args->layer->activation, (double)x[j] + h[j]); break;
        case RONDO_DENSE: inner[at] = rondo_function_ref(args->layer->activation, x[j]); break;
      }
    }
}

void rondo_layer_norm_ref(const float *v, int gates, int hidden, int units, const float *gamma, const float *beta,
                          double *result, double *scale) {
  double mean = 0, variance = 0, count = gates * hidden;
  for (int g = 0; g < gates; g++)
    for (int j = 0; j < hidden; j++) mean += v[g * units + j] / count;
  for (int g = 0; g < gates; g++)
    for (int j = 0; j < hidden; j++) variance += (v[g * units + j] - mean) * (v[g * units + j] - mean) / count;
  *scale = 1 / sqrt(variance + 1e-5);
  for (int i = 0; i < gates * units; i++) result[i] = (v[i] - mean) * *scale * gamma[i] + beta[i];
}
