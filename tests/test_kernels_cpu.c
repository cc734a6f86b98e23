/* test_kernels_cpu.c - the product and fused kernels of the CPU, of each instruction set, against the reference twins;
 * with weights of 16 bits also against themselves: bits must be those of the same numbers kept as floats, or in tiles
 * those of floats that are added up in their order.
 *
 * Bounds, with u = 2^-24: a sum of K terms and its start, added one after another, is off by at most (K + 1) u times
 * the terms' absolute values, with products fused or rounded on their own. In tiles no term meets more roundings: of
 * K <= 32 a chain takes half, in K / 2 - 1 of them as products of bf16 are exact, one adds both chains, and one adds
 * them to the sum; of a larger K at most 16 and another one for every 32. sigmoid and tanh have slopes of at most 1/4
 * and 1, and their own bounds, which vec.h states and test_cells_cpu.c checks. */
#include "kernels_cpu.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const double sigmoid_bound = 2.5, tanh_bound = 3.3, product_bound = 9.3; /* in u, from vec.h */

const cpu_level cpu_levels[] = {{"portable", RONDO_ISA_PORTABLE}, {"avx2", RONDO_ISA_AVX2},
                                {"avx512", RONDO_ISA_AVX512},     {"avx512_bf16", RONDO_ISA_AVX512_BF16},
                                {"amx", RONDO_ISA_AMX},           {NULL, 0}};

const rondo_cpu_kernels *cpu_kernels_of(const cpu_level *level) {
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_of(level->isa);
  if (kernels && rondo_cpu_best_isa(level->isa) == level->isa) return kernels;
  test_skip("no %s on this machine", level->name);
  return NULL;
}

const rondo_cpu_kernels *cpu_kernels_beside(const cpu_level *level, rondo_dtype type) {
  const rondo_cpu_kernels *kernels = rondo_cpu_kernels_for(level->isa, type);
  return kernels == rondo_cpu_kernels_of(level->isa) ? NULL : kernels;
}

rondo_context *cpu_host(void) {
  return test_context_of(&(rondo_context_desc){.backend = RONDO_CPU});
}

float *cpu_filled(rondo_context *ctx, size_t count, uint64_t stream) {
  float *to = buffer_output(ctx, count);
  for (size_t i = 0; i < count; i++) to[i] = problem_random(test_seed(), stream, i);
  return to;
}

float **cpu_rows(float *base, int rows, ptrdiff_t stride) {
  float **table = test_memory((size_t)rows * sizeof *table);
  for (int i = 0; i < rows; i++) table[i] = base + i * stride;
  return table;
}

double cpu_share(double got, double expected, double bound) {
  if (isnan(expected)) return isnan(got) ? 0 : INFINITY;
  if (got == expected) return 0;
  return isfinite(expected) ? fabs(got - expected) / bound : INFINITY;
}

/* ---- product_forward --------------------------------------------------------------------------------------------- */

/* Below, at and above every tile: 1..6, 16 and 32 rows, their sums, primes. */
static const int row_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 17, 31, 32, 33, 49, 70, 0};
static const int depths[] = {1, 2, 3, 7, 16, 31, 32, 33, 70, 0};
static const int gate_counts[] = {4, 3, 2, 1, 0};

/* Roundings of a sum at most; one of int8 is exact until it is multiplied by two scales, their product rounded, too. */
static int terms(rondo_dtype type, int factors) {
  return type == RONDO_INT8 ? 4 : factors + 1;
}

static void check_product(const rondo_cpu_kernels *kernels, const rondo_product_forward_args *args) {
  size_t row = (size_t)(args->gates * kernels->lanes), count = (size_t)(args->blocks * args->rows) * row;
  double *expected = test_memory(count * sizeof(double)), *size = test_memory(count * sizeof(double)), worst = 0;
  rondo_product_forward_ref(args, kernels, expected, size);
  kernels->product_forward(args);
  for (size_t i = 0; i < count; i++) {
    ptrdiff_t block = (ptrdiff_t)(i / ((size_t)args->rows * row)), m = (ptrdiff_t)(i / row) % args->rows;
    double got = args->sums[block * args->sums_block + m * args->sums_row + (ptrdiff_t)(i % row)];
    worst = fmax(worst, cpu_share(got, expected[i], terms(args->type, args->inputs) * u * size[i]));
  }
  EXPECT_RATIO(worst, "product type %d gates %d rows %d inputs %d blocks %d", (int)args->type, args->gates, args->rows,
               args->inputs, args->blocks);
}

