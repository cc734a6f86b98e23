/* compare_near.c - the rules by which values and bounds of their errors go on.
 *
 * Write u for a unit of rounding, g(n) = n u / (1 - n u), e_v for the bound of the error of v, r_v = |v| + e_v for the
 * largest magnitude it can have.
 *
 * Sum of products. b + sum of K products w v. Summed in any order, with or without FMA, split in any way, a result
 * passes through one rounding of its product and at most K + 1 of additions (one more bias included), so
 *
 *     e <= sum |w| e_v + (g(K + 2) + p) (|b| + sum |w| r_v),     p = (1 + q)^2 - 1,
 *
 * q the relative rounding of a factor before it is multiplied, 0 but for TF32 (Higham, Accuracy and Stability of
 * Numerical Algorithms, 3.1).
 *
 * Where the weights are halves, it is v alone that is rounded, to v + d, |d| <= n r_v + s: n half a unit of the type's
 * last place, s half its smallest number. That is one more error of v, as w is exact.
 *
 * Where they are levels, a row v becomes s q: s = m / L, m the largest |v| of the row, q the integer nearest to v / s.
 * The computed one is s' q', with m' between the largest |v| - e_v and the largest r_v, s' = m' / L off by a rounding
 * more, and q' nearest to v' / s', two roundings more: an integer from the nearest to the least of such quotients to
 * the nearest to the largest. As a rule these are the same, and the error is that of s alone; near a tie they are two,
 * and the error is a whole s. So a difference in the last place may become one of s / |v|, once in about s / e_v.
 * Their products are integers, whose sum is exact: of additions there are two, to what the sum begins with and to the
 * other product. (The reference rounds each in double. 2^17 such roundings are less than one that p has to spare.)
 *
 * Product. The factors' errors cause r_a r_b - |a| |b|, its own rounding u r_a r_b. Sum: e_a + e_b + u (r_a + r_b).
 *
 * Mix. m = w a + (1 - w) b has three roundings on the way of any term, whose magnitudes are at most
 * r_w r_a + (1 + r_w) r_b as it is written, r_w (r_a + r_b) + r_b as b + w (a - b): the second is no less.
 *
 * Function. An error e of the argument gives at most the largest |f(a') - f(a)| over [a - e, a + e], which is taken at
 * an end or where f turns or jumps. The function's own error is relative to the terms of its formula: `active` for
 * exponentials and their like, and four roundings for the rest (a constant, a factor, a term, the last operation).
 *
 * Normalisation, softmax: at their functions.
 *
 * Each bound also gets a few of the smallest normal numbers, for results that underflow. */
#include "compare_near.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

static const double underflow = 4.0 * FLT_MIN;

double near_reach(near v) {
  return fabs(v.value) + v.error;
}

near near_exact(double value) {
  return (near){value, 0};
}

near near_mask(float factor, compare_arithmetic unit) {
  return (near){(double)factor, unit.mask * fabs((double)factor)};
}

near near_narrow(near v, compare_arithmetic unit) {
  return (near){v.value, v.error + unit.narrow * near_reach(v) + unit.least};
}

/* The farthest from s q that s' q' can be, for one of the row. */
static near quantised(near v, double s, double low, double high, compare_arithmetic unit) {
  double slack = 3 * unit.state, from = v.value - v.error, to = v.value + v.error, limit = unit.levels;
  double least = fmin(from / low, from / high), most = fmax(to / low, to / high);
  least = nearbyint(fmax(least - slack * fabs(least), -limit));
  most = nearbyint(fmin(most + slack * fabs(most), limit));
  double value = s * nearbyint(v.value / s);
  double error = fmax(value - fmin(least * low, least * high), fmax(most * low, most * high) - value);
  return (near){value, error + underflow};
}

void near_quantise(near *row, int count, compare_arithmetic unit) {
  double largest = 0, least = 0, most = 0, slack = 2 * unit.state;
  if (unit.levels == 0) return;
  for (int k = 0; k < count; k++) {
    largest = fmax(largest, fabs(row[k].value));
    least = fmax(least, fabs(row[k].value) - row[k].error);
    most = fmax(most, near_reach(row[k]));
  }
  double low = least * (1 - slack) / unit.levels, high = most * (1 + slack) / unit.levels;
  double s = largest < 0x1p-100 ? 0 : largest / unit.levels;
  for (int k = 0; k < count; k++) {
    if (least >= 0x1p-100) {
      row[k] = quantised(row[k], s, low, high, unit);
      continue;
    }
    double value = s > 0 ? s * nearbyint(row[k].value / s) : 0; /* the computed one may be 0, or off by s' / 2 */
    row[k] = (near){value, fabs(value) + near_reach(row[k]) + high};
  }
}

