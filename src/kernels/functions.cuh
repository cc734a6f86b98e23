/* functions.cuh - the activations in float.
 *
 * Largest errors by the CUDA C++ Programming Guide ("Mathematical Functions", what its tests found), in ulp: expf 2,
 * expm1f 1, log1pf 1, tanhf 2, erfcf 4; sums, products and quotients round correctly. With u = 2^-24 (half an ulp is at
 * most u of the value), so one ulp is at most 2u:
 *
 * sigmoid, tanh, expm1, exp and log(1 + e^v) are within 8u of their value; so are those made of them, where it is said
 * below that nothing cancels, with u for each further operation. NaN stays NaN: comparisons are written so. */
#ifndef RONDO_FUNCTIONS_CUH
#define RONDO_FUNCTIONS_CUH

#include "rondo/rondo.h"

/* 2^v for v that gives a normal number: within 2 ulp by the PTX ISA ("ex2.approx"). */
__device__ inline float exp2_approx(float v) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(v));
  return result;
}

/* 1 / (1 + exp(-v)). exp(-v) = 2^n 2^rest, n the integer next to -v log2(e), but at least -126 and at most 126. The
 * fused multiply-add that makes n + 127 leaves it in the last bits of a float, from where a shift brings it into the
 * exponent of one. log2(e) comes in two parts, so the rest is within u / 2 and exp(-v), with 2 ulp of ex2, within 5u.
 * It weighs e / (1 + e) < 1 in the sum; so the result is within 7u where that is at least 2^-126. Below v = -88.8 the
 * rest overflows and the result is 0 instead of a subnormal number. NaN stays NaN, the infinities give 0 and 1. */
__device__ inline float sigmoid(float v) {
  const float within = __saturatef(fmaf(v, -1.44269504f / 252, 0.5f));
  const float n = fmaf(within, 252, 0x1.8p23f + 1); /* n + 127 behind 1.5 * 2^23: 1..253 */
  const float rest = fmaf(v, -1.92596299e-8f, fmaf(v, -1.44269502f, 0x1.8p23f + 127 - n));
  return 1.0f / fmaf(exp2_approx(rest), __int_as_float(__float_as_int(n) << 23), 1.0f);
}

/* v within low..high. */
__device__ inline float limit(float v, float low, float high) {
  return v < low ? low : v > high ? high : v;
}

/* v within -most..most; most 0: v. */
__device__ inline float clip(float v, float most) {
  return most > 0 ? limit(v, -most, most) : v;
}

/* rate * old + (1 - rate) * fresh. */
__device__ inline float zone_out(float rate, float old, float fresh) {
  return rate > 0 ? fmaf(rate, old, (1 - rate) * fresh) : fresh;
}

/* log(1 + e^v) = max(v, 0) + log(1 + e^-|v|): both terms have one sign, so nothing cancels. */
__device__ inline float softplus(float v) {
  return (v < 0 ? 0 : v) + log1pf(expf(-fabsf(v)));
}

/* sqrt(v^2 + a), a > 0, within 2u for a in 2^-100..2^100; what |v| has beyond 2^63, where its square would soon
 * overflow, is added behind. */
__device__ inline float root(float v, float a) {
  const float size = fabsf(v), bounded = size > 0x1p63f ? 0x1p63f : size;
  return size - bounded + sqrtf(fmaf(bounded, bounded, a));
}

/* (v + root) / 2; below 0, where that cancels, a / 4 over (|v| + root) / 2. Within 5u. */
__device__ inline float squareplus(float v, float a) {
  const float half = fmaf(0.5f, fabsf(v), 0.5f * root(v, a));
  return v > 0 ? half : 0.25f * a / half;
}

/* (v + 1) / 2 within 0..1: one rounding. */
__device__ inline float sparse_sigmoid(float v) {
  return fmaf(0.5f, limit(v, -1, 1), 0.5f);
}

/* One activation but SOFTMAX. The branch is the same for all threads of a launch. Not inlined: a cell has up to five of
 * them. GELU by erfc, which keeps its digits in the tail: (1 + erf(x)) / 2 = erfc(-x) / 2. */
static __device__ __noinline__ float apply(rondo_activation kind, float a, float b, float v) {
  switch (kind) {
    case RONDO_TANH: return tanhf(v);
    case RONDO_SIGMOID: return sigmoid(v);
    case RONDO_HARD_SIGMOID: return limit(fmaf(a, v, b), 0, 1);
    case RONDO_RELU: return v < 0 ? 0 : v;
    case RONDO_SOFTSIGN: return v / (1 + fabsf(v));
    case RONDO_SOFTPLUS: return softplus(v);
    case RONDO_ELU: return v > 0 ? v : a * expm1f(v);
    case RONDO_SELU: return 1.0507009873554805f * (v > 0 ? v : 1.6732632423543772f * expm1f(v));
    case RONDO_EXPONENTIAL: return expf(v);
    case RONDO_SILU: return v * sigmoid(v);
    case RONDO_GELU: return 0.5f * v * erfcf(v * -0.70710678f);
    case RONDO_LEAKY_RELU: return v < 0 ? a * v : v;
    case RONDO_RELU6: return limit(v, 0, 6);
    case RONDO_MISH: return v * tanhf(softplus(v));
    case RONDO_HARD_SILU: return v * limit(fmaf(v, 1.0f / 6, 0.5f), 0, 1);
    case RONDO_HARD_TANH: return limit(v, -1, 1);
    case RONDO_LOG_SIGMOID: return -softplus(-v);
    case RONDO_AFFINE: return fmaf(a, v, b);
    case RONDO_THRESHOLDED_RELU: return v <= a ? 0 : v;
    case RONDO_SCALED_TANH: return a * tanhf(b * v);
    case RONDO_CELU: return v > 0 ? v : a * expm1f(v / a);
    case RONDO_SQUAREPLUS: return squareplus(v, a);
    case RONDO_SOFT_SHRINK: return v - limit(v, -a, a);
    case RONDO_HARD_SHRINK: return fabsf(v) <= a ? 0 : v;
    case RONDO_TANH_SHRINK: return v - tanhf(v);
    case RONDO_THRESHOLD: return v <= a ? b : v;
    case RONDO_SPARSE_PLUS: return v >= 1 ? v : sparse_sigmoid(v) * sparse_sigmoid(v);
    case RONDO_SPARSE_SIGMOID: return sparse_sigmoid(v);
    default: return v; /* RONDO_LINEAR */
  }
}

__device__ inline float apply(const rondo_function &function, float v) {
  return apply(function.kind, function.alpha, function.beta, v);
}

#endif
