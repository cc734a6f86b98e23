/* exec_warp.c: warp-wide instructions, matrices, predicates and selection.
 *
 * Matrix products: f16, bf16, tf32 and fp8 inputs are multiplied exactly and added in fp32 one after the other, k
 * ascending, each step rounded to nearest (one fma); f16 results are rounded once at the end. f64 is the same in
 * double, integers wrap (or saturate at the end with .satfinite). */
#include "engine_internal.h"
#include <immintrin.h>
#include <math.h>
#include <string.h>

static inline uint32_t *column32(warp *w, int32_t o) { return COLUMN(w, o); }
static inline uint64_t *column64(warp *w, int32_t o) { return COLUMN(w, o); }
static inline void set_predicate(warp *w, int32_t o, uint32_t mask, uint32_t value) {
  uint32_t *p = COLUMN(w, o);
  *p = (*p & ~mask) | (value & mask);
}

/* ---- predicates and selection ------------------------------------------------------------------------------------------ */
static uint32_t combine(int op, uint32_t a, uint32_t b) {
  return op == P_AND ? a & b : op == P_OR ? a | b : op == P_XOR ? a ^ b : a;
}

void run_setp(warp *w, const insn *i, uint32_t mask) {
  const void *a = COLUMN(w, i->o[2]), *b = COLUMN(w, i->o[3]);
  uint32_t p = ((compare_handler)i->aux)(a, b), q = i->list ? ((compare_handler)(void *)i->list)(a, b) : ~p, c = 0;
  if (i->op != P_MOV) { c = *column32(w, i->o[4]); if (i->mode) c = ~c; }
  p = combine(i->op, p, c);
  q = combine(i->op, q, c);
  set_predicate(w, i->o[0], mask, p);
  set_predicate(w, i->o[1], mask, q);
}

void run_set(warp *w, const insn *i, uint32_t mask) {
  const void *a = COLUMN(w, i->o[1]), *b = COLUMN(w, i->o[2]);
  uint32_t p = ((compare_handler)i->aux)(a, b), q = i->list ? ((compare_handler)(void *)i->list)(a, b) : 0, c = 0;
  if (i->op != P_MOV) { c = *column32(w, i->o[3]); if (i->mode) c = ~c; }
  p = combine(i->op, p, c);
  q = i->list ? combine(i->op, q, c) : 0;
  uint32_t *d = column32(w, i->o[0]), value = (uint32_t)i->imm;
  EACH_LANE(mask, lane) d[lane] = (p >> lane & 1 ? value : 0) | (q >> lane & 1 ? value << 16 : 0);
}

void run_select(warp *w, const insn *i, uint32_t mask) {
  uint32_t p = *column32(w, i->o[3]);
  if (i->mode) p = ~p;
  if (i->wide == 8) {
    uint64_t *d = column64(w, i->o[0]);
    const uint64_t *a = column64(w, i->o[1]), *b = column64(w, i->o[2]);
    if (mask == ~0u) { for (int l = 0; l < MAX_LANES; l++) d[l] = (p >> l & 1) ? a[l] : b[l]; }
    else EACH_LANE(mask, lane) d[lane] = p >> lane & 1 ? a[lane] : b[lane];
  } else {
    uint32_t *d = column32(w, i->o[0]);
    const uint32_t *a = column32(w, i->o[1]), *b = column32(w, i->o[2]);
    if (mask == ~0u) { for (int l = 0; l < MAX_LANES; l++) d[l] = (p >> l & 1) ? a[l] : b[l]; }
    else EACH_LANE(mask, lane) d[lane] = p >> lane & 1 ? a[lane] : b[lane];
  }
}

void run_predicate(warp *w, const insn *i, uint32_t mask) {
  uint32_t a = *column32(w, i->o[1]), b = i->o[2] == NO_OPERAND ? 0 : *column32(w, i->o[2]);
  if (i->mode & 1 && i->op != P_NOT) a = ~a;
  if (i->mode & 2) b = ~b;
  set_predicate(w, i->o[0], mask, i->op == P_NOT ? ~a : combine(i->op, a, b));
}

