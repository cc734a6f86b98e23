/* hoisted.c - x @ W for a chunk of timesteps ahead, then timestep by timestep one cuBLAS product and one kernel.
 *
 *   gates (rows of a chunk, G*H) = x @ W (F, G*H)      cuBLAS, for each chunk
 *   gates (R, G*H) += h @ R (O, G*H)                   cuBLAS, in place, in rows of the step
 *   h = cell(gates + bias, state)                      the cell's kernel (cells.c has what options add)
 *
 * The products that wait for each other read R alone, where stepwise.c has them read W too: that is half of the traffic
 * when O = F. In exchange gates are written and read once more, so with many rows, where products are bound by their
 * multiplications, stepwise is the quicker one; cost.c weighs them. The default GRU has h @ R in sums of its own
 * (recurrent), as r comes between the two terms of its gate h.
 *
 * Where rows of x lie evenly (time-major, all sequences of full length, read from the first timestep on) the product
 * reads them where they are; else, and when they must be rounded for weights of 16 bits, hx_gather brings them
 * together, without the rows that take no part in a step: a launch for each run of steps with equally many rows. h
 * (N, O) stays in one place: the kernel writes it where the product has read it. DENSE is dense.c. */
#include "hoisted.h"

#include <stdio.h>

/* ---- Plan -------------------------------------------------------------------------------------------------------- */

/* Timesteps ahead: as many as leave half of the second-level cache to R, h and c, so that the steps find their gates
 * there; but 256 rows at least, for which a product reads W so seldom that more gain nothing. */
int rondo_cuda_hoisted_chunk(const rondo_plan *plan, const rondo_cuda_state *state) {
  rondo_dtype type = plan->desc.weights;
  rondo_cuda_kind kinds[RONDO_CUDA_KINDS];
  size_t n = (size_t)plan->desc.max_batch, most = (size_t)plan->desc.max_timesteps, widest = 1;
  for (int i = rondo_cuda_kinds(plan, kinds) - 1; i >= 0; i--) {
    size_t sums = (size_t)rondo_gates(kinds[i].layer) * (size_t)kinds[i].layer->hidden_size * sizeof(float);
    size_t row = sums + rondo_cuda_row_numbers(type, kinds[i].inputs) * rondo_dtype_bytes(type);
    if (row > widest) widest = row;
  }
  size_t chunk = state->machine.l2_bytes / 2 / rondo_size_mul(n, widest), least = (255 + n) / n;
  if (chunk < least) chunk = least;
  if (chunk > INT32_MAX / n) chunk = INT32_MAX / n;
  return (int)(chunk < most ? chunk : most);
}

rondo_status rondo_cuda_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx) {
  const rondo_cuda_state *state = rondo_cuda_state_of(ctx);
  plan->chunk = rondo_cuda_hoisted_chunk(plan, state);
  TRY(rondo_cuda_measure(plan, state, 1));
  snprintf(plan->note, sizeof plan->note, "x %d timestep%s ahead", plan->chunk, plan->chunk == 1 ? "" : "s");
  rondo_cuda_note_model(plan, ctx, 1);
  return RONDO_OK;
}

/* ---- Forward ----------------------------------------------------------------------------------------------------- */

/* h_0 to where the first product reads it. */
static rondo_status gather_h(const rondo_cuda_run *run) {
  const rondo_pass *pass = run->pass;
  rondo_hx_gather_args args = {.step = run->step,
                               .steps = 1,
                               .output_size = pass->output_size,
                               .batch = run->step.rows,
                               .type = rondo_cuda_type(run),
                               .hx = run->parts.hx,
                               .hx_row = run->hx_row,
                               .with_h = 1,
                               .h_0 = {pass->h_0, pass->h_stride},
                               .h = run->parts.exact};
  CUDA_TRY(rondo_hx_gather_cuda(&args, run->state->stream));
  return RONDO_OK;
}

