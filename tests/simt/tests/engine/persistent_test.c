/* persistent_test: grid barriers, clusters and mbarriers against plain C, and every way to get one wrong. See harness.h. */
#define SOURCE "persistent.cu:"
#include "harness.h"

/* ---- grid barriers ------------------------------------------------------------------------------------------------- */
enum { COUNTER_RELEASE, COUNTER_FENCES, FENCE_BY_ALL, FLAG_EACH, FLAG_EACH_FENCES, FORMS };
enum { RIGHT, NO_RELEASE, NO_ACQUIRE, NO_BLOCK_BARRIER, BLOCK_SCOPE, NO_BARRIER, IN_PLACE, READ_ONLY_PATH, ONE_ABSENT, PLAIN_FLAG };
enum { BLOCKS = 5, THREADS = 64, N = BLOCKS * THREADS, STEPS = 7 };

static int grid(int form, int bug) {
  static unsigned h[2 * N], x[2][N];
  unsigned flags[BLOCKS] = {0};
  for (int n = 0; n < N; n++) h[n] = x[0][n] = random32();
  void *dh = upload(h, sizeof h), *df = upload(flags, sizeof flags);
  int steps = STEPS;
  simt_launch shape = {{BLOCKS, 1, 1}, {THREADS, 1, 1}, {1, 1, 1}, 0, 1};
  if (bug) return RUN("grid_exchange", shape, ARG(dh), ARG(df), ARG(steps), ARG(form), ARG(bug));
  OK(RUN("grid_exchange", shape, ARG(dh), ARG(df), ARG(steps), ARG(form), ARG(bug)));
  for (int t = 0; t < STEPS; t++)
    for (int n = 0; n < N; n++) x[(t + 1) % 2][n] = 3 * x[t % 2][n] + x[t % 2][(n + THREADS + 1) % N] + (unsigned)t;
  const unsigned *y = (const unsigned *)host(dh, sizeof h) + STEPS % 2 * N;
  for (int n = 0; n < N; n++) CHECK(y[n] == x[STEPS % 2][n], "form %d, thread %d: %u, not %u", form, n, y[n], x[STEPS % 2][n]);
  uint64_t flags_set = counters.flag_writes + counters.atomics; /* one of each block and step: that is the grid barrier */
  CHECK(flags_set == STEPS * BLOCKS && counters.flag_reads >= STEPS * BLOCKS, "form %d: %llu flags set", form, (unsigned long long)flags_set);
  CHECK(counters.fences == 0 || form != COUNTER_RELEASE, "fences");
  CHECK(counters.barriers == 2 * STEPS * BLOCKS, "%llu barriers", (unsigned long long)counters.barriers);
  return 0;
}
static int test_grid_forms(void) {
  for (int form = 0; form < FORMS; form++) {
    int r = grid(form, RIGHT);
    if (r) return r;
  }
  return 0;
}
static int grid_warps(int bug) {
  static unsigned h[2 * BLOCKS * 32], x[2][BLOCKS * 32];
  enum { COUNT = BLOCKS * 32 };
  unsigned flags[1 + BLOCKS] = {0};
  for (int n = 0; n < COUNT; n++) h[n] = x[0][n] = random32();
  void *dh = upload(h, sizeof h), *df = upload(flags, sizeof flags);
  int steps = STEPS;
  simt_launch shape = {{BLOCKS, 1, 1}, {32, 1, 1}, {1, 1, 1}, 0, 1};
  if (bug) return RUN("grid_warps", shape, ARG(dh), ARG(df), ARG(steps), ARG(bug));
  OK(RUN("grid_warps", shape, ARG(dh), ARG(df), ARG(steps), ARG(bug)));
  for (int t = 0; t < STEPS; t++)
    for (int n = 0; n < COUNT; n++) x[(t + 1) % 2][n] = 3 * x[t % 2][n] + x[t % 2][(n + 33) % COUNT] + (unsigned)t;
  CHECK(!memcmp((const unsigned *)host(dh, sizeof h) + STEPS % 2 * COUNT, x[STEPS % 2], sizeof x[0]), "values");
  return 0;
}
static int test_grid_warps(void) { return grid_warps(RIGHT); }
static int bug_lanes_not_released(void) { return grid_warps(NO_RELEASE); }
static int bug_lanes_not_told(void) { return grid_warps(NO_ACQUIRE); }
static int grid_lanes(int bug) {
  unsigned flags[4] = {0};
  void *h = device(4), *y = device(4), *df = upload(flags, sizeof flags);
  simt_launch shape = {{3, 1, 1}, {32, 1, 1}, {1, 1, 1}, 0, 1};
  int result = RUN("grid_lanes", shape, ARG(h), ARG(df), ARG(y), ARG(bug));
  if (bug) return result;
  OK(result);
  CHECK(*(const unsigned *)host(y, 4) == 7, "value");
  return 0;
}
static int test_grid_lanes(void) { return grid_lanes(RIGHT); }
static int bug_lane_no_fence(void) { return grid_lanes(NO_RELEASE); }
static int grid_handed_on(int bug) {
  unsigned flags[2] = {0};
  void *h = device(4), *y = device(4), *df = upload(flags, sizeof flags);
  simt_launch shape = {{3, 1, 1}, {1, 1, 1}, {1, 1, 1}, 0, 1};
  int result = RUN("grid_handed_on", shape, ARG(h), ARG(df), ARG(y), ARG(bug));
  if (bug) return result;
  OK(result);
  CHECK(*(const unsigned *)host(y, 4) == 7, "value");
  return 0;
}
static int test_grid_handed_on(void) { return grid_handed_on(RIGHT); }
static int bug_not_handed_on(void) { return grid_handed_on(NO_RELEASE); }
static int grid_sum(int bug) {
  unsigned zero = 0;
  void *sum = upload(&zero, 4);
  simt_launch shape = {{BLOCKS, 1, 1}, {THREADS, 1, 1}, {1, 1, 1}, 0, 1};
  int result = RUN("grid_sum", shape, ARG(sum), ARG(bug));
  if (bug) return result;
  OK(result);
  CHECK(*(const unsigned *)host(sum, 4) == N, "sum");
  return 0;
}
static int test_grid_sum(void) { return grid_sum(RIGHT); }
static int bug_sum_of_block_scope(void) { return grid_sum(BLOCK_SCOPE); }
static int test_grid_halves(void) {
  void *h = device(2 * N);
  simt_launch shape = {{BLOCKS, 1, 1}, {THREADS, 1, 1}, {1, 1, 1}, 0, 1};
  OK(RUN("grid_halves", shape, ARG(h)));
  for (int n = 0; n < N; n++) CHECK(((const uint16_t *)host(h, 2 * N))[n] == n / BLOCKS + n % BLOCKS, "element %d", n);
  return 0;
}
/* SIMT_SPINS says how long a poll may go on: a kernel's own limit, which comes first, is no hang. */
static int test_grid_spin_limit(void) {
  unsigned zero = 0;
  void *flag = upload(&zero, 4), *error = upload(&zero, 4);
  int limit = 10000;
  simt_launch shape = {{2, 1, 1}, {32, 1, 1}, {1, 1, 1}, 0, 1};
  setenv("SIMT_SPINS", "1000000", 1);
  OK(RUN("grid_spin_limit", shape, ARG(flag), ARG(error), ARG(limit)));
  CHECK(*(const unsigned *)host(error, 4) == 1, "no error word");
  return 0;
}
#define GRID_BUG(name, form, bug) static int bug_##name(void) { return grid(form, bug); }
GRID_BUG(counter_not_released, COUNTER_RELEASE, NO_RELEASE)
GRID_BUG(counter_no_fence, COUNTER_FENCES, NO_RELEASE)
GRID_BUG(counter_no_acquire, COUNTER_RELEASE, NO_ACQUIRE)
GRID_BUG(counter_no_fence_behind, COUNTER_FENCES, NO_ACQUIRE)
GRID_BUG(nobody_fences, FENCE_BY_ALL, NO_RELEASE)
GRID_BUG(nobody_fences_behind, FENCE_BY_ALL, NO_ACQUIRE)
GRID_BUG(flag_not_released, FLAG_EACH, NO_RELEASE)
GRID_BUG(flag_no_acquire, FLAG_EACH, NO_ACQUIRE)
GRID_BUG(flag_no_fence, FLAG_EACH_FENCES, NO_RELEASE)
GRID_BUG(flag_plain, FLAG_EACH, PLAIN_FLAG)
GRID_BUG(no_block_barrier, COUNTER_RELEASE, NO_BLOCK_BARRIER)
GRID_BUG(fence_of_block, COUNTER_FENCES, BLOCK_SCOPE)
GRID_BUG(no_grid_barrier, COUNTER_RELEASE, NO_BARRIER)
GRID_BUG(in_place, COUNTER_RELEASE, IN_PLACE)
GRID_BUG(read_only_path, COUNTER_RELEASE, READ_ONLY_PATH)
GRID_BUG(one_absent, COUNTER_RELEASE, ONE_ABSENT)

