/* shapes.h - the table of shapes.txt, which is compiled in, and problem strings that go beyond tests/problem.h. */
#ifndef BENCH_SHAPES_H
#define BENCH_SHAPES_H

#include "problem.h"

typedef struct shape {
  const char *name, *problem;
} shape;

extern const shape shapes[]; /* the last one's name is NULL */

/* The problem string of a name in the table, or the text itself. */
const char *shape_problem(const char *text);

/* As problem_parse, but asks the library for what tests/problem.h has no word for yet: the cells gru and rnn, and the
 * last option ":bi". Then desc says so, and p describes the LSTM of that size. 1, or 0 and a sentence. */
int shape_parse(problem *p, rondo_plan_desc *desc, const char *text, char *message, size_t size);

#endif
