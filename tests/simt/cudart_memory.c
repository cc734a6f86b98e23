/* cudart_memory.c: allocation, pools, pinned and managed memory, copies, fills, symbols. */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool memory_in_arena(uint64_t address); /* memory.c: whether an address, live or not, is one that simt hands out */

typedef enum block_kind { BLOCK_MALLOC, BLOCK_ASYNC, BLOCK_MANAGED, BLOCK_PINNED, BLOCK_REGISTERED } block_kind;
typedef struct block {
  char *base;
  size_t bytes;
  block_kind kind;
  int device;
  unsigned flags;
  cudaMemPool_t pool;
  bool freeing; /* cudaFreeAsync has been called */
  bool in_graph; /* keeps its place until the graph goes: freeing it only ends its contents */
} block;

struct CUmemPoolHandle_st {
  int device;
  bool is_default;
  int reuse[4];
  uint64_t threshold, used, used_high, reserved_high;
  struct cudaMemPoolProps props;
};

/* ---- the table of blocks, sorted by address ------------------------------------------------------------------------- */
static block *blocks;
static size_t block_count, block_capacity;
static size_t used_bytes[RT_MAX_DEVICES];

static size_t block_position(const void *pointer) { /* the first block whose base lies beyond pointer */
  size_t low = 0, high = block_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (blocks[middle].base <= (const char *)pointer) low = middle + 1;
    else high = middle;
  }
  return low;
}

static block *block_of(const void *pointer) { /* the block that holds pointer */
  size_t position = block_position(pointer);
  if (!position) return NULL;
  block *found = &blocks[position - 1];
  size_t extent = found->bytes ? found->bytes : 1;
  return (size_t)((const char *)pointer - found->base) < extent ? found : NULL;
}

static block *block_at(const void *base) {
  block *found = block_of(base);
  return found && found->base == base ? found : NULL;
}

static void block_add(block value) {
  if (block_count == block_capacity) {
    block_capacity = block_capacity ? block_capacity * 2 : 256;
    blocks = realloc(blocks, block_capacity * sizeof *blocks);
  }
  size_t position = block_position(value.base);
  memmove(blocks + position + 1, blocks + position, (block_count - position) * sizeof *blocks);
  blocks[position] = value;
  block_count++;
}

static void block_remove(block *entry) {
  size_t position = (size_t)(entry - blocks);
  memmove(blocks + position, blocks + position + 1, (block_count - position - 1) * sizeof *blocks);
  block_count--;
}

size_t rt_memory_used(void) { return used_bytes[rt_device()]; }

/* ---- where a pointer points ------------------------------------------------------------------------------------------ */
bool rt_is_device(const void *pointer) { return memory_in_arena((uint64_t)pointer); }

rt_place rt_where(const void *pointer) {
  if (rt_is_device(pointer)) return simt_mem_find(pointer, NULL, NULL) ? RT_DEVICE_MEMORY : RT_BAD_DEVICE;
  block *found = block_of(pointer);
  if (!found) return RT_PAGEABLE;
  return found->kind == BLOCK_MANAGED ? RT_MANAGED : RT_PINNED;
}

void *rt_resolve(const void *pointer, size_t bytes) {
  if (rt_is_device(pointer)) return simt_mem_host(pointer, bytes);
  block *found = block_of(pointer);
  if (found && bytes > (size_t)(found->base + found->bytes - (const char *)pointer) && found->kind != BLOCK_REGISTERED)
    return NULL;
  return (void *)pointer;
}

void rt_define(const void *pointer, size_t bytes) {
  if (bytes && rt_is_device(pointer)) simt_mem_mark_defined(pointer, bytes, 1);
}

size_t rt_first_undefined(const void *pointer, size_t bytes) {
  if (!rt_is_device(pointer) || simt_mem_is_defined(pointer, bytes)) return bytes;
  size_t low = 0, length = bytes; /* bytes [0, low) are defined; an undefined one lies in [low, low+length) */
  while (length > 1) {
    size_t half = length / 2;
    if (simt_mem_is_defined((const char *)pointer + low, half)) { low += half; length -= half; }
    else length = half;
  }
  return low;
}

/* Carries the shadow state of one range to another: copying undefined bytes makes undefined bytes. */
static void copy_definedness(char *to, const char *from, size_t bytes) {
  if (!rt_is_device(to)) return;
  if (!rt_is_device(from) || simt_mem_is_defined(from, bytes)) { simt_mem_mark_defined(to, bytes, 1); return; }
  if (bytes == 1) { simt_mem_mark_defined(to, 1, 0); return; }
  copy_definedness(to, from, bytes / 2);
  copy_definedness(to + bytes / 2, from + bytes / 2, bytes - bytes / 2);
}

/* What a failed bounds check says about a pointer. */
static void describe(const void *pointer, size_t bytes, char *text, size_t size) {
  void *base;
  size_t extent;
  block *found = block_of(pointer);
  if (rt_is_device(pointer) && !simt_mem_find(pointer, &base, &extent))
    snprintf(text, size, "%p is not in any live device allocation (freed, or never allocated)", pointer);
  else {
    if (!rt_is_device(pointer) && found) { base = found->base; extent = found->bytes; }
    else if (!rt_is_device(pointer)) { snprintf(text, size, "%p is pageable host memory", pointer); return; }
    size_t offset = (size_t)((const char *)pointer - (char *)base);
    snprintf(text, size, "%zu bytes at %p end %zu bytes past the allocation of %zu bytes at %p", bytes, pointer,
             offset + bytes - extent, extent, base);
  }
}

void *rt_touch(const char *call, const char *what, const void *pointer, size_t bytes, bool reads, bool writes) {
  rt_place place = rt_where(pointer);
  void *host = place == RT_PAGEABLE ? NULL : rt_resolve(pointer, bytes);
  if (!host) {
    char text[200];
    describe(pointer, bytes, text, sizeof text);
    simt_error("memcheck", "in %s: %s %s: %s", call, writes ? "write of" : "read of", what, text);
    rt_fault();
    return NULL;
  }
  if (reads) {
    size_t at = rt_first_undefined(pointer, bytes);
    if (at < bytes)
      simt_error("initcheck", "in %s: read of %s: the byte %zu at %p was never written", call, what, at,
                 (const void *)((const char *)pointer + at));
  }
  if (writes) rt_define(pointer, bytes);
  return host;
}

