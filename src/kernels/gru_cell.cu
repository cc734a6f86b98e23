/* gru_cell.cu - one step of a GRU after its products; formulas in kernels.h.
 *
 * gates (R, 4H) z, r, x, h or (R, 3H) z, r, x, or with x_first x before z; recurrent (R, 3H) z, r, h; bias (4H); h rows
 * of H floats. Called by host/cuda/cells.c once per step, gru_reset between the two products of reset_before. The
 * kernels are as in lstm_cell.cu: gru_cell with tanh and sigmoid for V units of a row, gru_option for all else,
 * gru_norm with one block for each row.
 *
 * Counted by tests/simt on sm_80 (N 16, H 128, y wanted), per unit and row of a step inside the sequence: gru_cell 88
 * thread instructions of PTX, 22 bytes loaded (gates 16, h 4, bias 2), 8 stored (h twice); with recurrent 91 (V 1, H
 * 127: 215) and 30; with rows of 16 bits 10 stored, as h is stored in float for the next cell, too; gru_norm 831 and
 * 116. ptxas for sm_75, 80, 90, 120: gru_cell 50, 48, 48, 46 registers with V 4; 26, 28, 28, 36 with V 1; gru_option
 * 34, 30, 29, 28; gru_norm 58, 40, 40, 48. No spills. */
#include "device.cuh"
#include "functions.cuh"
#include "reduce.cuh"

/* ---- tanh and sigmoid -------------------------------------------------------------------------------------------- */

/* The sums z, r, x and h of some units, without biases. */
template <int V>
__device__ inline void load_sums(const rondo_gru_cell_forward_args &args, int64_t r, int j, Group<V> (&sum)[4]) {
  const int64_t H = args.hidden_size, z = args.x_first ? H : 0, x = args.x_first ? 0 : 2 * H;
  const float *gates = args.gates + r * (args.recurrent || args.reset_before ? 3 : 4) * H + j;
  sum[0] = load<V>(gates + z);
  sum[1] = load<V>(gates + z + H);
  sum[2] = load<V>(gates + x);
  sum[3] = Group<V>{};
  if (args.reset_before) return;
  if (!args.recurrent) {
    sum[3] = load<V>(gates + 3 * H);
    return;
  }
  const float *recurrent = args.recurrent + r * 3 * H + j;
  for (int l = 0; l < 2; l++) {
    const Group<V> by_h = load<V>(recurrent + l * H);
    for (int v = 0; v < V; v++) sum[l].at[v] += by_h.at[v];
  }
  sum[3] = load<V>(recurrent + 2 * H);
}

template <typename Row, int V>
__global__ void __launch_bounds__(BLOCK) gru_cell(const rondo_gru_cell_forward_args args) {
  const int H = args.hidden_size, j = V * column_index();
  const int64_t r = row_index();
  Group<V> gate[4], bias[4];
  load_common(args.bias, H, j, bias);
  if (r >= args.step.rows || j >= H) return;
  Group<V> h = load_row<V>(args.h, r, j);
  load_sums(args, r, j, gate);
  for (int l = 0; l < 4; l++)
    for (int v = 0; v < V; v++) gate[l].at[v] += bias[l].at[v];
  for (int v = 0; v < V; v++) {
    const float z = sigmoid(gate[0].at[v]), reset = sigmoid(gate[1].at[v]);
    const float n = tanhf(fmaf(reset, gate[3].at[v], gate[2].at[v]));
    h.at[v] = fmaf(z, h.at[v], (1 - z) * n);
  }
  store_h<Row>(args.output, args.step, place(args.step, r), r, j, h);
}

/* ---- All options ------------------------------------------------------------------------------------------------- */

/* Unit j of row r from the sums of z, r, x and h, biases included; v[3] is not used with reset_before. */
template <typename Row>
__device__ inline void finish_unit(const rondo_gru_cell_forward_args &args, int64_t r, int j, const float (&v)[4]) {
  const rondo_cell_options &k = args.options;
  const float old = args.h.at[r * args.h.stride + j];
  const float z = apply(k.recurrent_activation, clip(v[0], k.clip));
  float inside = v[2];
  if (!args.reset_before) inside = fmaf(apply(k.recurrent_activation, clip(v[1], k.clip)), v[3], inside);
  const float n = apply(k.activation, clip(inside, k.clip));
  const float h = zone_out(k.zoneout, old, fmaf(z, old, (1 - z) * n));
  store_h<Row>(args.output, args.step, place(args.step, r), r, j, Group<1>{h});
}

