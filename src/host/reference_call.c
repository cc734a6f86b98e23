/* reference_call.c - one call of the reference: its memory, which row is where, and the caller's arrays. */
#include "reference.h"

#include <string.h>

typedef rondo_reference_call call;

/* ---- the layer's words ------------------------------------------------------------------------------------------- */

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

static size_t output_size(const rondo_layer *layer) {
  return (size_t)(layer->projection_size ? layer->projection_size : layer->hidden_size);
}

static int is_separate(const rondo_layer *layer) {
  return layer->bidirectional && layer->merge == RONDO_SEPARATE;
}

int rondo_reference_has_halves(const rondo_layer *layer) {
  return layer->bidirectional && (layer->merge == RONDO_CONCAT || layer->merge == RONDO_SEPARATE);
}

int rondo_reference_zero_last(const rondo_layer *layer) {
  return layer->zero_output_for_mask;
}

int rondo_reference_zero_y(const rondo_layer *layer) {
  return layer->zero_output_for_mask || layer->bidirectional;
}

const double *rondo_reference_y(const call *r, size_t index, size_t direction, size_t t) {
  return direction < r->directions ? r->trace[index].direction[direction].y + t * r->outputs[direction] : NULL;
}

/* Whether timestep t of x is one to take, in the eyes of lengths or mask. */
static int is_real(const call *r, size_t n, size_t t) {
  const rondo_batch *b = r->batch;
  if (b->lengths) return t < (size_t)b->lengths[n];
  if (b->mask) return b->mask[n * r->timesteps + t] != 0;
  return 1;
}

