/* problem_data.c - the numbers of a problem, from a seed. */
#include "problem.h"

#include <math.h>
#include <stdlib.h>

/* Three rounds of splitmix64's finaliser (Steele, Lea, Flood 2014), one for each argument. */
float problem_random(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t words[3] = {seed, stream, index};
  uint64_t z = 0;
  for (int i = 0; i < 3; i++) {
    z = (z ^ words[i]) + UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
  }
  return (float)(z >> 40) * 0x1p-23f - 1;
}

/* One number for each array of a problem, so that none repeats another's. */
enum { STREAM_X, STREAM_H_0, STREAM_C_0, STREAM_LENGTHS, STREAM_MASK, STREAM_SLOTS, STREAM_WEIGHTS };

enum { KERNEL, RECURRENT_KERNEL, BIAS, RECURRENT_BIAS, PEEPHOLE, PROJECTION, GAMMAS, BETA = GAMMAS + 3, ARRAYS };

static float normal_like(uint64_t seed, uint64_t stream, uint64_t index) {
  float sum = 0;
  for (int i = 0; i < 4; i++) sum += problem_random(seed, stream, 4 * index + (uint64_t)i);
  return sum * 0.8660254f; /* of variance 4/3 before */
}

/* A whole number in 0..end - 1. */
static int whole(uint64_t seed, uint64_t stream, uint64_t index, int end) {
  int value = (int)((problem_random(seed, stream, index) + 1) / 2 * (float)end);
  return value < end ? value : end - 1;
}

static float *nan_floats(size_t count) {
  float *array = malloc(count * sizeof *array);
  for (size_t i = 0; array && i < count; i++) array[i] = NAN;
  return array;
}

/* middle +- scale. */
static float *uniform(size_t count, float middle, float scale, uint64_t seed, uint64_t stream) {
  float *array = malloc(count * sizeof *array);
  for (size_t i = 0; array && i < count; i++) array[i] = middle + scale * problem_random(seed, stream, i);
  return array;
}

/* ---- Lengths and masks, slots ------------------------------------------------------------------------------------ */

/* Of sequence n, 0..T: where there are enough, one has none of the steps and one has all. */
static int length_of(const problem *p, int n, uint64_t seed) {
  if (p->batch >= 2 && n == p->batch - 1) return p->timesteps;
  if (p->batch >= 3 && n == 1) return 0;
  return whole(seed, STREAM_LENGTHS, (uint64_t)n, p->timesteps + 1);
}

static int is_unmasked(const problem *p, int n, int t, uint64_t seed) {
  int length = length_of(p, n, seed);
  switch (p->mask) {
    case MASK_LEFT: return t >= p->timesteps - length;
    case MASK_RIGHT: return t < length;
    case MASK_ROWS: return n % 2 == 0;
    default: break;
  }
  if (length == 0 || (p->batch >= 2 && n == p->batch - 1)) return length > 0;
  return whole(seed, STREAM_MASK, (uint64_t)n * (uint64_t)p->timesteps + (uint64_t)t, 2);
}

static int create_steps(problem_data *data, uint64_t seed) {
  const problem *p = &data->problem;
  size_t n_end = (size_t)p->batch, t_end = (size_t)p->timesteps;
  if (p->lengths) {
    data->lengths = malloc(n_end * sizeof *data->lengths);
    for (size_t n = 0; data->lengths && n < n_end; n++) data->lengths[n] = length_of(p, (int)n, seed);
  }
  if (p->mask) {
    data->mask = malloc(n_end * t_end);
    for (size_t i = 0; data->mask && i < n_end * t_end; i++)
      data->mask[i] = is_unmasked(p, (int)(i / t_end), (int)(i % t_end), seed) ? (uint8_t)(1 + i % 255) : 0;
  }
  return (!p->lengths || data->lengths) && (!p->mask || data->mask);
}

/* Slots drawn without repetition: the first N of a shuffled pool. */
static int create_slots(problem_data *data, uint64_t seed) {
  const problem *p = &data->problem;
  int rows = data->slot_count;
  if (p->restart) {
    data->restart = malloc((size_t)p->batch);
    for (int n = 0; data->restart && n < p->batch; n++) data->restart[n] = (uint8_t)(n % 3 == 1 ? 128 : n % 3 == 2);
    if (data->restart && p->batch == 1) data->restart[0] = 1;
  }
  if (rows) {
    data->slots = malloc((size_t)rows * sizeof *data->slots);
    for (int i = 0; data->slots && i < rows; i++) data->slots[i] = i;
    for (int i = 0; data->slots && i < p->batch; i++) {
      int other = i + whole(seed, STREAM_SLOTS, (uint64_t)i, rows - i), kept = data->slots[i];
      data->slots[i] = data->slots[other], data->slots[other] = kept;
    }
  }
  return (!rows || data->slots) && (!p->restart || data->restart);
}

/* ---- x and states ------------------------------------------------------------------------------------------------ */

static int create_x(problem_data *data, uint64_t seed, float scale) {
  const problem *p = &data->problem;
  data->x = nan_floats(data->x_count);
  if (!data->x) return 0;
  uint64_t index = 0; /* the same numbers whatever the layout */
  for (int n = 0; n < p->batch; n++)
    for (int t = 0; t < p->timesteps; t++)
      for (int k = 0; k < p->input_size; k++)
        data->x[problem_at(data->x_strides, n, t) + (size_t)k] = scale * normal_like(seed, STREAM_X, index++);
  return 1;
}

