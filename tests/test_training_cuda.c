/* test_training_cuda.c - what training on CUDA promises beside right gradients: what a call enqueues, the same bits
 * again, in a graph and from a larger plan; and kernels over all rows against their twins. More of these are in
 * test_training_cuda_sums.c, those of the cells in _lstm.c and _cells.c. Gradients are held to the reference by the
 * suites of all backends. */
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include "train.h"
#include "training_cuda.h"

#include <dlfcn.h>
#include <math.h>
#include <string.h>

/* ---- What a call enqueues ---------------------------------------------------------------------------------------- */

enum { GEMMS, LAUNCHES, FILLS, FORBIDDEN, COUNTS };

/* 0: not under simt, which alone counts. */
static int count(const rondo_context *ctx, int counts[COUNTS]) {
  static const char *const forbidden[] = {"copies",           "allocations",       "frees",
                                          "synchronizations", "default_workspace", "graph_launches"};
  Dl_info module;
  int (*simt_count)(const char *);
  void *where = dladdr(ctx->ops, &module) ? dlopen(module.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
  *(void **)&simt_count = dlsym(where ? where : RTLD_DEFAULT, "simt_count");
  if (!simt_count) return 0;
  counts[GEMMS] = simt_count("cublas_calls"), counts[LAUNCHES] = simt_count("launches");
  counts[FILLS] = simt_count("fills"), counts[FORBIDDEN] = 0;
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) counts[FORBIDDEN] += simt_count(forbidden[i]);
  return 1;
}

/* For each timestep so many, and so many for the call. */
typedef struct enqueue_row {
  const char *name;
  int forward_gemms, forward_kernels, forward_once;
  int backward_gemms, backward_kernels, gemms_once, kernels_once;
} enqueue_row;

/* Once: forward a gather, and a GRU's gru_spread; backward dW with dR and dx, or apart; lstm_replay, gru_spread, sums
 * of each bias, dx_scatter and state_backward. dropout draws masks forward, masks x once, and dx. recurrent_dropout has
 * mask_rows and mask_sums for each product of h, for each gate a mask_rows and a product or two for dW and dR, and with
 * dropout a product and a mask_sums for dx. recompute: a product of all rows, of masked ones gate by gate. */
static const enqueue_row enqueue_rows[] = {
    {"lstm:n2t9c3h4:h0", 1, 1, 1, 1, 1, 2, 4},
    {"gru:n2t9c3h4:h0", 1, 1, 2, 1, 1, 3, 5},
    {"rnn:n2t9c3h4:h0", 1, 1, 1, 1, 1, 2, 3},
    {"gru:n2t9c3h4:before", 2, 2, 2, 2, 2, 4, 4},
    {"lstm:n2t9c3h4:proj=3", 2, 2, 1, 2, 2, 3, 4},
    {"lstm:n2t9c3h4:norm", 2, 1, 1, 1, 2, 5, 12},
    {"gru:n2t9c3h4:norm", 2, 1, 2, 1, 2, 5, 10},
    {"lstm:n2t9c3h4:dropout=0.3", 1, 1, 3, 1, 1, 2, 5},
    {"lstm:n2t9c3h4:dropout=0.3:rdropout=0.4", 1, 2, 3, 1, 2, 8, 12},
    {"gru:n2t9c3h4:dropout=0.3:rdropout=0.4", 1, 2, 4, 1, 2, 9, 11},
    {"gru:n2t9c3h4:before:rdropout=0.4", 2, 4, 3, 2, 4, 4, 7},
    {"rnn:n2t9c3h4:rdropout=0.4", 1, 2, 2, 1, 2, 2, 4},
    {"lstm:n2t9c3h4:norm:rdropout=0.4", 2, 2, 2, 1, 3, 17, 20},
    {"lstm:n2t9c3h4:recompute", 1, 1, 1, 1, 1, 3, 4},
    {"gru:n2t9c3h4:recompute", 1, 1, 2, 1, 1, 4, 5},
    {"gru:n2t9c3h4:before:recompute", 2, 2, 2, 2, 2, 6, 5},
    {"gru:n2t9c3h4:rdropout=0.4:recompute", 1, 2, 3, 1, 2, 11, 12},
    {0},
};

