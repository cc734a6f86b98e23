/* test_real.c - the LSTM of a real model (silero-vad, 128 units) on the 320 frames of speech that it was recorded with:
 * frame by frame with its state updated in place, and in one call, on every backend variant. data/README.md describes
 * the recording.
 *
 * Two judges. Each frame by itself: from the very state that the backend had before the frame, one step is computed in
 * double; the backend must be within the bound that compare.c derives for one step of float arithmetic. Nothing is
 * carried from frame to frame, so this bound stays small. And all frames together: an error of c lives on where the
 * forget gate is near 1, so 320 frames add up; how much, ONNX Runtime shows, whose own float32 results are f32_rel_out
 * of the largest value away from the float64 ones. An implementation that rounds in another order must be within 10
 * times that. */
#include "compare.h"
#include "harness.h"
#include "tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES = 320, C = 128, H = 128 };

typedef struct recording {
  tensors *file;
  const float *x, *W, *R, *B;               /* (320, 1, C), (4H, C), (4H, H), (8H) */
  const float *y, *prob, *conv, *conv_bias; /* (320, 1, H), (320), (H), (1): what the peer gave, and the layer after */
  const double *y64, *h64, *c64;            /* (320, 1, H), (H), (H) */
  double f32_rel_out;
  float *kernel, *recurrent_kernel; /* for compare.c, in Keras's order: (C + 1, 4H), (H, 4H) */
} recording;

/* Keras's gates i, f, g, o stand in ONNX as i, o, f, g, and the matrix transposed. */
static void transpose(float *to, const float *from, int inputs) {
  static const int onnx_gate[4] = {0, 2, 3, 1};
  for (int k = 0; k < inputs; k++)
    for (int q = 0; q < 4 * H; q++) to[k * 4 * H + q] = from[(onnx_gate[q / H] * H + q % H) * inputs + k];
}

/* 1, or 0 with the failure recorded. The file must be freed in any case. */
static int read_recording(recording *r) {
  char message[TENSORS_MESSAGE] = "";
  *r = (recording){.file = tensors_read(RONDO_TEST_DATA "/data/silero_vad_lstm.tensors", message)};
  if (!EXPECT(r->file, "%s", message)) return 0;
  r->x = tensors_f32(r->file, "in.X", FRAMES * C);
  r->W = tensors_f32(r->file, "w.W", 4 * H * C);
  r->R = tensors_f32(r->file, "w.R", 4 * H * H);
  r->B = tensors_f32(r->file, "w.B", 8 * H);
  r->y = tensors_f32(r->file, "out.Y", FRAMES * H);
  r->prob = tensors_f32(r->file, "prob", FRAMES);
  r->conv = tensors_f32(r->file, "torch.final_conv.weight", H);
  r->conv_bias = tensors_f32(r->file, "torch.final_conv.bias", 1);
  r->y64 = tensors_f64(r->file, "out64.Y", FRAMES * H);
  r->h64 = tensors_f64(r->file, "out64.Y_h", H);
  r->c64 = tensors_f64(r->file, "out64.Y_c", H);
  const char *rel = tensors_meta(r->file, "f32_rel_out");
  r->f32_rel_out = rel ? atof(rel) : 0;
  int weights = r->W && r->R && r->B && r->conv && r->conv_bias,
      outputs = r->y && r->prob && r->y64 && r->h64 && r->c64;
  if (!EXPECT(r->x && weights && outputs && r->f32_rel_out > 0, "the recording is not complete")) return 0;
  r->kernel = test_memory(sizeof(float) * (C + 1) * 4 * H);
  r->recurrent_kernel = test_memory(sizeof(float) * H * 4 * H);
  transpose(r->kernel, r->W, C);
  transpose(r->kernel + C * 4 * H, r->B + 4 * H, 1); /* the second bias: the weights of an input that is always 1 */
  transpose(r->recurrent_kernel, r->R, H);
  return 1;
}

/* A plan with the weights packed, x on the backend and room for the outputs. */
typedef struct stage {
  rondo_context *ctx;
  rondo_plan *plan;
  rondo_dtype weights;
  rondo_batch batch; /* params, workspace and x; no outputs yet */
  float *y;          /* (320, 1, H) */
} stage;

static int set_up(stage *s, rondo_context *ctx, const recording *r, rondo_dtype weights_type) {
  rondo_plan_desc desc = {.layer = {.input_size = C, .hidden_size = H},
                          .max_batch = 1,
                          .max_timesteps = FRAMES,
                          .layout = RONDO_TIME_MAJOR,
                          .weights = weights_type};
  *s = (stage){.ctx = ctx, .plan = test_plan(ctx, &desc), .weights = weights_type};
  if (!s->plan) return 0;
  void *params = buffer_new(ctx, rondo_plan_sizes(s->plan)->params);
  rondo_weights weights = {
      .format = RONDO_ONNX, .kernel = r->W, .recurrent_kernel = r->R, .bias = r->B, .recurrent_bias = r->B + 4 * H};
  s->batch = (rondo_batch){.batch = 1,
                           .timesteps = FRAMES,
                           .params = params,
                           .workspace = buffer_new(ctx, rondo_plan_sizes(s->plan)->workspace),
                           .x = buffer_upload(ctx, r->x, FRAMES * C)};
  s->y = buffer_output(ctx, FRAMES * H);
  return EXPECT_OK(rondo_pack(s->plan, ctx, params, &weights));
}