/* ---- clusters ------------------------------------------------------------------------------------------------------ */
enum {
  C_RIGHT, C_NO_START, C_NO_END, C_NO_BARRIER, C_RELAXED, C_OFFSET, C_RANK, C_ARRIVE_TWICE, C_WAIT_ONLY, C_ENDED, C_MISALIGNED, C_UNWRITTEN
};
static int cooperative; /* the launch, too */
static int cluster_ring(unsigned size, int steps, int bug) {
  enum { T = 64, MOST = 16 };
  unsigned blocks = 2 * size;
  static unsigned h[2][2 * MOST][T];
  if (!simt_module_function(module, "cluster_ring")) return SKIPPED;
  void *dy = device(blocks * T * 4);
  simt_launch shape = {{blocks, 1, 1}, {T, 1, 1}, {size, 1, 1}, 0, cooperative};
  if (bug) return RUN("cluster_ring", shape, ARG(dy), ARG(steps), ARG(bug));
  OK(RUN("cluster_ring", shape, ARG(dy), ARG(steps), ARG(bug)));
  for (unsigned b = 0; b < blocks; b++)
    for (unsigned t = 0; t < T; t++) h[0][b][t] = b * T + t;
  for (int s = 0; s < steps; s++)
    for (unsigned b = 0; b < blocks; b++)
      for (unsigned t = 0; t < T; t++) h[(s + 1) % 2][b / size * size + (b + 1) % size][t] = 3 * h[s % 2][b][t] + (unsigned)s;
  const unsigned *y = host(dy, blocks * T * 4);
  for (unsigned b = 0; b < blocks; b++)
    for (unsigned t = 0; t < T; t++) {
      unsigned last = b / size * size + (b + size - 1) % size, want = h[steps % 2][b][t] + 5 * h[steps % 2][last][t];
      CHECK(y[b * T + t] == want, "cluster of %u, block %u thread %u: %u, not %u", size, b, t, y[b * T + t], want);
    }
  CHECK(counters.cluster_barriers == 2 * (unsigned)(steps + 2), "%llu cluster barriers", (unsigned long long)counters.cluster_barriers);
  CHECK(counters.cluster_stores == blocks * T * (unsigned)steps && counters.cluster_loads == blocks * T, "%llu and %llu accesses to other blocks",
        (unsigned long long)counters.cluster_stores, (unsigned long long)counters.cluster_loads);
  return 0;
}
static int test_cluster_ring(void) {
  for (cooperative = 0; cooperative < 2; cooperative++) {
    int r = cluster_ring(2, 5, C_RIGHT);
    if (!r) r = cluster_ring(8, 4, C_RIGHT);
    if (!r) r = cluster_ring(16, 3, C_RIGHT);
    if (r) return r;
  }
  return 0;
}
static int test_cluster_names(void) {
  if (!simt_module_function(module, "cluster_names")) return SKIPPED;
  void *dy = device(4 * 6 * 8 * 4);
  simt_launch shape = {{4, 6, 1}, {32, 1, 1}, {2, 2, 1}, 0, 0};
  OK(RUN("cluster_names", shape, ARG(dy)));
  for (unsigned by = 0; by < 6; by++)
    for (unsigned bx = 0; bx < 4; bx++) {
      const unsigned *p = (const unsigned *)host(dy, 4 * 6 * 8 * 4) + (by * 4 + bx) * 8;
      unsigned x = bx % 2, y = by % 2, cx = bx / 2, cy = by / 2, rank = y * 2 + x;
      unsigned want[8] = {x * 10 + y, 221, rank, x, cx * 10 + cy, 23, 1000 * cx + 100 * cy + 3 - rank, rank};
      for (int k = 0; k < 8; k++) CHECK(p[k] == want[k], "block %u,%u, value %d: %u, not %u", bx, by, k, p[k], want[k]);
    }
  return 0;
}
#define CLUSTER_BUG(name, bug) static int bug_##name(void) { return cluster_ring(4, 5, bug); }
CLUSTER_BUG(cluster_no_start, C_NO_START)
CLUSTER_BUG(cluster_no_end, C_NO_END)
CLUSTER_BUG(cluster_no_barrier, C_NO_BARRIER)
CLUSTER_BUG(cluster_relaxed, C_RELAXED)
CLUSTER_BUG(cluster_offset, C_OFFSET)
CLUSTER_BUG(cluster_rank, C_RANK)
CLUSTER_BUG(cluster_arrive_twice, C_ARRIVE_TWICE)
CLUSTER_BUG(cluster_wait_only, C_WAIT_ONLY)
CLUSTER_BUG(cluster_ended, C_ENDED)
CLUSTER_BUG(cluster_misaligned, C_MISALIGNED)
static int bug_cluster_end(void) {
  unsigned zero = 0;
  if (!simt_module_function(module, "cluster_end")) return SKIPPED;
  void *dy = device(128), *flag = upload(&zero, 4);
  simt_launch shape = {{2, 1, 1}, {32, 1, 1}, {2, 1, 1}, 0, 0};
  return RUN("cluster_end", shape, ARG(dy), ARG(flag));
}
static int bug_cluster_unwritten(void) { return cluster_ring(4, 0, C_UNWRITTEN); }

