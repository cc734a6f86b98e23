/* test_api.c - misuse of every function but rondo_forward (test_api_forward.c): the status, a sentence that names the
 * function, the argument and its value, and nothing written; and what zeroed structs and NULL mean. */
#include "misuse.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- Library ----------------------------------------------------------------------------------------------------- */

static void version(const void *unused) {
  (void)unused;
  int major, minor, patch;
  char end;
  EXPECT(sscanf(rondo_version(), "%d.%d.%d%c", &major, &minor, &patch, &end) == 3, "\"%s\"", rondo_version());
  EXPECT(major == RONDO_VERSION_MAJOR && minor == RONDO_VERSION_MINOR && patch == RONDO_VERSION_PATCH,
         "\"%s\" is not the header's version", rondo_version());
}

static void status_names(const void *unused) {
  (void)unused;
  static const char *const names[] = {
      "RONDO_OK",           "RONDO_INVALID_ARGUMENT", "RONDO_UNSUPPORTED", "RONDO_OUT_OF_MEMORY",
      "RONDO_DEVICE_ERROR", "RONDO_BAD_FILE",         "RONDO_UNAVAILABLE"};
  for (int i = 0; i < 7; i++)
    EXPECT(!strcmp(rondo_status_name((rondo_status)i), names[i]), "%d is %s", i, rondo_status_name((rondo_status)i));
  static const int others[] = {7, 1000, -1, INT_MAX, INT_MIN};
  for (int i = 0; i < 5; i++)
    EXPECT(!strcmp(rondo_status_name((rondo_status)others[i]), "unknown rondo_status"), "%d is %s", others[i],
           rondo_status_name((rondo_status)others[i]));
}

/* A sentence stays through successes and goes with the next failure. */
static void last_error(const void *unused) {
  (void)unused;
  rondo_context *ctx = NULL;
  EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_context_create(&ctx, &(rondo_context_desc){.threads = -3}));
  char first[512];
  snprintf(first, sizeof first, "%s", rondo_last_error());
  EXPECT(strstr(first, "threads -3"), "\"%s\"", first);
  EXPECT_OK(rondo_context_create(&ctx, NULL)); /* AUTO: a failure to open CUDA inside is not one of the call */
  test_keep_context(ctx);
  EXPECT(!strcmp(first, rondo_last_error()), "a success changed the sentence to \"%s\"", rondo_last_error());
  EXPECT(!rondo_alloc(ctx, 0), "0 bytes were allocated");
  EXPECT(strcmp(first, rondo_last_error()), "a failure left the sentence \"%s\"", first);
}

/* ---- NULL and zeros ---------------------------------------------------------------------------------------------- */

static void null_handles(const void *unused) {
  (void)unused;
  char memory[64] = {0};
  rondo_context *ctx = test_reference();
  rondo_context_destroy(NULL);
  rondo_plan_destroy(NULL);
  rondo_graph_destroy(NULL);
  rondo_free(NULL, memory);
  rondo_free(ctx, NULL);
  EXPECT(rondo_context_backend(NULL) == RONDO_BACKEND_AUTO, "a NULL context has a backend");
  EXPECT(!strcmp(rondo_context_text(NULL), ""), "a NULL context has a text");
  EXPECT(!strcmp(rondo_plan_text(NULL), ""), "a NULL plan has a text");
  EXPECT(!rondo_plan_sizes(NULL), "a NULL plan has sizes");
  EXPECT(!rondo_alloc(NULL, 64), "a NULL context has memory");
  expect_sentence("rondo_alloc:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_context_create(NULL, NULL), "rondo_context_create:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_synchronize(NULL), "rondo_synchronize:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(NULL, memory, memory + 32, 1), "rondo_copy:", "ctx is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(ctx, NULL, memory, 1), "rondo_copy:", "to is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_copy(ctx, memory, NULL, 1), "rondo_copy:", "from is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_graph_launch(NULL, ctx), "rondo_graph_launch:", "graph is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_backward(NULL, ctx, &(rondo_batch){0}),
                 "rondo_backward:", "plan is NULL");
}

