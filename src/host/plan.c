/* plan.c - checks a description, picks the quickest algorithm by its model or the first that fits, computes sizes,
 * prints itself. All thought about a call that does not depend on its pointers is done here, once. */
#include "internal.h"

#include "arena.h"
#include "canonical.h"
#include "error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static rondo_status check_desc(const rondo_context *ctx, const rondo_plan_desc *desc) {
  static const char *const types[] = {"RONDO_F32", "RONDO_F16", "RONDO_BF16", "RONDO_INT8"};
  REQUIRE(desc->max_batch >= 1, "rondo_plan_create: max_batch %d is not at least 1", desc->max_batch);
  REQUIRE(desc->max_timesteps >= 1, "rondo_plan_create: max_timesteps %d is not at least 1", desc->max_timesteps);
  REQUIRE((unsigned)desc->layout <= RONDO_TIME_MAJOR, "rondo_plan_create: layout %d is not a rondo_layout",
          (int)desc->layout);
  REQUIRE((unsigned)desc->weights <= RONDO_INT8, "rondo_plan_create: weights %d is not a rondo_dtype",
          (int)desc->weights);
  REQUIRE((unsigned)desc->algorithm <= RONDO_PERSISTENT, "rondo_plan_create: algorithm %d is not a rondo_algorithm",
          (int)desc->algorithm);
  OFFER(desc->weights == RONDO_F32 || !desc->training,
        "rondo_plan_create: weights %s with training %d is not offered, only RONDO_F32", types[desc->weights],
        desc->training);
  REQUIRE(desc->training || !desc->recompute, "rondo_plan_create: recompute is %d, but training is 0", desc->recompute);
  REQUIRE(desc->threads >= 0 && desc->threads <= ctx->desc.threads,
          "rondo_plan_create: threads %d is not in 0..%d, the context's threads", desc->threads, ctx->desc.threads);
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

/* The parameter block: each layer's part after the one below it, direction after direction, the head's at the end. */
static size_t layer_bytes(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  return plan->desc.training ? rondo_canonical_bytes(layer, inputs) : plan->ops->params_bytes(plan, layer, inputs);
}

static rondo_status size_params(rondo_plan *plan) {
  const rondo_layer *layer = &plan->desc.layer;
  size_t total = 0;
  for (int d = 0; d < plan->directions; d++) {
    const rondo_layer *half = &plan->direction[d];
    plan->layer_params[0][d] = layer_bytes(plan, half, (size_t)layer->input_size);
    plan->layer_params[1][d] = layer->num_layers > 1 ? layer_bytes(plan, half, (size_t)plan->width) : 0;
    size_t above = rondo_size_mul(plan->layer_params[1][d], (size_t)layer->num_layers - 1);
    total = rondo_size_add(total, rondo_size_add(plan->layer_params[0][d], above));
  }
  if (layer->head_units) plan->head_params = layer_bytes(plan, &plan->head, (size_t)plan->width);
  plan->sizes.params = rondo_size_add(total, plan->head_params);
  return check_fits(plan->sizes.params, "the parameter block", &plan->desc);
}

void rondo_carve_workspace(const rondo_plan *plan, rondo_arena *arena, rondo_workspace *parts) {
  int head = plan->desc.layer.head_units > 0, below = plan->desc.layer.num_layers - 1 + head;
  for (int i = 0; i < 2; i++) parts->between[i] = i < below ? rondo_arena_take(arena, plan->between_bytes, 1) : NULL;
  parts->last = head ? rondo_arena_take(arena, plan->last_bytes, 1) : NULL;
  parts->layer = rondo_arena_take(arena, plan->layer_workspace, 1);
}

/* The caller's arrays must be addressable before any algorithm thinks about them. */
static rondo_status size_arrays(rondo_plan *plan) {
  const rondo_plan_desc *desc = &plan->desc;
  size_t n = (size_t)desc->max_batch, t = (size_t)desc->max_timesteps, width = (size_t)plan->width;
  size_t columns = (size_t)plan->output_size[0] + (size_t)plan->output_size[1], hidden = rondo_widest_hidden(plan);
  if (columns < (size_t)desc->layer.head_units) columns = (size_t)desc->layer.head_units;
  TRY(check_fits(float_bytes(n, t, (size_t)desc->layer.input_size), "x", desc));
  TRY(check_fits(float_bytes(n, t, columns), "y", desc));
  plan->between_bytes = float_bytes(n, t, width);
  plan->last_bytes = float_bytes(n, 1, width);
  size_t states = rondo_size_mul((size_t)desc->layer.num_layers, (size_t)plan->directions);
  plan->sizes.state = float_bytes(states, n, hidden);
  if (desc->layer.cell == RONDO_DENSE) plan->sizes.state = 0;
  return check_fits(plan->sizes.state, "the state", desc);
}

static rondo_status size_workspace(rondo_plan *plan) {
  if (!plan->algorithm->forward && plan->desc.training) {
    plan->sizes.reserve = rondo_reserve_bytes(plan);
    plan->sizes.workspace = rondo_training_workspace_bytes(plan);
    TRY(check_fits(plan->sizes.reserve, "the reserve", &plan->desc));
  } else if (!plan->algorithm->forward) {
    rondo_arena arena = {0};
    rondo_workspace parts;
    rondo_carve_workspace(plan, &arena, &parts);
    plan->sizes.workspace = arena.used;
  }
  return check_fits(plan->sizes.workspace, "the workspace", &plan->desc);
}

/* Whether the plan may have this algorithm by what was asked for. */
static int is_wanted(const rondo_plan *plan, const rondo_algorithm_ops *algorithm) {
  rondo_algorithm wanted = plan->desc.algorithm;
  int trains = algorithm->backward || algorithm->backward_layer;
  if (plan->desc.training ? !trains : algorithm->training_only) return 0;
  return wanted == RONDO_AUTO || wanted == algorithm->id;
}

