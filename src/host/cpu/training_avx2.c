/* training_avx2.c - the kernels of training with AVX2, FMA and F16C; built with -mavx2 -mfma -mf16c, no contraction. */
#define VEC_AVX2
#include "cpu/vec.h"

#define KERNEL(name) rondo_##name##_avx2
#include "cpu/kernels_training_body.h"

TRAINING_KERNELS(avx2);
