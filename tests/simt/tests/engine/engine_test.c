/* engine_test: runs the kernels of kernels.cu. See harness.h. */
#define SOURCE "kernels.cu:"
#include "harness.h"

/* ---- tests ---------------------------------------------------------------------------------------------------------- */
static int test_lstm(void) {
  enum { B = 5, H = 37, N = B * H };
  static float g[B * 4 * H], c0[N];
  for (int n = 0; n < B * 4 * H; n++) g[n] = 3 * random_float();
  for (int n = 0; n < N; n++) c0[n] = random_float();
  void *dg = upload(g, sizeof g), *dc = upload(c0, sizeof c0), *d1 = device(N * 4), *dh = device(N * 4);
  int b = B, h = H;
  OK(RUN("lstm", SHAPE((N + 63) / 64, 64, 0), ARG(dg), ARG(dc), ARG(d1), ARG(dh), ARG(b), ARG(h)));
  const float *c1 = host(d1, N * 4), *h1 = host(dh, N * 4);
  for (int n = 0; n < N; n++) {
    const float *p = g + n / H * 4 * H + n % H;
    double i = 1 / (1 + exp(-p[0])), f = 1 / (1 + exp(-p[H])), z = tanh(p[2 * H]), o = 1 / (1 + exp(-p[3 * H])), c = f * c0[n] + i * z;
    CHECK(close_to(c1[n], c, 2e-6) && close_to(h1[n], o * tanh(c), 2e-6), "cell %d: %g %g", n, c1[n], c);
  }
  CHECK(counters.global_store_bytes == 2 * N * 4, "store bytes %llu", (unsigned long long)counters.global_store_bytes);
  CHECK(counters.memory_instructions >= 7 * N && counters.special_instructions >= 5 * N && !counters.fp64_instructions && !counters.sync_instructions,
        "%llu memory, %llu special instructions", (unsigned long long)counters.memory_instructions, (unsigned long long)counters.special_instructions);
  CHECK(counters.global_load_bytes == 5 * N * 4, "load bytes %llu", (unsigned long long)counters.global_load_bytes);
  return 0;
}

static int test_saxpy4(void) {
  enum { N = 1000 };
  static float x[4 * N], y[4 * N];
  for (int n = 0; n < 4 * N; n++) { x[n] = random_float(); y[n] = random_float(); }
  void *dx = upload(x, sizeof x), *dy = upload(y, sizeof y);
  float a = 1.75f;
  int count = N;
  OK(RUN("saxpy4", SHAPE((N + 127) / 128, 128, 0), ARG(dx), ARG(dy), ARG(a), ARG(count)));
  const float *r = host(dy, sizeof y);
  for (int n = 0; n < 4 * N; n++) CHECK(r[n] == fmaf(a, x[n], y[n]), "element %d", n);
  CHECK(other_seed() || counters.global_sectors == 3 * N * 16 / 32, "sectors %llu", (unsigned long long)counters.global_sectors);
  return 0;
}

static int test_math(void) {
  enum { N = 64 };
  static float x[N];
  for (int n = 0; n < N; n++) x[n] = 2 * random_float();
  void *dx = upload(x, sizeof x), *dy = device(12 * sizeof x);
  int count = N;
  OK(RUN("math_functions", SHAPE(1, N, 0), ARG(dx), ARG(dy), ARG(count)));
  const float *y = host(dy, 12 * sizeof x);
  for (int n = 0; n < N; n++) {
    double v = x[n];
    double want[12] = {exp(v), log(fabsf(x[n]) + 0.1f), sin((double)(x[n] * 10)), tanh(v), pow(fabsf(x[n]) + 0.5f, 1.7f), erf(v), sqrt(fabs(v)),
                       (double)(x[n] / 3.7f), 1 / sqrt(fabsf(x[n]) + 1), cos((double)(x[n] * 1e6f)), exp(v), fmodf(x[n], 0.3f)};
    for (int k = 0; k < 12; k++) CHECK(close_to(y[k * N + n], want[k], k == 7 || k == 6 ? 1e-7 : 1e-6), "function %d of %g: %.9g, not %.9g", k, v, y[k * N + n], want[k]);
    CHECK(y[7 * N + n] == x[n] / 3.7f && y[6 * N + n] == sqrtf(fabsf(x[n])), "division or root of %g is not exact", v);
  }
  return 0;
}

static int test_shuffle_sum(void) {
  static int x[128];
  for (int n = 0; n < 128; n++) x[n] = (int)(random32() % 1000);
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  OK(RUN("shuffle_sum", SHAPE(2, 64, 0), ARG(dx), ARG(dy)));
  const int *y = host(dy, sizeof x);
  for (int n = 0; n < 128; n++) {
    int s = 0;
    for (int k = 0; k < 32; k++) s += x[n / 32 * 32 + k];
    CHECK(y[n] == s, "lane %d: %d, not %d", n, y[n], s);
  }
  return 0;
}

static int test_shuffle_modes(void) {
  void *dy = device(128 * 4);
  OK(RUN("shuffle_modes", SHAPE(1, 32, 0), ARG(dy)));
  const int *y = host(dy, 512);
  for (int l = 0; l < 32; l++) {
    CHECK(y[l] == (l < 3 ? l : l - 3), "up %d", l);
    CHECK(y[32 + l] == (l % 8 + 5 < 8 ? l + 5 : l), "down %d", l);
    CHECK(y[64 + l] == l / 16 * 16 + 7, "idx %d", l);
    CHECK(y[96 + l] == (l ^ 9), "xor %d", l);
  }
  return 0;
}

