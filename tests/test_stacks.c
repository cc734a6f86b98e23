/* test_stacks.c - layers on top of each other, and a head on them, do what each of them does alone: within its bounds,
 * and with its bits but where cuBLAS chooses by its own lights. Not on the reference, whose doubles go from layer to
 * layer unrounded. */
#include "dense.h"

#include <string.h>

/* Whether layer `layer` reads its rows in the opposite order of x. */
static int is_turned(const problem *p, int layer) {
  return p->go_backwards && !p->time_order && layer % 2;
}

/* Floats before the states of a layer. */
static size_t states_before(const problem_data *data, int layer) {
  size_t rows = (size_t)(data->slot_count ? data->slot_count : data->problem.batch);
  return (size_t)(layer * problem_directions(&data->problem)) * rows * data->state_stride;
}

/* One layer of a stack as a problem of its own: it reads what the layer below gave, x (N, T, width). Shares the arrays
 * of data. */
static problem_data layer_alone(const problem_data *data, int layer, float *x) {
  problem p = data->problem;
  int directions = problem_directions(&p), steps = p.timesteps;
  problem_data alone;
  p.input_size = problem_inputs(&p, layer);
  p.num_layers = 1;
  if (p.lengths || p.mask) p.lengths = 0, p.mask = MASK_HOLES;
  problem_layout(&alone, &p);
  alone.x = data->x;
  if (layer) {
    size_t width = (size_t)p.input_size;
    alone.x = x;
    alone.x_strides = (rondo_strides){(size_t)steps * width, width, 0};
    alone.x_count = (size_t)p.batch * (size_t)steps * width;
  }
  if (p.mask) alone.mask = test_memory((size_t)p.batch * (size_t)steps);
  for (int i = 0; alone.mask && i < p.batch * steps; i++) {
    int n = i / steps, t = i % steps;
    alone.mask[i] = (uint8_t)problem_is_real(data, n, is_turned(&p, layer) ? steps - 1 - t : t);
  }
  size_t before = states_before(data, layer);
  if (data->h_0) alone.h_0 = data->h_0 + before;
  if (data->c_0) alone.c_0 = data->c_0 + before;
  alone.slots = data->slots;
  alone.restart = data->restart;
  for (int d = 0; d < directions; d++) {
    alone.weights[d] = data->weights[layer * directions + d];
    alone.weights[d].layer = 0;
  }
  alone.weights_count = directions;
  return alone;
}

/* The lowest layers of a stack as a stack of their own, whose y is what goes into the next. Shares the arrays too. */
static problem_data lowest_layers(const problem_data *data, int count) {
  problem_data lowest = *data, sized;
  lowest.problem.num_layers = count;
  problem_layout(&sized, &lowest.problem);
  lowest.state_count = sized.state_count;
  lowest.weights_count = count * problem_directions(&lowest.problem);
  return lowest;
}

/* The states of one layer of a stack, as if it were alone. */
static test_outputs states_of(const problem_data *data, int layer, const test_outputs *stack) {
  size_t before = states_before(data, layer);
  return (test_outputs){.h_n = stack->h_n + before, .c_n = stack->c_n ? stack->c_n + before : NULL};
}

/* Each layer of a stack makes of the y below what it should, within its bounds: the y of a stack that ends below. And a
 * stack has the bits of its layers one after another. */
static void layer_by_layer(const void *name) {
  test_setup whole;
  if (!set_up_named(&whole, name)) return;
  const problem_data *data = whole.data;
  int same_bits = is_exact(whole.ctx) || test_is_simt(whole.ctx);
  test_outputs all = test_forward(&whole, &whole.batch), top = {0};
  float *x = NULL;
  for (int l = 0; l < data->problem.num_layers; l++) {
    problem_data alone = layer_alone(data, l, x), lowest = lowest_layers(data, l + 1);
    test_setup one, stack;
    if (!test_set_up(&one, whole.ctx, &alone, NULL) || !test_set_up(&stack, whole.ctx, &lowest, NULL)) return;
    test_outputs out = test_forward(&stack, &stack.batch), in_all = states_of(data, l, &all);
    top = states_of(data, l, &out);
    top.y = out.y, top.y_last = out.y_last;
    expect_bounds("a layer of a stack", &alone, &top);
    dense got = dense_of(&alone, &top), states = dense_of(&alone, &in_all);
    x = got.y;
    if (!same_bits) continue;
    test_outputs itself = test_forward(&one, &one.batch);
    dense by_itself = dense_of(&alone, &itself);
    dense_expect_same("a layer by itself", &by_itself, &got);
    dense_expect_same("a layer of the whole stack", &states, &got);
  }
  if (same_bits) EXPECT(test_same_bits(all.y, top.y, whole.y_count), "the same stack gave another y");
}

