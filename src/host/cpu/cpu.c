/* cpu.c - the CPU backend: its row, its algorithms, and the parameter block (drawn in cpu.h). */
#include "cpu/cpu.h"

#include "arena.h"
#include "error.h"
#include "params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* At the start of each layer's part: what the rest depends on. */
typedef struct header {
  char magic[8];
  uint32_t version, isa, lanes, inputs, hidden;
} header;

/* A core does some 25 multiplications a nanosecond. Another thread must save more than a barrier in each timestep
 * (about a microsecond, with the unevenness of real threads) and more than its waking up in a call (about 40). */
static const size_t step_work = (size_t)1 << 15, call_work = (size_t)1 << 20;

enum { HEADER_BYTES = 256, HEADER_VERSION = 1 };
static const char magic[8] = "rondoC"; /* of the CPU */

const rondo_cpu_kernels *rondo_cpu_kernels_of(rondo_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case RONDO_ISA_AVX2: return &rondo_cpu_kernels_avx2;
    case RONDO_ISA_AVX512: return &rondo_cpu_kernels_avx512;
#endif
    case RONDO_ISA_PORTABLE: return &rondo_cpu_kernels_portable;
    default: return NULL;
  }
}

static rondo_status cpu_open(rondo_context *ctx) {
  rondo_isa isa = rondo_cpu_best_isa(ctx->desc.max_isa);
  rondo_cpu_state *state = calloc(1, sizeof *state);
  if (!state) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory");
  rondo_status status = rondo_pool_create(&state->pool, ctx->desc.threads);
  if (status != RONDO_OK) {
    free(state);
    return status;
  }
  state->step_work = step_work;
  state->call_work = call_work;
  ctx->state = state;
  ctx->variant = (int)isa;
  snprintf(ctx->text, sizeof ctx->text, "cpu %s, %d thread%s", rondo_cpu_kernels_of(isa)->name, ctx->desc.threads,
           ctx->desc.threads == 1 ? "" : "s");
  return RONDO_OK;
}

static void cpu_close(rondo_context *ctx) {
  rondo_cpu_state *state = ctx->state;
  rondo_pool_destroy(state->pool);
  free(state);
}

rondo_cpu_layout rondo_cpu_layout_of(const rondo_plan *plan, size_t inputs) {
  rondo_cpu_layout l = {.inputs = inputs, .hidden = (size_t)plan->desc.layer.hidden_size};
  l.lanes = (size_t)rondo_cpu_kernels_of((rondo_isa)plan->variant)->lanes;
  l.blocks = (l.hidden - 1) / l.lanes + 1;
  size_t rows = rondo_size_mul(l.blocks, RONDO_GATES * l.lanes); /* of all gates, padding included */
  l.bias = 0;
  l.input_weights = rows;
  l.recurrent = rondo_size_add(l.input_weights, rondo_size_mul(rows, l.inputs));
  size_t floats = rondo_size_add(l.recurrent, rondo_size_mul(rows, l.hidden));
  rondo_arena arena = {0};
  rondo_arena_take(&arena, HEADER_BYTES, 1);
  rondo_arena_take(&arena, floats, sizeof(float));
  l.bytes = arena.used;
  return l;
}

const float *rondo_cpu_weights(const void *params) {
  return (const float *)((const unsigned char *)params + HEADER_BYTES);
}

static size_t cpu_params_bytes(const rondo_plan *plan, size_t inputs) {
  return rondo_cpu_layout_of(plan, inputs).bytes;
}

static header header_of(const rondo_plan *plan, size_t inputs) {
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, inputs);
  header h = {.version = HEADER_VERSION,
              .isa = (uint32_t)plan->variant,
              .lanes = (uint32_t)l.lanes,
              .inputs = (uint32_t)inputs,
              .hidden = (uint32_t)l.hidden};
  memcpy(h.magic, magic, sizeof magic);
  return h;
}

