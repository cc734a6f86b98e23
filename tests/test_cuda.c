/* test_cuda.c - what only the CUDA backend promises: one product and one kernel a timestep and nothing beside (of
 * hoisted in test_cuda_hoisted.c), the caller's stream and its capture, graphs (test_cuda_streams.c), the caller's
 * current device, CUDA's errors as Rondo's. */
#include "compare.h"
#include "cuda_runtime.h"

#include <string.h>

/* ---- What a call enqueues ---------------------------------------------------------------------------------------- */

/* What a call puts on the stream beside the copy of x of each chunk. */
typedef struct counted_row {
  const char *name;
  int products, kernels; /* of each step of each layer and direction */
  int more;              /* kernels of each layer and direction: the order of rows, skipped steps, idle sequences */
} counted_row;

static const counted_row counted[] = {
    {"lstm:n1t1c1h1", 1, 1, 0},
    {"lstm:n2t9c3h4:h0", 1, 1, 0},
    {"lstm:n3t6c5h8l2:back:time", 1, 1, 0},
    {"gru:n2t9c3h4:h0", 1, 1, 0},
    {"gru:n3t6c5h7l2:bi", 1, 1, 0},
    {"rnn:n2t9c3h4:h0", 1, 1, 0},
    {"lstm:n3t5c4h8:peephole:cifg:zoneout=0.5:clip=2:act=relu", 1, 1, 0},
    {"gru:n3t5c4h8:before", 2, 2, 0},
    {"lstm:n3t5c4h8:norm", 2, 1, 0},
    {"gru:n3t5c4h8:norm", 2, 1, 0},
    {"lstm:n3t5c4h8:proj=4", 2, 2, 0},
    {"lstm:n3t5c4h8:norm:proj=4", 3, 2, 0},
    {"lstm:n3t5c4h8:h0:slots", 1, 1, 1},          /* rows */
    {"gru:n3t5c4h8:h0:restart", 1, 1, 1},         /* rows */
    {"lstm:n7t6c4h8:h0:len", 1, 1, 3},            /* rows, y, sequences of no step */
    {"gru:n7t6c4h8l2:h0:len:bi", 1, 1, 3},        /* the same */
    {"rnn:n7t6c4h8:h0:mask=rows:slots", 1, 1, 5}, /* rows, mask, positions, y, sequences of no step */
    {"lstm:n2t9c3h4:h0:weights=f16", 1, 1, 0},
    {"gru:n3t6c5h7l2:bi:weights=bf16", 1, 1, 0},
    {"rnn:n2t9c3h4:h0:zoneout=0.5:weights=bf16", 1, 1, 0},
    {"gru:n3t5c4h8:before:weights=f16", 2, 2, 0},
    {"lstm:n3t5c4h8:norm:proj=4:weights=bf16", 3, 2, 0},
    {"lstm:n7t6c4h8:h0:mask=holes:restart", 1, 1, 0}, /* counted below: the mask says whether a sequence has no step */
    {0},
};

/* The most real steps of a sequence, and whether one has none. */
static int most_steps(const problem_data *data, int *idle) {
  int most = 0;
  *idle = 0;
  for (int n = 0; n < data->problem.batch; n++) {
    int steps = 0;
    for (int t = 0; t < data->problem.timesteps; t++) steps += problem_is_real(data, n, t);
    most = steps > most ? steps : most;
    *idle |= steps == 0;
  }
  return most;
}

/* Per step, layer and direction the products and kernels of the row; per chunk, layer and direction one gather; and
 * nothing else: no copy, allocation or synchronisation, whatever the call brings. */
static void enqueues(const void *parameter) {
  const counted_row *row = parameter;
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  const problem_data *data = test_data_named(row->name);
  if (!test_set_up(&s, ctx, data, NULL)) return;
  int idle, T = most_steps(data, &idle), L = data->problem.num_layers * problem_directions(&data->problem);
  int more = row->more ? row->more : data->problem.mask ? 4 + idle : 0;
  for (int chunk = T; chunk > 0; chunk /= 2) {
    s.plan->chunk = chunk; /* less than prepared for: the workspace does */
    cuda_counts before = cuda_count(&cuda);
    EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
    cuda_counts after = cuda_count(&cuda);
    int chunks = (T + chunk - 1) / chunk, products = T * L * row->products;
    EXPECT(after.gemms - before.gemms == products, "%d products", after.gemms - before.gemms);
    EXPECT(after.calls - before.calls == products, "%d calls of cuBLAS", after.calls - before.calls);
    EXPECT(after.launches - before.launches == (T * row->kernels + chunks + more) * L, "%d kernels in chunks of %d",
           after.launches - before.launches, chunk);
    EXPECT(after.others == before.others, "%d calls beside", after.others - before.others);
  }
}

