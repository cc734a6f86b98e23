/* reference.c - the oracle: Keras's formulas in plain loops, sums and states in double, no cleverness. It shares no
 * code with the backends that it judges, so it resolves strides, formats and layers by itself.
 *
 *     a = x_t @ W + h_(t-1) @ R + b                    W (F, 4H), R (H, 4H), b (4H), columns i | f | g | o
 *     i, f, o = sigmoid(a_i, a_f, a_o)   g = tanh(a_g)
 *     c_t = f * c_(t-1) + i * g          h_t = o * tanh(c_t)            (keras.layers.LSTM)
 *
 * Parameter block: for each layer W, R and b, all as doubles. Inside one call h and c are doubles from step to step and
 * from layer to layer; floats are read and written only at the caller's arrays. */
#include "internal.h"

#include "error.h"

#include <math.h>
#include <stdio.h>

/* ---- parameters -------------------------------------------------------------------------------------------------- */

static size_t params_bytes(const rondo_plan *plan, size_t inputs) {
  size_t units = (size_t)plan->desc.layer.hidden_size;
  size_t doubles = rondo_size_mul(rondo_size_add(rondo_size_add(inputs, units), 1), rondo_size_mul(4, units));
  size_t bytes = rondo_size_add(rondo_size_mul(doubles, sizeof(double)), 255);
  return bytes == SIZE_MAX ? SIZE_MAX : bytes / 256 * 256;
}

/* to (rows, 4H) from the framework's matrix: Keras (rows, 4H); the others (4H, rows), ONNX with gates i, o, f, g. */
static void read_matrix(double *to, const float *from, rondo_format format, size_t rows, size_t units) {
  const size_t onnx_gate[4] = {0, 2, 3, 1};
  for (size_t k = 0; k < rows; k++)
    for (size_t gate = 0; gate < 4; gate++)
      for (size_t j = 0; j < units; j++) {
        size_t theirs = (format == RONDO_ONNX ? onnx_gate[gate] : gate) * units + j;
        size_t source = format == RONDO_KERAS ? k * 4 * units + theirs : theirs * rows + k;
        to[k * 4 * units + gate * units + j] = from[source];
      }
}

