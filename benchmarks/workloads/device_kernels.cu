// Kernels of the workloads. No header is included: NVRTC knows all names used here by itself.
// Integers are 64 bits wide and reals double in every signature, which is how Python's numbers arrive.

extern "C" {

// to = transpose of from (rows x columns), by tiles of 32 x 32. Blocks: one a tile, 256 threads.
// Shared memory: 32 rows of 33 floats, so that a column's elements lie in 32 different banks.
__global__ void __launch_bounds__(256) transpose(const float* from, float* to, long long rows, long long columns) {
  extern __shared__ float pool[];
  const long long across = columns / 32;
  const long long row = blockIdx.x / across * 32, column = blockIdx.x % across * 32;
  const int x = threadIdx.x % 32, y = threadIdx.x / 32;
#pragma unroll
  for (int k = 0; k < 32; k += 8) pool[(y + k) * 33 + x] = from[(row + y + k) * columns + column + x];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < 32; k += 8) to[(column + y + k) * rows + row + x] = pool[x * 33 + y + k];
}

__device__ __forceinline__ float chained(float x) {
  float y = x * 0.5f;
  y = y + 0.1f;
  y = tanhf(y);
  y = y * x;
  y = fminf(fmaxf(y, -1.0f), 1.0f);
  return y + 0.1f * x;
}

// The whole elementwise chain in one pass. n vectors of 16 bytes, one a thread.
__global__ void __launch_bounds__(256) chain(const float4* from, float4* to, long long n) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (at >= n) return;
  const float4 v = from[at];
  to[at] = make_float4(chained(v.x), chained(v.y), chained(v.z), chained(v.w));
}

// `rounds` FMAs on each of eight values a thread. The eight do not depend on each other: with a latency of four
// cycles, two such threads on each lane keep the pipe full, and a full SM has sixteen.
__global__ void __launch_bounds__(256) fma_dense(const float* from, float* to, long long rounds, double scale,
                                                 double shift) {
  const long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const float a = (float)scale, b = (float)shift;
  float v[8];
#pragma unroll
  for (int k = 0; k < 8; ++k) v[k] = from[at * 8 + k];
#pragma unroll 16
  for (int round = 0; round < (int)rounds; ++round) {
#pragma unroll
    for (int k = 0; k < 8; ++k) v[k] = fmaf(v[k], a, b);
  }
#pragma unroll
  for (int k = 0; k < 8; ++k) to[at * 8 + k] = v[k];
}

// `rounds` FMAs one after the other on each item, items shared out a grid's width apart.
__global__ void __launch_bounds__(256) recur(const float* from, float* to, long long items, long long rounds,
                                             double scale, double shift) {
  const long long width = (long long)gridDim.x * blockDim.x;
  const float a = (float)scale, b = (float)shift;
#pragma unroll 1
  for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < items; at += width) {
    float v = from[at];
#pragma unroll 16
    for (int round = 0; round < (int)rounds; ++round) v = fmaf(v, a, b);
    to[at] = v;
  }
}

// Histogram of the low three bits: every element an atomic, all in eight neighbouring words.
__global__ void __launch_bounds__(256) count_contended(const unsigned* values, unsigned* bins, long long n) {
  const long long width = (long long)gridDim.x * blockDim.x;
  for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < n; at += width)
    atomicAdd(bins + (values[at] & 7u), 1u);
}

__device__ __forceinline__ void tally(unsigned* own, unsigned value) {
#pragma unroll
  for (unsigned bin = 0; bin < 8; ++bin) own[bin] += (value & 7u) == bin;
}

// The same histogram: counted in registers, added up in shared memory, then eight atomics a block.
// n vectors of 16 bytes. Shared memory: eight words.
__global__ void __launch_bounds__(256) count_reduced(const uint4* values, unsigned* bins, long long n) {
  extern __shared__ float pool[];
  unsigned* block = (unsigned*)pool;
  unsigned own[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  if (threadIdx.x < 8) block[threadIdx.x] = 0;
  __syncthreads();
  const long long width = (long long)gridDim.x * blockDim.x;
  for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < n; at += width) {
    const uint4 v = values[at];
    tally(own, v.x), tally(own, v.y), tally(own, v.z), tally(own, v.w);
  }
#pragma unroll
  for (int bin = 0; bin < 8; ++bin) atomicAdd(block + bin, own[bin]);
  __syncthreads();
  if (threadIdx.x < 8) atomicAdd(bins + threadIdx.x, block[threadIdx.x]);
}

}  // extern "C"

// Each warp follows a list of nodes: 32 words each, of which the first is the next node. Every lane adds its word's
// low byte, weighted, to SUMS running sums, eight of them a node. A hop waits for the one before it, so time is
// latency: what is in flight is one node for each resident warp.
template <int SUMS>
__device__ __forceinline__ void follow(const unsigned* nodes, float* to, long long hops) {
  const long long thread = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  const int lane = threadIdx.x % 32;
  unsigned at = (unsigned)(thread / 32);
  float sums[SUMS];
#pragma unroll
  for (int k = 0; k < SUMS; ++k) sums[k] = 0.0f;
#pragma unroll 1
  for (int hop = 0; hop < (int)hops; hop += SUMS / 8) {
#pragma unroll
    for (int k = 0; k < SUMS; k += 8) {
      const unsigned* node = nodes + (long long)at * 32;
      const float value = (float)(__ldcg(node + lane) & 255u);
      at = __ldcg(node);
#pragma unroll
      for (int part = 0; part < 8; ++part) sums[k + part] = fmaf(value, 1.0f + part, sums[k + part]);
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int k = 0; k < SUMS; ++k) sum += sums[k];
  to[thread] = sum;
}

// 192 sums live through the loop: more than 200 registers a thread, so 8 or 9 of 64 warps are resident.
extern "C" __global__ void __launch_bounds__(128) follow_many_sums(const unsigned* nodes, float* to, long long hops) {
  follow<192>(nodes, to, hops);
}

extern "C" __global__ void __launch_bounds__(128) follow_few_sums(const unsigned* nodes, float* to, long long hops) {
  follow<8>(nodes, to, hops);
}
