/* vec_functions.h - the other functions of rondo_activation on the words of vec.h, and sums over the lanes of a vector.
 *
 * Bounds are relative to the exact value, in u = 2^-24; what was found over a million floats of every size and sign
 * stands behind in brackets. Where the exact value is below 100 FLT_MIN, that bounds the absolute error. A NaN gives a
 * NaN, and infinities what the formula gives: -inf times 0 is a NaN in silu, gelu, mish and hard_silu, as in Keras. */
#ifndef RONDO_CPU_VEC_FUNCTIONS_H
#define RONDO_CPU_VEC_FUNCTIONS_H

#include "cpu/vec.h"

#include <math.h>

/* exp over the whole range, to 2.2 u (1.5 u): 0 where that is below the smallest normal number, infinity above the
 * largest. 2^n is taken in two factors, as 2^128 is no float. */
INLINE vec vec_exponential(vec x) {
  vec n, q = vec_reduced_expm1(vec_at_least(-87.33f, vec_at_most(89.0f, x)), &n), low = vec_at_most(127.0f, n);
  vec y = vec_mul(vec_mul(vec_add(q, vec_set(1.0f)), vec_power2(low)), vec_power2(vec_sub(n, low)));
  return vec_if_at_most(x, vec_set(-87.33f), vec_set(0.0f), y);
}

INLINE vec vec_negative(vec x) {
  return vec_sub(vec_set(0.0f), x);
}

/* exp(-|x|): what functions of two tails are made of, as it cannot overflow. */
INLINE vec vec_exp_tail(vec x) {
  return vec_exponential(vec_negative(vec_abs(x)));
}

/* log(1 + e) for e in 0..1, as 2 artanh(s) with s = e / (2 + e), at most 1/3: s times a polynomial in s^2 (minimax,
 * within 0.1 u). */
INLINE vec vec_log1p(vec e) {
  vec s = vec_div(e, vec_add(e, vec_set(2.0f))), q = vec_mul(s, s);
  vec p = vec_set(0.281783342f);
  p = vec_fma(p, q, vec_set(0.279606014f));
  p = vec_fma(p, q, vec_set(0.400249094f));
  p = vec_fma(p, q, vec_set(0.66666317f));
  p = vec_fma(p, q, vec_set(2.0f));
  return vec_mul(s, p);
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)), to 5 u (4.4 u), and so log_sigmoid. */
INLINE vec vec_softplus(vec x) {
  return vec_add(vec_at_least(0.0f, x), vec_log1p(vec_exp_tail(x)));
}

INLINE vec vec_log_sigmoid(vec x) {
  return vec_negative(vec_softplus(vec_negative(x)));
}

/* To 2 u, a rounding each. */
INLINE vec vec_softsign(vec x) {
  return vec_div(x, vec_add(vec_set(1.0f), vec_abs(x)));
}

/* To 3.6 u, of which alpha's product is one; selu to 5 u. */
INLINE vec vec_elu(vec x, float alpha) {
  vec below = vec_mul(vec_set(alpha), vec_expm1_negative(vec_at_most(0.0f, x)));
  return vec_if_at_most(x, vec_set(0.0f), below, x);
}

INLINE vec vec_selu(vec x) {
  return vec_mul(vec_set(1.05070098f), vec_elu(x, 1.67326324f));
}

/* x / (1 + exp(-x)), below 0 as x e / (1 + e) with e = exp(x): to 5 u (3.4 u). */
INLINE vec vec_silu(vec x) {
  vec e = vec_exp_tail(x);
  vec top = vec_if_at_most(x, vec_set(0.0f), vec_mul(x, e), x);
  return vec_div(top, vec_add(vec_set(1.0f), e));
}

/* x tanh(log(1 + E)) with E = exp(x) is x w / (w + 2) with w = E (E + 2); above 0, top and bottom are divided by E^2.
 * To 6 u (4.4 u). */
INLINE vec vec_mish(vec x) {
  vec zero = vec_set(0.0f), one = vec_set(1.0f), two = vec_set(2.0f), e = vec_exp_tail(x);
  vec w = vec_if_at_most(x, zero, vec_mul(e, vec_add(e, two)), vec_fma(e, two, one));
  vec rest = vec_if_at_most(x, zero, two, vec_mul(two, vec_mul(e, e)));
  return vec_div(vec_mul(x, w), vec_add(w, rest));
}

/* The upper tail of the normal distribution, erfc(a / sqrt 2) / 2, for a >= 0: exp(-a^2 / 2) F(t) / (1 + a / 2) with
 * t = (a - 4) / (a + 4) and F a polynomial (minimax for a in 0..14, within 0.4 u); 0 from there on. a is split into h,
 * of 12 bits, and the rest, so that -a^2 / 2 is the sum of -h^2 / 2, which is exact, and a small number. */
