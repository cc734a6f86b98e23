/* lstm_cell.cu - one step of an LSTM after its products; formulas in kernels.h.
 *
 * gates (R, 4H), bias (4H), the others rows of H floats. Called by host/cuda/cells.c once per step. Three kernels:
 *
 *   lstm_cell    tanh, sigmoid and no option: one thread for V units of one row; it has all four gates of its units, so
 *                only the biases are shared, by the rows of a block. FULL: no row has lengths, a mask or a slot
 *   lstm_option  any functions and options: one thread for one unit
 *   lstm_norm    with layer_norm too: one block for each row, for the statistics of its products and of c'
 *
 * Counted by tests/simt on sm_80 (N 16, H 128, y wanted), per unit and row of a step inside the sequence: lstm_cell 110
 * thread instructions of PTX (rows that are not FULL 114, V 1 with H 127 206), 22 bytes loaded (gates 16, c 4, bias 2),
 * 12 stored (c, and h twice); with rows of 16 bits 10. lstm_option with peephole 438 and 48. lstm_norm 1465, mostly the
 * reductions of a block with more threads than units, and 175 loaded, as it reads each product three times and the
 * gammas. ptxas for sm_75, 80, 90, 120: lstm_cell 52, 48, 48, 48 registers with V 4 (not FULL 56); at most 33 with V 1;
 * lstm_option 40, 32, 32, 36; lstm_norm 64, 62, 64, 58. No spills. */
#include "device.cuh"
#include "functions.cuh"
#include "reduce.cuh"

/* ---- tanh and sigmoid -------------------------------------------------------------------------------------------- */

/* The old c of a row: c_0 at its first step. */
template <int V>
__device__ inline Group<V> load_c(const rondo_lstm_cell_forward_args &args, const Place &at, int64_t r, int j) {
  if (args.step.step == 0) return load_row<V>(args.c_0, at.state, j, at.from_zeros);
  return load<V>(args.c + r * args.hidden_size + j);
}

template <int V>
__device__ inline void store_c(const rondo_lstm_cell_forward_args &args, const Place &at, int64_t r, int j,
                               const Group<V> &c) {
  if (at.ends)
    store_row<V>(args.c_n, at.state, j, c);
  else
    store<V>(args.c + r * args.hidden_size + j, c);
}

template <typename Row, int V, bool FULL>
__global__ void __launch_bounds__(BLOCK) lstm_cell(const rondo_lstm_cell_forward_args args) {
  const int H = args.hidden_size, j = V * column_index();
  const int64_t r = row_index();
  Group<V> gate[4], bias[4], h;
  load_common(args.bias, H, j, bias);
  if (r >= args.step.rows || j >= H) return;
  const Place at = place_of<FULL>(args.step, r);
  for (int l = 0; l < 4; l++) gate[l] = load<V>(args.gates + (r * 4 + l) * H + j);
  Group<V> c = load_c<V>(args, at, r, j);
  for (int l = 0; l < 4; l++)
    for (int v = 0; v < V; v++) gate[l].at[v] += bias[l].at[v];
  for (int v = 0; v < V; v++) {
    float i = sigmoid(gate[0].at[v]), f = sigmoid(gate[1].at[v]), g = tanhf(gate[2].at[v]), o = sigmoid(gate[3].at[v]);
    c.at[v] = fmaf(f, c.at[v], i * g);
    h.at[v] = o * tanhf(c.at[v]);
  }
  store_c<V>(args, at, r, j, c);
  store_h<Row>(args.output, args.step, at, r, j, h);
}

/* ---- All options ------------------------------------------------------------------------------------------------- */

/* c' and o of unit j from its four sums and its old c. */
struct Fresh {
  float c, o;
};

__device__ inline Fresh fresh_cell(const rondo_lstm_cell_forward_args &args, const float (&v)[4], float c, int j) {
  const rondo_cell_options &k = args.options;
  const int H = args.hidden_size;
  float v_i = v[0], v_f = v[1], v_o = v[3];
  if (args.peephole) {
    v_i = fmaf(args.peephole[j], c, v_i);
    v_f = fmaf(args.peephole[H + j], c, v_f);
  }
  const float i = apply(k.recurrent_activation, clip(v_i, k.clip));
  const float f = k.input_forget ? 1 - i : apply(k.recurrent_activation, clip(v_f, k.clip));
  const float g = apply(k.activation, clip(v[2], k.clip));
  const float fresh = clip(fmaf(f, c, i * g), k.cell_clip);
  if (args.peephole) v_o = fmaf(args.peephole[2 * H + j], fresh, v_o);
  return {fresh, apply(k.recurrent_activation, clip(v_o, k.clip))};
}

/* Unit j of row r once c', o and what q is applied to are known. */
template <typename Row>
__device__ inline void finish_unit(const rondo_lstm_cell_forward_args &args, const Place &at, int64_t r, int j,
                                   float old, Fresh fresh, float inside) {
  store_c<1>(args, at, r, j, {zone_out(args.options.zoneout_cell, old, fresh.c)});
  float h = fresh.o * apply(args.options.output_activation, inside);
  if (args.unprojected) {
    store<1>(static_cast<Row *>(args.unprojected) + r * args.hidden_size + j, {h});
    return;
  }
  if (args.options.zoneout > 0) h = zone_out(args.options.zoneout, args.h.at[r * args.h.stride + j], h);
  store_h<Row>(args.output, args.step, at, r, j, Group<1>{h});
}

