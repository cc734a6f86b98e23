/* test_golden_text.c - reads the header of a recorded case: lines of key=value, each a field of a struct in a table
 * here. A key or word that no table knows is a failure, so nothing that a case says goes unheeded. */
#include "test_golden.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const golden_output_names[GOLDEN_OUTPUTS] = {"y", "y_last", "h_n", "c_n"};
const char *const golden_input_names[GOLDEN_INPUTS] = {"x", "h_0", "c_0"};

/* ---- Words ------------------------------------------------------------------------------------------------------- */

/* In the order of the enumerations; every list ends with NULL. */
static const char *const cells[] = {"lstm", "gru", "rnn", "dense", NULL};
static const char *const layouts[] = {"batch", "time", NULL};
static const char *const formats[] = {"keras", "pytorch", "onnx", NULL};
static const char *const merges[] = {"concat", "sum", "mul", "ave", "separate", NULL};
static const char *const functions[] = {"default",      "tanh",        "sigmoid",
                                        "hard_sigmoid", "relu",        "linear",
                                        "softsign",     "softplus",    "elu",
                                        "selu",         "exponential", "silu",
                                        "gelu",         "leaky_relu",  "relu6",
                                        "mish",         "hard_silu",   "hard_tanh",
                                        "log_sigmoid",  "affine",      "thresholded_relu",
                                        "scaled_tanh",  "celu",        "squareplus",
                                        "soft_shrink",  "hard_shrink", "tanh_shrink",
                                        "threshold",    "sparse_plus", "sparse_sigmoid",
                                        "softmax",      NULL};

static int find(const char *const *names, const char *word) {
  for (int i = 0; names[i]; i++)
    if (!strcmp(names[i], word)) return i;
  return -1;
}

/* ---- Fields ------------------------------------------------------------------------------------------------------ */

/* Each reads a value into its field; 0 when it is none. */
typedef struct field {
  const char *key;
  int (*read)(void *to, const char *value, const struct field *field);
  size_t offset;
  const char *const *names; /* of a word's enumeration */
} field;

static int read_int(void *to, const char *value, const field *f) {
  int used = 0;
  (void)f;
  return sscanf(value, "%d%n", (int *)to, &used) == 1 && !value[used];
}

static int read_float(void *to, const char *value, const field *f) {
  int used = 0;
  (void)f;
  return sscanf(value, "%f%n", (float *)to, &used) == 1 && !value[used];
}

static int read_name(void *to, const char *value, const field *f) {
  int index = find(f->names, value);
  memcpy(to, &index, sizeof index);
  return index >= 0;
}

/* "relu", "leaky_relu:0.01", "hard_sigmoid:0.2:0.5" */
static int read_function(void *to, const char *value, const field *f) {
  rondo_function *function = to;
  char kind[32];
  int used = 0;
  (void)f;
  if (sscanf(value, "%31[a-z0-9_]%n", kind, &used) != 1) return 0;
  float *const numbers[] = {&function->alpha, &function->beta};
  for (int i = 0, more = 0; i < 2 && value[used]; i++, used += more)
    if (sscanf(value + used, ":%f%n", numbers[i], &more) != 1) return 0;
  int index = find(functions, kind);
  function->kind = (rondo_activation)(index < 0 ? 0 : index);
  return index >= 0 && !value[used];
}

/* "sequence:timestep:direction" */
static int read_strides(void *to, const char *value, const field *f) {
  rondo_strides *s = to;
  int used = 0;
  (void)f;
  return sscanf(value, "%zu:%zu:%zu%n", &s->sequence, &s->timestep, &s->direction, &used) == 3 && !value[used];
}

static int read_word(void *to, const char *value, const field *f) {
  (void)f;
  return snprintf(to, GOLDEN_WORD, "%s", value) < GOLDEN_WORD;
}

