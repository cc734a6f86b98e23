/* test_special.c - numbers out of the ordinary: NaN and infinities stay where they came in, saturation is exact, and
 * weights may all be zero. */
#include "compare.h"
#include "harness.h"

#include <math.h>
#include <string.h>

static int row_has_nan(const problem_data *data, const float *y, int n, int t) {
  const float *row = y + problem_at(data->y_strides, n, t);
  for (int j = 0; j < data->problem.hidden_size; j++)
    if (isnan(row[j])) return 1;
  return 0;
}

/* One element of x of one sequence is not finite: the other sequences keep their bits (on CUDA, their bounds). */
static void one_bad_sequence(const void *name) {
  test_setup s;
  rondo_context *ctx = test_context();
  if (!ctx || !test_set_up(&s, ctx, test_data_named(name), NULL)) return;
  const problem *p = &s.data->problem;
  const float bad[3] = {NAN, INFINITY, -INFINITY};
  compare_expected e;
  if (!EXPECT(compare_expect(&e, s.data, compare_float), "no host memory")) return;
  test_outputs whole = test_forward(&s, &s.batch);
  float *x = test_memory(s.x_count * sizeof *x);
  for (int i = 0; i < 3; i++) {
    int sick = (p->batch - 1) * i / 2;
    memcpy(x, s.data->x, s.x_count * sizeof *x);
    x[problem_at(s.data->x_strides, sick, p->timesteps / 2)] = bad[i];
    buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, s.x_count * sizeof *x);
    test_outputs out = test_forward(&s, &s.batch);
    for (int t = 0; t < p->timesteps; t++) {
      size_t at = problem_at(s.data->y_strides, sick, t); /* put the healthy row back, so that all can be judged */
      if (i == 0 && t == p->timesteps - 1) EXPECT(row_has_nan(s.data, out.y, sick, t), "the NaN is lost");
      memcpy(out.y + at, whole.y + at, (size_t)p->hidden_size * sizeof(float));
    }
    if (rondo_context_backend(ctx) != RONDO_CUDA)
      EXPECT(test_same_bits(out.y, whole.y, s.y_count), "%g in sequence %d changed another", (double)bad[i], sick);
    else
      EXPECT_RATIO(compare_y(&e, s.data, out.y), "one bad sequence: y");
  }
  compare_free(&e);
}

/* x of +-inf saturates the gates to exactly 0 or 1, and g to -1 or 1, so c is exactly -1, 0 or 1 after one step, and h
 * is 0 or +-tanh(1): what is left is the error of one tanh. */
static void infinite_input(const void *unused) {
  (void)unused;
  test_setup s;
  rondo_context *ctx = test_context();
  if (!ctx || !test_set_up(&s, ctx, test_data_named("lstm:n2t1c1h33"), NULL)) return;
  const float x[2] = {INFINITY, -INFINITY};
  buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, sizeof x);
  test_outputs out = test_forward(&s, &s.batch);
  const float *kernel = s.data->kernel[0];
  for (int n = 0; n < 2; n++)
    for (int j = 0; j < 33; j++) {
      double sign = n ? -1 : 1, c = 0, h = 0;
      if (sign * kernel[j] > 0) c = sign * kernel[2 * 33 + j] > 0 ? 1 : -1;
      if (sign * kernel[3 * 33 + j] > 0) h = tanh(c);
      EXPECT(out.c_n[n * 33 + j] == (float)c, "c is %g, not %g", (double)out.c_n[n * 33 + j], c);
      double bound = (compare_float.active + compare_float.state) * fabs(h);
      EXPECT(fabs(out.h_n[n * 33 + j] - h) <= bound, "h is %.9g, not %.9g", (double)out.h_n[n * 33 + j], h);
    }
}

/* With all weights zero the gates are 1/2 and g is 0: from zero state y is exactly zero. */
static void zero_weights(const void *name) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  problem_data data = *test_data_named(name);
  const problem *p = &data.problem;
  size_t h = (size_t)p->hidden_size, c = (size_t)p->input_size;
  for (int l = 0; l < p->num_layers; l++) {
    data.kernel[l] = test_memory((l ? h : c) * 4 * h * sizeof(float));
    data.recurrent_kernel[l] = test_memory(h * 4 * h * sizeof(float));
    if (data.bias[l]) data.bias[l] = test_memory(4 * h * sizeof(float));
  }
  test_setup s;
  if (!test_set_up(&s, ctx, &data, NULL)) return;
  test_outputs out = test_forward(&s, &s.batch);
  compare_expected expected;
  if (!EXPECT(compare_expect(&expected, &data, compare_float), "no host memory")) return;
  EXPECT_RATIO(compare_y(&expected, &data, out.y), "y");
  EXPECT_RATIO(compare_c_n(&expected, &data, out.c_n), "c_n");
  compare_free(&expected);
  for (int n = 0; n < p->batch && !data.h_0; n++)
    for (int t = 0; t < p->timesteps; t++)
      for (int j = 0; j < p->hidden_size; j++) {
        float y = out.y[problem_at(data.y_strides, n, t) + (size_t)j];
        if (!EXPECT(y == 0, "y is %g, not 0", (double)y)) return;
      }
}

static const char *const batches[] = {"lstm:n3t5c7h9", "lstm:n9t4c5h17l2:strided", "lstm:n17t3c4h33:time:back", NULL};

const test_suite test_special = {"Special", TEST_ALL,
                                 (const test_row[]){{"one_bad_sequence", one_bad_sequence, TEST_TABLE(batches)},
                                                    {"infinite_input", infinite_input, NULL, 0},
                                                    {"zero_weights", zero_weights, TEST_TABLE(problem_small_table)},
                                                    {NULL, NULL, NULL, 0}}};
