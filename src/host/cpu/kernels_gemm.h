/* kernels_gemm.h - the product of gemm.h on the words of vec.h, in tiles of up to ROWS rows by 4 blocks or 1. Part of
 * kernels_training_body.h. */
enum { WIDE = 4, PIECES = 4 }; /* of 16 lanes: 256 KiB of B for all rows */

#define TILE_PASTE(rows, blocks) tile_##rows##x##blocks
#define TILE(rows, blocks) TILE_PASTE(rows, blocks)

INLINE void add_to_row(const rondo_gemm_args *args, size_t row, size_t block, int add, vec sum) {
  size_t begin = block * LANES, left = args->columns - begin;
  int count = left < LANES ? (int)left : LANES;
  float *to = rondo_row(&args->c, row) + begin;
  vec_store_first(to, add ? vec_add(vec_load_first(to, count), sum) : sum, count);
}

#define TILE_ROWS 1
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 1
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 2
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 2
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#if defined(VEC_AVX2) || defined(VEC_AVX512)
#define TILE_ROWS 3
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 3
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#endif
#if defined(VEC_AVX512)
#define TILE_ROWS 4
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 4
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 5
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 5
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 6
#define TILE_BLOCKS 1
#include "cpu/kernels_gemm_tile.h"
#define TILE_ROWS 6
#define TILE_BLOCKS 4
#include "cpu/kernels_gemm_tile.h"
#endif

typedef void gemm_tile(const rondo_gemm_args *args, size_t row, size_t block, size_t from, size_t depth);

/* By rows, from 1 on, and by whether 4 blocks. */
static gemm_tile *const tiles[ROWS + 1][2] = {
    {NULL, NULL},
    {TILE(1, 1), TILE(1, 4)},
    {TILE(2, 1), TILE(2, 4)},
#if defined(VEC_AVX2) || defined(VEC_AVX512)
    {TILE(3, 1), TILE(3, 4)},
#endif
#if defined(VEC_AVX512)
    {TILE(4, 1), TILE(4, 4)},
    {TILE(5, 1), TILE(5, 4)},
    {TILE(6, 1), TILE(6, 4)},
#endif
};

/* Rows of the next tile when `left` are left: the last two share evenly, as thin tiles wait for B. */
static size_t tile_rows(size_t left) {
  return left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
}

/* A tile takes several pieces of the sums in turn while its part of C is at hand: C may be too large for any cache. */
static void KERNEL(multiply)(const rondo_gemm_args *args, rondo_range rows, rondo_range blocks) {
  for (size_t first = 0, end; first < args->depth; first = end) {
    end = args->depth - first < PIECES * RONDO_GEMM_DEPTH ? args->depth : first + PIECES * RONDO_GEMM_DEPTH;
    for (size_t block = blocks.begin, wide; block < blocks.end; block += wide ? WIDE : 1) {
      wide = blocks.end - block >= WIDE;
      for (size_t row = rows.begin, count; row < rows.end; row += count) {
        count = tile_rows(rows.end - row);
        for (size_t from = first; from < end; from += RONDO_GEMM_DEPTH)
          tiles[count][wide](args, row, block, from, end - from < RONDO_GEMM_DEPTH ? end - from : RONDO_GEMM_DEPTH);
      }
    }
  }
}