static void enqueues(const void *parameter) {
  const enqueue_row *e = parameter;
  rondo_context *ctx = test_context();
  int before[COUNTS], between[COUNTS], after[COUNTS];
  if (!ctx) return;
  const problem_data *data = test_data_named(e->name);
  train_call c;
  if (!train_set_up(&c, ctx, data, data->problem.recompute) || !train_forward(&c, &c.setup.batch)) return;
  int T = data->problem.timesteps, once = e->gemms_once, kernels = e->kernels_once;
  if (!count(ctx, before)) SKIP("calls are counted under simt only");
  EXPECT_OK(rondo_forward(c.setup.plan, ctx, &c.setup.batch));
  count(ctx, between);
  EXPECT_OK(rondo_backward(c.setup.plan, ctx, &c.setup.batch));
  count(ctx, after);
#define CAME(now, then, what) ((now)[what] - (then)[what])
  EXPECT(CAME(between, before, GEMMS) == T * e->forward_gemms, "%d products forward", CAME(between, before, GEMMS));
  EXPECT(CAME(between, before, LAUNCHES) == T * e->forward_kernels + e->forward_once, "%d kernels forward",
         CAME(between, before, LAUNCHES));
  EXPECT(CAME(between, before, FILLS) == 0, "%d fills forward", CAME(between, before, FILLS));
  EXPECT(CAME(after, between, GEMMS) == T * e->backward_gemms + once, "%d products backward",
         CAME(after, between, GEMMS));
  EXPECT(CAME(after, between, LAUNCHES) == T * e->backward_kernels + kernels, "%d kernels backward",
         CAME(after, between, LAUNCHES));
  EXPECT(CAME(after, between, FILLS) == 1, "%d fills backward", CAME(after, between, FILLS));
  EXPECT(CAME(after, before, FORBIDDEN) == 0, "%d calls beside", CAME(after, before, FORBIDDEN));
}

/* ---- The same bits ----------------------------------------------------------------------------------------------- */

static const char *const some_problems[] = {"lstm:n5t6c7h9:mask=holes:h0",
                                            "lstm:n3t5c4h8l2:bi=mul:len",
                                            "gru:n3t5c4h8:bi:len:h0:slots:restart",
                                            "gru:n3t5c4h7:before:h0",
                                            "rnn:n3t5c4h8:back:time:strided",
                                            "lstm:n3t5c4h7:norm:peephole:proj=5:mask=left:h0",
                                            "gru:n3t5c4h7:norm:len",
                                            "lstm:n70t4c3h5:head=3=softmax", /* sums over rows in parts */
                                            "lstm:n5t6c7h9l2:len:h0:dropout=0.3:ldropout=0.2",
                                            "lstm:n5t6c7h9:mask=holes:h0:rdropout=0.4:recompute",
                                            "gru:n3t5c4h8:bi:len:h0:dropout=0.3:rdropout=0.4:slots:restart",
                                            "gru:n3t5c4h7:before:h0:rdropout=0.4:recompute",
                                            "rnn:n3t5c4h8:back:time:strided:dropout=0.3:rdropout=0.4:recompute",
                                            NULL};

/* Backward again, from a reserve that it has left alone; captured; and with room for more. */
static void same_bits(const void *name) {
  rondo_context *ctx = test_context();
  train_call first, larger;
  void *graph = NULL;
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  if (!train(&first, ctx, data, data->problem.recompute)) return;
  train_call again = first;
  const rondo_batch *b = &first.setup.batch;
  if (!train_backward(&again, b)) return;
  EXPECT(train_same(&first, &again), "the same call gives other bits");
  buffer_poison(ctx, b->dx, first.dx_count);
  buffer_poison(ctx, b->dparams, first.dparams_count);
  if (!EXPECT_OK(ctx->ops->capture_begin(ctx))) return;
  rondo_status status = rondo_backward(first.setup.plan, ctx, b);
  EXPECT_OK(ctx->ops->capture_end(ctx, status == RONDO_OK, &graph));
  if (!EXPECT_OK(status)) return;
  EXPECT(test_is_poison(buffer_download(ctx, NULL, b->dx, first.dx_count), first.dx_count),
         "the captured call has run");
  EXPECT_OK(ctx->ops->graph_launch(ctx, graph));
  train_download(&again, b);
  EXPECT(train_same(&first, &again), "the captured call gives other bits");
  ctx->ops->graph_destroy(ctx, graph);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1, desc.max_batch += 3, desc.max_timesteps += 3;
  if (!train_set_up_plan(&larger, ctx, data, &desc) || !train_run(&larger, &larger.setup.batch)) return;
  EXPECT(train_same(&first, &larger), "a plan for more gives other bits");
}

