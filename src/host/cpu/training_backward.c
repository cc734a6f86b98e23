/* training_backward.c - backward of a pass.
 *
 *     step after step from the last:
 *         dh += dy                        the rows of y that hold this step's h (find_output_gradient)
 *         d_hidden = (1 - zoneout) dh     @ P^T with projection; dh keeps its zoneout share
 *         the cell                        to d_input, d_recurrent, d_product (training_gradients.c)
 *         dh += d_product @ R^T
 *     then, each over all rows: dW = x^T d_input, dR = h_before^T d_product, dP, biases and the like sums of columns,
 *     and dx = d_input @ W^T */
#include "cpu/training.h"

#include "cpu/float_mode.h"

#include <string.h>

static size_t block_floats(const rondo_cpu_training *call, size_t depth) {
  return depth * (size_t)call->kernels->gemm.lanes;
}

/* The transpose of weights (columns, depth), whose rows are `depth` long. */
static void pack(const rondo_cpu_training *call, float *to, const float *from, size_t depth, size_t columns,
                 int thread) {
  int lanes = call->kernels->gemm.lanes;
  rondo_rows rows = rondo_rows_dense(from, depth);
  rondo_pack_columns(to, lanes, &rows, depth, columns,
                     rondo_share(rondo_blocks(lanes, columns), thread, call->threads));
}

static void pack_weights(const rondo_cpu_training *call, int thread) {
  const float *recurrent = call->weights[RONDO_RECURRENT_KERNEL], *projection = call->weights[RONDO_PROJECTION];
  if (call->gradient->dx)
    pack(call, call->work.kernel, call->weights[RONDO_KERNEL], call->columns, call->inputs, thread);
  if (recurrent) pack(call, call->work.recurrent[0], recurrent, call->columns, call->outputs, thread);
  if (projection) pack(call, call->work.projection, projection, call->outputs, call->units, thread);
}

/* ---- the state between steps ------------------------------------------------------------------------------------- */

static void load_row(float *to, const float *from, ptrdiff_t offset, size_t count) {
  if (from)
    memcpy(to, from + offset, count * sizeof *to);
  else
    memset(to, 0, count * sizeof *to);
}

static void begin_sequence(const rondo_cpu_training *call, int r) {
  const rondo_gradient *g = call->gradient;
  ptrdiff_t state = rondo_cpu_training_state_row(call->pass, rondo_schedule_row(&call->schedule, r));
  load_row(call->work.dh + (size_t)r * call->outputs, g->dh_n, state * call->pass->h_stride, call->outputs);
  if (call->work.dc)
    load_row(call->work.dc + (size_t)r * call->units, g->dc_n, state * call->pass->c_stride, call->units);
}

/* dh_0 and dc_0; of a sequence that restarts 0. */
static void end_sequence(const rondo_cpu_training *call, int r) {
  const rondo_gradient *g = call->gradient;
  int n = rondo_schedule_row(&call->schedule, r), restart = call->pass->restart && call->pass->restart[n];
  ptrdiff_t state = rondo_cpu_training_state_row(call->pass, n);
  const float *dh = restart ? NULL : call->work.dh, *dc = restart ? NULL : call->work.dc;
  ptrdiff_t h = r * (ptrdiff_t)call->outputs, c = r * (ptrdiff_t)call->units;
  if (g->dh_0) load_row(g->dh_0 + state * call->pass->h_stride, dh, h, call->outputs);
  if (g->dc_0) load_row(g->dc_0 + state * call->pass->c_stride, dc, c, call->units);
}

/* ---- a step ------------------------------------------------------------------------------------------------------ */

static void add(float *v, const float *more, size_t count) {
  for (size_t j = 0; j < count; j++) v[j] += more[j];
}

/* Adds what y and y_last bring to step s of row r: dy at its position and at the skipped ones after it that repeat
 * it. */
static void find_output_gradient(const rondo_cpu_training *call, int r, int s, float *to) {
  const rondo_gradient *g = call->gradient;
  const rondo_pass *pass = call->pass;
  int n = rondo_schedule_row(&call->schedule, r), last = s == rondo_schedule_count(&call->schedule, r) - 1;
  int position = rondo_schedule_position(&call->schedule, n, s);
  int end = last ? pass->timesteps : rondo_schedule_position(&call->schedule, n, s + 1);
  if (pass->zero_y) end = position + 1;
  for (int p = position; g->dy && p < end; p++) add(to, g->dy + n * g->dy_sequence + p * g->dy_timestep, call->outputs);
  int shown = last && (!pass->zero_y_last || position == pass->timesteps - 1);
  if (g->dy_last && shown) add(to, g->dy_last + n * g->dy_last_stride, call->outputs);
}