/* ---- pools ----------------------------------------------------------------------------------------------------------- */
static struct CUmemPoolHandle_st default_pools[RT_MAX_DEVICES];
static cudaMemPool_t current_pools[RT_MAX_DEVICES];

static cudaMemPool_t default_pool(int device) {
  default_pools[device].device = device;
  default_pools[device].is_default = true;
  return &default_pools[device];
}
static bool pool_ok(cudaMemPool_t pool) {
  return (pool >= default_pools && pool < default_pools + RT_MAX_DEVICES) || rt_handle_is(pool, RT_POOL);
}
static cudaMemPool_t current_pool(int device) {
  return current_pools[device] ? current_pools[device] : default_pool(device);
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
  RT_ENTER();
  if (!pool) RT_RETURN(cudaErrorInvalidValue);
  if (device < 0 || device >= rt_settings.devices) RT_RETURN(cudaErrorInvalidDevice);
  *pool = default_pool(device);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceGetMemPool(cudaMemPool_t *pool, int device) {
  RT_ENTER();
  if (!pool) RT_RETURN(cudaErrorInvalidValue);
  if (device < 0 || device >= rt_settings.devices) RT_RETURN(cudaErrorInvalidDevice);
  *pool = current_pool(device);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
  RT_ENTER();
  if (device < 0 || device >= rt_settings.devices) RT_RETURN(cudaErrorInvalidDevice);
  if (!pool_ok(pool) || pool->device != device) RT_RETURN(cudaErrorInvalidValue);
  current_pools[device] = pool;
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *props) {
  RT_ENTER();
  if (!pool || !props || props->allocType != cudaMemAllocationTypePinned) RT_RETURN(cudaErrorInvalidValue);
  if (props->handleTypes != cudaMemHandleTypeNone || props->location.type != cudaMemLocationTypeDevice)
    RT_RETURN(cudaErrorNotSupported);
  if (props->location.id < 0 || props->location.id >= rt_settings.devices) RT_RETURN(cudaErrorInvalidDevice);
  *pool = calloc(1, sizeof **pool);
  (*pool)->device = props->location.id;
  (*pool)->props = *props;
  rt_handle_add(*pool, RT_POOL);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  RT_ENTER();
  if (!rt_handle_is(pool, RT_POOL)) RT_RETURN(cudaErrorInvalidValue);
  if (current_pools[pool->device] == pool) current_pools[pool->device] = NULL;
  rt_handle_remove(pool); /* the memory stays: allocations may outlive their pool's handle */
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t keep) {
  (void)keep;
  RT_ENTER();
  RT_RETURN(pool_ok(pool) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr id, void *value) {
  RT_ENTER();
  if (!pool_ok(pool) || !value) RT_RETURN(cudaErrorInvalidValue);
  switch (id) {
  case cudaMemPoolReuseFollowEventDependencies:
  case cudaMemPoolReuseAllowOpportunistic:
  case cudaMemPoolReuseAllowInternalDependencies: pool->reuse[id] = *(int *)value; break;
  case cudaMemPoolAttrReleaseThreshold: pool->threshold = *(uint64_t *)value; break;
  case cudaMemPoolAttrReservedMemHigh: case cudaMemPoolAttrUsedMemHigh:
    if (*(uint64_t *)value) RT_RETURN(cudaErrorInvalidValue); /* only a reset to 0 is allowed */
    if (id == cudaMemPoolAttrUsedMemHigh) pool->used_high = pool->used;
    else pool->reserved_high = pool->used;
    break;
  default: RT_RETURN(cudaErrorInvalidValue);
  }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr id, void *value) {
  RT_ENTER();
  if (!pool_ok(pool) || !value) RT_RETURN(cudaErrorInvalidValue);
  switch (id) {
  case cudaMemPoolReuseFollowEventDependencies:
  case cudaMemPoolReuseAllowOpportunistic:
  case cudaMemPoolReuseAllowInternalDependencies: *(int *)value = pool->reuse[id]; break;
  case cudaMemPoolAttrReleaseThreshold: *(uint64_t *)value = pool->threshold; break;
  case cudaMemPoolAttrReservedMemCurrent: case cudaMemPoolAttrUsedMemCurrent: *(uint64_t *)value = pool->used; break;
  case cudaMemPoolAttrReservedMemHigh: *(uint64_t *)value = pool->reserved_high; break;
  case cudaMemPoolAttrUsedMemHigh: *(uint64_t *)value = pool->used_high; break;
  default: RT_RETURN(cudaErrorInvalidValue);
  }
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const struct cudaMemAccessDesc *list, size_t count) {
  RT_ENTER();
  RT_RETURN(pool_ok(pool) && (list || !count) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaMemPoolGetAccess(enum cudaMemAccessFlags *flags, cudaMemPool_t pool, struct cudaMemLocation *location) {
  RT_ENTER();
  if (!flags || !location || !pool_ok(pool)) RT_RETURN(cudaErrorInvalidValue);
  *flags = cudaMemAccessFlagsProtReadWrite;
  RT_RETURN(cudaSuccess);
}

/* ---- device memory --------------------------------------------------------------------------------------------------- */
static cudaError_t allocate_block(void **pointer, size_t bytes, block_kind kind, cudaMemPool_t pool) {
  int device = pool ? pool->device : rt_device();
  *pointer = NULL;
  if (!bytes) return kind == BLOCK_MALLOC ? cudaSuccess : cudaErrorInvalidValue;
  if (bytes > rt_settings.memory || used_bytes[device] > rt_settings.memory - bytes) return cudaErrorMemoryAllocation;
  void *memory = simt_mem_alloc(bytes);
  if (!memory) return cudaErrorMemoryAllocation;
  block_add((block){memory, bytes, kind, device, 0, pool, false, false});
  used_bytes[device] += bytes;
  if (pool) {
    pool->used += bytes;
    if (pool->used > pool->used_high) pool->used_high = pool->used;
    if (pool->used > pool->reserved_high) pool->reserved_high = pool->used;
  }
  *pointer = memory;
  simt_count_one(SIMT_COUNT_allocations);
  return cudaSuccess;
}

static void free_block(block *entry) {
  if (entry->in_graph) { simt_mem_mark_defined(entry->base, entry->bytes, 0); return; }
  used_bytes[entry->device] -= entry->bytes;
  if (entry->pool && pool_ok(entry->pool)) entry->pool->used -= entry->bytes;
  simt_mem_free(entry->base);
  block_remove(entry);
}

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
  RT_ENTER();
  if (!pointer) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_refuse_if_capturing();
  RT_RETURN(error ? error : allocate_block(pointer, bytes, BLOCK_MALLOC, NULL));
}

static cudaError_t bad_free(const char *call, void *pointer) {
  char text[200];
  describe(pointer, 0, text, sizeof text);
  if (rt_is_device(pointer) && block_of(pointer)) snprintf(text, sizeof text, "%p is inside an allocation, not its start", pointer);
  simt_error("memcheck", "in %s: invalid or double free: %s", call, text);
  return cudaErrorInvalidValue;
}

static void unmap_host(block *entry) {
  simt_mem_unregister_host(entry->base);
  if (entry->kind != BLOCK_REGISTERED) munmap(entry->base, (entry->bytes + 4095) & ~(size_t)4095);
  block_remove(entry);
}

cudaError_t cudaFree(void *pointer) {
  RT_ENTER();
  if (!pointer) RT_RETURN(cudaSuccess);
  cudaError_t error = rt_refuse_if_capturing();
  if (error) RT_RETURN(error);
  simt_count_one(SIMT_COUNT_frees);
  simt_count_one(SIMT_COUNT_synchronizations);
  error = rt_drain_device(); /* cudaFree waits for the device */
  if (error) RT_RETURN(error);
  block *entry = block_at(pointer);
  if (!entry || entry->freeing || entry->kind == BLOCK_PINNED || entry->kind == BLOCK_REGISTERED)
    RT_RETURN(bad_free("cudaFree", pointer));
  if (entry->kind == BLOCK_MANAGED) unmap_host(entry);
  else free_block(entry);
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
  RT_ENTER();
  if (available) *available = rt_settings.memory - used_bytes[rt_device()];
  if (total) *total = rt_settings.memory;
  RT_RETURN(cudaSuccess);
}

static size_t round_pitch(size_t width) { return (width + 511) & ~(size_t)511; }

cudaError_t cudaMallocPitch(void **pointer, size_t *pitch, size_t width, size_t height) {
  RT_ENTER();
  if (!pointer || !pitch) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_refuse_if_capturing();
  *pitch = round_pitch(width);
  RT_RETURN(error ? error : allocate_block(pointer, *pitch * height, BLOCK_MALLOC, NULL));
}
cudaError_t cudaMalloc3D(struct cudaPitchedPtr *pitched, struct cudaExtent extent) {
  RT_ENTER();
  if (!pitched) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_refuse_if_capturing();
  pitched->pitch = round_pitch(extent.width);
  pitched->xsize = extent.width;
  pitched->ysize = extent.height;
  RT_RETURN(error ? error : allocate_block(&pitched->ptr, pitched->pitch * extent.height * extent.depth, BLOCK_MALLOC, NULL));
}

/* ---- stream-ordered memory --------------------------------------------------------------------------------------------- */
typedef struct free_work { rt_work work; void *pointer; } free_work;

static cudaError_t free_run(rt_work *work) {
  block *entry = block_at(((free_work *)work)->pointer);
  if (entry) free_block(entry);
  return cudaSuccess;
}

/* In a graph the memory lives as long as the works that name it: its address must be the same in every launch. */
typedef struct graph_memory { rt_work work; void *pointer; size_t bytes; bool frees; } graph_memory;
static cudaError_t graph_memory_run(rt_work *work) {
  graph_memory *memory = (graph_memory *)work;
  simt_mem_mark_defined(memory->pointer, memory->bytes, 0); /* allocated anew, or gone: either way no contents */
  return cudaSuccess;
}
static void graph_memory_release(rt_work *work) {
  graph_memory *memory = (graph_memory *)work;
  block *entry = memory->frees ? NULL : block_at(memory->pointer);
  if (!entry) return;
  entry->in_graph = false;
  free_block(entry);
}
static rt_work *graph_memory_work(void *pointer, size_t bytes, bool frees) {
  graph_memory *memory = (graph_memory *)rt_work_new(
      sizeof *memory, frees ? cudaGraphNodeTypeMemFree : cudaGraphNodeTypeMemAlloc, frees ? "graph free" : "graph allocation",
      graph_memory_run, graph_memory_release);
  memory->pointer = pointer;
  memory->bytes = bytes;
  memory->frees = frees;
  if (!frees) block_at(pointer)->in_graph = true;
  return &memory->work;
}

rt_work *rt_graph_alloc_work(struct cudaMemAllocNodeParams *params, cudaError_t *error) {
  const struct cudaMemPoolProps *props = &params->poolProps;
  *error = cudaErrorInvalidValue;
  if (props->allocType != cudaMemAllocationTypePinned || props->location.type != cudaMemLocationTypeDevice) return NULL;
  if (props->location.id < 0 || props->location.id >= rt_settings.devices) return NULL;
  *error = allocate_block(&params->dptr, params->bytesize, BLOCK_ASYNC, current_pool(props->location.id));
  return *error ? NULL : graph_memory_work(params->dptr, params->bytesize, false);
}
rt_work *rt_graph_free_work(void *pointer, cudaError_t *error) {
  block *entry = block_at(pointer);
  *error = entry && entry->in_graph ? cudaSuccess : cudaErrorInvalidValue;
  return *error ? NULL : graph_memory_work(pointer, entry->bytes, true);
}
bool rt_graph_memory_of(rt_work *work, void **pointer, size_t *bytes, bool *frees) {
  if (!work || work->run != graph_memory_run) return false;
  const graph_memory *memory = (graph_memory *)work;
  *pointer = memory->pointer;
  *bytes = memory->bytes;
  *frees = memory->frees;
  return true;
}

static cudaError_t malloc_async(void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t handle) {
  cudaStream_t stream;
  if (!pointer) return cudaErrorInvalidValue;
  cudaError_t error = rt_stream(handle, &stream);
  if (error) return error;
  if (!pool) pool = current_pool(stream->device);
  if (!bytes) { *pointer = NULL; return cudaSuccess; }
  error = allocate_block(pointer, bytes, BLOCK_ASYNC, pool);
  if (error == cudaErrorMemoryAllocation && !stream->capture && !rt_drain_device()) /* frees may be queued */
    error = allocate_block(pointer, bytes, BLOCK_ASYNC, pool);
  if (!error && stream->capture) error = rt_submit(handle, graph_memory_work(*pointer, bytes, false));
  return error;
}

cudaError_t cudaMallocAsync(void **pointer, size_t bytes, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(malloc_async(pointer, bytes, NULL, stream));
}
cudaError_t cudaMallocAsync_ptsz(void **pointer, size_t bytes, cudaStream_t stream) {
  return cudaMallocAsync(pointer, bytes, rt_per_thread(stream));
}
cudaError_t cudaMallocFromPoolAsync(void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(pool_ok(pool) ? malloc_async(pointer, bytes, pool, stream) : cudaErrorInvalidValue);
}
cudaError_t cudaMallocFromPoolAsync_ptsz(void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
  return cudaMallocFromPoolAsync(pointer, bytes, pool, rt_per_thread(stream));
}

cudaError_t cudaFreeAsync(void *pointer, cudaStream_t handle) {
  RT_ENTER();
  cudaStream_t stream;
  if (!pointer) RT_RETURN(cudaSuccess);
  cudaError_t error = rt_stream(handle, &stream);
  if (error) RT_RETURN(error);
  block *entry = block_at(pointer);
  if (!entry || entry->freeing || entry->kind != BLOCK_ASYNC) RT_RETURN(bad_free("cudaFreeAsync", pointer));
  simt_count_one(SIMT_COUNT_frees);
  if (stream->capture) RT_RETURN(rt_submit(handle, graph_memory_work(pointer, entry->bytes, true)));
  entry->freeing = !entry->in_graph;
  free_work *work = (free_work *)rt_work_new(sizeof *work, cudaGraphNodeTypeMemFree, "cudaFreeAsync", free_run, NULL);
  work->pointer = pointer;
  RT_RETURN(rt_submit(handle, &work->work));
}
cudaError_t cudaFreeAsync_ptsz(void *pointer, cudaStream_t stream) { return cudaFreeAsync(pointer, rt_per_thread(stream)); }

/* ---- pinned and managed memory ------------------------------------------------------------------------------------------ */
static cudaError_t map_host(void **pointer, size_t bytes, block_kind kind, unsigned flags) {
  size_t whole = (bytes + 4095) & ~(size_t)4095;
  void *memory = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return cudaErrorMemoryAllocation;
  simt_mem_register_host(memory, bytes);
  block_add((block){memory, bytes, kind, rt_device(), flags, NULL, false, false});
  *pointer = memory;
  simt_count_one(SIMT_COUNT_allocations);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned flags) {
  RT_ENTER();
  if (!pointer || flags & ~7u) RT_RETURN(cudaErrorInvalidValue);
  *pointer = NULL;
  cudaError_t error = rt_refuse_if_capturing();
  RT_RETURN(error || !bytes ? error : map_host(pointer, bytes, BLOCK_PINNED, flags));
}
cudaError_t cudaMallocHost(void **pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, 0); }

cudaError_t cudaMallocManaged(void **pointer, size_t bytes, unsigned flags) {
  RT_ENTER();
  if (!pointer || !bytes || (flags != cudaMemAttachGlobal && flags != cudaMemAttachHost)) RT_RETURN(cudaErrorInvalidValue);
  *pointer = NULL;
  cudaError_t error = rt_refuse_if_capturing();
  RT_RETURN(error ? error : map_host(pointer, bytes, BLOCK_MANAGED, flags));
}

/* The host's alias of a __managed__ variable: managed memory that nobody frees. */
void rt_adopt_managed(void *host, size_t bytes) {
  simt_mem_register_host(host, bytes);
  block_add((block){host, bytes, BLOCK_REGISTERED, rt_device(), cudaMemAttachGlobal, NULL, false, false});
}

cudaError_t cudaFreeHost(void *pointer) {
  RT_ENTER();
  if (!pointer) RT_RETURN(cudaSuccess);
  cudaError_t error = rt_refuse_if_capturing();
  simt_count_one(SIMT_COUNT_frees);
  simt_count_one(SIMT_COUNT_synchronizations);
  if (!error) error = rt_drain_device();
  if (error) RT_RETURN(error);
  block *entry = block_at(pointer);
  if (!entry || entry->kind != BLOCK_PINNED) RT_RETURN(bad_free("cudaFreeHost", pointer));
  unmap_host(entry);
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaHostRegister(void *pointer, size_t bytes, unsigned flags) {
  RT_ENTER();
  if (!pointer || !bytes) RT_RETURN(cudaErrorInvalidValue);
  cudaError_t error = rt_refuse_if_capturing();
  if (error) RT_RETURN(error);
  if (rt_is_device(pointer)) RT_RETURN(cudaErrorInvalidValue);
  if (block_of(pointer) || block_of((char *)pointer + bytes - 1)) RT_RETURN(cudaErrorHostMemoryAlreadyRegistered);
  simt_mem_register_host(pointer, bytes);
  block_add((block){pointer, bytes, BLOCK_REGISTERED, rt_device(), flags, NULL, false, false});
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaHostUnregister(void *pointer) {
  RT_ENTER();
  cudaError_t error = rt_refuse_if_capturing();
  if (!error) error = rt_drain_device();
  if (error) RT_RETURN(error);
  block *entry = pointer ? block_at(pointer) : NULL;
  if (!entry || entry->kind != BLOCK_REGISTERED) RT_RETURN(pointer ? cudaErrorHostMemoryNotRegistered : cudaErrorInvalidValue);
  unmap_host(entry);
  RT_RETURN(cudaSuccess);
}
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags) {
  RT_ENTER();
  if (!device || flags) RT_RETURN(cudaErrorInvalidValue);
  block *entry = rt_is_device(host) ? NULL : block_of(host);
  *device = entry ? host : NULL;
  RT_RETURN(entry ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaHostGetFlags(unsigned *flags, void *host) {
  RT_ENTER();
  block *entry = block_of(host);
  if (!flags || !entry || entry->kind != BLOCK_PINNED) RT_RETURN(cudaErrorInvalidValue);
  *flags = entry->flags | cudaHostAllocMapped;
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer) {
  RT_ENTER();
  if (!attributes) RT_RETURN(cudaErrorInvalidValue);
  memset(attributes, 0, sizeof *attributes);
  block *entry = block_of(pointer);
  switch (rt_where(pointer)) {
  case RT_DEVICE_MEMORY:
    attributes->type = cudaMemoryTypeDevice;
    attributes->device = entry ? entry->device : 0;
    attributes->devicePointer = (void *)pointer;
    break;
  case RT_PINNED: case RT_MANAGED:
    attributes->type = entry->kind == BLOCK_MANAGED ? cudaMemoryTypeManaged : cudaMemoryTypeHost;
    attributes->device = entry->device;
    attributes->devicePointer = attributes->hostPointer = (void *)pointer;
    break;
  case RT_BAD_DEVICE: RT_RETURN(cudaErrorInvalidValue);
  default:
    attributes->type = cudaMemoryTypeUnregistered;
    attributes->device = cudaInvalidDeviceId;
    attributes->hostPointer = (void *)pointer;
  }
  RT_RETURN(cudaSuccess);
}

cudaError_t cudaMemPrefetchAsync(const void *pointer, size_t bytes, struct cudaMemLocation location, unsigned flags,
                                 cudaStream_t stream) {
  (void)location;
  RT_ENTER();
  if (flags || !bytes || rt_where(pointer) != RT_MANAGED || !rt_resolve(pointer, bytes)) RT_RETURN(cudaErrorInvalidValue);
  cudaStream_t resolved;
  RT_RETURN(rt_stream(stream, &resolved));
}
cudaError_t cudaMemPrefetchAsync_ptsz(const void *pointer, size_t bytes, struct cudaMemLocation location, unsigned flags,
                                      cudaStream_t stream) {
  return cudaMemPrefetchAsync(pointer, bytes, location, flags, rt_per_thread(stream));
}
cudaError_t cudaMemAdvise(const void *pointer, size_t bytes, enum cudaMemoryAdvise advice, struct cudaMemLocation location) {
  (void)advice; (void)location;
  RT_ENTER();
  RT_RETURN(bytes && rt_where(pointer) == RT_MANAGED && rt_resolve(pointer, bytes) ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void *pointer, size_t bytes, unsigned flags) {
  (void)bytes; (void)flags;
  RT_ENTER();
  cudaStream_t resolved;
  cudaError_t error = rt_stream(stream, &resolved);
  RT_RETURN(error ? error : rt_where(pointer) == RT_MANAGED ? cudaSuccess : cudaErrorInvalidValue);
}
cudaError_t cudaStreamAttachMemAsync_ptsz(cudaStream_t stream, void *pointer, size_t bytes, unsigned flags) {
  return cudaStreamAttachMemAsync(rt_per_thread(stream), pointer, bytes, flags);
}

void rt_memory_at_exit(void (*line)(const char *text)) {
  size_t counts[3] = {0}, bytes[3] = {0};
  static const char *const names[3] = {"device allocation", "managed allocation", "pinned host allocation"};
  for (size_t i = 0; i < block_count; i++) {
    if (blocks[i].kind == BLOCK_REGISTERED || blocks[i].freeing) continue;
    int group = blocks[i].kind == BLOCK_MANAGED ? 1 : blocks[i].kind == BLOCK_PINNED ? 2 : 0;
    counts[group]++;
    bytes[group] += blocks[i].bytes;
  }
  for (int group = 0; group < 3; group++) {
    char text[160];
    snprintf(text, sizeof text, "%zu %s%s never freed (%zu bytes)", counts[group], names[group],
             counts[group] == 1 ? "" : "s", bytes[group]);
    if (counts[group]) line(text);
  }
}

/* ---- copies ------------------------------------------------------------------------------------------------------------- */
typedef struct copy_work {
  rt_work work;
  struct cudaMemcpy3DParms given; /* as the program described it */
  char *to;
  const char *from;
  size_t to_pitch, to_slice, from_pitch, from_slice, width, height, depth;
  bool copies_3d;
  char *staged; /* the source as it was at the time of the call, rows packed */
} copy_work;

static size_t span(size_t pitch, size_t slice, size_t width, size_t height, size_t depth) {
  return width && height && depth ? (depth - 1) * slice + (height - 1) * pitch + width : 0;
}

static void copy_row(copy_work *copy, char *to, const char *from) {
  char *destination = rt_resolve(to, copy->width);
  const char *source = copy->staged ? from : rt_resolve(from, copy->width);
  memmove(destination, source, copy->width);
  if (copy->staged) rt_define(to, copy->width);
  else copy_definedness(to, from, copy->width);
}

static bool range_ok(const char *call, const char *what, const void *pointer, size_t bytes) {
  if (rt_where(pointer) != RT_BAD_DEVICE && rt_resolve(pointer, bytes)) return true;
  char text[200];
  describe(pointer, bytes, text, sizeof text);
  simt_error("memcheck", "in %s: %s: %s", call, what, text);
  return false;
}

static cudaError_t copy_run(rt_work *work) {
  copy_work *copy = (copy_work *)work;
  size_t to_span = span(copy->to_pitch, copy->to_slice, copy->width, copy->height, copy->depth);
  size_t from_span = span(copy->from_pitch, copy->from_slice, copy->width, copy->height, copy->depth);
  if (!range_ok("a queued copy", "destination", copy->to, to_span)) return cudaErrorIllegalAddress;
  if (!copy->staged && !range_ok("a queued copy", "source", copy->from, from_span)) return cudaErrorIllegalAddress;
  if (rt_settings.check_copies && !copy->staged && !rt_is_device(copy->to)) {
    size_t at = rt_first_undefined(copy->from, copy->height * copy->depth == 1 ? copy->width : 0);
    if (copy->height * copy->depth == 1 && at < copy->width)
      simt_error("initcheck", "in a copy to the host: byte %zu at %p was never written", at, (const void *)(copy->from + at));
  }
  const char *staged = copy->staged;
  for (size_t z = 0; z < copy->depth; z++)
    for (size_t y = 0; y < copy->height; y++) {
      const char *from = copy->from + z * copy->from_slice + y * copy->from_pitch;
      if (staged) { from = staged; staged += copy->width; }
      copy_row(copy, copy->to + z * copy->to_slice + y * copy->to_pitch, from);
    }
  simt_report_call("memcpy", 0, copy->width * copy->height * copy->depth);
  return cudaSuccess;
}

static void copy_release(rt_work *work) { free(((copy_work *)work)->staged); }

static void stage(copy_work *copy) {
  copy->staged = malloc(copy->width * copy->height * copy->depth + 1);
  char *staged = copy->staged;
  for (size_t z = 0; z < copy->depth; z++)
    for (size_t y = 0; y < copy->height; y++, staged += copy->width)
      memcpy(staged, copy->from + z * copy->from_slice + y * copy->from_pitch, copy->width);
}

static bool reachable_by_device(rt_place place) { return place != RT_PAGEABLE && place != RT_BAD_DEVICE; }

/* A direction that does not fit the pointers is undefined behaviour in CUDA: an error here. */
static bool direction_ok(enum cudaMemcpyKind kind, const void *to, const void *from) {
  rt_place a = rt_where(to), b = rt_where(from);
  bool to_host = a != RT_DEVICE_MEMORY && a != RT_BAD_DEVICE, from_host = b != RT_DEVICE_MEMORY && b != RT_BAD_DEVICE;
  bool to_device = a == RT_BAD_DEVICE || reachable_by_device(a), from_device = b == RT_BAD_DEVICE || reachable_by_device(b);
  switch (kind) {
  case cudaMemcpyHostToHost: return to_host && from_host;
  case cudaMemcpyHostToDevice: return to_device && from_host;
  case cudaMemcpyDeviceToHost: return to_host && from_device;
  case cudaMemcpyDeviceToDevice: return to_device && from_device;
  default: return true;
  }
}

static copy_work *copy_new(const char *label, char *to, size_t to_pitch, size_t to_slice, const char *from,
                           size_t from_pitch, size_t from_slice, size_t width, size_t height, size_t depth,
                           enum cudaMemcpyKind kind, cudaError_t *error) {
  *error = cudaErrorInvalidValue;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) { *error = cudaErrorInvalidMemcpyDirection; return NULL; }
  if (width && height && depth) {
    if (!to || !from) return NULL;
    if (!direction_ok(kind, to, from)) {
      static const char *const names[] = {"HostToHost", "HostToDevice", "DeviceToHost", "DeviceToDevice", "Default"};
      simt_error("memcheck", "in %s: cudaMemcpy%s does not fit the pointers (to %p, from %p)", label, names[kind],
                 (void *)to, (const void *)from);
      return NULL;
    }
    if (!range_ok(label, "destination", to, span(to_pitch, to_slice, width, height, depth)) ||
        !range_ok(label, "source", from, span(from_pitch, from_slice, width, height, depth)))
      return NULL;
  }
  copy_work *copy = (copy_work *)rt_work_new(sizeof *copy, cudaGraphNodeTypeMemcpy, label, copy_run, copy_release);
  copy->to = to;
  copy->from = from;
  copy->to_pitch = to_pitch;
  copy->to_slice = to_slice;
  copy->from_pitch = from_pitch;
  copy->from_slice = from_slice;
  copy->width = width;
  copy->height = height;
  copy->depth = depth;
  copy->given.dstPtr = (struct cudaPitchedPtr){to, to_pitch, width, height};
  copy->given.srcPtr = (struct cudaPitchedPtr){(void *)from, from_pitch, width, height};
  copy->given.extent = (struct cudaExtent){width, height, depth};
  copy->given.kind = kind;
  *error = cudaSuccess;
  return copy;
}

rt_work *rt_copy_work(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaError_t *error) {
  copy_work *copy = copy_new("memcpy", to, bytes, bytes, from, bytes, bytes, bytes, 1, 1, kind, error);
  return copy ? &copy->work : NULL;
}

static copy_work *copy_3d(const char *label, const struct cudaMemcpy3DParms *p, cudaError_t *error) {
  *error = cudaErrorNotSupported;
  if (p->srcArray || p->dstArray) { rt_unsupported("a copy to or from a CUDA array"); return NULL; }
  size_t to_slice = p->dstPtr.pitch * p->dstPtr.ysize, from_slice = p->srcPtr.pitch * p->srcPtr.ysize;
  *error = cudaErrorInvalidPitchValue;
  if ((p->extent.height > 1 || p->extent.depth > 1) &&
      (p->dstPtr.pitch < p->extent.width || p->srcPtr.pitch < p->extent.width))
    return NULL;
  copy_work *copy =
      copy_new(label, (char *)p->dstPtr.ptr + p->dstPos.z * to_slice + p->dstPos.y * p->dstPtr.pitch + p->dstPos.x,
               p->dstPtr.pitch, to_slice,
               (char *)p->srcPtr.ptr + p->srcPos.z * from_slice + p->srcPos.y * p->srcPtr.pitch + p->srcPos.x,
               p->srcPtr.pitch, from_slice, p->extent.width, p->extent.height, p->extent.depth, p->kind, error);
  if (copy) copy->given = *p;
  return copy;
}

rt_work *rt_copy_params_work(const struct cudaMemcpy3DParms *params, cudaError_t *error) {
  copy_work *copy = copy_3d("graph memcpy", params, error);
  return copy ? &copy->work : NULL;
}
bool rt_copy_params_of(rt_work *work, struct cudaMemcpy3DParms *params) {
  if (!work || work->run != copy_run) return false;
  *params = ((copy_work *)work)->given;
  return true;
}

/* When the host has to wait for the copy is CUDA's "API synchronization behavior", followed to the letter:
 *   pageable to device: the source is staged during the call; a plain copy first waits for the stream;
 *   device to pageable: the call returns when the copy is done, asynchronous or not;
 *   host to host: done when the call returns;
 *   pinned to device, device to pinned: a plain copy is done when the call returns, an asynchronous one runs later;
 *   device to device: runs later, even when plain. */
static cudaError_t submit_copy(copy_work *copy, cudaStream_t stream, bool plain, cudaError_t error) {
  if (!copy) return error;
  simt_count_one(SIMT_COUNT_copies);
  rt_place to = rt_where(copy->to), from = rt_where(copy->from);
  bool captured = rt_stream_captures(stream);
  bool from_host = from != RT_DEVICE_MEMORY, to_host = to != RT_DEVICE_MEMORY;
  bool staged = from == RT_PAGEABLE && !to_host && !captured;
  bool waits = !captured && (to_host ? from_host || plain || to == RT_PAGEABLE : plain && from_host && !staged);
  waits |= plain && rt_settings.sync_copies;
  if (plain || waits) simt_count_one(SIMT_COUNT_synchronizations);
  if (plain) {
    error = rt_refuse_if_capturing();
    if (!error && staged) error = rt_synchronise(stream);
    if (error) { rt_work_release(&copy->work); return error; }
  }
  if (!copy->width || !copy->height || !copy->depth) {
    rt_work_release(&copy->work);
    return plain ? rt_synchronise(stream) : cudaSuccess;
  }
  if (staged) stage(copy);
  error = rt_submit(stream, &copy->work);
  return error || !waits ? error : rt_synchronise(stream);
}

static cudaError_t copy_linear(const char *label, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                               cudaStream_t stream, bool plain) {
  cudaError_t error;
  copy_work *copy = copy_new(label, to, bytes, bytes, from, bytes, bytes, bytes, 1, 1, kind, &error);
  return submit_copy(copy, stream, plain, error);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(copy_linear("cudaMemcpy", to, from, bytes, kind, 0, true));
}
cudaError_t cudaMemcpy_ptds(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(copy_linear("cudaMemcpy", to, from, bytes, kind, cudaStreamPerThread, true));
}
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(copy_linear("cudaMemcpyAsync", to, from, bytes, kind, stream, false));
}
cudaError_t cudaMemcpyAsync_ptsz(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, bytes, kind, rt_per_thread(stream));
}
cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device, size_t bytes) {
  (void)to_device; (void)from_device;
  RT_ENTER();
  RT_RETURN(copy_linear("cudaMemcpyPeer", to, from, bytes, cudaMemcpyDeviceToDevice, 0, true));
}
cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes, cudaStream_t stream) {
  (void)to_device; (void)from_device;
  RT_ENTER();
  RT_RETURN(copy_linear("cudaMemcpyPeerAsync", to, from, bytes, cudaMemcpyDeviceToDevice, stream, false));
}

static cudaError_t copy_2d(const char *label, void *to, size_t to_pitch, const void *from, size_t from_pitch,
                           size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t stream, bool plain) {
  cudaError_t error;
  if (width > to_pitch || width > from_pitch) return cudaErrorInvalidPitchValue;
  copy_work *copy = copy_new(label, to, to_pitch, to_pitch * height, from, from_pitch, from_pitch * height, width, height,
                             1, kind, &error);
  return submit_copy(copy, stream, plain, error);
}
cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                         enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(copy_2d("cudaMemcpy2D", to, to_pitch, from, from_pitch, width, height, kind, 0, true));
}
cudaError_t cudaMemcpy2D_ptds(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                              enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(copy_2d("cudaMemcpy2D", to, to_pitch, from, from_pitch, width, height, kind, cudaStreamPerThread, true));
}
cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width, size_t height,
                              enum cudaMemcpyKind kind, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(copy_2d("cudaMemcpy2DAsync", to, to_pitch, from, from_pitch, width, height, kind, stream, false));
}
cudaError_t cudaMemcpy2DAsync_ptsz(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                                   size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, to_pitch, from, from_pitch, width, height, kind, rt_per_thread(stream));
}

