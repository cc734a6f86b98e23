/* bench.h - what the modes of bench_lstm share: a line of the table, the speech run, where results go. */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "limits.h"
#include "options.h"
#include "recording.h"
#include "shapes.h"
#include "subject.h"
#include "timing.h"

#include <stdio.h>

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
  const char *limit_of; /* the name of a limits_unit, or "weights": which of the two binds */
} result;

enum { SPEECH_FRAME_MS = 32 }; /* of sound: 512 samples at 16 kHz */

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

/* ---- Modes: each runs what the options say ----------------------------------------------------------------------- */

exit_code table_run(const options *o);
exit_code ladder_run(const options *o);
exit_code growth_run(const options *o);
exit_code sessions_run(const options *o);
exit_code worker_run(const options *o); /* answers one line of stdin after the other until it ends */

/* ---- Parts of them ----------------------------------------------------------------------------------------------- */

/* problems.c: checks and times. When it fails, or is not offered (RONDO_UNSUPPORTED), the reason is in the result. name
 * and problem are set before. l: NULL: no limit is wanted. */
rondo_status problem_measure(result *r, rondo_context *ctx, const options *o, limits *l);

/* Sets the limit of a result, whose flops are known; 0 where it is not known. Measured again at every call. */
void problem_limit(result *r, const rondo_context *ctx, const problem *p, limits *l);
double result_least(const result *r); /* seconds of the fastest call */

/* Limits of the context's machine, nothing for a GPU. */
void limits_of_context(limits *l, const rondo_context *ctx, const options *o);

/* speech.c. The second streams only: h and c (F + 1, H) receive the state before the first frame, and after each. The
 * layer and the sizes of desc are set there. */
rondo_status speech_measure(speech *s, rondo_context *ctx, const options *o, char *message, size_t size);
rondo_status speech_states(const recording *r, rondo_context *ctx, const rondo_plan_desc *desc, float *h, float *c);
int speech_wrong(const speech *s);

/* Whether a context's GPU is a stand-in that runs kernels on the CPU. */
int is_simulated(const rondo_context *ctx);

/* ---- Where results go -------------------------------------------------------------------------------------------- */

/* output.c: text for people, nowhere when JSON goes to stdout; and JSON, NULL: not wanted. */
typedef struct output {
  FILE *text, *json;
  const char *json_name;
} output;

/* Fails, with a sentence, when the JSON file cannot be written. */
exit_code output_open(output *out, const options *o);
exit_code output_close(output *out);

/* report.c: text. width: of the longest name. */
void report_header(FILE *out, const rondo_context *ctx, const limits *l);
void report_columns(FILE *out, int width, int frozen);
void report_row(FILE *out, const result *r, int width, int frozen);
void report_notes(FILE *out, const result *results, int count, int width, int frozen);
void report_speech(FILE *out, const speech *s);
char *report_limit(const result *r, char *text, size_t size); /* "84% fma", "-" */
char *report_rate(double value, char *text, size_t size);     /* four digits, and never an exponent */

/* report_json.c: one document. The first opens it, and leaves place for members; a result's object is left open for
 * more of them, too. */
void report_json_begin(FILE *out, const rondo_context *ctx, const limits *l);
void report_json_result(FILE *out, const result *r);
void report_json_table(FILE *out, const rondo_context *ctx, const limits *l, const result *results, int count,
                       const speech *s);

#endif
