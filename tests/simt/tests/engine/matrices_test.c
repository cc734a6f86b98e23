/* matrices_test: mma.sync, ldmatrix, dp4a and cp.async against plain C. See harness.h. */
#define SOURCE "matrices.cu:"
#include "harness.h"

static uint16_t bf16_bits(float v) { uint32_t b; memcpy(&b, &v, 4); return (uint16_t)(b >> 16); }

/* Inputs are small whole numbers over a power of two, so that every sum is exact whatever its order, and the formats hold
 * them exactly: a result is right or wrong. f16 and bf16 both hold 8 bits and more. */
static float small(void) { return (float)((int)(random32() % 255) - 127) / 16; }

enum { F16, BF16, TF32, S8 };
static size_t put(void *to, int n, int type, double v) {
  float f = (float)v;
  switch (type) {
    case F16: ((uint16_t *)to)[n] = half_bits(f); return 2;
    case BF16: ((uint16_t *)to)[n] = bf16_bits(f); return 2;
    case TF32: ((float *)to)[n] = f; return 4;
    default: ((signed char *)to)[n] = (signed char)v; return 1;
  }
}

/* wrong: the kernel fills A by a wrong fragment index, which must show. */
static int product(const char *name, int type, int k, int wrong) {
  static double a[16 * 32], b[32 * 8];
  static char pa[sizeof a], pb[sizeof b];
  size_t size = 0;
  for (int n = 0; n < 16 * k; n++) size = put(pa, n, type, a[n] = type == S8 ? (signed char)random32() : small());
  for (int n = 0; n < k * 8; n++) put(pb, n, type, b[n] = type == S8 ? (signed char)random32() : small());
  void *da = upload(pa, 16 * (size_t)k * size), *db = upload(pb, (size_t)k * 8 * size), *dc = device(512);
  OK(RUN(name, SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc), ARG(wrong)));
  int differ = 0;
  for (int r = 0; r < 16; r++)
    for (int n = 0; n < 8; n++) {
      double s = 1, got;
      for (int x = 0; x < k; x++) s += a[r * k + x] * b[x * 8 + n];
      if (type == S8) got = ((const int *)host(dc, 512))[r * 8 + n];
      else got = ((const float *)host(dc, 512))[r * 8 + n];
      differ += got != s;
      CHECK(wrong || got == s, "%s: element %d,%d: %g, not %g", name, r, n, got, s);
    }
  CHECK(!wrong || differ > 64, "%s: a wrong fragment index goes unnoticed", name);
  CHECK(counters.mma == 1 && counters.matrix_instructions == 32, "mma count");
  return 0;
}
static int both(const char *name, int type, int k) { return product(name, type, k, 0) || product(name, type, k, 1); }
static int test_mma_f16_k8(void) { return both("mma_f16_k8", F16, 8); }
static int test_mma_f16_k16(void) { return both("mma_f16_k16", F16, 16); }
static int test_mma_bf16_k8(void) { return both("mma_bf16_k8", BF16, 8); }
static int test_mma_bf16_k16(void) { return both("mma_bf16_k16", BF16, 16); }
static int test_mma_tf32_k4(void) { return both("mma_tf32_k4", TF32, 4); }
static int test_mma_tf32_k8(void) { return both("mma_tf32_k8", TF32, 8); }
static int test_mma_s8_k16(void) { return both("mma_s8_k16", S8, 16); }
static int test_mma_s8_k32(void) { return both("mma_s8_k32", S8, 32); }

static int test_dot_products(void) {
  unsigned a[32], b[32];
  for (int n = 0; n < 32; n++) { a[n] = random32(); b[n] = random32(); }
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(384);
  OK(RUN("dot_products", SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc)));
  const int *c = host(dc, 384);
  for (int n = 0; n < 32; n++) {
    int ss = 7, uu = 7, su = 7;
    for (int k = 0; k < 32; k += 8) {
      int sa = (signed char)(a[n] >> k), ua = (unsigned char)(a[n] >> k), sb = (signed char)(b[n] >> k), ub = (unsigned char)(b[n] >> k);
      ss += sa * sb; uu += ua * ub; su += sa * ub;
    }
    CHECK(c[n] == ss && c[32 + n] == uu && c[64 + n] == su, "lane %d: %d %d %d", n, c[n], c[32 + n], c[64 + n]);
  }
  return 0;
}