INLINE vec vec_normal_tail(vec a) {
  vec bound = vec_at_most(15.0f, a), scaled = vec_mul(bound, vec_set(4097.0f));
  vec h = vec_sub(scaled, vec_sub(scaled, bound)), half = vec_set(-0.5f);
  vec square = vec_mul(half, vec_mul(h, h));
  vec rest = vec_mul(half, vec_mul(vec_sub(bound, h), vec_add(bound, h)));
  vec t = vec_div(vec_sub(bound, vec_set(4.0f)), vec_add(bound, vec_set(4.0f)));
  vec p = vec_set(0.000255438674f);
  p = vec_fma(p, t, vec_set(0.000121595156f));
  p = vec_fma(p, t, vec_set(-0.00226002419f));
  p = vec_fma(p, t, vec_set(0.00473816087f));
  p = vec_fma(p, t, vec_set(-0.000662684382f));
  p = vec_fma(p, t, vec_set(-0.0215554386f));
  p = vec_fma(p, t, vec_set(0.0691891387f));
  p = vec_fma(p, t, vec_set(-0.13355054f));
  p = vec_fma(p, t, vec_set(0.283231914f));
  p = vec_div(p, vec_fma(bound, vec_set(0.5f), vec_set(1.0f)));
  return vec_mul(vec_mul(vec_exponential(square), vec_exponential(rest)), p);
}

/* x times the normal distribution: its tail below 0, 1 - tail above. To 8 u (6.3 u). */
INLINE vec vec_gelu(vec x) {
  vec tail = vec_normal_tail(vec_abs(x));
  return vec_mul(x, vec_if_at_most(x, vec_set(0.0f), tail, vec_sub(vec_set(1.0f), tail)));
}

INLINE vec vec_clamp(float low, float high, vec x) {
  return vec_at_most(high, vec_at_least(low, x));
}

INLINE vec vec_hard_silu(vec x) {
  return vec_mul(x, vec_clamp(0.0f, 1.0f, vec_fma(x, vec_set(1.0f / 6), vec_set(0.5f))));
}

INLINE vec vec_affine(vec x, float alpha, float beta) {
  return vec_fma(x, vec_set(alpha), vec_set(beta));
}

/* a expm1(x / a) below 0, a > 0: elu's 3.6 u and at most one for the quotient, which expm1 never magnifies. */
INLINE vec vec_celu(vec x, float alpha) {
  vec below = vec_expm1_negative(vec_div(vec_at_most(0.0f, x), vec_set(alpha)));
  return vec_if_at_most(x, vec_set(0.0f), vec_mul(vec_set(alpha), below), x);
}

/* sqrt(x^2 + a), a > 0, to 2 u for a in 2^-100..2^100, 3 u beyond 2^63: what |x| has beyond that, where its square
 * would soon overflow, is added behind. */
INLINE vec vec_root(vec x, float alpha) {
  vec size = vec_abs(x), bounded = vec_at_most(0x1p63f, size);
  vec root = vec_sqrt(vec_fma(bounded, bounded, vec_set(alpha)));
  return vec_add(vec_sub(size, bounded), root);
}

/* (x + root) / 2; below 0, where that cancels, a / 4 over (|x| + root) / 2. To 5 u. */
INLINE vec vec_squareplus(vec x, float alpha) {
  vec half = vec_fma(vec_set(0.5f), vec_abs(x), vec_mul(vec_set(0.5f), vec_root(x, alpha)));
  return vec_if_at_most(x, vec_set(0.0f), vec_div(vec_set(0.25f * alpha), half), half);
}

/* One rounding. */
INLINE vec vec_soft_shrink(vec x, float alpha) {
  return vec_sub(x, vec_clamp(-alpha, alpha, x));
}

/* To tanh's 5.1 u (3.3 u) of tanh(x) and a rounding of the difference, which cancels near 0. */
INLINE vec vec_tanh_shrink(vec x) {
  return vec_sub(x, vec_tanh(x));
}

/* (x + 1) / 2 within 0..1: one rounding. */
INLINE vec vec_sparse_sigmoid(vec x) {
  return vec_fma(vec_set(0.5f), vec_clamp(-1.0f, 1.0f, x), vec_set(0.5f));
}

/* Below 1 the square of that: to 3 u. */
INLINE vec vec_sparse_plus(vec x) {
  vec share = vec_sparse_sigmoid(x);
  return vec_if_at_most(vec_set(1.0f), x, x, vec_mul(share, share));
}

/* Lanes from `count` on become 0, whatever they held. */
INLINE vec vec_keep_first(vec a, int count) {
  float lanes[LANES];
  vec_store(lanes, a);
  return vec_load_first(lanes, count);
}

/* One lane after another. */
INLINE float vec_sum(vec a) {
  float lanes[LANES], sum = 0.0f;
  vec_store(lanes, a);
  for (int i = 0; i < LANES; i++) sum += lanes[i];
  return sum;
}

#endif