/* Zeroed, no description at all: AUTO, which falls back to the CPU and says why. */
static void auto_context(const void *unused) {
  (void)unused;
  for (int zeroed = 0; zeroed < 2; zeroed++) {
    rondo_context *ctx = NULL;
    rondo_context_desc zeros = {0};
    if (!EXPECT_OK(rondo_context_create(&ctx, zeroed ? &zeros : NULL))) return;
    test_keep_context(ctx);
    const char *text = rondo_context_text(ctx);
    if (rondo_context_backend(ctx) == RONDO_CUDA) {
      EXPECT(!strncmp(text, "cuda device 0", 13), "\"%s\"", text);
      continue;
    }
    EXPECT(rondo_context_backend(ctx) == RONDO_CPU, "AUTO gave backend %d", (int)rondo_context_backend(ctx));
    EXPECT(!strncmp(text, "cpu ", 4), "\"%s\"", text);
    const char *why = strstr(text, "(cuda not used: ");
    EXPECT(why && strlen(why) > strlen("(cuda not used: )"), "\"%s\" does not say why", text);
  }
}

/* ---- rondo_context_create ---------------------------------------------------------------------------------------- */

#define C(field) OF(rondo_context_desc, field)
#define P(field) OF(rondo_plan_desc, field)

static const misuse context_rows[] = {
    {"backend", C(backend), SET, 4, RONDO_INVALID_ARGUMENT, "backend 4"},
    {"backend_negative", C(backend), SET, -1, RONDO_INVALID_ARGUMENT, "backend -1"},
    {"device", C(device), SET, -1, RONDO_INVALID_ARGUMENT, "device -1"},
    {"threads", C(threads), SET, -1, RONDO_INVALID_ARGUMENT, "threads -1"},
    {"threads_many", C(threads), SET, 1025, RONDO_INVALID_ARGUMENT, "threads 1025"},
    {"threads_huge", C(threads), SET, INT_MAX, RONDO_INVALID_ARGUMENT, "threads 2147483647"},
    {"max_isa", C(max_isa), SET, 4, RONDO_INVALID_ARGUMENT, "max_isa 4"},
    {"max_isa_negative", C(max_isa), SET, -2, RONDO_INVALID_ARGUMENT, "max_isa -2"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static void context_create(const void *row) {
  static char elsewhere; /* any address: a failure must replace it */
  rondo_context *ctx = (rondo_context *)(void *)&elsewhere;
  rondo_context_desc desc = {.backend = RONDO_CPU};
  apply_misuse(row, &desc);
  expect_misuse(row, rondo_context_create(&ctx, &desc), "rondo_context_create:");
  EXPECT(!ctx, "a failure left *ctx as it was");
}

/* ---- rondo_plan_create ------------------------------------------------------------------------------------------- */

static const misuse plan_rows[] = {
    {"cell", P(layer.cell), SET, 3, RONDO_INVALID_ARGUMENT, "cell 3"},
    {"cell_negative", P(layer.cell), SET, -1, RONDO_INVALID_ARGUMENT, "cell -1"},
    {"gru", P(layer.cell), SET, RONDO_GRU, RONDO_UNSUPPORTED, "RONDO_GRU"},
    {"rnn", P(layer.cell), SET, RONDO_RNN, RONDO_UNSUPPORTED, "RONDO_RNN"},
    {"input_size", P(layer.input_size), SET, 0, RONDO_INVALID_ARGUMENT, "input_size 0"},
    {"input_size_negative", P(layer.input_size), SET, -8, RONDO_INVALID_ARGUMENT, "input_size -8"},
    {"hidden_size", P(layer.hidden_size), SET, 0, RONDO_INVALID_ARGUMENT, "hidden_size 0"},
    {"hidden_size_smallest", P(layer.hidden_size), SET, INT_MIN, RONDO_INVALID_ARGUMENT, "hidden_size -2147483648"},
    {"num_layers", P(layer.num_layers), SET, -1, RONDO_INVALID_ARGUMENT, "num_layers -1"},
    {"bidirectional", P(layer.bidirectional), SET, 1, RONDO_UNSUPPORTED, "bidirectional 1"},
    {"reset_before", P(layer.reset_before), SET, 1, RONDO_INVALID_ARGUMENT, "reset_before 1"},
    {"zero_output_for_mask", P(layer.zero_output_for_mask), SET, 1, RONDO_UNSUPPORTED, "zero_output_for_mask 1"},
    {"activation", P(layer.activation), SET, 6, RONDO_INVALID_ARGUMENT, "activation 6"},
    {"activation_sigmoid", P(layer.activation), SET, RONDO_SIGMOID, RONDO_UNSUPPORTED, "activation 2"},
    {"activation_relu", P(layer.activation), SET, RONDO_RELU, RONDO_UNSUPPORTED, "activation 4"},
    {"recurrent_activation", P(layer.recurrent_activation), SET, -1, RONDO_INVALID_ARGUMENT, "recurrent_activation -1"},
    {"recurrent_activation_tanh", P(layer.recurrent_activation), SET, RONDO_TANH, RONDO_UNSUPPORTED,
     "recurrent_activation 1"},
    {"recurrent_activation_hard", P(layer.recurrent_activation), SET, RONDO_HARD_SIGMOID, RONDO_UNSUPPORTED,
     "recurrent_activation 3"},
    {"dropout", P(layer.dropout), SET_HALF, 0, RONDO_UNSUPPORTED, "dropout 0.5"},
    {"dropout_all", P(layer.dropout), SET_FLOAT, 1, RONDO_INVALID_ARGUMENT, "dropout 1 "},
    {"dropout_negative", P(layer.dropout), SET_FLOAT, -1, RONDO_INVALID_ARGUMENT, "dropout -1"},
    {"dropout_nan", P(layer.dropout), SET_NAN, 0, RONDO_INVALID_ARGUMENT, "dropout "},
    {"recurrent_dropout", P(layer.recurrent_dropout), SET_HALF, 0, RONDO_UNSUPPORTED, "recurrent_dropout 0.5"},
    {"recurrent_dropout_nan", P(layer.recurrent_dropout), SET_NAN, 0, RONDO_INVALID_ARGUMENT, "recurrent_dropout "},
    {"max_batch", P(max_batch), SET, 0, RONDO_INVALID_ARGUMENT, "max_batch 0"},
    {"max_batch_negative", P(max_batch), SET, -1, RONDO_INVALID_ARGUMENT, "max_batch -1"},
    {"max_timesteps", P(max_timesteps), SET, 0, RONDO_INVALID_ARGUMENT, "max_timesteps 0"},
    {"max_timesteps_negative", P(max_timesteps), SET, INT_MIN, RONDO_INVALID_ARGUMENT, "max_timesteps -2147483648"},
    {"training", P(training), SET, 1, RONDO_UNSUPPORTED, "training 1"},
    {"layout", P(layout), SET, 2, RONDO_INVALID_ARGUMENT, "layout 2"},
    {"layout_negative", P(layout), SET, -1, RONDO_INVALID_ARGUMENT, "layout -1"},
    {"weights", P(weights), SET, 3, RONDO_INVALID_ARGUMENT, "weights 3"},
    {"weights_f16", P(weights), SET, RONDO_F16, RONDO_UNSUPPORTED, "RONDO_F16"},
    {"weights_bf16", P(weights), SET, RONDO_BF16, RONDO_UNSUPPORTED, "RONDO_BF16"},
    {"algorithm", P(algorithm), SET, 4, RONDO_INVALID_ARGUMENT, "algorithm 4"},
    {"algorithm_persistent", P(algorithm), SET, RONDO_PERSISTENT, RONDO_UNSUPPORTED, "algorithm"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

static rondo_plan *const not_a_plan = (rondo_plan *)(uintptr_t)64; /* a failure must replace it */

static void plan_create(const void *row) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan *plan = not_a_plan;
  rondo_plan_desc desc = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 2, .max_timesteps = 5};
  apply_misuse(row, &desc);
  expect_misuse(row, rondo_plan_create(&plan, ctx, &desc), "rondo_plan_create:");
  EXPECT(!plan, "a failure left *plan as it was");
}

static void plan_arguments(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan_desc zeros = {0},
                  good = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 2, .max_timesteps = 5};
  rondo_plan *plan = not_a_plan;
  const char *who = "rondo_plan_create:";
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(NULL, ctx, &good), who, "plan is NULL");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, NULL, &good), who, "ctx is NULL");
  EXPECT(!plan, "a failure left *plan as it was");
  plan = not_a_plan;
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, NULL), who, "desc is NULL");
  EXPECT(!plan, "a failure left *plan as it was");
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, &zeros), who, "input_size 0");
}

