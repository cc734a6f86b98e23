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
 * Letters used for sizes: N batch (sequences), T timesteps, C input_size, H hidden_size (Keras: units), L
 * num_layers, D directions (1; 2 when bidirectional), G gates (LSTM 4, GRU 3, RNN 1), O columns of h (H, or
 * projection_size). Shapes are row-major, written as (N, T, C). Gates stand in the order i, f, g, o (Keras calls g
 * the candidate, "c"); of a GRU z, r, h.
 *
 * An LSTM step, with sigmoid s(a) = 1 / (1 + exp(-a)), "*" elementwise, "@" the matrix product (Hochreiter &
 * Schmidhuber 1997 with the forget gate of Gers et al. 2000; keras.layers.LSTM, implementation 2):
 *
 *     i = s(x_t @ W_i + h_(t-1) @ R_i + b_i)         f = s(x_t @ W_f + h_(t-1) @ R_f + b_f)
 *     g = tanh(x_t @ W_g + h_(t-1) @ R_g + b_g)      o = s(x_t @ W_o + h_(t-1) @ R_o + b_o)
 *     c_t = f * c_(t-1) + i * g                      h_t = o * tanh(c_t)
 *
 * A GRU step (Cho et al. 2014; keras.layers.GRU with reset_after, which is PyTorch's and cuDNN's too):
 *
 *     z = s(x_t @ W_z + h_(t-1) @ R_z + b_z)         r = s(x_t @ W_r + h_(t-1) @ R_r + b_r)
 *     n = tanh(x_t @ W_h + b_h + r * (h_(t-1) @ R_h + rb_h))
 *     h_t = z * h_(t-1) + (1 - z) * n                with reset_before: n = tanh(x_t @ W_h + b_h + (r * h_(t-1)) @ R_h)
 *
 * A simple RNN step (Elman 1990; keras.layers.SimpleRNN): h_t = tanh(x_t @ W + h_(t-1) @ R + b).
 *
 * Zero is a working default for every struct field not marked "required", so designated initialisers are enough:
 *
 *     rondo_plan_desc desc = {.layer = {.input_size = 28, .hidden_size = 128}, .max_batch = 1, .max_timesteps = 28};
 *
 * Fields and enumerators marked "not offered yet" keep their place for coming versions; any value but zero gives
 * RONDO_UNSUPPORTED and a sentence. The library never prints, exits, aborts, reads the environment, or allocates
 * memory inside rondo_forward; what cuBLAS may do on the first call of a size, and a context on its first call with
 * lengths, a mask or slots, is told there. */
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
  RONDO_ISA_BEST = 0,    /* whatever the machine has */
  RONDO_ISA_PORTABLE,    /* C alone */
  RONDO_ISA_AVX2,        /* AVX2, FMA and F16C */
  RONDO_ISA_AVX512,      /* AVX-512 F, BW, DQ and VL; for RONDO_INT8 VNNI where there is that, with the same bits */
  RONDO_ISA_AVX512_BF16, /* and BF16, for weights RONDO_BF16: x and h are rounded to it on the way into products. All
                            else is as with RONDO_ISA_AVX512, bit for bit */
  RONDO_ISA_AMX          /* and AMX (tiles) with BF16, for weights RONDO_BF16: rounded likewise, and added up in another
                            order. All else is as with RONDO_ISA_AVX512_BF16, bit for bit.

                            rondo_context_create asks the system for the process's permission to use tiles (on Linux
                            arch_prctl, ARCH_REQ_XCOMP_PERM), unless max_isa is less. From then on the process's signal
                            frames may be 8 KiB larger, and sigaltstack refuses stacks that are too small for them
                            (getauxval(AT_MINSIGSTKSZ) has the size). If the system refuses, for want of AMX or because
                            of such a stack, the next lower instruction set is taken */
} rondo_isa;

struct CUstream_st; /* cudaStream_t is a pointer to it; so no CUDA header is needed here */

/* How the CPU backend borrows threads from a program that has some, in place of its own. Called on the thread that
 * calls rondo_forward, rondo_backward or rondo_graph_launch, and within these alone, once or more for each layer that
 * has work for several threads. It runs task(context, i) once for each i in 0..parts-1, each on a thread of its own, of
 * which the calling one may be one, and returns when all that have begun have returned and what they wrote is there for
 * the calling thread to see. pool: of rondo_context_desc. With OpenMP:
 *
 *     static void borrow(void *pool, int parts, rondo_task *task, void *context) {
 *       #pragma omp parallel num_threads(parts)
 *       task(context, omp_get_thread_num());
 *     }
 *
 * Parts work together and wait for each other, so they should begin together. Those work that have come when all have,
 * or when no other has come for 100 us. One that comes later returns at once, and one that cannot be started is left
 * out. So a pool that is busy, or smaller, or runs one part after another, costs time; but nothing hangs, and the bits
 * of the result are the same. No part may begin twice, and none once the function has returned.
 *
 * A part needs less than 64 KiB of stack, leaves its thread's floating-point mode as it was, and must not be cancelled.
 * Contexts may share a pool if the function may be called by several threads at once. A thread of the pool may itself
 * use a context if the function does not wait for parts that nobody is free to begin: it runs them itself or drops
 * them. */
