/* kernels.h - the CPU kernels: argument structs and the table of them by instruction set.
 *
 * A layer of the default functions (fused) takes two kernels a timestep. For every row m, unit j and gate g:
 *
 *     product_forward   sums[m, j, g] = start[j, g] + x_0 W[0, j, g] + x_1 W[1, j, g] + ...
 *     fused_forward     a[m, j, g] = sums[m, j, g] + h_0 R[0, j, g] + h_1 R[1, j, g] + ...
 *                       and from the a of a unit its new c and h, by the formulas of rondo.h
 *
 * The last block may be a narrow one: where H % V = n units are left for it, and their G n columns fit N < G vectors,
 * gate g of its unit j is column g n + j of N V. It takes product_forward for both products, of N "gates", the second
 * in place, and narrow_forward for the rest.
 *
 * Every other layer takes product_forward for both products and *_cell_forward for the rest, row by row; see there.
 *
 * Each sum is one chain of additions, in the order written, whatever rows or units a kernel takes together. So results
 * do not depend on the batch, the threads, or how many timesteps are projected at once. (A chain may rest in memory
 * between the kernels: storing a float does not change it.) Weights of 16 bits are widened as they are loaded, which is
 * exact, so their sums are those of the same numbers kept as floats.
 *
 * Words. Some types are multiplied in groups: a word of 32 bits holds a number of each of the rows k, k + 1, ... of
 * weights, and of x and h, which the kernels `words` round to the type. What a group lacks at the end is zero.
 *
 * Pairs, of RONDO_BF16 where an instruction set multiplies bf16 by bf16: k in the upper half, whose product is added
 * first, k + 1 in the lower. Products of bf16 are exact in float, and each is added with a rounding of its own: these
 * sums, too, are those of the same numbers kept as floats.
 *
 * Quads, of RONDO_INT8: k in the first byte. A row of x or h is `scale` times levels q of -127..127, scale the largest
 * of their sizes / 127 and q the integer nearest to v * (127 / largest), each operation rounded; so it is a function
 * of that row alone. Its bytes are q + 128, without a sign, as VNNI has it, and its scale stands behind them, as a
 * float. A column of weights is its own scale times levels p, bytes with a sign. Two rows lie ahead of each stream's
 * words: -128 times the sums of its levels, with which sums begin (32 bits), and its scales (floats). So a sum is that
 * of q p, an integer, which is exact whatever the order, and then
 *
 *     sums = start + integer * (scale of the row * scale of the column)        with each operation, but the addition of
 *                                                                              a product, rounded by itself
 *
 * A row of which no number reaches RONDO_INT8_LEAST has scale 0, one with a number that is not finite NaN.
 *
 * Tiles. An instruction set that multiplies matrices of bf16 takes 32 products at a time, by the manual in two chains
 * of additions: for k = 0, 32, 64, ...
 *
 *     even = x_k W[k] + x_k+2 W[k+2] + ... + x_k+30 W[k+30]
 *     odd = x_k+1 W[k+1] + x_k+3 W[k+3] + ... + x_k+31 W[k+31]
 *     sum = sum + (even + odd)
 *
 * with a rounding for each addition, subnormal numbers counting as zero. This, too, is one order whatever rows and
 * units are computed together. Rows of pairs, the weights' and those of x and h, are filled up with zeros to a multiple
 * of 32 numbers, and zeros change no sum.
 *
 * Weights and sums come in unit blocks of V = lanes units; cpu.h draws the layout. Letters: B blocks, M rows, U units
 * of all blocks. A table of rows is (M) pointers: rows that are computed together lie where they are. Nothing beyond
 * the last unit is read or written in x, h, c and y; other arrays hold whole blocks. */
#ifndef RONDO_CPU_KERNELS_H
#define RONDO_CPU_KERNELS_H

#include "rondo/rondo.h"

#include "int8.h"

/* Quads: rows ahead of a stream's words; and so many products at most, whose sums fit 32 bits, as does what they begin
 * with. */
enum { RONDO_CPU_QUADS_HEAD = 2, RONDO_CPU_QUADS_MOST = INT32_MAX / (128 * 127) };

/* Words, or floats for a group of 1, of a row of so many numbers. */
static inline size_t rondo_cpu_words(int group, size_t numbers) {
  return (numbers + (size_t)group - 1) / (size_t)group;
}

