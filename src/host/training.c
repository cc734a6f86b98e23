/* training.c - forward that keeps what backward needs, and backward, layer by layer.
 *
 * The reserve holds, for each layer: y where another layer or the head reads it (T, N, width), both directions' y
 * where they are merged (T, N, O), the masks of dropout, and whatever the algorithm keeps of each pass. Backward
 * walks the layers from the top. The gradients between layers lie in its workspace, in two buffers that take turns. */
#include "internal.h"

#include "error.h"
#include "walk.h"

static int merges(const rondo_plan *plan) {
  rondo_merge merge = plan->desc.layer.merge;
  return plan->directions == 2 && merge != RONDO_CONCAT && merge != RONDO_SEPARATE;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Of one layer in the reserve: its y, and of each direction the masks of dropout and what the algorithm keeps. */
typedef struct kept {
  rondo_places places;
  float *masks[2];
  void *reserve[2];
} kept;

static float *take_rows(const rondo_plan *plan, rondo_arena *arena, int timesteps, int columns) {
  size_t rows = rondo_size_mul((size_t)plan->desc.max_batch, (size_t)timesteps);
  return rondo_arena_take(arena, rondo_size_mul(rows, (size_t)columns), sizeof(float));
}

static void take_halves(const rondo_plan *plan, rondo_arena *arena, rondo_places *places) {
  for (int d = 0; d < 2; d++) {
    places->half[d] = take_rows(plan, arena, plan->desc.max_timesteps, plan->output_size[d]);
    places->last_half[d] = take_rows(plan, arena, 1, plan->output_size[d]);
  }
}

/* Layer `index` of the reserve (num_layers: the head, whose two passes are over y and over y_last). */
static kept carve_reserve(const rondo_plan *plan, rondo_arena *arena, int index) {
  int layers = plan->desc.layer.num_layers, t = plan->desc.max_timesteps;
  kept k = {0};
  float *below = NULL;
  for (int i = 0; i <= index && i < layers; i++) {
    k = (kept){.places.below = below};
    if (merges(plan)) take_halves(plan, arena, &k.places);
    if (rondo_is_buffered(plan, i)) below = k.places.y = take_rows(plan, arena, t, plan->width);
    if (i == layers - 1 && plan->head.hidden_size) k.places.last = take_rows(plan, arena, 1, plan->width);
    for (int d = 0; d < plan->directions; d++) {
      k.masks[d] = rondo_arena_take(arena, rondo_mask_floats(plan, i, d, (size_t)plan->desc.max_batch), sizeof(float));
      k.reserve[d] = rondo_arena_take(arena, plan->layer_reserve[i > 0][d], 1);
    }
  }
  if (index < layers) return k;
  kept head = {.places.below = below, .places.last = k.places.last};
  for (int d = 0; d < 2; d++) head.reserve[d] = rondo_arena_take(arena, plan->head_reserve, 1);
  return head;
}

size_t rondo_reserve_bytes(const rondo_plan *plan) {
  rondo_arena arena = {0};
  carve_reserve(plan, &arena, plan->desc.layer.num_layers - (plan->head.hidden_size == 0));
  return arena.used;
}

/* Backward's workspace: gradients by the y of two neighbouring layers, by y_last ahead of the head, by halves. */
typedef struct gradients {
  float *between[2], *last;
  rondo_places halves;
  void *layer;
} gradients;

static gradients carve_workspace(const rondo_plan *plan, rondo_arena *arena) {
  gradients g = {0};
  int below = plan->desc.layer.num_layers - 1 + (plan->head.hidden_size > 0);
  for (int i = 0; i < 2 && i < below; i++) g.between[i] = take_rows(plan, arena, plan->desc.max_timesteps, plan->width);
  if (plan->head.hidden_size) g.last = take_rows(plan, arena, 1, plan->width);
  if (merges(plan)) take_halves(plan, arena, &g.halves);
  g.layer = rondo_arena_take(arena, plan->layer_workspace, 1);
  return g;
}

size_t rondo_training_workspace_bytes(const rondo_plan *plan) {
  rondo_arena arena = {0};
  carve_workspace(plan, &arena);
  return arena.used;
}

static void *layer_workspace(const rondo_plan *plan, const rondo_batch *b) {
  rondo_arena arena = {.base = b->workspace};
  return carve_workspace(plan, &arena).layer;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Merges of one layer. `to` is a pass whose y and y_last say where the merged ones are: forward they are written,
 * backward (d given) they are the gradients that become those of the halves. */
static rondo_status merge_halves(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *to, const kept *k,
                                 const rondo_places *d) {
  rondo_merge_args args = {.merge = plan->desc.layer.merge,
                           .batch = to->batch,
                           .timesteps = to->timesteps,
                           .columns = plan->output_size[0],
                           .a = k->places.half[0],
                           .b = k->places.half[1],
                           .y_sequence = to->y_sequence,
                           .y_timestep = to->y_timestep};
  args.y = d ? NULL : to->y, args.dy = d ? to->y : NULL;
  if (d) args.da = d->half[0], args.db = d->half[1];
  if (args.y || args.dy) TRY(plan->algorithm->merge(plan, ctx, &args));
  args.timesteps = 1, args.y_sequence = to->y_last_stride;
  args.a = k->places.last_half[0], args.b = k->places.last_half[1];
  args.y = d ? NULL : to->y_last, args.dy = d ? to->y_last : NULL;
  if (d) args.da = d->last_half[0], args.db = d->last_half[1];
  return args.y || args.dy ? plan->algorithm->merge(plan, ctx, &args) : RONDO_OK;
}

/* Where the layer's y and y_last go once the directions are merged: as if it had but one. */
static rondo_pass merged_outputs(const rondo_plan *plan, const rondo_batch *b, rondo_places places,
                                 const rondo_schedule *schedule, int index) {
  places.half[0] = places.half[1] = NULL;
  rondo_pass pass = rondo_resolve_pass(plan, b, &places, schedule, index, 0);
  if (pass.y_timestep < 0) { /* halves are stored in the order of the array, not in that of processing */
    if (pass.y) pass.y += (pass.timesteps - 1) * pass.y_timestep;
    pass.y_timestep = -pass.y_timestep;
  }
  return pass;
}

static rondo_status forward_layer(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b,
                                  const rondo_schedule schedules[2], int index) {
  rondo_arena arena = {.base = b->reserve};
  kept k = carve_reserve(plan, &arena, index);
  for (int d = 0; d < plan->directions; d++) {
    const rondo_schedule *schedule = rondo_pick_schedule(plan, schedules, index, d);
    rondo_pass pass = rondo_resolve_pass(plan, b, &k.places, schedule, index, d);
    pass.workspace = layer_workspace(plan, b);
    pass.reserve = k.reserve[d];
    TRY(rondo_set_masks(plan, ctx, b, index, d, k.masks[d], 1, &pass));
    TRY(plan->algorithm->forward_layer(plan, ctx, &pass));
  }
  if (merges(plan)) {
    rondo_pass to = merged_outputs(plan, b, k.places, rondo_pick_schedule(plan, schedules, index, 0), index);
    TRY(merge_halves(plan, ctx, &to, &k, NULL));
  }
  return rondo_drop_between(plan, ctx, b, index, k.places.y);
}

rondo_status rondo_train_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b) {
  rondo_schedule schedules[2];
  int layers = plan->desc.layer.num_layers;
  TRY(rondo_make_schedules(ctx, b, schedules));
  for (int index = 0; index < layers; index++) TRY(forward_layer(plan, ctx, b, schedules, index));
  if (!plan->head.hidden_size) return RONDO_OK;
  rondo_arena arena = {.base = b->reserve};
  kept k = carve_reserve(plan, &arena, layers);
  for (int over_last = 0; over_last < 2; over_last++) {
    if (!(over_last ? b->y_last : b->y)) continue;
    rondo_schedule whole;
    rondo_pass pass = rondo_resolve_head(plan, b, &k.places, &whole, over_last);
    pass.workspace = layer_workspace(plan, b);
    pass.reserve = k.reserve[over_last];
    TRY(plan->algorithm->forward_layer(plan, ctx, &pass));
  }
  return RONDO_OK;
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* The batch with each array replaced by the gradient that lies like it, so that resolving it places the gradients. */
static rondo_batch gradient_batch(const rondo_batch *b) {
  rondo_batch g = *b;
  g.x = b->dx, g.x_strides = (rondo_strides){0};
  g.y = (void *)b->dy, g.y_last = (void *)b->dy_last; /* read only */
  g.h_0 = b->dh_n, g.c_0 = b->dc_n;
  g.h_n = b->dh_0, g.c_n = b->dc_0;
  return g;
}

static rondo_gradient make_gradient(const rondo_plan *plan, const rondo_batch *b, const rondo_pass *pass,
                                    const rondo_pass *placed, int index, int direction) {
  rondo_gradient g = {.pass = *pass,
                      .dy = placed->y,
                      .dy_sequence = placed->y_sequence,
                      .dy_timestep = placed->y_timestep,
                      .dy_last = placed->y_last,
                      .dy_last_stride = placed->y_last_stride,
                      .dh_n = placed->h_0,
                      .dc_n = placed->c_0,
                      .dx = (float *)placed->x,
                      .dx_sequence = placed->x_sequence,
                      .dx_timestep = placed->x_timestep,
                      .dh_0 = placed->h_n,
                      .dc_0 = placed->c_n,
                      .accumulate = b->accumulate};
  if (b->dparams) g.dparams = (float *)((unsigned char *)b->dparams + rondo_params_offset(plan, index, direction));
  return g;
}

static rondo_status backward_layer(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b,
                                   const rondo_schedule schedules[2], const gradients *ws, int index) {
  rondo_batch gb = gradient_batch(b);
  rondo_arena arena = {.base = b->reserve};
  kept k = carve_reserve(plan, &arena, index);
  rondo_places places = ws->halves;
  places.below = ws->between[(index + 1) % 2], places.y = ws->between[index % 2], places.last = ws->last;
  TRY(rondo_drop_between(plan, ctx, b, index, places.y));
  if (merges(plan)) {
    rondo_pass from = merged_outputs(plan, &gb, places, rondo_pick_schedule(plan, schedules, index, 0), index);
    TRY(merge_halves(plan, ctx, &from, &k, &places));
  }
  for (int d = 0; d < plan->directions; d++) {
    const rondo_schedule *schedule = rondo_pick_schedule(plan, schedules, index, d);
    rondo_pass pass = rondo_resolve_pass(plan, b, &k.places, schedule, index, d);
    rondo_pass placed = rondo_resolve_pass(plan, &gb, &places, schedule, index, d);
    pass.workspace = ws->layer, pass.reserve = k.reserve[d];
    TRY(rondo_set_masks(plan, ctx, b, index, d, k.masks[d], 0, &pass));
    rondo_gradient g = make_gradient(plan, b, &pass, &placed, index, d);
    g.add_dx = d == 1;
    TRY(plan->algorithm->backward_layer(plan, ctx, &g));
  }
  return RONDO_OK;
}

/* The head's two passes share its weights: the second one adds to the gradient of the first. Without any gradient by
 * y and y_last one of them still runs, to write zeros. */
static rondo_status backward_head(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b,
                                  const gradients *ws) {
  rondo_batch gb = gradient_batch(b);
  int layers = plan->desc.layer.num_layers, done = 0;
  rondo_arena arena = {.base = b->reserve};
  kept k = carve_reserve(plan, &arena, layers);
  rondo_places places = {.below = ws->between[(layers - 1) % 2], .last = ws->last};
  for (int over_last = 0; over_last < 2; over_last++) {
    if (!(over_last ? b->dy_last : b->dy) && !(over_last && !done)) continue;
    rondo_schedule whole, unused;
    rondo_pass pass = rondo_resolve_head(plan, b, &k.places, &whole, over_last);
    rondo_pass placed = rondo_resolve_head(plan, &gb, &places, &unused, over_last);
    pass.workspace = ws->layer, pass.reserve = k.reserve[over_last];
    rondo_gradient g = make_gradient(plan, b, &pass, &placed, layers, 0);
    if (!b->dy && !b->dy_last) g.dx = NULL; /* nobody reads it */
    g.accumulate = b->accumulate || done;
    TRY(plan->algorithm->backward_layer(plan, ctx, &g));
    done = 1;
  }
  return RONDO_OK;
}

rondo_status rondo_train_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b) {
  rondo_schedule schedules[2];
  rondo_arena arena = {.base = b->workspace};
  gradients ws = carve_workspace(plan, &arena);
  TRY(rondo_make_schedules(ctx, b, schedules));
  if (plan->head.hidden_size) TRY(backward_head(plan, ctx, b, &ws));
  for (int index = plan->desc.layer.num_layers - 1; index >= 0; index--)
    TRY(backward_layer(plan, ctx, b, schedules, &ws, index));
  return RONDO_OK;
}