static int in_tiles(const rondo_cpu_kernels *kernels, rondo_dtype type) {
  return rondo_cpu_fill(kernels, type) > rondo_cpu_group(kernels, type);
}

/* What kernels.h writes under Tiles, of floats. */
static void add_in_tiles(const rondo_product_forward_args *args, int lanes) {
  int width = args->gates * lanes;
  for (int i = 0; i < args->blocks * args->rows * width; i++) {
    int column = i % width, m = i / width % args->rows, block = i / width / args->rows;
    const float *weights = (const float *)args->weights + block * args->inputs * width + column, *in = args->in[m];
    float sum = args->start ? args->start[m * args->start_row + block * width + column] : 0;
    for (int begin = 0; begin < args->inputs; begin += 32) {
      float chains[2] = {0, 0};
      for (int k = begin; k < args->inputs && k < begin + 32; k++)
        chains[k % 2] = fmaf(in[k], weights[k * width], chains[k % 2]);
      sum += chains[0] + chains[1];
    }
    args->sums[block * args->sums_block + m * args->sums_row + column] = sum;
  }
}

/* The first `count` sums, gaps included, are those of the same numbers as floats. */
static void check_product_bits(const rondo_cpu_kernels *kernels, rondo_context *ctx,
                               const rondo_product_forward_args *args, const cpu_weights *shape, size_t count) {
  rondo_product_forward_args wide = *args;
  wide.type = RONDO_F32, wide.weights = cpu_widened(shape, args->weights);
  if (shape->group > 1) wide.in = cpu_rounded_rows(args->in, args->rows, args->inputs), wide.in_words = NULL;
  wide.sums = buffer_output(ctx, count);
  if (in_tiles(kernels, args->type))
    add_in_tiles(&wide, kernels->lanes);
  else
    kernels->product_forward(&wide);
  EXPECT(test_same_bits(args->sums, wide.sums, count), "product type %d gates %d rows %d inputs %d blocks %d: bits",
         (int)args->type, args->gates, args->rows, args->inputs, args->blocks);
}

/* Rows of the input overlap and run backwards. Sums block by block, with a gap behind each; or, row_major, all blocks
 * of a row together, with a gap behind each row, and each row begins with zeros or with numbers of its own. */
static void product_shape(const rondo_cpu_kernels *kernels, rondo_context *ctx, rondo_dtype type, int gates, int rows,
                          int inputs, int blocks, int row_major) {
  enum { GAP = 8 };
  int row = gates * kernels->lanes, gaps = row_major ? rows : blocks;
  float *x = cpu_filled(ctx, (size_t)(inputs + rows), 1);
  int used = row_major ? blocks * row : rows * row; /* of what lies between two gaps */
  cpu_weights shape = {type, rondo_cpu_group(kernels, type), rondo_cpu_fill(kernels, type), blocks, inputs, row};
  rondo_product_forward_args args = {.gates = gates,
                                     .rows = rows,
                                     .inputs = inputs,
                                     .blocks = blocks,
                                     .in = (const float *const *)cpu_rows(x + rows - 1, rows, -1),
                                     .start = cpu_filled(ctx, (size_t)(rows * blocks * row), 2),
                                     .start_row = row_major ? blocks * row : 0,
                                     .type = type,
                                     .weights = cpu_filled_weights(ctx, &shape, 3),
                                     .sums = buffer_output(ctx, (size_t)(gaps * (used + GAP))),
                                     .sums_block = row_major ? row : used + GAP,
                                     .sums_row = row_major ? used + GAP : row};
  if (row_major && rows % 2 == 0) args.start = NULL;
  args.words_row = (ptrdiff_t)rondo_cpu_filled(shape.fill, (size_t)inputs) / shape.group + 4;
  if (shape.group > 1) args.in_words = cpu_words(ctx, type, args.in, rows, inputs, shape.fill, (int)args.words_row);
  check_product(kernels, &args);
  for (int i = 0; i < gaps; i++)
    EXPECT(test_is_poison(args.sums + i * (used + GAP) + used, GAP), "gates %d rows %d inputs %d: written at gap %d",
           gates, rows, inputs, i);
  if (type == RONDO_F16 || type == RONDO_BF16)
    check_product_bits(kernels, ctx, &args, &shape, (size_t)(gaps * (used + GAP)));
}

