/* output.c - opens what the results go to before anything is measured, so that a name that is wrong is said at once. */
#include "bench.h"

#include <string.h>

exit_code output_open(output *out, const options *o) {
  int to_stdout = o->json && !strcmp(o->json, "-");
  *out = (output){.text = stdout, .json_name = o->json};
  if (to_stdout) out->text = fopen("/dev/null", "w");
  if (o->json) out->json = to_stdout ? stdout : fopen(o->json, "w");
  if (!o->json || (out->json && out->text)) return EXIT_FINE;
  output_close(out);
  return refuse("--json %s cannot be written", o->json);
}

exit_code output_close(output *out) {
  int failed = out->json && ferror(out->json);
  if (out->json && out->json != stdout) failed |= fclose(out->json) != 0;
  if (out->text && out->text != stdout) fclose(out->text);
  if (failed) refuse("--json %s cannot be written", out->json_name);
  *out = (output){.json_name = out->json_name};
  return failed ? EXIT_USAGE : EXIT_FINE;
}
