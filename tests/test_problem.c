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

/* Every combination of options, in a string as long as any. */
static void option_round_trip(const void *unused) {
  (void)unused;
  for (int bits = 0; bits < 128; bits++)
    for (int scale = 0; scale < 3; scale++) {
      problem p = {RONDO_LSTM, PROBLEM_MAX_SIZE, PROBLEM_MAX_SIZE, 1, 2, 1 + bits % 3, 0, 0, 0, 0, 0, 0, 0, 0}, again;
      char text[PROBLEM_TEXT], message[PROBLEM_TEXT] = "";
      p.go_backwards = bits & 1, p.no_bias = bits >> 1 & 1, p.time_major = bits >> 2 & 1, p.strided = bits >> 3 & 1;
      p.initial_state = bits >> 4 & 1, p.allow_tf32 = bits >> 5 & 1;
      p.tiny = scale == 1, p.big = scale == 2;
      problem_print(&p, text, sizeof text);
      EXPECT(problem_parse(&again, text, message, sizeof message), "%s: %s", text, message);
      EXPECT(!memcmp(&p, &again, sizeof p), "%s parses to another problem", text);
    }
}

static void any_order(const void *unused) {
  (void)unused;
  problem p;
  char message[PROBLEM_TEXT] = "", text[PROBLEM_TEXT];
  EXPECT(problem_parse(&p, "lstm:n3t5c7h9l1:h0:time:back", message, sizeof message), "%s", message);
  EXPECT(!strcmp(problem_print(&p, text, sizeof text), "lstm:n3t5c7h9:back:time:h0"), "prints as %s", text);
}

static const struct hostile_row {
  const char *name, *text, *words;
} hostile[] = {
    {"empty", "", "expected a cell"},
    {"cell", "lstn:n1t1c1h1", "expected a cell"},
    {"gru", "gru:n1t1c1h1", "expected a cell"},
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
  y[40] *= 1.0001f;
  EXPECT(compare_y(&expected, &data, y) > 1, "an error of 0.01%% is within the bounds");
  y[40] = NAN;
  EXPECT(isinf(compare_y(&expected, &data, y)), "a NaN is within the bounds");
  data.bias[0] = NULL;
  if (!EXPECT(compare_expect(&other, &data, compare_float), "no host memory")) return;
  EXPECT(compare_y(&expected, &data, as_floats(other.y, count)) > 100, "a missing bias is within the bounds");
  compare_free(&expected);
  compare_free(&other);
}

const test_suite test_problem_strings = {
    "Problem", TEST_ONCE,
    (const test_row[]){{"table_round_trip", table_round_trip, TEST_TABLE(problem_table)},
                       {"option_round_trip", option_round_trip, NULL, 0},
                       {"any_order", any_order, NULL, 0},
                       {"refused", refused, TEST_TABLE(hostile)},
                       {"long_text", long_text, NULL, 0},
                       {"random_numbers", random_numbers, NULL, 0},
                       {"bounds_bite", bounds_bite, NULL, 0},
                       {NULL, NULL, NULL, 0}}};
