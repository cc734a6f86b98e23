/* test_kernels_cuda.c - every kernel of src/kernels/kernels.inc against its _ref twin on the host, through the plain C
 * face that the backend uses. Here the rows and Dense; the cells in test_kernels_cuda_cells.c. */
#include "half.h"
#include "kernels_cuda.h"

#include <math.h>
#include <string.h>

/* ---- Tools ------------------------------------------------------------------------------------------------------- */

static const rondo_kernel *kernel_named(const rondo_context *ctx, const char *name) {
  for (int i = 0; i < ctx->ops->kernel_count; i++)
    if (!strcmp(ctx->ops->kernels[i].name, name)) return &ctx->ops->kernels[i];
  EXPECT(0, "the backend has no kernel %s", name);
  return NULL;
}

void kernel_launch(rondo_context *ctx, const char *name, const void *args) {
  const rondo_kernel *kernel = kernel_named(ctx, name);
  if (!kernel) return;
  int error = kernel->launch(args, NULL);
  EXPECT(error == 0, "%s: CUDA error %d", name, error);
  EXPECT_OK(rondo_synchronize(ctx));
}

kernel_array kernel_random(rondo_context *ctx, size_t count, uint64_t stream, float scale) {
  kernel_array a = {test_memory((count + 1) * sizeof(float)), buffer_floats(ctx, count), count};
  for (size_t i = 0; i < count; i++) a.here[i] = scale * problem_random(test_seed(), stream, i);
  if (a.there) buffer_write(ctx, a.there, a.here, count * sizeof(float));
  return a;
}

kernel_array kernel_poison(rondo_context *ctx, size_t count) {
  kernel_array a = {NULL, buffer_floats(ctx, count), count};
  if (!a.there) return a;
  buffer_poison(ctx, a.there, count);
  a.here = kernel_download(ctx, a);
  return a;
}

float *kernel_download(rondo_context *ctx, kernel_array array) {
  return buffer_download(ctx, NULL, array.there, array.count);
}

kernel_array kernel_poison_of(rondo_context *ctx, rondo_dtype type, size_t count) {
  return kernel_poison(ctx, type == RONDO_F32 ? count : (count + 1) / 2);
}

float *kernel_numbers(rondo_dtype type, const float *packed, size_t count) {
  float *to = test_memory((count + 1) * sizeof *to);
  if (type == RONDO_F32) return memcpy(to, packed, count * sizeof *to);
  for (size_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, (const unsigned char *)packed + i * sizeof half, sizeof half);
    to[i] = rondo_from_half(type, half);
  }
  return to;
}

/* Half of the distance of two numbers of 24, 11 or 8 bits; of F16 not below that of its subnormal numbers, 2^-24. */
double kernel_rounding(rondo_dtype type, double value) {
  static const double units[] = {[RONDO_F32] = 0x1p-24, [RONDO_F16] = 0x1p-11, [RONDO_BF16] = 0x1p-8};
  return fmax(fabs(value) * units[type] / (1 - units[type]), type == RONDO_F16 ? 0x1p-25 : 0x1p-134);
}

/* Host bytes on the device. */
static void *upload(rondo_context *ctx, const void *host, size_t bytes) {
  void *there = buffer_new(ctx, bytes);
  if (there) buffer_write(ctx, there, host, bytes);
  return there;
}

/* The steps of row r, the longest first: T, T, T - 1, ..., and 0 for the last one. */
static int steps_of(int r, int batch, int timesteps) {
  int steps = r == 0 || r < batch - 1 ? timesteps - r / 2 : 0;
  return steps < 0 ? 0 : steps;
}

