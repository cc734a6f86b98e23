/* test_training.c - training on every backend: outputs and gradients with dropout and without, of plans that keep the
 * gates and of plans that make them again; and what the masks of dropout are. */
#include "compare.h"
#include "dense.h"
#include "dropout.h"
#include "philox.h"
#include "train.h"

#include <math.h>
#include <string.h>

static int is_reference(const rondo_context *ctx) {
  return rondo_context_backend(ctx) == RONDO_REFERENCE;
}

/* ---- Outputs and gradients --------------------------------------------------------------------------------------- */

/* The seed's masks are the test's own, so all backends draw the same. */
static void gradients(const void *name) {
  static const char *const what[] = {"kept", "recomputed"};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  train_call call[2];
  for (int recompute = 0; recompute < 2; recompute++) {
    if (!train(&call[recompute], ctx, data, recompute)) return;
    train_expect_outputs(what[recompute], &call[recompute], data);
    if (!is_reference(ctx)) train_expect_gradients(what[recompute], &call[recompute], data, NULL);
  }
  if (is_exact(ctx)) EXPECT(train_same(&call[0], &call[1]), "recomputed gates give other bits");
}

/* What is made again need not be kept. An RNN has no gates beside h, and with layer_norm a backend may make them again
 * in any case. One direction's gates at a time move to the workspace, so of two or more all memory is less, too. */
static void smaller_reserve(const void *unused) {
  (void)unused;
  static const char *const names[] = {"lstm:n8t16c8h32",
                                      "lstm:n8t16c8h32:h0:peephole:proj=16",
                                      "lstm:n8t16c8h32:norm",
                                      "lstm:n8t16c8h32l2",
                                      "lstm:n8t16c8h32:bi:dropout=0.5:rdropout=0.5",
                                      "gru:n8t16c8h32:bi=sum",
                                      "gru:n8t16c8h32l3:h0:before",
                                      "gru:n8t16c8h32:before",
                                      "gru:n8t16c8h32:norm",
                                      "rnn:n8t16c8h32:dropout=0.5",
                                      NULL};
  rondo_context *ctx = test_context();
  for (const char *const *name = names; ctx && *name; name++) {
    train_call kept, made;
    if (!train_set_up(&kept, ctx, test_data_named(*name), 0) || !train_set_up(&made, ctx, kept.setup.data, 1)) return;
    const rondo_sizes *without = rondo_plan_sizes(kept.setup.plan), *with = rondo_plan_sizes(made.setup.plan);
    size_t before = without->reserve, after = with->reserve;
    const problem *p = &kept.setup.data->problem;
    int equal = is_reference(ctx) || p->cell == RONDO_RNN || p->layer_norm;
    EXPECT(equal ? after <= before : after < before, "%s: %zu bytes with recompute, %zu without", *name, after, before);
    before += without->workspace, after += with->workspace;
    if (!equal && p->num_layers * problem_directions(p) > 1)
      EXPECT(after < before, "%s: %zu bytes in all with recompute, %zu without", *name, after, before);
    EXPECT(made.dparams_count == kept.dparams_count, "%s: params have other sizes", *name);
  }
}

/* ---- Masks given ------------------------------------------------------------------------------------------------- */

/* Given what would be drawn, nothing changes. The rates' factors are whole numbers, the same in double. */
static void given(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  train_call drawn, call;
  if (!train(&drawn, ctx, data, 0) || !train_set_up(&call, ctx, data, 0)) return;
  rondo_batch b = call.setup.batch;
  b.dropout_masks = buffer_upload(ctx, data->dropout_masks, dropout_count(&data->problem));
  if (!train_run(&call, &b)) return;
  EXPECT(train_same(&drawn, &call), "masks that are given differ from the same ones drawn");
}

/* Masks of any numbers, also below 0. */
static void any_masks(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named(name);
  size_t count = dropout_count(&data.problem);
  float *masks = test_memory(count * sizeof *masks);
  for (size_t i = 0; i < count; i++) masks[i] = 1.5f * problem_random(test_seed(), 30, i);
  data.dropout_masks = masks;
  train_call call;
  if (!train_set_up(&call, ctx, &data, 0)) return;
  rondo_batch b = call.setup.batch;
  b.dropout_masks = buffer_upload(ctx, masks, count);
  if (!train_run(&call, &b)) return;
  train_expect_outputs("any masks", &call, &data);
  if (!is_reference(ctx)) train_expect_gradients("any masks", &call, &data, masks);
}

