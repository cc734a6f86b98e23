/* seq2seq.c - one sequence becomes another: an LSTM (encoder) reads the first, its last state starts a second LSTM
 * (decoder), whose Dense head says which of three symbols comes next. What the decoder says is what it reads next.
 * First it is told what to read, as in training, and checked against Keras, which made and recorded the weights.
 *
 *     seq2seq [--backend cpu|cuda|auto] tests/golden/keras/seq2seq_0.tensors */
#include <math.h>
#include <rondo/rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { T_IN = 16, C_IN = 4, H = 6, T_OUT = 7, C_OUT = 9, SYMBOLS = 3 };
static const char *path;
static rondo_context *ctx;
static float source[T_IN * C_IN], target[T_OUT][C_OUT];
static double keras[T_OUT * SYMBOLS];
#define TRY(call)                                                                                                      \
  if ((call) != RONDO_OK) puts(rondo_last_error()), exit(2)

/* Reads a tensor. The file begins with lines "f32 name d0 d1 .." or "f64 .." and an empty one; data follow in order. */
static void load(const char *layer, const char *name, void *to, size_t count, size_t want_bits) {
  char line[1024], key[64], want[64];
  long before = 0, at = -1;
  FILE *f = fopen(path, "rb");
  snprintf(want, sizeof want, "%s%s", layer, name);
  while (f && fgets(line, sizeof line, f) && line[0] != '\n') {
    size_t d[3] = {1, 1, 1}, bits;
    if (sscanf(line, "f%zu %63s %zu %zu %zu", &bits, key, d, d + 1, d + 2) < 3) continue;
    if (!strcmp(key, want) && bits == want_bits && d[0] * d[1] * d[2] == count) at = before;
    before += (long)(d[0] * d[1] * d[2] * bits / 8);
  }
  if (at < 0 || fseek(f, at, SEEK_CUR) || fread(to, want_bits / 8, count, f) != count)
    printf("%s has no %s of %zu numbers\n", path, want, count), exit(2);
  fclose(f);
}

/* A plan with room for its parameters; the batch has everything but data in it. */
static rondo_plan *make(rondo_layer layer, int timesteps, rondo_batch *batch) {
  rondo_plan *plan;
  TRY(rondo_plan_create(&plan, ctx, &(rondo_plan_desc){.layer = layer, .max_batch = 1, .max_timesteps = timesteps}));
  *batch = (rondo_batch){1, timesteps, .params = rondo_alloc(ctx, rondo_plan_sizes(plan)->params)};
  batch->workspace = rondo_alloc(ctx, rondo_plan_sizes(plan)->workspace);
  return printf("%s\n", rondo_plan_text(plan)), plan;
}

/* Weights as Keras has them: (F, columns), (H, columns) but for Dense, (columns). */
static void pack(rondo_plan *plan, const rondo_batch *batch, int index, const char *layer, size_t f, size_t columns) {
  float kernel[C_OUT * 4 * H], recurrent[H * 4 * H], bias[4 * H];
  rondo_weights weights = {.layer = index, .kernel = kernel, .bias = bias};
  load(layer, "kernel", kernel, f * columns, 32), load(layer, "bias", bias, columns, 32);
  if (index == 0) load(layer, "recurrent_kernel", recurrent, H * columns, 32), weights.recurrent_kernel = recurrent;
  TRY(rondo_pack(plan, ctx, (void *)batch->params, &weights));
}

/* One call of the decoder: rows of x in, (rows, SYMBOLS) probabilities out. */
static void decode(const rondo_plan *plan, const rondo_batch *batch, const float *x, double *p) {
  float got[T_OUT * SYMBOLS];
  size_t rows = (size_t)batch->timesteps;
  TRY(rondo_copy(ctx, (void *)batch->x, x, rows * C_OUT * sizeof *x));
  TRY(rondo_forward(plan, ctx, batch));
  TRY(rondo_copy(ctx, got, batch->y, rows * SYMBOLS * sizeof *got));
  for (size_t i = 0; i < rows * SYMBOLS; i++) p[i] = (double)got[i];
}

/* The decoder by itself, one timestep a call: it reads the row that stands for "a", then each time the one for the
 * likeliest symbol (as nobody has trained vectors for a, b and c, they are the first rows of the recording). */
