/* harness.h - what a C test sees.
 *
 * A test is a C function, a suite a table of them; tests.c lists the suites and harness.cc, the only C++ file, gives
 * every row to GoogleTest:
 *
 *     static void sums(const void *row) { EXPECT(1 + 1 == 2, "1 + 1 is %d", 1 + 1); }
 *     const test_suite test_arithmetic = {"Arithmetic", TEST_ONCE, (const test_row[]){{"sums", sums, NULL, 0}, {0}}};
 *
 * Names are Suite.function, Suite.function/row where the function has a table of parameters, and Suite/variant.function
 * where the suite runs on every backend variant: "Layers/cpu_avx2_t3.outputs/lstm/n3t5c7h9". (GoogleTest's filters give
 * ":" and "-" a meaning, so they stand as "/" and "_" in names.)
 *
 * Everything a test opens or allocates here belongs to the test that runs: the harness checks the guard bands and
 * releases it all, buffers before contexts, when the function returns. A test may therefore return at any point. */
#ifndef RONDO_TESTS_HARNESS_H
#define RONDO_TESTS_HARNESS_H

#include "rondo/rondo.h"

#include "problem.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Suites ------------------------------------------------------------------------------------------------------ */

typedef struct test_row {
  const char *name;
  void (*run)(const void *parameter); /* parameter: a row of the table, or NULL */
  const void *table;                  /* NULL, or an array whose elements begin with a const char *, their name; the
                                         last one's is NULL. An array of names alone, such as problem_table, is one */
  size_t table_row;                   /* bytes of an element */
} test_row;

/* {"name", run, TEST_TABLE(array)} */
#define TEST_TABLE(array) (array), sizeof *(array)

typedef enum test_where {
  TEST_ONCE = 0,      /* not bound to a backend */
  TEST_REFERENCE = 1, /* once per variant of these backends: see test_variant */
  TEST_CPU = 2,
  TEST_CUDA = 4,
  TEST_HOISTED = 8, /* CUDA again, with RONDO_HOISTED where a plan leaves the algorithm open and can have it */
  TEST_ALL = TEST_REFERENCE | TEST_CPU | TEST_CUDA
} test_where;

typedef struct test_suite {
  const char *name;
  unsigned where;       /* of test_where */
  const test_row *rows; /* the last one's name is NULL */
} test_suite;

/* ---- Verdicts ---------------------------------------------------------------------------------------------------- */

/* All three may be used from any thread but SKIP, which is for the test's own. EXPECT goes on after a failure and gives
 * whether the condition held: if (!EXPECT(p, "no memory")) return; The sentence is printed with the problem string
 * and the line that runs the test again. */
#define EXPECT(condition, ...) ((condition) ? 1 : test_fail(__FILE__, __LINE__, #condition, __VA_ARGS__))

/* The call must give this status. Its rondo_last_error is printed when it does not. */
#define EXPECT_STATUS(expected, call) test_expect_status(__FILE__, __LINE__, #call, (expected), (call))
#define EXPECT_OK(call) EXPECT_STATUS(RONDO_OK, call)

/* Ends a test (a function that returns void) as skipped, with a sentence that says what was not available. */
#define SKIP(...)                                                                                                      \
  do {                                                                                                                 \
    test_skip(__VA_ARGS__);                                                                                            \
    return;                                                                                                            \
  } while (0)

__attribute__((format(printf, 4, 5))) int test_fail(const char *file, int line, const char *what, const char *format,
                                                    ...);
__attribute__((format(printf, 1, 2))) void test_skip(const char *format, ...);
int test_expect_status(const char *file, int line, const char *call, rondo_status expected, rondo_status status);

/* A measured error as a share of its derived bound: fails above 1 (or if it is not a number), and the largest of each
 * suite is printed at the end, so that a drift shows before it fails. what: "y", "h_n", ... */
#define EXPECT_RATIO(ratio, ...) test_expect_ratio(__FILE__, __LINE__, (ratio), __VA_ARGS__)
__attribute__((format(printf, 4, 5))) int test_expect_ratio(const char *file, int line, double ratio,
                                                            const char *format, ...);

/* Names the problem that a failure's report will show; NULL: none. */
void test_problem(const problem *p);

/* Calls release(pointer) when the test ends, after what was given later. Gives pointer. From any thread. */
void *test_at_end(void (*release)(void *pointer), void *pointer);

/* ---- Where a test runs ------------------------------------------------------------------------------------------- */

/* reference; cpu_portable_t1, _t2, _t3, cpu_avx2_t1, ... cpu_avx512_t3; cuda. */
typedef struct test_variant {
  const char *name;
  rondo_context_desc desc; /* max_isa is exact here: a machine without it skips */
  rondo_algorithm algorithm;
} test_variant;

const test_variant *test_here(void); /* of the running test; NULL in a suite that runs once */

/* A context of the running variant, or of the one described. NULL, with the skip or the failure recorded, when it
 * cannot be had: if (!ctx) return; RONDO_TEST_REQUIRE=cpu_avx2,cuda in the environment makes failures of such skips,
 * for all variants whose names begin so: a machine of which it is known what it has should say it. */