void run_testp(warp *w, const insn *i, uint32_t mask) {
  uint32_t m = 0;
  EACH_LANE(mask, lane) {
    double v;
    bool subnormal;
    if (i->wide == 8) {
      memcpy(&v, column64(w, i->o[1]) + lane, 8);
      subnormal = fpclassify(v) == FP_SUBNORMAL;
    } else {
      float f;
      memcpy(&f, column32(w, i->o[1]) + lane, 4);
      v = f;
      subnormal = fpclassify(f) == FP_SUBNORMAL;
    }
    bool is[] = {isfinite(v), isinf(v), !isnan(v), isnan(v), isfinite(v) && v != 0 && !subnormal, subnormal};
    m |= (uint32_t)is[i->op] << lane;
  }
  set_predicate(w, i->o[0], mask, m);
}

void run_lop3(warp *w, const insn *i, uint32_t mask) {
  uint32_t *d = column32(w, i->o[0]), t = (uint32_t)i->imm;
  const uint32_t *pa = column32(w, i->o[1]), *pb = column32(w, i->o[2]), *pc = column32(w, i->o[3]);
  uint32_t k[8];
  for (int n = 0; n < 8; n++) k[n] = t >> n & 1 ? ~0u : 0;
  uint32_t out[MAX_LANES];
  for (int l = 0; l < MAX_LANES; l++) {
    uint32_t a = pa[l], b = pb[l], c = pc[l];
    out[l] = (k[7] & a & b & c) | (k[6] & a & b & ~c) | (k[5] & a & ~b & c) | (k[4] & a & ~b & ~c) | (k[3] & ~a & b & c) |
             (k[2] & ~a & b & ~c) | (k[1] & ~a & ~b & c) | (k[0] & ~a & ~b & ~c);
  }
  if (mask == ~0u) memcpy(d, out, sizeof out);
  else EACH_LANE(mask, lane) d[lane] = out[lane];
}

void run_pack(warp *w, const insn *i, uint32_t mask) {
  EACH_LANE(mask, lane) {
    uint64_t v = 0;
    for (uint32_t n = 0; n < i->list_count; n++) {
      uint64_t part = column32(w, i->list[n])[lane];
      if (i->size < 4) part &= (1u << (i->size * 8)) - 1;
      v |= part << (n * i->size * 8);
    }
    if (i->wide == 8) column64(w, i->o[0])[lane] = v;
    else column32(w, i->o[0])[lane] = (uint32_t)v;
  }
}

void run_unpack(warp *w, const insn *i, uint32_t mask) {
  EACH_LANE(mask, lane) {
    uint64_t v = i->wide == 8 ? column64(w, i->o[0])[lane] : column32(w, i->o[0])[lane];
    for (uint32_t n = 0; n < i->list_count; n++) {
      if (i->list[n] == NO_OPERAND) continue;
      uint64_t part = v >> (n * i->size * 8);
      if (i->size < 4) part &= (1u << (i->size * 8)) - 1;
      column32(w, i->list[n])[lane] = (uint32_t)part;
    }
  }
}

