/* bench.h - what the parts of bench_lstm share: the options, a line of the table, the speech run. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "limits.h"
#include "recording.h"
#include "shapes.h"
#include "subject.h"
#include "timing.h"

#include <stdio.h>

typedef enum exit_code {
  EXIT_FINE = 0,
  EXIT_WRONG = 1, /* a result is out of its bound, or a call failed */
  EXIT_USAGE = 2  /* bad arguments, or the backend cannot run here */
} exit_code;

typedef struct options {
  rondo_context_desc context; /* backend, threads, max_isa */
  rondo_algorithm algorithm;
  int allow_tf32;
  rondo_dtype weights;
  int training, recompute; /* forward and backward are one call */
  float dropout, recurrent_dropout;
  int ragged;         /* lengths uniform in 1..T */
  double seconds;     /* for the timed calls of a problem */
  const char *json;   /* file, "-" for stdout, NULL: none */
  const char *speech; /* recorded speech, NULL: none */
  int worker, list, help, version;
  const char **problems; /* names or problem strings */
  int problem_count;
} options;

/* A problem with what the options add to it, and the plan that they want for it. */
rondo_plan_desc options_plan(const options *o, problem *p);

/* One line of the table. */
typedef struct result {
  const char *name;
  char problem[PROBLEM_TEXT], plan[256];
  char reason[512]; /* why it did not run, such as the library's sentence; then nothing below is set. "": it ran */
  double steps;     /* batch, the sequences of a call, times timesteps */
  double rows;      /* those of the steps that neither lengths nor mask skip */
  int batch, training;
  rondo_dtype weights;
  double flops; /* of these rows; training: of backward too */
  verdict check;
  spread plain, frozen; /* seconds of rondo_forward, and of a graph's launch (CUDA only) */
  double limit_seconds; /* the machine cannot be faster; 0: not known */
  const char *limit_of; /* "fma" or "weights": which of the two binds */
} result;

/* Recorded speech streamed frame by frame. */
typedef struct speech {
  char model[256], plan[256];
  int frames;
  double error, error_exact; /* largest difference of h from the recorded floats, and from the recorded doubles */
  double recorder_error;     /* of the recorded floats from the recorded doubles */
  double bound;              /* for error_exact, from the recording; infinite: where weights or factors are rounded */
  double share;              /* largest error of a frame by itself as a share of its bound; above 1 is wrong */
  spread frame;              /* seconds: one frame copied in, one step, h copied out */
} speech;

/* problems.c: checks and times. When it fails, or is not offered (RONDO_UNSUPPORTED), the reason is in the result. */
rondo_status problem_measure(result *r, rondo_context *ctx, const options *o, limits *l);

/* speech.c. The second streams only: h and c (F + 1, H) receive the state before the first frame, and after each. The
 * layer and the sizes of desc are set there. */
rondo_status speech_measure(speech *s, rondo_context *ctx, const options *o, char *message, size_t size);
rondo_status speech_states(const recording *r, rondo_context *ctx, const rondo_plan_desc *desc, float *h, float *c);
int speech_wrong(const speech *s);

/* worker.c: answers one line of stdin after the other until it ends. */
void worker_run(const options *o);

/* report.c: text for people on out; and everything as one JSON document. width: of the longest name. */
void report_header(FILE *out, const char *context, const limits *l, int simulated);
void report_columns(FILE *out, int width, int frozen);
void report_row(FILE *out, const result *r, int width, int frozen);
void report_notes(FILE *out, const result *results, int count, int width, int frozen);
void report_speech(FILE *out, const speech *s);
void report_json(FILE *out, const char *context, const limits *l, int simulated, const result *results, int count,
                 const speech *s);

/* Whether a context's GPU is a stand-in that runs kernels on the CPU. */
int is_simulated(const rondo_context *ctx);

#endif
