/* training_cuda.h - between the files that test training on CUDA. */
#ifndef RONDO_TESTS_TRAINING_CUDA_H
#define RONDO_TESTS_TRAINING_CUDA_H

#include "compare_near.h"
#include "kernels_cuda.h"

/* Streams of random numbers beside those of kernels_cuda.h. */
enum { RANDOM_DY = 20, RANDOM_DY_LAST, RANDOM_DH, RANDOM_DH_N, RANDOM_DC, RANDOM_DC_N, RANDOM_NORMAL, RANDOM_SCALE };

/* One step of a cell backward. */
typedef struct training_row {
  const char *name;
  int n, t, step, h; /* N, T, s, H; t 0 is 1 */
  kernel_rows_kind kind;
  int without;                /* bits: NULL: dy, dy_last, dh_n, dc_n */
  int reversed;               /* dy's distance over time is negative */
  int repeats, zero_last;     /* of rondo_output_gradient */
  float scale;                /* of the sums; 0 is 4 */
  rondo_cell_options options; /* kinds 0: tanh, sigmoid, tanh */
  int peephole, norm, projected, before, no_bias, no_gates;
} training_row;

/* The suite's rows, in test_training_cuda_lstm.c and _cells.c. */
extern const training_row training_lstm_rows[], training_gru_rows[], training_reset_rows[], training_rnn_rows[];
void test_lstm_cell_backward(const void *row);
void test_lstm_replay_forward(const void *row);
void test_gru_cell_backward(const void *row);
void test_gru_reset_backward(const void *row);
void test_rnn_cell_backward(const void *row);

/* In test_training_cuda_sums.c. */
typedef struct training_sum_row {
  const char *name;
  int rows, columns, parts, add;
} training_sum_row;
typedef struct training_dense_row {
  const char *name;
  int n, t, h, without; /* without: bits: dy, dy_last, bias */
  rondo_function function;
} training_dense_row;
extern const training_sum_row training_sum_rows[];
extern const training_dense_row training_dense_rows[];
void test_column_sums(const void *row);
void test_gru_spread(const void *row);
void test_norms(const void *row);
void test_dense_backward(const void *row);

/* In test_training_cuda_masks.c: K steps of rows [h | x], copies from gate `first` on. */
typedef struct training_mask_row {
  const char *name;
  int n, t, o, c, copies, first, masks; /* N, K, O, C */
  kernel_rows_kind kind;
  int with_h, with_x, add;
} training_mask_row;
extern const training_mask_row training_mask_rows[];
extern const char *const training_recompute_problems[];
void test_mask_rows(const void *row);
void test_mask_sums(const void *row);
void test_keeps_less(const void *row);

/* ---- test_training_cuda_case.c: what the cells have in common ---------------------------------------------------- */

/* Arrays, and where the gradient by h comes from. */
typedef struct training_case {
  const training_row *k;
  rondo_context *ctx;
  kernel_rows rows;
  size_t units, all; /* H, N * H */
  kernel_array gates, recurrent, bias, weights, old, dh, dy, dy_last, dh_n, dc, dc_n;
  rondo_output_gradient here, there;
} training_case;

/* gates: columns of the sums for each unit. 0: no memory, which is recorded. */
int training_case_make(const training_row *k, int gates, training_case *c);
rondo_cell_options training_options(const training_row *k);
rondo_row training_row_of(const training_case *c, ptrdiff_t r);
int training_ends(const training_case *c, ptrdiff_t r);

/* By the state of unit j of row r: as the step after gives it, or of a row that ends from final, by state, or 0 with
 * `without`. And by h, with all that comes to it. As it is before the kernel has run. */
near training_state(const training_case *c, kernel_array later, kernel_array final, int without, ptrdiff_t r,
                    ptrdiff_t j);
near training_dh(const training_case *c, ptrdiff_t r, ptrdiff_t j);

/* A gate: its value, and its slope, 0 where clip holds v. */
typedef struct near_dual {
  near value, slope;
} near_dual;
near_dual training_gate(near v, float most, rondo_function f);

/* In units of float: sums and products; and rate * v, (1 - rate) * v. */
near training_add(near a, near b);
near training_times(near a, near b);
near training_exact(float value);
near training_minus(near v);
near training_kept(near v, float rate);
near training_share(near v, float rate);

/* Element j of scale (g - mean(g) - normal mean(g normal)) over a row of so many columns, summed up in any order. */
near training_through_norm(const near *g, const float *normal, float scale, ptrdiff_t columns, ptrdiff_t j);

/* By how much a float may differ from the twin's. Elements whose bound is 0 keep every bit. */
double training_bound(near v);
double *training_bounds(size_t count);
void training_check(const char *what, const float *got, const float *twin, const double *bound, size_t count);

#endif