static double g(double n, double unit) {
  return n * unit / (1 - n * unit);
}

static double product_error(near a, near b) {
  return near_reach(a) * near_reach(b) - fabs(a.value) * fabs(b.value);
}

near near_add(near a, near b, double unit) {
  return (near){a.value + b.value, a.error + b.error + unit * (near_reach(a) + near_reach(b)) + underflow};
}

near near_multiply(near a, near b, double unit) {
  return (near){a.value * b.value, product_error(a, b) + unit * near_reach(a) * near_reach(b) + underflow};
}

near near_mix(near w, near a, near b, double unit) {
  near rest = {1 - w.value, w.error};
  double terms = near_reach(w) * (near_reach(a) + near_reach(b)) + near_reach(b);
  double error = product_error(w, a) + product_error(rest, b) + g(3, unit) * terms;
  return (near){w.value * a.value + rest.value * b.value, error + underflow};
}

static double clamp(double v, double least, double most) {
  return v < least ? least : v > most ? most : v;
}

near near_clip(near v, double limit) {
  if (limit == 0) return v;
  double value = clamp(v.value, -limit, limit);
  double below = value - clamp(v.value - v.error, -limit, limit);
  double above = clamp(v.value + v.error, -limit, limit) - value;
  return (near){value, fmax(below, above)};
}

/* ---- Functions --------------------------------------------------------------------------------------------------- */

/* f(v), and the magnitudes of the terms of its formula at v, of which f is the value. */
#define FUNCTION(name, value, terms)                                                                                   \
  static double name(double v, double a, double b) {                                                                   \
    (void)v, (void)a, (void)b;                                                                                         \
    return value;                                                                                                      \
  }                                                                                                                    \
  static double name##_terms(double v, double f, double a, double b) {                                                 \
    (void)v, (void)f, (void)a, (void)b;                                                                                \
    return terms;                                                                                                      \
  }

static double logistic(double v) {
  return 1 / (1 + exp(-v));
}

static double log_sum(double v) {
  return fmax(v, 0) + log1p(exp(-fabs(v)));
}

static const double selu_scale = 1.0507009873554805, selu_alpha = 1.6732632423543772;

FUNCTION(tangent, tanh(v), fabs(f))
FUNCTION(sigmoid, logistic(v), fabs(f))
FUNCTION(hard_sigmoid, clamp(a *v + b, 0, 1), fmin(fabs(a *v), 1 + fabs(b)) + fabs(b))
FUNCTION(relu, fmax(v, 0), 0)
FUNCTION(linear, v, 0)
FUNCTION(softsign, v / (1 + fabs(v)), fabs(f))
FUNCTION(softplus, log_sum(v), fabs(f) + 1)
FUNCTION(elu, v > 0 ? v : a * expm1(v), v > 0 ? 0 : fabs(a) * (exp(v) + 1))
FUNCTION(selu, selu_scale *(v > 0 ? v : selu_alpha * expm1(v)), v > 0 ? f : selu_scale * selu_alpha * (exp(v) + 1))
FUNCTION(exponential, exp(v), fabs(f))
FUNCTION(silu, v *logistic(v), fabs(f))
FUNCTION(gelu, v *(1 + erf(v / sqrt(2))) / 2, fabs(v))
FUNCTION(leaky_relu, v < 0 ? a * v : v, v < 0 ? fabs(f) : 0)
FUNCTION(relu6, clamp(v, 0, 6), 0)
FUNCTION(mish, v *tanh(log_sum(v)), 1.5 * fabs(v))
FUNCTION(hard_silu, v *clamp(v / 6 + 0.5, 0, 1), fabs(v))
FUNCTION(hard_tanh, clamp(v, -1, 1), 0)
FUNCTION(log_sigmoid, -log_sum(-v), fabs(f) + 1)
FUNCTION(affine, a *v + b, fabs(a *v) + fabs(b))
FUNCTION(thresholded_relu, v > a ? v : 0, 0)
FUNCTION(scaled_tanh, a *tanh(b *v), fabs(f))

