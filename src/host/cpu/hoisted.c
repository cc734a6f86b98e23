/* hoisted.c - a call of the algorithm: its memory, its threads, its results. The loops over time are in fused.c and
 * general.c. */
#include "cpu/cpu.h"

#include "arena.h"
#include "cpu/float_mode.h"
#include "error.h"

#include <stdio.h>

/* The sums of a chunk should stay in the cache together with what else is read, and let weights of 8 bits stay there,
 * too, which others would not; and x @ W for 256 rows reads W so seldom that more rows gain nothing. */
enum { CHUNK_BYTES = 1 << 21, CHUNK_BYTES_INT8 = 1 << 19, CHUNK_ROWS = 256 };

static int clamp_to_int(size_t value, int low, int high) {
  return value < (size_t)low ? low : value > (size_t)high ? high : (int)value;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Timesteps of max_batch rows whose sums are a chunk. */
static int chunk_steps(const rondo_plan *plan, const rondo_cpu_layout *l) {
  size_t bytes = l->type == RONDO_INT8 ? CHUNK_BYTES_INT8 : CHUNK_BYTES;
  size_t rows = (size_t)clamp_to_int(bytes / (l->gates * l->units * sizeof(float)), 1, CHUNK_ROWS);
  return clamp_to_int(rows / (size_t)plan->desc.max_batch, 1, plan->desc.max_timesteps);
}

static float *floats(rondo_arena *arena, size_t rows, size_t width) {
  return rondo_arena_take(arena, rondo_size_mul(rows, width), sizeof(float));
}

/* Table `index` of some that lie together, each of `rows` pointers. */
static void *table(void *tables, size_t rows, size_t index) {
  return tables ? (void **)tables + index * rows : NULL;
}

static void carve_tables(const rondo_cpu_layout *l, size_t batch, rondo_arena *arena, rondo_cpu_workspace *ws) {
  void *chunks = rondo_arena_take(arena, rondo_size_mul(ws->rows, 4), sizeof(float *));
  for (size_t i = 0; i < 2; i++) {
    ws->x[i] = table(chunks, ws->rows, i);
    ws->y[i] = table(chunks, ws->rows, 2 + i);
  }
  if (l->layer->cell == RONDO_DENSE) return;
  void *states = rondo_arena_take(arena, rondo_size_mul(batch, 6), sizeof(float *));
  ws->h_0 = table(states, batch, 0);
  ws->c_0 = table(states, batch, 1);
  for (size_t i = 0; i < 2; i++) ws->h_rows[i] = table(states, batch, 2 + i);
  ws->c_rows = table(states, batch, 4);
  ws->inner_rows = table(states, batch, 5);
}

/* Rows of h are a cache line longer than they need to be: at a power of two, rows would fall on the same cache sets. */
static void carve_states(const rondo_cpu_layout *l, size_t batch, rondo_arena *arena, rondo_cpu_workspace *ws) {
  ws->h_stride = l->output_blocks * l->lanes + 16;
  ws->c_stride = l->hidden;
  for (int i = 0; i < 2; i++) ws->h[i] = floats(arena, batch, ws->h_stride);
  if (l->layer->cell == RONDO_LSTM) ws->c = floats(arena, batch, ws->c_stride);
  ws->zeros = floats(arena, 1, l->hidden);
  if (l->fused) return;
  ws->h_sums = floats(arena, batch, l->gates * l->units);
  ws->inner = floats(arena, batch, l->units);
  if (l->layer->projection_size) ws->projected = floats(arena, batch, l->output_blocks * l->lanes);
}

/* Rows of words of so many numbers, and of a scale, apart as rows of h are. */
static uint32_t *words(const rondo_cpu_layout *l, rondo_arena *arena, size_t rows, size_t count, size_t *stride) {
  *stride = rondo_cpu_filled(l->fill, count) / (size_t)l->group + 16;
  return rondo_arena_take(arena, rondo_size_mul(rows, *stride), sizeof(uint32_t));
}

static void carve_words(const rondo_plan *plan, const rondo_cpu_layout *l, rondo_arena *arena,
                        rondo_cpu_workspace *ws) {
  size_t batch = (size_t)plan->desc.max_batch, threads = (size_t)plan->threads;
  for (int i = 0; i < 2; i++) ws->x_words[i] = words(l, arena, ws->rows, l->inputs, &ws->x_words_row);
  if (l->layer->cell == RONDO_DENSE) return;
  if (l->fused && l->type == RONDO_INT8) {
    ws->h_words[0] = words(l, arena, rondo_size_mul(batch, threads), l->outputs, &ws->h_words_row);
    ws->h_words_thread = batch * ws->h_words_row;
    return;
  }
  for (int i = 0; i < 2; i++) ws->h_words[i] = words(l, arena, batch, l->outputs, &ws->h_words_row);
  if (!l->fused) ws->inner_words = words(l, arena, batch, l->hidden, &ws->inner_words_row);
}

static void carve(const rondo_plan *plan, const rondo_cpu_layout *l, rondo_arena *arena, rondo_cpu_workspace *ws) {
  size_t batch = (size_t)plan->desc.max_batch;
  int steps = l->layer->cell == RONDO_DENSE ? chunk_steps(plan, l) : plan->chunk;
  ws->rows = rondo_size_mul(batch, (size_t)steps);
  ws->x_sums = floats(arena, ws->rows, l->gates * l->units);
  carve_tables(l, batch, arena, ws);
  if (l->layer->cell != RONDO_DENSE) carve_states(l, batch, arena, ws);
  if (l->group > 1) carve_words(plan, l, arena, ws);
}

/* Sums of products of int8 are made in 32 bits. */
static rondo_status check_depth(const rondo_cpu_layout *l) {
  size_t rows = l->inputs > l->hidden ? l->inputs : l->hidden;
  OFFER(l->type != RONDO_INT8 || rows <= RONDO_CPU_QUADS_MOST,
        "rondo_plan_create: weights RONDO_INT8 with %zu inputs and hidden_size %zu is not offered, only up to %d of "
        "each",
        l->inputs, l->hidden, (int)RONDO_CPU_QUADS_MOST);
  return RONDO_OK;
}

/* The most of what any layer, direction or head needs; of a layer's directions together, if they may run at once. */
rondo_status rondo_cpu_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx) {
  static const char *const groups[] = {[1] = "", [2] = " of pairs", [4] = " of quads"};
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_for((rondo_isa)ctx->variant, plan->desc.weights);
  rondo_cpu_layout layouts[5];
  rondo_arena arena = {0};
  int count = 0, above = plan->desc.layer.num_layers > 1;
  int both = rondo_cpu_directions_apart(plan) && ctx->desc.threads > 1;
  plan->chunk = plan->desc.max_timesteps;
  plan->threads = ctx->desc.threads;
  for (int i = 0; i <= above; i++)
    for (int d = 0; d < plan->directions; d++) {
      layouts[count] = rondo_cpu_layout_of(plan, &plan->direction[d], rondo_layer_inputs(plan, i));
      plan->chunk = clamp_to_int((size_t)chunk_steps(plan, &layouts[count++]), 1, plan->chunk);
    }
  if (plan->desc.layer.head_units) layouts[count++] = rondo_cpu_layout_of(plan, &plan->head, (size_t)plan->width);
  for (int i = 0; i < count; i++) TRY(check_depth(&layouts[i]));
  for (int i = 0; i < count; i++) {
    rondo_cpu_workspace ws = {0};
    int second = both && i % 2; /* lies behind the first direction's */
    if (!second) arena.used = 0;
    carve(plan, &layouts[i], &arena, &ws);
    if (arena.used > plan->layer_workspace) plan->layer_workspace = arena.used;
  }
  char threads[96];
  int rows = layouts[0].group == 2 ? kernels->pair_rows : kernels->rows;
  rondo_cpu_describe_threads(plan, ctx, threads, sizeof threads);
  snprintf(plan->note, sizeof plan->note, "%s %d lanes%s, %s, %d rows x %d gates, x %d step%s ahead, %s", kernels->name,
           kernels->lanes, groups[layouts[0].group], layouts[0].fused ? "fused" : "general", rows,
           (int)layouts[0].vectors, plan->chunk, plan->chunk == 1 ? "" : "s", threads);
  return RONDO_OK;
}