/* d_hidden, or with projection d_projected, from dh, which keeps what goes around the cell. */
static void enter_rows(const rondo_cpu_training *call, int s, rondo_range rows) {
  size_t first = call->work.first[s], outputs = call->outputs;
  float rate = call->layer->zoneout;
  for (size_t row = rows.begin; row < rows.end; row++) {
    float *dh = call->work.dh + (row - first) * outputs;
    float *to =
        call->work.d_projected ? call->work.d_projected + row * outputs : call->work.d_hidden + (row - first) * outputs;
    find_output_gradient(call, (int)(row - first), s, dh);
    for (size_t k = 0; k < outputs; k++) {
      to[k] = (1 - rate) * dh[k];
      dh[k] = rate > 0 ? rate * dh[k] : 0;
    }
  }
}

static void multiply_projection(const rondo_cpu_training *call, rondo_range rows, int thread) {
  const float *from = call->work.d_projected + rows.begin * call->outputs;
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = rows.end - rows.begin,
                                .columns = call->units,
                                .depth = call->outputs,
                                .a = rondo_rows_dense(from, call->outputs),
                                .b = call->work.projection,
                                .stream = block_floats(call, call->outputs),
                                .c = rondo_rows_dense(call->work.d_hidden, call->units)},
             thread, call->threads);
}

/* to (rows, O) += the part of d_product @ R^T that comes from some gates; or = instead. */
static void multiply_state(const rondo_cpu_training *call, rondo_range rows, rondo_cpu_training_part part, float *to,
                           int add_to, int thread) {
  const float *from = call->work.d_product + rows.begin * call->columns + part.begin;
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = rows.end - rows.begin,
                                .columns = call->outputs,
                                .depth = part.columns,
                                .a = rondo_rows_dense(from, call->columns),
                                .b = call->work.recurrent[0] + block_floats(call, part.begin),
                                .stream = block_floats(call, call->columns),
                                .c = rondo_rows_dense(to, call->outputs),
                                .add = add_to},
             thread, call->threads);
}

static void backward_step(const rondo_cpu_training *call, int s, int thread) {
  rondo_range rows = {call->work.first[s], call->work.first[s + 1]};
  rondo_range part = rondo_share(rows.end - rows.begin, thread, call->threads);
  rondo_range own = {rows.begin + part.begin, rows.begin + part.end};
  rondo_cpu_training_part gates = {0, call->columns}, parts[2];
  enter_rows(call, s, own);
  if (call->layer->projection_size) {
    rondo_pool_barrier(call->pool);
    multiply_projection(call, rows, thread);
    rondo_pool_barrier(call->pool);
  }
  rondo_cpu_training_cell_gradients(call, own, rows.begin);
  rondo_pool_barrier(call->pool);
  if (call->layer->reset_before) {
    rondo_cpu_training_parts(call->layer, parts);
    multiply_state(call, rows, parts[1], call->work.d_reset, 0, thread);
    rondo_pool_barrier(call->pool);
    rondo_cpu_training_reset_gradients(call, own, rows.begin);
    rondo_pool_barrier(call->pool);
    gates = parts[0];
  }
  if (s > 0 || call->gradient->dh_0) multiply_state(call, rows, gates, call->work.dh, 1, thread);
  rondo_pool_barrier(call->pool);
}

/* A DENSE layer's rows do not depend on each other. */
static void backward_dense(const rondo_cpu_training *call, int thread) {
  rondo_range own = rondo_share(call->rows, thread, call->threads);
  size_t batch = (size_t)call->pass->batch;
  for (size_t row = own.begin; row < own.end; row++) {
    float *d = call->work.d_input + row * call->columns;
    memset(d, 0, call->columns * sizeof *d);
    find_output_gradient(call, (int)(row % batch), (int)(row / batch), d);
  }
  rondo_cpu_training_cell_gradients(call, own, 0);
  rondo_pool_barrier(call->pool);
}

/* ---- gradients of weights ---------------------------------------------------------------------------------------- */

