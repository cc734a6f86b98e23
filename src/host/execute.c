/* execute.c - rondo_forward: checks the batch against the plan, then walks the layers with every pointer resolved. */
#include "internal.h"

#include "arena.h"
#include "error.h"

rondo_status rondo_check_match(const char *who, const rondo_plan *plan, const rondo_context *ctx) {
  REQUIRE(plan->ops == ctx->ops, "%s: the plan is for the backend %s, the context's is %s", who, plan->ops->name,
          ctx->ops->name);
  REQUIRE(plan->variant == ctx->variant,
          "%s: the plan is for another instruction set or device (%s) than the context (%s)", who, plan->text,
          ctx->text);
  return RONDO_OK;
}

static rondo_status check_sizes(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  REQUIRE(b->batch >= 1 && b->batch <= plan->desc.max_batch, "%s: batch %d is not in 1..%d, the plan's max_batch", who,
          b->batch, plan->desc.max_batch);
  REQUIRE(b->timesteps >= 1 && b->timesteps <= plan->desc.max_timesteps,
          "%s: timesteps %d is not in 1..%d, the plan's max_timesteps", who, b->timesteps, plan->desc.max_timesteps);
  OFFER(!b->lengths, "%s: lengths is not offered yet, only NULL", who);
  OFFER(!b->mask, "%s: mask is not offered yet, only NULL", who);
  OFFER(!b->slots, "%s: slots is not offered yet, only NULL", who);
  OFFER(!b->restart, "%s: restart is not offered yet, only NULL", who);
  OFFER(!b->reserve, "%s: reserve is not offered yet, only NULL", who);
  return RONDO_OK;
}

static rondo_status check_pointer(const char *who, const char *name, const void *pointer, int required,
                                  size_t alignment) {
  REQUIRE(pointer || !required, "%s: %s is NULL", who, name);
  REQUIRE((uintptr_t)pointer % alignment == 0, "%s: %s %p is not aligned to %zu bytes", who, name, pointer, alignment);
  return RONDO_OK;
}

static rondo_status check_pointers(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  TRY(check_pointer(who, "params", b->params, 1, RONDO_CALLER_ALIGNMENT));
  TRY(check_pointer(who, "workspace", b->workspace, plan->sizes.workspace != 0, RONDO_CALLER_ALIGNMENT));
  TRY(check_pointer(who, "x", b->x, 1, sizeof(float)));
  const struct {
    const char *name;
    const void *pointer, *may_be; /* the state that it may update in place */
  } outputs[] = {{"y", b->y, NULL}, {"y_last", b->y_last, NULL}, {"h_n", b->h_n, b->h_0}, {"c_n", b->c_n, b->c_0}};
  const void *const others[] = {b->x, b->params, b->workspace, b->h_0, b->c_0, b->y, b->y_last, b->h_n, b->c_n};
  TRY(check_pointer(who, "h_0", b->h_0, 0, sizeof(float)));
  TRY(check_pointer(who, "c_0", b->c_0, 0, sizeof(float)));
  int wanted = 0;
  for (int i = 0; i < 4; i++) {
    const void *pointer = outputs[i].pointer;
    if (!pointer) continue;
    wanted++;
    TRY(check_pointer(who, outputs[i].name, pointer, 0, sizeof(float)));
    int same = pointer == outputs[i].may_be ? -1 : 0; /* itself is among the others once */
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) same += others[k] == pointer;
    REQUIRE(same == 1, "%s: %s %p is another field's memory too; only h_n may be h_0, and c_n c_0", who,
            outputs[i].name, pointer);
  }
  REQUIRE(wanted, "%s: y, y_last, h_n and c_n are all NULL, so there is nothing to compute", who);
  return RONDO_OK;
}

/* Strides with zeros replaced by the dense distances of the plan's layout, for rows of `width` floats. */
static rondo_strides whole_strides(const rondo_plan *plan, const rondo_batch *b, rondo_strides strides, int width) {
  int time_major = plan->desc.layout == RONDO_TIME_MAJOR;
  size_t n = time_major ? (size_t)b->batch : 1, t = time_major ? 1 : (size_t)b->timesteps;
  if (!strides.sequence) strides.sequence = t * (size_t)width;
  if (!strides.timestep) strides.timestep = n * (size_t)width;
  return strides;
}

