/* test_cuda.c - what only the CUDA backend promises: one product and one kernel a timestep and nothing beside, the
 * caller's stream and its capture, graphs, the caller's current device, CUDA's errors as Rondo's.
 *
 * CUDA's own functions are looked up in the runtime that the module has loaded, so this file needs no CUDA to build. */
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#include "compare.h"
#include "harness.h"
#include "internal.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* ---- The CUDA runtime -------------------------------------------------------------------------------------------- */

typedef struct CUstream_st *stream;

typedef struct runtime {
  int (*cudaStreamCreateWithFlags)(stream *, unsigned);
  int (*cudaStreamDestroy)(stream);
  int (*cudaStreamSynchronize)(stream);
  int (*cudaStreamBeginCapture)(stream, int);
  int (*cudaStreamEndCapture)(stream, void **);
  int (*cudaGraphInstantiate)(void **, void *, unsigned long long);
  int (*cudaGraphLaunch)(void *, stream);
  int (*cudaGraphExecDestroy)(void *);
  int (*cudaGraphDestroy)(void *);
  int (*cudaMemcpyAsync)(void *, const void *, size_t, int, stream);
  int (*cudaMemsetAsync)(void *, int, size_t, stream);
  int (*cudaGetDeviceCount)(int *);
  int (*cudaGetDevice)(int *);
  int (*cudaSetDevice)(int);
  int (*cudaGetLastError)(void);
  int (*simt_count)(const char *); /* NULL on a GPU: only tests/simt counts calls */
} runtime;

enum { NON_BLOCKING = 1, THREAD_LOCAL = 1, COPY_DEFAULT = 4, CAPTURE_UNSUPPORTED = 900 }; /* CUDA's own numbers */

static int load(runtime *cuda, const rondo_context *ctx) {
  Dl_info module;
  void *where = dladdr(ctx->ops, &module) ? dlopen(module.dli_fname, RTLD_NOW | RTLD_NOLOAD) : NULL;
  if (!where) where = RTLD_DEFAULT; /* the backend is linked in */
  *(void **)&cuda->simt_count = dlsym(where, "simt_count");
#define LOAD(name)                                                                                                     \
  *(void **)&cuda->name = dlsym(where, #name);                                                                         \
  if (!EXPECT(cuda->name, "the CUDA runtime has no " #name)) return 0;
  LOAD(cudaStreamCreateWithFlags)
  LOAD(cudaStreamDestroy)
  LOAD(cudaStreamSynchronize)
  LOAD(cudaStreamBeginCapture)
  LOAD(cudaStreamEndCapture)
  LOAD(cudaGraphInstantiate)
  LOAD(cudaGraphLaunch)
  LOAD(cudaGraphExecDestroy)
  LOAD(cudaGraphDestroy)
  LOAD(cudaMemcpyAsync)
  LOAD(cudaMemsetAsync)
  LOAD(cudaGetDeviceCount)
  LOAD(cudaGetDevice)
  LOAD(cudaSetDevice)
  LOAD(cudaGetLastError)
#undef LOAD
  return 1;
}

#define EXPECT_CUDA(call)                                                                                              \
  do {                                                                                                                 \
    int cuda_error = (call);                                                                                           \
    EXPECT(cuda_error == 0, "CUDA error %d", cuda_error);                                                              \
  } while (0)

/* A context on a stream of its own. The stream lives until the program ends or a test destroys it: the harness
 * destroys contexts after the test's function has returned. */
static rondo_context *context_on_stream(runtime *cuda, stream *s) {
  rondo_context *first = test_context();
  if (!first || !load(cuda, first)) return NULL;
  EXPECT_CUDA(cuda->cudaStreamCreateWithFlags(s, NON_BLOCKING));
  rondo_context *ctx = NULL;
  EXPECT_OK(rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_CUDA, .stream = *s}));
  return ctx; /* not kept by the harness: close_stream destroys both, in order */
}

static void close_stream(runtime *cuda, stream s, rondo_context *ctx) {
  EXPECT_OK(rondo_synchronize(ctx));
  rondo_context_destroy(ctx);
  EXPECT_CUDA(cuda->cudaStreamDestroy(s));
}

/* ---- What a call enqueues ---------------------------------------------------------------------------------------- */

typedef struct counts {
  int launches, gemms, calls, others; /* others: whatever must not happen at all */
} counts;

static counts count(const runtime *cuda) {
  static const char *const forbidden[] = {
      "copies", "fills", "allocations", "frees", "synchronizations", "default_workspace", "graph_launches"};
  counts now = {cuda->simt_count("launches"), cuda->simt_count("cublas_gemms"), cuda->simt_count("cublas_calls"), 0};
  for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
    int value = cuda->simt_count(forbidden[i]);
    EXPECT(value >= 0, "simt counts no %s", forbidden[i]);
    now.others += value;
  }
  return now;
}

