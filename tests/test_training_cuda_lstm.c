/* test_training_cuda_lstm.c - an LSTM's kernels of training against their twins. */
#include "training_cuda.h"

#include <math.h>

#define SIDE(array) (there ? (array).there : (array).here)

const training_row training_lstm_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "plain", .n = 4, .h = 7, .t = 3, .step = 1},
    {.name = "last", .n = 4, .h = 8, .t = 3, .step = 2},
    {.name = "no_bias", .n = 4, .h = 7, .no_bias = 1},
    {.name = "mask", .n = 9, .h = 5, .t = 5, .step = 1, .kind = ROWS_MASK, .repeats = 1},
    {.name = "first_reversed", .n = 9, .h = 5, .t = 4, .step = 2, .kind = ROWS_FIRST, .reversed = 1},
    {.name = "zero_last", .n = 9, .h = 5, .t = 5, .step = 2, .kind = ROWS_MASK, .zero_last = 1},
    {.name = "nothing_comes", .n = 9, .h = 5, .t = 4, .step = 2, .kind = ROWS_FIRST, .without = 15},
    {.name = "saturated", .n = 3, .h = 33, .scale = 60},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "tall", .n = 300, .h = 3},
    {.name = "functions",
     .n = 4,
     .h = 7,
     .options = {.activation = {RONDO_ELU, 0.5f, 0},
                 .recurrent_activation = {RONDO_SOFTPLUS, 0, 0},
                 .output_activation = {RONDO_GELU, 0, 0}}},
    {.name = "clips", .n = 4, .h = 9, .options = {.clip = 1.5f, .cell_clip = 0.7f}},
    {.name = "zoneout",
     .n = 9,
     .h = 5,
     .t = 4,
     .step = 1,
     .kind = ROWS_FIRST,
     .repeats = 1,
     .options = {.zoneout = 0.25f, .zoneout_cell = 0.5f}},
    {.name = "peephole", .n = 4, .h = 7, .peephole = 1},
    {.name = "coupled", .n = 4, .h = 7, .options = {.input_forget = 1}, .peephole = 1},
    {.name = "projected",
     .n = 9,
     .h = 5,
     .t = 4,
     .step = 1,
     .kind = ROWS_MASK,
     .projected = 1,
     .options = {.zoneout = 0.5f}},
    {.name = "norm",
     .n = 9,
     .h = 6,
     .t = 4,
     .step = 1,
     .kind = ROWS_MASK,
     .norm = 1,
     .repeats = 1,
     .scale = 1,
     .options = {.zoneout = 0.25f}},
    {.name = "norm_wide", .n = 2, .h = 300, .norm = 1, .peephole = 1, .scale = 1, .options = {.cell_clip = 0.9f}},
    {0},
};

static rondo_lstm_sums sums_of(const training_case *c, int there) {
  float *weights = SIDE(c->weights);
  const training_row *k = c->k;
  return (rondo_lstm_sums){.hidden_size = k->h,
                           .gates = SIDE(c->gates),
                           .recurrent = k->norm ? SIDE(c->recurrent) : NULL,
                           .bias = k->no_bias ? NULL : SIDE(c->bias),
                           .peephole = k->peephole ? weights + 10 * c->units : NULL,
                           .gamma_kernel = k->norm ? weights : NULL,
                           .gamma_recurrent = k->norm ? weights + 4 * c->units : NULL,
                           .options = training_options(k)};
}

static near sum_near(const rondo_lstm_sums *s, ptrdiff_t r, ptrdiff_t l, ptrdiff_t j) {
  ptrdiff_t k = l * s->hidden_size + j, at = r * 4 * s->hidden_size + k;
  near v = training_exact(s->gates[at]);
  if (s->recurrent)
    v = training_add(training_times(v, training_exact(s->gamma_kernel[k])),
                     training_times(training_exact(s->recurrent[at]), training_exact(s->gamma_recurrent[k])));
  return s->bias ? training_add(v, training_exact(s->bias[k])) : v;
}

/* i, f, g, o and c'; held: by cell_clip. */
typedef struct unit {
  near_dual gate[4];
  near fresh;
  int held;
} unit;

static unit unit_near(const rondo_lstm_sums *s, ptrdiff_t r, ptrdiff_t j, near old) {
  const rondo_cell_options *o = &s->options;
  near v[4];
  unit u;
  for (int l = 0; l < 4; l++) v[l] = sum_near(s, r, l, j);
  for (int l = 0; l < 2 && s->peephole; l++)
    v[l] = training_add(v[l], training_times(training_exact(s->peephole[l * s->hidden_size + j]), old));
  for (int l = 0; l < 3; l++)
    u.gate[l] = training_gate(v[l], o->clip, l == 2 ? o->activation : o->recurrent_activation);
  if (o->input_forget)
    u.gate[1] = (near_dual){training_add(near_exact(1), training_minus(u.gate[0].value)), near_exact(0)};
  u.fresh = training_add(training_times(u.gate[1].value, old), training_times(u.gate[0].value, u.gate[2].value));
  u.held = o->cell_clip > 0 && fabs(u.fresh.value) >= (double)o->cell_clip;
  u.fresh = near_clip(u.fresh, (double)o->cell_clip);
  if (s->peephole)
    v[3] = training_add(v[3], training_times(training_exact(s->peephole[2 * s->hidden_size + j]), u.fresh));
  u.gate[3] = training_gate(v[3], o->clip, o->recurrent_activation);
  return u;
}

