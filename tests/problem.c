/* problem.c - the strings and the data of problems. */
#include "problem.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Strings ----------------------------------------------------------------------------------------------------- */

typedef struct size_rule {
  char letter;
  size_t offset; /* of an int in problem */
  int fallback;  /* when it is left out; 0: required */
  int largest;
} size_rule;

static const size_rule size_rules[] = {
    {'n', offsetof(problem, batch), 0, PROBLEM_MAX_SIZE},
    {'t', offsetof(problem, timesteps), 0, PROBLEM_MAX_SIZE},
    {'c', offsetof(problem, input_size), 0, PROBLEM_MAX_SIZE},
    {'h', offsetof(problem, hidden_size), 0, PROBLEM_MAX_SIZE},
    {'l', offsetof(problem, num_layers), 1, PROBLEM_MAX_LAYERS},
};

static const struct option_rule {
  const char *name;
  size_t offset; /* of an int in problem */
} option_rules[] = {
    {"back", offsetof(problem, go_backwards)}, {"nobias", offsetof(problem, no_bias)},
    {"time", offsetof(problem, time_major)},   {"strided", offsetof(problem, strided)},
    {"h0", offsetof(problem, initial_state)},  {"tf32", offsetof(problem, allow_tf32)},
    {"tiny", offsetof(problem, tiny)},         {"big", offsetof(problem, big)},
};

static const struct cell_rule {
  const char *name;
  rondo_cell cell;
} cell_rules[] = {{"lstm", RONDO_LSTM}};

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static int *field(problem *p, size_t offset) {
  return (int *)(void *)((char *)p + offset);
}

/* The reason, and the place: what follows it in the string, with bytes that do not print shown as "?". */
__attribute__((format(printf, 4, 5))) static int refuse(char *message, size_t size, const char *at, const char *format,
                                                        ...) {
  char place[25] = "", reason[80];
  for (size_t i = 0; i < sizeof place - 1 && at[i]; i++) place[i] = isprint((unsigned char)at[i]) ? at[i] : '?';
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof reason, format, arguments);
  va_end(arguments);
  snprintf(message, size, "%s at \"%s\"", reason, place);
  return 0;
}

/* The length of name if text begins with it and nothing of a word follows, else 0. */
static size_t word(const char *text, const char *name) {
  size_t length = strlen(name);
  return strncmp(text, name, length) == 0 && !isalnum((unsigned char)text[length]) ? length : 0;
}

static int parse_cell(problem *p, const char **text, char *message, size_t size) {
  for (int i = 0; i < COUNT(cell_rules); i++) {
    size_t length = word(*text, cell_rules[i].name);
    if (!length) continue;
    p->cell = cell_rules[i].cell;
    *text += length;
    if (**text != ':') return refuse(message, size, *text, "expected \":\" and sizes such as n3t5c7h9");
    *text += 1;
    return 1;
  }
  return refuse(message, size, *text, "expected a cell, which is lstm,");
}

static int parse_sizes(problem *p, const char **text, char *message, size_t size) {
  for (int i = 0; i < COUNT(size_rules); i++) {
    const size_rule *rule = &size_rules[i];
    int value = 0;
    if (**text != rule->letter) {
      if (!rule->fallback) return refuse(message, size, *text, "expected \"%c\" and a number", rule->letter);
      value = rule->fallback;
    } else {
      const char *at = *text;
      while (isdigit((unsigned char)*++*text) && value <= rule->largest) value = value * 10 + (**text - '0');
      if (value < 1 || value > rule->largest)
        return refuse(message, size, at, "expected \"%c\" and a number in 1..%d", rule->letter, rule->largest);
    }
    *field(p, rule->offset) = value;
  }
  return 1;
}

static int parse_option(problem *p, const char **text, char *message, size_t size) {
  for (int i = 0; i < COUNT(option_rules); i++) {
    size_t length = word(*text, option_rules[i].name);
    if (!length) continue;
    if (*field(p, option_rules[i].offset)) return refuse(message, size, *text, "an option is given twice");
    *field(p, option_rules[i].offset) = 1;
    *text += length;
    return 1;
  }
  return refuse(message, size, *text, "expected an option such as back or time");
}