/* Per timestep and layer one product and one kernel, per chunk and layer one gather, and nothing else. */
static void enqueues(const void *parameter) {
  const char *name = parameter;
  rondo_context *ctx = test_context();
  runtime cuda;
  test_setup s;
  if (!ctx || !load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  const problem_data *data = test_data_named(name);
  if (!test_set_up(&s, ctx, data, NULL)) return;
  int T = data->problem.timesteps, L = data->problem.num_layers;
  for (int chunk = T; chunk > 0; chunk /= 2) {
    s.plan->chunk = chunk; /* less than prepared for: the workspace does */
    counts before = count(&cuda);
    EXPECT_OK(rondo_forward(s.plan, ctx, &s.batch));
    counts after = count(&cuda);
    int chunks = (T + chunk - 1) / chunk;
    EXPECT(after.gemms - before.gemms == T * L, "%d products", after.gemms - before.gemms);
    EXPECT(after.calls - before.calls == T * L, "%d calls of cuBLAS", after.calls - before.calls);
    EXPECT(after.launches - before.launches == (T + chunks) * L, "%d kernels in chunks of %d",
           after.launches - before.launches, chunk);
    EXPECT(after.others == before.others, "%d calls beside", after.others - before.others);
  }
}

static const char *const counted[] = {"lstm:n1t1c1h1", "lstm:n2t9c3h4:h0", "lstm:n3t6c5h8l2:back:time", NULL};

/* ---- Chunks, workspace ------------------------------------------------------------------------------------------- */

static const char *const some_problems[] = {"lstm:n1t1c3h4:h0", "lstm:n3t7c5h9:h0:back:strided",
                                            "lstm:n4t6c8h12l3:time", "lstm:n2t5c4h8:h0:nobias", NULL};

/* How many timesteps are gathered at a time does not change a bit. */
static void chunks_are_equal(const void *parameter) {
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

/* ---- Streams and graphs ------------------------------------------------------------------------------------------ */

/* x comes by a copy on the caller's stream, and the results leave by one, with nothing waited for in between. */
static void work_is_in_the_streams_order(const void *parameter) {
  runtime cuda;
  stream s;
  test_setup there, plain;
  const problem_data *data = test_data_named(parameter);
  rondo_context *ctx = context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
  if (!ctx || !other) return;
  if (test_set_up(&plain, other, data, NULL) && test_set_up(&there, other, data, NULL)) {
    test_outputs expected = test_forward(&plain, &plain.batch);
    rondo_batch batch = there.batch;
    float *x = buffer_output(other, there.x_count), *y = buffer_output(other, there.y_count);
    EXPECT_OK(rondo_synchronize(other)); /* so that the other stream finds the inputs */
    batch.x = x;
    EXPECT_CUDA(cuda.cudaMemcpyAsync(x, there.batch.x, there.x_count * sizeof *x, COPY_DEFAULT, s));
    EXPECT_OK(rondo_forward(there.plan, ctx, &batch));
    EXPECT_CUDA(cuda.cudaMemcpyAsync(y, batch.y, there.y_count * sizeof *y, COPY_DEFAULT, s));
    EXPECT_CUDA(cuda.cudaMemsetAsync((void *)x, 0xff, there.x_count * sizeof *x, s)); /* NaNs, when all is done */
    EXPECT_CUDA(cuda.cudaStreamSynchronize(s));
    float *got = buffer_download(other, NULL, y, there.y_count);
    EXPECT(test_same_bits(expected.y, got, there.y_count), "y differs from a call on the default stream");
  }
  close_stream(&cuda, s, ctx);
}

/* rondo_copy brings x after what was enqueued before, and fetches y when it is there, with no other wait. */
static void copies_are_in_the_streams_order(const void *parameter) {
  runtime cuda;
  stream s;
  test_setup there, plain;
  (void)parameter;
  const problem_data *data = test_data_named("lstm:n3t4c5h8:h0");
  rondo_context *ctx = context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
  if (!ctx || !other) return;
  if (test_set_up(&plain, other, data, NULL) && test_set_up(&there, other, data, NULL)) {
    test_outputs expected = test_forward(&plain, &plain.batch);
    float *y = test_memory(there.y_count * sizeof *y), *x = buffer_output(other, there.x_count);
    there.batch.x = x;
    EXPECT_OK(rondo_synchronize(other));
    EXPECT_CUDA(cuda.cudaMemsetAsync(x, 0xff, there.x_count * sizeof *x, s));
    EXPECT_OK(rondo_copy(ctx, x, data->x, there.x_count * sizeof *x));
    EXPECT_OK(rondo_forward(there.plan, ctx, &there.batch));
    EXPECT_OK(rondo_copy(ctx, y, there.batch.y, there.y_count * sizeof *y));
    EXPECT(test_same_bits(expected.y, y, there.y_count), "y differs from a call on the default stream");
  }
  close_stream(&cuda, s, ctx);
}

static void captured_by_the_callers_stream(const void *parameter) {
  runtime cuda;
  stream s;
  test_setup there;
  const problem_data *data = test_data_named(parameter);
  rondo_context *ctx = context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
  if (!ctx || !other) return;
  if (test_set_up(&there, other, data, NULL)) {
    test_outputs expected = test_forward(&there, &there.batch);
    buffer_poison(other, there.batch.y, there.y_count);
    buffer_poison(other, there.batch.c_n, there.state_count);
    EXPECT_OK(rondo_synchronize(other));
    void *recorded = NULL, *graph = NULL;
    EXPECT_CUDA(cuda.cudaStreamBeginCapture(s, THREAD_LOCAL));
    EXPECT_OK(rondo_forward(there.plan, ctx, &there.batch));
    EXPECT_CUDA(cuda.cudaStreamEndCapture(s, &recorded));
    float *y = buffer_download(other, NULL, there.batch.y, there.y_count);
    EXPECT(test_is_poison(y, there.y_count), "the captured call has run");
    if (EXPECT(recorded, "nothing was captured")) {
      EXPECT_CUDA(cuda.cudaGraphInstantiate(&graph, recorded, 0));
      EXPECT_CUDA(cuda.cudaGraphLaunch(graph, s));
      EXPECT_CUDA(cuda.cudaStreamSynchronize(s));
      test_outputs got = {buffer_download(other, NULL, there.batch.y, there.y_count), expected.y_last, expected.h_n,
                          buffer_download(other, NULL, there.batch.c_n, there.state_count)};
      EXPECT(test_same_outputs(&there, &expected, &got), "the captured call gives other bits");
      EXPECT_CUDA(cuda.cudaGraphExecDestroy(graph));
      EXPECT_CUDA(cuda.cudaGraphDestroy(recorded));
    }
  }
  close_stream(&cuda, s, ctx);
}

/* A rondo_graph of the context's stream, the default one included, gives a plain call's bits, also for a new x. */
static void graph_equals_call(const void *parameter) {
  rondo_context *ctx = test_context();
  test_setup s;
  if (!ctx || !test_set_up(&s, ctx, test_data_named(parameter), NULL)) return;
  rondo_graph *graph = NULL;
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, ctx, &s.batch))) return;
  EXPECT(test_is_poison(buffer_download(ctx, NULL, s.batch.y, s.y_count), s.y_count), "the frozen call has run");
  float *x = buffer_download(ctx, NULL, s.batch.x, s.x_count);
  for (int round = 0; round < 3; round++) {
    test_outputs plain = test_forward(&s, &s.batch);
    buffer_poison(ctx, s.batch.y, s.y_count);
    EXPECT_OK(rondo_graph_launch(graph, ctx));
    float *y = buffer_download(ctx, NULL, s.batch.y, s.y_count);
    EXPECT(test_same_bits(plain.y, y, s.y_count), "launch %d gives other bits than the call", round);
    for (size_t i = 0; i < s.x_count; i++) x[i] = -0.5f * x[i];
    buffer_write(ctx, (void *)s.batch.x, x, s.x_count * sizeof *x);
  }
  rondo_graph_destroy(graph);
}