typedef void rondo_task(void *context, int part);
typedef void rondo_parallel_for(void *pool, int parts, rondo_task *task, void *context);

typedef struct rondo_context_desc {
  rondo_backend backend;
  int device;                 /* CUDA: the ordinal of the GPU. Every call puts the thread's current device back */
  struct CUstream_st *stream; /* CUDA: a cudaStream_t, borrowed while the context lives; NULL: the default stream */
  int threads;                /* CPU: how many threads compute, the caller's included; 0 and 1: the caller's alone */
  rondo_isa max_isa;          /* CPU: use nothing newer; the best the machine has within this limit is taken */
  rondo_parallel_for *parallel_for; /* CPU: threads are borrowed from the program, at most as many parts as `threads`,
                                       which is then required; NULL: the context starts its own */
  void *pool;                       /* passed on to parallel_for, borrowed while the context lives */
} rondo_context_desc;

/* One thread at a time may use a context (any thread; not two at once); make as many contexts as you like. A context
 * of a GPU or with threads of its own does not survive fork(): the child must neither use nor destroy it, and makes its
 * own. Any other one the child may use and destroy, too, if it was in no call at the time and its pool survives. */
typedef struct rondo_context rondo_context;

/* Makes a context and, on the CPU without parallel_for, starts threads - 1 worker threads, which sleep between calls.
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
 * the backend can reach (aligned_alloc, cudaMalloc, cudaMallocManaged, ...). Host memory of 2 MiB and more begins at a
 * multiple of that, and the system is asked for pages of 2 MiB (madvise), which large weights are read from faster;
 * where it has none to give, pages are small. NULL on failure, with the sentence set.
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
  RONDO_GRU,
  RONDO_RNN,  /* Keras's SimpleRNN */
  RONDO_DENSE /* no recurrence: y = activation(x @ kernel + bias) for every row, H its units; there is no state */
} rondo_cell;

typedef enum rondo_layout {
  RONDO_BATCH_MAJOR = 0, /* x (N, T, C), y (N, T, D*H): Keras, PyTorch's batch_first */
  RONDO_TIME_MAJOR       /* x (T, N, C), y (T, N, D*H): PyTorch, ONNX, cuDNN */
} rondo_layout;

/* RONDO_INT8 keeps a column of weights, those of one gate of one unit in one matrix, as levels of -127..127 times a
 * float, the largest of their sizes / 127. Whatever is multiplied by them is rounded in the same way, row by row: x, h,
 * what a projection or a head is given, r * h with reset_before. A level is the nearest, of two the even one; of a row,
 * as the CPU rounds it in float, either of two where both are as near to 2^-16 of a level. A row or column of which no
 * number reaches 2^-100 counts as zeros; a row with one that is not finite gives NaN, in that sequence alone. Sums of
 * products are then integers and exact; biases, peepholes, layer_norm, states and all else are float. A row is rounded
 * by its own numbers, so results depend on nothing else. The largest number of a row times that of a column must not
 * pass 5e42, or sums may become infinite or NaN.
 *
 * Rounding costs accuracy: on a model of speech y keeps 37 dB (with RONDO_BF16 it has 52, with RONDO_F16 72), and one
 * of 320 decisions changes, that of a frame whose probability is 0.5045. */
typedef enum rondo_dtype {
  RONDO_F32 = 0,
  RONDO_F16,  /* IEEE 754's binary16: 11 significant bits, up to 65504 */
  RONDO_BF16, /* the upper half of a float: 8 significant bits */
  RONDO_INT8  /* 8 bits and a scale; CPU and reference, up to 132104 inputs and units */
} rondo_dtype;

typedef enum rondo_algorithm {
  RONDO_AUTO = 0,
  RONDO_STEPWISE,  /* reference, CUDA: one product [h, x] @ [R; W] per timestep for the whole batch; CPU: training */
  RONDO_HOISTED,   /* x @ W for many timesteps ahead, then h @ R per timestep. CPU: not for training; CUDA: in training
                      not with recompute, layer_norm or recurrent_dropout */
  RONDO_PERSISTENT /* not offered yet */
} rondo_algorithm;

