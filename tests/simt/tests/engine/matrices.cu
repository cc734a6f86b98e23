// matrices.cu: device code for matrices_test.c: every form of mma.sync that a recurrent layer can want, ldmatrix, dp4a and
// cp.async. Fragments are filled element by element, as the tables of the PTX manual say. Compiled for sm_80 and up.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#define K extern "C" __global__ void

// A lane's row group and place in it. wrong: the planted bug, lanes counted down the columns instead.
struct lane_place { int g, t; };
__device__ lane_place place(int wrong) {
  int l = threadIdx.x;
  return wrong ? lane_place{l % 8, l / 8} : lane_place{l / 4, l % 4};
}
__device__ unsigned pack(unsigned short low, unsigned short high) { return low | (unsigned)high << 16; }
__device__ unsigned pack(const signed char *p, int step) {
  unsigned v = 0;
  for (int k = 0; k < 4; k++) v |= (unsigned)(unsigned char)p[k * step] << 8 * k;
  return v;
}
template <typename V> __device__ void store16x8(V *c, const V *d) {
  lane_place p = place(0);
  for (int i = 0; i < 4; i++) c[(p.g + i / 2 * 8) * 8 + p.t * 2 + i % 2] = d[i];
}

// ---- C (16, 8) = A (16, k) B (k, 8) + C, all row by row ------------------------------------------------------------------
// 16-bit inputs: register r of A holds row g (+8 for odd r), columns 2t and 2t + 1 (+8 from the third register on)
#define A16(r) pack(a[(p.g + (r) % 2 * 8) * k + p.t * 2 + (r) / 2 * 8], a[(p.g + (r) % 2 * 8) * k + p.t * 2 + 1 + (r) / 2 * 8])
#define B16(r) pack(b[(q.t * 2 + (r) * 8) * 8 + q.g], b[(q.t * 2 + 1 + (r) * 8) * 8 + q.g])
#define MMA_16(name, shape, type, depth) \
  K name(const unsigned short *a, const unsigned short *b, float *c, int wrong) { \
    const int k = depth; \
    lane_place p = place(wrong), q = place(0); \
    float d[4] = {1, 1, 1, 1}; \
    if (depth == 16) \
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(A16(0)), "r"(A16(1)), "r"(A16(2)), "r"(A16(3)), "r"(B16(0)), "r"(B16(1))); \
    else \
      asm volatile("mma.sync.aligned.m16n8k8.row.col.f32." type "." type ".f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
                   : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(A16(0)), "r"(A16(1)), "r"(B16(0))); \
    store16x8(c, d); \
  }
MMA_16(mma_f16_k8, "m16n8k8", "f16", 8)
MMA_16(mma_f16_k16, "m16n8k16", "f16", 16)
MMA_16(mma_bf16_k8, "m16n8k8", "bf16", 8)
MMA_16(mma_bf16_k16, "m16n8k16", "bf16", 16)

__device__ unsigned tf32(float v) { unsigned r; asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v)); return r; }
#define A32(r) tf32(a[(p.g + (r) % 2 * 8) * k + p.t + (r) / 2 * 4])
#define B32(r) tf32(b[(q.t + (r) * 4) * 8 + q.g])
K mma_tf32_k4(const float *a, const float *b, float *c, int wrong) {
  const int k = 4;
  lane_place p = place(wrong), q = place(0);
  float d[4] = {1, 1, 1, 1};
  asm volatile("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(A32(0)), "r"(A32(1)), "r"(B32(0)));
  store16x8(c, d);
}
K mma_tf32_k8(const float *a, const float *b, float *c, int wrong) {
  const int k = 8;
  lane_place p = place(wrong), q = place(0);
  float d[4] = {1, 1, 1, 1};
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(A32(0)), "r"(A32(1)), "r"(A32(2)), "r"(A32(3)), "r"(B32(0)), "r"(B32(1)));
  store16x8(c, d);
}

