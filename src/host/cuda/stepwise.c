/* stepwise.c - LSTM, timestep by timestep: one cuBLAS product for the whole batch, then one kernel.
 *
 *   gates (N, 4H) = hx[t] (N, H + F) @ [R; W] (H + F, 4H)        cuBLAS
 *   c, h = cell(gates + bias, c)                                  lstm_cell_forward
 *
 * hx (chunk, N, row) holds the rows [h | x] of a chunk of timesteps. Ahead of each chunk one kernel, hx_gather, writes
 * its x, whatever their strides; the cell writes h straight to where the next timestep's product reads it: the next
 * row of hx, or the first one when the chunk ends. So nothing is concatenated, copied or cleared in the loop.
 *
 * Everything is enqueued on one stream, whose order is all the order there is: the cell may write into hx[0] although
 * the gather follows (other columns), and into the row its own product has read. */
#include "../../kernels/kernels.h"
#include "../arena.h"
#include "cuda.h"

#include <stdio.h>

enum { LARGEST = 1 << 22 }; /* H and F: keeps 4H and H + F an int, and the kernels' grids within CUDA's limits */

#define CUBLAS_ALIGNMENT ((size_t)256) /* that cublasSetWorkspace demands */

/* The pieces of the workspace. */
typedef struct stepwise {
  float *hx, *gates, *c; /* (chunk, N, row), (N, 4H), (N, H) */
  void *blas;            /* cuBLAS's own */
} stepwise;

/* Floats of a row of hx: [h | x], filled up to a multiple of 4 so that every row starts at 16 bytes, which cuBLAS wants
 * for TF32 and the kernels for moving four floats at a time. The fill is never read. */
static size_t row_floats(size_t inputs, size_t units) {
  return (units + inputs + 3) / 4 * 4;
}

/* The inputs of the plan's widest layer: what the workspace must do for. */
static size_t most_inputs(const rondo_plan *plan) {
  const rondo_layer *layer = &plan->desc.layer;
  int above = layer->num_layers > 1 ? layer->hidden_size : 0;
  return (size_t)(above > layer->input_size ? above : layer->input_size);
}

/* base: NULL measures. A caller's workspace is aligned to RONDO_CALLER_ALIGNMENT only, so the pieces start at the next
 * 256 bytes, and there is room for that. */
static size_t carve(const rondo_plan *plan, size_t blas_bytes, void *base, stepwise *pieces) {
  uintptr_t aligned = ((uintptr_t)base + CUBLAS_ALIGNMENT - 1) / CUBLAS_ALIGNMENT * CUBLAS_ALIGNMENT;
  rondo_arena arena = {.base = (unsigned char *)aligned};
  size_t n = (size_t)plan->desc.max_batch, units = (size_t)plan->desc.layer.hidden_size;
  size_t row = row_floats(most_inputs(plan), units);
  pieces->blas = rondo_arena_take(&arena, blas_bytes, 1);
  pieces->hx = rondo_arena_take(&arena, rondo_size_mul((size_t)plan->chunk, n), rondo_size_mul(row, sizeof(float)));
  pieces->gates = rondo_arena_take(&arena, rondo_size_mul(n, units), RONDO_GATES * sizeof(float));
  pieces->c = rondo_arena_take(&arena, rondo_size_mul(n, units), sizeof(float));
  return rondo_size_add(arena.used, CUBLAS_ALIGNMENT);
}

/* Timesteps gathered at a time: all of them while hx stays within 32 MiB, so that a product finds its rows still in the
 * second-level cache (40 MB on an A100, 50 MB on an H100) and the workspace stays modest; but 8 at least, so that the
 * gather stays a small part of the launches. */
static int chunk_for(const rondo_plan *plan) {
  size_t limit = (size_t)32 << 20, least = 8, most = (size_t)plan->desc.max_timesteps;
  size_t row = row_floats(most_inputs(plan), (size_t)plan->desc.layer.hidden_size) * sizeof(float);
  size_t chunk = limit / rondo_size_mul((size_t)plan->desc.max_batch, row);
  if (chunk < least) chunk = least;
  return (int)(chunk < most ? chunk : most);
}

rondo_status rondo_cuda_stepwise_prepare(rondo_plan *plan, const rondo_context *ctx) {
  const rondo_layer *layer = &plan->desc.layer;
  OFFER(layer->hidden_size <= LARGEST,
        "rondo_plan_create: hidden_size %d is not at most %d, the limit of cuda/stepwise", layer->hidden_size, LARGEST);
  OFFER(layer->input_size <= LARGEST, "rondo_plan_create: input_size %d is not at most %d, the limit of cuda/stepwise",
        layer->input_size, LARGEST);
  stepwise pieces;
  plan->chunk = chunk_for(plan);
  plan->layer_workspace = carve(plan, rondo_cuda_state_of(ctx)->blas_workspace, NULL, &pieces);
  snprintf(plan->note, sizeof plan->note, "%d timesteps gathered at a time", plan->chunk);
  return RONDO_OK;
}

