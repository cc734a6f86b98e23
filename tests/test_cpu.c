/* test_cpu.c - the inside of the CPU backend: the parameter block, the split over threads, the float mode, the pool. */
#include "cpu/cpu.h"
#include "harness.h"

#include <fenv.h>
#include <math.h>
#include <string.h>

static const struct isa_row {
  const char *name;
  rondo_isa isa;
} isas[] = {{"portable", RONDO_ISA_PORTABLE},       {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512},
            {"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX},   {NULL, 0}};

/* Those with products of bf16, and of these the ones that add them up one after another, as floats are. */
static const struct isa_row paired[] = {{"avx512_bf16", RONDO_ISA_AVX512_BF16}, {"amx", RONDO_ISA_AMX}, {NULL, 0}};
static const struct isa_row in_turn[] = {{"avx512_bf16", RONDO_ISA_AVX512_BF16}, {NULL, 0}};

/* A context of just this instruction set; NULL, and the test is skipped, where there is none. */
static rondo_context *context_of(const struct isa_row *row, int threads) {
  return test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = threads, .max_isa = row->isa});
}

static void fill(float *to, size_t count, uint64_t stream) {
  for (size_t i = 0; i < count; i++) to[i] = problem_random(test_seed(), stream, i);
}

/* Layers of both forms of the parameter block. */
static const struct layer_row {
  const char *name;
  rondo_layer layer;
} layer_rows[] = {{"lstm", {.cell = RONDO_LSTM}},
                  {"gru", {.cell = RONDO_GRU}},
                  {"rnn", {.cell = RONDO_RNN}},
                  {"lstm, relu", {.cell = RONDO_LSTM, .activation = {RONDO_RELU, 0, 0}}},
                  {"lstm, projection", {.cell = RONDO_LSTM, .projection_size = 5}},
                  {"gru, reset_before", {.cell = RONDO_GRU, .reset_before = 1}},
                  {"gru, layer_norm", {.cell = RONDO_GRU, .layer_norm = 1}},
                  {"dense", {.cell = RONDO_DENSE}},
                  {NULL, {.cell = RONDO_LSTM}}};

enum { LAYOUT_F = 3, LAYOUT_H = 21 };

static const rondo_dtype types[] = {RONDO_F32, RONDO_F16, RONDO_BF16, RONDO_INT8};
enum { TYPES = sizeof types / sizeof *types };

/* What a weight is kept as. */
static float kept(rondo_dtype type, float weight) {
  return type == RONDO_F32 ? weight : rondo_from_half(type, rondo_to_half(type, weight));
}

static float number_at(rondo_dtype type, const float *piece, size_t i) {
  return type == RONDO_F32 ? piece[i] : rondo_from_half(type, ((const uint16_t *)(const void *)piece)[i]);
}

/* Streams of a layer, and numbers of a row of one. */
static size_t width_of(const rondo_cpu_layout *l, size_t stream) {
  return (l->narrow && stream == l->blocks - 1 ? l->narrow : l->vectors) * l->lanes;
}

/* The column of a matrix (rows, G*H) that a column of a stream is; -1: none, it holds zeros. */
static ptrdiff_t column_of(const rondo_cpu_layout *l, size_t stream, size_t column) {
  size_t block = l->fused ? stream : stream % l->blocks, gate = l->fused ? column / l->lanes : stream / l->blocks;
  size_t unit = block * l->lanes + column % l->lanes, rest = l->hidden % l->lanes;
  if (l->narrow && block == l->blocks - 1) gate = column / rest, unit = block * l->lanes + column % rest;
  return gate < l->gates && unit < l->hidden ? (ptrdiff_t)(gate * l->hidden + unit) : -1;
}

/* Where a weight of row k stands, from the start of a stream whose rows are `width` numbers. */
static size_t place_of(const rondo_cpu_layout *l, rondo_dtype type, size_t width, size_t k, size_t column) {
  if (l->group != 2 || type == RONDO_F32) return k * width + column;
  return (k / 2 * width + column) * 2 + 1 - k % 2;
}

