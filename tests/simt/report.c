/* report.c: errors on stderr, the exit status, and the JSON report at exit. */
#include "engine_internal.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct kernel_record {
  char *name;
  uint64_t launches, threads;
  simt_counters sum;
  struct kernel_record *next;
} kernel_record;
typedef struct call_record {
  char *name;
  uint64_t calls, flops, bytes, default_workspace;
  struct call_record *next;
} call_record;
typedef struct limit_record {
  uint64_t key, count;
  struct limit_record *next;
} limit_record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static kernel_record *kernels;
static call_record *calls;
static limit_record *limits[1024];
static uint64_t counts[SIMT_COUNTED_KINDS];
static size_t errors;
static bool at_exit_set;

#define COUNT_NAME(name) #name,
static const char *const count_names[] = {SIMT_COUNTS(COUNT_NAME)};
#undef COUNT_NAME

long env_number(const char *name, long fallback) {
  const char *text = getenv(name);
  return text && *text ? strtol(text, NULL, 0) : fallback;
}

static void write_json_string(FILE *f, const char *s) {
  fputc('"', f);
  for (; *s; s++) {
    if (*s == '"' || *s == '\\') fprintf(f, "\\%c", *s);
    else if ((unsigned char)*s < 32) fprintf(f, "\\u%04x", (unsigned char)*s);
    else fputc(*s, f);
  }
  fputc('"', f);
}

/* Every counter is one uint64_t; these are their names, in the order of the struct. */
static const char *const counter_names[] = {
#define NAME(name) #name,
    SIMT_COUNTERS(NAME)
#undef NAME
#define NAME(name) #name "_instructions",
    SIMT_INSTRUCTION_KINDS(NAME)
#undef NAME
};
enum { COUNTERS = sizeof counter_names / sizeof *counter_names };
_Static_assert(sizeof(simt_counters) == COUNTERS * sizeof(uint64_t), "a counter without a name");

static void write_counters(FILE *f, const simt_counters *c) {
  const uint64_t *value = (const uint64_t *)c;
  for (int n = 0; n < COUNTERS; n++) fprintf(f, ", \"%s\": %llu", counter_names[n], (unsigned long long)value[n]);
}

static void write_report(const char *path) {
  FILE *f = fopen(path, "w");
  if (!f) { fprintf(stderr, "simt: cannot write %s\n", path); return; }
  fprintf(f, "{\n  \"errors\": %zu,\n  \"counts\": {", errors);
  for (int n = 0; n < SIMT_COUNTED_KINDS; n++)
    fprintf(f, "%s\"%s\": %llu", n ? ", " : "", count_names[n], (unsigned long long)counts[n]);
  fprintf(f, "},\n  \"kernels\": [");
  const char *comma = "";
  for (kernel_record *k = kernels; k; k = k->next) {
    fprintf(f, "%s\n    {\"name\": ", comma);
    write_json_string(f, k->name);
    fprintf(f, ", \"launches\": %llu, \"threads\": %llu", (unsigned long long)k->launches, (unsigned long long)k->threads);
    write_counters(f, &k->sum);
    fprintf(f, "}");
    comma = ",";
  }
  fprintf(f, "\n  ],\n  \"calls\": [");
  comma = "";
  for (call_record *c = calls; c; c = c->next) {
    fprintf(f, "%s\n    {\"name\": ", comma);
    write_json_string(f, c->name);
    fprintf(f, ", \"calls\": %llu, \"flops\": %llu, \"bytes\": %llu, \"default_workspace\": %llu}",
            (unsigned long long)c->calls, (unsigned long long)c->flops, (unsigned long long)c->bytes,
            (unsigned long long)c->default_workspace);
    comma = ",";
  }
  fprintf(f, "\n  ]\n}\n");
  fclose(f);
}

static void finish(void) {
  const char *path = getenv("SIMT_REPORT");
  if (path && *path) write_report(path);
  if (errors) {
    fflush(NULL);
    _exit((int)env_number("SIMT_EXIT", 86)); /* an exit handler cannot change the status any other way */
  }
}

/* Constructor: registered before anything of the program's own, so it runs last and sees every error. */
__attribute__((constructor(101))) static void set_finish(void) {
  if (!at_exit_set) atexit(finish);
  at_exit_set = true;
}

