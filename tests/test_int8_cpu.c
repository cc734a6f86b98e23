/* test_int8_cpu.c - rows and weights of 8 bits as the kernels of the CPU take them: rounding to levels, and sums of
 * products, which are integers and exact on every instruction set. */
#include "kernels_cpu.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static int words_of(int numbers) {
  return (numbers + 3) / 4;
}

/* A level of -most..most. */
static int random_level(uint64_t stream, size_t i, int most) {
  return (int)floor(0.5 * (1 + (double)problem_random(test_seed(), stream, i)) * (2 * most + 1)) - most;
}

/* Writes a stream (2 + rows / 4 rounded up, width): levels, what sums begin with, scales. */
static void fill_stream(uint32_t *to, int rows, int width, uint64_t stream, size_t first, const float *scales) {
  int8_t *levels = (int8_t *)(to + 2 * width);
  memset(to, 0, (size_t)((2 + words_of(rows)) * width) * sizeof *to);
  for (int column = 0; column < width; column++) {
    int32_t sum = 0;
    for (int k = 0; k < rows; k++) {
      int level = random_level(stream, first + (size_t)(k * width + column), 127);
      levels[4 * (k / 4 * width + column) + k % 4] = (int8_t)level;
      sum += level;
    }
    sum *= -128;
    memcpy(to + column, &sum, sizeof sum);
  }
  memcpy(to + width, scales, (size_t)width * sizeof *scales);
}

void *cpu_filled_quads(rondo_context *ctx, const cpu_weights *s, uint64_t stream) {
  size_t depth = (size_t)((2 + words_of(s->rows)) * s->width);
  uint32_t *to = (uint32_t *)(void *)buffer_output(ctx, (size_t)s->streams * depth);
  const float *scales = cpu_filled(ctx, (size_t)(s->streams * s->width), stream + 1000);
  float *sizes = test_memory((size_t)s->width * sizeof *sizes);
  for (int i = 0; i < s->streams; i++) {
    for (int j = 0; j < s->width; j++) sizes[j] = fabsf(scales[i * s->width + j]) / 127;
    fill_stream(to + (size_t)i * depth, s->rows, s->width, stream, (size_t)(i * s->rows * s->width), sizes);
  }
  return to;
}

/* What kernels.h says of a row: bytes and the scale. */
static void expect_quads(uint32_t *to, const float *from, int count) {
  uint8_t *bytes = (uint8_t *)to;
  float largest = 0, scale;
  int finite = 1;
  for (int k = 0; k < count; k++) largest = fmaxf(largest, fabsf(from[k])), finite &= isfinite(from[k]) != 0;
  scale = !finite ? NAN : largest < 0x1p-100f ? 0 : largest / 127;
  float factor = scale > 0 ? 127 / largest : 0;
  for (int k = 0; k < 4 * words_of(count); k++)
    bytes[k] = (uint8_t)(128 + (k < count && finite ? (int)nearbyintf(from[k] * factor) : 0));
  memcpy(to + words_of(count), &scale, sizeof scale);
}

const uint32_t *cpu_quads(rondo_context *ctx, const float *const *from, int rows, int count, int stride) {
  uint32_t *to = (uint32_t *)(void *)buffer_output(ctx, (size_t)((rows - 1) * stride + words_of(count) + 1));
  for (int m = 0; m < rows; m++) expect_quads(to + m * stride, from[m], count);
  return to;
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

/* A row becomes the bytes and the scale that kernels.h says, and nothing is written behind them. Bytes of a row with a
 * number that is not finite do not matter. */
static void check_row(rondo_words_kernel *quantise, rondo_context *ctx, const float *in, int count) {
  size_t words = (size_t)words_of(count) + 1;
  float *out = buffer_output(ctx, words); /* guarded at both ends */
  uint32_t expected[64];
  const uint32_t *got = (const uint32_t *)(void *)out;
  quantise(count, in, (uint32_t *)(void *)out);
  expect_quads(expected, in, count);
  float scale = rondo_bits_float(got[words - 1]), right = rondo_bits_float(expected[words - 1]);
  EXPECT(isnan(right) ? isnan(scale) : scale == right, "%d numbers: scale %g, not %g", count, (double)scale,
         (double)right);
  if (isfinite(right)) EXPECT(!memcmp(got, expected, (words - 1) * sizeof *got), "%d numbers: other levels", count);
}

static void check_rows(rondo_words_kernel *quantise, rondo_context *ctx) {
  static const float odd[] = {0,       -0.0f,    NAN,       INFINITY,         -INFINITY,
                              FLT_MAX, -FLT_MAX, 0x1p-100f, 0x1.fffffep-101f, 1e-38f};
  enum { MOST = 70, ODD = sizeof odd / sizeof *odd };
  float in[MOST];
  for (int count = 1; count <= MOST; count++)
    for (int kind = 0; kind < ODD + 3; kind++) {
      for (int k = 0; k < count; k++)
        in[k] = problem_random(test_seed(), (uint64_t)(count + 100), (uint64_t)(k + MOST * kind));
      for (int k = 0; kind == 1 && k < count; k++) in[k] = (float)(2 * (k * 7 % 127) - 127) / 2; /* ties */
      if (kind == 1) in[count / 2] = 127;
      for (int k = 0; kind >= 3 && odd[kind - 3] == 0 && k < count; k++) in[k] = odd[kind - 3];
      for (int k = 0; kind >= 10 && k < count; k++) in[k] *= 0x1p-101f; /* and one as small or somewhat larger */
      if (kind >= 3) in[count * 2 / 3] = odd[kind - 3];
      check_row(quantise, ctx, in, count);
    }
}

static void quantise(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level), *beside = cpu_kernels_beside(level, RONDO_INT8);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  check_rows(kernels->words[RONDO_INT8], ctx);
  if (beside) check_rows(beside->words[RONDO_INT8], ctx);
}

