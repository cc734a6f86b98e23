/* test_check.c - the judge of bench_lstm must tell right from wrong: the reference passes, a result that is off does
 * not. */
#include "training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static void expect(int condition, const char *what, const char *name, double share) {
  if (condition) return;
  printf("FAILED: %s: %s (share %g)\n", name, what, share);
  failures++;
}

static double share_of(const problem_data *data, const float *y) {
  verdict found;
  if (!check_run(&found, data, compare_float, y)) exit(1);
  return found.share;
}

/* y of the reference, (N, T, H) with the problem's strides. NULL after a failure. */
static float *reference(const problem_data *data) {
  rondo_context *ctx = NULL;
  rondo_plan *plan = NULL;
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  rondo_batch batch = problem_batch(data);
  float *y = malloc(data->y_count * sizeof *y);
  rondo_status status = rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_REFERENCE});
  if (status == RONDO_OK) status = rondo_plan_create(&plan, ctx, &desc);
  void *params = status == RONDO_OK ? rondo_alloc(ctx, rondo_plan_sizes(plan)->params) : NULL;
  void *workspace = status == RONDO_OK ? rondo_alloc(ctx, rondo_plan_sizes(plan)->workspace) : NULL;
  for (int i = 0; status == RONDO_OK && i < data->weights_count; i++)
    status = rondo_pack(plan, ctx, params, &data->weights[i]);
  batch.params = params, batch.workspace = workspace;
  batch.x = data->x, batch.h_0 = data->h_0, batch.c_0 = data->c_0, batch.y = y;
  if (status == RONDO_OK) status = rondo_forward(plan, ctx, &batch);
  rondo_free(ctx, params);
  rondo_free(ctx, workspace);
  rondo_plan_destroy(plan);
  rondo_context_destroy(ctx);
  if (status == RONDO_OK) return y;
  free(y);
  return NULL;
}

static void judge(const char *name) {
  problem p;
  problem_data data;
  char message[PROBLEM_TEXT];
  float *y = NULL;
  if (problem_parse(&p, name, message, sizeof message) && problem_data_create(&data, &p, 1)) y = reference(&data);
  expect(y != NULL, "cannot be run", name, 0);
  if (!y) return;
  double right = share_of(&data, y);
  expect(right <= 1, "the reference is right", name, right);
  for (int t = 0; t<p.timesteps; t += p.timesteps> 1 ? p.timesteps - 1 : 1) { /* the first and the last */
    float *one = y + problem_at(data.y_strides, p.batch - 1, t) + (size_t)problem_columns(&p) - 1, kept = *one;
    *one = kept + 1e-3F;
    double off = share_of(&data, y);
    expect(off > 1, "an output that is off by 1e-3 is wrong", name, off);
    *one = NAN;
    off = share_of(&data, y);
    expect(off > 1, "a NaN is wrong", name, off);
    *one = kept;
  }
  free(y);
  problem_data_free(&data);
}

/* ---- Training ---------------------------------------------------------------------------------------------------- */

/* A run and the reference's. */
typedef struct trained {
  const char *name;
  subject subject;
  subject_part part;
  training_results got, want;
} trained;

static size_t dx_count(const problem *p) {
  return (size_t)p->batch * (size_t)p->timesteps * (size_t)p->input_size;
}

/* The judge zeroes dx, so it is given another. */
static double share_of_training(const trained *t, float *dx) {
  verdict found;
  training_results got = t->got;
  got.dx = memcpy(dx, t->got.dx, dx_count(&t->subject.data.problem) * sizeof *dx);
  training_judge(&found, &t->subject, &t->part, &got, &t->want);
  return found.share;
}

/* Element `which` of an array of the run, moved by 1/1000 of the array's largest number. */
static void judge_moved(const trained *t, float *array, size_t count, size_t which) {
  float *dx = malloc(dx_count(&t->subject.data.problem) * sizeof *dx), kept = array[which], largest = 0;
  if (!dx) exit(1);
  for (size_t i = 0; i < count; i++) largest = fmaxf(largest, fabsf(array[i]));
  double right = share_of_training(t, dx);
  expect(right <= 1, "the gradients are right", t->name, right);
  array[which] = kept + 1e-3F * largest;
  double off = share_of_training(t, dx);
  expect(off > 1, "a gradient that is off by 1/1000 is wrong", t->name, off);
  array[which] = NAN;
  off = share_of_training(t, dx);
  expect(off > 1, "a gradient that is NaN is wrong", t->name, off);
  array[which] = kept;
  free(dx);
}

static int train(trained *t, rondo_context *ctx, const problem *p, double most_flops, int ragged) {
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.training = 1;
  return subject_open(&t->subject, ctx, p, &desc, ragged) == RONDO_OK &&
         subject_part_of(&t->part, &t->subject, most_flops, 3 * problem_flops(p)) &&
         training_run(&t->got, &t->subject, &t->part) == RONDO_OK &&
         training_reference(&t->want, &t->subject, &t->part) == RONDO_OK;
}

/* On the part of a problem that so many operations allow; parts: whether that is less than the whole. */
static void judge_training(const char *name, double most_flops, int parts, int ragged) {
  problem p;
  char message[PROBLEM_TEXT];
  rondo_context *ctx = NULL;
  rondo_matrix m;
  trained t = {.name = name};
  int good = problem_parse(&p, name, message, sizeof message) &&
             rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_CPU}) == RONDO_OK &&
             train(&t, ctx, &p, most_flops, ragged) &&
             rondo_plan_param(t.subject.plan, p.num_layers - 1, 0, RONDO_RECURRENT_KERNEL, &m) == RONDO_OK;
  expect(good, "cannot be trained", name, 0);
  if (!good) exit(1);
  const problem *seen = &t.part.data.problem;
  double rows = (double)seen->batch * seen->timesteps / p.batch / p.timesteps;
  expect((rows < 1) == parts, "another part than wanted", name, rows);
  judge_moved(&t, t.got.dparams + m.offset, m.rows * m.columns, m.rows * m.columns - 1);
  judge_moved(&t, t.got.dx, dx_count(&p), 0); /* in the part, or where it must be 0 */
  judge_moved(&t, t.got.dx, dx_count(&p), dx_count(&p) - 1);
  training_free(&t.got);
  training_free(&t.want);
  free(t.part.lengths);
  subject_close(&t.subject);
  rondo_context_destroy(ctx);
}

static void judge_trainings(void) {
  judge_training("lstm:n3t5c7h9", 1e9, 0, 0);
  judge_training("lstm:n4t6c5h9l2:bi:h0:time", 1e9, 0, 0);
  judge_training("gru:n3t5c7h9:len:strided", 1e9, 0, 0);
  judge_training("lstm:n20t6c5h9", 3e4, 1, 0);
  judge_training("gru:n20t6c5h9:time", 3e4, 1, 1);
  judge_training("lstm:n1t60c5h9", 3e4, 1, 0);
  judge_training("rnn:n1t60c5h9:back", 1e4, 1, 0);
}

int main(void) {
  static const char *const names[] = {
      "lstm:n1t1c1h1",           "lstm:n3t5c7h9",       "lstm:n3t5c7h9:back:h0:strided", "lstm:n2t3c7h9l2",
      "lstm:n2t3c9h9l3:h0:time", "lstm:n1t200c39h156", /* here carried bounds have long grown useless */
      "gru:n3t5c7h9:h0",         "gru:n3t5c7h9:before", "rnn:n3t5c7h9:bi:strided",       "lstm:n3t5c7h9:bi=separate",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) judge(names[i]);
  judge_trainings();
  return failures > 0;
}
