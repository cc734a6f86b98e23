// persistent.cu: device code for persistent_test.c: blocks that exchange values step by step, as a persistent recurrent layer
// does: through global memory with hand-written grid barriers, through distributed shared memory with cluster barriers and
// with mbarriers. Each kernel takes the number of a planted bug; 0 is the right program. Compiled for sm_80 and sm_90.
#include <cooperative_groups.h>
#include <cuda_fp16.h>
namespace cg = cooperative_groups;
#define K extern "C" __global__ void

// ---- grid barriers ----------------------------------------------------------------------------------------------------
enum form { COUNTER_RELEASE, COUNTER_FENCES, FENCE_BY_ALL, FLAG_EACH, FLAG_EACH_FENCES, FORMS };
enum grid_bug {
  RIGHT, NO_RELEASE, NO_ACQUIRE, NO_BLOCK_BARRIER, BLOCK_SCOPE, NO_BARRIER, IN_PLACE, READ_ONLY_PATH, ONE_ABSENT, PLAIN_FLAG
};
__device__ void add_release(unsigned *p) { asm volatile("red.release.gpu.global.add.u32 [%0], 1;" :: "l"(p) : "memory"); }
__device__ void add_relaxed(unsigned *p) { asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" :: "l"(p) : "memory"); }
__device__ void store_release(unsigned *p, unsigned v) { asm volatile("st.release.gpu.global.u32 [%0], %1;" :: "l"(p), "r"(v) : "memory"); }
__device__ void store_relaxed(unsigned *p, unsigned v) { asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" :: "l"(p), "r"(v) : "memory"); }
__device__ unsigned load_acquire(const unsigned *p) { unsigned v; asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v; }
__device__ unsigned load_relaxed(const unsigned *p) { unsigned v; asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory"); return v; }

__device__ void arrive(unsigned *flags, unsigned step, int form, int bug) {
  if (form == FENCE_BY_ALL && bug != NO_RELEASE) __threadfence();
  if (bug != NO_BLOCK_BARRIER) __syncthreads();
  if (threadIdx.x) return;
  switch (form) {
    case COUNTER_RELEASE: if (bug == NO_RELEASE) add_relaxed(flags); else add_release(flags); break;
    case COUNTER_FENCES:
      if (bug == BLOCK_SCOPE) __threadfence_block(); else if (bug != NO_RELEASE) __threadfence();
      atomicAdd(flags, 1);
      break;
    case FENCE_BY_ALL: atomicAdd(flags, 1); break;
    case FLAG_EACH:
      if (bug == PLAIN_FLAG) { __threadfence(); flags[blockIdx.x] = step; }
      else if (bug == NO_RELEASE) store_relaxed(flags + blockIdx.x, step);
      else store_release(flags + blockIdx.x, step);
      break;
    default: if (bug != NO_RELEASE) __threadfence(); *(volatile unsigned *)(flags + blockIdx.x) = step;
  }
}
__device__ void wait(const unsigned *flags, unsigned step, int form, int bug) {
  unsigned all = step * gridDim.x;
  if (form >= FLAG_EACH) {
    for (unsigned b = threadIdx.x; b < gridDim.x; b += blockDim.x)
      if (form == FLAG_EACH_FENCES || bug == NO_ACQUIRE) {
        while ((bug == NO_ACQUIRE ? load_relaxed(flags + b) : *(const volatile unsigned *)(flags + b)) < step) __nanosleep(20);
        if (bug != NO_ACQUIRE) __threadfence();
      } else while (load_acquire(flags + b) < step) __nanosleep(20);
  } else if (threadIdx.x == 0) {
    if (form == COUNTER_RELEASE && bug != NO_ACQUIRE) while (load_acquire(flags) < all) __nanosleep(20);
    else {
      while (*(const volatile unsigned *)flags < all) {}
      if (bug != NO_ACQUIRE && form != FENCE_BY_ALL) __threadfence();
    }
  }
  __syncthreads();
  if (form == FENCE_BY_ALL && bug != NO_ACQUIRE) __threadfence();
}
// h (2, n) of n threads: each step a thread adds its neighbours' values, in the next block too.
K grid_exchange(unsigned *h, unsigned *flags, int steps, int form, int bug) {
  unsigned n = gridDim.x * blockDim.x, me = blockIdx.x * blockDim.x + threadIdx.x;
  for (int t = 0; t < steps; t++) {
    const unsigned *from = h + (bug == IN_PLACE ? 0 : t % 2 * n);
    unsigned *to = h + (bug == IN_PLACE ? 0 : (t + 1) % 2 * n);
    unsigned next = bug == READ_ONLY_PATH ? __ldg(from + (me + blockDim.x + 1) % n) : from[(me + blockDim.x + 1) % n];
    to[me] = 3 * from[me] + next + t;
    if (bug == NO_BARRIER) continue;
    if (bug == ONE_ABSENT && blockIdx.x == 1) return;
    arrive(flags, t + 1, form, bug);
    wait(flags, t + 1, form, bug);
  }
}
// The same by blocks of one warp, which need no barrier of the block; its lanes must meet all the same.
K grid_warps(unsigned *h, unsigned *flags, int steps, int bug) {
  unsigned n = gridDim.x * 32, me = blockIdx.x * 32 + threadIdx.x;
  for (int t = 0; t < steps; t++) {
    const unsigned *from = h + t % 2 * n;
    h[(t + 1) % 2 * n + me] = 3 * from[me] + from[(me + 33) % n] + t;
    if (bug != NO_RELEASE) __syncwarp();
    if (threadIdx.x == 0) {
      add_release(flags);
      while (load_acquire(flags) < (t + 1) * gridDim.x) __nanosleep(20);
    }
    if (bug != NO_ACQUIRE) { __syncwarp(); continue; }
    // The others do go on later, but nothing that they acquire says so.
    volatile unsigned *told = flags + 1 + blockIdx.x;
    if (threadIdx.x == 0) *told = t + 1; else while (*told <= t) __nanosleep(20);
  }
}
// Block 0 tells lane 0 of block 1, which fences and tells block 2, while another lane of its warp fences, too: no race.
K grid_lanes(unsigned *h, unsigned *flags, unsigned *y, int bug) {
  unsigned lane = threadIdx.x;
  if (blockIdx.x == 0 && lane == 0) { h[0] = 7; store_release(flags, 1); }
  if (blockIdx.x == 1 && lane == 0) {
    while (load_acquire(flags) == 0) __nanosleep(20);
    if (bug != NO_RELEASE) __threadfence();
    for (int n = 0; n < 1000; n++) if (load_relaxed(flags + 2)) break;
    store_relaxed(flags + 1, 1);
  } else if (blockIdx.x == 1 && lane == 1)
    for (int n = 0; n < 500; n++) { if (load_relaxed(flags + 3)) break; if (n % 50 == 49) __threadfence(); }
  if (blockIdx.x == 2 && lane == 0) { while (load_acquire(flags + 1) == 0) __nanosleep(20); *y = h[0]; }
}
// Block 1 changes the flag that block 0 has set: by a read-modify-write it hands on what that released, by a store it does not.
K grid_handed_on(unsigned *h, unsigned *flags, unsigned *y, int bug) {
  if (blockIdx.x == 0) { h[0] = 7; store_release(flags, 1); return; }
  if (blockIdx.x == 1) {
    while (load_relaxed(flags) == 0) __nanosleep(20);
    if (bug == NO_RELEASE) store_relaxed(flags, 2); else add_relaxed(flags);
    store_relaxed(flags + 1, 1);
    return;
  }
  while (load_relaxed(flags + 1) == 0) __nanosleep(20);
  while (load_acquire(flags) < 2) __nanosleep(20);
  *y = h[0];
}
// A sum over blocks, which atomics of a block's scope do not make.
K grid_sum(unsigned *sum, int bug) { if (bug == BLOCK_SCOPE) atomicAdd_block(sum, 1); else atomicAdd(sum, 1); }
// Neighbours of two bytes: no race, whoever writes the other half of the word.
K grid_halves(unsigned short *h) { h[threadIdx.x * gridDim.x + blockIdx.x] = (unsigned short)(threadIdx.x + blockIdx.x); }
// Gives up after so many polls and says so, in place of a hang.
K grid_spin_limit(unsigned *flag, unsigned *error, int limit) {
  for (int n = 0; load_acquire(flag) == 0; n++)
    if (n == limit) { atomicOr(error, 1u); return; }
}

// ---- clusters ---------------------------------------------------------------------------------------------------------
#if __CUDA_ARCH__ >= 900
enum cluster_bug {
  C_RIGHT, C_NO_START, C_NO_END, C_NO_BARRIER, C_RELAXED, C_OFFSET, C_RANK, C_ARRIVE_TWICE, C_WAIT_ONLY, C_ENDED, C_MISALIGNED, C_UNWRITTEN
};
__device__ unsigned map(const void *local, unsigned rank) {
  unsigned at = (unsigned)__cvta_generic_to_shared(local), r;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(r) : "r"(at), "r"(rank));
  return r;
}
__device__ void store_peer(unsigned at, unsigned v) { asm volatile("st.shared::cluster.u32 [%0], %1;" :: "r"(at), "r"(v) : "memory"); }
__device__ unsigned load_peer(unsigned at) { unsigned v; asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(v) : "r"(at) : "memory"); return v; }
__device__ void cluster_arrive(bool relaxed) {
  if (relaxed) asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
  else asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
}
__device__ void cluster_wait() { asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory"); }
__device__ unsigned cluster_rank() { unsigned r; asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(r)); return r; }
__device__ unsigned cluster_size() { unsigned r; asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(r)); return r; }

