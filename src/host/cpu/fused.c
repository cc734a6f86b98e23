/* fused.c - the loop over time for layers of the default functions: x is projected for a chunk of timesteps, then the
 * recurrence walks the chunk, a kernel a step.
 *
 * A thread owns a range of unit blocks for the whole call, so its share of R stays in its core's cache, and projects x
 * for these blocks only. Thus all it ever needs of the others is their part of h, published by one barrier a timestep.
 * h lies in two buffers that take turns: while a step reads the one, it writes the other. c of these units is nobody
 * else's, and stays where it is. Words of h that are made of whole rows, each thread makes for itself: that takes less
 * than a second barrier.
 *
 * The narrow block (kernels.h) lies last. Its product comes ahead of the blocks that are taken together with it: by the
 * time narrow_forward loads its sums, at other places than they were stored at, it need not wait for them. */
#include "cpu/cpu.h"

/* The sums of a chunk, for some blocks of so many vectors each. */
static void project_vectors(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int block, int blocks,
                            size_t vectors) {
  const rondo_cpu_layout *l = &call->layout;
  size_t width = l->gates * l->lanes;
  call->kernels->product_forward(&(rondo_product_forward_args){
      .gates = (int)vectors,
      .rows = chunk->rows,
      .inputs = (int)l->inputs,
      .blocks = blocks,
      .in = call->ws.x[chunk->turn],
      .in_words = call->ws.x_words[chunk->turn],
      .words_row = (ptrdiff_t)call->ws.x_words_row,
      .start = call->params + l->bias + (size_t)block * width,
      .type = l->type,
      .weights = rondo_cpu_weights(call, l->input_weights, (size_t)block * width * rondo_cpu_depth(l, l->inputs)),
      .sums = call->ws.x_sums + (size_t)block * call->ws.rows * width,
      .sums_block = (ptrdiff_t)(call->ws.rows * width),
      .sums_row = (ptrdiff_t)width,
  });
}

/* Whether the last of some blocks is the narrow one. */
static int ends_narrow(const rondo_cpu_layout *l, int end) {
  return l->narrow && end == (int)l->blocks;
}

/* Those of the narrow block for a row of the chunk. */
static float *narrow_sums(const rondo_cpu_call *call, int row) {
  const rondo_cpu_layout *l = &call->layout;
  return call->ws.x_sums + ((l->blocks - 1) * call->ws.rows + (size_t)row) * l->gates * l->lanes;
}

/* The sums of a chunk, for some blocks. */
static void project(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int block, int blocks) {
  const rondo_cpu_layout *l = &call->layout;
  int narrow = ends_narrow(l, block + blocks), whole = blocks - narrow;
  if (whole) project_vectors(call, chunk, block, whole, l->gates);
  if (!narrow) return;
  project_vectors(call, chunk, block + whole, 1, l->narrow);
  if (l->layer->cell == RONDO_GRU)
    call->kernels->gru_narrow_begin(chunk->rows, (int)(l->hidden % l->lanes),
                                    call->params + l->recurrent_bias + (l->blocks - 1) * l->lanes,
                                    narrow_sums(call, 0));
}

/* Adds h's part to the narrow sums of a step. */
static void add_recurrent(const rondo_cpu_call *call, const rondo_fused_forward_args *args, int before) {
  const rondo_cpu_layout *l = &call->layout;
  size_t width = l->gates * l->lanes, depth = rondo_cpu_depth(l, l->hidden);
  float *sums = narrow_sums(call, before);
  call->kernels->product_forward(&(rondo_product_forward_args){
      .gates = (int)l->narrow,
      .rows = args->rows,
      .inputs = args->hidden,
      .blocks = 1,
      .in = args->h_in,
      .in_words = args->h_in_words,
      .words_row = args->words_row,
      .start = sums,
      .start_row = (ptrdiff_t)width,
      .type = l->type,
      .weights = rondo_cpu_weights(call, l->recurrent, (l->blocks - 1) * width * depth),
      .sums = sums,
      .sums_row = (ptrdiff_t)width,
  });
}

