/* cuda.c - the table of the CUDA backend and its entry point; opening a device; CUDA's errors as Rondo's. */
#include "cuda.h"

#include "../../kernels/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Errors ---- */

static rondo_status status_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation: return RONDO_OUT_OF_MEMORY;
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorSystemNotReady:
    case cudaErrorDevicesUnavailable:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound: return RONDO_UNAVAILABLE;
    default: return RONDO_DEVICE_ERROR;
  }
}

static rondo_status fail(rondo_status status, const char *call, const char *name, const char *words) {
  return rondo_fail(status, "%.*s failed: %s (%s)", (int)strcspn(call, "("), call, name, words);
}

rondo_status rondo_cuda_check(cudaError_t error, const char *call) {
  if (error == cudaSuccess) return RONDO_OK;
  cudaGetLastError(); /* reported here, so the caller's next cudaGetLastError must not find it */
  return fail(status_of(error), call, cudaGetErrorName(error), cudaGetErrorString(error));
}

rondo_status rondo_cublas_check(cublasStatus_t status, const char *call) {
  if (status == CUBLAS_STATUS_SUCCESS) return RONDO_OK;
  cudaGetLastError();
  rondo_status kind = status == CUBLAS_STATUS_ALLOC_FAILED    ? RONDO_OUT_OF_MEMORY
                      : status == CUBLAS_STATUS_ARCH_MISMATCH ? RONDO_UNAVAILABLE
                                                              : RONDO_DEVICE_ERROR;
  return fail(kind, call, cublasGetStatusName(status), cublasGetStatusString(status));
}

/* ---- The current device, which belongs to the caller's thread ---- */

rondo_status rondo_cuda_enter(const rondo_context *ctx, int *previous) {
  CUDA_TRY(cudaGetDevice(previous));
  if (*previous != ctx->desc.device) CUDA_TRY(cudaSetDevice(ctx->desc.device));
  return RONDO_OK;
}

void rondo_cuda_leave(const rondo_context *ctx, int previous) {
  if (previous != ctx->desc.device) rondo_cuda_forget(cudaSetDevice(previous));
}

/* ---- Opening and closing ---- */

/* Loads every kernel now: CUDA loads code lazily, and the first launch would then allocate and might wait. (cuBLAS does
 * the same with its own kernels when a product of a new shape first needs them; that cannot be asked for ahead.) */
static rondo_status load_kernels(void) {
#define RONDO_KERNEL(name) TRY(rondo_cuda_check(rondo_##name##_load_cuda(), "loading the kernel " #name));
#include "../../kernels/kernels.inc"
#undef RONDO_KERNEL
  return RONDO_OK;
}

/* What NVIDIA's documentation of cublasSetWorkspace recommends: 32 MiB on Hopper (sm_90) and Blackwell (sm_10x and
 * sm_12x), 4 MiB on others. With less, cuBLAS may pick slower kernels, or refuse. */
static size_t workspace_for(int major) {
  return ((size_t)(major == 9 || major == 10 || major == 12 ? 32 : 4)) << 20;
}

static rondo_status open_handles(rondo_context *ctx, rondo_cuda_state *state) {
  struct cudaDeviceProp device;
  CUDA_TRY(cudaGetDeviceProperties(&device, ctx->desc.device));
  TRY(load_kernels());
  CUDA_TRY(cudaStreamCreateWithFlags(&state->recorder, cudaStreamNonBlocking));
  CUBLAS_TRY(cublasCreate(&state->blas));
  TRY(rondo_cuda_describe_machine(&state->machine, ctx->desc.device, 10 * device.major + device.minor));
  state->major = device.major;
  state->blas_workspace = workspace_for(device.major);
  state->stream = ctx->desc.stream;
  ctx->variant = ctx->desc.device;
  snprintf(ctx->text, sizeof ctx->text, "cuda device %d, %.100s (sm_%d%d)", ctx->desc.device, device.name, device.major,
           device.minor);
  return RONDO_OK;
}

static void close_handles(rondo_cuda_state *state) {
  if (state->blas) cublasDestroy(state->blas);
  if (state->recorder) rondo_cuda_forget(cudaStreamDestroy(state->recorder));
}

static rondo_status open_device(rondo_context *ctx) {
  rondo_cuda_state *state = calloc(1, sizeof *state);
  if (!state) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory");
  rondo_status status = open_handles(ctx, state);
  if (status == RONDO_OK) {
    ctx->state = state;
  } else {
    close_handles(state);
    free(state);
  }
  return status;
}

