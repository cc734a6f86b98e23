/* timing.c - the clock, and what is said of many times. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "timing.h"

#include <stdlib.h>
#include <time.h>

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_times(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

spread spread_of(double *times, int count) {
  qsort(times, (size_t)count, sizeof *times, compare_times);
  return (spread){
      .count = count,
      .median = (times[(count - 1) / 2] + times[count / 2]) / 2,
      .least = times[0],
      .p99 = times[(int)(0.99 * (count - 1))],
  };
}
