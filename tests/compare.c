/* compare.c - one pass of the layers in double that carries a bound of float's errors beside every value.
 *
 * Write u for a unit of rounding, g(n) = n u / (1 - n u), and |e_v| for the bound of the error of a value v that is
 * already known (0 for x, h_0, c_0 and the weights). One step of one unit:
 *
 * Gate sum. a = b + sum of K = F + H products w v. Summed in any order, with or without FMA, split in any way, a result
 * passes through one rounding of its product and at most K + 1 of additions (one more bias included), so
 *
 *     |e_a| <= sum |w| |e_v| + (g(K + 2) + p) (|b| + sum |w| (|v| + |e_v|)),     p = (1 + q)^2 - 1,
 *
 * q the relative rounding of a factor before it is multiplied, 0 but for TF32 (Higham, Accuracy and Stability of
 * Numerical Algorithms, 3.1).
 *
 * Activation. By the mean value theorem an error e of the argument gives at most e times the largest slope in
 * [a - e, a + e]. Sigmoid's slope s (1 - s) and tanh's 1 - tanh^2 fall with |a|, so the largest one is at the point
 * max(0, |a| - e); and it is no more than the function's range, 1 or 2. The function itself adds "active" times the
 * largest value it may have had.
 *
 * Cell. c' = f c + i g, with m = the two products of magnitudes |v| + |e_v|: the errors of the factors give
 * (|f| + e_f)(|c| + e_c) - |f| |c|, the same for i and g; two roundings of each product and sum give g(2) m.
 * Output. h = o tanh(c'): likewise, with one rounding.
 * Storing. A backend that computes in a wider type rounds h and c when it writes them to the caller's arrays.
 *
 * Each bound also gets a few of the smallest normal numbers, for results that underflow.
 *
 * Carried from step to step, |e_h| may grow by the sum of |R| each time, as if every sign were the worst: after tens of
 * steps of a hundred units the bound says nothing. Where all of y is known, compare_expect_steps does better: it takes
 * the h that each step truly started from out of y, so that |e_h| is 0 at every step. Right in each step from what the
 * one before gave is right throughout. What is carried then is c alone, and its error shrinks with f. */
#include "compare.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* "active": sigmoid and tanh of the CPU and CUDA backends keep within 6 roundings of float, which the tests of the
 * kernels hold them to; the reference's are libm's in double. The reference's sums and compare_expect's own are both
 * in double, hence 2^-52 for the two. TF32 keeps 10 bits after the leading one, and hardware may cut the rest;
 * tensor cores may also cut where they add. */
