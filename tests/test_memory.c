/* test_memory.c - what rondo_alloc gives where memory is the host's: its alignment, and the pages it is made of. */
#include "harness.h"

#include <stdio.h>
#include <string.h>

static const struct backend_row {
  const char *name;
  rondo_backend backend;
} backends[] = {{"cpu", RONDO_CPU}, {"reference", RONDO_REFERENCE}, {NULL, RONDO_BACKEND_AUTO}};

static const size_t LARGE = (size_t)2 << 20;

/* What Linux says of the mapping that an address is in: whether pages of 2 MiB were asked for. -1: it says nothing. */
static int asked_for_large_pages(const void *address) {
  FILE *maps = fopen("/proc/self/smaps", "r"), *huge = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
  char line[512];
  unsigned long begin, end;
  int inside = 0, found = -1;
  while (maps && huge && found < 0 && fgets(line, sizeof line, maps)) {
    if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
      inside = begin <= (unsigned long)address && (unsigned long)address < end;
    else if (inside && !strncmp(line, "VmFlags:", 8))
      found = strstr(line, " hg") != NULL;
  }
  if (maps) fclose(maps);
  if (huge) fclose(huge);
  return found;
}

static void alignment(const void *backend_row) {
  const struct backend_row *row = backend_row;
  static const size_t sizes[] = {1, 100, 4096, (2 << 20) - 1, 2 << 20, (2 << 20) + 1, (5 << 20) + 12345};
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = row->backend});
  for (size_t i = 0; ctx && i < sizeof sizes / sizeof *sizes; i++) {
    size_t alignment = sizes[i] >= LARGE ? LARGE : 64;
    unsigned char *memory = rondo_alloc(ctx, sizes[i]);
    if (!EXPECT(memory, "%zu bytes: %s", sizes[i], rondo_last_error())) return;
    EXPECT((uintptr_t)memory % alignment == 0, "%zu bytes at %p", sizes[i], (void *)memory);
    memory[0] = memory[sizes[i] - 1] = 1;
    rondo_free(ctx, memory);
  }
}

static void large_pages(const void *backend_row) {
  const struct backend_row *row = backend_row;
  rondo_context *ctx = test_context_of(&(rondo_context_desc){.backend = row->backend});
  if (!ctx) return;
  void *memory = rondo_alloc(ctx, 4 * LARGE);
  if (!EXPECT(memory, "%s", rondo_last_error())) return;
  int asked = asked_for_large_pages(memory);
  rondo_free(ctx, memory);
  if (asked < 0) SKIP("the system does not say what pages were asked for, or has none of 2 MiB");
  EXPECT(asked, "pages of 2 MiB were not asked for");
}

const test_suite test_memory_of_host = {
    "Memory", TEST_ONCE,
    (const test_row[]){
        {"alignment", alignment, TEST_TABLE(backends)}, {"large_pages", large_pages, TEST_TABLE(backends)}, {0}}};
