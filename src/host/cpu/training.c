/* training.c - a call of training: its memory, where its rows are, its threads. */
#include "cpu/training.h"

#include "cpu/float_mode.h"
#include "error.h"

#include <stdio.h>
#include <string.h>

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Functions whose derivative is known from what they gave; SOFTMAX is DENSE's own matter. */
static int is_plain(rondo_function function) {
  switch (function.kind) {
    case RONDO_TANH:
    case RONDO_SIGMOID:
    case RONDO_RELU:
    case RONDO_LINEAR:
    case RONDO_EXPONENTIAL:
    case RONDO_AFFINE:
    case RONDO_SOFTMAX: return 1;
    default: return 0;
  }
}

static int needs_slopes(const rondo_layer *layer) {
  return layer->clip > 0 || !is_plain(layer->activation) || !is_plain(layer->recurrent_activation) ||
         !is_plain(layer->output_activation);
}

static float *floats(rondo_arena *arena, size_t rows, size_t columns) {
  return rondo_arena_take(arena, rondo_size_mul(rows, columns), sizeof(float));
}

static size_t most_rows(const rondo_plan *plan) {
  return rondo_size_mul((size_t)plan->desc.max_batch, (size_t)plan->desc.max_timesteps);
}

static void carve_kept_lstm(const rondo_layer *layer, size_t rows, rondo_arena *arena, rondo_cpu_training_kept *kept) {
  size_t units = (size_t)layer->hidden_size;
  kept->c = floats(arena, rows, units);
  kept->cell = layer->zoneout_cell > 0 ? floats(arena, rows, units) : kept->c;
  kept->value = floats(arena, rows, units);
  if (needs_slopes(layer)) kept->value_slopes = floats(arena, rows, units);
  if (layer->projection_size) kept->hidden = floats(arena, rows, units);
  if (!layer->layer_norm) return;
  kept->normal_cell = floats(arena, rows, units);
  kept->scale_cell = floats(arena, rows, 1);
}

static rondo_cpu_training_kept carve_kept(const rondo_plan *plan, const rondo_layer *layer, rondo_arena *arena) {
  size_t rows = most_rows(plan), units = (size_t)layer->hidden_size, columns = (size_t)rondo_gates(layer) * units;
  rondo_cpu_training_kept kept = {.gates = floats(arena, rows, columns)};
  if (needs_slopes(layer)) kept.slopes = floats(arena, rows, columns);
  kept.h = layer->cell == RONDO_DENSE ? kept.gates : floats(arena, rows, (size_t)rondo_output_size(layer));
  if (layer->cell == RONDO_LSTM) carve_kept_lstm(layer, rows, arena, &kept);
  if (layer->cell == RONDO_GRU) kept.recurrent = floats(arena, rows, units);
  if (!layer->layer_norm) return kept;
  kept.normal_x = floats(arena, rows, columns), kept.scale_x = floats(arena, rows, 1);
  kept.normal_h = floats(arena, rows, columns), kept.scale_h = floats(arena, rows, 1);
  return kept;
}

/* A packed matrix (depth, columns). */
static float *packed(rondo_arena *arena, int lanes, size_t depth, size_t columns) {
  return floats(arena, depth, rondo_blocks(lanes, columns) * (size_t)lanes);
}

static size_t largest(size_t a, size_t b) {
  return a > b ? a : b;
}

static void carve_gradients(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, int lanes,
                            rondo_arena *arena, rondo_cpu_training_work *work) {
  size_t rows = most_rows(plan), batch = (size_t)plan->desc.max_batch, units = (size_t)layer->hidden_size;
  size_t columns = (size_t)rondo_gates(layer) * units, outputs = (size_t)rondo_output_size(layer);
  int gru = layer->cell == RONDO_GRU, lstm = layer->cell == RONDO_LSTM;
  work->d_input = floats(arena, rows, columns);
  work->d_recurrent = gru && !layer->reset_before ? floats(arena, rows, columns) : work->d_input;
  work->d_product = layer->layer_norm ? floats(arena, rows, columns) : work->d_recurrent;
  if (layer->projection_size) work->d_projected = floats(arena, rows, outputs);
  if (layer->layer_norm && lstm) work->d_normal = floats(arena, rows, units);
  if (layer->reset_before) work->d_reset = floats(arena, batch, units);
  if (lstm) work->dc = floats(arena, batch, units);
  work->dh = floats(arena, batch, outputs);
  work->d_hidden = floats(arena, batch, units);
  work->turned = floats(arena, largest(inputs, units), RONDO_GEMM_DEPTH);
  work->packed = packed(arena, lanes, RONDO_GEMM_DEPTH, columns);
}

