/* kernels_avx2.c - the kernels with AVX2, FMA and F16C. Built with -mavx2 -mfma -mf16c -ffp-contract=off. */
#define VEC_AVX2
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx2
#include "cpu/kernels_body.h"

KERNELS(avx2);
