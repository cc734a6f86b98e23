/* params.h - reading weights from a framework's own order.
 *
 * A backend's pack walks its own layout and asks here for one number at a time, so no backend knows of frameworks.
 * Gates are numbered as Keras orders them: LSTM i, f, g, o; GRU z, r, h. Inline, because librondo and the CUDA module
 * both need it. */
#ifndef RONDO_PARAMS_H
#define RONDO_PARAMS_H

#include "internal.h"

/* Where gate g stands in the framework's order. */
static inline size_t rondo_weights_gate(const rondo_layer *layer, rondo_format format, int g) {
  static const size_t onnx_lstm[] = {0, 2, 3, 1}; /* i, o, f, g */
  static const size_t torch_gru[] = {1, 0, 2};    /* r, z, n */
  if (layer->cell == RONDO_LSTM && format == RONDO_ONNX) return onnx_lstm[g];
  if (layer->cell == RONDO_GRU && (format == RONDO_PYTORCH || format == RONDO_CUDNN)) return torch_gru[g];
  return (size_t)g;
}

/* Column of gate g of unit j, in anything with G*H columns. */
static inline size_t rondo_weights_column(const rondo_layer *layer, rondo_format format, int g, size_t j) {
  return rondo_weights_gate(layer, format, g) * (size_t)layer->hidden_size + j;
}

/* Element (k, gate g of unit j) of a matrix with `rows` inputs: (rows, G*H) for Keras, (G*H, rows) for the others. */
static inline float rondo_weights_at(const rondo_layer *layer, rondo_format format, const float *matrix, size_t rows,
                                     size_t k, int g, size_t j) {
  size_t columns = (size_t)rondo_gates(layer) * (size_t)layer->hidden_size;
  size_t column = rondo_weights_column(layer, format, g, j);
  return format == RONDO_KERAS ? matrix[k * columns + column] : matrix[column * rows + k];
}

/* The kernel: input k of F to gate g of unit j. */
static inline float rondo_weights_kernel(const rondo_layer *layer, const rondo_weights *from, size_t inputs, size_t k,
                                         int g, size_t j) {
  return rondo_weights_at(layer, from->format, from->kernel, inputs, k, g, j);
}

/* The recurrent kernel: column k of h (O) to gate g of unit j. */
static inline float rondo_weights_recurrent(const rondo_layer *layer, const rondo_weights *from, size_t k, int g,
                                            size_t j) {
  return rondo_weights_at(layer, from->format, from->recurrent_kernel, (size_t)rondo_output_size(layer), k, g, j);
}

/* Whether gate g keeps its recurrent bias apart from the other one: h of a GRU that resets after its product. */
static inline int rondo_weights_two_biases(const rondo_layer *layer, int g) {
  return layer->cell == RONDO_GRU && !layer->reset_before && g == 2;
}

/* The bias of gate g of unit j: what is added to x @ kernel + h @ recurrent_kernel. The two biases are summed in double
 * and rounded once, as they are added to the same sum; but see rondo_weights_recurrent_bias. */
static inline float rondo_weights_bias(const rondo_layer *layer, const rondo_weights *from, int g, size_t j) {
  size_t column = rondo_weights_column(layer, from->format, g, j);
  double sum = from->bias ? from->bias[column] : 0.0;
  if (from->recurrent_bias && !rondo_weights_two_biases(layer, g)) sum += from->recurrent_bias[column];
  return (float)sum;
}

/* Where gate g has two biases, the one of h @ recurrent_kernel; else 0. */
static inline float rondo_weights_recurrent_bias(const rondo_layer *layer, const rondo_weights *from, int g, size_t j) {
  if (!from->recurrent_bias || !rondo_weights_two_biases(layer, g)) return 0;
  return from->recurrent_bias[rondo_weights_column(layer, from->format, g, j)];
}

/* The peephole weight of unit j for i (0), f (1) or o (2). */
static inline float rondo_weights_peephole(const rondo_layer *layer, const rondo_weights *from, int which, size_t j) {
  static const size_t onnx[] = {0, 2, 1}; /* i, o, f */
  size_t row = from->format == RONDO_ONNX ? onnx[which] : (size_t)which;
  return from->peephole[row * (size_t)layer->hidden_size + j];
}

/* The projection: unit j to column k of O. */
static inline float rondo_weights_projection(const rondo_layer *layer, const rondo_weights *from, size_t j, size_t k) {
  if (from->format == RONDO_KERAS) return from->projection[j * (size_t)layer->projection_size + k];
  return from->projection[k * (size_t)layer->hidden_size + j];
}

/* A factor of layer_norm, for gate g of unit j; gamma is gamma_kernel or gamma_recurrent. */
static inline float rondo_weights_gamma(const rondo_layer *layer, const rondo_weights *from, const float *gamma, int g,
                                        size_t j) {
  return gamma ? gamma[rondo_weights_column(layer, from->format, g, j)] : 1;
}

#endif
