/* check.c - is a batch what its plan was made for? Every argument of a call is checked here, once. */
#include "check.h"

#include "arena.h"
#include "error.h"

#include <stdlib.h>
#include <string.h>

rondo_status rondo_check_match(const char *who, const rondo_plan *plan, const rondo_context *ctx) {
  REQUIRE(plan->ops == ctx->ops, "%s: the plan is for the backend %s, the context's is %s", who, plan->ops->name,
          ctx->ops->name);
  REQUIRE(plan->variant == ctx->variant,
          "%s: the plan is for another instruction set or device (%s) than the context (%s)", who, plan->text,
          ctx->text);
  return RONDO_OK;
}

/* ---- distances --------------------------------------------------------------------------------------------------- */

static rondo_strides dense_strides(const rondo_plan *plan, const rondo_batch *b, size_t width) {
  int time_major = plan->desc.layout == RONDO_TIME_MAJOR;
  size_t n = time_major ? (size_t)b->batch : 1, t = time_major ? 1 : (size_t)b->timesteps;
  return (rondo_strides){.sequence = t * width, .timestep = n * width};
}

rondo_strides rondo_x_strides(const rondo_plan *plan, const rondo_batch *b) {
  rondo_strides strides = b->x_strides, dense = dense_strides(plan, b, (size_t)plan->desc.layer.input_size);
  if (!strides.sequence) strides.sequence = dense.sequence;
  if (!strides.timestep) strides.timestep = dense.timestep;
  return strides;
}

/* Columns of a row of y. */
static size_t y_columns(const rondo_plan *plan) {
  return (size_t)(plan->head.hidden_size ? plan->head.hidden_size : plan->width);
}

/* Whether the two directions' halves lie apart in y and y_last. */
static int has_halves(const rondo_plan *plan) {
  rondo_merge merge = plan->desc.layer.merge;
  return plan->directions == 2 && !plan->head.hidden_size && (merge == RONDO_CONCAT || merge == RONDO_SEPARATE);
}

rondo_strides rondo_y_strides(const rondo_plan *plan, const rondo_batch *b) {
  size_t columns = y_columns(plan);
  rondo_strides strides = b->y_strides, dense = dense_strides(plan, b, columns);
  if (!strides.sequence) strides.sequence = dense.sequence;
  if (!strides.timestep) strides.timestep = dense.timestep;
  int separate = plan->desc.layer.merge == RONDO_SEPARATE;
  if (!has_halves(plan))
    strides.direction = 0;
  else if (!strides.direction)
    strides.direction = separate ? (size_t)b->batch * (size_t)b->timesteps * columns : (size_t)plan->output_size[0];
  return strides;
}

size_t rondo_y_last_stride(const rondo_plan *plan, const rondo_batch *b) {
  return b->y_last_stride ? b->y_last_stride : y_columns(plan);
}

