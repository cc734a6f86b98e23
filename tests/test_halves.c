/* test_halves.c - numbers of 16 bits, and weights that are kept as such. */
#include "compare.h"
#include "dense.h"

#include "half.h"
#include "internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- half.h ------------------------------------------------------------------------------------------------------ */

typedef struct type_row {
  const char *name;
  rondo_dtype type;
  int exponent_bits, digit_bits; /* of the digits that are kept */
} type_row;

static const type_row types[] = {{"f16", RONDO_F16, 5, 10}, {"bf16", RONDO_BF16, 8, 7}, {NULL, RONDO_F32, 0, 0}};

/* What IEEE 754 says the 16 bits mean. */
static double value_of(const type_row *t, unsigned bits) {
  int most = (1 << t->exponent_bits) - 1, bias = most / 2, exponent = (int)(bits >> t->digit_bits) & most;
  unsigned digits = bits & ((1u << t->digit_bits) - 1);
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == most) return digits ? NAN : sign * INFINITY;
  if (exponent) digits += 1u << t->digit_bits;
  return sign * ldexp(digits, (exponent ? exponent : 1) - bias - t->digit_bits);
}

/* All 65536. */
static void every_half(const void *parameter) {
  const type_row *t = parameter;
  for (unsigned bits = 0; bits < 0x10000; bits++) {
    float v = rondo_from_half(t->type, (uint16_t)bits);
    double expected = value_of(t, bits);
    unsigned back = rondo_to_half(t->type, v);
    if (isnan(expected))
      EXPECT(isnan(v) && isnan(value_of(t, back)), "%04x, a NaN, is %g, which is %04x", bits, (double)v, back);
    else
      EXPECT((double)v == expected && !signbit(v) == !(bits >> 15) && back == bits, "%04x is %.9g, not %.9g; back %04x",
             bits, (double)v, expected, back);
  }
}

static void expect_rounded(const type_row *t, float v) {
  float expected = compare_rounded(t->type, v), got = rondo_from_half(t->type, rondo_to_half(t->type, v));
  EXPECT(isnan(v) ? isnan(got) : test_same_bits(&got, &expected, 1), "%.9g is rounded to %.9g, not %.9g", (double)v,
         (double)got, (double)expected);
}

/* At every tie between two neighbours and next to it; and floats of every exponent. */
static void rounding(const void *parameter) {
  const type_row *t = parameter;
  unsigned largest = (((1u << t->exponent_bits) - 1) << t->digit_bits) - 1;
  for (unsigned bits = 0; bits < largest; bits++) {
    float tie = (float)((value_of(t, bits) + value_of(t, bits + 1)) / 2); /* exact */
    const float near[] = {tie, nextafterf(tie, INFINITY), nextafterf(tie, 0)};
    for (int i = 0; i < 3; i++) expect_rounded(t, near[i]), expect_rounded(t, -near[i]);
  }
  for (uint64_t bits = 0; bits <= UINT32_MAX; bits += 40009) expect_rounded(t, rondo_bits_float((uint32_t)bits));
}

/* Where infinity begins. */
static void overflow(const void *unused) {
  (void)unused;
  EXPECT(rondo_to_f16(65519.996f) == 0x7BFF && rondo_to_f16(65520) == 0x7C00, "65520 is not where f16 ends");
  EXPECT(rondo_to_f16(-65520) == 0xFC00 && rondo_to_f16(-INFINITY) == 0xFC00, "-65520 is not where f16 ends");
  EXPECT(rondo_to_bf16(0x1.fefffep127f) == 0x7F7F && rondo_to_bf16(0x1.ffp127f) == 0x7F80, "bf16 ends elsewhere");
  EXPECT(rondo_to_bf16(-FLT_MAX) == 0xFF80, "-FLT_MAX is not infinite in bf16");
}

const test_suite test_half = {"Half", TEST_ONCE,
                              (const test_row[]){{"every_half", every_half, TEST_TABLE(types)},
                                                 {"rounding", rounding, TEST_TABLE(types)},
                                                 {"overflow", overflow, NULL, 0},
                                                 {NULL, NULL, NULL, 0}}};

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* The data with an array of one layer's weights replaced by a copy, which it gives. */
static float *own_array(const float **array, size_t count) {
  float *copy = test_memory(count * sizeof *copy);
  memcpy(copy, *array, count * sizeof *copy);
  *array = copy;
  return copy;
}

static size_t kernel_count(const problem *p, const rondo_weights *w) {
  size_t columns = (size_t)problem_gates(p) * (size_t)p->hidden_size;
  return (size_t)problem_inputs(p, w->layer) * (w->layer == p->num_layers ? (size_t)p->head_units : columns);
}