static int test_votes(void) {
  static int x[32];
  unsigned ballot = 0, sum = 0, most = 0, xor = 0;
  for (int n = 0; n < 32; n++) { x[n] = (int)(random32() % 50); ballot |= (unsigned)(x[n] & 1) << n; sum += (unsigned)x[n]; xor ^= (unsigned)x[n]; if ((unsigned)x[n] > most) most = (unsigned)x[n]; }
  simt_function_info info;
  simt_function_describe(simt_module_function(module, "votes"), &info);
  void *dx = upload(x, sizeof x), *dy = device(224 * 4);
  OK(RUN("votes", SHAPE(1, 32, 0), ARG(dx), ARG(dy)));
  const unsigned *y = host(dy, 224 * 4);
  for (int n = 0; n < 32; n++) {
    unsigned same = 0;
    for (int k = 0; k < 32; k++) same |= (unsigned)(x[k] % 5 == x[n] % 5) << k;
    CHECK(y[n] == ballot && y[32 + n] == 1 && y[64 + n] == same, "lane %d: %x %u %x", n, y[n], y[32 + n], y[64 + n]);
    unsigned odd = (unsigned)__builtin_popcount(ballot);
    CHECK(other_seed() || y[96 + n] == (x[n] & 1 ? odd : 132 - odd), "lane %d: active %u", n, y[96 + n]);
    if (info.ptx_target >= 80) CHECK(y[128 + n] == sum && y[160 + n] == most && y[192 + n] == xor, "lane %d: redux", n);
  }
  return 0;
}

static int test_block_sum(void) {
  enum { N = 3000 };
  static float x[N];
  double s = 0;
  for (int n = 0; n < N; n++) s += x[n] = random_float();
  void *dx = upload(x, sizeof x), *dy = device(4);
  int n = N;
  OK(RUN("block_sum", SHAPE(1, 256, 0), ARG(dx), ARG(dy), ARG(n)));
  float r = *(const float *)host(dy, 4);
  CHECK(close_to(r, s, 1e-5), "%g, not %g", r, s);
  CHECK(counters.barriers == 9, "%llu barriers", (unsigned long long)counters.barriers);
  CHECK(counters.shared_bank_conflicts == 0, "%llu bank conflicts", (unsigned long long)counters.shared_bank_conflicts);
  return 0;
}

static int test_dynamic_shared(void) {
  enum { N = 500 };
  static int x[N];
  for (int n = 0; n < N; n++) x[n] = (int)random32();
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  int n = N;
  OK(RUN("dynamic_shared", SHAPE(1, 96, sizeof x), ARG(dx), ARG(dy), ARG(n)));
  const int *y = host(dy, sizeof x);
  for (int k = 0; k < N; k++) CHECK(y[k] == x[N - 1 - k], "element %d", k);
  return 0;
}

static int test_sync_counts(void) {
  static int x[70];
  int odd = 0, five = 0;
  for (int n = 0; n < 70; n++) { x[n] = n % 9; odd += x[n] & 1; five |= x[n] == 5; }
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  OK(RUN("sync_counts", SHAPE(1, 70, 0), ARG(dx), ARG(dy)));
  const int *y = host(dy, sizeof x);
  for (int n = 0; n < 70; n++) CHECK(y[n] == odd * 4 + 2 + five, "thread %d: %d", n, y[n]);
  return 0;
}

static int test_atomics(void) {
  int i[8] = {0, -5, 5, 0, 0, 0, 0, 100};
  float f = 1;
  unsigned long long u = 7;
  uint32_t zero = 0;
  double d = 0;
  enum { B = 3, T = 64 };
  simt_function_info info;
  simt_function_describe(simt_module_function(module, "atomics"), &info);
  void *di = upload(i, sizeof i), *df = upload(&f, 4), *du = upload(&u, 8), *dh = upload(&zero, 4), *db = upload(&zero, 4), *dd = upload(&d, 8);
  OK(RUN("atomics", SHAPE(B, T, 0), ARG(di), ARG(df), ARG(du), ARG(dh), ARG(db), ARG(dd)));
  const int *r = host(di, sizeof i);
  int x = 0;
  for (int n = 0; n < T; n++) x ^= n;
  CHECK(r[0] == B * T * 4 && r[1] == 63 && r[2] == -63 && r[3] == -1 && r[4] == x && r[5] == B * T % 10 && r[6] == 42, "integers: %d %d %d %d %d %d %d", r[0], r[1], r[2], r[3], r[4], r[5], r[6]);
  CHECK(r[7] == 100 + 2 * B * T, "compare and swap: %d", r[7]);
  CHECK(*(const float *)host(df, 4) == 1 + 0.5f * B * T && *(const unsigned long long *)host(du, 8) == 7 + ((unsigned long long)B * T << 33), "float or 64-bit");
  uint32_t h = *(const uint32_t *)host(dh, 4), b = *(const uint32_t *)host(db, 4);
  CHECK(h == (half_bits(B * T) | (uint32_t)half_bits(B * T / 2.0f) << 16), "half2 %08x", h);
  CHECK(*(const double *)host(dd, 8) == B * T * 0.25, "double");
  if (info.ptx_target >= 80) CHECK(b >> 16 == 0x42c0 && (b & 0xffff) == 0x4340, "bfloat162 %08x", b);
  return 0;
}

