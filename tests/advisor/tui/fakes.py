"""A fake source and a rich synthetic node of eight GPUs. Every figure is invented and stands for no card."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from advisor.snapshot import DeviceView, HistoryPoint, Snapshot
from advisor.telemetry.records import Gpm, StackLook
from rules.finding import Finding
from rules.headline import headline
from rules.stacks import Stacks
from rules.verdict import SHARES, Class, Verdict
from tests import factories as make

GIB = make.GIB


class Gpu(NamedTuple):
    """One GPU of the synthetic node. counters: sm, tensor and dram active."""

    class_: Class
    cause: str
    name: str
    pid: int
    confidence: float
    watts: float
    memory_gib: int
    shares: dict[str, float]
    counters: tuple[float, float, float]


NODE: tuple[Gpu, ...] = (
    Gpu(
        "memory", "dram-bandwidth", "vllm serve", 70012, 0.91, 402, 71,
        {"memory": 0.75, "host": 0.12, "device": 0.08, "idle_held": 0.05}, (0.93, 0.09, 0.81),
    ),
    Gpu("idle", "idle-held", "jupyter-lab", 60102, 1.0, 71, 16, {"idle_held": 1.0}, (0.0, 0.0, 0.0)),
    Gpu(
        "host", "input-pipeline", "train_vit.py", 81234, 0.94, 291, 40,
        {"host": 0.38, "memory": 0.27, "compute": 0.15, "device": 0.2}, (0.41, 0.22, 0.18),
    ),
    Gpu(
        "compute", "tensor-cores", "train_llm.py", 90017, 0.97, 688, 76,
        {"compute": 0.9, "memory": 0.04, "host": 0.06}, (0.98, 0.71, 0.44),
    ),
    Gpu(
        "device", "low-occupancy", "md_run", 40021, 0.72, 330, 12,
        {"device": 0.7, "memory": 0.1, "host": 0.2}, (0.24, 0.0, 0.12),
    ),
    Gpu(
        "compute", "power-cap", "train_llm.py", 90018, 0.88, 699, 76,
        {"compute": 0.6, "throttle": 0.3, "communication": 0.1}, (0.95, 0.6, 0.4),
    ),
    Gpu("idle", "free", "", 0, 1.0, 68, 0, {"free": 1.0}, (0.0, 0.0, 0.0)),
    Gpu(
        "communication", "interconnect", "train_moe.py", 91200, 0.8, 410, 70,
        {"communication": 0.45, "compute": 0.35, "memory": 0.2}, (0.5, 0.3, 0.3),
    ),
)  # fmt: skip


def verdict_of(gpu: int) -> Verdict:
    """The verdict of one GPU of the synthetic node."""
    card = NODE[gpu]
    workload = make.make_workload(card.name, pid=card.pid, job=f"slurm:{4700 + gpu}") if card.name else None
    verdict = make.make_verdict(
        card.class_,
        gpu=gpu,
        cause=card.cause,
        confidence=card.confidence,
        workload=workload,
        shares=make.fill(SHARES, card.shares),
    )
    return msgspec.structs.replace(verdict, headline=headline(verdict))


def history_of(shares: dict[str, float], watts: float, tick: int, points: int) -> tuple[HistoryPoint, ...]:
    """A minute in which the shares sway a little; every tenth second of the tenth minute is missing."""
    out = []
    for second in range(tick - points, tick):
        sway = (second % 7) / 20
        moved = {name: share * (1 - sway) for name, share in shares.items()}
        moved["compute"] = moved.get("compute", 0.0) + sway
        t_s = make.T0_S + second
        if second % 50 in (20, 21):
            out.append(HistoryPoint(t_s=t_s, gap=True))
            continue
        out.append(
            HistoryPoint(
                t_s=t_s,
                shares=moved,
                gr_active=0.6,
                sm_active=0.5 + sway,
                tensor_active=0.2 + sway,
                dram_active=0.3 + sway,
                power_w=watts - sway * 100,
                sm_mhz=1980.0 - sway * 400,
                temp_c=60.0 + sway * 20,
                mem_used_bytes=40 * GIB,
            )
        )
    return tuple(out)


def view_of(gpu: int, tick: int = 60, points: int = 60, **changes: Any) -> DeviceView:
    """One GPU of the synthetic node at a tick."""
    card = NODE[gpu]
    name, watts, shares = card.name, card.watts, card.shares
    verdict = verdict_of(gpu)
    sway = (tick % 5) / 100
    sm, tensor, dram = (min(1.0, value + sway) if value else 0.0 for value in card.counters)
    history = history_of(shares, watts, tick, points)
    newest = Gpm(
        t_s=make.T0_S + tick, duration_s=0.2, gr_active=sum(shares.values()) - shares.get("host", 0.0),
        sm_active=sm, sm_occupancy=0.3, tensor_active=tensor, dram_active=dram, hmma=tensor, fp32=0.05,
    )  # fmt: skip
    latest = msgspec.structs.replace(
        history[-1], gap=False, sm_active=sm, tensor_active=tensor, dram_active=dram
    )
    process = make.make_process(
        gpu,
        pid=card.pid,
        name=name,
        job=f"slurm:{4700 + gpu}",
        mem_used_bytes=card.memory_gib * GIB,
        threads=64,
    )
    view = make.make_device_view(
        verdict,
        sample=make.make_sample(
            gpu,
            power_w=watts + tick % 5,
            mem_used_bytes=card.memory_gib * GIB,
            temp_c=50.0 + gpu,
            gpm=(newest,),
        ),
        latest=latest,
        history=history,
        processes=(process,) if name else (),
    )
    return msgspec.structs.replace(view, **changes)


def findings() -> tuple[Finding, ...]:
    """Three findings of different worth, the largest not first."""
    return (
        make.make_finding("HOST003", gpu=2, usd_h=2.61),
        make.make_finding(
            "IDLE002", gpu=1, usd_h=6.88, severity="critical", title="memory is held and nothing runs",
            claim="A process holds 16.0 GiB and has run nothing for 42 min.", share=1.0, effect=None,
            actions=("Ask alice to stop pid 60102.",), owner="fleet",
        ),
        make.make_finding("MEM001", gpu=0, usd_h=1.9, title="memory-bound", severity="medium", share=0.28),
    )  # fmt: skip


def node(tick: int = 60, *, gpus: int = 8, points: int = 60, **changes: Any) -> Snapshot:
    """The synthetic node at a tick."""
    views = [view_of(gpu, tick, points) for gpu in range(gpus)]
    diagnosis = make.make_diagnosis(
        verdicts=[view.verdict for view in views if view.verdict],
        findings=[found for found in findings() if found.gpu < gpus],
    )
    cores = tuple(((core * 37 + tick * 11) % 100) / 100 for core in range(32))
    snapshot = make.make_snapshot(
        diagnosis=diagnosis,
        devices=tuple(views),
        t_s=make.T0_S + tick,
        host=make.make_host_sample(cpu_fracs=cores),
    )
    return msgspec.structs.replace(snapshot, **changes)


class FakeSource:
    """Gives the snapshots it is told to, and notes what it is asked."""

    def __init__(self, first: Snapshot | None = None) -> None:
        self.now = first or node()
        self.recording_problem: str | None = None
        self.paused: list[bool] = []
        self.recordings: list[Path] = []
        self.stopped = 0
        self.looked: list[str] = []
        self.inside = Stacks(pid=1, tool="py-spy", samples=0, seconds=0.0, missing="py-spy is not installed")
        self.look_ends = threading.Event()
        self.look_ends.set()
        self.closed = 0
        self.error: Exception | None = None
        self.record_error: OSError | None = None
        self.changed: threading.Event | None = None

    def snapshot(self) -> Snapshot:
        """The snapshot put in `now`, or the error put in `error`."""
        if self.error is not None:
            raise self.error
        return self.now

    def subscribe(self, changed: threading.Event) -> None:
        """Note it."""
        self.changed = changed

    def look_inside(self, key: str, stop: Callable[[], bool]) -> Stacks:
        """Note it, and give what was put in `inside`; from then on the snapshots hold it."""
        self.looked.append(key)
        while not self.look_ends.wait(0.01) and not stop():
            pass
        look = StackLook(t_s=make.T0_S, key=key, stacks=self.inside)
        views = (
            msgspec.structs.replace(v, inside=look) if v.info.key == key else v for v in self.now.devices
        )
        self.now = msgspec.structs.replace(self.now, devices=tuple(views))
        return self.inside

    def pause(self, on: bool) -> None:
        """Note it."""
        self.paused.append(on)

    def start_recording(self, path: Path) -> None:
        """Note it, or raise what was put in `record_error`."""
        if self.record_error is not None:
            raise self.record_error
        self.recording_problem = None
        self.recordings.append(path)

    def stop_recording(self) -> None:
        """Note it."""
        self.stopped += 1

    def close(self) -> None:
        """Note it."""
        self.closed += 1


class MovingSource(FakeSource):
    """A new tick each time it is asked."""

    def __init__(self, gpus: int = 8, points: int = 600) -> None:
        self.made = [node(tick, gpus=gpus, points=points) for tick in range(600, 610)]
        self.asked = 0
        super().__init__(self.made[0])

    def snapshot(self) -> Snapshot:
        """The next of ten ticks."""
        self.asked += 1
        return self.made[self.asked % len(self.made)]
