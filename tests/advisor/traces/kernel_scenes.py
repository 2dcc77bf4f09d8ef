"""Small made-up timelines of kernels. All of it is synthetic: no GPU produced these figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from advisor.traces.timeline import (
    GpuKind,
    HostKind,
    Op,
    StepTable,
    Thread,
    Timeline,
    TraceDevice,
    TraceMeta,
    gpu_table,
    host_table,
    step_table,
)
from probes.ceilings import Ceiling, Ceilings
from rules.traces.host_names import host_role

SM_COUNT = 100
CARD = TraceDevice(
    device=0, name="Synthetic", sm_count=SM_COUNT, compute_capability="9.0", max_threads_per_sm=2048,
    warp_size=32, registers_per_sm=65536, shared_bytes_per_sm=233472,
)  # fmt: skip


def ceilings(**values: float) -> Ceilings:
    """Made-up ceilings: 1 TB/s, 100 Tflop/s in bf16 and 10 in fp32, unless told otherwise."""
    given = {"dram": 1e12, "bf16": 1e14, "fp32": 1e13} | values
    made = [
        Ceiling(metric=name, value=value, unit="flop_s", label="assumed", source="synthetic")
        for name, value in given.items()
    ]
    return Ceilings(model="Synthetic", label="assumed", ceilings=tuple(made))


@dataclass
class Scene:
    """Collects a timeline; times are ns."""

    gpu: list[dict[str, Any]] = field(default_factory=list)
    host: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)

    def name(self, text: str) -> int:
        """The number of a name."""
        if text not in self.names:
            self.names.append(text)
        return self.names.index(text)

    def call(self, name: str, start: int, length: int = 3000, thread: int = 0) -> None:
        """An API call or whatever its name says."""
        row = {"start_ns": start, "end_ns": start + length, "thread": thread, "kind": HostKind.RUNTIME}
        self.host.append(row | {"role": host_role(name), "name": self.name(name), "op": -1})

    def op(self, op: Op, start: int, length: int, thread: int = 0) -> int:
        """A call of an operator; its number."""
        if op not in self.ops:
            self.ops.append(op)
        number = self.ops.index(op)
        row = {"start_ns": start, "end_ns": start + length, "thread": thread, "kind": HostKind.OP}
        self.host.append(row | {"role": host_role(op.name), "name": self.name(op.name), "op": number})
        return number

    def kernel(self, name: str, start: int, length: int, *, launched: int | None = None, **more: Any) -> None:
        """A kernel; launched: when its cudaLaunchKernel began."""
        row: dict[str, Any] = {"start_ns": start, "end_ns": start + length, "name": self.name(name)}
        row |= {"kind": GpuKind.KERNEL, "device": 0, "stream": 7, "op": -1, "blocks": 1000, "threads": 256}
        row |= {"registers": 32, "shared_bytes": 0, "occupancy": 0.5, "copy": 0, "bytes": -1, "graph": -1}
        row |= {"launched": launched} | more
        if launched is not None:
            self.call(str(row.get("call", "cudaLaunchKernel")), launched)
        self.gpu.append(row)

    def timeline(self) -> Timeline:
        """The timeline; launches are found by their start."""
        host = host_table(**{key: [row[key] for row in self.host] for key in _HOST})
        launches = {int(t): i for i, t in enumerate(host.start_ns) if host.kind[i] == HostKind.RUNTIME}
        columns = {key: [row[key] for row in self.gpu] for key in _GPU}
        columns["launch"] = [launches.get(row["launched"], -1) for row in self.gpu]
        return Timeline(
            meta=TraceMeta(path="synthetic", format="kineto", size_bytes=0), gpu=gpu_table(**columns),
            host=host, steps=self._steps(), names=tuple(self.names), ops=tuple(self.ops),
            threads=tuple(Thread(1, n) for n in range(1 + max((r["thread"] for r in self.host), default=0))),
            devices=(CARD,),
        )  # fmt: skip

    def _steps(self) -> StepTable:
        if not self.steps:
            return step_table()
        count = len(self.steps)
        return step_table(
            start_ns=self.steps,
            end_ns=[s + 1 for s in self.steps],
            number=range(count),
            thread=[0] * count,
        )


_HOST = ("start_ns", "end_ns", "thread", "kind", "role", "name", "op")
_GPU = ("start_ns", "end_ns", "name", "kind", "device", "stream", "op", "blocks", "threads", "registers",
        "shared_bytes", "occupancy", "copy", "bytes", "graph")  # fmt: skip


def product(m: int, n: int, k: int) -> Op:
    """aten::mm in bf16."""
    return Op("aten::mm", ((m, k), (k, n)), ("c10::BFloat16", "c10::BFloat16"))
