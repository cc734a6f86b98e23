/* dropout.c - the masks of a training plan: where they lie, and drawing them (philox.h). */
#include "internal.h"

#include "error.h"
#include "philox.h"

/* ---- where masks lie --------------------------------------------------------------------------------------------- */

static size_t input_floats(const rondo_plan *plan, int index, int direction, size_t batch) {
  if (!(plan->direction[direction].dropout > 0)) return 0;
  return rondo_size_mul(rondo_size_mul(batch, (size_t)plan->masks[direction]), rondo_layer_inputs(plan, index));
}

static size_t recurrent_floats(const rondo_plan *plan, int direction, size_t batch) {
  if (!(plan->direction[direction].recurrent_dropout > 0)) return 0;
  size_t outputs = (size_t)plan->output_size[direction];
  return rondo_size_mul(rondo_size_mul(batch, (size_t)plan->masks[direction]), outputs);
}

size_t rondo_mask_floats(const rondo_plan *plan, int index, int direction, size_t batch) {
  if (!plan->desc.training) return 0;
  return rondo_size_add(input_floats(plan, index, direction, batch), recurrent_floats(plan, direction, batch));
}

/* The batch's own masks of a pass. */
static const float *given(const rondo_plan *plan, const rondo_batch *b, int index, int direction) {
  const float *masks = b->dropout_masks;
  for (int i = 0; i <= index; i++)
    for (int d = 0; d < (i < index ? plan->directions : direction); d++)
      masks += rondo_mask_floats(plan, i, d, (size_t)b->batch);
  return masks;
}

/* ---- drawing ----------------------------------------------------------------------------------------------------- */

/* v[i] = or *= the factor of word i. */
static void draw(float *v, size_t count, const rondo_dropout *how, int multiply) {
  const float kept = 1 / (1 - how->rate);
  for (size_t i = 0; i < count; i += 4) {
    uint32_t word[4];
    size_t words = count - i < 4 ? count - i : 4;
    rondo_philox(how->seed, how->sequence, i / 4, word);
    for (size_t k = 0; k < words; k++) {
      float factor = rondo_philox_uniform(word[k]) > how->rate ? kept : 0;
      v[i + k] = multiply ? v[i + k] * factor : factor;
    }
  }
}

static rondo_status draw_mask(rondo_context *ctx, float *mask, size_t count, const rondo_dropout *how) {
  if (ctx->ops->draw_mask) return ctx->ops->draw_mask(ctx, mask, count, how);
  draw(mask, count, how, 0);
  return RONDO_OK;
}

static rondo_status drop(rondo_context *ctx, float *v, size_t count, const rondo_dropout *how) {
  if (ctx->ops->drop) return ctx->ops->drop(ctx, v, count, how);
  draw(v, count, how, 1);
  return RONDO_OK;
}

rondo_status rondo_set_masks(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b, int index, int direction,
                             float *to, int draw, rondo_pass *pass) {
  const rondo_layer *layer = &plan->direction[direction];
  size_t inputs = input_floats(plan, index, direction, (size_t)b->batch);
  size_t recurrent = recurrent_floats(plan, direction, (size_t)b->batch);
  rondo_dropout of_x = {layer->dropout, b->seed, rondo_philox_masks(index, direction, 0)};
  rondo_dropout of_h = {layer->recurrent_dropout, b->seed, rondo_philox_masks(index, direction, 1)};
  const float *masks = b->dropout_masks ? given(plan, b, index, direction) : to;
  pass->masks = plan->masks[direction];
  if (inputs) pass->input_mask = masks;
  if (recurrent) pass->recurrent_mask = masks + inputs;
  if (!draw || b->dropout_masks) return RONDO_OK;
  if (inputs) TRY(draw_mask(ctx, to, inputs, &of_x));
  return recurrent ? draw_mask(ctx, to + inputs, recurrent, &of_h) : RONDO_OK;
}

rondo_status rondo_drop_between(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *b, int index, float *y) {
  rondo_dropout how = {plan->desc.layer.layer_dropout, b->seed,
                       rondo_philox_sequence(RONDO_PHILOX_LAYER_DROPOUT, (uint32_t)index)};
  if (!(how.rate > 0) || index >= plan->desc.layer.num_layers - 1) return RONDO_OK;
  return drop(ctx, y, (size_t)b->timesteps * (size_t)b->batch * (size_t)plan->width, &how);
}
