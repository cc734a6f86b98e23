/* training.h - what the files of training share: a layer's matrices, what forward keeps of a pass, and a pass backward.
 *
 * All steps' rows stand close together: step s has the rows of its active sequences and begins where step s - 1 ends.
 * Runs of steps with equally many rows are so an array (steps, R, columns), and sums over all steps are one product. */
#ifndef RONDO_CUDA_TRAINING_H
#define RONDO_CUDA_TRAINING_H

#include "../canonical.h"
#include "stepwise.h"

/* The arrays of a layer's part of the parameter block, or of dparams, by rondo_param; NULL: the layer has none. */
typedef struct rondo_cuda_arrays {
  float *at[RONDO_BETA_CELL + 1];
} rondo_cuda_arrays;

/* The reserve of a pass, carved. M: rows of all steps, N * T at most. NULL: the layer has no use for it. */
typedef struct rondo_cuda_kept {
  float *hx;         /* (M, row): rows [h | x]; with reset_before [r h | x]; DENSE: x */
  float *gates;      /* (M, K): products as the cell was given them; with layer_norm or recompute they are made again */
  float *h;          /* (M, H): h ahead of its projection; with reset_before the old h */
  rondo_row *row;    /* (N) */
  int32_t *position; /* (N, T) */
} rondo_cuda_kept;

/* The workspace of backward, carved; G*H columns are those of the canonical matrices. */
typedef struct rondo_cuda_scratch {
  void *blas;
  float *dh, *dc;             /* (N, O), (N, H): by the state between two steps */
  float *c;                   /* (N, H): LSTM, see lstm_replay_forward */
  float *old, *fresh;         /* (M, H): LSTM, c before each step; with layer_norm and peephole c' of it, */
  float *normal;              /* (M, H): and with layer_norm its normalisation */
  float *gates;               /* (M, K): recompute, the products again; layer_norm, x @ W, normalised */
  float *recurrent;           /* (M, G*H): layer_norm, h @ R, normalised */
  float *scales[3];           /* (M): layer_norm, of gates, recurrent and fresh */
  float *matrix;              /* (O + F, 4H): recompute of the default GRU */
  float *bias;                /* (4H): GRU */
  float *dgates, *drecurrent; /* (M, G*H): by the sums of x and of h; drecurrent: GRU, where they differ */
  float *dproduct;            /* (M, G*H): layer_norm, by h @ R */
  float *du;                  /* (M, H): LSTM with layer_norm */
  float *dprojected;          /* (M, O): by h as projected */
  float *dhidden;             /* (N, H): by h ahead of its projection; with reset_before by r h */
  float *dx;                  /* (M, F) */
  float *sums;                /* (RONDO_CUDA_PARTS, G*H) */
  float *masked;              /* (M, row): recurrent_dropout, rows for one gate; and with reset_before [h | x] */
  float *dcopies;             /* (G, N, O): recurrent_dropout, by h on its way to each gate */
} rondo_cuda_scratch;

enum { RONDO_CUDA_PARTS = 64 }; /* the most that a sum over rows is cut in */

typedef struct rondo_cuda_back {
  const rondo_plan *plan;
  const rondo_cuda_state *state;
  const rondo_gradient *gradient;
  const rondo_pass *pass; /* of gradient */
  rondo_cuda_arrays params, dparams;
  rondo_cuda_kept kept;
  rondo_cuda_scratch scratch;
  rondo_step step; /* row and position of the call; rows and step of the step at hand */
  size_t first;    /* its first row */
  int rows;        /* of all steps */
  int columns;     /* G*H */
  int hx_row;      /* floats */
} rondo_cuda_back;

/* ---- training.c ---- */

rondo_cuda_arrays rondo_cuda_arrays_of(const rondo_layer *layer, size_t inputs, const void *base);

/* Floats of a row of hx, and its columns of h. */
size_t rondo_cuda_kept_row(const rondo_layer *layer, size_t inputs);
static inline size_t rondo_cuda_h_columns(const rondo_layer *layer) {
  return layer->cell == RONDO_DENSE ? 0 : (size_t)rondo_output_size(layer);
}

/* Carve, or on NULL measure. Returns bytes. */
size_t rondo_cuda_keep(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, void *base,
                       rondo_cuda_kept *kept);
size_t rondo_cuda_scratch_of(const rondo_plan *plan, const rondo_layer *layer, size_t inputs, size_t blas_bytes,
                             void *base, rondo_cuda_scratch *scratch);

/* Gives cuBLAS the stream and its part of the workspace. */
rondo_status rondo_cuda_begin_products(const rondo_cuda_state *state, void *workspace);

/* Whether h is multiplied by masks on its way into products: see training_dropout.c. */
static inline int rondo_cuda_masks_h(const rondo_layer *layer) {
  return layer->recurrent_dropout > 0;
}

/* ---- training_backward.c ---- */

/* A row-major matrix, or what stands for one: its transpose. */
typedef struct rondo_cuda_operand {
  const float *at;
  int stride, transposed;
} rondo_cuda_operand;

/* to (rows, columns) = a (rows, inner) @ b (inner, columns) + beta * to. */
rondo_status rondo_cuda_multiply(const rondo_cuda_back *back, int rows, int columns, int inner, rondo_cuda_operand a,
                                 rondo_cuda_operand b, float beta, rondo_cuda_matrix to);

/* ---- training_dropout.c ---- */

/* x of `steps` steps from run->step on becomes masked where it stands, when only x has masks. */
rondo_status rondo_cuda_mask_x(const rondo_cuda_run *run, int steps, float *hx);

/* Into scratch.masked: [h | x] of all rows on their way to gate `gate`; x is that of kept.hx. */
rondo_status rondo_cuda_mask_all(const rondo_cuda_back *back, rondo_const_rows h, int gate);

/* By the h of the step at hand: dh (R, O) = or += the sum of d_g @ R_g^T * mask_g over so many gates from `first` on,
 * whose d_g begin at by_h. */
rondo_status rondo_cuda_masked_to_h(const rondo_cuda_back *back, const float *by_h, int first, int gates, int add,
                                    float *dh);

/* scratch.dx = the sum over gates of d_g @ W_g^T * mask_g. */
rondo_status rondo_cuda_masked_dx(const rondo_cuda_back *back);

/* ---- training_again.c: the products that forward gave the cell, of all rows once more, into scratch ---- */
rondo_status rondo_cuda_products_again(const rondo_cuda_back *back);

/* The products of all rows, kept or made again. */
static inline const float *rondo_cuda_gates_of(const rondo_cuda_back *back) {
  return back->scratch.gates ? back->scratch.gates : back->kept.gates;
}

/* ---- training_cells.c: before the steps; and the step at hand ---- */
rondo_status rondo_cuda_cell_prepare(const rondo_cuda_back *back);
rondo_status rondo_cuda_cell_backward(const rondo_cuda_back *back);

/* ---- training_gradients.c: after the steps: dparams and dx of all rows ---- */
rondo_status rondo_cuda_gradients(const rondo_cuda_back *back);

#endif