static float *gradient_of(const rondo_cpu_training *call, rondo_param which) {
  return call->gradient->dparams + rondo_canonical(call->layer, call->inputs, which).offset;
}

/* dparams[which] (columns) += the sums over all rows of d (M rows, `columns` of each), or of d * by. */
static void sum_columns(const rondo_cpu_training *call, float *to, size_t columns, rondo_rows d, const rondo_rows *by,
                        int thread) {
  enum { COLUMNS = 64 };
  rondo_range own = rondo_share(columns, thread, call->threads);
  for (size_t begin = own.begin; begin < own.end; begin += COLUMNS) {
    size_t count = own.end - begin < COLUMNS ? own.end - begin : COLUMNS;
    double sums[COLUMNS] = {0};
    for (size_t row = 0; row < call->rows; row++) {
      const float *v = rondo_row(&d, row) + begin, *factor = by ? rondo_row(by, row) + begin : NULL;
      for (size_t j = 0; j < count; j++) sums[j] += factor ? (double)v[j] * (double)factor[j] : (double)v[j];
    }
    for (size_t j = 0; j < count; j++) to[begin + j] = (float)((double)to[begin + j] + sums[j]);
  }
}

/* dparams[which], an array (1, columns). */
static void sum_array(const rondo_cpu_training *call, rondo_param which, const float *d, const float *by, int thread) {
  size_t columns = rondo_canonical(call->layer, call->inputs, which).columns;
  rondo_rows factors = rondo_rows_dense(by, columns);
  if (call->weights[which])
    sum_columns(call, gradient_of(call, which), columns, rondo_rows_dense(d, columns), by ? &factors : NULL, thread);
}

static void sum_peephole(const rondo_cpu_training *call, int thread) {
  size_t units = call->units;
  float *to = gradient_of(call, RONDO_PEEPHOLE);
  const float *d = call->work.d_input;
  rondo_rows before = {.table = call->work.c_before}, cell = rondo_rows_dense(call->kept.cell, units);
  sum_columns(call, to, units, rondo_rows_dense(d, call->columns), &before, thread);
  sum_columns(call, to + units, units, rondo_rows_dense(d + units, call->columns), &before, thread);
  sum_columns(call, to + 2 * units, units, rondo_rows_dense(d + 3 * units, call->columns), &cell, thread);
}

static void sum_vectors(const rondo_cpu_training *call, int thread) {
  const rondo_cpu_training_work *w = &call->work;
  sum_array(call, RONDO_BIAS, w->d_input, NULL, thread);
  sum_array(call, RONDO_RECURRENT_BIAS, w->d_recurrent, NULL, thread);
  sum_array(call, RONDO_GAMMA_KERNEL, w->d_input, call->kept.normal_x, thread);
  sum_array(call, RONDO_GAMMA_RECURRENT, w->d_recurrent, call->kept.normal_h, thread);
  sum_array(call, RONDO_GAMMA_CELL, w->d_normal, call->kept.normal_cell, thread);
  sum_array(call, RONDO_BETA_CELL, w->d_normal, NULL, thread);
  if (call->weights[RONDO_PEEPHOLE]) sum_peephole(call, thread);
}

/* A part of an array: to (rows, columns), rows `stride` apart, += a^T d. */
static void sum_matrix(const rondo_cpu_training *call, float *to, size_t stride, size_t rows, size_t columns,
                       rondo_rows a, rondo_rows d, int thread) {
  rondo_gemm_outer(&call->kernels->gemm,
                   &(rondo_outer_args){.depth = call->rows,
                                       .a = a,
                                       .b = d,
                                       .c = rondo_rows_dense(to, stride),
                                       .rows = rows,
                                       .columns = columns,
                                       .turned = call->work.turned,
                                       .packed = call->work.packed},
                   call->pool, thread, call->threads);
}

static void sum_recurrent_kernel(const rondo_cpu_training *call, int thread) {
  float *to = gradient_of(call, RONDO_RECURRENT_KERNEL);
  size_t units = call->units, columns = call->columns;
  rondo_rows h = {.table = call->work.h_before}, d = rondo_rows_dense(call->work.d_product, columns);
  if (!call->layer->reset_before) {
    sum_matrix(call, to, columns, call->outputs, columns, h, d, thread);
    return;
  }
  rondo_rows reset = rondo_rows_dense(call->kept.recurrent, units);
  sum_matrix(call, to, columns, units, 2 * units, h, d, thread);
  d.first += 2 * units;
  sum_matrix(call, to + 2 * units, columns, units, units, reset, d, thread);
}

