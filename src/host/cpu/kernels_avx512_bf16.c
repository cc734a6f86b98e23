/* kernels_avx512_bf16.c - the kernels with AVX-512 and its products of bf16 in pairs. Built with the flags of
 * kernels_avx512.c and -mavx512bf16. */
#define VEC_AVX512
#define VEC_PAIRS
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx512_bf16
#include "cpu/kernels_body.h"

KERNELS(avx512_bf16);
