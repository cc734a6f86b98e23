/* test_training_cuda_masks.c - the kernels of dropout against their twins, and that recompute keeps less. */
#include "training_cuda.h"

#include <math.h>

/* with_h, with_x: there are masks of h, of x; add: of mask_sums. */
const training_mask_row training_mask_rows[] = {
    {"fours", 9, 2, 8, 12, 4, 0, 3, ROWS_MASK, 1, 1, 1},  {"one", 1, 1, 1, 1, 1, 0, 1, ROWS_FULL, 1, 1, 0},
    {"gates", 3, 4, 5, 6, 4, 0, 4, ROWS_FULL, 1, 1, 1},   {"spread", 9, 1, 7, 3, 4, 0, 3, ROWS_MASK, 1, 1, 0},
    {"third", 9, 1, 7, 7, 1, 2, 3, ROWS_FIRST, 1, 0, 1},  {"only_x", 5, 6, 0, 9, 1, 0, 1, ROWS_FULL, 0, 1, 1},
    {"copies", 9, 2, 6, 5, 2, 1, 3, ROWS_FIRST, 0, 0, 0}, {"wide", 2, 3, 530, 30, 2, 0, 3, ROWS_FULL, 1, 1, 0},
    {"tall", 300, 2, 3, 2, 1, 0, 1, ROWS_MASK, 0, 1, 1},  {0}};

/* As dropout has them: 0, or more than 1. */
static kernel_array make_mask(rondo_context *ctx, size_t count, uint64_t stream) {
  kernel_array mask = kernel_random(ctx, count, stream, 1);
  for (size_t i = 0; mask.there && i < count; i++) mask.here[i] = mask.here[i] > 0.3f ? 0 : 1.25f;
  if (mask.there) EXPECT_OK(rondo_copy(ctx, mask.there, mask.here, count * sizeof(float)));
  return mask;
}

/* A product of two floats is rounded once by both, so every bit is the twin's. */
void test_mask_rows(const void *parameter) {
  const training_mask_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, k->kind, k->n, k->t, 0);
  int four = k->o % 4 == 0 && k->c % 4 == 0, gap = four ? 4 : 1, row = k->o + k->c + 3 * gap;
  size_t all = (size_t)k->t * (size_t)rows.here.rows, n = (size_t)k->n * (size_t)k->masks;
  kernel_array h = kernel_random(ctx, all * (size_t)(k->o + gap), RANDOM_H, 1);
  kernel_array x = kernel_random(ctx, all * (size_t)(k->c + 2 * gap), RANDOM_X, 1);
  kernel_array to = kernel_poison(ctx, (size_t)k->copies * all * (size_t)row);
  kernel_array of_h = make_mask(ctx, n * (size_t)(k->o + 1), RANDOM_BIAS),
               of_x = make_mask(ctx, n * (size_t)k->c, RANDOM_OLD);
  if (!h.there || !x.there || !to.there || !of_h.there || !of_x.there) return;
  rondo_mask_rows_args here = {rows.here,
                               k->t,
                               k->o,
                               k->c,
                               k->copies,
                               k->first,
                               k->masks,
                               k->with_h ? of_h.here : NULL,
                               k->with_x ? of_x.here : NULL,
                               {k->o ? h.here : NULL, k->o + gap},
                               {x.here, k->c + 2 * gap},
                               to.here,
                               row};
  rondo_mask_rows_args args = here;
  args.step = rows.there, args.to = to.there, args.x.at = x.there, args.h.at = k->o ? h.there : NULL;
  args.recurrent_mask = k->with_h ? of_h.there : NULL, args.input_mask = k->with_x ? of_x.there : NULL;
  kernel_launch(ctx, "mask_rows", &args);
  rondo_mask_rows_ref(&here);
  EXPECT(test_same_bits(kernel_download(ctx, to), to.here, to.count), "rows differ from the twin's");
  args.to = x.there, args.to_row = k->c + 2 * gap, args.output_size = 0, args.copies = 1; /* in place */
  here.to = x.here, here.to_row = k->c + 2 * gap, here.output_size = 0, here.copies = 1;
  kernel_launch(ctx, "mask_rows", &args);
  rondo_mask_rows_ref(&here);
  EXPECT(test_same_bits(kernel_download(ctx, x), x.here, x.count), "x in place differs from the twin's");
}

/* Each of the sums passes through `copies` roundings of what is summed up so far, at most the sum of all sizes. */
void test_mask_sums(const void *parameter) {
  const training_mask_row *k = parameter;
  rondo_context *ctx = test_context();
  if (!ctx) return;
  kernel_rows rows = kernel_rows_make(ctx, k->kind, k->n, k->t, 0);
  size_t count = (size_t)k->t * (size_t)rows.here.rows * (size_t)k->c;
  kernel_array from = kernel_random(ctx, (size_t)k->copies * count, RANDOM_X, 1);
  kernel_array to = kernel_random(ctx, count, RANDOM_OLD, 1);
  kernel_array mask = make_mask(ctx, (size_t)k->n * (size_t)k->masks * (size_t)k->c, RANDOM_BIAS);
  if (!from.there || !to.there || !mask.there) return;
  double *bound = training_bounds(count);
  for (size_t i = 0; bound && i < count; i++) {
    bound[i] = k->add ? fabs((double)to.here[i]) : 0;
    for (int l = 0; l < k->copies; l++) bound[i] += 1.25 * fabs((double)from.here[(size_t)l * count + i]);
    bound[i] *= (k->copies + 1) * 0x1p-24; /* and the twin's own */
  }
  rondo_mask_sums_args here = {rows.here, k->t,      k->c,      k->copies, k->first,
                               k->masks,  from.here, mask.here, to.here,   k->add};
  rondo_mask_sums_args args = here;
  args.step = rows.there, args.from = from.there, args.mask = mask.there, args.to = to.there;
  kernel_launch(ctx, "mask_sums", &args);
  rondo_mask_sums_ref(&here);
  training_check("sums", kernel_download(ctx, to), to.here, bound, count);
}

/* Sizes of whole 256 bytes, so that nothing is filled up. */
const char *const training_recompute_problems[] = {"lstm:n8t4c16h32l2:bi",    "gru:n8t4c16h32:dropout=0.3:rdropout=0.4",
                                                   "gru:n8t4c16h32:before",   "rnn:n8t4c16h64:head=32",
                                                   "lstm:n8t4c16h32:proj=16", NULL};

/* The reserve is smaller by the products of each pass, (M, K) floats. */
void test_keeps_less(const void *parameter) {
  rondo_context *ctx = test_context();
  if (!ctx) return;
  const problem *p = &test_data_named(parameter)->problem;
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.training = 1;
  const rondo_plan *all = test_plan(ctx, &desc);
  desc.recompute = 1;
  const rondo_plan *less = test_plan(ctx, &desc);
  if (!all || !less) return;
  int gates = p->cell == RONDO_GRU && !p->reset_before ? 4 : problem_gates(p); /* h @ R_h and x @ W_h apart */
  size_t columns = (size_t)(p->num_layers * problem_directions(p) * gates * p->hidden_size);
  columns += 2 * (size_t)p->head_units; /* of y, and of y_last, which has room for as many */
  size_t products = (size_t)p->batch * (size_t)p->timesteps * columns * sizeof(float);
  size_t was = rondo_plan_sizes(all)->reserve, is = rondo_plan_sizes(less)->reserve;
  EXPECT(was - is == products, "the reserve has %zu bytes and with recompute %zu, not %zu fewer", was, is, products);
}
