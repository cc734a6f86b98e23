/* test_kernels_optimise.c - the kernels of src/kernels/kernels_optimise.h against their _ref twins. What the optimisers
 * do over many steps is in test_optimise.c. */
#include "kernels_cuda.h"

#include <math.h>

static const double unit = 0x1p-24;

/* Within a warp, a block, a grid; and more than a grid of 1024 blocks. */
static const struct count_row {
  const char *name;
  size_t count;
} counts[] = {{"one", 1}, {"three", 3}, {"five", 5}, {"block", 256}, {"odd", 1003}, {"parts", 263000}, {0}};

static void expect_near(const char *what, const float *got, const float *expected, size_t count, double of_value,
                        double absolute) {
  double worst = 0;
  for (size_t k = 0; k < count; k++) {
    double bound = of_value * fabs((double)expected[k]) + absolute;
    worst = compare_worst(worst, fabs((double)got[k] - expected[k]) / bound);
  }
  EXPECT_RATIO(worst, "%s", what);
}

/* cuRAND's sequence, bit for bit, with a seed and a sequence of more than 32 bits. */
static void draw_uniform(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array to = kernel_poison(ctx, row->count + 1); /* the last number must stay */
  if (!to.there) return;
  rondo_draw_uniform_args args = {.to = to.there, .count = row->count, .limit = 0.3f};
  args.seed = 0xfedcba9876543210 ^ test_seed(), args.sequence = 0x123456789abcdef0;
  kernel_launch(ctx, "draw_uniform", &args);
  args.to = to.here;
  rondo_draw_uniform_ref(&args);
  EXPECT(test_same_bits(kernel_download(ctx, to), to.here, to.count), "numbers differ from the twin's");
}

/* The same numbers as factors: a mask of them, and numbers multiplied by them, of which the last stays. */
static void dropout(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array mask = kernel_poison(ctx, row->count + 1), v = kernel_random(ctx, row->count + 1, RANDOM_X, 1);
  if (!mask.there || !v.there) return;
  rondo_draw_mask_args draw = {.mask = mask.there, .count = row->count, .rate = 0.3f};
  draw.seed = 0xfedcba9876543210 ^ test_seed(), draw.sequence = 0x123456789abcdef0;
  rondo_drop_args drop = {v.there, draw.count, draw.rate, draw.seed, draw.sequence};
  kernel_launch(ctx, "draw_mask", &draw);
  kernel_launch(ctx, "drop", &drop);
  draw.mask = mask.here, drop.v = v.here;
  rondo_draw_mask_ref(&draw);
  rondo_drop_ref(&drop);
  EXPECT(test_same_bits(kernel_download(ctx, mask), mask.here, mask.count), "the mask differs from the twin's");
  EXPECT(test_same_bits(kernel_download(ctx, v), v.here, v.count), "what is dropped differs from the twin's");
}

/* Momentum and Nesterov's form of it. The step takes four roundings of terms of 0.6, 0.1, and the sum one. */
static void sgd_update(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array params = kernel_random(ctx, row->count, RANDOM_WEIGHTS, 1);
  kernel_array gradient = kernel_random(ctx, row->count, RANDOM_X, 1),
               velocity = kernel_random(ctx, row->count, RANDOM_H, 1);
  if (!params.there || !gradient.there || !velocity.there) return;
  rondo_sgd_update_args args = {.count = row->count, .rate = 0.1f, .momentum = 0.6f, .nesterov = 1};
  args.params = params.there, args.gradient = gradient.there, args.velocity = velocity.there;
  kernel_launch(ctx, "sgd_update", &args);
  args.params = params.here, args.gradient = gradient.here, args.velocity = velocity.here;
  rondo_sgd_update_ref(&args);
  expect_near("params", kernel_download(ctx, params), params.here, row->count, 2 * unit, 5 * unit);
  expect_near("velocity", kernel_download(ctx, velocity), velocity.here, row->count, 2 * unit, 1 * unit);
}

/* From zeros there is no cancellation, and the step is right to 9 units: 1 - beta, products, root, sum, quotient. It is
 * at most rate * sqrt(10) long, as m is g / 10 and v at least g^2 / 1000. */