static rondo_status pack(const rondo_plan *plan, rondo_context *ctx, size_t inputs, void *to,
                         const rondo_weights *from) {
  (void)ctx;
  size_t units = (size_t)plan->desc.layer.hidden_size;
  double *kernel = to, *recurrent_kernel = kernel + inputs * 4 * units, *bias = recurrent_kernel + units * 4 * units;
  read_matrix(kernel, from->kernel, from->format, inputs, units);
  read_matrix(recurrent_kernel, from->recurrent_kernel, from->format, units, units);
  for (size_t i = 0; i < 4 * units; i++) bias[i] = 0;
  const float *const biases[2] = {from->bias, from->recurrent_bias};
  for (int which = 0; which < 2; which++) {
    if (!biases[which]) continue;
    const size_t onnx_gate[4] = {0, 2, 3, 1};
    for (size_t gate = 0; gate < 4; gate++)
      for (size_t j = 0; j < units; j++)
        bias[gate * units + j] += biases[which][(from->format == RONDO_ONNX ? onnx_gate[gate] : gate) * units + j];
  }
  return RONDO_OK;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static double sigmoid(double a) {
  return 1 / (1 + exp(-a));
}

/* One timestep of one sequence: x (F), h (H) and c (H) become the new ones; a (4H) is scratch. */
static void lstm_step(size_t inputs, size_t units, const double *params, const double *x, double *h, double *c,
                      double *a) {
  const double *kernel = params, *recurrent_kernel = kernel + inputs * 4 * units;
  const double *bias = recurrent_kernel + units * 4 * units;
  for (size_t q = 0; q < 4 * units; q++) a[q] = bias[q];
  for (size_t k = 0; k < inputs; k++)
    for (size_t q = 0; q < 4 * units; q++) a[q] += x[k] * kernel[k * 4 * units + q];
  for (size_t k = 0; k < units; k++)
    for (size_t q = 0; q < 4 * units; q++) a[q] += h[k] * recurrent_kernel[k * 4 * units + q];
  for (size_t j = 0; j < units; j++) {
    double i = sigmoid(a[j]), f = sigmoid(a[units + j]), g = tanh(a[2 * units + j]), o = sigmoid(a[3 * units + j]);
    c[j] = f * c[j] + i * g;
    h[j] = o * tanh(c[j]);
  }
}

/* The workspace of one call, in doubles: a layer's input (T, max(C, H)) and output (T, H), h, c, a. */
typedef struct scratch {
  double *input, *output, *h, *c, *a;
} scratch;

/* Sets s where base is not NULL; gives the bytes in any case. */
static size_t carve(const rondo_plan *plan, double *base, scratch *s) {
  const rondo_layer *layer = &plan->desc.layer;
  size_t t = (size_t)plan->desc.max_timesteps, units = (size_t)layer->hidden_size;
  size_t width = layer->input_size > layer->hidden_size ? (size_t)layer->input_size : units;
  size_t input = rondo_size_mul(t, width), output = rondo_size_mul(t, units), rest = rondo_size_mul(6, units);
  if (base) {
    s->input = base;
    s->output = s->input + input;
    s->h = s->output + output;
    s->c = s->h + units;
    s->a = s->c + units;
  }
  return rondo_size_mul(rondo_size_add(rondo_size_add(input, output), rest), sizeof(double));
}

static rondo_status prepare(rondo_plan *plan, const rondo_context *ctx) {
  (void)ctx;
  scratch unused = {0};
  plan->sizes.workspace = carve(plan, NULL, &unused);
  snprintf(plan->note, sizeof plan->note, "sums in double");
  return RONDO_OK;
}

/* The whole of sequence n through layer l: from s->input (T, F) to s->output (T, H), with its states. */
static void run_layer(const rondo_plan *plan, const rondo_batch *batch, size_t n, size_t l, const scratch *s) {
  size_t units = (size_t)plan->desc.layer.hidden_size, t_end = (size_t)batch->timesteps;
  size_t inputs = l == 0 ? (size_t)plan->desc.layer.input_size : units;
  size_t state = (l * (size_t)batch->batch + n) * (batch->state_stride ? batch->state_stride : units);
  size_t offset = l == 0 ? 0 : plan->layer_params[0] + (l - 1) * plan->layer_params[1];
  const double *params = (const double *)((const char *)batch->params + offset);
  for (size_t j = 0; j < units; j++) {
    s->h[j] = batch->h_0 ? ((const float *)batch->h_0)[state + j] : 0;
    s->c[j] = batch->c_0 ? ((const float *)batch->c_0)[state + j] : 0;
  }
  for (size_t t = 0; t < t_end; t++) {
    size_t read = plan->desc.layer.go_backwards ? t_end - 1 - t : t;
    lstm_step(inputs, units, params, s->input + read * inputs, s->h, s->c, s->a);
    for (size_t j = 0; j < units; j++) s->output[t * units + j] = s->h[j];
  }
  for (size_t j = 0; j < units; j++) {
    if (batch->h_n) ((float *)batch->h_n)[state + j] = (float)s->h[j];
    if (batch->c_n) ((float *)batch->c_n)[state + j] = (float)s->c[j];
  }
}

/* Where row (n, t) of x or y begins. */
static size_t row(const rondo_plan *plan, const rondo_batch *batch, rondo_strides strides, size_t width, size_t n,
                  size_t t) {
  int time_major = plan->desc.layout == RONDO_TIME_MAJOR;
  size_t sequence = time_major ? width : (size_t)batch->timesteps * width;
  size_t timestep = time_major ? (size_t)batch->batch * width : width;
  return n * (strides.sequence ? strides.sequence : sequence) + t * (strides.timestep ? strides.timestep : timestep);
}

static void run_sequence(const rondo_plan *plan, const rondo_batch *batch, size_t n, const scratch *s) {
  size_t inputs = (size_t)plan->desc.layer.input_size, units = (size_t)plan->desc.layer.hidden_size;
  size_t t_end = (size_t)batch->timesteps;
  const float *x = batch->x;
  float *y = batch->y, *y_last = batch->y_last;
  for (size_t t = 0; t < t_end; t++)
    for (size_t k = 0; k < inputs; k++)
      s->input[t * inputs + k] = x[row(plan, batch, batch->x_strides, inputs, n, t) + k];
  for (size_t l = 0; l < (size_t)plan->desc.layer.num_layers; l++) {
    run_layer(plan, batch, n, l, s);
    for (size_t i = 0; i < t_end * units; i++) s->input[i] = s->output[i];
  }
  for (size_t t = 0; t < t_end; t++)
    for (size_t j = 0; j < units; j++)
      if (y) y[row(plan, batch, batch->y_strides, units, n, t) + j] = (float)s->output[t * units + j];
  for (size_t j = 0; j < units; j++)
    if (y_last)
      y_last[n * (batch->y_last_stride ? batch->y_last_stride : units) + j] = (float)s->output[(t_end - 1) * units + j];
}

static rondo_status forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  (void)ctx;
  scratch s = {0};
  carve(plan, batch->workspace, &s);
  for (size_t n = 0; n < (size_t)batch->batch; n++) run_sequence(plan, batch, n, &s);
  return RONDO_OK;
}

/* ---- the backend's row ------------------------------------------------------------------------------------------- */

static rondo_status open_reference(rondo_context *ctx) {
  snprintf(ctx->text, sizeof ctx->text, "reference, plain loops with sums in double");
  return RONDO_OK;
}

static void close_reference(rondo_context *ctx) {
  (void)ctx;
}

static const rondo_algorithm_ops algorithms[] = {
    {.id = RONDO_STEPWISE, .name = "stepwise", .prepare = prepare, .forward = forward}};

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
    .params_bytes = params_bytes,
    .pack = pack,
};
