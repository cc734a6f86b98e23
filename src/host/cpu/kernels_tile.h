/* kernels_tile.h - the kernels for one size of tile: TILE_ROWS rows by TILE_BLOCKS (1) unit blocks, GATES gates each.
 * A weight is a WEIGHT, and LOAD makes a vector of LANES of them. In pairs, k counts pairs.
 *
 * kernels_gates.h includes it once for each size. Nothing but such constants lets every compiler hold the sums of a
 * tile in registers: as arguments of inlined functions, some see them too late. */
#if !defined(TILE_BLOCKS)
#define TILE_BLOCKS 1
#endif
#define TILE(name) TILE_OF(name, TILE_ROWS, TILE_BLOCKS)

/* sums[r][j] += in[r][k] * weights[k] for k = 0, 1, ... depth - 1, in this order. weights (depth, G, LANES), and those
 * of the next blocks `next` of them further each. */
INLINE void TILE(accumulate)(vec sums[TILE_ROWS][TILE_BLOCKS][GATES], const FACTOR *const in[TILE_ROWS],
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
  vec sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const FACTOR *in[TILE_ROWS];
  size_t depth = DEPTH(args->inputs), stream = depth * GATES * LANES;
  const float *start = args->start ? args->start + (size_t)block * GATES * LANES : NULL;
  float *out = args->sums + block * args->sums_block + row * args->sums_row;
  EACH(r, TILE_ROWS) in[r] = IN_ROW(in, row + r);
  EACH(j, TILE_BLOCKS) EACH(g, GATES) {
    vec first = start ? vec_load(start + (j * GATES + g) * LANES) : vec_set(0.0f);
    EACH(r, TILE_ROWS) sums[r][j][g] = first;
  }
  TILE(accumulate)(sums, in, (const WEIGHT *)args->weights + (size_t)block * stream, stream, depth);
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS)
  EACH(g, GATES) vec_store(out + r * args->sums_row + j * args->sums_block + g * LANES, sums[r][j][g]);
}

static void TILE(fused)(const rondo_fused_forward_args *args, int block, int row) {
  vec sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const FACTOR *in[TILE_ROWS];
  size_t depth = DEPTH(args->hidden), stream = depth * GATES * LANES;
  const float *start = args->sums + block * args->sums_block + (ptrdiff_t)row * GATES * LANES;
  EACH(r, TILE_ROWS) in[r] = IN_ROW(h_in, row + r);
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS) EACH(g, GATES) sums[r][j][g] = vec_load(start + j * args->sums_block + (r * GATES + g) * LANES);
#if GATES == 3 /* x's part of the last gate waits until the recurrent part has been scaled */
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) sums[r][j][2] = vec_load(args->bias + (block + j) * LANES);
#endif
  TILE(accumulate)(sums, in, (const WEIGHT *)args->weights + (size_t)block * stream, stream, depth);
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) {
#if GATES == 4
    finish_lstm(args, block + j, row + r, sums[r][j][0], sums[r][j][1], sums[r][j][2], sums[r][j][3]);
#elif GATES == 3
    finish_gru(args, block + j, row + r, sums[r][j][0], sums[r][j][1], sums[r][j][2]);
#else
    finish_rnn(args, block + j, row + r, sums[r][j][0]);
#endif
  }
}

#undef TILE
#undef TILE_ROWS
#undef TILE_BLOCKS
