/* test_api_optimise.c - misuse of rondo_sgd, rondo_adam and rondo_clip_by_norm: the status, the sentence, and nothing
 * written. */
#include "misuse.h"

#include <string.h>

enum { PARAMS, GRADIENT, FIRST, SECOND, ARRAYS, COUNT = 8 }; /* FIRST: velocity, m, norm; SECOND: v */

/* Arrays of a good call, and their bits before it. */
typedef struct arrays {
  rondo_context *ctx;
  float *here[ARRAYS], *there[ARRAYS];
  void *scratch;
} arrays;

static int make_arrays(arrays *a) {
  *a = (arrays){.ctx = test_context()};
  for (int i = 0; a->ctx && i < ARRAYS; i++) {
    a->here[i] = test_memory(COUNT * sizeof(float));
    for (int k = 0; k < COUNT; k++) a->here[i][k] = (float)(k + i);
    a->there[i] = buffer_upload(a->ctx, a->here[i], COUNT);
    if (!a->there[i]) return 0;
  }
  a->scratch = a->ctx ? buffer_new(a->ctx, RONDO_CLIP_SCRATCH) : NULL;
  return a->scratch != NULL;
}

#define BAD(name, field, how, value, words)                                                                            \
  { name, FIELD(field), how, value, RONDO_INVALID_ARGUMENT, words }

#define FIELD(name) OF(rondo_sgd_args, name)
static const misuse sgd_misuses[] = {
    BAD("count", count, SET, 0, "count 0 is not in 1.."),
    BAD("count_negative", count, SET, -1, "count 18446744073709551615 is not"),
    BAD("params", params, SET, 0, "params is NULL"),
    BAD("params_align", params, SHIFT, 2, "params "),
    BAD("params_is_gradient", params, SAME_AS, offsetof(rondo_sgd_args, gradient), "overlap"),
    BAD("gradient", gradient, SET, 0, "gradient is NULL"),
    BAD("gradient_align", gradient, SHIFT, 1, "not aligned to 4 bytes"),
    BAD("velocity", velocity, SET, 0, "velocity is NULL"),
    BAD("velocity_is_params", velocity, SAME_AS, offsetof(rondo_sgd_args, params), "overlap"),
    BAD("rate", rate, SET_FLOAT, 0, "rate 0 is not"),
    BAD("rate_negative", rate, SET_FLOAT, -1, "rate -1 is not"),
    BAD("rate_nan", rate, SET_NAN, 0, "rate "),
    BAD("momentum_large", momentum, SET_FLOAT, 1, "momentum 1 is not"),
    BAD("momentum_negative", momentum, SET_FLOAT, -1, "momentum -1 is not"),
    BAD("momentum_nan", momentum, SET_NAN, 0, "momentum "),
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};
#undef FIELD

#define FIELD(name) OF(rondo_adam_args, name)
static const misuse adam_misuses[] = {
    BAD("count", count, SET, 0, "count 0 is not in 1.."),
    BAD("params", params, SET, 0, "params is NULL"),
    BAD("gradient", gradient, SET, 0, "gradient is NULL"),
    BAD("gradient_is_m", gradient, SAME_AS, offsetof(rondo_adam_args, m), "overlap"),
    BAD("m", m, SET, 0, "m is NULL"),
    BAD("m_align", m, SHIFT, 3, "m "),
    BAD("v", v, SET, 0, "v is NULL"),
    BAD("v_is_m", v, SAME_AS, offsetof(rondo_adam_args, m), "overlap"),
    BAD("step", step, SET, 0, "step 0 is below 1"),
    BAD("step_negative", step, SET, -5, "step -5 is below 1"),
    BAD("rate", rate, SET_FLOAT, 0, "rate 0 is not"),
    BAD("rate_nan", rate, SET_NAN, 0, "rate "),
    BAD("beta_1_large", beta_1, SET_FLOAT, 1, "beta_1 1 is not"),
    BAD("beta_1_nan", beta_1, SET_NAN, 0, "beta_1 "),
    BAD("beta_2_large", beta_2, SET_FLOAT, 2, "beta_2 2 is not"),
    BAD("beta_2_negative", beta_2, SET_FLOAT, -1, "beta_2 -1 is not"),
    BAD("epsilon_negative", epsilon, SET_FLOAT, -1, "epsilon -1 is not"),
    BAD("epsilon_nan", epsilon, SET_NAN, 0, "epsilon "),
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};
#undef FIELD

