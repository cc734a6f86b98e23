/* growth_plot.c - four panels: time against T, N and H^2, and calls a second against threads. Straight lines are what
 * is expected; points that another limit binds are hollow. */
#include "growth.h"
#include "plot.h"

/* Where a point stands, and what it shows there: milliseconds; of threads calls a second. */
static double across(int which, double size) {
  return which == GROWTH_UNITS ? size * size : size;
}

static double upward(int which, double seconds) {
  return which == GROWTH_THREADS ? 1 / seconds : seconds * 1e3;
}

static void write_points(FILE *script, const growth_axis *a, int which) {
  fprintf(script, "$axis%d << EOD\n", which);
  for (int i = 0; i < a->count; i++) {
    const growth_point *p = &a->points[i];
    double time = upward(which, p->seconds);
    fprintf(script, "%g ", across(which, p->size));
    fprintf(script, p->on_line ? "%g ? " : "? %g ", time);
    if (a->has_line && p->on_line)
      fprintf(script, "%g\n", upward(which, p->line));
    else
      fprintf(script, "?\n");
  }
  fprintf(script, "EOD\n");
}

/* Sizes are written where they stand; those that would be too near to the one before are left out. */
static void write_sizes(FILE *script, const growth_axis *a, int which) {
  const double least_gap = 0.06;
  double end = across(which, a->points[a->count - 1].size), last = -end;
  const char *separator = "";
  fprintf(script, "set xtics (");
  for (int i = 0; i < a->count; i++) {
    double at = across(which, a->points[i].size);
    if (at - last < least_gap * end) continue;
    fprintf(script, "%s'%.0f' %g", separator, a->points[i].size, at);
    separator = ", ", last = at;
  }
  fprintf(script, ")\n");
}

static void write_panel(FILE *script, const growth_axis *a, int which) {
  static const char *const labels[] = {"timesteps", "batch", "units (by their square)", "threads"};
  int hollow = 0;
  for (int i = 0; i < a->count; i++) hollow |= !a->points[i].on_line;
  write_points(script, a, which);
  write_sizes(script, a, which);
  fprintf(script, "set xlabel '%s'\nset ylabel '%s'\n", labels[which],
          which == GROWTH_THREADS ? "calls a second" : "milliseconds a call");
  if (a->has_line)
    fprintf(script, "set title 'worst deviation %+.1f%%' font ',11'\n", 100 * a->worst);
  else
    fprintf(script, "set title 'no line' font ',11'\n");
  fprintf(script, "plot $axis%d using 1:2 with points pt 7 ps 0.8 lc rgb '#202080' notitle", which);
  if (a->has_line) fprintf(script, ", '' using 1:4 with lines lw 2 lc rgb '#9999bb' notitle");
  if (hollow) fprintf(script, ", '' using 1:3 with points pt 6 ps 0.8 lc rgb '#202080' notitle");
  fprintf(script, "\n");
}

exit_code growth_plot(const growth *g, const rondo_context *ctx) {
  plot p;
  char title[512], runner[200];
  if (plot_open(&p, g->options->plot) != EXIT_FINE) return EXIT_USAGE;
  snprintf(title, sizeof title, "%.200s and around it: %s", g->name, plot_runner(runner, sizeof runner, ctx));
  fprintf(p.script,
          "set terminal svg size 900,700 font 'sans,12' background 'white'\nset datafile missing '?'\n"
          "set grid\nset xrange [0:]\nset yrange [0:]\nset multiplot layout 2,2 title ");
  plot_text(p.script, title);
  fprintf(p.script, " noenhanced font ',13'\n");
  for (int which = 0; which < g->axis_count; which++) write_panel(p.script, &g->axes[which], which);
  fprintf(p.script, "unset multiplot\n");
  return plot_close(&p);
}
