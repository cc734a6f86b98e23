/* tiles_emulated.h - the words of cpu/tiles.h in plain C, so that the kernels with tiles are tested on machines that
 * have none. They do what Intel's manual says of LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBF16PS and TILERELEASE,
 * and end the program where the instructions would fault: tiles without a shape, shapes that do not fit together. */
#ifndef RONDO_TILES_EMULATED_H
#define RONDO_TILES_EMULATED_H

#include "cpu/float_mode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TILE_COUNT = 8, TILE_ROWS_MOST = 16, TILE_BYTES_MOST = 64 };

typedef union tile_row {
  unsigned char bytes[TILE_BYTES_MOST];
  uint32_t pairs[TILE_BYTES_MOST / 4];
  float sums[TILE_BYTES_MOST / 4];
} tile_row;

/* A thread's. */
static _Thread_local struct {
  tile_shapes shapes; /* palette 0: none */
  tile_row rows[TILE_COUNT][TILE_ROWS_MOST];
} emulated_tiles;

static void tile_release(void) {
  memset(&emulated_tiles, 0, sizeof emulated_tiles);
}

static void tile_expect(int condition) {
  if (!condition) abort();
}

static void tile_set_shapes(const tile_shapes *shapes) {
  tile_expect(shapes->palette == 1 && shapes->start_row == 0);
  for (int i = 0; i < 14; i++) tile_expect(shapes->reserved[i] == 0);
  for (int i = 0; i < 16; i++) {
    tile_expect(!shapes->rows[i] == !shapes->row_bytes[i] && shapes->rows[i] <= (i < TILE_COUNT ? TILE_ROWS_MOST : 0));
    tile_expect(shapes->row_bytes[i] <= TILE_BYTES_MOST);
  }
  tile_release();
  emulated_tiles.shapes = *shapes;
}

/* The tile's rows; it must have some. */
static tile_row *tile_at(int tile, int *rows, size_t *row_bytes) {
  *rows = emulated_tiles.shapes.rows[tile], *row_bytes = emulated_tiles.shapes.row_bytes[tile];
  tile_expect(emulated_tiles.shapes.palette == 1 && *rows > 0);
  return emulated_tiles.rows[tile];
}

static void tile_zero(int tile) {
  int rows;
  size_t bytes;
  memset(tile_at(tile, &rows, &bytes), 0, sizeof emulated_tiles.rows[tile]);
}

static void tile_load(int tile, const void *from, ptrdiff_t distance) {
  int rows;
  size_t bytes;
  tile_row *to = tile_at(tile, &rows, &bytes);
  memset(to, 0, sizeof emulated_tiles.rows[tile]);
  for (int r = 0; r < rows; r++) memcpy(to[r].bytes, (const char *)from + r * distance, bytes);
}

static void tile_store(int tile, void *to, ptrdiff_t distance) {
  int rows;
  size_t bytes;
  const tile_row *from = tile_at(tile, &rows, &bytes);
  for (int r = 0; r < rows; r++) memcpy((char *)to + r * distance, from[r].bytes, bytes);
}

/* The number in the lower or the upper half of a pair, widened. */
static inline float tile_half(uint32_t pair, int upper) {
  uint32_t bits = upper ? pair & 0xFFFF0000u : pair << 16;
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

/* A row of sums. Not inlined, so that all of it happens in the float mode that the caller sets. */
static __attribute__((noinline)) void tile_multiply_row(tile_row *sums, size_t columns, const tile_row *a,
                                                        const tile_row *b, int depth) {
  float chains[2][TILE_BYTES_MOST / 4] = {{0}};
  for (int k = 0; k < depth; k++)
    for (int upper = 0; upper < 2; upper++)
      for (size_t n = 0; n < columns; n++)
        chains[upper][n] = fmaf(tile_half(a->pairs[k], upper), tile_half(b[k].pairs[n], upper), chains[upper][n]);
  for (size_t n = 0; n < columns; n++) sums->sums[n] = sums->sums[n] + (chains[0][n] + chains[1][n]);
}

/* Whatever the thread's float mode: to nearest, subnormal numbers as zero on the way in and out. */
static void tile_multiply(int sums, int a, int b) {
  int sums_rows, a_rows, b_rows;
  size_t sums_bytes, a_bytes, b_bytes;
  tile_row *to = tile_at(sums, &sums_rows, &sums_bytes), *left = tile_at(a, &a_rows, &a_bytes);
  tile_row *right = tile_at(b, &b_rows, &b_bytes);
  tile_expect(sums != a && sums != b && a != b);
  tile_expect(sums_rows == a_rows && a_bytes == 4 * (size_t)b_rows && sums_bytes == b_bytes && sums_bytes % 4 == 0);
  unsigned mode = rondo_enter_float_mode();
  for (int r = 0; r < sums_rows; r++) tile_multiply_row(&to[r], sums_bytes / 4, &left[r], right, b_rows);
  rondo_leave_float_mode(mode);
}

#endif
