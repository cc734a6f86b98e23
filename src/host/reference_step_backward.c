/* reference_step_backward.c - gradients of one timestep of one sequence: reference_step.c's formulas from the last to
 * the first. dv is the gradient of the loss by v; s'(..) and so on are the slopes that the step has kept, 0 where clip
 * limits; "+=": v went to several places, or to every timestep; "." is the product of two columns, v^T @ w, a matrix.
 *
 *     h = zoneout * h_(t-1) + (1 - zoneout) * h'   dh' = (1 - zoneout) * dh              dh_(t-1)  = zoneout * dh
 *     c = zoneout_cell * c_(t-1) + (1 - ...) * c'  dc' = (1 - zoneout_cell) * dc         dc_(t-1)  = ... * dc
 *
 *     LSTM    h' = hidden @ P                      dhidden = dh' @ P^T                   dP       += hidden . dh'
 *             hidden = o * q(LN(c'))               dLN = dhidden * o * q'(..)            do        = dhidden * q
 *             o = s(ax_o + ah_o + p_o * c')        dax_o = do * s'(..)
 *                                                  dc' += dax_o * p_o                    dp_o     += dax_o * c'
 *             c' = limit(f * c_(t-1) + i * g)      dc' = 0 where it was limited
 *                                                  df = dc' * c_(t-1)                    dc_(t-1) += dc' * f
 *                                                  di = dc' * g                          dg        = dc' * i
 *             f = 1 - i with input_forget          di -= df
 *             i = s(ax_i + ah_i + p_i * c_(t-1))   dax_i = di * s'(..)
 *             (f likewise)                         dc_(t-1) += dax_i * p_i               dp_i     += dax_i * c_(t-1)
 *             g = a(ax_g + ah_g)                   dax_g = dg * a'(..)                   dah       = dax
 *
 *     GRU     h' = z * h_(t-1) + (1 - z) * n       dz = dh' * (h_(t-1) - n)              dn        = dh' * (1 - z)
 *                                                  dh_(t-1) += dh' * z
 *             n = a(ax_h + r * ah_h)               dax_h = dn * a'(..)                   dah_h     = dax_h * r
 *                                                  dr = dax_h * ah_h
 *             reset_before: n = a(ax_h + ah_h),    dax_h = dah_h = dn * a'(..)
 *             ah_h = hidden @ R_h + rb_h           dhidden = dah_h @ R_h^T               dR_h     += hidden . dah_h
 *             hidden = r * h_(t-1)                 dr = dhidden * h_(t-1)                dh_(t-1) += dhidden * r
 *             z = s(ax_z + ah_z), r likewise       dax_z = dah_z = dz * s'(..)
 *
 *     RNN     h' = a(ax + ah)                      dax = dah = dh' * a'(..)
 *     DENSE   y = a(ax)                            dax = dy * a'(..)
 *             y = softmax(ax)                      dax = y * (dy - sum of dy * y)
 *
 *     ax = LN(x @ W) + b                           dx = dLN @ W^T                        dW += x . dLN, db += dax
 *     ah = LN(h_(t-1) @ R) + rb                    dh_(t-1) += dLN @ R^T                 dR, drb likewise
 *                                                  with dropout the masks are factors of x, h, dx and dh_(t-1) here
 *
 *     LN(v) = u * gamma,                           du = dLN * gamma                      dgamma   += dLN * u
 *     u = (v - mean) * scale                       dv = scale * (du - mean of du - u * mean of du * u) */
#include "reference.h"

/* ---- functions of a row ------------------------------------------------------------------------------------------ */

/* Of row (rows) @ matrix (rows, columns): drow += d @ matrix^T, dmatrix += row . d. */
static void multiply_backward(double *drow, double *dmatrix, const double *d, const double *row, size_t rows,
                              const double *matrix, size_t columns) {
  for (size_t j = 0; j < rows; j++)
    for (size_t k = 0; k < columns; k++) {
      drow[j] += d[k] * matrix[j * columns + k];
      dmatrix[j * columns + k] += row[j] * d[k];
    }
}

/* Likewise of columns first to last - 1 of row (rows) @ matrix (rows, G*H), each gate with its mask. */
static void multiply_gates_backward(const rondo_reference_layer *l, double *drow, double *dmatrix, const double *d,
                                    const double *row, size_t rows, const double *matrix, const double *mask,
                                    size_t first, size_t last) {
  for (size_t j = 0; j < rows; j++)
    for (size_t k = first; k < last; k++) {
      double factor = rondo_reference_factor(l, mask, rows, k, j);
      drow[j] += d[k] * factor * matrix[j * l->columns + k];
      dmatrix[j * l->columns + k] += row[j] * factor * d[k];
    }
}