// y (clusters, blocks, threads): a ring of all threads of a cluster, where each pushes its value into the next block's shared
// memory, and at the end pulls one out of the block before.
K cluster_ring(unsigned *y, int steps, int bug) {
  __shared__ unsigned h[2][64];
  unsigned t = threadIdx.x, rank = cluster_rank(), size = cluster_size(), next = (rank + 1) % size, last = (rank + size - 1) % size;
  h[0][t] = blockIdx.x * 64 + t;
  if (bug != C_NO_START) { cluster_arrive(true); if (bug == C_ARRIVE_TWICE) cluster_arrive(true); cluster_wait(); }
  if (bug == C_WAIT_ONLY) cluster_wait();
  if (bug == C_ENDED && rank == 1) return;
  if (bug == C_ENDED) { for (int n = 0; n < 20000; n++) asm volatile(""); }
  for (int s = 0; s < steps; s++) {
    unsigned at = map(&h[(s + 1) % 2][t], bug == C_RANK ? size : next);
    store_peer(bug == C_OFFSET ? at + 65536 : bug == C_MISALIGNED ? at + 2 : at, 3 * h[s % 2][t] + s);
    if (bug == C_NO_BARRIER) { __syncthreads(); continue; }
    cluster_arrive(bug == C_RELAXED);
    cluster_wait();
  }
  unsigned pulled = load_peer(map(&h[bug == C_UNWRITTEN ? 1 : steps % 2][t], last));
  y[blockIdx.x * 64 + t] = h[steps % 2][t] + 5 * pulled;
  if (bug != C_NO_END) { cluster_arrive(false); cluster_wait(); }
}
// One block pulls and then says so by a flag that orders nothing; the other ends when it has seen the flag.
K cluster_end(unsigned *y, volatile unsigned *flag) {
  __shared__ unsigned h[32];
  unsigned t = threadIdx.x;
  h[t] = t;
  cluster_arrive(false);
  cluster_wait();
  if (cluster_rank() == 1) { while (*flag == 0) __nanosleep(20); return; }
  y[t] = load_peer(map(&h[t], 1));
  __syncwarp();
  if (t == 0) *flag = 1;
}
// Cooperative groups, in a cluster that the kernel itself asks for; and every name of a place in it.
K __cluster_dims__(2, 2, 1) cluster_names(unsigned *y) {
  cg::cluster_group cluster = cg::this_cluster();
  __shared__ unsigned mine;
  dim3 in = cluster.block_index(), dims = cluster.dim_blocks();
  unsigned x, z, cx, cy, nx, ny;
  asm("mov.u32 %0, %%cluster_ctaid.x;" : "=r"(x)); asm("mov.u32 %0, %%cluster_nctaid.z;" : "=r"(z));
  asm("mov.u32 %0, %%clusterid.x;" : "=r"(cx)); asm("mov.u32 %0, %%clusterid.y;" : "=r"(cy));
  asm("mov.u32 %0, %%nclusterid.x;" : "=r"(nx)); asm("mov.u32 %0, %%nclusterid.y;" : "=r"(ny));
  if (threadIdx.x == 0) mine = 1000 * cx + 100 * cy + cluster.block_rank();
  cluster.sync();
  unsigned *p = y + (blockIdx.y * gridDim.x + blockIdx.x) * 8;
  unsigned other = *cluster.map_shared_rank(&mine, cluster.num_blocks() - 1 - cluster.block_rank());
  if (threadIdx.x == 0) {
    p[0] = in.x * 10 + in.y; p[1] = dims.x * 100 + dims.y * 10 + z; p[2] = cluster.block_rank(); p[3] = x; p[4] = cx * 10 + cy;
    p[5] = nx * 10 + ny; p[6] = other; p[7] = cluster.query_shared_rank(&mine);
  }
  cluster.sync();
}