/* One step for some blocks; `before` rows of the chunk belong to earlier steps. */
static void take_step(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int step, int before,
                      const uint32_t *h_words, int block, int blocks) {
  const rondo_cpu_layout *l = &call->layout;
  const rondo_cpu_workspace *ws = &call->ws;
  size_t width = l->gates * l->lanes;
  int narrow = ends_narrow(l, block + blocks);
  rondo_fused_forward_args args = {
      .rows = rondo_schedule_active(&call->schedule, step),
      .hidden = (int)l->hidden,
      .first_block = block,
      .blocks = blocks - narrow,
      .type = l->type,
      .weights = rondo_cpu_weights(call, l->recurrent, 0),
      .bias = call->params + l->recurrent_bias,
      .sums = ws->x_sums + (size_t)before * width,
      .sums_block = (ptrdiff_t)(ws->rows * width),
      .h_in = rondo_cpu_h_in(call, step),
      .h_in_words = h_words,
      .words_row = (ptrdiff_t)ws->h_words_row,
      .c_in = rondo_cpu_c_in(call, step),
      .h_out = rondo_cpu_h_out(call, step),
      .c_out = ws->c_rows,
      .y = call->pass->y ? ws->y[chunk->turn] + before : NULL,
      .merge = call->pass->merge,
  };
  if (narrow) add_recurrent(call, &args, before);
  if (args.blocks) call->kernels->fused_forward[l->layer->cell](&args);
  args.first_block = (int)l->blocks - 1;
  if (narrow) call->kernels->narrow_forward[l->layer->cell](&args);
}

/* One step of a thread's blocks. Every other step walks them backwards: when they are somewhat larger than the cache, a
 * walk then begins with what the last one left there, while equal walks would find nothing. In a chunk of one step, W
 * is part of the walk. The order of units changes no sum. */
static void walk_blocks(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int step, int before,
                        rondo_cpu_range own, const uint32_t *h_words) {
  /* Kernels take blocks together where one row or one gate makes few sums; in tiles, to finish a block while the next
   * one is multiplied. */
  int single = rondo_schedule_active(&call->schedule, step) == 1, tiles = call->layout.fill > call->layout.group;
  int together = call->layout.gates == 1 || tiles ? 4 : single ? 2 : 1;
  int groups = (own.count + together - 1) / together, backwards = (call->state->sweep + (unsigned)step) % 2;
  for (int i = 0; i < groups; i++) {
    int block = (backwards ? groups - 1 - i : i) * together;
    int blocks = own.count - block < together ? own.count - block : together;
    if (chunk->steps == 1) project(call, chunk, own.begin + block, blocks);
    take_step(call, chunk, step, before, h_words, own.begin + block, blocks);
  }
}

/* The columns of y that belong to blocks. */
static rondo_cpu_range columns_of(const rondo_cpu_layout *l, rondo_cpu_range blocks) {
  int begin = blocks.begin * (int)l->lanes, count = blocks.count * (int)l->lanes, left = (int)l->hidden - begin;
  return (rondo_cpu_range){begin, count < left ? count : left};
}

void rondo_cpu_fused_thread(const rondo_cpu_call *call, int thread) {
  rondo_cpu_range own = rondo_cpu_share(call->layout.blocks, thread, call->threads);
  rondo_cpu_range columns = columns_of(&call->layout, own);
  rondo_cpu_chunk chunk = rondo_cpu_first_chunk(call), next;
  for (; chunk.steps; chunk = next) {
    if (chunk.steps > 1) project(call, &chunk, own.begin, own.count);
    next = rondo_cpu_next_chunk(call, &chunk);
    rondo_cpu_find_chunk(call, &next, thread, call->threads);
    for (int step = chunk.first, before = 0; step < chunk.first + chunk.steps; step++) {
      int active = rondo_schedule_active(&call->schedule, step);
      walk_blocks(call, &chunk, step, before, own, rondo_cpu_h_words(call, step, thread));
      before += active;
      if (step == call->schedule.steps - 1) break;
      rondo_cpu_share_h(call, step, (rondo_cpu_range){0, active}, columns);
      rondo_cpu_barrier(call);
    }
  }
  rondo_cpu_fill_skipped(call, columns);
}