/* One of the three parts: for each block and row k of `rows`, the 4 gates of the block's units.
 * at(from, l, k, g, j) is the weight of row k for gate g of unit j. */
static void pack_part(const rondo_cpu_layout *l, size_t rows, float *to, const rondo_weights *from,
                      float (*at)(const rondo_weights *from, const rondo_cpu_layout *l, size_t k, int g, size_t j)) {
  for (size_t block = 0; block < l->blocks; block++)
    for (size_t k = 0; k < rows; k++)
      for (int g = 0; g < RONDO_GATES; g++)
        for (size_t lane = 0; lane < l->lanes; lane++) {
          size_t unit = block * l->lanes + lane;
          *to++ = unit < l->hidden ? at(from, l, k, g, unit) : 0.0f;
        }
}

static float bias_at(const rondo_weights *from, const rondo_cpu_layout *l, size_t k, int g, size_t j) {
  (void)k;
  return rondo_weights_bias(from, l->hidden, g, j);
}

static float kernel_at(const rondo_weights *from, const rondo_cpu_layout *l, size_t k, int g, size_t j) {
  return rondo_weights_kernel(from, l->inputs, l->hidden, k, g, j);
}

static float recurrent_at(const rondo_weights *from, const rondo_cpu_layout *l, size_t k, int g, size_t j) {
  return rondo_weights_recurrent(from, l->hidden, k, g, j);
}

static rondo_status cpu_pack(const rondo_plan *plan, rondo_context *ctx, size_t inputs, void *to,
                             const rondo_weights *from) {
  (void)ctx;
  rondo_cpu_layout l = rondo_cpu_layout_of(plan, inputs);
  header h = header_of(plan, inputs);
  float *weights = (float *)((unsigned char *)to + HEADER_BYTES);
  memset(to, 0, HEADER_BYTES);
  memcpy(to, &h, sizeof h);
  pack_part(&l, 1, weights + l.bias, from, bias_at);
  pack_part(&l, l.inputs, weights + l.input_weights, from, kernel_at);
  pack_part(&l, l.hidden, weights + l.recurrent, from, recurrent_at);
  return RONDO_OK;
}

static rondo_status cpu_check_params(const char *who, const rondo_plan *plan, size_t inputs, const void *params,
                                     int layer) {
  header expected = header_of(plan, inputs), found;
  memcpy(&found, params, sizeof found);
  REQUIRE(memcmp(found.magic, magic, sizeof magic) == 0 && found.version == HEADER_VERSION,
          "%s: params of layer %d was not packed by this version's CPU backend; use rondo_pack", who, layer);
  REQUIRE(found.isa == expected.isa && found.lanes == expected.lanes,
          "%s: params of layer %d was packed for instruction set %u with %u lanes, the plan is for %u with %u lanes",
          who, layer, found.isa, found.lanes, expected.isa, expected.lanes);
  REQUIRE(found.inputs == expected.inputs && found.hidden == expected.hidden,
          "%s: params of layer %d was packed for %u inputs and %u units, the plan has %u and %u", who, layer,
          found.inputs, found.hidden, expected.inputs, expected.hidden);
  return RONDO_OK;
}

static const rondo_algorithm_ops algorithms[] = {
    {.id = RONDO_HOISTED,
     .name = "hoisted",
     .prepare = rondo_cpu_hoisted_prepare,
     .forward_layer = rondo_cpu_hoisted_forward},
};

const rondo_backend_ops rondo_cpu_ops = {
    .id = RONDO_CPU,
    .name = "cpu",
    .version = RONDO_MODULE_VERSION,
    .algorithms = algorithms,
    .algorithm_count = sizeof algorithms / sizeof *algorithms,
    .open = cpu_open,
    .close = cpu_close,
    .synchronize = rondo_host_synchronize,
    .alloc = rondo_host_alloc,
    .release = rondo_host_release,
    .copy = rondo_host_copy,
    .params_bytes = cpu_params_bytes,
    .pack = cpu_pack,
    .check_params = cpu_check_params,
};
