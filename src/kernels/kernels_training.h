/* kernels_training.h - the argument structs of the kernels of training; included by kernels.h, whose conventions hold.
 *
 * A gradient is d and the name of what it is by. Backward takes up what the forward call kept of each step: its rows
 * [h | x] and the products that its cell was given, and computes the rest of the step once more. */
#include "kernels.h" /* ahead of the guard: its types come first, whichever of the two is included */

#ifndef RONDO_KERNELS_TRAINING_H
#define RONDO_KERNELS_TRAINING_H

/* ---- One step of a cell, backward -------------------------------------------------------------------------------- */

/* The gradient by the h of a step: by y, y_last and h_n, where forward has put that h, and by the step after. */
typedef struct rondo_output_gradient {
  float *dh;       /* (R, O) dense: by the h of rows that go on, as the step after gives it. Then, with zoneout and in a
                      GRU, what of it goes straight to the h of the step before */
  const float *dy; /* (n, p) at n * dy_sequence + p * dy_timestep, either may be negative; NULL: zeros */
  ptrdiff_t dy_sequence, dy_timestep;
  int repeats;                    /* y of the positions that follow, up to the row's next step, is this h, too */
  rondo_const_rows dy_last, dh_n; /* of rows that end here, by sequence and by state */
  int zero_y_last;                /* y_last is 0 when position T - 1 is not the row's last step */
} rondo_output_gradient;

/* What the gates of an LSTM were given: v = gates + bias; with recurrent (layer_norm), both of them normalised,
 * v = gates * gamma_kernel + recurrent * gamma_recurrent + bias. */
typedef struct rondo_lstm_sums {
  int hidden_size;                             /* H; 4H fits an int */
  const float *gates, *recurrent;              /* (R, 4H) dense; i, f, g, o. recurrent NULL: no layer_norm */
  const float *bias;                           /* (4H); NULL: zeros */
  const float *peephole;                       /* (3, H) i, f, o, or NULL */
  const float *gamma_kernel, *gamma_recurrent; /* (4H) with layer_norm */
  rondo_cell_options options;
} rondo_lstm_sums;

/* lstm_replay_forward: the c of K steps once more, in all of which the same R rows take part. Formulas as in
 * lstm_cell_forward: old[k] = c, fresh[k] = c', and so on with the c that follows. */
typedef struct rondo_lstm_replay_forward_args {
  rondo_step step;      /* the first of the steps; position is not used */
  int steps;            /* K */
  rondo_lstm_sums sums; /* gates and recurrent (K, R, 4H) */
  rondo_const_rows c_0; /* by state: the old c of step 0 */
  float *c;             /* (R, H): the old c of a later first step; and the new one of the last */
  float *old, *fresh;   /* (K, R, H); fresh NULL: not wanted */
} rondo_lstm_replay_forward_args;

/* lstm_cell_backward: one step. With dh and dc by its new h and c, dh' = (1 - zoneout) dh:
 *   do' = s'(v_o) q(c') dh'    dc' = (1 - zoneout_cell) dc + o q'(c') dh' + p_o do'    (0 where cell_clip holds c')
 *   di' = s'(v_i) g dc'        df' = s'(v_f) c dc'        dg' = a'(v_g) i dc'    (input_forget: df' = 0, g - c for g)
 *   dgates = di', df', dg', do', each 0 where clip holds its v
 *   dc <- zoneout_cell dc + f dc' + p_i di' + p_f df'     dh <- zoneout dh
 * With layer_norm q's argument is u = normal gamma_cell + beta_cell, du = o q'(u) dh' is kept, and through the
 * normalisation comes to c' as scale (g - mean(g) - normal mean(g normal)), g = du gamma_cell. */
typedef struct rondo_lstm_cell_backward_args {
  rondo_step step;
  rondo_lstm_sums sums;
  const float *old;                    /* (R, H): c */
  const float *normal, *scale;         /* (R, H), (R) with layer_norm: c' normalised, and what it was multiplied by */
  const float *gamma_cell, *beta_cell; /* (H) with layer_norm */
  float *du;                           /* (R, H) with layer_norm */
  const float *dhidden; /* (R, H): dh', when h' is projected: dh is then not touched. NULL: dh is by h' */
  rondo_output_gradient output;
  float *dc;             /* (R, H): by the new c of rows that go on; then by the old one */
  rondo_const_rows dc_n; /* by state: by the new c of rows that end */
  float *dgates;         /* (R, 4H) dense */
} rondo_lstm_cell_backward_args;

