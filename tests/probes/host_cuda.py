"""The probes' CUDA sources on the host: compiled as C++, thread after thread, behind cupy's interface."""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import struct
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

_SHIM = r"""
#include <chrono>
#include <cstring>
#include <utility>
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
struct Place { unsigned x; };
static Place threadIdx, blockIdx, blockDim, gridDim;
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
template <typename T> T __ldcs(const T* p) { return *p; }
template <typename T> T __ldcg(const T* p) { return *p; }
template <typename T> T __ldca(const T* p) { return *p; }
template <typename T> void __stcs(T* p, T v) { *p = v; }
static unsigned atomicAdd(unsigned* p, unsigned v) { unsigned old = *p; *p += v; return old; }
static long long clock64() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
template <typename T> T slot(const long long* from) { T v; std::memcpy(&v, from, sizeof v); return v; }
template <typename... P, size_t... I>
void step(void (*kernel)(P...), const long long* args, std::index_sequence<I...>) {
  kernel(slot<P>(args + I)...);
}
template <typename... P>
void launch(void (*kernel)(P...), unsigned grid, unsigned block, const long long* args) {
  gridDim.x = grid, blockDim.x = block;
  for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x)
    for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x)
      step(kernel, args, std::index_sequence_for<P...>());
}
"""
_RUN = """
extern "C" void run_{0}(unsigned grid, unsigned block, const long long* args) {{
  launch({0}, grid, block, args);
}}"""
_KINDS = {"STREAMS": ("read", "write", "copy", "triad"), "RING": ("ring",), "CHASE": ("chase",)}


def compiler() -> str | None:
    """A C++ compiler, or None."""
    return shutil.which("g++") or shutil.which("c++") or shutil.which("clang++")


def kernel_names(code: str) -> list[str]:
    """The kernels that a source defines through its macros."""
    made = re.findall(r"^(STREAMS|RING|CHASE)\((\w+)", code, re.MULTILINE)
    return [f"{kind}_{name}" for macro, name in made for kind in _KINDS[macro]]


class HostKernel:
    """One kernel. Takes its arguments as cupy does: 64-bit integers and doubles."""

    num_regs = 32

    def __init__(self, run: Any, name: str, launches: list[tuple[str, int, int]]) -> None:
        self._run, self._name, self._launches = run, name, launches

    def __call__(self, grid: tuple[int], block: tuple[int], args: tuple[float, ...]) -> None:
        self._launches.append((self._name, grid[0], block[0]))
        packed = b"".join(struct.pack("d" if isinstance(a, float) else "q", a) for a in args)
        slots = (ctypes.c_longlong * len(args)).from_buffer_copy(packed)
        self._run(grid[0], block[0], slots)


class HostCupy:
    """As much of cupy as the probes use. launches: (kernel, grid, block), in order."""

    def __init__(self, folder: Path, sm_count: int = 2, spoil: tuple[str, str] = ("", "")) -> None:
        self._folder, self._spoil = folder, spoil
        self.launches: list[tuple[str, int, int]] = []
        attributes = {
            "MultiProcessorCount": sm_count,
            "MaxThreadsPerMultiProcessor": 2048,
            "MaxRegistersPerMultiprocessor": 65536,
        }
        self.cuda = SimpleNamespace(Device=lambda: SimpleNamespace(attributes=attributes))

    def RawModule(self, *, code: str) -> Any:  # noqa: N802
        """A module; what `spoil` names in its code is replaced, to see what a wrong kernel leads to."""
        library = ctypes.CDLL(str(self._built(code.replace(*self._spoil) if self._spoil[0] else code)))
        return SimpleNamespace(
            get_function=lambda name: HostKernel(library[f"run_{name}"], name, self.launches)
        )

    def _built(self, code: str) -> Path:
        runs = "\n".join(_RUN.format(name) for name in kernel_names(code))
        text = "\n".join([_SHIM, code, runs, ""])
        path = self._folder / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.so"
        if not path.exists():
            source = path.with_suffix(".cpp")
            source.write_text(text)
            made = path.with_suffix(".part")
            command = [
                str(compiler()),
                "-std=c++14",
                "-O1",
                "-w",
                "-shared",
                "-fPIC",
                str(source),
                "-o",
                str(made),
            ]
            subprocess.run(command, check=True)
            made.rename(path)
        return path
