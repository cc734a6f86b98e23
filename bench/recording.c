/* recording.c - reads the recorded LSTM, and judges a run of it. The bounds are those of compare.h. */
#include "recording.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_FRAMES = 100000, MOST_UNITS = 4096 };

static int find_arrays(recording *r) {
  const tensor *x = tensors_find(r->file, "in.X"), *h_0 = tensors_find(r->file, "in.initial_h");
  if (!x || x->rank != 3 || x->shape[1] != 1 || x->shape[0] > MOST_FRAMES || x->shape[2] > MOST_UNITS) return 0;
  if (!h_0 || h_0->count > MOST_UNITS) return 0;
  size_t frames = x->shape[0], inputs = x->shape[2], units = h_0->count;
  *r = (recording){
      .file = r->file,
      .frames = (int)frames,
      .inputs = (int)inputs,
      .units = (int)units,
      .x = tensors_f32(r->file, "in.X", frames * inputs),
      .kernel = tensors_f32(r->file, "w.W", 4 * units * inputs),
      .recurrent_kernel = tensors_f32(r->file, "w.R", 4 * units * units),
      .bias = tensors_f32(r->file, "w.B", 8 * units),
      .h_0 = tensors_f32(r->file, "in.initial_h", units),
      .c_0 = tensors_f32(r->file, "in.initial_c", units),
      .y = tensors_f32(r->file, "out.Y", frames * units),
      .y_exact = tensors_f64(r->file, "out64.Y", frames * units),
  };
  return r->x && r->kernel && r->recurrent_kernel && r->bias && r->h_0 && r->c_0 && r->y && r->y_exact;
}

int recording_read(recording *r, const char *path, char *message) {
  *r = (recording){.file = tensors_read(path, message)};
  if (!r->file) return 0;
  if (find_arrays(r)) return 1;
  snprintf(message, TENSORS_MESSAGE, "the file is not a recording of an LSTM on speech");
  return 0;
}

void recording_free(recording *r) {
  tensors_free(r->file);
  *r = (recording){0};
}

rondo_weights recording_weights(const recording *r) {
  return (rondo_weights){
      .format = RONDO_ONNX,
      .kernel = r->kernel,
      .recurrent_kernel = r->recurrent_kernel,
      .bias = r->bias,
      .recurrent_bias = r->bias + 4 * r->units,
  };
}

/* ---- Judging ----------------------------------------------------------------------------------------------------- */

/* From (4H, inputs) in ONNX's order to Keras's, (inputs, 4H): gates i, o, f, g become i, f, g, o. */
static void to_keras(float *to, const float *from, int inputs, int units) {
  static const int onnx_gate[4] = {0, 2, 3, 1};
  for (int k = 0; k < inputs; k++)
    for (int q = 0; q < 4 * units; q++) {
      size_t row = (size_t)(onnx_gate[q / units] * units + q % units);
      *to++ = from[row * (size_t)inputs + (size_t)k];
    }
}

/* An array that is only read. */
static float *borrowed(const float *array) {
  return (float *)(uintptr_t)array;
}

/* Frames do not wait for each other here: to the judge they are a batch of sequences of one step. */
static int judge(double *share, problem_data *data, compare_arithmetic unit, const float *h_n, const float *c_n) {
  compare_expected expected;
  if (!compare_expect(&expected, data, unit)) return 0;
  *share = compare_worst(compare_h_n(&expected, data, h_n), compare_c_n(&expected, data, c_n));
  compare_free(&expected);
  return 1;
}

int recording_judge(double *share, const recording *r, rondo_dtype weights, compare_arithmetic unit, const float *h,
                    const float *c) {
  problem p = {.batch = r->frames, .timesteps = 1, .input_size = r->inputs, .hidden_size = r->units, .num_layers = 1};
  p.initial_state = 1, p.weights = weights;
  size_t inputs = (size_t)r->inputs, units = (size_t)r->units;
  float *memory = malloc((inputs + units + 2) * 4 * units * sizeof *memory);
  if (!memory) return 0;
  float *kernel = memory, *recurrent = kernel + inputs * 4 * units, *bias = recurrent + units * 4 * units;
  to_keras(kernel, r->kernel, r->inputs, r->units);
  to_keras(recurrent, r->recurrent_kernel, r->units, r->units);
  to_keras(bias, r->bias, 1, r->units);
  to_keras(bias + 4 * units, r->bias + 4 * units, 1, r->units);
  problem_data data = {0};
  problem_layout(&data, &p);
  data.x = borrowed(r->x), data.h_0 = borrowed(h), data.c_0 = borrowed(c);
  data.weights[0] = (rondo_weights){
      .kernel = kernel, .recurrent_kernel = recurrent, .bias = bias, .recurrent_bias = bias + 4 * units};
  data.weights_count = 1;
  int good = judge(share, &data, unit, h + units, c + units);
  free(memory);
  return good;
}
