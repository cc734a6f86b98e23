/* limits.c - measures the machine: products in registers, and reading a block again and again.
 *
 * A block is read up and down in turn, as a recurrence may walk its weights: what a cache still holds of the last pass
 * is then met first, so this is the fastest way to read a block that does not quite fit. All threads measure at the
 * same time, because they share clocks, caches and sometimes a core. */
#define _GNU_SOURCE /* madvise */
#include "limits.h"

#include "timing.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define LEVEL(name) name##_portable
#define LANES 4
#define TARGET
#include "limits_level.h"
#undef LEVEL
#undef LANES
#undef TARGET

#if defined(__x86_64__)
#define LEVEL(name) name##_avx2
#define LANES 8
#define TARGET __attribute__((target("avx2,fma")))
#include "limits_level.h"
#undef LEVEL
#undef LANES
#undef TARGET

#define LEVEL(name) name##_avx512
#define LANES 16
#define TARGET __attribute__((target("avx512f")))
#include "limits_level.h"
#endif

#if defined(RONDO_AVX512_BF16)
/* As fma in limits_level.h: 12 chains that differ, and numbers that stay finite. */
__attribute__((target("avx512f,avx512bf16"))) static float pairs_avx512(long rounds) {
  const __m512bh b = (__m512bh)_mm512_set1_epi16(0x3f00), c = b; /* 0.5 */
  const __m512 one = _mm512_set1_ps(1);
  __m512 a0 = _mm512_setzero_ps(), a1 = a0 + one, a2 = a1 + one, a3 = a2 + one, a4 = a3 + one, a5 = a4 + one;
  __m512 a6 = a5 + one, a7 = a6 + one, a8 = a7 + one, a9 = a8 + one, a10 = a9 + one, a11 = a10 + one;
  for (long k = 0; k < rounds; k++) {
    a0 = _mm512_dpbf16_ps(a0, b, c), a1 = _mm512_dpbf16_ps(a1, b, c), a2 = _mm512_dpbf16_ps(a2, b, c);
    a3 = _mm512_dpbf16_ps(a3, b, c), a4 = _mm512_dpbf16_ps(a4, b, c), a5 = _mm512_dpbf16_ps(a5, b, c);
    a6 = _mm512_dpbf16_ps(a6, b, c), a7 = _mm512_dpbf16_ps(a7, b, c), a8 = _mm512_dpbf16_ps(a8, b, c);
    a9 = _mm512_dpbf16_ps(a9, b, c), a10 = _mm512_dpbf16_ps(a10, b, c), a11 = _mm512_dpbf16_ps(a11, b, c);
  }
  const vector_avx512 sum = (vector_avx512)(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11);
  return lanes_sum_avx512(&sum);
}
#else
#define pairs_avx512 NULL
#endif

#if defined(RONDO_AVX512_VNNI)
/* Likewise. The chains are vectors of int32, which the instruction adds to: of those of __m512i, which are of 64 bits,
 * GCC makes copies, two for each product. */
typedef int32_t vector_of_sums __attribute__((vector_size(64)));

__attribute__((target("avx512f,avx512vnni"))) static vector_of_sums add_quads(vector_of_sums a, __m512i b) {
  return (vector_of_sums)_mm512_dpbusd_epi32((__m512i)a, b, b);
}

__attribute__((target("avx512f,avx512vnni"))) static float quads_avx512(long rounds) {
  const __m512i b = _mm512_set1_epi8(3);
  vector_of_sums a0 = {0}, a1 = a0 + 1, a2 = a1 + 1, a3 = a2 + 1, a4 = a3 + 1, a5 = a4 + 1;
  vector_of_sums a6 = a5 + 1, a7 = a6 + 1, a8 = a7 + 1, a9 = a8 + 1, a10 = a9 + 1, a11 = a10 + 1;
  for (long k = 0; k < rounds; k++) {
    a0 = add_quads(a0, b), a1 = add_quads(a1, b), a2 = add_quads(a2, b), a3 = add_quads(a3, b);
    a4 = add_quads(a4, b), a5 = add_quads(a5, b), a6 = add_quads(a6, b), a7 = add_quads(a7, b);
    a8 = add_quads(a8, b), a9 = add_quads(a9, b), a10 = add_quads(a10, b), a11 = add_quads(a11, b);
  }
  const vector_avx512 sum = (vector_avx512)(a0 ^ a1 ^ a2 ^ a3 ^ a4 ^ a5 ^ a6 ^ a7 ^ a8 ^ a9 ^ a10 ^ a11);
  return lanes_sum_avx512(&sum);
}
#else
#define quads_avx512 NULL
#endif

enum { CHAINS = 12 };

typedef struct level {
  const char *name;
  float (*read)(const float *block, size_t floats, int down);
  struct {
    float (*run)(long rounds);
    double operations; /* of a round */
  } units[LIMITS_UNITS];
} level;

#define OPERATIONS(lanes, products) (2.0 * CHAINS * (lanes) * (products))

static const level levels[] = {
    [RONDO_ISA_PORTABLE] = {"portable", read_portable, {{fma_portable, OPERATIONS(4, 1)}}},
#if defined(__x86_64__)
    [RONDO_ISA_AVX2] = {"avx2", read_avx2, {{fma_avx2, OPERATIONS(8, 1)}}},
    [RONDO_ISA_AVX512] = {"avx512",
                          read_avx512,
                          {[LIMITS_FMA] = {fma_avx512, OPERATIONS(16, 1)},
                           [LIMITS_PAIRS] = {pairs_avx512, OPERATIONS(16, 2)},
                           [LIMITS_QUADS] = {quads_avx512, OPERATIONS(16, 4)}}},
#endif
};

