/* exec_mem.c: loads, stores, atomics, asynchronous copies, mbarriers, and the checks on every access. */
#include "engine_internal.h"
#include <immintrin.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- reports ------------------------------------------------------------------------------------------------------- */
static const char *verb(int access) {
  return access & ACCESS_ATOMIC ? "atomic access" : access & ACCESS_WRITE ? "write" : "read";
}

static void report_global(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  allocation *a = memory_lookup(at);
  unsigned long long x = at;
  if (at < 65536) exec_report(w, i, lane, "memcheck", "%s of %u bytes through a null pointer (0x%llx)", verb(access), bytes, x);
  else if (a && a->state == ALLOC_FREED)
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at 0x%llx, in freed memory (use after free: %llu bytes at 0x%llx)", verb(access), bytes, x,
                (unsigned long long)a->bytes, (unsigned long long)a->base);
  else if (a && at + bytes > a->base + a->bytes)
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at 0x%llx, out of bounds: %lld bytes past the end of %s%s%llu bytes at 0x%llx",
                verb(access), bytes, x, (long long)(at - a->base - a->bytes), a->name ? a->name : "an allocation of", a->name ? ", " : " ",
                (unsigned long long)a->bytes, (unsigned long long)a->base);
  else if (memory_in_arena(at))
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at 0x%llx, out of bounds: no allocation there", verb(access), bytes, x);
  else exec_report(w, i, lane, "memcheck", "%s of %u bytes at 0x%llx, which is not device memory (a host pointer?)", verb(access), bytes, x);
}

static void report_misaligned(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  exec_report(w, i, lane, "memcheck", "misaligned %s of %u bytes at 0x%llx", verb(access), bytes, (unsigned long long)at);
}

static void report_uninitialized(warp *w, const insn *i, int lane, const char *space, uint64_t at, uint32_t bytes, const uint8_t *shadow) {
  const simt_module *m = w->block->launch->module;
  uint32_t line = i->loc ? m->locs[i->loc].line ^ ((uint32_t)m->locs[i->loc].file << 24) : i->ptx_line;
  if (report_limit_key("initcheck once", w->block->launch->function->name, line ^ ((uint32_t)space[0] << 16))) return;
  uint32_t first = 0, count = 0;
  for (uint32_t n = 0; n < bytes; n++) count += !shadow[n];
  while (first < bytes && shadow[first]) first++;
  exec_report(w, i, lane, "initcheck", "read of %u bytes of %s memory at 0x%llx, %u of them never written (first: byte %u)", bytes, space,
              (unsigned long long)at, count, first);
}

/* ---- shadow bytes ---------------------------------------------------------------------------------------------------- */
static inline bool all_written(const uint8_t *s, uint32_t bytes) {
  switch (bytes) {
    case 1: return *s == 1;
    case 2: { uint16_t v; memcpy(&v, s, 2); return v == 0x0101; }
    case 4: { uint32_t v; memcpy(&v, s, 4); return v == 0x01010101u; }
    case 8: { uint64_t v; memcpy(&v, s, 8); return v == 0x0101010101010101ull; }
    default:
      for (uint32_t n = 0; n < bytes; n++) if (s[n] != 1) return false;
      return true;
  }
}
static inline void set_written(uint8_t *s, uint32_t bytes) {
  switch (bytes) {
    case 1: *s = 1; break;
    case 2: memset(s, 1, 2); break;
    case 4: memset(s, 1, 4); break;
    case 8: memset(s, 1, 8); break;
    case 16: memset(s, 1, 16); break;
    default: memset(s, 1, bytes);
  }
}

static inline void note_spin(warp *w) {
  launch_state *l = w->block->launch;
  if (w->spin_epoch != l->memory_changes) { w->spin_epoch = l->memory_changes; w->spin_hits = 0; }
  w->spin_hits++;
  w->slice -= 250; /* a thread that polls gives way soon */
}

/* ---- global memory --------------------------------------------------------------------------------------------------- */
static __attribute__((noinline)) char *global_slow(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access, uint32_t align) {
  allocation *a = memory_lookup(at);
  bool live = a && (a->state == ALLOC_LIVE || a->state == ALLOC_GLOBAL);
  if (live && at >= a->base && at + bytes <= a->base + a->bytes) {
    w->cache_base = a->base;
    w->cache_end = a->base + a->bytes;
    w->cache_alias = (int64_t)((uint64_t)memory_alias(a->base) - a->base);
    w->cache_generation = memory_generation;
    if (at & (align - 1)) {
      report_misaligned(w, i, lane, at, bytes, access);
      return NULL;
    }
    return (char *)(at + (uint64_t)w->cache_alias);
  }
  if (memory_is_registered_host(at, bytes)) {
    if (at & (align - 1)) {
      report_misaligned(w, i, lane, at, bytes, access);
      return NULL;
    }
    return (char *)at;
  }
  if (!checks.memory && memory_in_arena(at) && memory_in_arena(at + bytes - 1)) return memory_alias(at);
  report_global(w, i, lane, at, bytes, access);
  return NULL;
}

static inline uint32_t alignment_of(uint32_t bytes) { return bytes; }

/* Checked address of a global access; NULL after a report. */
static inline char *global_at(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  char *p;
  if (at >= w->cache_base && at + bytes <= w->cache_end && w->cache_generation == memory_generation && !(at & (bytes - 1)))
    p = (char *)(at + (uint64_t)w->cache_alias);
  else if (!(p = global_slow(w, i, lane, at, bytes, access, alignment_of(bytes)))) return NULL;
  else if (!memory_in_arena(at)) return p; /* registered host memory: no shadow */
  if (checks.init) {
    uint8_t *s = (uint8_t *)(at + (uint64_t)memory_shadow_delta);
    if ((access & (ACCESS_READ | ACCESS_ATOMIC)) && !(access & ACCESS_ASYNC) && !all_written(s, bytes))
      report_uninitialized(w, i, lane, "global", at, bytes, s);
    if (access & (ACCESS_WRITE | ACCESS_ATOMIC)) set_written(s, bytes);
  } else if (access & (ACCESS_WRITE | ACCESS_ATOMIC)) set_written((uint8_t *)(at + (uint64_t)memory_shadow_delta), bytes);
  if (w->block->launch->global_race) race_global(w, i, lane, at, bytes, access);
  return p;
}

