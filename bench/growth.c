/* growth.c - how the time of a call grows with the work, along one axis at a time from a problem in the middle.
 *
 *   axis        what is multiplied        time should be
 *   timesteps   T                         a + b T
 *   batch       N                         a + b N
 *   units       H, and the inputs C       a + b H^2, as the products have (C + H) H
 *   threads                               that of one thread / threads
 *
 * a and b are the line with the least sum of squares of relative errors. It goes through the points that the same limit
 * binds as the last one: a small batch waits for weights, not for multiply-adds, and lies on another line. Of threads
 * nothing is fitted: the line is what they promise. */
#include "bench.h"

#include "growth.h"
#include "json.h"
#include "plot.h"

#include <math.h>
#include <string.h>

/* Of the middle. */
static const double factors[] = {0.25, 0.5, 1, 2, 3, 4};
enum { FACTORS = sizeof factors / sizeof *factors };

const growth_rule growth_rules[GROWTH_AXES] = {
    {"timesteps", "a + b T"},
    {"batch", "a + b N"},
    {"units", "a + b H^2"},
    {"threads", "that of one / threads"},
};

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* What time should be a straight line in. */
static double abscissa(int which, const growth_point *p) {
  return which == GROWTH_UNITS ? p->size * p->size : which == GROWTH_THREADS ? 1 / p->size : p->size;
}

/* Weighted by 1 / time^2. */
static void fit(growth_axis *a, int which) {
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (int i = 0; i < a->count; i++) {
    const growth_point *p = &a->points[i];
    double weight = 1 / (p->seconds * p->seconds), x = abscissa(which, p);
    if (!p->on_line) continue;
    w += weight, wx += weight * x, wy += weight * p->seconds;
    wxx += weight * x * x, wxy += weight * x * p->seconds;
  }
  double spread = w * wxx - wx * wx;
  a->slope = spread > 0 ? (w * wxy - wx * wy) / spread : 0;
  a->start = spread > 0 ? (wy - a->slope * wx) / w : 0;
}

