/* sessions.c - a server that holds the states of 4096 sessions in a pool and steps a few of them a call, whichever have
 * input: T = 1, N = 1, 4, 16, 64, other slots of the pool in each call, the states updated in place.
 *
 * A last call is judged from the very states before it: y and the new states of those stepped by the formulas in
 * double, all others by their bits, which must not change. */
#include "bench.h"

#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SESSIONS = 4096, MOST_CALLS = 100000, LEAST_CALLS = 3, WARM_UP_CALLS = 3 };
static const int batches[] = {1, 4, 16, 64};
static const char *const default_layers[] = {"lstm:n1t1c128h128", "lstm:n1t1c512h512", "gru:n1t1c512h512"};
static const uint64_t SEED = 1, STREAM_ORDER = 2000; /* beside those of problem_data_create */

/* A layer with all its sessions, of which the subject steps a batch. */
typedef struct pool {
  problem_data all; /* N = SESSIONS, T = 1 */
  subject subject;
  int32_t order[SESSIONS]; /* a shuffled list of all slots */
  int next;                /* where the next call's slots begin */
  uint64_t draws;
} pool;

static void shuffle(pool *p) {
  for (int i = SESSIONS - 1; i > 0; i--) {
    float share = (problem_random(SEED, STREAM_ORDER, p->draws++) + 1) / 2; /* in [0, 1) */
    int other = (int)(share * (float)(i + 1));
    int32_t kept = p->order[i];
    p->order[i] = p->order[other], p->order[other] = kept;
  }
  p->next = 0;
}

/* Slots for a call, each once. */
static void draw_slots(pool *p) {
  int batch = p->subject.batch.batch;
  if (p->next + batch > SESSIONS) shuffle(p);
  p->subject.batch.slots = p->order + p->next;
  p->next += batch;
}

