/* problems.c - one line of the table: is it offered, is it right, how fast, and how fast could it be. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

/* The judge does about a GFLOP a second. */
static const double CHECK_FLOPS = 5e8;
enum { LEAST_CALLS = 3, MOST_CALLS = 100000 };
static const double WARM_UP = 0.1; /* of the seconds */

rondo_plan_desc options_plan(const options *o, problem *p) {
  p->allow_tf32 |= o->allow_tf32;
  p->recompute |= o->recompute;
  if (o->weights != RONDO_F32) p->weights = o->weights;
  if (o->dropout > 0) p->dropout = o->dropout;
  if (o->recurrent_dropout > 0) p->recurrent_dropout = o->recurrent_dropout;
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.algorithm = o->algorithm;
  desc.training |= o->training;
  return desc;
}

/* The least time the machine needs: all multiplications at the peak rate, or reading the recurrent weights from where
 * they lie once per timestep and the others once per call, whichever is more; in training forward and backward read
 * them so. Threads share the weights out. */
static void set_limit(result *r, const problem *p, limits *l) {
  double output = problem_output_size(p), columns = (double)problem_gates(p) * p->hidden_size; /* of a direction */
  double one = r->weights == RONDO_F32 ? 4 : 2;                                                /* bytes of a weight */
  double recurrent = p->cell == RONDO_DENSE ? 0 : one * columns * output;
  if (p->projection_size) recurrent += one * p->hidden_size * output;
  double directions = problem_directions(p), weights = one * (double)p->head_units * problem_width(p);
  for (int layer = 0; layer < p->num_layers; layer++) weights += one * directions * columns * problem_inputs(p, layer);
  double all_recurrent = recurrent * directions * p->num_layers, once = weights + all_recurrent;
  double traffic = (once + all_recurrent * (p->timesteps - 1)) * (r->training ? 2 : 1);
  double working_set = p->timesteps == 1 || recurrent == 0 ? once : recurrent;
  double gbs = limits_read_gbs(l, (size_t)(working_set / l->threads));
  double compute = r->flops / (l->fma_gflops * 1e9), reading = gbs > 0 ? traffic / (gbs * 1e9) : 0;
  r->limit_of = compute > reading ? "fma" : "weights";
  r->limit_seconds = compute > reading ? compute : reading;
}

/* first: seconds of a first call. A call that is longer than all the time there is gets timed once only. */
static rondo_status time_calls(spread *timed, subject *s, const options *o, double first) {
  static double times[MOST_CALLS];
  int least = first > o->seconds ? 1 : LEAST_CALLS;
  double warm_up = WARM_UP * o->seconds - first;
  if (warm_up > 0 && !subject_time(s, warm_up, 1, MOST_CALLS, times)) return RONDO_DEVICE_ERROR;
  int count = subject_time(s, o->seconds, least, MOST_CALLS, times);
  if (!count) return RONDO_DEVICE_ERROR;
  *timed = spread_of(times, count);
  return RONDO_OK;
}

/* Checks one run, then times; on CUDA the frozen call too, checked likewise, if it is forward alone. */
static rondo_status measure(result *r, subject *s, const options *o) {
  int last = rondo_context_backend(s->ctx) == RONDO_CUDA && !s->desc.training;
  for (int frozen = 0; frozen <= last; frozen++) {
    verdict found;
    rondo_status status = frozen ? subject_freeze(s) : RONDO_OK;
    double begin = now();
    if (status == RONDO_OK) status = subject_run(s);
    double first = now() - begin;
    if (status == RONDO_OK) status = subject_check(s, CHECK_FLOPS, &found);
    if (status == RONDO_OK) status = time_calls(frozen ? &r->frozen : &r->plain, s, o, first);
    if (status != RONDO_OK) return status;
    if (!frozen || found.share > r->check.share) r->check = found;
  }
  return RONDO_OK;
}

/* Of forward: steps that are skipped cost nothing but in the head, which they pass through. Backward has two products
 * of that size: by the inputs and h, and by the weights. */
static double flops_of(const problem *p, double share) {
  double head = 2.0 * p->batch * p->timesteps * p->head_units * problem_width(p);
  return head + (problem_flops(p) - head) * share;
}

static void describe(result *r, const subject *s) {
  const problem *p = &s->data.problem;
  r->batch = p->batch;
  r->training = s->desc.training;
  r->weights = s->desc.weights;
  r->steps = (double)p->batch * p->timesteps;
  r->rows = subject_rows(s);
  r->flops = flops_of(p, r->rows / r->steps) * (r->training ? 3 : 1);
  snprintf(r->plan, sizeof r->plan, "%s", rondo_plan_text(s->plan));
}

rondo_status problem_measure(result *r, rondo_context *ctx, const options *o, limits *l) {
  problem p;
  subject s;
  if (!problem_parse(&p, r->problem, r->reason, sizeof r->reason)) return RONDO_INVALID_ARGUMENT;
  rondo_plan_desc desc = options_plan(o, &p);
  rondo_status status = subject_open(&s, ctx, &p, &desc, o->ragged);
  if (status == RONDO_OK) {
    int limited = l->fma_gflops > 0 && !subject_has_words(ctx, &s.data.problem);
    describe(r, &s);
    if (limited) set_limit(r, &p, l); /* before and after, as others may slow the machine down */
    status = measure(r, &s, o);
    if (limited) set_limit(r, &p, l);
    subject_close(&s);
  }
  if (status != RONDO_OK) snprintf(r->reason, sizeof r->reason, "%s", s.why);
  return status;
}

int is_simulated(const rondo_context *ctx) {
  return rondo_context_backend(ctx) == RONDO_CUDA && strstr(rondo_context_text(ctx), "simt ");
}