/* Masks of ones drop nothing, whatever the rates. */
static void ones(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named(name);
  size_t count = dropout_count(&data.problem);
  float *masks = test_memory(count * sizeof *masks);
  for (size_t i = 0; i < count; i++) masks[i] = 1;
  train_call call;
  if (!train_set_up(&call, ctx, &data, 0)) return;
  rondo_batch b = call.setup.batch;
  b.dropout_masks = buffer_upload(ctx, masks, count);
  if (!train_run(&call, &b)) return;
  data.dropout_masks = NULL;
  data.problem.dropout = data.problem.recurrent_dropout = 0;
  train_expect_outputs("masks of ones", &call, &data);
  if (!is_reference(ctx)) train_expect_gradients("masks of ones", &call, &data, NULL);
}

/* ---- Masks drawn ------------------------------------------------------------------------------------------------- */

/* (n, n): ones on the diagonal, or zeros. */
static const float *diagonal(int n, float value) {
  float *matrix = test_memory((size_t)n * (size_t)n * sizeof *matrix);
  for (int j = 0; j < n; j++) matrix[j * n + j] = value;
  return matrix;
}

/* A linear RNN all of whose weights are 1 or 0, so that y is the factors themselves: x and h_0 are ones. */
static const struct seen_row {
  const char *name;
  int recurrent, between; /* which masks are seen; else those of x */
} seen_rows[] = {{"rnn:n8t1c64h64:nobias:h0:act=linear:dropout=0.3", 0, 0},
                 {"rnn:n8t1c64h64:nobias:h0:act=linear:rdropout=0.6", 1, 0},
                 {"rnn:n4t3c64h64l2:nobias:h0:act=linear:ldropout=0.1", 0, 1},
                 {NULL, 0, 0}};

/* Of count factors each is 0 with the rate's probability: the number of zeros is within five standard deviations. */
static void expect_share(const float *y, size_t count, double rate) {
  double zeros = 0;
  for (size_t i = 0; i < count; i++) zeros += y[i] == 0;
  EXPECT(fabs(zeros - (double)count * rate) <= 5 * sqrt((double)count * rate * (1 - rate)),
         "%g of %zu are dropped at the rate %g", zeros, count, rate);
}

/* y[i] is the factor, on the reference 1 / (1 - rate) in double, rounded. */
static void expect_factors(const rondo_context *ctx, const float *y, const float *factors, size_t count) {
  double unit = is_reference(ctx) ? 0x1p-23 : 0;
  for (size_t i = 0; i < count; i++)
    EXPECT(fabs((double)y[i] - (double)factors[i]) <= unit * (double)factors[i], "factor %zu is %.9g, not %.9g", i,
           (double)y[i], (double)factors[i]);
}

static void seen(const void *parameter) {
  const struct seen_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named(row->name);
  const problem *p = &data.problem;
  int h = p->hidden_size;
  float *array = test_memory((data.x_count + data.state_count) * sizeof *array);
  for (size_t i = 0; i < data.x_count + data.state_count; i++) array[i] = 1;
  data.x = array, data.h_0 = array + data.x_count;
  for (int i = 0; i < data.weights_count; i++) {
    data.weights[i].kernel = diagonal(h, !row->recurrent);
    data.weights[i].recurrent_kernel = diagonal(h, row->recurrent);
  }
  train_call call;
  if (!train(&call, ctx, &data, 0)) return;
  const float rates[] = {p->dropout, p->recurrent_dropout, p->layer_dropout};
  expect_share(call.outputs.y, data.y_count, (double)(row->between ? rates[2] : rates[row->recurrent]));
  if (!row->between) {
    expect_factors(ctx, call.outputs.y, data.dropout_masks, data.y_count);
    return;
  }
  size_t n_end = (size_t)p->batch, columns = (size_t)h; /* (T, N, H) was multiplied, y is (N, T, H) */
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++)
      expect_factors(ctx, call.outputs.y + problem_at(data.y_strides, n, t),
                     data.layer_masks + ((size_t)t * n_end + (size_t)n) * columns, columns);
}

/* The same seed gives the same bits, another one others; where nothing is dropped it does not matter. */
static void seeds(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  int drops = problem_trains(&data->problem);
  train_call first, same, other;
  if (!train(&first, ctx, data, 0) || !train(&same, ctx, data, 0) || !train_set_up(&other, ctx, data, 0)) return;
  EXPECT(train_same(&first, &same), "the same seed gives other bits");
  rondo_batch b = other.setup.batch;
  b.seed += UINT64_C(1) << 40; /* all of its bits count */
  if (!train_run(&other, &b)) return;
  EXPECT(train_same(&first, &other) == !drops, "another seed gives %s bits", drops ? "the same" : "other");
}

