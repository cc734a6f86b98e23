/* streaming_vad.c - is somebody speaking? The LSTM of a voice activity detector (silero-vad, 128 units) is fed one
 * frame of 32 ms at a time, as a microphone would, its state updated in place, and checked against a recording.
 *
 *     streaming_vad [--backend cpu|cuda|auto] tests/data/silero_vad_lstm.tensors */
#include <math.h>
#include <rondo/rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
enum { FRAMES = 320, C = 128, H = 128 };
static float W[4 * H * C], R[4 * H * H], B[8 * H], conv[H], bias, x[FRAMES][C], recorded[FRAMES][H], y[FRAMES][H];

#define TRY(call)                                                                                                      \
  if ((call) != RONDO_OK) return puts(rondo_last_error()), 2

/* Reads a tensor. The file begins with lines "f32 name d0 d1 .." or "f64 .." and an empty one; data follow in order. */
static void load(const char *path, const char *name, float *to, size_t count) {
  char line[1024], key[64];
  long before = 0, at = -1;
  FILE *f = fopen(path, "rb");
  while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
    size_t d[4] = {1, 1, 1, 1}, bits;
    if (sscanf(line, "f%zu %63s %zu %zu %zu %zu", &bits, key, d, d + 1, d + 2, d + 3) < 2) continue;
    if (!strcmp(key, name) && bits == 32 && d[0] * d[1] * d[2] * d[3] == count) at = before;
    before += (long)(d[0] * d[1] * d[2] * d[3] * bits / 8);
  }
  if (at < 0 || fseek(f, at, SEEK_CUR) || fread(to, sizeof *to, count, f) != count)
    printf("%s has no %s of %zu floats\n", path, name, count), exit(2);
  fclose(f);
}

int main(int argc, char **argv) {
  const char *path = argv[argc - 1], *name = argc == 4 ? argv[2] : "auto";
  rondo_backend on = !strcmp(name, "cpu") ? RONDO_CPU : !strcmp(name, "cuda") ? RONDO_CUDA : RONDO_BACKEND_AUTO;
  if (argc == 4 ? strcmp(argv[1], "--backend") || (!on && strcmp(name, "auto")) : argc != 2)
    return puts("usage: streaming_vad [--backend auto|cpu|cuda] FILE"), 2;
  load(path, "w.W", W, 4 * H * C), load(path, "w.R", R, 4 * H * H), load(path, "w.B", B, 8 * H);
  load(path, "torch.final_conv.weight", conv, H), load(path, "torch.final_conv.bias", &bias, 1);
  load(path, "in.X", x[0], FRAMES * C), load(path, "out.Y", recorded[0], FRAMES * H);

  /* Where it runs, what it computes (one sequence, one timestep a call), and the weights, in ONNX's order. */
  rondo_context *ctx;
  rondo_plan *plan;
  rondo_plan_desc lstm = {.layer = {.input_size = C, .hidden_size = H}, .max_batch = 1, .max_timesteps = 1};
  TRY(rondo_context_create(&ctx, &(rondo_context_desc){.backend = on}));
  TRY(rondo_plan_create(&plan, ctx, &lstm));
  const rondo_sizes *size = rondo_plan_sizes(plan);
  void *params = rondo_alloc(ctx, size->params), *scratch = rondo_alloc(ctx, size->workspace);
  float *in = rondo_alloc(ctx, sizeof x[0]), *h = rondo_alloc(ctx, 2 * size->state), *c = h + H;
  rondo_weights weights = {RONDO_ONNX, .kernel = W, .recurrent_kernel = R, .bias = B, .recurrent_bias = B + 4 * H};
  TRY(rondo_pack(plan, ctx, params, &weights));
  TRY(rondo_copy(ctx, h, y, 2 * size->state)); /* h and c: y is still zero, as the state before the first frame */

  /* The stream: a frame goes in, the state moves on, h comes out. */
  rondo_batch step = {1, 1, .params = params, .workspace = scratch, .x = in, .h_0 = h, .c_0 = c, .h_n = h, .c_n = c};
  struct timespec start, end;
  timespec_get(&start, TIME_UTC);
  for (int t = 0; t < FRAMES; t++) {
    TRY(rondo_copy(ctx, in, x[t], sizeof x[t]));
    TRY(rondo_forward(plan, ctx, &step));
    TRY(rondo_copy(ctx, y[t], h, sizeof y[t]));
  }
  timespec_get(&end, TIME_UTC);
  double time = (double)(end.tv_sec - start.tv_sec) * 1e6 + (double)(end.tv_nsec - start.tv_nsec) / 1e3, worst = 0;
  for (int t = 0; t < FRAMES; t++) {
    double sum = bias; /* the model's last layer: sigmoid(conv . relu(h) + bias) */
    for (int j = 0; j < H; j++) {
      sum += conv[j] * fmaxf(y[t][j], 0);
      worst = fmax(worst, isnan(y[t][j]) ? INFINITY : fabsf(y[t][j] - recorded[t][j]));
    }
    if (t % 4 == 3) putchar("_.:-=+*%#@"[(int)(9.99 / (1 + exp(-sum)))]);
  }
  printf(" (probability of speech, 4 frames a character)\n%s\n", rondo_plan_text(plan));
  printf("largest difference from the recorded h %.1e, %.1f microseconds a frame\n", worst, time / FRAMES);
  rondo_free(ctx, params), rondo_free(ctx, scratch), rondo_free(ctx, in), rondo_free(ctx, h);
  rondo_plan_destroy(plan), rondo_context_destroy(ctx);
  return worst <= 11 * 3.22e-6 ? 0 : 1; /* the recorded h is 3.22e-6 from exact; other float orders: 10 times that */
}