template <typename Row>
__global__ void __launch_bounds__(BLOCK) gru_option(const rondo_gru_cell_forward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  Group<1> sum[4];
  float v[4];
  load_sums(args, r, j, sum);
  for (int l = 0; l < 4; l++) v[l] = sum[l].at[0] + args.bias[l * H + j];
  finish_unit<Row>(args, r, j, v);
}

template <typename Row>
__global__ void __launch_bounds__(WIDE_BLOCK) gru_norm(const rondo_gru_cell_forward_args args) {
  const int H = args.hidden_size;
  const int64_t r = blockIdx.x;
  const float *x = args.gates + r * 3 * H, *h = args.recurrent + r * 3 * H;
  const Statistics both = statistics<WIDE_BLOCK>(
      3 * H, [=](int k) { return x[k]; }, [=](int k) { return h[k]; });
  for (int j = (int)threadIdx.x; j < H; j += WIDE_BLOCK) {
    float v[4];
    for (int l = 0; l < 3; l++) {
      const int k = l * H + j;
      const float by_x = (x[k] - both.mean.x) * both.scale.x, by_h = (h[k] - both.mean.y) * both.scale.y;
      v[l] = fmaf(by_x, args.gamma_kernel[k], args.bias[k]);
      if (l < 2)
        v[l] = fmaf(by_h, args.gamma_recurrent[k], v[l]);
      else
        v[3] = fmaf(by_h, args.gamma_recurrent[k], args.bias[3 * H + j]);
    }
    finish_unit<Row>(args, r, j, v);
  }
}

static bool has_options(const rondo_gru_cell_forward_args *args) {
  const rondo_cell_options *k = &args->options;
  return k->activation.kind != RONDO_TANH || k->recurrent_activation.kind != RONDO_SIGMOID || k->clip > 0 ||
         k->zoneout > 0 || args->reset_before;
}

extern "C" int rondo_gru_cell_forward_cuda(const rondo_gru_cell_forward_args *args, cudaStream_t stream) {
  const int H = args->hidden_size, rows = args->step.rows;
  const rondo_dtype type = args->output.type;
  const Shape any = shape(rows, H), one = shape_of_rows(rows, H), four = shape_of_rows(rows, H / 4);
  if (args->gamma_kernel)
    return enqueue(by_type(type, EACH_ROW(gru_norm)), dim3((unsigned)rows), dim3(WIDE_BLOCK), args, stream);
  if (has_options(args)) return enqueue(by_type(type, EACH_ROW(gru_option)), any.grid, any.block, args, stream);
  bool wide = H % 4 == 0 && fours(args->gates, 0) && fours(args->recurrent, 0) && fours(args->bias, 0) &&
              fours(args->h.at, args->h.stride) && fours(args->output);
  return wide ? enqueue(by_type(type, EACH_ROW(gru_cell, 4)), four.grid, four.block, args, stream)
              : enqueue(by_type(type, EACH_ROW(gru_cell, 1)), one.grid, one.block, args, stream);
}

extern "C" int rondo_gru_cell_forward_load_cuda(void) {
  return load_code(EACH_ROW(gru_cell, 1), EACH_ROW(gru_cell, 4), EACH_ROW(gru_option), EACH_ROW(gru_norm));
}

/* ---- reset_before: r * h for the second product ------------------------------------------------------------------ */

template <typename Row>
__global__ void __launch_bounds__(BLOCK) gru_reset(const rondo_gru_reset_forward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.rows || j >= H) return;
  const float v = args.gates[(r * 3 + 1) * H + j] + args.bias[H + j];
  float *at = args.h.at + r * args.h.stride + j;
  const float h = *at, reset = apply(args.recurrent_activation, clip(v, args.clip)) * h;
  if (sizeof(Row) < sizeof(float)) {
    store<1>(static_cast<Row *>(args.rounded) + r * args.rounded_stride + j, {reset});
  } else {
    args.saved[r * H + j] = h;
    *at = reset;
  }
}

extern "C" int rondo_gru_reset_forward_cuda(const rondo_gru_reset_forward_args *args, cudaStream_t stream) {
  Shape launch = shape(args->rows, args->hidden_size);
  return enqueue(by_type(args->type, EACH_ROW(gru_reset)), launch.grid, launch.block, args, stream);
}

extern "C" int rondo_gru_reset_forward_load_cuda(void) {
  return load_code(EACH_ROW(gru_reset));
}
