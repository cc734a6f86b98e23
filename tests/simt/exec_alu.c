/* exec_alu.c: arithmetic, one handler per operation and type, each running all active lanes of a warp.
 *
 * Accuracy of the approximate functions: rcp, sqrt, rsqrt, ex2, lg2, sin, cos and tanh are computed in double (or are
 * IEEE single operations where those are as good) and rounded once, so within 0.5 ulp plus a little; a GPU has up to a
 * few ulp. rcp.approx.ftz.f64 gives the top 32 bits of the quotient like the hardware does. */
#include "engine_internal.h"
#include <immintrin.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- how a column element becomes a value, and back ------------------------------------------------------------------ */
#define CT_u32 uint32_t
#define CT_s32 int32_t
#define CT_u64 uint64_t
#define CT_s64 int64_t
#define CT_f32 float
#define CT_f64 double
#define CT_u16 uint32_t
#define CT_s16 uint32_t
#define CT_f16 uint32_t
#define CT_bf16 uint32_t
#define CT_f16b uint32_t
#define RD_u32(x) (x)
#define RD_s32(x) (x)
#define RD_u64(x) (x)
#define RD_s64(x) (x)
#define RD_f32(x) (x)
#define RD_f64(x) (x)
#define RD_u16(x) ((uint16_t)(x))
#define RD_s16(x) ((int16_t)(x))
#define RD_f16(x) _cvtsh_ss((uint16_t)(x))
#define RD_bf16(x) bits_float((uint32_t)(x) << 16)
#define RD_f16b(x) ((uint16_t)(x))
#define WR_u32(x) (x)
#define WR_s32(x) (x)
#define WR_u64(x) (x)
#define WR_s64(x) (x)
#define WR_f32(x) (x)
#define WR_f64(x) (x)
#define WR_u16(x) ((uint16_t)(x))
#define WR_s16(x) ((uint16_t)(x))
#define WR_f16(x) to_f16(x)
#define WR_bf16(x) to_bf16(x)
#define WR_f16b(x) (x)