static void adam_update(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array params = kernel_random(ctx, row->count, RANDOM_WEIGHTS, 1),
               gradient = kernel_random(ctx, row->count, RANDOM_X, 1);
  kernel_array m = kernel_random(ctx, row->count, RANDOM_H, 0), v = kernel_random(ctx, row->count, RANDOM_H, 0);
  if (!params.there || !gradient.there || !m.there || !v.there) return;
  rondo_adam_update_args args = {.count = row->count, .rate = 0.1f, .beta_1 = 0.9f, .beta_2 = 0.999f, .epsilon = 1e-7f};
  args.params = params.there, args.gradient = gradient.there, args.m = m.there, args.v = v.there;
  kernel_launch(ctx, "adam_update", &args);
  args.params = params.here, args.gradient = gradient.here, args.m = m.here, args.v = v.here;
  rondo_adam_update_ref(&args);
  expect_near("params", kernel_download(ctx, params), params.here, row->count, 2 * unit, 9 * unit * 0.1 * sqrt(10));
  expect_near("m", kernel_download(ctx, m), m.here, row->count, 4 * unit, 0x1p-126);
  expect_near("v", kernel_download(ctx, v), v.here, row->count, 5 * unit, 0x1p-126);
}

/* Sums of count squares in double; the twin has all of them in the first part. */
static void square_sums(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array from = kernel_random(ctx, row->count, RANDOM_X, 1);
  int parts = rondo_square_parts(row->count);
  double *there = buffer_new(ctx, RONDO_CLIP_SCRATCH), here[RONDO_MOST_SQUARE_PARTS], got[RONDO_MOST_SQUARE_PARTS];
  if (!from.there || !there) return;
  rondo_square_sums_args args = {.from = from.there, .count = row->count, .sums = there, .parts = parts};
  kernel_launch(ctx, "square_sums", &args);
  EXPECT_OK(rondo_copy(ctx, got, there, (size_t)parts * sizeof *got));
  args.from = from.here, args.sums = here;
  rondo_square_sums_ref(&args);
  double sum = 0, all = here[0];
  for (int b = 0; b < parts; b++) sum += got[b];
  EXPECT(parts == 1 || got[parts - 1] < all, "one part has it all");
  EXPECT_RATIO(fabs(sum / all - 1) / (2 * (double)row->count * 0x1p-53), "sum");
}

static void clip_scale(const void *parameter) {
  const struct count_row *row = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_array to = kernel_random(ctx, row->count, RANDOM_X, 1), norm = kernel_poison(ctx, 1);
  int parts = rondo_square_parts(row->count);
  double *there = buffer_new(ctx, RONDO_CLIP_SCRATCH), here[RONDO_MOST_SQUARE_PARTS];
  if (!to.there || !norm.there || !there) return;
  for (int b = 0; b < parts; b++) here[b] = 1 + b % 5;
  buffer_write(ctx, there, here, (size_t)parts * sizeof *here);
  rondo_clip_scale_args args = {to.there, row->count, there, parts, 0.7f, norm.there};
  kernel_launch(ctx, "clip_scale", &args);
  rondo_clip_scale_args twin = {to.here, row->count, here, parts, 0.7f, norm.here};
  rondo_clip_scale_ref(&twin);
  expect_near("norm", kernel_download(ctx, norm), norm.here, 1, 2.01 * unit, 0);
  expect_near("gradient", kernel_download(ctx, to), to.here, row->count, 3.01 * unit, 0x1p-126);
}

const test_suite test_kernels_optimise = {
    "KernelsOptimise",
    TEST_CUDA,
    (const test_row[]){{"draw_uniform", draw_uniform, TEST_TABLE(counts)},
                       {"dropout", dropout, TEST_TABLE(counts)},
                       {"sgd_update", sgd_update, TEST_TABLE(counts)},
                       {"adam_update", adam_update, TEST_TABLE(counts)},
                       {"square_sums", square_sums, TEST_TABLE(counts)},
                       {"clip_scale", clip_scale, TEST_TABLE(counts)},
                       {0}},
};