/* With a for alpha, b for beta, and their defaults. */
typedef enum rondo_activation {
  RONDO_DEFAULT = 0, /* the place's own: see rondo_layer */
  RONDO_TANH,
  RONDO_SIGMOID,          /* 1 / (1 + e^-v) */
  RONDO_HARD_SIGMOID,     /* a v + b within 0..1; 1/6, 1/2 as in Keras 3. Keras 2 and ONNX: 0.2, 0.5 */
  RONDO_RELU,             /* max(v, 0) */
  RONDO_LINEAR,           /* v */
  RONDO_SOFTSIGN,         /* v / (1 + |v|) */
  RONDO_SOFTPLUS,         /* log(1 + e^v) */
  RONDO_ELU,              /* v, or a (e^v - 1) below 0; 1 */
  RONDO_SELU,             /* 1.0507009873554805 elu(v) with a = 1.6732632423543772 */
  RONDO_EXPONENTIAL,      /* e^v */
  RONDO_SILU,             /* v sigmoid(v), also called swish */
  RONDO_GELU,             /* v (1 + erf(v / sqrt 2)) / 2 */
  RONDO_LEAKY_RELU,       /* v, or a v below 0; 0.2 as in Keras 3. ONNX: 0.01 */
  RONDO_RELU6,            /* v within 0..6 */
  RONDO_MISH,             /* v tanh(log(1 + e^v)) */
  RONDO_HARD_SILU,        /* v times v / 6 + 1/2 within 0..1 */
  RONDO_HARD_TANH,        /* v within -1..1 */
  RONDO_LOG_SIGMOID,      /* -log(1 + e^-v) */
  RONDO_AFFINE,           /* a v + b; 1, 0 */
  RONDO_THRESHOLDED_RELU, /* v, or 0 up to a; 1 */
  RONDO_SCALED_TANH,      /* a tanh(b v); 1, 1 */
  RONDO_CELU,             /* v, or a (e^(v / a) - 1) below 0; 1. a > 0 here and in the next three */
  RONDO_SQUAREPLUS,       /* (v + sqrt(v^2 + a)) / 2; 4 */
  RONDO_SOFT_SHRINK,      /* v - a above a, v + a below -a, else 0; 0.5 */
  RONDO_HARD_SHRINK,      /* v, or 0 within -a..a; 0.5 */
  RONDO_TANH_SHRINK,      /* v - tanh(v) */
  RONDO_THRESHOLD,        /* v, or b up to a; 0, 0: Keras has no defaults */
  RONDO_SPARSE_PLUS,      /* v, or (v + 1)^2 / 4 within -1..1, or 0 below */
  RONDO_SPARSE_SIGMOID,   /* (v + 1) / 2 within 0..1 */
  RONDO_SOFTMAX           /* e^v over their sum in the row: RONDO_DENSE only */
} rondo_activation;

typedef struct rondo_function {
  rondo_activation kind;
  float alpha, beta; /* both 0: the defaults of the kind */
} rondo_function;

/* What becomes of the two directions' outputs, O columns each. */
typedef enum rondo_merge {
  RONDO_CONCAT = 0, /* beside each other: 2*O columns */
  RONDO_SUM,
  RONDO_MUL,
  RONDO_AVE,     /* (a + b) / 2 */
  RONDO_SEPARATE /* Keras's merge_mode=None: two tensors, y (2, N, T, O) and y_last (2, N, O) */
} rondo_merge;

