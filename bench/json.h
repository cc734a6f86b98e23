/* json.h - as much JSON as bench_lstm reads and writes: flat objects of texts and numbers. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdio.h>

typedef struct json_member {
  char name[32];
  int is_text;
  char text[64];
  double number; /* true is 1, false and null are 0 */
} json_member;

typedef struct json_object {
  json_member members[32];
  int count;
} json_object;

/* Reads {"name": value, ...}; values are texts, numbers, true, false, null. NULL, or a sentence: what is wrong. */
const char *json_parse(json_object *object, const char *text);

/* The last member of that name, as in other readers; NULL: there is none. */
const json_member *json_find(const json_object *object, const char *name);

/* A text in quotes, escaped. */
void json_write_text(FILE *out, const char *text);

#endif