/* The same numbers with slots and without; NaN where a sequence starts anew. */
static float *create_state(const problem_data *data, int columns, uint64_t seed, uint64_t stream, float scale) {
  const problem *p = &data->problem;
  float *state = nan_floats(data->state_count);
  uint64_t index = 0;
  for (int part = 0; state && part < p->num_layers * problem_directions(p); part++)
    for (int n = 0; n < p->batch; n++)
      for (int j = 0; j < columns; j++) {
        float value = scale * normal_like(seed, stream, index++);
        int layer = part / problem_directions(p), direction = part % problem_directions(p);
        size_t at = problem_state_at(data, layer, direction, n) + (size_t)j;
        if (!data->restart || !data->restart[n]) state[at] = value;
      }
  return state;
}

static int create_states(problem_data *data, uint64_t seed, float scale) {
  const problem *p = &data->problem;
  if (!p->initial_state || !problem_has_state(p)) return 1;
  data->h_0 = create_state(data, problem_output_size(p), seed, STREAM_H_0, scale);
  if (!problem_has_cell_state(p)) return data->h_0 != NULL;
  data->c_0 = create_state(data, p->hidden_size, seed, STREAM_C_0, scale);
  return data->h_0 && data->c_0;
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* One layer's arrays; w has layer and direction. 0 without memory. */
static int create_weights(const problem *p, rondo_weights *w, uint64_t seed, uint64_t stream) {
  size_t h = (size_t)p->hidden_size, o = (size_t)problem_output_size(p), gates = (size_t)problem_gates(p) * h;
  size_t inputs = (size_t)problem_inputs(p, w->layer);
  int lstm = p->cell == RONDO_LSTM, norm = p->layer_norm, bias = !p->no_bias;
  struct {
    const float **array;
    int wanted;
    size_t count;
    float middle;
  } const arrays[ARRAYS] = {
      [KERNEL] = {&w->kernel, 1, inputs * gates, 0},
      [RECURRENT_KERNEL] = {&w->recurrent_kernel, p->cell != RONDO_DENSE, o * gates, 0},
      [BIAS] = {&w->bias, bias, gates, 0},
      [RECURRENT_BIAS] = {&w->recurrent_bias, bias && p->cell == RONDO_GRU && !p->reset_before, gates, 0},
      [PEEPHOLE] = {&w->peephole, p->peephole, 3 * h, 0},
      [PROJECTION] = {&w->projection, p->projection_size, h * o, 0},
      [GAMMAS] = {&w->gamma_kernel, norm, gates, 1},
      [GAMMAS + 1] = {&w->gamma_recurrent, norm, gates, 1},
      [GAMMAS + 2] = {&w->gamma_cell, norm && lstm, h, 1},
      [BETA] = {&w->beta_cell, norm && lstm, h, 0},
  };
  float scale = 1 / sqrtf((float)p->hidden_size);
  for (int i = 0; i < ARRAYS; i++) {
    if (!arrays[i].wanted) continue;
    *arrays[i].array = uniform(arrays[i].count, arrays[i].middle, scale, seed, stream + (uint64_t)i);
    if (!*arrays[i].array) return 0;
  }
  return 1;
}

static int create_all_weights(problem_data *data, uint64_t seed) {
  const problem *p = &data->problem;
  int directions = problem_directions(p), good = 1;
  for (int i = 0; i < p->num_layers * directions; i++) {
    data->weights[i] = (rondo_weights){.format = RONDO_KERAS, .layer = i / directions, .direction = i % directions};
    good = good && create_weights(p, &data->weights[i], seed, STREAM_WEIGHTS + ARRAYS * (uint64_t)i);
  }
  data->weights_count = p->num_layers * directions;
  if (p->head_units) {
    const problem head = {.cell = RONDO_DENSE, .input_size = problem_width(p), .hidden_size = p->head_units};
    rondo_weights *w = &data->weights[data->weights_count];
    *w = (rondo_weights){.format = RONDO_KERAS};
    good = good && create_weights(&head, w, seed, STREAM_WEIGHTS + ARRAYS * (uint64_t)data->weights_count++);
    w->layer = p->num_layers;
  }
  return good;
}

int problem_data_create(problem_data *data, const problem *p, uint64_t seed) {
  float small = p->tiny ? 0x1p-20f : 1;
  problem_layout(data, p);
  data->seed = seed;
  int good = create_steps(data, seed) && create_slots(data, seed) && create_x(data, seed, p->big ? 64 : small);
  good = good && create_states(data, seed, small) && create_all_weights(data, seed);
  if (!good) problem_data_free(data);
  return good;
}

void problem_data_free(problem_data *data) {
  void *const arrays[] = {data->x,    data->h_0,     data->c_0,           data->lengths,    data->slots,
                          data->mask, data->restart, data->dropout_masks, data->layer_masks};
  for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
  for (size_t i = 0; i < sizeof data->weights / sizeof *data->weights; i++) {
    const rondo_weights *w = &data->weights[i];
    const float *const owned[ARRAYS] = {w->kernel,     w->recurrent_kernel, w->bias,         w->recurrent_bias,
                                        w->peephole,   w->projection,       w->gamma_kernel, w->gamma_recurrent,
                                        w->gamma_cell, w->beta_cell};
    for (int k = 0; k < ARRAYS; k++) free((void *)(uintptr_t)owned[k]);
  }
  *data = (problem_data){0};
}
