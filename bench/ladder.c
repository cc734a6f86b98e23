/* ladder.c - from plain loops to the fastest way: what each step gains, on the same problem in the same run.
 *
 * Rungs, each the one before with one thing changed:
 *
 *   reference     the formulas in plain loops, sums in double
 *   ISA, f32      the CPU's kernels, one thread: portable C, then each instruction set
 *   N threads     the best of these, on all threads
 *   ISA, TYPE     weights of fewer bits, with the instruction sets that multiply them as f32 does and those that have
 *                 products of their own for them
 *   lengths       the fastest of all rungs, on sequences of lengths uniform in 1..T, whose ends are not computed
 *
 * A rung that this machine or this library lacks is named with the reason and left out of the gains. */
#include "bench.h"

#include "json.h"
#include "words.h"

#include <string.h>

enum { MOST_RUNGS = 64, NAME = 64 };

/* With what a rung differs from the options. */
typedef struct rung {
  char name[NAME];
  rondo_backend backend;
  rondo_isa isa; /* exactly that one */
  rondo_dtype weights;
  int threads, ragged;
  result result;
  double before, first; /* how many times faster than the rung before, and than the first one; 0: there was none */
} rung;

typedef struct ladder {
  const options *options;
  output out;
  rung rungs[MOST_RUNGS];
  int count;
  exit_code code;
} ladder;

