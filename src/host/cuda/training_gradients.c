/* training_gradients.c - what follows the steps backward: gradients by the parameters and by x, of all rows at once.
 *
 *   [dR; dW] += hx^T (O + F, M) @ dgates (M, G*H)   one product; two where R and W have gradients of their own (GRU,
 *                                                   layer_norm), three with reset_before
 *   db += the sums of dgates over its rows          two kernels, also for each of the small arrays
 *   dx = dgates @ W^T (M, F)                        one product, then dx_scatter to the rows of dx
 *
 * with recurrent_dropout each for one gate after the other, as each has masks of its own.
 *
 * Everything is added to dparams, which the call has set to zeros unless it accumulates. */
#include "training.h"

enum { PART = 64 }; /* rows that one block sums up, if that does not make too many parts */

/* to (columns) += the sums over all rows of a * b, or of a. */
static rondo_status sum(const rondo_cuda_back *back, rondo_const_rows a, rondo_const_rows b, int columns, float *to) {
  int parts = back->rows / PART < RONDO_CUDA_PARTS ? back->rows / PART : RONDO_CUDA_PARTS;
  if (parts < 2) parts = 1;
  rondo_column_sums_args args = {back->rows, columns, parts, a, b, parts > 1 ? back->scratch.sums : to, parts == 1};
  CUDA_TRY(rondo_column_sums_cuda(&args, back->state->stream));
  if (parts == 1) return RONDO_OK;
  args = (rondo_column_sums_args){parts, columns, 1, {back->scratch.sums, columns}, {NULL, 0}, to, 1};
  CUDA_TRY(rondo_column_sums_cuda(&args, back->state->stream));
  return RONDO_OK;
}

static rondo_const_rows rows_of(const float *array, int columns) {
  return (rondo_const_rows){array, columns};
}

static rondo_status biases(const rondo_cuda_back *back) {
  const rondo_cuda_scratch *s = &back->scratch;
  float *const *d = back->dparams.at;
  int columns = back->columns;
  rondo_const_rows none = {NULL, 0}, by_x = rows_of(s->dgates, columns);
  rondo_const_rows by_h = rows_of(s->drecurrent ? s->drecurrent : s->dgates, columns);
  if (d[RONDO_BIAS]) TRY(sum(back, by_x, none, columns, d[RONDO_BIAS]));
  if (d[RONDO_RECURRENT_BIAS]) TRY(sum(back, by_h, none, columns, d[RONDO_RECURRENT_BIAS]));
  if (!back->pass->layer->layer_norm) return RONDO_OK;
  TRY(sum(back, by_x, rows_of(s->gates, columns), columns, d[RONDO_GAMMA_KERNEL]));
  TRY(sum(back, by_h, rows_of(s->recurrent, columns), columns, d[RONDO_GAMMA_RECURRENT]));
  if (!d[RONDO_GAMMA_CELL]) return RONDO_OK;
  int units = back->pass->hidden_size;
  TRY(sum(back, rows_of(s->du, units), rows_of(s->normal, units), units, d[RONDO_GAMMA_CELL]));
  return sum(back, rows_of(s->du, units), none, units, d[RONDO_BETA_CELL]);
}

/* Rows i, f, o: i and f see the old c, o the new one. */
static rondo_status peephole(const rondo_cuda_back *back) {
  static const int gates[] = {0, 1, 3};
  const rondo_cuda_scratch *s = &back->scratch;
  int units = back->pass->hidden_size;
  for (int i = 0; i < 3; i++)
    TRY(sum(back, rows_of(s->dgates + gates[i] * units, back->columns), rows_of(i < 2 ? s->old : s->fresh, units),
            units, back->dparams.at[RONDO_PEEPHOLE] + (ptrdiff_t)i * units));
  return RONDO_OK;
}

/* to (rows, columns) += from^T @ d, both of all rows. d's rows and to's have stride floats. */
static rondo_status product(const rondo_cuda_back *back, int rows, int columns, rondo_const_rows from, const float *d,
                            float *to, int stride) {
  rondo_cuda_operand a = {from.at, (int)from.stride, 1}, b = {d, stride, 0};
  return rondo_cuda_multiply(back, rows, columns, back->rows, a, b, 1, (rondo_cuda_matrix){to, stride});
}

/* hx holds r * h for the gate h, and the old h stands apart for z and r. */
static rondo_status kernels_of_reset_before(const rondo_cuda_back *back, float *to) {
  int units = back->pass->hidden_size, columns = back->columns;
  const float *d = back->scratch.dgates, *hx = back->kept.hx;
  TRY(product(back, units, 2 * units, rows_of(back->kept.h, units), d, to, columns));
  TRY(product(back, units, units, rows_of(hx, back->hx_row), d + 2 * units, to + 2 * units, columns));
  return product(back, back->pass->input_size, columns, rows_of(hx + units, back->hx_row), d,
                 back->dparams.at[RONDO_KERNEL], columns);
}

