/* misuse.h - tables of wrong arguments: one field of a good struct is changed, and the call must give a status and a
 * sentence. */
#ifndef RONDO_TESTS_MISUSE_H
#define RONDO_TESTS_MISUSE_H

#include "harness.h"

#include <stddef.h>
#include <stdio.h>

typedef enum misuse_how {
  SET,          /* to value: an int, a size_t or a pointer, by the field's size */
  SET_HALF,     /* a float, to 0.5 */
  SET_FLOAT,    /* a float, to value */
  SET_NAN,      /* a float */
  SET_INFINITE, /* a float */
  SHIFT,        /* a pointer, by value bytes */
  SAME_AS       /* a pointer, to what the field at offset value holds */
} misuse_how;

typedef struct misuse {
  const char *name;
  size_t offset, size; /* of the field */
  misuse_how how;
  long long value;
  rondo_status status; /* that the call must give */
  const char *words;   /* that the sentence must hold */
} misuse;

#define OF(type, field) offsetof(type, field), sizeof(((type *)0)->field)

void apply_misuse(const misuse *row, void *to);

/* who: how the sentence must begin. Failures of either are recorded. */
void expect_sentence(const char *who, const char *words);
void expect_refusal(rondo_status expected, rondo_status status, const char *who, const char *words);
void expect_misuse(const misuse *row, rondo_status status, const char *who);

/* A context that plans of ctx's do not fit: another backend or another instruction set. */
rondo_context *other_context(const rondo_context *ctx);

#endif
