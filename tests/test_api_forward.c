/* test_api_forward.c - misuse of rondo_forward and rondo_graph_create, which check alike: the status, the sentence, and
 * no output touched. */
#include "misuse.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#define B(field) OF(rondo_batch, field)
#define AT(field) offsetof(rondo_batch, field)

/* Of lstm:n3t4c5h6l2:h0, whose batch is right, with all outputs. */
static const misuse lstm_rows[] = {
    {"batch", B(batch), SET, 0, RONDO_INVALID_ARGUMENT, "batch 0 is not in 1..3"},
    {"batch_negative", B(batch), SET, -1, RONDO_INVALID_ARGUMENT, "batch -1"},
    {"batch_large", B(batch), SET, 4, RONDO_INVALID_ARGUMENT, "batch 4"},
    {"batch_huge", B(batch), SET, INT_MAX, RONDO_INVALID_ARGUMENT, "batch 2147483647"},
    {"timesteps", B(timesteps), SET, 0, RONDO_INVALID_ARGUMENT, "timesteps 0 is not in 1..4"},
    {"timesteps_negative", B(timesteps), SET, INT_MIN, RONDO_INVALID_ARGUMENT, "timesteps -2147483648"},
    {"timesteps_large", B(timesteps), SET, 5, RONDO_INVALID_ARGUMENT, "timesteps 5"},
    {"reserve", B(reserve), SET, 64, RONDO_INVALID_ARGUMENT, "reserve is not NULL, but the plan has training 0"},
    {"params", B(params), SET, 0, RONDO_INVALID_ARGUMENT, "params is NULL"},
    {"params_align", B(params), SHIFT, 32, RONDO_INVALID_ARGUMENT, "not aligned to 64 bytes"},
    {"x", B(x), SET, 0, RONDO_INVALID_ARGUMENT, "x is NULL"},
    {"x_align", B(x), SHIFT, 2, RONDO_INVALID_ARGUMENT, "x "},
    {"h_0_align", B(h_0), SHIFT, 1, RONDO_INVALID_ARGUMENT, "h_0 "},
    {"c_0_align", B(c_0), SHIFT, 3, RONDO_INVALID_ARGUMENT, "c_0 "},
    {"y_align", B(y), SHIFT, 1, RONDO_INVALID_ARGUMENT, "y "},
    {"y_last_align", B(y_last), SHIFT, 2, RONDO_INVALID_ARGUMENT, "y_last "},
    {"h_n_align", B(h_n), SHIFT, 2, RONDO_INVALID_ARGUMENT, "h_n "},
    {"c_n_align", B(c_n), SHIFT, 2, RONDO_INVALID_ARGUMENT, "c_n "},
    {"workspace", B(workspace), SET, 0, RONDO_INVALID_ARGUMENT, "workspace is NULL"},
    {"workspace_align", B(workspace), SHIFT, 4, RONDO_INVALID_ARGUMENT, "workspace "},
    {"y_is_x", B(y), SAME_AS, AT(x), RONDO_INVALID_ARGUMENT, "y "},
    {"y_is_h_0", B(y), SAME_AS, AT(h_0), RONDO_INVALID_ARGUMENT, "y "},
    {"y_last_is_y", B(y_last), SAME_AS, AT(y), RONDO_INVALID_ARGUMENT, "another field's memory"},
    {"y_last_is_h_n", B(y_last), SAME_AS, AT(h_n), RONDO_INVALID_ARGUMENT, "another field's memory"},
    {"h_n_is_c_n", B(h_n), SAME_AS, AT(c_n), RONDO_INVALID_ARGUMENT, "another field's memory"},
    {"h_n_is_c_0", B(h_n), SAME_AS, AT(c_0), RONDO_INVALID_ARGUMENT, "h_n "},
    {"c_n_is_h_0", B(c_n), SAME_AS, AT(h_0), RONDO_INVALID_ARGUMENT, "c_n "},
    {"c_n_is_params", B(c_n), SAME_AS, AT(params), RONDO_INVALID_ARGUMENT, "c_n "},
    {"y_is_workspace", B(y), SAME_AS, AT(workspace), RONDO_INVALID_ARGUMENT, "y "},
    {"y_rows_overlap", B(y_strides.timestep), SET, 5, RONDO_INVALID_ARGUMENT, " of y "},
    {"y_sequences_overlap", B(y_strides.sequence), SET, 23, RONDO_INVALID_ARGUMENT, " of y "},
    {"y_stride_huge", B(y_strides.sequence), SET, LLONG_MAX / 4, RONDO_INVALID_ARGUMENT, " of y "},
    {"y_stride_wraps", B(y_strides.timestep), SET, -8, RONDO_INVALID_ARGUMENT, " of y "},
    {"x_stride_huge", B(x_strides.timestep), SET, LLONG_MAX / 2, RONDO_INVALID_ARGUMENT, "x_strides"},
    {"x_stride_wraps", B(x_strides.sequence), SET, -1, RONDO_INVALID_ARGUMENT, "x_strides"},
    {"y_last_stride", B(y_last_stride), SET, 5, RONDO_INVALID_ARGUMENT, "{5, 0, 0} of y_last"},
    {"y_last_stride_huge", B(y_last_stride), SET, LLONG_MAX, RONDO_INVALID_ARGUMENT, " of y_last"},
    {"state_stride", B(state_stride), SET, 5, RONDO_INVALID_ARGUMENT, "state_stride 5"},
    {"state_stride_huge", B(state_stride), SET, LLONG_MAX, RONDO_INVALID_ARGUMENT, "state_stride"},
    {"slot_count", B(slot_count), SET, 7, RONDO_INVALID_ARGUMENT, "slot_count is 7, but slots is NULL"},
    {"slot_count_negative", B(slot_count), SET, -1, RONDO_INVALID_ARGUMENT, "slot_count is -1"},
    {"dropout_masks", B(dropout_masks), SET, 64, RONDO_INVALID_ARGUMENT, "dropout_masks is not NULL, but the plan has"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of gru:n3t4c5h6:bi=separate:h0. */
static const misuse gru_rows[] = {
    {"c_0", B(c_0), SET, 64, RONDO_INVALID_ARGUMENT, "c_0 is not NULL"},
    {"c_n", B(c_n), SET, 64, RONDO_INVALID_ARGUMENT, "c_n is not NULL"},
    {"halves_overlap", B(y_strides.direction), SET, 71, RONDO_INVALID_ARGUMENT, " of y "},
    {"halves_wrap", B(y_strides.direction), SET, -1, RONDO_INVALID_ARGUMENT, " of y "},
    {"last_halves_overlap", B(y_last_direction), SET, 5, RONDO_INVALID_ARGUMENT, "5} of y_last"},
    {"last_halves_huge", B(y_last_direction), SET, LLONG_MAX, RONDO_INVALID_ARGUMENT, " of y_last"},
    {"state_stride", B(state_stride), SET, 5, RONDO_INVALID_ARGUMENT, "state_stride 5"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of dense:n3t4c5h6. */
static const misuse dense_rows[] = {
    {"h_0", B(h_0), SET, 64, RONDO_INVALID_ARGUMENT, "h_0 is not NULL, but RONDO_DENSE has no state"},
    {"h_n", B(h_n), SET, 64, RONDO_INVALID_ARGUMENT, "h_n is not NULL"},
    {"c_0", B(c_0), SET, 64, RONDO_INVALID_ARGUMENT, "c_0 is not NULL"},
    {"c_n", B(c_n), SET, 64, RONDO_INVALID_ARGUMENT, "c_n is not NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of lstm:n3t4c5h6:h0:dropout=0.5, which trains, with masks given. */
static const misuse dropout_rows[] = {
    {"masks_align", B(dropout_masks), SHIFT, 2, RONDO_INVALID_ARGUMENT, "dropout_masks "},
    {"y_is_masks", B(y), SAME_AS, AT(dropout_masks), RONDO_INVALID_ARGUMENT, "y "},
    {"y_last_is_masks", B(y_last), SAME_AS, AT(dropout_masks), RONDO_INVALID_ARGUMENT, "y_last "},
    {"h_n_is_masks", B(h_n), SAME_AS, AT(dropout_masks), RONDO_INVALID_ARGUMENT, "h_n "},
    {"c_n_is_masks", B(c_n), SAME_AS, AT(dropout_masks), RONDO_INVALID_ARGUMENT, "c_n "},
    {"masks_are_workspace", B(dropout_masks), SAME_AS, AT(workspace), RONDO_INVALID_ARGUMENT, "workspace "},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Arrays of the host, for three sequences of four timesteps. */
static const struct host_row {
  const char *name;
  const int32_t *lengths, *slots;
  int slot_count, with_mask;
  const char *words;
} host_rows[] = {
    {"length_large", (const int32_t[]){5, 1, 2}, NULL, 0, 0, "lengths[0] 5 is not in 0..4"},
    {"length_negative", (const int32_t[]){4, 0, -1}, NULL, 0, 0, "lengths[2] -1"},
    {"length_smallest", (const int32_t[]){4, INT32_MIN, 1}, NULL, 0, 0, "lengths[1] -2147483648"},
    {"lengths_and_mask", (const int32_t[]){4, 0, 1}, NULL, 0, 1, "lengths and mask are both given"},
    {"no_slot_count", NULL, (const int32_t[]){0, 1, 2}, 0, 0, "slot_count 0 is less than batch 3"},
    {"slot_count_small", NULL, (const int32_t[]){0, 1, 1}, 2, 0, "slot_count 2 is less than batch 3"},
    {"slot_count_negative", NULL, (const int32_t[]){0, 1, 2}, -5, 0, "slot_count -5"},
    {"slot_large", NULL, (const int32_t[]){0, 7, 2}, 7, 0, "slots[1] 7 is not in 0..6"},
    {"slot_negative", NULL, (const int32_t[]){-1, 0, 2}, 7, 0, "slots[0] -1"},
    {"slot_twice", NULL, (const int32_t[]){2, 5, 2}, 7, 0, "slots[2] 2 is there twice"},
    {"slot_next_twice", NULL, (const int32_t[]){6, 0, 0}, 7, 0, "slots[2] 0 is there twice"},
    {NULL, NULL, NULL, 0, 0, NULL},
};

static int set_up_problem(test_setup *s, const char *name) {
  rondo_context *ctx = test_context();
  return ctx && test_set_up(s, ctx, test_data_named(name), NULL);
}

static int set_up(test_setup *s) {
  return set_up_problem(s, "lstm:n3t4c5h6l2:h0");
}

static void expect_untouched(const test_setup *s) {
  test_outputs out = test_download(s, &s->batch);
  EXPECT(test_is_poison(out.y, s->y_count), "y was written");
  EXPECT(test_is_poison(out.y_last, s->y_last_count), "y_last was written");
  EXPECT(!out.h_n || test_is_poison(out.h_n, s->state_count), "h_n was written");
  EXPECT(!out.c_n || test_is_poison(out.c_n, s->state_count), "c_n was written");
}

static rondo_status make_graph(rondo_graph **graph, const rondo_plan *plan, rondo_context *ctx,
                               const rondo_batch *batch) {
  *graph = (rondo_graph *)(uintptr_t)64; /* a failure must replace it */
  rondo_status status = rondo_graph_create(graph, plan, ctx, batch);
  EXPECT(status == RONDO_OK || !*graph, "a failure left *graph as it was");
  return status;
}

/* Both functions must refuse the batch alike. */
static void expect_both(const test_setup *s, const rondo_batch *b, rondo_status status, const char *words) {
  rondo_graph *graph;
  expect_refusal(status, rondo_forward(s->plan, s->ctx, b), "rondo_forward:", words);
  expect_refusal(status, make_graph(&graph, s->plan, s->ctx, b), "rondo_graph_create:", words);
  expect_untouched(s);
}

static void refuse(const char *name, const misuse *row) {
  test_setup s;
  if (!set_up_problem(&s, name)) return;
  rondo_batch b = s.batch;
  apply_misuse(row, &b);
  expect_both(&s, &b, row->status, row->words);
}

static void lstm(const void *row) {
  refuse("lstm:n3t4c5h6l2:h0", row);
}

static void gru(const void *row) {
  refuse("gru:n3t4c5h6:bi=separate:h0", row);
}

static void dense(const void *row) {
  refuse("dense:n3t4c5h6", row);
}

static void dropout(const void *row) {
  test_setup s;
  if (!set_up_problem(&s, "lstm:n3t4c5h6:h0:dropout=0.5")) return;
  s.batch.dropout_masks = buffer_output(s.ctx, 3 * 5);
  rondo_batch b = s.batch;
  apply_misuse(row, &b);
  expect_both(&s, &b, RONDO_INVALID_ARGUMENT, ((const misuse *)row)->words);
}

/* layer_dropout is drawn in any case. */
static void masks_of_none(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up_problem(&s, "lstm:n3t4c5h6l2:h0:ldropout=0.5")) return;
  rondo_batch b = s.batch;
  b.dropout_masks = b.x;
  expect_both(&s, &b, RONDO_INVALID_ARGUMENT, "dropout_masks is not NULL, but the plan has training ");
}

static void host_arrays(const void *parameter) {
  static const uint8_t mask[12] = {1, 1};
  const struct host_row *row = parameter;
  test_setup s;
  if (!set_up(&s)) return;
  rondo_batch b = s.batch;
  b.lengths = row->lengths, b.slots = row->slots, b.slot_count = row->slot_count;
  b.mask = row->with_mask ? mask : NULL;
  expect_both(&s, &b, RONDO_INVALID_ARGUMENT, row->words);
}

static void arguments(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s)) return;
  const rondo_status bad = RONDO_INVALID_ARGUMENT;
  rondo_batch none = s.batch, zeros = {0};
  rondo_graph *graph;
  none.y = none.y_last = none.h_n = none.c_n = NULL;
  expect_refusal(bad, rondo_forward(NULL, s.ctx, &s.batch), "rondo_forward:", "plan is NULL");
  expect_refusal(bad, rondo_forward(s.plan, NULL, &s.batch), "rondo_forward:", "ctx is NULL");
  expect_refusal(bad, rondo_forward(s.plan, s.ctx, NULL), "rondo_forward:", "batch is NULL");
  expect_refusal(bad, rondo_forward(s.plan, s.ctx, &zeros), "rondo_forward:", "batch 0");
  expect_refusal(bad, rondo_forward(s.plan, s.ctx, &none), "rondo_forward:", "nothing to compute");
  expect_refusal(bad, make_graph(&graph, NULL, s.ctx, &s.batch), "rondo_graph_create:", "plan is NULL");
  expect_refusal(bad, make_graph(&graph, s.plan, NULL, &s.batch), "rondo_graph_create:", "ctx is NULL");
  expect_refusal(bad, make_graph(&graph, s.plan, s.ctx, NULL), "rondo_graph_create:", "batch is NULL");
  expect_refusal(bad, rondo_graph_create(NULL, s.plan, s.ctx, &s.batch), "rondo_graph_create:", "graph is NULL");
  expect_refusal(bad, rondo_backward(s.plan, s.ctx, &s.batch), "rondo_backward:", "the plan has training 0");
  expect_refusal(bad, rondo_backward(s.plan, NULL, &s.batch), "rondo_backward:", "ctx is NULL");
  expect_refusal(bad, rondo_backward(s.plan, s.ctx, NULL), "rondo_backward:", "batch is NULL");
  expect_untouched(&s);
}

/* Strides of arrays that are not there are not looked at, however wrong. */
static void strides_without_arrays(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s)) return;
  rondo_batch only_y = s.batch, only_state = s.batch;
  only_y.h_0 = only_y.c_0 = NULL;
  only_y.y_last = only_y.h_n = only_y.c_n = NULL;
  only_y.y_last_stride = 1;
  only_y.state_stride = SIZE_MAX / 2;
  EXPECT_OK(rondo_forward(s.plan, s.ctx, &only_y));
  only_state.y = only_state.y_last = NULL;
  only_state.y_strides = (rondo_strides){1, SIZE_MAX / 2, 3};
  only_state.y_last_stride = SIZE_MAX / 2;
  EXPECT_OK(rondo_forward(s.plan, s.ctx, &only_state));
  EXPECT_OK(rondo_synchronize(s.ctx));
}

/* A context of another backend, then of the same one, that a graph was not made with. */
static void another_context(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s)) return;
  rondo_context *other = other_context(s.ctx), *second = test_context();
  rondo_graph *graph = NULL;
  if (!other || !second) return;
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_forward(s.plan, other, &s.batch), "rondo_forward:", "the plan is for");
  expect_refusal(RONDO_INVALID_ARGUMENT, make_graph(&graph, s.plan, other, &s.batch),
                 "rondo_graph_create:", "the plan is for");
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, s.ctx, &s.batch))) return;
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_graph_launch(graph, NULL), "rondo_graph_launch:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_graph_launch(graph, second), "rondo_graph_launch:", "not the context");
  expect_untouched(&s);
  rondo_graph_destroy(graph);
}