static rondo_status cuda_open(rondo_context *ctx) {
  int count = 0;
  CUDA_TRY(cudaGetDeviceCount(&count));
  if (count < 1) return rondo_fail(RONDO_UNAVAILABLE, "rondo_context_create: CUDA finds no GPU");
  REQUIRE(ctx->desc.device < count, "rondo_context_create: device %d is not in 0..%d, the GPUs of this machine",
          ctx->desc.device, count - 1);
  RETURN_ON_DEVICE(ctx, open_device(ctx));
}

static rondo_status close_device(rondo_context *ctx) {
  close_handles(ctx->state);
  return RONDO_OK;
}

static rondo_status close_on_device(rondo_context *ctx) {
  RETURN_ON_DEVICE(ctx, close_device(ctx));
}

static void cuda_close(rondo_context *ctx) {
  (void)close_on_device(ctx); /* what a failed device still held is gone with it */
  free(ctx->state);
}

/* ---- The table ---- */

static const rondo_algorithm_ops algorithms[] = {
    {.id = RONDO_HOISTED,
     .name = "hoisted",
     .prepare = rondo_cuda_hoisted_prepare,
     .predict = rondo_cuda_hoisted_predict,
     .forward_layer = rondo_cuda_hoisted_forward},
    {.id = RONDO_STEPWISE,
     .name = "stepwise",
     .prepare = rondo_cuda_stepwise_prepare,
     .predict = rondo_cuda_stepwise_predict,
     .forward_layer = rondo_cuda_stepwise_forward},
    {.id = RONDO_HOISTED,
     .name = "hoisted",
     .training_only = 1,
     .prepare = rondo_cuda_training_prepare_ahead,
     .predict = rondo_cuda_hoisted_predict,
     .forward_layer = rondo_cuda_training_forward,
     .backward_layer = rondo_cuda_training_backward,
     .merge = rondo_cuda_training_merge},
    {.id = RONDO_STEPWISE,
     .name = "stepwise",
     .training_only = 1,
     .prepare = rondo_cuda_training_prepare,
     .predict = rondo_cuda_stepwise_predict,
     .forward_layer = rondo_cuda_training_forward,
     .backward_layer = rondo_cuda_training_backward,
     .merge = rondo_cuda_training_merge},
};

#define RONDO_KERNEL(name)                                                                                             \
  static int name##_launch(const void *args, struct CUstream_st *stream) {                                             \
    return rondo_##name##_cuda(args, stream);                                                                          \
  }
#include "../../kernels/kernels.inc"
#undef RONDO_KERNEL

static const rondo_kernel kernels[] = {
#define RONDO_KERNEL(name) {#name, name##_launch},
#include "../../kernels/kernels.inc"
#undef RONDO_KERNEL
};

static const rondo_backend_ops cuda_ops = {
    .id = RONDO_CUDA,
    .name = "cuda",
    .version = RONDO_MODULE_VERSION,
    .algorithms = algorithms,
    .algorithm_count = (int)(sizeof algorithms / sizeof *algorithms),
    .kernels = kernels,
    .kernel_count = (int)(sizeof kernels / sizeof *kernels),
    .open = cuda_open,
    .close = cuda_close,
    .synchronize = rondo_cuda_synchronize,
    .alloc = rondo_cuda_alloc,
    .release = rondo_cuda_release,
    .copy = rondo_cuda_copy,
    .params_bytes = rondo_cuda_params_bytes,
    .pack = rondo_cuda_pack,
    .capture_begin = rondo_cuda_capture_begin,
    .capture_end = rondo_cuda_capture_end,
    .graph_launch = rondo_cuda_graph_launch,
    .graph_destroy = rondo_cuda_graph_destroy,
    .sgd = rondo_cuda_sgd,
    .adam = rondo_cuda_adam,
    .clip_by_norm = rondo_cuda_clip_by_norm,
    .draw_uniform = rondo_cuda_draw_uniform,
    .draw_mask = rondo_cuda_draw_mask,
    .drop = rondo_cuda_drop,
};

const rondo_core *_Atomic rondo_cuda_core;

RONDO_API rondo_cuda_backend_function rondo_cuda_backend; /* all that the shared module exports */

const rondo_backend_ops *rondo_cuda_backend(const rondo_core *core) {
  if (core->version != RONDO_MODULE_VERSION) return NULL;
  rondo_cuda_core = core;
  return &cuda_ops;
}