static int test_halves(void) {
  enum { N = 96 };
  static float x[N];
  for (int n = 0; n < N; n++) x[n] = 4 * random_float();
  void *dx = upload(x, sizeof x), *dy = device(10 * sizeof x);
  int count = N;
  OK(RUN("halves", SHAPE(1, N, 0), ARG(dx), ARG(dy), ARG(count)));
  const float *y = host(dy, 10 * sizeof x);
  for (int n = 0; n < N; n++) {
    double a = as_half(x[n]), b = as_half(x[(n + 1) % N]), c = as_half(x[(n + 2) % N]);
    CHECK(y[n] == as_half(a * b + c), "fma %d: %g, not %g", n, y[n], as_half(a * b + c));
    CHECK(y[N + n] == as_half(a + b) && y[2 * N + n] == as_half(a * b), "add or mul %d", n);
    CHECK(y[3 * N + n] == as_half(a * b + a) && y[4 * N + n] == as_half(b * c + b), "fma2 %d", n);
    CHECK(close_to(y[5 * N + n], exp(a), 2e-3) && y[6 * N + n] == (a < b) && y[8 * N + n] == fmax(a, b), "exp, lt or max %d", n);
    CHECK(close_to(y[7 * N + n], a / as_half(b + 3), 2e-3), "division %d: %g", n, y[7 * N + n]);
    CHECK(y[9 * N + n] == nearbyint(a), "to int %d", n);
  }
  return 0;
}

static int test_bfloats(void) {
  enum { N = 96 };
  static float x[N];
  for (int n = 0; n < N; n++) x[n] = 4 * random_float();
  if (!simt_module_function(module, "bfloats")) return SKIPPED;
  void *dx = upload(x, sizeof x), *dy = device(5 * sizeof x);
  int count = N;
  OK(RUN("bfloats", SHAPE(1, N, 0), ARG(dx), ARG(dy), ARG(count)));
  const float *y = host(dy, 5 * sizeof x);
  for (int n = 0; n < N; n++) {
    double a = as_bf16(x[n]), b = as_bf16(x[(n + 1) % N]), c = as_bf16(x[(n + 2) % N]);
    CHECK(y[n] == as_bf16(a * b + c) && y[N + n] == as_bf16(a + b) && y[2 * N + n] == as_bf16(a * b), "scalar %d: %g %g", n, y[n], as_bf16(a * b + c));
    CHECK(y[3 * N + n] == as_bf16(a * b + a) && y[4 * N + n] == as_bf16(b * c + b), "fma2 %d", n);
  }
  return 0;
}

static unsigned byte_perm(unsigned a, unsigned b, unsigned s) {
  unsigned long long v = (unsigned long long)b << 32 | a;
  unsigned r = 0;
  for (int k = 0; k < 4; k++) r |= (unsigned)(v >> 8 * (s >> 4 * k & 7) & 255) << 8 * k;
  return r;
}

static int test_integers(void) {
  enum { N = 128, OUTS = 24 };
  static unsigned x[N];
  for (int n = 0; n < N; n++) x[n] = random32() >> random32() % 20;
  void *dx = upload(x, sizeof x), *dy = device(OUTS * sizeof x);
  int count = N;
  OK(RUN("integers", SHAPE(1, N, 0), ARG(dx), ARG(dy), ARG(count)));
  const unsigned *y = host(dy, OUTS * sizeof x);
  for (int n = 0; n < N; n++) {
    unsigned a = x[n], b = x[(n + 1) % N], c = x[(n + 2) % N], rev = 0;
    for (int k = 0; k < 32; k++) rev |= (a >> k & 1) << (31 - k);
    unsigned long long u = (unsigned long long)a << 32 | b, v = (unsigned long long)c << 17 | a, ba = (unsigned long long)b << 32 | a;
    int dp = (int)c;
    for (int k = 0; k < 32; k += 8) dp += (signed char)(a >> k) * (signed char)(b >> k);
    unsigned __int128 w = (unsigned __int128)u * v + u;
    long double fl = (long double)((float)b * 0.37f);
    float f15 = (float)(int)a * 1.5f;
    unsigned want[OUTS] = {(unsigned)__builtin_popcount(a), a >> 3 ? (unsigned)__builtin_clz(a >> 3) : 32, rev, byte_perm(a, b, 0x5173),
      (unsigned)(ba << (c & 31) >> 32), (unsigned)(ba >> (c & 31)), (unsigned)((unsigned long long)a * b >> 32), (unsigned)((long long)(int)a * (int)b >> 32), (unsigned)dp,
      c + (a > b ? a - b : b - a), a / (b | 1), (unsigned)((int)a % (int)(b | 1)), (unsigned)(u / (v | 1)), (unsigned)((long long)u % (long long)(v | 1)),
      (unsigned)((unsigned __int128)u * v >> 64), (u & ~0xffull) ? (unsigned)__builtin_ctzll(u & ~0xffull) + 1 : 0, (unsigned)(w >> 70), (unsigned)((int)(short)a * 3), (unsigned)((int)(signed char)b + 1),
      ((a + b) & 0xffff) | ((a & 0xffff0000u) + (b & 0xffff0000u)), (unsigned)((int)a < (int)b ? (int)a : (int)b), (a & b) ^ (~a | c),
      (unsigned)(f15 >= 2147483648.0f ? 2147483647 : f15 <= -2147483648.0f ? (int)0x80000000 : (int)f15), (unsigned)(unsigned long long)nearbyintl(fl)};
    for (int k = 0; k < OUTS; k++) CHECK(y[k * N + n] == want[k], "operation %d on %x %x %x: %x, not %x", k, a, b, c, y[k * N + n], want[k]);
  }
  return 0;
}

