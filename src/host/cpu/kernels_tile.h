/* kernels_tile.h - the kernels for one size of tile: TILE_ROWS rows by TILE_BLOCKS (1) unit blocks, GATES gates each.
 * A weight is a WEIGHT, and LOAD makes a vector of LANES of them; the rest is in kernels_factors.h. k counts factors.
 *
 * kernels_gates.h includes it once for each size. Nothing but such constants lets every compiler hold the sums of a
 * tile in registers: as arguments of inlined functions, some see them too late. */
#if !defined(TILE_BLOCKS)
#define TILE_BLOCKS 1
#endif
#define TILE(name) TILE_OF(name, TILE_ROWS, TILE_BLOCKS)
/* The columns of a gate at the start of a stream. */
#define COLUMN(j, gate) (weights + (size_t)(j)*stream + (gate)*LANES)

/* sums[r][j] += in[r][k] * weights[k] for k = 0, 1, ... depth - 1, in this order. weights (depth, G, LANES), and those
 * of the next blocks `next` of them further each. */
INLINE void TILE(accumulate)(SUM sums[TILE_ROWS][TILE_BLOCKS][GATES], const FACTOR *const in[TILE_ROWS],
                             const WEIGHT *weights, size_t next, size_t depth) {
  for (size_t k = 0; k < depth; k++, weights += GATES * LANES) {
    VECTOR a[TILE_ROWS];
    EACH(r, TILE_ROWS) a[r] = SPREAD(in[r][k]);
    EACH(j, TILE_BLOCKS) EACH(g, GATES) {
      VECTOR w = LOAD(weights + (size_t)j * next + g * LANES);
      EACH(r, TILE_ROWS) sums[r][j][g] = MULTIPLY_ADD(a[r], w, sums[r][j][g]);
    }
  }
}

static void TILE(product)(const rondo_product_forward_args *args, int block, int row) {
  SUM sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const FACTOR *in[TILE_ROWS];
  size_t depth = DEPTH(args->inputs), stream = (HEAD + depth) * GATES * LANES;
  const WEIGHT *weights = (const WEIGHT *)args->weights + (size_t)block * stream;
  const float *start = args->start ? args->start + (ptrdiff_t)block * GATES * LANES + row * args->start_row : NULL;
  float *out = args->sums + block * args->sums_block + row * args->sums_row;
  EACH(r, TILE_ROWS) in[r] = IN_ROW(in, row + r);
#define START(r, j, g) product_start(start, (r)*args->start_row + ((j)*GATES + (g)) * LANES)
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) EACH(g, GATES) sums[r][j][g] = BEGIN(START(r, j, g), COLUMN(j, g));
  TILE(accumulate)(sums, in, weights + HEAD * GATES * LANES, stream, depth);
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) EACH(g, GATES) {
    vec sum = END(sums[r][j][g], START(r, j, g), COLUMN(j, g), in[r] + depth);
    vec_store(out + r * args->sums_row + j * args->sums_block + g * LANES, sum);
  }
#undef START
}

#if GATES != 2
static void TILE(fused)(const rondo_fused_forward_args *args, int block, int row) {
  SUM sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const FACTOR *in[TILE_ROWS];
  size_t depth = DEPTH(args->hidden), stream = (HEAD + depth) * GATES * LANES;
  const WEIGHT *weights = (const WEIGHT *)args->weights + (size_t)block * stream;
  EACH(r, TILE_ROWS) in[r] = IN_ROW(h_in, row + r);
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) EACH(g, GATES) {
    sums[r][j][g] = BEGIN(fused_start(args, block + j, row + r, GATES, g), COLUMN(j, g));
  }
  TILE(accumulate)(sums, in, weights + HEAD * GATES * LANES, stream, depth);
#define LAST(g) END(sums[r][j][g], fused_start(args, block + j, row + r, GATES, g), COLUMN(j, g), in[r] + depth)
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) {
#if GATES == 4
    finish_lstm(args, block + j, row + r, LAST(0), LAST(1), LAST(2), LAST(3));
#elif GATES == 3
    finish_gru(args, block + j, row + r, LAST(0), LAST(1), LAST(2));
#else
    finish_rnn(args, block + j, row + r, LAST(0));
#endif
  }
#undef LAST
}
#endif

#undef COLUMN
#undef TILE
#undef TILE_ROWS
#undef TILE_BLOCKS
