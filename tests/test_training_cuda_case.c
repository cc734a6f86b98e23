/* test_training_cuda_case.c - one step of a cell backward for the tests of its kernels: arrays, rows, and how far a
 * kernel may be from its twin, followed through the formulas with numbers that carry their bounds (compare_near.h). */
#include "training_cuda.h"

#include "reference.h"

#include <math.h>
#include <string.h>

#define UNIT (compare_float.state)

/* ---- Bounds ------------------------------------------------------------------------------------------------------ */

/* 16 units of the terms that a slope is the sum of: of these four one is of magnitude up to 1, and another next to it.
 * And what an error of the argument makes of it, which is taken at the ends: slopes jump, but do not turn there. The
 * quotient in CELU's is an error of the argument, of one rounding. */
static near slope(near v, rondo_function f) {
  int two_terms = f.kind == RONDO_SILU || f.kind == RONDO_GELU || f.kind == RONDO_MISH || f.kind == RONDO_HARD_SILU;
  if (f.kind == RONDO_CELU) v.error += UNIT * near_reach(v);
  double slope = rondo_reference_apply(f, v.value).slope;
  double left = rondo_reference_apply(f, v.value - v.error).slope,
         right = rondo_reference_apply(f, v.value + v.error).slope;
  double moved = fmax(fabs(left - slope), fabs(right - slope));
  return (near){slope, 2 * moved + 16 * UNIT * (fabs(slope) + two_terms) + 0x1p-120};
}

double training_bound(near v) {
  return v.error + UNIT * fabs(v.value) + 0x1p-149;
}

void training_check(const char *what, const float *got, const float *twin, const double *bound, size_t count) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    if (test_same_bits(got + i, twin + i, 1)) continue;
    if (!EXPECT(bound[i] > 0, "%s was written outside its places, at %zu", what, i)) return;
    worst = compare_worst(worst, fabs((double)got[i] - (double)twin[i]) / bound[i]);
  }
  EXPECT_RATIO(worst, "%s", what);
}

near training_add(near a, near b) {
  return near_add(a, b, UNIT);
}

near training_times(near a, near b) {
  return near_multiply(a, b, UNIT);
}

near training_exact(float value) {
  return near_exact((double)value);
}

near training_minus(near v) {
  return (near){-v.value, v.error};
}

near_dual training_gate(near v, float most, rondo_function f) {
  near limited = near_clip(v, (double)most);
  near_dual d = {near_function(limited, f, compare_float), slope(limited, f)};
  if (most > 0 && fabs(v.value) >= (double)most) d.slope = near_exact(0);
  return d;
}

/* ---- One case ---------------------------------------------------------------------------------------------------- */

rondo_cell_options training_options(const training_row *k) {
  rondo_cell_options o = k->options;
  if (!o.activation.kind) o.activation.kind = RONDO_TANH;
  if (!o.recurrent_activation.kind) o.recurrent_activation.kind = RONDO_SIGMOID;
  if (!o.output_activation.kind) o.output_activation.kind = RONDO_TANH;
  return o;
}

static rondo_output_gradient gradient_of(const training_case *c, int there) {
#define SIDE(array) (there ? (array).there : (array).here)
  const training_row *k = c->k;
  ptrdiff_t H = k->h, T = c->rows.here.timesteps, start = k->reversed ? (T - 1) * H : 0;
  return (rondo_output_gradient){.dh = SIDE(c->dh),
                                 .dy = k->without & 1 ? NULL : SIDE(c->dy) + start,
                                 .dy_sequence = T * H,
                                 .dy_timestep = k->reversed ? -H : H,
                                 .repeats = k->repeats,
                                 .dy_last = {k->without & 2 ? NULL : SIDE(c->dy_last), H},
                                 .dh_n = {k->without & 4 ? NULL : SIDE(c->dh_n), H},
                                 .zero_y_last = k->zero_last};
}

