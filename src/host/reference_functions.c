/* reference_functions.c - the functions of rondo_activation, each with its slope beside it. A NaN comes out of every
 * function that it goes into. */
#include "reference.h"

#include <math.h>

typedef rondo_reference_dual dual;

static double clamp(double v, double low, double high) {
  return v < low ? low : v > high ? high : v;
}

static int within(double v, double low, double high) {
  return low < v && v < high;
}

static double sigmoid(double v) {
  return 1 / (1 + exp(-v));
}

static double softplus(double v) {
  return (v < 0 ? 0 : v) + log1p(exp(-fabs(v)));
}

/* 1 - tanh(v)^2 */
static double tanh_slope(double v) {
  return 1 / (cosh(v) * cosh(v));
}

static double normal_density(double v) {
  return exp(-v * v / 2) / sqrt(2 * acos(-1));
}

static dual elu(double v, double alpha, double factor) {
  return v > 0 ? (dual){factor * v, factor} : (dual){factor * alpha * expm1(v), factor * alpha * exp(v)};
}

/* (v + root) / 2 with root = sqrt(v^2 + a); below 0, where that cancels, a / 4 over (|v| + root) / 2. */
static dual squareplus(double v, double a) {
  double root = sqrt(v * v + a), half = (fabs(v) + root) / 2, value = v > 0 ? half : a / 4 / half;
  return (dual){value, value / root};
}

static dual sparse_plus(double v) {
  double share = clamp((v + 1) / 2, 0, 1);
  return (dual){v < 1 ? share * share : v, share};
}

dual rondo_reference_apply(rondo_function function, double v) {
  double a = (double)function.alpha, b = (double)function.beta;
  switch (function.kind) {
    case RONDO_TANH: return (dual){tanh(v), tanh_slope(v)};
    case RONDO_SIGMOID: return (dual){sigmoid(v), sigmoid(v) * sigmoid(-v)};
    case RONDO_HARD_SIGMOID: return (dual){clamp(a * v + b, 0, 1), within(a * v + b, 0, 1) ? a : 0};
    case RONDO_RELU: return (dual){v < 0 ? 0 : v, v > 0};
    case RONDO_LINEAR: return (dual){v, 1};
    case RONDO_SOFTSIGN: return (dual){v / (1 + fabs(v)), 1 / ((1 + fabs(v)) * (1 + fabs(v)))};
    case RONDO_SOFTPLUS: return (dual){softplus(v), sigmoid(v)};
    case RONDO_ELU: return elu(v, a, 1);
    case RONDO_SELU: return elu(v, 1.6732632423543772, 1.0507009873554805);
    case RONDO_EXPONENTIAL: return (dual){exp(v), exp(v)};
    case RONDO_SILU: return (dual){v * sigmoid(v), sigmoid(v) + v * sigmoid(v) * sigmoid(-v)};
    case RONDO_GELU: {
      double below = (1 + erf(v / sqrt(2))) / 2;
      return (dual){v * below, below + v * normal_density(v)};
    }
    case RONDO_LEAKY_RELU: return (dual){v < 0 ? a * v : v, v > 0 ? 1 : a};
    case RONDO_RELU6: return (dual){clamp(v, 0, 6), within(v, 0, 6)};
    case RONDO_MISH: return (dual){v * tanh(softplus(v)), tanh(softplus(v)) + v * tanh_slope(softplus(v)) * sigmoid(v)};
    case RONDO_HARD_SILU:
      return (dual){v * clamp(v / 6 + 0.5, 0, 1), clamp(v / 6 + 0.5, 0, 1) + (within(v, -3, 3) ? v / 6 : 0)};
    case RONDO_HARD_TANH: return (dual){clamp(v, -1, 1), within(v, -1, 1)};
    case RONDO_LOG_SIGMOID: return (dual){-softplus(-v), sigmoid(-v)};
    case RONDO_AFFINE: return (dual){a * v + b, a};
    case RONDO_THRESHOLDED_RELU: return (dual){v <= a ? 0 : v, v > a};
    case RONDO_SCALED_TANH: return (dual){a * tanh(b * v), a * b * tanh_slope(b * v)};
    case RONDO_CELU: return v > 0 ? (dual){v, 1} : (dual){a * expm1(v / a), exp(v / a)};
    case RONDO_SQUAREPLUS: return squareplus(v, a);
    case RONDO_SOFT_SHRINK: return (dual){v - clamp(v, -a, a), fabs(v) > a};
    case RONDO_HARD_SHRINK: return (dual){fabs(v) <= a ? 0 : v, fabs(v) > a};
    case RONDO_TANH_SHRINK: return (dual){v - tanh(v), tanh(v) * tanh(v)};
    case RONDO_THRESHOLD: return (dual){v <= a ? b : v, v > a};
    case RONDO_SPARSE_PLUS: return sparse_plus(v);
    case RONDO_SPARSE_SIGMOID: return (dual){clamp((v + 1) / 2, 0, 1), within(v, -1, 1) / 2.0};
    case RONDO_SOFTMAX: /* of a whole row: below */
    case RONDO_DEFAULT: /* resolved with the plan */ break;
  }
  return (dual){NAN, NAN};
}

dual rondo_reference_limit(double v, double bound) {
  return bound > 0 ? (dual){clamp(v, -bound, bound), within(v, -bound, bound)} : (dual){v, 1};
}

/* Without the largest, which cancels, none overflows. */
void rondo_reference_softmax(double *to, const double *row, size_t count) {
  double max = row[0], sum = 0;
  for (size_t j = 1; j < count; j++) max = row[j] > max ? row[j] : max;
  for (size_t j = 0; j < count; j++) sum += to[j] = exp(row[j] - max);
  for (size_t j = 0; j < count; j++) to[j] /= sum;
}
