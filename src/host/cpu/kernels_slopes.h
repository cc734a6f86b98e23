/* kernels_slopes.h - the derivative of every rondo_activation but SOFTMAX, on the words of vec.h and
 * vec_functions.h.
 *
 * Bounds in u = 2^-24, found by trying floats of every size and sign (tests hold them); where the exact slope is
 * below 100 FLT_MIN, that bounds the absolute error:
 *
 *     of the slope             SIGMOID 7, SOFTSIGN 4, SOFTPLUS and LOG_SIGMOID 2.5, ELU 3.2, SELU 4.2, EXPONENTIAL 2.2,
 *                              SQUAREPLUS 8, TANH_SHRINK 8, SPARSE_PLUS 1; CELU 2.2, and |v / a| for the quotient
 *     of its terms' absolute   SILU 8, GELU 8 (for its density 8 + v^2), MISH 10, whose two terms cancel where the
 *     values                   function has its minimum; HARD_SILU 2
 *     of the steepest slope    TANH 8, SCALED_TANH 10
 *
 * The others are exact. At a kink the slope is that of the left side, but 0 beside a constant. Part of
 * kernels_training_body.h. */

/* 1 / (1 + |v|)^2 */
INLINE vec slope_softsign(vec x) {
  vec divisor = vec_add(vec_set(1.0f), vec_abs(x));
  return vec_div(vec_set(1.0f), vec_mul(divisor, divisor));
}

/* scale e^v below 0, else `above`. */
INLINE vec slope_elu(vec x, float scale, float above) {
  return vec_if_at_most(x, vec_set(0.0f), vec_mul(vec_set(scale), vec_exponential(x)), vec_set(above));
}

/* s (1 + v (1 - s)), where 1 - s is the sigmoid of -v. */
INLINE vec slope_silu(vec x) {
  vec rest = vec_mul(x, vec_sigmoid(vec_negative(x)));
  return vec_mul(vec_sigmoid(x), vec_add(vec_set(1.0f), rest));
}

/* P(v) + v p(v), P the normal distribution and p its density. */
INLINE vec slope_gelu(vec x) {
  vec tail = vec_normal_tail(vec_abs(x));
  vec whole = vec_if_at_most(x, vec_set(0.0f), tail, vec_sub(vec_set(1.0f), tail));
  vec bound = vec_clamp(-16.0f, 16.0f, x), density = vec_exponential(vec_mul(vec_set(-0.5f), vec_mul(bound, bound)));
  return vec_fma(vec_mul(bound, density), vec_set(0.398942280f), whole);
}

/* t + v s (1 - t) (1 + t) with t = tanh(log(1 + e^v)) and s the sigmoid of v. As in vec_mish, t = w / (w + rest). */
INLINE vec slope_mish(vec x) {
  vec zero = vec_set(0.0f), one = vec_set(1.0f), two = vec_set(2.0f), e = vec_exp_tail(x);
  vec w = vec_if_at_most(x, zero, vec_mul(e, vec_add(e, two)), vec_fma(e, two, one));
  vec rest = vec_if_at_most(x, zero, two, vec_mul(two, vec_mul(e, e))), sum = vec_add(w, rest);
  vec t = vec_div(w, sum), bound = vec_clamp(-100.0f, 100.0f, x); /* s or 1 - t is 0 out there */
  vec change = vec_mul(vec_div(rest, sum), vec_add(one, t));
  return vec_fma(vec_mul(bound, vec_sigmoid(x)), change, t);
}

/* `inside` where low < v < high; 0 below and `above` above. */
INLINE vec slope_between(vec x, float low, float high, vec inside, float above) {
  vec upper = vec_if_at_most(vec_set(high), x, vec_set(above), inside);
  return vec_if_at_most(x, vec_set(low), vec_set(0.0f), upper);
}

/* alpha beta (1 - tanh(beta v)^2) */
INLINE vec slope_scaled_tanh(vec x, float alpha, float beta) {
  vec t = vec_tanh(vec_mul(vec_set(beta), x));
  return vec_mul(vec_set(alpha * beta), vec_sub(vec_set(1.0f), vec_mul(t, t)));
}

/* 1 above alpha and below -alpha. */
INLINE vec slope_shrink(vec x, float alpha) {
  return vec_if_at_most(vec_abs(x), vec_set(alpha), vec_set(0.0f), vec_set(1.0f));
}

