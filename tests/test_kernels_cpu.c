/* test_kernels_cpu.c - the CPU kernels of each instruction set against the reference twins, and the words in them.
 *
 * Bounds, with u = 2^-24: a sum of K terms and its start, added one after another, is off by at most (K + 1) u times
 * the terms' absolute values, with products fused or rounded on their own. sigmoid and tanh have slopes of at most 1/4
 * and 1, and their own bounds, which vec.h states and `words` checks. */
#include "compare.h"
#include "cpu/cpu.h"
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double u = 0x1p-24;
static const double exp_bound = 1.6, sigmoid_bound = 2.5, tanh_bound = 3.3, product_bound = 9.3; /* in u, from vec.h */

static const struct isa_row {
  const char *name;
  rondo_isa isa;
} isas[] = {{"portable", RONDO_ISA_PORTABLE}, {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512}, {NULL, 0}};

/* NULL, and the test is skipped: this build or this machine has no such instructions. */
static const rondo_cpu_kernels *kernels_of(const struct isa_row *row) {
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .max_isa = row->isa});
  return ctx ? rondo_cpu_kernels_of(row->isa) : NULL;
}

static rondo_context *host(void) {
  return test_context_of(&(rondo_context_desc){.backend = RONDO_CPU});
}

static void fill(float *to, size_t count, uint64_t stream) {
  for (size_t i = 0; i < count; i++) to[i] = problem_random(test_seed(), stream, i);
}

static float *filled(rondo_context *ctx, size_t count, uint64_t stream) {
  float *to = buffer_output(ctx, count);
  fill(to, count, stream);
  return to;
}

/* ---- project_forward --------------------------------------------------------------------------------------------- */

/* Below, at and above every tile: 1..6 rows, their sums, primes. */
static const int row_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 17, 0};
static const int depths[] = {1, 2, 3, 7, 16, 31, 0};

static void check_project(const rondo_cpu_kernels *kernels, const rondo_project_forward_args *args, float *sums) {
  size_t count = (size_t)(args->blocks * args->rows * 4 * kernels->lanes), row = (size_t)(4 * kernels->lanes);
  double *expected = test_memory(count * sizeof(double)), *size = test_memory(count * sizeof(double)), worst = 0;
  rondo_project_forward_ref(args, kernels->lanes, expected, size);
  kernels->project_forward(args);
  for (size_t i = 0; i < count; i++) {
    size_t block = i / ((size_t)args->rows * row), inside = i % ((size_t)args->rows * row);
    double got = sums[block * (size_t)args->sums_block + inside];
    worst = compare_worst(worst, fabs(got - expected[i]) / ((args->inputs + 1) * u * size[i]));
  }
  EXPECT_RATIO(worst, "project rows %d batch %d inputs %d blocks %d", args->rows, args->batch, args->inputs,
               args->blocks);
  size_t used = (size_t)args->rows * row; /* of each block; the rest up to the next is not the kernel's */
  for (int block = 0; block < args->blocks - 1; block++)
    EXPECT(test_is_poison(sums + block * args->sums_block + used, (size_t)args->sums_block - used),
           "rows %d inputs %d: written behind block %d", args->rows, args->inputs, block);
}

/* x as a sliding window (rows overlap) that runs backwards. */
static void project_shape(const rondo_cpu_kernels *kernels, rondo_context *ctx, int rows, int batch, int inputs,
                          int blocks) {
  int row = 4 * kernels->lanes, steps = (rows + batch - 1) / batch;
  float *x = filled(ctx, (size_t)(batch * (inputs + steps)), 1);
  rondo_project_forward_args args = {.rows = rows,
                                     .batch = batch,
                                     .inputs = inputs,
                                     .blocks = blocks,
                                     .x = x + steps - 1,
                                     .x_sequence = inputs + steps,
                                     .x_timestep = -1,
                                     .bias = filled(ctx, (size_t)(blocks * row), 2),
                                     .weights = filled(ctx, (size_t)(blocks * inputs * row), 3),
                                     .sums_block = (rows + 1) * row};
  args.sums = buffer_output(ctx, (size_t)(((blocks - 1) * (rows + 1) + rows) * row));
  check_project(kernels, &args, args.sums);
}

static void project(const void *row) {
  const rondo_cpu_kernels *kernels = kernels_of(row);
  rondo_context *ctx = kernels ? host() : NULL;
  if (!ctx) return;
  for (const int *rows = row_counts; *rows; rows++)
    for (const int *inputs = depths; *inputs; inputs++)
      for (int blocks = 1; blocks <= 3; blocks++) {
        project_shape(kernels, ctx, *rows, 1, *inputs, blocks);
        project_shape(kernels, ctx, *rows, *rows > 2 ? 3 : *rows, *inputs, blocks);
      }
}

