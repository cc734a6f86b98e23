/* reference.c - the oracle's forward: one sequence after another through all layers, in plain loops. All numbers are
 * doubles from x to y and from state to state.
 *
 * A layer sees a sequence as rows (T, F) and gives rows (T, W), W the columns of both directions. A direction goes from
 * position p = 0 to T - 1, which is timestep t = p of its rows, or T - 1 - p when it reads backwards:
 *
 *     a real step       h, c = step(x_t, h, c); the output is h
 *     a skipped step    h and c stay; the output is the one at p - 1 (0 at p = 0), or 0 where the layer says so
 *     h_n, c_n          h and c after p = T - 1        y_last    the output at p = T - 1
 *     y                 in the order of p; a second direction's put into that of the first; with time_order, of t */
#include "reference.h"

#include <stdio.h>
#include <string.h>

typedef rondo_reference_call call;

/* ---- one layer over time ----------------------------------------------------------------------------------------- */

static void copy(double *to, const double *from, size_t count) {
  memcpy(to, from, count * sizeof *to);
}

/* An output (O), NULL: zeros. */
static void show(double *to, const double *output, size_t count) {
  for (size_t k = 0; k < count; k++) to[k] = output ? output[k] : 0;
}

/* One direction of layer `index` on sequence n. */
static void run_direction(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_reference_trace *trace = &r->trace[index];
  const rondo_reference_direction *d = &trace->direction[direction];
  const rondo_reference_layer *l = &d->weights;
  const double *shown = NULL; /* the last real step's output */
  rondo_reference_read_state(r, n, index, direction);
  for (size_t p = 0; p < r->timesteps; p++) {
    rondo_reference_position at = rondo_reference_at(r, n, index, direction, p);
    double *h = d->h + p * l->outputs, *c = d->c + p * l->units, *h_new = h + l->outputs, *c_new = c + l->units;
    if (at.real) rondo_reference_step(l, trace->x + at.t * l->inputs, h, c, &r->values);
    copy(h_new, at.real ? r->values.h : h, l->outputs);
    if (l->options->cell == RONDO_LSTM) copy(c_new, at.real ? r->values.c : c, l->units);
    if (at.real) shown = h_new;
    show(d->y + at.row * l->outputs, !at.real && rondo_reference_zero_y(r->layer) ? NULL : shown, l->outputs);
    show(d->last, !at.real && rondo_reference_zero_last(r->layer) ? NULL : shown, l->outputs);
  }
}

/* Both directions' outputs become a row (W). */
static void merge(const call *r, const double *first, const double *second, double *row) {
  copy(row, first, r->outputs[0]);
  if (rondo_reference_has_halves(r->layer)) copy(row + r->outputs[0], second, r->outputs[1]);
  for (size_t k = 0; k < r->outputs[0] && r->directions == 2; k++) switch (r->layer->merge) {
      case RONDO_CONCAT:
      case RONDO_SEPARATE: break;
      case RONDO_SUM: row[k] = first[k] + second[k]; break;
      case RONDO_MUL: row[k] = first[k] * second[k]; break;
      case RONDO_AVE: row[k] = (first[k] + second[k]) / 2; break;
    }
}

void rondo_reference_run_sequence(const call *r, size_t n) {
  rondo_reference_read_x(r, n);
  rondo_reference_set_masks(r, n);
  for (size_t index = 0; index < r->layers; index++) {
    const rondo_reference_trace *trace = &r->trace[index];
    for (size_t d = 0; d < r->directions; d++) run_direction(r, n, index, d);
    for (size_t t = 0; t < r->timesteps; t++) {
      merge(r, rondo_reference_y(r, index, 0, t), rondo_reference_y(r, index, 1, t), trace->y + t * r->width);
      rondo_reference_drop(r, n, index, t, trace->y + t * r->width);
    }
    merge(r, trace->direction[0].last, trace->direction[1].last, trace->last);
  }
}

void rondo_reference_forward(const rondo_plan *plan, const rondo_batch *batch, int doubles) {
  call r = rondo_reference_begin(plan, batch, doubles);
  for (size_t n = 0; n < (size_t)batch->batch; n++) {
    rondo_reference_run_sequence(&r, n);
    rondo_reference_write_y(&r, n);
    for (size_t index = 0; index < r.layers; index++)
      for (size_t d = 0; d < r.directions; d++) rondo_reference_write_state(&r, n, index, d);
  }
}

/* ---- the backend's row ------------------------------------------------------------------------------------------- */

static rondo_status prepare(rondo_plan *plan, const rondo_context *ctx) {
  (void)ctx;
  rondo_arena measure = {0};
  rondo_reference_carve(plan, &measure);
  plan->sizes.workspace = measure.used;
  snprintf(plan->note, sizeof plan->note, "sums in double");
  return RONDO_OK;
}

static rondo_status forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  (void)ctx;
  rondo_reference_forward(plan, batch, 0);
  return RONDO_OK;
}

static rondo_status backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  (void)ctx;
  rondo_reference_backward(plan, batch, 0);
  return RONDO_OK;
}

static rondo_status open_reference(rondo_context *ctx) {
  snprintf(ctx->text, sizeof ctx->text, "reference, plain loops with sums in double");
  return RONDO_OK;
}

static void close_reference(rondo_context *ctx) {
  (void)ctx;
}

static const rondo_algorithm_ops algorithms[] = {
    {.id = RONDO_STEPWISE, .name = "stepwise", .prepare = prepare, .forward = forward, .backward = backward}};

const rondo_backend_ops rondo_reference_ops = {
    .id = RONDO_REFERENCE,
    .name = "reference",
    .version = RONDO_MODULE_VERSION,
    .algorithms = algorithms,
    .algorithm_count = 1,
    .open = open_reference,
    .close = close_reference,
    .synchronize = rondo_host_synchronize,
    .alloc = rondo_host_alloc,
    .release = rondo_host_release,
    .copy = rondo_host_copy,
    .params_bytes = rondo_reference_params_bytes,
    .pack = rondo_reference_pack,
    .sgd = rondo_reference_sgd,
    .adam = rondo_reference_adam,
    .clip_by_norm = rondo_reference_clip_by_norm,
};