/* d (count): from the gradient by LN(v) * gamma to that by v. normal: u. */
static void normalise_backward(double *d, size_t count, const double *normal, double scale, const double *gamma,
                               double *dgamma) {
  double mean = 0, mean_normal = 0;
  for (size_t j = 0; j < count; j++) {
    dgamma[j] += d[j] * normal[j];
    d[j] *= gamma[j];
    mean += d[j] / (double)count;
    mean_normal += d[j] * normal[j] / (double)count;
  }
  for (size_t j = 0; j < count; j++) d[j] = scale * (d[j] - mean - normal[j] * mean_normal);
}

static void add(double *row, size_t count, const double *other) {
  for (size_t j = 0; j < count; j++) row[j] += other[j];
}

static void copy(double *to, const double *from, size_t count) {
  for (size_t j = 0; j < count; j++) to[j] = from[j];
}

static void clear(double *row, size_t count) {
  for (size_t j = 0; j < count; j++) row[j] = 0;
}

/* old = rate * d, d = (1 - rate) * d. */
static void zoneout_backward(float rate, double *d, double *old, size_t count) {
  for (size_t j = 0; j < count; j++) {
    old[j] = rate > 0 ? (double)rate * d[j] : 0;
    d[j] = rate > 0 ? (1 - (double)rate) * d[j] : d[j];
  }
}

/* ---- what cells have in common ----------------------------------------------------------------------------------- */

/* From d->ax to d->x. */
static void from_input_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                                const rondo_reference_values *v, const rondo_reference_gradients *d) {
  add(dl->bias, l->columns, d->ax);
  if (l->gamma_kernel)
    normalise_backward(d->ax, l->columns, v->ax_normal, v->scales[0], l->gamma_kernel, dl->gamma_kernel);
  clear(d->x, l->inputs);
  multiply_gates_backward(l, d->x, dl->kernel, d->ax, x, l->inputs, l->kernel, l->input_mask, 0, l->columns);
}

/* From the first `columns` of d->ah to d->h. */
static void from_state_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *h,
                                const rondo_reference_values *v, const rondo_reference_gradients *d, size_t columns) {
  add(dl->recurrent_bias, columns, d->ah);
  if (l->gamma_recurrent)
    normalise_backward(d->ah, l->columns, v->ah_normal, v->scales[1], l->gamma_recurrent, dl->gamma_recurrent);
  multiply_gates_backward(l, d->h, dl->recurrent_kernel, d->ah, h, l->outputs, l->recurrent_kernel, l->recurrent_mask,
                          0, columns);
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

/* Of gate i (0), f (1) or o (2), whose sum has the gradient d, of unit j: gives the gradient by c. */
static double peephole_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, size_t row, size_t j,
                                double c, double d) {
  if (!l->peephole) return 0;
  dl->peephole[row * l->units + j] += d * c;
  return d * l->peephole[row * l->units + j];
}

/* From d->h_new, by h', to do_ (H), the gradient by gate o, and d->cell, that by c' through q. */
static void lstm_output_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl,
                                 const rondo_reference_values *v, const rondo_reference_gradients *d, double *do_) {
  const double *o = v->gates + 3 * l->units;
  if (l->projection) {
    clear(d->hidden, l->units);
    multiply_backward(d->hidden, dl->projection, d->h_new, v->hidden, l->units, l->projection, l->outputs);
  } else {
    copy(d->hidden, d->h_new, l->units);
  }
  for (size_t j = 0; j < l->units; j++) {
    do_[j] = d->hidden[j] * v->q[j];
    d->cell[j] = d->hidden[j] * o[j] * v->q_slopes[j];
  }
  if (l->beta_cell) add(dl->beta_cell, l->units, d->cell);
  if (l->gamma_cell) normalise_backward(d->cell, l->units, v->cell_normal, v->scales[2], l->gamma_cell, dl->gamma_cell);
}

static void lstm_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                               const double *h, const double *c, const rondo_reference_values *v,
                               const rondo_reference_gradients *d) {
  size_t units = l->units;
  const double *i = v->gates, *f = i + units, *g = f + units;
  const double *i_slopes = v->gate_slopes, *f_slopes = i_slopes + units, *g_slopes = f_slopes + units;
  const double *o_slopes = g_slopes + units;
  double *dax_i = d->ax, *dax_f = dax_i + units, *dax_g = dax_f + units, *dax_o = dax_g + units;
  zoneout_backward(l->options->zoneout, d->h_new, d->h, l->outputs);
  zoneout_backward(l->options->zoneout_cell, d->c_new, d->c, units);
  lstm_output_backward(l, dl, v, d, dax_o);
  for (size_t j = 0; j < units; j++) {
    dax_o[j] *= o_slopes[j];
    double dcell = d->cell[j] + d->c_new[j] + peephole_backward(l, dl, 2, j, v->cell[j], dax_o[j]);
    dcell = v->cell_slopes[j] > 0 ? dcell : 0;
    double df = dcell * c[j], di = dcell * g[j], dg = dcell * i[j];
    if (l->options->input_forget) di -= df;
    dax_i[j] = di * i_slopes[j];
    dax_f[j] = df * f_slopes[j];
    dax_g[j] = dg * g_slopes[j];
    d->c[j] += dcell * f[j];
    d->c[j] += peephole_backward(l, dl, 0, j, c[j], dax_i[j]);
    d->c[j] += peephole_backward(l, dl, 1, j, c[j], dax_f[j]);
  }
  copy(d->ah, d->ax, l->columns);
  from_input_backward(l, dl, x, v, d);
  from_state_backward(l, dl, h, v, d, l->columns);
}

