/* execute.c - rondo_forward and rondo_backward after their checks (check.c): walks layers and directions. */
#include "internal.h"

#include "check.h"
#include "error.h"
#include "walk.h"

static rondo_status run_head(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b,
                             const rondo_workspace *parts) {
  rondo_places places = {.below = parts->between[(plan->desc.layer.num_layers - 1) % 2], .last = parts->last};
  for (int over_last = 0; over_last < 2; over_last++) {
    if (!(over_last ? b->y_last : b->y)) continue;
    rondo_schedule whole;
    rondo_pass pass = rondo_resolve_head(plan, b, &places, &whole, over_last);
    pass.workspace = parts->layer;
    TRY(plan->algorithm->forward_layer(plan, ctx, &pass));
  }
  return RONDO_OK;
}

static rondo_status run_layer(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b,
                              const rondo_workspace *parts, const rondo_schedule schedules[2], int index) {
  /* index + 1: the buffer of the layer below, without a remainder of -1 */
  rondo_places places = {.below = parts->between[(index + 1) % 2], .y = parts->between[index % 2], .last = parts->last};
  rondo_pass passes[2];
  for (int d = 0; d < plan->directions; d++) {
    const rondo_schedule *schedule = rondo_pick_schedule(plan, schedules, index, d);
    passes[d] = rondo_resolve_pass(plan, b, &places, schedule, index, d);
    passes[d].workspace = parts->layer;
  }
  if (plan->directions == 2 && plan->algorithm->forward_directions)
    return plan->algorithm->forward_directions(plan, ctx, passes);
  for (int d = 0; d < plan->directions; d++) TRY(plan->algorithm->forward_layer(plan, ctx, &passes[d]));
  return RONDO_OK;
}

rondo_status rondo_execute(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  if (plan->algorithm->forward) return plan->algorithm->forward(plan, ctx, batch);
  if (plan->desc.training) return rondo_train_forward(plan, ctx, batch);
  rondo_arena arena = {.base = batch->workspace};
  rondo_workspace parts;
  rondo_schedule schedules[2];
  rondo_carve_workspace(plan, &arena, &parts);
  TRY(rondo_make_schedules(ctx, batch, schedules));
  for (int index = 0; index < plan->desc.layer.num_layers; index++)
    TRY(run_layer(plan, ctx, batch, &parts, schedules, index));
  return plan->desc.layer.head_units ? run_head(plan, ctx, batch, &parts) : RONDO_OK;
}

rondo_status rondo_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  TRY(rondo_check_batch("rondo_forward", plan, ctx, batch));
  return rondo_execute(plan, ctx, batch);
}

rondo_status rondo_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  TRY(rondo_check_backward("rondo_backward", plan, ctx, batch));
  if (plan->algorithm->backward) return plan->algorithm->backward(plan, ctx, batch);
  return rondo_train_backward(plan, ctx, batch);
}
