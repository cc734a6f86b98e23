/* reference_dropout.c - the masks of dropout, for one sequence at a time. What is drawn is a function of its place:
 * word i of a sequence of philox.h, of layer l, direction d, sequence n, K masks:
 *
 *     dropout, recurrent_dropout   i = (n * K + k) * columns + j         one number for all timesteps
 *     layer_dropout                i = (t * N + n) * W + j               of row t of layer l's y
 *
 * and is 0 where the word as a number in (0, 1] is at most the rate, else 1 / (1 - rate). */
#include "reference.h"

#include "philox.h"

typedef rondo_reference_call call;

static double draw(const call *r, uint64_t sequence, size_t i, float rate) {
  uint32_t word[4];
  rondo_philox(r->batch->seed, sequence, i / 4, word);
  return rondo_philox_uniform(word[i % 4]) > rate ? 1 / (1 - (double)rate) : 0;
}

/* One mask (K, columns) of sequence n, which the caller has given at number `at`, or which is drawn. */
static size_t fill(const call *r, double *mask, size_t count, size_t n, size_t at, uint64_t sequence, float rate) {
  if (!mask) return 0;
  for (size_t k = 0; k < count; k++)
    mask[k] = r->batch->dropout_masks ? rondo_reference_get(r->batch->dropout_masks, r->doubles, at + n * count + k)
                                      : draw(r, sequence, n * count + k, rate);
  return (size_t)r->batch->batch * count;
}

void rondo_reference_set_masks(const call *r, size_t n) {
  size_t at = 0;
  if (!r->plan->desc.training) return;
  for (size_t index = 0; index < r->layers; index++)
    for (size_t d = 0; d < r->directions; d++) {
      const rondo_reference_layer *l = &r->trace[index].direction[d].weights;
      uint64_t of_x = rondo_philox_masks((int)index, (int)d, 0), of_h = rondo_philox_masks((int)index, (int)d, 1);
      at += fill(r, l->input_mask, l->masks * l->inputs, n, at, of_x, l->options->dropout);
      at += fill(r, l->recurrent_mask, l->masks * l->outputs, n, at, of_h, l->options->recurrent_dropout);
    }
}

void rondo_reference_drop(const call *r, size_t n, size_t index, size_t t, double *row) {
  float rate = r->layer->layer_dropout;
  if (!r->plan->desc.training || !(rate > 0) || index + 1 == r->layers) return;
  uint64_t sequence = rondo_philox_sequence(RONDO_PHILOX_LAYER_DROPOUT, (uint32_t)index);
  size_t first = (t * (size_t)r->batch->batch + n) * r->width;
  for (size_t k = 0; k < r->width; k++) row[k] *= draw(r, sequence, first + k, rate);
}
