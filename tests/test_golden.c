/* test_golden.c - what Keras, PyTorch and ONNX Runtime themselves computed, on every backend variant.
 *
 * Every row of golden/index.txt is a recorded case: plans, runs and tensors in one .tensors file, described in
 * golden/README.md. The recorded outputs are the peer's own in float64. A float implementation that sums in an order of
 * its own may come within a few times the peer's own float32 error of them (f32_rel_out in the file), so a tensor must
 * be within max(1e-6, 10 f32_rel_out) * max(1, its largest |value|). */
#include "harness.h"
#include "tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLANS = 4, MAX_RUNS = 16, MAX_CASES = 1024, WORD = 128, KEY = 2 * WORD, OUTPUTS = 4 };

static const char *const output_names[OUTPUTS] = {"y", "y_last", "h_n", "c_n"};

/* ---- The index --------------------------------------------------------------------------------------------------- */

typedef struct golden_row {
  char id[WORD], kind[WORD], file[WORD];
  double f32_rel_out;
} golden_row;

/* All rows, as many as the first line says; or 0 with the failure recorded. */
static int read_index(golden_row *rows) {
  FILE *f = fopen(RONDO_TEST_DATA "/golden/index.txt", "r");
  int said = 0, count = 0;
  if (!EXPECT(f, "golden/index.txt cannot be opened")) return 0;
  if (fscanf(f, "rondo golden 1 cases %d ", &said) != 1) said = 0;
  while (count < MAX_CASES && fscanf(f, "%127s %127s %lf %127s ", rows[count].id, rows[count].kind,
                                     &rows[count].f32_rel_out, rows[count].file) == 4)
    count++;
  int end = fgetc(f) == EOF;
  fclose(f);
  return EXPECT(end && said > 0 && count == said, "golden/index.txt promises %d cases, %d can be read", said, count)
             ? count
             : 0;
}

/* The cases of a group are one test: the tutorial's three examples, then each peer's. */
static const char *const groups[] = {"tutorial", "keras", "torch", "onnx", NULL};

static int in_group(const golden_row *row, const char *group) {
  if (strstr(row->id, "/tutorial")) return !strcmp(group, "tutorial");
  return strncmp(row->id, group, strlen(group)) == 0 && row->id[strlen(group)] == '/';
}

static void every_case_is_in_one_group(const void *parameter) {
  (void)parameter;
  golden_row *rows = test_memory(MAX_CASES * sizeof *rows);
  int count = read_index(rows);
  for (int i = 0; i < count; i++) {
    int in = 0;
    for (int g = 0; groups[g]; g++) in += in_group(&rows[i], groups[g]);
    EXPECT(in == 1, "%s is in %d groups", rows[i].id, in);
    for (int k = 0; k < i; k++) EXPECT(strcmp(rows[i].id, rows[k].id), "%s is there twice", rows[i].id);
  }
}

/* ---- One case ---------------------------------------------------------------------------------------------------- */

typedef struct golden_case {
  rondo_context *ctx;
  const tensors *file;
  const char *id;
  double tolerance; /* for values up to 1 */
  int compared;     /* tensors so far */
  struct golden_plan {
    rondo_plan *plan; /* NULL: Dense */
    void *params, *workspace;
    rondo_plan_desc desc;
  } plan[MAX_PLANS];
  float *output[MAX_RUNS][OUTPUTS]; /* memory of the backend */
} golden_case;

/* The value of "<kind><n>.<name>", or NULL. */
static const char *field(const golden_case *c, const char *kind, int n, const char *name) {
  char key[KEY];
  snprintf(key, sizeof key, "%s%d.%s", kind, n, name);
  return tensors_meta(c->file, key);
}

static int number(const golden_case *c, const char *kind, int n, const char *name) {
  const char *value = field(c, kind, n, name);
  return EXPECT(value, "%s has no %s%d.%s", c->id, kind, n, name) ? atoi(value) : 0;
}

/* The next word of *text into word; 0 after the last. */
static int next_word(const char **text, char *word) {
  int used = 0;
  if (!*text || sscanf(*text, "%127s%n", word, &used) != 1) return 0;
  *text += used;
  return 1;
}

