/* options.h - the command line of bench_lstm. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "problem.h"
#include "terminal.h"

/* What is run: a line of the table for each problem; or, of each problem, one of the others. */
typedef enum mode {
  MODE_TABLE = 0,
  MODE_LADDER,   /* from plain to fast (ladder.c) */
  MODE_GROWTH,   /* as work grows (growth.c) */
  MODE_SESSIONS, /* one step of any of many sessions (sessions.c) */
  MODE_WORKER,   /* the line protocol (worker.c) */
  MODE_LIST,
  MODE_HELP,
  MODE_VERSION
} mode;

typedef struct options {
  mode mode;
  rondo_context_desc context; /* backend, threads, max_isa */
  rondo_algorithm algorithm;
  int allow_tf32;
  rondo_dtype weights;
  int training, recompute; /* forward and backward are one call */
  float dropout, recurrent_dropout;
  int ragged;            /* lengths uniform in 1..T */
  double seconds;        /* for the timed calls of a problem */
  const char *json;      /* file, "-" for stdout, NULL: none */
  const char *speech;    /* recorded speech, NULL: none */
  const char *plot;      /* SVG file, NULL: none */
  const char *peers;     /* what bench/peers/compare.py wrote, NULL: none */
  const char **problems; /* names or problem strings */
  int problem_count;
} options;

/* EXIT_FINE; or EXIT_USAGE, and a sentence has been printed. */
exit_code options_read(options *o, int argc, char **argv);

/* On stdout. */
void options_usage(void);

/* A problem with what the options add to it, and the plan that they want for it. */
rondo_plan_desc options_plan(const options *o, problem *p);

/* A context as the options have it. NULL, and a sentence has been printed, when it cannot run here. */
rondo_context *options_context(const options *o);

#endif
