/* test_halves_cpu.c - numbers of 16 bits as the kernels of the CPU take them: weights, rounded to nearest and widened
 * again, and pairs of bf16. */
#include "kernels_cpu.h"

#include "cpu/float_mode.h"

#include <math.h>
#include <string.h>

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* Where weight i of the shape stands, in weights. */
static int weight_place(const cpu_weights *s, int i) {
  if (s->group == 1) return i;
  int column = i % s->width, k = i / s->width % s->rows, stream = i / s->width / s->rows;
  int depth = (int)rondo_cpu_filled(s->fill, (size_t)s->rows);
  return 2 * ((stream * depth / 2 + k / 2) * s->width + column) + (k % 2 ? 0 : 1);
}

void *cpu_filled_weights(rondo_context *ctx, const cpu_weights *s, uint64_t stream) {
  int count = s->streams * s->rows * s->width, rows = (int)rondo_cpu_filled(s->fill, (size_t)s->rows);
  if (s->type == RONDO_INT8) return cpu_filled_quads(ctx, s, stream);
  if (s->type == RONDO_F32) return cpu_filled(ctx, (size_t)count, stream);
  size_t kept = (size_t)(s->streams * rows * s->width);
  uint16_t *to = (uint16_t *)buffer_output(ctx, kept / 2);
  memset(to, 0, kept * sizeof *to);
  for (int i = 0; i < count; i++)
    to[weight_place(s, i)] = rondo_to_half(s->type, problem_random(test_seed(), stream, (uint64_t)i));
  return to;
}

const float *cpu_widened(const cpu_weights *s, const void *weights) {
  int count = s->streams * s->rows * s->width;
  float *to = test_memory((size_t)count * sizeof *to);
  for (int i = 0; i < count; i++)
    to[i] = s->type == RONDO_F32 ? ((const float *)weights)[i]
                                 : rondo_from_half(s->type, ((const uint16_t *)weights)[weight_place(s, i)]);
  return to;
}

const uint32_t *cpu_words(rondo_context *ctx, rondo_dtype type, const float *const *from, int rows, int count, int fill,
                          int stride) {
  if (type == RONDO_INT8) return cpu_quads(ctx, from, rows, count, stride);
  int filled = (int)rondo_cpu_filled(fill, (size_t)count);
  uint32_t *to = (uint32_t *)(void *)buffer_output(ctx, (size_t)((rows - 1) * stride + filled / 2));
  for (int m = 0; m < rows; m++)
    for (int k = 0; k < filled; k += 2) {
      uint32_t first = k < count ? rondo_to_bf16(from[m][k]) : 0;
      uint32_t second = k + 1 < count ? rondo_to_bf16(from[m][k + 1]) : 0;
      to[m * stride + k / 2] = first << 16 | second;
    }
  return to;
}

