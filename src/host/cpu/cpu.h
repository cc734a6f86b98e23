/* cpu.h - what the files of the CPU backend share.
 *
 * A layer's part of the parameter block, for vectors of V lanes: B unit blocks of V units (H / V, rounded up), G gates,
 * F inputs, O columns of h. Every piece begins at a multiple of 256 bytes. There are two forms.
 *
 * Fused: layers of the default functions and no options, for which one kernel makes a timestep (fused.c).
 *
 *     header | bias (B, G, V) | W (B, F, G, V) | R (B, H, G, V) | GRU: recurrent bias of gate h (B, V)
 *
 * The gates of V units lie side by side for every input, so a kernel that walks k holds all gates of the same units in
 * registers, and c and h follow from them without a detour through memory. The weights of a unit block are one stream;
 * a thread that owns a range of blocks owns one range of memory.
 *
 * Of several blocks the last has n = H % V units, if that is not 0. Where their G n columns fit N < G vectors, it is a
 * narrow block: its streams are packed, (F, N, V) and (H, N, V), gate g of its unit j in column g n + j, and so is its
 * bias, at the start of its place.
 *
 * General: every other layer (general.c). Each gate is a matrix of its own, and with it a stream for each unit block.
 *
 *     header | bias (G, B, V) | W (G, B, F, V) | R (G, B, O, V) | recurrent bias (G, B, V) | peephole (3, B, V)
 *            | gammas (G, B, V) twice | gamma and beta of c (B, V) | projection (O / V, H, V)
 *
 * of which DENSE has no R and later, and the last four are there with their options only. Lanes beyond H (the
 * projection: O) hold zeros. W, R and the projection are of the plan's type of weights, all else is float.
 *
 * Where rows of the type share words (kernels.h), so do those of W, R and the projection, with rows of zeros behind
 * them up to what the kernels want filled: in pairs W (B, F / 2, G, V, 2), in quads W (B, 2 + F / 4, G, V, 4), the head
 * being the first two; and so on. */
#ifndef RONDO_CPU_H
#define RONDO_CPU_H

#include "internal.h"

#include "cpu/kernels.h"
#include "cpu/threads.h"
#include "half.h"

/* What the machine takes for what is no work; nanoseconds. Tests set it to zeros, and all work is then shared. */
typedef struct rondo_cpu_costs {
  double cache;            /* bytes of a core's second cache */
  double barrier, arrival; /* of two threads; more for each further one */
  double wake_up;          /* of threads, at the beginning of a call */
  int cores;               /* that there are; 0: as many as threads */
} rondo_cpu_costs;

typedef struct rondo_cpu_state {
  rondo_pool *pool;
  unsigned sweep; /* timesteps done so far: the parity is the direction of the next walk over the units */
  rondo_cpu_costs costs;
} rondo_cpu_state;

/* ---- pack.c: the parameter block --------------------------------------------------------------------------------- */

typedef struct rondo_cpu_layout {
  const rondo_layer *layer;
  rondo_dtype type; /* of W, R and the projection */
  int group, fill;  /* rows of these that share a word, and a multiple of which there are */
  int fused;
  size_t inputs, hidden, outputs, gates, lanes; /* F, H, O, G, V */
  size_t blocks, units;                         /* B, and B * V */
  size_t output_blocks;                         /* O / V, rounded up */
  size_t vectors, streams;                      /* fused: G of each row of weights in B streams; else 1 in G * B */
  size_t narrow;                                /* N of the last block; 0: it is like the others */
  /* Where each piece begins, in floats from the start of the block. */
  size_t bias, input_weights, recurrent, recurrent_bias, peephole, gamma_kernel, gamma_recurrent, gamma_cell, beta_cell,
      projection;
  size_t bytes; /* of all; SIZE_MAX: does not fit */
} rondo_cpu_layout;

rondo_cpu_layout rondo_cpu_layout_of(const rondo_plan *plan, const rondo_layer *layer, size_t inputs);

/* Rows of weights that are there for so many rows of a matrix, or take as much room. */
static inline size_t rondo_cpu_depth(const rondo_cpu_layout *layout, size_t rows) {
  size_t head = layout->type == RONDO_INT8 ? RONDO_CPU_QUADS_HEAD : 0, group = (size_t)layout->group;
  return head * group + rondo_cpu_filled(layout->fill, rows);
}

size_t rondo_cpu_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs);
rondo_status rondo_cpu_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                            void *to, const rondo_weights *from);
rondo_status rondo_cpu_check_params(const char *who, const rondo_plan *plan, const rondo_layer *layer, size_t inputs,
                                    const void *params, int index);

