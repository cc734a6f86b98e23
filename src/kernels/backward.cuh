/* backward.cuh - what the backward kernels of the cells share: the gradient by the h of a step. */
#ifndef RONDO_BACKWARD_CUH
#define RONDO_BACKWARD_CUH

#include "device.cuh"

/* dy of the step and of the positions that repeat it. */
__device__ inline float gradient_by_y(const rondo_output_gradient &out, const rondo_step &step, const Place &at,
                                      int64_t r, int j) {
  const float *dy = out.dy + at.sequence * out.dy_sequence + j;
  int after = at.position + 1;
  if (out.repeats && step.row)
    after = at.ends ? step.timesteps : position_of(step.row[r], step.position, r, step.timesteps, step.step + 1);
  float sum = 0;
  for (int64_t p = at.position; p < after; p++) sum += dy[p * out.dy_timestep];
  return sum;
}

/* By column j of the h of row r: from all its places. O: columns of dh. */
__device__ inline float gradient_by_h(const rondo_output_gradient &out, const rondo_step &step, const Place &at,
                                      int64_t r, int j, int O) {
  float dh = at.ends ? load_row<1>(out.dh_n, at.state, j).at[0] : out.dh[r * O + j];
  if (out.dy) dh += gradient_by_y(out, step, at, r, j);
  const bool last = at.ends && !(out.zero_y_last && at.position != step.timesteps - 1);
  return last ? dh + load_row<1>(out.dy_last, at.sequence, j).at[0] : dh;
}

#endif
