/* test_kernels_cuda.c - every kernel of src/kernels/kernels.inc against its _ref twin on the host, through the plain C
 * face that stepwise.c uses. */
#include "compare.h"
#include "harness.h"
#include "internal.h"

#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { RANDOM_X = 1, RANDOM_GATES, RANDOM_BIAS, RANDOM_STATE };

static const rondo_kernel *kernel_named(const rondo_context *ctx, const char *name) {
  for (int i = 0; i < ctx->ops->kernel_count; i++)
    if (!strcmp(ctx->ops->kernels[i].name, name)) return &ctx->ops->kernels[i];
  EXPECT(0, "the backend has no kernel %s", name);
  return NULL;
}

static void launch(rondo_context *ctx, const char *name, const void *args) {
  const rondo_kernel *kernel = kernel_named(ctx, name);
  if (!kernel) return;
  int error = kernel->launch(args, NULL);
  EXPECT(error == 0, "%s: CUDA error %d", name, error);
  EXPECT_OK(rondo_synchronize(ctx));
}

static float *random_floats(size_t count, uint64_t stream, float scale) {
  float *values = test_memory(count * sizeof *values);
  for (size_t i = 0; i < count; i++) values[i] = scale * problem_random(test_seed(), stream, i);
  return values;
}

extern const test_suite test_kernels_cuda;

static int has_row(const char *name) {
  const test_row *row = test_kernels_cuda.rows;
  while (row->name && strcmp(row->name, name) != 0) row++;
  return row->name != NULL;
}

/* Exactly what every kernel of the list is called, that no other exists, and that each has a test of its name here. */
static void list_is_complete(const void *parameter) {
  static const char *const names[] = {
#define RONDO_KERNEL(name) #name,
#include "kernels/kernels.inc"
#undef RONDO_KERNEL
  };
  (void)parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  int count = (int)(sizeof names / sizeof *names);
  EXPECT(ctx->ops->kernel_count == count, "the backend has %d kernels, the list %d", ctx->ops->kernel_count, count);
  for (int i = 0; i < count; i++) {
    kernel_named(ctx, names[i]);
    EXPECT(has_row(names[i]), "this suite has no row %s", names[i]);
  }
}

/* ---- hx_gather --------------------------------------------------------------------------------------------------- */

typedef struct gather_row {
  const char *name;
  int n, t, c, h;
  int gap;      /* floats between rows of x, of hx and of h_0 */
  int shift;    /* floats by which x stands beside an aligned address */
  int with_h;   /* 0: no, 1: zeros, 2: h_0 */
  int reversed; /* x_timestep is negative */
} gather_row;

static const gather_row gather_rows[] = {
    {"one", 1, 1, 1, 1, 0, 0, 2, 0},
    {"fours", 3, 5, 8, 12, 0, 0, 2, 0},
    {"fours_gap", 3, 5, 8, 12, 4, 0, 2, 0},
    {"fours_zeros", 3, 5, 12, 8, 0, 0, 1, 0},
    {"fours_without_h", 3, 5, 8, 4, 0, 0, 0, 0},
    {"fours_reversed", 2, 7, 8, 4, 0, 0, 2, 1},
    {"fours_but_shifted", 3, 5, 8, 12, 0, 1, 2, 0},
    {"fours_but_odd_gap", 3, 5, 8, 12, 1, 0, 2, 0},
    {"odd_c", 4, 3, 7, 8, 0, 0, 2, 0},
    {"odd_h", 4, 3, 8, 9, 3, 0, 2, 0},
    {"odd_zeros", 2, 3, 3, 5, 2, 3, 1, 1},
    {"wide", 2, 2, 520, 4, 0, 0, 2, 0},     /* more groups of four than a block has threads */
    {"wide_odd", 2, 2, 3, 261, 1, 0, 2, 0}, /* more columns */
    {"tall", 300, 2, 2, 1, 0, 0, 2, 0},     /* more rows than one block takes */
    {"long", 1, 65600, 1, 1, 0, 0, 2, 0},   /* more timesteps than a grid's z */
    {0},
};