/* ---- mbarriers ----------------------------------------------------------------------------------------------------- */
enum { M_RIGHT, M_PARITY, M_NO_WAIT, M_BLOCK_SCOPE, M_TOO_MANY, M_INVALID, M_NO_INIT_BARRIER, M_SHORT, M_REMOTE_WAIT };
static int mbarrier_ring(int bug) {
  int steps = 6;
  if (!simt_module_function(module, "mbarrier_ring")) return SKIPPED;
  void *dy = device(128);
  if (bug) return RUN("mbarrier_ring", SHAPE(1, 64, 0), ARG(dy), ARG(steps), ARG(bug));
  OK(RUN("mbarrier_ring", SHAPE(1, 64, 0), ARG(dy), ARG(steps), ARG(bug)));
  for (unsigned l = 0; l < 32; l++) {
    unsigned sum = 0;
    for (int s = 0; s < steps; s++) sum = sum * 3 + (31 - l) * (31 - l) + (unsigned)s;
    CHECK(((const unsigned *)host(dy, 128))[l] == sum, "lane %u", l);
  }
  return 0;
}
/* Blocks of a ring hand their values on; size: of the cluster. */
static int hand_on(const char *kernel, unsigned size, int bug) {
  enum { B = 4, S = 6 };
  int steps = S;
  unsigned v[B][32], next[B][32];
  if (!simt_module_function(module, kernel)) return SKIPPED;
  void *dy = device(sizeof v);
  simt_launch shape = {{B, 1, 1}, {32, 1, 1}, {size, 1, 1}, 0, 0};
  if (bug) return RUN(kernel, shape, ARG(dy), ARG(steps), ARG(bug));
  OK(RUN(kernel, shape, ARG(dy), ARG(steps), ARG(bug)));
  for (unsigned b = 0; b < B; b++)
    for (unsigned t = 0; t < 32; t++) v[b][t] = b * 32 + t;
  for (int s = 0; s < S; s++) {
    for (unsigned b = 0; b < B; b++)
      for (unsigned t = 0; t < 32; t++) next[b][t] = v[b][t] * 3 + v[b / size * size + (b + size - 1) % size][31 - t];
    memcpy(v, next, sizeof v);
  }
  CHECK(!memcmp(host(dy, sizeof v), v, sizeof v), "values");
  return 0;
}
static int mbarrier_cluster(int bug) { return hand_on("mbarrier_cluster", 2, bug); }
static int async_ring(int bug) { return hand_on("async_ring", 4, bug); }
static int async_end(int bug) {
  enum { B = 8, C = 4 };
  if (!simt_module_function(module, "async_end")) return SKIPPED;
  void *dy = device(B * 128);
  simt_launch shape = {{B, 1, 1}, {32, 1, 1}, {C, 1, 1}, 0, 0};
  if (bug) return RUN("async_end", shape, ARG(dy), ARG(bug));
  OK(RUN("async_end", shape, ARG(dy), ARG(bug)));
  for (unsigned b = 0; b < B; b++)
    for (unsigned t = 0; t < 32; t++)
      CHECK(((const unsigned *)host(dy, B * 128))[b * 32 + t] == (b / C * C + (b + C - 1) % C) * 32 + 31 - t, "block %u thread %u", b, t);
  return 0;
}
static int arrivals_only(int bug) {
  if (!simt_module_function(module, "arrivals_only")) return SKIPPED;
  void *dy = device(128);
  simt_launch shape = {{2, 1, 1}, {32, 1, 1}, {2, 1, 1}, 0, 0};
  if (bug) return RUN("arrivals_only", shape, ARG(dy), ARG(bug));
  OK(RUN("arrivals_only", shape, ARG(dy), ARG(bug)));
  return 0;
}
static int multicast(int bug) {
  unsigned x[64];
  if (!simt_module_function(module, "multicast")) return SKIPPED;
  for (int n = 0; n < 64; n++) x[n] = random32();
  void *dx = upload(x, sizeof x), *dy = device(4 * 256);
  simt_launch shape = {{4, 1, 1}, {32, 1, 1}, {4, 1, 1}, 0, 0};
  if (bug) return RUN("multicast", shape, ARG(dx), ARG(dy), ARG(bug));
  OK(RUN("multicast", shape, ARG(dx), ARG(dy), ARG(bug)));
  for (int b = 0; b < 4; b++)
    for (int t = 0; t < 32; t++) CHECK(((const unsigned *)host(dy, 4 * 256))[b * 64 + t] == x[t] + x[t + 32], "block %d thread %d", b, t);
  CHECK(counters.global_load_bytes == sizeof x, "%llu bytes loaded", (unsigned long long)counters.global_load_bytes);
  return 0;
}
static int bulk_load(int bug) {
  enum { COUNT = 200 };
  unsigned x[COUNT];
  int n = COUNT;
  for (int k = 0; k < COUNT; k++) x[k] = random32();
  if (!simt_module_function(module, "bulk_load")) return SKIPPED;
  void *dx = upload(x, sizeof x), *dy = device(sizeof x);
  if (bug) return RUN("bulk_load", SHAPE(1, 64, 0), ARG(dx), ARG(dy), ARG(n), ARG(bug));
  OK(RUN("bulk_load", SHAPE(1, 64, 0), ARG(dx), ARG(dy), ARG(n), ARG(bug)));
  for (int k = 0; k < COUNT; k++) CHECK(((const unsigned *)host(dy, sizeof x))[k] == x[COUNT - 1 - k], "element %d", k);
  CHECK(counters.global_load_bytes == sizeof x, "%llu bytes loaded", (unsigned long long)counters.global_load_bytes);
  return 0;
}
static int test_mbarrier_ring(void) { return mbarrier_ring(M_RIGHT); }
static int test_mbarrier_cluster(void) { return mbarrier_cluster(M_RIGHT); }
static int test_async_ring(void) { return async_ring(M_RIGHT); }
static int test_async_end(void) { return async_end(M_RIGHT); }
static int test_arrivals_only(void) { return arrivals_only(M_RIGHT); }
static int test_multicast(void) { return multicast(M_RIGHT); }
static int test_bulk_load(void) { return bulk_load(M_RIGHT); }
#define MBARRIER_BUG(name, kernel, bug) static int bug_##name(void) { return kernel(bug); }
MBARRIER_BUG(mbarrier_parity, mbarrier_ring, M_PARITY)
MBARRIER_BUG(mbarrier_no_wait, mbarrier_ring, M_NO_WAIT)
MBARRIER_BUG(mbarrier_too_many, mbarrier_ring, M_TOO_MANY)
MBARRIER_BUG(mbarrier_invalid, mbarrier_ring, M_INVALID)
MBARRIER_BUG(mbarrier_peer_no_wait, mbarrier_cluster, M_NO_WAIT)
MBARRIER_BUG(mbarrier_peer_scope, mbarrier_cluster, M_BLOCK_SCOPE)
MBARRIER_BUG(mbarrier_peer_init, mbarrier_cluster, M_NO_INIT_BARRIER)
MBARRIER_BUG(mbarrier_peer_test, mbarrier_cluster, M_REMOTE_WAIT)
MBARRIER_BUG(async_no_wait, async_ring, M_NO_WAIT)
MBARRIER_BUG(async_other_mbarrier, async_ring, M_REMOTE_WAIT)
MBARRIER_BUG(async_end_no_wait, async_end, M_NO_WAIT)
MBARRIER_BUG(arrivals_no_wait, arrivals_only, M_NO_WAIT)
MBARRIER_BUG(arrivals_and_more, arrivals_only, M_BLOCK_SCOPE)
MBARRIER_BUG(bulk_no_wait, bulk_load, M_NO_WAIT)
MBARRIER_BUG(multicast_no_wait, multicast, M_NO_WAIT)
MBARRIER_BUG(multicast_short, multicast, M_SHORT)
MBARRIER_BUG(bulk_short, bulk_load, M_SHORT)

