/* cuda.h - what the files of the CUDA backend share: a context's handles, error translation, the current device. */
#ifndef RONDO_CUDA_H
#define RONDO_CUDA_H

#include "../error.h"
#include "../internal.h"

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

/* What the model of cost.c knows of a device: the second-level cache, and peaks a microsecond. */
typedef struct rondo_cuda_machine {
  size_t l2_bytes;
  double l2, memory;      /* bytes */
  double f32, tf32, half; /* floating point operations of products, by the type of weights */
} rondo_cuda_machine;

typedef struct rondo_cuda_state {
  cublasHandle_t blas;
  size_t blas_workspace; /* bytes that cuBLAS gets from the caller's workspace */
  cudaStream_t stream;   /* where work goes now: the caller's stream, or recorder between capture_begin and _end */
  cudaStream_t recorder; /* graphs are recorded here, so that the caller's stream is not touched */
  int major;             /* compute capability of the device */
  rondo_cuda_machine machine;
} rondo_cuda_state;

/* OK for success. Else CUDA's own name and words, in a sentence with the name of the call; a status that tells whether
 * the device cannot be used at all, is out of memory, or failed. call: the source text of the call. */
rondo_status rondo_cuda_check(cudaError_t error, const char *call);
rondo_status rondo_cublas_check(cublasStatus_t status, const char *call);

#define CUDA_TRY(call) TRY(rondo_cuda_check((call), #call))
#define CUBLAS_TRY(call) TRY(rondo_cublas_check((call), #call))

/* For an error that nobody can act on: the caller's next cudaGetLastError must not find it either. */
static inline void rondo_cuda_forget(cudaError_t error) {
  if (error != cudaSuccess) cudaGetLastError();
}

/* Make the context's device current, and put the caller's back. */
rondo_status rondo_cuda_enter(const rondo_context *ctx, int *previous);
void rondo_cuda_leave(const rondo_context *ctx, int previous);

/* The whole body of a backend function: returns call's status, computed with the context's device current. */
#define RETURN_ON_DEVICE(ctx, call)                                                                                    \
  do {                                                                                                                 \
    int previous;                                                                                                      \
    TRY(rondo_cuda_enter((ctx), &previous));                                                                           \
    rondo_status device_status = (call);                                                                               \
    rondo_cuda_leave((ctx), previous);                                                                                 \
    return device_status;                                                                                              \
  } while (0)

static inline rondo_cuda_state *rondo_cuda_state_of(const rondo_context *ctx) {
  return ctx->state;
}

/* memory.c */
rondo_status rondo_cuda_synchronize(rondo_context *ctx);
rondo_status rondo_cuda_alloc(rondo_context *ctx, size_t bytes, void **pointer);
void rondo_cuda_release(rondo_context *ctx, void *pointer);
rondo_status rondo_cuda_copy(rondo_context *ctx, void *to, const void *from, size_t bytes);

/* params.c */
size_t rondo_cuda_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs);
rondo_status rondo_cuda_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                             void *to, const rondo_weights *from);

/* capture.c */
rondo_status rondo_cuda_capture_begin(rondo_context *ctx);
rondo_status rondo_cuda_capture_end(rondo_context *ctx, int keep, void **graph);
rondo_status rondo_cuda_graph_launch(rondo_context *ctx, void *graph);
void rondo_cuda_graph_destroy(rondo_context *ctx, void *graph);

/* stepwise.c */
rondo_status rondo_cuda_stepwise_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cuda_stepwise_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);

/* hoisted.c */
rondo_status rondo_cuda_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cuda_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);

/* cost.c; capability: 80 for 8.0 */
rondo_status rondo_cuda_describe_machine(rondo_cuda_machine *machine, int device, int capability);
double rondo_cuda_stepwise_predict(const rondo_plan *plan, const rondo_context *ctx);
double rondo_cuda_hoisted_predict(const rondo_plan *plan, const rondo_context *ctx);

/* training.c, training_backward.c */
rondo_status rondo_cuda_training_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cuda_training_prepare_ahead(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cuda_training_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
rondo_status rondo_cuda_training_merge(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args);
rondo_status rondo_cuda_training_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient);

/* training_dropout.c */
rondo_status rondo_cuda_draw_mask(rondo_context *ctx, float *mask, size_t count, const rondo_dropout *how);
rondo_status rondo_cuda_drop(rondo_context *ctx, float *v, size_t count, const rondo_dropout *how);

/* optimise.c */
rondo_status rondo_cuda_sgd(rondo_context *ctx, const rondo_sgd_args *args);
rondo_status rondo_cuda_adam(rondo_context *ctx, const rondo_adam_args *args);
rondo_status rondo_cuda_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args);
rondo_status rondo_cuda_draw_uniform(rondo_context *ctx, float *to, size_t count, float limit, uint64_t seed,
                                     uint64_t sequence);

/* What the backend was last asked for with; module.c fails through it. Atomic: contexts may be made by many threads. */
extern const rondo_core *_Atomic rondo_cuda_core;

#endif
