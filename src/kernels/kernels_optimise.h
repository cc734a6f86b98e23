/* kernels_optimise.h - argument structs of the kernels that training needs besides layers; kernels.h includes this. */
#ifndef RONDO_KERNELS_OPTIMISE_H
#define RONDO_KERNELS_OPTIMISE_H

#include "rondo/rondo.h"

/* draw_uniform: to[i] = (2 u - 1) limit, u what curand_uniform makes of word i of a sequence of Philox4_32_10. */
typedef struct rondo_draw_uniform_args {
  float *to;
  size_t count;
  float limit;
  uint64_t seed, sequence;
} rondo_draw_uniform_args;

/* draw_mask: mask[i] = the factor of dropout: 0 where u is at most rate, else 1 / (1 - rate); u as in draw_uniform. */
typedef struct rondo_draw_mask_args {
  float *mask;
  size_t count;
  float rate;
  uint64_t seed, sequence;
} rondo_draw_mask_args;

/* drop: v[i] *= that factor. */
typedef struct rondo_drop_args {
  float *v;
  size_t count;
  float rate;
  uint64_t seed, sequence;
} rondo_drop_args;

/* sgd_update: one step as rondo.h defines it. */
typedef rondo_sgd_args rondo_sgd_update_args;

/* adam_update: the same of Adam, but rate is that of the step, its corrections included; step is not used. */
typedef rondo_adam_args rondo_adam_update_args;

/* square_sums: sums[b] = part b of the sum of squares of count floats. parts: rondo_square_parts(count). */
typedef struct rondo_square_sums_args {
  const float *from;
  size_t count;
  double *sums; /* (parts) */
  int parts;
} rondo_square_sums_args;

/* clip_scale: norm = root of all sums; to *= limit / norm where that is finite and above limit. */
typedef struct rondo_clip_scale_args {
  float *to;
  size_t count;
  const double *sums; /* (parts) */
  int parts;
  float limit;
  float *norm; /* or NULL */
} rondo_clip_scale_args;

enum { RONDO_SQUARE_BLOCK = 256, RONDO_MOST_SQUARE_PARTS = RONDO_CLIP_SCRATCH / 8 };

/* One for each block of threads that have something to do. */
static inline int rondo_square_parts(size_t count) {
  size_t parts = (count + RONDO_SQUARE_BLOCK - 1) / RONDO_SQUARE_BLOCK;
  return parts < RONDO_MOST_SQUARE_PARTS ? (int)parts : RONDO_MOST_SQUARE_PARTS;
}

#endif
