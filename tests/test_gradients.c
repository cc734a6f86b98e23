/* test_gradients.c - the reference's gradients against finite differences of its own forward, both in double. Every
 * other backend's gradients are held to the reference's.
 *
 * The loss is the sum of all outputs times fixed random numbers, which therefore are dy, dy_last, dh_n and dc_n. With a
 * number moved by h, h/2 and h/4 to both sides,
 *
 *     D_k = (loss(+h/2^k) - loss(-h/2^k)) / (2 h/2^k)      R_k = (4 D_(k+1) - D_k) / 3      Q = (16 R_1 - R_0) / 15
 *
 * (Richardson's extrapolation). What is left of the series in Q is less than what is left in R_1, so |Q - R_1| bounds
 * it. A loss that is off by e puts D_k off by 2^k e / h, and so Q by less than 7 e / h. */
#include "harness.h"

#include "reference.h"

#include <math.h>
#include <string.h>

typedef struct gradient_row {
  const char *name;            /* a problem */
  const rondo_layer *backward; /* backward_layer; NULL: as forward */
} gradient_row;

static const rondo_layer narrow_gru = {.cell = RONDO_GRU, .hidden_size = 2};
static const rondo_layer norm_lstm = {.hidden_size = 3, .layer_norm = 1, .no_bias = 1};
static const rondo_layer dropping_gru = {
    .cell = RONDO_GRU, .hidden_size = 2, .dropout = 0.2f, .recurrent_dropout = 0.4f};
static const rondo_layer dropping_lstm = {.hidden_size = 3, .recurrent_dropout = 0.3f};
static const rondo_layer projected = {.hidden_size = 3, .projection_size = 2, .peephole = 1};

