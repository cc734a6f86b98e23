/* stepwise.h - what the files of the algorithm share: the parameter block and the workspace of a layer, in parts. */
#ifndef RONDO_CUDA_STEPWISE_H
#define RONDO_CUDA_STEPWISE_H

#include "../../kernels/kernels.h"
#include "cuda.h"

/* ---- params.c ---- */

/* A GRU whose products are one: see params.c. */
static inline int rondo_cuda_is_spread(const rondo_layer *layer) {
  return layer->cell == RONDO_GRU && !layer->reset_before && !layer->layer_norm;
}

/* K / H: columns of the matrix for each unit. */
static inline int rondo_cuda_columns(const rondo_layer *layer) {
  return rondo_cuda_is_spread(layer) ? 4 : rondo_gates(layer);
}

/* Shapes in params.c; NULL: the layer has none. Written on the host while packing, read on the device. */
typedef struct rondo_cuda_params_parts {
  float *matrix, *bias, *peephole, *projection, *gamma_kernel, *gamma_recurrent, *gamma_cell, *beta_cell;
} rondo_cuda_params_parts;

/* Carves a block, or on NULL measures it. */
size_t rondo_cuda_params(const rondo_layer *layer, size_t inputs, const void *base, rondo_cuda_params_parts *parts);

/* ---- one layer and direction of one call ---- */

/* The workspace, carved (stepwise.c). NULL: the layer has no use for it. */
typedef struct rondo_cuda_parts {
  void *blas;        /* cuBLAS's own */
  float *hx;         /* (chunk, N, row): rows [h | x] */
  float *gates;      /* (N, K), DENSE (chunk, N, H): products */
  float *recurrent;  /* (N, K): h @ R of layer_norm */
  float *c;          /* (N, H) */
  float *h;          /* (N, H): h before its projection; with reset_before, the old h */
  float *projected;  /* (N, O) */
  rondo_row *row;    /* (N) */
  int32_t *position; /* (N, T) */
  uint32_t *bits;    /* (N, ceil(T / 32)) */
} rondo_cuda_parts;

typedef struct rondo_cuda_run {
  const rondo_plan *plan;
  const rondo_cuda_state *state;
  const rondo_pass *pass;
  rondo_cuda_params_parts params;
  rondo_cuda_parts parts;
  rondo_step step; /* row and position of this call; rows and step of the step at hand */
  int hx_row;      /* floats */
} rondo_cuda_run;

/* to (rows, columns) = from (rows, inner) @ matrix (inner, columns), row-major with floats from row to row as given. */
typedef struct rondo_cuda_matrix {
  float *at;
  int stride;
} rondo_cuda_matrix;
rondo_status rondo_cuda_product(const rondo_cuda_run *run, int rows, int columns, int inner, rondo_cuda_matrix from,
                                rondo_cuda_matrix matrix, rondo_cuda_matrix to);

/* x (and before the first step h_0) of the next `steps` steps from run->step on into hx. */
rondo_status rondo_cuda_gather(const rondo_cuda_run *run, int steps);

/* ---- cells.c: one step; hx its rows, h_next those of the next one ---- */
rondo_status rondo_cuda_cell(const rondo_cuda_run *run, float *hx, float *h_next);

/* ---- dense.c: the whole pass ---- */
rondo_status rondo_cuda_dense(rondo_cuda_run *run);

/* ---- rows.c ---- */

/* Brings the rows of a call with lengths, a mask, slots or restart to the device, and fills run->step. */
rondo_status rondo_cuda_rows_begin(rondo_cuda_run *run);

/* Writes what no step has: y on skipped steps, and the outputs of sequences that have none. */
rondo_status rondo_cuda_rows_end(const rondo_cuda_run *run);

#endif
