/* kernels_gates.h - the products for GATES gates (4, 3, 2 or 1; no cell has 2) and weights of TYPE, in tiles;
 * kernels_weights.h includes it for each.
 *
 * A tile is up to ROWS rows by one unit block of LANES units: its sums stay in registers while k runs, with a load of
 * weights for each gate and one broadcast a row feeding a multiply-add for each. Where this makes few sums, which would
 * wait for each other, WIDE blocks are taken together: 2 for a single row (two streams of weights also come in faster
 * than one), 4 wherever there is just one gate. */
#define TILE_PASTE(name, gates, type, rows, blocks) name##_##gates##_##type##_##rows##x##blocks
#define TILE_NAME(name, gates, type, rows, blocks) TILE_PASTE(name, gates, type, rows, blocks)
#define TILE_OF(name, rows, blocks) TILE_NAME(name, GATES, TYPE, rows, blocks)

#include "cpu/kernels_factors.h"

#define TILE_ROWS 1
#include "cpu/kernels_tile.h"
#define TILE_ROWS 2
#include "cpu/kernels_tile.h"
#if defined(VEC_AVX2) || defined(VEC_AVX512)
#define TILE_ROWS 3
#include "cpu/kernels_tile.h"
#endif
#if defined(VEC_AVX512)
#define TILE_ROWS 4
#include "cpu/kernels_tile.h"
#define TILE_ROWS 5
#include "cpu/kernels_tile.h"
#define TILE_ROWS 6
#include "cpu/kernels_tile.h"
#endif

#if GATES == 1
#define WIDE 4
#else
#define WIDE 2
#endif
#define TILE_ROWS 1
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#if GATES == 1
#define TILE_ROWS 2
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#if defined(VEC_AVX2) || defined(VEC_AVX512)
#define TILE_ROWS 3
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#endif
#if defined(VEC_AVX512)
#define TILE_ROWS 4
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#define TILE_ROWS 5
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#define TILE_ROWS 6
#define TILE_BLOCKS WIDE
#include "cpu/kernels_tile.h"
#endif
#endif

/* By rows, from 1 on. */
#if defined(VEC_AVX512)
#define TILES(name, blocks)                                                                                            \
  {                                                                                                                    \
    NULL, TILE_OF(name, 1, blocks), TILE_OF(name, 2, blocks), TILE_OF(name, 3, blocks), TILE_OF(name, 4, blocks),      \
        TILE_OF(name, 5, blocks), TILE_OF(name, 6, blocks)                                                             \
  }
#elif defined(VEC_AVX2)
#define TILES(name, blocks)                                                                                            \
  { NULL, TILE_OF(name, 1, blocks), TILE_OF(name, 2, blocks), TILE_OF(name, 3, blocks) }
#else
#define TILES(name, blocks)                                                                                            \
  { NULL, TILE_OF(name, 1, blocks), TILE_OF(name, 2, blocks) }
#endif
#if GATES == 1
#define WIDE_TILES(name) TILES(name, WIDE)
#else
#define WIDE_TILES(name)                                                                                               \
  { NULL, TILE_OF(name, 1, WIDE) }
#endif

/* Blocks of the next tile when `left` are left. */
static int OF_TYPE(tile_blocks, TYPE)(int rows, int left) {
  return (rows == 1 || GATES == 1) && left >= WIDE ? WIDE : 1;
}

static void OF_TYPE(product, TYPE)(const rondo_product_forward_args *args) {
  static void (*const tiles[2][ROWS + 1])(const rondo_product_forward_args *, int, int) = {TILES(product, 1),
                                                                                           WIDE_TILES(product)};
  for (int block = 0, blocks; block < args->blocks; block += blocks) {
    blocks = OF_TYPE(tile_blocks, TYPE)(args->rows, args->blocks - block);
    for (int row = 0, rows; row < args->rows; row += rows) {
      rows = tile_rows(args->rows - row);
      tiles[blocks > 1][rows](args, block, row);
    }
  }
}

#if GATES != 2
static void OF_TYPE(fused, TYPE)(const rondo_fused_forward_args *args) {
  static void (*const tiles[2][ROWS + 1])(const rondo_fused_forward_args *, int, int) = {TILES(fused, 1),
                                                                                         WIDE_TILES(fused)};
  int end = args->first_block + args->blocks;
  for (int block = args->first_block, blocks; block < end; block += blocks) {
    blocks = OF_TYPE(tile_blocks, TYPE)(args->rows, end - block);
    for (int row = 0, rows; row < args->rows; row += rows) {
      rows = tile_rows(args->rows - row);
      tiles[blocks > 1][rows](args, block, row);
    }
  }
}
#endif

#undef WIDE_TILES
#undef TILES
#undef WIDE
#undef TILE_OF
#undef TILE_NAME
#undef TILE_PASTE
#undef FACTOR
#undef IN_ROW
#undef DEPTH
#undef VECTOR
#undef SPREAD
#undef MULTIPLY_ADD
#undef SUM
#undef HEAD
#undef BEGIN
#undef END
#undef GROUP
#undef LOAD
#undef WEIGHT
#undef TYPE
