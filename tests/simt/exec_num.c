/* exec_num.c: number formats: rounding to f16, bf16, tf32 and fp8, conversions between all types, directed rounding.
 * Compiled with -frounding-math, as code that changes the rounding mode at run time must be. */
#include "engine_internal.h"
#include <fenv.h>
#include <math.h>
#include <string.h>

/* ---- small formats --------------------------------------------------------------------------------------------------- */
typedef struct format { int exponent_bits, mantissa_bits, bias; bool has_infinity; uint32_t largest, nan; } format;
static const format formats[] = {
  [NF_F16] = {5, 10, 15, true, 0x7bff, 0x7fff}, [NF_BF16] = {8, 7, 127, true, 0x7f7f, 0x7fff},
  [NF_TF32] = {8, 10, 127, true, 0x3fbff, 0x3ffff}, [NF_E4M3] = {4, 3, 7, false, 0x7e, 0x7f},
  [NF_E5M2] = {5, 2, 15, true, 0x7b, 0x7f},
};

static bool rounds_up(int mode, bool negative, bool odd, uint64_t rest, uint64_t half) {
  switch (mode) {
    case RN: return rest > half || (rest == half && odd);
    case RNA: return rest >= half;
    case RM: return negative && rest;
    case RP: return !negative && rest;
    default: return false;
  }
}

/* The value in the format's bits, sign on top. tf32 comes as 19 bits. */
uint32_t round_to_format(double v, int which, int mode, bool saturate_finite) {
  const format *f = &formats[which];
  uint64_t bits;
  memcpy(&bits, &v, 8);
  bool negative = bits >> 63;
  uint32_t sign = (uint32_t)negative << (f->exponent_bits + f->mantissa_bits);
  if (v != v) return which == NF_E4M3 || which == NF_E5M2 ? f->nan : f->nan; /* canonical NaN */
  uint32_t infinity = f->has_infinity ? f->largest + 1 : f->nan;
  if (fabs(v) == INFINITY) return sign | (saturate_finite ? f->largest : infinity);
  if (v == 0) return sign;
  int e = (int)((bits >> 52) & 0x7ff) - 1023;
  uint64_t m = bits & ((1ull << 52) - 1);
  if (e == -1023) { /* subnormal double: far below every format here */
    e = -1074;
    m = 0;
    if (rounds_up(mode, negative, false, 1, 1000)) return sign | 1;
    return sign;
  }
  m |= 1ull << 52;
  int exponent = e + f->bias, shift = 52 - f->mantissa_bits;
  if (exponent < 1) { shift += 1 - exponent; exponent = 1; }
  uint64_t kept = shift > 63 ? 0 : m >> shift, rest = shift > 63 ? 1 : m & ((1ull << shift) - 1);
  uint64_t half = shift > 63 ? 2 : 1ull << (shift - 1);
  if (rounds_up(mode, negative, kept & 1, rest, half)) kept++;
  uint64_t out = ((uint64_t)(exponent - 1) << f->mantissa_bits) + kept; /* the hidden bit adds one to the exponent */
  if (out > f->largest) {
    bool to_infinity = mode == RN || mode == RNA || (mode == RP && !negative) || (mode == RM && negative);
    return sign | (saturate_finite || !to_infinity ? f->largest : infinity);
  }
  return sign | (uint32_t)out;
}

double format_to_double(uint32_t bits, int which) {
  const format *f = &formats[which];
  uint32_t m = bits & ((1u << f->mantissa_bits) - 1), e = (bits >> f->mantissa_bits) & ((1u << f->exponent_bits) - 1);
  bool negative = bits >> (f->exponent_bits + f->mantissa_bits) & 1;
  double v;
  if (f->has_infinity && e == (1u << f->exponent_bits) - 1) v = m ? NAN : INFINITY;
  else if (!f->has_infinity && (bits & 0x7f) == 0x7f) v = NAN;
  else if (e) v = ldexp(1.0 + (double)m / (1 << f->mantissa_bits), (int)e - f->bias);
  else v = ldexp((double)m / (1 << f->mantissa_bits), 1 - f->bias);
  return negative ? -v : v;
}

/* a + b with the last bit forced odd when inexact: rounding the result again to a shorter format is then correct. */
double add_round_to_odd(double a, double b) {
  double s = a + b;
  if (!isfinite(s)) return s;
  double bb = s - a, error = (a - (s - bb)) + (b - bb);
  uint64_t bits;
  memcpy(&bits, &s, 8);
  if (error != 0 && !(bits & 1)) {
    bool grows = (error > 0) == (s > 0);
    if (s == 0) return error;
    bits += grows ? 1 : (uint64_t)-1;
    memcpy(&s, &bits, 8);
  }
  return s;
}

float half_to_float(uint16_t h) { return (float)format_to_double(h, NF_F16); }

