/* training_cells.c - the cells forward, row by row, by the formulas that rondo_layer names. Activations are made in
 * place of what they are given, and are kept with their derivatives. */
#include "cpu/training.h"

#include <math.h>

/* ---- functions --------------------------------------------------------------------------------------------------- */

/* Within -bound..bound; 0: anywhere. A NaN stays one. */
static void limit(float *v, float bound, size_t count) {
  for (size_t j = 0; bound > 0 && j < count; j++) v[j] = v[j] < -bound ? -bound : v[j] > bound ? bound : v[j];
}

/* v = f(v), limited to -bound..bound before; slopes, unless NULL: its derivatives. */
static void activate(const rondo_cpu_training *call, rondo_function f, float bound, float *v, float *slopes,
                     size_t count) {
  if (slopes) call->kernels->slopes(f, (int)count, v, slopes);
  for (size_t j = 0; slopes && bound > 0 && j < count; j++)
    if (v[j] <= -bound || v[j] >= bound) slopes[j] = 0;
  limit(v, bound, count);
  call->functions->map(f, (int)count, v, v);
}

/* `count` gates of the row from `begin` on. */
static void activate_gates(const rondo_cpu_training *call, rondo_function f, size_t row, size_t begin, size_t count) {
  size_t at = row * call->columns + begin;
  activate(call, f, call->layer->clip, call->kept.gates + at, call->kept.slopes ? call->kept.slopes + at : NULL, count);
}

/* v += more (NULL: nothing) */
static void add(float *v, const float *more, size_t count) {
  for (size_t j = 0; more && j < count; j++) v[j] += more[j];
}

static void add_products(float *v, const float *a, const float *b, size_t count) {
  for (size_t j = 0; j < count; j++) v[j] += a[j] * b[j];
}