/* A Dense layer takes one product and one kernel for a chunk, and a gather where rows of x do not lie evenly. */
static void dense_enqueues(const void *parameter) {
  const counted_row *row = parameter; /* of each chunk */
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  if (!test_set_up(&s, ctx, test_data_named(row->name), NULL)) return;
  for (int chunk = 6; chunk > 0; chunk /= 2) {
    s.plan->chunk = chunk;
    cuda_counts before = cuda_count(&cuda);
    EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
    cuda_counts after = cuda_count(&cuda);
    EXPECT(after.calls - before.calls == 6 / chunk * row->products, "%d products", after.calls - before.calls);
    int kernels = chunk == 1 ? row->kernels - row->more : row->kernels; /* rows of one timestep lie evenly */
    EXPECT(after.launches - before.launches == 6 / chunk * kernels, "%d kernels in chunks of %d",
           after.launches - before.launches, chunk);
    EXPECT(after.others == before.others, "%d calls beside", after.others - before.others);
  }
  s.batch.y = NULL; /* y_last alone needs the last timestep alone */
  cuda_counts before = cuda_count(&cuda);
  EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
  int products = cuda_count(&cuda).calls - before.calls;
  EXPECT(products == 1, "%d products for y_last, with chunks of a timestep", products);
}

static const counted_row dense_counted[] = {{"dense:n3t6c5h8:time", 1, 1, 0},
                                            {"dense:n3t6c5h8:time:act=softmax", 1, 1, 0},
                                            {"dense:n1t6c5h8", 1, 1, 0},
                                            {"dense:n3t6c5h8", 1, 2, 1},
                                            {"dense:n3t6c5h8:strided", 1, 2, 1},
                                            {"dense:n3t6c5h8:time:weights=f16", 1, 2, 0},
                                            {0}};

/* ---- Chunks, workspace ------------------------------------------------------------------------------------------- */

/* How many timesteps are gathered at a time does not change a bit. */
void test_cuda_chunks_are_equal(const void *parameter) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(parameter), NULL)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  for (int chunk = 1; chunk < s.data->problem.timesteps; chunk++) {
    s.plan->chunk = chunk;
    test_outputs parts = test_forward(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &whole, &parts), "chunks of %d timesteps give other bits", chunk);
  }
}

/* More rows than one kernel can carry as its parameters, and more words of a mask. */
void test_cuda_many_rows(const void *parameter) {
  rondo_context *ctx = test_context();
  const problem_data *data = test_data_named(parameter);
  compare_expected exact;
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  test_outputs got = test_forward(&s, &s.batch);
  if (!EXPECT(compare_expect(&exact, data, compare_float), "no memory")) return;
  EXPECT_RATIO(compare_y(&exact, data, got.y), "y");
  EXPECT_RATIO(compare_h_n(&exact, data, got.h_n), "h_n");
  compare_free(&exact);
}

const char *const cuda_many_problems[] = {"rnn:n2100t2c1h1:len:h0", "rnn:n130t2000c1h1:mask=rows", NULL};

/* cuBLAS wants 256 bytes, callers are asked for 64. */
static void workspace_may_be_anywhere(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n3t4c5h8:h0"), NULL)) return;
  size_t bytes = rondo_plan_sizes(s.plan)->workspace;
  test_outputs first = test_forward(&s, &s.batch);
  for (size_t shift = 0; shift < 256; shift += 64) {
    unsigned char *memory = buffer_new(ctx, bytes + shift);
    if (!memory) return;
    s.batch.workspace = memory + shift;
    test_outputs again = test_forward(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &first, &again), "a workspace %zu bytes beside gives other bits", shift);
  }
}

/* ---- TF32 -------------------------------------------------------------------------------------------------------- */

/* Without allow_tf32 within float's bound; with it within TF32's, and not float's bits: under simt, which rounds to it
 * just as asked, where the device has it, which is from compute capability 8 on. */
static void tf32_is_an_option(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  const problem_data *data = test_data_named("lstm:n16t4c32h32:h0");
  compare_expected exact, rounded;
  test_setup plain, tf32;
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.allow_tf32 = 1;
  if (!ctx || !test_set_up(&plain, ctx, data, NULL) || !test_set_up(&tf32, ctx, data, &desc)) return;
  test_outputs a = test_forward(&plain, &plain.batch), b = test_forward(&tf32, &tf32.batch);
  if (!EXPECT(compare_expect(&exact, data, compare_float), "no memory")) return;
  EXPECT_RATIO(compare_y(&exact, data, a.y), "y in float");
  compare_free(&exact);
  if (!EXPECT(compare_expect(&rounded, data, compare_tf32), "no memory")) return;
  EXPECT_RATIO(compare_y(&rounded, data, b.y), "y in TF32");
  compare_free(&rounded);
  if (test_is_simt(ctx) && cuda_major(ctx) >= 8)
    EXPECT(!test_same_bits(a.y, b.y, plain.y_count), "allow_tf32 changes nothing");
}

