/* subject.h - one problem on one context, ready to run: plan, packed weights, input and output in its memory.
 *
 * A call computes y, the whole sequence of the last layer; with training also dx and the gradients of all weights, from
 * a dy of random numbers. That is what the peers do. */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include "check.h"
#include "problem.h"

typedef struct subject {
  rondo_context *ctx; /* borrowed */
  rondo_plan *plan;
  rondo_plan_desc desc;
  rondo_graph *graph; /* NULL until subject_freeze; then a run launches it */
  problem_data data;  /* on the host; weights as the plan's type holds them */
  int borrows_data;
  float *dy;         /* on the host, placed as y; training */
  rondo_batch batch; /* in the context's memory */
  const char *why;   /* the sentence of the last failure */
} subject;

/* desc: the plan that is wanted for p. ragged: lengths uniform in 1..T. After a failure nothing is left to close, and
 * why says what it was. */
rondo_status subject_open(subject *s, rondo_context *ctx, const problem *p, const rondo_plan_desc *desc, int ragged);
void subject_close(subject *s);

/* On numbers of the caller's, which are borrowed; dy (data->y_count) with training. */
rondo_status subject_open_data(subject *s, rondo_context *ctx, const problem_data *data, const float *dy,
                               const rondo_plan_desc *desc);

/* From now on a run is one launch of a frozen call. Not for training. */
rondo_status subject_freeze(subject *s);

/* One call, and waiting for its end. */
rondo_status subject_run(subject *s);

/* Times calls one by one: at least `least` of them, then until the seconds are over, at most `most`. times: (most).
 * How many; 0 after a failure. */
int subject_time(subject *s, double seconds, int least, int most, double *times);

/* Judges the y of the last run (check.h), with about so many floating point operations of the judge's: as it is slow,
 * it may look at evenly spread sequences, or at the timesteps that are processed first. The run itself is always whole,
 * and sequences do not depend on each other, nor steps on later ones. With training it makes a run of its own, and
 * judges y and all gradients (training.c). */
rondo_status subject_check(subject *s, double most_flops, verdict *found);

/* Whether products are of int8 or of pairs of bf16, which do several times the work of a multiply-add. */
int subject_has_words(const rondo_context *ctx, const problem *p);

/* What a context's results for a problem are judged by. */
compare_arithmetic subject_arithmetic(const rondo_context *ctx, const problem *p);

/* How many timesteps of all sequences neither lengths nor mask skip. */
double subject_rows(const subject *s);

/* ---- Between subject.c and training.c ---------------------------------------------------------------------------- */

/* A view of evenly spread sequences, and of the timesteps processed first. It borrows its arrays but lengths. */
typedef struct subject_part {
  problem_data data;
  int first, step, skipped; /* sequence n of the part is first + n * step, timestep t is skipped + t */
  size_t y_start;           /* where it begins in y */
  int32_t *lengths;         /* owned; NULL: none */
} subject_part;

/* flops: of the whole, forward. 1, or 0 without memory. Release lengths with free. */
int subject_part_of(subject_part *part, const subject *s, double most_flops, double flops);
rondo_status subject_no_memory(subject *s);

/* Keeps the library's sentence if a call failed. */
rondo_status subject_said(subject *s, rondo_status status);

#endif
