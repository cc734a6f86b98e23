/* training_forward.c - forward that keeps what backward needs, or makes it again for backward (recompute).
 *
 *     x @ W for all rows            into gates, or with layer_norm into normal_x
 *     step after step: h @ R        added to gates; a GRU's gate h into recurrent; with layer_norm into normal_h
 *                      the cell     in place (training_cells.c)
 *                      @ P          with projection
 *     y, y_last, h_n, c_n           copied from the h and c kept
 *
 * With dropout x and h are multiplied by their masks first, into masked_x and masked_h. */
#include "cpu/training.h"

#include <string.h>

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Weights (depth, stride): the columns of a part. */
static void pack(const rondo_cpu_training *call, float *to, const float *from, size_t stride, size_t depth,
                 rondo_cpu_training_part part, int thread) {
  int lanes = call->kernels->gemm.lanes;
  rondo_rows rows = rondo_rows_dense(from + part.begin, stride);
  rondo_pack_rows(to, lanes, &rows, depth, part.columns,
                  rondo_share(rondo_blocks(lanes, part.columns), thread, call->threads));
}

void rondo_cpu_training_pack(const rondo_cpu_training *call, int thread) {
  const rondo_cpu_training_parts *of_x = &call->input_parts, *of_h = &call->recurrent_parts;
  const float *kernel = call->weights[RONDO_KERNEL], *recurrent = call->weights[RONDO_RECURRENT_KERNEL];
  const float *projection = call->weights[RONDO_PROJECTION];
  for (int i = 0; i < of_x->count; i++)
    pack(call, call->work.kernel[i], kernel, call->columns, call->inputs, of_x->part[i], thread);
  for (int i = 0; i < of_h->count; i++)
    pack(call, call->work.recurrent[i], recurrent, call->columns, call->outputs, of_h->part[i], thread);
  rondo_cpu_training_part whole = {0, call->outputs};
  if (projection) pack(call, call->work.projection, projection, call->outputs, call->units, whole, thread);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

static void mask_row(float *to, const float *from, const float *mask, size_t count) {
  for (size_t k = 0; k < count; k++) to[k] = from[k] * mask[k];
}

/* masked_x = x * mask `number`, all rows. */
static void mask_inputs(const rondo_cpu_training *call, int number, int thread) {
  rondo_range own = rondo_share(call->rows, thread, call->threads);
  size_t count = call->inputs;
  for (size_t row = own.begin; row < own.end; row++)
    mask_row(call->work.masked_x + row * count, call->work.x[row], call->work.input_mask[row] + (size_t)number * count,
             count);
}

/* A part of x @ W of all rows. */
static void multiply_part(const rondo_cpu_training *call, int part, int thread) {
  float *to = call->layer->layer_norm ? call->kept.normal_x : call->kept.gates;
  rondo_gemm_args args = {.rows = call->rows,
                          .columns = call->input_parts.part[part].columns,
                          .depth = call->inputs,
                          .a = {.table = call->work.x},
                          .b = call->work.kernel[part],
                          .stream = rondo_cpu_training_stream(call, call->inputs),
                          .c = rondo_rows_dense(to + call->input_parts.part[part].begin, call->columns)};
  if (call->work.input_mask) args.a = rondo_rows_dense(call->work.masked_x, call->inputs);
  rondo_gemm(&call->kernels->gemm, &args, thread, call->threads);
}

/* Ends with a barrier. */
static void multiply_inputs(const rondo_cpu_training *call, int thread) {
  for (int part = 0; part < call->input_parts.count; part++) {
    if (call->work.input_mask) {
      mask_inputs(call, part, thread);
      rondo_cpu_training_barrier(call);
    }
    multiply_part(call, part, thread);
    rondo_cpu_training_barrier(call);
  }
}

/* masked (K, rows, O) = h_before * its masks, for this thread's rows. */
static void mask_state(const rondo_cpu_training *call, rondo_range rows, float *masked, int thread) {
  rondo_range own = rondo_cpu_training_share(call, rows, thread);
  size_t count = call->outputs;
  size_t parts = (size_t)call->recurrent_parts.count - (call->layer->reset_before != 0); /* r * h has been masked */
  for (size_t number = 0; number < parts; number++, masked += (rows.end - rows.begin) * count)
    for (size_t row = own.begin; row < own.end; row++)
      mask_row(masked + (row - rows.begin) * count, call->work.h_before[row],
               call->work.recurrent_mask[row] + number * count, count);
}

/* Part `part` of h @ R, or with reset_before of (r * h) @ R, for some rows. */
static void multiply_state(const rondo_cpu_training *call, rondo_range rows, const float *masked, int part,
                           int thread) {
  rondo_cpu_training_part columns = call->recurrent_parts.part[part];
  int of_h = call->layer->cell == RONDO_GRU && part == call->recurrent_parts.count - 1;
  int norm = call->layer->layer_norm, reset = of_h && call->layer->reset_before, apart = of_h && !reset && !norm;
  size_t count = rows.end - rows.begin;
  float *to = (norm ? call->kept.normal_h : call->kept.gates) + rows.begin * call->columns + columns.begin;
  float *recurrent = of_h ? call->kept.recurrent + rows.begin * call->units : NULL;
  rondo_gemm_args args = {.rows = count,
                          .columns = columns.columns,
                          .depth = call->outputs,
                          .a = {.table = call->work.h_before + rows.begin},
                          .b = call->work.recurrent[part],
                          .stream = rondo_cpu_training_stream(call, call->outputs),
                          .c = apart ? rondo_rows_dense(recurrent, call->units) : rondo_rows_dense(to, call->columns),
                          .add = !norm && !apart};
  if (masked) args.a = rondo_rows_dense(masked + (size_t)part * count * call->outputs, call->outputs);
  if (reset) args.a = rondo_rows_dense(recurrent, call->units);
  rondo_gemm(&call->kernels->gemm, &args, thread, call->threads);
}

static void multiply_projection(const rondo_cpu_training *call, rondo_range rows, int thread) {
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = rows.end - rows.begin,
                                .columns = call->outputs,
                                .depth = call->units,
                                .a = rondo_rows_dense(call->kept.hidden + rows.begin * call->units, call->units),
                                .b = call->work.projection,
                                .stream = rondo_cpu_training_stream(call, call->units),
                                .c = rondo_rows_dense(call->kept.h + rows.begin * call->outputs, call->outputs)},
             thread, call->threads);
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* From x @ W and h to the cells of some rows, of one step or of all that are known. masked: scratch, (K, rows, O). */
static void run_cells(const rondo_cpu_training *call, rondo_range rows, float *masked, int thread) {
  rondo_range own = rondo_cpu_training_share(call, rows, thread);
  int before = call->layer->reset_before, parts = call->recurrent_parts.count;
  if (!call->work.recurrent_mask) masked = NULL;
  if (masked) {
    mask_state(call, rows, masked, thread);
    rondo_cpu_training_barrier(call);
  }
  for (int part = 0; part < parts - before; part++) multiply_state(call, rows, masked, part, thread);
  rondo_cpu_training_barrier(call);
  if (before) {
    rondo_cpu_training_reset(call, own);
    rondo_cpu_training_barrier(call);
    multiply_state(call, rows, masked, parts - 1, thread);
    rondo_cpu_training_barrier(call);
  }
  rondo_cpu_training_cells(call, own);
}