// ---- mbarriers --------------------------------------------------------------------------------------------------------
enum mbarrier_bug { M_RIGHT, M_PARITY, M_NO_WAIT, M_BLOCK_SCOPE, M_TOO_MANY, M_INVALID, M_NO_INIT_BARRIER, M_SHORT, M_REMOTE_WAIT };
typedef unsigned long long mbarrier;
__device__ unsigned shared_address(const void *p) { return (unsigned)__cvta_generic_to_shared(p); }
__device__ void mb_init(mbarrier *b, unsigned n) { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(shared_address(b)), "r"(n) : "memory"); }
__device__ void mb_invalidate(mbarrier *b) { asm volatile("mbarrier.inval.shared::cta.b64 [%0];" :: "r"(shared_address(b)) : "memory"); }
__device__ void mb_arrive(mbarrier *b) { asm volatile("{ .reg .b64 s; mbarrier.arrive.shared::cta.b64 s, [%0]; }" :: "r"(shared_address(b)) : "memory"); }
__device__ void mb_expect(mbarrier *b, unsigned bytes) {
  asm volatile("{ .reg .b64 s; mbarrier.arrive.expect_tx.shared::cta.b64 s, [%0], %1; }" :: "r"(shared_address(b)), "r"(bytes) : "memory");
}
__device__ void mb_arrive_peer(unsigned at, bool block_scope) {
  if (block_scope) asm volatile("mbarrier.arrive.release.cta.shared::cluster.b64 _, [%0];" :: "r"(at) : "memory");
  else asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" :: "r"(at) : "memory");
}
__device__ void mb_wait(mbarrier *b, unsigned parity) {
  unsigned done = 0;
  while (!done)
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(shared_address(b)), "r"(parity) : "memory");
}
__device__ void mb_wait_cluster(mbarrier *b, unsigned parity) {
  unsigned done = 0;
  while (!done)
    asm volatile("{ .reg .pred p; mbarrier.test_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
                 : "=r"(done) : "r"(shared_address(b)), "r"(parity) : "memory");
}