/* ---- directed rounding ------------------------------------------------------------------------------------------------ */
static int fenv_mode(int mode) { return mode == RZ ? FE_TOWARDZERO : mode == RM ? FE_DOWNWARD : mode == RP ? FE_UPWARD : FE_TONEAREST; }

static float flush32(float x) { return fabsf(x) < 1.17549435e-38f ? copysignf(0.0f, x) : x; }

static float operate32(int op, float a, float b, float c) {
  volatile float x = a, y = b, z = c, r; /* volatile: nothing is computed before the mode is set */
  switch (op) {
    case 0: r = x + y; break;
    case 1: r = x - y; break;
    case 2: r = x * y; break;
    case 3: r = x / y; break;
    case 4: r = fmaf(x, y, z); break;
    case 6: r = 1.0f / x; break;
    default: r = sqrtf(x);
  }
  return r;
}
static double operate64(int op, double a, double b, double c) {
  volatile double x = a, y = b, z = c, r;
  switch (op) {
    case 0: r = x + y; break;
    case 1: r = x - y; break;
    case 2: r = x * y; break;
    case 3: r = x / y; break;
    case 4: r = fma(x, y, z); break;
    case 6: r = 1.0 / x; break;
    default: r = sqrt(x);
  }
  return r;
}

void run_rounded(warp *w, const insn *i, uint32_t mask) {
  bool ftz = i->mode & CM_FTZ;
  fesetround(fenv_mode(i->mode & 7));
  EACH_LANE(mask, lane) {
    if (i->type == V_F32) {
      float v[3] = {0, 0, 0};
      for (int n = 1; n < i->nops; n++) {
        v[n - 1] = ((float *)COLUMN(w, i->o[n]))[lane];
        if (ftz) v[n - 1] = flush32(v[n - 1]);
      }
      float r = operate32(i->op, v[0], v[1], v[2]);
      ((float *)COLUMN(w, i->o[0]))[lane] = ftz ? flush32(r) : r;
    } else {
      double v[3] = {0, 0, 0};
      for (int n = 1; n < i->nops; n++) v[n - 1] = ((double *)COLUMN(w, i->o[n]))[lane];
      ((double *)COLUMN(w, i->o[0]))[lane] = operate64(i->op, v[0], v[1], v[2]);
    }
  }
  fesetround(FE_TONEAREST);
}

/* ---- conversions ------------------------------------------------------------------------------------------------------ */
static bool is_float(int t) { return t >= V_F16; }
static int bits_of(int t) { return t <= V_S8 ? 8 : t <= V_S16 || t == V_F16 || t == V_BF16 ? 16 : t <= V_S32 || t == V_F32 || t == V_TF32 ? 32 : 64; }
static bool is_signed_type(int t) { return t == V_S8 || t == V_S16 || t == V_S32 || t == V_S64; }

static double read_float(int t, uint64_t bits) {
  if (t == V_F64) { double v; memcpy(&v, &bits, 8); return v; }
  if (t == V_F16) return format_to_double((uint16_t)bits, NF_F16);
  uint32_t b = t == V_BF16 ? (uint32_t)bits << 16 : (uint32_t)bits;
  float f;
  memcpy(&f, &b, 4);
  return f;
}

/* To the nearest integer in the given direction. */
static double integral(double v, int mode) {
  switch (mode) {
    case RZ: return trunc(v);
    case RM: return floor(v);
    case RP: return ceil(v);
    default: return nearbyint(v);
  }
}

static uint64_t float_to_integer(double v, int from, int to, int mode) {
  int bits = bits_of(to);
  if (v != v) return from == V_F64 || bits == 64 ? 1ull << (bits - 1) : 0;
  v = integral(v, mode);
  if (is_signed_type(to)) {
    double top = ldexp(1, bits - 1);
    if (v >= top) return (1ull << (bits - 1)) - 1;
    if (v < -top) return (uint64_t)-1 << (bits - 1);
    return (uint64_t)(int64_t)v;
  }
  if (v <= 0) return 0;
  if (v >= ldexp(1, bits)) return bits == 64 ? ~0ull : (1ull << bits) - 1;
  return (uint64_t)v;
}

/* A double that holds the source exactly, or (64-bit integers) a direct conversion. */
static uint64_t to_float_bits(double v, int to, int mode, bool satfinite) {
  uint64_t out = 0;
  if (to == V_F64) { memcpy(&out, &v, 8); return out; }
  if (to == V_F32) {
    fesetround(fenv_mode(mode));
    volatile double x = v;
    volatile float r = (float)x;
    fesetround(FE_TONEAREST);
    float f = r;
    uint32_t b;
    memcpy(&b, &f, 4);
    if (f != f) b = 0x7fffffff;
    return b;
  }
  if (to == V_TF32) {
    uint32_t b = round_to_format(v, NF_TF32, mode, satfinite);
    return v != v ? 0x7fffffff : b << 13;
  }
  return round_to_format(v, to == V_F16 ? NF_F16 : NF_BF16, mode, satfinite);
}

