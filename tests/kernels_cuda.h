/* kernels_cuda.h - between the files that hold the CUDA kernels to their twins. */
#ifndef RONDO_TESTS_KERNELS_CUDA_H
#define RONDO_TESTS_KERNELS_CUDA_H

#include "compare_near.h"
#include "harness.h"
#include "internal.h"

#include "kernels/kernels.h"

/* What stream of random numbers an array is. */
enum { RANDOM_X = 1, RANDOM_GATES, RANDOM_RECURRENT, RANDOM_BIAS, RANDOM_STATE, RANDOM_H, RANDOM_OLD, RANDOM_WEIGHTS };

/* Runs a kernel by name on device memory, and waits. */
void kernel_launch(rondo_context *ctx, const char *name, const void *args);

/* The same floats on the host and on the device. */
typedef struct kernel_array {
  float *here, *there;
  size_t count;
} kernel_array;

/* Uniform in +-scale; and what buffers hold that were never written. `there` NULL: failed, which is recorded. */
kernel_array kernel_random(rondo_context *ctx, size_t count, uint64_t stream, float scale);
kernel_array kernel_poison(rondo_context *ctx, size_t count);
float *kernel_download(rondo_context *ctx, kernel_array array);

/* count numbers of a type that were never written, packed into floats; packed numbers as floats; and how far a number
 * that is rounded to the type may be from what it was. */
kernel_array kernel_poison_of(rondo_context *ctx, rondo_dtype type, size_t count);
float *kernel_numbers(rondo_dtype type, const float *packed, size_t count);
double kernel_rounding(rondo_dtype type, double value);

/* Rows of a call. FULL: none has a rondo_row. FIRST: of falling counts down to 0, in another order than their
 * sequences, some of which start from zeros, in a pool of states with room between; steps follow each other. MASK: the
 * same, and steps are anywhere. */
typedef enum kernel_rows_kind { ROWS_FULL = 0, ROWS_FIRST, ROWS_MASK } kernel_rows_kind;
typedef struct kernel_rows {
  rondo_step here, there; /* rows: those that take part in the step */
  int batch, states;      /* N, and rows of the pool */
} kernel_rows;
kernel_rows kernel_rows_make(rondo_context *ctx, kernel_rows_kind kind, int batch, int timesteps, int step);

/* Rows of the tests in test_kernels_cuda_cells.c and test_kernels_cuda_gates.c, for the suite. */
void test_lstm_cell_forward(const void *row);
void test_gru_reset_forward(const void *row);
void test_gru_cell_forward(const void *row);
void test_rnn_cell_forward(const void *row);
void test_sigmoid_limits(const void *unused);

typedef struct kernel_cell_row {
  const char *name;
  int n, t, step, h; /* N, T, s, H; t 0 is 1 */
  kernel_rows_kind kind;
  int gap, shift; /* floats between rows; and by which arrays stand beside an aligned address */
  int without;    /* bits: not wanted: h_next, y, y_last, h_n, c_n, rounded */
  int reversed;   /* y's distance over time is negative */
  int in_place;   /* h_next is h, h_n h_0, c_n c_0 */
  rondo_merge merge;
  int zero_y_last;
  float scale;                /* of the sums; 0 is 4 */
  rondo_cell_options options; /* kinds 0: tanh, sigmoid, tanh */
  int peephole, norm, reset_before, apart, x_first, no_c_0, unprojected, no_bias;
  rondo_dtype type; /* of the rows that products read */
} kernel_cell_row;
extern const kernel_cell_row kernel_lstm_rows[], kernel_reset_rows[], kernel_gru_rows[], kernel_rnn_rows[];

/* ---- Between the files of the cells ------------------------------------------------------------------------------ */

enum { H_NEXT, Y, Y_LAST, H_N, PLACES, C_N = PLACES, ROUNDED };

/* The places of a launch. bound (as many floats): what a written value may be off by, before it is merged; else 0. */
typedef struct places {
  kernel_array array[PLACES];
  float *old[PLACES], *bound[PLACES];
  kernel_array rounded; /* numbers of the row's type, as many as floats in the one of h_next */
  rondo_output here, there, bounds;
} places;

/* Everything of one launch, on both sides. */
typedef struct cell_case {
  rondo_context *ctx;
  kernel_rows rows;
  kernel_array gates, recurrent, bias, weights, h; /* weights: gammas (4H) twice, (H) twice, peephole (3, H) */
  places places;
  float *bound; /* (R, H) of h */
  size_t units;
  ptrdiff_t row;
} cell_case;

/* 1, or 0 with the failure recorded. gates, parts: columns of the sums and of the bias for each unit. */
int cell_make(const kernel_cell_row *k, int gates, int parts, cell_case *c);
rondo_cell_options cell_options(const kernel_cell_row *k);
double cell_old_h(const cell_case *c, const kernel_cell_row *k, ptrdiff_t r, ptrdiff_t j);

/* What an exact kernel would give, with bounds of what float makes of it: a + b; f(clipped v); zoneout; a row
 * (columns), normalised unless gamma is NULL. */
near cell_sum(double a, double b);
near cell_active(near v, float clip, rondo_function function);
near cell_zone(float rate, double old, near fresh);
near *cell_normal(const float *row, int columns, const float *gamma);
float cell_bound(near v); /* as a float, no smaller */

/* Places bounds (R, H) as h is placed. Then got against the twin's: where bound is 0 every bit. old: what it was merged
 * with. */
void cell_place_bounds(const kernel_cell_row *k, const kernel_rows *rows, const places *p, const float *bound);
void cell_check_array(const char *what, const float *got, const float *expected, const float *old, const float *bound,
                      size_t count, rondo_merge merge);
void cell_round_bounds(rondo_dtype type, float *bound, const float *expected, size_t count); /* of expected, rounded */
void cell_check_places(rondo_context *ctx, const kernel_cell_row *k, const kernel_rows *rows, const places *p,
                       const float *bound);

#endif
