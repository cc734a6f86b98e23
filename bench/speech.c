/* speech.c - a real model's LSTM on recorded speech: frame by frame, batch 1, its state carried in place.
 *
 * The recording (tests/data) holds the weights in ONNX's order, the input of every frame, and h after every frame: as
 * floats from the runtime that was recorded, and as doubles from the same numbers. */
#include "bench.h"

#include "tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FRAMES = 100000, MOST_UNITS = 4096 };
/* What float arithmetic in another order may differ by, in units of what the recorded one differs from doubles by. */
static const double RECORDER_ERRORS = 10;
static const double ANY_H = 2; /* two numbers in -1..1 differ by no more */

/* The recording, borrowed from the file. frames F, inputs C, units H. */
typedef struct recording {
  int frames, inputs, units;
  const float *x, *kernel, *recurrent_kernel, *bias, *h_0, *c_0; /* (F, C), (4H, C), (4H, H), (8H), (H), (H) */
  const float *y;                                                /* (F, H) */
  const double *y_exact;                                         /* (F, H) */
} recording;

static int find_recording(recording *r, const tensors *file) {
  const tensor *x = tensors_find(file, "in.X"), *h_0 = tensors_find(file, "in.initial_h");
  if (!x || x->rank != 3 || x->shape[1] != 1 || x->shape[0] > MOST_FRAMES || x->shape[2] > MOST_UNITS) return 0;
  if (!h_0 || h_0->count > MOST_UNITS) return 0;
  size_t frames = x->shape[0], inputs = x->shape[2], units = h_0->count;
  *r = (recording){
      .frames = (int)frames,
      .inputs = (int)inputs,
      .units = (int)units,
      .x = tensors_f32(file, "in.X", frames * inputs),
      .kernel = tensors_f32(file, "w.W", 4 * units * inputs),
      .recurrent_kernel = tensors_f32(file, "w.R", 4 * units * units),
      .bias = tensors_f32(file, "w.B", 8 * units),
      .h_0 = tensors_f32(file, "in.initial_h", units),
      .c_0 = tensors_f32(file, "in.initial_c", units),
      .y = tensors_f32(file, "out.Y", frames * units),
      .y_exact = tensors_f64(file, "out64.Y", frames * units),
  };
  return r->x && r->kernel && r->recurrent_kernel && r->bias && r->h_0 && r->c_0 && r->y && r->y_exact;
}

/* What a stream needs on the context. */
typedef struct stream {
  rondo_context *ctx;
  rondo_plan *plan;
  void *params, *workspace, *x, *h, *c;
} stream;

static void stream_close(stream *s) {
  void *const memory[] = {s->params, s->workspace, s->x, s->h, s->c};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) rondo_free(s->ctx, memory[i]);
  rondo_plan_destroy(s->plan);
}

static rondo_status stream_open(stream *s, rondo_context *ctx, const recording *r, rondo_plan_desc desc) {
  desc.layer = (rondo_layer){.input_size = r->inputs, .hidden_size = r->units};
  *s = (stream){.ctx = ctx};
  rondo_status status = rondo_plan_create(&s->plan, ctx, &desc);
  if (status != RONDO_OK) return status;
  const rondo_sizes *sizes = rondo_plan_sizes(s->plan);
  s->params = rondo_alloc(ctx, sizes->params);
  s->workspace = sizes->workspace ? rondo_alloc(ctx, sizes->workspace) : NULL;
  s->x = rondo_alloc(ctx, (size_t)r->inputs * sizeof(float));
  s->h = rondo_alloc(ctx, sizes->state);
  s->c = rondo_alloc(ctx, sizes->state);
  if (!s->params || (sizes->workspace && !s->workspace) || !s->x || !s->h || !s->c) return RONDO_OUT_OF_MEMORY;
  rondo_weights weights = {
      .format = RONDO_ONNX,
      .kernel = r->kernel,
      .recurrent_kernel = r->recurrent_kernel,
      .bias = r->bias,
      .recurrent_bias = r->bias + 4 * r->units,
  };
  return rondo_pack(s->plan, ctx, s->params, &weights);
}

