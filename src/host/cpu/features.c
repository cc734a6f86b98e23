/* features.c - which instruction set to use. */
#include "cpu/cpu.h"

/* The compiler's own check asks cpuid, and the operating system (xgetbv) whether it saves the wide registers. */
rondo_isa rondo_cpu_best_isa(rondo_isa limit) {
  if (limit == RONDO_ISA_BEST) limit = RONDO_ISA_AVX512;
#if defined(__x86_64__)
  if (limit >= RONDO_ISA_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    return RONDO_ISA_AVX512;
  if (limit >= RONDO_ISA_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return RONDO_ISA_AVX2;
#endif
  return RONDO_ISA_PORTABLE;
}