/* ---- a call ------------------------------------------------------------------------------------------------------ */

static rondo_cpu_call make_call(const rondo_plan *plan, const rondo_context *ctx, const rondo_pass *pass,
                                rondo_arena *arena) {
  rondo_cpu_call call = {.pass = pass,
                         .schedule = *pass->schedule,
                         .kernels = rondo_cpu_kernels_for((rondo_isa)plan->variant, plan->desc.weights),
                         .state = ctx->state,
                         .layout = rondo_cpu_layout_of(plan, pass->layer, (size_t)pass->input_size),
                         .params = pass->params};
  call.words = call.kernels->words[call.layout.type];
  carve(plan, &call.layout, arena, &call.ws);
  return call;
}

static rondo_cpu_work work_of(const rondo_plan *plan, const rondo_cpu_call *call) {
  const rondo_schedule *schedule = &call->schedule;
  size_t rows = schedule->full ? (size_t)schedule->batch * (size_t)schedule->steps : 0;
  for (int r = 0; !schedule->full && r < schedule->batch; r++) rows += (size_t)schedule->count[r];
  return rondo_cpu_work_of(plan, &call->layout, rows, schedule->steps, call->ws.rows);
}

static void begin(const rondo_cpu_call *call) {
  rondo_cpu_chunk chunk = rondo_cpu_first_chunk(call);
  rondo_cpu_find_chunk(call, &chunk, 0, 1);
  if (call->layout.layer->cell != RONDO_DENSE) rondo_cpu_find_states(call);
}

