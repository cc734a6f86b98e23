/* training_merge.c - y = a + b, a * b or (a + b) / 2 of the two directions, and da, db from dy. */
#include "cpu/training.h"

#include "cpu/float_mode.h"

static void merge_row(rondo_merge merge, const float *a, const float *b, float *y, size_t count) {
  for (size_t j = 0; j < count; j++) switch (merge) {
      case RONDO_MUL: y[j] = a[j] * b[j]; break;
      case RONDO_AVE: y[j] = (a[j] + b[j]) * 0.5f; break;
      default: y[j] = a[j] + b[j];
    }
}

/* One half's gradient; other: the other half. */
static void split_row(rondo_merge merge, const float *dy, const float *other, float *d, size_t count) {
  for (size_t j = 0; j < count; j++) {
    float factor = merge == RONDO_MUL ? other[j] : merge == RONDO_AVE ? 0.5f : 1.0f;
    d[j] = dy ? dy[j] * factor : 0.0f;
  }
}

rondo_status rondo_cpu_training_merge(const rondo_plan *plan, rondo_context *ctx, const rondo_merge_args *args) {
  (void)plan, (void)ctx;
  size_t count = (size_t)args->columns, at = 0;
  unsigned mode = rondo_enter_float_mode();
  for (int t = 0; t < args->timesteps; t++)
    for (int n = 0; n < args->batch; n++, at += count) {
      ptrdiff_t row = n * args->y_sequence + t * args->y_timestep;
      if (args->y) merge_row(args->merge, args->a + at, args->b + at, args->y + row, count);
      if (args->da) split_row(args->merge, args->dy ? args->dy + row : NULL, args->b + at, args->da + at, count);
      if (args->db) split_row(args->merge, args->dy ? args->dy + row : NULL, args->a + at, args->db + at, count);
    }
  rondo_leave_float_mode(mode);
  return RONDO_OK;
}