/* dparams is added to once more: every sum is that of the two. */
static void accumulates(const void *name) {
  rondo_context *ctx = test_context();
  train_call once;
  if (!ctx) return;
  const problem_data *data = test_data_named(name);
  if (!train(&once, ctx, data, data->problem.recompute)) return;
  train_call twice = once;
  rondo_batch b = once.setup.batch;
  b.accumulate = 1;
  if (!train_backward(&twice, &b)) return;
  const float *one = once.gradients.dparams, *two = twice.gradients.dparams;
  double worst = 0, most = 0;
  for (size_t i = 0; i < once.dparams_count; i++) most = fmax(most, fabs((double)one[i]));
  for (size_t i = 0; i < once.dparams_count; i++)
    worst = compare_worst(worst, fabs((double)two[i] - 2 * (double)one[i]));
  /* Each sum is begun with the first one: it passes through at most one rounding more for each of its rows. */
  double rows = data->problem.batch * data->problem.timesteps;
  EXPECT_RATIO(worst / ((rows + 4) * 2 * compare_float.sum * 2 * most), "dparams added to");
}

/* ---- Kernels over all rows --------------------------------------------------------------------------------------- */

typedef struct rows_row {
  const char *name;
  int n, t, columns, option;
  kernel_rows_kind kind;
} rows_row;

/* option: add; reversed for dx_scatter; for merges the rondo_merge. */
static const rows_row rows_rows[] = {{"one", 1, 1, 1, 1, ROWS_FULL},      {"plain", 3, 4, 7, 2, ROWS_FULL},
                                     {"first", 9, 4, 5, 1, ROWS_FIRST},   {"mask", 9, 5, 6, 2, ROWS_MASK},
                                     {"mask_ave", 9, 5, 6, 3, ROWS_MASK}, {"wide", 2, 3, 530, 3, ROWS_FULL},
                                     {"tall", 300, 2, 3, 1, ROWS_MASK},   {0}};

static void dx_scatter(const void *parameter) {
  const rows_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, k->kind, k->n, k->t, 0);
  size_t count = (size_t)k->n * (size_t)k->t * (size_t)k->columns;
  kernel_array from = kernel_random(ctx, count, RANDOM_X, 1), dx = kernel_random(ctx, count, RANDOM_OLD, 1);
  if (!from.there || !dx.there) return;
  ptrdiff_t C = k->columns, start = k->option == 2 ? (k->t - 1) * C : 0;
  rondo_dx_scatter_args here = {rows.here,       1,        k->columns,    k->option != 1, from.here,
                                dx.here + start, k->t * C, start ? -C : C};
  rondo_dx_scatter_args args = here;
  if (k->kind == ROWS_FULL) here.steps = args.steps = k->t;
  args.step = rows.there, args.rows = from.there, args.dx = dx.there + start;
  kernel_launch(ctx, "dx_scatter", &args);
  rondo_dx_scatter_ref(&here);
  EXPECT(test_same_bits(kernel_download(ctx, dx), dx.here, count), "dx differs from the twin's");
}

static void state_backward(const void *parameter) {
  const rows_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, k->kind, k->n, k->t, 0);
  ptrdiff_t O = k->columns, H = k->columns + 2;
  size_t states = (size_t)(rows.states * H);
  kernel_array dh = kernel_random(ctx, (size_t)(k->n * O), RANDOM_DH, 1),
               dc = kernel_random(ctx, (size_t)(k->n * H), RANDOM_DC, 1);
  kernel_array dh_n = kernel_random(ctx, states, RANDOM_DH_N, 1), dc_n = kernel_random(ctx, states, RANDOM_DC_N, 1);
  kernel_array dh_0 = kernel_random(ctx, states, RANDOM_OLD, 1), dc_0 = kernel_random(ctx, states, RANDOM_H, 1);
  if (!dh.there || !dc.there || !dh_n.there || !dc_n.there || !dh_0.there || !dc_0.there) return;
  rondo_state_backward_args here = {rows.here.row,
                                    k->n,
                                    rows.here.rows,
                                    (int)O,
                                    (int)H,
                                    dh.here,
                                    dc.here,
                                    {k->option == 2 ? NULL : dh_n.here, H},
                                    {dc_n.here, H},
                                    {dh_0.here, H},
                                    {k->option == 1 ? NULL : dc_0.here, H}};
  rondo_state_backward_args args = here;
  args.row = rows.there.row, args.dh = dh.there, args.dc = dc.there;
  args.dh_n.at = here.dh_n.at ? dh_n.there : NULL, args.dc_n.at = dc_n.there;
  args.dh_0.at = dh_0.there, args.dc_0.at = here.dc_0.at ? dc_0.there : NULL;
  kernel_launch(ctx, "state_backward", &args);
  rondo_state_backward_ref(&here);
  EXPECT(test_same_bits(kernel_download(ctx, dh_0), dh_0.here, states), "dh_0 differs from the twin's");
  EXPECT(test_same_bits(kernel_download(ctx, dc_0), dc_0.here, states), "dc_0 differs from the twin's");
}