static void product(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (const int *gates = gate_counts; *gates; gates++)
    for (const int *rows = row_counts; *rows; rows++)
      for (const int *inputs = depths; *inputs; inputs++)
        for (int blocks = 1; blocks <= 6; blocks += *gates == 1 ? 1 : 2)
          for (int type = RONDO_F32; type <= RONDO_INT8; type++) {
            const rondo_cpu_kernels *beside = cpu_kernels_beside(row, (rondo_dtype)type);
            int row_major = (*inputs + blocks) % 2;
            product_shape(kernels, ctx, (rondo_dtype)type, *gates, *rows, *inputs, blocks, row_major);
            if (beside) product_shape(beside, ctx, (rondo_dtype)type, *gates, *rows, *inputs, blocks, row_major);
          }
}

/* ---- fused_forward ----------------------------------------------------------------------------------------------- */

typedef struct fused_case {
  const rondo_cpu_kernels *kernels;
  rondo_cell cell;
  rondo_fused_forward_args args;
  int narrow;                      /* narrow_forward, else fused_forward */
  int gates, lanes, units, stride; /* units: padding included; stride: of rows of h, c and y */
  cpu_weights shape;
  float *sums, *h, *c; /* what args reads, c also where it writes */
  float *h_out, *y;
} fused_case;

static const struct cell_row {
  const char *name;
  rondo_cell cell;
} cells[] = {{"lstm", RONDO_LSTM}, {"gru", RONDO_GRU}, {"rnn", RONDO_RNN}, {NULL, 0}};

static size_t strided(int rows, int stride, int width) {
  return (size_t)((rows - 1) * stride + width);
}

/* Rows of h, c and y are `gap` floats longer than they need to be. */
static fused_case fused_make(const rondo_cpu_kernels *kernels, rondo_context *ctx, rondo_cell cell, rondo_dtype type,
                             int rows, int hidden, int gap) {
  fused_case f = {.kernels = kernels, .cell = cell, .lanes = kernels->lanes, .stride = hidden + gap};
  f.gates = cell == RONDO_LSTM ? 4 : cell == RONDO_GRU ? 3 : 1;
  int blocks = (hidden - 1) / f.lanes + 1;
  size_t count = strided(rows, f.stride, hidden);
  f.units = blocks * f.lanes;
  int group = rondo_cpu_group(kernels, type), fill = rondo_cpu_fill(kernels, type);
  f.shape = (cpu_weights){type, group, fill, blocks, hidden, f.gates * f.lanes};
  f.sums = cpu_filled(ctx, (size_t)(rows * f.gates * f.units), 1);
  f.h = cpu_filled(ctx, count, 2);
  f.c = cpu_filled(ctx, count, 3);
  f.h_out = buffer_output(ctx, count);
  f.y = buffer_output(ctx, count);
  f.args = (rondo_fused_forward_args){.rows = rows,
                                      .hidden = hidden,
                                      .blocks = blocks,
                                      .type = type,
                                      .weights = cpu_filled_weights(ctx, &f.shape, 4),
                                      .bias = cpu_filled(ctx, (size_t)f.units, 5),
                                      .sums = f.sums,
                                      .sums_block = rows * f.gates * f.lanes,
                                      .h_in = (const float *const *)cpu_rows(f.h, rows, f.stride),
                                      .c_in = (const float *const *)cpu_rows(f.c, rows, f.stride),
                                      .h_out = cpu_rows(f.h_out, rows, f.stride),
                                      .c_out = cpu_rows(f.c, rows, f.stride),
                                      .y = cpu_rows(f.y, rows, f.stride)};
  return f;
}

