/* gemm.c - what products have around their kernels: packing, and the split over threads. */
#include "cpu/gemm.h"

#include <string.h>

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

void rondo_pack_rows(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns, rondo_range blocks) {
  size_t v = (size_t)lanes;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    size_t begin = block * v, count = least(v, columns - begin);
    float *stream = to + block * depth * v;
    for (size_t k = 0; k < depth; k++, stream += v) {
      memcpy(stream, rondo_row(from, k) + begin, count * sizeof *stream);
      memset(stream + count, 0, (v - count) * sizeof *stream);
    }
  }
}

void rondo_pack_columns(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns,
                        rondo_range blocks) {
  size_t v = (size_t)lanes;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    float *stream = to + block * depth * v;
    for (size_t lane = 0; lane < v; lane++) {
      const float *row = block * v + lane < columns ? rondo_row(from, block * v + lane) : NULL;
      for (size_t k = 0; k < depth; k++) stream[k * v + lane] = row ? row[k] : 0.0f;
    }
  }
}

/* The longer side of C is shared out, as each thread reads all that belongs to the shorter one. */
void rondo_gemm(const rondo_gemm_kernel *kernel, const rondo_gemm_args *args, int thread, int threads) {
  rondo_range rows = {0, args->rows}, blocks = {0, rondo_blocks(kernel->lanes, args->columns)};
  if (args->rows > args->columns)
    rows = rondo_share(args->rows, thread, threads);
  else
    blocks = rondo_share(blocks.end, thread, threads);
  kernel->multiply(args, rows, blocks);
}

/* turned (rows, RONDO_GEMM_DEPTH) = a transposed, for a range of rows; in squares, so that lines of memory are used
 * whole. */
static void turn(float *turned, const rondo_rows *a, size_t depth, rondo_range rows) {
  enum { SQUARE = 16 };
  for (size_t begin = rows.begin; begin < rows.end; begin += SQUARE) {
    size_t end = least(begin + SQUARE, rows.end);
    for (size_t k = 0; k < depth; k++) {
      const float *from = rondo_row(a, k);
      for (size_t m = begin; m < end; m++) turned[m * RONDO_GEMM_DEPTH + k] = from[m];
    }
  }
}

void rondo_gemm_outer(const rondo_gemm_kernel *kernel, const rondo_outer_args *args, rondo_pool *pool, int thread,
                      int threads) {
  rondo_range rows = rondo_share(args->rows, thread, threads);
  rondo_range blocks = rondo_share(rondo_blocks(kernel->lanes, args->columns), thread, threads);
  for (size_t begin = 0; begin < args->depth; begin += RONDO_GEMM_DEPTH) {
    size_t depth = least(RONDO_GEMM_DEPTH, args->depth - begin);
    rondo_rows a = rondo_rows_from(&args->a, begin), b = rondo_rows_from(&args->b, begin);
    turn(args->turned, &a, depth, rows);
    rondo_pack_rows(args->packed, kernel->lanes, &b, depth, args->columns, blocks);
    rondo_pool_barrier(pool);
    rondo_gemm(kernel,
               &(rondo_gemm_args){.rows = args->rows,
                                  .columns = args->columns,
                                  .depth = depth,
                                  .a = rondo_rows_dense(args->turned, RONDO_GEMM_DEPTH),
                                  .b = args->packed,
                                  .stream = depth * (size_t)kernel->lanes,
                                  .c = args->c,
                                  .add = 1},
               thread, threads);
    rondo_pool_barrier(pool);
  }
}
