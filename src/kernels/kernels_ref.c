/* kernels_ref.c - the twins of the kernels on host memory: plain loops, sums and functions in double. For tests. */
#include "functions_ref.h"
#include "kernels.h"

#include <math.h>
#include <string.h>

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static int position_of(const rondo_step *step, ptrdiff_t r, int s) {
  if (step->position) return step->position[r * step->timesteps + s];
  return (step->row ? step->row[r].first : 0) + s;
}

static rondo_row row_of(const rondo_step *step, ptrdiff_t r) {
  return step->row ? step->row[r] : (rondo_row){(int)r, (int)r, step->timesteps, 0};
}

static ptrdiff_t state_of(rondo_row row) {
  return row.state < 0 ? ~row.state : row.state;
}

static double get(rondo_const_rows rows, ptrdiff_t n, ptrdiff_t j) {
  return rows.at ? (double)rows.at[n * rows.stride + j] : 0;
}

static void put(rondo_rows rows, ptrdiff_t n, ptrdiff_t j, double value) {
  if (rows.at) rows.at[n * rows.stride + j] = (float)value;
}

/* An element of rows that products read. A number of 16 bits: sign, exponent (5 bits of F16, 8 of BF16), the rest. */
static void put_rounded(rondo_dtype type, void *to, ptrdiff_t index, double value) {
  if (type == RONDO_F32) ((float *)to)[index] = (float)value;
  if (type == RONDO_F32) return;
  int bits = type == RONDO_F16 ? 10 : 7, least = type == RONDO_F16 ? -14 : -126, exponent;
  frexp(value, &exponent);
  exponent = value == 0 || exponent - 1 < least ? least : exponent - 1;
  double units = rint(ldexp(fabs(value), bits - exponent)); /* 2^bits and more, but of subnormal numbers */
  double infinity = ldexp(1, 15) - ldexp(1, bits), code = ldexp(exponent - least, bits) + units;
  if (!(code < infinity)) code = isnan(value) ? infinity + 1 : infinity;
  ((uint16_t *)to)[index] = (uint16_t)((uint16_t)code | (signbit(value) ? 0x8000 : 0));
}

static void merge(rondo_merge how, float *to, double value) {
  if (how == RONDO_SUM) value += *to;
  if (how == RONDO_MUL) value *= *to;
  if (how == RONDO_AVE) value = (value + *to) / 2;
  *to = (float)value;
}

static void put_h(const rondo_output *out, const rondo_step *step, ptrdiff_t r, ptrdiff_t j, double h) {
  rondo_row row = row_of(step, r);
  int p = position_of(step, r, step->step), zero = out->zero_y_last && p != step->timesteps - 1;
  if (out->y) merge(out->merge, &out->y[row.sequence * out->y_sequence + p * out->y_timestep + j], h);
  if (step->step < row.count - 1) {
    put(out->h_next, r, j, h);
    if (out->type && out->rounded) put_rounded(out->type, out->rounded, r * out->rounded_stride + j, h);
    return;
  }
  put(out->h_n, state_of(row), j, h);
  if (out->y_last.at) merge(out->merge, &out->y_last.at[row.sequence * out->y_last.stride + j], zero ? 0 : h);
}

void rondo_words_upload_ref(const rondo_words_upload_args *args) {
  memcpy(args->to, args->words, (size_t)args->count * sizeof *args->words);
}

void rondo_mask_positions_ref(const rondo_mask_positions_args *args) {
  ptrdiff_t T = args->timesteps, words = (T + 31) / 32;
  for (ptrdiff_t r = 0; r < args->rows; r++)
    for (ptrdiff_t p = 0, s = 0; p < T; p++)
      if (args->bits[r * words + p / 32] >> p % 32 & 1) args->position[r * T + s++] = (int32_t)p;
}