/* ---- carries, clocks, nothing ------------------------------------------------------------------------------------------ */
void run_carry(warp *w, const insn *i, uint32_t mask) {
  EACH_LANE(mask, lane) {
    unsigned __int128 v[4] = {0};
    bool wide = i->wide == 8;
    int n_sources = i->op >= 2 ? 3 : 2, bits = wide ? 64 : 32;
    for (int n = 1; n <= n_sources; n++) v[n] = wide ? column64(w, i->o[n])[lane] : column32(w, i->o[n])[lane];
    uint32_t in = (i->mode & 2) ? w->carry >> lane & 1 : 0;
    unsigned __int128 r, limit = (unsigned __int128)1 << bits;
    if (i->op == 0) r = v[1] + v[2] + in;
    else if (i->op == 1) r = v[1] - v[2] - in;
    else {
      unsigned __int128 product = v[1] * v[2];
      if (i->flags & F_SIGNED) {
        __int128 a = wide ? (__int128)(int64_t)v[1] : (__int128)(int32_t)v[1], b = wide ? (__int128)(int64_t)v[2] : (__int128)(int32_t)v[2];
        product = (unsigned __int128)(a * b);
      }
      r = (i->op == 3 ? product >> bits : product) % limit + v[3] + in;
    }
    if (i->mode & 1) w->carry = (w->carry & ~(1u << lane)) | ((uint32_t)(r >> bits & 1) << lane);
    if (wide) column64(w, i->o[0])[lane] = (uint64_t)r;
    else column32(w, i->o[0])[lane] = (uint32_t)r;
  }
}

/* Time is counted in executed instructions, so that runs repeat exactly. */
void run_clock(warp *w, const insn *i, uint32_t mask) {
  launch_state *l = w->block->launch;
  l->clock_reads += 32;
  uint64_t now = l->counters->instructions + l->clock_reads + (l->id << 32);
  w->slice -= 20;
  EACH_LANE(mask, lane) {
    switch (i->mode) {
      case CLOCK_64: case CLOCK_GLOBAL: column64(w, i->o[0])[lane] = now; break;
      case CLOCK_HI: case CLOCK_GLOBAL_HI: column32(w, i->o[0])[lane] = (uint32_t)(now >> 32); break;
      default: column32(w, i->o[0])[lane] = (uint32_t)now;
    }
  }
}

void run_nop(warp *w, const insn *i, uint32_t mask) {}
void run_yield(warp *w, const insn *i, uint32_t mask) { w->slice -= 1000; }

/* ---- lanes exchange values ---------------------------------------------------------------------------------------------- */
enum { POISON = 0x7fbadbad }; /* what a lane reads from one that does not take part: undefined, and visibly so */

void run_shuffle(warp *w, const insn *i, uint32_t mask) {
  uint32_t *d = column32(w, i->o[0]), out[MAX_LANES], in_range = 0;
  const uint32_t *a = column32(w, i->o[2]), *b = column32(w, i->o[3]), *c = column32(w, i->o[4]);
  EACH_LANE(mask, lane) {
    uint32_t segment = (c[lane] >> 8) & 31, clamp = c[lane] & 31, by = b[lane] & 31;
    int most = (int)((lane & segment) | (clamp & ~segment)), from;
    bool ok;
    switch (i->op) {
      case 0: from = (int)lane - (int)by; ok = from >= most; break;
      case 1: from = (int)(lane + by); ok = from <= most; break;
      case 2: from = (int)(lane ^ by); ok = from <= most; break;
      default: from = (int)((lane & segment) | (by & ~segment)); ok = from <= most;
    }
    if (!ok) from = (int)lane;
    in_range |= (uint32_t)ok << lane;
    out[lane] = mask >> from & 1 ? a[from] : POISON;
  }
  EACH_LANE(mask, lane) d[lane] = out[lane];
  set_predicate(w, i->o[1], mask, in_range);
}

void run_vote(warp *w, const insn *i, uint32_t mask) {
  uint32_t p = *column32(w, i->o[1]);
  if (i->mode) p = ~p;
  p &= mask;
  switch (i->op) {
    case 0: set_predicate(w, i->o[0], mask, p == mask ? ~0u : 0); break;
    case 1: set_predicate(w, i->o[0], mask, p ? ~0u : 0); break;
    case 2: set_predicate(w, i->o[0], mask, p == mask || !p ? ~0u : 0); break;
    default: EACH_LANE(mask, lane) column32(w, i->o[0])[lane] = p;
  }
}

