/* problems.c - one line of the table: is it offered, is it right, how fast, and how fast could it be. */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

/* The judge does about a GFLOP a second. */
static const double CHECK_FLOPS = 5e8;
enum { LEAST_CALLS = 3, MOST_CALLS = 100000 };
static const double WARM_UP = 0.1; /* of the seconds */

int options_precision(rondo_plan_desc *desc, const char *precision, char *message, size_t size) {
  static const struct {
    const char *name;
    rondo_dtype weights;
    int tf32;
  } known[] = {{"f32", RONDO_F32, 0}, {"tf32", RONDO_F32, 1}, {"f16", RONDO_F16, 0}, {"bf16", RONDO_BF16, 0}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    if (strcmp(precision, known[i].name) != 0) continue;
    desc->weights = known[i].weights;
    if (known[i].tf32) desc->allow_tf32 = 1;
    return 1;
  }
  snprintf(message, size, "precision %s is not offered yet, only f32 and tf32", precision);
  return 0;
}

/* The least time the machine needs: all multiplications at the peak rate, or reading the recurrent weights from where
 * they lie once per timestep and the others once per call, whichever is more. Threads share the weights out. */
static void set_limit(result *r, const problem *p, limits *l) {
  double output = problem_output_size(p), columns = (double)problem_gates(p) * p->hidden_size; /* of a direction */
  double recurrent = p->cell == RONDO_DENSE ? 0 : sizeof(float) * columns * output;
  if (p->projection_size) recurrent += sizeof(float) * p->hidden_size * output;
  double directions = problem_directions(p), weights = sizeof(float) * (double)p->head_units * problem_width(p);
  for (int layer = 0; layer < p->num_layers; layer++)
    weights += sizeof(float) * directions * columns * problem_inputs(p, layer);
  double all_recurrent = recurrent * directions * p->num_layers, once = weights + all_recurrent;
  double traffic = once + all_recurrent * (p->timesteps - 1);
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

/* Checks one run, then times; on CUDA the frozen call too, checked likewise. */
static rondo_status measure(result *r, subject *s, const options *o) {
  int last = rondo_context_backend(s->ctx) == RONDO_CUDA;
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

static void describe(result *r, const subject *s) {
  const problem *p = &s->data.problem;
  r->flops = problem_flops(p);
  r->batch = p->batch;
  r->steps = (double)p->batch * p->timesteps;
  snprintf(r->plan, sizeof r->plan, "%s", rondo_plan_text(s->plan));
}

rondo_status problem_measure(result *r, rondo_context *ctx, const options *o, limits *l) {
  problem p;
  subject s;
  if (!problem_parse(&p, r->problem, r->reason, sizeof r->reason)) return RONDO_INVALID_ARGUMENT;
  rondo_plan_desc desc = problem_plan_desc(&p);
  if (!options_precision(&desc, o->precision, r->reason, sizeof r->reason)) return RONDO_UNSUPPORTED;
  desc.algorithm = o->algorithm;
  p.allow_tf32 = desc.allow_tf32;
  rondo_status status = subject_open(&s, ctx, &p, &desc);
  if (status == RONDO_OK) {
    describe(r, &s);
    if (l->fma_gflops > 0) set_limit(r, &p, l); /* before and after, as others may slow the machine down */
    status = measure(r, &s, o);
    if (l->fma_gflops > 0) set_limit(r, &p, l);
    subject_close(&s);
  }
  if (status != RONDO_OK) snprintf(r->reason, sizeof r->reason, "%s", s.why);
  return status;
}

int is_simulated(const rondo_context *ctx) {
  return rondo_context_backend(ctx) == RONDO_CUDA && strstr(rondo_context_text(ctx), "simt ");
}
