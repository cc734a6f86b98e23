/* training.c - is a training call right? Its y, dx and every array of dparams against the reference backend, whose sums
 * are in double and whose gradients the tests hold to finite differences and to those of other frameworks.
 *
 * The reference is slow, and the gradient of a weight is a sum over all rows. So the run that is judged is whole, but
 * its dy is 0 outside a part that the reference can go through: the gradients then are those of the part alone, and dx
 * is 0 elsewhere.
 *
 * How far float may be off. Worst cases say nothing after tens of steps, so this is what independent roundings make:
 * a sum, or a chain, of n operations is off by no more than 8 sqrt(n) u of its terms, but with a probability below
 * 2 exp(-32) (Higham and Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019). n is the longest way to
 * a gradient: through L layers and T steps, each with the sums of its gates (F + O), with those of backward (G H), and
 * with at most 32 roundings in the cell, then the sum over all rows. u is a float's rounding. Terms are taken to be as
 * large as the largest number of their array; with layer_norm up to 1 / sqrt(1e-5) larger, as v - mean may cancel and
 * is divided by no less.
 *
 * With TF32 the two factors of every product are rounded too. Each term of a sum has errors of its own, so the whole
 * is off by no larger a share than a term, and it is products that count, not their terms: m factors on the way, two
 * for each layer's and step's product of forward and of backward, then those of the sum over all rows. A factor that is
 * cut to 10 bits loses between 0 and 2^-10 of itself: at most m 2^-10 together; or half of that, and by the same law
 * 8 sqrt(m) 2^-11 around it. Rounding to nearest is within both.
 *
 * An allowance above a tenth of the largest number says too little: then nothing is judged, but that all numbers are
 * finite and dx is 0 where it must be. */
#include "training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double CELL_ROUNDINGS = 32, DEVIATIONS = 8, FLOAT = 0x1p-24, CUT = 0x1p-10, MOST_ALLOWED = 0.1;

/* By TF32. A step has one product after the other where a projection or an early reset gate stands between. */
static double factors_off(const problem *p) {
  double step = 1 + (p->projection_size > 0) + (p->cell == RONDO_GRU && p->reset_before);
  double factors = 2 * (2 * step * p->num_layers * p->timesteps + (p->head_units ? 2 : 0) + 1);
  return CUT * fmin(factors, (factors + DEVIATIONS * sqrt(factors)) / 2);
}

double training_allowance(const problem *part, int tf32) {
  double inputs = 0;
  for (int layer = 0; layer < part->num_layers; layer++) inputs = fmax(inputs, problem_inputs(part, layer));
  double step = inputs + problem_output_size(part) + problem_gates(part) * part->hidden_size + CELL_ROUNDINGS;
  double way = part->num_layers * part->timesteps * step + part->head_units + (double)part->batch * part->timesteps;
  double off = DEVIATIONS * sqrt(way) * FLOAT + (tf32 ? factors_off(part) : 0);
  return off * (part->layer_norm ? 1 / sqrt(1e-5) : 1);
}

/* ---- Comparing --------------------------------------------------------------------------------------------------- */

/* Of one array. A number that is not finite counts as an infinite error. */
typedef struct tally {
  double largest, error; /* largest |want|, largest |got - want| */
} tally;

static void tally_row(tally *t, const float *got, const float *want, size_t count) {
  for (size_t i = 0; i < count; i++) {
    t->largest = fmax(t->largest, fabs((double)want[i]));
    t->error = compare_worst(t->error, fabs((double)got[i] - (double)want[i]));
  }
}

static void judge(verdict *found, tally t, double allowed) {
  double error = t.error > 0 ? t.error / t.largest : 0;
  found->error = compare_worst(found->error, error);
  found->share = compare_worst(found->share, error / allowed);
}

void training_free(training_results *r) {
  free(r->y);
  free(r->dx);
  free(r->dparams);
}

static size_t dx_count(const problem *p) {
  return (size_t)p->batch * (size_t)p->timesteps * (size_t)p->input_size;
}

static rondo_status take(training_results *r, subject *s) {
  const size_t bytes[] = {s->data.y_count * sizeof(float), dx_count(&s->data.problem) * sizeof(float),
                          rondo_plan_sizes(s->plan)->params};
  const void *const from[] = {s->batch.y, s->batch.dx, s->batch.dparams};
  float **const to[] = {&r->y, &r->dx, &r->dparams};
  rondo_status status = RONDO_OK;
  for (int i = 0; status == RONDO_OK && i < 3; i++) {
    *to[i] = malloc(bytes[i]);
    status = *to[i] ? subject_said(s, rondo_copy(s->ctx, *to[i], from[i], bytes[i])) : subject_no_memory(s);
  }
  return status;
}

/* dx is dense in the problem's layout. */
static size_t dx_at(const problem *p, int n, int t) {
  size_t row = p->time_major ? (size_t)t * (size_t)p->batch + (size_t)n : (size_t)n * (size_t)p->timesteps + (size_t)t;
  return row * (size_t)p->input_size;
}