void rondo_hx_gather_ref(const rondo_hx_gather_args *args) {
  for (ptrdiff_t k = 0; k < args->steps; k++)
    for (ptrdiff_t r = 0; r < args->step.rows; r++) {
      rondo_row row = row_of(&args->step, r);
      int s = args->step.step + (int)k;
      if (s >= row.count) continue;
      const float *x = args->x + row.sequence * args->x_sequence + position_of(&args->step, r, s) * args->x_timestep;
      ptrdiff_t hx = (k * args->batch + r) * args->hx_row, O = args->output_size;
      for (ptrdiff_t c = 0; c < args->input_size; c++) put_rounded(args->type, args->hx, hx + O + c, (double)x[c]);
      for (ptrdiff_t j = 0; j < O && args->with_h && k == 0; j++) {
        double h = row.state < 0 ? 0 : get(args->h_0, row.state, j);
        put_rounded(args->type, args->hx, hx + j, h);
        if (args->h) args->h[r * O + j] = (float)h;
      }
    }
}

void rondo_rows_fill_ref(const rondo_rows_fill_args *args) {
  for (ptrdiff_t r = 0; r < args->step.rows; r++) {
    rondo_row row = row_of(&args->step, r);
    float *y = args->y + row.sequence * args->y_sequence;
    for (int p = 0, s = 0; p < args->step.timesteps; p++) {
      if (s < row.count && position_of(&args->step, r, s) == p) {
        s++;
        continue;
      }
      for (ptrdiff_t j = 0; j < args->output_size; j++) {
        double before = p && !args->zero ? (double)y[(p - 1) * args->y_timestep + j] : 0;
        merge(args->merge, &y[p * args->y_timestep + j], before);
      }
    }
  }
}

