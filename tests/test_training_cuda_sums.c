/* test_training_cuda_sums.c - kernels of training that add up along rows and columns, against their twins. */
#include "training_cuda.h"

#include <math.h>
#include <string.h>

#define UNIT (compare_float.state)

/* ---- column_sums, gru_spread ------------------------------------------------------------------------------------- */

const training_sum_row training_sum_rows[] = {{"one", 1, 1, 1, 0},
                                              {"few", 5, 7, 1, 1},
                                              {"parts", 100, 9, 4, 0},
                                              {"parts_empty", 5, 40, 8, 1},
                                              {"wide", 3, 530, 1, 0},
                                              {"tall", 1000, 33, 3, 1},
                                              {0}};

/* A sum of n terms passes through at most n additions, in any order, after its product. */
void test_column_sums(const void *parameter) {
  const training_sum_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  ptrdiff_t K = k->columns, row = K + 2;
  size_t count = (size_t)(k->parts * K), part = ((size_t)k->rows + (size_t)k->parts - 1) / (size_t)k->parts;
  kernel_array a = kernel_random(ctx, (size_t)(k->rows * row), RANDOM_X, 1),
               b = kernel_random(ctx, a.count, RANDOM_H, 1);
  kernel_array to = kernel_random(ctx, count, RANDOM_OLD, 1);
  if (!a.there || !b.there || !to.there) return;
  for (int two = 0; two < 2; two++) {
    rondo_column_sums_args args = {k->rows,  k->columns, k->parts, {a.there, row}, {two ? b.there : NULL, row},
                                   to.there, k->add};
    double *bound = training_bounds(count);
    for (size_t i = 0; i < count; i++) {
      double reach = k->add ? fabs((double)to.here[i]) : 0;
      for (size_t r = i / (size_t)K * part, end = r + part; r < end && r < (size_t)k->rows; r++) {
        size_t at = r * (size_t)row + i % (size_t)K;
        reach += fabs((double)a.here[at] * (two ? (double)b.here[at] : 1));
      }
      bound[i] = (double)(part + 3) * UNIT * reach + 0x1p-149;
    }
    kernel_launch(ctx, "column_sums", &args);
    float *got = kernel_download(ctx, to);
    args.a.at = a.here, args.b.at = two ? b.here : NULL, args.to = to.here;
    rondo_column_sums_ref(&args);
    training_check("sums", got, to.here, bound, count);
    memcpy(to.here, got, count * sizeof *got);
  }
}

void test_gru_spread(const void *parameter) {
  const training_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  size_t rows = (size_t)k->h + (size_t)k->n, units = (size_t)k->h;
  kernel_array kernels = kernel_random(ctx, rows * 3 * units, RANDOM_WEIGHTS, 1),
               matrix = kernel_poison(ctx, rows * 4 * units);
  kernel_array b = kernel_random(ctx, 3 * units, RANDOM_BIAS, 1), rb = kernel_random(ctx, 3 * units, RANDOM_OLD, 1);
  if (!kernels.there || !matrix.there || !b.there || !rb.there) return;
  for (int without = 0; without < 8; without++) { /* bits: matrix, bias, recurrent bias */
    kernel_array bias = kernel_poison(ctx, 4 * units);
    if (!bias.there) return;
    rondo_gru_spread_args args = {(int)rows,
                                  k->h,
                                  k->h,
                                  kernels.there,
                                  without & 2 ? NULL : b.there,
                                  without & 4 ? NULL : rb.there,
                                  without & 1 ? NULL : matrix.there,
                                  bias.there};
    kernel_launch(ctx, "gru_spread", &args);
    args.kernels = kernels.here, args.kernel_bias = without & 2 ? NULL : b.here;
    args.recurrent_bias = without & 4 ? NULL : rb.here, args.matrix = without & 1 ? NULL : matrix.here,
    args.bias = bias.here;
    rondo_gru_spread_ref(&args);
    EXPECT(test_same_bits(kernel_download(ctx, bias), bias.here, bias.count), "the bias differs from the twin's");
    EXPECT(test_same_bits(kernel_download(ctx, matrix), matrix.here, matrix.count),
           "the matrix differs from the twin's");
  }
}

/* ---- norm_forward, norm_backward --------------------------------------------------------------------------------- */

/* The scale's error is half the relative one of variance + 1e-5, a sum of squares of differences from a mean that is
 * off by up to (K + 1) units of the mean magnitude. */
