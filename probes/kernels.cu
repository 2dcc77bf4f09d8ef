// Kernels of the memory probes. Python appends the instances it wants (probes/kernels.py).
// No header is included: NVRTC knows all names used here by itself.

// A streaming access (evict first) or a plain one.
template <bool STREAM, typename T>
__device__ __forceinline__ T take(const T* p) {
  if (STREAM) return __ldcs(p);
  return *p;
}

template <bool STREAM, typename T>
__device__ __forceinline__ void put(T* p, T v) {
  if (STREAM) __stcs(p, v);
  else *p = v;
}

__device__ __forceinline__ unsigned folded(uint4 v) { return v.x + v.y + v.z + v.w; }

__device__ __forceinline__ float4 scaled_sum(float4 b, float4 c, float s) {
  return make_float4(b.x + s * c.x, b.y + s * c.y, b.z + s * c.z, b.w + s * c.w);
}

// Each block takes tiles of BLOCK * UNROLL vectors of 16 bytes, a grid's width apart; n vectors are whole tiles.
// A thread's UNROLL accesses do not depend on each other, so all are in flight at once.
#define EACH_TILE(at, n)                                                                     \
  _Pragma("unroll 1")                                                                        \
  for (long long at = (long long)blockIdx.x * (BLOCK * UNROLL) + threadIdx.x; at < (n);      \
       at += (long long)gridDim.x * (BLOCK * UNROLL))

// Sum of all words, modulo 2^32. The sum is kept where (sum & mask) == want: always for mask = want = 0, never
// for mask = 0, want = 1. Which it is depends on the data as far as the compiler can see, so every load stays.
template <int UNROLL, int BLOCK, bool STREAM>
__device__ __forceinline__ void read_all(const uint4* __restrict__ a, unsigned* out, long long n, unsigned mask,
                                         unsigned want) {
  unsigned sum = 0;
  EACH_TILE(at, n) {
    uint4 v[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) v[u] = take<STREAM>(a + at + u * BLOCK);
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) sum += folded(v[u]);
  }
  if ((sum & mask) == want) atomicAdd(out, sum);
}

template <int UNROLL, int BLOCK, bool STREAM>
__device__ __forceinline__ void write_all(float4* a, long long n, float s) {
  const float4 v = make_float4(s, s, s, s);
  EACH_TILE(at, n) {
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) put<STREAM>(a + at + u * BLOCK, v);
  }
}

template <int UNROLL, int BLOCK, bool STREAM>
__device__ __forceinline__ void copy_all(float4* __restrict__ a, const float4* __restrict__ b, long long n) {
  EACH_TILE(at, n) {
    float4 v[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) v[u] = take<STREAM>(b + at + u * BLOCK);
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) put<STREAM>(a + at + u * BLOCK, v[u]);
  }
}

// a = b + s * c
template <int UNROLL, int BLOCK, bool STREAM>
__device__ __forceinline__ void triad_all(float4* __restrict__ a, const float4* __restrict__ b,
                                          const float4* __restrict__ c, long long n, float s) {
  EACH_TILE(at, n) {
    float4 v[UNROLL], w[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) v[u] = take<STREAM>(b + at + u * BLOCK);
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) w[u] = take<STREAM>(c + at + u * BLOCK);
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) put<STREAM>(a + at + u * BLOCK, scaled_sum(v[u], w[u], s));
  }
}

// Reads `visits` tiles a block past the L1 caches: the grid sweeps round the ring of `tiles` again and again.
template <int UNROLL, int BLOCK>
__device__ __forceinline__ void sweep_ring(const uint4* a, unsigned* out, long long tiles, long long visits,
                                           unsigned mask, unsigned want) {
  const long long step = gridDim.x % tiles;
  long long tile = blockIdx.x % tiles;
  unsigned sum = 0;
#pragma unroll 1
  for (long long visit = 0; visit < visits; ++visit) {
    const uint4* p = a + tile * (BLOCK * UNROLL) + threadIdx.x;
    uint4 v[UNROLL];
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) v[u] = __ldcg(p + u * BLOCK);
#pragma unroll
    for (int u = 0; u < UNROLL; ++u) sum += folded(v[u]);
    tile += step;
    if (tile >= tiles) tile -= tiles;
  }
  if ((sum & mask) == want) atomicAdd(out, sum);
}

template <bool PAST_L1>
__device__ __forceinline__ unsigned long long follow(unsigned long long at) {
  const unsigned long long* p = (const unsigned long long*)at;
  if (PAST_L1) return __ldcg(p);
  return __ldca(p);
}

// One thread goes `hops` hops along a cycle of addresses, each hop a load that the next one waits for.
// state[0]: where it is, and where the next launch goes on; state[1], state[2]: cycles and hops so far.
template <bool PAST_L1>
__device__ __forceinline__ void chase(unsigned long long* state, long long hops) {
  unsigned long long at = state[0];
  const long long begin = clock64();
#pragma unroll 8
  for (long long hop = 0; hop < hops; ++hop) at = follow<PAST_L1>(at);
  state[0] = at;
  state[1] += clock64() - begin;
  state[2] += hops;
}

#define STREAMS(NAME, UNROLL, BLOCK, STREAM)                                                                  \
  extern "C" __global__ void __launch_bounds__(BLOCK) read_##NAME(const uint4* a, unsigned* out, long long n, \
                                                                  long long mask, long long want) {           \
    read_all<UNROLL, BLOCK, STREAM>(a, out, n, (unsigned)mask, (unsigned)want);                               \
  }                                                                                                           \
  extern "C" __global__ void __launch_bounds__(BLOCK) write_##NAME(float4* a, long long n, double s) {        \
    write_all<UNROLL, BLOCK, STREAM>(a, n, (float)s);                                                         \
  }                                                                                                           \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                         \
      copy_##NAME(float4* a, const float4* b, long long n) {                                                  \
    copy_all<UNROLL, BLOCK, STREAM>(a, b, n);                                                                 \
  }                                                                                                           \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                         \
      triad_##NAME(float4* a, const float4* b, const float4* c, long long n, double s) {                      \
    triad_all<UNROLL, BLOCK, STREAM>(a, b, c, n, (float)s);                                                   \
  }

#define RING(NAME, UNROLL, BLOCK)                                                                         \
  extern "C" __global__ void __launch_bounds__(BLOCK)                                                     \
      ring_##NAME(const uint4* a, unsigned* out, long long tiles, long long visits, long long mask,       \
                  long long want) {                                                                       \
    sweep_ring<UNROLL, BLOCK>(a, out, tiles, visits, (unsigned)mask, (unsigned)want);                     \
  }

#define CHASE(NAME, PAST_L1)                                                                       \
  extern "C" __global__ void __launch_bounds__(1) chase_##NAME(unsigned long long* state, long long hops) { \
    chase<PAST_L1>(state, hops);                                                                   \
  }
