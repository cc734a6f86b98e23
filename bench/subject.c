/* subject.c - sets a problem up through the public header alone, runs, times and checks it. */
#include "subject.h"

#include "timing.h"
#include "training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t SEED = 1;
enum { STREAM_LENGTHS = 1000, STREAM_DY }; /* of random numbers, beside those of problem_data_create */

rondo_status subject_no_memory(subject *s) {
  s->why = "no host memory";
  return RONDO_OUT_OF_MEMORY;
}

rondo_status subject_said(subject *s, rondo_status status) {
  if (status != RONDO_OK) s->why = rondo_last_error();
  return status;
}

/* ---- setting up -------------------------------------------------------------------------------------------------- */

/* Memory of the context; RONDO_OK also for nothing. */
static rondo_status take(subject *s, void **pointer, size_t bytes) {
  *pointer = bytes ? rondo_alloc(s->ctx, bytes) : NULL;
  return subject_said(s, bytes && !*pointer ? RONDO_OUT_OF_MEMORY : RONDO_OK);
}

/* Copies count floats of the host to the context; NULL stays NULL. */
static rondo_status upload(subject *s, const void **pointer, const float *host, size_t count) {
  void *memory = NULL;
  rondo_status status = host ? take(s, &memory, count * sizeof *host) : RONDO_OK;
  *pointer = memory;
  if (status != RONDO_OK || !memory) return status;
  return subject_said(s, rondo_copy(s->ctx, memory, host, count * sizeof *host));
}

static rondo_status fill_training(subject *s, const float *dy) {
  const problem *p = &s->data.problem;
  const rondo_sizes *sizes = rondo_plan_sizes(s->plan);
  size_t dx = (size_t)p->batch * (size_t)p->timesteps * (size_t)p->input_size;
  rondo_status status = take(s, &s->batch.reserve, sizes->reserve);
  if (status == RONDO_OK) status = upload(s, &s->batch.dy, dy, s->data.y_count);
  if (status == RONDO_OK) status = take(s, &s->batch.dx, dx * sizeof(float));
  if (status == RONDO_OK) status = take(s, &s->batch.dparams, sizes->params);
  return status;
}

static rondo_status fill(subject *s, const float *dy) {
  const rondo_sizes *sizes = rondo_plan_sizes(s->plan);
  const problem_data *data = &s->data;
  void *params = NULL;
  rondo_status status = take(s, &params, sizes->params);
  s->batch.params = params;
  for (int i = 0; status == RONDO_OK && i < data->weights_count; i++)
    status = subject_said(s, rondo_pack(s->plan, s->ctx, params, &data->weights[i]));
  if (status == RONDO_OK) status = take(s, &s->batch.workspace, sizes->workspace);
  if (status == RONDO_OK) status = take(s, &s->batch.y, data->y_count * sizeof(float));
  if (status == RONDO_OK) status = upload(s, &s->batch.x, data->x, data->x_count);
  if (status == RONDO_OK) status = upload(s, &s->batch.h_0, data->h_0, data->state_count);
  if (status == RONDO_OK) status = upload(s, &s->batch.c_0, data->c_0, data->state_count);
  return status == RONDO_OK && s->desc.training ? fill_training(s, dy) : status;
}

/* On data that the subject has; closes it after a failure. */
static rondo_status open_filled(subject *s, const float *dy) {
  s->batch = problem_batch(&s->data);
  rondo_status status = fill(s, dy);
  if (status != RONDO_OK) subject_close(s);
  return status;
}

rondo_status subject_open_data(subject *s, rondo_context *ctx, const problem_data *data, const float *dy,
                               const rondo_plan_desc *desc) {
  *s = (subject){.ctx = ctx, .desc = *desc, .data = *data, .borrows_data = 1};
  rondo_status status = subject_said(s, rondo_plan_create(&s->plan, ctx, desc));
  return status == RONDO_OK ? open_filled(s, dy) : status;
}

/* Host numbers; 0 without memory. */
static int create_data(subject *s, const problem *p, int ragged) {
  problem wanted = *p;
  wanted.lengths |= ragged;
  if (!problem_data_create(&s->data, &wanted, SEED)) return 0;
  for (int n = 0; ragged && n < p->batch; n++) {
    float share = (problem_random(SEED, STREAM_LENGTHS, (uint64_t)n) + 1) / 2; /* in [0, 1) */
    s->data.lengths[n] = 1 + (int)((double)share * p->timesteps);
  }
  if (!s->desc.training) return 1;
  s->dy = malloc(s->data.y_count * sizeof *s->dy);
  for (size_t i = 0; s->dy && i < s->data.y_count; i++) s->dy[i] = problem_random(SEED, STREAM_DY, i);
  return s->dy != NULL;
}

rondo_status subject_open(subject *s, rondo_context *ctx, const problem *p, const rondo_plan_desc *desc, int ragged) {
  *s = (subject){.ctx = ctx, .desc = *desc};
  rondo_status status = subject_said(s, rondo_plan_create(&s->plan, ctx, desc));
  if (status != RONDO_OK) return status;
  if (create_data(s, p, ragged)) return open_filled(s, s->dy);
  subject_close(s);
  return subject_no_memory(s);
}

