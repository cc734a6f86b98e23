/* json.h - as much JSON as bench_lstm reads and writes: objects of texts and numbers, and lists of them. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdio.h>

typedef struct json_member {
  char name[64];
  int is_text;
  char text[128];
  double number; /* true is 1, false and null are 0 */
} json_member;

typedef struct json_object {
  json_member members[64];
  int count;
} json_object;

/* Reads {"name": value, ...}; values are texts, numbers, true, false, null, or objects of these, whose members get the
 * names "outer.inner". NULL, or a sentence: what is wrong. */
const char *json_parse(json_object *object, const char *text);

/* Reads the next object of a list of such objects. at: where the reader stands, at first the whole text; NULL when the
 * list has ended, and object is not set. NULL, or a sentence. */
const char *json_next(json_object *object, const char **at);

/* The last member of that name, as in other readers; NULL: there is none. */
const json_member *json_find(const json_object *object, const char *name);

/* A text in quotes, escaped. */
void json_write_text(FILE *out, const char *text);

/* "name": value, after what separates it from what was before. JSON has no infinity and no NaN: null. */
void json_write_member(FILE *out, const char *before, const char *name, const char *text);
void json_write_number(FILE *out, const char *before, const char *name, double value);

#endif