/* What the hardware of this machine gives in the rounding mode that is set. */
static uint32_t float_word(float f) { uint32_t b; memcpy(&b, &f, 4); return b; }
static uint64_t double_word(double f) { uint64_t b; memcpy(&b, &f, 8); return b; }
static uint64_t clamp_integer(double v, int bits, int is_signed) {
  v = nearbyint(v);
  if (is_signed) {
    if (v >= ldexp(1, bits - 1)) return (1ull << (bits - 1)) - 1;
    if (v < -ldexp(1, bits - 1)) return bits == 64 ? 1ull << 63 : 0x80000000u;
    return bits == 64 ? (uint64_t)(int64_t)v : (uint32_t)(int32_t)v;
  }
  if (v <= 0) return 0;
  return v >= ldexp(1, bits) ? (bits == 64 ? ~0ull : 0xffffffffu) : (uint64_t)v;
}

static int test_conversions(void) {
  enum { N = 256, R32 = 17, R64 = 11 };
  static float x[N];
  static double d[N];
  static long long q[N];
  static const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
  for (int n = 0; n < N; n++) {
    x[n] = ldexpf(random_float(), n % 16 - (n % 5 == 0 ? 30 : 0));
    d[n] = ldexp(random_float() + random_float() * 0x1p-24, n % 60 - 20);
    q[n] = (long long)((uint64_t)random32() << 32 | random32()) >> random32() % 60;
  }
  if (!simt_module_function(module, "conversions")) return SKIPPED;
  void *dx = upload(x, sizeof x), *dd = upload(d, sizeof d), *dq = upload(q, sizeof q), *dy = device(4 * R32 * N * 4), *dz = device(4 * R64 * N * 8);
  int count = N;
  OK(RUN("conversions", SHAPE(1, N, 0), ARG(dx), ARG(dd), ARG(dq), ARG(dy), ARG(dz), ARG(count)));
  const uint32_t *y = host(dy, 4 * R32 * N * 4);
  const uint64_t *z = host(dz, 4 * R64 * N * 8);
  for (int m = 0; m < 4; m++)
    for (int n = 0; n < N; n++) {
      volatile float a = x[n], b = x[(n + 1) % N], c = x[(n + 2) % N], one = 1, fa = fabsf(x[n]);
      volatile double e = d[n], f = d[(n + 1) % N], g = d[(n + 2) % N], fe = fabs(d[n]);
      volatile long long v = q[n];
      volatile unsigned long long u = (unsigned long long)q[n];
      volatile int vi = (int)q[n];
      volatile unsigned ui = (unsigned)q[n];
      fesetround(modes[m]);
      uint16_t hb = half_bits((float)as_half(a));
      uint32_t want[R32] = {(uint32_t)clamp_integer(a, 32, 1), (uint32_t)clamp_integer(a, 32, 0), (uint32_t)clamp_integer(e, 32, 1), (uint32_t)clamp_integer(e, 32, 0),
        hb, float_word((float)v), float_word((float)u), float_word((float)vi), float_word((float)ui), float_word((float)e), float_word(a + b), float_word(a - b),
        float_word(a * b), float_word(fmaf(a, b, c)), float_word(a / b), float_word(sqrtf(fa)), float_word(one / a)};
      uint64_t want64[R64] = {clamp_integer(a, 64, 1), clamp_integer(a, 64, 0), clamp_integer(e, 64, 1), clamp_integer(e, 64, 0), double_word((double)v), double_word((double)u),
        double_word(e + f), double_word(e * f), double_word(fma(e, f, g)), double_word(e / f), double_word(sqrt(fe))};
      fesetround(FE_TONEAREST);
      for (int k = 0; k < R32; k++) CHECK(y[(m * R32 + k) * N + n] == want[k], "operation %d, mode %d of %g %g %lld: %x, not %x", k, m, a, e, q[n], y[(m * R32 + k) * N + n], want[k]);
      for (int k = 0; k < R64; k++) CHECK(z[(m * R64 + k) * N + n] == want64[k], "64-bit operation %d, mode %d of %g %g %lld: %llx, not %llx", k, m, a, e, q[n],
                                          (unsigned long long)z[(m * R64 + k) * N + n], (unsigned long long)want64[k]);
    }
  return 0;
}

static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static int test_recursion(void) {
  void *dy = device(64 * 4);
  OK(RUN("recursion", SHAPE(1, 64, 0), ARG(dy)));
  const int *y = host(dy, 256);
  for (int n = 0; n < 64; n++) CHECK(y[n] == fib(n % 12), "thread %d: %d", n, y[n]);
  return 0;
}

