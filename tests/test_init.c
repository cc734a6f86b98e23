/* test_init.c - philox.h against published answers, and rondo_init_params: what Keras's initializers promise, where
 * everything lies, and the same numbers on every backend. */
#include "misuse.h"

#include "canonical.h"
#include "compare.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- philox.h ---------------------------------------------------------------------------------------------------- */

/* Random123's known answers for philox4x32 of ten rounds. */
static void known_answers(const void *unused) {
  static const struct {
    uint32_t counter[4], key[2], word[4];
  } rows[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  (void)unused;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const uint32_t *c = rows[i].counter, *k = rows[i].key;
    uint32_t word[4];
    rondo_philox((uint64_t)k[1] << 32 | k[0], (uint64_t)c[3] << 32 | c[2], (uint64_t)c[1] << 32 | c[0], word);
    EXPECT(memcmp(word, rows[i].word, sizeof word) == 0, "row %zu gives %08x %08x %08x %08x", i, word[0], word[1],
           word[2], word[3]);
  }
}

static void uniform_ends(const void *unused) {
  (void)unused;
  float least = rondo_philox_uniform(0), most = rondo_philox_uniform(UINT32_MAX);
  EXPECT(least == 0x1p-33f && most == 1, "words give numbers from %g to %g", (double)least, (double)most);
}

const test_suite test_philox = {
    "Philox",
    TEST_ONCE,
    (const test_row[]){{"known_answers", known_answers, NULL, 0}, {"uniform_ends", uniform_ends, NULL, 0}, {0}},
};

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* A block of a plan whose bytes nothing has written yet. */
typedef struct block {
  rondo_context *ctx;
  rondo_plan *plan;
  float *params;
  size_t count;
} block;

static int make_block(block *b, rondo_context *ctx, rondo_layer layer) {
  *b = (block){.ctx = ctx};
  if (!ctx) return 0;
  b->plan = test_plan(ctx, &(rondo_plan_desc){.layer = layer, .max_batch = 1, .max_timesteps = 2, .training = 1});
  if (!b->plan) return 0;
  b->count = rondo_plan_sizes(b->plan)->params / sizeof(float);
  b->params = buffer_floats(ctx, b->count);
  return b->params != NULL;
}

static float *init(const block *b, const rondo_init *how) {
  buffer_poison(b->ctx, b->params, b->count);
  EXPECT_OK(rondo_init_params(b->plan, b->ctx, b->params, how));
  return buffer_download(b->ctx, NULL, b->params, b->count);
}

static rondo_matrix find(const block *b, int layer, int direction, rondo_param which) {
  rondo_matrix where = {0};
  EXPECT_OK(rondo_plan_param(b->plan, layer, direction, which, &where));
  return where;
}

/* ---- each kind --------------------------------------------------------------------------------------------------- */

typedef struct kind_row {
  const char *name;
  rondo_initializer kind;
  int truncated;
  double scale;     /* variance = scale / n, */
  int fan_in, mean; /* where n is F, or the mean of F and K */
} kind_row;

static const kind_row kinds[] = {
    {"glorot_uniform", RONDO_INIT_GLOROT_UNIFORM, 0, 1, 0, 1},
    {"glorot_normal", RONDO_INIT_GLOROT_NORMAL, 1, 1, 0, 1},
    {"he_uniform", RONDO_INIT_HE_UNIFORM, 0, 2, 1, 0},
    {"he_normal", RONDO_INIT_HE_NORMAL, 1, 2, 1, 0},
    {"lecun_uniform", RONDO_INIT_LECUN_UNIFORM, 0, 1, 1, 0},
    {"lecun_normal", RONDO_INIT_LECUN_NORMAL, 1, 1, 1, 0},
    {0},
};

/* Bounds: uniform numbers have a variance of a^2 / 3; truncated ones no number beyond two of the deviations that a
 * truncation to the wanted variance must start from. Mean and variance of K numbers are within six standard errors: of
 * the mean sqrt(variance / K), of the variance less than variance * sqrt(2 / K), as both kinds have thinner tails than
 * a normal distribution. */
