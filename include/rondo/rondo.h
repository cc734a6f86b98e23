/*
 * rondo.h - recurrent layers (LSTM, GRU, simple RNN) for CUDA GPUs and for CPUs, with Keras's semantics.
 *
 * This header is the manual; read it from top to bottom. In five sentences:
 *
 *   A CONTEXT says where work runs (a CPU, a GPU and its stream, the reference) and belongs to one thread at a time.
 *   A PLAN says what is computed and how large it may get; it never changes, so all threads may share it.
 *   rondo_pack turns a framework's weight arrays into the plan's parameter block; one block serves every plan of the
 *   same layer, backend and weight type.
 *   rondo_forward computes a BATCH: you ask for an output by passing its pointer.
 *   Everything that can fail returns a rondo_status; rondo_last_error() then holds one sentence that says why.
 *
 * Letters used for sizes: N batch (sequences), T timesteps, C input_size, H hidden_size (Keras: units), L num_layers,
 * D directions (1; 2 when bidirectional), G gates (4 for an LSTM). Shapes are row-major, written as (N, T, C).
 * Gates stand in the order i, f, g, o (Keras calls g the candidate, "c").
 *
 * An LSTM step, with sigmoid s(a) = 1 / (1 + exp(-a)), "*" elementwise, "@" the matrix product
 * (Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000; keras.layers.LSTM, implementation 2):
 *
 *     i = s(x_t @ W_i + h_(t-1) @ R_i + b_i)         f = s(x_t @ W_f + h_(t-1) @ R_f + b_f)
 *     g = tanh(x_t @ W_g + h_(t-1) @ R_g + b_g)      o = s(x_t @ W_o + h_(t-1) @ R_o + b_o)
 *     c_t = f * c_(t-1) + i * g                      h_t = o * tanh(c_t)
 *
 * Zero is a working default for every struct field not marked "required", so designated initialisers are enough:
 *
 *     rondo_plan_desc desc = {.layer = {.input_size = 28, .hidden_size = 128}, .max_batch = 1, .max_timesteps = 28};
 *
 * Fields and enumerators marked "not offered yet" keep their place for coming versions; any value but zero gives
 * RONDO_UNSUPPORTED and a sentence. The library never prints, exits, aborts, reads the environment, or allocates memory
 * inside rondo_forward; what cuBLAS may do on the first call of a size is told there.
 */
#ifndef RONDO_RONDO_H
#define RONDO_RONDO_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define RONDO_API __attribute__((visibility("default")))
#else
#define RONDO_API
#endif

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 1
#define RONDO_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Status ------------------------------------------------------------------------------------------------------ */

typedef enum rondo_status {
  RONDO_OK = 0,
  RONDO_INVALID_ARGUMENT, /* the caller's mistake; the sentence names argument, value and what was expected */
  RONDO_UNSUPPORTED,      /* a legal request that this version, backend or algorithm does not offer */
  RONDO_OUT_OF_MEMORY,    /* of the host or of the device */
  RONDO_DEVICE_ERROR,     /* CUDA or cuBLAS failed; the sentence has their own name for it */
  RONDO_BAD_FILE,         /* a file from outside is damaged (file readers: not offered yet) */
  RONDO_UNAVAILABLE       /* the backend cannot run here: no module, no driver, no GPU */
} rondo_status;

/* "RONDO_OK", "RONDO_INVALID_ARGUMENT", ...; "unknown rondo_status" for any other number. Never NULL. Any thread. */
RONDO_API const char *rondo_status_name(rondo_status status);

/* The sentence of this thread's last failed call, "" before any. It stays until the thread's next failure (a success
 * leaves it alone) and must not be freed. Never NULL. */
RONDO_API const char *rondo_last_error(void);

/* "0.1.0": the version of the library that runs, which may be newer than RONDO_VERSION_* of this header. Any thread. */
RONDO_API const char *rondo_version(void);

/* ---- Context: where work runs ------------------------------------------------------------------------------------ */