kernel_rows kernel_rows_make(rondo_context *ctx, kernel_rows_kind kind, int batch, int timesteps, int step) {
  kernel_rows rows = {.batch = batch, .states = batch};
  rows.here = rows.there = (rondo_step){.rows = batch, .step = step, .timesteps = timesteps};
  if (kind == ROWS_FULL) return rows;
  size_t n = (size_t)batch, t = (size_t)timesteps;
  rondo_row *row = test_memory(n * sizeof *row);
  int32_t *position = test_memory(n * t * sizeof *position);
  rows.states = 2 * batch + 1;
  rows.here.rows = 0;
  for (int r = 0; r < batch; r++) {
    int state = 2 * ((r + 1) % batch) + 1, count = steps_of(r, batch, timesteps), free = timesteps - count;
    row[r] = (rondo_row){batch - 1 - r, r % 3 == 1 ? ~state : state, count, r % 2 ? free : free / 2};
    rows.here.rows += count > step;
    for (int p = 0, s = 0; s < count; p++) /* free of them are left out, here and there */
      if ((p + r) % 2 || p - s >= free) position[(size_t)r * t + (size_t)s++] = p;
  }
  rows.there.rows = rows.here.rows;
  rows.here.row = row;
  rows.there.row = upload(ctx, row, n * sizeof *row);
  if (kind != ROWS_MASK) return rows;
  rows.here.position = position;
  rows.there.position = upload(ctx, position, n * t * sizeof *position);
  return rows;
}

/* Exactly what every kernel of the list is called, and that no other exists. */
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
  for (int i = 0; i < count; i++) kernel_named(ctx, names[i]);
}

/* ---- words_upload, mask_positions -------------------------------------------------------------------------------- */

/* Around the sizes of its kernels' parameters; nothing beside the words is written, and they may go at once. */
static void words_upload(const void *parameter) {
  (void)parameter;
  static const int counts[] = {1, 128, 239, 240, 241, 999, 1000, 1001, RONDO_MOST_WORDS - 1, RONDO_MOST_WORDS};
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array to = kernel_poison(ctx, RONDO_MOST_WORDS + 8);
  kernel_array words = kernel_random(ctx, RONDO_MOST_WORDS, RANDOM_X, 1);
  if (!to.there || !words.there) return;
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    uint32_t *copy = test_memory((size_t)counts[i] * sizeof *copy);
    rondo_words_upload_args args = {(uint32_t *)(void *)(to.there + 4), copy, counts[i]};
    buffer_poison(ctx, to.there, to.count);
    memcpy(copy, words.here, (size_t)counts[i] * sizeof *copy);
    const rondo_kernel *kernel = kernel_named(ctx, "words_upload");
    EXPECT(kernel && kernel->launch(&args, NULL) == 0, "%d words are not uploaded", counts[i]);
    memset(copy, 0, (size_t)counts[i] * sizeof *copy);
    float *expected = test_memory(to.count * sizeof *expected), *got = kernel_download(ctx, to);
    memcpy(expected, to.here, to.count * sizeof *expected);
    args.to = (uint32_t *)(void *)(expected + 4), args.words = (const uint32_t *)(const void *)words.here;
    rondo_words_upload_ref(&args);
    EXPECT(test_same_bits(expected, got, to.count), "%d words came otherwise", counts[i]);
  }
}

typedef struct mask_row {
  const char *name;
  int n, t, density; /* of 16 positions so many are set */
} mask_row;

static const mask_row mask_rows[] = {{"one", 1, 1, 16},     {"word", 3, 32, 8},   {"more", 5, 33, 8},
                                     {"less", 4, 31, 8},    {"none", 5, 40, 0},   {"all", 5, 70, 16},
                                     {"long", 2, 1000, 13}, {"tall", 130, 37, 3}, {0}};

static void mask_positions(const void *parameter) {
  const mask_row *m = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  size_t words = (size_t)(m->t + 31) / 32, count = (size_t)m->n * (size_t)m->t;
  uint32_t *bits = test_memory((size_t)m->n * words * sizeof *bits);
  for (size_t i = 0; i < count; i++) {
    size_t r = i / (size_t)m->t, p = i % (size_t)m->t;
    int set = (problem_random(test_seed(), RANDOM_X, i) + 1) * 8 < (float)m->density;
    bits[r * words + p / 32] |= (uint32_t)set << p % 32;
  }
  kernel_array to = kernel_poison(ctx, count);
  rondo_mask_positions_args args = {m->n, m->t, upload(ctx, bits, (size_t)m->n * words * sizeof *bits),
                                    (int32_t *)(void *)to.there};
  if (!to.there || !args.bits) return;
  kernel_launch(ctx, "mask_positions", &args);
  args.bits = bits, args.position = (int32_t *)(void *)to.here;
  rondo_mask_positions_ref(&args);
  EXPECT(test_same_bits(to.here, kernel_download(ctx, to), count), "positions differ from the twin's");
}