/* h as it is now, for the product. */
static void make_words(rondo_context *ctx, fused_case *f) {
  rondo_fused_forward_args *args = &f->args;
  int stride = (int)rondo_cpu_filled(f->shape.fill, (size_t)args->hidden) / f->shape.group + 3;
  args->words_row = stride;
  if (f->shape.group > 1)
    args->h_in_words = cpu_words(ctx, args->type, args->h_in, args->rows, args->hidden, f->shape.fill, stride);
}

/* Bounds of c and h of one unit from its gates' sums, as the kernel orders them. */
static void lstm_bounds(int roundings, const double *a, const double *size, double before, double c, double *c_bound,
                        double *h_bound) {
  double e[4], s[4];
  for (int g = 0; g < 4; g++) {
    e[g] = isinf(a[g]) ? 0 : roundings * u * size[g];
    s[g] = g == 2 ? tanh(a[g]) : 1 / (1 + exp(-a[g]));
  }
  double i_g = fabs(s[2]) * e[0] / 4 + s[0] * e[2] + e[0] * e[2] / 4 + product_bound * u * fabs(s[0] * s[2]);
  double f = e[1] / 4 + sigmoid_bound * u * s[1];
  *c_bound = i_g + f * fabs(before) + 2 * u * (s[1] * fabs(before) + fabs(s[0] * s[2])) + 2 * FLT_MIN;
  if (isinf(c)) *c_bound = 0; /* an infinity has no error, and its tanh is 1: h is o's */
  double t = tanh(c);
  *h_bound = fabs(t) * e[3] / 4 + s[3] * *c_bound + e[3] * *c_bound / 4 + product_bound * u * fabs(s[3] * t) + FLT_MIN;
}

/* n = tanh(x_part + r a_2) and h' = z h + (1 - z) n. */
static double gru_bound(int roundings, const double *a, const double *size, double x_part, double before) {
  double z = 1 / (1 + exp(-a[0])), r = 1 / (1 + exp(-a[1])), n = tanh(x_part + r * a[2]), e[3];
  for (int g = 0; g < 3; g++) e[g] = isinf(a[g]) ? 0 : roundings * u * size[g];
  double e_z = e[0] / 4 + sigmoid_bound * u * z, e_r = e[1] / 4 + sigmoid_bound * u * r;
  double e_sum = r * e[2] + e_r * (fabs(a[2]) + e[2]) + 2 * u * ((isinf(x_part) ? 0 : fabs(x_part)) + r * fabs(a[2]));
  double e_n = e_sum + tanh_bound * u * fabs(n);
  return e_z * (fabs(before) + fabs(n)) + (1 - z) * e_n + 3 * u * (fabs(before) + fabs(n)) + 2 * FLT_MIN;
}

typedef struct expected_state {
  double *a, *size, *c, *h, *before; /* gate sums (rows, hidden, G) twice; c, h, c before: (rows, hidden) */
} expected_state;

static expected_state expect(const fused_case *f) {
  size_t count = (size_t)(f->args.rows * f->args.hidden);
  expected_state e = {.a = test_memory((2 * (size_t)f->gates + 3) * count * sizeof(double))};
  e.size = e.a + (size_t)f->gates * count, e.c = e.size + (size_t)f->gates * count, e.h = e.c + count;
  e.before = e.h + count;
  for (size_t i = 0; i < count; i++) {
    size_t n = i / (size_t)f->args.hidden, j = i % (size_t)f->args.hidden;
    e.before[i] = f->cell == RONDO_LSTM ? f->args.c_in[n][j] : f->args.h_in[n][j];
  }
  if (f->narrow)
    rondo_narrow_forward_ref(&f->args, f->kernels, f->cell, e.a, e.c, e.h);
  else if (f->cell == RONDO_LSTM)
    rondo_lstm_forward_ref(&f->args, f->kernels, e.a, e.size, e.c, e.h);
  else if (f->cell == RONDO_GRU)
    rondo_gru_forward_ref(&f->args, f->kernels, e.a, e.size, e.h);
  else
    rondo_rnn_forward_ref(&f->args, f->kernels, e.a, e.size, e.h);
  return e;
}

