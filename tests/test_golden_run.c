/* test_golden_run.c - runs a recorded case on a backend: makes its plans, packs its weights in the peer's own format,
 * calls one run after another, and compares every output with the peer's own result in float64. */
#include "test_golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const float *floats(const tensor *t) {
  return t ? t->data : NULL;
}

static int pack(const golden_stage *s, int p, int layer, int direction) {
  const tensor *arrays[GOLDEN_PARAMS];
  if (!golden_weights(s->c, p, layer, direction, arrays)) return 0;
  rondo_weights weights = {.format = s->c->plan[p].format,
                           .layer = layer,
                           .direction = direction,
                           .kernel = floats(arrays[RONDO_KERNEL]),
                           .recurrent_kernel = floats(arrays[RONDO_RECURRENT_KERNEL]),
                           .bias = floats(arrays[RONDO_BIAS]),
                           .recurrent_bias = floats(arrays[RONDO_RECURRENT_BIAS]),
                           .peephole = floats(arrays[RONDO_PEEPHOLE]),
                           .projection = floats(arrays[RONDO_PROJECTION])};
  return EXPECT_OK(rondo_pack(s->plan[p], s->ctx, s->params[p], &weights));
}

static int open_plan(golden_stage *s, int p) {
  const golden_plan *plan = &s->c->plan[p];
  rondo_plan_desc desc = plan->desc;
  desc.training = s->training || golden_drops(plan);
  s->plan[p] = test_plan(s->ctx, &desc);
  if (!s->plan[p]) return EXPECT(0, "%s: there is no plan %d", s->c->id, p);
  s->params[p] = buffer_new(s->ctx, rondo_plan_sizes(s->plan[p])->params);
  s->workspace[p] = buffer_new(s->ctx, rondo_plan_sizes(s->plan[p])->workspace);
  for (int l = 0; l < golden_layers(plan); l++)
    for (int d = 0; d < golden_directions(plan, l); d++)
      if (!pack(s, p, l, d)) return 0;
  return 1;
}

/* ---- Inputs ------------------------------------------------------------------------------------------------------ */

/* A recorded tensor on the backend, or the output of an earlier run where it lies. NULL when the run has none; *ok
 * becomes 0 when it should have. */
static float *input(const golden_stage *s, int run, const char *word, size_t count, int *ok) {
  int earlier, used = 0;
  if (!*word) return NULL;
  if (sscanf(word, "run%d.%n", &earlier, &used) == 1 && used) {
    for (int o = 0; o < GOLDEN_OUTPUTS && earlier >= 0 && earlier < run; o++)
      if (!strcmp(word + used, golden_output_names[o]) && s->output[earlier][o]) return s->output[earlier][o];
  } else {
    const float *host = tensors_f32(s->c->file, word, count);
    if (host) return buffer_upload(s->ctx, host, count);
  }
  *ok = EXPECT(0, "%s: run %d has no %zu floats in %s", s->c->id, run, count, word);
  return NULL;
}

/* A recorded array that stays on the host. */
static const void *host_input(const golden_stage *s, int run, const char *word, const char *type, size_t count,
                              int *ok) {
  const tensor *t = *word ? tensors_find(s->c->file, word) : NULL;
  if (!*word || (t && !strcmp(t->type, type) && t->count == count)) return t ? t->data : NULL;
  *ok = EXPECT(0, "%s: run %d has no %zu of %s in %s", s->c->id, run, count, type, word);
  return NULL;
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

int golden_judge(const golden_stage *s, const char *name, double error, double bound) {
  golden_result *result = s->result;
  double ratio = error / bound;
  result->compared++;
  if (ratio > result->worst) {
    result->worst = ratio;
    snprintf(result->what, sizeof result->what, "%s %s", s->c->id, name);
  }
  return EXPECT_RATIO(ratio, "%s %s", s->c->id, name);
}

static int compare_one(const golden_stage *s, const char *name, const float *got, size_t count) {
  const double *want = tensors_f64(s->c->file, name, count);
  double error = 0, largest = 1;
  if (!EXPECT(want, "%s: %s is not %zu doubles", s->c->id, name, count)) return 0;
  for (size_t i = 0; i < count; i++) {
    double difference = fabs(got[i] - want[i]);
    if (difference > error || isnan(difference)) error = difference; /* NaN stays: nothing is greater */
    if (fabs(want[i]) > largest) largest = fabs(want[i]);
  }
  golden_judge(s, name, error, s->bounds.output * largest);
  return 1;
}

/* With every tensor that the word names. */
static int compare(const golden_stage *s, const char *word, const float *from, size_t count) {
  char name[GOLDEN_WORD];
  int used = 0;
  const float *got = NULL;
  if (!strcmp(word, "-")) return 1;
  while (sscanf(word, "%159[^,]%n", name, &used) == 1) {
    if (!got) got = buffer_download(s->ctx, NULL, from, count);
    if (!compare_one(s, name, got, count)) return 0;
    word += used + (word[used] == ',');
  }
  return 1;
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

static int run_one(golden_stage *s, int r) {
  const golden_run *run = &s->c->run[r];
  size_t inputs[GOLDEN_INPUTS], outputs[GOLDEN_OUTPUTS];
  float **output = s->output[r];
  rondo_batch *b = &s->batch[r];
  int ok = 1;
  golden_input_counts(s->c, r, inputs);
  golden_output_counts(s->c, r, outputs);
  *b = (rondo_batch){.batch = run->batch,
                     .timesteps = run->timesteps,
                     .params = s->params[run->plan],
                     .workspace = s->workspace[run->plan],
                     .reserve = buffer_new(s->ctx, rondo_plan_sizes(s->plan[run->plan])->reserve),
                     .y_strides = run->y_strides};
  b->x = input(s, r, run->x, inputs[GOLDEN_X], &ok);
  b->h_0 = input(s, r, run->h_0, inputs[GOLDEN_H_0], &ok);
  b->c_0 = input(s, r, run->c_0, inputs[GOLDEN_C_0], &ok);
  if (*run->dropout_masks) b->dropout_masks = input(s, r, run->dropout_masks, golden_mask_count(s->c, r), &ok);
  b->mask = host_input(s, r, run->mask, "u8", (size_t)run->batch * (size_t)run->timesteps, &ok);
  b->lengths = host_input(s, r, run->lengths, "i32", (size_t)run->batch, &ok);
  for (int o = 0; o < GOLDEN_OUTPUTS; o++)
    if (*run->output[o]) output[o] = buffer_output(s->ctx, outputs[o]);
  b->y = output[GOLDEN_Y], b->y_last = output[GOLDEN_Y_LAST], b->h_n = output[GOLDEN_H_N], b->c_n = output[GOLDEN_C_N];
  if (!ok || !EXPECT_OK(rondo_forward(s->plan[run->plan], s->ctx, b))) return 0;
  for (int o = 0; o < GOLDEN_OUTPUTS; o++)
    if (output[o] && !compare(s, run->output[o], output[o], outputs[o])) return 0;
  return 1;
}

int golden_run_case(golden_stage *s) {
  int before = s->result->compared;
  for (int p = 0; p < s->c->plans; p++)
    if (!open_plan(s, p)) return 0;
  for (int r = 0; r < s->c->runs; r++)
    if (!run_one(s, r)) return 0;
  return EXPECT(s->result->compared > before, "%s has nothing to compare with", s->c->id);
}
