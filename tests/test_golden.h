/* test_golden.h - a recorded case (golden/README.md) as structs: what test_golden_text.c reads out of a file's header,
 * and test_golden_run.c and test_golden_gradients.c run. */
#ifndef RONDO_TESTS_GOLDEN_H
#define RONDO_TESTS_GOLDEN_H

#include "harness.h"
#include "tensors.h"

enum { GOLDEN_PLANS = 4, GOLDEN_RUNS = 16, GOLDEN_WORD = 160 };

typedef enum golden_output { GOLDEN_Y, GOLDEN_Y_LAST, GOLDEN_H_N, GOLDEN_C_N, GOLDEN_OUTPUTS } golden_output;

typedef enum golden_input { GOLDEN_X, GOLDEN_H_0, GOLDEN_C_0, GOLDEN_INPUTS } golden_input; /* that have gradients */

typedef struct golden_plan {
  rondo_plan_desc desc; /* max_batch and max_timesteps: of the largest run */
  rondo_layer backward; /* cell RONDO_DENSE: there is none; else desc.layer.backward_layer points to it */
  rondo_format format;
} golden_plan;

/* One call. Words: "" for none; inputs name a tensor or an earlier run's output ("run0.h_n"); outputs name the tensors
 * to compare with, comma between them, or are "-": only kept for a later run. Backward: of an output, the tensors and
 * later runs' results ("run1.dx") whose sum its gradient is, comma between them; of an input, what must come out. */
typedef struct golden_run {
  int plan, batch, timesteps;
  rondo_strides y_strides;
  char x[GOLDEN_WORD], h_0[GOLDEN_WORD], c_0[GOLDEN_WORD], mask[GOLDEN_WORD], lengths[GOLDEN_WORD];
  char dropout_masks[GOLDEN_WORD];
  char output[GOLDEN_OUTPUTS][GOLDEN_WORD];
  char doutput[GOLDEN_OUTPUTS][GOLDEN_WORD], dinput[GOLDEN_INPUTS][GOLDEN_WORD];
} golden_run;

typedef struct golden_case {
  const char *id; /* the case's name; the other fields are of its file */
  const tensors *file;
  int plans, runs, gradients; /* gradients: it has some */
  golden_plan plan[GOLDEN_PLANS];
  golden_run run[GOLDEN_RUNS];
} golden_case;

/* The largest errors allowed: of outputs a share of max(1, the tensor's largest |value|), of gradients such a share or
 * an absolute one, whichever is larger. */
typedef struct golden_bounds {
  double output, gradient, gradient_absolute;
} golden_bounds;

/* How near a case came to its recording. */
typedef struct golden_result {
  int compared; /* tensors */
  double worst; /* largest error of them as a share of the bound */
  char what[2 * GOLDEN_WORD];
} golden_result;

/* The arrays of a layer that cases have, by rondo_param. */
enum { GOLDEN_PARAMS = RONDO_PROJECTION + 1 };

/* What the backend holds of a case. */
typedef struct golden_stage {
  const golden_case *c;
  rondo_context *ctx;
  int training; /* plans are for training */
  golden_bounds bounds;
  golden_result *result;
  rondo_plan *plan[GOLDEN_PLANS];
  void *params[GOLDEN_PLANS], *workspace[GOLDEN_PLANS];
  rondo_batch batch[GOLDEN_RUNS];
  float *output[GOLDEN_RUNS][GOLDEN_OUTPUTS]; /* in memory of the backend, as the next two */
  float *dinput[GOLDEN_RUNS][GOLDEN_INPUTS];  /* NULL: the run has no such input, or has not gone backward */
  float *dparams[GOLDEN_PLANS];               /* sums over the runs so far; NULL: none yet */
} golden_stage;

extern const char *const golden_output_names[GOLDEN_OUTPUTS], *const golden_input_names[GOLDEN_INPUTS];

/* Reads the header; 1, or 0 with the failure recorded. *c must stay where it is, as its layers point into it. */
int golden_read(golden_case *c, const char *id, const tensors *file);

/* O, the columns of a direction's h; and of both directions' outputs together: what is merged counts once. */
size_t golden_output_size(const golden_plan *plan, int direction);
size_t golden_columns(const golden_plan *plan);

/* Floats of a run's outputs and inputs. */
void golden_output_counts(const golden_case *c, int run, size_t counts[GOLDEN_OUTPUTS]);
void golden_input_counts(const golden_case *c, int run, size_t counts[GOLDEN_INPUTS]);
size_t golden_mask_count(const golden_case *c, int run); /* of dropout_masks; of one layer and direction */

/* Whether the plan drops anything, which only training plans do. */
int golden_drops(const golden_plan *plan);

/* The weights of one layer and direction (layer num_layers: the head), or their recorded gradients in double: every
 * array as long as the layer's sizes demand and none missing but the recurrent bias; NULL: the layer has none.
 * 1, or 0 with the failure recorded. */
int golden_weights(const golden_case *c, int plan, int layer, int direction, const tensor *arrays[GOLDEN_PARAMS]);
int golden_gradients(const golden_case *c, int plan, int layer, int direction, const tensor *arrays[GOLDEN_PARAMS]);

/* How many directions have weights in a layer of the plan, the head included. */
int golden_layers(const golden_plan *plan);
int golden_directions(const golden_plan *plan, int layer);

/* Runs everything on a backend and compares outputs. s: c, ctx, training, bounds and result are filled in; the rest is
 * zeros, and filled afterwards. 1, or 0 with the failure recorded. */
int golden_run_case(golden_stage *s);

/* After golden_run_case with training: goes back through all runs and compares every gradient that was recorded. */
int golden_run_backward(golden_stage *s);

/* Counts a tensor, named in the failure, whose largest error is error where bound is allowed. */
int golden_judge(const golden_stage *s, const char *name, double error, double bound);

#endif
