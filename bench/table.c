/* table.c - a line for each problem, and recorded speech. */
#define _POSIX_C_SOURCE 200809L /* access */
#include "bench.h"

#include "plot.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct table {
  options options; /* with what is run by default */
  rondo_context *ctx;
  output out;
  limits limits;
  result *results; /* (problem_count) */
  speech speech;
  int frozen; /* whether graphs are timed too */
} table;

/* Without a problem and a file: all of --list, and the speech that the source tree holds, if it is there, which is not
 * for training. */
static void use_defaults(options *o) {
  static const char *names[64];
  static const char speech_file[] = RONDO_DATA_DIR "/silero_vad_lstm.tensors";
  if (o->problem_count || o->speech) return;
  o->problems = names;
  while (shapes[o->problem_count].name) names[o->problem_count] = shapes[o->problem_count].name, o->problem_count++;
  if (o->training) return;
  if (!access(speech_file, R_OK))
    o->speech = speech_file;
  else
    fprintf(stderr, "bench_lstm: no recorded speech: %s cannot be read\n", speech_file);
}

static int longest_name(const options *o) {
  size_t longest = strlen("problem");
  for (int i = 0; i < o->problem_count; i++)
    if (strlen(o->problems[i]) > longest) longest = strlen(o->problems[i]);
  return (int)longest;
}

/* A problem that is not offered is only noted, unless there is no other. */
static exit_code run_problems(table *t) {
  const options *o = &t->options;
  int width = longest_name(o), offered = 0;
  exit_code code = EXIT_FINE;
  if (!o->problem_count) return code;
  report_columns(t->out.text, width, t->frozen);
  for (int i = 0; i < o->problem_count; i++) {
    result *line = &t->results[i];
    line->name = o->problems[i];
    snprintf(line->problem, sizeof line->problem, "%s", shape_problem(o->problems[i]));
    progress(i, o->problem_count + !!o->speech, line->name);
    rondo_status status = problem_measure(line, t->ctx, o, &t->limits);
    progress(0, 0, NULL);
    if (status == RONDO_OK) report_row(t->out.text, line, width, t->frozen);
    if (status == RONDO_OK ? check_wrong(&line->check) : status != RONDO_UNSUPPORTED) code = EXIT_WRONG;
    offered += status != RONDO_UNSUPPORTED;
  }
  report_notes(t->out.text, t->results, o->problem_count, width, t->frozen);
  return offered ? code : refuse("%s: %s", t->results[0].name, t->results[0].reason);
}

static exit_code run_speech(table *t) {
  const options *o = &t->options;
  char message[512];
  progress(o->problem_count, o->problem_count + 1, "recorded speech");
  rondo_status status = speech_measure(&t->speech, t->ctx, o, message, sizeof message);
  progress(0, 0, NULL);
  if (status != RONDO_OK) {
    refuse("%s: %s", o->speech, message);
    return status == RONDO_BAD_FILE || status == RONDO_UNSUPPORTED ? EXIT_USAGE : EXIT_WRONG;
  }
  report_speech(t->out.text, &t->speech);
  return speech_wrong(&t->speech) ? EXIT_WRONG : EXIT_FINE;
}

static exit_code run(table *t, const plot_peers *peers) {
  const options *o = &t->options;
  t->frozen = rondo_context_backend(t->ctx) == RONDO_CUDA && !o->training;
  limits_of_context(&t->limits, t->ctx, o);
  report_header(t->out.text, t->ctx, &t->limits);
  exit_code code = run_problems(t);
  if (code == EXIT_USAGE) return code;
  if (o->speech) {
    exit_code speech_code = run_speech(t);
    if (code == EXIT_FINE) code = speech_code;
  }
  if (code == EXIT_USAGE) return code;
  if (t->out.json)
    report_json_table(t->out.json, t->ctx, &t->limits, t->results, o->problem_count, o->speech ? &t->speech : NULL);
  exit_code plotted = o->plot ? plot_table(o, t->ctx, t->results, peers) : EXIT_FINE;
  return plotted == EXIT_FINE ? code : plotted;
}

exit_code table_run(const options *asked) {
  static plot_peers peers;
  table t = {.options = *asked};
  const options *o = &t.options;
  if (o->plot && plot_check(o, &peers) != EXIT_FINE) return EXIT_USAGE;
  use_defaults(&t.options);
  t.ctx = options_context(o);
  if (!t.ctx) return EXIT_USAGE;
  int unknown = o->plot && rondo_context_backend(t.ctx) == RONDO_CUDA;
  exit_code code = output_open(&t.out, o);
  if (unknown) code = refuse("--plot of the table is of shares of the limit, which is not known for a GPU");
  t.results = calloc((size_t)o->problem_count + 1, sizeof *t.results);
  if (code == EXIT_FINE) code = t.results ? run(&t, &peers) : refuse("no host memory");
  exit_code closed = output_close(&t.out);
  free(t.results);
  rondo_context_destroy(t.ctx);
  return closed == EXIT_FINE ? code : closed;
}
