/* test_api.c - misuse of contexts and memory (plans, parameters and calls: test_api_plan.c, _pack.c, _forward.c): the
 * status, a sentence that names the function, the argument and its value; and what zeroed structs and NULL mean. */
#include "misuse.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- Library ----------------------------------------------------------------------------------------------------- */

static void version(const void *unused) {
  (void)unused;
  int major, minor, patch;
  char end;
  EXPECT(sscanf(rondo_version(), "%d.%d.%d%c", &major, &minor, &patch, &end) == 3, "\"%s\"", rondo_version());
  EXPECT(major == RONDO_VERSION_MAJOR && minor == RONDO_VERSION_MINOR && patch == RONDO_VERSION_PATCH,
         "\"%s\" is not the header's version", rondo_version());
}

static void status_names(const void *unused) {
  (void)unused;
  static const char *const names[] = {
      "RONDO_OK",           "RONDO_INVALID_ARGUMENT", "RONDO_UNSUPPORTED", "RONDO_OUT_OF_MEMORY",
      "RONDO_DEVICE_ERROR", "RONDO_BAD_FILE",         "RONDO_UNAVAILABLE"};
  for (int i = 0; i < 7; i++)
    EXPECT(!strcmp(rondo_status_name((rondo_status)i), names[i]), "%d is %s", i, rondo_status_name((rondo_status)i));
  static const int others[] = {7, 1000, -1, INT_MAX, INT_MIN};
  for (int i = 0; i < 5; i++)
    EXPECT(!strcmp(rondo_status_name((rondo_status)others[i]), "unknown rondo_status"), "%d is %s", others[i],
           rondo_status_name((rondo_status)others[i]));
}

/* A sentence stays through successes and goes with the next failure. */
static void last_error(const void *unused) {
  (void)unused;
  rondo_context *ctx = NULL;
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.threads = -3}));
  char first[512];
  snprintf(first, sizeof first, "%s", rondo_last_error());
  EXPECT(strstr(first, "threads -3"), "\"%s\"", first);
  EXPECT_OK(rondo_context_create(&ctx, NULL)); /* AUTO: a failure to open CUDA inside is not one of the call */
  test_keep_context(ctx);
  EXPECT(!strcmp(first, rondo_last_error()), "a success changed the sentence to \"%s\"", rondo_last_error());
  EXPECT(!rondo_alloc(ctx, 0), "0 bytes were allocated");
  EXPECT(strcmp(first, rondo_last_error()), "a failure left the sentence \"%s\"", first);
}

/* ---- NULL and zeros ---------------------------------------------------------------------------------------------- */

static void null_handles(const void *unused) {
  (void)unused;
  char memory[64] = {0};
  rondo_context *ctx = test_reference();
  rondo_context_destroy(NULL);
  rondo_plan_destroy(NULL);
  rondo_graph_destroy(NULL);
  rondo_free(NULL, memory);
  rondo_free(ctx, NULL);
  EXPECT(rondo_context_backend(NULL) == RONDO_BACKEND_AUTO, "a NULL context has a backend");
  EXPECT(!strcmp(rondo_context_text(NULL), ""), "a NULL context has a text");
  EXPECT(!strcmp(rondo_plan_text(NULL), ""), "a NULL plan has a text");
  EXPECT(!rondo_plan_sizes(NULL), "a NULL plan has sizes");
  EXPECT(!rondo_alloc(NULL, 64), "a NULL context has memory");
  expect_sentence("rondo_alloc:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_context_create(NULL, NULL), "rondo_context_create:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_synchronize(NULL), "rondo_synchronize:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(NULL, memory, memory + 32, 1), "rondo_copy:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(ctx, NULL, memory, 1), "rondo_copy:", "to is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(ctx, memory, NULL, 1), "rondo_copy:", "from is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_graph_launch(NULL, ctx), "rondo_graph_launch:", "graph is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_backward(NULL, ctx, &(rondo_batch){0}),
                 "rondo_backward:", "plan is NULL");
}

/* Zeroed, no description at all: AUTO, which falls back to the CPU and says why. */
static void auto_context(const void *unused) {
  (void)unused;
  for (int zeroed = 0; zeroed < 2; zeroed++) {
    rondo_context *ctx = NULL;
    rondo_context_desc zeros = {0};
    if (!EXPECT_OK(rondo_context_create(&ctx, zeroed ? &zeros : NULL))) return;
    test_keep_context(ctx);
    const char *text = rondo_context_text(ctx);
    if (rondo_context_backend(ctx) == RONDO_CUDA) {
      EXPECT(!strncmp(text, "cuda device 0", 13), "\"%s\"", text);
      continue;
    }
    EXPECT(rondo_context_backend(ctx) == RONDO_CPU, "AUTO gave backend %d", (int)rondo_context_backend(ctx));
    EXPECT(!strncmp(text, "cpu ", 4), "\"%s\"", text);
    const char *why = strstr(text, "(cuda not used: ");
    EXPECT(why && strlen(why) > strlen("(cuda not used: )"), "\"%s\" does not say why", text);
  }
}

