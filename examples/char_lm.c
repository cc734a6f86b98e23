/* char_lm.c - a language model of characters: an LSTM reads a text one byte at a time, its head says which byte comes
 * next, and after training it writes text of its own, reading what it has written.
 *
 * The text is cut into 16 streams that are read side by side, 64 characters a step; each step starts from the state in
 * which the one before ended, and gradients go back through one step (truncated backpropagation through time). The loss
 * is the cross entropy of softmax(y), whose gradient by y is the probabilities less 1 at the right byte.
 *
 *     char_lm [--backend cpu|cuda|reference|auto] [--threads N] [--steps N] [--csv FILE] TEXT
 *
 * Exit status 0: the mean loss is below 0.9 of that of a guess. --csv writes the loss of every step, which
 * examples/plot.gp draws:  gnuplot -e "file='FILE'" examples/plot.gp > loss.svg */
#include <math.h>
#include <rondo/rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
enum { H = 128, N = 16, T = 64 };
static rondo_context *ctx;
static unsigned char *text, symbols[256]; /* symbols: bytes of the text in order; V of them */
static int V, number[256];                /* number[byte]: its place in symbols */
static size_t length;
#define TRY(call)                                                                                                      \
  if ((call) != RONDO_OK) puts(rondo_last_error()), exit(2)

static void load(const char *path) {
  FILE *f = fopen(path, "rb");
  long bytes = f && !fseek(f, 0, SEEK_END) ? ftell(f) : 0;
  if (bytes < N * (T + 1)) printf("%s cannot be read or has less than %d bytes\n", path, N * (T + 1)), exit(2);
  text = malloc((size_t)bytes), rewind(f);
  length = text ? fread(text, 1, (size_t)bytes, f) : 0;
  if (length != (size_t)bytes) printf("%s cannot be read\n", path), exit(2);
  fclose(f);
  for (size_t i = 0; i < length; i++) number[text[i]] = 1;
  for (int byte = 0; byte < 256; byte++)
    if (number[byte]) symbols[V] = (unsigned char)byte, number[byte] = V++;
}

/* Backend memory of zeros; NULL where none is needed. */
static void *zeros(size_t bytes) {
  if (!bytes) return NULL;
  void *there = rondo_alloc(ctx, bytes), *here = calloc(bytes, 1);
  if (!there || !here) puts(rondo_last_error()), exit(2);
  TRY(rondo_copy(ctx, there, here, bytes));
  return free(here), there;
}

/* In place: scores of the V symbols become probabilities. cold: above 1 makes the likely likelier. */
static void softmax(float *y, float cold) {
  float most = y[0], sum = 0;
  for (int v = 1; v < V; v++) most = fmaxf(most, y[v]);
  for (int v = 0; v < V; v++) sum += y[v] = expf(cold * (y[v] - most));
  for (int v = 0; v < V; v++) y[v] /= sum;
}

/* One step of training on the T characters of each stream from `at` on. Gives the mean loss. */
static double train(const rondo_plan *plan, const rondo_batch *b, size_t at, rondo_clip_args *clip,
                    rondo_adam_args *adam) {
  size_t stream = length / N, bytes = (size_t)(N * T * V) * sizeof(float);
  float *x = calloc(bytes, 1), *y = malloc(bytes);
  double loss = 0;
  for (size_t i = 0; i < N * T; i++) x[i * (size_t)V + (size_t)number[text[i / T * stream + at + i % T]]] = 1;
  TRY(rondo_copy(ctx, (void *)b->x, x, bytes));
  TRY(rondo_forward(plan, ctx, b));
  TRY(rondo_copy(ctx, y, b->y, bytes));
  for (size_t i = 0; i < N * T; i++) {
    float *p = y + i * (size_t)V, *right = p + number[text[i / T * stream + at + i % T + 1]];
    softmax(p, 1);
    loss -= log((double)*right + 1e-30) / (N * T);
    *right -= 1;
    for (int v = 0; v < V; v++) p[v] /= N * T;
  }
  TRY(rondo_copy(ctx, (void *)b->dy, y, bytes));
  TRY(rondo_backward(plan, ctx, b));
  TRY(rondo_clip_by_norm(ctx, clip));
  adam->step++;
  TRY(rondo_adam(ctx, adam));
  return free(x), free(y), loss;
}