/* ---- shared and local memory ------------------------------------------------------------------------------------------- */
/* The block whose shared memory an address means, and in *at the offset there; NULL after a report. */
static __attribute__((noinline)) block *peer_at(warp *w, const insn *i, int lane, uint64_t *at, uint32_t bytes, int access) {
  uint64_t rank = (*at >> CLUSTER_SHIFT) - 1, offset = *at & ((1u << CLUSTER_SHIFT) - 1);
  const unsigned *c = w->block->launch->shape->cluster;
  block *peer = rank < 16 ? w->block->cluster_peers[rank] : NULL;
  if (!peer && rank < 16)
    exec_report(w, i, lane, "memcheck", "%s of %u bytes of shared memory of block rank %u in a cluster of %u blocks", verb(access), bytes,
                (unsigned)rank, c[0] * c[1] * c[2]);
  else if (!peer)
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at shared offset 0x%llx, out of bounds: the block has %u bytes", verb(access), bytes,
                (unsigned long long)*at, w->block->shared_bytes);
  if (!peer) return NULL;
  *at = offset;
  if (peer == w->block) return peer;
  if (peer->done || offset + bytes > peer->shared_bytes) {
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at offset 0x%llx of the shared memory of block rank %u%s", verb(access), bytes,
                (unsigned long long)offset, (unsigned)rank, peer->done ? ", which has ended" : ": out of bounds");
    return NULL;
  }
  race_peer(w, i, lane, peer, access);
  return peer;
}
static inline block *shared_owner(warp *w, const insn *i, int lane, uint64_t *at, uint32_t bytes, int access) {
  return __builtin_expect(*at >> CLUSTER_SHIFT, 0) ? peer_at(w, i, lane, at, bytes, access) : w->block;
}

static inline char *shared_at(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  block *b = shared_owner(w, i, lane, &at, bytes, access);
  if (!b) return NULL;
  if (__builtin_expect(at + bytes > b->shared_bytes, 0)) {
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at shared offset 0x%llx, out of bounds: the block has %u bytes", verb(access), bytes,
                (unsigned long long)at, b->shared_bytes);
    return NULL;
  }
  if (at & (bytes - 1)) { report_misaligned(w, i, lane, at, bytes, access); return NULL; }
  uint8_t *s = b->shared_shadow + at;
  if ((access & (ACCESS_READ | ACCESS_ATOMIC)) && checks.init && !all_written(s, bytes)) report_uninitialized(w, i, lane, "shared", at, bytes, s);
  if (access & (ACCESS_WRITE | ACCESS_ATOMIC)) set_written(s, bytes);
  if (b->shared_race) race_shared(w, i, lane, b, (uint32_t)at, bytes, access);
  return b->shared + at;
}

/* What a flag at these addresses is known by: see race_strong_write. */
static uint64_t shared_key(const block *b, uint64_t offset) { return SHARED_WINDOW + ((uint64_t)b->slot << CLUSTER_SHIFT) + offset; }
static void sync_keys(warp *w, const insn *i, const uint64_t *at, uint32_t mask, uint64_t *keys) {
  const launch_state *l = w->block->launch;
  EACH_LANE(mask, lane) {
    uint64_t a = at[lane];
    bool shared = i->space == SP_SHARED || (i->space == SP_GENERIC && a - SHARED_WINDOW < WINDOW_BYTES);
    if (shared) {
      if (a >= SHARED_WINDOW) a -= SHARED_WINDOW;
      uint64_t rank = a >> CLUSTER_SHIFT;
      keys[lane] = shared_key(rank ? w->block->cluster_peers[rank - 1] : w->block, a & ((1u << CLUSTER_SHIFT) - 1));
    } else keys[lane] = l->global_race && memory_in_arena(a) ? a : 0;
  }
}

/* The compiler may load a local variable before it is known to be wanted, and select afterwards. */
static bool loaded_ahead(const warp *w, const insn *i) {
  const simt_module *m = w->block->launch->module;
  if (i->run != run_load || i->list_count != 1) return false;
  int32_t o = i->list[0];
  for (const insn *n = i + 1; n < m->code + m->n_code && n->kind == K_PLAIN; n++) {
    if (n->run == run_select && (n->o[1] == o) != (n->o[2] == o) && n->o[3] != o) return true;
    for (int k = 0; k < OPERANDS; k++)
      if (n->o[k] == o) return false;
    for (uint32_t k = 0; k < n->list_count; k++)
      if (n->list[k] == o) return false;
  }
  return false;
}

static inline char *local_at(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  if (at + bytes > w->local_stride || at + bytes < at) {
    exec_report(w, i, lane, "memcheck", "%s of %u bytes at local offset 0x%llx, out of bounds: the thread has %u bytes", verb(access), bytes,
                (unsigned long long)at, w->local_stride);
    return NULL;
  }
  if (at & (bytes - 1)) { report_misaligned(w, i, lane, at, bytes, access); return NULL; }
  size_t offset = (size_t)lane * w->local_stride + at;
  uint8_t *s = w->local_shadow + offset;
  if ((access & ACCESS_READ) && checks.init && !all_written(s, bytes) && !loaded_ahead(w, i))
    report_uninitialized(w, i, lane, "local", at, bytes, s);
  if (access & (ACCESS_WRITE | ACCESS_ATOMIC)) set_written(s, bytes);
  return w->local + offset;
}

static char *param_at(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes, int access) {
  const launch_state *l = w->block->launch;
  if (at >= FUNC_PARAM_BIAS && at - FUNC_PARAM_BIAS + bytes <= w->param_stride)
    return w->params + (size_t)lane * w->param_stride + (at - FUNC_PARAM_BIAS);
  if (!(access & ACCESS_WRITE) && at + bytes <= l->function->param_bytes) return (char *)(uintptr_t)l->params + at;
  exec_report(w, i, lane, "memcheck", "%s of %u bytes at parameter offset 0x%llx, out of bounds", verb(access), bytes, (unsigned long long)at);
  return NULL;
}

char *exec_resolve(warp *w, const insn *i, int lane, int space, uint64_t at, uint32_t bytes, int access) {
  switch (space) {
    case SP_GENERIC:
      if (at - SHARED_WINDOW < WINDOW_BYTES) return shared_at(w, i, lane, at - SHARED_WINDOW, bytes, access);
      if (at - LOCAL_WINDOW < WINDOW_BYTES) return local_at(w, i, lane, at - LOCAL_WINDOW, bytes, access);
      if (at - PARAM_WINDOW < WINDOW_BYTES) return param_at(w, i, lane, at - PARAM_WINDOW, bytes, access);
      return global_at(w, i, lane, at, bytes, access);
    case SP_GLOBAL: case SP_CONST: return global_at(w, i, lane, at, bytes, access);
    case SP_SHARED: return shared_at(w, i, lane, at, bytes, access);
    case SP_LOCAL: return local_at(w, i, lane, at, bytes, access);
    case SP_PARAM: return param_at(w, i, lane, at >= PARAM_WINDOW ? at - PARAM_WINDOW : at, bytes, access);
    default:
      return param_at(w, i, lane, at >= PARAM_WINDOW ? at - PARAM_WINDOW : at + FUNC_PARAM_BIAS + w->params_at, bytes, access);
  }
}

/* ---- counters -------------------------------------------------------------------------------------------------------- */
static uint32_t distinct_sectors(const uint64_t *at, uint32_t mask) {
  uint64_t seen[MAX_LANES];
  uint32_t n = 0;
  EACH_LANE(mask, lane) {
    uint64_t sector = at[lane] >> 5;
    uint32_t k = n;
    while (k && seen[k - 1] != sector) k--;
    if (!k) seen[n++] = sector;
  }
  return n;
}

