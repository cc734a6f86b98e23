/* half.h - numbers of 16 bits as weights are kept: rounding a float to nearest, ties to even, whatever the thread's own
 * mode, and back, which is exact. Too large a number becomes infinite; a NaN stays one. */
#ifndef RONDO_HALF_H
#define RONDO_HALF_H

#include "rondo/rondo.h"

#include <string.h>

static inline uint32_t rondo_float_bits(float v) {
  uint32_t bits;
  memcpy(&bits, &v, sizeof bits);
  return bits;
}

static inline float rondo_bits_float(uint32_t bits) {
  float v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

/* bits / 2^shift, rounded. */
static inline uint32_t rondo_shift_rounding(uint32_t bits, uint32_t shift) {
  return (bits + (1u << (shift - 1)) - 1 + (bits >> shift & 1)) >> shift;
}

/* The upper half of a float; the carry of rounding may run into the exponent, as it should. */
static inline uint16_t rondo_to_bf16(float v) {
  uint32_t bits = rondo_float_bits(v);
  if (v != v) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)rondo_shift_rounding(bits, 16);
}

static inline float rondo_from_bf16(uint16_t half) {
  return rondo_bits_float((uint32_t)half << 16);
}

/* Numbers below 2^-14 become multiples of 2^-24: up to half of that, 0. */
static inline uint16_t rondo_to_f16(float v) {
  uint32_t bits = rondo_float_bits(v), sign = bits >> 16 & 0x8000, size = bits & 0x7FFFFFFF;
  if (size > 0x7F800000) return (uint16_t)(sign | 0x7E00);
  if (size >= 0x477FF000) return (uint16_t)(sign | 0x7C00); /* 65520 and more */
  if (size <= 0x33000000) return (uint16_t)sign;
  if (size < 0x38800000)
    return (uint16_t)(sign | rondo_shift_rounding((size & 0x7FFFFF) | 0x800000, 126 - (size >> 23)));
  return (uint16_t)(sign | rondo_shift_rounding(size - 0x38000000, 13));
}

static inline float rondo_from_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7FFF;
  if (size >= 0x7C00) return rondo_bits_float(sign | 0x7F800000 | size << 13);
  if (size < 0x400) return rondo_bits_float(sign | rondo_float_bits((float)size * 0x1p-24f));
  return rondo_bits_float(sign | ((size << 13) + 0x38000000));
}

static inline uint16_t rondo_to_half(rondo_dtype type, float v) {
  return type == RONDO_F16 ? rondo_to_f16(v) : rondo_to_bf16(v);
}

static inline float rondo_from_half(rondo_dtype type, uint16_t half) {
  return type == RONDO_F16 ? rondo_from_f16(half) : rondo_from_bf16(half);
}

/* Bytes of a weight. */
static inline size_t rondo_dtype_bytes(rondo_dtype type) {
  return type == RONDO_F32 ? sizeof(float) : type == RONDO_INT8 ? 1 : sizeof(uint16_t);
}

#endif
