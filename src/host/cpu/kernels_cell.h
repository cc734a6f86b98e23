/* kernels_cell.h - cells of any functions and options, row by row: passes over the sums of a row, which lie gate after
 * gate, each gate in whole vectors. Lanes beyond the last unit hold whatever comes of them and are never stored to h, c
 * or y. Part of kernels_body.h. */

/* v[j] = expression of x = v[j]. */
#define OVER_UNITS(expression)                                                                                         \
  for (int j = 0; j < units; j += LANES) {                                                                             \
    vec x = vec_load(v + j);                                                                                           \
    vec_store(v + j, expression);                                                                                      \
  }                                                                                                                    \
  break

/* Of any function but SOFTMAX, which needs the whole row: see softmax. */
static void activate(rondo_function function, float *v, int units) {
  const float alpha = function.alpha, beta = function.beta;
  switch (function.kind) {
    case RONDO_TANH: OVER_UNITS(vec_tanh(x));
    case RONDO_SIGMOID: OVER_UNITS(vec_sigmoid(x));
    case RONDO_HARD_SIGMOID: OVER_UNITS(vec_clamp(0.0f, 1.0f, vec_affine(x, alpha, beta)));
    case RONDO_RELU: OVER_UNITS(vec_at_least(0.0f, x));
    case RONDO_SOFTSIGN: OVER_UNITS(vec_softsign(x));
    case RONDO_SOFTPLUS: OVER_UNITS(vec_softplus(x));
    case RONDO_ELU: OVER_UNITS(vec_elu(x, alpha));
    case RONDO_SELU: OVER_UNITS(vec_selu(x));
    case RONDO_EXPONENTIAL: OVER_UNITS(vec_exponential(x));
    case RONDO_SILU: OVER_UNITS(vec_silu(x));
    case RONDO_GELU: OVER_UNITS(vec_gelu(x));
    case RONDO_LEAKY_RELU: OVER_UNITS(vec_if_at_most(x, vec_set(0.0f), vec_mul(vec_set(alpha), x), x));
    case RONDO_RELU6: OVER_UNITS(vec_clamp(0.0f, 6.0f, x));
    case RONDO_MISH: OVER_UNITS(vec_mish(x));
    case RONDO_HARD_SILU: OVER_UNITS(vec_hard_silu(x));
    case RONDO_HARD_TANH: OVER_UNITS(vec_clamp(-1.0f, 1.0f, x));
    case RONDO_LOG_SIGMOID: OVER_UNITS(vec_log_sigmoid(x));
    case RONDO_AFFINE: OVER_UNITS(vec_affine(x, alpha, beta));
    case RONDO_THRESHOLDED_RELU: OVER_UNITS(vec_if_at_most(x, vec_set(alpha), vec_set(0.0f), x));
    case RONDO_SCALED_TANH: OVER_UNITS(vec_mul(vec_set(alpha), vec_tanh(vec_mul(vec_set(beta), x))));
    case RONDO_CELU: OVER_UNITS(vec_celu(x, alpha));
    case RONDO_SQUAREPLUS: OVER_UNITS(vec_squareplus(x, alpha));
    case RONDO_SOFT_SHRINK: OVER_UNITS(vec_soft_shrink(x, alpha));
    case RONDO_HARD_SHRINK: OVER_UNITS(vec_if_at_most(vec_abs(x), vec_set(alpha), vec_set(0.0f), x));
    case RONDO_TANH_SHRINK: OVER_UNITS(vec_tanh_shrink(x));
    case RONDO_THRESHOLD: OVER_UNITS(vec_if_at_most(x, vec_set(alpha), vec_set(beta), x));
    case RONDO_SPARSE_PLUS: OVER_UNITS(vec_sparse_plus(x));
    case RONDO_SPARSE_SIGMOID: OVER_UNITS(vec_sparse_sigmoid(x));
    case RONDO_LINEAR:
    case RONDO_SOFTMAX:
    case RONDO_DEFAULT: break;
  }
}

/* v within -bound..bound; bound 0: anywhere. */
static void limit(float *v, int units, float bound) {
  for (int j = 0; bound > 0 && j < units; j += LANES) vec_store(v + j, vec_clamp(-bound, bound, vec_load(v + j)));
}

static void add(float *v, const float *more, int units) {
  for (int j = 0; j < units; j += LANES) vec_store(v + j, vec_add(vec_load(v + j), vec_load(more + j)));
}

/* v += weights * state. */
static void add_peephole(float *v, const float *weights, const float *state, int hidden) {
  for (int j = 0; j < hidden; j += LANES)
    vec_store(v + j, vec_fma(vec_load(weights + j), vec_load_first(state + j, hidden - j), vec_load(v + j)));
}

