/* memory.c: the device arena.
 *
 * One memfd is mapped twice: without access at the device addresses, read-write at the alias. Beside it lies a shadow
 * with one byte per byte (1 = written). Allocations are handed out from the bottom up; freed ones stay in quarantine,
 * their pages given back, until the arena is full, and only then are their addresses used again. */
#define _GNU_SOURCE
#include "engine_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GRANULE = 256, RED_ZONE = 256 };

static struct {
  uint64_t base, bytes, top; /* top: next address never handed out */
  char *alias;
  uint8_t *shadow;
  char *race[3]; /* by granularity: 1, 2, 4 bytes */
  uint32_t *owner; /* per granule: 1 + index of its allocation, 0 when none */
  allocation **all; uint32_t n, cap;
  int fd;
} arena;
static struct { uint64_t base, bytes; } *hosts;
static size_t n_hosts, cap_hosts;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
unsigned memory_generation = 1;
int64_t memory_shadow_delta;

static void *map_at(uint64_t hint, uint64_t bytes, int protection, int flags, int fd) {
  void *p = mmap((void *)hint, bytes, protection, flags | (hint ? MAP_FIXED_NOREPLACE : 0), fd, 0);
  if (p == MAP_FAILED && hint) p = mmap(NULL, bytes, protection, flags, fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

/* "8G", "512M" or plain bytes. */
static uint64_t arena_size(void) {
  const char *text = getenv("SIMT_MEMORY");
  if (!text || !*text) return 8ull << 30;
  char *end;
  uint64_t n = strtoull(text, &end, 0);
  if (*end == 'G' || *end == 'g') n <<= 30;
  else if (*end == 'M' || *end == 'm') n <<= 20;
  else if (*end == 'K' || *end == 'k') n <<= 10;
  return (n + 4095) & ~4095ull;
}

static void start(void) {
  if (arena.base) return;
  arena.bytes = arena_size();
  arena.fd = memfd_create("simt-arena", MFD_CLOEXEC);
  if (arena.fd < 0 || ftruncate(arena.fd, (off_t)arena.bytes)) {
    fprintf(stderr, "simt: cannot reserve device memory: %s\n", strerror(errno));
    abort();
  }
  arena.base = (uint64_t)map_at(0x300000000000ull, arena.bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE, arena.fd);
  arena.alias = map_at(0, arena.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, arena.fd);
  int lazily = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  arena.shadow = map_at(0, arena.bytes, PROT_READ | PROT_WRITE, lazily, -1);
  arena.owner = map_at(0, arena.bytes / GRANULE * 4, PROT_READ | PROT_WRITE, lazily, -1);
  if (!arena.base || !arena.alias || !arena.shadow || !arena.owner) {
    fprintf(stderr, "simt: cannot map device memory: %s\n", strerror(errno));
    abort();
  }
  memory_shadow_delta = (int64_t)arena.shadow - (int64_t)arena.base;
  arena.top = arena.base + GRANULE;
  uint64_t windows[] = {SHARED_WINDOW, LOCAL_WINDOW, PARAM_WINDOW, CODE_WINDOW};
  for (int n = 0; n < 4; n++) map_at(windows[n], WINDOW_BYTES, PROT_NONE, lazily, -1);
}

static void set_owner(uint64_t base, uint64_t bytes, uint32_t owner) {
  uint64_t first = (base - arena.base) / GRANULE, count = bytes / GRANULE;
  for (uint64_t n = 0; n < count; n++) arena.owner[first + n] = owner;
}

/* Drops contents and shadow of whole pages; the rest is cleared by hand. */
static void forget(uint64_t base, uint64_t bytes) {
  uint64_t at = base - arena.base, from = (at + 4095) & ~4095ull, to = (at + bytes) & ~4095ull;
  if (to > from && to - from >= 65536) {
    fallocate(arena.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from));
    madvise(arena.shadow + from, to - from, MADV_DONTNEED);
    memset(arena.shadow + at, 0, from - at);
    memset(arena.shadow + to, 0, at + bytes - to);
  } else {
    memset(arena.shadow + at, 0, bytes);
    memset(arena.alias + at, 0xDB, bytes);
  }
}

static int by_base(const void *a, const void *b) {
  uint64_t x = (*(allocation *const *)a)->base, y = (*(allocation *const *)b)->base;
  return x < y ? -1 : x > y;
}

/* Quarantine is used again only when nothing else is left: the first run of freed neighbours that is long enough. */
static uint64_t take_quarantined(uint64_t reserved) {
  allocation **freed = malloc((arena.n + 1) * sizeof *freed);
  uint32_t n = 0;
  for (uint32_t k = 0; k < arena.n; k++)
    if (arena.all[k] && arena.all[k]->state == ALLOC_FREED) freed[n++] = arena.all[k];
  qsort(freed, n, sizeof *freed, by_base);
  uint64_t found = 0;
  for (uint32_t first = 0; first < n && !found; first++) {
    uint64_t end = freed[first]->base;
    for (uint32_t k = first; k < n && freed[k]->base == end; k++) {
      end += freed[k]->reserved;
      if (end - freed[first]->base < reserved) continue;
      found = freed[first]->base;
      uint64_t spare = end - found - reserved;
      for (uint32_t j = first; j < k; j++) freed[j]->reserved = freed[j]->bytes = 0;
      freed[k]->base = found + reserved;
      freed[k]->reserved = spare;
      if (freed[k]->bytes > spare) freed[k]->bytes = spare;
      break;
    }
  }
  free(freed);
  return found;
}

static void *allocate(size_t bytes, const char *name) {
  start();
  uint64_t reserved = ((uint64_t)(bytes ? bytes : 1) + RED_ZONE + GRANULE - 1) / GRANULE * GRANULE;
  uint64_t base = arena.top;
  if (reserved > arena.bytes) return NULL;
  if (base + reserved > arena.base + arena.bytes) {
    base = take_quarantined(reserved);
    if (!base) return NULL;
    forget(base, reserved);
  } else {
    arena.top += reserved;
  }
  if (arena.n == arena.cap) {
    arena.cap = arena.cap ? arena.cap * 2 : 1024;
    arena.all = realloc(arena.all, arena.cap * sizeof *arena.all);
  }
  allocation *a = calloc(1, sizeof *a);
  *a = (allocation){base, bytes, reserved, name ? ALLOC_GLOBAL : ALLOC_LIVE, name};
  arena.all[arena.n++] = a;
  set_owner(base, reserved, arena.n);
  memory_generation++;
  return (void *)base;
}

void *simt_mem_alloc(size_t bytes) {
  pthread_mutex_lock(&lock);
  void *p = allocate(bytes, NULL);
  pthread_mutex_unlock(&lock);
  return p;
}

void *memory_alloc_named(size_t bytes, const char *name) {
  pthread_mutex_lock(&lock);
  void *p = allocate(bytes, name);
  pthread_mutex_unlock(&lock);
  return p;
}

bool memory_in_arena(uint64_t address) { return address - arena.base < arena.bytes && arena.base; }

allocation *memory_lookup(uint64_t address) {
  if (!memory_in_arena(address)) return NULL;
  uint32_t owner = arena.owner[(address - arena.base) / GRANULE];
  return owner ? arena.all[owner - 1] : NULL;
}

char *memory_alias(uint64_t device) { return arena.alias + (device - arena.base); }
uint8_t *memory_shadow(uint64_t device) { return arena.shadow + (device - arena.base); }

enum { PLACE_BYTES = 3 * sizeof(race_record) };
bool memory_race_prepare(uint32_t shift) {
  if (!arena.race[shift])
    arena.race[shift] = map_at(0, (arena.bytes >> shift) * PLACE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  return arena.race[shift] != NULL;
}
race_record *memory_race_records(uint64_t device, uint32_t shift) {
  return (race_record *)(arena.race[shift] + ((device - arena.base) >> shift) * PLACE_BYTES);
}

static bool live(const allocation *a) { return a && (a->state == ALLOC_LIVE || a->state == ALLOC_GLOBAL); }

int simt_mem_free(void *device) {
  pthread_mutex_lock(&lock);
  allocation *a = memory_lookup((uint64_t)device);
  int bad = !live(a) || a->base != (uint64_t)device;
  if (!bad) {
    a->state = ALLOC_FREED;
    forget(a->base, a->bytes);
    memory_generation++;
  }
  pthread_mutex_unlock(&lock);
  return bad ? -1 : 0;
}

void *simt_mem_find(const void *device, void **base, size_t *bytes) {
  allocation *a = memory_lookup((uint64_t)device);
  if (!live(a)) return NULL;
  uint64_t limit = a->bytes ? a->bytes : 1;
  if ((uint64_t)device - a->base >= limit) return NULL;
  if (base) *base = (void *)a->base;
  if (bytes) *bytes = a->bytes;
  return (void *)a->base;
}

void *simt_mem_host(const void *device, size_t bytes) {
  allocation *a = memory_lookup((uint64_t)device);
  if (!live(a)) return NULL;
  uint64_t offset = (uint64_t)device - a->base;
  if (offset > a->bytes || bytes > a->bytes - offset) return NULL;
  return memory_alias((uint64_t)device);
}

void simt_mem_mark_defined(const void *device, size_t bytes, int defined) {
  uint64_t at = (uint64_t)device;
  if (!bytes || !memory_in_arena(at) || bytes > arena.base + arena.bytes - at) return;
  memset(memory_shadow(at), defined ? 1 : 0, bytes);
}

void simt_mem_scribble(const void *device, size_t bytes) {
  enum { PIECE = 4096 }; /* pieces that nothing has written since the last time are left alone */
  static const uint8_t nothing[PIECE];
  uint64_t at = (uint64_t)device;
  if (!memory_in_arena(at) || bytes > arena.base + arena.bytes - at) return;
  for (size_t done = 0; done < bytes; done += PIECE) {
    size_t piece = bytes - done < PIECE ? bytes - done : PIECE;
    if (!memcmp(memory_shadow(at + done), nothing, piece)) continue;
    memset(memory_alias(at + done), 0xff, piece); /* a NaN in every format */
    memset(memory_shadow(at + done), 0, piece);
  }
}

int simt_mem_is_defined(const void *device, size_t bytes) {
  uint64_t at = (uint64_t)device;
  if (!memory_in_arena(at) || bytes > arena.base + arena.bytes - at) return 1; /* host memory counts as written */
  const uint8_t *s = memory_shadow(at);
  return !bytes || (s[0] == 1 && !memcmp(s, s + 1, bytes - 1));
}

size_t simt_mem_leaks(void (*each)(void *, size_t, void *), void *ctx) {
  size_t count = 0;
  for (uint32_t n = 0; n < arena.n; n++) {
    allocation *a = arena.all[n];
    if (!a || a->state != ALLOC_LIVE) continue;
    count++;
    if (each) each((void *)a->base, a->bytes, ctx);
  }
  return count;
}

void simt_mem_register_host(void *host, size_t bytes) {
  pthread_mutex_lock(&lock);
  if (n_hosts == cap_hosts) {
    cap_hosts = cap_hosts ? cap_hosts * 2 : 64;
    hosts = realloc(hosts, cap_hosts * sizeof *hosts);
  }
  hosts[n_hosts].base = (uint64_t)host;
  hosts[n_hosts++].bytes = bytes;
  pthread_mutex_unlock(&lock);
}

void simt_mem_unregister_host(void *host) {
  pthread_mutex_lock(&lock);
  for (size_t n = 0; n < n_hosts; n++)
    if (hosts[n].base == (uint64_t)host) { hosts[n] = hosts[--n_hosts]; break; }
  pthread_mutex_unlock(&lock);
}

bool memory_is_registered_host(uint64_t address, uint64_t bytes) {
  for (size_t n = 0; n < n_hosts; n++)
    if (address >= hosts[n].base && address - hosts[n].base + bytes <= hosts[n].bytes) return true;
  return false;
}