/* ---- rondo_context_create ---------------------------------------------------------------------------------------- */

#define C(field) OF(rondo_context_desc, field)

static const misuse context_rows[] = {
    {"backend", C(backend), SET, 4, RONDO_INVALID_ARGUMENT, "backend 4"},
    {"backend_negative", C(backend), SET, -1, RONDO_INVALID_ARGUMENT, "backend -1"},
    {"device", C(device), SET, -1, RONDO_INVALID_ARGUMENT, "device -1"},
    {"threads", C(threads), SET, -1, RONDO_INVALID_ARGUMENT, "threads -1"},
    {"threads_many", C(threads), SET, 1025, RONDO_INVALID_ARGUMENT, "threads 1025"},
    {"threads_huge", C(threads), SET, INT_MAX, RONDO_INVALID_ARGUMENT, "threads 2147483647"},
    {"max_isa", C(max_isa), SET, 6, RONDO_INVALID_ARGUMENT, "max_isa 6"},
    {"max_isa_negative", C(max_isa), SET, -2, RONDO_INVALID_ARGUMENT, "max_isa -2"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static void context_create(const void *row) {
  static char elsewhere; /* any address: a failure must replace it */
  rondo_context *ctx = (rondo_context *)(void *)&elsewhere;
  rondo_context_desc desc = {.backend = RONDO_CPU};
  apply_misuse(row, &desc);
  expect_misuse(row, rondo_context_create(&ctx, &desc), "rondo_context_create:");
  EXPECT(!ctx, "a failure left *ctx as it was");
}

static void context_says(const void *unused) {
  (void)unused;
  static const char *const levels[] = {"", "portable", "avx2", "avx512", "avx512_bf16", "amx"};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const rondo_context_desc *desc = &test_here()->desc;
  char begin[40] = "reference", threads[20] = "";
  if (desc->backend == RONDO_CUDA) snprintf(begin, sizeof begin, "cuda device %d, ", desc->device);
  if (desc->backend == RONDO_CPU) {
    snprintf(begin, sizeof begin, "cpu %s, ", levels[desc->max_isa]);
    snprintf(threads, sizeof threads, "%d thread", desc->threads);
  }
  const char *text = rondo_context_text(ctx);
  EXPECT(!strncmp(text, begin, strlen(begin)), "\"%s\" does not begin with %s", text, begin);
  EXPECT(strstr(text, threads), "\"%s\" does not say %s", text, threads);
  EXPECT(rondo_context_backend(ctx) == desc->backend, "the backend is %d", (int)rondo_context_backend(ctx));
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void memory(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const char hello[] = "hello";
  char back[sizeof hello] = "";
  EXPECT(!rondo_alloc(ctx, 0), "0 bytes were allocated");
  expect_sentence("rondo_alloc:", "bytes is 0");
  EXPECT(!rondo_alloc(ctx, SIZE_MAX), "SIZE_MAX bytes were allocated");
  expect_sentence("rondo_alloc:", "18446744073709551615");
  EXPECT(!rondo_alloc(ctx, SIZE_MAX / 4), "SIZE_MAX / 4 bytes were allocated");
  char *there = rondo_alloc(ctx, sizeof hello);
  if (!EXPECT(there, "%s", rondo_last_error())) return;
  EXPECT((uintptr_t)there % 64 == 0, "%p is not aligned to 64 bytes", (void *)there);
  EXPECT_OK(rondo_copy(ctx, there, hello, sizeof hello));
  EXPECT_OK(rondo_copy(ctx, there, back, 0));
  EXPECT_OK(rondo_copy(ctx, back, there, sizeof hello));
  EXPECT(!strcmp(back, hello), "\"%s\" came back", back);
  rondo_free(ctx, there);
}

const test_suite test_api_library = {"ApiLibrary", TEST_ONCE,
                                     (const test_row[]){{"version", version, NULL, 0},
                                                        {"status_names", status_names, NULL, 0},
                                                        {"last_error", last_error, NULL, 0},
                                                        {"null_handles", null_handles, NULL, 0},
                                                        {"auto_context", auto_context, NULL, 0},
                                                        {"context_create", context_create, TEST_TABLE(context_rows)},
                                                        {NULL, NULL, NULL, 0}}};

const test_suite test_api = {
    "Api", TEST_ALL,
    (const test_row[]){{"context_says", context_says, NULL, 0}, {"memory", memory, NULL, 0}, {NULL, NULL, NULL, 0}}};
