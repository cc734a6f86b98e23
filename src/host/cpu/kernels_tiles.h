/* kernels_tiles.h - the products with weights RONDO_BF16, in tiles (tiles.h); those of other types are AVX512_BF16's.
 * Part of kernels_body.h.
 *
 * The weights of one gate and unit block, a column here, are a stack of tiles as they lie: 16 rows of 16 pairs, G * 16
 * pairs apart, are what 32 numbers of every row of the input are multiplied by. Up to 16 rows of the input take 4
 * columns at a time, so that a tile of theirs is loaded once for 4 products; up to 32 rows take 2, so that one of the
 * weights, which come from further away, is loaded once for 2. A row's sums are the same either way. */
#include "cpu/tiles.h"

enum { PANEL_ROWS = 32, COLUMNS = 4, TILE_PAIRS = 16 };

/* One gate of a unit block, for the rows of a panel. Distances are from row to row, in bytes. */
typedef struct column {
  const uint32_t *weights;
  const float *start; /* what the sums begin with, or NULL: zeros */
  ptrdiff_t start_row;
  float *sums;
  ptrdiff_t sums_row;
} column;

/* Up to PANEL_ROWS rows of the input, and how far the weights' rows of pairs are apart. */
typedef struct panel {
  const uint32_t *in;
  int rows;
  size_t depth; /* tiles */
  ptrdiff_t in_row, weights_row;
} panel;

/* Tiles 0 to 3 are sums, 4 and 5 of the input, 6 and 7 of the weights. More than 16 rows are two tiles of them: then 1,
 * 3 and 5 are the second's. */
static void set_shapes(int rows) {
  tile_shapes shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) shapes.row_bytes[i] = 64, shapes.rows[i] = 16;
  for (int i = 0; i < 5 && rows <= 16; i++) shapes.rows[i] = (uint8_t)rows;
  for (int i = 1; i < 6 && rows > 16; i += 2) shapes.rows[i] = (uint8_t)(rows - 16);
  tile_set_shapes(&shapes);
}

/* The sums of a column, from row `row` of the panel on. */
#define BEGIN_SUMS(tile, column, row)                                                                                  \
  do {                                                                                                                 \
    if ((column).start)                                                                                                \
      tile_load(tile, (const char *)(column).start + (row) * (column).start_row, (column).start_row);                  \
    else                                                                                                               \
      tile_zero(tile);                                                                                                 \
  } while (0)
#define END_SUMS(tile, column, row)                                                                                    \
  tile_store(tile, (char *)(column).sums + (row) * (column).sums_row, (column).sums_row)
#define LOAD_INPUT(tile, row) tile_load(tile, (const char *)(p->in + k * TILE_PAIRS) + (row)*p->in_row, p->in_row)
#define LOAD_WEIGHTS(tile, column)                                                                                     \
  tile_load(tile, (const char *)(column).weights + (ptrdiff_t)k * TILE_PAIRS * p->weights_row, p->weights_row)

/* Rows of a panel whose sums are there, (columns, PANEL_ROWS, LANES), and whose states are not, for some blocks from
 * `block` on. They are spread over the next panel's products, as tiles multiply on their own meanwhile. */
typedef struct unfinished {
  const rondo_fused_forward_args *args;
  int gates, block, row, rows;
  float (*sums)[PANEL_ROWS][LANES];
  int next, end; /* of all blocks' rows */
  int share;     /* of them, for each 32 numbers of the next panel */
} unfinished;

static void finish_row(const unfinished *u, int index) {
  int block = index / u->rows, row = index % u->rows, gates = u->gates;
  float(*sums)[PANEL_ROWS][LANES] = u->sums + block * gates;
  vec a = vec_load(sums[0][row]);
  if (gates == 4)
    finish_lstm(u->args, u->block + block, u->row + row, a, vec_load(sums[1][row]), vec_load(sums[2][row]),
                vec_load(sums[3][row]));
  else if (gates == 3)
    finish_gru(u->args, u->block + block, u->row + row, a, vec_load(sums[1][row]), vec_load(sums[2][row]));
  else
    finish_rnn(u->args, u->block + block, u->row + row, a);
}

