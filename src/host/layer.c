/* layer.c - checks a layer's description and resolves it: one rondo_layer per direction with no default left in it, so
 * that backends read numbers instead of rules. */
#include "internal.h"

#include "error.h"

#include <math.h>

/* The defaults of alpha and beta, where they are not 0. */
static const float defaults[RONDO_SOFTMAX + 1][2] = {
    [RONDO_HARD_SIGMOID] = {1.0f / 6, 0.5f},
    [RONDO_ELU] = {1, 0},
    [RONDO_LEAKY_RELU] = {0.2f, 0},
    [RONDO_AFFINE] = {1, 0},
    [RONDO_THRESHOLDED_RELU] = {1, 0},
    [RONDO_SCALED_TANH] = {1, 1},
    [RONDO_CELU] = {1, 0},
    [RONDO_SQUAREPLUS] = {4, 0},
    [RONDO_SOFT_SHRINK] = {0.5f, 0},
    [RONDO_HARD_SHRINK] = {0.5f, 0},
};

static int needs_positive_alpha(rondo_activation kind) {
  return kind == RONDO_CELU || kind == RONDO_SQUAREPLUS || kind == RONDO_SOFT_SHRINK || kind == RONDO_HARD_SHRINK;
}

static rondo_status resolve_function(rondo_function *function, const char *field, rondo_function otherwise,
                                     const rondo_layer *layer) {
  REQUIRE((unsigned)function->kind <= RONDO_SOFTMAX, "rondo_plan_create: %s %d is not a rondo_activation", field,
          (int)function->kind);
  REQUIRE(isfinite(function->alpha) && isfinite(function->beta),
          "rondo_plan_create: alpha %g and beta %g of %s are not finite", (double)function->alpha,
          (double)function->beta, field);
  REQUIRE(function->kind != RONDO_SOFTMAX || layer->cell == RONDO_DENSE,
          "rondo_plan_create: %s RONDO_SOFTMAX is for RONDO_DENSE and the head only", field);
  if (function->kind == RONDO_DEFAULT) *function = otherwise;
  if (function->alpha == 0 && function->beta == 0) {
    function->alpha = defaults[function->kind][0];
    function->beta = defaults[function->kind][1];
  }
  REQUIRE(function->alpha > 0 || !needs_positive_alpha(function->kind),
          "rondo_plan_create: alpha %g of %s is not above 0, as its kind %d needs", (double)function->alpha, field,
          (int)function->kind);
  return RONDO_OK;
}

static rondo_status check_rate(float rate, const char *field) {
  REQUIRE(rate >= 0 && rate < 1, "rondo_plan_create: %s %g is not in [0, 1)", field, (double)rate);
  return RONDO_OK;
}

