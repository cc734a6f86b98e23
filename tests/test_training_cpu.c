/* test_training_cpu.c - the inside of training on the CPU: products, slopes, the split over threads, recompute.
 *
 * Bounds, with u = 2^-24. A sum of K terms comes in pieces of D = RONDO_GEMM_DEPTH: a piece is off by at most min(K,
 * D) u times its terms' absolute values (a rounding for each product, unless fused, and for each sum but the first),
 * and adding the pieces to C by u for each. */
#include "kernels_cpu.h"

#include "cpu/training.h"
#include "reference.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const rondo_cpu_training_kernels *training_kernels(const cpu_level *level) {
  if (!cpu_kernels_of(level)) return NULL;
#if defined(__x86_64__)
  if (level->isa == RONDO_ISA_AVX2) return &rondo_cpu_training_kernels_avx2;
  if (level->isa >= RONDO_ISA_AVX512) return &rondo_cpu_training_kernels_avx512;
#endif
  return &rondo_cpu_training_kernels_portable;
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* C (rows, columns) of a test: `before`, and what it holds now, its rows `stride` apart. */
typedef struct result {
  size_t rows, columns, stride;
  float *before, *now;
} result;

static result result_make(rondo_context *ctx, size_t rows, size_t columns) {
  enum { GAP = 3 };
  result c = {.rows = rows, .columns = columns, .stride = columns + GAP};
  c.before = cpu_filled(ctx, rows * c.stride, 3);
  c.now = cpu_filled(ctx, rows * c.stride, 3);
  return c;
}

/* Error of C against C0 + A B, as a share of the bound; a (k, m) is at a[m][k], or with `turned` at a[k][m]. */
static double product_error(const result *c, const rondo_rows *a, int turned, const rondo_rows *b, size_t depth,
                            int add) {
  double worst = 0;
  for (size_t m = 0; m < c->rows; m++)
    for (size_t n = 0; n < c->columns; n++) {
      double sum = add ? (double)c->before[m * c->stride + n] : 0, size = fabs(sum);
      for (size_t k = 0; k < depth; k++) {
        double term = (double)(turned ? rondo_row(a, k)[m] : rondo_row(a, m)[k]) * (double)rondo_row(b, k)[n];
        sum += term;
        size += fabs(term);
      }
      double terms = (double)(depth < RONDO_GEMM_DEPTH ? depth : RONDO_GEMM_DEPTH);
      double pieces = ceil((double)depth / RONDO_GEMM_DEPTH);
      worst = fmax(worst, cpu_share(c->now[m * c->stride + n], sum, (terms + pieces) * u * size));
    }
  for (size_t m = 0; m < c->rows; m++)
    for (size_t n = c->columns; n < c->stride; n++)
      if (memcmp(&c->now[m * c->stride + n], &c->before[m * c->stride + n], sizeof(float)) != 0) worst = INFINITY;
  return worst;
}

/* B from its rows and from those of its transpose; A's rows run backwards and overlap. */
static void check_product(const rondo_cpu_training_kernels *kernels, size_t rows, size_t columns, size_t depth,
                          int add) {
  rondo_context *ctx = cpu_host();
  size_t blocks = rondo_blocks(kernels->gemm.lanes, columns), stream = depth * (size_t)kernels->gemm.lanes;
  float *from = cpu_filled(ctx, depth * columns, 1), *turned = buffer_floats(ctx, depth * columns);
  float *b = buffer_floats(ctx, blocks * stream), *same = buffer_floats(ctx, blocks * stream);
  float **a = cpu_rows(cpu_filled(ctx, rows + depth, 2) + rows - 1, (int)rows, -1);
  for (size_t k = 0; k < depth; k++)
    for (size_t n = 0; n < columns; n++) turned[n * depth + k] = from[k * columns + n];
  rondo_rows b_rows = rondo_rows_dense(from, columns), b_columns = rondo_rows_dense(turned, depth);
  rondo_pack_rows(b, kernels->gemm.lanes, &b_rows, depth, columns, (rondo_range){0, blocks});
  rondo_pack_columns(same, kernels->gemm.lanes, &b_columns, depth, columns, (rondo_range){0, blocks});
  EXPECT(!memcmp(b, same, blocks * stream * sizeof *b), "%zu x %zu packed from rows and columns", depth, columns);
  result c = result_make(ctx, rows, columns);
  rondo_gemm_args args = {.rows = rows,
                          .columns = columns,
                          .depth = depth,
                          .a = {.table = a},
                          .b = b,
                          .stream = stream,
                          .c = rondo_rows_dense(c.now, c.stride),
                          .add = add};
  for (int thread = 2; thread >= 0; thread--) rondo_gemm(&kernels->gemm, &args, thread, 3);
  EXPECT_RATIO(product_error(&c, &args.a, 0, &b_rows, depth, add), "product %zu x %zu, depth %zu, add %d", rows,
               columns, depth, add);
}