/* cuBLAS speaks column-major, where a row-major matrix is its own transpose: gates^T = [R; W]^T @ hx^T, with no
 * transposition asked of it. */
static rondo_status project(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass,
                            const float *hx, float *gates) {
  const float one = 1, zero = 0;
  int columns = RONDO_GATES * pass->hidden_size, inner = pass->hidden_size + pass->input_size;
  int row = (int)row_floats((size_t)pass->input_size, (size_t)pass->hidden_size);
  cublasComputeType_t compute = plan->desc.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  CUBLAS_TRY(cublasGemmEx(state->blas, CUBLAS_OP_N, CUBLAS_OP_N, columns, pass->batch, inner, &one, pass->params,
                          CUDA_R_32F, columns, hx, CUDA_R_32F, row, &zero, gates, CUDA_R_32F, columns, compute,
                          CUBLAS_GEMM_DEFAULT));
  return RONDO_OK;
}

static rondo_status gather(const rondo_cuda_state *state, const rondo_pass *pass, float *hx, int start, int steps) {
  rondo_hx_gather_args args = {
      .batch = pass->batch,
      .timesteps = steps,
      .input_size = pass->input_size,
      .hidden_size = pass->hidden_size,
      .x = pass->x + start * pass->x_timestep,
      .x_sequence = pass->x_sequence,
      .x_timestep = pass->x_timestep,
      .hx = hx,
      .hx_row = (ptrdiff_t)row_floats((size_t)pass->input_size, (size_t)pass->hidden_size),
      .with_h = start == 0,
      .h_0 = {pass->h_0, pass->state_stride},
  };
  CUDA_TRY(rondo_hx_gather_cuda(&args, state->stream));
  return RONDO_OK;
}

/* h_next: the rows of hx that the next timestep reads; not written at the end, nor is the workspace's c. */
static rondo_status cell(const rondo_cuda_state *state, const rondo_pass *pass, const stepwise *pieces, float *h_next,
                         int t) {
  int units = pass->hidden_size, first = t == 0, last = t == pass->timesteps - 1;
  const float *weights = pass->params;
  rondo_lstm_cell_forward_args args = {
      .batch = pass->batch,
      .hidden_size = units,
      .gates = pieces->gates,
      .bias = weights + (size_t)(units + pass->input_size) * RONDO_GATES * (size_t)units,
      .c_in = {first ? pass->c_0 : pieces->c, first ? pass->state_stride : units},
      .c_out = {last ? pass->c_n : pieces->c, last ? pass->state_stride : units},
      .h_next = {last ? NULL : h_next, (ptrdiff_t)row_floats((size_t)pass->input_size, (size_t)units)},
      .y = {pass->y ? pass->y + t * pass->y_timestep : NULL, pass->y_sequence},
      .y_last = {last ? pass->y_last : NULL, pass->y_last_stride},
      .h_n = {last ? pass->h_n : NULL, pass->state_stride},
  };
  CUDA_TRY(rondo_lstm_cell_forward_cuda(&args, state->stream));
  return RONDO_OK;
}

static rondo_status forward(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass) {
  stepwise pieces;
  carve(plan, state->blas_workspace, pass->workspace, &pieces);
  size_t step = (size_t)pass->batch * row_floats((size_t)pass->input_size, (size_t)pass->hidden_size);
  CUBLAS_TRY(cublasSetStream(state->blas, state->stream)); /* resets the workspace, so ours comes after */
  CUBLAS_TRY(cublasSetWorkspace(state->blas, pieces.blas, state->blas_workspace));
  for (int start = 0, steps; start < pass->timesteps; start += steps) {
    int left = pass->timesteps - start;
    steps = left < plan->chunk ? left : plan->chunk;
    TRY(gather(state, pass, pieces.hx, start, steps));
    for (int s = 0; s < steps; s++) {
      TRY(project(plan, state, pass, pieces.hx + (size_t)s * step, pieces.gates));
      TRY(cell(state, pass, &pieces, s + 1 < steps ? pieces.hx + (size_t)(s + 1) * step : pieces.hx, start + s));
    }
  }
  return RONDO_OK;
}

static rondo_status forward_on_device(const rondo_plan *plan, const rondo_context *ctx, const rondo_pass *pass) {
  RETURN_ON_DEVICE(ctx, forward(plan, rondo_cuda_state_of(ctx), pass));
}

/* Whatever fails here, work of this call may already be enqueued. The caller must learn that outputs are undefined, so
 * the status is DEVICE_ERROR even where cuBLAS ran out of memory; the sentence has the reason. */
rondo_status rondo_cuda_stepwise_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  return forward_on_device(plan, ctx, pass) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