/* The same problem without its head, and the head as a plan of its own that reads its y and y_last. */
static problem_data head_alone(const problem_data *data, float *x, int timesteps) {
  problem p = {.cell = RONDO_DENSE, .batch = data->problem.batch, .timesteps = timesteps, .num_layers = 1};
  problem_data head;
  p.input_size = problem_width(&data->problem);
  p.hidden_size = data->problem.head_units;
  p.activation = data->problem.head_activation;
  problem_layout(&head, &p);
  head.x = x;
  head.weights[0] = data->weights[data->weights_count - 1];
  head.weights[0].layer = 0;
  head.weights_count = 1;
  return head;
}

static void head_is_dense(const void *name) {
  test_setup whole, bare, dense_y, dense_last;
  if (!set_up_named(&whole, name)) return;
  problem_data below = *whole.data;
  below.problem.head_units = 0;
  problem_layout(&below, &below.problem);
  problem_data kept = *whole.data;
  below.x = kept.x, below.h_0 = kept.h_0, below.c_0 = kept.c_0, below.lengths = kept.lengths, below.mask = kept.mask;
  memcpy(below.weights, kept.weights, sizeof below.weights);
  below.weights_count = kept.weights_count - 1;
  if (!test_set_up(&bare, whole.ctx, &below, NULL)) return;
  test_outputs out = test_forward(&bare, &bare.batch), all = test_forward(&whole, &whole.batch);
  dense rows = dense_of(&below, &out), expected = dense_of(whole.data, &all);
  problem_data of_y = head_alone(whole.data, rows.y, kept.problem.timesteps);
  problem_data of_last = head_alone(whole.data, rows.y_last, 1);
  if (!test_set_up(&dense_y, whole.ctx, &of_y, NULL) || !test_set_up(&dense_last, whole.ctx, &of_last, NULL)) return;
  test_outputs y = test_forward(&dense_y, &dense_y.batch), last = test_forward(&dense_last, &dense_last.batch);
  dense got = dense_of(&of_y, &y);
  got.y_last = dense_of(&of_last, &last).y_last;
  got.h_n = rows.h_n, got.h_count = rows.h_count;
  got.c_n = rows.c_n, got.c_count = rows.c_count;
  if (is_exact(whole.ctx) || test_is_simt(whole.ctx)) dense_expect_same("a dense plan on y", &got, &expected);
  expect_bounds("a dense plan on y", &of_y, &y);
  expect_bounds("a head", &of_y, &(test_outputs){.y = expected.y});
}

static const char *const stacks[] = {"lstm:n3t5c7h9l2",
                                     "lstm:n2t9c6h5l3:h0",
                                     "lstm:n4t6c8h33l3:back:strided",
                                     "lstm:n1t20c256h256l2:back:h0",
                                     "lstm:n1t257c3h5l2:h0",
                                     "lstm:n3t5c7h9l3:bi:strided:h0",
                                     "lstm:n4t5c7h9l3:back:len:h0",
                                     "lstm:n4t5c7h9l3:back:timeorder:mask=holes:h0",
                                     "lstm:n5t6c7h9l2:bi:back:mask=left:zero:h0:slots:restart",
                                     "lstm:n5t6c7h9l2:bi=sum:len:h0:peephole:proj=5",
                                     "lstm:n3t5c7h9l2:mask=holes:h0:norm:zoneout=0.2:zoneoutc=0.1",
                                     "gru:n4t5c7h9l3:bi=mul:time:len:h0",
                                     "gru:n4t5c7h33l2:back:before:mask=rows:h0",
                                     "rnn:n4t5c7h17l3:bi=ave:len:act=relu",
                                     NULL};
static const char *const heads[] = {"lstm:n3t4c5h7:h0:head=3",
                                    "lstm:n5t6c7h9l2:bi:mask=holes:h0:head=5=sigmoid",
                                    "gru:n4t5c6h11:back:time:strided:len:head=10=softmax",
                                    "gru:n4t5c6h11:bi=sum:len:zero:head=1=sigmoid",
                                    "rnn:n6t5c3h17:h0:head=33=gelu",
                                    NULL};

const test_suite test_stacks = {"Stacks", TEST_CPU | TEST_CUDA | TEST_HOISTED,
                                (const test_row[]){{"layer_by_layer", layer_by_layer, TEST_TABLE(stacks)},
                                                   {"head_is_dense", head_is_dense, TEST_TABLE(heads)},
                                                   {NULL, NULL, NULL, 0}}};