/* How many plans or runs there are: 1..most, or 0 with the failure recorded. */
static int count_of(const golden_case *c, const char *kinds, int most) {
  const char *value = tensors_meta(c->file, kinds);
  int count = value ? atoi(value) : 0;
  return EXPECT(count >= 1 && count <= most, "%s has %d %s, not 1..%d", c->id, count, kinds, most) ? count : 0;
}

/* An index below count, or -1 with the failure recorded. */
static int index_of(const golden_case *c, int n, int count, const char *what) {
  return EXPECT(n >= 0 && n < count, "%s names %s %d, not 0..%d", c->id, what, n, count - 1) ? n : -1;
}

/* Weights of one layer, checked against the sizes that the plan has. floats: how many each array must hold. */
static int read_weights(const golden_case *c, int p, int layer, const size_t floats[4], const float *arrays[4]) {
  char name[WORD];
  snprintf(name, sizeof name, "weights%d", layer);
  const char *text = field(c, "plan", p, name);
  int count = 0;
  for (; count < 4 && next_word(&text, name); count++) {
    arrays[count] = tensors_f32(c->file, name, floats[count]);
    if (!EXPECT(arrays[count], "%s: %s is not %zu floats", c->id, name, floats[count])) return 0;
  }
  return EXPECT(count >= 2, "%s: plan %d has no weights of layer %d", c->id, p, layer);
}

static int pack_layer(const golden_case *c, int p, int layer, rondo_format format) {
  const struct golden_plan *plan = &c->plan[p];
  const rondo_layer *l = &plan->desc.layer;
  size_t h = (size_t)l->hidden_size, inputs = layer ? h : (size_t)l->input_size;
  size_t bias = format == RONDO_ONNX ? 8 * h : 4 * h; /* ONNX has both biases in one array */
  const float *a[4] = {NULL};
  if (!read_weights(c, p, layer, (const size_t[4]){inputs * 4 * h, h * 4 * h, bias, bias}, a)) return 0;
  if (format == RONDO_ONNX && a[2]) a[3] = a[2] + 4 * h;
  rondo_weights weights = {
      .format = format, .layer = layer, .kernel = a[0], .recurrent_kernel = a[1], .bias = a[2], .recurrent_bias = a[3]};
  return EXPECT(l->no_bias == !a[2], "%s: use_bias and the bias of plan %d disagree", c->id, p) &&
         EXPECT_OK(rondo_pack(plan->plan, c->ctx, plan->params, &weights));
}

static rondo_plan_desc plan_desc(const golden_case *c, int p, int runs) {
  const char *layout = field(c, "plan", p, "layout");
  rondo_plan_desc desc = {.layer = {.input_size = number(c, "plan", p, "input_size"),
                                    .hidden_size = number(c, "plan", p, "hidden_size"),
                                    .num_layers = number(c, "plan", p, "num_layers"),
                                    .go_backwards = number(c, "plan", p, "go_backwards"),
                                    .no_bias = !number(c, "plan", p, "use_bias")},
                          .layout = layout && !strcmp(layout, "time") ? RONDO_TIME_MAJOR : RONDO_BATCH_MAJOR};
  for (int r = 0; r < runs; r++) {
    if (number(c, "run", r, "plan") != p) continue;
    int batch = number(c, "run", r, "batch"), timesteps = number(c, "run", r, "timesteps");
    if (desc.max_batch < batch) desc.max_batch = batch;
    if (desc.max_timesteps < timesteps) desc.max_timesteps = timesteps;
  }
  return desc;
}

/* Creates a plan and packs its weights in the peer's own format. */
static int open_plan(golden_case *c, int p, int runs) {
  static const char *const formats[] = {"keras", "pytorch", "onnx"}; /* in the order of rondo_format */
  struct golden_plan *plan = &c->plan[p];
  const char *cell = field(c, "plan", p, "cell"), *name = field(c, "plan", p, "format");
  if (cell && !strcmp(cell, "dense")) return 1;
  int format = 0;
  while (format < 3 && name && strcmp(name, formats[format])) format++;
  if (!EXPECT(cell && !strcmp(cell, "lstm") && name && format < 3, "%s: plan %d is unknown", c->id, p)) return 0;
  plan->desc = plan_desc(c, p, runs);
  plan->plan = test_plan(c->ctx, &plan->desc);
  if (!plan->plan) return 0;
  plan->params = buffer_new(c->ctx, rondo_plan_sizes(plan->plan)->params);
  plan->workspace = buffer_new(c->ctx, rondo_plan_sizes(plan->plan)->workspace);
  for (int layer = 0; layer < plan->desc.layer.num_layers; layer++)
    if (!pack_layer(c, p, layer, (rondo_format)format)) return 0;
  return 1;
}

