/* test_problem.c - problem strings both ways, hostile ones refused; and that the bounds of compare.c can fail. */
#include "compare.h"
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Every row of the table is in the form that prints. */
static void table_round_trip(const void *name) {
  problem p;
  char message[PROBLEM_TEXT] = "", text[PROBLEM_TEXT];
  if (!EXPECT(problem_parse(&p, name, message, sizeof message), "%s: %s", (const char *)name, message)) return;
  problem_print(&p, text, sizeof text);
  EXPECT(!strcmp(text, name), "%s prints as %s", (const char *)name, text);
}

static void expect_round_trip(const problem *p) {
  problem again;
  char text[PROBLEM_TEXT], message[PROBLEM_TEXT] = "";
  problem_print(p, text, sizeof text);
  EXPECT(strlen(text) < sizeof text - 1, "%s may have been cut", text);
  EXPECT(problem_parse(&again, text, message, sizeof message), "%s: %s", text, message);
  EXPECT(!memcmp(p, &again, sizeof again), "%s parses to another problem", text);
}

/* Any field at any value. */
static int draw(uint64_t index, int end) {
  int value = (int)((problem_random(test_seed(), 7, index) + 1) / 2 * (float)end);
  return value < end ? value : end - 1;
}

static rondo_function draw_function(uint64_t index) {
  static const float numbers[] = {0, 0.1f, -2.5f, 1e6f, -1.17549435e-38f, 1.0f / 3};
  rondo_function f = {(rondo_activation)draw(index, RONDO_SOFTMAX + 1), 0, 0};
  if (f.kind) f.alpha = numbers[draw(index + 1, 6)], f.beta = numbers[draw(index + 2, 6)];
  return f;
}

/* Options at random, many at a time, in strings as long as any. */
static void option_round_trip(const void *unused) {
  (void)unused;
  static const float numbers[] = {0, 0.1f, 0.5f, 1e-30f, 0.99999994f, 1.0f / 3};
  for (uint64_t i = 0; i < 2000; i++) {
    uint64_t at = 100 * i;
    problem p;
    memset(&p, 0, sizeof p);
    p.cell = (rondo_cell)draw(at++, 4);
    p.batch = p.timesteps = PROBLEM_MAX_SIZE, p.input_size = 1, p.hidden_size = 2, p.num_layers = 1 + draw(at++, 3);
    p.bidirectional = draw(at++, 2);
    if (p.bidirectional) p.merge = (rondo_merge)draw(at++, 5);
    int *const flags[] = {&p.go_backwards,  &p.time_order, &p.reset_before, &p.no_bias,
                          &p.time_major,    &p.strided,    &p.lengths,      &p.zero_output_for_mask,
                          &p.initial_state, &p.slots,      &p.restart,      &p.peephole,
                          &p.input_forget,  &p.layer_norm, &p.allow_tf32,   &p.tiny};
    for (size_t k = 0; k < sizeof flags / sizeof *flags; k++) *flags[k] = draw(at++, 2);
    if (!p.lengths) p.mask = (problem_mask)draw(at++, 5);
    if (!p.tiny) p.big = draw(at++, 2);
    p.projection_size = draw(at++, 2) * PROBLEM_MAX_SIZE;
    if (draw(at++, 2)) p.head_units = 1 + draw(at++, 1000000);
    float *const rates[] = {&p.cell_clip, &p.clip,          &p.zoneout,          &p.zoneout_cell,
                            &p.dropout,   &p.layer_dropout, &p.recurrent_dropout};
    p.recompute = draw(at++, 2);
    for (size_t k = 0; k < sizeof rates / sizeof *rates; k++) *rates[k] = numbers[draw(at++, 6)];
    if (i % 2 && !problem_trains(&p)) p.weights = (rondo_dtype)draw(at++, RONDO_INT8 + 1);
    p.activation = draw_function(at), p.recurrent_activation = draw_function(at + 3);
    p.output_activation = draw_function(at + 6);
    if (p.head_units) p.head_activation = draw_function(at + 9);
    expect_round_trip(&p);
  }
}

/* The longest string that a problem has: every option, each at its longest; training has more of
 * them than weights of few bits. */
