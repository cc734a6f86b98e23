/* kernels_gemm_tile.h - TILE_ROWS rows by TILE_BLOCKS blocks of C, their sums in registers; kernels_gemm.h includes it
 * for each size. As kernels_tile.h says of its own, constants of the preprocessor are what every compiler unrolls. */
static void TILE(TILE_ROWS, TILE_BLOCKS)(const rondo_gemm_args *args, size_t row, size_t block, size_t from,
                                         size_t depth) {
  vec sums[TILE_ROWS][TILE_BLOCKS];
  const float *a[TILE_ROWS], *b = args->b + block * args->stream + from * LANES;
  EACH(r, TILE_ROWS) a[r] = rondo_row(&args->a, row + (size_t)r) + from;
  EACH(r, TILE_ROWS) EACH(j, TILE_BLOCKS) {
    sums[r][j] = vec_set(0.0f);
    __builtin_prefetch(rondo_row(&args->c, row + (size_t)r) + (block + (size_t)j) * LANES, 1);
  }
  for (size_t k = 0; k < depth; k++, b += LANES) {
    vec scale[TILE_ROWS];
    EACH(r, TILE_ROWS) scale[r] = vec_set(a[r][k]);
    EACH(j, TILE_BLOCKS) {
      vec column = vec_load(b + (size_t)j * args->stream);
      EACH(r, TILE_ROWS) sums[r][j] = vec_fma(scale[r], column, sums[r][j]);
    }
  }
  EACH(r, TILE_ROWS)
  EACH(j, TILE_BLOCKS) add_to_row(args, row + (size_t)r, block + (size_t)j, args->add || from > 0, sums[r][j]);
}

#undef TILE_ROWS
#undef TILE_BLOCKS
