/* internal.h - the objects behind the public handles, and what a backend provides.
 *
 * plan.c, context.c, execute.c, params.c and graph.c check arguments and resolve them; everything that differs between
 * backends is a function of rondo_backend_ops or rondo_algorithm_ops. Their rows are in reference.c, cpu/ and cuda/. */
#ifndef RONDO_INTERNAL_H
#define RONDO_INTERNAL_H

#include "rondo/rondo.h"

#include "arena.h"
#include "schedule.h"

typedef struct rondo_backend_ops rondo_backend_ops;
typedef struct rondo_algorithm_ops rondo_algorithm_ops;

enum { RONDO_GATES = 4 };             /* of an LSTM; the most that a cell has */
enum { RONDO_CALLER_ALIGNMENT = 64 }; /* bytes: of what the caller gives, the parameter block and the workspace */

struct rondo_context {
  rondo_context_desc desc; /* as given; threads at least 1 */
  const rondo_backend_ops *ops;
  int variant; /* what plans and parameter blocks depend on: the instruction set of the CPU, the GPU's ordinal */
  void *state; /* the backend's own */
  /* Host memory of the core for calls with lengths, a mask or slots; grows when a call needs more than before. */
  void *scratch; /* schedules */
  size_t scratch_bytes;
  uint32_t *stamps, stamp; /* (stamp_count): the call that has named a slot last */
  int stamp_count;
  char text[640]; /* room for a whole sentence: why CUDA is not used */
};

struct rondo_plan {
  rondo_plan_desc desc; /* as given; num_layers at least 1 */
  /* The layer of each direction, and the head, with every RONDO_DEFAULT and every alpha and beta resolved; go_backwards
   * says whether the direction reads backwards. input_size is that of layer 0. */
  rondo_layer direction[2], head;
  int directions;     /* D */
  int output_size[2]; /* O of each direction; 0 without a second one */
  int width;          /* columns of a layer's y in one row: O, or both when they stand beside each other */
  const rondo_backend_ops *ops;
  const rondo_algorithm_ops *algorithm;
  int variant;               /* of the context it was made with */
  int masks[2];              /* K of dropout, by direction; training */
  int chunk;                 /* timesteps whose x is brought in ahead of the recurrence at a time */
  int threads;               /* CPU: those that its workspace has room for, where each needs some of its own */
  size_t layer_params[2][2]; /* bytes of the parameter block: [first layer, those above][direction] */
  size_t head_params;
  size_t between_bytes;   /* one of up to two buffers (T, N, width) between layers */
  size_t last_bytes;      /* y_last ahead of the head: (N, width) */
  size_t layer_workspace; /* bytes the algorithm needs for a layer and direction, the most of all; with training for
                             forward and for backward */
  size_t layer_reserve[2][2], head_reserve; /* training: bytes it keeps of a pass, as layer_params */
  rondo_sizes sizes;
  char note[192]; /* the algorithm's part of text */
  char text[416];
};

/* The caller's workspace, carved (plan.c): buffers (T, N, width) between layers, which take turns, y_last ahead of the
 * head, and what the algorithm needs for one layer. */
typedef struct rondo_workspace {
  void *between[2];
  void *last;
  void *layer;
} rondo_workspace;

/* One layer and direction, or the head, with everything resolved. Distances are in floats. Rows are addressed by the
 * sequence n and the position p in the order in which the direction processes timesteps: row (n, p) of x begins at
 * x + n * x_sequence + p * x_timestep, and likewise y. Distances over time are negative where that order is not the
 * array's; the pointer is then at the last timestep. NULL outputs are not wanted, NULL states are zeros. */
typedef struct rondo_pass {
  const rondo_layer *layer; /* plan->direction[d] or plan->head; its sizes are not this layer's, those below are */
  const rondo_schedule *schedule; /* which positions are real; DENSE: all of them, whatever it says */
  int batch, timesteps, input_size, hidden_size, output_size;
  const void *params;
  const float *x;
  ptrdiff_t x_sequence, x_timestep;
  float *y; /* rows of output_size */
  ptrdiff_t y_sequence, y_timestep;
  float *y_last;
  ptrdiff_t y_last_stride;
  rondo_merge merge;       /* SUM, MUL, AVE: y and y_last already hold the other direction's; else they are written */
  int zero_y, zero_y_last; /* skipped steps give 0, to be merged like any other; else they repeat the output before */
  const float *h_0, *c_0;  /* row n of a state is n * stride floats on, or slots[n] * stride */
  float *h_n, *c_n;        /* may be h_0 and c_0 */
  ptrdiff_t h_stride, c_stride;
  const int32_t *slots;   /* host, or NULL */
  const uint8_t *restart; /* host, or NULL */
  const uint8_t *mask;    /* host, as in rondo_batch, for backends that make the positions themselves; or NULL */
  void *workspace;
  void *reserve; /* training: what backward will be given; NULL: forward only */
  /* Training with dropout: what x and h are multiplied by on the way to the gates, of the backend's memory, (N, K, F)
   * and (N, K, O) by sequence n; NULL: nothing. masks is K: 1, or one for each gate in the order of columns. */
  const float *input_mask, *recurrent_mask;
  int masks;
} rondo_pass;

