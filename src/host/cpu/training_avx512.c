/* training_avx512.c - the kernels of training with AVX-512. Built with -mavx512f -mavx512bw
 * -mavx512dq -mavx512vl -ffp-contract=off. */
#define VEC_AVX512
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx512
#include "cpu/kernels_training_body.h"

TRAINING_KERNELS(avx512);