rondo_context *test_context(void);
rondo_context *test_context_of(const rondo_context_desc *desc);
rondo_context *test_reference(void); /* RONDO_REFERENCE */

/* Whether the context's GPU is tests/simt's, which interprets about 1e7 thread instructions a second, so that loops
 * must be short, and checks memory itself. */
int test_is_simt(const rondo_context *ctx);

/* Takes over a context that the harness did not open: destroys it after the test. Gives ctx; NULL is fine. */
rondo_context *test_keep_context(rondo_context *ctx);

/* A plan that must succeed, destroyed after the test; NULL with the failure recorded. weights RONDO_BF16 are skipped on
 * a GPU below compute capability 8, which has none: NULL with the skip recorded. */
rondo_plan *test_plan(rondo_context *ctx, const rondo_plan_desc *desc);

/* ---- Buffers ----------------------------------------------------------------------------------------------------- */

/* Memory of the context's backend, of exactly this size, aligned to 64 bytes. On the host and on a GPU it lies between
 * guard bands, which are checked when it is released, and it and the bands are filled with NaNs of one pattern,
 * so that whatever reads what was never written, or beyond the ends, shows in the result (AddressSanitizer also
 * guards the bands). Under simt it is an allocation of its own, never written: simt then reports the same by itself.
 * NULL, with the failure recorded, if there is none; bytes 0 gives NULL without a failure. */
void *buffer_new(rondo_context *ctx, size_t bytes);
float *buffer_floats(rondo_context *ctx, size_t count);

/* For arrays of the caller, for which the API asks an alignment of 4 bytes alone: half of the buffers have no more.
 * Filled with the pattern also under simt, as outputs with gaps are downloaded whole. */
float *buffer_output(rondo_context *ctx, size_t count);

/* As buffer_output, with a copy of host floats. host NULL: NULL. */
float *buffer_upload(rondo_context *ctx, const float *host, size_t count);

/* Waits for the context, then copies to the host; host NULL: to test_memory. Gives host. */
float *buffer_download(rondo_context *ctx, float *host, const float *from, size_t count);
/* Copies host bytes to a buffer. */
void buffer_write(rondo_context *ctx, void *to, const void *host, size_t bytes);

/* Fills with the pattern again, and whether every one of count host floats still has it. */
void buffer_poison(rondo_context *ctx, float *to, size_t count);
int test_is_poison(const float *host, size_t count);

/* Host memory for the test itself, zeroed. Never NULL (the program ends when there is none). */
void *test_memory(size_t bytes);

/* ---- Problems on a backend --------------------------------------------------------------------------------------- */

/* The run's seed: RONDO_TEST_SEED, or 1. Printed at the start. */
uint64_t test_seed(void);

/* Host data of a problem (problem.h), released after the test; also names it for reports (test_problem). */
const problem_data *test_data(const problem *p);
const problem_data *test_data_named(const char *name); /* of a problem string */

/* Everything of one problem on one backend. All outputs that the cell has are wanted; a test sets what it does not want
 * to NULL in its own copy of batch. */
typedef struct test_setup {
  rondo_context *ctx;
  rondo_plan *plan;
  const problem_data *data;
  rondo_batch batch; /* filled: params packed, x, h_0 and c_0 uploaded, outputs poisoned, workspace new */
  size_t x_count, y_count, y_last_count, state_count; /* floats of each buffer, gaps included */
} test_setup;

/* 1, or 0 with the failure, or test_plan's skip, recorded. desc: NULL for problem_plan_desc of the data's problem. */
int test_set_up(test_setup *setup, rondo_context *ctx, const problem_data *data, const rondo_plan_desc *desc);

/* Outputs on the host, with their gaps; an output that is NULL in the batch is NULL here. */
typedef struct test_outputs {
  float *y, *y_last, *h_n, *c_n;
} test_outputs;

/* The outputs as they are now, after all work of the context; and after a rondo_forward, which must succeed. */
test_outputs test_download(const test_setup *setup, const rondo_batch *batch);
test_outputs test_forward(const test_setup *setup, const rondo_batch *batch);

/* Bits are equal: of two arrays, and of all outputs (both NULL is equal). */
int test_same_bits(const float *a, const float *b, size_t count);
int test_same_outputs(const test_setup *setup, const test_outputs *a, const test_outputs *b);

/* ---- Between the files of the harness ---------------------------------------------------------------------------- */

extern const test_suite *const test_suites[]; /* tests.c; ends with NULL */
extern const test_variant test_variants[];    /* ends with a name of NULL */
test_where test_where_of(const test_variant *variant);
int test_next_buffer(uint64_t *hash); /* the number of a buffer within the test; hash: of it and the test's name */
void test_begin(const test_variant *variant, const char *name);
void test_end(void);                       /* checks and releases what the test held */
void test_report(char *text, size_t size); /* the lines that end a failure's message */

#ifdef __cplusplus
}
#endif

#endif
