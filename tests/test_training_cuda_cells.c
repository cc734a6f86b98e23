/* test_training_cuda_cells.c - the kernels of training of GRU and RNN against their twins. */
#include "training_cuda.h"

#include <math.h>
#include <string.h>

#define SIDE(array) (there ? (array).there : (array).here)

/* ---- GRU --------------------------------------------------------------------------------------------------------- */

const training_row training_gru_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "plain", .n = 4, .h = 7, .t = 3, .step = 1},
    {.name = "mask", .n = 9, .h = 5, .t = 5, .step = 1, .kind = ROWS_MASK, .repeats = 1},
    {.name = "first_reversed", .n = 9, .h = 5, .t = 4, .step = 2, .kind = ROWS_FIRST, .reversed = 1},
    {.name = "nothing_comes", .n = 9, .h = 5, .t = 4, .step = 2, .kind = ROWS_FIRST, .without = 7},
    {.name = "saturated", .n = 3, .h = 33, .scale = 60},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "tall", .n = 300, .h = 3},
    {.name = "options",
     .n = 9,
     .h = 6,
     .t = 3,
     .kind = ROWS_MASK,
     .options = {{RONDO_ELU, 0.5f, 0}, {RONDO_SOFTPLUS, 0, 0}, {0}, .clip = 2, .zoneout = 0.25f}},
    {.name = "before", .n = 4, .h = 6, .before = 1},
    {.name = "before_zoneout",
     .n = 9,
     .h = 6,
     .t = 3,
     .kind = ROWS_FIRST,
     .before = 1,
     .options = {.zoneout = 0.5f, .clip = 0.5f}},
    {.name = "norm", .n = 9, .h = 6, .t = 3, .step = 1, .kind = ROWS_MASK, .norm = 1, .scale = 1},
    {0},
};

static void gru_sums(const rondo_gru_cell_backward_args *args, ptrdiff_t r, ptrdiff_t j, near v[4]) {
  ptrdiff_t H = args->hidden_size, parts = args->recurrent || args->reset_before ? 3 : 4;
  v[3] = near_exact(0);
  for (ptrdiff_t l = 0; l < parts; l++) v[l] = training_exact(args->gates[(r * parts + l) * H + j]);
  for (ptrdiff_t l = 0; l < 3 && args->recurrent; l++) {
    near by_h = training_exact(args->gamma_recurrent[l * H + j]);
    by_h = training_times(training_exact(args->recurrent[(r * 3 + l) * H + j]), by_h);
    v[l] = training_times(v[l], training_exact(args->gamma_kernel[l * H + j]));
    if (l < 2)
      v[l] = training_add(v[l], by_h);
    else
      v[3] = by_h;
  }
  for (ptrdiff_t l = 0; l < 4; l++) v[l] = training_add(v[l], training_exact(args->bias[l * H + j]));
}

/* bounds: of dgates, drecurrent, dh. */
static void gru_bounds(const training_case *c, const rondo_gru_cell_backward_args *args, ptrdiff_t r, ptrdiff_t j,
                       double *const bounds[3]) {
  const rondo_cell_options *o = &args->options;
  ptrdiff_t H = args->hidden_size;
  near v[4], old = training_exact(args->h.at[r * H + j]), all = training_dh(c, r, j),
             dh = training_share(all, o->zoneout);
  gru_sums(args, r, j, v);
  near_dual z = training_gate(v[0], o->clip, o->recurrent_activation);
  near_dual reset = training_gate(v[1], o->clip, o->recurrent_activation);
  near inside = args->reset_before ? v[2] : training_add(v[2], training_times(reset.value, v[3]));
  near_dual n = training_gate(inside, o->clip, o->activation);
  near rest = training_add(near_exact(1), training_minus(z.value));
  near dv_z = training_times(training_times(dh, training_add(old, training_minus(n.value))), z.slope);
  near dv_n = training_times(training_times(dh, rest), n.slope);
  near dv_r = training_times(training_times(dv_n, v[3]), reset.slope);
  near straight = training_add(training_times(z.value, dh), training_kept(all, o->zoneout));
  const near gates[2][3] = {{dv_z, dv_r, dv_n}, {dv_z, dv_r, training_times(dv_n, reset.value)}};
  for (int side = 0; side < (args->reset_before ? 1 : 2); side++)
    for (int l = 0; l < 3; l++)
      if (!args->reset_before || l != 1) bounds[side][(r * 3 + l) * H + j] = training_bound(gates[side][l]);
  bounds[2][r * H + j] = training_bound(straight);
}

