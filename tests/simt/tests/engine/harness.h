/* harness.h: what the test programs of the engine share. Each runs kernels from PTX and compares with results that it
 * computes itself, then makes sure that the checks catch the bugs planted for them. Every test runs in a process of its
 * own. A program defines SOURCE, the file that reports must name, before it includes this.
 *   program PTX [test name] */
#ifndef HARNESS_H
#define HARNESS_H
#include "../../simt.h"
#include <fenv.h>
#include <immintrin.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *ptx_path;
static simt_module *module;
static simt_counters counters;
static char what[256];

/* ---- help ---------------------------------------------------------------------------------------------------------- */
static inline void load(void) {
  FILE *f = fopen(ptx_path, "rb");
  if (!f) { fprintf(stderr, "cannot read %s\n", ptx_path); exit(2); }
  fseek(f, 0, SEEK_END);
  size_t bytes = (size_t)ftell(f);
  rewind(f);
  char *text = malloc(bytes), error[512];
  if (fread(text, 1, bytes, f) != bytes) exit(2);
  fclose(f);
  module = simt_module_load(text, bytes, error, sizeof error);
  free(text);
  if (!module) { fprintf(stderr, "%s\n", error); exit(2); }
}
static inline void *device(size_t bytes) { return simt_mem_alloc(bytes); }
static inline void *upload(const void *host, size_t bytes) {
  void *d = simt_mem_alloc(bytes);
  memcpy(simt_mem_host(d, bytes), host, bytes);
  simt_mem_mark_defined(d, bytes, 1);
  return d;
}
static inline const void *host(const void *d, size_t bytes) { return simt_mem_host(d, bytes); }

typedef struct argument { const void *value; size_t bytes; } argument;
#define ARG(v) {&(v), sizeof(v)}
static inline int launch(const char *name, simt_launch shape, const argument *args, int n) {
  simt_function *f = simt_module_function(module, name);
  if (!f) { snprintf(what, sizeof what, "no kernel %s", name); return -1; }
  simt_function_info info;
  simt_function_describe(f, &info);
  char block[4096];
  memset(block, 0, sizeof block);
  if (info.parameter_count != n) { snprintf(what, sizeof what, "%s: %d parameters", name, info.parameter_count); return -1; }
  for (int k = 0; k < n; k++) {
    size_t offset, bytes;
    simt_function_parameter(f, k, &offset, &bytes);
    if (bytes != args[k].bytes) { snprintf(what, sizeof what, "%s: parameter %d has %zu bytes", name, k, bytes); return -1; }
    memcpy(block + offset, args[k].value, bytes);
  }
  int r = simt_launch_kernel(f, &shape, block, &counters);
  simt_report_launch(name, &shape, &counters);
  uint64_t kinds = 0;
#define ADD(kind) kinds += counters.kind##_instructions;
  SIMT_INSTRUCTION_KINDS(ADD)
#undef ADD
  if (!r && kinds != counters.instructions) { snprintf(what, sizeof what, "%s: the kinds of instructions do not add up", name); return -1; }
  return r;
}
#define SHAPE(g, b, shared) ((simt_launch){{g, 1, 1}, {b, 1, 1}, {1, 1, 1}, shared, 0})
#define RUN(name, shape, ...) launch(name, shape, (argument[]){__VA_ARGS__}, (int)(sizeof((argument[]){__VA_ARGS__}) / sizeof(argument)))
enum { SKIPPED = 77 }; /* the architecture has no such kernel, or the seed makes the test meaningless */
#define CHECK(condition, ...) do { if (!(condition)) { snprintf(what, sizeof what, __VA_ARGS__); return 1; } } while (0)
#define OK(call) do { int r_ = (call); if (r_) { if (!what[0]) snprintf(what, sizeof what, "launch returned %d", r_); return 1; } } while (0)

/* Another seed splits warps up: counts that depend on lanes running together are then not what they usually are. */
static inline int other_seed(void) { const char *s = getenv("SIMT_SEED"); return s && atoi(s); }

