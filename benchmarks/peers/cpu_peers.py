"""Peers of the CPU probes: public benchmarks and plain calls, each in its own usual memory and timing."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer

STREAM = Path(__file__).with_name("stream.c")
STREAM_KERNELS = {"host_read": "read", "host_write": "write", "host_copy": "copy", "host_triad": "triad"}
GEMM_DTYPES = {
    "cpu_fp64": torch.float64,
    "cpu_fp32": torch.float32,
    "cpu_bf16": torch.bfloat16,
    "cpu_fp16": torch.float16,
}
_OPTIONS = (("-fopenmp", "-march=native"), ("-fopenmp",), ())


class MemoryPeers:
    """Rates in bytes per second, counted as STREAM does, over buffers of `size` bytes.

    seconds: how long each looks. folder: where the C loops are built, if there is a compiler.
    """

    def __init__(self, size: int, threads: int, seconds: float, folder: Path) -> None:
        self.size = size
        self.threads = threads
        self.seconds = seconds
        self.stream, self.openmp = build_stream(folder)
        values = {"a": 0.0, "b": 1.0, "c": 2.0}
        self.torch = {name: torch.full((size // 8,), v, dtype=torch.float64) for name, v in values.items()}
        self.numpy = {name: tensor.numpy().copy() for name, tensor in self.torch.items()}

    def figures(self, metric: str) -> dict[str, float]:
        """Each peer's median for a metric; peers that are not installed are left out."""
        return dict(self._each(metric))

    def _each(self, metric: str) -> Iterator[tuple[str, float]]:
        threads = 1 if metric == "host_copy_1" else self.threads
        if metric in ("host_copy", "host_copy_1"):
            yield "torch copy_", 2 * self._torch("a.copy_(b)", threads)
            yield "numpy copyto", 2 * self._rate("np.copyto(a, b)", {**self.numpy, "np": np}, threads)
        if metric == "host_triad":
            yield "torch add", 3 * self._torch("torch.add(b, c, alpha=3.0, out=a)", threads)
        if metric == "host_read":
            yield "torch sum", self._torch("b.sum()", threads)
        if metric == "host_write":
            yield "torch fill_", self._torch("a.fill_(2.5)", threads)
        if metric == "host_copy_1" and shutil.which("mbw"):
            yield "mbw MEMCPY", self._mbw()
        if self.stream:
            yield self._stream(self.stream, metric, threads)

    def _torch(self, statement: str, threads: int) -> float:
        return self._rate(statement, {**self.torch, "torch": torch}, threads)

    def _rate(self, statement: str, names: dict[str, Any], threads: int) -> float:
        """Buffers' bytes over the median time."""
        timer = Timer(statement, globals=names, num_threads=threads)
        return float(self.size / timer.blocked_autorange(min_run_time=self.seconds).median)

    def _mbw(self) -> float:
        """mbw counts a byte copied once; it is read and written."""
        mib = max(1, self.size >> 20)
        runs = max(3, round(self.seconds / (2 * self.size / 10e9)))
        return 2 * statistics.median(mbw_rates(_output(["mbw", "-q", "-t0", "-n", str(runs), str(mib)])))

    def _stream(self, program: Path, metric: str, threads: int) -> tuple[str, float]:
        kernel = STREAM_KERNELS.get(metric, "copy")
        # Four kernels take turns.
        said = _output([str(program), str(self.size), str(4 * self.seconds)], OMP_NUM_THREADS=str(threads))
        name = f"C {kernel}" + ("" if self.openmp or threads == 1 else ", no OpenMP")
        return name, statistics.median(stream_rates(said, kernel))


def gemm_figure(metric: str, shape: str, threads: int, seconds: float) -> float | None:
    """FLOP/s of torch's own benchmark timer on the same product; None for a dtype it is not asked for."""
    m, n, k = (int(edge) for edge in shape.split("x"))
    if metric == "cpu_int8":
        a, b = (torch.randint(-128, 128, (rows, k), dtype=torch.int8) for rows in (m, n))
        statement, names = "torch._int_mm(a, b, out=c)", {"c": torch.empty(m, n, dtype=torch.int32)}
    elif dtype := GEMM_DTYPES.get(metric):
        a, b = (torch.randn(rows, k).to(dtype) for rows in (m, n))
        statement, names = "torch.mm(a, b, out=c)", {"c": torch.empty(m, n, dtype=dtype)}
    else:
        return None
    names |= {"a": a, "b": b.t(), "torch": torch}
    timer = Timer(statement, globals=names, num_threads=threads)
    return float(2 * m * n * k / timer.blocked_autorange(min_run_time=seconds).median)


def build_stream(folder: Path) -> tuple[Path | None, bool]:
    """The C loops and whether they use all cores; None where nothing can compile them."""
    compiler = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    program = folder / "stream"
    for options in _OPTIONS if compiler else ():
        command = [str(compiler), "-O3", *options, "-o", str(program), str(STREAM)]
        if subprocess.run(command, check=False, capture_output=True).returncode == 0:
            return program, "-fopenmp" in options
    return None, False


def mbw_rates(said: str) -> list[float]:
    """Bytes copied per second in each of mbw's runs, from what it prints."""
    return [float(mib_s) * (1 << 20) for mib_s in re.findall(r"^\d+\s.*Copy: ([0-9.]+) MiB/s", said, re.M)]


def stream_rates(said: str, kernel: str) -> list[float]:
    """Bytes per second of each pass of one kernel, the first left out: it meets cold pages."""
    words = (line.split() for line in said.splitlines())
    return [float(line[1]) for line in words if line[0] == kernel][1:]


def _output(command: list[str], **env: str) -> str:
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=300, env={**os.environ, **env}
    )
    return done.stdout
