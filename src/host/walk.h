/* walk.h - from a batch to the passes of its layers: every pointer and distance resolved. Shared by the forward walk
 * (execute.c) and by training (training.c), which differ only in where the arrays between layers lie. */
#ifndef RONDO_WALK_H
#define RONDO_WALK_H

#include "internal.h"

/* The arrays of one layer that are not the caller's. All dense and time-major, as large as the call. */
typedef struct rondo_places {
  float *below;        /* (T, N, width): y of the layer below; unused by layer 0, which reads x */
  float *y;            /* (T, N, width): for the layer above or the head; unused where the caller's y is written */
  float *last;         /* (N, width): y_last for the head */
  float *half[2];      /* (T, N, O): each direction's y by itself, where training merges them; NULL: merged at once */
  float *last_half[2]; /* (N, O) */
} rondo_places;

/* Whether y of this layer goes to places->y. */
int rondo_is_buffered(const rondo_plan *plan, int index);

/* Schedules from the first timestep of x on, and from the last, in the context's scratch. */
rondo_status rondo_make_schedules(rondo_context *ctx, const rondo_batch *batch, rondo_schedule schedules[2]);

/* Of them, the one of a layer and direction. */
const rondo_schedule *rondo_pick_schedule(const rondo_plan *plan, const rondo_schedule schedules[2], int index,
                                          int direction);

/* The pass of a layer and direction, without workspace and reserve. A NULL in batch stays NULL. */
rondo_pass rondo_resolve_pass(const rondo_plan *plan, const rondo_batch *batch, const rondo_places *places,
                              const rondo_schedule *schedule, int index, int direction);

/* The head's pass over places->below (T, N, width) to y. over_last: over places->last (N, width) to y_last instead,
 * as if that were one timestep. whole: receives its schedule, which the pass points to. */
rondo_pass rondo_resolve_head(const rondo_plan *plan, const rondo_batch *batch, const rondo_places *places,
                              rondo_schedule *whole, int over_last);

#endif
