/* training.c - training plans: memory, forward that keeps what backward needs, merging.
 *
 * Forward is that of stepwise.c on the plain matrices of canonical.h: the same kernels, and per timestep the same one
 * cuBLAS product and one kernel (cells.c has what options add, training_dropout.c what dropout does). It keeps what
 * these read anyway: the rows [h | x], and but for recompute the products that the cell is given. Per call there is one
 * hx_gather for each run of steps with equally many rows: one without lengths and mask, else as many as there are
 * different lengths; and for a GRU gru_spread, which makes the spread matrix and the sums of its biases. Backward is in
 * training_backward.c.
 *
 * Hoisted: one product has x @ W of all steps ahead, in the gates that are kept, and that of a step adds h @ R there.
 * It needs gates that are kept, that hold no more than the sums of both, and an x that all gates share. */
#include "training.h"
#include "hoisted.h"

#include <stdio.h>

enum { LARGEST = 1 << 22 }; /* H and F, as in stepwise.c */

#define CUBLAS_ALIGNMENT ((size_t)256) /* that cublasSetWorkspace demands */

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

rondo_cuda_arrays rondo_cuda_arrays_of(const rondo_layer *layer, size_t inputs, const void *base) {
  rondo_cuda_arrays arrays = {{NULL}};
  for (int i = 0; i < RONDO_CANONICAL_ARRAYS && base; i++) {
    rondo_matrix found = rondo_canonical(layer, inputs, rondo_canonical_order[i]);
    if (found.rows) arrays.at[rondo_canonical_order[i]] = (float *)base + found.offset; /* params are only read */
  }
  return arrays;
}

/* [h | x], filled up so that every row starts at 16 bytes; the fill is never read. */
size_t rondo_cuda_kept_row(const rondo_layer *layer, size_t inputs) {
  return (rondo_cuda_h_columns(layer) + inputs + 3) / 4 * 4;
}

/* count * size floats, if wanted. */
static float *take(rondo_arena *arena, int wanted, size_t count, size_t size) {
  return wanted ? rondo_arena_take(arena, count, rondo_size_mul(size, sizeof(float))) : NULL;
}

/* A caller's memory is aligned to RONDO_CALLER_ALIGNMENT only; cuBLAS's part must begin at 256 bytes. */
static rondo_arena aligned_arena(void *base) {
  uintptr_t aligned = ((uintptr_t)base + CUBLAS_ALIGNMENT - 1) / CUBLAS_ALIGNMENT * CUBLAS_ALIGNMENT;
  return (rondo_arena){.base = (unsigned char *)aligned};
}

size_t rondo_cuda_keep(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, void *base,
                       rondo_cuda_kept *kept) {
  rondo_arena arena = {.base = base};
  int dense = layer->cell == RONDO_DENSE;
  size_t n = (size_t)plan->desc.max_batch, t = (size_t)plan->desc.max_timesteps, units = (size_t)layer->hidden_size;
  size_t rows = rondo_size_mul(n, t);
  kept->hx = take(&arena, 1, rows, rondo_cuda_kept_row(layer, inputs));
  kept->gates =
      take(&arena, !layer->layer_norm && !plan->desc.recompute, rows, (size_t)rondo_cuda_columns(layer) * units);
  kept->h = take(&arena, layer->projection_size || layer->reset_before, rows, units);
  kept->row = dense ? NULL : rondo_arena_take(&arena, n, sizeof(rondo_row));
  kept->position = dense ? NULL : rondo_arena_take(&arena, rows, sizeof(int32_t));
  return arena.used;
}

/* The workspace of forward: what stepwise.c has and the reserve has not, and what canonical matrices become. */
typedef struct forward_scratch {
  rondo_cuda_parts parts;
  float *matrix; /* (O + F, 4H): the default GRU */
  float *bias;   /* (4H): GRU; zeros (G*H) of other layers without bias */
} forward_scratch;