/* v = (v - mean) / sqrt(variance + 1e-5); gives what the deviations were multiplied by. */
static float standardise(float *v, size_t count) {
  double mean = 0, variance = 0;
  for (size_t j = 0; j < count; j++) mean += (double)v[j];
  mean /= (double)count;
  for (size_t j = 0; j < count; j++) variance += ((double)v[j] - mean) * ((double)v[j] - mean);
  double scale = 1 / sqrt(variance / (double)count + 1e-5);
  for (size_t j = 0; j < count; j++) v[j] = (float)(((double)v[j] - mean) * scale);
  return (float)scale;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* The sums of both products are standardised where they are, and gates become what the activations are given. */
static void normalise_sums(const rondo_cpu_training *call, size_t row) {
  size_t count = call->columns, at = row * count;
  float *v = call->kept.gates + at, *x = call->kept.normal_x + at, *h = call->kept.normal_h + at;
  const float *gamma_x = call->weights[RONDO_GAMMA_KERNEL], *gamma_h = call->weights[RONDO_GAMMA_RECURRENT];
  call->kept.scale_x[row] = standardise(x, count);
  call->kept.scale_h[row] = standardise(h, count);
  for (size_t j = 0; j < count; j++) v[j] = x[j] * gamma_x[j];
  if (call->layer->cell != RONDO_GRU) {
    add_products(v, h, gamma_h, count);
    return;
  }
  size_t part = 2 * call->units; /* z and r; h's recurrent part stays by itself */
  add_products(v, h, gamma_h, part);
  float *recurrent = call->kept.recurrent + row * call->units;
  for (size_t j = 0; j < call->units; j++) recurrent[j] = h[part + j] * gamma_h[part + j];
}

static void finish_sums(const rondo_cpu_training *call, size_t row) {
  const float *recurrent_bias = call->weights[RONDO_RECURRENT_BIAS];
  float *v = call->kept.gates + row * call->columns;
  if (call->layer->layer_norm) normalise_sums(call, row);
  add(v, call->weights[RONDO_BIAS], call->columns);
  if (!recurrent_bias) return;
  add(v, recurrent_bias, 2 * call->units);
  add(call->kept.recurrent + row * call->units, recurrent_bias + 2 * call->units, call->units);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

/* Where a row's new h goes. Backward has it already, and another thread may read it. */
static float *new_h(const rondo_cpu_training *call, size_t row) {
  return call->gradient ? NULL : call->kept.h + row * call->outputs;
}

/* hidden (H), unless NULL, = o * q(cell), the cell normalised with layer_norm. */
static void lstm_output(const rondo_cpu_training *call, size_t row, const float *o, float *hidden) {
  size_t units = call->units, at = row * units;
  const float *gamma = call->weights[RONDO_GAMMA_CELL], *cell = call->kept.cell + at;
  float *value = call->kept.value + at, *normal = gamma ? call->kept.normal_cell + at : value;
  for (size_t j = 0; j < units; j++) normal[j] = cell[j];
  if (gamma) {
    call->kept.scale_cell[row] = standardise(normal, units);
    for (size_t j = 0; j < units; j++) value[j] = normal[j] * gamma[j];
    add(value, call->weights[RONDO_BETA_CELL], units);
  }
  float *slopes = call->kept.value_slopes ? call->kept.value_slopes + at : NULL;
  activate(call, call->layer->output_activation, 0, value, slopes, units);
  for (size_t j = 0; hidden && j < units; j++) hidden[j] = o[j] * value[j];
}

static void lstm_row(const rondo_cpu_training *call, size_t row) {
  const rondo_layer *layer = call->layer;
  const float *peephole = call->weights[RONDO_PEEPHOLE], *before = call->work.c_before[row];
  size_t units = call->units;
  float *i = call->kept.gates + row * call->columns, *f = i + units, *g = f + units, *o = g + units;
  float *cell = call->kept.cell + row * units, *c = call->kept.c + row * units;
  finish_sums(call, row);
  if (peephole) add_products(i, peephole, before, units), add_products(f, peephole + units, before, units);
  activate_gates(call, layer->recurrent_activation, row, 0, 2 * units);
  activate_gates(call, layer->activation, row, 2 * units, units);
  for (size_t j = 0; layer->input_forget && j < units; j++) f[j] = 1 - i[j];
  for (size_t j = 0; j < units; j++) cell[j] = f[j] * before[j] + i[j] * g[j];
  limit(cell, layer->cell_clip, units);
  if (peephole) add_products(o, peephole + 2 * units, cell, units);
  activate_gates(call, layer->recurrent_activation, row, 3 * units, units);
  lstm_output(call, row, o, layer->projection_size ? call->kept.hidden + row * units : new_h(call, row));
  float rate = call->gradient ? 0 : layer->zoneout_cell;
  for (size_t j = 0; rate > 0 && j < units; j++) c[j] = rate * before[j] + (1 - rate) * cell[j];
}

static void gru_row(const rondo_cpu_training *call, size_t row) {
  size_t units = call->units;
  const float *before = call->work.h_before[row], *recurrent = call->kept.recurrent + row * units;
  float *z = call->kept.gates + row * call->columns, *r = z + units, *n = r + units, *h = new_h(call, row);
  if (!call->layer->reset_before) {
    finish_sums(call, row);
    activate_gates(call, call->layer->recurrent_activation, row, 0, 2 * units);
    add_products(n, r, recurrent, units);
  }
  activate_gates(call, call->layer->activation, row, 2 * units, units);
  for (size_t j = 0; h && j < units; j++) h[j] = z[j] * before[j] + (1 - z[j]) * n[j];
}

void rondo_cpu_training_reset(const rondo_cpu_training *call, rondo_range rows) {
  size_t units = call->units;
  for (size_t row = rows.begin; row < rows.end; row++) {
    const float *r = call->kept.gates + row * call->columns + units, *before = call->work.h_before[row];
    const float *mask = call->work.recurrent_mask ? call->work.recurrent_mask[row] + 2 * units : NULL;
    float *reset = call->kept.recurrent + row * units;
    finish_sums(call, row);
    activate_gates(call, call->layer->recurrent_activation, row, 0, 2 * units);
    for (size_t j = 0; j < units; j++) reset[j] = r[j] * before[j];
    for (size_t j = 0; mask && j < units; j++) reset[j] *= mask[j];
  }
}

static void rnn_row(const rondo_cpu_training *call, size_t row) {
  const float *gate = call->kept.gates + row * call->columns;
  float *h = new_h(call, row);
  finish_sums(call, row);
  activate_gates(call, call->layer->activation, row, 0, call->units);
  for (size_t j = 0; h && j < call->units; j++) h[j] = gate[j];
}

/* v = e^(v - max) over their sum. */
static void softmax(const rondo_cpu_training *call, float *v, size_t count) {
  float most = v[0];
  double sum = 0;
  for (size_t j = 1; j < count; j++) most = v[j] > most ? v[j] : most;
  for (size_t j = 0; j < count; j++) v[j] -= most;
  call->functions->map((rondo_function){.kind = RONDO_EXPONENTIAL}, (int)count, v, v);
  for (size_t j = 0; j < count; j++) sum += (double)v[j];
  for (size_t j = 0; j < count; j++) v[j] = (float)((double)v[j] / sum);
}

static void dense_row(const rondo_cpu_training *call, size_t row) {
  finish_sums(call, row);
  if (call->layer->activation.kind == RONDO_SOFTMAX)
    softmax(call, call->kept.gates + row * call->columns, call->columns);
  else
    activate_gates(call, call->layer->activation, row, 0, call->columns);
}

void rondo_cpu_training_cells(const rondo_cpu_training *call, rondo_range rows) {
  static void (*const cells[])(const rondo_cpu_training *call, size_t row) = {
      [RONDO_LSTM] = lstm_row, [RONDO_GRU] = gru_row, [RONDO_RNN] = rnn_row, [RONDO_DENSE] = dense_row};
  for (size_t row = rows.begin; row < rows.end; row++) cells[call->layer->cell](call, row);
}

void rondo_cpu_training_zone_out(const rondo_cpu_training *call, rondo_range rows) {
  float rate = call->layer->zoneout;
  for (size_t row = rows.begin; rate > 0 && row < rows.end; row++) {
    const float *before = call->work.h_before[row];
    float *h = call->kept.h + row * call->outputs;
    for (size_t k = 0; k < call->outputs; k++) h[k] = rate * before[k] + (1 - rate) * h[k];
  }
}
