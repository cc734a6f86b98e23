/* features.c - which instruction set to use. */
#define _GNU_SOURCE /* syscall */
#include "cpu/cpu.h"

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>

/* The compiler's own check asks cpuid, and the operating system (xgetbv) whether it saves the wide registers. Not every
 * compiler has it for F16C. */
static int has_avx2(void) {
  unsigned a, b, c, d;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __get_cpuid(1, &a, &b, &c, &d) &&
         c & bit_F16C;
}

static int has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

/* Of no more registers than AVX-512's. */
static int has_avx512_bf16(void) {
  unsigned a, b, c, d;
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 5 & 1;
}

#if defined(RONDO_TILES) /* tests: tiles that need no such machine */
static int has_amx(void) {
  return has_avx512_bf16();
}

#elif defined(__linux__)
/* The system saves tiles (parts 17 and 18 of its state) for processes that have asked for them: they are large, and
 * signal stacks hold them, too. To ask again does nothing; it refuses where a thread's signal stack is too small. */
static int has_amx(void) {
  enum { TILES = 1 << 22 | 1 << 24 /* amx-bf16, amx-tile */, SAVED = 1 << 17 | 1 << 18 };
  enum { REQUEST_PERMISSION = 0x1023 /* ARCH_REQ_XCOMP_PERM */, TILE_DATA = 18 };
  unsigned a, b, c, d;
  if (!has_avx512_bf16() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & TILES) != TILES) return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & SAVED) == SAVED && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

#else
static int has_amx(void) {
  return 0;
}
#endif
#endif

const rondo_cpu_kernels *rondo_cpu_kernels_for(rondo_isa isa, rondo_dtype type) {
#if defined(RONDO_AVX512_VNNI)
  if (type == RONDO_INT8 && isa >= RONDO_ISA_AVX512 && __builtin_cpu_supports("avx512vnni"))
    return &rondo_cpu_kernels_avx512_vnni;
#endif
  (void)type;
  return rondo_cpu_kernels_of(isa);
}

rondo_isa rondo_cpu_best_isa(rondo_isa limit) {
  if (limit == RONDO_ISA_BEST) limit = RONDO_ISA_AMX;
#if defined(__x86_64__)
  if (limit >= RONDO_ISA_AMX && rondo_cpu_kernels_of(RONDO_ISA_AMX) && has_amx()) return RONDO_ISA_AMX;
  if (limit >= RONDO_ISA_AVX512_BF16 && rondo_cpu_kernels_of(RONDO_ISA_AVX512_BF16) && has_avx512_bf16())
    return RONDO_ISA_AVX512_BF16;
  if (limit >= RONDO_ISA_AVX512 && has_avx512()) return RONDO_ISA_AVX512;
  if (limit >= RONDO_ISA_AVX2 && has_avx2()) return RONDO_ISA_AVX2;
#endif
  return RONDO_ISA_PORTABLE;
}