/* gru_cell_backward: one step. With dh by its new h, dh' = (1 - zoneout) dh, n's argument u:
 *   dz' = s'(v_z) (h - n) dh'    du = a'(u) (1 - z) dh'    dr' = s'(v_r) (v_h + b_h) du
 *   dgates = dz', dr', du    drecurrent = dz', dr', r du   each 0 where clip holds its argument
 *   dh <- zoneout dh + z dh'
 * With reset_before dr' is left to gru_reset_backward. With recurrent (layer_norm) gates and recurrent are normalised:
 * the sums are gates * gamma_kernel + recurrent * gamma_recurrent, and gradients are by those two terms. */
typedef struct rondo_gru_cell_backward_args {
  rondo_step step;
  int hidden_size;                             /* H; 4H fits an int */
  const float *gates, *recurrent, *bias;       /* as gru_cell_forward has them */
  const float *gamma_kernel, *gamma_recurrent; /* (3H) with layer_norm */
  rondo_cell_options options;
  int reset_before;
  rondo_const_rows h; /* by r: the old h */
  rondo_output_gradient output;
  float *dgates, *drecurrent; /* (R, 3H) dense; drecurrent is not touched with reset_before */
} rondo_gru_cell_backward_args;

/* gru_reset_backward: a GRU with reset_before, from that by r h: dgates_r = s'(v_r) h dreset, dh += r dreset. */
typedef struct rondo_gru_reset_backward_args {
  int rows, hidden_size;     /* R, H */
  const float *gates, *bias; /* (R, 3H), (4H), as in gru_reset_forward */
  rondo_function recurrent_activation;
  float clip;
  const float *h, *dreset; /* (R, H) dense: the old h; by r h */
  float *dh, *dgates;      /* (R, H), (R, 3H) dense; of dgates the part r */
} rondo_gru_reset_backward_args;

/* rnn_cell_backward: one step. dgates = a'(v) (1 - zoneout) dh, 0 where clip holds v; dh <- zoneout dh. */
typedef struct rondo_rnn_cell_backward_args {
  rondo_step step;
  int hidden_size;
  const float *gates; /* (R, H) dense: v is gates + bias; NULL: a is linear, and not clipped */
  const float *bias;  /* (H), or NULL: zeros */
  rondo_cell_options options;
  rondo_output_gradient output;
  float *dgates; /* (R, H) dense */
} rondo_rnn_cell_backward_args;

/* dense_backward: dsums = a'(sums + bias) dy, dy_last counting for the last timestep. SOFTMAX: y (dy - sum(dy y)). */
typedef struct rondo_dense_backward_args {
  int batch, timesteps, units; /* N, T, H */
  const float *sums;           /* (T, N, H) dense */
  const float *bias;           /* (H), or NULL: zeros */
  rondo_function activation;
  const float *dy; /* as in rondo_output_gradient */
  ptrdiff_t dy_sequence, dy_timestep;
  rondo_const_rows dy_last;
  float *dsums; /* (T, N, H) dense */
} rondo_dense_backward_args;

/* ---- Layer normalisation ----------------------------------------------------------------------------------------- */

/* norm_forward: scale[r] = 1 / sqrt(variance + 1e-5), normal = (v - mean) * scale, of each row. */
typedef struct rondo_norm_forward_args {
  int rows, columns;
  const float *v; /* (rows, columns) dense */
  float *normal;  /* likewise; may be v */
  float *scale;   /* (rows) */
} rondo_norm_forward_args;

/* norm_backward: dv = scale (g - mean(g) - normal mean(g normal)), g = dout * gamma. */
typedef struct rondo_norm_backward_args {
  int rows, columns;
  const float *normal, *scale; /* as norm_forward left them */
  const float *gamma;          /* (columns) */
  const float *dout;           /* (rows, columns) dense */
  float *dv;                   /* likewise; may be dout */
} rondo_norm_backward_args;

/* ---- All steps together ------------------------------------------------------------------------------------------ */

/* gru_spread: the parameters of a GRU as its forward kernels take them, from plain matrices. Of z, r, x, h:
 *   bias = b_z + rb_z, b_r + rb_r, b_h, rb_h     matrix: of rows of h z, r, 0, h, of rows of x z, r, h, 0 */
