/* functions_backward.cuh - the activations with their slopes, in float.
 *
 * Values are those of functions.cuh. With u = 2^-24, the slopes of sigmoid and tanh are within 16u of their value, also
 * where the function is flat: they are made of e^-|v|, and nothing cancels. Those of the other functions are within 16u
 * of the sum of their terms' magnitudes, and CELU's is |v / a| u further, for its quotient. At a kink the slope is that
 * of the side where the function is constant or less steep. */
#ifndef RONDO_FUNCTIONS_BACKWARD_CUH
#define RONDO_FUNCTIONS_BACKWARD_CUH

#include "functions.cuh"

/* A function's value and its slope there. */
struct Dual {
  float value, slope;
};

/* s(v) and s(v) s(-v): with e = e^-|v| the larger of the two is 1 / (1 + e), the smaller e times that. */
__device__ inline Dual sigmoid_dual(float v) {
  const float e = expf(-fabsf(v)), larger = 1 / (1 + e), smaller = e * larger;
  return {v < 0 ? smaller : larger, smaller * larger};
}

/* 1 - tanh(v)^2 = 4e / (1 + e)^2, e = e^-2|v|. */
__device__ inline float tanh_slope(float v) {
  const float e = expf(-2 * fabsf(v)), larger = 1 / (1 + e);
  return 4 * e * larger * larger;
}

__device__ inline Dual tanh_dual(float v) {
  return {tanhf(v), tanh_slope(v)};
}

__device__ inline float between(float v, float low, float high) {
  return low < v && v < high ? 1.0f : 0.0f;
}

/* The slope of one activation but SOFTMAX; not inlined, as apply. */
static __device__ __noinline__ float slope(rondo_activation kind, float a, float b, float v) {
  switch (kind) {
    case RONDO_TANH: return tanh_slope(v);
    case RONDO_SIGMOID: return sigmoid_dual(v).slope;
    case RONDO_HARD_SIGMOID: return a * between(fmaf(a, v, b), 0, 1);
    case RONDO_RELU: return v > 0 ? 1 : 0;
    case RONDO_SOFTSIGN: return 1 / ((1 + fabsf(v)) * (1 + fabsf(v)));
    case RONDO_SOFTPLUS: return sigmoid_dual(v).value;
    case RONDO_ELU: return v > 0 ? 1 : a * expf(v);
    case RONDO_SELU: return 1.0507009873554805f * (v > 0 ? 1 : 1.6732632423543772f * expf(v));
    case RONDO_EXPONENTIAL: return expf(v);
    case RONDO_SILU: return fmaf(v, sigmoid_dual(v).slope, sigmoid_dual(v).value);
    case RONDO_GELU: return fmaf(v * 0.3989422804f, expf(-0.5f * v * v), 0.5f * erfcf(v * -0.70710678f));
    case RONDO_LEAKY_RELU: return v > 0 ? 1 : a;
    case RONDO_RELU6: return between(v, 0, 6);
    case RONDO_MISH: return fmaf(v * tanh_slope(softplus(v)), sigmoid_dual(v).value, tanhf(softplus(v)));
    case RONDO_HARD_SILU: return fmaf(v * (1.0f / 6), between(v, -3, 3), limit(fmaf(v, 1.0f / 6, 0.5f), 0, 1));
    case RONDO_HARD_TANH: return between(v, -1, 1);
    case RONDO_LOG_SIGMOID: return sigmoid_dual(-v).value;
    case RONDO_AFFINE: return a;
    case RONDO_THRESHOLDED_RELU: return v > a ? 1 : 0;
    case RONDO_SCALED_TANH: return a * b * tanh_slope(b * v);
    case RONDO_CELU: return v > 0 ? 1 : expf(v / a);
    case RONDO_SQUAREPLUS: return squareplus(v, a) / root(v, a);
    case RONDO_SOFT_SHRINK: return fabsf(v) > a ? 1 : 0;
    case RONDO_HARD_SHRINK: return fabsf(v) > a ? 1 : 0;
    case RONDO_TANH_SHRINK: return tanhf(v) * tanhf(v);
    case RONDO_THRESHOLD: return v > a ? 1 : 0;
    case RONDO_SPARSE_PLUS: return sparse_sigmoid(v);
    case RONDO_SPARSE_SIGMOID: return 0.5f * between(v, -1, 1);
    default: return 1; /* RONDO_LINEAR */
  }
}

/* A gate of v limited to -most..most. KIND: the function, when it is known and nothing limits; else RONDO_DEFAULT. */
template <rondo_activation KIND>
__device__ inline Dual gate(const rondo_function &function, float most, float v) {
  if (KIND == RONDO_SIGMOID) return sigmoid_dual(v);
  if (KIND == RONDO_TANH) return tanh_dual(v);
  const bool held = most > 0 && !(fabsf(v) < most);
  v = clip(v, most);
  return {apply(function, v), held ? 0 : slope(function.kind, function.alpha, function.beta, v)};
}

#endif