/* Writes count characters: each is drawn from what the model says, and is what it reads next. */
static void speak(const rondo_plan *plan, rondo_batch b, int count) {
  float *row = malloc((size_t)V * sizeof *row);
  int next = number[text[0]];
  b.batch = b.timesteps = 1;
  b.h_0 = b.c_0 = NULL;
  for (uint64_t state = 1; count > 0; count--) {
    for (int v = 0; v < V; v++) row[v] = v == next;
    TRY(rondo_copy(ctx, (void *)b.x, row, (size_t)V * sizeof *row));
    TRY(rondo_forward(plan, ctx, &b));
    TRY(rondo_copy(ctx, row, b.y, (size_t)V * sizeof *row));
    softmax(row, 1.4f);
    state = state * 6364136223846793005 + 1442695040888963407; /* Knuth's generator of MMIX */
    float left = (float)(state >> 40) * 0x1p-24f;
    for (next = 0; next < V - 1 && left >= row[next]; next++) left -= row[next];
    putchar(symbols[next]);
    b.h_0 = b.h_n, b.c_0 = b.c_n;
  }
  free(row);
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i += 2)
    if (!strcmp(argv[i], name)) return argv[i + 1];
  return otherwise;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"auto", "cpu", "cuda", "reference"}; /* in the order of rondo_backend */
  const char *backend = option(argc, argv, "--backend", "cpu"), *csv = option(argc, argv, "--csv", NULL);
  int steps = atoi(option(argc, argv, "--steps", "2000")), threads = atoi(option(argc, argv, "--threads", "1")), on = 0;
  while (on < 4 && strcmp(backend, names[on])) on++;
  FILE *file = csv ? fopen(csv, "w") : NULL;
  if (argc % 2 || on == 4 || (csv && !file))
    return puts("usage: char_lm [--backend cpu] [--threads N] [--steps N] [--csv FILE] TEXT"), 2;
  load(argv[argc - 1]);
  TRY(rondo_context_create(&ctx, &(rondo_context_desc){.backend = (rondo_backend)on, .threads = threads}));
  rondo_plan *plan;
  rondo_plan_desc desc = {.max_batch = N, .max_timesteps = T, .training = 1};
  desc.layer = (rondo_layer){.input_size = V, .hidden_size = H, .head_units = V};
  TRY(rondo_plan_create(&plan, ctx, &desc));
  const rondo_sizes *size = rondo_plan_sizes(plan);
  printf("%s\n%s\n%zu characters, %d kinds of them\n", rondo_context_text(ctx), rondo_plan_text(plan), length, V);

  size_t rows = (size_t)(N * T * V) * sizeof(float), count = size->params / sizeof(float);
  rondo_batch b = {N, T, .params = zeros(size->params), .x = zeros(rows), .y = zeros(rows), .dy = zeros(rows)};
  b.workspace = zeros(size->workspace), b.reserve = zeros(size->reserve), b.dparams = zeros(size->params);
  void *state[2][2] = {{zeros(size->state), zeros(size->state)}, {zeros(size->state), zeros(size->state)}};
  rondo_clip_args clip = {count, b.dparams, .limit = 1, .scratch = zeros(RONDO_CLIP_SCRATCH)};
  rondo_adam_args adam = {count, (void *)b.params, b.dparams, zeros(size->params), zeros(size->params), .rate = 0.003f};
  TRY(rondo_init_params(plan, ctx, (void *)b.params, &(rondo_init){.seed = 1}));

  double guess = log(V), mean = guess;
  size_t at = 0;
  for (int step = 0; step < steps; step++, at = at + 2 * T < length / N ? at + T : 0) {
    /* The state that backward reads must outlive the call: two of them take turns. */
    b.h_0 = at ? state[(step + 1) % 2][0] : NULL, b.c_0 = at ? state[(step + 1) % 2][1] : NULL;
    b.h_n = state[step % 2][0], b.c_n = state[step % 2][1];
    double loss = train(plan, &b, at, &clip, &adam);
    mean += (step ? 0.05 : 1) * (loss - mean);
    if (file) fprintf(file, "%d,%g\n", step, loss);
    if (step % 50 == 49) printf("step %5d  loss %.3f, %.2f bits a character\n", step + 1, mean, mean / log(2));
    fflush(stdout);
  }
  speak(plan, b, 500);
  printf("\nmean loss %.3f, of a guess %.3f\n", mean, guess);
  void *const own[] = {(void *)b.params, (void *)b.x, b.y,         (void *)b.dy, b.workspace,  b.reserve, b.dparams,
                       state[0][0],      state[0][1], state[1][0], state[1][1],  clip.scratch, adam.m,    adam.v};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) rondo_free(ctx, own[i]);
  if (file) fclose(file);
  free(text), rondo_plan_destroy(plan), rondo_context_destroy(ctx);
  return mean < 0.9 * guess ? 0 : 1;
}