static void products(const void *level) {
  static const size_t rows[] = {1, 2, 3, 4, 5, 6, 7, 11, 13, 25, 0}, columns[] = {1, 7, 16, 33, 64, 79, 0};
  static const size_t depths[] = {
      1, 3, 17, RONDO_GEMM_DEPTH, RONDO_GEMM_DEPTH + 1, 2 * RONDO_GEMM_DEPTH + 9, 5 * RONDO_GEMM_DEPTH + 2, 0};
  const rondo_cpu_training_kernels *kernels = training_kernels(level);
  if (!kernels) return;
  for (const size_t *m = rows; *m; m++)
    for (const size_t *n = columns; *n; n++) check_product(kernels, *m, *n, 5, (int)(*m % 2));
  for (const size_t *k = depths; *k; k++) check_product(kernels, 7, 37, *k, (int)(*k % 2));
}

/* ---- sums over rows ---------------------------------------------------------------------------------------------- */

typedef struct outer_call {
  const rondo_gemm_kernel *kernel;
  rondo_outer_args args;
  rondo_pool *pool;
  int threads;
} outer_call;

static void outer_thread(void *context, int thread) {
  const outer_call *call = context;
  rondo_gemm_outer(call->kernel, &call->args, call->pool, thread, call->threads);
}

static void destroy_pool(void *pool) {
  rondo_pool_destroy(pool);
}

/* c (rows, columns) += A^T B, with scratch of just the size that is asked for. */
static void run_outer(const rondo_cpu_training_kernels *kernels, rondo_pool *pool, int threads, rondo_outer_args args) {
  rondo_context *ctx = cpu_host();
  size_t width = rondo_blocks(kernels->gemm.lanes, args.columns) * (size_t)kernels->gemm.lanes, rows = 0;
  for (int i = 0; i < args.count; i++) rows += args.factor[i].rows;
  outer_call call = {&kernels->gemm, args, pool, threads};
  call.args.turned = buffer_floats(ctx, 2 * rows * rondo_outer_piece(args.depth));
  call.args.packed = buffer_floats(ctx, 2 * width * rondo_outer_piece(args.depth));
  rondo_pool_run(pool, &call.threads, outer_thread, &call);
}

/* Two A on 1 thread and on 3, and each by itself, with the same bits. The second A has as many rows as C has columns.
 */
static void check_outer(const rondo_cpu_training_kernels *kernels, rondo_pool *pool, size_t rows, size_t columns,
                        size_t depth) {
  rondo_context *ctx = cpu_host();
  float **a = cpu_rows(cpu_filled(ctx, rows + depth, 1) + depth - 1, (int)depth, -1);
  float *b = cpu_filled(ctx, depth * columns, 2), *other = cpu_filled(ctx, depth * columns, 3);
  result c[3], d[3];
  for (int i = 0; i < 3; i++) {
    c[i] = result_make(ctx, rows, columns), d[i] = result_make(ctx, columns, columns);
    rondo_outer_factor one = {.a = {.table = a}, .rows = rows, .c = rondo_rows_dense(c[i].now, c[i].stride)};
    rondo_outer_factor two = {.a = rondo_rows_dense(other, columns), .rows = columns};
    two.c = rondo_rows_dense(d[i].now, d[i].stride);
    rondo_outer_args args = {.depth = depth, .columns = columns, .count = 2, .b = rondo_rows_dense(b, columns)};
    args.factor[0] = one, args.factor[1] = two;
    if (i == 2) {
      args.count = 1;
      run_outer(kernels, pool, 1, args);
      args.factor[0] = two;
    }
    run_outer(kernels, pool, i == 1 ? 3 : 1, args);
    EXPECT_RATIO(product_error(&c[i], &one.a, 1, &args.b, depth, 1), "outer %zu x %zu, depth %zu", rows, columns,
                 depth);
    EXPECT_RATIO(product_error(&d[i], &two.a, 1, &args.b, depth, 1), "second outer %zu x %zu, depth %zu", columns,
                 columns, depth);
    EXPECT(test_same_bits(c[0].now, c[i].now, rows * c[0].stride) &&
               test_same_bits(d[0].now, d[i].now, columns * d[0].stride),
           "outer %zu x %zu, depth %zu differs %s", rows, columns, depth, i == 1 ? "on 3 threads" : "one by one");
  }
}

