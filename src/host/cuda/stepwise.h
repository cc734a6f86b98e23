/* stepwise.h - what the files of the algorithms share: the parameter block and the workspace of a layer, in parts. */
#ifndef RONDO_CUDA_STEPWISE_H
#define RONDO_CUDA_STEPWISE_H

#include "../../kernels/kernels.h"
#include "../half.h"
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
  void *matrix, *projection; /* of the plan's type of weights */
  float *bias, *peephole, *gamma_kernel, *gamma_recurrent, *gamma_cell, *beta_cell;
} rondo_cuda_params_parts;

/* Carves a block, or on NULL measures it. */
size_t rondo_cuda_params(rondo_dtype type, const rondo_layer *layer, size_t inputs, const void *base,
                         rondo_cuda_params_parts *parts);

/* ---- one layer and direction of one call ---- */

/* The workspace, carved (stepwise.c). NULL: the layer has no use for it. */
typedef struct rondo_cuda_parts {
  void *blas;        /* cuBLAS's own */
  void *hx;          /* (chunk, N, row): rows [h | x], of the type of weights; hoisted (N, row): h */
  void *x;           /* hoisted, (chunk, N, row): x, of the type of weights */
  float *gates;      /* (N, K), hoisted (chunk, N, G*H), DENSE (chunk, N, H): products */
  float *recurrent;  /* (N, G*H): h @ R, where cells take it apart: see rondo_cuda_is_apart */
  float *c;          /* (N, H) */
  void *h;           /* (N, H): h before its projection, of the type of weights; with reset_before, the old h */
  float *exact;      /* (N, O): with weights of 16 bits h, where cells need more of the old one than is in hx */
  float *projected;  /* (N, O) */
  rondo_row *row;    /* (N) */
  int32_t *position; /* (N, T) */
  uint32_t *bits;    /* (N, ceil(T / 32)) */
  float *masked;     /* (K / H, N, row): rows for each gate; training with recurrent_dropout */
} rondo_cuda_parts;

typedef struct rondo_cuda_run {
  const rondo_plan *plan;
  const rondo_cuda_state *state;
  const rondo_pass *pass;
  rondo_cuda_params_parts params;
  rondo_cuda_parts parts;
  rondo_step step; /* row and position of this call; rows and step of the step at hand */
  int hx_row;      /* numbers */
  int x_row;       /* of parts.x */
  int ahead;       /* hoisted: gates of the step at hand is x @ W already */
} rondo_cuda_run;

/* Whether h @ R is not added to x @ W by a product. (Training's reserve has the spread sums.) */
static inline int rondo_cuda_is_apart(const rondo_plan *plan, const rondo_layer *layer, int ahead) {
  return layer->layer_norm || (ahead && rondo_cuda_is_spread(layer) && !plan->desc.training);
}

/* One of a plan's kinds of layer: the first one and those above it, of each direction, and the head. */
typedef struct rondo_cuda_kind {
  const rondo_layer *layer;
  size_t inputs;
} rondo_cuda_kind;
enum { RONDO_CUDA_KINDS = 5 };
int rondo_cuda_kinds(const rondo_plan *plan, rondo_cuda_kind kinds[RONDO_CUDA_KINDS]);

/* What an algorithm does with a plan whose chunk is known: refuses what is too large, and fills layer_workspace. */
rondo_status rondo_cuda_measure(rondo_plan *plan, const rondo_cuda_state *state, int ahead);

/* A pass with its memory, and cuBLAS ready for its products. */
rondo_status rondo_cuda_begin(const rondo_plan *plan, const rondo_cuda_state *state, const rondo_pass *pass, int ahead,
                              rondo_cuda_run *run);

/* Numbers of a row of so many that products read. */
size_t rondo_cuda_row_numbers(rondo_dtype type, size_t columns);

/* Steps from start on in which as many rows take part as in it. */
static inline int rondo_cuda_equal_steps(const rondo_schedule *s, int start) {
  int end = start + 1;
  if (s->full) return s->steps - start;
  while (end < s->steps && s->active[end] == s->active[start]) end++;
  return end - start;
}

static inline rondo_dtype rondo_cuda_type(const rondo_cuda_run *run) {
  return run->plan->desc.weights;
}

/* Number `index` of an array of the type of weights. */
static inline void *rondo_cuda_at(const rondo_cuda_run *run, void *array, size_t index) {
  return (unsigned char *)array + index * rondo_dtype_bytes(rondo_cuda_type(run));
}

/* to (rows, columns) = from (rows, inner) @ matrix (inner, columns), or with add += it, row-major with numbers from row
 * to row as given: floats in to, those of the type of weights in the others. */
typedef struct rondo_cuda_matrix {
  void *at;
  int stride;
} rondo_cuda_matrix;
rondo_status rondo_cuda_product(const rondo_cuda_run *run, int rows, int columns, int inner, rondo_cuda_matrix from,
                                rondo_cuda_matrix matrix, int add, rondo_cuda_matrix to);

/* x (and before the first step h_0) of the next `steps` steps from run->step on into hx. */
rondo_status rondo_cuda_gather(const rondo_cuda_run *run, int steps);

/* ---- dense.c ---- */

/* x of `steps` timesteps from start on as one matrix, row n of timestep t after the other; at NULL: they do not lie
 * evenly. */
rondo_cuda_matrix rondo_cuda_even_rows(const rondo_pass *pass, int start, int steps);

/* The whole pass. */
rondo_status rondo_cuda_dense(rondo_cuda_run *run);

/* ---- cells.c: one step; hx its rows, next those of the next one ---- */
rondo_status rondo_cuda_cell(const rondo_cuda_run *run, void *hx, void *next);

/* ---- training_dropout.c: gates = [h | x] @ [R; W], or with layer_norm apart, each gate's rows with its masks ---- */
rondo_status rondo_cuda_project_masked(const rondo_cuda_run *run, const float *hx, int first, int count);
rondo_status rondo_cuda_project_masked_apart(const rondo_cuda_run *run, const float *hx);

/* ---- rows.c ---- */

/* Brings the rows of a call with lengths, a mask, slots or restart to the device, and fills run->step. */
rondo_status rondo_cuda_rows_begin(rondo_cuda_run *run);

/* Writes what no step has: y on skipped steps, and the outputs of sequences that have none. */
rondo_status rondo_cuda_rows_end(const rondo_cuda_run *run);

#endif
