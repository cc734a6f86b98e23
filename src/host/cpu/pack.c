/* pack.c - the parameter block of the CPU backend (drawn in cpu.h): its layout, filling it, and recognising it. */
#include "cpu/cpu.h"

#include "arena.h"
#include "error.h"
#include "half.h"
#include "int8.h"
#include "params.h"

#include <math.h>
#include <string.h>

/* At the start of each layer's part: what the rest depends on. */
typedef struct header {
  char magic[8];
  uint32_t version, isa, lanes, cell, options, inputs, hidden, outputs, type;
} header;

enum { HEADER_BYTES = 256, HEADER_VERSION = 4 };
enum { OPTION_FUSED = 1, OPTION_RESET_BEFORE = 2, OPTION_PEEPHOLE = 4, OPTION_PROJECTION = 8, OPTION_LAYER_NORM = 16 };
static const char magic[8] = "rondoC"; /* of the CPU */

/* ---- layout ------------------------------------------------------------------------------------------------------ */

static int is_fused(const rondo_layer *l) {
  int tanh = l->activation.kind == RONDO_TANH, sigmoid = l->recurrent_activation.kind == RONDO_SIGMOID;
  if (!tanh || l->clip > 0 || l->zoneout > 0 || l->layer_norm) return 0;
  switch (l->cell) {
    case RONDO_LSTM:
      return sigmoid && l->output_activation.kind == RONDO_TANH && !l->peephole && !l->projection_size &&
             !l->input_forget && l->cell_clip == 0 && l->zoneout_cell == 0;
    case RONDO_GRU: return sigmoid && !l->reset_before;
    case RONDO_RNN: return 1;
    case RONDO_DENSE: break;
  }
  return 0;
}

/* The place of count * width floats, behind what there is. */
static size_t piece(rondo_arena *arena, size_t count, size_t width) {
  size_t at = arena->used / sizeof(float);
  rondo_arena_take(arena, rondo_size_mul(count, width), sizeof(float));
  return at;
}

/* Likewise of `rows` rows of weights: in floats, as every piece begins at a multiple of 256 bytes. */
static size_t weights_piece(const rondo_cpu_layout *l, rondo_arena *arena, size_t count, size_t rows) {
  size_t at = arena->used / sizeof(float);
  rondo_arena_take(arena, rondo_size_mul(count, rondo_cpu_depth(l, rows)), rondo_dtype_bytes(l->type));
  return at;
}

static void place_options(rondo_cpu_layout *l, rondo_arena *arena) {
  const rondo_layer *layer = l->layer;
  l->recurrent_bias = piece(arena, l->gates, l->units);
  if (layer->peephole) l->peephole = piece(arena, 3, l->units);
  if (layer->layer_norm) {
    l->gamma_kernel = piece(arena, l->gates, l->units);
    l->gamma_recurrent = piece(arena, l->gates, l->units);
    l->gamma_cell = piece(arena, 1, l->units);
    l->beta_cell = piece(arena, 1, l->units);
  }
  if (layer->projection_size) l->projection = weights_piece(l, arena, l->output_blocks * l->lanes, l->hidden);
}

/* Of the last block, where packing saves some. A layer's only block stays as it is: for a single row, whose additions
 * wait for each other however few the sums, a second kernel in each step would take more than is saved. */
static size_t narrow_vectors(const rondo_cpu_layout *l) {
  size_t columns = l->gates * (l->hidden % l->lanes), vectors = (columns + l->lanes - 1) / l->lanes;
  return l->fused && l->blocks > 1 && columns && vectors < l->gates ? vectors : 0;
}

