/* reference_params.c - a layer's weights. In a plan without training the block holds them as doubles, as pack has read
 * them from a framework's arrays. That of a training plan holds floats, one array after another:
 *
 *     recurrent_kernel | kernel | bias | recurrent_bias | peephole | projection
 *     | gamma_kernel | gamma_recurrent | gamma_cell | beta_cell
 *
 * of which a layer leaves out what it does not have, filled up to 256 bytes with zeros. */
#include "reference.h"

#include <math.h>

static double *take(rondo_arena *block, int present, size_t rows, size_t columns) {
  return present ? rondo_arena_take(block, rondo_size_mul(rows, columns), sizeof(double)) : NULL;
}

rondo_reference_layer rondo_reference_take_layer(rondo_arena *block, const rondo_layer *options, size_t inputs) {
  static const size_t gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  size_t units = (size_t)options->hidden_size, columns = rondo_size_mul(gates[options->cell], units);
  size_t outputs = options->projection_size ? (size_t)options->projection_size : units;
  int recurrent = options->cell != RONDO_DENSE, norm = options->layer_norm, lstm = options->cell == RONDO_LSTM;
  rondo_reference_layer l = {
      .options = options, .inputs = inputs, .units = units, .outputs = outputs, .columns = columns};
  l.kernel = take(block, 1, inputs, columns);
  l.recurrent_kernel = take(block, recurrent, outputs, columns);
  l.bias = take(block, 1, 1, columns);
  l.recurrent_bias = take(block, recurrent, 1, columns);
  l.peephole = take(block, options->peephole, 3, units);
  l.projection = take(block, options->projection_size, units, outputs);
  l.gamma_kernel = take(block, norm, 1, columns);
  l.gamma_recurrent = take(block, norm, 1, columns);
  l.gamma_cell = take(block, norm && lstm, 1, units);
  l.beta_cell = take(block, norm && lstm, 1, units);
  return l;
}

size_t rondo_reference_params_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  (void)plan;
  rondo_arena measure = {0};
  rondo_reference_take_layer(&measure, layer, inputs);
  return measure.used;
}

/* ---- from a framework's arrays ----------------------------------------------------------------------------------- */

/* Where the framework has column q of ours. Ours are i f g o and z r h. */
static size_t their_column(const rondo_reference_layer *l, rondo_format format, size_t q) {
  static const size_t onnx_lstm[] = {0, 2, 3, 1};  /* i o f g */
  static const size_t pytorch_gru[] = {1, 0, 2};   /* r z n */
  static const size_t same_order[] = {0, 1, 2, 3}; /* all others */
  const size_t *gate = same_order;
  if (l->options->cell == RONDO_LSTM && format == RONDO_ONNX) gate = onnx_lstm;
  if (l->options->cell == RONDO_GRU && (format == RONDO_PYTORCH || format == RONDO_CUDNN)) gate = pytorch_gru;
  return gate[q / l->units] * l->units + q % l->units;
}

/* to (rows, G*H) from Keras's (rows, G*H) or the others' (G*H, rows). */
static void read_matrix(const rondo_reference_layer *l, rondo_format format, double *to, const float *from,
                        size_t rows) {
  for (size_t k = 0; k < rows; k++)
    for (size_t q = 0; q < l->columns; q++) {
      size_t theirs = their_column(l, format, q);
      to[k * l->columns + q] = from[format == RONDO_KERAS ? k * l->columns + theirs : theirs * rows + k];
    }
}

/* to (G*H), all `otherwise` when there is no array. */
static void read_columns(const rondo_reference_layer *l, rondo_format format, double *to, const float *from,
                         double otherwise) {
  for (size_t q = 0; q < l->columns; q++) to[q] = from ? from[their_column(l, format, q)] : otherwise;
}

/* to (3, H), rows i f o; ONNX has i o f. */
static void read_peephole(const rondo_reference_layer *l, rondo_format format, double *to, const float *from) {
  static const size_t onnx[] = {0, 2, 1};
  for (size_t row = 0; row < 3; row++)
    for (size_t j = 0; j < l->units; j++)
      to[row * l->units + j] = from[(format == RONDO_ONNX ? onnx[row] : row) * l->units + j];
}

/* to (H, O) from Keras's (H, O) or the others' (O, H). */
static void read_projection(const rondo_reference_layer *l, rondo_format format, double *to, const float *from) {
  for (size_t j = 0; j < l->units; j++)
    for (size_t k = 0; k < l->outputs; k++)
      to[j * l->outputs + k] = from[format == RONDO_KERAS ? j * l->outputs + k : k * l->units + j];
}

/* to (H). */
static void read_units(const rondo_reference_layer *l, double *to, const float *from, double otherwise) {
  for (size_t j = 0; j < l->units; j++) to[j] = from ? from[j] : otherwise;
}

/* The nearest number of the type, the even one of two: it has so many binary digits, the last of them worth `least` at
 * least; beyond the type's range infinite. */
static double round_to(rondo_dtype type, double v) {
  if (type == RONDO_F32 || !isfinite(v)) return v;
  int digits = type == RONDO_F16 ? 11 : 8, least = type == RONDO_F16 ? -24 : -133, exponent;
  double largest = type == RONDO_F16 ? 0x1.FFCp15 : 0x1.FEp127;
  frexp(v, &exponent);
  double last = ldexp(1, exponent - digits > least ? exponent - digits : least);
  double below = floor(fabs(v) / last), rest = fabs(v) / last - below; /* both exact */
  double up = rest > 0.5 || (rest == 0.5 && fmod(below, 2) == 1), rounded = (below + up) * last;
  return copysign(rounded > largest ? INFINITY : rounded, v);
}