template <typename Row>
__global__ void __launch_bounds__(BLOCK) lstm_option(const rondo_lstm_cell_forward_args args) {
  const int H = args.hidden_size, j = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || j >= H) return;
  const Place at = place(args.step, r);
  float v[4];
  for (int l = 0; l < 4; l++) v[l] = args.gates[(r * 4 + l) * H + j] + args.bias[l * H + j];
  const float old = load_c<1>(args, at, r, j).at[0];
  const Fresh fresh = fresh_cell(args, v, old, j);
  finish_unit<Row>(args, at, r, j, old, fresh, fresh.c);
}

/* c' and o wait for the statistics of c' where the gates i and o of their unit were: one thread's own alone. */
template <typename Row>
__global__ void __launch_bounds__(WIDE_BLOCK) lstm_norm(const rondo_lstm_cell_forward_args args) {
  const int H = args.hidden_size;
  const int64_t r = blockIdx.x;
  const Place at = place(args.step, r);
  float *x = args.gates + r * 4 * H;
  const float *h = args.recurrent + r * 4 * H;
  const Statistics both = statistics<WIDE_BLOCK>(
      4 * H, [=](int k) { return x[k]; }, [=](int k) { return h[k]; });
  for (int j = (int)threadIdx.x; j < H; j += WIDE_BLOCK) {
    float v[4];
    for (int l = 0; l < 4; l++) {
      const int k = l * H + j;
      v[l] = fmaf((x[k] - both.mean.x) * both.scale.x, args.gamma_kernel[k],
                  fmaf((h[k] - both.mean.y) * both.scale.y, args.gamma_recurrent[k], args.bias[k]));
    }
    const Fresh fresh = fresh_cell(args, v, load_c<1>(args, at, r, j).at[0], j);
    x[j] = fresh.c;
    x[3 * H + j] = fresh.o;
  }
  const Statistics cell = statistics<WIDE_BLOCK>(
      H, [=](int j) { return x[j]; }, [](int) { return 0.0f; });
  for (int j = (int)threadIdx.x; j < H; j += WIDE_BLOCK) {
    const float old = load_c<1>(args, at, r, j).at[0];
    const float inside = fmaf((x[j] - cell.mean.x) * cell.scale.x, args.gamma_cell[j], args.beta_cell[j]);
    finish_unit<Row>(args, at, r, j, old, {x[j], x[3 * H + j]}, inside);
  }
}

/* ---- Launch ------------------------------------------------------------------------------------------------------ */

static bool has_options(const rondo_lstm_cell_forward_args *args) {
  const rondo_cell_options *k = &args->options;
  return k->activation.kind != RONDO_TANH || k->recurrent_activation.kind != RONDO_SIGMOID ||
         k->output_activation.kind != RONDO_TANH || k->clip > 0 || k->cell_clip > 0 || k->zoneout > 0 ||
         k->zoneout_cell > 0 || k->input_forget || args->peephole || args->unprojected;
}

template <bool FULL>
static int enqueue_cell(const rondo_lstm_cell_forward_args *args, bool wide, cudaStream_t stream) {
  const rondo_dtype type = args->output.type;
  const Shape launch = shape_of_rows(args->step.rows, wide ? args->hidden_size / 4 : args->hidden_size);
  return wide ? enqueue(by_type(type, EACH_ROW(lstm_cell, 4, FULL)), launch.grid, launch.block, args, stream)
              : enqueue(by_type(type, EACH_ROW(lstm_cell, 1, FULL)), launch.grid, launch.block, args, stream);
}

extern "C" int rondo_lstm_cell_forward_cuda(const rondo_lstm_cell_forward_args *args, cudaStream_t stream) {
  const int H = args->hidden_size, rows = args->step.rows;
  const rondo_dtype type = args->output.type;
  const Shape one = shape(rows, H);
  if (args->recurrent)
    return enqueue(by_type(type, EACH_ROW(lstm_norm)), dim3((unsigned)rows), dim3(WIDE_BLOCK), args, stream);
  if (has_options(args)) return enqueue(by_type(type, EACH_ROW(lstm_option)), one.grid, one.block, args, stream);
  bool wide = H % 4 == 0 && fours(args->gates, 0) && fours(args->bias, 0) && fours(args->c, 0) &&
              fours(args->c_0.at, args->c_0.stride) && fours(args->c_n.at, args->c_n.stride) && fours(args->output);
  return args->step.row ? enqueue_cell<false>(args, wide, stream) : enqueue_cell<true>(args, wide, stream);
}

extern "C" int rondo_lstm_cell_forward_load_cuda(void) {
  int error = load_code(EACH_ROW(lstm_cell, 1, true), EACH_ROW(lstm_cell, 4, true), EACH_ROW(lstm_option));
  return error ? error : load_code(EACH_ROW(lstm_cell, 1, false), EACH_ROW(lstm_cell, 4, false), EACH_ROW(lstm_norm));
}