FUNCTION(celu, v > 0 ? v : a * expm1(v / a), v > 0 ? 0 : a * (exp(v / a) + 1))
FUNCTION(squareplus, (v > 0 ? v + sqrt(v * v + a) : a / (sqrt(v * v + a) - v)) / 2, f)
FUNCTION(soft_shrink, v - clamp(v, -a, a), fabs(f))
FUNCTION(hard_shrink, fabs(v) > a ? v : 0, 0)
FUNCTION(tanh_shrink, v - tanh(v), fabs(tanh(v)) + fabs(f))
FUNCTION(threshold, v > a ? v : b, 0)
FUNCTION(sparse_plus, v < 1 ? pow(fmax(v + 1, 0) / 2, 2) : v, f)
FUNCTION(sparse_sigmoid, clamp((v + 1) / 2, 0, 1), f)

#define RULE(name) .value = name, .terms = name##_terms

/* turn: where f turns besides 0. exact: no exponential or other function of libm in it; a square root rounds as a sum
 * does. hard_shrink jumps too, but upwards, so that its ends are the extremes. */
static const struct rule {
  double (*value)(double v, double a, double b);
  double (*terms)(double v, double f, double a, double b);
  double turn;
  int exact;
  float alpha, beta; /* their defaults */
} rules[RONDO_SOFTMAX] = {
    [RONDO_TANH] = {RULE(tangent)},
    [RONDO_SIGMOID] = {RULE(sigmoid)},
    [RONDO_HARD_SIGMOID] = {RULE(hard_sigmoid), .exact = 1, .alpha = 1.0f / 6, .beta = 0.5f},
    [RONDO_RELU] = {RULE(relu), .exact = 1},
    [RONDO_LINEAR] = {RULE(linear), .exact = 1},
    [RONDO_SOFTSIGN] = {RULE(softsign)},
    [RONDO_SOFTPLUS] = {RULE(softplus)},
    [RONDO_ELU] = {RULE(elu), .alpha = 1},
    [RONDO_SELU] = {RULE(selu)},
    [RONDO_EXPONENTIAL] = {RULE(exponential)},
    [RONDO_SILU] = {RULE(silu), .turn = -1.2784645427610738},
    [RONDO_GELU] = {RULE(gelu), .turn = -0.7517915246935645},
    [RONDO_LEAKY_RELU] = {RULE(leaky_relu), .exact = 1, .alpha = 0.2f},
    [RONDO_RELU6] = {RULE(relu6), .exact = 1},
    [RONDO_MISH] = {RULE(mish), .turn = -1.1924312145154863},
    [RONDO_HARD_SILU] = {RULE(hard_silu), .turn = -1.5, .exact = 1},
    [RONDO_HARD_TANH] = {RULE(hard_tanh), .exact = 1},
    [RONDO_LOG_SIGMOID] = {RULE(log_sigmoid)},
    [RONDO_AFFINE] = {RULE(affine), .exact = 1, .alpha = 1},
    [RONDO_THRESHOLDED_RELU] = {RULE(thresholded_relu), .exact = 1, .alpha = 1},
    [RONDO_SCALED_TANH] = {RULE(scaled_tanh), .alpha = 1, .beta = 1},
    [RONDO_CELU] = {RULE(celu), .alpha = 1},
    [RONDO_SQUAREPLUS] = {RULE(squareplus), .exact = 1, .alpha = 4},
    [RONDO_SOFT_SHRINK] = {RULE(soft_shrink), .exact = 1, .alpha = 0.5f},
    [RONDO_HARD_SHRINK] = {RULE(hard_shrink), .exact = 1, .alpha = 0.5f},
    [RONDO_TANH_SHRINK] = {RULE(tanh_shrink)},
    [RONDO_THRESHOLD] = {RULE(threshold), .exact = 1},
    [RONDO_SPARSE_PLUS] = {RULE(sparse_plus), .exact = 1},
    [RONDO_SPARSE_SIGMOID] = {RULE(sparse_sigmoid), .exact = 1},
};

near near_function(near v, rondo_function f, compare_arithmetic unit) {
  const struct rule *rule = &rules[f.kind];
  int own = f.alpha == 0 && f.beta == 0;
  double a = (double)(own ? rule->alpha : f.alpha), b = (double)(own ? rule->beta : f.beta);
  double low = v.value - v.error, high = v.value + v.error, terms = 0;
  const double points[] = {low, high, 0, rule->turn, a, nextafter(a, INFINITY)};
  int jumps = f.kind == RONDO_THRESHOLDED_RELU || f.kind == RONDO_THRESHOLD;
  near result = {rule->value(v.value, a, b), 0};
  for (int i = 0; i < (jumps ? 6 : 4); i++) {
    if (points[i] < low || points[i] > high) continue;
    double there = rule->value(points[i], a, b);
    result.error = fmax(result.error, fabs(there - result.value));
    terms = fmax(terms, rule->terms(points[i], there, a, b));
  }
  result.error += ((rule->exact ? 0 : unit.active) + 4 * unit.state) * terms + underflow;
  return result;
}