static int test_struct_calls(void) {
  void *dy = device(64 * 4);
  OK(RUN("struct_calls", SHAPE(1, 64, 0), ARG(dy)));
  const float *y = host(dy, 256);
  for (int n = 0; n < 64; n++) CHECK(y[n] == (float)n + (2 + n * 0.5f) + 3 + 2 * n, "thread %d: %g", n, y[n]);
  return 0;
}

static int test_indirect(void) {
  float x[32];
  for (int n = 0; n < 32; n++) x[n] = (float)n;
  void *dy = upload(x, sizeof x);
  OK(RUN("indirect", SHAPE(1, 32, 0), ARG(dy)));
  const float *y = host(dy, sizeof x);
  for (int n = 0; n < 32; n++) CHECK(y[n] == (n & 1 ? n * 2.f : n + 1.f), "thread %d: %g", n, y[n]);
  return 0;
}

static int test_switches(void) {
  int x[32];
  for (int n = 0; n < 32; n++) x[n] = n % 9;
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  OK(RUN("switches", SHAPE(1, 32, 0), ARG(dx), ARG(dy)));
  const int *y = host(dy, sizeof x);
  for (int n = 0; n < 32; n++) {
    int v = x[n], want[] = {7, 4, x[0] + 1, x[1] * 5, 99 / 5, x[2] ^ 21, -6};
    CHECK(y[n] == (v < 7 ? want[v] : 1000 + v), "thread %d: %d", n, y[n]);
  }
  return 0;
}

static int test_local_array(void) {
  int x[32];
  for (int n = 0; n < 32; n++) x[n] = (int)(random32() % 100);
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  OK(RUN("local_array", SHAPE(1, 32, 0), ARG(dx), ARG(dy)));
  const int *y = host(dy, sizeof x);
  for (int n = 0; n < 32; n++) {
    int s = 0;
    for (int k = 0; k < 32; k++) s += (x[x[k] & 31] + n) * (k + 1);
    CHECK(y[n] == s, "thread %d", n);
  }
  CHECK(counters.local_bytes > 0, "no local accesses counted");
  return 0;
}

static int test_collatz(void) {
  void *dy = device(256 * 4);
  OK(RUN("collatz", SHAPE(2, 128, 0), ARG(dy)));
  const int *y = host(dy, 1024);
  for (int n = 0; n < 256; n++) {
    int steps = 0;
    for (int k = n + 1; k != 1; steps++) k = k & 1 ? 3 * k + 1 : k / 2;
    CHECK(y[n] == steps, "thread %d: %d", n, y[n]);
  }
  return 0;
}

static int test_prints(void) {
  int v = 7, ends[2];
  fflush(stdout);
  int keep = dup(1);
  if (pipe(ends)) return 1;
  dup2(ends[1], 1);
  int r = RUN("prints", SHAPE(1, 32, 0), ARG(v));
  fflush(stdout);
  dup2(keep, 1);
  close(ends[1]);
  char text[512];
  ssize_t n = read(ends[0], text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  OK(r);
  CHECK(!strcmp(text, "t0 v=7 10.50 text 1099511627776 z%\nt1 v=7 10.50 text 1099511627776 z%\n"), "printed: %.200s", text);
  return 0;
}

static int test_lane_lock(void) {
  int zero = 0;
  void *lock = upload(&zero, 4), *count = upload(&zero, 4);
  OK(RUN("lane_lock", SHAPE(2, 64, 0), ARG(lock), ARG(count)));
  CHECK(*(const int *)host(count, 4) == 128, "count %d", *(const int *)host(count, 4));
  return 0;
}

static int grid_rounds(const char *name, int cooperative_groups) {
  enum { B = 6, T = 64, N = B * T, R = 5 };
  static int a[N], b[N], x[N];
  for (int n = 0; n < N; n++) x[n] = a[n] = (int)(random32() % 1000);
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b);
  unsigned zero = 0;
  void *arrived = upload(&zero, 4);
  int rounds = R;
  simt_launch shape = {{B, 1, 1}, {T, 1, 1}, {1, 1, 1}, 0, cooperative_groups >= 0};
  if (cooperative_groups < 0) cooperative_groups = 0;
  if (cooperative_groups) OK(RUN(name, shape, ARG(da), ARG(db), ARG(rounds)));
  else OK(RUN(name, shape, ARG(da), ARG(db), ARG(arrived), ARG(rounds)));
  for (int r = 0; r < R; r++) {
    if (cooperative_groups) {
      for (int n = 0; n < N; n++) b[n] = x[(n + 1) % N] + x[n];
      for (int n = 0; n < N; n++) x[n] = b[(n + 7) % N];
    } else {
      for (int n = 0; n < N; n++) b[n] = x[(n + T) % N] + 1;
      memcpy(x, b, sizeof b);
    }
  }
  const int *y = host(cooperative_groups || R % 2 == 0 ? da : db, sizeof a);
  for (int n = 0; n < N; n++) CHECK(y[n] == x[n], "thread %d: %d, not %d", n, y[n], x[n]);
  if (cooperative_groups) CHECK(counters.grid_barriers == 2 * R, "%llu grid barriers", (unsigned long long)counters.grid_barriers);
  return 0;
}
static int test_grid_sync(void) { return grid_rounds("grid_sync", 1); }
static int test_hand_barrier(void) { return grid_rounds("hand_barrier", 0); }
static int test_plain_barrier(void) { /* the same without a cooperative launch: a GPU has all its blocks resident */
  setenv("SIMT_RESIDENT", "6", 1);
  return grid_rounds("hand_barrier", -1);
}
static int test_same_stores(void) {
  static int x[64];
  int sum = 0;
  for (int n = 0; n < 64; n++) sum += x[n] = n * n;
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  OK(RUN("same_stores", SHAPE(1, 64, 0), ARG(dx), ARG(dy)));
  for (int n = 0; n < 64; n++) CHECK(((const int *)host(dy, sizeof x))[n] == sum, "thread %d", n);
  return 0;
}
static int test_selected_local(void) {
  void *dy = device(128);
  OK(RUN("selected_local", SHAPE(1, 32, 0), ARG(dy)));
  for (int n = 0; n < 32; n++) CHECK(((const int *)host(dy, 128))[n] == (n % 3 ? -1 : n * 7), "thread %d", n);
  return 0;
}

