/* init.c - rondo_init_params: the first weights of a training plan, as Keras's initializers draw them.
 *
 * Every array of every layer has a sequence of philox.h for itself, so the numbers do not depend on the order in which
 * arrays are filled, nor on the backend. Uniform numbers may be drawn where they are needed (draw_uniform); everything
 * else takes logarithms and sums, which differ from machine to machine, and is made on the host. */
#include "internal.h"

#include "canonical.h"
#include "error.h"
#include "philox.h"

#include <math.h>
#include <stdlib.h>

/* ---- normal numbers ---------------------------------------------------------------------------------------------- */

/* A sequence drawn from the start. */
typedef struct normals {
  uint64_t seed, sequence, group;
  double pair[4];
  int left; /* of pair */
} normals;

/* Box and Muller: of two uniform numbers two normal ones, which are independent. Half a step off 0 and 1, so that the
 * logarithm is finite; 32 bits reach 6.7 deviations. */
static void box_muller(const uint32_t word[2], double pair[2]) {
  const double pi = 3.14159265358979323846;
  double radius = sqrt(-2 * log((word[0] + 0.5) * 0x1p-32)), angle = 2 * pi * ((word[1] + 0.5) * 0x1p-32);
  pair[0] = radius * cos(angle);
  pair[1] = radius * sin(angle);
}

static double next_normal(normals *n) {
  if (!n->left) {
    uint32_t word[4];
    rondo_philox(n->seed, n->sequence, n->group++, word);
    box_muller(word, n->pair);
    box_muller(word + 2, n->pair + 2);
    n->left = 4;
  }
  return n->pair[4 - n->left--];
}

/* ---- orthogonal -------------------------------------------------------------------------------------------------- */

/* In eight sums, so that a compiler can use vectors. */
static double dot(const double *a, const double *b, size_t count) {
  double sum[8] = {0}, rest = 0;
  size_t k = 0;
  for (; k + 8 <= count; k += 8)
    for (size_t i = 0; i < 8; i++) sum[i] += a[k + i] * b[k + i];
  for (; k < count; k++) rest += a[k] * b[k];
  for (size_t i = 0; i < 8; i++) rest += sum[i];
  return rest;
}

/* The rows of `v` (count, length), count <= length, become orthonormal: modified Gram-Schmidt. That is the Q of v's
 * transpose = Q R with a positive diagonal of R, which Keras's Orthogonal gets from a QR decomposition and a change of
 * signs. Rounding leaves about 2^-53 times v's condition number, which for normal numbers is some tens times count at
 * most: nothing that float could show. */
static void orthonormalise(double *v, size_t count, size_t length) {
  for (size_t i = 0; i < count; i++) {
    double *row = v + i * length, scale = 1 / sqrt(dot(row, row, length));
    for (size_t k = 0; k < length; k++) row[k] *= scale;
    for (size_t j = i + 1; j < count; j++) {
      double *other = v + j * length, along = dot(row, other, length);
      for (size_t k = 0; k < length; k++) other[k] -= along * row[k];
    }
  }
}

static rondo_status fill_orthogonal(float *to, rondo_matrix shape, normals draw) {
  int wide = shape.rows < shape.columns;
  size_t count = wide ? shape.rows : shape.columns, length = wide ? shape.columns : shape.rows;
  size_t bytes = rondo_size_mul(rondo_size_mul(count, length), sizeof(double));
  double *v = bytes == SIZE_MAX ? NULL : malloc(bytes);
  if (!v) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_init_params: no host memory for %zu bytes", bytes);
  for (size_t i = 0; i < count * length; i++) v[i] = next_normal(&draw);
  orthonormalise(v, count, length);
  for (size_t i = 0; i < count; i++)
    for (size_t k = 0; k < length; k++) to[wide ? i * length + k : k * count + i] = (float)v[i * length + k];
  free(v);
  return RONDO_OK;
}

/* ---- one array --------------------------------------------------------------------------------------------------- */

/* How an array begins. */
typedef struct filling {
  rondo_initializer kind;
  rondo_matrix shape;
  double variance; /* of the kinds that scale with it */
  uint64_t seed, sequence;
} filling;

