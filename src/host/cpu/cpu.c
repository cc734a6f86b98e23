/* cpu.c - the CPU backend: its row and its algorithms. */
#include "cpu/cpu.h"
#include "cpu/training.h"

#include "error.h"

#include <stdio.h>
#include <stdlib.h>

const rondo_cpu_kernels *rondo_cpu_kernels_of(rondo_isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case RONDO_ISA_AVX2: return &rondo_cpu_kernels_avx2;
    case RONDO_ISA_AVX512: return &rondo_cpu_kernels_avx512;
#endif
#if defined(RONDO_AVX512_BF16)
    case RONDO_ISA_AVX512_BF16: return &rondo_cpu_kernels_avx512_bf16;
#endif
#if defined(RONDO_AMX)
    case RONDO_ISA_AMX: return &rondo_cpu_kernels_amx;
#endif
    case RONDO_ISA_PORTABLE: return &rondo_cpu_kernels_portable;
    default: return NULL;
  }
}

static rondo_status cpu_open(rondo_context *ctx) {
  rondo_isa isa = rondo_cpu_best_isa(ctx->desc.max_isa);
  rondo_cpu_state *state = calloc(1, sizeof *state);
  if (!state) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_context_create: no host memory");
  rondo_status status = rondo_pool_create(&state->pool, &ctx->desc);
  if (status != RONDO_OK) {
    free(state);
    return status;
  }
  state->costs = rondo_cpu_measured_costs();
  ctx->state = state;
  ctx->variant = (int)isa;
  snprintf(ctx->text, sizeof ctx->text, "cpu %s, %d thread%s%s", rondo_cpu_kernels_of(isa)->name, ctx->desc.threads,
           ctx->desc.threads == 1 ? "" : "s",
           ctx->desc.parallel_for && ctx->desc.threads > 1 ? " of the caller's pool" : "");
  return RONDO_OK;
}

static void cpu_close(rondo_context *ctx) {
  rondo_cpu_state *state = ctx->state;
  rondo_pool_destroy(state->pool);
  free(state);
}

static const rondo_algorithm_ops algorithms[] = {
    {.id = RONDO_HOISTED,
     .name = "hoisted",
     .prepare = rondo_cpu_hoisted_prepare,
     .forward_layer = rondo_cpu_hoisted_forward,
     .forward_directions = rondo_cpu_hoisted_directions},
    {.id = RONDO_STEPWISE,
     .name = "stepwise",
     .training_only = 1,
     .prepare = rondo_cpu_training_prepare,
     .forward_layer = rondo_cpu_training_forward,
     .backward_layer = rondo_cpu_training_backward,
     .merge = rondo_cpu_training_merge},
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
    .params_bytes = rondo_cpu_params_bytes,
    .pack = rondo_cpu_pack,
    .check_params = rondo_cpu_check_params,
    .sgd = rondo_cpu_sgd,
    .adam = rondo_cpu_adam,
    .clip_by_norm = rondo_cpu_clip_by_norm,
};
