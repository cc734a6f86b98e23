/* test_api_pack.c - misuse of rondo_pack: the status, a sentence that names the argument, and nothing written. */
#include "misuse.h"

#include <string.h>

#define W(field) OF(rondo_weights, field)
#define INVALID RONDO_INVALID_ARGUMENT

/* Of an LSTM of two layers without biases. */
static const misuse lstm_rows[] = {
    {"format", W(format), SET, 4, INVALID, "format 4"},
    {"format_negative", W(format), SET, -1, INVALID, "format -1"},
    {"layer", W(layer), SET, 2, INVALID, "layer 2"},
    {"layer_negative", W(layer), SET, -1, INVALID, "layer -1"},
    {"direction", W(direction), SET, 1, INVALID, "direction 1"},
    {"kernel", W(kernel), SET, 0, INVALID, "kernel is NULL"},
    {"recurrent_kernel", W(recurrent_kernel), SET, 0, INVALID, "recurrent_kernel is NULL"},
    {"bias", W(bias), SET, 64, INVALID, "bias is not NULL, but the layer has no_bias 1"},
    {"recurrent_bias", W(recurrent_bias), SET, 64, INVALID, "recurrent_bias is not NULL"},
    {"peephole", W(peephole), SET, 64, INVALID, "peephole is not NULL, but the layer has peephole 0"},
    {"projection", W(projection), SET, 64, INVALID, "projection is not NULL, but the layer has projection_size 0"},
    {"gamma_kernel", W(gamma_kernel), SET, 64, INVALID, "gamma_kernel is not NULL"},
    {"gamma_recurrent", W(gamma_recurrent), SET, 64, INVALID, "gamma_recurrent is not NULL"},
    {"gamma_cell", W(gamma_cell), SET, 64, INVALID, "gamma_cell is not NULL"},
    {"beta_cell", W(beta_cell), SET, 64, INVALID, "beta_cell is not NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of an LSTM of two layers both ways with all options and a head: of layer 1, direction 1. */
static const misuse option_rows[] = {
    {"layer", W(layer), SET, 3, INVALID, "layer 3 is not in 0..2"},
    {"direction", W(direction), SET, 2, INVALID, "direction 2 is not in 0..1"},
    {"direction_negative", W(direction), SET, -1, INVALID, "direction -1"},
    {"peephole", W(peephole), SET, 0, INVALID, "peephole is NULL"},
    {"projection", W(projection), SET, 0, INVALID, "projection is NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of that LSTM's head. */
static const misuse head_rows[] = {
    {"direction", W(direction), SET, 1, INVALID, "direction 1 is not in 0..0"},
    {"kernel", W(kernel), SET, 0, INVALID, "kernel is NULL"},
    {"recurrent_kernel", W(recurrent_kernel), SET, 64, INVALID, "recurrent_kernel is not NULL"},
    {"recurrent_bias", W(recurrent_bias), SET, 64, INVALID, "recurrent_bias is not NULL"},
    {"peephole", W(peephole), SET, 64, INVALID, "peephole is not NULL"},
    {"gamma_kernel", W(gamma_kernel), SET, 64, INVALID, "gamma_kernel is not NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of a GRU with layer_norm. */
static const misuse gru_rows[] = {
    {"peephole", W(peephole), SET, 64, INVALID, "peephole is not NULL"},
    {"projection", W(projection), SET, 64, INVALID, "projection is not NULL"},
    {"gamma_cell", W(gamma_cell), SET, 64, INVALID, "gamma_cell is not NULL"},
    {"beta_cell", W(beta_cell), SET, 64, INVALID, "beta_cell is not NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* A block that must not be written, and what would be right to pack. */
typedef struct packing {
  rondo_context *ctx;
  rondo_plan *plan;
  float *params;
  size_t floats;
  rondo_weights weights;
} packing;

/* index: of the weights. */
static int set_up_packing(packing *p, const char *name, int index) {
  *p = (packing){.ctx = test_context()};
  if (!p->ctx) return 0;
  const problem_data *data = test_data_named(name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  p->plan = test_plan(p->ctx, &desc);
  if (!p->plan) return 0;
  p->floats = rondo_plan_sizes(p->plan)->params / sizeof(float);
  p->params = buffer_floats(p->ctx, p->floats);
  if (p->params) buffer_poison(p->ctx, p->params, p->floats);
  p->weights = data->weights[index];
  return p->params != NULL;
}

static void expect_params_untouched(const packing *p) {
  EXPECT(test_is_poison(buffer_download(p->ctx, NULL, p->params, p->floats), p->floats), "params was written");
}

static void refuse(const char *name, int index, const void *row) {
  packing p;
  if (!set_up_packing(&p, name, index)) return;
  apply_misuse(row, &p.weights);
  expect_misuse(row, rondo_pack(p.plan, p.ctx, p.params, &p.weights), "rondo_pack:");
  expect_params_untouched(&p);
}

static void lstm(const void *row) {
  refuse("lstm:n2t3c4h5l2:nobias", 0, row);
}

static void options(const void *row) {
  refuse("lstm:n2t3c4h5l2:bi:peephole:norm:proj=3:head=2", 3, row);
}

static void head(const void *row) {
  refuse("lstm:n2t3c4h5l2:bi:peephole:norm:proj=3:head=2", 4, row);
}

static void gru(const void *row) {
  refuse("gru:n2t3c4h5:norm", 0, row);
}

static void pack_arguments(const void *unused) {
  (void)unused;
  packing p;
  if (!set_up_packing(&p, "lstm:n2t3c4h5l2:nobias", 0)) return;
  const rondo_status bad = RONDO_INVALID_ARGUMENT;
  const char *who = "rondo_pack:";
  expect_refusal(bad, rondo_pack(NULL, p.ctx, p.params, &p.weights), who, "plan is NULL");
  expect_refusal(bad, rondo_pack(p.plan, NULL, p.params, &p.weights), who, "ctx is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, NULL, &p.weights), who, "params is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, p.params, NULL), who, "weights is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, p.params + 1, &p.weights), who, "not aligned to 64 bytes");
  rondo_context *other = other_context(p.ctx);
  if (other) expect_refusal(bad, rondo_pack(p.plan, other, p.params, &p.weights), who, "the plan is for");
  expect_params_untouched(&p);
}

const test_suite test_api_pack = {"ApiPack", TEST_ALL,
                                  (const test_row[]){{"lstm", lstm, TEST_TABLE(lstm_rows)},
                                                     {"options", options, TEST_TABLE(option_rows)},
                                                     {"head", head, TEST_TABLE(head_rows)},
                                                     {"gru", gru, TEST_TABLE(gru_rows)},
                                                     {"pack_arguments", pack_arguments, NULL, 0},
                                                     {NULL, NULL, NULL, 0}}};