static const gradient_row table[] = {
    {"lstm:n1t1c1h1", NULL}, /* sequences, directions and outputs */
    {"lstm:n3t4c2h3", NULL},
    {"lstm:n2t3c2h3:back:nobias:time:strided:h0", NULL},
    {"lstm:n5t5c2h3:len:h0", NULL},
    {"lstm:n5t5c2h3:mask=holes:h0:slots:restart", NULL},
    {"lstm:n5t5c2h3:mask=left:zero", NULL},
    {"lstm:n5t4c2h3l2:back:mask=holes:h0", NULL},
    {"lstm:n5t4c2h3l2:back:timeorder:len:h0", NULL},
    {"lstm:n5t4c2h3l2:bi:strided:mask=holes:h0", NULL},
    {"lstm:n5t4c2h3:bi=sum:len:h0:slots:restart", NULL},
    {"lstm:n5t4c2h3l2:bi=mul:len:h0", NULL},
    {"lstm:n5t4c2h3:bi=mul:back:mask=holes:zero:head=2", NULL},
    {"lstm:n5t4c2h3:bi=ave:mask=rows", NULL},
    {"lstm:n5t4c2h3:bi=separate:time:strided:len", NULL},
    {"lstm:n3t3c2h3:head=4=softmax", NULL},
    {"lstm:n3t3c2h3l2:bi:time:len:head=2=tanh", NULL},
    {"lstm:n3t4c2h3:h0:peephole", NULL}, /* options */
    {"lstm:n3t4c2h3:h0:peephole:cifg:nobias", NULL},
    {"lstm:n3t4c2h3:h0:norm", NULL},
    {"lstm:n3t4c2h3:h0:norm:cifg:peephole", NULL},
    {"lstm:n3t4c2h4:h0:proj=2", NULL},
    {"lstm:n3t4c2h3:h0:zoneout=0.2", NULL},
    {"lstm:n3t4c2h3:h0:zoneoutc=0.3", NULL},
    {"lstm:n3t4c2h3:h0:cellclip=0.3", NULL},
    {"lstm:n3t4c2h3:h0:clip=0.5", NULL},
    {"lstm:n4t3c2h4l2:bi=sum:len:h0:peephole:norm:proj=3:cellclip=0.5:clip=1:zoneout=0.1:zoneoutc=0.2", NULL},
    {"gru:n3t4c2h3:nobias:h0", NULL},
    {"gru:n3t4c2h3:before:h0", NULL},
    {"gru:n3t4c2h3:before:nobias:h0:zoneout=0.2", NULL},
    {"gru:n3t4c2h3:h0:norm", NULL},
    {"gru:n3t4c2h3:h0:clip=0.5:zoneout=0.2", NULL},
    {"gru:n5t4c2h3l2:bi=ave:mask=holes:h0:norm", NULL},
    {"rnn:n3t4c2h3:h0", NULL},
    {"rnn:n3t4c2h3:nobias:h0:clip=0.5:zoneout=0.2", NULL},
    {"rnn:n5t4c2h3l2:bi:mask=holes:h0", NULL},
    {"dense:n3t2c4h5", NULL},
    {"dense:n3t2c4h5:nobias:time:strided:act=softmax", NULL},
    {"rnn:n2t3c2h3:act=hard_sigmoid(0.4,0.3)", NULL}, /* functions */
    {"rnn:n2t3c2h3:act=relu", NULL},
    {"rnn:n2t3c2h3:act=linear", NULL},
    {"rnn:n2t3c2h3:act=softsign", NULL},
    {"rnn:n2t3c2h3:act=softplus", NULL},
    {"rnn:n2t3c2h3:act=elu(0.7)", NULL},
    {"rnn:n2t3c2h3:act=selu", NULL},
    {"rnn:n2t2c2h3:act=exponential:tiny", NULL},
    {"rnn:n2t3c2h3:act=silu", NULL},
    {"rnn:n2t3c2h3:act=gelu", NULL},
    {"rnn:n2t3c2h3:act=leaky_relu", NULL},
    {"rnn:n2t3c2h3:act=relu6", NULL},
    {"rnn:n2t3c2h3:act=mish", NULL},
    {"rnn:n2t3c2h3:act=hard_silu", NULL},
    {"rnn:n2t3c2h3:act=hard_tanh", NULL},
    {"rnn:n2t3c2h3:act=log_sigmoid", NULL},
    {"rnn:n2t3c2h3:act=affine(0.5,0.25)", NULL},
    {"rnn:n2t3c2h3:act=thresholded_relu(0.1)", NULL},
    {"rnn:n2t3c2h3:act=scaled_tanh(1.5,0.6)", NULL},
    {"rnn:n2t3c2h3:act=celu(0.7)", NULL},
    {"rnn:n2t3c2h3:act=squareplus(0.5)", NULL},
    {"rnn:n2t3c2h3:act=soft_shrink(0.2)", NULL},
    {"rnn:n2t3c2h3:act=hard_shrink(0.2)", NULL},
    {"rnn:n2t3c2h3:act=tanh_shrink", NULL},
    {"rnn:n2t3c2h3:act=threshold(0.1,-0.4)", NULL},
    {"rnn:n2t3c2h3:act=sparse_plus", NULL},
    {"rnn:n2t3c2h3:act=sparse_sigmoid", NULL},
    {"lstm:n2t3c2h3:h0:act=softsign:ract=hard_sigmoid:oact=gelu", NULL},
    {"gru:n2t3c2h3:h0:act=silu:ract=softsign", NULL},
    {"lstm:n3t4c3h3:h0:dropout=0.3", NULL}, /* dropout: the seed is the same at all times */
    {"lstm:n3t4c3h3:h0:dropout=0.3:rdropout=0.3", NULL},
    {"lstm:n3t4c3h4:h0:peephole:norm:proj=3:zoneout=0.1:rdropout=0.3", NULL},
    {"lstm:n4t3c3h3l2:bi:len:h0:dropout=0.2:rdropout=0.2:ldropout=0.4", NULL},
    {"gru:n3t4c3h3:h0:dropout=0.3:rdropout=0.3", NULL},
    {"gru:n3t4c3h3:h0:norm:dropout=0.3:rdropout=0.3", NULL},
    {"gru:n3t4c3h3:before:h0:dropout=0.3:rdropout=0.3", NULL},
    {"gru:n4t3c3h3l3:back:mask=holes:h0:rdropout=0.2:ldropout=0.3", NULL},
    {"rnn:n3t4c3h3:h0:dropout=0.3:rdropout=0.3", NULL},
    {"rnn:n4t3c3h3l2:bi=mul:mask=left:h0:slots:restart:ldropout=0.3:head=2", NULL},
    {NULL, NULL},
};

/* With another layer for the second direction. */
static const gradient_row unlike_table[] = {
    {"lstm:n4t3c2h3l2:bi:mask=left:h0", &narrow_gru},
    {"lstm:n4t3c2h3:bi=separate:time:len:h0", &narrow_gru},
    {"gru:n4t3c2h3:bi=mul:len:h0", &norm_lstm},
    {"rnn:n4t3c2h3:bi:len:h0", &projected},
    {"lstm:n4t3c2h3l2:bi:len:h0:ldropout=0.3", &dropping_gru}, /* masks of one direction, of both, and unlike ones */
    {"gru:n4t3c2h3l2:bi=sum:before:h0:dropout=0.3", &dropping_lstm},
    {"lstm:n4t3c3h3:bi:mask=left:h0:dropout=0.4:rdropout=0.3", &dropping_gru},
    {NULL, NULL},
};

