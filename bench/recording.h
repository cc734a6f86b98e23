/* recording.h - a real model's LSTM as it was recorded on speech (tests/data): weights, the input of every frame, and h
 * after every frame. */
#ifndef BENCH_RECORDING_H
#define BENCH_RECORDING_H

#include "compare.h"
#include "tensors.h"

/* Arrays belong to the file. frames F, inputs C, units H. */
typedef struct recording {
  tensors *file;
  int frames, inputs, units;
  const float *x, *kernel, *recurrent_kernel, *bias, *h_0, *c_0; /* (F, C), (4H, C), (4H, H), (8H), (H), (H) */
  const float *y;                                                /* (F, H), from the runtime that was recorded */
  const double *y_exact;                                         /* (F, H), from the same numbers in double */
} recording;

/* 1; or 0 and a sentence in message (TENSORS_MESSAGE bytes). Release with recording_free in any case. */
int recording_read(recording *r, const char *path, char *message);
void recording_free(recording *r);

/* Weights in ONNX's order, as rondo_pack takes them. */
rondo_weights recording_weights(const recording *r);

/* Judges every frame by itself: h and c (F + 1, H) are the states before the first frame, then after each. From the
 * very state before it, a frame is computed in double, with weights rounded to the type, and the next state held to
 * that: *share is the largest error as a share of its bound, above 1 is wrong. 1, or 0 without memory. */
int recording_judge(double *share, const recording *r, rondo_dtype weights, compare_arithmetic unit, const float *h,
                    const float *c);

#endif
