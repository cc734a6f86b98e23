/* walk.c - from a batch to the passes of its layers. */
#include "walk.h"

#include "check.h"
#include "error.h"

#include <stdlib.h>

/* Host memory for schedules: grows when a call needs more than any before it. NULL when there is none. */
static void *scratch(rondo_context *ctx, size_t bytes) {
  if (bytes > ctx->scratch_bytes) {
    void *grown = bytes > PTRDIFF_MAX ? NULL : malloc(bytes);
    if (!grown) return NULL;
    free(ctx->scratch);
    ctx->scratch = grown;
    ctx->scratch_bytes = bytes;
  }
  return ctx->scratch;
}

rondo_status rondo_make_schedules(rondo_context *ctx, const rondo_batch *batch, rondo_schedule schedules[2]) {
  size_t bytes = rondo_schedule_bytes(batch);
  unsigned char *host = bytes ? scratch(ctx, rondo_size_mul(bytes, 2)) : NULL;
  if (bytes && !host)
    return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_forward: no host memory for %zu bytes of order", bytes);
  for (int reversed = 0; reversed < 2; reversed++)
    schedules[reversed] = rondo_schedule_make(batch, reversed, bytes ? host + (size_t)reversed * bytes : NULL);
  return RONDO_OK;
}

/* A layer that leaves y in the order of its processing turns time around for the layer above. */
const rondo_schedule *rondo_pick_schedule(const rondo_plan *plan, const rondo_schedule schedules[2], int index,
                                          int direction) {
  int turns = plan->direction[0].go_backwards && !plan->desc.layer.time_order;
  return &schedules[plan->direction[direction].go_backwards ^ (turns & index & 1)];
}

int rondo_is_buffered(const rondo_plan *plan, int index) {
  return index < plan->desc.layer.num_layers - 1 || plan->desc.layer.head_units > 0;
}

/* Turns an array around in time: the pointer goes to the last timestep, steps become negative. */
static ptrdiff_t turn(ptrdiff_t timestep, int timesteps, ptrdiff_t *distance) {
  *distance = -timestep;
  return (timesteps - 1) * timestep;
}

static void resolve_input(const rondo_plan *plan, const rondo_batch *b, const rondo_places *places, int index,
                          rondo_pass *pass) {
  pass->input_size = (int)rondo_layer_inputs(plan, index);
  if (index == 0) {
    rondo_strides strides = rondo_x_strides(plan, b);
    pass->x = b->x;
    pass->x_sequence = (ptrdiff_t)strides.sequence;
    pass->x_timestep = (ptrdiff_t)strides.timestep;
  } else {
    pass->x = places->below;
    pass->x_sequence = pass->input_size;
    pass->x_timestep = (ptrdiff_t)b->batch * pass->input_size;
  }
  if (!pass->layer->go_backwards) return;
  ptrdiff_t start = turn(pass->x_timestep, b->timesteps, &pass->x_timestep);
  if (pass->x) pass->x += start;
}

/* Dense rows (T, N, columns) of a buffer. */
static void place_dense(rondo_pass *pass, float *y, float *y_last, int columns) {
  pass->y = y;
  pass->y_sequence = columns;
  pass->y_timestep = (ptrdiff_t)pass->batch * columns;
  pass->y_last = y_last;
  pass->y_last_stride = columns;
}

