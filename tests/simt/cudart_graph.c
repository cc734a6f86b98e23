/* cudart_graph.c: graphs, made by capture or by hand, instantiated and launched.
 *
 * A node holds a work; instantiating copies the references, launching takes a snapshot of them, so that updates change
 * only later launches. Among nodes that are ready a launch takes the newest first (with SIMT_SEED, a random one): a
 * dependency that the program forgot shows. */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CUgraphNode_st {
  cudaGraph_t graph;
  rt_work *work;              /* NULL: an empty node */
  cudaGraph_t child;          /* a child graph node's own copy */
  cudaGraphNode_t original;   /* in a clone: the node it was copied from */
  cudaGraphNode_t *after;     /* dependencies */
  size_t after_count;
  size_t mark;                /* scratch for walks */
  cudaLaunchAttributeValue priority, window;
};
struct CUgraph_st {
  cudaGraphNode_t *nodes;
  size_t count, capacity;
  bool is_child;
  struct CUuserObject_st **objects;
  size_t object_count;
};
typedef struct exec_node {
  cudaGraphNode_t source;
  enum cudaGraphNodeType type;
  rt_work *work;
  size_t *after, after_count;
  struct CUgraphExec_st *child;
  bool disabled;
} exec_node;
struct CUgraphExec_st {
  exec_node *nodes;
  size_t count;
  unsigned long long flags;
  rt_marker *last;            /* launches of one executable graph follow each other */
};
struct CUuserObject_st { int references; cudaHostFn_t destroy; void *data; };

static void object_release(struct CUuserObject_st *object, int count) {
  object->references -= count;
  if (object->references > 0) return;
  rt_handle_remove(object);
  object->destroy(object->data);
  free(object);
}

/* ---- building ------------------------------------------------------------------------------------------------------------ */
cudaGraphNode_t *rt_copy_tips(const cudaGraphNode_t *tips, size_t count) {
  cudaGraphNode_t *copy = malloc((count + 1) * sizeof *copy);
  if (count) memcpy(copy, tips, count * sizeof *copy);
  return copy;
}

cudaGraph_t rt_graph_new(void) {
  cudaGraph_t graph = calloc(1, sizeof *graph);
  rt_handle_add(graph, RT_GRAPH);
  return graph;
}

static void node_free(cudaGraphNode_t node) {
  rt_handle_remove(node);
  rt_work_release(node->work);
  if (node->child) rt_graph_free(node->child);
  free(node->after);
  free(node);
}

void rt_graph_free(cudaGraph_t graph) {
  rt_handle_remove(graph);
  for (size_t i = 0; i < graph->count; i++) node_free(graph->nodes[i]);
  for (size_t i = 0; i < graph->object_count; i++) object_release(graph->objects[i], 1);
  free(graph->objects);
  free(graph->nodes);
  free(graph);
}

cudaGraphNode_t rt_graph_add(cudaGraph_t graph, rt_work *work, const cudaGraphNode_t *after, size_t count) {
  cudaGraphNode_t node = calloc(1, sizeof *node);
  node->graph = graph;
  node->work = work;
  node->after = rt_copy_tips(after, count);
  node->after_count = count;
  if (graph->count == graph->capacity) {
    graph->capacity = graph->capacity ? graph->capacity * 2 : 16;
    graph->nodes = realloc(graph->nodes, graph->capacity * sizeof *graph->nodes);
  }
  graph->nodes[graph->count++] = node;
  rt_handle_add(node, RT_GRAPH_NODE);
  return node;
}

static bool reaches(const cudaGraphNode_t *from, size_t count, cudaGraphNode_t node) {
  for (size_t i = 0; i < count; i++) {
    if (from[i] == node) return true;
    if (from[i]->mark) continue;
    from[i]->mark = 1;
    if (reaches(from[i]->after, from[i]->after_count, node)) return true;
  }
  return false;
}
bool rt_graph_reaches(cudaGraph_t graph, const cudaGraphNode_t *from, size_t count, cudaGraphNode_t node) {
  for (size_t i = 0; i < graph->count; i++) graph->nodes[i]->mark = 0;
  return reaches(from, count, node);
}

static size_t position(cudaGraph_t graph, cudaGraphNode_t node) {
  for (size_t i = 0; i < graph->count; i++)
    if (graph->nodes[i] == node) return i;
  return SIZE_MAX;
}