#define LAYER(name, read, ...)                                                                                         \
  { #name, read, offsetof(rondo_layer, name), __VA_ARGS__ }
static const field layer_fields[] = {
    LAYER(cell, read_name, cells),
    LAYER(input_size, read_int, NULL),
    LAYER(hidden_size, read_int, NULL),
    LAYER(num_layers, read_int, NULL),
    LAYER(bidirectional, read_int, NULL),
    LAYER(go_backwards, read_int, NULL),
    LAYER(time_order, read_int, NULL),
    LAYER(no_bias, read_int, NULL),
    LAYER(reset_before, read_int, NULL),
    LAYER(zero_output_for_mask, read_int, NULL),
    LAYER(activation, read_function, NULL),
    LAYER(recurrent_activation, read_function, NULL),
    LAYER(output_activation, read_function, NULL),
    LAYER(merge, read_name, merges),
    LAYER(peephole, read_int, NULL),
    LAYER(projection_size, read_int, NULL),
    LAYER(input_forget, read_int, NULL),
    LAYER(clip, read_float, NULL),
    LAYER(dropout, read_float, NULL),
    LAYER(recurrent_dropout, read_float, NULL),
    LAYER(head_units, read_int, NULL),
    LAYER(head_activation, read_function, NULL),
    {NULL, NULL, 0, NULL},
};

static const field plan_fields[] = {
    {"format", read_name, offsetof(golden_plan, format), formats},
    {"layout", read_name, offsetof(golden_plan, desc.layout), layouts},
    {NULL, NULL, 0, NULL},
};

static const field run_fields[] = {
    {"plan", read_int, offsetof(golden_run, plan), NULL},
    {"batch", read_int, offsetof(golden_run, batch), NULL},
    {"timesteps", read_int, offsetof(golden_run, timesteps), NULL},
    {"y_strides", read_strides, offsetof(golden_run, y_strides), NULL},
    {"x", read_word, offsetof(golden_run, x), NULL},
    {"h_0", read_word, offsetof(golden_run, h_0), NULL},
    {"c_0", read_word, offsetof(golden_run, c_0), NULL},
    {"mask", read_word, offsetof(golden_run, mask), NULL},
    {"lengths", read_word, offsetof(golden_run, lengths), NULL},
    {"dropout_masks", read_word, offsetof(golden_run, dropout_masks), NULL},
    {"y", read_word, offsetof(golden_run, output[GOLDEN_Y]), NULL},
    {"y_last", read_word, offsetof(golden_run, output[GOLDEN_Y_LAST]), NULL},
    {"h_n", read_word, offsetof(golden_run, output[GOLDEN_H_N]), NULL},
    {"c_n", read_word, offsetof(golden_run, output[GOLDEN_C_N]), NULL},
    {NULL, NULL, 0, NULL},
};

static const field backward_fields[] = {
    {"dy", read_word, offsetof(golden_run, doutput[GOLDEN_Y]), NULL},
    {"dy_last", read_word, offsetof(golden_run, doutput[GOLDEN_Y_LAST]), NULL},
    {"dh_n", read_word, offsetof(golden_run, doutput[GOLDEN_H_N]), NULL},
    {"dc_n", read_word, offsetof(golden_run, doutput[GOLDEN_C_N]), NULL},
    {"dx", read_word, offsetof(golden_run, dinput[GOLDEN_X]), NULL},
    {"dh_0", read_word, offsetof(golden_run, dinput[GOLDEN_H_0]), NULL},
    {"dc_0", read_word, offsetof(golden_run, dinput[GOLDEN_C_0]), NULL},
    {NULL, NULL, 0, NULL},
};

/* Cuts the next "key=value" off *text: 1; 0 at the end; -1 when it is something else. */
static int next_pair(const char **text, char *key, char *value) {
  int used = 0;
  if (!**text) return 0;
  if (sscanf(*text, " %159[^= ]=%159s%n", key, value, &used) != 2) return -1;
  *text += used;
  return 1;
}

/* Reads the line of a key into *to, whose fields the table has. */
static int read_line(const golden_case *c, const char *line, const field *fields, void *to) {
  const char *text = tensors_meta(c->file, line);
  char key[GOLDEN_WORD], value[GOLDEN_WORD];
  int found;
  if (!EXPECT(text, "%s has no line %s", c->id, line)) return 0;
  while ((found = next_pair(&text, key, value)) > 0) {
    const field *f = fields;
    while (f->key && strcmp(f->key, key)) f++;
    if (!EXPECT(f->key, "%s: %s has a field %s, which is unknown", c->id, line, key)) return 0;
    if (!EXPECT(f->read((char *)to + f->offset, value, f), "%s: %s has a bad %s", c->id, line, key)) return 0;
  }
  return EXPECT(found == 0, "%s: %s does not consist of key=value", c->id, line);
}

/* ---- Plans and runs ---------------------------------------------------------------------------------------------- */

static int read_plan(golden_case *c, int p) {
  golden_plan *plan = &c->plan[p];
  char line[GOLDEN_WORD];
  snprintf(line, sizeof line, "plan%d", p);
  if (!read_line(c, line, plan_fields, plan)) return 0;
  snprintf(line, sizeof line, "plan%d.layer", p);
  if (!read_line(c, line, layer_fields, &plan->desc.layer)) return 0;
  if (!plan->desc.layer.num_layers) plan->desc.layer.num_layers = 1;
  snprintf(line, sizeof line, "plan%d.backward_layer", p);
  plan->backward = (rondo_layer){.cell = RONDO_DENSE};
  if (!tensors_meta(c->file, line)) return 1;
  plan->desc.layer.backward_layer = &plan->backward;
  return read_line(c, line, layer_fields, &plan->backward);
}

static int read_run(golden_case *c, int r) {
  golden_run *run = &c->run[r];
  char line[GOLDEN_WORD];
  snprintf(line, sizeof line, "run%d", r);
  if (!read_line(c, line, run_fields, run)) return 0;
  if (!EXPECT(run->plan >= 0 && run->plan < c->plans, "%s: run %d names plan %d", c->id, r, run->plan)) return 0;
  if (!EXPECT(run->batch > 0 && run->timesteps > 0, "%s: run %d has no size", c->id, r)) return 0;
  rondo_plan_desc *desc = &c->plan[run->plan].desc;
  if (desc->max_batch < run->batch) desc->max_batch = run->batch;
  if (desc->max_timesteps < run->timesteps) desc->max_timesteps = run->timesteps;
  snprintf(line, sizeof line, "run%d.backward", r);
  if (!tensors_meta(c->file, line)) return 1;
  c->gradients = 1;
  return read_line(c, line, backward_fields, run);
}

/* How many plans or runs there are: 1..most, or 0 with the failure recorded. */
static int count_of(const golden_case *c, const char *kinds, int most) {
  const char *value = tensors_meta(c->file, kinds);
  int count = value ? atoi(value) : 0;
  return EXPECT(count >= 1 && count <= most, "%s has %d %s, not 1..%d", c->id, count, kinds, most) ? count : 0;
}

int golden_read(golden_case *c, const char *id, const tensors *file) {
  *c = (golden_case){.id = id, .file = file};
  c->plans = count_of(c, "plans", GOLDEN_PLANS);
  c->runs = count_of(c, "runs", GOLDEN_RUNS);
  if (!c->plans || !c->runs) return 0;
  for (int p = 0; p < c->plans; p++)
    if (!read_plan(c, p)) return 0;
  for (int r = 0; r < c->runs; r++)
    if (!read_run(c, r)) return 0;
  return 1;
}

/* ---- Sizes and weights ------------------------------------------------------------------------------------------- */

size_t golden_output_size(const golden_plan *plan, int direction) {
  const rondo_layer *layer = &plan->desc.layer;
  if (direction && layer->backward_layer) layer = layer->backward_layer;
  return (size_t)(layer->projection_size ? layer->projection_size : layer->hidden_size);
}

size_t golden_columns(const golden_plan *plan) {
  const rondo_layer *layer = &plan->desc.layer;
  int both = layer->bidirectional && (layer->merge == RONDO_CONCAT || layer->merge == RONDO_SEPARATE);
  return golden_output_size(plan, 0) + (both ? golden_output_size(plan, 1) : 0);
}

void golden_output_counts(const golden_case *c, int r, size_t counts[GOLDEN_OUTPUTS]) {
  const golden_run *run = &c->run[r];
  const golden_plan *plan = &c->plan[run->plan];
  const rondo_layer *layer = &plan->desc.layer;
  size_t n = (size_t)run->batch, states = (size_t)(layer->num_layers * golden_directions(plan, 0)) * n;
  size_t columns = layer->head_units ? (size_t)layer->head_units : golden_columns(plan);
  counts[GOLDEN_Y] = n * (size_t)run->timesteps * columns;
  counts[GOLDEN_Y_LAST] = n * columns;
  counts[GOLDEN_H_N] = states * golden_output_size(plan, 0);
  counts[GOLDEN_C_N] = states * (size_t)layer->hidden_size;
}

void golden_input_counts(const golden_case *c, int run, size_t counts[GOLDEN_INPUTS]) {
  size_t outputs[GOLDEN_OUTPUTS];
  golden_output_counts(c, run, outputs);
  const rondo_layer *layer = &c->plan[c->run[run].plan].desc.layer;
  counts[GOLDEN_X] = (size_t)c->run[run].batch * (size_t)c->run[run].timesteps * (size_t)layer->input_size;
  counts[GOLDEN_H_0] = outputs[GOLDEN_H_N];
  counts[GOLDEN_C_0] = outputs[GOLDEN_C_N];
}

size_t golden_mask_count(const golden_case *c, int run) {
  static const size_t gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  const golden_plan *plan = &c->plan[c->run[run].plan];
  const rondo_layer *l = &plan->desc.layer;
  size_t columns = l->dropout > 0 ? (size_t)l->input_size : 0;
  if (l->recurrent_dropout > 0) columns = gates[l->cell] * (columns + golden_output_size(plan, 0));
  EXPECT(l->num_layers == 1 && !l->bidirectional, "%s: masks of several layers", c->id);
  return (size_t)c->run[run].batch * columns;
}

int golden_drops(const golden_plan *plan) {
  return plan->desc.layer.dropout > 0 || plan->desc.layer.recurrent_dropout > 0;
}

int golden_layers(const golden_plan *plan) {
  return plan->desc.layer.num_layers + (plan->desc.layer.head_units > 0);
}

int golden_directions(const golden_plan *plan, int layer) {
  return plan->desc.layer.bidirectional && layer < plan->desc.layer.num_layers ? 2 : 1;
}

/* How many numbers each array has; 0: the layer has none. */
typedef struct weight_sizes {
  size_t count[GOLDEN_PARAMS];
} weight_sizes;

static const char *const param_names[GOLDEN_PARAMS] = {
    [RONDO_KERNEL] = "kernel",     [RONDO_RECURRENT_KERNEL] = "recurrent_kernel",
    [RONDO_BIAS] = "bias",         [RONDO_RECURRENT_BIAS] = "recurrent_bias",
    [RONDO_PEEPHOLE] = "peephole", [RONDO_PROJECTION] = "projection"};

static weight_sizes sizes_of(const golden_plan *plan, int layer, int direction) {
  static const size_t gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  const rondo_layer *whole = &plan->desc.layer, *l = whole;
  if (direction && whole->backward_layer) l = whole->backward_layer;
  size_t inputs = layer ? golden_columns(plan) : (size_t)whole->input_size, h = (size_t)l->hidden_size;
  if (layer == whole->num_layers) { /* the head */
    size_t units = (size_t)whole->head_units;
    return (weight_sizes){{[RONDO_KERNEL] = inputs * units, [RONDO_BIAS] = units}};
  }
  size_t columns = gates[l->cell] * h, bias = l->no_bias ? 0 : columns;
  if (l->cell == RONDO_DENSE) return (weight_sizes){{[RONDO_KERNEL] = inputs * h, [RONDO_BIAS] = bias}};
  return (weight_sizes){{[RONDO_KERNEL] = inputs * columns,
                         [RONDO_RECURRENT_KERNEL] = golden_output_size(plan, direction) * columns,
                         [RONDO_BIAS] = bias,
                         [RONDO_RECURRENT_BIAS] = bias,
                         [RONDO_PEEPHOLE] = l->peephole ? 3 * h : 0,
                         [RONDO_PROJECTION] = h * (size_t)l->projection_size}};
}

/* The arrays that a line of weights or of their gradients names, in tensors of that type. */
static int read_arrays(const golden_case *c, const char *line, const char *type, weight_sizes sizes,
                       const tensor *arrays[GOLDEN_PARAMS]) {
  const char *text = tensors_meta(c->file, line);
  char key[GOLDEN_WORD], name[GOLDEN_WORD];
  int found;
  for (int i = 0; i < GOLDEN_PARAMS; i++) arrays[i] = NULL;
  if (!EXPECT(text, "%s has no line %s", c->id, line)) return 0;
  while ((found = next_pair(&text, key, name)) > 0) {
    int i = 0;
    while (i < GOLDEN_PARAMS && strcmp(param_names[i], key)) i++;
    if (!EXPECT(i < GOLDEN_PARAMS && sizes.count[i] && !arrays[i], "%s: %s has a %s, which its layer has not", c->id,
                line, key))
      return 0;
    arrays[i] = tensors_find(c->file, name);
    if (!EXPECT(arrays[i] && !strcmp(arrays[i]->type, type) && arrays[i]->count == sizes.count[i],
                "%s: %s is not %zu of %s", c->id, name, sizes.count[i], type))
      return 0;
  }
  for (int i = 0; i < GOLDEN_PARAMS; i++)
    if (!EXPECT(!sizes.count[i] || arrays[i] || i == RONDO_RECURRENT_BIAS, "%s: %s has no %s", c->id, line,
                param_names[i]))
      return 0;
  return EXPECT(found == 0, "%s: %s does not consist of key=value", c->id, line);
}

int golden_weights(const golden_case *c, int plan, int layer, int direction, const tensor *arrays[GOLDEN_PARAMS]) {
  char line[GOLDEN_WORD];
  snprintf(line, sizeof line, "plan%d.weights%d.%d", plan, layer, direction);
  return read_arrays(c, line, "f32", sizes_of(&c->plan[plan], layer, direction), arrays);
}

int golden_gradients(const golden_case *c, int plan, int layer, int direction, const tensor *arrays[GOLDEN_PARAMS]) {
  const tensor *weights[GOLDEN_PARAMS];
  char line[GOLDEN_WORD];
  snprintf(line, sizeof line, "plan%d.gradients%d.%d", plan, layer, direction);
  if (!golden_weights(c, plan, layer, direction, weights)) return 0;
  if (!read_arrays(c, line, "f64", sizes_of(&c->plan[plan], layer, direction), arrays)) return 0;
  for (int i = 0; i < GOLDEN_PARAMS; i++)
    if (!EXPECT(!weights[i] == !arrays[i], "%s: %s and the weights differ in %s", c->id, line, param_names[i]))
      return 0;
  return 1;
}
