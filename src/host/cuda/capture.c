/* capture.c - recording a call as a CUDA graph.
 *
 * The call is recorded on a stream of the context's own, so the caller's may be the default stream, which cannot be
 * captured, or hold any work. Thread-local mode: other threads may allocate meanwhile, and their mistakes stay theirs.
 */
#include "cuda.h"

static rondo_status begin(rondo_cuda_state *state) {
  CUDA_TRY(cudaStreamBeginCapture(state->recorder, cudaStreamCaptureModeThreadLocal));
  state->stream = state->recorder;
  return RONDO_OK;
}

rondo_status rondo_cuda_capture_begin(rondo_context *ctx) {
  RETURN_ON_DEVICE(ctx, begin(rondo_cuda_state_of(ctx)));
}

static rondo_status instantiate(cudaGraph_t recorded, void **graph) {
  cudaGraphExec_t made;
  CUDA_TRY(cudaGraphInstantiate(&made, recorded, 0));
  *graph = made;
  return RONDO_OK;
}

static rondo_status end(const rondo_cuda_state *state, int keep, void **graph) {
  cudaGraph_t recorded = NULL;
  cudaError_t error = cudaStreamEndCapture(state->recorder, &recorded);
  rondo_status status = RONDO_OK;
  if (keep) {
    status = rondo_cuda_check(error, "cudaStreamEndCapture");
    if (status == RONDO_OK) status = instantiate(recorded, graph);
  } else {
    rondo_cuda_forget(error); /* the sentence of what broke the recording must stay */
  }
  if (recorded) rondo_cuda_forget(cudaGraphDestroy(recorded));
  return status;
}

rondo_status rondo_cuda_capture_end(rondo_context *ctx, int keep, void **graph) {
  rondo_cuda_state *state = rondo_cuda_state_of(ctx);
  state->stream = ctx->desc.stream; /* first of all: later calls must not go to the recorder, whatever fails here */
  RETURN_ON_DEVICE(ctx, end(state, keep, graph));
}

static rondo_status launch(rondo_context *ctx, void *graph) {
  CUDA_TRY(cudaGraphLaunch(graph, ctx->desc.stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_graph_launch(rondo_context *ctx, void *graph) {
  RETURN_ON_DEVICE(ctx, launch(ctx, graph));
}

static rondo_status destroy(void *graph) {
  rondo_cuda_forget(cudaGraphExecDestroy(graph));
  return RONDO_OK;
}

static rondo_status destroy_on_device(rondo_context *ctx, void *graph) {
  RETURN_ON_DEVICE(ctx, destroy(graph));
}

void rondo_cuda_graph_destroy(rondo_context *ctx, void *graph) {
  (void)destroy_on_device(ctx, graph); /* what a failed device still held is gone with it */
}
