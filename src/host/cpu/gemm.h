/* gemm.h - products of matrices of floats, for training: C = A B, C += A B, C += A^T B.
 *
 * Rows of A and C lie anywhere; B is packed into blocks of V columns, V the lanes of a vector, each of which is one
 * stream of memory (depth, V). Sums over the depth are made in pieces of RONDO_GEMM_DEPTH terms, one term after
 * another from zero, and added to C piece after piece: the order depends on the depth alone, not on threads, other
 * rows or columns, and a sum of K terms is off by at most about (RONDO_GEMM_DEPTH + K / RONDO_GEMM_DEPTH) u of their
 * absolute values, u = 2^-24. */
#ifndef RONDO_CPU_GEMM_H
#define RONDO_CPU_GEMM_H

#include "cpu/threads.h"

#include <stddef.h>

enum {
  RONDO_GEMM_DEPTH = 256, /* at 4 blocks of 16 lanes 64 KiB of B, which stay in the second cache */
  RONDO_OUTER_DEPTH = 512 /* rows of A and B that are turned and packed at a time; C comes from memory once for each */
};

/* Rows of a matrix: row i is at table[i], or without a table at first + i * stride. Those of A and B are only read. */
typedef struct rondo_rows {
  float *const *table;
  float *first;
  size_t stride;
} rondo_rows;

static inline float *rondo_row(const rondo_rows *rows, size_t i) {
  return rows->table ? rows->table[i] : rows->first + i * rows->stride;
}

static inline rondo_rows rondo_rows_dense(const float *first, size_t stride) {
  return (rondo_rows){.first = (float *)first, .stride = stride};
}

/* The rows from i on. */
static inline rondo_rows rondo_rows_from(const rondo_rows *rows, size_t i) {
  if (rows->table) return (rondo_rows){.table = rows->table + i};
  return (rondo_rows){.first = rows->first + i * rows->stride, .stride = rows->stride};
}

typedef struct rondo_range {
  size_t begin, end;
} rondo_range;

/* Part `index` of `parts` of count things. */
static inline rondo_range rondo_share(size_t count, int index, int parts) {
  return (rondo_range){count * (size_t)index / (size_t)parts, count * ((size_t)index + 1) / (size_t)parts};
}

typedef struct rondo_gemm_args {
  size_t rows, columns, depth; /* of C; of the sums */
  rondo_rows a;                /* (rows): (depth) */
  const float *b;              /* packed (depth, columns): its blocks are `stream` floats apart */
  size_t stream;
  rondo_rows c; /* (rows): (columns) */
  int add;      /* to what C holds */
} rondo_gemm_args;

/* One instruction set's. */
typedef struct rondo_gemm_kernel {
  int lanes;                                                                           /* V */
  void (*multiply)(const rondo_gemm_args *args, rondo_range rows, rondo_range blocks); /* a part of C */
} rondo_gemm_kernel;

static inline size_t rondo_blocks(int lanes, size_t columns) {
  return (columns + (size_t)lanes - 1) / (size_t)lanes;
}

/* Packs some blocks of B; columns beyond the last are filled with zeros. to: the whole packed matrix, which takes
 * rondo_blocks() * depth * V floats. from: the rows (depth): (columns) of B; or of its transpose, (columns):
 * (depth). */
void rondo_pack_rows(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns, rondo_range blocks);
void rondo_pack_columns(float *to, int lanes, const rondo_rows *from, size_t depth, size_t columns, rondo_range blocks);

/* This thread's part of a product; the parts do not overlap, and neither waits for another. */
void rondo_gemm(const rondo_gemm_kernel *kernel, const rondo_gemm_args *args, int thread, int threads);

/* One A and its C of the sums below. */
typedef struct rondo_outer_factor {
  rondo_rows a; /* (depth): (rows) */
  rondo_rows c; /* (rows): (columns) */
  size_t rows;
  float *const *mask; /* (depth), or NULL: row k of A is multiplied by the (rows) factors at mask[k] + mask_begin */
  size_t mask_begin;
} rondo_outer_factor;

/* C += A^T B, sums over many rows, for one or two A, which then share the packed B. */
typedef struct rondo_outer_args {
  size_t depth, columns; /* rows of A and B; columns of B and C */
  int count;
  rondo_outer_factor factor[2];
  rondo_rows b; /* (depth): (columns) */
  /* Scratch for pieces of rondo_outer_piece(depth) rows. */
  float *turned; /* (2, rows of all A, piece) */
  float *packed; /* 2 * piece packed rows of B */
} rondo_outer_args;

static inline size_t rondo_outer_piece(size_t depth) {
  return depth < RONDO_OUTER_DEPTH ? depth : RONDO_OUTER_DEPTH;
}

/* All threads of the pool's call come here; each has passed a barrier since A and B were written, and the scratch is
 * free again when it returns. */
void rondo_gemm_outer(const rondo_gemm_kernel *kernel, const rondo_outer_args *args, rondo_pool *pool, int thread,
                      int threads);

#endif
