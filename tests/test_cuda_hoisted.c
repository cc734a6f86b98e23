/* test_cuda_hoisted.c - what RONDO_HOISTED promises on CUDA: one product and one kernel a timestep, what these cost, x
 * where it lies if that can be, no products with zeros; and when RONDO_AUTO takes it. */
#include "compare.h"
#include "cuda_runtime.h"

#include <math.h>
#include <string.h>

/* ---- What a call enqueues ---------------------------------------------------------------------------------------- */

typedef struct counted_row {
  const char *name;
  int products, kernels; /* of each step of each layer and direction */
  int in_place;          /* layers and directions whose x the product of a chunk reads where it lies */
  int more;              /* kernels of each layer and direction: the order of rows, skipped steps, idle sequences */
} counted_row;

static const counted_row counted[] = {
    {"lstm:n1t1c1h1", 1, 1, 1, 0},
    {"lstm:n2t9c3h4:h0", 1, 1, 0, 0},
    {"lstm:n2t9c3h4:h0:time", 1, 1, 1, 0},
    {"lstm:n1t9c3h4", 1, 1, 1, 0},
    {"lstm:n3t6c5h8l2:back:time", 1, 1, 0, 0}, /* a second layer turns time around, too */
    {"gru:n2t9c3h4:h0", 1, 1, 0, 0},
    {"gru:n3t6c5h7l2:bi", 1, 1, 1, 0}, /* the second layer's first direction */
    {"rnn:n2t9c3h4:h0", 1, 1, 0, 0},
    {"lstm:n3t5c4h8:peephole:cifg:zoneout=0.5:clip=2:act=relu", 1, 1, 0, 0},
    {"gru:n3t5c4h8:before", 2, 2, 0, 0},
    {"lstm:n3t5c4h8:norm:time", 1, 1, 1, 0},
    {"gru:n3t5c4h8:norm", 1, 1, 0, 0},
    {"lstm:n3t5c4h8:proj=4", 2, 2, 0, 0},
    {"lstm:n3t5c4h8:norm:proj=4", 2, 2, 0, 0},
    {"lstm:n3t5c4h8:h0:slots:time", 1, 1, 1, 1},     /* rows */
    {"lstm:n7t6c4h8:h0:len", 1, 1, 0, 3},            /* rows, y, sequences of no step */
    {"gru:n7t6c4h8l2:h0:len:bi:time", 1, 1, 0, 3},   /* the same */
    {"rnn:n7t6c4h8:h0:mask=rows:slots", 1, 1, 0, 5}, /* rows, mask, positions, y, sequences of no step */
    {"lstm:n2t9c3h4:h0:time:weights=f16", 1, 1, 0, 0},
    {"gru:n3t6c5h7l2:bi:weights=bf16", 1, 1, 0, 0},
    {"lstm:n3t5c4h8:norm:proj=4:weights=bf16", 2, 2, 0, 0},
    {0},
};

/* Rows of a step. */
static int active(const problem_data *data, int step) {
  int rows = 0;
  for (int n = 0; n < data->problem.batch; n++) {
    int steps = 0;
    for (int t = 0; t < data->problem.timesteps; t++) steps += problem_is_real(data, n, t);
    rows += steps > step;
  }
  return rows;
}

/* Kernels that bring x of one layer and direction together, in chunks of so many steps. */
static int gathers(const problem_data *data, int steps, int chunk, int in_place) {
  int full = active(data, data->problem.timesteps - 1) == data->problem.batch, count = 0;
  for (int s = 0; s < steps; s++) {
    int alone = chunk == 1 || (s % chunk == 0 && s == steps - 1); /* rows of one timestep lie evenly */
    int even = full && (in_place || (alone && data->problem.weights == RONDO_F32));
    count += !even && (s % chunk == 0 || active(data, s) != active(data, s - 1));
  }
  return count;
}

/* Per step, layer and direction the products and kernels of the row; per chunk one more product, and a kernel for each
 * run of steps with equally many rows whose x is not in place; once h_0; and nothing else. */