int problem_parse(problem *p, const char *text, char *message, size_t size) {
  problem parsed = {0};
  if (!parse_cell(&parsed, &text, message, size) || !parse_sizes(&parsed, &text, message, size)) return 0;
  while (*text == ':') {
    text += 1;
    if (!parse_option(&parsed, &text, message, size)) return 0;
  }
  if (*text) return refuse(message, size, text, "expected \":\" and an option, or the end,");
  if (parsed.tiny && parsed.big) return refuse(message, size, text, "tiny and big exclude each other");
  *p = parsed;
  return 1;
}

char *problem_print(const problem *p, char *text, size_t size) {
  problem copy = *p;
  size_t used = 0;
  for (int i = 0; i < COUNT(cell_rules); i++)
    if (cell_rules[i].cell == p->cell) used += (size_t)snprintf(text, size, "%s:", cell_rules[i].name);
  for (int i = 0; i < COUNT(size_rules) && used < size; i++) {
    int value = *field(&copy, size_rules[i].offset);
    if (value != size_rules[i].fallback)
      used += (size_t)snprintf(text + used, size - used, "%c%d", size_rules[i].letter, value);
  }
  for (int i = 0; i < COUNT(option_rules) && used < size; i++)
    if (*field(&copy, option_rules[i].offset))
      used += (size_t)snprintf(text + used, size - used, ":%s", option_rules[i].name);
  return text;
}

rondo_plan_desc problem_plan_desc(const problem *p) {
  return (rondo_plan_desc){
      .layer = {.cell = p->cell,
                .input_size = p->input_size,
                .hidden_size = p->hidden_size,
                .num_layers = p->num_layers,
                .go_backwards = p->go_backwards,
                .no_bias = p->no_bias},
      .max_batch = p->batch,
      .max_timesteps = p->timesteps,
      .layout = p->time_major ? RONDO_TIME_MAJOR : RONDO_BATCH_MAJOR,
      .allow_tf32 = p->allow_tf32,
  };
}

double problem_flops(const problem *p) {
  double h = p->hidden_size, inputs = p->input_size + h * (p->num_layers - 1);
  return 2.0 * p->batch * p->timesteps * 4 * h * (inputs + h * p->num_layers);
}

/* ---- Data -------------------------------------------------------------------------------------------------------- */

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
enum { STREAM_X, STREAM_H_0, STREAM_C_0, STREAM_LAYER, STREAMS_OF_LAYER = 3 };

static float normal_like(uint64_t seed, uint64_t stream, uint64_t index) {
  float sum = 0;
  for (int i = 0; i < 4; i++) sum += problem_random(seed, stream, 4 * index + (uint64_t)i);
  return sum * 0.8660254f; /* of variance 4/3 before */
}

size_t problem_at(rondo_strides strides, int n, int t) {
  return (size_t)n * strides.sequence + (size_t)t * strides.timestep;
}

size_t problem_state_at(const problem_data *data, int layer, int n) {
  return ((size_t)layer * (size_t)data->problem.batch + (size_t)n) * data->state_stride;
}

/* Gaps are odd, and differ between sequences and timesteps, so that no two distances can be mistaken for each other. */
static rondo_strides strides_of(const problem *p, size_t width) {
  size_t n = (size_t)p->batch, t = (size_t)p->timesteps, gap = p->strided ? 3 : 0;
  size_t inner = width + gap, outer = inner * (p->time_major ? n : t) + (p->strided ? 5 : 0);
  return p->time_major ? (rondo_strides){inner, outer} : (rondo_strides){outer, inner};
}