/* A masked on the way gives the bits of a masked copy of it. */
static void check_masked_outer(const rondo_cpu_training_kernels *kernels, rondo_pool *pool, size_t rows, size_t columns,
                               size_t depth) {
  enum { BEGIN = 2 };
  rondo_context *ctx = cpu_host();
  float *a = cpu_filled(ctx, depth * rows, 1), *copy = buffer_floats(ctx, depth * rows);
  float *mask = cpu_filled(ctx, depth + rows + BEGIN, 4);
  for (size_t i = 0; i < depth * rows; i++) copy[i] = a[i] * mask[i / rows + BEGIN + i % rows];
  result c[2];
  for (int i = 0; i < 2; i++) {
    c[i] = result_make(ctx, rows, columns);
    rondo_outer_args args = {.depth = depth, .columns = columns, .count = 1};
    args.factor[0] = (rondo_outer_factor){
        .a = rondo_rows_dense(i ? copy : a, rows), .rows = rows, .c = rondo_rows_dense(c[i].now, c[i].stride)};
    args.b = rondo_rows_dense(cpu_filled(ctx, depth * columns, 2), columns);
    if (!i) args.factor[0].mask = cpu_rows(mask, (int)depth, 1), args.factor[0].mask_begin = BEGIN;
    run_outer(kernels, pool, 1, args);
  }
  EXPECT(test_same_bits(c[0].now, c[1].now, rows * c[0].stride), "outer %zu x %zu, depth %zu differs with a mask", rows,
         columns, depth);
}

static void outer(const void *level) {
  static const size_t shapes[][3] = {{1, 1, 1},
                                     {2, 3, 0}, /* no rows at all */
                                     {5, 70, RONDO_GEMM_DEPTH},
                                     {40, 9, RONDO_GEMM_DEPTH + 1},
                                     {33, 130, RONDO_OUTER_DEPTH + RONDO_GEMM_DEPTH + 5},
                                     {7, 18, 3 * RONDO_OUTER_DEPTH + 1}};
  const rondo_cpu_training_kernels *kernels = training_kernels(level);
  rondo_pool *pool;
  if (!kernels || !EXPECT_OK(rondo_pool_create(&pool, &(rondo_context_desc){.threads = 3}))) return;
  test_at_end(destroy_pool, pool);
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
    check_outer(kernels, pool, shapes[i][0], shapes[i][1], shapes[i][2]);
  check_masked_outer(kernels, pool, 21, 35, RONDO_OUTER_DEPTH + 7);
}

/* ---- slopes ------------------------------------------------------------------------------------------------------ */