/* Rows times weights. */
typedef struct rondo_product_forward_args {
  int gates; /* G of weights and sums: 4, 3, 2 (of a narrow block) or 1 */
  int rows, inputs, blocks;
  const float *const *in;   /* (rows): (inputs) */
  const uint32_t *in_words; /* of a type that has words, instead: (rows, those of inputs), rows words_row words apart */
  ptrdiff_t words_row;
  const float *start;  /* (blocks, G, V), what the sums begin with, perhaps in place of them; NULL: zeros */
  ptrdiff_t start_row; /* floats from row to row of it; 0: all rows begin alike */
  rondo_dtype type;    /* of the weights */
  const void *weights; /* (blocks, inputs, G, V), or words, (blocks, those of inputs, G, V), behind the head of quads */
  float *sums;         /* (blocks, rows, G, V) by the distances of blocks and rows, in floats */
  ptrdiff_t sums_block, sums_row;
} rondo_product_forward_args;

/* One timestep for some rows and the units of some blocks. c_out may be c_in.
 *
 * narrow_forward: first_block is the narrow block, of n units. Its sums, in place as above, are those of both products:
 * the first G n floats of a row. GRU: gate h has its recurrent part there, and x's where any block has it, 2 V floats
 * from the start of the row. Weights, bias and words of h are not looked at. */
typedef struct rondo_fused_forward_args {
  int rows, hidden;
  int first_block, blocks;
  rondo_dtype type;    /* of the weights */
  const void *weights; /* (all B, hidden, G, V); words as above */
  const float *bias;   /* GRU: what the recurrent sums of gate h begin with, (all B, V) */
  const float *sums;   /* (all B, rows, G, V), blocks apart by sums_block floats */
  ptrdiff_t sums_block;
  const float *const *h_in;   /* (rows): (hidden), and so on */
  const uint32_t *h_in_words; /* of a type that has words, for the product: as in_words above */
  ptrdiff_t words_row;
  const float *const *c_in; /* LSTM */
  float *const *h_out;
  float *const *c_out; /* LSTM */
  float *const *y;     /* a second h_out, which is merged; or NULL */
  rondo_merge merge;   /* SUM, MUL, AVE with what y holds; else y is written */
} rondo_fused_forward_args;

/* Between a GRU's products for a narrow block of n units: in each row of sums (rows, 3, V), x's part of gate h goes to
 * where narrow_forward expects it, and what the recurrent part begins with, bias (n), takes its place. */
typedef void rondo_narrow_kernel(int rows, int units, const float *bias, float *sums);

/* One timestep of some rows of any layer, from the sums of both products. They add up as
 *
 *     ax = LN(x_sums) + bias    ah = LN(h_sums) + recurrent_bias    with layer_norm, by layer_norm_forward, in place
 *     ax = x_sums               ah = h_sums                         otherwise: the sums began with the biases
 *
 * after which the cells follow rondo_layer and its words. A cell's h goes to inner, and from there, perhaps
 * through a projection, to output_forward. */
typedef struct rondo_cell_forward_args {
  const rondo_layer *layer;
  int rows, hidden;
  int units;                                   /* U: hidden in whole blocks */
  float *x_sums, *h_sums;                      /* (rows, G, U); used up */
  float *inner;                                /* (rows, U) */
  const float *bias, *recurrent_bias;          /* (G, U) */
  const float *peephole;                       /* (3, U) */
  const float *gamma_kernel, *gamma_recurrent; /* (G, U) */
  const float *gamma_cell, *beta_cell;         /* (U) */
  const float *const *h_in;                    /* (rows): (hidden) */
  const float *const *c_in;                    /* LSTM */
  float *const *c_out;                         /* LSTM */
} rondo_cell_forward_args;

/* The end of such a timestep: h = zoneout * h_in + (1 - zoneout) * value, to h_out and y. */
typedef struct rondo_output_forward_args {
  int rows, columns;
  const float *value; /* (rows, columns), rows apart by a number of floats */
  ptrdiff_t value_row;
  float zoneout;
  const float *const *h_in; /* (rows): (columns); only with zoneout */
  float *const *h_out;      /* or NULL */
  float *const *y;          /* or NULL */
  rondo_merge merge;        /* as in rondo_fused_forward_args */
} rondo_output_forward_args;

/* (count) numbers as a product takes them: their words, and behind them the scale of quads. */
typedef void rondo_words_kernel(int count, const float *in, uint32_t *out);

typedef void rondo_cell_kernel(const rondo_cell_forward_args *args);

/* A function over an array, for tests: out[i] = f(in[i]). */
typedef void rondo_cpu_map(rondo_function function, int count, const float *in, float *out);

