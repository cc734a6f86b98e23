/* plan.c - checks a description, picks the first algorithm that fits, computes sizes, prints itself. All thought about
 * a call that does not depend on its pointers is done here, once. */
#include "internal.h"

#include "arena.h"
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rondo_status check_layer(const rondo_layer *layer) {
  REQUIRE((unsigned)layer->cell <= RONDO_RNN, "rondo_plan_create: cell %d is not a rondo_cell", (int)layer->cell);
  REQUIRE(layer->input_size >= 1, "rondo_plan_create: input_size %d is not at least 1", layer->input_size);
  REQUIRE(layer->hidden_size >= 1, "rondo_plan_create: hidden_size %d is not at least 1", layer->hidden_size);
  REQUIRE(layer->num_layers >= 0, "rondo_plan_create: num_layers %d is negative", layer->num_layers);
  REQUIRE((unsigned)layer->activation <= RONDO_LINEAR, "rondo_plan_create: activation %d is not a rondo_activation",
          (int)layer->activation);
  REQUIRE((unsigned)layer->recurrent_activation <= RONDO_LINEAR,
          "rondo_plan_create: recurrent_activation %d is not a rondo_activation", (int)layer->recurrent_activation);
  REQUIRE(layer->dropout >= 0 && layer->dropout < 1, "rondo_plan_create: dropout %g is not in [0, 1)",
          (double)layer->dropout);
  REQUIRE(layer->recurrent_dropout >= 0 && layer->recurrent_dropout < 1,
          "rondo_plan_create: recurrent_dropout %g is not in [0, 1)", (double)layer->recurrent_dropout);
  OFFER(layer->cell == RONDO_LSTM, "rondo_plan_create: cell %s is not offered yet, only RONDO_LSTM",
        layer->cell == RONDO_GRU ? "RONDO_GRU" : "RONDO_RNN");
  REQUIRE(!layer->reset_before, "rondo_plan_create: reset_before %d is for RONDO_GRU only, an LSTM needs 0",
          layer->reset_before);
  OFFER(!layer->bidirectional, "rondo_plan_create: bidirectional %d is not offered yet, only 0", layer->bidirectional);
  OFFER(!layer->zero_output_for_mask, "rondo_plan_create: zero_output_for_mask %d is not offered yet, only 0",
        layer->zero_output_for_mask);
  OFFER(layer->activation <= RONDO_TANH, "rondo_plan_create: activation %d is not offered yet, only RONDO_TANH",
        (int)layer->activation);
  OFFER(layer->recurrent_activation == RONDO_DEFAULT || layer->recurrent_activation == RONDO_SIGMOID,
        "rondo_plan_create: recurrent_activation %d is not offered yet, only RONDO_SIGMOID",
        (int)layer->recurrent_activation);
  OFFER(layer->dropout == 0 && layer->recurrent_dropout == 0,
        "rondo_plan_create: dropout %g and recurrent_dropout %g are not offered yet, only 0", (double)layer->dropout,
        (double)layer->recurrent_dropout);
  return RONDO_OK;
}

static rondo_status check_desc(const rondo_plan_desc *desc) {
  TRY(check_layer(&desc->layer));
  REQUIRE(desc->max_batch >= 1, "rondo_plan_create: max_batch %d is not at least 1", desc->max_batch);
  REQUIRE(desc->max_timesteps >= 1, "rondo_plan_create: max_timesteps %d is not at least 1", desc->max_timesteps);
  REQUIRE((unsigned)desc->layout <= RONDO_TIME_MAJOR, "rondo_plan_create: layout %d is not a rondo_layout",
          (int)desc->layout);
  REQUIRE((unsigned)desc->weights <= RONDO_BF16, "rondo_plan_create: weights %d is not a rondo_dtype",
          (int)desc->weights);
  REQUIRE((unsigned)desc->algorithm <= RONDO_PERSISTENT, "rondo_plan_create: algorithm %d is not a rondo_algorithm",
          (int)desc->algorithm);
  OFFER(!desc->training, "rondo_plan_create: training %d is not offered yet, only 0", desc->training);
  OFFER(desc->weights == RONDO_F32, "rondo_plan_create: weights %s is not offered yet, only RONDO_F32",
        desc->weights == RONDO_F16 ? "RONDO_F16" : "RONDO_BF16");
  return RONDO_OK;
}

/* Bytes of count * a * b floats; SIZE_MAX when a pointer difference could not hold them. */
static size_t float_bytes(size_t count, size_t a, size_t b) {
  size_t bytes = rondo_size_mul(rondo_size_mul(count, a), rondo_size_mul(b, sizeof(float)));
  return bytes > PTRDIFF_MAX ? SIZE_MAX : bytes;
}

static rondo_status check_fits(size_t bytes, const char *what, const rondo_plan_desc *desc) {
  REQUIRE(bytes <= PTRDIFF_MAX,
          "rondo_plan_create: %s of max_batch %d, max_timesteps %d, input_size %d, hidden_size %d, num_layers %d does "
          "not fit this machine's addresses",
          what, desc->max_batch, desc->max_timesteps, desc->layer.input_size, desc->layer.hidden_size,
          desc->layer.num_layers);
  return RONDO_OK;
}

