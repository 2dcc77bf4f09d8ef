"""What can be measured: each metric's unit, direction, meaning, and the data-sheet figure beside it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from probes.record import Measurement, Unit


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. spec: key of `probes.specs` ("dram", a dtype of `GpuSpec.flop_s`, "pcie"), or None.

    higher: whether more is better.
    """

    name: str
    probe: str
    unit: Unit
    title: str
    higher: bool = True
    spec: str | None = None


def _rates(probe: str, unit: Unit, rows: Iterable[tuple[str, str, str | None]]) -> list[Metric]:
    return [Metric(name=n, probe=probe, unit=unit, title=t, spec=s) for n, t, s in rows]


def _costs(probe: str, rows: Iterable[tuple[str, str]]) -> list[Metric]:
    return [Metric(name=n, probe=probe, unit="s", title=t, higher=False) for n, t in rows]


_ALL: tuple[Metric, ...] = (
    *_rates(
        "bandwidth",
        "bytes_s",
        (
            ("dram_read", "memory read", "dram"),
            ("dram_write", "memory write", "dram"),
            ("dram_copy", "memory copy", "dram"),
            ("dram_triad", "memory triad", "dram"),
            ("l2_read", "L2 read", None),
        ),
    ),
    *_costs("latency", (("l2_latency", "L2 latency"), ("dram_latency", "memory latency"))),
    *_rates(
        "tensor",
        "flop_s",
        (
            ("fp64", "fp64 GEMM", "fp64_tensor"),
            ("fp32", "fp32 GEMM", "fp32"),
            ("tf32", "tf32 GEMM", "tf32"),
            ("fp16", "fp16 GEMM", "fp16"),
            ("bf16", "bf16 GEMM", "bf16"),
            ("fp8_e4m3", "fp8 GEMM, e4m3", "fp8"),
            ("fp8_e5m2", "fp8 GEMM, e4m3×e5m2", "fp8"),
        ),
    ),
    Metric(name="int8", probe="tensor", unit="op_s", title="int8 GEMM", spec="int8"),
    *_rates(
        "tensor",
        "flop_s",
        (
            ("mxfp8", "mxfp8 GEMM", "fp8"),
            ("nvfp4", "nvfp4 GEMM", "fp4"),
            ("mxfp4", "mxfp4 GEMM", "fp4"),
        ),
    ),
    *_costs(
        "launch",
        (
            ("launch_interval", "kernel launch, back to back"),
            ("launch_wall", "kernel launch, wall clock of 10,000"),
            ("launch_call", "kernel launch call"),
            ("sync_idle", "synchronise an idle stream"),
            ("sync_round_trip", "launch and synchronise"),
            ("graph_replay", "CUDA graph replay, fixed"),
            ("graph_node", "CUDA graph, each node"),
        ),
    ),
    *_costs(
        "dispatch",
        (
            ("dispatch_eager", "torch dispatch, autograd on"),
            ("dispatch_no_grad", "torch dispatch, no_grad"),
            ("dispatch_compiled", "torch.compile call"),
        ),
    ),
    *_rates(
        "transfer",
        "bytes_s",
        (
            ("h2d_pinned", "host to device, pinned", "pcie"),
            ("d2h_pinned", "device to host, pinned", "pcie"),
            ("h2d_pageable", "host to device, pageable", "pcie"),
            ("d2h_pageable", "device to host, pageable", "pcie"),
            ("bidir_pinned", "both directions at once, pinned", None),
            ("h2d_numa_local", "host to device from the GPU's NUMA node", "pcie"),
            ("h2d_numa_remote", "host to device from another NUMA node", "pcie"),
        ),
    ),
    *_costs(
        "allocator",
        (
            ("alloc_cached", "torch.empty from the cache, 64 MiB"),
            ("alloc_device", "cudaMalloc through torch, 64 MiB"),
            ("alloc_pinned", "pinned host allocation, 64 MiB"),
        ),
    ),
    *_rates("host", "op_s", (("python_thread", "Python on one thread, loop steps", None),)),
    Metric(
        name="python_contended",
        probe="host",
        unit="frac",
        title="Python with another busy thread, of its speed alone",
    ),
    Metric(name="cpu_share", probe="host", unit="frac", title="CPU that a busy thread really gets"),
    *_rates(
        "gemm",
        "flop_s",
        (
            ("cpu_fp64", "fp64 GEMM", None),
            ("cpu_fp32", "fp32 GEMM", None),
            ("cpu_bf16", "bf16 GEMM", None),
            ("cpu_fp16", "fp16 GEMM", None),
        ),
    ),
    Metric(name="cpu_int8", probe="gemm", unit="op_s", title="int8 GEMM"),
    *_rates(
        "membw",
        "bytes_s",
        (
            ("host_read", "memory read, all cores", None),
            ("host_write", "memory write, all cores", None),
            ("host_copy", "memory copy, all cores", None),
            ("host_triad", "memory triad, all cores", None),
            ("host_copy_1", "memory copy, one core", None),
        ),
    ),
    *_costs("cores", (("core_to_core", "a message between two cores, one way"),)),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}

_RANK = {"valid": 0, "degraded": 1, "rejected": 2, "failed": 3, "unsupported": 4}


def best(measurements: Iterable[Measurement]) -> Measurement | None:
    """Of several takes on one metric the one that counts: measured alone before contended, valid before
    degraded, then the better figure. None when there is none."""

    def merit(m: Measurement) -> tuple[int, int, float]:
        sign = 1.0 if m.metric in METRICS and not METRICS[m.metric].higher else -1.0
        figure = float("inf") if m.value is None else sign * m.value
        return (m.label == "contended", _RANK[m.valid], figure)

    return min(measurements, key=merit, default=None)