typedef struct lstm_arrays {
  kernel_array normal, scale, du, dhidden, dgates;
  double *dc, *dh, *du_bound, *dgates_bound;
} lstm_arrays;

static rondo_lstm_cell_backward_args lstm_args(const training_case *c, const lstm_arrays *a, int there) {
  int norm = c->k->norm;
  return (rondo_lstm_cell_backward_args){.step = there ? c->rows.there : c->rows.here,
                                         .sums = sums_of(c, there),
                                         .old = SIDE(c->old),
                                         .normal = norm ? SIDE(a->normal) : NULL,
                                         .scale = norm ? SIDE(a->scale) : NULL,
                                         .gamma_cell = SIDE(c->weights) + 8 * c->units,
                                         .beta_cell = SIDE(c->weights) + 9 * c->units,
                                         .du = norm ? SIDE(a->du) : NULL,
                                         .dhidden = c->k->projected ? SIDE(a->dhidden) : NULL,
                                         .output = there ? c->there : c->here,
                                         .dc = SIDE(c->dc),
                                         .dc_n = {c->k->without & 8 ? NULL : SIDE(c->dc_n), c->k->h},
                                         .dgates = SIDE(a->dgates)};
}

static void lstm_unit_bounds(const training_case *c, const rondo_lstm_cell_backward_args *args, lstm_arrays *a,
                             ptrdiff_t r, ptrdiff_t j, near dv_o, near dcell) {
  const rondo_cell_options *o = &args->sums.options;
  const float *p = args->sums.peephole;
  ptrdiff_t H = args->sums.hidden_size;
  near old = training_exact(args->old[r * H + j]), d[4],
       all = training_state(c, c->dc, c->dc_n, c->k->without & 8, r, j);
  unit u = unit_near(&args->sums, r, j, old);
  near dc = training_add(training_share(all, o->zoneout_cell), dcell);
  if (p) dc = training_add(dc, training_times(training_exact(p[2 * H + j]), dv_o));
  if (u.held) dc = near_exact(0);
  near by_i = o->input_forget ? training_add(u.gate[2].value, training_minus(old)) : u.gate[2].value;
  d[0] = training_times(training_times(dc, by_i), u.gate[0].slope);
  d[1] = training_times(training_times(dc, old), u.gate[1].slope);
  d[2] = training_times(training_times(dc, u.gate[0].value), u.gate[2].slope);
  d[3] = dv_o;
  near straight = training_add(training_times(dc, u.gate[1].value), training_kept(all, o->zoneout_cell));
  for (int l = 0; l < 2 && p; l++)
    straight = training_add(straight, training_times(training_exact(p[l * H + j]), d[l]));
  a->dc[r * H + j] = training_bound(straight);
  for (int l = 0; l < 4; l++) a->dgates_bound[(r * 4 + l) * H + j] = training_bound(d[l]);
}

static void lstm_row_bounds(const training_case *c, const rondo_lstm_cell_backward_args *args, lstm_arrays *a,
                            ptrdiff_t r) {
  const rondo_cell_options *o = &args->sums.options;
  ptrdiff_t H = args->sums.hidden_size;
  near *dv_o = test_memory(c->units * sizeof *dv_o), *du = test_memory(c->units * sizeof *du);
  near *g = test_memory(c->units * sizeof *g);
  for (ptrdiff_t j = 0; j < H; j++) {
    unit u = unit_near(&args->sums, r, j, training_exact(args->old[r * H + j]));
    near dh = args->dhidden ? training_exact(args->dhidden[r * H + j]) : training_dh(c, r, j), inside = u.fresh;
    if (!args->dhidden && o->zoneout > 0) a->dh[r * H + j] = training_bound(training_kept(dh, o->zoneout));
    if (!args->dhidden) dh = training_share(dh, o->zoneout);
    if (args->normal)
      inside =
          training_add(training_times(training_exact(args->normal[r * H + j]), training_exact(args->gamma_cell[j])),
                       training_exact(args->beta_cell[j]));
    near_dual q = training_gate(inside, 0, o->output_activation);
    du[j] = training_times(training_times(dh, u.gate[3].value), q.slope);
    dv_o[j] = training_times(training_times(dh, q.value), u.gate[3].slope);
    g[j] = training_times(du[j], training_exact(args->gamma_cell[j]));
    a->du_bound[r * H + j] = training_bound(du[j]);
  }
  for (ptrdiff_t j = 0; j < H; j++)
    lstm_unit_bounds(c, args, a, r, j, dv_o[j],
                     args->normal ? training_through_norm(g, args->normal + r * H, args->scale[r], H, j) : du[j]);
}