/* ---- hx_gather --------------------------------------------------------------------------------------------------- */

typedef struct gather_row {
  const char *name;
  int n, t, c, h;
  int gap;      /* floats between rows of x, of hx and of h_0 */
  int shift;    /* floats by which x stands beside an aligned address */
  int with_h;   /* 0: no, 1: zeros, 2: h_0 */
  int reversed; /* x_timestep is negative */
  kernel_rows_kind kind;
  int step;         /* the first of the steps */
  rondo_dtype type; /* of hx */
  int float_h;      /* h is wanted, too */
} gather_row;

static const gather_row gather_rows[] = {
    {"one", 1, 1, 1, 1, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"fours", 3, 5, 8, 12, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"fours_gap", 3, 5, 8, 12, 4, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"fours_zeros", 3, 5, 12, 8, 0, 0, 1, 0, ROWS_FULL, 0, 0, 0},
    {"fours_later", 3, 5, 8, 4, 0, 0, 0, 0, ROWS_FULL, 2, 0, 0},
    {"fours_reversed", 2, 7, 8, 4, 0, 0, 2, 1, ROWS_FULL, 0, 0, 0},
    {"fours_but_shifted", 3, 5, 8, 12, 0, 1, 2, 0, ROWS_FULL, 0, 0, 0},
    {"fours_but_odd_gap", 3, 5, 8, 12, 1, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"fours_first", 7, 5, 8, 4, 0, 0, 2, 0, ROWS_FIRST, 0, 0, 0},
    {"fours_mask", 7, 5, 8, 4, 4, 0, 2, 1, ROWS_MASK, 0, 0, 0},
    {"mask_later", 7, 5, 8, 4, 0, 0, 0, 0, ROWS_MASK, 2, 0, 0},
    {"odd_c", 4, 3, 7, 8, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"odd_h", 4, 3, 8, 9, 3, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"odd_zeros", 2, 3, 3, 5, 2, 3, 1, 1, ROWS_FULL, 0, 0, 0},
    {"odd_first", 9, 4, 3, 5, 2, 3, 2, 1, ROWS_FIRST, 0, 0, 0},
    {"odd_mask", 9, 4, 3, 5, 2, 0, 2, 0, ROWS_MASK, 0, 0, 0},
    {"mask_zeros", 9, 4, 3, 5, 2, 0, 1, 0, ROWS_MASK, 0, 0, 0},
    {"without_h", 3, 4, 5, 0, 0, 0, 0, 0, ROWS_FULL, 0, 0, 0},
    {"without_x", 3, 1, 0, 5, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},
    {"without_x_fours_mask", 7, 5, 0, 8, 0, 0, 2, 0, ROWS_MASK, 0, 0, 0},
    {"f16_without_x", 7, 5, 0, 8, 0, 0, 2, 0, ROWS_FIRST, 0, RONDO_F16, 1},
    {"wide", 2, 2, 520, 4, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},     /* more groups of four than a block has threads */
    {"wide_odd", 2, 2, 3, 261, 1, 0, 2, 0, ROWS_FULL, 0, 0, 0}, /* more columns */
    {"tall", 300, 2, 2, 1, 0, 0, 2, 0, ROWS_MASK, 0, 0, 0},     /* more rows than one block takes */
    {"long", 1, 65600, 1, 1, 0, 0, 2, 0, ROWS_FULL, 0, 0, 0},   /* more timesteps than a grid's z */
    {"f16_fours", 3, 5, 8, 12, 4, 0, 2, 0, ROWS_FULL, 0, RONDO_F16, 0},
    {"f16_fours_mask", 7, 5, 8, 4, 0, 0, 2, 1, ROWS_MASK, 0, RONDO_F16, 1},
    {"f16_odd_first", 9, 4, 3, 5, 2, 3, 2, 1, ROWS_FIRST, 0, RONDO_F16, 1},
    {"f16_without_h", 3, 4, 5, 0, 0, 0, 0, 0, ROWS_FULL, 0, RONDO_F16, 0},
    {"bf16_fours_zeros", 3, 5, 12, 8, 0, 0, 1, 0, ROWS_FULL, 0, RONDO_BF16, 1},
    {"bf16_fours_but_shifted", 3, 5, 8, 12, 0, 1, 2, 0, ROWS_FULL, 0, RONDO_BF16, 1},
    {"bf16_odd_mask", 9, 4, 3, 5, 2, 0, 2, 0, ROWS_MASK, 0, RONDO_BF16, 0},
    {"bf16_mask_later", 7, 5, 8, 4, 0, 0, 0, 0, ROWS_MASK, 2, RONDO_BF16, 0},
    {"f32_with_h", 4, 3, 8, 12, 0, 0, 2, 0, ROWS_FULL, 0, RONDO_F32, 1},
    {0},
};

