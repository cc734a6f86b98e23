/* reference_optimise.c - the oracle's optimisers: rondo.h's formulas in double, rounded where they are stored. */
#include "reference.h"

#include <math.h>

rondo_status rondo_reference_sgd(rondo_context *ctx, const rondo_sgd_args *args) {
  (void)ctx;
  float *params = args->params, *velocity = args->velocity;
  const float *gradient = args->gradient;
  double momentum = args->momentum, rate = args->rate;
  for (size_t i = 0; i < args->count; i++) {
    double move = -rate * gradient[i];
    if (momentum > 0) {
      double v = momentum * velocity[i] + move;
      velocity[i] = (float)v;
      move = args->nesterov ? momentum * v + move : v;
    }
    params[i] = (float)(params[i] + move);
  }
  return RONDO_OK;
}

rondo_status rondo_reference_adam(rondo_context *ctx, const rondo_adam_args *args) {
  (void)ctx;
  float *params = args->params, *m = args->m, *v = args->v;
  const float *gradient = args->gradient;
  double beta_1 = args->beta_1, beta_2 = args->beta_2, step = (double)args->step;
  double rate = args->rate * sqrt(1 - pow(beta_2, step)) / (1 - pow(beta_1, step));
  for (size_t i = 0; i < args->count; i++) {
    double g = gradient[i];
    double mean = m[i] + (1 - beta_1) * (g - m[i]), square = v[i] + (1 - beta_2) * (g * g - v[i]);
    params[i] = (float)(params[i] - rate * mean / (sqrt(square) + args->epsilon));
    m[i] = (float)mean;
    v[i] = (float)square;
  }
  return RONDO_OK;
}

rondo_status rondo_reference_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args) {
  (void)ctx;
  float *gradient = args->gradient;
  double sum = 0;
  for (size_t i = 0; i < args->count; i++) sum += (double)gradient[i] * gradient[i];
  double norm = sqrt(sum);
  if (norm > args->limit && isfinite(norm))
    for (size_t i = 0; i < args->count; i++) gradient[i] = (float)(gradient[i] * (args->limit / norm));
  if (args->norm) *(float *)args->norm = (float)norm;
  return RONDO_OK;
}
