// The CUDA part of a program that opens it at run time: a shared library.
#include <cuda_runtime.h>
__global__ void add(int *p, int n, int at) { if (int(threadIdx.x) < n) p[threadIdx.x + at] += 3; }
// Adds 3 to n numbers; with fault it writes behind them.
extern "C" int add_three(int *h, int n, int fault) {
  int *d, count;
  if (cudaGetDeviceCount(&count) || !count) return 1;
  if (cudaMalloc(&d, n * sizeof *d) || cudaMemcpy(d, h, n * sizeof *d, cudaMemcpyHostToDevice)) return 2;
  add<<<1, n>>>(d, n, fault ? n : 0);
  cudaError_t error = cudaMemcpy(h, d, n * sizeof *d, cudaMemcpyDeviceToHost);
  if (fault) return error != cudaErrorIllegalAddress;
  return error ? 3 : cudaFree(d) ? 4 : 0;
}
