/* params.c - rondo_pack: checks one layer's weights and lets the backend write them into its own layout. */
#include "internal.h"

#include "canonical.h"
#include "error.h"

#include <math.h>

static rondo_status check_place(const rondo_plan *plan, const rondo_weights *weights) {
  const rondo_layer *layer = &plan->desc.layer;
  int last = layer->num_layers - 1 + (layer->head_units > 0);
  REQUIRE((unsigned)weights->format <= RONDO_CUDNN, "rondo_pack: format %d is not a rondo_format",
          (int)weights->format);
  REQUIRE(weights->layer >= 0 && weights->layer <= last,
          "rondo_pack: layer %d is not in 0..%d, the plan has %d layer%s%s", weights->layer, last, layer->num_layers,
          layer->num_layers == 1 ? "" : "s", layer->head_units ? " and a head" : "");
  int directions = weights->layer == layer->num_layers ? 1 : plan->directions;
  REQUIRE(weights->direction >= 0 && weights->direction < directions, "rondo_pack: direction %d is not in 0..%d",
          weights->direction, directions - 1);
  return RONDO_OK;
}

/* An array that the layer has no use for is a mistake; one that it needs must be there. */
static rondo_status check_array(const float *array, const char *name, int allowed, int required, const char *why) {
  REQUIRE(array || !required, "rondo_pack: %s is NULL", name);
  REQUIRE(!array || allowed, "rondo_pack: %s is not NULL, but the layer has %s", name, why);
  return RONDO_OK;
}

static rondo_status check_arrays(const rondo_layer *layer, const rondo_weights *w) {
  int dense = layer->cell == RONDO_DENSE, lstm = layer->cell == RONDO_LSTM, norm = layer->layer_norm;
  TRY(check_array(w->kernel, "kernel", 1, 1, ""));
  TRY(check_array(w->recurrent_kernel, "recurrent_kernel", !dense, !dense, "no recurrence"));
  TRY(check_array(w->bias, "bias", !layer->no_bias, 0, "no_bias 1"));
  TRY(check_array(w->recurrent_bias, "recurrent_bias", !layer->no_bias && !dense, 0,
                  dense ? "no recurrence" : "no_bias 1"));
  TRY(check_array(w->peephole, "peephole", layer->peephole, layer->peephole, "peephole 0"));
  TRY(check_array(w->projection, "projection", layer->projection_size, layer->projection_size, "projection_size 0"));
  TRY(check_array(w->gamma_kernel, "gamma_kernel", norm, 0, "layer_norm 0"));
  TRY(check_array(w->gamma_recurrent, "gamma_recurrent", norm, 0, "layer_norm 0"));
  TRY(check_array(w->gamma_cell, "gamma_cell", norm && lstm, 0, "no layer_norm of c"));
  return check_array(w->beta_cell, "beta_cell", norm && lstm, 0, "no layer_norm of c");
}

/* A finite weight must not become infinite: what lies halfway beyond the type's largest number would. Levels of a scale
 * know only finite ones. */
static rondo_status check_range(const rondo_plan *plan, const float *array, const char *name, size_t count) {
  for (size_t i = 0; plan->desc.weights == RONDO_INT8 && array && i < count; i++)
    REQUIRE(isfinite(array[i]), "rondo_pack: %s[%zu] %g is not finite, as weights RONDO_INT8 must be", name, i,
            (double)array[i]);
  if (plan->desc.weights == RONDO_INT8) return RONDO_OK;
  int f16 = plan->desc.weights == RONDO_F16;
  float limit = f16 ? 65520 : 0x1.FFp127f;
  for (size_t i = 0; array && i < count; i++)
    REQUIRE(!(fabsf(array[i]) >= limit) || isinf(array[i]),
            "rondo_pack: %s[%zu] %g is beyond %g, the largest number of %s", name, i, (double)array[i],
            f16 ? 65504 : 0x1.FEp127, f16 ? "RONDO_F16" : "RONDO_BF16");
  return RONDO_OK;
}

static rondo_status check_ranges(const rondo_plan *plan, const rondo_layer *layer, size_t inputs,
                                 const rondo_weights *w) {
  size_t units = (size_t)layer->hidden_size, columns = units * (size_t)rondo_gates(layer);
  size_t outputs = (size_t)rondo_output_size(layer);
  TRY(check_range(plan, w->kernel, "kernel", inputs * columns));
  TRY(check_range(plan, w->recurrent_kernel, "recurrent_kernel", outputs * columns));
  return check_range(plan, w->projection, "projection", units * outputs);
}

rondo_status rondo_pack(const rondo_plan *plan, rondo_context *ctx, void *params, const rondo_weights *weights) {
  REQUIRE(plan, "rondo_pack: plan is NULL");
  REQUIRE(ctx, "rondo_pack: ctx is NULL");
  REQUIRE(params, "rondo_pack: params is NULL");
  REQUIRE(weights, "rondo_pack: weights is NULL");
  TRY(rondo_check_match("rondo_pack", plan, ctx));
  REQUIRE((uintptr_t)params % RONDO_CALLER_ALIGNMENT == 0, "rondo_pack: params %p is not aligned to %d bytes", params,
          RONDO_CALLER_ALIGNMENT);
  TRY(check_place(plan, weights));
  const rondo_layer *layer = rondo_layer_at(plan, weights->layer, weights->direction);
  TRY(check_arrays(layer, weights));
  unsigned char *part = (unsigned char *)params + rondo_params_offset(plan, weights->layer, weights->direction);
  size_t inputs = rondo_layer_inputs(plan, weights->layer);
  if (plan->desc.weights != RONDO_F32) TRY(check_ranges(plan, layer, inputs, weights));
  if (plan->desc.training) return rondo_canonical_pack(ctx, layer, inputs, part, weights);
  return ctx->ops->pack(plan, ctx, layer, inputs, part, weights);
}