size_t rondo_y_last_direction(const rondo_plan *plan, const rondo_batch *b) {
  if (!has_halves(plan)) return 0;
  if (b->y_last_direction) return b->y_last_direction;
  return plan->desc.layer.merge == RONDO_SEPARATE ? (size_t)b->batch * y_columns(plan) : (size_t)plan->output_size[0];
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static rondo_status check_sizes(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  REQUIRE(b->batch >= 1 && b->batch <= plan->desc.max_batch, "%s: batch %d is not in 1..%d, the plan's max_batch", who,
          b->batch, plan->desc.max_batch);
  REQUIRE(b->timesteps >= 1 && b->timesteps <= plan->desc.max_timesteps,
          "%s: timesteps %d is not in 1..%d, the plan's max_timesteps", who, b->timesteps, plan->desc.max_timesteps);
  REQUIRE(!b->lengths || !b->mask, "%s: lengths and mask are both given; at most one of them may be", who);
  for (int n = 0; b->lengths && n < b->batch; n++)
    REQUIRE(b->lengths[n] >= 0 && b->lengths[n] <= b->timesteps, "%s: lengths[%d] %d is not in 0..%d, the timesteps",
            who, n, (int)b->lengths[n], b->timesteps);
  return RONDO_OK;
}

/* One stamp for each slot says which call has named it last, so a call costs no more than its own slots. */
static rondo_status grow_stamps(const char *who, rondo_context *ctx, int slots) {
  if (slots > ctx->stamp_count) {
    uint32_t *grown = calloc((size_t)slots, sizeof *grown);
    if (!grown) return rondo_fail(RONDO_OUT_OF_MEMORY, "%s: no host memory to check slot_count %d", who, slots);
    free(ctx->stamps);
    ctx->stamps = grown;
    ctx->stamp_count = slots;
    ctx->stamp = 0;
  }
  if (++ctx->stamp == 0) { /* all numbers used up */
    memset(ctx->stamps, 0, (size_t)ctx->stamp_count * sizeof *ctx->stamps);
    ctx->stamp = 1;
  }
  return RONDO_OK;
}

static rondo_status check_slots(const char *who, rondo_context *ctx, const rondo_batch *b) {
  REQUIRE(b->slots || !b->slot_count, "%s: slot_count is %d, but slots is NULL", who, b->slot_count);
  if (!b->slots) return RONDO_OK;
  REQUIRE(b->slot_count >= b->batch, "%s: slot_count %d is less than batch %d", who, b->slot_count, b->batch);
  TRY(grow_stamps(who, ctx, b->slot_count));
  for (int n = 0; n < b->batch; n++) {
    int slot = b->slots[n];
    REQUIRE(slot >= 0 && slot < b->slot_count, "%s: slots[%d] %d is not in 0..%d, below slot_count", who, n, slot,
            b->slot_count - 1);
    REQUIRE(ctx->stamps[slot] != ctx->stamp, "%s: slots[%d] %d is there twice", who, n, slot);
    ctx->stamps[slot] = ctx->stamp;
  }
  return RONDO_OK;
}

static rondo_status check_pointer(const char *who, const char *name, const void *pointer, int required,
                                  size_t alignment) {
  REQUIRE(pointer || !required, "%s: %s is NULL", who, name);
  REQUIRE((uintptr_t)pointer % alignment == 0, "%s: %s %p is not aligned to %zu bytes", who, name, pointer, alignment);
  return RONDO_OK;
}

/* h and c are for cells that have them. */
static rondo_status check_states(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  int lstm = 0, recurrent = 0;
  for (int d = 0; d < plan->directions; d++) {
    lstm |= plan->direction[d].cell == RONDO_LSTM;
    recurrent |= plan->direction[d].cell != RONDO_DENSE;
  }
  REQUIRE(recurrent || (!b->h_0 && !b->h_n), "%s: %s is not NULL, but RONDO_DENSE has no state", who,
          b->h_0 ? "h_0" : "h_n");
  REQUIRE(lstm || (!b->c_0 && !b->c_n), "%s: %s is not NULL, but only an LSTM has c", who, b->c_0 ? "c_0" : "c_n");
  TRY(check_pointer(who, "h_0", b->h_0, 0, sizeof(float)));
  return check_pointer(who, "c_0", b->c_0, 0, sizeof(float));
}

static rondo_status check_outputs(const char *who, const rondo_batch *b) {
  const struct {
    const char *name;
    const void *pointer, *may_be; /* the state that it may update in place */
  } outputs[] = {{"y", b->y, NULL}, {"y_last", b->y_last, NULL}, {"h_n", b->h_n, b->h_0}, {"c_n", b->c_n, b->c_0}};
  const void *const others[] = {b->x, b->params, b->workspace, b->reserve, b->dropout_masks, b->h_0, b->c_0,
                                b->y, b->y_last, b->h_n,       b->c_n};
  int wanted = 0;
  for (int i = 0; i < 4; i++) {
    const void *pointer = outputs[i].pointer;
    if (!pointer) continue;
    wanted++;
    TRY(check_pointer(who, outputs[i].name, pointer, 0, sizeof(float)));
    int same = pointer == outputs[i].may_be ? -1 : 0; /* itself is among the others once */
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) same += others[k] == pointer;
    REQUIRE(same == 1, "%s: %s %p is another field's memory too; only h_n may be h_0, and c_n c_0", who,
            outputs[i].name, pointer);
  }
  REQUIRE(wanted, "%s: y, y_last, h_n and c_n are all NULL, so there is nothing to compute", who);
  return RONDO_OK;
}