/* Bytes from the first row's start to the last row's end; SIZE_MAX: a pointer difference cannot hold it. */
static size_t span(rondo_strides strides, size_t n, size_t t, size_t width) {
  size_t floats = rondo_size_add(rondo_size_mul(strides.sequence, n - 1), rondo_size_mul(strides.timestep, t - 1));
  size_t bytes = rondo_size_mul(rondo_size_add(floats, width), sizeof(float));
  return bytes > PTRDIFF_MAX ? SIZE_MAX : bytes;
}

/* Rows of an output are apart when one index walks within a single stride of the other. */
static int rows_apart(rondo_strides s, size_t n, size_t t, size_t width) {
  size_t a = rondo_size_add(rondo_size_mul(s.timestep, t - 1), width);
  size_t b = rondo_size_add(rondo_size_mul(s.sequence, n - 1), width);
  int time_inside = (n == 1 || s.sequence >= a) && (t == 1 || s.timestep >= width);
  int batch_inside = (t == 1 || s.timestep >= b) && (n == 1 || s.sequence >= width);
  return time_inside || batch_inside;
}

static rondo_status check_y_strides(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  size_t n = (size_t)b->batch, t = (size_t)b->timesteps, h = (size_t)plan->desc.layer.hidden_size;
  rondo_strides y = whole_strides(plan, b, b->y_strides, plan->desc.layer.hidden_size);
  REQUIRE(span(y, n, t, h) != SIZE_MAX, "%s: y_strides {%zu, %zu} lead beyond this machine's addresses", who,
          y.sequence, y.timestep);
  REQUIRE(rows_apart(y, n, t, h), "%s: y_strides {%zu, %zu} let rows of y overlap, which are %zu floats long", who,
          y.sequence, y.timestep, h);
  return RONDO_OK;
}

/* Of `rows` rows of h, one stride apart; 0 is dense, which the plan has checked. */
static rondo_status check_row_stride(const char *who, const char *name, size_t stride, size_t rows, size_t h) {
  REQUIRE(!stride || stride >= h, "%s: %s %zu is less than hidden_size %zu", who, name, stride, h);
  REQUIRE(span((rondo_strides){stride, 0}, rows, 1, h) != SIZE_MAX, "%s: %s %zu leads beyond this machine's addresses",
          who, name, stride);
  return RONDO_OK;
}

/* Strides of arrays that are not there do not matter. */
static rondo_status check_strides(const char *who, const rondo_plan *plan, const rondo_batch *b) {
  size_t n = (size_t)b->batch, h = (size_t)plan->desc.layer.hidden_size;
  rondo_strides x = whole_strides(plan, b, b->x_strides, plan->desc.layer.input_size);
  REQUIRE(span(x, n, (size_t)b->timesteps, (size_t)plan->desc.layer.input_size) != SIZE_MAX,
          "%s: x_strides {%zu, %zu} lead beyond this machine's addresses", who, x.sequence, x.timestep);
  if (b->y) TRY(check_y_strides(who, plan, b));
  if (b->y_last) TRY(check_row_stride(who, "y_last_stride", b->y_last_stride, n, h));
  if (b->h_0 || b->c_0 || b->h_n || b->c_n)
    TRY(check_row_stride(who, "state_stride", b->state_stride, rondo_size_mul(n, (size_t)plan->desc.layer.num_layers),
                         h));
  return RONDO_OK;
}

rondo_status rondo_check_batch(const char *who, const rondo_plan *plan, const rondo_context *ctx,
                               const rondo_batch *batch) {
  REQUIRE(plan, "%s: plan is NULL", who);
  REQUIRE(ctx, "%s: ctx is NULL", who);
  REQUIRE(batch, "%s: batch is NULL", who);
  TRY(rondo_check_match(who, plan, ctx));
  TRY(check_sizes(who, plan, batch));
  TRY(check_pointers(who, plan, batch));
  TRY(check_strides(who, plan, batch));
  if (!plan->ops->check_params) return RONDO_OK;
  for (int layer = 0; layer < plan->desc.layer.num_layers; layer++) {
    const unsigned char *part = (const unsigned char *)batch->params + rondo_layer_params_offset(plan, layer);
    TRY(plan->ops->check_params(who, plan, rondo_layer_inputs(plan, layer), part, layer));
  }
  return RONDO_OK;
}

