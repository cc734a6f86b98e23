/* compare_cell.c - the formulas of every cell and option, as rondo.h gives them, on numbers with bounds.
 *
 * A gate is given the sum of x @ kernel, h @ recurrent_kernel and the biases, as one sum in any order, but where
 * something stands between: the reset gate before the second bias of a GRU, normalisation. */
#include "compare_cell.h"

#include <math.h>
#include <stdlib.h>

/* ---- Gates ------------------------------------------------------------------------------------------------------- */

static double bias_at(const float *bias, int j) {
  return bias ? (double)bias[j] : 0;
}

/* The biases as one addend: rondo_pack may have added them into one float. */
static near both_biases(const exact_cell *l, int j) {
  double recurrent = bias_at(l->weights->recurrent_bias, j), sum = bias_at(l->weights->bias, j) + recurrent;
  return (near){sum, recurrent != 0 ? 0x1p-24 * fabs(sum) : 0};
}

/* row (count) as a product with weights takes it: dropped by a mask, in 16 bits where the weights are. */
static const near *factor_of(const exact_cell *l, const near *row, int count, const float *mask) {
  for (int k = 0; k < count; k++) {
    near v = mask ? near_multiply(row[k], near_mask(mask[k], l->unit), l->unit.state) : row[k];
    l->factor[k] = near_narrow(v, l->unit);
  }
  near_quantise(l->factor, count, l->unit);
  return l->factor;
}

/* Adds row (count) @ w (count, G*H) to columns from..to - 1 of the sums; of masks (K, count) each gate has its own, or
 * all the one. */
static void add_product(const exact_cell *l, near_sums *sums, const near *row, int count, const float *mask,
                        const float *w, int from, int to) {
  int columns = sums->columns, parts = mask ? l->masks : 1, wide = columns / parts, terms = sums->terms;
  for (int k = 0; k < parts; k++) {
    int first = k * wide > from ? k * wide : from, end = (k + 1) * wide < to ? (k + 1) * wide : to;
    const near *factor = factor_of(l, row, count, mask ? mask + k * count : NULL);
    sums->terms = terms;
    near_sums_add(sums, factor, count, w, columns, first, first, end);
  }
}

/* x @ kernel and h @ recurrent_kernel with nothing added; columns 0..to - 1 of the second are done. */
static void multiply(exact_cell *l, const near *x, const near *h, int to) {
  const rondo_weights *w = l->weights;
  int columns = l->from_x.columns;
  near_sums_start(&l->from_x, NULL);
  near_sums_start(&l->from_h, NULL);
  add_product(l, &l->from_x, x, l->inputs, l->input_mask, w->kernel, 0, columns);
  if (w->recurrent_kernel) add_product(l, &l->from_h, h, l->output, l->recurrent_mask, w->recurrent_kernel, 0, to);
}

static void normalise_products(exact_cell *l) {
  int columns = l->from_x.columns;
  for (int j = 0; j < columns; j++) {
    l->x_part[j] = near_sums_get(&l->from_x, j, l->unit);
    l->h_part[j] = near_sums_get(&l->from_h, j, l->unit);
  }
  near_normalize(l->x_part, columns, l->weights->gamma_kernel, l->unit);
  near_normalize(l->h_part, columns, l->weights->gamma_recurrent, l->unit);
}

/* A sum with one more addend, whose place among the terms is free; sums of levels are one term. */
static near add_to_sum(const exact_cell *l, near sum, near addend, double terms) {
  if (l->unit.levels > 0) terms = 0;
  double rounding = (terms + 3) * l->unit.sum / (1 - (terms + 3) * l->unit.sum);
  return (near){sum.value + addend.value, sum.error + addend.error + rounding * near_reach(addend) +
                                              l->unit.sum * (near_reach(sum) + near_reach(addend))};
}

/* What column j's activation is given, but for h of a GRU. */
static near gate_sum(const exact_cell *l, int j) {
  near bias = both_biases(l, j), sum;
  if (l->problem->layer_norm)
    sum = near_add(l->x_part[j], l->h_part[j], l->unit.sum);
  else
    sum = near_sums_join(&l->from_x, &l->from_h, j, l->unit);
  return add_to_sum(l, sum, bias, l->from_x.terms + l->from_h.terms);
}

