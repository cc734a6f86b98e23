/* kernels.h - the CUDA kernels' plain C face: one argument struct per kernel, and from kernels.inc three functions:
 *
 *   int  rondo_<name>_cuda(args, stream)   enqueues it on the stream; pointers are device memory; returns a cudaError_t
 *   int  rondo_<name>_load_cuda()          loads its code onto the current device; returns a cudaError_t
 *   void rondo_<name>_ref(args)            its twin on host memory, plain C with sums in double, for tests
 *
 * Distances are in numbers, floats where nothing else is said. Arguments are trusted: whoever launches has checked
 * them. Functions have no default in them any more: kind, alpha and beta are what to compute.
 *
 * Products read rows of floats, or with weights of 16 bits such numbers, to which what goes into those rows is rounded
 * (to nearest, ties to even; too large a number becomes infinite). Type 0 is RONDO_F32. */
#ifndef RONDO_KERNELS_H
#define RONDO_KERNELS_H

#include "rondo/rondo.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows of floats, row n at + n * stride. NULL: not wanted; as an input, zeros. */
typedef struct rondo_rows {
  float *at;
  ptrdiff_t stride;
} rondo_rows;
typedef struct rondo_const_rows {
  const float *at;
  ptrdiff_t stride;
} rondo_const_rows;

/* ---- Rows and steps ---------------------------------------------------------------------------------------------- */

/* Kernels work on compacted rows, the longest first: see host/schedule.h. What row r is in a call that has lengths, a
 * mask, slots or restart: */
typedef struct rondo_row {
  int32_t sequence; /* n: its row of x, y and y_last */
  int32_t state;    /* its row of h_0, c_0, h_n and c_n; below 0: row ~state, and it starts from zeros */
  int32_t count;    /* its steps */
  int32_t first;    /* the position of step 0, when step s is at first + s: see rondo_step */
} rondo_row;

/* One step of R rows; row r takes part in it while step < count. */
typedef struct rondo_step {
  int rows;             /* R */
  int step;             /* s */
  int timesteps;        /* T of the call: positions are 0..T-1 */
  const rondo_row *row; /* (at least R); NULL: row r is sequence r and state r, takes part in T steps, all in place */
  const int32_t *position; /* (at least R, T): step s of row r is at position[r * T + s]; NULL: at first + s */
} rondo_step;

/* Where the h of a step goes: rows of O floats. */
typedef struct rondo_output {
  rondo_rows h_next; /* by r, of rows that go on; may be where this step's h was read */
  float *y;          /* (n, p) at n * y_sequence + p * y_timestep, either may be negative; NULL: not wanted */
  ptrdiff_t y_sequence, y_timestep;
  rondo_rows y_last, h_n; /* of rows that end here, by sequence and by state; h_n may be h_0 */
  rondo_merge merge;      /* SUM, MUL, AVE: with what y and y_last hold; else they are written */
  int zero_y_last;        /* y_last is 0, to be merged like any other, when position T - 1 is not the row's last step */
  rondo_dtype type;       /* of the rows that products read: F32: h_next are those, and rounded is not looked at. Else
                             h_next, in float, is for the next step's cell, and */
  void *rounded;          /* row r at element r * rounded_stride: as h_next, for the next step's product; or NULL */
  ptrdiff_t rounded_stride;
} rondo_output;

/* ---- Kernels of the rows ----------------------------------------------------------------------------------------- */

/* words_upload: to[i] = words[i]. The words travel as parameters of the kernel, so there is no copy to wait for, and a
 * graph keeps them. */
enum { RONDO_MOST_WORDS = 8000 };
typedef struct rondo_words_upload_args {
  uint32_t *to;
  const uint32_t *words; /* host memory, done with when the call returns; count of them, 1 to RONDO_MOST_WORDS */
  int count;
} rondo_words_upload_args;

/* mask_positions: position[r * T + s] = the place of the s-th bit (from 0 on) among the T bits of row r; as many are
 * written as bits are set. Bit p of row r is bit p % 32 of bits[r * ceil(T / 32) + p / 32]; those past T are 0. */