/* Sums are taken as they are by narrow_forward. */
static void unit_bounds(const fused_case *f, const expected_state *e, int n, int j, double *c_bound, double *h_bound) {
  int at = n * f->args.hidden + j, roundings = f->narrow ? 0 : terms(f->args.type, f->args.hidden);
  const double *a = e->a + f->gates * at, *size = e->size + f->gates * at;
  *c_bound = 0;
  if (f->cell == RONDO_LSTM) {
    lstm_bounds(roundings, a, size, e->before[at], e->c[at], c_bound, h_bound);
  } else if (f->cell == RONDO_GRU) {
    double x_part = f->args.sums[j / f->lanes * f->args.sums_block + (n * 3 + 2) * f->lanes + j % f->lanes];
    *h_bound = gru_bound(roundings, a, size, x_part, e->before[at]);
  } else {
    *h_bound = roundings * u * size[0] + tanh_bound * u * fabs(e->h[at]) + FLT_MIN;
  }
}

static void check_fused(const rondo_cpu_kernels *kernels, rondo_context *ctx, fused_case *f) {
  const rondo_fused_forward_args *args = &f->args;
  make_words(ctx, f);
  expected_state e = expect(f);
  int begin = args->first_block * f->lanes, end = (args->first_block + args->blocks) * f->lanes;
  double c_worst = 0, h_worst = 0;
  (f->narrow ? kernels->narrow_forward : kernels->fused_forward)[f->cell](args);
  for (int n = 0; n < args->rows; n++)
    for (int j = begin; j < args->hidden && j < end; j++) {
      int at = n * args->hidden + j;
      double c_bound, h_bound;
      unit_bounds(f, &e, n, j, &c_bound, &h_bound);
      if (f->cell == RONDO_LSTM) c_worst = fmax(c_worst, cpu_share(args->c_out[n][j], e.c[at], c_bound));
      h_worst = fmax(h_worst, cpu_share(args->h_out[n][j], e.h[at], h_bound));
      if (args->y) EXPECT(test_same_bits(args->h_out[n] + j, args->y[n] + j, 1), "y is not h at %d, %d", n, j);
    }
  EXPECT_RATIO(fmax(c_worst, h_worst), "%s type %d rows %d hidden %d blocks %d from %d: c %g, h %g",
               cells[f->cell].name, (int)args->type, args->rows, args->hidden, args->blocks, args->first_block, c_worst,
               h_worst);
}

/* What lies between the rows must stay as it was made. */
static void check_gaps(const fused_case *f, const float *array) {
  for (int n = 0; n < f->args.rows - 1; n++)
    EXPECT(test_is_poison(array + n * f->stride + f->args.hidden, (size_t)(f->stride - f->args.hidden)),
           "rows %d hidden %d: written behind row %d", f->args.rows, f->args.hidden, n);
}

static void check_whole(const rondo_cpu_kernels *kernels, rondo_context *ctx, rondo_cell cell, rondo_dtype type,
                        int rows, int hidden) {
  fused_case f = fused_make(kernels, ctx, cell, type, rows, hidden, 5);
  check_fused(kernels, ctx, &f);
  check_gaps(&f, f.h_out);
  check_gaps(&f, f.y);
}

static void fused(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  static const int sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 80, 0};
  for (const struct cell_row *cell = cells; cell->name; cell++)
    for (const int *rows = row_counts; *rows; rows++)
      for (const int *hidden = sizes; *hidden; hidden++)
        for (int type = RONDO_F32; type <= RONDO_INT8; type++) {
          const rondo_cpu_kernels *beside = cpu_kernels_beside(row, (rondo_dtype)type);
          check_whole(kernels, ctx, cell->cell, (rondo_dtype)type, *rows, *hidden);
          if (beside) check_whole(beside, ctx, cell->cell, (rondo_dtype)type, *rows, *hidden);
        }
}

