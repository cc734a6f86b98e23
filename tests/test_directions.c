/* test_directions.c - a bidirectional layer is two layers, one that goes backwards reads the reversed sequence. Bits of
 * other calls, so not on CUDA, whose results have their bounds; but backward_layer, which no problem string can say. */
#include "dense.h"
#include "dropout.h"

#include <string.h>

/* ---- Two layers as one ------------------------------------------------------------------------------------------- */

/* One direction of a layer as a problem of its own. Shares the arrays. */
static problem_data direction_alone(const problem_data *data, int direction) {
  problem p = data->problem;
  problem_data alone;
  p.bidirectional = 0, p.merge = RONDO_CONCAT;
  p.go_backwards = data->problem.go_backwards != direction;
  p.time_order = p.go_backwards && (direction || p.time_order);
  problem_layout(&alone, &p);
  size_t rows = (size_t)(data->slot_count ? data->slot_count : p.batch);
  size_t before = (size_t)direction * rows * data->state_stride;
  alone.x = data->x;
  if (data->h_0) alone.h_0 = data->h_0 + before;
  if (data->c_0) alone.c_0 = data->c_0 + before;
  alone.lengths = data->lengths, alone.mask = data->mask, alone.slots = data->slots, alone.restart = data->restart;
  alone.weights[0] = data->weights[direction];
  alone.weights[0].direction = 0;
  alone.weights_count = 1;
  return alone;
}

/* The half of a row (N, T, 2*O) against a row (N, T, O); turned: in the opposite order of time. */
static void expect_same_half(const problem_data *data, int half, const dense *both, const dense *one, int turned) {
  const problem *p = &data->problem;
  size_t columns = (size_t)one->columns;
  for (int n = 0; n < p->batch; n++) {
    for (int t = 0; t < p->timesteps; t++) {
      size_t row = (size_t)(n * p->timesteps + t);
      size_t other = (size_t)(n * p->timesteps + (turned ? p->timesteps - 1 - t : t));
      EXPECT(test_same_bits(both->y + (2 * row + (size_t)half) * columns, one->y + other * columns, columns),
             "y of direction %d, sequence %d, row %d, is not that of the layer alone", half, n, t);
    }
    EXPECT(test_same_bits(both->y_last + (2 * (size_t)n + (size_t)half) * columns, one->y_last + (size_t)n * columns,
                          columns),
           "y_last of direction %d, sequence %d, is not that of the layer alone", half, n);
  }
}

static void bidirectional_is_both(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  const problem *p = &s.data->problem;
  test_outputs out = test_forward(&s, &s.batch);
  dense both = dense_of(s.data, &out);
  for (int d = 0; d < 2; d++) {
    problem_data alone = direction_alone(s.data, d);
    test_setup one;
    if (!test_set_up(&one, s.ctx, &alone, NULL)) return;
    test_outputs half = test_forward(&one, &one.batch);
    dense got = dense_of(&alone, &half);
    /* With go_backwards the second direction goes forwards, and its y is turned to lie beside the first one's. */
    expect_same_half(s.data, d, &both, &got, d && p->go_backwards && !p->time_order);
    EXPECT(test_same_bits(both.h_n + (size_t)d * got.h_count, got.h_n, got.h_count), "h_n of direction %d differs", d);
    if (got.c_n)
      EXPECT(test_same_bits(both.c_n + (size_t)d * got.c_count, got.c_n, got.c_count), "c_n of direction %d differs",
             d);
  }
}

/* ---- Backwards --------------------------------------------------------------------------------------------------- */

