/* kernels_body.h - every CPU kernel once, on the words of vec.h. kernels_<isa>.c includes it and gives KERNEL(name);
 * with VEC_TILES, products of pairs are in tiles. */
#include "cpu/kernels.h"
#include "cpu/vec_functions.h"
#include "cpu/vec_quads.h"

/* A loop over a part of a tile. It must vanish before the compiler decides what lives in registers, so it says so. */
#if defined(__clang__)
#define EACH(i, count) _Pragma("clang loop unroll(full)") for (int i = 0; i < (count); i++)
#else
#define EACH(i, count) _Pragma("GCC unroll 8") for (int i = 0; i < (count); i++)
#endif

/* To a row of y, which may hold the other direction's. */
INLINE void store_merged(float *to, vec a, int count, rondo_merge merge) {
  if (merge == RONDO_SUM || merge == RONDO_AVE) a = vec_add(vec_load_first(to, count), a);
  if (merge == RONDO_MUL) a = vec_mul(vec_load_first(to, count), a);
  if (merge == RONDO_AVE) a = vec_mul(a, vec_set(0.5f));
  vec_store_first(to, a, count);
}

INLINE void finish_h(const rondo_fused_forward_args *args, int row, int unit, vec h, int count) {
  vec_store_first(args->h_out[row] + unit, h, count);
  if (args->y) store_merged(args->y[row] + unit, h, count, args->merge);
}

/* From the gate sums of one row and block to its new state. Not inlined: constants would take registers that the sums
 * of the other rows need. */
#define FINISH static __attribute__((noinline)) void

FINISH finish_lstm(const rondo_fused_forward_args *args, int block, int row, vec i, vec f, vec g, vec o) {
  int unit = block * LANES, count = args->hidden - unit;
  vec c = vec_load_first(args->c_in[row] + unit, count);
  c = vec_fma(vec_sigmoid(f), c, vec_sigmoid_tanh(i, g));
  vec_store_first(args->c_out[row] + unit, c, count);
  finish_h(args, row, unit, vec_sigmoid_tanh(o, c), count);
}

/* n: of the recurrent part only. */
FINISH finish_gru(const rondo_fused_forward_args *args, int block, int row, vec z, vec r, vec n) {
  int unit = block * LANES, count = args->hidden - unit;
  vec x_part = vec_load(args->sums + block * args->sums_block + (row * 3 + 2) * LANES);
  n = vec_tanh(vec_fma(vec_sigmoid(r), n, x_part));
  z = vec_sigmoid(z);
  vec h = vec_load_first(args->h_in[row] + unit, count);
  finish_h(args, row, unit, vec_fma(z, h, vec_mul(vec_sub(vec_set(1.0f), z), n)), count);
}

FINISH finish_rnn(const rondo_fused_forward_args *args, int block, int row, vec a) {
  int unit = block * LANES;
  finish_h(args, row, unit, vec_tanh(a), args->hidden - unit);
}

/* Gates of a row of the narrow block lie packed. */
static void KERNEL(lstm_narrow_forward)(const rondo_fused_forward_args *args) {
  int block = args->first_block, units = args->hidden - block * LANES;
  const float *a = args->sums + block * args->sums_block;
  for (int row = 0; row < args->rows; row++, a += 4 * LANES)
    finish_lstm(args, block, row, vec_load_first(a, units), vec_load_first(a + units, units),
                vec_load_first(a + 2 * units, units), vec_load_first(a + 3 * units, units));
}

static void KERNEL(gru_narrow_begin)(int rows, int units, const float *bias, float *sums) {
  vec first = vec_load_first(bias, units);
  for (int row = 0; row < rows; row++, sums += 3 * LANES) {
    vec_store(sums + 2 * LANES, vec_load_first(sums + 2 * units, units));
    vec_store_first(sums + 2 * units, first, units);
  }
}

static void KERNEL(gru_narrow_forward)(const rondo_fused_forward_args *args) {
  int block = args->first_block, units = args->hidden - block * LANES;
  const float *a = args->sums + block * args->sums_block;
  for (int row = 0; row < args->rows; row++, a += 3 * LANES)
    finish_gru(args, block, row, vec_load_first(a, units), vec_load_first(a + units, units),
               vec_load_first(a + 2 * units, units));
}

#if defined(VEC_TILES)
#include "cpu/kernels_tiles.h"
#else
/* Rows of the next tile when `left` are left: the last two tiles share evenly, as thin tiles wait for weights. */
static int tile_rows(int left) {
  return left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
}

/* What sums begin with: of a product, `at` floats from its start; of a step, the sums of x, but in a GRU's last gate,
 * whose x part waits until the recurrent part has been scaled. */
INLINE vec product_start(const float *start, ptrdiff_t at) {
  return start ? vec_load(start + at) : vec_set(0.0f);
}

INLINE vec fused_start(const rondo_fused_forward_args *args, int block, int row, int gates, int gate) {
  if (gates == 3 && gate == 2) return vec_load(args->bias + block * LANES);
  return vec_load(args->sums + block * args->sums_block + (ptrdiff_t)(row * gates + gate) * LANES);
}

