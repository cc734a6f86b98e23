/* stepwise.c - timestep by timestep: one cuBLAS product for the whole batch, then one kernel.
 *
 *   gates (R, K) = hx[s] (R, O + F) @ [R; W] (O + F, K)          cuBLAS
 *   h = cell(gates + bias, state)                                the cell's kernel (cells.c has what options add)
 *
 * R is the number of rows that take part in step s: all of them, or with lengths or a mask those that have so many
 * steps, which the schedule's order makes a prefix. hx (chunk, N, row) holds the rows [h | x] of a chunk of steps.
 * Ahead of each chunk one kernel, hx_gather, writes its x, whatever their strides and order; the cell writes h straight
 * to where the next step's product reads it: the next row of hx, or the first one when the chunk ends. So nothing is
 * concatenated, copied or cleared in the loop.
 *
 * With weights of 16 bits hx holds such numbers too, to which the gather rounds x and the cell h, and the products run
 * on tensor cores with sums in float. c and all other h stay float: where a cell reads the old h itself (a GRU's z * h,
 * zoneout) it has it from an array of its own. allow_tf32 means nothing then: TF32 would not round such numbers.
 *
 * Everything is enqueued on one stream, whose order is all the order there is: the cell may write into hx[0] although
 * the gather follows (other columns), and into the row its own product has read. */
#include "hoisted.h"

#include "../arena.h"

#include <stdio.h>

enum { LARGEST = 1 << 22 }; /* H and F: keeps 4H and O + F an int, and the kernels' grids within CUDA's limits */

#define CUBLAS_ALIGNMENT ((size_t)256) /* that cublasSetWorkspace demands */

/* ---- Workspace --------------------------------------------------------------------------------------------------- */

/* Columns of h in a row of hx. */
static size_t h_columns(const rondo_layer *layer) {
  return layer->cell == RONDO_DENSE ? 0 : (size_t)rondo_output_size(layer);
}

/* Filled up so that every row starts at 16 bytes, which cuBLAS wants for tensor cores and the kernels for moving four
 * numbers at a time. The fill is never read. */
size_t rondo_cuda_row_numbers(rondo_dtype type, size_t columns) {
  size_t group = 16 / rondo_dtype_bytes(type);
  return (columns + group - 1) / group * group;
}

/* Of a row of hx: [h | x]; when x is ahead, h. */
static size_t hx_numbers(rondo_dtype type, const rondo_layer *layer, size_t inputs, int ahead) {
  int alone = ahead && layer->cell != RONDO_DENSE;
  return rondo_cuda_row_numbers(type, h_columns(layer) + (alone ? 0 : inputs));
}

/* Whether the old h of weights of 16 bits is needed unrounded. */
static int needs_exact(rondo_dtype type, const rondo_layer *layer) {
  return type != RONDO_F32 && (layer->cell == RONDO_GRU || layer->zoneout > 0);
}

/* count * size floats, if wanted. */
static float *take(rondo_arena *arena, int wanted, size_t count, size_t size) {
  return wanted ? rondo_arena_take(arena, count, rondo_size_mul(size, sizeof(float))) : NULL;
}

static void *take_of(rondo_dtype type, rondo_arena *arena, size_t count, size_t size) {
  return rondo_arena_take(arena, count, rondo_size_mul(size, rondo_dtype_bytes(type)));
}

/* base: NULL measures. A caller's workspace is aligned to RONDO_CALLER_ALIGNMENT only, so the pieces start at the next
 * 256 bytes, and there is room for that. */
static size_t carve(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, size_t blas_bytes, int ahead,
                    void *base, rondo_cuda_parts *parts) {
  uintptr_t aligned = ((uintptr_t)base + CUBLAS_ALIGNMENT - 1) / CUBLAS_ALIGNMENT * CUBLAS_ALIGNMENT;
  rondo_arena arena = {.base = (unsigned char *)aligned};
  rondo_dtype type = plan->desc.weights;
  int lstm = layer->cell == RONDO_LSTM, dense = layer->cell == RONDO_DENSE, exact = needs_exact(type, layer);
  size_t n = (size_t)plan->desc.max_batch, t = (size_t)plan->desc.max_timesteps, units = (size_t)layer->hidden_size;
  size_t rows = rondo_size_mul((size_t)plan->chunk, n), gates = (size_t)rondo_gates(layer) * units;
  int beside = ahead && !dense, apart = !dense && rondo_cuda_is_apart(plan, layer, ahead);
  int aside = layer->projection_size || (layer->reset_before && !exact);
  parts->blas = rondo_arena_take(&arena, blas_bytes, 1);
  parts->hx = take_of(type, &arena, beside ? n : rows, hx_numbers(type, layer, inputs, ahead));
  parts->x = beside ? take_of(type, &arena, rows, rondo_cuda_row_numbers(type, inputs)) : NULL;
  parts->gates = take(&arena, 1, dense || ahead ? rows : n, ahead ? gates : units * (size_t)rondo_cuda_columns(layer));
  parts->recurrent = take(&arena, apart, n, gates);
  parts->c = take(&arena, lstm, n, units);
  parts->h = aside ? take_of(type, &arena, n, units) : NULL;
  parts->exact = take(&arena, exact, n, (size_t)rondo_output_size(layer));
  parts->projected = take(&arena, layer->projection_size, n, (size_t)rondo_output_size(layer));
  parts->row = dense ? NULL : rondo_arena_take(&arena, n, sizeof(rondo_row));
  parts->position = dense ? NULL : rondo_arena_take(&arena, rondo_size_mul(n, t), sizeof(int32_t));
  parts->bits = dense ? NULL : rondo_arena_take(&arena, rondo_size_mul(n, (t + 31) / 32), sizeof(uint32_t));
  return rondo_size_add(arena.used, CUBLAS_ALIGNMENT);
}

