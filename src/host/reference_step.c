/* reference_step.c - the formulas of one timestep of one sequence. s, a and q are recurrent_activation, activation and
 * output_activation; s and a limit what they are given to -clip..clip; "*" is elementwise, "@" the matrix product.
 *
 *     ax = LN(x @ W) + b          ah = LN(h_(t-1) @ R) + rb          LN: only with layer_norm; rb: recurrent_bias
 *     with dropout x and h_(t-1) are multiplied by masks on their way into a product, gate by gate
 *     with RONDO_INT8 whatever is the left side of an @ is rounded first: to d times the nearest integer, of two the
 *     even one, where d is the largest |v| of that row / 127; all are 0 if no |v| reaches 2^-100, NaN if one is not
 *     finite
 *
 *     LSTM    i = s(ax_i + ah_i + p_i * c_(t-1))               p: only with peephole
 *             f = s(ax_f + ah_f + p_f * c_(t-1))               input_forget: 1 - i
 *             g = a(ax_g + ah_g)
 *             c' = f * c_(t-1) + i * g                         within -cell_clip..cell_clip
 *             o = s(ax_o + ah_o + p_o * c')
 *             h' = (o * q(LN(c'))) @ P                         P: only with projection_size
 *
 *     GRU     z = s(ax_z + ah_z)          r = s(ax_r + ah_r)
 *             n = a(ax_h + r * ah_h)                           reset_before: a(ax_h + (r * h_(t-1)) @ R_h + rb_h)
 *             h' = z * h_(t-1) + (1 - z) * n
 *
 *     RNN     h' = a(ax + ah)
 *     DENSE   y  = a(ax)                                       softmax: over the whole row
 *
 *     LN      (v - mean) / sqrt(variance + 1e-5) * gamma       over the whole row; of c' also + beta
 *     zoneout c_t = zoneout_cell * c_(t-1) + (1 - zoneout_cell) * c'
 *             h_t = zoneout * h_(t-1) + (1 - zoneout) * h'
 *
 * The slope of each function is kept beside its value, for reference_step_backward.c. */
#include "reference.h"

#include <math.h>

/* ---- functions of one number ------------------------------------------------------------------------------------- */

typedef rondo_reference_dual dual;

/* f(limit(v)) */
static dual apply_limited(const rondo_reference_layer *l, rondo_function function, double v) {
  dual limited = rondo_reference_limit(v, (double)l->options->clip);
  dual result = rondo_reference_apply(function, limited.value);
  return (dual){result.value, limited.slope > 0 ? result.slope : 0};
}

static dual s(const rondo_reference_layer *l, double v) {
  return apply_limited(l, l->options->recurrent_activation, v);
}

static dual a(const rondo_reference_layer *l, double v) {
  return apply_limited(l, l->options->activation, v);
}

static dual q(const rondo_reference_layer *l, double v) {
  return rondo_reference_apply(l->options->output_activation, v);
}

static void set(double *values, double *slopes, size_t j, dual result) {
  values[j] = result.value;
  slopes[j] = result.slope;
}

/* The old number stays out altogether where the rate is 0, even if it is infinite. */
static double zoneout(float rate, double before, double now) {
  return rate > 0 ? (double)rate * before + (1 - (double)rate) * now : now;
}

/* ---- functions of a row ------------------------------------------------------------------------------------------ */

/* The distance d of the levels of a row (rows) on its way into a product; 0: it is not rounded. That of a row which
 * counts as zeros is so large that they are. */
static double distance(const rondo_reference_layer *l, const double *row, size_t rows) {
  double largest = 0;
  if (l->levels == 0) return 0;
  for (size_t j = 0; j < rows; j++) {
    if (!isfinite(row[j])) return NAN;
    largest = fmax(largest, fabs(row[j]));
  }
  return largest < 0x1p-100 ? 1 : largest / l->levels;
}

static double rounded(double v, double d) {
  return d == 0 ? v : rondo_reference_nearest(v / d) * d;
}

/* to (columns) = row (rows) @ matrix (rows, columns). */
static void multiply(const rondo_reference_layer *l, double *to, const double *row, size_t rows, const double *matrix,
                     size_t columns) {
  double d = distance(l, row, rows);
  for (size_t k = 0; k < columns; k++) to[k] = 0;
  for (size_t j = 0; j < rows; j++) {
    double v = rounded(row[j], d);
    for (size_t k = 0; k < columns; k++) to[k] += v * matrix[j * columns + k];
  }
}