/* What a sum of quads stands for: scale is the row's, scales are those of the units. */
INLINE vec scaled_sum(vec_sums sum, vec start, const void *scales, const void *scale) {
  float of_row;
  memcpy(&of_row, scale, sizeof of_row);
  return vec_fma(vec_from_sums(sum), vec_mul(vec_set(of_row), vec_load(scales)), start);
}

#if defined(VEC_PAIRS)
#define OWN_TYPE RONDO_BF16
#define OWN_NAME bf16
#elif defined(VEC_VNNI)
#define OWN_TYPE RONDO_INT8
#define OWN_NAME int8
#endif

#define GATES 4
#include "cpu/kernels_weights.h"
#define GATES 3
#include "cpu/kernels_weights.h"
#define GATES 2
#include "cpu/kernels_weights.h"
#define GATES 1
#include "cpu/kernels_weights.h"

static void KERNEL(product_forward)(const rondo_product_forward_args *args) {
  static void (*const products[])(const rondo_product_forward_args *) = {NULL, product_1, product_2, product_3,
                                                                         product_4};
  products[args->gates](args);
}
#endif

#include "cpu/kernels_cell.h"

static void KERNEL(map)(rondo_function function, int count, const float *in, float *out) {
  for (int i = 0; i < count; i += LANES) {
    float lanes[LANES];
    vec_store(lanes, vec_load_first(in + i, count - i));
    activate(function, lanes, LANES);
    vec_store_first(out + i, vec_load(lanes), count - i);
  }
}

static void KERNEL(exp)(int count, const float *in, float *out) {
  for (int i = 0; i < count; i += LANES)
    vec_store_first(out + i, vec_exp(vec_load_first(in + i, count - i)), count - i);
}

#if defined(VEC_PAIRS)
static void KERNEL(pair)(int count, const float *in, uint32_t *out) {
  for (int i = 0; i < count; i += 2 * LANES) {
    vec first = vec_load_first(in + i, count - i), second = vec_set(0.0f);
    if (count - i > LANES) second = vec_load_first(in + i + LANES, count - i - LANES);
    vec_store_first_pairs(out + i / 2, vec_pair(first, second), (count - i + 1) / 2);
  }
}
#define PAIR KERNEL(pair)
#else
#define PAIR NULL
#endif

#if defined(VEC_TILES)
enum { PAIRS = 2 * TILE_PAIRS, PAIR_ROWS = PANEL_ROWS };
#elif defined(VEC_PAIRS)
enum { PAIRS = 2, PAIR_ROWS = ROWS };
#else
enum { PAIRS = 0, PAIR_ROWS = 0 };
#endif
/* The largest is found among bits, where infinities and NaNs are larger than any number. */
static void KERNEL(quantise)(int count, const float *in, uint32_t *out) {
  vec most = vec_set(0.0f);
  for (int i = 0; i < count; i += LANES) most = vec_larger(most, vec_abs(vec_load_first(in + i, count - i)));
  float largest = vec_largest(most), factor = 0, scale = 0;
  if (!(largest <= FLT_MAX))
    scale = largest - largest;
  else if (largest >= RONDO_INT8_LEAST)
    factor = 127 / largest, scale = largest / 127;
  for (int i = 0; i < count; i += LANES) {
    vec levels = vec_mul(vec_load_first(in + i, count - i), vec_set(factor));
    vec_store_first_quads(out + i / 4, levels, (count - i + 3) / 4);
  }
  memcpy(out + (count + 3) / 4, &scale, sizeof scale);
}

#define KERNELS(isa)                                                                                                   \
  const rondo_cpu_kernels rondo_cpu_kernels_##isa = {                                                                  \
      .name = #isa,                                                                                                    \
      .lanes = LANES,                                                                                                  \
      .rows = ROWS,                                                                                                    \
      .pairs = PAIRS,                                                                                                  \
      .pair_rows = PAIR_ROWS,                                                                                          \
      .product_forward = KERNEL(product_forward),                                                                      \
      .fused_forward = {[RONDO_LSTM] = fused_4, [RONDO_GRU] = fused_3, [RONDO_RNN] = fused_1},                         \
      .narrow_forward = {[RONDO_LSTM] = KERNEL(lstm_narrow_forward), [RONDO_GRU] = KERNEL(gru_narrow_forward)},        \
      .gru_narrow_begin = KERNEL(gru_narrow_begin),                                                                    \
      .layer_norm_forward = KERNEL(layer_norm_forward),                                                                \
      .gru_reset_forward = KERNEL(gru_reset_forward),                                                                  \
      .cell_forward = {[RONDO_LSTM] = KERNEL(lstm_cell_forward),                                                       \
                       [RONDO_GRU] = KERNEL(gru_cell_forward),                                                         \
                       [RONDO_RNN] = KERNEL(rnn_cell_forward),                                                         \
                       [RONDO_DENSE] = KERNEL(dense_cell_forward)},                                                    \
      .output_forward = KERNEL(output_forward),                                                                        \
      .words = {[RONDO_BF16] = PAIR, [RONDO_INT8] = KERNEL(quantise)},                                                 \
      .map = KERNEL(map),                                                                                              \
      .exp = KERNEL(exp),                                                                                              \
  }
