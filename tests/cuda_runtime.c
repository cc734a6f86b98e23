/* cuda_runtime.c - finding CUDA's functions, what the device is, streams of a test, counts. */
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include "cuda_runtime.h"

#include <dlfcn.h>

int cuda_load(cuda_runtime *cuda, const rondo_context *ctx) {
  Dl_info module;
  void *where = dladdr(ctx->ops, &module) ? dlopen(module.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
  if (!where) where = RTLD_DEFAULT; /* the backend is linked in */
  *(void **)&cuda->simt_count = dlsym(where, "simt_count");
#define LOAD(name)                                                                                                     \
  *(void **)&cuda->name = dlsym(where, #name);                                                                         \
  if (!EXPECT(cuda->name, "the CUDA runtime has no " #name)) return 0;
  LOAD(cudaStreamCreateWithFlags)
  LOAD(cudaStreamDestroy)
  LOAD(cudaStreamSynchronize)
  LOAD(cudaStreamBeginCapture)
  LOAD(cudaStreamEndCapture)
  LOAD(cudaGraphInstantiate)
  LOAD(cudaGraphLaunch)
  LOAD(cudaGraphExecDestroy)
  LOAD(cudaGraphDestroy)
  LOAD(cudaMemcpyAsync)
  LOAD(cudaMemsetAsync)
  LOAD(cudaGetDeviceCount)
  LOAD(cudaGetDevice)
  LOAD(cudaSetDevice)
  LOAD(cudaGetLastError)
  LOAD(cudaDeviceGetAttribute)
#undef LOAD
  return 1;
}

int cuda_major(const rondo_context *ctx) {
  cuda_runtime cuda;
  int major = 0;
  if (cuda_load(&cuda, ctx)) EXPECT_CUDA(cuda.cudaDeviceGetAttribute(&major, CAPABILITY_MAJOR, ctx->desc.device));
  return major;
}

/* A context on a stream of its own. The stream lives until the program ends or a test destroys it: the harness
 * destroys contexts after the test's function has returned. */
rondo_context *cuda_context_on_stream(cuda_runtime *cuda, cuda_stream *s) {
  rondo_context *first = test_context();
  if (!first || !cuda_load(cuda, first)) return NULL;
  EXPECT_CUDA(cuda->cudaStreamCreateWithFlags(s, NON_BLOCKING));
  rondo_context *ctx = NULL;
  EXPECT_OK(rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_CUDA, .stream = *s}));
  return ctx; /* not kept by the harness: close_stream destroys both, in order */
}

void cuda_close_stream(cuda_runtime *cuda, cuda_stream s, rondo_context *ctx) {
  EXPECT_OK(rondo_synchronize(ctx));
  rondo_context_destroy(ctx);
  EXPECT_CUDA(cuda->cudaStreamDestroy(s));
}

cuda_counts cuda_count(const cuda_runtime *cuda) {
  static const char *const forbidden[] = {
      "copies", "fills", "allocations", "frees", "synchronizations", "default_workspace", "graph_launches"};
  cuda_counts now = {cuda->simt_count("launches"), cuda->simt_count("cublas_gemms"), cuda->simt_count("cublas_calls"),
                     0};
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
    int value = cuda->simt_count(forbidden[i]);
    EXPECT(value >= 0, "simt counts no %s", forbidden[i]);
    now.others += value;
  }
  return now;
}

const char *const cuda_problems[] = {"lstm:n1t1c3h4:h0",
                                     "lstm:n3t7c5h9:h0:back:strided",
                                     "lstm:n4t6c8h12l3:time",
                                     "lstm:n2t5c4h8:h0:nobias",
                                     "gru:n4t6c8h12:h0",
                                     "gru:n3t6c5h7:h0:before",
                                     "rnn:n3t6c5h7l2:bi:h0",
                                     "lstm:n3t6c5h8:norm:proj=4:h0",
                                     "dense:n3t6c5h8:act=softmax",
                                     "lstm:n7t6c4h8:h0:len:slots",
                                     "gru:n7t6c3h5l2:h0:mask=holes:bi=sum",
                                     "lstm:n7t40c3h8:h0:mask=left:back:restart:head=3",
                                     "lstm:n3t6c5h9l2:h0:proj=4:weights=f16",
                                     "gru:n7t6c3h8:h0:before:len:restart:zoneout=0.5:weights=bf16",
                                     NULL};