/* Bounds in u: of the slope; and of `terms`, what kernels_slopes.h says that they are relative to. */
static const struct slope_row {
  const char *name;
  rondo_function function;
  double relative, of_terms;
} slope_rows[] = {{"tanh", {RONDO_TANH, 0, 0}, 0, 8},
                  {"sigmoid", {RONDO_SIGMOID, 0, 0}, 7, 0},
                  {"hard_sigmoid", {RONDO_HARD_SIGMOID, 1.0f / 6, 0.5f}, 0, 0},
                  {"relu", {RONDO_RELU, 0, 0}, 0, 0},
                  {"linear", {RONDO_LINEAR, 0, 0}, 0, 0},
                  {"softsign", {RONDO_SOFTSIGN, 0, 0}, 4, 0},
                  {"softplus", {RONDO_SOFTPLUS, 0, 0}, 2.5, 0},
                  {"elu", {RONDO_ELU, 0.3f, 0}, 3.2, 0},
                  {"selu", {RONDO_SELU, 0, 0}, 4.2, 0},
                  {"exponential", {RONDO_EXPONENTIAL, 0, 0}, 2.2, 0},
                  {"silu", {RONDO_SILU, 0, 0}, 0, 8},
                  {"gelu", {RONDO_GELU, 0, 0}, 0, 8},
                  {"leaky_relu", {RONDO_LEAKY_RELU, 0.2f, 0}, 0, 0},
                  {"relu6", {RONDO_RELU6, 0, 0}, 0, 0},
                  {"mish", {RONDO_MISH, 0, 0}, 0, 10},
                  {"hard_silu", {RONDO_HARD_SILU, 0, 0}, 0, 2},
                  {"hard_tanh", {RONDO_HARD_TANH, 0, 0}, 0, 0},
                  {"log_sigmoid", {RONDO_LOG_SIGMOID, 0, 0}, 2.5, 0},
                  {"affine", {RONDO_AFFINE, 0.7f, 0.3f}, 0, 0},
                  {"thresholded_relu", {RONDO_THRESHOLDED_RELU, 1, 0}, 0, 0},
                  {"scaled_tanh", {RONDO_SCALED_TANH, 1.7f, 0.6f}, 0, 10},
                  {"celu", {RONDO_CELU, 0.3f, 0}, 2.2, 1},
                  {"squareplus", {RONDO_SQUAREPLUS, 4, 0}, 8, 0},
                  {"soft_shrink", {RONDO_SOFT_SHRINK, 0.5f, 0}, 0, 0},
                  {"hard_shrink", {RONDO_HARD_SHRINK, 0.5f, 0}, 0, 0},
                  {"tanh_shrink", {RONDO_TANH_SHRINK, 0, 0}, 8, 0},
                  {"threshold", {RONDO_THRESHOLD, 0.5f, -2}, 0, 0},
                  {"sparse_plus", {RONDO_SPARSE_PLUS, 0, 0}, 1, 0},
                  {"sparse_sigmoid", {RONDO_SPARSE_SIGMOID, 0, 0}, 0, 0},
                  {NULL, {RONDO_DEFAULT, 0, 0}, 0, 0}};

/* The slope in double. Of gelu by erfc, as 1 + erf cancels below 0. */
static double slope_of(rondo_function function, double x) {
  if (function.kind != RONDO_GELU) return rondo_reference_apply(function, x).slope;
  return erfc(-x / sqrt(2)) / 2 + x * exp(-x * x / 2) / sqrt(2 * acos(-1));
}

/* The absolute values that add up to the slope. silu, gelu and mish are x times a share that rises from 0 to 1, and
 * their slope is that share plus x times its slope. */
static double slope_terms(const struct slope_row *row, double x, double slope) {
  double share = rondo_reference_apply(row->function, x).value / x;
  switch (row->function.kind) {
    case RONDO_TANH: return 1;
    case RONDO_SCALED_TANH: return fabs((double)row->function.alpha * (double)row->function.beta);
    case RONDO_CELU: return slope * fabs(fmin(x, 0) / (double)row->function.alpha);
    case RONDO_HARD_SILU: return fabs(x) < 3 ? fabs(x) / 3 + 0.5 : 0;
    case RONDO_SILU:
    case RONDO_MISH: return share + fabs(slope - share);
    case RONDO_GELU: /* x * x is rounded before exp takes it */
      share = erfc(-x / sqrt(2)) / 2;
      return share + fabs(slope - share) * (1 + x * x / 8);
    default: return 0;
  }
}

/* Every exponent and both signs. */
static void sweep(const rondo_cpu_training_kernels *kernels, const struct slope_row *row) {
  enum { MANY = 1 << 12 };
  static const uint32_t stride = 40009; /* of bit patterns; a prime */
  float in[MANY], out[MANY];
  double worst = 0;
  uint64_t bits = 0;
  while (bits <= UINT32_MAX) {
    int count = 0;
    for (; count < MANY && bits <= UINT32_MAX; bits += stride) {
      uint32_t pattern = (uint32_t)bits;
      memcpy(&in[count], &pattern, sizeof pattern);
      if (isfinite(in[count]) && fabsf(in[count]) >= FLT_MIN) count++;
    }
    kernels->slopes(row->function, count, in, out);
    for (int i = 0; i < count; i++) {
      double slope = slope_of(row->function, in[i]);
      double bound = u * (row->relative * fabs(slope) + row->of_terms * slope_terms(row, in[i], slope)) + 100 * FLT_MIN;
      if (fabs(slope) > FLT_MAX)
        EXPECT(isinf(out[i]), "slope of %s at %g is %g, not infinite", row->name, (double)in[i], (double)out[i]);
      else
        worst = fmax(worst, cpu_share(out[i], slope, bound));
    }
  }
  EXPECT_RATIO(worst, "slope of %s", row->name);
}

