/* device.cuh - what the kernels share: groups of numbers, the shape of a launch, where a row stands and its h goes. */
#ifndef RONDO_DEVICE_CUH
#define RONDO_DEVICE_CUH

#include "kernels.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <stdint.h>

/* V neighbouring numbers, moved by one instruction: V is 4 where sizes and addresses allow it, else 1. */
template <int V, typename T = float>
struct alignas(V * sizeof(T)) Group {
  T at[V];
};

template <int V>
__device__ inline Group<V> load(const float *from) {
  return *reinterpret_cast<const Group<V> *>(from);
}

/* Whether rows can be moved four numbers at a time. NULL rows are never moved. */
inline bool fours(const void *at, ptrdiff_t stride, size_t size = sizeof(float)) {
  return !at || ((uintptr_t)at % (4 * size) == 0 && stride % 4 == 0);
}

/* v to nearest, ties to even. */
template <typename T>
__device__ inline T rounded(float v);
template <>
__device__ inline float rounded<float>(float v) {
  return v;
}
template <>
__device__ inline __half rounded<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ inline __nv_bfloat16 rounded<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

template <int V, typename T>
__device__ inline void store(T *to, const Group<V> &group) {
  Group<V, T> as_stored;
  for (int v = 0; v < V; v++) as_stored.at[v] = rounded<T>(group.at[v]);
  *reinterpret_cast<Group<V, T> *>(to) = as_stored;
}

/* Kernels that write rows for products have their type as a parameter Row: all of them, and the one of a launch. */
#define EACH_ROW(kernel, ...)                                                                                          \
  kernel<float, ##__VA_ARGS__>, kernel<__half, ##__VA_ARGS__>, kernel<__nv_bfloat16, ##__VA_ARGS__>

template <typename Kernel>
inline Kernel by_type(rondo_dtype type, Kernel f32, Kernel f16, Kernel bf16) {
  return type == RONDO_F16 ? f16 : type == RONDO_BF16 ? bf16 : f32;
}

inline size_t row_size(rondo_dtype type) {
  return type == RONDO_F32 ? sizeof(float) : sizeof(__half);
}

/* One thread for each of `columns` groups of each row: rows over x, which may be very many, columns over y, at most
 * 65535 blocks. Short rows share a block, so that its threads are busy and load what rows have in common once. */
struct Shape {
  dim3 grid, block;
};

enum { BLOCK = 128, WIDE_BLOCK = 256, MOST_Z = 65535, MOST_Y = 65535 }; /* WIDE: for whole rows */

inline Shape shape(int rows, int columns) {
  unsigned across = 1;
  while (across < BLOCK && across < (unsigned)columns) across *= 2;
  unsigned down = BLOCK / across;
  while (down / 2 >= (unsigned)rows) down /= 2;
  dim3 grid(((unsigned)rows + down - 1) / down, ((unsigned)columns + across - 1) / across);
  return {grid, dim3(across, down)};
}

/* As shape, but at least eight rows share a block, if there are so many, whatever their length (unless that would be
 * too many blocks over y): for load_common. */
inline Shape shape_of_rows(int rows, int columns) {
  unsigned down = 1, across = 1;
  while (down < 8 && down < (unsigned)rows && (unsigned)columns <= BLOCK / (2 * down) * MOST_Y) down *= 2;
  while (across < BLOCK / down && across < (unsigned)columns) across *= 2;
  while (across * down < BLOCK && down < (unsigned)rows) down *= 2;
  dim3 grid(((unsigned)rows + down - 1) / down, ((unsigned)columns + across - 1) / across);
  return {grid, dim3(across, down)};
}

__device__ inline int64_t row_index() {
  return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}
__device__ inline int column_index() {
  return (int)(blockIdx.y * blockDim.x + threadIdx.x);
}

/* Columns j and on of the rows of `from` (ROWS, columns), which all rows of the block have in common: its threads share
 * the loading, so all of them must come here. A warp may store two rows of 16 threads: 16 places keep them from the
 * same banks. */
template <int ROWS, int V>
__device__ inline void load_common(const float *from, int columns, int j, Group<V> (&to)[ROWS]) {
  __shared__ Group<V> common[ROWS][BLOCK + 16];
  for (int l = (int)threadIdx.y; l < ROWS && j < columns; l += (int)blockDim.y)
    common[l][threadIdx.x] = load<V>(from + l * columns + j);
  __syncthreads();
  for (int l = 0; l < ROWS; l++) to[l] = common[l][threadIdx.x];
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

/* FULL: it is known that all rows take part in all steps. */
template <bool FULL>
__device__ inline Place place_of(const rondo_step &step, int64_t r) {
  return FULL ? Place{r, r, step.step, false, step.step == step.timesteps - 1} : place(step, r);
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
  if (how == RONDO_CONCAT) return store<V>(to, group);
  const Group<V> old = load<V>(to);
  for (int v = 0; v < V; v++) {
    float both = how == RONDO_MUL ? old.at[v] * group.at[v] : old.at[v] + group.at[v];
    group.at[v] = how == RONDO_AVE ? 0.5f * both : both;
  }
  store<V>(to, group);
}

/* The h of row r of a step to all its places. */
template <typename Row, int V>
__device__ inline void store_h(const rondo_output &out, const rondo_step &step, const Place &at, int64_t r, int j,
                               const Group<V> &h) {
  if (out.y) merge<V>(out.merge, out.y + at.sequence * out.y_sequence + at.position * out.y_timestep + j, h);
  if (!at.ends) {
    store_row<V>(out.h_next, r, j, h);
    if (sizeof(Row) < sizeof(float) && out.rounded)
      store<V>(static_cast<Row *>(out.rounded) + r * out.rounded_stride + j, h);
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
         fours(out.y_last.at, out.y_last.stride) && fours(out.h_n.at, out.h_n.stride) &&
         fours(out.rounded, out.rounded_stride, row_size(out.type));
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
