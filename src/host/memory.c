/* memory.c - host memory for the backends that compute on the host. */
#include "internal.h"

#include "arena.h"
#include "error.h"

#include <stdlib.h>
#include <string.h>

rondo_status rondo_host_synchronize(rondo_context *ctx) {
  (void)ctx;
  return RONDO_OK;
}

rondo_status rondo_host_alloc(rondo_context *ctx, size_t bytes, void **pointer) {
  (void)ctx;
  size_t whole = rondo_size_add(bytes, RONDO_ALIGNMENT - 1); /* aligned_alloc wants a multiple of the alignment */
  *pointer = whole == SIZE_MAX ? NULL : aligned_alloc(RONDO_ALIGNMENT, whole / RONDO_ALIGNMENT * RONDO_ALIGNMENT);
  if (!*pointer) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_alloc: no host memory for %zu bytes", bytes);
  return RONDO_OK;
}

void rondo_host_release(rondo_context *ctx, void *pointer) {
  (void)ctx;
  free(pointer);
}

rondo_status rondo_host_copy(rondo_context *ctx, void *to, const void *from, size_t bytes) {
  (void)ctx;
  memmove(to, from, bytes);
  return RONDO_OK;
}