typedef enum rondo_backend {
  RONDO_BACKEND_AUTO = 0, /* CUDA if it works here, else the CPU; rondo_context_text says which and why. Where there
                             are GPUs, a device that is not among them is a mistake, not a reason for the CPU */
  RONDO_CPU,              /* the fast CPU path; memory is host memory */
  RONDO_CUDA,             /* a GPU; memory is device memory; needs librondo_cuda beside librondo, or linked in */
  RONDO_REFERENCE         /* plain loops over the formulas above with sums in double: slow, and right; host memory */
} rondo_backend;

/* Instruction sets of the CPU backend. Results are equal bit for bit on all x86-64 machines that use the same one;
 * there subnormal numbers, given or computed, count as zero. */
typedef enum rondo_isa {
  RONDO_ISA_BEST = 0, /* whatever the machine has */
  RONDO_ISA_PORTABLE, /* C alone */
  RONDO_ISA_AVX2,     /* AVX2 and FMA */
  RONDO_ISA_AVX512    /* AVX-512 F, BW, DQ and VL */
} rondo_isa;

struct CUstream_st; /* cudaStream_t is a pointer to it; so no CUDA header is needed here */

typedef struct rondo_context_desc {
  rondo_backend backend;
  int device;                 /* CUDA: the ordinal of the GPU. Every call puts the thread's current device back */
  struct CUstream_st *stream; /* CUDA: a cudaStream_t, borrowed while the context lives; NULL: the default stream */
  int threads;                /* CPU: how many threads compute, the caller's included; 0 and 1: the caller's alone */
  rondo_isa max_isa;          /* CPU: use nothing newer; the best the machine has within this limit is taken */
} rondo_context_desc;

/* One thread at a time may use a context (any thread; not two at once); make as many contexts as you like. A context
 * does not survive fork(): the child must neither use nor destroy it, and makes its own. */
typedef struct rondo_context rondo_context;

/* Makes a context and, on the CPU, starts its threads - 1 worker threads, which sleep between calls.
 * ctx: receives it; NULL after a failure. desc: NULL means all zeros. Destroy the context with rondo_context_destroy.
 * Fails with INVALID_ARGUMENT, UNAVAILABLE (CUDA only), OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_context_create(rondo_context **ctx, const rondo_context_desc *desc);

/* Ends the context. Work that it put on a stream must be done (rondo_synchronize). NULL is fine, here and in every
 * other destroy. Plans, parameters and memory stay good. */
RONDO_API void rondo_context_destroy(rondo_context *ctx);

/* The backend in use, never AUTO; RONDO_BACKEND_AUTO for a NULL context. */
RONDO_API rondo_backend rondo_context_backend(const rondo_context *ctx);

/* One line for people: "cpu avx512, 2 threads (cuda not used: ...)", "cuda device 0, NVIDIA H100 (sm_90)".
 * Belongs to the context. "" for NULL. */
RONDO_API const char *rondo_context_text(const rondo_context *ctx);

/* Waits until all work of the context's stream is done. CUDA errors of enqueued work surface here, as DEVICE_ERROR.
 * Returns at once on the CPU and the reference, whose calls are done when they return. Do not call it while the stream
 * is being captured. Fails with INVALID_ARGUMENT; on CUDA also with OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_synchronize(rondo_context *ctx);

/* Memory of the context's backend, aligned to 64 bytes or better, not cleared. A convenience: any memory will do that
 * the backend can reach (aligned_alloc, cudaMalloc, cudaMallocManaged, ...). NULL on failure, with the sentence set.
 * Release it with rondo_free, with this context or another of the same backend and device. 0 bytes is a failure. */
RONDO_API void *rondo_alloc(rondo_context *ctx, size_t bytes);
RONDO_API void rondo_free(rondo_context *ctx, void *pointer);

/* Copies bytes between host and backend memory, in either direction, after all earlier work of the context. It has
 * happened when the call returns, so do not call it while the stream is being captured.
 * Fails with INVALID_ARGUMENT; on CUDA also with OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_copy(rondo_context *ctx, void *to, const void *from, size_t bytes);

/* ---- Plan: what is computed, and how large it may get ------------------------------------------------------------ */