/* ---- a layer --------------------------------------------------------------------------------------------------------- */
enum { L_RIGHT, L_NO_BARRIER, L_NOT_TRANSPOSED, L_ONE_BUFFER };
static int cluster_layer(int bug) {
  enum { H = 64, B = 8, S = 5 };
  static uint16_t r[H * H];
  static float x[S * H * B];
  static int weight[H * H], h[2][H][B];
  int steps = S, differ = 0;
  if (!simt_module_function(module, "cluster_layer")) return SKIPPED;
  for (int n = 0; n < H * H; n++) r[n] = half_bits((float)(weight[n] = (int)(random32() % 3) - 1));
  for (int n = 0; n < S * H * B; n++) x[n] = (float)(int)(random32() % 16);
  void *dr = upload(r, sizeof r), *dx = upload(x, sizeof x), *dy = device(H * B * 4);
  simt_launch shape = {{4, 1, 1}, {32, 1, 1}, {4, 1, 1}, 0, 0};
  int result = RUN("cluster_layer", shape, ARG(dr), ARG(dx), ARG(dy), ARG(steps), ARG(bug));
  if (bug == L_NO_BARRIER || bug == L_ONE_BUFFER) return result;
  OK(result);
  memset(h, 0, sizeof h);
  for (int s = 0; s < S; s++)
    for (int j = 0; j < H; j++)
      for (int n = 0; n < B; n++) {
        int sum = (int)x[(s * H + j) * B + n];
        for (int k = 0; k < H; k++) sum += weight[j * H + k] * h[s % 2][k][n];
        h[(s + 1) % 2][j][n] = sum & 7;
      }
  for (int j = 0; j < H * B; j++) differ += ((const float *)host(dy, H * B * 4))[j] != (float)h[S % 2][j / B][j % B];
  if (bug) { CHECK(differ > H * B / 4, "only %d values are wrong", differ); return 0; }
  CHECK(!differ, "%d values are wrong", differ);
  CHECK(counters.global_load_bytes == sizeof r + sizeof x, "%llu bytes loaded", (unsigned long long)counters.global_load_bytes);
  CHECK(counters.cluster_barriers == S + 1 && counters.barriers == 0 && counters.atomics == 0, "%llu cluster barriers", (unsigned long long)counters.cluster_barriers);
  CHECK(counters.mma == S * 4 * 4 && counters.cluster_stores == S * 4 * 3 * 64, "%llu mma", (unsigned long long)counters.mma);
  CHECK(other_seed() || counters.shared_bank_conflicts == 0, "%llu bank conflicts", (unsigned long long)counters.shared_bank_conflicts);
  return 0;
}
static int test_cluster_layer(void) { return cluster_layer(L_RIGHT); }
static int test_cluster_layer_wrong_fragment(void) { return cluster_layer(L_NOT_TRANSPOSED); }
static int bug_layer_no_barrier(void) { return cluster_layer(L_NO_BARRIER); }
static int bug_layer_one_buffer(void) { return cluster_layer(L_ONE_BUFFER); }