static void kind(const void *parameter) {
  const kind_row *row = parameter;
  block b;
  if (!make_block(&b, test_context(), (rondo_layer){.cell = RONDO_DENSE, .input_size = 61, .hidden_size = 107})) return;
  const float *params = init(&b, &(rondo_init){.seed = test_seed(), .kernel = row->kind});
  rondo_matrix where = find(&b, 0, 0, RONDO_KERNEL);
  size_t count = where.rows * where.columns;
  double n = row->fan_in ? 61 : (61 + 107) / 2.0, variance = row->scale / n, sum = 0, squares = 0, most = 0;
  for (size_t i = 0; i < count; i++) {
    double v = params[where.offset + i];
    sum += v, squares += v * v, most = compare_worst(most, fabs(v));
  }
  double limit = row->truncated ? 2 * sqrt(variance) / 0.8796256610342398 : sqrt(3 * variance);
  double mean = sum / (double)count, spread = squares / (double)count - mean * mean;
  EXPECT(most <= limit * (1 + 0x1p-22) && most > 0.95 * limit, "the largest is %g, the limit %g", most, limit);
  EXPECT(fabs(mean) <= 6 * sqrt(variance / (double)count), "the mean is %g", mean);
  EXPECT(fabs(spread / variance - 1) <= 6 * sqrt(2 / (double)count), "the variance is %g, not %g", spread, variance);
}

static void constants(const void *unused) {
  (void)unused;
  block b;
  if (!make_block(&b, test_context(), (rondo_layer){.cell = RONDO_RNN, .input_size = 3, .hidden_size = 5})) return;
  const rondo_init how = {.kernel = RONDO_INIT_ONES, .recurrent_kernel = RONDO_INIT_ZEROS, .bias = RONDO_INIT_ONES};
  const float *params = init(&b, &how);
  size_t ones = 0, zeros = 0;
  for (size_t i = 0; i < b.count; i++) ones += params[i] == 1, zeros += params[i] == 0;
  EXPECT(ones == 15 + 5 && ones + zeros == b.count, "%zu ones and %zu zeros of %zu numbers", ones, zeros, b.count);
  rondo_matrix kernel = find(&b, 0, 0, RONDO_KERNEL), bias = find(&b, 0, 0, RONDO_BIAS);
  EXPECT(params[kernel.offset] == 1 && params[kernel.offset + 14] == 1 && params[bias.offset + 4] == 1, "misplaced");
}

/* Wider than high, square, higher than wide. */
static const struct shape_row {
  const char *name;
  rondo_cell cell;
  int inputs, hidden;
} shapes[] = {{"wide", RONDO_LSTM, 7, 24}, {"square", RONDO_RNN, 32, 32}, {"high", RONDO_RNN, 77, 13},
              {"one", RONDO_RNN, 1, 1},    {"row", RONDO_RNN, 1, 9},      {0}};

/* Each number is rounded once, by 2^-24 of itself: of two unit vectors' product at most 2^-23 goes by that, and what
 * the decomposition leaves in double is far below. */
static void expect_orthonormal(const float *m, rondo_matrix shape) {
  int wide = shape.rows < shape.columns;
  size_t count = wide ? shape.rows : shape.columns, length = wide ? shape.columns : shape.rows;
  size_t step = wide ? 1 : shape.columns, jump = wide ? shape.columns : 1;
  double worst = 0;
  for (size_t i = 0; i < count; i++)
    for (size_t j = 0; j <= i; j++) {
      double sum = i == j ? -1 : 0;
      for (size_t k = 0; k < length; k++) sum += (double)m[i * jump + k * step] * m[j * jump + k * step];
      worst = compare_worst(worst, fabs(sum) / 0x1p-22);
    }
  EXPECT_RATIO(worst, "orthogonality of %zu rows and %zu columns", shape.rows, shape.columns);
}

static void orthogonal(const void *parameter) {
  const struct shape_row *row = parameter;
  block b;
  rondo_layer layer = {.cell = row->cell, .input_size = row->inputs, .hidden_size = row->hidden};
  if (!make_block(&b, test_context(), layer)) return;
  const float *params = init(&b, &(rondo_init){.seed = test_seed(), .kernel = RONDO_INIT_ORTHOGONAL});
  rondo_matrix kernel = find(&b, 0, 0, RONDO_KERNEL), recurrent = find(&b, 0, 0, RONDO_RECURRENT_KERNEL);
  expect_orthonormal(params + kernel.offset, kernel);
  expect_orthonormal(params + recurrent.offset, recurrent);
}

/* A uniformly random orthogonal matrix has no preferred sign: over many seeds the first number is positive as often as
 * not (within six deviations), and so is the last one. A decomposition without Keras's change of signs would not. */
static void orthogonal_signs(const void *unused) {
  enum { SEEDS = 400, H = 3 };
  (void)unused;
  block b;
  int positive[2] = {0};
  if (!make_block(&b, test_reference(), (rondo_layer){.cell = RONDO_RNN, .input_size = 1, .hidden_size = H})) return;
  rondo_matrix where = find(&b, 0, 0, RONDO_RECURRENT_KERNEL);
  for (uint64_t i = 0; i < SEEDS; i++) {
    EXPECT_OK(rondo_init_params(b.plan, b.ctx, b.params, &(rondo_init){.seed = test_seed() * SEEDS + i}));
    positive[0] += b.params[where.offset] > 0;
    positive[1] += b.params[where.offset + H * H - 1] > 0;
  }
  for (int i = 0; i < 2; i++)
    EXPECT(abs(positive[i] - SEEDS / 2) <= 6 * 10, "%d of %d are positive", positive[i],
           SEEDS); /* sqrt(400) / 2 = 10 */
}

