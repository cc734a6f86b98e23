/* training.h - training on the CPU: what its files share.
 *
 * Letters: N sequences, S steps, H units, G gates, F inputs, O columns of h. A call has M rows, one for each real
 * step of each sequence, step after step, and in a step those of the schedule: row r of step s is row first[s] + r.
 * So what belongs to a step lies together, and x @ W, dx, and every gradient of a weight is one product over all M
 * rows. A DENSE layer has a row for every position, real or not.
 *
 * Dropout multiplies rows on their way into a product. Where each gate has a mask of its own, products go gate by gate.
 *
 * The weights are plain matrices (canonical.h) and are packed anew in each call. Work is shared by threads in
 * phases, with barriers between: products by rows or columns of the result, cells by rows. A call with many sequences
 * gives each thread some of them for all steps, which then need no barrier. No result depends on who computes it. */
#ifndef RONDO_CPU_TRAINING_H
#define RONDO_CPU_TRAINING_H

#include "canonical.h"

#include "cpu/cpu.h"
#include "cpu/gemm.h"

/* One instruction set's. */
typedef struct rondo_cpu_training_kernels {
  rondo_gemm_kernel gemm;
  void (*slopes)(rondo_function function, int count, const float *in, float *to); /* derivatives, all but SOFTMAX's */
} rondo_cpu_training_kernels;

extern const rondo_cpu_training_kernels rondo_cpu_training_kernels_portable;
#if defined(__x86_64__)
extern const rondo_cpu_training_kernels rondo_cpu_training_kernels_avx2, rondo_cpu_training_kernels_avx512;
#endif

/* What forward keeps of a pass in the reserve. A layer keeps what its cell and options need; the rest is NULL. With
 * recompute the reserve has the state alone, h and c; all else is in the workspace, and backward makes it again. */
typedef struct rondo_cpu_training_kept {
  float *gates;                    /* (M, G*H): what the activations gave; DENSE: y */
  float *slopes;                   /* (M, G*H): their derivatives, where those do not follow from what they gave */
  float *h;                        /* (M, O): after the step */
  float *c, *cell;                 /* LSTM (M, H): after the step; and before zoneout, else perhaps the same array */
  float *value, *value_slopes;     /* LSTM (M, H): of output_activation; its derivatives, as slopes */
  float *hidden;                   /* (M, H): with projection, h before it */
  float *recurrent;                /* GRU (M, H): of gate h, the recurrent part that r scales; reset_before: r * h,
                                      times its mask */
  float *normal_x, *normal_h;      /* layer_norm (M, G*H): both products, standardised, */
  float *scale_x, *scale_h;        /* (M): and what by */
  float *normal_cell, *scale_cell; /* LSTM (M, H), (M): likewise */
} rondo_cpu_training_kept;

/* The workspace. Tables have a pointer for each row. */
typedef struct rondo_cpu_training_work {
  size_t *first; /* (S + 1) */
  float **x, **h_before, **c_before, **dx;
  float **input_mask, **recurrent_mask; /* (K, F), (K, O) of the row's sequence; NULL: there are none */
  float *zeros;                         /* a row of a state that is not there */
  /* Forward, and backward with recompute: weights packed, in parts; and rows times masks, or products before that. */
  float *kernel[RONDO_GATES], *recurrent[RONDO_GATES], *projection;
  float *masked_x; /* (M, F), of one part after another */
  float *masked_h; /* (K, rows of a step, O) */
  /* Backward: the transposes packed, */
  float *kernel_turned, *recurrent_turned, *projection_turned;
  /* and the gradients by */
  float *d_input;         /* (M, G*H): what the activations were given, as the inputs' part of it */
  float *d_recurrent;     /* (M, G*H): as the recurrent part; differs in a GRU with reset after */
  float *d_product;       /* (M, G*H): h @ R; differs with layer_norm */
  float *d_projected;     /* (M, O): with projection, its result */
  float *d_normal;        /* (M, H): layer_norm of the LSTM's cell, its result */
  float *dh, *dc;         /* (N, O), (N, H): the state between steps, by row of the schedule */
  float *d_hidden;        /* (N, H): h of the step before the projection */
  float *d_reset;         /* (N, H): reset_before, r * h */
  float *turned, *packed; /* rondo_outer_args */
} rondo_cpu_training_work;

/* The columns of a product in parts that differ in what is multiplied, or in where it goes: gates beside each other. */
typedef struct rondo_cpu_training_part {
  size_t begin, columns;
} rondo_cpu_training_part;

typedef struct rondo_cpu_training_parts {
  int count;
  rondo_cpu_training_part part[RONDO_GATES];
} rondo_cpu_training_parts;

