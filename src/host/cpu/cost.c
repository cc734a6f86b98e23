/* cost.c - how many threads a call is worth, by a model of its time.
 *
 *     time(P) = s * ahead / RATE + max(s * products / RATE, passes * read(s * weights))
 *               + waits * barrier(P) + (P > 1 ? wakes * wake_up : 0)
 *
 * s is the largest thread's share: ceil(parts / P) / parts. Of the weights that a thread walks in each pass its second
 * cache holds a part, as walks turn around at their ends (fused.c), and the rest comes from farther away. A barrier
 * costs more than two threads' coming together, as real ones are never even; each further one counts itself in after
 * the others.
 *
 * The constants were measured with two threads of an AMD Zen 4 at 3.7 GHz. Other machines differ, by a factor of two
 * either way as a rule; the choice may then be off about the sizes where P threads and P + 1 take much the same time.
 * rondo_plan_desc.threads overrules it. */
#include "cpu/cpu.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* Bytes that a core reads in a nanosecond: from its second cache; and from beyond, between the 78 to 100 seen there and
 * the 30 of a Xeon. */
static const double NEAR = 120, FAR = 50;

/* Two threads that do nothing else meet in 70 ns, in a recurrence 240 to 250 are lost. They wake in 18 us and more. */
static const rondo_cpu_costs measured = {.cache = 1 << 20, .barrier = 250, .arrival = 70, .wake_up = 30000};

rondo_cpu_costs rondo_cpu_measured_costs(void) {
  rondo_cpu_costs costs = measured;
#if defined(_SC_LEVEL2_CACHE_SIZE)
  long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); /* not everywhere known: 0, or -1 */
  if (bytes > 0) costs.cache = (double)bytes;
#endif
#if defined(_SC_NPROCESSORS_ONLN)
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (cores > 0) costs.cores = cores < INT_MAX ? (int)cores : INT_MAX;
#endif
  return costs;
}

double rondo_cpu_rate(rondo_isa isa, int group) {
  static const double portable[] = {[1] = 15, [4] = 8}, avx2[] = {[1] = 45, [4] = 55};
  static const double avx512[] = {[1] = 50, [2] = 90, [4] = 150}, tiles = 400; /* a prototype's; not measured here */
  switch (isa) {
    case RONDO_ISA_PORTABLE: return portable[group];
    case RONDO_ISA_AVX2: return avx2[group];
    case RONDO_ISA_AMX: return group == 2 ? tiles : avx512[group];
    default: return avx512[group];
  }
}

double rondo_cpu_wakes(const rondo_plan *plan) {
  return 1.0 / (plan->desc.layer.num_layers * plan->directions);
}

rondo_cpu_work rondo_cpu_work_of(const rondo_plan *plan, const rondo_cpu_layout *l, size_t rows, int steps,
                                 size_t ahead) {
  int dense = l->layer->cell == RONDO_DENSE;
  double columns = (double)(l->gates * l->hidden), chunks = (double)((rows + ahead - 1) / ahead);
  double input = columns * (double)l->inputs, recurrent = dense ? 0 : columns * (double)l->outputs;
  if (l->layer->projection_size) recurrent += (double)(l->hidden * l->outputs);
  rondo_cpu_work work = {.parts = (int)l->streams, .rate = rondo_cpu_rate((rondo_isa)plan->variant, l->group)};
  work.passes = dense ? chunks : steps > 0 ? steps : 1;
  if (chunks < work.passes)
    work.ahead = (double)rows * input; /* which reads W seldom */
  else
    recurrent += input;
  work.products = (double)rows * recurrent;
  work.weights = (double)rondo_dtype_bytes(l->type) * recurrent;
  work.waits = work.passes * (l->fused ? 1 : 2);
  work.wakes = rondo_cpu_wakes(plan);
  return work;
}

static int least(int a, int b) {
  return a < b ? a : b;
}

rondo_cpu_limits rondo_cpu_limits_of(const rondo_plan *plan, const rondo_context *ctx) {
  const rondo_cpu_state *state = ctx->state;
  int asked = plan->desc.threads, most = rondo_pool_threads(state->pool);
  if (plan->desc.weights == RONDO_INT8) most = least(most, plan->threads); /* each has words of its own */
  if (!asked && state->costs.cores) most = least(most, state->costs.cores);
  return asked ? (rondo_cpu_limits){asked, asked} : (rondo_cpu_limits){1, most};
}

/* Parts of the thread that has most of them. */
static int largest_share(const rondo_cpu_work *w, int threads) {
  return (w->parts + threads - 1) / threads;
}

/* Without waking anyone. */
static double span(const rondo_cpu_costs *costs, const rondo_cpu_work *w, int threads) {
  double share = (double)largest_share(w, threads) / (double)w->parts;
  double own = w->weights * share, held = own < costs->cache ? own : costs->cache;
  double multiply = w->products * share / w->rate, read = w->passes * (held / NEAR + (own - held) / FAR);
  double barrier = threads > 1 ? costs->barrier + costs->arrival * (threads - 2) : 0;
  return w->ahead * share / w->rate + (multiply > read ? multiply : read) + w->waits * barrier;
}

