/* kernels_body.h - every CPU kernel once, on the words of vec.h. kernels_<isa>.c includes it and gives KERNEL(name).
 *
 * A tile is up to ROWS rows by one unit block of LANES units, 4 gates each: its sums stay in registers while k runs,
 * with 4 loads of weights and one broadcast a row feeding 4 multiply-adds a row. A single row takes two unit blocks
 * instead: one block's 4 sums would wait for each other, and two streams of weights come in faster than one. */
#include "cpu/kernels.h"

enum { GATES = 4 };

/* A loop over a part of a tile. It must vanish before the compiler decides what lives in registers, so it says so. */
#if defined(__clang__)
#define EACH(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)
#endif

/* From the gate sums of one row and block to its c and h. Not inlined: its constants would take registers that the
 * sums of the other rows need. */
static __attribute__((noinline)) void finish_units(const rondo_lstm_forward_args *args, int block, ptrdiff_t row, vec i,
                                                   vec f, vec g, vec o) {
  ptrdiff_t unit = (ptrdiff_t)block * LANES;
  int count = (int)(args->hidden - unit);
  vec c = args->c_in ? vec_load_first(args->c_in + row * args->c_in_stride + unit, count) : vec_set(0.0f);
  c = vec_fma(vec_sigmoid(f), c, vec_sigmoid_tanh(i, g));
  vec h = vec_sigmoid_tanh(o, c);
  vec_store_first(args->c_out + row * args->c_out_stride + unit, c, count);
  vec_store_first(args->h_out + row * args->h_out_stride + unit, h, count);
  if (args->y) vec_store_first(args->y + row * args->y_stride + unit, h, count);
}

#define TILE_ROWS 1
#define TILE_BLOCKS 2
#include "cpu/kernels_tile.h"
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
#define TILES(name)                                                                                                    \
  { name##_1x2, name##_1x1, name##_2x1, name##_3x1, name##_4x1, name##_5x1, name##_6x1 }
#elif defined(VEC_AVX2)
#define TILES(name)                                                                                                    \
  { name##_1x2, name##_1x1, name##_2x1, name##_3x1 }
#else
#define TILES(name)                                                                                                    \
  { name##_1x2, name##_1x1, name##_2x1 }
#endif

/* By rows; 0 stands for one row of two blocks. */
static void (*const project_tiles[ROWS + 1])(const rondo_project_forward_args *, int, int) = TILES(project);
static void (*const lstm_tiles[ROWS + 1])(const rondo_lstm_forward_args *, int, int) = TILES(lstm);

/* Rows of the next tile when `left` are left: the last two tiles share evenly, as thin tiles wait for weights. */
static int tile_rows(int left) {
  return left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
}

static void KERNEL(project_forward)(const rondo_project_forward_args *args) {
  for (int block = 0, blocks; block < args->blocks; block += blocks) {
    blocks = args->rows == 1 && args->blocks - block > 1 ? 2 : 1;
    for (int row = 0, rows; row < args->rows; row += rows) {
      rows = tile_rows(args->rows - row);
      project_tiles[blocks == 2 ? 0 : rows](args, block, row);
    }
  }
}

static void KERNEL(lstm_forward)(const rondo_lstm_forward_args *args) {
  int end = args->first_block + args->blocks;
  for (int block = args->first_block, blocks; block < end; block += blocks) {
    blocks = args->rows == 1 && end - block > 1 ? 2 : 1;
    for (int row = 0, rows; row < args->rows; row += rows) {
      rows = tile_rows(args->rows - row);
      lstm_tiles[blocks == 2 ? 0 : rows](args, block, row);
    }
  }
}

/* A word over an array, LANES at a time. */
#define MAP(word)                                                                                                      \
  static void KERNEL(word)(int count, const float *in, float *out) {                                                   \
    for (int i = 0; i < count; i += LANES)                                                                             \
      vec_store_first(out + i, vec_##word(vec_load_first(in + i, count - i)), count - i);                              \
  }
MAP(exp)
MAP(sigmoid)
MAP(tanh)

#define KERNELS(isa)                                                                                                   \
  const rondo_cpu_kernels rondo_cpu_kernels_##isa = {                                                                  \
      #isa, LANES, ROWS, KERNEL(project_forward), KERNEL(lstm_forward), KERNEL(exp), KERNEL(sigmoid), KERNEL(tanh)}
