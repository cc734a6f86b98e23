/* training_dropout.c - dropout and recurrent_dropout: where rows and gradients meet the masks of a pass; and drawing.
 *
 *   dropout alone       has one mask for all gates: x is masked once, where hx_gather has put it, and so is dx.
 *   recurrent_dropout   has masks for each gate, K of them, so the product of a step is one for each:
 *                           masked (K, R, row) = [h * recurrent_mask_g | x * input_mask_g]              mask_rows
 *                           gates_g (R, H) = masked_g @ [R_g; W_g]                    all K are one call of cuBLAS
 *                       and backward
 *                           dcopies_g (R, O) = d_g (R, H) @ R_g^T                     all K are one call of cuBLAS
 *                           dh = the sum over g of dcopies_g * recurrent_mask_g                         mask_sums
 *
 * What cells read beside their products, such as the h of z * h in a GRU, is not masked, so hx keeps h as it is. What
 * is done with all rows at once goes gate by gate, for lack of room for K copies of them. */
#include "training.h"

/* ---- products of each gate --------------------------------------------------------------------------------------- */

/* count products at distances of so many floats: to (rows, columns) = a (rows, inner) @ b (inner, columns). */
typedef struct each {
  int count, rows, columns, inner;
  rondo_cuda_operand a, b;
  rondo_cuda_matrix to;
  size_t a_next, b_next, to_next;
} each;

