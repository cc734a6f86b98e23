/* cost.c - what a call may take by a model, from which RONDO_AUTO chooses between stepwise.c and hoisted.c.
 *
 * A call is a row of launches, each of which takes
 *
 *   launch + the most of { bytes / rate, operations / rate }
 *
 *   launch        3.3 us: what a kernel costs in a stream that the host feeds, by CUDA.jl's figures. (In a CUDA graph
 *                 0.9, for both algorithms.)
 *   operations    of a product 2 (rows + 32) * columns * inner, at 70 % of the device's peak for the type of weights:
 *                 32 rows for what its tiles waste, and for filling and draining the multiprocessors, which is what
 *                 makes one product of many rows quicker than many of few
 *   bytes         of a product its matrix, at 60 % of what the second-level cache can do if the matrix fills no more
 *                 than half of it, else at 90 % of what the memory can do; all that only passes through (gates, x, c,
 *                 h) at 60 % of the cache
 *
 * The peaks come of the device's own attributes: multiprocessors and clock for operations and cache, clock and width of
 * the memory. The cache is taken to give 40 bytes a clock and multiprocessor: by published figures an A100's gives 47,
 * an H100's 39. The percentages and the 32 rows are assumptions, not measured: the model is to say which algorithm is
 * the quicker one, not what the clock will show. */
#include "hoisted.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double launch = 3.3, lost_rows = 32, product_share = 0.7, cache_share = 0.6, memory_share = 0.9;

/* ---- The device -------------------------------------------------------------------------------------------------- */

/* Operations a clock and multiprocessor: a multiply-add is two. Dense products, sums in float. */
typedef struct generation {
  int capability;
  double f32, tf32, half;
} generation;
static const generation generations[] = {{120, 256, 512, 1024}, {100, 256, 4096, 8192}, {90, 256, 2048, 4096},
                                         {86, 256, 512, 1024},  {80, 128, 1024, 2048},  {75, 128, 128, 1024},
                                         {0, 128, 128, 128}};

static rondo_status attribute(double *to, enum cudaDeviceAttr which, int device) {
  int value = 0;
  CUDA_TRY(cudaDeviceGetAttribute(&value, which, device));
  *to = value > 0 ? value : 1;
  return RONDO_OK;
}

rondo_status rondo_cuda_describe_machine(rondo_cuda_machine *machine, int device, int capability) {
  double units, kilohertz, memory_kilohertz, bits, l2;
  TRY(attribute(&units, cudaDevAttrMultiProcessorCount, device));
  TRY(attribute(&kilohertz, cudaDevAttrClockRate, device));
  TRY(attribute(&memory_kilohertz, cudaDevAttrMemoryClockRate, device));
  TRY(attribute(&bits, cudaDevAttrGlobalMemoryBusWidth, device));
  TRY(attribute(&l2, cudaDevAttrL2CacheSize, device));
  const generation *g = generations;
  while (g->capability > capability) g++;
  double clocks = units * kilohertz / 1000; /* of all multiprocessors, a microsecond */
  *machine = (rondo_cuda_machine){.l2_bytes = (size_t)l2,
                                  .l2 = 40 * clocks,
                                  .memory = 2 * memory_kilohertz / 1000 * bits / 8,
                                  .f32 = g->f32 * clocks,
                                  .tf32 = g->tf32 * clocks,
                                  .half = g->half * clocks};
  return RONDO_OK;
}

/* ---- The model --------------------------------------------------------------------------------------------------- */

typedef struct model {
  const rondo_plan *plan;
  const rondo_cuda_machine *machine;
  int ahead, chunk;
} model;

/* Columns of the sums: hoisted has none of a spread matrix that hold zeros, but in training, which keeps them. */
static double columns_of(const model *m, const rondo_layer *layer) {
  int narrow = m->ahead && !m->plan->desc.training;
  return (narrow ? rondo_gates(layer) : rondo_cuda_columns(layer)) * (double)layer->hidden_size;
}

static double product(const model *m, double rows, double columns, double inner) {
  const rondo_plan_desc *desc = &m->plan->desc;
  const rondo_cuda_machine *d = m->machine;
  double peak = desc->weights != RONDO_F32 ? d->half : desc->allow_tf32 ? d->tf32 : d->f32;
  double matrix = inner * columns * (double)rondo_dtype_bytes(desc->weights);
  double rate = matrix <= (double)d->l2_bytes / 2 ? cache_share * d->l2 : memory_share * d->memory;
  double reading = matrix / rate, computing = 2 * (rows + lost_rows) * columns * inner / (product_share * peak);
  return launch + (reading > computing ? reading : computing);
}