/* An input of a run in memory of the backend: a recorded tensor, or the output of an earlier run where it lies.
 * NULL when the run has none; *ok becomes 0 when it should. */
static float *input(const golden_case *c, int run, const char *name, size_t count, int *ok) {
  const char *value = field(c, "run", run, name);
  int earlier, used = 0;
  if (!value) return NULL;
  if (sscanf(value, "run%d.%n", &earlier, &used) == 1 && used) {
    if (index_of(c, earlier, run, "run") >= 0)
      for (int o = 0; o < OUTPUTS; o++)
        if (!strcmp(value + used, output_names[o]) && c->output[earlier][o]) return c->output[earlier][o];
  } else {
    const float *host = tensors_f32(c->file, value, count);
    if (host) return buffer_upload(c->ctx, host, count);
  }
  *ok = EXPECT(0, "%s: run %d has no %s of %zu floats in %s", c->id, run, name, count, value);
  return NULL;
}

/* Compares what a run gave (on the host) with every tensor recorded for it. "-": it was only kept for a later run. */
static void compare(golden_case *c, int run, const char *name, const float *got, size_t count) {
  const char *text = field(c, "run", run, name);
  char word[WORD];
  while (next_word(&text, word)) {
    if (!strcmp(word, "-")) continue;
    const double *want = tensors_f64(c->file, word, count);
    if (!EXPECT(want, "%s: %s is not %zu doubles", c->id, word, count)) return;
    double error = 0, largest = 1;
    for (size_t i = 0; i < count; i++) {
      double difference = fabs(got[i] - want[i]);
      if (difference > error || isnan(difference)) error = difference; /* NaN stays: nothing is greater */
      if (fabs(want[i]) > largest) largest = fabs(want[i]);
    }
    EXPECT_RATIO(error / (c->tolerance * largest), "%s %s", c->id, word);
    c->compared++;
  }
}

static int run_lstm(golden_case *c, int run, const struct golden_plan *plan, int batch, int timesteps) {
  const rondo_layer *layer = &plan->desc.layer;
  size_t h = (size_t)layer->hidden_size, n = (size_t)batch, t = (size_t)timesteps;
  size_t state = (size_t)layer->num_layers * n * h, counts[OUTPUTS] = {n * t * h, n * h, state, state};
  float **output = c->output[run];
  int ok = 1;
  rondo_batch b = {.batch = batch, .timesteps = timesteps, .params = plan->params, .workspace = plan->workspace};
  b.x = input(c, run, "x", n * t * (size_t)layer->input_size, &ok);
  b.h_0 = input(c, run, "h_0", state, &ok);
  b.c_0 = input(c, run, "c_0", state, &ok);
  for (int o = 0; o < OUTPUTS; o++)
    if (field(c, "run", run, output_names[o])) output[o] = buffer_output(c->ctx, counts[o]);
  b.y = output[0], b.y_last = output[1], b.h_n = output[2], b.c_n = output[3];
  if (!ok || !EXPECT_OK(rondo_forward(plan->plan, c->ctx, &b))) return 0;
  for (int o = 0; o < OUTPUTS; o++)
    if (output[o]) compare(c, run, output_names[o], buffer_download(c->ctx, NULL, output[o], counts[o]), counts[o]);
  return 1;
}

/* One row of Keras's Dense: y = activation(x @ kernel + bias). */
static void dense_row(const float *x, int inputs, int units, const float *kernel, const float *bias,
                      const char *activation, float *y) {
  double sum = 0;
  for (int j = 0; j < units; j++) {
    double a = bias ? bias[j] : 0;
    for (int k = 0; k < inputs; k++) a += (double)x[k] * kernel[k * units + j];
    if (!strcmp(activation, "relu") && a < 0) a = 0;
    if (!strcmp(activation, "softmax")) sum += a = exp(a);
    y[j] = (float)a;
  }
  for (int j = 0; j < units && sum > 0; j++) y[j] = (float)(y[j] / sum);
}