/* ---- lstm_forward ------------------------------------------------------------------------------------------------ */

typedef struct lstm_case {
  rondo_lstm_forward_args args;
  int lanes, units;    /* padding included */
  float *sums, *h, *c; /* what args reads, c also where it writes */
  float *h_out, *y;
} lstm_case;

static size_t strided(int rows, int stride, int width) {
  return (size_t)((rows - 1) * stride + width);
}

/* Rows of everything are `gap` floats longer than they need to be. */
static lstm_case lstm_make(const rondo_cpu_kernels *kernels, rondo_context *ctx, int rows, int hidden, int gap) {
  lstm_case l = {.lanes = kernels->lanes};
  int blocks = (hidden - 1) / l.lanes + 1, stride = hidden + gap;
  size_t count = strided(rows, stride, hidden);
  l.units = blocks * l.lanes;
  l.sums = filled(ctx, (size_t)(rows * 4 * l.units), 1);
  l.h = filled(ctx, count, 2);
  l.c = filled(ctx, count, 3);
  l.h_out = buffer_output(ctx, count);
  l.y = buffer_output(ctx, count);
  l.args = (rondo_lstm_forward_args){.rows = rows,
                                     .hidden = hidden,
                                     .first_block = 0,
                                     .blocks = blocks,
                                     .weights = filled(ctx, (size_t)(hidden * 4 * l.units), 4),
                                     .sums = l.sums,
                                     .sums_block = rows * 4 * l.lanes,
                                     .h_in = l.h,
                                     .h_in_stride = stride,
                                     .c_in = l.c,
                                     .c_in_stride = stride,
                                     .h_out = l.h_out,
                                     .h_out_stride = stride,
                                     .c_out = l.c,
                                     .c_out_stride = stride,
                                     .y = l.y,
                                     .y_stride = stride};
  return l;
}

/* Error as a share of the bound: 0 where both are the same infinity or not a number, infinite where just one is. */
static double share(double got, double expected, double bound) {
  if (isnan(expected)) return isnan(got) ? 0 : INFINITY;
  if (got == expected) return 0;
  return isfinite(expected) && isfinite(got) ? fabs(got - expected) / bound : INFINITY;
}

/* Bounds of c and h of one unit from its gates' sums, as lstm_forward orders them. */
static void state_bounds(int terms, const double *a, const double *size, double before, double c, double *c_bound,
                         double *h_bound) {
  double e[4], s[4];
  for (int g = 0; g < 4; g++) {
    e[g] = isinf(a[g]) ? 0 : (terms + 1) * u * size[g];
    s[g] = g == 2 ? tanh(a[g]) : 1 / (1 + exp(-a[g]));
  }
  double i_g = fabs(s[2]) * e[0] / 4 + s[0] * e[2] + e[0] * e[2] / 4 + product_bound * u * fabs(s[0] * s[2]);
  double f = e[1] / 4 + sigmoid_bound * u * s[1];
  *c_bound = i_g + f * fabs(before) + 2 * u * (s[1] * fabs(before) + fabs(s[0] * s[2])) + 2 * FLT_MIN;
  if (isinf(c)) *c_bound = 0; /* an infinity has no error, and its tanh is 1: h is o's */
  double t = tanh(c);
  *h_bound = fabs(t) * e[3] / 4 + s[3] * *c_bound + e[3] * *c_bound / 4 + product_bound * u * fabs(s[3] * t) + FLT_MIN;
}

