/* optimise.c - the training helpers on CUDA: what the kernels need besides the caller's arguments. All is enqueued. */
#include "../optimise.h"
#include "../../kernels/kernels.h"
#include "cuda.h"

static rondo_status sgd(rondo_cuda_state *state, const rondo_sgd_args *args) {
  CUDA_TRY(rondo_sgd_update_cuda(args, state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_sgd(rondo_context *ctx, const rondo_sgd_args *args) {
  RETURN_ON_DEVICE(ctx, sgd(ctx->state, args));
}

static rondo_status adam(rondo_cuda_state *state, rondo_adam_args args) {
  args.rate = (float)rondo_adam_rate(&args);
  CUDA_TRY(rondo_adam_update_cuda(&args, state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_adam(rondo_context *ctx, const rondo_adam_args *args) {
  RETURN_ON_DEVICE(ctx, adam(ctx->state, *args));
}

static rondo_status clip_by_norm(rondo_cuda_state *state, const rondo_clip_args *args) {
  int parts = rondo_square_parts(args->count);
  rondo_square_sums_args sums = {.from = args->gradient, .count = args->count, .sums = args->scratch, .parts = parts};
  rondo_clip_scale_args scale = {.to = args->gradient,
                                 .count = args->count,
                                 .sums = args->scratch,
                                 .parts = parts,
                                 .limit = args->limit,
                                 .norm = args->norm};
  CUDA_TRY(rondo_square_sums_cuda(&sums, state->stream));
  CUDA_TRY(rondo_clip_scale_cuda(&scale, state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_clip_by_norm(rondo_context *ctx, const rondo_clip_args *args) {
  RETURN_ON_DEVICE(ctx, clip_by_norm(ctx->state, args));
}

static rondo_status draw(rondo_cuda_state *state, const rondo_draw_uniform_args *args) {
  CUDA_TRY(rondo_draw_uniform_cuda(args, state->stream));
  return RONDO_OK;
}

rondo_status rondo_cuda_draw_uniform(rondo_context *ctx, float *to, size_t count, float limit, uint64_t seed,
                                     uint64_t sequence) {
  rondo_draw_uniform_args args = {.to = to, .count = count, .limit = limit, .seed = seed, .sequence = sequence};
  RETURN_ON_DEVICE(ctx, draw(ctx->state, &args));
}
