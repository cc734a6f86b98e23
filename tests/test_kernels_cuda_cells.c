/* test_kernels_cuda_cells.c - the CUDA kernels of the cells against their twins: every value within the bound that the
 * rules of compare_near.c give, every place that the twin leaves alone left alone. */
#include "kernels_cuda.h"

#include <math.h>
#include <string.h>

/* ---- Where h goes ------------------------------------------------------------------------------------------------ */

static float *copy(const float *from, size_t count) {
  return memcpy(test_memory((count + 1) * sizeof(float)), from, count * sizeof(float));
}

/* arrays: here, there, or the bounds; rounded: likewise, or NULL. */
static rondo_output output_at(const kernel_cell_row *k, int t, float *const arrays[PLACES], float *rounded) {
  ptrdiff_t row = k->h + k->gap;
  float *at[PLACES];
  for (int i = 0; i < PLACES; i++) at[i] = k->without >> i & 1 ? NULL : arrays[i] + k->shift;
  if (at[Y] && k->reversed) at[Y] += (t - 1) * row;
  return (rondo_output){
      .h_next = {at[H_NEXT], row},
      .y = at[Y],
      .y_sequence = t * row,
      .y_timestep = k->reversed ? -row : row,
      .y_last = {at[Y_LAST], row},
      .h_n = {at[H_N], row},
      .merge = k->merge,
      .zero_y_last = k->zero_y_last,
      .type = k->type,
      .rounded = rounded && !(k->without >> ROUNDED & 1) ? (uint16_t *)(void *)rounded + k->shift : NULL,
      .rounded_stride = row};
}

/* h: where the old h stands, (N, H) with gaps. */
static int make_places(rondo_context *ctx, const kernel_cell_row *k, const kernel_rows *rows, kernel_array h,
                       places *p) {
  int t = rows->here.timesteps;
  size_t row = (size_t)(k->h + k->gap), shift = (size_t)k->shift, n = (size_t)rows->batch;
  const size_t counts[PLACES] = {n, n * (size_t)t, n, (size_t)rows->states};
  float *here[PLACES], *there[PLACES];
  for (int i = 0; i < PLACES; i++) {
    int merged = k->merge != RONDO_CONCAT && (i == Y || i == Y_LAST);
    size_t count = counts[i] * row + shift;
    p->array[i] = merged ? kernel_random(ctx, count, RANDOM_OLD, 2) : kernel_poison(ctx, count);
    if (i == H_NEXT && k->in_place) p->array[i] = h;
    if (!p->array[i].there) return 0;
    p->old[i] = copy(p->array[i].here, count);
    p->bound[i] = test_memory(count * sizeof(float));
    here[i] = p->array[i].here, there[i] = p->array[i].there;
  }
  p->rounded = kernel_poison_of(ctx, k->type, p->array[H_NEXT].count);
  if (!p->rounded.there) return 0;
  p->here = output_at(k, t, here, k->type ? p->rounded.here : NULL);
  p->there = output_at(k, t, there, k->type ? p->rounded.there : NULL);
  p->bounds = output_at(k, t, p->bound, NULL);
  p->bounds.merge = RONDO_CONCAT;
  p->bounds.type = RONDO_F32;
  return 1;
}

/* Places the bounds (R, H) as h is placed: by the twin that does nothing else. */
void cell_place_bounds(const kernel_cell_row *k, const kernel_rows *rows, const places *p, const float *bound) {
  rondo_rnn_cell_forward_ref(&(rondo_rnn_cell_forward_args){.step = rows->here,
                                                            .hidden_size = k->h,
                                                            .gates = bound,
                                                            .options = {.activation = {.kind = RONDO_LINEAR}},
                                                            .output = p->bounds});
}

/* got against the twin's; where bound is 0 every bit. */
void cell_check_array(const char *what, const float *got, const float *expected, const float *old, const float *bound,
                      size_t count, rondo_merge merge) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    double most = (double)bound[i];
    if (test_same_bits(&got[i], &expected[i], 1)) continue;
    if (!EXPECT(most > 0, "%s was written outside its rows, or not as it should be, at %zu", what, i)) return;
    if (merge == RONDO_MUL) most *= fabs((double)old[i]);
    most += 2 * 0x1p-24 * fabs((double)expected[i]) + 0x1p-148; /* merging, and the twin's own rounding to float */
    worst = compare_worst(worst, fabs((double)got[i] - (double)expected[i]) / most);
  }
  EXPECT_RATIO(worst, "%s", what);
}

