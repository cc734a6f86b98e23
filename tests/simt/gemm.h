/* gemm.h: the matrix product that cublas and cublasLt share, and checked access to their operands. */
#ifndef GEMM_H
#define GEMM_H
#include "runtime.h"

#include <cublas_api.h>

typedef struct gemm_scalar {
  const void *device;        /* not NULL: read there when the work runs */
  cudaDataType_t type;
  double value;
} gemm_scalar;

typedef struct gemm_matrix { /* as it lies in memory; element (i,j) at i + j*ld, or i*ld + j when row-major */
  const void *pointer;       /* the first matrix; or, when listed, a device array of pointers to each */
  bool listed;
  size_t list_offset;        /* first entry of the list */
  cudaDataType_t type;
  int64_t rows, columns, ld, stride;
  bool row_major;
} gemm_matrix;

typedef struct gemm_call {
  char name[40];
  bool transpose_a, transpose_b;
  int64_t m, n, k, batches;
  gemm_matrix a, b, c, d;    /* d = alpha op(a) op(b) + beta c, then the epilogue */
  gemm_scalar alpha, beta;
  cublasComputeType_t compute;
  bool tf32;
  bool relu, gelu, bias;
  const void *bias_pointer;
  cudaDataType_t bias_type;
  int64_t bias_stride;
  void *workspace;           /* the user's: must be live when the work runs, which leaves garbage in it; NULL: none */
  size_t workspace_bytes;
  bool default_workspace;    /* cublas would use memory of its own */
} gemm_call;

size_t gemm_element(cudaDataType_t type);                 /* bytes; 0: not a supported type */
bool gemm_types_ok(const gemm_call *call);
cublasStatus_t gemm_status(cudaError_t error);
cublasStatus_t gemm_submit(cudaStream_t stream, const gemm_call *call);
double gemm_load(const void *element, cudaDataType_t type);
void gemm_store(void *element, cudaDataType_t type, double value);
gemm_scalar gemm_scalar_of(const void *pointer, cudaDataType_t type, bool on_device);
bool gemm_scalar_read(const char *call, const char *what, const gemm_scalar *scalar, double *value);
/* Checks columns x rows elements, rows of them contiguous and columns ld apart, and returns the host's alias of them. */
void *gemm_touch(const char *call, const char *what, const void *pointer, size_t element, int64_t rows, int64_t columns,
                 int64_t ld, bool reads, bool writes);
#endif
