/* speech.c - a real model's LSTM on recorded speech: frame by frame, batch 1, its state carried in place.
 *
 * Two judges. A first run keeps every state, and each frame is judged by itself (recording.h), whatever is rounded. And
 * the h of all frames are held to the recording, where the arithmetic is the recorded one: errors of c live on, so this
 * is what they add up to. The runs that are timed must give the h of the first. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TIMES = 100000 };
/* What float arithmetic in another order may differ by, in units of what the recorded one differs from doubles by. */
static const double RECORDER_ERRORS = 10;

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
  desc.max_batch = desc.max_timesteps = 1;
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
  rondo_weights weights = recording_weights(r);
  return rondo_pack(s->plan, ctx, s->params, &weights);
}

/* Runs all frames from the recorded initial state. h (F, H) receives what came out; so does c (F, H), if it is not
 * NULL, and times (F), how long each frame took but for that. */
static rondo_status stream_all(const stream *s, const recording *r, float *h, float *c, double *times) {
  size_t x_bytes = (size_t)r->inputs * sizeof(float), units = (size_t)r->units, h_bytes = units * sizeof(float);
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
  for (size_t i = 0; status == RONDO_OK && i < (size_t)r->frames; i++) {
    double begin = now();
    status = rondo_copy(s->ctx, s->x, r->x + i * (size_t)r->inputs, x_bytes);
    if (status == RONDO_OK) status = rondo_forward(s->plan, s->ctx, &batch);
    if (status == RONDO_OK) status = rondo_copy(s->ctx, h + i * units, s->h, h_bytes);
    if (times) times[i] = now() - begin;
    if (status == RONDO_OK && c) status = rondo_copy(s->ctx, c + i * units, s->c, h_bytes);
  }
  return status;
}

static rondo_status run_states(const stream *s, const recording *r, float *h, float *c) {
  size_t units = (size_t)r->units;
  memcpy(h, r->h_0, units * sizeof *h);
  memcpy(c, r->c_0, units * sizeof *c);
  return stream_all(s, r, h + units, c + units, NULL);
}

rondo_status speech_states(const recording *r, rondo_context *ctx, const rondo_plan_desc *desc, float *h, float *c) {
  stream s;
  rondo_status status = stream_open(&s, ctx, r, *desc);
  if (status == RONDO_OK) status = run_states(&s, r, h, c);
  stream_close(&s);
  return status;
}

static void raise_to(double *largest, double difference) {
  difference = fabs(difference);
  if (!(difference <= *largest)) *largest = isnan(difference) ? INFINITY : difference;
}

/* rounded: not the arithmetic of the recording, so that differing from it says nothing. */
static void compare_h(speech *s, const recording *r, const float *h, int rounded) {
  double largest = 1;
  for (size_t i = 0; i < (size_t)r->frames * (size_t)r->units; i++) {
    raise_to(&s->error, (double)h[i] - r->y[i]);
    raise_to(&s->error_exact, h[i] - r->y_exact[i]);
    raise_to(&s->recorder_error, r->y[i] - r->y_exact[i]);
    raise_to(&largest, r->y_exact[i]);
  }
  s->bound = rounded ? INFINITY : fmax(1e-6, RECORDER_ERRORS * s->recorder_error) * largest;
}

/* h, c (F + 1, H): room for all states. */
static rondo_status check(speech *s, const stream *live, const recording *r, const options *o, float *h, float *c) {
  problem p = {.weights = o->weights, .allow_tf32 = o->allow_tf32};
  rondo_backend backend = rondo_context_backend(live->ctx);
  rondo_status status = run_states(live, r, h, c);
  if (status != RONDO_OK) return status;
  compare_h(s, r, h + r->units, o->weights != RONDO_F32 || (o->allow_tf32 && backend == RONDO_CUDA));
  int judged = recording_judge(&s->share, r, o->weights, subject_arithmetic(live->ctx, &p), h, c);
  return judged ? RONDO_OK : RONDO_OUT_OF_MEMORY;
}

/* Streams the recording again and again, until the seconds are over or there are times enough. right: the h (F, H) that
 * were judged; h: room for as many. */
static rondo_status time_frames(speech *s, const stream *live, const recording *r, double seconds, const float *right,
                                float *h) {
  static double times[MOST_TIMES];
  size_t bytes = (size_t)r->frames * (size_t)r->units * sizeof *h;
  rondo_status status = RONDO_OK;
  int timed = 0;
  for (double end = now() + seconds; status == RONDO_OK && timed + r->frames <= MOST_TIMES; timed += r->frames) {
    if (timed && now() > end) break;
    status = stream_all(live, r, h, NULL, times + timed);
    if (status == RONDO_OK && memcmp(h, right, bytes) != 0) s->share = INFINITY;
  }
  if (status == RONDO_OK) s->frame = spread_of(times, timed);
  return status;
}

static rondo_status measure(speech *s, const stream *live, const recording *r, const options *o) {
  size_t count = ((size_t)r->frames + 1) * (size_t)r->units;
  float *h = malloc(2 * count * sizeof *h);
  if (!h) return RONDO_OUT_OF_MEMORY;
  rondo_status status = check(s, live, r, o, h, h + count);
  if (status == RONDO_OK) status = time_frames(s, live, r, o->seconds, h + r->units, h + count);
  free(h);
  return status;
}

static void describe(speech *s, const recording *r) {
  const char *description = tensors_meta(r->file, "desc"), *peer = tensors_meta(r->file, "peer");
  snprintf(s->model, sizeof s->model, "%.*s, recorded from %s", (int)strcspn(description ? description : "", ";,"),
           description ? description : "", peer ? peer : "another runtime");
  s->frames = r->frames;
}

int speech_wrong(const speech *s) {
  return !(s->share <= 1 && s->error_exact <= s->bound);
}

rondo_status speech_measure(speech *s, rondo_context *ctx, const options *o, char *message, size_t size) {
  char reason[TENSORS_MESSAGE] = "";
  recording r;
  stream live;
  rondo_plan_desc desc = {.algorithm = o->algorithm, .weights = o->weights, .allow_tf32 = o->allow_tf32};
  *s = (speech){0};
  if (!recording_read(&r, o->speech, reason)) {
    snprintf(message, size, "%s", reason);
    recording_free(&r);
    return RONDO_BAD_FILE;
  }
  describe(s, &r);
  rondo_status status = stream_open(&live, ctx, &r, desc);
  if (status == RONDO_OK) {
    snprintf(s->plan, sizeof s->plan, "%s", rondo_plan_text(live.plan));
    status = measure(s, &live, &r, o);
  }
  if (status != RONDO_OK) snprintf(message, size, "%s", rondo_last_error());
  stream_close(&live);
  recording_free(&r);
  return status;
}