/* ---- where it goes ----------------------------------------------------------------------------------------------- */

static void expect_all(const float *params, rondo_matrix where, float value, const char *name) {
  size_t other = 0;
  for (size_t i = 0; i < where.rows * where.columns; i++) other += params[where.offset + i] != value;
  EXPECT(other == 0, "%zu numbers of %s are not %g", other, name, (double)value);
}

/* Keras's defaults. The seed's numbers: kernel as philox.h draws them, on CUDA cuRAND. */
static void defaults(const void *unused) {
  (void)unused;
  block b;
  rondo_layer layer = {.input_size = 6, .hidden_size = 5, .peephole = 1, .projection_size = 3, .layer_norm = 1};
  if (!make_block(&b, test_context(), layer)) return;
  const float *params = init(&b, NULL);
  rondo_matrix bias = find(&b, 0, 0, RONDO_BIAS), kernel = find(&b, 0, 0, RONDO_KERNEL);
  for (size_t j = 0; j < bias.columns; j++)
    EXPECT(params[bias.offset + j] == (j >= 5 && j < 10), "bias %zu is %g", j, (double)params[bias.offset + j]);
  expect_orthonormal(params + find(&b, 0, 0, RONDO_RECURRENT_KERNEL).offset, find(&b, 0, 0, RONDO_RECURRENT_KERNEL));
  expect_all(params, find(&b, 0, 0, RONDO_GAMMA_KERNEL), 1, "gamma_kernel");
  expect_all(params, find(&b, 0, 0, RONDO_GAMMA_RECURRENT), 1, "gamma_recurrent");
  expect_all(params, find(&b, 0, 0, RONDO_GAMMA_CELL), 1, "gamma_cell");
  expect_all(params, find(&b, 0, 0, RONDO_BETA_CELL), 0, "beta_cell");
  size_t used = find(&b, 0, 0, RONDO_BETA_CELL).offset + 5;
  for (size_t i = used; i < b.count; i++) EXPECT(params[i] == 0, "number %zu, behind the last array, is not 0", i);
  const float limit = (float)sqrt(6.0 / (6 + 20));
  for (uint32_t i = 0; i < kernel.rows * kernel.columns; i++) {
    uint32_t word[4];
    rondo_philox(0, rondo_philox_sequence(RONDO_PHILOX_INIT, RONDO_KERNEL), i / 4, word);
    float expected = (2 * rondo_philox_uniform(word[i % 4]) - 1) * limit;
    if (!EXPECT(params[kernel.offset + i] == expected, "kernel %u is %.9g, not %.9g", i,
                (double)params[kernel.offset + i], (double)expected))
      return;
  }
}

static void forget_bias(const void *unused) {
  (void)unused;
  block b;
  if (!make_block(&b, test_context(), (rondo_layer){.input_size = 2, .hidden_size = 3})) return;
  rondo_matrix bias = find(&b, 0, 0, RONDO_BIAS);
  expect_all(init(&b, &(rondo_init){.no_unit_forget_bias = 1}), bias, 0, "bias");
  expect_all(init(&b, &(rondo_init){.bias = RONDO_INIT_ONES}), bias, 1, "bias");
  if (!make_block(&b, b.ctx, (rondo_layer){.cell = RONDO_GRU, .input_size = 2, .hidden_size = 3})) return;
  expect_all(init(&b, NULL), find(&b, 0, 0, RONDO_BIAS), 0, "bias");
  expect_all(init(&b, NULL), find(&b, 0, 0, RONDO_RECURRENT_BIAS), 0, "recurrent_bias");
}

static rondo_layer stack(void) {
  return (rondo_layer){.input_size = 5, .hidden_size = 6, .num_layers = 3, .bidirectional = 1, .head_units = 4};
}

/* Array i: kernels of the three layers' directions and of the head, then recurrent kernels. */
static const float *numbers_of(const block *b, const float *params, int i) {
  return params + find(b, i % 7 / 2, i % 7 % 2, i < 7 ? RONDO_KERNEL : RONDO_RECURRENT_KERNEL).offset;
}