/* ---- Unlike directions ------------------------------------------------------------------------------------------- */

/* The second direction has rates of its own, and perhaps another cell; it makes do with the arrays of the first, which
 * are at least as large, as their beginnings. Rates whose factors are whole numbers: see given. */
static const struct unlike_row {
  const char *name, *problem;
  rondo_layer backward;
} unlike_rows[] = {
    {"other_rates",
     "lstm:n3t4c5h7:bi:h0:dropout=0.5:rdropout=0.75",
     {.hidden_size = 7, .dropout = 0.75f, .recurrent_dropout = 0.5f}},
    {"backward_alone",
     "lstm:n4t5c3h6l2:bi:len:h0",
     {.cell = RONDO_RNN, .hidden_size = 4, .dropout = 0.5f, .recurrent_dropout = 0.5f}},
    {"forward_alone",
     "lstm:n3t3c4h5l2:bi:mask=holes:h0:dropout=0.75:rdropout=0.5:ldropout=0.5",
     {.cell = RONDO_GRU, .hidden_size = 5}},
    {"shared_and_not",
     "lstm:n3t4c5h7l2:bi:h0:dropout=0.5",
     {.cell = RONDO_GRU, .hidden_size = 3, .reset_before = 1, .dropout = 0.5f, .recurrent_dropout = 0.75f}},
    {"sum", "gru:n4t5c3h6l2:bi=sum:before:len:h0:rdropout=0.5", {.cell = RONDO_RNN, .hidden_size = 6, .dropout = 0.5f}},
    {0}};

/* The masks of both directions as rondo_batch.dropout_masks has them; gives how many floats. to NULL: only that. */
static size_t unlike_masks(const problem_data *data, const rondo_layer *back, float *to) {
  static const int gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1};
  const problem *p = &data->problem;
  const struct {
    float dropout, recurrent;
    int gates, outputs;
  } sides[] = {{p->dropout, p->recurrent_dropout, problem_gates(p), problem_output_size(p)},
               {back->dropout, back->recurrent_dropout, gates[back->cell], back->hidden_size}};
  int width = p->merge == RONDO_CONCAT ? sides[0].outputs + sides[1].outputs : sides[0].outputs;
  size_t at = 0;
  for (int i = 0; i < 2 * p->num_layers; i++) {
    int layer = i / 2, d = i % 2, masks = sides[d].recurrent > 0 ? sides[d].gates : 1;
    size_t rows = (size_t)p->batch * (size_t)masks;
    size_t inputs = sides[d].dropout > 0 ? rows * (size_t)(layer ? width : p->input_size) : 0;
    size_t outputs = sides[d].recurrent > 0 ? rows * (size_t)sides[d].outputs : 0;
    if (to) dropout_fill(to + at, inputs, data->seed, rondo_philox_masks(layer, d, 0), sides[d].dropout);
    if (to) dropout_fill(to + at + inputs, outputs, data->seed, rondo_philox_masks(layer, d, 1), sides[d].recurrent);
    at += inputs + outputs;
  }
  return at;
}

static int set_up_unlike(train_call *c, rondo_context *ctx, const problem_data *data, const rondo_layer *back,
                         int recompute) {
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1, desc.recompute = recompute, desc.layer.backward_layer = back;
  return ctx && train_set_up_plan(c, ctx, data, &desc);
}

static void unlike(const void *parameter) {
  static const char *const what[] = {"kept", "recomputed"};
  const struct unlike_row *row = parameter;
  const rondo_layer *back = &row->backward;
  rondo_context *ctx = test_context(), *reference = test_reference();
  const problem_data *data = test_data_named(row->problem);
  size_t count = unlike_masks(data, back, NULL);
  float *masks = test_memory(count * sizeof *masks);
  unlike_masks(data, back, masks);
  train_call right, moved[TRAIN_MOVES];
  if (!set_up_unlike(&right, reference, data, back, 0) || !train_run(&right, &right.setup.batch)) return;
  for (int time = 0; time < TRAIN_MOVES; time++) {
    if (!set_up_unlike(&moved[time], reference, data, back, 0)) return;
    train_move(&moved[time], time);
    if (!train_run(&moved[time], &moved[time].setup.batch)) return;
  }
  for (int recompute = 0; recompute < 2; recompute++) {
    train_call drawn, given;
    if (!set_up_unlike(&drawn, ctx, data, back, recompute) || !train_run(&drawn, &drawn.setup.batch)) return;
    if (!set_up_unlike(&given, ctx, data, back, recompute)) return;
    given.setup.batch.dropout_masks = buffer_upload(ctx, masks, count);
    if (!train_run(&given, &given.setup.batch)) return;
    EXPECT(train_same(&drawn, &given), "%s: masks that are given differ from the same ones drawn", what[recompute]);
    if (!is_reference(ctx)) train_expect_near(what[recompute], &drawn, &right, moved);
  }
}