/* The same for quads: what each sum begins with, the scale, the levels of a column, zeros behind them. */
static int wrong_column(const rondo_cpu_layout *l, const float *piece, const float *matrix, size_t rows, size_t index,
                        size_t column) {
  size_t words = (rows + 3) / 4, width = width_of(l, index), all = l->gates * l->hidden;
  const uint32_t *stream = (const uint32_t *)(const void *)piece + index * (2 + words) * l->vectors * l->lanes;
  ptrdiff_t from = column_of(l, index, column);
  const int8_t *levels = (const int8_t *)(stream + 2 * width);
  float largest = 0;
  int sum = 0, wrong = 0;
  for (size_t k = 0; from >= 0 && k < rows; k++) largest = fmaxf(largest, fabsf(matrix[k * all + (size_t)from]));
  for (size_t k = 0; k < 4 * words; k++) {
    int there = k < rows && from >= 0, level = levels[4 * (k / 4 * width + column) + k % 4];
    double quotient = there ? 127 * (double)matrix[k * all + (size_t)from] / (double)largest : 0;
    wrong += level != (int)nearbyint(quotient);
    sum += level;
  }
  float scale = largest / 127;
  return wrong + ((int32_t)stream[column] != -128 * sum) + (memcmp(&stream[width + column], &scale, sizeof scale) != 0);
}

static void check_quads(const rondo_cpu_layout *l, const char *name, const float *piece, const float *matrix,
                        size_t rows) {
  int wrong = 0;
  for (size_t stream = 0; stream < l->streams; stream++)
    for (size_t i = 0; i < width_of(l, stream); i++) wrong += wrong_column(l, piece, matrix, rows, stream, i);
  EXPECT(!wrong, "%s: %d numbers are elsewhere", name, wrong);
}

/* A piece of `rows` rows for every gate: padding is zero, and matrix (rows, G*H) stands where cpu.h says. */
static void check_piece(const rondo_cpu_layout *l, const char *name, rondo_dtype type, const float *piece,
                        const float *matrix, size_t rows) {
  int wrong = 0;
  size_t depth = l->group == 2 && type == RONDO_BF16 ? rondo_cpu_depth(l, rows) : rows;
  for (size_t stream = 0; stream < l->streams; stream++)
    for (size_t k = 0; k < depth; k++)
      for (size_t i = 0; i < width_of(l, stream); i++) {
        size_t place = stream * depth * l->vectors * l->lanes + place_of(l, type, width_of(l, stream), k, i);
        ptrdiff_t from = column_of(l, stream, i);
        float expected = k < rows && from >= 0 ? kept(type, matrix[k * l->gates * l->hidden + (size_t)from]) : 0;
        wrong += number_at(type, piece, place) != expected;
      }
  EXPECT(!wrong, "%s: %d numbers are elsewhere", name, wrong);
}

/* A block is good for a plan of its own layer and type of weights only. */
static void check_plans(rondo_context *ctx, const struct layer_row *row, rondo_dtype type, const void *params) {
  for (const struct layer_row *other = layer_rows; other->name; other++)
    for (int i = 0; i < TYPES; i++) {
      rondo_plan_desc desc = {.layer = other->layer, .max_batch = 1, .max_timesteps = 1, .weights = types[i]};
      desc.layer.input_size = LAYOUT_F, desc.layer.hidden_size = LAYOUT_H;
      rondo_plan *plan = test_plan(ctx, &desc);
      if (!plan) return;
      rondo_status status = rondo_cpu_ops.check_params("test", plan, &plan->direction[0], LAYOUT_F, params, 0);
      EXPECT((status == RONDO_OK) == (other == row && types[i] == type),
             "params of %s, type %d, in a plan of %s, %d: %s", row->name, (int)type, other->name, (int)types[i],
             rondo_status_name(status));
      if (other == row && types[i] == RONDO_F32 && type == RONDO_BF16)
        EXPECT(!strcmp(rondo_last_error(),
                       "test: params of layer 0 was packed for weights RONDO_BF16, the plan has RONDO_F32"),
               "the sentence is \"%s\"", rondo_last_error());
    }
}

