/* check.c - is every step right? And how far has the whole come from exact?
 *
 * A bound carried from step to step grows like the norm of the recurrent weights to the power of t and soon says
 * nothing, so every step is judged by itself, from the very h that the run went on from (compare_expect_steps). Where y
 * does not hold every h, in a stack, under a head or after a sum of directions, only the first few steps can be judged,
 * by the carried bound. The error is the distance from a run in double all the way: reported, but judged by no one. */
#include "check.h"

#include <math.h>

static double largest_error(const compare_expected *expected, const problem_data *data, const float *y) {
  const problem *p = &data->problem;
  size_t columns = (size_t)problem_columns(p), halves = (size_t)problem_halves(p);
  const double *want = expected->y;
  double worst = 0;
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++)
      for (size_t j = 0; j < halves * columns; j++) {
        size_t at = problem_at(data->y_strides, n, t) + j / columns * data->y_strides.direction + j % columns;
        worst = compare_worst(worst, fabs(y[at] - *want++));
      }
  return worst;
}

/* found->share. 0 without memory. */
static int judge_steps(verdict *found, const problem_data *data, compare_arithmetic unit, const float *y) {
  compare_expected expected;
  if (!compare_expect_steps(&expected, data, unit, y)) return 0;
  found->share = compare_y(&expected, data, y);
  compare_free(&expected);
  return 1;
}

int check_wrong(const verdict *found) {
  return found->timesteps > 0 && !(found->share <= 1);
}

int check_run(verdict *found, const problem_data *data, compare_arithmetic unit, const float *y) {
  const problem *p = &data->problem;
  int whole = !compare_has_steps(p);
  compare_expected expected;
  *found = (verdict){.sequences = p->batch, .timesteps = p->timesteps};
  if (!compare_expect(&expected, data, unit)) return 0;
  found->error = largest_error(&expected, data, y);
  if (whole && p->timesteps <= CHECK_STACK_STEPS)
    found->share = compare_y(&expected, data, y);
  else if (whole)
    found->timesteps = 0, found->share = NAN;
  compare_free(&expected);
  return whole || judge_steps(found, data, unit, y);
}
