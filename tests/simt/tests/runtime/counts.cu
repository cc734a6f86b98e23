// simt_count: what a program can ask about its own calls. "counts absent" is run without simt.
#include "check.h"
#include <cstring>
#include <cublas_v2.h>
#include <dlfcn.h>
__global__ void nothing() {}
__global__ void move(const float4 *from, float *to) { to[threadIdx.x] = from[threadIdx.x].x + from[threadIdx.x].y; }
static int (*count)(const char *);
static const char *const names[] = {"launches", "captured_launches", "graph_launches", "kernels_run", "cublas_calls",
                                    "cublas_gemms", "default_workspace", "copies", "fills", "allocations", "frees",
                                    "synchronizations"};
// Holds the counts to what they were, plus the increments since, in the order of the names.
static void grown(int line, const int (&by)[12]) {
  static int before[12];
  for (int i = 0; i < 12; i++) {
    int now = count(names[i]);
    if (now != before[i] + by[i]) { failures++; printf("line %d: %s grew by %d, not %d\n", line, names[i], now - before[i], by[i]); }
    before[i] = now;
  }
}
#define GREW(...) grown(__LINE__, {__VA_ARGS__})
static cublasHandle_t handle;
static float *a;
static void gemm() {
  float one = 1, zero = 0;
  EXPECT(!cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &zero, a + 4, 2));
}
// 8 threads load two floats each, however they do it, and store one; twice the threads do twice the work.
static void work() {
  float *to;
  int before[3], once[3];
  static const char *const of_kernels[] = {"kernel_load_bytes", "kernel_store_bytes", "kernel_instructions"};
  CUDA(cudaMalloc(&to, 16 * 20)); CUDA(cudaMemset(to, 0, 16 * 20)); CUDA(cudaDeviceSynchronize());
  for (int threads = 8; threads <= 16; threads += 8) {
    for (int i = 0; i < 3; i++) before[i] = count(of_kernels[i]);
    move<<<1, threads>>>((float4 *)to, to + 64);
    for (int i = 0; i < 3; i++) EXPECT(count(of_kernels[i]) == before[i]); // issued, not run
    CUDA(cudaDeviceSynchronize());
    for (int i = 0; i < 3; i++) before[i] = count(of_kernels[i]) - before[i];
    EXPECT((before[0] == 8 * threads || before[0] == 16 * threads) && before[1] == 4 * threads);
    EXPECT(before[2] > 4 * threads && before[2] % threads == 0);
    for (int i = 0; i < 3; i++) {
      if (threads == 8) once[i] = before[i];
      EXPECT(before[i] == threads / 8 * once[i]);
    }
  }
  CUDA(cudaFree(to));
}
int main(int argc, char **argv) {
  *(void **)&count = dlsym(RTLD_DEFAULT, "simt_count");
  if (argc > 1 && !strcmp(argv[1], "absent")) return puts(count ? "simt" : "no simt"), count != nullptr;
  if (!count) return 2;
  EXPECT(count("nonsense") == -1);
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  cudaStream_t s;
  cudaEvent_t event;
  void *workspace, *p, *q, *pinned;
  float host[8] = {0};
  CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  CUDA(cudaEventCreate(&event));
  EXPECT(!cublasCreate(&handle));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0);
  CUDA(cudaMalloc(&a, 8 * sizeof *a)); CUDA(cudaMalloc(&workspace, 1 << 20));
  CUDA(cudaMallocAsync(&p, 16, s)); CUDA(cudaMallocManaged(&q, 16)); CUDA(cudaMallocHost(&pinned, 32));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0);
  CUDA(cudaMemsetAsync(p, 0, 16, s)); CUDA(cudaMemcpyAsync(pinned, p, 16, cudaMemcpyDeviceToHost, s));
  GREW(0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0);
  CUDA(cudaMemset(a, 0, 32)); // plain ones count as synchronising, and asynchronous ones that wait all the same
  CUDA(cudaMemcpy(a, host, 32, cudaMemcpyHostToDevice)); CUDA(cudaMemcpyAsync(host, a, 32, cudaMemcpyDeviceToHost, s));
  GREW(0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 3);
  CUDA(cudaEventRecord(event, s)); CUDA(cudaEventSynchronize(event));
  CUDA(cudaStreamSynchronize(s)); CUDA(cudaDeviceSynchronize());
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3);
  CUDA(cudaFreeAsync(p, s));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0);
  CUDA(cudaFree(q)); CUDA(cudaFreeHost(pinned));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2);
  for (int i = 0; i < 4; i++) nothing<<<1, 1, 0, s>>>();
  GREW(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0); // issued, not run
  CUDA(cudaStreamSynchronize(s));
  GREW(0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 1);
  nothing<<<0, 1, 0, s>>>(); // refused
  EXPECT(cudaGetLastError() == cudaErrorInvalidConfiguration);
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

  EXPECT(!cublasSetStream(handle, s)); EXPECT(!cublasSetWorkspace(handle, workspace, 1 << 20));
  gemm(); gemm();
  GREW(0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0, 0);
  EXPECT(!cublasSetStream(handle, s)); // goes back to the default workspace, even to the same stream
  gemm();
  GREW(0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0);
  float norm;
  EXPECT(!cublasSetWorkspace(handle, workspace, 1 << 20));
  EXPECT(!cublasSnrm2(handle, 4, a, 1, &norm)); // the result on the host is waited for
  GREW(0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1);
  // Workspaces that are not taken: the one before stays.
  EXPECT(cublasSetWorkspace(handle, (char *)workspace + 128, 1 << 10) == CUBLAS_STATUS_INVALID_VALUE);
  float one = 1;
  EXPECT(!cublasSetWorkspace(handle, workspace, 1 << 10));
  EXPECT(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &one, a + 4, 2) == CUBLAS_STATUS_ALLOC_FAILED);
  EXPECT(!cublasSetWorkspace(handle, workspace, 1 << 20));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);

  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  gemm();
  nothing<<<1, 1, 0, s>>>();
  CUDA(cudaStreamEndCapture(s, &graph));
  GREW(1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0);
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  CUDA(cudaGraphLaunch(exec, s)); CUDA(cudaGraphLaunch(exec, s));
  GREW(0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  CUDA(cudaStreamSynchronize(s));
  GREW(0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1);
  CUDA(cudaGraphExecDestroy(exec)); CUDA(cudaGraphDestroy(graph));
  cublasHandle_t another; // making and destroying a handle is not for a stream that captures
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  EXPECT(cublasCreate(&another) == CUBLAS_STATUS_ALLOC_FAILED);
  GIVES(cudaErrorStreamCaptureInvalidated, cudaStreamEndCapture(s, &graph));
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  EXPECT(!cublasDestroy(handle)); // waits for the device
  GREW(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
  CUDA(cudaEventDestroy(event)); CUDA(cudaStreamDestroy(s)); CUDA(cudaFree(a)); CUDA(cudaFree(workspace));
  work();
  return DONE();
}