static void check_layout(rondo_context *ctx, const struct layer_row *row, rondo_dtype type) {
  static float kernel[LAYOUT_F * 4 * LAYOUT_H], recurrent[LAYOUT_H * 4 * LAYOUT_H], bias[4 * LAYOUT_H];
  static float projection[LAYOUT_H * LAYOUT_H];
  rondo_plan_desc desc = {.layer = row->layer, .max_batch = 1, .max_timesteps = 1, .weights = type};
  desc.layer.input_size = LAYOUT_F, desc.layer.hidden_size = LAYOUT_H;
  rondo_plan *plan = test_plan(ctx, &desc);
  if (!plan) return;
  const rondo_layer *layer = &plan->direction[0];
  fill(kernel, LAYOUT_F * 4 * LAYOUT_H, 1), fill(recurrent, LAYOUT_H * 4 * LAYOUT_H, 2), fill(bias, 4 * LAYOUT_H, 3);
  fill(projection, LAYOUT_H * LAYOUT_H, 4);
  rondo_weights weights = {.kernel = kernel, .bias = bias};
  if (layer->cell != RONDO_DENSE) weights.recurrent_kernel = recurrent;
  if (layer->projection_size) weights.projection = projection;
  unsigned char *params = buffer_new(ctx, rondo_plan_sizes(plan)->params);
  if (!EXPECT_OK(rondo_pack(plan, ctx, params, &weights))) return;
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, layer, LAYOUT_F);
  const float *block = (const float *)params;
  check_piece(&l, "bias", RONDO_F32, block + l.bias, bias, 1);
  if (type == RONDO_INT8) {
    check_quads(&l, "W", block + l.input_weights, kernel, LAYOUT_F);
    if (weights.recurrent_kernel) check_quads(&l, "R", block + l.recurrent, recurrent, l.outputs);
  } else {
    check_piece(&l, "W", type, block + l.input_weights, kernel, LAYOUT_F);
    if (weights.recurrent_kernel) check_piece(&l, "R", type, block + l.recurrent, recurrent, l.outputs);
  }
  for (size_t byte = 0; byte < 44; byte++) { /* of the header */
    params[byte] ^= 0x80;
    EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_cpu_ops.check_params("test", plan, layer, LAYOUT_F, params, 0));
    params[byte] ^= 0x80;
  }
  check_plans(ctx, row, type, params);
}

/* Each weight stands where cpu.h says, padding is zero, and a block that is not one, or another layer's, is refused. */
static void layout(const void *level) {
  rondo_context *ctx = context_of(level, 1);
  for (const struct layer_row *row = layer_rows; ctx && row->name; row++)
    for (int i = 0; i < TYPES; i++) check_layout(ctx, row, types[i]);
}

/* Vectors of the last block by hand, and that the block of parameters is smaller by the others. */
static void narrow_layout(const void *level) {
  static const struct {
    rondo_cell cell;
    size_t lanes;
    int hidden;
    size_t narrow;
  } cases[] = {{RONDO_LSTM, 16, 257, 1}, {RONDO_LSTM, 16, 130, 1}, {RONDO_LSTM, 16, 200, 2}, {RONDO_LSTM, 16, 300, 3},
               {RONDO_LSTM, 16, 301, 0}, {RONDO_LSTM, 16, 256, 0}, {RONDO_LSTM, 16, 9, 0},   {RONDO_GRU, 16, 21, 1},
               {RONDO_GRU, 16, 200, 2},  {RONDO_GRU, 16, 300, 0},  {RONDO_RNN, 16, 17, 0},   {RONDO_LSTM, 8, 257, 1},
               {RONDO_LSTM, 8, 21, 3},   {RONDO_GRU, 8, 21, 2},    {RONDO_GRU, 8, 22, 0},    {RONDO_LSTM, 8, 7, 0},
               {RONDO_LSTM, 4, 21, 1},   {RONDO_LSTM, 4, 22, 2},   {RONDO_LSTM, 4, 23, 3},   {RONDO_LSTM, 4, 24, 0},
               {RONDO_GRU, 4, 21, 1},    {RONDO_GRU, 4, 22, 2},    {RONDO_GRU, 4, 23, 0},    {RONDO_RNN, 4, 21, 0}};
  rondo_context *ctx = context_of(level, 1);
  for (size_t i = 0; ctx && i < sizeof cases / sizeof *cases; i++) {
    rondo_plan_desc desc = {.layer = {.cell = cases[i].cell, .input_size = 64, .hidden_size = cases[i].hidden}};
    desc.max_batch = desc.max_timesteps = 1;
    rondo_plan *plan = test_plan(ctx, &desc);
    if (!plan) return;
    rondo_cpu_layout l = rondo_cpu_layout_of(plan, &plan->direction[0], 64);
    size_t columns = (l.blocks - 1) * l.gates * l.lanes + (l.narrow ? l.narrow : l.gates) * l.lanes;
    if (l.lanes != cases[i].lanes) continue;
    EXPECT(l.narrow == cases[i].narrow, "%d units in %zu lanes: %zu vectors in the last block", cases[i].hidden,
           l.lanes, l.narrow);
    EXPECT(l.recurrent - l.input_weights == 64 * columns, "%d units in %zu lanes: %zu columns", cases[i].hidden,
           l.lanes, columns);
  }
}

