/* kernels_masks_ref.c - the twins of dropout.cu's kernels on host memory: plain loops in double. For tests. */
#include "kernels.h"

static double factor(const float *mask, const rondo_step *step, ptrdiff_t i, int masks, int gate, int columns, int j) {
  ptrdiff_t r = i % step->rows, n = step->row ? step->row[r].sequence : r;
  if (!mask) return 1;
  return (double)mask[(n * masks + (gate < masks ? gate : masks - 1)) * columns + j];
}

void rondo_mask_rows_ref(const rondo_mask_rows_args *args) {
  ptrdiff_t rows = (ptrdiff_t)args->steps * args->step.rows;
  int O = args->output_size, C = args->input_size, masks = args->masks;
  for (int k = 0; k < args->copies; k++)
    for (ptrdiff_t i = 0; i < rows; i++) {
      float *to = args->to + (k * rows + i) * args->to_row;
      for (int j = 0; j < O; j++)
        to[j] = (float)(args->h.at[i * args->h.stride + j] *
                        factor(args->recurrent_mask, &args->step, i, masks, args->first + k, O, j));
      for (int j = 0; j < C; j++)
        to[O + j] = (float)(args->x.at[i * args->x.stride + j] *
                            factor(args->input_mask, &args->step, i, masks, args->first + k, C, j));
    }
}

void rondo_mask_sums_ref(const rondo_mask_sums_args *args) {
  ptrdiff_t rows = (ptrdiff_t)args->steps * args->step.rows;
  for (ptrdiff_t i = 0; i < rows; i++)
    for (int j = 0; j < args->columns; j++) {
      ptrdiff_t at = i * args->columns + j;
      double sum = args->add ? (double)args->to[at] : 0;
      for (int k = 0; k < args->copies; k++)
        sum += (double)args->from[k * rows * args->columns + at] *
               factor(args->mask, &args->step, i, args->masks, args->first + k, args->columns, j);
      args->to[at] = (float)sum;
    }
}
