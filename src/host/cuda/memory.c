/* memory.c - device memory and copies. */
#include "cuda.h"

#include <stdio.h>

static rondo_status synchronize(rondo_context *ctx) {
  CUDA_TRY(cudaStreamSynchronize(ctx->desc.stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_synchronize(rondo_context *ctx) {
  RETURN_ON_DEVICE(ctx, synchronize(ctx));
}

static rondo_status allocate(size_t bytes, void **pointer) {
  char call[80];
  snprintf(call, sizeof call, "rondo_alloc: cudaMalloc of %zu bytes", bytes);
  return rondo_cuda_check(cudaMalloc(pointer, bytes), call);
}

rondo_status rondo_cuda_alloc(rondo_context *ctx, size_t bytes, void **pointer) {
  RETURN_ON_DEVICE(ctx, allocate(bytes, pointer));
}

static rondo_status release(void *pointer) {
  CUDA_TRY(cudaFree(pointer));
  return RONDO_OK;
}

static rondo_status release_on_device(rondo_context *ctx, void *pointer) {
  RETURN_ON_DEVICE(ctx, release(pointer));
}

void rondo_cuda_release(rondo_context *ctx, void *pointer) {
  (void)release_on_device(ctx, pointer); /* the sentence stays for whoever looks */
}

/* cudaMemcpyDefault: CUDA tells host from device by the address. On the context's stream, so after its earlier work. */
static rondo_status copy(rondo_context *ctx, void *to, const void *from, size_t bytes) {
  CUDA_TRY(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, ctx->desc.stream));
  return synchronize(ctx);
}

rondo_status rondo_cuda_copy(rondo_context *ctx, void *to, const void *from, size_t bytes) {
  RETURN_ON_DEVICE(ctx, copy(ctx, to, from, bytes));
}