static rondo_cpu_training_work carve_work(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, int lanes,
                                          int backward, rondo_arena *arena) {
  size_t rows = most_rows(plan), units = (size_t)layer->hidden_size, columns = (size_t)rondo_gates(layer) * units;
  size_t outputs = (size_t)rondo_output_size(layer);
  rondo_cpu_training_work work = {0};
  work.first = rondo_arena_take(arena, (size_t)plan->desc.max_timesteps + 1, sizeof *work.first);
  work.x = rondo_arena_take(arena, rows, sizeof *work.x);
  work.h_before = rondo_arena_take(arena, rows, sizeof *work.h_before);
  work.c_before = rondo_arena_take(arena, rows, sizeof *work.c_before);
  work.zeros = floats(arena, 1, units);
  if (backward) {
    work.dx = rondo_arena_take(arena, rows, sizeof *work.dx);
    work.kernel = packed(arena, lanes, columns, inputs);
    work.recurrent[0] = packed(arena, lanes, columns, outputs);
    if (layer->projection_size) work.projection = packed(arena, lanes, outputs, units);
    carve_gradients(plan, layer, inputs, lanes, arena, &work);
    return work;
  }
  rondo_cpu_training_part parts[2];
  int count = rondo_cpu_training_parts(layer, parts);
  work.kernel = packed(arena, lanes, inputs, columns);
  for (int i = 0; i < count; i++) work.recurrent[i] = packed(arena, lanes, outputs, parts[i].columns);
  if (layer->projection_size) work.projection = packed(arena, lanes, units, outputs);
  return work;
}

static const rondo_cpu_training_kernels *kernels_of(int variant) {
  switch ((rondo_isa)variant) {
#if defined(__x86_64__)
    case RONDO_ISA_AVX2: return &rondo_cpu_training_kernels_avx2;
    case RONDO_ISA_AVX512: return &rondo_cpu_training_kernels_avx512;
#endif
    default: return &rondo_cpu_training_kernels_portable;
  }
}

static size_t reserve_bytes(const rondo_plan *plan, const rondo_layer *layer) {
  rondo_arena arena = {0};
  carve_kept(plan, layer, &arena);
  return arena.used;
}

static void need_work(rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  for (int backward = 0; backward < 2; backward++) {
    rondo_arena arena = {0};
    carve_work(plan, layer, inputs, kernels_of(plan->variant)->gemm.lanes, backward, &arena);
    plan->layer_workspace = largest(plan->layer_workspace, arena.used);
  }
}

