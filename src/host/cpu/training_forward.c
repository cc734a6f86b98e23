/* training_forward.c - forward that keeps what backward needs.
 *
 *     x @ W for all rows            into gates, or with layer_norm into normal_x
 *     step after step: h @ R        added to gates; a GRU's gate h into recurrent; with layer_norm into normal_h
 *                      the cell     in place (training_cells.c)
 *                      @ P          with projection
 *     y, y_last, h_n, c_n           copied from the h and c kept */
#include "cpu/training.h"

#include "cpu/float_mode.h"

#include <string.h>

static size_t block_floats(const rondo_cpu_training *call, size_t depth) {
  return depth * (size_t)call->kernels->gemm.lanes;
}

static void pack(const rondo_cpu_training *call, float *to, const float *from, size_t stride, size_t depth,
                 size_t columns, int thread) {
  int lanes = call->kernels->gemm.lanes;
  rondo_rows rows = rondo_rows_dense(from, stride);
  rondo_pack_rows(to, lanes, &rows, depth, columns, rondo_share(rondo_blocks(lanes, columns), thread, call->threads));
}

static void pack_weights(const rondo_cpu_training *call, int thread) {
  const float *recurrent = call->weights[RONDO_RECURRENT_KERNEL], *projection = call->weights[RONDO_PROJECTION];
  pack(call, call->work.kernel, call->weights[RONDO_KERNEL], call->columns, call->inputs, call->columns, thread);
  rondo_cpu_training_part parts[2];
  int count = recurrent ? rondo_cpu_training_parts(call->layer, parts) : 0;
  for (int i = 0; i < count; i++)
    pack(call, call->work.recurrent[i], recurrent + parts[i].begin, call->columns, call->outputs, parts[i].columns,
         thread);
  if (projection) pack(call, call->work.projection, projection, call->outputs, call->units, call->outputs, thread);
}

/* x @ W of all rows. */
static void multiply_inputs(const rondo_cpu_training *call, int thread) {
  float *to = call->layer->layer_norm ? call->kept.normal_x : call->kept.gates;
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = call->rows,
                                .columns = call->columns,
                                .depth = call->inputs,
                                .a = {.table = call->work.x},
                                .b = call->work.kernel,
                                .stream = block_floats(call, call->inputs),
                                .c = rondo_rows_dense(to, call->columns)},
             thread, call->threads);
}

/* Part `part` of h @ R, or with reset_before of (r * h) @ R, for the rows of a step. */
static void multiply_state(const rondo_cpu_training *call, rondo_range rows, int part, int thread) {
  rondo_cpu_training_part parts[2];
  rondo_cpu_training_parts(call->layer, parts);
  int norm = call->layer->layer_norm, reset = part == 1 && call->layer->reset_before, apart = part == 1 && !reset;
  rondo_gemm_args args = {.rows = rows.end - rows.begin,
                          .columns = parts[part].columns,
                          .depth = call->outputs,
                          .a = {.table = call->work.h_before + rows.begin},
                          .b = call->work.recurrent[part],
                          .stream = block_floats(call, call->outputs),
                          .add = !norm && !apart};
  float *to = (norm ? call->kept.normal_h : call->kept.gates) + rows.begin * call->columns + parts[part].begin;
  args.c = rondo_rows_dense(to, call->columns);
  if (reset) args.a = rondo_rows_dense(call->kept.recurrent + rows.begin * call->units, call->units);
  if (apart && !norm) args.c = rondo_rows_dense(call->kept.recurrent + rows.begin * call->units, call->units);
  rondo_gemm(&call->kernels->gemm, &args, thread, call->threads);
}

static void multiply_projection(const rondo_cpu_training *call, rondo_range rows, int thread) {
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = rows.end - rows.begin,
                                .columns = call->outputs,
                                .depth = call->units,
                                .a = rondo_rows_dense(call->kept.hidden + rows.begin * call->units, call->units),
                                .b = call->work.projection,
                                .stream = block_floats(call, call->units),
                                .c = rondo_rows_dense(call->kept.h + rows.begin * call->outputs, call->outputs)},
             thread, call->threads);
}

/* This thread's part of some rows. */
static rondo_range share_rows(const rondo_cpu_training *call, rondo_range rows, int thread) {
  rondo_range part = rondo_share(rows.end - rows.begin, thread, call->threads);
  return (rondo_range){rows.begin + part.begin, rows.begin + part.end};
}

static void forward_step(const rondo_cpu_training *call, rondo_range rows, int thread) {
  rondo_range own = share_rows(call, rows, thread);
  int gru = call->layer->cell == RONDO_GRU, before = call->layer->reset_before;
  multiply_state(call, rows, 0, thread);
  if (gru && !before) multiply_state(call, rows, 1, thread);
  rondo_pool_barrier(call->pool);
  if (before) {
    rondo_cpu_training_reset(call, own);
    rondo_pool_barrier(call->pool);
    multiply_state(call, rows, 1, thread);
    rondo_pool_barrier(call->pool);
  }
  rondo_cpu_training_cells(call, own);
  if (call->layer->projection_size) {
    rondo_pool_barrier(call->pool);
    multiply_projection(call, rows, thread);
    rondo_pool_barrier(call->pool);
  }
  rondo_cpu_training_zone_out(call, own);
  rondo_pool_barrier(call->pool);
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
  if (thread > 0) rondo_enter_float_mode(); /* the pool's threads do nothing else */
  rondo_range sequences = rondo_share((size_t)call->pass->batch, thread, call->threads);
  rondo_cpu_training_find_rows(call, sequences);
  pack_weights(call, thread);
  rondo_pool_barrier(call->pool);
  multiply_inputs(call, thread);
  rondo_pool_barrier(call->pool);
  if (call->layer->cell == RONDO_DENSE) {
    rondo_cpu_training_cells(call, rondo_share(call->rows, thread, call->threads));
    rondo_pool_barrier(call->pool);
  } else {
    for (int s = 0; s < call->schedule.steps; s++)
      forward_step(call, (rondo_range){call->work.first[s], call->work.first[s + 1]}, thread);
  }
  for (size_t r = sequences.begin; r < sequences.end; r++) {
    write_outputs(call, (int)r);
    write_states(call, (int)r);
  }
}
