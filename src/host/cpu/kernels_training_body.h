/* kernels_training_body.h - the kernels of training once, on the words of vec.h. training_<isa>.c includes it and gives
 * KERNEL(name). */
#include "cpu/training.h"
#include "cpu/vec_functions.h"

/* A loop over a part of a tile. It must vanish before the compiler decides what lives in registers, so it says so. */
#if defined(__clang__)
#define EACH(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)
#endif

#include "cpu/kernels_gemm.h"
#include "cpu/kernels_slopes.h"

#define TRAINING_KERNELS(isa)                                                                                          \
  const rondo_cpu_training_kernels rondo_cpu_training_kernels_##isa = {                                                \
      .gemm = {.lanes = LANES, .multiply = KERNEL(multiply)},                                                          \
      .slopes = KERNEL(slopes),                                                                                        \
  }