static void enqueues(const void *parameter) {
  const counted_row *row = parameter;
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  const problem_data *data = test_data_named(row->name);
  if (!test_set_up(&s, ctx, data, NULL)) return;
  int T = 0, L = data->problem.num_layers * problem_directions(&data->problem);
  while (T < data->problem.timesteps && active(data, T)) T++;
  for (int chunk = T; chunk > 0; chunk /= 2) {
    s.plan->chunk = chunk;
    cuda_counts before = cuda_count(&cuda);
    EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
    cuda_counts after = cuda_count(&cuda);
    int products = (T * row->products + (T + chunk - 1) / chunk) * L, kernels = (T * row->kernels + 1 + row->more) * L;
    kernels += row->in_place * gathers(data, T, chunk, 1) + (L - row->in_place) * gathers(data, T, chunk, 0);
    EXPECT(after.gemms - before.gemms == products, "%d products instead of %d", after.gemms - before.gemms, products);
    EXPECT(after.calls - before.calls == products, "%d calls of cuBLAS", after.calls - before.calls);
    EXPECT(after.launches - before.launches == kernels, "%d kernels instead of %d in chunks of %d",
           after.launches - before.launches, kernels, chunk);
    EXPECT(after.others == before.others, "%d calls beside", after.others - before.others);
  }
}

/* Training: forward has one product for x of all steps beside those of the steps, and a kernel for each run of steps
 * with equally many rows; a GRU one that spreads its matrix, dropout one that draws masks and one for each run. */
static const counted_row training_counted[] = {
    {"lstm:n2t9c3h4:h0:time", 1, 1, 0, 0}, {"lstm:n3t6c5h8l2:bi", 1, 1, 0, 0},        {"gru:n2t9c3h4:h0", 1, 1, 0, 1},
    {"gru:n2t9c3h4:before", 2, 2, 0, 1},   {"rnn:n7t6c4h8:h0:len", 1, 1, 0, 3}, /* as above */
    {"lstm:n3t5c4h8:proj=4", 2, 2, 0, 0},  {"lstm:n3t5c4h8:dropout=0.5", 1, 1, 0, 2}, {0}};

