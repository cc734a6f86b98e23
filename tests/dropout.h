/* dropout.h - the numbers that dropout multiplies by. */
#ifndef RONDO_TESTS_DROPOUT_H
#define RONDO_TESTS_DROPOUT_H

#include "problem.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills dropout_masks and layer_masks with what data->seed draws, anew if there were some. 1, or 0 without memory. */
int dropout_draw(problem_data *data);

/* Floats of dropout_masks. */
size_t dropout_count(const problem *p);

/* Words 0..count - 1 of a sequence, as factors. */
void dropout_fill(float *to, size_t count, uint64_t seed, uint64_t sequence, float rate);

#ifdef __cplusplus
}
#endif

#endif
