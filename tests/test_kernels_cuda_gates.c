/* test_kernels_cuda_gates.c - the CUDA kernels of the LSTM and of the GRU against their twins. */
#include "kernels_cuda.h"

#include <string.h>

/* ---- LSTM -------------------------------------------------------------------------------------------------------- */

const kernel_cell_row kernel_lstm_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "fours", .n = 3, .h = 8},
    {.name = "fours_gap", .n = 5, .h = 12, .gap = 8},
    {.name = "fours_in_place", .n = 3, .h = 16, .t = 3, .step = 1, .in_place = 1},
    {.name = "fours_zero_c", .n = 3, .h = 8, .no_c_0 = 1},
    {.name = "fours_but_shifted", .n = 3, .h = 8, .shift = 1},
    {.name = "fours_but_odd_gap", .n = 3, .h = 8, .gap = 3},
    {.name = "fours_first", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_FIRST},
    {.name = "fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK, .in_place = 1},
    {.name = "start_of_mask", .n = 7, .h = 8, .t = 3, .kind = ROWS_MASK, .in_place = 1},
    {.name = "odd", .n = 4, .h = 7, .t = 2},
    {.name = "odd_mask", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_MASK, .gap = 1},
    {.name = "tiny", .n = 3, .h = 8, .scale = 1e-5f},
    {.name = "saturated", .n = 3, .h = 33, .scale = 200},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "wide_odd", .n = 2, .h = 261, .gap = 1},
    {.name = "tall", .n = 300, .h = 3},
    {.name = "c_alone", .n = 3, .h = 8, .without = 15},
    {.name = "nothing", .n = 3, .h = 8, .without = 31},
    {.name = "peephole", .n = 4, .h = 6, .peephole = 1},
    {.name = "cifg", .n = 4, .h = 6, .t = 2, .options = {.input_forget = 1}},
    {.name = "clips", .n = 4, .h = 6, .options = {.clip = 0.5f, .cell_clip = 0.25f}},
    {.name = "zoneout",
     .n = 7,
     .h = 6,
     .t = 3,
     .kind = ROWS_MASK,
     .in_place = 1,
     .options = {.zoneout = 0.25f, .zoneout_cell = 0.75f}},
    {.name = "functions",
     .n = 4,
     .h = 6,
     .options = {.activation = {RONDO_SELU, 0, 0},
                 .recurrent_activation = {RONDO_HARD_SIGMOID, 0.2f, 0.5f},
                 .output_activation = {RONDO_SOFTSIGN, 0, 0}}},
    {.name = "unprojected", .n = 7, .h = 6, .t = 3, .step = 1, .kind = ROWS_FIRST, .unprojected = 1},
    {.name = "norm", .n = 4, .h = 6, .t = 2, .norm = 1},
    {.name = "norm_of_one", .n = 4, .h = 1, .norm = 1},
    {.name = "norm_wide", .n = 2, .h = 300, .norm = 1, .t = 2, .step = 1},
    {.name = "norm_all",
     .n = 7,
     .h = 9,
     .t = 3,
     .step = 1,
     .kind = ROWS_MASK,
     .norm = 1,
     .peephole = 1,
     .in_place = 1,
     .options = {.clip = 2, .cell_clip = 1, .zoneout = 0.25f, .zoneout_cell = 0.75f}},
    {.name = "f16_fours", .n = 5, .h = 12, .t = 2, .gap = 8, .type = RONDO_F16, .without = 1},
    {.name = "f16_fours_but_odd_gap", .n = 3, .h = 8, .t = 2, .gap = 3, .type = RONDO_F16, .without = 1},
    {.name = "f16_odd_mask", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_MASK, .type = RONDO_F16, .without = 1},
    {.name = "f16_zoneout",
     .n = 7,
     .h = 6,
     .t = 3,
     .kind = ROWS_MASK,
     .in_place = 1,
     .type = RONDO_F16,
     .options = {.zoneout = 0.25f, .zoneout_cell = 0.75f}},
    {.name = "f16_unprojected",
     .n = 7,
     .h = 6,
     .t = 3,
     .step = 1,
     .kind = ROWS_FIRST,
     .unprojected = 1,
     .type = RONDO_F16},
    {.name = "bf16_fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK, .type = RONDO_BF16, .without = 1},
    {.name = "bf16_functions",
     .n = 4,
     .h = 6,
     .t = 2,
     .peephole = 1,
     .type = RONDO_BF16,
     .options = {.activation = {RONDO_SELU, 0, 0}}},
    {.name = "bf16_norm_unprojected", .n = 4, .h = 7, .t = 2, .norm = 1, .unprojected = 1, .type = RONDO_BF16},
    {.name = "bf16_norm", .n = 4, .h = 6, .t = 2, .norm = 1, .type = RONDO_BF16, .options = {.zoneout = 0.25f}},
    {0},
};