/* Whether the directions of a layer do without each other: they write different places. */
static inline int rondo_cpu_directions_apart(const rondo_plan *plan) {
  rondo_merge merge = plan->desc.layer.merge;
  return plan->directions == 2 && (merge == RONDO_CONCAT || merge == RONDO_SEPARATE);
}

/* ---- cost.c: how many threads ------------------------------------------------------------------------------------ */

rondo_cpu_costs rondo_cpu_measured_costs(void);

/* Multiplications of a core in a nanosecond, with what a layer does besides. group: of rows that share a word. */
double rondo_cpu_rate(rondo_isa isa, int group);

/* A call of one layer and direction. */
typedef struct rondo_cpu_work {
  int parts;              /* of equal size that threads share */
  double ahead, products; /* multiplications: of x for many timesteps, and in walks over the weights; */
  double rate;            /* so many of a core in a nanosecond */
  double passes, weights; /* these walks, and the bytes of each */
  double waits;           /* barriers */
  double wakes;           /* its part in one waking of the threads, who then work for all layers of a forward call */
} rondo_cpu_work;

/* rows: of x in the whole call, of which `ahead` are projected at a time. */
rondo_cpu_work rondo_cpu_work_of(const rondo_plan *plan, const rondo_cpu_layout *layout, size_t rows, int steps,
                                 size_t ahead);
double rondo_cpu_wakes(const rondo_plan *plan);

typedef struct rondo_cpu_limits {
  int least, most; /* threads */
} rondo_cpu_limits;

typedef struct rondo_cpu_choice {
  int threads;
  int both;           /* directions at once, */
  double first_share; /* the first's part of the work */
  double time;        /* nanoseconds that this takes by the model */
} rondo_cpu_choice;

/* The limits of a plan in a context: what was asked for, or all there are. */
rondo_cpu_limits rondo_cpu_limits_of(const rondo_plan *plan, const rondo_context *ctx);

/* No more threads than parts, also where the limits ask for them. */
rondo_cpu_choice rondo_cpu_choose(const rondo_cpu_costs *costs, const rondo_cpu_work *work, rondo_cpu_limits limits);

/* For both directions of a layer. Without choice.both one follows the other, and each has a choice of its own. */
rondo_cpu_choice rondo_cpu_choose_both(const rondo_cpu_costs *costs, const rondo_cpu_work work[2],
                                       rondo_cpu_limits limits);

/* Both at once: of so many threads, at least two, those for the first direction. */
int rondo_cpu_first_group(const rondo_cpu_choice *choice, int threads);

/* "2 of 2 threads: 0.31 ms by the model, 1 takes 0.58": for a plan's largest call. */
void rondo_cpu_describe_threads(const rondo_plan *plan, const rondo_context *ctx, char *text, size_t size);

/* ---- hoisted.c: a call ------------------------------------------------------------------------------------------- */

/* The workspace of a call. Rows are those of the schedule: sequences compacted, the longest first. */
typedef struct rondo_cpu_workspace {
  size_t rows;                 /* of x that are projected at a time */
  size_t h_stride, c_stride;   /* floats from row to row */
  float *x_sums;               /* fused: (B, rows, G, V), narrow ones at the start of rows; else (rows, G, B * V) */
  float *h_sums;               /* general: (N, G, B * V) */
  float *inner;                /* general: (N, B * V), the input of a step's second product, or its result */
  float *projected;            /* with projection: (N, O in whole blocks) */
  float *h[2], *c;             /* (N, O), twice, in turn read and written; (N, H) */
  float *zeros;                /* a row of states that are not there */
  const float **x[2];          /* (rows): those of a chunk; chunks take turns */
  float **y[2];                /* (rows), likewise */
  const float **h_0, **c_0;    /* (N): given, or zeros */
  float **h_rows[2], **c_rows; /* (N): into h, and into c_n or c */
  const float **inner_rows;    /* (N) */
  /* Of a type that has words, those of x (rows, F), chunks in turn; h (N, O), in turn; inner (N, H). Fused quads need
   * whole rows of h, so each thread makes all of them for itself: h_words[0] is (threads, N, O). */
  uint32_t *x_words[2], *h_words[2], *inner_words;
  size_t x_words_row, h_words_row, inner_words_row; /* words from row to row */
  size_t h_words_thread;                            /* and from thread to thread; 0: they share them */
} rondo_cpu_workspace;

/* All that the threads of a call need; read-only for them, but for what the workspace holds. */
typedef struct rondo_cpu_call {
  const rondo_pass *pass;
  rondo_schedule schedule;
  const rondo_cpu_kernels *kernels;
  rondo_words_kernel *words; /* of the type of weights; NULL: it has none */
  const rondo_cpu_state *state;
  rondo_cpu_layout layout;
  rondo_cpu_workspace ws;
  const float *params; /* the block */
  int threads, group;  /* at work on it; which group they are of the pool's */
} rondo_cpu_call;