static rondo_status multiply_each(const rondo_plan *plan, const rondo_cuda_state *state, const each *e) {
  const float one = 1, zero = 0;
  cublasComputeType_t compute = plan->desc.allow_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  cublasOperation_t of_b = e->b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  /* Column-major, a row-major matrix is its transpose: to^T = b^T @ a^T. */
  CUBLAS_TRY(cublasGemmStridedBatchedEx(state->blas, of_b, CUBLAS_OP_N, e->columns, e->rows, e->inner, &one, e->b.at,
                                        CUDA_R_32F, e->b.stride, (long long)e->b_next, e->a.at, CUDA_R_32F, e->a.stride,
                                        (long long)e->a_next, &zero, e->to.at, CUDA_R_32F, e->to.stride,
                                        (long long)e->to_next, e->count, compute, CUBLAS_GEMM_DEFAULT));
  return RONDO_OK;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

rondo_status rondo_cuda_mask_x(const rondo_cuda_run *run, int steps, float *hx) {
  const rondo_pass *pass = run->pass;
  float *x = hx + pass->output_size;
  if (!pass->input_mask || pass->recurrent_mask) return RONDO_OK;
  rondo_mask_rows_args args = {.step = run->step,
                               .steps = steps,
                               .input_size = pass->input_size,
                               .copies = 1,
                               .masks = pass->masks,
                               .input_mask = pass->input_mask,
                               .x = {x, run->hx_row},
                               .to = x,
                               .to_row = run->hx_row};
  CUDA_TRY(rondo_mask_rows_cuda(&args, run->state->stream));
  return RONDO_OK;
}

/* Of the rows of a step, a copy for each of count gates. */
static rondo_status copy_rows(const rondo_cuda_run *run, const float *hx, int first, int count) {
  const rondo_pass *pass = run->pass;
  rondo_mask_rows_args args = {.step = run->step,
                               .steps = 1,
                               .output_size = pass->output_size,
                               .input_size = pass->input_size,
                               .copies = count,
                               .first = first,
                               .masks = pass->masks,
                               .recurrent_mask = pass->recurrent_mask,
                               .input_mask = pass->input_mask,
                               .h = {hx, run->hx_row},
                               .x = {hx + pass->output_size, run->hx_row},
                               .to = run->parts.masked,
                               .to_row = run->hx_row};
  CUDA_TRY(rondo_mask_rows_cuda(&args, run->state->stream));
  return RONDO_OK;
}

/* Columns of count gates of to (R, K) = `inner` columns of the copies, from `begin` on, @ those rows of the matrix. */
static rondo_status multiply_copies(const rondo_cuda_run *run, int begin, int inner, int first, int count, float *to) {
  size_t units = (size_t)run->pass->hidden_size, all = (size_t)rondo_cuda_columns(run->pass->layer) * units;
  each e = {.count = count,
            .rows = run->step.rows,
            .columns = (int)units,
            .inner = inner,
            .a = {run->parts.masked + begin, run->hx_row, 0},
            .b = {(float *)run->params.matrix + (size_t)begin * all + (size_t)first * units, (int)all, 0},
            .to = {to + (size_t)first * units, (int)all},
            .a_next = (size_t)run->step.rows * (size_t)run->hx_row,
            .b_next = units,
            .to_next = units};
  return multiply_each(run->plan, run->state, &e);
}

rondo_status rondo_cuda_project_masked(const rondo_cuda_run *run, const float *hx, int first, int count) {
  TRY(copy_rows(run, hx, first, count));
  return multiply_copies(run, 0, run->pass->output_size + run->pass->input_size, first, count, run->parts.gates);
}

rondo_status rondo_cuda_project_masked_apart(const rondo_cuda_run *run, const float *hx) {
  int output = run->pass->output_size, gates = rondo_cuda_columns(run->pass->layer);
  TRY(copy_rows(run, hx, 0, gates));
  TRY(multiply_copies(run, output, run->pass->input_size, 0, gates, run->parts.gates));
  return multiply_copies(run, 0, output, 0, gates, run->parts.recurrent);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

rondo_status rondo_cuda_masked_to_h(const rondo_cuda_back *back, const float *by_h, int first, int gates, int add,
                                    float *dh) {
  const rondo_pass *pass = back->pass;
  size_t units = (size_t)pass->hidden_size;
  each e = {.count = gates,
            .rows = back->step.rows,
            .columns = pass->output_size,
            .inner = (int)units,
            .a = {by_h, back->columns, 0},
            .b = {back->params.at[RONDO_RECURRENT_KERNEL] + (size_t)first * units, back->columns, 1},
            .to = {back->scratch.dcopies, pass->output_size},
            .a_next = units,
            .b_next = units,
            .to_next = (size_t)back->step.rows * (size_t)pass->output_size};
  TRY(multiply_each(back->plan, back->state, &e));
  rondo_mask_sums_args args = {.step = back->step,
                               .steps = 1,
                               .columns = pass->output_size,
                               .copies = gates,
                               .first = first,
                               .masks = pass->masks,
                               .from = back->scratch.dcopies,
                               .mask = pass->recurrent_mask,
                               .to = dh,
                               .add = add};
  CUDA_TRY(rondo_mask_sums_cuda(&args, back->state->stream));
  return RONDO_OK;
}

/* ---- all rows at once, which is a launch for each run of steps with equally many rows ---------------------------- */

rondo_status rondo_cuda_mask_all(const rondo_cuda_back *back, rondo_const_rows h, int gate) {
  const rondo_pass *pass = back->pass;
  size_t row = (size_t)back->hx_row, first = 0;
  for (int start = 0, steps; start < pass->schedule->steps; start += steps) {
    steps = rondo_cuda_equal_steps(pass->schedule, start);
    rondo_mask_rows_args args = {.step = back->step,
                                 .steps = steps,
                                 .output_size = pass->output_size,
                                 .input_size = pass->input_size,
                                 .copies = 1,
                                 .first = gate,
                                 .masks = pass->masks,
                                 .recurrent_mask = pass->recurrent_mask,
                                 .input_mask = pass->recurrent_mask ? pass->input_mask : NULL,
                                 .h = {h.at + first * (size_t)h.stride, h.stride},
                                 .x = {back->kept.hx + first * row + pass->output_size, back->hx_row},
                                 .to = back->scratch.masked + first * row,
                                 .to_row = back->hx_row};
    args.step.rows = rondo_schedule_active(pass->schedule, start);
    CUDA_TRY(rondo_mask_rows_cuda(&args, back->state->stream));
    first += (size_t)steps * (size_t)args.step.rows;
  }
  return RONDO_OK;
}

/* dx (M, F) = or += from (M, F) * the mask of a gate. */
static rondo_status unmask_x(const rondo_cuda_back *back, const float *from, int gate) {
  const rondo_pass *pass = back->pass;
  size_t inputs = (size_t)pass->input_size, first = 0;
  for (int start = 0, steps; start < pass->schedule->steps; start += steps) {
    steps = rondo_cuda_equal_steps(pass->schedule, start);
    rondo_mask_sums_args args = {.step = back->step,
                                 .steps = steps,
                                 .columns = pass->input_size,
                                 .copies = 1,
                                 .first = gate,
                                 .masks = pass->masks,
                                 .from = from + first * inputs,
                                 .mask = pass->input_mask,
                                 .to = back->scratch.dx + first * inputs,
                                 .add = gate > 0};
    args.step.rows = rondo_schedule_active(pass->schedule, start);
    CUDA_TRY(rondo_mask_sums_cuda(&args, back->state->stream));
    first += (size_t)steps * (size_t)args.step.rows;
  }
  return RONDO_OK;
}

rondo_status rondo_cuda_masked_dx(const rondo_cuda_back *back) {
  const rondo_cuda_scratch *s = &back->scratch;
  int columns = back->columns, width = columns / back->pass->masks, inputs = back->pass->input_size;
  for (int g = 0; g < back->pass->masks; g++) {
    float *to = g ? s->masked : s->dx;
    rondo_cuda_operand a = {s->dgates + g * width, columns, 0},
                       w = {back->params.at[RONDO_KERNEL] + g * width, columns, 1};
    TRY(rondo_cuda_multiply(back, back->rows, inputs, width, a, w, 0, (rondo_cuda_matrix){to, inputs}));
    TRY(unmask_x(back, to, g));
  }
  return RONDO_OK;
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

static rondo_status draw(const rondo_cuda_state *state, const rondo_draw_mask_args *args) {
  CUDA_TRY(rondo_draw_mask_cuda(args, state->stream));
  return RONDO_OK;
}

static rondo_status draw_on_device(const rondo_context *ctx, const rondo_draw_mask_args *args) {
  RETURN_ON_DEVICE(ctx, draw(rondo_cuda_state_of(ctx), args));
}

/* DEVICE_ERROR whatever fails: see rondo_cuda_stepwise_forward. */
rondo_status rondo_cuda_draw_mask(rondo_context *ctx, float *mask, size_t count, const rondo_dropout *how) {
  rondo_draw_mask_args args = {mask, count, how->rate, how->seed, how->sequence};
  return draw_on_device(ctx, &args) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}

static rondo_status drop(const rondo_cuda_state *state, const rondo_drop_args *args) {
  CUDA_TRY(rondo_drop_cuda(args, state->stream));
  return RONDO_OK;
}

static rondo_status drop_on_device(const rondo_context *ctx, const rondo_drop_args *args) {
  RETURN_ON_DEVICE(ctx, drop(rondo_cuda_state_of(ctx), args));
}

rondo_status rondo_cuda_drop(rondo_context *ctx, float *v, size_t count, const rondo_dropout *how) {
  rondo_drop_args args = {v, count, how->rate, how->seed, how->sequence};
  return drop_on_device(ctx, &args) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