/* The same layer, forwards, on the reversed sequences. */
static problem_data reversed(const problem_data *data) {
  problem_data turned = *data; /* shares what is not turned */
  problem *p = &turned.problem;
  int steps = p->timesteps;
  p->go_backwards = p->time_order = 0;
  turned.x = test_memory(data->x_count * sizeof(float));
  turned.lengths = NULL;
  if (data->mask || data->lengths) turned.mask = test_memory((size_t)p->batch * (size_t)steps);
  for (int i = 0; i < p->batch * steps; i++) {
    int n = i / steps, t = i % steps, from = steps - 1 - t;
    memcpy(turned.x + problem_at(data->x_strides, n, t), data->x + problem_at(data->x_strides, n, from),
           (size_t)p->input_size * sizeof(float));
    if (turned.mask) turned.mask[i] = (uint8_t)problem_is_real(data, n, from);
  }
  return turned;
}

static void backwards_is_reversed(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  test_outputs back = test_forward(&s, &s.batch);
  problem_data turned = reversed(s.data);
  if (!test_set_up(&other, s.ctx, &turned, NULL)) return;
  test_outputs forward = test_forward(&other, &other.batch);
  judge("the reversed sequence", &s, &turned, &forward, &back);
}

/* time_order turns y, and nothing else. */
static void time_order_turns_y(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  problem_data ordered = *s.data;
  ordered.problem.time_order = 1;
  if (!test_set_up(&other, s.ctx, &ordered, NULL)) return;
  test_outputs as_processed = test_forward(&s, &s.batch), in_time = test_forward(&other, &other.batch);
  dense a = dense_of(s.data, &as_processed), b = dense_of(&ordered, &in_time);
  size_t row = (size_t)a.columns;
  int steps = ordered.problem.timesteps;
  for (int i = 0; i < ordered.problem.batch * steps; i++) {
    size_t turned = (size_t)(i / steps * steps + steps - 1 - i % steps);
    EXPECT(test_same_bits(a.y + (size_t)i * row, b.y + turned * row, row), "row %d of y is not turned", i);
  }
  a.y = b.y = NULL;
  dense_expect_same("time order", &a, &b);
}

/* ---- backward_layer ---------------------------------------------------------------------------------------------- */

/* Two layers side by side: one reads forwards, the other, time_order, backwards. */
static const struct pair_row {
  const char *name, *forward, *backward;
} pairs[] = {
    {"gru_for_lstm", "lstm:n3t5c7h9:h0", "gru:n3t5c7h9:back:timeorder:h0"},
    {"lstm_for_gru", "gru:n3t5c7h9:before:nobias:h0", "lstm:n3t5c7h9:back:timeorder:h0:act=relu:peephole"},
    {"rnn_for_gru", "gru:n3t5c7h9:h0", "rnn:n3t5c7h9:back:timeorder:h0:act=softsign"},
    {"projection", "rnn:n3t5c7h5:h0", "lstm:n3t5c7h9:back:timeorder:h0:proj=5"},
    {"wider", "lstm:n3t5c7h4:h0", "gru:n3t5c7h11:back:timeorder:before:h0"},
    {"narrower", "lstm:n3t5c7h9:h0:norm", "rnn:n3t5c7h3:back:timeorder"},
    {"other_options", "lstm:n3t5c7h9:h0:norm", "lstm:n3t5c7h9:back:timeorder:nobias:h0:cifg:zoneout=0.2"},
    {"dropout", "lstm:n3t5c7h9:h0:dropout=0.5", "gru:n3t5c7h6:back:timeorder:h0:dropout=0.2:rdropout=0.3"},
    {"masks_of_h", "gru:n3t5c7h5:before:h0:rdropout=0.4", "rnn:n3t5c7h9:back:timeorder:h0:dropout=0.3"},
    {NULL, NULL, NULL},
};

enum { PAIR_STRIDE = 16 }; /* of both layers' states: more than any needs */

/* Both states of h or c, (2, N), in rows of PAIR_STRIDE. */
static float *pair_state(const problem_data *const data[2], int is_c) {
  int batch = data[0]->problem.batch;
  float *both = test_memory((size_t)(2 * batch * PAIR_STRIDE) * sizeof *both);
  for (int i = 0; i < 2 * batch; i++) {
    const problem_data *d = data[i / batch];
    const float *from = is_c ? d->c_0 : d->h_0;
    int count = is_c ? d->problem.hidden_size : problem_output_size(&d->problem);
    if (from) memcpy(both + i * PAIR_STRIDE, from + problem_state_at(d, 0, 0, i % batch), (size_t)count * sizeof *both);
  }
  return both;
}