static void speak(const rondo_plan *plan, rondo_batch step, float x[T_OUT][C_OUT], double p[T_OUT][SYMBOLS]) {
  step.timesteps = 1;
  for (int t = 0, best = 0; t < T_OUT; t++) {
    memcpy(x[t], target[best], sizeof x[t]);
    decode(plan, &step, x[t], p[t]);
    step.h_0 = step.h_n, step.c_0 = step.c_n; /* after the encoder's state its own, updated in place */
    best = p[t][1] > p[t][0];
    if (p[t][2] > p[t][best]) best = 2;
    printf("%c (%.2f) ", "abc"[best], p[t][best]);
  }
}

/* The largest difference; infinity if something is not a number. */
static double apart(const double *p, const double *q) {
  double worst = 0;
  for (int i = 0; i < T_OUT * SYMBOLS; i++) worst = fmax(worst, isnan(p[i] - q[i]) ? INFINITY : fabs(p[i] - q[i]));
  return worst;
}

int main(int argc, char **argv) {
  const char *name = argc == 4 ? argv[2] : "auto";
  rondo_backend on = !strcmp(name, "cpu") ? RONDO_CPU : !strcmp(name, "cuda") ? RONDO_CUDA : RONDO_BACKEND_AUTO;
  if (argc == 4 ? strcmp(argv[1], "--backend") || (!on && strcmp(name, "auto")) : argc != 2)
    return puts("usage: seq2seq [--backend auto|cpu|cuda] FILE"), 2;
  path = argv[argc - 1];
  load("", "encoder.x", source, T_IN * C_IN, 32), load("", "decoder.x", target, T_OUT * C_OUT, 32);
  load("", "call0.out64.6", keras, T_OUT * SYMBOLS, 64);
  TRY(rondo_context_create(&ctx, &(rondo_context_desc){.backend = on}));
  rondo_batch in, out;
  rondo_layer lstm = {.input_size = C_IN, .hidden_size = H}, symbols = {.input_size = C_OUT, .hidden_size = H};
  symbols.head_units = SYMBOLS, symbols.head_activation.kind = RONDO_SOFTMAX;
  rondo_plan *encoder = make(lstm, T_IN, &in), *decoder = make(symbols, T_OUT, &out);
  pack(encoder, &in, 0, "w.encoder/lstm_cell/", C_IN, 4 * H);
  pack(decoder, &out, 0, "w.decoder/lstm_cell/", C_OUT, 4 * H);
  pack(decoder, &out, 1, "w.dense/", H, SYMBOLS);
  /* All that the encoder makes of its sequence is one state, h and c; from there the decoder starts. */
  float *memory = rondo_alloc(ctx, sizeof source + sizeof target + (4 * H + T_OUT * SYMBOLS) * sizeof(float));
  in.x = memory, in.h_n = memory + T_IN * C_IN, in.c_n = (float *)in.h_n + H;
  out.h_0 = in.h_n, out.c_0 = in.c_n, out.h_n = (float *)in.c_n + H, out.c_n = (float *)out.h_n + H;
  out.x = (float *)out.c_n + H, out.y = (float *)out.x + T_OUT * C_OUT;
  TRY(rondo_copy(ctx, memory, source, sizeof source));
  TRY(rondo_forward(encoder, ctx, &in));
  float heard[T_OUT][C_OUT];
  double told[T_OUT * SYMBOLS], said[T_OUT][SYMBOLS], again[T_OUT * SYMBOLS];
  decode(decoder, &out, target[0], told);
  speak(decoder, out, heard, said);
  decode(decoder, &out, heard[0], again); /* told to read what it has read, it must say the same */
  double error = apart(told, keras), steps = apart(said[0], again);
  printf("\nlargest difference from Keras %.1e; of single steps from all at once %.1e\n", error, steps);
  void *const own[] = {memory, (void *)in.params, in.workspace, (void *)out.params, out.workspace};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) rondo_free(ctx, own[i]);
  rondo_plan_destroy(encoder), rondo_plan_destroy(decoder), rondo_context_destroy(ctx);
  return error <= 1e-6 && steps <= (on == RONDO_CPU ? 0 : 1e-6) ? 0 : 1; /* Keras's float32 is 6e-8 from exact */
}
