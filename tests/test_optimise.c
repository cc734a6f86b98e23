/* test_optimise.c - rondo_sgd, rondo_adam and rondo_clip_by_norm against rondo.h's formulas in double, with a bound of
 * what float may add to each number (compare_near.h).
 *
 * Every step is judged from the arrays that the step before left, so that errors do not add up. */
#include "compare_near.h"
#include "harness.h"

#include <limits.h>
#include <math.h>

static const double unit = 0x1p-24;

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

enum { PARAMS, GRADIENT, FIRST, SECOND, ARRAYS }; /* FIRST: velocity or m; SECOND: v */

/* Arrays of a call. The host's are as they were before it. */
typedef struct arrays {
  rondo_context *ctx;
  size_t count;
  float *here[ARRAYS], *there[ARRAYS];
} arrays;

static int make_arrays(arrays *a, size_t count) {
  *a = (arrays){.ctx = test_context(), .count = count};
  for (int i = 0; a->ctx && i < ARRAYS; i++) {
    a->here[i] = test_memory(count * sizeof(float));
    for (size_t k = 0; k < count && i < FIRST; k++) a->here[i][k] = problem_random(test_seed(), (uint64_t)i, k);
    a->there[i] = buffer_upload(a->ctx, a->here[i], count);
    if (!a->there[i]) return 0;
  }
  return a->ctx != NULL;
}

/* Another gradient, with numbers of very different size, 0 and, in the last place, one whose square is not a float. */
static void new_gradient(arrays *a, uint64_t step) {
  float *gradient = a->here[GRADIENT];
  for (size_t k = 0; k < a->count; k++) {
    float scale = powf(10, 4 * problem_random(test_seed(), 100 + step, k) - 2);
    gradient[k] = k % 7 == 3 ? 0 : scale * problem_random(test_seed(), 200 + step, k);
  }
  if (a->count > 1) gradient[a->count - 1] = 1e-25f;
  buffer_write(a->ctx, a->there[GRADIENT], gradient, a->count * sizeof *gradient);
}

/* An array after the call, of which the exact value of number k is expected (value, k). Then that becomes the host's.
 */
static void judge(arrays *a, int which, near (*expected)(const arrays *a, size_t k, const void *args), const void *args,
                  const char *name) {
  float *got = buffer_download(a->ctx, NULL, a->there[which], a->count);
  double worst = 0;
  for (size_t k = 0; k < a->count; k++) {
    near e = expected(a, k, args);
    double bound = e.error + unit * fabs(e.value) + 0x1p-149; /* the reference's own rounding to float */
    worst = compare_worst(worst, fabs(got[k] - e.value) / bound);
  }
  EXPECT_RATIO(worst, "%s", name);
  a->here[which] = got;
}

/* ---- SGD --------------------------------------------------------------------------------------------------------- */

typedef struct sgd_row {
  const char *name;
  size_t count;
  float rate, momentum;
  int nesterov;
} sgd_row;

static const sgd_row sgd_rows[] = {
    {"one", 1, 0.1f, 0, 0},
    {"plain", 1003, 0.01f, 0, 0},
    {"momentum", 1003, 0.01f, 0.9f, 0},
    {"nesterov", 517, 0.3f, 0.5f, 1},
    {"nesterov_none", 33, 0.3f, 0, 1},
    {"many", 5000, 0.01f, 0.99f, 1},
    {0},
};

static near exact(float value) {
  return near_exact((double)value);
}

static near minus(near v) {
  return (near){-v.value, v.error};
}

static near sgd_move(const arrays *a, size_t k, const sgd_row *row) {
  return minus(near_multiply(exact(row->rate), exact(a->here[GRADIENT][k]), unit));
}

static near sgd_velocity(const arrays *a, size_t k, const void *args) {
  const sgd_row *row = args;
  near kept = near_multiply(exact(row->momentum), exact(a->here[FIRST][k]), unit);
  return near_add(kept, sgd_move(a, k, row), unit);
}

static near sgd_params(const arrays *a, size_t k, const void *args) {
  const sgd_row *row = args;
  near move = sgd_move(a, k, row);
  if (row->momentum > 0) {
    near velocity = sgd_velocity(a, k, row);
    move = row->nesterov ? near_add(near_multiply(exact(row->momentum), velocity, unit), move, unit) : velocity;
  }
  return near_add(exact(a->here[PARAMS][k]), move, unit);
}

static void sgd(const void *parameter) {
  const sgd_row *row = parameter;
  arrays a;
  if (!make_arrays(&a, row->count)) return;
  rondo_sgd_args args = {.count = a.count,
                         .params = a.there[PARAMS],
                         .gradient = a.there[GRADIENT],
                         .rate = row->rate,
                         .momentum = row->momentum,
                         .nesterov = row->nesterov,
                         .velocity = row->momentum > 0 ? a.there[FIRST] : NULL};
  for (uint64_t step = 1; step <= 4; step++) {
    new_gradient(&a, step);
    EXPECT_OK(rondo_sgd(a.ctx, &args));
    judge(&a, PARAMS, sgd_params, row, "params");
    if (row->momentum > 0) judge(&a, FIRST, sgd_velocity, row, "velocity");
    const float *gradient = buffer_download(a.ctx, NULL, a.there[GRADIENT], a.count);
    EXPECT(test_same_bits(gradient, a.here[GRADIENT], a.count), "gradient was written");
  }
}