void run_match(warp *w, const insn *i, uint32_t mask) {
  uint32_t out[MAX_LANES] = {0};
#define VALUE(l) (i->wide == 8 ? column64(w, i->o[2])[l] : column32(w, i->o[2])[l])
  EACH_LANE(mask, lane)
    EACH_LANE(mask, other) out[lane] |= (uint32_t)(VALUE(lane) == VALUE(other)) << other;
  uint32_t *d = column32(w, i->o[0]);
  if (i->op) { /* all */
    bool same = out[__builtin_ctz(mask)] == mask;
    EACH_LANE(mask, lane) d[lane] = same ? mask : 0;
    set_predicate(w, i->o[1], mask, same ? ~0u : 0);
  } else EACH_LANE(mask, lane) d[lane] = out[lane];
}

static uint32_t redux_float(const uint32_t *a, const insn *i, uint32_t mask) {
  float best = NAN;
  bool nan = false;
  EACH_LANE(mask, lane) {
    float v;
    memcpy(&v, &a[lane], 4);
    if (i->mode & 1) v = fabsf(v);
    if (v != v) { nan = true; continue; }
    if (best != best || (i->op == 1 ? v < best : v > best)) best = v;
  }
  if (nan && (i->mode & 2)) best = NAN;
  uint32_t bits;
  memcpy(&bits, &best, 4);
  return best != best ? 0x7fffffff : bits;
}

void run_redux(warp *w, const insn *i, uint32_t mask) {
  const uint32_t *a = column32(w, i->o[1]);
  uint32_t r = a[__builtin_ctz(mask)];
  bool first = true;
  if (i->type == V_F32) r = redux_float(a, i, mask);
  else EACH_LANE(mask, lane) {
    uint32_t v = a[lane];
    if (first) { first = false; continue; }
    switch (i->op) {
      case 0: r += v; break;
      case 1: r = i->type == V_S32 ? ((int32_t)v < (int32_t)r ? v : r) : (v < r ? v : r); break;
      case 2: r = i->type == V_S32 ? ((int32_t)v > (int32_t)r ? v : r) : (v > r ? v : r); break;
      case 3: r &= v; break;
      case 4: r |= v; break;
      default: r ^= v;
    }
  }
  EACH_LANE(mask, lane) column32(w, i->o[0])[lane] = r;
}

void run_elect(warp *w, const insn *i, uint32_t mask) {
  uint32_t leader = (uint32_t)__builtin_ctz(mask);
  EACH_LANE(mask, lane) column32(w, i->o[0])[lane] = leader;
  if (i->o[1] != NO_OPERAND) set_predicate(w, i->o[1], mask, 1u << leader);
}

void run_activemask(warp *w, const insn *i, uint32_t mask) { EACH_LANE(mask, lane) column32(w, i->o[0])[lane] = mask; }
void run_warp_barrier(warp *w, const insn *i, uint32_t mask) {}

/* ---- matrices: loading and storing --------------------------------------------------------------------------------------- */
static uint64_t lane_address(warp *w, const insn *i, uint32_t lane) {
  return (i->mode ? column32(w, i->o[0])[lane] : column64(w, i->o[0])[lane]) + (uint64_t)i->imm;
}

static void whole_warp_only(warp *w, const insn *i, uint32_t mask) {
  if (mask == ~0u) return;
  exec_report(w, i, __builtin_ctz(mask), "synccheck", "a matrix instruction needs all 32 lanes (active 0x%08x)", mask);
  exec_abort(w);
}