static cudaError_t copy_params(const char *label, const struct cudaMemcpy3DParms *params, cudaStream_t stream, bool plain) {
  cudaError_t error;
  if (!params) return cudaErrorInvalidValue;
  copy_work *copy = copy_3d(label, params, &error);
  return submit_copy(copy, stream, plain, error);
}
cudaError_t cudaMemcpy3D(const struct cudaMemcpy3DParms *params) {
  RT_ENTER();
  RT_RETURN(copy_params("cudaMemcpy3D", params, 0, true));
}
cudaError_t cudaMemcpy3D_ptds(const struct cudaMemcpy3DParms *params) {
  RT_ENTER();
  RT_RETURN(copy_params("cudaMemcpy3D", params, cudaStreamPerThread, true));
}
cudaError_t cudaMemcpy3DAsync(const struct cudaMemcpy3DParms *params, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(copy_params("cudaMemcpy3DAsync", params, stream, false));
}
cudaError_t cudaMemcpy3DAsync_ptsz(const struct cudaMemcpy3DParms *params, cudaStream_t stream) {
  return cudaMemcpy3DAsync(params, rt_per_thread(stream));
}

/* ---- symbols ------------------------------------------------------------------------------------------------------------ */
cudaError_t cudaGetSymbolAddress(void **pointer, const void *symbol) {
  RT_ENTER();
  RT_RETURN(pointer ? rt_symbol_find(symbol, pointer, NULL) : cudaErrorInvalidValue);
}
cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol) {
  RT_ENTER();
  void *address;
  RT_RETURN(bytes ? rt_symbol_find(symbol, &address, bytes) : cudaErrorInvalidValue);
}