static void slopes(const void *level) {
  const rondo_cpu_training_kernels *kernels = training_kernels(level);
  for (const struct slope_row *row = slope_rows; kernels && row->name; row++) sweep(kernels, row);
}

/* ---- whole calls ------------------------------------------------------------------------------------------------- */

typedef struct gradients {
  test_outputs outputs;
  float *dx, *dparams, *dh_0, *dc_0;
} gradients;

/* Forward and backward of a problem, with random numbers for the gradients by its outputs. */
static int train(test_setup *s, rondo_context *ctx, const problem_data *data, int recompute, gradients *g) {
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1;
  desc.recompute = recompute;
  if (!test_set_up(s, ctx, data, &desc)) return 0;
  const rondo_sizes *sizes = rondo_plan_sizes(s->plan);
  size_t dx = (size_t)data->problem.batch * (size_t)data->problem.timesteps * (size_t)desc.layer.input_size;
  rondo_batch *b = &s->batch;
  b->reserve = buffer_new(ctx, sizes->reserve);
  g->outputs = test_forward(s, b);
  b->dy = cpu_filled(ctx, s->y_count, 10), b->dy_last = cpu_filled(ctx, s->y_last_count, 11);
  b->dx = g->dx = buffer_output(ctx, dx), b->dparams = g->dparams = buffer_new(ctx, sizes->params);
  if (b->h_n) b->dh_n = cpu_filled(ctx, s->state_count, 12), b->dh_0 = g->dh_0 = buffer_output(ctx, s->state_count);
  if (b->c_n) b->dc_n = cpu_filled(ctx, s->state_count, 13), b->dc_0 = g->dc_0 = buffer_output(ctx, s->state_count);
  return EXPECT_OK(rondo_backward(s->plan, ctx, b));
}

static int same(const float *a, const float *b, size_t count) {
  return a ? test_same_bits(a, b, count) : !b;
}

/* The first of two runs has one thread and no recompute, the second one has threads, which the library would not start
 * for so small a problem, or recompute, or both: the same bits. */
static int same_twice(const cpu_level *level, const char *name, int threads, int recompute, test_setup s[2]) {
  const problem_data *data = test_data_named(name);
  gradients g[2] = {{.dx = NULL}};
  for (int i = 0; i < 2; i++) {
    rondo_context *ctx =
        test_context_of(&(rondo_context_desc){.backend = RONDO_CPU, .threads = i ? threads : 1, .max_isa = level->isa});
    if (!ctx) return 0;
    rondo_cpu_state *state = ctx->state;
    state->costs = (rondo_cpu_costs){0};
    if (!train(&s[i], ctx, data, i && recompute, &g[i])) return 0;
  }
  const char *how = recompute ? "with recompute" : "on 3 threads";
  size_t dx = (size_t)data->problem.batch * (size_t)data->problem.timesteps * (size_t)s->plan->desc.layer.input_size;
  EXPECT(test_same_outputs(s, &g[0].outputs, &g[1].outputs), "%s: outputs differ %s", name, how);
  EXPECT(same(g[0].dx, g[1].dx, dx), "%s: dx differs %s", name, how);
  EXPECT(same(g[0].dparams, g[1].dparams, rondo_plan_sizes(s->plan)->params / sizeof(float)), "%s: dparams differ %s",
         name, how);
  EXPECT(same(g[0].dh_0, g[1].dh_0, s->state_count) && same(g[0].dc_0, g[1].dc_0, s->state_count),
         "%s: dh_0 or dc_0 differs %s", name, how);
  return 1;
}

/* Fewer columns and rows than threads, more, and so many that each thread has sequences of its own; ended rows; every
 * phase that an option adds. */
