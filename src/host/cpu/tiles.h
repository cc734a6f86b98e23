/* tiles.h - the words that products in tiles are written in: AMX's, for bf16.
 *
 * There are eight tiles, 0 to 7: up to 16 rows of 64 bytes each, of shapes that the thread sets before it uses them.
 * tile_load and tile_store move rows that are a number of bytes apart, tile_multiply adds to 16 floats a row what
 * kernels.h writes under Tiles: sums (M, 16), a (M, 16 pairs), b (16 pairs, 16). A tile's number is a literal.
 *
 * Tests replace the words by others that compute the same without such a machine: RONDO_TILES names their header. */
#ifndef RONDO_CPU_TILES_H
#define RONDO_CPU_TILES_H

#include <stdint.h>

/* As the instruction that sets them has them. */
typedef struct tile_shapes {
  uint8_t palette, start_row, reserved[14]; /* 1, 0, zeros */
  uint16_t row_bytes[16];
  uint8_t rows[16];
} tile_shapes;

#if defined(RONDO_TILES)
#include RONDO_TILES
#else
#include <immintrin.h>

/* Until tile_release the thread's tiles are part of what the system saves when it runs another one. Not every compiler
 * knows that loads of tiles and shapes read memory, so what was written before is made to be there. */
#define tile_set_shapes(shapes) (tile_written(shapes), _tile_loadconfig(shapes))
static inline void tile_written(const void *memory) {
  __asm__ volatile("" : : "r"(memory) : "memory");
}

#define tile_release() _tile_release()
#define tile_zero(tile) _tile_zero(tile)
#define tile_load(tile, from, row_bytes) _tile_loadd(tile, from, row_bytes)
#define tile_store(tile, to, row_bytes) _tile_stored(tile, to, row_bytes)
#define tile_multiply(sums, a, b) _tile_dpbf16ps(sums, a, b)
#endif

#endif
