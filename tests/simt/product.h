/* product.h: the plain matrix product under gemm.c. */
#ifndef PRODUCT_H
#define PRODUCT_H
#include <stdint.h>

/* c (m, n), column-major without gaps, becomes a (m, k) times b (k, n). Element (i, l) of a is a[i * a_row + l * a_column],
 * element (l, j) of b is b[l * b_row + j * b_column]. With k = 0, c becomes zeros. */
void gemm_product_float(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row, int64_t a_column, const float *b,
                        int64_t b_row, int64_t b_column, float *c);
void gemm_product_double(int64_t m, int64_t n, int64_t k, const double *a, int64_t a_row, int64_t a_column, const double *b,
                         int64_t b_row, int64_t b_column, double *c);
#endif
