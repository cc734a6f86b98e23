/* problem.c - the sizes of a problem, where its numbers stand, and what the library is told of it. */
#include "problem.h"

rondo_plan_desc problem_plan_desc(const problem *p) {
  return (rondo_plan_desc){
      .layer = {.cell = p->cell,
                .input_size = p->input_size,
                .hidden_size = p->hidden_size,
                .num_layers = p->num_layers,
                .bidirectional = p->bidirectional,
                .go_backwards = p->go_backwards,
                .no_bias = p->no_bias,
                .reset_before = p->reset_before,
                .zero_output_for_mask = p->zero_output_for_mask,
                .activation = p->activation,
                .recurrent_activation = p->recurrent_activation,
                .merge = p->merge,
                .time_order = p->time_order,
                .output_activation = p->output_activation,
                .peephole = p->peephole,
                .projection_size = p->projection_size,
                .input_forget = p->input_forget,
                .cell_clip = p->cell_clip,
                .clip = p->clip,
                .layer_norm = p->layer_norm,
                .zoneout = p->zoneout,
                .zoneout_cell = p->zoneout_cell,
                .dropout = p->dropout,
                .recurrent_dropout = p->recurrent_dropout,
                .layer_dropout = p->layer_dropout,
                .head_units = p->head_units,
                .head_activation = p->head_activation},
      .max_batch = p->batch,
      .max_timesteps = p->timesteps,
      .training = problem_trains(p),
      .recompute = p->recompute,
      .weights = p->weights,
      .layout = p->time_major ? RONDO_TIME_MAJOR : RONDO_BATCH_MAJOR,
      .allow_tf32 = p->allow_tf32,
  };
}

/* ---- Sizes ------------------------------------------------------------------------------------------------------- */

int problem_directions(const problem *p) {
  return p->bidirectional ? 2 : 1;
}

int problem_gates(const problem *p) {
  static const int gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  return gates[p->cell];
}

int problem_output_size(const problem *p) {
  return p->projection_size ? p->projection_size : p->hidden_size;
}

/* Whether the two directions' outputs both remain. */
static int keeps_both(const problem *p) {
  return p->bidirectional && (p->merge == RONDO_CONCAT || p->merge == RONDO_SEPARATE);
}

int problem_width(const problem *p) {
  return problem_output_size(p) * (keeps_both(p) ? 2 : 1);
}

int problem_inputs(const problem *p, int layer) {
  return layer ? problem_width(p) : p->input_size;
}

int problem_halves(const problem *p) {
  return keeps_both(p) && !p->head_units ? 2 : 1;
}

int problem_columns(const problem *p) {
  return p->head_units ? p->head_units : problem_width(p) / problem_halves(p);
}

int problem_has_state(const problem *p) {
  return p->cell != RONDO_DENSE;
}

int problem_has_cell_state(const problem *p) {
  return p->cell == RONDO_LSTM;
}

int problem_trains(const problem *p) {
  return p->dropout > 0 || p->recurrent_dropout > 0 || p->layer_dropout > 0 || p->recompute;
}

int problem_masks(const problem *p) {
  return p->recurrent_dropout > 0 ? problem_gates(p) : 1;
}