void subject_close(subject *s) {
  const rondo_batch *b = &s->batch;
  void *const memory[] = {(void *)b->params, b->workspace, b->y,          (void *)b->x, (void *)b->h_0,
                          (void *)b->c_0,    b->reserve,   (void *)b->dy, b->dx,        b->dparams};
  rondo_graph_destroy(s->graph);
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) rondo_free(s->ctx, memory[i]);
  if (!s->borrows_data) problem_data_free(&s->data);
  free(s->dy);
  rondo_plan_destroy(s->plan);
  *s = (subject){.why = s->why};
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

rondo_status subject_freeze(subject *s) {
  return subject_said(s, rondo_graph_create(&s->graph, s->plan, s->ctx, &s->batch));
}

rondo_status subject_run(subject *s) {
  rondo_status status = s->graph ? rondo_graph_launch(s->graph, s->ctx) : rondo_forward(s->plan, s->ctx, &s->batch);
  if (status == RONDO_OK && s->desc.training) status = rondo_backward(s->plan, s->ctx, &s->batch);
  return subject_said(s, status == RONDO_OK ? rondo_synchronize(s->ctx) : status);
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

double subject_rows(const subject *s) {
  const problem *p = &s->data.problem;
  double rows = 0;
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++) rows += !problem_has_state(p) || problem_is_real(&s->data, n, t);
  return rows;
}

/* How many sequences and timesteps a part has. Upper layers that go backwards begin with the last step of the layer
 * below, a second direction and lengths with that of x: there it has all steps. A state's layers are N rows apart,
 * masks and slots are for all sequences, layer_dropout draws for all: there it has all of these. Other dropout draws by
 * the place of a sequence. */
static void size_part(subject_part *part, const subject *s, double rows) {
  const problem *p = &s->data.problem;
  int stack = !compare_has_steps(p) && !s->desc.training;
  int layers_turn = p->go_backwards && !compare_has_steps(p);
  int whole_steps = layers_turn || p->bidirectional || p->lengths || p->mask || p->time_order;
  int whole_batch = p->initial_state || p->mask || p->slots || p->restart || p->layer_dropout > 0;
  int in_order = p->dropout > 0 || p->recurrent_dropout > 0;
  int timesteps = stack && !whole_steps && p->timesteps > CHECK_STACK_STEPS ? CHECK_STACK_STEPS : p->timesteps;
  int sequences = whole_batch ? p->batch : (int)fmax(1, fmin(p->batch, rows / timesteps));
  if (!whole_steps) timesteps = (int)fmax(1, fmin(timesteps, rows / sequences));
  part->step = sequences > 1 && !in_order ? (p->batch - 1) / (sequences - 1) : 1;
  part->first = in_order ? 0 : p->batch - 1 - (sequences - 1) * part->step;
  part->skipped = p->go_backwards ? p->timesteps - timesteps : 0;
  part->data.problem.batch = sequences;
  part->data.problem.timesteps = timesteps;
}

int subject_part_of(subject_part *part, const subject *s, double most_flops, double flops) {
  *part = (subject_part){.data = s->data};
  problem_data *data = &part->data;
  const problem *p = &data->problem;
  size_part(part, s, most_flops / flops * p->batch * p->timesteps);
  part->y_start = problem_at(data->y_strides, part->first, 0); /* y is in the order of processing */
  data->x += problem_at(data->x_strides, part->first, part->skipped);
  data->x_strides.sequence *= (size_t)part->step;
  data->y_strides.sequence *= (size_t)part->step;
  data->x_count = problem_at(data->x_strides, p->batch - 1, p->timesteps - 1) + (size_t)p->input_size;
  data->y_count = problem_at(data->y_strides, p->batch - 1, p->timesteps - 1) + data->y_strides.direction +
                  (size_t)problem_columns(p);
  if (!data->lengths) return 1;
  data->lengths = part->lengths = malloc((size_t)p->batch * sizeof *part->lengths);
  for (int n = 0; part->lengths && n < p->batch; n++) part->lengths[n] = s->data.lengths[part->first + n * part->step];
  return part->lengths != NULL;
}

/* "cpu avx512_bf16, 1 thread" */
static int has_pairs(const rondo_context *ctx, const problem *p) {
  return p->weights == RONDO_BF16 && !strncmp(rondo_context_text(ctx), "cpu avx512_bf16,", 16);
}

int subject_has_words(const rondo_context *ctx, const problem *p) {
  return has_pairs(ctx, p) || p->weights == RONDO_INT8;
}

compare_arithmetic subject_arithmetic(const rondo_context *ctx, const problem *p) {
  rondo_isa isa = has_pairs(ctx, p) ? RONDO_ISA_AVX512_BF16 : RONDO_ISA_BEST;
  return compare_arithmetic_of(rondo_context_backend(ctx), isa, p);
}

rondo_status subject_check(subject *s, double most_flops, verdict *found) {
  subject_part part;
  size_t bytes = s->data.y_count * sizeof(float);
  if (s->desc.training) return training_check(s, most_flops, found);
  float *y = malloc(bytes);
  if (!y || !subject_part_of(&part, s, most_flops, problem_flops(&s->data.problem)))
    return free(y), subject_no_memory(s);
  rondo_status status = subject_said(s, rondo_copy(s->ctx, y, s->batch.y, bytes));
  compare_arithmetic unit = subject_arithmetic(s->ctx, &s->data.problem);
  if (status == RONDO_OK && !check_run(found, &part.data, unit, y + part.y_start)) status = subject_no_memory(s);
  free(part.lengths);
  free(y);
  return status;
}
