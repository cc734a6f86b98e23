// Cooperative and cluster launches through the runtime: what fits, what is refused and how, and the counters of what ran.
// "persistent BUG" plants one: it must be reported and make the exit status 86.
#include "check.h"
#include <cstring>
#include <dlfcn.h>

// Every block adds its neighbour's value, step by step; a flag for each block.
__global__ void __launch_bounds__(64, 4) steps(unsigned *h, unsigned *flags, int count, bool fences) {
  unsigned n = gridDim.x * blockDim.x, me = blockIdx.x * blockDim.x + threadIdx.x;
  for (int t = 0; t < count; t++) {
    h[(t + 1) % 2 * n + me] = h[t % 2 * n + me] + h[t % 2 * n + (me + blockDim.x) % n];
    __syncthreads();
    if (threadIdx.x == 0) {
      if (fences) __threadfence();
      *(volatile unsigned *)(flags + blockIdx.x) = t + 1;
    }
    for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x)
      while (*(volatile unsigned *)(flags + b) <= (unsigned)t) __nanosleep(10);
    __threadfence();
    __syncthreads();
  }
}
__device__ unsigned rank_in_cluster() {
#if __CUDA_ARCH__ >= 900
  unsigned r;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
  return r;
#else
  return 0;
#endif
}
__global__ void ranks(unsigned *y) { if (threadIdx.x == 0) y[blockIdx.x] = rank_in_cluster(); }
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
#define IN_PAIRS __cluster_dims__(2, 1, 1)
#else
#define IN_PAIRS
#endif
__global__ void IN_PAIRS pairs(unsigned *y) { if (threadIdx.x == 0) y[blockIdx.x] = rank_in_cluster(); }
__global__ void large(float *y) {
  extern __shared__ float s[];
  s[threadIdx.x] = 1;
  if (blockIdx.x == 0) y[threadIdx.x] = s[threadIdx.x];
}

static cudaError_t cluster_launch(void (*kernel)(unsigned *), unsigned blocks, unsigned size, unsigned *y) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = size;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = blocks;
  config.blockDim = 32;
  config.attrs = &attribute;
  config.numAttrs = 1;
  void *arguments[] = {&y};
  cudaError_t error = cudaLaunchKernelExC(&config, (void *)kernel, arguments);
  cudaGetLastError();
  return error ? error : cudaDeviceSynchronize();
}

static void cooperative(bool fences) {
  enum { BLOCKS = 6, THREADS = 64, N = BLOCKS * THREADS, STEPS = 5 };
  static unsigned x[2][N], y[N];
  unsigned *h, *flags, *start;
  int count = STEPS, sms, fit, can;
  CUDA(cudaDeviceGetAttribute(&can, cudaDevAttrCooperativeLaunch, 0));
  CUDA(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fit, steps, THREADS, 0));
  EXPECT(can == 1 && fit >= 4); // the launch bounds promise 4
  for (int n = 0; n < N; n++) x[0][n] = n * n + 1;
  CUDA(cudaMalloc(&start, N * 4)); CUDA(cudaMemcpy(start, x[0], N * 4, cudaMemcpyHostToDevice));
  CUDA(cudaMalloc(&h, 2 * N * 4)); CUDA(cudaMalloc(&flags, BLOCKS * 4)); CUDA(cudaMemset(flags, 0, BLOCKS * 4));
  CUDA(cudaMemcpy(h, x[0], N * 4, cudaMemcpyHostToDevice));
  void *arguments[] = {&h, &flags, &count, &fences};
  CUDA(cudaLaunchCooperativeKernel((void *)steps, BLOCKS, THREADS, arguments, 0, 0));
  CUDA(cudaDeviceSynchronize());
  for (int t = 0; t < STEPS; t++)
    for (int n = 0; n < N; n++) x[(t + 1) % 2][n] = x[t % 2][n] + x[t % 2][(n + THREADS) % N];
  CUDA(cudaMemcpy(y, h + STEPS % 2 * N, N * 4, cudaMemcpyDeviceToHost));
  EXPECT(!memcmp(y, x[STEPS % 2], sizeof y));
  // The same from a graph, twice.
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CUDA(cudaStreamCreate(&stream));
  CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  CUDA(cudaMemsetAsync(flags, 0, BLOCKS * 4, stream));
  CUDA(cudaMemcpyAsync(h, start, N * 4, cudaMemcpyDeviceToDevice, stream));
  CUDA(cudaLaunchCooperativeKernel((void *)steps, BLOCKS, THREADS, arguments, 0, stream));
  CUDA(cudaStreamEndCapture(stream, &graph));
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int n = 0; n < 2; n++) CUDA(cudaGraphLaunch(exec, stream));
  CUDA(cudaStreamSynchronize(stream));
  memset(y, 0, sizeof y);
  CUDA(cudaMemcpy(y, h + STEPS % 2 * N, N * 4, cudaMemcpyDeviceToHost));
  EXPECT(!memcmp(y, x[STEPS % 2], sizeof y));
  CUDA(cudaGraphExecDestroy(exec)); CUDA(cudaGraphDestroy(graph)); CUDA(cudaStreamDestroy(stream)); CUDA(cudaFree(start));
  // One block more than the device holds is refused before anything runs.
  GIVES(cudaErrorCooperativeLaunchTooLarge, cudaLaunchCooperativeKernel((void *)steps, fit * sms + 1, THREADS, arguments, 0, 0));
  GIVES(cudaErrorCooperativeLaunchTooLarge, cudaGetLastError());
  float *p = (float *)h;
  void *of_large[] = {&p};
  CUDA(cudaFuncSetAttribute((void *)large, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024));
  CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fit, large, 32, 100 * 1024));
  EXPECT(fit >= 1 && fit <= 2);
  CUDA(cudaLaunchCooperativeKernel((void *)large, fit * sms, 32, of_large, 100 * 1024, 0));
  GIVES(cudaErrorCooperativeLaunchTooLarge, cudaLaunchCooperativeKernel((void *)large, fit * sms + 1, 32, of_large, 100 * 1024, 0));
  cudaGetLastError();
  CUDA(cudaDeviceSynchronize());
  CUDA(cudaFree(h)); CUDA(cudaFree(flags));
}