/* c to another place, no y, and some of the blocks: the others' units stay untouched. */
static void fused_parts(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (const struct cell_row *cell = cells; cell->name; cell++)
    for (int rows = 1; rows <= 7; rows += 3)
      for (int first = 0; first < 4; first++) {
        rondo_dtype type = (rondo_dtype)((first + rows) % 4);
        fused_case f = fused_make(kernels, ctx, cell->cell, type, rows, 3 * kernels->lanes + 1, 0);
        float *c_out = buffer_output(ctx, (size_t)(rows * f.args.hidden));
        f.args.first_block = first;
        f.args.blocks = first < 3 ? 2 : 1;
        f.args.y = NULL;
        f.args.c_out = cpu_rows(c_out, rows, f.args.hidden);
        check_fused(kernels, ctx, &f);
        for (int n = 0; n < rows; n++)
          for (int j = 0; j < f.args.hidden; j++) {
            int block = j / f.lanes, mine = block >= first && block < first + f.args.blocks, at = n * f.args.hidden + j;
            EXPECT(test_is_poison(f.h_out + at, 1) == !mine, "row %d unit %d, blocks %d from %d", n, j, f.args.blocks,
                   first);
            EXPECT(test_is_poison(c_out + at, 1) == !(mine && f.cell == RONDO_LSTM), "c of row %d unit %d", n, j);
          }
      }
}

/* Whatever rows and blocks a call takes, each unit of each row has the bits that it has by itself; and but in tiles
 * with the same numbers as floats, if these are no levels. */
static void check_same_bits(const rondo_cpu_kernels *kernels, rondo_context *ctx, const struct cell_row *cell,
                            rondo_dtype type, int rows) {
  int hidden = 4 * kernels->lanes + 3;
  fused_case all = fused_make(kernels, ctx, cell->cell, type, rows, hidden, 0);
  fused_case one = fused_make(kernels, ctx, cell->cell, type, rows, hidden, 0);
  int alone = type == RONDO_INT8 || in_tiles(kernels, type);
  if (!alone) one.args.weights = cpu_widened(&one.shape, one.args.weights), one.args.type = RONDO_F32;
  if (all.shape.group == 2) one.args.h_in = all.args.h_in = cpu_rounded_rows(one.args.h_in, rows, hidden);
  make_words(ctx, &all);
  make_words(ctx, &one);
  kernels->fused_forward[cell->cell](&all.args);
  for (int n = 0; n < rows; n++)
    for (int block = 0; block < 5; block++) {
      rondo_fused_forward_args args = one.args;
      args.rows = args.blocks = 1;
      args.first_block = block;
      args.sums += n * one.gates * one.lanes;
      if (alone) args.h_in_words += n * args.words_row;
      args.h_in += n, args.c_in += n, args.h_out += n, args.c_out += n, args.y += n;
      kernels->fused_forward[cell->cell](&args);
    }
  EXPECT(test_same_bits(all.h_out, one.h_out, (size_t)(rows * hidden)), "%s type %d h, rows %d", cell->name, (int)type,
         rows);
  EXPECT(test_same_bits(all.c, one.c, (size_t)(rows * hidden)), "%s type %d c, rows %d", cell->name, (int)type, rows);
}

static void same_bits(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (const struct cell_row *cell = cells; cell->name; cell++)
    for (const int *rows = row_counts; *rows; rows++)
      for (int type = RONDO_F32; type <= RONDO_INT8; type++)
        check_same_bits(kernels, ctx, cell, (rondo_dtype)type, *rows);
}

/* ---- narrow_forward ---------------------------------------------------------------------------------------------- */

static int rest_of(const fused_case *f) {
  return f->args.hidden % f->lanes;
}

/* Vectors of the last block, if it is packed. */
static int narrow_vectors(const fused_case *f) {
  return (f->gates * rest_of(f) + f->lanes - 1) / f->lanes;
}