typedef struct rondo_mask_positions_args {
  int rows, timesteps;
  const uint32_t *bits;
  int32_t *position; /* (rows, T) */
} rondo_mask_positions_args;

/* hx_gather: builds the rows [h | x] of `steps` steps from step.step on.
 *   hx[k][r][O + c] = x[n][p][c] at position p of step step.step + k, for rows that take part in it, and, when with_h,
 *   hx[0][r][j] = h[r][j] = h_0[state][j], or 0 for rows that start from zeros */
typedef struct rondo_hx_gather_args {
  rondo_step step;
  int steps, input_size, output_size; /* K, C, O (0 without h) */
  int batch;                          /* rows from hx[k] to hx[k + 1], at least R */
  const float *x;                     /* (n, p) at n * x_sequence + p * x_timestep; either may be negative */
  ptrdiff_t x_sequence, x_timestep;
  rondo_dtype type;
  void *hx; /* (K, batch, hx_row) of type; columns past O + C are not touched */
  ptrdiff_t hx_row;
  int with_h;
  rondo_const_rows h_0; /* (state, O) */
  float *h;             /* (R, O) dense: h_0 in float; NULL: not wanted */
} rondo_hx_gather_args;

/* rows_fill: y on the steps that a row skips, once its others are there: what it holds at the step before in order of
 * processing, 0 before the first; or 0 always, merged as in rondo_output. */
typedef struct rondo_rows_fill_args {
  rondo_step step;       /* rows: all of them; row is not NULL; step is not used */
  int most;              /* the largest count */
  int output_size, zero; /* zero: 0 always */
  float *y;              /* as in rondo_output */
  ptrdiff_t y_sequence, y_timestep;
  rondo_merge merge; /* with zero only */
} rondo_rows_fill_args;

/* rows_idle: rows without a step. h_n = h_0, c_n = c_0, y_last 0, merged. Rows first..first + rows - 1 of row. */
typedef struct rondo_rows_idle_args {
  const rondo_row *row;
  int first, rows, output_size, hidden_size; /* O of h and y_last, H of c */
  rondo_const_rows h_0, c_0;
  rondo_rows h_n, c_n, y_last;
  rondo_merge merge;
} rondo_rows_idle_args;

/* ---- Kernels of the cells ---------------------------------------------------------------------------------------- */

typedef struct rondo_cell_options {
  rondo_function activation, recurrent_activation, output_activation; /* a, s, q */
  float clip, cell_clip;                                              /* 0: none */
  float zoneout, zoneout_cell;
  int input_forget;
} rondo_cell_options;

/* lstm_cell_forward: one step after its products. v = gates + bias, p the peephole, with cl() to -clip..clip:
 *   i = s(cl(v_i + p_i c))   f = s(cl(v_f + p_f c)), or 1 - i   c' = f c + i a(cl(v_g)), within -cell_clip..cell_clip
 *   o = s(cl(v_o + p_o c'))  h' = o q(c')
 *   c <- zoneout_cell c + (1 - zoneout_cell) c'     h = zoneout h + (1 - zoneout) h'
 * With recurrent (layer_norm): v = LN(gates) gamma_kernel + LN(recurrent) gamma_recurrent + bias and
 * h' = o q(LN(c') gamma_cell + beta_cell), LN over the row; gates is then scratch, too. */
typedef struct rondo_lstm_cell_forward_args {
  rondo_step step;
  int hidden_size;        /* H; 4H fits an int */
  float *gates;           /* (R, 4H) dense: [h | x] @ [R; W], or x @ W; i, f, g, o */
  const float *recurrent; /* (R, 4H): h @ R; NULL without layer_norm */
  const float *bias;      /* (4H) */
  const float *peephole;  /* (3, H) i, f, o, or NULL */
  const float *gamma_kernel, *gamma_recurrent, *gamma_cell, *beta_cell; /* (4H), (4H), (H), (H) with layer_norm */
  rondo_cell_options options;
  rondo_const_rows h;   /* by r: the old h, for zoneout */
  rondo_const_rows c_0; /* by state: the old c of step 0 */
  float *c;             /* (R, H): the old c of later steps, and the new one of rows that go on */
  rondo_rows c_n;       /* by state: the new one of rows that end; may be c_0 */
  void *unprojected;    /* (R, H) of output.type: h' goes here alone, without zoneout; NULL: none is projected */
  rondo_output output;
} rondo_lstm_cell_forward_args;