static double scale_bound(const float *v, ptrdiff_t K) {
  double mean = 0, reach = 0, variance = 0, error = 0;
  for (ptrdiff_t k = 0; k < K; k++) mean += (double)v[k] / (double)K, reach += fabs((double)v[k]) / (double)K;
  double off = ((double)K + 1) * UNIT * reach;
  for (ptrdiff_t k = 0; k < K; k++) {
    double d = fabs((double)v[k] - mean), d_error = off + UNIT * (d + off);
    variance += d * d / (double)K;
    error += (2 * d * d_error + d_error * d_error + ((double)K + 2) * UNIT * (d + d_error) * (d + d_error)) / (double)K;
  }
  double all = variance + 1e-5, scale = 1 / sqrt(all);
  return scale * (error / all / 2 + 6 * UNIT) * (1 + error / all);
}

static void norm_forward(rondo_context *ctx, const training_sum_row *k, int in_place) {
  ptrdiff_t K = k->columns;
  size_t count = (size_t)(k->rows * K);
  kernel_array v = kernel_random(ctx, count, RANDOM_X, 3), scale = kernel_poison(ctx, (size_t)k->rows);
  kernel_array normal = in_place ? v : kernel_poison(ctx, count);
  if (!v.there || !scale.there || !normal.there) return;
  double *bound = training_bounds(count), *of_scale = training_bounds((size_t)k->rows);
  near *row = test_memory((size_t)K * sizeof *row);
  for (ptrdiff_t r = 0; r < k->rows; r++) {
    for (ptrdiff_t j = 0; j < K; j++) row[j] = training_exact(v.here[r * K + j]);
    near_normalize(row, (int)K, NULL, compare_float);
    for (ptrdiff_t j = 0; j < K; j++) bound[r * K + j] = training_bound(row[j]);
    of_scale[r] = scale_bound(v.here + r * K, K);
  }
  rondo_norm_forward_args args = {k->rows, k->columns, v.there, normal.there, scale.there};
  kernel_launch(ctx, "norm_forward", &args);
  args = (rondo_norm_forward_args){k->rows, k->columns, v.here, normal.here, scale.here};
  rondo_norm_forward_ref(&args);
  training_check("the normalised row", kernel_download(ctx, normal), normal.here, bound, count);
  training_check("the scale", kernel_download(ctx, scale), scale.here, of_scale, (size_t)k->rows);
}

static void norm_backward(rondo_context *ctx, const training_sum_row *k, int in_place) {
  ptrdiff_t K = k->columns;
  size_t count = (size_t)(k->rows * K);
  kernel_array normal = kernel_random(ctx, count, RANDOM_NORMAL, 1.7f),
               scale = kernel_random(ctx, (size_t)k->rows, RANDOM_SCALE, 2);
  kernel_array gamma = kernel_random(ctx, (size_t)K, RANDOM_WEIGHTS, 1), dout = kernel_random(ctx, count, RANDOM_DY, 1);
  kernel_array dv = in_place ? dout : kernel_poison(ctx, count);
  if (!normal.there || !scale.there || !gamma.there || !dout.there || !dv.there) return;
  double *bound = training_bounds(count);
  near *g = test_memory((size_t)K * sizeof *g);
  for (ptrdiff_t r = 0; r < k->rows; r++) {
    for (ptrdiff_t j = 0; j < K; j++)
      g[j] = training_times(training_exact(dout.here[r * K + j]), training_exact(gamma.here[j]));
    for (ptrdiff_t j = 0; j < K; j++)
      bound[r * K + j] = training_bound(training_through_norm(g, normal.here + r * K, scale.here[r], K, j));
  }
  rondo_norm_backward_args args = {k->rows, k->columns, normal.there, scale.there, gamma.there, dout.there, dv.there};
  kernel_launch(ctx, "norm_backward", &args);
  args = (rondo_norm_backward_args){k->rows, k->columns, normal.here, scale.here, gamma.here, dout.here, dv.here};
  rondo_norm_backward_ref(&args);
  training_check("dv", kernel_download(ctx, dv), dv.here, bound, count);
}

void test_norms(const void *parameter) {
  rondo_context *ctx = test_context();
  for (int in_place = 0; in_place < 2 && ctx; in_place++) {
    norm_forward(ctx, parameter, in_place);
    norm_backward(ctx, parameter, in_place);
  }
}

/* ---- dense_backward ---------------------------------------------------------------------------------------------- */

