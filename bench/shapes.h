/* shapes.h - the table of shapes.txt, which is compiled in. */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include "problem.h"

typedef struct shape {
  const char *name, *problem;
} shape;

extern const shape shapes[]; /* the last one's name is NULL */

/* The problem string of a name in the table, or the text itself. */
const char *shape_problem(const char *text);

#endif
