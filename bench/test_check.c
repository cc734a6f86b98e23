/* test_check.c - the judge of bench_lstm must tell right from wrong: the reference passes, a result that is off does
 * not. */
#include "check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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

int main(void) {
  static const char *const names[] = {
      "lstm:n1t1c1h1",           "lstm:n3t5c7h9",       "lstm:n3t5c7h9:back:h0:strided", "lstm:n2t3c7h9l2",
      "lstm:n2t3c9h9l3:h0:time", "lstm:n1t200c39h156", /* here carried bounds have long grown useless */
      "gru:n3t5c7h9:h0",         "gru:n3t5c7h9:before", "rnn:n3t5c7h9:bi:strided",       "lstm:n3t5c7h9:bi=separate",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) judge(names[i]);
  return failures > 0;
}