/* A launch of the graph is one call of CUDA. */
static void graph_launch_is_one_call(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  runtime cuda;
  test_setup s;
  if (!ctx || !load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  if (!test_set_up(&s, ctx, test_data_named("lstm:n2t9c3h4:h0"), NULL)) return;
  rondo_graph *graph = NULL;
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, ctx, &s.batch))) return;
  counts before = count(&cuda);
  EXPECT_OK(rondo_graph_launch(graph, ctx));
  counts after = count(&cuda);
  EXPECT(after.launches == before.launches && after.calls == before.calls && after.others == before.others + 1,
         "%d kernels, %d calls of cuBLAS, %d others", after.launches - before.launches, after.calls - before.calls,
         after.others - before.others);
  EXPECT_OK(rondo_synchronize(ctx));
  rondo_graph_destroy(graph);
}

/* Two threads, each with its stream and context, on one plan and one parameter block. */
typedef struct worker {
  rondo_context *ctx;
  test_setup setup;
  rondo_status status;
} worker;

static void *work(void *argument) {
  worker *w = argument;
  for (int i = 0; i < 4 && w->status == RONDO_OK; i++)
    w->status = rondo_forward(w->setup.plan, w->ctx, &w->setup.batch);
  if (w->status == RONDO_OK) w->status = rondo_synchronize(w->ctx);
  return NULL;
}

