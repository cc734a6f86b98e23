/* test_golden.c - what Keras, PyTorch and ONNX Runtime themselves computed, on every backend variant.
 *
 * Every row of golden/index.txt is a recorded case: plans, runs and tensors in one .tensors file, described in
 * golden/README.md. The recorded outputs are the peer's own in float64. A float implementation that sums in an order of
 * its own may come within a few times the peer's own float32 error of them (f32_rel_out in the file), so a tensor must
 * be within max(1e-6, 10 f32_rel_out) * max(1, its largest |value|). The reference sums in double and may only round
 * its results (2^-24, 6e-8); states that pass from call to call as floats, and the float constants that Keras has
 * inside its own float64 gelu and leaky_relu (1e-8), are carried on through the timesteps: 1e-7 for all of it.
 *
 * Gradients likewise: within 1e-6 * max(1, largest), or 10 f32_err_grad, which is the peer's own largest absolute error
 * in the case. The reference has 1e-7 * max(1, largest), but for PyTorch's cases: that keeps two biases where Rondo
 * keeps their sum as a float, and what the rounding of one sum does to a gradient (in rnn_unbatched 5e-7 of 2.6) is
 * part of what the peer's own float32 roundings do, so there it may be as far off as those, f32_err_grad. */
#include "test_golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { CASES = 835, GRADIENT_CASES = 494 }; /* as many as there are; one that got lost must not go unnoticed */

/* ---- The index --------------------------------------------------------------------------------------------------- */

typedef struct golden_row {
  char id[GOLDEN_WORD], kind[GOLDEN_WORD], file[GOLDEN_WORD];
  double f32_rel_out, f32_err_grad; /* f32_err_grad: below 0: the case has no gradients */
} golden_row;

static int read_row(FILE *f, golden_row *row) {
  char grad[GOLDEN_WORD];
  int read = fscanf(f, "%159s %159s %lf %159s %159s ", row->id, row->kind, &row->f32_rel_out, grad, row->file);
  if (read != 5) return 0;
  row->f32_err_grad = -1;
  return !strcmp(grad, "-") || (sscanf(grad, "%lf", &row->f32_err_grad) == 1 && row->f32_err_grad >= 0);
}

/* All rows, CASES of them; or 0 with the failure recorded. */
static int read_index(golden_row *rows) {
  FILE *f = fopen(RONDO_TEST_DATA "/golden/index.txt", "r");
  int said = 0, count = 0;
  if (!EXPECT(f, "golden/index.txt cannot be opened")) return 0;
  if (fscanf(f, "rondo golden 1 cases %d ", &said) != 1) said = 0;
  while (count < CASES && read_row(f, &rows[count])) count++;
  int end = fgetc(f) == EOF;
  fclose(f);
  return EXPECT(end && said == CASES && count == CASES, "golden/index.txt promises %d cases, %d can be read, not %d",
                said, count, CASES)
             ? count
             : 0;
}

/* The cases of a group are one test: the tutorial's examples, then each peer's by their kind. */
typedef struct group {
  const char *name, *peer, *kinds;
  int gradients; /* how many of them have some */
} group;

static const group groups[] = {{"onnx_node", "onnx", " node ", 0},
                               {"onnx_activation", "onnx", " activation ", 0},
                               {"onnx_random", "onnx", " random medium ", 0},
                               {"tutorial", "keras", "", 5},
                               {"keras_layer", "keras", " layer ", 87},
                               {"keras_mask", "keras", " mask ", 60},
                               {"keras_activation", "keras", " activation activation_more ", 110},
                               {"keras_bidirectional", "keras", " bidirectional ", 82},
                               {"keras_model", "keras", " stack rnn_cells seq2seq dropout ", 22},
                               {"keras_random", "keras", " random medium ", 35},
                               {"torch_layer", "torch", " layer cell export ", 73},
                               {"torch_random", "torch", " random medium ", 20},
                               {NULL, NULL, NULL, 0}};
#define DERIVED_GROUPS (&groups[3]) /* those whose peers derived */

static int in_group(const golden_row *row, const group *g) {
  char kind[GOLDEN_WORD + 2];
  size_t peer = strlen(g->peer);
  if (strstr(row->id, "/tutorial")) return !strcmp(g->name, "tutorial");
  snprintf(kind, sizeof kind, " %.*s ", GOLDEN_WORD - 1, row->kind);
  return !strncmp(row->id, g->peer, peer) && row->id[peer] == '/' && strstr(g->kinds, kind);
}

static void every_case_is_in_one_group(const void *parameter) {
  (void)parameter;
  golden_row *rows = test_memory(CASES * sizeof *rows);
  int count = read_index(rows), gradients = 0;
  for (int i = 0; i < count; i++) {
    int in = 0;
    for (int g = 0; groups[g].name; g++) in += in_group(&rows[i], &groups[g]);
    gradients += rows[i].f32_err_grad >= 0;
    EXPECT(in == 1, "%s is in %d groups", rows[i].id, in);
    for (int k = 0; k < i; k++) EXPECT(strcmp(rows[i].id, rows[k].id), "%s is there twice", rows[i].id);
  }
  EXPECT(gradients == GRADIENT_CASES, "%d cases have gradients, not %d", gradients, GRADIENT_CASES);
  for (const group *g = DERIVED_GROUPS; g->name; g++) gradients -= g->gradients;
  EXPECT(gradients == 0, "the groups promise %d cases with gradients too few", gradients);
}