static void draw_line(growth_axis *a, int which) {
  const growth_point *last = &a->points[a->count - 1];
  int on_line = 0;
  for (int i = 0; i < a->count; i++) {
    growth_point *p = &a->points[i];
    p->on_line = which == GROWTH_THREADS || !p->limit_of || !last->limit_of || !strcmp(p->limit_of, last->limit_of);
    on_line += p->on_line;
  }
  if (which == GROWTH_THREADS)
    a->start = 0, a->slope = a->points[0].seconds * a->points[0].size;
  else if (on_line < 3)
    return; /* a line through two points says nothing */
  else
    fit(a, which);
  a->has_line = 1;
  for (int i = 0; i < a->count; i++) {
    growth_point *p = &a->points[i];
    p->line = a->start + a->slope * abscissa(which, p);
    p->deviation = p->seconds / p->line - 1;
    if (p->on_line && fabs(p->deviation) > fabs(a->worst)) a->worst = p->deviation;
  }
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static int scaled(int middle, double factor) {
  int size = (int)(middle * factor);
  return size < 1 ? 1 : size;
}

/* The sizes of an axis, each once; how many. */
static int list_sizes(int sizes[GROWTH_POINTS], int which, const problem *middle, int threads) {
  const int middles[] = {middle->timesteps, middle->batch, middle->hidden_size};
  int count = 0;
  if (which == GROWTH_THREADS) {
    for (int n = 1; n < threads && count < GROWTH_POINTS - 1; n *= 2) sizes[count++] = n;
    sizes[count++] = threads;
    return count;
  }
  for (int i = 0; i < FACTORS; i++) {
    int size = scaled(middles[which], factors[i]);
    if (!count || size > sizes[count - 1]) sizes[count++] = size;
  }
  return count;
}

static problem resized(problem p, int which, int size) {
  double inputs = (double)p.input_size / p.hidden_size;
  if (which == GROWTH_TIMESTEPS) p.timesteps = size;
  if (which == GROWTH_BATCH) p.batch = size;
  if (which == GROWTH_UNITS) p.hidden_size = size, p.input_size = scaled(size, inputs);
  return p;
}

static exit_code measure(growth *g, int which, int size) {
  growth_axis *a = &g->axes[which];
  growth_point *point = &a->points[a->count];
  options o = *g->options;
  limits several, *l = which == GROWTH_THREADS && size > 1 ? &several : &g->limits;
  result r = {.name = growth_rules[which].name};
  problem p = resized(g->middle, which, size);
  o.context.threads = which == GROWTH_THREADS ? size : 1;
  problem_print(&p, r.problem, sizeof r.problem);
  rondo_context *ctx = options_context(&o);
  if (!ctx) return EXIT_USAGE;
  if (l == &several || !g->done) limits_of_context(l, ctx, &o);
  progress(g->done++, g->count, r.problem);
  rondo_status status = problem_measure(&r, ctx, &o, l);
  progress(0, 0, NULL);
  rondo_context_destroy(ctx);
  if (status != RONDO_OK) {
    refuse("%s: %s", r.problem, r.reason);
    return status == RONDO_UNSUPPORTED ? EXIT_USAGE : EXIT_WRONG;
  }
  a->count++;
  *point = (growth_point){.size = size,
                          .seconds = result_least(&r),
                          .gflops = r.flops / result_least(&r) / 1e9,
                          .limit_of = r.limit_seconds > 0 ? r.limit_of : NULL,
                          .share = r.limit_seconds / r.plain.least};
  memcpy(point->problem, r.problem, sizeof point->problem);
  return check_wrong(&r.check) ? refuse("%s is WRONG", r.problem), EXIT_WRONG : EXIT_FINE;
}

/* ---- reporting --------------------------------------------------------------------------------------------------- */

static void print_axis(FILE *out, const growth_axis *a, int which) {
  fprintf(out, "%-10s %10s %12s %10s %13s %14s\n", growth_rules[which].name, "least ms", "on the line", "deviation",
          "of the limit", "GFLOP/s");
  for (int i = 0; i < a->count; i++) {
    const growth_point *p = &a->points[i];
    char limit[32] = "-", line[32] = "-", deviation[32] = "-", gflops[32];
    if (p->limit_of) snprintf(limit, sizeof limit, "%.0f%% %-7s", 100 * p->share, p->limit_of);
    if (a->has_line && p->on_line) {
      snprintf(line, sizeof line, "%.4f", p->line * 1e3);
      snprintf(deviation, sizeof deviation, "%+.1f%%", 100 * p->deviation);
    }
    fprintf(out, "%-10.0f %10.4f %12s %10s %13s %14s\n", p->size, p->seconds * 1e3, line, deviation, limit,
            report_rate(p->gflops, gflops, sizeof gflops));
  }
  if (!a->has_line)
    fprintf(out, "  expected: time = %s; too few points that one limit binds for a line\n\n", growth_rules[which].line);
  else if (which == GROWTH_THREADS)
    fprintf(out, "  expected: time = %s; worst deviation %+.1f%%\n\n", growth_rules[which].line, 100 * a->worst);
  else
    fprintf(out, "  expected: time = %s; fitted: a %.4f ms, b %.4g us; worst deviation %+.1f%%\n\n",
            growth_rules[which].line, a->start * 1e3, a->slope * 1e6, 100 * a->worst);
  fflush(out);
}

static void json_point(FILE *out, const growth_axis *a, const growth_point *p) {
  json_write_number(out, "{", "size", p->size);
  json_write_member(out, ", ", "problem", p->problem);
  json_write_number(out, ", ", "seconds", p->seconds);
  json_write_number(out, ", ", "gflops", p->gflops);
  json_write_number(out, ", ", "share_of_limit", p->limit_of ? p->share : NAN);
  json_write_member(out, ", ", "limit", p->limit_of ? p->limit_of : "");
  json_write_number(out, ", ", "line", a->has_line && p->on_line ? p->line : NAN);
  json_write_number(out, ", ", "deviation", a->has_line && p->on_line ? p->deviation : NAN);
  fprintf(out, "}");
}

static void json_axes(FILE *out, const growth *g) {
  fprintf(out, ",\n  \"axes\": [\n");
  for (int which = 0; which < g->axis_count; which++) {
    const growth_axis *a = &g->axes[which];
    json_write_member(out, "    {", "axis", growth_rules[which].name);
    json_write_member(out, ", ", "expected", growth_rules[which].line);
    json_write_number(out, ", ", "start", a->has_line ? a->start : NAN);
    json_write_number(out, ", ", "slope", a->has_line ? a->slope : NAN);
    json_write_number(out, ", ", "worst_deviation", a->has_line ? a->worst : NAN);
    fprintf(out, ", \"points\": [\n");
    for (int i = 0; i < a->count; i++) {
      fprintf(out, "      ");
      json_point(out, a, &a->points[i]);
      fprintf(out, "%s\n", i + 1 < a->count ? "," : "");
    }
    fprintf(out, "    ]}%s\n", which + 1 < g->axis_count ? "," : "");
  }
  fprintf(out, "  ]\n}\n");
}

static exit_code run(growth *g, const rondo_context *ctx, output *out) {
  int sizes[GROWTH_AXES][GROWTH_POINTS], counts[GROWTH_AXES];
  exit_code code = EXIT_FINE;
  for (int which = 0; which < g->axis_count; which++) {
    counts[which] = list_sizes(sizes[which], which, &g->middle, g->options->context.threads);
    g->count += counts[which];
  }
  report_header(out->text, ctx, NULL);
  fprintf(out->text, "%s and around it, one axis at a time%s\n\n", g->name,
          g->axis_count == GROWTH_AXES ? ", on one thread but for the last axis" : "");
  for (int which = 0; which < g->axis_count; which++) {
    for (int i = 0; i < counts[which] && code == EXIT_FINE; i++) code = measure(g, which, sizes[which][i]);
    if (code != EXIT_FINE) return code;
    draw_line(&g->axes[which], which);
    print_axis(out->text, &g->axes[which], which);
  }
  if (out->json) {
    report_json_begin(out->json, ctx, NULL);
    json_write_member(out->json, ",\n  ", "middle", g->name);
    json_axes(out->json, g);
  }
  return g->options->plot ? growth_plot(g, ctx) : EXIT_FINE;
}

exit_code growth_run(const options *o) {
  static growth g;
  static plot_peers none;
  output out;
  char message[PROBLEM_TEXT];
  g = (growth){.options = o, .name = o->problem_count ? o->problems[0] : "lstm:n16t64c256h256:time"};
  if (!problem_parse(&g.middle, shape_problem(g.name), message, sizeof message)) return refuse("%s", message);
  if (o->plot && plot_check(o, &none) != EXIT_FINE) return EXIT_USAGE;
  rondo_context *ctx = options_context(o);
  if (!ctx) return EXIT_USAGE;
  g.axis_count = rondo_context_backend(ctx) == RONDO_CPU ? GROWTH_AXES : GROWTH_THREADS; /* others have no threads */
  exit_code code = output_open(&out, o);
  if (code == EXIT_FINE) code = run(&g, ctx, &out);
  exit_code closed = output_close(&out);
  rondo_context_destroy(ctx);
  return closed == EXIT_FINE ? code : closed;
}
