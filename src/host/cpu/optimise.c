/* optimise.c - the optimisers on the CPU: one pass over the arrays, which memory limits. Plain loops that a compiler
 * turns into vectors of what every machine has; formulas are in rondo.h. */
#include "optimise.h"

#include "cpu/cpu.h"
#include "cpu/float_mode.h"

static void descend(const rondo_sgd_args *args) {
  float *restrict params = args->params;
  const float *restrict gradient = args->gradient;
  const float rate = args->rate;
  for (size_t i = 0; i < args->count; i++) params[i] -= rate * gradient[i];
}

static void descend_with_momentum(const rondo_sgd_args *args) {
  float *restrict params = args->params, *restrict velocity = args->velocity;
  const float *restrict gradient = args->gradient;
  const float rate = args->rate, momentum = args->momentum;
  for (size_t i = 0; i < args->count; i++) {
    velocity[i] = momentum * velocity[i] - rate * gradient[i];
    params[i] += velocity[i];
  }
}

static void descend_with_nesterov(const rondo_sgd_args *args) {
  float *restrict params = args->params, *restrict velocity = args->velocity;
  const float *restrict gradient = args->gradient;
  const float rate = args->rate, momentum = args->momentum;
  for (size_t i = 0; i < args->count; i++) {
    const float step = rate * gradient[i];
    velocity[i] = momentum * velocity[i] - step;
    params[i] += momentum * velocity[i] - step;
  }
}

rondo_status rondo_cpu_sgd(rondo_context *ctx, const rondo_sgd_args *args) {
  (void)ctx;
  unsigned mode = rondo_enter_float_mode();
  if (args->momentum == 0)
    descend(args);
  else if (args->nesterov)
    descend_with_nesterov(args);
  else
    descend_with_momentum(args);
  rondo_leave_float_mode(mode);
  return RONDO_OK;
}

rondo_status rondo_cpu_adam(rondo_context *ctx, const rondo_adam_args *args) {
  (void)ctx;
  float *restrict params = args->params, *restrict m = args->m, *restrict v = args->v;
  const float *restrict gradient = args->gradient;
  const float new_1 = 1 - args->beta_1, new_2 = 1 - args->beta_2, epsilon = args->epsilon;
  const float rate = (float)rondo_adam_rate(args);
  unsigned mode = rondo_enter_float_mode();
  for (size_t i = 0; i < args->count; i++) {
    const float g = gradient[i];
    m[i] += new_1 * (g - m[i]);
    v[i] += new_2 * (g * g - v[i]);
    params[i] -= rate * m[i] / (sqrtf(v[i]) + epsilon);
  }
  rondo_leave_float_mode(mode);
  return RONDO_OK;
}

/* In double, where squares neither overflow nor vanish, and in eight sums, for vectors. */
static double sum_of_squares(const float *from, size_t count) {
  double sum[8] = {0}, rest = 0;
  size_t k = 0;
  for (; k + 8 <= count; k += 8)
    for (size_t i = 0; i < 8; i++) sum[i] += (double)from[k + i] * from[k + i];
  for (; k < count; k++) rest += (double)from[k] * from[k];
  for (size_t i = 0; i < 8; i++) rest += sum[i];
  return rest;
}

rondo_status rondo_cpu_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args) {
  (void)ctx;
  float *restrict gradient = args->gradient;
  unsigned mode = rondo_enter_float_mode();
  const double norm = sqrt(sum_of_squares(gradient, args->count));
  const float scale = (float)(args->limit / norm);
  if (norm > args->limit && isfinite(norm))
    for (size_t i = 0; i < args->count; i++) gradient[i] *= scale;
  rondo_leave_float_mode(mode);
  if (args->norm) *(float *)args->norm = (float)norm;
  return RONDO_OK;
}