rondo_status rondo_cpu_training_prepare(rondo_plan *plan, const rondo_context *ctx) {
  int above = plan->desc.layer.num_layers > 1;
  for (int d = 0; d < plan->directions; d++)
    for (int i = 0; i <= above; i++) {
      plan->layer_reserve[i][d] = reserve_bytes(plan, &plan->direction[d]);
      need_work(plan, &plan->direction[d], rondo_layer_inputs(plan, i));
    }
  if (plan->head.hidden_size) {
    plan->head_reserve = reserve_bytes(plan, &plan->head);
    need_work(plan, &plan->head, (size_t)plan->width);
  }
  plan->chunk = plan->desc.max_timesteps;
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_of((rondo_isa)ctx->variant);
  snprintf(plan->note, sizeof plan->note, "%s %d lanes", kernels->name, kernels->lanes);
  return RONDO_OK;
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* The tables of one sequence. */
static void find_sequence(const rondo_cpu_training *call, int r) {
  const rondo_pass *pass = call->pass;
  const rondo_gradient *g = call->gradient;
  const rondo_cpu_training_work *w = &call->work;
  int n = rondo_schedule_row(&call->schedule, r), restart = pass->restart && pass->restart[n];
  ptrdiff_t state = rondo_cpu_training_state_row(pass, n);
  const float *h = pass->h_0 && !restart ? pass->h_0 + state * pass->h_stride : w->zeros;
  const float *c = pass->c_0 && !restart ? pass->c_0 + state * pass->c_stride : w->zeros;
  for (int s = 0; s < rondo_schedule_count(&call->schedule, r); s++) {
    size_t row = w->first[s] + (size_t)r;
    int p = rondo_schedule_position(&call->schedule, n, s);
    w->x[row] = (float *)pass->x + n * pass->x_sequence + p * pass->x_timestep;
    w->h_before[row] = (float *)h;
    w->c_before[row] = (float *)c;
    if (g && g->dx) w->dx[row] = g->dx + n * g->dx_sequence + p * g->dx_timestep;
    if (call->kept.h) h = call->kept.h + row * call->outputs;
    if (call->kept.c) c = call->kept.c + row * call->units;
  }
}

void rondo_cpu_training_find_rows(const rondo_cpu_training *call, rondo_range sequences) {
  for (size_t r = sequences.begin; r < sequences.end; r++) find_sequence(call, (int)r);
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

/* As many threads as have enough to do: in a step, and in the call. */
static int choose_threads(const rondo_cpu_training *call, const rondo_cpu_state *state) {
  size_t recurrent = call->layer->cell == RONDO_DENSE ? 0 : call->outputs;
  size_t work = rondo_size_mul(call->rows, call->columns * (recurrent + call->inputs));
  size_t most = (size_t)rondo_pool_threads(state->pool), by_call = work / state->call_work, by_step = by_call;
  if (recurrent && call->schedule.steps) by_step = work / (size_t)call->schedule.steps / state->step_work;
  size_t threads = by_call < by_step ? by_call : by_step;
  return (int)(threads < 1 ? 1 : threads > most ? most : threads);
}

static void find_weights(rondo_cpu_training *call) {
  for (int i = 0; i < RONDO_CANONICAL_ARRAYS; i++) {
    rondo_param which = rondo_canonical_order[i];
    rondo_matrix array = rondo_canonical(call->layer, call->inputs, which);
    if (array.rows) call->weights[which] = (const float *)call->pass->params + array.offset;
  }
}

/* Every position is a row of its own. Without any gradient by its outputs there are none: x and the reserve may then be
 * those of a pass that forward had no use for. */
static rondo_schedule dense_schedule(const rondo_pass *pass, const rondo_gradient *gradient) {
  int steps = gradient && !gradient->dy && !gradient->dy_last ? 0 : pass->timesteps;
  return (rondo_schedule){.batch = pass->batch, .timesteps = steps, .steps = steps, .full = 1};
}

static void run(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass, const rondo_gradient *gradient) {
  rondo_cpu_state *state = ctx->state;
  const rondo_layer *layer = pass->layer;
  rondo_arena reserve = {.base = pass->reserve}, workspace = {.base = pass->workspace};
  rondo_cpu_training call = {.pass = pass,
                             .gradient = gradient,
                             .layer = layer,
                             .schedule = *pass->schedule,
                             .functions = rondo_cpu_kernels_of((rondo_isa)plan->variant),
                             .kernels = kernels_of(plan->variant),
                             .pool = state->pool,
                             .inputs = (size_t)pass->input_size,
                             .units = (size_t)pass->hidden_size,
                             .outputs = (size_t)pass->output_size,
                             .columns = (size_t)rondo_gates(layer) * (size_t)pass->hidden_size,
                             .kept = carve_kept(plan, layer, &reserve)};
  call.work = carve_work(plan, layer, call.inputs, call.kernels->gemm.lanes, gradient != NULL, &workspace);
  find_weights(&call);
  if (layer->cell == RONDO_DENSE) call.schedule = dense_schedule(pass, gradient);
  for (int s = 0; s < call.schedule.steps; s++) {
    call.work.first[s] = call.rows;
    call.rows += (size_t)rondo_schedule_active(&call.schedule, s);
  }
  call.work.first[call.schedule.steps] = call.rows;
  memset(call.work.zeros, 0, call.units * sizeof(float));
  call.threads = choose_threads(&call, state);
  unsigned mode = rondo_enter_float_mode();
  rondo_pool_run(state->pool, call.threads,
                 gradient ? rondo_cpu_training_backward_thread : rondo_cpu_training_forward_thread, &call);
  rondo_leave_float_mode(mode);
}

rondo_status rondo_cpu_training_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  run(plan, ctx, pass, NULL);
  return RONDO_OK;
}

rondo_status rondo_cpu_training_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient) {
  run(plan, ctx, &gradient->pass, gradient);
  return RONDO_OK;
}