static void finish_share(unfinished *u) {
  for (int i = 0; i < u->share && u->next < u->end; i++) finish_row(u, u->next++);
}

/* Up to 16 rows by up to 4 columns. */
static void multiply_columns(const panel *p, const column *c, int count, unfinished *before) {
  BEGIN_SUMS(0, c[0], 0);
  if (count > 1) BEGIN_SUMS(1, c[1], 0);
  if (count > 2) BEGIN_SUMS(2, c[2], 0);
  if (count > 3) BEGIN_SUMS(3, c[3], 0);
  for (size_t k = 0; k < p->depth; k++) {
    finish_share(before);
    LOAD_INPUT(4, 0);
    LOAD_WEIGHTS(6, c[0]);
    tile_multiply(0, 4, 6);
    if (count == 1) continue;
    LOAD_WEIGHTS(7, c[1]);
    tile_multiply(1, 4, 7);
    if (count == 2) continue;
    LOAD_WEIGHTS(6, c[2]);
    tile_multiply(2, 4, 6);
    if (count == 3) continue;
    LOAD_WEIGHTS(7, c[3]);
    tile_multiply(3, 4, 7);
  }
  END_SUMS(0, c[0], 0);
  if (count > 1) END_SUMS(1, c[1], 0);
  if (count > 2) END_SUMS(2, c[2], 0);
  if (count > 3) END_SUMS(3, c[3], 0);
}

/* 17 to 32 rows by 1 or 2 columns. */
static void multiply_rows(const panel *p, const column *c, int count, unfinished *before) {
  BEGIN_SUMS(0, c[0], 0);
  BEGIN_SUMS(1, c[0], 16);
  if (count > 1) BEGIN_SUMS(2, c[1], 0);
  if (count > 1) BEGIN_SUMS(3, c[1], 16);
  for (size_t k = 0; k < p->depth; k++) {
    finish_share(before);
    LOAD_WEIGHTS(6, c[0]);
    LOAD_INPUT(4, 0);
    tile_multiply(0, 4, 6);
    LOAD_INPUT(5, 16);
    tile_multiply(1, 5, 6);
    if (count == 1) continue;
    LOAD_WEIGHTS(7, c[1]);
    tile_multiply(2, 4, 7);
    tile_multiply(3, 5, 7);
  }
  END_SUMS(0, c[0], 0);
  END_SUMS(1, c[0], 16);
  if (count > 1) END_SUMS(2, c[1], 0);
  if (count > 1) END_SUMS(3, c[1], 16);
}

static void multiply(const panel *p, const column *columns, int count, unfinished *before) {
  int steps = (int)p->depth * (p->rows > 16 ? (count + 1) / 2 : 1);
  before->share = (before->end + steps - 1) / steps;
  if (p->rows <= 16) multiply_columns(p, columns, count, before);
  for (int i = 0; p->rows > 16 && i < count; i += 2) multiply_rows(p, columns + i, count - i > 1 ? 2 : 1, before);
}

/* Of the next rows: shapes are set when the number of them is another one than `before`. */
static panel next_panel(const uint32_t *pairs, ptrdiff_t pairs_row, int inputs, int gates, int left, int before) {
  panel p = {.in = pairs, .rows = left < PANEL_ROWS ? left : PANEL_ROWS, .depth = ((size_t)inputs + 31) / 32};
  p.in_row = pairs_row * (ptrdiff_t)sizeof(uint32_t);
  p.weights_row = gates * TILE_PAIRS * (ptrdiff_t)sizeof(uint32_t);
  if (p.rows != before) set_shapes(p.rows);
  return p;
}

/* The weights of gate i % gates of unit block i / gates. */
static const uint32_t *column_weights(const void *weights, int gates, size_t depth, int i) {
  size_t stream = depth * TILE_PAIRS * (size_t)gates * LANES;
  return (const uint32_t *)weights + (size_t)(i / gates) * stream + i % gates * LANES;
}

