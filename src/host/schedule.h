/* schedule.h - which rows take part in which step of a call.
 *
 * A sequence's real steps are those that neither lengths nor mask leave out, counted in the order in which a direction
 * processes them: step s of sequence n is at position p of its rows, 0 <= p < T. Sequences are compacted: row r of step
 * s is sequence order[r], the longest first, so the rows that take part in a step are a prefix and no work is spent on
 * ended ones. */
#ifndef RONDO_SCHEDULE_H
#define RONDO_SCHEDULE_H

#include "rondo/rondo.h"

/* Host memory, good until the next call of the context. */
typedef struct rondo_schedule {
  int batch, timesteps; /* N, T */
  int reversed;         /* position p is timestep T - 1 - p of lengths and mask */
  int steps;            /* S: the most real steps of a sequence; 0: there are none at all */
  int full;             /* every row takes part in all T steps in its own order; the arrays below are NULL */
  const int *order;     /* (N): the sequence of row r; stable among equals */
  const int *count;     /* (N): real steps of row r */
  const int *active;    /* (S): rows of step s */
  const int *first;     /* (N): sequence n's steps are at first[n] + s; NULL with a mask */
  const int *position;  /* (N, T): step s of sequence n is at position[n * T + s]; NULL without a mask */
} rondo_schedule;

/* Bytes of host scratch that rondo_schedule_make needs. */
size_t rondo_schedule_bytes(const rondo_batch *batch);

/* reversed: the direction processes from the last timestep to the first. scratch: aligned for int. */
rondo_schedule rondo_schedule_make(const rondo_batch *batch, int reversed, void *scratch);

static inline int rondo_schedule_row(const rondo_schedule *s, int r) {
  return s->full ? r : s->order[r];
}

static inline int rondo_schedule_count(const rondo_schedule *s, int r) {
  return s->full ? s->timesteps : s->count[r];
}

static inline int rondo_schedule_active(const rondo_schedule *s, int step) {
  return s->full ? s->batch : s->active[step];
}

/* Where step `step` of sequence n is. */
static inline int rondo_schedule_position(const rondo_schedule *s, int n, int step) {
  if (s->full) return step;
  return s->position ? s->position[(size_t)n * (size_t)s->timesteps + (size_t)step] : s->first[n] + step;
}

#endif
