/* lstm_cell.cu - one timestep of an LSTM after its product [h | x] @ [R; W].
 *
 *   i, f, g, o = s, s, tanh, s (gates + bias)    c_out = f * c_in + i * g    h = o * tanh(c_out)
 *
 * gates (N, 4H), bias (4H), the others rows of H floats. One thread for V units of one row: it has all four gates of
 * its units, so nothing is shared. Called by stepwise.c once per timestep.
 *
 * Counted by tests/simt on sm_80 (N 16, H 128, y wanted), per unit and row: 111 thread instructions of PTX; 36 bytes
 * loaded (gates 16, bias 16, c 4), 12 stored (c, and h twice). With V 1 (H 127): 192 instructions, the same bytes.
 * ptxas for sm_75, 80, 90, 120: 50, 38, 39, 44 registers with V 4; 30, 28, 30, 32 with V 1; no spills. */
#include "device.cuh"

template <int V>
__device__ inline void store_row(const rondo_rows &rows, int64_t n, int j, const Group<V> &group) {
  if (rows.at) store<V>(rows.at + n * rows.stride + j, group);
}

template <int V>
__global__ void __launch_bounds__(BLOCK) lstm_cell_forward(const rondo_lstm_cell_forward_args args) {
  const int H = args.hidden_size, j = V * column_index();
  const int64_t n = row_index();
  if (n >= args.batch || j >= H) return;
  Group<V> gate[4], c{}, h;
  for (int l = 0; l < 4; l++) gate[l] = load<V>(args.gates + (n * 4 + l) * H + j);
  if (args.c_in.at) c = load<V>(args.c_in.at + n * args.c_in.stride + j);
  for (int l = 0; l < 4; l++) {
    const Group<V> bias = load<V>(args.bias + l * H + j);
    for (int v = 0; v < V; v++) gate[l].at[v] += bias.at[v];
  }
  for (int v = 0; v < V; v++) {
    float i = sigmoid(gate[0].at[v]), f = sigmoid(gate[1].at[v]), g = tanhf(gate[2].at[v]), o = sigmoid(gate[3].at[v]);
    c.at[v] = fmaf(f, c.at[v], i * g);
    h.at[v] = o * tanhf(c.at[v]);
  }
  store_row<V>(args.c_out, n, j, c);
  store_row<V>(args.h_next, n, j, h);
  store_row<V>(args.y, n, j, h);
  store_row<V>(args.y_last, n, j, h);
  store_row<V>(args.h_n, n, j, h);
}

template <int V>
static cudaError_t launch(const rondo_lstm_cell_forward_args *args, cudaStream_t stream) {
  Shape launch = shape(args->batch, args->hidden_size / V);
  void *arguments[] = {(void *)args};
  return cudaLaunchKernel(lstm_cell_forward<V>, launch.grid, launch.block, arguments, 0, stream);
}

extern "C" int rondo_lstm_cell_forward_cuda(const rondo_lstm_cell_forward_args *args, cudaStream_t stream) {
  const rondo_rows outputs[] = {args->c_out, args->h_next, args->y, args->y_last, args->h_n};
  bool wide = args->hidden_size % 4 == 0 && fours(args->gates, 0) && fours(args->bias, 0) &&
              fours(args->c_in.at, args->c_in.stride);
  for (const rondo_rows &rows : outputs) wide = wide && fours(rows.at, rows.stride);
  return wide ? launch<4>(args, stream) : launch<1>(args, stream);
}

extern "C" int rondo_lstm_cell_forward_load_cuda(void) {
  cudaFuncAttributes attributes;
  cudaError_t error = cudaFuncGetAttributes(&attributes, lstm_cell_forward<1>);
  return error ? error : cudaFuncGetAttributes(&attributes, lstm_cell_forward<4>);
}