static size_t carve_forward(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, size_t blas_bytes,
                            void *base, forward_scratch *f) {
  rondo_arena arena = aligned_arena(base);
  int dense = layer->cell == RONDO_DENSE, gru = layer->cell == RONDO_GRU;
  size_t n = (size_t)plan->desc.max_batch, t = (size_t)plan->desc.max_timesteps, units = (size_t)layer->hidden_size;
  size_t columns = (size_t)rondo_gates(layer) * units, output = (size_t)rondo_output_size(layer);
  *f = (forward_scratch){.parts = {.blas = rondo_arena_take(&arena, blas_bytes, 1)}};
  f->parts.gates = take(&arena, layer->layer_norm || plan->desc.recompute, dense ? rondo_size_mul(n, t) : n,
                        (size_t)rondo_cuda_columns(layer) * units);
  f->parts.recurrent = take(&arena, layer->layer_norm, n, columns);
  f->parts.c = take(&arena, layer->cell == RONDO_LSTM, n, units);
  f->parts.projected = take(&arena, layer->projection_size, n, output);
  f->parts.bits = dense ? NULL : rondo_arena_take(&arena, rondo_size_mul(n, (t + 31) / 32), sizeof(uint32_t));
  f->parts.masked = take(&arena, rondo_cuda_masks_h(layer), rondo_size_mul((size_t)rondo_cuda_columns(layer), n),
                         rondo_cuda_kept_row(layer, inputs));
  f->matrix = take(&arena, rondo_cuda_is_spread(layer), output + inputs, 4 * units);
  f->bias = take(&arena, gru || layer->no_bias, gru ? 4 : (size_t)rondo_gates(layer), units);
  return rondo_size_add(arena.used, CUBLAS_ALIGNMENT);
}

size_t rondo_cuda_scratch_of(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, size_t blas_bytes,
                             void *base, rondo_cuda_scratch *s) {
  rondo_arena arena = aligned_arena(base);
  int norm = layer->layer_norm != 0, lstm = layer->cell == RONDO_LSTM, gru = layer->cell == RONDO_GRU;
  int again = plan->desc.recompute != 0, masks = rondo_cuda_masks_h(layer);
  size_t n = (size_t)plan->desc.max_batch, rows = rondo_size_mul(n, (size_t)plan->desc.max_timesteps);
  size_t units = (size_t)layer->hidden_size, columns = (size_t)rondo_gates(layer) * units;
  size_t output = rondo_cuda_h_columns(layer);
  s->blas = rondo_arena_take(&arena, blas_bytes, 1);
  s->dh = take(&arena, 1, n, output);
  s->dc = take(&arena, lstm, n, units);
  s->c = take(&arena, lstm, n, units);
  s->old = take(&arena, lstm, rows, units);
  s->fresh = take(&arena, lstm && (norm || layer->peephole), rows, units);
  s->normal = take(&arena, lstm && norm, rows, units);
  s->gates = take(&arena, norm || again, rows, (size_t)rondo_cuda_columns(layer) * units);
  s->recurrent = take(&arena, norm, rows, columns);
  for (int i = 0; i < 3; i++) s->scales[i] = take(&arena, norm && (i < 2 || lstm), rows, 1);
  s->matrix = take(&arena, again && rondo_cuda_is_spread(layer), output + inputs, 4 * units);
  s->bias = take(&arena, gru, 4, units);
  s->dgates = take(&arena, 1, rows, columns);
  s->drecurrent = take(&arena, gru && !layer->reset_before, rows, columns);
  s->dproduct = take(&arena, norm, rows, columns);
  s->du = take(&arena, norm && lstm, rows, units);
  s->dprojected = take(&arena, layer->projection_size, rows, output);
  s->dhidden = take(&arena, layer->projection_size || layer->reset_before, n, units);
  s->dx = take(&arena, 1, rows, inputs);
  s->sums = take(&arena, 1, RONDO_CUDA_PARTS, columns);
  s->masked = take(&arena, masks || (again && layer->reset_before), rows, rondo_cuda_kept_row(layer, inputs));
  s->dcopies = take(&arena, masks, rondo_size_mul((size_t)rondo_gates(layer), n), output);
  return rondo_size_add(arena.used, CUBLAS_ALIGNMENT);
}

/* ---- Plan -------------------------------------------------------------------------------------------------------- */