/* One of the products with one of the biases. */
static near part_sum(const exact_cell *l, const near_sums *sums, const near *normal, const float *bias, int j) {
  near sum = l->problem->layer_norm ? normal[j] : near_sums_get(sums, j, l->unit);
  return add_to_sum(l, sum, near_exact(bias_at(bias, j)), sums->terms);
}

/* RONDO_DEFAULT: otherwise. */
static near activate(const exact_cell *l, near v, rondo_function f, rondo_activation otherwise) {
  if (f.kind == RONDO_DEFAULT) f.kind = otherwise;
  return near_function(near_clip(v, (double)l->problem->clip), f, l->unit);
}

static near recurrent_gate(const exact_cell *l, near v) {
  return activate(l, v, l->problem->recurrent_activation, RONDO_SIGMOID);
}

static near candidate(const exact_cell *l, near v) {
  return activate(l, v, l->problem->activation, RONDO_TANH);
}

/* v + p c, p the peephole's row. */
static near peep(const exact_cell *l, near v, int row, int j, near c) {
  if (!l->problem->peephole) return v;
  near weight = near_exact((double)l->weights->peephole[row * l->hidden + j]);
  return add_to_sum(l, v, near_multiply(weight, c, l->unit.sum), l->from_x.terms + l->from_h.terms);
}

/* The old value remains at the rate. */
static near zone_out(const exact_cell *l, float rate, near before, near after) {
  return rate > 0 ? near_mix(near_exact((double)rate), before, after, l->unit.state) : after;
}

/* ---- Cells ------------------------------------------------------------------------------------------------------- */

/* c' and o of unit j: i, f, g, o, with the old c. */
static void lstm_unit(const exact_cell *l, int j, near c, near *fresh, near *out) {
  int h = l->hidden;
  double unit = l->unit.state;
  near i = recurrent_gate(l, peep(l, gate_sum(l, j), 0, j, c));
  near z = candidate(l, gate_sum(l, 2 * h + j));
  if (l->problem->input_forget) {
    *fresh = near_mix(i, z, c, unit);
  } else {
    near f = recurrent_gate(l, peep(l, gate_sum(l, h + j), 1, j, c));
    *fresh = near_add(near_multiply(f, c, unit), near_multiply(i, z, unit), unit);
  }
  *fresh = near_clip(*fresh, (double)l->problem->cell_clip);
  *out = recurrent_gate(l, peep(l, gate_sum(l, 3 * h + j), 2, j, *fresh));
}

/* row (H) @ projection: to (O). */
static void project(exact_cell *l, const near *row, near *to) {
  near_sums_start(&l->other, NULL);
  const near *factor = factor_of(l, row, l->hidden, NULL);
  near_sums_add(&l->other, factor, l->hidden, l->weights->projection, l->output, 0, 0, l->output);
  for (int j = 0; j < l->output; j++) to[j] = near_sums_get(&l->other, j, l->unit);
}

static void lstm_step(exact_cell *l, const near *x, near *h, near *c) {
  const problem *p = l->problem;
  multiply(l, x, h, l->from_h.columns);
  if (p->layer_norm) normalise_products(l);
  for (int j = 0; j < l->hidden; j++) lstm_unit(l, j, c[j], &l->fresh[j], &l->gate[j]);
  for (int j = 0; j < l->hidden; j++) l->row[j] = l->fresh[j];
  if (p->layer_norm) near_normalize(l->row, l->hidden, l->weights->gamma_cell, l->unit);
  rondo_function squash = p->output_activation.kind ? p->output_activation : p->activation;
  if (!squash.kind) squash.kind = RONDO_TANH;
  for (int j = 0; j < l->hidden; j++) {
    if (l->weights->beta_cell)
      l->row[j] = near_add(l->row[j], near_exact((double)l->weights->beta_cell[j]), l->unit.state);
    l->row[j] = near_multiply(l->gate[j], near_function(l->row[j], squash, l->unit), l->unit.state);
    c[j] = zone_out(l, p->zoneout_cell, c[j], l->fresh[j]);
  }
  if (p->projection_size) project(l, l->row, l->gate);
  const near *next = p->projection_size ? l->gate : l->row;
  for (int j = 0; j < l->output; j++) h[j] = zone_out(l, p->zoneout, h[j], next[j]);
}

