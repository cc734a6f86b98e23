/* general.c - the loop over time for every layer that fused.c does not take, and for DENSE.
 *
 * A step has two parts. In the first a thread owns unit blocks: it adds up h @ R for all rows (x @ W is there already,
 * for a chunk of timesteps). In the second it owns rows and brings them through the cell, statistics over the row and a
 * second product of it (projection, reset_before) included. A barrier follows each part, as each reads what all threads
 * wrote in the other. */
#include "cpu/cpu.h"

/* Sums of products with some streams of the weights at `piece`: (rows, streams, V). */
static void multiply(const rondo_cpu_call *call, rondo_product_forward_args args, size_t piece, rondo_cpu_range streams,
                     size_t all_streams) {
  size_t lanes = call->layout.lanes, first = (size_t)streams.begin;
  args.gates = 1;
  args.blocks = streams.count;
  if (args.start) args.start += first * lanes;
  args.type = call->layout.type;
  args.weights = rondo_cpu_weights(call, piece, first * lanes * rondo_cpu_depth(&call->layout, (size_t)args.inputs));
  args.sums += first * lanes;
  args.sums_block = (ptrdiff_t)lanes;
  args.sums_row = (ptrdiff_t)(all_streams * lanes);
  call->kernels->product_forward(&args);
}

/* Where layer_norm comes before the biases, sums begin with nothing. */
static const float *start_of(const rondo_cpu_call *call, size_t bias) {
  return call->layout.layer->layer_norm ? NULL : call->params + bias;
}

static void project(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, rondo_cpu_range own) {
  const rondo_cpu_layout *l = &call->layout;
  rondo_product_forward_args args = {.rows = chunk->rows,
                                     .inputs = (int)l->inputs,
                                     .in = call->ws.x[chunk->turn],
                                     .in_words = call->ws.x_words[chunk->turn],
                                     .words_row = (ptrdiff_t)call->ws.x_words_row,
                                     .start = start_of(call, l->bias),
                                     .sums = call->ws.x_sums};
  multiply(call, args, l->input_weights, own, l->streams);
}

/* h @ R. With reset_before the last gate's turn comes later. */
static void recur(const rondo_cpu_call *call, int step, int thread) {
  const rondo_cpu_layout *l = &call->layout;
  size_t streams = l->layer->reset_before ? 2 * l->blocks : l->streams;
  rondo_product_forward_args args = {.rows = rondo_schedule_active(&call->schedule, step),
                                     .inputs = (int)l->outputs,
                                     .in = rondo_cpu_h_in(call, step),
                                     .in_words = rondo_cpu_h_words(call, step, thread),
                                     .words_row = (ptrdiff_t)call->ws.h_words_row,
                                     .start = start_of(call, l->recurrent_bias),
                                     .sums = call->ws.h_sums};
  multiply(call, args, l->recurrent, rondo_cpu_share(streams, thread, call->threads), l->streams);
}

/* Some rows of inner (H), for a product. */
static rondo_product_forward_args inner_args(const rondo_cpu_call *call, rondo_cpu_range rows) {
  const rondo_cpu_workspace *ws = &call->ws;
  size_t stride = ws->inner_words_row;
  rondo_product_forward_args args = {
      .rows = rows.count, .inputs = (int)call->layout.hidden, .in = ws->inner_rows + rows.begin};
  if (!call->words) return args;
  uint32_t *words = ws->inner_words + (size_t)rows.begin * stride;
  rondo_cpu_range all = {0, args.inputs};
  for (int r = 0; r < rows.count; r++)
    rondo_cpu_make_words(call, args.in[r], call->layout.hidden, all, words + (size_t)r * stride);
  args.in_words = words, args.words_row = (ptrdiff_t)stride;
  return args;
}

/* (r * h) @ R of the last gate. */
static void multiply_reset(const rondo_cpu_call *call, rondo_cpu_range rows) {
  const rondo_cpu_layout *l = &call->layout;
  rondo_product_forward_args args = inner_args(call, rows);
  args.sums = call->ws.h_sums + (size_t)rows.begin * l->gates * l->units;
  multiply(call, args, l->recurrent, (rondo_cpu_range){(int)(2 * l->blocks), (int)l->blocks}, l->streams);
}

static void multiply_projection(const rondo_cpu_call *call, rondo_cpu_range rows) {
  const rondo_cpu_layout *l = &call->layout;
  size_t width = l->output_blocks * l->lanes;
  rondo_product_forward_args args = inner_args(call, rows);
  args.sums = call->ws.projected + (size_t)rows.begin * width;
  multiply(call, args, l->projection, (rondo_cpu_range){0, (int)l->output_blocks}, l->output_blocks);
}

