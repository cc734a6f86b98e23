/* train.h - forward and backward of a problem on a backend. */
#ifndef RONDO_TESTS_TRAIN_H
#define RONDO_TESTS_TRAIN_H

#include "harness.h"

/* On the host; NULL: the cell has none. dx is dense in the layout, dparams the whole block. */
typedef struct train_gradients {
  float *dx, *dparams, *dh_0, *dc_0;
} train_gradients;

typedef struct train_call {
  test_setup setup;
  size_t dx_count, dparams_count; /* floats; of dh_0 and dc_0 setup.state_count */
  test_outputs outputs;
  train_gradients gradients;
} train_call;

/* A training plan of the data's problem, with recompute or not, and a batch ready for both calls: every output and
 * gradient is wanted, those by outputs are random numbers. 1, or 0 with the failure recorded. */
int train_set_up(train_call *c, rondo_context *ctx, const problem_data *data, int recompute);

/* Likewise of a training plan described. */
int train_set_up_plan(train_call *c, rondo_context *ctx, const problem_data *data, const rondo_plan_desc *desc);

/* A call with this batch, which is c->setup.batch or a copy; fills outputs, or gradients; or both calls. 1, or 0
 * likewise. */
int train_forward(train_call *c, const rondo_batch *batch);
int train_backward(train_call *c, const rondo_batch *batch);
int train_run(train_call *c, const rondo_batch *batch);

/* Fills gradients with what the batch's arrays hold now, after all work of the context. */
void train_download(train_call *c, const rondo_batch *batch);

/* Set up, and run. */
int train(train_call *c, rondo_context *ctx, const problem_data *data, int recompute);

/* Whether all outputs, and all gradients, have the same bits. */
int train_same(const train_call *a, const train_call *b);

/* The outputs keep the bounds of compare.h. data: of the masks that dropped. */
void train_expect_outputs(const char *what, const train_call *c, const problem_data *data);

/* The gradients are near those of the reference for the same data: see train.c. masks: what the batch gave as
 * dropout_masks, on the host; NULL: nothing. */
void train_expect_gradients(const char *what, const train_call *c, const problem_data *data, const float *masks);

/* For plans that no problem can say: outputs and gradients are near those of right, the reference's. moved: TRAIN_MOVES
 * calls more of it, with the inputs that train_move makes, each time others, of a call that is set up. */
enum { TRAIN_MOVES = 6 };
void train_expect_near(const char *what, const train_call *c, const train_call *right, const train_call *moved);
void train_move(const train_call *c, int time);

#endif