/* A layer in Keras's words; PyTorch's where Keras has none. */
typedef struct rondo_layer {
  rondo_cell cell;
  int input_size;           /* required: C */
  int hidden_size;          /* required: H, Keras's units */
  int num_layers;           /* L layers of this kind on top of each other, the upper ones reading y of the one below;
                               0 means 1 */
  int bidirectional;        /* a second set of weights reads from the last timestep to the first; its y is put back
                               into the order of x */
  int go_backwards;         /* every layer reads its input from the last timestep to the first, and y is in the order of
                               processing, as Keras has it: y[0] belongs to the last timestep of x. With bidirectional
                               the two directions change places, as in Keras */
  int no_bias;              /* Keras's use_bias=False */
  int reset_before;         /* GRU: Keras's reset_after=False, ONNX's linear_before_reset=0 */
  int zero_output_for_mask; /* y of skipped steps is 0 instead of the output before them; see rondo_batch.mask */
  rondo_function activation, recurrent_activation; /* tanh and sigmoid; RONDO_DENSE: activation, linear */

  /* Training plans; others take no notice, as in Keras. A sequence's x, or its h on the way to the gates, is multiplied
   * by masks that are the same at all timesteps: for each column 0 with this probability, else 1 / (1 - rate) (Gal &
   * Ghahramani 2016). With recurrent_dropout K = G masks, one for each gate, of x too; without it K = 1: all gates
   * share one (what Keras does by itself, too). Each in [0, 1); not for RONDO_DENSE. */
  float dropout, recurrent_dropout;

  /* Bidirectional. backward_layer: NULL: as the forward one; else cell, hidden_size, no_bias, reset_before,
   * functions and options of the second direction come from here (Keras's backward_layer), but layer_dropout. It is
   * read at rondo_plan_create only. With another output size it is for CONCAT and SEPARATE, whose two tensors then
   * both have the longer rows. */
  rondo_merge merge;
  const struct rondo_layer *backward_layer;
  int time_order; /* with go_backwards: y[t] belongs to x[t] (ONNX's direction=reverse) */

  /* Options of single cells. */
  rondo_function output_activation; /* LSTM: of c on its way to h; as activation */
  int peephole;                     /* LSTM: the old c weighs in on i and f, the new one on o (ONNX's P) */
  int projection_size;              /* LSTM: h is projected to O columns (PyTorch's proj_size); 0: none, O is H */
  int input_forget;                 /* LSTM: f = 1 - i (ONNX's input_forget, CIFG); the sum of f has no effect */
  float cell_clip;                  /* LSTM: c within -cell_clip..cell_clip; 0: anywhere */
  float clip;                       /* the gates' activations are given -clip..clip (ONNX's clip); 0: anything */

  /* LSTM, GRU with reset after: x @ kernel and h @ recurrent_kernel, and an LSTM's c on its way to h, are normalised
   * over their row: (v - mean) / sqrt(variance + 1e-5) * gamma, + beta for c (layer normalisation, Ba et al. 2016). */
  int layer_norm;

  /* h, and an LSTM's c, = rate * old + (1 - rate) * new: what zoneout (Krueger et al. 2016) expects, for inference. */
  float zoneout, zoneout_cell;

  /* A Dense layer on top, which y and y_last pass through: its units are their columns then; 0: none. Its weights are
   * packed as those of layer num_layers. Skipped steps pass through it too. */
  int head_units;
  rondo_function head_activation; /* linear */

  /* Training plans: dropout between the layers of a stack, of every number of y by itself (PyTorch's dropout); not of
   * the last layer's y. */
  float layer_dropout;
} rondo_layer;

typedef struct rondo_plan_desc {
  rondo_layer layer;
  int max_batch, max_timesteps; /* required; every smaller call may use the plan too */
  int training;                 /* rondo_backward will follow: forward keeps what that needs in a reserve, and the
                                   parameter block holds plain matrices (rondo_plan_param); 0: forward only */
  rondo_layout layout;          /* of x and y; see also the strides of rondo_batch */
  rondo_dtype weights;          /* how the parameter block holds kernel, recurrent_kernel, projection and the head's
                                   kernel; biases, x, y, h, c and all sums are float. CUDA rounds x and h to this type
                                   on the way into products, for tensor cores, where RONDO_F16 makes 65520 and more
                                   infinite; it has RONDO_BF16 from compute capability 8.0 on. The CPU rounds them
                                   with RONDO_ISA_AVX512_BF16 and RONDO_ISA_AMX and RONDO_BF16, and with RONDO_INT8,
                                   where a layer of default functions runs on at most as many threads as the context
                                   has that its plan was made with. training: RONDO_F32 only */
  rondo_algorithm algorithm;    /* AUTO: the backend's choice; on CUDA by a model of what a call of the largest size
                                   takes, whose verdict rondo_plan_text gives. Else that one or RONDO_UNSUPPORTED */
  int allow_tf32;               /* CUDA, RONDO_F32: products may round their inputs to TF32 (10 bits) on tensor cores.
                                   Other backends compute in full float in any case */
  int recompute;                /* training: the reserve keeps states, not gates, and backward makes these again, by
                                   products over all timesteps, in its workspace. That grows by one layer's gates, and
                                   on the CPU by its weights: it pays with several layers or directions and rows
                                   enough; rondo_plan_sizes tells */
  int threads;                  /* CPU: so many of the context's threads work, but no more than a layer has parts (8 or
                                   16 units, say); contexts that use the plan must have as many. 0: as many as pay, by
                                   a model of the time that a call takes, which rondo_plan_text quotes, and no more than
                                   the machine has processors. It has every
                                   call wake its threads; where short calls follow each other within 20 us or so,
                                   these are awake, and asking for them pays sooner */
} rondo_plan_desc;