typedef enum rondo_cell {
  RONDO_LSTM = 0,
  RONDO_GRU, /* not offered yet */
  RONDO_RNN  /* not offered yet */
} rondo_cell;

typedef enum rondo_layout {
  RONDO_BATCH_MAJOR = 0, /* x (N, T, C), y (N, T, D*H): Keras, PyTorch's batch_first */
  RONDO_TIME_MAJOR       /* x (T, N, C), y (T, N, D*H): PyTorch, ONNX, cuDNN */
} rondo_layout;

typedef enum rondo_dtype {
  RONDO_F32 = 0,
  RONDO_F16, /* not offered yet */
  RONDO_BF16 /* not offered yet */
} rondo_dtype;

typedef enum rondo_algorithm {
  RONDO_AUTO = 0,
  RONDO_STEPWISE,  /* reference, CUDA: one product [h, x] @ [R; W] per timestep for the whole batch */
  RONDO_HOISTED,   /* CPU: x @ W for many timesteps ahead, then h @ R per timestep (CUDA: not offered yet) */
  RONDO_PERSISTENT /* not offered yet */
} rondo_algorithm;

typedef enum rondo_activation {
  RONDO_DEFAULT = 0, /* Keras's defaults: tanh for activation, sigmoid for recurrent_activation */
  RONDO_TANH,
  RONDO_SIGMOID,
  RONDO_HARD_SIGMOID, /* not offered yet */
  RONDO_RELU,         /* not offered yet */
  RONDO_LINEAR        /* not offered yet */
} rondo_activation;

/* A layer in Keras's words; PyTorch's where Keras has none. */
typedef struct rondo_layer {
  rondo_cell cell;
  int input_size;           /* required: C */
  int hidden_size;          /* required: H, Keras's units */
  int num_layers;           /* L layers of this kind on top of each other, the upper ones with H inputs; 0 means 1 */
  int bidirectional;        /* not offered yet */
  int go_backwards;         /* every layer reads its input from the last timestep to the first, and y is in the order of
                               processing, as Keras has it: y[0] belongs to the last timestep of x */
  int no_bias;              /* Keras's use_bias=False */
  int reset_before;         /* GRU: Keras's reset_after=False; must be 0 for an LSTM */
  int zero_output_for_mask; /* not offered yet (there are no masks yet) */
  rondo_activation activation, recurrent_activation; /* so far only tanh and sigmoid, in this order, or RONDO_DEFAULT */
  float dropout, recurrent_dropout; /* not offered yet; for inference leave them 0, as Keras ignores them there */
} rondo_layer;

typedef struct rondo_plan_desc {
  rondo_layer layer;
  int max_batch, max_timesteps; /* required; every smaller call may use the plan too */
  int training;                 /* not offered yet; 0: forward only */
  rondo_layout layout;          /* of x and y; see also the strides of rondo_batch */
  rondo_dtype weights;          /* how the parameter block holds weights; x, y, h, c and all sums are float */
  rondo_algorithm algorithm;    /* AUTO: the first of the backend's that fits; another one: that or RONDO_UNSUPPORTED */
  int allow_tf32;               /* CUDA: products may round their inputs to TF32 (10 bits) on tensor cores. Other
                                   backends compute in full float in any case */
} rondo_plan_desc;

/* Bytes that the caller provides. Everything is at its largest: max_batch, max_timesteps. */
typedef struct rondo_sizes {
  size_t params;    /* the parameter block */
  size_t workspace; /* scratch of one call */
  size_t reserve;   /* what a training forward keeps for backward: 0 */
  size_t state;     /* dense h_n, or c_n: (L*D, max_batch, H) floats */
} rondo_sizes;

/* Read-only after creation: any thread may use one at any time, with every context of the same backend, instruction
 * set and device as the context it was made with, which need not live as long. */
typedef struct rondo_plan rondo_plan;

/* Makes a plan. plan: receives it; NULL after a failure. Destroy it with rondo_plan_destroy, after the last call and
 * the last graph that uses it. Touches no device memory, so it may be called while a stream is captured.
 * Fails with INVALID_ARGUMENT (also for sizes whose products do not fit size_t), UNSUPPORTED, OUT_OF_MEMORY. */