static void check_lstm(const rondo_cpu_kernels *kernels, const lstm_case *l) {
  const rondo_lstm_forward_args *args = &l->args;
  size_t count = (size_t)(args->rows * args->hidden);
  double *a = test_memory(8 * count * sizeof(double)), *size = a + 4 * count; /* (rows, hidden, 4) each */
  double *c = test_memory(3 * count * sizeof(double)), *h = c + count, *before = h + count;
  rondo_lstm_forward_ref(args, l->lanes, a, size, c, h);
  for (size_t i = 0; i < count; i++)
    before[i] =
        args->c_in ? args->c_in[i / (size_t)args->hidden * (size_t)args->c_in_stride + i % (size_t)args->hidden] : 0;
  kernels->lstm_forward(args);
  double c_worst = 0, h_worst = 0;
  for (int n = 0; n < args->rows; n++)
    for (int j = args->first_block * l->lanes; j < args->hidden && j < (args->first_block + args->blocks) * l->lanes;
         j++) {
      int at = n * args->hidden + j;
      double c_bound, h_bound;
      state_bounds(args->hidden, a + 4 * at, size + 4 * at, before[at], c[at], &c_bound, &h_bound);
      float h_got = args->h_out[n * args->h_out_stride + j];
      c_worst = compare_worst(c_worst, share(args->c_out[n * args->c_out_stride + j], c[at], c_bound));
      h_worst = compare_worst(h_worst, share(h_got, h[at], h_bound));
      if (args->y)
        EXPECT(!memcmp(&h_got, args->y + n * args->y_stride + j, sizeof h_got), "y is not h at %d, %d", n, j);
    }
  EXPECT_RATIO(c_worst, "c rows %d hidden %d blocks %d from %d", args->rows, args->hidden, args->blocks,
               args->first_block);
  EXPECT_RATIO(h_worst, "h rows %d hidden %d blocks %d from %d", args->rows, args->hidden, args->blocks,
               args->first_block);
}

/* What lies between the rows must stay as it was made. */
static void check_gaps(const lstm_case *l, const float *array, int gap) {
  for (int n = 0; n < l->args.rows - 1; n++)
    EXPECT(test_is_poison(array + n * (l->args.hidden + gap) + l->args.hidden, (size_t)gap),
           "rows %d hidden %d: written behind row %d", l->args.rows, l->args.hidden, n);
}

static void lstm(const void *row) {
  const rondo_cpu_kernels *kernels = kernels_of(row);
  rondo_context *ctx = kernels ? host() : NULL;
  if (!ctx) return;
  static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 0};
  for (const int *rows = row_counts; *rows; rows++)
    for (const int *hidden = sizes; *hidden; hidden++) {
      lstm_case l = lstm_make(kernels, ctx, *rows, *hidden, 5);
      check_lstm(kernels, &l);
      check_gaps(&l, l.h_out, 5);
      check_gaps(&l, l.y, 5);
    }
}

/* c from nothing, c to another place, no y, and some of the blocks: the others' units stay untouched. */
static void lstm_parts(const void *row) {
  const rondo_cpu_kernels *kernels = kernels_of(row);
  rondo_context *ctx = kernels ? host() : NULL;
  if (!ctx) return;
  for (int rows = 1; rows <= 7; rows += 3)
    for (int first = 0; first < 4; first++) {
      lstm_case l = lstm_make(kernels, ctx, rows, 3 * kernels->lanes + 1, 0);
      l.args.first_block = first;
      l.args.blocks = first < 3 ? 2 : 1;
      l.args.y = NULL;
      l.args.c_out = buffer_output(ctx, (size_t)(rows * l.args.hidden));
      if (first % 2) l.args.c_in = NULL;
      check_lstm(kernels, &l);
      for (int n = 0; n < rows; n++)
        for (int j = 0; j < l.args.hidden; j++) {
          int block = j / l.lanes, mine = block >= first && block < first + l.args.blocks, at = n * l.args.hidden + j;
          EXPECT(test_is_poison(l.h_out + at, 1) == !mine && test_is_poison(l.args.c_out + at, 1) == !mine,
                 "row %d unit %d, blocks %d from %d", n, j, l.args.blocks, first);
        }
    }
}

/* Whatever rows and blocks a call takes, each unit of each row has the same bits. */
static void same_bits(const void *row) {
  const rondo_cpu_kernels *kernels = kernels_of(row);
  rondo_context *ctx = kernels ? host() : NULL;
  if (!ctx) return;
  for (int rows = 1; rows <= 13; rows++) {
    int hidden = 2 * kernels->lanes + 3;
    lstm_case all = lstm_make(kernels, ctx, rows, hidden, 0), one = lstm_make(kernels, ctx, rows, hidden, 0);
    kernels->lstm_forward(&all.args);
    for (int n = 0; n < rows; n++)
      for (int block = 0; block < 3; block++) {
        rondo_lstm_forward_args args = one.args;
        args.rows = 1;
        args.first_block = block;
        args.blocks = 1;
        args.sums = one.sums + n * 4 * one.lanes;
        args.h_in = one.h + n * hidden;
        args.c_in = args.c_out = one.c + n * hidden;
        args.h_out = one.h_out + n * hidden;
        args.y = one.y + n * hidden;
        kernels->lstm_forward(&args);
      }
    EXPECT(test_same_bits(all.h_out, one.h_out, (size_t)(rows * hidden)), "h, rows %d", rows);
    EXPECT(test_same_bits(all.c, one.c, (size_t)(rows * hidden)), "c, rows %d", rows);
  }
}