/* Options that only some cells have. */
static rondo_status check_options(const rondo_layer *layer) {
  static const char *const names[] = {"RONDO_LSTM", "RONDO_GRU", "RONDO_RNN", "RONDO_DENSE"};
  const struct {
    const char *field;
    double value;
    unsigned cells; /* bit 1 << cell */
  } options[] = {
      {"reset_before", layer->reset_before, 1 << RONDO_GRU},
      {"peephole", layer->peephole, 1 << RONDO_LSTM},
      {"projection_size", layer->projection_size, 1 << RONDO_LSTM},
      {"input_forget", layer->input_forget, 1 << RONDO_LSTM},
      {"cell_clip", (double)layer->cell_clip, 1 << RONDO_LSTM},
      {"zoneout_cell", (double)layer->zoneout_cell, 1 << RONDO_LSTM},
      {"output_activation", layer->output_activation.kind, 1 << RONDO_LSTM},
      {"layer_norm", layer->layer_norm, 1 << RONDO_LSTM | 1 << RONDO_GRU},
      {"recurrent_activation", layer->recurrent_activation.kind, 1 << RONDO_LSTM | 1 << RONDO_GRU},
      {"clip", (double)layer->clip, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"dropout", (double)layer->dropout, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"recurrent_dropout", (double)layer->recurrent_dropout, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"layer_dropout", (double)layer->layer_dropout, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"zoneout", (double)layer->zoneout, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"bidirectional", layer->bidirectional, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"go_backwards", layer->go_backwards, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"head_units", layer->head_units, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
      {"num_layers - 1", layer->num_layers > 1, 1 << RONDO_LSTM | 1 << RONDO_GRU | 1 << RONDO_RNN},
  };
  for (size_t i = 0; i < sizeof options / sizeof *options; i++)
    REQUIRE(options[i].value == 0 || options[i].cells >> layer->cell & 1,
            "rondo_plan_create: %s %g is not for %s, which needs 0", options[i].field, options[i].value,
            names[layer->cell]);
  OFFER(!(layer->layer_norm && layer->reset_before),
        "rondo_plan_create: layer_norm with reset_before is not offered, only with reset_before 0");
  return RONDO_OK;
}

static rondo_status check_numbers(const rondo_layer *layer) {
  REQUIRE(layer->input_size >= 1, "rondo_plan_create: input_size %d is not at least 1", layer->input_size);
  REQUIRE(layer->hidden_size >= 1, "rondo_plan_create: hidden_size %d is not at least 1", layer->hidden_size);
  REQUIRE(layer->num_layers >= 0, "rondo_plan_create: num_layers %d is negative", layer->num_layers);
  REQUIRE(layer->projection_size >= 0 && layer->projection_size <= layer->hidden_size,
          "rondo_plan_create: projection_size %d is not in 0..%d, the hidden_size", layer->projection_size,
          layer->hidden_size);
  REQUIRE(layer->head_units >= 0, "rondo_plan_create: head_units %d is negative", layer->head_units);
  REQUIRE(layer->clip >= 0 && isfinite(layer->clip), "rondo_plan_create: clip %g is not 0 or a positive number",
          (double)layer->clip);
  REQUIRE(layer->cell_clip >= 0 && isfinite(layer->cell_clip),
          "rondo_plan_create: cell_clip %g is not 0 or a positive number", (double)layer->cell_clip);
  TRY(check_rate(layer->dropout, "dropout"));
  TRY(check_rate(layer->recurrent_dropout, "recurrent_dropout"));
  TRY(check_rate(layer->layer_dropout, "layer_dropout"));
  TRY(check_rate(layer->zoneout, "zoneout"));
  TRY(check_rate(layer->zoneout_cell, "zoneout_cell"));
  return RONDO_OK;
}

/* The layer of one direction, with every default filled in. */
static rondo_status resolve_direction(rondo_layer *layer) {
  const rondo_function tanh = {.kind = RONDO_TANH}, sigmoid = {.kind = RONDO_SIGMOID}, linear = {.kind = RONDO_LINEAR};
  REQUIRE((unsigned)layer->cell <= RONDO_DENSE, "rondo_plan_create: cell %d is not a rondo_cell", (int)layer->cell);
  TRY(check_numbers(layer));
  TRY(check_options(layer));
  TRY(resolve_function(&layer->activation, "activation", layer->cell == RONDO_DENSE ? linear : tanh, layer));
  TRY(resolve_function(&layer->recurrent_activation, "recurrent_activation", sigmoid, layer));
  return resolve_function(&layer->output_activation, "output_activation", layer->activation, layer);
}

/* Keras's backward_layer: the other cell and options, what concerns both taken from the forward one. */
static rondo_layer backward_layer(const rondo_layer *forward) {
  if (!forward->backward_layer) return *forward;
  rondo_layer layer = *forward->backward_layer;
  layer.input_size = forward->input_size;
  layer.num_layers = forward->num_layers;
  layer.bidirectional = forward->bidirectional;
  layer.zero_output_for_mask = forward->zero_output_for_mask;
  layer.go_backwards = forward->go_backwards;
  layer.layer_dropout = forward->layer_dropout;
  layer.head_units = 0;
  return layer;
}

static rondo_status resolve_bidirectional(rondo_plan *plan, const rondo_layer *layer) {
  rondo_layer *back = &plan->direction[1];
  *back = backward_layer(layer);
  TRY(resolve_direction(back));
  OFFER(back->hidden_size <= INT32_MAX / 8, "rondo_plan_create: hidden_size %d of backward_layer is not at most %d",
        back->hidden_size, INT32_MAX / 8);
  REQUIRE(back->cell != RONDO_DENSE, "rondo_plan_create: backward_layer's cell is RONDO_DENSE, which has no direction");
  REQUIRE((unsigned)layer->merge <= RONDO_SEPARATE, "rondo_plan_create: merge %d is not a rondo_merge",
          (int)layer->merge);
  OFFER(layer->merge != RONDO_SEPARATE || (layer->num_layers <= 1 && !layer->head_units),
        "rondo_plan_create: merge RONDO_SEPARATE leaves no y for another layer or a head to read");
  plan->output_size[1] = rondo_output_size(back);
  int apart = layer->merge == RONDO_CONCAT || layer->merge == RONDO_SEPARATE;
  REQUIRE(apart || plan->output_size[0] == plan->output_size[1],
          "rondo_plan_create: backward_layer's output has %d columns, the forward layer's %d: merge %d needs equals",
          plan->output_size[1], plan->output_size[0], (int)layer->merge);
  back->go_backwards = !layer->go_backwards;
  plan->directions = 2;
  plan->width = (int)rondo_widest_output(plan);
  if (layer->merge == RONDO_CONCAT) plan->width = plan->output_size[0] + plan->output_size[1];
  return RONDO_OK;
}

static rondo_status resolve_head(rondo_plan *plan, const rondo_layer *layer) {
  plan->head = (rondo_layer){.cell = RONDO_DENSE,
                             .input_size = plan->width,
                             .hidden_size = layer->head_units,
                             .activation = layer->head_activation};
  if (!layer->head_units) return RONDO_OK;
  TRY(resolve_function(&plan->head.activation, "head_activation", (rondo_function){.kind = RONDO_LINEAR}, &plan->head));
  return resolve_direction(&plan->head);
}

rondo_status rondo_resolve_layer(rondo_plan *plan, const rondo_layer *layer) {
  plan->direction[0] = *layer;
  TRY(resolve_direction(&plan->direction[0]));
  OFFER(layer->hidden_size <= INT32_MAX / 8, "rondo_plan_create: hidden_size %d is not at most %d", layer->hidden_size,
        INT32_MAX / 8);
  REQUIRE(!layer->backward_layer || layer->bidirectional,
          "rondo_plan_create: backward_layer is not NULL, but bidirectional is 0");
  plan->directions = 1;
  plan->direction[0].go_backwards = layer->go_backwards != 0;
  plan->output_size[0] = plan->width = rondo_output_size(layer);
  if (layer->bidirectional) TRY(resolve_bidirectional(plan, layer));
  for (int d = 0; d < plan->directions; d++)
    plan->masks[d] = plan->direction[d].recurrent_dropout > 0 ? rondo_gates(&plan->direction[d]) : 1;
  return resolve_head(plan, layer);
}