/* gates: columns / H of the sums. 0: no memory. */
int training_case_make(const training_row *k, int gates, training_case *c) {
  int t = k->t ? k->t : 1;
  *c = (training_case){.k = k, .ctx = test_context(), .units = (size_t)k->h, .all = (size_t)k->n * (size_t)k->h};
  if (!c->ctx) return 0;
  c->rows = kernel_rows_make(c->ctx, k->kind, k->n, t, k->step);
  size_t states = (size_t)c->rows.states * c->units;
  float scale = k->scale > 0 ? k->scale : 4;
  c->gates = kernel_random(c->ctx, c->all * (size_t)gates, RANDOM_GATES, scale);
  c->recurrent = kernel_random(c->ctx, c->all * (size_t)gates, RANDOM_RECURRENT, 1);
  c->bias = kernel_random(c->ctx, 4 * c->units, RANDOM_BIAS, 1);
  c->weights = kernel_random(c->ctx, 13 * c->units, RANDOM_WEIGHTS, 1);
  c->old = kernel_random(c->ctx, c->all, RANDOM_STATE, 2);
  c->dh = kernel_random(c->ctx, c->all, RANDOM_DH, 1);
  c->dy = kernel_random(c->ctx, c->all * (size_t)t, RANDOM_DY, 1);
  c->dy_last = kernel_random(c->ctx, c->all, RANDOM_DY_LAST, 1);
  c->dh_n = kernel_random(c->ctx, states, RANDOM_DH_N, 1);
  c->dc = kernel_random(c->ctx, c->all, RANDOM_DC, 1);
  c->dc_n = kernel_random(c->ctx, states, RANDOM_DC_N, 1);
  const kernel_array all[] = {c->gates, c->recurrent, c->bias, c->weights, c->old, c->dh,
                              c->dy,    c->dy_last,   c->dh_n, c->dc,      c->dc_n};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!all[i].there) return 0;
  c->here = gradient_of(c, 0), c->there = gradient_of(c, 1);
  return 1;
}

rondo_row training_row_of(const training_case *c, ptrdiff_t r) {
  const rondo_step *s = &c->rows.here;
  return s->row ? s->row[r] : (rondo_row){(int)r, (int)r, s->timesteps, 0};
}

static int position_of(const training_case *c, ptrdiff_t r, int step) {
  const rondo_step *s = &c->rows.here;
  return s->position ? s->position[r * s->timesteps + step] : training_row_of(c, r).first + step;
}

int training_ends(const training_case *c, ptrdiff_t r) {
  return c->k->step == training_row_of(c, r).count - 1;
}

near training_state(const training_case *c, kernel_array later, kernel_array final, int without, ptrdiff_t r,
                    ptrdiff_t j) {
  ptrdiff_t H = c->k->h, state = training_row_of(c, r).state;
  if (!training_ends(c, r)) return training_exact(later.here[r * H + j]);
  return without ? near_exact(0) : training_exact(final.here[(state < 0 ? ~state : state) * H + j]);
}

/* dh before the kernel has run. */
near training_dh(const training_case *c, ptrdiff_t r, ptrdiff_t j) {
  const training_row *k = c->k;
  ptrdiff_t H = k->h, T = c->rows.here.timesteps, n = training_row_of(c, r).sequence;
  int last = training_ends(c, r), p = position_of(c, r, k->step),
      after = last ? (int)T : position_of(c, r, k->step + 1);
  near dh = training_state(c, c->dh, c->dh_n, k->without & 4, r, j);
  for (int q = p; q < (k->repeats ? after : p + 1) && !(k->without & 1); q++)
    dh = training_add(dh, training_exact(c->dy.here[(n * T + (k->reversed ? T - 1 - q : q)) * H + j]));
  int counts = last && !(k->without & 2) && !(k->zero_last && p != T - 1);
  return counts ? training_add(dh, training_exact(c->dy_last.here[n * H + j])) : dh;
}

near training_share(near v, float rate) {
  return rate > 0 ? training_times(near_exact(1 - (double)rate), v) : v;
}

near training_kept(near v, float rate) {
  return training_times(training_exact(rate), v);
}

double *training_bounds(size_t count) {
  return test_memory(count * sizeof(double));
}

near training_through_norm(const near *g, const float *normal, float scale, ptrdiff_t columns, ptrdiff_t j) {
  near means[2] = {{0, 0}, {0, 0}};
  for (int i = 0; i < 2; i++) {
    double reach = 0;
    for (ptrdiff_t k = 0; k < columns; k++) {
      near term = i ? training_times(g[k], training_exact(normal[k])) : g[k];
      means[i].value += term.value / (double)columns;
      means[i].error += term.error / (double)columns;
      reach += near_reach(term) / (double)columns;
    }
    means[i].error += ((double)columns + 2) * UNIT * reach; /* additions, and the division */
  }
  near along = training_times(training_exact(normal[j]), means[1]);
  near rest = training_add(training_add(g[j], training_minus(means[0])), training_minus(along));
  return training_times(training_exact(scale), rest);
}