/* Of two plans that differ in the type of weights alone, one block is the other's size but for half of the weights; or
 * three quarters of them, less two rows of floats for each matrix. */
static void half_size(const void *level) {
  enum { UNITS = 256, HEADER = 256, BIASES = 4 * UNITS * sizeof(float), HEADS = 4 * BIASES };
  rondo_context *ctx = context_of(level, 1);
  size_t bytes[TYPES];
  for (int i = 0; i < TYPES; i++) {
    rondo_plan_desc desc = {.layer = {.input_size = UNITS, .hidden_size = UNITS}, .weights = types[i]};
    desc.max_batch = desc.max_timesteps = 1;
    rondo_plan *plan = ctx ? test_plan(ctx, &desc) : NULL;
    if (!plan) return;
    bytes[i] = rondo_plan_sizes(plan)->params - HEADER - BIASES;
  }
  EXPECT(bytes[0] == 2 * UNITS * 4 * UNITS * sizeof(float) && 2 * bytes[1] == bytes[0] && bytes[2] == bytes[1],
         "weights of %zu, %zu and %zu bytes", bytes[0], bytes[1], bytes[2]);
  EXPECT(4 * (bytes[3] - HEADS) == bytes[0], "weights of %zu bytes, not a quarter of %zu", bytes[3], bytes[0]);
}

/* The caller's rounding mode changes no result, and is still there afterwards. */
static void float_mode(const void *row) {
  rondo_context *ctx = context_of(row, 2);
  test_setup setup;
  if (!ctx || !test_set_up(&setup, ctx, test_data_named("lstm:n5t6c7h33:h0"), NULL)) return;
#if defined(__x86_64__)
  test_outputs nearest = test_forward(&setup, &setup.batch);
  fesetround(FE_UPWARD);
  EXPECT_OK(rondo_forward(setup.plan, ctx, &setup.batch));
  int mode = fegetround();
  fesetround(FE_TONEAREST);
  EXPECT(mode == FE_UPWARD, "the call left rounding mode %d", mode);
  test_outputs upward = {buffer_download(ctx, NULL, setup.batch.y, setup.y_count),
                         buffer_download(ctx, NULL, setup.batch.y_last, setup.y_last_count),
                         buffer_download(ctx, NULL, setup.batch.h_n, setup.state_count),
                         buffer_download(ctx, NULL, setup.batch.c_n, setup.state_count)};
  EXPECT(test_same_outputs(&setup, &nearest, &upward), "rounding upward changed the result");
#else
  SKIP("the float mode is kept on x86 only");
#endif
}

enum { POOL = 4, BARRIERS = 50 };

typedef struct pool_test {
  rondo_pool *pool;
  int threads, turns[POOL], behind; /* turns: written by its own thread, read by all after a barrier */
} pool_test;

static void take_turns(void *context, int thread) {
  pool_test *t = context;
  for (int i = 0; i < BARRIERS; i++) {
    t->turns[thread]++;
    rondo_pool_barrier(t->pool);
    for (int other = 0; other < t->threads; other++)
      if (thread == 0 && t->turns[other] != t->turns[0]) t->behind++;
    rondo_pool_barrier(t->pool);
  }
}

/* Calls that use more and fewer threads than the one before; the library's sanitizer builds watch the memory order. */
static void pool(const void *unused) {
  (void)unused;
  pool_test t = {0};
  if (!EXPECT_OK(rondo_pool_create(&t.pool, &(rondo_context_desc){.threads = POOL}))) return;
  int expected[POOL] = {0};
  for (int call = 0; call < 12; call++) {
    t.threads = 1 + call * 3 % POOL;
    for (int i = 0; i < t.threads; i++) expected[i] = t.turns[i] = expected[0];
    rondo_pool_run(t.pool, &t.threads, take_turns, &t);
    for (int i = 0; i < t.threads; i++) expected[i] += BARRIERS;
    EXPECT(!memcmp(t.turns, expected, (size_t)t.threads * sizeof(int)) && !t.behind, "call %d, %d threads", call,
           t.threads);
  }
  rondo_pool_destroy(t.pool);
}

