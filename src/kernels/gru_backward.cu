/* gru_backward.cu - one step of a GRU backward; formulas in kernels_training.h.
 *
 * gates (R, 4H) z, r, x, h or (R, 3H) z, r, x; dgates and drecurrent (R, 3H) z, r, h. One thread for one unit of one
 * row; by the counts of tests/simt gru_backward<true> takes 274 instructions for it, and moves 44 bytes in and 28 out.
 * Called by host/cuda/training_cells.c once per step, gru_reset_backward between the two products of reset_before, and
 * gru_spread by it and by training.c once per call. */
#include "backward.cuh"
#include "functions_backward.cuh"

/* ---- gru_cell_backward; PLAIN: tanh, sigmoid and no option ------------------------------------------------------- */

/* The sums z, r, x and h of unit j; with reset_before x has all of the gate h, and h is 0. */
template <bool PLAIN>
__device__ inline void sums_of(const rondo_gru_cell_backward_args &args, int64_t r, int j, float (&v)[4]) {
  const int H = args.hidden_size;
  const bool norm = !PLAIN && args.recurrent;
  const int parts = !PLAIN && (norm || args.reset_before) ? 3 : 4;
  v[3] = 0;
  for (int l = 0; l < parts; l++) v[l] = args.gates[(r * parts + l) * H + j];
  for (int l = 0; norm && l < 3; l++) {
    const int k = l * H + j;
    const float by_h = args.recurrent[r * 3 * H + k] * args.gamma_recurrent[k];
    v[l] = fmaf(v[l], args.gamma_kernel[k], l < 2 ? by_h : 0);
    if (l == 2) v[3] = by_h;
  }
  for (int l = 0; l < 4; l++) v[l] += args.bias[l * H + j];
}

template <bool PLAIN>
__global__ void __launch_bounds__(BLOCK) gru_backward(const rondo_gru_cell_backward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  const rondo_cell_options &k = args.options;
  constexpr rondo_activation SIGMOID = PLAIN ? RONDO_SIGMOID : RONDO_DEFAULT, TANH = PLAIN ? RONDO_TANH : RONDO_DEFAULT;
  const bool before = !PLAIN && args.reset_before;
  float v[4];
  sums_of<PLAIN>(args, r, j, v);
  const float old = args.h.at[r * args.h.stride + j];
  const Dual z = gate<SIGMOID>(k.recurrent_activation, k.clip, v[0]);
  const Dual reset = gate<SIGMOID>(k.recurrent_activation, k.clip, v[1]);
  const Dual n = gate<TANH>(k.activation, k.clip, before ? v[2] : fmaf(reset.value, v[3], v[2]));
  const float all = gradient_by_h(args.output, args.step, place(args.step, r), r, j, H);
  const float rate = PLAIN ? 0 : k.zoneout, dh = PLAIN ? all : (1 - rate) * all;
  args.output.dh[r * H + j] = fmaf(z.value, dh, rate * all);
  const float dv_z = dh * (old - n.value) * z.slope, dv_n = dh * (1 - z.value) * n.slope;
  float *dgates = args.dgates + r * 3 * H + j, *drecurrent = args.drecurrent + r * 3 * H + j;
  dgates[0] = dv_z;
  dgates[2 * H] = dv_n;
  if (before) return;
  const float dv_r = dv_n * v[3] * reset.slope;
  dgates[H] = dv_r;
  drecurrent[0] = dv_z;
  drecurrent[H] = dv_r;
  drecurrent[2 * H] = dv_n * reset.value;
}

extern "C" int rondo_gru_cell_backward_cuda(const rondo_gru_cell_backward_args *args, cudaStream_t stream) {
  const rondo_cell_options *k = &args->options;
  const Shape one = shape(args->step.rows, args->hidden_size);
  const bool plain = k->activation.kind == RONDO_TANH && k->recurrent_activation.kind == RONDO_SIGMOID &&
                     !(k->clip > 0 || k->zoneout > 0 || args->recurrent || args->reset_before);
  return enqueue(plain ? gru_backward<true> : gru_backward<false>, one.grid, one.block, args, stream);
}

extern "C" int rondo_gru_cell_backward_load_cuda(void) {
  return load_code(gru_backward<true>, gru_backward<false>);
}

/* ---- gru_reset_backward ------------------------------------------------------------------------------------------ */

__global__ void __launch_bounds__(BLOCK) gru_reset_back(const rondo_gru_reset_backward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index(), at = r * H + j;
  if (r >= args.rows || j >= H) return;
  const float v = args.gates[(r * 3 + 1) * H + j] + args.bias[H + j];
  const Dual reset = gate<RONDO_DEFAULT>(args.recurrent_activation, args.clip, v);
  args.dh[at] = fmaf(reset.value, args.dreset[at], args.dh[at]);
  args.dgates[(r * 3 + 1) * H + j] = args.h[at] * args.dreset[at] * reset.slope;
}

extern "C" int rondo_gru_reset_backward_cuda(const rondo_gru_reset_backward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->rows, args->hidden_size);
  return enqueue(gru_reset_back, one.grid, one.block, args, stream);
}

extern "C" int rondo_gru_reset_backward_load_cuda(void) {
  return load_code(gru_reset_back);
}

/* ---- gru_spread: one thread for one column of one row; the row after the last is the bias ------------------------ */

__global__ void __launch_bounds__(BLOCK) gru_spread(const rondo_gru_spread_args args) {
  const int H = args.hidden_size, k = column_index(), l = k / H, j = k % H;
  const int64_t row = args.matrix ? row_index() : args.rows + row_index();
  if (row > args.rows || k >= 4 * H) return;
  const int from = (l < 3 ? l : 2) * H + j; /* of z, r, h */
  if (row < args.rows) {
    const bool none = l >= 2 && (l == 3) != (row < args.output_size);
    args.matrix[row * 4 * H + k] = none ? 0 : args.kernels[row * 3 * H + from];
    return;
  }
  float sum = l < 3 && args.kernel_bias ? args.kernel_bias[from] : 0;
  if (l != 2 && args.recurrent_bias) sum += args.recurrent_bias[from];
  args.bias[k] = sum;
}

extern "C" int rondo_gru_spread_cuda(const rondo_gru_spread_args *args, cudaStream_t stream) {
  const Shape one = shape(args->matrix ? args->rows + 1 : 1, 4 * args->hidden_size);
  return enqueue(gru_spread, one.grid, one.block, args, stream);
}

extern "C" int rondo_gru_spread_load_cuda(void) {
  return load_code(gru_spread);
}
