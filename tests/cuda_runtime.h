/* cuda_runtime.h - CUDA's own functions for the tests of the CUDA backend. They are looked up in the runtime that the
 * module has loaded, so no CUDA is needed to build. */
#ifndef RONDO_TESTS_CUDA_RUNTIME_H
#define RONDO_TESTS_CUDA_RUNTIME_H

#include "harness.h"
#include "internal.h"

typedef struct CUstream_st *cuda_stream;

typedef struct cuda_runtime {
  int (*cudaStreamCreateWithFlags)(cuda_stream *, unsigned);
  int (*cudaStreamDestroy)(cuda_stream);
  int (*cudaStreamSynchronize)(cuda_stream);
  int (*cudaStreamBeginCapture)(cuda_stream, int);
  int (*cudaStreamEndCapture)(cuda_stream, void **);
  int (*cudaGraphInstantiate)(void **, void *, unsigned long long);
  int (*cudaGraphLaunch)(void *, cuda_stream);
  int (*cudaGraphExecDestroy)(void *);
  int (*cudaGraphDestroy)(void *);
  int (*cudaMemcpyAsync)(void *, const void *, size_t, int, cuda_stream);
  int (*cudaMemsetAsync)(void *, int, size_t, cuda_stream);
  int (*cudaGetDeviceCount)(int *);
  int (*cudaGetDevice)(int *);
  int (*cudaSetDevice)(int);
  int (*cudaGetLastError)(void);
  int (*cudaDeviceGetAttribute)(int *, int, int);
  int (*simt_count)(const char *); /* NULL on a GPU: only tests/simt counts calls */
} cuda_runtime;

/* CUDA's own numbers. */
enum { NON_BLOCKING = 1, THREAD_LOCAL = 1, COPY_DEFAULT = 4, CAPTURE_UNSUPPORTED = 900, CAPABILITY_MAJOR = 75 };

/* 1, or 0 with the failure recorded. */
int cuda_load(cuda_runtime *cuda, const rondo_context *ctx);

/* The first number of the compute capability of the context's device, as CUDA has it; 0 with the failure recorded. */
int cuda_major(const rondo_context *ctx);

#define EXPECT_CUDA(call)                                                                                              \
  do {                                                                                                                 \
    int cuda_error = (call);                                                                                           \
    EXPECT(cuda_error == 0, "CUDA error %d", cuda_error);                                                              \
  } while (0)

/* A context on a stream of its own, which the harness does not keep: cuda_close_stream destroys both. NULL: failed or
 * skipped. */
rondo_context *cuda_context_on_stream(cuda_runtime *cuda, cuda_stream *s);
void cuda_close_stream(cuda_runtime *cuda, cuda_stream s, rondo_context *ctx);

/* What has been enqueued so far; under simt only. */
typedef struct cuda_counts {
  int launches, gemms, calls, others; /* others: whatever must not happen at all */
} cuda_counts;

cuda_counts cuda_count(const cuda_runtime *cuda);

/* Of every cell, direction and kind of order, small. Ends with NULL. */
extern const char *const cuda_problems[];

/* Rows of test_cuda.c that the suite of hoisted has, too. */
extern const char *const cuda_many_problems[]; /* with more rows than a kernel can carry */
extern const char *const cuda_half_problems[]; /* with weights of 16 bits */
void test_cuda_chunks_are_equal(const void *name);
void test_cuda_many_rows(const void *name);
void test_cuda_x_is_rounded(const void *name);
void test_cuda_h_is_not_rounded(const void *name);

/* Rows of test_cuda_streams.c, for both. */
extern const char *const cuda_ordered_problems[]; /* with lengths, masks, slots, restart */
void test_cuda_work_is_in_order(const void *name);
void test_cuda_copies_are_in_order(const void *unused);
void test_cuda_captured(const void *name);
void test_cuda_graph_equals_call(const void *name);
void test_cuda_graph_keeps_the_order(const void *name);
void test_cuda_graph_launch_is_one_call(const void *unused);
void test_cuda_two_threads(const void *unused);

#endif
