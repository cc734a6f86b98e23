/* kernels_tile.h - the kernels for one size of tile: TILE_ROWS rows by TILE_BLOCKS (1) unit blocks, 4 gates each.
 *
 * kernels_body.h includes it once for each size. Nothing but such constants lets every compiler hold the sums of a tile
 * in registers: as arguments of inlined functions, some see them too late. */
#if !defined(TILE_BLOCKS)
#define TILE_BLOCKS 1
#endif
#define TILE_PASTE(name, rows, blocks) name##_##rows##x##blocks
#define TILE_NAME(name, rows, blocks) TILE_PASTE(name, rows, blocks)
#define TILE(name) TILE_NAME(name, TILE_ROWS, TILE_BLOCKS)

/* sums[r][j] += in[r][k] * weights[k] for k = 0, 1, ... depth - 1, in this order. weights (depth, 4, LANES), and those
 * of the second block `next` floats further. */
INLINE void TILE(accumulate)(vec sums[TILE_ROWS][TILE_BLOCKS][GATES], const float *const in[TILE_ROWS],
                             const float *weights, size_t next, size_t depth) {
  for (size_t k = 0; k < depth; k++, weights += GATES * LANES) {
    vec a[TILE_ROWS];
    EACH(r, TILE_ROWS) a[r] = vec_set(in[r][k]);
    EACH(j, TILE_BLOCKS) EACH(g, GATES) {
      vec w = vec_load(weights + (size_t)j * next + g * LANES);
      EACH(r, TILE_ROWS) sums[r][j][g] = vec_fma(a[r], w, sums[r][j][g]);
    }
  }
}

static void TILE(project)(const rondo_project_forward_args *args, int block, int row) {
  vec sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const float *in[TILE_ROWS];
  size_t depth = (size_t)args->inputs, stream = depth * GATES * LANES;
  const float *bias = args->bias + (size_t)block * GATES * LANES;
  float *out = args->sums + block * args->sums_block + (ptrdiff_t)row * GATES * LANES;
  EACH(r, TILE_ROWS)
  in[r] = args->x + (row + r) % args->batch * args->x_sequence + (row + r) / args->batch * args->x_timestep;
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) EACH(g, GATES) sums[r][j][g] = vec_load(bias + (j * GATES + g) * LANES);
  TILE(accumulate)(sums, in, args->weights + (size_t)block * stream, stream, depth);
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS) EACH(g, GATES) vec_store(out + j * args->sums_block + (r * GATES + g) * LANES, sums[r][j][g]);
}

static void TILE(lstm)(const rondo_lstm_forward_args *args, int block, int row) {
  vec sums[TILE_ROWS][TILE_BLOCKS][GATES];
  const float *in[TILE_ROWS];
  size_t depth = (size_t)args->hidden, stream = depth * GATES * LANES;
  const float *start = args->sums + block * args->sums_block + (ptrdiff_t)row * GATES * LANES;
  EACH(r, TILE_ROWS) in[r] = args->h_in + (row + r) * args->h_in_stride;
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS) EACH(g, GATES) sums[r][j][g] = vec_load(start + j * args->sums_block + (r * GATES + g) * LANES);
  TILE(accumulate)(sums, in, args->weights + (size_t)block * stream, stream, depth);
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS)
  finish_units(args, block + j, row + r, sums[r][j][0], sums[r][j][1], sums[r][j][2], sums[r][j][3]);
}

#undef TILE
#undef TILE_NAME
#undef TILE_PASTE
#undef TILE_ROWS
#undef TILE_BLOCKS