/* What the candidate's activation is given when the gate resets h ahead of the product: gate (H) holds r. */
static void reset_before(exact_cell *l, const near *h) {
  int hidden = l->hidden;
  for (int k = 0; k < hidden; k++) l->row[k] = near_multiply(l->gate[k], h[k], l->unit.state);
  l->from_h.terms -= l->output; /* of these columns none is there yet */
  add_product(l, &l->from_h, l->row, hidden, l->recurrent_mask, l->weights->recurrent_kernel, 2 * hidden, 3 * hidden);
  for (int j = 0; j < hidden; j++) l->fresh[j] = gate_sum(l, 2 * hidden + j);
}

static void reset_after(exact_cell *l) {
  const rondo_weights *w = l->weights;
  for (int j = 0; j < l->hidden; j++) {
    int column = 2 * l->hidden + j;
    near inner = part_sum(l, &l->from_h, l->h_part, w->recurrent_bias, column);
    near outer = part_sum(l, &l->from_x, l->x_part, w->bias, column);
    l->fresh[j] = add_to_sum(l, outer, near_multiply(l->gate[j], inner, l->unit.sum), l->from_x.terms);
  }
}

static void gru_step(exact_cell *l, const near *x, near *h) {
  const problem *p = l->problem;
  int hidden = l->hidden;
  multiply(l, x, h, p->reset_before ? 2 * hidden : 3 * hidden);
  if (p->layer_norm) normalise_products(l);
  for (int j = 0; j < hidden; j++) l->gate[j] = recurrent_gate(l, gate_sum(l, hidden + j));
  if (p->reset_before)
    reset_before(l, h);
  else
    reset_after(l);
  for (int j = 0; j < hidden; j++) {
    near z = recurrent_gate(l, gate_sum(l, j));
    near next = near_mix(z, h[j], candidate(l, l->fresh[j]), l->unit.state);
    h[j] = zone_out(l, p->zoneout, h[j], next);
  }
}

static void rnn_step(exact_cell *l, const near *x, near *h) {
  multiply(l, x, h, l->hidden);
  for (int j = 0; j < l->hidden; j++) h[j] = zone_out(l, l->problem->zoneout, h[j], candidate(l, gate_sum(l, j)));
}

static void dense_step(exact_cell *l, const near *x, near *y) {
  rondo_function f = l->problem->activation;
  multiply(l, x, NULL, 0);
  for (int j = 0; j < l->hidden; j++) {
    near sum = gate_sum(l, j);
    y[j] = f.kind == RONDO_SOFTMAX ? sum : activate(l, sum, f, RONDO_LINEAR);
  }
  if (f.kind == RONDO_SOFTMAX) near_softmax(y, l->hidden, l->unit);
}

void exact_cell_step(exact_cell *cell, const near *x, near *h, near *c) {
  switch (cell->problem->cell) {
    case RONDO_LSTM: lstm_step(cell, x, h, c); break;
    case RONDO_GRU: gru_step(cell, x, h); break;
    case RONDO_RNN: rnn_step(cell, x, h); break;
    default: dense_step(cell, x, h);
  }
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static double *take_sums(near_sums *s, int columns, double *from) {
  *s = (near_sums){columns, 0, from, from + columns, from + 2 * columns};
  return from + 3 * columns;
}

int exact_cell_create(exact_cell *cell, const problem *p, compare_arithmetic unit) {
  int hidden = p->hidden_size, columns = problem_gates(p) * hidden;
  *cell = (exact_cell){.problem = p, .hidden = hidden, .output = problem_output_size(p), .unit = unit};
  int widest = p->input_size > problem_width(p) ? p->input_size : problem_width(p);
  if (widest < hidden) widest = hidden;
  size_t sums = 3 * (2 * (size_t)columns + (size_t)hidden);
  size_t nears = 2 * (size_t)columns + 3 * (size_t)hidden + (size_t)widest;
  double *memory = calloc(sums + 2 * nears, sizeof *memory);
  if (!memory) return 0;
  cell->memory = memory;
  memory = take_sums(&cell->from_x, columns, memory);
  memory = take_sums(&cell->from_h, columns, memory);
  memory = take_sums(&cell->other, hidden, memory);
  cell->x_part = (near *)(void *)memory;
  cell->h_part = cell->x_part + columns;
  cell->fresh = cell->h_part + columns;
  cell->gate = cell->fresh + hidden;
  cell->row = cell->gate + hidden;
  cell->factor = cell->row + hidden;
  return 1;
}

void exact_cell_free(exact_cell *cell) {
  free(cell->memory);
  cell->memory = NULL;
}