/* Of rows that go on, as h_next would be. */
static void check_rounded(rondo_context *ctx, const kernel_cell_row *k, const kernel_rows *rows, const places *p,
                          const float *bound) {
  size_t count = p->array[H_NEXT].count;
  float *of_rounded = test_memory((count + 1) * sizeof(float));
  float *got = kernel_numbers(k->type, kernel_download(ctx, p->rounded), count);
  float *expected = kernel_numbers(k->type, p->rounded.here, count);
  int wanted = !(k->without >> ROUNDED & 1);
  places as_next = {.bounds = {.h_next = {wanted ? of_rounded + k->shift : NULL, k->h + k->gap}}};
  cell_place_bounds(k, rows, &as_next, bound);
  cell_round_bounds(k->type, of_rounded, expected, count);
  cell_check_array("rounded h", got, expected, NULL, of_rounded, count, RONDO_CONCAT);
}

void cell_round_bounds(rondo_dtype type, float *bound, const float *expected, size_t count) {
  for (size_t i = 0; i < count; i++) {
    double error = (double)bound[i], reach = fabs((double)expected[i]);
    reach += kernel_rounding(type, reach) + error; /* of what the kernel has rounded */
    if (error > 0) bound[i] = nextafterf((float)(error + 2 * kernel_rounding(type, reach)), INFINITY);
  }
}

void cell_check_places(rondo_context *ctx, const kernel_cell_row *k, const kernel_rows *rows, const places *p,
                       const float *bound) {
  static const char *const names[PLACES] = {"h_next", "y", "y_last", "h_n"};
  cell_place_bounds(k, rows, p, bound);
  for (int i = 0; i < PLACES; i++) {
    rondo_merge merge = i == Y || i == Y_LAST ? k->merge : RONDO_CONCAT;
    cell_check_array(names[i], kernel_download(ctx, p->array[i]), p->array[i].here, p->old[i], p->bound[i],
                     p->array[i].count, merge);
  }
  if (k->type) check_rounded(ctx, k, rows, p, bound);
}

/* A bound as a float, no smaller. */
float cell_bound(near v) {
  return nextafterf((float)v.error, INFINITY);
}

/* ---- What cells have in common ----------------------------------------------------------------------------------- */

rondo_cell_options cell_options(const kernel_cell_row *k) {
  rondo_cell_options options = k->options;
  if (!options.activation.kind) options.activation.kind = RONDO_TANH;
  if (!options.recurrent_activation.kind) options.recurrent_activation.kind = RONDO_SIGMOID;
  if (!options.output_activation.kind) options.output_activation.kind = RONDO_TANH;
  return options;
}

near cell_sum(double a, double b) {
  return near_add(near_exact(a), near_exact(b), compare_float.sum);
}

near cell_active(near v, float clip, rondo_function function) {
  return near_function(near_clip(v, (double)clip), function, compare_float);
}

near cell_zone(float rate, double old, near fresh) {
  return rate > 0 ? near_mix(near_exact((double)rate), near_exact(old), fresh, compare_float.state) : fresh;
}

/* A row (columns) normalised; gamma NULL: as it is. */
near *cell_normal(const float *row, int columns, const float *gamma) {
  near *v = test_memory((size_t)columns * sizeof *v);
  for (int i = 0; i < columns; i++) v[i] = near_exact((double)row[i]);
  if (gamma) near_normalize(v, columns, gamma, compare_float);
  return v;
}

int cell_make(const kernel_cell_row *k, int gates, int parts, cell_case *c) {
  c->ctx = test_context();
  if (!c->ctx) return 0;
  float scale = k->scale > 0 ? k->scale : 4;
  c->rows = kernel_rows_make(c->ctx, k->kind, k->n, k->t ? k->t : 1, k->step);
  c->units = (size_t)k->h, c->row = k->h + k->gap;
  size_t n = (size_t)k->n;
  c->gates = kernel_random(c->ctx, n * c->units * (size_t)gates, RANDOM_GATES, scale);
  c->recurrent = kernel_random(c->ctx, n * c->units * (size_t)gates, RANDOM_RECURRENT, scale);
  c->bias = kernel_random(c->ctx, c->units * (size_t)parts, RANDOM_BIAS, scale / 4);
  c->weights = kernel_random(c->ctx, c->units * 13, RANDOM_WEIGHTS, 1);
  c->h = kernel_random(c->ctx, n * (size_t)c->row + (size_t)k->shift, RANDOM_H, 1);
  c->bound = test_memory(n * c->units * sizeof(float));
  return c->gates.there && c->recurrent.there && c->bias.there && c->weights.there && c->h.there &&
         make_places(c->ctx, k, &c->rows, c->h, &c->places);
}

double cell_old_h(const cell_case *c, const kernel_cell_row *k, ptrdiff_t r, ptrdiff_t j) {
  return (double)c->h.here[k->shift + r * c->row + j];
}

