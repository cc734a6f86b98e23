/* kernels_training_ref.c - the twins of the kernels of training on host memory: plain loops, sums and functions in
 * double. For tests. */
#include "functions_ref.h"
#include "kernels.h"

#include <math.h>

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static rondo_row row_of(const rondo_step *step, ptrdiff_t r) {
  return step->row ? step->row[r] : (rondo_row){(int)r, (int)r, step->timesteps, 0};
}

static int position_of(const rondo_step *step, ptrdiff_t r, int s) {
  return step->position ? step->position[r * step->timesteps + s] : row_of(step, r).first + s;
}

static ptrdiff_t state_of(rondo_row row) {
  return row.state < 0 ? ~row.state : row.state;
}

static double get(rondo_const_rows rows, ptrdiff_t n, ptrdiff_t j) {
  return rows.at ? (double)rows.at[n * rows.stride + j] : 0;
}

static int ends(const rondo_step *step, ptrdiff_t r) {
  return step->step == row_of(step, r).count - 1;
}

static double gradient_by_h(const rondo_output_gradient *out, const rondo_step *step, ptrdiff_t r, ptrdiff_t j,
                            ptrdiff_t columns) {
  rondo_row row = row_of(step, r);
  int last = ends(step, r), p = position_of(step, r, step->step), T = step->timesteps;
  int after = !out->repeats ? p + 1 : last ? T : position_of(step, r, step->step + 1);
  double dh = last ? get(out->dh_n, state_of(row), j) : (double)out->dh[r * columns + j];
  for (int q = p; q < after && out->dy; q++)
    dh += (double)out->dy[row.sequence * out->dy_sequence + q * out->dy_timestep + j];
  return last && !(out->zero_y_last && p != T - 1) ? dh + get(out->dy_last, row.sequence, j) : dh;
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

static dual clip(double v, double most) {
  return most > 0 ? (dual){clamp(v, -most, most), within(v, -most, most)} : (dual){v, 1};
}

static dual gate(rondo_function f, double most, double v) {
  dual limited = clip(v, most), d = apply(f, limited.value);
  d.slope *= limited.slope;
  return d;
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* One unit once more: gates i, f, g, o with their slopes, and c'. */
typedef struct unit {
  dual gate[4], fresh;
} unit;

static double lstm_sum(const rondo_lstm_sums *s, ptrdiff_t r, ptrdiff_t l, ptrdiff_t j) {
  ptrdiff_t k = l * s->hidden_size + j, at = r * 4 * s->hidden_size + k;
  double v = (double)s->gates[at];
  if (s->recurrent) v = v * (double)s->gamma_kernel[k] + (double)s->recurrent[at] * (double)s->gamma_recurrent[k];
  return s->bias ? v + (double)s->bias[k] : v;
}

static unit lstm_unit(const rondo_lstm_sums *s, ptrdiff_t r, ptrdiff_t j, double old) {
  const rondo_cell_options *k = &s->options;
  ptrdiff_t H = s->hidden_size;
  double v[4];
  unit u;
  for (int l = 0; l < 4; l++) v[l] = lstm_sum(s, r, l, j);
  for (int l = 0; l < 2 && s->peephole; l++) v[l] += (double)s->peephole[l * H + j] * old;
  u.gate[0] = gate(k->recurrent_activation, (double)k->clip, v[0]);
  u.gate[1] = gate(k->recurrent_activation, (double)k->clip, v[1]);
  if (k->input_forget) u.gate[1] = (dual){1 - u.gate[0].value, 0};
  u.gate[2] = gate(k->activation, (double)k->clip, v[2]);
  u.fresh = clip(u.gate[1].value * old + u.gate[0].value * u.gate[2].value, (double)k->cell_clip);
  if (s->peephole) v[3] += (double)s->peephole[2 * H + j] * u.fresh.value;
  u.gate[3] = gate(k->recurrent_activation, (double)k->clip, v[3]);
  return u;
}

void rondo_lstm_replay_forward_ref(const rondo_lstm_replay_forward_args *args) {
  ptrdiff_t H = args->sums.hidden_size, R = args->step.rows;
  double rate = (double)args->sums.options.zoneout_cell;
  for (ptrdiff_t i = 0; i < R * H; i++) {
    rondo_row row = row_of(&args->step, i / H);
    double c = args->step.step ? (double)args->c[i] : row.state < 0 ? 0 : get(args->c_0, row.state, i % H);
    for (ptrdiff_t k = 0; k < args->steps; k++) {
      double fresh = lstm_unit(&args->sums, k * R + i / H, i % H, c).fresh.value;
      args->old[k * R * H + i] = (float)c;
      if (args->fresh) args->fresh[k * R * H + i] = (float)fresh;
      c = rate * c + (1 - rate) * fresh;
    }
    args->c[i] = (float)c;
  }
}

/* du and dv_o of unit j; dh goes on. */
static void lstm_top(const rondo_lstm_cell_backward_args *args, ptrdiff_t r, ptrdiff_t j, const unit *u, double *du,
                     double *dv_o) {
  const rondo_cell_options *k = &args->sums.options;
  ptrdiff_t H = args->sums.hidden_size;
  double dh, inside = u->fresh.value, rate = (double)k->zoneout;
  if (args->dhidden) {
    dh = (double)args->dhidden[r * H + j];
  } else {
    dh = gradient_by_h(&args->output, &args->step, r, j, H);
    if (rate > 0) args->output.dh[r * H + j] = (float)(rate * dh);
    dh *= 1 - rate;
  }
  if (args->normal) inside = (double)args->normal[r * H + j] * (double)args->gamma_cell[j] + (double)args->beta_cell[j];
  dual q = apply(k->output_activation, inside);
  *du = dh * u->gate[3].value * q.slope;
  *dv_o = dh * q.value * u->gate[3].slope;
}

/* dcell: what comes to c' from h alone. */
static void lstm_bottom(const rondo_lstm_cell_backward_args *args, ptrdiff_t r, ptrdiff_t j, const unit *u, double dv_o,
                        double dcell) {
  const rondo_cell_options *k = &args->sums.options;
  const float *p = args->sums.peephole;
  ptrdiff_t H = args->sums.hidden_size;
  double old = (double)args->old[r * H + j], rate = (double)k->zoneout_cell, d[4];
  double dc = ends(&args->step, r) ? get(args->dc_n, state_of(row_of(&args->step, r)), j) : (double)args->dc[r * H + j];
  double fresh = ((1 - rate) * dc + dcell + (p ? (double)p[2 * H + j] * dv_o : 0)) * u->fresh.slope;
  d[0] = fresh * (u->gate[2].value - (k->input_forget ? old : 0)) * u->gate[0].slope;
  d[1] = fresh * old * u->gate[1].slope;
  d[2] = fresh * u->gate[0].value * u->gate[2].slope;
  d[3] = dv_o;
  dc = rate * dc + fresh * u->gate[1].value;
  for (int l = 0; l < 2 && p; l++) dc += (double)p[l * H + j] * d[l];
  args->dc[r * H + j] = (float)dc;
  for (int l = 0; l < 4; l++) args->dgates[(r * 4 + l) * H + j] = (float)d[l];
}

enum { MOST = 4096 }; /* H of tests */

void rondo_lstm_cell_backward_ref(const rondo_lstm_cell_backward_args *args) {
  static _Thread_local double du[MOST], dv_o[MOST];
  ptrdiff_t H = args->sums.hidden_size;
  for (ptrdiff_t r = 0; r < args->step.rows; r++) {
    double mean = 0, by_normal = 0;
    for (ptrdiff_t j = 0; j < H; j++) {
      unit u = lstm_unit(&args->sums, r, j, (double)args->old[r * H + j]);
      lstm_top(args, r, j, &u, &du[j], &dv_o[j]);
      if (!args->normal) continue;
      args->du[r * H + j] = (float)du[j];
      du[j] *= (double)args->gamma_cell[j];
      mean += du[j] / (double)H;
      by_normal += du[j] * (double)args->normal[r * H + j] / (double)H;
    }
    for (ptrdiff_t j = 0; j < H; j++) {
      unit u = lstm_unit(&args->sums, r, j, (double)args->old[r * H + j]);
      if (args->normal) du[j] = (double)args->scale[r] * (du[j] - mean - (double)args->normal[r * H + j] * by_normal);
      lstm_bottom(args, r, j, &u, dv_o[j], du[j]);
    }
  }
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

static void gru_sums(const rondo_gru_cell_backward_args *args, ptrdiff_t r, ptrdiff_t j, double v[4]) {
  ptrdiff_t H = args->hidden_size, parts = args->recurrent || args->reset_before ? 3 : 4;
  v[3] = 0;
  for (ptrdiff_t l = 0; l < parts; l++) v[l] = (double)args->gates[(r * parts + l) * H + j];
  for (ptrdiff_t l = 0; l < 3 && args->recurrent; l++) {
    double by_h = (double)args->recurrent[(r * 3 + l) * H + j] * (double)args->gamma_recurrent[l * H + j];
    v[l] = v[l] * (double)args->gamma_kernel[l * H + j] + (l < 2 ? by_h : 0);
    if (l == 2) v[3] = by_h;
  }
  for (ptrdiff_t l = 0; l < 4; l++) v[l] += (double)args->bias[l * H + j];
}

void rondo_gru_cell_backward_ref(const rondo_gru_cell_backward_args *args) {
  const rondo_cell_options *k = &args->options;
  ptrdiff_t H = args->hidden_size;
  double rate = (double)k->zoneout, most = (double)k->clip;
  for (ptrdiff_t i = 0; i < args->step.rows * H; i++) {
    ptrdiff_t r = i / H, j = i % H;
    double v[4], old = get(args->h, r, j), dh = gradient_by_h(&args->output, &args->step, r, j, H);
    gru_sums(args, r, j, v);
    dual z = gate(k->recurrent_activation, most, v[0]), reset = gate(k->recurrent_activation, most, v[1]);
    dual n = gate(k->activation, most, args->reset_before ? v[2] : v[2] + reset.value * v[3]);
    args->output.dh[i] = (float)((rate + (1 - rate) * z.value) * dh);
    double dv_z = (1 - rate) * dh * (old - n.value) * z.slope, dv_n = (1 - rate) * dh * (1 - z.value) * n.slope;
    double dv_r = dv_n * v[3] * reset.slope, dx[3] = {dv_z, dv_r, dv_n}, dh_sums[3] = {dv_z, dv_r, dv_n * reset.value};
    for (int l = 0; l < 3; l++) {
      if (args->reset_before && l == 1) continue;
      args->dgates[(r * 3 + l) * H + j] = (float)dx[l];
    }
    for (int l = 0; l < 3 && !args->reset_before; l++) args->drecurrent[(r * 3 + l) * H + j] = (float)dh_sums[l];
  }
}

void rondo_gru_reset_backward_ref(const rondo_gru_reset_backward_args *args) {
  ptrdiff_t H = args->hidden_size;
  for (ptrdiff_t i = 0; i < args->rows * H; i++) {
    ptrdiff_t at = (i / H * 3 + 1) * H + i % H;
    double dreset = (double)args->dreset[i];
    dual reset =
        gate(args->recurrent_activation, (double)args->clip, (double)args->gates[at] + (double)args->bias[H + i % H]);
    args->dh[i] = (float)((double)args->dh[i] + reset.value * dreset);
    args->dgates[at] = (float)((double)args->h[i] * dreset * reset.slope);
  }
}

void rondo_gru_spread_ref(const rondo_gru_spread_args *args) {
  ptrdiff_t H = args->hidden_size;
  for (ptrdiff_t row = 0; row < args->rows && args->matrix; row++)
    for (ptrdiff_t k = 0; k < 4 * H; k++) {
      int zero = row < args->output_size ? k / H == 2 : k / H == 3;
      args->matrix[row * 4 * H + k] = zero ? 0 : args->kernels[row * 3 * H + (k < 3 * H ? k : k - H)];
    }
  for (ptrdiff_t j = 0; j < H; j++) {
    const float *b = args->kernel_bias, *rb = args->recurrent_bias;
    for (ptrdiff_t l = 0; l < 2; l++) args->bias[l * H + j] = (b ? b[l * H + j] : 0) + (rb ? rb[l * H + j] : 0);
    args->bias[2 * H + j] = b ? b[2 * H + j] : 0;
    args->bias[3 * H + j] = rb ? rb[2 * H + j] : 0;
  }
}

/* ---- RNN, Dense -------------------------------------------------------------------------------------------------- */

void rondo_rnn_cell_backward_ref(const rondo_rnn_cell_backward_args *args) {
  ptrdiff_t H = args->hidden_size;
  double rate = (double)args->options.zoneout;
  for (ptrdiff_t i = 0; i < args->step.rows * H; i++) {
    double dh = gradient_by_h(&args->output, &args->step, i / H, i % H, H), slope = 1;
    double v = (args->gates ? (double)args->gates[i] : 0) + (args->bias ? (double)args->bias[i % H] : 0);
    if (args->gates) slope = gate(args->options.activation, (double)args->options.clip, v).slope;
    if (rate > 0) args->output.dh[i] = (float)(rate * dh);
    args->dgates[i] = (float)((1 - rate) * dh * slope);
  }
}

void rondo_dense_backward_ref(const rondo_dense_backward_args *args) {
  static _Thread_local double v[MOST], dy[MOST];
  ptrdiff_t N = args->batch, H = args->units;
  int soft = args->activation.kind == RONDO_SOFTMAX;
  for (ptrdiff_t i = 0; i < N * args->timesteps; i++) {
    double most = -INFINITY, total = 0, along = 0;
    for (ptrdiff_t j = 0; j < H; j++) {
      v[j] = (double)args->sums[i * H + j] + (args->bias ? (double)args->bias[j] : 0);
      most = fmax(most, v[j]);
      dy[j] = args->dy ? (double)args->dy[i % N * args->dy_sequence + i / N * args->dy_timestep + j] : 0;
      if (i / N == args->timesteps - 1) dy[j] += get(args->dy_last, i % N, j);
    }
    for (ptrdiff_t j = 0; j < H && soft; j++) total += v[j] = exp(v[j] - most);
    for (ptrdiff_t j = 0; j < H && soft; j++) along += (v[j] /= total) * dy[j];
    for (ptrdiff_t j = 0; j < H; j++)
      args->dsums[i * H + j] = (float)(soft ? v[j] * (dy[j] - along) : dy[j] * apply(args->activation, v[j]).slope);
  }
}

/* ---- Layer normalisation ----------------------------------------------------------------------------------------- */

void rondo_norm_forward_ref(const rondo_norm_forward_args *args) {
  ptrdiff_t K = args->columns;
  for (ptrdiff_t r = 0; r < args->rows; r++) {
    const float *v = args->v + r * K;
    double mean = 0, variance = 0;
    for (ptrdiff_t k = 0; k < K; k++) mean += (double)v[k] / (double)K;
    for (ptrdiff_t k = 0; k < K; k++) variance += ((double)v[k] - mean) * ((double)v[k] - mean) / (double)K;
    args->scale[r] = (float)(1 / sqrt(variance + 1e-5));
    for (ptrdiff_t k = 0; k < K; k++) args->normal[r * K + k] = (float)(((double)v[k] - mean) / sqrt(variance + 1e-5));
  }
}

void rondo_norm_backward_ref(const rondo_norm_backward_args *args) {
  ptrdiff_t K = args->columns;
  for (ptrdiff_t r = 0; r < args->rows; r++) {
    const float *normal = args->normal + r * K, *dout = args->dout + r * K;
    double mean = 0, by_normal = 0;
    for (ptrdiff_t k = 0; k < K; k++) {
      double g = (double)dout[k] * (double)args->gamma[k];
      mean += g / (double)K;
      by_normal += g * (double)normal[k] / (double)K;
    }
    for (ptrdiff_t k = 0; k < K; k++) {
      double g = (double)dout[k] * (double)args->gamma[k];
      args->dv[r * K + k] = (float)((double)args->scale[r] * (g - mean - (double)normal[k] * by_normal));
    }
  }
}

/* ---- All steps together ------------------------------------------------------------------------------------------ */

void rondo_column_sums_ref(const rondo_column_sums_args *args) {
  ptrdiff_t part = (args->rows + (ptrdiff_t)args->parts - 1) / args->parts;
  for (ptrdiff_t i = 0; i < (ptrdiff_t)args->parts * args->columns; i++) {
    ptrdiff_t j = i % args->columns, first = i / args->columns * part;
    double sum = args->add ? (double)args->to[i] : 0;
    for (ptrdiff_t row = first; row < first + part && row < args->rows; row++)
      sum += get(args->a, row, j) * (args->b.at ? get(args->b, row, j) : 1);
    args->to[i] = (float)sum;
  }
}

void rondo_dx_scatter_ref(const rondo_dx_scatter_args *args) {
  ptrdiff_t R = args->step.rows, C = args->input_size;
  for (ptrdiff_t i = 0; i < args->steps * R * C; i++) {
    ptrdiff_t r = i / C % R;
    int s = args->step.step + (int)(i / C / R);
    float *dx = args->dx + row_of(&args->step, r).sequence * args->dx_sequence;
    dx += position_of(&args->step, r, s) * args->dx_timestep + i % C;
    *dx = args->add ? *dx + args->rows[i] : args->rows[i];
  }
}

void rondo_state_backward_ref(const rondo_state_backward_args *args) {
  for (ptrdiff_t r = 0; r < args->rows; r++) {
    rondo_row row = args->row ? args->row[r] : (rondo_row){(int)r, (int)r, 0, 0};
    ptrdiff_t n = state_of(row), O = args->output_size, H = args->hidden_size;
    for (ptrdiff_t j = 0; j < O && args->dh_0.at; j++) {
      double dh = r < args->active ? (double)args->dh[r * O + j] : get(args->dh_n, n, j);
      args->dh_0.at[n * args->dh_0.stride + j] = row.state < 0 ? 0 : (float)dh;
    }
    for (ptrdiff_t j = 0; j < H && args->dc_0.at; j++) {
      double dc = r < args->active ? (double)args->dc[r * H + j] : get(args->dc_n, n, j);
      args->dc_0.at[n * args->dc_0.stride + j] = row.state < 0 ? 0 : (float)dc;
    }
  }
}

void rondo_merge_forward_ref(const rondo_merge_forward_args *args) {
  ptrdiff_t N = args->batch, K = args->columns;
  for (ptrdiff_t i = 0; i < N * args->timesteps * K; i++) {
    double a = (double)args->a[i], b = (double)args->b[i];
    double y = args->merge == RONDO_MUL ? a * b : args->merge == RONDO_AVE ? (a + b) / 2 : a + b;
    args->y[i / K % N * args->y_sequence + i / K / N * args->y_timestep + i % K] = (float)y;
  }
}

void rondo_merge_backward_ref(const rondo_merge_backward_args *args) {
  ptrdiff_t N = args->batch, K = args->columns;
  for (ptrdiff_t i = 0; i < N * args->timesteps * K; i++) {
    double dy = (double)args->dy[i / K % N * args->dy_sequence + i / K / N * args->dy_timestep + i % K];
    double share = args->merge == RONDO_AVE ? 0.5 : 1, mul = args->merge == RONDO_MUL;
    args->da[i] = (float)(dy * (mul ? (double)args->b[i] : share));
    args->db[i] = (float)(dy * (mul ? (double)args->a[i] : share));
  }
}
