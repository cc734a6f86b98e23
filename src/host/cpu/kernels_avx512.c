/* kernels_avx512.c - the kernels with AVX-512. Built with -mavx512f -mavx512bw -mavx512dq -mavx512vl
 * -ffp-contract=off. */
#define VEC_AVX512
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx512
#include "cpu/kernels_body.h"

KERNELS(avx512);