static void longest(const void *unused) {
  (void)unused;
  const rondo_function f = {RONDO_THRESHOLDED_RELU, -1.17549435e-38f, -1.17549435e-38f};
  const float rate = 1.17549435e-38f;
  const int most = PROBLEM_MAX_SIZE;
  problem p;
  memset(&p, 0, sizeof p);
  p.cell = RONDO_DENSE, p.batch = p.timesteps = p.input_size = p.hidden_size = p.projection_size = p.head_units = most;
  p.num_layers = PROBLEM_MAX_LAYERS, p.bidirectional = 1, p.merge = RONDO_SEPARATE;
  p.go_backwards = p.time_order = p.reset_before = p.no_bias = p.time_major = p.strided = 1;
  p.mask = MASK_HOLES, p.zero_output_for_mask = p.initial_state = p.slots = p.restart = p.peephole = 1;
  p.input_forget = p.layer_norm = p.allow_tf32 = p.tiny = p.recompute = 1;
  p.cell_clip = p.clip = p.zoneout = p.zoneout_cell = p.dropout = p.layer_dropout = p.recurrent_dropout = rate;
  p.activation = p.recurrent_activation = p.output_activation = p.head_activation = f;
  expect_round_trip(&p);
}

static void any_order(const void *unused) {
  (void)unused;
  problem p;
  char message[PROBLEM_TEXT] = "", text[PROBLEM_TEXT];
  EXPECT(problem_parse(&p, "gru:n3t5c7h9l1:h0:clip=0.50:time:act=elu(0.5,0):bi=ave:back", message, sizeof message),
         "%s", message);
  EXPECT(!strcmp(problem_print(&p, text, sizeof text), "gru:n3t5c7h9:bi=ave:back:time:h0:act=elu(0.5):clip=0.5"),
         "prints as %s", text);
}

