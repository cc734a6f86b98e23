/* cublas.c: the cublas handle, matrix products, and the level 1 and 2 routines that programs use most.
 *
 * Each call checks its arguments as the documentation says, then queues its work on the handle's stream. The work
 * itself runs when the stream does, on the host's alias of the operands, after checking their exact extents. */
#include "gemm.h"

#include <cublas_v2.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct half_bits { uint16_t bits; } half_bits; /* in C the headers do not declare the half-precision calls */

struct cublasContext {
  cudaStream_t stream;
  int device, sm_count;
  cublasMath_t math;
  cublasPointerMode_t pointer_mode;
  cublasAtomicsMode_t atomics;
  void *workspace;
  size_t workspace_bytes;
};

/* ---- the handle ------------------------------------------------------------------------------------------------------------ */
static bool live(cublasHandle_t handle) { return rt_handle_is(handle, RT_CUBLAS); }
#define CHECK_HANDLE() if (!live(handle)) return CUBLAS_STATUS_NOT_INITIALIZED

cublasStatus_t cublasCreate(cublasHandle_t *handle) {
  int count;
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  if (cudaGetDeviceCount(&count) || !count) return CUBLAS_STATUS_NOT_INITIALIZED;
  rt_lock(); /* it allocates on the device */
  cudaError_t error = rt_refuse_if_capturing();
  rt_unlock();
  if (error) return CUBLAS_STATUS_ALLOC_FAILED;
  simt_count_one(SIMT_COUNT_allocations);
  *handle = calloc(1, sizeof **handle);
  (*handle)->device = rt_device();
  rt_handle_add(*handle, RT_CUBLAS);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  CHECK_HANDLE();
  if (cudaDeviceSynchronize() == cudaErrorStreamCaptureUnsupported) return CUBLAS_STATUS_INTERNAL_ERROR;
  rt_handle_remove(handle);
  free(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetVersion(cublasHandle_t handle, int *version) {
  (void)handle; /* the version can be had without one */
  if (!version) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetProperty(libraryPropertyType type, int *value) {
  if (!value) return CUBLAS_STATUS_INVALID_VALUE;
  switch (type) {
  case MAJOR_VERSION: *value = CUBLAS_VER_MAJOR; break;
  case MINOR_VERSION: *value = CUBLAS_VER_MINOR; break;
  case PATCH_LEVEL: *value = CUBLAS_VER_PATCH; break;
  default: return CUBLAS_STATUS_INVALID_VALUE;
  }
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasGetCudartVersion(void) { return CUDART_VERSION; }

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  CHECK_HANDLE();
  cudaStream_t resolved;
  rt_lock();
  cudaError_t error = rt_stream(stream, &resolved);
  rt_unlock();
  if (error) return CUBLAS_STATUS_INVALID_VALUE;
  handle->stream = stream;
  handle->workspace = NULL; /* setting the stream goes back to the default workspace */
  handle->workspace_bytes = 0;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t *stream) {
  CHECK_HANDLE();
  if (!stream) return CUBLAS_STATUS_INVALID_VALUE;
  *stream = handle->stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void *workspace, size_t bytes) {
  CHECK_HANDLE();
  if (workspace && (uintptr_t)workspace % 256) return CUBLAS_STATUS_INVALID_VALUE;
  if (workspace && bytes) {
    rt_lock();
    bool live_memory = rt_where(workspace) == RT_DEVICE_MEMORY && rt_resolve(workspace, bytes);
    rt_unlock();
    if (!live_memory) {
      simt_error("memcheck", "in cublasSetWorkspace: %zu bytes at %p are not inside one device allocation", bytes, workspace);
      return CUBLAS_STATUS_INVALID_VALUE;
    }
  }
  handle->workspace = workspace && bytes ? workspace : NULL;
  handle->workspace_bytes = bytes;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  CHECK_HANDLE();
  int base = (int)mode & ~(int)CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
  if (base < 0 || (base > CUBLAS_FP32_EMULATED_BF16X9_MATH && base != CUBLAS_FP64_EMULATED_FIXEDPOINT_MATH))
    return CUBLAS_STATUS_INVALID_VALUE;
  handle->math = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t *mode) {
  CHECK_HANDLE();
  if (!mode) return CUBLAS_STATUS_INVALID_VALUE;
  *mode = handle->math;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  CHECK_HANDLE();
  if (mode != CUBLAS_POINTER_MODE_HOST && mode != CUBLAS_POINTER_MODE_DEVICE) return CUBLAS_STATUS_INVALID_VALUE;
  handle->pointer_mode = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetPointerMode(cublasHandle_t handle, cublasPointerMode_t *mode) {
  CHECK_HANDLE();
  if (!mode) return CUBLAS_STATUS_INVALID_VALUE;
  *mode = handle->pointer_mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t mode) {
  CHECK_HANDLE();
  if (mode != CUBLAS_ATOMICS_ALLOWED && mode != CUBLAS_ATOMICS_NOT_ALLOWED) return CUBLAS_STATUS_INVALID_VALUE;
  handle->atomics = mode;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetAtomicsMode(cublasHandle_t handle, cublasAtomicsMode_t *mode) {
  CHECK_HANDLE();
  if (!mode) return CUBLAS_STATUS_INVALID_VALUE;
  *mode = handle->atomics;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetSmCountTarget(cublasHandle_t handle, int count) {
  CHECK_HANDLE();
  if (count < 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->sm_count = count;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasGetSmCountTarget(cublasHandle_t handle, int *count) {
  CHECK_HANDLE();
  if (!count) return CUBLAS_STATUS_INVALID_VALUE;
  *count = handle->sm_count;
  return CUBLAS_STATUS_SUCCESS;
}
static cublasLogCallback log_callback;
cublasStatus_t cublasLoggerConfigure(int on, int to_stdout, int to_stderr, const char *file) {
  (void)on; (void)to_stdout; (void)to_stderr; (void)file;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetLoggerCallback(cublasLogCallback callback) { log_callback = callback; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetLoggerCallback(cublasLogCallback *callback) {
  if (!callback) return CUBLAS_STATUS_INVALID_VALUE;
  *callback = log_callback;
  return CUBLAS_STATUS_SUCCESS;
}

#define STATUSES(X) \
  X(CUBLAS_STATUS_SUCCESS, "success") X(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized") \
  X(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed") X(CUBLAS_STATUS_INVALID_VALUE, "an invalid value was provided") \
  X(CUBLAS_STATUS_ARCH_MISMATCH, "the function requires a feature absent from the device architecture") \
  X(CUBLAS_STATUS_MAPPING_ERROR, "an access to GPU memory space failed") X(CUBLAS_STATUS_EXECUTION_FAILED, "the function failed to launch on the GPU") \
  X(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed") X(CUBLAS_STATUS_NOT_SUPPORTED, "the requested functionality is not supported") \
  X(CUBLAS_STATUS_LICENSE_ERROR, "the functionality requested requires some license")
const char *cublasGetStatusName(cublasStatus_t status) {
  switch (status) {
#define NAME(code, text) case code: return #code;
    STATUSES(NAME)
  }
  return "CUBLAS_STATUS_UNKNOWN";
}
const char *cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
#define TEXT(code, text) case code: return text;
    STATUSES(TEXT)
  }
  return "unknown error";
}

/* ---- matrix products --------------------------------------------------------------------------------------------------------- */
enum { SMALLEST_WORKSPACE = 16384 }; /* with less, the documentation says, a routine may fail: here it always does */

static bool operation_ok(cublasOperation_t op) { return op == CUBLAS_OP_N || op == CUBLAS_OP_T || op == CUBLAS_OP_C; }
static int64_t at_least_1(int64_t n) { return n > 1 ? n : 1; }

typedef struct gemm_arguments {
  const char *name;
  cublasOperation_t ta, tb;
  int64_t m, n, k;
  const void *alpha, *a, *b, *beta;
  void *c;
  cudaDataType_t type_a, type_b, type_c, scale;
  int64_t lda, ldb, ldc, stride_a, stride_b, stride_c, batches;
  cublasComputeType_t compute;
  bool listed;
  size_t list_offset;
} gemm_arguments;

static bool wants_tf32(cublasHandle_t handle, const gemm_arguments *g) {
  if (g->type_a != CUDA_R_32F || rt_model()->cc < 80) return false;
  return g->compute == CUBLAS_COMPUTE_32F_FAST_TF32 ||
         (g->compute == CUBLAS_COMPUTE_32F && ((int)handle->math & 15) == CUBLAS_TF32_TENSOR_OP_MATH);
}

static cublasStatus_t gemm(cublasHandle_t handle, const gemm_arguments *g) {
  CHECK_HANDLE();
  if (!operation_ok(g->ta) || !operation_ok(g->tb) || g->m < 0 || g->n < 0 || g->k < 0 || g->batches < 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  bool ta = g->ta != CUBLAS_OP_N, tb = g->tb != CUBLAS_OP_N;
  int64_t rows_a = ta ? g->k : g->m, rows_b = tb ? g->n : g->k;
  if (g->lda < at_least_1(rows_a) || g->ldb < at_least_1(rows_b) || g->ldc < at_least_1(g->m)) return CUBLAS_STATUS_INVALID_VALUE;
  gemm_call call = {.transpose_a = ta, .transpose_b = tb, .m = g->m, .n = g->n, .k = g->k, .batches = g->batches,
                    .compute = g->compute, .tf32 = wants_tf32(handle, g)};
  snprintf(call.name, sizeof call.name, "%s", g->name);
  call.a = (gemm_matrix){g->a, g->listed, g->list_offset, g->type_a, rows_a, ta ? g->m : g->k, g->lda, g->stride_a, false};
  call.b = (gemm_matrix){g->b, g->listed, g->list_offset, g->type_b, rows_b, tb ? g->k : g->n, g->ldb, g->stride_b, false};
  call.c = (gemm_matrix){g->c, g->listed, g->list_offset, g->type_c, g->m, g->n, g->ldc, g->stride_c, false};
  call.d = call.c;
  if (!gemm_types_ok(&call)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (g->type_a == CUDA_R_16BF && rt_model()->cc < 80) return CUBLAS_STATUS_ARCH_MISMATCH;
  if (!g->m || !g->n || !g->batches) return CUBLAS_STATUS_SUCCESS;
  if (!g->alpha || !g->beta || !g->c || (g->k && (!g->a || !g->b))) return CUBLAS_STATUS_INVALID_VALUE;
  bool on_device = handle->pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  if (!on_device && (rt_is_device(g->alpha) || rt_is_device(g->beta))) {
    simt_error("memcheck", "in %s: alpha or beta is a device pointer, but the pointer mode is CUBLAS_POINTER_MODE_HOST", g->name);
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  call.alpha = gemm_scalar_of(g->alpha, g->scale, on_device);
  call.beta = gemm_scalar_of(g->beta, g->scale, on_device);
  if (handle->workspace && handle->workspace_bytes < SMALLEST_WORKSPACE) return CUBLAS_STATUS_ALLOC_FAILED;
  call.workspace = handle->workspace;
  call.workspace_bytes = handle->workspace_bytes;
  call.default_workspace = !handle->workspace;
  rt_lock();
  cublasStatus_t status = rt_sticky() ? CUBLAS_STATUS_EXECUTION_FAILED : gemm_submit(handle->stream, &call);
  rt_unlock();
  return status;
}

/* The type of alpha and beta that goes with a compute type. */
static cudaDataType_t scale_of(cublasComputeType_t compute) {
  switch (compute) {
  case CUBLAS_COMPUTE_16F: case CUBLAS_COMPUTE_16F_PEDANTIC: return CUDA_R_16F;
  case CUBLAS_COMPUTE_64F: case CUBLAS_COMPUTE_64F_PEDANTIC: return CUDA_R_64F;
  case CUBLAS_COMPUTE_32I: case CUBLAS_COMPUTE_32I_PEDANTIC: return CUDA_R_32I;
  default: return CUDA_R_32F;
  }
}

#define NAME_OF(x) #x
#define GEMM_TYPES(INT) cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, INT m, INT n, INT k
#define GEMM_COMMON(label) .name = label, .ta = ta, .tb = tb, .m = m, .n = n, .k = k, .alpha = alpha, .beta = beta, \
                           .lda = lda, .ldb = ldb, .ldc = ldc

#define PLAIN_GEMM(NAME, LABEL, INT, T, TYPE, COMPUTE)                                                                       \
  cublasStatus_t NAME(GEMM_TYPES(INT), const T *alpha, const T *a, INT lda, const T *b, INT ldb, const T *beta, T *c, INT ldc) { \
    gemm_arguments g = {GEMM_COMMON(LABEL), .a = a, .b = b, .c = c, .type_a = TYPE, .type_b = TYPE, .type_c = TYPE,           \
                        .scale = TYPE, .batches = 1, .compute = COMPUTE};                                                    \
    return gemm(handle, &g);                                                                                                 \
  }
#define STRIDED_GEMM(NAME, LABEL, INT, T, TYPE, COMPUTE)                                                                     \
  cublasStatus_t NAME(GEMM_TYPES(INT), const T *alpha, const T *a, INT lda, long long stride_a, const T *b, INT ldb,         \
                      long long stride_b, const T *beta, T *c, INT ldc, long long stride_c, INT batches) {                   \
    gemm_arguments g = {GEMM_COMMON(LABEL), .a = a, .b = b, .c = c, .type_a = TYPE, .type_b = TYPE, .type_c = TYPE,           \
                        .scale = TYPE, .stride_a = stride_a, .stride_b = stride_b, .stride_c = stride_c, .batches = batches, \
                        .compute = COMPUTE};                                                                                 \
    return gemm(handle, &g);                                                                                                 \
  }
#define BATCHED_GEMM(NAME, LABEL, INT, T, TYPE, COMPUTE)                                                                     \
  cublasStatus_t NAME(GEMM_TYPES(INT), const T *alpha, const T *const a[], INT lda, const T *const b[], INT ldb,             \
                      const T *beta, T *const c[], INT ldc, INT batches) {                                                   \
    gemm_arguments g = {GEMM_COMMON(LABEL), .a = a, .b = b, .c = (void *)c, .type_a = TYPE, .type_b = TYPE, .type_c = TYPE,   \
                        .scale = TYPE, .batches = batches, .compute = COMPUTE, .listed = true};                              \
    return gemm(handle, &g);                                                                                                 \
  }
#define GEMM_FAMILY(P, T, TYPE, COMPUTE)                                                                                     \
  STRIDED_GEMM(cublas##P##gemmStridedBatched, "cublas" #P "gemmStridedBatched", int, T, TYPE, COMPUTE)                       \
  STRIDED_GEMM(cublas##P##gemmStridedBatched_64, "cublas" #P "gemmStridedBatched", int64_t, T, TYPE, COMPUTE)                \
  BATCHED_GEMM(cublas##P##gemmBatched, "cublas" #P "gemmBatched", int, T, TYPE, COMPUTE)                                     \
  BATCHED_GEMM(cublas##P##gemmBatched_64, "cublas" #P "gemmBatched", int64_t, T, TYPE, COMPUTE)
PLAIN_GEMM(cublasSgemm, "cublasSgemm", int, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
PLAIN_GEMM(cublasSgemm_64, "cublasSgemm", int64_t, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
PLAIN_GEMM(cublasDgemm, "cublasDgemm", int, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
PLAIN_GEMM(cublasDgemm_64, "cublasDgemm", int64_t, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
PLAIN_GEMM(cublasHgemm, "cublasHgemm", int, half_bits, CUDA_R_16F, CUBLAS_COMPUTE_16F)
PLAIN_GEMM(cublasHgemm_64, "cublasHgemm", int64_t, half_bits, CUDA_R_16F, CUBLAS_COMPUTE_16F)
GEMM_FAMILY(S, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GEMM_FAMILY(D, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GEMM_FAMILY(H, half_bits, CUDA_R_16F, CUBLAS_COMPUTE_16F)

#define EX_TYPES .type_a = type_a, .type_b = type_b, .type_c = type_c, .compute = compute, .scale = scale_of(compute)
#define GEMM_EX(NAME, INT)                                                                                                   \
  cublasStatus_t NAME(GEMM_TYPES(INT), const void *alpha, const void *a, cudaDataType type_a, INT lda, const void *b,        \
                      cudaDataType type_b, INT ldb, const void *beta, void *c, cudaDataType type_c, INT ldc,                 \
                      cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {                                             \
    (void)algorithm;                                                                                                         \
    gemm_arguments g = {GEMM_COMMON("cublasGemmEx"), .a = a, .b = b, .c = c, EX_TYPES, .batches = 1};                        \
    return gemm(handle, &g);                                                                                                 \
  }
#define GEMM_STRIDED_EX(NAME, INT)                                                                                           \
  cublasStatus_t NAME(GEMM_TYPES(INT), const void *alpha, const void *a, cudaDataType type_a, INT lda, long long stride_a,   \
                      const void *b, cudaDataType type_b, INT ldb, long long stride_b, const void *beta, void *c,            \
                      cudaDataType type_c, INT ldc, long long stride_c, INT batches, cublasComputeType_t compute,            \
                      cublasGemmAlgo_t algorithm) {                                                                          \
    (void)algorithm;                                                                                                         \
    gemm_arguments g = {GEMM_COMMON("cublasGemmStridedBatchedEx"), .a = a, .b = b, .c = c, EX_TYPES, .stride_a = stride_a,   \
                        .stride_b = stride_b, .stride_c = stride_c, .batches = batches};                                     \
    return gemm(handle, &g);                                                                                                 \
  }
#define GEMM_BATCHED_EX(NAME, INT)                                                                                           \
  cublasStatus_t NAME(GEMM_TYPES(INT), const void *alpha, const void *const a[], cudaDataType type_a, INT lda,               \
                      const void *const b[], cudaDataType type_b, INT ldb, const void *beta, void *const c[],                \
                      cudaDataType type_c, INT ldc, INT batches, cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {  \
    (void)algorithm;                                                                                                         \
    gemm_arguments g = {GEMM_COMMON("cublasGemmBatchedEx"), .a = a, .b = b, .c = (void *)c, EX_TYPES, .batches = batches,    \
                        .listed = true};                                                                                     \
    return gemm(handle, &g);                                                                                                 \
  }
#define SGEMM_EX(NAME, INT)                                                                                                  \
  cublasStatus_t NAME(GEMM_TYPES(INT), const float *alpha, const void *a, cudaDataType type_a, INT lda, const void *b,       \
                      cudaDataType type_b, INT ldb, const float *beta, void *c, cudaDataType type_c, INT ldc) {              \
    cublasComputeType_t compute = CUBLAS_COMPUTE_32F;                                                                        \
    gemm_arguments g = {GEMM_COMMON("cublasSgemmEx"), .a = a, .b = b, .c = c, EX_TYPES, .batches = 1};                       \
    return gemm(handle, &g);                                                                                                 \
  }
GEMM_EX(cublasGemmEx, int)
GEMM_EX(cublasGemmEx_64, int64_t)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx, int)
GEMM_STRIDED_EX(cublasGemmStridedBatchedEx_64, int64_t)
GEMM_BATCHED_EX(cublasGemmBatchedEx, int)
GEMM_BATCHED_EX(cublasGemmBatchedEx_64, int64_t)
SGEMM_EX(cublasSgemmEx, int)
SGEMM_EX(cublasSgemmEx_64, int64_t)

#define GROUPED_BODY(LABEL, TA, TB, TC, COMPUTE)                                                                             \
  CHECK_HANDLE();                                                                                                            \
  if (groups < 0 || (groups && (!ta || !tb || !m || !n || !k || !alpha || !beta || !lda || !ldb || !ldc || !size)))          \
    return CUBLAS_STATUS_INVALID_VALUE;                                                                                      \
  if (handle->pointer_mode == CUBLAS_POINTER_MODE_DEVICE) return CUBLAS_STATUS_NOT_SUPPORTED;                                \
  size_t first = 0, scalar = gemm_element(scale_of(COMPUTE));                                                                \
  for (int64_t i = 0; i < groups; first += (size_t)size[i++]) {                                                              \
    gemm_arguments g = {.name = LABEL, .ta = ta[i], .tb = tb[i], .m = m[i], .n = n[i], .k = k[i],                             \
                        .alpha = (const char *)alpha + (size_t)i * scalar, .beta = (const char *)beta + (size_t)i * scalar,  \
                        .a = a, .b = b, .c = (void *)c, .type_a = TA, .type_b = TB, .type_c = TC, .scale = scale_of(COMPUTE), \
                        .lda = lda[i], .ldb = ldb[i], .ldc = ldc[i], .batches = size[i], .compute = COMPUTE, .listed = true, \
                        .list_offset = first};                                                                               \
    cublasStatus_t status = gemm(handle, &g);                                                                                \
    if (status) return status;                                                                                               \
  }                                                                                                                          \
  return CUBLAS_STATUS_SUCCESS
#define GROUPED(NAME, INT, T, TYPE, COMPUTE)                                                                                 \
  cublasStatus_t NAME(cublasHandle_t handle, const cublasOperation_t ta[], const cublasOperation_t tb[], const INT m[],      \
                      const INT n[], const INT k[], const T alpha[], const T *const a[], const INT lda[], const T *const b[], \
                      const INT ldb[], const T beta[], T *const c[], const INT ldc[], INT groups, const INT size[]) {        \
    GROUPED_BODY(#NAME, TYPE, TYPE, TYPE, COMPUTE);                                                                          \
  }
#define GROUPED_EX(NAME, INT)                                                                                                \
  cublasStatus_t NAME(cublasHandle_t handle, const cublasOperation_t ta[], const cublasOperation_t tb[], const INT m[],      \
                      const INT n[], const INT k[], const void *alpha, const void *const a[], cudaDataType_t type_a,         \
                      const INT lda[], const void *const b[], cudaDataType_t type_b, const INT ldb[], const void *beta,      \
                      void *const c[], cudaDataType_t type_c, const INT ldc[], INT groups, const INT size[],                 \
                      cublasComputeType_t compute) {                                                                         \
    GROUPED_BODY("cublasGemmGroupedBatchedEx", type_a, type_b, type_c, compute);                                             \
  }
GROUPED(cublasSgemmGroupedBatched, int, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GROUPED(cublasSgemmGroupedBatched_64, int64_t, float, CUDA_R_32F, CUBLAS_COMPUTE_32F)
GROUPED(cublasDgemmGroupedBatched, int, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GROUPED(cublasDgemmGroupedBatched_64, int64_t, double, CUDA_R_64F, CUBLAS_COMPUTE_64F)
GROUPED_EX(cublasGemmGroupedBatchedEx, int)
GROUPED_EX(cublasGemmGroupedBatchedEx_64, int64_t)

/* ---- vectors and small matrices ------------------------------------------------------------------------------------------------- */
typedef struct vector { const void *pointer; int64_t n, step; } vector;
typedef struct blas_call {
  const char *name;
  cudaDataType_t type;
  vector x, y;
  gemm_matrix a, b, c;
  bool transpose_a, transpose_b, left;
  gemm_scalar alpha, beta;
  void *result;             /* of dot, norms and index searches */
  bool result_on_device;
  int result_bytes;         /* of an index: 4 or 8 */
  bool default_workspace;
} blas_call;

static char *touch_vector(const blas_call *call, const char *what, const vector *v, bool reads, bool writes) {
  return gemm_touch(call->name, what, v->pointer, gemm_element(call->type), 1, v->n, llabs(v->step), reads, writes);
}
static char *element(const blas_call *call, char *host, const vector *v, int64_t i) {
  int64_t at = v->step < 0 ? (v->n - 1 - i) * -v->step : i * v->step;
  return host + at * (int64_t)gemm_element(call->type);
}
static double get(const blas_call *call, char *host, const vector *v, int64_t i) {
  return gemm_load(element(call, host, v, i), call->type);
}
static char *touch_block(const blas_call *call, const char *what, const gemm_matrix *m, bool reads, bool writes) {
  return gemm_touch(call->name, what, m->pointer, gemm_element(m->type), m->rows, m->columns, m->ld, reads, writes);
}
static double at(const gemm_matrix *m, const char *host, bool transpose, int64_t i, int64_t j) {
  int64_t place = transpose ? j + i * m->ld : i + j * m->ld;
  return gemm_load(host + place * (int64_t)gemm_element(m->type), m->type);
}
static void put(const gemm_matrix *m, char *host, int64_t i, int64_t j, double value) {
  gemm_store(host + (i + j * m->ld) * (int64_t)gemm_element(m->type), m->type, value);
}
static void report(const blas_call *call, int64_t flops, int64_t elements) {
  simt_report_call(call->name, (uint64_t)flops, (uint64_t)elements * gemm_element(call->type));
  if (call->default_workspace) simt_report_default_workspace(call->name);
}

static cublasStatus_t submit(cublasHandle_t handle, const blas_call *call, void (*perform)(void *)) {
  rt_lock();
  cublasStatus_t status = rt_sticky() ? CUBLAS_STATUS_EXECUTION_FAILED
                                      : gemm_status(rt_submit_call(handle->stream, call->name, perform, call, sizeof *call));
  if (!status) simt_count_one(SIMT_COUNT_cublas_calls);
  if (!status && call->default_workspace) simt_count_one(SIMT_COUNT_default_workspace);
  /* A result in host memory is there when the call returns. */
  if (!status && call->result && !call->result_on_device) {
    simt_count_one(SIMT_COUNT_synchronizations);
    status = gemm_status(rt_synchronise(handle->stream));
  }
  rt_unlock();
  return status;
}

static blas_call call_of(cublasHandle_t handle, const char *name, cudaDataType_t type, const void *alpha, const void *beta) {
  bool on_device = handle->pointer_mode == CUBLAS_POINTER_MODE_DEVICE;
  blas_call call = {.name = name, .type = type, .result_on_device = on_device, .default_workspace = !handle->workspace};
  if (alpha) call.alpha = gemm_scalar_of(alpha, type, on_device);
  if (beta) call.beta = gemm_scalar_of(beta, type, on_device);
  return call;
}

static void store_result(const blas_call *call, double value, bool index) {
  char number[8];
  size_t bytes = index ? (size_t)call->result_bytes : gemm_element(call->type);
  if (!index) gemm_store(number, call->type, value);
  else if (bytes == 4) { int32_t i = (int32_t)value; memcpy(number, &i, 4); }
  else { int64_t i = (int64_t)value; memcpy(number, &i, 8); }
  void *to = call->result;
  if (call->result_on_device) to = rt_touch(call->name, "the result", call->result, bytes, false, true);
  if (to) memcpy(to, number, bytes);
}

static void do_axpy(void *data) {
  const blas_call *c = data;
  double alpha;
  if (!gemm_scalar_read(c->name, "alpha", &c->alpha, &alpha)) return;
  char *x = touch_vector(c, "x", &c->x, true, false), *y = touch_vector(c, "y", &c->y, true, true);
  if (!x || !y) return;
  for (int64_t i = 0; i < c->x.n; i++)
    gemm_store(element(c, y, &c->y, i), c->type, fma(alpha, get(c, x, &c->x, i), get(c, y, &c->y, i)));
  report(c, 2 * c->x.n, 3 * c->x.n);
}
static void do_scal(void *data) {
  const blas_call *c = data;
  double alpha;
  if (!gemm_scalar_read(c->name, "alpha", &c->alpha, &alpha)) return;
  char *x = touch_vector(c, "x", &c->x, true, true);
  if (!x) return;
  for (int64_t i = 0; i < c->x.n; i++) gemm_store(element(c, x, &c->x, i), c->type, alpha * get(c, x, &c->x, i));
  report(c, c->x.n, 2 * c->x.n);
}
static void do_copy(void *data) {
  const blas_call *c = data;
  char *x = touch_vector(c, "x", &c->x, true, false), *y = touch_vector(c, "y", &c->y, false, true);
  if (!x || !y) return;
  for (int64_t i = 0; i < c->x.n; i++) memcpy(element(c, y, &c->y, i), element(c, x, &c->x, i), gemm_element(c->type));
  report(c, 0, 2 * c->x.n);
}
static void do_swap(void *data) {
  const blas_call *c = data;
  char *x = touch_vector(c, "x", &c->x, true, true), *y = touch_vector(c, "y", &c->y, true, true);
  if (!x || !y) return;
  for (int64_t i = 0; i < c->x.n; i++) {
    double a = get(c, x, &c->x, i), b = get(c, y, &c->y, i);
    gemm_store(element(c, x, &c->x, i), c->type, b);
    gemm_store(element(c, y, &c->y, i), c->type, a);
  }
  report(c, 0, 4 * c->x.n);
}
static void do_dot(void *data) {
  const blas_call *c = data;
  char *x = touch_vector(c, "x", &c->x, true, false), *y = touch_vector(c, "y", &c->y, true, false);
  double sum = 0;
  if (!x || !y) return;
  for (int64_t i = 0; i < c->x.n; i++) sum += get(c, x, &c->x, i) * get(c, y, &c->y, i);
  store_result(c, sum, false);
  report(c, 2 * c->x.n, 2 * c->x.n);
}
static void do_asum(void *data) {
  const blas_call *c = data;
  char *x = touch_vector(c, "x", &c->x, true, false);
  double sum = 0;
  if (!x) return;
  for (int64_t i = 0; i < c->x.n; i++) sum += fabs(get(c, x, &c->x, i));
  store_result(c, sum, false);
  report(c, c->x.n, c->x.n);
}
static void do_nrm2(void *data) {
  const blas_call *c = data;
  char *x = touch_vector(c, "x", &c->x, true, false);
  double sum = 0;
  if (!x) return;
  for (int64_t i = 0; i < c->x.n; i++) { double value = get(c, x, &c->x, i); sum += value * value; }
  store_result(c, sqrt(sum), false);
  report(c, 2 * c->x.n, c->x.n);
}
static void find_extreme(const blas_call *c, bool largest) { /* 1-based, the first of equals */
  char *x = touch_vector(c, "x", &c->x, true, false);
  int64_t best = 0;
  if (!x) return;
  for (int64_t i = 1; i < c->x.n; i++) {
    double value = fabs(get(c, x, &c->x, i)), champion = fabs(get(c, x, &c->x, best));
    if (largest ? value > champion : value < champion) best = i;
  }
  store_result(c, c->x.n ? (double)best + 1 : 0, true);
  report(c, c->x.n, c->x.n);
}
static void do_amax(void *data) { find_extreme(data, true); }
static void do_amin(void *data) { find_extreme(data, false); }

#define VECTOR_CHECK(name, T, alpha_pointer, needed)                                       \
  CHECK_HANDLE();                                                                          \
  if (n < 0) return CUBLAS_STATUS_INVALID_VALUE;                                           \
  if (n == 0) return CUBLAS_STATUS_SUCCESS;                                                \
  if (!(needed)) return CUBLAS_STATUS_INVALID_VALUE;                                       \
  blas_call call = call_of(handle, name, T, alpha_pointer, NULL)
#define LEVEL1(P, T, TYPE, INT, SUFFIX)                                                                                       \
  cublasStatus_t cublas##P##axpy_v2##SUFFIX(cublasHandle_t handle, INT n, const T *alpha, const T *x, INT incx, T *y, INT incy) { \
    VECTOR_CHECK("cublas" #P "axpy", TYPE, alpha, alpha && x && y);                                                           \
    call.x = (vector){x, n, incx};                                                                                            \
    call.y = (vector){y, n, incy};                                                                                            \
    return submit(handle, &call, do_axpy);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##scal_v2##SUFFIX(cublasHandle_t handle, INT n, const T *alpha, T *x, INT incx) {                   \
    VECTOR_CHECK("cublas" #P "scal", TYPE, alpha, alpha && x);                                                                \
    if (incx < 1) return CUBLAS_STATUS_SUCCESS;                                                                               \
    call.x = (vector){x, n, incx};                                                                                            \
    return submit(handle, &call, do_scal);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##copy_v2##SUFFIX(cublasHandle_t handle, INT n, const T *x, INT incx, T *y, INT incy) {             \
    VECTOR_CHECK("cublas" #P "copy", TYPE, NULL, x && y);                                                                     \
    call.x = (vector){x, n, incx};                                                                                            \
    call.y = (vector){y, n, incy};                                                                                            \
    return submit(handle, &call, do_copy);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##swap_v2##SUFFIX(cublasHandle_t handle, INT n, T *x, INT incx, T *y, INT incy) {                   \
    VECTOR_CHECK("cublas" #P "swap", TYPE, NULL, x && y);                                                                     \
    call.x = (vector){x, n, incx};                                                                                            \
    call.y = (vector){y, n, incy};                                                                                            \
    return submit(handle, &call, do_swap);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##dot_v2##SUFFIX(cublasHandle_t handle, INT n, const T *x, INT incx, const T *y, INT incy, T *result) { \
    CHECK_HANDLE();                                                                                                           \
    if (!result || (n > 0 && (!x || !y))) return CUBLAS_STATUS_INVALID_VALUE;                                                 \
    blas_call call = call_of(handle, "cublas" #P "dot", TYPE, NULL, NULL);                                                    \
    call.x = (vector){x, n < 0 ? 0 : n, incx};                                                                                \
    call.y = (vector){y, n < 0 ? 0 : n, incy};                                                                                \
    call.result = result;                                                                                                     \
    return submit(handle, &call, do_dot);                                                                                     \
  }                                                                                                                           \
  REDUCTION(cublas##P##asum_v2##SUFFIX, "cublas" #P "asum", T, TYPE, INT, do_asum)                                            \
  REDUCTION(cublas##P##nrm2_v2##SUFFIX, "cublas" #P "nrm2", T, TYPE, INT, do_nrm2)                                            \
  SEARCH(P, max, T, TYPE, INT, SUFFIX)                                                                                        \
  SEARCH(P, min, T, TYPE, INT, SUFFIX)
#define REDUCTION(NAME, LABEL, T, TYPE, INT, DO)                                                                              \
  cublasStatus_t NAME(cublasHandle_t handle, INT n, const T *x, INT incx, T *result) {                                        \
    CHECK_HANDLE();                                                                                                           \
    if (!result || (n > 0 && !x)) return CUBLAS_STATUS_INVALID_VALUE;                                                         \
    blas_call call = call_of(handle, LABEL, TYPE, NULL, NULL);                                                                \
    call.x = (vector){x, n < 1 || incx < 1 ? 0 : n, incx};                                                                    \
    call.result = result;                                                                                                     \
    return submit(handle, &call, DO);                                                                                         \
  }
#define INDEX_NAME(P, WHICH, SUFFIX) INDEX_##P(WHICH, SUFFIX)
#define INDEX_S(WHICH, SUFFIX) cublasIsa##WHICH##_v2##SUFFIX
#define INDEX_D(WHICH, SUFFIX) cublasIda##WHICH##_v2##SUFFIX
#define SEARCH(P, WHICH, T, TYPE, INT, SUFFIX)                                                                                \
  cublasStatus_t INDEX_NAME(P, WHICH, SUFFIX)(cublasHandle_t handle, INT n, const T *x, INT incx, INT *result) {              \
    CHECK_HANDLE();                                                                                                           \
    if (!result || (n > 0 && !x)) return CUBLAS_STATUS_INVALID_VALUE;                                                         \
    blas_call call = call_of(handle, "cublasI" #P "a" #WHICH, TYPE, NULL, NULL);                                              \
    call.x = (vector){x, n < 1 || incx < 1 ? 0 : n, incx};                                                                    \
    call.result = result;                                                                                                     \
    call.result_bytes = sizeof(INT);                                                                                          \
    return submit(handle, &call, do_a##WHICH);                                                                                \
  }
LEVEL1(S, float, CUDA_R_32F, int, )
LEVEL1(S, float, CUDA_R_32F, int64_t, _64)
LEVEL1(D, double, CUDA_R_64F, int, )
LEVEL1(D, double, CUDA_R_64F, int64_t, _64)

static void do_gemv(void *data) {
  const blas_call *c = data;
  double alpha, beta;
  if (!gemm_scalar_read(c->name, "alpha", &c->alpha, &alpha) || !gemm_scalar_read(c->name, "beta", &c->beta, &beta)) return;
  char *a = NULL, *x = NULL;
  if (alpha != 0) {
    a = touch_block(c, "A", &c->a, true, false);
    x = touch_vector(c, "x", &c->x, true, false);
    if (!a || !x) return;
  }
  char *y = touch_vector(c, "y", &c->y, beta != 0, true);
  if (!y) return;
  for (int64_t i = 0; i < c->y.n; i++) {
    double sum = 0;
    for (int64_t j = 0; alpha != 0 && j < c->x.n; j++) sum += at(&c->a, a, c->transpose_a, i, j) * get(c, x, &c->x, j);
    double old = beta != 0 ? beta * get(c, y, &c->y, i) : 0;
    gemm_store(element(c, y, &c->y, i), c->type, alpha * sum + old);
  }
  report(c, 2 * c->a.rows * c->a.columns, c->a.rows * c->a.columns + c->x.n + c->y.n);
}
static void do_ger(void *data) {
  const blas_call *c = data;
  double alpha;
  if (!gemm_scalar_read(c->name, "alpha", &c->alpha, &alpha)) return;
  char *x = touch_vector(c, "x", &c->x, true, false), *y = touch_vector(c, "y", &c->y, true, false);
  char *a = touch_block(c, "A", &c->a, true, true);
  if (!x || !y || !a) return;
  for (int64_t j = 0; j < c->a.columns; j++)
    for (int64_t i = 0; i < c->a.rows; i++)
      put(&c->a, a, i, j, at(&c->a, a, false, i, j) + alpha * get(c, x, &c->x, i) * get(c, y, &c->y, j));
  report(c, 2 * c->a.rows * c->a.columns, 2 * c->a.rows * c->a.columns);
}
static void do_geam(void *data) {
  const blas_call *c = data;
  double alpha, beta;
  if (!gemm_scalar_read(c->name, "alpha", &c->alpha, &alpha) || !gemm_scalar_read(c->name, "beta", &c->beta, &beta)) return;
  char *a = alpha != 0 ? touch_block(c, "A", &c->a, true, false) : NULL;
  char *b = beta != 0 ? touch_block(c, "B", &c->b, true, false) : NULL;
  char *to = touch_block(c, "C", &c->c, false, true);
  if ((alpha != 0 && !a) || (beta != 0 && !b) || !to) return;
  for (int64_t j = 0; j < c->c.columns; j++)
    for (int64_t i = 0; i < c->c.rows; i++)
      put(&c->c, to, i, j, (a ? alpha * at(&c->a, a, c->transpose_a, i, j) : 0) + (b ? beta * at(&c->b, b, c->transpose_b, i, j) : 0));
  report(c, 3 * c->c.rows * c->c.columns, 3 * c->c.rows * c->c.columns);
}
static void do_dgmm(void *data) {
  const blas_call *c = data;
  char *a = touch_block(c, "A", &c->a, true, false), *x = touch_vector(c, "x", &c->x, true, false);
  char *to = touch_block(c, "C", &c->c, false, true);
  if (!a || !x || !to) return;
  for (int64_t j = 0; j < c->c.columns; j++)
    for (int64_t i = 0; i < c->c.rows; i++)
      put(&c->c, to, i, j, at(&c->a, a, false, i, j) * get(c, x, &c->x, c->left ? i : j));
  report(c, c->c.rows * c->c.columns, 2 * c->c.rows * c->c.columns);
}

static gemm_matrix block(const void *pointer, cudaDataType_t type, int64_t rows, int64_t columns, int64_t ld) {
  return (gemm_matrix){.pointer = pointer, .type = type, .rows = rows, .columns = columns, .ld = ld};
}

#define LEVEL2(P, T, TYPE, INT, SUFFIX)                                                                                       \
  cublasStatus_t cublas##P##gemv_v2##SUFFIX(cublasHandle_t handle, cublasOperation_t op, INT m, INT n, const T *alpha,        \
                                            const T *a, INT lda, const T *x, INT incx, const T *beta, T *y, INT incy) {       \
    CHECK_HANDLE();                                                                                                           \
    if (!operation_ok(op) || m < 0 || n < 0 || lda < at_least_1(m) || !incx || !incy) return CUBLAS_STATUS_INVALID_VALUE;     \
    if (!m || !n) return CUBLAS_STATUS_SUCCESS;                                                                               \
    if (!alpha || !beta || !a || !x || !y) return CUBLAS_STATUS_INVALID_VALUE;                                                \
    blas_call call = call_of(handle, "cublas" #P "gemv", TYPE, alpha, beta);                                                  \
    call.transpose_a = op != CUBLAS_OP_N;                                                                                     \
    call.a = block(a, TYPE, m, n, lda);                                                                                       \
    call.x = (vector){x, call.transpose_a ? m : n, incx};                                                                     \
    call.y = (vector){y, call.transpose_a ? n : m, incy};                                                                     \
    return submit(handle, &call, do_gemv);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##ger_v2##SUFFIX(cublasHandle_t handle, INT m, INT n, const T *alpha, const T *x, INT incx,         \
                                           const T *y, INT incy, T *a, INT lda) {                                             \
    CHECK_HANDLE();                                                                                                           \
    if (m < 0 || n < 0 || lda < at_least_1(m) || !incx || !incy) return CUBLAS_STATUS_INVALID_VALUE;                          \
    if (!m || !n) return CUBLAS_STATUS_SUCCESS;                                                                               \
    if (!alpha || !a || !x || !y) return CUBLAS_STATUS_INVALID_VALUE;                                                         \
    blas_call call = call_of(handle, "cublas" #P "ger", TYPE, alpha, NULL);                                                   \
    call.a = block(a, TYPE, m, n, lda);                                                                                       \
    call.x = (vector){x, m, incx};                                                                                            \
    call.y = (vector){y, n, incy};                                                                                            \
    return submit(handle, &call, do_ger);                                                                                     \
  }                                                                                                                           \
  cublasStatus_t cublas##P##geam##SUFFIX(cublasHandle_t handle, cublasOperation_t ta, cublasOperation_t tb, INT m, INT n,     \
                                         const T *alpha, const T *a, INT lda, const T *beta, const T *b, INT ldb, T *c, INT ldc) { \
    CHECK_HANDLE();                                                                                                           \
    bool transpose_a = ta != CUBLAS_OP_N, transpose_b = tb != CUBLAS_OP_N;                                                    \
    if (!operation_ok(ta) || !operation_ok(tb) || m < 0 || n < 0 || lda < at_least_1(transpose_a ? n : m) ||                  \
        ldb < at_least_1(transpose_b ? n : m) || ldc < at_least_1(m))                                                         \
      return CUBLAS_STATUS_INVALID_VALUE;                                                                                     \
    if (!m || !n) return CUBLAS_STATUS_SUCCESS;                                                                               \
    if (!alpha || !beta || !c) return CUBLAS_STATUS_INVALID_VALUE;                                                            \
    if ((c == a && (transpose_a || lda != ldc)) || (c == b && (transpose_b || ldb != ldc))) return CUBLAS_STATUS_INVALID_VALUE; \
    blas_call call = call_of(handle, "cublas" #P "geam", TYPE, alpha, beta);                                                  \
    call.transpose_a = transpose_a;                                                                                           \
    call.transpose_b = transpose_b;                                                                                           \
    call.a = block(a, TYPE, transpose_a ? n : m, transpose_a ? m : n, lda);                                                   \
    call.b = block(b, TYPE, transpose_b ? n : m, transpose_b ? m : n, ldb);                                                   \
    call.c = block(c, TYPE, m, n, ldc);                                                                                       \
    return submit(handle, &call, do_geam);                                                                                    \
  }                                                                                                                           \
  cublasStatus_t cublas##P##dgmm##SUFFIX(cublasHandle_t handle, cublasSideMode_t mode, INT m, INT n, const T *a, INT lda,     \
                                         const T *x, INT incx, T *c, INT ldc) {                                               \
    CHECK_HANDLE();                                                                                                           \
    if ((mode != CUBLAS_SIDE_LEFT && mode != CUBLAS_SIDE_RIGHT) || m < 0 || n < 0 || lda < at_least_1(m) ||                   \
        ldc < at_least_1(m) || !incx)                                                                                         \
      return CUBLAS_STATUS_INVALID_VALUE;                                                                                     \
    if (!m || !n) return CUBLAS_STATUS_SUCCESS;                                                                               \
    if (!a || !x || !c) return CUBLAS_STATUS_INVALID_VALUE;                                                                   \
    blas_call call = call_of(handle, "cublas" #P "dgmm", TYPE, NULL, NULL);                                                   \
    call.left = mode == CUBLAS_SIDE_LEFT;                                                                                     \
    call.a = block(a, TYPE, m, n, lda);                                                                                       \
    call.c = block(c, TYPE, m, n, ldc);                                                                                       \
    call.x = (vector){x, call.left ? m : n, incx};                                                                            \
    return submit(handle, &call, do_dgmm);                                                                                    \
  }
LEVEL2(S, float, CUDA_R_32F, int, )
LEVEL2(S, float, CUDA_R_32F, int64_t, _64)
LEVEL2(D, double, CUDA_R_64F, int, )
LEVEL2(D, double, CUDA_R_64F, int64_t, _64)

/* ---- copies between host and device ---------------------------------------------------------------------------------------------- */
static cublasStatus_t copied(cudaError_t error) { return error ? CUBLAS_STATUS_MAPPING_ERROR : CUBLAS_STATUS_SUCCESS; }

cublasStatus_t cublasSetMatrix(int rows, int columns, int element, const void *a, int lda, void *b, int ldb) {
  if (rows < 0 || columns < 0 || element < 1 || lda < at_least_1(rows) || ldb < at_least_1(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  size_t e = (size_t)element;
  return copied(cudaMemcpy2D(b, (size_t)ldb * e, a, (size_t)lda * e, (size_t)rows * e, (size_t)columns, cudaMemcpyHostToDevice));
}
cublasStatus_t cublasGetMatrix(int rows, int columns, int element, const void *a, int lda, void *b, int ldb) {
  if (rows < 0 || columns < 0 || element < 1 || lda < at_least_1(rows) || ldb < at_least_1(rows)) return CUBLAS_STATUS_INVALID_VALUE;
  size_t e = (size_t)element;
  return copied(cudaMemcpy2D(b, (size_t)ldb * e, a, (size_t)lda * e, (size_t)rows * e, (size_t)columns, cudaMemcpyDeviceToHost));
}
cublasStatus_t cublasSetVector(int n, int element, const void *x, int incx, void *y, int incy) {
  if (n < 0 || element < 1 || incx < 1 || incy < 1) return CUBLAS_STATUS_INVALID_VALUE;
  return cublasSetMatrix(1, n, element, x, incx, y, incy);
}
cublasStatus_t cublasGetVector(int n, int element, const void *x, int incx, void *y, int incy) {
  if (n < 0 || element < 1 || incx < 1 || incy < 1) return CUBLAS_STATUS_INVALID_VALUE;
  return cublasGetMatrix(1, n, element, x, incx, y, incy);
}
