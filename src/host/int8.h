/* int8.h - weights of 8 bits. Those of a unit and gate, a column of a matrix, are levels of -127..127 times one scale:
 * the largest of their sizes / 127. */
#ifndef RONDO_INT8_H
#define RONDO_INT8_H

#include <math.h>

/* Levels on each side of 0; and a column of which no weight reaches this counts as zeros: its scale would soon be
 * subnormal. */
enum { RONDO_INT8_LEVELS = 127 };
#define RONDO_INT8_LEAST 0x1p-100f

static inline float rondo_int8_scale(float largest) {
  return largest < RONDO_INT8_LEAST ? 0 : largest / RONDO_INT8_LEVELS;
}

/* The level nearest to v, of two the even one, whatever the thread's rounding mode. */
static inline int rondo_int8_level(float v, float largest) {
  if (largest < RONDO_INT8_LEAST) return 0;
  double size = fabs((double)v) * RONDO_INT8_LEVELS / (double)largest, below = floor(size), rest = size - below;
  int level = (int)below;
  if (rest > 0.5 || (rest == 0.5 && level % 2)) level++;
  return v < 0 ? -level : level;
}

#endif