/* Bytes that the caller provides. Everything is at its largest: max_batch, max_timesteps. */
typedef struct rondo_sizes {
  size_t params;    /* the parameter block */
  size_t workspace; /* scratch of one call; on the CPU for both directions of a layer at once if the context that the
                       plan was made with has several threads, and with RONDO_INT8 for h, a byte each, of all threads */
  size_t reserve;   /* what a training forward keeps for backward; 0 without training */
  size_t state;     /* dense c_n, (L*D, max_batch, H) floats; h_n, (L*D, max_batch, O), is no larger */
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

/* One line for people: what was chosen, for what, with what, and on the CPU the threads of the largest call and why.
 * "cpu/hoisted lstm:n64t100c39h512 f32, avx512 16 lanes, fused, 6 rows x 4 gates, ..., 2 of 2 threads: 63 ms by the
 * model, 1 takes 126, ..."
 * Belongs to the plan; "" for NULL. */
RONDO_API const char *rondo_plan_text(const rondo_plan *plan);

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

/* The order in which a framework lays out weights. G gates (LSTM 4, GRU 3, RNN and DENSE 1), F the inputs of the layer
 * (C, or the columns of y of the layer below), O the columns of h. */
typedef enum rondo_format {
  RONDO_KERAS = 0, /* kernel (F, G*H), recurrent_kernel (O, G*H), bias (G*H); gates i, f, g, o; GRU z, r, h */
  RONDO_PYTORCH,   /* weight_ih (G*H, F), weight_hh (G*H, O), bias_ih, bias_hh (G*H); i, f, g, o; GRU r, z, n */
  RONDO_ONNX,      /* W (G*H, F), R (G*H, H), B as two halves Wb, Rb (G*H); gates i, o, f, g; GRU z, r, h */
  RONDO_CUDNN      /* as RONDO_PYTORCH: the matrices of linear layers 0.. and G.., one after another */
} rondo_format;

/* Weights of one layer and direction, as host arrays in the framework's order. */
typedef struct rondo_weights {
  rondo_format format;
  int layer;                     /* 0 is the one that reads x; num_layers the head */
  int direction;                 /* 0; 1 is the second one of a bidirectional layer */
  const float *kernel;           /* required; PyTorch weight_ih, ONNX W */
  const float *recurrent_kernel; /* required but for RONDO_DENSE; PyTorch weight_hh, ONNX R */
  const float *bias;             /* PyTorch bias_ih, ONNX B; NULL: zeros. Must be NULL when the layer has no_bias */
  const float *recurrent_bias; /* PyTorch bias_hh, ONNX B + G*H, Keras's GRU bias + 3H; NULL: zeros. The two are added,
                                    but in a GRU with reset after, whose h gate keeps them apart */
  const float *peephole;       /* required with peephole: (3, H), rows i, f, o; RONDO_ONNX: i, o, f */
  const float *projection;     /* required with projection_size: (H, O); but for RONDO_KERAS (O, H), as weight_hr */
  const float *gamma_kernel, *gamma_recurrent; /* with layer_norm: (G*H) in the format's order of gates; NULL: ones */
  const float *gamma_cell, *beta_cell;         /* with layer_norm, LSTM: (H); NULL: ones, zeros */
} rondo_weights;

/* Which array of a layer, and its shape in the parameter block of a training plan: row-major floats, gates in Keras's
 * order. Recurrent kernel and kernel follow each other: one matrix (O + F, G*H). */
typedef enum rondo_param {
  RONDO_KERNEL = 0,       /* (F, G*H) */
  RONDO_RECURRENT_KERNEL, /* (O, G*H); not in RONDO_DENSE */
  RONDO_BIAS,             /* (1, G*H); not with no_bias */
  RONDO_RECURRENT_BIAS,   /* (1, G*H); GRU with reset after */
  RONDO_PEEPHOLE,         /* (3, H), rows i, f, o */
  RONDO_PROJECTION,       /* (H, O) */
  RONDO_GAMMA_KERNEL,     /* (1, G*H); this and the rest with layer_norm */
  RONDO_GAMMA_RECURRENT,  /* (1, G*H) */
  RONDO_GAMMA_CELL,       /* (1, H), LSTM */
  RONDO_BETA_CELL         /* (1, H), LSTM */
} rondo_param;

/* Where an array lies, in floats from the start of the block. */
typedef struct rondo_matrix {
  size_t offset, rows, columns;
} rondo_matrix;

/* Finds an array of a training plan in the parameter block, and so in dparams: the two lie alike on every backend,
 * and an optimiser may treat them as one array of sizes.params / 4 floats (what lies between matrices is 0 in both).
 * layer: num_layers is the head. Fails with INVALID_ARGUMENT, also when the layer has no such array. */
RONDO_API rondo_status rondo_plan_param(const rondo_plan *plan, int layer, int direction, rondo_param which,
                                        rondo_matrix *where);

/* Writes the weights of one layer into the parameter block; call it once for every layer.
 *
 * params: rondo_plan_sizes()->params bytes of the backend's memory, aligned to 64 bytes. The arrays in weights are
 * host memory and may go when the call returns; it waits for the device, so do not call it while a stream is
 * captured. The block fits every plan with the same layer, weight type, training, backend, instruction set and
 * device, whatever its batch, timesteps and layout: pack once, share it between threads. But for training plans it is
 * not for files: another version of the library may arrange it otherwise. With weights RONDO_F16 or RONDO_BF16 they are
 * rounded to nearest, ties to even; a finite one that the type cannot hold is an error, as is one that is not finite
 * with RONDO_INT8. Training
 * plans that differ in recompute or in dropout rates share a block, too: a second one without dropout is for
 * validation. On the CPU each layer's part begins with a small header that rondo_forward checks; on CUDA, on the
 * reference and with training a wrong block cannot be noticed. Fails with INVALID_ARGUMENT, with training
 * OUT_OF_MEMORY; on CUDA also with OUT_OF_MEMORY, DEVICE_ERROR. */
RONDO_API rondo_status rondo_pack(const rondo_plan *plan, rondo_context *ctx, void *params,
                                  const rondo_weights *weights);

/* ---- Batch: one call --------------------------------------------------------------------------------------------- */

/* Distances in elements. 0 means dense in the plan's layout; those of arrays that are NULL are not looked at. Rows may
 * have gaps; rows of x may also overlap or repeat (a window sliding over a signal), rows of y must not. Element
 * (n, t, j) is at n * sequence + t * timestep + j. */
typedef struct rondo_strides {
  size_t sequence;  /* from a row of sequence n to that of sequence n + 1 at the same timestep */
  size_t timestep;  /* from a row of timestep t to that of timestep t + 1 of the same sequence */
  size_t direction; /* y of a bidirectional layer, CONCAT and SEPARATE: from the first direction's half of a row to the
                       second's. 0: O, or with SEPARATE from tensor to tensor */
} rondo_strides;

/* Everything one call reads and writes. Pointers are memory of the context's backend and hold floats, but for lengths,
 * mask, slots and restart (host). At least one of y, y_last, h_n and c_n is required. No output may share memory with
 * another field, except h_n with h_0 and c_n with c_0, which update the state in place. The library keeps no pointer
 * after the call, but on CUDA all of them are used until the stream has come past it. */
typedef struct rondo_batch {
  int batch, timesteps;   /* required: N in 1..max_batch, T in 1..max_timesteps */
  const int32_t *lengths; /* (N), each 0..timesteps: the steps from there on are skipped; NULL: none */
  const uint8_t *mask;    /* (N, T) in the order of x, nonzero: a real step, 0: one to skip; instead of lengths.
                             A skipped step leaves h and c as they are. Its y repeats the output before it in the order
                             of processing, 0 before the first; or is 0 with zero_output_for_mask and always in a
                             bidirectional layer; y_last is what y would be at the last step processed, but in a
                             bidirectional layer repeats unless zero_output_for_mask. In a stack the mask follows the
                             data. RONDO_DENSE takes no notice of it */
  const int32_t *slots;   /* (N), each once: the state of sequence n is row slots[n] of a pool; NULL: row n */
  const uint8_t *restart; /* (N), nonzero: sequence n starts from zeros, whatever h_0 and c_0 hold; NULL: none does */
  const void *params;     /* required: from rondo_pack; aligned to 64 bytes */
  const void *x;          /* required: (N, T, C), or (T, N, C) when time-major */
  const void *h_0, *c_0;  /* initial state (L*D, N, O) and (L*D, N, H); NULL: zeros. c: LSTM only. With an unlike
                             backward_layer O and H are those of the wider direction */
  void *y;                /* h of every timestep of the last layer, (N, T, D*O) or (T, N, D*O): return_sequences=True */
  void *y_last;           /* h of the last timestep processed, last layer, (N, D*O): return_sequences=False */
  void *h_n, *c_n;        /* state after the last timestep of every layer, as h_0 and c_0: return_state=True */
  void *workspace;        /* required if sizes.workspace is not 0: aligned to 64 bytes; not shared by calls in flight */
  void *reserve;          /* training, required: written by forward, read by backward; aligned to 64 bytes */
  rondo_strides x_strides, y_strides;
  size_t y_last_stride; /* from row n to row n + 1 of y_last; 0: dense */
  size_t state_stride; /* from row n to row n + 1 of h_0, c_0, h_n and c_n; 0: dense, O and H. Layers and directions are
                           N such rows apart, or slot_count with slots */
  /* Training with dropout. The masks are a function of seed, layer, direction, n, gate and column, those of
   * layer_dropout of seed, layer, t, n, column and batch; the same on every backend (Philox). Take another seed for
   * each call, and for backward that of its forward. */
  uint64_t seed;
  /* Backward only: gradients of a loss by what the forward call gave, NULL: zeros, placed as y, y_last, h_n and c_n; */
  const void *dy, *dy_last, *dh_n, *dc_n;
  /* and by what it was given, NULL: not wanted. dx is dense in the plan's layout, dparams lies as params, dh_0 and
   * dc_0 as h_0 and c_0. */
  void *dx, *dparams, *dh_0, *dc_0;
  int accumulate; /* dparams is added to instead of written */
  int slot_count; /* required with slots: rows of the pool */
  size_t
      y_last_direction; /* y_last of a bidirectional layer, CONCAT and SEPARATE: from the first direction's half to the
                              second's; 0: dense */
  const void *dropout_masks; /* factors to use instead of drawing them; NULL: they are drawn. Layer after layer, in it
                                direction after direction: with dropout (N, K, F), with recurrent_dropout (N, K, O),
                                nothing between them. Not of layer_dropout, which is always drawn */
} rondo_batch;

/* Computes the layers for N sequences of T timesteps.
 *
 * CPU, reference: done when it returns. CUDA: enqueued on the context's stream; nothing is waited for or allocated,
 * and a stream that is being captured captures it. On CUDA the first call of a new size may make cuBLAS load its
 * kernels, which can allocate and wait: run each size once first. A context's first call with lengths, a mask or
 * slots, and one with more of them than any before, makes host memory for their order. Calls may go to one plan from
 * many threads, each with its own context and workspace. To stream, pass timesteps = 1 with h_n = h_0 and c_n = c_0,
 * as often as samples come.
 *
 * Same bits: on the CPU a sequence's results do not depend on the rest of the batch, on its place there, on threads,
 * or on whether it came in one call or in pieces with carried state (but masks that are drawn do). On CUDA the same
 * call gives the same bits on the same GPU. NaN and infinities stay in the sequence they came in.
 *
 * Fails with INVALID_ARGUMENT, UNSUPPORTED or, with lengths, a mask or slots, OUT_OF_MEMORY, and then has written
 * nothing; with DEVICE_ERROR outputs are undefined. */
RONDO_API rondo_status rondo_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* Gradients of a rondo_forward of a training plan, by backpropagation through time. batch: that of the forward call,
 * x, params, h_0, c_0, seed, dropout_masks and reserve unchanged (an h_0 that h_n has overwritten is gone: keep it),
 * with the fields of backward filled in: at least one of dy, dy_last, dh_n, dc_n (dy only if the call gave y, and
 * dy_last y_last), and one of dx, dparams, dh_0, dc_0. A skipped step passes the gradients of the state on and takes
 * none of its own; where its y repeats another step's, its dy counts for that step; its dx is 0. Sequences that
 * restart have 0 for dh_0 and dc_0. The same call gives the same bits: no sum depends on timing. Otherwise as
 * rondo_forward. */
RONDO_API rondo_status rondo_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch);

