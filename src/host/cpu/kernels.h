/* kernels.h - the CPU kernels: argument structs and the table of them by instruction set.
 *
 * One timestep of an LSTM layer takes two kernels. For every row (sequence) n, unit j and gate g:
 *
 *     project_forward   sums[n, j, g] = bias[j, g] + x_0 W[0, j, g] + x_1 W[1, j, g] + ...
 *     lstm_forward      a[n, j, g] = sums[n, j, g] + h_0 R[0, j, g] + h_1 R[1, j, g] + ...
 *                       c' = sigmoid(a_f) c + sigmoid(a_i) tanh(a_g),  h' = sigmoid(a_o) tanh(c')
 *
 * Each a is one chain of additions, in the order written, whatever rows or units a kernel takes together. So results do
 * not depend on the batch, the threads, or how many timesteps are projected at once. (A chain may rest in memory
 * between the kernels: storing a float does not change it.)
 *
 * Weights and sums come in unit blocks of V = lanes units; cpu.h draws the layout. Letters: B blocks, M rows. */
#ifndef RONDO_CPU_KERNELS_H
#define RONDO_CPU_KERNELS_H

#include "rondo/rondo.h"

/* x times W for rows of several timesteps: row m is sequence m % batch at timestep m / batch. */
typedef struct rondo_project_forward_args {
  int rows, batch, inputs;
  int blocks;
  const float *x; /* (rows, inputs), found by the two distances, which may be negative */
  ptrdiff_t x_sequence, x_timestep;
  const float *bias;    /* (blocks, 4, V) */
  const float *weights; /* (blocks, inputs, 4, V) */
  float *sums;          /* (blocks, rows, 4, V), blocks apart by sums_block floats */
  ptrdiff_t sums_block;
} rondo_project_forward_args;

/* One timestep for the rows of a batch and the units of some blocks. Nothing beyond unit hidden - 1 is read or written
 * in h, c and y. c_out may be c_in. Stride: from row to row. */
typedef struct rondo_lstm_forward_args {
  int rows, hidden;
  int first_block, blocks;
  const float *weights; /* (all B, hidden, 4, V) */
  const float *sums;    /* (all B, rows, 4, V), blocks apart by sums_block floats */
  ptrdiff_t sums_block;
  const float *h_in; /* (rows, hidden) */
  const float *c_in; /* (rows, hidden), or NULL: zeros */
  float *h_out;      /* (rows, hidden) */
  float *c_out;      /* (rows, hidden) */
  float *y;          /* (rows, hidden), a second h_out, or NULL */
  ptrdiff_t h_in_stride, c_in_stride, h_out_stride, c_out_stride, y_stride;
} rondo_lstm_forward_args;

/* The words of vec.h over arrays, for tests: out[i] = f(in[i]). */
typedef void rondo_cpu_map(int count, const float *in, float *out);

typedef struct rondo_cpu_kernels {
  const char *name; /* the suffix */
  int lanes;        /* V */
  int rows;         /* that a tile takes at most */
  void (*project_forward)(const rondo_project_forward_args *args);
  void (*lstm_forward)(const rondo_lstm_forward_args *args);
  rondo_cpu_map *exp, *sigmoid, *tanh;
} rondo_cpu_kernels;

extern const rondo_cpu_kernels rondo_cpu_kernels_portable;
#if defined(__x86_64__)
extern const rondo_cpu_kernels rondo_cpu_kernels_avx2, rondo_cpu_kernels_avx512;
#endif

/* kernels_ref.c, for tests only: the same from the same arguments in double, for vectors of V = lanes. Results are
 * dense double arrays and those of args stay untouched. size: the sums of the terms' absolute values, which bound what
 * rounding may do. */
void rondo_project_forward_ref(const rondo_project_forward_args *args, int lanes,
                               double *sums /* (blocks, rows, 4, V) */, double *size /* likewise */);

/* a, size: gate sums (rows, hidden, 4); c, h: (rows, hidden). Only units of the given blocks are written. */
void rondo_lstm_forward_ref(const rondo_lstm_forward_args *args, int lanes, double *a, double *size, double *c,
                            double *h);

/* cpu.c: NULL for an instruction set that this build has no kernels for. Says nothing about the machine. */
const rondo_cpu_kernels *rondo_cpu_kernels_of(rondo_isa isa);

#endif