/* No array repeats another's numbers, at whatever scale, and another seed gives others. */
static void all_different(const void *unused) {
  enum { ALL = 7 + 6 };
  (void)unused;
  block b;
  if (!make_block(&b, test_context(), stack())) return;
  rondo_init how = {.seed = test_seed(), .recurrent_kernel = RONDO_INIT_HE_UNIFORM};
  const float *params = init(&b, &how);
  how.seed ^= (uint64_t)1 << 40;
  const float *others = init(&b, &how);
  for (int i = 0; i < ALL; i++)
    for (int j = 0; j <= i; j++) {
      const float *a = numbers_of(&b, params, i), *c = numbers_of(&b, i == j ? others : params, j);
      int alike = 0;
      for (int k = 0; k < 4; k++) alike += fabs((double)a[k] * c[k + 1] - (double)a[k + 1] * c[k]) < 1e-4;
      EXPECT(alike < 4, "arrays %d and %d begin alike", i, j);
    }
}

/* The reference's block bit for bit, whatever kinds and cells there are. */
static void same_everywhere(const void *parameter) {
  const kind_row *row = parameter;
  block here, reference;
  const rondo_init how = {.seed = 0x123456789abcdef0 ^ test_seed(), .kernel = row->kind, .recurrent_kernel = row->kind};
  if (!make_block(&here, test_context(), stack()) || !make_block(&reference, test_reference(), stack())) return;
  if (!EXPECT(here.count == reference.count, "%zu numbers, and %zu", here.count, reference.count)) return;
  EXPECT(test_same_bits(init(&here, &how), init(&reference, &how), here.count), "the numbers differ");
}

/* ---- misuse ------------------------------------------------------------------------------------------------------ */

#define I(field) OF(rondo_init, field)

static const misuse misuses[] = {
    {"kernel", I(kernel), SET, RONDO_INIT_ORTHOGONAL + 1, RONDO_INVALID_ARGUMENT, "kernel 10 is not"},
    {"kernel_negative", I(kernel), SET, -1, RONDO_INVALID_ARGUMENT, "kernel -1 is not"},
    {"recurrent", I(recurrent_kernel), SET, 99, RONDO_INVALID_ARGUMENT, "recurrent_kernel 99 is not"},
    {"bias", I(bias), SET, RONDO_INIT_HE_NORMAL, RONDO_INVALID_ARGUMENT, "bias 6 is neither"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static void fields(const void *row) {
  block b;
  rondo_init how = {0};
  if (!make_block(&b, test_context(), (rondo_layer){.input_size = 2, .hidden_size = 3})) return;
  buffer_poison(b.ctx, b.params, b.count);
  apply_misuse(row, &how);
  expect_misuse(row, rondo_init_params(b.plan, b.ctx, b.params, &how), "rondo_init_params:");
  EXPECT(test_is_poison(buffer_download(b.ctx, NULL, b.params, b.count), b.count), "params was written");
}

static void arguments(const void *unused) {
  static const char who[] = "rondo_init_params:";
  (void)unused;
  block b;
  if (!make_block(&b, test_context(), (rondo_layer){.input_size = 2, .hidden_size = 3})) return;
  const rondo_status bad = RONDO_INVALID_ARGUMENT;
  expect_refusal(bad, rondo_init_params(NULL, b.ctx, b.params, NULL), who, "plan is NULL");
  expect_refusal(bad, rondo_init_params(b.plan, NULL, b.params, NULL), who, "ctx is NULL");
  expect_refusal(bad, rondo_init_params(b.plan, b.ctx, NULL, NULL), who, "params is NULL");
  expect_refusal(bad, rondo_init_params(b.plan, b.ctx, b.params + 1, NULL), who, "not aligned to 64 bytes");
  rondo_context *other = other_context(b.ctx);
  if (other) expect_refusal(bad, rondo_init_params(b.plan, other, b.params, NULL), who, "the plan is for");
  rondo_plan_desc forward = {.layer = {.input_size = 2, .hidden_size = 3}, .max_batch = 1, .max_timesteps = 1};
  rondo_plan *plan = test_plan(b.ctx, &forward);
  if (plan) expect_refusal(bad, rondo_init_params(plan, b.ctx, b.params, NULL), who, "training 0");
}

const test_suite test_init = {
    "Init",
    TEST_ALL,
    (const test_row[]){{"kind", kind, TEST_TABLE(kinds)},
                       {"constants", constants, NULL, 0},
                       {"orthogonal", orthogonal, TEST_TABLE(shapes)},
                       {"orthogonal_signs", orthogonal_signs, NULL, 0},
                       {"defaults", defaults, NULL, 0},
                       {"forget_bias", forget_bias, NULL, 0},
                       {"all_different", all_different, NULL, 0},
                       {"same_everywhere", same_everywhere, TEST_TABLE(kinds)},
                       {"fields", fields, TEST_TABLE(misuses)},
                       {"arguments", arguments, NULL, 0},
                       {0}},
};
