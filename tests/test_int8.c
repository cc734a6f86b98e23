/* test_int8.c - weights of 8 bits: how they are rounded, what is refused, what is left of the signal. Layers with them
 * are in the tables of problems, like any others. */
#include "compare.h"
#include "harness.h"

#include "int8.h"
#include "internal.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <string.h>

/* ---- int8.h ------------------------------------------------------------------------------------------------------ */

static void check_level(float v, float largest, int expected) {
  EXPECT(rondo_int8_level(v, largest) == expected && rondo_int8_level(-v, largest) == -expected,
         "%.9g of %.9g is level %d, not %d", (double)v, (double)largest, rondo_int8_level(v, largest), expected);
}

/* Every level, every tie between two and next to it, whatever the rounding mode; 127 * 2^n gives levels of 2^n. */
static void levels(const void *unused) {
  (void)unused;
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  for (int mode = 0; mode < 4; mode++)
    for (int exponent = -90; exponent <= 110; exponent += 20) {
      float unit = ldexpf(1, exponent), largest = 127 * unit;
      fesetround(modes[mode]);
      for (int n = 0; n <= 127; n++) check_level((float)n * unit, largest, n);
      for (int n = 0; n < 127; n++) {
        float tie = ((float)n + 0.5f) * unit;
        check_level(tie, largest, n + n % 2);
        check_level(nextafterf(tie, 0), largest, n);
        check_level(nextafterf(tie, FLT_MAX), largest, n + 1);
      }
      fesetround(FE_TONEAREST);
      EXPECT(rondo_int8_scale(largest) == unit, "a level of %g is %g", (double)largest,
             (double)rondo_int8_scale(largest));
    }
  check_level(0, 0, 0);
  check_level(0x1.fffffep-101f, 0x1.fffffep-101f, 0);
  EXPECT(rondo_int8_scale(0) == 0 && rondo_int8_scale(0x1.fffffep-101f) == 0, "next to nothing has a scale");
  EXPECT(rondo_int8_scale(RONDO_INT8_LEAST) > FLT_MIN, "the smallest scale is a subnormal number");
}

const test_suite test_int8_levels = {"Int8Levels", TEST_ONCE,
                                     (const test_row[]){{"levels", levels, NULL, 0}, {NULL, NULL, NULL, 0}}};

/* ---- layers ------------------------------------------------------------------------------------------------------ */

/* A quarter as large where nearly all of it is weights; the reference keeps doubles. */
static void smaller(const void *name) {
  rondo_context *ctx = test_context();
  rondo_plan_desc desc = problem_plan_desc(&test_data_named(name)->problem);
  rondo_plan *narrow = ctx ? test_plan(ctx, &desc) : NULL;
  desc.weights = RONDO_F32;
  rondo_plan *wide = narrow ? test_plan(ctx, &desc) : NULL;
  if (!wide) return;
  size_t bytes = rondo_plan_sizes(narrow)->params, before = rondo_plan_sizes(wide)->params;
  double share = rondo_context_backend(ctx) == RONDO_REFERENCE ? 1 : 0.35;
  EXPECT((double)bytes <= share * (double)before, "%zu bytes, not at most %g of %zu", bytes, share, before);
}

/* One number of x that is not finite makes all of that sequence's outputs NaN from its step on, and no other's: these
 * keep their bits. */
static void not_finite(const void *name) {
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  const problem_data *data = test_data_named(name);
  const problem *p = &data->problem;
  size_t columns = (size_t)problem_columns(p), steps = (size_t)p->timesteps, sick = (size_t)p->batch / 2, when = 1;
  test_setup s;
  rondo_context *ctx = test_context();
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  test_outputs healthy = test_forward(&s, &s.batch);
  float *x = test_memory(s.x_count * sizeof *x);
  for (int i = 0; i < 3; i++) {
    memcpy(x, data->x, s.x_count * sizeof *x);
    x[(sick * steps + when) * (size_t)p->input_size + 1] = bad[i];
    buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, s.x_count * sizeof *x);
    test_outputs got = test_forward(&s, &s.batch);
    int wrong = 0;
    for (size_t at = 0; at < (size_t)p->batch * steps * columns; at++) {
      size_t n = at / columns / steps, t = at / columns % steps;
      int spoilt = n == sick && (p->cell == RONDO_DENSE ? t == when : t >= when);
      wrong += spoilt ? !isnan(got.y[at]) : !test_same_bits(&got.y[at], &healthy.y[at], 1);
    }
    EXPECT(!wrong, "%g in x: %d numbers are not what they should be", (double)bad[i], wrong);
  }
}

