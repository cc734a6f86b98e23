/* hoisted.h - between stepwise.c, hoisted.c and the model of cost.c that chooses one of the two. */
#ifndef RONDO_CUDA_HOISTED_H
#define RONDO_CUDA_HOISTED_H

#include "stepwise.h"

/* Timesteps of a chunk, as prepare puts them into a plan. */
int rondo_cuda_stepwise_chunk(const rondo_plan *plan);
int rondo_cuda_hoisted_chunk(const rondo_plan *plan, const rondo_cuda_state *state);

/* training.c: whether a training plan can be hoisted. */
int rondo_cuda_trains_ahead(const rondo_plan *plan);

/* Adds to a plan's note what the model says of both. */
void rondo_cuda_note_model(rondo_plan *plan, const rondo_context *ctx, int ahead);

#endif