static cudaError_t symbol_range(const void *symbol, size_t bytes, size_t offset, char **address) {
  void *base;
  size_t whole;
  cudaError_t error = rt_symbol_find(symbol, &base, &whole);
  if (error) return error;
  if (offset > whole || bytes > whole - offset) return cudaErrorInvalidValue;
  *address = (char *)base + offset;
  return cudaSuccess;
}
static cudaError_t to_symbol(const char *label, const void *symbol, const void *from, size_t bytes, size_t offset,
                             enum cudaMemcpyKind kind, cudaStream_t stream, bool plain) {
  char *address;
  if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  cudaError_t error = symbol_range(symbol, bytes, offset, &address);
  return error ? error : copy_linear(label, address, from, bytes, kind, stream, plain);
}
static cudaError_t from_symbol(const char *label, void *to, const void *symbol, size_t bytes, size_t offset,
                               enum cudaMemcpyKind kind, cudaStream_t stream, bool plain) {
  char *address;
  if (kind != cudaMemcpyDeviceToHost && kind != cudaMemcpyDeviceToDevice && kind != cudaMemcpyDefault)
    return cudaErrorInvalidMemcpyDirection;
  cudaError_t error = symbol_range(symbol, bytes, offset, &address);
  return error ? error : copy_linear(label, to, address, bytes, kind, stream, plain);
}
cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(to_symbol("cudaMemcpyToSymbol", symbol, from, bytes, offset, kind, 0, true));
}
cudaError_t cudaMemcpyToSymbol_ptds(const void *symbol, const void *from, size_t bytes, size_t offset, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(to_symbol("cudaMemcpyToSymbol", symbol, from, bytes, offset, kind, cudaStreamPerThread, true));
}
cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes, size_t offset,
                                    enum cudaMemcpyKind kind, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(to_symbol("cudaMemcpyToSymbolAsync", symbol, from, bytes, offset, kind, stream, false));
}
cudaError_t cudaMemcpyToSymbolAsync_ptsz(const void *symbol, const void *from, size_t bytes, size_t offset,
                                         enum cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, rt_per_thread(stream));
}
cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(from_symbol("cudaMemcpyFromSymbol", to, symbol, bytes, offset, kind, 0, true));
}
cudaError_t cudaMemcpyFromSymbol_ptds(void *to, const void *symbol, size_t bytes, size_t offset, enum cudaMemcpyKind kind) {
  RT_ENTER();
  RT_RETURN(from_symbol("cudaMemcpyFromSymbol", to, symbol, bytes, offset, kind, cudaStreamPerThread, true));
}
cudaError_t cudaMemcpyFromSymbolAsync(void *to, const void *symbol, size_t bytes, size_t offset, enum cudaMemcpyKind kind,
                                      cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(from_symbol("cudaMemcpyFromSymbolAsync", to, symbol, bytes, offset, kind, stream, false));
}
cudaError_t cudaMemcpyFromSymbolAsync_ptsz(void *to, const void *symbol, size_t bytes, size_t offset,
                                           enum cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpyFromSymbolAsync(to, symbol, bytes, offset, kind, rt_per_thread(stream));
}