static double decibels(const float *got, const float *right, size_t count) {
  double noise = 0, signal = 0;
  for (size_t i = 0; i < count; i++) {
    noise += pow((double)got[i] - (double)right[i], 2);
    signal += pow((double)right[i], 2);
  }
  return 10 * log10(signal / noise);
}

/* What is left of the signal, beside a plan of floats. Rounding adds noise of 1 / sqrt(12) levels: -53 dB of the
 * largest of a row or a column. Of x and the weights here, which are uniform, that is -48 dB of the usual one; of h,
 * whose largest is some 4 times the usual one, -41. So x @ W has -45 dB, h @ R -40; what h carries on from step to step
 * may be as much again, and so may what the layer below has left: 34 dB. More than 50 would mean that nothing was
 * rounded. */
static void signal(const void *name) {
  const problem_data *data = test_data_named(name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  test_setup narrow, wide;
  rondo_context *ctx = test_context();
  if (!ctx || !test_set_up(&narrow, ctx, data, &desc)) return;
  desc.weights = RONDO_F32;
  if (!test_set_up(&wide, ctx, data, &desc)) return;
  test_outputs got = test_forward(&narrow, &narrow.batch), right = test_forward(&wide, &wide.batch);
  double db = decibels(got.y, right.y, narrow.y_count);
  EXPECT_RATIO(pow(10, (34 - db) / 20), "%s: %.1f dB", (const char *)name, db);
  EXPECT(db < 50, "%s: %.1f dB, as if nothing were rounded", (const char *)name, db);
}

/* A thread may round as it likes: levels stay the nearest. Rounding one way would leave some 35 dB, and the last places
 * of floats and doubles, which do change, leave 100; at most they move a level that was as near as the next one. */
static void rounding_modes(const void *name) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
  const problem_data *data = test_data_named(name);
  rondo_context *ctx = test_context();
  float *right = NULL;
  for (int i = 0; ctx && i < 4; i++) {
    test_setup s;
    fesetround(modes[i]);
    int good = test_set_up(&s, ctx, data, NULL);
    float *y = good ? test_forward(&s, &s.batch).y : NULL;
    fesetround(FE_TONEAREST);
    if (!good) return;
    if (i == 0)
      right = y;
    else
      EXPECT_RATIO(pow(10, (60 - decibels(y, right, s.y_count)) / 20), "%s: rounding mode %d", (const char *)name, i);
  }
}

/* ---- what is refused --------------------------------------------------------------------------------------------- */

typedef struct fit_row {
  const char *name;
  int weights;         /* index */
  size_t offset, last; /* the array, and the element of it that is not finite */
  float value;
  const char *words; /* NULL: it is accepted */
} fit_row;

#define ARRAY(field) offsetof(rondo_weights, field)

static const fit_row fit_rows[] = {
    {"kernel", 0, ARRAY(kernel), 79, INFINITY, "kernel[79] inf is not finite, as weights RONDO_INT8"},
    {"kernel_nan", 0, ARRAY(kernel), 79, NAN, "kernel[79] nan"},
    {"recurrent_kernel", 0, ARRAY(recurrent_kernel), 59, -INFINITY, "recurrent_kernel[59] -inf"},
    {"projection", 0, ARRAY(projection), 14, INFINITY, "projection[14] inf"},
    {"head", 1, ARRAY(kernel), 5, -INFINITY, "kernel[5] -inf"},
    {"largest", 0, ARRAY(kernel), 79, FLT_MAX, NULL},
    {"bias", 0, ARRAY(bias), 19, INFINITY, NULL}, /* a float in any case */
    {NULL, 0, 0, 0, 0, NULL}};

