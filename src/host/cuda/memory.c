/* memory.c - device memory, copies, and the parameter block.
 *
 * One layer's parameters are the matrix of the combined row [h | x], exactly as the product reads it, then the bias:
 *
 *   (H + F, 4H) row-major: recurrent_kernel (H rows) over kernel (F rows); columns are the gates i, f, g, o
 *   (4H)        bias, zeros without
 *
 * h comes first so that it starts every row: aligned, whatever F is. */
#include "../arena.h"
#include "../params.h"
#include "cuda.h"

#include <stdio.h>
#include <stdlib.h>

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

size_t rondo_cuda_params_bytes(const rondo_plan *plan, size_t inputs) {
  size_t units = (size_t)plan->desc.layer.hidden_size;
  size_t rows = rondo_size_add(rondo_size_add(units, inputs), 1);
  rondo_arena arena = {0};
  rondo_arena_take(&arena, rondo_size_mul(rows, RONDO_GATES * sizeof(float)), units);
  return arena.used;
}

static void fill(float *to, size_t inputs, size_t units, const rondo_weights *from) {
  for (size_t k = 0; k < units; k++)
    for (int g = 0; g < RONDO_GATES; g++)
      for (size_t j = 0; j < units; j++) *to++ = rondo_weights_recurrent(from, units, k, g, j);
  for (size_t k = 0; k < inputs; k++)
    for (int g = 0; g < RONDO_GATES; g++)
      for (size_t j = 0; j < units; j++) *to++ = rondo_weights_kernel(from, inputs, units, k, g, j);
  for (int g = 0; g < RONDO_GATES; g++)
    for (size_t j = 0; j < units; j++) *to++ = rondo_weights_bias(from, units, g, j);
}

rondo_status rondo_cuda_pack(const rondo_plan *plan, rondo_context *ctx, size_t inputs, void *to,
                             const rondo_weights *from) {
  size_t units = (size_t)plan->desc.layer.hidden_size;
  size_t bytes = (units + inputs + 1) * RONDO_GATES * units * sizeof(float);
  float *block = malloc(bytes);
  if (!block) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_pack: no host memory for %zu bytes", bytes);
  fill(block, inputs, units, from);
  rondo_status status = rondo_cuda_copy(ctx, to, block, bytes);
  free(block);
  return status;
}
