/* optimise.c - rondo_sgd, rondo_adam and rondo_clip_by_norm: arguments and defaults; the backend does the work. */
#include "internal.h"

#include "error.h"

#include <float.h>

/* Arrays of a call, all of `count` floats, by name; the last name is NULL. */
typedef struct array {
  const char *name;
  const void *at;
  int required;
} array;

/* Whether m bytes at a and n at b meet. */
static int meet(const void *a, size_t m, const void *b, size_t n) {
  uintptr_t p = (uintptr_t)a, q = (uintptr_t)b;
  return a && b && (p < q ? q - p < m : p - q < n);
}

static rondo_status check_arrays(const char *who, rondo_context *ctx, size_t count, const array *arrays) {
  REQUIRE(ctx, "%s: ctx is NULL", who);
  REQUIRE(count >= 1 && count <= PTRDIFF_MAX / sizeof(float), "%s: count %zu is not in 1..%zu", who, count,
          (size_t)PTRDIFF_MAX / sizeof(float));
  for (const array *a = arrays; a->name; a++) {
    REQUIRE(a->at || !a->required, "%s: %s is NULL", who, a->name);
    REQUIRE((uintptr_t)a->at % sizeof(float) == 0, "%s: %s %p is not aligned to 4 bytes", who, a->name, a->at);
    for (const array *b = arrays; b != a; b++)
      REQUIRE(!meet(a->at, count * sizeof(float), b->at, count * sizeof(float)), "%s: %s %p and %s %p overlap", who,
              b->name, b->at, a->name, a->at);
  }
  return RONDO_OK;
}

static rondo_status check_positive(const char *who, const char *name, float value) {
  REQUIRE(value > 0 && value <= FLT_MAX, "%s: %s %g is not a number above 0", who, name, (double)value);
  return RONDO_OK;
}

static rondo_status check_share(const char *who, const char *name, float value) {
  REQUIRE(value >= 0 && value < 1, "%s: %s %g is not in 0 to below 1", who, name, (double)value);
  return RONDO_OK;
}

rondo_status rondo_sgd(rondo_context *ctx, const rondo_sgd_args *args) {
  static const char who[] = "rondo_sgd";
  REQUIRE(args, "%s: args is NULL", who);
  TRY(check_share(who, "momentum", args->momentum));
  int moves = args->momentum > 0;
  const array arrays[] = {{"params", args->params, 1},
                          {"gradient", args->gradient, 1},
                          {moves ? "velocity" : NULL, args->velocity, 1},
                          {0}};
  TRY(check_arrays(who, ctx, args->count, arrays));
  TRY(check_positive(who, "rate", args->rate));
  return ctx->ops->sgd(ctx, args);
}

rondo_status rondo_adam(rondo_context *ctx, const rondo_adam_args *args) {
  static const char who[] = "rondo_adam";
  REQUIRE(args, "%s: args is NULL", who);
  const array arrays[] = {
      {"params", args->params, 1}, {"gradient", args->gradient, 1}, {"m", args->m, 1}, {"v", args->v, 1}, {0}};
  TRY(check_arrays(who, ctx, args->count, arrays));
  REQUIRE(args->step >= 1, "%s: step %lld is below 1; the first step is 1", who, args->step);
  TRY(check_positive(who, "rate", args->rate));
  TRY(check_share(who, "beta_1", args->beta_1));
  TRY(check_share(who, "beta_2", args->beta_2));
  REQUIRE(args->epsilon >= 0 && args->epsilon <= FLT_MAX, "%s: epsilon %g is not a number of 0 or more", who,
          (double)args->epsilon);
  rondo_adam_args whole = *args;
  if (whole.beta_1 == 0) whole.beta_1 = 0.9f;
  if (whole.beta_2 == 0) whole.beta_2 = 0.999f;
  if (whole.epsilon == 0) whole.epsilon = 1e-7f;
  return ctx->ops->adam(ctx, &whole);
}

rondo_status rondo_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args) {
  static const char who[] = "rondo_clip_by_norm";
  REQUIRE(args, "%s: args is NULL", who);
  const array arrays[] = {{"gradient", args->gradient, 1}, {0}}, norm[] = {{"norm", args->norm, 0}, {0}};
  TRY(check_arrays(who, ctx, args->count, arrays));
  TRY(check_arrays(who, ctx, 1, norm));
  TRY(check_positive(who, "limit", args->limit));
  REQUIRE(args->scratch, "%s: scratch is NULL", who);
  REQUIRE((uintptr_t)args->scratch % RONDO_CALLER_ALIGNMENT == 0, "%s: scratch %p is not aligned to %d bytes", who,
          args->scratch, RONDO_CALLER_ALIGNMENT);
  size_t bytes = args->count * sizeof(float);
  REQUIRE(!meet(args->gradient, bytes, args->scratch, RONDO_CLIP_SCRATCH), "%s: gradient and scratch overlap", who);
  REQUIRE(!meet(args->gradient, bytes, args->norm, sizeof(float)), "%s: gradient and norm overlap", who);
  REQUIRE(!meet(args->scratch, RONDO_CLIP_SCRATCH, args->norm, sizeof(float)), "%s: scratch and norm overlap", who);
  return ctx->ops->clip_by_norm(ctx, args);
}