INLINE vec tail_of_zeros(vec a, int count) {
  return count < LANES ? vec_keep_first(a, count) : a;
}

/* (v - mean) / sqrt(variance + 1e-5) * gamma + beta over the real units of all `gates`. v, gamma, beta: (gates, U). */
static void layer_norm(float *v, int gates, int hidden, int units, const float *gamma, const float *beta) {
  float count = (float)gates * (float)hidden;
  vec sum = vec_set(0.0f), squares = sum;
  for (int g = 0; g < gates; g++)
    for (int j = 0; j < hidden; j += LANES) sum = vec_add(sum, tail_of_zeros(vec_load(v + g * units + j), hidden - j));
  vec mean = vec_set(vec_sum(sum) / count);
  for (int g = 0; g < gates; g++)
    for (int j = 0; j < hidden; j += LANES) {
      vec away = tail_of_zeros(vec_sub(vec_load(v + g * units + j), mean), hidden - j);
      squares = vec_fma(away, away, squares);
    }
  vec scale = vec_set(1.0f / sqrtf(vec_sum(squares) / count + 1e-5f));
  for (int j = 0; j < gates * units; j += LANES) {
    vec standard = vec_mul(vec_sub(vec_load(v + j), mean), scale);
    vec_store(v + j, vec_fma(standard, vec_load(gamma + j), vec_load(beta + j)));
  }
}

static void KERNEL(layer_norm_forward)(const rondo_cell_forward_args *args) {
  int gates = args->layer->cell == RONDO_LSTM ? 4 : 3;
  for (int row = 0; row < args->rows; row++) {
    size_t at = (size_t)row * (size_t)gates * (size_t)args->units;
    layer_norm(args->x_sums + at, gates, args->hidden, args->units, args->gamma_kernel, args->bias);
    layer_norm(args->h_sums + at, gates, args->hidden, args->units, args->gamma_recurrent, args->recurrent_bias);
  }
}

