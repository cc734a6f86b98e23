/* kernels_amx.c - the kernels with AVX-512, and products of bf16 in AMX's tiles. Built with the flags of
 * kernels_avx512_bf16.c and -mamx-tile -mamx-bf16. */
#define VEC_AVX512
#define VEC_PAIRS
#define VEC_TILES
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_amx
#include "cpu/kernels_body.h"

KERNELS(amx);