/* A view of a few rows of x, with the whole pool of states. */
static problem_data view(const pool *p, int batch) {
  problem_data data = p->all;
  data.problem.batch = batch, data.problem.slots = 1;
  data.slot_count = SESSIONS, data.slots = (int32_t *)p->order;
  data.x_count = problem_at(data.x_strides, batch - 1, 0) + (size_t)data.problem.input_size;
  data.y_count = problem_at(data.y_strides, batch - 1, 0) + (size_t)problem_columns(&data.problem);
  return data;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

/* States before and after a call, as the pool holds them: h and then c, each state_count floats. */
static rondo_status copy_states(pool *p, float *states) {
  subject *s = &p->subject;
  size_t bytes = s->data.state_count * sizeof(float);
  rondo_status status = subject_said(s, rondo_copy(s->ctx, states, s->batch.h_0, bytes));
  if (status != RONDO_OK || !s->batch.c_0) return status;
  return subject_said(s, rondo_copy(s->ctx, states + s->data.state_count, s->batch.c_0, bytes));
}

/* The largest distance of y. */
static double error_of(const compare_expected *expected, const problem_data *data, const float *y) {
  double worst = 0;
  for (int n = 0; n < data->problem.batch; n++)
    for (int j = 0; j < expected->columns; j++) {
      double got = y[problem_at(data->y_strides, n, 0) + (size_t)j];
      worst = compare_worst(worst, fabs(got - expected->y[n * expected->columns + j]));
    }
  return worst;
}

/* Whether the rows of sessions that were not stepped are as before. */
static int others_kept(const problem_data *data, const float *before, const float *after) {
  static unsigned char stepped[SESSIONS];
  size_t row = data->state_stride;
  memset(stepped, 0, sizeof stepped);
  for (int n = 0; n < data->problem.batch; n++) stepped[data->slots[n]] = 1;
  for (size_t i = 0; i < data->state_count / row; i++)
    if (!stepped[i % SESSIONS] && memcmp(before + i * row, after + i * row, row * sizeof *before) != 0) return 0;
  return 1;
}

/* y (batch rows); before, after: of copy_states. 0 without memory. */
static int judge(verdict *found, pool *p, const float *y, float *before, const float *after) {
  problem_data data = p->subject.data;
  size_t count = data.state_count;
  int has_c = p->subject.batch.c_0 != NULL;
  compare_expected expected;
  data.slots = (int32_t *)p->subject.batch.slots;
  data.h_0 = before, data.c_0 = has_c ? before + count : NULL;
  if (!compare_expect(&expected, &data, subject_arithmetic(p->subject.ctx, &data.problem))) return 0;
  *found = (verdict){.sequences = data.problem.batch, .timesteps = 1, .error = error_of(&expected, &data, y)};
  found->share = compare_worst(compare_y(&expected, &data, y), compare_h_n(&expected, &data, after));
  if (has_c) found->share = compare_worst(found->share, compare_c_n(&expected, &data, after + count));
  int kept = others_kept(&data, before, after) && (!has_c || others_kept(&data, before + count, after + count));
  if (!kept) found->share = INFINITY;
  compare_free(&expected);
  return 1;
}

static rondo_status check(verdict *found, pool *p) {
  subject *s = &p->subject;
  size_t states = 2 * s->data.state_count;
  float *before = malloc((2 * states + s->data.y_count) * sizeof *before);
  if (!before) return subject_no_memory(s);
  float *after = before + states, *y = after + states;
  draw_slots(p);
  rondo_status status = copy_states(p, before);
  if (status == RONDO_OK) status = subject_run(s);
  if (status == RONDO_OK) status = copy_states(p, after);
  if (status == RONDO_OK) status = subject_said(s, rondo_copy(s->ctx, y, s->batch.y, s->data.y_count * sizeof *y));
  if (status == RONDO_OK && !judge(found, p, y, before, after)) status = subject_no_memory(s);
  free(before);
  return status;
}

/* ---- timing ------------------------------------------------------------------------------------------------------ */

static rondo_status time_calls(result *r, pool *p, double seconds) {
  static double times[MOST_CALLS];
  int count = 0;
  for (int i = 0; i < WARM_UP_CALLS; i++) {
    draw_slots(p);
    if (subject_run(&p->subject) != RONDO_OK) return RONDO_DEVICE_ERROR;
  }
  for (double end = now() + seconds; count < MOST_CALLS && (count < LEAST_CALLS || now() < end); count++) {
    draw_slots(p);
    double begin = now();
    if (subject_run(&p->subject) != RONDO_OK) return RONDO_DEVICE_ERROR;
    times[count] = now() - begin;
  }
  r->plain = spread_of(times, count);
  return RONDO_OK;
}

static void describe(result *r, const pool *p) {
  const subject *s = &p->subject;
  r->batch = s->batch.batch;
  r->steps = r->rows = r->batch;
  r->weights = s->desc.weights;
  r->flops = problem_flops(&s->data.problem);
  problem_print(&s->data.problem, r->problem, sizeof r->problem);
  snprintf(r->plan, sizeof r->plan, "%s", rondo_plan_text(s->plan));
}

/* One row. The reason is in the result when it fails. */
static rondo_status measure(result *r, pool *p, rondo_context *ctx, const options *o, limits *l, int batch) {
  subject *s = &p->subject;
  problem_data data = view(p, batch);
  rondo_plan_desc desc = options_plan(o, &data.problem);
  rondo_status status = subject_open_data(s, ctx, &data, NULL, &desc);
  if (status == RONDO_OK) {
    s->batch.h_n = (void *)s->batch.h_0, s->batch.c_n = (void *)s->batch.c_0;
    describe(r, p);
    problem_limit(r, ctx, &data.problem, l);
    status = time_calls(r, p, o->seconds);
    if (status == RONDO_OK) status = check(&r->check, p);
    problem_limit(r, ctx, &data.problem, l);
    subject_close(s);
  }
  if (status != RONDO_OK) snprintf(r->reason, sizeof r->reason, "%s", s->why);
  return status;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void print_row(FILE *out, const result *r) {
  char limit[32], gflops[32], steps[32];
  fprintf(out, "  %8d %11.2f %10.2f %13s %9s %13s %9.1e %6.1f%%%s\n", r->batch, r->plain.median * 1e6,
          r->plain.least * 1e6, report_rate(r->steps / r->plain.median, steps, sizeof steps),
          report_rate(r->flops / r->plain.least / 1e9, gflops, sizeof gflops), report_limit(r, limit, sizeof limit),
          r->check.error, 100 * r->check.share, check_wrong(&r->check) ? "  WRONG" : "");
  fflush(out);
}

static void json_row(FILE *out, const result *r, const char *separator) {
  fprintf(out, "%s\n    ", separator);
  report_json_result(out, r);
  json_write_number(out, ", ", "sessions", SESSIONS);
  if (!r->reason[0]) json_write_number(out, ", ", "steps_per_second", r->steps / r->plain.median);
  fprintf(out, "}");
}

typedef struct run {
  const options *options;
  rondo_context *ctx;
  limits limits;
  output out;
  int done, count, offered; /* rows */
  exit_code code;
} run;

static void run_rows(run *u, pool *p, const char *name) {
  for (size_t i = 0; i < sizeof batches / sizeof *batches; i++) {
    result r = {.name = name};
    progress(u->done, u->count, name);
    rondo_status status = measure(&r, p, u->ctx, u->options, &u->limits, batches[i]);
    progress(0, 0, NULL);
    if (status == RONDO_OK ? check_wrong(&r.check) : status != RONDO_UNSUPPORTED) u->code = EXIT_WRONG;
    if (status == RONDO_OK) print_row(u->out.text, &r);
    if (status != RONDO_OK) fprintf(u->out.text, "  %8d not run: %s\n", batches[i], r.reason);
    if (u->out.json) json_row(u->out.json, &r, u->done ? "," : "");
    u->done++, u->offered += status != RONDO_UNSUPPORTED;
  }
}

static exit_code run_layer(run *u, const char *name) {
  static pool p;
  char message[PROBLEM_TEXT];
  problem layer;
  p = (pool){.next = SESSIONS};
  if (!problem_parse(&layer, shape_problem(name), message, sizeof message)) return EXIT_USAGE; /* it was read before */
  layer.batch = SESSIONS, layer.timesteps = 1, layer.initial_state = 1;
  layer.lengths = layer.slots = layer.restart = layer.strided = 0, layer.mask = MASK_NONE;
  for (int32_t i = 0; i < SESSIONS; i++) p.order[i] = i;
  if (!problem_data_create(&p.all, &layer, SEED)) return refuse("no host memory for %d sessions of %s", SESSIONS, name);
  fprintf(u->out.text, "%s, %d sessions\n  %8s %11s %10s %13s %9s %13s %9s %7s\n", name, SESSIONS, "a call",
          "median us", "least us", "steps/s", "GFLOP/s", "of the limit", "error", "bound");
  run_rows(u, &p, name);
  fprintf(u->out.text, "\n");
  problem_data_free(&p.all);
  return EXIT_FINE;
}

static exit_code run_layers(run *u) {
  const options *o = u->options;
  int layers = o->problem_count ? o->problem_count : (int)(sizeof default_layers / sizeof *default_layers);
  u->count = layers * (int)(sizeof batches / sizeof *batches);
  report_header(u->out.text, u->ctx, &u->limits);
  if (u->out.json) report_json_begin(u->out.json, u->ctx, &u->limits), fprintf(u->out.json, ",\n  \"problems\": [");
  for (int i = 0; i < layers; i++) {
    const char *name = o->problem_count ? o->problems[i] : default_layers[i];
    if (run_layer(u, name) != EXIT_FINE) return EXIT_WRONG;
  }
  fprintf(u->out.text,
          "A call makes one timestep of that many sessions, others each time, whose states lie in one pool and are\n"
          "updated there. steps/s are of the median. The rest is as in the table; the last call was judged, its states "
          "too.\n");
  if (u->out.json) fprintf(u->out.json, "\n  ]\n}\n");
  return u->offered ? u->code : refuse("nothing of this is offered");
}

exit_code sessions_run(const options *o) {
  run u = {.options = o, .ctx = options_context(o)};
  if (!u.ctx) return EXIT_USAGE;
  exit_code code = output_open(&u.out, o);
  if (code == EXIT_FINE) {
    limits_of_context(&u.limits, u.ctx, o);
    code = run_layers(&u);
  }
  exit_code closed = output_close(&u.out);
  rondo_context_destroy(u.ctx);
  return closed == EXIT_FINE ? code : closed;
}
