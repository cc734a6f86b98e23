/* gnuplot.c - runs gnuplot: a script goes to its standard input, its standard output is the file. No shell is asked, so
 * any file name will do. */
#define _POSIX_C_SOURCE 200809L /* fork, pipe, fdopen */
#include "plot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_GNUPLOT = 127 };

/* In the child; does not return. */
static void run_gnuplot(const int ends[2], int file) {
  static const char *const arguments[] = {"gnuplot", "-", NULL};
  dup2(ends[0], STDIN_FILENO);
  dup2(file, STDOUT_FILENO);
  close(ends[0]), close(ends[1]), close(file);
  execvp(arguments[0], (char *const *)arguments);
  _exit(NO_GNUPLOT);
}

exit_code plot_open(plot *p, const char *file) {
  int ends[2], out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  *p = (plot){.file = file};
  if (out < 0) return refuse("--plot %s cannot be written: %s", file, strerror(errno));
  if (pipe(ends)) return close(out), refuse("--plot: no pipe: %s", strerror(errno));
  signal(SIGPIPE, SIG_IGN); /* a gnuplot that ends early is noticed when it is waited for */
  fflush(NULL);
  p->child = fork();
  if (p->child == 0) run_gnuplot(ends, out);
  close(ends[0]), close(out);
  p->script = p->child > 0 ? fdopen(ends[1], "w") : NULL;
  if (p->script) return EXIT_FINE;
  close(ends[1]);
  return refuse("--plot: no process for gnuplot: %s", strerror(errno));
}

exit_code plot_close(plot *p) {
  int status = 0;
  fclose(p->script);
  if (waitpid(p->child, &status, 0) == p->child && WIFEXITED(status) && WEXITSTATUS(status) == 0) return EXIT_FINE;
  if (WIFEXITED(status) && WEXITSTATUS(status) == NO_GNUPLOT)
    return refuse("--plot needs gnuplot, which is not there (Debian: apt-get install gnuplot-nox)");
  return refuse("--plot %s: gnuplot failed", p->file);
}

void plot_text(FILE *script, const char *text) {
  putc('"', script);
  for (; *text; text++) putc(*text == '"' || *text == '\\' || (unsigned char)*text < ' ' ? ' ' : *text, script);
  putc('"', script);
}

char *plot_runner(char *text, size_t size, const rondo_context *ctx) {
  const char *all = rondo_context_text(ctx), *reason = strstr(all, " (cuda not used");
  snprintf(text, size, "Rondo %s on %.*s", rondo_version(), reason ? (int)(reason - all) : (int)strlen(all), all);
  return text;
}