void test_gru_cell_backward(const void *parameter) {
  const training_row *k = parameter;
  training_case c;
  if (!training_case_make(k, k->before || k->norm ? 3 : 4, &c)) return;
  kernel_array dgates = kernel_poison(c.ctx, 3 * c.all), drecurrent = kernel_poison(c.ctx, 3 * c.all);
  if (!dgates.there || !drecurrent.there) return;
  rondo_gru_cell_backward_args both[2];
  for (int there = 0; there < 2; there++)
    both[there] = (rondo_gru_cell_backward_args){.step = there ? c.rows.there : c.rows.here,
                                                 .hidden_size = k->h,
                                                 .gates = SIDE(c.gates),
                                                 .recurrent = k->norm ? SIDE(c.recurrent) : NULL,
                                                 .bias = SIDE(c.bias),
                                                 .gamma_kernel = SIDE(c.weights),
                                                 .gamma_recurrent = SIDE(c.weights) + 3 * c.units,
                                                 .options = training_options(k),
                                                 .reset_before = k->before,
                                                 .h = {SIDE(c.old), k->h},
                                                 .output = there ? c.there : c.here,
                                                 .dgates = SIDE(dgates),
                                                 .drecurrent = SIDE(drecurrent)};
  double *const bounds[3] = {training_bounds(3 * c.all), training_bounds(3 * c.all), training_bounds(c.all)};
  for (ptrdiff_t r = 0; r < both[0].step.rows; r++)
    for (ptrdiff_t j = 0; j < k->h; j++) gru_bounds(&c, &both[0], r, j, bounds);
  kernel_launch(c.ctx, "gru_cell_backward", &both[1]);
  rondo_gru_cell_backward_ref(&both[0]);
  training_check("dgates", kernel_download(c.ctx, dgates), dgates.here, bounds[0], dgates.count);
  training_check("drecurrent", kernel_download(c.ctx, drecurrent), drecurrent.here, bounds[1], drecurrent.count);
  training_check("dh", kernel_download(c.ctx, c.dh), c.dh.here, bounds[2], c.all);
}

const training_row training_reset_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "odd", .n = 5, .h = 7},
    {.name = "clip", .n = 3, .h = 7, .options = {.recurrent_activation = {RONDO_HARD_SIGMOID, 0.2f, 0.5f}, .clip = 1}},
    {.name = "wide", .n = 2, .h = 261},
    {.name = "tall", .n = 300, .h = 3},
    {0},
};

void test_gru_reset_backward(const void *parameter) {
  const training_row *k = parameter;
  training_case c;
  if (!training_case_make(k, 3, &c)) return;
  kernel_array dgates = kernel_poison(c.ctx, 3 * c.all);
  if (!dgates.there) return;
  rondo_cell_options o = training_options(k);
  rondo_gru_reset_backward_args both[2];
  for (int there = 0; there < 2; there++)
    both[there] =
        (rondo_gru_reset_backward_args){k->n,   k->h,        SIDE(c.gates), SIDE(c.bias), o.recurrent_activation,
                                        o.clip, SIDE(c.old), SIDE(c.dc),    SIDE(c.dh),   SIDE(dgates)};
  double *dh = training_bounds(c.all), *by_r = training_bounds(3 * c.all);
  for (ptrdiff_t i = 0; i < (ptrdiff_t)c.all; i++) {
    ptrdiff_t at = (i / k->h * 3 + 1) * k->h + i % k->h;
    near dreset = training_exact(c.dc.here[i]);
    near v = training_add(training_exact(c.gates.here[at]), training_exact(c.bias.here[k->h + i % k->h]));
    near_dual reset = training_gate(v, o.clip, o.recurrent_activation);
    dh[i] = training_bound(training_add(training_exact(c.dh.here[i]), training_times(reset.value, dreset)));
    by_r[at] = training_bound(training_times(training_times(training_exact(c.old.here[i]), dreset), reset.slope));
  }
  kernel_launch(c.ctx, "gru_reset_backward", &both[1]);
  rondo_gru_reset_backward_ref(&both[0]);
  training_check("dh", kernel_download(c.ctx, c.dh), c.dh.here, dh, c.all);
  training_check("dgates", kernel_download(c.ctx, dgates), dgates.here, by_r, dgates.count);
}

