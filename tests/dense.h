/* dense.h - the outputs of a problem without layout, gaps and slots, to compare runs that lay them out differently. */
#ifndef RONDO_TESTS_DENSE_H
#define RONDO_TESTS_DENSE_H

#include "harness.h"

/* y (N, T, columns) and y_last (N, columns) with halves side by side, h_n (L*D, N, O), c_n (L*D, N, H). NULL where
 * there is none. */
typedef struct dense {
  float *y, *y_last, *h_n, *c_n;
  size_t y_count, y_last_count, h_count, c_count;
  int columns;
} dense;

dense dense_of(const problem_data *data, const test_outputs *out);

/* Fails unless all bits are equal; an output that either lacks is not looked at. */
void dense_expect_same(const char *what, const dense *a, const dense *b);

/* Fails unless the outputs, in the layout of data, keep the bounds of the exact result. The units are float's also for
 * the reference, where a state that is carried from call to call is rounded to float. */
void expect_bounds(const char *what, const problem_data *data, const test_outputs *out);

/* Whether bits must be equal: on CUDA another batch or another length may sum in another order. */
int is_exact(const rondo_context *ctx);

/* got, which has the layout of data, must be equal to whole, or keep the bounds where bits may differ. */
void judge(const char *what, const test_setup *s, const problem_data *data, const test_outputs *got,
           const test_outputs *whole);

/* A setup of a problem string on a context of the running variant. */
int set_up_named(test_setup *s, const char *name);

/* All outputs are filled with poison. */
void poison_outputs(const test_setup *s);

#endif