/* ---- fills -------------------------------------------------------------------------------------------------------------- */
typedef struct set_work { rt_work work; struct cudaMemsetParams given; size_t slices, slice; } set_work;

static void fill_row(char *row, unsigned value, unsigned element, size_t count) {
  if (element == 1) memset(row, (int)(value & 255), count);
  else
    for (size_t i = 0; i < count; i++) memcpy(row + i * element, &value, element);
}

static size_t set_span(const set_work *set) {
  const struct cudaMemsetParams *g = &set->given;
  return span(g->pitch, set->slice, g->width * g->elementSize, g->height, set->slices);
}

static cudaError_t set_run(rt_work *work) {
  set_work *set = (set_work *)work;
  const struct cudaMemsetParams *g = &set->given;
  if (!range_ok("a queued memset", "destination", g->dst, set_span(set))) return cudaErrorIllegalAddress;
  for (size_t z = 0; z < set->slices; z++)
    for (size_t y = 0; y < g->height; y++) {
      char *row = (char *)g->dst + z * set->slice + y * g->pitch;
      fill_row(rt_resolve(row, g->width * g->elementSize), g->value, g->elementSize, g->width);
      rt_define(row, g->width * g->elementSize);
    }
  simt_report_call("memset", 0, g->width * g->elementSize * g->height * set->slices);
  return cudaSuccess;
}

