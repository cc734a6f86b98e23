/* training_gradients.c - the cells backward, row by row. With d for the gradient of the loss by what follows the
 * letter, v for what an activation is given and b for "before" (the state of the step before):
 *
 *     LSTM   do = dh * q(c')       dc' = dh * o * q'(c') + dc [+ dv_o * p_o]      0 where cell_clip holds c'
 *            di = dc' * g          df = dc' * c_b         dg = dc' * i            input_forget: di -= df, df = 0
 *            dc_b = dc' * f [+ dv_i * p_i + dv_f * p_f]                           zoneout_cell shares dc out before
 *     GRU    dz = dh * (h_b - n)   dn = dh * (1 - z)      dh_b += dh * z
 *            dr = dv_n * (h_b @ R_h), and of that product dv_n * r;  reset_before: dr = (dv_n @ R_h^T) * h_b,
 *            dh_b += (dv_n @ R_h^T) * r
 *     all    dv = d * f'(v) */
#include "cpu/training.h"

#include <string.h>

/* d *= f'(v), by the derivatives kept or from what f gave: of tanh and sigmoid those are within 8 u and 4 u of the
 * exact ones, u = 2^-24, as the values are within 3.3 u and 2.5 u of theirs. */
static void scale(rondo_function f, float *d, const float *out, const float *slopes, size_t count) {
  if (slopes) {
    for (size_t j = 0; j < count; j++) d[j] *= slopes[j];
    return;
  }
  switch (f.kind) {
    case RONDO_TANH:
      for (size_t j = 0; j < count; j++) d[j] *= 1 - out[j] * out[j];
      break;
    case RONDO_SIGMOID:
      for (size_t j = 0; j < count; j++) d[j] *= out[j] * (1 - out[j]);
      break;
    case RONDO_RELU:
      for (size_t j = 0; j < count; j++) d[j] = out[j] <= 0 ? 0 : d[j];
      break;
    case RONDO_EXPONENTIAL:
      for (size_t j = 0; j < count; j++) d[j] *= out[j];
      break;
    case RONDO_AFFINE:
      for (size_t j = 0; j < count; j++) d[j] *= f.alpha;
      break;
    default: break; /* LINEAR */
  }
}

/* `count` gates from `begin` on, of a row of d_input. */
static void scale_gates(const rondo_cpu_training *call, rondo_function f, size_t row, size_t begin, size_t count) {
  size_t at = row * call->columns + begin;
  const float *slopes = call->kept.slopes ? call->kept.slopes + at : NULL;
  scale(f, call->work.d_input + at, call->kept.gates + at, slopes, count);
}

static void add_products(float *v, const float *a, const float *b, size_t count) {
  for (size_t j = 0; j < count; j++) v[j] += a[j] * b[j];
}

