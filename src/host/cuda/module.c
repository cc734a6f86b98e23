/* module.c - only in the shared module: failing there is failing in the librondo that opened it, so that
 * rondo_last_error has the sentence. A static program has librondo's own error.c instead. */
#include "cuda.h"

rondo_status rondo_vfail(rondo_status status, const char *format, va_list arguments) {
  const rondo_core *core = rondo_cuda_core;
  return core->vfail(status, format, arguments);
}

rondo_status rondo_fail(rondo_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  rondo_vfail(status, format, arguments);
  va_end(arguments);
  return status;
}
