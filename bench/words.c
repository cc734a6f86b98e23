/* words.c - words for the library's enumerations. A library may know fewer than these tables have at their ends, so it
 * is asked. */
#include "words.h"

#include "problem.h"

#include <stdio.h>
#include <string.h>

const char *const words_backend[] = {"auto", "cpu", "cuda", "reference", NULL};
const char *const words_algorithm[] = {"auto", "stepwise", "hoisted", "persistent", NULL};
const char *const words_precision[] = {"f32", "tf32", NULL};
const char *const words_lengths[] = {"full", "uniform", NULL};

static const char *const isas[] = {"best", "portable", "avx2", "avx512", "avx512_bf16", "amx"};
static const struct {
  const char *word;
  int bytes;
} types[] = {{"f32", 4}, {"f16", 2}, {"bf16", 2}, {"int8", 1}};

enum { ISAS = sizeof isas / sizeof *isas, TYPES = sizeof types / sizeof *types };

static int knows_isa(int isa) {
  rondo_context *ctx;
  const rondo_context_desc desc = {.backend = RONDO_CPU, .max_isa = (rondo_isa)isa};
  rondo_status status = rondo_context_create(&ctx, &desc);
  rondo_context_destroy(ctx);
  return status == RONDO_OK;
}

const char *const *words_isa(void) {
  static const char *known[ISAS + 1];
  for (int i = 0; i < ISAS && (known[i] || knows_isa(i)); i++) known[i] = isas[i];
  return known;
}

static int knows_type(int type) {
  char text[64], message[PROBLEM_TEXT];
  problem p;
  if (type == RONDO_F32) return 1;
  snprintf(text, sizeof text, "lstm:n1t1c1h1:weights=%s", types[type].word);
  return problem_parse(&p, text, message, sizeof message) && (int)p.weights == type;
}

const char *const *words_weights(void) {
  static const char *known[TYPES + 1];
  for (int i = 0; i < TYPES && (known[i] || knows_type(i)); i++) known[i] = types[i].word;
  return known;
}

int words_find(const char *const words[], const char *word) {
  for (int i = 0; words[i]; i++)
    if (!strcmp(words[i], word)) return i;
  return -1;
}

char *words_join(const char *const words[], const char *separator, char *text) {
  size_t used = 0;
  text[0] = 0;
  for (int i = 0; words[i] && used < WORDS_TEXT; i++)
    used += (size_t)snprintf(text + used, WORDS_TEXT - used, "%s%s", i ? separator : "", words[i]);
  return text;
}

int weights_bytes(rondo_dtype weights) {
  return types[weights].bytes;
}

rondo_isa words_isa_of(const rondo_context *ctx) {
  char name[32] = "";
  if (rondo_context_backend(ctx) == RONDO_CPU) sscanf(rondo_context_text(ctx), "cpu %31[a-z0-9_]", name);
  int found = words_find(words_isa(), name);
  return found < 0 ? RONDO_ISA_BEST : (rondo_isa)found;
}