/* Rows of 16 bytes come from lanes 8n..8n+7 for matrix n; row r's elements 2t, 2t+1 go to lane 4r+t. */
void run_stmatrix(warp *w, const insn *i, uint32_t mask) {
  uint64_t rows[MAX_LANES];
  for (uint32_t l = 0; l < MAX_LANES; l++) rows[l] = lane_address(w, i, l);
  whole_warp_only(w, i, mask);
  for (uint32_t n = 0; n < i->list_count; n++) {
    uint16_t element[8][8];
    const uint32_t *reg = column32(w, i->list[n]);
    for (uint32_t lane = 0; lane < 32; lane++)
      for (uint32_t h = 0; h < 2; h++) {
        uint32_t r = lane / 4, c = lane % 4 * 2 + h;
        uint16_t v = (uint16_t)(reg[lane] >> (16 * h));
        if (i->op) element[c][r] = v; else element[r][c] = v;
      }
    for (uint32_t r = 0; r < 8; r++) {
      uint32_t lane = n * 8 + r;
      char *row = exec_resolve(w, i, (int)lane, i->space, rows[lane], 16, ACCESS_WRITE);
      if (!row) exec_abort(w);
      memcpy(row, element[r], 16);
    }
    count_shared(w, rows, 0xffu << (n * 8), 16, true);
  }
  w->block->launch->memory_changes++;
}
void run_ldmatrix(warp *w, const insn *i, uint32_t mask) {
  /* the address register may also be a destination: read all addresses first */
  uint64_t keep[MAX_LANES];
  for (uint32_t l = 0; l < MAX_LANES; l++) keep[l] = lane_address(w, i, l);
  whole_warp_only(w, i, mask);
  for (uint32_t n = 0; n < i->list_count; n++) {
    uint16_t element[8][8];
    uint32_t *reg = column32(w, i->list[n]);
    for (uint32_t r = 0; r < 8; r++) {
      uint32_t lane = n * 8 + r;
      const char *row = exec_resolve(w, i, (int)lane, i->space, keep[lane], 16, ACCESS_READ);
      if (!row) exec_abort(w);
      memcpy(element[r], row, 16);
    }
    for (uint32_t lane = 0; lane < 32; lane++) {
      uint32_t r = lane / 4, c = lane % 4 * 2;
      reg[lane] = i->op ? element[c][r] | (uint32_t)element[c + 1][r] << 16 : element[r][c] | (uint32_t)element[r][c + 1] << 16;
    }
    count_shared(w, keep, 0xffu << (n * 8), 16, false);
  }
}

void run_movmatrix(warp *w, const insn *i, uint32_t mask) {
  uint16_t element[8][8];
  const uint32_t *a = column32(w, i->o[1]);
  whole_warp_only(w, i, mask);
  for (uint32_t lane = 0; lane < 32; lane++)
    for (uint32_t h = 0; h < 2; h++) element[lane / 4][lane % 4 * 2 + h] = (uint16_t)(a[lane] >> (16 * h));
  for (uint32_t lane = 0; lane < 32; lane++) {
    uint32_t r = lane / 4, c = lane % 4 * 2;
    column32(w, i->o[0])[lane] = element[c][r] | (uint32_t)element[c + 1][r] << 16;
  }
}

/* ---- matrices: multiplying ------------------------------------------------------------------------------------------------ */
enum mma_types { MT_F16, MT_BF16, MT_TF32, MT_F32, MT_F64, MT_S8, MT_U8, MT_S4, MT_U4, MT_S32, MT_B1, MT_E4M3, MT_E5M2 };
static int type_size(int t) {
  return t == MT_F64 ? 8 : t == MT_TF32 || t == MT_F32 || t == MT_S32 ? 4 : t == MT_F16 || t == MT_BF16 ? 2 : 1;
}
static bool is_integer(int t) { return t >= MT_S8 && t <= MT_S32; }

static double element_value(int t, uint64_t bits) {
  float f;
  uint32_t b = (uint32_t)bits;
  switch (t) {
    case MT_F16: return _cvtsh_ss((uint16_t)bits);
    case MT_BF16: b <<= 16; break;
    case MT_TF32: b &= 0xffffe000; break; /* the low bits are ignored */
    case MT_F64: { double v; memcpy(&v, &bits, 8); return v; }
    case MT_S8: return (int8_t)bits;
    case MT_U8: return (uint8_t)bits;
    case MT_S32: return (int32_t)bits;
    case MT_E4M3: return format_to_double((uint8_t)bits, NF_E4M3);
    case MT_E5M2: return format_to_double((uint8_t)bits, NF_E5M2);
    default: break;
  }
  memcpy(&f, &b, 4);
  return f;
}