/* Extra passes over the 32 four-byte banks: lanes in groups that move 128 bytes at a time. */
static uint32_t bank_conflicts(const uint64_t *at, uint32_t mask, uint32_t bytes) {
  uint32_t group = bytes <= 4 ? 32 : bytes == 8 ? 16 : 8, total = 0;
  for (uint32_t first = 0; first < MAX_LANES; first += group) {
    uint32_t part = mask & (group == 32 ? ~0u : ((1u << group) - 1) << first), most = 1;
    uint32_t words[32][MAX_LANES], count[32] = {0}; /* of each bank: a lane has at most one word there */
    EACH_LANE(part, lane)
      for (uint32_t b = 0; b < bytes; b += 4) {
        uint32_t word = (uint32_t)(at[lane] + b) >> 2, bank = word & 31, k = 0;
        while (k < count[bank] && words[bank][k] != word) k++;
        if (k < count[bank]) continue;
        words[bank][count[bank]++] = word;
        if (count[bank] > most) most = count[bank];
      }
    total += most - 1;
  }
  return total;
}

void count_shared(warp *w, const uint64_t *at, uint32_t mask, uint32_t bytes, bool store) {
  simt_counters *c = w->block->launch->counters;
  uint32_t lanes = (uint32_t)__builtin_popcount(mask), first = (uint32_t)__builtin_ctz(mask);
  uint64_t rank = (at[first] & (WINDOW_BYTES - 1)) >> CLUSTER_SHIFT;
  if (rank && rank - 1 != w->block->cluster_rank) { /* banks of another multiprocessor */
    if (store) c->cluster_stores += lanes;
    else c->cluster_loads += lanes;
    return;
  }
  if (store) c->shared_stores += lanes;
  else c->shared_loads += lanes;
  bool plain = true; /* neighbours or all the same: no conflict */
  uint64_t step = mask & (mask - 1) ? at[31 - __builtin_clz(mask)] - at[first] : 0;
  if (step != 0) {
    EACH_LANE(mask, lane) plain &= at[lane] - at[first] == (uint64_t)(lane - first) * bytes;
  } else EACH_LANE(mask, lane) plain &= at[lane] == at[first];
  if (!plain) c->shared_bank_conflicts += bank_conflicts(at, mask, bytes);
}

static void count_access(warp *w, const insn *i, const uint64_t *at, uint32_t mask, uint32_t bytes, bool store) {
  simt_counters *c = w->block->launch->counters;
  uint32_t lanes = (uint32_t)__builtin_popcount(mask), first = (uint32_t)__builtin_ctz(mask);
  int space = i->space;
  if (space == SP_GENERIC) {
    uint64_t a = at[first];
    space = a - SHARED_WINDOW < WINDOW_BYTES ? SP_SHARED : a - LOCAL_WINDOW < WINDOW_BYTES ? SP_LOCAL : SP_GLOBAL;
  }
  if (space == SP_GLOBAL) {
    if (store) { c->global_stores += lanes; c->global_store_bytes += (uint64_t)lanes * bytes; }
    else { c->global_loads += lanes; c->global_load_bytes += (uint64_t)lanes * bytes; }
    c->global_sectors += distinct_sectors(at, mask);
  } else if (space == SP_SHARED) {
    count_shared(w, at, mask, bytes, store);
  } else if (space == SP_LOCAL) c->local_bytes += (uint64_t)lanes * bytes;
}

static inline void addresses(warp *w, const insn *i, uint32_t mask, uint64_t *at) {
  if (i->mode) {
    const uint32_t *a = COLUMN(w, i->o[0]);
    for (int l = 0; l < MAX_LANES; l++) at[l] = (uint64_t)a[l] + (uint64_t)i->imm;
  } else {
    const uint64_t *a = COLUMN(w, i->o[0]);
    for (int l = 0; l < MAX_LANES; l++) at[l] = a[l] + (uint64_t)i->imm;
  }
}

static _Noreturn void give_up(warp *w) { exec_abort(w); }

/* ---- loads --------------------------------------------------------------------------------------------------------- */
static inline void put_element(warp *w, const insn *i, int32_t o, uint32_t lane, const char *p) {
  if (i->wide == 8) {
    uint64_t *d = (uint64_t *)COLUMN(w, o) + lane, v = 0;
    switch (i->size) {
      case 8: memcpy(&v, p, 8); break;
      case 4: { uint32_t x; memcpy(&x, p, 4); v = i->flags & F_SIGNED ? (uint64_t)(int64_t)(int32_t)x : x; break; }
      case 2: { uint16_t x; memcpy(&x, p, 2); v = i->flags & F_SIGNED ? (uint64_t)(int64_t)(int16_t)x : x; break; }
      default: v = i->flags & F_SIGNED ? (uint64_t)(int64_t)(int8_t)*p : (uint8_t)*p;
    }
    *d = v;
    return;
  }
  uint32_t *d = (uint32_t *)COLUMN(w, o) + lane, v = 0;
  switch (i->size) {
    case 4: memcpy(&v, p, 4); break;
    case 2: { uint16_t x; memcpy(&x, p, 2); v = i->flags & F_SIGNED ? (uint32_t)(int32_t)(int16_t)x : x; break; }
    default: v = i->flags & F_SIGNED ? (uint32_t)(int32_t)(int8_t)*p : (uint8_t)*p;
  }
  *d = v;
}

static inline void get_element(warp *w, const insn *i, int32_t o, uint32_t lane, char *p) {
  if (i->wide == 8) {
    uint64_t v = ((uint64_t *)COLUMN(w, o))[lane];
    memcpy(p, &v, i->size);
  } else {
    uint32_t v = ((uint32_t *)COLUMN(w, o))[lane];
    memcpy(p, &v, i->size);
  }
}

/* The commonest case: a full warp, one element each, neighbours in memory, inside one allocation. */
static inline char *whole_row(warp *w, const insn *i, const uint64_t *at, uint32_t mask, uint32_t bytes, bool store) {
  if (mask != ~0u || i->vec != 1 || (i->space != SP_GLOBAL && i->space != SP_GENERIC) || i->size != i->wide || w->block->launch->global_race || (i->flags & F_STRONG)) return NULL;
  if (at[0] < w->cache_base || at[0] + 32 * bytes > w->cache_end || w->cache_generation != memory_generation || at[0] & (bytes - 1)) return NULL;
  for (uint32_t l = 1; l < MAX_LANES; l++)
    if (at[l] != at[0] + l * bytes) return NULL;
  uint8_t *s = (uint8_t *)(at[0] + (uint64_t)memory_shadow_delta);
  if (store) memset(s, 1, 32 * bytes);
  else if (checks.init)
    for (uint32_t n = 0; n < 32 * bytes; n += 8) {
      uint64_t v;
      memcpy(&v, s + n, 8);
      if (v != 0x0101010101010101ull) return NULL;
    }
  simt_counters *c = w->block->launch->counters;
  if (store) { c->global_stores += 32; c->global_store_bytes += 32 * bytes; }
  else { c->global_loads += 32; c->global_load_bytes += 32 * bytes; }
  c->global_sectors += ((at[0] & 31) + 32 * bytes + 31) / 32;
  return (char *)(at[0] + (uint64_t)w->cache_alias);
}

