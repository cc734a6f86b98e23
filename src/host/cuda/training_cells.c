/* training_cells.c - one step of each cell backward: its kernels and products; and what is made ahead of the steps.
 *
 *                                products a step                                 kernels a step
 *   LSTM, GRU, RNN               dh (R, O) = drecurrent (R, G*H) @ R^T           1
 *   with layer_norm              the same                                        one more, norm_backward of h @ R
 *   LSTM with projection_size    one more, dh' = dprojected (R, O) @ P^T         one more
 *   GRU with reset_before        dreset = du @ R_h^T, dh += (dz, dr) @ R_zr^T    2
 *
 * With recurrent_dropout each product of h has one more kernel (training_dropout.c). Ahead of the steps: a GRU has one
 * small kernel, for its biases, an LSTM lstm_replay for each run of steps with equally many rows, recompute one product
 * over all rows (training_again.c), and layer_norm two and two kernels, of an LSTM three. */
#include "training.h"

/* ---- What the kernels share -------------------------------------------------------------------------------------- */

static rondo_cell_options options_of(const rondo_layer *layer) {
  return (rondo_cell_options){.activation = layer->activation,
                              .recurrent_activation = layer->recurrent_activation,
                              .output_activation = layer->output_activation,
                              .clip = layer->clip,
                              .cell_clip = layer->cell_clip,
                              .zoneout = layer->zoneout,
                              .zoneout_cell = layer->zoneout_cell,
                              .input_forget = layer->input_forget != 0};
}

static rondo_output_gradient output_of(const rondo_cuda_back *back) {
  const rondo_gradient *g = back->gradient;
  return (rondo_output_gradient){.dh = back->scratch.dh,
                                 .dy = g->dy,
                                 .dy_sequence = g->dy_sequence,
                                 .dy_timestep = g->dy_timestep,
                                 .repeats = !back->pass->zero_y,
                                 .dy_last = {g->dy_last, g->dy_last_stride},
                                 .dh_n = {g->dh_n, back->pass->h_stride},
                                 .zero_y_last = back->pass->zero_y_last};
}

/* Row `first` of an array of all rows. */
static float *row_at(float *array, size_t first, size_t columns) {
  return array ? array + first * columns : NULL;
}

static rondo_lstm_sums sums_of(const rondo_cuda_back *back, size_t first) {
  const rondo_cuda_scratch *s = &back->scratch;
  size_t columns = (size_t)back->columns;
  return (rondo_lstm_sums){.hidden_size = back->pass->hidden_size,
                           .gates = rondo_cuda_gates_of(back) + first * columns,
                           .recurrent = row_at(s->recurrent, first, columns),
                           .bias = back->params.at[RONDO_BIAS],
                           .peephole = back->params.at[RONDO_PEEPHOLE],
                           .gamma_kernel = back->params.at[RONDO_GAMMA_KERNEL],
                           .gamma_recurrent = back->params.at[RONDO_GAMMA_RECURRENT],
                           .options = options_of(back->pass->layer)};
}

/* ---- Ahead of the steps ------------------------------------------------------------------------------------------ */

static rondo_status normalize(const rondo_cuda_back *back, int columns, const float *v, float *normal, float *scale) {
  rondo_norm_forward_args args = {back->rows, columns, v, normal, scale};
  CUDA_TRY(rondo_norm_forward_cuda(&args, back->state->stream));
  return RONDO_OK;
}

static rondo_status replay(const rondo_cuda_back *back) {
  const rondo_schedule *schedule = back->pass->schedule;
  const rondo_cuda_scratch *s = &back->scratch;
  size_t units = (size_t)back->pass->hidden_size, first = 0;
  for (int start = 0, steps; start < schedule->steps; start += steps) {
    steps = rondo_cuda_equal_steps(schedule, start);
    rondo_lstm_replay_forward_args args = {.step = back->step,
                                           .steps = steps,
                                           .sums = sums_of(back, first),
                                           .c_0 = {back->pass->c_0, back->pass->c_stride},
                                           .c = s->c,
                                           .old = row_at(s->old, first, units),
                                           .fresh = row_at(s->fresh, first, units)};
    args.step.step = start, args.step.rows = rondo_schedule_active(schedule, start);
    CUDA_TRY(rondo_lstm_replay_forward_cuda(&args, back->state->stream));
    first += (size_t)steps * (size_t)args.step.rows;
  }
  return RONDO_OK;
}