const compare_arithmetic compare_reference = {.sum = 0x1p-52, .active = 0x1p-50, .state = 0x1p-52, .store = 0x1p-24};
const compare_arithmetic compare_float = {.sum = 0x1p-24, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_tf32 = {.product = 0x1p-10, .sum = 0x1p-23, .active = 6 * 0x1p-24, .state = 0x1p-24};

static const double underflow = 4.0 * FLT_MIN;

/* A value and the bound of its error. */
typedef struct near {
  double value, error;
} near;

/* The largest magnitude that the computed value can have. */
static double reach(near v) {
  return fabs(v.value) + v.error;
}

static double g(double n, double unit) {
  return n * unit / (1 - n * unit);
}

static double sigmoid(double a) {
  return 1 / (1 + exp(-a));
}

/* s (1 - s) and 1 - tanh^2, without their cancellation where they are small. */
static double sigmoid_slope(double a) {
  return sigmoid(a) * sigmoid(-a);
}

static double tanh_slope(double a) {
  return 1 / (cosh(a) * cosh(a));
}

static near active(near a, double (*function)(double), double (*slope)(double), double range, double unit) {
  near result = {.value = function(a.value)};
  result.error = fmin(range, a.error * slope(fmax(0, fabs(a.value) - a.error)));
  result.error += unit * reach(result) + underflow;
  return result;
}

/* Bound of the error of a product that its factors' errors cause. */
static double product_error(near a, near b) {
  return reach(a) * reach(b) - fabs(a.value) * fabs(b.value);
}

/* Everything of one layer. The sums' arrays are (4H). */
typedef struct layer {
  int inputs, hidden;
  const float *y; /* what a backend gave, to step from; NULL: the exact h of the step before */
  const float *kernel, *recurrent_kernel, *bias;
  compare_arithmetic unit;
  double *value, *magnitude, *carried;
} layer;

/* Adds v (count) times rows of w (count, 4H). */
static void add_product(const layer *l, const near *v, int count, const float *w) {
  for (int k = 0; k < count; k++)
    for (int j = 0; j < 4 * l->hidden; j++) {
      double weight = w[(size_t)k * 4 * (size_t)l->hidden + (size_t)j];
      l->value[j] += v[k].value * weight;
      l->magnitude[j] += fabs(weight) * reach(v[k]);
      l->carried[j] += fabs(weight) * v[k].error;
    }
}

static near gate_sum(const layer *l, int j) {
  double p = (1 + l->unit.product) * (1 + l->unit.product) - 1;
  double rounding = g(l->inputs + l->hidden + 2, l->unit.sum) + p;
  return (near){l->value[j], l->carried[j] + rounding * l->magnitude[j] + underflow};
}

/* One timestep of one sequence: x (F); h and c (H) become the next ones. */
static void step(const layer *l, const near *x, near *h, near *c) {
  for (int j = 0; j < 4 * l->hidden; j++) {
    l->value[j] = l->bias ? l->bias[j] : 0;
    l->magnitude[j] = fabs(l->value[j]);
    l->carried[j] = 0;
  }
  add_product(l, x, l->inputs, l->kernel);
  add_product(l, h, l->hidden, l->recurrent_kernel);
  for (int j = 0; j < l->hidden; j++) {
    double unit = l->unit.active;
    near i = active(gate_sum(l, j), sigmoid, sigmoid_slope, 1, unit);
    near f = active(gate_sum(l, l->hidden + j), sigmoid, sigmoid_slope, 1, unit);
    near z = active(gate_sum(l, 2 * l->hidden + j), tanh, tanh_slope, 2, unit);
    near o = active(gate_sum(l, 3 * l->hidden + j), sigmoid, sigmoid_slope, 1, unit);
    double products = reach(f) * reach(c[j]) + reach(i) * reach(z);
    double error = product_error(f, c[j]) + product_error(i, z) + g(2, l->unit.state) * products + underflow;
    c[j] = (near){f.value * c[j].value + i.value * z.value, error};
    near squashed = active(c[j], tanh, tanh_slope, 2, unit);
    h[j] = (near){o.value * squashed.value, product_error(o, squashed) + underflow};
    h[j].error += l->unit.state * reach(o) * reach(squashed);
  }
}

/* ---- A whole problem --------------------------------------------------------------------------------------------- */

static void put(near v, double store, double *value, double *bound, size_t at) {
  value[at] = v.value;
  bound[at] = v.error + store * reach(v) + underflow;
}

static void read_x(near *x, const problem_data *data, int n) {
  const problem *p = &data->problem;
  for (int t = 0; t < p->timesteps; t++)
    for (int k = 0; k < p->input_size; k++)
      x[(size_t)t * (size_t)p->input_size + (size_t)k].value = data->x[problem_at(data->x_strides, n, t) + (size_t)k];
}

static void read_state(near *state, const float *from, const problem_data *data, int layer_index, int n) {
  for (int j = 0; j < data->problem.hidden_size; j++)
    state[j] = (near){from ? from[problem_state_at(data, layer_index, n) + (size_t)j] : 0, 0};
}

/* The next step's h is the one that was computed; if in more than float, then that was rounded for y. */
static void step_from(const layer *l, const float *y, near *h) {
  for (int j = 0; j < l->hidden; j++) h[j] = (near){y[j], l->unit.store * fabs(y[j])};
}

/* One layer over one sequence: in (T, F) to out (T, H), which may not be the same. state: 2H, for h and c. */
static void run_layer(compare_expected *e, const problem_data *data, const layer *l, int index, int n, const near *in,
                      near *out, near *state) {
  const problem *p = &data->problem;
  size_t hidden = (size_t)l->hidden;
  near *h = state, *c = state + hidden;
  read_state(h, data->h_0, data, index, n);
  read_state(c, data->c_0, data, index, n);
  for (int t = 0; t < p->timesteps; t++) {
    int from = p->go_backwards ? p->timesteps - 1 - t : t;
    step(l, in + (size_t)from * (size_t)l->inputs, h, c);
    for (size_t j = 0; j < hidden; j++) out[(size_t)t * hidden + j] = h[j];
    if (l->y && t < p->timesteps - 1) step_from(l, l->y + problem_at(data->y_strides, n, t), h);
  }
  for (size_t j = 0; j < hidden; j++) {
    size_t at = ((size_t)index * (size_t)p->batch + (size_t)n) * hidden + j;
    put(h[j], l->unit.store, e->h_n, e->h_n_bound, at);
    put(c[j], l->unit.store, e->c_n, e->c_n_bound, at);
  }
}

/* One sequence through all layers. two: 2 arrays of (T, max(C, H)) for what goes into and comes out of a layer. */
static void run_sequence(compare_expected *e, const problem_data *data, layer *l, int n, near *two[2], near *state) {
  const problem *p = &data->problem;
  size_t steps = (size_t)p->timesteps, hidden = (size_t)p->hidden_size;
  for (size_t i = 0; i < steps * (size_t)p->input_size; i++) two[0][i].error = 0;
  read_x(two[0], data, n);
  for (int index = 0; index < p->num_layers; index++) {
    l->inputs = index ? p->hidden_size : p->input_size;
    l->kernel = data->kernel[index];
    l->recurrent_kernel = data->recurrent_kernel[index];
    l->bias = data->bias[index];
    run_layer(e, data, l, index, n, two[index % 2], two[(index + 1) % 2], state);
  }
  const near *out = two[p->num_layers % 2];
  for (size_t i = 0; i < steps * hidden; i++)
    put(out[i], l->unit.store, e->y, e->y_bound, (size_t)n * steps * hidden + i);
}

static int allocate(compare_expected *e, const problem *p) {
  size_t hidden = (size_t)p->hidden_size, batch = (size_t)p->batch;
  size_t y = batch * (size_t)p->timesteps * hidden, state = (size_t)p->num_layers * batch * hidden;
  *e = (compare_expected){.problem = *p};
  e->y = calloc(y, sizeof(double)), e->y_bound = calloc(y, sizeof(double));
  e->h_n = calloc(state, sizeof(double)), e->h_n_bound = calloc(state, sizeof(double));
  e->c_n = calloc(state, sizeof(double)), e->c_n_bound = calloc(state, sizeof(double));
  return e->y && e->y_bound && e->h_n && e->h_n_bound && e->c_n && e->c_n_bound;
}

static int expect(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic, const float *y) {
  const problem *p = &data->problem;
  size_t hidden = (size_t)p->hidden_size, inputs = (size_t)p->input_size;
  size_t row = (size_t)p->timesteps * (inputs > hidden ? inputs : hidden);
  double *sums = calloc(12 * hidden, sizeof *sums);
  near *rows = calloc(2 * row + 2 * hidden, sizeof *rows), *two[2] = {rows, rows ? rows + row : NULL};
  int good = allocate(expected, p) && sums && rows;
  if (good) {
    layer l = {.hidden = p->hidden_size, .unit = arithmetic, .y = y};
    l.value = sums, l.magnitude = sums + 4 * hidden, l.carried = sums + 8 * hidden;
    for (int n = 0; n < p->batch; n++) run_sequence(expected, data, &l, n, two, rows + 2 * row);
  } else {
    compare_free(expected);
  }
  free(sums);
  free(rows);
  return good;
}

int compare_expect(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic) {
  return expect(expected, data, arithmetic, NULL);
}

int compare_expect_steps(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic,
                         const float *y) {
  return expect(expected, data, arithmetic, y);
}

void compare_free(compare_expected *expected) {
  free(expected->y);
  free(expected->h_n);
  free(expected->c_n);
  free(expected->y_bound);
  free(expected->h_n_bound);
  free(expected->c_n_bound);
  *expected = (compare_expected){0};
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

double compare_worst(double worst, double next) {
  if (next <= worst) return worst;
  return isnan(next) ? INFINITY : next;
}

/* The larger of worst and the ratio of one row (H). */
static double row_ratio(double worst, const float *got, const double *expected, const double *bound, int hidden) {
  for (int j = 0; j < hidden; j++) worst = compare_worst(worst, fabs(got[j] - expected[j]) / bound[j]);
  return worst;
}

double compare_y(const compare_expected *expected, const problem_data *data, const float *y) {
  const problem *p = &data->problem;
  double worst = 0;
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++) {
      size_t at = ((size_t)n * (size_t)p->timesteps + (size_t)t) * (size_t)p->hidden_size;
      const float *got = y + problem_at(data->y_strides, n, t);
      worst = row_ratio(worst, got, expected->y + at, expected->y_bound + at, p->hidden_size);
    }
  return worst;
}

double compare_y_last(const compare_expected *expected, const problem_data *data, const float *y_last) {
  const problem *p = &data->problem;
  double worst = 0;
  for (int n = 0; n < p->batch; n++) {
    size_t at = ((size_t)n * (size_t)p->timesteps + (size_t)p->timesteps - 1) * (size_t)p->hidden_size;
    const float *got = y_last + (size_t)n * data->y_last_stride;
    worst = row_ratio(worst, got, expected->y + at, expected->y_bound + at, p->hidden_size);
  }
  return worst;
}

static double compare_state(const problem_data *data, const float *got, const double *value, const double *bound) {
  const problem *p = &data->problem;
  double worst = 0;
  for (int l = 0; l < p->num_layers; l++)
    for (int n = 0; n < p->batch; n++) {
      size_t at = ((size_t)l * (size_t)p->batch + (size_t)n) * (size_t)p->hidden_size;
      worst = row_ratio(worst, got + problem_state_at(data, l, n), value + at, bound + at, p->hidden_size);
    }
  return worst;
}

double compare_h_n(const compare_expected *expected, const problem_data *data, const float *h_n) {
  return compare_state(data, h_n, expected->h_n, expected->h_n_bound);
}

double compare_c_n(const compare_expected *expected, const problem_data *data, const float *c_n) {
  return compare_state(data, c_n, expected->c_n, expected->c_n_bound);
}

double compare_difference(const float *a, const float *b, size_t count) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) worst = compare_worst(worst, fabs((double)a[i] - (double)b[i]));
  return worst;
}