// Warp 0 fills a buffer, warp 1 uses it, `steps` times: full and empty are mbarriers of a warp's lanes each.
K mbarrier_ring(unsigned *y, int steps, int bug) {
  __shared__ mbarrier full, empty;
  __shared__ unsigned buffer[32];
  unsigned lane = threadIdx.x % 32, sum = 0;
  if (threadIdx.x == 0) { mb_init(&full, 32); mb_init(&empty, 32); }
  __syncthreads();
  if (bug == M_INVALID) { if (threadIdx.x == 0) mb_invalidate(&full); __syncthreads(); }
  for (int s = 0; s < steps; s++) {
    if (threadIdx.x < 32) {
      if (s && bug != M_NO_WAIT) mb_wait(&empty, (s - 1) & 1);
      buffer[lane] = lane * lane + s;
      if (s && bug == M_NO_WAIT) mb_wait(&empty, (s - 1) & 1); // too late
      if (bug == M_TOO_MANY) asm volatile("{ .reg .b64 s; mbarrier.arrive.shared::cta.b64 s, [%0], 33; }" :: "r"(shared_address(&full)) : "memory");
      mb_arrive(&full);
    } else {
      mb_wait(&full, (s & 1) ^ (bug == M_PARITY)); // the phase before the first counts as complete
      sum = sum * 3 + buffer[31 - lane];
      mb_arrive(&empty);
    }
  }
  if (threadIdx.x >= 32) y[lane] = sum;
}
// Each block of a cluster tells the next one that its values are there, and waits for the one before; no cluster barrier
// between the first and the last.
K mbarrier_cluster(unsigned *y, int steps, int bug) {
  __shared__ mbarrier ready[2];
  __shared__ unsigned h[2][32];
  unsigned t = threadIdx.x, rank = cluster_rank(), size = cluster_size(), next = (rank + 1) % size, v = blockIdx.x * 32 + t;
  if (t == 0) { mb_init(&ready[0], 32); mb_init(&ready[1], 32); }
  if (bug == M_NO_INIT_BARRIER) { if (rank == 0) { cluster_arrive(true); cluster_wait(); } else { cluster_arrive(true); cluster_wait(); } }
  else { cluster_arrive(false); cluster_wait(); }
  for (int s = 0; s < steps; s++) {
    int b = s % 2;
    store_peer(map(&h[b][t], next), v);
    mb_arrive_peer(map(&ready[b], next), bug == M_BLOCK_SCOPE);
    if (bug != M_NO_WAIT) mb_wait_cluster(&ready[b], s / 2 & 1);
    v = v * 3 + h[b][31 - t];
    if (bug == M_REMOTE_WAIT) {
      asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.b64 p, [%0], 0; }" :: "l"(__cvta_shared_to_generic(map(&ready[b], next))) : "memory");
    }
    __syncwarp(); // the buffer is written again two steps on, after a whole turn of the ring of 2 blocks
  }
  y[blockIdx.x * 32 + t] = v;
  cluster_arrive(false);
  cluster_wait();
}
// Block 0 waits at the scope of a block until all lanes of block 1 have arrived: it learns nothing but that, and may end.
K arrivals_only(unsigned *y, int bug) {
  __shared__ mbarrier full;
  __shared__ unsigned h;
  if (threadIdx.x == 0) mb_init(&full, 32);
  cluster_arrive(false);
  cluster_wait();
  if (cluster_rank() == 1) {
    if (bug == M_BLOCK_SCOPE && threadIdx.x == 0) store_peer(map(&h, 0), 1);
    mb_arrive_peer(map(&full, 0), true);
  } else {
    if (bug != M_NO_WAIT) mb_wait(&full, 0);
    y[threadIdx.x] = 1;
  }
}
// The ring of cluster_ring with st.async: the values come with the bytes that their block's mbarrier counts.
K async_ring(unsigned *y, int steps, int bug) {
  __shared__ mbarrier full[2];
  __shared__ unsigned h[2][32];
  unsigned t = threadIdx.x, rank = cluster_rank(), size = cluster_size(), next = (rank + 1) % size, v = blockIdx.x * 32 + t;
  if (t == 0) {
    mb_init(&full[0], 1); mb_init(&full[1], 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  cluster_arrive(false);
  cluster_wait();
  for (int s = 0; s < steps; s++) {
    int b = s % 2;
    if (t == 0) mb_expect(&full[b], 128);
    asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];"
                 :: "r"(map(&h[b][t], next)), "r"(v), "r"(map(&full[b], bug == M_REMOTE_WAIT ? rank : next)) : "memory");
    if (bug == M_NO_WAIT) { cluster_arrive(false); cluster_wait(); } // not enough: it says nothing of the copies
    else mb_wait_cluster(&full[b], s / 2 & 1);
    v = v * 3 + h[b][31 - t];
    cluster_arrive(false); // before the buffers are used again
    cluster_wait();
  }
  y[blockIdx.x * 32 + t] = v;
}
// Blocks that end as soon as all has come that others send them: no barrier at the end, and none is needed.
K async_end(unsigned *y, int bug) {
  __shared__ mbarrier full;
  __shared__ unsigned h[32];
  unsigned t = threadIdx.x, rank = cluster_rank(), size = cluster_size(), next = (rank + 1) % size, v = blockIdx.x * 32 + t;
  if (t == 0) mb_init(&full, 33);
  cluster_arrive(false);
  cluster_wait();
  if (t == 0) mb_expect(&full, 128);
  asm volatile("st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 [%0], %1, [%2];"
               :: "r"(map(&h[t], next)), "r"(v), "r"(map(&full, next)) : "memory");
  mb_arrive_peer(map(&full, next), false);
  if (bug != M_NO_WAIT) mb_wait_cluster(&full, 0);
  y[blockIdx.x * 32 + t] = bug == M_NO_WAIT ? 0 : h[31 - t];
  __syncwarp();
  if (t == 0 && !bug) mb_invalidate(&full);
}
// A bulk copy from global to shared memory, whose bytes an mbarrier counts.
K bulk_load(const unsigned *x, unsigned *y, int n, int bug) {
  __shared__ __align__(16) unsigned s[256];
  __shared__ mbarrier full;
  if (threadIdx.x == 0) {
    mb_init(&full, 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    mb_expect(&full, bug == M_SHORT ? 4 * n + 16 : 4 * n);
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :: "r"(shared_address(s)), "l"(x), "r"(4 * n), "r"(shared_address(&full)) : "memory");
  }
  if (bug == M_NO_WAIT) __syncthreads(); else mb_wait(&full, 0);
  for (int i = threadIdx.x; i < n; i += blockDim.x) y[i] = s[n - 1 - i];
}

