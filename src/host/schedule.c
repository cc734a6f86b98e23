/* schedule.c - from lengths or a mask to compacted rows: a counting sort of the sequences by their real steps. */
#include "schedule.h"

#include "arena.h"

#include <string.h>

/* The arrays in scratch: order (N), count (N), first (N), active (T), steps (N), starts (T + 2), position (N, T). */
size_t rondo_schedule_bytes(const rondo_batch *batch) {
  if (!batch->lengths && !batch->mask) return 0;
  size_t n = (size_t)batch->batch, t = (size_t)batch->timesteps;
  size_t ints = rondo_size_add(rondo_size_mul(4, n), rondo_size_mul(2, t) + 2);
  if (batch->mask) ints = rondo_size_add(ints, rondo_size_mul(n, t));
  return rondo_size_mul(ints, sizeof(int));
}

/* One sequence's real steps; their positions go to position (T) if that is not NULL. */
static int count_mask(const uint8_t *mask, int timesteps, int reversed, int *position) {
  int steps = 0;
  for (int p = 0; p < timesteps; p++)
    if (mask[reversed ? timesteps - 1 - p : p]) position[steps++] = p;
  return steps;
}

/* order and count: the longest first, equals as they came. starts (T + 2): scratch. */
static void sort_rows(int batch, int timesteps, const int *steps, int *starts, int *order, int *count) {
  memset(starts, 0, ((size_t)timesteps + 2) * sizeof *starts);
  for (int n = 0; n < batch; n++) starts[timesteps - steps[n] + 1]++;
  for (int k = 0; k <= timesteps; k++) starts[k + 1] += starts[k];
  for (int n = 0; n < batch; n++) {
    int row = starts[timesteps - steps[n]]++;
    order[row] = n;
    count[row] = steps[n];
  }
}

/* active[s]: rows with more than s steps. They are sorted, so one walk from the end finds all. */
static void count_active(int batch, int most, const int *count, int *active) {
  int rows = batch;
  for (int s = 0; s < most; s++) {
    while (count[rows - 1] <= s) rows--;
    active[s] = rows;
  }
}

rondo_schedule rondo_schedule_make(const rondo_batch *batch, int reversed, void *scratch) {
  rondo_schedule s = {.batch = batch->batch, .timesteps = batch->timesteps, .reversed = reversed};
  s.steps = batch->timesteps;
  s.full = 1;
  if (!batch->lengths && !batch->mask) return s;
  size_t n_end = (size_t)batch->batch, t_end = (size_t)batch->timesteps;
  int *order = scratch, *count = order + n_end, *first = count + n_end, *steps = first + n_end;
  int *active = steps + n_end, *starts = active + t_end, *position = starts + t_end + 2;
  for (size_t n = 0; n < n_end; n++) {
    if (batch->mask)
      steps[n] = count_mask(batch->mask + n * t_end, batch->timesteps, reversed, position + n * t_end);
    else
      steps[n] = batch->lengths[n];
    first[n] = reversed ? batch->timesteps - steps[n] : 0;
  }
  sort_rows(batch->batch, batch->timesteps, steps, starts, order, count);
  s.full = 0;
  s.steps = count[0];
  count_active(batch->batch, s.steps, count, active);
  s.order = order, s.count = count, s.active = active;
  s.first = batch->mask ? NULL : first;
  s.position = batch->mask ? position : NULL;
  return s;
}