/* c' and o of a row (H each). */
static void lstm_near(const kernel_cell_row *k, const rondo_lstm_cell_forward_args *args, ptrdiff_t r, near *old,
                      near *fresh, near *o) {
  const rondo_cell_options *f = &args->options;
  ptrdiff_t H = k->h;
  double u = compare_float.state;
  near *x = cell_normal(args->gates + r * 4 * H, 4 * k->h, k->norm ? args->gamma_kernel : NULL), *h = NULL, v[4];
  if (k->norm) h = cell_normal(args->recurrent + r * 4 * H, 4 * k->h, args->gamma_recurrent);
  for (ptrdiff_t j = 0; j < H; j++) {
    for (int l = 0; l < 4; l++) {
      v[l] = near_add(x[l * H + j], near_exact((double)args->bias[l * H + j]), u);
      if (h) v[l] = near_add(v[l], h[l * H + j], u);
    }
    const float *p = args->peephole;
    for (int l = 0; l < 2 && p; l++)
      v[l] = near_add(v[l], near_multiply(near_exact((double)p[l * H + j]), old[j], u), u);
    near i = cell_active(v[0], f->clip, f->recurrent_activation);
    near forget = cell_active(v[1], f->clip, f->recurrent_activation);
    if (f->input_forget) forget = near_add(near_exact(1), (near){-i.value, i.error}, u);
    near added = near_multiply(i, cell_active(v[2], f->clip, f->activation), u);
    fresh[j] = near_clip(near_add(near_multiply(forget, old[j], u), added, u), (double)f->cell_clip);
    if (p) v[3] = near_add(v[3], near_multiply(near_exact((double)p[2 * H + j]), fresh[j], u), u);
    o[j] = cell_active(v[3], f->clip, f->recurrent_activation);
  }
}

/* The bounds of h and of the new c (R, H). */
static void lstm_bounds(const kernel_cell_row *k, const cell_case *c, const rondo_lstm_cell_forward_args *args,
                        float *c_bound) {
  ptrdiff_t H = k->h;
  near *old = test_memory(c->units * sizeof *old), *fresh = test_memory(c->units * sizeof *old);
  near *o = test_memory(c->units * sizeof *old), *inside = test_memory(c->units * sizeof *old);
  for (ptrdiff_t r = 0; r < args->step.rows; r++) {
    rondo_row row = args->step.row ? args->step.row[r] : (rondo_row){(int)r, (int)r, 0, 0};
    for (ptrdiff_t j = 0; j < H; j++) {
      int zero = row.state < 0 || !args->c_0.at;
      double of_0 = zero ? 0 : (double)args->c_0.at[row.state * args->c_0.stride + j];
      old[j] = near_exact(k->step ? (double)args->c[r * H + j] : of_0);
    }
    lstm_near(k, args, r, old, fresh, o);
    memcpy(inside, fresh, c->units * sizeof *inside);
    if (k->norm) near_normalize(inside, k->h, args->gamma_cell, compare_float);
    for (ptrdiff_t j = 0; j < H; j++) {
      if (k->norm) inside[j] = near_add(inside[j], near_exact((double)args->beta_cell[j]), compare_float.state);
      near h = near_function(inside[j], args->options.output_activation, compare_float);
      h = near_multiply(o[j], h, compare_float.state);
      if (!k->unprojected) h = cell_zone(args->options.zoneout, cell_old_h(c, k, r, j), h);
      c->bound[r * H + j] = cell_bound(h);
      c_bound[r * H + j] = cell_bound(cell_zone(args->options.zoneout_cell, old[j].value, fresh[j]));
    }
  }
}

