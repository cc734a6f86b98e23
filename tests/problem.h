/* problem.h - problems as strings, the table of them that tests and bench share, and their data from a seed.
 *
 *   problem  = cell ":" sizes { ":" option }
 *   cell     = "lstm" | "gru" | "rnn" | "dense"
 *   sizes    = "n" N "t" T "c" C "h" H [ "l" L ]      batch, timesteps, input_size, hidden_size, num_layers (1)
 *   option   = "bi" [ "=" ("sum" | "mul" | "ave" | "separate") ]      bidirectional and merge (concat)
 *            | "back"      go_backwards               "timeorder" time_order
 *            | "before"    reset_before               "nobias"    no_bias
 *            | "time"      time-major                 "strided"   rows of x, y, y_last and the states have gaps
 *            | "len"       lengths of all kinds, 0 and T too, in no order
 *            | "mask=" ("left" | "holes" | "rows" | "right")      left: padded before the sequence; rows: whole ones
 *            | "zero"      zero_output_for_mask       "h0"        starts from a given state
 *            | "slots"     states in a larger pool    "restart"   some sequences start from zeros all the same
 *            | "act=" f | "ract=" f | "oact=" f       activation, recurrent_activation, output_activation
 *            | "peephole" | "cifg" | "norm"           peephole, input_forget, layer_norm
 *            | "proj=" P   projection_size            "cellclip=" V | "clip=" V | "zoneout=" V | "zoneoutc=" V
 *            | "dropout=" V | "rdropout=" V | "ldropout=" V    dropout, recurrent_dropout, layer_dropout: training
 *            | "head=" U [ "=" f ]                    head_units, head_activation
 *            | "recompute" recompute: training        "weights=" ("f16" | "bf16" | "int8")
 *            | "tf32"      allow_tf32
 *            | "tiny"      x and state near zero      "big"       saturates the gates
 *   f        = name [ "(" alpha [ "," beta ] ")" ]    such as relu, hard_sigmoid(0.2,0.5)
 *
 * "lstm:n3t5c7h9", "gru:n64t100c39h512l2:bi:len:h0". Options may come in any order and print in the order above. A new
 * cell or option is one row of a table in problem_text.c. Needs rondo.h and libc only. */
#ifndef RONDO_TESTS_PROBLEM_H
#define RONDO_TESTS_PROBLEM_H

#include "rondo/rondo.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum problem_mask { MASK_NONE = 0, MASK_LEFT, MASK_HOLES, MASK_ROWS, MASK_RIGHT } problem_mask;

typedef struct problem {
  rondo_cell cell;
  int batch, timesteps, input_size, hidden_size;
  int num_layers; /* at least 1 */
  int bidirectional;
  rondo_merge merge;
  int go_backwards, time_order, reset_before, no_bias, time_major, strided;
  int lengths;
  problem_mask mask; /* not with lengths */
  int zero_output_for_mask, initial_state, slots, restart;
  rondo_function activation, recurrent_activation, output_activation;
  int peephole, input_forget, layer_norm;
  int projection_size;
  float cell_clip, clip, zoneout, zoneout_cell;
  float dropout, recurrent_dropout, layer_dropout;
  int head_units;
  rondo_function head_activation;
  int recompute;
  rondo_dtype weights;
  int allow_tf32;
  int tiny, big;
} problem;

enum { PROBLEM_TEXT = 640, PROBLEM_MAX_SIZE = 1 << 20, PROBLEM_MAX_LAYERS = 64 };

/* 1 and *p; or 0, *p untouched and a sentence in message (PROBLEM_TEXT bytes at least). Any bytes are safe to pass. */
int problem_parse(problem *p, const char *text, char *message, size_t size);

/* The problem's string, which parses to the same problem again. Gives text (PROBLEM_TEXT bytes are always enough). */
char *problem_print(const problem *p, char *text, size_t size);

/* The name of a function: "tanh", "sigmoid", ...; NULL for RONDO_DEFAULT and what is none. */
const char *problem_function_name(rondo_activation kind);