/* ---- RNN: also all places of h, and all functions ---------------------------------------------------------------- */

#define FUNCTION(kind_, ...)                                                                                           \
  {                                                                                                                    \
    .name = #kind_, .n = 4, .h = 9, .options = {.activation = {RONDO_##kind_, __VA_ARGS__} }                           \
  }

const kernel_cell_row kernel_rnn_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "fours", .n = 3, .h = 8},
    {.name = "fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK},
    {.name = "fours_reversed", .n = 7, .h = 8, .t = 4, .step = 1, .kind = ROWS_FIRST, .reversed = 1},
    {.name = "fours_but_shifted", .n = 3, .h = 8, .shift = 1},
    {.name = "fours_but_odd_gap", .n = 3, .h = 8, .gap = 3},
    {.name = "odd_mask", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_MASK, .gap = 1, .in_place = 1},
    {.name = "no_bias", .n = 3, .h = 8, .no_bias = 1},
    {.name = "linear_no_bias", .n = 3, .h = 7, .no_bias = 1, .options = {.activation = {RONDO_LINEAR, 0, 0}}},
    {.name = "zoneout",
     .n = 9,
     .h = 5,
     .t = 4,
     .step = 1,
     .kind = ROWS_MASK,
     .in_place = 1,
     .options = {.zoneout = 0.3f}},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "tall", .n = 300, .h = 3},
    {.name = "sum", .n = 9, .h = 4, .t = 3, .step = 2, .kind = ROWS_MASK, .merge = RONDO_SUM},
    {.name = "mul", .n = 9, .h = 5, .t = 3, .step = 1, .kind = ROWS_MASK, .merge = RONDO_MUL},
    {.name = "ave", .n = 9, .h = 4, .t = 3, .step = 1, .kind = ROWS_FIRST, .merge = RONDO_AVE},
    {.name = "zero_last", .n = 9, .h = 4, .t = 4, .step = 1, .kind = ROWS_FIRST, .zero_y_last = 1},
    {.name = "zero_last_sum",
     .n = 9,
     .h = 4,
     .t = 4,
     .step = 2,
     .kind = ROWS_MASK,
     .zero_y_last = 1,
     .merge = RONDO_SUM},
    {.name = "h_next_alone", .n = 3, .h = 8, .t = 2, .without = 14},
    {.name = "y_alone", .n = 3, .h = 5, .without = 13},
    {.name = "y_last_alone", .n = 3, .h = 8, .without = 11},
    {.name = "h_n_alone", .n = 3, .h = 8, .without = 7},
    {.name = "nothing", .n = 3, .h = 8, .without = 15},
    {.name = "f16_fours", .n = 3, .h = 8, .t = 2, .type = RONDO_F16, .without = 1},
    {.name = "f16_fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK, .type = RONDO_F16},
    {.name = "f16_fours_but_shifted", .n = 3, .h = 8, .t = 2, .shift = 1, .type = RONDO_F16},
    {.name = "f16_tiny", .n = 3, .h = 8, .t = 2, .scale = 1e-6f, .type = RONDO_F16},
    {.name = "f16_zoneout",
     .n = 9,
     .h = 5,
     .t = 4,
     .step = 1,
     .kind = ROWS_MASK,
     .in_place = 1,
     .type = RONDO_F16,
     .options = {.zoneout = 0.3f}},
    {.name = "bf16_fours_first", .n = 7, .h = 8, .t = 4, .step = 1, .kind = ROWS_FIRST, .type = RONDO_BF16},
    {.name = "bf16_odd", .n = 3, .h = 5, .t = 2, .gap = 1, .type = RONDO_BF16, .without = 1},
    {.name = "bf16_linear_no_bias",
     .n = 3,
     .h = 7,
     .t = 2,
     .no_bias = 1,
     .type = RONDO_BF16,
     .options = {.activation = {RONDO_LINEAR, 0, 0}}},
    {.name = "bf16_not_wanted", .n = 3, .h = 8, .t = 2, .type = RONDO_BF16, .without = 33},
    FUNCTION(TANH, 0, 0),
    FUNCTION(SIGMOID, 0, 0),
    FUNCTION(HARD_SIGMOID, 0.2f, 0.5f),
    FUNCTION(RELU, 0, 0),
    FUNCTION(LINEAR, 0, 0),
    FUNCTION(SOFTSIGN, 0, 0),
    FUNCTION(SOFTPLUS, 0, 0),
    FUNCTION(ELU, 0.7f, 0),
    FUNCTION(SELU, 0, 0),
    FUNCTION(EXPONENTIAL, 0, 0),
    FUNCTION(SILU, 0, 0),
    FUNCTION(GELU, 0, 0),
    FUNCTION(LEAKY_RELU, 0.2f, 0),
    FUNCTION(RELU6, 0, 0),
    FUNCTION(MISH, 0, 0),
    FUNCTION(HARD_SILU, 0, 0),
    FUNCTION(HARD_TANH, 0, 0),
    FUNCTION(LOG_SIGMOID, 0, 0),
    FUNCTION(AFFINE, 0.7f, -0.3f),
    FUNCTION(THRESHOLDED_RELU, 0.9f, 0),
    FUNCTION(SCALED_TANH, 1.7f, 0.6f),
    FUNCTION(CELU, 0.7f, 0),
    FUNCTION(SQUAREPLUS, 0.6f, 0),
    FUNCTION(SOFT_SHRINK, 0.5f, 0),
    FUNCTION(HARD_SHRINK, 0.5f, 0),
    FUNCTION(TANH_SHRINK, 0, 0),
    FUNCTION(THRESHOLD, 0.9f, -0.4f),
    FUNCTION(SPARSE_PLUS, 0, 0),
    FUNCTION(SPARSE_SIGMOID, 0, 0),
    {0},
};