/* Saturated gates, zeros of both signs, infinities: as the reference has them. One row is full of NaN: it has no
 * neighbours. */
static void specials(const void *row) {
  static const float values[] = {0.0f, -0.0f, 30.0f, -30.0f, 1e4f, -1e4f, INFINITY, -INFINITY, FLT_MIN, -FLT_MIN};
  enum { VALUES = sizeof values / sizeof *values };
  const rondo_cpu_kernels *kernels = kernels_of(row);
  rondo_context *ctx = kernels ? host() : NULL;
  if (!ctx) return;
  for (int rows = 1; rows <= 7; rows++) {
    lstm_case l = lstm_make(kernels, ctx, rows, 19, 0);
    for (int i = 0; i < rows * 4 * l.units; i++)
      l.sums[i] = values[(int)(VALUES * 0.5 * (1 + problem_random(test_seed(), 5, (uint64_t)(i + 1000 * rows))))];
    for (int i = 0; i < rows * 19; i++) {
      l.c[i] = values[(int)(VALUES * 0.5 * (1 + problem_random(test_seed(), 6, (uint64_t)(i + 1000 * rows))))];
      l.h[i] *= 0x1p-20f;
    }
    for (int j = 0; j < 19; j++) l.h[(rows - 1) * 19 + j] = rows > 1 ? NAN : 0;
    check_lstm(kernels, &l);
  }
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static double exact_sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

/* A word over a sweep of every exponent and both signs, between low and high. */
static void check_word(const char *name, rondo_cpu_map *word, double exact(double), double bound, float low,
                       float high) {
  enum { MANY = 1 << 12 };
  static const uint32_t stride = 4099; /* of bit patterns; a prime */
  float in[MANY], out[MANY];
  double worst = 0;
  uint64_t bits = 0;
  while (bits <= UINT32_MAX) {
    int count = 0;
    for (; count < MANY && bits <= UINT32_MAX; bits += stride) {
      uint32_t pattern = (uint32_t)bits;
      memcpy(&in[count], &pattern, sizeof pattern);
      if (in[count] >= low && in[count] <= high) count++;
    }
    word(count, in, out);
    for (int i = 0; i < count; i++) {
      double expected = exact(in[i]);
      worst = compare_worst(worst, share(out[i], expected, bound * u * fabs(expected) + FLT_MIN));
    }
  }
  EXPECT_RATIO(worst, "%s", name);
}

static float word_at(rondo_cpu_map *word, float x) {
  float y = 0;
  word(1, &x, &y);
  return y;
}

static void words(const void *row) {
  const rondo_cpu_kernels *kernels = kernels_of(row);
  if (!kernels) return;
  check_word("exp", kernels->exp, exp, exp_bound, -87.3f, 88.37f);
  check_word("sigmoid", kernels->sigmoid, exact_sigmoid, sigmoid_bound, -FLT_MAX, FLT_MAX);
  check_word("tanh", kernels->tanh, tanh, tanh_bound, -FLT_MAX, FLT_MAX);
  EXPECT(word_at(kernels->exp, 88.4f) == INFINITY && word_at(kernels->exp, INFINITY) == INFINITY, "exp overflows");
  EXPECT(word_at(kernels->exp, -INFINITY) <= 1.1 * FLT_MIN, "exp(-inf) is %g",
         (double)word_at(kernels->exp, -INFINITY));
  EXPECT(word_at(kernels->sigmoid, INFINITY) == 1 && word_at(kernels->sigmoid, -INFINITY) == 0, "sigmoid saturates");
  EXPECT(word_at(kernels->tanh, INFINITY) == 1 && word_at(kernels->tanh, -INFINITY) == -1, "tanh saturates");
  EXPECT(!signbit(word_at(kernels->tanh, 0.0f)) && signbit(word_at(kernels->tanh, -0.0f)), "tanh keeps the sign of 0");
  EXPECT(
      isnan(word_at(kernels->exp, NAN)) && isnan(word_at(kernels->sigmoid, NAN)) && isnan(word_at(kernels->tanh, NAN)),
      "NaN gives NaN");
}

#define ISA_TEST(name)                                                                                                 \
  { #name, name, TEST_TABLE(isas) }

const test_suite test_kernels_cpu = {"KernelsCpu", TEST_ONCE,
                                     (const test_row[]){ISA_TEST(project),
                                                        ISA_TEST(lstm),
                                                        ISA_TEST(lstm_parts),
                                                        ISA_TEST(same_bits),
                                                        ISA_TEST(specials),
                                                        ISA_TEST(words),
                                                        {0}}};