/* ---- A problem in doubles ---------------------------------------------------------------------------------------- */

enum { X, PARAMS, H_0, C_0, INPUTS };  /* and the gradients by them, in the same order */
enum { Y, Y_LAST, H_N, C_N, OUTPUTS }; /* likewise */

typedef struct gradients {
  rondo_plan *plan;
  rondo_batch batch;
  double *in[INPUTS], *din[INPUTS];     /* NULL: the cell has none */
  double *out[OUTPUTS], *dout[OUTPUTS]; /* dout: the factors of the loss */
  size_t in_count[INPUTS], din_count[INPUTS], out_count[OUTPUTS];
} gradients;

/* Random numbers within -scale..scale. */
static void fill(double *to, size_t count, uint64_t stream, double scale) {
  for (size_t i = 0; i < count; i++) to[i] = scale * (double)problem_random(test_seed(), stream, i);
}

static double *widen(const float *from, size_t count) {
  double *to = test_memory(count * sizeof *to);
  for (size_t i = 0; from && i < count; i++) to[i] = (double)from[i];
  return to;
}

static void point(gradients *g) {
  rondo_batch *b = &g->batch;
  b->x = g->in[X], b->params = g->in[PARAMS], b->h_0 = g->in[H_0], b->c_0 = g->in[C_0];
  b->y = g->out[Y], b->y_last = g->out[Y_LAST], b->h_n = g->out[H_N], b->c_n = g->out[C_N];
  b->dx = g->din[X], b->dparams = g->din[PARAMS], b->dh_0 = g->din[H_0], b->dc_0 = g->din[C_0];
  b->dy = g->dout[Y], b->dy_last = g->dout[Y_LAST], b->dh_n = g->dout[H_N], b->dc_n = g->dout[C_N];
}

/* The layer of the second direction is at most as wide as the first, so that all arrays are large enough. */
static int set_up(gradients *g, const gradient_row *row, const problem_data **found) {
  const problem_data *data = *found = test_data_named(row->name);
  const problem *p = &data->problem;
  rondo_plan_desc desc = problem_plan_desc(p);
  desc.training = 1;
  desc.layer.backward_layer = row->backward;
  rondo_context *ctx = test_reference();
  if (!ctx) return 0;
  *g = (gradients){.plan = test_plan(ctx, &desc), .batch = problem_batch(data)};
  if (!g->plan) return 0;
  int has_h = problem_has_state(p), has_c = problem_has_cell_state(p) || (row->backward && !row->backward->cell);
  const size_t state = data->state_count, params = rondo_plan_sizes(g->plan)->params / sizeof(float);
  const size_t in_count[] = {data->x_count, params, has_h ? state : 0, has_c ? state : 0};
  const size_t out_count[] = {data->y_count, data->y_last_count, in_count[H_0], in_count[C_0]};
  memcpy(g->in_count, in_count, sizeof in_count);
  memcpy(g->din_count, in_count, sizeof in_count);
  memcpy(g->out_count, out_count, sizeof out_count);
  g->din_count[X] = (size_t)p->batch * (size_t)p->timesteps * (size_t)p->input_size;
  const float *floats[] = {data->x, NULL, data->h_0, data->c_0};
  for (int i = 0; i < INPUTS; i++) {
    if (!in_count[i]) continue;
    g->in[i] = widen(floats[i], in_count[i]);
    g->din[i] = test_memory(g->din_count[i] * sizeof(double));
  }
  fill(g->in[PARAMS], params, 1, 0.7);
  for (int i = 0; i < OUTPUTS; i++) {
    if (!out_count[i]) continue;
    g->out[i] = test_memory(out_count[i] * sizeof(double));
    g->dout[i] = test_memory(out_count[i] * sizeof(double));
    fill(g->dout[i], out_count[i], 2 + (uint64_t)i, 1);
  }
  g->batch.workspace = buffer_new(ctx, rondo_plan_sizes(g->plan)->workspace);
  point(g);
  return g->batch.workspace != NULL;
}

/* ---- Finite differences ------------------------------------------------------------------------------------------ */