/* Each gate was given other rows. dR and dW lie together, so where d is the same for both they are one product. */
static rondo_status kernels_of_masked(const rondo_cuda_back *back, const float *by_h, float *dr) {
  const rondo_pass *pass = back->pass;
  const rondo_cuda_scratch *s = &back->scratch;
  int output = pass->output_size, inputs = pass->input_size, row = back->hx_row;
  int columns = back->columns, width = columns / pass->masks, apart = by_h != s->dgates;
  float *dw = back->dparams.at[RONDO_KERNEL];
  for (int g = 0; g < pass->masks; g++) {
    int at = g * width, saved = pass->layer->reset_before && g < 2;
    TRY(rondo_cuda_mask_all(back, saved ? rows_of(back->kept.h, output) : rows_of(back->kept.hx, row), g));
    TRY(product(back, apart ? output : output + inputs, width, rows_of(s->masked, row), by_h + at, dr + at, columns));
    if (apart) TRY(product(back, inputs, width, rows_of(s->masked + output, row), s->dgates + at, dw + at, columns));
  }
  return RONDO_OK;
}

static rondo_status kernels(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  const rondo_cuda_scratch *s = &back->scratch;
  int output = (int)rondo_cuda_h_columns(layer), inputs = back->pass->input_size, columns = back->columns;
  float *dr = back->dparams.at[RONDO_RECURRENT_KERNEL], *dw = back->dparams.at[RONDO_KERNEL];
  const float *by_h = s->dproduct ? s->dproduct : s->drecurrent;
  rondo_const_rows hx = rows_of(back->kept.hx, back->hx_row), x = rows_of(back->kept.hx + output, back->hx_row);
  if (back->pass->recurrent_mask) return kernels_of_masked(back, by_h ? by_h : s->dgates, dr);
  if (layer->reset_before) return kernels_of_reset_before(back, dr);
  if (!by_h) return product(back, output + inputs, columns, hx, s->dgates, dr ? dr : dw, columns);
  TRY(product(back, output, columns, hx, by_h, dr, columns));
  return product(back, inputs, columns, x, s->dgates, dw, columns);
}

static rondo_status projection(const rondo_cuda_back *back) {
  int output = back->pass->output_size, units = back->pass->hidden_size;
  return product(back, units, output, rows_of(back->kept.h, units), back->scratch.dprojected,
                 back->dparams.at[RONDO_PROJECTION], output);
}

/* From by_x of layer_norm's sum to by x @ W, in place. */
static rondo_status through_norm(const rondo_cuda_back *back) {
  const rondo_cuda_scratch *s = &back->scratch;
  rondo_norm_backward_args args = {
      back->rows, back->columns, s->gates, s->scales[0], back->params.at[RONDO_GAMMA_KERNEL], s->dgates, s->dgates};
  CUDA_TRY(rondo_norm_backward_cuda(&args, back->state->stream));
  return RONDO_OK;
}

static rondo_status scatter(const rondo_cuda_back *back) {
  const rondo_schedule *schedule = back->pass->schedule;
  const rondo_gradient *g = back->gradient;
  int inputs = back->pass->input_size, dense = back->pass->layer->cell == RONDO_DENSE;
  int all = dense ? back->pass->timesteps : schedule->steps;
  size_t first = 0;
  for (int start = 0, steps; start < all; start += steps) {
    steps = dense ? all : rondo_cuda_equal_steps(schedule, start);
    rondo_dx_scatter_args args = {.step = back->step,
                                  .steps = steps,
                                  .input_size = inputs,
                                  .add = g->add_dx,
                                  .rows = back->scratch.dx + first * (size_t)inputs,
                                  .dx = g->dx,
                                  .dx_sequence = g->dx_sequence,
                                  .dx_timestep = g->dx_timestep};
    args.step.step = start;
    args.step.rows = dense ? back->pass->batch : rondo_schedule_active(schedule, start);
    CUDA_TRY(rondo_dx_scatter_cuda(&args, back->state->stream));
    first += (size_t)steps * (size_t)args.step.rows;
  }
  return RONDO_OK;
}

static rondo_status inputs(const rondo_cuda_back *back) {
  int columns = back->columns, count = back->pass->input_size;
  if (back->pass->input_mask) {
    TRY(rondo_cuda_masked_dx(back));
    return scatter(back);
  }
  rondo_cuda_operand a = {back->scratch.dgates, columns, 0}, w = {back->params.at[RONDO_KERNEL], columns, 1};
  TRY(rondo_cuda_multiply(back, back->rows, count, columns, a, w, 0, (rondo_cuda_matrix){back->scratch.dx, count}));
  return scatter(back);
}

rondo_status rondo_cuda_gradients(const rondo_cuda_back *back) {
  const rondo_layer *layer = back->pass->layer;
  int params = back->gradient->dparams != NULL;
  if (params) TRY(biases(back));
  if (params && layer->peephole) TRY(peephole(back));
  if (params && layer->projection_size) TRY(projection(back));
  if (layer->layer_norm) TRY(through_norm(back));
  if (params) TRY(kernels(back));
  return back->gradient->dx ? inputs(back) : RONDO_OK;
}