/* gru_reset_forward: a GRU with reset_before, between its products: saved = h, then h <- r h with r = s(cl(gates_r +
 * bias_r)). When products do not read floats h stays and is not saved, and rounded = r h. */
typedef struct rondo_gru_reset_forward_args {
  int rows, hidden_size; /* R, H */
  const float *gates;    /* (R, 3H) dense: z, r, and a place for h's */
  const float *bias;     /* (4H), as in gru_cell_forward */
  rondo_function recurrent_activation;
  float clip;
  rondo_rows h; /* (R, H) */
  float *saved; /* (R, H) */
  rondo_dtype type;
  void *rounded; /* (R, H) of type */
  ptrdiff_t rounded_stride;
} rondo_gru_reset_forward_args;

/* gru_cell_forward: one step after its products.
 *   z = s(cl(v_z + b_z))   r = s(cl(v_r + b_r))   n = a(cl(v_x + b_x + r (v_h + b_h)))
 *   h' = z h + (1 - z) n   h <- zoneout h + (1 - zoneout) h'
 * With reset_before n = a(cl(v_x + b_x)), where v_x comes of [r h | x]. With recurrent the products of x and of h are
 * apart: v_z and v_r are sums of both. With the gammas too (layer_norm) the terms are LN(gates) gamma_kernel and
 * LN(recurrent) gamma_recurrent instead. */
typedef struct rondo_gru_cell_forward_args {
  rondo_step step;
  int hidden_size;        /* H; 4H fits an int */
  const float *gates;     /* (R, 4H) dense: z, r, x, h; with reset_before or recurrent (R, 3H): z, r, x */
  const float *recurrent; /* (R, 3H) z, r, h; or NULL */
  const float *bias;      /* (4H): z, r, x, h */
  const float *gamma_kernel, *gamma_recurrent; /* (3H) z, r, h; NULL without layer_norm */
  rondo_cell_options options;
  int reset_before;
  rondo_const_rows h; /* by r: the old h */
  rondo_output output;
  int x_first; /* without layer_norm and reset_before: gates are x, z, r, h or x, z, r */
} rondo_gru_cell_forward_args;

/* rnn_cell_forward: one step after its product: h' = a(cl(gates + bias)), h <- zoneout h + (1 - zoneout) h'. With a
 * linear and no bias it brings the h of a projection to where it goes. */
typedef struct rondo_rnn_cell_forward_args {
  rondo_step step;
  int hidden_size;
  const float *gates; /* (R, H) dense */
  const float *bias;  /* (H), or NULL: zeros */
  rondo_cell_options options;
  rondo_const_rows h; /* by r: the old h, for zoneout */
  rondo_output output;
} rondo_rnn_cell_forward_args;

/* dense_forward: y[n][p] = a(sums[p][n] + bias), and y_last[n] the last one of them. */
typedef struct rondo_dense_forward_args {
  int batch, timesteps, units; /* N, T of the chunk, H */
  const float *sums;           /* (T, N, H) dense */
  const float *bias;           /* (H) */
  rondo_function activation;   /* SOFTMAX: over the row */
  float *y;                    /* as in rondo_output, or NULL */
  ptrdiff_t y_sequence, y_timestep;
  rondo_rows y_last;
} rondo_dense_forward_args;

#include "kernels_optimise.h"
#include "kernels_training.h"

#define RONDO_KERNEL(name)                                                                                             \
  int rondo_##name##_cuda(const rondo_##name##_args *args, struct CUstream_st *stream);                                \
  int rondo_##name##_load_cuda(void);                                                                                  \
  void rondo_##name##_ref(const rondo_##name##_args *args);
#include "kernels.inc"
#undef RONDO_KERNEL

#ifdef __cplusplus
}
#endif

#endif