static rondo_status check_masks(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  size_t floats = 0;
  for (int d = 0; d < plan->directions; d++) floats += rondo_mask_floats(plan, 0, d, 1);
  const rondo_layer *layer = &plan->desc.layer;
  REQUIRE(!b->dropout_masks || floats,
          "%s: dropout_masks is not NULL, but the plan has training %d, dropout %g, recurrent_dropout %g", who,
          plan->desc.training, (double)layer->dropout, (double)layer->recurrent_dropout);
  return check_pointer(who, "dropout_masks", b->dropout_masks, 0, sizeof(float));
}

static rondo_status check_inputs(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  TRY(check_pointer(who, "params", b->params, 1, RONDO_CALLER_ALIGNMENT));
  TRY(check_pointer(who, "workspace", b->workspace, plan->sizes.workspace != 0, RONDO_CALLER_ALIGNMENT));
  TRY(check_pointer(who, "reserve", b->reserve, plan->sizes.reserve != 0, RONDO_CALLER_ALIGNMENT));
  REQUIRE(plan->desc.training || !b->reserve, "%s: reserve is not NULL, but the plan has training 0", who);
  TRY(check_pointer(who, "x", b->x, 1, sizeof(float)));
  TRY(check_masks(who, plan, b));
  const void *const scratch[] = {b->workspace, b->reserve};
  const void *const given[] = {b->x, b->params, b->h_0, b->c_0, b->dropout_masks, b->workspace};
  const int last = sizeof given / sizeof *given - 1; /* the workspace, which is not compared with itself */
  for (int i = 0; i < 2; i++)
    for (int k = 0; k < last + i; k++)
      REQUIRE(!scratch[i] || scratch[i] != given[k], "%s: %s %p is another field's memory too", who,
              i ? "reserve" : "workspace", scratch[i]);
  return check_states(who, plan, b);
}

/* One way to step from row to row: how many rows, how far apart. */
typedef struct walk {
  size_t count, stride;
} walk;

/* Floats from the first row's start to the last row's end; SIZE_MAX: a pointer difference in bytes cannot hold it. */
static size_t extent(const walk *walks, int count, size_t width) {
  size_t floats = width;
  for (int i = 0; i < count; i++) floats = rondo_size_add(floats, rondo_size_mul(walks[i].stride, walks[i].count - 1));
  return floats > PTRDIFF_MAX / sizeof(float) ? SIZE_MAX : floats;
}

static void swap_walks(walk *a, walk *b) {
  walk kept = *a;
  *a = *b, *b = kept;
}

/* Whether no two rows share memory: each walk's steps must be as long as all that the shorter ones cover. (Rows that
 * interleave in other ways are refused, too.) */
static int rows_apart(walk *walks, int count, size_t width) {
  for (int i = 0; i < count; i++)
    for (int k = i + 1; k < count; k++)
      if (walks[k].stride < walks[i].stride) swap_walks(&walks[i], &walks[k]);
  size_t covered = width;
  for (int i = 0; i < count; i++) {
    if (walks[i].count == 1) continue;
    if (walks[i].stride < covered) return 0;
    covered = rondo_size_add(covered, rondo_size_mul(walks[i].stride, walks[i].count - 1));
  }
  return 1;
}

