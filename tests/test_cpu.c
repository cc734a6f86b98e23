/* test_cpu.c - the inside of the CPU backend: the parameter block, the split over threads, the float mode, the pool. */
#include "cpu/cpu.h"
#include "harness.h"

#include <fenv.h>
#include <string.h>

static const struct isa_row {
  const char *name;
  rondo_isa isa;
} isas[] = {{"portable", RONDO_ISA_PORTABLE}, {"avx2", RONDO_ISA_AVX2}, {"avx512", RONDO_ISA_AVX512}, {NULL, 0}};

/* A context of just this instruction set; NULL, and the test is skipped, where there is none. */
static rondo_context *context_of(const struct isa_row *row, int threads) {
  return test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = threads, .max_isa = row->isa});
}

static void fill(float *to, size_t count, uint64_t stream) {
  for (size_t i = 0; i < count; i++) to[i] = problem_random(test_seed(), stream, i);
}

/* Each weight stands where cpu.h says, padding is zero, and a block that is not one is refused. */
static void layout(const void *row) {
  enum { F = 3, H = 21 };
  rondo_context *ctx = context_of(row, 1);
  const rondo_plan_desc desc = {.layer = {.input_size = F, .hidden_size = H}, .max_batch = 1, .max_timesteps = 1};
  rondo_plan *plan = ctx ? test_plan(ctx, &desc) : NULL;
  if (!plan) return;
  float kernel[F * 4 * H], recurrent[H * 4 * H], bias[4 * H];
  fill(kernel, F * 4 * H, 1), fill(recurrent, H * 4 * H, 2), fill(bias, 4 * H, 3);
  unsigned char *params = buffer_new(ctx, rondo_plan_sizes(plan)->params);
  if (!EXPECT_OK(rondo_pack(plan, ctx, params,
                            &(rondo_weights){.kernel = kernel, .recurrent_kernel = recurrent, .bias = bias})))
    return;
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, F);
  const float *weights = rondo_cpu_weights(params);
  for (size_t block = 0; block < l.blocks; block++)
    for (size_t g = 0; g < 4; g++)
      for (size_t lane = 0; lane < l.lanes; lane++) {
        size_t unit = block * l.lanes + lane, column = g * H + unit, at = g * l.lanes + lane;
        int real = unit < H;
        EXPECT(weights[l.bias + block * 4 * l.lanes + at] == (real ? bias[column] : 0), "bias, gate %zu unit %zu", g,
               unit);
        for (size_t k = 0; k < F; k++)
          EXPECT(
              weights[l.input_weights + (block * F + k) * 4 * l.lanes + at] == (real ? kernel[k * 4 * H + column] : 0),
              "W, input %zu gate %zu unit %zu", k, g, unit);
        for (size_t k = 0; k < H; k++)
          EXPECT(
              weights[l.recurrent + (block * H + k) * 4 * l.lanes + at] == (real ? recurrent[k * 4 * H + column] : 0),
              "R, input %zu gate %zu unit %zu", k, g, unit);
      }
  for (size_t byte = 0; byte < 28; byte++) { /* of the header */
    params[byte] ^= 0x80;
    EXPECT_STATUS(RONDO_INVALID_ARGUMENT, rondo_cpu_ops.check_params("test", plan, F, params, 0));
    params[byte] ^= 0x80;
  }
  EXPECT_OK(rondo_cpu_ops.check_params("test", plan, F, params, 0));
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
  if (!EXPECT_OK(rondo_pool_create(&t.pool, POOL))) return;
  int expected[POOL] = {0};
  for (int call = 0; call < 12; call++) {
    t.threads = 1 + call * 3 % POOL;
    for (int i = 0; i < t.threads; i++) expected[i] = t.turns[i] = expected[0];
    rondo_pool_run(t.pool, t.threads, take_turns, &t);
    for (int i = 0; i < t.threads; i++) expected[i] += BARRIERS;
    EXPECT(!memcmp(t.turns, expected, (size_t)t.threads * sizeof(int)) && !t.behind, "call %d, %d threads", call,
           t.threads);
  }
  rondo_pool_destroy(t.pool);
}

/* Small layers on three threads, which the library would not split, give the bits of one thread; so does a state that
 * is updated in place. */
static void split(const void *row) {
  static const char *const names[] = {
      "lstm:n1t1c1h1", "lstm:n1t9c3h33:h0",     "lstm:n2t1c3h70:h0",       "lstm:n1t4c3h70",
      "lstm:n3t5c7h9", "lstm:n5t6c2h65l2:back", "lstm:n13t4c5h48:time:h0", NULL};
  for (const char *const *name = names; *name; name++) {
    const problem_data *data = test_data_named(*name);
    test_outputs outputs[2];
    test_setup setup;
    for (int i = 0; i < 2; i++) {
      rondo_context *ctx = context_of(row, i ? 3 : 1);
      if (!ctx || !test_set_up(&setup, ctx, data, NULL)) return;
      rondo_cpu_state *state = ctx->state;
      state->step_work = state->call_work = 1;
      outputs[i] = test_forward(&setup, &setup.batch);
    }
    EXPECT(test_same_outputs(&setup, &outputs[0], &outputs[1]), "%s differs on 3 threads", *name);
    if (!setup.batch.h_0) continue;
    rondo_batch in_place = setup.batch;
    in_place.h_n = (void *)in_place.h_0;
    in_place.c_n = (void *)in_place.c_0;
    test_outputs same = test_forward(&setup, &in_place);
    EXPECT(test_same_outputs(&setup, &outputs[0], &same), "%s differs on 3 threads with its state in place", *name);
  }
}

#define ISA_TEST(name)                                                                                                 \
  { #name, name, TEST_TABLE(isas) }

const test_suite test_cpu = {
    "CpuInside", TEST_ONCE,
    (const test_row[]){ISA_TEST(layout), ISA_TEST(split), ISA_TEST(float_mode), {"pool", pool, NULL, 0}, {0}}};