static void two_threads(const void *parameter) {
  runtime cuda;
  stream s[2];
  worker w[2] = {{0}};
  pthread_t thread[2];
  (void)parameter;
  rondo_context *other = test_context();
  const problem_data *data = test_data_named("lstm:n3t5c5h8l2:h0");
  test_setup plain;
  if (!other || !test_set_up(&plain, other, data, NULL)) return;
  test_outputs expected = test_forward(&plain, &plain.batch);
  for (int i = 0; i < 2; i++) {
    w[i].ctx = context_on_stream(&cuda, &s[i]);
    if (!w[i].ctx || !test_set_up(&w[i].setup, other, data, NULL)) return;
    w[i].setup.plan = plain.plan;
    w[i].setup.batch.params = plain.batch.params;
  }
  EXPECT_OK(rondo_synchronize(other));
  for (int i = 0; i < 2; i++) EXPECT(!pthread_create(&thread[i], NULL, work, &w[i]), "no thread");
  for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
  for (int i = 0; i < 2; i++) {
    EXPECT(w[i].status == RONDO_OK, "thread %d: %s", i, rondo_status_name(w[i].status));
    float *y = buffer_download(other, NULL, w[i].setup.batch.y, plain.y_count);
    EXPECT(test_same_bits(expected.y, y, plain.y_count), "thread %d has other bits", i);
    close_stream(&cuda, s[i], w[i].ctx);
  }
}

/* ---- TF32 -------------------------------------------------------------------------------------------------------- */

/* Without allow_tf32 within float's bound; with it within TF32's, and not float's bits: under simt, which rounds to it
 * just as asked, where the device has it (Turing, sm_75, has not). */
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
  if (test_is_simt(ctx) && !strstr(rondo_context_text(ctx), "(sm_75)"))
    EXPECT(!test_same_bits(a.y, b.y, plain.y_count), "allow_tf32 changes nothing");
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
  runtime cuda;
  (void)parameter;
  rondo_context *ctx = test_context();
  if (!ctx || !load(&cuda, ctx)) return;
  EXPECT(!rondo_alloc(ctx, (size_t)1 << 50), "a PiB of device memory");
  const char *start = "rondo_alloc: cudaMalloc of 1125899906842624 bytes failed: cudaErrorMemoryAllocation";
  EXPECT(!strncmp(rondo_last_error(), start, strlen(start)), "%s", rondo_last_error());
  EXPECT_CUDA(cuda.cudaGetLastError());
}

static void synchronize_while_capturing_fails(const void *parameter) {
  runtime cuda;
  stream s;
  void *recorded = NULL;
  (void)parameter;
  rondo_context *ctx = context_on_stream(&cuda, &s);
  if (!ctx) return;
  EXPECT_CUDA(cuda.cudaStreamBeginCapture(s, THREAD_LOCAL));
  EXPECT_STATUS(RONDO_DEVICE_ERROR, rondo_synchronize(ctx));
  EXPECT(strstr(rondo_last_error(), "cudaStreamSynchronize failed: cudaErrorStreamCapture"), "%s", rondo_last_error());
  EXPECT(cuda.cudaStreamEndCapture(s, &recorded) != 0, "the capture is good all the same");
  cuda.cudaGetLastError();
  close_stream(&cuda, s, ctx);
}

/* Every call works on the context's device and leaves the caller's current. */
static void current_device_is_the_callers(const void *parameter) {
  runtime cuda;
  int devices = 0, now = -1;
  (void)parameter;
  rondo_context *first = test_context();
  if (!first || !load(&cuda, first)) return;
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
                       {"chunks_are_equal", chunks_are_equal, TEST_TABLE(some_problems)},
                       {"workspace_may_be_anywhere", workspace_may_be_anywhere, NULL, 0},
                       {"work_is_in_the_streams_order", work_is_in_the_streams_order, TEST_TABLE(some_problems)},
                       {"copies_are_in_the_streams_order", copies_are_in_the_streams_order, NULL, 0},
                       {"captured_by_the_callers_stream", captured_by_the_callers_stream, TEST_TABLE(some_problems)},
                       {"graph_equals_call", graph_equals_call, TEST_TABLE(some_problems)},
                       {"graph_launch_is_one_call", graph_launch_is_one_call, NULL, 0},
                       {"two_threads", two_threads, NULL, 0},
                       {"tf32_is_an_option", tf32_is_an_option, NULL, 0},
                       {"device_must_exist", device_must_exist, NULL, 0},
                       {"errors_are_translated", errors_are_translated, NULL, 0},
                       {"synchronize_while_capturing_fails", synchronize_while_capturing_fails, NULL, 0},
                       {"current_device_is_the_callers", current_device_is_the_callers, NULL, 0},
                       {0}},
};
