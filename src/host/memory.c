/* memory.c - host memory for the backends that compute on the host. */
#define _DEFAULT_SOURCE /* madvise */
#include "internal.h"

#include "arena.h"
#include "error.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* What is read again and again, as packed weights are, is worth large pages: a page of 4 KiB holds a few rows of a unit
 * block, and more of them than a core can remember (its TLB) make up a layer. */
static const size_t LARGE_PAGE = (size_t)2 << 20;

/* A wish: where it is not granted, pages are small. What is no whole page stays out. */
static void advise(void *pointer, size_t bytes) {
#if defined(MADV_HUGEPAGE)
  madvise(pointer, bytes / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#else
  (void)pointer, (void)bytes;
#endif
}

rondo_status rondo_host_synchronize(rondo_context *ctx) {
  (void)ctx;
  return RONDO_OK;
}

rondo_status rondo_host_alloc(rondo_context *ctx, size_t bytes, void **pointer) {
  (void)ctx;
  int large = bytes >= LARGE_PAGE;
  if (posix_memalign(pointer, large ? LARGE_PAGE : RONDO_ALIGNMENT, bytes) != 0)
    return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_alloc: no host memory for %zu bytes", bytes);
  if (large) advise(*pointer, bytes);
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
