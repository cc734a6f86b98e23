/* philox.h - random numbers that are a function of their place: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011).
 *
 * Word i of sequence q from a seed is what cuRAND's device functions give after curand_init(seed, q, i, &state) with a
 * curandStatePhilox4_32_10_t, so a kernel and the host draw the same numbers, in any order and from any thread. */
#ifndef RONDO_PHILOX_H
#define RONDO_PHILOX_H

#include <stdint.h>

/* Sequences of one seed that must not be drawn from twice: the purpose, then what it counts (below 2^32). */
enum { RONDO_PHILOX_INIT = 0, RONDO_PHILOX_DROPOUT, RONDO_PHILOX_LAYER_DROPOUT };

static inline uint64_t rondo_philox_sequence(uint32_t purpose, uint32_t number) {
  return (uint64_t)purpose << 32 | number;
}

/* Words 4 * group to 4 * group + 3 of a sequence. */
static inline void rondo_philox(uint64_t seed, uint64_t sequence, uint64_t group, uint32_t word[4]) {
  uint32_t key_0 = (uint32_t)seed, key_1 = (uint32_t)(seed >> 32);
  uint32_t a = (uint32_t)group, b = (uint32_t)(group >> 32), c = (uint32_t)sequence, d = (uint32_t)(sequence >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p = (uint64_t)0xD2511F53 * a, q = (uint64_t)0xCD9E8D57 * c;
    a = (uint32_t)(q >> 32) ^ b ^ key_0, b = (uint32_t)q;
    c = (uint32_t)(p >> 32) ^ d ^ key_1, d = (uint32_t)p;
    key_0 += 0x9E3779B9, key_1 += 0xBB67AE85;
  }
  word[0] = a, word[1] = b, word[2] = c, word[3] = d;
}

/* A word as a number above 0 and up to 1, as curand_uniform makes it. The product is exact, so the bits are the same
 * where a compiler fuses the two operations. */
static inline float rondo_philox_uniform(uint32_t word) {
  return (float)word * 0x1p-32f + 0x1p-33f;
}

/* The sequence of the masks of dropout, or of recurrent_dropout: word (n * K + k) * columns + j is for column j. */
static inline uint64_t rondo_philox_masks(int index, int direction, int recurrent) {
  uint32_t layer = (uint32_t)index * 2 + (uint32_t)direction;
  return rondo_philox_sequence(RONDO_PHILOX_DROPOUT, layer * 2 + (uint32_t)recurrent);
}

#endif