static rondo_lstm_cell_forward_args lstm_args(const kernel_cell_row *k, const cell_case *c, int there,
                                              const kernel_array cells[4]) {
#define SIDE(array) (there ? (array).there : (array).here)
  float *weights = SIDE(c->weights), *c_0 = SIDE(cells[0]) + k->shift, *c_n = SIDE(cells[2]) + k->shift;
  size_t H = c->units;
  return (rondo_lstm_cell_forward_args){.step = there ? c->rows.there : c->rows.here,
                                        .hidden_size = k->h,
                                        .gates = SIDE(c->gates),
                                        .recurrent = k->norm ? SIDE(c->recurrent) : NULL,
                                        .bias = SIDE(c->bias),
                                        .peephole = k->peephole ? weights + 10 * H : NULL,
                                        .gamma_kernel = weights,
                                        .gamma_recurrent = weights + 4 * H,
                                        .gamma_cell = weights + 8 * H,
                                        .beta_cell = weights + 9 * H,
                                        .options = cell_options(k),
                                        .h = {SIDE(c->h) + k->shift, c->row},
                                        .c_0 = {k->no_c_0 ? NULL : c_0, c->row},
                                        .c = SIDE(cells[1]),
                                        .c_n = {k->without >> C_N & 1 ? NULL : c_n, c->row},
                                        .unprojected = k->unprojected ? SIDE(cells[3]) : NULL,
                                        .output = there ? c->places.there : c->places.here};
}

void test_lstm_cell_forward(const void *parameter) {
  const kernel_cell_row *k = parameter;
  cell_case c;
  if (!cell_make(k, 4, 4, &c)) return;
  size_t states = (size_t)(c.rows.states * c.row) + (size_t)k->shift, all = (size_t)k->n * c.units;
  kernel_array cells[4] = {kernel_random(c.ctx, states, RANDOM_STATE, 2), kernel_random(c.ctx, all, RANDOM_OLD, 2),
                           kernel_poison(c.ctx, states), kernel_poison(c.ctx, all)};
  if (k->in_place) cells[2] = cells[0];
  for (int i = 0; i < 4; i++)
    if (!cells[i].there) return;
  rondo_lstm_cell_forward_args args = lstm_args(k, &c, 1, cells), here = lstm_args(k, &c, 0, cells);
  float *c_bound = test_memory(all * sizeof(float));
  lstm_bounds(k, &c, &here, c_bound);
  kernel_launch(c.ctx, "lstm_cell_forward", &args);
  rondo_lstm_cell_forward_ref(&here);
  if (k->unprojected) {
    float *got = kernel_numbers(k->type, kernel_download(c.ctx, cells[3]), all);
    float *expected = kernel_numbers(k->type, cells[3].here, all);
    if (k->type) cell_round_bounds(k->type, c.bound, expected, all);
    cell_check_array("unprojected", got, expected, NULL, c.bound, all, RONDO_CONCAT);
    memset(c.bound, 0, all * sizeof(float));
  }
  cell_check_places(c.ctx, k, &c.rows, &c.places, c.bound);
  /* The new c of rows that go on stands by r, of rows that end by state: as h_next and h_n do. */
  float *on = test_memory(all * sizeof(float)), *end = test_memory(states * sizeof(float));
  kernel_cell_row as_h = *k;
  places p = {.bounds = {.h_next = {on, k->h}, .h_n = {k->without >> C_N & 1 ? NULL : end + k->shift, c.row}}};
  cell_place_bounds(&as_h, &c.rows, &p, c_bound);
  cell_check_array("c", kernel_download(c.ctx, cells[1]), cells[1].here, NULL, on, all, RONDO_CONCAT);
  cell_check_array("c_n", kernel_download(c.ctx, cells[2]), cells[2].here, NULL, end, states, RONDO_CONCAT);
}

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

const kernel_cell_row kernel_reset_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "gap", .n = 5, .h = 6, .gap = 3},
    {.name = "function", .n = 3, .h = 7, .options = {.recurrent_activation = {RONDO_HARD_SIGMOID, 0.2f, 0.5f}}},
    {.name = "clip", .n = 3, .h = 7, .options = {.clip = 0.5f}},
    {.name = "f16", .n = 3, .h = 7, .gap = 1, .type = RONDO_F16},
    {.name = "bf16", .n = 3, .h = 8, .type = RONDO_BF16, .options = {.clip = 0.5f}},
    {.name = "wide", .n = 2, .h = 261},
    {.name = "tall", .n = 300, .h = 3},
    {0},
};

