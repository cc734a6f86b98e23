/* canonical.h - the parameter block of training plans, the same on every backend: plain matrices of floats.
 *
 *     recurrent_kernel (O, G*H) | kernel (F, G*H) | bias (G*H) | recurrent_bias (G*H) | peephole (3, H)
 *     | projection (H, O) | gamma_kernel (G*H) | gamma_recurrent (G*H) | gamma_cell (H) | beta_cell (H)
 *
 * of each layer and direction, arrays that the layer does not have left out, the whole filled up to 256 bytes with
 * zeros. Inline, because librondo and the CUDA module both need it. */
#ifndef RONDO_CANONICAL_H
#define RONDO_CANONICAL_H

#include "internal.h"

/* Shape of an array of a layer with `inputs` inputs; rows 0: the layer has none. */
static inline rondo_matrix rondo_canonical_shape(const rondo_layer *layer, size_t inputs, rondo_param which) {
  size_t units = (size_t)layer->hidden_size, gates = (size_t)rondo_gates(layer) * units;
  size_t output = (size_t)rondo_output_size(layer);
  int norm = layer->layer_norm != 0, lstm = layer->cell == RONDO_LSTM;
  int two_biases = layer->cell == RONDO_GRU && !layer->reset_before;
  switch (which) {
    case RONDO_RECURRENT_KERNEL: return (rondo_matrix){0, layer->cell == RONDO_DENSE ? 0 : output, gates};
    case RONDO_KERNEL: return (rondo_matrix){0, inputs, gates};
    case RONDO_BIAS: return (rondo_matrix){0, !layer->no_bias, gates};
    case RONDO_RECURRENT_BIAS: return (rondo_matrix){0, two_biases && !layer->no_bias, gates};
    case RONDO_PEEPHOLE: return (rondo_matrix){0, layer->peephole ? 3 : 0, units};
    case RONDO_PROJECTION: return (rondo_matrix){0, layer->projection_size ? units : 0, output};
    case RONDO_GAMMA_KERNEL:
    case RONDO_GAMMA_RECURRENT: return (rondo_matrix){0, (size_t)norm, gates};
    case RONDO_GAMMA_CELL:
    case RONDO_BETA_CELL: return (rondo_matrix){0, (size_t)(norm && lstm), units};
  }
  return (rondo_matrix){0, 0, 0};
}

/* Arrays in the order in which they lie. */
static const rondo_param rondo_canonical_order[] = {RONDO_RECURRENT_KERNEL, RONDO_KERNEL,          RONDO_BIAS,
                                                    RONDO_RECURRENT_BIAS,   RONDO_PEEPHOLE,        RONDO_PROJECTION,
                                                    RONDO_GAMMA_KERNEL,     RONDO_GAMMA_RECURRENT, RONDO_GAMMA_CELL,
                                                    RONDO_BETA_CELL};
enum { RONDO_CANONICAL_ARRAYS = sizeof rondo_canonical_order / sizeof *rondo_canonical_order };

/* An array with its offset in floats from the start of the layer's part; rows 0: the layer has none. */
static inline rondo_matrix rondo_canonical(const rondo_layer *layer, size_t inputs, rondo_param which) {
  size_t offset = 0;
  for (int i = 0; rondo_canonical_order[i] != which; i++) {
    rondo_matrix before = rondo_canonical_shape(layer, inputs, rondo_canonical_order[i]);
    offset = rondo_size_add(offset, rondo_size_mul(before.rows, before.columns));
  }
  rondo_matrix found = rondo_canonical_shape(layer, inputs, which);
  found.offset = offset;
  return found;
}

/* canonical.c: bytes of a layer's part, a multiple of 256; SIZE_MAX: does not fit. Then filling it. */
size_t rondo_canonical_bytes(const rondo_layer *layer, size_t inputs);
rondo_status rondo_canonical_pack(rondo_context *ctx, const rondo_layer *layer, size_t inputs, void *to,
                                  const rondo_weights *from);

#endif