static void training_enqueues(const void *parameter) {
  const counted_row *row = parameter;
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  const problem_data *data = test_data_named(row->name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1;
  if (!test_set_up(&s, ctx, data, &desc)) return;
  s.batch.dropout_masks = NULL;
  int T = 0, L = data->problem.num_layers * problem_directions(&data->problem), runs = 0;
  for (; T < data->problem.timesteps && active(data, T); T++) runs += !T || active(data, T) != active(data, T - 1);
  cuda_counts before = cuda_count(&cuda);
  EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
  cuda_counts after = cuda_count(&cuda);
  int products = (T * row->products + 1) * L, kernels = (T * row->kernels + runs + row->more) * L;
  EXPECT(after.calls - before.calls == products, "%d products instead of %d", after.calls - before.calls, products);
  EXPECT(after.launches - before.launches == kernels, "%d kernels instead of %d", after.launches - before.launches,
         kernels);
}

/* What cannot be ahead is refused by name, and RONDO_AUTO takes stepwise. */
static const char *const refused[] = {"lstm:n2t3c4h5:recompute", "gru:n2t3c4h5:norm", "rnn:n2t3c4h5:rdropout=0.5",
                                      NULL};

static void training_refuses(const void *parameter) {
  problem p;
  char message[PROBLEM_TEXT];
  rondo_plan *plan = NULL;
  rondo_context *ctx = test_context();
  if (!ctx || !EXPECT(problem_parse(&p, parameter, message, sizeof message), "%s", message)) return;
  rondo_plan_desc desc = problem_plan_desc(&p);
  desc.training = 1, desc.algorithm = RONDO_HOISTED;
  const char *what = p.recompute ? "recompute" : p.layer_norm ? "layer_norm" : "recurrent_dropout";
  EXPECT_STATUS(RONDO_UNSUPPORTED, rondo_plan_create(&plan, ctx, &desc));
  EXPECT(strstr(rondo_last_error(), what), "%s", rondo_last_error());
  desc.algorithm = RONDO_AUTO;
  if (!EXPECT_OK(rondo_plan_create(&plan, ctx, &desc))) return;
  EXPECT(plan->algorithm->id == RONDO_STEPWISE && strstr(rondo_plan_text(plan), "hoisted not with these options"), "%s",
         rondo_plan_text(plan));
  rondo_plan_destroy(plan);
}

/* ---- What a step costs ------------------------------------------------------------------------------------------- */

/* Of each unit and row: thread instructions, and bytes between the kernel and global memory. */
typedef struct cost_row {
  const char *name; /* x is read where it lies: all kernels of a step inside are the cell's */
  int instructions, bytes;
} cost_row;

/* The gates, of a GRU those of x and those of h; c twice; h and y; and the biases, which eight rows share. */
static const cost_row costs[] = {{"lstm:n16t12c64h128:time", 110, 16 + 8 + 8 + 2},
                                 {"gru:n16t12c64h128:time", 92, 24 + 4 + 8 + 2},
                                 {"rnn:n16t12c64h128:time", 42, 4 + 8 + 4},
                                 {0}};

static void count_call(const cuda_runtime *cuda, test_setup *s, int timesteps, int counts[5]) {
  static const char *const names[] = {"kernel_instructions", "kernel_load_bytes", "kernel_store_bytes", "launches",
                                      "cublas_calls"};
  s->batch.timesteps = timesteps;
  for (int i = 0; i < 5; i++) counts[i] = -cuda->simt_count(names[i]);
  EXPECT_OK(rondo_forward(s->plan, s->ctx, &s->batch));
  EXPECT_OK(rondo_synchronize(s->ctx));
  for (int i = 0; i < 5; i++) counts[i] += cuda->simt_count(names[i]);
}

/* Twelve steps but for the first six: one product and one kernel each. */
static void step_costs(const void *parameter) {
  const cost_row *row = parameter;
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  int few[5], many[5];
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("instructions are counted under simt only");
  const problem_data *data = test_data_named(row->name);
  if (!test_set_up(&s, ctx, data, NULL)) return;
  count_call(&cuda, &s, 6, few);
  count_call(&cuda, &s, 12, many);
  EXPECT(many[3] - few[3] == 6 && many[4] - few[4] == 6, "%d kernels, %d products", many[3] - few[3], many[4] - few[4]);
  double units = 6.0 * data->problem.batch * data->problem.hidden_size, instructions = (many[0] - few[0]) / units;
  double bytes = (many[1] - few[1] + many[2] - few[2]) / units;
  EXPECT(instructions > 1 && instructions <= row->instructions, "%.2f instructions", instructions);
  EXPECT(bytes > 1 && bytes <= row->bytes, "%.2f bytes", bytes);
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

/* More x than the plan has room for at a time: some 25 MB, half of the second-level cache. */
static void several_chunks(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  const problem_data *data = test_data_named("rnn:n100t260c256h1");
  compare_expected exact;
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  if (s.plan->chunk >= data->problem.timesteps) SKIP("this device has room for %d timesteps", s.plan->chunk);
  test_outputs got = test_forward(&s, &s.batch);
  if (!EXPECT(compare_expect_steps(&exact, data, compare_float, got.y), "no memory")) return;
  EXPECT_RATIO(compare_y(&exact, data, got.y), "y");
  compare_free(&exact);
}

/* ---- Infinite numbers -------------------------------------------------------------------------------------------- */

/* An infinite x saturates the gates of a GRU, and nothing is multiplied by the zeros of its spread matrix. */
static void infinite_x(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  test_setup s;
  const problem_data *data = test_data_named("gru:n2t3c5h7");
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  float *x = memcpy(test_memory(s.x_count * sizeof *x), data->x, s.x_count * sizeof *x);
  for (int t = 0; t < 3; t++) x[problem_at(data->x_strides, 1, t) + 2] = t % 2 ? -INFINITY : INFINITY;
  s.batch.x = buffer_upload(ctx, x, s.x_count);
  test_outputs got = test_forward(&s, &s.batch);
  for (size_t i = 0; i < s.y_count; i++) EXPECT(fabsf(got.y[i]) <= 1, "y has a %g", got.y[i]);
}

/* ---- RONDO_AUTO -------------------------------------------------------------------------------------------------- */

typedef struct choice_row {
  const char *name;
  rondo_algorithm expected;
  int timesteps; /* 0: the problem's */
} choice_row;

/* By the model of cost.c for an H100, which simt imitates. */
static const choice_row choices[] = {
    {"lstm:n64t1c640h640", RONDO_STEPWISE, 0}, /* nothing to be ahead of */
    {"lstm:n16t200c512h512", RONDO_HOISTED, 0},      {"gru:n8t100c1024h1024:weights=f16", RONDO_HOISTED, 0},
    {"lstm:n16t200c2h512", RONDO_STEPWISE, 0},    /* W is nearly nothing */
    {"lstm:n4096t50c512h512", RONDO_STEPWISE, 0}, /* rows enough for any product */
    {"dense:n4t8c16h16", RONDO_HOISTED, 0},       /* the same: the first one */
    {"rnn:n1t1c1h1", RONDO_STEPWISE, INT32_MAX - 3}, {0}};

static void automatic(const void *parameter) {
  const choice_row *row = parameter;
  problem p;
  char message[PROBLEM_TEXT];
  rondo_plan *plan = NULL;
  rondo_context *ctx = test_context();
  if (!ctx || !EXPECT(problem_parse(&p, row->name, message, sizeof message), "%s", message)) return;
  if (!test_is_simt(ctx) || cuda_major(ctx) != 9) SKIP("the rows are for the H100 of simt");
  rondo_plan_desc desc = problem_plan_desc(&p);
  if (row->timesteps) desc.max_timesteps = row->timesteps;
  if (!EXPECT_OK(rondo_plan_create(&plan, ctx, &desc))) return;
  const char *text = rondo_plan_text(plan);
  EXPECT(plan->algorithm->id == row->expected, "%s", text);
  EXPECT(strstr(text, row->expected == RONDO_HOISTED ? "us a timestep, stepwise " : "us a timestep, hoisted "), "%s",
         text);
  rondo_plan_destroy(plan);
}

const test_suite test_cuda_hoisted = {
    "CudaHoisted",
    TEST_HOISTED,
    (const test_row[]){{"enqueues", enqueues, TEST_TABLE(counted)},
                       {"training_enqueues", training_enqueues, TEST_TABLE(training_counted)},
                       {"training_refuses", training_refuses, TEST_TABLE(refused)},
                       {"step_costs", step_costs, TEST_TABLE(costs)},
                       {"several_chunks", several_chunks, NULL, 0},
                       {"infinite_x", infinite_x, NULL, 0},
                       {"automatic", automatic, TEST_TABLE(choices)},
                       {"chunks_are_equal", test_cuda_chunks_are_equal, TEST_TABLE(cuda_problems)},
                       {"many_rows", test_cuda_many_rows, TEST_TABLE(cuda_many_problems)},
                       {"work_is_in_the_streams_order", test_cuda_work_is_in_order, TEST_TABLE(cuda_problems)},
                       {"captured_by_the_callers_stream", test_cuda_captured, TEST_TABLE(cuda_problems)},
                       {"graph_equals_call", test_cuda_graph_equals_call, TEST_TABLE(cuda_problems)},
                       {"graph_keeps_the_order", test_cuda_graph_keeps_the_order, TEST_TABLE(cuda_ordered_problems)},
                       {"graph_launch_is_one_call", test_cuda_graph_launch_is_one_call, NULL, 0},
                       {"x_is_rounded", test_cuda_x_is_rounded, TEST_TABLE(cuda_half_problems)},
                       {"h_is_not_rounded", test_cuda_h_is_not_rounded, TEST_TABLE(cuda_half_problems)},
                       {0}},
};
