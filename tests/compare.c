/* compare.c - one pass of the layers in double that carries a bound of float's errors beside every value: layers,
 * directions, skipped steps, merging, the head.
 *
 * Carried from step to step, |e_h| may grow by the sum of |R| each time, as if every sign were the worst: after tens of
 * steps of a hundred units the bound says nothing. Where y holds every h, compare_expect_steps does better: it takes
 * the h that each step truly started from out of y, so that |e_h| is 0 at every step. Right in each step from what the
 * one before gave is right throughout. What is carried then is c alone, and its error shrinks with f.
 *
 * Storing. A backend that computes in a wider type rounds h and c when it writes them to the caller's arrays.
 *
 * Weights of 16 bits. They are rounded before anything else happens: nearest, ties to even, so the exact result is that
 * of the rounded ones. The CPU widens them, which is exact, and so keeps float's bounds; where it multiplies bf16 by
 * bf16, x and h are rounded too.
 *
 * Weights of 8 bits likewise, by columns; x and h are rounded by rows. The exact result is that of the rounded rows:
 * see compare_near.c. */
#include "compare.h"

#include "compare_cell.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* "active": sigmoid and tanh of the CPU and CUDA backends keep within 6 roundings of float, which the tests of the
 * kernels hold them to; the reference's are libm's in double. The reference's sums and compare_expect's own are both
 * in double, hence 2^-52 for the two; 1 / (1 - rate) takes two roundings in float and none to speak of there. TF32
 * keeps 10 bits after the leading one, and hardware may cut the rest; tensor cores may also cut where they add.
 * Rounding to nearest is half a unit: a bfloat16 keeps 7 bits after the leading one and reaches as far down as float,
 * an IEEE half keeps 10 and below 2^-14 is a multiple of 2^-24. Products of two halves are exact in float. The CPU's
 * products of bf16 round to nearest at each addition, and count numbers below FLT_MIN as zero.
 *
 * A sum of products of int8 is exact. Turned into a float, multiplied by the product of two scales of which each is a
 * quotient, it has up to 5 roundings, and one more of round_weights here: 3 of each factor. In the reference there is
 * but that last one. */
const compare_arithmetic compare_reference = {
    .mask = 0x1p-23, .sum = 0x1p-52, .active = 0x1p-50, .state = 0x1p-52, .store = 0x1p-24};