static inline int strength(const insn *i) {
  return (i->flags & F_STRONG ? ACCESS_STRONG : 0) | (i->scope == SCOPE_BLOCK ? ACCESS_BLOCK_SCOPE : 0);
}

void run_load(warp *w, const insn *i, uint32_t mask) {
  uint64_t at[MAX_LANES];
  uint32_t bytes = (uint32_t)i->size * i->vec;
  addresses(w, i, mask, at);
  const char *row = whole_row(w, i, at, mask, bytes, false);
  if (row) {
    memcpy(COLUMN(w, i->list[0]), row, 32 * bytes);
    return;
  }
  count_access(w, i, at, mask, bytes, false);
  int access = ACCESS_READ | strength(i);
  bool bad = false;
  if (i->flags & F_STRONG) note_spin(w);
  EACH_LANE(mask, lane) {
    const char *p = exec_resolve(w, i, (int)lane, i->space, at[lane], bytes, access);
    if (!p) { bad = true; continue; }
    for (uint32_t n = 0; n < i->list_count; n++) put_element(w, i, i->list[n], lane, p + n * i->size);
  }
  if (bad) give_up(w);
  if (!(i->flags & F_STRONG)) return;
  uint64_t keys[MAX_LANES];
  sync_keys(w, i, at, mask, keys);
  w->block->launch->counters->flag_reads += (uint32_t)__builtin_popcount(mask);
  race_strong_read(w, keys, mask, i->scope, i->flags & F_ACQUIRE);
}

void run_store(warp *w, const insn *i, uint32_t mask) {
  uint64_t at[MAX_LANES];
  uint32_t bytes = (uint32_t)i->size * i->vec;
  addresses(w, i, mask, at);
  w->block->launch->memory_changes++;
  char *row = whole_row(w, i, at, mask, bytes, true);
  if (row) {
    memcpy(row, COLUMN(w, i->list[0]), 32 * bytes);
    return;
  }
  if (i->space != SP_FUNC_PARAM) count_access(w, i, at, mask, bytes, true);
  int access = ACCESS_WRITE | strength(i);
  bool bad = false;
  EACH_LANE(mask, lane) {
    char *p = exec_resolve(w, i, (int)lane, i->space, at[lane], bytes, access);
    if (!p) { bad = true; continue; }
    for (uint32_t n = 0; n < i->list_count; n++) get_element(w, i, i->list[n], lane, p + n * i->size);
  }
  if (bad) give_up(w);
  if (!(i->flags & F_STRONG)) return;
  uint64_t keys[MAX_LANES];
  sync_keys(w, i, at, mask, keys);
  w->block->launch->counters->flag_writes += (uint32_t)__builtin_popcount(mask);
  race_strong_write(w, keys, mask, i->scope, i->flags & F_RELEASE, false);
}

/* Asked before the store has taken effect. */
bool exec_store_changes_nothing(warp *w, const insn *i, int lane, const char *at, uint32_t bytes) {
  char value[128];
  if (i->run != run_store || bytes > sizeof value) return false;
  for (uint32_t n = 0; n < i->list_count; n++) get_element(w, i, i->list[n], (uint32_t)lane, value + n * i->size);
  return !memcmp(at, value, bytes);
}

void run_load_param(warp *w, const insn *i, uint32_t mask) {
  uint64_t at[MAX_LANES];
  uint32_t bytes = (uint32_t)i->size * i->vec;
  addresses(w, i, mask, at);
  EACH_LANE(mask, lane) {
    const char *p = exec_resolve(w, i, (int)lane, i->space, at[lane], bytes, ACCESS_READ);
    if (!p) give_up(w);
    for (uint32_t n = 0; n < i->list_count; n++) put_element(w, i, i->list[n], lane, p + n * i->size);
  }
}

/* ---- addresses ------------------------------------------------------------------------------------------------------- */
void run_address(warp *w, const insn *i, uint32_t mask) {
  uint64_t v = (uint64_t)i->imm;
  if (i->space == SP_LOCAL) v += exec_local_at(w, w->depth);
  else v += PARAM_WINDOW + FUNC_PARAM_BIAS + w->params_at;
  EACH_LANE(mask, lane) {
    if (i->wide == 8) ((uint64_t *)COLUMN(w, i->o[0]))[lane] = v;
    else ((uint32_t *)COLUMN(w, i->o[0]))[lane] = (uint32_t)v;
  }
}

void run_cvta(warp *w, const insn *i, uint32_t mask) {
  uint64_t *d = COLUMN(w, i->o[0]);
  const uint64_t *a = COLUMN(w, i->o[1]);
  uint64_t window = i->space == SP_SHARED ? SHARED_WINDOW : LOCAL_WINDOW;
  EACH_LANE(mask, lane) d[lane] = i->mode ? a[lane] - window : a[lane] + window;
}

void run_isspacep(warp *w, const insn *i, uint32_t mask) {
  uint32_t *d = COLUMN(w, i->o[0]), m = 0;
  const uint64_t *a = COLUMN(w, i->o[1]);
  EACH_LANE(mask, lane) {
    uint64_t at = a[lane];
    bool shared = at - SHARED_WINDOW < WINDOW_BYTES, local = at - LOCAL_WINDOW < WINDOW_BYTES, param = at - PARAM_WINDOW < WINDOW_BYTES;
    bool in = i->space == SP_SHARED ? shared : i->space == SP_LOCAL ? local : i->space == SP_PARAM ? param : !shared && !local && !param;
    if (i->space == SP_CONST) { allocation *x = memory_lookup(at); in = in && x && x->state == ALLOC_GLOBAL && false; }
    m |= (uint32_t)in << lane;
  }
  *d = (*d & ~mask) | m;
}

void run_mapa(warp *w, const insn *i, uint32_t mask) {
  const uint32_t *r = COLUMN(w, i->o[2]);
  EACH_LANE(mask, lane) {
    if (i->wide == 8) {
      uint64_t a = ((uint64_t *)COLUMN(w, i->o[1]))[lane];
      uint64_t window = a >= SHARED_WINDOW ? SHARED_WINDOW : 0;
      ((uint64_t *)COLUMN(w, i->o[0]))[lane] = window + ((a - window) & 0xffffff) + ((uint64_t)(r[lane] + 1) << CLUSTER_SHIFT);
    } else {
      uint32_t a = ((uint32_t *)COLUMN(w, i->o[1]))[lane];
      ((uint32_t *)COLUMN(w, i->o[0]))[lane] = (a & 0xffffff) + ((r[lane] + 1) << CLUSTER_SHIFT);
    }
  }
}

