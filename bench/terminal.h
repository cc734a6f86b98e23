/* terminal.h - how bench_lstm ends, and what it says on stderr. */
#ifndef BENCH_TERMINAL_H
#define BENCH_TERMINAL_H

typedef enum exit_code {
  EXIT_FINE = 0,
  EXIT_WRONG = 1, /* a result is out of its bound, or a call failed */
  EXIT_USAGE = 2  /* bad arguments, or the backend cannot run here */
} exit_code;

/* One line after the program's name. EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) exit_code refuse(const char *format, ...);

/* A line on a terminal that says what goes on, "[done + 1/count] what", and gives way to the next; nothing elsewhere.
 * what NULL: clears it. */
void progress(int done, int count, const char *what);

#endif