const compare_arithmetic compare_float = {.sum = 0x1p-24, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_tf32 = {.product = 0x1p-10, .sum = 0x1p-23, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_f16 = {
    .narrow = 0x1p-11, .least = 0x1p-25, .sum = 0x1p-23, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_bf16 = {.narrow = 0x1p-8, .sum = 0x1p-23, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_bf16_pairs = {
    .narrow = 0x1p-8, .least = FLT_MIN, .sum = 0x1p-24, .active = 6 * 0x1p-24, .state = 0x1p-24};

const compare_arithmetic compare_int8 = {
    .levels = 127, .product = 3 * 0x1p-24, .sum = 0x1p-24, .active = 6 * 0x1p-24, .state = 0x1p-24};
const compare_arithmetic compare_reference_int8 = {.levels = 127,
                                                   .product = 0x1p-24,
                                                   .mask = 0x1p-23,
                                                   .sum = 0x1p-52,
                                                   .active = 0x1p-50,
                                                   .state = 0x1p-52,
                                                   .store = 0x1p-24};

compare_arithmetic compare_arithmetic_of(rondo_backend backend, rondo_isa isa, const problem *p) {
  if (p->weights == RONDO_INT8) return backend == RONDO_REFERENCE ? compare_reference_int8 : compare_int8;
  if (backend == RONDO_REFERENCE) return compare_reference;
  if (backend != RONDO_CUDA)
    return isa >= RONDO_ISA_AVX512_BF16 && p->weights == RONDO_BF16 ? compare_bf16_pairs : compare_float;
  if (p->weights) return p->weights == RONDO_F16 ? compare_f16 : compare_bf16;
  return p->allow_tf32 ? compare_tf32 : compare_float;
}

static const double underflow = 4.0 * FLT_MIN;

/* What a pass over one sequence works with. Rows of between are (T, widest) and take turns. */
typedef struct pass {
  compare_expected *expected;
  const problem_data *data;
  const float *y; /* what a backend gave, to step from; NULL: the exact h of the step before */
  compare_arithmetic unit;
  exact_cell cell, head;
  near *between[2], *half, *last, *top; /* half (T, O); last (2, O) of the two directions; top (widest) */
  near *h, *c;                          /* (O), (H) */
  int *real;                            /* (T), in the order of what the layer reads */
  int n;
} pass;

/* ---- One direction ----------------------------------------------------------------------------------------------- */

/* Whether the direction reads from the last row to the first, and whether its y is put into the opposite order. */
static int reads_backwards(const problem *p, int direction) {
  return p->go_backwards != direction;
}

static int writes_backwards(const problem *p, int direction) {
  int aligned = p->time_order && p->go_backwards;
  return direction ? !aligned : aligned;
}

static void read_state(const pass *s, near *state, const float *from, int layer, int direction, int count) {
  int none = !from || (s->data->restart && s->data->restart[s->n]);
  size_t at = problem_state_at(s->data, layer, direction, s->n);
  for (int j = 0; j < count; j++) state[j] = near_exact(none ? 0 : (double)from[at + (size_t)j]);
}

static void put(near v, double store, double *value, double *bound, size_t at) {
  value[at] = v.value;
  bound[at] = v.error + store * near_reach(v) + underflow;
}

static void put_state(const pass *s, int layer, int direction) {
  const problem *p = &s->data->problem;
  compare_expected *e = s->expected;
  size_t part = (size_t)layer * (size_t)problem_directions(p) + (size_t)direction;
  size_t row = part * (size_t)p->batch + (size_t)s->n, output = (size_t)s->cell.output, hidden = (size_t)s->cell.hidden;
  for (size_t j = 0; j < output; j++) put(s->h[j], s->unit.store, e->h_n, e->h_n_bound, row * output + j);
  for (size_t j = 0; j < hidden; j++) put(s->c[j], s->unit.store, e->c_n, e->c_n_bound, row * hidden + j);
}

/* The next step's h is the one that was computed; if in more than float, then that was rounded for y. */
static void step_from(const pass *s, int direction, int place) {
  const rondo_strides strides = s->data->y_strides;
  const float *row = s->y + problem_at(strides, s->n, place) + (size_t)direction * strides.direction;
  for (int j = 0; j < s->cell.output; j++) s->h[j] = (near){(double)row[j], s->unit.store * fabs((double)row[j])};
}

static void put_row(near *to, const near *row, int zero, int count) {
  for (int j = 0; j < count; j++) to[j] = zero ? near_exact(0) : row[j];
}

/* Of the sequence, for both products. */
static void set_masks(pass *s, int layer, int direction) {
  const problem *p = &s->data->problem;
  const float *all = s->data->dropout_masks;
  size_t row = (size_t)s->n * (size_t)problem_masks(p);
  size_t inputs = problem_mask_at(p, layer, direction, 0) + row * (size_t)s->cell.inputs;
  size_t outputs = problem_mask_at(p, layer, direction, 1) + row * (size_t)s->cell.output;
  s->cell.masks = problem_masks(p);
  s->cell.input_mask = all && p->dropout > 0 ? all + inputs : NULL;
  s->cell.recurrent_mask = all && p->recurrent_dropout > 0 ? all + outputs : NULL;
}

/* From in (T, inputs) to half (T, O) and last: the direction's y in the order of the layer's, and its y_last. */
static void run_direction(pass *s, const near *in, int layer, int direction) {
  const problem *p = &s->data->problem;
  int output = s->cell.output, steps = p->timesteps, before = -1, real = 0;
  int recurrent = problem_has_state(p), zero = recurrent && (p->zero_output_for_mask || p->bidirectional);
  near *last = s->last + direction * output; /* the output before, then y_last */
  set_masks(s, layer, direction);
  read_state(s, s->h, s->data->h_0, layer, direction, output);
  read_state(s, s->c, s->data->c_0, layer, direction, s->cell.hidden);
  put_row(last, NULL, 1, output);
  for (int k = 0; k < steps; k++) {
    int at = reads_backwards(p, direction) ? steps - 1 - k : k;
    int place = writes_backwards(p, direction) ? steps - 1 - k : k;
    real = s->real[at] || !recurrent;
    if (real) {
      if (s->y && recurrent && before >= 0) step_from(s, direction, before);
      exact_cell_step(&s->cell, in + (size_t)at * (size_t)s->cell.inputs, s->h, s->c);
      put_row(last, s->h, 0, output);
      before = place;
    }
    put_row(s->half + (size_t)place * (size_t)output, last, zero && !real, output);
  }
  if (!real && p->zero_output_for_mask) put_row(last, NULL, 1, output);
  if (recurrent) put_state(s, layer, direction);
}

/* ---- Layers ------------------------------------------------------------------------------------------------------ */

static near stored(near v, double store) {
  return (near){v.value, v.error + store * near_reach(v)};
}

/* A direction's row into the layer's: beside the other's, or merged with it. */
static void merge_row(const pass *s, near *to, const near *row, int direction) {
  const problem *p = &s->data->problem;
  int output = s->cell.output;
  double unit = s->unit.state, store = s->unit.store;
  for (int j = 0; j < output; j++) {
    near a = stored(to[j], store), b = stored(row[j], store);
    if (!direction || p->merge == RONDO_CONCAT || p->merge == RONDO_SEPARATE)
      to[direction * output + j] = row[j];
    else if (p->merge == RONDO_MUL)
      to[j] = near_multiply(a, b, unit);
    else
      to[j] = near_add(a, b, unit);
    if (direction && p->merge == RONDO_AVE) to[j] = (near){to[j].value / 2, to[j].error / 2 + underflow};
  }
}

/* A layer's y (T, width) on its way to the next layer. */
static void drop_between(const pass *s, near *y, int layer) {
  const problem *p = &s->data->problem;
  size_t width = (size_t)problem_width(p), batch = (size_t)p->batch;
  if (!s->data->layer_masks || layer == p->num_layers - 1) return;
  const float *mask = s->data->layer_masks + (size_t)layer * problem_between(p) + (size_t)s->n * width;
  for (size_t t = 0; t < (size_t)p->timesteps; t++)
    for (size_t k = 0; k < width; k++)
      y[t * width + k] =
          near_multiply(y[t * width + k], near_mask(mask[t * batch * width + k], s->unit), s->unit.state);
}

/* All directions of a layer: from in (T, inputs) to out (T, width), y_last to top (width). */
static void run_layer(pass *s, const near *in, near *out, int layer) {
  const problem *p = &s->data->problem;
  int directions = problem_directions(p), width = problem_width(p);
  s->cell.inputs = problem_inputs(p, layer);
  for (int d = 0; d < directions; d++) {
    s->cell.weights = &s->data->weights[layer * directions + d];
    run_direction(s, in, layer, d);
    for (int t = 0; t < p->timesteps; t++)
      merge_row(s, out + (size_t)t * (size_t)width, s->half + (size_t)t * (size_t)s->cell.output, d);
    merge_row(s, s->top, s->last + d * s->cell.output, d);
  }
  drop_between(s, out, layer);
}

/* The mask follows the data, which a layer that goes backwards leaves in the order of its processing. */
static void turn_mask(pass *s) {
  int last = s->data->problem.timesteps - 1;
  for (int t = 0; t < last - t; t++) {
    int kept = s->real[t];
    s->real[t] = s->real[last - t], s->real[last - t] = kept;
  }
}

static void read_x(const pass *s, near *x) {
  const problem *p = &s->data->problem;
  for (int t = 0; t < p->timesteps; t++)
    for (int k = 0; k < p->input_size; k++)
      *x++ = near_exact((double)s->data->x[problem_at(s->data->x_strides, s->n, t) + (size_t)k]);
}

/* Row t of y, or y_last as row 0 of top, through the head if there is one. */
static void put_output(pass *s, near *row, double *value, double *bound, size_t at) {
  const problem *p = &s->data->problem;
  size_t columns = (size_t)s->expected->columns;
  near *result = row;
  if (p->head_units) {
    result = s->half; /* no longer needed, and wide enough */
    exact_cell_step(&s->head, row, result, NULL);
  }
  for (size_t j = 0; j < columns; j++) put(result[j], s->unit.store, value, bound, at * columns + j);
}

static void run_sequence(pass *s, int n) {
  const problem *p = &s->data->problem;
  s->n = n;
  for (int t = 0; t < p->timesteps; t++) s->real[t] = problem_is_real(s->data, n, t);
  read_x(s, s->between[0]);
  for (int layer = 0; layer < p->num_layers; layer++) {
    run_layer(s, s->between[layer % 2], s->between[(layer + 1) % 2], layer);
    if (p->go_backwards && !p->time_order) turn_mask(s);
  }
  near *out = s->between[p->num_layers % 2];
  compare_expected *e = s->expected;
  size_t steps = (size_t)p->timesteps, width = (size_t)problem_width(p);
  for (size_t t = 0; t < steps; t++) put_output(s, out + t * width, e->y, e->y_bound, (size_t)n * steps + t);
  put_output(s, s->top, e->y_last, e->y_last_bound, (size_t)n);
}

/* ---- A whole problem --------------------------------------------------------------------------------------------- */

static int allocate(compare_expected *e, const problem *p) {
  size_t batch = (size_t)p->batch, parts = (size_t)p->num_layers * (size_t)problem_directions(p) * batch;
  *e = (compare_expected){.problem = *p, .columns = problem_columns(p) * problem_halves(p)};
  size_t last = batch * (size_t)e->columns, y = last * (size_t)p->timesteps;
  size_t h = parts * (size_t)problem_output_size(p), c = parts * (size_t)p->hidden_size;
  e->y = calloc(y, sizeof(double)), e->y_bound = calloc(y, sizeof(double));
  e->y_last = calloc(last, sizeof(double)), e->y_last_bound = calloc(last, sizeof(double));
  e->h_n = calloc(h, sizeof(double)), e->h_n_bound = calloc(h, sizeof(double));
  e->c_n = calloc(c, sizeof(double)), e->c_n_bound = calloc(c, sizeof(double));
  return e->y && e->y_bound && e->y_last && e->y_last_bound && e->h_n && e->h_n_bound && e->c_n && e->c_n_bound;
}

static size_t larger(size_t a, size_t b) {
  return a > b ? a : b;
}

/* The memory of a pass; 0 without. head: a problem to fill in, which must stay. */
static int open_pass(pass *s, problem *head) {
  const problem *p = &s->data->problem;
  size_t steps = (size_t)p->timesteps, output = (size_t)problem_output_size(p), hidden = (size_t)p->hidden_size;
  size_t widest = larger((size_t)p->input_size, (size_t)problem_width(p));
  size_t half = larger(steps * output, (size_t)p->head_units), row = steps * widest;
  near *rows = calloc(2 * row + half + 2 * output + widest + output + hidden, sizeof *rows);
  s->real = calloc(steps, sizeof *s->real);
  s->between[0] = rows;
  *head = (problem){.cell = RONDO_DENSE, .hidden_size = p->head_units ? p->head_units : 1, .num_layers = 1};
  head->input_size = problem_width(p);
  head->activation = p->head_activation;
  if (!rows || !s->real || !exact_cell_create(&s->cell, p, s->unit) || !exact_cell_create(&s->head, head, s->unit))
    return 0;
  s->between[1] = rows + row;
  s->half = s->between[1] + row;
  s->last = s->half + half;
  s->top = s->last + 2 * output;
  s->h = s->top + widest;
  s->c = s->h + output;
  s->head.weights = &s->data->weights[p->num_layers * problem_directions(p)];
  s->head.inputs = head->input_size;
  return 1;
}

float compare_rounded(rondo_dtype type, float v) {
  int digits = type == RONDO_F16 ? 11 : 8, least = type == RONDO_F16 ? -24 : -133, unit;
  if (type == RONDO_F32 || !isfinite(v) || v == 0) return v;
  frexp((double)v, &unit); /* v is below 2^unit */
  unit = unit - digits > least ? unit - digits : least;
  double near = ldexp(nearbyint(ldexp((double)v, -unit)), unit), most = type == RONDO_F16 ? 65504 : FLT_MAX;
  return fabs(near) > most ? copysignf(INFINITY, v) : (float)near;
}

/* The same of a column of `rows` numbers, `stride` apart, for RONDO_INT8. */
static void round_column(float *to, const float *from, size_t rows, size_t stride) {
  double largest = 0;
  for (size_t k = 0; k < rows; k++) largest = fmax(largest, fabs((double)from[k * stride]));
  for (size_t k = 0; k < rows; k++) {
    double level = largest < 0x1p-100 ? 0 : nearbyint((double)from[k * stride] * 127 / largest);
    to[k * stride] = (float)(level * largest / 127);
  }
}

void compare_round_matrix(float *to, const float *from, size_t rows, size_t columns, rondo_dtype type) {
  for (size_t j = 0; type == RONDO_INT8 && j < columns; j++) round_column(to + j, from + j, rows, columns);
  for (size_t i = 0; type != RONDO_INT8 && i < rows * columns; i++) to[i] = compare_rounded(type, from[i]);
}

/* A rounded copy; NULL stays NULL. *good becomes 0 without memory. */
static const float *round_matrix(const float *from, size_t rows, size_t columns, rondo_dtype type, int *good) {
  float *to = from ? malloc(rows * columns * sizeof *to) : NULL;
  if (from && !to) *good = 0;
  if (to) compare_round_matrix(to, from, rows, columns, type);
  return to;
}

/* Replaces the arrays that are kept in fewer bits. 1, or 0 without memory; release with free_rounded in any case. */
static int round_weights(problem_data *data) {
  const problem *p = &data->problem;
  size_t columns = (size_t)problem_gates(p) * (size_t)p->hidden_size, output = (size_t)problem_output_size(p);
  int good = 1;
  for (int i = 0; i < data->weights_count; i++) {
    rondo_weights *w = &data->weights[i];
    size_t wide = w->layer == p->num_layers ? (size_t)p->head_units : columns;
    w->kernel = round_matrix(w->kernel, (size_t)problem_inputs(p, w->layer), wide, p->weights, &good);
    w->recurrent_kernel = round_matrix(w->recurrent_kernel, output, columns, p->weights, &good);
    w->projection = round_matrix(w->projection, (size_t)p->hidden_size, output, p->weights, &good);
  }
  return good;
}

static void free_rounded(problem_data *data) {
  for (int i = 0; i < data->weights_count; i++) {
    const rondo_weights *w = &data->weights[i];
    const float *const arrays[] = {w->kernel, w->recurrent_kernel, w->projection};
    for (size_t k = 0; k < sizeof arrays / sizeof *arrays; k++) free((void *)(uintptr_t)arrays[k]);
  }
}

static int run_all(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic,
                   const float *y) {
  pass s = {.expected = expected, .data = data, .y = y, .unit = arithmetic};
  problem head;
  int good = allocate(expected, &data->problem) && open_pass(&s, &head);
  for (int n = 0; good && n < data->problem.batch; n++) run_sequence(&s, n);
  if (!good) compare_free(expected);
  exact_cell_free(&s.cell);
  exact_cell_free(&s.head);
  free(s.between[0]);
  free(s.real);
  return good;
}

static int expect(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic, const float *y) {
  if (!data->problem.weights) return run_all(expected, data, arithmetic, y);
  problem_data rounded = *data; /* shares all but the weights */
  int good = round_weights(&rounded) && run_all(expected, &rounded, arithmetic, y);
  free_rounded(&rounded);
  return good;
}

int compare_expect(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic) {
  return expect(expected, data, arithmetic, NULL);
}

int compare_expect_steps(compare_expected *expected, const problem_data *data, compare_arithmetic arithmetic,
                         const float *y) {
  return expect(expected, data, arithmetic, y);
}

int compare_has_steps(const problem *p) {
  return p->num_layers == 1 && !p->head_units && problem_output_size(p) * problem_directions(p) == problem_width(p);
}

void compare_free(compare_expected *expected) {
  double *const arrays[] = {expected->y,       expected->y_last,       expected->h_n,       expected->c_n,
                            expected->y_bound, expected->y_last_bound, expected->h_n_bound, expected->c_n_bound};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
  *expected = (compare_expected){0};
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

double compare_worst(double worst, double next) {
  if (next <= worst) return worst;
  return isnan(next) ? INFINITY : next;
}

/* The larger of worst and the ratio of one row. */
static double row_ratio(double worst, const float *got, const double *expected, const double *bound, int count) {
  for (int j = 0; j < count; j++) worst = compare_worst(worst, fabs((double)got[j] - expected[j]) / bound[j]);
  return worst;
}

/* Both halves of a row. */
static double halves_ratio(double worst, const problem *p, const float *got, size_t direction, const double *expected,
                           const double *bound) {
  int columns = problem_columns(p);
  for (int d = 0; d < problem_halves(p); d++)
    worst = row_ratio(worst, got + (size_t)d * direction, expected + d * columns, bound + d * columns, columns);
  return worst;
}

double compare_y(const compare_expected *expected, const problem_data *data, const float *y) {
  const problem *p = &data->problem;
  double worst = 0;
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++) {
      size_t at = ((size_t)n * (size_t)p->timesteps + (size_t)t) * (size_t)expected->columns;
      const float *got = y + problem_at(data->y_strides, n, t);
      worst = halves_ratio(worst, p, got, data->y_strides.direction, expected->y + at, expected->y_bound + at);
    }
  return worst;
}

double compare_y_last(const compare_expected *expected, const problem_data *data, const float *y_last) {
  const problem *p = &data->problem;
  double worst = 0;
  for (int n = 0; n < p->batch; n++) {
    size_t at = (size_t)n * (size_t)expected->columns;
    worst = halves_ratio(worst, p, y_last + (size_t)n * data->y_last_stride, data->y_last_direction,
                         expected->y_last + at, expected->y_last_bound + at);
  }
  return worst;
}

static double compare_state(const problem_data *data, const float *got, const double *value, const double *bound,
                            int count) {
  const problem *p = &data->problem;
  int directions = problem_directions(p);
  double worst = 0;
  for (int part = 0; part < p->num_layers * directions; part++)
    for (int n = 0; n < p->batch; n++) {
      size_t at = ((size_t)part * (size_t)p->batch + (size_t)n) * (size_t)count;
      size_t row = problem_state_at(data, part / directions, part % directions, n);
      worst = row_ratio(worst, got + row, value + at, bound + at, count);
    }
  return worst;
}

double compare_h_n(const compare_expected *expected, const problem_data *data, const float *h_n) {
  return compare_state(data, h_n, expected->h_n, expected->h_n_bound, problem_output_size(&data->problem));
}

double compare_c_n(const compare_expected *expected, const problem_data *data, const float *c_n) {
  return compare_state(data, c_n, expected->c_n, expected->c_n_bound, data->problem.hidden_size);
}

double compare_difference(const float *a, const float *b, size_t count) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) worst = compare_worst(worst, fabs((double)a[i] - (double)b[i]));
  return worst;
}