/* ---- Each frame by itself ---------------------------------------------------------------------------------------- */

/* h, c (H): the state before the frame; h_n, c_n: what the backend made of it. */
static void judge_frame(const recording *r, int frame, const stage *s, float *h, float *c, const float *h_n,
                        const float *c_n) {
  float x[C + 1], bias[4 * H];
  int levels = s->weights == RONDO_INT8; /* then no input stands for the second bias */
  memcpy(x, r->x + frame * C, C * sizeof *x);
  x[C] = 1;
  transpose(bias, r->B, 1);
  problem p = {.batch = 1, .timesteps = 1, .input_size = C + 1, .hidden_size = H, .num_layers = 1, .initial_state = 1};
  p.weights = s->weights;
  if (levels) p.input_size = C;
  problem_data data = {0};
  problem_layout(&data, &p);
  data.x = x, data.h_0 = h, data.c_0 = c;
  data.weights[0] = (rondo_weights){.kernel = r->kernel, .recurrent_kernel = r->recurrent_kernel, .bias = bias};
  if (levels) data.weights[0].recurrent_bias = r->kernel + C * 4 * H;
  data.weights_count = 1;
  compare_expected expected;
  compare_arithmetic unit = compare_arithmetic_of(rondo_context_backend(s->ctx), RONDO_ISA_BEST, &p);
  if (!EXPECT(compare_expect(&expected, &data, unit), "no memory")) return;
  EXPECT_RATIO(compare_h_n(&expected, &data, h_n), "h after frame %d", frame);
  EXPECT_RATIO(compare_c_n(&expected, &data, c_n), "c after frame %d", frame);
  compare_free(&expected);
}

/* Streams all frames: one call a frame, the state in place. y and last (h, then c) on the host. */
static int stream(const stage *s, const recording *r, int judge, float *y, float last[2][H]) {
  float before[2][H] = {{0}};
  float *h = buffer_upload(s->ctx, before[0], H), *c = buffer_upload(s->ctx, before[1], H);
  rondo_batch b = s->batch;
  b.timesteps = 1;
  b.h_0 = b.h_n = h, b.c_0 = b.c_n = c;
  for (int frame = 0; frame < FRAMES; frame++) {
    b.x = (const float *)s->batch.x + frame * C;
    b.y = s->y + frame * H;
    if (!EXPECT_OK(rondo_forward(s->plan, s->ctx, &b))) return 0;
    if (!judge && frame < FRAMES - 1) continue;
    buffer_download(s->ctx, last[0], h, H);
    buffer_download(s->ctx, last[1], c, H);
    if (judge) judge_frame(r, frame, s, before[0], before[1], last[0], last[1]);
    memcpy(before, last, sizeof before);
  }
  buffer_download(s->ctx, y, s->y, FRAMES * H);
  return EXPECT(test_same_bits(last[0], y + (FRAMES - 1) * H, H), "h_n of the last frame is not its y");
}

static void every_frame(const void *parameter) {
  (void)parameter;
  recording r;
  stage s;
  rondo_context *ctx = test_context();
  float last[2][H], *y = test_memory(sizeof(float) * FRAMES * H);
  if (!ctx) return;
  if (read_recording(&r) && set_up(&s, ctx, &r, RONDO_F32)) stream(&s, &r, 1, y, last);
  tensors_free(r.file);
}

/* ---- All frames together ----------------------------------------------------------------------------------------- */

/* Largest error allowed of values whose largest is as given. */
static double tolerance(const recording *r, const double *want, size_t count) {
  double largest = 1;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(want[i]));
  return 10 * r->f32_rel_out * largest;
}

static void judge_values(const recording *r, const char *what, const float *got, const double *want, size_t count) {
  double error = 0;
  for (size_t i = 0; i < count; i++) {
    double difference = fabs(got[i] - want[i]);
    if (difference > error || isnan(difference)) error = difference; /* NaN stays: nothing is greater */
  }
  EXPECT_RATIO(error / tolerance(r, want, count), "%s", what);
}

/* The model's answer, prob = sigmoid(conv . relu(h) + bias). Sigmoid's slope is at most 1/4, so errors of h are at most
 * |conv| / 4 times as large here; the recorded answer itself was made in float from an h that is f32_rel_out away. */
