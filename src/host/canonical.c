/* canonical.c - packing the parameter block of training plans, and finding an array in it. */
#include "canonical.h"

#include "error.h"
#include "params.h"

#include <stdlib.h>

size_t rondo_canonical_bytes(const rondo_layer *layer, size_t inputs) {
  rondo_matrix last = rondo_canonical(layer, inputs, rondo_canonical_order[RONDO_CANONICAL_ARRAYS - 1]);
  rondo_arena arena = {0};
  rondo_arena_take(&arena, rondo_size_add(last.offset, rondo_size_mul(last.rows, last.columns)), sizeof(float));
  return arena.used;
}

/* One number of an array: row k, gate g of unit j. Where there are no gates g is 0; of a projection j is the column. */
static float element(const rondo_layer *layer, const rondo_weights *from, size_t inputs, rondo_param which, size_t k,
                     int g, size_t j) {
  switch (which) {
    case RONDO_KERNEL: return rondo_weights_kernel(layer, from, inputs, k, g, j);
    case RONDO_RECURRENT_KERNEL: return rondo_weights_recurrent(layer, from, k, g, j);
    case RONDO_BIAS: return rondo_weights_bias(layer, from, g, j);
    case RONDO_RECURRENT_BIAS: return rondo_weights_recurrent_bias(layer, from, g, j);
    case RONDO_PEEPHOLE: return rondo_weights_peephole(layer, from, (int)k, j);
    case RONDO_PROJECTION: return rondo_weights_projection(layer, from, k, j);
    case RONDO_GAMMA_KERNEL: return rondo_weights_gamma(layer, from, from->gamma_kernel, g, j);
    case RONDO_GAMMA_RECURRENT: return rondo_weights_gamma(layer, from, from->gamma_recurrent, g, j);
    case RONDO_GAMMA_CELL: return from->gamma_cell ? from->gamma_cell[j] : 1;
    case RONDO_BETA_CELL: return from->beta_cell ? from->beta_cell[j] : 0;
  }
  return 0;
}

static void fill(const rondo_layer *layer, size_t inputs, rondo_param which, float *to, const rondo_weights *from) {
  rondo_matrix array = rondo_canonical(layer, inputs, which);
  size_t units = (size_t)layer->hidden_size, gates = array.columns / units;
  if (which == RONDO_PROJECTION) units = array.columns, gates = 1;
  for (size_t k = 0; k < array.rows; k++)
    for (size_t g = 0; g < gates; g++)
      for (size_t j = 0; j < units; j++)
        to[array.offset + k * array.columns + g * units + j] = element(layer, from, inputs, which, k, (int)g, j);
}

rondo_status rondo_canonical_pack(rondo_context *ctx, const rondo_layer *layer, size_t inputs, void *to,
                                  const rondo_weights *from) {
  size_t bytes = rondo_canonical_bytes(layer, inputs);
  float *part = calloc(bytes, 1);
  if (!part) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_pack: no host memory for %zu bytes", bytes);
  for (int i = 0; i < RONDO_CANONICAL_ARRAYS; i++) fill(layer, inputs, rondo_canonical_order[i], part, from);
  rondo_status status = ctx->ops->copy(ctx, to, part, bytes);
  free(part);
  return status;
}

rondo_status rondo_plan_param(const rondo_plan *plan, int layer, int direction, rondo_param which,
                              rondo_matrix *where) {
  REQUIRE(plan, "rondo_plan_param: plan is NULL");
  REQUIRE(where, "rondo_plan_param: where is NULL");
  REQUIRE(plan->desc.training, "rondo_plan_param: the plan has training 0, so its block holds no plain matrices");
  int layers = plan->desc.layer.num_layers, last = layers - 1 + (plan->head.hidden_size > 0);
  REQUIRE(layer >= 0 && layer <= last, "rondo_plan_param: layer %d is not in 0..%d", layer, last);
  int directions = layer == layers ? 1 : plan->directions;
  REQUIRE(direction >= 0 && direction < directions, "rondo_plan_param: direction %d is not in 0..%d", direction,
          directions - 1);
  REQUIRE((unsigned)which <= RONDO_BETA_CELL, "rondo_plan_param: which %d is not a rondo_param", (int)which);
  rondo_matrix found = rondo_canonical(rondo_layer_at(plan, layer, direction), rondo_layer_inputs(plan, layer), which);
  REQUIRE(found.rows, "rondo_plan_param: layer %d has no array %d", layer, (int)which);
  found.offset += rondo_params_offset(plan, layer, direction) / sizeof(float);
  *where = found;
  return RONDO_OK;
}