rondo_cpu_layout rondo_cpu_layout_of(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_of((rondo_isa)plan->variant);
  rondo_cpu_layout l = {.layer = layer, .type = plan->desc.weights, .fused = is_fused(layer), .inputs = inputs};
  l.hidden = (size_t)layer->hidden_size;
  l.outputs = (size_t)rondo_output_size(layer);
  l.gates = (size_t)rondo_gates(layer);
  l.lanes = (size_t)kernels->lanes;
  l.blocks = (l.hidden - 1) / l.lanes + 1;
  l.units = l.blocks * l.lanes;
  l.output_blocks = (l.outputs - 1) / l.lanes + 1;
  l.vectors = l.fused ? l.gates : 1;
  l.streams = l.fused ? l.blocks : l.gates * l.blocks;
  l.narrow = narrow_vectors(&l);
  l.group = rondo_cpu_group(kernels, l.type);
  l.fill = rondo_cpu_fill(kernels, l.type);
  size_t columns = l.gates * l.units - (l.narrow ? (l.gates - l.narrow) * l.lanes : 0);
  rondo_arena arena = {0};
  rondo_arena_take(&arena, HEADER_BYTES, 1);
  l.bias = piece(&arena, l.gates, l.units);
  l.input_weights = weights_piece(&l, &arena, columns, l.inputs);
  if (layer->cell != RONDO_DENSE) l.recurrent = weights_piece(&l, &arena, columns, l.outputs);
  if (layer->cell == RONDO_GRU && l.fused) l.recurrent_bias = piece(&arena, 1, l.units);
  if (layer->cell != RONDO_DENSE && !l.fused) place_options(&l, &arena);
  l.bytes = arena.used;
  return l;
}

size_t rondo_cpu_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  return rondo_cpu_layout_of(plan, layer, inputs).bytes;
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* A number of row k for gate g of unit j. */
typedef float element(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j);

static float bias_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_bias(l->layer, from, g, j);
}

static float recurrent_bias_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_recurrent_bias(l->layer, from, g, j);
}

/* The only one that a fused GRU has. */
static float last_recurrent_bias_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)g;
  return recurrent_bias_at(l, from, k, 2, j);
}

static float kernel_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  return rondo_weights_kernel(l->layer, from, l->inputs, k, g, j);
}

static float recurrent_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  return rondo_weights_recurrent(l->layer, from, k, g, j);
}

static float peephole_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_peephole(l->layer, from, g, j);
}

static float gamma_kernel_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_gamma(l->layer, from, from->gamma_kernel, g, j);
}

static float gamma_recurrent_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_gamma(l->layer, from, from->gamma_recurrent, g, j);
}

static float gamma_cell_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)l, (void)k, (void)g;
  return from->gamma_cell ? from->gamma_cell[j] : 1;
}

static float beta_cell_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)l, (void)k, (void)g;
  return from->beta_cell ? from->beta_cell[j] : 0;
}

static float projection_at(const rondo_cpu_layout *l, const rondo_weights *from, size_t k, int g, size_t j) {
  (void)g;
  return rondo_weights_projection(l->layer, from, k, j);
}

/* A matrix of weights, `rows` numbers for each of `gates` gates of each of `columns` units. */
typedef struct matrix {
  const rondo_cpu_layout *layout;
  const rondo_weights *from;
  element *at;
  size_t rows, gates, columns, blocks, streams, width; /* width: of a row of a stream */
} matrix;

static matrix matrix_of(const rondo_cpu_layout *l, const rondo_weights *from, size_t gates, size_t columns, size_t rows,
                        element *at) {
  size_t blocks = (columns - 1) / l->lanes + 1, vectors = l->fused ? gates : 1;
  return (matrix){l, from, at, rows, gates, columns, blocks, gates * blocks / vectors, vectors * l->lanes};
}

/* Whether a stream's columns are packed: those of a piece of all gates. */
static int is_narrow(const matrix *m, size_t stream) {
  return m->layout->narrow && m->gates == m->layout->gates && stream == m->blocks - 1;
}

/* The number of row k in column i of a stream. */
static float number_at(const matrix *m, size_t stream, size_t k, size_t i) {
  const rondo_cpu_layout *l = m->layout;
  int narrow = is_narrow(m, stream);
  size_t block = stream % m->blocks, units = narrow ? m->columns % l->lanes : l->lanes;
  size_t gate = l->fused ? i / units : stream / m->blocks, unit = block * l->lanes + i % units;
  return k < m->rows && gate < m->gates && unit < m->columns ? m->at(l, m->from, k, (int)gate, unit) : 0.0f;
}

