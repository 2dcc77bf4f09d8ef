#!/usr/bin/env python3
"""Makes the bundled demo recording: `advisor` watching the simulated NVML library. Synthetic throughout.

    python benchmarks/make_demo.py [--seconds 75] [-o advisor/data/demo.jsonl.gz]

The real sampler reads the real pynvml on a library that plays four planted GPUs. Host and process
figures are planted too, since the node that plays them has no such processes. The recording says
"synthetic" in its header, and everything that shows it says so.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import msgspec

from advisor.telemetry.recording import Recorder
from advisor.telemetry.records import Frame, Hello, HostInfo, HostSample, Message, ProcessSample
from advisor.telemetry.sampler import LiveFeed
from tests.nvml_stub.build import build_stub
from tests.nvml_stub.parts import H100, Load, Scenario, bursts, counters, gpu, node, phases, process
from tests.nvml_stub.scenarios import IDLE

CORES = 64
NOTE = "synthetic: four planted GPUs played by a simulated NVML library; no GPU produced these figures"
GIB = 1 << 30

# Eight loader workers keep up with 58 % of what the GPU could take: bursts of work, then waiting.
STARVED = Load(
    {
        "gr_active": bursts(1.0, 0.58, 0.9),
        "sm_active": bursts(0.86, 0.58, 0.9),
        "sm_occupancy": bursts(0.31, 0.58, 0.9),
        "tensor_active": bursts(0.31, 0.58, 0.9),
        "hmma": bursts(0.31, 0.58, 0.9),
        "dram_active": bursts(0.61, 0.58, 0.9),
        "fp32": bursts(0.12, 0.58, 0.9),
    },
    phases([(0.52, 410), (0.38, 130)]),
    1980,
    52,
    34,
)
SERVING = Load(
    {
        "gr_active": phases([(1.6, 0.99), (9.0, 0.97), (0.4, 0.0)]),
        "sm_active": phases([(1.6, 0.97), (9.0, 0.93), (0.4, 0.0)]),
        "sm_occupancy": phases([(1.6, 0.22), (9.0, 0.38), (0.4, 0.0)]),
        "tensor_active": phases([(1.6, 0.72), (9.0, 0.09), (0.4, 0.0)]),
        "hmma": phases([(1.6, 0.72), (9.0, 0.09), (0.4, 0.0)]),
        "dram_active": phases([(1.6, 0.31), (9.0, 0.84), (0.4, 0.0)]),
        "fp32": phases([(1.6, 0.04), (9.0, 0.07), (0.4, 0.0)]),
    },
    phases([(1.6, 640), (9.0, 470), (0.4, 160)]),
    1980,
    58,
    phases([(1.6, 33), (9.0, 83), (0.4, 0)]),
)
TRAINING = Load(
    counters(0.985, 0.97, 0.24, 0.73, 0.41, fp32=0.06, int_active=0.05),
    692,
    1560,
    66,
    44,
    reasons=("sw_power_cap",),
)


def scenario() -> Scenario:
    """A serving engine, a forgotten notebook, a starved training job and one that runs well."""
    return node(
        "demo",
        gpu(H100, SERVING.with_noise(0.02), process(72000, sm_util=95)),
        gpu(H100, replace(IDLE, memory_mib=16384, power_w=71), process(16384, offset=1)),
        gpu(H100, STARVED.with_noise(0.03), process(41000, offset=2, sm_util=55)),
        gpu(H100, TRAINING.with_noise(0.02), process(67000, offset=3, sm_util=98)),
    )


QUIET_PROCESS = ProcessSample(
    key="",
    pid=1,
    name="",
    state="sleeping",
    cpu_frac=0.0,
    busiest_thread_frac=0.0,
    busiest_thread_system_frac=0.0,
    threads=18,
    children=0,
    children_busy=0,
    children_cpu_frac=0.0,
    children_dstate=0,
    voluntary_switches_s=1.0,
    io_read_bytes_s=0.0,
    cpus_allowed=16,
    remote_numa_frac=0.0,
    throttled_frac=0.0,
)


def planted_process(**facts: Any) -> ProcessSample:
    """A sleeping process with these facts."""
    return msgspec.structs.replace(QUIET_PROCESS, **facts)


PROCESSES: tuple[ProcessSample, ...] = (
    planted_process(
        pid=21034,
        name="vllm.entrypoints.openai",
        job="container:7c1f0e9ab2d4",
        mem_used_bytes=72 * GIB,
        cpu_frac=0.62,
        busiest_thread_frac=0.55,
        threads=211,
        children=1,
        children_cpu_frac=0.4,
        cpus_allowed=CORES,
    ),
    planted_process(pid=9120, name="ipykernel_launcher", user="user:4b1d0c", mem_used_bytes=16 * GIB),
    planted_process(
        pid=81234,
        name="train_vit.py",
        job="slurm:48213",
        mem_used_bytes=40 * GIB,
        cpu_frac=0.31,
        busiest_thread_frac=0.24,
        threads=74,
        children=8,
        children_busy=8,
        children_cpu_frac=7.9,
        voluntary_switches_s=96.0,
        io_read_bytes_s=61e6,
    ),
    planted_process(
        pid=90017,
        name="train_llm.py",
        job="slurm:48207",
        mem_used_bytes=66 * GIB,
        state="running",
        cpu_frac=0.71,
        busiest_thread_frac=0.66,
        threads=88,
        children=4,
        children_cpu_frac=0.6,
        voluntary_switches_s=150.0,
        io_read_bytes_s=9e6,
    ),
)


def planted_host(t_s: float, t0: float) -> HostSample:
    """Eight cores at work for the loader, a few for the rest."""
    wave = 0.04 * math.sin((t_s - t0) / 3.0)
    loads = [0.98 if i < 8 else 0.62 if i == 20 else 0.06 for i in range(CORES)]
    return HostSample(
        t_s=t_s,
        cpu_fracs=tuple(round(min(1.0, max(0.0, load + wave * (i % 3))), 3) for i, load in enumerate(loads)),
        load_1m=10.4,
        psi_cpu_frac=0.03,
        psi_io_frac=0.01,
        psi_memory_frac=0.0,
        mem_used_bytes=212 * GIB,
        mem_total_bytes=503 * GIB,
        swap_used_bytes=0,
        disk_read_bytes_s=70e6,
        disk_write_bytes_s=4e6,
        throttled_frac=0.0,
    )


def planted(message: Message, t0: float, keys: list[str]) -> Message:
    """The message with planted host and process figures, and times from t0."""
    if isinstance(message, Hello):
        host = HostInfo(host="node-7f3a1c", cores=CORES, numa_nodes=2, governor="performance", kernel="6.8")
        keys[:] = [d.key for d in message.devices]
        return msgspec.structs.replace(message, host=host, synthetic=True, note=NOTE)
    if not isinstance(message, Frame):
        return message
    looked = None
    if message.processes is not None:
        looked = tuple(msgspec.structs.replace(p, key=key) for p, key in zip(PROCESSES, keys, strict=True))
    return msgspec.structs.replace(message, processes=looked, host=planted_host(message.t_s, t0))


def main() -> int:
    """Record for a while."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("-o", "--output", type=Path, default=Path("advisor/data/demo.jsonl.gz"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.json"
        path.write_text(json.dumps(scenario()))
        os.environ["LD_LIBRARY_PATH"] = str(build_stub(Path(folder) / "lib"))
        os.environ["ADVISOR_NVML_SCENARIO"] = str(path)
        feed = LiveFeed(interval_s=1.0, gpm_interval_s=0.2)
        record(feed, args.output, args.seconds)
    print(f"wrote {args.output}, {args.output.stat().st_size / 1024:.0f} KiB")
    return 0


def record(feed: LiveFeed, output: Path, seconds: float) -> None:
    """Keep what the feed says for `seconds`, with the planted figures."""
    keys: list[str] = []
    try:
        hello = feed.start()
        t0, end = hello.t_s, time.monotonic() + seconds
        with Recorder(output, overwrite=True) as recorder:
            recorder.write(planted(hello, t0, keys))
            while (left := end - time.monotonic()) > 0:
                for message in feed.poll(min(0.25, left)):
                    recorder.write(planted(message, t0, keys))
    finally:
        feed.close()


if __name__ == "__main__":
    sys.exit(main())