/* A call: one pass, forward or backward. */
typedef struct rondo_cpu_training {
  const rondo_pass *pass;
  const rondo_gradient *gradient; /* NULL: forward */
  const rondo_layer *layer;
  rondo_schedule schedule;
  const rondo_cpu_kernels *functions; /* for map */
  const rondo_cpu_training_kernels *kernels;
  rondo_pool *pool;
  int threads;
  int apart;                              /* steps: each thread has sequences of its own */
  rondo_range sequences;                  /* rows of the schedule that steps are for */
  size_t inputs, units, outputs, columns; /* F, H, O, G*H */
  size_t rows;                            /* M */
  rondo_cpu_training_parts input_parts, recurrent_parts, back_parts;
  int recompute;
  const float *weights[RONDO_BETA_CELL + 1]; /* by rondo_param; NULL: the layer has none */
  rondo_cpu_training_kept kept;
  rondo_cpu_training_work work;
} rondo_cpu_training;

/* ---- training.c -------------------------------------------------------------------------------------------------- */

rondo_status rondo_cpu_training_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cpu_training_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
rondo_status rondo_cpu_training_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient);

/* Parts of x @ W: part i has mask i, if there are any. Those of h @ R likewise; but a GRU's gate h is the last one in
 * any case. And those in which the gradient by h @ R goes back. */
rondo_cpu_training_parts rondo_cpu_training_input_parts(const rondo_layer *layer);
rondo_cpu_training_parts rondo_cpu_training_recurrent_parts(const rondo_layer *layer);
rondo_cpu_training_parts rondo_cpu_training_back_parts(const rondo_layer *layer);

/* The call as a thread sees it while it makes steps: with `apart` one on its own sequences and without other threads,
 * whose scratch is a part of the call's. */
rondo_cpu_training rondo_cpu_training_alone(const rondo_cpu_training *call, int thread);

/* Rows of step s: those of `sequences` that take part. */
rondo_range rondo_cpu_training_step(const rondo_cpu_training *call, int s);

static inline void rondo_cpu_training_barrier(const rondo_cpu_training *call) {
  if (call->threads > 1) rondo_pool_barrier(call->pool);
}

/* Fills the tables for some rows of the schedule; work.first is there. */
void rondo_cpu_training_find_rows(const rondo_cpu_training *call, rondo_range sequences);

/* The row of sequence n in a state. */
static inline ptrdiff_t rondo_cpu_training_state_row(const rondo_pass *pass, int n) {
  return pass->slots ? pass->slots[n] : n;
}

/* ---- training_forward.c, training_backward.c: one thread's part -------------------------------------------------- */

void rondo_cpu_training_forward_thread(void *call, int thread);
void rondo_cpu_training_backward_thread(void *call, int thread);

/* training_forward.c, for backward with recompute: the weights of forward; and, a barrier later, all that is kept but h
 * and c. Ends with a barrier. */
void rondo_cpu_training_pack(const rondo_cpu_training *call, int thread);
void rondo_cpu_training_remake(const rondo_cpu_training *call, int thread);

/* training_weights.c, for backward: gradients by weights and by x, once those by all gates are there. */
void rondo_cpu_training_finish(const rondo_cpu_training *call, int thread);

/* This thread's part of some rows. */
static inline rondo_range rondo_cpu_training_share(const rondo_cpu_training *call, rondo_range rows, int thread) {
  rondo_range part = rondo_share(rows.end - rows.begin, thread, call->threads);
  return (rondo_range){rows.begin + part.begin, rows.begin + part.end};
}

/* Floats of a block of a packed matrix. */
static inline size_t rondo_cpu_training_stream(const rondo_cpu_training *call, size_t depth) {
  return depth * (size_t)call->kernels->gemm.lanes;
}

/* training_merge.c */
rondo_status rondo_cpu_training_merge(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args);

/* ---- training_cells.c: a step's rows, from the products to h ----------------------------------------------------- */

/* All of the cell; with projection h is left to the caller, and a GRU with reset_before calls the first before its
 * second product. In backward h and c stay as they are. */
void rondo_cpu_training_reset(const rondo_cpu_training *call, rondo_range rows);
void rondo_cpu_training_cells(const rondo_cpu_training *call, rondo_range rows);

/* h = zoneout * h_before + (1 - zoneout) * h */
void rondo_cpu_training_zone_out(const rondo_cpu_training *call, rondo_range rows);

/* ---- training_gradients.c: and back ------------------------------------------------------------------------------ */

/* From d_hidden and dc of the rows of a step that begins at row `first` to d_input, d_recurrent, d_product and dc,
 * and what goes to dh but for h @ R. */
void rondo_cpu_training_cell_gradients(const rondo_cpu_training *call, rondo_range rows, size_t first);

/* reset_before: gate r and its part of dh from d_reset. */
void rondo_cpu_training_reset_gradients(const rondo_cpu_training *call, rondo_range rows, size_t first);

/* d (count), the gradient by normal * gamma, becomes that by what was normalised. */
void rondo_cpu_training_normal_gradient(float *d, const float *normal, const float *gamma, float scale, size_t count);

#endif