void run_rank(warp *w, const insn *i, uint32_t mask) { /* getctarank */
  EACH_LANE(mask, lane) {
    uint64_t a = i->wide == 8 ? ((uint64_t *)COLUMN(w, i->o[1]))[lane] : ((uint32_t *)COLUMN(w, i->o[1]))[lane];
    uint32_t rank = (uint32_t)((a & (WINDOW_BYTES - 1)) >> CLUSTER_SHIFT);
    ((uint32_t *)COLUMN(w, i->o[0]))[lane] = rank ? rank - 1 : w->block->cluster_rank;
  }
}

/* ---- atomics --------------------------------------------------------------------------------------------------------- */
static uint64_t integer_op(const insn *i, uint64_t old, uint64_t a, uint64_t b) {
  uint32_t bits = i->size * 8u;
  uint64_t m = bits == 64 ? ~0ull : (1ull << bits) - 1;
  bool is_signed = i->flags & F_SIGNED;
  int64_t so = (int64_t)(old << (64 - bits)) >> (64 - bits), sa = (int64_t)(a << (64 - bits)) >> (64 - bits);
  switch (i->op) {
    case AT_ADD: return (old + a) & m;
    case AT_MIN: return is_signed ? (so < sa ? old : a) : (old < a ? old : a);
    case AT_MAX: return is_signed ? (so > sa ? old : a) : (old > a ? old : a);
    case AT_AND: return old & a;
    case AT_OR: return old | a;
    case AT_XOR: return old ^ a;
    case AT_EXCH: return a;
    case AT_CAS: return old == a ? b : old;
    case AT_INC: return old >= a ? 0 : old + 1;
    default: return old == 0 || old > a ? a : old - 1;
  }
}

static double pick_min_max(int op, double x, double y) {
  if (x != x) return y;
  if (y != y) return x;
  return op == AT_MIN ? (x < y ? x : y) : (x > y ? x : y);
}

static uint16_t half_op(const insn *i, uint16_t old, uint16_t a) {
  int format = i->type == V_F16 ? NF_F16 : NF_BF16;
  double x = format_to_double(old, format), y = format_to_double(a, format);
  double r = i->op == AT_ADD ? x + y : pick_min_max(i->op, x, y);
  return (uint16_t)round_to_format(r, format, RN, false);
}

static uint64_t float_op(const insn *i, uint64_t old, uint64_t a) {
  if (i->type == V_F32) {
    float x, y, r;
    uint32_t bits = (uint32_t)old, add = (uint32_t)a;
    memcpy(&x, &bits, 4);
    memcpy(&y, &add, 4);
    r = i->op == AT_ADD ? x + y : (float)pick_min_max(i->op, x, y);
    memcpy(&bits, &r, 4);
    return bits;
  }
  if (i->type == V_F64) {
    double x, y;
    memcpy(&x, &old, 8);
    memcpy(&y, &a, 8);
    x = i->op == AT_ADD ? x + y : pick_min_max(i->op, x, y);
    memcpy(&old, &x, 8);
    return old;
  }
  uint64_t low = half_op(i, (uint16_t)old, (uint16_t)a);
  return i->type2 ? low | (uint64_t)half_op(i, (uint16_t)(old >> 16), (uint16_t)(a >> 16)) << 16 : low;
}

static uint64_t column_value(warp *w, const insn *i, int32_t o, uint32_t lane) {
  return i->size == 8 ? ((uint64_t *)COLUMN(w, o))[lane] : ((uint32_t *)COLUMN(w, o))[lane] & (i->size == 2 ? 0xffffu : i->size == 1 ? 0xffu : ~0u);
}

static void atomic128(warp *w, const insn *i, uint32_t lane, char *p) {
  uint64_t old[2], a[2], b[2];
  memcpy(old, p, 16);
  for (int n = 0; n < 2; n++) a[n] = ((uint64_t *)COLUMN(w, i->list[2 + n]))[lane];
  if (i->op == AT_CAS) {
    for (int n = 0; n < 2; n++) b[n] = ((uint64_t *)COLUMN(w, i->list[4 + n]))[lane];
    if (!memcmp(old, a, 16)) { memcpy(p, b, 16); w->block->launch->memory_changes++; }
    else note_spin(w);
  } else {
    memcpy(p, a, 16);
    w->block->launch->memory_changes++;
  }
  for (int n = 0; n < 2; n++)
    if (i->list[n] != NO_OPERAND) ((uint64_t *)COLUMN(w, i->list[n]))[lane] = old[n];
}

void run_atomic(warp *w, const insn *i, uint32_t mask) {
  launch_state *l = w->block->launch;
  uint64_t at[MAX_LANES];
  uint32_t bytes = (uint32_t)i->size * i->vec;
  bool fp = i->type != 255 && i->op != AT_EXCH && i->op != AT_CAS;
  bool bad = false, changed = false;
  addresses(w, i, mask, at);
  l->counters->atomics += (uint32_t)__builtin_popcount(mask);
  if (i->size != 16 && i->vec > 1 && i->list_count % i->vec) { exec_report(w, i, 0, "unsupported", "vector atomic"); exec_abort(w); }
  EACH_LANE(mask, lane) {
    char *p = exec_resolve(w, i, (int)lane, i->space, at[lane], bytes, ACCESS_ATOMIC | strength(i));
    if (!p) { bad = true; continue; }
    if (l->grid_barrier_address && at[lane] - l->grid_barrier_address < 256) l->grid_barrier_hits++;
    if (i->size == 16) { atomic128(w, i, lane, p); continue; }
    for (uint32_t n = 0; n < i->vec; n++) {
      uint64_t old = 0, a = column_value(w, i, i->list[i->vec + n], lane), b = 0, v;
      memcpy(&old, p + n * i->size, i->size);
      if (i->op == AT_CAS) b = column_value(w, i, i->list[2 * i->vec + n], lane);
      v = fp ? float_op(i, old, a) : integer_op(i, old, a, b);
      changed |= v != old;
      memcpy(p + n * i->size, &v, i->size);
      int32_t d = i->list[n];
      if (d == NO_OPERAND) continue;
      if (i->size == 8) ((uint64_t *)COLUMN(w, d))[lane] = old;
      else ((uint32_t *)COLUMN(w, d))[lane] = (uint32_t)old;
    }
  }
  if (changed) l->memory_changes++;
  else if (i->size != 16) note_spin(w);
  if (bad) give_up(w);
  uint64_t keys[MAX_LANES];
  sync_keys(w, i, at, mask, keys);
  race_strong_read(w, keys, mask, i->scope, i->flags & F_ACQUIRE);
  race_strong_write(w, keys, mask, i->scope, i->flags & F_RELEASE, true);
}