static size_t recurrent_count(const problem *p) {
  return (size_t)problem_output_size(p) * (size_t)problem_gates(p) * (size_t)p->hidden_size;
}

/* Weights that the type has room for, as they are. */
static void round_all(problem_data *data, rondo_dtype type) {
  const problem *p = &data->problem;
  for (int i = 0; i < data->weights_count; i++) {
    rondo_weights *w = &data->weights[i];
    struct {
      const float **array;
      size_t count;
    } const arrays[] = {{&w->kernel, kernel_count(p, w)},
                        {&w->recurrent_kernel, recurrent_count(p)},
                        {&w->projection, (size_t)p->hidden_size * (size_t)problem_output_size(p)}};
    for (int k = 0; k < 3; k++) {
      float *copy = *arrays[k].array ? own_array(arrays[k].array, arrays[k].count) : NULL;
      for (size_t j = 0; copy && j < arrays[k].count; j++) copy[j] = compare_rounded(type, copy[j]);
    }
  }
}

/* Setups of the same data with weights of 16 bits and of 32. */
static int set_up_both(const problem_data *data, test_setup *narrow, test_setup *wide) {
  rondo_context *ctx = test_context();
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  if (!ctx || !test_set_up(narrow, ctx, data, &desc)) return 0;
  desc.weights = RONDO_F32;
  return test_set_up(wide, ctx, data, &desc);
}

static compare_arithmetic arithmetic_of(const rondo_context *ctx, const problem *p) {
  return compare_arithmetic_of(rondo_context_backend(ctx), (rondo_isa)ctx->variant, p);
}

/* Nothing is lost: the CPU widens them and gives the bits of floats, as does the reference, but where x and h are
 * rounded too. */
static void representable(const void *name) {
  problem_data data = *test_data_named(name);
  test_setup narrow, wide;
  round_all(&data, data.problem.weights);
  if (!set_up_both(&data, &narrow, &wide)) return;
  test_outputs expected = test_forward(&wide, &wide.batch), got = test_forward(&narrow, &narrow.batch);
  if (arithmetic_of(narrow.ctx, &data.problem).narrow > 0)
    expect_bounds("weights that fit", &data, &got);
  else
    judge("weights that fit", &wide, &data, &got, &expected);
}

/* Half as large where nearly all of it is weights; the reference keeps doubles. */
static void smaller(const void *name) {
  test_setup narrow, wide;
  if (!set_up_both(test_data_named(name), &narrow, &wide)) return;
  size_t bytes = rondo_plan_sizes(narrow.plan)->params, before = rondo_plan_sizes(wide.plan)->params;
  if (rondo_context_backend(narrow.ctx) == RONDO_REFERENCE)
    EXPECT(bytes <= before, "%zu bytes, not at most %zu", bytes, before);
  else
    EXPECT(bytes < 0.6 * (double)before, "%zu bytes, not about half of %zu", bytes, before);
}

/* NaN and infinities are no finite numbers that do not fit: they stay what they are and do to unit 0 of a single step
 * what they must; no other unit has to do with that weight. */
static void not_finite(const void *name) {
  static const float bad[] = {NAN, INFINITY, -INFINITY};
  for (int i = 0; i < 3; i++) {
    problem_data data = *test_data_named(name), sick = data;
    size_t hidden = (size_t)data.problem.hidden_size;
    test_setup s;
    rondo_context *ctx = test_context();
    own_array(&sick.weights[0].kernel, kernel_count(&data.problem, &data.weights[0]))[0] = bad[i];
    if (!ctx || !test_set_up(&s, ctx, &sick, NULL)) return;
    test_outputs out = test_forward(&s, &s.batch);
    compare_expected expected;
    compare_arithmetic unit = arithmetic_of(ctx, &data.problem);
    if (!EXPECT(compare_expect(&expected, &data, unit), "no host memory")) return;
    for (size_t n = 0; n < (size_t)data.problem.batch; n++) {
      float *first = &out.y[n * hidden];
      EXPECT(!isnan(*first) == (i > 0), "a weight of %g makes %g of unit 0", (double)bad[i], (double)*first);
      *first = (float)expected.y[n * hidden];
    }
    EXPECT_RATIO(compare_y(&expected, &data, out.y), "the other units");
    compare_free(&expected);
  }
}

/* ---- What does not fit ------------------------------------------------------------------------------------------- */

