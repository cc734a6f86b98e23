/* reduce.cuh - sums over the threads of a block, by CUB, and the statistics of a row made of them. */
#ifndef RONDO_REDUCE_CUH
#define RONDO_REDUCE_CUH

#include <cub/block/block_reduce.cuh>

struct Add {
  __device__ float2 operator()(float2 a, float2 b) const {
    return make_float2(a.x + b.x, a.y + b.y);
  }
};
struct Larger { /* NaN stays */
  __device__ float operator()(float a, float b) const {
    return a > b || a != a ? a : b;
  }
};

/* The reduction of every thread's value, for all of them, always in the same order. */
template <int THREADS, typename T, typename Operator>
__device__ inline T block_reduce(T value, Operator op) {
  using Reduce = cub::BlockReduce<T, THREADS>;
  __shared__ typename Reduce::TempStorage storage;
  __shared__ T result;
  value = Reduce(storage).Reduce(value, op);
  if (threadIdx.x == 0) result = value;
  __syncthreads();
  value = result;
  __syncthreads(); /* before the next one writes */
  return value;
}

/* Mean and 1 / sqrt(variance + 1e-5) of two rows at a time. */
struct Statistics {
  float2 mean, scale;
};

/* a and b: functions of the column, of 0..columns-1. */
template <int THREADS, typename A, typename B>
__device__ inline Statistics statistics(int columns, A a, B b) {
  float2 sum = make_float2(0, 0);
  for (int k = threadIdx.x; k < columns; k += THREADS) sum = Add()(sum, make_float2(a(k), b(k)));
  sum = block_reduce<THREADS>(sum, Add());
  const float2 mean = make_float2(sum.x / columns, sum.y / columns);
  sum = make_float2(0, 0);
  for (int k = threadIdx.x; k < columns; k += THREADS) {
    const float da = a(k) - mean.x, db = b(k) - mean.y;
    sum = Add()(sum, make_float2(da * da, db * db));
  }
  sum = block_reduce<THREADS>(sum, Add());
  return {mean, make_float2(1 / sqrtf(sum.x / columns + 1e-5f), 1 / sqrtf(sum.y / columns + 1e-5f))};
}

#endif
