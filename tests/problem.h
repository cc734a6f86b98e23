/* problem.h - problems as strings, the table of them that tests and bench share, and their data from a seed.
 *
 *   problem  = cell ":" sizes { ":" option }
 *   cell     = "lstm"
 *   sizes    = "n" N "t" T "c" C "h" H [ "l" L ]      batch, timesteps, input_size, hidden_size, num_layers (1)
 *   option   = "back"      go_backwards               "nobias"  no_bias
 *            | "time"      time-major                 "strided" rows of x, y, y_last and the states have gaps
 *            | "h0"        starts from a given state  "tf32"    allow_tf32
 *            | "tiny"      x and state near zero      "big"     saturates the gates
 *
 * "lstm:n3t5c7h9", "lstm:n64t100c39h512l2:back:h0". Options may come in any order and print in the order above.
 * A new cell or option is one row of a table in problem.c. Needs rondo.h and libc only. */
#ifndef RONDO_TESTS_PROBLEM_H
#define RONDO_TESTS_PROBLEM_H

#include "rondo/rondo.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct problem {
  rondo_cell cell;
  int batch, timesteps, input_size, hidden_size;
  int num_layers; /* at least 1 */
  int go_backwards, no_bias, time_major, strided, initial_state, allow_tf32;
  int tiny, big;
} problem;

enum { PROBLEM_TEXT = 128, PROBLEM_MAX_SIZE = 1 << 20, PROBLEM_MAX_LAYERS = 64 };

/* 1 and *p; or 0, *p untouched and a sentence in message (PROBLEM_TEXT bytes at least). Any bytes are safe to pass. */
int problem_parse(problem *p, const char *text, char *message, size_t size);

/* The problem's string, which parses to the same problem again. Gives text (PROBLEM_TEXT bytes are always enough). */
char *problem_print(const problem *p, char *text, size_t size);

/* Shapes for tests: below, at, above and across the tiles of every backend; and a few of them for tests that make many
 * calls. Both end with NULL. */
extern const char *const problem_table[];
extern const char *const problem_small_table[];

/* What the layer and the plan look like for a problem of just this size. */
rondo_plan_desc problem_plan_desc(const problem *p);

/* Floating point operations of one forward pass: two for each multiplication by a weight. */
double problem_flops(const problem *p);

/* A random number in [-1, 1): a function of its three arguments alone, the same on every machine. */
float problem_random(uint64_t seed, uint64_t stream, uint64_t index);

/* Host arrays of a problem. A test may build one of its own from other numbers. Weights are in Keras's order. */
typedef struct problem_data {
  struct problem problem;
  rondo_strides x_strides, y_strides;                 /* never 0 here, whatever the layout */
  size_t y_last_stride, state_stride;                 /* never 0 here */
  size_t x_count, y_count, y_last_count, state_count; /* floats from first to last element, gaps between included */
  float *x, *h_0, *c_0;                               /* h_0 and c_0 NULL: zeros. Gaps hold NaN */
  float *kernel[PROBLEM_MAX_LAYERS];                  /* (F, 4H), F = C or H */
  float *recurrent_kernel[PROBLEM_MAX_LAYERS];        /* (H, 4H) */
  float *bias[PROBLEM_MAX_LAYERS];                    /* (4H) or NULL */
} problem_data;

/* Sizes and strides only, all pointers NULL. */
void problem_layout(problem_data *data, const problem *p);

/* Weights uniform in +-1/sqrt(H) as PyTorch makes them, x and the state sums of four uniform numbers (variance 1);
 * tiny: x and state times 2^-20; big: x times 64. 1, or 0 without memory. Release with problem_data_free. */
int problem_data_create(problem_data *data, const problem *p, uint64_t seed);
void problem_data_free(problem_data *data);

/* For rondo_pack. */
rondo_weights problem_weights(const problem_data *data, int layer);

/* A batch with sizes and strides set and every pointer NULL. */
rondo_batch problem_batch(const problem_data *data);

/* Where element (n, t, 0) of x or y, and (l, n, 0) of a state, stands. */
size_t problem_at(rondo_strides strides, int n, int t);
size_t problem_state_at(const problem_data *data, int layer, int n);

#ifdef __cplusplus
}
#endif

#endif