rondo_status rondo_cpu_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cpu_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);
rondo_status rondo_cpu_hoisted_directions(const rondo_plan *plan, rondo_context *ctx, const rondo_pass passes[2]);

/* Waits for the other threads of the call. */
static inline void rondo_cpu_barrier(const rondo_cpu_call *call) {
  rondo_pool_group_barrier(call->state->pool, call->group, call->threads);
}

/* Part `index` of `parts` of `count` things. */
typedef struct rondo_cpu_range {
  int begin, count;
} rondo_cpu_range;

static inline rondo_cpu_range rondo_cpu_share(size_t count, int index, int parts) {
  size_t begin = count * (size_t)index / (size_t)parts, end = count * ((size_t)index + 1) / (size_t)parts;
  return (rondo_cpu_range){(int)begin, (int)(end - begin)};
}

/* Weight i of the piece of the block that begins at `piece`. */
static inline const void *rondo_cpu_weights(const rondo_cpu_call *call, size_t piece, size_t i) {
  return (const unsigned char *)(call->params + piece) + i * rondo_dtype_bytes(call->layout.type);
}

/* One thread's part of a call: fused.c, general.c. */
void rondo_cpu_fused_thread(const rondo_cpu_call *call, int thread);
void rondo_cpu_general_thread(const rondo_cpu_call *call, int thread);

/* ---- rows.c: where the rows of a call are ------------------------------------------------------------------------ */

/* Timesteps whose x is projected at a time: as many as ws.rows allow. Row r of step s is the one at s's rows before it
 * in the chunk, plus r. */
typedef struct rondo_cpu_chunk {
  int first, steps, rows; /* steps 0: there is none */
  int turn;               /* which tables of x and y hold its rows */
} rondo_cpu_chunk;

rondo_cpu_chunk rondo_cpu_first_chunk(const rondo_cpu_call *call);
rondo_cpu_chunk rondo_cpu_next_chunk(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk);

/* Fills a part of the chunk's tables of x and y, and of its words of x. The threads do it a chunk ahead; the barriers
 * in between publish them. */
void rondo_cpu_find_chunk(const rondo_cpu_call *call, const rondo_cpu_chunk *chunk, int part, int parts);

/* Fills the tables of states, and the first step's words of h, if threads share them. */
void rondo_cpu_find_states(const rondo_cpu_call *call);

/* Some columns of a row of `count` numbers, which begin at a whole word, to their place among the row's words; behind
 * the last of them the row is filled up with zeros. In quads these are all columns. */
void rondo_cpu_make_words(const rondo_cpu_call *call, const float *from, size_t count, rondo_cpu_range columns,
                          uint32_t *to);

/* Words of h of some rows and columns after a step, for the next one; columns begin at a multiple of V, and are all of
 * them in quads. */
void rondo_cpu_share_h(const rondo_cpu_call *call, int step, rondo_cpu_range rows, rondo_cpu_range columns);

/* The words of h ahead of a step that a thread takes; where these are its own, it makes them now. */
const uint32_t *rondo_cpu_h_words(const rondo_cpu_call *call, int step, int thread);

/* Where step s reads h and c, and writes h; c is written to ws.c_rows. */
const float *const *rondo_cpu_h_in(const rondo_cpu_call *call, int step);
const float *const *rondo_cpu_c_in(const rondo_cpu_call *call, int step);
static inline float *const *rondo_cpu_h_out(const rondo_cpu_call *call, int step) {
  return call->ws.h_rows[(step + 1) % 2];
}

/* y at skipped steps, for a range of columns, once all others of these columns are there. */
void rondo_cpu_fill_skipped(const rondo_cpu_call *call, rondo_cpu_range columns);

/* y_last, h_n, and c_n of sequences without a step, after all steps. */
void rondo_cpu_write_results(const rondo_cpu_call *call);

/* ---- features.c -------------------------------------------------------------------------------------------------- */

/* The best instruction set that this machine and the limit allow; never RONDO_ISA_BEST. */
rondo_isa rondo_cpu_best_isa(rondo_isa limit);

/* ---- optimise.c -------------------------------------------------------------------------------------------------- */

rondo_status rondo_cpu_sgd(rondo_context *ctx, const rondo_sgd_args *args);
rondo_status rondo_cpu_adam(rondo_context *ctx, const rondo_adam_args *args);
rondo_status rondo_cpu_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args);

#endif