/* magnitude: receives the sum of what is summed, each at least its factor. */
static double loss(const gradients *g, double *magnitude) {
  double sum = 0;
  *magnitude = 0;
  rondo_reference_forward(g->plan, &g->batch, 1);
  for (int i = 0; i < OUTPUTS; i++)
    for (size_t k = 0; k < g->out_count[i]; k++) { /* gaps are still 0 */
      sum += g->out[i][k] * g->dout[i][k];
      *magnitude += fmax(fabs(g->out[i][k]), 1) * fabs(g->dout[i][k]);
    }
  return sum;
}

static int has_kink(rondo_function f) {
  static const rondo_activation kinds[] = {
      RONDO_HARD_SIGMOID,  RONDO_RELU,        RONDO_SOFTSIGN,    RONDO_ELU,        RONDO_SELU,
      RONDO_RELU6,         RONDO_HARD_SILU,   RONDO_HARD_TANH,   RONDO_LEAKY_RELU, RONDO_THRESHOLDED_RELU,
      RONDO_CELU,          RONDO_SOFT_SHRINK, RONDO_HARD_SHRINK, RONDO_THRESHOLD,  RONDO_SPARSE_PLUS,
      RONDO_SPARSE_SIGMOID};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    if (f.kind == kinds[i]) return 1;
  return 0;
}

static int has_kinks(const problem *p) {
  return p->clip > 0 || p->cell_clip > 0 || has_kink(p->activation) || has_kink(p->recurrent_activation) ||
         has_kink(p->output_activation) || has_kink(p->head_activation);
}

typedef struct estimate {
  double value, bound;
} estimate;

/* The derivative of the loss by *number. Beside kinks, which lie within h of some sum of every tenth or so number, the
 * steps are short and the bound is all that they disagree by. e: every output is a sum of products, of a step of which
 * all roundings are, in each layer, at most those of its inputs and outputs and of 20 operations more; weights are
 * small enough here not to amplify them. */
static estimate differentiate(const gradients *g, const problem *p, double *number) {
  int kinks = has_kinks(p);
  double step = kinks ? 0x1p-14 : 0x1p-10, here = *number, d[3], magnitude;
  for (int k = 0; k < 3; k++) {
    double h = ldexp(step, -k);
    *number = here + h;
    double above = loss(g, &magnitude), above_at = *number;
    *number = here - h;
    d[k] = (above - loss(g, &magnitude)) / (above_at - *number);
  }
  *number = here;
  double r_0 = (4 * d[1] - d[0]) / 3, r_1 = (4 * d[2] - d[1]) / 3, q = (16 * r_1 - r_0) / 15;
  double roundings = p->num_layers * p->timesteps * (problem_inputs(p, 1) + p->input_size + p->hidden_size + 20);
  double bound = fabs(q - r_1) + 7 * roundings * 0x1p-53 * magnitude / step;
  if (kinks) bound += fabs(d[0] - d[1]) + fabs(d[1] - d[2]);
  return (estimate){q, bound};
}

/* How many derivatives were taken, and of how many a kink is in the way. */
typedef struct tally {
  int all, unresolved;
} tally;

static void check(const gradients *g, const problem *p, double *number, double gradient, const char *what, size_t at,
                  tally *count) {
  estimate e = differentiate(g, p, number);
  count->all++;
  if (!(e.bound < 1e-6 * fmax(1, fabs(e.value))))
    count->unresolved++;
  else
    EXPECT_RATIO(fabs(gradient - e.value) / e.bound, "%s[%zu] is %.12g, differences give %.12g", what, at, gradient,
                 e.value);
}

/* x has gaps, dx has none. */
static void check_x(gradients *g, const problem_data *data, tally *count) {
  const problem *p = &data->problem;
  size_t n_end = (size_t)p->batch, t_end = (size_t)p->timesteps, c_end = (size_t)p->input_size;
  for (size_t i = 0; i < n_end * t_end * c_end; i++) {
    size_t row = i / c_end, n = p->time_major ? row % n_end : row / t_end,
           t = p->time_major ? row / n_end : row % t_end;
    double *number = &g->in[X][problem_at(data->x_strides, (int)n, (int)t) + i % c_end];
    if (problem_is_real(data, (int)n, (int)t) || p->cell == RONDO_DENSE)
      check(g, p, number, g->din[X][i], "dx", i, count);
    else
      EXPECT(g->din[X][i] == 0, "dx[%zu] is %g on a skipped step", i, g->din[X][i]);
  }
}

