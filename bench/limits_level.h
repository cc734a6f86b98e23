/* limits_level.h - the two loops of limits.c on vectors of LANES floats; included once for every instruction set, with
 * LEVEL(name) adding its suffix and TARGET its compiler attribute. No include guard. */

typedef float LEVEL(vector) __attribute__((vector_size(LANES * sizeof(float)), may_alias));

static float LEVEL(lanes_sum)(const LEVEL(vector) * vector) {
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += (*vector)[i];
  return sum;
}

/* 12 independent chains: more than the latency of a multiply-add times the units that do it, few enough for 16
 * registers. Every chain tends to 1, so nothing overflows or becomes denormal; none begins there, as the compiler would
 * see that such a one does not change, and leave it out. */
TARGET static float LEVEL(fma)(long rounds) {
  const LEVEL(vector) zero = {0}, b = zero + 0.999f, c = zero + 0.001f;
  LEVEL(vector) a0 = zero, a1 = zero + 2, a2 = zero + 3, a3 = zero + 4, a4 = zero + 5, a5 = zero + 6;
  LEVEL(vector) a6 = zero + 7, a7 = zero + 8, a8 = zero + 9, a9 = zero + 10, a10 = zero + 11, a11 = zero + 12;
  for (long k = 0; k < rounds; k++) {
    a0 = a0 * b + c, a1 = a1 * b + c, a2 = a2 * b + c, a3 = a3 * b + c, a4 = a4 * b + c, a5 = a5 * b + c;
    a6 = a6 * b + c, a7 = a7 * b + c, a8 = a8 * b + c, a9 = a9 * b + c, a10 = a10 * b + c, a11 = a11 * b + c;
  }
  a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
  return LEVEL(lanes_sum)(&a0);
}

/* Reads a block once, as two streams, since one alone does not keep the load units busy. block: floats of them, a
 * multiple of 8 * LANES. down: from the end to the beginning. */
TARGET static float LEVEL(read)(const float *block, size_t floats, int down) {
  const size_t half = floats / LANES / 2;
  const ptrdiff_t step = down ? -4 : 4;
  const LEVEL(vector) *v = (const LEVEL(vector) *)block + (down ? half - 4 : 0);
  LEVEL(vector) a0 = {0}, a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  for (size_t k = 0; k < half; k += 4, v += step) {
    a0 += v[0], a1 += v[1], a2 += v[2], a3 += v[3];
    b0 += v[half], b1 += v[half + 1], b2 += v[half + 2], b3 += v[half + 3];
  }
  a0 += a1 + a2 + a3 + b0 + b1 + b2 + b3;
  return LEVEL(lanes_sum)(&a0);
}