const float *const *cpu_rounded_rows(const float *const *from, int rows, int count) {
  float **to = cpu_rows(test_memory((size_t)(rows * count) * sizeof(float)), rows, count);
  for (int m = 0; m < rows; m++)
    for (int k = 0; k < count; k++) to[m][k] = rondo_from_bf16(rondo_to_bf16(from[m][k]));
  return (const float *const *)to;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* The number of a type that these 15 bits are, by the definition: (significand + hidden bit) 2^exponent. The largest
 * exponent is that of infinities; as a number, it is where they would stand. */
static double number_of(rondo_dtype type, int bits) {
  int fraction = type == RONDO_F16 ? 10 : 7, least = type == RONDO_F16 ? -24 : -133;
  int exponent = bits >> fraction, significand = bits & ((1 << fraction) - 1);
  return exponent ? ldexp(significand + (1 << fraction), least + exponent - 1) : ldexp(significand, least);
}

/* Every number comes back, its neighbourhood up to half way to the next one rounds to it, and half way goes to the even
 * of two, both signs, whatever the rounding mode. */
static void rounding(const void *unused) {
  (void)unused;
  for (int type = RONDO_F16; type <= RONDO_BF16; type++) {
    int infinity = type == RONDO_F16 ? 0x7C00 : 0x7F80, wrong = 0;
    for (int half = 0; half < infinity; half++) {
      float value = (float)number_of(type, half), middle = (float)((value + number_of(type, half + 1)) / 2);
      const struct {
        float from;
        int to;
      } cases[] = {{value, half},
                   {middle, half + half % 2},
                   {nextafterf(middle, 0), half},
                   {nextafterf(middle, INFINITY), half + 1}};
      wrong += rondo_from_half(type, (uint16_t)half) != value;
      wrong += rondo_from_half(type, (uint16_t)(half | 0x8000)) != -value;
      for (int i = 0; i < 4; i++) {
        wrong += rondo_to_half(type, cases[i].from) != cases[i].to;
        wrong += rondo_to_half(type, -cases[i].from) != (cases[i].to | 0x8000);
      }
    }
    EXPECT(!wrong, "type %d: %d numbers are rounded wrongly", type, wrong);
    EXPECT(rondo_to_half(type, INFINITY) == infinity && rondo_from_half(type, (uint16_t)infinity) == INFINITY &&
               rondo_to_half(type, -INFINITY) == (infinity | 0x8000),
           "infinities of type %d", type);
    for (int half = infinity + 1; half < 0x8000; half++)
      wrong += !isnan(rondo_from_half(type, (uint16_t)half)) ||
               (rondo_to_half(type, rondo_from_half(type, (uint16_t)half)) & 0x7FFF) <= infinity;
    EXPECT(!wrong, "type %d: %d NaNs are none", type, wrong);
  }
}

/* The kernels widen each of the 65536 numbers exactly, also where subnormal floats count as zero: numbers of RONDO_F16
 * are no such floats. */
static void widening(const void *level) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  if (!kernels) return;
  enum { ALL = 1 << 16, MOST = 16 };
  static uint16_t halves[ALL];
  static uint32_t pairs[ALL * MOST];
  static float sums[ALL], expected[ALL];
  const float one = 1, *in = &one;
  const uint32_t pair_of_one[MOST] = {0x3F800000};
  int lanes = kernels->lanes, depth = kernels->pairs / 2; /* of rows that are filled up */
  if (!EXPECT(depth <= MOST, "rows are filled up to %d pairs", depth)) return;
  for (int i = 0; i < ALL; i++) halves[i] = (uint16_t)i;
  for (int i = 0; i < ALL && depth; i++) pairs[i / lanes * depth * lanes + i % lanes] = (uint32_t)i << 16;
  rondo_product_forward_args args = {
      .gates = 1, .rows = 1, .inputs = 1, .blocks = ALL / kernels->lanes, .in = &in, .sums_block = kernels->lanes};
  for (int type = RONDO_F16; type <= RONDO_BF16; type++)
    for (int flush = kernels->words[type] != NULL; flush < 2; flush++) { /* pairs know no subnormals */
      rondo_product_forward_args narrow = args, wide = args;
      narrow.type = (rondo_dtype)type, narrow.weights = halves, narrow.sums = sums;
      if (kernels->words[type]) narrow.in_words = pair_of_one, narrow.weights = pairs;
      wide.weights = cpu_widened(&(cpu_weights){narrow.type, 1, 1, 1, 1, ALL}, halves), wide.sums = expected;
      unsigned mode = flush ? rondo_enter_float_mode() : 0;
      kernels->product_forward(&narrow);
      kernels->product_forward(&wide);
      if (flush) rondo_leave_float_mode(mode);
      int wrong = 0;
      for (int i = 0; i < ALL; i++) {
        float value = rondo_from_half(narrow.type, halves[i]);
        int exact = (flush && type == RONDO_BF16) || sums[i] == value;
        wrong += isnan(value) ? !isnan(sums[i]) : !exact || !test_same_bits(&sums[i], &expected[i], 1);
      }
      EXPECT(!wrong, "%d numbers of type %d are other floats, flush %d", wrong, type, flush);
    }
}

static const cpu_level paired[] = {
    {"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX}, {NULL, 0}}; /* levels with products of bf16 */

/* Any float, in any place of a row of any length, becomes what half.h makes of it, but zero if it is subnormal; the
 * last of an odd number is paired with a zero, and nothing is written behind it. */
static void pair(const void *level) {
  enum { MOST = 70 };
  static const uint32_t stride = 3001; /* of bit patterns; a prime */
  const rondo_cpu_kernels *kernels = cpu_kernels_of(level);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  int wrong = 0, count = 1;
  for (uint64_t bits = 0; bits <= UINT32_MAX; count = 1 + count % MOST) {
    float *in = test_memory(MOST * sizeof *in), *out = buffer_output(ctx, (size_t)(count + 1) / 2);
    const uint32_t *pairs = (const uint32_t *)(void *)out;
    for (int i = 0; i < MOST; i++, bits += stride) in[i] = rondo_bits_float((uint32_t)bits);
    kernels->words[RONDO_BF16](count, in, (uint32_t *)(void *)out);
    for (int i = 0; i < count; i++) {
      uint32_t half = i % 2 ? pairs[i / 2] & 0xFFFF : pairs[i / 2] >> 16;
      float number = fpclassify(in[i]) == FP_SUBNORMAL ? copysignf(0, in[i]) : in[i];
      wrong += half != rondo_to_bf16(number);
    }
    wrong += count % 2 && (pairs[count / 2] & 0xFFFF);
  }
  EXPECT(!wrong, "%d numbers are paired wrongly", wrong);
}

const test_suite test_halves_cpu = {
    "KernelsCpu", TEST_ONCE,
    (const test_row[]){{"rounding", rounding, NULL, 0}, CPU_TEST(widening), {"pair", pair, TEST_TABLE(paired)}, {0}}};
