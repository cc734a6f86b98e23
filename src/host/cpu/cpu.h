/* cpu.h - what the files of the CPU backend share.
 *
 * A layer's part of the parameter block, for vectors of V lanes (B = H / V unit blocks, rounded up; F inputs):
 *
 *     header (256 bytes) | bias (B, 4, V) | W (B, F, 4, V) | R (B, H, 4, V)
 *
 * The four gates of V units lie side by side for every input, so a kernel that walks k holds i, f, g, o of the same
 * units in four registers, and c and h follow from them without a detour through memory. The weights of a unit block
 * are one stream; a thread that owns a range of blocks owns one range of memory. Lanes beyond H hold zeros. */
#ifndef RONDO_CPU_H
#define RONDO_CPU_H

#include "internal.h"

#include "cpu/kernels.h"
#include "cpu/threads.h"

typedef struct rondo_cpu_state {
  rondo_pool *pool;
  unsigned sweep;              /* timesteps done so far: the parity is the direction of the next walk over the units */
  size_t step_work, call_work; /* multiplications of a timestep and of a call that are worth another thread; tests
                                  lower them */
} rondo_cpu_state;

/* The sizes of a layer in this layout, in floats but for blocks. */
typedef struct rondo_cpu_layout {
  size_t inputs, hidden, lanes;
  size_t blocks;                         /* B */
  size_t bias, input_weights, recurrent; /* where each begins, after the header */
  size_t bytes;                          /* of all, header included; SIZE_MAX: does not fit */
} rondo_cpu_layout;

rondo_cpu_layout rondo_cpu_layout_of(const rondo_plan *plan, size_t inputs);

/* The first float after the header. */
const float *rondo_cpu_weights(const void *params);

/* hoisted.c */
rondo_status rondo_cpu_hoisted_prepare(rondo_plan *plan, const rondo_context *ctx);
rondo_status rondo_cpu_hoisted_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_pass *pass);

/* features.c: the best instruction set that this machine and the limit allow; never RONDO_ISA_BEST. */
rondo_isa rondo_cpu_best_isa(rondo_isa limit);

#endif
