/* bench_lstm.c - checks and times recurrent layers: reads the command line, and runs what it asks for. */
#include "bench.h"

static void list_shapes(void) {
  for (const shape *row = shapes; row->name; row++) printf("%-16s %s\n", row->name, row->problem);
}

int main(int argc, char **argv) {
  options o;
  exit_code code = options_read(&o, argc, argv);
  if (code != EXIT_FINE) return code;
  switch (o.mode) {
    case MODE_LADDER: return ladder_run(&o);
    case MODE_GROWTH: return growth_run(&o);
    case MODE_SESSIONS: return sessions_run(&o);
    case MODE_WORKER: return worker_run(&o);
    case MODE_LIST: return list_shapes(), EXIT_FINE;
    case MODE_HELP: return options_usage(), EXIT_FINE;
    case MODE_VERSION: return printf("bench_lstm %s\n", rondo_version()), EXIT_FINE;
    default: return table_run(&o);
  }
}
