/* timing.h - the clock, and what is said of many times. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

/* Seconds of a clock that only runs forward. */
double now(void);

/* Of count times, at least one; sorts them. p99: 99 of 100 are not longer. */
typedef struct spread {
  int count; /* 0: nothing was timed */
  double median, least, p99;
} spread;
spread spread_of(double *times, int count);

#endif
