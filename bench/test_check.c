/* test_check.c - the judge of bench_lstm must tell right from wrong: the reference passes, a result that is off does
 * not. */
#include "bench.h"
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
static verdict judged_training(const trained *t, float *dx, int tf32) {
  verdict found;
  training_results got = t->got;
  got.dx = memcpy(dx, t->got.dx, dx_count(&t->subject.data.problem) * sizeof *dx);
  training_judge(&found, &t->subject, &t->part, &got, &t->want, training_allowance(&t->part.data.problem, tf32));
  return found;
}

static double share_of_training(const trained *t, float *dx) {
  return judged_training(t, dx, 0).share;
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

/* With the wide allowance of TF32: an array of the run that is all 0 is wrong, or, where it says too little, nothing
 * is judged but that there is no NaN. */
static void judge_tf32(const trained *t, float *array, size_t count, int judged) {
  size_t bytes = count * sizeof *array;
  float *dx = malloc(dx_count(&t->subject.data.problem) * sizeof *dx), *kept = malloc(bytes);
  if (!dx || !kept) exit(1);
  memcpy(kept, array, bytes);
  verdict right = judged_training(t, dx, 1);
  expect((right.timesteps > 0) == judged, "TF32 is judged just where there is a bound", t->name, right.share);
  expect(!check_wrong(&right), "the gradients are right for TF32", t->name, right.share);
  memset(array, 0, bytes);
  verdict off = judged_training(t, dx, 1);
  expect(check_wrong(&off) == judged, "zeros are wrong for TF32", t->name, off.share);
  array[0] = NAN;
  off = judged_training(t, dx, 1);
  expect(check_wrong(&off), "a NaN is wrong for TF32", t->name, off.share);
  memcpy(array, kept, bytes);
  free(dx);
  free(kept);
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
  int judged = seen->num_layers * seen->timesteps <= 28;
  judge_tf32(&t, t.got.y, t.subject.data.y_count, judged);
  judge_tf32(&t, t.got.dx, dx_count(&p), judged);
  judge_tf32(&t, t.got.dparams, rondo_plan_sizes(t.subject.plan)->params / sizeof(float), judged);
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
  judge_training("rnn:n1t60c5h9", 1e9, 0, 0);      /* too long for TF32 */
  judge_training("lstm:n1t25c200h200", 1e9, 0, 0); /* terms enough to drown in, were each of them counted */
}

/* ---- Recorded speech --------------------------------------------------------------------------------------------- */

/* Of a run on the CPU that does not round x and h; then with one number moved, and all of h 0. narrow: as if it did. */
static void judge_states(const recording *r, const char *name, rondo_dtype type, compare_arithmetic narrow) {
  rondo_context *ctx = NULL;
  rondo_plan_desc desc = {.weights = type};
  const rondo_context_desc exact = {.backend = RONDO_CPU, .max_isa = RONDO_ISA_AVX512};
  size_t count = ((size_t)r->frames + 1) * (size_t)r->units, one = count / 2;
  float *h = malloc(2 * count * sizeof *h), *c = h + count;
  double right, off, wide, none;
  int good = h && rondo_context_create(&ctx, &exact) == RONDO_OK && speech_states(r, ctx, &desc, h, c) == RONDO_OK &&
             recording_judge(&right, r, type, compare_float, h, c) && recording_judge(&wide, r, type, narrow, h, c);
  if (!good) exit(1);
  expect(right <= 1 && wide <= 1, "the states are right", name, right);
  h[one] += 1e-3F;
  if (!recording_judge(&off, r, type, compare_float, h, c)) exit(1);
  expect(off > 1, "a state that is off by 1e-3 is wrong", name, off);
  memset(h, 0, count * sizeof *h);
  if (!recording_judge(&none, r, type, narrow, h, c)) exit(1);
  expect(none > 1, "states of 0 are wrong", name, none);
  free(h);
  rondo_context_destroy(ctx);
}

static void judge_speech(void) {
  char message[TENSORS_MESSAGE] = "";
  recording r;
  if (recording_read(&r, RONDO_DATA_DIR "/silero_vad_lstm.tensors", message)) {
    judge_states(&r, "speech", RONDO_F32, compare_tf32);
    judge_states(&r, "speech with f16", RONDO_F16, compare_f16);
    judge_states(&r, "speech with bf16", RONDO_BF16, compare_bf16);
  } else {
    expect(0, message, "speech", 0);
  }
  recording_free(&r);
}

int main(void) {
  static const char *const names[] = {
      "lstm:n1t1c1h1",           "lstm:n3t5c7h9",       "lstm:n3t5c7h9:back:h0:strided", "lstm:n2t3c7h9l2",
      "lstm:n2t3c9h9l3:h0:time", "lstm:n1t200c39h156", /* here carried bounds have long grown useless */
      "gru:n3t5c7h9:h0",         "gru:n3t5c7h9:before", "rnn:n3t5c7h9:bi:strided",       "lstm:n3t5c7h9:bi=separate",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) judge(names[i]);
  judge_trainings();
  judge_speech();
  return failures > 0;
}
