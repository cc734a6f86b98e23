/* device.cuh - what the kernels share: groups of floats, the shape of a launch, the activations. */
#ifndef RONDO_DEVICE_CUH
#define RONDO_DEVICE_CUH

#include "kernels.h"

#include <cuda_runtime.h>

#include <stdint.h>

/* V neighbouring floats, moved by one instruction: V is 4 where sizes and addresses allow it, else 1. */
template <int V>
struct alignas(V * sizeof(float)) Group {
  float at[V];
};

template <int V>
__device__ inline Group<V> load(const float *from) {
  return *reinterpret_cast<const Group<V> *>(from);
}

template <int V>
__device__ inline void store(float *to, const Group<V> &group) {
  *reinterpret_cast<Group<V> *>(to) = group;
}

/* Whether rows can be moved four floats at a time. NULL rows are never moved. */
inline bool fours(const void *at, ptrdiff_t stride) {
  return !at || ((uintptr_t)at % (4 * sizeof(float)) == 0 && stride % 4 == 0);
}

/* One thread for each of `columns` groups of each row: rows over x, which may be very many, columns over y, at most
 * 65535 blocks. Short rows share a block, so that its threads are busy and load what rows have in common once. */
struct Shape {
  dim3 grid, block;
};

enum { BLOCK = 128, MOST_Z = 65535 };

inline Shape shape(int rows, int columns) {
  unsigned across = 1;
  while (across < BLOCK && across < (unsigned)columns) across *= 2;
  unsigned down = BLOCK / across;
  while (down / 2 >= (unsigned)rows) down /= 2;
  dim3 grid(((unsigned)rows + down - 1) / down, ((unsigned)columns + across - 1) / across);
  return {grid, dim3(across, down)};
}

__device__ inline int64_t row_index() {
  return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}
__device__ inline int column_index() {
  return (int)(blockIdx.y * blockDim.x + threadIdx.x);
}

/* 1 / (1 + exp(-a)). expf is within 2 ulp and tanhf within 2 (CUDA C++ Programming Guide, "Mathematical Functions", the
 * largest errors its tests found); the sum and the quotient round correctly. exp(-a) weighs e / (1 + e) < 1 in the sum,
 * so the result is within 3 ulp of the sigmoid where that is at least 2^-126. Below a = -88.8 exp overflows and the
 * result is 0 instead of a subnormal number. NaN stays NaN, the infinities give 0 and 1. */
__device__ inline float sigmoid(float a) {
  return 1.0f / (1.0f + expf(-a));
}

#endif