/* ---- Weights of 16 bits ------------------------------------------------------------------------------------------ */

/* Products see x rounded to the type, so an x that is rounded before gives the same bits; and another x does not. */
void test_cuda_x_is_rounded(const void *parameter) {
  rondo_context *ctx = test_context();
  test_setup s;
  const problem_data *data = test_data_named(parameter);
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  float *x = buffer_download(ctx, NULL, s.batch.x, s.x_count);
  for (size_t i = 0; i < s.x_count; i++) x[i] = compare_rounded(data->problem.weights, x[i]);
  buffer_write(ctx, (void *)s.batch.x, x, s.x_count * sizeof *x);
  test_outputs rounded = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &whole, &rounded), "x is not rounded to the type of weights, or not to nearest");
  s.plan->desc.allow_tf32 = 1;
  test_outputs tf32 = test_forward(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &whole, &tf32), "allow_tf32 changes a product of 16 bits");
}

/* h goes from step to step in float, in the call and from call to call: a call for each step gives the same bits, where
 * products of one size add in one order. */
void test_cuda_h_is_not_rounded(const void *parameter) {
  rondo_context *ctx = test_context();
  test_setup s;
  const problem_data *data = test_data_named(parameter);
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  if (!test_is_simt(ctx)) SKIP("cuBLAS may take the two otherwise");
  test_outputs whole = test_forward(&s, &s.batch);
  rondo_batch one = s.batch;
  one.timesteps = 1, one.y = NULL, one.y_last = NULL;
  one.x_strides = data->x_strides;
  for (int t = 0; t < data->problem.timesteps; t++) {
    one.x = (const float *)s.batch.x + problem_at(data->x_strides, 0, t);
    EXPECT_OK(rondo_forward(s.plan, ctx, &one));
    one.h_0 = one.h_n, one.c_0 = one.c_n;
  }
  test_outputs pieces = test_download(&s, &one);
  EXPECT(test_same_bits(whole.h_n, pieces.h_n, s.state_count), "h_n in pieces has other bits");
  EXPECT(test_same_bits(whole.c_n, pieces.c_n, s.state_count), "c_n in pieces has other bits");
}

const char *const cuda_half_problems[] = {"lstm:n3t4c5h8:h0:weights=f16",
                                          "lstm:n3t4c5h9:h0:proj=4:zoneout=0.5:weights=bf16",
                                          "gru:n3t4c8h8:h0:weights=bf16",
                                          "gru:n3t4c5h7:h0:before:weights=f16",
                                          "gru:n3t4c5h7:h0:norm:weights=f16",
                                          "rnn:n3t4c5h8:h0:zoneout=0.5:weights=f16",
                                          NULL};

/* Tensor cores know such numbers from compute capability 8 on. */
static void bf16_needs_sm_80(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  rondo_plan *plan;
  rondo_plan_desc desc = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 1, .max_timesteps = 1};
  desc.weights = RONDO_BF16;
  if (!ctx) return;
  int old = cuda_major(ctx) < 8;
  EXPECT_STATUS(old ? RONDO_UNSUPPORTED : RONDO_OK, rondo_plan_create(&plan, ctx, &desc));
  if (old) EXPECT(strstr(rondo_last_error(), "RONDO_BF16 is not offered on compute"), "%s", rondo_last_error());
  rondo_plan_destroy(plan);
}

/* ---- Devices and errors ------------------------------------------------------------------------------------------ */

static void device_must_exist(const void *parameter) {
  (void)parameter;
  rondo_context *first = test_context(), *ctx;
  if (!first) return;
  static const rondo_backend backends[] = {RONDO_CUDA, RONDO_BACKEND_AUTO}; /* AUTO does not hide it with the CPU */
  for (int i = 0; i < 2; i++) {
    ctx = first;
    EXPECT_STATUS(RONDO_INVALID_ARGUMENT,
                  rondo_context_create(&ctx, &(rondo_context_desc){.backend = backends[i], .device = 1000 + i}));
    EXPECT(!ctx, "a failed create left a context");
    EXPECT(strstr(rondo_last_error(), i ? "device 1001" : "device 1000"), "%s", rondo_last_error());
  }
}