/* For the rows of a step, of which those of x_sums begin at row `before` of the chunk. */
static rondo_cell_forward_args cell_args(const rondo_cpu_call *call, int step, int before, rondo_cpu_range rows) {
  const rondo_cpu_layout *l = &call->layout;
  const rondo_cpu_workspace *ws = &call->ws;
  size_t width = l->gates * l->units, first = (size_t)rows.begin;
  int lstm = l->layer->cell == RONDO_LSTM;
  return (rondo_cell_forward_args){.layer = l->layer,
                                   .rows = rows.count,
                                   .hidden = (int)l->hidden,
                                   .units = (int)l->units,
                                   .x_sums = ws->x_sums + ((size_t)before + first) * width,
                                   .h_sums = ws->h_sums + first * width,
                                   .inner = ws->inner + first * l->units,
                                   .bias = call->params + l->bias,
                                   .recurrent_bias = call->params + l->recurrent_bias,
                                   .peephole = call->params + l->peephole,
                                   .gamma_kernel = call->params + l->gamma_kernel,
                                   .gamma_recurrent = call->params + l->gamma_recurrent,
                                   .gamma_cell = call->params + l->gamma_cell,
                                   .beta_cell = call->params + l->beta_cell,
                                   .h_in = rondo_cpu_h_in(call, step) + first,
                                   .c_in = lstm ? rondo_cpu_c_in(call, step) + first : NULL,
                                   .c_out = lstm ? ws->c_rows + first : NULL};
}

/* A step of some rows, from both products to y. */
static void finish_rows(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int step, int before,
                        rondo_cpu_range rows) {
  const rondo_cpu_layout *l = &call->layout;
  const rondo_layer *layer = l->layer;
  rondo_cell_forward_args args = cell_args(call, step, before, rows);
  if (layer->layer_norm) call->kernels->layer_norm_forward(&args);
  if (layer->reset_before) {
    call->kernels->gru_reset_forward(&args);
    multiply_reset(call, rows);
  }
  call->kernels->cell_forward[layer->cell](&args);
  if (layer->projection_size) multiply_projection(call, rows);
  size_t width = layer->projection_size ? l->output_blocks * l->lanes : l->units;
  const float *value = layer->projection_size ? call->ws.projected : call->ws.inner;
  call->kernels->output_forward(&(rondo_output_forward_args){
      .rows = rows.count,
      .columns = (int)l->outputs,
      .value = value + (size_t)rows.begin * width,
      .value_row = (ptrdiff_t)width,
      .zoneout = layer->zoneout,
      .h_in = args.h_in,
      .h_out = rondo_cpu_h_out(call, step) + rows.begin,
      .y = call->pass->y ? call->ws.y[chunk->turn] + before + rows.begin : NULL,
      .merge = call->pass->merge,
  });
  rondo_cpu_share_h(call, step, rows, (rondo_cpu_range){0, (int)l->outputs});
}

static void recurrent_steps(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int thread) {
  for (int step = chunk->first, before = 0; step < chunk->first + chunk->steps; step++) {
    int active = rondo_schedule_active(&call->schedule, step);
    recur(call, step, thread);
    rondo_cpu_barrier(call);
    finish_rows(call, chunk, step, before, rondo_cpu_share((size_t)active, thread, call->threads));
    rondo_cpu_barrier(call);
    before += active;
  }
}

/* The rows of a chunk do not depend on each other. */
static void dense_steps(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int thread) {
  const rondo_cpu_layout *l = &call->layout;
  rondo_cpu_range rows = rondo_cpu_share((size_t)chunk->rows, thread, call->threads);
  float *sums = call->ws.x_sums + (size_t)rows.begin * l->units;
  rondo_cpu_barrier(call);
  call->kernels->cell_forward[RONDO_DENSE](&(rondo_cell_forward_args){
      .layer = l->layer, .rows = rows.count, .hidden = (int)l->hidden, .units = (int)l->units, .x_sums = sums});
  call->kernels->output_forward(&(rondo_output_forward_args){.rows = rows.count,
                                                             .columns = (int)l->hidden,
                                                             .value = sums,
                                                             .value_row = (ptrdiff_t)l->units,
                                                             .y = call->ws.y[chunk->turn] + rows.begin});
  rondo_cpu_barrier(call);
}

void rondo_cpu_general_thread(const rondo_cpu_call *call, int thread) {
  rondo_cpu_range own = rondo_cpu_share(call->layout.streams, thread, call->threads);
  rondo_cpu_chunk chunk = rondo_cpu_first_chunk(call), next;
  for (; chunk.steps; chunk = next) {
    project(call, &chunk, own);
    next = rondo_cpu_next_chunk(call, &chunk);
    rondo_cpu_find_chunk(call, &next, thread, call->threads);
    if (call->layout.layer->cell == RONDO_DENSE)
      dense_steps(call, &chunk, thread);
    else
      recurrent_steps(call, &chunk, thread);
  }
  rondo_cpu_fill_skipped(call, rondo_cpu_share(call->layout.outputs, thread, call->threads));
}
