/* gemm.c: matrix products on the host, for cublas and cublasLt.
 *
 * Products are summed in fp32 or fp64 by product.c; 16-bit inputs are widened first and the result rounded once, which is
 * what tensor cores with an fp32 accumulator do up to the order of the additions. int8 products are exact. */
#include "gemm.h"
#include "product.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- number formats ---------------------------------------------------------------------------------------------------- */
size_t gemm_element(cudaDataType_t type) {
  switch (type) {
  case CUDA_R_64F: return 8;
  case CUDA_R_32F: case CUDA_R_32I: return 4;
  case CUDA_R_16F: case CUDA_R_16BF: return 2;
  case CUDA_R_8I: return 1;
  default: return 0;
  }
}

static float float_of_bits(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
static uint32_t bits_of_float(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }

static float half_to_float(uint16_t h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent) return float_of_bits(sign | (exponent + 112) << 23 | fraction << 13);
  float tiny = (float)fraction * 0x1p-24f;
  return sign ? -tiny : tiny;
}

/* Round to nearest, ties to even. */
static uint16_t float_to_half(float value) {
  uint32_t bits = bits_of_float(value), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
  if (magnitude < 0x38800000) { /* subnormal half: count in units of 2^-24 */
    float scaled = float_of_bits(magnitude) * 0x1p24f;
    return (uint16_t)(sign | (uint32_t)rintf(scaled));
  }
  uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | (rounded - 0x38000000) >> 13);
}