/* A row of floats: fused (blocks, gates, V), else (gates, blocks, V). */
static void pack_piece(const rondo_cpu_layout *l, const rondo_weights *from, float *to, size_t gates, size_t columns,
                       element *at) {
  matrix m = matrix_of(l, from, gates, columns, 1, at);
  for (size_t i = 0; i < m.streams * m.width; i++) to[i] = number_at(&m, i / m.width, 0, i % m.width);
}

/* Column i of a stream, which is behind its head. */
static void pack_quads(const matrix *m, size_t stream, size_t i, void *to) {
  int32_t *starts = to, sum = 0;
  float largest = 0, *scales = (float *)to + m->width;
  int8_t *levels = (int8_t *)((int32_t *)to + RONDO_CPU_QUADS_HEAD * m->width);
  for (size_t k = 0; k < m->rows; k++) largest = fmaxf(largest, fabsf(number_at(m, stream, k, i)));
  for (size_t k = 0; k < 4 * rondo_cpu_words(4, m->rows); k++) {
    int level = rondo_int8_level(number_at(m, stream, k, i), largest);
    levels[4 * (k / 4 * m->width + i) + k % 4] = (int8_t)level;
    sum += level;
  }
  starts[i] = -128 * sum;
  scales[i] = rondo_int8_scale(largest);
}

/* The same of another type, whose rows share words in pairs or not at all. */
static void pack_column(const matrix *m, size_t stream, size_t i, void *to) {
  const rondo_cpu_layout *l = m->layout;
  float *floats = to;
  uint16_t *halves = to;
  for (size_t k = 0; k < rondo_cpu_depth(l, m->rows); k++) {
    size_t place = k * m->width + i;
    if (l->group == 2) place = 2 * (k / 2 * m->width + i) + (k % 2 == 0); /* the upper half is the second one */
    if (l->type == RONDO_F32)
      floats[place] = number_at(m, stream, k, i);
    else
      halves[place] = rondo_to_half(l->type, number_at(m, stream, k, i));
  }
}

/* `rows` rows of weights, rounded to the type: fused (blocks, rows, gates, V), else (gates, blocks, rows, V). */
static void pack_weights(const rondo_cpu_layout *l, const rondo_weights *from, void *to, size_t gates, size_t columns,
                         size_t rows, element *at) {
  matrix m = matrix_of(l, from, gates, columns, rows, at);
  size_t bytes = rondo_cpu_depth(l, rows) * m.width * rondo_dtype_bytes(l->type);
  for (size_t stream = 0; stream < m.streams; stream++) {
    if (is_narrow(&m, stream)) m.width = l->narrow * l->lanes; /* the last one */
    for (size_t i = 0; i < m.width; i++)
      (l->type == RONDO_INT8 ? pack_quads : pack_column)(&m, stream, i, (unsigned char *)to + stream * bytes);
  }
}

static void pack_options(const rondo_cpu_layout *l, const rondo_weights *from, float *block) {
  const rondo_layer *layer = l->layer;
  size_t hidden = l->hidden;
  pack_piece(l, from, block + l->recurrent_bias, l->gates, hidden, recurrent_bias_at);
  if (layer->peephole) pack_piece(l, from, block + l->peephole, 3, hidden, peephole_at);
  if (layer->layer_norm) {
    pack_piece(l, from, block + l->gamma_kernel, l->gates, hidden, gamma_kernel_at);
    pack_piece(l, from, block + l->gamma_recurrent, l->gates, hidden, gamma_recurrent_at);
    pack_piece(l, from, block + l->gamma_cell, 1, hidden, gamma_cell_at);
    pack_piece(l, from, block + l->beta_cell, 1, hidden, beta_cell_at);
  }
  if (layer->projection_size) pack_weights(l, from, block + l->projection, 1, l->outputs, hidden, projection_at);
}

