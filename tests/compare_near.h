/* compare_near.h - numbers that carry a bound of the error a backend may have made in them: running error analysis.
 * Between the compare files. The rules and their derivation stand in compare_near.c. */
#ifndef RONDO_TESTS_COMPARE_NEAR_H
#define RONDO_TESTS_COMPARE_NEAR_H

#include "compare.h"

/* A value, and a bound of the distance of the computed one. */
typedef struct near {
  double value, error;
} near;

/* The largest magnitude that the computed value can have. */
double near_reach(near v);

near near_exact(double value);

/* A factor of dropout; and a number on its way into a product with a weight, of which there are 16 bits. */
near near_mask(float factor, compare_arithmetic unit);
near near_narrow(near v, compare_arithmetic unit);

/* In place: a row (count) rounded to levels of one scale, if there are levels. */
void near_quantise(near *row, int count, compare_arithmetic unit);

/* unit: of the rounding of the operation. */
near near_add(near a, near b, double unit);
near near_multiply(near a, near b, double unit);

/* w a + (1 - w) b, also when it is computed as b + w (a - b). */
near near_mix(near w, near a, near b, double unit);

/* Limited to -limit..limit; limit 0: not at all. */
near near_clip(near v, double limit);

/* kind is not RONDO_DEFAULT; alpha and beta 0 mean its own. */
near near_function(near v, rondo_function f, compare_arithmetic unit);

/* In place: a row's softmax; and (v - mean) / sqrt(variance + 1e-5) * gamma, gamma (count) or NULL. */
void near_softmax(near *row, int count, compare_arithmetic unit);
void near_normalize(near *row, int count, const float *gamma, compare_arithmetic unit);

/* Many sums of products at once, (columns). */
typedef struct near_sums {
  int columns, terms; /* terms: added to each so far */
  double *value, *magnitude, *carried;
} near_sums;

/* Starts with 0, or with bias (columns). */
void near_sums_start(near_sums *s, const float *bias);

/* Adds row (count) times the columns `first` and on of w, whose rows are `stride` floats long. Only the sums from..to
 * - 1 are added to. */
void near_sums_add(near_sums *s, const near *row, int count, const float *w, int stride, int first, int from, int to);

/* A sum; and one sum of the terms of both. */
near near_sums_get(const near_sums *s, int j, compare_arithmetic unit);
near near_sums_join(const near_sums *a, const near_sums *b, int j, compare_arithmetic unit);

#endif