/* With layer_norm d_input becomes the gradient by x @ W. */
static void finish_input_gradient(const rondo_cpu_training *call, int thread) {
  rondo_range own = rondo_share(call->rows, thread, call->threads);
  for (size_t row = own.begin; row < own.end; row++) {
    size_t at = row * call->columns;
    rondo_cpu_training_normal_gradient(call->work.d_input + at, call->kept.normal_x + at,
                                       call->weights[RONDO_GAMMA_KERNEL], call->kept.scale_x[row], call->columns);
  }
}

static void sum_weights(const rondo_cpu_training *call, int thread) {
  rondo_rows x = {.table = call->work.x}, d_input = rondo_rows_dense(call->work.d_input, call->columns);
  sum_matrix(call, gradient_of(call, RONDO_KERNEL), call->columns, call->inputs, call->columns, x, d_input, thread);
  if (call->weights[RONDO_RECURRENT_KERNEL]) sum_recurrent_kernel(call, thread);
  if (call->weights[RONDO_PROJECTION])
    sum_matrix(call, gradient_of(call, RONDO_PROJECTION), call->outputs, call->units, call->outputs,
               rondo_rows_dense(call->kept.hidden, call->units),
               rondo_rows_dense(call->work.d_projected, call->outputs), thread);
}

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

/* dx of positions that no step reads. */
static void clear_skipped(const rondo_cpu_training *call, int r) {
  const rondo_gradient *g = call->gradient;
  int n = rondo_schedule_row(&call->schedule, r), count = rondo_schedule_count(&call->schedule, r), step = 0;
  for (int p = 0; p < call->pass->timesteps; p++) {
    if (step < count && rondo_schedule_position(&call->schedule, n, step) == p)
      step++;
    else
      memset(g->dx + n * g->dx_sequence + p * g->dx_timestep, 0, call->inputs * sizeof(float));
  }
}

static void multiply_inputs(const rondo_cpu_training *call, int thread) {
  rondo_gemm(&call->kernels->gemm,
             &(rondo_gemm_args){.rows = call->rows,
                                .columns = call->inputs,
                                .depth = call->columns,
                                .a = rondo_rows_dense(call->work.d_input, call->columns),
                                .b = call->work.kernel,
                                .stream = block_floats(call, call->columns),
                                .c = {.table = call->work.dx},
                                .add = call->gradient->add_dx},
             thread, call->threads);
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

static void begin(const rondo_cpu_training *call, rondo_range sequences, int thread) {
  const rondo_gradient *g = call->gradient;
  rondo_cpu_training_find_rows(call, sequences);
  pack_weights(call, thread);
  for (size_t r = sequences.begin; r < sequences.end; r++) begin_sequence(call, (int)r);
  if (thread == 0 && g->dparams && !g->accumulate) /* also what lies behind the last array */
    memset(g->dparams, 0, rondo_canonical_bytes(call->layer, call->inputs));
}

void rondo_cpu_training_backward_thread(void *context, int thread) {
  const rondo_cpu_training *call = context;
  const rondo_gradient *g = call->gradient;
  if (thread > 0) rondo_enter_float_mode(); /* the pool's threads do nothing else */
  rondo_range sequences = rondo_share((size_t)call->pass->batch, thread, call->threads);
  begin(call, sequences, thread);
  rondo_pool_barrier(call->pool);
  if (call->layer->cell == RONDO_DENSE && !g->dy && !g->dy_last) return; /* forward may have kept nothing either */
  if (call->layer->cell == RONDO_DENSE) backward_dense(call, thread);
  for (int s = call->schedule.steps - 1; s >= 0 && call->layer->cell != RONDO_DENSE; s--)
    backward_step(call, s, thread);
  for (size_t r = sequences.begin; r < sequences.end; r++) {
    end_sequence(call, (int)r);
    if (g->dx && !g->add_dx) clear_skipped(call, (int)r);
  }
  if (g->dparams) sum_vectors(call, thread);
  if (call->layer->layer_norm) {
    rondo_pool_barrier(call->pool);
    finish_input_gradient(call, thread);
    rondo_pool_barrier(call->pool);
  }
  if (g->dparams) sum_weights(call, thread);
  if (g->dx) multiply_inputs(call, thread);
}