/* Of the wanted ones with a prediction the quickest; NULL: none has one. */
static const rondo_algorithm_ops *quickest(const rondo_plan *plan, const rondo_context *ctx) {
  const rondo_algorithm_ops *best = NULL;
  for (int i = 0; i < plan->ops->algorithm_count; i++) {
    const rondo_algorithm_ops *next = &plan->ops->algorithms[i];
    if (!next->predict || !is_wanted(plan, next)) continue;
    if (!best || next->predict(plan, ctx) < best->predict(plan, ctx)) best = next;
  }
  return best;
}

/* The quickest algorithm of the backend, or the first one that fits, or the one that was asked for. */
static rondo_status choose_algorithm(rondo_plan *plan, const rondo_context *ctx) {
  const rondo_algorithm_ops *first = quickest(plan, ctx);
  rondo_status status = RONDO_UNSUPPORTED;
  int tried = 0;
  for (int i = first ? -1 : 0; i < plan->ops->algorithm_count && status == RONDO_UNSUPPORTED; i++) {
    const rondo_algorithm_ops *next = i < 0 ? first : &plan->ops->algorithms[i];
    if (!is_wanted(plan, next) || (i >= 0 && next == first)) continue;
    plan->algorithm = next;
    status = next->prepare(plan, ctx);
    tried++;
  }
  if (!tried)
    return rondo_fail(RONDO_UNSUPPORTED,
                      "rondo_plan_create: algorithm %d with training %d is not offered by the backend %s",
                      (int)plan->desc.algorithm, plan->desc.training, plan->ops->name);
  return status;
}

/* "lstm:n64t25c512h512l2:bi": the problem, as the tests and bench_lstm write it. Options that they have no word for
 * are summed up as "+". */
static void describe_problem(const rondo_plan *plan, char *text, size_t size) {
  static const char *const cells[] = {"lstm", "gru", "rnn", "dense"};
  static const char *const merges[] = {"", "=sum", "=mul", "=ave", "=separate"};
  const rondo_layer *l = &plan->direction[0];
  char layers[16] = "";
  if (l->num_layers > 1) snprintf(layers, sizeof layers, "l%d", l->num_layers);
  const rondo_activation usual = l->cell == RONDO_DENSE ? RONDO_LINEAR : RONDO_TANH;
  int functions = l->activation.kind != usual || l->output_activation.kind != usual ||
                  l->recurrent_activation.kind != RONDO_SIGMOID;
  int more = functions || l->peephole || l->projection_size || l->input_forget || l->cell_clip > 0 || l->clip > 0 ||
             l->layer_norm || l->zoneout > 0 || l->zoneout_cell > 0 || l->dropout > 0 || l->recurrent_dropout > 0 ||
             l->layer_dropout > 0 || l->head_units || plan->desc.layer.backward_layer;
  snprintf(text, size, "%s:n%dt%dc%dh%d%s%s%s%s%s%s%s%s", cells[l->cell], plan->desc.max_batch,
           plan->desc.max_timesteps, l->input_size, l->hidden_size, layers, l->bidirectional ? ":bi" : "",
           l->bidirectional ? merges[l->merge] : "", plan->desc.layer.go_backwards ? ":back" : "",
           l->no_bias ? ":nobias" : "", l->reset_before ? ":before" : "",
           plan->desc.layout == RONDO_TIME_MAJOR ? ":time" : "", more ? "+" : "");
}

static void describe(rondo_plan *plan) {
  static const char *const types[] = {
      [RONDO_F32] = "f32", [RONDO_F16] = "f16", [RONDO_BF16] = "bf16", [RONDO_INT8] = "int8"};
  const rondo_plan_desc *desc = &plan->desc;
  char problem[160];
  describe_problem(plan, problem, sizeof problem);
  snprintf(plan->text, sizeof plan->text, "%s/%s %s %s%s%s%s%s%s, workspace %zu KiB", plan->ops->name,
           plan->algorithm->name, problem, types[desc->weights], desc->allow_tf32 ? " tf32" : "",
           desc->training ? " training" : "", desc->recompute ? " recompute" : "", plan->note[0] ? ", " : "",
           plan->note, plan->sizes.workspace / 1024);
}

static rondo_status fill_plan(rondo_plan *plan, const rondo_context *ctx, const rondo_plan_desc *desc) {
  plan->desc = *desc;
  if (plan->desc.layer.num_layers == 0) plan->desc.layer.num_layers = 1;
  plan->ops = ctx->ops;
  plan->variant = ctx->variant;
  TRY(rondo_resolve_layer(plan, &plan->desc.layer));
  TRY(size_arrays(plan));
  TRY(size_params(plan));
  OFFER(desc->max_timesteps < INT32_MAX - 2, "rondo_plan_create: max_timesteps %d is not below %d", desc->max_timesteps,
        INT32_MAX - 2); /* so that steps can be counted in an int */
  TRY(choose_algorithm(plan, ctx));
  TRY(size_workspace(plan));
  describe(plan);
  plan->desc.layer.backward_layer = NULL; /* the caller's, who may be gone */
  return RONDO_OK;
}

rondo_status rondo_plan_create(rondo_plan **plan, rondo_context *ctx, const rondo_plan_desc *desc) {
  REQUIRE(plan, "rondo_plan_create: plan is NULL");
  *plan = NULL;
  REQUIRE(ctx, "rondo_plan_create: ctx is NULL");
  REQUIRE(desc, "rondo_plan_create: desc is NULL");
  TRY(check_desc(ctx, desc));
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