double problem_flops(const problem *p) {
  double h = p->hidden_size, o = problem_output_size(p), weights = 0;
  for (int l = 0; l < p->num_layers; l++) {
    double recurrent = p->cell == RONDO_DENSE ? 0 : o;
    double one = problem_gates(p) * h * (problem_inputs(p, l) + recurrent) + (p->projection_size ? h * o : 0);
    weights += problem_directions(p) * one;
  }
  weights += (double)p->head_units * problem_width(p);
  return 2.0 * p->batch * p->timesteps * weights;
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

size_t problem_at(rondo_strides strides, int n, int t) {
  return (size_t)n * strides.sequence + (size_t)t * strides.timestep;
}

static size_t state_rows(const problem_data *data) {
  return (size_t)(data->slot_count ? data->slot_count : data->problem.batch);
}

size_t problem_state_at(const problem_data *data, int layer, int direction, int n) {
  size_t part = (size_t)layer * (size_t)problem_directions(&data->problem) + (size_t)direction;
  size_t row = (size_t)(data->slots ? data->slots[n] : n);
  return (part * state_rows(data) + row) * data->state_stride;
}

size_t problem_mask_at(const problem *p, int layer, int direction, int recurrent) {
  size_t rows = (size_t)p->batch * (size_t)problem_masks(p), at = 0;
  size_t outputs = p->recurrent_dropout > 0 ? (size_t)problem_output_size(p) : 0;
  for (int l = 0; l <= layer; l++) {
    size_t inputs = p->dropout > 0 ? (size_t)problem_inputs(p, l) : 0;
    size_t directions = (size_t)(l < layer ? problem_directions(p) : direction);
    at += rows * (directions * (inputs + outputs) + (l == layer && recurrent ? inputs : 0));
  }
  return at;
}

size_t problem_between(const problem *p) {
  if (!(p->layer_dropout > 0)) return 0;
  return (size_t)p->timesteps * (size_t)p->batch * (size_t)problem_width(p);
}

int problem_is_real(const problem_data *data, int n, int t) {
  if (data->lengths) return t < data->lengths[n];
  return !data->mask || data->mask[(size_t)n * (size_t)data->problem.timesteps + (size_t)t];
}

/* Gaps are odd, and differ between halves, sequences and timesteps, so that no two distances can be mistaken for each
 * other. */
static rondo_strides strides_of(const problem *p, size_t width, int halves, int apart) {
  size_t n = (size_t)p->batch, t = (size_t)p->timesteps;
  size_t half = width + (p->strided ? 1 : 0), row = halves == 2 && !apart ? half + width : width;
  size_t inner = row + (p->strided ? 3 : 0), outer = inner * (p->time_major ? n : t) + (p->strided ? 5 : 0);
  size_t tensor = outer * (p->time_major ? t : n) + (p->strided ? 9 : 0);
  rondo_strides strides = {outer, inner, 0};
  if (p->time_major) strides = (rondo_strides){inner, outer, 0};
  strides.direction = halves == 1 ? 0 : apart ? tensor : half;
  return strides;
}

void problem_layout(problem_data *data, const problem *p) {
  size_t h = (size_t)p->hidden_size, n = (size_t)p->batch, columns = (size_t)problem_columns(p);
  int halves = problem_halves(p), apart = p->merge == RONDO_SEPARATE;
  size_t half = columns + (p->strided ? 1 : 0), row = halves == 2 && !apart ? half + columns : columns;
  *data = (problem_data){.problem = *p};
  data->x_strides = strides_of(p, (size_t)p->input_size, 1, 0);
  data->y_strides = strides_of(p, columns, halves, apart);
  data->y_last_stride = row + (p->strided ? 7 : 0);
  data->y_last_direction = halves == 1 ? 0 : apart ? n * data->y_last_stride : half;
  data->state_stride = h + (p->strided ? 2 : 0);
  if (p->slots) data->slot_count = p->batch + 2 + p->batch % 3;
  size_t parts = (size_t)p->num_layers * (size_t)problem_directions(p);
  data->x_count = problem_at(data->x_strides, p->batch - 1, p->timesteps - 1) + (size_t)p->input_size;
  data->y_count = problem_at(data->y_strides, p->batch - 1, p->timesteps - 1) + data->y_strides.direction + columns;
  data->y_last_count = (n - 1) * data->y_last_stride + data->y_last_direction + columns;
  if (problem_has_state(p)) data->state_count = (parts * state_rows(data) - 1) * data->state_stride + h;
}

rondo_batch problem_batch(const problem_data *data) {
  return (rondo_batch){.batch = data->problem.batch,
                       .timesteps = data->problem.timesteps,
                       .lengths = data->lengths,
                       .mask = data->mask,
                       .slots = data->slots,
                       .slot_count = data->slot_count,
                       .restart = data->restart,
                       .seed = data->seed,
                       .x_strides = data->x_strides,
                       .y_strides = data->y_strides,
                       .y_last_stride = data->y_last_stride,
                       .y_last_direction = data->y_last_direction,
                       .state_stride = data->state_stride};
}