static void clusters() {
  unsigned *y, host[32];
  int can, most;
  CUDA(cudaMalloc(&y, sizeof host));
  CUDA(cudaDeviceGetAttribute(&can, cudaDevAttrClusterLaunch, 0));
  if (!can) { // an older device
    GIVES(cudaErrorNotSupported, cluster_launch(ranks, 8, 2, y));
    CUDA(cudaFree(y));
    return;
  }
  CUDA(cluster_launch(ranks, 32, 8, y));
  CUDA(cudaMemcpy(host, y, sizeof host, cudaMemcpyDeviceToHost));
  for (unsigned b = 0; b < 32; b++) EXPECT(host[b] == b % 8);
  GIVES(cudaErrorInvalidClusterSize, cluster_launch(ranks, 30, 4, y)); // not a multiple
  GIVES(cudaErrorInvalidClusterSize, cluster_launch(ranks, 32, 16, y)); // more than 8 is not portable
  CUDA(cudaFuncSetAttribute((void *)ranks, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
  CUDA(cluster_launch(ranks, 32, 16, y));
  CUDA(cudaMemcpy(host, y, sizeof host, cudaMemcpyDeviceToHost));
  for (unsigned b = 0; b < 32; b++) EXPECT(host[b] == b % 16);
  // A kernel that says how large its clusters are is launched in them, and in no others.
  cudaFuncAttributes attributes;
  CUDA(cudaFuncGetAttributes(&attributes, pairs));
  EXPECT(attributes.requiredClusterWidth == 2 && attributes.requiredClusterHeight == 1);
  pairs<<<8, 32>>>(y);
  CUDA(cudaMemcpy(host, y, 32, cudaMemcpyDeviceToHost));
  for (unsigned b = 0; b < 8; b++) EXPECT(host[b] == b % 2);
  GIVES(cudaErrorInvalidClusterSize, cluster_launch(pairs, 8, 4, y));
  GIVES(cudaErrorNotPermitted, cudaFuncSetAttribute((void *)pairs, cudaFuncAttributeRequiredClusterWidth, 4));
  cudaGetLastError();
  cudaLaunchConfig_t config = {};
  config.gridDim = 8;
  config.blockDim = 32;
  CUDA(cudaOccupancyMaxPotentialClusterSize(&most, ranks, &config));
  EXPECT(most == 16);
  CUDA(cudaFree(y));
}

// What a test holds a kernel to: here one flag a block and step, and the bytes that must move.
static void counted() {
  long long (*counter)(const char *, const char *);
  *(void **)&counter = dlsym(RTLD_DEFAULT, "simt_counter");
  EXPECT(counter);
  if (!counter) return;
  EXPECT(counter("steps", "launches") == 3 && counter("steps", "threads") == 3 * 6 * 64);
  EXPECT(counter("steps", "flag_writes") == 3 * 6 * 5);
  EXPECT(counter("steps", "barriers") == 3 * 6 * 5 * 2);
  EXPECT(counter("steps", "global_store_bytes") == 3 * 6 * 5 * (64 + 1) * 4);
  EXPECT(counter("steps", "instructions") > counter("steps", "memory_instructions") && counter("steps", "memory_instructions") > 0);
  EXPECT(counter("steps", "mma") == 0 && counter("steps", "nonsense") == -1 && counter("absent", "launches") == 0);
  EXPECT(counter("", "launches") >= 2);
}

int main(int argc, char **argv) {
  bool bug = argc > 1 && !strcmp(argv[1], "no-fence");
  cooperative(!bug);
  clusters();
  if (!bug) counted();
  return DONE();
}
