/* training.h - training on the CPU: what its files share.
 *
 * Letters: N sequences, S steps, H units, G gates, F inputs, O columns of h. A call has M rows, one for each real
 * step of each sequence, step after step, and in a step those of the schedule: row r of step s is row first[s] + r.
 * So what belongs to a step lies together, and x @ W, dx, and every gradient of a weight is one product over all M
 * rows. A DENSE layer has a row for every position, real or not.
 *
 * The weights are plain matrices (canonical.h) and are packed anew in each call. Work is shared by threads in
 * phases, with barriers between: products by rows or columns of the result, cells by rows. No result depends on who
 * computes it. */
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

/* The reserve: what forward keeps of a pass. A layer keeps what its cell and options need; the rest is NULL. */
typedef struct rondo_cpu_training_kept {
  float *gates;                    /* (M, G*H): what the activations gave; DENSE: y */
  float *slopes;                   /* (M, G*H): their derivatives, where those do not follow from what they gave */
  float *h;                        /* (M, O): after the step */
  float *c, *cell;                 /* LSTM (M, H): after the step; and before zoneout, c where there is none */
  float *value, *value_slopes;     /* LSTM (M, H): of output_activation; its derivatives, as slopes */
  float *hidden;                   /* (M, H): with projection, h before it */
  float *recurrent;                /* GRU (M, H): of gate h, the recurrent part that r scales; reset_before: r * h */
  float *normal_x, *normal_h;      /* layer_norm (M, G*H): both products, standardised, */
  float *scale_x, *scale_h;        /* (M): and what by */
  float *normal_cell, *scale_cell; /* LSTM (M, H), (M): likewise */
} rondo_cpu_training_kept;

/* The workspace. Tables have a pointer for each row. */
typedef struct rondo_cpu_training_work {
  size_t *first; /* (S + 1) */
  float **x, **h_before, **c_before, **dx;
  float *zeros;               /* a row of a state that is not there */
  float *kernel, *projection; /* packed; in backward their transposes are */
  float *recurrent[2];        /* packed, by rondo_cpu_training_parts; in backward the transpose of all, in [0] */
  /* Backward: the gradients by */
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
  size_t inputs, units, outputs, columns;    /* F, H, O, G*H */
  size_t rows;                               /* M */
  const float *weights[RONDO_BETA_CELL + 1]; /* by rondo_param; NULL: the layer has none */
  rondo_cpu_training_kept kept;
  rondo_cpu_training_work work;
} rondo_cpu_training;

/* ---- training.c -------------------------------------------------------------------------------------------------- */

rondo_status rondo_cpu_training_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cpu_training_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
rondo_status rondo_cpu_training_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient);

/* The recurrent product in parts, each a range of columns: all gates at once, or a GRU's z and r, and h by itself. */
typedef struct rondo_cpu_training_part {
  size_t begin, columns;
} rondo_cpu_training_part;

static inline int rondo_cpu_training_parts(const rondo_layer *layer, rondo_cpu_training_part parts[2]) {
  size_t units = (size_t)layer->hidden_size;
  int gru = layer->cell == RONDO_GRU;
  parts[0] = (rondo_cpu_training_part){0, gru ? 2 * units : (size_t)rondo_gates(layer) * units};
  parts[1] = (rondo_cpu_training_part){2 * units, units};
  return gru ? 2 : 1;
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

/* training_merge.c */
rondo_status rondo_cpu_training_merge(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args);

/* ---- training_cells.c: a step's rows, from the products to h ----------------------------------------------------- */

/* All of the cell; with projection h is left to the caller, and a GRU with reset_before calls the first before its
 * second product. */
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