typedef struct fit_row {
  const char *name, *problem;
  int weights;         /* index */
  size_t offset, last; /* the array, and the element of it that does not fit */
  float value;
  const char *words; /* NULL: it is accepted */
} fit_row;

#define LAYER "lstm:n2t3c4h5:proj=3:head=2:weights="
#define ARRAY(field) offsetof(rondo_weights, field)

static const fit_row fit_rows[] = {
    {"kernel", LAYER "f16", 0, ARRAY(kernel), 79, 65520, "kernel[79] 65520"},
    {"kernel_negative", LAYER "f16", 0, ARRAY(kernel), 79, -1e9f, "kernel[79] -1e+09"},
    {"recurrent_kernel", LAYER "f16", 0, ARRAY(recurrent_kernel), 59, 65520, "recurrent_kernel[59] 65520"},
    {"projection", LAYER "f16", 0, ARRAY(projection), 14, FLT_MAX, "projection[14] 3.4"},
    {"head", LAYER "f16", 1, ARRAY(kernel), 5, -65520, "kernel[5] -65520"},
    {"largest", LAYER "f16", 0, ARRAY(kernel), 79, 65519.996f, NULL},
    {"infinite", LAYER "f16", 0, ARRAY(kernel), 79, INFINITY, NULL},
    {"nan", LAYER "f16", 0, ARRAY(kernel), 79, NAN, NULL},
    {"bias", LAYER "f16", 0, ARRAY(bias), 19, 1e9f, NULL}, /* a float in any case */
    {"bf16", LAYER "bf16", 0, ARRAY(kernel), 79, FLT_MAX, "kernel[79] 3.40282e+38 is beyond 3.38953e+38"},
    {"bf16_halfway", LAYER "bf16", 0, ARRAY(recurrent_kernel), 59, 0x1.FFp127f, "recurrent_kernel[59] "},
    {"bf16_largest", LAYER "bf16", 0, ARRAY(kernel), 79, 0x1.FEFFFEp127f, NULL},
    {NULL, NULL, 0, 0, 0, 0, NULL}};

static void fits(const void *parameter) {
  const fit_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(row->problem);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  rondo_plan *plan = test_plan(ctx, &desc);
  if (!plan) return;
  size_t floats = rondo_plan_sizes(plan)->params / sizeof(float);
  float *params = buffer_floats(ctx, floats);
  if (!params) return;
  buffer_poison(ctx, params, floats);
  rondo_weights weights = data->weights[row->weights];
  const float **array = (const float **)(void *)((char *)&weights + row->offset);
  own_array(array, row->last + 1)[row->last] = row->value;
  rondo_status status = rondo_pack(plan, ctx, params, &weights);
  if (!row->words) {
    EXPECT_OK(status);
    return;
  }
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, status);
  EXPECT(strstr(rondo_last_error(), row->words), "\"%s\" does not say \"%s\"", rondo_last_error(), row->words);
  EXPECT(test_is_poison(buffer_download(ctx, NULL, params, floats), floats), "params was written");
}

static const char *const plain[] = {"lstm:n5t6c7h9l2:bi:len:h0:proj=5:weights=f16",
                                    "lstm:n3t5c7h33:h0:norm:head=3:weights=bf16",
                                    "gru:n9t5c17h31:h0:weights=bf16",
                                    "gru:n3t5c7h9:before:mask=holes:h0:weights=f16",
                                    "rnn:n3t5c7h40:h0:weights=f16",
                                    "dense:n3t5c7h9:weights=bf16",
                                    NULL};
static const char *const large[] = {
    "lstm:n1t1c64h64:weights=f16",        "lstm:n1t1c64h64:proj=32:head=64:weights=bf16",
    "gru:n1t1c64h64:before:weights=bf16", "gru:n1t1c64h64l2:bi:weights=f16",
    "rnn:n1t1c64h64:weights=bf16",        NULL};
static const char *const one_step[] = {"lstm:n3t1c4h7:weights=f16",  "lstm:n3t1c4h33:weights=bf16",
                                       "gru:n3t1c4h7:weights=bf16",  "gru:n3t1c4h7:before:weights=f16",
                                       "rnn:n3t1c4h17:weights=bf16", NULL};

const test_suite test_halves = {"Halves", TEST_ALL | TEST_HOISTED,
                                (const test_row[]){{"representable", representable, TEST_TABLE(plain)},
                                                   {"smaller", smaller, TEST_TABLE(large)},
                                                   {"not_finite", not_finite, TEST_TABLE(one_step)},
                                                   {"fits", fits, TEST_TABLE(fit_rows)},
                                                   {NULL, NULL, NULL, 0}}};
