/* train.c - training calls, and how far what they give may be from the reference's.
 *
 * A sum of float roundings is at best the exact result of numbers that are a few units of rounding off. So gradients
 * may be as far from the reference's as those go when every weight, input and state, and every gradient that comes to
 * an output, is MOVED units off, up or down at random, and MOVED units of the largest number of their array besides.
 * By chance the movements of a few numbers cancel, so the farthest of TRAIN_MOVES times counts. Each array is judged as
 * a whole. */
#include "train.h"

#include "compare.h"
#include "dropout.h"

#include <math.h>
#include <string.h>

enum { MOVED = 16 };

/* Streams of random numbers: gradients, and which way numbers move. */
enum { DY = 40, DY_LAST, DH_N, DC_N, OF_PARAMS, OF_X, OF_H_0, OF_C_0, OF_DY, OF_DY_LAST, OF_DH_N, OF_DC_N };
enum { STREAMS = 20 }; /* from time to time */

static const float *random_array(rondo_context *ctx, size_t count, uint64_t stream) {
  float *host = test_memory(count * sizeof *host);
  for (size_t i = 0; i < count; i++) host[i] = problem_random(test_seed(), stream, i);
  return buffer_upload(ctx, host, count);
}

int train_set_up(train_call *c, rondo_context *ctx, const problem_data *data, int recompute) {
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1, desc.recompute = recompute;
  return train_set_up_plan(c, ctx, data, &desc);
}

int train_set_up_plan(train_call *c, rondo_context *ctx, const problem_data *data, const rondo_plan_desc *desc) {
  const problem *p = &data->problem;
  *c = (train_call){.dx_count = (size_t)p->batch * (size_t)p->timesteps * (size_t)p->input_size};
  test_setup *s = &c->setup;
  if (!test_set_up(s, ctx, data, desc)) return 0;
  rondo_batch *b = &s->batch;
  c->dparams_count = rondo_plan_sizes(s->plan)->params / sizeof(float);
  b->dy = random_array(ctx, s->y_count, DY);
  b->dy_last = random_array(ctx, s->y_last_count, DY_LAST);
  b->dx = buffer_output(ctx, c->dx_count);
  b->dparams = buffer_floats(ctx, c->dparams_count);
  if (b->h_n) b->dh_n = random_array(ctx, s->state_count, DH_N), b->dh_0 = buffer_output(ctx, s->state_count);
  if (b->c_n) b->dc_n = random_array(ctx, s->state_count, DC_N), b->dc_0 = buffer_output(ctx, s->state_count);
  return b->dy && b->dy_last && b->dx && b->dparams;
}

int train_forward(train_call *c, const rondo_batch *b) {
  if (!EXPECT_OK(rondo_forward(c->setup.plan, c->setup.ctx, b))) return 0;
  c->outputs = test_download(&c->setup, b);
  return 1;
}

int train_backward(train_call *c, const rondo_batch *b) {
  if (!EXPECT_OK(rondo_backward(c->setup.plan, c->setup.ctx, b))) return 0;
  train_download(c, b);
  return 1;
}

int train_run(train_call *c, const rondo_batch *b) {
  return train_forward(c, b) && train_backward(c, b);
}

void train_download(train_call *c, const rondo_batch *b) {
  const test_setup *s = &c->setup;
  c->gradients.dx = buffer_download(s->ctx, NULL, b->dx, c->dx_count);
  c->gradients.dparams = buffer_download(s->ctx, NULL, b->dparams, c->dparams_count);
  if (b->dh_0) c->gradients.dh_0 = buffer_download(s->ctx, NULL, b->dh_0, s->state_count);
  if (b->dc_0) c->gradients.dc_0 = buffer_download(s->ctx, NULL, b->dc_0, s->state_count);
}

int train(train_call *c, rondo_context *ctx, const problem_data *data, int recompute) {
  return train_set_up(c, ctx, data, recompute) && train_run(c, &c->setup.batch);
}

int train_same(const train_call *a, const train_call *b) {
  size_t states = a->setup.state_count;
  return test_same_outputs(&a->setup, &a->outputs, &b->outputs) &&
         test_same_bits(a->gradients.dx, b->gradients.dx, a->dx_count) &&
         test_same_bits(a->gradients.dparams, b->gradients.dparams, a->dparams_count) &&
         test_same_bits(a->gradients.dh_0, b->gradients.dh_0, states) &&
         test_same_bits(a->gradients.dc_0, b->gradients.dc_0, states);
}

