/* arena.h - carves one buffer into pieces, each at a multiple of 256 bytes from its start. Run on a NULL base it
 * measures: the same function that carves a workspace says how large it must be, so the two cannot disagree. Sizes that
 * do not fit size_t saturate. */
#ifndef RONDO_ARENA_H
#define RONDO_ARENA_H

#include <stddef.h>
#include <stdint.h>

typedef struct rondo_arena {
  unsigned char *base; /* NULL: only measure */
  size_t used;         /* bytes, a multiple of the alignment; SIZE_MAX: does not fit */
} rondo_arena;

/* Of every piece, counted from base: pieces share no cache line or memory transaction when base is aligned to it, too.
 * A base from the caller is aligned to RONDO_CALLER_ALIGNMENT only, and so are its pieces then. */
#define RONDO_ALIGNMENT ((size_t)256)

static inline size_t rondo_size_mul(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product; /* a call makes dozens: no division */
}

static inline size_t rondo_size_add(size_t a, size_t b) {
  return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* The next count * size bytes. */
static inline void *rondo_arena_take(rondo_arena *arena, size_t count, size_t size) {
  size_t bytes = rondo_size_mul(count, size), end = rondo_size_add(arena->used, bytes);
  unsigned char *piece = arena->base ? arena->base + arena->used : NULL;
  end = rondo_size_add(end, RONDO_ALIGNMENT - 1);
  arena->used = end == SIZE_MAX ? SIZE_MAX : end / RONDO_ALIGNMENT * RONDO_ALIGNMENT;
  return piece;
}

#endif