/* Bytes of one kind of layer: the reserve's, and the workspace, if none so far needs more. */
static rondo_status measure(rondo_plan *plan, const rondo_cuda_state *state, const rondo_layer *layer, size_t inputs,
                            size_t *reserve) {
  forward_scratch forward;
  rondo_cuda_scratch backward;
  rondo_cuda_kept kept;
  const char *name = plan->algorithm->name;
  OFFER(layer->hidden_size <= LARGEST, "rondo_plan_create: hidden_size %d is not at most %d, the limit of cuda/%s",
        layer->hidden_size, LARGEST, name);
  OFFER(inputs <= LARGEST, "rondo_plan_create: input_size %zu is not at most %d, the limit of cuda/%s", inputs, LARGEST,
        name);
  *reserve = rondo_cuda_keep(plan, layer, inputs, NULL, &kept);
  size_t bytes[] = {carve_forward(plan, layer, inputs, state->blas_workspace, NULL, &forward),
                    rondo_cuda_scratch_of(plan, layer, inputs, state->blas_workspace, NULL, &backward)};
  for (int i = 0; i < 2; i++)
    if (bytes[i] > plan->layer_workspace) plan->layer_workspace = bytes[i];
  return RONDO_OK;
}

rondo_status rondo_cuda_training_prepare(rondo_plan *plan, const rondo_context *ctx) {
  const rondo_cuda_state *state = rondo_cuda_state_of(ctx);
  const rondo_plan_desc *desc = &plan->desc;
  OFFER(desc->max_timesteps <= INT32_MAX / desc->max_batch,
        "rondo_plan_create: max_batch %d with max_timesteps %d is not at most %d rows, the limit of training on cuda",
        desc->max_batch, desc->max_timesteps, INT32_MAX);
  plan->chunk = desc->max_timesteps;
  plan->layer_workspace = 0;
  for (int above = 0; above < (desc->layer.num_layers > 1 ? 2 : 1); above++)
    for (int d = 0; d < plan->directions; d++)
      TRY(measure(plan, state, &plan->direction[d], rondo_layer_inputs(plan, above), &plan->layer_reserve[above][d]));
  if (desc->layer.head_units) TRY(measure(plan, state, &plan->head, (size_t)plan->width, &plan->head_reserve));
  snprintf(plan->note, sizeof plan->note, "%d timesteps kept", plan->chunk);
  rondo_cuda_note_model(plan, ctx, plan->algorithm->id == RONDO_HOISTED);
  return RONDO_OK;
}

/* What keeps a layer from having all of x @ W in the reserve, where the steps add to it; NULL: nothing. */
static const char *obstacle(const rondo_plan *plan) {
  if (plan->desc.recompute) return "recompute";
  for (int d = 0; d < plan->directions; d++) {
    if (plan->direction[d].layer_norm) return "layer_norm";
    if (plan->direction[d].recurrent_dropout > 0) return "recurrent_dropout";
  }
  return NULL;
}

int rondo_cuda_trains_ahead(const rondo_plan *plan) {
  return !obstacle(plan);
}

rondo_status rondo_cuda_training_prepare_ahead(rondo_plan *plan, const rondo_context *ctx) {
  const char *what = obstacle(plan);
  OFFER(!what,
        "rondo_plan_create: algorithm RONDO_HOISTED with training and %s is not offered on cuda, only RONDO_STEPWISE",
        what);
  return rondo_cuda_training_prepare(plan, ctx);
}

/* ---- Forward ----------------------------------------------------------------------------------------------------- */

rondo_status rondo_cuda_begin_products(const rondo_cuda_state *state, void *workspace) {
  CUBLAS_TRY(cublasSetStream(state->blas, state->stream)); /* resets the workspace, so ours comes after */
  CUBLAS_TRY(cublasSetWorkspace(state->blas, workspace, state->blas_workspace));
  return RONDO_OK;
}

