/* dropout.cu - the masks of dropout on the way into products, and on the way back out of them; formulas in
 * kernels_training.h.
 *
 * A mask is a sequence's own, the same at all its steps, and each gate may have another: so a product becomes one for
 * each gate, of copies of the rows. One thread for V columns of one row, and all its copies. Called by
 * host/cuda/training_dropout.c, with recurrent_dropout once per step, and for all rows at once.
 *
 * Counted by tests/simt on sm_90 (N 16, C 128, H 128): mask_rows of one step with 4 copies takes for each of the 256
 * columns of a row 46 thread instructions of PTX, 20 bytes loaded (16 of them masks) and 16 stored. */
#include "device.cuh"

/* Row r of a step from row i of so many steps; one step is no division. */
__device__ inline int64_t row_in_step(int64_t i, int steps, int rows) {
  return steps == 1 ? i : (int64_t)((uint32_t)i % (uint32_t)rows);
}

/* V factors of row r of a step for gate l, which has the last mask if there are no more. */
template <int V>
__device__ inline Group<V> factors(const float *mask, const rondo_step &step, int64_t r, int masks, int l, int columns,
                                   int j) {
  const int64_t n = step.row ? step.row[r].sequence : r;
  return load<V>(mask + (n * masks + (l < masks ? l : masks - 1)) * columns + j);
}

template <int V>
__global__ void __launch_bounds__(BLOCK) mask_rows(const rondo_mask_rows_args args) {
  const int O = args.output_size, C = args.input_size, c = V * column_index();
  const int64_t i = row_index(), all = (int64_t)args.steps * args.step.rows;
  if (i >= all || c >= O + C) return;
  const bool of_h = c < O;
  const int j = of_h ? c : c - O;
  const float *mask = of_h ? args.recurrent_mask : args.input_mask;
  const int64_t r = row_in_step(i, args.steps, args.step.rows);
  const Group<V> from = of_h ? load_row<V>(args.h, i, j) : load_row<V>(args.x, i, j);
  for (int k = 0; k < args.copies; k++) {
    Group<V> to = from;
    if (mask) {
      const Group<V> factor = factors<V>(mask, args.step, r, args.masks, args.first + k, of_h ? O : C, j);
      for (int v = 0; v < V; v++) to.at[v] *= factor.at[v];
    }
    store<V>(args.to + (k * all + i) * args.to_row + c, to);
  }
}

extern "C" int rondo_mask_rows_cuda(const rondo_mask_rows_args *args, cudaStream_t stream) {
  const int rows = args->steps * args->step.rows, columns = args->output_size + args->input_size;
  const Shape one = shape(rows, columns), four = shape(rows, columns / 4);
  bool wide = args->output_size % 4 == 0 && args->input_size % 4 == 0 && fours(args->h.at, args->h.stride) &&
              fours(args->x.at, args->x.stride) && fours(args->to, args->to_row) && fours(args->recurrent_mask, 0) &&
              fours(args->input_mask, 0);
  return wide ? enqueue(mask_rows<4>, four.grid, four.block, args, stream)
              : enqueue(mask_rows<1>, one.grid, one.block, args, stream);
}

extern "C" int rondo_mask_rows_load_cuda(void) {
  return load_code(mask_rows<1>, mask_rows<4>);
}

template <int V>
__global__ void __launch_bounds__(BLOCK) mask_sums(const rondo_mask_sums_args args) {
  const int C = args.columns, j = V * column_index();
  const int64_t i = row_index(), all = (int64_t)args.steps * args.step.rows;
  if (i >= all || j >= C) return;
  const int64_t r = row_in_step(i, args.steps, args.step.rows);
  Group<V> sum = {};
  if (args.add) sum = load<V>(args.to + i * C + j);
  for (int k = 0; k < args.copies; k++) {
    const Group<V> from = load<V>(args.from + (k * all + i) * C + j);
    const Group<V> factor = factors<V>(args.mask, args.step, r, args.masks, args.first + k, C, j);
    for (int v = 0; v < V; v++) sum.at[v] = fmaf(from.at[v], factor.at[v], sum.at[v]);
  }
  store<V>(args.to + i * C + j, sum);
}

extern "C" int rondo_mask_sums_cuda(const rondo_mask_sums_args *args, cudaStream_t stream) {
  const int rows = args->steps * args->step.rows;
  const Shape one = shape(rows, args->columns), four = shape(rows, args->columns / 4);
  bool wide = args->columns % 4 == 0 && fours(args->from, 0) && fours(args->mask, 0) && fours(args->to, 0);
  return wide ? enqueue(mask_sums<4>, four.grid, four.block, args, stream)
              : enqueue(mask_sums<1>, one.grid, one.block, args, stream);
}

extern "C" int rondo_mask_sums_load_cuda(void) {
  return load_code(mask_sums<1>, mask_sums<4>);
}