RONDO_API rondo_status rondo_plan_create(rondo_plan **plan, rondo_context *ctx, const rondo_plan_desc *desc);
RONDO_API void rondo_plan_destroy(rondo_plan *plan);

/* Belongs to the plan; NULL for NULL. */
RONDO_API const rondo_sizes *rondo_plan_sizes(const rondo_plan *plan);

/* One line for people: what was chosen, for what, with what.
 * "cpu/hoisted lstm:n64t100c39h512 f32, avx512 16 lanes, 6 rows x 4 gates, x 4 steps ahead, workspace 2440 KiB"
 * Belongs to the plan; "" for NULL. */
RONDO_API const char *rondo_plan_text(const rondo_plan *plan);

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

/* The order in which a framework lays out weights (F the inputs of the layer: C, or H above the first layer). */
typedef enum rondo_format {
  RONDO_KERAS = 0, /* kernel (F, 4H), recurrent_kernel (H, 4H), bias (4H); gates i, f, g, o */
  RONDO_PYTORCH,   /* weight_ih (4H, F), weight_hh (4H, H), bias_ih (4H), bias_hh (4H); gates i, f, g, o */
  RONDO_ONNX,      /* W (4H, F), R (4H, H), B as two halves Wb (4H), Rb (4H); gates i, o, f, g */
  RONDO_CUDNN      /* as RONDO_PYTORCH: the matrices of linear layers 0..3 and 4..7, one after another */
} rondo_format;

/* Weights of one layer and direction, as host arrays in the framework's order. */
typedef struct rondo_weights {
  rondo_format format;
  int layer;                     /* 0 is the one that reads x */
  int direction;                 /* 0; 1 only in a bidirectional plan (not offered yet) */
  const float *kernel;           /* required; PyTorch weight_ih, ONNX W */
  const float *recurrent_kernel; /* required; PyTorch weight_hh, ONNX R */
  const float *bias;             /* PyTorch bias_ih, ONNX B; NULL: zeros. Must be NULL when the layer has no_bias */
  const float *recurrent_bias;   /* PyTorch bias_hh, ONNX B + 4H; NULL: zeros. An LSTM adds the two */
} rondo_weights;

/* Writes the weights of one layer into the parameter block; call it once for every layer.
 *
 * params: rondo_plan_sizes()->params bytes of the backend's memory, aligned to 64 bytes. The arrays in weights are host
 * memory and may go when the call returns; it waits for the device, so do not call it while a stream is captured.
 * The block fits every plan with the same layer sizes, num_layers, weight type, backend, instruction set and device,
 * whatever its batch, timesteps, layout and algorithm: pack once, share it between threads. On the CPU each layer's
 * part begins with a small header that rondo_forward checks; on CUDA and the reference a wrong block cannot be noticed.
 * Fails with INVALID_ARGUMENT; on CUDA also with OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_pack(const rondo_plan *plan, rondo_context *ctx, void *params,
                                  const rondo_weights *weights);

/* ---- Batch: one call --------------------------------------------------------------------------------------------- */

/* Distances in elements. 0 means dense in the plan's layout; those of arrays that are NULL are not looked at. Rows may
 * have gaps; rows of x may also overlap or repeat (a window sliding over a signal), rows of y must not. Element
 * (n, t, j) is at n * sequence + t * timestep + j. */
typedef struct rondo_strides {
  size_t sequence; /* from a row of sequence n to that of sequence n + 1 at the same timestep */
  size_t timestep; /* from a row of timestep t to that of timestep t + 1 of the same sequence */
} rondo_strides;

/* Everything one call reads and writes. Pointers are memory of the context's backend and hold floats, but for lengths,
 * mask, slots and restart (host). At least one of y, y_last, h_n and c_n is required. No output may share memory with
 * another field, except h_n with h_0 and c_n with c_0, which update the state in place. The library keeps no pointer
 * after the call, but on CUDA all of them are used until the stream has come past it. */
