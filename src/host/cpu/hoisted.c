/* hoisted.c - the loop over time: x is projected for a chunk of timesteps, then the recurrence walks the chunk.
 *
 * A thread owns a range of unit blocks for the whole call, so its share of R stays in its core's cache, and projects x
 * for these blocks only. Thus all it ever needs of the others is their part of h, published by one barrier a timestep.
 * h lies in two buffers that take turns: while a step reads the one, it writes the other. */
#include "cpu/cpu.h"

#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* The sums of a chunk should stay in the cache together with what else is read; and x @ W for 256 rows reads W so
 * seldom that more rows gain nothing. */
enum { CHUNK_BYTES = 1 << 21, CHUNK_ROWS = 256 };

typedef struct workspace {
  float *sums; /* (B, rows of a chunk, 4, V) */
  float *h[2]; /* (N, h_stride) each */
  float *c;    /* (N, H) */
  size_t rows, h_stride;
} workspace;

/* All that the threads of a call need; read-only for them. */
typedef struct layer_call {
  const rondo_pass *pass;
  const rondo_cpu_kernels *kernels;
  const rondo_cpu_state *state;
  rondo_cpu_layout layout;
  workspace ws;
  int threads, chunk;
} layer_call;

/* Rows of h are a cache line longer than they need to be: at a power of two, rows would fall on the same cache sets. */
static workspace carve(const rondo_plan *plan, rondo_arena *arena) {
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, (size_t)plan->desc.layer.input_size);
  size_t batch = (size_t)plan->desc.max_batch, units = rondo_size_mul(l.blocks, l.lanes);
  workspace ws = {.rows = rondo_size_mul(batch, (size_t)plan->chunk), .h_stride = rondo_size_add(units, 16)};
  ws.sums = rondo_arena_take(arena, rondo_size_mul(ws.rows, units), RONDO_GATES * sizeof(float));
  for (int i = 0; i < 2; i++) ws.h[i] = rondo_arena_take(arena, rondo_size_mul(batch, ws.h_stride), sizeof(float));
  ws.c = rondo_arena_take(arena, rondo_size_mul(batch, l.hidden), sizeof(float));
  return ws;
}

static int clamp_to_int(size_t value, int low, int high) {
  return value < (size_t)low ? low : value > (size_t)high ? high : (int)value;
}

rondo_status rondo_cpu_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx) {
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_of((rondo_isa)ctx->variant);
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, (size_t)plan->desc.layer.input_size);
  size_t row_bytes = rondo_size_mul(l.blocks * l.lanes, RONDO_GATES * sizeof(float));
  size_t rows = (size_t)clamp_to_int(CHUNK_BYTES / row_bytes, 1, CHUNK_ROWS);
  plan->chunk = clamp_to_int(rows / (size_t)plan->desc.max_batch, 1, plan->desc.max_timesteps);
  rondo_arena arena = {0};
  carve(plan, &arena);
  plan->layer_workspace = arena.used;
  snprintf(plan->note, sizeof plan->note, "%s %d lanes, %d rows x %d gates, x %d step%s ahead", kernels->name,
           kernels->lanes, kernels->rows, RONDO_GATES, plan->chunk, plan->chunk == 1 ? "" : "s");
  return RONDO_OK;
}

/* Subnormal numbers cost a hundred cycles each and a decaying state is full of them, so on x86-64 they count as zero in
 * here. The rest of the mode is the default, so that results are the same there whatever the caller's thread has set.
 * Other machines compute in the caller's mode. */
static unsigned enter_float_mode(void) {
#if defined(__x86_64__)
  unsigned before = _mm_getcsr();
  _mm_setcsr(0x9fc0); /* exceptions masked, round to nearest, flush to zero, denormals are zero */
  return before;
#else
  return 0;
#endif
}

static void leave_float_mode(unsigned before) {
#if defined(__x86_64__)
  _mm_setcsr(before);
#else
  (void)before;
#endif
}

/* sums of `steps` timesteps from t on, for some blocks. */
static void project(const layer_call *call, int t, int steps, size_t block, int blocks) {
  const rondo_pass *pass = call->pass;
  const rondo_cpu_layout *l = &call->layout;
  const float *weights = rondo_cpu_weights(pass->params);
  size_t gates = RONDO_GATES * l->lanes;
  call->kernels->project_forward(&(rondo_project_forward_args){
      .rows = steps * pass->batch,
      .batch = pass->batch,
      .inputs = pass->input_size,
      .blocks = blocks,
      .x = pass->x + t * pass->x_timestep,
      .x_sequence = pass->x_sequence,
      .x_timestep = pass->x_timestep,
      .bias = weights + l->bias + block * gates,
      .weights = weights + l->input_weights + block * gates * l->inputs,
      .sums = call->ws.sums + block * call->ws.rows * gates,
      .sums_block = (ptrdiff_t)(call->ws.rows * gates),
  });
}

/* Timestep t, the one at `ahead` in its chunk, for some blocks. The new c goes to c_n, or to the workspace if that is
 * not wanted, and stays there: nobody else reads these units. */
