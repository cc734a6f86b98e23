/* json.c - a reader of objects and lists of them, and a writer of members. */
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where the reader stands; failed: what is wrong, the first time something was. */
typedef struct reader {
  const char *at;
  const char *failed;
} reader;

static int fail(reader *r, const char *sentence) {
  if (!r->failed) r->failed = sentence;
  return 0;
}

static void skip_blanks(reader *r) {
  r->at += strspn(r->at, " \t\r\n");
}

static int take(reader *r, char wanted) {
  skip_blanks(r);
  if (*r->at != wanted) return 0;
  r->at++;
  return 1;
}

/* Escapes stand for what they say, but for \u, which nothing here needs: '?' then. */
static char unescaped(reader *r) {
  static const char from[] = "nrtbf", to[] = "\n\r\t\b\f";
  char c = *r->at++;
  if (c == 'u') {
    size_t digits = strspn(r->at, "0123456789abcdefABCDEF");
    r->at += digits < 4 ? digits : 4;
    return '?';
  }
  const char *found = strchr(from, c);
  return found && c ? to[found - from] : c;
}

static int read_text(reader *r, char *text, size_t size) {
  size_t used = 0;
  if (!take(r, '"')) return fail(r, "a text in quotes was expected");
  while (*r->at && *r->at != '"') {
    char c = *r->at++;
    if (c == '\\') {
      if (!*r->at) break;
      c = unescaped(r);
    }
    if (used + 1 == size) return fail(r, "a text is too long");
    text[used++] = c;
  }
  text[used] = 0;
  return *r->at ? take(r, '"') : fail(r, "a text does not end");
}

static int read_number(reader *r, double *number) {
  static const struct {
    const char *word;
    double value;
  } words[] = {{"true", 1}, {"false", 0}, {"null", 0}};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    size_t length = strlen(words[i].word);
    if (strncmp(r->at, words[i].word, length) != 0) continue;
    *number = words[i].value;
    r->at += length;
    return 1;
  }
  char *end;
  if (!strchr("-0123456789", *r->at) || !*r->at) return fail(r, "a text or a number was expected");
  *number = strtod(r->at, &end);
  r->at = end;
  return 1;
}

static int read_object(reader *r, json_object *object, const char *outer);

/* outer: "", or what the names begin with. */
static int read_member(reader *r, json_object *object, const char *outer) {
  enum { MOST = sizeof object->members / sizeof *object->members };
  if (object->count == MOST) return fail(r, "the JSON object has too many members");
  json_member *member = &object->members[object->count];
  size_t used = strlen(outer);
  memcpy(member->name, outer, used + 1);
  if (!read_text(r, member->name + used, sizeof member->name - used)) return 0;
  if (!take(r, ':')) return fail(r, "':' was expected after a name");
  skip_blanks(r);
  if (*r->at == '{') {
    char inner[sizeof member->name];
    if (strlen(member->name) + 2 > sizeof inner || *outer) return fail(r, "objects are too deep");
    snprintf(inner, sizeof inner, "%.62s.", member->name);
    return read_object(r, object, inner);
  }
  object->count++;
  member->is_text = *r->at == '"';
  return member->is_text ? read_text(r, member->text, sizeof member->text) : read_number(r, &member->number);
}

static int read_object(reader *r, json_object *object, const char *outer) {
  if (!take(r, '{')) return fail(r, "not a JSON object");
  if (take(r, '}')) return 1;
  do
    if (!read_member(r, object, outer)) return 0;
  while (take(r, ','));
  return take(r, '}') || fail(r, "',' or '}' was expected");
}

const char *json_parse(json_object *object, const char *text) {
  reader r = {text, NULL};
  memset(object, 0, sizeof *object);
  if (!read_object(&r, object, "")) return r.failed;
  skip_blanks(&r);
  return *r.at ? "something follows the JSON object" : NULL;
}

const char *json_next(json_object *object, const char **at) {
  reader r = {*at, NULL};
  memset(object, 0, sizeof *object);
  int first = take(&r, '[');
  if (take(&r, ']')) return *at = NULL, NULL;
  if (!first && !take(&r, ',')) return "a list of JSON objects was expected";
  if (!read_object(&r, object, "")) return r.failed;
  *at = r.at;
  return NULL;
}

const json_member *json_find(const json_object *object, const char *name) {
  for (int i = object->count - 1; i >= 0; i--)
    if (!strcmp(object->members[i].name, name)) return &object->members[i];
  return NULL;
}

void json_write_text(FILE *out, const char *text) {
  putc('"', out);
  for (; *text; text++) {
    unsigned char c = (unsigned char)*text;
    if (c == '"' || c == '\\')
      fprintf(out, "\\%c", c);
    else if (c < 0x20)
      fprintf(out, "\\u%04x", c);
    else
      putc(c, out);
  }
  putc('"', out);
}

void json_write_member(FILE *out, const char *before, const char *name, const char *text) {
  fprintf(out, "%s\"%s\": ", before, name);
  json_write_text(out, text);
}

void json_write_number(FILE *out, const char *before, const char *name, double value) {
  fprintf(out, "%s\"%s\": ", before, name);
  if (isfinite(value))
    fprintf(out, "%.9g", value);
  else
    fprintf(out, "null");
}