/* ---- The cases --------------------------------------------------------------------------------------------------- */

/* What Keras prints for the three examples of the tutorial. */
static const struct printed {
  const char *id;
  int output, count;
  double values[10];
} printed[] = {{"keras/tutorial_lstm_1", 1, 2, {0.05037702, -0.05578832}},
               {"keras/tutorial_lstm_2",
                0,
                10,
                {-0.00995727, -0.01608095, -0.02739035, -0.04190155, -0.05037428, -0.07316009, -0.07737196, -0.10672046,
                 -0.10709287, -0.14024955}},
               {"keras/tutorial_lstm_3",
                0,
                10,
                {0.01958223, 0.01645842, 0.05066048, 0.04189613, 0.08623692, 0.07145339, 0.12091941, 0.10208221,
                 0.15125962, 0.13190952}},
               {"keras/tutorial_lstm_3", 2, 2, {0.15125962, 0.13190952}},
               {"keras/tutorial_lstm_3", 3, 2, {0.39606643, 0.31259659}}};

static void compare_printed(const char *id, rondo_context *ctx, float *outputs[GOLDEN_OUTPUTS]) {
  for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
    const struct printed *p = &printed[i];
    if (strcmp(p->id, id)) continue;
    const float *output = outputs[p->output];
    const char *name = golden_output_names[p->output];
    if (!EXPECT(output, "%s has no %s", id, name)) continue;
    const float *got = buffer_download(ctx, NULL, output, (size_t)p->count);
    for (int k = 0; k < p->count; k++)
      EXPECT(fabs(got[k] - p->values[k]) <= 1e-6, "%s: %s[%d] is %.8f, Keras prints %.8f", id, name, k, (double)got[k],
             p->values[k]);
  }
}

static golden_bounds bounds_of(const rondo_context *ctx, const golden_row *row) {
  if (rondo_context_backend(ctx) == RONDO_REFERENCE)
    return (golden_bounds){1e-7, 1e-7, strncmp(row->id, "torch/", 6) ? 0 : row->f32_err_grad};
  return (golden_bounds){fmax(1e-6, 10 * row->f32_rel_out), 1e-6, 10 * row->f32_err_grad};
}

static void run_case(rondo_context *ctx, const golden_row *row, int training, golden_result *result) {
  char path[sizeof RONDO_TEST_DATA + sizeof row->file + 16], message[TENSORS_MESSAGE] = "";
  golden_case *c = test_memory(sizeof *c);
  golden_stage *s = test_memory(sizeof *s);
  snprintf(path, sizeof path, "%s/golden/%s", RONDO_TEST_DATA, row->file);
  tensors *file = tensors_read(path, message);
  if (!EXPECT(file, "%s", message)) return;
  *s = (golden_stage){.c = c, .ctx = ctx, .training = training, .bounds = bounds_of(ctx, row), .result = result};
  int ran = golden_read(c, row->id, file) && golden_run_case(s);
  if (EXPECT(ran, "%s did not run to its end", row->id)) compare_printed(row->id, ctx, s->output[0]);
  EXPECT(c->gradients == (row->f32_err_grad >= 0), "%s: the index and the file differ about gradients", row->id);
  if (ran && training) EXPECT(golden_run_backward(s), "%s did not come back to its start", row->id);
  tensors_free(file);
}

/* The cases of a group, or those of them that have gradients. Gives how many there were. */
static int run_group(rondo_context *ctx, const group *g, int training) {
  golden_result result = {0};
  golden_row *rows = test_memory(CASES * sizeof *rows);
  int count = read_index(rows), ran = 0;
  for (int i = 0; i < count; i++)
    if (in_group(&rows[i], g) && (!training || rows[i].f32_err_grad >= 0))
      run_case(ctx, &rows[i], training, &result), ran++;
  printf("%s %s%s: %d cases, %d tensors, worst error %.3f of its bound (%s)\n", test_here()->name, g->name,
         training ? " gradients" : "", ran, result.compared, result.worst, result.what);
  return ran;
}

static void cases(const void *parameter) {
  const group *g = parameter;
  rondo_context *ctx = test_context();
  if (ctx) EXPECT(run_group(ctx, g, 0) > 0, "there are no cases of %s", g->name);
}

static void gradients(const void *parameter) {
  const group *g = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  int ran = run_group(ctx, g, 1);
  EXPECT(ran == g->gradients, "%d cases of %s have gradients, not %d", ran, g->name, g->gradients);
}

const test_suite test_golden = {"Golden", TEST_ALL | TEST_HOISTED,
                                (const test_row[]){{"cases", cases, TEST_TABLE(groups)},
                                                   {"gradients", gradients, TEST_TABLE(DERIVED_GROUPS)},
                                                   {NULL, NULL, NULL, 0}}};

/* The table itself, apart from any backend. */
const test_suite test_golden_index = {
    "GoldenIndex", TEST_ONCE,
    (const test_row[]){{"every_case_is_in_one_group", every_case_is_in_one_group, NULL, 0}, {NULL, NULL, NULL, 0}}};
