/* train_adding.c - the adding problem (Hochreiter and Schmidhuber 1997): a sequence of 100 pairs (value, mark), values
 * uniform in 0..1, two of the marks 1, one in each half, the others 0. The answer, after the last pair, is the sum of
 * the two marked values. Who always answers 1 has a mean squared error of 1/6; to do better one must remember for up
 * to 99 timesteps. The program draws sequences, trains until the error of a running mean is below 0.005, and then
 * tests on new sequences.
 *
 *     train_adding [--backend cpu|cuda|reference|auto] [--threads N] [--steps N] [--csv FILE]
 *
 * Exit status 0: below 0.01 on the new sequences; or, with --steps (for a brief run), at least learning. --csv writes
 * the loss of every step, which examples/plot.gp draws:  gnuplot -e "file='FILE'" examples/plot.gp > loss.svg */
#include <rondo/rondo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
enum { T = 100, C = 2, H = 48, N = 32 };
static rondo_context *ctx;
static const rondo_sizes *size;
#define TRY(call)                                                                                                      \
  if ((call) != RONDO_OK) puts(rondo_last_error()), exit(2)

/* Backend memory of zeros; NULL where none is needed. */
static void *zeros(size_t bytes) {
  if (!bytes) return NULL;
  void *there = rondo_alloc(ctx, bytes), *here = calloc(bytes, 1);
  if (!there || !here) puts(rondo_last_error()), exit(2);
  TRY(rondo_copy(ctx, there, here, bytes));
  free(here);
  return there;
}

/* The next number in 0..1 (Marsaglia's xorshift). */
static float uniform(void) {
  static uint64_t state = 88172645463325252;
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return (float)(state >> 40) * 0x1p-24f;
}

static void draw(float x[N][T][C], float answer[N]) {
  memset(x, 0, sizeof(float[N][T][C]));
  for (int n = 0; n < N; n++) {
    for (int t = 0; t < T; t++) x[n][t][0] = uniform();
    int first = (int)(uniform() * (T / 2)), second = T / 2 + (int)(uniform() * (T / 2));
    x[n][first][1] = x[n][second][1] = 1;
    answer[n] = x[n][first][0] + x[n][second][0];
  }
}

/* Draws sequences and answers them. Gives the mean squared error; dy: its gradient. */
static double answer(const rondo_plan *plan, const rondo_batch *batch, float dy[N]) {
  static float x[N][T][C], right[N], y[N];
  double loss = 0;
  draw(x, right);
  TRY(rondo_copy(ctx, (void *)batch->x, x, sizeof x));
  TRY(rondo_forward(plan, ctx, batch));
  TRY(rondo_copy(ctx, y, batch->y_last, sizeof y));
  for (int n = 0; n < N; n++) {
    float error = y[n] - right[n];
    loss += (double)(error * error) / N;
    dy[n] = 2 * error / N;
  }
  return loss;
}

/* What a step of training needs besides the batch. */
typedef struct trainer {
  rondo_clip_args clip;
  rondo_adam_args adam;
} trainer;

static trainer make_trainer(const rondo_batch *batch) {
  size_t count = size->params / sizeof(float);
  trainer r = {.clip = {count, batch->dparams, .limit = 1, .scratch = zeros(RONDO_CLIP_SCRATCH)},
               .adam = {count, (void *)batch->params, batch->dparams, .rate = 0.01f}};
  r.adam.m = zeros(size->params), r.adam.v = zeros(size->params);
  return r;
}

static double train(const rondo_plan *plan, const rondo_batch *batch, trainer *r) {
  float dy[N];
  double loss = answer(plan, batch, dy);
  TRY(rondo_copy(ctx, (void *)batch->dy_last, dy, sizeof dy));
  TRY(rondo_backward(plan, ctx, batch));
  TRY(rondo_clip_by_norm(ctx, &r->clip));
  r->adam.step++;
  TRY(rondo_adam(ctx, &r->adam));
  return loss;
}

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i += 2)
    if (!strcmp(argv[i], name)) return argv[i + 1];
  return otherwise;
}

int main(int argc, char **argv) {
  static const char *const names[] = {"auto", "cpu", "cuda", "reference"}; /* in the order of rondo_backend */
  const char *backend = option(argc, argv, "--backend", "cpu"), *csv = option(argc, argv, "--csv", NULL);
  int most = atoi(option(argc, argv, "--steps", "0")), threads = atoi(option(argc, argv, "--threads", "1")), on = 0;
  while (on < 4 && strcmp(backend, names[on])) on++;
  FILE *file = csv ? fopen(csv, "w") : NULL;
  if (argc % 2 == 0 || on == 4 || (csv && !file))
    return puts("usage: train_adding [--backend cpu] [--threads N] [--steps N] [--csv FILE]"), 2;
  TRY(rondo_context_create(&ctx, &(rondo_context_desc){.backend = (rondo_backend)on, .threads = threads}));
  rondo_plan *plan;
  rondo_plan_desc desc = {.max_batch = N, .max_timesteps = T, .training = 1};
  desc.layer = (rondo_layer){.input_size = C, .hidden_size = H, .head_units = 1};
  TRY(rondo_plan_create(&plan, ctx, &desc));
  size = rondo_plan_sizes(plan);
  printf("%s\n%s\n", rondo_context_text(ctx), rondo_plan_text(plan));

  rondo_batch batch = {N, T, .params = zeros(size->params), .x = zeros(sizeof(float[N][T][C]))};
  batch.y_last = zeros(N * sizeof(float)), batch.dy_last = zeros(N * sizeof(float)),
  batch.dparams = zeros(size->params);
  batch.workspace = zeros(size->workspace), batch.reserve = zeros(size->reserve);
  TRY(rondo_init_params(plan, ctx, (void *)batch.params, &(rondo_init){.seed = 1}));
  trainer trainer = make_trainer(&batch);

  double mean = 1.0 / 6, first = 0, test = 0;
  clock_t start = clock();
  int step = 0;
  for (; most ? step < most : step < 20000 && mean > 0.005; step++) {
    double loss = train(plan, &batch, &trainer);
    if (step == 0) first = loss;
    mean += 0.02 * (loss - mean);
    if (file) fprintf(file, "%d,%g\n", step, loss);
    if (step % 100 == 99) printf("step %5d  loss %.4f\n", step + 1, mean), fflush(stdout);
  }
  for (int i = 0; i < 20; i++) test += answer(plan, &batch, (float[N]){0}) / 20;
  printf("%d steps, %.0f seconds of processor time; mean squared error on %d new sequences: %.4f\n", step,
         (double)(clock() - start) / CLOCKS_PER_SEC, 20 * N, test);
  void *const own[] = {(void *)batch.params, (void *)batch.x, batch.y_last,  (void *)batch.dy_last,
                       batch.dparams,        batch.workspace, batch.reserve, trainer.clip.scratch,
                       trainer.adam.m,       trainer.adam.v};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) rondo_free(ctx, own[i]);
  if (file) fclose(file);
  rondo_plan_destroy(plan), rondo_context_destroy(ctx);
  return test < (most ? first / 2 : 0.01) ? 0 : 1;
}