static const struct hostile_row {
  const char *name, *text, *words;
} hostile[] = {
    {"empty", "", "expected a cell"},
    {"cell", "lstn:n1t1c1h1", "expected a cell"},
    {"cell_of_later", "lstmp:n1t1c1h1", "expected a cell"},
    {"case", "LSTM:n1t1c1h1", "expected a cell"},
    {"no_sizes", "lstm", "expected \":\""},
    {"no_size", "lstm:", "expected \"n\""},
    {"longer_cell", "lstmn1t1c1h1", "expected a cell"},
    {"missing", "lstm:n1t1h1", "expected \"c\""},
    {"order", "lstm:t1n1c1h1", "expected \"n\""},
    {"zero", "lstm:n0t1c1h1", "expected \"n\" and a number in 1.."},
    {"negative", "lstm:n-1t1c1h1", "expected \"n\" and a number"},
    {"no_number", "lstm:nt1c1h1", "expected \"n\" and a number"},
    {"huge", "lstm:n1t99999999999999999999c1h1", "\"t\" and a number in 1..1048576"},
    {"too_large", "lstm:n1t1c1h1048577", "\"h\" and a number in 1..1048576"},
    {"layers", "lstm:n1t1c1h1l65", "\"l\" and a number in 1..64"},
    {"no_layers", "lstm:n1t1c1h1l0", "\"l\" and a number"},
    {"space", "lstm:n1 t1c1h1", "expected \"t\""},
    {"trailing", "lstm:n1t1c1h1 ", "or the end"},
    {"colon", "lstm:n1t1c1h1:", "expected an option"},
    {"colons", "lstm:n1t1c1h1::back", "expected an option"},
    {"option", "lstm:n1t1c1h1:backwards", "expected an option"},
    {"twice", "lstm:n1t1c1h1:back:back", "twice"},
    {"both", "lstm:n1t1c1h1:tiny:big", "exclude"},
    {"twice_word", "lstm:n1t1c1h1:bi:bi=sum", "twice"},
    {"twice_value", "lstm:n1t1c1h1:clip=1:clip=1", "twice"},
    {"two_masks", "lstm:n1t1c1h1:len:mask=left", "exclude"},
    {"merge", "lstm:n1t1c1h1:bi=concat", "one of sum, mul, ave, separate"},
    {"merge_empty", "lstm:n1t1c1h1:bi=", "one of sum"},
    {"merge_longer", "lstm:n1t1c1h1:bi=sums", "one of sum"},
    {"mask_empty", "lstm:n1t1c1h1:mask", "one of left, holes, rows, right"},
    {"mask", "lstm:n1t1c1h1:mask=none", "one of left"},
    {"function", "lstm:n1t1c1h1:act=tan", "a function"},
    {"function_empty", "lstm:n1t1c1h1:ract=", "a function"},
    {"function_missing", "lstm:n1t1c1h1:oact", "a function"},
    {"function_longer", "lstm:n1t1c1h1:act=relu_6", "a function"},
    {"parameters_empty", "lstm:n1t1c1h1:act=elu()", "one or two numbers"},
    {"parameters_open", "lstm:n1t1c1h1:act=elu(1", "one or two numbers"},
    {"parameters_three", "lstm:n1t1c1h1:act=affine(1,2,3)", "one or two numbers"},
    {"parameters_space", "lstm:n1t1c1h1:act=affine(1, 2)", "one or two numbers"},
    {"parameters_nan", "lstm:n1t1c1h1:act=elu(nan)", "one or two numbers"},
    {"parameters_inf", "lstm:n1t1c1h1:act=elu(1e99)", "one or two numbers"},
    {"parameters_large", "lstm:n1t1c1h1:act=elu(-2e6)", "one or two numbers"},
    {"parameters_hex", "lstm:n1t1c1h1:act=elu(0x1)", "one or two numbers"},
    {"clip", "lstm:n1t1c1h1:clip", "a number above 0"},
    {"clip_zero", "lstm:n1t1c1h1:clip=0", "a number above 0"},
    {"clip_negative", "lstm:n1t1c1h1:clip=-1", "a number above 0"},
    {"clip_nan", "lstm:n1t1c1h1:clip=nan", "a number above 0"},
    {"clip_inf", "lstm:n1t1c1h1:clip=inf", "a number above 0"},
    {"clip_huge", "lstm:n1t1c1h1:cellclip=1e38", "a number above 0"},
    {"clip_rest", "lstm:n1t1c1h1:clip=1.5.5", "or the end"},
    {"zoneout_all", "lstm:n1t1c1h1:zoneout=1", "below 1"},
    {"projection", "lstm:n1t1c1h1:proj=0", "a number in 1..1048576"},
    {"projection_huge", "lstm:n1t1c1h1:proj=99999999999999999999", "a number in 1..1048576"},
    {"dropout_all", "lstm:n1t1c1h1:dropout=1", "below 1"},
    {"dropout_none", "lstm:n1t1c1h1:rdropout=0", "a number above 0"},
    {"dropout_empty", "lstm:n1t1c1h1:ldropout", "a number above 0"},
    {"weights", "lstm:n1t1c1h1:weights", "one of f16, bf16, int8"},
    {"weights_float", "lstm:n1t1c1h1:weights=f32", "one of f16, bf16, int8"},
    {"weights_dropout", "lstm:n1t1c1h1:dropout=0.5:weights=f16", "exclude"},
    {"weights_recompute", "lstm:n1t1c1h1:recompute:weights=bf16", "exclude"},
    {"head", "lstm:n1t1c1h1:head", "a number in 1..1048576"},
    {"head_function", "lstm:n1t1c1h1:head=3=nothing", "a function"},
    {"head_first", "lstm:n1t1c1h1:head=relu", "a number in 1..1048576"},
    {"format", "lstm:%s%n%1000000d", "expected \"n\""},
    {"bytes", "lstm:n1t1c1h1:\xff\x01\n\x80", "????"},
    {NULL, NULL, NULL},
};

static void refused(const void *row) {
  const struct hostile_row *h = row;
  problem p, before;
  char message[PROBLEM_TEXT] = "";
  memset(&p, 0x55, sizeof p);
  before = p;
  EXPECT(!problem_parse(&p, h->text, message, sizeof message), "\"%s\" was accepted", h->text);
  EXPECT(strstr(message, h->words), "\"%s\": \"%s\" does not say \"%s\"", h->text, message, h->words);
  EXPECT(!memcmp(&p, &before, sizeof p), "\"%s\" changed the problem", h->text);
}

static void long_text(const void *unused) {
  (void)unused;
  static char text[100000];
  problem p;
  char message[PROBLEM_TEXT];
  memset(text, '1', sizeof text - 1);
  memcpy(text, "lstm:n", 6);
  EXPECT(!problem_parse(&p, text, message, sizeof message), "100000 digits were accepted");
  EXPECT(strlen(message) < sizeof message, "the message is too long");
}

/* ---- Data and bounds --------------------------------------------------------------------------------------------- */