/* ---- Training helpers -------------------------------------------------------------------------------------------- */

/* What a training loop needs besides gradients: first weights, a limit for gradients, and two ways to follow them.
 * All of it works on the parameter block as one flat array. As elsewhere, NULL and 0 are defaults where nothing else
 * is said, pointers are memory of the context's backend, and on CUDA the work is enqueued. The same call gives the
 * same bits. */

/* How a matrix of F rows and K columns begins, by Keras's names and rules: fan_in is F, fan_out K, and gates are
 * columns of one matrix. Normal numbers are those within two deviations, and have the variance given. */
typedef enum rondo_initializer {
  RONDO_INIT_DEFAULT = 0, /* the place's own: see rondo_init */
  RONDO_INIT_ZEROS,
  RONDO_INIT_ONES,
  RONDO_INIT_GLOROT_UNIFORM, /* between -a and a, a = sqrt(6 / (F + K)) */
  RONDO_INIT_GLOROT_NORMAL,  /* variance 2 / (F + K) */
  RONDO_INIT_HE_UNIFORM,     /* a = sqrt(6 / F) */
  RONDO_INIT_HE_NORMAL,      /* 2 / F */
  RONDO_INIT_LECUN_UNIFORM,  /* a = sqrt(3 / F) */
  RONDO_INIT_LECUN_NORMAL,   /* 1 / F */
  RONDO_INIT_ORTHOGONAL      /* rows, or columns where these are fewer, of length 1 at right angles to each other */
} rondo_initializer;