static void judge_rows(verdict *found, const subject *s, const subject_part *part, training_results *got,
                       const training_results *want, double allowed) {
  const problem *whole = &s->data.problem, *p = &part->data.problem;
  const rondo_strides strides = part->data.y_strides;
  size_t inputs = (size_t)p->input_size, columns = (size_t)problem_columns(p);
  tally y = {0, 0}, dx = {0, 0};
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++) {
      float *row = got->dx + dx_at(whole, part->first + n * part->step, part->skipped + t);
      tally_row(&dx, row, want->dx + dx_at(p, n, t), inputs);
      memset(row, 0, inputs * sizeof *row); /* done with: what is left must be 0 */
      for (int half = 0; half < problem_halves(p); half++) {
        size_t at = problem_at(strides, n, t) + (size_t)half * strides.direction;
        tally_row(&y, got->y + part->y_start + at, want->y + at, columns);
      }
    }
  judge(found, y, allowed);
  judge(found, dx, allowed);
  for (size_t i = 0; i < dx_count(whole); i++)
    if (got->dx[i] != 0) found->error = found->share = INFINITY;
}

/* A parameter block lies alike on every backend. */
static void judge_weights(verdict *found, const subject *s, const training_results *got, const training_results *want,
                          double allowed) {
  const problem *p = &s->data.problem;
  for (int layer = 0; layer <= p->num_layers; layer++)
    for (int direction = 0; direction < 2; direction++)
      for (int which = RONDO_KERNEL; which <= RONDO_BETA_CELL; which++) {
        rondo_matrix m;
        tally t = {0, 0};
        if (rondo_plan_param(s->plan, layer, direction, (rondo_param)which, &m) != RONDO_OK) continue; /* has none */
        tally_row(&t, got->dparams + m.offset, want->dparams + m.offset, m.rows * m.columns);
        judge(found, t, allowed);
      }
}

void training_judge(verdict *found, const subject *s, const subject_part *part, training_results *got,
                    const training_results *want, double allowed) {
  const problem *p = &part->data.problem;
  *found = (verdict){.sequences = p->batch, .timesteps = p->timesteps};
  judge_rows(found, s, part, got, want, allowed);
  judge_weights(found, s, got, want, allowed);
  if (allowed > MOST_ALLOWED && isfinite(found->error)) found->timesteps = 0, found->share = NAN;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

rondo_status training_reference(training_results *want, subject *s, const subject_part *part) {
  subject reference;
  rondo_context *ctx = NULL;
  rondo_plan_desc desc = s->desc;
  desc.max_batch = part->data.problem.batch, desc.max_timesteps = part->data.problem.timesteps;
  desc.algorithm = RONDO_AUTO, desc.allow_tf32 = 0, desc.recompute = 0;
  rondo_status status = subject_said(s, rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_REFERENCE}));
  if (status == RONDO_OK) {
    status = subject_open_data(&reference, ctx, &part->data, s->dy + part->y_start, &desc);
    if (status == RONDO_OK) {
      status = subject_run(&reference);
      if (status == RONDO_OK) status = take(want, &reference);
      subject_close(&reference);
    }
    if (status != RONDO_OK) s->why = reference.why;
  }
  rondo_context_destroy(ctx);
  return status;
}

/* The whole, with a dy of the part alone; then its dy is what it was. */
rondo_status training_run(training_results *got, subject *s, const subject_part *part) {
  const problem *p = &part->data.problem;
  const rondo_strides strides = part->data.y_strides;
  size_t bytes = s->data.y_count * sizeof(float), columns = (size_t)problem_columns(p);
  void *there = (void *)s->batch.dy;
  float *dy = calloc(1, bytes);
  if (!dy) return subject_no_memory(s);
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++)
      for (int half = 0; half < problem_halves(p); half++) {
        size_t at = part->y_start + problem_at(strides, n, t) + (size_t)half * strides.direction;
        memcpy(dy + at, s->dy + at, columns * sizeof *dy);
      }
  rondo_status status = subject_said(s, rondo_copy(s->ctx, there, dy, bytes));
  if (status == RONDO_OK) status = subject_run(s);
  if (status == RONDO_OK) status = take(got, s);
  if (status == RONDO_OK) status = subject_said(s, rondo_copy(s->ctx, there, s->dy, bytes));
  free(dy);
  return status;
}

rondo_status training_check(subject *s, double most_flops, verdict *found) {
  subject_part part;
  training_results got = {NULL, NULL, NULL}, want = {NULL, NULL, NULL};
  int tf32 = s->desc.allow_tf32 && rondo_context_backend(s->ctx) == RONDO_CUDA;
  if (!subject_part_of(&part, s, most_flops, 3 * problem_flops(&s->data.problem))) return subject_no_memory(s);
  rondo_status status = training_run(&got, s, &part);
  if (status == RONDO_OK) status = training_reference(&want, s, &part);
  if (status == RONDO_OK) training_judge(found, s, &part, &got, &want, training_allowance(&part.data.problem, tf32));
  training_free(&got);
  training_free(&want);
  free(part.lengths);
  return status;
}