/* Lane l gets elements 2(l mod 4) and the next of row l / 4 of each matrix, or of column l / 4 when transposed. Rows that
 * lie `stride` halves apart meet in the same banks `conflicts` times for each matrix. */
static int load_matrices(int count, int trans, int stride, unsigned conflicts) {
  static uint16_t x[32 * 8];
  for (int n = 0; n < 32 * 8; n++) x[n] = (uint16_t)random32();
  void *dx = upload(x, sizeof x), *dy = device(512);
  OK(RUN("load_matrices", SHAPE(1, 32, 32 * (size_t)stride * 2), ARG(dx), ARG(dy), ARG(stride), ARG(count), ARG(trans)));
  const unsigned *y = host(dy, 512);
  for (int n = 0; n < 4; n++)
    for (int l = 0; l < 32; l++) {
      const uint16_t *m = x + n * 64;
      int r = l / 4, c = l % 4 * 2;
      unsigned want = n >= count ? 0 : trans ? m[c * 8 + r] | (unsigned)m[(c + 1) * 8 + r] << 16 : m[r * 8 + c] | (unsigned)m[r * 8 + c + 1] << 16;
      CHECK(y[n * 32 + l] == want, "x%d%s: register %d of lane %d: %08x, not %08x", count, trans ? ".trans" : "", n, l, y[n * 32 + l], want);
    }
  static unsigned filling[65]; /* conflicts of the stores that fill the tile, which do not depend on what is loaded */
  if (count == 1 && !trans) filling[stride] = (unsigned)counters.shared_bank_conflicts - conflicts;
  CHECK(other_seed() || counters.shared_bank_conflicts == filling[stride] + conflicts * (unsigned)count, "x%d, stride %d: %llu bank conflicts, %u of them of stores",
        count, stride, (unsigned long long)counters.shared_bank_conflicts, filling[stride]);
  CHECK(other_seed() || stride != 8 || filling[8] == 0, "%u bank conflicts of stores to neighbours", filling[8]);
  return 0;
}
static int test_load_matrices(void) {
  for (int trans = 0; trans < 2; trans++)
    for (int count = 1; count <= 4; count *= 2) {
      int r = load_matrices(count, trans, 8, 0);          /* neighbours: no conflict */
      if (!r) r = load_matrices(count, trans, 64, 7);     /* 128 bytes apart: all 8 rows in the same banks */
      if (!r) r = load_matrices(count, trans, 32, 3);     /* 64 bytes apart: two sets of banks for 8 rows */
      if (!r) r = load_matrices(count, trans, 40, 0);     /* padded by 16 bytes */
      if (r) return r;
    }
  return 0;
}

/* ---- planted bugs -------------------------------------------------------------------------------------------------- */
static int bug_matrix_race(void) { void *y = device(128); return RUN("bug_matrix_race", SHAPE(1, 64, 0), ARG(y)); }
static int bug_matrix_row(void) { void *y = device(128); return RUN("bug_matrix_row", SHAPE(1, 32, 0), ARG(y)); }
static int bug_matrix_some_lanes(void) { void *y = device(128); int n = 31; return RUN("bug_matrix_some_lanes", SHAPE(1, 32, 0), ARG(y), ARG(n)); }
static int bug_async_early(void) {
  static float v[256];
  void *x = upload(v, sizeof v), *y = device(128);
  return RUN("bug_async_early", SHAPE(1, 32, 0), ARG(x), ARG(y));
}

static const test tests[] = {
  T(mma_f16_k8), T(mma_f16_k16), T(mma_bf16_k8), T(mma_bf16_k16), T(mma_tf32_k4), T(mma_tf32_k8), T(mma_s8_k16), T(mma_s8_k32),
  T(dot_products), T(load_matrices),
  BUG(bug_matrix_race, "racecheck"), BUG(bug_matrix_row, "misaligned"), BUG(bug_matrix_some_lanes, "synccheck"), BUG(bug_async_early, "initcheck"),
};

int main(int argc, char **argv) { return run_tests(argc, argv, tests, sizeof tests / sizeof *tests); }
