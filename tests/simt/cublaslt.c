/* cublaslt.c: cublasLt: descriptors, one algorithm per problem, matmul. */
#include "gemm.h"

#include <cublasLt.h>
#include <stdlib.h>
#include <string.h>

struct cublasLtContext { int device; };

/* The descriptors live in the caller's opaque structures (the Init calls) or in memory of ours (the Create calls). */
typedef struct matmul_desc {
  uint32_t compute, scale_type, pointer_mode, transpose[3], fill, epilogue;
  const void *bias;
  int64_t bias_stride;
  int32_t bias_type, sm_count;
  int8_t fast_accumulate;
} matmul_desc;
typedef struct layout {
  uint32_t type, order;
  uint64_t rows, columns;
  int64_t ld, stride;
  int32_t batches;
} layout;
typedef struct preference { uint64_t workspace; uint32_t search, reduction; } preference;
_Static_assert(sizeof(matmul_desc) <= sizeof(cublasLtMatmulDescOpaque_t), "matmul_desc");
_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "layout");
_Static_assert(sizeof(preference) <= sizeof(cublasLtMatmulPreferenceOpaque_t), "preference");

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  if (!handle) return CUBLAS_STATUS_INVALID_VALUE;
  *handle = calloc(1, sizeof(struct cublasLtContext));
  rt_handle_add(*handle, RT_CUBLASLT);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  if (!rt_handle_is(handle, RT_CUBLASLT)) return CUBLAS_STATUS_NOT_INITIALIZED;
  rt_handle_remove(handle);
  free(handle);
  return CUBLAS_STATUS_SUCCESS;
}
size_t cublasLtGetVersion(void) { return CUBLAS_VERSION; }
size_t cublasLtGetCudartVersion(void) { return CUDART_VERSION; }

/* ---- descriptors ---------------------------------------------------------------------------------------------------------- */
typedef struct field { int id; size_t offset, bytes; } field;
#define FIELD(id, type, member) {id, offsetof(type, member), sizeof(((type *)0)->member)}
static const field desc_fields[] = {
    FIELD(CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, matmul_desc, compute), FIELD(CUBLASLT_MATMUL_DESC_SCALE_TYPE, matmul_desc, scale_type),
    FIELD(CUBLASLT_MATMUL_DESC_POINTER_MODE, matmul_desc, pointer_mode), FIELD(CUBLASLT_MATMUL_DESC_TRANSA, matmul_desc, transpose[0]),
    FIELD(CUBLASLT_MATMUL_DESC_TRANSB, matmul_desc, transpose[1]), FIELD(CUBLASLT_MATMUL_DESC_TRANSC, matmul_desc, transpose[2]),
    FIELD(CUBLASLT_MATMUL_DESC_FILL_MODE, matmul_desc, fill), FIELD(CUBLASLT_MATMUL_DESC_EPILOGUE, matmul_desc, epilogue),
    FIELD(CUBLASLT_MATMUL_DESC_BIAS_POINTER, matmul_desc, bias), FIELD(CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, matmul_desc, bias_stride),
    FIELD(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, matmul_desc, bias_type), FIELD(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, matmul_desc, sm_count),
    FIELD(CUBLASLT_MATMUL_DESC_FAST_ACCUM, matmul_desc, fast_accumulate), {-1, 0, 0}};
static const field layout_fields[] = {
    FIELD(CUBLASLT_MATRIX_LAYOUT_TYPE, layout, type), FIELD(CUBLASLT_MATRIX_LAYOUT_ORDER, layout, order),
    FIELD(CUBLASLT_MATRIX_LAYOUT_ROWS, layout, rows), FIELD(CUBLASLT_MATRIX_LAYOUT_COLS, layout, columns),
    FIELD(CUBLASLT_MATRIX_LAYOUT_LD, layout, ld), FIELD(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, layout, batches),
    FIELD(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, layout, stride), {-1, 0, 0}};
static const field preference_fields[] = {
    FIELD(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, preference, workspace), FIELD(CUBLASLT_MATMUL_PREF_SEARCH_MODE, preference, search),
    FIELD(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, preference, reduction), {-1, 0, 0}};