static void hx_gather(const void *parameter) {
  const gather_row *g = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, g->kind, g->n, g->t, g->step);
  ptrdiff_t x_row = g->c + g->gap, hx_row = (g->h + g->c + 7) / 8 * 8 + g->gap, h_row = g->h + g->gap;
  size_t all = (size_t)g->n * (size_t)g->t;
  kernel_array x = kernel_random(ctx, all * (size_t)x_row + (size_t)g->shift, RANDOM_X, 1);
  kernel_array h_0 = kernel_random(ctx, (size_t)(rows.states * h_row) + 1, RANDOM_STATE, 1);
  kernel_array hx = kernel_poison_of(ctx, g->type, (size_t)(g->n * (g->t - g->step) * hx_row));
  kernel_array h = kernel_poison(ctx, (size_t)(g->n * g->h) + 1);
  if (!x.there || !h_0.there || !hx.there || !h.there) return;
  ptrdiff_t step = g->n * x_row, first = g->shift + (g->reversed ? (g->t - 1) * step : 0);
  rondo_hx_gather_args args = {.step = rows.there,
                               .steps = g->t - g->step,
                               .input_size = g->c,
                               .output_size = g->h,
                               .batch = g->n,
                               .x = x.there + first,
                               .x_sequence = x_row,
                               .x_timestep = g->reversed ? -step : step,
                               .type = g->type,
                               .hx = hx.there,
                               .hx_row = hx_row,
                               .with_h = g->with_h != 0,
                               .h_0 = {g->with_h == 2 ? h_0.there : NULL, h_row},
                               .h = g->float_h ? h.there : NULL};
  kernel_launch(ctx, "hx_gather", &args);
  args.step = rows.here, args.x = x.here + first, args.hx = hx.here;
  if (args.h_0.at) args.h_0.at = h_0.here;
  if (args.h) args.h = h.here;
  rondo_hx_gather_ref(&args);
  EXPECT(test_same_bits(kernel_download(ctx, h), h.here, h.count), "h differs from its twin's, or was not wanted");
  EXPECT(test_same_bits(kernel_download(ctx, hx), hx.here, hx.count),
         "hx differs from its twin's, or was written outside its columns");
}

typedef struct rounding_row {
  const char *name;
  rondo_dtype type;
} rounding_row;

static const rounding_row rounding_rows[] = {{"f16", RONDO_F16}, {"bf16", RONDO_BF16}, {0}};

/* To so many bits behind the first. */
static float cut(float v, int bits) {
  float last = ldexpf(1, ilogbf(v) - bits);
  return rintf(v / last) * last;
}