/* ---- Adam -------------------------------------------------------------------------------------------------------- */

typedef struct adam_row {
  const char *name;
  size_t count;
  float rate, beta_1, beta_2, epsilon; /* 0: the default */
  long long first;                     /* step */
} adam_row;

static const adam_row adam_rows[] = {
    {"one", 1, 0.1f, 0, 0, 0, 1},
    {"defaults", 1003, 0.001f, 0, 0, 0, 1},
    {"betas", 517, 0.01f, 0.5f, 0.9f, 0, 1},
    {"epsilon", 33, 0.01f, 0, 0, 0.1f, 1},
    {"late", 64, 0.001f, 0, 0, 0, 100000},
    {"very_late", 64, 0.001f, 0, 0, 0, LLONG_MAX - 4},
    {"many", 5000, 0.001f, 0, 0, 1e-8f, 1},
    {0},
};

/* 1 - beta is one operation. */
static near adam_mean(const arrays *a, size_t k, const void *args) {
  const rondo_adam_args *adam = args;
  double rest = 1 - (double)adam->beta_1;
  return near_mix((near){rest, unit * rest}, exact(a->here[GRADIENT][k]), exact(a->here[FIRST][k]), unit);
}

static near adam_square(const arrays *a, size_t k, const void *args) {
  const rondo_adam_args *adam = args;
  double rest = 1 - (double)adam->beta_2;
  near g = exact(a->here[GRADIENT][k]);
  return near_mix((near){rest, unit * rest}, near_multiply(g, g, unit), exact(a->here[SECOND][k]), unit);
}

/* The root's slope grows without limit towards 0, so its error is taken from both ends. */
static near near_root(near v) {
  double value = sqrt(v.value), above = sqrt(v.value + v.error), below = sqrt(fmax(v.value - v.error, 0));
  return (near){value, fmax(above - value, value - below) + unit * above};
}

static near near_quotient(near a, near b) {
  double most = near_reach(a) / (b.value - b.error), value = a.value / b.value;
  return (near){value, most - fabs(value) + unit * most + 0x1p-126};
}

/* The step's rate is computed in double and rounded. */
static near adam_params(const arrays *a, size_t k, const void *args) {
  const rondo_adam_args *adam = args;
  double step = (double)adam->step, beta_1 = (double)adam->beta_1, beta_2 = (double)adam->beta_2;
  double rate = (double)adam->rate * sqrt(1 - pow(beta_2, step)) / (1 - pow(beta_1, step));
  near over = near_multiply((near){rate, unit * rate}, adam_mean(a, k, args), unit);
  near under = near_add(near_root(adam_square(a, k, args)), exact(adam->epsilon), unit);
  return near_add(exact(a->here[PARAMS][k]), minus(near_quotient(over, under)), unit);
}

static void adam(const void *parameter) {
  const adam_row *row = parameter;
  arrays a;
  if (!make_arrays(&a, row->count)) return;
  rondo_adam_args args = {.count = a.count,
                          .params = a.there[PARAMS],
                          .gradient = a.there[GRADIENT],
                          .m = a.there[FIRST],
                          .v = a.there[SECOND],
                          .rate = row->rate,
                          .beta_1 = row->beta_1,
                          .beta_2 = row->beta_2,
                          .epsilon = row->epsilon};
  for (int i = 0; i < 4; i++) {
    args.step = row->first + i;
    new_gradient(&a, (uint64_t)i);
    EXPECT_OK(rondo_adam(a.ctx, &args));
    rondo_adam_args whole = args;
    if (!whole.beta_1) whole.beta_1 = 0.9f;
    if (!whole.beta_2) whole.beta_2 = 0.999f;
    if (!whole.epsilon) whole.epsilon = 1e-7f;
    judge(&a, PARAMS, adam_params, &whole, "params");
    judge(&a, FIRST, adam_mean, &whole, "m");
    judge(&a, SECOND, adam_square, &whole, "v");
  }
}

/* ---- clipping ---------------------------------------------------------------------------------------------------- */

typedef struct clip_row {
  const char *name;
  size_t count;
  float scale;  /* of the gradient, about */
  double limit; /* times the norm */
} clip_row;

static const clip_row clip_rows[] = {
    {"one", 1, 1, 0.5},
    {"clipped", 1003, 1, 0.1},
    {"not_clipped", 1003, 1, 1.5},
    {"barely", 517, 1, 0.999},
    {"barely_not", 517, 1, 1.001},
    {"block", 256, 1, 0.3},
    {"huge", 300, 1e30f, 1e-30},
    {"tiny", 300, 1e-30f, 0.01},
    {"tiny_not", 300, 1e-30f, 1e30},
    {"many_parts", 263000, 1, 0.01}, /* more than 1024 blocks of 256 threads */
    {0},
};

