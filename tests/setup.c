/* setup.c - a problem's data on a backend, its plan, its outputs. */
#include "dropout.h"
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void release_data(void *data) {
  problem_data_free(data);
  free(data);
}

static _Noreturn void give_up(const char *name, const char *why) {
  fprintf(stderr, "problem %s: %s\n", name, why);
  abort();
}

const problem_data *test_data(const problem *p) {
  char name[PROBLEM_TEXT];
  problem_data *data = malloc(sizeof *data);
  test_problem(p);
  if (!data || !problem_data_create(data, p, test_seed()) || !dropout_draw(data))
    give_up(problem_print(p, name, sizeof name), "no host memory");
  return test_at_end(release_data, data);
}

const problem_data *test_data_named(const char *name) {
  problem p;
  char message[PROBLEM_TEXT];
  if (!problem_parse(&p, name, message, sizeof message)) give_up(name, message);
  return test_data(&p);
}

static int upload_inputs(test_setup *s) {
  rondo_batch *b = &s->batch;
  size_t bytes = rondo_plan_sizes(s->plan)->params, workspace = rondo_plan_sizes(s->plan)->workspace;
  void *params = buffer_new(s->ctx, bytes);
  for (int i = 0; params && i < s->data->weights_count; i++)
    if (!EXPECT_OK(rondo_pack(s->plan, s->ctx, params, &s->data->weights[i]))) return 0;
  b->params = params;
  b->x = buffer_upload(s->ctx, s->data->x, s->x_count);
  b->h_0 = buffer_upload(s->ctx, s->data->h_0, s->state_count);
  b->c_0 = buffer_upload(s->ctx, s->data->c_0, s->state_count);
  b->workspace = buffer_new(s->ctx, workspace);
  b->reserve = buffer_new(s->ctx, rondo_plan_sizes(s->plan)->reserve);
  return params && b->x && (b->workspace || !workspace);
}

int test_set_up(test_setup *setup, rondo_context *ctx, const problem_data *data, const rondo_plan_desc *desc) {
  rondo_plan_desc own = problem_plan_desc(&data->problem);
  *setup = (test_setup){.ctx = ctx, .data = data, .batch = problem_batch(data)};
  setup->x_count = data->x_count;
  setup->y_count = data->y_count;
  setup->y_last_count = data->y_last_count;
  setup->state_count = data->state_count;
  setup->plan = test_plan(ctx, desc ? desc : &own);
  if (!setup->plan || !upload_inputs(setup)) return 0;
  setup->batch.y = buffer_output(ctx, setup->y_count);
  setup->batch.y_last = buffer_output(ctx, setup->y_last_count);
  int has_h = problem_has_state(&data->problem), has_c = problem_has_cell_state(&data->problem);
  if (has_h) setup->batch.h_n = buffer_output(ctx, setup->state_count);
  if (has_c) setup->batch.c_n = buffer_output(ctx, setup->state_count);
  return setup->batch.y && setup->batch.y_last && (setup->batch.h_n || !has_h) && (setup->batch.c_n || !has_c);
}

test_outputs test_download(const test_setup *setup, const rondo_batch *batch) {
  test_outputs out = {0};
  if (batch->y) out.y = buffer_download(setup->ctx, NULL, batch->y, setup->y_count);
  if (batch->y_last) out.y_last = buffer_download(setup->ctx, NULL, batch->y_last, setup->y_last_count);
  if (batch->h_n) out.h_n = buffer_download(setup->ctx, NULL, batch->h_n, setup->state_count);
  if (batch->c_n) out.c_n = buffer_download(setup->ctx, NULL, batch->c_n, setup->state_count);
  return out;
}

test_outputs test_forward(const test_setup *setup, const rondo_batch *batch) {
  EXPECT_OK(rondo_forward(setup->plan, setup->ctx, batch));
  return test_download(setup, batch);
}

int test_same_bits(const float *a, const float *b, size_t count) {
  return (!a && !b) || (a && b && memcmp(a, b, count * sizeof *a) == 0);
}

int test_same_outputs(const test_setup *setup, const test_outputs *a, const test_outputs *b) {
  return test_same_bits(a->y, b->y, setup->y_count) && test_same_bits(a->y_last, b->y_last, setup->y_last_count) &&
         test_same_bits(a->h_n, b->h_n, setup->state_count) && test_same_bits(a->c_n, b->c_n, setup->state_count);
}