const training_dense_row training_dense_rows[] = {{"one", 1, 1, 1, 0, {RONDO_LINEAR, 0, 0}},
                                                  {"tanh", 3, 4, 8, 0, {RONDO_TANH, 0, 0}},
                                                  {"no_bias", 3, 4, 8, 4, {RONDO_SIGMOID, 0, 0}},
                                                  {"dy_alone", 3, 4, 7, 2, {RONDO_GELU, 0, 0}},
                                                  {"last_alone", 3, 4, 7, 1, {RONDO_SOFTPLUS, 0, 0}},
                                                  {"wide", 3, 2, 300, 0, {RONDO_SCALED_TANH, 0.7f, 1.5f}},
                                                  {"tall", 200, 2, 3, 0, {RONDO_ELU, 0.5f, 0}},
                                                  {"softmax_one", 2, 2, 1, 0, {RONDO_SOFTMAX, 0, 0}},
                                                  {"softmax", 3, 4, 10, 4, {RONDO_SOFTMAX, 0, 0}},
                                                  {"softmax_warp", 2, 2, 256, 0, {RONDO_SOFTMAX, 0, 0}},
                                                  {"softmax_block", 2, 2, 300, 2, {RONDO_SOFTMAX, 0, 0}},
                                                  {0}};

/* v is a row's sums with bias, dy the gradients by y; by v in their place. */
static void dense_near(const training_dense_row *d, const near *v, near *dy) {
  if (d->function.kind != RONDO_SOFTMAX) {
    for (int j = 0; j < d->h; j++) dy[j] = training_times(dy[j], training_gate(v[j], 0, d->function).slope);
    return;
  }
  near *y = test_memory((size_t)d->h * sizeof *y), along = {0, 0};
  double reach = 0;
  memcpy(y, v, (size_t)d->h * sizeof *y);
  near_softmax(y, d->h, compare_float);
  for (int j = 0; j < d->h; j++) {
    near term = training_times(y[j], dy[j]); /* the sums of e and e dy are as good as those of y and y dy */
    along.value += term.value, along.error += term.error, reach += near_reach(term);
  }
  along.error += (d->h + 2.0) * UNIT * reach;
  for (int j = 0; j < d->h; j++) dy[j] = training_times(y[j], training_add(dy[j], training_minus(along)));
}

void test_dense_backward(const void *parameter) {
  const training_dense_row *d = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  ptrdiff_t H = d->h, N = d->n, row = H + 1;
  size_t rows = (size_t)(N * d->t), count = rows * (size_t)H;
  kernel_array sums = kernel_random(ctx, count, RANDOM_GATES, 4), bias = kernel_random(ctx, (size_t)H, RANDOM_BIAS, 1);
  kernel_array dy = kernel_random(ctx, rows * (size_t)row, RANDOM_DY, 1),
               last = kernel_random(ctx, (size_t)(N * row), RANDOM_DY_LAST, 1);
  kernel_array dsums = kernel_poison(ctx, count);
  if (!sums.there || !bias.there || !dy.there || !last.there || !dsums.there) return;
  rondo_dense_backward_args here = {d->n,
                                    d->t,
                                    d->h,
                                    sums.here,
                                    d->without & 4 ? NULL : bias.here,
                                    d->function,
                                    d->without & 1 ? NULL : dy.here,
                                    d->t * row,
                                    row,
                                    {d->without & 2 ? NULL : last.here, row},
                                    dsums.here};
  rondo_dense_backward_args args = here;
  args.sums = sums.there, args.bias = here.bias ? bias.there : NULL, args.dy = here.dy ? dy.there : NULL;
  args.dy_last.at = here.dy_last.at ? last.there : NULL, args.dsums = dsums.there;
  near *v = test_memory((size_t)H * sizeof *v), *by_y = test_memory((size_t)H * sizeof *v);
  double *bound = training_bounds(count);
  for (ptrdiff_t i = 0; i < (ptrdiff_t)rows; i++) {
    ptrdiff_t n = i % N, t = i / N;
    for (ptrdiff_t j = 0; j < H; j++) {
      v[j] = training_exact(sums.here[i * H + j]);
      if (here.bias) v[j] = training_add(v[j], training_exact(bias.here[j]));
      by_y[j] = training_exact(here.dy ? dy.here[(n * d->t + t) * row + j] : 0);
      if (here.dy_last.at && t == d->t - 1) by_y[j] = training_add(by_y[j], training_exact(last.here[n * row + j]));
    }
    dense_near(d, v, by_y);
    for (ptrdiff_t j = 0; j < H; j++) bound[i * H + j] = training_bound(by_y[j]);
  }
  kernel_launch(ctx, "dense_backward", &args);
  rondo_dense_backward_ref(&here);
  training_check("dsums", kernel_download(ctx, dsums), dsums.here, bound, count);
}
