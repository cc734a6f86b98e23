/* test_masks.c - skipped steps, slots and restarts: whatever is skipped might as well not be there, in the input and in
 * the memory, and the same thing said in two ways has the same result. */
#include "dense.h"

#include <math.h>
#include <string.h>

/* Where in the layer's y the output of timestep t stands, of `steps`. */
static int place_of(const problem *p, int steps, int t) {
  return p->go_backwards && !p->time_order && p->num_layers % 2 ? steps - 1 - t : t;
}

/* ---- A sequence without its skipped steps ------------------------------------------------------------------------ */

static int count_real(const problem_data *data, int n) {
  int count = 0;
  for (int t = 0; t < data->problem.timesteps; t++) count += problem_is_real(data, n, t);
  return count;
}

/* Sequence n alone, with its real steps alone, of which there are some. */
static problem_data without_skipped(const problem_data *data, int n) {
  problem p = data->problem;
  problem_data alone;
  p.batch = 1, p.timesteps = count_real(data, n);
  p.lengths = 0, p.mask = MASK_NONE, p.slots = p.restart = 0;
  problem_layout(&alone, &p);
  alone.x = test_memory(alone.x_count * sizeof *alone.x);
  for (int t = 0, to = 0; t < data->problem.timesteps; t++)
    if (problem_is_real(data, n, t))
      memcpy(alone.x + problem_at(alone.x_strides, 0, to++), data->x + problem_at(data->x_strides, n, t),
             (size_t)p.input_size * sizeof *alone.x);
  int starts_anew = !data->h_0 || (data->restart && data->restart[n]);
  if (!starts_anew) alone.h_0 = test_memory(alone.state_count * sizeof(float));
  if (!starts_anew && data->c_0) alone.c_0 = test_memory(alone.state_count * sizeof(float));
  for (int part = 0; alone.h_0 && part < p.num_layers * problem_directions(&p); part++) {
    int layer = part / problem_directions(&p), direction = part % problem_directions(&p);
    size_t to = problem_state_at(&alone, layer, direction, 0), from = problem_state_at(data, layer, direction, n);
    memcpy(alone.h_0 + to, data->h_0 + from, (size_t)problem_output_size(&p) * sizeof(float));
    if (alone.c_0) memcpy(alone.c_0 + to, data->c_0 + from, (size_t)p.hidden_size * sizeof(float));
  }
  memcpy(alone.weights, data->weights, sizeof alone.weights);
  alone.weights_count = data->weights_count;
  return alone;
}

/* Rows of one sequence in a state (L*D, N, columns) against one of (L*D, 1, columns). */
static void expect_same_state(const char *name, const problem *p, int n, const float *whole, const float *alone,
                              int columns) {
  int parts = p->num_layers * problem_directions(p);
  for (int part = 0; whole && part < parts; part++)
    EXPECT(test_same_bits(whole + (size_t)(part * p->batch + n) * (size_t)columns,
                          alone + (size_t)part * (size_t)columns, (size_t)columns),
           "%s of sequence %d, part %d, is not that without the skipped steps", name, n, part);
}

static void expect_same_sequence(const problem_data *data, int n, const dense *whole, const dense *alone) {
  const problem *p = &data->problem;
  size_t columns = (size_t)whole->columns;
  int steps = p->timesteps, real = count_real(data, n);
  for (int t = 0, i = 0; t < steps; t++) {
    if (!problem_is_real(data, n, t)) continue;
    size_t row = (size_t)(n * steps + place_of(p, steps, t)), other = (size_t)place_of(p, real, i++);
    EXPECT(test_same_bits(whole->y + row * columns, alone->y + other * columns, columns),
           "y of sequence %d, timestep %d, is not that without the skipped steps", n, t);
  }
  if (!p->zero_output_for_mask)
    EXPECT(test_same_bits(whole->y_last + (size_t)n * columns, alone->y_last, columns),
           "y_last of sequence %d is not that without the skipped steps", n);
  expect_same_state("h_n", p, n, whole->h_n, alone->h_n, problem_output_size(p));
  expect_same_state("c_n", p, n, whole->c_n, alone->c_n, p->hidden_size);
}

static void skipped_steps_are_not_there(const void *name) {
  test_setup s, one;
  if (!set_up_named(&s, name)) return;
  test_outputs all = test_forward(&s, &s.batch);
  dense whole = dense_of(s.data, &all);
  for (int n = 0; n < s.data->problem.batch; n++) {
    if (!count_real(s.data, n)) continue;
    problem_data alone = without_skipped(s.data, n);
    if (!test_set_up(&one, s.ctx, &alone, NULL)) return;
    test_outputs out = test_forward(&one, &one.batch);
    dense without = dense_of(&alone, &out);
    expect_same_sequence(s.data, n, &whole, &without);
  }
}

/* ---- Nothing to do ----------------------------------------------------------------------------------------------- */

static int all_zero(const float *array, size_t count) {
  for (size_t i = 0; i < count; i++)
    if (array[i] != 0) return 0;
  return 1;
}