/* Shapes for tests: below, at, above and across the tiles of every backend; every cell and option; a few of them for
 * tests that make many calls; and problems of training: with dropout, and what else backward has to do with. All end
 * with NULL. */
extern const char *const problem_table[];
extern const char *const problem_option_table[];
extern const char *const problem_small_table[];
extern const char *const problem_training_table[];

/* What the layer and the plan look like for a problem of just this size; for training if it has an option of that. */
rondo_plan_desc problem_plan_desc(const problem *p);

/* Floating point operations of one forward pass without skipped steps: two for each multiplication by a weight. */
double problem_flops(const problem *p);

int problem_directions(const problem *p);  /* D */
int problem_gates(const problem *p);       /* G */
int problem_output_size(const problem *p); /* O, of one direction */
int problem_width(const problem *p);       /* columns of a layer's y: O, or 2*O side by side or apart */
int problem_inputs(const problem *p, int layer);
int problem_halves(const problem *p);  /* 2: y and y_last have two halves, `direction` apart; else 1 */
int problem_columns(const problem *p); /* of y and y_last, of each half */
int problem_has_state(const problem *p), problem_has_cell_state(const problem *p);
int problem_trains(const problem *p); /* has an option of training */
int problem_masks(const problem *p);  /* K */

/* Where the masks of a layer and direction begin in dropout_masks, in floats; or its recurrent ones, which follow. Of
 * layer num_layers: where all end. */
size_t problem_mask_at(const problem *p, int layer, int direction, int recurrent);

/* Floats of one of the buffers between layers that layer_dropout multiplies, (T, N, width); 0 without. */
size_t problem_between(const problem *p);

/* A random number in [-1, 1): a function of its three arguments alone, the same on every machine. */
float problem_random(uint64_t seed, uint64_t stream, uint64_t index);

/* Host arrays of a problem. A test may build one of its own from other numbers. Weights are in Keras's order. */
typedef struct problem_data {
  struct problem problem;
  rondo_strides x_strides, y_strides;                   /* never 0 here, whatever the layout */
  size_t y_last_stride, y_last_direction, state_stride; /* never 0 here */
  size_t x_count, y_count, y_last_count, state_count;   /* floats from first to last element, gaps between included */
  int slot_count;                                       /* with slots: rows of a state's pool */
  float *x, *h_0, *c_0; /* h_0, c_0 NULL: zeros. Gaps hold NaN, as do rows of states that no one may read */
  int32_t *lengths, *slots;
  uint8_t *mask, *restart;
  /* Training: what a call with this seed multiplies by, as rondo_batch.dropout_masks and one (T, N, width) after
   * another for the y of all layers but the last. NULL: nothing is dropped. problem_data_create leaves them NULL. */
  uint64_t seed;
  float *dropout_masks, *layer_masks;
  rondo_weights weights[2 * PROBLEM_MAX_LAYERS + 1]; /* of layer l, direction d: l * D + d; then the head's */
  int weights_count;
} problem_data;

/* Sizes and strides only, all pointers NULL. */
void problem_layout(problem_data *data, const problem *p);

/* Weights uniform in +-1/sqrt(H) as PyTorch makes them, x and the state sums of four uniform numbers (variance 1);
 * tiny: x and state times 2^-20; big: x times 64. 1, or 0 without memory. Release with problem_data_free. */
int problem_data_create(problem_data *data, const problem *p, uint64_t seed);
void problem_data_free(problem_data *data);

/* A batch with sizes, strides, seed and the host arrays lengths, mask, slots and restart set, every other pointer NULL.
 */
rondo_batch problem_batch(const problem_data *data);

/* Where element (n, t, 0) of x or y stands; and that of sequence n in a state, slots looked up. */
size_t problem_at(rondo_strides strides, int n, int t);
size_t problem_state_at(const problem_data *data, int layer, int direction, int n);

/* Whether neither lengths nor mask skip timestep t, in the order of x. */
int problem_is_real(const problem_data *data, int n, int t);

#ifdef __cplusplus
}
#endif

#endif