typedef struct product { int m, n, k, a_type, b_type, c_type, d_type; bool saturate; float a[32 * 32], b[32 * 32], c[32 * 32]; double a64[16 * 16], b64[16 * 16], c64[32 * 32]; } product;

static void multiply(product *p) {
  int m = p->m, n = p->n, k = p->k;
  if (p->a_type == MT_F64) {
    for (int r = 0; r < m; r++)
      for (int x = 0; x < k; x++)
        for (int c = 0; c < n; c++) p->c64[r * n + c] = fma(p->a64[r * k + x], p->b64[x * n + c], p->c64[r * n + c]);
    return;
  }
  if (is_integer(p->a_type)) {
    for (int r = 0; r < m; r++)
      for (int c = 0; c < n; c++) {
        int64_t s = (int64_t)p->c64[r * n + c];
        for (int x = 0; x < k; x++) s += (int64_t)p->a[r * k + x] * (int64_t)p->b[x * n + c];
        if (p->saturate) s = s > INT32_MAX ? INT32_MAX : s < INT32_MIN ? INT32_MIN : s;
        p->c64[r * n + c] = (double)(int32_t)(uint32_t)(uint64_t)s;
      }
    return;
  }
  for (int r = 0; r < m; r++)
    for (int x = 0; x < k; x++) {
      float a = p->a[r * k + x];
      const float *b = p->b + x * n;
      float *c = p->c + r * n;
      for (int y = 0; y < n; y += 8) /* n is a multiple of 8 */
        for (int z = 0; z < 8; z++) c[y + z] = __builtin_fmaf(a, b[y + z], c[y + z]);
    }
}

static void put_input(product *p, bool b, int index, uint64_t bits) {
  double v = element_value(b ? p->b_type : p->a_type, bits);
  if (p->a_type == MT_F64) (b ? p->b64 : p->a64)[index] = v;
  else (b ? p->b : p->a)[index] = (float)v;
}
static void put_accumulator(product *p, int index, uint64_t bits) {
  double v = element_value(p->c_type, bits);
  if (p->a_type == MT_F64 || is_integer(p->a_type)) p->c64[index] = v;
  else p->c[index] = (float)v;
}
static uint64_t take_result(const product *p, int index) {
  uint64_t out = 0;
  if (p->a_type == MT_F64) { memcpy(&out, &p->c64[index], 8); return out; }
  if (is_integer(p->a_type)) return (uint32_t)(int32_t)p->c64[index];
  float f = p->c[index];
  if (p->d_type == MT_F16) return f != f ? 0x7fff : _cvtss_sh(f, _MM_FROUND_TO_NEAREST_INT);
  memcpy(&out, &f, 4);
  return out;
}

static void set_product(product *p, const insn *i) {
  p->m = i->size; p->n = i->vec; p->k = i->wide;
  p->a_type = i->type; p->b_type = i->type2;
  p->d_type = i->op & 15; p->c_type = i->op >> 4;
  p->saturate = i->mode & 1;
}

/* mma.sync fragments. With e elements in a register, lane 4g+t holds in register r of A the row g (+8 for odd r of a
 * 16-row A) and columns t*e.. (+4e for each further pair), in register r of B rows t*e+4e*r.. of column g. */
