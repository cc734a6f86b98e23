/* training_avx2.c - the kernels of training with AVX2 and FMA. Built with -mavx2 -mfma -ffp-contract=off. */
#define VEC_AVX2
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx2
#include "cpu/kernels_training_body.h"

TRAINING_KERNELS(avx2);
