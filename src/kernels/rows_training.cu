/* rows_training.cu - what training does with all steps at once: sums over rows, dx to its rows, dh_0 and dc_0, and the
 * merging of two directions. Called by host/cuda/training.c and training_backward.c; formulas in kernels_training.h. */
#include "device.cuh"

/* ---- column_sums: SUM_COLUMNS columns and one part for a block, whose SUM_ROWS threads of a column take turns ---- */

enum { SUM_COLUMNS = 32, SUM_ROWS = 8 };

__global__ void __launch_bounds__(SUM_COLUMNS *SUM_ROWS) column_sums(const rondo_column_sums_args args) {
  __shared__ float sums[SUM_ROWS][SUM_COLUMNS];
  const int x = threadIdx.x, y = threadIdx.y, j = (int)blockIdx.x * SUM_COLUMNS + x;
  const int64_t part = (args.rows + (int64_t)args.parts - 1) / args.parts, first = blockIdx.y * part;
  const int64_t last = first + part < args.rows ? first + part : args.rows;
  float sum = 0;
  for (int64_t row = first + y; row < last && j < args.columns; row += SUM_ROWS)
    sum = fmaf(args.a.at[row * args.a.stride + j], args.b.at ? args.b.at[row * args.b.stride + j] : 1, sum);
  sums[y][x] = sum;
  for (int half = SUM_ROWS / 2; half; half /= 2) {
    __syncthreads();
    if (y < half) sums[y][x] += sums[y + half][x];
  }
  if (y || j >= args.columns) return;
  float *to = args.to + blockIdx.y * (int64_t)args.columns + j;
  *to = args.add ? *to + sums[0][x] : sums[0][x];
}

extern "C" int rondo_column_sums_cuda(const rondo_column_sums_args *args, cudaStream_t stream) {
  const dim3 grid(((unsigned)args->columns + SUM_COLUMNS - 1) / SUM_COLUMNS, (unsigned)args->parts);
  return enqueue(column_sums, grid, dim3(SUM_COLUMNS, SUM_ROWS), args, stream);
}

extern "C" int rondo_column_sums_load_cuda(void) {
  return load_code(column_sums);
}

/* ---- dx_scatter: one thread for one column of one row, steps over the grid's z ----------------------------------- */

__global__ void __launch_bounds__(BLOCK) dx_scatter(const rondo_dx_scatter_args args) {
  const int C = args.input_size, T = args.step.timesteps, c = column_index();
  const int64_t r = row_index();
  if (r >= args.step.rows || c >= C) return;
  const rondo_row row = args.step.row ? args.step.row[r] : rondo_row{(int)r, (int)r, T, 0};
  for (int64_t k = blockIdx.z; k < args.steps; k += gridDim.z) {
    const int64_t p = position_of(row, args.step.position, r, T, args.step.step + (int)k);
    float *dx = args.dx + row.sequence * args.dx_sequence + p * args.dx_timestep + c;
    const float from = args.rows[(k * args.step.rows + r) * C + c];
    *dx = args.add ? *dx + from : from;
  }
}

extern "C" int rondo_dx_scatter_cuda(const rondo_dx_scatter_args *args, cudaStream_t stream) {
  Shape launch = shape(args->step.rows, args->input_size);
  launch.grid.z = (unsigned)(args->steps < MOST_Z ? args->steps : MOST_Z);
  return enqueue(dx_scatter, launch.grid, launch.block, args, stream);
}

extern "C" int rondo_dx_scatter_load_cuda(void) {
  return load_code(dx_scatter);
}

/* ---- state_backward: one thread for one column of one row -------------------------------------------------------- */

__device__ inline void put_state(const rondo_state_backward_args &args, int64_t r, int j, const rondo_rows &to,
                                 const float *steps, int columns, const rondo_const_rows &without) {
  if (!to.at || j >= columns) return;
  const int64_t state = args.row ? args.row[r].state : r, n = state < 0 ? ~state : state;
  float value = r < args.active ? steps[r * columns + j] : load_row<1>(without, n, j).at[0];
  to.at[n * to.stride + j] = state < 0 ? 0 : value;
}

__global__ void __launch_bounds__(BLOCK) state_backward(const rondo_state_backward_args args) {
  const int j = column_index();
  const int64_t r = row_index();
  if (r >= args.rows) return;
  put_state(args, r, j, args.dh_0, args.dh, args.output_size, args.dh_n);
  put_state(args, r, j, args.dc_0, args.dc, args.hidden_size, args.dc_n);
}

extern "C" int rondo_state_backward_cuda(const rondo_state_backward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->rows, args->hidden_size > args->output_size ? args->hidden_size : args->output_size);
  return enqueue(state_backward, one.grid, one.block, args, stream);
}

extern "C" int rondo_state_backward_load_cuda(void) {
  return load_code(state_backward);
}

/* ---- merge_forward, merge_backward: one thread for one column of one row ----------------------------------------- */

__global__ void __launch_bounds__(BLOCK) merge_forward(const rondo_merge_forward_args args) {
  const int j = column_index();
  const int64_t i = row_index(), t = i / args.batch, n = i % args.batch, at = i * args.columns + j;
  if (t >= args.timesteps || j >= args.columns) return;
  const float a = args.a[at], b = args.b[at], both = args.merge == RONDO_MUL ? a * b : a + b;
  args.y[n * args.y_sequence + t * args.y_timestep + j] = args.merge == RONDO_AVE ? 0.5f * both : both;
}

extern "C" int rondo_merge_forward_cuda(const rondo_merge_forward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->batch * args->timesteps, args->columns);
  return enqueue(merge_forward, one.grid, one.block, args, stream);
}

extern "C" int rondo_merge_forward_load_cuda(void) {
  return load_code(merge_forward);
}

__global__ void __launch_bounds__(BLOCK) merge_backward(const rondo_merge_backward_args args) {
  const int j = column_index();
  const int64_t i = row_index(), t = i / args.batch, n = i % args.batch, at = i * args.columns + j;
  if (t >= args.timesteps || j >= args.columns) return;
  const float dy = args.dy[n * args.dy_sequence + t * args.dy_timestep + j];
  const float same = args.merge == RONDO_AVE ? 0.5f * dy : dy;
  args.da[at] = args.merge == RONDO_MUL ? dy * args.b[at] : same;
  args.db[at] = args.merge == RONDO_MUL ? dy * args.a[at] : same;
}

extern "C" int rondo_merge_backward_cuda(const rondo_merge_backward_args *args, cudaStream_t stream) {
  const Shape one = shape(args->batch * args->timesteps, args->columns);
  return enqueue(merge_backward, one.grid, one.block, args, stream);
}

extern "C" int rondo_merge_backward_load_cuda(void) {
  return load_code(merge_backward);
}