typedef struct rondo_init {
  uint64_t seed;                      /* of all numbers: the same ones on every backend, for each array its own */
  rondo_initializer kernel;           /* glorot_uniform; also of the head, the peephole and the projection */
  rondo_initializer recurrent_kernel; /* orthogonal */
  rondo_initializer bias;             /* zeros; or ones */
  int no_unit_forget_bias;            /* LSTM: the bias of f is as the others; 0: it is 1, as in Keras */
} rondo_init;

/* Writes a training plan's whole parameter block, with gammas of 1 and betas of 0. params: sizes.params bytes,
 * aligned to 64. init: NULL means all zeros. Waits for the device, as rondo_pack does. Orthogonal matrices are made
 * by one thread of the host, in time F * K * min(F, K). Fails with INVALID_ARGUMENT, OUT_OF_MEMORY; on CUDA also
 * with DEVICE_ERROR. */
RONDO_API rondo_status rondo_init_params(const rondo_plan *plan, rondo_context *ctx, void *params,
                                         const rondo_init *init);

/* One step of stochastic gradient descent, keras.optimizers.SGD:
 *
 *     velocity = momentum * velocity - rate * gradient
 *     params   = params + velocity,   with nesterov params + momentum * velocity - rate * gradient */
typedef struct rondo_sgd_args {
  size_t count;         /* required: floats of each array; sizes.params / 4 for a whole block */
  void *params;         /* required; updated */
  const void *gradient; /* required */
  float rate;           /* required: above 0 */
  float momentum;       /* 0 to below 1 */
  int nesterov;
  void *velocity; /* required with momentum: zeros at first; updated */
} rondo_sgd_args;

