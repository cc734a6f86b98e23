/* plot.c - the table as bars: how near each shape comes to the machine's limit, Rondo and its peers. */
#include "plot.h"

#include "words.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PEERS = 8, SECONDS = sizeof "seconds." - 1 };

/* Whether compare.py's row was measured as the options say. */
static int fits(const json_object *row, const options *o) {
  const json_member *precision = json_find(row, "precision"), *training = json_find(row, "training"),
                    *threads = json_find(row, "threads"), *lengths = json_find(row, "lengths");
  return (!precision || !strcmp(precision->text, words_weights()[o->weights])) &&
         (!training || (training->number != 0) == o->training) && (!threads || threads->number == o->context.threads) &&
         (lengths ? !strcmp(lengths->text, words_lengths[o->ragged]) : !o->ragged);
}

/* Keeps the rows of a document that fit. NULL, or a sentence. */
static const char *read_rows(plot_peers *peers, const char *text, const options *o) {
  enum { MOST = sizeof peers->rows / sizeof *peers->rows };
  while (text && peers->count < MOST) {
    json_object *row = &peers->rows[peers->count];
    const char *wrong = json_next(row, &text);
    if (wrong) return wrong;
    peers->count += text && fits(row, o);
  }
  return NULL;
}

/* All of a file as a text. NULL: it cannot be read. Release with free. */
static char *read_file(const char *name) {
  enum { MOST = 1 << 20 };
  FILE *file = fopen(name, "r");
  char *text = file ? calloc(MOST, 1) : NULL;
  if (text && (fread(text, 1, MOST - 1, file) == 0 || ferror(file))) free(text), text = NULL;
  if (file) fclose(file);
  return text;
}

static exit_code read_peers(plot_peers *peers, const options *o) {
  char *text = read_file(o->peers);
  if (!text) return refuse("--peers %s cannot be read", o->peers);
  const char *wrong = read_rows(peers, text, o);
  free(text);
  if (wrong) return refuse("--peers %s: %s", o->peers, wrong);
  if (peers->count) return EXIT_FINE;
  return refuse("--peers %s has nothing of %s%s with lengths %s and %d thread%s", o->peers, words_weights()[o->weights],
                o->training ? " training" : "", words_lengths[o->ragged], o->context.threads,
                o->context.threads == 1 ? "" : "s");
}

exit_code plot_check(const options *o, plot_peers *peers) {
  plot p;
  peers->count = 0;
  if (o->peers && read_peers(peers, o) != EXIT_FINE) return EXIT_USAGE;
  exit_code code = plot_open(&p, o->plot); /* and draws nothing */
  return code == EXIT_FINE ? plot_close(&p) : code;
}

/* ---- bars -------------------------------------------------------------------------------------------------------- */

static const json_object *row_of(const plot_peers *peers, const char *name) {
  for (int i = 0; i < peers->count; i++) {
    const json_member *found = json_find(&peers->rows[i], "name");
    if (found && !strcmp(found->text, name)) return &peers->rows[i];
  }
  return NULL;
}

/* The names of peers in the order of their appearance. How many. */
static int list_peers(const char *names[MOST_PEERS], const plot_peers *peers) {
  int count = 0;
  for (int i = 0; i < peers->count; i++)
    for (int k = 0; k < peers->rows[i].count; k++) {
      const char *name = peers->rows[i].members[k].name;
      int known = strncmp(name, "seconds.", SECONDS) != 0 || !strcmp(name + SECONDS, "ours");
      for (int m = 0; m < count; m++) known |= !strcmp(names[m], name + SECONDS);
      if (!known && count < MOST_PEERS) names[count++] = name + SECONDS;
    }
  return count;
}

/* Percent of the limit that a run of compare.py reached; "?" without one. */
static void write_share(FILE *script, const result *r, const json_object *row, const char *who, double fallback) {
  char name[64];
  snprintf(name, sizeof name, "seconds.%.50s", who);
  const json_member *seconds = row ? json_find(row, name) : NULL;
  double share = seconds && seconds->number > 0 ? r->limit_seconds / seconds->number : fallback;
  if (r->limit_seconds > 0 && share > 0)
    fprintf(script, " %.1f", 100 * share);
  else
    fprintf(script, " ?");
}

static int write_rows(FILE *script, const options *o, const result *results, const plot_peers *peers,
                      const char *const names[], int count) {
  int drawn = 0;
  fprintf(script, "$shares << EOD\nshape Rondo");
  for (int i = 0; i < count; i++) fputs(" ", script), plot_text(script, names[i]);
  for (int i = 0; i < o->problem_count; i++) {
    const result *r = &results[i];
    const json_object *row = row_of(peers, r->name);
    if (r->reason[0]) continue;
    drawn++;
    fputs("\n", script), plot_text(script, r->name);
    write_share(script, r, row, "ours", r->limit_seconds / r->plain.least);
    for (int k = 0; k < count; k++) write_share(script, r, row, names[k], 0);
  }
  fprintf(script, "\nEOD\n");
  return drawn;
}

static void write_title(FILE *script, const options *o, const rondo_context *ctx) {
  char title[512], runner[200];
  snprintf(title, sizeof title, "%s: %s, weights %s%s%s", limits_cpu_name(), plot_runner(runner, sizeof runner, ctx),
           words_weights()[o->weights], o->training ? ", training" : "", o->ragged ? ", lengths uniform" : "");
  fputs("set title ", script), plot_text(script, title), fputs(" noenhanced font ',11'\n", script);
}

exit_code plot_table(const options *o, const rondo_context *ctx, const result *results, const plot_peers *peers) {
  plot p;
  const char *names[MOST_PEERS];
  int count = list_peers(names, peers), known = 0;
  for (int i = 0; i < o->problem_count; i++) known += !results[i].reason[0] && results[i].limit_seconds > 0;
  if (!known) return refuse("--plot %s: the limit of %s is not known", o->plot, rondo_context_text(ctx));
  if (plot_open(&p, o->plot) != EXIT_FINE) return EXIT_USAGE;
  FILE *script = p.script;
  int drawn = write_rows(script, o, results, peers, names, count);
  fprintf(script,
          "set terminal svg size %d,480 font 'sans,12' background 'white'\n"
          "set datafile missing '?'\n"
          "set style data histogram\nset style histogram clustered gap 1\nset style fill solid 0.9 border -1\n"
          "set boxwidth 0.95\nset xtics rotate by 35 right noenhanced scale 0\nset grid ytics\nset yrange [0:]\n"
          "set ylabel '%% of the limit'\nset key outside right top noenhanced\nset bmargin 7\nset linetype 1 lc rgb "
          "'#202080'\n"
          "set arrow from graph 0, first 100 to graph 1, first 100 nohead dashtype 2\n",
          200 + 60 * drawn * (count + 2) / 2);
  write_title(script, o, ctx);
  fprintf(script, "plot for [i=2:%d] $shares using i:xtic(1) title columnheader(i)\n", count + 2);
  return plot_close(&p);
}