static void fits(const void *parameter) {
  const fit_row *row = parameter;
  const problem_data *data = test_data_named("lstm:n2t3c4h5:proj=3:head=2:weights=int8");
  rondo_context *ctx = test_context();
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  rondo_plan *plan = ctx ? test_plan(ctx, &desc) : NULL;
  if (!plan) return;
  size_t floats = rondo_plan_sizes(plan)->params / sizeof(float);
  float *params = buffer_floats(ctx, floats), *copy = test_memory((row->last + 1) * sizeof *copy);
  if (!params) return;
  buffer_poison(ctx, params, floats);
  rondo_weights weights = data->weights[row->weights];
  const float **array = (const float **)(void *)((char *)&weights + row->offset);
  memcpy(copy, *array, (row->last + 1) * sizeof *copy);
  copy[row->last] = row->value, *array = copy;
  rondo_status status = rondo_pack(plan, ctx, params, &weights);
  if (!row->words) {
    EXPECT_OK(status);
    return;
  }
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, status);
  EXPECT(strstr(rondo_last_error(), row->words), "\"%s\" does not say \"%s\"", rondo_last_error(), row->words);
  EXPECT(test_is_poison(buffer_download(ctx, NULL, params, floats), floats), "params was written");
}

/* A sum of more products would not fit 32 bits. The reference has no such limit; CUDA has no such weights. */
static void too_deep(const void *unused) {
  (void)unused;
  static const int sizes[][2] = {{132104, 4}, {132105, 4}, {4, 132104}, {4, 132105}};
  rondo_context *ctx = test_context();
  for (int i = 0; ctx && i < 4; i++) {
    rondo_plan *plan = NULL;
    rondo_plan_desc desc = {.layer = {.cell = RONDO_RNN, .input_size = sizes[i][0], .hidden_size = sizes[i][1]}};
    desc.max_batch = desc.max_timesteps = 1, desc.weights = RONDO_INT8;
    rondo_backend backend = rondo_context_backend(ctx);
    int offered = backend == RONDO_REFERENCE || (backend == RONDO_CPU && i % 2 == 0);
    EXPECT_STATUS(offered ? RONDO_OK : RONDO_UNSUPPORTED, rondo_plan_create(&plan, ctx, &desc));
    if (!offered) {
      const char *words = backend == RONDO_CPU ? "only up to 132104 of each" : "RONDO_INT8 is not offered by CUDA";
      EXPECT(strstr(rondo_last_error(), words), "\"%s\" does not say \"%s\"", rondo_last_error(), words);
    }
    rondo_plan_destroy(plan);
  }
}

static const char *const large[] = {
    "lstm:n1t1c64h64:weights=int8",       "lstm:n1t1c64h64:proj=32:head=64:weights=int8",
    "gru:n1t1c64h64:before:weights=int8", "gru:n1t1c64h64l2:bi:weights=int8",
    "rnn:n1t1c64h64:weights=int8",        NULL};
static const char *const batches[] = {"lstm:n3t4c5h33:weights=int8", "gru:n7t4c5h9l2:before:weights=int8",
                                      "gru:n3t5c6h18:weights=int8",  "rnn:n4t3c5h7:head=4:weights=int8",
                                      "dense:n3t4c5h7:weights=int8", NULL};
static const char *const signals[] = {"lstm:n9t50c64h128:weights=int8",        "lstm:n4t30c40h96l2:bi:weights=int8",
                                      "gru:n9t50c64h128:weights=int8",         "gru:n4t30c40h96:before:weights=int8",
                                      "lstm:n4t30c40h96:proj=48:weights=int8", NULL};

const test_suite test_int8 = {"Int8", TEST_ALL,
                              (const test_row[]){{"smaller", smaller, TEST_TABLE(large)},
                                                 {"not_finite", not_finite, TEST_TABLE(batches)},
                                                 {"signal", signal, TEST_TABLE(signals)},
                                                 {"rounding_modes", rounding_modes, TEST_TABLE(batches)},
                                                 {"fits", fits, TEST_TABLE(fit_rows)},
                                                 {"too_deep", too_deep, NULL, 0},
                                                 {NULL, NULL, NULL, 0}}};
