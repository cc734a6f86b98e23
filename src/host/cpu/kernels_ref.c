/* kernels_ref.c - the reference twins of the CPU kernels: one sum after another in double, straight from kernels.h.
 * Part of the tests, not of the library. */
#include "cpu/kernels.h"

#include <math.h>

void rondo_project_forward_ref(const rondo_project_forward_args *args, int lanes, double *sums, double *size) {
  for (int block = 0; block < args->blocks; block++)
    for (int m = 0; m < args->rows; m++) {
      const float *x = args->x + m % args->batch * args->x_sequence + m / args->batch * args->x_timestep;
      for (int column = 0; column < 4 * lanes; column++) {
        double bias = args->bias[block * 4 * lanes + column], sum = bias, absolute = fabs(bias);
        for (int k = 0; k < args->inputs; k++) {
          double term = (double)x[k] * args->weights[(block * args->inputs + k) * 4 * lanes + column];
          sum += term;
          absolute += fabs(term);
        }
        *sums++ = sum;
        *size++ = absolute;
      }
    }
}

static double sigmoid(double x) {
  return 1.0 / (1.0 + exp(-x));
}

void rondo_lstm_forward_ref(const rondo_lstm_forward_args *args, int lanes, double *a, double *size, double *c,
                            double *h) {
  int first = args->first_block * lanes, end = (args->first_block + args->blocks) * lanes;
  for (int n = 0; n < args->rows; n++)
    for (int unit = first; unit < end && unit < args->hidden; unit++) {
      int block = unit / lanes, lane = unit % lanes, at = n * args->hidden + unit;
      double *gates = a + 4 * at, *absolute = size + 4 * at;
      for (int g = 0; g < 4; g++) {
        gates[g] = args->sums[block * args->sums_block + (n * 4 + g) * lanes + lane];
        absolute[g] = fabs(gates[g]);
        for (int k = 0; k < args->hidden; k++) {
          double weight = args->weights[((block * args->hidden + k) * 4 + g) * lanes + lane];
          double term = args->h_in[n * args->h_in_stride + k] * weight;
          gates[g] += term;
          absolute[g] += fabs(term);
        }
      }
      double before = args->c_in ? args->c_in[n * args->c_in_stride + unit] : 0.0;
      c[at] = sigmoid(gates[1]) * before + sigmoid(gates[0]) * tanh(gates[2]);
      h[at] = sigmoid(gates[3]) * tanh(c[at]);
    }
}
