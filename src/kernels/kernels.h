/* kernels.h - the CUDA kernels' plain C face: one argument struct per kernel, and from kernels.inc three functions:
 *
 *   int  rondo_<name>_cuda(args, stream)   enqueues it on the stream; pointers are device memory; returns a cudaError_t
 *   int  rondo_<name>_load_cuda()          loads its code onto the current device; returns a cudaError_t
 *   void rondo_<name>_ref(args)            its twin on host memory, plain C with sums in double, for tests
 *
 * Distances are in floats. Arguments are trusted: whoever launches has checked them. */
#ifndef RONDO_KERNELS_H
#define RONDO_KERNELS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;

/* Rows of H floats, row n at + n * stride. NULL: not wanted; as an input, zeros. */
typedef struct rondo_rows {
  float *at;
  ptrdiff_t stride;
} rondo_rows;
typedef struct rondo_const_rows {
  const float *at;
  ptrdiff_t stride;
} rondo_const_rows;

/* hx_gather: builds the rows [h | x] of a chunk of timesteps.
 *   hx[t][n][H + k] = x[t][n][k]   and, when with_h, hx[0][n][j] = h_0[n][j] */
typedef struct rondo_hx_gather_args {
  int batch, timesteps, input_size, hidden_size; /* N, T of the chunk, C, H */
  const float *x;                                /* (T, N, C) at t * x_timestep + n * x_sequence + k */
  ptrdiff_t x_sequence, x_timestep;              /* x_timestep may be negative */
  float *hx;                                     /* (T, N, hx_row); columns past H + C are not touched */
  ptrdiff_t hx_row;                              /* at least H + C */
  int with_h;
  rondo_const_rows h_0; /* (N, H) */
} rondo_hx_gather_args;

/* lstm_cell_forward: one timestep after its product.
 *   i, f, g, o = s, s, tanh, s (gates + bias)    c_out = f * c_in + i * g    h = o * tanh(c_out)
 * h goes to each of h_next, y, y_last and h_n that is wanted. c_out may be c_in. */
typedef struct rondo_lstm_cell_forward_args {
  int batch, hidden_size; /* N, H; 4H fits an int */
  const float *gates;     /* (N, 4H) dense: [h | x] @ [R; W] */
  const float *bias;      /* (4H) */
  rondo_const_rows c_in;
  rondo_rows c_out, h_next, y, y_last, h_n;
} rondo_lstm_cell_forward_args;

#define RONDO_KERNEL(name)                                                                                             \
  int rondo_##name##_cuda(const rondo_##name##_args *args, struct CUstream_st *stream);                                \
  int rondo_##name##_load_cuda(void);                                                                                  \
  void rondo_##name##_ref(const rondo_##name##_args *args);
#include "kernels.inc"
#undef RONDO_KERNEL

#ifdef __cplusplus
}
#endif

#endif
