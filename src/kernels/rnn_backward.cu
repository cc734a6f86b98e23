/* rnn_backward.cu - one step of a simple RNN backward, and a Dense layer backward; formulas in kernels_training.h.
 *
 * One thread for one unit of one row (rnn_backward<true>: 139 instructions, 16 bytes in, 4 out by the counts of
 * tests/simt); SOFTMAX: a block for each row, of one warp where rows are short. Called by
 * host/cuda/training_cells.c once per step, and by training.c once per call. */
#include "backward.cuh"
#include "functions_backward.cuh"
#include "reduce.cuh"

#include <math_constants.h>

/* ---- rnn_cell_backward; PLAIN: tanh and no option ---------------------------------------------------------------- */

template <bool PLAIN>
__global__ void __launch_bounds__(BLOCK) rnn_backward(const rondo_rnn_cell_backward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index(), at = r * H + j;
  if (r >= args.step.rows || j >= H) return;
  const rondo_cell_options &k = args.options;
  float dh = gradient_by_h(args.output, args.step, place(args.step, r), r, j, H);
  if (!PLAIN && k.zoneout > 0) {
    args.output.dh[at] = k.zoneout * dh;
    dh *= 1 - k.zoneout;
  }
  if (args.gates) {
    const float v = args.gates[at] + (args.bias ? args.bias[j] : 0);
    dh *= gate < PLAIN ? RONDO_TANH : RONDO_DEFAULT > (k.activation, k.clip, v).slope;
  }
  args.dgates[at] = dh;
}

extern "C" int rondo_rnn_cell_backward_cuda(const rondo_rnn_cell_backward_args *args, cudaStream_t stream) {
  const rondo_cell_options *k = &args->options;
  const Shape one = shape(args->step.rows, args->hidden_size);
  const bool plain = k->activation.kind == RONDO_TANH && !(k->clip > 0 || k->zoneout > 0);
  return enqueue(plain ? rnn_backward<true> : rnn_backward<false>, one.grid, one.block, args, stream);
}

extern "C" int rondo_rnn_cell_backward_load_cuda(void) {
  return load_code(rnn_backward<true>, rnn_backward<false>);
}

/* ---- dense_backward ---------------------------------------------------------------------------------------------- */

/* By y of unit j of row i, which is sequence i % N of timestep i / N. */
__device__ inline float gradient_by_y(const rondo_dense_backward_args &args, int64_t i, int j) {
  const int64_t t = i / args.batch, n = i % args.batch;
  const float dy = args.dy ? args.dy[n * args.dy_sequence + t * args.dy_timestep + j] : 0;
  return t == args.timesteps - 1 ? dy + load_row<1>(args.dy_last, n, j).at[0] : dy;
}

__device__ inline float sum_of(const rondo_dense_backward_args &args, int64_t i, int j) {
  return args.sums[i * args.units + j] + (args.bias ? args.bias[j] : 0);
}

__global__ void __launch_bounds__(BLOCK) dense_back(const rondo_dense_backward_args args) {
  const int j = column_index();
  const int64_t i = row_index();
  if (i >= (int64_t)args.timesteps * args.batch || j >= args.units) return;
  const Dual y = gate<RONDO_DEFAULT>(args.activation, 0, sum_of(args, i, j));
  args.dsums[i * args.units + j] = y.slope * gradient_by_y(args, i, j);
}

/* Each y comes once more, e^(v - most) over their sum. */
template <int THREADS>
__global__ void __launch_bounds__(THREADS) softmax_back(const rondo_dense_backward_args args) {
  const int H = args.units;
  const int64_t i = blockIdx.x;
  float most = -CUDART_INF_F;
  float2 sum = make_float2(0, 0); /* of e, and of e dy */
  for (int j = (int)threadIdx.x; j < H; j += THREADS) most = Larger()(sum_of(args, i, j), most);
  most = block_reduce<THREADS>(most, Larger());
  for (int j = (int)threadIdx.x; j < H; j += THREADS) {
    const float e = expf(sum_of(args, i, j) - most);
    sum = Add()(sum, make_float2(e, e * gradient_by_y(args, i, j)));
  }
  sum = block_reduce<THREADS>(sum, Add());
  for (int j = (int)threadIdx.x; j < H; j += THREADS) {
    const float y = expf(sum_of(args, i, j) - most) / sum.x;
    args.dsums[i * H + j] = y * (gradient_by_y(args, i, j) - sum.y / sum.x);
  }
}

extern "C" int rondo_dense_backward_cuda(const rondo_dense_backward_args *args, cudaStream_t stream) {
  const int rows = args->batch * args->timesteps; /* fits: the products took as many */
  const Shape one = shape(rows, args->units);
  if (args->activation.kind != RONDO_SOFTMAX) return enqueue(dense_back, one.grid, one.block, args, stream);
  return args->units <= 256 ? enqueue(softmax_back<32>, dim3((unsigned)rows), dim3(32), args, stream)
                            : enqueue(softmax_back<WIDE_BLOCK>, dim3((unsigned)rows), dim3(WIDE_BLOCK), args, stream);
}

extern "C" int rondo_dense_backward_load_cuda(void) {
  return load_code(dense_back, softmax_back<32>, softmax_back<WIDE_BLOCK>);
}
