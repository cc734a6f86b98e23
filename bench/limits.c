/* limits.c - measures the machine: multiply-adds in registers, and reading a block again and again.
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

typedef struct level {
  const char *name;
  int lanes;
  float (*fma)(long rounds);
  float (*read)(const float *block, size_t floats, int down);
} level;

static const level levels[] = {
    [RONDO_ISA_PORTABLE] = {"portable", 4, fma_portable, read_portable},
#if defined(__x86_64__)
    [RONDO_ISA_AVX2] = {"avx2", 8, fma_avx2, read_avx2},
    [RONDO_ISA_AVX512] = {"avx512", 16, fma_avx512, read_avx512},
#endif
};

enum { FMA_ROUNDS = 200000, CHAINS = 12, FMA_TRIES = 25, READ_TRIES = 4 };
static const size_t HUGE_PAGE = (size_t)2 << 20, PASS_BYTES = (size_t)64 << 20, LARGEST_BLOCK = (size_t)256 << 20;

/* What the threads of one measurement share: each says when it is ready, and waits for the word to begin. */
typedef struct gate {
  atomic_int ready, open;
} gate;

/* One thread's part of a measurement. */
typedef struct probe {
  const level *level;
  size_t bytes; /* of the block; 0: multiply-adds instead */
  gate *gate;
  double rate; /* result: operations or bytes per second; 0: no memory */
  float sum;   /* keeps the work from being optimised away */
} probe;

static void wait_at(gate *g) {
  atomic_fetch_add(&g->ready, 1);
  while (!atomic_load(&g->open)) sched_yield();
}

static void probe_fma(probe *p) {
  wait_at(p->gate);
  double begin = now();
  p->sum = p->level->fma(FMA_ROUNDS);
  p->rate = 2.0 * CHAINS * FMA_ROUNDS * p->level->lanes / (now() - begin);
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
    probe_fma(p);
  return NULL;
}

/* The rates of all threads together, measured once. A thread that cannot be started is done without. */
static double run_together(const level *isa, int threads, size_t bytes) {
  enum { MOST = 1024 };
  static probe probes[MOST];
  static pthread_t handles[MOST];
  gate g = {0, 0};
  int started = 1;
  for (int i = 0; i < threads; i++) probes[i] = (probe){.level = isa, .bytes = bytes, .gate = &g};
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

void limits_measure(limits *l, rondo_isa max_isa, int threads) {
  rondo_isa isa = machine_isa();
  if (max_isa != RONDO_ISA_BEST && max_isa < isa) isa = max_isa;
  *l = (limits){.isa = isa, .threads = threads};
  for (int i = 0; i < FMA_TRIES; i++) l->fma_gflops = fmax(l->fma_gflops, run_together(&levels[isa], threads, 0) / 1e9);
}

double limits_read_gbs(limits *l, size_t bytes) {
  enum { MOST = sizeof l->reads / sizeof *l->reads };
  const size_t granule = 4096;
  bytes = bytes > LARGEST_BLOCK ? LARGEST_BLOCK : (bytes + granule - 1) / granule * granule;
  int at = 0;
  while (at < l->read_count && l->reads[at].bytes != bytes) at++;
  double best = at < l->read_count ? l->reads[at].gbs : 0;
  for (int i = 0; i < READ_TRIES; i++) best = fmax(best, run_together(&levels[l->isa], l->threads, bytes) / 1e9);
  if (at == MOST) return best; /* only not remembered */
  if (at == l->read_count) l->reads[l->read_count++].bytes = bytes;
  return l->reads[at].gbs = best;
}

const char *limits_isa_name(rondo_isa isa) {
  return levels[isa].name;
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
