/* plot.h - pictures by gnuplot, which draws what is written to it into an SVG file. */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include "bench.h"

#include "json.h"

#include <sys/types.h>

/* What bench/peers/compare.py wrote: an object for each shape. */
typedef struct plot_peers {
  json_object rows[64];
  int count;
} plot_peers;

/* Before anything is measured: gnuplot is there, the file can be written, that of the peers has something for these
 * options. */
exit_code plot_check(const options *o, plot_peers *peers);

/* A bar for each problem: the share of the machine's limit that it reaches, the peers' bars beside it. Of a problem
 * that compare.py timed Rondo on, too, Rondo's bar is of that run, as only times of one run compare. */
exit_code plot_table(const options *o, const rondo_context *ctx, const result *results, const plot_peers *peers);

/* A gnuplot that reads its script from the stream. NULL, and a sentence has been printed, when there is none. */
typedef struct plot {
  FILE *script;
  pid_t child;
  const char *file;
} plot;

exit_code plot_open(plot *p, const char *file);
exit_code plot_close(plot *p);

/* A text in double quotes for a script. */
void plot_text(FILE *script, const char *text);

/* What runs: "Rondo 0.1.0 on cpu avx512, 2 threads", without why it is that backend. Gives text. */
char *plot_runner(char *text, size_t size, const rondo_context *ctx);

#endif