/* Backward of a pass: gradients by its outputs (NULL: zeros), and where those by its inputs go (NULL: not wanted). A
 * head without dy and dx only writes zeros to dparams, or adds them: its x and reserve may never have been written. */
typedef struct rondo_gradient {
  rondo_pass pass; /* as it was run forward, but y, y_last, h_n and c_n may be NULL, and workspace is backward's */
  const float *dy; /* placed like y: row (n, p) at dy + n * dy_sequence + p * dy_timestep */
  ptrdiff_t dy_sequence, dy_timestep;
  const float *dy_last;
  ptrdiff_t dy_last_stride;
  const float *dh_n, *dc_n; /* placed like h_n and c_n */
  float *dx;                /* placed like x, but at its own distances; skipped steps get 0 */
  ptrdiff_t dx_sequence, dx_timestep;
  int add_dx; /* dx already holds the other direction's */
  float *dh_0, *dc_0;
  float *dparams; /* the layer's part, laid out as canonical.h says */
  int accumulate; /* add to dparams */
} rondo_gradient;

/* y = merge(a, b) for rows of `columns`; or backward: da, db from dy. In training a layer whose directions are merged
 * keeps both halves. */
typedef struct rondo_merge_args {
  rondo_merge merge; /* SUM, MUL, AVE */
  int batch, timesteps, columns;
  const float *a, *b;               /* (T, N, columns), dense */
  float *y;                         /* forward; backward: NULL */
  const float *dy;                  /* backward: NULL is zeros */
  ptrdiff_t y_sequence, y_timestep; /* of y, and of dy */
  float *da, *db;                   /* backward: (T, N, columns), dense */
} rondo_merge_args;

/* Where the factors of dropout come from. */
typedef struct rondo_dropout {
  float rate;
  uint64_t seed, sequence; /* of philox.h */
} rondo_dropout;

struct rondo_algorithm_ops {
  rondo_algorithm id;
  const char *name;
  int training_only; /* not for plans without training; for plans with it a row also needs backward or backward_layer */
  /* Fills chunk, layer_workspace and note (the reference: all of sizes.workspace), or refuses with a sentence. */
  rondo_status (*prepare)(rondo_plan *plan, const rondo_context *ctx);
  /* One layer; execute.c walks the layers. */
  rondo_status (*forward_layer)(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
  /* Optional, without training: both directions of a layer, which may run at once unless the second merges its y with
   * that of the first. Both passes have the same workspace: all that prepare has asked for. */
  rondo_status (*forward_directions)(const rondo_plan *plan, rondo_context *ctx, const rondo_pass passes[2]);
  /* Optional, for training plans: prepare has then filled layer_reserve and head_reserve, and forward_layer fills
   * pass->reserve. params of such plans are laid out as canonical.h says. */
  rondo_status (*backward_layer)(const rondo_plan *plan, rondo_context *ctx, const rondo_gradient *gradient);
  rondo_status (*merge)(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args);
  /* The whole call instead: the reference, which shares nothing with what it judges. */
  rondo_status (*forward)(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);
  rondo_status (*backward)(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);
  /* Optional, ahead of prepare: microseconds that the largest call may take. Of the rows that have it RONDO_AUTO takes
   * the quickest. */
  double (*predict)(const rondo_plan *plan, const rondo_context *ctx);
};

struct rondo_backend_ops {
  rondo_backend id;
  const char *name;
  int version;                           /* RONDO_MODULE_VERSION it was built with */
  const rondo_algorithm_ops *algorithms; /* in order of preference, but for what predict says */
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
  size_t (*params_bytes)(const rondo_plan *plan, const rondo_layer *layer, size_t inputs);
  rondo_status (*pack)(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs, void *to,
                       const rondo_weights *from);
  /* Optional: refuses a layer's parameters that were not packed for this plan. who and
   * index, the layer's: for the sentence. */
  rondo_status (*check_params)(const char *who, const rondo_plan *plan, const rondo_layer *layer, size_t inputs,
                               const void *params, int index);