/* Numbers of every size and their neighbours: ties, overflow, subnormal numbers, infinities; and NaN stays NaN. */
static void rounding(const void *parameter) {
  const rondo_dtype type = ((const rounding_row *)parameter)->type;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  enum { COUNT = 4096, SPECIAL = 16 };
  static const float special[SPECIAL] = {0,         -0.0f,     65504,     65519.99f,  65520,           -65520,
                                         1e30f,     0x1p-24f,  0x1p-25f,  0x1.8p-25f, 0x1.fffffep127f, -INFINITY,
                                         0x1p-126f, 0x1p-133f, 0x1p-134f, INFINITY};
  kernel_array x = kernel_random(ctx, COUNT, RANDOM_X, 1), hx = kernel_poison_of(ctx, type, COUNT);
  if (!x.there || !hx.there) return;
  for (int i = 0; i < COUNT - 1; i++) { /* of so many bits, one more than the type keeps, and one of all */
    float whole = ldexpf(x.here[i], i % 270 - 150);
    x.here[i] = i < SPECIAL ? special[i] : i % 2 && isnormal(whole) ? cut(whole, type == RONDO_F16 ? 11 : 8) : whole;
  }
  x.here[COUNT - 1] = NAN;
  buffer_write(ctx, x.there, x.here, COUNT * sizeof(float));
  rondo_hx_gather_args args = {.step = {.rows = 1, .timesteps = 1}, .steps = 1, .input_size = COUNT, .batch = 1};
  args.type = type, args.x = x.there, args.hx = hx.there, args.hx_row = COUNT;
  kernel_launch(ctx, "hx_gather", &args);
  args.x = x.here, args.hx = hx.here;
  rondo_hx_gather_ref(&args);
  float *got = kernel_numbers(type, kernel_download(ctx, hx), COUNT), *twin = kernel_numbers(type, hx.here, COUNT);
  for (int i = 0; i < COUNT - 1; i++)
    EXPECT(test_same_bits(&got[i], &twin[i], 1), "%a became %a instead of %a", x.here[i], got[i], twin[i]);
  EXPECT(isnan(got[COUNT - 1]) && isnan(twin[COUNT - 1]), "NaN became %a, the twin's %a", got[COUNT - 1],
         twin[COUNT - 1]);
}

/* ---- rows_fill, rows_idle ---------------------------------------------------------------------------------------- */

typedef struct rest_row {
  const char *name;
  kernel_rows_kind kind;
  int n, t, o, gap, zero, reversed;
  rondo_merge merge;
} rest_row;

static const rest_row rest_rows[] = {{"fours_first", ROWS_FIRST, 7, 5, 8, 0, 0, 0, RONDO_CONCAT},
                                     {"fours_mask", ROWS_MASK, 7, 5, 8, 4, 0, 1, RONDO_CONCAT},
                                     {"odd_first", ROWS_FIRST, 9, 4, 5, 0, 0, 1, RONDO_CONCAT},
                                     {"odd_mask", ROWS_MASK, 9, 6, 5, 2, 0, 0, RONDO_CONCAT},
                                     {"zero", ROWS_MASK, 9, 6, 5, 0, 1, 0, RONDO_CONCAT},
                                     {"sum", ROWS_MASK, 9, 6, 5, 0, 1, 0, RONDO_SUM},
                                     {"mul", ROWS_FIRST, 9, 6, 4, 0, 1, 1, RONDO_MUL},
                                     {"ave", ROWS_MASK, 9, 6, 5, 0, 1, 0, RONDO_AVE},
                                     {"idle", ROWS_MASK, 3, 1, 4, 0, 0, 0, RONDO_CONCAT},
                                     {"wide", ROWS_MASK, 5, 4, 600, 0, 0, 0, RONDO_CONCAT},
                                     {"tall", ROWS_FIRST, 300, 3, 3, 0, 0, 0, RONDO_CONCAT},
                                     {0}};

static void rows_fill(const void *parameter) {
  const rest_row *f = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, f->kind, f->n, f->t, 0);
  ptrdiff_t row = f->o + f->gap, first = f->reversed ? (f->t - 1) * row : 0;
  kernel_array y = kernel_random(ctx, (size_t)(f->n * f->t * row), RANDOM_OLD, 1);
  if (!y.there) return;
  rondo_rows_fill_args args = {.step = rows.there,
                               .most = f->t,
                               .output_size = f->o,
                               .zero = f->zero,
                               .y = y.there + first,
                               .y_sequence = f->t * row,
                               .y_timestep = f->reversed ? -row : row,
                               .merge = f->merge};
  args.step.rows = f->n;
  kernel_launch(ctx, "rows_fill", &args);
  args.step = rows.here, args.step.rows = f->n, args.y = y.here + first;
  rondo_rows_fill_ref(&args);
  EXPECT(test_same_bits(kernel_download(ctx, y), y.here, y.count), "y differs from the twin's");
}

