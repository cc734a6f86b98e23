/* words.h - words for the library's enumerations, in the order of their values, and what types of weights weigh. */
#ifndef BENCH_WORDS_H
#define BENCH_WORDS_H

#include "rondo/rondo.h"

enum { WORDS_TEXT = 200 };

extern const char *const words_backend[], *const words_algorithm[], *const words_precision[], *const words_lengths[];

/* Those that this library knows: instruction sets, whether or not this machine has them, and types of weights. All
 * lists end with NULL. */
const char *const *words_isa(void);
const char *const *words_weights(void);

/* The word's place in a list; -1: it is not there. */
int words_find(const char *const words[], const char *word);

/* "a, b, c" with the separator ", ". Gives text (WORDS_TEXT bytes). */
char *words_join(const char *const words[], const char *separator, char *text);

/* Bytes of a weight. */
int weights_bytes(rondo_dtype weights);

/* The instruction set of a CPU context, as its text has it ("cpu avx512_bf16, 2 threads"): its place in words_isa;
 * RONDO_ISA_BEST for other backends. */
rondo_isa words_isa_of(const rondo_context *ctx);

#endif
