/* reference_backward.c - the oracle's backward: one sequence after another, all that forward computes computed again
 * and kept, then through the layers from the last to the first. A gradient by v is called dv.
 *
 *     row of y          merge's slopes share its gradient out to the directions' outputs
 *     output at p       a real step's gradient is added to dh of its h; a skipped step's to that of the step whose
 *                       output it repeats, if it does
 *     a real step       dh, dc, dx_t = step_backward(dh, dc)        a skipped step: dh and dc stay, dx_t is 0
 *     h_0, c_0          dh and dc before p = 0 */
#include "reference.h"

#include <string.h>

typedef rondo_reference_call call;

static void add(double *row, size_t count, const double *other) {
  for (size_t k = 0; k < count; k++) row[k] += other[k];
}

static void clear(double *row, size_t count) {
  memset(row, 0, count * sizeof *row);
}

/* ---- one layer over time ----------------------------------------------------------------------------------------- */

/* to (O) += the gradient by a direction's output, from that by the row (W) that it was merged into; other (O): the
 * other direction's output. */
static void add_merge_backward(const call *r, size_t direction, const double *drow, const double *other, double *to) {
  size_t half = direction == 1 && rondo_reference_has_halves(r->layer) ? r->outputs[0] : 0;
  for (size_t k = 0; k < r->outputs[direction]; k++) {
    double slope = 1;
    if (r->directions == 2 && r->layer->merge == RONDO_MUL) slope = other[k];
    if (r->directions == 2 && r->layer->merge == RONDO_AVE) slope = 0.5;
    to[k] += drow[half + k] * slope;
  }
}

/* r->pending += what position p's output gets, in y and, if it is the last, in y_last. */
static void collect_output(const call *r, size_t index, size_t direction, size_t p, rondo_reference_position at) {
  int in_y = at.real || !rondo_reference_zero_y(r->layer), in_last = at.real || !rondo_reference_zero_last(r->layer);
  const double *other = rondo_reference_y(r, index, !direction, at.row);
  const double *other_last = r->trace[index].direction[!direction].last;
  if (in_y) add_merge_backward(r, direction, r->dy + at.row * r->width, other, r->pending);
  if (in_last && p == r->timesteps - 1 && index == r->layers - 1)
    add_merge_backward(r, direction, r->dlast, other_last, r->pending);
}

/* One direction of layer `index` on sequence n: from r->dy (T, W) and r->dlast adds to r->dx (T, F). */
static void run_direction_backward(const call *r, size_t n, size_t index, size_t direction) {
  const rondo_reference_trace *trace = &r->trace[index];
  const rondo_reference_direction *d = &trace->direction[direction];
  const rondo_reference_layer *l = &d->weights;
  const rondo_reference_gradients *g = &r->gradients;
  clear(g->h, l->outputs);
  clear(g->c, l->units);
  clear(r->pending, l->outputs);
  rondo_reference_read_dstate(r, n, index, direction);
  for (size_t p = r->timesteps; p-- > 0;) {
    rondo_reference_position at = rondo_reference_at(r, n, index, direction, p);
    collect_output(r, index, direction, p, at);
    if (!at.real) continue; /* what is pending waits for the step that was repeated */
    const double *x = trace->x + at.t * l->inputs, *h = d->h + p * l->outputs, *c = d->c + p * l->units;
    add(g->h, l->outputs, r->pending);
    clear(r->pending, l->outputs);
    rondo_reference_step(l, x, h, c, &r->values);
    rondo_reference_step_backward(l, &d->gradients, x, h, c, &r->values, g);
    add(r->dx + at.t * l->inputs, l->inputs, g->x);
  }
  rondo_reference_write_dstate(r, n, index, direction);
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */

/* From d (columns of y), the gradient by what the head made of row (W), to that by the row. */
static void head_backward(const call *r, const double *row, double *d) {
  const rondo_reference_layer *l = &r->head;
  if (!r->layer->head_units) return;
  memcpy(r->gradients.h, d, l->outputs * sizeof *d);
  rondo_reference_step(l, row, NULL, NULL, &r->values);
  rondo_reference_step_backward(l, &r->head_gradients, row, NULL, NULL, &r->values, &r->gradients);
  memcpy(d, r->gradients.x, r->width * sizeof *d);
}

/* The gradients by the top layer's y and last, to r->dy and r->dlast. */
static void read_output_gradients(const call *r, size_t n, double *row) {
  const rondo_reference_trace *top = &r->trace[r->layers - 1];
  for (size_t t = 0; t < r->timesteps; t++) {
    rondo_reference_read_dy(r, n, t, row);
    head_backward(r, top->y + t * r->width, row);
    memcpy(r->dy + t * r->width, row, r->width * sizeof *row);
  }
  rondo_reference_read_dy_last(r, n, row);
  head_backward(r, top->last, row);
  memcpy(r->dlast, row, r->width * sizeof *row);
}

static void run_sequence_backward(call *r, size_t n) {
  rondo_reference_run_sequence(r, n);
  read_output_gradients(r, n, r->dx);
  for (size_t index = r->layers; index-- > 0;) {
    for (size_t t = 0; t < r->timesteps; t++) rondo_reference_drop(r, n, index, t, r->dy + t * r->width);
    clear(r->dx, r->timesteps * r->trace[index].direction[0].weights.inputs);
    for (size_t d = 0; d < r->directions; d++) run_direction_backward(r, n, index, d);
    double *above = r->dy;
    r->dy = r->dx;
    r->dx = above;
  }
  rondo_reference_write_dx(r, n, r->dy);
}

void rondo_reference_backward(const rondo_plan *plan, const rondo_batch *batch, int doubles) {
  call r = rondo_reference_begin(plan, batch, doubles);
  for (size_t n = 0; n < (size_t)batch->batch; n++) run_sequence_backward(&r, n);
  rondo_reference_write_dparams(&r);
}
