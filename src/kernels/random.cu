/* random.cu - random numbers that are a function of their place: first weights, and the factors of dropout; formulas in
 * kernels_optimise.h.
 *
 * One thread for a Philox group, which is four numbers, of cuRAND's generator set to that place. Called by
 * host/cuda/optimise.c, and of masks by training_dropout.c. */
#include "flat.cuh"

#include <curand_kernel.h>

/* Numbers 4 * group to 4 * group + 3 of a sequence, each above 0 and up to 1. */
struct Four {
  float at[4];
};

__device__ inline Four uniform(uint64_t seed, uint64_t sequence, size_t group) {
  curandStatePhilox4_32_10_t state;
  curand_init(seed, sequence, 4 * group, &state);
  const float4 u = curand_uniform4(&state);
  return {{u.x, u.y, u.z, u.w}};
}

__global__ void __launch_bounds__(THREADS) draw_uniform(const rondo_draw_uniform_args args) {
  for (size_t group = first(); group < (args.count + 3) / 4; group += stride()) {
    const Four u = uniform(args.seed, args.sequence, group);
    for (int k = 0; k < 4; k++)
      if (4 * group + k < args.count) args.to[4 * group + k] = (2 * u.at[k] - 1) * args.limit;
  }
}

__global__ void __launch_bounds__(THREADS) draw_mask(const rondo_draw_mask_args args) {
  const float kept = 1 / (1 - args.rate);
  for (size_t group = first(); group < (args.count + 3) / 4; group += stride()) {
    const Four u = uniform(args.seed, args.sequence, group);
    for (int k = 0; k < 4; k++)
      if (4 * group + k < args.count) args.mask[4 * group + k] = u.at[k] > args.rate ? kept : 0;
  }
}

__global__ void __launch_bounds__(THREADS) drop(const rondo_drop_args args) {
  const float kept = 1 / (1 - args.rate);
  for (size_t group = first(); group < (args.count + 3) / 4; group += stride()) {
    const Four u = uniform(args.seed, args.sequence, group);
    for (int k = 0; k < 4; k++)
      if (4 * group + k < args.count) args.v[4 * group + k] *= u.at[k] > args.rate ? kept : 0;
  }
}

extern "C" int rondo_draw_uniform_cuda(const rondo_draw_uniform_args *args, cudaStream_t stream) {
  return enqueue(draw_uniform, blocks((args->count + 3) / 4), dim3(THREADS), args, stream);
}
extern "C" int rondo_draw_mask_cuda(const rondo_draw_mask_args *args, cudaStream_t stream) {
  return enqueue(draw_mask, blocks((args->count + 3) / 4), dim3(THREADS), args, stream);
}
extern "C" int rondo_drop_cuda(const rondo_drop_args *args, cudaStream_t stream) {
  return enqueue(drop, blocks((args->count + 3) / 4), dim3(THREADS), args, stream);
}

extern "C" int rondo_draw_uniform_load_cuda(void) {
  return load_code(draw_uniform);
}
extern "C" int rondo_draw_mask_load_cuda(void) {
  return load_code(draw_mask);
}
extern "C" int rondo_drop_load_cuda(void) {
  return load_code(drop);
}