/* And the matrix, where products are made again. */
static rondo_status gru_spread(const rondo_cuda_back *back) {
  rondo_gru_spread_args args = {.rows = back->pass->output_size + back->pass->input_size,
                                .output_size = back->pass->output_size,
                                .hidden_size = back->pass->hidden_size,
                                .kernels = back->params.at[RONDO_RECURRENT_KERNEL],
                                .kernel_bias = back->params.at[RONDO_BIAS],
                                .recurrent_bias = back->params.at[RONDO_RECURRENT_BIAS],
                                .matrix = back->scratch.matrix,
                                .bias = back->scratch.bias};
  CUDA_TRY(rondo_gru_spread_cuda(&args, back->state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_cell_prepare(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  const rondo_cuda_scratch *s = &back->scratch;
  if (layer->cell == RONDO_GRU) TRY(gru_spread(back));
  if (!back->kept.gates) TRY(rondo_cuda_products_again(back));
  if (layer->layer_norm) TRY(normalize(back, back->columns, s->gates, s->gates, s->scales[0]));
  if (layer->layer_norm) TRY(normalize(back, back->columns, s->recurrent, s->recurrent, s->scales[1]));
  if (layer->cell != RONDO_LSTM) return RONDO_OK;
  TRY(replay(back));
  return layer->layer_norm ? normalize(back, back->pass->hidden_size, s->fresh, s->normal, s->scales[2]) : RONDO_OK;
}

/* ---- One step ---------------------------------------------------------------------------------------------------- */

/* dh (R, O) = by_h (R, inner) @ R^T of columns `column` and on; beta 1: beside what the cell has left there. The step
 * before the first one is h_0, which may not be asked for. */
static rondo_status to_h(const rondo_cuda_back *back, const float *by_h, int inner, int column, float beta, float *dh) {
  int output = back->pass->output_size, columns = back->columns, units = back->pass->hidden_size;
  if (back->pass->recurrent_mask)
    return rondo_cuda_masked_to_h(back, by_h, column / units, inner / units, beta != 0, dh);
  rondo_cuda_operand a = {by_h, columns, 0}, r = {back->params.at[RONDO_RECURRENT_KERNEL] + column, columns, 1};
  return rondo_cuda_multiply(back, back->step.rows, output, inner, a, r, beta, (rondo_cuda_matrix){dh, output});
}

static int wants_h(const rondo_cuda_back *back) {
  return back->step.step > 0 || back->gradient->dh_0;
}

/* Through the normalisation of h @ R, if there is one, and through R. by_h (M, G*H): of all rows. */
static rondo_status through_r(const rondo_cuda_back *back, const float *by_h, float beta) {
  const rondo_cuda_scratch *s = &back->scratch;
  size_t at = back->first * (size_t)back->columns;
  if (back->pass->layer->layer_norm) {
    rondo_norm_backward_args args = {.rows = back->step.rows,
                                     .columns = back->columns,
                                     .normal = s->recurrent + at,
                                     .scale = s->scales[1] + back->first,
                                     .gamma = back->params.at[RONDO_GAMMA_RECURRENT],
                                     .dout = by_h + at,
                                     .dv = s->dproduct + at};
    CUDA_TRY(rondo_norm_backward_cuda(&args, back->state->stream));
    by_h = s->dproduct;
  }
  return wants_h(back) ? to_h(back, by_h + at, back->columns, 0, beta, s->dh) : RONDO_OK;
}

/* h = dense h' @ P with zoneout: the cell of an RNN without bias and activation, then dh' = dprojected @ P^T. */
static rondo_status through_projection(const rondo_cuda_back *back) {
  const rondo_cuda_scratch *s = &back->scratch;
  int output = back->pass->output_size, units = back->pass->hidden_size;
  float *dprojected = row_at(s->dprojected, back->first, (size_t)output);
  rondo_rnn_cell_backward_args args = {
      .step = back->step,
      .hidden_size = output,
      .options = {.activation = {.kind = RONDO_LINEAR}, .zoneout = back->pass->layer->zoneout},
      .output = output_of(back),
      .dgates = dprojected};
  CUDA_TRY(rondo_rnn_cell_backward_cuda(&args, back->state->stream));
  rondo_cuda_operand a = {dprojected, output, 0}, p = {back->params.at[RONDO_PROJECTION], output, 1};
  return rondo_cuda_multiply(back, back->step.rows, units, output, a, p, 0, (rondo_cuda_matrix){s->dhidden, units});
}

static rondo_status lstm(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  const rondo_cuda_scratch *s = &back->scratch;
  size_t first = back->first, units = (size_t)back->pass->hidden_size;
  if (layer->projection_size) TRY(through_projection(back));
  rondo_lstm_cell_backward_args args = {.step = back->step,
                                        .sums = sums_of(back, first),
                                        .old = row_at(s->old, first, units),
                                        .normal = row_at(s->normal, first, units),
                                        .scale = row_at(s->scales[2], first, 1),
                                        .gamma_cell = back->params.at[RONDO_GAMMA_CELL],
                                        .beta_cell = back->params.at[RONDO_BETA_CELL],
                                        .du = row_at(s->du, first, units),
                                        .dhidden = layer->projection_size ? s->dhidden : NULL,
                                        .output = output_of(back),
                                        .dc = s->dc,
                                        .dc_n = {back->gradient->dc_n, back->pass->c_stride},
                                        .dgates = row_at(s->dgates, first, (size_t)back->columns)};
  CUDA_TRY(rondo_lstm_cell_backward_cuda(&args, back->state->stream));
  return through_r(back, s->dgates, layer->zoneout > 0);
}

static rondo_status through_reset(const rondo_cuda_back *back, const float *gates, const float *h, float *dgates) {
  const rondo_cuda_scratch *s = &back->scratch;
  const rondo_layer *layer = back->pass->layer;
  int units = back->pass->hidden_size;
  TRY(to_h(back, dgates + 2 * units, units, 2 * units, 0, s->dhidden));
  rondo_gru_reset_backward_args args = {.rows = back->step.rows,
                                        .hidden_size = units,
                                        .gates = gates,
                                        .bias = s->bias,
                                        .recurrent_activation = layer->recurrent_activation,
                                        .clip = layer->clip,
                                        .h = h,
                                        .dreset = s->dhidden,
                                        .dh = s->dh,
                                        .dgates = dgates};
  CUDA_TRY(rondo_gru_reset_backward_cuda(&args, back->state->stream));
  return wants_h(back) ? to_h(back, dgates, 2 * units, 0, 1, s->dh) : RONDO_OK;
}

static rondo_status gru(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  const rondo_cuda_scratch *s = &back->scratch;
  size_t first = back->first, units = (size_t)back->pass->hidden_size, columns = (size_t)back->columns;
  size_t given = (size_t)rondo_cuda_columns(layer) * units;
  rondo_gru_cell_backward_args args = {.step = back->step,
                                       .hidden_size = back->pass->hidden_size,
                                       .gates = rondo_cuda_gates_of(back) + first * given,
                                       .recurrent = row_at(s->recurrent, first, columns),
                                       .bias = s->bias,
                                       .gamma_kernel = back->params.at[RONDO_GAMMA_KERNEL],
                                       .gamma_recurrent = back->params.at[RONDO_GAMMA_RECURRENT],
                                       .options = options_of(layer),
                                       .reset_before = layer->reset_before != 0,
                                       .h = {row_at(back->kept.hx, first, (size_t)back->hx_row), back->hx_row},
                                       .output = output_of(back),
                                       .dgates = row_at(s->dgates, first, columns),
                                       .drecurrent = row_at(s->drecurrent, first, columns)};
  if (layer->reset_before) args.h = (rondo_const_rows){row_at(back->kept.h, first, units), back->pass->hidden_size};
  CUDA_TRY(rondo_gru_cell_backward_cuda(&args, back->state->stream));
  return layer->reset_before ? through_reset(back, args.gates, args.h.at, args.dgates)
                             : through_r(back, s->drecurrent, 1);
}

static rondo_status rnn(const rondo_cuda_back *back) {
  size_t at = back->first * (size_t)back->columns;
  rondo_rnn_cell_backward_args args = {.step = back->step,
                                       .hidden_size = back->pass->hidden_size,
                                       .gates = rondo_cuda_gates_of(back) + at,
                                       .bias = back->params.at[RONDO_BIAS],
                                       .options = options_of(back->pass->layer),
                                       .output = output_of(back),
                                       .dgates = back->scratch.dgates + at};
  CUDA_TRY(rondo_rnn_cell_backward_cuda(&args, back->state->stream));
  return through_r(back, back->scratch.dgates, back->pass->layer->zoneout > 0);
}

rondo_status rondo_cuda_cell_backward(const rondo_cuda_back *back) {
  rondo_cell cell = back->pass->layer->cell;
  return cell == RONDO_LSTM ? lstm(back) : cell == RONDO_GRU ? gru(back) : rnn(back);
}