void test_rnn_cell_forward(const void *parameter) {
  const kernel_cell_row *k = parameter;
  cell_case c;
  if (!cell_make(k, 1, 1, &c)) return;
  rondo_rnn_cell_forward_args here = {.step = c.rows.here,
                                      .hidden_size = k->h,
                                      .gates = c.gates.here,
                                      .bias = k->no_bias ? NULL : c.bias.here,
                                      .options = cell_options(k),
                                      .h = {c.h.here + k->shift, c.row},
                                      .output = c.places.here};
  for (ptrdiff_t i = 0; i < here.step.rows * (ptrdiff_t)k->h; i++) {
    ptrdiff_t r = i / k->h, j = i % k->h;
    near v = cell_sum((double)here.gates[i], here.bias ? (double)here.bias[j] : 0);
    v = cell_active(v, here.options.clip, here.options.activation);
    c.bound[i] = cell_bound(cell_zone(here.options.zoneout, cell_old_h(&c, k, r, j), v));
  }
  rondo_rnn_cell_forward_args args = here;
  args.step = c.rows.there, args.gates = c.gates.there, args.bias = k->no_bias ? NULL : c.bias.there;
  args.h.at = c.h.there + k->shift, args.output = c.places.there;
  kernel_launch(c.ctx, "rnn_cell_forward", &args);
  rondo_rnn_cell_forward_ref(&here);
  cell_check_places(c.ctx, k, &c.rows, &c.places, c.bound);
}

/* The kernels' sigmoid where its exponential over- and underflows, at its reduction's seams, and for what is no number:
 * within 8 units of 2^-24, or 0 for what is no normal number. */
void test_sigmoid_limits(const void *unused) {
  enum { COUNT = 2048, SPECIAL = 12 };
  static const float special[SPECIAL] = {INFINITY, -INFINITY, 3.4e38f, -3.4e38f, 1e30f,  -1e30f,
                                         1e9f,     -1e9f,     0,       -0.0f,    1e-30f, -1e-45f};
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array v = kernel_random(ctx, COUNT, RANDOM_GATES, 110), h = kernel_poison(ctx, COUNT);
  if (!v.there || !h.there) return;
  memcpy(v.here, special, sizeof special);
  for (int i = SPECIAL; i < SPECIAL + 256; i++) v.here[i] = 0.34657359f * (float)(i - SPECIAL - 128); /* n + 1/2, n */
  v.here[COUNT - 1] = NAN;
  buffer_write(ctx, v.there, v.here, COUNT * sizeof(float));
  rondo_rnn_cell_forward_args args = {.step = {.rows = 1, .timesteps = 1},
                                      .hidden_size = COUNT,
                                      .gates = v.there,
                                      .options = {.activation = {RONDO_SIGMOID, 0, 0}},
                                      .output = {.h_n = {h.there, COUNT}}};
  kernel_launch(ctx, "rnn_cell_forward", &args);
  float *got = kernel_download(ctx, h);
  for (int i = 0; i < COUNT - 1; i++) {
    double exact = 1 / (1 + exp(-(double)v.here[i])), most = 8 * 0x1p-24 * exact;
    if (exact < 0x1p-126) most = exact;
    EXPECT(fabs((double)got[i] - exact) <= most && !signbit(got[i]), "sigmoid(%a) is %a", v.here[i], got[i]);
  }
  EXPECT(isnan(got[COUNT - 1]), "sigmoid(NaN) is %a", got[COUNT - 1]);
}