/* A small layer on three threads, which the library would not split, gives the bits of one thread; so does a state that
 * is updated in place. */
static void split_problem(const struct isa_row *row, const char *name) {
  const problem_data *data = test_data_named(name);
  test_outputs outputs[2];
  test_setup setup;
  for (int i = 0; i < 2; i++) {
    rondo_context *ctx = context_of(row, i ? 3 : 1);
    if (!ctx || !test_set_up(&setup, ctx, data, NULL)) return;
    rondo_cpu_state *state = ctx->state;
    state->costs = (rondo_cpu_costs){0};
    outputs[i] = test_forward(&setup, &setup.batch);
  }
  EXPECT(test_same_outputs(&setup, &outputs[0], &outputs[1]), "%s differs on 3 threads", name);
  /* Gaps of h_n, strides or slots of nobody or where a dense h is narrower than c, hold something else than h_0's. */
  int gaps = setup.batch.slots || setup.batch.state_stride || setup.plan->desc.layer.projection_size;
  if (!setup.batch.h_0 || gaps) return;
  rondo_batch in_place = setup.batch;
  in_place.h_n = (void *)in_place.h_0;
  in_place.c_n = (void *)in_place.c_0;
  test_outputs same = test_forward(&setup, &in_place);
  EXPECT(test_same_outputs(&setup, &outputs[0], &same), "%s differs on 3 threads with its state in place", name);
}

/* Fewer blocks than threads, blocks taken together, chunks of one step and of more, every option, ended rows. */
static const char *const split_names[] = {
    "lstm:n1t1c1h1",           "lstm:n1t9c3h33:h0",       "lstm:n2t1c3h70:h0",        "lstm:n1t4c3h70",
    "lstm:n3t5c7h9",           "lstm:n5t6c2h65l2:back",   "lstm:n13t4c5h48:time:h0",  "lstm:n13t7c5h48:len:h0",
    "gru:n1t4c3h70:h0",        "rnn:n1t4c3h170:h0",       "gru:n7t6c5h38:mask=holes", "lstm:n300t3c2h33:len:bi=sum",
    "gru:n9t5c3h40:before:h0", "lstm:n9t5c3h40:norm:len", "dense:n9t5c3h40",          NULL};

/* Likewise, with products of bf16. */
static const char *const split_bf16_names[] = {"lstm:n1t4c3h70:weights=bf16",
                                               "lstm:n13t7c5h48:len:h0:weights=bf16",
                                               "lstm:n300t3c2h33:len:bi=sum:weights=bf16",
                                               "lstm:n3t9c5h33l2:proj=17:h0:weights=bf16",
                                               "gru:n5t6c2h65l2:back:weights=bf16",
                                               "gru:n9t5c3h40:before:mask=holes:h0:weights=bf16",
                                               "rnn:n1t4c3h170:h0:weights=bf16",
                                               "dense:n9t5c3h40:weights=bf16",
                                               NULL};

/* Likewise, with quads, whose rows of h every thread makes for itself in a fused layer. */
static const char *const split_int8_names[] = {"lstm:n1t4c3h70:weights=int8",
                                               "lstm:n13t7c5h48:len:h0:weights=int8",
                                               "lstm:n300t3c2h33:len:bi=sum:weights=int8",
                                               "lstm:n3t9c5h33l2:proj=17:h0:weights=int8",
                                               "gru:n5t6c2h65l2:back:weights=int8",
                                               "gru:n9t5c3h40:before:mask=holes:h0:weights=int8",
                                               "rnn:n1t4c3h170:h0:weights=int8",
                                               "dense:n9t5c3h40:weights=int8",
                                               NULL};

static void split(const void *row) {
  for (const char *const *name = split_int8_names; *name; name++) split_problem(row, *name);
  for (const char *const *name = split_bf16_names; *name; name++) split_problem(row, *name);
  for (const char *const *name = split_names; *name; name++) split_problem(row, *name);
  for (const char *const *name = problem_option_table; *name; name++) split_problem(row, *name);
}

/* A plan that was made for one thread, with three: there is room for one thread's rows of h, and the bits are the
 * same. */