void simt_error(const char *kind, const char *format, ...) {
  char text[2048];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  pthread_mutex_lock(&lock);
  errors++;
  pthread_mutex_unlock(&lock);
  fprintf(stderr, "simt: error: %s%s%s\n", kind, strncmp(text, "in ", 3) ? ": " : " ", text);
}

size_t simt_error_count(void) { return errors; }

static uint64_t hash_text(uint64_t h, const char *s) {
  while (*s) h = (h ^ (unsigned char)*s++) * 1099511628211ull;
  return h;
}

/* Counts how often one kind of error was met at one line of one kernel; returns the count before this one. */
uint64_t report_limit_key(const char *kind, const char *kernel, uint32_t line) {
  uint64_t key = (hash_text(hash_text(1469598103934665603ull, kind), kernel) ^ line) * 1099511628211ull;
  pthread_mutex_lock(&lock);
  limit_record *r = limits[key >> 54];
  while (r && r->key != key) r = r->next;
  if (!r) {
    r = calloc(1, sizeof *r);
    r->key = key;
    r->next = limits[key >> 54];
    limits[key >> 54] = r;
  }
  uint64_t before = r->count++;
  pthread_mutex_unlock(&lock);
  return before;
}

void simt_report_launch(const char *kernel, const simt_launch *launch, const simt_counters *c) {
  pthread_mutex_lock(&lock);
  kernel_record **at = &kernels;
  while (*at && strcmp((*at)->name, kernel)) at = &(*at)->next;
  if (!*at) {
    *at = calloc(1, sizeof **at);
    (*at)->name = strdup(kernel);
  }
  kernel_record *k = *at;
  k->launches++;
  simt_count_one(SIMT_COUNT_kernels_run);
  simt_count_more(SIMT_COUNT_kernel_instructions, c->instructions);
  simt_count_more(SIMT_COUNT_kernel_load_bytes, c->global_load_bytes);
  simt_count_more(SIMT_COUNT_kernel_store_bytes, c->global_store_bytes);
  uint64_t threads = 1;
  for (int d = 0; d < 3; d++) threads *= (uint64_t)launch->grid[d] * launch->block[d];
  k->threads += threads;
  uint64_t *sum = (uint64_t *)&k->sum;
  const uint64_t *add = (const uint64_t *)c;
  for (int n = 0; n < COUNTERS; n++) sum[n] += add[n];
  pthread_mutex_unlock(&lock);
}

static uint64_t counter_of(const kernel_record *k, int n) {
  return n == COUNTERS ? k->launches : n > COUNTERS ? k->threads : ((const uint64_t *)&k->sum)[n];
}

long long simt_counter(const char *kernel, const char *counter) {
  int n = 0;
  while (n < COUNTERS && strcmp(counter_names[n], counter)) n++;
  if (n == COUNTERS && strcmp(counter, "launches")) {
    if (strcmp(counter, "threads")) return -1;
    n++;
  }
  uint64_t sum = 0;
  pthread_mutex_lock(&lock);
  for (const kernel_record *k = kernels; k; k = k->next)
    if (strstr(k->name, kernel)) sum += counter_of(k, n);
  pthread_mutex_unlock(&lock);
  return (long long)sum;
}

static call_record *call_of(const char *name) { /* with the lock held */
  call_record **at = &calls;
  while (*at && strcmp((*at)->name, name)) at = &(*at)->next;
  if (!*at) {
    *at = calloc(1, sizeof **at);
    (*at)->name = strdup(name);
  }
  return *at;
}

void simt_report_call(const char *name, uint64_t flops, uint64_t bytes) {
  pthread_mutex_lock(&lock);
  call_record *call = call_of(name);
  call->calls++;
  call->flops += flops;
  call->bytes += bytes;
  pthread_mutex_unlock(&lock);
}

void simt_report_default_workspace(const char *name) {
  pthread_mutex_lock(&lock);
  call_of(name)->default_workspace++;
  pthread_mutex_unlock(&lock);
}

void simt_count_one(enum simt_counted what) { simt_count_more(what, 1); }
void simt_count_more(enum simt_counted what, uint64_t more) { __atomic_fetch_add(&counts[what], more, __ATOMIC_RELAXED); }

int simt_count(const char *what) {
  for (int n = 0; n < SIMT_COUNTED_KINDS; n++)
    if (!strcmp(count_names[n], what)) return (int)(__atomic_load_n(&counts[n], __ATOMIC_RELAXED) & INT32_MAX);
  return -1;
}