/* Keras's VarianceScaling: fan_in is the rows, fan_out the columns. */
static double variance_of(rondo_initializer kind, rondo_matrix shape) {
  double in = (double)shape.rows, out = (double)shape.columns;
  switch (kind) {
    case RONDO_INIT_GLOROT_UNIFORM:
    case RONDO_INIT_GLOROT_NORMAL: return 2 / (in + out);
    case RONDO_INIT_HE_UNIFORM:
    case RONDO_INIT_HE_NORMAL: return 2 / in;
    default: return 1 / in;
  }
}

static int is_uniform(rondo_initializer kind) {
  return kind == RONDO_INIT_GLOROT_UNIFORM || kind == RONDO_INIT_HE_UNIFORM || kind == RONDO_INIT_LECUN_UNIFORM;
}

static float uniform_limit(const filling *f) {
  return (float)sqrt(3 * f->variance);
}

static void fill_uniform(float *to, size_t count, const filling *f) {
  uint32_t word[4];
  for (size_t i = 0; i < count; i++) {
    if (i % 4 == 0) rondo_philox(f->seed, f->sequence, i / 4, word);
    to[i] = (2 * rondo_philox_uniform(word[i % 4]) - 1) * uniform_limit(f);
  }
}

/* A normal number beyond two deviations is drawn again, which leaves 0.8796.. of the deviation: Keras makes up for it.
 */
static void fill_truncated(float *to, size_t count, const filling *f, normals draw) {
  double deviation = sqrt(f->variance) / 0.87962566103423978;
  for (size_t i = 0; i < count; i++) {
    double z = next_normal(&draw);
    while (fabs(z) > 2) z = next_normal(&draw);
    to[i] = (float)(z * deviation);
  }
}