static void more_threads(const void *row) {
  rondo_context *one = context_of(row, 1), *three = one ? context_of(row, 3) : NULL;
  if (!three) return;
  rondo_cpu_state *state = three->state;
  state->costs = (rondo_cpu_costs){0};
  for (const char *const *name = split_int8_names; *name; name++) {
    test_setup s;
    if (!test_set_up(&s, one, test_data_named(*name), NULL)) return;
    test_outputs expected = test_forward(&s, &s.batch);
    s.ctx = three;
    test_outputs got = test_forward(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &got, &expected), "%s differs with more threads than its plan knows", *name);
  }
}

/* ---- weights of 16 bits ------------------------------------------------------------------------------------------ */

/* A copy as it is kept; NULL stays NULL. */
static const float *kept_copy(rondo_dtype type, const float *from, size_t count) {
  float *to = from ? test_memory(count * sizeof *to) : NULL;
  for (size_t i = 0; to && i < count; i++) to[i] = kept(type, from[i]);
  return to;
}

static problem_data kept_data(const rondo_plan *plan, const problem_data *data, rondo_dtype type) {
  problem_data copy = *data;
  for (int i = 0; i < copy.weights_count; i++) {
    rondo_weights *w = &copy.weights[i];
    const rondo_layer *layer = rondo_layer_at(plan, w->layer, w->direction);
    size_t units = (size_t)layer->hidden_size, columns = (size_t)rondo_gates(layer) * units;
    size_t outputs = (size_t)rondo_output_size(layer);
    w->kernel = kept_copy(type, w->kernel, rondo_layer_inputs(plan, w->layer) * columns);
    w->recurrent_kernel = kept_copy(type, w->recurrent_kernel, outputs * columns);
    w->projection = kept_copy(type, w->projection, units * outputs);
  }
  return copy;
}

/* A plan of this type gives the bits of a plan of floats whose weights were rounded to it beforehand; one thread in the
 * one, three in the other. */
