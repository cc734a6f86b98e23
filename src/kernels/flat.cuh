/* flat.cuh - kernels over flat arrays: one thread for every element, or few of them, up to a grid that fills any GPU,
 * beyond that in strides of the grid. */
#ifndef RONDO_FLAT_CUH
#define RONDO_FLAT_CUH

#include "device.cuh"

enum { THREADS = RONDO_SQUARE_BLOCK, MOST_BLOCKS = 1 << 14 };

/* The first element of this thread, and the distance to its next. */
__device__ inline size_t first() {
  return (size_t)blockIdx.x * THREADS + threadIdx.x;
}
__device__ inline size_t stride() {
  return (size_t)gridDim.x * THREADS;
}

inline dim3 blocks(size_t count) {
  size_t all = (count + THREADS - 1) / THREADS;
  return dim3((unsigned)(all < MOST_BLOCKS ? all : MOST_BLOCKS));
}

#endif