/* e^(v_j - m) / sum of e^(v_k - m), m the largest of them, or 0. With d = e_v + u (r_v + r_m), each exponential is off
 * by a factor of at most e^d (1 + active), their sum by that and its K roundings, the quotient by both. */
void near_softmax(near *row, int count, compare_arithmetic unit) {
  double largest = 0, most = -INFINITY, sum = 0;
  for (int j = 0; j < count; j++) {
    largest = fmax(largest, row[j].error + unit.state * near_reach(row[j]));
    most = fmax(most, row[j].value);
  }
  largest += unit.state * fabs(most) + underflow;
  for (int j = 0; j < count; j++) sum += exp(row[j].value - most);
  double factor = expm1(2 * (largest + unit.active) + g(count + 3, unit.state));
  for (int j = 0; j < count; j++) {
    double value = exp(row[j].value - most) / sum;
    row[j] = (near){value, factor * value + underflow};
  }
}

/* With K columns: the mean is off by the mean of e_v and g(K + 2) of the mean of r_v; a difference d = v - mean by
 * e_v, that, and a rounding; the variance, the mean of d^2, by that of 2 |d| e_d + e_d^2 and g(K + 4) of that of r_d^2,
 * and it stays above 0; 1 / sqrt takes it to between its values at the ends, and rounds a few times. 1e-5 may be a
 * float. */
void near_normalize(near *row, int count, const float *gamma, compare_arithmetic unit) {
  double mean = 0, off = 0, variance = 0, spread = 0;
  for (int j = 0; j < count; j++) {
    mean += row[j].value / count;
    off += (row[j].error + g(count + 2, unit.state) * near_reach(row[j])) / count;
  }
  for (int j = 0; j < count; j++) {
    row[j].error += off + unit.state * (near_reach(row[j]) + fabs(mean) + off) + underflow;
    row[j].value -= mean;
    double reach = near_reach(row[j]), square = row[j].value * row[j].value;
    variance += square / count;
    spread += (reach * reach - square + g(count + 4, unit.state) * reach * reach) / count;
  }
  const double small = 1e-5;
  near scale = {1 / sqrt(variance + small), 0};
  spread += small * 0x1p-24;
  double low = 1 / sqrt(variance + spread + small), high = 1 / sqrt(fmax(0, variance - spread) + small);
  scale.error = fmax(scale.value - low, high - scale.value) + 4 * unit.state * high;
  for (int j = 0; j < count; j++) {
    row[j] = near_multiply(row[j], scale, unit.state);
    if (gamma) row[j] = near_multiply(row[j], near_exact((double)gamma[j]), unit.state);
  }
}

/* ---- Sums -------------------------------------------------------------------------------------------------------- */

void near_sums_start(near_sums *s, const float *bias) {
  s->terms = 0;
  for (int j = 0; j < s->columns; j++) {
    s->value[j] = bias ? (double)bias[j] : 0;
    s->magnitude[j] = fabs(s->value[j]);
    s->carried[j] = 0;
  }
}

void near_sums_add(near_sums *s, const near *row, int count, const float *w, int stride, int first, int from, int to) {
  double *restrict value = s->value, *restrict magnitude = s->magnitude, *restrict carried = s->carried;
  for (int k = 0; k < count; k++) {
    const float *weights = w + (size_t)k * (size_t)stride + first;
    double v = row[k].value, reach = near_reach(row[k]), error = row[k].error;
    for (int j = from; j < to; j++) {
      double weight = weights[j - from];
      value[j] += v * weight;
      magnitude[j] += reach * fabs(weight);
      carried[j] += error * fabs(weight);
    }
  }
  s->terms += count;
}

static near sum_of(double value, double magnitude, double carried, int terms, compare_arithmetic unit) {
  double p = (1 + unit.product) * (1 + unit.product) - 1, additions = unit.levels > 0 ? 2 : terms + 2;
  return (near){value, carried + (g(additions, unit.sum) + p) * magnitude + underflow};
}

near near_sums_get(const near_sums *s, int j, compare_arithmetic unit) {
  return sum_of(s->value[j], s->magnitude[j], s->carried[j], s->terms, unit);
}

near near_sums_join(const near_sums *a, const near_sums *b, int j, compare_arithmetic unit) {
  return sum_of(a->value[j] + b->value[j], a->magnitude[j] + b->magnitude[j], a->carried[j] + b->carried[j],
                a->terms + b->terms + 1, unit);
}
