/* report.c - what bench_lstm says: a table for people, one JSON document for programs. */
#include "bench.h"

#include "json.h"

#include <math.h>
#include <string.h>

static const double FRAME_SECONDS = 0.032; /* of sound: 512 samples at 16 kHz */

/* ---- text -------------------------------------------------------------------------------------------------------- */

void report_header(FILE *out, const char *context, const limits *l, int simulated) {
  fprintf(out, "Rondo %s on %s\n", rondo_version(), context);
  if (simulated) fprintf(out, "simulated: the GPU is a stand-in, times mean nothing\n");
  if (l->fma_gflops > 0)
    fprintf(out, "%s, measured peak with %s and %d thread%s: %.0f GFLOP/s\n", limits_cpu_name(),
            limits_isa_name(l->isa), l->threads, l->threads == 1 ? "" : "s", l->fma_gflops);
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

/* Four digits, and never an exponent. */
static const char *rate(double value, char *text, size_t size) {
  snprintf(text, size, "%.*f", value < 10 ? 3 : value < 100 ? 2 : value < 1000 ? 1 : 0, value);
  return text;
}

static double least_seconds(const result *r) {
  return r->frozen.count && r->frozen.least < r->plain.least ? r->frozen.least : r->plain.least;
}

void report_row(FILE *out, const result *r, int width, int frozen) {
  char sequences[32], timesteps[32], gflops[32], middle[32] = "-", bound[32] = "-", part[64];
  if (r->frozen.count)
    snprintf(middle, sizeof middle, "%.4f", r->frozen.median * 1e3);
  else if (!frozen && r->limit_seconds > 0)
    snprintf(middle, sizeof middle, "%.0f%% %-7s", 100 * r->limit_seconds / r->plain.least, r->limit_of);
  if (r->check.timesteps) snprintf(bound, sizeof bound, "%.1f%%", 100 * r->check.share);
  fprintf(out, "%-*s %10.4f %10.4f %11s %11s %9s %13s %9.1e %6s  %s%s\n", width, r->name, r->plain.median * 1e3,
          r->plain.least * 1e3, rate(r->batch / r->plain.median, sequences, sizeof sequences),
          rate(r->steps / r->plain.median, timesteps, sizeof timesteps),
          rate(r->flops / least_seconds(r) / 1e9, gflops, sizeof gflops), middle, r->check.error, bound,
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
            "limit: what binds of the measured multiply-add peak (fma), and of reading the weights once a timestep "
            "from where\nin the caches or in memory they lie (weights). Products of pairs of bf16 and of int8 have "
            "none.\n");
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
  fprintf(out, "  real time   %.0f times faster: a frame is %.0f ms of sound\n", FRAME_SECONDS / s->frame.median,
          FRAME_SECONDS * 1e3);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void text_member(FILE *out, const char *name, const char *text) {
  fprintf(out, "\"%s\": ", name);
  json_write_text(out, text);
}

/* JSON has no infinity and no NaN: null. */
static void number_member(FILE *out, const char *name, double value) {
  if (isfinite(value))
    fprintf(out, ", \"%s\": %.9g", name, value);
  else
    fprintf(out, ", \"%s\": null", name);
}

static void spread_member(FILE *out, const char *name, const spread *s) {
  fprintf(out, ", \"%s\": {\"calls\": %d", name, s->count);
  number_member(out, "median", s->median);
  number_member(out, "least", s->least);
  number_member(out, "p99", s->p99);
  fprintf(out, "}");
}

static void json_machine(FILE *out, const limits *l) {
  fprintf(out, "  \"machine\": {");
  text_member(out, "cpu", limits_cpu_name());
  if (l->fma_gflops > 0) {
    fprintf(out, ", ");
    text_member(out, "isa", limits_isa_name(l->isa));
    number_member(out, "threads", l->threads);
    number_member(out, "fma_gflops", l->fma_gflops);
    fprintf(out, ", \"read\": [");
    for (int i = 0; i < l->read_count; i++)
      fprintf(out, "%s{\"bytes_per_thread\": %zu, \"gbs\": %.9g}", i ? ", " : "", l->reads[i].bytes, l->reads[i].gbs);
    fprintf(out, "]");
  }
  fprintf(out, "},\n");
}

static const char *const type_names[] = {
    [RONDO_F32] = "f32", [RONDO_F16] = "f16", [RONDO_BF16] = "bf16", [RONDO_INT8] = "int8"};

static void json_result(FILE *out, const result *r) {
  fprintf(out, "    {");
  text_member(out, "name", r->name);
  fprintf(out, ", ");
  text_member(out, "problem", r->problem);
  fprintf(out, ", ");
  text_member(out, r->reason[0] ? "not_run" : "plan", r->reason[0] ? r->reason : r->plan);
  if (!r->reason[0]) {
    fprintf(out, ", \"training\": %s, \"weights\": \"%s\"", r->training ? "true" : "false", type_names[r->weights]);
    number_member(out, "rows", r->rows);
    number_member(out, "rows_padded", r->steps);
    number_member(out, "flops", r->flops);
    spread_member(out, "seconds", &r->plain);
    if (r->frozen.count) spread_member(out, "graph_seconds", &r->frozen);
    number_member(out, "sequences_per_second", r->batch / r->plain.median);
    number_member(out, "timesteps_per_second", r->steps / r->plain.median);
    number_member(out, "gflops", r->flops / least_seconds(r) / 1e9);
    if (r->limit_seconds > 0) {
      number_member(out, "limit_seconds", r->limit_seconds);
      fprintf(out, ", \"limit\": \"%s\"", r->limit_of);
      number_member(out, "share_of_limit", r->limit_seconds / r->plain.least);
    }
    number_member(out, "error", r->check.error);
    number_member(out, "share_of_bound", r->check.share);
    number_member(out, "checked_sequences", r->check.sequences);
    number_member(out, "checked_timesteps", r->check.timesteps);
  }
  fprintf(out, "}");
}

static void json_speech(FILE *out, const speech *s) {
  fprintf(out, ",\n  \"speech\": {");
  text_member(out, "model", s->model);
  fprintf(out, ", ");
  text_member(out, "plan", s->plan);
  number_member(out, "frames", s->frames);
  number_member(out, "difference", s->error);
  number_member(out, "difference_from_double", s->error_exact);
  number_member(out, "bound", s->bound);
  number_member(out, "share_of_bound", s->share);
  spread_member(out, "seconds_per_frame", &s->frame);
  number_member(out, "times_real_time", FRAME_SECONDS / s->frame.median);
  fprintf(out, "}");
}

void report_json(FILE *out, const char *context, const limits *l, int simulated, const result *results, int count,
                 const speech *s) {
  fprintf(out, "{\n  ");
  text_member(out, "rondo", rondo_version());
  fprintf(out, ",\n  ");
  text_member(out, "context", context);
  fprintf(out, ",\n  \"simulated\": %s,\n", simulated ? "true" : "false");
  json_machine(out, l);
  fprintf(out, "  \"problems\": [\n");
  for (int i = 0; i < count; i++) {
    json_result(out, &results[i]);
    fprintf(out, "%s\n", i + 1 < count ? "," : "");
  }
  fprintf(out, "  ]");
  if (s) json_speech(out, s);
  fprintf(out, "\n}\n");
}
