/* training_weights.c - the end of backward, each over all rows: dW = x^T d_input, dR = h_before^T d_product,
 * dP = hidden^T d_projected, biases and the like sums of columns, and dx = d_input @ W^T. With dropout x and h_before
 * are multiplied by their masks on the way, and so is d_input @ W^T, gate by gate where each has its own. */
#include "cpu/training.h"

/* ---- gradients of weights ---------------------------------------------------------------------------------------- */

static float *gradient_of(const rondo_cpu_training *call, rondo_param which) {
  return call->gradient->dparams + rondo_canonical(call->layer, call->inputs, which).offset;
}

/* dparams[which] (columns) += the sums over all rows of d (M rows, `columns` of each), or of d * by. */
static void sum_columns(const rondo_cpu_training *call, float *to, size_t columns, rondo_rows d, const rondo_rows *by,
                        int thread) {
  enum { COLUMNS = 64 };
  rondo_range own = rondo_share(columns, thread, call->threads);
  for (size_t begin = own.begin; begin < own.end; begin += COLUMNS) {
    size_t count = own.end - begin < COLUMNS ? own.end - begin : COLUMNS;
    double sums[COLUMNS] = {0};
    for (size_t row = 0; row < call->rows; row++) {
      const float *v = rondo_row(&d, row) + begin, *factor = by ? rondo_row(by, row) + begin : NULL;
      for (size_t j = 0; j < count; j++) sums[j] += factor ? (double)v[j] * (double)factor[j] : (double)v[j];
    }
    for (size_t j = 0; j < count; j++) to[begin + j] = (float)((double)to[begin + j] + sums[j]);
  }
}

/* dparams[which], an array (1, columns). */
static void sum_array(const rondo_cpu_training *call, rondo_param which, const float *d, const float *by, int thread) {
  size_t columns = rondo_canonical(call->layer, call->inputs, which).columns;
  rondo_rows factors = rondo_rows_dense(by, columns);
  if (call->weights[which])
    sum_columns(call, gradient_of(call, which), columns, rondo_rows_dense(d, columns), by ? &factors : NULL, thread);
}

static void sum_peephole(const rondo_cpu_training *call, int thread) {
  size_t units = call->units;
  float *to = gradient_of(call, RONDO_PEEPHOLE);
  const float *d = call->work.d_input;
  rondo_rows before = {.table = call->work.c_before}, cell = rondo_rows_dense(call->kept.cell, units);
  sum_columns(call, to, units, rondo_rows_dense(d, call->columns), &before, thread);
  sum_columns(call, to + units, units, rondo_rows_dense(d + units, call->columns), &before, thread);
  sum_columns(call, to + 2 * units, units, rondo_rows_dense(d + 3 * units, call->columns), &cell, thread);
}

static void sum_vectors(const rondo_cpu_training *call, int thread) {
  const rondo_cpu_training_work *w = &call->work;
  sum_array(call, RONDO_BIAS, w->d_input, NULL, thread);
  sum_array(call, RONDO_RECURRENT_BIAS, w->d_recurrent, NULL, thread);
  sum_array(call, RONDO_GAMMA_KERNEL, w->d_input, call->kept.normal_x, thread);
  sum_array(call, RONDO_GAMMA_RECURRENT, w->d_recurrent, call->kept.normal_h, thread);
  sum_array(call, RONDO_GAMMA_CELL, w->d_normal, call->kept.normal_cell, thread);
  sum_array(call, RONDO_BETA_CELL, w->d_normal, NULL, thread);
  if (call->weights[RONDO_PEEPHOLE]) sum_peephole(call, thread);
}

/* Adds to args: part of an array += A^T d. */
static void add_factor(const rondo_cpu_training *call, rondo_outer_args *args, rondo_param which, size_t begin,
                       rondo_outer_factor factor) {
  size_t stride = rondo_canonical(call->layer, call->inputs, which).columns;
  factor.c = rondo_rows_dense(gradient_of(call, which) + begin, stride);
  args->factor[args->count++] = factor;
}

/* All of args, from a part of the columns of d. */
static void sum_matrices(const rondo_cpu_training *call, const float *d, size_t stride, rondo_cpu_training_part part,
                         rondo_outer_args *args, int thread) {
  args->depth = call->rows;
  args->columns = part.columns;
  args->b = rondo_rows_dense(d + part.begin, stride);
  args->turned = call->work.turned, args->packed = call->work.packed;
  rondo_gemm_outer(&call->kernels->gemm, args, call->pool, thread, call->threads);
}

/* Of part i of dW. */
static void add_inputs(const rondo_cpu_training *call, rondo_outer_args *args, int i) {
  rondo_outer_factor x = {.a = {.table = call->work.x},
                          .rows = call->inputs,
                          .mask = call->work.input_mask,
                          .mask_begin = (size_t)i * call->inputs};
  add_factor(call, args, RONDO_KERNEL, call->input_parts.part[i].begin, x);
}