static const char *const names[] = {"lstm:n1t1c1h1",
                                    "lstm:n13t7c5h48:len:h0",
                                    "lstm:n5t3c2h65l2:back",
                                    "lstm:n40t3c3h33:mask=holes:bi=sum",
                                    "lstm:n9t3c3h40:h0:peephole:cellclip=0.5:zoneoutc=0.2",
                                    "lstm:n9t3c3h40:norm:len:proj=7:zoneout=0.1:head=5",
                                    "lstm:n9t3c3h40:len:h0:dropout=0.3",
                                    "lstm:n9t3c9h40l2:bi:mask=holes:h0:norm:peephole:dropout=0.3:rdropout=0.2",
                                    "lstm:n9t3c3h40:len:proj=7:zoneoutc=0.2:rdropout=0.4:act=softsign:oact=gelu",
                                    "gru:n7t3c5h48:mask=holes:norm",
                                    "gru:n9t3c3h40:before:h0",
                                    "gru:n9t3c3h40:before:len:h0:dropout=0.3:rdropout=0.2",
                                    "gru:n9t3c9h40:mask=holes:norm:h0:dropout=0.3:rdropout=0.2:clip=0.5:head=3=gelu",
                                    "lstm:n60t4c3h9:len:h0:norm:peephole:zoneoutc=0.2:dropout=0.3:rdropout=0.2",
                                    "lstm:n60t4c5h12:mask=holes:proj=5:zoneout=0.1:h0:slots:restart:rdropout=0.2",
                                    "gru:n60t4c3h9:before:len:h0:rdropout=0.2",
                                    "gru:n60t4c3h9l2:bi:len:dropout=0.2",
                                    "rnn:n1t4c3h170:h0:clip=0.5",
                                    "rnn:n9t3c3h40:len:h0:zoneout=0.1:dropout=0.3:rdropout=0.2",
                                    "dense:n9t5c3h40:act=softmax",
                                    "dense:n9t5c3h40:act=gelu",
                                    NULL};

static void split(const void *level) {
  test_setup s[2];
  for (const char *const *name = names; *name; name++) same_twice(level, *name, 3, 0, s);
}

/* Bytes of an array in the reserve, whose pieces begin at multiples of RONDO_ALIGNMENT. */
static size_t piece(const problem *p, int columns) {
  size_t bytes = (size_t)p->batch * (size_t)p->timesteps * (size_t)columns * sizeof(float);
  return (bytes + RONDO_ALIGNMENT - 1) / RONDO_ALIGNMENT * RONDO_ALIGNMENT;
}

/* With recompute a layer keeps h, and an LSTM c; without it at least the gates, too. */
static void recompute(const void *level) {
  test_setup s[2];
  for (const char *const *name = names; *name; name++) {
    if (!same_twice(level, *name, 1, 1, s) || !same_twice(level, *name, 3, 1, s)) return;
    const problem *p = &s->data->problem;
    size_t state = p->cell == RONDO_DENSE ? 0 : piece(p, problem_output_size(p));
    if (p->cell == RONDO_LSTM) state += piece(p, p->hidden_size);
    size_t gates = piece(p, problem_gates(p) * p->hidden_size);
    for (int above = 0; above < 2 && above < p->num_layers; above++)
      for (int d = 0; d < s->plan->directions; d++) {
        size_t with = s[1].plan->layer_reserve[above][d], without = s[0].plan->layer_reserve[above][d];
        EXPECT(with == state, "%s: with recompute %zu bytes are kept, not %zu", *name, with, state);
        EXPECT(without >= state + gates, "%s: without recompute %zu bytes are kept, below %zu", *name, without,
               state + gates);
      }
    EXPECT(s[1].plan->head_reserve == 0, "%s: with recompute the head keeps %zu bytes", *name, s[1].plan->head_reserve);
    EXPECT(rondo_plan_sizes(s[1].plan)->reserve < rondo_plan_sizes(s[0].plan)->reserve,
           "%s: the reserve has %zu bytes with recompute, %zu without", *name, rondo_plan_sizes(s[1].plan)->reserve,
           rondo_plan_sizes(s[0].plan)->reserve);
  }
}

const test_suite test_training_cpu = {
    "KernelsCpu", TEST_ONCE,
    (const test_row[]){
        CPU_TEST(products), CPU_TEST(outer), CPU_TEST(slopes), CPU_TEST(split), CPU_TEST(recompute), {0}}};
