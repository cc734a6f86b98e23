/* params.c - the parameter block of one layer, as its products and kernels read it: matrix and projection as numbers of
 * the plan's type of weights, all else as floats.
 *
 *   matrix (O + F, K) row-major: recurrent_kernel (O rows) over kernel (F rows), so that a row [h | x] times it is the
 *     whole step. h comes first so that it starts every row: aligned, whatever F is. K columns, H for each of
 *       LSTM   i, f, g, o
 *       GRU    x, z, r, h: the gate h keeps h @ R and x @ W apart, as r comes between. Spread over two columns of which
 *              each has zeros where the other has weights, one product does for all; and they are at the ends, so
 *              that the columns that belong to x, and those that belong to h, lie together for products of their own
 *              z, r, h with reset_before or layer_norm, which take two products anyway
 *       RNN, DENSE: one
 *   bias (K), of a GRU always (4H) as z, r, x, h; zeros without
 *   peephole (3, H), projection (H, O), gamma_kernel and gamma_recurrent (G*H), gamma_cell and beta_cell (H): where the
 *     layer has them */
#include "../params.h"
#include "../arena.h"
#include "stepwise.h"

#include <stdlib.h>

size_t rondo_cuda_params(rondo_dtype type, const rondo_layer *layer, size_t inputs, const void *base,
                         rondo_cuda_params_parts *parts) {
  rondo_arena arena = {.base = (unsigned char *)base}; /* only addresses are made of it */
  size_t units = (size_t)layer->hidden_size, gates = (size_t)rondo_gates(layer);
  size_t output = (size_t)rondo_output_size(layer), norm = layer->layer_norm != 0;
  size_t rows = rondo_size_add(inputs, layer->cell == RONDO_DENSE ? 0 : output);
  size_t columns = rondo_size_mul((size_t)rondo_cuda_columns(layer), units);
  size_t biases = layer->cell == RONDO_GRU ? 4 : gates, f = sizeof(float), w = rondo_dtype_bytes(type);
  parts->matrix = rondo_arena_take(&arena, rows, rondo_size_mul(columns, w));
  parts->bias = rondo_arena_take(&arena, biases * f, units);
  parts->peephole = layer->peephole ? rondo_arena_take(&arena, 3 * f, units) : NULL;
  parts->projection = layer->projection_size ? rondo_arena_take(&arena, output, rondo_size_mul(units, w)) : NULL;
  parts->gamma_kernel = norm ? rondo_arena_take(&arena, gates * f, units) : NULL;
  parts->gamma_recurrent = norm ? rondo_arena_take(&arena, gates * f, units) : NULL;
  norm = norm && layer->cell == RONDO_LSTM;
  parts->gamma_cell = norm ? rondo_arena_take(&arena, f, units) : NULL;
  parts->beta_cell = norm ? rondo_arena_take(&arena, f, units) : NULL;
  return arena.used;
}

size_t rondo_cuda_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  rondo_cuda_params_parts parts;
  return rondo_cuda_params(plan->desc.weights, layer, inputs, NULL, &parts);
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

typedef struct packing {
  rondo_dtype type;
  const rondo_layer *layer;
  const rondo_weights *from;
  size_t units, inputs, output;
} packing;

/* Gate g's weight of row k of the matrix to unit j: k < O is of h. */
static float weight(const packing *p, size_t k, int g, size_t j) {
  if (k < p->output) return rondo_weights_recurrent(p->layer, p->from, k, g, j);
  return rondo_weights_kernel(p->layer, p->from, p->inputs, k - p->output, g, j);
}

/* Element i of an array of weights. */
static void put(const packing *p, void *to, size_t i, float weight) {
  if (p->type == RONDO_F32)
    ((float *)to)[i] = weight;
  else
    ((uint16_t *)to)[i] = rondo_to_half(p->type, weight);
}

static void fill_matrix(const packing *p, void *to) {
  size_t i = 0;
  int columns = rondo_cuda_columns(p->layer), spread = rondo_cuda_is_spread(p->layer);
  for (size_t k = 0; k < p->output + p->inputs; k++)
    for (int l = 0; l < columns; l++) {
      int of_h = k < p->output, g = !spread ? l : l > 0 ? l - 1 : 2;
      int zero = spread && l == (of_h ? 0 : 3);
      for (size_t j = 0; j < p->units; j++) put(p, to, i++, zero ? 0 : weight(p, k, g, j));
    }
}

static void fill_bias(const packing *p, float *to) {
  for (int g = 0; g < rondo_gates(p->layer); g++)
    for (size_t j = 0; j < p->units; j++) *to++ = rondo_weights_bias(p->layer, p->from, g, j);
  for (size_t j = 0; j < p->units && p->layer->cell == RONDO_GRU; j++)
    *to++ = rondo_weights_recurrent_bias(p->layer, p->from, 2, j);
}

static void fill_options(const packing *p, const rondo_cuda_params_parts *to) {
  for (int which = 0; which < 3 && to->peephole; which++)
    for (size_t j = 0; j < p->units; j++)
      to->peephole[(size_t)which * p->units + j] = rondo_weights_peephole(p->layer, p->from, which, j);
  for (size_t j = 0; j < p->units && to->projection; j++)
    for (size_t k = 0; k < p->output; k++)
      put(p, to->projection, j * p->output + k, rondo_weights_projection(p->layer, p->from, j, k));
  for (int g = 0; g < rondo_gates(p->layer) && to->gamma_kernel; g++)
    for (size_t j = 0; j < p->units; j++) {
      size_t at = (size_t)g * p->units + j;
      to->gamma_kernel[at] = rondo_weights_gamma(p->layer, p->from, p->from->gamma_kernel, g, j);
      to->gamma_recurrent[at] = rondo_weights_gamma(p->layer, p->from, p->from->gamma_recurrent, g, j);
    }
  for (size_t j = 0; j < p->units && to->gamma_cell; j++) {
    to->gamma_cell[j] = p->from->gamma_cell ? p->from->gamma_cell[j] : 1;
    to->beta_cell[j] = p->from->beta_cell ? p->from->beta_cell[j] : 0;
  }
}

rondo_status rondo_cuda_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                             void *to, const rondo_weights *from) {
  rondo_cuda_params_parts parts;
  size_t bytes = rondo_cuda_params_bytes(plan, layer, inputs);
  void *block = calloc(1, bytes); /* what lies between the parts is copied, too */
  if (!block) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_pack: no host memory for %zu bytes", bytes);
  packing p = {plan->desc.weights, layer, from, (size_t)layer->hidden_size, inputs, 0};
  p.output = layer->cell == RONDO_DENSE ? 0 : (size_t)rondo_output_size(layer);
  rondo_cuda_params(p.type, layer, inputs, block, &parts);
  fill_matrix(&p, parts.matrix);
  fill_bias(&p, parts.bias);
  fill_options(&p, &parts);
  rondo_status status = rondo_cuda_copy(ctx, to, block, bytes);
  free(block);
  return status;
}