/* The last block's stream of weights, packed. */
static void *packed_weights(rondo_context *ctx, const fused_case *f) {
  const cpu_weights *s = &f->shape;
  int rows = (int)rondo_cpu_filled(s->fill, (size_t)s->rows) / s->group, width = narrow_vectors(f) * f->lanes;
  if (s->type == RONDO_INT8) rows += RONDO_CPU_QUADS_HEAD;
  size_t size = rondo_dtype_bytes(s->type) * (size_t)s->group, units = (size_t)rest_of(f);
  size_t bytes = (size_t)(rows * width) * size;
  const char *from = (const char *)f->args.weights + (size_t)((s->streams - 1) * rows * s->width) * size;
  char *to = memset(buffer_output(ctx, (bytes + 3) / 4), 0, bytes);
  for (int row = 0; row < rows; row++)
    for (int g = 0; g < f->gates; g++)
      memcpy(to + ((size_t)(row * width) + (size_t)g * units) * size,
             from + (size_t)(row * s->width + g * f->lanes) * size, units * size);
  return to;
}

/* The last block's sums, packed in place; what then lies behind them changes nothing. */
static float *pack_sums(const fused_case *f) {
  float *sums = f->sums + (f->args.blocks - 1) * f->args.sums_block, row[64];
  int width = f->gates * f->lanes, units = rest_of(f);
  for (int n = 0; n < f->args.rows; n++) {
    for (int i = 0; i < width; i++) row[i] = NAN;
    for (int i = 0; i < f->gates * units; i++) row[i] = sums[n * width + i / units * f->lanes + i % units];
    memcpy(sums + n * width, row, (size_t)width * sizeof *row);
  }
  return sums;
}

/* From x's sums of all blocks to those of both products of the last one. */
static void multiply_narrow(const rondo_cpu_kernels *kernels, rondo_context *ctx, fused_case *f) {
  rondo_fused_forward_args *args = &f->args;
  int last = args->blocks - 1, width = f->gates * f->lanes;
  float *sums = pack_sums(f);
  make_words(ctx, f);
  if (f->cell == RONDO_GRU) kernels->gru_narrow_begin(args->rows, rest_of(f), args->bias + last * f->lanes, sums);
  kernels->product_forward(&(rondo_product_forward_args){.gates = narrow_vectors(f),
                                                         .rows = args->rows,
                                                         .inputs = args->hidden,
                                                         .blocks = 1,
                                                         .in = args->h_in,
                                                         .in_words = args->h_in_words,
                                                         .words_row = args->words_row,
                                                         .start = sums,
                                                         .start_row = width,
                                                         .type = args->type,
                                                         .weights = packed_weights(ctx, f),
                                                         .sums = sums,
                                                         .sums_row = width});
  f->narrow = 1, args->first_block = last, args->blocks = 1;
}

/* The last block, packed, is as the reference has it, and has the bits of one that is not packed. */
static void check_narrow(const rondo_cpu_kernels *kernels, rondo_context *ctx, rondo_cell cell, rondo_dtype type,
                         int rows, int hidden) {
  fused_case whole = fused_make(kernels, ctx, cell, type, rows, hidden, 5);
  fused_case packed = fused_make(kernels, ctx, cell, type, rows, hidden, 5);
  if (narrow_vectors(&packed) >= packed.gates) return;
  make_words(ctx, &whole);
  kernels->fused_forward[cell](&whole.args);
  multiply_narrow(kernels, ctx, &packed);
  check_fused(kernels, ctx, &packed);
  check_gaps(&packed, packed.h_out);
  check_gaps(&packed, packed.y);
  int begin = packed.args.first_block * packed.lanes;
  size_t units = (size_t)(hidden - begin);
  for (int n = 0; n < rows; n++) {
    int same_c = test_same_bits(packed.args.c_out[n] + begin, whole.args.c_out[n] + begin, units);
    int same_h = test_same_bits(packed.args.h_out[n] + begin, whole.args.h_out[n] + begin, units);
    EXPECT(same_c && same_h, "cell %d type %d rows %d hidden %d: other bits in row %d", (int)cell, (int)type, rows,
           hidden, n);
    EXPECT(test_is_poison(packed.args.h_out[n], (size_t)begin), "rows %d hidden %d: written ahead of the block", rows,
           hidden);
  }
}

