/* params.c - rondo_pack: checks one layer's weights and lets the backend write them into its own layout. */
#include "internal.h"

#include "error.h"

static rondo_status check_weights(const rondo_plan *plan, const rondo_weights *weights) {
  const rondo_layer *layer = &plan->desc.layer;
  REQUIRE((unsigned)weights->format <= RONDO_CUDNN, "rondo_pack: format %d is not a rondo_format",
          (int)weights->format);
  REQUIRE(weights->layer >= 0 && weights->layer < layer->num_layers,
          "rondo_pack: layer %d is not in 0..%d, the plan has num_layers %d", weights->layer, layer->num_layers - 1,
          layer->num_layers);
  REQUIRE(weights->direction == 0, "rondo_pack: direction %d is not 0, the plan is not bidirectional",
          weights->direction);
  REQUIRE(weights->kernel, "rondo_pack: kernel is NULL");
  REQUIRE(weights->recurrent_kernel, "rondo_pack: recurrent_kernel is NULL");
  REQUIRE(!layer->no_bias || !weights->bias, "rondo_pack: bias is not NULL, but the plan has no_bias %d",
          layer->no_bias);
  REQUIRE(!layer->no_bias || !weights->recurrent_bias,
          "rondo_pack: recurrent_bias is not NULL, but the plan has no_bias %d", layer->no_bias);
  return RONDO_OK;
}

rondo_status rondo_pack(const rondo_plan *plan, rondo_context *ctx, void *params, const rondo_weights *weights) {
  REQUIRE(plan, "rondo_pack: plan is NULL");
  REQUIRE(ctx, "rondo_pack: ctx is NULL");
  REQUIRE(params, "rondo_pack: params is NULL");
  REQUIRE(weights, "rondo_pack: weights is NULL");
  TRY(rondo_check_match("rondo_pack", plan, ctx));
  REQUIRE((uintptr_t)params % RONDO_CALLER_ALIGNMENT == 0, "rondo_pack: params %p is not aligned to %d bytes", params,
          RONDO_CALLER_ALIGNMENT);
  TRY(check_weights(plan, weights));
  unsigned char *part = (unsigned char *)params + rondo_layer_params_offset(plan, weights->layer);
  return ctx->ops->pack(plan, ctx, rondo_layer_inputs(plan, weights->layer), part, weights);
}
