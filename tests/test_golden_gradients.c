/* test_golden_gradients.c - goes back through the runs of a recorded case, the last one first, and compares every
 * gradient with the peer's own in float64, the weights' in the peer's layout. */
#include "test_golden.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* An error may be this large where a tensor's values are. */
static double bound_of(const golden_stage *s, const double *want, size_t count) {
  double largest = 1;
  for (size_t i = 0; i < count; i++) largest = fmax(largest, fabs(want[i]));
  return fmax(s->bounds.gradient * largest, s->bounds.gradient_absolute);
}

/* The larger error, or NaN if either is: nothing is greater. */
static double worse(double error, double got, double want) {
  double difference = fabs(got - want);
  return difference > error || isnan(difference) ? difference : error;
}

/* ---- Runs -------------------------------------------------------------------------------------------------------- */

/* Host floats that a word of a sum names; NULL with the failure recorded. */
static const float *term(const golden_stage *s, const char *word, size_t count) {
  int run, used = 0;
  size_t counts[GOLDEN_INPUTS];
  const float *host = NULL;
  if (sscanf(word, "run%d.d%n", &run, &used) == 1 && used) {
    for (int i = 0; i < GOLDEN_INPUTS && run >= 0 && run < s->c->runs; i++) {
      golden_input_counts(s->c, run, counts);
      if (!strcmp(word + used, golden_input_names[i]) && s->dinput[run][i] && counts[i] == count)
        host = buffer_download(s->ctx, NULL, s->dinput[run][i], count);
    }
  } else {
    host = tensors_f32(s->c->file, word, count);
  }
  EXPECT(host, "%s: there are no %zu floats in %s", s->c->id, count, word);
  return host;
}

/* The sum of what the words name, on the backend. NULL when there are none; *ok becomes 0 when one is not there. */
static const float *sum(const golden_stage *s, const char *words, size_t count, int *ok) {
  char word[GOLDEN_WORD];
  int used = 0;
  if (!*words) return NULL;
  float *total = test_memory(count * sizeof *total);
  while (sscanf(words, "%159[^,]%n", word, &used) == 1) {
    const float *more = term(s, word, count);
    for (size_t i = 0; more && i < count; i++) total[i] += more[i];
    if (!more) *ok = 0;
    words += used + (words[used] == ',');
  }
  return buffer_upload(s->ctx, total, count);
}

static void compare_input(const golden_stage *s, const char *name, const float *from, size_t count) {
  const double *want = tensors_f64(s->c->file, name, count);
  double error = 0;
  if (!EXPECT(want && from, "%s: %s is not %zu doubles of an input", s->c->id, name, count)) return;
  const float *got = buffer_download(s->ctx, NULL, from, count);
  for (size_t i = 0; i < count; i++) error = worse(error, (double)got[i], want[i]);
  golden_judge(s, name, error, bound_of(s, want, count));
}