void test_gru_reset_forward(const void *parameter) {
  const kernel_cell_row *k = parameter;
  cell_case c;
  if (!cell_make(k, 3, 4, &c)) return;
  ptrdiff_t H = k->h;
  kernel_array saved = kernel_poison(c.ctx, (size_t)k->n * c.units);
  if (!saved.there) return;
  rondo_cell_options options = cell_options(k);
  float *bound = test_memory(c.h.count * sizeof(float));
  for (ptrdiff_t i = 0; i < k->n * H; i++) {
    near v = cell_sum((double)c.gates.here[(i / H * 3 + 1) * H + i % H], (double)c.bias.here[H + i % H]);
    v = cell_active(v, options.clip, options.recurrent_activation);
    near h = near_exact(cell_old_h(&c, k, i / H, i % H));
    bound[i / H * c.row + i % H] = cell_bound(near_multiply(v, h, compare_float.state));
  }
  kernel_array rounded = kernel_poison_of(c.ctx, k->type, c.h.count);
  if (!rounded.there) return;
  rondo_gru_reset_forward_args args = {
      k->n,        k->h,    c.gates.there, c.bias.there, options.recurrent_activation, options.clip, {c.h.there, c.row},
      saved.there, k->type, rounded.there, c.row};
  kernel_launch(c.ctx, "gru_reset_forward", &args);
  args.gates = c.gates.here, args.bias = c.bias.here, args.h.at = c.h.here, args.saved = saved.here;
  args.rounded = rounded.here;
  float *old = memcpy(test_memory(c.h.count * sizeof *old), c.h.here, c.h.count * sizeof *old);
  rondo_gru_reset_forward_ref(&args);
  if (k->type) {
    float *expected = kernel_numbers(k->type, rounded.here, c.h.count);
    cell_round_bounds(k->type, bound, expected, c.h.count);
    cell_check_array("r * h", kernel_numbers(k->type, kernel_download(c.ctx, rounded), c.h.count), expected, NULL,
                     bound, c.h.count, RONDO_CONCAT);
    EXPECT(test_same_bits(kernel_download(c.ctx, c.h), old, c.h.count), "h has not stayed");
  } else {
    cell_check_array("r * h", kernel_download(c.ctx, c.h), c.h.here, NULL, bound, c.h.count, RONDO_CONCAT);
  }
  EXPECT(test_same_bits(kernel_download(c.ctx, saved), saved.here, saved.count), "saved is not the old h");
}

const kernel_cell_row kernel_gru_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "fours", .n = 3, .h = 8},
    {.name = "fours_in_place", .n = 3, .h = 16, .t = 3, .step = 1, .in_place = 1},
    {.name = "fours_but_shifted", .n = 3, .h = 8, .shift = 1},
    {.name = "fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK},
    {.name = "odd", .n = 4, .h = 7, .gap = 1},
    {.name = "odd_first", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_FIRST, .in_place = 1},
    {.name = "saturated", .n = 3, .h = 33, .scale = 200},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "tall", .n = 300, .h = 3},
    {.name = "options",
     .n = 7,
     .h = 6,
     .t = 3,
     .kind = ROWS_MASK,
     .in_place = 1,
     .options = {.activation = {RONDO_ELU, 0.5f, 0},
                 .recurrent_activation = {RONDO_SOFTPLUS, 0, 0},
                 .clip = 2,
                 .zoneout = 0.25f}},
    {.name = "before", .n = 4, .h = 6, .reset_before = 1},
    {.name = "before_zoneout",
     .n = 7,
     .h = 6,
     .t = 3,
     .kind = ROWS_FIRST,
     .reset_before = 1,
     .options = {.zoneout = 0.5f, .clip = 0.5f}},
    {.name = "norm", .n = 7, .h = 6, .t = 3, .step = 1, .kind = ROWS_MASK, .norm = 1, .in_place = 1},
    {.name = "norm_wide", .n = 2, .h = 300, .norm = 1, .options = {.zoneout = 0.5f}},
    {.name = "apart", .n = 3, .h = 8, .apart = 1},
    {.name = "apart_odd_first", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_FIRST, .in_place = 1, .apart = 1},
    {.name = "x_first", .n = 3, .h = 8, .x_first = 1},
    {.name = "x_first_odd", .n = 4, .h = 7, .gap = 1, .x_first = 1},
    {.name = "x_first_zoneout", .n = 4, .h = 7, .x_first = 1, .options = {.zoneout = 0.25f}},
    {.name = "x_first_apart", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK, .x_first = 1, .apart = 1},
    {.name = "x_first_apart_odd", .n = 4, .h = 7, .x_first = 1, .apart = 1},
    {.name = "x_first_apart_options",
     .n = 7,
     .h = 6,
     .t = 3,
     .kind = ROWS_MASK,
     .x_first = 1,
     .apart = 1,
     .options = {.activation = {RONDO_ELU, 0.5f, 0}, .recurrent_activation = {RONDO_SOFTPLUS, 0, 0}, .clip = 2}},
    {.name = "f16_x_first_apart", .n = 4, .h = 8, .t = 2, .x_first = 1, .apart = 1, .type = RONDO_F16},
    {.name = "f16_fours_mask", .n = 7, .h = 8, .t = 4, .step = 2, .kind = ROWS_MASK, .type = RONDO_F16, .in_place = 1},
    {.name = "f16_odd", .n = 4, .h = 7, .t = 2, .gap = 1, .type = RONDO_F16},
    {.name = "f16_before", .n = 4, .h = 6, .t = 2, .reset_before = 1, .type = RONDO_F16},
    {.name = "f16_norm", .n = 4, .h = 6, .t = 2, .norm = 1, .type = RONDO_F16},
    {.name = "bf16_fours", .n = 3, .h = 8, .t = 3, .step = 1, .type = RONDO_BF16, .in_place = 1},
    {.name = "bf16_zoneout", .n = 4, .h = 6, .t = 2, .type = RONDO_BF16, .options = {.zoneout = 0.25f}},
    {0},
};

