/* test_api_plan.c - misuse of rondo_plan_create: the status, a sentence that names the field and its value, no plan;
 * and what a plan says of itself. */
#include "misuse.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#define P(field) OF(rondo_plan_desc, field)
#define INVALID RONDO_INVALID_ARGUMENT

/* Each table is of one good layer; these of an LSTM. */
static const misuse lstm_rows[] = {
    {"cell", P(layer.cell), SET, 4, INVALID, "cell 4"},
    {"cell_negative", P(layer.cell), SET, -1, INVALID, "cell -1"},
    {"input_size", P(layer.input_size), SET, 0, INVALID, "input_size 0"},
    {"input_size_negative", P(layer.input_size), SET, -8, INVALID, "input_size -8"},
    {"hidden_size", P(layer.hidden_size), SET, 0, INVALID, "hidden_size 0"},
    {"hidden_size_smallest", P(layer.hidden_size), SET, INT_MIN, INVALID, "hidden_size -2147483648"},
    {"num_layers", P(layer.num_layers), SET, -1, INVALID, "num_layers -1"},
    {"reset_before", P(layer.reset_before), SET, 1, INVALID, "reset_before 1 is not for RONDO_LSTM"},
    {"activation", P(layer.activation.kind), SET, RONDO_SOFTMAX + 1, INVALID, "activation 31"},
    {"activation_negative", P(layer.activation.kind), SET, -1, INVALID, "activation -1"},
    {"activation_softmax", P(layer.activation.kind), SET, RONDO_SOFTMAX, INVALID, "activation RONDO_SOFTMAX"},
    {"activation_alpha", P(layer.activation.alpha), SET_NAN, 0, INVALID, "of activation"},
    {"activation_beta", P(layer.activation.beta), SET_INFINITE, 0, INVALID, "beta inf of activation"},
    {"recurrent_activation", P(layer.recurrent_activation.kind), SET, -1, INVALID, "recurrent_activation -1"},
    {"recurrent_softmax", P(layer.recurrent_activation.kind), SET, RONDO_SOFTMAX, INVALID,
     "recurrent_activation RONDO_SOFTMAX"},
    {"recurrent_alpha", P(layer.recurrent_activation.alpha), SET_NAN, 0, INVALID, "of recurrent_activation"},
    {"output_activation", P(layer.output_activation.kind), SET, 99, INVALID, "output_activation 99"},
    {"output_softmax", P(layer.output_activation.kind), SET, RONDO_SOFTMAX, INVALID, "output_activation RONDO_SOFTMAX"},
    {"output_beta", P(layer.output_activation.beta), SET_NAN, 0, INVALID, "of output_activation"},
    {"dropout_all", P(layer.dropout), SET_FLOAT, 1, INVALID, "dropout 1 "},
    {"dropout_negative", P(layer.dropout), SET_FLOAT, -1, INVALID, "dropout -1"},
    {"dropout_nan", P(layer.dropout), SET_NAN, 0, INVALID, "dropout nan"},
    {"recurrent_dropout_all", P(layer.recurrent_dropout), SET_FLOAT, 1, INVALID, "recurrent_dropout 1 "},
    {"recurrent_dropout_negative", P(layer.recurrent_dropout), SET_FLOAT, -1, INVALID, "recurrent_dropout -1"},
    {"recurrent_dropout_nan", P(layer.recurrent_dropout), SET_NAN, 0, INVALID, "recurrent_dropout nan"},
    {"layer_dropout_all", P(layer.layer_dropout), SET_FLOAT, 1, INVALID, "layer_dropout 1 "},
    {"layer_dropout_negative", P(layer.layer_dropout), SET_FLOAT, -1, INVALID, "layer_dropout -1"},
    {"layer_dropout_nan", P(layer.layer_dropout), SET_NAN, 0, INVALID, "layer_dropout nan"},
    {"backward_layer", P(layer.backward_layer), SET, 64, INVALID, "backward_layer"},
    {"projection_size", P(layer.projection_size), SET, -1, INVALID, "projection_size -1"},
    {"projection_size_large", P(layer.projection_size), SET, 5, INVALID, "projection_size 5 is not in 0..4"},
    {"cell_clip", P(layer.cell_clip), SET_FLOAT, -1, INVALID, "cell_clip -1"},
    {"cell_clip_nan", P(layer.cell_clip), SET_NAN, 0, INVALID, "cell_clip nan"},
    {"cell_clip_infinite", P(layer.cell_clip), SET_INFINITE, 0, INVALID, "cell_clip inf"},
    {"clip", P(layer.clip), SET_FLOAT, -2, INVALID, "clip -2"},
    {"clip_nan", P(layer.clip), SET_NAN, 0, INVALID, "clip nan"},
    {"clip_infinite", P(layer.clip), SET_INFINITE, 0, INVALID, "clip inf"},
    {"zoneout", P(layer.zoneout), SET_FLOAT, 1, INVALID, "zoneout 1 "},
    {"zoneout_negative", P(layer.zoneout), SET_FLOAT, -1, INVALID, "zoneout -1"},
    {"zoneout_nan", P(layer.zoneout), SET_NAN, 0, INVALID, "zoneout nan"},
    {"zoneout_cell", P(layer.zoneout_cell), SET_FLOAT, 2, INVALID, "zoneout_cell 2"},
    {"zoneout_cell_nan", P(layer.zoneout_cell), SET_NAN, 0, INVALID, "zoneout_cell nan"},
    {"head_units", P(layer.head_units), SET, -1, INVALID, "head_units -1"},
    {"max_batch", P(max_batch), SET, 0, INVALID, "max_batch 0"},
    {"max_batch_negative", P(max_batch), SET, -1, INVALID, "max_batch -1"},
    {"max_timesteps", P(max_timesteps), SET, 0, INVALID, "max_timesteps 0"},
    {"max_timesteps_negative", P(max_timesteps), SET, INT_MIN, INVALID, "max_timesteps -2147483648"},
    {"layout", P(layout), SET, 2, INVALID, "layout 2"},
    {"layout_negative", P(layout), SET, -1, INVALID, "layout -1"},
    {"weights", P(weights), SET, 4, INVALID, "weights 4"},
    {"weights_negative", P(weights), SET, -1, INVALID, "weights -1"},
    {"recompute", P(recompute), SET, 1, INVALID, "recompute is 1, but training is 0"},
    {"recompute_negative", P(recompute), SET, -1, INVALID, "recompute is -1"},
    {"algorithm", P(algorithm), SET, 4, INVALID, "algorithm 4"},
    {"algorithm_persistent", P(algorithm), SET, RONDO_PERSISTENT, RONDO_UNSUPPORTED, "algorithm"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of an LSTM that trains. */
static const misuse training_rows[] = {
    {"weights_f16", P(weights), SET, RONDO_F16, RONDO_UNSUPPORTED, "weights RONDO_F16 with training 1"},
    {"weights_bf16", P(weights), SET, RONDO_BF16, RONDO_UNSUPPORTED, "weights RONDO_BF16 with training 1"},
    {"weights_int8", P(weights), SET, RONDO_INT8, RONDO_UNSUPPORTED, "weights RONDO_INT8 with training 1"},
    {"weights", P(weights), SET, 4, INVALID, "weights 4"},
    {"dropout", P(layer.dropout), SET_FLOAT, 1, INVALID, "dropout 1 "},
    {"recurrent_dropout", P(layer.recurrent_dropout), SET_FLOAT, -1, INVALID, "recurrent_dropout -1"},
    {"layer_dropout", P(layer.layer_dropout), SET_INFINITE, 0, INVALID, "layer_dropout inf"},
    {"max_batch", P(max_batch), SET, 0, INVALID, "max_batch 0"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* What only an LSTM has, which the other cells refuse. */
#define LSTM_ALONE(cell)                                                                                               \
  {"peephole", P(layer.peephole), SET, 1, INVALID, "peephole 1 is not for " cell},                                     \
      {"projection_size", P(layer.projection_size), SET, 2, INVALID, "projection_size 2 is not for " cell},            \
      {"input_forget", P(layer.input_forget), SET, 1, INVALID, "input_forget 1 is not for " cell},                     \
      {"cell_clip", P(layer.cell_clip), SET_HALF, 0, INVALID, "cell_clip 0.5 is not for " cell},                       \
      {"zoneout_cell", P(layer.zoneout_cell), SET_HALF, 0, INVALID, "zoneout_cell 0.5 is not for " cell}, {            \
    "output_activation", P(layer.output_activation.kind), SET, RONDO_RELU, INVALID,                                    \
        "output_activation 4 is not for " cell                                                                         \
  }

/* Of a GRU that resets before its product. */
static const misuse gru_rows[] = {
    LSTM_ALONE("RONDO_GRU"),
    {"layer_norm", P(layer.layer_norm), SET, 1, RONDO_UNSUPPORTED, "layer_norm with reset_before"},
    {"recurrent_activation", P(layer.recurrent_activation.kind), SET, RONDO_SOFTMAX, INVALID,
     "recurrent_activation RONDO_SOFTMAX"},
    {"zoneout", P(layer.zoneout), SET_FLOAT, 1, INVALID, "zoneout 1 "},
    {"clip", P(layer.clip), SET_NAN, 0, INVALID, "clip nan"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static const misuse rnn_rows[] = {
    LSTM_ALONE("RONDO_RNN"),
    {"reset_before", P(layer.reset_before), SET, 1, INVALID, "reset_before 1 is not for RONDO_RNN"},
    {"layer_norm", P(layer.layer_norm), SET, 1, INVALID, "layer_norm 1 is not for RONDO_RNN"},
    {"recurrent_activation", P(layer.recurrent_activation.kind), SET, 1, INVALID, "recurrent_activation 1 is not for"},
    {"activation", P(layer.activation.kind), SET, RONDO_SOFTMAX, INVALID, "activation RONDO_SOFTMAX"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static const misuse dense_rows[] = {
    LSTM_ALONE("RONDO_DENSE"),
    {"bidirectional", P(layer.bidirectional), SET, 1, INVALID, "bidirectional 1 is not for RONDO_DENSE"},
    {"go_backwards", P(layer.go_backwards), SET, 1, INVALID, "go_backwards 1 is not for RONDO_DENSE"},
    {"num_layers", P(layer.num_layers), SET, 2, INVALID, "num_layers"},
    {"head_units", P(layer.head_units), SET, 2, INVALID, "head_units 2 is not for RONDO_DENSE"},
    {"zoneout", P(layer.zoneout), SET_HALF, 0, INVALID, "zoneout 0.5 is not for RONDO_DENSE"},
    {"clip", P(layer.clip), SET_HALF, 0, INVALID, "clip 0.5 is not for RONDO_DENSE"},
    {"layer_norm", P(layer.layer_norm), SET, 1, INVALID, "layer_norm 1 is not for RONDO_DENSE"},
    {"dropout", P(layer.dropout), SET_HALF, 0, INVALID, "dropout 0.5 is not for RONDO_DENSE"},
    {"recurrent_dropout", P(layer.recurrent_dropout), SET_HALF, 0, INVALID, "recurrent_dropout 0.5 is not for"},
    {"layer_dropout", P(layer.layer_dropout), SET_HALF, 0, INVALID, "layer_dropout 0.5 is not for RONDO_DENSE"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of two layers both ways with a head. */
static const misuse stack_rows[] = {
    {"merge", P(layer.merge), SET, 5, INVALID, "merge 5"},
    {"merge_negative", P(layer.merge), SET, -1, INVALID, "merge -1"},
    {"merge_separate", P(layer.merge), SET, RONDO_SEPARATE, RONDO_UNSUPPORTED, "RONDO_SEPARATE"},
    {"head_activation", P(layer.head_activation.kind), SET, RONDO_SOFTMAX + 1, INVALID, "head_activation 31"},
    {"head_activation_alpha", P(layer.head_activation.alpha), SET_NAN, 0, INVALID, "head_activation"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static rondo_plan *const not_a_plan = (rondo_plan *)(uintptr_t)64; /* a failure must replace it */

/* One field of the layer's description is changed. */
static void refuse_desc(rondo_layer layer, int training, const void *row) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan *plan = not_a_plan;
  layer.input_size = 3, layer.hidden_size = 4;
  rondo_plan_desc desc = {.layer = layer, .max_batch = 2, .max_timesteps = 5, .training = training};
  if (!test_plan(ctx, &desc)) return;
  apply_misuse(row, &desc);
  expect_misuse(row, rondo_plan_create(&plan, ctx, &desc), "rondo_plan_create:");
  EXPECT(!plan, "a failure left *plan as it was");
}

static void refuse(rondo_layer layer, const void *row) {
  refuse_desc(layer, 0, row);
}

static void training(const void *row) {
  refuse_desc((rondo_layer){.cell = RONDO_LSTM}, 1, row);
}

static void lstm(const void *row) {
  refuse((rondo_layer){.cell = RONDO_LSTM}, row);
}

static void gru(const void *row) {
  refuse((rondo_layer){.cell = RONDO_GRU, .reset_before = 1}, row);
}

static void rnn(const void *row) {
  refuse((rondo_layer){.cell = RONDO_RNN}, row);
}

static void dense(const void *row) {
  refuse((rondo_layer){.cell = RONDO_DENSE}, row);
}

static void stack(const void *row) {
  refuse((rondo_layer){.cell = RONDO_LSTM, .num_layers = 2, .bidirectional = 1, .head_units = 3}, row);
}

/* A backward layer is checked like the forward one, and must be as wide. */
static void backward_layer(const void *unused) {
  (void)unused;
  static const struct {
    rondo_layer layer;
    const char *words;
  } rows[] = {
      {{.hidden_size = 5}, "backward_layer's output has 5 columns, the forward layer's 4"},
      {{.hidden_size = 9, .projection_size = 3}, "has 3 columns"},
      {{.hidden_size = INT_MAX}, "hidden_size 2147483647"},
      {{.hidden_size = 0}, "hidden_size 0"},
      {{.cell = RONDO_DENSE, .hidden_size = 4}, "RONDO_DENSE"},
      {{.cell = (rondo_cell)9, .hidden_size = 4}, "cell 9"},
      {{.cell = RONDO_GRU, .hidden_size = 4, .peephole = 1}, "peephole 1 is not for RONDO_GRU"},
      {{.hidden_size = 4, .activation = {.kind = RONDO_SOFTMAX}}, "activation RONDO_SOFTMAX"},
      {{.hidden_size = 4, .activation = {RONDO_CELU, -1, 0}}, "alpha -1 of activation is not above 0"},
      {{.hidden_size = 4, .recurrent_activation = {RONDO_SQUAREPLUS, 0, 1}}, "alpha 0 of recurrent_activation"},
      {{.hidden_size = 4, .output_activation = {RONDO_SOFT_SHRINK, -1, 0}}, "alpha -1 of output_activation"},
      {{.hidden_size = 4, .activation = {RONDO_HARD_SHRINK, -1, 0}}, "alpha -1 of activation is not above 0"},
      {{.hidden_size = 4, .zoneout = NAN}, "zoneout nan"},
      {{.hidden_size = 4, .dropout = NAN}, "dropout nan"},
      {{.hidden_size = 4, .recurrent_dropout = 1}, "recurrent_dropout 1"},
  };
  rondo_context *ctx = test_context();
  for (size_t i = 0; ctx && i < sizeof rows / sizeof *rows; i++) {
    rondo_plan *plan = not_a_plan;
    rondo_plan_desc desc = {.layer = {.input_size = 3, .hidden_size = 4, .bidirectional = 1, .merge = RONDO_SUM}};
    desc.max_batch = desc.max_timesteps = 2;
    desc.layer.backward_layer = &rows[i].layer;
    rondo_status status = rows[i].layer.hidden_size == INT_MAX ? RONDO_UNSUPPORTED : INVALID;
    expect_refusal(status, rondo_plan_create(&plan, ctx, &desc), "rondo_plan_create:", rows[i].words);
    EXPECT(!plan, "a failure left *plan as it was");
  }
}

static void plan_arguments(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan_desc zeros = {0},
                  good = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 2, .max_timesteps = 5};
  rondo_plan *plan = not_a_plan;
  const char *who = "rondo_plan_create:";
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(NULL, ctx, &good), who, "plan is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, NULL, &good), who, "ctx is NULL");
  EXPECT(!plan, "a failure left *plan as it was");
  plan = not_a_plan;
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, NULL), who, "desc is NULL");
  EXPECT(!plan, "a failure left *plan as it was");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, &zeros), who, "max_batch 0");
}

enum { LARGEST_HIDDEN = INT_MAX / 8 };

/* Sizes whose products do not fit size_t are refused, wherever the product arises. {C, H, L, N, T} */
static const struct huge_row {
  const char *name;
  int c, h, l, n, t;
} huge[] = {{"everything", INT_MAX, LARGEST_HIDDEN, INT_MAX, INT_MAX, INT_MAX},
            {"weights", 1, LARGEST_HIDDEN, 8, 1, 1},
            {"kernel", INT_MAX, LARGEST_HIDDEN, 1, 1, 1},
            {"layers", 1, 1 << 20, INT_MAX, 1, 1},
            {"x", 1 << 21, 1, 1, 1 << 21, 1 << 21},
            {"x_rows", 8, 1, 1, INT_MAX, INT_MAX},
            {"y", 1, 1 << 16, 1, 1 << 24, 1 << 22},
            {"state", 1, 1 << 11, 1 << 20, INT_MAX, 1},
            {NULL, 0, 0, 0, 0, 0}};

static void plan_too_large(const void *parameter) {
  const struct huge_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan *plan = not_a_plan;
  rondo_plan_desc desc = {.layer = {.input_size = row->c, .hidden_size = row->h, .num_layers = row->l},
                          .max_batch = row->n,
                          .max_timesteps = row->t};
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, &desc), "rondo_plan_create:", "does not fit");
  EXPECT(!plan, "a failure left *plan as it was");
}

static void hidden_size_too_large(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan *plan = not_a_plan;
  rondo_plan_desc desc = {.layer = {.input_size = 1, .hidden_size = LARGEST_HIDDEN + 1}};
  desc.max_batch = desc.max_timesteps = 1;
  expect_refusal(RONDO_UNSUPPORTED, rondo_plan_create(&plan, ctx, &desc),
                 "rondo_plan_create:", "hidden_size 268435456");
  EXPECT(!plan, "a failure left *plan as it was");
}

/* What a plan says of itself. num_layers 0 and 1 are the same; naming the default activations changes nothing. */
static void plan_says(const void *unused) {
  (void)unused;
  static const char *const names[] = {"", "cpu/", "cuda/", "reference/"};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan_desc desc = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 2, .max_timesteps = 5};
  rondo_plan *zero = test_plan(ctx, &desc);
  desc.layer.num_layers = 1;
  desc.layer.activation.kind = RONDO_TANH, desc.layer.recurrent_activation.kind = RONDO_SIGMOID;
  rondo_plan *one = test_plan(ctx, &desc);
  if (!zero || !one) return;
  const char *text = rondo_plan_text(one), *backend = names[test_here()->desc.backend];
  const rondo_sizes *sizes = rondo_plan_sizes(one);
  EXPECT(!strncmp(text, backend, strlen(backend)), "\"%s\" does not begin with %s", text, backend);
  EXPECT(strstr(text, "lstm:n2t5c3h4"), "\"%s\" does not say lstm:n2t5c3h4", text);
  EXPECT(!strcmp(rondo_plan_text(zero), text), "num_layers 0 says \"%s\", 1 says \"%s\"", rondo_plan_text(zero), text);
  EXPECT(!memcmp(rondo_plan_sizes(zero), sizes, sizeof *sizes), "num_layers 0 and 1 have other sizes");
  EXPECT(sizes->state == 2 * 4 * sizeof(float), "state is %zu bytes", sizes->state);
  EXPECT(sizes->reserve == 0, "reserve is %zu bytes", sizes->reserve);
  EXPECT(sizes->params >= 4 * 4 * (3 + 4 + 1) * sizeof(float), "params is %zu bytes", sizes->params);
}

const test_suite test_api_plan = {"ApiPlan", TEST_ALL,
                                  (const test_row[]){{"lstm", lstm, TEST_TABLE(lstm_rows)},
                                                     {"training", training, TEST_TABLE(training_rows)},
                                                     {"gru", gru, TEST_TABLE(gru_rows)},
                                                     {"rnn", rnn, TEST_TABLE(rnn_rows)},
                                                     {"dense", dense, TEST_TABLE(dense_rows)},
                                                     {"stack", stack, TEST_TABLE(stack_rows)},
                                                     {"backward_layer", backward_layer, NULL, 0},
                                                     {"plan_arguments", plan_arguments, NULL, 0},
                                                     {"plan_too_large", plan_too_large, TEST_TABLE(huge)},
                                                     {"hidden_size_too_large", hidden_size_too_large, NULL, 0},
                                                     {"plan_says", plan_says, NULL, 0},
                                                     {NULL, NULL, NULL, 0}}};