/* ---- Parameters that are not this plan's: noticed on the CPU ----------------------------------------------------- */

static void expect_bad_params(const test_setup *s, const void *params) {
  rondo_batch b = s->batch;
  b.params = params;
  if (EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_forward(s->plan, s->ctx, &b)))
    EXPECT(strstr(rondo_last_error(), "params"), "\"%s\" does not say params", rondo_last_error());
  expect_untouched(s);
}

/* A second layer that was never packed, and no layer at all. */
static void params_not_packed(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s)) return;
  size_t bytes = rondo_plan_sizes(s.plan)->params;
  void *params = buffer_new(s.ctx, bytes);
  expect_bad_params(&s, params);
  EXPECT_OK(rondo_pack(s.plan, s.ctx, params, &s.data->weights[0]));
  expect_bad_params(&s, params);
  memset(params, 0, bytes);
  expect_bad_params(&s, params);
}

/* A block of a layer of other sizes, and one with a single byte of its header changed. */
static void params_of_another(const void *unused) {
  (void)unused;
  test_setup s, other;
  if (!set_up(&s)) return;
  if (!test_set_up(&other, s.ctx, test_data_named("lstm:n3t4c6h7l2:h0"), NULL)) return;
  expect_bad_params(&s, other.batch.params);
  unsigned char *header = (unsigned char *)(uintptr_t)s.batch.params;
  for (int i = 0; i < 28; i++) { /* magic, version, instruction set, lanes, inputs, units */
    header[i] ^= 0x10;
    expect_bad_params(&s, header);
    header[i] ^= 0x10;
  }
  EXPECT_OK(rondo_forward(s.plan, s.ctx, &s.batch));
}