/* The numbers are those of the definition: once drawn, a seed means the same data everywhere. */
static void random_numbers(const void *unused) {
  (void)unused;
  double sum = 0, square = 0;
  for (uint64_t i = 0; i < 10000; i++) {
    float r = problem_random(1, 2, i);
    EXPECT(r >= -1 && r < 1, "%g is not in [-1, 1)", (double)r);
    sum += r, square += (double)r * r;
  }
  /* Means of 10000 numbers of variances 1/3 and 4/45: five standard deviations. */
  EXPECT(fabs(sum / 10000) < 5 * sqrt(1 / 3. / 10000), "the mean is %g", sum / 10000);
  EXPECT(fabs(square / 10000 - 1 / 3.) < 5 * sqrt(4 / 45. / 10000), "the mean square is %g", square / 10000);
  EXPECT(problem_random(1, 2, 3) == problem_random(1, 2, 3), "a number does not repeat");
  EXPECT(problem_random(1, 2, 3) != problem_random(2, 1, 3), "seed and stream are mixed up");
  EXPECT(problem_random(1, 2, 3) != problem_random(1, 3, 2), "stream and index are mixed up");
}

static float *as_floats(const double *values, size_t count) {
  float *result = test_memory(count * sizeof *result);
  for (size_t i = 0; i < count; i++) result[i] = (float)values[i];
  return result;
}

/* The exact result is within the bounds, and a result that is wrong by less than any real mistake makes is not: by
 * 0.01% of one element, by a gate's bias left out, by a NaN. */
static void bounds_bite(const void *unused) {
  (void)unused;
  problem_data data = *test_data_named("lstm:n3t5c7h9");
  size_t count = 3 * 5 * 9;
  compare_expected expected, other;
  if (!EXPECT(compare_expect(&expected, &data, compare_float), "no host memory")) return;
  float *y = as_floats(expected.y, count);
  EXPECT(compare_y(&expected, &data, y) < 1, "the exact result is not within its bounds");
  size_t most = 0;
  for (size_t i = 1; i < count; i++) most = fabsf(y[i]) > fabsf(y[most]) ? i : most;
  y[most] *= 1.0001f;
  EXPECT(compare_y(&expected, &data, y) > 1, "an error of 0.01%% is within the bounds");
  y[most] = NAN;
  EXPECT(isinf(compare_y(&expected, &data, y)), "a NaN is within the bounds");
  data.weights[0].bias = NULL;
  if (!EXPECT(compare_expect(&other, &data, compare_float), "no host memory")) return;
  EXPECT(compare_y(&expected, &data, as_floats(other.y, count)) > 100, "a missing bias is within the bounds");
  compare_free(&expected);
  compare_free(&other);
}

/* What a backend may get wrong does not change what is right: values are those of a run without errors, also where the
 * bounds have long outgrown them. */
static void bounds_aside(const void *name) {
  const problem_data *data = test_data_named(name);
  const problem *p = &data->problem;
  size_t count = (size_t)p->batch * (size_t)p->timesteps * (size_t)problem_columns(p);
  compare_arithmetic unit = compare_arithmetic_of(RONDO_CPU, RONDO_ISA_AMX, p), none = {.levels = unit.levels};
  compare_expected expected, exact;
  if (!EXPECT(compare_expect(&expected, data, unit), "no host memory")) return;
  if (!EXPECT(compare_expect(&exact, data, none), "no host memory")) return;
  double widest = 0;
  for (size_t i = 0; i < count; i++) widest = fmax(widest, expected.y_bound[i]);
  EXPECT(widest > 1, "the bounds are %g at most, and always below what they bound", widest);
  EXPECT(!memcmp(expected.y, exact.y, count * sizeof *exact.y), "other values with bounds than without");
  compare_free(&expected);
  compare_free(&exact);
}

static const char *const long_problems[] = {"lstm:n2t40c30h50", "lstm:n2t40c30h50:weights=bf16",
                                            "lstm:n2t40c30h50:weights=int8", "gru:n2t40c30h50:before:h0:weights=int8",
                                            NULL};

/* A problem, and another that differs in one option: on the same numbers their results must be far apart, or no test of
 * the option could fail. */
