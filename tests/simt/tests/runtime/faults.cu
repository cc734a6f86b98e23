// Planted bugs, one per argument. Each must be reported and make the exit status 86.
#include "check.h"
#include <cassert>
#include <cstring>
#include <cublas_v2.h>
__global__ void touch(int *p, int i) { p[i] = 1; }
__global__ void checks(int *p) { assert(p == nullptr); }
__global__ void traps() { __trap(); }
__global__ void copies(int *to, const int *from) { *to = *from + 1; }
static int *allocation(int n) { int *p; CUDA(cudaMalloc(&p, n * 4)); return p; }
static float *floats(int n) { float *p; CUDA(cudaMalloc(&p, n * 4)); CUDA(cudaMemset(p, 0, n * 4)); return p; }
static void gemm(float *a, float *b, float *c, int m, float beta) {
  cublasHandle_t handle;
  float alpha = 1;
  cublasCreate(&handle);
  cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, 4, 4, &alpha, a, m, b, 4, &beta, c, m);
  cudaDeviceSynchronize();
  cublasDestroy(handle);
}
// A product with a workspace of the program's own.
static void gemm_in(float *a, float *workspace, size_t bytes) {
  cublasHandle_t handle;
  float alpha = 1, beta = 0;
  cublasCreate(&handle);
  if (!cublasSetWorkspace(handle, workspace, bytes))
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, a, 4, floats(16), 4, &beta, floats(16), 4);
  cudaDeviceSynchronize();
  cublasDestroy(handle);
}
int main(int count, char **arguments) {
  const char *bug = count > 1 ? arguments[1] : "";
  int host[4] = {0};
  if (!strcmp(bug, "kernel")) { // sticky: everything fails afterwards
    touch<<<1, 1>>>(allocation(4), 100);
    EXPECT(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
    void *p;
    EXPECT(cudaMalloc(&p, 4) == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress);
  } else if (!strcmp(bug, "copy")) EXPECT(cudaMemcpy(allocation(2), host, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  else if (!strcmp(bug, "direction")) EXPECT(cudaMemcpy(host, allocation(4), 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  else if (!strcmp(bug, "double-free")) { int *p = allocation(2); CUDA(cudaFree(p)); EXPECT(cudaFree(p) == cudaErrorInvalidValue); }
  else if (!strcmp(bug, "free-queued")) { // freed on one stream while another still has to use it
    int *p;
    cudaStream_t s, t;
    CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking)); CUDA(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking));
    CUDA(cudaMallocAsync((void **)&p, 16, s)); CUDA(cudaStreamSynchronize(s));
    touch<<<1, 1, 0, t>>>(p, 0);
    CUDA(cudaFreeAsync(p, s)); CUDA(cudaStreamSynchronize(s));
    cudaStreamSynchronize(t);
  } else if (!strcmp(bug, "gemm-bounds")) gemm(floats(15), floats(16), floats(16), 4, 0);
  else if (!strcmp(bug, "gemm-output")) gemm(floats(16), floats(16), floats(15), 4, 0);
  else if (!strcmp(bug, "gemm-undefined")) gemm(floats(16), (float *)allocation(16), floats(16), 4, 0);
  else if (!strcmp(bug, "gemm-undefined-c")) gemm(floats(16), floats(16), (float *)allocation(16), 4, 1);
  else if (!strcmp(bug, "gemm-undefined-c-unread")) gemm(floats(16), floats(16), (float *)allocation(16), 4, 0); // fine: beta is 0
  else if (!strcmp(bug, "gemm-freed")) { float *a = floats(16); cudaFree(a); gemm(a, floats(16), floats(16), 4, 0); }
  else if (!strcmp(bug, "gemm-host")) { static float a[16]; gemm(a, floats(16), floats(16), 4, 0); }
  else if (!strcmp(bug, "workspace-dead")) { float *w = floats(8192); cudaFree(w); gemm_in(floats(16), w, 32768); }
  else if (!strcmp(bug, "workspace-short")) gemm_in(floats(16), floats(8000), 32768);
  else if (!strcmp(bug, "workspace-freed")) { // after the product was queued, before it runs
    cudaStream_t s, t;
    cublasHandle_t handle;
    float *w, alpha = 1, beta = 0, *a = floats(16);
    CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking)); CUDA(cudaStreamCreateWithFlags(&t, cudaStreamNonBlocking));
    CUDA(cudaMallocAsync((void **)&w, 32768, s)); CUDA(cudaStreamSynchronize(s)); CUDA(cudaDeviceSynchronize());
    cublasCreate(&handle); cublasSetStream(handle, t); cublasSetWorkspace(handle, w, 32768);
    cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 4, 4, &alpha, a, 4, a, 4, &beta, a, 4);
    CUDA(cudaFreeAsync(w, s)); CUDA(cudaStreamSynchronize(s));
    cudaStreamSynchronize(t);
    cublasDestroy(handle);
  } else if (!strcmp(bug, "workspace-on-input")) { float *w = floats(8192); gemm_in(w + 100, w, 32768); }
  else if (!strcmp(bug, "workspace-on-data")) { // the last number of the workspace is somebody's
    float *w = floats(8192);
    gemm_in(floats(16), w, 32768);
    copies<<<1, 1>>>(allocation(1), (int *)w + 8191);
    cudaDeviceSynchronize();
  } else if (!strcmp(bug, "host-touch")) return *(volatile int *)allocation(1);
  else if (!strcmp(bug, "assert")) { checks<<<1, 1>>>(allocation(1)); puts(cudaGetErrorString(cudaDeviceSynchronize())); }
  else if (!strcmp(bug, "trap")) { traps<<<1, 1>>>(); puts(cudaGetErrorString(cudaDeviceSynchronize())); }
  else if (!strcmp(bug, "undefined")) { // reported, but nothing that would stop a GPU
    copies<<<1, 1>>>(allocation(1), allocation(1));
    if (!cudaDeviceSynchronize()) puts("goes on");
  } else { puts("which bug?"); return 2; }
  return failures != 0;
}
