/* reference.h - the oracle. All numbers are doubles; floats are read and written only at the caller's arrays. It shares
 * no code with the backends that it judges: it reads the caller's description and arrays by itself.
 *
 *     reference_functions.c       activation functions, with their slopes
 *     reference_params.c          a layer's weights: from a framework's arrays, in the block, and their gradients
 *     reference_step.c            the formulas of one timestep          reference_step_backward.c   their gradients
 *     reference_call.c            a call's memory, and the caller's arrays
 *     reference_dropout.c         masks
 *     reference_optimise.c        steps of an optimiser
 *     reference.c                 over time, directions, layers, rows   reference_backward.c        and back again */
#ifndef RONDO_REFERENCE_H
#define RONDO_REFERENCE_H

#include "internal.h"

#include <math.h>

/* ---- functions --------------------------------------------------------------------------------------------------- */

/* A function's value and its slope there; at a kink that of the side where the function is constant or less steep. */
typedef struct rondo_reference_dual {
  double value, slope;
} rondo_reference_dual;

rondo_reference_dual rondo_reference_apply(rondo_function function, double v);

/* v within -bound..bound; 0: anywhere. */
rondo_reference_dual rondo_reference_limit(double v, double bound);

/* to (count) = e^row over their sum. */
void rondo_reference_softmax(double *to, const double *row, size_t count);

/* ---- weights ----------------------------------------------------------------------------------------------------- */

/* One layer and direction, or the head: its weights, or the gradients by them. Matrices are row-major, gates stand side
 * by side as Keras orders them: i f g o, or z r h. An array that the layer has no use for is NULL. */
typedef struct rondo_reference_layer {
  const rondo_layer *options;
  size_t inputs, units, outputs, columns; /* F, H, O, G*H */
  double *kernel;                         /* (F, G*H) */
  double *recurrent_kernel;               /* (O, G*H); DENSE: NULL */
  double *bias, *recurrent_bias;          /* (G*H); DENSE: only bias */
  double *peephole;                       /* (3, H), rows i, f, o */
  double *projection;                     /* (H, O) */
  double *gamma_kernel, *gamma_recurrent; /* (G*H) */
  double *gamma_cell, *beta_cell;         /* (H) */
  double levels; /* RONDO_INT8: those on each side of 0 that rows are rounded to on their way into a product; else 0 */
  /* Training: what dropout makes of the sequence at work; NULL: nothing. K masks, one for all gates or one for each. */
  size_t masks;
  double *input_mask, *recurrent_mask; /* (K, F), (K, O) */
} rondo_reference_layer;

/* Element (gate of column q, row j) of a mask (K, rows); NULL: 1. */
static inline double rondo_reference_factor(const rondo_reference_layer *l, const double *mask, size_t rows, size_t q,
                                            size_t j) {
  return mask ? mask[(l->masks == 1 ? 0 : q / l->units) * rows + j] : 1;
}

/* The integer nearest to v, of two the even one, whatever the thread's rounding mode. */
static inline double rondo_reference_nearest(double v) {
  return v - remainder(v, 1); /* both exact */
}

/* The next layer of a parameter block of doubles; on an arena without memory its size. */
rondo_reference_layer rondo_reference_take_layer(rondo_arena *block, const rondo_layer *options, size_t inputs);

/* The rows of the table of functions. */
size_t rondo_reference_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs);
rondo_status rondo_reference_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                                  void *to, const rondo_weights *from);

rondo_status rondo_reference_sgd(rondo_context *ctx, const rondo_sgd_args *args);
rondo_status rondo_reference_adam(rondo_context *ctx, const rondo_adam_args *args);
rondo_status rondo_reference_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args);

/* An array of the caller's: of floats, or in a test of doubles. Offsets count numbers. */
double rondo_reference_get(const void *array, int doubles, size_t at);
void rondo_reference_put(void *array, int doubles, size_t at, double value);