INLINE vec slope_tanh_shrink(vec x) {
  vec t = vec_tanh(x);
  return vec_mul(t, t);
}

/* to[j] = derivative at x = in[j]. */
#define OVER_NUMBERS(derivative)                                                                                       \
  for (int j = 0; j < count; j += LANES) {                                                                             \
    vec x = vec_load_first(in + j, count - j);                                                                         \
    (void)x;                                                                                                           \
    vec_store_first(to + j, derivative, count - j);                                                                    \
  }                                                                                                                    \
  break

static void KERNEL(slopes)(rondo_function function, int count, const float *in, float *to) {
  const float alpha = function.alpha, beta = function.beta;
  const vec zero = vec_set(0.0f), one = vec_set(1.0f);
  switch (function.kind) {
    case RONDO_TANH: OVER_NUMBERS(slope_scaled_tanh(x, 1.0f, 1.0f));
    case RONDO_SIGMOID: OVER_NUMBERS(vec_mul(vec_sigmoid(x), vec_sigmoid(vec_negative(x))));
    case RONDO_HARD_SIGMOID: OVER_NUMBERS(slope_between(vec_affine(x, alpha, beta), 0.0f, 1.0f, vec_set(alpha), 0.0f));
    case RONDO_RELU: OVER_NUMBERS(vec_if_at_most(x, zero, zero, one));
    case RONDO_SOFTSIGN: OVER_NUMBERS(slope_softsign(x));
    case RONDO_SOFTPLUS: OVER_NUMBERS(vec_sigmoid(x));
    case RONDO_ELU: OVER_NUMBERS(slope_elu(x, alpha, 1.0f));
    case RONDO_SELU: OVER_NUMBERS(slope_elu(x, 1.75809934f, 1.05070098f));
    case RONDO_EXPONENTIAL: OVER_NUMBERS(vec_exponential(x));
    case RONDO_SILU: OVER_NUMBERS(slope_silu(x));
    case RONDO_GELU: OVER_NUMBERS(slope_gelu(x));
    case RONDO_LEAKY_RELU: OVER_NUMBERS(vec_if_at_most(x, zero, vec_set(alpha), one));
    case RONDO_RELU6: OVER_NUMBERS(slope_between(x, 0.0f, 6.0f, one, 0.0f));
    case RONDO_MISH: OVER_NUMBERS(slope_mish(x));
    case RONDO_HARD_SILU:
      OVER_NUMBERS(slope_between(x, -3.0f, 3.0f, vec_fma(x, vec_set(1.0f / 3), vec_set(0.5f)), 1.0f));
    case RONDO_HARD_TANH: OVER_NUMBERS(slope_between(x, -1.0f, 1.0f, one, 0.0f));
    case RONDO_LOG_SIGMOID: OVER_NUMBERS(vec_sigmoid(vec_negative(x)));
    case RONDO_AFFINE: OVER_NUMBERS(vec_set(alpha));
    case RONDO_THRESHOLDED_RELU: OVER_NUMBERS(vec_if_at_most(x, vec_set(alpha), zero, one));
    case RONDO_SCALED_TANH: OVER_NUMBERS(slope_scaled_tanh(x, alpha, beta));
    case RONDO_CELU: OVER_NUMBERS(slope_elu(vec_div(x, vec_set(alpha)), 1.0f, 1.0f));
    case RONDO_SQUAREPLUS: OVER_NUMBERS(vec_div(vec_squareplus(x, alpha), vec_root(x, alpha)));
    case RONDO_SOFT_SHRINK: OVER_NUMBERS(slope_shrink(x, alpha));
    case RONDO_HARD_SHRINK: OVER_NUMBERS(slope_shrink(x, alpha));
    case RONDO_TANH_SHRINK: OVER_NUMBERS(slope_tanh_shrink(x));
    case RONDO_THRESHOLD: OVER_NUMBERS(vec_if_at_most(x, vec_set(alpha), zero, one));
    case RONDO_SPARSE_PLUS: OVER_NUMBERS(vec_sparse_sigmoid(x));
    case RONDO_SPARSE_SIGMOID: OVER_NUMBERS(slope_between(x, -1.0f, 1.0f, vec_set(0.5f), 0.0f));
    case RONDO_LINEAR: OVER_NUMBERS(one);
    case RONDO_SOFTMAX:
    case RONDO_DEFAULT: break;
  }
}
