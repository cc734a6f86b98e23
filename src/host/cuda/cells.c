/* cells.c - one step of each cell: its products and its kernels.
 *
 *                                     products                                       kernels
 *   LSTM, GRU, RNN                    [h | x] @ [R; W]                               1
 *   LSTM, GRU with layer_norm         x @ W, h @ R                                   1
 *   LSTM with projection_size         one more, h @ P                                one more
 *   GRU with reset_before             [h | x] @ [R; W] of z and r, [r h | x] @ of h  2
 *
 * hoisted.c has x @ W ready: then products are of h and R alone, and add to it where they can.
 *
 * The default GRU (reset after) needs h @ R_h and x @ W_h apart. Its matrix spreads them over columns of their own
 * (params.c), which costs 4/3 of the multiplications, but keeps one product a step where two would be a second launch
 * and a second reading of [h | x]. (0 * infinity is NaN: an infinite x or h makes h NaN where Keras might not. With
 * hoisted.c nothing is multiplied by these zeros.) */
#include "stepwise.h"

/* With floats the next step's rows are all that it needs to have of h. */
static rondo_output output_of(const rondo_cuda_run *run, void *next) {
  const rondo_pass *pass = run->pass;
  rondo_output output = {.h_next = {next, run->hx_row},
                         .y = pass->y,
                         .y_sequence = pass->y_sequence,
                         .y_timestep = pass->y_timestep,
                         .y_last = {pass->y_last, pass->y_last_stride},
                         .h_n = {pass->h_n, pass->h_stride},
                         .merge = pass->merge,
                         .zero_y_last = pass->zero_y_last,
                         .type = rondo_cuda_type(run),
                         .rounded = next,
                         .rounded_stride = run->hx_row};
  if (output.type != RONDO_F32) output.h_next = (rondo_rows){run->parts.exact, pass->output_size};
  return output;
}

/* The old h as cells read it, by r. */
static rondo_rows old_h(const rondo_cuda_run *run, void *hx) {
  if (rondo_cuda_type(run) == RONDO_F32) return (rondo_rows){hx, run->hx_row};
  return (rondo_rows){run->parts.exact, run->pass->output_size};
}

static rondo_const_rows read_only(rondo_rows rows) {
  return (rondo_const_rows){rows.at, rows.stride};
}

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

/* Columns first..first + count - 1, each of H, of gates = [h | x] @ [R; W]; or gates += h @ R, when x is there. */
static rondo_status project(const rondo_cuda_run *run, void *hx, int first, int count) {
  if (run->parts.masked) return rondo_cuda_project_masked(run, hx, first, count);
  int units = run->pass->hidden_size, all = rondo_cuda_columns(run->pass->layer) * units;
  int inner = run->pass->output_size + (run->ahead ? 0 : run->pass->input_size);
  size_t at = (size_t)first * (size_t)units;
  rondo_cuda_matrix from = {hx, run->hx_row}, matrix = {rondo_cuda_at(run, run->params.matrix, at), all},
                    to = {run->parts.gates + at, all};
  return rondo_cuda_product(run, run->step.rows, count * units, inner, from, matrix, run->ahead, to);
}

/* gates = x @ W, unless it is there, and recurrent = h @ R. Of a spread matrix R has the last columns. */
static rondo_status project_apart(const rondo_cuda_run *run, void *hx) {
  if (run->parts.masked) return rondo_cuda_project_masked_apart(run, hx);
  int output = run->pass->output_size, units = run->pass->hidden_size;
  int all = rondo_cuda_columns(run->pass->layer) * units, columns = rondo_gates(run->pass->layer) * units;
  rondo_cuda_matrix x = {rondo_cuda_at(run, hx, (size_t)output), run->hx_row}, h = {hx, run->hx_row};
  rondo_cuda_matrix r = {rondo_cuda_at(run, run->params.matrix, (size_t)(all - columns)), all};
  rondo_cuda_matrix w = {rondo_cuda_at(run, run->params.matrix, (size_t)output * (size_t)all), all};
  rondo_cuda_matrix gates = {run->parts.gates, columns}, recurrent = {run->parts.recurrent, columns};
  if (!run->ahead) TRY(rondo_cuda_product(run, run->step.rows, columns, run->pass->input_size, x, w, 0, gates));
  return rondo_cuda_product(run, run->step.rows, columns, output, h, r, 0, recurrent);
}

static rondo_status project_all(const rondo_cuda_run *run, void *hx) {
  const rondo_layer *layer = run->pass->layer;
  int apart = rondo_cuda_is_apart(run->plan, layer, run->ahead);
  return apart ? project_apart(run, hx) : project(run, hx, 0, rondo_cuda_columns(layer));
}

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