static void narrow(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (const int *rows = row_counts; *rows; rows++)
    for (int rest = 1; rest < kernels->lanes; rest++)
      for (int type = RONDO_F32; type <= RONDO_INT8; type++)
        for (int gru = 0; gru < 2; gru++) {
          const rondo_cpu_kernels *beside = cpu_kernels_beside(row, (rondo_dtype)type);
          int hidden = (*rows + rest) % 3 * kernels->lanes + rest;
          check_narrow(kernels, ctx, gru ? RONDO_GRU : RONDO_LSTM, (rondo_dtype)type, *rows, hidden);
          if (beside) check_narrow(beside, ctx, gru ? RONDO_GRU : RONDO_LSTM, (rondo_dtype)type, *rows, hidden);
        }
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

/* y takes up what is there. */
static void merges(const void *row) {
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (int merge = RONDO_SUM; merge <= RONDO_AVE; merge++) {
    int rows = 3, hidden = kernels->lanes + 1, count = rows * hidden;
    fused_case f = fused_make(kernels, ctx, RONDO_RNN, RONDO_F32, rows, hidden, 0);
    float *other = cpu_filled(ctx, (size_t)count, 6);
    memcpy(f.y, other, (size_t)count * sizeof(float));
    f.args.merge = (rondo_merge)merge;
    kernels->fused_forward[RONDO_RNN](&f.args);
    for (int i = 0; i < count; i++) {
      float sum = other[i] + f.h_out[i], product_of = other[i] * f.h_out[i];
      float expected = merge == RONDO_SUM ? sum : merge == RONDO_MUL ? product_of : sum / 2;
      EXPECT(f.y[i] == expected, "merge %d at %d: %g is not %g", merge, i, (double)f.y[i], (double)expected);
    }
  }
}

/* Saturated gates, zeros of both signs, infinities: as the reference has them. One row is full of NaN: it has no
 * neighbours. */
static void specials(const void *row) {
  static const float values[] = {0.0f, -0.0f, 30.0f, -30.0f, 1e4f, -1e4f, INFINITY, -INFINITY, FLT_MIN, -FLT_MIN};
  enum { VALUES = sizeof values / sizeof *values, HIDDEN = 19 };
  const rondo_cpu_kernels *kernels = cpu_kernels_of(row);
  rondo_context *ctx = kernels ? cpu_host() : NULL;
  if (!ctx) return;
  for (const struct cell_row *cell = cells; cell->name; cell++)
    for (int rows = 1; rows <= 7; rows++) {
      fused_case f = fused_make(kernels, ctx, cell->cell, (rondo_dtype)(rows % 4), rows, HIDDEN, 0);
      for (int i = 0; i < rows * f.gates * f.units; i++)
        f.sums[i] = values[(int)(VALUES * 0.5 * (1 + problem_random(test_seed(), 5, (uint64_t)(i + 1000 * rows))))];
      for (int i = 0; i < rows * HIDDEN; i++) {
        f.c[i] = values[(int)(VALUES * 0.5 * (1 + problem_random(test_seed(), 6, (uint64_t)(i + 1000 * rows))))];
        f.h[i] *= 0x1p-20f;
      }
      for (int j = 0; j < HIDDEN; j++) f.h[(rows - 1) * HIDDEN + j] = rows > 1 ? NAN : 0;
      check_fused(kernels, ctx, &f);
    }
}

const test_suite test_kernels_cpu = {"KernelsCpu", TEST_ONCE,
                                     (const test_row[]){CPU_TEST(product),
                                                        CPU_TEST(fused),
                                                        CPU_TEST(fused_parts),
                                                        CPU_TEST(same_bits),
                                                        CPU_TEST(narrow),
                                                        CPU_TEST(merges),
                                                        CPU_TEST(specials),
                                                        {0}}};