/* Sizes whose products do not fit size_t are refused, wherever the product arises. {C, H, L, N, T} */
static const struct huge_row {
  const char *name;
  int c, h, l, n, t;
} huge[] = {{"everything", INT_MAX, INT_MAX, INT_MAX, INT_MAX, INT_MAX},
            {"weights", 1, INT_MAX, 1, 1, 1},
            {"kernel", INT_MAX, INT_MAX, 1, 1, 1},
            {"layers", 1, 1 << 20, INT_MAX, 1, 1},
            {"x", 1 << 21, 1, 1, 1 << 21, 1 << 21},
            {"x_rows", 8, 1, 1, INT_MAX, INT_MAX},
            {"y", 1, 1 << 16, 1, 1 << 24, 1 << 22},
            {"state", 1, 1 << 11, 1 << 20, INT_MAX, 1},
            {NULL, 0, 0, 0, 0, 0}};

static void plan_too_large(const void *parameter) {
  const struct huge_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan *plan = not_a_plan;
  rondo_plan_desc desc = {.layer = {.input_size = row->c, .hidden_size = row->h, .num_layers = row->l},
                          .max_batch = row->n,
                          .max_timesteps = row->t};
  expect_refusal(RONDO_INVALID_ARGUMENT, rondo_plan_create(&plan, ctx, &desc), "rondo_plan_create:", "does not fit");
  EXPECT(!plan, "a failure left *plan as it was");
}