#define FIELD(name) OF(rondo_clip_args, name)
static const misuse clip_misuses[] = {
    BAD("count", count, SET, 0, "count 0 is not in 1.."),
    BAD("gradient", gradient, SET, 0, "gradient is NULL"),
    BAD("gradient_align", gradient, SHIFT, 2, "gradient "),
    BAD("norm_align", norm, SHIFT, 1, "norm "),
    BAD("limit", limit, SET_FLOAT, 0, "limit 0 is not"),
    BAD("limit_negative", limit, SET_FLOAT, -2, "limit -2 is not"),
    BAD("limit_nan", limit, SET_NAN, 0, "limit "),
    BAD("scratch", scratch, SET, 0, "scratch is NULL"),
    BAD("scratch_align", scratch, SHIFT, 4, "not aligned to 64 bytes"),
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};
#undef FIELD

static void expect_untouched(const arrays *a) {
  for (int i = 0; i < ARRAYS; i++)
    EXPECT(test_same_bits(buffer_download(a->ctx, NULL, a->there[i], COUNT), a->here[i], COUNT), "array %d was written",
           i);
}

static void sgd_fields(const void *row) {
  arrays a;
  if (!make_arrays(&a)) return;
  rondo_sgd_args args = {COUNT,     a.there[PARAMS],  a.there[GRADIENT],
                         .rate = 1, .momentum = 0.5f, .velocity = a.there[FIRST]};
  apply_misuse(row, &args);
  expect_misuse(row, rondo_sgd(a.ctx, &args), "rondo_sgd:");
  expect_untouched(&a);
}

static void adam_fields(const void *row) {
  arrays a;
  if (!make_arrays(&a)) return;
  rondo_adam_args args = {COUNT,           a.there[PARAMS], a.there[GRADIENT], a.there[FIRST],
                          a.there[SECOND], .step = 1,       .rate = 1};
  apply_misuse(row, &args);
  expect_misuse(row, rondo_adam(a.ctx, &args), "rondo_adam:");
  expect_untouched(&a);
}

static void clip_fields(const void *row) {
  arrays a;
  if (!make_arrays(&a)) return;
  rondo_clip_args args = {COUNT, a.there[GRADIENT], 0.1f, a.there[FIRST], a.scratch};
  apply_misuse(row, &args);
  expect_misuse(row, rondo_clip_by_norm(a.ctx, &args), "rondo_clip_by_norm:");
  expect_untouched(&a);
}

static void arguments(const void *unused) {
  (void)unused;
  arrays a;
  if (!make_arrays(&a)) return;
  const rondo_status bad = RONDO_INVALID_ARGUMENT;
  const rondo_sgd_args sgd_args = {COUNT, a.there[PARAMS], a.there[GRADIENT], .rate = 1};
  const rondo_adam_args adam_args = {COUNT,           a.there[PARAMS], a.there[GRADIENT], a.there[FIRST],
                                     a.there[SECOND], .step = 1,       .rate = 1};
  const rondo_clip_args clip_args = {COUNT, a.there[GRADIENT], 0.1f, a.there[FIRST], a.scratch};
  expect_refusal(bad, rondo_sgd(NULL, &sgd_args), "rondo_sgd:", "ctx is NULL");
  expect_refusal(bad, rondo_sgd(a.ctx, NULL), "rondo_sgd:", "args is NULL");
  expect_refusal(bad, rondo_adam(NULL, &adam_args), "rondo_adam:", "ctx is NULL");
  expect_refusal(bad, rondo_adam(a.ctx, NULL), "rondo_adam:", "args is NULL");
  expect_refusal(bad, rondo_clip_by_norm(NULL, &clip_args), "rondo_clip_by_norm:", "ctx is NULL");
  expect_refusal(bad, rondo_clip_by_norm(a.ctx, NULL), "rondo_clip_by_norm:", "args is NULL");
  expect_untouched(&a);
  rondo_sgd_args near = sgd_args; /* some of an array is in another */
  near.params = a.there[GRADIENT] + COUNT - 1;
  expect_refusal(bad, rondo_sgd(a.ctx, &near), "rondo_sgd:", "overlap");
}

const test_suite test_api_optimise = {
    "ApiOptimise",
    TEST_ALL,
    (const test_row[]){{"sgd", sgd_fields, TEST_TABLE(sgd_misuses)},
                       {"adam", adam_fields, TEST_TABLE(adam_misuses)},
                       {"clip", clip_fields, TEST_TABLE(clip_misuses)},
                       {"arguments", arguments, NULL, 0},
                       {0}},
};