/* h_0 and c_0 given and not, in place and not. */
static void rows_idle(const void *parameter) {
  const rest_row *f = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, f->kind, f->n, f->t, 0);
  ptrdiff_t row = f->o + 1 + f->gap;
  for (int in_place = 0; in_place < 2; in_place++) {
    kernel_array h_0 = kernel_random(ctx, (size_t)(rows.states * row), RANDOM_STATE, 1);
    kernel_array h_n = kernel_random(ctx, h_0.count, RANDOM_OLD, 1), c_n = kernel_random(ctx, h_0.count, RANDOM_H, 1);
    kernel_array y_last = kernel_random(ctx, (size_t)(f->n * row), RANDOM_OLD, 1);
    if (!h_0.there || !h_n.there || !c_n.there || !y_last.there) return;
    if (in_place) h_n = h_0;
    rondo_rows_idle_args args = {
        rows.there.row,   rows.there.rows,  f->n - rows.there.rows, f->o,    f->o + 1, {h_0.there, row}, {NULL, row},
        {h_n.there, row}, {c_n.there, row}, {y_last.there, row},    f->merge};
    EXPECT(args.rows > 0, "no row is without a step");
    kernel_launch(ctx, "rows_idle", &args);
    args.row = rows.here.row;
    args.h_0.at = h_0.here, args.h_n.at = h_n.here, args.c_n.at = c_n.here, args.y_last.at = y_last.here;
    rondo_rows_idle_ref(&args);
    EXPECT(test_same_bits(kernel_download(ctx, h_n), h_n.here, h_n.count), "h_n differs from the twin's");
    EXPECT(test_same_bits(kernel_download(ctx, c_n), c_n.here, c_n.count), "c_n differs from the twin's");
    EXPECT(test_same_bits(kernel_download(ctx, y_last), y_last.here, y_last.count), "y_last differs from the twin's");
  }
}

/* ---- dense_forward ----------------------------------------------------------------------------------------------- */

typedef struct dense_row {
  const char *name;
  int n, t, h, gap, without; /* without: 1 y, 2 y_last */
  rondo_function function;
} dense_row;

static const dense_row dense_rows[] = {{"one", 1, 1, 1, 0, 0, {RONDO_LINEAR, 0, 0}},
                                       {"linear", 3, 4, 8, 0, 0, {RONDO_LINEAR, 0, 0}},
                                       {"gelu", 3, 4, 7, 2, 0, {RONDO_GELU, 0, 0}},
                                       {"y_alone", 3, 4, 7, 2, 2, {RONDO_TANH, 0, 0}},
                                       {"last_alone", 3, 1, 7, 2, 1, {RONDO_TANH, 0, 0}},
                                       {"wide", 3, 2, 300, 0, 0, {RONDO_SCALED_TANH, 0.7f, 1.5f}},
                                       {"tall", 200, 2, 3, 0, 0, {RONDO_ELU, 0.5f, 0}},
                                       {"softmax_one", 2, 2, 1, 0, 0, {RONDO_SOFTMAX, 0, 0}},
                                       {"softmax", 3, 4, 10, 3, 0, {RONDO_SOFTMAX, 0, 0}},
                                       {"softmax_warp", 2, 2, 256, 0, 0, {RONDO_SOFTMAX, 0, 0}},
                                       {"softmax_block", 2, 2, 257, 0, 0, {RONDO_SOFTMAX, 0, 0}},
                                       {"softmax_wide", 1, 2, 1000, 0, 0, {RONDO_SOFTMAX, 0, 0}},
                                       {0}};

