/* kernels_cpu.h - what the tests of the CPU's kernels share (test_kernels_cpu.c has it, but where another is named). */
#ifndef RONDO_KERNELS_CPU_H
#define RONDO_KERNELS_CPU_H

#include "cpu/cpu.h"
#include "harness.h"

static const double u = 0x1p-24; /* half a unit in the last place of a float near 1 */

typedef struct cpu_level {
  const char *name;
  rondo_isa isa;
} cpu_level;
extern const cpu_level cpu_levels[]; /* ends with a name of NULL */

/* A test row for each level, of which the test gets one. */
#define CPU_TEST(name)                                                                                                 \
  { #name, name, TEST_TABLE(cpu_levels) }

/* NULL, and the test is skipped: this build or this machine has no such instructions. */
const rondo_cpu_kernels *cpu_kernels_of(const cpu_level *level);

rondo_context *cpu_host(void);

/* Random floats in [-1, 1), guarded. */
float *cpu_filled(rondo_context *ctx, size_t count, uint64_t stream);

/* Where the machine has other instructions for weights of this type, the kernels that use them; else NULL. */
const rondo_cpu_kernels *cpu_kernels_beside(const cpu_level *level, rondo_dtype type);

/* A table of rows. */
float **cpu_rows(float *base, int rows, ptrdiff_t stride);

/* Error as a share of the bound: 0 where both are the same infinity or not a number, infinite where just one is not. */
double cpu_share(double got, double expected, double bound);

/* Weights of a layer or of a product: (streams, rows, width). */
typedef struct cpu_weights {
  rondo_dtype type;
  int group, fill; /* of rows that share a word; what their number is filled up to a multiple of */
  int streams, rows, width;
} cpu_weights;

/* test_halves_cpu.c: random weights in [-1, 1), filled up with zeros; an even number of them. */
void *cpu_filled_weights(rondo_context *ctx, const cpu_weights *s, uint64_t stream);

/* The same numbers as floats. */
const float *cpu_widened(const cpu_weights *s, const void *weights);

/* Rows (rows, count) as words of a type, filled up to a multiple and `stride` apart; and copies of them as floats,
 * rounded to bf16. */
const uint32_t *cpu_words(rondo_context *ctx, rondo_dtype type, const float *const *from, int rows, int count, int fill,
                          int stride);
const float *const *cpu_rounded_rows(const float *const *from, int rows, int count);

/* test_int8_cpu.c: random levels and scales of quads, (streams, 2 + rows / 4 rounded up, width) words; and rows
 * as quads. */
void *cpu_filled_quads(rondo_context *ctx, const cpu_weights *s, uint64_t stream);
const uint32_t *cpu_quads(rondo_context *ctx, const float *const *from, int rows, int count, int stride);

#endif