void run_mma(warp *w, const insn *i, uint32_t mask) {
  static _Thread_local product p;
  whole_warp_only(w, i, mask);
  set_product(&p, i);
  int na = (int)(i->imm & 255), nb = (int)(i->imm >> 8), e = p.a_type == MT_F64 ? 1 : 4 / type_size(p.a_type);
  int nd = i->list_defs, nc = i->list_count - nd - na - nb, rows = p.m == 16 ? 2 : 1, bits = 32 / e;
  uint64_t element = bits == 32 ? 0xffffffffull : (1ull << bits) - 1;
  if (p.a_type == MT_F64) bits = 64, element = ~0ull;
  for (int lane = 0; lane < 32; lane++) {
    int g = lane >> 2, t = lane & 3;
    for (int r = 0; r < na; r++) {
      int32_t o = i->list[nd + r];
      uint64_t v = bits == 64 ? column64(w, o)[lane] : column32(w, o)[lane];
      for (int x = 0; x < e; x++)
        put_input(&p, false, (g + 8 * (r % rows)) * p.k + t * e + x + r / rows * 4 * e, (bits == 64 ? v : v >> (x * bits)) & element);
    }
    for (int r = 0; r < nb; r++) {
      int32_t o = i->list[nd + na + r];
      uint64_t v = bits == 64 ? column64(w, o)[lane] : column32(w, o)[lane];
      for (int x = 0; x < e; x++) put_input(&p, true, (t * e + x + r * 4 * e) * p.n + g, (bits == 64 ? v : v >> (x * bits)) & element);
    }
    for (int r = 0; r < nc; r++) {
      int32_t o = i->list[nd + na + nb + r];
      if (p.c_type == MT_F16) {
        uint32_t v = column32(w, o)[lane];
        for (int x = 0; x < 2; x++) put_accumulator(&p, (g + 8 * r) * p.n + t * 2 + x, v >> (16 * x) & 0xffff);
      } else put_accumulator(&p, (g + 8 * (r / 2)) * p.n + t * 2 + r % 2, p.c_type == MT_F64 ? column64(w, o)[lane] : column32(w, o)[lane]);
    }
  }
  multiply(&p);
  for (int lane = 0; lane < 32; lane++) {
    int g = lane >> 2, t = lane & 3;
    for (int r = 0; r < nd; r++) {
      int32_t o = i->list[r];
      if (p.d_type == MT_F16)
        column32(w, o)[lane] = (uint32_t)take_result(&p, (g + 8 * r) * p.n + t * 2) | (uint32_t)take_result(&p, (g + 8 * r) * p.n + t * 2 + 1) << 16;
      else if (p.d_type == MT_F64) column64(w, o)[lane] = take_result(&p, (g + 8 * (r / 2)) * p.n + t * 2 + r % 2);
      else column32(w, o)[lane] = (uint32_t)take_result(&p, (g + 8 * (r / 2)) * p.n + t * 2 + r % 2);
    }
  }
}

/* wmma fragments, whose layout programs may not rely on: with E elements in each lane, element x of lane l is element
 * (l * E + x) mod (rows * columns) of the matrix in row order. */
typedef struct fragment { int type, rows, columns, elements, registers; } fragment;

static fragment fragment_of(int type, int rows, int columns, int registers) {
  int size = type_size(type);
  return (fragment){type, rows, columns, size == 8 ? registers : registers * (4 / size), registers};
}
static uint64_t fragment_get(warp *w, const fragment *f, const int32_t *list, int lane, int x) {
  int size = type_size(f->type);
  if (size == 8) return column64(w, list[x])[lane];
  int per = 4 / size;
  uint32_t v = column32(w, list[x / per])[lane];
  return size == 4 ? v : v >> (x % per * size * 8) & ((1u << (size * 8)) - 1);
}
static void fragment_put(warp *w, const fragment *f, const int32_t *list, int lane, int x, uint64_t v) {
  int size = type_size(f->type);
  if (size == 8) { column64(w, list[x])[lane] = v; return; }
  int per = 4 / size, shift = x % per * size * 8;
  uint32_t *r = &column32(w, list[x / per])[lane], m = size == 4 ? ~0u : ((1u << (size * 8)) - 1) << shift;
  *r = (*r & ~m) | ((uint32_t)(v << shift) & m);
}
static fragment memory_fragment(const insn *i) {
  int m = i->size, n = i->vec, k = i->wide;
  return fragment_of(i->type, i->op == 'b' ? k : m, i->op == 'a' ? k : n, i->list_count);
}

