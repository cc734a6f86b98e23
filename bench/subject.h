/* subject.h - one problem on one context, ready to run: plan, packed weights, input and output in its memory.
 *
 * A call computes y, the whole sequence of the last layer, as the peers do. */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include "check.h"
#include "problem.h"

typedef struct subject {
  rondo_context *ctx; /* borrowed */
  rondo_plan *plan;
  rondo_graph *graph; /* NULL until subject_freeze; then a run launches it */
  problem_data data;  /* on the host */
  rondo_batch batch;  /* in the context's memory */
  const char *why;    /* the sentence of the last failure */
} subject;

/* desc: the plan that is wanted for p. After a failure nothing is left to close, and why says what it was. */
rondo_status subject_open(subject *s, rondo_context *ctx, const problem *p, const rondo_plan_desc *desc);
void subject_close(subject *s);

/* From now on a run is one launch of a frozen call. */
rondo_status subject_freeze(subject *s);

/* One call, and waiting for its end. */
rondo_status subject_run(subject *s);

/* Times calls one by one: at least `least` of them, then until the seconds are over, at most `most`. times: (most).
 * How many; 0 after a failure. */
int subject_time(subject *s, double seconds, int least, int most, double *times);

/* Judges the y of the last run (check.h), with about so many floating point operations of the judge's: as it is slow,
 * it may look at evenly spread sequences, or at the timesteps that are processed first. The run itself is always whole,
 * and sequences do not depend on each other, nor steps on later ones. */
rondo_status subject_check(subject *s, double most_flops, verdict *found);

#endif