void test_lstm_cell_backward(const void *parameter) {
  training_case c;
  if (!training_case_make(parameter, 4, &c)) return;
  lstm_arrays a = {.normal = kernel_random(c.ctx, c.all, RANDOM_NORMAL, 1.7f),
                   .scale = kernel_random(c.ctx, (size_t)c.k->n, RANDOM_SCALE, 2),
                   .du = kernel_poison(c.ctx, c.all),
                   .dhidden = kernel_random(c.ctx, c.all, RANDOM_H, 1),
                   .dgates = kernel_poison(c.ctx, 4 * c.all),
                   .dc = training_bounds(c.all),
                   .dh = training_bounds(c.all),
                   .du_bound = training_bounds(c.all),
                   .dgates_bound = training_bounds(4 * c.all)};
  if (!a.normal.there || !a.scale.there || !a.du.there || !a.dhidden.there || !a.dgates.there) return;
  rondo_lstm_cell_backward_args args = lstm_args(&c, &a, 1), here = lstm_args(&c, &a, 0);
  for (ptrdiff_t r = 0; r < here.step.rows; r++) lstm_row_bounds(&c, &here, &a, r);
  kernel_launch(c.ctx, "lstm_cell_backward", &args);
  rondo_lstm_cell_backward_ref(&here);
  training_check("dgates", kernel_download(c.ctx, a.dgates), a.dgates.here, a.dgates_bound, a.dgates.count);
  training_check("dc", kernel_download(c.ctx, c.dc), c.dc.here, a.dc, c.all);
  training_check("dh", kernel_download(c.ctx, c.dh), c.dh.here, a.dh, c.all);
  training_check("du", kernel_download(c.ctx, a.du), a.du.here, a.du_bound, c.all);
}

/* From c_0 where the row has its first step, else from c. */
void test_lstm_replay_forward(const void *parameter) {
  enum { STEPS = 6 }; /* more than are asked for together, and not a multiple */
  training_case c;
  if (!training_case_make(parameter, 4 * STEPS, &c)) return;
  size_t rows = (size_t)c.rows.here.rows * c.units;
  kernel_array old = kernel_poison(c.ctx, STEPS * c.all), fresh = kernel_poison(c.ctx, STEPS * c.all);
  if (!old.there || !fresh.there) return;
  double *old_bound = training_bounds(old.count), *fresh_bound = training_bounds(old.count),
         *c_bound = training_bounds(c.all);
  rondo_lstm_replay_forward_args here = {.step = c.rows.here,
                                         .steps = STEPS,
                                         .sums = sums_of(&c, 0),
                                         .c_0 = {c.dc_n.here, c.k->h},
                                         .c = c.old.here,
                                         .old = old.here,
                                         .fresh = fresh.here};
  if (c.k->peephole) here.fresh = NULL;
  rondo_lstm_replay_forward_args args = here;
  args.step = c.rows.there, args.sums = sums_of(&c, 1), args.c_0.at = c.dc_n.there, args.c = c.old.there;
  args.old = old.there, args.fresh = here.fresh ? fresh.there : NULL;
  for (size_t i = 0; i < rows; i++) {
    ptrdiff_t r = (ptrdiff_t)(i / c.units), j = (ptrdiff_t)(i % c.units);
    rondo_row row = training_row_of(&c, r);
    near v = training_exact(c.old.here[i]);
    if (!c.k->step) v = row.state < 0 ? near_exact(0) : training_exact(c.dc_n.here[row.state * c.k->h + j]);
    for (size_t k = 0; k < STEPS; k++) {
      old_bound[k * rows + i] = training_bound(v);
      near made = unit_near(&here.sums, (ptrdiff_t)k * here.step.rows + r, j, v).fresh;
      fresh_bound[k * rows + i] = here.fresh ? training_bound(made) : 0;
      float rate = here.sums.options.zoneout_cell;
      v = rate > 0 ? training_add(training_kept(v, rate), training_share(made, rate)) : made;
    }
    c_bound[i] = training_bound(v);
  }
  kernel_launch(c.ctx, "lstm_replay_forward", &args);
  rondo_lstm_replay_forward_ref(&here);
  training_check("old c", kernel_download(c.ctx, old), old.here, old_bound, old.count);
  training_check("fresh c", kernel_download(c.ctx, fresh), fresh.here, fresh_bound, old.count);
  training_check("c", kernel_download(c.ctx, c.old), c.old.here, c_bound, c.all);
}
