/* compare_cell.h - one timestep of any cell on numbers with bounds. Between the compare files. */
#ifndef RONDO_TESTS_COMPARE_CELL_H
#define RONDO_TESTS_COMPARE_CELL_H

#include "compare_near.h"

/* One layer and direction: what it is and the memory it works in. */
typedef struct exact_cell {
  const struct problem *problem; /* its cell, functions and options; its sizes are those of layer 0 */
  const rondo_weights *weights;
  int inputs, hidden, output;               /* F, H, O */
  int masks;                                /* K */
  const float *input_mask, *recurrent_mask; /* (K, F), (K, O), of the sequence; NULL: nothing is dropped */
  compare_arithmetic unit;
  near_sums from_x, from_h, other; /* (G*H) twice, (max(H, O)) */
  near *x_part, *h_part;           /* (G*H): what is normalised, or the gates */
  near *fresh, *gate, *row;        /* (H) each */
  near *factor;                    /* (max(F, H, O)): a row as a product takes it */
  void *memory;
} exact_cell;

/* 1, or 0 without memory. Fits all layers of the problem; the head's kind of problem is RONDO_DENSE. */
int exact_cell_create(exact_cell *cell, const problem *p, compare_arithmetic unit);
void exact_cell_free(exact_cell *cell);

/* One step: x (F); h (O) and c (H; LSTM) become the next ones. RONDO_DENSE: h is y. */
void exact_cell_step(exact_cell *cell, const near *x, near *h, near *c);

#endif