void run_fence(warp *w, const insn *i, uint32_t mask) {
  w->block->launch->counters->fences++;
  race_fence(w, mask, i->scope);
}

/* ---- cp.async ------------------------------------------------------------------------------------------------------- */
/* A copy takes effect when it is waited for, not when it is issued: reading too early sees the old contents. */
static void complete_copy(warp *w, const pending_copy *c) {
  char data[16] = {0};
  uint8_t written[16];
  memset(written, 1, sizeof written);
  if (c->valid) {
    const char *from = memory_in_arena(c->from) ? memory_alias(c->from) : (const char *)c->from;
    memcpy(data, from, c->valid);
    if (memory_in_arena(c->from)) memcpy(written, memory_shadow(c->from), c->valid);
  }
  memcpy(w->block->shared + c->to, data, c->bytes);
  memcpy(w->block->shared_shadow + c->to, written, c->bytes);
  race_shared(w, c->i, (int)c->lane, w->block, c->to, c->bytes, ACCESS_WRITE);
}

void finish_copies(warp *w, uint32_t mask, uint32_t leave) {
  uint32_t kept = 0;
  for (uint32_t n = 0; n < w->n_copies; n++) {
    pending_copy *c = &w->copies[n];
    bool due = (mask >> c->lane & 1) && (leave == ~0u || c->group + leave < w->lane_group[c->lane]);
    if (due) complete_copy(w, c);
    else w->copies[kept++] = *c;
  }
  w->n_copies = kept;
}

void run_copy_async(warp *w, const insn *i, uint32_t mask) {
  if (i->op == 1) { EACH_LANE(mask, lane) w->lane_group[lane]++; return; }
  if (i->op == 2) { finish_copies(w, mask, (uint32_t)i->imm); return; }
  if (i->op == 3) { finish_copies(w, mask, ~0u); return; }
  uint64_t to[MAX_LANES], from[MAX_LANES];
  addresses(w, i, mask, to);
  for (int l = 0; l < MAX_LANES; l++)
    from[l] = (i->type ? ((uint32_t *)COLUMN(w, i->o[1]))[l] : ((uint64_t *)COLUMN(w, i->o[1]))[l]) + (uint64_t)*(int64_t *)i->aux;
  simt_counters *c = w->block->launch->counters;
  uint32_t reading = 0;
  bool bad = false;
  EACH_LANE(mask, lane) {
    uint32_t valid = i->size;
    if (i->o[2] != NO_OPERAND) {
      if (i->type2) valid = *(uint32_t *)COLUMN(w, i->o[2]) >> lane & 1 ? 0 : i->size;
      else valid = ((uint32_t *)COLUMN(w, i->o[2]))[lane];
    }
    if (valid > i->size) { exec_report(w, i, (int)lane, "memcheck", "cp.async source size %u above %u", valid, i->size); bad = true; continue; }
    if (from[lane] & (i->size - 1u)) { report_misaligned(w, i, (int)lane, from[lane], i->size, ACCESS_READ); bad = true; continue; }
    uint64_t source = from[lane];
    if (valid) {
      /* a source size that is not a power of two is checked byte by byte */
      for (uint32_t n = 0; n < valid && !bad; n += (valid & (valid - 1)) ? 1 : valid)
        bad |= !global_at(w, i, (int)lane, source + n, (valid & (valid - 1)) ? 1 : valid, ACCESS_READ | ACCESS_ASYNC);
      reading |= 1u << lane;
    }
    uint64_t target = to[lane] >= SHARED_WINDOW ? to[lane] - SHARED_WINDOW : to[lane];
    if (bad || target + i->size > w->block->shared_bytes || target & (i->size - 1u)) {
      if (!bad) shared_at(w, i, (int)lane, target, i->size, ACCESS_WRITE);
      bad = true;
      continue;
    }
    race_shared(w, i, (int)lane, w->block, (uint32_t)target, i->size, ACCESS_WRITE);
    if (w->n_copies == w->cap_copies) {
      w->cap_copies = w->cap_copies ? w->cap_copies * 2 : 256;
      w->copies = realloc(w->copies, w->cap_copies * sizeof *w->copies);
    }
    w->copies[w->n_copies++] = (pending_copy){source, (uint32_t)target, lane, w->lane_group[lane], i->size, (uint8_t)valid, i};
  }
  if (bad) give_up(w);
  uint32_t lanes = (uint32_t)__builtin_popcount(reading);
  c->global_loads += lanes;
  c->global_load_bytes += (uint64_t)lanes * i->size;
  c->global_sectors += distinct_sectors(from, reading);
  c->shared_stores += (uint32_t)__builtin_popcount(mask);
}

/* ---- mbarrier -------------------------------------------------------------------------------------------------------- */
typedef struct mbarrier { uint64_t pending : 20, expected : 20, phase : 1; int64_t transactions : 23; } mbarrier;

/* Ends the phase when nothing is left to wait for. */
static void mbarrier_settle(mbarrier *m, block *owner, uint64_t at) {
  if (m->pending || m->transactions) return;
  m->phase ^= 1;
  m->pending = m->expected;
  race_mbarrier_complete(owner->launch, shared_key(owner, at));
}

/* The block that an mbarrier's address means, and in *at the offset there. Gives the launch up after a report. */
static block *mbarrier_owner(warp *w, const insn *i, int lane, uint64_t *at, int access) {
  if (*at >= SHARED_WINDOW) *at -= SHARED_WINDOW;
  block *b = shared_owner(w, i, lane, at, 8, access);
  if (b && *at + 8 <= b->shared_bytes && !(*at & 7)) return b;
  if (b) exec_report(w, i, lane, "memcheck", "mbarrier at shared offset 0x%llx", (unsigned long long)*at);
  exec_abort(w);
}