static void product_tiles(const rondo_product_forward_args *args) {
  int gates = args->gates, together = gates == 1 ? COLUMNS : gates, before = 0;
  unfinished none = {0};
  for (int first = 0, count; first < gates * args->blocks; first += count) {
    count = gates * args->blocks - first < together ? gates * args->blocks - first : together;
    for (int row = 0; row < args->rows; row += before) {
      column columns[COLUMNS] = {0};
      panel p = next_panel(args->in_words + row * args->words_row, args->words_row, args->inputs, gates,
                           args->rows - row, before);
      for (int i = 0; i < count; i++) {
        int at = first + i, block = at / gates;
        columns[i].weights = column_weights(args->weights, gates, p.depth, at);
        columns[i].start = args->start ? args->start + row * args->start_row + at * LANES : NULL;
        columns[i].start_row = args->start_row * (ptrdiff_t)sizeof(float);
        columns[i].sums = args->sums + block * args->sums_block + row * args->sums_row + at % gates * LANES;
        columns[i].sums_row = args->sums_row * (ptrdiff_t)sizeof(float);
      }
      multiply(&p, columns, count, &none);
      before = p.rows;
    }
  }
  tile_release();
}

/* The sums of columns from block `block` on begin with x's, but for the last gate of a GRU, whose x part waits until
 * the recurrent part has been scaled. */
static void fused_columns(const rondo_fused_forward_args *args, int gates, int block, int row, size_t depth,
                          float (*sums)[PANEL_ROWS][LANES], column *columns, int count) {
  for (int i = 0; i < count; i++) {
    int at = block * gates + i, gate = at % gates, apart = gates == 3 && gate == 2;
    const float *x_sums = args->sums + at / gates * args->sums_block + (row * gates + gate) * LANES;
    columns[i].weights = column_weights(args->weights, gates, depth, at);
    columns[i].start = apart ? args->bias + at / gates * LANES : x_sums;
    columns[i].start_row = apart ? 0 : gates * LANES * (ptrdiff_t)sizeof(float);
    columns[i].sums = sums[i][0];
    columns[i].sums_row = LANES * (ptrdiff_t)sizeof(float);
  }
}

static void fused_tiles(const rondo_fused_forward_args *args, int gates) {
  _Alignas(64) float sums[2][COLUMNS][PANEL_ROWS][LANES]; /* of the panel at work, and of the unfinished one */
  int together = gates == 1 ? COLUMNS : 1, end = args->first_block + args->blocks, before = 0, turn = 0;
  unfinished last = {0};
  for (int block = args->first_block; block < end; block += together) {
    int count = gates * (end - block < together ? end - block : together);
    for (int row = 0; row < args->rows; row += before, turn = 1 - turn) {
      column columns[COLUMNS] = {0};
      panel p = next_panel(args->h_in_words + row * args->words_row, args->words_row, args->hidden, gates,
                           args->rows - row, before);
      fused_columns(args, gates, block, row, p.depth, sums[turn], columns, count);
      multiply(&p, columns, count, &last);
      before = p.rows;
      last = (unfinished){args, gates, block, row, p.rows, sums[turn], 0, p.rows * count / gates, 0};
    }
  }
  tile_release();
  last.share = last.end;
  finish_share(&last);
}

static void KERNEL(product_forward)(const rondo_product_forward_args *args) {
  (args->type == RONDO_BF16 ? product_tiles : rondo_cpu_kernels_avx512_bf16.product_forward)(args);
}

#define FUSED(gates, cell)                                                                                             \
  static void fused_##gates(const rondo_fused_forward_args *args) {                                                    \
    if (args->type == RONDO_BF16)                                                                                      \
      fused_tiles(args, gates);                                                                                        \
    else                                                                                                               \
      rondo_cpu_kernels_avx512_bf16.fused_forward[cell](args);                                                         \
  }

FUSED(4, RONDO_LSTM)
FUSED(3, RONDO_GRU)
FUSED(1, RONDO_RNN)
