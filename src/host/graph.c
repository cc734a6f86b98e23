/* graph.c - one call frozen with its pointers: a CUDA graph, or on the CPU a remembered batch. */
#include "internal.h"

#include "check.h"
#include "error.h"
#include "walk.h"

#include <stdlib.h>
#include <string.h>

struct rondo_graph {
  const rondo_plan *plan;
  rondo_context *ctx;
  rondo_batch batch;
  void *recorded; /* the backend's graph; NULL: the backend has none, launch executes the batch */
};

/* Host arrays are the caller's only until the call returns, so the graph has copies, in the same memory as itself. */
static size_t host_bytes(const rondo_batch *b) {
  size_t n = (size_t)b->batch, bytes = 0;
  if (b->lengths) bytes += n * sizeof *b->lengths;
  if (b->slots) bytes += n * sizeof *b->slots;
  if (b->mask) bytes += n * (size_t)b->timesteps;
  return b->restart ? bytes + n : bytes;
}

static const void *keep(unsigned char **to, const void *from, size_t bytes) {
  if (!from) return NULL;
  const void *copy = memcpy(*to, from, bytes);
  *to += bytes;
  return copy;
}

static void keep_arrays(rondo_batch *b, unsigned char *to) {
  size_t n = (size_t)b->batch;
  b->lengths = keep(&to, b->lengths, n * sizeof *b->lengths);
  b->slots = keep(&to, b->slots, n * sizeof *b->slots);
  b->mask = keep(&to, b->mask, n * (size_t)b->timesteps);
  b->restart = keep(&to, b->restart, n);
}

static rondo_status record(rondo_graph *graph) {
  const rondo_backend_ops *ops = graph->ctx->ops;
  rondo_schedule unused[2]; /* makes the context's scratch large enough, so that no launch has to */
  if (!ops->capture_begin) return rondo_make_schedules(graph->ctx, &graph->batch, unused);
  TRY(ops->capture_begin(graph->ctx));
  rondo_status status = rondo_execute(graph->plan, graph->ctx, &graph->batch);
  rondo_status ended = ops->capture_end(graph->ctx, status == RONDO_OK, &graph->recorded);
  return status != RONDO_OK ? status : ended;
}

rondo_status rondo_graph_create(rondo_graph **graph, const rondo_plan *plan, rondo_context *ctx,
                                const rondo_batch *batch) {
  REQUIRE(graph, "rondo_graph_create: graph is NULL");
  *graph = NULL;
  TRY(rondo_check_batch("rondo_graph_create", plan, ctx, batch));
  rondo_graph *made = malloc(sizeof *made + host_bytes(batch));
  if (!made) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_graph_create: no host memory");
  *made = (rondo_graph){.plan = plan, .ctx = ctx, .batch = *batch};
  keep_arrays(&made->batch, (unsigned char *)(made + 1));
  rondo_status status = record(made);
  if (status == RONDO_OK)
    *graph = made;
  else
    free(made);
  return status;
}

rondo_status rondo_graph_launch(rondo_graph *graph, rondo_context *ctx) {
  REQUIRE(graph, "rondo_graph_launch: graph is NULL");
  REQUIRE(ctx, "rondo_graph_launch: ctx is NULL");
  REQUIRE(ctx == graph->ctx, "rondo_graph_launch: ctx %p is not the context the graph was made with, %p", (void *)ctx,
          (void *)graph->ctx);
  if (graph->recorded) return ctx->ops->graph_launch(ctx, graph->recorded);
  return rondo_execute(graph->plan, ctx, &graph->batch);
}

void rondo_graph_destroy(rondo_graph *graph) {
  if (!graph) return;
  if (graph->recorded) graph->ctx->ops->graph_destroy(graph->ctx, graph->recorded);
  free(graph);
}
