/* vec.h - the words that kernels are written in, per instruction set, and exp, sigmoid and tanh made of them.
 *
 * The including file defines VEC_AVX512, perhaps with VEC_PAIRS, or VEC_AVX2, or none of them: then the vectors are the
 * compiler's own (gcc, clang), of 16 bytes, which every machine has. A product that feeds an addition is always written
 * as vec_fma: one rounding where the machine has it, two in portable code; the compiler never decides
 * (-ffp-contract=off). */
#ifndef RONDO_CPU_VEC_H
#define RONDO_CPU_VEC_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* Inlined whatever the compiler thinks, as vectors must not go through memory. */
#define INLINE static inline __attribute__((always_inline))

#if defined(VEC_AVX512)
#include <immintrin.h>
enum { LANES = 16, ROWS = 6 }; /* a tile of 6 rows x 4 gates: 24 sums, 6 broadcasts, 1 of weights in 32 registers */
typedef __m512 vec;
INLINE vec vec_set(float a) {
  return _mm512_set1_ps(a);
}
INLINE vec vec_load(const float *p) {
  return _mm512_loadu_ps(p);
}
INLINE vec vec_load_f16(const uint16_t *p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
INLINE vec vec_load_bf16(const uint16_t *p) { /* each to the upper half of its lane */
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  __m512i halves = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)p));
  return _mm512_castsi512_ps(_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, _mm512_slli_epi32(lanes, 16), halves));
}
INLINE void vec_store(float *p, vec a) {
  _mm512_storeu_ps(p, a);
}
INLINE __mmask16 vec_first(int count) {
  return (__mmask16)(count < LANES ? (1u << count) - 1 : 0xffffu);
}
INLINE vec vec_load_first(const float *p, int count) {
  return _mm512_maskz_loadu_ps(vec_first(count), p);
}
INLINE void vec_store_first(float *p, vec a, int count) {
  _mm512_mask_storeu_ps(p, vec_first(count), a);
}
INLINE vec vec_add(vec a, vec b) {
  return _mm512_add_ps(a, b);
}
INLINE vec vec_sub(vec a, vec b) {
  return _mm512_sub_ps(a, b);
}
INLINE vec vec_mul(vec a, vec b) {
  return _mm512_mul_ps(a, b);
}
INLINE vec vec_div(vec a, vec b) {
  return _mm512_div_ps(a, b);
}
INLINE vec vec_fma(vec a, vec b, vec c) {
  return _mm512_fmadd_ps(a, b, c);
}
INLINE vec vec_sqrt(vec a) {
  return _mm512_sqrt_ps(a);
}
INLINE vec vec_abs(vec a) {
  return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}