static void check_rest(gradients *g, const problem_data *data, tally *count) {
  static const char *const names[] = {"dx", "dparams", "dh_0", "dc_0"};
  for (int i = PARAMS; i < INPUTS; i++)
    for (size_t k = 0; k < g->in_count[i]; k++) {
      if (isnan(g->in[i][k])) /* a gap or, if the sequence restarts, nobody's */
        EXPECT(g->din[i][k] == 0, "%s[%zu] is %g, not 0", names[i], k, g->din[i][k]);
      else
        check(g, &data->problem, &g->in[i][k], g->din[i][k], names[i], k, count);
    }
}

static void differences(const void *parameter) {
  gradients g;
  const problem_data *data;
  tally count = {0};
  if (!set_up(&g, parameter, &data)) return;
  rondo_reference_backward(g.plan, &g.batch, 1);
  check_x(&g, data, &count);
  check_rest(&g, data, &count);
  int allowed = count.all / (has_kinks(&data->problem) ? 5 : 50); /* layer_norm of nearly equal numbers is steep */
  EXPECT(count.unresolved <= allowed, "%d of %d derivatives are not resolved, more than %d", count.unresolved,
         count.all, allowed);
}

/* ---- Other properties -------------------------------------------------------------------------------------------- */

/* Gradients are linear in dy, dy_last, dh_n and dc_n: those of each alone, added up in dparams, are those of all. The
 * two add the same products in another order: 1e-11 allows for 1e5 roundings, and there are some thousands. */
static void one_by_one(const void *parameter) {
  gradients g;
  const problem_data *data;
  if (!set_up(&g, parameter, &data)) return;
  double *sum[INPUTS];
  for (int i = 0; i < INPUTS; i++) sum[i] = test_memory(g.din_count[i] * sizeof(double));
  for (int o = 0; o < OUTPUTS; o++) {
    if (!g.dout[o]) continue;
    rondo_batch b = g.batch;
    const void **fields[] = {&b.dy, &b.dy_last, &b.dh_n, &b.dc_n};
    for (int other = 0; other < OUTPUTS; other++)
      if (other != o) *fields[other] = NULL;
    b.dparams = sum[PARAMS];
    b.accumulate = 1;
    rondo_reference_backward(g.plan, &b, 1);
    for (int i = 0; i < INPUTS; i++)
      for (size_t k = 0; i != PARAMS && k < g.din_count[i]; k++) sum[i][k] += g.din[i][k];
  }
  rondo_reference_backward(g.plan, &g.batch, 1);
  for (int i = 0; i < INPUTS; i++)
    for (size_t k = 0; k < g.din_count[i]; k++)
      EXPECT(fabs(sum[i][k] - g.din[i][k]) <= 1e-11 * fmax(1, fabs(sum[i][k])), "%d[%zu]: %.17g one by one, %.17g", i,
             k, sum[i][k], g.din[i][k]);
}

/* What the caller's floats get is what doubles get, rounded once; nothing else is written. */
static void expect_rounded(const float *floats, const double *doubles, size_t count, const char *what) {
  for (size_t k = 0; k < count; k++)
    if (test_is_poison(&floats[k], 1))
      EXPECT(doubles[k] == 0, "%s[%zu] is not written, but should be %g", what, k, doubles[k]);
    else
      EXPECT(floats[k] == (float)doubles[k], "%s[%zu] is %.9g, not %.9g rounded", what, k, (double)floats[k],
             doubles[k]);
}

/* The parameters that were packed, and factors of the loss that fit a float. */
static void take_floats(gradients *g, const test_setup *s) {
  size_t params = g->in_count[PARAMS];
  g->in[PARAMS] = widen(buffer_download(s->ctx, NULL, s->batch.params, params), params);
  for (int i = 0; i < OUTPUTS; i++)
    for (size_t k = 0; k < g->out_count[i]; k++) g->dout[i][k] = (double)(float)g->dout[i][k];
  point(g);
}

/* NULL stays NULL. */
static float *narrow(rondo_context *ctx, const double *from, size_t count) {
  float *host = test_memory(count * sizeof *host);
  for (size_t k = 0; from && k < count; k++) host[k] = (float)from[k];
  return from ? buffer_upload(ctx, host, count) : NULL;
}