/* The canonical arrays as the cells of stepwise.c take them. */
static rondo_status arrange(rondo_cuda_run *run, const rondo_cuda_arrays *params, const forward_scratch *f) {
  const rondo_layer *layer = run->pass->layer;
  int dense = layer->cell == RONDO_DENSE, units = run->pass->hidden_size, output = run->pass->output_size;
  run->params = (rondo_cuda_params_parts){.matrix = params->at[dense ? RONDO_KERNEL : RONDO_RECURRENT_KERNEL],
                                          .bias = params->at[RONDO_BIAS],
                                          .peephole = params->at[RONDO_PEEPHOLE],
                                          .projection = params->at[RONDO_PROJECTION],
                                          .gamma_kernel = params->at[RONDO_GAMMA_KERNEL],
                                          .gamma_recurrent = params->at[RONDO_GAMMA_RECURRENT],
                                          .gamma_cell = params->at[RONDO_GAMMA_CELL],
                                          .beta_cell = params->at[RONDO_BETA_CELL]};
  if (f->bias) run->params.bias = f->bias;
  if (layer->cell == RONDO_GRU) {
    rondo_gru_spread_args args = {
        output + run->pass->input_size,   output,    units,  params->at[RONDO_RECURRENT_KERNEL], params->at[RONDO_BIAS],
        params->at[RONDO_RECURRENT_BIAS], f->matrix, f->bias};
    if (f->matrix) run->params.matrix = f->matrix;
    CUDA_TRY(rondo_gru_spread_cuda(&args, run->state->stream));
  } else if (f->bias) {
    size_t bytes = (size_t)rondo_gates(layer) * (size_t)units * sizeof(float);
    CUDA_TRY(cudaMemsetAsync(f->bias, 0, bytes, run->state->stream));
  }
  return RONDO_OK;
}

/* x (and before the first step h_0) of `steps` steps from run->step on. */
static rondo_status gather(const rondo_cuda_run *run, int steps, float *hx) {
  const rondo_pass *pass = run->pass;
  int output = (int)rondo_cuda_h_columns(pass->layer);
  rondo_hx_gather_args args = {.step = run->step,
                               .steps = steps,
                               .input_size = pass->input_size,
                               .output_size = output,
                               .batch = run->step.rows,
                               .x = pass->x,
                               .x_sequence = pass->x_sequence,
                               .x_timestep = pass->x_timestep,
                               .hx = hx,
                               .hx_row = run->hx_row,
                               .with_h = run->step.step == 0 && output > 0,
                               .h_0 = {pass->h_0, pass->h_stride}};
  CUDA_TRY(rondo_hx_gather_cuda(&args, run->state->stream));
  return RONDO_OK;
}

/* x of all steps, and h_0; *rows receives how many rows that is. */
static rondo_status gather_all(rondo_cuda_run *run, const rondo_cuda_kept *kept, int *rows) {
  const rondo_schedule *schedule = run->pass->schedule;
  *rows = 0;
  for (int start = 0, steps; start < schedule->steps; start += steps) {
    float *hx = kept->hx + (size_t)*rows * (size_t)run->hx_row;
    steps = rondo_cuda_equal_steps(schedule, start);
    run->step.rows = rondo_schedule_active(schedule, start);
    run->step.step = start;
    TRY(gather(run, steps, hx));
    TRY(rondo_cuda_mask_x(run, steps, hx));
    *rows += steps * run->step.rows;
  }
  return RONDO_OK;
}

/* gates of all steps = x @ W. */
static rondo_status project_x(const rondo_cuda_run *run, const rondo_cuda_kept *kept, int rows) {
  int columns = rondo_cuda_columns(run->pass->layer) * run->pass->hidden_size, output = run->pass->output_size;
  rondo_cuda_matrix x = {kept->hx + output, run->hx_row}, gates = {kept->gates, columns};
  rondo_cuda_matrix w = {(float *)run->params.matrix + (size_t)output * (size_t)columns, columns};
  return rows ? rondo_cuda_product(run, rows, columns, run->pass->input_size, x, w, 0, gates) : RONDO_OK;
}

static rondo_status recurrence(rondo_cuda_run *run, const rondo_cuda_kept *kept) {
  const rondo_schedule *schedule = run->pass->schedule;
  size_t units = (size_t)run->pass->hidden_size, columns = (size_t)rondo_cuda_columns(run->pass->layer) * units;
  size_t first = 0, row = (size_t)run->hx_row;
  int rows;
  TRY(rondo_cuda_rows_begin(run));
  TRY(gather_all(run, kept, &rows));
  if (run->ahead) TRY(project_x(run, kept, rows));
  for (int s = 0; s < schedule->steps; s++, first += (size_t)run->step.rows) {
    float *hx = kept->hx + first * row;
    run->step.step = s;
    run->step.rows = rondo_schedule_active(schedule, s);
    if (kept->gates) run->parts.gates = kept->gates + first * columns;
    if (kept->h) run->parts.h = kept->h + first * units;
    TRY(rondo_cuda_cell(run, hx, hx + (size_t)run->step.rows * row));
  }
  return rondo_cuda_rows_end(run);
}