/* x of steps start..end - 1, row after row of those that take part. */
static rondo_status gather_x(const rondo_cuda_run *run, int start, int end) {
  const rondo_pass *pass = run->pass;
  size_t first = 0;
  for (int step = start, steps; step < end; step += steps) {
    steps = rondo_cuda_equal_steps(pass->schedule, step);
    if (steps > end - step) steps = end - step;
    rondo_hx_gather_args args = {.step = run->step,
                                 .steps = steps,
                                 .input_size = pass->input_size,
                                 .x = pass->x,
                                 .x_sequence = pass->x_sequence,
                                 .x_timestep = pass->x_timestep,
                                 .type = rondo_cuda_type(run),
                                 .hx = rondo_cuda_at(run, run->parts.x, first * (size_t)run->x_row),
                                 .hx_row = run->x_row};
    args.step.step = step;
    args.step.rows = args.batch = rondo_schedule_active(pass->schedule, step);
    CUDA_TRY(rondo_hx_gather_cuda(&args, run->state->stream));
    first += (size_t)steps * (size_t)args.batch;
  }
  return RONDO_OK;
}

/* gates of steps start..end - 1. Of a spread matrix W has the first columns. */
static rondo_status project_x(const rondo_cuda_run *run, int start, int end) {
  const rondo_pass *pass = run->pass;
  int units = pass->hidden_size, columns = rondo_gates(pass->layer) * units, rows = 0;
  int all = rondo_cuda_columns(pass->layer) * units;
  for (int step = start; step < end; step++) rows += rondo_schedule_active(pass->schedule, step);
  rondo_cuda_matrix x = {NULL, 0}, gates = {run->parts.gates, columns};
  if (pass->schedule->full && rondo_cuda_type(run) == RONDO_F32) x = rondo_cuda_even_rows(pass, start, end - start);
  if (!x.at) {
    TRY(gather_x(run, start, end));
    x = (rondo_cuda_matrix){run->parts.x, run->x_row};
  }
  rondo_cuda_matrix w = {rondo_cuda_at(run, run->params.matrix, (size_t)pass->output_size * (size_t)all), all};
  return rondo_cuda_product(run, rows, columns, pass->input_size, x, w, 0, gates);
}

static rondo_status recurrence(rondo_cuda_run *run) {
  const rondo_pass *pass = run->pass;
  const rondo_schedule *schedule = pass->schedule;
  float *gates = run->parts.gates;
  size_t columns = (size_t)rondo_gates(pass->layer) * (size_t)pass->hidden_size;
  TRY(rondo_cuda_rows_begin(run));
  for (int step = 0, end = 0; step < schedule->steps; step++) {
    run->step.step = step;
    run->step.rows = rondo_schedule_active(schedule, step);
    if (step == 0) TRY(gather_h(run));
    if (step == end) {
      int left = schedule->steps - step;
      end = step + (left < run->plan->chunk ? left : run->plan->chunk);
      run->parts.gates = gates;
      TRY(project_x(run, step, end));
    }
    TRY(rondo_cuda_cell(run, run->parts.hx, run->parts.hx));
    run->parts.gates += (size_t)run->step.rows * columns;
  }
  return rondo_cuda_rows_end(run);
}

static rondo_status forward(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass) {
  rondo_cuda_run run;
  TRY(rondo_cuda_begin(plan, state, pass, 1, &run));
  return pass->layer->cell == RONDO_DENSE ? rondo_cuda_dense(&run) : recurrence(&run);
}

static rondo_status forward_on_device(const rondo_plan *plan, const rondo_context *ctx, const rondo_pass *pass) {
  RETURN_ON_DEVICE(ctx, forward(plan, rondo_cuda_state_of(ctx), pass));
}

/* DEVICE_ERROR whatever fails: see rondo_cuda_stepwise_forward. */
rondo_status rondo_cuda_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  return forward_on_device(plan, ctx, pass) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
