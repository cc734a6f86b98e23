/* training.h - judges a training call: y, dx and all of dparams. */
#ifndef BENCH_TRAINING_H
#define BENCH_TRAINING_H

#include "subject.h"

/* What a run gave, on the host: y placed as the subject's, dx dense, dparams the whole block. */
typedef struct training_results {
  float *y, *dx, *dparams;
} training_results;

/* A run of the whole with a dy that is 0 outside the part; and the reference's of the part alone. Whatever they give is
 * to be freed. */
rondo_status training_run(training_results *got, subject *s, const subject_part *part);
rondo_status training_reference(training_results *want, subject *s, const subject_part *part);
void training_free(training_results *results);

/* How far the results of a part may be off, as a share of the largest number of their array. tf32: products' factors
 * are rounded. */
double training_allowance(const problem *part, int tf32);

/* Compares the two. The part's dx in got is 0 then. Nothing is judged where that much says too little. */
void training_judge(verdict *found, const subject *s, const subject_part *part, training_results *got,
                    const training_results *want, double allowed);

/* All of that, as subject_check has it. */
rondo_status training_check(subject *s, double most_flops, verdict *found);

#endif
