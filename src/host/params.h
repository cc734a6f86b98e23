/* params.h - reading weights from a framework's own order.
 *
 * A backend's pack walks its own layout and asks here for one number at a time, so no backend knows of frameworks.
 * Inline, because librondo and the CUDA module both need it. */
#ifndef RONDO_PARAMS_H
#define RONDO_PARAMS_H

#include "internal.h"

/* Where gate g (of i, f, g, o) stands in the framework's order: ONNX has i, o, f, g; the others agree with us. */
static inline size_t rondo_weights_gate(const rondo_weights *from, int g) {
  static const size_t onnx[RONDO_GATES] = {0, 2, 3, 1};
  return from->format == RONDO_ONNX ? onnx[g] : (size_t)g;
}

/* Element (k, gate g of unit j) of a matrix with `rows` inputs: (rows, 4H) for Keras, (4H, rows) for the others. */
static inline float rondo_weights_at(const rondo_weights *from, const float *matrix, size_t rows, size_t units,
                                     size_t k, int g, size_t j) {
  size_t column = rondo_weights_gate(from, g) * units + j;
  return from->format == RONDO_KERAS ? matrix[k * RONDO_GATES * units + column] : matrix[column * rows + k];
}

/* The kernel: input k of F to gate g of unit j. */
static inline float rondo_weights_kernel(const rondo_weights *from, size_t inputs, size_t units, size_t k, int g,
                                         size_t j) {
  return rondo_weights_at(from, from->kernel, inputs, units, k, g, j);
}

/* The recurrent kernel: unit k's h to gate g of unit j. */
static inline float rondo_weights_recurrent(const rondo_weights *from, size_t units, size_t k, int g, size_t j) {
  return rondo_weights_at(from, from->recurrent_kernel, units, units, k, g, j);
}

/* The bias of gate g of unit j: both biases summed in double and rounded once, as an LSTM adds them to the same sum. */
static inline float rondo_weights_bias(const rondo_weights *from, size_t units, int g, size_t j) {
  size_t column = rondo_weights_gate(from, g) * units + j;
  double sum = (from->bias ? from->bias[column] : 0.0) + (from->recurrent_bias ? from->recurrent_bias[column] : 0.0);
  return (float)sum;
}

#endif
