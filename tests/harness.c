/* harness.c - the running test: what it holds, in one list, released in the opposite order when it ends; what a failure
 * reports; its contexts and plans. Buffers are in buffers.c, problems on a backend in setup.c. */
#include "harness.h"

#include "cuda_runtime.h"
#include "internal.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* Without this the sanitizers end the program when it asks for more memory than there is, which a test does. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
__attribute__((visibility("default"))) const char *__asan_default_options(void);
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__asan_default_options(void) {
  return "allocator_may_return_null=1";
}
const char *__tsan_default_options(void) {
  return "allocator_may_return_null=1";
}
#endif

/* ---- The running test -------------------------------------------------------------------------------------------- */

#define CPU(name, isa, count)                                                                                          \
  { "cpu_" name "_t" #count, {.backend = RONDO_CPU, .threads = (count), .max_isa = (isa)}, RONDO_AUTO }

const test_variant test_variants[] = {
    {"reference", {.backend = RONDO_REFERENCE}, RONDO_AUTO},
    CPU("portable", RONDO_ISA_PORTABLE, 1),
    CPU("portable", RONDO_ISA_PORTABLE, 2),
    CPU("portable", RONDO_ISA_PORTABLE, 3),
    CPU("avx2", RONDO_ISA_AVX2, 1),
    CPU("avx2", RONDO_ISA_AVX2, 2),
    CPU("avx2", RONDO_ISA_AVX2, 3),
    CPU("avx512", RONDO_ISA_AVX512, 1),
    CPU("avx512", RONDO_ISA_AVX512, 2),
    CPU("avx512", RONDO_ISA_AVX512, 3),
    CPU("avx512_bf16", RONDO_ISA_AVX512_BF16, 1),
    CPU("avx512_bf16", RONDO_ISA_AVX512_BF16, 2),
    CPU("avx512_bf16", RONDO_ISA_AVX512_BF16, 3),
    CPU("amx", RONDO_ISA_AMX, 1),
    CPU("amx", RONDO_ISA_AMX, 2),
    CPU("amx", RONDO_ISA_AMX, 3),
    {"cuda", {.backend = RONDO_CUDA}, RONDO_STEPWISE},
    {"cuda_hoisted", {.backend = RONDO_CUDA}, RONDO_HOISTED},
    {0},
};

test_where test_where_of(const test_variant *variant) {
  switch (variant->desc.backend) {
    case RONDO_REFERENCE: return TEST_REFERENCE;
    case RONDO_CUDA: return variant->algorithm == RONDO_HOISTED ? TEST_HOISTED : TEST_CUDA;
    default: return TEST_CPU;
  }
}

/* Something to release when the test ends. */
typedef struct held {
  struct held *next;
  void (*release)(void *pointer);
  void *pointer;
} held;

static struct {
  pthread_mutex_t lock; /* of the list and the count: threads of a test may allocate */
  held *first;
  int buffers;
  const test_variant *variant;
  char name[300];
  uint64_t name_hash;
  char problem[PROBLEM_TEXT];
  int tf32;
} now = {.lock = PTHREAD_MUTEX_INITIALIZER};

void *test_at_end(void (*release)(void *pointer), void *pointer) {
  held *h = malloc(sizeof *h);
  if (!h) abort();
  pthread_mutex_lock(&now.lock);
  *h = (held){now.first, release, pointer};
  now.first = h;
  pthread_mutex_unlock(&now.lock);
  return pointer;
}

int test_next_buffer(uint64_t *hash) {
  pthread_mutex_lock(&now.lock);
  int number = ++now.buffers;
  pthread_mutex_unlock(&now.lock);
  *hash = (now.name_hash + (uint64_t)number) * UINT64_C(0x9e3779b97f4a7c15);
  return number;
}

void test_begin(const test_variant *variant, const char *name) {
  now.variant = variant;
  now.buffers = 0;
  now.problem[0] = 0;
  snprintf(now.name, sizeof now.name, "%s", name);
  now.name_hash = 14695981039346656037u; /* FNV-1a */
  for (; *name; name++) now.name_hash = (now.name_hash ^ (unsigned char)*name) * 1099511628211u;
}

void test_end(void) {
  while (now.first) {
    held *h = now.first;
    now.first = h->next;
    h->release(h->pointer);
    free(h);
  }
  now.variant = NULL;
}

const test_variant *test_here(void) {
  return now.variant;
}

uint64_t test_seed(void) {
  const char *text = getenv("RONDO_TEST_SEED");
  return text && *text ? strtoull(text, NULL, 0) : 1;
}

void test_problem(const problem *p) {
  now.problem[0] = 0;
  if (p) problem_print(p, now.problem, sizeof now.problem);
  now.tf32 = p && p->allow_tf32;
}

void test_report(char *text, size_t size) {
  static const char *const backends[] = {"auto", "cpu", "cuda", "reference"};
  static const char *const isas[] = {"best", "portable", "avx2", "avx512", "avx512_bf16", "amx"};
  const test_variant *v = now.variant;
  int used = snprintf(text, size, "\n  reproduce: RONDO_TEST_SEED=%llu rondo_tests --gtest_filter=%s",
                      (unsigned long long)test_seed(), now.name);
  if (!now.problem[0]) return;
  used += snprintf(text + used, size - (size_t)used, "\n  problem: %s", now.problem);
  if (!v) return;
  used += snprintf(text + used, size - (size_t)used, "\n  perhaps also: bench_lstm %s --backend %s%s", now.problem,
                   backends[v->desc.backend], v->algorithm == RONDO_HOISTED ? " --algorithm hoisted" : "");
  if (v->desc.backend == RONDO_CPU)
    snprintf(text + used, size - (size_t)used, " --threads %d --isa %s", v->desc.threads, isas[v->desc.max_isa]);
}

/* ---- Contexts and plans ------------------------------------------------------------------------------------------ */

static void release_context(void *ctx) {
  EXPECT_OK(rondo_synchronize(ctx));
  rondo_context_destroy(ctx);
}

static void release_plan(void *plan) {
  rondo_plan_destroy(plan);
}

rondo_context *test_keep_context(rondo_context *ctx) {
  return ctx ? test_at_end(release_context, ctx) : NULL;
}

static int is_required(const char *name) {
  const char *list = getenv("RONDO_TEST_REQUIRE");
  while (list && *list) {
    size_t length = strcspn(list, ",");
    if (length && strncmp(list, name, length) == 0) return 1;
    list += length + (list[length] == ',');
  }
  return 0;
}

/* The running variant, or in a suite that runs once, the first one of such a context. */
static const char *variant_name(const rondo_context_desc *desc) {
  if (now.variant) return now.variant->name;
  for (const test_variant *v = test_variants; v->name; v++)
    if (v->desc.backend == desc->backend && v->desc.max_isa == desc->max_isa) return v->name;
  return "";
}

static rondo_context *unavailable(const rondo_context_desc *desc, const char *why) {
  const char *name = variant_name(desc);
  if (is_required(name))
    EXPECT(0, "RONDO_TEST_REQUIRE names %s, but it is not available: %s", name, why);
  else
    test_skip("not available here: %s", why);
  return NULL;
}

rondo_context *test_context_of(const rondo_context_desc *desc) {
  static const char *const levels[] = {"best", "portable", "AVX2", "AVX-512", "AVX-512 with BF16", "AMX"};
  rondo_context *ctx = NULL;
  rondo_status status = rondo_context_create(&ctx, desc);
  if (status == RONDO_UNAVAILABLE) return unavailable(desc, rondo_last_error());
  if (!EXPECT(status == RONDO_OK, "%s: %s", rondo_status_name(status), rondo_last_error())) return NULL;
  test_keep_context(ctx);
  if (desc->backend == RONDO_CPU && desc->max_isa != RONDO_ISA_BEST && ctx->variant != (int)desc->max_isa) {
    char why[80];
    snprintf(why, sizeof why, "the CPU, or this build, has no %s", levels[desc->max_isa]);
    return unavailable(desc, why);
  }
  return ctx;
}

rondo_context *test_context(void) {
  if (!EXPECT(now.variant, "test_context in a suite that is not bound to a backend")) return NULL;
  return test_context_of(&now.variant->desc);
}

rondo_context *test_reference(void) {
  return test_context_of(&(rondo_context_desc){.backend = RONDO_REFERENCE});
}

int test_is_simt(const rondo_context *ctx) {
  return rondo_context_backend(ctx) == RONDO_CUDA && strstr(rondo_context_text(ctx), "simt");
}

rondo_plan *test_plan(rondo_context *ctx, const rondo_plan_desc *desc) {
  rondo_plan *plan = NULL;
  if (desc->weights == RONDO_BF16 && rondo_context_backend(ctx) == RONDO_CUDA && cuda_major(ctx) < 8) {
    test_skip("RONDO_BF16 needs compute capability 8, the device has less");
    return NULL;
  }
  if (desc->weights == RONDO_INT8 && rondo_context_backend(ctx) == RONDO_CUDA) {
    test_skip("RONDO_INT8 is not offered by CUDA");
    return NULL;
  }
  const rondo_layer *l = &desc->layer;
  int refused = desc->recompute || l->layer_norm || l->recurrent_dropout > 0; /* by hoisted, with training */
  if (l->backward_layer) refused |= l->backward_layer->layer_norm || l->backward_layer->recurrent_dropout > 0;
  rondo_plan_desc chosen = *desc;
  int here = now.variant && rondo_context_backend(ctx) == now.variant->desc.backend && !(desc->training && refused);
  if (here && !desc->algorithm) chosen.algorithm = now.variant->algorithm;
  EXPECT_OK(rondo_plan_create(&plan, ctx, &chosen));
  return plan ? test_at_end(release_plan, plan) : NULL;
}