/* The outputs of direction d as if its layer were alone, in the layout of data. width: of a row, both halves. */
static test_outputs half_of(const problem_data *data, int d, size_t width, const test_outputs *both) {
  const problem *p = &data->problem;
  size_t output = (size_t)problem_output_size(p), row = output * sizeof(float), before = d ? width - output : 0;
  test_outputs out = {test_memory(data->y_count * sizeof(float)), test_memory(data->y_last_count * sizeof(float)),
                      test_memory(data->state_count * sizeof(float)), NULL};
  if (problem_has_cell_state(p)) out.c_n = test_memory(data->state_count * sizeof(float));
  for (int n = 0; n < p->batch; n++) {
    for (int t = 0; t < p->timesteps; t++)
      memcpy(out.y + problem_at(data->y_strides, n, t), both->y + (size_t)(n * p->timesteps + t) * width + before, row);
    memcpy(out.y_last + (size_t)n * data->y_last_stride, both->y_last + (size_t)n * width + before, row);
    size_t at = problem_state_at(data, 0, 0, n), from = (size_t)(d * p->batch + n) * PAIR_STRIDE;
    memcpy(out.h_n + at, both->h_n + from, row);
    if (out.c_n) memcpy(out.c_n + at, both->c_n + from, (size_t)p->hidden_size * sizeof(float));
  }
  return out;
}

static rondo_plan *pair_plan(rondo_context *ctx, const problem_data *const data[2]) {
  rondo_plan_desc desc = problem_plan_desc(&data[0]->problem), back = problem_plan_desc(&data[1]->problem);
  desc.layer.bidirectional = 1;
  desc.layer.backward_layer = &back.layer;
  rondo_plan *plan = test_plan(ctx, &desc);
  memset(&back, 0x5a, sizeof back); /* read at creation only */
  return plan;
}

/* The masks that each draws alone, after each other; with dropout both have some. */
static const float *pair_masks(rondo_context *ctx, const problem_data *const data[2]) {
  size_t first = dropout_count(&data[0]->problem), second = dropout_count(&data[1]->problem);
  if (!first) return NULL;
  float *both = test_memory((first + second) * sizeof *both);
  memcpy(both, data[0]->dropout_masks, first * sizeof *both);
  memcpy(both + first, data[1]->dropout_masks, second * sizeof *both);
  return buffer_upload(ctx, both, first + second);
}

/* One call of both, dense but for the states. */
static int run_pair(rondo_context *ctx, const rondo_plan *plan, const problem_data *const data[2], size_t width,
                    test_outputs *out) {
  const problem *p = &data[0]->problem;
  int has_c = problem_has_cell_state(p) || problem_has_cell_state(&data[1]->problem);
  size_t last = (size_t)p->batch * width, states = 2 * (size_t)p->batch * PAIR_STRIDE;
  size_t all = last * (size_t)p->timesteps;
  void *params = buffer_new(ctx, rondo_plan_sizes(plan)->params);
  rondo_batch b = {.batch = p->batch, .timesteps = p->timesteps, .params = params, .state_stride = PAIR_STRIDE};
  for (int d = 0; d < 2; d++) {
    rondo_weights weights = data[d]->weights[0];
    weights.direction = d;
    if (!EXPECT_OK(rondo_pack(plan, ctx, params, &weights))) return 0;
  }
  b.workspace = buffer_new(ctx, rondo_plan_sizes(plan)->workspace);
  b.reserve = buffer_new(ctx, rondo_plan_sizes(plan)->reserve);
  b.dropout_masks = pair_masks(ctx, data);
  b.x = buffer_upload(ctx, data[0]->x, data[0]->x_count);
  b.h_0 = buffer_upload(ctx, pair_state(data, 0), states);
  b.c_0 = has_c ? buffer_upload(ctx, pair_state(data, 1), states) : NULL;
  b.y = buffer_output(ctx, all), b.y_last = buffer_output(ctx, last);
  b.h_n = buffer_output(ctx, states), b.c_n = has_c ? buffer_output(ctx, states) : NULL;
  if (!EXPECT_OK(rondo_forward(plan, ctx, &b))) return 0;
  out->y = buffer_download(ctx, NULL, b.y, all), out->y_last = buffer_download(ctx, NULL, b.y_last, last);
  out->h_n = buffer_download(ctx, NULL, b.h_n, states);
  if (has_c) out->c_n = buffer_download(ctx, NULL, b.c_n, states);
  return 1;
}

