/* hx_gather.cu - the rows [h | x] that the products of a chunk of steps read.
 *
 *   hx[k][r][O + c] = x[n][p][c]   and, when with_h, hx[0][r][j] = h[r][j] = h_0[state][j]
 *
 * One thread for V columns of one row r, steps over the grid's z. x may have any strides (a negative one over time:
 * go_backwards), and step s of row r may be at any position of any sequence, so this is also where layouts, directions,
 * masks and the order of rows end. Called by stepwise.c once per chunk, by hoisted.c and training.c for each run of
 * steps with equally many rows, and by dense.c.
 *
 * Counted by tests/simt on sm_80 (N 16, T 10, C 128, H 128) per float of x: 23 thread instructions of PTX, 4 bytes
 * loaded and stored (of 16 bits: 24, and 2 stored), and h_0's once. ptxas for sm_75..sm_120: at most 38 registers, no
 * spills. */
#include "device.cuh"

template <typename Row, int V>
__global__ void __launch_bounds__(BLOCK) hx_gather(const rondo_hx_gather_args args) {
  const int C = args.input_size, O = args.output_size, T = args.step.timesteps, c = V * column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows) return;
  const rondo_row row = args.step.row ? args.step.row[r] : rondo_row{(int)r, (int)r, T, 0};
  Row *hx = static_cast<Row *>(args.hx) + r * args.hx_row;
  if (args.with_h && blockIdx.z == 0 && c < O) {
    const Group<V> h = load_row<V>(args.h_0, row.state, c, row.state < 0);
    store<V>(hx + c, h);
    if (args.h) store<V>(args.h + r * O + c, h);
  }
  if (c >= C) return;
  for (int64_t k = blockIdx.z; k < args.steps; k += gridDim.z) {
    const int step = args.step.step + (int)k;
    if (step >= row.count) return;
    const int64_t p = position_of(row, args.step.position, r, T, step);
    const float *x = args.x + p * args.x_timestep + row.sequence * args.x_sequence;
    store<V>(hx + k * args.batch * args.hx_row + O + c, load<V>(x + c));
  }
}

template <int V>
static cudaError_t launch(const rondo_hx_gather_args *args, cudaStream_t stream) {
  int longest = args->with_h && args->output_size > args->input_size ? args->output_size : args->input_size;
  Shape launch = shape(args->step.rows, longest / V);
  launch.grid.z = (unsigned)(args->steps < MOST_Z ? args->steps : MOST_Z);
  return enqueue(by_type(args->type, EACH_ROW(hx_gather, V)), launch.grid, launch.block, args, stream);
}

extern "C" int rondo_hx_gather_cuda(const rondo_hx_gather_args *args, cudaStream_t stream) {
  bool wide = args->input_size % 4 == 0 && args->output_size % 4 == 0 && args->x_timestep % 4 == 0 &&
              fours(args->x, args->x_sequence) && fours(args->hx, args->hx_row, row_size(args->type)) &&
              fours(args->h_0.at, args->h_0.stride) && fours(args->h, 0);
  return wide ? launch<4>(args, stream) : launch<1>(args, stream);
}

extern "C" int rondo_hx_gather_load_cuda(void) {
  return load_code(EACH_ROW(hx_gather, 1), EACH_ROW(hx_gather, 4));
}