static void forward_step(const rondo_cpu_training *call, rondo_range rows, int thread) {
  run_cells(call, rows, call->work.masked_h, thread);
  if (call->layer->projection_size) {
    rondo_cpu_training_barrier(call);
    multiply_projection(call, rows, thread);
    rondo_cpu_training_barrier(call);
  }
  rondo_cpu_training_zone_out(call, rondo_cpu_training_share(call, rows, thread));
  rondo_cpu_training_barrier(call);
}

/* As every h is there, all rows at once; d_input, which is as large as K times their h, is not in use yet. */
void rondo_cpu_training_remake(const rondo_cpu_training *call, int thread) {
  multiply_inputs(call, thread);
  run_cells(call, (rondo_range){0, call->rows}, call->work.d_input, thread);
  rondo_cpu_training_barrier(call);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* NULL: zeros. */
static void copy_row(float *to, const float *from, size_t count) {
  if (!from)
    memset(to, 0, count * sizeof *to);
  else if (to != from) /* a state in place that no step has touched */
    memcpy(to, from, count * sizeof *to);
}

/* y and y_last of one sequence. */
static void write_outputs(const rondo_cpu_training *call, int r) {
  const rondo_pass *pass = call->pass;
  int n = rondo_schedule_row(&call->schedule, r), count = rondo_schedule_count(&call->schedule, r), step = 0;
  int last = pass->timesteps - 1, real = 0;
  const float *h = NULL;
  for (int p = 0; p <= last; p++) {
    real = step < count && rondo_schedule_position(&call->schedule, n, step) == p;
    if (real) h = call->kept.h + (call->work.first[step++] + (size_t)r) * call->outputs;
    float *y = pass->y ? pass->y + n * pass->y_sequence + p * pass->y_timestep : NULL;
    if (y) copy_row(y, real || !pass->zero_y ? h : NULL, call->outputs);
  }
  if (pass->y_last)
    copy_row(pass->y_last + n * pass->y_last_stride, real || !pass->zero_y_last ? h : NULL, call->outputs);
}

/* The state after the last step of a sequence; of one without a step that before it. */
static const float *last_state(const rondo_cpu_training *call, int r, const float *kept, size_t width,
                               const float *given, ptrdiff_t offset) {
  int count = rondo_schedule_count(&call->schedule, r), n = rondo_schedule_row(&call->schedule, r);
  if (count) return kept + (call->work.first[count - 1] + (size_t)r) * width;
  return given && !(call->pass->restart && call->pass->restart[n]) ? given + offset : NULL;
}

static void write_states(const rondo_cpu_training *call, int r) {
  const rondo_pass *pass = call->pass;
  ptrdiff_t row = rondo_cpu_training_state_row(pass, rondo_schedule_row(&call->schedule, r));
  ptrdiff_t h = row * pass->h_stride, c = row * pass->c_stride;
  if (pass->h_n) copy_row(pass->h_n + h, last_state(call, r, call->kept.h, call->outputs, pass->h_0, h), call->outputs);
  if (pass->c_n) copy_row(pass->c_n + c, last_state(call, r, call->kept.c, call->units, pass->c_0, c), call->units);
}

void rondo_cpu_training_forward_thread(void *context, int thread) {
  const rondo_cpu_training *call = context;
  rondo_range sequences = rondo_share((size_t)call->pass->batch, thread, call->threads);
  rondo_cpu_training_find_rows(call, sequences);
  rondo_cpu_training_pack(call, thread);
  rondo_cpu_training_barrier(call);
  multiply_inputs(call, thread);
  if (call->layer->cell == RONDO_DENSE) {
    rondo_cpu_training_cells(call, rondo_share(call->rows, thread, call->threads));
  } else {
    rondo_cpu_training steps = rondo_cpu_training_alone(call, thread);
    for (int s = 0; s < call->schedule.steps; s++)
      forward_step(&steps, rondo_cpu_training_step(&steps, s), call->apart ? 0 : thread);
  }
  rondo_cpu_training_barrier(call);
  for (size_t r = sequences.begin; r < sequences.end; r++) {
    write_outputs(call, (int)r);
    write_states(call, (int)r);
  }
}
