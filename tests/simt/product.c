/* product.c: c = a b for fp32 and fp64, on one thread.
 *
 * Every sum is one fused multiply-add after the other, k ascending, as the engine's mma does it. So a result depends on
 * its own row of a and column of b only, and its error is that of the plainest fp32 sum: a GPU, which adds partial sums,
 * is seldom worse. Compiled with -ffp-contract=fast, which is what fuses the multiplication with the addition. */
#include "product.h"

#include <stdlib.h>
#include <string.h>

enum { TILE_COLUMNS = 6 }; /* 6 columns of two vectors: twelve of the sixteen vector registers hold sums */

typedef float float_vector __attribute__((vector_size(32)));
typedef double double_vector __attribute__((vector_size(32)));

#define T float
#define VECTOR float_vector
#define TILE_ROWS 16
#define NAME(x) x##_float
#include "product.def"
#undef T
#undef VECTOR
#undef TILE_ROWS
#undef NAME

#define T double
#define VECTOR double_vector
#define TILE_ROWS 8
#define NAME(x) x##_double
#include "product.def"