enum { ROUNDS = 200000, PEAK_TRIES = 25, READ_TRIES = 4 };
static const size_t HUGE_PAGE = (size_t)2 << 20, PASS_BYTES = (size_t)64 << 20, LARGEST_BLOCK = (size_t)256 << 20;

/* What the threads of one measurement share: each says when it is ready, and waits for the word to begin. */
typedef struct gate {
  atomic_int ready, open;
} gate;

/* One thread's part of a measurement. */
typedef struct probe {
  const level *level;
  size_t bytes;     /* of the block; 0: products of the unit instead */
  limits_unit unit; /* which the level has */
  gate *gate;
  double rate; /* result: operations or bytes per second; 0: no memory */
  float sum;   /* keeps the work from being optimised away */
} probe;

static void wait_at(gate *g) {
  atomic_fetch_add(&g->ready, 1);
  while (!atomic_load(&g->open)) sched_yield();
}

static void probe_peak(probe *p) {
  wait_at(p->gate);
  double begin = now();
  p->sum = p->level->units[p->unit].run(ROUNDS);
  p->rate = ROUNDS * p->level->units[p->unit].operations / (now() - begin);
}

static void probe_read(probe *p) {
  size_t floats = p->bytes / sizeof(float), whole = (p->bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
  float *block = aligned_alloc(HUGE_PAGE, whole);
  if (block) {
    madvise(block, whole, MADV_HUGEPAGE); /* only a wish */
    for (size_t i = 0; i < floats; i++) block[i] = 1;
  }
  wait_at(p->gate);
  if (!block) return;
  int passes = 4 + (int)(PASS_BYTES / p->bytes) / 2 * 2;
  double begin = now();
  for (int pass = 0; pass < passes; pass++) p->sum += p->level->read(block, floats, pass & 1);
  p->rate = (double)p->bytes * passes / (now() - begin);
  free(block);
}

static void *run_probe(void *argument) {
  probe *p = argument;
  if (p->bytes)
    probe_read(p);
  else
    probe_peak(p);
  return NULL;
}

/* The rates of all threads together, measured once. A thread that cannot be started is done without. */
static double run_together(const level *isa, int threads, limits_unit unit, size_t bytes) {
  enum { MOST = 1024 };
  static probe probes[MOST];
  static pthread_t handles[MOST];
  gate g = {0, 0};
  int started = 1;
  for (int i = 0; i < threads; i++) probes[i] = (probe){.level = isa, .unit = unit, .bytes = bytes, .gate = &g};
  while (started < threads && !pthread_create(&handles[started], NULL, run_probe, &probes[started])) started++;
  while (atomic_load(&g.ready) < started - 1) sched_yield();
  atomic_store(&g.open, 1);
  run_probe(&probes[0]);
  double rate = probes[0].rate;
  for (int i = 1; i < started; i++) {
    pthread_join(handles[i], NULL);
    rate += probes[i].rate;
  }
  return rate;
}

static rondo_isa machine_isa(void) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return RONDO_ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return RONDO_ISA_AVX2;
#endif
  return RONDO_ISA_PORTABLE;
}

/* Whether the unit may be used: a machine may have the level without it. */
static int has_unit(rondo_isa isa, limits_unit unit, rondo_isa max_isa) {
  if (!levels[isa].units[unit].run) return 0;
#if defined(__x86_64__)
  int pairs_wanted = max_isa == RONDO_ISA_BEST || max_isa >= RONDO_ISA_AVX512_BF16;
  if (unit == LIMITS_PAIRS) return pairs_wanted && __builtin_cpu_supports("avx512bf16");
  if (unit == LIMITS_QUADS) return __builtin_cpu_supports("avx512vnni");
#endif
  (void)max_isa;
  return 1;
}

void limits_measure(limits *l, rondo_isa max_isa, int threads) {
  rondo_isa isa = machine_isa();
  if (max_isa != RONDO_ISA_BEST && max_isa < isa) isa = max_isa;
  *l = (limits){.isa = isa, .threads = threads};
  for (limits_unit unit = 0; unit < LIMITS_UNITS; unit++)
    for (int i = 0; has_unit(isa, unit, max_isa) && i < PEAK_TRIES; i++)
      l->gflops[unit] = fmax(l->gflops[unit], run_together(&levels[isa], threads, unit, 0) / 1e9);
}

double limits_read_gbs(limits *l, size_t bytes) {
  enum { MOST = sizeof l->reads / sizeof *l->reads };
  const size_t granule = 4096;
  bytes = bytes > LARGEST_BLOCK ? LARGEST_BLOCK : (bytes + granule - 1) / granule * granule;
  if (!bytes) bytes = granule; /* a thread's share of less than a byte: it reads something all the same */
  int at = 0;
  while (at < l->read_count && l->reads[at].bytes != bytes) at++;
  double best = at < l->read_count ? l->reads[at].gbs : 0;
  for (int i = 0; i < READ_TRIES; i++)
    best = fmax(best, run_together(&levels[l->isa], l->threads, LIMITS_FMA, bytes) / 1e9);
  if (at == MOST) return best; /* only not remembered */
  if (at == l->read_count) l->reads[l->read_count++].bytes = bytes;
  return l->reads[at].gbs = best;
}

const char *limits_isa_name(rondo_isa isa) {
  return levels[isa].name;
}

const char *limits_unit_name(limits_unit unit) {
  static const char *const names[] = {[LIMITS_FMA] = "fma", [LIMITS_PAIRS] = "pairs", [LIMITS_QUADS] = "quads"};
  return names[unit];
}

const char *limits_cpu_name(void) {
  static char name[128] = "unknown processor";
  char line[256];
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file && fgets(line, sizeof line, file)) {
    const char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) != 0 || !colon) continue;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
    break;
  }
  if (file) fclose(file);
  return name;
}