/* to[k] = row (rows) @ column k of matrix (rows, G*H) for k from `first` on, each gate with its mask. */
static void multiply_gates(const rondo_reference_layer *l, double *to, const double *row, size_t rows,
                           const double *matrix, const double *mask, size_t first) {
  double d = distance(l, row, rows);
  for (size_t k = first; k < l->columns; k++) to[k] = 0;
  for (size_t j = 0; j < rows; j++) {
    double v = rounded(row[j], d);
    for (size_t k = first; k < l->columns; k++)
      to[k] += v * rondo_reference_factor(l, mask, rows, k, j) * matrix[j * l->columns + k];
  }
}

/* row (count) = LN(row) * gamma (count); normal (count) without gamma, scale what it was multiplied by. */
static void normalise(double *row, size_t count, const double *gamma, double *normal, double *scale) {
  double mean = 0, variance = 0;
  for (size_t j = 0; j < count; j++) mean += row[j] / (double)count;
  for (size_t j = 0; j < count; j++) variance += (row[j] - mean) * (row[j] - mean) / (double)count;
  *scale = 1 / sqrt(variance + 1e-5);
  for (size_t j = 0; j < count; j++) {
    normal[j] = (row[j] - mean) * *scale;
    row[j] = normal[j] * gamma[j];
  }
}

static void add(double *row, size_t count, const double *other) {
  for (size_t j = 0; j < count; j++) row[j] += other[j];
}