rondo_reference_position rondo_reference_at(const call *r, size_t n, size_t index, size_t direction, size_t p) {
  const rondo_layer *layer = r->layer;
  size_t end = r->timesteps - 1;
  int back = layer->go_backwards != 0, backwards = back != (direction == 1);
  int in_time = back && layer->time_order;         /* row t of y belongs to row t of the layer's input */
  int turned = back && !in_time && index % 2 == 1; /* the layer below has turned the rows of x around */
  size_t t = backwards ? end - p : p;
  return (rondo_reference_position){.t = t,
                                    .row = in_time          ? t
                                           : direction == 1 ? end - p
                                                            : p,
                                    .real = layer->cell == RONDO_DENSE || is_real(r, n, turned ? end - t : t)};
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static double *take(rondo_arena *arena, size_t rows, size_t columns) {
  return rondo_arena_take(arena, rondo_size_mul(rows, columns), sizeof(double));
}

static size_t layer_inputs(const call *r, size_t index) {
  return index == 0 ? (size_t)r->layer->input_size : r->width;
}

static void take_masks(rondo_reference_layer *weights, rondo_arena *arena) {
  weights->masks = weights->options->recurrent_dropout > 0 ? weights->columns / weights->units : 1;
  if (weights->options->dropout > 0) weights->input_mask = take(arena, weights->masks, weights->inputs);
  if (weights->options->recurrent_dropout > 0) weights->recurrent_mask = take(arena, weights->masks, weights->outputs);
}

static rondo_reference_trace take_trace(const call *r, rondo_arena *arena, size_t index) {
  size_t rows = (size_t)r->plan->desc.max_timesteps;
  rondo_reference_trace trace = {.y = take(arena, rows, r->width), .last = take(arena, 1, r->width)};
  for (size_t d = 0; d < r->directions; d++) {
    const rondo_layer *options = &r->plan->direction[d];
    rondo_reference_direction *direction = &trace.direction[d];
    direction->h = take(arena, rows + 1, r->outputs[d]);
    direction->c = take(arena, rows + 1, (size_t)options->hidden_size);
    direction->y = take(arena, rows, r->outputs[d]);
    direction->last = take(arena, 1, r->outputs[d]);
    if (!r->plan->desc.training) continue;
    direction->weights = rondo_reference_take_layer(arena, options, layer_inputs(r, index));
    direction->gradients = rondo_reference_take_layer(arena, options, layer_inputs(r, index));
    take_masks(&direction->weights, arena);
  }
  return trace;
}

static void take_training(call *r, rondo_arena *arena, size_t inputs, size_t units) {
  size_t rows = (size_t)r->plan->desc.max_timesteps;
  r->gradients = rondo_reference_take_gradients(arena, inputs, units);
  r->dy = take(arena, rows, inputs);
  r->dx = take(arena, rows, inputs);
  r->dlast = take(arena, 1, r->width);
  r->pending = take(arena, 1, r->most_outputs);
  if (!r->layer->head_units) return;
  r->head = rondo_reference_take_layer(arena, &r->plan->head, r->width);
  r->head_gradients = rondo_reference_take_layer(arena, &r->plan->head, r->width);
}

call rondo_reference_carve(const rondo_plan *plan, rondo_arena *arena) {
  const rondo_layer *layer = &plan->desc.layer;
  call r = {.plan = plan, .layer = layer, .layers = (size_t)layer->num_layers, .directions = 1};
  if (layer->bidirectional) r.directions = 2;
  for (size_t d = 0; d < r.directions; d++) {
    r.outputs[d] = output_size(&plan->direction[d]);
    r.most_units = larger(r.most_units, (size_t)plan->direction[d].hidden_size);
  }
  r.most_outputs = larger(r.outputs[0], r.outputs[1]);
  r.width = rondo_reference_has_halves(layer) ? r.outputs[0] + r.outputs[1] : r.outputs[0];
  size_t units = larger(r.most_units, (size_t)layer->head_units);
  size_t inputs = larger(larger((size_t)layer->input_size, r.width), (size_t)layer->head_units);
  r.x = take(arena, (size_t)plan->desc.max_timesteps, (size_t)layer->input_size);
  r.trace = rondo_arena_take(arena, r.layers, sizeof *r.trace);
  for (size_t index = 0; index < r.layers; index++) {
    rondo_reference_trace trace = take_trace(&r, arena, index);
    if (r.trace) r.trace[index] = trace;
  }
  r.values = rondo_reference_take_values(arena, units);
  if (plan->desc.training) take_training(&r, arena, inputs, units);
  return r;
}

/* Backward adds to the gradients by weights. */
static void clear_gradients(const call *r) {
  for (size_t index = 0; index < r->layers; index++)
    for (size_t d = 0; d < r->directions; d++) rondo_reference_clear(&r->trace[index].direction[d].gradients);
  if (r->layer->head_units) rondo_reference_clear(&r->head_gradients);
}

/* The weights of layer `index`, or the head: those in the block, or those of a training plan read from it. */
static void find_weights(const call *r, size_t index, size_t direction, rondo_reference_layer *weights) {
  size_t offset = rondo_params_offset(r->plan, (int)index, (int)direction);
  if (r->plan->desc.training) {
    rondo_reference_read_weights(weights, r->batch->params, r->doubles, offset / sizeof(float));
  } else {
    rondo_arena block = {.base = (unsigned char *)r->batch->params + offset};
    const rondo_layer *options = index == r->layers ? &r->plan->head : &r->plan->direction[direction];
    *weights = rondo_reference_take_layer(&block, options, layer_inputs(r, index));
    if (r->plan->desc.weights == RONDO_INT8) weights->levels = 127;
  }
}

call rondo_reference_begin(const rondo_plan *plan, const rondo_batch *batch, int doubles) {
  rondo_arena arena = {.base = batch->workspace};
  call r = rondo_reference_carve(plan, &arena);
  r.batch = batch;
  r.doubles = doubles;
  r.timesteps = (size_t)batch->timesteps;
  for (size_t index = 0; index < r.layers; index++) {
    r.trace[index].x = index == 0 ? r.x : r.trace[index - 1].y;
    for (size_t d = 0; d < r.directions; d++) find_weights(&r, index, d, &r.trace[index].direction[d].weights);
  }
  if (r.layer->head_units) find_weights(&r, r.layers, 0, &r.head);
  if (plan->desc.training) clear_gradients(&r);
  return r;
}

/* ---- the caller's arrays ----------------------------------------------------------------------------------------- */

/* Row n of them, row t if there are such, begins so many numbers from the start. */
static size_t row_offset(const call *r, rondo_strides strides, size_t columns, size_t n, size_t t) {
  int time_major = r->plan->desc.layout == RONDO_TIME_MAJOR;
  size_t sequence = time_major ? columns : r->timesteps * columns;
  size_t timestep = time_major ? (size_t)r->batch->batch * columns : columns;
  return n * (strides.sequence ? strides.sequence : sequence) + t * (strides.timestep ? strides.timestep : timestep);
}

/* array NULL: zeros. */
static void read_row(const call *r, const void *array, size_t at, double *to, size_t count) {
  for (size_t k = 0; k < count; k++) to[k] = array ? rondo_reference_get(array, r->doubles, at + k) : 0;
}

/* array NULL: nothing. */
static void write_row(const call *r, void *array, size_t at, const double *from, size_t count) {
  for (size_t k = 0; array && k < count; k++) rondo_reference_put(array, r->doubles, at + k, from[k]);
}

void rondo_reference_read_x(const call *r, size_t n) {
  size_t inputs = layer_inputs(r, 0);
  for (size_t t = 0; t < r->timesteps; t++)
    read_row(r, r->batch->x, row_offset(r, r->batch->x_strides, inputs, n, t), r->x + t * inputs, inputs);
}

void rondo_reference_write_dx(const call *r, size_t n, const double *rows) {
  size_t inputs = layer_inputs(r, 0);
  for (size_t t = 0; t < r->timesteps; t++)
    write_row(r, r->batch->dx, row_offset(r, (rondo_strides){0}, inputs, n, t), rows + t * inputs, inputs);
}

/* Where sequence n's row of h or c begins; columns: of a dense row. */
static size_t state_offset(const call *r, size_t columns, size_t n, size_t index, size_t direction) {
  const rondo_batch *b = r->batch;
  size_t rows = (size_t)(b->slots ? b->slot_count : b->batch);
  size_t row = (index * r->directions + direction) * rows + (b->slots ? (size_t)b->slots[n] : n);
  return row * (b->state_stride ? b->state_stride : columns);
}

/* Rows of an array like h_0 and of one like c_0, to or from h (O) and c (H). */
typedef struct state_rows {
  size_t h, c, h_count, c_count;
} state_rows;

static state_rows find_state(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_layer *options = &r->plan->direction[direction];
  return (state_rows){.h = state_offset(r, r->most_outputs, n, index, direction),
                      .c = state_offset(r, r->most_units, n, index, direction),
                      .h_count = options->cell == RONDO_DENSE ? 0 : r->outputs[direction],
                      .c_count = options->cell == RONDO_LSTM ? (size_t)options->hidden_size : 0};
}

void rondo_reference_read_state(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_batch *b = r->batch;
  const rondo_reference_direction *to = &r->trace[index].direction[direction];
  state_rows at = find_state(r, n, index, direction);
  int zeros = b->restart && b->restart[n];
  read_row(r, zeros ? NULL : b->h_0, at.h, to->h, at.h_count);
  read_row(r, zeros ? NULL : b->c_0, at.c, to->c, at.c_count);
}

void rondo_reference_write_state(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_reference_direction *from = &r->trace[index].direction[direction];
  state_rows at = find_state(r, n, index, direction);
  write_row(r, r->batch->h_n, at.h, from->h + r->timesteps * from->weights.outputs, at.h_count);
  write_row(r, r->batch->c_n, at.c, from->c + r->timesteps * from->weights.units, at.c_count);
}

void rondo_reference_read_dstate(const call *r, size_t n, size_t index, size_t direction) {
  state_rows at = find_state(r, n, index, direction);
  read_row(r, r->batch->dh_n, at.h, r->gradients.h, at.h_count);
  read_row(r, r->batch->dc_n, at.c, r->gradients.c, at.c_count);
}

void rondo_reference_write_dstate(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_batch *b = r->batch;
  state_rows at = find_state(r, n, index, direction);
  if (b->restart && b->restart[n]) { /* h_0 and c_0 did not count */
    memset(r->gradients.h, 0, at.h_count * sizeof(double));
    memset(r->gradients.c, 0, at.c_count * sizeof(double));
  }
  write_row(r, b->dh_0, at.h, r->gradients.h, at.h_count);
  write_row(r, b->dc_0, at.c, r->gradients.c, at.c_count);
}

/* A row of y or y_last begins at `at`; half: from its first direction's part to the second's, if they stay apart. */
typedef struct output_row {
  size_t at, half;
} output_row;

static size_t output_columns(const call *r) {
  if (r->layer->head_units) return (size_t)r->layer->head_units;
  return is_separate(r->layer) ? r->most_outputs : r->width;
}

static output_row find_y(const call *r, size_t n, size_t t) {
  const rondo_batch *b = r->batch;
  size_t columns = output_columns(r), tensor = (size_t)b->batch * r->timesteps * columns;
  size_t dense = is_separate(r->layer) ? tensor : r->outputs[0];
  return (output_row){.at = row_offset(r, b->y_strides, columns, n, t),
                      .half = b->y_strides.direction ? b->y_strides.direction : dense};
}

static output_row find_last(const call *r, size_t n) {
  const rondo_batch *b = r->batch;
  size_t columns = output_columns(r), dense = is_separate(r->layer) ? (size_t)b->batch * columns : r->outputs[0];
  return (output_row){.at = n * (b->y_last_stride ? b->y_last_stride : columns),
                      .half = b->y_last_direction ? b->y_last_direction : dense};
}

/* The part of a row that belongs to the second direction alone, and the others'. */
static size_t second_part(const call *r) {
  return rondo_reference_has_halves(r->layer) && !r->layer->head_units ? r->outputs[1] : 0;
}

static size_t first_part(const call *r) {
  return r->layer->head_units ? (size_t)r->layer->head_units : r->outputs[0];
}

/* One row (W) of the top layer to the caller's, through the head if there is one. */
static void write_output(const call *r, const double *row, void *array, output_row to) {
  if (!array) return;
  if (r->layer->head_units) {
    rondo_reference_step(&r->head, row, NULL, NULL, &r->values);
    row = r->values.h;
  }
  write_row(r, array, to.at, row, first_part(r));
  write_row(r, array, to.at + to.half, row + first_part(r), second_part(r));
}

void rondo_reference_write_y(const call *r, size_t n) {
  const rondo_reference_trace *top = &r->trace[r->layers - 1];
  for (size_t t = 0; t < r->timesteps; t++) write_output(r, top->y + t * r->width, r->batch->y, find_y(r, n, t));
  write_output(r, top->last, r->batch->y_last, find_last(r, n));
}

static void read_output(const call *r, const void *array, output_row from, double *to) {
  read_row(r, array, from.at, to, first_part(r));
  read_row(r, array, from.at + from.half, to + first_part(r), second_part(r));
}

void rondo_reference_read_dy(const call *r, size_t n, size_t t, double *to) {
  read_output(r, r->batch->dy, find_y(r, n, t), to);
}

void rondo_reference_read_dy_last(const call *r, size_t n, double *to) {
  read_output(r, r->batch->dy_last, find_last(r, n), to);
}

static void write_dlayer(const call *r, const rondo_reference_layer *gradients, size_t index, size_t direction) {
  size_t at = rondo_params_offset(r->plan, (int)index, (int)direction) / sizeof(float);
  rondo_reference_write_gradients(gradients, r->batch->dparams, r->doubles, at, r->batch->accumulate);
}

void rondo_reference_write_dparams(const call *r) {
  if (!r->batch->dparams) return;
  for (size_t index = 0; index < r->layers; index++)
    for (size_t d = 0; d < r->directions; d++) write_dlayer(r, &r->trace[index].direction[d].gradients, index, d);
  if (r->layer->head_units) write_dlayer(r, &r->head_gradients, r->layers, 0);
}