rondo_cpu_choice rondo_cpu_choose(const rondo_cpu_costs *costs, const rondo_cpu_work *work, rondo_cpu_limits limits) {
  rondo_cpu_choice best = {0};
  int most = least(limits.most, work->parts), parts = 0;
  for (int threads = least(limits.least, most); threads <= most; threads++) {
    int before = parts;
    parts = largest_share(work, threads);
    if (parts == before) continue; /* one more thread, and the others have as much to do */
    double time = span(costs, work, threads) + (threads > 1 ? work->wakes * costs->wake_up : 0);
    if (!best.threads || time < best.time) best = (rondo_cpu_choice){.threads = threads, .time = time};
  }
  return best;
}

int rondo_cpu_first_group(const rondo_cpu_choice *choice, int threads) {
  int first = (int)(choice->first_share * threads + 0.5);
  return first < 1 ? 1 : least(first, threads - 1);
}

rondo_cpu_choice rondo_cpu_choose_both(const rondo_cpu_costs *costs, const rondo_cpu_work work[2],
                                       rondo_cpu_limits limits) {
  rondo_cpu_choice one = rondo_cpu_choose(costs, &work[0], limits), other = rondo_cpu_choose(costs, &work[1], limits);
  rondo_cpu_choice best = {.threads = one.threads > other.threads ? one.threads : other.threads,
                           .time = one.time + other.time};
  double alone[2] = {span(costs, &work[0], 1), span(costs, &work[1], 1)};
  int most = least(limits.most, work[0].parts + work[1].parts), parts = 0;
  for (int threads = limits.least < 2 ? 2 : least(limits.least, most); threads <= most; threads++) {
    rondo_cpu_choice both = {.threads = threads, .both = 1, .first_share = alone[0] / (alone[0] + alone[1])};
    int first = rondo_cpu_first_group(&both, threads), before = parts;
    parts = largest_share(&work[0], first) + largest_share(&work[1], threads - first);
    if (parts == before) continue;
    double times[2] = {span(costs, &work[0], first), span(costs, &work[1], threads - first)};
    both.time = (times[0] > times[1] ? times[0] : times[1]) + (work[0].wakes + work[1].wakes) * costs->wake_up;
    if (best.both ? both.time < best.time : both.time <= best.time) best = both;
  }
  return best;
}

/* ---- what a plan says of it -------------------------------------------------------------------------------------- */

static rondo_cpu_work largest_work(const rondo_plan *plan, const rondo_layer *layer, size_t inputs) {
  size_t batch = (size_t)plan->desc.max_batch;
  rondo_cpu_layout layout = rondo_cpu_layout_of(plan, layer, inputs);
  return rondo_cpu_work_of(plan, &layout, batch * (size_t)plan->desc.max_timesteps, plan->desc.max_timesteps,
                           batch * (size_t)plan->chunk);
}

static void add(rondo_cpu_choice *all, rondo_cpu_choice choice, int times) {
  if (choice.threads > all->threads) all->threads = choice.threads, all->both = choice.both;
  all->time += times * choice.time;
}

/* Of the largest call: the time, and what is chosen for the layer of the most threads. */
static rondo_cpu_choice choose_all(const rondo_plan *plan, const rondo_cpu_costs *costs, rondo_cpu_limits limits) {
  rondo_cpu_choice all = {0};
  for (int i = 0, layers = plan->desc.layer.num_layers; i < layers && i < 2; i++) {
    int times = i ? layers - 1 : 1;
    rondo_cpu_work work[2];
    for (int d = 0; d < plan->directions; d++)
      work[d] = largest_work(plan, &plan->direction[d], rondo_layer_inputs(plan, i));
    if (rondo_cpu_directions_apart(plan))
      add(&all, rondo_cpu_choose_both(costs, work, limits), times);
    else
      for (int d = 0; d < plan->directions; d++) add(&all, rondo_cpu_choose(costs, &work[d], limits), times);
  }
  if (!plan->desc.layer.head_units) return all;
  rondo_cpu_work head = largest_work(plan, &plan->head, (size_t)plan->width);
  add(&all, rondo_cpu_choose(costs, &head, limits), 1);
  return all;
}

static const char *plural(int count) {
  return count == 1 ? "" : "s";
}

void rondo_cpu_describe_threads(const rondo_plan *plan, const rondo_context *ctx, char *text, size_t size) {
  const rondo_cpu_state *state = ctx->state;
  int most = rondo_pool_threads(state->pool), asked = plan->desc.threads;
  rondo_cpu_choice chosen = choose_all(plan, &state->costs, rondo_cpu_limits_of(plan, ctx));
  const char *both = chosen.both ? " on both directions at once" : "";
  if (most == 1 || asked) {
    snprintf(text, size, "%d thread%s%s%s", chosen.threads, plural(chosen.threads), both, asked ? " as asked" : "");
    return;
  }
  int other = chosen.threads == 1 ? most : 1;
  rondo_cpu_choice instead = choose_all(plan, &state->costs, (rondo_cpu_limits){other, other});
  snprintf(text, size, "%d of %d threads%s: %.3g ms by the model, %d take%s %.3g", chosen.threads, most, both,
           chosen.time / 1e6, other, other == 1 ? "s" : "", instead.time / 1e6);
}
