/* gemm.c - what products have around their kernels: packing, and the split over threads. */
#include "cpu/gemm.h"

#include <string.h>

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* A whole block's columns of a row; sizes are constants, as so short a copy must not be a call. */
static void copy_lanes(float *to, const float *from, int lanes) {
  switch (lanes) {
    case 16: memcpy(to, from, 16 * sizeof *to); break;
    case 8: memcpy(to, from, 8 * sizeof *to); break;
    default: memcpy(to, from, (size_t)lanes * sizeof *to);
  }
}

/* Some blocks beside each other: then a row, which is on a page of its own, is read in longer pieces. */
void rondo_pack_rows(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns, rondo_range blocks) {
  enum { BESIDE = 8 };
  size_t v = (size_t)lanes, whole = least(columns / v, blocks.end);
  for (size_t begin = blocks.begin; begin < whole; begin += BESIDE)
    for (size_t k = 0, end = least(begin + BESIDE, whole); k < depth; k++) {
      const float *row = rondo_row(from, k);
      for (size_t block = begin; block < end; block++) copy_lanes(to + (block * depth + k) * v, row + block * v, lanes);
    }
  if (whole == blocks.end) return;
  size_t count = columns - whole * v; /* of the last one */
  for (size_t k = 0; k < depth; k++) {
    float *stream = to + (whole * depth + k) * v;
    memcpy(stream, rondo_row(from, k) + whole * v, count * sizeof *stream);
    memset(stream + count, 0, (v - count) * sizeof *stream);
  }
}

/* In pieces that stay in the first cache until all lanes are there. */
void rondo_pack_columns(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns,
                        rondo_range blocks) {
  enum { PIECE = 64 };
  size_t v = (size_t)lanes;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    float *stream = to + block * depth * v;
    for (size_t begin = 0; begin < depth; begin += PIECE)
      for (size_t lane = 0, end = least(begin + PIECE, depth); lane < v; lane++) {
        const float *row = block * v + lane < columns ? rondo_row(from, block * v + lane) : NULL;
        for (size_t k = begin; k < end; k++) stream[k * v + lane] = row ? row[k] : 0.0f;
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

/* turned (rows, depth) = `depth` rows of A from `first` on, transposed, for a range of its columns; in
 * squares, so that lines of memory are used whole. */
static void turn(const rondo_outer_factor *factor, float *turned, size_t first, size_t depth, rondo_range rows) {
  enum { SQUARE = 16 };
  for (size_t begin = rows.begin; begin < rows.end; begin += SQUARE) {
    size_t end = least(begin + SQUARE, rows.end);
    for (size_t k = 0; k < depth; k++) {
      const float *from = rondo_row(&factor->a, first + k);
      const float *mask = factor->mask ? factor->mask[first + k] + factor->mask_begin : NULL;
      for (size_t m = begin; m < end; m++) turned[m * depth + k] = mask ? from[m] * mask[m] : from[m];
    }
  }
}

/* C += A^T B of one A, for `depth` rows. */
static void add_product(const rondo_gemm_kernel *kernel, const rondo_outer_args *args, const rondo_outer_factor *factor,
                        const float *turned, const float *packed, size_t depth, int thread, int threads) {
  rondo_gemm(kernel,
             &(rondo_gemm_args){.rows = factor->rows,
                                .columns = args->columns,
                                .depth = depth,
                                .a = rondo_rows_dense(turned, depth),
                                .b = packed,
                                .stream = depth * (size_t)kernel->lanes,
                                .c = factor->c,
                                .add = 1},
             thread, threads);
}

/* Two pieces of scratch take turns, so that a thread can fill one while another still reads the other: at the barrier
 * before a piece is read all have read the one before. */
void rondo_gemm_outer(const rondo_gemm_kernel *kernel, const rondo_outer_args *args, rondo_pool *pool, int thread,
                      int threads) {
  const rondo_outer_factor *a = args->factor;
  size_t blocks = rondo_blocks(kernel->lanes, args->columns), width = blocks * (size_t)kernel->lanes;
  size_t rows = a[0].rows + (args->count > 1 ? a[1].rows : 0), piece = rondo_outer_piece(args->depth);
  for (size_t begin = 0, turns = 0; begin < args->depth; begin += piece, turns ^= 1) {
    size_t depth = least(piece, args->depth - begin);
    float *turned[2] = {args->turned + turns * rows * piece}, *packed = args->packed + turns * width * piece;
    rondo_rows b = rondo_rows_from(&args->b, begin);
    turned[1] = turned[0] + a[0].rows * depth;
    for (int i = 0; i < args->count; i++) turn(&a[i], turned[i], begin, depth, rondo_share(a[i].rows, thread, threads));
    rondo_pack_rows(packed, kernel->lanes, &b, depth, args->columns, rondo_share(blocks, thread, threads));
    rondo_pool_barrier(pool);
    for (int i = 0; i < args->count; i++) add_product(kernel, args, &a[i], turned[i], packed, depth, thread, threads);
  }
  rondo_pool_barrier(pool);
}