static void hx_gather(const void *parameter) {
  const gather_row *r = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  ptrdiff_t x_row = r->c + r->gap, hx_row = (r->h + r->c + 3) / 4 * 4 + r->gap, h_row = r->h + r->gap;
  size_t rows = (size_t)r->n * (size_t)r->t;
  size_t x_count = rows * (size_t)x_row + (size_t)r->shift, hx_count = rows * (size_t)hx_row;
  size_t h_count = (size_t)(r->n * h_row);
  float *x = random_floats(x_count, RANDOM_X, 1), *h_0 = random_floats(h_count, RANDOM_STATE, 1);
  float *hx = buffer_floats(ctx, hx_count), *x_there = buffer_floats(ctx, x_count),
        *h_there = buffer_floats(ctx, h_count);
  if (!hx || !x_there || !h_there) return;
  buffer_poison(ctx, hx, hx_count);
  buffer_write(ctx, x_there, x, x_count * sizeof *x);
  buffer_write(ctx, h_there, h_0, h_count * sizeof *h_0);
  ptrdiff_t step = r->n * x_row, first = r->shift + (r->reversed ? (r->t - 1) * step : 0);
  rondo_hx_gather_args args = {.batch = r->n,
                               .timesteps = r->t,
                               .input_size = r->c,
                               .hidden_size = r->h,
                               .x = x_there + first,
                               .x_sequence = x_row,
                               .x_timestep = r->reversed ? -step : step,
                               .hx = hx,
                               .hx_row = hx_row,
                               .with_h = r->with_h != 0,
                               .h_0 = {r->with_h == 2 ? h_there : NULL, h_row}};
  float *expected = buffer_download(ctx, NULL, hx, hx_count); /* poison, so that what stays untouched is compared too */
  launch(ctx, "hx_gather", &args);
  float *got = buffer_download(ctx, NULL, hx, hx_count);
  args.x = x + first;
  args.hx = expected;
  if (args.h_0.at) args.h_0.at = h_0;
  rondo_hx_gather_ref(&args);
  EXPECT(test_same_bits(got, expected, hx_count), "hx differs from its twin's, or was written outside its columns");
}

/* ---- lstm_cell_forward ------------------------------------------------------------------------------------------- */

typedef struct cell_row {
  const char *name;
  int n, h, gap; /* gap: floats between rows of everything but gates */
  int shift;     /* floats by which the outputs stand beside an aligned address */
  float scale;   /* of the gate sums */
  int zero_c;    /* c_in NULL */
  int in_place;  /* c_out is c_in */
  int outputs;   /* bits: c_out, h_next, y, y_last, h_n */
} cell_row;

enum { OUTPUTS = 5, ALL = 31 };

static const cell_row cell_rows[] = {
    {"one", 1, 1, 0, 0, 4, 0, 0, ALL},
    {"fours", 3, 8, 0, 0, 4, 0, 0, ALL},
    {"fours_gap", 5, 12, 8, 0, 4, 0, 0, ALL},
    {"fours_in_place", 3, 16, 0, 0, 4, 0, 1, ALL},
    {"fours_zero_c", 3, 8, 0, 0, 4, 1, 0, ALL},
    {"fours_but_shifted", 3, 8, 0, 1, 4, 0, 0, ALL},
    {"fours_but_odd_gap", 3, 8, 3, 0, 4, 0, 1, ALL},
    {"odd", 4, 7, 0, 0, 4, 0, 0, ALL},
    {"odd_in_place", 4, 9, 2, 2, 4, 0, 1, ALL},
    {"tiny", 3, 8, 0, 0, 1e-5f, 0, 0, ALL},
    {"saturated", 3, 33, 0, 0, 200, 0, 0, ALL},
    {"wide", 2, 520, 0, 0, 4, 0, 0, ALL},
    {"wide_odd", 2, 261, 1, 0, 4, 0, 0, ALL},
    {"tall", 300, 3, 0, 0, 4, 0, 0, ALL},
    {"c_only", 3, 8, 0, 0, 4, 0, 0, 1},
    {"h_next_only", 3, 8, 4, 0, 4, 0, 0, 2},
    {"y_only", 3, 5, 0, 0, 4, 0, 0, 4},
    {"y_last_only", 3, 8, 0, 0, 4, 0, 0, 8},
    {"h_n_only", 3, 8, 0, 0, 4, 0, 0, 16},
    {"nothing", 3, 8, 0, 0, 4, 0, 0, 0},
    {0},
};

/* A value in double and the bound of what float may differ from it. */
typedef struct near {
  double value, error;
} near;

/* Roundings, in units of 2^-24 of the value: what device.cuh states for sigmoid (3 ulp, an ulp is at most two), and
 * CUDA for tanhf (2 ulp). The sum of the argument adds one rounding of it, through the slope; where that is small next
 * to the value (a tail of the sigmoid) the slope is the value itself. */
static const double unit = 0x1p-24;

static near sigmoid_near(double a, double a_error) {
  double s = 1 / (1 + exp(-a));
  return (near){s, s * (expm1(a_error) + 6 * unit) + 0x1p-126};
}

static near tanh_near(double a, double a_error) {
  double slope = a_error < fabs(a) ? 1 - pow(tanh(fabs(a) - a_error), 2) : 1;
  return (near){tanh(a), slope * a_error + 4 * unit * fabs(tanh(a)) + 0x1p-126};
}