void train_expect_outputs(const char *what, const train_call *c, const problem_data *data) {
  compare_expected e;
  const test_outputs *out = &c->outputs;
  compare_arithmetic unit = compare_arithmetic_of(rondo_context_backend(c->setup.ctx), RONDO_ISA_BEST, &data->problem);
  int made =
      compare_has_steps(&data->problem) ? compare_expect_steps(&e, data, unit, out->y) : compare_expect(&e, data, unit);
  if (!EXPECT(made, "no host memory")) return;
  EXPECT_RATIO(compare_y(&e, data, out->y), "%s: y", what);
  EXPECT_RATIO(compare_y_last(&e, data, out->y_last), "%s: y_last", what);
  if (out->h_n) EXPECT_RATIO(compare_h_n(&e, data, out->h_n), "%s: h_n", what);
  if (out->c_n) EXPECT_RATIO(compare_c_n(&e, data, out->c_n), "%s: c_n", what);
  compare_free(&e);
}

/* ---- The reference ----------------------------------------------------------------------------------------------- */

/* Each number MOVED units up or down. The reference's memory is the host's. */
static void move(const void *memory, size_t count, uint64_t stream) {
  float *numbers = (float *)(uintptr_t)memory; /* a buffer of the call's own */
  for (size_t i = 0; numbers && i < count; i++)
    numbers[i] *= 1 + (problem_random(test_seed(), stream, i) < 0 ? -MOVED : MOVED) * 0x1p-24f;
}

void train_move(const train_call *c, int time) {
  const test_setup *s = &c->setup;
  uint64_t first = STREAMS * (uint64_t)time;
  move(s->batch.params, c->dparams_count, first + OF_PARAMS);
  move(s->batch.x, s->x_count, first + OF_X);
  move(s->batch.h_0, s->state_count, first + OF_H_0);
  move(s->batch.c_0, s->state_count, first + OF_C_0);
  move(s->batch.dy, s->y_count, first + OF_DY);
  move(s->batch.dy_last, s->y_last_count, first + OF_DY_LAST);
  move(s->batch.dh_n, s->state_count, first + OF_DH_N);
  move(s->batch.dc_n, s->state_count, first + OF_DC_N);
}

/* time: below 0: as it is. */
static int run_reference(train_call *c, const problem_data *data, const float *masks, int time) {
  rondo_context *ctx = test_reference();
  if (!ctx || !train_set_up(c, ctx, data, 0)) return 0;
  rondo_batch b = c->setup.batch;
  b.dropout_masks = buffer_upload(ctx, masks, dropout_count(&data->problem));
  if (time >= 0) train_move(c, time);
  return train_run(c, &b);
}

/* The largest difference of two arrays. Where one was not written, both were not. */
static double difference(const float *a, const float *b, size_t count) {
  double worst = 0;
  for (size_t i = 0; a && i < count; i++)
    if (!test_same_bits(a + i, b + i, 1)) worst = compare_worst(worst, fabs((double)a[i] - (double)b[i]));
  return worst;
}

enum { OUTPUTS = 4, ARRAYS = 8 };

typedef struct result {
  const char *name;
  const float *array;
  size_t count;
} result;

/* Outputs, then gradients. */
static result result_of(const train_call *c, int index) {
  size_t states = c->setup.state_count;
  const result all[ARRAYS] = {
      {"y", c->outputs.y, c->setup.y_count}, {"y_last", c->outputs.y_last, c->setup.y_last_count},
      {"h_n", c->outputs.h_n, states},       {"c_n", c->outputs.c_n, states},
      {"dx", c->gradients.dx, c->dx_count},  {"dparams", c->gradients.dparams, c->dparams_count},
      {"dh_0", c->gradients.dh_0, states},   {"dc_0", c->gradients.dc_0, states}};
  return all[index];
}

static void judge_array(const char *what, const train_call *c, const train_call *exact, const train_call *moved,
                        int index) {
  result got = result_of(c, index), right = result_of(exact, index);
  double most = 0, reach = 0;
  if (!EXPECT(!got.array == !right.array, "%s: %s is there or not, unlike the reference's", what, got.name)) return;
  for (size_t i = 0; right.array && i < right.count; i++)
    if (!test_is_poison(right.array + i, 1)) most = fmax(most, fabs((double)right.array[i]));
  for (int time = 0; time < TRAIN_MOVES; time++)
    reach = fmax(reach, difference(right.array, result_of(&moved[time], index).array, right.count));
  double bound = reach + MOVED * 0x1p-24 * most, error = difference(got.array, right.array, right.count);
  if (bound > 0)
    EXPECT_RATIO(error / bound, "%s: %s", what, got.name);
  else
    EXPECT(error == 0, "%s: %s is %g, not 0", what, got.name, error);
}

void train_expect_gradients(const char *what, const train_call *c, const problem_data *data, const float *masks) {
  train_call right, moved[TRAIN_MOVES];
  if (!run_reference(&right, data, masks, -1)) return;
  for (int time = 0; time < TRAIN_MOVES; time++)
    if (!run_reference(&moved[time], data, masks, time)) return;
  for (int i = OUTPUTS; i < ARRAYS; i++) judge_array(what, c, &right, moved, i);
}

void train_expect_near(const char *what, const train_call *c, const train_call *right, const train_call *moved) {
  for (int i = 0; i < ARRAYS; i++) judge_array(what, c, right, moved, i);
}
