/* tensors.c - the reader of .tensors files (the format stands in tensors.h). The header is copied and cut into strings
 * in place; nothing is allocated or read by a number from the file before that number is known to fit in the file. */
#include "tensors.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} types[] = {{"f32", 4}, {"f64", 8}, {"i32", 4}, {"i64", 8}, {"u8", 1}};

typedef struct entry {
  const char *key, *value;
} entry;

struct tensors {
  char *header; /* the header's text, cut into strings */
  tensor *list;
  entry *meta;
  size_t count, meta_count;
};

/* Writes the sentence and gives 0, so that "return FAIL(...)" is the whole error path. */
#define FAIL(...) (snprintf(message, TENSORS_MESSAGE, __VA_ARGS__), 0)

/* Bytes of the header with its empty line; 0 when there is no end. */
static size_t header_size(const char *bytes, size_t size) {
  for (size_t i = 1; i < size; i++)
    if (bytes[i] == '\n' && bytes[i - 1] == '\n') return i + 1;
  return 0;
}

/* Cuts the next word off *rest, which is NULL after the last. */
static char *next_word(char **rest) {
  char *word = *rest, *space = word ? strchr(word, ' ') : NULL;
  *rest = space ? space + 1 : NULL;
  if (space) *space = 0;
  return word;
}

/* A dimension: decimal digits, at least 1, and the product so far must fit size_t. */
static int add_dimension(tensor *t, const char *word) {
  size_t value = 0;
  for (const char *c = word; *c; c++) {
    if (*c < '0' || *c > '9' || value > (SIZE_MAX - 9) / 10) return 0;
    value = value * 10 + (size_t)(*c - '0');
  }
  if (value == 0 || t->count > SIZE_MAX / value || t->rank == TENSORS_MAX_RANK) return 0;
  t->shape[t->rank++] = value;
  t->count *= value;
  return 1;
}

/* "type name d0 d1 ...", of which left bytes of data may still be used. */
static int read_tensor(tensors *file, char *line, size_t left, char *message) {
  tensor t = {.type = next_word(&line), .count = 1};
  size_t size = 0;
  t.name = next_word(&line);
  for (size_t i = 0; i < sizeof types / sizeof *types; i++)
    if (!strcmp(types[i].name, t.type)) size = types[i].size;
  if (!size) return FAIL("the header has a line of an unknown type \"%.40s\"", t.type);
  if (!t.name || !*t.name) return FAIL("the header has a tensor without a name");
  if (tensors_find(file, t.name)) return FAIL("the tensor \"%.80s\" is there twice", t.name);
  while (line) {
    char *word = next_word(&line);
    if (!add_dimension(&t, word)) return FAIL("the tensor \"%.80s\" has a bad dimension \"%.40s\"", t.name, word);
  }
  if (t.count > left / size)
    return FAIL("the tensor \"%.80s\" has %zu elements of %s, but %zu bytes are left in the file", t.name, t.count,
                t.type, left);
  t.bytes = t.count * size;
  file->list[file->count++] = t;
  return 1;
}

/* "# key value" */
static int read_meta(tensors *file, char *line, char *message) {
  if (line[1] != ' ' || !line[2]) return FAIL("the header has a \"#\" without a key");
  char *value = line + 2, *key = next_word(&value);
  file->meta[file->meta_count++] = (entry){key, value ? value : ""};
  return 1;
}

/* All lines, whose data must fill data_size bytes exactly. */
static int read_header(tensors *file, size_t data_size, char *message) {
  size_t left = data_size;
  char *line = strchr(file->header, '\n') + 1;
  while (*line != '\n') {
    char *end = strchr(line, '\n');
    *end = 0;
    if (*line == '#') {
      if (!read_meta(file, line, message)) return 0;
    } else {
      if (!read_tensor(file, line, left, message)) return 0;
      left -= file->list[file->count - 1].bytes;
    }
    line = end + 1;
  }
  return left ? FAIL("the file has %zu bytes more than its header says", left) : 1;
}