  /* Optional, all four or none: what is enqueued between begin and end becomes a graph instead of running.
   * end is always called after begin; keep = 0 throws the recording away, and graph may then be NULL. */
  rondo_status (*capture_begin)(rondo_context *ctx);
  rondo_status (*capture_end)(rondo_context *ctx, int keep, void **graph);
  rondo_status (*graph_launch)(rondo_context *ctx, void *graph);
  void (*graph_destroy)(rondo_context *ctx, void *graph);

  /* Training helpers: arguments are checked, defaults filled in. */
  rondo_status (*sgd)(rondo_context *ctx, const rondo_sgd_args *args);
  rondo_status (*adam)(rondo_context *ctx, const rondo_adam_args *args);
  rondo_status (*clip_by_norm)(rondo_context *ctx, const rondo_clip_args *args);
  /* Optional: to[i] = (2 u - 1) * limit, u what philox.h makes of word i of the sequence. Else init.c draws. */
  rondo_status (*draw_uniform)(rondo_context *ctx, float *to, size_t count, float limit, uint64_t seed,
                               uint64_t sequence);
  /* Optional where memory is the host's, else required with training: what philox.h makes of word i is the factor
   * mask[i]; v[i] is multiplied by it. NULL: dropout.c does it. */
  rondo_status (*draw_mask)(rondo_context *ctx, float *mask, size_t count, const rondo_dropout *how);
  rondo_status (*drop)(rondo_context *ctx, float *v, size_t count, const rondo_dropout *how);
};

/* A kernel of the CUDA backend: launch takes the kernel's argument struct of src/kernels/kernels.h and a stream, and
 * returns a cudaError_t. */
typedef struct rondo_kernel {
  const char *name;
  int (*launch)(const void *args, struct CUstream_st *stream);
} rondo_kernel;

/* Grows whenever a struct of this header changes: librondo and librondo_cuda must agree. */
#define RONDO_MODULE_VERSION 4

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

/* check.c: is the plan for this context? who: the public function's name. */
rondo_status rondo_check_match(const char *who, const rondo_plan *plan, const rondo_context *ctx);

/* execute.c: rondo_forward without its checks. */
rondo_status rondo_execute(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* layer.c: checks a layer and fills direction, head, directions, output_size and width of the plan. */
rondo_status rondo_resolve_layer(rondo_plan *plan, const rondo_layer *layer);

/* training.c: forward that keeps what backward needs, and backward; without checks. */
size_t rondo_reserve_bytes(const rondo_plan *plan);
size_t rondo_training_workspace_bytes(const rondo_plan *plan);
rondo_status rondo_train_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);
rondo_status rondo_train_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* dropout.c: floats of a pass's masks; with training only. */
size_t rondo_mask_floats(const rondo_plan *plan, int index, int direction, size_t batch);
/* Gives a pass its masks: those of the batch, or drawn into `to`, which has room for them (draw) or holds them from the
 * forward call. */
rondo_status rondo_set_masks(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch, int index,
                             int direction, float *to, int draw, rondo_pass *pass);
/* Multiplies y of layer `index`, or the gradient by it, dense (T, N, width), by the factors of layer_dropout. */
rondo_status rondo_drop_between(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch, int index,
                                float *y);

/* Gates of a cell: rows of weights per unit. */
static inline int rondo_gates(const rondo_layer *layer) {
  static const int gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  return gates[layer->cell];
}

/* O of a layer. */
static inline int rondo_output_size(const rondo_layer *layer) {
  return layer->projection_size ? layer->projection_size : layer->hidden_size;
}

/* The wider of the directions: a row of a dense c has so many columns, and one of a dense h. */
static inline size_t rondo_widest_hidden(const rondo_plan *plan) {
  int first = plan->direction[0].hidden_size, second = plan->directions == 2 ? plan->direction[1].hidden_size : 0;
  return (size_t)(first > second ? first : second);
}

static inline size_t rondo_widest_output(const rondo_plan *plan) {
  return (size_t)(plan->output_size[0] > plan->output_size[1] ? plan->output_size[0] : plan->output_size[1]);
}

/* Layers are numbered 0..L-1; L is the head. */
static inline size_t rondo_layer_inputs(const rondo_plan *plan, int index) {
  return (size_t)(index == 0 ? plan->desc.layer.input_size : plan->width);
}

static inline const rondo_layer *rondo_layer_at(const rondo_plan *plan, int index, int direction) {
  return index == plan->desc.layer.num_layers ? &plan->head : &plan->direction[direction];
}

static inline size_t rondo_params_offset(const rondo_plan *plan, int index, int direction) {
  const size_t(*bytes)[2] = plan->layer_params;
  size_t below = index == 0 ? 0 : bytes[0][0] + bytes[0][1] + (size_t)(index - 1) * (bytes[1][0] + bytes[1][1]);
  return below + (direction ? bytes[index > 0][0] : 0);
}

#endif