/* Dense is none of Rondo's layers, but what some recorded models end with: here it carries the LSTM's result on. */
static int run_dense(golden_case *c, int run, int p, size_t rows) {
  int inputs = number(c, "plan", p, "input_size"), units = number(c, "plan", p, "hidden_size"), ok = 1;
  const float *w[4] = {NULL};
  const char *activation = field(c, "plan", p, "activation");
  const char *known = activation ? strstr("linear relu softmax", activation) : NULL;
  if (!EXPECT(known, "%s: the activation of Dense is unknown", c->id)) return 0;
  if (!read_weights(c, p, 0, (const size_t[4]){(size_t)inputs * (size_t)units, (size_t)units, 0, 0}, w)) return 0;
  const float *x = input(c, run, "x", rows * (size_t)inputs, &ok);
  if (!ok || !x) return 0;
  x = buffer_download(c->ctx, NULL, x, rows * (size_t)inputs);
  float *y = test_memory(rows * (size_t)units * sizeof *y);
  for (size_t i = 0; i < rows; i++)
    dense_row(x + i * (size_t)inputs, inputs, units, w[0], w[1], activation, y + i * (size_t)units);
  compare(c, run, "y", y, rows * (size_t)units);
  return 1;
}

static int run_all(golden_case *c) {
  int plans = count_of(c, "plans", MAX_PLANS), runs = count_of(c, "runs", MAX_RUNS);
  for (int p = 0; p < plans; p++)
    if (!open_plan(c, p, runs)) return 0;
  for (int r = 0; plans && r < runs; r++) {
    int p = index_of(c, number(c, "run", r, "plan"), plans, "plan");
    int batch = number(c, "run", r, "batch"), timesteps = number(c, "run", r, "timesteps");
    if (p < 0 || batch < 1 || timesteps < 1) return 0;
    int ok = c->plan[p].plan ? run_lstm(c, r, &c->plan[p], batch, timesteps)
                             : run_dense(c, r, p, (size_t)batch * (size_t)timesteps);
    if (!ok) return 0;
  }
  return plans && runs && EXPECT(c->compared, "%s has nothing to compare with", c->id);
}

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

static void compare_printed(const golden_case *c) {
  for (size_t i = 0; i < sizeof printed / sizeof *printed; i++) {
    const struct printed *p = &printed[i];
    const float *output = strcmp(p->id, c->id) ? NULL : c->output[0][p->output];
    if (strcmp(p->id, c->id) || !EXPECT(output, "%s has no %s", c->id, output_names[p->output])) continue;
    const float *got = buffer_download(c->ctx, NULL, output, (size_t)p->count);
    for (int k = 0; k < p->count; k++)
      EXPECT(fabs(got[k] - p->values[k]) <= 1e-6, "%s: %s[%d] is %.8f, Keras prints %.8f", c->id,
             output_names[p->output], k, (double)got[k], p->values[k]);
  }
}

static void run_case(rondo_context *ctx, const golden_row *row) {
  char path[sizeof RONDO_TEST_DATA + sizeof row->file + 16], message[TENSORS_MESSAGE] = "";
  snprintf(path, sizeof path, "%s/golden/%s", RONDO_TEST_DATA, row->file);
  tensors *file = tensors_read(path, message);
  if (!EXPECT(file, "%s", message)) return;
  golden_case c = {.ctx = ctx, .file = file, .id = row->id, .tolerance = fmax(1e-6, 10 * row->f32_rel_out)};
  if (EXPECT(run_all(&c), "%s did not run to its end", row->id)) compare_printed(&c);
  tensors_free(file);
}

static void cases(const void *parameter) {
  const char *group = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  golden_row *rows = test_memory(MAX_CASES * sizeof *rows);
  int count = read_index(rows), ran = 0;
  for (int i = 0; i < count; i++)
    if (in_group(&rows[i], group)) run_case(ctx, &rows[i]), ran++;
  EXPECT(ran > 0, "there are no cases of %s", group);
}

const test_suite test_golden = {"Golden", TEST_ALL,
                                (const test_row[]){{"cases", cases, TEST_TABLE(groups)}, {NULL, NULL, NULL, 0}}};

/* The table itself, apart from any backend. */
const test_suite test_golden_index = {
    "GoldenIndex", TEST_ONCE,
    (const test_row[]){{"every_case_is_in_one_group", every_case_is_in_one_group, NULL, 0}, {NULL, NULL, NULL, 0}}};
