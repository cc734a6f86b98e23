/* vec_quads.h - the words of products of int8 in quads, as kernels.h has them, per instruction set; beside vec.h.
 *
 *     vec_add_quads(a, b, c)   c + four products for each lane, of bytes without a sign (a) by bytes with one (b),
 *                              modulo 2^32
 *     vec_store_first_quads    rounds LANES numbers to nearest, ties to even, and stores the first `words` words of
 *                              them, 128 added to each
 *     vec_larger, vec_largest  of numbers without a sign, where infinity is larger than any other, and NaN than that
 *
 * VEC_VNNI: AVX-512 has an instruction for four products. Where it has not, bytes are split into those at even and at
 * odd places, as 16 bits each, whose products are added in pairs. To gcc sums are of integers, too: as __m512i it would
 * move them about. */
#ifndef RONDO_CPU_VEC_QUADS_H
#define RONDO_CPU_VEC_QUADS_H

#include "cpu/vec.h"

#if defined(VEC_AVX512)
typedef int32_t vec_sums __attribute__((vector_size(64)));
INLINE vec_sums vec_load_sums(const void *p) {
  return (vec_sums)_mm512_loadu_si512(p);
}
INLINE vec vec_from_sums(vec_sums a) {
  return _mm512_cvtepi32_ps((__m512i)a);
}
INLINE vec vec_larger(vec a, vec b) {
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
INLINE float vec_largest(vec a) {
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(_mm512_reduce_max_epi32(_mm512_castps_si512(a)))));
}
INLINE void vec_store_first_quads(uint32_t *p, vec a, int words) {
  __m512i levels = _mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(128));
  _mm_mask_storeu_epi32(p, (__mmask8)(words < 4 ? (1u << words) - 1 : 15u), _mm512_cvtepi32_epi8(levels));
}

#if defined(VEC_VNNI)
typedef __m512i vec_quads;
INLINE vec_quads vec_set_quad(uint32_t quad) {
  return _mm512_set1_epi32((int)quad);
}
INLINE vec_quads vec_load_quads(const uint32_t *p) {
  return _mm512_loadu_si512(p);
}
INLINE vec_sums vec_add_quads(vec_quads a, vec_quads b, vec_sums c) {
  return (vec_sums)_mm512_dpbusd_epi32((__m512i)c, a, b);
}
#else
typedef struct vec_quads {
  __m512i even, odd;
} vec_quads;
INLINE vec_quads vec_set_quad(uint32_t quad) {
  __m512i a = _mm512_set1_epi32((int)quad);
  return (vec_quads){_mm512_and_si512(a, _mm512_set1_epi32(0x00ff00ff)), _mm512_srli_epi16(a, 8)};
}
INLINE vec_quads vec_load_quads(const uint32_t *p) {
  __m512i a = _mm512_loadu_si512(p);
  return (vec_quads){_mm512_srai_epi16(_mm512_slli_epi16(a, 8), 8), _mm512_srai_epi16(a, 8)};
}
INLINE vec_sums vec_add_quads(vec_quads a, vec_quads b, vec_sums c) {
  __m512i even = _mm512_madd_epi16(a.even, b.even), odd = _mm512_madd_epi16(a.odd, b.odd);
  return (vec_sums)_mm512_add_epi32((__m512i)c, _mm512_add_epi32(even, odd));
}
#endif

#elif defined(VEC_AVX2)
typedef int32_t vec_sums __attribute__((vector_size(32)));
INLINE vec_sums vec_load_sums(const void *p) {
  return (vec_sums)_mm256_loadu_si256(p);
}
INLINE vec vec_from_sums(vec_sums a) {
  return _mm256_cvtepi32_ps((__m256i)a);
}
INLINE vec vec_larger(vec a, vec b) {
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
INLINE float vec_largest(vec a) {
  __m256i all = _mm256_castps_si256(a);
  __m128i most = _mm_max_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0x4e));
  most = _mm_max_epi32(most, _mm_shuffle_epi32(most, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(most));
}
INLINE void vec_store_first_quads(uint32_t *p, vec a, int words) {
  __m256i levels = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(128));
  __m128i halves = _mm_packs_epi32(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
  long long both = _mm_cvtsi128_si64(_mm_packus_epi16(halves, halves));
  memcpy(p, &both, words < 2 ? 4 : 8);
}
typedef struct vec_quads {
  __m256i even, odd;
} vec_quads;
INLINE vec_quads vec_set_quad(uint32_t quad) {
  __m256i a = _mm256_set1_epi32((int)quad);
  return (vec_quads){_mm256_and_si256(a, _mm256_set1_epi32(0x00ff00ff)), _mm256_srli_epi16(a, 8)};
}
INLINE vec_quads vec_load_quads(const uint32_t *p) {
  __m256i a = _mm256_loadu_si256((const __m256i *)p);
  return (vec_quads){_mm256_srai_epi16(_mm256_slli_epi16(a, 8), 8), _mm256_srai_epi16(a, 8)};
}
INLINE vec_sums vec_add_quads(vec_quads a, vec_quads b, vec_sums c) {
  __m256i even = _mm256_madd_epi16(a.even, b.even), odd = _mm256_madd_epi16(a.odd, b.odd);
  return (vec_sums)_mm256_add_epi32((__m256i)c, _mm256_add_epi32(even, odd));
}

#else
typedef vec_bits vec_sums;
INLINE vec_sums vec_load_sums(const void *p) {
  vec_sums a;
  memcpy(&a, p, sizeof a);
  return a;
}
INLINE vec vec_from_sums(vec_sums a) {
  return __builtin_convertvector((vec_ints)a, vec);
}
INLINE vec vec_larger(vec a, vec b) {
  return vec_where((vec_bits)((vec_ints)a > (vec_ints)b), a, b);
}
INLINE float vec_largest(vec a) {
  for (int j = 1; j < LANES; j++)
    if (((vec_ints)a)[j] > ((vec_ints)a)[0]) a[0] = a[j];
  return a[0];
}
INLINE void vec_store_first_quads(uint32_t *p, vec a, int words) { /* the level stands in the low bits of the sum */
  vec_bits levels = (vec_bits)(a + (12582912.0f + 128.0f));
  uint8_t bytes[LANES];
  for (int j = 0; j < LANES; j++) bytes[j] = (uint8_t)levels[j];
  if (words > 0) memcpy(p, bytes, sizeof bytes);
}
typedef int16_t vec_shorts __attribute__((vector_size(16)));
typedef struct vec_quads {
  vec_shorts even, odd;
} vec_quads;
INLINE vec_quads vec_set_quad(uint32_t quad) {
  vec_bits a = {quad, quad, quad, quad};
  return (vec_quads){(vec_shorts)(a & 0x00ff00ffu), (vec_shorts)(a >> 8 & 0x00ff00ffu)};
}
INLINE vec_quads vec_load_quads(const uint32_t *p) {
  vec_bits a;
  memcpy(&a, p, sizeof a);
  return (vec_quads){(vec_shorts)((a & 0x00ff00ffu) << 8) >> 8, (vec_shorts)a >> 8};
}
/* A product of a byte without a sign by one with it fits 16 bits; a sum of two does not. */
INLINE vec_sums vec_sum_of_shorts(vec_shorts a) {
  return (vec_sums)((vec_ints)((vec_bits)a << 16) >> 16) + (vec_sums)((vec_ints)a >> 16);
}
INLINE vec_sums vec_add_quads(vec_quads a, vec_quads b, vec_sums c) {
  return c + vec_sum_of_shorts(a.even * b.even) + vec_sum_of_shorts(a.odd * b.odd);
}
#endif

#endif
