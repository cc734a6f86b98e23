/* buffers.c - guarded memory of any backend for tests. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

typedef struct buffer {
  rondo_context *ctx;
  unsigned char *pointer;      /* what the test sees */
  size_t bytes, before, after; /* of that, and of the bands around it */
  int number;                  /* of the buffer within the test */
} buffer;

enum { GUARD = 256 }; /* bytes of a band: keeps the alignment that rondo_alloc gives */

static const unsigned char poison[4] = {0x5a, 0xa5, 0xc5, 0x7f}; /* of a float: a quiet NaN, little-endian */

void *test_memory(size_t bytes) {
  void *memory = calloc(1, bytes ? bytes : 1);
  if (!memory) {
    fprintf(stderr, "no host memory for %zu bytes\n", bytes);
    abort();
  }
  return test_at_end(free, memory);
}

static void fill_poison(unsigned char *to, size_t bytes) {
  for (size_t i = 0; i < bytes; i++) to[i] = poison[i % 4];
}

static int is_host(const rondo_context *ctx) {
  return rondo_context_backend(ctx) != RONDO_CUDA;
}

/* Reads a band back; offset: of its first byte from the allocation's, to know where in the pattern it begins. */
static void check_band(const buffer *b, const char *which, size_t offset, size_t bytes) {
  unsigned char band[2 * GUARD];
  const unsigned char *base = b->pointer - b->before;
  if (!bytes || !EXPECT_OK(rondo_copy(b->ctx, band, base + offset, bytes))) return;
  for (size_t i = 0; i < bytes; i++)
    if (!EXPECT(band[i] == poison[(offset + i) % 4],
                "the guard band %s buffer %d of the test (%zu bytes) is damaged at "
                "%zu bytes from its start",
                which, b->number, b->bytes, i))
      return;
}

static void release_buffer(void *pointer) {
  buffer *b = pointer;
  unsigned char *base = b->pointer - b->before;
  if (is_host(b->ctx)) ASAN_UNPOISON_MEMORY_REGION(base, b->before + b->bytes + b->after);
  check_band(b, "before", 0, b->before);
  check_band(b, "behind", b->before + b->bytes, b->after);
  rondo_free(b->ctx, base);
  free(b);
}

static void *keep(buffer details) {
  buffer *b = malloc(sizeof *b);
  if (!b) abort();
  *b = details;
  test_at_end(release_buffer, b);
  return b->pointer;
}

/* bytes between bands, the first of them `shift` bytes longer. */
static void *guarded(rondo_context *ctx, size_t bytes, size_t shift, int number) {
  size_t before = GUARD + shift, after = GUARD, whole = before + bytes + after;
  unsigned char *base = rondo_alloc(ctx, whole), *pattern = malloc(whole);
  if (!EXPECT(base && pattern, "no memory for a buffer of %zu bytes: %s", bytes, rondo_last_error())) {
    rondo_free(ctx, base);
    free(pattern);
    return NULL;
  }
  fill_poison(pattern, whole);
  EXPECT_OK(rondo_copy(ctx, base, pattern, whole));
  free(pattern);
  if (is_host(ctx)) {
    ASAN_POISON_MEMORY_REGION(base, before);
    ASAN_POISON_MEMORY_REGION(base + before + bytes, after);
  }
  return keep((buffer){ctx, base + before, bytes, before, after, number});
}

static void *bare(rondo_context *ctx, size_t bytes, int number) {
  unsigned char *base = rondo_alloc(ctx, bytes);
  if (!EXPECT(base, "no memory for a buffer of %zu bytes: %s", bytes, rondo_last_error())) return NULL;
  return keep((buffer){ctx, base, bytes, 0, 0, number});
}

void *buffer_new(rondo_context *ctx, size_t bytes) {
  uint64_t hash;
  int number = test_next_buffer(&hash);
  if (!bytes) return NULL;
  return test_is_simt(ctx) ? bare(ctx, bytes, number) : guarded(ctx, bytes, 0, number);
}

float *buffer_floats(rondo_context *ctx, size_t count) {
  return buffer_new(ctx, count * sizeof(float));
}

/* Half of all buffers lie as rondo_alloc aligns, the others 4, 8 or 12 bytes beside: which, is a matter of the test's
 * name and the buffer's number, so that a test repeats. */
float *buffer_output(rondo_context *ctx, size_t count) {
  uint64_t hash;
  int number = test_next_buffer(&hash);
  size_t bytes = count * sizeof(float), shift = hash >> 63 ? 4 * (1 + (hash >> 32) % 3) : 0;
  if (!test_is_simt(ctx)) return guarded(ctx, bytes, shift, number);
  float *result = bare(ctx, bytes, number);
  if (result) buffer_poison(ctx, result, count);
  return result;
}

float *buffer_upload(rondo_context *ctx, const float *host, size_t count) {
  float *there = host ? buffer_output(ctx, count) : NULL;
  if (there) buffer_write(ctx, there, host, count * sizeof *host);
  return there;
}

float *buffer_download(rondo_context *ctx, float *host, const float *from, size_t count) {
  if (!host) host = test_memory(count * sizeof *host);
  if (EXPECT_OK(rondo_synchronize(ctx))) EXPECT_OK(rondo_copy(ctx, host, from, count * sizeof *host));
  return host;
}

void buffer_write(rondo_context *ctx, void *to, const void *host, size_t bytes) {
  EXPECT_OK(rondo_copy(ctx, to, host, bytes));
}

void buffer_poison(rondo_context *ctx, float *to, size_t count) {
  unsigned char *pattern = malloc(count * sizeof *to);
  if (!EXPECT(pattern, "no host memory")) return;
  fill_poison(pattern, count * sizeof *to);
  buffer_write(ctx, to, pattern, count * sizeof *to);
  free(pattern);
}

int test_is_poison(const float *host, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (memcmp(host + i, poison, sizeof poison)) return 0;
  return 1;
}
