"""Typed builders of probe records. Figures are invented and stand for no card."""

from __future__ import annotations

from typing import Any

import msgspec

from probes import METHOD_VERSION
from probes.metrics import METRICS
from probes.record import Conditions, DeviceFacts, Measurement, ProbeReport

T0_S = 1_790_000_000.0
DAY_S = 86400.0
VERSIONS = {"driver": "580.95.05", "cuda": "13.0", "torch": "2.9.1", "cupy": "13.6.0"}
METHODS = {"dram_copy": "torch copy_", "bf16": "torch.mm"}


def key(index: int) -> str:
    """The UUID of the GPU with this index."""
    return f"GPU-{index:08x}-0000-4000-8000-000000000000"


def facts(index: int = 0, **changes: Any) -> DeviceFacts:
    """An H100, as its driver names it, so that a data sheet is found."""
    device = DeviceFacts(
        kind="cuda",
        key=key(index),
        name="NVIDIA H100 80GB HBM3",
        index=index,
        model="H100 SXM5 80GB",
        compute_capability="9.0",
        sm_count=132,
        memory_total_bytes=85_520_809_984,
        sm_mhz_max=1980.0,
        power_limit_w=700.0,
        ecc_enabled=True,
        pcie_gen_max=5,
        pcie_width_max=16,
    )
    return msgspec.structs.replace(device, **changes)


def cpu_facts(**changes: Any) -> DeviceFacts:
    """A host's CPU."""
    device = DeviceFacts(kind="cpu", key="cpu:0123456789ab", name="Example CPU 16-Core", cores=16)
    return msgspec.structs.replace(device, **changes)


def take(metric: str, value: float | None = 1.0, **changes: Any) -> Measurement:
    """A valid figure with a range of 1 % around it; `method`, `sm_mhz`, ... go into its conditions."""
    told = {name: changes.pop(name) for name in list(changes) if name in Conditions.__struct_fields__}
    conditions = Conditions(**{"method": METHODS.get(metric, "a call"), "windows": 20, **told})
    known = METRICS.get(metric)
    figure = Measurement(
        probe=known.probe if known else metric,
        metric=metric,
        unit=known.unit if known else "count",
        median=value,
        p10=None if value is None else value * 0.995,
        p90=None if value is None else value * 1.005,
        cv=None if value is None else 0.004,
        conditions=conditions,
    )
    return msgspec.structs.replace(figure, **changes)


def report(*measurements: Measurement, **changes: Any) -> ProbeReport:
    """One run of one device."""
    made = ProbeReport(
        device=changes.pop("device", facts()),
        mode="default",
        t_s=T0_S,
        wall_s=47.2,
        method_version=METHOD_VERSION,
        versions=VERSIONS,
        measurements=measurements,
    )
    return msgspec.structs.replace(made, **changes)


def full(scale: float = 1.0, **changes: Any) -> ProbeReport:
    """A run with something of everything: sustained, degraded, rejected, unsupported and failed figures."""
    hot = {"sm_mhz": 1410.0, "power_w": 694.0, "power_limit_w": 700.0, "temp_c": 67.0}
    cool = {"sm_mhz": 1980.0, "power_w": 310.0, "power_limit_w": 700.0, "temp_c": 41.0, "mem_mhz": 2619.0}
    return report(
        take("launch_interval", 2.31e-6 / scale),
        take("h2d_pinned", 55.1e9 * scale, of_spec=0.86, of_clock=0.86),
        take(
            "h2d_pageable",
            21.4e9 * scale,
            of_spec=0.33,
            cv=0.05,
            valid="degraded",
            reason="cv 5 % after a rerun",
        ),
        take("dram_latency", 301e-9, **cool),
        take("dram_read", 3.18e12 * scale, of_spec=0.949, counters_at_ceiling={"dram_active": 0.93}, **cool),
        take("dram_copy", 3.0e12 * scale, of_spec=0.896, counters_at_ceiling={"dram_active": 0.91}, **cool),
        take("fp64", 58.1e12 * scale, of_spec=0.868, of_clock=0.88, sustained=57.0e12 * scale, burst=58.4e12),
        take("fp32", 51.9e12 * scale, of_spec=0.776, of_clock=0.79, counters_at_ceiling={"fp32": 0.77}),
        take(
            "tf32", 402e12, of_spec=1.31, valid="rejected", reason="1.31 of the data sheet: faster than bf16"
        ),
        take(
            "bf16",
            794e12 * scale,
            of_spec=0.738,
            of_clock=0.957,
            sustained=730e12 * scale,
            burst=812e12 * scale,
            throttle_reasons=("sw_power_cap",),
            shape="8192x8192x8192",
            counters_at_ceiling={"tensor_active": 0.92, "hmma": 0.9, "dram_active": 0.4, "fp32": 0.02},
            **hot,
        ),
        take(
            "fp8_e4m3",
            1403e12 * scale,
            of_spec=0.709,
            of_clock=0.93,
            counters_at_ceiling={"tensor_active": 0.88},
        ),
        take("int8", None, valid="failed", reason="RuntimeError: self.size(0) needs to be greater than 16"),
        take("nvfp4", None, valid="unsupported", reason="unsupported: needs compute capability ≥ 10.0"),
        **{"missing": {"pcie_replays": "the driver does not say"}, **changes},
    )