static void judge_answer(const recording *r, const float *y) {
  double weight = 0;
  for (int j = 0; j < H; j++) weight += fabs(r->conv[j]);
  double rounding = (H + 2) * 0x1p-24 * (weight + fabs(r->conv_bias[0])) / 4 + 4 * 0x1p-24; /* |h| is below 1 */
  double bound = weight / 4 * 11 * r->f32_rel_out + rounding;
  for (int frame = 0; frame < FRAMES; frame++) {
    double sum = r->conv_bias[0];
    for (int j = 0; j < H; j++) sum += (double)r->conv[j] * fmax(0, y[frame * H + j]);
    EXPECT_RATIO(fabs(1 / (1 + exp(-sum)) - r->prob[frame]) / bound, "the probability of frame %d", frame);
  }
}

static void judge(const recording *r, const float *y, const float *h, const float *c) {
  judge_values(r, "y", y, r->y64, FRAMES * H);
  judge_values(r, "h_n", h, r->h64, H);
  judge_values(r, "c_n", c, r->c64, H);
  judge_answer(r, y);
}

static void run_both_ways(const stage *s, const recording *r) {
  float last[2][H], *y = test_memory(sizeof(float) * FRAMES * H);
  if (!stream(s, r, 0, y, last)) return;
  judge(r, y, last[0], last[1]);

  rondo_batch b = s->batch;
  float *h = buffer_output(s->ctx, H), *c = buffer_output(s->ctx, H);
  b.y = buffer_output(s->ctx, FRAMES * H), b.h_n = h, b.c_n = c;
  if (!EXPECT_OK(rondo_forward(s->plan, s->ctx, &b))) return;
  const float *whole = buffer_download(s->ctx, NULL, b.y, FRAMES * H);
  judge(r, whole, buffer_download(s->ctx, NULL, h, H), buffer_download(s->ctx, NULL, c, H));
  if (rondo_context_backend(s->ctx) == RONDO_CPU)
    EXPECT(test_same_bits(whole, y, FRAMES * H), "one call and 320 calls differ");
}

static void all_frames(const void *parameter) {
  (void)parameter;
  recording r;
  stage s;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  if (read_recording(&r) && set_up(&s, ctx, &r, RONDO_F32)) run_both_ways(&s, &r);
  tensors_free(r.file);
}

/* ---- Weights of 8 bits ------------------------------------------------------------------------------------------- */

/* What the model makes of h (H): above 0, somebody speaks. */
static double answer(const recording *r, const float *h) {
  double sum = r->conv_bias[0];
  for (int j = 0; j < H; j++) sum += (double)r->conv[j] * fmax(0, h[j]);
  return sum;
}

/* Rounding to levels has noise of 1 / sqrt(12) of one, -53 dB of the largest number of a row or column, which is some 4
 * times the usual one: -41 dB for each factor, -38 for a product, and as much again for what h and c carry on: 35 dB.
 * Independent errors of h add up in the answer as its terms do, so it is off by as large a share, and a decision may
 * change where the answer is no more than 4 times that from 0. Here it is 37.0 dB, and one of the 320 decisions is
 * another: that of a frame whose probability is 0.5045. (With RONDO_BF16 52 dB, and the same frame.) */
static void judge_levels(const recording *r, const float *y) {
  double noise = 0, signal = 0, size = 0;
  int changed = 0, far = 0;
  for (int i = 0; i < FRAMES * H; i++) noise += pow(y[i] - r->y64[i], 2), signal += pow(r->y64[i], 2);
  for (int frame = 0; frame < FRAMES; frame++) size += pow(log(r->prob[frame] / (1 - r->prob[frame])), 2) / FRAMES;
  for (int frame = 0; frame < FRAMES; frame++) {
    double was = log(r->prob[frame] / (1 - (double)r->prob[frame])), is = answer(r, y + frame * H);
    if ((was > 0) == (is > 0)) continue;
    changed++;
    far += fabs(was) > 4 * pow(10, -35.0 / 20) * sqrt(size);
  }
  double db = 10 * log10(signal / noise);
  EXPECT_RATIO(pow(10, (35 - db) / 20), "int8: %.2f dB, %d of %d decisions changed", db, changed, FRAMES);
  EXPECT(far == 0 && changed <= FRAMES / 100, "int8: %d decisions changed, %d of them clear ones", changed, far);
}

static void levels(const void *parameter) {
  (void)parameter;
  recording r;
  stage s;
  rondo_context *ctx = test_context();
  float last[2][H], *y = test_memory(sizeof(float) * FRAMES * H);
  if (!ctx) return;
  if (read_recording(&r) && set_up(&s, ctx, &r, RONDO_INT8) && stream(&s, &r, 1, y, last)) judge_levels(&r, y);
  tensors_free(r.file);
}

const test_suite test_real = {"Real", TEST_ALL | TEST_HOISTED,
                              (const test_row[]){{"every_frame", every_frame, NULL, 0},
                                                 {"all_frames", all_frames, NULL, 0},
                                                 {"levels", levels, NULL, 0},
                                                 {NULL, NULL, NULL, 0}}};
