/* test_functions.c - activations of Keras that no recorded case has, on every backend, against what Keras 3.15.1 gives
 * (keras.activations on JAX in double). The points lie on kinks and jumps too: which side they belong to is Keras's. */
#include "compare.h"
#include "compare_near.h"
#include "harness.h"

#include <math.h>
#include <stdio.h>

enum { POINTS = 13 };
static const float points[POINTS] = {-30, -3, -1, -0.75f, -0.5f, -0.125f, 0, 0.25f, 0.5f, 0.625f, 1, 2.5f, 30};

/* slopes: by jax.grad; NAN at the kinks to which JAX gives half the slope, and Rondo that of the constant side. */
static const struct keras_row {
  const char *name; /* as in a problem string */
  double values[POINTS], slopes[POINTS];
} keras_rows[] = {
    {"celu",
     {-1, -0.950212932, -0.632120559, -0.527633447, -0.39346934, -0.117503097, 0, 0.25, 0.5, 0.625, 1, 2.5, 30},
     {9.3591801e-14, 0.0497870684, 0.367879441, 0.472366553, 0.60653066, 0.882496903, 1, 1, 1, 1, 1, 1, 1}},
    {"celu(0.5)",
     {-0.5, -0.498760624, -0.432332358, -0.38843492, -0.316060279, -0.110599608, 0, 0.25, 0.5, 0.625, 1, 2.5, 30},
     {0, 0.00247875218, 0.135335283, 0.22313016, 0.367879441, 0.778800783, 1, 1, 1, 1, 1, 1, 1}},
    {"squareplus",
     {0.0332963784, 0.302775638, 0.618033989, 0.693000468, 0.780776406, 0.939451221, 1, 1.13278222, 1.28077641,
      1.36019091, 1.61803399, 2.85078106, 30.0332964},
     {0.00110742107, 0.0839748528, 0.276393202, 0.324438279, 0.378732187, 0.468810857, 0.5, 0.562017367, 0.621267813,
      0.649137497, 0.723606798, 0.890434405, 0.998892579}},
    {"squareplus(1)",
     {0.0083310198, 0.0811388301, 0.207106781, 0.25, 0.309016994, 0.441391109, 0.5, 0.640388203, 0.809016994,
      0.902123821, 1.20710678, 2.5962912, 30.008331},
     {0.00027754651, 0.025658351, 0.146446609, 0.2, 0.276393202, 0.437982633, 0.5, 0.621267813, 0.723606798, 0.76499947,
      0.853553391, 0.964238345, 0.999722453}},
    {"soft_shrink",
     {-29.5, -2.5, -0.5, -0.25, 0, 0, 0, 0, 0, 0.125, 0.5, 2, 29.5},
     {1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1}},
    {"soft_shrink(0.25)",
     {-29.75, -2.75, -0.75, -0.5, -0.25, 0, 0, 0, 0.25, 0.375, 0.75, 2.25, 29.75},
     {1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1}},
    {"hard_shrink", {-30, -3, -1, -0.75, 0, 0, 0, 0, 0, 0.625, 1, 2.5, 30}, {1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 1}},
    {"hard_shrink(0.75)", {-30, -3, -1, 0, 0, 0, 0, 0, 0, 0, 1, 2.5, 30}, {1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1}},
    {"tanh_shrink",
     {-29, -2.00494525, -0.238405844, -0.114851048, -0.0378828427, -0.000646998228, 0, 0.0050813376, 0.0378828427,
      0.0704002777, 0.238405844, 1.5133857, 29},
     {1, 0.990133963, 0.580025658, 0.403414192, 0.213552267, 0.015463669, 0, 0.0599851512, 0.213552267, 0.307580852,
      0.580025658, 0.973407773, 1}},
    {"threshold(0.5,-2)",
     {-2, -2, -2, -2, -2, -2, -2, -2, -2, 0.625, 1, 2.5, 30},
     {0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1}},
    {"threshold", {0, 0, 0, 0, 0, 0, 0, 0.25, 0.5, 0.625, 1, 2.5, 30}, {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}},
    {"sparse_plus",
     {0, 0, 0, 0.015625, 0.0625, 0.19140625, 0.25, 0.390625, 0.5625, 0.66015625, 1, 2.5, 30},
     {0, 0, 0, 0.125, 0.25, 0.4375, 0.5, 0.625, 0.75, 0.8125, 1, 1, 1}},
    {"sparse_sigmoid",
     {0, 0, 0, 0.125, 0.25, 0.4375, 0.5, 0.625, 0.75, 0.8125, 1, 1, 1},
     {0, 0, NAN, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, NAN, 0, 0}},
    {NULL, {0}, {0}},
};

/* RONDO_DENSE of one column and one unit whose weight is 1: y is the function of x. */
static int set_up(test_setup *s, const struct keras_row *row, int training) {
  static const float one = 1;
  char name[PROBLEM_TEXT];
  snprintf(name, sizeof name, "dense:n%dt1c1h1:nobias:act=%s", POINTS, row->name);
  rondo_context *ctx = test_context();
  if (!ctx) return 0;
  problem_data *data = test_memory(sizeof *data);
  *data = *test_data_named(name);
  data->weights[0].kernel = &one;
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = training;
  if (!test_set_up(s, ctx, data, &desc)) return 0;
  buffer_write(ctx, (void *)(uintptr_t)s->batch.x, points, sizeof points);
  return 1;
}

/* Both may be off: the table by half a unit of its ninth digit. */
static void expect_near(const char *what, const struct keras_row *row, int i, float got, double keras, double bound) {
  if (isnan(keras)) return;
  EXPECT(fabs((double)got - keras) <= bound + 5e-9 * fabs(keras), "%s of %s at %g is %.9g, and %.9g in Keras", what,
         row->name, (double)points[i], (double)got, keras);
}

static void values(const void *parameter) {
  const struct keras_row *row = parameter;
  test_setup s;
  if (!set_up(&s, row, 0)) return;
  test_outputs out = test_forward(&s, &s.batch);
  for (int i = 0; i < POINTS && out.y; i++) {
    near v = near_function(near_exact((double)points[i]), s.data->problem.activation, compare_float);
    expect_near("the value", row, i, out.y[i], row->values[i], v.error);
  }
}

/* dx where dy is 1. The slopes here are at most 1, and within 16 roundings of that; the product with the weight and its
 * sum may round too. */
static void slopes(const void *parameter) {
  const struct keras_row *row = parameter;
  test_setup s;
  float ones[POINTS];
  for (int i = 0; i < POINTS; i++) ones[i] = 1;
  if (!set_up(&s, row, 1)) return;
  test_forward(&s, &s.batch);
  rondo_batch b = s.batch;
  b.dy = buffer_upload(s.ctx, ones, POINTS), b.dx = buffer_output(s.ctx, POINTS);
  b.dparams = buffer_new(s.ctx, rondo_plan_sizes(s.plan)->params);
  if (!b.dx || !b.dparams || !EXPECT_OK(rondo_backward(s.plan, s.ctx, &b))) return;
  const float *dx = buffer_download(s.ctx, NULL, b.dx, POINTS);
  for (int i = 0; i < POINTS; i++) expect_near("the slope", row, i, dx[i], row->slopes[i], 18 * 0x1p-24);
}

const test_suite test_functions = {
    "Functions", TEST_ALL,
    (const test_row[]){
        {"values", values, TEST_TABLE(keras_rows)}, {"slopes", slopes, TEST_TABLE(keras_rows)}, {NULL, NULL, NULL, 0}}};