/* No two arrays may overlap. Fails with INVALID_ARGUMENT; on CUDA also with DEVICE_ERROR. */
RONDO_API rondo_status rondo_sgd(rondo_context *ctx, const rondo_sgd_args *args);

/* One step of Adam (Kingma and Ba 2015), keras.optimizers.Adam, ^ for "to the power of":
 *
 *     m = m + (1 - beta_1) * (gradient - m)        v = v + (1 - beta_2) * (gradient * gradient - v)
 *     params = params - rate * sqrt(1 - beta_2^step) / (1 - beta_1^step) * m / (sqrt(v) + epsilon) */
typedef struct rondo_adam_args {
  size_t count;         /* required, as in rondo_sgd_args */
  void *params;         /* required; updated */
  const void *gradient; /* required */
  void *m, *v;          /* required: zeros at first; updated */
  long long step;       /* required: 1 for the first call, 2 for the next */
  float rate;           /* required: above 0; Keras's is 0.001 */
  float beta_1, beta_2; /* below 1; 0: 0.9 and 0.999 */
  float epsilon;        /* 0: 1e-7 */
} rondo_adam_args;

/* No two arrays may overlap. Fails with INVALID_ARGUMENT; on CUDA also with DEVICE_ERROR. */
RONDO_API rondo_status rondo_adam(rondo_context *ctx, const rondo_adam_args *args);

enum { RONDO_CLIP_SCRATCH = 8192 }; /* bytes */

/* Keras's global_clipnorm: the gradient is scaled by limit / norm when its norm, the root of the sum of its squares, is
 * above limit. A norm that is not finite leaves it as it is. */
typedef struct rondo_clip_args {
  size_t count;   /* required, as in rondo_sgd_args */
  void *gradient; /* required; updated */
  float limit;    /* required: above 0 */
  void *norm;     /* one float: what the norm was; NULL: not wanted */
  void *scratch;  /* required: RONDO_CLIP_SCRATCH bytes, aligned to 64; not shared by calls in flight */
} rondo_clip_args;

/* Fails with INVALID_ARGUMENT; on CUDA also with DEVICE_ERROR. */
RONDO_API rondo_status rondo_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args);

/* ---- Graph: one call, frozen ------------------------------------------------------------------------------------- */

/* A call with its pointers and sizes fixed, for many cheap launches: on CUDA a CUDA graph (one launch in place of two
 * per timestep), elsewhere a remembered rondo_batch. The memory behind the pointers may change
 * between launches; of lengths, mask, slots and restart, which are host memory, the graph has copies, and its seed
 * stays. */
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