static int test_wmma(void) {
  static uint16_t a[256], b[256];
  static double fa[256], fb[256];
  for (int n = 0; n < 256; n++) {
    fa[n] = as_half(random_float()); fb[n] = as_half(random_float());
    a[n] = half_bits((float)fa[n]); b[n] = half_bits((float)fb[n]);
  }
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(1024);
  OK(RUN("wmma_gemm", SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc)));
  const float *c = host(dc, 1024);
  for (int r = 0; r < 16; r++)
    for (int k = 0; k < 16; k++) {
      double s = 1;
      for (int x = 0; x < 16; x++) s += fa[r * 16 + x] * fb[k * 16 + x];
      CHECK(close_to(c[r * 16 + k], 2 * s, 1e-6), "element %d,%d: %g, not %g", r, k, c[r * 16 + k], 2 * s);
    }
  return 0;
}

static int test_mma_f16(void) {
  static uint16_t a[256], b[128];
  static double fa[256], fb[128];
  for (int n = 0; n < 256; n++) { fa[n] = as_half(random_float()); a[n] = half_bits((float)fa[n]); }
  for (int n = 0; n < 128; n++) { fb[n] = as_half(random_float()); b[n] = half_bits((float)fb[n]); }
  if (!simt_module_function(module, "mma_f16")) return SKIPPED;
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(512);
  OK(RUN("mma_f16", SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc)));
  const float *c = host(dc, 512);
  for (int r = 0; r < 16; r++)
    for (int n = 0; n < 8; n++) {
      double s = 0;
      for (int k = 0; k < 16; k++) s += fa[r * 16 + k] * fb[k * 8 + n];
      CHECK(close_to(c[r * 8 + n], s, 1e-6), "element %d,%d: %g, not %g", r, n, c[r * 8 + n], s);
    }
  CHECK(counters.mma == 1, "mma count");
  return 0;
}

static int test_mma_tf32(void) {
  static float a[128], b[64];
  for (int n = 0; n < 128; n++) a[n] = random_float();
  for (int n = 0; n < 64; n++) b[n] = random_float();
  if (!simt_module_function(module, "mma_tf32")) return SKIPPED;
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(512);
  OK(RUN("mma_tf32", SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc)));
  const float *c = host(dc, 512);
  for (int r = 0; r < 16; r++)
    for (int n = 0; n < 8; n++) {
      double s = 0;
      for (int k = 0; k < 8; k++) s += round_bits(a[r * 8 + k], 10, -200) * round_bits(b[k * 8 + n], 10, -200);
      CHECK(close_to(c[r * 8 + n], s, 1e-6), "element %d,%d: %g, not %g", r, n, c[r * 8 + n], s);
    }
  return 0;
}

static int test_mma_s8(void) {
  static signed char a[512], b[256];
  for (int n = 0; n < 512; n++) a[n] = (signed char)random32();
  for (int n = 0; n < 256; n++) b[n] = (signed char)random32();
  if (!simt_module_function(module, "mma_s8")) return SKIPPED;
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(512);
  OK(RUN("mma_s8", SHAPE(1, 32, 0), ARG(da), ARG(db), ARG(dc)));
  const int *c = host(dc, 512);
  for (int r = 0; r < 16; r++)
    for (int n = 0; n < 8; n++) {
      int s = 0;
      for (int k = 0; k < 32; k++) s += a[r * 32 + k] * b[n * 32 + k];
      CHECK(c[r * 8 + n] == s, "element %d,%d: %d, not %d", r, n, c[r * 8 + n], s);
    }
  return 0;
}

static int test_async_gemm(void) {
  enum { N = 96 };
  static float a[N * N], b[N * N];
  for (int n = 0; n < N * N; n++) { a[n] = random_float(); b[n] = random_float(); }
  if (!simt_module_function(module, "async_gemm")) return SKIPPED;
  void *da = upload(a, sizeof a), *db = upload(b, sizeof b), *dc = device(sizeof a);
  int size = N;
  simt_launch shape = {{N / 32, N / 32, 1}, {256, 1, 1}, {1, 1, 1}, 0, 0};
  OK(RUN("async_gemm", shape, ARG(da), ARG(db), ARG(dc), ARG(size)));
  const float *c = host(dc, sizeof a);
  for (int r = 0; r < N; r++)
    for (int n = 0; n < N; n++) {
      float s = 0;
      for (int k = 0; k < N; k++) s = fmaf(a[r * N + k], b[k * N + n], s);
      CHECK(c[r * N + n] == s, "element %d,%d: %g, not %g", r, n, c[r * N + n], s);
    }
  return 0;
}

