/* limits.h - what this machine can do at best, so that a timing can be held against a physical limit. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "rondo/rondo.h"

#include <stddef.h>

/* Products with their sums, as instructions make them in registers. */
typedef enum limits_unit {
  LIMITS_FMA,   /* multiply-adds of floats */
  LIMITS_PAIRS, /* two products of bf16 added to a float (VDPBF16PS) */
  LIMITS_QUADS, /* four products of int8 added to an int32 (VPDPBUSD) */
  LIMITS_UNITS
} limits_unit;

typedef struct limits {
  rondo_isa isa; /* the newest of PORTABLE, AVX2 and AVX512 that the machine has within what was asked for */
  int threads;   /* all figures are of so many threads at the same time, taken together */
  double gflops[LIMITS_UNITS]; /* two operations for each product; 0: there are no such instructions within that */
  struct {
    size_t bytes; /* the block that each thread reads again and again */
    double gbs;   /* GB/s, all threads together */
  } reads[64];
  int read_count;
} limits;

/* Measures the peaks of all units, in about 20 ms each. max_isa: nothing newer is used. */
void limits_measure(limits *l, rondo_isa max_isa, int threads);

/* Read bandwidth in GB/s when each thread goes over its own block of that size: measured when asked for, and the
 * best of all measurements of that size is kept. 0 when there is no memory for it. */
double limits_read_gbs(limits *l, size_t bytes);

/* "portable", "avx2", "avx512". */
const char *limits_isa_name(rondo_isa isa);

/* "fma", "pairs", "quads". */
const char *limits_unit_name(limits_unit unit);

/* The processor's name for people, "unknown processor" where the system does not say. */
const char *limits_cpu_name(void);

#endif