static rung *add(ladder *l, rondo_backend backend, rondo_isa isa, rondo_dtype weights, int threads) {
  rung *r = &l->rungs[l->count++];
  *r = (rung){.backend = backend, .isa = isa, .weights = weights, .threads = threads};
  snprintf(r->name, sizeof r->name, "%s, %s%s", words_isa()[isa], words_weights()[weights],
           weights == RONDO_F32 ? "" : " weights");
  if (threads > 1) snprintf(r->name + strlen(r->name), NAME - strlen(r->name), ", %d threads", threads);
  return r;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

/* Why a rung of an instruction set cannot be climbed, as the machine lacks it; "" if it can. */
static void check_isa(rung *r, const rondo_context *ctx) {
  if (r->backend != RONDO_CPU || words_isa_of(ctx) == r->isa) return;
  snprintf(r->result.reason, sizeof r->result.reason, "this machine has no %s", words_isa()[r->isa]);
}

static void measure(ladder *l, rung *r, const char *problem) {
  options o = *l->options;
  rondo_context *ctx = NULL;
  o.context = (rondo_context_desc){.backend = r->backend, .max_isa = r->isa, .threads = r->threads};
  o.weights = r->weights, o.ragged = r->ragged;
  if (r->backend == RONDO_REFERENCE) o.algorithm = RONDO_AUTO;
  r->result.name = r->name;
  snprintf(r->result.problem, sizeof r->result.problem, "%s", shape_problem(problem));
  rondo_status status = rondo_context_create(&ctx, &o.context);
  if (status != RONDO_OK)
    snprintf(r->result.reason, sizeof r->result.reason, "%s", rondo_last_error());
  else
    check_isa(r, ctx);
  if (!r->result.reason[0]) {
    status = problem_measure(&r->result, ctx, &o, NULL);
    if (status == RONDO_OK ? check_wrong(&r->result.check) : status != RONDO_UNSUPPORTED) l->code = EXIT_WRONG;
  }
  rondo_context_destroy(ctx);
}

/* ---- rungs ------------------------------------------------------------------------------------------------------- */

/* Whether an instruction set has products of its own for weights of a type (AVX512_BF16 and all newer ones for bf16),
 * or is the one, best, by which f32 is multiplied. f16 is read as bf16 is, and no rung. */
static int is_rung(rondo_isa isa, rondo_dtype weights, rondo_isa best) {
  if (weights == RONDO_F16) return 0;
  return isa == best || (weights == RONDO_BF16 && isa >= RONDO_ISA_AVX512_BF16);
}

static void list_rungs(ladder *l, const problem *p, rondo_isa best) {
  const char *const *isas = words_isa();
  rondo_isa limit = l->options->context.max_isa;
  int threads = l->options->context.threads;
  l->count = 0;
  rung *plain = add(l, RONDO_REFERENCE, RONDO_ISA_BEST, RONDO_F32, 1);
  snprintf(plain->name, NAME, "reference, f32");
  for (int isa = RONDO_ISA_PORTABLE; isa <= RONDO_ISA_AVX512; isa++)
    if (limit == RONDO_ISA_BEST || isa <= (int)limit) add(l, RONDO_CPU, (rondo_isa)isa, RONDO_F32, 1);
  if (threads > 1) add(l, RONDO_CPU, best, RONDO_F32, threads);
  for (int type = RONDO_F32 + 1; words_weights()[type]; type++)
    for (int isa = RONDO_ISA_PORTABLE; isas[isa]; isa++)
      if (is_rung((rondo_isa)isa, (rondo_dtype)type, best) && (limit == RONDO_ISA_BEST || isa <= (int)limit))
        add(l, RONDO_CPU, (rondo_isa)isa, (rondo_dtype)type, threads);
  if (p->batch == 1 || p->timesteps == 1 || p->lengths || p->mask || !problem_has_state(p)) return;
  rung *ends = add(l, RONDO_CPU, best, RONDO_F32, threads);
  snprintf(ends->name, NAME, "the fastest, lengths in 1..%d", p->timesteps);
  ends->ragged = 1;
}

/* Of the rungs before one: the last, the first and the fastest that were climbed. NULL: none. */
static const rung *climbed(const ladder *l, const rung *end, const rung **first, const rung **fastest) {
  const rung *last = *first = *fastest = NULL;
  for (const rung *r = l->rungs; r < end; r++) {
    if (r->result.reason[0]) continue;
    if (!*first) *first = r;
    if (!*fastest || result_least(&r->result) < result_least(&(*fastest)->result)) *fastest = r;
    last = r;
  }
  return last;
}

static void print_rung(const ladder *l, const rung *r) {
  char gflops[32], bound[32] = "-", gain[32] = "", total[32] = "";
  FILE *out = l->out.text;
  const result *s = &r->result;
  if (s->reason[0]) {
    fprintf(out, "  %-38s absent: %s\n", r->name, s->reason);
    return;
  }
  if (r->before > 0) snprintf(gain, sizeof gain, "%.2f", r->before);
  if (r->first > 0) snprintf(total, sizeof total, "%.1f", r->first);
  if (s->check.timesteps) snprintf(bound, sizeof bound, "%.1f%%", 100 * s->check.share);
  fprintf(out, "  %-38s %11.4f %9s %8s %9s %9.1e %7s%s\n", r->name, s->plain.least * 1e3,
          report_rate(s->flops / s->plain.least / 1e9, gflops, sizeof gflops), gain, total, s->check.error, bound,
          check_wrong(&s->check) ? "  WRONG" : "");
  fflush(out);
}

/* Measures a rung, and holds it against the one before; sequences that end early go the fastest way, and are held
 * against the same without. */
static void climb(ladder *l, rung *r, const char *problem) {
  const rung *first, *fastest, *from = climbed(l, r, &first, &fastest);
  if (r->ragged && fastest) {
    r->backend = fastest->backend, r->isa = fastest->isa, r->weights = fastest->weights, r->threads = fastest->threads;
    from = fastest;
  }
  progress((int)(r - l->rungs), l->count, r->name);
  measure(l, r, problem);
  progress(0, 0, NULL);
  if (!r->result.reason[0] && from) {
    r->before = result_least(&from->result) / result_least(&r->result);
    r->first = result_least(&first->result) / result_least(&r->result);
  }
  print_rung(l, r);
}

static void climb_all(ladder *l, const problem *p, const char *text, rondo_isa best) {
  fprintf(l->out.text, "%s\n  %-38s %11s %9s %8s %9s %9s %7s\n", text, "rung", "least ms", "GFLOP/s", "gain", "in all",
          "error", "bound");
  list_rungs(l, p, best);
  for (int i = 0; i < l->count; i++) climb(l, &l->rungs[i], text);
  fprintf(l->out.text, "\n");
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void json_rung(FILE *out, const rung *r) {
  fprintf(out, "      ");
  report_json_result(out, &r->result);
  json_write_member(out, ", ", "backend", words_backend[r->backend]);
  if (r->backend == RONDO_CPU) json_write_member(out, ", ", "isa", words_isa()[r->isa]);
  json_write_number(out, ", ", "threads", r->threads);
  json_write_member(out, ", ", "lengths", words_lengths[r->ragged]);
  if (r->before > 0) {
    json_write_number(out, ", ", "gain", r->before);
    json_write_number(out, ", ", "gain_in_all", r->first);
  }
  fprintf(out, "}");
}

static void json_ladder(FILE *out, const ladder *l, const char *name, int first) {
  json_write_member(out, first ? "\n    {" : ",\n    {", "name", name);
  json_write_member(out, ", ", "problem", shape_problem(name));
  fprintf(out, ", \"rungs\": [\n");
  for (int i = 0; i < l->count; i++) {
    json_rung(out, &l->rungs[i]);
    fprintf(out, "%s\n", i + 1 < l->count ? "," : "");
  }
  fprintf(out, "    ]}");
}

static exit_code run(ladder *l, const rondo_context *ctx) {
  static const char *const defaults[] = {"stream-512", "lstm-b1-512", "lstm-b32-256", "gru-b32-512"};
  const options *o = l->options;
  const char *const *names = o->problem_count ? o->problems : defaults;
  int count = o->problem_count ? o->problem_count : (int)(sizeof defaults / sizeof *defaults);
  rondo_isa best = words_isa_of(ctx) > RONDO_ISA_AVX512 ? RONDO_ISA_AVX512 : words_isa_of(ctx);
  report_header(l->out.text, ctx, NULL);
  if (l->out.json) report_json_begin(l->out.json, ctx, NULL), fprintf(l->out.json, ",\n  \"ladders\": [");
  for (int i = 0; i < count; i++) {
    problem p;
    char message[PROBLEM_TEXT];
    if (!problem_parse(&p, shape_problem(names[i]), message, sizeof message))
      return EXIT_USAGE; /* it was read before */
    climb_all(l, &p, names[i], best);
    if (l->out.json) json_ladder(l->out.json, l, names[i], i == 0);
  }
  fprintf(l->out.text,
          "gain: how many times faster than the last rung above that was climbed (with lengths: than the fastest, "
          "whose way it\ngoes); in all: than the first. GFLOP/s counts timesteps that are not skipped. error and bound "
          "as in the table.\n");
  if (l->out.json) fprintf(l->out.json, "\n  ]\n}\n");
  return l->code;
}

exit_code ladder_run(const options *asked) {
  static ladder l;
  options o = *asked;
  l = (ladder){.options = &o};
  o.context.backend = RONDO_CPU;
  rondo_context *ctx = options_context(&o);
  if (!ctx) return EXIT_USAGE;
  exit_code code = output_open(&l.out, &o);
  if (code == EXIT_FINE) code = run(&l, ctx);
  exit_code closed = output_close(&l.out);
  rondo_context_destroy(ctx);
  return closed == EXIT_FINE ? code : closed;
}