void rondo_rows_idle_ref(const rondo_rows_idle_args *args) {
  for (ptrdiff_t r = args->first; r < args->first + args->rows; r++) {
    rondo_row row = args->row[r];
    ptrdiff_t state = state_of(row), zeros = row.state < 0;
    for (ptrdiff_t j = 0; j < args->output_size; j++) {
      put(args->h_n, state, j, zeros ? 0 : get(args->h_0, state, j));
      if (args->y_last.at) merge(args->merge, &args->y_last.at[row.sequence * args->y_last.stride + j], 0);
    }
    for (ptrdiff_t j = 0; j < args->hidden_size; j++) put(args->c_n, state, j, zeros ? 0 : get(args->c_0, state, j));
  }
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

static double clip(double v, double most) {
  return most > 0 ? clamp(v, -most, most) : v;
}

static double active(rondo_function f, double v) {
  return apply(f, v).value;
}

static double zone_out(double rate, double old, double fresh) {
  return rate > 0 ? rate * old + (1 - rate) * fresh : fresh;
}

/* Mean and 1 / sqrt(variance + 1e-5) of a row. */
typedef struct statistics {
  double mean, scale;
} statistics;

static statistics statistics_of(const float *row, ptrdiff_t columns) {
  double sum = 0, squares = 0;
  for (ptrdiff_t k = 0; k < columns; k++) sum += row[k];
  for (ptrdiff_t k = 0; k < columns; k++) squares += (row[k] - sum / columns) * (row[k] - sum / columns);
  return (statistics){sum / columns, 1 / sqrt(squares / columns + 1e-5)};
}

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

/* Sum l of unit j of row r of an LSTM. */
static double lstm_sum(const rondo_lstm_cell_forward_args *args, ptrdiff_t r, ptrdiff_t l, ptrdiff_t j) {
  ptrdiff_t H = args->hidden_size, k = l * H + j;
  const float *x = args->gates + r * 4 * H, *h = args->recurrent + r * 4 * H;
  if (!args->recurrent) return (double)x[k] + args->bias[k];
  statistics of_x = statistics_of(x, 4 * H), of_h = statistics_of(h, 4 * H);
  return (x[k] - of_x.mean) * of_x.scale * args->gamma_kernel[k] +
         (h[k] - of_h.mean) * of_h.scale * args->gamma_recurrent[k] + args->bias[k];
}

/* c' and o of unit j of row r. */
static void lstm_fresh(const rondo_lstm_cell_forward_args *args, ptrdiff_t r, ptrdiff_t j, double old, double *fresh,
                       double *o) {
  const rondo_cell_options *k = &args->options;
  const float *p = args->peephole;
  ptrdiff_t H = args->hidden_size;
  double v[4];
  for (int l = 0; l < 4; l++) v[l] = lstm_sum(args, r, l, j);
  for (int l = 0; l < 2 && p; l++) v[l] += p[l * H + j] * old;
  double i = active(k->recurrent_activation, clip(v[0], k->clip));
  double f = k->input_forget ? 1 - i : active(k->recurrent_activation, clip(v[1], k->clip));
  *fresh = clip(f * old + i * active(k->activation, clip(v[2], k->clip)), k->cell_clip);
  if (p) v[3] += p[2 * H + j] * *fresh;
  *o = active(k->recurrent_activation, clip(v[3], k->clip));
}

/* What q is applied to: c', or its normalisation, which must know c' of the whole row. */
static double lstm_inside(const rondo_lstm_cell_forward_args *args, ptrdiff_t r, ptrdiff_t j, double fresh) {
  ptrdiff_t H = args->hidden_size;
  if (!args->recurrent) return fresh;
  double sum = 0, squares = 0, c, o;
  rondo_row row = row_of(&args->step, r);
  for (int pass = 0; pass < 2; pass++)
    for (ptrdiff_t k = 0; k < H; k++) {
      double old = args->step.step ? (double)args->c[r * H + k] : row.state < 0 ? 0 : get(args->c_0, row.state, k);
      lstm_fresh(args, r, k, old, &c, &o);
      if (pass)
        squares += (c - sum / H) * (c - sum / H);
      else
        sum += c;
    }
  return (fresh - sum / H) / sqrt(squares / H + 1e-5) * args->gamma_cell[j] + args->beta_cell[j];
}

static void lstm_row(const rondo_lstm_cell_forward_args *args, ptrdiff_t r, double *c, double *h) {
  ptrdiff_t H = args->hidden_size;
  rondo_row row = row_of(&args->step, r);
  for (ptrdiff_t j = 0; j < H; j++) {
    double old = args->step.step ? (double)args->c[r * H + j] : row.state < 0 ? 0 : get(args->c_0, row.state, j), o;
    lstm_fresh(args, r, j, old, &c[j], &o);
    h[j] = o * active(args->options.output_activation, lstm_inside(args, r, j, c[j]));
    c[j] = zone_out(args->options.zoneout_cell, old, c[j]);
    if (!args->unprojected) h[j] = zone_out(args->options.zoneout, get(args->h, r, j), h[j]);
  }
}

void rondo_lstm_cell_forward_ref(const rondo_lstm_cell_forward_args *args) {
  enum { MOST = 4096 }; /* H of tests */
  static _Thread_local double c[MOST], h[MOST];
  ptrdiff_t H = args->hidden_size;
  for (ptrdiff_t r = 0; r < args->step.rows; r++) {
    rondo_row row = row_of(&args->step, r);
    lstm_row(args, r, c, h);
    for (ptrdiff_t j = 0; j < H; j++) {
      if (args->step.step < row.count - 1)
        args->c[r * H + j] = (float)c[j];
      else
        put(args->c_n, state_of(row), j, c[j]);
      if (args->unprojected)
        put_rounded(args->output.type, args->unprojected, r * H + j, h[j]);
      else
        put_h(&args->output, &args->step, r, j, h[j]);
    }
  }
}

void rondo_gru_reset_forward_ref(const rondo_gru_reset_forward_args *args) {
  ptrdiff_t H = args->hidden_size;
  for (ptrdiff_t r = 0; r < args->rows; r++)
    for (ptrdiff_t j = 0; j < H; j++) {
      double v = (double)args->gates[(r * 3 + 1) * H + j] + args->bias[H + j];
      float *h = &args->h.at[r * args->h.stride + j];
      double reset = active(args->recurrent_activation, clip(v, args->clip)) * *h;
      if (args->type) put_rounded(args->type, args->rounded, r * args->rounded_stride + j, reset);
      if (args->type) continue;
      args->saved[r * H + j] = *h;
      *h = (float)reset;
    }
}

/* The sums z, r, x, h of unit j of row r of a GRU. */
static void gru_sums(const rondo_gru_cell_forward_args *args, ptrdiff_t r, ptrdiff_t j, double v[4]) {
  ptrdiff_t H = args->hidden_size, parts = args->reset_before || args->recurrent ? 3 : 4;
  const float *x = args->gates + r * parts * H, *h = args->recurrent + r * 3 * H;
  v[3] = 0;
  for (ptrdiff_t l = 0; l < parts; l++) v[l] = x[(args->x_first && l < 3 ? (l + 1) % 3 : l) * H + j];
  if (args->recurrent && !args->gamma_kernel) {
    v[0] += h[j], v[1] += h[H + j], v[3] = h[2 * H + j];
  } else if (args->recurrent) {
    statistics of_x = statistics_of(x, 3 * H), of_h = statistics_of(h, 3 * H);
    double by_h[3];
    for (ptrdiff_t l = 0; l < 3; l++) {
      v[l] = (v[l] - of_x.mean) * of_x.scale * args->gamma_kernel[l * H + j];
      by_h[l] = (h[l * H + j] - of_h.mean) * of_h.scale * args->gamma_recurrent[l * H + j];
    }
    v[0] += by_h[0], v[1] += by_h[1], v[3] = by_h[2];
  }
  for (ptrdiff_t l = 0; l < 4; l++) v[l] += args->bias[l * H + j];
}

void rondo_gru_cell_forward_ref(const rondo_gru_cell_forward_args *args) {
  const rondo_cell_options *k = &args->options;
  for (ptrdiff_t r = 0; r < args->step.rows; r++)
    for (ptrdiff_t j = 0; j < args->hidden_size; j++) {
      double v[4], old = get(args->h, r, j);
      gru_sums(args, r, j, v);
      double z = active(k->recurrent_activation, clip(v[0], k->clip));
      double reset = args->reset_before ? 0 : active(k->recurrent_activation, clip(v[1], k->clip));
      double n = active(k->activation, clip(v[2] + reset * v[3], k->clip));
      put_h(&args->output, &args->step, r, j, zone_out(k->zoneout, old, z * old + (1 - z) * n));
    }
}

void rondo_rnn_cell_forward_ref(const rondo_rnn_cell_forward_args *args) {
  ptrdiff_t H = args->hidden_size;
  for (ptrdiff_t r = 0; r < args->step.rows; r++)
    for (ptrdiff_t j = 0; j < H; j++) {
      double v = (double)args->gates[r * H + j] + (args->bias ? args->bias[j] : 0);
      double h = active(args->options.activation, clip(v, args->options.clip));
      put_h(&args->output, &args->step, r, j, zone_out(args->options.zoneout, get(args->h, r, j), h));
    }
}

void rondo_dense_forward_ref(const rondo_dense_forward_args *args) {
  ptrdiff_t N = args->batch, H = args->units;
  for (ptrdiff_t i = 0; i < N * args->timesteps; i++) {
    const float *sums = args->sums + i * H;
    double most = -INFINITY, total = 0;
    int soft = args->activation.kind == RONDO_SOFTMAX;
    for (ptrdiff_t j = 0; j < H && soft; j++) most = fmax(most, (double)sums[j] + args->bias[j]);
    for (ptrdiff_t j = 0; j < H && soft; j++) total += exp((double)sums[j] + args->bias[j] - most);
    for (ptrdiff_t j = 0; j < H; j++) {
      double v = (double)sums[j] + args->bias[j];
      v = soft ? exp(v - most) / total : active(args->activation, v);
      if (args->y) args->y[i % N * args->y_sequence + i / N * args->y_timestep + j] = (float)v;
      if (i / N == args->timesteps - 1) put(args->y_last, i % N, j, v);
    }
  }
}