static const struct option_pair {
  const char *name, *without;
} option_pairs[] = {
    {"lstm:n3t4c5h7:h0:peephole", "lstm:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:cifg", "lstm:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:cellclip=0.5", "lstm:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:clip=0.3", "lstm:n3t4c5h7:h0"},
    {"gru:n3t4c5h7:h0:clip=0.3", "gru:n3t4c5h7:h0"},
    {"rnn:n3t4c5h7:h0:clip=0.4", "rnn:n3t4c5h7:h0"},
    {"lstm:n3t2c5h7:h0:norm", "lstm:n3t2c5h7:h0"},
    {"gru:n3t4c5h7:h0:norm", "gru:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:zoneout=0.1", "lstm:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:zoneoutc=0.1", "lstm:n3t4c5h7:h0"},
    {"gru:n3t4c5h7:h0:zoneout=0.1", "gru:n3t4c5h7:h0"},
    {"gru:n3t4c5h7:before:h0", "gru:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:act=elu", "lstm:n3t4c5h7:h0:act=elu(0.9)"},
    {"lstm:n3t4c5h7:h0:ract=hard_sigmoid", "lstm:n3t4c5h7:h0:ract=hard_sigmoid(0.2,0.5)"},
    {"lstm:n3t4c5h7:h0:oact=softsign", "lstm:n3t4c5h7:h0"},
    {"lstm:n5t6c7h9:len:h0", "lstm:n5t6c7h9:h0"},
    {"lstm:n5t6c7h9:mask=holes:zero:h0", "lstm:n5t6c7h9:mask=holes:h0"},
    {"lstm:n5t6c7h9:back:h0", "lstm:n5t6c7h9:h0"},
    {"lstm:n5t6c7h9:back:timeorder:h0", "lstm:n5t6c7h9:back:h0"},
    {"lstm:n5t6c7h9:bi=sum:h0", "lstm:n5t6c7h9:bi=ave:h0"},
    {"lstm:n5t6c7h9:bi=mul:h0", "lstm:n5t6c7h9:bi=ave:h0"},
    {"lstm:n5t6c7h9:h0:head=3=softmax", "lstm:n5t6c7h9:h0:head=3"},
    {"lstm:n3t4c5h7:h0:weights=f16", "lstm:n3t4c5h7:h0:weights=bf16"},
    {"gru:n3t4c5h7:h0:weights=bf16", "gru:n3t4c5h7:h0"},
    {"gru:n3t4c5h7:h0:weights=int8", "gru:n3t4c5h7:h0"},
    {"lstm:n3t4c5h7:h0:dropout=0.3", "lstm:n3t4c5h7:h0"},
    {"gru:n3t4c5h7:before:h0:rdropout=0.3", "gru:n3t4c5h7:before:h0"},
    {"rnn:n3t4c5h7l2:h0:ldropout=0.3", "rnn:n3t4c5h7l2:h0"},
    {NULL, NULL},
};

static void options_bite(const void *row) {
  const struct option_pair *pair = row;
  char message[PROBLEM_TEXT];
  problem_data data = *test_data_named(pair->name), other = data;
  compare_expected expected, different;
  if (!EXPECT(problem_parse(&other.problem, pair->without, message, sizeof message), "%s", message)) return;
  if (!other.problem.lengths) other.lengths = NULL;
  if (!problem_trains(&other.problem)) other.dropout_masks = other.layer_masks = NULL;
  if (!EXPECT(compare_expect(&expected, &data, compare_float), "no host memory")) return;
  if (!EXPECT(compare_expect(&different, &other, compare_float), "no host memory")) return;
  float *y =
      as_floats(different.y, (size_t)data.problem.batch * (size_t)data.problem.timesteps * (size_t)different.columns);
  double ratio = compare_y(&expected, &data, y);
  EXPECT(ratio > 100, "%s is within %g bounds of %s", pair->without, ratio, pair->name);
  compare_free(&expected);
  compare_free(&different);
}

const test_suite test_problem_strings = {
    "Problem", TEST_ONCE,
    (const test_row[]){{"table_round_trip", table_round_trip, TEST_TABLE(problem_table)},
                       {"options_round_trip", table_round_trip, TEST_TABLE(problem_option_table)},
                       {"small_round_trip", table_round_trip, TEST_TABLE(problem_small_table)},
                       {"training_round_trip", table_round_trip, TEST_TABLE(problem_training_table)},
                       {"option_round_trip", option_round_trip, NULL, 0},
                       {"longest", longest, NULL, 0},
                       {"any_order", any_order, NULL, 0},
                       {"refused", refused, TEST_TABLE(hostile)},
                       {"long_text", long_text, NULL, 0},
                       {"random_numbers", random_numbers, NULL, 0},
                       {"bounds_bite", bounds_bite, NULL, 0},
                       {"bounds_aside", bounds_aside, TEST_TABLE(long_problems)},
                       {"options_bite", options_bite, TEST_TABLE(option_pairs)},
                       {NULL, NULL, NULL, 0}}};