void rondo_cpu_training_normal_gradient(float *d, const float *normal, const float *gamma, float factor, size_t count) {
  double mean = 0, along = 0; /* of what d is by the normalised row: its mean, and its part along that row */
  for (size_t j = 0; j < count; j++) {
    double by_normal = (double)d[j] * (double)gamma[j];
    mean += by_normal;
    along += by_normal * (double)normal[j];
  }
  mean /= (double)count, along /= (double)count;
  for (size_t j = 0; j < count; j++) {
    double rest = (double)d[j] * (double)gamma[j] - mean - (double)normal[j] * along;
    d[j] = (float)(rest * (double)factor);
  }
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* dv_o (H), and dcell (H): what h brings to the gradient of the cell. */
static void lstm_output_gradient(const rondo_cpu_training *call, size_t row, const float *dh, float *dcell,
                                 float *dv_o) {
  size_t units = call->units, at = row * units;
  const float *o = call->kept.gates + row * call->columns + 3 * units, *value = call->kept.value + at;
  const float *slopes = call->kept.value_slopes ? call->kept.value_slopes + at : NULL;
  const float *gamma = call->weights[RONDO_GAMMA_CELL], *peephole = call->weights[RONDO_PEEPHOLE];
  for (size_t j = 0; j < units; j++) {
    dv_o[j] = dh[j] * value[j];
    dcell[j] = dh[j] * o[j];
  }
  scale(call->layer->output_activation, dcell, value, slopes, units);
  if (gamma) {
    memcpy(call->work.d_normal + at, dcell, units * sizeof *dcell);
    rondo_cpu_training_normal_gradient(dcell, call->kept.normal_cell + at, gamma, call->kept.scale_cell[row], units);
  }
  scale_gates(call, call->layer->recurrent_activation, row, 3 * units, units);
  if (peephole) add_products(dcell, dv_o, peephole + 2 * units, units);
}

/* dcell += dc's part of it, and dc keeps the rest. */
static void share_cell_gradient(const rondo_cpu_training *call, size_t row, float *dcell, float *dc) {
  float rate = call->layer->zoneout_cell, bound = call->layer->cell_clip;
  const float *cell = call->kept.cell + row * call->units;
  for (size_t j = 0; j < call->units; j++) {
    dcell[j] += (1 - rate) * dc[j];
    dc[j] = rate > 0 ? rate * dc[j] : 0;
    if (bound > 0 && (cell[j] <= -bound || cell[j] >= bound)) dcell[j] = 0;
  }
}

static void lstm_row(const rondo_cpu_training *call, size_t row, size_t r) {
  const rondo_layer *layer = call->layer;
  size_t units = call->units;
  const float *i = call->kept.gates + row * call->columns, *f = i + units, *g = f + units;
  const float *before = call->work.c_before[row], *peephole = call->weights[RONDO_PEEPHOLE];
  float *di = call->work.d_input + row * call->columns, *df = di + units, *dg = df + units,
        *dc = call->work.dc + r * units;
  lstm_output_gradient(call, row, call->work.d_hidden + r * units, dg, dg + units);
  share_cell_gradient(call, row, dg, dc);
  for (size_t j = 0; j < units; j++) {
    float dcell = dg[j];
    di[j] = dcell * g[j];
    df[j] = dcell * before[j];
    dg[j] = dcell * i[j];
    dc[j] += dcell * f[j];
  }
  for (size_t j = 0; layer->input_forget && j < units; j++) {
    di[j] -= df[j];
    df[j] = 0;
  }
  scale_gates(call, layer->recurrent_activation, row, 0, layer->input_forget ? units : 2 * units);
  scale_gates(call, layer->activation, row, 2 * units, units);
  if (!peephole) return;
  add_products(dc, di, peephole, units);
  add_products(dc, df, peephole + units, units);
}

/* ---- GRU, RNN ---------------------------------------------------------------------------------------------------- */

static void gru_row(const rondo_cpu_training *call, size_t row, size_t r) {
  size_t units = call->units;
  const float *z = call->kept.gates + row * call->columns, *reset = z + units, *n = reset + units;
  const float *before = call->work.h_before[row], *dhidden = call->work.d_hidden + r * units;
  float *dz = call->work.d_input + row * call->columns, *dr = dz + units, *dn = dr + units;
  float *dh = call->work.dh + r * units;
  for (size_t j = 0; j < units; j++) {
    dz[j] = dhidden[j] * (before[j] - n[j]);
    dn[j] = dhidden[j] * (1 - z[j]);
    dh[j] += dhidden[j] * z[j];
  }
  scale_gates(call, call->layer->recurrent_activation, row, 0, units);
  scale_gates(call, call->layer->activation, row, 2 * units, units);
  if (call->layer->reset_before) return;
  const float *recurrent = call->kept.recurrent + row * units;
  for (size_t j = 0; j < units; j++) dr[j] = dn[j] * recurrent[j];
  scale_gates(call, call->layer->recurrent_activation, row, units, units);
  float *to = call->work.d_recurrent + row * call->columns;
  memcpy(to, dz, 2 * units * sizeof *to);
  for (size_t j = 0; j < units; j++) to[2 * units + j] = dn[j] * reset[j];
}

void rondo_cpu_training_reset_gradients(const rondo_cpu_training *call, rondo_range rows, size_t first) {
  size_t units = call->units;
  for (size_t row = rows.begin; row < rows.end; row++) {
    const float *reset = call->kept.gates + row * call->columns + units, *before = call->work.h_before[row];
    const float *mask = call->work.recurrent_mask ? call->work.recurrent_mask[row] + 2 * units : NULL;
    float *d = call->work.d_reset + (row - first) * units;
    float *dr = call->work.d_input + row * call->columns + units;
    for (size_t j = 0; mask && j < units; j++) d[j] *= mask[j];
    for (size_t j = 0; j < units; j++) dr[j] = d[j] * before[j];
    scale_gates(call, call->layer->recurrent_activation, row, units, units);
    add_products(call->work.dh + (row - first) * units, d, reset, units);
  }
}

static void rnn_row(const rondo_cpu_training *call, size_t row, size_t r) {
  float *d = call->work.d_input + row * call->columns;
  memcpy(d, call->work.d_hidden + r * call->units, call->units * sizeof *d);
  scale_gates(call, call->layer->activation, row, 0, call->units);
}

/* ---- DENSE ------------------------------------------------------------------------------------------------------- */

/* d = y * (d - sum of d * y) */
static void softmax_gradient(float *d, const float *y, size_t count) {
  double sum = 0;
  for (size_t j = 0; j < count; j++) sum += (double)d[j] * (double)y[j];
  for (size_t j = 0; j < count; j++) d[j] = (float)((double)y[j] * ((double)d[j] - sum));
}

/* d_input holds dy. */
static void dense_row(const rondo_cpu_training *call, size_t row, size_t r) {
  (void)r;
  if (call->layer->activation.kind == RONDO_SOFTMAX)
    softmax_gradient(call->work.d_input + row * call->columns, call->kept.gates + row * call->columns, call->columns);
  else
    scale_gates(call, call->layer->activation, row, 0, call->columns);
}

/* ---- rows of a step ---------------------------------------------------------------------------------------------- */

/* With layer_norm, d_product from d_recurrent. */
static void product_gradient(const rondo_cpu_training *call, size_t row) {
  size_t at = row * call->columns;
  float *to = call->work.d_product + at;
  memcpy(to, call->work.d_recurrent + at, call->columns * sizeof *to);
  rondo_cpu_training_normal_gradient(to, call->kept.normal_h + at, call->weights[RONDO_GAMMA_RECURRENT],
                                     call->kept.scale_h[row], call->columns);
}

void rondo_cpu_training_cell_gradients(const rondo_cpu_training *call, rondo_range rows, size_t first) {
  static void (*const cells[])(const rondo_cpu_training *call, size_t row, size_t r) = {
      [RONDO_LSTM] = lstm_row, [RONDO_GRU] = gru_row, [RONDO_RNN] = rnn_row, [RONDO_DENSE] = dense_row};
  for (size_t row = rows.begin; row < rows.end; row++) {
    cells[call->layer->cell](call, row, row - first);
    if (call->layer->layer_norm) product_gradient(call, row);
  }
}