/* Without a single real step the state stays and outputs are zeros. */
static void no_real_steps(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  const problem_data *data = s.data;
  size_t n = (size_t)data->problem.batch, t = (size_t)data->problem.timesteps;
  for (int with_mask = 0; with_mask < 2; with_mask++) {
    rondo_batch b = s.batch;
    b.lengths = with_mask ? NULL : test_memory(n * sizeof *b.lengths);
    b.mask = with_mask ? test_memory(n * t) : NULL;
    poison_outputs(&s);
    test_outputs out = test_forward(&s, &b);
    dense got = dense_of(data, &out), before = dense_of(data, &(test_outputs){.h_n = data->h_0, .c_n = data->c_0});
    EXPECT(all_zero(got.y, got.y_count), "y is not zero");
    EXPECT(all_zero(got.y_last, got.y_last_count), "y_last is not zero");
    EXPECT(before.h_n ? test_same_bits(got.h_n, before.h_n, got.h_count) : all_zero(got.h_n, got.h_count),
           "h_n is not h_0");
    if (got.c_n)
      EXPECT(before.c_n ? test_same_bits(got.c_n, before.c_n, got.c_count) : all_zero(got.c_n, got.c_count),
             "c_n is not c_0");
  }
}

/* Rows of x at skipped steps may hold anything. */
static void padding_is_not_read(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  const problem_data *data = s.data;
  const problem *p = &data->problem;
  test_outputs before = test_forward(&s, &s.batch);
  const float bad[2] = {NAN, INFINITY};
  for (int i = 0; i < 2; i++) {
    float *x = memcpy(test_memory(s.x_count * sizeof *x), data->x, s.x_count * sizeof *x);
    for (int k = 0; k < p->batch * p->timesteps * p->input_size; k++) {
      int row = k / p->input_size, n = row / p->timesteps, t = row % p->timesteps;
      if (!problem_is_real(data, n, t)) x[problem_at(data->x_strides, n, t) + (size_t)(k % p->input_size)] = bad[i];
    }
    buffer_write(s.ctx, (void *)(uintptr_t)s.batch.x, x, s.x_count * sizeof *x);
    poison_outputs(&s);
    test_outputs after = test_forward(&s, &s.batch);
    EXPECT(test_same_outputs(&s, &before, &after), "%g in skipped rows of x changed the outputs", (double)bad[i]);
  }
}

/* ---- The same in other words ------------------------------------------------------------------------------------- */

/* Lengths as the mask that they stand for. */
static void lengths_equal_mask(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  test_outputs whole = test_forward(&s, &s.batch);
  problem_data masked = *s.data;
  int steps = masked.problem.timesteps;
  masked.lengths = NULL;
  masked.mask = test_memory((size_t)masked.problem.batch * (size_t)steps);
  for (int i = 0; i < masked.problem.batch * steps; i++)
    masked.mask[i] = (uint8_t)problem_is_real(s.data, i / steps, i % steps);
  if (!test_set_up(&other, s.ctx, &masked, NULL)) return;
  test_outputs out = test_forward(&other, &other.batch);
  judge("a mask for lengths", &s, &masked, &out, &whole);
}

/* Full lengths, and a mask of ones, as none at all. */
static void full_mask_is_none(const void *name) {
  test_setup s;
  if (!set_up_named(&s, name)) return;
  const problem *p = &s.data->problem;
  test_outputs whole = test_forward(&s, &s.batch);
  rondo_batch lengths = s.batch, mask = s.batch;
  int32_t *all = test_memory((size_t)p->batch * sizeof *all);
  for (int n = 0; n < p->batch; n++) all[n] = p->timesteps;
  lengths.lengths = all;
  mask.mask =
      memset(test_memory((size_t)p->batch * (size_t)p->timesteps), 255, (size_t)p->batch * (size_t)p->timesteps);
  poison_outputs(&s);
  test_outputs with_lengths = test_forward(&s, &lengths);
  judge("full lengths", &s, s.data, &with_lengths, &whole);
  poison_outputs(&s);
  test_outputs with_mask = test_forward(&s, &mask);
  judge("a mask of ones", &s, s.data, &with_mask, &whole);
}

static void slots_equal_plain(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  test_outputs pooled = test_forward(&s, &s.batch);
  problem plain = s.data->problem;
  plain.slots = 0;
  if (!test_set_up(&other, s.ctx, test_data(&plain), NULL)) return;
  test_outputs out = test_forward(&other, &other.batch);
  judge("states not in slots", &s, other.data, &out, &pooled);
}

static void zero_rows(const problem_data *data, float *state, int columns) {
  const problem *p = &data->problem;
  for (int i = 0; state && i < p->num_layers * problem_directions(p) * p->batch; i++) {
    int part = i / p->batch, n = i % p->batch;
    float *row = state + problem_state_at(data, part / problem_directions(p), part % problem_directions(p), n);
    for (int j = 0; data->restart[n] && j < columns; j++) row[j] = 0;
  }
}

