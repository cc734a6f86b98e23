/* report.c - what bench_lstm measured, for people. */
#include "bench.h"

#include <math.h>
#include <string.h>

void report_header(FILE *out, const rondo_context *ctx, const limits *l) {
  fprintf(out, "Rondo %s on %s\n", rondo_version(), rondo_context_text(ctx));
  if (is_simulated(ctx)) fprintf(out, "simulated: the GPU is a stand-in, times mean nothing\n");
  if (l && l->gflops[LIMITS_FMA] > 0) {
    fprintf(out, "%s, measured peak with %s and %d thread%s: %.0f GFLOP/s", limits_cpu_name(), limits_isa_name(l->isa),
            l->threads, l->threads == 1 ? "" : "s", l->gflops[LIMITS_FMA]);
    if (l->gflops[LIMITS_PAIRS] > 0) fprintf(out, ", pairs of bf16 %.0f", l->gflops[LIMITS_PAIRS]);
    if (l->gflops[LIMITS_QUADS] > 0) fprintf(out, ", quads of int8 %.0f", l->gflops[LIMITS_QUADS]);
    fprintf(out, "\n");
  }
  fprintf(out, "\n");
}

void report_columns(FILE *out, int width, int frozen) {
  fprintf(out, "%-*s %10s %10s %11s %11s %9s %13s %9s %6s  %s\n", width, "problem", "median ms", "least ms",
          "sequences/s", "timesteps/s", "GFLOP/s", frozen ? "graph ms" : "of the limit", "error", "bound", "checked");
  fflush(out);
}

/* What of a problem was checked: "all", "4 of 64 sequences", "4 of 25 steps, 1 of 1". */
static const char *checked(const result *r, char *text, size_t size) {
  int steps = (int)(r->steps / r->batch);
  if (!r->check.timesteps)
    snprintf(text, size, "not judged");
  else if (r->check.timesteps < steps)
    snprintf(text, size, "%d of %d steps, %d of %d", r->check.timesteps, steps, r->check.sequences, r->batch);
  else if (r->check.sequences < r->batch)
    snprintf(text, size, "%d of %d sequences", r->check.sequences, r->batch);
  else
    snprintf(text, size, "all");
  return text;
}

char *report_rate(double value, char *text, size_t size) {
  snprintf(text, size, "%.*f", value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0, value);
  return text;
}

char *report_limit(const result *r, char *text, size_t size) {
  snprintf(text, size, "-");
  if (r->limit_seconds > 0) snprintf(text, size, "%.0f%% %-7s", 100 * r->limit_seconds / r->plain.least, r->limit_of);
  return text;
}

void report_row(FILE *out, const result *r, int width, int frozen) {
  char sequences[32], timesteps[32], gflops[32], middle[32], bound[32] = "-", part[64];
  if (r->frozen.count)
    snprintf(middle, sizeof middle, "%.4f", r->frozen.median * 1e3);
  else if (!frozen)
    report_limit(r, middle, sizeof middle);
  if (r->check.timesteps) snprintf(bound, sizeof bound, "%.1f%%", 100 * r->check.share);
  fprintf(out, "%-*s %10.4f %10.4f %11s %11s %9s %13s %9.1e %6s  %s%s\n", width, r->name, r->plain.median * 1e3,
          r->plain.least * 1e3, report_rate(r->batch / r->plain.median, sequences, sizeof sequences),
          report_rate(r->steps / r->plain.median, timesteps, sizeof timesteps),
          report_rate(r->flops / result_least(r) / 1e9, gflops, sizeof gflops), middle, r->check.error, bound,
          checked(r, part, sizeof part), check_wrong(&r->check) ? "  WRONG" : "");
  fflush(out);
}

/* What sequences that end early save: rows of the products of all timesteps. */
static void report_rows(FILE *out, const result *results, int count, int width) {
  int ragged = 0;
  for (int i = 0; i < count; i++) {
    const result *r = &results[i];
    if (r->reason[0] || r->rows == r->steps) continue;
    if (!ragged++) fprintf(out, "\n%-*s %12s %12s %9s\n", width, "problem", "rows of work", "rows padded", "share");
    fprintf(out, "%-*s %12.0f %12.0f %8.1f%%\n", width, r->name, r->rows, r->steps, 100 * r->rows / r->steps);
  }
}

/* Problems that did not run for the same reason, in one line. */
static void report_reasons(FILE *out, const result *results, int count) {
  for (int i = 0; i < count; i++) {
    int first = 1;
    for (int k = 0; k < i; k++) first &= strcmp(results[k].reason, results[i].reason) != 0;
    if (!results[i].reason[0] || !first) continue;
    fprintf(out, "not run:");
    for (int k = i; k < count; k++)
      if (!strcmp(results[k].reason, results[i].reason)) fprintf(out, " %s", results[k].name);
    fprintf(out, " (%s)\n", results[i].reason);
  }
}

static const char forward_note[] =
    "error: largest distance of an output from the formulas in double. bound: the largest error of a single timestep,\n"
    "as a share of what float arithmetic may add to it, derived from the numbers; above 100% is wrong.\n";
static const char training_note[] =
    "A call is forward and backward; backward counts as two products of forward's size. error: largest distance of y "
    "or\n"
    "a gradient from the reference, whose sums are in double, as a share of the largest number of its array. bound: "
    "that\n"
    "as a share of what independent roundings may come to; above 100% is wrong; not judged where that is over a "
    "tenth.\n";

void report_notes(FILE *out, const result *results, int count, int width, int frozen) {
  int training = 0;
  report_rows(out, results, count, width);
  report_reasons(out, results, count);
  fprintf(out, "\nplans:\n");
  for (int i = 0; i < count; i++)
    if (!results[i].reason[0]) fprintf(out, "%-*s  %s\n", width, results[i].name, results[i].plan);
  for (int i = 0; i < count; i++) training |= results[i].training;
  fprintf(out,
          "\nsequences/s and timesteps/s are of the median, GFLOP/s and the share of the limit of the least time.\n");
  if (!frozen)
    fprintf(out,
            "limit: what binds of the measured peak of multiply-adds (fma; pairs: of bf16, quads: of int8), and of "
            "reading the\nweights once a timestep from where in the caches or in memory they lie (weights). -: not "
            "known.\n");
  fprintf(out, "%s", training ? training_note : forward_note);
}

void report_speech(FILE *out, const speech *s) {
  fprintf(out, "\nreal speech: %s\n", s->model);
  fprintf(out, "  plan        %s\n", s->plan);
  fprintf(out,
          "  difference  %.1e at most from the recorded outputs of %d frames; %.1e from the same in double%s\n"
          "              (the recording itself: %.1e%s)\n"
          "  bound       %.1f%% of what rounding may add to h and c in a frame%s\n",
          s->error, s->frames, s->error_exact, s->error_exact <= s->bound ? "" : ", WRONG", s->recorder_error,
          isfinite(s->bound) ? "" : "; it rounds no weights or factors, so this is not judged", 100 * s->share,
          s->share <= 1 ? "" : ", WRONG");
  fprintf(out,
          "  a frame     %.2f us median, %.2f us least, 99%% within %.2f us; %d frames, one a call, state carried\n",
          s->frame.median * 1e6, s->frame.least * 1e6, s->frame.p99 * 1e6, s->frame.count);
  fprintf(out, "  real time   %.0f times faster: a frame is %d ms of sound\n", 1e-3 * SPEECH_FRAME_MS / s->frame.median,
          SPEECH_FRAME_MS);
}