/* Rows of y or y_last, with their halves: beside each other they are one wide row, elsewhere a walk of their own. */
static rondo_status check_rows(const char *who, const rondo_plan *plan, const char *name, walk over_n, walk over_t,
                               size_t direction) {
  walk walks[] = {over_n, over_t, {1, 0}};
  size_t width = y_columns(plan);
  if (has_halves(plan) && !(plan->desc.layer.merge == RONDO_CONCAT && direction == (size_t)plan->output_size[0])) {
    walks[2] = (walk){2, direction};
    width = rondo_widest_output(plan);
  }
  REQUIRE(extent(walks, 3, width) != SIZE_MAX, "%s: strides {%zu, %zu, %zu} of %s lead beyond this machine's addresses",
          who, over_n.stride, over_t.stride, direction, name);
  REQUIRE(rows_apart(walks, 3, width), "%s: strides {%zu, %zu, %zu} of %s let its rows of %zu floats overlap", who,
          over_n.stride, over_t.stride, direction, name, width);
  return RONDO_OK;
}

static rondo_status check_output_strides(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  size_t n = (size_t)b->batch, t = (size_t)b->timesteps;
  rondo_strides y = rondo_y_strides(plan, b);
  if (b->y) TRY(check_rows(who, plan, "y", (walk){n, y.sequence}, (walk){t, y.timestep}, y.direction));
  walk last = {n, rondo_y_last_stride(plan, b)};
  return b->y_last ? check_rows(who, plan, "y_last", last, (walk){1, 0}, rondo_y_last_direction(plan, b)) : RONDO_OK;
}

/* Of h_0, c_0, h_n and c_n. */
static rondo_status check_state_stride(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  size_t widest = rondo_widest_hidden(plan), rows = (size_t)(b->slots ? b->slot_count : b->batch);
  REQUIRE(!b->state_stride || b->state_stride >= widest, "%s: state_stride %zu is less than hidden_size %zu", who,
          b->state_stride, widest);
  rows = rondo_size_mul(rows, (size_t)plan->desc.layer.num_layers * (size_t)plan->directions);
  walk states = {rows, b->state_stride ? b->state_stride : widest};
  REQUIRE(rows != SIZE_MAX && extent(&states, 1, widest) != SIZE_MAX,
          "%s: state_stride %zu leads beyond this machine's addresses", who, b->state_stride);
  return RONDO_OK;
}

/* Strides of arrays that are not there do not matter. */
static rondo_status check_strides(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  rondo_strides x = rondo_x_strides(plan, b);
  walk walks[] = {{(size_t)b->batch, x.sequence}, {(size_t)b->timesteps, x.timestep}};
  REQUIRE(extent(walks, 2, (size_t)plan->desc.layer.input_size) != SIZE_MAX,
          "%s: x_strides {%zu, %zu} lead beyond this machine's addresses", who, x.sequence, x.timestep);
  TRY(check_output_strides(who, plan, b));
  return b->h_0 || b->c_0 || b->h_n || b->c_n ? check_state_stride(who, plan, b) : RONDO_OK;
}

/* Are the parameters those of this plan? */
static rondo_status check_params(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  int layers = plan->desc.layer.num_layers, all = layers + (plan->head.hidden_size > 0);
  if (!plan->ops->check_params || plan->desc.training) return RONDO_OK;
  for (int index = 0; index < all; index++)
    for (int d = 0; d < (index < layers ? plan->directions : 1); d++) {
      const unsigned char *part = (const unsigned char *)b->params + rondo_params_offset(plan, index, d);
      const rondo_layer *layer = rondo_layer_at(plan, index, d);
      TRY(plan->ops->check_params(who, plan, layer, rondo_layer_inputs(plan, index), part, index));
    }
  return RONDO_OK;
}

/* What forward and backward have in common. */
static rondo_status check_call(const char *who, const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  REQUIRE(plan, "%s: plan is NULL", who);
  REQUIRE(ctx, "%s: ctx is NULL", who);
  REQUIRE(batch, "%s: batch is NULL", who);
  TRY(rondo_check_match(who, plan, ctx));
  REQUIRE(plan->desc.threads <= ctx->desc.threads, "%s: the plan's threads %d are more than the context's %d", who,
          plan->desc.threads, ctx->desc.threads);
  TRY(check_sizes(who, plan, batch));
  TRY(check_slots(who, ctx, batch));
  return check_inputs(who, plan, batch);
}