/* ---- RNN: also all functions, and all that comes to h ------------------------------------------------------------ */

#define FUNCTION(kind_, ...)                                                                                           \
  {                                                                                                                    \
    .name = #kind_, .n = 4, .h = 9, .options = {.activation = {RONDO_##kind_, __VA_ARGS__} }                           \
  }

const training_row training_rnn_rows[] = {
    {.name = "one", .n = 1, .h = 1},
    {.name = "plain", .n = 3, .h = 8},
    {.name = "later", .n = 3, .h = 8, .t = 4, .step = 1},
    {.name = "mask", .n = 9, .h = 5, .t = 5, .step = 1, .kind = ROWS_MASK},
    {.name = "mask_repeats", .n = 9, .h = 5, .t = 5, .step = 1, .kind = ROWS_MASK, .repeats = 1},
    {.name = "mask_reversed", .n = 9, .h = 5, .t = 6, .step = 2, .kind = ROWS_MASK, .repeats = 1, .reversed = 1},
    {.name = "first_repeats", .n = 9, .h = 5, .t = 5, .step = 1, .kind = ROWS_FIRST, .repeats = 1},
    {.name = "zero_last", .n = 9, .h = 4, .t = 5, .step = 1, .kind = ROWS_FIRST, .zero_last = 1},
    {.name = "dy_alone", .n = 3, .h = 5, .without = 14},
    {.name = "dy_last_alone", .n = 3, .h = 8, .without = 13},
    {.name = "dh_n_alone", .n = 3, .h = 8, .without = 11},
    {.name = "nothing", .n = 3, .h = 8, .without = 15},
    {.name = "no_bias", .n = 3, .h = 8, .no_bias = 1},
    {.name = "projection",
     .n = 9,
     .h = 7,
     .t = 4,
     .step = 1,
     .kind = ROWS_MASK,
     .no_gates = 1,
     .options = {.activation = {RONDO_LINEAR, 0, 0}, .zoneout = 0.25f}},
    {.name = "zoneout", .n = 9, .h = 5, .t = 4, .step = 1, .kind = ROWS_MASK, .options = {.zoneout = 0.3f}},
    {.name = "clip", .n = 3, .h = 8, .options = {.clip = 1}},
    {.name = "wide", .n = 2, .h = 520},
    {.name = "tall", .n = 300, .h = 3},
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

void test_rnn_cell_backward(const void *parameter) {
  const training_row *k = parameter;
  training_case c;
  if (!training_case_make(k, 1, &c)) return;
  kernel_array dgates = kernel_poison(c.ctx, c.all);
  if (!dgates.there) return;
  rondo_rnn_cell_backward_args both[2];
  for (int there = 0; there < 2; there++)
    both[there] = (rondo_rnn_cell_backward_args){there ? c.rows.there : c.rows.here,
                                                 k->h,
                                                 k->no_gates ? NULL : SIDE(c.gates),
                                                 k->no_bias ? NULL : SIDE(c.bias),
                                                 training_options(k),
                                                 there ? c.there : c.here,
                                                 SIDE(dgates)};
  double *dh_bound = training_bounds(c.all), *bound = training_bounds(c.all);
  const rondo_cell_options o = training_options(k);
  for (ptrdiff_t i = 0; i < both[0].step.rows * (ptrdiff_t)k->h; i++) {
    near all = training_dh(&c, i / k->h, i % k->h), dh = training_share(all, o.zoneout);
    near v = training_exact(c.gates.here[i]);
    if (!k->no_bias) v = training_add(v, training_exact(c.bias.here[i % k->h]));
    if (!k->no_gates) dh = training_times(dh, training_gate(v, o.clip, o.activation).slope);
    bound[i] = training_bound(dh);
    if (o.zoneout > 0) dh_bound[i] = training_bound(training_kept(all, o.zoneout));
  }
  kernel_launch(c.ctx, "rnn_cell_backward", &both[1]);
  rondo_rnn_cell_backward_ref(&both[0]);
  training_check("dgates", kernel_download(c.ctx, dgates), dgates.here, bound, c.all);
  training_check("dh", kernel_download(c.ctx, c.dh), c.dh.here, dh_bound, c.all);
}
