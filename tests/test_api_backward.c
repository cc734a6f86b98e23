/* test_api_backward.c - misuse of rondo_backward, and of rondo_forward in training: the status, the sentence, and no
 * gradient touched. */
#include "misuse.h"
#include "train.h"

#include <string.h>

#define B(field) OF(rondo_batch, field)
#define AT(field) offsetof(rondo_batch, field)
#define INVALID RONDO_INVALID_ARGUMENT
#define TAKEN "is another field's memory too"

/* Of lstm:n3t4c5h6:h0:dropout=0.5, with every gradient and with masks. */
static const misuse lstm_rows[] = {
    {"batch", B(batch), SET, 4, INVALID, "batch 4 is not in 1..3"},
    {"timesteps", B(timesteps), SET, 0, INVALID, "timesteps 0"},
    {"params", B(params), SET, 0, INVALID, "params is NULL"},
    {"x", B(x), SET, 0, INVALID, "x is NULL"},
    {"workspace", B(workspace), SET, 0, INVALID, "workspace is NULL"},
    {"dropout_masks_align", B(dropout_masks), SHIFT, 2, INVALID, "dropout_masks "},
    {"dy_align", B(dy), SHIFT, 1, INVALID, "dy "},
    {"dy_last_align", B(dy_last), SHIFT, 2, INVALID, "dy_last "},
    {"dh_n_align", B(dh_n), SHIFT, 2, INVALID, "dh_n "},
    {"dc_n_align", B(dc_n), SHIFT, 3, INVALID, "dc_n "},
    {"dx_align", B(dx), SHIFT, 2, INVALID, "dx "},
    {"dparams_align", B(dparams), SHIFT, 32, INVALID, "dparams "},
    {"dh_0_align", B(dh_0), SHIFT, 2, INVALID, "dh_0 "},
    {"dc_0_align", B(dc_0), SHIFT, 1, INVALID, "dc_0 "},
    {"y", B(y), SET, 0, INVALID, "dy is not NULL, but y is"},
    {"y_last", B(y_last), SET, 0, INVALID, "dy_last is not NULL, but y_last is"},
    {"dx_is_x", B(dx), SAME_AS, AT(x), INVALID, TAKEN},
    {"dx_is_dy", B(dx), SAME_AS, AT(dy), INVALID, TAKEN},
    {"dx_is_masks", B(dx), SAME_AS, AT(dropout_masks), INVALID, TAKEN},
    {"dparams_is_params", B(dparams), SAME_AS, AT(params), INVALID, TAKEN},
    {"dparams_is_workspace", B(dparams), SAME_AS, AT(workspace), INVALID, TAKEN},
    {"dh_0_is_h_0", B(dh_0), SAME_AS, AT(h_0), INVALID, TAKEN},
    {"dh_0_is_dh_n", B(dh_0), SAME_AS, AT(dh_n), INVALID, TAKEN},
    {"dc_0_is_dh_0", B(dc_0), SAME_AS, AT(dh_0), INVALID, TAKEN},
    {"state_stride", B(state_stride), SET, 5, INVALID, "state_stride 5"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Of gru:n3t4c5h6:rdropout=0.5. */
static const misuse gru_rows[] = {
    {"dc_n", B(dc_n), SET, 64, INVALID, "dc_n is not NULL, but only an LSTM has c"},
    {"dc_0", B(dc_0), SET, 64, INVALID, "dc_0 is not NULL"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static const misuse dense_rows[] = {
    {"dh_n", B(dh_n), SET, 64, INVALID, "dh_n is not NULL, but RONDO_DENSE has no state"},
    {"dh_0", B(dh_0), SET, 64, INVALID, "dh_0 is not NULL"},
    {"dropout_masks", B(dropout_masks), SET, 64, INVALID, "dropout_masks is not NULL, but the plan has training "},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* Forward is done, gradients are poison. */
static int set_up(train_call *c, const char *name, int with_masks) {
  rondo_context *ctx = test_context();
  if (!ctx || !train_set_up(c, ctx, test_data_named(name), 0)) return 0;
  rondo_batch *b = &c->setup.batch;
  if (with_masks) b->dropout_masks = buffer_upload(ctx, c->setup.data->dropout_masks, 3 * 5);
  buffer_poison(ctx, b->dparams, c->dparams_count);
  return EXPECT_OK(rondo_forward(c->setup.plan, ctx, b));
}

static void expect_untouched(const train_call *c) {
  const rondo_batch *b = &c->setup.batch;
  rondo_context *ctx = c->setup.ctx;
  const struct {
    const char *name;
    const float *array;
    size_t count;
  } all[] = {{"dx", b->dx, c->dx_count},
             {"dparams", b->dparams, c->dparams_count},
             {"dh_0", b->dh_0, c->setup.state_count},
             {"dc_0", b->dc_0, c->setup.state_count}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].array)
      EXPECT(test_is_poison(buffer_download(ctx, NULL, all[i].array, all[i].count), all[i].count), "%s was written",
             all[i].name);
}

static void refuse(const char *name, int with_masks, const misuse *row) {
  train_call c;
  if (!set_up(&c, name, with_masks)) return;
  rondo_batch b = c.setup.batch;
  apply_misuse(row, &b);
  expect_misuse(row, rondo_backward(c.setup.plan, c.setup.ctx, &b), "rondo_backward:");
  expect_untouched(&c);
}

static void lstm(const void *row) {
  refuse("lstm:n3t4c5h6:h0:dropout=0.5", 1, row);
}

static void gru(const void *row) {
  refuse("gru:n3t4c5h6:rdropout=0.5", 0, row);
}

static void dense(const void *row) {
  refuse("dense:n3t4c5h6", 0, row);
}

/* The reference keeps nothing, so its reserve may be NULL; else forward and backward need it. */
static void reserve(const void *unused) {
  (void)unused;
  train_call c;
  if (!set_up(&c, "gru:n3t4c5h6:dropout=0.5", 0) || !c.setup.batch.reserve) return;
  rondo_batch none = c.setup.batch, shifted = none, taken = none;
  none.reserve = NULL;
  shifted.reserve = (char *)shifted.reserve + 32;
  taken.reserve = taken.workspace;
  const rondo_batch *const bad[] = {&none, &shifted, &taken};
  static const char *const words[] = {"reserve is NULL", "not aligned to 64 bytes", TAKEN};
  for (int i = 0; i < 3; i++) {
    expect_refusal(INVALID, rondo_forward(c.setup.plan, c.setup.ctx, bad[i]), "rondo_forward:", words[i]);
    expect_refusal(INVALID, rondo_backward(c.setup.plan, c.setup.ctx, bad[i]), "rondo_backward:", words[i]);
  }
  expect_untouched(&c);
}

static void nothing(const void *unused) {
  (void)unused;
  train_call c;
  if (!set_up(&c, "gru:n3t4c5h6", 0)) return;
  rondo_batch from_none = c.setup.batch, to_none = from_none;
  from_none.dy = from_none.dy_last = from_none.dh_n = NULL;
  to_none.dx = to_none.dparams = to_none.dh_0 = NULL;
  expect_refusal(INVALID, rondo_backward(c.setup.plan, c.setup.ctx, &from_none), "rondo_backward:", "dy, dy_last");
  expect_refusal(INVALID, rondo_backward(c.setup.plan, c.setup.ctx, &to_none), "rondo_backward:", "dx, dparams");
  expect_untouched(&c);
}

const test_suite test_api_backward = {"ApiBackward", TEST_ALL,
                                      (const test_row[]){{"lstm", lstm, TEST_TABLE(lstm_rows)},
                                                         {"gru", gru, TEST_TABLE(gru_rows)},
                                                         {"dense", dense, TEST_TABLE(dense_rows)},
                                                         {"reserve", reserve, NULL, 0},
                                                         {"nothing", nothing, NULL, 0},
                                                         {NULL, NULL, NULL, 0}}};