static header header_of(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  header h = {.version = HEADER_VERSION,
              .isa = (uint32_t)plan->variant,
              .lanes = (uint32_t)rondo_cpu_kernels_of((rondo_isa)plan->variant)->lanes,
              .cell = (uint32_t)layer->cell,
              .inputs = (uint32_t)inputs,
              .hidden = (uint32_t)layer->hidden_size,
              .outputs = (uint32_t)rondo_output_size(layer),
              .type = (uint32_t)plan->desc.weights};
  if (is_fused(layer)) h.options |= OPTION_FUSED;
  if (layer->reset_before) h.options |= OPTION_RESET_BEFORE;
  if (layer->peephole) h.options |= OPTION_PEEPHOLE;
  if (layer->projection_size) h.options |= OPTION_PROJECTION;
  if (layer->layer_norm) h.options |= OPTION_LAYER_NORM;
  memcpy(h.magic, magic, sizeof magic);
  return h;
}

rondo_status rondo_cpu_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                            void *to, const rondo_weights *from) {
  (void)ctx;
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, layer, inputs);
  header h = header_of(plan, layer, inputs);
  float *block = to;
  memset(to, 0, HEADER_BYTES);
  memcpy(to, &h, sizeof h);
  pack_piece(&l, from, block + l.bias, l.gates, l.hidden, bias_at);
  pack_weights(&l, from, block + l.input_weights, l.gates, l.hidden, l.inputs, kernel_at);
  if (layer->cell == RONDO_DENSE) return RONDO_OK;
  pack_weights(&l, from, block + l.recurrent, l.gates, l.hidden, l.outputs, recurrent_at);
  if (!l.fused) pack_options(&l, from, block);
  if (l.fused && layer->cell == RONDO_GRU)
    pack_piece(&l, from, block + l.recurrent_bias, 1, l.hidden, last_recurrent_bias_at);
  return RONDO_OK;
}

static const char *type_name(uint32_t type) {
  static const char *const names[] = {
      [RONDO_F32] = "RONDO_F32", [RONDO_F16] = "RONDO_F16", [RONDO_BF16] = "RONDO_BF16", [RONDO_INT8] = "RONDO_INT8"};
  return type < sizeof names / sizeof *names ? names[type] : "of no type";
}

rondo_status rondo_cpu_check_params(const char *who, const rondo_plan *plan, const rondo_layer *layer, size_t inputs,
                                    const void *params, int index) {
  header expected = header_of(plan, layer, inputs), found;
  memcpy(&found, params, sizeof found);
  REQUIRE(memcmp(found.magic, magic, sizeof magic) == 0 && found.version == HEADER_VERSION,
          "%s: params of layer %d was not packed by this version's CPU backend; use rondo_pack", who, index);
  REQUIRE(found.isa == expected.isa && found.lanes == expected.lanes,
          "%s: params of layer %d was packed for instruction set %u with %u lanes, the plan is for %u with %u lanes",
          who, index, found.isa, found.lanes, expected.isa, expected.lanes);
  REQUIRE(found.inputs == expected.inputs && found.hidden == expected.hidden && found.outputs == expected.outputs,
          "%s: params of layer %d was packed for %u inputs, %u units and %u outputs, the plan has %u, %u and %u", who,
          index, found.inputs, found.hidden, found.outputs, expected.inputs, expected.hidden, expected.outputs);
  REQUIRE(found.cell == expected.cell && found.options == expected.options,
          "%s: params of layer %d was packed for cell %u with options %#x, the plan has cell %u with options %#x; pack "
          "with a plan of the same cell, functions and options",
          who, index, found.cell, found.options, expected.cell, expected.options);
  REQUIRE(found.type == expected.type, "%s: params of layer %d was packed for weights %s, the plan has %s", who, index,
          type_name(found.type), type_name(expected.type));
  return RONDO_OK;
}
