/* main.c - what a user of the installed library writes in C: an LSTM by the CPU backend, set beside the reference. */
#include <rondo/rondo.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { TIMESTEPS = 5, INPUTS = 3, UNITS = 4 };

/* 5 timesteps, sums of 8 terms that stay below 4, so 9 roundings of at most 4 * 2^-24 each. */
#define BOUND (5 * 9 * 4 * 0x1p-24f)

static void fill(float *values, int count, float frequency) {
  for (int i = 0; i < count; i++) values[i] = 0.5f * sinf(frequency * (float)(i + 1));
}

/* y_last: (UNITS), h after the last timestep. */
static rondo_status run_lstm(rondo_backend backend, float *y_last) {
  float kernel[INPUTS * 4 * UNITS], recurrent_kernel[UNITS * 4 * UNITS], bias[4 * UNITS], x[TIMESTEPS * INPUTS];
  fill(kernel, INPUTS * 4 * UNITS, 1.3f);
  fill(recurrent_kernel, UNITS * 4 * UNITS, 0.7f);
  fill(bias, 4 * UNITS, 2.1f);
  fill(x, TIMESTEPS * INPUTS, 0.9f);

  rondo_context *ctx = NULL;
  rondo_plan *plan = NULL;
  void *params = NULL, *workspace = NULL;
  rondo_status status = rondo_context_create(&ctx, &(rondo_context_desc){.backend = backend});
  if (status == RONDO_OK)
    status = rondo_plan_create(
        &plan, ctx,
        &(rondo_plan_desc){
            .layer = {.input_size = INPUTS, .hidden_size = UNITS}, .max_batch = 1, .max_timesteps = TIMESTEPS});
  if (status == RONDO_OK) {
    params = rondo_alloc(ctx, rondo_plan_sizes(plan)->params);
    workspace = rondo_alloc(ctx, rondo_plan_sizes(plan)->workspace);
    rondo_weights weights = {.kernel = kernel, .recurrent_kernel = recurrent_kernel, .bias = bias};
    status = rondo_pack(plan, ctx, params, &weights);
  }
  rondo_batch batch = {.batch = 1, .timesteps = TIMESTEPS, .params = params, .workspace = workspace, .x = x};
  batch.y_last = y_last;
  if (status == RONDO_OK) status = rondo_forward(plan, ctx, &batch);
  rondo_free(ctx, workspace);
  rondo_free(ctx, params);
  rondo_plan_destroy(plan);
  rondo_context_destroy(ctx);
  return status;
}

int main(void) {
  float fast[UNITS], reference[UNITS];
  if (run_lstm(RONDO_CPU, fast) != RONDO_OK || run_lstm(RONDO_REFERENCE, reference) != RONDO_OK) {
    printf("failed: %s\n", rondo_last_error());
    return 1;
  }
  for (int j = 0; j < UNITS; j++)
    if (!(fabsf(fast[j] - reference[j]) <= BOUND)) {
      printf("failed: y_last[%d] is %.9g, the reference has %.9g\n", j, (double)fast[j], (double)reference[j]);
      return 1;
    }

  char header[32];
  snprintf(header, sizeof header, "%d.%d.%d", RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH);
  if (strcmp(header, rondo_version()) != 0) {
    printf("failed: the header is of version %s, the library of %s\n", header, rondo_version());
    return 1;
  }
  rondo_context *ctx; /* whichever backend works here: looks for the CUDA module beside the library */
  if (rondo_context_create(&ctx, NULL) != RONDO_OK) {
    printf("failed: %s\n", rondo_last_error());
    return 1;
  }
  printf("C, rondo %s, %s\n", rondo_version(), rondo_context_text(ctx));
  rondo_context_destroy(ctx);
  return 0;
}