static cudaGraph_t clone(cudaGraph_t graph) {
  cudaGraph_t copy = rt_graph_new();
  for (size_t i = 0; i < graph->count; i++) {
    cudaGraphNode_t from = graph->nodes[i];
    cudaGraphNode_t to = rt_graph_add(copy, rt_work_retain(from->work), NULL, 0);
    to->original = from;
    if (from->child) { to->child = clone(from->child); rt_handle_remove(to->child); }
  }
  for (size_t i = 0; i < graph->count; i++) { /* dependencies may point forwards, once edges are added by hand */
    cudaGraphNode_t from = graph->nodes[i], to = copy->nodes[i];
    to->after = realloc(to->after, (from->after_count + 1) * sizeof *to->after);
    to->after_count = from->after_count;
    for (size_t j = 0; j < from->after_count; j++) to->after[j] = copy->nodes[position(graph, from->after[j])];
  }
  return copy;
}

static enum cudaGraphNodeType type_of(cudaGraphNode_t node) {
  return node->child ? cudaGraphNodeTypeGraph : node->work ? node->work->type : cudaGraphNodeTypeEmpty;
}

static cudaError_t check_add(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count) {
  if (!node || !rt_handle_is(graph, RT_GRAPH) || (count && !after)) return cudaErrorInvalidValue;
  for (size_t i = 0; i < count; i++)
    if (!rt_handle_is(after[i], RT_GRAPH_NODE) || after[i]->graph != graph) return cudaErrorInvalidValue;
  return cudaSuccess;
}

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned flags) {
  RT_ENTER();
  if (!graph || flags) RT_RETURN(cudaErrorInvalidValue);
  *graph = rt_graph_new();
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  RT_ENTER();
  if (!rt_handle_is(graph, RT_GRAPH)) RT_RETURN(cudaErrorInvalidValue);
  rt_graph_free(graph);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphClone(cudaGraph_t *copy, cudaGraph_t graph) {
  RT_ENTER();
  if (!copy || !rt_handle_is(graph, RT_GRAPH)) RT_RETURN(cudaErrorInvalidValue);
  *copy = clone(graph);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t *node, cudaGraphNode_t original, cudaGraph_t copy) {
  RT_ENTER();
  if (!node || !rt_handle_is(copy, RT_GRAPH)) RT_RETURN(cudaErrorInvalidValue);
  for (size_t i = 0; i < copy->count; i++)
    if (copy->nodes[i]->original == original) { *node = copy->nodes[i]; RT_RETURN(cudaSuccess); }
  RT_RETURN(cudaErrorInvalidValue);
}

static rt_work *kernel_node_work(const struct cudaKernelNodeParams *p, cudaError_t *error) {
  return rt_kernel_work(p->func, p->gridDim, p->blockDim, p->kernelParams, p->extra, p->sharedMemBytes, NULL, 0, error);
}
static rt_work *memset_node_work(const struct cudaMemsetParams *p, cudaError_t *error) {
  return rt_set_work(p->dst, p->pitch ? p->pitch : p->width * p->elementSize, p->value, p->elementSize, p->width, p->height, error);
}
static rt_work *host_node_work(const struct cudaHostNodeParams *p, cudaError_t *error) {
  *error = p->fn ? cudaSuccess : cudaErrorInvalidValue;
  return p->fn ? rt_host_work(p->fn, p->userData) : NULL;
}

/* The four kinds of node that hold a work have the same calls: add, get and set its parameters, set them in an
 * instantiated graph. */
static cudaError_t exec_set(cudaGraphExec_t exec, cudaGraphNode_t node, rt_work *work, cudaError_t error);
#define NODE_KIND(Kind, params_type, make, read)                                                                          \
  cudaError_t cudaGraphAdd##Kind##Node(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,           \
                                       size_t count, const params_type *params) {                                        \
    RT_ENTER();                                                                                                          \
    cudaError_t error = params ? check_add(node, graph, after, count) : cudaErrorInvalidValue;                           \
    if (error) RT_RETURN(error);                                                                                         \
    rt_work *work = make(params, &error);                                                                                \
    if (work) *node = rt_graph_add(graph, work, after, count);                                                           \
    RT_RETURN(error);                                                                                                    \
  }                                                                                                                      \
  cudaError_t cudaGraph##Kind##NodeGetParams(cudaGraphNode_t node, params_type *params) {                                \
    RT_ENTER();                                                                                                          \
    if (!params || !rt_handle_is(node, RT_GRAPH_NODE)) RT_RETURN(cudaErrorInvalidValue);                                 \
    RT_RETURN(read(node->work, params) ? cudaSuccess : cudaErrorInvalidValue);                                           \
  }                                                                                                                      \
  cudaError_t cudaGraph##Kind##NodeSetParams(cudaGraphNode_t node, const params_type *params) {                          \
    RT_ENTER();                                                                                                          \
    params_type old;                                                                                                     \
    if (!params || !rt_handle_is(node, RT_GRAPH_NODE) || !read(node->work, &old)) RT_RETURN(cudaErrorInvalidValue);      \
    cudaError_t error;                                                                                                   \
    rt_work *work = make(params, &error);                                                                                \
    if (work) { rt_work_release(node->work); node->work = work; }                                                        \
    RT_RETURN(error);                                                                                                    \
  }                                                                                                                      \
  cudaError_t cudaGraphExec##Kind##NodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, const params_type *params) { \
    RT_ENTER();                                                                                                          \
    cudaError_t error = cudaErrorInvalidValue;                                                                           \
    rt_work *work = params ? make(params, &error) : NULL;                                                                \
    RT_RETURN(exec_set(exec, node, work, error));                                                                        \
  }
