/* dropout.c - the numbers that dropout multiplies by, as rondo.h and philox.h say that every backend draws them. */
#include "dropout.h"

#include "philox.h"

#include <stdlib.h>

void dropout_fill(float *to, size_t count, uint64_t seed, uint64_t sequence, float rate) {
  uint32_t word[4];
  for (size_t i = 0; i < count; i++) {
    if (i % 4 == 0) rondo_philox(seed, sequence, i / 4, word);
    to[i] = rondo_philox_uniform(word[i % 4]) > rate ? 1 / (1 - rate) : 0;
  }
}

size_t dropout_count(const problem *p) {
  return problem_mask_at(p, p->num_layers, 0, 0);
}

static void draw_masks(problem_data *data) {
  const problem *p = &data->problem;
  for (int i = 0; i < p->num_layers * problem_directions(p); i++) {
    int layer = i / problem_directions(p), d = i % problem_directions(p);
    int last = d + 1 == problem_directions(p);
    size_t inputs = problem_mask_at(p, layer, d, 0), outputs = problem_mask_at(p, layer, d, 1);
    size_t end = last ? problem_mask_at(p, layer + 1, 0, 0) : problem_mask_at(p, layer, d + 1, 0);
    dropout_fill(data->dropout_masks + inputs, outputs - inputs, data->seed, rondo_philox_masks(layer, d, 0),
                 p->dropout);
    dropout_fill(data->dropout_masks + outputs, end - outputs, data->seed, rondo_philox_masks(layer, d, 1),
                 p->recurrent_dropout);
  }
}

int dropout_draw(problem_data *data) {
  const problem *p = &data->problem;
  size_t count = dropout_count(p), between = problem_between(p), layers = between ? (size_t)p->num_layers - 1 : 0;
  free(data->dropout_masks);
  free(data->layer_masks);
  data->dropout_masks = count ? malloc(count * sizeof(float)) : NULL;
  data->layer_masks = layers ? malloc(layers * between * sizeof(float)) : NULL;
  if ((count && !data->dropout_masks) || (layers && !data->layer_masks)) return 0;
  if (count) draw_masks(data);
  for (size_t l = 0; l < layers; l++)
    dropout_fill(data->layer_masks + l * between, between, data->seed,
                 rondo_philox_sequence(RONDO_PHILOX_LAYER_DROPOUT, (uint32_t)l), p->layer_dropout);
  return 1;
}