void problem_layout(problem_data *data, const problem *p) {
  size_t c = (size_t)p->input_size, h = (size_t)p->hidden_size, n = (size_t)p->batch;
  *data = (problem_data){.problem = *p};
  data->x_strides = strides_of(p, c);
  data->y_strides = strides_of(p, h);
  data->y_last_stride = h + (p->strided ? 7 : 0);
  data->state_stride = h + (p->strided ? 2 : 0);
  data->x_count = problem_at(data->x_strides, p->batch - 1, p->timesteps - 1) + c;
  data->y_count = problem_at(data->y_strides, p->batch - 1, p->timesteps - 1) + h;
  data->y_last_count = (n - 1) * data->y_last_stride + h;
  data->state_count = problem_state_at(data, p->num_layers - 1, p->batch - 1) + h;
}

static float *nan_floats(size_t count) {
  float *array = malloc(count * sizeof *array);
  for (size_t i = 0; array && i < count; i++) array[i] = NAN;
  return array;
}

static float *uniform(size_t count, float scale, uint64_t seed, uint64_t stream) {
  float *array = malloc(count * sizeof *array);
  for (size_t i = 0; array && i < count; i++) array[i] = scale * problem_random(seed, stream, i);
  return array;
}

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

static float *create_state(const problem_data *data, uint64_t seed, uint64_t stream, float scale) {
  const problem *p = &data->problem;
  float *state = nan_floats(data->state_count);
  uint64_t index = 0;
  for (int l = 0; state && l < p->num_layers; l++)
    for (int n = 0; n < p->batch; n++)
      for (int j = 0; j < p->hidden_size; j++)
        state[problem_state_at(data, l, n) + (size_t)j] = scale * normal_like(seed, stream, index++);
  return state;
}

static int create_layer(problem_data *data, int layer, uint64_t seed) {
  const problem *p = &data->problem;
  size_t h = (size_t)p->hidden_size, inputs = layer ? h : (size_t)p->input_size;
  uint64_t stream = STREAM_LAYER + STREAMS_OF_LAYER * (uint64_t)layer;
  float scale = 1 / sqrtf((float)p->hidden_size);
  data->kernel[layer] = uniform(inputs * 4 * h, scale, seed, stream);
  data->recurrent_kernel[layer] = uniform(h * 4 * h, scale, seed, stream + 1);
  if (!p->no_bias) data->bias[layer] = uniform(4 * h, scale, seed, stream + 2);
  return data->kernel[layer] && data->recurrent_kernel[layer] && (p->no_bias || data->bias[layer]);
}

int problem_data_create(problem_data *data, const problem *p, uint64_t seed) {
  float small = p->tiny ? 0x1p-20f : 1;
  problem_layout(data, p);
  int good = create_x(data, seed, p->big ? 64 : small);
  if (p->initial_state) {
    data->h_0 = create_state(data, seed, STREAM_H_0, small);
    data->c_0 = create_state(data, seed, STREAM_C_0, small);
    good = good && data->h_0 && data->c_0;
  }
  for (int l = 0; l < p->num_layers; l++) good = good && create_layer(data, l, seed);
  if (!good) problem_data_free(data);
  return good;
}

void problem_data_free(problem_data *data) {
  free(data->x);
  free(data->h_0);
  free(data->c_0);
  for (int l = 0; l < PROBLEM_MAX_LAYERS; l++) {
    free(data->kernel[l]);
    free(data->recurrent_kernel[l]);
    free(data->bias[l]);
  }
  *data = (problem_data){0};
}

rondo_weights problem_weights(const problem_data *data, int layer) {
  return (rondo_weights){.format = RONDO_KERAS,
                         .layer = layer,
                         .kernel = data->kernel[layer],
                         .recurrent_kernel = data->recurrent_kernel[layer],
                         .bias = data->bias[layer]};
}

rondo_batch problem_batch(const problem_data *data) {
  return (rondo_batch){.batch = data->problem.batch,
                       .timesteps = data->problem.timesteps,
                       .x_strides = data->x_strides,
                       .y_strides = data->y_strides,
                       .y_last_stride = data->y_last_stride,
                       .state_stride = data->state_stride};
}