static void merges(const void *parameter) {
  const rows_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  ptrdiff_t K = k->columns, row = K + 1;
  size_t count = (size_t)(k->n * k->t * K), with_gaps = (size_t)(k->n * k->t * row);
  kernel_array a = kernel_random(ctx, count, RANDOM_X, 1), b = kernel_random(ctx, count, RANDOM_H, 1);
  kernel_array y = kernel_random(ctx, with_gaps, RANDOM_DY, 1), da = kernel_poison(ctx, count),
               db = kernel_poison(ctx, count);
  if (!a.there || !b.there || !y.there || !da.there || !db.there) return;
  rondo_merge how = (rondo_merge)k->option;
  rondo_merge_backward_args back = {how,     k->n,       k->t, (int)K,   a.there, b.there,
                                    y.there, k->t * row, row,  da.there, db.there};
  rondo_merge_forward_args on = {how, k->n, k->t, (int)K, a.there, b.there, y.there, k->t * row, row};
  kernel_launch(ctx, "merge_backward", &back);
  kernel_launch(ctx, "merge_forward", &on);
  back.a = on.a = a.here, back.b = on.b = b.here, back.dy = on.y = y.here, back.da = da.here, back.db = db.here;
  rondo_merge_backward_ref(&back);
  rondo_merge_forward_ref(&on);
  EXPECT(test_same_bits(kernel_download(ctx, y), y.here, with_gaps), "y differs from the twin's");
  EXPECT(test_same_bits(kernel_download(ctx, da), da.here, count), "da differs from the twin's");
  EXPECT(test_same_bits(kernel_download(ctx, db), db.here, count), "db differs from the twin's");
}

const test_suite test_training_cuda = {
    "TrainingCuda",
    TEST_CUDA,
    (const test_row[]){{"enqueues", enqueues, TEST_TABLE(enqueue_rows)},
                       {"same_bits", same_bits, TEST_TABLE(some_problems)},
                       {"accumulates", accumulates, TEST_TABLE(some_problems)},
                       {"dx_scatter", dx_scatter, TEST_TABLE(rows_rows)},
                       {"state_backward", state_backward, TEST_TABLE(rows_rows)},
                       {"merges", merges, TEST_TABLE(rows_rows)},
                       {"column_sums", test_column_sums, TEST_TABLE(training_sum_rows)},
                       {"gru_spread", test_gru_spread, TEST_TABLE(training_reset_rows)},
                       {"norms", test_norms, TEST_TABLE(training_sum_rows)},
                       {"dense_backward", test_dense_backward, TEST_TABLE(training_dense_rows)},
                       {"mask_rows", test_mask_rows, TEST_TABLE(training_mask_rows)},
                       {"mask_sums", test_mask_sums, TEST_TABLE(training_mask_rows)},
                       {"keeps_less", test_keeps_less, TEST_TABLE(training_recompute_problems)},
                       {"lstm_replay_forward", test_lstm_replay_forward, TEST_TABLE(training_lstm_rows)},
                       {"lstm_cell_backward", test_lstm_cell_backward, TEST_TABLE(training_lstm_rows)},
                       {"gru_cell_backward", test_gru_cell_backward, TEST_TABLE(training_gru_rows)},
                       {"gru_reset_backward", test_gru_reset_backward, TEST_TABLE(training_reset_rows)},
                       {"rnn_cell_backward", test_rnn_cell_backward, TEST_TABLE(training_rnn_rows)},
                       {0}},
};
