/* terminal.c - sentences on stderr. */
#define _POSIX_C_SOURCE 200809L /* isatty */
#include "terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

exit_code refuse(const char *format, ...) {
  va_list arguments;
  fprintf(stderr, "bench_lstm: ");
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\n");
  return EXIT_USAGE;
}

void progress(int done, int count, const char *what) {
  if (!isatty(STDERR_FILENO)) return;
  if (what)
    fprintf(stderr, "\r\033[K[%d/%d] %s", done + 1, count, what);
  else
    fprintf(stderr, "\r\033[K");
  fflush(stderr);
}
