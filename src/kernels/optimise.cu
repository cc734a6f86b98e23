/* optimise.cu - optimisers and the limit of gradients, over flat arrays of floats: formulas in rondo.h and
 * kernels_optimise.h.
 *
 * One thread for every element. Sums are in double and in an order that count alone decides. Called by
 * host/cuda/optimise.c. */
#include "flat.cuh"
#include "reduce.cuh"

__global__ void __launch_bounds__(THREADS) sgd_update(const rondo_sgd_update_args args) {
  float *params = (float *)args.params, *velocity = (float *)args.velocity;
  const float *gradient = (const float *)args.gradient;
  for (size_t i = first(); i < args.count; i += stride()) {
    float move = -args.rate * gradient[i];
    if (args.momentum > 0) {
      const float v = args.momentum * velocity[i] + move;
      velocity[i] = v;
      move = args.nesterov ? args.momentum * v + move : v;
    }
    params[i] += move;
  }
}

__global__ void __launch_bounds__(THREADS) adam_update(const rondo_adam_update_args args) {
  float *params = (float *)args.params, *m = (float *)args.m, *v = (float *)args.v;
  const float *gradient = (const float *)args.gradient;
  const float new_1 = 1 - args.beta_1, new_2 = 1 - args.beta_2;
  for (size_t i = first(); i < args.count; i += stride()) {
    const float g = gradient[i];
    const float mean = m[i] + new_1 * (g - m[i]), square = v[i] + new_2 * (g * g - v[i]);
    m[i] = mean;
    v[i] = square;
    params[i] -= args.rate * mean / (sqrtf(square) + args.epsilon);
  }
}

struct AddDoubles {
  __device__ double operator()(double a, double b) const {
    return a + b;
  }
};

__global__ void __launch_bounds__(THREADS) square_sums(const rondo_square_sums_args args) {
  double sum = 0;
  for (size_t i = first(); i < args.count; i += stride()) sum += (double)args.from[i] * args.from[i];
  sum = block_reduce<THREADS>(sum, AddDoubles());
  if (threadIdx.x == 0) args.sums[blockIdx.x] = sum;
}

/* Every block adds up the parts for itself, all in the same order: they are few. */
__global__ void __launch_bounds__(THREADS) clip_scale(const rondo_clip_scale_args args) {
  double sum = 0;
  for (int i = threadIdx.x; i < args.parts; i += THREADS) sum += args.sums[i];
  const double norm = sqrt(block_reduce<THREADS>(sum, AddDoubles()));
  if (args.norm && first() == 0) *args.norm = (float)norm;
  if (!(norm > args.limit) || isinf(norm)) return;
  const float scale = (float)(args.limit / norm);
  for (size_t i = first(); i < args.count; i += stride()) args.to[i] *= scale;
}

extern "C" int rondo_sgd_update_cuda(const rondo_sgd_update_args *args, cudaStream_t stream) {
  return enqueue(sgd_update, blocks(args->count), dim3(THREADS), args, stream);
}
extern "C" int rondo_adam_update_cuda(const rondo_adam_update_args *args, cudaStream_t stream) {
  return enqueue(adam_update, blocks(args->count), dim3(THREADS), args, stream);
}
extern "C" int rondo_square_sums_cuda(const rondo_square_sums_args *args, cudaStream_t stream) {
  return enqueue(square_sums, dim3((unsigned)args->parts), dim3(THREADS), args, stream);
}
extern "C" int rondo_clip_scale_cuda(const rondo_clip_scale_args *args, cudaStream_t stream) {
  return enqueue(clip_scale, blocks(args->count), dim3(THREADS), args, stream);
}

extern "C" int rondo_sgd_update_load_cuda(void) {
  return load_code(sgd_update);
}
extern "C" int rondo_adam_update_load_cuda(void) {
  return load_code(adam_update);
}
extern "C" int rondo_square_sums_load_cuda(void) {
  return load_code(square_sums);
}
extern "C" int rondo_clip_scale_load_cuda(void) {
  return load_code(clip_scale);
}
