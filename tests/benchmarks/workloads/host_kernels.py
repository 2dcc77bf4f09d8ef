"""The workloads' CUDA kernels on the host: compiled as C++ behind cupy's interface, a thread for each.

Blocks run one after the other, so what they share may be one place in memory.
"""

from __future__ import annotations

import ctypes
import re
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.probes.host_cuda import compiler

_SHIM = r"""
#include <pthread.h>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>
#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(threads)
using std::fmaf;
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct Place { unsigned x; };
static thread_local Place threadIdx;
static Place blockIdx, blockDim, gridDim;
static pthread_barrier_t barrier;
extern "C" { float pool[1 << 16]; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
template <typename T> T __ldcg(const T* p) { return *p; }
static unsigned atomicAdd(unsigned* p, unsigned v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }
static void __syncthreads() { pthread_barrier_wait(&barrier); }
template <typename T> T slot(const long long* from) { T v; std::memcpy(&v, from, sizeof v); return v; }
template <typename... P, size_t... I>
void step(void (*kernel)(P...), const long long* args, std::index_sequence<I...>) {
  kernel(slot<P>(args + I)...);
}
template <typename... P>
void thread(void (*kernel)(P...), unsigned index, unsigned blocks, const long long* args) {
  threadIdx.x = index;
  for (unsigned block = 0; block < blocks; ++block) {
    pthread_barrier_wait(&barrier);
    if (index == 0) blockIdx.x = block;
    pthread_barrier_wait(&barrier);
    step(kernel, args, std::index_sequence_for<P...>());
  }
}
template <typename... P>
void launch(void (*kernel)(P...), unsigned grid, unsigned block, const long long* args) {
  gridDim.x = grid, blockDim.x = block;
  pthread_barrier_init(&barrier, nullptr, block);
  std::vector<std::thread> team;
  for (unsigned index = 0; index < block; ++index)
    team.emplace_back([=] { thread(kernel, index, grid, args); });
  for (auto& member : team) member.join();
  pthread_barrier_destroy(&barrier);
}
"""
_RUN = """
extern "C" void run_{0}(unsigned grid, unsigned block, const long long* args) {{
  launch({0}, grid, block, args);
}}"""


def kernel_names(code: str) -> list[str]:
    """The kernels that a source defines."""
    return re.findall(r"__global__ void __launch_bounds__\(\d+\) (\w+)\(", code)


class HostKernel:
    """One kernel. Takes its arguments as cupy does: 64-bit integers and doubles."""

    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(self, run: Any, name: str, launches: list[tuple[str, int, int, int]]) -> None:
        self._run, self._name, self._launches = run, name, launches

    def __call__(
        self, grid: tuple[int], block: tuple[int], args: tuple[float, ...], *, shared_mem: int = 0
    ) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        self._launches.append((self._name, grid[0], block[0], shared_mem))
        packed = b"".join(struct.pack("d" if isinstance(a, float) else "q", a) for a in args)
        slots = (ctypes.c_longlong * len(args)).from_buffer_copy(packed)
        self._run(grid[0], block[0], slots)


class HostCupy:
    """As much of cupy as the workloads use. launches: (kernel, grid, block, shared bytes), in order."""

    def __init__(self, folder: Path, sm_count: int = 3) -> None:
        self._library = folder / "kernels.so"
        self.launches: list[tuple[str, int, int, int]] = []
        attributes = {
            "MultiProcessorCount": sm_count,
            "MaxThreadsPerMultiProcessor": 2048,
            "MaxSharedMemoryPerBlockOptin": 227 << 10,
            "ClockRate": 1_000_000,
        }
        self.cuda = SimpleNamespace(Device=lambda: SimpleNamespace(attributes=attributes))

    def RawModule(self, *, code: str) -> Any:  # noqa: N802
        """The module, compiled once."""
        if not self._library.exists():
            self._build(code)
        library = ctypes.CDLL(str(self._library))
        return SimpleNamespace(
            get_function=lambda name: HostKernel(library[f"run_{name}"], name, self.launches)
        )

    def _build(self, code: str) -> None:
        runs = "\n".join(_RUN.format(name) for name in kernel_names(code))
        source = self._library.with_suffix(".cpp")
        source.write_text("\n".join([_SHIM, code, runs, ""]))
        options = ["-std=c++14", "-O1", "-w", "-shared", "-fPIC", "-pthread"]
        command = [str(compiler()), *options, str(source), "-o", str(self._library)]
        subprocess.run(command, check=True)
