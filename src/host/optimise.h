/* optimise.h - what the backends' optimisers share. */
#ifndef RONDO_OPTIMISE_H
#define RONDO_OPTIMISE_H

#include "internal.h"

#include <math.h>

/* Adam's rate of one step, with the corrections of m and v that began as zeros. */
static inline double rondo_adam_rate(const rondo_adam_args *args) {
  double step = (double)args->step, left = 1 - pow((double)args->beta_1, step);
  return (double)args->rate * sqrt(1 - pow((double)args->beta_2, step)) / left;
}

#endif
