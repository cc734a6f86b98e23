/* misuse.c - applying and judging rows of misuse.h. */
#include "misuse.h"

#include <math.h>
#include <string.h>

void apply_misuse(const misuse *row, void *to) {
  char *field = (char *)to + row->offset;
  int as_int = (int)row->value;
  size_t as_size = (size_t)row->value;
  float as_float = row->how == SET_HALF ? 0.5f : (float)row->value;
  if (row->how == SET_NAN) as_float = NAN;
  if (row->how == SET_INFINITE) as_float = INFINITY;
  char *pointer = NULL;
  switch (row->how) {
    case SET: memcpy(field, row->size == sizeof as_int ? (void *)&as_int : (void *)&as_size, row->size); break;
    case SHIFT:
      memcpy(&pointer, field, sizeof pointer);
      pointer += row->value;
      memcpy(field, &pointer, sizeof pointer);
      break;
    case SAME_AS: memcpy(field, (char *)to + row->value, row->size); break;
    default: memcpy(field, &as_float, sizeof as_float);
  }
}

void expect_sentence(const char *who, const char *words) {
  const char *sentence = rondo_last_error();
  EXPECT(strncmp(sentence, who, strlen(who)) == 0, "\"%s\" does not begin with %s", sentence, who);
  EXPECT(strstr(sentence, words), "\"%s\" does not say \"%s\"", sentence, words);
}

void expect_refusal(rondo_status expected, rondo_status status, const char *who, const char *words) {
  if (EXPECT(status == expected, "%s gave %s, not %s, where it should say \"%s\"; the last sentence is \"%s\"", who,
             rondo_status_name(status), rondo_status_name(expected), words, rondo_last_error()))
    expect_sentence(who, words);
}

void expect_misuse(const misuse *row, rondo_status status, const char *who) {
  expect_refusal(row->status, status, who, row->words);
}

rondo_context *other_context(const rondo_context *ctx) {
  rondo_context_desc desc = {.backend = RONDO_REFERENCE};
  if (rondo_context_backend(ctx) == RONDO_REFERENCE) desc.backend = RONDO_CPU;
  return test_context_of(&desc);
}
