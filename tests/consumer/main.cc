// main.cc - what a user of the installed library writes in C++: the same LSTM, one timestep a call.
#include <rondo/rondo.h>

#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <vector>

namespace {

constexpr int kTimesteps = 5, kInputs = 3, kUnits = 4;
constexpr float kBound = 5 * 9 * 4 * 0x1p-24f;  // as in main.c

void check(rondo_status status) {
  if (status != RONDO_OK) throw std::runtime_error(rondo_last_error());
}

std::vector<float> waves(int count, float frequency) {
  std::vector<float> values;
  for (int i = 0; i < count; i++) values.push_back(0.5f * std::sin(frequency * static_cast<float>(i + 1)));
  return values;
}

// h after the last timestep (kUnits).
std::vector<float> stream(rondo_backend backend) {
  rondo_context_desc context_desc = {};
  context_desc.backend = backend;
  rondo_context *ctx;
  check(rondo_context_create(&ctx, &context_desc));
  std::unique_ptr<rondo_context, decltype(&rondo_context_destroy)> ctx_owner(ctx, rondo_context_destroy);

  rondo_plan_desc plan_desc = {};
  plan_desc.layer.input_size = kInputs;
  plan_desc.layer.hidden_size = kUnits;
  plan_desc.max_batch = plan_desc.max_timesteps = 1;
  rondo_plan *plan;
  check(rondo_plan_create(&plan, ctx, &plan_desc));
  std::unique_ptr<rondo_plan, decltype(&rondo_plan_destroy)> plan_owner(plan, rondo_plan_destroy);

  auto release = [ctx](void *pointer) { rondo_free(ctx, pointer); };
  using buffer = std::unique_ptr<void, decltype(release)>;
  buffer params(rondo_alloc(ctx, rondo_plan_sizes(plan)->params), release);
  buffer workspace(rondo_alloc(ctx, rondo_plan_sizes(plan)->workspace), release);

  auto kernel = waves(kInputs * 4 * kUnits, 1.3f), recurrent_kernel = waves(kUnits * 4 * kUnits, 0.7f);
  auto bias = waves(4 * kUnits, 2.1f), x = waves(kTimesteps * kInputs, 0.9f);
  rondo_weights weights = {};
  weights.kernel = kernel.data();
  weights.recurrent_kernel = recurrent_kernel.data();
  weights.bias = bias.data();
  check(rondo_pack(plan, ctx, params.get(), &weights));

  std::vector<float> h(kUnits), c(kUnits);
  rondo_batch batch = {};
  batch.batch = batch.timesteps = 1;
  batch.params = params.get();
  batch.workspace = workspace.get();
  batch.h_0 = batch.h_n = h.data();
  batch.c_0 = batch.c_n = c.data();
  for (int t = 0; t < kTimesteps; t++) {
    batch.x = &x[t * kInputs];
    check(rondo_forward(plan, ctx, &batch));
  }
  return h;
}

}  // namespace

int main() try {
  std::vector<float> fast = stream(RONDO_CPU), reference = stream(RONDO_REFERENCE);
  for (int j = 0; j < kUnits; j++)
    if (!(std::fabs(fast[j] - reference[j]) <= kBound)) throw std::runtime_error("the CPU and the reference differ");
  std::printf("C++, rondo %s, h[0] = %.6f\n", rondo_version(), fast[0]);
  return 0;
} catch (const std::exception &failure) {
  std::printf("failed: %s\n", failure.what());
  return 1;
}