static void gru_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                              const double *h, const rondo_reference_values *v, const rondo_reference_gradients *d) {
  size_t units = l->units;
  int reset_before = l->options->reset_before;
  const double *z = v->gates, *r = z + units, *n = r + units, *ah_h = v->ah + 2 * units;
  const double *z_slopes = v->gate_slopes, *r_slopes = z_slopes + units, *n_slopes = r_slopes + units;
  double *dax_z = d->ax, *dax_r = dax_z + units, *dax_h = dax_r + units, *dah_h = d->ah + 2 * units;
  zoneout_backward(l->options->zoneout, d->h_new, d->h, units);
  clear(d->hidden, units);
  for (size_t j = 0; j < units; j++) {
    dax_z[j] = d->h_new[j] * (h[j] - n[j]) * z_slopes[j];
    dax_h[j] = d->h_new[j] * (1 - z[j]) * n_slopes[j];
    dah_h[j] = reset_before ? dax_h[j] : dax_h[j] * r[j];
    d->h[j] += d->h_new[j] * z[j];
  }
  if (reset_before) {
    add(dl->recurrent_bias + 2 * units, units, dah_h);
    multiply_gates_backward(l, d->hidden, dl->recurrent_kernel, d->ah, v->hidden, units, l->recurrent_kernel,
                            l->recurrent_mask, 2 * units, 3 * units);
  }
  for (size_t j = 0; j < units; j++) {
    double dr = reset_before ? d->hidden[j] * h[j] : dax_h[j] * ah_h[j];
    dax_r[j] = dr * r_slopes[j];
    d->h[j] += d->hidden[j] * r[j];
  }
  copy(d->ah, d->ax, 2 * units);
  from_input_backward(l, dl, x, v, d);
  from_state_backward(l, dl, h, v, d, reset_before ? 2 * units : l->columns);
}

static void rnn_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                              const double *h, const rondo_reference_values *v, const rondo_reference_gradients *d) {
  zoneout_backward(l->options->zoneout, d->h_new, d->h, l->units);
  for (size_t j = 0; j < l->units; j++) d->ax[j] = d->ah[j] = d->h_new[j] * v->gate_slopes[j];
  from_input_backward(l, dl, x, v, d);
  from_state_backward(l, dl, h, v, d, l->columns);
}

static void dense_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                                const rondo_reference_values *v, const rondo_reference_gradients *d) {
  const double *y = v->h, *dy = d->h_new;
  int softmax = l->options->activation.kind == RONDO_SOFTMAX;
  double sum = 0;
  for (size_t j = 0; softmax && j < l->units; j++) sum += dy[j] * y[j];
  for (size_t j = 0; j < l->units; j++) d->ax[j] = softmax ? y[j] * (dy[j] - sum) : dy[j] * v->gate_slopes[j];
  clear(d->h, l->outputs);
  from_input_backward(l, dl, x, v, d);
}

void rondo_reference_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                                   const double *h, const double *c, const rondo_reference_values *v,
                                   const rondo_reference_gradients *d) {
  copy(d->h_new, d->h, l->outputs);
  copy(d->c_new, d->c, l->units);
  switch (l->options->cell) {
    case RONDO_LSTM: lstm_step_backward(l, dl, x, h, c, v, d); break;
    case RONDO_GRU: gru_step_backward(l, dl, x, h, v, d); break;
    case RONDO_RNN: rnn_step_backward(l, dl, x, h, v, d); break;
    case RONDO_DENSE: dense_step_backward(l, dl, x, v, d); break;
  }
}

rondo_reference_gradients rondo_reference_take_gradients(rondo_arena *arena, size_t inputs, size_t units) {
  size_t columns = rondo_size_mul(RONDO_GATES, units);
  rondo_reference_gradients d;
  double **of_units[] = {&d.h, &d.c, &d.cell, &d.hidden, &d.h_new, &d.c_new};
  for (size_t k = 0; k < sizeof of_units / sizeof *of_units; k++)
    *of_units[k] = rondo_arena_take(arena, units, sizeof(double));
  d.x = rondo_arena_take(arena, inputs, sizeof(double));
  d.ax = rondo_arena_take(arena, columns, sizeof(double));
  d.ah = rondo_arena_take(arena, columns, sizeof(double));
  return d;
}