static int test_tanh_halves(void) {
  float x[32];
  for (int n = 0; n < 32; n++) x[n] = 2 * random_float();
  if (!simt_module_function(module, "tanh_halves")) return SKIPPED;
  void *dx = upload(x, sizeof x), *dy = device(2 * sizeof x);
  OK(RUN("tanh_halves", SHAPE(1, 32, 0), ARG(dx), ARG(dy)));
  const float *y = host(dy, 2 * sizeof x);
  for (int n = 0; n < 32; n++)
    CHECK(close_to(y[n], 2 * tanh(x[n]), 2e-3) && close_to(y[32 + n], -tanh(x[n]), 1e-3), "thread %d: %g %g", n, y[n], y[32 + n]);
  return 0;
}

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
  for (int r = 0; r < 10; r++) {
    uint64_t p = 0xD2511F53ull * c[0], q = 0xCD9E8D57ull * c[2];
    uint32_t n[4] = {(uint32_t)(q >> 32) ^ c[1] ^ k0, (uint32_t)q, (uint32_t)(p >> 32) ^ c[3] ^ k1, (uint32_t)p};
    memcpy(c, n, sizeof n);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
}
static int test_philox(void) {
  unsigned long long seed = 0x123456789abcull;
  void *dy = device(32 * 20);
  OK(RUN("philox", SHAPE(1, 32, 0), ARG(dy), ARG(seed)));
  const uint32_t *y = host(dy, 640);
  for (uint32_t n = 0; n < 32; n++) {
    uint32_t c[4] = {1, 0, n, 0}, e[4] = {2, 0, n, 0};
    philox(c, (uint32_t)seed, (uint32_t)(seed >> 32));
    philox(e, (uint32_t)seed, (uint32_t)(seed >> 32));
    CHECK(!memcmp(c, y + 5 * n, 16), "thread %u: %x, not %x", n, y[5 * n], c[0]);
    float u;
    memcpy(&u, y + 5 * n + 4, 4);
    CHECK(close_to(u, e[0] * 0x1p-32, 1e-6), "uniform %u", n);
  }
  return 0;
}

static int test_constants(void) {
  size_t bytes = 0;
  float *c = simt_module_global(module, "constants", &bytes);
  int *g = simt_module_global(module, "counter_global", NULL);
  CHECK(c && bytes == 256 && g, "globals not found");
  float *h = simt_mem_host(c, bytes);
  for (int n = 0; n < 64; n++) h[n] = (float)n * 3;
  void *dy = device(256);
  OK(RUN("uses_constants", SHAPE(1, 64, 0), ARG(dy)));
  CHECK(!memcmp(host(dy, 256), h, 256) && *(const int *)host(g, 4) == 8, "values");
  return 0;
}

/* Written by hand: see handwritten.ptx. SIMT_HANDWRITTEN says where that is. */
static int test_handwritten(void) {
  const char *path = getenv("SIMT_HANDWRITTEN");
  if (!path) return SKIPPED;
  ptx_path = path;
  load();
  void *dy = device(128);
  OK(RUN("branches", SHAPE(1, 32, 0), ARG(dy)));
  const unsigned *y = host(dy, 128);
  for (unsigned n = 0; n < 32; n++) {
    unsigned want = (n % 4 + 1) * 100 + (n > 7 ? 5 : 7) + (n + 1) + n + (n < 2 ? 1000 : 0);
    CHECK(y[n] == want, "thread %u: %u, not %u", n, y[n], want);
  }
  return 0;
}