/* What a plan says of itself. num_layers 0 and 1 are the same; naming the default activations changes nothing. */
static void plan_says(const void *unused) {
  (void)unused;
  static const char *const names[] = {"", "cpu/", "cuda/", "reference/"};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  rondo_plan_desc desc = {.layer = {.input_size = 3, .hidden_size = 4}, .max_batch = 2, .max_timesteps = 5};
  rondo_plan *zero = test_plan(ctx, &desc);
  desc.layer.num_layers = 1;
  desc.layer.activation = RONDO_TANH, desc.layer.recurrent_activation = RONDO_SIGMOID;
  rondo_plan *one = test_plan(ctx, &desc);
  if (!zero || !one) return;
  const char *text = rondo_plan_text(one), *backend = names[test_here()->desc.backend];
  const rondo_sizes *sizes = rondo_plan_sizes(one);
  EXPECT(!strncmp(text, backend, strlen(backend)), "\"%s\" does not begin with %s", text, backend);
  EXPECT(strstr(text, "lstm:n2t5c3h4"), "\"%s\" does not say lstm:n2t5c3h4", text);
  EXPECT(!strcmp(rondo_plan_text(zero), text), "num_layers 0 says \"%s\", 1 says \"%s\"", rondo_plan_text(zero), text);
  EXPECT(!memcmp(rondo_plan_sizes(zero), sizes, sizeof *sizes), "num_layers 0 and 1 have other sizes");
  EXPECT(sizes->state == 2 * 4 * sizeof(float), "state is %zu bytes", sizes->state);
  EXPECT(sizes->reserve == 0, "reserve is %zu bytes", sizes->reserve);
  EXPECT(sizes->params >= 4 * 4 * (3 + 4 + 1) * sizeof(float), "params is %zu bytes", sizes->params);
}

static void context_says(const void *unused) {
  (void)unused;
  static const char *const levels[] = {"", "portable", "avx2", "avx512"};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const rondo_context_desc *desc = &test_here()->desc;
  char begin[40] = "reference", threads[20] = "";
  if (desc->backend == RONDO_CUDA) snprintf(begin, sizeof begin, "cuda device %d, ", desc->device);
  if (desc->backend == RONDO_CPU) {
    snprintf(begin, sizeof begin, "cpu %s, ", levels[desc->max_isa]);
    snprintf(threads, sizeof threads, "%d thread", desc->threads);
  }
  const char *text = rondo_context_text(ctx);
  EXPECT(!strncmp(text, begin, strlen(begin)), "\"%s\" does not begin with %s", text, begin);
  EXPECT(strstr(text, threads), "\"%s\" does not say %s", text, threads);
  EXPECT(rondo_context_backend(ctx) == desc->backend, "the backend is %d", (int)rondo_context_backend(ctx));
}

/* ---- Memory ------------------------------------------------------------------------------------------------------ */

static void memory(const void *unused) {
  (void)unused;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const char hello[] = "hello";
  char back[sizeof hello] = "";
  EXPECT(!rondo_alloc(ctx, 0), "0 bytes were allocated");
  expect_sentence("rondo_alloc:", "bytes is 0");
  EXPECT(!rondo_alloc(ctx, SIZE_MAX), "SIZE_MAX bytes were allocated");
  expect_sentence("rondo_alloc:", "18446744073709551615");
  EXPECT(!rondo_alloc(ctx, SIZE_MAX / 4), "SIZE_MAX / 4 bytes were allocated");
  char *there = rondo_alloc(ctx, sizeof hello);
  if (!EXPECT(there, "%s", rondo_last_error())) return;
  EXPECT((uintptr_t)there % 64 == 0, "%p is not aligned to 64 bytes", (void *)there);
  EXPECT_OK(rondo_copy(ctx, there, hello, sizeof hello));
  EXPECT_OK(rondo_copy(ctx, there, back, 0));
  EXPECT_OK(rondo_copy(ctx, back, there, sizeof hello));
  EXPECT(!strcmp(back, hello), "\"%s\" came back", back);
  rondo_free(ctx, there);
}

/* ---- rondo_pack -------------------------------------------------------------------------------------------------- */

#define W(field) OF(rondo_weights, field)