static void step(const layer_call *call, int t, int ahead, size_t block, int blocks) {
  const rondo_pass *pass = call->pass;
  const workspace *ws = &call->ws;
  size_t gates = RONDO_GATES * call->layout.lanes;
  float *c = pass->c_n ? pass->c_n : ws->c;
  ptrdiff_t c_stride = pass->c_n ? pass->state_stride : pass->hidden_size;
  int given = t == 0; /* the state */
  call->kernels->lstm_forward(&(rondo_lstm_forward_args){
      .rows = pass->batch,
      .hidden = pass->hidden_size,
      .first_block = (int)block,
      .blocks = blocks,
      .weights = rondo_cpu_weights(pass->params) + call->layout.recurrent,
      .sums = ws->sums + (size_t)ahead * (size_t)pass->batch * gates,
      .sums_block = (ptrdiff_t)(ws->rows * gates),
      .h_in = given && pass->h_0 ? pass->h_0 : ws->h[t % 2],
      .h_in_stride = given && pass->h_0 ? pass->state_stride : (ptrdiff_t)ws->h_stride,
      .c_in = given ? pass->c_0 : c,
      .c_in_stride = given ? pass->state_stride : c_stride,
      .h_out = ws->h[(t + 1) % 2],
      .h_out_stride = (ptrdiff_t)ws->h_stride,
      .c_out = c,
      .c_out_stride = c_stride,
      .y = pass->y ? pass->y + t * pass->y_timestep : NULL,
      .y_stride = pass->y_sequence,
  });
}

/* One timestep of blocks begin..end-1. Every other timestep walks them backwards: when they are somewhat larger than
 * the cache, a walk then begins with what the last one left there, while equal walks would find nothing. With a chunk
 * of one timestep, W is part of the walk. The order of units changes no sum. */
static void walk_blocks(const layer_call *call, int t, int ahead, size_t begin, size_t end) {
  size_t together = call->pass->batch == 1 ? 2 : 1; /* as the kernels take them */
  size_t groups = (end - begin + together - 1) / together;
  int backwards = (call->state->sweep + (unsigned)t) % 2;
  for (size_t i = 0; i < groups; i++) {
    size_t block = begin + (backwards ? groups - 1 - i : i) * together;
    int blocks = (int)(end - block < together ? end - block : together);
    if (call->chunk == 1) project(call, t, 1, block, blocks);
    step(call, t, ahead, block, blocks);
  }
}

static void run_thread(void *context, int thread) {
  const layer_call *call = context;
  unsigned mode = enter_float_mode();
  size_t share = call->layout.blocks, threads = (size_t)call->threads;
  size_t begin = share * (size_t)thread / threads, end = share * ((size_t)thread + 1) / threads;
  int timesteps = call->pass->timesteps;
  for (int t = 0; t < timesteps; t++) {
    int ahead = t % call->chunk, left = timesteps - t;
    if (call->chunk > 1 && ahead == 0)
      project(call, t, left < call->chunk ? left : call->chunk, begin, (int)(end - begin));
    walk_blocks(call, t, ahead, begin, end);
    if (left > 1) rondo_pool_barrier(call->state->pool);
  }
  leave_float_mode(mode);
}

static int choose_threads(const layer_call *call) {
  const rondo_pass *pass = call->pass;
  size_t step_work = rondo_size_mul(RONDO_GATES * call->layout.hidden * (call->layout.hidden + call->layout.inputs),
                                    (size_t)pass->batch);
  size_t call_work = rondo_size_mul(step_work, (size_t)pass->timesteps);
  size_t by_step = step_work / call->state->step_work, by_call = call_work / call->state->call_work;
  int most = rondo_pool_threads(call->state->pool);
  most = clamp_to_int(call->layout.blocks, 1, most);
  return clamp_to_int(by_step < by_call ? by_step : by_call, 1, most);
}

/* A (N, H) result out of the last h buffer. */
static void copy_rows(const layer_call *call, const float *h, float *to, ptrdiff_t stride) {
  size_t bytes = call->layout.hidden * sizeof(float);
  for (int n = 0; to && n < call->pass->batch; n++) memcpy(to + n * stride, h + (size_t)n * call->ws.h_stride, bytes);
}

rondo_status rondo_cpu_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass) {
  rondo_cpu_state *state = ctx->state;
  rondo_arena arena = {.base = pass->workspace};
  layer_call call = {.pass = pass,
                     .kernels = rondo_cpu_kernels_of((rondo_isa)plan->variant),
                     .state = state,
                     .layout = rondo_cpu_layout_of(plan, (size_t)pass->input_size),
                     .ws = carve(plan, &arena)};
  call.chunk = clamp_to_int(call.ws.rows / (size_t)pass->batch, 1, pass->timesteps);
  call.threads = choose_threads(&call);
  if (!pass->h_0) memset(call.ws.h[0], 0, (size_t)pass->batch * call.ws.h_stride * sizeof(float));
  rondo_pool_run(state->pool, call.threads, run_thread, &call);
  state->sweep += (unsigned)pass->timesteps;
  const float *h = call.ws.h[pass->timesteps % 2];
  copy_rows(&call, h, pass->y_last, pass->y_last_stride);
  copy_rows(&call, h, pass->h_n, pass->state_stride);
  return RONDO_OK;
}