/* Runs all frames from the recorded initial state; h: (F, H) receives what came out, times: (F) how long it took. */
static rondo_status stream_all(const stream *s, const recording *r, float *h, double *times) {
  size_t x_bytes = (size_t)r->inputs * sizeof(float), h_bytes = (size_t)r->units * sizeof(float);
  rondo_batch batch = {
      .batch = 1,
      .timesteps = 1,
      .params = s->params,
      .workspace = s->workspace,
      .x = s->x,
      .h_0 = s->h,
      .c_0 = s->c,
      .h_n = s->h,
      .c_n = s->c,
  };
  rondo_status status = rondo_copy(s->ctx, s->h, r->h_0, h_bytes);
  if (status == RONDO_OK) status = rondo_copy(s->ctx, s->c, r->c_0, h_bytes);
  for (int i = 0; status == RONDO_OK && i < r->frames; i++) {
    double begin = now();
    status = rondo_copy(s->ctx, s->x, r->x + (size_t)i * (size_t)r->inputs, x_bytes);
    if (status == RONDO_OK) status = rondo_forward(s->plan, s->ctx, &batch);
    if (status == RONDO_OK) status = rondo_copy(s->ctx, h + (size_t)i * (size_t)r->units, s->h, h_bytes);
    times[i] = now() - begin;
  }
  return status;
}

static void raise_to(double *largest, double difference) {
  difference = fabs(difference);
  if (!(difference <= *largest)) *largest = isnan(difference) ? INFINITY : difference;
}

/* rounded: the weights are not those of the recording, so any h will do that is one. */
static void compare_h(speech *s, const recording *r, const float *h, int rounded) {
  double largest = 1;
  for (size_t i = 0; i < (size_t)r->frames * (size_t)r->units; i++) {
    raise_to(&s->error, (double)h[i] - r->y[i]);
    raise_to(&s->error_exact, h[i] - r->y_exact[i]);
    raise_to(&s->recorder_error, r->y[i] - r->y_exact[i]);
    raise_to(&largest, r->y_exact[i]);
  }
  s->bound = rounded ? ANY_H : fmax(1e-6, RECORDER_ERRORS * s->recorder_error) * largest;
}

/* Streams the recording again and again, until the seconds are over or there are times enough. */
static rondo_status measure(speech *s, const stream *live, const recording *r, const options *o) {
  static double times[MOST_FRAMES];
  float *h = malloc((size_t)r->frames * (size_t)r->units * sizeof *h);
  rondo_status status = h ? RONDO_OK : RONDO_OUT_OF_MEMORY;
  int timed = 0;
  for (double end = now() + o->seconds; status == RONDO_OK && timed + r->frames <= MOST_FRAMES; timed += r->frames) {
    if (timed && now() > end) break;
    status = stream_all(live, r, h, times + timed);
    if (status == RONDO_OK) compare_h(s, r, h, o->weights != RONDO_F32);
  }
  if (status == RONDO_OK) s->frame = spread_of(times, timed);
  free(h);
  return status;
}

rondo_status speech_measure(speech *s, rondo_context *ctx, const options *o, char *message, size_t size) {
  char reason[TENSORS_MESSAGE] = "";
  recording r;
  stream live;
  rondo_plan_desc desc = {.max_batch = 1, .max_timesteps = 1, .algorithm = o->algorithm};
  desc.weights = o->weights, desc.allow_tf32 = o->allow_tf32;
  *s = (speech){0};
  tensors *file = tensors_read(o->speech, reason);
  if (!file || !find_recording(&r, file)) {
    snprintf(message, size, "%s", file ? "the file is not a recording of an LSTM on speech" : reason);
    tensors_free(file);
    return RONDO_BAD_FILE;
  }
  const char *description = tensors_meta(file, "desc"), *peer = tensors_meta(file, "peer");
  snprintf(s->model, sizeof s->model, "%.*s, recorded from %s", (int)strcspn(description ? description : "", ";,"),
           description ? description : "", peer ? peer : "another runtime");
  s->frames = r.frames;
  rondo_status status = stream_open(&live, ctx, &r, desc);
  if (status == RONDO_OK) {
    snprintf(s->plan, sizeof s->plan, "%s", rondo_plan_text(live.plan));
    status = measure(s, &live, &r, o);
  }
  if (status != RONDO_OK) snprintf(message, size, "%s", rondo_last_error());
  stream_close(&live);
  tensors_free(file);
  return status;
}