static uint32_t random_state = 12345;
static inline uint32_t random32(void) { random_state = random_state * 1664525u + 1013904223u; return random_state ^ random_state >> 15; }
static inline float random_float(void) { return (float)(random32() >> 8) / 8388608.0f - 1.0f; }
static inline int close_to(double a, double b, double tolerance) { return fabs(a - b) <= tolerance * (1 + fabs(b)) || (a != a && b != b); }

/* ---- f16 and bf16 on the host, slow and plain --------------------------------------------------------------------------- */
static inline double round_bits(double v, int mantissa, int least) { /* to nearest even at the given precision and smallest exponent */
  if (v == 0 || !isfinite(v)) return v;
  int e;
  frexp(v, &e);
  int unit = e - 1 - mantissa;
  if (unit < least) unit = least;
  return ldexp(nearbyint(ldexp(v, -unit)), unit);
}
static inline double as_half(double v) { v = round_bits(v, 10, -24); return fabs(v) > 65504 ? copysign(INFINITY, v) : v; }
static inline double as_bf16(double v) { return round_bits(v, 7, -133); }
static inline uint16_t half_bits(float v) { return (uint16_t)_cvtss_sh(v, _MM_FROUND_CUR_DIRECTION); }

/* ---- running ------------------------------------------------------------------------------------------------------- */
typedef struct test { const char *name; int (*run)(void); const char *expect; const char *setting; } test;
#define T(name) {#name, test_##name, NULL, NULL}
#define BUG(name, text) {#name, name, text, NULL}
static inline int run_child(const test *t) {
  if (t->setting) setenv(t->setting, "1", 1);
  load();
  int r = t->run();
  if (r == SKIPPED) return SKIPPED;
  if (t->expect) {
    if (r != SIMT_FAULT) { fprintf(stderr, "the launch returned %d\n", r); return 1; }
    return 0;
  }
  if (!r && simt_error_count()) { fprintf(stderr, "unexpected reports\n"); return 1; }
  if (r) fprintf(stderr, "%s\n", what);
  return r;
}

/* Whether a report says one of the things that are expected, which "|" separates. */
static inline int says(const char *text, const char *expect) {
  char one[128];
  for (const char *p = expect; *p; p += *p == '|') {
    size_t n = strcspn(p, "|");
    snprintf(one, sizeof one, "%.*s", (int)n, p);
    if (strstr(text, one)) return 1;
    p += n;
  }
  return 0;
}

static inline int run_test(const test *t) {
  int ends[2];
  fflush(NULL);
  if (pipe(ends)) return 1;
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], 2);
    close(ends[0]);
    int r = run_child(t);
    fflush(NULL);
    _exit(r == SKIPPED ? SKIPPED : r ? 1 : 0);
  }
  close(ends[1]);
  static char text[65536];
  size_t n = 0;
  for (ssize_t k; (k = read(ends[0], text + n, sizeof text - 1 - n)) > 0;) n += (size_t)k;
  text[n] = 0;
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
    printf("%-26s skipped\n", t->name);
    return SKIPPED;
  }
  int bad = status != 0 || (t->expect && (!says(text, t->expect) || !strstr(text, SOURCE)));
  printf("%-26s %s\n", t->name, bad ? "FAILED" : "ok");
  if (bad) printf("%s", text);
  if (bad && WIFSIGNALED(status)) printf("  killed by signal %d\n", WTERMSIG(status));
  if (!bad && getenv("VERBOSE") && n) printf("%s", text);
  return bad;
}

static inline int run_tests(int argc, char **argv, const test *tests, size_t n_tests) {
  if (argc < 2) return 2;
  ptx_path = argv[1];
  int bad = 0, count = 0, skipped = 0;
  for (size_t n = 0; n < n_tests; n++) {
    if (argc > 2 && strcmp(argv[2], tests[n].name)) continue;
    count++;
    int r = run_test(&tests[n]);
    if (r == SKIPPED) skipped++;
    else bad += r;
  }
  printf("%s: %d tests, %d failed, %d skipped\n", argv[1], count, bad, skipped);
  return bad != 0;
}
#endif
