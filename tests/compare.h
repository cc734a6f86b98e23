/* compare.h - how far a result may be from the exact one, derived from the very numbers of a problem.
 *
 * compare_expect runs the layers once in double and carries beside every value a bound of what float arithmetic may add
 * to it: the rounding of each sum, of each activation and of each elementwise product, and the errors of h and c that
 * the step before and the layer below already had. The derivation stands in compare_near.c, the cells in
 * compare_cell.c. So there is no tolerance to choose: an error is given as a share of its bound, above 1 is wrong. */
#ifndef RONDO_TESTS_COMPARE_H
#define RONDO_TESTS_COMPARE_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/* How a backend computes: units of rounding. */
typedef struct compare_arithmetic {
  double product; /* of each factor before it is multiplied: 0, or 2^-10 for TF32 */
  double narrow;  /* of x, h and the like before they are multiplied by a weight, which is exact: 0, or of a half */
  double least;   /* and an absolute one, below the smallest normal half */
  double levels;  /* or of rows of these: levels on each side of 0; 0: none */
  double mask;    /* of the factors of dropout, which are floats here */
  double sum;     /* of each product and each addition of the gate sums */
  double active;  /* largest error of sigmoid, tanh, exp and their like, relative to their value */
  double state;   /* of each operation on c and h */
  double store;   /* of h and c in the caller's arrays: 0 when they are computed in float anyway */
} compare_arithmetic;

extern const compare_arithmetic compare_reference;         /* RONDO_REFERENCE: all in double from call to call */
extern const compare_arithmetic compare_float;             /* all in float, sums in any order */
extern const compare_arithmetic compare_tf32;              /* factors rounded or cut to TF32 first */
extern const compare_arithmetic compare_f16, compare_bf16; /* x and h rounded to the weights' type first */
extern const compare_arithmetic compare_bf16_pairs;        /* likewise, from RONDO_ISA_AVX512_BF16 on */
extern const compare_arithmetic compare_int8, compare_reference_int8; /* rows of x and h rounded to levels */

/* Of a problem on a backend; isa: the one in use, of the CPU. */
compare_arithmetic compare_arithmetic_of(rondo_backend backend, rondo_isa isa, const problem *p);

/* Values and bounds, all dense and batch-major whatever the problem's layout. y (N, T, columns) and y_last (N, columns)
 * with halves side by side, h_n (L*D, N, O), c_n (L*D, N, H). */
typedef struct compare_expected {
  struct problem problem;
  int columns; /* of y and y_last, both halves */
  double *y, *y_last, *h_n, *c_n;
  double *y_bound, *y_last_bound, *h_n_bound, *c_n_bound;
} compare_expected;

/* data: as problem_data_create made it, or filled by hand; in training with the masks of dropout, which are multiplied
 * by where they are not NULL. Weights are rounded to the problem's type first. 1, or 0 without memory. */
int compare_expect(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic);

/* The same for a problem whose y (with the strides of data) a backend has computed and which holds every h: each step
 * is held to what it should make of the h that the step before gave, so the bounds stay tight however long the sequence
 * and large the layer. */
int compare_expect_steps(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic,
                         const float *y);
void compare_free(compare_expected *expected);

/* Whether y holds every h: one layer, no head on it, directions not merged into one. */
int compare_has_steps(const problem *p);

/* Largest |got - expected| / bound; infinite if got is not a number. got has the strides and gaps of data. */
double compare_y(const compare_expected *expected, const problem_data *data, const float *y);
double compare_y_last(const compare_expected *expected, const problem_data *data, const float *y_last);
double compare_h_n(const compare_expected *expected, const problem_data *data, const float *h_n);
double compare_c_n(const compare_expected *expected, const problem_data *data, const float *c_n);

/* v as a number of 16 bits, to nearest, ties to even: by arithmetic, where src/host/half.h works on bits. */
float compare_rounded(rondo_dtype type, float v);

/* to = from (rows, columns), each number rounded likewise, or each column to levels. */
void compare_round_matrix(float *to, const float *from, size_t rows, size_t columns, rondo_dtype type);

/* The larger of two errors or ratios; infinite if the second is not a number. */
double compare_worst(double worst, double next);

/* Largest |a - b| over count floats; infinite if either is not a number. For printing, not for judging. */
double compare_difference(const float *a, const float *b, size_t count);

#ifdef __cplusplus
}
#endif

#endif
