/* check.h - judges y of a run of one layer, however long, by formulas in double that share no code with the library. */
#ifndef BENCH_CHECK_H
#define BENCH_CHECK_H

#include "compare.h"

typedef struct verdict {
  int sequences, timesteps; /* judged; timesteps 0: nothing, share is NAN */
  double error;             /* largest |y - exact|, exact in double from the first step to the last */
  double share;             /* largest error of a single step as a share of its bound; above 1 is wrong */
} verdict;

/* Of a stack only so many first steps can be judged; see check.c. */
enum { CHECK_STACK_STEPS = 3 };

/* Whether something was judged and found wrong. */
int check_wrong(const verdict *found);

/* y has the strides of data. 1, or 0 without memory. */
int check_run(verdict *found, const problem_data *data, compare_arithmetic unit, const float *y);

#endif