/* What the layer reads: x, or the rows (T, N, H) that the layer below left in its buffer. */
static void resolve_input(const rondo_plan *plan, const rondo_batch *b, const rondo_workspace *ws, int layer,
                          rondo_pass *pass) {
  pass->input_size = (int)rondo_layer_inputs(plan, layer);
  if (layer == 0) {
    rondo_strides strides = whole_strides(plan, b, b->x_strides, pass->input_size);
    pass->x = b->x;
    pass->x_sequence = (ptrdiff_t)strides.sequence;
    pass->x_timestep = (ptrdiff_t)strides.timestep;
  } else {
    pass->x = ws->between[(layer - 1) % 2];
    pass->x_sequence = pass->input_size;
    pass->x_timestep = (ptrdiff_t)b->batch * pass->input_size;
  }
  if (plan->desc.layer.go_backwards) {
    pass->x += (b->timesteps - 1) * pass->x_timestep;
    pass->x_timestep = -pass->x_timestep;
  }
}

/* What the layer writes: y and y_last at the top, a buffer for the next layer below it. */
static void resolve_output(const rondo_plan *plan, const rondo_batch *b, const rondo_workspace *ws, int layer,
                           rondo_pass *pass) {
  int h = pass->hidden_size;
  if (layer < plan->desc.layer.num_layers - 1) {
    pass->y = ws->between[layer % 2];
    pass->y_sequence = h;
    pass->y_timestep = (ptrdiff_t)b->batch * h;
    return;
  }
  rondo_strides strides = whole_strides(plan, b, b->y_strides, h);
  pass->y = b->y;
  pass->y_sequence = (ptrdiff_t)strides.sequence;
  pass->y_timestep = (ptrdiff_t)strides.timestep;
  pass->y_last = b->y_last;
  pass->y_last_stride = b->y_last_stride ? (ptrdiff_t)b->y_last_stride : h;
}

static rondo_pass resolve_pass(const rondo_plan *plan, const rondo_batch *b, const rondo_workspace *ws, int layer) {
  rondo_pass pass = {.batch = b->batch,
                     .timesteps = b->timesteps,
                     .hidden_size = plan->desc.layer.hidden_size,
                     .params = (const unsigned char *)b->params + rondo_layer_params_offset(plan, layer),
                     .workspace = ws->layer};
  resolve_input(plan, b, ws, layer, &pass);
  resolve_output(plan, b, ws, layer, &pass);
  pass.state_stride = b->state_stride ? (ptrdiff_t)b->state_stride : pass.hidden_size;
  size_t state = (size_t)layer * (size_t)b->batch * (size_t)pass.state_stride;
  if (b->h_0) pass.h_0 = (const float *)b->h_0 + state;
  if (b->c_0) pass.c_0 = (const float *)b->c_0 + state;
  if (b->h_n) pass.h_n = (float *)b->h_n + state;
  if (b->c_n) pass.c_n = (float *)b->c_n + state;
  return pass;
}

rondo_status rondo_execute(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  if (plan->algorithm->forward) return plan->algorithm->forward(plan, ctx, batch);
  rondo_arena arena = {.base = batch->workspace};
  rondo_workspace parts;
  rondo_carve_workspace(plan, &arena, &parts);
  for (int layer = 0; layer < plan->desc.layer.num_layers; layer++) {
    rondo_pass pass = resolve_pass(plan, batch, &parts, layer);
    TRY(plan->algorithm->forward_layer(plan, ctx, &pass));
  }
  return RONDO_OK;
}

rondo_status rondo_forward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  TRY(rondo_check_batch("rondo_forward", plan, ctx, batch));
  return rondo_execute(plan, ctx, batch);
}

rondo_status rondo_backward(const rondo_plan *plan, rondo_context *ctx, const rondo_batch *batch) {
  REQUIRE(plan, "rondo_backward: plan is NULL");
  REQUIRE(ctx, "rondo_backward: ctx is NULL");
  REQUIRE(batch, "rondo_backward: batch is NULL");
  return rondo_fail(RONDO_UNSUPPORTED, "rondo_backward: training is not offered yet");
}