/* A forward and a backward layer in one plan do what each does alone. */
static void backward_layer(const void *parameter) {
  const struct pair_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data second = *test_data_named(row->backward);
  const problem_data *const data[2] = {test_data_named(row->forward), &second};
  test_outputs both = {0};
  second.x = data[0]->x;
  rondo_plan *plan = pair_plan(ctx, data);
  size_t width = (size_t)problem_output_size(&data[0]->problem) + (size_t)problem_output_size(&second.problem);
  if (!plan || !run_pair(ctx, plan, data, width, &both)) return;
  for (int d = 0; d < 2; d++) {
    test_setup one;
    if (!test_set_up(&one, ctx, data[d], NULL)) return;
    one.batch.dropout_masks = buffer_upload(ctx, data[d]->dropout_masks, dropout_count(&data[d]->problem));
    test_outputs alone = test_forward(&one, &one.batch), half = half_of(data[d], d, width, &both);
    judge(d ? "the backward layer" : "the forward layer", &one, data[d], &half, &alone);
  }
}

static const char *const both_ways[] = {"lstm:n3t5c7h9:bi:h0",
                                        "lstm:n3t5c7h9:bi:back:h0",
                                        "lstm:n3t5c7h9:bi:back:timeorder:time:strided:h0",
                                        "lstm:n5t6c7h9:bi:len:zero:h0:slots:restart",
                                        "lstm:n3t5c7h9:bi=separate:time:strided:h0:peephole:norm:proj=5",
                                        "gru:n4t5c6h11:bi=separate:back:mask=holes:zero:h0",
                                        "gru:n2t40c6h33:bi:before:h0",
                                        "rnn:n6t5c3h17:bi:mask=left:zero:act=elu",
                                        NULL};
static const char *const backwards[] = {"lstm:n3t5c7h9:back",
                                        "lstm:n5t6c7h9:back:strided:len:h0",
                                        "lstm:n5t6c7h9:back:time:mask=holes:zero:h0:proj=4",
                                        "gru:n4t5c6h11:back:mask=left:h0",
                                        "gru:n1t65c3h5:back:before",
                                        "rnn:n6t5c3h17:back:len:h0",
                                        NULL};
static const char *const turning[] = {"lstm:n3t5c7h9:back:h0", "lstm:n5t6c7h9:back:time:strided:len:h0",
                                      "gru:n4t5c6h11:bi:back:mask=holes:h0", "rnn:n6t5c3h17:back:len:h0:head=3", NULL};

const test_suite test_directions = {
    "Directions", TEST_REFERENCE | TEST_CPU,
    (const test_row[]){{"bidirectional_is_both", bidirectional_is_both, TEST_TABLE(both_ways)},
                       {"backwards_is_reversed", backwards_is_reversed, TEST_TABLE(backwards)},
                       {"time_order_turns_y", time_order_turns_y, TEST_TABLE(turning)},
                       {NULL, NULL, NULL, 0}}};

const test_suite test_backward_layer = {
    "BackwardLayer", TEST_ALL | TEST_HOISTED,
    (const test_row[]){{"backward_layer", backward_layer, TEST_TABLE(pairs)}, {NULL, NULL, NULL, 0}}};