static inline float bits_float(uint32_t b) { float f; memcpy(&f, &b, 4); return f; }
static inline uint32_t float_bits(float f) { uint32_t b; memcpy(&b, &f, 4); return b; }
static inline uint16_t to_f16(float f) { return f != f ? 0x7fff : _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT); }
static inline uint16_t to_bf16(float f) {
  uint32_t b = float_bits(f);
  if (f != f) return 0x7fff;
  return (uint16_t)((b + 0x7fff + ((b >> 16) & 1)) >> 16);
}
static inline float flush(float x) { return __builtin_fabsf(x) < 1.17549435e-38f ? __builtin_copysignf(0.0f, x) : x; }
static inline float sat_f32(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline double sat_f64(double x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
static inline int32_t sat_s32(int64_t x) { return x > INT32_MAX ? INT32_MAX : x < INT32_MIN ? INT32_MIN : (int32_t)x; }

/* min and max drop a NaN when the other operand is a number, and order -0 below +0. */
static inline float min_number(float a, float b) {
  if (a != a) return b != b ? bits_float(0x7fffffff) : b;
  if (b != b) return a;
  if (a == b) return bits_float(float_bits(a) | float_bits(b));
  return a < b ? a : b;
}
static inline float max_number(float a, float b) {
  if (a != a) return b != b ? bits_float(0x7fffffff) : b;
  if (b != b) return a;
  if (a == b) return bits_float(float_bits(a) & float_bits(b));
  return a > b ? a : b;
}
static inline float min_nan(float a, float b) { return (a != a || b != b) ? bits_float(0x7fffffff) : min_number(a, b); }
static inline float max_nan(float a, float b) { return (a != a || b != b) ? bits_float(0x7fffffff) : max_number(a, b); }
static inline double min_number_f64(double a, double b) {
  if (a != a) return b;
  if (b != b) return a;
  if (a == b) return signbit(a) ? a : b;
  return a < b ? a : b;
}
static inline double max_number_f64(double a, double b) {
  if (a != a) return b;
  if (b != b) return a;
  if (a == b) return signbit(a) ? b : a;
  return a > b ? a : b;
}
static inline double rcp_approx_f64(double x) {
  double r = 1.0 / x;
  uint64_t b;
  memcpy(&b, &r, 8);
  uint64_t exponent = (b >> 52) & 0x7ff;
  if (exponent == 0) b &= 1ull << 63;
  else if (r == r) b &= 0xffffffff00000000ull;
  memcpy(&r, &b, 8);
  return r;
}

/* 2^x in double by a polynomial on [-0.5, 0.5] (error below 1e-13), rounded to single once. Branch-free so that the
 * compiler can run lanes side by side. */
static inline float exp2_f32(float x) {
  double v = x;
  v = v > 200.0 ? 200.0 : v; /* NaN fails the comparison and passes through */
  v = v < -200.0 ? -200.0 : v;
  double n = v + 6755399441055744.0; /* rounds to the nearest integer in the low bits */
  uint64_t bits;
  memcpy(&bits, &n, 8);
  double r = v - (n - 6755399441055744.0);
  double p = 7.0549116208011233e-09;
  p = __builtin_fma(p, r, 1.0178086009239699e-07);
  p = __builtin_fma(p, r, 1.3215486790144307e-06);
  p = __builtin_fma(p, r, 1.5252733804059841e-05);
  p = __builtin_fma(p, r, 1.5403530393381608e-04);
  p = __builtin_fma(p, r, 1.3333558146428443e-03);
  p = __builtin_fma(p, r, 9.6181291076284772e-03);
  p = __builtin_fma(p, r, 5.5504108664821580e-02);
  p = __builtin_fma(p, r, 2.4022650695910071e-01);
  p = __builtin_fma(p, r, 6.9314718055994531e-01);
  p = __builtin_fma(p, r, 1.0);
  uint64_t scale = (uint64_t)(1023 + (int64_t)(int32_t)(uint32_t)bits) << 52;
  double s;
  memcpy(&s, &scale, 8);
  return (float)(p * s);
}

static inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t c, int mode) {
  uint64_t both = ((uint64_t)b << 32) | a;
  uint32_t out = 0, n = c & 3;
  for (uint32_t k = 0; k < 4; k++) {
    uint32_t s = 0;
    bool sign = false;
    switch (mode) {
      case 0: s = (c >> (4 * k)) & 7; sign = (c >> (4 * k)) & 8; break;
      case 1: s = n + k; break;                    /* f4e */
      case 2: s = (n + 8 - k) & 7; break;          /* b4e */
      case 3: s = n; break;                        /* rc8 */
      case 4: s = k > n ? k : n; break;            /* ecl */
      case 5: s = k < n ? k : n; break;            /* ecr */
      default: s = (n & 1) * 2 + (k & 1); break;   /* rc16 */
    }
    uint32_t byte = (uint32_t)(both >> (8 * s)) & 0xff;
    if (sign) byte = byte & 0x80 ? 0xff : 0;
    out |= byte << (8 * k);
  }
  return out;
}
static inline uint64_t bfe_u(uint64_t a, uint32_t b, uint32_t c, int width) {
  uint32_t pos = b & 0xff, len = c & 0xff;
  if (!len || pos >= (uint32_t)width) return 0;
  if (pos + len > (uint32_t)width) len = (uint32_t)width - pos;
  uint64_t v = a >> pos;
  return len >= 64 ? v : v & ((1ull << len) - 1);
}
static inline int64_t bfe_s(uint64_t a, uint32_t b, uint32_t c, int width) {
  uint32_t pos = b & 0xff, len = c & 0xff;
  if (!len) return 0;
  uint64_t sign = (a >> (width - 1)) & 1;
  uint32_t top = pos + len - 1 < (uint32_t)width - 1 ? pos + len - 1 : (uint32_t)width - 1;
  if (pos < (uint32_t)width) sign = (a >> top) & 1;
  uint64_t v = bfe_u(a, b, c, width);
  uint32_t have = pos >= (uint32_t)width ? 0 : top - pos + 1;
  if (sign && have < 64) v |= ~0ull << have;
  return (int64_t)v;
}
static inline uint64_t bfi(uint64_t a, uint64_t b, uint32_t c, uint32_t e, int width) {
  uint32_t pos = c & 0xff, len = e & 0xff;
  if (!len || pos >= (uint32_t)width) return b;
  if (pos + len > (uint32_t)width) len = (uint32_t)width - pos;
  uint64_t m = (len >= 64 ? ~0ull : (1ull << len) - 1) << pos;
  return (b & ~m) | ((a << pos) & m);
}
static inline uint32_t bfind32(uint32_t a) { return a ? 31u - (uint32_t)__builtin_clz(a) : ~0u; }
static inline uint32_t bfind64(uint64_t a) { return a ? 63u - (uint32_t)__builtin_clzll(a) : ~0u; }
static inline uint32_t brev32(uint32_t a) {
  a = ((a >> 1) & 0x55555555) | ((a & 0x55555555) << 1);
  a = ((a >> 2) & 0x33333333) | ((a & 0x33333333) << 2);
  a = ((a >> 4) & 0x0f0f0f0f) | ((a & 0x0f0f0f0f) << 4);
  return __builtin_bswap32(a);
}
static inline uint32_t dp4a(uint32_t a, uint32_t b, uint32_t c, int sa, int sb) {
  for (int k = 0; k < 32; k += 8) {
    int32_t x = sa ? (int8_t)(a >> k) : (int32_t)(uint8_t)(a >> k), y = sb ? (int8_t)(b >> k) : (int32_t)(uint8_t)(b >> k);
    c += (uint32_t)(x * y);
  }
  return c;
}
static inline uint32_t dp2a(uint32_t a, uint32_t b, uint32_t c, int sa, int sb, int hi) {
  for (int k = 0; k < 2; k++) {
    int32_t x = sa ? (int16_t)(a >> (16 * k)) : (int32_t)(uint16_t)(a >> (16 * k));
    uint32_t byte = b >> (8 * (k + 2 * hi));
    int32_t y = sb ? (int8_t)byte : (int32_t)(uint8_t)byte;
    c += (uint32_t)(x * y);
  }
  return c;
}
static inline uint32_t fns(uint32_t mask, uint32_t base, int32_t offset) {
  if (offset == 0) return base < 32 && (mask >> base) & 1 ? base : ~0u;
  int step = offset > 0 ? 1 : -1, left = offset > 0 ? offset : -offset;
  for (int p = (int)base; p >= 0 && p < 32; p += step)
    if ((mask >> p) & 1 && --left == 0) return (uint32_t)p;
  return ~0u;
}
static inline uint32_t bmsk(uint32_t a, uint32_t b, int clamp) {
  if (clamp ? a > 31 : false) return 0;
  uint32_t pos = a & 31, len = clamp ? (b > 32 ? 32 : b) : b & 31;
  uint64_t m = ((1ull << len) - 1) << pos;
  return (uint32_t)m;
}
#define HALVES16(name, T, op) \
  static inline uint32_t name(uint32_t a, uint32_t b) { \
    T al = (T)a, bl = (T)b, ah = (T)(a >> 16), bh = (T)(b >> 16); \
    T l = al op bl ? al : bl, h = ah op bh ? ah : bh; \
    return (uint16_t)l | ((uint32_t)(uint16_t)h << 16); \
  }
HALVES16(min_u16x2, uint16_t, <)
HALVES16(max_u16x2, uint16_t, >)
HALVES16(min_s16x2, int16_t, <)
HALVES16(max_s16x2, int16_t, >)

static inline uint16_t fma16(uint16_t a, uint16_t b, uint16_t c, int format) {
  double x, y, z;
  if (format == NF_F16) { x = _cvtsh_ss(a); y = _cvtsh_ss(b); z = _cvtsh_ss(c); }
  else { x = bits_float((uint32_t)a << 16); y = bits_float((uint32_t)b << 16); z = bits_float((uint32_t)c << 16); }
  return (uint16_t)round_to_format(add_round_to_odd(x * y, z), format, RN, false);
}
static inline uint16_t relu16(uint16_t v) { return (v & 0x7fff) > 0x7f80 ? v : (v & 0x8000 ? 0 : v); }
static inline uint64_t f32x2(uint64_t a, uint64_t b, uint64_t c, int op) {
  uint64_t out = 0;
  for (int k = 0; k < 64; k += 32) {
    float x = bits_float((uint32_t)(a >> k)), y = bits_float((uint32_t)(b >> k)), z = bits_float((uint32_t)(c >> k));
    float r = op == 0 ? x + y : op == 1 ? x * y : __builtin_fmaf(x, y, z);
    out |= (uint64_t)float_bits(r) << k;
  }
  return out;
}
/* An expression in x (y, z) applied to both halves of packed pairs a (b, c). */
#define PAIR1(T, e) ({ uint32_t out_ = 0; for (int k_ = 0; k_ < 32; k_ += 16) { \
  float x = RD_##T(a >> k_); out_ |= (uint32_t)WR_##T(e) << k_; } out_; })
#define PAIR2(T, e) ({ uint32_t out_ = 0; for (int k_ = 0; k_ < 32; k_ += 16) { \
  float x = RD_##T(a >> k_), y = RD_##T(b >> k_); out_ |= (uint32_t)WR_##T(e) << k_; } out_; })
#define BITS3(e) ({ uint32_t out_ = 0; for (int k_ = 0; k_ < 32; k_ += 16) { \
  uint16_t x = (uint16_t)(a >> k_), y = (uint16_t)(b >> k_), z = (uint16_t)(c >> k_); out_ |= (uint32_t)(e) << k_; } out_; })