rondo_status rondo_check_batch(const char *who, const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  TRY(check_call(who, plan, ctx, batch));
  TRY(check_outputs(who, batch));
  TRY(check_strides(who, plan, batch));
  return check_params(who, plan, batch);
}

/* One gradient field: its alignment, and whether the cell has what it is the gradient of. */
static rondo_status check_gradient(const char *who, const char *name, const void *pointer, size_t alignment, int exists,
                                   const char *why) {
  TRY(check_pointer(who, name, pointer, 0, alignment));
  REQUIRE(!pointer || exists, "%s: %s is not NULL, but %s", who, name, why);
  return RONDO_OK;
}

static rondo_status check_gradients(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  int recurrent = plan->direction[0].cell != RONDO_DENSE, lstm = plan->direction[0].cell == RONDO_LSTM;
  lstm |= plan->directions == 2 && plan->direction[1].cell == RONDO_LSTM;
  const char *no_state = "RONDO_DENSE has no state", *no_c = "only an LSTM has c";
  TRY(check_gradient(who, "dy", b->dy, sizeof(float), 1, ""));
  TRY(check_gradient(who, "dy_last", b->dy_last, sizeof(float), 1, ""));
  TRY(check_gradient(who, "dh_n", b->dh_n, sizeof(float), recurrent, no_state));
  TRY(check_gradient(who, "dc_n", b->dc_n, sizeof(float), lstm, no_c));
  TRY(check_gradient(who, "dx", b->dx, sizeof(float), 1, ""));
  TRY(check_gradient(who, "dparams", b->dparams, RONDO_CALLER_ALIGNMENT, 1, ""));
  TRY(check_gradient(who, "dh_0", b->dh_0, sizeof(float), recurrent, no_state));
  TRY(check_gradient(who, "dc_0", b->dc_0, sizeof(float), lstm, no_c));
  REQUIRE(b->dy || b->dy_last || b->dh_n || b->dc_n, "%s: dy, dy_last, dh_n and dc_n are all NULL", who);
  REQUIRE(b->dx || b->dparams || b->dh_0 || b->dc_0, "%s: dx, dparams, dh_0 and dc_0 are all NULL", who);
  REQUIRE(!b->dy || b->y, "%s: dy is not NULL, but y is, which the forward call must have given", who);
  REQUIRE(!b->dy_last || b->y_last, "%s: dy_last is not NULL, but y_last is, which the forward call must have given",
          who);
  const void *const wanted[] = {b->dx, b->dparams, b->dh_0, b->dc_0};
  const void *const others[] = {b->x,   b->params,  b->h_0,  b->c_0,  b->reserve, b->workspace, b->dropout_masks,
                                b->dy,  b->dy_last, b->dh_n, b->dc_n, b->dx,      b->dparams,   b->dh_0,
                                b->dc_0};
  static const char *const names[] = {"dx", "dparams", "dh_0", "dc_0"};
  for (int i = 0; i < 4; i++) {
    int same = 0; /* itself is among the others once */
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) same += wanted[i] && others[k] == wanted[i];
    REQUIRE(same <= 1, "%s: %s %p is another field's memory too", who, names[i], wanted[i]);
  }
  return RONDO_OK;
}

rondo_status rondo_check_backward(const char *who, const rondo_plan *plan, rondo_context *ctx,
                                  const rondo_batch *batch) {
  TRY(check_call(who, plan, ctx, batch));
  REQUIRE(plan->desc.training, "%s: the plan has training 0", who);
  TRY(check_gradients(who, plan, batch));
  rondo_batch placed = *batch; /* gradients lie where the outputs do, so their strides are checked as those */
  placed.y = batch->dy ? batch->workspace : NULL;
  placed.y_last = batch->dy_last ? batch->workspace : NULL;
  placed.h_n = batch->dh_n || batch->dc_n || batch->dh_0 || batch->dc_0 ? batch->workspace : NULL;
  return check_strides(who, plan, &placed);
}
