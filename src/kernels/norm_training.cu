/* norm_training.cu - layer normalisation of rows, and backward; formulas in kernels_training.h.
 *
 * One block for each row of `columns` floats. Called by host/cuda/training_backward.c ahead of the steps and after them
 * for all rows at once, and by training_cells.c once per step for h @ R. */
#include "device.cuh"
#include "reduce.cuh"

__global__ void __launch_bounds__(WIDE_BLOCK) norm_forward(const rondo_norm_forward_args args) {
  const int64_t r = blockIdx.x;
  const float *v = args.v + r * args.columns;
  float *normal = args.normal + r * args.columns;
  const Statistics row = statistics<WIDE_BLOCK>(
      args.columns, [=](int k) { return v[k]; }, [](int) { return 0.0f; });
  for (int k = (int)threadIdx.x; k < args.columns; k += WIDE_BLOCK) normal[k] = (v[k] - row.mean.x) * row.scale.x;
  if (threadIdx.x == 0) args.scale[r] = row.scale.x;
}

extern "C" int rondo_norm_forward_cuda(const rondo_norm_forward_args *args, cudaStream_t stream) {
  return enqueue(norm_forward, dim3((unsigned)args->rows), dim3(WIDE_BLOCK), args, stream);
}

extern "C" int rondo_norm_forward_load_cuda(void) {
  return load_code(norm_forward);
}

__global__ void __launch_bounds__(WIDE_BLOCK) norm_backward(const rondo_norm_backward_args args) {
  const int64_t first = (int64_t)blockIdx.x * args.columns;
  const float *normal = args.normal + first, *dout = args.dout + first;
  float *dv = args.dv + first;
  float2 sum = make_float2(0, 0);
  for (int k = (int)threadIdx.x; k < args.columns; k += WIDE_BLOCK) {
    const float g = dout[k] * args.gamma[k];
    sum = Add()(sum, make_float2(g, g * normal[k]));
  }
  sum = block_reduce<WIDE_BLOCK>(sum, Add());
  const float2 mean = make_float2(sum.x / args.columns, sum.y / args.columns);
  const float scale = args.scale[blockIdx.x];
  for (int k = (int)threadIdx.x; k < args.columns; k += WIDE_BLOCK)
    dv[k] = scale * fmaf(-normal[k], mean.y, fmaf(dout[k], args.gamma[k], -mean.x));
}

extern "C" int rondo_norm_backward_cuda(const rondo_norm_backward_args *args, cudaStream_t stream) {
  return enqueue(norm_backward, dim3((unsigned)args->rows), dim3(WIDE_BLOCK), args, stream);
}

extern "C" int rondo_norm_backward_load_cuda(void) {
  return load_code(norm_backward);
}