static int copy_data(tensors *file, const char *data, char *message) {
  for (size_t i = 0; i < file->count; i++) {
    tensor *t = &file->list[i];
    t->data = malloc(t->bytes);
    if (!t->data) return FAIL("no memory for %zu bytes of the tensor \"%.80s\"", t->bytes, t->name);
    memcpy(t->data, data, t->bytes);
    data += t->bytes;
  }
  return 1;
}

static int read_all(tensors *file, const char *bytes, size_t size, char *message) {
  static const char magic[] = "rondo tensors 1\n";
  size_t header = header_size(bytes, size), lines = 0;
  if (size < sizeof magic || memcmp(bytes, magic, sizeof magic - 1))
    return FAIL("it does not begin with the line \"rondo tensors 1\"");
  if (!header) return FAIL("the header has no end");
  if (memchr(bytes, 0, header)) return FAIL("the header has a zero byte");
  for (size_t i = 0; i < header; i++) lines += bytes[i] == '\n';
  file->header = malloc(header + 1);
  file->list = calloc(lines, sizeof *file->list);
  file->meta = calloc(lines, sizeof *file->meta);
  if (!file->header || !file->list || !file->meta) return FAIL("no memory for a header of %zu bytes", header);
  memcpy(file->header, bytes, header);
  file->header[header] = 0;
  return read_header(file, size - header, message) && copy_data(file, bytes + header, message);
}

tensors *tensors_parse(const void *bytes, size_t size, char *message) {
  tensors *file = calloc(1, sizeof *file);
  if (file && read_all(file, bytes, size, message)) return file;
  if (!file) snprintf(message, TENSORS_MESSAGE, "no memory");
  tensors_free(file);
  return NULL;
}

/* The rest of a stream; NULL without memory. */
static char *read_stream(FILE *stream, size_t *size) {
  size_t room = 1 << 16, got;
  char *bytes = malloc(room), *larger;
  *size = 0;
  while (bytes && (got = fread(bytes + *size, 1, room - *size, stream)) > 0) {
    *size += got;
    if (*size < room) continue;
    larger = room > SIZE_MAX / 2 ? NULL : realloc(bytes, room *= 2);
    if (!larger) free(bytes);
    bytes = larger;
  }
  return bytes;
}

tensors *tensors_read(const char *path, char *message) {
  FILE *stream = fopen(path, "rb");
  size_t size = 0;
  char *bytes = stream ? read_stream(stream, &size) : NULL, why[TENSORS_MESSAGE] = "it cannot be opened or read";
  tensors *file = bytes && !ferror(stream) ? tensors_parse(bytes, size, why) : NULL;
  if (stream) fclose(stream);
  free(bytes);
  if (!file) snprintf(message, TENSORS_MESSAGE, "%.100s: %.150s", path, why);
  return file;
}

void tensors_free(tensors *file) {
  if (!file) return;
  for (size_t i = 0; i < file->count; i++) free(file->list[i].data);
  free(file->list);
  free(file->meta);
  free(file->header);
  free(file);
}

const tensor *tensors_find(const tensors *file, const char *name) {
  for (size_t i = 0; i < file->count; i++)
    if (!strcmp(file->list[i].name, name)) return &file->list[i];
  return NULL;
}

static const void *find_data(const tensors *file, const char *name, const char *type, size_t count) {
  const tensor *t = tensors_find(file, name);
  return t && !strcmp(t->type, type) && (!count || count == t->count) ? t->data : NULL;
}

const float *tensors_f32(const tensors *file, const char *name, size_t count) {
  return find_data(file, name, "f32", count);
}

const double *tensors_f64(const tensors *file, const char *name, size_t count) {
  return find_data(file, name, "f64", count);
}

const char *tensors_meta(const tensors *file, const char *key) {
  for (size_t i = 0; i < file->meta_count; i++)
    if (!strcmp(file->meta[i].key, key)) return file->meta[i].value;
  return NULL;
}