INLINE vec vec_sign_of(vec a, vec s) {
  return _mm512_or_ps(a, _mm512_and_ps(s, _mm512_set1_ps(-0.0f)));
}
INLINE vec vec_at_least(float low, vec a) {
  return _mm512_max_ps(_mm512_set1_ps(low), a);
}
INLINE vec vec_at_most(float high, vec a) {
  return _mm512_min_ps(_mm512_set1_ps(high), a);
}
INLINE vec vec_if_at_most(vec a, vec b, vec then, vec otherwise) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LE_OQ), otherwise, then);
}
INLINE vec vec_round(vec a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vec vec_power2(vec n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

#if defined(VEC_PAIRS)
typedef __m512i vec_pairs;
INLINE vec_pairs vec_set_pair(uint32_t pair) {
  return _mm512_set1_epi32((int)pair);
}
INLINE vec_pairs vec_load_pairs(const uint32_t *p) {
  return _mm512_loadu_si512(p);
}
INLINE vec vec_fma_pairs(vec_pairs a, vec_pairs b, vec c) { /* adds the products of the lower halves last */
  return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b);
}
INLINE vec_pairs vec_pair(vec a, vec b) { /* the instruction puts the first of two numbers into the lower half */
  return _mm512_rol_epi32((__m512i)_mm512_cvtne2ps_pbh(b, a), 16);
}
INLINE void vec_store_first_pairs(uint32_t *p, vec_pairs a, int count) {
  _mm512_mask_storeu_epi32(p, vec_first(count), a);
}
#endif

#elif defined(VEC_AVX2)
#include <immintrin.h>
enum { LANES = 8, ROWS = 3 }; /* 12 sums, 3 broadcasts, 1 of weights in 16 registers */
typedef __m256 vec;
INLINE vec vec_set(float a) {
  return _mm256_set1_ps(a);
}
INLINE vec vec_load(const float *p) {
  return _mm256_loadu_ps(p);
}
INLINE vec vec_load_f16(const uint16_t *p) {
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
INLINE vec vec_load_bf16(const uint16_t *p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
INLINE void vec_store(float *p, vec a) {
  _mm256_storeu_ps(p, a);
}
INLINE __m256i vec_first(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec vec_load_first(const float *p, int count) {
  return count < LANES ? _mm256_maskload_ps(p, vec_first(count)) : vec_load(p);
}
INLINE void vec_store_first(float *p, vec a, int count) { /* masked stores take some machines dozens of cycles */
  if (count < LANES)
    _mm256_maskstore_ps(p, vec_first(count), a);
  else
    vec_store(p, a);
}
INLINE vec vec_add(vec a, vec b) {
  return _mm256_add_ps(a, b);
}
INLINE vec vec_sub(vec a, vec b) {
  return _mm256_sub_ps(a, b);
}
INLINE vec vec_mul(vec a, vec b) {
  return _mm256_mul_ps(a, b);
}
INLINE vec vec_div(vec a, vec b) {
  return _mm256_div_ps(a, b);
}
INLINE vec vec_fma(vec a, vec b, vec c) {
  return _mm256_fmadd_ps(a, b, c);
}
INLINE vec vec_sqrt(vec a) {
  return _mm256_sqrt_ps(a);
}
INLINE vec vec_abs(vec a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE vec vec_sign_of(vec a, vec s) {
  return _mm256_or_ps(a, _mm256_and_ps(s, _mm256_set1_ps(-0.0f)));
}
INLINE vec vec_at_least(float low, vec a) {
  return _mm256_max_ps(_mm256_set1_ps(low), a);
}
INLINE vec vec_at_most(float high, vec a) {
  return _mm256_min_ps(_mm256_set1_ps(high), a);
}
INLINE vec vec_if_at_most(vec a, vec b, vec then, vec otherwise) {
  return _mm256_blendv_ps(otherwise, then, _mm256_cmp_ps(a, b, _CMP_LE_OQ));
}
INLINE vec vec_round(vec a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vec vec_power2(vec n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

#else
enum { LANES = 4, ROWS = 2 }; /* 8 sums, 2 broadcasts, 1 of weights and a product in 16 registers */
typedef float vec __attribute__((vector_size(16)));
typedef uint32_t vec_bits __attribute__((vector_size(16)));
typedef int32_t vec_ints __attribute__((vector_size(16)));
typedef uint16_t vec_halves __attribute__((vector_size(8)));
INLINE vec vec_set(float a) {
  return (vec){a, a, a, a};
}
INLINE vec vec_load(const float *p) {
  vec a;
  memcpy(&a, p, sizeof a);
  return a;
}
INLINE void vec_store(float *p, vec a) {
  memcpy(p, &a, sizeof a);
}
INLINE vec vec_load_first(const float *p, int count) {
  vec a = vec_set(0.0f);
  if (count >= LANES) return vec_load(p);
  for (int j = 0; j < count; j++) a[j] = p[j];
  return a;
}
INLINE void vec_store_first(float *p, vec a, int count) {
  if (count >= LANES)
    vec_store(p, a);
  else
    for (int j = 0; j < count; j++) p[j] = a[j];
}
INLINE vec vec_add(vec a, vec b) {
  return a + b;
}
INLINE vec vec_sub(vec a, vec b) {
  return a - b;
}
INLINE vec vec_mul(vec a, vec b) {
  return a * b;
}
INLINE vec vec_div(vec a, vec b) {
  return a / b;
}
INLINE vec vec_fma(vec a, vec b, vec c) {
  return a * b + c;
}
INLINE vec vec_sqrt(vec a) {
  for (int j = 0; j < LANES; j++) a[j] = sqrtf(a[j]);
  return a;
}
INLINE vec vec_abs(vec a) {
  return (vec)((vec_bits)a & 0x7fffffffu);
}
INLINE vec vec_sign_of(vec a, vec s) {
  return (vec)((vec_bits)a | ((vec_bits)s & 0x80000000u));
}
INLINE vec vec_where(vec_bits condition, vec a, vec b) {
  return (vec)((condition & (vec_bits)a) | (~condition & (vec_bits)b));
}
INLINE vec vec_at_least(float low, vec a) {
  return vec_where((vec_bits)(a < vec_set(low)), vec_set(low), a);
}
INLINE vec vec_at_most(float high, vec a) {
  return vec_where((vec_bits)(a > vec_set(high)), vec_set(high), a);
}
INLINE vec vec_if_at_most(vec a, vec b, vec then, vec otherwise) {
  return vec_where((vec_bits)(a <= b), then, otherwise);
}
INLINE vec_bits vec_load_halves(const uint16_t *p) {
  vec_halves halves;
  memcpy(&halves, p, sizeof halves);
  return __builtin_convertvector(halves, vec_bits);
}
/* The exponent's bias grows by 112, and by as much again for infinities and NaNs. Numbers below 2^-14 are multiples of
 * 2^-24, and that is what the last bit of 1/2 counts: no step has a subnormal float, which might count as zero. */
INLINE vec vec_load_f16(const uint16_t *p) {
  vec_bits halves = vec_load_halves(p), sign = (halves & 0x8000u) << 16;
  vec_ints size = (vec_ints)(halves & 0x7fffu);
  vec_bits bias = 0x38000000u + ((vec_bits)(size > 0x7bff) & 0x38000000u);
  vec small = (vec)(size + 0x3f000000) - 0.5f, normal = (vec)(((vec_bits)size << 13) + bias);
  return (vec)((vec_bits)vec_where((vec_bits)(size < 0x400), small, normal) | sign);
}
INLINE vec vec_load_bf16(const uint16_t *p) {
  return (vec)(vec_load_halves(p) << 16);
}
/* Adding 1.5 * 2^23 leaves no bits for a fraction. |a| is below 2^22. */
INLINE vec vec_round(vec a) {
  return (a + 12582912.0f) - 12582912.0f;
}
INLINE vec vec_power2(vec n) { /* the integer stands in the low bits of the sum */
  return (vec)(((vec_bits)(n + 12582912.0f) + 127u) << 23);
}
#endif

/* Of the words above: vec_load_first and vec_store_first touch the first `count` lanes (all, from LANES on), the others
 * load as zero. vec_load_f16 and vec_load_bf16 widen numbers of 16 bits exactly. vec_at_least and vec_at_most let a NaN
 * pass. Pairs of bf16 are those of kernels.h: vec_pair(a, b) makes them of 2 LANES numbers, rounded to nearest, ties to
 * even, and vec_fma_pairs adds both products in turn, the upper first, with one rounding each; subnormal numbers count
 * as zero in both. vec_round: to the nearest integer. vec_power2(n): 2^n for integers -126..127, infinity for 128.
 * vec_sign_of(a, s): a, which must not be negative, with the sign of s. vec_if_at_most: then where a <= b, else (NaN,
 * too) otherwise.
 *
 * Bounds below are relative to the exact value, in u = 2^-24, and hold with and without fused vec_fma; where the exact
 * value is below the smallest normal number, that number bounds the absolute error. The first is derived, to first
 * order; the second was found by trying every float from 2^-20 to 90, both signs. A NaN gives a NaN. */

/* x = n ln 2 + r with |r| <= 0.3466; gives q = expm1(r), and n. x in -87.3..89.
 * ln 2 is split in two: n times the first part is exact, as its 15 bits and the 8 of n fit a float; then x minus that
 * is exact too, and r is off by its own rounding alone, 0.25 u; by nothing when n is 0. The polynomial (minimax) is
 * within 0.43 u |q|, its last sum rounds by u |q| or 0.25 u, the terms inside by 0.4 u |q| or 0.15 u: so q is off by
 * 1 u absolute, and when n is 0 by 2 u |q|. */
INLINE vec vec_reduced_expm1(vec x, vec *n) {
  *n = vec_round(vec_mul(x, vec_set(1.44269504f)));
  vec r = vec_fma(*n, vec_set(-0.693145752f), x);
  r = vec_fma(*n, vec_set(-1.42860677e-6f), r);
  vec p = vec_set(0.00139261840f);
  p = vec_fma(p, r, vec_set(0.00836317893f));
  p = vec_fma(p, r, vec_set(0.0416665561f));
  p = vec_fma(p, r, vec_set(0.166665763f));
  p = vec_fma(p, r, vec_set(0.5f));
  return vec_fma(vec_mul(r, r), p, r);
}

/* exp(x) to 2.2 u (1.6 u): 1 u from q and 1 u from adding 1 to it, 0.5 u where that gives less than 1, but then no less
 * than 0.7. Clamped: x below -87.3 counts as -87.3, near the smallest normal number; from 88.38 on the result is
 * infinity. */
INLINE vec vec_exp(vec x) {
  vec n, q = vec_reduced_expm1(vec_at_least(-87.3f, vec_at_most(89.0f, x)), &n);
  return vec_mul(vec_add(q, vec_set(1.0f)), vec_power2(n));
}

/* expm1(x) for x <= 0, to 2.6 u; -1 from -20 down, as in float anyway. Nothing cancels: n is 0 and the result q; or it
 * is the sum of 2^n - 1 <= -1/2, exact down to n = -24, and of 2^n q: 0.5 u and a rounding of 0.25 u over 0.29. */
INLINE vec vec_expm1_negative(vec x) {
  vec n, q = vec_reduced_expm1(vec_at_least(-20.0f, x), &n), power = vec_power2(n);
  return vec_fma(power, q, vec_sub(power, vec_set(1.0f)));
}

/* 1 + exp(-x), what sigmoid divides by, to 3.2 u. */
INLINE vec vec_sigmoid_divisor(vec x) {
  return vec_add(vec_set(1.0f), vec_exp(vec_sub(vec_set(0.0f), x)));
}

/* 1 / (1 + exp(-x)) to 4.2 u (2.5 u). */
INLINE vec vec_sigmoid(vec x) {
  return vec_div(vec_set(1.0f), vec_sigmoid_divisor(x));
}

/* -e / (e + 2) with e = expm1(-2 |x|), to 5.1 u (3.3 u): accurate near zero, where 2 sigmoid(2 x) - 1 is not. The
 * quotient turns e's 2.6 u into at most 3.1 u, and the sum and the division round by u each. */
INLINE vec vec_tanh(vec x) {
  vec e = vec_expm1_negative(vec_mul(vec_set(-2.0f), vec_abs(x)));
  return vec_sign_of(vec_div(vec_abs(e), vec_add(e, vec_set(2.0f))), x);
}

/* sigmoid(x) tanh(z) to 9.3 u, the sum of the two: one division serves both, and divisions are what costs here. */
INLINE vec vec_sigmoid_tanh(vec x, vec z) {
  vec e = vec_expm1_negative(vec_mul(vec_set(-2.0f), vec_abs(z)));
  vec divisor = vec_mul(vec_sigmoid_divisor(x), vec_add(e, vec_set(2.0f)));
  return vec_sign_of(vec_div(vec_abs(e), divisor), z);
}

#endif