/* ---- Plan -------------------------------------------------------------------------------------------------------- */

int rondo_cuda_kinds(const rondo_plan *plan, rondo_cuda_kind kinds[RONDO_CUDA_KINDS]) {
  const rondo_layer *layer = &plan->desc.layer;
  int count = 0;
  for (int index = 0; index < (layer->num_layers > 1 ? 2 : 1); index++)
    for (int d = 0; d < plan->directions; d++)
      kinds[count++] = (rondo_cuda_kind){&plan->direction[d], rondo_layer_inputs(plan, index)};
  if (layer->head_units) kinds[count++] = (rondo_cuda_kind){&plan->head, (size_t)plan->width};
  return count;
}

/* Timesteps gathered at a time: all of them while hx stays within 32 MiB, so that a product finds its rows still in the
 * second-level cache (40 MB on an A100, 50 MB on an H100) and the workspace stays modest; but 8 at least, so that the
 * gather stays a small part of the launches, if so many rows are an int. */
int rondo_cuda_stepwise_chunk(const rondo_plan *plan) {
  size_t limit = (size_t)32 << 20, least = 8, most = (size_t)plan->desc.max_timesteps, widest = 1;
  rondo_dtype type = plan->desc.weights;
  rondo_cuda_kind kinds[RONDO_CUDA_KINDS];
  for (int i = rondo_cuda_kinds(plan, kinds) - 1; i >= 0; i--) {
    size_t row = hx_numbers(type, kinds[i].layer, kinds[i].inputs, 0) * rondo_dtype_bytes(type);
    if (kinds[i].layer->cell == RONDO_DENSE) row += (size_t)kinds[i].layer->hidden_size * sizeof(float);
    if (row > widest) widest = row;
  }
  size_t n = (size_t)plan->desc.max_batch, chunk = limit / rondo_size_mul(n, widest);
  if (chunk < least) chunk = least;
  if (chunk > INT32_MAX / n) chunk = INT32_MAX / n;
  return (int)(chunk < most ? chunk : most);
}

static rondo_status check_kind(const rondo_plan *plan, const rondo_cuda_kind *kind) {
  const char *name = plan->algorithm->name;
  OFFER(kind->layer->hidden_size <= LARGEST,
        "rondo_plan_create: hidden_size %d is not at most %d, the limit of cuda/%s", kind->layer->hidden_size, LARGEST,
        name);
  OFFER(kind->inputs <= LARGEST, "rondo_plan_create: input_size %zu is not at most %d, the limit of cuda/%s",
        kind->inputs, LARGEST, name);
  return RONDO_OK;
}

rondo_status rondo_cuda_measure(rondo_plan *plan, const rondo_cuda_state *state, int ahead) {
  rondo_cuda_kind kinds[RONDO_CUDA_KINDS];
  int count = rondo_cuda_kinds(plan, kinds);
  OFFER(plan->desc.weights != RONDO_INT8,
        "rondo_plan_create: weights RONDO_INT8 is not offered by CUDA, only by the CPU and the reference");
  OFFER(plan->desc.weights != RONDO_BF16 || state->major >= 8,
        "rondo_plan_create: weights RONDO_BF16 is not offered on compute capability %d, only from 8 on, whose tensor "
        "cores know it",
        state->major);
  plan->layer_workspace = 0;
  for (int i = 0; i < count; i++) {
    rondo_cuda_parts parts;
    TRY(check_kind(plan, &kinds[i]));
    size_t bytes = carve(plan, kinds[i].layer, kinds[i].inputs, state->blas_workspace, ahead, NULL, &parts);
    if (bytes > plan->layer_workspace) plan->layer_workspace = bytes;
  }
  return RONDO_OK;
}

rondo_status rondo_cuda_stepwise_prepare(rondo_plan *plan, const rondo_context *ctx) {
  plan->chunk = rondo_cuda_stepwise_chunk(plan);
  TRY(rondo_cuda_measure(plan, rondo_cuda_state_of(ctx), 0));
  snprintf(plan->note, sizeof plan->note, "%d timesteps gathered at a time", plan->chunk);
  rondo_cuda_note_model(plan, ctx, 0);
  return RONDO_OK;
}

