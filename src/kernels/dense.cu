/* dense.cu - a Dense layer after its product: y = a(sums + bias).
 *
 * sums (T, N, H) dense, bias (H), y rows of H floats. dense: one thread for one unit of one row; softmax: a block for
 * each row, of one warp where rows are short. Called by host/cuda/dense.c once per chunk of timesteps. */
#include "device.cuh"
#include "functions.cuh"
#include "reduce.cuh"

#include <math_constants.h>

/* Row i of sums is sequence i % N of timestep i / N. */
__device__ inline void put(const rondo_dense_forward_args &args, int64_t i, int j, float value) {
  const int64_t t = i / args.batch, n = i % args.batch;
  if (args.y) args.y[n * args.y_sequence + t * args.y_timestep + j] = value;
  if (args.y_last.at && t == args.timesteps - 1) args.y_last.at[n * args.y_last.stride + j] = value;
}

__global__ void __launch_bounds__(BLOCK) dense(const rondo_dense_forward_args args) {
  const int j = column_index();
  const int64_t i = row_index();
  if (i >= (int64_t)args.timesteps * args.batch || j >= args.units) return;
  put(args, i, j, apply(args.activation, args.sums[i * args.units + j] + args.bias[j]));
}

/* e^(v - most) over their sum. The largest of a row gives 1 in the sum, so nothing overflows. */
template <int THREADS>
__global__ void __launch_bounds__(THREADS) softmax(const rondo_dense_forward_args args) {
  const int H = args.units;
  const int64_t i = blockIdx.x;
  const float *sums = args.sums + i * H;
  float most = -CUDART_INF_F, sum = 0;
  for (int j = (int)threadIdx.x; j < H; j += THREADS) most = Larger()(sums[j] + args.bias[j], most);
  most = block_reduce<THREADS>(most, Larger());
  for (int j = (int)threadIdx.x; j < H; j += THREADS) sum += expf(sums[j] + args.bias[j] - most);
  sum = block_reduce<THREADS>(make_float2(sum, 0), Add()).x;
  for (int j = (int)threadIdx.x; j < H; j += THREADS) put(args, i, j, expf(sums[j] + args.bias[j] - most) / sum);
}

extern "C" int rondo_dense_forward_cuda(const rondo_dense_forward_args *args, cudaStream_t stream) {
  const int rows = args->batch * args->timesteps; /* fits: the product took as many */
  Shape one = shape(rows, args->units);
  if (args->activation.kind != RONDO_SOFTMAX) return enqueue(dense, one.grid, one.block, args, stream);
  return args->units <= 256 ? enqueue(softmax<32>, dim3((unsigned)rows), dim3(32), args, stream)
                            : enqueue(softmax<WIDE_BLOCK>, dim3((unsigned)rows), dim3(WIDE_BLOCK), args, stream);
}

extern "C" int rondo_dense_forward_load_cuda(void) {
  return load_code(dense, softmax<32>, softmax<WIDE_BLOCK>);
}
