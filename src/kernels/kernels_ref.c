/* kernels_ref.c - the twins of the kernels on host memory: plain loops, sums and functions in double. For tests. */
#include "kernels.h"

#include <math.h>

void rondo_hx_gather_ref(const rondo_hx_gather_args *args) {
  for (ptrdiff_t t = 0; t < args->timesteps; t++)
    for (ptrdiff_t n = 0; n < args->batch; n++) {
      float *hx = args->hx + (t * args->batch + n) * args->hx_row;
      for (ptrdiff_t k = 0; k < args->input_size; k++)
        hx[args->hidden_size + k] = args->x[t * args->x_timestep + n * args->x_sequence + k];
      for (ptrdiff_t j = 0; j < args->hidden_size && args->with_h && t == 0; j++)
        hx[j] = args->h_0.at ? args->h_0.at[n * args->h_0.stride + j] : 0.0f;
    }
}

static double sigmoid(double a) {
  return 1.0 / (1.0 + exp(-a));
}

static void put(const rondo_rows *rows, ptrdiff_t n, ptrdiff_t j, double value) {
  if (rows->at) rows->at[n * rows->stride + j] = (float)value;
}

void rondo_lstm_cell_forward_ref(const rondo_lstm_cell_forward_args *args) {
  ptrdiff_t N = args->batch, H = args->hidden_size;
  for (ptrdiff_t n = 0; n < N; n++)
    for (ptrdiff_t j = 0; j < H; j++) {
      double a[4];
      for (ptrdiff_t l = 0; l < 4; l++) a[l] = (double)args->gates[(n * 4 + l) * H + j] + args->bias[l * H + j];
      double c = args->c_in.at ? args->c_in.at[n * args->c_in.stride + j] : 0.0;
      c = sigmoid(a[1]) * c + sigmoid(a[0]) * tanh(a[2]);
      double h = sigmoid(a[3]) * tanh(c);
      put(&args->c_out, n, j, c);
      put(&args->h_next, n, j, h);
      put(&args->y, n, j, h);
      put(&args->y_last, n, j, h);
      put(&args->h_n, n, j, h);
    }
}