static void *new_scratch(rondo_context *ctx) {
  return buffer_new(ctx, RONDO_CLIP_SCRATCH);
}

/* The norm's bound is that of a sum of count squares in double in any order, and of one rounding to float; the scale is
 * rounded once more. */
static void clip(const void *parameter) {
  const clip_row *row = parameter;
  arrays a;
  if (!make_arrays(&a, row->count)) return;
  float *norm = buffer_floats(a.ctx, 1), *g = a.here[GRADIENT];
  void *scratch = new_scratch(a.ctx);
  if (!norm || !scratch) return;
  double squares = 0;
  for (size_t k = 0; k < a.count; k++) g[k] *= row->scale, squares += (double)g[k] * g[k];
  buffer_write(a.ctx, a.there[GRADIENT], g, a.count * sizeof *g);
  double exact_norm = sqrt(squares), float_norm = 0, worst = 0;
  rondo_clip_args args = {.count = a.count, .gradient = a.there[GRADIENT], .norm = norm, .scratch = scratch};
  args.limit = (float)(row->limit * exact_norm);
  EXPECT_OK(rondo_clip_by_norm(a.ctx, &args));
  float_norm = *buffer_download(a.ctx, NULL, norm, 1);
  double sum_error = (double)a.count * 0x1p-53, scale = fmin(1, args.limit / exact_norm);
  EXPECT_RATIO(fabs(float_norm / exact_norm - 1) / (sum_error + 1.01 * unit), "norm");
  const float *got = buffer_download(a.ctx, NULL, a.there[GRADIENT], a.count);
  if (scale == 1) {
    EXPECT(test_same_bits(got, g, a.count), "a gradient within the limit was changed");
    return;
  }
  for (size_t k = 0; k < a.count; k++) {
    double bound = (sum_error + 2.01 * unit) * fabs(g[k] * scale) + 0x1p-126;
    worst = compare_worst(worst, fabs(got[k] - g[k] * scale) / bound);
  }
  EXPECT_RATIO(worst, "gradient");
}

/* Without norm; and what is not finite stays. */
static void clip_not_finite(const void *unused) {
  (void)unused;
  enum { COUNT = 40 };
  arrays a;
  if (!make_arrays(&a, COUNT)) return;
  void *scratch = new_scratch(a.ctx);
  const float odd[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3 && scratch; i++) {
    a.here[GRADIENT][17] = odd[i];
    buffer_write(a.ctx, a.there[GRADIENT], a.here[GRADIENT], COUNT * sizeof(float));
    rondo_clip_args args = {.count = COUNT, .gradient = a.there[GRADIENT], .limit = 1e-3f, .scratch = scratch};
    EXPECT_OK(rondo_clip_by_norm(a.ctx, &args));
    const float *got = buffer_download(a.ctx, NULL, a.there[GRADIENT], COUNT);
    EXPECT(test_same_bits(got, a.here[GRADIENT], COUNT), "a gradient with %g in it was changed", (double)odd[i]);
  }
}

/* NaN and infinities stay in their place, and the same call gives the same bits. */
static void places(const void *unused) {
  (void)unused;
  enum { COUNT = 600 };
  arrays a, b;
  if (!make_arrays(&a, COUNT) || !make_arrays(&b, COUNT)) return;
  arrays *both[] = {&a, &b};
  for (int i = 0; i < 2; i++) {
    both[i]->here[GRADIENT][300] = NAN;
    buffer_write(both[i]->ctx, both[i]->there[GRADIENT], both[i]->here[GRADIENT], COUNT * sizeof(float));
    rondo_adam_args args = {.count = COUNT, .params = both[i]->there[PARAMS], .gradient = both[i]->there[GRADIENT]};
    args.m = both[i]->there[FIRST], args.v = both[i]->there[SECOND], args.step = 1, args.rate = 0.1f;
    EXPECT_OK(rondo_adam(both[i]->ctx, &args));
  }
  for (int which = PARAMS; which < ARRAYS; which++) {
    const float *first = buffer_download(a.ctx, NULL, a.there[which], COUNT);
    EXPECT(test_same_bits(first, buffer_download(b.ctx, NULL, b.there[which], COUNT), COUNT), "array %d differs",
           which);
    for (int k = 0; k < COUNT; k++) EXPECT(isnan(first[k]) == (k == 300), "number %d of array %d", k, which);
  }
}

const test_suite test_optimise = {
    "Optimise",
    TEST_ALL,
    (const test_row[]){{"sgd", sgd, TEST_TABLE(sgd_rows)},
                       {"adam", adam, TEST_TABLE(adam_rows)},
                       {"clip", clip, TEST_TABLE(clip_rows)},
                       {"clip_not_finite", clip_not_finite, NULL, 0},
                       {"places", places, NULL, 0},
                       {0}},
};