// The first block of a cluster loads for all: the same bytes to the same place of each, counted by each block's mbarrier.
K multicast(const unsigned *x, unsigned *y, int bug) {
  __shared__ __align__(16) unsigned s[64];
  __shared__ mbarrier full;
  unsigned t = threadIdx.x;
  if (t == 0) mb_init(&full, 1);
  __syncwarp();
  if (t == 0) mb_expect(&full, 256);
  cluster_arrive(false);
  cluster_wait();
  if (t == 0 && cluster_rank() == 0)
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1], 256, [%2], %3;"
                 :: "r"(shared_address(s)), "l"(x), "r"(shared_address(&full)), "h"((unsigned short)(bug == M_SHORT ? 0x7 : 0xf)) : "memory");
  if (bug == M_NO_WAIT) { cluster_arrive(false); cluster_wait(); } else mb_wait(&full, 0);
  y[blockIdx.x * 64 + t] = s[t] + s[t + 32];
  cluster_arrive(false);
  cluster_wait();
}

// ---- all of it together: a recurrent layer kept in registers ----------------------------------------------------------
// h (64 units, batch of 8), a cluster of 4 blocks of one warp. Each holds the 16 rows of R (64, 64) for its units as fragments,
// multiplies them by h, which every block has whole in shared memory, adds x (steps, 64, 8), keeps three bits of the sum, and
// stores them into all blocks' next h. One cluster barrier a step; R is read once.
enum layer_bug { L_RIGHT, L_NO_BARRIER, L_NOT_TRANSPOSED, L_ONE_BUFFER };
__device__ unsigned bits3(float a, float b) {
  __half2 v = __floats2half2_rn((float)((int)a & 7), (float)((int)b & 7));
  return *(unsigned *)&v;
}
K cluster_layer(const __half *r, const float *x, float *y, int steps, int bug) {
  __shared__ __align__(16) __half h[2][64][8];
  unsigned rank = cluster_rank(), t = threadIdx.x, row = 16 * rank + t / 4, pair = t % 4 * 2, a[4][4];
  for (int k = 0; k < 4; k++)
    for (int n = 0; n < 4; n++) a[k][n] = *(const unsigned *)&r[(row + n % 2 * 8) * 64 + k * 16 + n / 2 * 8 + pair];
  for (int n = t; n < 64 * 4; n += 32) ((unsigned *)h[0])[n] = 0;
  cluster_arrive(false);
  cluster_wait();
  for (int s = 0; s < steps; s++) {
    int now = bug == L_ONE_BUFFER ? 0 : s % 2, then = bug == L_ONE_BUFFER ? 0 : (s + 1) % 2;
    const float2 *at = (const float2 *)&x[(s * 64 + row) * 8 + pair];
    float2 low = at[0], high = at[8 * 8 / 2];
    float d[4] = {low.x, low.y, high.x, high.y};
    for (int k = 0; k < 4; k += 2) {
      unsigned b[4], from = shared_address(&h[now][k * 16 + t][0]);
      if (bug == L_NOT_TRANSPOSED)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(from) : "memory");
      else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];" : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3]) : "r"(from) : "memory");
      for (int n = 0; n < 2; n++)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                     : "r"(a[k + n][0]), "r"(a[k + n][1]), "r"(a[k + n][2]), "r"(a[k + n][3]), "r"(b[2 * n]), "r"(b[2 * n + 1]));
    }
    unsigned upper = bits3(d[0], d[1]), lower = bits3(d[2], d[3]);
    for (unsigned p = 0; p < 4; p++) {
      store_peer(map(&h[then][row][pair], p), upper);
      store_peer(map(&h[then][row + 8][pair], p), lower);
    }
    if (bug == L_NO_BARRIER) __syncwarp();
    else { cluster_arrive(false); cluster_wait(); }
  }
  const __half *last = &h[bug == L_ONE_BUFFER ? 0 : steps % 2][16 * rank][0];
  for (int n = t; n < 16 * 8; n += 32) y[rank * 128 + n] = __half2float(last[n]);
  if (bug == L_NO_BARRIER) { cluster_arrive(false); cluster_wait(); }
}
#endif
