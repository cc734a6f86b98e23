/* rnn_cell.cu - one step of a simple RNN after its product: h' = a(gates + bias); formulas in kernels.h.
 *
 * gates (R, H), bias (H), the others rows of H floats. One thread for V units of one row: rnn_cell with tanh and no
 * option, rnn_option for one unit with any. Called by host/cuda/cells.c once per step.
 *
 * Counted by tests/simt on sm_80 (N 16, H 128, y wanted), per unit and row: rnn_cell 42 thread instructions of PTX, 8
 * bytes loaded (gates, bias) and 8 stored (h twice); with rows of 16 bits 44, 8 and 6. ptxas for sm_75..sm_120: at most
 * 32 registers, no spills. */
#include "device.cuh"
#include "functions.cuh"

template <typename Row, int V>
__global__ void __launch_bounds__(BLOCK) rnn_cell(const rondo_rnn_cell_forward_args args) {
  const int H = args.hidden_size, j = V * column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  Group<V> h = load<V>(args.gates + r * H + j);
  const Group<V> bias = load_row<V>({args.bias, 0}, 0, j);
  for (int v = 0; v < V; v++) h.at[v] = tanhf(h.at[v] + bias.at[v]);
  store_h<Row>(args.output, args.step, place(args.step, r), r, j, h);
}

template <typename Row>
__global__ void __launch_bounds__(BLOCK) rnn_option(const rondo_rnn_cell_forward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  const rondo_cell_options &k = args.options;
  float v = args.gates[r * H + j];
  if (args.bias) v += args.bias[j];
  float h = apply(k.activation, clip(v, k.clip));
  if (k.zoneout > 0) h = zone_out(k.zoneout, args.h.at[r * args.h.stride + j], h);
  store_h<Row>(args.output, args.step, place(args.step, r), r, j, Group<1>{h});
}

extern "C" int rondo_rnn_cell_forward_cuda(const rondo_rnn_cell_forward_args *args, cudaStream_t stream) {
  const int H = args->hidden_size;
  const rondo_cell_options *k = &args->options;
  const rondo_dtype type = args->output.type;
  const Shape one = shape(args->step.rows, H), four = shape(args->step.rows, H / 4);
  if (k->activation.kind != RONDO_TANH || k->clip > 0 || k->zoneout > 0)
    return enqueue(by_type(type, EACH_ROW(rnn_option)), one.grid, one.block, args, stream);
  bool wide = H % 4 == 0 && fours(args->gates, 0) && fours(args->bias, 0) && fours(args->output);
  return wide ? enqueue(by_type(type, EACH_ROW(rnn_cell, 4)), four.grid, four.block, args, stream)
              : enqueue(by_type(type, EACH_ROW(rnn_cell, 1)), one.grid, one.block, args, stream);
}

extern "C" int rondo_rnn_cell_forward_load_cuda(void) {
  return load_code(EACH_ROW(rnn_cell, 1), EACH_ROW(rnn_cell, 4), EACH_ROW(rnn_option));
}
