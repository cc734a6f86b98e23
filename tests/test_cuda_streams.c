/* test_cuda_streams.c - work of the CUDA backend is in the order of the caller's stream, can be captured by it, and is
 * the same in a graph. */
#include "cuda_runtime.h"

#include <pthread.h>
#include <string.h>

/* ---- Streams and graphs ------------------------------------------------------------------------------------------ */

/* x comes by a copy on the caller's stream, and the results leave by one, with nothing waited for in between. */
void test_cuda_work_is_in_order(const void *parameter) {
  cuda_runtime cuda;
  cuda_stream s;
  test_setup there, plain;
  const problem_data *data = test_data_named(parameter);
  rondo_context *ctx = cuda_context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
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
  cuda_close_stream(&cuda, s, ctx);
}

/* rondo_copy brings x after what was enqueued before, and fetches y when it is there, with no other wait. */
void test_cuda_copies_are_in_order(const void *parameter) {
  cuda_runtime cuda;
  cuda_stream s;
  test_setup there, plain;
  (void)parameter;
  const problem_data *data = test_data_named("lstm:n3t4c5h8:h0");
  rondo_context *ctx = cuda_context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
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
  cuda_close_stream(&cuda, s, ctx);
}

static void poison_outputs(const test_setup *s) {
  buffer_poison(s->ctx, s->batch.y, s->y_count);
  buffer_poison(s->ctx, s->batch.y_last, s->y_last_count);
  if (s->batch.h_n) buffer_poison(s->ctx, s->batch.h_n, s->state_count);
  if (s->batch.c_n) buffer_poison(s->ctx, s->batch.c_n, s->state_count);
}

void test_cuda_captured(const void *parameter) {
  cuda_runtime cuda;
  cuda_stream s;
  test_setup there;
  const problem_data *data = test_data_named(parameter);
  rondo_context *ctx = cuda_context_on_stream(&cuda, &s), *other = ctx ? test_context() : NULL;
  if (!ctx || !other) return;
  if (test_set_up(&there, other, data, NULL)) {
    test_outputs expected = test_forward(&there, &there.batch);
    poison_outputs(&there);
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
      test_outputs got = test_download(&there, &there.batch);
      EXPECT(test_same_outputs(&there, &expected, &got), "the captured call gives other bits");
      EXPECT_CUDA(cuda.cudaGraphExecDestroy(graph));
      EXPECT_CUDA(cuda.cudaGraphDestroy(recorded));
    }
  }
  cuda_close_stream(&cuda, s, ctx);
}

/* A rondo_graph of the context's stream, the default one included, gives a plain call's bits, also for a new x. */
void test_cuda_graph_equals_call(const void *parameter) {
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

/* What the host arrays of a batch said is in the graph: they may change or go. */
void test_cuda_graph_keeps_the_order(const void *parameter) {
  rondo_context *ctx = test_context();
  test_setup s;
  const problem_data *data = test_data_named(parameter);
  if (!ctx || !test_set_up(&s, ctx, data, NULL)) return;
  size_t n = (size_t)data->problem.batch, t = (size_t)data->problem.timesteps;
  test_outputs plain = test_forward(&s, &s.batch);
  int32_t *numbers = test_memory(2 * n * sizeof *numbers);
  uint8_t *bytes = test_memory(n * t + n);
  rondo_batch batch = s.batch;
  if (batch.lengths) batch.lengths = memcpy(numbers, s.batch.lengths, n * sizeof *numbers);
  if (batch.slots) batch.slots = memcpy(numbers + n, s.batch.slots, n * sizeof *numbers);
  if (batch.mask) batch.mask = memcpy(bytes, s.batch.mask, n * t);
  if (batch.restart) batch.restart = memcpy(bytes + n * t, s.batch.restart, n);
  rondo_graph *graph = NULL;
  poison_outputs(&s);
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, ctx, &batch))) return;
  memset(numbers, 0, 2 * n * sizeof *numbers);
  memset(bytes, 0, n * t + n);
  EXPECT_OK(rondo_graph_launch(graph, ctx));
  test_outputs got = test_download(&s, &s.batch);
  EXPECT(test_same_outputs(&s, &plain, &got), "the graph has looked at the host's arrays again");
  rondo_graph_destroy(graph);
}

const char *const cuda_ordered_problems[] = {"lstm:n7t6c4h8:h0:len:slots:restart", "gru:n7t6c4h8:h0:mask=holes", NULL};

/* A launch of the graph is one call of CUDA. */
void test_cuda_graph_launch_is_one_call(const void *parameter) {
  (void)parameter;
  rondo_context *ctx = test_context();
  cuda_runtime cuda;
  test_setup s;
  if (!ctx || !cuda_load(&cuda, ctx)) return;
  if (!cuda.simt_count) SKIP("calls are counted under simt only");
  if (!test_set_up(&s, ctx, test_data_named("lstm:n2t9c3h4:h0"), NULL)) return;
  rondo_graph *graph = NULL;
  if (!EXPECT_OK(rondo_graph_create(&graph, s.plan, ctx, &s.batch))) return;
  cuda_counts before = cuda_count(&cuda);
  EXPECT_OK(rondo_graph_launch(graph, ctx));
  cuda_counts after = cuda_count(&cuda);
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

void test_cuda_two_threads(const void *parameter) {
  cuda_runtime cuda;
  cuda_stream s[2];
  worker w[2] = {{0}};
  pthread_t thread[2];
  (void)parameter;
  rondo_context *other = test_context();
  const problem_data *data = test_data_named("lstm:n3t5c5h8l2:h0");
  test_setup plain;
  if (!other || !test_set_up(&plain, other, data, NULL)) return;
  test_outputs expected = test_forward(&plain, &plain.batch);
  for (int i = 0; i < 2; i++) {
    w[i].ctx = cuda_context_on_stream(&cuda, &s[i]);
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
    cuda_close_stream(&cuda, s[i], w[i].ctx);
  }
}
