/* report_json.c - what bench_lstm measured, as one JSON document for programs. */
#include "bench.h"

#include "json.h"
#include "words.h"

static void spread_member(FILE *out, const char *name, const spread *s) {
  fprintf(out, ", \"%s\": {\"calls\": %d", name, s->count);
  json_write_number(out, ", ", "median", s->median);
  json_write_number(out, ", ", "least", s->least);
  json_write_number(out, ", ", "p99", s->p99);
  fprintf(out, "}");
}

static void json_limits(FILE *out, const limits *l) {
  json_write_member(out, ", ", "isa", limits_isa_name(l->isa));
  json_write_number(out, ", ", "threads", l->threads);
  for (limits_unit unit = 0; unit < LIMITS_UNITS; unit++)
    if (l->gflops[unit] > 0) {
      char name[32];
      snprintf(name, sizeof name, "%s_gflops", limits_unit_name(unit));
      json_write_number(out, ", ", name, l->gflops[unit]);
    }
  fprintf(out, ", \"read\": [");
  for (int i = 0; i < l->read_count; i++)
    fprintf(out, "%s{\"bytes_per_thread\": %zu, \"gbs\": %.9g}", i ? ", " : "", l->reads[i].bytes, l->reads[i].gbs);
  fprintf(out, "]");
}

void report_json_begin(FILE *out, const rondo_context *ctx, const limits *l) {
  json_write_member(out, "{\n  ", "rondo", rondo_version());
  json_write_member(out, ",\n  ", "context", rondo_context_text(ctx));
  fprintf(out, ",\n  \"simulated\": %s", is_simulated(ctx) ? "true" : "false");
  json_write_member(out, ",\n  \"machine\": {", "cpu", limits_cpu_name());
  if (l && l->gflops[LIMITS_FMA] > 0) json_limits(out, l);
  fprintf(out, "}");
}

static void json_times(FILE *out, const result *r) {
  json_write_number(out, ", ", "rows", r->rows);
  json_write_number(out, ", ", "rows_padded", r->steps);
  json_write_number(out, ", ", "flops", r->flops);
  spread_member(out, "seconds", &r->plain);
  if (r->frozen.count) spread_member(out, "graph_seconds", &r->frozen);
  json_write_number(out, ", ", "sequences_per_second", r->batch / r->plain.median);
  json_write_number(out, ", ", "timesteps_per_second", r->steps / r->plain.median);
  json_write_number(out, ", ", "gflops", r->flops / result_least(r) / 1e9);
  if (r->limit_seconds > 0) {
    json_write_number(out, ", ", "limit_seconds", r->limit_seconds);
    json_write_member(out, ", ", "limit", r->limit_of);
    json_write_number(out, ", ", "share_of_limit", r->limit_seconds / r->plain.least);
  }
  json_write_number(out, ", ", "error", r->check.error);
  json_write_number(out, ", ", "share_of_bound", r->check.share);
  json_write_number(out, ", ", "checked_sequences", r->check.sequences);
  json_write_number(out, ", ", "checked_timesteps", r->check.timesteps);
}

void report_json_result(FILE *out, const result *r) {
  json_write_member(out, "{", "name", r->name);
  json_write_member(out, ", ", "problem", r->problem);
  if (r->reason[0]) {
    json_write_member(out, ", ", "not_run", r->reason);
    return;
  }
  json_write_member(out, ", ", "plan", r->plan);
  fprintf(out, ", \"training\": %s", r->training ? "true" : "false");
  json_write_member(out, ", ", "weights", words_weights()[r->weights]);
  json_times(out, r);
}

static void json_speech(FILE *out, const speech *s) {
  json_write_member(out, ",\n  \"speech\": {", "model", s->model);
  json_write_member(out, ", ", "plan", s->plan);
  json_write_number(out, ", ", "frames", s->frames);
  json_write_number(out, ", ", "difference", s->error);
  json_write_number(out, ", ", "difference_from_double", s->error_exact);
  json_write_number(out, ", ", "bound", s->bound);
  json_write_number(out, ", ", "share_of_bound", s->share);
  spread_member(out, "seconds_per_frame", &s->frame);
  json_write_number(out, ", ", "times_real_time", 1e-3 * SPEECH_FRAME_MS / s->frame.median);
  fprintf(out, "}");
}

void report_json_table(FILE *out, const rondo_context *ctx, const limits *l, const result *results, int count,
                       const speech *s) {
  report_json_begin(out, ctx, l);
  fprintf(out, ",\n  \"problems\": [\n");
  for (int i = 0; i < count; i++) {
    fprintf(out, "    ");
    report_json_result(out, &results[i]);
    fprintf(out, "}%s\n", i + 1 < count ? "," : "");
  }
  fprintf(out, "  ]");
  if (s) json_speech(out, s);
  fprintf(out, "\n}\n");
}