NODE_KIND(Kernel, struct cudaKernelNodeParams, kernel_node_work, rt_kernel_params_of)
NODE_KIND(Memcpy, struct cudaMemcpy3DParms, rt_copy_params_work, rt_copy_params_of)
NODE_KIND(Memset, struct cudaMemsetParams, memset_node_work, rt_set_params_of)
NODE_KIND(Host, struct cudaHostNodeParams, host_node_work, rt_host_params_of)

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count,
                                     void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  RT_ENTER();
  cudaError_t error = check_add(node, graph, after, count);
  if (error) RT_RETURN(error);
  rt_work *work = rt_copy_work(to, from, bytes, kind, &error);
  if (work) *node = rt_graph_add(graph, work, after, count);
  RT_RETURN(error);
}
cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  RT_ENTER();
  struct cudaMemcpy3DParms old;
  if (!rt_handle_is(node, RT_GRAPH_NODE) || !rt_copy_params_of(node->work, &old)) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error;
  rt_work *work = rt_copy_work(to, from, bytes, kind, &error);
  if (work) { rt_work_release(node->work); node->work = work; }
  RT_RETURN(error);
}
cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *to, const void *from,
                                               size_t bytes, enum cudaMemcpyKind kind) {
  RT_ENTER();
  cudaError_t error;
  rt_work *work = rt_copy_work(to, from, bytes, kind, &error);
  RT_RETURN(exec_set(exec, node, work, error));
}

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count,
                                     struct cudaMemAllocNodeParams *params) {
  RT_ENTER();
  cudaError_t error = params ? check_add(node, graph, after, count) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  rt_work *work = rt_graph_alloc_work(params, &error);
  if (work) *node = rt_graph_add(graph, work, after, count);
  RT_RETURN(error);
}
cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count,
                                    void *pointer) {
  RT_ENTER();
  cudaError_t error = check_add(node, graph, after, count);
  if (error) RT_RETURN(error);
  rt_work *work = rt_graph_free_work(pointer, &error);
  if (work) *node = rt_graph_add(graph, work, after, count);
  RT_RETURN(error);
}
static bool memory_node(cudaGraphNode_t node, bool frees, void **pointer, size_t *bytes) {
  bool found;
  return rt_handle_is(node, RT_GRAPH_NODE) && rt_graph_memory_of(node->work, pointer, bytes, &found) && found == frees;
}
cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, struct cudaMemAllocNodeParams *params) {
  RT_ENTER();
  void *pointer;
  size_t bytes;
  if (!params || !memory_node(node, false, &pointer, &bytes)) RT_RETURN(cudaErrorInvalidValue);
  *params = (struct cudaMemAllocNodeParams){.bytesize = bytes, .dptr = pointer};
  params->poolProps.allocType = cudaMemAllocationTypePinned;
  params->poolProps.location.type = cudaMemLocationTypeDevice;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void *pointer) {
  RT_ENTER();
  size_t bytes;
  RT_RETURN(pointer && memory_node(node, true, pointer, &bytes) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after, size_t count) {
  RT_ENTER();
  cudaError_t error = check_add(node, graph, after, count);
  if (!error) *node = rt_graph_add(graph, NULL, after, count);
  RT_RETURN(error);
}
cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                                       size_t count, cudaGraph_t child) {
  RT_ENTER();
  cudaError_t error = rt_handle_is(child, RT_GRAPH) ? check_add(node, graph, after, count) : cudaErrorInvalidValue;
  if (error) RT_RETURN(error);
  *node = rt_graph_add(graph, NULL, after, count);
  (*node)->child = clone(child);
  rt_handle_remove((*node)->child); /* belongs to the node: not the program's to destroy, no leak of its own */
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t *graph) {
  RT_ENTER();
  if (!graph || !rt_handle_is(node, RT_GRAPH_NODE) || !node->child) RT_RETURN(cudaErrorInvalidValue);
  *graph = node->child;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *after,
                             const cudaGraphEdgeData *edges, size_t count, struct cudaGraphNodeParams *params) {
  (void)edges;
  if (!params) { RT_ENTER(); RT_RETURN(cudaErrorInvalidValue); }
  switch (params->type) {
  case cudaGraphNodeTypeKernel: {
    struct cudaKernelNodeParams kernel = {params->kernel.func, params->kernel.gridDim, params->kernel.blockDim,
                                          params->kernel.sharedMemBytes, params->kernel.kernelParams, params->kernel.extra};
    return cudaGraphAddKernelNode(node, graph, after, count, &kernel);
  }
  case cudaGraphNodeTypeMemcpy: return cudaGraphAddMemcpyNode(node, graph, after, count, &params->memcpy.copyParams);
  case cudaGraphNodeTypeMemset: {
    struct cudaMemsetParams set = {params->memset.dst, params->memset.pitch, params->memset.value,
                                   params->memset.elementSize, params->memset.width, params->memset.height};
    return cudaGraphAddMemsetNode(node, graph, after, count, &set);
  }
  case cudaGraphNodeTypeHost: {
    struct cudaHostNodeParams host = {params->host.fn, params->host.userData};
    return cudaGraphAddHostNode(node, graph, after, count, &host);
  }
  case cudaGraphNodeTypeGraph: return cudaGraphAddChildGraphNode(node, graph, after, count, params->graph.graph);
  case cudaGraphNodeTypeEmpty: return cudaGraphAddEmptyNode(node, graph, after, count);
  case cudaGraphNodeTypeMemAlloc: {
    struct cudaMemAllocNodeParams memory = {.poolProps = params->alloc.poolProps, .bytesize = params->alloc.bytesize};
    cudaError_t error = cudaGraphAddMemAllocNode(node, graph, after, count, &memory);
    params->alloc.dptr = memory.dptr;
    return error;
  }
  case cudaGraphNodeTypeMemFree: return cudaGraphAddMemFreeNode(node, graph, after, count, params->free.dptr);
  default: return rt_unsupported("cudaGraphAddNode with this type of node");
  }
}