/* rate * old + (1 - rate) * fresh; without a rate old does not count, not even as a NaN. */
INLINE vec zone_out(float rate, const float *old, vec fresh, int count) {
  if (rate == 0) return fresh;
  return vec_fma(vec_set(rate), vec_load_first(old, count), vec_mul(vec_set(1 - rate), fresh));
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* Gates i, f and g, then the new c in the place of g. v: i, f, g, o, (U) each. */
static void lstm_new_cell(const rondo_cell_forward_args *args, float *v, const float *before) {
  const rondo_layer *layer = args->layer;
  int units = args->units, hidden = args->hidden;
  float *i = v, *f = i + units, *g = f + units;
  if (layer->peephole) {
    add_peephole(i, args->peephole, before, hidden);
    add_peephole(f, args->peephole + units, before, hidden);
  }
  limit(v, 3 * units, layer->clip);
  activate(layer->recurrent_activation, i, units);
  activate(layer->recurrent_activation, f, units);
  activate(layer->activation, g, units);
  for (int j = 0; j < hidden; j += LANES) {
    vec forget = layer->input_forget ? vec_sub(vec_set(1.0f), vec_load(i + j)) : vec_load(f + j);
    vec kept = vec_mul(forget, vec_load_first(before + j, hidden - j));
    vec_store(g + j, vec_fma(vec_load(i + j), vec_load(g + j), kept));
  }
  limit(g, units, layer->cell_clip);
}

/* Gate o and with it inner; v: as lstm_new_cell leaves it. */
static void lstm_output(const rondo_cell_forward_args *args, float *v, float *inner) {
  const rondo_layer *layer = args->layer;
  int units = args->units, hidden = args->hidden;
  float *c = v + 2 * units, *o = v + 3 * units;
  if (layer->peephole) add_peephole(o, args->peephole + 2 * units, c, hidden);
  limit(o, units, layer->clip);
  activate(layer->recurrent_activation, o, units);
  memcpy(inner, c, (size_t)units * sizeof *inner);
  if (layer->layer_norm) layer_norm(inner, 1, hidden, units, args->gamma_cell, args->beta_cell);
  activate(layer->output_activation, inner, units);
  for (int j = 0; j < units; j += LANES) vec_store(inner + j, vec_mul(vec_load(inner + j), vec_load(o + j)));
}

static void KERNEL(lstm_cell_forward)(const rondo_cell_forward_args *args) {
  int units = args->units, hidden = args->hidden;
  for (int row = 0; row < args->rows; row++) {
    float *v = args->x_sums + (size_t)row * 4 * (size_t)units, *to = args->c_out[row];
    const float *before = args->c_in[row], *c = v + 2 * units;
    add(v, args->h_sums + (size_t)row * 4 * (size_t)units, 4 * units);
    lstm_new_cell(args, v, before);
    lstm_output(args, v, args->inner + (size_t)row * (size_t)units);
    for (int j = 0; j < hidden; j += LANES) {
      vec fresh = zone_out(args->layer->zoneout_cell, before + j, vec_load(c + j), hidden - j);
      vec_store_first(to + j, fresh, hidden - j);
    }
  }
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

/* z and r, in place. */
static void gru_gates(const rondo_cell_forward_args *args, float *v, const float *h_sums) {
  add(v, h_sums, 2 * args->units);
  limit(v, 2 * args->units, args->layer->clip);
  activate(args->layer->recurrent_activation, v, 2 * args->units);
}

static void KERNEL(gru_reset_forward)(const rondo_cell_forward_args *args) {
  int units = args->units, hidden = args->hidden;
  for (int row = 0; row < args->rows; row++) {
    size_t at = (size_t)row * 3 * (size_t)units;
    float *r = args->x_sums + at + units, *inner = args->inner + (size_t)row * (size_t)units;
    gru_gates(args, args->x_sums + at, args->h_sums + at);
    for (int j = 0; j < hidden; j += LANES)
      vec_store(inner + j, vec_mul(vec_load(r + j), vec_load_first(args->h_in[row] + j, hidden - j)));
  }
}

static void KERNEL(gru_cell_forward)(const rondo_cell_forward_args *args) {
  int units = args->units, hidden = args->hidden, before = args->layer->reset_before;
  for (int row = 0; row < args->rows; row++) {
    size_t at = (size_t)row * 3 * (size_t)units;
    float *z = args->x_sums + at, *r = z + units, *n = r + units, *inner = args->inner + (size_t)row * (size_t)units;
    const float *recurrent = args->h_sums + at + 2 * units;
    if (!before) gru_gates(args, z, args->h_sums + at);
    for (int j = 0; j < units; j += LANES) {
      vec scale = before ? vec_set(1.0f) : vec_load(r + j);
      vec_store(n + j, vec_fma(scale, vec_load(recurrent + j), vec_load(n + j)));
    }
    limit(n, units, args->layer->clip);
    activate(args->layer->activation, n, units);
    for (int j = 0; j < hidden; j += LANES) {
      vec update = vec_load(z + j), fresh = vec_mul(vec_sub(vec_set(1.0f), update), vec_load(n + j));
      vec_store(inner + j, vec_fma(update, vec_load_first(args->h_in[row] + j, hidden - j), fresh));
    }
  }
}

/* ---- RNN, DENSE -------------------------------------------------------------------------------------------------- */

static void KERNEL(rnn_cell_forward)(const rondo_cell_forward_args *args) {
  int units = args->units;
  for (int row = 0; row < args->rows; row++) {
    float *inner = args->inner + (size_t)row * (size_t)units;
    memcpy(inner, args->x_sums + (size_t)row * (size_t)units, (size_t)units * sizeof *inner);
    add(inner, args->h_sums + (size_t)row * (size_t)units, units);
    limit(inner, units, args->layer->clip);
    activate(args->layer->activation, inner, units);
  }
}

/* e^(v - max) over their sum. */
static void softmax(float *v, int hidden, int units) {
  float most = v[0];
  for (int j = 1; j < hidden; j++) most = v[j] > most ? v[j] : most;
  vec sum = vec_set(0.0f);
  for (int j = 0; j < units; j += LANES) {
    vec e = vec_exponential(vec_sub(vec_load(v + j), vec_set(most)));
    vec_store(v + j, e);
    sum = vec_add(sum, tail_of_zeros(e, hidden - j));
  }
  vec total = vec_set(vec_sum(sum));
  for (int j = 0; j < units; j += LANES) vec_store(v + j, vec_div(vec_load(v + j), total));
}

static void KERNEL(dense_cell_forward)(const rondo_cell_forward_args *args) {
  for (int row = 0; row < args->rows; row++) {
    float *v = args->x_sums + (size_t)row * (size_t)args->units;
    if (args->layer->activation.kind == RONDO_SOFTMAX)
      softmax(v, args->hidden, args->units);
    else
      activate(args->layer->activation, v, args->units);
  }
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static void KERNEL(output_forward)(const rondo_output_forward_args *args) {
  for (int row = 0; row < args->rows; row++)
    for (int j = 0; j < args->columns; j += LANES) {
      int count = args->columns - j;
      const float *old = args->zoneout > 0 ? args->h_in[row] + j : NULL;
      vec h = zone_out(args->zoneout, old, vec_load(args->value + row * args->value_row + j), count);
      if (args->h_out) vec_store_first(args->h_out[row] + j, h, count);
      if (args->y) store_merged(args->y[row] + j, h, count, args->merge);
    }
}