/* All numbers become 0. */
void rondo_reference_clear(const rondo_reference_layer *l);

/* Training: a layer's part of the block begins at number `at`. Reads weights; writes gradients, or adds to what is
 * there. Zeros fill the part up. */
void rondo_reference_read_weights(const rondo_reference_layer *l, const void *block, int doubles, size_t at);
void rondo_reference_write_gradients(const rondo_reference_layer *dl, void *block, int doubles, size_t at,
                                     int accumulate);

/* ---- one timestep ------------------------------------------------------------------------------------------------ */

/* All that one timestep of one sequence computes, new state included. It depends on x, h and c alone, so whoever keeps
 * those can have it again. A slope is that of a gate or of q by what the function was given before it was limited. */
typedef struct rondo_reference_values {
  double *ax, *ah;               /* (G*H): what x and h bring to every gate, biases included */
  double *gates, *gate_slopes;   /* (G*H): i f g o, or z r n */
  double *cell, *cell_slopes;    /* (H): LSTM, c' before zoneout; 0 where cell_clip holds it, else 1 */
  double *q, *q_slopes;          /* (H): LSTM, q(LN(c')) */
  double *hidden;                /* (H): LSTM, h' before the projection; GRU with reset before, r * h */
  double *h, *c;                 /* (O), (H): the new state; c: LSTM. DENSE: h is y */
  double *ax_normal, *ah_normal; /* (G*H): with layer_norm, x @ W and h @ R as they are before gamma; */
  double *cell_normal;           /* (H): c' likewise, or as it is without layer_norm; */
  double *scales;                /* (3): and 1 / sqrt(variance + 1e-5) of these three */
} rondo_reference_values;

/* Gradients by the state, by x, and by what lies between. */
typedef struct rondo_reference_gradients {
  double *h, *c;         /* (O), (H) */
  double *x;             /* (F) */
  double *ax, *ah;       /* (G*H) */
  double *cell, *hidden; /* (H) */
  double *h_new, *c_new; /* (O), (H) */
} rondo_reference_gradients;

/* Room for layers of up to so many inputs and units. */
rondo_reference_values rondo_reference_take_values(rondo_arena *arena, size_t units);
rondo_reference_gradients rondo_reference_take_gradients(rondo_arena *arena, size_t inputs, size_t units);

/* One timestep: from x (F) and the state h (O), c (H), which stay as they are, to v. */
void rondo_reference_step(const rondo_reference_layer *l, const double *x, const double *h, const double *c,
                          const rondo_reference_values *v);

/* Backward of it, v as it has left it: d->h and d->c come as the gradients by the new state and go as those by the old
 * one; d->x is written, the gradients by the weights are added to dl. */
void rondo_reference_step_backward(const rondo_reference_layer *l, const rondo_reference_layer *dl, const double *x,
                                   const double *h, const double *c, const rondo_reference_values *v,
                                   const rondo_reference_gradients *d);

/* ---- one call ---------------------------------------------------------------------------------------------------- */

/* One direction of a layer on one sequence. Its outputs are in the order of the layer's y. */
typedef struct rondo_reference_direction {
  rondo_reference_layer weights, gradients; /* gradients: training */
  double *h, *c;                            /* (T + 1, O), (T + 1, H): the state before position 0 and after each */
  double *y, *last;                         /* (T, O), and (O) at the last position */
} rondo_reference_direction;

/* A layer of one call; W columns are both directions' together. */
typedef struct rondo_reference_trace {
  rondo_reference_direction direction[2];
  const double *x;  /* (T, F): the rows that it reads */
  double *y, *last; /* (T, W), (W) */
} rondo_reference_trace;

