"""Streams made for tests: a Hello and Frames as a sampler would send them. Planted, not measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from advisor.telemetry.records import (
    DeviceInfo,
    Frame,
    Gpm,
    Hello,
    HostInfo,
    HostSample,
    Message,
    ProcessSample,
    Sample,
)

T0 = 1_700_000_000.0
GIB = 1 << 30

QUIET: dict[str, float] = {
    "gr_active": 1.0,
    "sm_active": 0.9,
    "sm_occupancy": 0.5,
    "tensor_active": 0.05,
    "hmma": 0.05,
    "fp32": 0.05,
    "fp64": 0.0,
    "dram_active": 0.05,
}


def device(index: int = 0, **more: Any) -> DeviceInfo:
    """An H100 as the driver describes it."""
    given: dict[str, Any] = {
        "key": f"GPU-{index:08d}",
        "uuid": f"GPU-{index:08d}",
        "index": index,
        "name": "NVIDIA H100 80GB HBM3",
        "memory_total_bytes": 80 * GIB,
        "compute_capability": "9.0",
        "power_limit_w": 700.0,
        "power_limit_max_w": 700.0,
        "sm_mhz_max": 1980.0,
        "pcie_gen_max": 5,
        "pcie_width_max": 16,
        "gpm": True,
        **more,
    }
    return DeviceInfo(**given)


def hello(*devices: DeviceInfo, **more: Any) -> Hello:
    """A stream's header."""
    given: dict[str, Any] = {
        "t_s": T0,
        "advisor_version": "0",
        "host": HostInfo(host="node-000000", cores=16),
        **more,
    }
    return Hello(devices=devices or (device(),), **given)


def process(key: str = "GPU-00000000", pid: int = 4242, **more: Any) -> ProcessSample:
    """A process that holds 40 GiB."""
    return ProcessSample(**{"key": key, "pid": pid, "name": "train.py", "mem_used_bytes": 40 * GIB, **more})


def sample(info: DeviceInfo, t_s: float, load: Mapping[str, float] | None, **more: Any) -> Sample:
    """One tick: five sub-windows of 200 ms of `load`, or no GPM when it is None."""
    windows = () if load is None else tuple(_window(t_s, i, load) for i in range(5))
    given: dict[str, Any] = {
        "key": info.key,
        "t_s": t_s,
        "gpu_util_frac": 1.0,
        "mem_used_bytes": 40 * GIB,
        "mem_total_bytes": 80 * GIB,
        "power_w": 500.0,
        "energy_j": 500.0 * (t_s - T0),
        "sm_mhz": 1980.0,
        "temp_c": 60.0,
        "throttle_reasons": (),
        "gpm": windows,
        **more,
    }
    return Sample(**given)


def _window(t_s: float, i: int, load: Mapping[str, float]) -> Gpm:
    return Gpm(t_s=t_s - 1.0 + 0.2 * (i + 1), duration_s=0.2, **{**QUIET, **load})


def frames(
    load: Mapping[str, float] | None, seconds: int, *infos: DeviceInfo, start: int = 1, **more: Any
) -> Iterator[Message]:
    """`seconds` frames at 1 Hz in which every device runs `load` and holds one process."""
    devices = infos or (device(),)
    for i in range(start, start + seconds):
        t_s = T0 + i
        looked = tuple(process(d.key) for d in devices) if i % 5 == 1 else None
        yield Frame(
            seq=i,
            t_s=t_s,
            samples=tuple(sample(d, t_s, load, **more) for d in devices),
            processes=looked,
            host=HostSample(t_s=t_s, cpu_fracs=(0.5,) * 16),
            cost_s=0.005,
        )