void run_mbarrier(warp *w, const insn *i, uint32_t mask) {
  if (i->op == MB_PENDING) {
    EACH_LANE(mask, lane) {
      mbarrier m;
      memcpy(&m, (uint64_t *)COLUMN(w, i->o[1]) + lane, 8);
      ((uint32_t *)COLUMN(w, i->o[0]))[lane] = (uint32_t)m.pending;
    }
    return;
  }
  uint64_t at[MAX_LANES];
  addresses(w, i, mask, at);
  if (i->op == MB_COPY_ARRIVE) finish_copies(w, mask, ~0u);
  block *owner[MAX_LANES];
  bool touches = i->op == MB_INIT || i->op == MB_INVAL, tests = i->op == MB_TEST || i->op == MB_TRY;
  EACH_LANE(mask, lane) {
    block *b = owner[lane] = mbarrier_owner(w, i, (int)lane, &at[lane], ACCESS_ATOMIC | ACCESS_ARRIVAL);
    uint64_t a = at[lane];
    if (b != w->block && (touches || tests)) {
      exec_report(w, i, (int)lane, "synccheck", "an mbarrier in another block's shared memory can only be arrived at");
      exec_abort(w);
    }
    if (i->op != MB_INIT && checks.init && !all_written(b->shared_shadow + a, 8)) report_uninitialized(w, i, (int)lane, "shared", a, 8, b->shared_shadow + a);
    if (i->op == MB_INIT) set_written(b->shared_shadow + a, 8);
    race_shared(w, i, (int)lane, b, (uint32_t)a, 8, touches ? ACCESS_WRITE : ACCESS_ATOMIC);
  }
  bool arrives = i->op == MB_ARRIVE || i->op == MB_ARRIVE_EXPECT || i->op == MB_ARRIVE_DROP || i->op == MB_COPY_ARRIVE;
  clock_vector *now = arrives && !i->type2 ? race_release(w, mask) : NULL; /* the arrival itself too */
  EACH_LANE(mask, lane) {
    block *b = owner[lane];
    uint64_t a = at[lane];
    mbarrier m, before;
    memcpy(&m, b->shared + a, 8);
    before = m;
    int32_t dest = i->list ? i->list[0] : NO_OPERAND, value = i->list ? i->list[1] : NO_OPERAND;
    uint32_t count = value != NO_OPERAND && !(i->op == MB_TEST || i->op == MB_TRY) ? ((uint32_t *)COLUMN(w, value))[lane] : 1;
    bool ready = false;
    switch (i->op) {
      case MB_INIT: m = (mbarrier){.pending = count, .expected = count}; break;
      case MB_INVAL: memset(&m, 0, 8); memset(b->shared_shadow + a, 0, 8); break;
      case MB_ARRIVE_DROP: m.expected--; /* fall through */
      case MB_ARRIVE: case MB_COPY_ARRIVE: case MB_ARRIVE_EXPECT: {
        if (i->op == MB_ARRIVE_EXPECT) { m.transactions += (int32_t)count; count = 1; }
        if (i->op == MB_COPY_ARRIVE) { count = i->type ? 1 : 0; }
        if (count > m.pending) {
          exec_report(w, i, (int)lane, "synccheck", "more arrivals at an mbarrier than it expects (%u)", (unsigned)m.expected);
          exec_abort(w);
        }
        race_mbarrier_arrive(w, b, shared_key(b, a), i->scope, now);
        m.pending -= count;
        mbarrier_settle(&m, b, a);
        break;
      }
      case MB_EXPECT: m.transactions += (int32_t)count; break;
      case MB_COMPLETE: m.transactions -= (int32_t)count; mbarrier_settle(&m, b, a); break;
      default: { /* tests */
        uint64_t phase = 0;
        if (i->type) phase = ((uint32_t *)COLUMN(w, value))[lane] & 1;
        else {
          mbarrier token;
          memcpy(&token, (uint64_t *)COLUMN(w, value) + lane, 8);
          phase = token.phase;
        }
        ready = m.phase != phase;
        if (ready && !i->type2) race_mbarrier_wait(w, 1u << lane, shared_key(b, a), i->scope);
        else note_spin(w);
      }
    }
    memcpy(b->shared + a, &m, 8);
    if (memcmp(&m, &before, 8)) w->block->launch->memory_changes++;
    if (dest == NO_OPERAND) continue;
    if (i->op == MB_TEST || i->op == MB_TRY) {
      uint32_t *p = COLUMN(w, dest);
      *p = (*p & ~(1u << lane)) | ((uint32_t)ready << lane);
    } else memcpy((uint64_t *)COLUMN(w, dest) + lane, &before, 8);
  }
  race_drop(&now);
}

/* Bytes that the block's copy engine has moved, counted by the mbarrier at this address. */
static block *complete_transaction(warp *w, const insn *i, int lane, uint64_t at, uint32_t bytes) {
  block *b = mbarrier_owner(w, i, lane, &at, ACCESS_ATOMIC | ACCESS_BULK);
  mbarrier m;
  memcpy(&m, b->shared + at, 8);
  m.transactions -= (int32_t)bytes;
  race_mbarrier_transfer(w, shared_key(b, at));
  mbarrier_settle(&m, b, at);
  memcpy(b->shared + at, &m, 8);
  return b;
}

static uint64_t copy_address(warp *w, const insn *i, int lane, int n) {
  const bulk_copy *c = i->aux;
  return (c->narrow[n] ? ((uint32_t *)COLUMN(w, i->o[n]))[lane] : ((uint64_t *)COLUMN(w, i->o[n]))[lane]) + (uint64_t)c->offset[n];
}

/* To one destination, sixteen bytes at a time. */
static void move_bulk(warp *w, const insn *i, int lane, uint64_t to_at, uint64_t from_at, uint32_t size) {
  const bulk_copy *c = i->aux;
  for (uint32_t n = 0; n < size; n += 16) {
    char data[16];
    const char *from = exec_resolve(w, i, lane, c->space[1], from_at + n, 16, ACCESS_READ | ACCESS_BULK);
    if (!from) exec_abort(w);
    memcpy(data, from, 16);
    char *to = exec_resolve(w, i, lane, c->space[0], to_at + n, 16, ACCESS_WRITE | ACCESS_BULK);
    if (!to) exec_abort(w);
    memcpy(to, data, 16);
  }
}

/* The same place in the shared memory of the block of this rank. */
static uint64_t in_block(uint64_t at, uint32_t rank) {
  return (at & ((1u << CLUSTER_SHIFT) - 1)) + ((uint64_t)(rank + 1) << CLUSTER_SHIFT);
}

/* Bulk copies are done at once, and then count against the mbarrier's transactions; multicast ones in each of the blocks. */
void run_bulk_copy(warp *w, const insn *i, uint32_t mask) {
  const bulk_copy *c = i->aux;
  const uint32_t *sizes = COLUMN(w, i->o[3]);
  simt_counters *k = w->block->launch->counters;
  EACH_LANE(mask, each) {
    int lane = (int)each;
    uint32_t size = sizes[lane];
    uint64_t to = copy_address(w, i, lane, 0), from = copy_address(w, i, lane, 1), at = i->o[2] != NO_OPERAND ? copy_address(w, i, lane, 2) : 0;
    if (size % 16) { exec_report(w, i, lane, "memcheck", "bulk copy of %u bytes: not a multiple of 16", size); exec_abort(w); }
    if (i->o[4] != NO_OPERAND) {
      uint32_t blocks = ((uint32_t *)COLUMN(w, i->o[4]))[lane] & 0xffff;
      EACH_LANE(blocks, rank) {
        move_bulk(w, i, lane, in_block(to, rank), from, size);
        complete_transaction(w, i, lane, in_block(at, rank), size);
      }
    } else {
      move_bulk(w, i, lane, to, from, size);
      if (i->o[2] != NO_OPERAND) complete_transaction(w, i, lane, at, size);
    }
    if (c->space[1] == SP_GLOBAL) { k->global_loads++; k->global_load_bytes += size; k->global_sectors += size / 32; }
    else if (c->space[0] == SP_GLOBAL) { k->global_stores++; k->global_store_bytes += size; k->global_sectors += size / 32; }
    w->block->launch->memory_changes++;
  }
}