typedef struct rondo_batch {
  int batch, timesteps;   /* required: N in 1..max_batch, T in 1..max_timesteps */
  const int32_t *lengths; /* not offered yet: (N), each 0..timesteps; NULL: all full */
  const uint8_t *mask;    /* not offered yet: (N, T), nonzero: a real step */
  const int32_t *slots;   /* not offered yet: (N), row n's state lives in row slots[n] of a pool */
  const uint8_t *restart; /* not offered yet: (N), nonzero: row n starts from zeros */
  const void *params;     /* required: from rondo_pack; aligned to 64 bytes */
  const void *x;          /* required: (N, T, C), or (T, N, C) when time-major */
  const void *h_0, *c_0;  /* initial state (L*D, N, H); NULL: zeros */
  void *y;                /* h of every timestep of the last layer, (N, T, D*H) or (T, N, D*H): return_sequences=True */
  void *y_last;           /* h of the last timestep processed, last layer, (N, D*H): return_sequences=False */
  void *h_n, *c_n;        /* state after the last timestep of every layer, (L*D, N, H): return_state=True */
  void *workspace;        /* required if sizes.workspace is not 0: aligned to 64 bytes; not shared by calls in flight */
  void *reserve;          /* not offered yet (training) */
  rondo_strides x_strides, y_strides;
  size_t y_last_stride; /* from row n to row n + 1 of y_last; 0: D*H */
  size_t state_stride;  /* from row n to row n + 1 of h_0, c_0, h_n and c_n; 0: H. Layers are N such rows apart */
  uint64_t seed;        /* not used yet (dropout) */
  const void *dy, *dy_last, *dh_n, *dc_n; /* backward only, from here on; not used yet */
  void *dx, *dparams, *dh_0, *dc_0;
  int accumulate;
} rondo_batch;

/* Computes the layers for N sequences of T timesteps.
 *
 * CPU, reference: done when it returns. CUDA: enqueued on the context's stream; nothing is waited for or allocated, and
 * a stream that is being captured captures it. On CUDA the first call of a new size may make cuBLAS load its kernels,
 * which can allocate and wait: run each size once first. Calls may go to one plan from many threads, each with its own
 * context and workspace. To stream, pass timesteps = 1 with h_n = h_0 and c_n = c_0, as often as samples come.
 *
 * Same bits: on the CPU a sequence's results do not depend on the rest of the batch, on its place there, on threads,
 * or on whether it came in one call or in pieces with carried state. On CUDA the same call gives the same bits on the
 * same GPU. NaN and infinities stay in the sequence they came in.
 *
 * Fails with INVALID_ARGUMENT or UNSUPPORTED, and then has written nothing; with DEVICE_ERROR outputs are undefined. */
RONDO_API rondo_status rondo_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* Gradients of the last rondo_forward of a training plan. Not offered yet: always RONDO_UNSUPPORTED. */
RONDO_API rondo_status rondo_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* ---- Graph: one call, frozen ------------------------------------------------------------------------------------- */

/* A call with its pointers and sizes fixed, for many cheap launches: on CUDA a CUDA graph (one launch in place of two
 * per timestep), elsewhere a remembered rondo_batch. The memory behind the pointers may change between launches. */
typedef struct rondo_graph rondo_graph;

/* Checks the batch as rondo_forward does and freezes it; computes nothing. graph: receives it; NULL after a failure.
 * plan and ctx must outlive the graph. On CUDA the stream itself is not touched, so it may be the default stream.
 * Launches use the batch's workspace: no other call that uses it may be in flight then.
 * Fails as rondo_forward does, and with OUT_OF_MEMORY. */
RONDO_API rondo_status rondo_graph_create(rondo_graph **graph, const rondo_plan *plan, rondo_context *ctx,
                                          const rondo_batch *batch);

/* Runs it on ctx, the context it was made with. As rondo_forward: enqueued on CUDA, done on the CPU.
 * Fails with INVALID_ARGUMENT; on CUDA also with OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_graph_launch(rondo_graph *graph, rondo_context *ctx);

/* Its launches must be done (rondo_synchronize). */
RONDO_API void rondo_graph_destroy(rondo_graph *graph);

#ifdef __cplusplus
}
#endif

#endif
