/* internal.h - the objects behind the public handles, and what a backend provides.
 *
 * plan.c, context.c, execute.c, params.c and graph.c check arguments and resolve them; everything that differs between
 * backends is a function of rondo_backend_ops or rondo_algorithm_ops. Their rows are in reference.c, cpu/ and cuda/. */
#ifndef RONDO_INTERNAL_H
#define RONDO_INTERNAL_H

#include "rondo/rondo.h"

#include "arena.h"

typedef struct rondo_backend_ops rondo_backend_ops;
typedef struct rondo_algorithm_ops rondo_algorithm_ops;

enum { RONDO_GATES = 4 };             /* of an LSTM */
enum { RONDO_CALLER_ALIGNMENT = 64 }; /* bytes: of what the caller gives, the parameter block and the workspace */

struct rondo_context {
  rondo_context_desc desc; /* as given; threads at least 1 */
  const rondo_backend_ops *ops;
  int variant;    /* what plans and parameter blocks depend on: the instruction set of the CPU, the GPU's ordinal */
  void *state;    /* the backend's own */
  char text[640]; /* room for a whole sentence: why CUDA is not used */
};

struct rondo_plan {
  rondo_plan_desc desc; /* as given; num_layers at least 1 */
  const rondo_backend_ops *ops;
  const rondo_algorithm_ops *algorithm;
  int variant;            /* of the context it was made with */
  int chunk;              /* timesteps whose x is brought in ahead of the recurrence at a time */
  size_t layer_params[2]; /* bytes of the parameter block for the first layer, and for each above it */
  size_t between_bytes;   /* one of up to two buffers (T, N, H) between stacked layers */
  size_t layer_workspace; /* bytes the algorithm needs for a layer, the same for all */
  rondo_sizes sizes;
  char note[96]; /* the algorithm's part of text */
  char text[256];
};

/* The caller's workspace, carved (plan.c): buffers (T, N, H) between stacked layers, which take turns, and what the
 * algorithm needs for one layer. */
typedef struct rondo_workspace {
  void *between[2];
  void *layer;
} rondo_workspace;

/* One layer and direction with everything resolved. Distances are in floats; x_timestep is negative when the layer
 * goes backwards, x then points at the last timestep. NULL outputs are not wanted, NULL states are zeros. */
typedef struct rondo_pass {
  int batch, timesteps, input_size, hidden_size;
  const void *params;
  const float *x;
  ptrdiff_t x_sequence, x_timestep;
  const float *h_0, *c_0;
  float *y;
  ptrdiff_t y_sequence, y_timestep;
  float *y_last;
  ptrdiff_t y_last_stride;
  float *h_n, *c_n;
  ptrdiff_t state_stride;
  void *workspace;
} rondo_pass;

struct rondo_algorithm_ops {
  rondo_algorithm id;
  const char *name;
  /* Fills chunk, layer_workspace and note (the reference: all of sizes.workspace), or refuses with a sentence. */
  rondo_status (*prepare)(rondo_plan *plan, const rondo_context *ctx);
  /* One layer; execute.c walks the layers. */
  rondo_status (*forward_layer)(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
  /* The whole call instead: the reference, which shares nothing with what it judges. */
  rondo_status (*forward)(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);
};

struct rondo_backend_ops {
  rondo_backend id;
  const char *name;
  int version;                           /* RONDO_MODULE_VERSION it was built with */
  const rondo_algorithm_ops *algorithms; /* in order of preference */
  int algorithm_count;
  const struct rondo_kernel *kernels; /* every kernel by name, for tests (may be NULL) */
  int kernel_count;

  rondo_status (*open)(rondo_context *ctx); /* fills variant, state and text */
  void (*close)(rondo_context *ctx);
  rondo_status (*synchronize)(rondo_context *ctx);
  rondo_status (*alloc)(rondo_context *ctx, size_t bytes, void **pointer);
  void (*release)(rondo_context *ctx, void *pointer);
  rondo_status (*copy)(rondo_context *ctx, void *to, const void *from, size_t bytes);

  /* Bytes of one layer's parameters (a multiple of 256), SIZE_MAX when they do not fit; then filling them. */
  size_t (*params_bytes)(const rondo_plan *plan, size_t inputs);
  rondo_status (*pack)(const rondo_plan *plan, rondo_context *ctx, size_t inputs, void *to, const rondo_weights *from);
  /* Optional: refuses a layer's parameters that were not packed for this plan. who and layer: for the sentence. */
  rondo_status (*check_params)(const char *who, const rondo_plan *plan, size_t inputs, const void *params, int layer);

  /* Optional, all four or none: what is enqueued between begin and end becomes a graph instead of running.
   * end is always called after begin; keep = 0 throws the recording away, and graph may then be NULL. */
  rondo_status (*capture_begin)(rondo_context *ctx);
  rondo_status (*capture_end)(rondo_context *ctx, int keep, void **graph);
  rondo_status (*graph_launch)(rondo_context *ctx, void *graph);
  void (*graph_destroy)(rondo_context *ctx, void *graph);
};

/* A kernel of the CUDA backend: launch takes the kernel's argument struct of src/kernels/kernels.h and a stream, and
 * returns a cudaError_t. */
typedef struct rondo_kernel {
  const char *name;
  int (*launch)(const void *args, struct CUstream_st *stream);
} rondo_kernel;

/* Grows whenever a struct of this header changes: librondo and librondo_cuda must agree. */
#define RONDO_MODULE_VERSION 1

/* What the CUDA module gets from the library that opens it, and its one entry point (also in static builds). */
typedef struct rondo_core {
  int version;
  rondo_status (*vfail)(rondo_status status, const char *format, __builtin_va_list arguments);
} rondo_core;
typedef const rondo_backend_ops *rondo_cuda_backend_function(const rondo_core *core);

extern const rondo_backend_ops rondo_reference_ops, rondo_cpu_ops;

/* memory.c: the host memory functions of the CPU and the reference. */
rondo_status rondo_host_synchronize(rondo_context *ctx);
rondo_status rondo_host_alloc(rondo_context *ctx, size_t bytes, void **pointer);
void rondo_host_release(rondo_context *ctx, void *pointer);
rondo_status rondo_host_copy(rondo_context *ctx, void *to, const void *from, size_t bytes);

/* plan.c: used to measure (arena on NULL) and to carve, so that the two cannot disagree. */
void rondo_carve_workspace(const rondo_plan *plan, rondo_arena *arena, rondo_workspace *parts);

/* execute.c: is the plan for this context? Then the checks of rondo_forward, and the call without them. who: the public
 * function's name. */
rondo_status rondo_check_match(const char *who, const rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_check_batch(const char *who, const rondo_plan *plan, const rondo_context *ctx,
                               const rondo_batch *batch);
rondo_status rondo_execute(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* params.c */
static inline size_t rondo_layer_inputs(const rondo_plan *plan, int layer) {
  return (size_t)(layer == 0 ? plan->desc.layer.input_size : plan->desc.layer.hidden_size);
}

static inline size_t rondo_layer_params_offset(const rondo_plan *plan, int layer) {
  return layer == 0 ? 0 : plan->layer_params[0] + (size_t)(layer - 1) * plan->layer_params[1];
}

#endif