/* h = h' @ P: the cell of an RNN without bias and activation brings it, with zoneout, to its places. */
static rondo_status project_h(const rondo_cuda_run *run, void *hx, void *next) {
  int units = run->pass->hidden_size, output = run->pass->output_size;
  rondo_cuda_matrix from = {run->parts.h, units}, matrix = {run->params.projection, output};
  TRY(rondo_cuda_product(run, run->step.rows, output, units, from, matrix, 0,
                         (rondo_cuda_matrix){run->parts.projected, output}));
  rondo_rnn_cell_forward_args args = {
      .step = run->step,
      .hidden_size = output,
      .gates = run->parts.projected,
      .options = {.activation = {.kind = RONDO_LINEAR}, .zoneout = run->pass->layer->zoneout},
      .h = read_only(old_h(run, hx)),
      .output = output_of(run, next)};
  CUDA_TRY(rondo_rnn_cell_forward_cuda(&args, run->state->stream));
  return RONDO_OK;
}

static rondo_status lstm(const rondo_cuda_run *run, void *hx, void *next) {
  const rondo_pass *pass = run->pass;
  TRY(project_all(run, hx));
  rondo_lstm_cell_forward_args args = {.step = run->step,
                                       .hidden_size = pass->hidden_size,
                                       .gates = run->parts.gates,
                                       .recurrent = run->parts.recurrent,
                                       .bias = run->params.bias,
                                       .peephole = run->params.peephole,
                                       .gamma_kernel = run->params.gamma_kernel,
                                       .gamma_recurrent = run->params.gamma_recurrent,
                                       .gamma_cell = run->params.gamma_cell,
                                       .beta_cell = run->params.beta_cell,
                                       .options = options_of(pass->layer),
                                       .h = read_only(old_h(run, hx)),
                                       .c_0 = {pass->c_0, pass->c_stride},
                                       .c = run->parts.c,
                                       .c_n = {pass->c_n, pass->c_stride},
                                       .unprojected = run->parts.h,
                                       .output = output_of(run, next)};
  CUDA_TRY(rondo_lstm_cell_forward_cuda(&args, run->state->stream));
  return pass->layer->projection_size ? project_h(run, hx, next) : RONDO_OK;
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

/* z and r; then in hx h becomes r * h, and [r h | x] is projected for the gate h. */
static rondo_status reset_before(const rondo_cuda_run *run, void *hx) {
  TRY(project(run, hx, 0, 2));
  rondo_gru_reset_forward_args args = {.rows = run->step.rows,
                                       .hidden_size = run->pass->hidden_size,
                                       .gates = run->parts.gates,
                                       .bias = run->params.bias,
                                       .recurrent_activation = run->pass->layer->recurrent_activation,
                                       .clip = run->pass->layer->clip,
                                       .h = old_h(run, hx),
                                       .saved = run->parts.h,
                                       .type = rondo_cuda_type(run),
                                       .rounded = hx,
                                       .rounded_stride = run->hx_row};
  CUDA_TRY(rondo_gru_reset_forward_cuda(&args, run->state->stream));
  return project(run, hx, 2, 1);
}

static rondo_status gru(const rondo_cuda_run *run, void *hx, void *next) {
  const rondo_layer *layer = run->pass->layer;
  TRY(layer->reset_before ? reset_before(run, hx) : project_all(run, hx));
  rondo_gru_cell_forward_args args = {.step = run->step,
                                      .hidden_size = run->pass->hidden_size,
                                      .gates = run->parts.gates,
                                      .recurrent = run->parts.recurrent,
                                      .bias = run->params.bias,
                                      .gamma_kernel = run->params.gamma_kernel,
                                      .gamma_recurrent = run->params.gamma_recurrent,
                                      .options = options_of(layer),
                                      .reset_before = layer->reset_before != 0,
                                      .h = read_only(old_h(run, hx)),
                                      .output = output_of(run, next),
                                      .x_first = rondo_cuda_is_spread(layer) && !run->plan->desc.training};
  if (layer->reset_before && run->parts.h) args.h = (rondo_const_rows){run->parts.h, run->pass->hidden_size};
  CUDA_TRY(rondo_gru_cell_forward_cuda(&args, run->state->stream));
  return RONDO_OK;
}

/* ---- RNN --------------------------------------------------------------------------------------------------------- */

static rondo_status rnn(const rondo_cuda_run *run, void *hx, void *next) {
  TRY(project_all(run, hx));
  rondo_rnn_cell_forward_args args = {.step = run->step,
                                      .hidden_size = run->pass->hidden_size,
                                      .gates = run->parts.gates,
                                      .bias = run->params.bias,
                                      .options = options_of(run->pass->layer),
                                      .h = read_only(old_h(run, hx)),
                                      .output = output_of(run, next)};
  CUDA_TRY(rondo_rnn_cell_forward_cuda(&args, run->state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_cell(const rondo_cuda_run *run, void *hx, void *next) {
  rondo_cell cell = run->pass->layer->cell;
  return cell == RONDO_LSTM ? lstm(run, hx, next) : cell == RONDO_GRU ? gru(run, hx, next) : rnn(run, hx, next);
}
