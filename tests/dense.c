/* dense.c - outputs without layout; judging one run by another. */
#include "dense.h"

#include "compare.h"

#include <string.h>

/* rows of `columns` floats from a state to (L*D, N, columns). */
static float *dense_state(const problem_data *data, const float *from, int columns, size_t *count) {
  const problem *p = &data->problem;
  int directions = problem_directions(p), parts = p->num_layers * directions;
  *count = (size_t)parts * (size_t)p->batch * (size_t)columns;
  float *to = from ? test_memory(*count * sizeof *to) : NULL;
  for (int i = 0; to && i < parts * p->batch; i++) {
    int part = i / p->batch, n = i % p->batch;
    memcpy(to + (size_t)i * (size_t)columns, from + problem_state_at(data, part / directions, part % directions, n),
           (size_t)columns * sizeof *to);
  }
  return to;
}

/* A row of y or y_last, its halves side by side. */
static void copy_row(float *to, const float *from, const problem *p, size_t direction) {
  size_t columns = (size_t)problem_columns(p);
  for (int d = 0; d < problem_halves(p); d++)
    memcpy(to + (size_t)d * columns, from + (size_t)d * direction, columns * sizeof *to);
}

dense dense_of(const problem_data *data, const test_outputs *out) {
  const problem *p = &data->problem;
  dense d = {.columns = problem_columns(p) * problem_halves(p)};
  size_t columns = (size_t)d.columns, steps = (size_t)p->timesteps;
  d.y_last_count = (size_t)p->batch * columns;
  d.y_count = d.y_last_count * steps;
  if (out->y) d.y = test_memory(d.y_count * sizeof(float));
  if (out->y_last) d.y_last = test_memory(d.y_last_count * sizeof(float));
  for (int n = 0; n < p->batch; n++) {
    for (int t = 0; d.y && t < p->timesteps; t++)
      copy_row(d.y + ((size_t)n * steps + (size_t)t) * columns, out->y + problem_at(data->y_strides, n, t), p,
               data->y_strides.direction);
    if (d.y_last)
      copy_row(d.y_last + (size_t)n * columns, out->y_last + (size_t)n * data->y_last_stride, p,
               data->y_last_direction);
  }
  d.h_n = dense_state(data, out->h_n, problem_output_size(p), &d.h_count);
  d.c_n = dense_state(data, out->c_n, p->hidden_size, &d.c_count);
  return d;
}

static void expect_same(const char *what, const char *name, const float *a, const float *b, size_t a_count,
                        size_t b_count) {
  if (!a || !b || !EXPECT(a_count == b_count, "%s: %s has %zu floats, not %zu", what, name, a_count, b_count)) return;
  EXPECT(test_same_bits(a, b, a_count), "%s: %s has other bits, at most %g apart", what, name,
         compare_difference(a, b, a_count));
}

void dense_expect_same(const char *what, const dense *a, const dense *b) {
  expect_same(what, "y", a->y, b->y, a->y_count, b->y_count);
  expect_same(what, "y_last", a->y_last, b->y_last, a->y_last_count, b->y_last_count);
  expect_same(what, "h_n", a->h_n, b->h_n, a->h_count, b->h_count);
  expect_same(what, "c_n", a->c_n, b->c_n, a->c_count, b->c_count);
}

void expect_bounds(const char *what, const problem_data *data, const test_outputs *out) {
  compare_expected expected;
  const test_variant *here = test_here();
  int cuda = here && here->desc.backend == RONDO_CUDA;
  rondo_isa isa = here ? here->desc.max_isa : RONDO_ISA_BEST;
  compare_arithmetic arithmetic = compare_arithmetic_of(cuda ? RONDO_CUDA : RONDO_CPU, isa, &data->problem);
  int made = out->y && compare_has_steps(&data->problem) ? compare_expect_steps(&expected, data, arithmetic, out->y)
                                                         : compare_expect(&expected, data, arithmetic);
  if (!EXPECT(made, "no host memory")) return;
  if (out->y) EXPECT_RATIO(compare_y(&expected, data, out->y), "%s: y", what);
  if (out->y_last) EXPECT_RATIO(compare_y_last(&expected, data, out->y_last), "%s: y_last", what);
  if (out->h_n) EXPECT_RATIO(compare_h_n(&expected, data, out->h_n), "%s: h_n", what);
  if (out->c_n) EXPECT_RATIO(compare_c_n(&expected, data, out->c_n), "%s: c_n", what);
  compare_free(&expected);
}

int is_exact(const rondo_context *ctx) {
  return rondo_context_backend(ctx) != RONDO_CUDA;
}

void judge(const char *what, const test_setup *s, const problem_data *data, const test_outputs *got,
           const test_outputs *whole) {
  if (!is_exact(s->ctx)) {
    expect_bounds(what, data, got);
    return;
  }
  dense a = dense_of(data, got), b = dense_of(s->data, whole);
  dense_expect_same(what, &a, &b);
}

int set_up_named(test_setup *s, const char *name) {
  rondo_context *ctx = test_context();
  return ctx && test_set_up(s, ctx, test_data_named(name), NULL);
}

void poison_outputs(const test_setup *s) {
  const struct {
    float *buffer;
    size_t count;
  } outputs[] = {{s->batch.y, s->y_count},
                 {s->batch.y_last, s->y_last_count},
                 {s->batch.h_n, s->state_count},
                 {s->batch.c_n, s->state_count}};
  for (int i = 0; i < 4; i++)
    if (outputs[i].buffer) buffer_poison(s->ctx, outputs[i].buffer, outputs[i].count);
}