static void copy(double *to, const double *from, size_t count) {
  for (size_t j = 0; j < count; j++) to[j] = from[j];
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

/* ax, from x (F). */
static void from_input(const rondo_reference_layer *l, const double *x, const rondo_reference_values *v) {
  multiply_gates(l, v->ax, x, l->inputs, l->kernel, l->input_mask, 0);
  if (l->gamma_kernel) normalise(v->ax, l->columns, l->gamma_kernel, v->ax_normal, &v->scales[0]);
  add(v->ax, l->columns, l->bias);
}

/* ah, from h (O). */
static void from_state(const rondo_reference_layer *l, const double *h, const rondo_reference_values *v) {
  multiply_gates(l, v->ah, h, l->outputs, l->recurrent_kernel, l->recurrent_mask, 0);
  if (l->gamma_recurrent) normalise(v->ah, l->columns, l->gamma_recurrent, v->ah_normal, &v->scales[1]);
  add(v->ah, l->columns, l->recurrent_bias);
}

/* What unit j's cell c weighs in on gate i (0), f (1) or o (2). */
static double peephole(const rondo_reference_layer *l, size_t row, size_t j, double c) {
  return l->peephole ? l->peephole[row * l->units + j] * c : 0;
}

/* h' (O), from o and c'. */
static void lstm_output(const rondo_reference_layer *l, const double *o, const rondo_reference_values *v) {
  copy(v->q, v->cell, l->units);
  copy(v->cell_normal, v->cell, l->units);
  if (l->gamma_cell) normalise(v->q, l->units, l->gamma_cell, v->cell_normal, &v->scales[2]);
  if (l->beta_cell) add(v->q, l->units, l->beta_cell);
  for (size_t j = 0; j < l->units; j++) {
    set(v->q, v->q_slopes, j, q(l, v->q[j]));
    v->hidden[j] = o[j] * v->q[j];
  }
  if (l->projection)
    multiply(l, v->h, v->hidden, l->units, l->projection, l->outputs);
  else
    copy(v->h, v->hidden, l->units);
}

static void lstm_step(const rondo_reference_layer *l, const double *x, const double *h, const double *c,
                      const rondo_reference_values *v) {
  size_t units = l->units;
  double *i = v->gates, *f = i + units, *g = f + units, *o = g + units;
  double *i_slopes = v->gate_slopes, *f_slopes = i_slopes + units, *g_slopes = f_slopes + units;
  double *o_slopes = g_slopes + units;
  const double *ax_i = v->ax, *ax_f = ax_i + units, *ax_g = ax_f + units, *ax_o = ax_g + units;
  const double *ah_i = v->ah, *ah_f = ah_i + units, *ah_g = ah_f + units, *ah_o = ah_g + units;
  from_input(l, x, v);
  from_state(l, h, v);
  for (size_t j = 0; j < units; j++) {
    set(i, i_slopes, j, s(l, ax_i[j] + ah_i[j] + peephole(l, 0, j, c[j])));
    if (l->options->input_forget)
      set(f, f_slopes, j, (dual){1 - i[j], 0});
    else
      set(f, f_slopes, j, s(l, ax_f[j] + ah_f[j] + peephole(l, 1, j, c[j])));
    set(g, g_slopes, j, a(l, ax_g[j] + ah_g[j]));
    double cell = f[j] * c[j] + i[j] * g[j];
    set(v->cell, v->cell_slopes, j, rondo_reference_limit(cell, (double)l->options->cell_clip));
    set(o, o_slopes, j, s(l, ax_o[j] + ah_o[j] + peephole(l, 2, j, v->cell[j])));
  }
  lstm_output(l, o, v);
  for (size_t j = 0; j < units; j++) v->c[j] = zoneout(l->options->zoneout_cell, c[j], v->cell[j]);
  for (size_t k = 0; k < l->outputs; k++) v->h[k] = zoneout(l->options->zoneout, h[k], v->h[k]);
}

static void gru_step(const rondo_reference_layer *l, const double *x, const double *h,
                     const rondo_reference_values *v) {
  size_t units = l->units;
  int reset_before = l->options->reset_before;
  double *z = v->gates, *r = z + units, *n = r + units;
  double *z_slopes = v->gate_slopes, *r_slopes = z_slopes + units, *n_slopes = r_slopes + units;
  const double *ax_z = v->ax, *ax_r = ax_z + units, *ax_h = ax_r + units;
  double *ah_z = v->ah, *ah_r = ah_z + units, *ah_h = ah_r + units;
  from_input(l, x, v);
  from_state(l, h, v);
  for (size_t j = 0; j < units; j++) {
    set(z, z_slopes, j, s(l, ax_z[j] + ah_z[j]));
    set(r, r_slopes, j, s(l, ax_r[j] + ah_r[j]));
    v->hidden[j] = r[j] * h[j];
  }
  if (reset_before) { /* ah_h is made of what r has left of h */
    multiply_gates(l, v->ah, v->hidden, units, l->recurrent_kernel, l->recurrent_mask, 2 * units);
    add(ah_h, units, l->recurrent_bias + 2 * units);
  }
  for (size_t j = 0; j < units; j++) {
    set(n, n_slopes, j, a(l, ax_h[j] + (reset_before ? ah_h[j] : r[j] * ah_h[j])));
    v->h[j] = zoneout(l->options->zoneout, h[j], z[j] * h[j] + (1 - z[j]) * n[j]);
  }
}

static void rnn_step(const rondo_reference_layer *l, const double *x, const double *h,
                     const rondo_reference_values *v) {
  from_input(l, x, v);
  from_state(l, h, v);
  for (size_t j = 0; j < l->units; j++) {
    set(v->gates, v->gate_slopes, j, a(l, v->ax[j] + v->ah[j]));
    v->h[j] = zoneout(l->options->zoneout, h[j], v->gates[j]);
  }
}

static void dense_step(const rondo_reference_layer *l, const double *x, const rondo_reference_values *v) {
  from_input(l, x, v);
  if (l->options->activation.kind == RONDO_SOFTMAX)
    rondo_reference_softmax(v->h, v->ax, l->units);
  else
    for (size_t j = 0; j < l->units; j++) set(v->h, v->gate_slopes, j, a(l, v->ax[j]));
}

void rondo_reference_step(const rondo_reference_layer *l, const double *x, const double *h, const double *c,
                          const rondo_reference_values *v) {
  switch (l->options->cell) {
    case RONDO_LSTM: lstm_step(l, x, h, c, v); break;
    case RONDO_GRU: gru_step(l, x, h, v); break;
    case RONDO_RNN: rnn_step(l, x, h, v); break;
    case RONDO_DENSE: dense_step(l, x, v); break;
  }
}

rondo_reference_values rondo_reference_take_values(rondo_arena *arena, size_t units) {
  size_t columns = rondo_size_mul(RONDO_GATES, units);
  rondo_reference_values v;
  double **of_columns[] = {&v.ax, &v.ah, &v.gates, &v.gate_slopes, &v.ax_normal, &v.ah_normal};
  double **of_units[] = {&v.cell, &v.cell_slopes, &v.q, &v.q_slopes, &v.hidden, &v.h, &v.c, &v.cell_normal};
  for (size_t k = 0; k < sizeof of_columns / sizeof *of_columns; k++)
    *of_columns[k] = rondo_arena_take(arena, columns, sizeof(double));
  for (size_t k = 0; k < sizeof of_units / sizeof *of_units; k++)
    *of_units[k] = rondo_arena_take(arena, units, sizeof(double));
  v.scales = rondo_arena_take(arena, 3, sizeof(double));
  return v;
}