static uint16_t float_to_bfloat(float value) {
  uint32_t bits = bits_of_float(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float round_tf32(float value) { /* 10 bits of fraction, to nearest, ties away from zero */
  uint32_t bits = bits_of_float(value);
  if ((bits & 0x7f800000) == 0x7f800000) return value;
  return float_of_bits((bits + 0x1000) & ~(uint32_t)0x1fff);
}

double gemm_load(const void *element, cudaDataType_t type) {
  switch (type) {
  case CUDA_R_64F: return *(const double *)element;
  case CUDA_R_32F: return *(const float *)element;
  case CUDA_R_32I: return *(const int32_t *)element;
  case CUDA_R_16F: return half_to_float(*(const uint16_t *)element);
  case CUDA_R_16BF: return float_of_bits((uint32_t)*(const uint16_t *)element << 16);
  default: return *(const int8_t *)element;
  }
}

void gemm_store(void *element, cudaDataType_t type, double value) {
  switch (type) {
  case CUDA_R_64F: *(double *)element = value; break;
  case CUDA_R_32F: *(float *)element = (float)value; break;
  case CUDA_R_32I: *(int32_t *)element = (int32_t)value; break;
  case CUDA_R_16F: *(uint16_t *)element = float_to_half((float)value); break;
  case CUDA_R_16BF: *(uint16_t *)element = float_to_bfloat((float)value); break;
  default: *(int8_t *)element = (int8_t)(value > 127 ? 127 : value < -128 ? -128 : rint(value));
  }
}

/* ---- scalars ------------------------------------------------------------------------------------------------------------- */
gemm_scalar gemm_scalar_of(const void *pointer, cudaDataType_t type, bool on_device) {
  if (on_device) return (gemm_scalar){pointer, type, 0};
  return (gemm_scalar){NULL, type, gemm_load(pointer, type)};
}
bool gemm_scalar_read(const char *call, const char *what, const gemm_scalar *scalar, double *value) {
  *value = scalar->value;
  if (!scalar->device) return true;
  const void *host = rt_touch(call, what, scalar->device, gemm_element(scalar->type), true, false);
  if (host) *value = gemm_load(host, scalar->type);
  return host != NULL;
}

/* ---- operands ------------------------------------------------------------------------------------------------------------- */
void *gemm_touch(const char *call, const char *what, const void *pointer, size_t element, int64_t rows, int64_t columns,
                 int64_t ld, bool reads, bool writes) {
  if (rows < 1 || columns < 1) return (void *)pointer;
  size_t row_bytes = (size_t)rows * element, step = (size_t)ld * element, whole = (size_t)(columns - 1) * step + row_bytes;
  bool packed = row_bytes == step;
  void *host = rt_touch(call, what, pointer, whole, reads && packed, writes && packed);
  if (!host || packed) return host;
  bool undefined = reads && rt_first_undefined(pointer, whole) < whole; /* only then is each column worth a look */
  for (int64_t j = 0; j < columns; j++) {
    const char *column = (const char *)pointer + (size_t)j * step;
    if (undefined && rt_first_undefined(column, row_bytes) < row_bytes) {
      rt_touch(call, what, column, row_bytes, true, false); /* reports it */
      undefined = false;
    }
    if (writes) rt_define(column, row_bytes);
  }
  return host;
}

static void *touch_matrix(const gemm_call *call, const char *what, const gemm_matrix *matrix, const void *pointer,
                          bool reads, bool writes) {
  bool row = matrix->row_major;
  return gemm_touch(call->name, what, pointer, gemm_element(matrix->type), row ? matrix->columns : matrix->rows,
                    row ? matrix->rows : matrix->columns, matrix->ld, reads, writes);
}

static const void *matrix_pointer(const gemm_call *call, const char *what, const gemm_matrix *matrix, int64_t batch) {
  if (!matrix->listed) return (const char *)matrix->pointer + batch * matrix->stride * (int64_t)gemm_element(matrix->type);
  const void *const *entry = (const void *const *)matrix->pointer + matrix->list_offset + batch;
  char text[64];
  snprintf(text, sizeof text, "the array of pointers to %s", what);
  const void *const *host = rt_touch(call->name, text, entry, sizeof *entry, true, false);
  return host ? *host : NULL;
}

static size_t place(const gemm_matrix *matrix, int64_t i, int64_t j) {
  return (size_t)(matrix->row_major ? i * matrix->ld + j : i + j * matrix->ld) * gemm_element(matrix->type);
}

/* A packed column-major copy, as float or double, rounded to TF32 when the hardware would. */
static void *widen(const gemm_matrix *matrix, const char *host, bool as_double, bool tf32) {
  size_t count = (size_t)matrix->rows * (size_t)matrix->columns;
  void *copy = malloc(count * (as_double ? 8 : 4) + 8);
  size_t at = 0;
  for (int64_t j = 0; j < matrix->columns; j++)
    for (int64_t i = 0; i < matrix->rows; i++, at++) {
      double value = gemm_load(host + place(matrix, i, j), matrix->type);
      if (as_double) ((double *)copy)[at] = value;
      else ((float *)copy)[at] = tf32 ? round_tf32((float)value) : (float)value;
    }
  return copy;
}

/* ---- one product ----------------------------------------------------------------------------------------------------------- */
typedef struct operands { const char *a, *b, *c; char *d; double alpha, beta; int64_t batch; const char *bias; } operands;

static int32_t *multiply_int8(const gemm_call *call, const operands *o) {
  int32_t *product = calloc((size_t)(call->m * call->n) + 1, sizeof *product);
  for (int64_t j = 0; j < call->n; j++)
    for (int64_t i = 0; i < call->m; i++) {
      uint32_t sum = 0; /* wraps as the hardware's does */
      for (int64_t l = 0; l < call->k; l++)
        sum += (uint32_t)((int)*(const int8_t *)(o->a + (call->transpose_a ? place(&call->a, l, i) : place(&call->a, i, l))) *
                          (int)*(const int8_t *)(o->b + (call->transpose_b ? place(&call->b, j, l) : place(&call->b, l, j))));
      product[i + j * call->m] = (int32_t)sum;
    }
  return product;
}

/* Where the steps to the next row and the next column of op(matrix) lead, in elements. */
typedef struct steps { int64_t row, column; } steps;
static steps steps_of(bool row_major, int64_t ld, bool transpose) {
  return row_major != transpose ? (steps){ld, 1} : (steps){1, ld};
}

static void *multiply_floating(const gemm_call *call, const operands *o, bool as_double) {
  void *product = calloc((size_t)(call->m * call->n) + 1, as_double ? 8 : 4);
  if (o->alpha == 0 || !call->k) return product;
  bool as_they_lie = call->a.type == (as_double ? CUDA_R_64F : CUDA_R_32F) && !call->tf32; /* both have one type */
  void *a = as_they_lie ? NULL : widen(&call->a, o->a, as_double, call->tf32);
  void *b = as_they_lie ? NULL : widen(&call->b, o->b, as_double, call->tf32);
  steps sa = steps_of(!a && call->a.row_major, a ? call->a.rows : call->a.ld, call->transpose_a);
  steps sb = steps_of(!b && call->b.row_major, b ? call->b.rows : call->b.ld, call->transpose_b);
  const void *from_a = a ? a : o->a, *from_b = b ? b : o->b;
  if (as_double)
    gemm_product_double(call->m, call->n, call->k, from_a, sa.row, sa.column, from_b, sb.row, sb.column, product);
  else gemm_product_float(call->m, call->n, call->k, from_a, sa.row, sa.column, from_b, sb.row, sb.column, product);
  free(a);
  free(b);
  return product;
}

static double epilogue(const gemm_call *call, const operands *o, double value, int64_t row) {
  if (call->bias) value += gemm_load(o->bias + (size_t)row * gemm_element(call->bias_type), call->bias_type);
  if (call->relu && value < 0) value = 0;
  if (call->gelu) value = 0.5 * value * (1 + tanh(0.7978845608028654 * (value + 0.044715 * value * value * value)));
  return value;
}

static void multiply(const gemm_call *call, const operands *o) {
  bool as_double = call->d.type == CUDA_R_64F, exact = call->a.type == CUDA_R_8I && call->d.type == CUDA_R_32I;
  void *product = exact ? (void *)multiply_int8(call, o) : multiply_floating(call, o, as_double);
  for (int64_t j = 0; j < call->n; j++)
    for (int64_t i = 0; i < call->m; i++) {
      size_t at = (size_t)(i + j * call->m);
      double sum = exact ? ((int32_t *)product)[at] : as_double ? ((double *)product)[at] : ((float *)product)[at];
      double value = o->alpha == 0 ? 0 : o->alpha * sum;
      if (!as_double && !exact) value = (float)value;
      if (o->beta != 0) value += o->beta * gemm_load(o->c + place(&call->c, i, j), call->c.type);
      gemm_store(o->d + place(&call->d, i, j), call->d.type, epilogue(call, o, value, i));
    }
  free(product);
}

static bool one(const gemm_call *call, operands *o) {
  const void *a = matrix_pointer(call, "A", &call->a, o->batch), *b = matrix_pointer(call, "B", &call->b, o->batch);
  const void *c = matrix_pointer(call, "C", &call->c, o->batch), *d = matrix_pointer(call, "D", &call->d, o->batch);
  if (rt_sticky()) return false;
  bool reads = o->alpha != 0 && call->k > 0, reads_c = o->beta != 0;
  if (reads) {
    o->a = touch_matrix(call, "A", &call->a, a, true, false);
    o->b = touch_matrix(call, "B", &call->b, b, true, false);
    if (!o->a || !o->b) return false;
  }
  if (reads_c) o->c = touch_matrix(call, "C", &call->c, c, true, false);
  o->d = touch_matrix(call, "C", &call->d, d, false, true);
  if ((reads_c && !o->c) || !o->d) return false;
  if (call->bias) {
    const char *bias = (const char *)call->bias_pointer + o->batch * call->bias_stride * (int64_t)gemm_element(call->bias_type);
    o->bias = gemm_touch(call->name, "the bias", bias, gemm_element(call->bias_type), call->m, 1, call->m, true, false);
    if (!o->bias) return false;
  }
  multiply(call, o);
  return true;
}

static bool use_workspace(const gemm_call *call) {
  if (!call->workspace) return true;
  void *host = rt_resolve(call->workspace, call->workspace_bytes);
  if (!host || !rt_is_device(call->workspace)) /* gone since it was given: the same check says so */
    return rt_touch(call->name, "the workspace", call->workspace, call->workspace_bytes, false, true) != NULL;
  simt_mem_scribble(call->workspace, call->workspace_bytes);
  return true;
}

static void perform(void *data) {
  const gemm_call *call = data;
  operands o = {0};
  if (!use_workspace(call)) return;
  if (!gemm_scalar_read(call->name, "alpha", &call->alpha, &o.alpha) ||
      !gemm_scalar_read(call->name, "beta", &call->beta, &o.beta))
    return;
  for (o.batch = 0; o.batch < call->batches; o.batch++)
    if (!one(call, &o)) return;
  if (call->default_workspace) simt_report_default_workspace(call->name);
  uint64_t b = (uint64_t)call->batches, m = (uint64_t)call->m, n = (uint64_t)call->n, k = (uint64_t)call->k;
  simt_report_call(call->name, 2 * b * m * n * k,
                   b * (m * k * gemm_element(call->a.type) + k * n * gemm_element(call->b.type) +
                        m * n * gemm_element(call->d.type) * (o.beta != 0 ? 2 : 1)));
}

/* The combinations of types that cublasGemmEx documents, less the complex and 8-bit float ones. */
bool gemm_types_ok(const gemm_call *call) {
  cudaDataType_t a = call->a.type, c = call->d.type;
  if (a != call->b.type || call->c.type != c || !gemm_element(a) || !gemm_element(c)) return false;
  switch (call->compute) {
  case CUBLAS_COMPUTE_16F: case CUBLAS_COMPUTE_16F_PEDANTIC: return a == CUDA_R_16F && c == CUDA_R_16F;
  case CUBLAS_COMPUTE_32I: case CUBLAS_COMPUTE_32I_PEDANTIC:
    return a == CUDA_R_8I && (c == CUDA_R_32I || c == CUDA_R_8I);
  case CUBLAS_COMPUTE_64F: case CUBLAS_COMPUTE_64F_PEDANTIC: return a == CUDA_R_64F && c == CUDA_R_64F;
  case CUBLAS_COMPUTE_32F: case CUBLAS_COMPUTE_32F_PEDANTIC:
    return (a == CUDA_R_32F && c == CUDA_R_32F) || ((a == CUDA_R_16F || a == CUDA_R_16BF) && (c == a || c == CUDA_R_32F)) ||
           (a == CUDA_R_8I && c == CUDA_R_32F);
  case CUBLAS_COMPUTE_32F_FAST_16F: case CUBLAS_COMPUTE_32F_FAST_16BF: case CUBLAS_COMPUTE_32F_FAST_TF32:
  case CUBLAS_COMPUTE_32F_EMULATED_16BFX9: return a == CUDA_R_32F && c == CUDA_R_32F;
  default: return false;
  }
}

cublasStatus_t gemm_status(cudaError_t error) {
  switch (error) {
  case cudaSuccess: return CUBLAS_STATUS_SUCCESS;
  case cudaErrorNotSupported: return CUBLAS_STATUS_NOT_SUPPORTED;
  default: return CUBLAS_STATUS_EXECUTION_FAILED;
  }
}

cublasStatus_t gemm_submit(cudaStream_t stream, const gemm_call *call) {
  cudaError_t error = rt_submit_call(stream, call->name, perform, call, sizeof *call);
  if (error) return gemm_status(error);
  simt_count_one(SIMT_COUNT_cublas_calls);
  simt_count_one(SIMT_COUNT_cublas_gemms);
  if (call->default_workspace) simt_count_one(SIMT_COUNT_default_workspace);
  return CUBLAS_STATUS_SUCCESS;
}
