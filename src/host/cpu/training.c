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

/* Where the pieces of a pass lie: what the reserve keeps in any case, and the rest of what backward reads. */
typedef struct places {
  rondo_arena reserve, workspace, *rest;
  int remakes; /* a backward that fills the rest */
} places;

static places make_places(const rondo_plan *plan, void *reserve, void *workspace, int backward) {
  return (places){{.base = reserve}, {.base = workspace}, NULL, backward && plan->desc.recompute};
}

/* c is read while the cell is made again. */
static void carve_kept_lstm(const rondo_layer *layer, size_t rows, places *at, rondo_cpu_training_kept *kept) {
  size_t units = (size_t)layer->hidden_size;
  rondo_arena *arena = at->rest;
  kept->c = floats(&at->reserve, rows, units);
  kept->cell = layer->zoneout_cell > 0 || at->remakes ? floats(arena, rows, units) : kept->c;
  kept->value = floats(arena, rows, units);
  if (needs_slopes(layer)) kept->value_slopes = floats(arena, rows, units);
  if (layer->projection_size) kept->hidden = floats(arena, rows, units);
  if (!layer->layer_norm) return;
  kept->normal_cell = floats(arena, rows, units);
  kept->scale_cell = floats(arena, rows, 1);
}

static rondo_cpu_training_kept carve_kept(const rondo_plan *plan, const rondo_layer *layer, places *at) {
  rondo_arena *arena = at->rest = plan->desc.recompute ? &at->workspace : &at->reserve;
  size_t rows = most_rows(plan), units = (size_t)layer->hidden_size, columns = (size_t)rondo_gates(layer) * units;
  rondo_cpu_training_kept kept = {.gates = floats(arena, rows, columns)};
  if (needs_slopes(layer)) kept.slopes = floats(arena, rows, columns);
  kept.h = layer->cell == RONDO_DENSE ? kept.gates : floats(&at->reserve, rows, (size_t)rondo_output_size(layer));
  if (layer->cell == RONDO_LSTM) carve_kept_lstm(layer, rows, at, &kept);
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

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* What forward multiplies by. */
static void carve_weights(const rondo_layer *layer, size_t inputs, int lanes, rondo_arena *arena,
                          rondo_cpu_training_work *work) {
  size_t units = (size_t)layer->hidden_size, outputs = (size_t)rondo_output_size(layer);
  rondo_cpu_training_parts of_x = rondo_cpu_training_input_parts(layer);
  rondo_cpu_training_parts of_h = rondo_cpu_training_recurrent_parts(layer);
  for (int i = 0; i < of_x.count; i++) work->kernel[i] = packed(arena, lanes, inputs, of_x.part[i].columns);
  for (int i = 0; i < of_h.count; i++) work->recurrent[i] = packed(arena, lanes, outputs, of_h.part[i].columns);
  if (layer->projection_size) work->projection = packed(arena, lanes, units, outputs);
}

static void carve_masks(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, rondo_arena *arena,
                        rondo_cpu_training_work *work) {
  size_t rows = most_rows(plan), states = rondo_size_mul((size_t)plan->desc.max_batch, (size_t)rondo_gates(layer));
  if (layer->dropout > 0) {
    work->input_mask = rondo_arena_take(arena, rows, sizeof *work->input_mask);
    work->masked_x = floats(arena, rows, inputs);
  }
  if (layer->recurrent_dropout > 0) {
    work->recurrent_mask = rondo_arena_take(arena, rows, sizeof *work->recurrent_mask);
    work->masked_h = floats(arena, states, (size_t)rondo_output_size(layer));
  }
}

static void carve_gradients(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, int lanes,
                            rondo_arena *arena, rondo_cpu_training_work *work) {
  size_t rows = most_rows(plan), batch = (size_t)plan->desc.max_batch, units = (size_t)layer->hidden_size;
  size_t columns = (size_t)rondo_gates(layer) * units, outputs = (size_t)rondo_output_size(layer);
  int gru = layer->cell == RONDO_GRU, lstm = layer->cell == RONDO_LSTM;
  work->kernel_turned = packed(arena, lanes, columns, inputs);
  work->recurrent_turned = packed(arena, lanes, columns, outputs);
  if (layer->projection_size) work->projection_turned = packed(arena, lanes, outputs, units);
  work->d_input = floats(arena, rows, columns);
  work->d_recurrent = gru && !layer->reset_before ? floats(arena, rows, columns) : work->d_input;
  work->d_product = layer->layer_norm ? floats(arena, rows, columns) : work->d_recurrent;
  if (layer->projection_size) work->d_projected = floats(arena, rows, outputs);
  if (layer->layer_norm && lstm) work->d_normal = floats(arena, rows, units);
  if (layer->reset_before) work->d_reset = floats(arena, batch, units);
  if (lstm) work->dc = floats(arena, batch, units);
  work->dh = floats(arena, batch, outputs);
  work->d_hidden = floats(arena, batch, units);
  work->turned = floats(arena, rondo_size_mul(2, inputs + units), rondo_outer_piece(rows));
  work->packed = packed(arena, lanes, 2 * rondo_outer_piece(rows), columns);
}

static rondo_cpu_training_work carve_work(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, int lanes,
                                          int backward, rondo_arena *arena) {
  size_t rows = most_rows(plan);
  rondo_cpu_training_work work = {0};
  work.first = rondo_arena_take(arena, (size_t)plan->desc.max_timesteps + 1, sizeof *work.first);
  work.x = rondo_arena_take(arena, rows, sizeof *work.x);
  work.h_before = rondo_arena_take(arena, rows, sizeof *work.h_before);
  work.c_before = rondo_arena_take(arena, rows, sizeof *work.c_before);
  work.zeros = floats(arena, 1, (size_t)layer->hidden_size);
  carve_masks(plan, layer, inputs, arena, &work);
  if (!backward || plan->desc.recompute) carve_weights(layer, inputs, lanes, arena, &work);
  if (!backward) return work;
  work.dx = rondo_arena_take(arena, rows, sizeof *work.dx);
  carve_gradients(plan, layer, inputs, lanes, arena, &work);
  return work;
}

static const rondo_cpu_training_kernels *kernels_of(int variant) {
  switch ((rondo_isa)variant) {
#if defined(__x86_64__)
    case RONDO_ISA_AVX2: return &rondo_cpu_training_kernels_avx2;
    case RONDO_ISA_AVX512:
    case RONDO_ISA_AVX512_BF16:
    case RONDO_ISA_AMX: return &rondo_cpu_training_kernels_avx512;
#endif
    default: return &rondo_cpu_training_kernels_portable;
  }
}

static size_t reserve_bytes(const rondo_plan *plan, const rondo_layer *layer) {
  places at = make_places(plan, NULL, NULL, 0);
  carve_kept(plan, layer, &at);
  return at.reserve.used;
}

static void need_work(rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  for (int backward = 0; backward < 2; backward++) {
    places at = make_places(plan, NULL, NULL, backward);
    carve_kept(plan, layer, &at);
    carve_work(plan, layer, inputs, kernels_of(plan->variant)->gemm.lanes, backward, &at.workspace);
    plan->layer_workspace = largest(plan->layer_workspace, at.workspace.used);
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
  char threads[32] = "";
  if (plan->desc.threads)
    snprintf(threads, sizeof threads, ", %d thread%s as asked", plan->desc.threads, plan->desc.threads == 1 ? "" : "s");
  snprintf(plan->note, sizeof plan->note, "%s %d lanes%s", kernels->name, kernels->lanes, threads);
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
  size_t masks = (size_t)n * (size_t)pass->masks;
  for (int s = 0; s < rondo_schedule_count(&call->schedule, r); s++) {
    size_t row = w->first[s] + (size_t)r;
    int p = rondo_schedule_position(&call->schedule, n, s);
    w->x[row] = (float *)pass->x + n * pass->x_sequence + p * pass->x_timestep;
    w->h_before[row] = (float *)h;
    w->c_before[row] = (float *)c;
    if (w->input_mask) w->input_mask[row] = (float *)pass->input_mask + masks * call->inputs;
    if (w->recurrent_mask) w->recurrent_mask[row] = (float *)pass->recurrent_mask + masks * call->outputs;
    if (g && g->dx) w->dx[row] = g->dx + n * g->dx_sequence + p * g->dx_timestep;
    if (call->kept.h) h = call->kept.h + row * call->outputs;
    if (call->kept.c) c = call->kept.c + row * call->units;
  }
}

void rondo_cpu_training_find_rows(const rondo_cpu_training *call, rondo_range sequences) {
  for (size_t r = sequences.begin; r < sequences.end; r++) find_sequence(call, (int)r);
}

/* The first row of the schedule of part `index`, when parts are sequences with about as many steps. */
static size_t part_begin(const rondo_cpu_training *call, int index) {
  size_t before = call->rows * (size_t)index / (size_t)call->threads, steps = 0, r = 0;
  while (steps < before) steps += (size_t)rondo_schedule_count(&call->schedule, (int)r++);
  return r;
}

rondo_cpu_training rondo_cpu_training_alone(const rondo_cpu_training *call, int thread) {
  rondo_cpu_training alone = *call;
  rondo_cpu_training_work *w = &alone.work;
  if (!call->apart) return alone;
  alone.threads = 1;
  alone.sequences = (rondo_range){part_begin(call, thread), part_begin(call, thread + 1)};
  size_t begin = alone.sequences.begin, masks = (size_t)call->recurrent_parts.count;
  if (w->masked_h) w->masked_h += begin * masks * call->outputs;
  if (w->dh) w->dh += begin * call->outputs;
  if (w->dc) w->dc += begin * call->units;
  if (w->d_hidden) w->d_hidden += begin * call->units;
  if (w->d_reset) w->d_reset += begin * call->units;
  return alone;
}

rondo_range rondo_cpu_training_step(const rondo_cpu_training *call, int s) {
  size_t first = call->work.first[s], active = call->work.first[s + 1] - first;
  return (rondo_range){first + least(call->sequences.begin, active), first + least(call->sequences.end, active)};
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

/* Gates one by one; or together. */
static rondo_cpu_training_parts split(const rondo_layer *layer, int apart) {
  size_t units = (size_t)layer->hidden_size, gates = (size_t)rondo_gates(layer);
  rondo_cpu_training_parts parts = {.count = apart ? (int)gates : 1, .part = {{0, apart ? units : gates * units}}};
  for (int i = 1; i < parts.count; i++) parts.part[i] = (rondo_cpu_training_part){(size_t)i * units, units};
  return parts;
}

rondo_cpu_training_parts rondo_cpu_training_input_parts(const rondo_layer *layer) {
  return split(layer, layer->dropout > 0 && layer->recurrent_dropout > 0);
}

rondo_cpu_training_parts rondo_cpu_training_recurrent_parts(const rondo_layer *layer) {
  size_t units = (size_t)layer->hidden_size;
  if (layer->cell == RONDO_DENSE) return (rondo_cpu_training_parts){.count = 0};
  if (layer->cell == RONDO_GRU && !(layer->recurrent_dropout > 0))
    return (rondo_cpu_training_parts){.count = 2, .part = {{0, 2 * units}, {2 * units, units}}};
  return split(layer, layer->recurrent_dropout > 0);
}

rondo_cpu_training_parts rondo_cpu_training_back_parts(const rondo_layer *layer) {
  int apart = layer->reset_before || layer->recurrent_dropout > 0;
  return apart ? rondo_cpu_training_recurrent_parts(layer) : split(layer, 0);
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

/* If each thread has rows enough in a step for products at full speed, steps are made apart; else threads wait for each
 * other twice in a step or oftener. */
static void choose_threads(rondo_cpu_training *call, const rondo_plan *plan, const rondo_context *ctx) {
  enum { SEQUENCES = 8, BARRIERS = 2 };
  const rondo_cpu_state *state = ctx->state;
  rondo_cpu_limits limits = rondo_cpu_limits_of(plan, ctx);
  size_t recurrent = call->layer->cell == RONDO_DENSE ? 0 : call->outputs, steps = (size_t)call->schedule.steps;
  size_t blocks = rondo_blocks(call->kernels->gemm.lanes, call->columns), batch = (size_t)call->schedule.batch;
  rondo_cpu_work work = {.parts = (int)largest(blocks, batch),
                         .products = (double)call->rows * (double)(call->columns * (recurrent + call->inputs)),
                         .rate = rondo_cpu_rate((rondo_isa)plan->variant, 1),
                         .passes = (double)steps,
                         .wakes = rondo_cpu_wakes(plan),
                         .weights = (double)(call->columns * recurrent * sizeof(float))};
  call->threads = rondo_cpu_choose(&state->costs, &work, limits).threads;
  call->apart = call->threads > 1 && call->rows / (size_t)call->threads >= SEQUENCES * steps;
  if (!recurrent || call->apart) return;
  work.waits = BARRIERS * (double)steps;
  call->threads = rondo_cpu_choose(&state->costs, &work, limits).threads;
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
  places at = make_places(plan, pass->reserve, pass->workspace, gradient != NULL);
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
                             .input_parts = rondo_cpu_training_input_parts(layer),
                             .recurrent_parts = rondo_cpu_training_recurrent_parts(layer),
                             .back_parts = rondo_cpu_training_back_parts(layer),
                             .recompute = plan->desc.recompute,
                             .kept = carve_kept(plan, layer, &at)};
  call.work = carve_work(plan, layer, call.inputs, call.kernels->gemm.lanes, gradient != NULL, &at.workspace);
  find_weights(&call);
  if (layer->cell == RONDO_DENSE) call.schedule = dense_schedule(pass, gradient);
  for (int s = 0; s < call.schedule.steps; s++) {
    call.work.first[s] = call.rows;
    call.rows += (size_t)rondo_schedule_active(&call.schedule, s);
  }
  call.work.first[call.schedule.steps] = call.rows;
  memset(call.work.zeros, 0, call.units * sizeof(float));
  call.sequences = (rondo_range){0, (size_t)pass->batch};
  choose_threads(&call, plan, ctx);
  unsigned mode = rondo_enter_float_mode();
  rondo_pool_run(state->pool, &call.threads,
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
