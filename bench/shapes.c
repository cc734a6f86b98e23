/* shapes.c - the default table, and asking for shapes that the library may not offer. */
#include "shapes.h"

#include <stdio.h>
#include <string.h>

const shape shapes[] = {
#include "shapes.inc" /* {"name", "problem"}, for every line of shapes.txt: written by CMake */
    {NULL, NULL},
};

const char *shape_problem(const char *text) {
  for (const shape *row = shapes; row->name; row++)
    if (!strcmp(row->name, text)) return row->problem;
  return text;
}

int shape_parse(problem *p, rondo_plan_desc *desc, const char *text, char *message, size_t size) {
  static const struct {
    const char *prefix;
    rondo_cell cell;
  } cells[] = {{"gru:", RONDO_GRU}, {"rnn:", RONDO_RNN}};
  static const char both_ways[] = ":bi";
  rondo_cell cell = RONDO_LSTM;
  char lstm[PROBLEM_TEXT];
  const char *sizes = text;
  for (size_t i = 0; i < sizeof cells / sizeof *cells; i++) {
    if (strncmp(text, cells[i].prefix, strlen(cells[i].prefix)) != 0) continue;
    cell = cells[i].cell;
    sizes = text + strlen(cells[i].prefix);
  }
  size_t length = strlen(sizes);
  int bidirectional = length > strlen(both_ways) && !strcmp(sizes + length - strlen(both_ways), both_ways);
  if (bidirectional) length -= strlen(both_ways);
  int used = snprintf(lstm, sizeof lstm, "%s%.*s", cell == RONDO_LSTM ? "" : "lstm:", (int)length, sizes);
  if (used >= (int)sizeof lstm) lstm[0] = 0; /* too long to be one */
  if (!problem_parse(p, lstm, message, size)) return 0;
  *desc = problem_plan_desc(p);
  desc->layer.cell = cell;
  desc->layer.bidirectional = bidirectional;
  return 1;
}
