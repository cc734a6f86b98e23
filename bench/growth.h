/* growth.h - times along the axes of growth.c, and their picture. */
#ifndef BENCH_GROWTH_H
#define BENCH_GROWTH_H

#include "limits.h"
#include "options.h"

enum { GROWTH_TIMESTEPS, GROWTH_BATCH, GROWTH_UNITS, GROWTH_THREADS, GROWTH_AXES };
enum { GROWTH_POINTS = 12 };

typedef struct growth_rule {
  const char *name, *line; /* what time is expected to be */
} growth_rule;

extern const growth_rule growth_rules[GROWTH_AXES];

typedef struct growth_point {
  double size; /* T, N, H or threads */
  char problem[PROBLEM_TEXT];
  double seconds, gflops;
  const char *limit_of; /* NULL: the limit is not known */
  double share;         /* of the limit */
  int on_line;          /* bound by what binds the last point */
  double line;          /* seconds that the line says, if the axis has one */
  double deviation;     /* of the time from it, as a share */
} growth_point;

typedef struct growth_axis {
  growth_point points[GROWTH_POINTS];
  int count, has_line;
  double start, slope; /* seconds: a and b */
  double worst;        /* the largest deviation of points on the line */
} growth_axis;

typedef struct growth {
  const options *options;
  const char *name; /* of the middle, which all axes go through */
  problem middle;
  int axis_count, done, count; /* points */
  limits limits;               /* of one thread */
  growth_axis axes[GROWTH_AXES];
} growth;

/* growth_plot.c: a panel for each axis, into the options' plot. */
exit_code growth_plot(const growth *g, const rondo_context *ctx);

#endif
