/* training_backward.c - backward of one layer and direction: from the last step to the first, then all rows at once.
 *
 *   dgates (R, G*H) = cell backward (dy + dh, dc)     the cell's kernel (training_cells.c has what options add)
 *   dh (R, O) = dgates @ R^T                          cuBLAS
 *
 * per step, one product and one kernel; after the last the sums over all rows (training_gradients.c). Steps take their
 * rows from the end of dgates to its beginning. Rows that end at a step take up dh_n and dc_n there, so nothing is set
 * ahead. Every sum has one order, and no atomics are used: the same call gives the same bits. */
#include "training.h"

rondo_status rondo_cuda_multiply(const rondo_cuda_back *back, int rows, int columns, int inner, rondo_cuda_operand a,
                                 rondo_cuda_operand b, float beta, rondo_cuda_matrix to) {
  const float one = 1;
  cublasComputeType_t compute = back->plan->desc.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublasOperation_t of_a = a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N, of_b = b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  /* Column-major, a row-major matrix is its transpose: to^T = b^T @ a^T. */
  CUBLAS_TRY(cublasGemmEx(back->state->blas, of_b, of_a, columns, rows, inner, &one, b.at, CUDA_R_32F, b.stride, a.at,
                          CUDA_R_32F, a.stride, &beta, to.at, CUDA_R_32F, to.stride, compute, CUBLAS_GEMM_DEFAULT));
  return RONDO_OK;
}

static int count_rows(const rondo_schedule *schedule) {
  int rows = 0;
  for (int s = 0; s < schedule->steps; s++) rows += rondo_schedule_active(schedule, s);
  return rows;
}

static rondo_status steps(rondo_cuda_back *back) {
  const rondo_schedule *schedule = back->pass->schedule;
  back->first = (size_t)back->rows;
  for (int s = schedule->steps - 1; s >= 0; s--) {
    back->step.step = s;
    back->step.rows = rondo_schedule_active(schedule, s);
    back->first -= (size_t)back->step.rows;
    TRY(rondo_cuda_cell_backward(back));
  }
  return RONDO_OK;
}

/* dh_0 and dc_0, and 0 for dx of skipped steps. */
static rondo_status rest(const rondo_cuda_back *back) {
  const rondo_gradient *g = back->gradient;
  const rondo_pass *pass = back->pass;
  const rondo_schedule *s = pass->schedule;
  rondo_state_backward_args state = {.row = back->step.row,
                                     .rows = pass->batch,
                                     .active = s->steps ? rondo_schedule_active(s, 0) : 0,
                                     .output_size = pass->output_size,
                                     .hidden_size = pass->hidden_size,
                                     .dh = back->scratch.dh,
                                     .dc = back->scratch.dc,
                                     .dh_n = {g->dh_n, pass->h_stride},
                                     .dc_n = {g->dc_n, pass->c_stride},
                                     .dh_0 = {g->dh_0, pass->h_stride},
                                     .dc_0 = {g->dc_0, pass->c_stride}};
  if (g->dh_0 || g->dc_0) CUDA_TRY(rondo_state_backward_cuda(&state, back->state->stream));
  if (!g->dx || g->add_dx || s->full) return RONDO_OK;
  rondo_rows_fill_args fill = {.step = back->step,
                               .most = s->steps,
                               .output_size = pass->input_size,
                               .zero = 1,
                               .y = g->dx,
                               .y_sequence = g->dx_sequence,
                               .y_timestep = g->dx_timestep};
  fill.step.rows = pass->batch;
  CUDA_TRY(rondo_rows_fill_cuda(&fill, back->state->stream));
  return RONDO_OK;
}

static rondo_status recurrence(rondo_cuda_back *back) {
  const rondo_pass *pass = back->pass;
  int full = pass->schedule->full && !pass->slots && !pass->restart;
  back->step = (rondo_step){.timesteps = pass->timesteps, .row = full ? NULL : back->kept.row};
  if (pass->schedule->position) back->step.position = back->kept.position;
  back->rows = count_rows(pass->schedule);
  if (back->rows) {
    TRY(rondo_cuda_cell_prepare(back));
    TRY(steps(back));
    TRY(rondo_cuda_gradients(back));
  }
  return rest(back);
}

static rondo_status dense(rondo_cuda_back *back) {
  const rondo_gradient *g = back->gradient;
  const rondo_pass *pass = back->pass;
  back->step = (rondo_step){.timesteps = pass->timesteps};
  back->rows = pass->batch * pass->timesteps;
  if (!back->kept.gates) TRY(rondo_cuda_products_again(back));
  rondo_dense_backward_args args = {.batch = pass->batch,
                                    .timesteps = pass->timesteps,
                                    .units = pass->hidden_size,
                                    .sums = rondo_cuda_gates_of(back),
                                    .bias = back->params.at[RONDO_BIAS],
                                    .activation = pass->layer->activation,
                                    .dy = g->dy,
                                    .dy_sequence = g->dy_sequence,
                                    .dy_timestep = g->dy_timestep,
                                    .dy_last = {g->dy_last, g->dy_last_stride},
                                    .dsums = back->scratch.dgates};
  CUDA_TRY(rondo_dense_backward_cuda(&args, back->state->stream));
  return rondo_cuda_gradients(back);
}

/* The whole part, what fills it up included. */
static rondo_status clear_parameters(const rondo_cuda_back *back) {
  rondo_matrix last = rondo_canonical(back->pass->layer, (size_t)back->pass->input_size,
                                      rondo_canonical_order[RONDO_CANONICAL_ARRAYS - 1]);
  rondo_arena part = {0};
  rondo_arena_take(&part, last.offset + last.rows * last.columns, sizeof(float));
  CUDA_TRY(cudaMemsetAsync(back->gradient->dparams, 0, part.used, back->state->stream));
  return RONDO_OK;
}

static rondo_status backward(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_gradient *gradient) {
  const rondo_pass *pass = &gradient->pass;
  const rondo_layer *layer = pass->layer;
  size_t inputs = (size_t)pass->input_size;
  rondo_cuda_back back = {.plan = plan,
                          .state = state,
                          .gradient = gradient,
                          .pass = pass,
                          .params = rondo_cuda_arrays_of(layer, inputs, pass->params),
                          .dparams = rondo_cuda_arrays_of(layer, inputs, gradient->dparams),
                          .columns = rondo_gates(layer) * pass->hidden_size,
                          .hx_row = (int)rondo_cuda_kept_row(layer, inputs)};
  rondo_cuda_keep(plan, layer, inputs, pass->reserve, &back.kept);
  rondo_cuda_scratch_of(plan, layer, inputs, state->blas_workspace, pass->workspace, &back.scratch);
  TRY(rondo_cuda_begin_products(state, back.scratch.blas));
  if (gradient->dparams && !gradient->accumulate) TRY(clear_parameters(&back));
  if (layer->cell != RONDO_DENSE) return recurrence(&back);
  int nothing = !gradient->dy && !gradient->dy_last && !gradient->dx; /* forward may have kept nothing either */
  return nothing ? RONDO_OK : dense(&back);
}

static rondo_status backward_on_device(const rondo_plan *plan, const rondo_context *ctx,
                                       const rondo_gradient *gradient) {
  RETURN_ON_DEVICE(ctx, backward(plan, rondo_cuda_state_of(ctx), gradient));
}

/* DEVICE_ERROR whatever fails: see rondo_cuda_stepwise_forward. */
rondo_status rondo_cuda_training_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient) {
  return backward_on_device(plan, ctx, gradient) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
