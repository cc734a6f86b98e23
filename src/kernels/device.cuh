/* device.cuh - what the kernels share: groups of floats, the shape of a launch, where a row stands and its h goes. */
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

enum { BLOCK = 128, WIDE_BLOCK = 256, MOST_Z = 65535 }; /* WIDE: for whole rows */

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

/* Row r of one step. */
struct Place {
  int64_t sequence, state;
  int position;
  bool from_zeros, ends;
};

__device__ inline int position_of(const rondo_row &row, const int32_t *position, int64_t r, int timesteps, int step) {
  return position ? position[r * timesteps + step] : row.first + step;
}

__device__ inline Place place(const rondo_step &step, int64_t r) {
  if (!step.row) return {r, r, step.step, false, step.step == step.timesteps - 1};
  const rondo_row row = step.row[r];
  const int position = position_of(row, step.position, r, step.timesteps, step.step);
  const bool zeros = row.state < 0;
  return {row.sequence, zeros ? ~row.state : row.state, position, zeros, step.step == row.count - 1};
}

/* Row n of rows that may be zeros. */
template <int V>
__device__ inline Group<V> load_row(const rondo_const_rows &rows, int64_t n, int j, bool zeros = false) {
  return rows.at && !zeros ? load<V>(rows.at + n * rows.stride + j) : Group<V>{};
}

template <int V>
__device__ inline void store_row(const rondo_rows &rows, int64_t n, int j, const Group<V> &group) {
  if (rows.at) store<V>(rows.at + n * rows.stride + j, group);
}

/* Writes, or merges with what is there. */
template <int V>
__device__ inline void merge(rondo_merge how, float *to, Group<V> group) {
  if (how != RONDO_CONCAT) {
    const Group<V> old = load<V>(to);
    for (int v = 0; v < V; v++) {
      float both = how == RONDO_MUL ? old.at[v] * group.at[v] : old.at[v] + group.at[v];
      group.at[v] = how == RONDO_AVE ? 0.5f * both : both;
    }
  }
  store<V>(to, group);
}

/* The h of row r of a step to all its places. */
template <int V>
__device__ inline void store_h(const rondo_output &out, const rondo_step &step, const Place &at, int64_t r, int j,
                               const Group<V> &h) {
  if (out.y) merge<V>(out.merge, out.y + at.sequence * out.y_sequence + at.position * out.y_timestep + j, h);
  if (!at.ends) {
    store_row<V>(out.h_next, r, j, h);
    return;
  }
  store_row<V>(out.h_n, at.state, j, h);
  if (!out.y_last.at) return;
  const bool zero = out.zero_y_last && at.position != step.timesteps - 1;
  merge<V>(out.merge, out.y_last.at + at.sequence * out.y_last.stride + j, zero ? Group<V>{} : h);
}

/* Whether store_h can move four floats at a time. */
inline bool fours(const rondo_output &out) {
  return fours(out.h_next.at, out.h_next.stride) && fours(out.y, out.y_sequence) && fours(out.y, out.y_timestep) &&
         fours(out.y_last.at, out.y_last.stride) && fours(out.h_n.at, out.h_n.stride);
}

/* Enqueues a kernel with one parameter. */
template <typename Args>
inline cudaError_t enqueue(void (*kernel)(Args), dim3 grid, dim3 block, const void *args, cudaStream_t stream) {
  void *arguments[] = {const_cast<void *>(args)};
  return cudaLaunchKernel(reinterpret_cast<const void *>(kernel), grid, block, arguments, 0, stream);
}

/* Loads the code of kernels. */
template <typename... Kernels>
inline cudaError_t load_code(Kernels... kernels) {
  const void *const all[] = {reinterpret_cast<const void *>(kernels)...};
  for (const void *kernel : all) {
    cudaFuncAttributes attributes;
    cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
    if (error) return error;
  }
  return cudaSuccess;
}

#endif