static near times(near a, near b) {
  double most = (fabs(a.value) + a.error) * (fabs(b.value) + b.error);
  return (near){a.value * b.value, most - fabs(a.value * b.value) + unit * most + 0x1p-126};
}

static void cell_near(const rondo_lstm_cell_forward_args *args, ptrdiff_t n, ptrdiff_t j, near *c, near *h) {
  near gate[4];
  ptrdiff_t H = args->hidden_size;
  for (int l = 0; l < 4; l++) {
    double a = (double)args->gates[(n * 4 + l) * H + j] + args->bias[l * H + j];
    gate[l] = l == 2 ? tanh_near(a, unit * fabs(a)) : sigmoid_near(a, unit * fabs(a));
  }
  near c_in = {args->c_in.at ? args->c_in.at[n * args->c_in.stride + j] : 0.0, 0};
  near kept = times(gate[1], c_in), added = times(gate[0], gate[2]);
  c->value = kept.value + added.value;
  c->error = kept.error + added.error + unit * (fabs(c->value) + kept.error + added.error);
  *h = times(gate[3], tanh_near(c->value, c->error));
}

/* Everything of one launch: host arrays, and their copies on the device. */
typedef struct cell_case {
  rondo_lstm_cell_forward_args here, there;
  size_t count, gates_count, bias_count; /* count: of each array of rows */
  float *outputs_here[OUTPUTS], *outputs_there[OUTPUTS];
} cell_case;

static rondo_rows *output(rondo_lstm_cell_forward_args *args, int i) {
  rondo_rows *outputs[OUTPUTS] = {&args->c_out, &args->h_next, &args->y, &args->y_last, &args->h_n};
  return outputs[i];
}

static int cell_inputs(rondo_context *ctx, const cell_row *r, cell_case *c) {
  ptrdiff_t stride = r->h + r->gap;
  c->count = (size_t)(r->n * stride + r->shift);
  c->gates_count = (size_t)(r->n * 4 * r->h);
  c->bias_count = (size_t)(4 * r->h);
  float *gates = random_floats(c->gates_count, RANDOM_GATES, r->scale);
  float *bias = random_floats(c->bias_count, RANDOM_BIAS, r->scale / 4),
        *state = random_floats(c->count, RANDOM_STATE, 2);
  float *gates_there = buffer_floats(ctx, c->gates_count), *bias_there = buffer_floats(ctx, c->bias_count);
  float *state_there = buffer_floats(ctx, c->count);
  if (!gates_there || !bias_there || !state_there) return 0;
  buffer_write(ctx, gates_there, gates, c->gates_count * sizeof *gates);
  buffer_write(ctx, bias_there, bias, c->bias_count * sizeof *bias);
  buffer_write(ctx, state_there, state, c->count * sizeof *state);
  c->here = (rondo_lstm_cell_forward_args){.batch = r->n,
                                           .hidden_size = r->h,
                                           .gates = gates,
                                           .bias = bias,
                                           .c_in = {r->zero_c ? NULL : state + r->shift, stride}};
  c->there = (rondo_lstm_cell_forward_args){.batch = r->n,
                                            .hidden_size = r->h,
                                            .gates = gates_there,
                                            .bias = bias_there,
                                            .c_in = {r->zero_c ? NULL : state_there + r->shift, stride}};
  c->outputs_there[0] = r->in_place ? state_there : NULL;
  return 1;
}

static int cell_outputs(rondo_context *ctx, const cell_row *r, cell_case *c) {
  for (int i = 0; i < OUTPUTS; i++) {
    if (!c->outputs_there[i]) {
      c->outputs_there[i] = buffer_floats(ctx, c->count);
      if (!c->outputs_there[i]) return 0;
      buffer_poison(ctx, c->outputs_there[i], c->count);
    }
    c->outputs_here[i] = buffer_download(ctx, NULL, c->outputs_there[i], c->count);
    if (r->outputs >> i & 1) *output(&c->there, i) = (rondo_rows){c->outputs_there[i] + r->shift, r->h + r->gap};
    if (r->outputs >> i & 1) *output(&c->here, i) = (rondo_rows){c->outputs_here[i] + r->shift, r->h + r->gap};
  }
  return 1;
}