typedef struct rondo_gru_spread_args {
  int rows, output_size, hidden_size;        /* O + F, O, H */
  const float *kernels;                      /* (O + F, 3H) */
  const float *kernel_bias, *recurrent_bias; /* (3H); NULL: zeros */
  float *matrix;                             /* (O + F, 4H); NULL: not wanted */
  float *bias;                               /* (4H) */
} rondo_gru_spread_args;

/* column_sums: to[p][j] = the sum over rows of part p of a[row][j] * b[row][j]. Parts are runs of ceil(rows / parts)
 * rows, the last ones may be empty. Always added up in the same order. */
typedef struct rondo_column_sums_args {
  int rows, columns, parts;
  rondo_const_rows a, b; /* b NULL: ones */
  float *to;             /* (parts, columns) dense */
  int add;               /* to is added to */
} rondo_column_sums_args;

/* dx_scatter: the way back of hx_gather: at position p of step step.step + k, dx[n][p][c] = rows[k][r][c], or +=. */
typedef struct rondo_dx_scatter_args {
  rondo_step step;
  int steps, input_size, add; /* K, C; add: += */
  const float *rows;          /* (K, R, C) dense */
  float *dx;                  /* (n, p) at n * dx_sequence + p * dx_timestep; either may be negative */
  ptrdiff_t dx_sequence, dx_timestep;
} rondo_dx_scatter_args;

/* state_backward: dh_0 = dh, dc_0 = dc of rows with a step, dh_n and dc_n of those without; 0 of rows that start from
 * zeros. */
typedef struct rondo_state_backward_args {
  const rondo_row *row;         /* (rows), or NULL */
  int rows, active;             /* all of them; those with a step */
  int output_size, hidden_size; /* O, H */
  const float *dh, *dc;         /* (active, O), (active, H) dense */
  rondo_const_rows dh_n, dc_n;  /* by state */
  rondo_rows dh_0, dc_0;
} rondo_state_backward_args;

/* mask_rows: rows of K steps on their way into products of gates first to first + copies - 1, in all of which the same
 * R rows take part, multiplied by the masks of dropout of their sequences n:
 *   to[k][i] = [h[i] * recurrent_mask[n][first + k] | x[i] * input_mask[n][first + k]]
 * A gate past the last mask has the last one. */
typedef struct rondo_mask_rows_args {
  rondo_step step;                    /* rows and row alone */
  int steps, output_size, input_size; /* K, O, C; O 0: without h */
  int copies, first, masks;
  const float *recurrent_mask, *input_mask; /* (N, masks, O), (N, masks, C); NULL: ones */
  rondo_const_rows h, x;                    /* (K * R, O), (K * R, C) */
  float *to; /* (copies, K * R, to_row); columns past O + C are not touched. One copy may be in place of x, without h */
  ptrdiff_t to_row;
} rondo_mask_rows_args;

/* mask_sums: their way back: to[i] = the sum over k, in that order, of from[k][i] * mask[n][first + k], or += it. */
typedef struct rondo_mask_sums_args {
  rondo_step step; /* rows and row alone */
  int steps, columns, copies, first, masks;
  const float *from; /* (copies, K * R, columns) dense */
  const float *mask; /* (N, masks, columns) */
  float *to;         /* (K * R, columns) dense; may be from */
  int add;
} rondo_mask_sums_args;

/* merge_forward: y = a + b, a b, or (a + b) / 2. */
typedef struct rondo_merge_forward_args {
  rondo_merge merge;
  int batch, timesteps, columns;
  const float *a, *b; /* (T, N, columns) dense */
  float *y;           /* (n, t) at n * y_sequence + t * y_timestep */
  ptrdiff_t y_sequence, y_timestep;
} rondo_merge_forward_args;

/* merge_backward: da and db from dy. */
typedef struct rondo_merge_backward_args {
  rondo_merge merge;
  int batch, timesteps, columns;
  const float *a, *b; /* (T, N, columns) dense */
  const float *dy;    /* (n, t) at n * dy_sequence + t * dy_timestep */
  ptrdiff_t dy_sequence, dy_timestep;
  float *da, *db; /* (T, N, columns) dense */
} rondo_merge_backward_args;

#endif
