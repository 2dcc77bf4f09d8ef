"""Tiny folders of recordings, made by hand: what they show is planted, no GPU produced it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from advisor.telemetry.recorder import Recorder
from advisor.telemetry.records import End, Frame, Hello, HostSample
from benchmarks.workloads.spec import Account, Session, Truth
from tests.advisor.streams import T0, device, hello, process, sample

SECONDS = 6
# name -> (family, label, cause, shares, GPM load, NVML figures)
PLANTED: dict[str, tuple[str, str, str, dict[str, float], dict[str, float], dict[str, Any]]] = {
    "copy": (
        "memory_stream",
        "memory",
        "dram-bandwidth",
        {"memory": 1.0},
        {"dram_active": 0.9, "sm_active": 0.98},
        {"mem_util_frac": 0.9},
    ),
    "adam_step": (
        "memory_pointwise",
        "memory",
        "dram-bandwidth",
        {"memory": 1.0},
        {"dram_active": 0.85, "sm_active": 0.98},
        {"mem_util_frac": 0.85},
    ),
    "gemm_bf16": (
        "compute_gemm",
        "compute",
        "tensor-cores",
        {"compute": 1.0},
        {"tensor_active": 0.76, "hmma": 0.76, "dram_active": 0.2},
        {"mem_util_frac": 0.2, "power_w": 690.0},
    ),
    "conv_net": (
        "compute_nets",
        "compute",
        "tensor-cores",
        {"compute": 1.0},
        {"tensor_active": 0.7, "hmma": 0.7, "dram_active": 0.3},
        {"mem_util_frac": 0.3, "power_w": 650.0},
    ),
    "item_every_step": (
        "host_sync",
        "host",
        "sync",
        {"host": 0.6, "device": 0.4},
        {"gr_active": 0.4, "sm_active": 0.2, "tensor_active": 0.02, "hmma": 0.02, "fp32": 0.02},
        {"gpu_util_frac": 0.4, "mem_util_frac": 0.02, "power_w": 150.0},
    ),
    "low_occupancy_registers": (
        "device_shape",
        "device",
        "low-occupancy",
        {"device": 1.0},
        {"sm_active": 0.95, "sm_occupancy": 0.1, "fp32": 0.1},
        {"mem_util_frac": 0.02, "power_w": 200.0},
    ),
    "one_block": (
        "device_shape",
        "device",
        "small-grid",
        {"device": 1.0},
        {"sm_active": 0.01, "sm_occupancy": 0.01},
        {"mem_util_frac": 0.01, "power_w": 150.0},
    ),
}


def make(
    folder: Path, names: tuple[str, ...] = tuple(PLANTED), *, synthetic: bool = True, **more: Any
) -> Path:
    """Write these recordings into the folder. more: fields of every Truth."""
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(
        device="made-up",
        date="2026-01-01",
        driver=None,
        torch=None,
        cupy=None,
        synthetic=synthetic,
        seconds=SECONDS,
        command="tests",
        skipped={"spmv": "no cupy"},
    )
    (folder / "session.json").write_bytes(msgspec.json.encode(session))
    for name in names:
        write(folder, name, synthetic=synthetic, **more)
    return folder


def write(folder: Path, planted: str, *, synthetic: bool = True, **more: Any) -> Truth:
    """One recording with its truth."""
    family, label, cause, shares, load, figures = PLANTED[planted]
    given: dict[str, Any] = {
        "name": planted,
        "family": family,
        "label": label,
        "cause": cause,
        "shares": shares,
        "confirmed": True,
        "because": "planted",
        "recording": f"{planted}.jsonl.gz",
        "device": "made-up",
        "synthetic": synthetic,
        "base": Account(wall_s=SECONDS, pid=4242),
        **more,
    }
    truth = Truth(**given)
    write_stream(folder / truth.recording, load, figures, synthetic=synthetic)
    (folder / f"{planted}.truth.json").write_bytes(msgspec.json.encode(truth))
    return truth


def write_stream(
    path: Path, load: Mapping[str, float], figures: Mapping[str, Any], *, synthetic: bool = True
) -> None:
    """A stream of SECONDS ticks on one device that runs `load`."""
    info = device()
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(stream_hello(synthetic=synthetic))
        for i in range(1, SECONDS + 1):
            at_s = T0 + i
            looked = (process(info.key, busiest_thread_frac=0.3, cpu_frac=0.3),) if i % 5 == 1 else None
            host = HostSample(t_s=at_s, cpu_fracs=(0.2,) * 4)
            one = sample(info, at_s, load, **figures)
            recorder.write(Frame(seq=i, t_s=at_s, samples=(one,), processes=looked, host=host))
        recorder.write(End(t_s=T0 + SECONDS, reason="end"))


def stream_hello(*, synthetic: bool = True) -> Hello:
    """The header, with ceilings as if probes had measured them."""
    from tests.factories import make_measured

    info = device()
    return hello(info, synthetic=synthetic, ceilings={info.key: make_measured()})
