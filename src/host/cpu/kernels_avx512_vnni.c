/* kernels_avx512_vnni.c - the kernels with AVX-512 and its products of int8 in quads, the same as kernels_avx512.c's in
 * fewer instructions. Built with the flags of that one and -mavx512vnni. */
#define VEC_AVX512
#define VEC_VNNI
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx512_vnni
#include "cpu/kernels_body.h"

KERNELS(avx512_vnni);