/* ---- handlers ------------------------------------------------------------------------------------------------------ */
#ifdef __clang__
#define LANES_ARE_INDEPENDENT
#else
#define LANES_ARE_INDEPENDENT _Pragma("GCC ivdep")
#endif
#define ALL_LANES(body) \
  if (mask == ~0u) { LANES_ARE_INDEPENDENT for (int l = 0; l < MAX_LANES; l++) body } \
  else EACH_LANE(mask, l) body
#define OP1(id, names, D, A, expr) \
  static void h_##id(warp *w, const insn *i, uint32_t mask) { \
    CT_##D *d = COLUMN(w, i->o[0]); const CT_##A *pa = COLUMN(w, i->o[1]); \
    ALL_LANES({ __typeof__(RD_##A(pa[l])) a = RD_##A(pa[l]); d[l] = (CT_##D)WR_##D(expr); }) }
#define OP2(id, names, D, A, B, expr) \
  static void h_##id(warp *w, const insn *i, uint32_t mask) { \
    CT_##D *d = COLUMN(w, i->o[0]); const CT_##A *pa = COLUMN(w, i->o[1]); const CT_##B *pb = COLUMN(w, i->o[2]); \
    ALL_LANES({ __typeof__(RD_##A(pa[l])) a = RD_##A(pa[l]); __typeof__(RD_##B(pb[l])) b = RD_##B(pb[l]); \
      d[l] = (CT_##D)WR_##D(expr); }) }
#define OP3(id, names, D, A, B, C, expr) \
  static void h_##id(warp *w, const insn *i, uint32_t mask) { \
    CT_##D *d = COLUMN(w, i->o[0]); const CT_##A *pa = COLUMN(w, i->o[1]); const CT_##B *pb = COLUMN(w, i->o[2]); \
    const CT_##C *pc = COLUMN(w, i->o[3]); \
    ALL_LANES({ __typeof__(RD_##A(pa[l])) a = RD_##A(pa[l]); __typeof__(RD_##B(pb[l])) b = RD_##B(pb[l]); \
      __typeof__(RD_##C(pc[l])) c = RD_##C(pc[l]); d[l] = (CT_##D)WR_##D(expr); }) }
#define OP4(id, names, D, A, B, C, E, expr) \
  static void h_##id(warp *w, const insn *i, uint32_t mask) { \
    CT_##D *d = COLUMN(w, i->o[0]); const CT_##A *pa = COLUMN(w, i->o[1]); const CT_##B *pb = COLUMN(w, i->o[2]); \
    const CT_##C *pc = COLUMN(w, i->o[3]); const CT_##E *pe = COLUMN(w, i->o[4]); \
    ALL_LANES({ __typeof__(RD_##A(pa[l])) a = RD_##A(pa[l]); __typeof__(RD_##B(pb[l])) b = RD_##B(pb[l]); \
      __typeof__(RD_##C(pc[l])) c = RD_##C(pc[l]); __typeof__(RD_##E(pe[l])) e = RD_##E(pe[l]); \
      d[l] = (CT_##D)WR_##D(expr); }) }
#define CT_z32 float
#define RD_z32(x) flush(x)
#define WR_z32(x) flush(x)
#define FOP1(id, names, ftz, expr) OP1(id, names, f32, f32, expr) OP1(id##_ftz, ftz, z32, z32, expr)
#define FOP2(id, names, ftz, expr) OP2(id, names, f32, f32, f32, expr) OP2(id##_ftz, ftz, z32, z32, z32, expr)
#define FOP3(id, names, ftz, expr) OP3(id, names, f32, f32, f32, f32, expr) OP3(id##_ftz, ftz, z32, z32, z32, z32, expr)
/* Half-precision families: f16, bf16 and their pairs. neg and abs only touch the sign bit. */
#define HOP1(op, expr) \
  OP1(op##_f16, "", u32, u32, SIGN_##op(a, 0x8000u)) OP1(op##_f16x2, "", u32, u32, SIGN_##op(a, 0x80008000u))
#define SIGN_neg(a, m) ((a) ^ (m))
#define SIGN_abs(a, m) ((a) & ~(m))
#define HOP2(op, expr) \
  OP2(op##_f16, "", f16, f16, f16, expr) OP2(op##_bf16, "", bf16, bf16, bf16, expr) \
  OP2(op##_f16x2, "", u32, u32, u32, PAIR2_##op(f16)) OP2(op##_bf16x2, "", u32, u32, u32, PAIR2_##op(bf16))
#define PAIR2_add(T) PAIR2(T, x + y)
#define PAIR2_sub(T) PAIR2(T, x - y)
#define PAIR2_mul(T) PAIR2(T, x * y)
#define PAIR2_min(T) PAIR2(T, min_number(x, y))
#define PAIR2_max(T) PAIR2(T, max_number(x, y))
#define HOP3(op, a_, b_, c_) \
  OP3(op##_f16, "", f16b, f16b, f16b, f16b, fma16(a, b, c, NF_F16)) \
  OP3(op##_bf16, "", f16b, f16b, f16b, f16b, fma16(a, b, c, NF_BF16)) \
  OP3(op##_f16x2, "", u32, u32, u32, u32, BITS3(fma16(x, y, z, NF_F16))) \
  OP3(op##_bf16x2, "", u32, u32, u32, u32, BITS3(fma16(x, y, z, NF_BF16)))
#include "exec_alu.def"
#undef OP1
#undef OP2
#undef OP3
#undef OP4
#undef FOP1
#undef FOP2
#undef FOP3
#undef HOP1
#undef HOP2
#undef HOP3

/* ---- comparisons: all 32 lanes at once, into a mask ------------------------------------------------------------------ */
#define COMPARE(T, name, expr) \
  static uint32_t c_##name##_##T(const void *va, const void *vb) { \
    const CT_##T *pa = va, *pb = vb; \
    uint32_t m = 0; \
    for (int l = 0; l < MAX_LANES; l++) { \
      __typeof__(RD_##T(pa[l])) a = RD_##T(pa[l]), b = RD_##T(pb[l]); \
      m |= (uint32_t)(expr) << l; \
    } \
    return m; \
  }
#define COMPARE_INT(T) COMPARE(T, eq, a == b) COMPARE(T, ne, a != b) COMPARE(T, lt, a < b) COMPARE(T, le, a <= b) \
  COMPARE(T, gt, a > b) COMPARE(T, ge, a >= b)
#define COMPARE_FLOAT(T) COMPARE(T, eq, a == b) COMPARE(T, ne, a < b || a > b) COMPARE(T, lt, a < b) \
  COMPARE(T, le, a <= b) COMPARE(T, gt, a > b) COMPARE(T, ge, a >= b) COMPARE(T, equ, !(a < b || a > b)) \
  COMPARE(T, neu, a != b) COMPARE(T, ltu, !(a >= b)) COMPARE(T, leu, !(a > b)) COMPARE(T, gtu, !(a <= b)) \
  COMPARE(T, geu, !(a < b)) COMPARE(T, num, a == a && b == b) COMPARE(T, nan, a != a || b != b)
#define CT_h16 uint32_t
#define RD_h16(x) _cvtsh_ss((uint16_t)((x) >> 16))
#define CT_hb16 uint32_t
#define RD_hb16(x) bits_float((x) & 0xffff0000u)
COMPARE_INT(s32) COMPARE_INT(u32) COMPARE_INT(s64) COMPARE_INT(u64) COMPARE_INT(s16) COMPARE_INT(u16)
COMPARE_FLOAT(f32) COMPARE_FLOAT(f64) COMPARE_FLOAT(f16) COMPARE_FLOAT(bf16) COMPARE_FLOAT(z32)
COMPARE_FLOAT(h16) COMPARE_FLOAT(hb16) /* upper halves of pairs */

typedef struct compare_entry { const char *name; compare_handler run; } compare_entry;
#define ENTRIES_INT(T, t) {"eq." t, c_eq_##T}, {"ne." t, c_ne_##T}, {"lt." t, c_lt_##T}, {"le." t, c_le_##T}, \
  {"gt." t, c_gt_##T}, {"ge." t, c_ge_##T}, {"lo." t, c_lt_##T}, {"ls." t, c_le_##T}, {"hi." t, c_gt_##T}, {"hs." t, c_ge_##T}
#define ENTRIES_FLOAT(T, t) {"eq." t, c_eq_##T}, {"ne." t, c_ne_##T}, {"lt." t, c_lt_##T}, {"le." t, c_le_##T}, \
  {"gt." t, c_gt_##T}, {"ge." t, c_ge_##T}, {"equ." t, c_equ_##T}, {"neu." t, c_neu_##T}, {"ltu." t, c_ltu_##T}, \
  {"leu." t, c_leu_##T}, {"gtu." t, c_gtu_##T}, {"geu." t, c_geu_##T}, {"num." t, c_num_##T}, {"nan." t, c_nan_##T}
static const compare_entry compares[] = {
  ENTRIES_INT(s32, "s32"), ENTRIES_INT(u32, "u32"), ENTRIES_INT(u32, "b32"), ENTRIES_INT(s64, "s64"),
  ENTRIES_INT(u64, "u64"), ENTRIES_INT(u64, "b64"), ENTRIES_INT(s16, "s16"), ENTRIES_INT(u16, "u16"),
  ENTRIES_INT(u16, "b16"), ENTRIES_FLOAT(f32, "f32"), ENTRIES_FLOAT(z32, "ftz.f32"), ENTRIES_FLOAT(f64, "f64"),
  ENTRIES_FLOAT(f16, "f16"), ENTRIES_FLOAT(bf16, "bf16"), ENTRIES_FLOAT(h16, "hi.f16"), ENTRIES_FLOAT(hb16, "hi.bf16"),
};

compare_handler find_compare(const char *name) {
  for (size_t n = 0; n < sizeof compares / sizeof *compares; n++)
    if (!strcmp(compares[n].name, name)) return compares[n].run;
  return NULL;
}

/* ---- lookup by name -------------------------------------------------------------------------------------------------- */
typedef struct alu_entry { const char *names; insn_handler run; } alu_entry;
#define OP1(id, names, ...) {names, h_##id},
#define OP2 OP1
#define OP3 OP1
#define OP4 OP1
#define FOP1(id, names, ftz, expr) {names, h_##id}, {ftz, h_##id##_ftz},
#define FOP2 FOP1
#define FOP3 FOP1
#define HOP1(op, expr) {#op ".f16 " #op ".bf16", h_##op##_f16}, {#op ".f16x2 " #op ".bf16x2", h_##op##_f16x2},
#define HOP2(op, expr) {#op ".f16", h_##op##_f16}, {#op ".bf16", h_##op##_bf16}, {#op ".f16x2", h_##op##_f16x2}, \
  {#op ".bf16x2", h_##op##_bf16x2},
#define HOP3(op, ...) HOP2(op, )
static const alu_entry alus[] = {
#include "exec_alu.def"
};

typedef struct alu_slot { char name[40]; insn_handler run; } alu_slot;
enum { SLOTS = 4096 };
static alu_slot *slots;

static unsigned hash_name(const char *s) {
  unsigned h = 2166136261u;
  while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
  return (h ^ (h >> 15)) & (SLOTS - 1);
}

static void fill_slots(void) {
  slots = calloc(SLOTS, sizeof *slots);
  for (size_t n = 0; n < sizeof alus / sizeof *alus; n++) {
    for (const char *p = alus[n].names; *p;) {
      size_t len = strcspn(p, " ");
      char name[40];
      snprintf(name, sizeof name, "%.*s", (int)len, p);
      unsigned at = hash_name(name);
      while (slots[at].run) at = (at + 1) & (SLOTS - 1);
      memcpy(slots[at].name, name, sizeof name);
      slots[at].run = alus[n].run;
      p += len;
      while (*p == ' ') p++;
    }
  }
}

insn_handler find_alu_handler(const char *name) {
  if (!slots) fill_slots();
  for (unsigned at = hash_name(name); slots[at].run; at = (at + 1) & (SLOTS - 1))
    if (!strcmp(slots[at].name, name)) return slots[at].run;
  return NULL;
}