/* Of part i of dR. With reset_before the last is that of r * h, which is kept with its mask. */
static void add_state(const rondo_cpu_training *call, rondo_outer_args *args, int i) {
  rondo_outer_factor h = {.a = {.table = call->work.h_before},
                          .rows = call->outputs,
                          .mask = call->work.recurrent_mask,
                          .mask_begin = (size_t)i * call->outputs};
  if (call->layer->reset_before && i == call->back_parts.count - 1)
    h = (rondo_outer_factor){.a = rondo_rows_dense(call->kept.recurrent, call->units), .rows = call->units};
  add_factor(call, args, RONDO_RECURRENT_KERNEL, call->back_parts.part[i].begin, h);
}

/* dW and dR; together where both come from the same parts of the same gradients. */
static void sum_kernels(const rondo_cpu_training *call, int thread) {
  const rondo_cpu_training_parts *of_x = &call->input_parts, *of_h = &call->back_parts;
  const rondo_cpu_training_work *w = &call->work;
  int recurrent = call->weights[RONDO_RECURRENT_KERNEL] != NULL;
  int together = recurrent && w->d_input == w->d_product && of_x->count == of_h->count;
  for (int i = 0; i < of_x->count; i++) {
    rondo_outer_args args = {.count = 0};
    add_inputs(call, &args, i);
    if (together) add_state(call, &args, i);
    sum_matrices(call, w->d_input, call->columns, of_x->part[i], &args, thread);
  }
  for (int i = 0; recurrent && !together && i < of_h->count; i++) {
    rondo_outer_args args = {.count = 0};
    add_state(call, &args, i);
    sum_matrices(call, w->d_product, call->columns, of_h->part[i], &args, thread);
  }
}

static void sum_projection(const rondo_cpu_training *call, int thread) {
  rondo_outer_factor hidden = {.a = rondo_rows_dense(call->kept.hidden, call->units), .rows = call->units};
  rondo_outer_args args = {.count = 0};
  add_factor(call, &args, RONDO_PROJECTION, 0, hidden);
  sum_matrices(call, call->work.d_projected, call->outputs, (rondo_cpu_training_part){0, call->outputs}, &args, thread);
}

/* With layer_norm d_input becomes the gradient by x @ W. */
static void finish_input_gradient(const rondo_cpu_training *call, int thread) {
  rondo_range own = rondo_share(call->rows, thread, call->threads);
  for (size_t row = own.begin; row < own.end; row++) {
    size_t at = row * call->columns;
    rondo_cpu_training_normal_gradient(call->work.d_input + at, call->kept.normal_x + at,
                                       call->weights[RONDO_GAMMA_KERNEL], call->kept.scale_x[row], call->columns);
  }
}

/* ---- dx ---------------------------------------------------------------------------------------------------------- */

/* A part of d_input @ W^T, to dx or with dropout to masked_x. */
static void multiply_part(const rondo_cpu_training *call, rondo_cpu_training_part part, int thread) {
  rondo_gemm_args args = {.rows = call->rows,
                          .columns = call->inputs,
                          .depth = part.columns,
                          .a = rondo_rows_dense(call->work.d_input + part.begin, call->columns),
                          .b = call->work.kernel_turned + rondo_cpu_training_stream(call, part.begin),
                          .stream = rondo_cpu_training_stream(call, call->columns),
                          .c = {.table = call->work.dx},
                          .add = call->gradient->add_dx};
  if (call->work.input_mask) args.c = rondo_rows_dense(call->work.masked_x, call->inputs), args.add = 0;
  rondo_gemm(&call->kernels->gemm, &args, thread, call->threads);
}

/* dx (+)= masked_x * mask `number` */
static void add_masked(const rondo_cpu_training *call, size_t number, int thread) {
  rondo_range own = rondo_share(call->rows, thread, call->threads);
  size_t count = call->inputs;
  int add = call->gradient->add_dx || number > 0;
  for (size_t row = own.begin; row < own.end; row++) {
    const float *from = call->work.masked_x + row * count, *mask = call->work.input_mask[row] + number * count;
    float *dx = call->work.dx[row];
    for (size_t k = 0; k < count; k++) dx[k] = add ? dx[k] + mask[k] * from[k] : mask[k] * from[k];
  }
}

static void multiply_inputs(const rondo_cpu_training *call, int thread) {
  for (int i = 0; i < call->input_parts.count; i++) {
    multiply_part(call, call->input_parts.part[i], thread);
    if (!call->work.input_mask) continue;
    rondo_cpu_training_barrier(call);
    add_masked(call, (size_t)i, thread);
    rondo_cpu_training_barrier(call);
  }
}

void rondo_cpu_training_finish(const rondo_cpu_training *call, int thread) {
  const rondo_gradient *g = call->gradient;
  if (g->dparams) sum_vectors(call, thread);
  if (call->layer->layer_norm) {
    rondo_cpu_training_barrier(call);
    finish_input_gradient(call, thread);
    rondo_cpu_training_barrier(call);
  }
  if (g->dparams) sum_kernels(call, thread);
  if (g->dparams && call->weights[RONDO_PROJECTION]) sum_projection(call, thread);
  if (g->dx) multiply_inputs(call, thread);
}