/* ---- integers ---------------------------------------------------------------------------------------------------- */

static int64_t sum_of_levels(const uint8_t *bytes, const int8_t *levels, int inputs, int width, int column) {
  int64_t sum = 0;
  for (int k = 0; k < inputs; k++) sum += (bytes[k] - 128) * levels[4 * (k / 4 * width + column) + k % 4];
  return sum;
}

/* With scales of 1 and no start a sum is the integer itself, rounded to a float once. */
static void check_integers(const rondo_cpu_kernels *kernels, rondo_context *ctx, int rows, int inputs, int extreme) {
  int width = kernels->lanes, words = words_of(inputs), stride = words + 1;
  uint32_t *in = (uint32_t *)(void *)buffer_output(ctx, (size_t)(rows * stride));
  uint32_t *weights = (uint32_t *)(void *)buffer_output(ctx, (size_t)((2 + words) * width));
  float ones[16], one = 1, *sums = buffer_output(ctx, (size_t)(rows * width));
  for (int j = 0; j < 16; j++) ones[j] = 1;
  fill_stream(weights, inputs, width, 7, 0, ones);
  int8_t *levels = (int8_t *)(weights + 2 * width);
  for (int m = 0; m < rows; m++) {
    uint8_t *bytes = (uint8_t *)(in + m * stride);
    for (int k = 0; k < 4 * words; k++) bytes[k] = (uint8_t)(128 + random_level(8, (size_t)(m * inputs + k), 127));
    for (int k = 0; extreme && k < inputs; k++) bytes[k] = m % 2 ? 1 : 255;
    memcpy(in + m * stride + words, &one, sizeof one);
  }
  for (int i = 0; extreme && i < 4 * words * width; i++) levels[i] = i / 4 / width * 4 + i % 4 < inputs ? -127 : 0;
  for (int j = 0; extreme && j < width; j++) ((int32_t *)weights)[j] = (int32_t)((int64_t)128 * 127 * inputs);
  rondo_product_forward_args args = {.gates = 1, .rows = rows, .inputs = inputs, .blocks = 1, .type = RONDO_INT8};
  args.in_words = in, args.words_row = stride, args.weights = weights, args.sums = sums, args.sums_row = width;
  kernels->product_forward(&args);
  int wrong = 0;
  for (int m = 0; m < rows; m++)
    for (int j = 0; j < width; j++)
      wrong += sums[m * width + j] != (float)sum_of_levels((uint8_t *)(in + m * stride), levels, inputs, width, j);
  EXPECT(!wrong, "%d sums of %d products in %d rows are other integers", wrong, inputs, rows);
}

/* Of any depth, to the deepest and the largest numbers that the library lets in. */
static void integers_of(const rondo_cpu_kernels *kernels, rondo_context *ctx) {
  for (int rows = 1; rows <= 7; rows++)
    for (int inputs = 1; inputs <= 41; inputs++) check_integers(kernels, ctx, rows, inputs, 0);
  check_integers(kernels, ctx, 2, RONDO_CPU_QUADS_MOST, 0);
  check_integers(kernels, ctx, 2, RONDO_CPU_QUADS_MOST, 1);
}

static void integers(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level), *beside = cpu_kernels_beside(level, RONDO_INT8);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  integers_of(kernels, ctx);
  if (beside) integers_of(beside, ctx);
}

/* Other instructions give the same bits. */
static void check_beside(const rondo_cpu_kernels *kernels, const rondo_cpu_kernels *beside, rondo_context *ctx,
                         int gates, int rows) {
  enum { INPUTS = 37, BLOCKS = 5 };
  int width = gates * kernels->lanes;
  size_t count = (size_t)(BLOCKS * rows * width);
  cpu_weights shape = {RONDO_INT8, 4, 4, BLOCKS, INPUTS, width};
  float *x = cpu_filled(ctx, (size_t)(INPUTS * rows), 1);
  rondo_product_forward_args args = {.gates = gates, .rows = rows, .inputs = INPUTS, .blocks = BLOCKS};
  args.in_words = cpu_quads(ctx, (const float *const *)cpu_rows(x, rows, INPUTS), rows, INPUTS, 20);
  args.words_row = 20, args.type = RONDO_INT8, args.weights = cpu_filled_quads(ctx, &shape, 3);
  args.start = cpu_filled(ctx, (size_t)(BLOCKS * width), 2), args.sums_block = rows * width, args.sums_row = width;
  float *sums[2] = {buffer_output(ctx, count), buffer_output(ctx, count)};
  args.sums = sums[0], kernels->product_forward(&args);
  args.sums = sums[1], beside->product_forward(&args);
  EXPECT(test_same_bits(sums[0], sums[1], count), "%d gates, %d rows: %s has other bits than %s", gates, rows,
         beside->name, kernels->name);
}

static void same_bits_beside(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level), *beside = cpu_kernels_beside(level, RONDO_INT8);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  if (!beside) SKIP("no other instructions for weights of 8 bits");
  for (int rows = 1; rows <= 13; rows++)
    for (int gates = 1; gates <= 4; gates++) check_beside(kernels, beside, ctx, gates, rows);
}

const test_suite test_int8_cpu = {
    "KernelsCpu", TEST_ONCE,
    (const test_row[]){CPU_TEST(quantise), CPU_TEST(integers), CPU_TEST(same_bits_beside), {0}}};