/* ---- Graphs ------------------------------------------------------------------------------------------------------ */

/* A forward call that draws masks, frozen: each launch draws those of its seed, and leaves what backward reads. */
static void graph(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  train_call called, launched;
  rondo_graph *graph = NULL;
  int recompute = data->problem.recompute;
  if (!train(&called, ctx, data, recompute) || !train_set_up(&launched, ctx, data, recompute)) return;
  const test_setup *s = &launched.setup;
  rondo_batch b = s->batch;
  if (!EXPECT_OK(rondo_graph_create(&graph, s->plan, ctx, &b))) return;
  b.seed++; /* the graph has its own */
  test_outputs none = test_download(s, &b);
  EXPECT(test_is_poison(none.y, s->y_count), "rondo_graph_create computed something");
  for (int i = 0; i < 2; i++) {
    poison_outputs(s);
    EXPECT_OK(rondo_graph_launch(graph, ctx));
    launched.outputs = test_download(s, &s->batch);
    if (train_backward(&launched, &s->batch)) EXPECT(train_same(&called, &launched), "launch %d gives other bits", i);
  }
  EXPECT_OK(rondo_synchronize(ctx));
  rondo_graph_destroy(graph);
}

/* ---- Without training -------------------------------------------------------------------------------------------- */

/* Plans that do not train take no notice of the rates. */
static void inference(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem), without;
  desc.training = 0;
  without = desc;
  without.layer.dropout = without.layer.recurrent_dropout = without.layer.layer_dropout = 0;
  test_setup with, plain;
  if (!test_set_up(&with, ctx, data, &desc) || !test_set_up(&plain, ctx, data, &without)) return;
  EXPECT(!memcmp(rondo_plan_sizes(with.plan), rondo_plan_sizes(plain.plan), sizeof(rondo_sizes)), "other sizes");
  test_outputs a = test_forward(&with, &with.batch), b = test_forward(&plain, &plain.batch);
  EXPECT(test_same_outputs(&with, &a, &b), "the rates change what a plan without training gives");
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static const char *const halved[] = {"lstm:n3t4c5h7:h0:dropout=0.5:rdropout=0.75",
                                     "lstm:n3t3c4h5l2:bi:len:h0:peephole:proj=3:dropout=0.75:rdropout=0.5:ldropout=0.5",
                                     "lstm:n3t4c5h7:norm:dropout=0.5",
                                     "gru:n3t4c5h7:bi=sum:mask=holes:h0:dropout=0.5:rdropout=0.5",
                                     "gru:n3t4c5h7l2:before:h0:rdropout=0.5",
                                     "rnn:n3t4c5h7:h0:dropout=0.5:rdropout=0.5",
                                     NULL};
static const char *const seeded[] = {"lstm:n3t4c5h7:h0", "lstm:n3t4c5h7:dropout=0.5", "gru:n3t4c5h7:h0:rdropout=0.5",
                                     "rnn:n3t4c5h7l2:ldropout=0.5", NULL};

static const char *const frozen[] = {
    "gru:n5t4c5h7l2:len:h0:dropout=0.3:rdropout=0.4:ldropout=0.2",
    "gru:n5t4c5h7l2:len:h0:dropout=0.3:rdropout=0.4:ldropout=0.2:recompute",
    "lstm:n5t4c5h7l2:bi:mask=holes:h0:slots:restart:dropout=0.3:ldropout=0.2:recompute",
    "rnn:n3t4c5h8:time:rdropout=0.4", NULL};

const test_suite test_training = {"Training", TEST_ALL | TEST_HOISTED,
                                  (const test_row[]){{"gradients", gradients, TEST_TABLE(problem_training_table)},
                                                     {"smaller_reserve", smaller_reserve, NULL, 0},
                                                     {"given", given, TEST_TABLE(halved)},
                                                     {"any_masks", any_masks, TEST_TABLE(halved)},
                                                     {"ones", ones, TEST_TABLE(halved)},
                                                     {"seen", seen, TEST_TABLE(seen_rows)},
                                                     {"seeds", seeds, TEST_TABLE(seeded)},
                                                     {"unlike", unlike, TEST_TABLE(unlike_rows)},
                                                     {"graph", graph, TEST_TABLE(frozen)},
                                                     {"inference", inference, TEST_TABLE(halved)},
                                                     {NULL, NULL, NULL, 0}}};