static rondo_status fill_array(float *to, const filling *f) {
  size_t count = f->shape.rows * f->shape.columns;
  normals draw = {.seed = f->seed, .sequence = f->sequence};
  switch (f->kind) {
    case RONDO_INIT_ZEROS:
    case RONDO_INIT_ONES:
      for (size_t i = 0; i < count; i++) to[i] = f->kind == RONDO_INIT_ONES;
      return RONDO_OK;
    case RONDO_INIT_ORTHOGONAL: return fill_orthogonal(to, f->shape, draw);
    default:
      if (is_uniform(f->kind))
        fill_uniform(to, count, f);
      else
        fill_truncated(to, count, f, draw);
      return RONDO_OK;
  }
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static rondo_initializer or_default(rondo_initializer kind, rondo_initializer otherwise) {
  return kind == RONDO_INIT_DEFAULT ? otherwise : kind;
}

static rondo_initializer kind_of(const rondo_init *init, rondo_param which) {
  switch (which) {
    case RONDO_RECURRENT_KERNEL: return or_default(init->recurrent_kernel, RONDO_INIT_ORTHOGONAL);
    case RONDO_BIAS:
    case RONDO_RECURRENT_BIAS: return or_default(init->bias, RONDO_INIT_ZEROS);
    case RONDO_GAMMA_KERNEL:
    case RONDO_GAMMA_RECURRENT:
    case RONDO_GAMMA_CELL: return RONDO_INIT_ONES;
    case RONDO_BETA_CELL: return RONDO_INIT_ZEROS;
    default: return or_default(init->kernel, RONDO_INIT_GLOROT_UNIFORM);
  }
}

static filling filling_of(const rondo_init *init, const rondo_plan *plan, int index, int direction, rondo_param which) {
  filling f = {.kind = kind_of(init, which), .seed = init->seed};
  f.shape = rondo_canonical(rondo_layer_at(plan, index, direction), rondo_layer_inputs(plan, index), which);
  f.variance = variance_of(f.kind, f.shape);
  f.sequence = rondo_philox_sequence(RONDO_PHILOX_INIT, ((uint32_t)index * 2 + (uint32_t)direction) * 16 + which);
  return f;
}

/* The part of a layer and direction on the host, zeros where the backend draws. */
static rondo_status fill_part(const rondo_plan *plan, const rondo_context *ctx, const rondo_init *init, int index,
                              int direction, float *part) {
  const rondo_layer *layer = rondo_layer_at(plan, index, direction);
  for (int i = 0; i < RONDO_CANONICAL_ARRAYS; i++) {
    filling f = filling_of(init, plan, index, direction, rondo_canonical_order[i]);
    if (!f.shape.rows || (ctx->ops->draw_uniform && is_uniform(f.kind))) continue;
    TRY(fill_array(part + f.shape.offset, &f));
  }
  rondo_matrix bias = rondo_canonical(layer, rondo_layer_inputs(plan, index), RONDO_BIAS);
  size_t units = (size_t)layer->hidden_size;
  for (size_t j = 0; j < units && bias.rows && layer->cell == RONDO_LSTM && !init->no_unit_forget_bias; j++)
    part[bias.offset + units + j] = 1;
  return RONDO_OK;
}

/* What the backend draws, once the rest is there. */
static rondo_status draw_part(const rondo_plan *plan, rondo_context *ctx, const rondo_init *init, int index,
                              int direction, float *to) {
  for (int i = 0; ctx->ops->draw_uniform && i < RONDO_CANONICAL_ARRAYS; i++) {
    filling f = filling_of(init, plan, index, direction, rondo_canonical_order[i]);
    if (!f.shape.rows || !is_uniform(f.kind)) continue;
    TRY(ctx->ops->draw_uniform(ctx, to + f.shape.offset, f.shape.rows * f.shape.columns, uniform_limit(&f), f.seed,
                               f.sequence));
  }
  return RONDO_OK;
}

static rondo_status init_part(const rondo_plan *plan, rondo_context *ctx, const rondo_init *init, int index,
                              int direction, void *params) {
  unsigned char *to = (unsigned char *)params + rondo_params_offset(plan, index, direction);
  size_t bytes = rondo_canonical_bytes(rondo_layer_at(plan, index, direction), rondo_layer_inputs(plan, index));
  float *part = calloc(bytes, 1);
  if (!part) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_init_params: no host memory for %zu bytes", bytes);
  rondo_status status = fill_part(plan, ctx, init, index, direction, part);
  if (status == RONDO_OK) status = ctx->ops->copy(ctx, to, part, bytes);
  free(part);
  return status == RONDO_OK ? draw_part(plan, ctx, init, index, direction, (float *)to) : status;
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static rondo_status check_kind(const char *name, rondo_initializer kind, rondo_initializer last) {
  REQUIRE((unsigned)kind <= RONDO_INIT_ORTHOGONAL, "rondo_init_params: %s %d is not a rondo_initializer", name,
          (int)kind);
  REQUIRE(kind <= last, "rondo_init_params: %s %d is neither RONDO_INIT_ZEROS nor RONDO_INIT_ONES", name, (int)kind);
  return RONDO_OK;
}

rondo_status rondo_init_params(const rondo_plan *plan, rondo_context *ctx, void *params, const rondo_init *init) {
  static const rondo_init defaults;
  if (!init) init = &defaults;
  REQUIRE(plan, "rondo_init_params: plan is NULL");
  REQUIRE(ctx, "rondo_init_params: ctx is NULL");
  REQUIRE(params, "rondo_init_params: params is NULL");
  TRY(rondo_check_match("rondo_init_params", plan, ctx));
  REQUIRE(plan->desc.training, "rondo_init_params: the plan has training 0, so its block holds no plain matrices");
  REQUIRE((uintptr_t)params % RONDO_CALLER_ALIGNMENT == 0, "rondo_init_params: params %p is not aligned to %d bytes",
          params, RONDO_CALLER_ALIGNMENT);
  TRY(check_kind("kernel", init->kernel, RONDO_INIT_ORTHOGONAL));
  TRY(check_kind("recurrent_kernel", init->recurrent_kernel, RONDO_INIT_ORTHOGONAL));
  TRY(check_kind("bias", init->bias, RONDO_INIT_ONES));
  int layers = plan->desc.layer.num_layers;
  for (int index = 0; index < layers + (plan->head.hidden_size > 0); index++)
    for (int d = 0; d < (index < layers ? plan->directions : 1); d++) TRY(init_part(plan, ctx, init, index, d, params));
  return ctx->ops->synchronize(ctx);
}
