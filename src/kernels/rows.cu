/* rows.cu - what calls with lengths, a mask, slots or restart need beside: the order of rows brought to the device, and
 * what no step writes. Called by host/cuda/rows.c. */
#include "device.cuh"

#include <string.h>

/* ---- words_upload: one thread for each word, all of them parameters of the kernel ---- */

/* A kernel takes 32764 bytes of parameters, where the driver is as new as CUDA 13's; older ones may take 4096. */
#if CUDART_VERSION >= 13000
enum { FEW_WORDS = 240, MANY_WORDS = RONDO_MOST_WORDS };
#else
enum { FEW_WORDS = 240, MANY_WORDS = 1000 };
#endif

template <int WORDS>
struct Words {
  uint32_t *to;
  int count;
  uint32_t words[WORDS];
};

template <int WORDS>
__global__ void __launch_bounds__(BLOCK) words_upload(const __grid_constant__ Words<WORDS> args) {
  const int i = (int)(blockIdx.x * BLOCK + threadIdx.x);
  if (i < args.count) args.to[i] = args.words[i];
}

template <int WORDS>
static cudaError_t upload(uint32_t *to, const uint32_t *words, int count, cudaStream_t stream) {
  Words<WORDS> args;
  args.to = to;
  args.count = count;
  memcpy(args.words, words, (size_t)count * sizeof *words);
  return enqueue(words_upload<WORDS>, dim3((unsigned)(count + BLOCK - 1) / BLOCK), dim3(BLOCK), &args, stream);
}

extern "C" int rondo_words_upload_cuda(const rondo_words_upload_args *args, cudaStream_t stream) {
  cudaError_t error = cudaSuccess;
  for (int start = 0, count; start < args->count && !error; start += count) {
    count = args->count - start < MANY_WORDS ? args->count - start : MANY_WORDS;
    error = count <= FEW_WORDS ? upload<FEW_WORDS>(args->to + start, args->words + start, count, stream)
                               : upload<MANY_WORDS>(args->to + start, args->words + start, count, stream);
  }
  return error;
}

extern "C" int rondo_words_upload_load_cuda(void) {
  return load_code(words_upload<FEW_WORDS>, words_upload<MANY_WORDS>);
}

/* ---- mask_positions: one warp for each row, 32 positions at a time ---- */

__global__ void __launch_bounds__(BLOCK) mask_positions(const rondo_mask_positions_args args) {
  const int64_t r = (int64_t)blockIdx.x * (BLOCK / 32) + threadIdx.x / 32;
  const int lane = threadIdx.x % 32, words = (args.timesteps + 31) / 32;
  if (r >= args.rows) return;
  int32_t *position = args.position + r * args.timesteps;
  for (int w = 0; w < words; w++) {
    const uint32_t word = args.bits[r * words + w];
    if (word >> lane & 1) position[__popc(word & ((1u << lane) - 1))] = 32 * w + lane;
    position += __popc(word);
  }
}

extern "C" int rondo_mask_positions_cuda(const rondo_mask_positions_args *args, cudaStream_t stream) {
  const int rows = BLOCK / 32;
  return enqueue(mask_positions, dim3(((unsigned)args->rows + rows - 1) / rows), dim3(BLOCK), args, stream);
}

extern "C" int rondo_mask_positions_load_cuda(void) {
  return load_code(mask_positions);
}

/* ---- rows_fill: one thread for V columns of one gap between two steps of one row ---- */

template <int V>
__global__ void __launch_bounds__(BLOCK) rows_fill(const rondo_rows_fill_args args) {
  const int j = V * column_index(), T = args.step.timesteps;
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= args.output_size) return;
  const rondo_row row = args.step.row[r];
  float *y = args.y + row.sequence * args.y_sequence + j;
  for (int s = (int)blockIdx.z; s <= row.count; s += (int)gridDim.z) { /* the gap before step s; the last is behind */
    const int before = s ? position_of(row, args.step.position, r, T, s - 1) : -1;
    const int after = s < row.count ? position_of(row, args.step.position, r, T, s) : T;
    if (before + 1 == after) continue;
    const Group<V> h = s && !args.zero ? load<V>(y + before * args.y_timestep) : Group<V>{};
    for (int p = before + 1; p < after; p++) merge<V>(args.merge, y + p * args.y_timestep, h);
  }
}

template <int V>
static cudaError_t fill(const rondo_rows_fill_args *args, cudaStream_t stream) {
  Shape launch = shape(args->step.rows, args->output_size / V);
  launch.grid.z = (unsigned)(args->most < MOST_Z ? args->most + 1 : MOST_Z);
  return enqueue(rows_fill<V>, launch.grid, launch.block, args, stream);
}

extern "C" int rondo_rows_fill_cuda(const rondo_rows_fill_args *args, cudaStream_t stream) {
  bool wide = args->output_size % 4 == 0 && fours(args->y, args->y_sequence) && args->y_timestep % 4 == 0;
  return wide ? fill<4>(args, stream) : fill<1>(args, stream);
}

extern "C" int rondo_rows_fill_load_cuda(void) {
  return load_code(rows_fill<1>, rows_fill<4>);
}

/* ---- rows_idle: one thread for one column of one row ---- */

__global__ void __launch_bounds__(BLOCK) rows_idle(const rondo_rows_idle_args args) {
  const int j = column_index();
  const int64_t r = row_index();
  if (r >= args.rows) return;
  const rondo_row row = args.row[args.first + r];
  const bool zeros = row.state < 0;
  const int64_t state = zeros ? ~row.state : row.state;
  if (j < args.output_size) {
    store_row<1>(args.h_n, state, j, load_row<1>(args.h_0, state, j, zeros));
    if (args.y_last.at) merge<1>(args.merge, args.y_last.at + row.sequence * args.y_last.stride + j, Group<1>{});
  }
  if (j < args.hidden_size) store_row<1>(args.c_n, state, j, load_row<1>(args.c_0, state, j, zeros));
}

extern "C" int rondo_rows_idle_cuda(const rondo_rows_idle_args *args, cudaStream_t stream) {
  Shape launch = shape(args->rows, args->hidden_size > args->output_size ? args->hidden_size : args->output_size);
  return enqueue(rows_idle, launch.grid, launch.block, args, stream);
}

extern "C" int rondo_rows_idle_load_cuda(void) {
  return load_code(rows_idle);
}