/* y and y_last: the caller's at the top, buffers below it, or halves that are merged later. */
static void resolve_output(const rondo_plan *plan, const rondo_batch *b, const rondo_places *places, int index,
                           int direction, rondo_pass *pass) {
  const rondo_layer *layer = &plan->desc.layer;
  int top = index == layer->num_layers - 1, merged = layer->merge != RONDO_CONCAT && layer->merge != RONDO_SEPARATE;
  ptrdiff_t half = plan->output_size[0], last_half = half;
  float *y_last = top && b->y_last ? places->last : NULL;
  if (places->half[direction]) {
    place_dense(pass, !top || b->y ? places->half[direction] : NULL,
                top && b->y_last ? places->last_half[direction] : NULL, pass->output_size);
  } else if (rondo_is_buffered(plan, index)) {
    place_dense(pass, !top || b->y ? places->y : NULL, y_last, plan->width);
  } else {
    rondo_strides strides = b->y ? rondo_y_strides(plan, b) : (rondo_strides){0}; /* unchecked without y */
    pass->y = b->y;
    pass->y_sequence = (ptrdiff_t)strides.sequence;
    pass->y_timestep = (ptrdiff_t)strides.timestep;
    pass->y_last = b->y_last;
    pass->y_last_stride = (ptrdiff_t)rondo_y_last_stride(plan, b);
    half = (ptrdiff_t)strides.direction;
    last_half = (ptrdiff_t)rondo_y_last_direction(plan, b);
  }
  if (direction == 1 && merged && !places->half[1]) pass->merge = layer->merge;
  if (direction == 1 && !merged && pass->y) pass->y += half;
  if (direction == 1 && !merged && pass->y_last) pass->y_last += last_half;
  /* y is in the order of processing; the second direction's is put back into that of the first. */
  int aligned = layer->time_order && layer->go_backwards;
  if (direction == 1 ? !aligned : aligned) {
    ptrdiff_t start = turn(pass->y_timestep, b->timesteps, &pass->y_timestep);
    if (pass->y) pass->y += start;
  }
  pass->zero_y_last = layer->zero_output_for_mask;
  pass->zero_y = pass->zero_y_last || layer->bidirectional;
}

static void resolve_state(const rondo_plan *plan, const rondo_batch *b, int index, int direction, rondo_pass *pass) {
  size_t rows = (size_t)(b->slots ? b->slot_count : b->batch);
  size_t before = ((size_t)index * (size_t)plan->directions + (size_t)direction) * rows;
  size_t h_stride = b->state_stride ? b->state_stride : rondo_widest_output(plan);
  size_t c_stride = b->state_stride ? b->state_stride : rondo_widest_hidden(plan);
  int lstm = pass->layer->cell == RONDO_LSTM;
  pass->h_stride = (ptrdiff_t)h_stride;
  pass->c_stride = (ptrdiff_t)c_stride;
  if (b->h_0) pass->h_0 = (const float *)b->h_0 + before * h_stride;
  if (b->h_n) pass->h_n = (float *)b->h_n + before * h_stride;
  if (b->c_0 && lstm) pass->c_0 = (const float *)b->c_0 + before * c_stride;
  if (b->c_n && lstm) pass->c_n = (float *)b->c_n + before * c_stride;
  pass->slots = b->slots;
  pass->restart = b->restart;
  pass->mask = b->mask;
}

rondo_pass rondo_resolve_pass(const rondo_plan *plan, const rondo_batch *b, const rondo_places *places,
                              const rondo_schedule *schedule, int index, int direction) {
  const rondo_layer *layer = &plan->direction[direction];
  rondo_pass pass = {.layer = layer,
                     .schedule = schedule,
                     .batch = b->batch,
                     .timesteps = b->timesteps,
                     .hidden_size = layer->hidden_size,
                     .output_size = plan->output_size[direction],
                     .params = (const unsigned char *)b->params + rondo_params_offset(plan, index, direction)};
  resolve_input(plan, b, places, index, &pass);
  resolve_output(plan, b, places, index, direction, &pass);
  if (layer->cell != RONDO_DENSE) resolve_state(plan, b, index, direction, &pass);
  return pass;
}

rondo_pass rondo_resolve_head(const rondo_plan *plan, const rondo_batch *b, const rondo_places *places,
                              rondo_schedule *whole, int over_last) {
  int index = plan->desc.layer.num_layers, timesteps = over_last ? 1 : b->timesteps;
  rondo_strides strides = rondo_y_strides(plan, b);
  *whole = (rondo_schedule){.batch = b->batch, .timesteps = timesteps, .steps = timesteps, .full = 1};
  return (rondo_pass){.layer = &plan->head,
                      .schedule = whole,
                      .batch = b->batch,
                      .timesteps = timesteps,
                      .input_size = plan->width,
                      .hidden_size = plan->head.hidden_size,
                      .output_size = plan->head.hidden_size,
                      .params = (const unsigned char *)b->params + rondo_params_offset(plan, index, 0),
                      .x = over_last ? places->last : places->below,
                      .x_sequence = plan->width,
                      .x_timestep = (ptrdiff_t)b->batch * plan->width,
                      .y = over_last ? b->y_last : b->y,
                      .y_sequence = (ptrdiff_t)(over_last ? rondo_y_last_stride(plan, b) : strides.sequence),
                      .y_timestep = (ptrdiff_t)strides.timestep};
}