static const misuse pack_rows[] = {
    {"format", W(format), SET, 4, RONDO_INVALID_ARGUMENT, "format 4"},
    {"format_negative", W(format), SET, -1, RONDO_INVALID_ARGUMENT, "format -1"},
    {"layer", W(layer), SET, 2, RONDO_INVALID_ARGUMENT, "layer 2"},
    {"layer_negative", W(layer), SET, -1, RONDO_INVALID_ARGUMENT, "layer -1"},
    {"direction", W(direction), SET, 1, RONDO_INVALID_ARGUMENT, "direction 1"},
    {"kernel", W(kernel), SET, 0, RONDO_INVALID_ARGUMENT, "kernel is NULL"},
    {"recurrent_kernel", W(recurrent_kernel), SET, 0, RONDO_INVALID_ARGUMENT, "recurrent_kernel is NULL"},
    {"bias", W(bias), SET, 64, RONDO_INVALID_ARGUMENT, "bias"},
    {"recurrent_bias", W(recurrent_bias), SET, 64, RONDO_INVALID_ARGUMENT, "recurrent_bias"},
    {NULL, 0, 0, SET, 0, RONDO_OK, NULL},
};

/* A block that must not be written, for a plan of two layers without biases, and what would be right to pack. */
typedef struct packing {
  rondo_context *ctx;
  rondo_plan *plan;
  float *params;
  size_t floats;
  rondo_weights weights;
} packing;

static int set_up_packing(packing *p) {
  *p = (packing){.ctx = test_context()};
  if (!p->ctx) return 0;
  const problem_data *data = test_data_named("lstm:n2t3c4h5l2:nobias");
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  p->plan = test_plan(p->ctx, &desc);
  if (!p->plan) return 0;
  p->floats = rondo_plan_sizes(p->plan)->params / sizeof(float);
  p->params = buffer_floats(p->ctx, p->floats);
  if (p->params) buffer_poison(p->ctx, p->params, p->floats);
  p->weights = problem_weights(data, 0);
  return p->params != NULL;
}

static void expect_params_untouched(const packing *p) {
  EXPECT(test_is_poison(buffer_download(p->ctx, NULL, p->params, p->floats), p->floats), "params was written");
}

static void pack(const void *row) {
  packing p;
  if (!set_up_packing(&p)) return;
  apply_misuse(row, &p.weights);
  expect_misuse(row, rondo_pack(p.plan, p.ctx, p.params, &p.weights), "rondo_pack:");
  expect_params_untouched(&p);
}

static void pack_arguments(const void *unused) {
  (void)unused;
  packing p;
  if (!set_up_packing(&p)) return;
  const rondo_status bad = RONDO_INVALID_ARGUMENT;
  const char *who = "rondo_pack:";
  expect_refusal(bad, rondo_pack(NULL, p.ctx, p.params, &p.weights), who, "plan is NULL");
  expect_refusal(bad, rondo_pack(p.plan, NULL, p.params, &p.weights), who, "ctx is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, NULL, &p.weights), who, "params is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, p.params, NULL), who, "weights is NULL");
  expect_refusal(bad, rondo_pack(p.plan, p.ctx, p.params + 1, &p.weights), who, "not aligned to 64 bytes");
  rondo_context *other = other_context(p.ctx);
  if (other) expect_refusal(bad, rondo_pack(p.plan, other, p.params, &p.weights), who, "the plan is for");
  expect_params_untouched(&p);
}

const test_suite test_api_library = {"ApiLibrary", TEST_ONCE,
                                     (const test_row[]){{"version", version, NULL, 0},
                                                        {"status_names", status_names, NULL, 0},
                                                        {"last_error", last_error, NULL, 0},
                                                        {"null_handles", null_handles, NULL, 0},
                                                        {"auto_context", auto_context, NULL, 0},
                                                        {"context_create", context_create, TEST_TABLE(context_rows)},
                                                        {NULL, NULL, NULL, 0}}};

const test_suite test_api = {"Api", TEST_ALL,
                             (const test_row[]){{"plan_create", plan_create, TEST_TABLE(plan_rows)},
                                                {"plan_arguments", plan_arguments, NULL, 0},
                                                {"plan_too_large", plan_too_large, TEST_TABLE(huge)},
                                                {"plan_says", plan_says, NULL, 0},
                                                {"context_says", context_says, NULL, 0},
                                                {"memory", memory, NULL, 0},
                                                {"pack", pack, TEST_TABLE(pack_rows)},
                                                {"pack_arguments", pack_arguments, NULL, 0},
                                                {NULL, NULL, NULL, 0}}};
