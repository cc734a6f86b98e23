// cublas and cublasLt against a naive host product: transposes, types, batches, scalars on the device, capture.
#include "check.h"
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cmath>
#include <vector>
#define BLAS(call)                                                                                                     \
  do {                                                                                                                 \
    cublasStatus_t status_ = (call);                                                                                   \
    if (status_) { failures++; printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cublasGetStatusString(status_)); } \
  } while (0)
#define BLAS_GIVES(expected, call)                                                                                          \
  do {                                                                                                                      \
    cublasStatus_t status_ = (call);                                                                                        \
    if (status_ != (expected)) { failures++; printf("%s:%d: %s gave %s\n", __FILE__, __LINE__, #call, cublasGetStatusName(status_)); } \
  } while (0)
static cublasHandle_t handle;
static cublasLtHandle_t lt;

template <class T> struct device_array {
  T *p;
  size_t n;
  explicit device_array(const std::vector<T> &h) : n(h.size()) {
    CUDA(cudaMalloc(&p, n * sizeof(T)));
    CUDA(cudaMemcpy(p, h.data(), n * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~device_array() { CUDA(cudaFree(p)); }
  std::vector<T> get() { std::vector<T> h(n); CUDA(cudaMemcpy(h.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost)); return h; }
};
static double pseudo(int i) { return ((i * 7919 + 13) % 17 - 8) / 4.0; } // exact in every type used here
template <class T> std::vector<T> numbers(size_t n, int seed) { std::vector<T> v(n); for (size_t i = 0; i < n; i++) v[i] = T(float(pseudo(int(i) + seed))); return v; }

template <class TA, class TC> static void gemm_all(cudaDataType ta, cudaDataType tc, cublasComputeType_t compute, double tolerance) {
  const int m = 13, n = 9, k = 21;
  for (int opa = 0; opa < 2; opa++)
    for (int opb = 0; opb < 2; opb++) {
      int lda = (opa ? k : m) + 3, ldb = (opb ? n : k) + 1, ldc = m + 2;
      auto ha = numbers<TA>(lda * (opa ? m : k), 1), hb = numbers<TA>(ldb * (opb ? k : n), 2);
      auto hc = numbers<TC>(ldc * n, 3);
      device_array<TA> a(ha), b(hb);
      device_array<TC> c(hc);
      float alpha_f = 1.5f, beta_f = -2;
      double alpha_d = 1.5, beta_d = -2;
      const void *alpha = compute == CUBLAS_COMPUTE_64F ? (void *)&alpha_d : &alpha_f, *beta = compute == CUBLAS_COMPUTE_64F ? (void *)&beta_d : &beta_f;
      BLAS(cublasGemmEx(handle, opa ? CUBLAS_OP_T : CUBLAS_OP_N, opb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, alpha, a.p, ta, lda,
                        b.p, ta, ldb, beta, c.p, tc, ldc, compute, CUBLAS_GEMM_DEFAULT));
      auto got = c.get();
      for (int j = 0; j < n; j++)
        for (int i = 0; i < ldc; i++) {
          double sum = 0;
          for (int l = 0; l < k && i < m; l++)
            sum += double(float(ha[opa ? l + i * lda : i + l * lda])) * double(float(hb[opb ? j + l * ldb : l + j * ldb]));
          double want = i < m ? 1.5 * sum - 2 * double(float(hc[i + j * ldc])) : double(float(hc[i + j * ldc]));
          if (!(std::fabs(double(float(got[i + j * ldc])) - want) <= tolerance * (1 + std::fabs(want)))) {
            failures++;
            printf("type %d op %d%d (%d,%d): %g, wanted %g\n", int(ta), opa, opb, i, j, double(float(got[i + j * ldc])), want);
            return;
          }
        }
    }
}
// Sizes around the tiles of the product, numbers that are not exact. A sum of k products in fp32, in any order, differs from
// the exact one by at most k u / (1 - k u) times the sum of the magnitudes (u = 2^-24), plus one rounding of the result.
static void sums(int m, int n, int k) {
  std::vector<float> ha(m * k), hb(k * n);
  for (int i = 0; i < m * k; i++) ha[i] = float(std::sin(i * 1.7 + 1));
  for (int i = 0; i < k * n; i++) hb[i] = float(std::cos(i * 2.3 + 2));
  device_array<float> a(ha), b(hb), c(std::vector<float>(m * n, NAN)), d(std::vector<float>(m, NAN));
  float one = 1, zero = 0;
  BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, a.p, m, b.p, k, &zero, c.p, m));
  BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, 1, k, &one, a.p, m, b.p + (n - 1) * k, k, &zero, d.p, m));
  auto got = c.get(), last = d.get();
  for (int j = 0; j < n; j++)
    for (int i = 0; i < m; i++) {
      double sum = 0, size = 0, bound = k * 0x1p-24 / (1 - k * 0x1p-24) + 0x1p-24;
      for (int l = 0; l < k; l++) { double p = double(ha[i + l * m]) * hb[l + j * k]; sum += p; size += std::fabs(p); }
      if (!(std::fabs(got[i + j * m] - sum) <= bound * size)) { failures++; printf("%d %d %d at %d %d: %g, wanted %g\n", m, n, k, i, j, got[i + j * m], sum); return; }
    }
  for (int i = 0; i < m; i++) EXPECT(got[i + (n - 1) * m] == last[i]); // a column does not depend on its neighbours
}
static void int8() {
  const int m = 8, n = 4, k = 12;
  std::vector<int8_t> ha(m * k), hb(k * n);
  for (int i = 0; i < m * k; i++) ha[i] = int8_t(i * 37 % 255 - 127);
  for (int i = 0; i < k * n; i++) hb[i] = int8_t(i * 91 % 255 - 127);
  device_array<int8_t> a(ha), b(hb);
  device_array<int> c(std::vector<int>(m * n, 5));
  int alpha = 1, beta = 2;
  BLAS(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, a.p, CUDA_R_8I, m, b.p, CUDA_R_8I, k, &beta, c.p, CUDA_R_32I, m,
                    CUBLAS_COMPUTE_32I, CUBLAS_GEMM_DEFAULT));
  auto got = c.get();
  for (int j = 0; j < n; j++)
    for (int i = 0; i < m; i++) {
      int sum = 10;
      for (int l = 0; l < k; l++) sum += int(ha[i + l * m]) * hb[l + j * k];
      EXPECT(got[i + j * m] == sum);
    }
}
static void tf32() {
  std::vector<float> one(1, 1.0f + 0x1p-12f), two(1, 1.0f);
  device_array<float> a(one), b(two), c(two);
  float alpha = 1, beta = 0;
  BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, a.p, 1, b.p, 1, &beta, c.p, 1));
  EXPECT(c.get()[0] == 1.0f + 0x1p-12f);
  BLAS(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH));
  BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &alpha, a.p, 1, b.p, 1, &beta, c.p, 1));
  EXPECT(c.get()[0] == 1.0f);
  BLAS(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH));
}
static void batches() {
  const int m = 3, n = 2, k = 4, count = 5;
  auto ha = numbers<float>(m * k * count, 4), hb = numbers<float>(k * n * count, 5);
  device_array<float> a(ha), b(hb), c(std::vector<float>(m * n * count, 0)), d(std::vector<float>(m * n * count, 0)), e(std::vector<float>(m * n * count, 0));
  float alpha = 1, beta = 0;
  BLAS(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, a.p, m, m * k, b.p, k, k * n, &beta, c.p, m, m * n, count));
  std::vector<float *> pa, pb, pd, pe;
  for (int i = 0; i < count; i++) { pa.push_back(a.p + i * m * k); pb.push_back(b.p + i * k * n); pd.push_back(d.p + i * m * n); pe.push_back(e.p + i * m * n); }
  device_array<float *> la(pa), lb(pb), ld(pd), le(pe);
  BLAS(cublasSgemmBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &alpha, la.p, m, lb.p, k, &beta, ld.p, m, count));
  cublasOperation_t ops[2] = {CUBLAS_OP_N, CUBLAS_OP_N};
  int ms[2] = {m, m}, ns[2] = {n, n}, ks[2] = {k, k}, sizes[2] = {2, 3};
  float alphas[2] = {1, 1}, betas[2] = {0, 0};
  BLAS(cublasGemmGroupedBatchedEx(handle, ops, ops, ms, ns, ks, alphas, (const void *const *)la.p, CUDA_R_32F, ms, (const void *const *)lb.p,
                                  CUDA_R_32F, ks, betas, (void *const *)le.p, CUDA_R_32F, ms, 2, sizes, CUBLAS_COMPUTE_32F));
  auto x = c.get(), y = d.get(), z = e.get();
  for (int i = 0; i < count; i++)
    for (int j = 0; j < n; j++)
      for (int r = 0; r < m; r++) {
        float sum = 0;
        for (int l = 0; l < k; l++) sum += ha[i * m * k + r + l * m] * hb[i * k * n + l + j * k];
        int at = i * m * n + r + j * m;
        EXPECT(x[at] == sum && y[at] == sum && z[at] == sum);
      }
}
static void vectors() {
  const int n = 30;
  auto hx = numbers<float>(n, 6), hy = numbers<float>(n, 7);
  device_array<float> x(hx), y(hy), r(std::vector<float>(1, 0));
  float dot = 0, sum = 0, norm = 0, want_dot = 0, want_sum = 0, want_norm = 0, alpha = 2;
  int index = 0, want_index = 1;
  for (int i = 0; i < n; i++) {
    want_dot += hx[i] * hy[i]; want_sum += std::fabs(hx[i]); want_norm += hx[i] * hx[i];
    if (std::fabs(hx[i]) > std::fabs(hx[want_index - 1])) want_index = i + 1;
  }
  BLAS(cublasSdot(handle, n, x.p, 1, y.p, 1, &dot));
  BLAS(cublasSasum(handle, n, x.p, 1, &sum));
  BLAS(cublasSnrm2(handle, n, x.p, 1, &norm));
  BLAS(cublasIsamax(handle, n, x.p, 1, &index));
  EXPECT(dot == want_dot && sum == want_sum && std::fabs(norm - std::sqrt(want_norm)) < 1e-5f && index == want_index);
  BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE));
  BLAS(cublasSdot(handle, n, x.p, 1, y.p, 1, r.p));
  EXPECT(r.get()[0] == want_dot);
  BLAS(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_HOST));
  BLAS(cublasSaxpy(handle, n, &alpha, x.p, 1, y.p, 1));
  BLAS(cublasSscal_64(handle, n / 2, &alpha, x.p, 2));
  auto gx = x.get(), gy = y.get();
  for (int i = 0; i < n; i++) EXPECT(gy[i] == hy[i] + 2 * hx[i] && gx[i] == hx[i] * (i % 2 ? 1 : 2));
  // geam transposes a 5 x 6 matrix; dgmm scales its rows; gemv and ger
  device_array<float> a(hx), t(std::vector<float>(n, 0)), v(std::vector<float>(5, 1)), w(std::vector<float>(6, 0));
  float one = 1, zero = 0;
  BLAS(cublasSgeam(handle, CUBLAS_OP_T, CUBLAS_OP_N, 6, 5, &one, a.p, 5, &zero, t.p, 6, t.p, 6));
  auto gt = t.get();
  for (int i = 0; i < 5; i++) for (int j = 0; j < 6; j++) EXPECT(gt[j + i * 6] == hx[i + j * 5]);
  BLAS(cublasSgemv(handle, CUBLAS_OP_T, 5, 6, &one, a.p, 5, v.p, 1, &zero, w.p, 1));
  auto gw = w.get();
  for (int j = 0; j < 6; j++) { float s = 0; for (int i = 0; i < 5; i++) s += hx[i + j * 5]; EXPECT(gw[j] == s); }
  BLAS(cublasSdgmm(handle, CUBLAS_SIDE_RIGHT, 5, 6, a.p, 5, w.p, 1, t.p, 5));
  gt = t.get();
  for (int i = 0; i < 5; i++) for (int j = 0; j < 6; j++) EXPECT(gt[i + j * 5] == hx[i + j * 5] * gw[j]);
  BLAS(cublasSger(handle, 5, 6, &one, v.p, 1, w.p, 1, a.p, 5));
  auto ga = a.get();
  for (int i = 0; i < 5; i++) for (int j = 0; j < 6; j++) EXPECT(ga[i + j * 5] == hx[i + j * 5] + gw[j]);
}
static void light() { // relu(a b + bias), row-major operands
  const int m = 4, n = 6, k = 5;
  auto ha = numbers<__half>(m * k, 8), hb = numbers<__half>(k * n, 9), bias = numbers<__half>(m, 10);
  device_array<__half> a(ha), b(hb), v(bias), d(std::vector<__half>(m * n));
  cublasLtMatmulDesc_t desc;
  cublasLtMatrixLayout_t la, lb, ld;
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  cublasLtOrder_t row = CUBLASLT_ORDER_ROW;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_RELU_BIAS;
  BLAS(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  BLAS(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue));
  BLAS(cublasLtMatmulDescSetAttribute(desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &v.p, sizeof v.p));
  BLAS(cublasLtMatrixLayoutCreate(&la, CUDA_R_16F, m, k, k)); // row-major
  BLAS(cublasLtMatrixLayoutSetAttribute(la, CUBLASLT_MATRIX_LAYOUT_ORDER, &row, sizeof row));
  BLAS(cublasLtMatrixLayoutCreate(&lb, CUDA_R_16F, k, n, k));
  BLAS(cublasLtMatrixLayoutCreate(&ld, CUDA_R_16F, m, n, m));
  BLAS(cublasLtMatmulPreferenceCreate(&preference));
  BLAS(cublasLtMatmulAlgoGetHeuristic(lt, desc, la, lb, ld, ld, preference, 1, &result, &found));
  EXPECT(found == 1);
  float alpha = 1, beta = 0;
  BLAS(cublasLtMatmul(lt, desc, &alpha, a.p, la, b.p, lb, &beta, d.p, ld, d.p, ld, &result.algo, nullptr, 0, 0));
  auto got = d.get();
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = float(bias[i]);
      for (int l = 0; l < k; l++) sum += float(ha[i * k + l]) * float(hb[l + j * k]);
      EXPECT(float(got[i + j * m]) == (sum > 0 ? sum : 0));
    }
  BLAS(cublasLtMatmulDescDestroy(desc)); BLAS(cublasLtMatrixLayoutDestroy(la)); BLAS(cublasLtMatrixLayoutDestroy(lb));
  BLAS(cublasLtMatrixLayoutDestroy(ld)); BLAS(cublasLtMatmulPreferenceDestroy(preference));
}
static void captured() {
  cudaStream_t s;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  device_array<float> a(std::vector<float>(4, 1)), b(std::vector<float>(4, 2)), c(std::vector<float>(4, 0));
  float alpha = 1, beta = 1;
  CUDA(cudaDeviceSynchronize());
  CUDA(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
  BLAS(cublasSetStream(handle, s));
  CUDA(cudaStreamBeginCapture(s, cudaStreamCaptureModeGlobal));
  BLAS(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &alpha, a.p, 2, b.p, 2, &beta, c.p, 2));
  alpha = 100; // was read at the call
  CUDA(cudaStreamEndCapture(s, &graph));
  CUDA(cudaGraphInstantiate(&exec, graph, 0));
  for (int i = 0; i < 3; i++) CUDA(cudaGraphLaunch(exec, s));
  CUDA(cudaStreamSynchronize(s));
  for (float x : c.get()) EXPECT(x == 12);
  BLAS(cublasSetStream(handle, 0));
  CUDA(cudaGraphExecDestroy(exec)); CUDA(cudaGraphDestroy(graph)); CUDA(cudaStreamDestroy(s));
}
static void statuses() {
  float x = 1, *p = nullptr;
  BLAS_GIVES(CUBLAS_STATUS_NOT_INITIALIZED, cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &x, p, 1, p, 1, &x, p, 1));
  BLAS_GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, -1, 1, 1, &x, p, 1, p, 1, &x, p, 1));
  BLAS_GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 4, 1, 1, &x, p, 3, p, 1, &x, p, 4));
  BLAS_GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSgemm(handle, (cublasOperation_t)9, CUBLAS_OP_N, 1, 1, 1, &x, p, 1, p, 1, &x, p, 1));
  BLAS_GIVES(CUBLAS_STATUS_NOT_SUPPORTED, cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &x, p, CUDA_R_16F, 1, p, CUDA_R_16BF, 1,
                                                       &x, p, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
  BLAS_GIVES(CUBLAS_STATUS_SUCCESS, cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 0, 1, 1, &x, p, 1, p, 1, &x, p, 1));
  BLAS_GIVES(CUBLAS_STATUS_INVALID_VALUE, cublasSetPointerMode(handle, (cublasPointerMode_t)7));
}
int main() {
  BLAS(cublasCreate(&handle));
  BLAS(cublasLtCreate(&lt));
  gemm_all<float, float>(CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-6);
  gemm_all<float, float>(CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 1e-6);
  gemm_all<double, double>(CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F, 1e-12);
  gemm_all<__half, __half>(CUDA_R_16F, CUDA_R_16F, CUBLAS_COMPUTE_32F, 1e-3);
  gemm_all<__half, float>(CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-6);
  gemm_all<__nv_bfloat16, __nv_bfloat16>(CUDA_R_16BF, CUDA_R_16BF, CUBLAS_COMPUTE_32F, 8e-3);
  gemm_all<__nv_bfloat16, float>(CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1e-6);
  for (int m : {1, 15, 16, 17, 48}) for (int n : {1, 5, 6, 7, 13}) for (int k : {1, 2, 100}) sums(m, n, k);
  int8(); tf32(); batches(); vectors(); light(); captured(); statuses();
  BLAS(cublasDestroy(handle));
  BLAS(cublasLtDestroy(lt));
  return DONE();
}