/* The parameter block: each layer's part after the one below it. */
static rondo_status size_params(rondo_plan *plan) {
  const rondo_layer *layer = &plan->desc.layer;
  plan->layer_params[0] = plan->ops->params_bytes(plan, (size_t)layer->input_size);
  plan->layer_params[1] = plan->ops->params_bytes(plan, (size_t)layer->hidden_size);
  size_t above = layer->num_layers > 1 ? rondo_size_mul(plan->layer_params[1], (size_t)layer->num_layers - 1) : 0;
  plan->sizes.params = rondo_size_add(plan->layer_params[0], above);
  return check_fits(plan->sizes.params, "the parameter block", &plan->desc);
}

void rondo_carve_workspace(const rondo_plan *plan, rondo_arena *arena, rondo_workspace *parts) {
  int buffers = plan->desc.layer.num_layers > 2 ? 2 : plan->desc.layer.num_layers - 1;
  for (int i = 0; i < 2; i++) parts->between[i] = i < buffers ? rondo_arena_take(arena, plan->between_bytes, 1) : NULL;
  parts->layer = rondo_arena_take(arena, plan->layer_workspace, 1);
}

/* The caller's arrays must be addressable before any algorithm thinks about them. */
static rondo_status size_arrays(rondo_plan *plan) {
  const rondo_plan_desc *desc = &plan->desc;
  size_t n = (size_t)desc->max_batch, t = (size_t)desc->max_timesteps;
  size_t c = (size_t)desc->layer.input_size, h = (size_t)desc->layer.hidden_size;
  TRY(check_fits(float_bytes(n, t, c), "x", desc));
  plan->between_bytes = float_bytes(n, t, h);
  TRY(check_fits(plan->between_bytes, "y", desc));
  plan->sizes.state = float_bytes((size_t)desc->layer.num_layers, n, h);
  return check_fits(plan->sizes.state, "the state", desc);
}

static rondo_status size_workspace(rondo_plan *plan) {
  if (!plan->algorithm->forward) {
    rondo_arena arena = {0};
    rondo_workspace parts;
    rondo_carve_workspace(plan, &arena, &parts);
    plan->sizes.workspace = arena.used;
  }
  return check_fits(plan->sizes.workspace, "the workspace", &plan->desc);
}

/* The first algorithm of the backend that fits, or the one that was asked for. */
static rondo_status choose_algorithm(rondo_plan *plan, const rondo_context *ctx) {
  rondo_algorithm wanted = plan->desc.algorithm;
  rondo_status status = RONDO_UNSUPPORTED;
  int tried = 0;
  for (int i = 0; i < plan->ops->algorithm_count && status == RONDO_UNSUPPORTED; i++) {
    plan->algorithm = &plan->ops->algorithms[i];
    if (wanted != RONDO_AUTO && wanted != plan->algorithm->id) continue;
    status = plan->algorithm->prepare(plan, ctx);
    tried++;
  }
  if (!tried)
    return rondo_fail(RONDO_UNSUPPORTED, "rondo_plan_create: algorithm %d is not offered by the backend %s",
                      (int)wanted, plan->ops->name);
  return status;
}

static void describe(rondo_plan *plan) {
  const rondo_plan_desc *d = &plan->desc;
  char layers[16] = "";
  if (d->layer.num_layers > 1) snprintf(layers, sizeof layers, "l%d", d->layer.num_layers);
  snprintf(plan->text, sizeof plan->text, "%s/%s lstm:n%dt%dc%dh%d%s%s%s%s f32%s%s%s, workspace %zu KiB",
           plan->ops->name, plan->algorithm->name, d->max_batch, d->max_timesteps, d->layer.input_size,
           d->layer.hidden_size, layers, d->layer.go_backwards ? ":back" : "", d->layer.no_bias ? ":nobias" : "",
           d->layout == RONDO_TIME_MAJOR ? ":time" : "", d->allow_tf32 ? " tf32" : "", plan->note[0] ? ", " : "",
           plan->note, plan->sizes.workspace / 1024);
}

static rondo_status fill_plan(rondo_plan *plan, const rondo_context *ctx, const rondo_plan_desc *desc) {
  plan->desc = *desc;
  if (plan->desc.layer.num_layers == 0) plan->desc.layer.num_layers = 1;
  plan->ops = ctx->ops;
  plan->variant = ctx->variant;
  TRY(size_arrays(plan));
  TRY(size_params(plan));
  TRY(choose_algorithm(plan, ctx));
  TRY(size_workspace(plan));
  describe(plan);
  return RONDO_OK;
}

rondo_status rondo_plan_create(rondo_plan **plan, rondo_context *ctx, const rondo_plan_desc *desc) {
  REQUIRE(plan, "rondo_plan_create: plan is NULL");
  *plan = NULL;
  REQUIRE(ctx, "rondo_plan_create: ctx is NULL");
  REQUIRE(desc, "rondo_plan_create: desc is NULL");
  TRY(check_desc(desc));
  rondo_plan *made = calloc(1, sizeof *made);
  if (!made) return rondo_fail(RONDO_OUT_OF_MEMORY, "rondo_plan_create: no host memory");
  rondo_status status = fill_plan(made, ctx, desc);
  if (status == RONDO_OK)
    *plan = made;
  else
    free(made);
  return status;
}

void rondo_plan_destroy(rondo_plan *plan) {
  free(plan);
}

const rondo_sizes *rondo_plan_sizes(const rondo_plan *plan) {
  return plan ? &plan->sizes : NULL;
}

const char *rondo_plan_text(const rondo_plan *plan) {
  return plan ? plan->text : "";
}