/* cp.async.bulk.wait_group: all groups count as done, however many may still be under way. */
void run_bulk_wait(warp *w, const insn *i, uint32_t mask) { race_bulk_wait(w, mask); }

/* st.async: a store to a block of the cluster that an mbarrier of that block counts. Done at once. */
void run_store_async(warp *w, const insn *i, uint32_t mask) {
  uint64_t at[MAX_LANES];
  uint32_t bytes = (uint32_t)i->size * i->vec;
  addresses(w, i, mask, at);
  count_access(w, i, at, mask, bytes, true);
  w->block->launch->memory_changes++;
  EACH_LANE(mask, lane) {
    char *p = exec_resolve(w, i, (int)lane, SP_SHARED, at[lane], bytes, ACCESS_WRITE | ACCESS_BULK);
    if (!p) give_up(w);
    for (uint32_t n = 0; n < i->list_count; n++) get_element(w, i, i->list[n], lane, p + n * i->size);
    const block *b = complete_transaction(w, i, (int)lane, copy_address(w, i, (int)lane, 2), bytes);
    if (p >= b->shared && p < b->shared + b->shared_bytes) continue;
    exec_report(w, i, (int)lane, "synccheck", "st.async to one block with an mbarrier of another");
    exec_abort(w);
  }
}

/* ---- functions the compiler expects to exist ----------------------------------------------------------------------------- */
static uint64_t argument(warp *w, const call_info *c, uint32_t n, int lane) {
  uint64_t v = 0;
  if (n < c->n_in) memcpy(&v, w->params + (size_t)lane * w->param_stride + w->params_at + c->in[n].offset, c->in[n].bytes < 8 ? c->in[n].bytes : 8);
  return v;
}
static void result(warp *w, const call_info *c, int lane, uint64_t v) {
  if (c->n_out) memcpy(w->params + (size_t)lane * w->param_stride + w->params_at + c->out[0].offset, &v, c->out[0].bytes < 8 ? c->out[0].bytes : 8);
}

/* A zero-terminated string in device memory. */
static void device_string(warp *w, const insn *i, int lane, uint64_t at, char *out, size_t size) {
  size_t n = 0;
  out[0] = 0;
  if (!at) { snprintf(out, size, "(null)"); return; }
  while (n + 1 < size) {
    const char *p = exec_resolve(w, i, lane, SP_GENERIC, at + n, 1, ACCESS_READ);
    if (!p) exec_abort(w);
    if (!*p) break;
    out[n++] = *p;
  }
  out[n] = 0;
}

static uint64_t printf_argument(warp *w, const insn *i, int lane, uint64_t args, uint32_t *at, uint32_t bytes) {
  uint64_t v = 0;
  *at = (*at + bytes - 1) & ~(bytes - 1);
  const char *p = exec_resolve(w, i, lane, SP_GENERIC, args + *at, bytes, ACCESS_READ);
  if (!p) exec_abort(w);
  memcpy(&v, p, bytes);
  *at += bytes;
  return v;
}

static int device_printf(warp *w, const insn *i, int lane, uint64_t format, uint64_t args) {
  char text[4096], spec[64], string[2048];
  uint32_t at = 0;
  int count = 0;
  device_string(w, i, lane, format, text, sizeof text);
  for (const char *p = text; *p; p++) {
    if (*p != '%') { putchar(*p); continue; }
    if (p[1] == '%') { putchar('%'); p++; continue; }
    size_t n = 0;
    int longs = 0;
    spec[n++] = *p++;
    while (*p && strchr("-+ #0123456789.*", *p) && n < 40) {
      if (*p == '*') n += (size_t)snprintf(spec + n, sizeof spec - n, "%d", (int)printf_argument(w, i, lane, args, &at, 4));
      else spec[n++] = *p;
      p++;
    }
    while (*p == 'l' || *p == 'h' || *p == 'z' || *p == 'j' || *p == 't') { longs += *p == 'l' || *p == 'z' || *p == 'j' || *p == 't'; p++; }
    char c = *p;
    if (!c) break;
    if (strchr("di", c)) {
      snprintf(spec + n, sizeof spec - n, "lld");
      long long v = longs ? (long long)printf_argument(w, i, lane, args, &at, 8) : (int32_t)printf_argument(w, i, lane, args, &at, 4);
      printf(spec, v);
    } else if (strchr("uxXo", c)) {
      snprintf(spec + n, sizeof spec - n, "ll%c", c);
      printf(spec, (unsigned long long)(longs ? printf_argument(w, i, lane, args, &at, 8) : (uint32_t)printf_argument(w, i, lane, args, &at, 4)));
    } else if (strchr("fFeEgGaA", c)) {
      uint64_t bits = printf_argument(w, i, lane, args, &at, 8);
      double v;
      memcpy(&v, &bits, 8);
      snprintf(spec + n, sizeof spec - n, "%c", c);
      printf(spec, v);
    } else if (c == 'c') putchar((int)printf_argument(w, i, lane, args, &at, 4));
    else if (c == 's') {
      device_string(w, i, lane, printf_argument(w, i, lane, args, &at, 8), string, sizeof string);
      snprintf(spec + n, sizeof spec - n, "s");
      printf(spec, string);
    } else if (c == 'p') printf("0x%llx", (unsigned long long)printf_argument(w, i, lane, args, &at, 8));
    count++;
  }
  return count;
}

void run_builtin(warp *w, const insn *i, const call_info *c, uint32_t mask) {
  char message[512], file[512], function[512];
  EACH_LANE(mask, lane) {
    int l = (int)lane;
    switch (c->callee->builtin) {
      case BUILTIN_VPRINTF:
        result(w, c, l, (uint64_t)device_printf(w, i, l, argument(w, c, 0, l), argument(w, c, 1, l)));
        break;
      case BUILTIN_MALLOC: {
        uint64_t bytes = argument(w, c, 0, l);
        result(w, c, l, (uint64_t)simt_mem_alloc(bytes));
        break;
      }
      case BUILTIN_FREE: {
        uint64_t p = argument(w, c, 0, l);
        if (p && simt_mem_free((void *)p)) { exec_report(w, i, l, "memcheck", "free of 0x%llx, not a live allocation", (unsigned long long)p); exec_abort(w); }
        break;
      }
      default:
        device_string(w, i, l, argument(w, c, 0, l), message, sizeof message);
        device_string(w, i, l, argument(w, c, 1, l), file, sizeof file);
        device_string(w, i, l, argument(w, c, 3, l), function, sizeof function);
        exec_report(w, i, l, "assert", "%s:%u: %s: assertion `%s' failed", file, (unsigned)argument(w, c, 2, l), function, message);
        exec_abort(w);
    }
  }
}
