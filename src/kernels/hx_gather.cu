/* hx_gather.cu - the rows [h | x] that the products of a chunk of timesteps read.
 *
 *   hx[t][n][H + k] = x[t][n][k]   and, when with_h, hx[0][n][j] = h_0[n][j]
 *
 * One thread for V columns of one row n, timesteps over the grid's z. x may have any strides (a negative one over time:
 * go_backwards), so this is also where layouts and directions end. Called by stepwise.c once per chunk.
 *
 * Counted by tests/simt on sm_80 (N 16, T 10, C 128, H 128) per float of x: 18 thread instructions of PTX, 4 bytes
 * loaded and stored, and h_0's once. ptxas for sm_75..sm_120: at most 40 registers, no spills. */
#include "device.cuh"

template <int V>
__global__ void __launch_bounds__(BLOCK) hx_gather(const rondo_hx_gather_args args) {
  const int C = args.input_size, H = args.hidden_size, k = V * column_index();
  const int64_t n = row_index();
  if (n >= args.batch) return;
  for (int64_t t = blockIdx.z; t < args.timesteps; t += gridDim.z) {
    float *hx = args.hx + (t * args.batch + n) * args.hx_row;
    if (k < C) store<V>(hx + H + k, load<V>(args.x + t * args.x_timestep + n * args.x_sequence + k));
    if (args.with_h && t == 0 && k < H)
      store<V>(hx + k, args.h_0.at ? load<V>(args.h_0.at + n * args.h_0.stride + k) : Group<V>{});
  }
}

template <int V>
static cudaError_t launch(const rondo_hx_gather_args *args, cudaStream_t stream) {
  int longest = args->with_h && args->hidden_size > args->input_size ? args->hidden_size : args->input_size;
  Shape launch = shape(args->batch, longest / V);
  launch.grid.z = (unsigned)(args->timesteps < MOST_Z ? args->timesteps : MOST_Z);
  void *arguments[] = {(void *)args};
  return cudaLaunchKernel(hx_gather<V>, launch.grid, launch.block, arguments, 0, stream);
}

extern "C" int rondo_hx_gather_cuda(const rondo_hx_gather_args *args, cudaStream_t stream) {
  bool wide = args->input_size % 4 == 0 && args->hidden_size % 4 == 0 && args->x_timestep % 4 == 0 &&
              fours(args->x, args->x_sequence) && fours(args->hx, args->hx_row) &&
              fours(args->h_0.at, args->h_0.stride);
  return wide ? launch<4>(args, stream) : launch<1>(args, stream);
}

extern "C" int rondo_hx_gather_load_cuda(void) {
  cudaFuncAttributes attributes;
  cudaError_t error = cudaFuncGetAttributes(&attributes, hx_gather<1>);
  return error ? error : cudaFuncGetAttributes(&attributes, hx_gather<4>);
}