// 8-bit inputs: register r of A holds row g (+8 for odd r), columns 4t.. (+16 from the third register on)
#define A8(r) pack(a + (p.g + (r) % 2 * 8) * k + p.t * 4 + (r) / 2 * 16, 1)
#define B8(r) pack(b + (q.t * 4 + (r) * 16) * 8 + q.g, 8)
K mma_s8_k16(const signed char *a, const signed char *b, int *c, int wrong) {
  const int k = 16;
  lane_place p = place(wrong), q = place(0);
  int d[4] = {1, 1, 1, 1};
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(A8(0)), "r"(A8(1)), "r"(B8(0)));
  store16x8(c, d);
}
K mma_s8_k32(const signed char *a, const signed char *b, int *c, int wrong) {
  const int k = 32;
  lane_place p = place(wrong), q = place(0);
  int d[4] = {1, 1, 1, 1};
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3]) : "r"(A8(0)), "r"(A8(1)), "r"(A8(2)), "r"(A8(3)), "r"(B8(0)), "r"(B8(1)));
  store16x8(c, d);
}
K dot_products(const unsigned *a, const unsigned *b, int *c) {
  int l = threadIdx.x;
  c[l] = __dp4a((int)a[l], (int)b[l], 7);
  c[32 + l] = (int)__dp4a(a[l], b[l], 7u);
  asm("dp4a.s32.u32 %0, %1, %2, 7;" : "=r"(c[64 + l]) : "r"(a[l]), "r"(b[l]));
}

// ---- ldmatrix: registers as they come, for x1, x2, x4 and their transposes ------------------------------------------------
// stride: halves from row to row; 8 rows of each matrix, the matrices one below the other
#define LOAD(count, trans, ...) asm volatile("ldmatrix.sync.aligned.m8n8." count trans ".shared.b16 " __VA_ARGS__)
K load_matrices(const unsigned short *x, unsigned *y, int stride, int count, int trans) {
  extern __shared__ __align__(16) unsigned short s[];
  for (int i = threadIdx.x; i < 32 * 8; i += 32) s[i / 8 * stride + i % 8] = x[i];
  __syncwarp();
  unsigned r[4] = {0, 0, 0, 0}, at = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x % (8 * count) * stride]);
  if (count == 1 && !trans) LOAD("x1", "", "{%0}, [%1];" : "=r"(r[0]) : "r"(at));
  if (count == 1 && trans) LOAD("x1", ".trans", "{%0}, [%1];" : "=r"(r[0]) : "r"(at));
  if (count == 2 && !trans) LOAD("x2", "", "{%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at));
  if (count == 2 && trans) LOAD("x2", ".trans", "{%0,%1}, [%2];" : "=r"(r[0]), "=r"(r[1]) : "r"(at));
  if (count == 4 && !trans) LOAD("x4", "", "{%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
  if (count == 4 && trans) LOAD("x4", ".trans", "{%0,%1,%2,%3}, [%4];" : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at));
  for (int n = 0; n < 4; n++) y[n * 32 + threadIdx.x] = r[n];
}

// ---- planted bugs --------------------------------------------------------------------------------------------------------
// One warp stores the tile, the other loads it, and no barrier between them.
K bug_matrix_race(unsigned *y) {
  __shared__ __align__(16) unsigned s[32];
  if (threadIdx.x < 32) s[threadIdx.x] = threadIdx.x;
  else {
    unsigned r, at = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x % 8 * 4]);
    LOAD("x1", "", "{%0}, [%1];" : "=r"(r) : "r"(at));
    y[threadIdx.x - 32] = r;
  }
}
K bug_matrix_row(unsigned *y) { // rows are 16 bytes, aligned; these are 8 bytes off
  __shared__ __align__(16) unsigned s[64];
  s[threadIdx.x] = s[threadIdx.x + 32] = threadIdx.x;
  __syncwarp();
  unsigned r, at = (unsigned)__cvta_generic_to_shared(&s[threadIdx.x % 8 * 4 + 2]);
  LOAD("x1", "", "{%0}, [%1];" : "=r"(r) : "r"(at));
  y[threadIdx.x] = r;
}
K bug_matrix_some_lanes(float *c, int n) { // mma is for whole warps
  float d[4] = {0, 0, 0, 0};
  if ((int)threadIdx.x < n)
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4}, {%4}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "r"(0));
  c[threadIdx.x] = d[0];
}
K bug_async_early(const float4 *x, float *y) { // waits for all groups but one, and reads the one
  __shared__ float4 s[64];
  for (int g = 0; g < 2; g++) {
    __pipeline_memcpy_async(&s[g * 32 + threadIdx.x], &x[g * 32 + threadIdx.x], 16);
    __pipeline_commit();
  }
  __pipeline_wait_prior(1);
  y[threadIdx.x] = s[threadIdx.x].x + s[32 + threadIdx.x].x;
}