static void kept_problem(const struct isa_row *row, const char *name, rondo_dtype type) {
  const problem_data *data = test_data_named(name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.weights = type;
  rondo_context *one = context_of(row, 1), *three = one ? context_of(row, 3) : NULL;
  test_setup half, whole;
  if (!three || !test_set_up(&half, three, data, &desc)) return;
  problem_data rounded = kept_data(half.plan, data, type);
  desc.weights = RONDO_F32;
  if (!test_set_up(&whole, one, &rounded, &desc)) return;
  rondo_cpu_state *state = three->state;
  state->costs = (rondo_cpu_costs){0};
  test_outputs got = test_forward(&half, &half.batch), expected = test_forward(&whole, &whole.batch);
  EXPECT(test_same_outputs(&half, &got, &expected), "%s differs with weights of type %d", name, (int)type);
}

/* Not of products of bf16: these round h, too. */
static void kept_weights(const void *row) {
  const struct isa_row *isa = row;
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_of(isa->isa);
  for (int i = 1; i < 3; i++) {
    if (kernels && kernels->words[types[i]]) continue;
    for (const char *const *name = split_names; *name; name++) kept_problem(row, *name, types[i]);
    for (const char *const *name = problem_option_table; *name; name++) kept_problem(row, *name, types[i]);
  }
}

/* ---- products of bf16 -------------------------------------------------------------------------------------------- */

/* Rounds `count` floats from `from` on as products take them. */
static void round_to(float *to, const float *from, size_t count) {
  for (size_t i = 0; i < count; i++) to[i] = kept(RONDO_BF16, from[i]);
}

/* A problem with each step by itself, from the state that the one before left in h and c: of dense arrays, batch-major,
 * T 1. With weights RONDO_F32, x and h are rounded on the way in. */
static void take_steps(test_setup *s, const problem_data *data, rondo_dtype type, float *y) {
  size_t inputs = (size_t)data->problem.input_size, hidden = (size_t)data->problem.hidden_size;
  size_t batch = (size_t)data->problem.batch, steps = (size_t)data->problem.timesteps, states = batch * hidden;
  float *h = test_memory(states * sizeof *h), *c = test_memory(states * sizeof *c);
  float *x_in = buffer_floats(s->ctx, batch * inputs), *h_in = buffer_floats(s->ctx, states);
  memset(h, 0, states * sizeof *h), memset(c, 0, states * sizeof *c);
  rondo_batch batch_of_one = {.batch = (int)batch, .timesteps = 1, .params = s->batch.params, .x = x_in, .h_0 = h_in};
  batch_of_one.workspace = s->batch.workspace, batch_of_one.h_n = h;
  if (data->problem.cell == RONDO_LSTM) batch_of_one.c_0 = batch_of_one.c_n = c;
  for (size_t t = 0; t < steps; t++) {
    for (size_t n = 0; n < batch; n++) {
      const float *row = data->x + (n * steps + t) * inputs;
      memcpy(x_in + n * inputs, row, inputs * sizeof *row);
      if (type == RONDO_F32) round_to(x_in + n * inputs, row, inputs);
    }
    memcpy(h_in, h, states * sizeof *h);
    if (type == RONDO_F32) round_to(h_in, h, states);
    if (!EXPECT_OK(rondo_forward(s->plan, s->ctx, &batch_of_one))) return;
    memcpy(y + t * states, h, states * sizeof *h);
  }
}

/* Products of bf16 are those of floats that were rounded to it, in the same order, so each step gives the bits of one
 * with such floats. h has no other part in these cells. */
static void rounded_problem(rondo_context *ctx, const char *name) {
  const problem_data *data = test_data_named(name);
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  test_setup half, whole;
  desc.weights = RONDO_BF16;
  if (!test_set_up(&half, ctx, data, &desc)) return;
  problem_data rounded = kept_data(half.plan, data, RONDO_BF16);
  desc.weights = RONDO_F32;
  if (!test_set_up(&whole, ctx, &rounded, &desc)) return;
  size_t count = (size_t)data->problem.batch * (size_t)data->problem.timesteps * (size_t)data->problem.hidden_size;
  float *got = test_memory(count * sizeof *got), *expected = test_memory(count * sizeof *expected);
  take_steps(&half, data, RONDO_BF16, got);
  take_steps(&whole, data, RONDO_F32, expected);
  EXPECT(test_same_bits(got, expected, count), "%s: products of bf16 are not those of floats rounded to it", name);
}

static void rounded_factors(const void *row) {
  static const char *const names[] = {"lstm:n1t6c3h70",        "lstm:n7t5c9h33",          "rnn:n3t9c5h170",
                                      "lstm:n5t4c8h35:clip=1", "lstm:n3t4c7h50:peephole", NULL};
  const struct isa_row *isa = row;
  rondo_context *ctx = context_of(isa, 1);
  if (!ctx) return;
  for (const char *const *name = names; *name; name++) rounded_problem(ctx, *name);
}

/* Weights of other types give AVX-512's bits. */
static void as_avx512(const void *row) {
  static const struct isa_row avx512 = {"avx512", RONDO_ISA_AVX512};
  rondo_context *ctx[2] = {context_of(row, 1)};
  if (!ctx[0]) return;
  if (!(ctx[1] = context_of(&avx512, 1))) return;
  for (int i = 0; i < TYPES; i++)
    for (const char *const *name = split_names; *name; name++) {
      const problem_data *data = test_data_named(*name);
      rondo_plan_desc desc = problem_plan_desc(&data->problem);
      if (types[i] == RONDO_BF16) continue;
      desc.weights = types[i];
      test_setup s[2];
      for (int k = 0; k < 2; k++)
        if (!test_set_up(&s[k], ctx[k], data, &desc)) return;
      test_outputs a = test_forward(&s[0], &s[0].batch), b = test_forward(&s[1], &s[1].batch);
      EXPECT(test_same_outputs(&s[0], &a, &b), "%s, weights of type %d: other bits than with AVX-512", *name,
             (int)types[i]);
    }
}

#define ISA_TEST(name)                                                                                                 \
  { #name, name, TEST_TABLE(isas) }

const test_suite test_cpu = {"CpuInside", TEST_ONCE,
                             (const test_row[]){ISA_TEST(layout),
                                                ISA_TEST(narrow_layout),
                                                ISA_TEST(half_size),
                                                ISA_TEST(split),
                                                ISA_TEST(more_threads),
                                                ISA_TEST(kept_weights),
                                                {"rounded_factors", rounded_factors, TEST_TABLE(in_turn)},
                                                {"as_avx512", as_avx512, TEST_TABLE(paired)},
                                                ISA_TEST(float_mode),
                                                {"pool", pool, NULL, 0},
                                                {0}}};
