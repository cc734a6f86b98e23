/* dense.c - a Dense layer: all timesteps of a chunk are one product and one kernel.
 *
 *   sums (T, N, H) = x (T, N, F) @ matrix (F, H)     cuBLAS
 *   y = a(sums + bias)                               dense_forward
 *
 * Where rows of x lie evenly, one timestep's after the other's, the product reads them where they are; else, and when
 * they must be rounded for weights of 16 bits, hx_gather brings them together first. */
#include "stepwise.h"

rondo_cuda_matrix rondo_cuda_even_rows(const rondo_pass *pass, int start, int steps) {
  ptrdiff_t stride = pass->batch > 1 ? pass->x_sequence : steps > 1 ? pass->x_timestep : pass->input_size;
  int even = pass->batch == 1 || steps == 1 || pass->x_timestep == pass->batch * stride;
  if (!even || stride < pass->input_size || stride > INT32_MAX) return (rondo_cuda_matrix){NULL, 0};
  return (rondo_cuda_matrix){(float *)pass->x + start * pass->x_timestep, (int)stride}; /* only read */
}

static rondo_status chunk(rondo_cuda_run *run, int start, int steps) {
  const rondo_pass *pass = run->pass;
  int units = pass->hidden_size, last = start + steps == pass->timesteps;
  rondo_cuda_matrix x = rondo_cuda_even_rows(pass, start, steps), matrix = {run->params.matrix, units},
                    sums = {run->parts.gates, units};
  run->step.step = start;
  if (!x.at || rondo_cuda_type(run) != RONDO_F32) {
    TRY(rondo_cuda_gather(run, steps));
    x = (rondo_cuda_matrix){run->parts.hx, run->hx_row};
  }
  TRY(rondo_cuda_product(run, pass->batch * steps, units, pass->input_size, x, matrix, 0, sums));
  rondo_dense_forward_args args = {.batch = pass->batch,
                                   .timesteps = steps,
                                   .units = units,
                                   .sums = run->parts.gates,
                                   .bias = run->params.bias,
                                   .activation = pass->layer->activation,
                                   .y = pass->y ? pass->y + start * pass->y_timestep : NULL,
                                   .y_sequence = pass->y_sequence,
                                   .y_timestep = pass->y_timestep,
                                   .y_last = {last ? pass->y_last : NULL, pass->y_last_stride}};
  CUDA_TRY(rondo_dense_forward_cuda(&args, run->state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_dense(rondo_cuda_run *run) {
  const rondo_pass *pass = run->pass;
  run->step = (rondo_step){.rows = pass->batch, .timesteps = pass->timesteps};
  int start = pass->y ? 0 : pass->timesteps - 1; /* y_last alone needs no more */
  for (int steps; start < pass->timesteps; start += steps) {
    int left = pass->timesteps - start;
    steps = left < run->plan->chunk ? left : run->plan->chunk;
    TRY(chunk(run, start, steps));
  }
  return RONDO_OK;
}