/* Status, CUDA's name of the error and the call's in the sentence; and nothing left for the caller's own checks. */
static void errors_are_translated(const void *parameter) {
  cuda_runtime cuda;
  (void)parameter;
  rondo_context *ctx = test_context();
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  EXPECT(!rondo_alloc(ctx, (size_t)1 << 50), "a PiB of device memory");
  const char *start = "rondo_alloc: cudaMalloc of 1125899906842624 bytes failed: cudaErrorMemoryAllocation";
  EXPECT(!strncmp(rondo_last_error(), start, strlen(start)), "%s", rondo_last_error());
  EXPECT_CUDA(cuda.cudaGetLastError());
}

static void synchronize_while_capturing_fails(const void *parameter) {
  cuda_runtime cuda;
  cuda_stream s;
  void *recorded = NULL;
  (void)parameter;
  rondo_context *ctx = cuda_context_on_stream(&cuda, &s);
  if (!ctx) return;
  EXPECT_CUDA(cuda.cudaStreamBeginCapture(s, THREAD_LOCAL));
  EXPECT_STATUS(RONDO_DEVICE_ERROR, rondo_synchronize(ctx));
  EXPECT(strstr(rondo_last_error(), "cudaStreamSynchronize failed: cudaErrorStreamCapture"), "%s", rondo_last_error());
  EXPECT(cuda.cudaStreamEndCapture(s, &recorded) != 0, "the capture is good all the same");
  cuda.cudaGetLastError();
  cuda_close_stream(&cuda, s, ctx);
}

/* Every call works on the context's device and leaves the caller's current. */
static void current_device_is_the_callers(const void *parameter) {
  cuda_runtime cuda;
  int devices = 0, now = -1;
  (void)parameter;
  rondo_context *first = test_context();
  if (!first || !cuda_load(&cuda, first)) return;
  EXPECT_CUDA(cuda.cudaGetDeviceCount(&devices));
  if (devices < 2) SKIP("needs two GPUs, has %d (under simt: SIMT_DEVICES=2)", devices);
  const problem_data *data = test_data_named("lstm:n3t4c5h8:h0");
  rondo_context *second = test_context_of(&(rondo_context_desc){.backend = RONDO_CUDA, .device = 1});
  test_setup one, two;
  if (!second || !test_set_up(&one, first, data, NULL) || !test_set_up(&two, second, data, NULL)) return;
  for (int device = 0; device < 2; device++) {
    EXPECT_CUDA(cuda.cudaSetDevice(device));
    test_outputs a = test_forward(&one, &one.batch), b = test_forward(&two, &two.batch);
    EXPECT(test_same_outputs(&one, &a, &b), "the devices give other bits");
    EXPECT_CUDA(cuda.cudaGetDevice(&now));
    EXPECT(now == device, "device %d is current, the caller's was %d", now, device);
  }
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_forward(one.plan, second, &one.batch));
  EXPECT_CUDA(cuda.cudaSetDevice(0));
}

const test_suite test_cuda = {
    "Cuda",
    TEST_CUDA,
    (const test_row[]){{"enqueues", enqueues, TEST_TABLE(counted)},
                       {"dense_enqueues", dense_enqueues, TEST_TABLE(dense_counted)},
                       {"chunks_are_equal", test_cuda_chunks_are_equal, TEST_TABLE(cuda_problems)},
                       {"many_rows", test_cuda_many_rows, TEST_TABLE(cuda_many_problems)},
                       {"workspace_may_be_anywhere", workspace_may_be_anywhere, NULL, 0},
                       {"work_is_in_the_streams_order", test_cuda_work_is_in_order, TEST_TABLE(cuda_problems)},
                       {"copies_are_in_the_streams_order", test_cuda_copies_are_in_order, NULL, 0},
                       {"captured_by_the_callers_stream", test_cuda_captured, TEST_TABLE(cuda_problems)},
                       {"graph_equals_call", test_cuda_graph_equals_call, TEST_TABLE(cuda_problems)},
                       {"graph_keeps_the_order", test_cuda_graph_keeps_the_order, TEST_TABLE(cuda_ordered_problems)},
                       {"graph_launch_is_one_call", test_cuda_graph_launch_is_one_call, NULL, 0},
                       {"two_threads", test_cuda_two_threads, NULL, 0},
                       {"tf32_is_an_option", tf32_is_an_option, NULL, 0},
                       {"x_is_rounded", test_cuda_x_is_rounded, TEST_TABLE(cuda_half_problems)},
                       {"h_is_not_rounded", test_cuda_h_is_not_rounded, TEST_TABLE(cuda_half_problems)},
                       {"bf16_needs_sm_80", bf16_needs_sm_80, NULL, 0},
                       {"device_must_exist", device_must_exist, NULL, 0},
                       {"errors_are_translated", errors_are_translated, NULL, 0},
                       {"synchronize_while_capturing_fails", synchronize_while_capturing_fails, NULL, 0},
                       {"current_device_is_the_callers", current_device_is_the_callers, NULL, 0},
                       {0}},
};
