/* tensors.h - reads .tensors files: named arrays and a few words about them. Needs libc only.
 *
 * A file is a text header and raw data behind it:
 *
 *     rondo tensors 1                      the format and its version
 *     # peer keras 3.15.1                  metadata: a key, a space, the value to the end of the line
 *     f32 call0.x 3 5 7                    a tensor: type, name, shape (no number: a scalar)
 *     f64 call0.out64.0 3 9
 *                                          an empty line ends the header
 *
 * Then follow the tensors' elements, little-endian and row-major, in the order of the lines, with nothing in between
 * and nothing after. Types: f32, f64, i32, i64, u8. Names have no spaces and occur once. Every dimension is at least 1.
 *
 * The bytes may come from anywhere: a file that is cut, lies about its sizes or is no such file at all gives NULL and a
 * sentence. */
#ifndef RONDO_TESTS_TENSORS_H
#define RONDO_TESTS_TENSORS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { TENSORS_MAX_RANK = 8, TENSORS_MESSAGE = 256 };

typedef struct tensor {
  const char *name, *type;
  int rank;
  size_t shape[TENSORS_MAX_RANK];
  size_t count, bytes; /* elements; count times the element size */
  void *data;          /* aligned for any type */
} tensor;

typedef struct tensors tensors;

/* The file at path; or NULL with a sentence in message (TENSORS_MESSAGE bytes). Free with tensors_free. */
tensors *tensors_read(const char *path, char *message);

/* The same from memory, which is copied. */
tensors *tensors_parse(const void *bytes, size_t size, char *message);

void tensors_free(tensors *file); /* NULL is fine */

/* By name, or NULL. */
const tensor *tensors_find(const tensors *file, const char *name);

/* The elements of an f32 (f64) tensor of that many elements (0: any); NULL when there is none of this kind. */
const float *tensors_f32(const tensors *file, const char *name, size_t count);
const double *tensors_f64(const tensors *file, const char *name, size_t count);

/* The value of a metadata key, or NULL. */
const char *tensors_meta(const tensors *file, const char *key);

#ifdef __cplusplus
}
#endif

#endif
