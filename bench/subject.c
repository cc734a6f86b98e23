/* subject.c - sets a problem up through the public header alone, runs, times and checks it. */
#include "subject.h"

#include "timing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t SEED = 1;

static rondo_status no_memory(subject *s) {
  s->why = "no host memory";
  return RONDO_OUT_OF_MEMORY;
}

/* Remembers the library's sentence when a call failed. */
static rondo_status said(subject *s, rondo_status status) {
  if (status != RONDO_OK) s->why = rondo_last_error();
  return status;
}

/* Memory of the context; RONDO_OK also for nothing. */
static rondo_status take(subject *s, void **pointer, size_t bytes) {
  *pointer = bytes ? rondo_alloc(s->ctx, bytes) : NULL;
  return said(s, bytes && !*pointer ? RONDO_OUT_OF_MEMORY : RONDO_OK);
}

/* Copies count floats of the host to the context; NULL stays NULL. */
static rondo_status upload(subject *s, const void **pointer, const float *host, size_t count) {
  void *memory = NULL;
  rondo_status status = host ? take(s, &memory, count * sizeof *host) : RONDO_OK;
  *pointer = memory;
  return status == RONDO_OK && memory ? said(s, rondo_copy(s->ctx, memory, host, count * sizeof *host)) : status;
}

static rondo_status fill(subject *s) {
  const rondo_sizes *sizes = rondo_plan_sizes(s->plan);
  const problem_data *data = &s->data;
  void *params = NULL;
  rondo_status status = take(s, &params, sizes->params);
  s->batch.params = params;
  for (int i = 0; status == RONDO_OK && i < data->weights_count; i++)
    status = said(s, rondo_pack(s->plan, s->ctx, params, &data->weights[i]));
  if (status == RONDO_OK) status = take(s, &s->batch.workspace, sizes->workspace);
  if (status == RONDO_OK) status = take(s, &s->batch.y, data->y_count * sizeof(float));
  if (status == RONDO_OK) status = upload(s, &s->batch.x, data->x, data->x_count);
  if (status == RONDO_OK) status = upload(s, &s->batch.h_0, data->h_0, data->state_count);
  if (status == RONDO_OK) status = upload(s, &s->batch.c_0, data->c_0, data->state_count);
  return status;
}

rondo_status subject_open(subject *s, rondo_context *ctx, const problem *p, const rondo_plan_desc *desc) {
  memset(s, 0, sizeof *s);
  s->ctx = ctx;
  rondo_status status = said(s, rondo_plan_create(&s->plan, ctx, desc));
  if (status == RONDO_OK && !problem_data_create(&s->data, p, SEED)) status = no_memory(s);
  if (status == RONDO_OK) {
    s->batch = problem_batch(&s->data);
    status = fill(s);
  }
  if (status != RONDO_OK) subject_close(s);
  return status;
}

void subject_close(subject *s) {
  void *const memory[] = {(void *)s->batch.params, s->batch.workspace,   s->batch.y,
                          (void *)s->batch.x,      (void *)s->batch.h_0, (void *)s->batch.c_0};
  rondo_graph_destroy(s->graph);
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) rondo_free(s->ctx, memory[i]);
  problem_data_free(&s->data);
  rondo_plan_destroy(s->plan);
  *s = (subject){.why = s->why};
}

rondo_status subject_freeze(subject *s) {
  return said(s, rondo_graph_create(&s->graph, s->plan, s->ctx, &s->batch));
}

rondo_status subject_run(subject *s) {
  rondo_status status = s->graph ? rondo_graph_launch(s->graph, s->ctx) : rondo_forward(s->plan, s->ctx, &s->batch);
  return said(s, status == RONDO_OK ? rondo_synchronize(s->ctx) : status);
}

int subject_time(subject *s, double seconds, int least, int most, double *times) {
  int count = 0;
  for (double end = now() + seconds; count < most && (count < least || now() < end); count++) {
    double begin = now();
    if (subject_run(s) != RONDO_OK) return 0;
    times[count] = now() - begin;
  }
  return count;
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

/* A view of every step-th sequence, up to the last one, and the timesteps processed first. It borrows all its pointers.
 * first: where it begins in y. Upper layers that go backwards begin with the last step of the layer below, a second
 * direction with that of x, a state's layers are N rows apart, masks and slots are for all sequences: there the view
 * has all steps, or all sequences. */
static problem_data part_of(const problem_data *whole, double most_flops, size_t *first) {
  problem_data part = *whole;
  problem *p = &part.problem;
  int stack = !compare_has_steps(p), masked = p->lengths || p->mask;
  int whole_steps = (stack && p->go_backwards) || p->bidirectional || masked || p->time_order;
  int whole_batch = p->initial_state || masked || p->slots || p->restart;
  double rows = most_flops / problem_flops(p) * p->batch * p->timesteps; /* that can be looked at */
  int timesteps = stack && !whole_steps && p->timesteps > CHECK_STACK_STEPS ? CHECK_STACK_STEPS : p->timesteps;
  int sequences = whole_batch ? p->batch : (int)fmax(1, fmin(p->batch, rows / timesteps));
  if (!whole_steps) timesteps = (int)fmax(1, fmin(timesteps, rows / sequences));
  int step = sequences > 1 ? (p->batch - 1) / (sequences - 1) : 1;
  int start = p->batch - 1 - (sequences - 1) * step, skipped = p->go_backwards ? p->timesteps - timesteps : 0;
  part.x += problem_at(whole->x_strides, start, skipped);
  *first = problem_at(whole->y_strides, start, 0);
  part.x_strides.sequence *= (size_t)step;
  part.y_strides.sequence *= (size_t)step;
  p->batch = sequences;
  p->timesteps = timesteps;
  return part;
}

static compare_arithmetic arithmetic_of(const subject *s) {
  rondo_backend backend = rondo_context_backend(s->ctx);
  if (backend == RONDO_REFERENCE) return compare_reference;
  return backend == RONDO_CUDA && s->data.problem.allow_tf32 ? compare_tf32 : compare_float;
}

rondo_status subject_check(subject *s, double most_flops, verdict *found) {
  size_t first, bytes = s->data.y_count * sizeof(float);
  problem_data part = part_of(&s->data, most_flops, &first);
  float *y = malloc(bytes);
  if (!y) return no_memory(s);
  rondo_status status = said(s, rondo_copy(s->ctx, y, s->batch.y, bytes));
  if (status == RONDO_OK && !check_run(found, &part, arithmetic_of(s), y + first)) status = no_memory(s);
  free(y);
  return status;
}