/* ---- looking at graphs ------------------------------------------------------------------------------------------------------ */
cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type) {
  RT_ENTER();
  if (!type || !rt_handle_is(node, RT_GRAPH_NODE)) RT_RETURN(cudaErrorInvalidValue);
  *type = type_of(node);
  RT_RETURN(cudaSuccess);
}

/* CUDA's way of returning lists: with no array, the count; else as many as fit, the rest of the array set to NULL. */
typedef struct node_list { cudaGraphNode_t *nodes; size_t room, found; } node_list;
static void list_add(node_list *list, cudaGraphNode_t node) {
  if (list->nodes && list->found < list->room) list->nodes[list->found] = node;
  list->found++;
}
static cudaError_t list_end(node_list *list, size_t *count) {
  if (list->nodes)
    for (size_t i = list->found; i < list->room; i++) list->nodes[i] = NULL;
  *count = list->nodes && list->found > list->room ? list->room : list->found;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
  RT_ENTER();
  if (!count || !graph) RT_RETURN(cudaErrorInvalidValue);
  node_list list = {nodes, *count, 0};
  for (size_t i = 0; i < graph->count; i++) list_add(&list, graph->nodes[i]);
  RT_RETURN(list_end(&list, count));
}
cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
  RT_ENTER();
  if (!count || !graph) RT_RETURN(cudaErrorInvalidValue);
  node_list list = {nodes, *count, 0};
  for (size_t i = 0; i < graph->count; i++)
    if (!graph->nodes[i]->after_count) list_add(&list, graph->nodes[i]);
  RT_RETURN(list_end(&list, count));
}
cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to, cudaGraphEdgeData *data, size_t *count) {
  RT_ENTER();
  if (!count || !graph || !from != !to) RT_RETURN(cudaErrorInvalidValue);
  node_list a = {from, *count, 0}, b = {to, *count, 0};
  for (size_t i = 0; i < graph->count; i++)
    for (size_t j = 0; j < graph->nodes[i]->after_count; j++) {
      list_add(&a, graph->nodes[i]->after[j]);
      list_add(&b, graph->nodes[i]);
    }
  if (data) memset(data, 0, *count * sizeof *data);
  list_end(&a, count);
  *count = b.room;
  if (!from) *count = b.found;
  RT_RETURN(list_end(&b, count));
}
cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t *nodes, cudaGraphEdgeData *data, size_t *count) {
  RT_ENTER();
  if (!count || !rt_handle_is(node, RT_GRAPH_NODE)) RT_RETURN(cudaErrorInvalidValue);
  node_list list = {nodes, *count, 0};
  if (data) memset(data, 0, *count * sizeof *data);
  for (size_t i = 0; i < node->after_count; i++) list_add(&list, node->after[i]);
  RT_RETURN(list_end(&list, count));
}
cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t *nodes, cudaGraphEdgeData *data, size_t *count) {
  RT_ENTER();
  if (!count || !rt_handle_is(node, RT_GRAPH_NODE)) RT_RETURN(cudaErrorInvalidValue);
  node_list list = {nodes, *count, 0};
  if (data) memset(data, 0, *count * sizeof *data);
  for (size_t i = 0; i < node->graph->count; i++)
    for (size_t j = 0; j < node->graph->nodes[i]->after_count; j++)
      if (node->graph->nodes[i]->after[j] == node) list_add(&list, node->graph->nodes[i]);
  RT_RETURN(list_end(&list, count));
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t *from, const cudaGraphNode_t *to,
                                     const cudaGraphEdgeData *data, size_t count) {
  (void)data;
  RT_ENTER();
  if (!rt_handle_is(graph, RT_GRAPH) || (count && (!from || !to))) RT_RETURN(cudaErrorInvalidValue);
  for (size_t i = 0; i < count; i++) {
    if (!rt_handle_is(from[i], RT_GRAPH_NODE) || !rt_handle_is(to[i], RT_GRAPH_NODE) || from[i]->graph != graph ||
        to[i]->graph != graph || rt_graph_reaches(graph, &from[i], 1, to[i])) /* a cycle */
      RT_RETURN(cudaErrorInvalidValue);
    to[i]->after = realloc(to[i]->after, (to[i]->after_count + 1) * sizeof *to[i]->after);
    to[i]->after[to[i]->after_count++] = from[i];
  }
  RT_RETURN(cudaSuccess);
}
static void drop_edge(cudaGraphNode_t from, cudaGraphNode_t to) {
  size_t kept = 0;
  for (size_t j = 0; j < to->after_count; j++)
    if (to->after[j] != from) to->after[kept++] = to->after[j];
  to->after_count = kept;
}
cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t *from, const cudaGraphNode_t *to,
                                        const cudaGraphEdgeData *data, size_t count) {
  (void)data;
  RT_ENTER();
  if (!rt_handle_is(graph, RT_GRAPH) || (count && (!from || !to))) RT_RETURN(cudaErrorInvalidValue);
  for (size_t i = 0; i < count; i++) drop_edge(from[i], to[i]);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  RT_ENTER();
  if (!rt_handle_is(node, RT_GRAPH_NODE)) RT_RETURN(cudaErrorInvalidValue);
  cudaGraph_t graph = node->graph;
  size_t kept = 0;
  for (size_t i = 0; i < graph->count; i++) {
    drop_edge(node, graph->nodes[i]);
    if (graph->nodes[i] != node) graph->nodes[kept++] = graph->nodes[i];
  }
  graph->count = kept;
  node_free(node);
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaGraphDebugDotPrint(cudaGraph_t graph, const char *path, unsigned flags) {
  (void)flags;
  RT_ENTER();
  FILE *file = graph && path ? fopen(path, "w") : NULL;
  if (!file) RT_RETURN(cudaErrorInvalidValue);
  fprintf(file, "digraph graph_ {\n");
  for (size_t i = 0; i < graph->count; i++) {
    cudaGraphNode_t node = graph->nodes[i];
    fprintf(file, "  n%zu [label=\"%zu %s\"];\n", i, i, node->child ? "child graph" : node->work ? node->work->label : "empty");
    for (size_t j = 0; j < node->after_count; j++) fprintf(file, "  n%zu -> n%zu;\n", position(graph, node->after[j]), i);
  }
  fprintf(file, "}\n");
  fclose(file);
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaGraphKernelNodeSetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID id, const cudaLaunchAttributeValue *value) {
  RT_ENTER();
  if (!value || !rt_handle_is(node, RT_GRAPH_NODE) || type_of(node) != cudaGraphNodeTypeKernel) RT_RETURN(cudaErrorInvalidValue);
  if (id == cudaLaunchAttributePriority) node->priority = *value;
  else if (id == cudaLaunchAttributeAccessPolicyWindow) node->window = *value;
  else { rt_unsupported("cudaGraphKernelNodeSetAttribute with this attribute"); RT_RETURN(cudaErrorNotSupported); }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphKernelNodeGetAttribute(cudaGraphNode_t node, cudaLaunchAttributeID id, cudaLaunchAttributeValue *value) {
  RT_ENTER();
  if (!value || !rt_handle_is(node, RT_GRAPH_NODE) || type_of(node) != cudaGraphNodeTypeKernel) RT_RETURN(cudaErrorInvalidValue);
  if (id == cudaLaunchAttributePriority) *value = node->priority;
  else if (id == cudaLaunchAttributeAccessPolicyWindow) *value = node->window;
  else { rt_unsupported("cudaGraphKernelNodeGetAttribute with this attribute"); RT_RETURN(cudaErrorNotSupported); }
  RT_RETURN(cudaSuccess);
}

/* ---- instantiating ------------------------------------------------------------------------------------------------------------ */
static cudaGraphExec_t instantiate(cudaGraph_t graph, unsigned long long flags) {
  cudaGraphExec_t exec = calloc(1, sizeof *exec);
  exec->nodes = calloc(graph->count + 1, sizeof *exec->nodes);
  exec->count = graph->count;
  exec->flags = flags;
  for (size_t i = 0; i < graph->count; i++) {
    cudaGraphNode_t node = graph->nodes[i];
    exec_node *to = &exec->nodes[i];
    to->source = node;
    to->type = type_of(node);
    to->work = rt_work_retain(node->work);
    to->after = calloc(node->after_count + 1, sizeof *to->after);
    to->after_count = node->after_count;
    for (size_t j = 0; j < node->after_count; j++) to->after[j] = position(graph, node->after[j]);
    if (node->child) to->child = instantiate(node->child, flags);
  }
  return exec;
}

static void exec_free(cudaGraphExec_t exec) {
  for (size_t i = 0; i < exec->count; i++) {
    rt_work_release(exec->nodes[i].work);
    if (exec->nodes[i].child) exec_free(exec->nodes[i].child);
    free(exec->nodes[i].after);
  }
  rt_marker_release(exec->last);
  free(exec->nodes);
  free(exec);
}

static exec_node *exec_find(cudaGraphExec_t exec, cudaGraphNode_t node) {
  for (size_t i = 0; i < exec->count; i++) {
    if (exec->nodes[i].source == node) return &exec->nodes[i];
    exec_node *inner = exec->nodes[i].child ? exec_find(exec->nodes[i].child, node) : NULL;
    if (inner) return inner;
  }
  return NULL;
}

static cudaError_t exec_set(cudaGraphExec_t exec, cudaGraphNode_t node, rt_work *work, cudaError_t error) {
  if (!work) return error;
  exec_node *found = rt_handle_is(exec, RT_GRAPH_EXEC) ? exec_find(exec, node) : NULL;
  if (!found || found->type != work->type) { rt_work_release(work); return cudaErrorInvalidValue; }
  rt_work_release(found->work);
  found->work = work;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  RT_ENTER();
  if (!exec || !rt_handle_is(graph, RT_GRAPH)) RT_RETURN(cudaErrorInvalidValue);
  if (flags & cudaGraphInstantiateFlagDeviceLaunch) {
    rt_unsupported("cudaGraphInstantiateFlagDeviceLaunch");
    RT_RETURN(cudaErrorNotSupported);
  }
  *exec = instantiate(graph, flags);
  rt_handle_add(*exec, RT_GRAPH_EXEC);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiateWithFlags(exec, graph, flags);
}
cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t *exec, cudaGraph_t graph, cudaGraphInstantiateParams *params) {
  if (!params) { RT_ENTER(); RT_RETURN(cudaErrorInvalidValue); }
  cudaError_t error = cudaGraphInstantiateWithFlags(exec, graph, params->flags & ~(unsigned long long)cudaGraphInstantiateFlagUpload);
  params->errNode_out = NULL;
  params->result_out = error ? cudaGraphInstantiateError : cudaGraphInstantiateSuccess;
  return error;
}
cudaError_t cudaGraphInstantiateWithParams_ptsz(cudaGraphExec_t *exec, cudaGraph_t graph, cudaGraphInstantiateParams *params) {
  return cudaGraphInstantiateWithParams(exec, graph, params);
}
cudaError_t cudaGraphExecGetFlags(cudaGraphExec_t exec, unsigned long long *flags) {
  RT_ENTER();
  if (!flags || !rt_handle_is(exec, RT_GRAPH_EXEC)) RT_RETURN(cudaErrorInvalidValue);
  *flags = exec->flags;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  RT_ENTER();
  if (!rt_handle_is(exec, RT_GRAPH_EXEC)) RT_RETURN(cudaErrorInvalidValue);
  rt_handle_remove(exec);
  exec_free(exec);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
  RT_ENTER();
  cudaStream_t resolved;
  RT_RETURN(rt_handle_is(exec, RT_GRAPH_EXEC) ? rt_stream(stream, &resolved) : cudaErrorInvalidValue);
}
cudaError_t cudaGraphUpload_ptsz(cudaGraphExec_t exec, cudaStream_t stream) { return cudaGraphUpload(exec, rt_per_thread(stream)); }

/* ---- updating ------------------------------------------------------------------------------------------------------------------ */
static enum cudaGraphExecUpdateResult compare(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphNode_t *culprit) {
  if (exec->count != graph->count) return cudaGraphExecUpdateErrorTopologyChanged;
  for (size_t i = 0; i < exec->count; i++) {
    cudaGraphNode_t node = graph->nodes[i];
    exec_node *old = &exec->nodes[i];
    *culprit = node;
    if (old->type != type_of(node)) return cudaGraphExecUpdateErrorNodeTypeChanged;
    if (old->after_count != node->after_count) return cudaGraphExecUpdateErrorTopologyChanged;
    for (size_t j = 0; j < node->after_count; j++)
      if (old->after[j] != position(graph, node->after[j])) return cudaGraphExecUpdateErrorTopologyChanged;
    if (old->child) {
      enum cudaGraphExecUpdateResult inner = compare(old->child, node->child, culprit);
      if (inner) return inner;
    }
    if (old->type == cudaGraphNodeTypeMemAlloc || old->type == cudaGraphNodeTypeMemFree) return cudaGraphExecUpdateErrorNotSupported;
  }
  *culprit = NULL;
  return cudaGraphExecUpdateSuccess;
}

static void adopt(cudaGraphExec_t exec, cudaGraph_t graph) {
  for (size_t i = 0; i < exec->count; i++) {
    rt_work *work = rt_work_retain(graph->nodes[i]->work);
    rt_work_release(exec->nodes[i].work);
    exec->nodes[i].work = work;
    if (exec->nodes[i].child) adopt(exec->nodes[i].child, graph->nodes[i]->child);
  }
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *info) {
  RT_ENTER();
  if (!rt_handle_is(exec, RT_GRAPH_EXEC) || !rt_handle_is(graph, RT_GRAPH)) RT_RETURN(cudaErrorInvalidValue);
  cudaGraphNode_t culprit = NULL;
  enum cudaGraphExecUpdateResult result = compare(exec, graph, &culprit);
  if (info) *info = (cudaGraphExecUpdateResultInfo){result, culprit, NULL};
  if (result) RT_RETURN(cudaErrorGraphExecUpdateFailure);
  adopt(exec, graph);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned enabled) {
  RT_ENTER();
  exec_node *found = rt_handle_is(exec, RT_GRAPH_EXEC) ? exec_find(exec, node) : NULL;
  if (!found || (found->type != cudaGraphNodeTypeKernel && found->type != cudaGraphNodeTypeMemset && found->type != cudaGraphNodeTypeMemcpy))
    RT_RETURN(cudaErrorInvalidValue);
  found->disabled = !enabled;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t exec, cudaGraphNode_t node, unsigned *enabled) {
  RT_ENTER();
  exec_node *found = enabled && rt_handle_is(exec, RT_GRAPH_EXEC) ? exec_find(exec, node) : NULL;
  if (found) *enabled = !found->disabled;
  RT_RETURN(found ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaGraphExecChildGraphNodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node, cudaGraph_t graph) {
  RT_ENTER();
  exec_node *found = rt_handle_is(exec, RT_GRAPH_EXEC) ? exec_find(exec, node) : NULL;
  cudaGraphNode_t culprit;
  if (!found || !found->child || !graph || compare(found->child, graph, &culprit)) RT_RETURN(cudaErrorInvalidValue);
  adopt(found->child, graph);
  RT_RETURN(cudaSuccess);
}

/* ---- launching ------------------------------------------------------------------------------------------------------------------- */
/* A launch flattens the executable graph into steps. A child graph becomes a step that begins it, its nodes, and a step
 * that ends it. */
typedef struct step { rt_work *work; size_t *after, after_count; } step;
typedef struct graph_work { rt_work work; step *steps; size_t count, capacity; } graph_work;

static size_t step_add(graph_work *graph, rt_work *work) {
  if (graph->count == graph->capacity) {
    graph->capacity = graph->capacity ? graph->capacity * 2 : 32;
    graph->steps = realloc(graph->steps, graph->capacity * sizeof *graph->steps);
  }
  graph->steps[graph->count] = (step){rt_work_retain(work), NULL, 0};
  return graph->count++;
}
static void step_after(graph_work *graph, size_t index, size_t before) {
  step *s = &graph->steps[index];
  s->after = realloc(s->after, (s->after_count + 1) * sizeof *s->after);
  s->after[s->after_count++] = before;
}

static void flatten(graph_work *graph, cudaGraphExec_t exec, size_t begin, size_t end, bool nested) {
  size_t *first = calloc(exec->count + 1, sizeof *first), *last = calloc(exec->count + 1, sizeof *last);
  for (size_t i = 0; i < exec->count; i++) {
    exec_node *node = &exec->nodes[i];
    first[i] = last[i] = step_add(graph, node->disabled ? NULL : node->work);
    if (!node->child) continue;
    last[i] = step_add(graph, NULL);
    step_after(graph, last[i], first[i]);
    flatten(graph, node->child, first[i], last[i], true);
  }
  for (size_t i = 0; i < exec->count; i++) {
    for (size_t j = 0; j < exec->nodes[i].after_count; j++) step_after(graph, first[i], last[exec->nodes[i].after[j]]);
    if (nested) { step_after(graph, first[i], begin); step_after(graph, end, last[i]); }
  }
  free(first);
  free(last);
}

static bool step_ready(const graph_work *graph, const bool *done, size_t index) {
  const step *s = &graph->steps[index];
  if (done[index]) return false;
  for (size_t j = 0; j < s->after_count; j++)
    if (!done[s->after[j]]) return false;
  return true;
}

static size_t choose_step(const graph_work *graph, const bool *done) {
  size_t chosen = SIZE_MAX;
  uint64_t ready = 0;
  for (size_t i = graph->count; i-- > 0;) {
    if (!step_ready(graph, done, i)) continue;
    if (!rt_settings.seeded) return i;
    if (rt_random() % ++ready == 0) chosen = i;
  }
  return chosen;
}

static cudaError_t graph_run(rt_work *work) {
  const graph_work *graph = (graph_work *)work;
  bool *done = calloc(graph->count + 1, sizeof *done);
  cudaError_t error = cudaSuccess;
  for (size_t left = graph->count; left && !error; left--) {
    size_t chosen = choose_step(graph, done);
    const step *s = &graph->steps[chosen];
    done[chosen] = true;
    if (s->work && rt_settings.trace) fprintf(stderr, "simt:   graph node %s\n", s->work->label);
    error = s->work ? s->work->run(s->work) : cudaSuccess;
  }
  free(done);
  return error;
}

static void graph_release(rt_work *work) {
  graph_work *graph = (graph_work *)work;
  for (size_t i = 0; i < graph->count; i++) { rt_work_release(graph->steps[i].work); free(graph->steps[i].after); }
  free(graph->steps);
}

/* Into a capturing stream a launch is captured as one node that holds the whole graph as it is now. */
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  RT_ENTER();
  if (!rt_handle_is(exec, RT_GRAPH_EXEC)) RT_RETURN(cudaErrorInvalidValue);
  graph_work *graph = (graph_work *)rt_work_new(sizeof *graph, cudaGraphNodeTypeGraph, "graph", graph_run, graph_release);
  flatten(graph, exec, 0, 0, false);
  rt_marker *mark = NULL;
  cudaError_t error = rt_submit_waiting(stream, &graph->work, exec->last, &mark);
  if (error) RT_RETURN(error);
  simt_count_one(SIMT_COUNT_graph_launches);
  if (mark) {
    rt_marker_release(exec->last);
    exec->last = mark;
  }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphLaunch_ptsz(cudaGraphExec_t exec, cudaStream_t stream) { return cudaGraphLaunch(exec, rt_per_thread(stream)); }

cudaError_t cudaDeviceGraphMemTrim(int device) {
  RT_ENTER();
  RT_RETURN(device >= 0 && device < rt_settings.devices ? cudaSuccess : cudaErrorInvalidDevice);
}

/* ---- user objects ------------------------------------------------------------------------------------------------------------------ */
cudaError_t cudaUserObjectCreate(cudaUserObject_t *object, void *data, cudaHostFn_t destroy, unsigned references, unsigned flags) {
  RT_ENTER();
  if (!object || !destroy || !references || flags != cudaUserObjectNoDestructorSync) RT_RETURN(cudaErrorInvalidValue);
  *object = calloc(1, sizeof **object);
  **object = (struct CUuserObject_st){(int)references, destroy, data};
  rt_handle_add(*object, RT_USER_OBJECT);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaUserObjectRetain(cudaUserObject_t object, unsigned count) {
  RT_ENTER();
  if (!rt_handle_is(object, RT_USER_OBJECT)) RT_RETURN(cudaErrorInvalidValue);
  object->references += (int)count;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaUserObjectRelease(cudaUserObject_t object, unsigned count) {
  RT_ENTER();
  if (!rt_handle_is(object, RT_USER_OBJECT)) RT_RETURN(cudaErrorInvalidValue);
  object_release(object, (int)count);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaGraphRetainUserObject(cudaGraph_t graph, cudaUserObject_t object, unsigned count, unsigned flags) {
  RT_ENTER();
  if (!rt_handle_is(graph, RT_GRAPH) || !rt_handle_is(object, RT_USER_OBJECT) || !count) RT_RETURN(cudaErrorInvalidValue);
  if (!(flags & cudaGraphUserObjectMove)) object->references += (int)count;
  for (unsigned i = 0; i < count; i++) {
    graph->objects = realloc(graph->objects, (graph->object_count + 1) * sizeof *graph->objects);
    graph->objects[graph->object_count++] = object;
  }
  RT_RETURN(cudaSuccess);
}