/* Column k of a matrix (rows, columns) becomes its largest size / 127 times the nearest integers, the even of two. */
static void round_column(double *matrix, size_t rows, size_t columns, size_t k) {
  double largest = 0;
  for (size_t j = 0; j < rows; j++) largest = fmax(largest, fabs(matrix[j * columns + k]));
  for (size_t j = 0; j < rows; j++) {
    double *v = &matrix[j * columns + k];
    *v = largest < 0x1p-100 ? 0 : rondo_reference_nearest(*v * 127 / largest) * (largest / 127);
  }
}

static void round_all(rondo_dtype type, double *matrix, size_t rows, size_t columns) {
  if (!matrix) return;
  for (size_t k = 0; type == RONDO_INT8 && k < columns; k++) round_column(matrix, rows, columns, k);
  for (size_t k = 0; type != RONDO_INT8 && k < rows * columns; k++) matrix[k] = round_to(type, matrix[k]);
}

rondo_status rondo_reference_pack(const rondo_plan *plan, rondo_context *ctx, const rondo_layer *layer, size_t inputs,
                                  void *to, const rondo_weights *from) {
  rondo_dtype type = plan->desc.weights;
  (void)ctx;
  rondo_arena block = {.base = to};
  const rondo_reference_layer l = rondo_reference_take_layer(&block, layer, inputs);
  rondo_format format = from->format;
  read_matrix(&l, format, l.kernel, from->kernel, l.inputs);
  read_columns(&l, format, l.bias, from->bias, 0);
  if (l.recurrent_kernel) read_matrix(&l, format, l.recurrent_kernel, from->recurrent_kernel, l.outputs);
  if (l.recurrent_bias) read_columns(&l, format, l.recurrent_bias, from->recurrent_bias, 0);
  if (l.peephole) read_peephole(&l, format, l.peephole, from->peephole);
  if (l.projection) read_projection(&l, format, l.projection, from->projection);
  if (l.gamma_kernel) read_columns(&l, format, l.gamma_kernel, from->gamma_kernel, 1);
  if (l.gamma_recurrent) read_columns(&l, format, l.gamma_recurrent, from->gamma_recurrent, 1);
  if (l.gamma_cell) read_units(&l, l.gamma_cell, from->gamma_cell, 1);
  if (l.beta_cell) read_units(&l, l.beta_cell, from->beta_cell, 0);
  round_all(type, l.kernel, l.inputs, l.columns);
  round_all(type, l.recurrent_kernel, l.outputs, l.columns);
  round_all(type, l.projection, l.units, l.outputs);
  return RONDO_OK;
}

/* ---- the block of a training plan -------------------------------------------------------------------------------- */

double rondo_reference_get(const void *array, int doubles, size_t at) {
  return doubles ? ((const double *)array)[at] : (double)((const float *)array)[at];
}

void rondo_reference_put(void *array, int doubles, size_t at, double value) {
  if (doubles)
    ((double *)array)[at] = value;
  else
    ((float *)array)[at] = (float)value;
}

typedef struct piece {
  double *numbers;
  size_t count;
} piece;

enum { PIECES = 10 };

static void clear(double *numbers, size_t count) {
  for (size_t k = 0; k < count; k++) numbers[k] = 0;
}

static void list_pieces(const rondo_reference_layer *l, piece pieces[PIECES]) {
  int two_biases = l->options->cell == RONDO_GRU && !l->options->reset_before;
  size_t biases = l->options->no_bias ? 0 : l->columns;
  const piece all[PIECES] = {{l->recurrent_kernel, l->outputs * l->columns},
                             {l->kernel, l->inputs * l->columns},
                             {l->bias, biases},
                             {l->recurrent_bias, two_biases ? biases : 0},
                             {l->peephole, 3 * l->units},
                             {l->projection, l->units * l->outputs},
                             {l->gamma_kernel, l->columns},
                             {l->gamma_recurrent, l->columns},
                             {l->gamma_cell, l->units},
                             {l->beta_cell, l->units}};
  for (int i = 0; i < PIECES; i++) pieces[i] = (piece){all[i].numbers, all[i].numbers ? all[i].count : 0};
}

void rondo_reference_clear(const rondo_reference_layer *l) {
  piece pieces[PIECES];
  list_pieces(l, pieces);
  for (int i = 0; i < PIECES; i++) clear(pieces[i].numbers, pieces[i].count);
  clear(l->bias, l->columns);
  if (l->recurrent_bias) clear(l->recurrent_bias, l->columns);
}

void rondo_reference_read_weights(const rondo_reference_layer *l, const void *block, int doubles, size_t at) {
  piece pieces[PIECES];
  list_pieces(l, pieces);
  rondo_reference_clear(l); /* for biases that are not in the block */
  for (int i = 0; i < PIECES; i++)
    for (size_t k = 0; k < pieces[i].count; k++) pieces[i].numbers[k] = rondo_reference_get(block, doubles, at++);
}

void rondo_reference_write_gradients(const rondo_reference_layer *dl, void *block, int doubles, size_t at,
                                     int accumulate) {
  piece pieces[PIECES];
  size_t multiple = RONDO_ALIGNMENT / sizeof(float);
  list_pieces(dl, pieces);
  for (int i = 0; i < PIECES; i++)
    for (size_t k = 0; k < pieces[i].count; k++, at++) {
      double before = accumulate ? rondo_reference_get(block, doubles, at) : 0;
      rondo_reference_put(block, doubles, at, before + pieces[i].numbers[k]);
    }
  for (; !accumulate && at % multiple; at++) rondo_reference_put(block, doubles, at, 0);
}