/* What y of row i may be off by. */
static void dense_near(const dense_row *d, const float *sums, const float *bias, near *row) {
  for (int j = 0; j < d->h; j++) {
    row[j] = near_add(near_exact((double)sums[j]), near_exact((double)bias[j]), compare_float.sum);
    if (d->function.kind != RONDO_SOFTMAX) row[j] = near_function(row[j], d->function, compare_float);
  }
  if (d->function.kind == RONDO_SOFTMAX) near_softmax(row, d->h, compare_float);
}

static void dense_forward(const void *parameter) {
  const dense_row *d = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  ptrdiff_t stride = d->h + d->gap, units = d->h;
  size_t rows = (size_t)d->n * (size_t)d->t;
  kernel_array sums = kernel_random(ctx, rows * (size_t)units, RANDOM_GATES, 6);
  kernel_array bias = kernel_random(ctx, (size_t)units, RANDOM_BIAS, 1);
  kernel_array y = kernel_poison(ctx, rows * (size_t)stride), last = kernel_poison(ctx, (size_t)(d->n * stride));
  if (!sums.there || !bias.there || !y.there || !last.there) return;
  rondo_dense_forward_args args = {.batch = d->n, .timesteps = d->t, .units = d->h, .activation = d->function};
  args.y_sequence = d->t * stride, args.y_timestep = stride;
  args.sums = sums.there, args.bias = bias.there, args.y = d->without & 1 ? NULL : y.there;
  args.y_last = (rondo_rows){d->without & 2 ? NULL : last.there, stride};
  kernel_launch(ctx, "dense_forward", &args);
  float *got = kernel_download(ctx, y), *got_last = kernel_download(ctx, last);
  args.sums = sums.here, args.bias = bias.here, args.y = args.y ? y.here : NULL;
  args.y_last.at = args.y_last.at ? last.here : NULL;
  rondo_dense_forward_ref(&args);
  near *row = test_memory((size_t)units * sizeof *row);
  double worst = 0;
  for (ptrdiff_t i = 0; i < (ptrdiff_t)rows; i++) {
    ptrdiff_t n = i % d->n, t = i / d->n, at = (n * d->t + t) * stride;
    dense_near(d, sums.here + i * units, bias.here, row);
    for (ptrdiff_t j = 0; j < units; j++) {
      double bound = row[j].error + 0x1p-24 * fabs(row[j].value);
      if (args.y) worst = compare_worst(worst, fabs((double)got[at + j] - (double)y.here[at + j]) / bound);
      if (args.y) got[at + j] = y.here[at + j];
      if (!args.y_last.at || t != d->t - 1) continue;
      float *one = &got_last[n * stride + j], *other = &last.here[n * stride + j];
      worst = compare_worst(worst, fabs((double)*one - (double)*other) / bound);
      *one = *other;
    }
  }
  EXPECT_RATIO(worst, "y of a Dense layer");
  EXPECT(test_same_bits(got, y.here, y.count) && test_same_bits(got_last, last.here, last.count), "gaps were written");
}

const test_suite test_kernels_cuda = {
    "KernelsCuda",
    TEST_CUDA,
    (const test_row[]){{"list_is_complete", list_is_complete, NULL, 0},
                       {"words_upload", words_upload, NULL, 0},
                       {"mask_positions", mask_positions, TEST_TABLE(mask_rows)},
                       {"hx_gather", hx_gather, TEST_TABLE(gather_rows)},
                       {"rounding", rounding, TEST_TABLE(rounding_rows)},
                       {"rows_fill", rows_fill, TEST_TABLE(rest_rows)},
                       {"rows_idle", rows_idle, TEST_TABLE(rest_rows)},
                       {"lstm_cell_forward", test_lstm_cell_forward, TEST_TABLE(kernel_lstm_rows)},
                       {"gru_reset_forward", test_gru_reset_forward, TEST_TABLE(kernel_reset_rows)},
                       {"gru_cell_forward", test_gru_cell_forward, TEST_TABLE(kernel_gru_rows)},
                       {"rnn_cell_forward", test_rnn_cell_forward, TEST_TABLE(kernel_rnn_rows)},
                       {"sigmoid_limits", test_sigmoid_limits, NULL, 0},
                       {"dense_forward", dense_forward, TEST_TABLE(dense_rows)},
                       {0}},
};