static rondo_status dense(rondo_cuda_run *run, const rondo_cuda_kept *kept) {
  const rondo_pass *pass = run->pass;
  int units = pass->hidden_size;
  if (kept->gates) run->parts.gates = kept->gates;
  run->step = (rondo_step){.rows = pass->batch, .timesteps = pass->timesteps};
  TRY(gather(run, pass->timesteps, kept->hx));
  rondo_cuda_matrix x = {kept->hx, run->hx_row}, matrix = {run->params.matrix, units}, sums = {run->parts.gates, units};
  TRY(rondo_cuda_product(run, pass->batch * pass->timesteps, units, pass->input_size, x, matrix, 0, sums));
  rondo_dense_forward_args args = {.batch = pass->batch,
                                   .timesteps = pass->timesteps,
                                   .units = units,
                                   .sums = run->parts.gates,
                                   .bias = run->params.bias,
                                   .activation = pass->layer->activation,
                                   .y = pass->y,
                                   .y_sequence = pass->y_sequence,
                                   .y_timestep = pass->y_timestep,
                                   .y_last = {pass->y_last, pass->y_last_stride}};
  CUDA_TRY(rondo_dense_forward_cuda(&args, run->state->stream));
  return RONDO_OK;
}

static rondo_status forward(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass) {
  const rondo_layer *layer = pass->layer;
  size_t inputs = (size_t)pass->input_size;
  rondo_cuda_kept kept;
  forward_scratch scratch;
  rondo_cuda_arrays params = rondo_cuda_arrays_of(layer, inputs, pass->params);
  rondo_cuda_keep(plan, layer, inputs, pass->reserve, &kept);
  carve_forward(plan, layer, inputs, state->blas_workspace, pass->workspace, &scratch);
  rondo_cuda_run run = {.plan = plan,
                        .state = state,
                        .pass = pass,
                        .parts = scratch.parts,
                        .hx_row = (int)rondo_cuda_kept_row(layer, inputs),
                        .ahead = plan->algorithm->id == RONDO_HOISTED};
  run.parts.row = kept.row, run.parts.position = kept.position;
  TRY(rondo_cuda_begin_products(state, scratch.parts.blas));
  TRY(arrange(&run, &params, &scratch));
  return layer->cell == RONDO_DENSE ? dense(&run, &kept) : recurrence(&run, &kept);
}

static rondo_status forward_on_device(const rondo_plan *plan, const rondo_context *ctx, const rondo_pass *pass) {
  RETURN_ON_DEVICE(ctx, forward(plan, rondo_cuda_state_of(ctx), pass));
}

/* DEVICE_ERROR whatever fails: see rondo_cuda_stepwise_forward. */
rondo_status rondo_cuda_training_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  return forward_on_device(plan, ctx, pass) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}

/* ---- Merging ----------------------------------------------------------------------------------------------------- */

static rondo_status merge(const rondo_cuda_state *state, const rondo_merge_args *m) {
  rondo_merge_forward_args forward = {m->merge, m->batch, m->timesteps,  m->columns,   m->a,
                                      m->b,     m->y,     m->y_sequence, m->y_timestep};
  rondo_merge_backward_args backward = {m->merge, m->batch,      m->timesteps,  m->columns, m->a, m->b,
                                        m->dy,    m->y_sequence, m->y_timestep, m->da,      m->db};
  if (m->y)
    CUDA_TRY(rondo_merge_forward_cuda(&forward, state->stream));
  else
    CUDA_TRY(rondo_merge_backward_cuda(&backward, state->stream));
  return RONDO_OK;
}

static rondo_status merge_on_device(const rondo_context *ctx, const rondo_merge_args *args) {
  RETURN_ON_DEVICE(ctx, merge(rondo_cuda_state_of(ctx), args));
}

rondo_status rondo_cuda_training_merge(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args) {
  (void)plan;
  return merge_on_device(ctx, args) == RONDO_OK ? RONDO_OK : RONDO_DEVICE_ERROR;
}