static uint64_t integer_to_float(uint64_t bits, bool is_signed, int to, int mode) {
  uint64_t out = 0;
  if (to == V_F16 || to == V_BF16) {
    /* 64 bits do not fit a double: keep the top and make the rest sticky */
    int64_t s = (int64_t)bits;
    bool negative = is_signed && s < 0;
    uint64_t magnitude = negative ? 0 - bits : bits;
    if (magnitude >> 53) magnitude = (magnitude & ~0xfffull) | ((magnitude & 0xfff) ? 0x800 : 0);
    return to_float_bits(negative ? -(double)magnitude : (double)magnitude, to, mode, false);
  }
  fesetround(fenv_mode(mode));
  volatile uint64_t u = bits;
  volatile int64_t s = (int64_t)bits;
  if (to == V_F32) {
    volatile float f = is_signed ? (float)s : (float)u;
    float g = f;
    memcpy(&out, &g, 4);
  } else {
    volatile double f = is_signed ? (double)s : (double)u;
    double g = f;
    memcpy(&out, &g, 8);
  }
  fesetround(FE_TONEAREST);
  return out;
}

static uint64_t saturate_integer(uint64_t bits, int from, int to) {
  int n = bits_of(to);
  if (is_signed_type(from)) {
    int64_t v = (int64_t)bits;
    if (is_signed_type(to)) {
      int64_t top = n == 64 ? INT64_MAX : (1ll << (n - 1)) - 1;
      return (uint64_t)(v > top ? top : v < -top - 1 ? -top - 1 : v);
    }
    if (v < 0) return 0;
  }
  uint64_t top = is_signed_type(to) ? (1ull << (n - 1)) - 1 : n == 64 ? ~0ull : (1ull << n) - 1;
  return bits > top ? top : bits;
}

static uint64_t extend(uint64_t bits, int t) {
  int n = bits_of(t);
  if (n == 64) return bits;
  return is_signed_type(t) ? (uint64_t)((int64_t)(bits << (64 - n)) >> (64 - n)) : bits & ((1ull << n) - 1);
}

static uint64_t convert(const insn *i, uint64_t bits) {
  int from = i->type2, to = i->type, mode = i->mode & 7;
  if (!is_float(from)) {
    bits = extend(bits, from);
    if (is_float(to)) {
      uint64_t r = integer_to_float(bits, is_signed_type(from), to, mode);
      return r;
    }
    if (i->mode & CM_SAT) bits = saturate_integer(bits, from, to);
    return extend(bits, to);
  }
  double v = read_float(from, bits);
  if ((i->mode & CM_FTZ) && from == V_F32) v = flush32((float)v);
  if (!is_float(to)) return extend(float_to_integer(v, from, to, mode), to);
  if (i->mode & CM_INTEGRAL) v = v != v ? v : copysign(integral(v, mode), v);
  if (i->mode & CM_SAT) v = v > 0 ? (v < 1 ? v : 1) : 0;
  if ((i->mode & CM_RELU) && !(v != v)) v = v > 0 ? v : 0;
  uint64_t r = to_float_bits(v, to, mode, i->mode & CM_SATFINITE);
  if ((i->mode & CM_FTZ) && to == V_F32 && (r & 0x7f800000) == 0) r &= 0x80000000;
  return r;
}

void run_convert(warp *w, const insn *i, uint32_t mask) {
  EACH_LANE(mask, lane) {
    uint64_t bits = i->size == 8 ? ((uint64_t *)COLUMN(w, i->o[1]))[lane] : ((uint32_t *)COLUMN(w, i->o[1]))[lane];
    uint64_t r = convert(i, bits);
    if (i->wide == 8) ((uint64_t *)COLUMN(w, i->o[0]))[lane] = r;
    else ((uint32_t *)COLUMN(w, i->o[0]))[lane] = i->op == 16 ? (uint32_t)(uint16_t)r : (uint32_t)r;
  }
}

/* d = {a, b}: a goes to the upper half. */
void run_convert_packed(warp *w, const insn *i, uint32_t mask) {
  uint32_t *d = COLUMN(w, i->o[0]);
  const uint32_t *a = COLUMN(w, i->o[1]), *b = COLUMN(w, i->o[2]);
  int to = i->type, from = i->type2, to_bits = to >= NF_E4M3 ? 8 : 16, from_bits = from >= NF_E4M3 ? 8 : 16, mode = i->mode & 7;
  EACH_LANE(mask, lane) {
    uint32_t out = 0;
    for (int half = 0; half < 2; half++) {
      double v;
      if (from == 32) {
        float f;
        memcpy(&f, half ? &a[lane] : &b[lane], 4);
        v = f;
      } else v = format_to_double((a[lane] >> (half * from_bits)) & ((1u << from_bits) - 1), from);
      if ((i->mode & CM_RELU) && v == v) v = v > 0 ? v : 0;
      out |= round_to_format(v, to, mode, i->mode & CM_SATFINITE) << (half * to_bits);
    }
    d[lane] = out;
  }
}