static near gru_near(const kernel_cell_row *k, const rondo_gru_cell_forward_args *args, const near *x, const near *h,
                     ptrdiff_t j, double old) {
  const rondo_cell_options *f = &args->options;
  ptrdiff_t H = k->h, parts = k->reset_before || k->norm || k->apart ? 3 : 4;
  double u = compare_float.state;
  near v[4] = {{0, 0}};
  for (ptrdiff_t l = 0; l < parts; l++) v[l] = x[(k->x_first && l < 3 ? (l + 1) % 3 : l) * H + j];
  for (ptrdiff_t l = 0; l < 2 && k->apart; l++) v[l] = near_add(v[l], h[l * H + j], u);
  for (ptrdiff_t l = 0; l < parts; l++) v[l] = near_add(v[l], near_exact((double)args->bias[l * H + j]), u);
  for (ptrdiff_t l = 0; l < 2 && k->norm; l++) v[l] = near_add(v[l], h[l * H + j], u);
  if (h) v[3] = near_add(h[2 * H + j], near_exact((double)args->bias[3 * H + j]), u);
  near z = cell_active(v[0], f->clip, f->recurrent_activation);
  near r = cell_active(v[1], f->clip, f->recurrent_activation);
  if (!k->reset_before) v[2] = near_add(v[2], near_multiply(r, v[3], u), u);
  near fresh = near_mix(z, near_exact(old), cell_active(v[2], f->clip, f->activation), u);
  return cell_zone(f->zoneout, old, fresh);
}

void test_gru_cell_forward(const void *parameter) {
  const kernel_cell_row *k = parameter;
  int gates = k->reset_before || k->norm || k->apart ? 3 : 4;
  cell_case c;
  if (!cell_make(k, gates, 4, &c)) return;
  rondo_gru_cell_forward_args here = {.step = c.rows.here,
                                      .hidden_size = k->h,
                                      .gates = c.gates.here,
                                      .recurrent = k->norm || k->apart ? c.recurrent.here : NULL,
                                      .bias = c.bias.here,
                                      .gamma_kernel = k->norm ? c.weights.here : NULL,
                                      .gamma_recurrent = k->norm ? c.weights.here + 3 * c.units : NULL,
                                      .options = cell_options(k),
                                      .reset_before = k->reset_before,
                                      .h = {c.h.here + k->shift, c.row},
                                      .output = c.places.here,
                                      .x_first = k->x_first};
  for (ptrdiff_t r = 0; r < here.step.rows; r++) {
    near *x = cell_normal(here.gates + r * gates * k->h, gates * k->h, here.gamma_kernel), *h = NULL;
    if (here.recurrent) h = cell_normal(here.recurrent + r * 3 * k->h, 3 * k->h, here.gamma_recurrent);
    for (ptrdiff_t j = 0; j < k->h; j++)
      c.bound[r * k->h + j] = cell_bound(gru_near(k, &here, x, h, j, cell_old_h(&c, k, r, j)));
  }
  rondo_gru_cell_forward_args args = here;
  args.step = c.rows.there, args.gates = c.gates.there, args.recurrent = here.recurrent ? c.recurrent.there : NULL;
  args.bias = c.bias.there, args.output = c.places.there, args.h.at = c.h.there + k->shift;
  if (k->norm) args.gamma_kernel = c.weights.there, args.gamma_recurrent = c.weights.there + 3 * c.units;
  kernel_launch(c.ctx, "gru_cell_forward", &args);
  rondo_gru_cell_forward_ref(&here);
  cell_check_places(c.ctx, k, &c.rows, &c.places, c.bound);
}
