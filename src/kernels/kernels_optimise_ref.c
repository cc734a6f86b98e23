/* kernels_optimise_ref.c - the twins of kernels_optimise.h's kernels on host memory: plain loops in double. For tests.
 */
#include "kernels.h"

#include <math.h>

/* As philox.h has it, which this must not share: the counter is the word's place / 4 and the sequence, the key the
 * seed. */
static uint32_t philox_word(uint64_t seed, uint64_t sequence, uint64_t place) {
  uint64_t counter[2] = {place / 4, sequence};
  for (uint32_t round = 0; round < 10; round++) {
    uint32_t key[2] = {(uint32_t)seed + round * 0x9E3779B9u, (uint32_t)(seed >> 32) + round * 0xBB67AE85u};
    uint64_t product[2] = {(counter[0] & UINT32_MAX) * 0xD2511F53u, (counter[1] & UINT32_MAX) * 0xCD9E8D57u};
    uint64_t low = (uint32_t)((product[1] >> 32) ^ (counter[0] >> 32) ^ key[0]) | (product[1] << 32);
    uint64_t high = (uint32_t)((product[0] >> 32) ^ (counter[1] >> 32) ^ key[1]) | (product[0] << 32);
    counter[0] = low, counter[1] = high;
  }
  return (uint32_t)(counter[place % 4 / 2] >> place % 2 * 32);
}

static float uniform(uint64_t seed, uint64_t sequence, uint64_t place) {
  float word = (float)philox_word(seed, sequence, place); /* rounded: cuRAND's 24 bits */
  return (float)(word * 0x1p-32 + 0x1p-33);
}

void rondo_draw_uniform_ref(const rondo_draw_uniform_args *args) {
  for (size_t i = 0; i < args->count; i++) args->to[i] = (2 * uniform(args->seed, args->sequence, i) - 1) * args->limit;
}

void rondo_draw_mask_ref(const rondo_draw_mask_args *args) {
  for (size_t i = 0; i < args->count; i++)
    args->mask[i] = uniform(args->seed, args->sequence, i) > args->rate ? 1 / (1 - args->rate) : 0;
}

void rondo_drop_ref(const rondo_drop_args *args) {
  for (size_t i = 0; i < args->count; i++)
    args->v[i] *= uniform(args->seed, args->sequence, i) > args->rate ? 1 / (1 - args->rate) : 0;
}

void rondo_sgd_update_ref(const rondo_sgd_update_args *args) {
  float *params = args->params, *velocity = args->velocity;
  const float *gradient = args->gradient;
  for (size_t i = 0; i < args->count; i++) {
    double step = (double)args->rate * gradient[i], v = args->momentum > 0 ? velocity[i] : 0.0;
    v = args->momentum * v - step;
    params[i] = (float)(params[i] + (args->nesterov ? args->momentum * v - step : v));
    if (args->momentum > 0) velocity[i] = (float)v;
  }
}

void rondo_adam_update_ref(const rondo_adam_update_args *args) {
  float *params = args->params, *m = args->m, *v = args->v;
  const float *gradient = args->gradient;
  for (size_t i = 0; i < args->count; i++) {
    double g = gradient[i], mean = m[i] + (1 - (double)args->beta_1) * (g - m[i]);
    double square = v[i] + (1 - (double)args->beta_2) * (g * g - v[i]);
    params[i] = (float)(params[i] - args->rate * mean / (sqrt(square) + args->epsilon));
    m[i] = (float)mean, v[i] = (float)square;
  }
}

/* Which numbers are in which part is the kernel's affair: all are in the first. */
void rondo_square_sums_ref(const rondo_square_sums_args *args) {
  for (int b = 0; b < args->parts; b++) args->sums[b] = 0;
  for (size_t i = 0; i < args->count; i++) args->sums[0] += (double)args->from[i] * args->from[i];
}

void rondo_clip_scale_ref(const rondo_clip_scale_args *args) {
  double sum = 0;
  for (int b = 0; b < args->parts; b++) sum += args->sums[b];
  double norm = sqrt(sum);
  for (size_t i = 0; i < args->count && norm > args->limit && isfinite(norm); i++)
    args->to[i] = (float)(args->to[i] * (args->limit / norm));
  if (args->norm) *args->norm = (float)norm;
}