static void run_thread(void *context, int thread) {
  const rondo_cpu_call *call = context;
  if (call->layout.fused)
    rondo_cpu_fused_thread(call, thread);
  else
    rondo_cpu_general_thread(call, thread);
}

static void run(const rondo_plan *plan, rondo_context *ctx, rondo_cpu_call *call) {
  rondo_cpu_state *state = ctx->state;
  rondo_cpu_work work = work_of(plan, call);
  begin(call);
  call->threads = rondo_cpu_choose(&state->costs, &work, rondo_cpu_limits_of(plan, ctx)).threads;
  rondo_pool_run(state->pool, &call->threads, run_thread, call);
  state->sweep += (unsigned)call->schedule.steps;
  if (call->layout.layer->cell != RONDO_DENSE) rondo_cpu_write_results(call);
}

/* DENSE: every row is one of its own, and y_last is y's last. Alone it takes the place of y. */
static void run_dense(const rondo_plan *plan, rondo_context *ctx, rondo_cpu_call *call) {
  rondo_pass pass = *call->pass;
  call->schedule =
      (rondo_schedule){.batch = pass.batch, .timesteps = pass.timesteps, .steps = pass.timesteps, .full = 1};
  call->pass = &pass;
  ptrdiff_t last = pass.timesteps - 1;
  if (pass.y) run(plan, ctx, call);
  if (!pass.y_last) return;
  pass.x += last * pass.x_timestep;
  pass.y = pass.y_last, pass.y_sequence = pass.y_last_stride;
  pass.timesteps = call->schedule.timesteps = call->schedule.steps = 1;
  run(plan, ctx, call);
}

rondo_status rondo_cpu_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  rondo_arena arena = {.base = pass->workspace};
  rondo_cpu_call call = make_call(plan, ctx, pass, &arena);
  unsigned mode = rondo_enter_float_mode();
  if (pass->layer->cell == RONDO_DENSE)
    run_dense(plan, ctx, &call);
  else
    run(plan, ctx, &call);
  rondo_leave_float_mode(mode);
  return RONDO_OK;
}

/* ---- both directions at once ------------------------------------------------------------------------------------- */

typedef struct both_calls {
  rondo_cpu_call call[2];
  rondo_cpu_choice choice;
  int threads; /* of both */
} both_calls;

/* The threads are two groups, which do not wait for each other. One alone, as when no other was to be borrowed, takes
 * one direction after the other. */
static void run_both_thread(void *context, int thread) {
  const both_calls *both = context;
  int alone = both->threads == 1, first = alone ? 1 : rondo_cpu_first_group(&both->choice, both->threads);
  for (int d = 0; d < 2; d++) {
    if (!alone && d != (thread >= first)) continue;
    rondo_cpu_call call = both->call[d];
    call.group = d;
    call.threads = alone || d == 0 ? first : both->threads - first;
    run_thread(&call, alone || d == 0 ? thread : thread - first);
  }
}

static void run_both(rondo_cpu_state *state, both_calls *both) {
  for (int d = 0; d < 2; d++) begin(&both->call[d]);
  both->threads = both->choice.threads;
  rondo_pool_run(state->pool, &both->threads, run_both_thread, both);
  state->sweep += (unsigned)both->call[0].schedule.steps;
  for (int d = 0; d < 2; d++) rondo_cpu_write_results(&both->call[d]);
}

static void choose_and_run(const rondo_plan *plan, rondo_context *ctx, both_calls *both) {
  rondo_cpu_state *state = ctx->state;
  rondo_cpu_work work[2] = {work_of(plan, &both->call[0]), work_of(plan, &both->call[1])};
  both->choice = rondo_cpu_choose_both(&state->costs, work, rondo_cpu_limits_of(plan, ctx));
  unsigned mode = rondo_enter_float_mode();
  if (both->choice.both)
    run_both(state, both);
  else
    for (int d = 0; d < 2; d++) run(plan, ctx, &both->call[d]);
  rondo_leave_float_mode(mode);
}

/* A plan that was made with a context of one thread has no workspace for both. */
rondo_status rondo_cpu_hoisted_directions(const rondo_plan *plan, rondo_context *ctx, const rondo_pass passes[2]) {
  if (rondo_cpu_directions_apart(plan) && rondo_cpu_limits_of(plan, ctx).most > 1) {
    rondo_arena arena = {.base = passes[0].workspace};
    both_calls both = {.call = {make_call(plan, ctx, &passes[0], &arena), make_call(plan, ctx, &passes[1], &arena)}};
    if (arena.used <= plan->layer_workspace) {
      choose_and_run(plan, ctx, &both);
      return RONDO_OK;
    }
  }
  for (int d = 0; d < 2; d++) TRY(rondo_cpu_hoisted_forward(plan, ctx, &passes[d]));
  return RONDO_OK;
}
