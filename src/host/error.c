/* error.c - status names, and the sentence of each thread's last failure. */
#include "error.h"

#include <stdio.h>

static _Thread_local char sentence[512];

rondo_status rondo_vfail(rondo_status status, const char *format, va_list arguments) {
  vsnprintf(sentence, sizeof sentence, format, arguments);
  return status;
}

rondo_status rondo_fail(rondo_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  rondo_vfail(status, format, arguments);
  va_end(arguments);
  return status;
}

const char *rondo_last_error(void) {
  return sentence;
}

const char *rondo_status_name(rondo_status status) {
  static const char *const names[] = {
      [RONDO_OK] = "RONDO_OK",
      [RONDO_INVALID_ARGUMENT] = "RONDO_INVALID_ARGUMENT",
      [RONDO_UNSUPPORTED] = "RONDO_UNSUPPORTED",
      [RONDO_OUT_OF_MEMORY] = "RONDO_OUT_OF_MEMORY",
      [RONDO_DEVICE_ERROR] = "RONDO_DEVICE_ERROR",
      [RONDO_BAD_FILE] = "RONDO_BAD_FILE",
      [RONDO_UNAVAILABLE] = "RONDO_UNAVAILABLE",
  };
  size_t i = (size_t)status;
  return i < sizeof names / sizeof *names ? names[i] : "unknown rondo_status";
}

#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

const char *rondo_version(void) {
  return VERSION_TEXT(RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH);
}