static void wmma_move(warp *w, const insn *i, uint32_t mask, bool store) {
  whole_warp_only(w, i, mask);
  fragment f = memory_fragment(i);
  uint32_t size = (uint32_t)type_size(f.type), total = (uint32_t)(f.rows * f.columns);
  uint64_t base[MAX_LANES], stride[MAX_LANES];
  for (uint32_t l = 0; l < MAX_LANES; l++) {
    base[l] = lane_address(w, i, l);
    stride[l] = i->o[1] == NO_OPERAND ? (uint64_t)(i->type2 ? f.rows : f.columns) : column32(w, i->o[1])[l];
  }
  simt_counters *c = w->block->launch->counters;
  uint64_t last_sector = ~0ull;
  for (int lane = 0; lane < 32; lane++)
    for (int x = 0; x < f.elements; x++) {
      uint32_t index = (uint32_t)(lane * f.elements + x);
      if (store && index >= total) continue; /* the copies hold the same value */
      index %= total;
      uint64_t r = index / (uint32_t)f.columns, col = index % (uint32_t)f.columns;
      uint64_t at = base[lane] + (i->type2 ? col * stride[lane] + r : r * stride[lane] + col) * size;
      char *p = exec_resolve(w, i, lane, i->space, at, size, store ? ACCESS_WRITE : ACCESS_READ);
      if (!p) exec_abort(w);
      uint64_t v = 0;
      if (store) { v = fragment_get(w, &f, i->list, lane, x); memcpy(p, &v, size); }
      else { memcpy(&v, p, size); fragment_put(w, &f, i->list, lane, x, v); }
      bool shared = i->space == SP_SHARED || at - SHARED_WINDOW < WINDOW_BYTES;
      if ((uint32_t)(lane * f.elements + x) >= total || shared) continue;
      if (store) { c->global_stores++; c->global_store_bytes += size; } else { c->global_loads++; c->global_load_bytes += size; }
      if (at >> 5 != last_sector) c->global_sectors++;
      last_sector = at >> 5;
    }
  if (store) w->block->launch->memory_changes++;
}
void run_wmma_load(warp *w, const insn *i, uint32_t mask) { wmma_move(w, i, mask, false); }
void run_wmma_store(warp *w, const insn *i, uint32_t mask) { wmma_move(w, i, mask, true); }

void run_wmma_mma(warp *w, const insn *i, uint32_t mask) {
  static _Thread_local product p;
  whole_warp_only(w, i, mask);
  set_product(&p, i);
  int nd = i->list_defs, na = (int)(i->imm & 255), nb = (int)(i->imm >> 8), nc = i->list_count - nd - na - nb;
  fragment fa = fragment_of(p.a_type, p.m, p.k, na), fb = fragment_of(p.b_type, p.k, p.n, nb);
  fragment fc = fragment_of(p.c_type, p.m, p.n, nc), fd = fragment_of(p.d_type, p.m, p.n, nd);
  for (int x = 0; x < p.m * p.k; x++) put_input(&p, false, x, fragment_get(w, &fa, i->list + nd, x / fa.elements, x % fa.elements));
  for (int x = 0; x < p.k * p.n; x++) put_input(&p, true, x, fragment_get(w, &fb, i->list + nd + na, x / fb.elements, x % fb.elements));
  for (int x = 0; x < p.m * p.n; x++) put_accumulator(&p, x, fragment_get(w, &fc, i->list + nd + na + nb, x / fc.elements, x % fc.elements));
  multiply(&p);
  for (int lane = 0; lane < 32; lane++)
    for (int x = 0; x < fd.elements; x++)
      fragment_put(w, &fd, i->list, lane, x, take_result(&p, (lane * fd.elements + x) % (p.m * p.n)));
}
