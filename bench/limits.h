/* limits.h - what this machine can do at best, so that a timing can be held against a physical limit. */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "rondo/rondo.h"

#include <stddef.h>

typedef struct limits {
  rondo_isa isa;     /* the newest the machine has within what was asked for; never BEST */
  int threads;       /* all figures are of so many threads at the same time, taken together */
  double fma_gflops; /* multiply-adds of floats in registers, two operations each */
  struct {
    size_t bytes; /* the block that each thread reads again and again */
    double gbs;   /* GB/s, all threads together */
  } reads[64];
  int read_count;
} limits;

/* Measures the multiply-add peak, in about 50 ms. */
void limits_measure(limits *l, rondo_isa max_isa, int threads);

/* Read bandwidth in GB/s when each thread goes over its own block of that size: measured when asked for, and the
 * best of all measurements of that size is kept. 0 when there is no memory for it. */
double limits_read_gbs(limits *l, size_t bytes);

/* "portable", "avx2", "avx512". */
const char *limits_isa_name(rondo_isa isa);

/* The processor's name for people, "unknown processor" where the system does not say. */
const char *limits_cpu_name(void);

#endif