/* Gaps and unwanted outputs keep every bit; the rest is within its bound. */
static void compare_cell(const cell_row *r, const cell_case *c, int i, const float *got) {
  const float *expected = c->outputs_here[i];
  ptrdiff_t stride = r->h + r->gap;
  double worst = 0;
  for (size_t k = 0; k < c->count; k++) {
    ptrdiff_t at = (ptrdiff_t)k - r->shift, n = at / stride, j = at % stride;
    if (at < 0 || j >= r->h || !(r->outputs >> i & 1)) {
      if (!EXPECT(test_same_bits(got + k, expected + k, 1), "output %d was written outside its rows, at %zu", i, k))
        return;
      continue;
    }
    near cell, h;
    cell_near(&c->here, n, j, &cell, &h);
    double bound = i == 0 ? cell.error : h.error, error = fabs((double)got[k] - expected[k]);
    bound += unit * fabs((double)expected[k]) + 0x1p-149; /* the twin's own rounding to float */
    worst = compare_worst(worst, error / bound);
  }
  EXPECT_RATIO(worst, "output %d of the cell", i);
}

static void lstm_cell_forward(const void *parameter) {
  const cell_row *r = parameter;
  rondo_context *ctx = test_context();
  cell_case c = {0};
  if (!ctx || !cell_inputs(ctx, r, &c) || !cell_outputs(ctx, r, &c)) return;
  launch(ctx, "lstm_cell_forward", &c.there);
  rondo_lstm_cell_forward_ref(&c.here);
  for (int i = 0; i < OUTPUTS; i++) compare_cell(r, &c, i, buffer_download(ctx, NULL, c.outputs_there[i], c.count));
}

/* Sums that float's functions must get exactly, and that a NaN or an infinity stays in its unit. */
static void lstm_cell_forward_special(const void *parameter) {
  enum { H = 8, N = 2 };
  (void)parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  float gates[N][4][H], bias[4][H] = {{0}}, c_in[N][H], c[N][H], h[N][H];
  for (int n = 0; n < N; n++)
    for (int j = 0; j < H; j++) {
      for (int l = 0; l < 4; l++) gates[n][l][j] = 0;
      c_in[n][j] = 1;
    }
  gates[0][0][1] = NAN;
  gates[0][1][2] = INFINITY;  /* f = 1: c is kept, i * g adds nothing */
  gates[0][1][3] = -INFINITY; /* f = 0: c is forgotten */
  gates[0][2][4] = INFINITY;  /* g = 1, i = 1/2 */
  gates[0][3][5] = -INFINITY; /* o = 0 */
  gates[0][3][6] = -1000;     /* o = 0 too: exp overflows */
  c_in[0][7] = INFINITY;
  float *gates_there = buffer_floats(ctx, N * 4 * H), *bias_there = buffer_floats(ctx, 4 * H);
  float *c_there = buffer_floats(ctx, N * H), *h_there = buffer_floats(ctx, N * H);
  if (!gates_there || !bias_there || !c_there || !h_there) return;
  buffer_write(ctx, gates_there, gates, sizeof gates);
  buffer_write(ctx, bias_there, bias, sizeof bias);
  buffer_write(ctx, c_there, c_in, sizeof c_in);
  launch(ctx, "lstm_cell_forward",
         &(rondo_lstm_cell_forward_args){.batch = N,
                                         .hidden_size = H,
                                         .gates = gates_there,
                                         .bias = bias_there,
                                         .c_in = {c_there, H},
                                         .c_out = {c_there, H},
                                         .y = {h_there, H}});
  buffer_download(ctx, c[0], c_there, N * H);
  buffer_download(ctx, h[0], h_there, N * H);
  const float expected[H] = {0.5f, NAN, 1, 0, 1, 0.5f, 0.5f, INFINITY};
  for (int j = 0; j < H; j++) {
    EXPECT(isnan(expected[j]) ? isnan(c[0][j]) : c[0][j] == expected[j], "c of unit %d is %g", j, (double)c[0][j]);
    EXPECT(isnan(h[0][j]) == (j == 1), "h of unit %d is %g", j, (double)h[0][j]);
    EXPECT(c[1][j] == 0.5f && h[1][j] == h[0][0], "the other row's c and h are %g and %g", (double)c[1][j],
           (double)h[1][j]);
  }
  EXPECT(h[0][5] == 0 && h[0][6] == 0, "h of closed gates is %g and %g", (double)h[0][5], (double)h[0][6]);
  EXPECT(h[0][7] == 0.5f, "h of infinite c is %g", (double)h[0][7]);
}

const test_suite test_kernels_cuda = {
    "KernelsCuda",
    TEST_CUDA,
    (const test_row[]){{"list_is_complete", list_is_complete, NULL, 0},
                       {"hx_gather", hx_gather, TEST_TABLE(gather_rows)},
                       {"lstm_cell_forward", lstm_cell_forward, TEST_TABLE(cell_rows)},
                       {"lstm_cell_forward_special", lstm_cell_forward_special, NULL, 0},
                       {0}},
};
