/* training_backward.c - backward of a pass.
 *
 *     step after step from the last:
 *         dh += dy                        the rows of y that hold this step's h (find_output_gradient)
 *         d_hidden = (1 - zoneout) dh     @ P^T with projection; dh keeps its zoneout share
 *         the cell                        to d_input, d_recurrent, d_product (training_gradients.c)
 *         dh += d_product @ R^T           gate by gate times their masks with recurrent_dropout
 *     then, over all rows, gradients by weights and by x (training_weights.c) */
#include "cpu/training.h"

#include <string.h>

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
    pack(call, call->work.kernel_turned, call->weights[RONDO_KERNEL], call->columns, call->inputs, thread);
  if (recurrent) pack(call, call->work.recurrent_turned, recurrent, call->columns, call->outputs, thread);
  if (projection) pack(call, call->work.projection_turned, projection, call->outputs, call->units, thread);
  if (call->recompute) rondo_cpu_training_pack(call, thread);
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

/* d_hidden, or with projection d_projected, from dh, which keeps what goes around the cell; for some rows of a step,
 * which begin at row `first`. */
static void enter_rows(const rondo_cpu_training *call, int s, rondo_range rows, size_t first) {
  size_t outputs = call->outputs;
  float rate = call->layer->zoneout;
  for (size_t row = rows.begin; row < rows.end; row++) {
    float *dh = call->work.dh + (row - first) * outputs;
    float *to =
        call->work.d_projected ? call->work.d_projected + row * outputs : call->work.d_hidden + (row - first) * outputs;
    find_output_gradient(call, (int)(row - call->work.first[s]), s, dh);
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
                                .b = call->work.projection_turned,
                                .stream = rondo_cpu_training_stream(call, call->outputs),
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
                                .b = call->work.recurrent_turned + rondo_cpu_training_stream(call, part.begin),
                                .stream = rondo_cpu_training_stream(call, call->columns),
                                .c = rondo_rows_dense(to, call->outputs),
                                .add = add_to},
             thread, call->threads);
}

/* dh += mask * product of each of `parts` parts of d_product @ R^T, which are in masked_h (parts, rows, O). */
static void add_masked(const rondo_cpu_training *call, rondo_range rows, rondo_range own, size_t parts) {
  size_t count = rows.end - rows.begin, outputs = call->outputs;
  for (size_t row = own.begin; row < own.end; row++)
    for (size_t part = 0, r = row - rows.begin; part < parts; part++) {
      const float *mask = call->work.recurrent_mask[row] + part * outputs;
      const float *product = call->work.masked_h + (part * count + r) * outputs;
      float *dh = call->work.dh + r * outputs;
      for (size_t k = 0; k < outputs; k++) dh[k] += mask[k] * product[k];
    }
}

/* dh += what `parts` parts of d_product bring. */
static void leave_rows(const rondo_cpu_training *call, rondo_range rows, rondo_range own, int parts, int thread) {
  const rondo_cpu_training_part *part = call->back_parts.part;
  if (!call->work.recurrent_mask) {
    multiply_state(call, rows, part[0], call->work.dh, 1, thread);
    return;
  }
  for (int i = 0; i < parts; i++) {
    float *to = call->work.masked_h + (size_t)i * (rows.end - rows.begin) * call->outputs;
    multiply_state(call, rows, part[i], to, 0, thread);
  }
  rondo_cpu_training_barrier(call);
  add_masked(call, rows, own, (size_t)parts);
}

static void backward_step(const rondo_cpu_training *call, int s, int thread) {
  rondo_range rows = rondo_cpu_training_step(call, s), own = rondo_cpu_training_share(call, rows, thread);
  int before = call->layer->reset_before, parts = call->back_parts.count - before;
  enter_rows(call, s, own, rows.begin);
  if (call->layer->projection_size) {
    rondo_cpu_training_barrier(call);
    multiply_projection(call, rows, thread);
    rondo_cpu_training_barrier(call);
  }
  rondo_cpu_training_cell_gradients(call, own, rows.begin);
  rondo_cpu_training_barrier(call);
  if (before) {
    multiply_state(call, rows, call->back_parts.part[parts], call->work.d_reset, 0, thread);
    rondo_cpu_training_barrier(call);
    rondo_cpu_training_reset_gradients(call, own, rows.begin);
    rondo_cpu_training_barrier(call);
  }
  if (s > 0 || call->gradient->dh_0) leave_rows(call, rows, own, parts, thread);
  rondo_cpu_training_barrier(call);
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
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

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
  rondo_range sequences = rondo_share((size_t)call->pass->batch, thread, call->threads);
  begin(call, sequences, thread);
  rondo_cpu_training_barrier(call);
  if (call->layer->cell == RONDO_DENSE && !g->dy && !g->dy_last) return; /* forward may have kept nothing either */
  if (call->recompute) rondo_cpu_training_remake(call, thread);
  if (call->layer->cell == RONDO_DENSE) {
    backward_dense(call, thread);
  } else {
    rondo_cpu_training steps = rondo_cpu_training_alone(call, thread);
    for (int s = call->schedule.steps - 1; s >= 0; s--) backward_step(&steps, s, call->apart ? 0 : thread);
  }
  rondo_cpu_training_barrier(call);
  for (size_t r = sequences.begin; r < sequences.end; r++) {
    end_sequence(call, (int)r);
    if (g->dx && !g->add_dx) clear_skipped(call, (int)r);
  }
  rondo_cpu_training_finish(call, thread);
}