static set_work *set_new(const char *label, void *to, size_t pitch, unsigned value, unsigned element, size_t width,
                         size_t height, size_t slices, size_t slice, cudaError_t *error) {
  *error = cudaErrorInvalidValue;
  set_work shape = {.given = {to, pitch, value, element, width, height}, .slices = slices, .slice = slice};
  if (element != 1 && element != 2 && element != 4) return NULL;
  size_t bytes = set_span(&shape);
  if (bytes) {
    rt_place place = rt_where(to);
    if (!to || place == RT_PAGEABLE) {
      simt_error("memcheck", "in %s: destination: %p is pageable host memory", label, to);
      return NULL;
    }
    if (!range_ok(label, "destination", to, bytes)) return NULL;
  }
  set_work *set = (set_work *)rt_work_new(sizeof *set, cudaGraphNodeTypeMemset, label, set_run, NULL);
  set->given = shape.given;
  set->slices = slices;
  set->slice = slice;
  *error = cudaSuccess;
  return set;
}

rt_work *rt_set_work(void *to, size_t pitch, unsigned value, unsigned element, size_t width, size_t height,
                     cudaError_t *error) {
  set_work *set = set_new("memset", to, pitch, value, element, width, height, 1, 0, error);
  return set ? &set->work : NULL;
}
bool rt_set_params_of(rt_work *work, struct cudaMemsetParams *params) {
  if (!work || work->run != set_run) return false;
  *params = ((set_work *)work)->given;
  return true;
}

