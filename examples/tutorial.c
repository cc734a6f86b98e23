/* tutorial.c - the three ways in which Keras's LSTM gives its result, in C. x is one sequence of five timesteps with
 * one feature, the layer has two units:
 *
 *     x = np.array([0.1, 0.2, 0.3, 0.4, 0.5]).reshape(1, 5, 1)
 *     LSTM(2)(x)                                                 # the last output
 *     LSTM(2, return_sequences=True)(x)                          # the output of every timestep
 *     LSTM(2, return_sequences=True, return_state=True)(x)       # ... and the state after the last one
 *
 * Keras draws new weights for every layer; these are the ones of a run whose results stand below them. The program
 * prints what Keras printed and exits with 1 if a number is more than 1e-6 away from it. */
#include <math.h>
#include <rondo/rondo.h>
#include <stdio.h>

enum { T = 5, C = 1, H = 2 };

/* get_weights() of each of the three layers. Columns: gates i, f, g, o of unit 0 and 1 each. */
static const struct {
  float kernel[C][4 * H], recurrent_kernel[H][4 * H], bias[4 * H];
} weights[3] = {
    {{{0.73027074f, 0.44197607f, -0.25259978f, -0.723458f, 0.14142299f, -0.263296f, 0.33239043f, -0.47560498f}},
     {{-0.08006132f, -0.6448656f, -0.14348908f, 0.16867833f, 0.065317735f, -0.38209933f, -0.033840362f, -0.61423594f},
      {-0.3452658f, 0.6251395f, 0.04191845f, -0.15637901f, -0.17585827f, -0.55332863f, 0.09268941f, -0.34364313f}},
     {0, 0, 1, 1, 0, 0, 0, 0}},
    {{{0.032824337f, -0.5843387f, 0.31283116f, -0.07502544f, -0.39974734f, -0.67460215f, -0.09227532f, -0.31930822f}},
     {{-0.69548476f, 0.1469133f, -0.2581258f, -0.31548235f, 0.38115814f, -0.13804545f, 0.23051658f, -0.33329168f},
      {0.47763547f, -0.12708262f, -0.043173134f, -0.16094011f, -0.14575887f, -0.032769322f, 0.44224304f, -0.7141781f}},
     {0, 0, 1, 1, 0, 0, 0, 0}},
    {{{0.65548766f, 0.10793191f, -0.516435f, -0.24137563f, 0.78893554f, 0.66961396f, -0.7228934f, -0.4058247f}},
     {{-0.1371268f, 0.093627796f, -0.256582f, 0.44980043f, -0.339194f, -0.15252157f, -0.49333057f, -0.56796557f},
      {-0.62848574f, 0.45277244f, -0.44429764f, -0.08032645f, 0.21129295f, -0.29511857f, 0.22121507f, 0.124396116f}},
     {0, 0, 1, 1, 0, 0, 0, 0}},
};

/* What Keras printed. */
static const float keras_last[H] = {0.05037702f, -0.05578832f};
static const float keras_sequence[2][T][H] = {{{-0.00995727f, -0.01608095f},
                                               {-0.02739035f, -0.04190155f},
                                               {-0.05037428f, -0.07316009f},
                                               {-0.07737196f, -0.10672046f},
                                               {-0.10709287f, -0.14024955f}},
                                              {{0.01958223f, 0.01645842f},
                                               {0.05066048f, 0.04189613f},
                                               {0.08623692f, 0.07145339f},
                                               {0.12091941f, 0.10208221f},
                                               {0.15125962f, 0.13190952f}}};
static const float keras_h[H] = {0.15125962f, 0.13190952f}, keras_c[H] = {0.39606643f, 0.31259659f};

static int wrong; /* how many numbers differ from Keras's */

/* Prints rows of H numbers. */
static void print(const char *name, const float *got, const float *keras, int rows) {
  printf("%s\n", name);
  for (int i = 0; i < rows * H; i++) {
    printf("%s% .8f%s", i % H ? " " : "  [", (double)got[i], i % H == H - 1 ? "]\n" : "");
    wrong += !(fabsf(got[i] - keras[i]) <= 1e-6f);
  }
}

#define TRY(call)                                                                                                      \
  if ((call) != RONDO_OK) return puts(rondo_last_error()), 2

int main(void) {
  /* The context: where it runs. The plan: what is computed, and how large it may get. */
  rondo_context *ctx;
  rondo_plan *plan;
  rondo_plan_desc desc = {.layer = {.input_size = C, .hidden_size = H}, .max_batch = 1, .max_timesteps = T};
  TRY(rondo_context_create(&ctx, &(rondo_context_desc){.backend = RONDO_CPU}));
  TRY(rondo_plan_create(&plan, ctx, &desc));

  /* A parameter block for each of the three layers, and scratch memory. */
  const rondo_sizes *size = rondo_plan_sizes(plan);
  void *params[3], *workspace = rondo_alloc(ctx, size->workspace);
  for (int i = 0; i < 3; i++) {
    params[i] = rondo_alloc(ctx, size->params);
    TRY(rondo_pack(plan, ctx, params[i],
                   &(rondo_weights){.format = RONDO_KERAS,
                                    .kernel = weights[i].kernel[0],
                                    .recurrent_kernel = weights[i].recurrent_kernel[0],
                                    .bias = weights[i].bias}));
  }

  /* An output is asked for by passing its pointer. */
  const float x[1][T][C] = {{{0.1f}, {0.2f}, {0.3f}, {0.4f}, {0.5f}}};
  float y_last[1][H], y[1][T][H], h[1][H], c[1][H];
  rondo_batch last = {
      .batch = 1, .timesteps = T, .params = params[0], .workspace = workspace, .x = x, .y_last = y_last};
  TRY(rondo_forward(plan, ctx, &last));
  print("LSTM(2)", y_last[0], keras_last, 1);

  rondo_batch sequence = {.batch = 1, .timesteps = T, .params = params[1], .workspace = workspace, .x = x, .y = y};
  TRY(rondo_forward(plan, ctx, &sequence));
  print("LSTM(2, return_sequences=True)", y[0][0], keras_sequence[0][0], T);

  rondo_batch state = {.batch = 1, .timesteps = T, .params = params[2], .workspace = workspace, .x = x, .y = y};
  state.h_n = h, state.c_n = c;
  TRY(rondo_forward(plan, ctx, &state));
  print("LSTM(2, return_sequences=True, return_state=True)", y[0][0], keras_sequence[1][0], T);
  print("the last h", h[0], keras_h, 1);
  print("the last c", c[0], keras_c, 1);

  for (int i = 0; i < 3; i++) rondo_free(ctx, params[i]);
  rondo_free(ctx, workspace);
  rondo_plan_destroy(plan);
  rondo_context_destroy(ctx);
  return wrong ? printf("%d numbers differ from Keras's\n", wrong), 1 : 0;
}