/* ---- Forward ----------------------------------------------------------------------------------------------------- */

/* cuBLAS speaks column-major, where a row-major matrix is its own transpose: to^T = matrix^T @ from^T, with no
 * transposition asked of it. */
rondo_status rondo_cuda_product(const rondo_cuda_run *run, int rows, int columns, int inner, rondo_cuda_matrix from,
                                rondo_cuda_matrix matrix, int add, rondo_cuda_matrix to) {
  static const cudaDataType_t types[] = {
      [RONDO_F32] = CUDA_R_32F, [RONDO_F16] = CUDA_R_16F, [RONDO_BF16] = CUDA_R_16BF};
  const float one = 1, beta = add ? 1 : 0;
  cudaDataType_t type = types[rondo_cuda_type(run)];
  int tf32 = run->plan->desc.allow_tf32 && type == CUDA_R_32F;
  cublasComputeType_t compute = tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  CUBLAS_TRY(cublasGemmEx(run->state->blas, CUBLAS_OP_N, CUBLAS_OP_N, columns, rows, inner, &one, matrix.at, type,
                          matrix.stride, from.at, type, from.stride, &beta, to.at, CUDA_R_32F, to.stride, compute,
                          CUBLAS_GEMM_DEFAULT));
  return RONDO_OK;
}

rondo_status rondo_cuda_gather(const rondo_cuda_run *run, int steps) {
  const rondo_pass *pass = run->pass;
  int output = (int)h_columns(pass->layer);
  rondo_hx_gather_args args = {.step = run->step,
                               .steps = steps,
                               .input_size = pass->input_size,
                               .output_size = output,
                               .batch = pass->batch,
                               .x = pass->x,
                               .x_sequence = pass->x_sequence,
                               .x_timestep = pass->x_timestep,
                               .type = rondo_cuda_type(run),
                               .hx = run->parts.hx,
                               .hx_row = run->hx_row,
                               .with_h = run->step.step == 0 && output > 0,
                               .h_0 = {pass->h_0, pass->h_stride},
                               .h = run->parts.exact};
  CUDA_TRY(rondo_hx_gather_cuda(&args, run->state->stream));
  return RONDO_OK;
}

static rondo_status recurrence(rondo_cuda_run *run) {
  const rondo_schedule *schedule = run->pass->schedule;
  size_t rows = (size_t)run->pass->batch * (size_t)run->hx_row;
  TRY(rondo_cuda_rows_begin(run));
  for (int start = 0, steps; start < schedule->steps; start += steps) {
    int left = schedule->steps - start;
    steps = left < run->plan->chunk ? left : run->plan->chunk;
    for (int k = 0; k < steps; k++) {
      void *hx = rondo_cuda_at(run, run->parts.hx, (size_t)k * rows);
      run->step.step = start + k;
      run->step.rows = rondo_schedule_active(schedule, start + k);
      if (k == 0) TRY(rondo_cuda_gather(run, steps));
      TRY(rondo_cuda_cell(run, hx, k + 1 < steps ? rondo_cuda_at(run, hx, rows) : run->parts.hx));
    }
  }
  return rondo_cuda_rows_end(run);
}

rondo_status rondo_cuda_begin(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass, int ahead,
                              rondo_cuda_run *run) {
  const rondo_layer *layer = pass->layer;
  size_t inputs = (size_t)pass->input_size;
  rondo_dtype type = plan->desc.weights;
  *run = (rondo_cuda_run){.plan = plan,
                          .state = state,
                          .pass = pass,
                          .hx_row = (int)hx_numbers(type, layer, inputs, ahead),
                          .x_row = (int)rondo_cuda_row_numbers(type, inputs),
                          .ahead = ahead};
  carve(plan, layer, inputs, state->blas_workspace, ahead, pass->workspace, &run->parts);
  rondo_cuda_params(type, layer, inputs, pass->params, &run->params);
  CUBLAS_TRY(cublasSetStream(state->blas, state->stream)); /* resets the workspace, so ours comes after */
  CUBLAS_TRY(cublasSetWorkspace(state->blas, run->parts.blas, state->blas_workspace));
  return RONDO_OK;
}

static rondo_status forward(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass) {
  rondo_cuda_run run;
  TRY(rondo_cuda_begin(plan, state, pass, 0, &run));
  return pass->layer->cell == RONDO_DENSE ? rondo_cuda_dense(&run) : recurrence(&run);
}

static rondo_status forward_on_device(const rondo_plan *plan, const rondo_context *ctx, const rondo_pass *pass) {
  RETURN_ON_DEVICE(ctx, forward(plan, rondo_cuda_state_of(ctx), pass));
}

/* Whatever fails here, work of this call may already be enqueued. The caller must learn that outputs are undefined, so
 * the status is DEVICE_ERROR even where cuBLAS ran out of memory; the sentence has the reason. */
rondo_status rondo_cuda_stepwise_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  return forward_on_device(plan, ctx, pass) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