static cublasStatus_t set_field(const field *fields, void *object, int id, const void *value, size_t bytes) {
  if (!object || !value) return CUBLAS_STATUS_INVALID_VALUE;
  for (; fields->id >= 0; fields++)
    if (fields->id == id) {
      if (bytes != fields->bytes) return CUBLAS_STATUS_INVALID_VALUE;
      memcpy((char *)object + fields->offset, value, bytes);
      return CUBLAS_STATUS_SUCCESS;
    }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
static cublasStatus_t get_field(const field *fields, const void *object, int id, void *value, size_t bytes, size_t *written) {
  if (!object) return CUBLAS_STATUS_INVALID_VALUE;
  for (; fields->id >= 0; fields++)
    if (fields->id == id) {
      if (written) *written = fields->bytes;
      if (!value || bytes < fields->bytes) return bytes ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
      memcpy(value, (const char *)object + fields->offset, fields->bytes);
      return CUBLAS_STATUS_SUCCESS;
    }
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t bytes, cublasComputeType_t compute, cudaDataType_t scale) {
  if (!desc || bytes < sizeof(matmul_desc)) return CUBLAS_STATUS_INVALID_VALUE;
  memset(desc, 0, bytes);
  *(matmul_desc *)desc = (matmul_desc){.compute = compute, .scale_type = scale, .fill = CUBLAS_FILL_MODE_FULL,
                                       .epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *desc, cublasComputeType_t compute, cudaDataType_t scale) {
  if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
  *desc = malloc(sizeof **desc);
  return cublasLtMatmulDescInit_internal(*desc, sizeof **desc, compute, scale);
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) { free(desc); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id, const void *value, size_t bytes) {
  return set_field(desc_fields, desc, (int)id, value, bytes);
}
cublasStatus_t cublasLtMatmulDescGetAttribute(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t id, void *value, size_t bytes, size_t *written) {
  return get_field(desc_fields, desc, (int)id, value, bytes, written);
}

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t desc, size_t bytes, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
  if (!desc || bytes < sizeof(layout)) return CUBLAS_STATUS_INVALID_VALUE;
  memset(desc, 0, bytes);
  *(layout *)desc = (layout){.type = type, .rows = rows, .columns = columns, .ld = ld, .batches = 1};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *desc, cudaDataType type, uint64_t rows, uint64_t columns, int64_t ld) {
  if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
  *desc = malloc(sizeof **desc);
  return cublasLtMatrixLayoutInit_internal(*desc, sizeof **desc, type, rows, columns, ld);
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t desc) { free(desc); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t desc, cublasLtMatrixLayoutAttribute_t id, const void *value, size_t bytes) {
  return set_field(layout_fields, desc, (int)id, value, bytes);
}
cublasStatus_t cublasLtMatrixLayoutGetAttribute(cublasLtMatrixLayout_t desc, cublasLtMatrixLayoutAttribute_t id, void *value, size_t bytes, size_t *written) {
  return get_field(layout_fields, desc, (int)id, value, bytes, written);
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t desc, size_t bytes) {
  if (!desc || bytes < sizeof(preference)) return CUBLAS_STATUS_INVALID_VALUE;
  memset(desc, 0, bytes);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *desc) {
  if (!desc) return CUBLAS_STATUS_INVALID_VALUE;
  *desc = malloc(sizeof **desc);
  return cublasLtMatmulPreferenceInit_internal(*desc, sizeof **desc);
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t desc) { free(desc); return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t desc, cublasLtMatmulPreferenceAttributes_t id, const void *value, size_t bytes) {
  cublasStatus_t status = set_field(preference_fields, desc, (int)id, value, bytes);
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? CUBLAS_STATUS_SUCCESS : status; /* the rest only steer the search */
}
cublasStatus_t cublasLtMatmulPreferenceGetAttribute(cublasLtMatmulPreference_t desc, cublasLtMatmulPreferenceAttributes_t id, void *value, size_t bytes, size_t *written) {
  return get_field(preference_fields, desc, (int)id, value, bytes, written);
}

/* ---- matmul ----------------------------------------------------------------------------------------------------------------- */
static gemm_matrix matrix_of(const void *pointer, const layout *l) {
  return (gemm_matrix){.pointer = pointer, .type = (cudaDataType_t)l->type, .rows = (int64_t)l->rows, .columns = (int64_t)l->columns,
                       .ld = l->ld, .stride = l->stride, .row_major = l->order == CUBLASLT_ORDER_ROW};
}

static bool layout_ok(const layout *l) {
  return l->batches >= 1 && l->ld >= (int64_t)(l->order == CUBLASLT_ORDER_ROW ? l->columns : l->rows);
}

static cublasStatus_t set_epilogue(gemm_call *call, const matmul_desc *desc) {
  switch (desc->epilogue) {
  case CUBLASLT_EPILOGUE_DEFAULT: break;
  case CUBLASLT_EPILOGUE_RELU: call->relu = true; break;
  case CUBLASLT_EPILOGUE_BIAS: call->bias = true; break;
  case CUBLASLT_EPILOGUE_RELU_BIAS: call->relu = call->bias = true; break;
  case CUBLASLT_EPILOGUE_GELU: call->gelu = true; break;
  case CUBLASLT_EPILOGUE_GELU_BIAS: call->gelu = call->bias = true; break;
  default: return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  call->bias_pointer = desc->bias;
  call->bias_stride = desc->bias_stride;
  call->bias_type = desc->bias_type >= 0 ? (cudaDataType_t)desc->bias_type : call->d.type;
  return call->bias && (!desc->bias || !gemm_element(call->bias_type)) ? CUBLAS_STATUS_INVALID_VALUE : CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t describe(gemm_call *call, const matmul_desc *desc, const layout *a, const layout *b, const layout *c, const layout *d) {
  if (!desc || !a || !b || !c || !d) return CUBLAS_STATUS_INVALID_VALUE;
  *call = (gemm_call){.name = "cublasLtMatmul", .compute = (cublasComputeType_t)desc->compute,
                      .tf32 = desc->compute == CUBLAS_COMPUTE_32F_FAST_TF32};
  const layout *all[] = {a, b, c, d};
  for (int i = 0; i < 4; i++) {
    if (all[i]->order > CUBLASLT_ORDER_ROW) return CUBLAS_STATUS_NOT_SUPPORTED;
    if (!layout_ok(all[i]) || all[i]->batches != d->batches) return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (desc->transpose[2] || desc->fill != CUBLAS_FILL_MODE_FULL) return CUBLAS_STATUS_NOT_SUPPORTED;
  call->transpose_a = desc->transpose[0] != CUBLAS_OP_N;
  call->transpose_b = desc->transpose[1] != CUBLAS_OP_N;
  call->m = (int64_t)(call->transpose_a ? a->columns : a->rows);
  call->k = (int64_t)(call->transpose_a ? a->rows : a->columns);
  call->n = (int64_t)(call->transpose_b ? b->rows : b->columns);
  call->batches = d->batches;
  if ((int64_t)(call->transpose_b ? b->columns : b->rows) != call->k || (int64_t)d->rows != call->m ||
      (int64_t)d->columns != call->n || c->rows != d->rows || c->columns != d->columns)
    return CUBLAS_STATUS_INVALID_VALUE;
  call->a = matrix_of(NULL, a);
  call->b = matrix_of(NULL, b);
  call->c = matrix_of(NULL, c);
  call->d = matrix_of(NULL, d);
  if (!gemm_types_ok(call)) return CUBLAS_STATUS_NOT_SUPPORTED;
  return set_epilogue(call, desc);
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preferences, int wanted,
                                              cublasLtMatmulHeuristicResult_t *results, int *found) {
  if (!rt_handle_is(handle, RT_CUBLASLT) && !rt_handle_is(handle, RT_CUBLAS)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (!preferences || wanted < 1 || !results || !found) return CUBLAS_STATUS_INVALID_VALUE;
  gemm_call call;
  *found = 0;
  cublasStatus_t status = describe(&call, (matmul_desc *)desc, (layout *)a, (layout *)b, (layout *)c, (layout *)d);
  if (status) return status;
  memset(results, 0, sizeof *results);
  results->algo.data[0] = 0x73696d74; /* the one algorithm there is */
  results->state = CUBLAS_STATUS_SUCCESS;
  results->wavesCount = 1;
  *found = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha, const void *a,
                              cublasLtMatrixLayout_t la, const void *b, cublasLtMatrixLayout_t lb, const void *beta,
                              const void *c, cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *algo, void *workspace, size_t workspace_bytes, cudaStream_t stream) {
  (void)algo;
  if (!rt_handle_is(handle, RT_CUBLASLT) && !rt_handle_is(handle, RT_CUBLAS)) return CUBLAS_STATUS_NOT_INITIALIZED;
  gemm_call call;
  cublasStatus_t status = describe(&call, (matmul_desc *)desc, (layout *)la, (layout *)lb, (layout *)lc, (layout *)ld);
  if (status) return status;
  if (!alpha || !beta || !a || !b || !d) return CUBLAS_STATUS_INVALID_VALUE;
  const matmul_desc *m = (matmul_desc *)desc;
  if (m->pointer_mode > CUBLASLT_POINTER_MODE_DEVICE || !gemm_element((cudaDataType_t)m->scale_type)) return CUBLAS_STATUS_NOT_SUPPORTED;
  bool on_device = m->pointer_mode == CUBLASLT_POINTER_MODE_DEVICE;
  call.alpha = gemm_scalar_of(alpha, (cudaDataType_t)m->scale_type, on_device);
  call.beta = gemm_scalar_of(beta, (cudaDataType_t)m->scale_type, on_device);
  if (!c && (on_device || call.beta.value != 0)) return CUBLAS_STATUS_INVALID_VALUE;
  call.a.pointer = a;
  call.b.pointer = b;
  call.c.pointer = c ? c : d;
  call.d.pointer = d;
  if (workspace && (uintptr_t)workspace % 256) return CUBLAS_STATUS_INVALID_VALUE;
  call.workspace = workspace_bytes ? workspace : NULL; /* without one cublasLt does without: it never allocates */
  call.workspace_bytes = workspace_bytes;
  rt_lock();
  status = rt_sticky() ? CUBLAS_STATUS_EXECUTION_FAILED : gemm_submit(stream, &call);
  rt_unlock();
  return status;
}
