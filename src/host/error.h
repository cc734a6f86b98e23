/* error.h - a failure is a status and one sentence, written where the fault is first seen. */
#ifndef RONDO_ERROR_H
#define RONDO_ERROR_H

#include "rondo/rondo.h"

#include <stdarg.h>

/* Writes the thread's sentence and returns status, so that "return rondo_fail(...)" is the whole error path. */
__attribute__((format(printf, 2, 3))) rondo_status rondo_fail(rondo_status status, const char *format, ...);
rondo_status rondo_vfail(rondo_status status, const char *format, va_list arguments);

/* The caller's mistake: the sentence names the argument, its value and what was expected. */
#define REQUIRE(condition, ...)                                                                                        \
  do {                                                                                                                 \
    if (!(condition)) return rondo_fail(RONDO_INVALID_ARGUMENT, __VA_ARGS__);                                          \
  } while (0)

/* A legal request that is refused. */
#define OFFER(condition, ...)                                                                                          \
  do {                                                                                                                 \
    if (!(condition)) return rondo_fail(RONDO_UNSUPPORTED, __VA_ARGS__);                                               \
  } while (0)

/* Passes a failure on; its sentence is already written. */
#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    rondo_status try_status = (call);                                                                                  \
    if (try_status != RONDO_OK) return try_status;                                                                     \
  } while (0)

#endif