/* Floats on their way through the cache. */
static double pass_through(const model *m, double floats) {
  return floats * sizeof(float) / (cache_share * m->machine->l2);
}

/* Likewise, gates of a chunk that may not fit there. */
static double gates_through(const model *m, double floats) {
  const rondo_cuda_machine *d = m->machine;
  int fits = m->chunk * floats * sizeof(float) <= (double)d->l2_bytes;
  return fits ? pass_through(m, floats) : floats * sizeof(float) / (memory_share * d->memory);
}

/* One timestep without what is done for a chunk. A product writes its sums and the cell reads them; when x is ahead,
 * the one or the other reads those of the chunk, too. */
static double step_time(const model *m, const rondo_layer *layer, double inputs) {
  double n = m->plan->desc.max_batch, units = layer->hidden_size, output = rondo_output_size(layer);
  double gates = rondo_gates(layer) * units, all = columns_of(m, layer);
  double inner = m->ahead ? output : output + inputs, time = launch;
  int apart = rondo_cuda_is_apart(m->plan, layer, m->ahead);
  if (layer->reset_before)
    time += launch + product(m, n, 2 * units, inner) + product(m, n, units, inner);
  else if (apart)
    time += product(m, n, gates, output) + (m->ahead ? 0 : product(m, n, gates, inputs));
  else
    time += product(m, n, all, inner);
  if (layer->projection_size) time += launch + product(m, n, output, units);
  if (m->ahead) time += gates_through(m, n * all);
  return time + pass_through(m, n * (all * (apart && !m->ahead ? 4 : 2) + 4 * units));
}

/* x of one chunk: brought together, and with hoisted projected. */
static double chunk_time(const model *m, const rondo_layer *layer, double inputs) {
  double rows = (double)m->plan->desc.max_batch * m->chunk, all = columns_of(m, layer);
  double time = launch + pass_through(m, 2 * rows * inputs);
  return m->ahead ? time + product(m, rows, all, inputs) + m->chunk * gates_through(m, rows / m->chunk * all) : time;
}

static double layer_time(const model *m, const rondo_layer *layer, size_t inputs) {
  int timesteps = m->plan->desc.max_timesteps, chunks = (timesteps - 1) / m->chunk + 1;
  double rows = (double)m->plan->desc.max_batch * timesteps;
  if (layer->cell == RONDO_DENSE) return 2 * launch + product(m, rows, layer->hidden_size, (double)inputs);
  double time = chunks * chunk_time(m, layer, (double)inputs) + timesteps * step_time(m, layer, (double)inputs);
  return m->ahead ? time + launch : time; /* h_0 by itself */
}

static double predict(const rondo_plan *plan, const rondo_context *ctx, int ahead) {
  const rondo_cuda_state *state = rondo_cuda_state_of(ctx);
  model m = {.plan = plan, .machine = &state->machine, .ahead = ahead};
  m.chunk = ahead ? rondo_cuda_hoisted_chunk(plan, state) : rondo_cuda_stepwise_chunk(plan);
  if (plan->desc.training) m.chunk = plan->desc.max_timesteps;
  if (ahead && plan->desc.training && !rondo_cuda_trains_ahead(plan)) return INFINITY;
  const rondo_layer *layer = &plan->desc.layer;
  double time = 0, above = layer->num_layers - 1;
  for (int d = 0; d < plan->directions; d++) {
    time += layer_time(&m, &plan->direction[d], rondo_layer_inputs(plan, 0));
    if (above > 0) time += above * layer_time(&m, &plan->direction[d], rondo_layer_inputs(plan, 1));
  }
  return layer->head_units ? time + layer_time(&m, &plan->head, (size_t)plan->width) : time;
}

double rondo_cuda_stepwise_predict(const rondo_plan *plan, const rondo_context *ctx) {
  return predict(plan, ctx, 0);
}

double rondo_cuda_hoisted_predict(const rondo_plan *plan, const rondo_context *ctx) {
  return predict(plan, ctx, 1);
}

void rondo_cuda_note_model(rondo_plan *plan, const rondo_context *ctx, int ahead) {
  size_t used = strlen(plan->note);
  double steps = plan->desc.max_timesteps, other = predict(plan, ctx, !ahead) / steps;
  char verdict[40] = ", hoisted not with these options";
  if (isfinite(other)) snprintf(verdict, sizeof verdict, ", %s %.1f", ahead ? "stepwise" : "hoisted", other);
  snprintf(plan->note + used, sizeof plan->note - used, ", model: %.1f us a timestep%s%s",
           predict(plan, ctx, ahead) / steps, plan->desc.training ? " forward" : "", verdict);
}