typedef struct rondo_cpu_kernels {
  const char *name; /* the suffix */
  int lanes;        /* V */
  int rows;         /* that a tile takes at most */
  int pairs;        /* weights RONDO_BF16 come in pairs, their rows filled up to a multiple of this; 0: no pairs */
  int pair_rows;    /* that a tile of them takes at most */
  void (*product_forward)(const rondo_product_forward_args *args);
  void (*fused_forward[RONDO_RNN + 1])(const rondo_fused_forward_args *args); /* by rondo_cell */
  void (*narrow_forward[RONDO_GRU + 1])(const rondo_fused_forward_args *args);
  rondo_narrow_kernel *gru_narrow_begin;
  rondo_cell_kernel *layer_norm_forward;
  rondo_cell_kernel *gru_reset_forward;             /* reset_before: z and r into x_sums, r * h_in to inner */
  rondo_cell_kernel *cell_forward[RONDO_DENSE + 1]; /* by rondo_cell; DENSE: x_sums becomes its function, in place */
  void (*output_forward)(const rondo_output_forward_args *args);
  rondo_words_kernel *words[RONDO_INT8 + 1]; /* by rondo_dtype; NULL: it has no words */
  rondo_cpu_map *map;                        /* every rondo_activation but SOFTMAX */
  void (*exp)(int count, const float *in, float *out);
} rondo_cpu_kernels;

extern const rondo_cpu_kernels rondo_cpu_kernels_portable;
#if defined(__x86_64__)
extern const rondo_cpu_kernels rondo_cpu_kernels_avx2, rondo_cpu_kernels_avx512;
extern const rondo_cpu_kernels rondo_cpu_kernels_avx512_bf16; /* where the compiler knows it: RONDO_AVX512_BF16 */
extern const rondo_cpu_kernels rondo_cpu_kernels_amx;         /* likewise: RONDO_AMX */
extern const rondo_cpu_kernels rondo_cpu_kernels_avx512_vnni; /* likewise: RONDO_AVX512_VNNI */
#endif

/* cpu.c: NULL for an instruction set that this build has no kernels for. Says nothing about the machine. */
const rondo_cpu_kernels *rondo_cpu_kernels_of(rondo_isa isa);

/* features.c: those for weights of a type on this machine: where it has VNNI, that multiplies RONDO_INT8, with the same
 * bits. */
const rondo_cpu_kernels *rondo_cpu_kernels_for(rondo_isa isa, rondo_dtype type);

/* Rows of weights of a type that share a word; 1: it has none. */
static inline int rondo_cpu_group(const rondo_cpu_kernels *kernels, rondo_dtype type) {
  return !kernels->words[type] ? 1 : type == RONDO_INT8 ? 4 : 2;
}

/* What their number is filled up to a multiple of. */
static inline int rondo_cpu_fill(const rondo_cpu_kernels *kernels, rondo_dtype type) {
  int group = rondo_cpu_group(kernels, type);
  return group == 2 ? kernels->pairs : group;
}

static inline size_t rondo_cpu_filled(int fill, size_t count) {
  return (count + (size_t)fill - 1) / (size_t)fill * (size_t)fill;
}

/* kernels_ref.c, for tests only: the same from the same arguments in double, for the lanes and words of `kernels`;
 * weights are in words where rows are given in words. Results are dense double arrays and those of args stay untouched.
 * size: the sums of the terms' absolute values, which bound what rounding may do. */
void rondo_product_forward_ref(const rondo_product_forward_args *args, const rondo_cpu_kernels *kernels,
                               double *sums /* (blocks, rows, G, V) */, double *size /* likewise */);

/* a, size: gate sums (rows, hidden, G); c (LSTM), h: (rows, hidden). Only units of the given blocks are written. For
 * the h gate of a GRU, a holds the recurrent sum alone. */
void rondo_lstm_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                            double *size, double *c, double *h);
void rondo_gru_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                           double *size, double *h);
void rondo_rnn_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, double *a,
                           double *size, double *h);

/* The same of a narrow block, from sums alone. */
void rondo_narrow_forward_ref(const rondo_fused_forward_args *args, const rondo_cpu_kernels *kernels, rondo_cell cell,
                              double *a, double *c, double *h);

/* Without layer_norm: cell_forward's inner (for DENSE: its result) and c, (rows, hidden). */
void rondo_cell_forward_ref(const rondo_cell_forward_args *args, double *inner, double *c);

/* One row (gates, U) of layer_norm_forward; scale: what (v - mean) is multiplied by ahead of gamma. */
void rondo_layer_norm_ref(const float *v, int gates, int hidden, int units, const float *gamma, const float *beta,
                          double *result, double *scale);

/* A rondo_activation in double, but SOFTMAX. */
double rondo_function_ref(rondo_function function, double x);

#endif