/* The same gradients through the public functions; din: receives what they are written to. */
static int set_up_floats(test_setup *s, const gradients *g, float *din[INPUTS]) {
  rondo_batch *b = &s->batch;
  for (int i = 0; i < INPUTS; i++) din[i] = g->din_count[i] ? buffer_output(s->ctx, g->din_count[i]) : NULL;
  din[PARAMS] = buffer_new(s->ctx, g->din_count[PARAMS] * sizeof(float)); /* aligned to 64 bytes */
  b->dy = narrow(s->ctx, g->dout[Y], g->out_count[Y]);
  b->dy_last = narrow(s->ctx, g->dout[Y_LAST], g->out_count[Y_LAST]);
  b->dh_n = narrow(s->ctx, g->dout[H_N], g->out_count[H_N]);
  b->dc_n = narrow(s->ctx, g->dout[C_N], g->out_count[C_N]);
  b->dx = din[X], b->dparams = din[PARAMS], b->dh_0 = din[H_0], b->dc_0 = din[C_0];
  return din[X] && din[PARAMS];
}

static void expect_accumulated(const float *sum, const double *doubles, size_t count) {
  for (size_t k = 0; k < count; k++) {
    double twice = (double)(float)doubles[k] + doubles[k];
    EXPECT(sum[k] == (float)twice, "dparams[%zu] added to itself is %.9g, not %.9g", k, (double)sum[k], twice);
  }
}

/* Training's parameter block means what that of inference means. It has the two biases of a GRU's z and r summed in
 * float, which moves those sums by 2^-24 of less than 2; all else has the same bits. */
static void expect_inference(const problem_data *data, const float *const got[OUTPUTS]) {
  test_setup s;
  if (!test_set_up(&s, test_reference(), data, NULL)) return;
  test_outputs out = test_forward(&s, &s.batch);
  const float *want[] = {out.y, out.y_last, out.h_n, out.c_n};
  const size_t count[] = {s.y_count, s.y_last_count, s.state_count, s.state_count};
  double tolerance = data->problem.cell == RONDO_GRU ? 1e-5 : 0;
  for (int i = 0; i < OUTPUTS; i++)
    for (size_t k = 0; want[i] && k < count[i]; k++) {
      double error = fabs((double)got[i][k] - (double)want[i][k]);
      EXPECT(error <= tolerance || test_is_poison(&want[i][k], 1), "output %d[%zu] is %.9g, without training %.9g", i,
             k, (double)got[i][k], (double)want[i][k]);
    }
}

static void floats(const void *row) {
  static const char *const outputs[] = {"y", "y_last", "h_n", "c_n"};
  static const char *const inputs[] = {"dx", "dparams", "dh_0", "dc_0"};
  gradients g;
  const problem_data *data;
  test_setup s;
  float *din[INPUTS];
  if (!set_up(&g, row, &data)) return;
  rondo_plan_desc desc = problem_plan_desc(&data->problem);
  desc.training = 1;
  if (!test_set_up(&s, test_reference(), data, &desc) || !set_up_floats(&s, &g, din)) return;
  EXPECT(rondo_plan_sizes(s.plan)->reserve == 0, "reserve is %zu", rondo_plan_sizes(s.plan)->reserve);
  take_floats(&g, &s);
  test_outputs out = test_forward(&s, &s.batch);
  EXPECT_OK(rondo_backward(s.plan, s.ctx, &s.batch));
  rondo_reference_forward(g.plan, &g.batch, 1);
  rondo_reference_backward(g.plan, &g.batch, 1);
  const float *got[] = {out.y, out.y_last, out.h_n, out.c_n};
  if (!problem_trains(&data->problem)) expect_inference(data, got);
  for (int i = 0; i < OUTPUTS; i++) expect_rounded(got[i], g.out[i], g.out_count[i], outputs[i]);
  for (int i = 0; i < INPUTS; i++) expect_rounded(din[i], g.din[i], g.din_count[i], inputs[i]);
  s.batch.accumulate = 1;
  EXPECT_OK(rondo_backward(s.plan, s.ctx, &s.batch));
  expect_accumulated(din[PARAMS], g.din[PARAMS], g.din_count[PARAMS]);
}

const test_suite test_gradients = {"Gradients", TEST_ONCE,
                                   (const test_row[]){{"differences", differences, TEST_TABLE(table)},
                                                      {"differences_unlike", differences, TEST_TABLE(unlike_table)},
                                                      {"one_by_one", one_by_one, TEST_TABLE(table)},
                                                      {"one_by_one_unlike", one_by_one, TEST_TABLE(unlike_table)},
                                                      {"floats", floats, TEST_TABLE(table)},
                                                      {0}}};