static int run_backward(golden_stage *s, int r) {
  const golden_run *run = &s->c->run[r];
  size_t inputs[GOLDEN_INPUTS], outputs[GOLDEN_OUTPUTS];
  float **dinput = s->dinput[r], **dparams = &s->dparams[run->plan];
  rondo_batch b = s->batch[r];
  int ok = 1;
  golden_input_counts(s->c, r, inputs);
  golden_output_counts(s->c, r, outputs);
  b.dy = sum(s, run->doutput[GOLDEN_Y], outputs[GOLDEN_Y], &ok);
  b.dy_last = sum(s, run->doutput[GOLDEN_Y_LAST], outputs[GOLDEN_Y_LAST], &ok);
  b.dh_n = sum(s, run->doutput[GOLDEN_H_N], outputs[GOLDEN_H_N], &ok);
  b.dc_n = sum(s, run->doutput[GOLDEN_C_N], outputs[GOLDEN_C_N], &ok);
  const void *given[GOLDEN_INPUTS] = {b.x, b.h_0, b.c_0};
  for (int i = 0; i < GOLDEN_INPUTS; i++)
    if (given[i]) dinput[i] = buffer_output(s->ctx, inputs[i]);
  b.dx = dinput[GOLDEN_X], b.dh_0 = dinput[GOLDEN_H_0], b.dc_0 = dinput[GOLDEN_C_0];
  b.accumulate = *dparams != NULL;
  if (!*dparams) *dparams = buffer_new(s->ctx, rondo_plan_sizes(s->plan[run->plan])->params);
  b.dparams = *dparams;
  if (!ok || !EXPECT_OK(rondo_backward(s->plan[run->plan], s->ctx, &b))) return 0;
  for (int i = 0; i < GOLDEN_INPUTS; i++)
    if (*run->dinput[i]) compare_input(s, run->dinput[i], dinput[i], inputs[i]);
  return 1;
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* Where the peer has an element of a matrix whose columns are gates of units. Keras has Rondo's own order. PyTorch has
 * the transpose, and a GRU's gates as r, z, n instead of z, r, n. */
static size_t peer_index(rondo_format format, const rondo_matrix *m, size_t gates, size_t row, size_t column) {
  size_t units = m->columns / gates, gate = column / units;
  if (format == RONDO_KERAS) return row * m->columns + column;
  if (gates == 3 && gate < 2) gate = 1 - gate;
  return (gate * units + column % units) * m->rows + row;
}

/* dparams: of the whole plan, on the host. */
static void compare_array(const golden_stage *s, int p, const rondo_weights *at, rondo_param which, size_t gates,
                          const tensor *t, const float *dparams) {
  const double *want = t->data;
  double error = 0;
  rondo_matrix m;
  if (!EXPECT_OK(rondo_plan_param(s->plan[p], at->layer, at->direction, which, &m))) return;
  if (!EXPECT(m.rows * m.columns == t->count, "%s: %s is %zu by %zu in the plan", s->c->id, t->name, m.rows, m.columns))
    return;
  for (size_t row = 0; row < m.rows; row++)
    for (size_t column = 0; column < m.columns; column++)
      error = worse(error, (double)dparams[m.offset + row * m.columns + column],
                    want[peer_index(at->format, &m, gates, row, column)]);
  golden_judge(s, t->name, error, bound_of(s, want, t->count));
}

static int compare_layer(const golden_stage *s, int p, int layer, int direction, const float *dparams) {
  static const size_t gates[] = {[RONDO_LSTM] = 4, [RONDO_GRU] = 3, [RONDO_RNN] = 1, [RONDO_DENSE] = 1};
  const golden_plan *plan = &s->c->plan[p];
  const rondo_layer *l = &plan->desc.layer;
  const rondo_weights at = {.format = plan->format, .layer = layer, .direction = direction};
  const tensor *arrays[GOLDEN_PARAMS];
  if (!EXPECT(at.format != RONDO_ONNX, "%s: no case of ONNX is known to have gradients", s->c->id)) return 0;
  if (!golden_gradients(s->c, p, layer, direction, arrays)) return 0;
  if (direction && l->backward_layer) l = l->backward_layer;
  size_t g = layer < plan->desc.layer.num_layers ? gates[l->cell] : 1;
  int apart = l->cell == RONDO_GRU && !l->reset_before; /* else the two biases are one sum, and so their gradients */
  for (int i = 0; i < GOLDEN_PARAMS; i++) {
    rondo_param which = i == RONDO_RECURRENT_BIAS && !apart ? RONDO_BIAS : (rondo_param)i;
    if (arrays[i]) compare_array(s, p, &at, which, i == RONDO_PROJECTION ? 1 : g, arrays[i], dparams);
  }
  return 1;
}

static int compare_weights(const golden_stage *s, int p) {
  size_t count = rondo_plan_sizes(s->plan[p])->params / sizeof(float);
  if (!EXPECT(s->dparams[p], "%s: no run of plan %d went backward", s->c->id, p)) return 0;
  const float *dparams = buffer_download(s->ctx, NULL, s->dparams[p], count);
  for (int l = 0; l < golden_layers(&s->c->plan[p]); l++)
    for (int d = 0; d < golden_directions(&s->c->plan[p], l); d++)
      if (!compare_layer(s, p, l, d, dparams)) return 0;
  return 1;
}

int golden_run_backward(golden_stage *s) {
  for (int r = s->c->runs - 1; r >= 0; r--)
    if (!run_backward(s, r)) return 0;
  for (int p = 0; p < s->c->plans; p++)
    if (!compare_weights(s, p)) return 0;
  return 1;
}
