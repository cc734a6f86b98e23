/* float_mode.h - how the CPU backend computes. Subnormal numbers cost a hundred cycles each, and decaying states and
 * gradients are full of them, so on x86-64 they count as zero. The rest of the mode is the default, so that results are
 * the same there whatever the caller's thread has set. Other machines compute in the caller's mode. */
#ifndef RONDO_CPU_FLOAT_MODE_H
#define RONDO_CPU_FLOAT_MODE_H

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Gives the mode before, for rondo_leave_float_mode. */
static inline unsigned rondo_enter_float_mode(void) {
#if defined(__x86_64__)
  unsigned before = _mm_getcsr();
  _mm_setcsr(0x9fc0); /* exceptions masked, round to nearest, flush to zero, denormals are zero */
  return before;
#else
  return 0;
#endif
}

static inline void rondo_leave_float_mode(unsigned before) {
#if defined(__x86_64__)
  _mm_setcsr(before);
#else
  (void)before;
#endif
}

#endif
