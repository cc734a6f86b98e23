/* functions_ref.h - the activations with their slopes in double, for the twins of the kernels. NaN stays NaN:
 * comparisons are written so. */
#ifndef RONDO_FUNCTIONS_REF_H
#define RONDO_FUNCTIONS_REF_H

#include "rondo/rondo.h"

#include <math.h>

/* A function's value and its slope there. */
typedef struct dual {
  double value, slope;
} dual;

static inline double sigmoid(double v) {
  return 1 / (1 + exp(-v));
}

static inline double clamp(double v, double low, double high) {
  return v < low ? low : v > high ? high : v;
}

static inline int within(double v, double low, double high) {
  return low < v && v < high;
}

static inline double softplus(double v) {
  return (v < 0 ? 0 : v) + log1p(exp(-fabs(v)));
}

static inline double tanh_slope(double v) {
  return 1 / (cosh(v) * cosh(v));
}

static inline dual elu(double v, double a, double factor) {
  return v > 0 ? (dual){factor * v, factor} : (dual){factor * a * expm1(v), factor * a * exp(v)};
}

static inline dual celu(double v, double a) {
  return v > 0 ? (dual){v, 1} : (dual){a * expm1(v / a), exp(v / a)};
}

/* By a / (root - v) below 0, where v + root cancels; root = sqrt(v^2 + a). */
static inline dual squareplus(double v, double a) {
  double root = sqrt(v * v + a), y = v > 0 ? (v + root) / 2 : a / (root - v) / 2;
  return (dual){y, y / root};
}

static inline dual apply(rondo_function f, double v) {
  const double a = (double)f.alpha, b = (double)f.beta, s = sigmoid(v), ds = s * sigmoid(-v);
  switch (f.kind) {
    case RONDO_TANH: return (dual){tanh(v), tanh_slope(v)};
    case RONDO_SIGMOID: return (dual){s, ds};
    case RONDO_HARD_SIGMOID: return (dual){clamp(a * v + b, 0, 1), a * within(a * v + b, 0, 1)};
    case RONDO_RELU: return (dual){v < 0 ? 0 : v, v > 0};
    case RONDO_SOFTSIGN: return (dual){v / (1 + fabs(v)), pow(1 + fabs(v), -2)};
    case RONDO_SOFTPLUS: return (dual){softplus(v), s};
    case RONDO_ELU: return elu(v, a, 1);
    case RONDO_SELU: return elu(v, 1.6732632423543772, 1.0507009873554805);
    case RONDO_EXPONENTIAL: return (dual){exp(v), exp(v)};
    case RONDO_SILU: return (dual){v * s, s + v * ds};
    case RONDO_GELU:
      return (dual){v * erfc(-v / sqrt(2)) / 2, erfc(-v / sqrt(2)) / 2 + v * exp(-v * v / 2) / sqrt(2 * acos(-1))};
    case RONDO_LEAKY_RELU: return (dual){v < 0 ? a * v : v, v > 0 ? 1 : a};
    case RONDO_RELU6: return (dual){clamp(v, 0, 6), within(v, 0, 6)};
    case RONDO_MISH: return (dual){v * tanh(softplus(v)), tanh(softplus(v)) + v * tanh_slope(softplus(v)) * s};
    case RONDO_HARD_SILU:
      return (dual){v * clamp(v / 6 + 0.5, 0, 1), clamp(v / 6 + 0.5, 0, 1) + v / 6 * within(v, -3, 3)};
    case RONDO_HARD_TANH: return (dual){clamp(v, -1, 1), within(v, -1, 1)};
    case RONDO_LOG_SIGMOID: return (dual){-softplus(-v), sigmoid(-v)};
    case RONDO_AFFINE: return (dual){a * v + b, a};
    case RONDO_THRESHOLDED_RELU: return (dual){v <= a ? 0 : v, v > a};
    case RONDO_SCALED_TANH: return (dual){a * tanh(b * v), a * b * tanh_slope(b * v)};
    case RONDO_CELU: return celu(v, a);
    case RONDO_SQUAREPLUS: return squareplus(v, a);
    case RONDO_SOFT_SHRINK: return (dual){v < -a ? v + a : v > a ? v - a : 0 * v, !(-a <= v && v <= a)};
    case RONDO_HARD_SHRINK: return (dual){-a <= v && v <= a ? 0 : v, !(-a <= v && v <= a)};
    case RONDO_TANH_SHRINK: return (dual){v - tanh(v), tanh(v) * tanh(v)};
    case RONDO_THRESHOLD: return (dual){v <= a ? b : v, v > a};
    case RONDO_SPARSE_PLUS: return (dual){v >= 1 ? v : pow(clamp(v + 1, 0, 2) / 2, 2), clamp(v + 1, 0, 2) / 2};
    case RONDO_SPARSE_SIGMOID: return (dual){clamp(v + 1, 0, 2) / 2, 0.5 * within(v, -1, 1)};
    default: return (dual){v, 1};
  }
}

#endif