/* A block of the same layer with weights of other types. */
static void params_of_another_type(const void *unused) {
  (void)unused;
  static const char *const names[] = {"lstm:n3t4c5h6", "lstm:n3t4c5h6:weights=f16", "lstm:n3t4c5h6:weights=bf16"};
  test_setup s[3];
  rondo_context *ctx = test_context();
  for (int i = 0; i < 3; i++)
    if (!ctx || !test_set_up(&s[i], ctx, test_data_named(names[i]), NULL)) return;
  for (int i = 0; i < 9; i++)
    if (i / 3 != i % 3) expect_bad_params(&s[i / 3], s[i % 3].batch.params);
}

/* A plan and its parameters for one instruction set, a context for another. */
static void another_isa(const void *unused) {
  (void)unused;
  test_setup s;
  if (!set_up(&s)) return;
  rondo_isa other = test_here()->desc.max_isa == RONDO_ISA_PORTABLE ? RONDO_ISA_AVX2 : RONDO_ISA_PORTABLE;
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .max_isa = other});
  if (!ctx) return;
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_forward(s.plan, ctx, &s.batch), "rondo_forward:", "instruction set");
  rondo_plan_desc desc = problem_plan_desc(&s.data->problem);
  test_setup moved = s;
  moved.ctx = ctx;
  moved.plan = test_plan(ctx, &desc);
  moved.batch.workspace = buffer_new(ctx, rondo_plan_sizes(moved.plan)->workspace);
  if (rondo_plan_sizes(moved.plan)->params <= rondo_plan_sizes(s.plan)->params)
    expect_bad_params(&moved, s.batch.params);
  expect_untouched(&s);
}

const test_suite test_api_forward = {"ApiForward", TEST_ALL,
                                     (const test_row[]){{"lstm", lstm, TEST_TABLE(lstm_rows)},
                                                        {"gru", gru, TEST_TABLE(gru_rows)},
                                                        {"dense", dense, TEST_TABLE(dense_rows)},
                                                        {"dropout", dropout, TEST_TABLE(dropout_rows)},
                                                        {"masks_of_none", masks_of_none, NULL, 0},
                                                        {"host_arrays", host_arrays, TEST_TABLE(host_rows)},
                                                        {"arguments", arguments, NULL, 0},
                                                        {"strides_without_arrays", strides_without_arrays, NULL, 0},
                                                        {"another_context", another_context, NULL, 0},
                                                        {NULL, NULL, NULL, 0}}};

const test_suite test_api_params = {"ApiParams", TEST_CPU,
                                    (const test_row[]){{"params_not_packed", params_not_packed, NULL, 0},
                                                       {"params_of_another", params_of_another, NULL, 0},
                                                       {"params_of_another_type", params_of_another_type, NULL, 0},
                                                       {"another_isa", another_isa, NULL, 0},
                                                       {NULL, NULL, NULL, 0}}};