/* A restart is a state of zeros. */
static void restart_equals_zeros(const void *name) {
  test_setup s, other;
  if (!set_up_named(&s, name)) return;
  test_outputs restarted = test_forward(&s, &s.batch);
  problem_data zeroed = *s.data;
  size_t bytes = s.state_count * sizeof(float);
  if (zeroed.h_0) zeroed.h_0 = memcpy(test_memory(bytes), zeroed.h_0, bytes);
  if (zeroed.c_0) zeroed.c_0 = memcpy(test_memory(bytes), zeroed.c_0, bytes);
  zero_rows(&zeroed, zeroed.h_0, problem_output_size(&zeroed.problem));
  zero_rows(&zeroed, zeroed.c_0, zeroed.problem.hidden_size);
  zeroed.restart = NULL;
  if (!test_set_up(&other, s.ctx, &zeroed, NULL)) return;
  test_outputs out = test_forward(&other, &other.batch);
  judge("zeros for restarts", &s, &zeroed, &out, &restarted);
}

/* ---- Rows -------------------------------------------------------------------------------------------------------- */

static const char *const skipping[] = {"lstm:n5t6c7h9:len:h0",
                                       "lstm:n5t6c7h9:mask=left",
                                       "lstm:n6t9c7h17:mask=holes:zero:h0",
                                       "lstm:n5t6c7h9:back:len:h0",
                                       "lstm:n5t6c7h9:back:timeorder:time:mask=holes:h0",
                                       "lstm:n5t6c7h9:bi:strided:len:h0",
                                       "lstm:n5t6c7h9:bi=separate:mask=holes:h0",
                                       "lstm:n5t6c7h9l2:back:mask=left:h0",
                                       "lstm:n5t6c7h9l3:bi:back:len:h0:slots:restart",
                                       "lstm:n5t6c7h9:len:h0:peephole:norm:proj=5:zoneout=0.1:zoneoutc=0.3",
                                       "lstm:n33t19c3h5:len",
                                       "gru:n5t6c7h9:len:h0",
                                       "gru:n5t6c7h33l2:bi=sum:before:mask=rows:h0",
                                       "gru:n7t19c3h5:mask=holes:h0:head=3=softmax",
                                       "rnn:n5t6c7h9:back:mask=holes:h0",
                                       "rnn:n9t40c3h9:bi:mask=right",
                                       NULL};
static const char *const with_lengths[] = {"lstm:n5t6c7h9:len:h0",
                                           "lstm:n5t6c7h9l2:back:len",
                                           "gru:n4t5c6h11:bi:len:zero:h0",
                                           "rnn:n6t5c3h17:back:timeorder:len",
                                           "lstm:n5t6c7h9l2:bi=ave:time:strided:len:h0:slots:restart",
                                           NULL};
static const char *const full[] = {"lstm:n5t6c7h9:h0", "lstm:n3t5c7h9l2:bi:time:h0", "gru:n4t5c6h11:back",
                                   "rnn:n6t5c3h17:h0", NULL};
static const char *const pooled[] = {"lstm:n3t4c7h9:h0:slots",
                                     "lstm:n5t1c7h9l2:h0:slots",
                                     "lstm:n5t6c7h9:slots",
                                     "lstm:n5t6c7h9l2:bi:strided:len:h0:slots:proj=4",
                                     "gru:n4t5c6h11:back:mask=holes:h0:slots",
                                     "rnn:n6t5c3h17:h0:slots",
                                     NULL};
static const char *const restarted[] = {"lstm:n5t6c7h9:h0:restart",
                                        "lstm:n5t6c7h9l2:bi:len:h0:restart",
                                        "gru:n4t5c6h11:back:before:mask=holes:h0:slots:restart",
                                        "rnn:n6t5c3h17:h0:restart",
                                        "lstm:n1t3c5h7:h0:restart",
                                        NULL};

/* Bits of calls of other sizes, so not on CUDA, whose results have their bounds. */
const test_suite test_skipped = {
    "Skipped", TEST_REFERENCE | TEST_CPU,
    (const test_row[]){{"skipped_steps_are_not_there", skipped_steps_are_not_there, TEST_TABLE(skipping)},
                       {NULL, NULL, NULL, 0}}};

const test_suite test_masks = {"Masks", TEST_ALL | TEST_HOISTED,
                               (const test_row[]){{"no_real_steps", no_real_steps, TEST_TABLE(full)},
                                                  {"padding_is_not_read", padding_is_not_read, TEST_TABLE(skipping)},
                                                  {"lengths_equal_mask", lengths_equal_mask, TEST_TABLE(with_lengths)},
                                                  {"full_mask_is_none", full_mask_is_none, TEST_TABLE(full)},
                                                  {"slots_equal_plain", slots_equal_plain, TEST_TABLE(pooled)},
                                                  {"restart_equals_zeros", restart_equals_zeros, TEST_TABLE(restarted)},
                                                  {NULL, NULL, NULL, 0}}};