/* A plain memset does not make the host wait, unless it fills memory that the host can see. */
static cudaError_t fill(const char *label, void *to, size_t pitch, int value, size_t width, size_t height, size_t slices,
                        size_t slice, cudaStream_t stream, bool plain) {
  cudaError_t error;
  set_work *set = set_new(label, to, pitch, (unsigned)value & 255, 1, width, height, slices, slice, &error);
  if (!set) return error;
  simt_count_one(SIMT_COUNT_fills);
  if (plain) simt_count_one(SIMT_COUNT_synchronizations);
  if (plain) error = rt_refuse_if_capturing();
  if (error || !set_span(set)) { rt_work_release(&set->work); return error; }
  bool visible = rt_where(to) != RT_DEVICE_MEMORY || rt_settings.sync_copies;
  error = rt_submit(stream, &set->work);
  return !error && plain && visible ? rt_synchronise(stream) : error;
}
cudaError_t cudaMemset(void *to, int value, size_t bytes) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset", to, bytes, value, bytes, 1, 1, 0, 0, true));
}
cudaError_t cudaMemset_ptds(void *to, int value, size_t bytes) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset", to, bytes, value, bytes, 1, 1, 0, cudaStreamPerThread, true));
}
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemsetAsync", to, bytes, value, bytes, 1, 1, 0, stream, false));
}
cudaError_t cudaMemsetAsync_ptsz(void *to, int value, size_t bytes, cudaStream_t stream) {
  return cudaMemsetAsync(to, value, bytes, rt_per_thread(stream));
}
cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset2D", to, pitch, value, width, height, 1, 0, 0, true));
}
cudaError_t cudaMemset2D_ptds(void *to, size_t pitch, int value, size_t width, size_t height) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset2D", to, pitch, value, width, height, 1, 0, cudaStreamPerThread, true));
}
cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset2DAsync", to, pitch, value, width, height, 1, 0, stream, false));
}
cudaError_t cudaMemset2DAsync_ptsz(void *to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
  return cudaMemset2DAsync(to, pitch, value, width, height, rt_per_thread(stream));
}
cudaError_t cudaMemset3DAsync(struct cudaPitchedPtr to, int value, struct cudaExtent extent, cudaStream_t stream) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset3DAsync", to.ptr, to.pitch, value, extent.width, extent.height, extent.depth,
                 to.pitch * to.ysize, stream, false));
}
cudaError_t cudaMemset3DAsync_ptsz(struct cudaPitchedPtr to, int value, struct cudaExtent extent, cudaStream_t stream) {
  return cudaMemset3DAsync(to, value, extent, rt_per_thread(stream));
}
cudaError_t cudaMemset3D(struct cudaPitchedPtr to, int value, struct cudaExtent extent) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset3D", to.ptr, to.pitch, value, extent.width, extent.height, extent.depth, to.pitch * to.ysize,
                 0, true));
}
cudaError_t cudaMemset3D_ptds(struct cudaPitchedPtr to, int value, struct cudaExtent extent) {
  RT_ENTER();
  RT_RETURN(fill("cudaMemset3D", to.ptr, to.pitch, value, extent.width, extent.height, extent.depth, to.pitch * to.ysize,
                 cudaStreamPerThread, true));
}