static const test tests[] = {
  T(grid_forms), T(grid_warps), T(grid_lanes), T(grid_handed_on), T(grid_sum), T(grid_halves), T(grid_spin_limit), T(cluster_ring), T(cluster_names), T(mbarrier_ring), T(mbarrier_cluster), T(async_ring), T(async_end), T(arrivals_only), T(bulk_load), T(multicast),
  T(cluster_layer), T(cluster_layer_wrong_fragment), BUG(bug_layer_no_barrier, "racecheck"), BUG(bug_layer_one_buffer, "racecheck"),
  BUG(bug_counter_not_released, "racecheck"), BUG(bug_counter_no_fence, "racecheck"), BUG(bug_counter_no_acquire, "racecheck"),
  BUG(bug_counter_no_fence_behind, "racecheck"), BUG(bug_nobody_fences, "racecheck"), BUG(bug_nobody_fences_behind, "racecheck"), BUG(bug_lane_no_fence, "racecheck"),
  BUG(bug_not_handed_on, "racecheck"), BUG(bug_sum_of_block_scope, "racecheck"),
  BUG(bug_flag_not_released, "racecheck"),
  BUG(bug_flag_no_acquire, "racecheck"), BUG(bug_flag_no_fence, "racecheck"), BUG(bug_flag_plain, "racecheck"),
  BUG(bug_no_block_barrier, "racecheck"), BUG(bug_lanes_not_released, "racecheck"), BUG(bug_lanes_not_told, "racecheck"), BUG(bug_fence_of_block, "racecheck"), BUG(bug_no_grid_barrier, "racecheck"),
  BUG(bug_in_place, "racecheck"), BUG(bug_read_only_path, "read-only path"), BUG(bug_one_absent, "hang"),
  BUG(bug_cluster_no_start, "may not have begun"), BUG(bug_cluster_no_end, "may still use its shared memory|which has ended"),
  BUG(bug_cluster_end, "may still use its shared memory"),
  BUG(bug_cluster_no_barrier, "of block"), BUG(bug_cluster_relaxed, "of block"), BUG(bug_cluster_offset, "out of bounds"),
  BUG(bug_cluster_rank, "block rank 4 in a cluster of 4"), BUG(bug_cluster_arrive_twice, "arrives at the cluster barrier again"),
  BUG(bug_cluster_wait_only, "without having arrived"), BUG(bug_cluster_ended, "which has ended"), BUG(bug_cluster_misaligned, "misaligned"),
  BUG(bug_cluster_unwritten, "initcheck"),
  BUG(bug_mbarrier_parity, "racecheck|hang"), BUG(bug_mbarrier_no_wait, "racecheck"), BUG(bug_mbarrier_too_many, "more arrivals"),
  BUG(bug_mbarrier_invalid, "initcheck"), BUG(bug_mbarrier_peer_no_wait, "racecheck"), BUG(bug_mbarrier_peer_scope, "racecheck"),
  BUG(bug_mbarrier_peer_init, "racecheck"), BUG(bug_mbarrier_peer_test, "can only be arrived at"), BUG(bug_async_no_wait, "by the copy engine of block"),
  BUG(bug_async_other_mbarrier, "an mbarrier of another"), BUG(bug_async_end_no_wait, "may still use its shared memory|which has ended"),
  BUG(bug_arrivals_no_wait, "may still use its shared memory|which has ended"), BUG(bug_arrivals_and_more, "may still use its shared memory"),
  BUG(bug_bulk_no_wait, "by the copy engine"),
  BUG(bug_bulk_short, "hang"), BUG(bug_multicast_no_wait, "by the copy engine"), BUG(bug_multicast_short, "hang"),
};

int main(int argc, char **argv) { return run_tests(argc, argv, tests, sizeof tests / sizeof *tests); }