typedef struct rondo_reference_call {
  const rondo_plan *plan;
  const rondo_layer *layer; /* as the caller described it */
  const rondo_batch *batch;
  int doubles;               /* the caller's arrays hold doubles */
  size_t layers, directions; /* L, D */
  size_t timesteps;          /* T */
  size_t outputs[2], width;  /* O of each direction, W */
  size_t most_units, most_outputs;
  double *x;                    /* (T, C): the sequence at work */
  rondo_reference_trace *trace; /* (L) */
  rondo_reference_layer head, head_gradients;
  rondo_reference_values values;
  /* Training. */
  rondo_reference_gradients gradients;
  double *dy, *dx, *dlast; /* (T, W), (T, F), (W): by the rows of the layer at work; dy and dx change places */
  double *pending;         /* (O): by an output that skipped steps repeat */
} rondo_reference_call;

/* Everything of a call but the batch. An arena without memory measures. */
rondo_reference_call rondo_reference_carve(const rondo_plan *plan, rondo_arena *arena);

/* The call of a batch, its workspace carved and its weights found or read. */
rondo_reference_call rondo_reference_begin(const rondo_plan *plan, const rondo_batch *batch, int doubles);

/* Whether the directions' outputs stay beside each other, and whether an output is 0 on skipped steps: y, and y_last.
 * */
int rondo_reference_has_halves(const rondo_layer *layer);
int rondo_reference_zero_y(const rondo_layer *layer);
int rondo_reference_zero_last(const rondo_layer *layer);

/* Row t (O) of a direction's y; NULL: there is no such direction. */
const double *rondo_reference_y(const rondo_reference_call *r, size_t index, size_t direction, size_t t);

/* Position p of a direction. */
typedef struct rondo_reference_position {
  size_t t;   /* the row of the layer's x */
  size_t row; /* the row of its y */
  int real;   /* not skipped */
} rondo_reference_position;
rondo_reference_position rondo_reference_at(const rondo_reference_call *r, size_t n, size_t index, size_t direction,
                                            size_t p);

/* Sequence n's rows of the caller's arrays: x to r->x, the first states of a trace, the last ones. */
void rondo_reference_read_x(const rondo_reference_call *r, size_t n);
void rondo_reference_read_state(const rondo_reference_call *r, size_t n, size_t index, size_t direction);
void rondo_reference_write_state(const rondo_reference_call *r, size_t n, size_t index, size_t direction);
void rondo_reference_write_y(const rondo_reference_call *r, size_t n);

/* Row t of dy (columns of y) and the row of dy_last into `to`: as they are, halves beside each other; NULL: zeros. */
void rondo_reference_read_dy(const rondo_reference_call *r, size_t n, size_t t, double *to);
void rondo_reference_read_dy_last(const rondo_reference_call *r, size_t n, double *to);

/* dh_n, dc_n to the gradients; from them dh_0, dc_0. */
void rondo_reference_read_dstate(const rondo_reference_call *r, size_t n, size_t index, size_t direction);
void rondo_reference_write_dstate(const rondo_reference_call *r, size_t n, size_t index, size_t direction);

/* Sequence n's masks of dropout, given or drawn, to all weights; and what dropout between layers multiplies row t
 * (W) of layer `index` by. */
void rondo_reference_set_masks(const rondo_reference_call *r, size_t n);
void rondo_reference_drop(const rondo_reference_call *r, size_t n, size_t index, size_t t, double *row);

/* rows (T, C) to dx, all traces' gradients to dparams. */
void rondo_reference_write_dx(const rondo_reference_call *r, size_t n, const double *rows);
void rondo_reference_write_dparams(const rondo_reference_call *r);

/* Sequence n through all layers, r->trace filled. The caller's arrays are only read. */
void rondo_reference_run_sequence(const rondo_reference_call *r, size_t n);

/* rondo_forward and rondo_backward without their checks. doubles: where the batch and this manual say float, arrays
 * hold doubles at the same offsets, the parameter block of a training plan too; so that finite differences, taken
 * through these functions, are not rounded to float. */
void rondo_reference_forward(const rondo_plan *plan, const rondo_batch *batch, int doubles);
void rondo_reference_backward(const rondo_plan *plan, const rondo_batch *batch, int doubles);

#endif