/* ---- planted bugs -------------------------------------------------------------------------------------------------- */
static int bug_bounds(void) { void *x = device(64 * 4); int n = 10; return RUN("bug_bounds", SHAPE(1, 64, 0), ARG(x), ARG(n)); }
static int bug_misaligned(void) { void *x = device(512); return RUN("bug_misaligned", SHAPE(1, 32, 0), ARG(x)); }
static int bug_uninitialized(void) { void *x = device(128), *y = device(128); return RUN("bug_uninitialized", SHAPE(1, 32, 0), ARG(x), ARG(y)); }
static int bug_shared_uninitialized(void) { void *y = device(128); return RUN("bug_shared_uninitialized", SHAPE(1, 32, 0), ARG(y)); }
static int bug_shared_bounds(void) { void *y = device(128); int n = 1; return RUN("bug_shared_bounds", SHAPE(1, 32, 128), ARG(y), ARG(n)); }
static int bug_race(void) { void *y = device(256); return RUN("bug_race", SHAPE(1, 64, 0), ARG(y)); }
static int bug_warp_race(void) { void *y = device(128); return RUN("bug_warp_race", SHAPE(1, 32, 0), ARG(y)); }
static int bug_lane_stores(void) { void *y = device(128); return RUN("bug_lane_stores", SHAPE(1, 32, 0), ARG(y)); }
static int bug_war_race(void) { void *y = device(256); int r = 2; return RUN("bug_war_race", SHAPE(1, 64, 0), ARG(y), ARG(r)); }
static int bug_divergent_barrier(void) { void *y = device(256); return RUN("bug_divergent_barrier", SHAPE(1, 64, 0), ARG(y)); }
static int bug_exited_barrier(void) { void *y = device(256); int n = 40; return RUN("bug_exited_barrier", SHAPE(1, 64, 0), ARG(y), ARG(n)); }
static int bug_deadlock(void) { void *y = device(256); return RUN("bug_deadlock", SHAPE(1, 32, 0), ARG(y)); }
static int bug_exited_lanes(void) { void *y = device(256); return RUN("bug_exited_lanes", SHAPE(1, 32, 0), ARG(y)); }
static int bug_spin(void) {
  if (other_seed()) return SKIPPED; /* several blocks are resident then, so this one ends */
  int z = 0; void *f = upload(&z, 4), *y = device(4); return RUN("bug_spin", SHAPE(2, 1, 0), ARG(f), ARG(y));
}
static int bug_null(void) { void *x = NULL; return RUN("bug_null", SHAPE(1, 32, 0), ARG(x)); }
static int bug_host_pointer(void) { static int here[32]; void *x = here; return RUN("bug_null", SHAPE(1, 32, 0), ARG(x)); }
static int bug_freed(void) { void *x = device(128); simt_mem_free(x); return RUN("bug_null", SHAPE(1, 32, 0), ARG(x)); }
static int bug_trap(void) { int one = 1; void *x = upload(&one, 4); return RUN("bug_trap", SHAPE(1, 32, 0), ARG(x)); }
static int bug_runaway(void) { int one = 1; void *x = upload(&one, 4); setenv("SIMT_MAX_INSTRUCTIONS", "1000000", 1); return RUN("bug_runaway", SHAPE(1, 32, 0), ARG(x)); }
static int bug_local_uninitialized(void) {
  int v[32];
  for (int n = 0; n < 32; n++) v[n] = n;
  void *x = upload(v, sizeof v), *y = device(128);
  return RUN("bug_local_uninitialized", SHAPE(1, 32, 0), ARG(x), ARG(y));
}
static int bug_global_race(void) { void *x = device(128); return RUN("bug_global_race", SHAPE(2, 32, 0), ARG(x)); }
static int bug_async_no_wait(void) {
  static float v[128];
  if (!simt_module_function(module, "bug_async_no_wait")) return SKIPPED;
  void *x = upload(v, sizeof v), *y = device(128);
  return RUN("bug_async_no_wait", SHAPE(1, 32, 0), ARG(x), ARG(y));
}
static int not_supported(void) {
  const char *path = getenv("SIMT_HANDWRITTEN");
  if (!path) return SKIPPED;
  ptx_path = path;
  load();
  void *y = device(4);
  int r = RUN("unsupported", SHAPE(1, 32, 0), ARG(y));
  if (r == SIMT_UNSUPPORTED) simt_error("unsupported", "told so, kernels.cu:0");
  return r == SIMT_UNSUPPORTED ? SIMT_FAULT : SIMT_OK;
}
static int double_free(void) { void *x = device(128); return simt_mem_free(x) == 0 && simt_mem_free(x) == -1 && simt_mem_host(x, 1) == NULL ? 0 : 1; }

static const test tests[] = {
  T(lstm), T(saxpy4), T(math), T(shuffle_sum), T(shuffle_modes), T(votes), T(block_sum), T(dynamic_shared), T(sync_counts), T(atomics),
  T(halves), T(bfloats), T(integers), T(conversions), T(recursion), T(struct_calls), T(indirect), T(switches), T(local_array), T(collatz), T(prints),
  T(lane_lock), T(grid_sync), T(hand_barrier), T(plain_barrier), T(same_stores), T(selected_local), T(wmma), T(mma_f16), T(mma_tf32), T(mma_s8), T(async_gemm), T(tanh_halves), T(philox),
  T(constants), T(handwritten), {"double_free", double_free, NULL, NULL},
  BUG(not_supported, "tex.2d.v4.f32.f32"), BUG(bug_bounds, "out of bounds"), BUG(bug_misaligned, "misaligned"), BUG(bug_uninitialized, "initcheck"),
  BUG(bug_shared_uninitialized, "initcheck"), BUG(bug_shared_bounds, "out of bounds"), BUG(bug_race, "racecheck"),
  BUG(bug_warp_race, "racecheck"), BUG(bug_lane_stores, "racecheck"), BUG(bug_war_race, "racecheck"), BUG(bug_divergent_barrier, "barrier in divergent code"),
  BUG(bug_exited_barrier, "have exited"), BUG(bug_deadlock, "deadlock"), BUG(bug_exited_lanes, "exited"), BUG(bug_spin, "hang"),
  BUG(bug_null, "null pointer"), BUG(bug_host_pointer, "not device memory"), BUG(bug_freed, "use after free"), BUG(bug_trap, "trap"),
  BUG(bug_runaway, "SIMT_MAX_INSTRUCTIONS"), BUG(bug_local_uninitialized, "initcheck"), BUG(bug_async_no_wait, "initcheck"),
  {"bug_global_race", bug_global_race, "racecheck", "SIMT_GLOBAL_RACES"},
};

int main(int argc, char **argv) { return run_tests(argc, argv, tests, sizeof tests / sizeof *tests); }
