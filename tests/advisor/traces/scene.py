"""Timelines made by hand, in ns. All of it is synthetic: no GPU produced these figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from advisor.traces.attribution import Attribution, attribute
from advisor.traces.timeline import (
    CopyKind,
    GpuKind,
    HostKind,
    Thread,
    Timeline,
    TraceMeta,
    gpu_table,
    host_table,
    step_table,
)
from rules.traces.host_names import host_role
from rules.traces.records import BUSY, CAUSES

MAIN, AUTOGRAD, OTHER_PROCESS, NOBODY = 0, 1, 2, 3
THREADS = (Thread(100, 100, "main"), Thread(100, 101, "autograd"), Thread(200, 200), Thread(-1, 0))


@dataclass
class Scene:
    """Rows as they are added; `timeline()` joins them by correlation."""

    gpu: list[dict[str, Any]] = field(default_factory=list)
    host: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def call(
        self,
        name: str,
        start: int,
        end: int,
        *,
        thread: int = MAIN,
        kind: HostKind = HostKind.RUNTIME,
        link: int = -1,
    ) -> Scene:
        """A host interval; `link` is the correlation with what it launched."""
        self.host.append(
            {"start_ns": start, "end_ns": end, "thread": thread, "kind": kind, "role": host_role(name),
             "name": self._name(name), "correlation": link}
        )  # fmt: skip
        return self

    def range(self, name: str, start: int, end: int, *, thread: int = MAIN) -> Scene:
        """A range that the program marks."""
        return self.call(name, start, end, thread=thread, kind=HostKind.ANNOTATION)

    def op(self, name: str, start: int, end: int, *, thread: int = MAIN) -> Scene:
        """A framework operator."""
        return self.call(name, start, end, thread=thread, kind=HostKind.OP)

    def ran(
        self,
        start: int,
        end: int,
        *,
        link: int = -1,
        stream: int = 7,
        device: int = 0,
        kind: GpuKind = GpuKind.KERNEL,
        copy: CopyKind = CopyKind.OTHER,
        name: str = "synthetic_kernel",
        graph: int = -1,
    ) -> Scene:
        """An interval on the device."""
        self.gpu.append(
            {"start_ns": start, "end_ns": end, "device": device, "stream": stream, "kind": kind, "copy": copy,
             "name": self._name(name), "correlation": link, "graph": graph}
        )  # fmt: skip
        return self

    def launched(
        self,
        call: tuple[int, int],
        ran: tuple[int, int],
        *,
        thread: int = MAIN,
        api: str = "cudaLaunchKernel",
        **gpu: Any,
    ) -> Scene:
        """An interval on the device with the call that launched it."""
        link = len(self.gpu) + 1000
        return self.call(api, *call, thread=thread, link=link).ran(*ran, link=link, **gpu)

    def timeline(self) -> Timeline:
        """The timeline, its launches joined."""
        host = host_table(**_columns(self.host, "start_ns"))
        links = {int(number): row for row, number in enumerate(host.correlation) if number >= 0}
        rows = [{**row, "launch": links.get(row["correlation"], -1)} for row in self.gpu]
        return Timeline(
            meta=TraceMeta("synthetic", "kineto", 0),
            gpu=gpu_table(**_columns(rows, "start_ns")),
            host=host,
            steps=step_table(),
            names=tuple(self.names),
            ops=(),
            threads=THREADS,
            devices=(),
        )

    def attributed(self, device: int = 0) -> Attribution:
        """The device's attribution; kernels are of unknown nature."""
        timeline = self.timeline()
        return attribute(timeline, device, natures(timeline))

    def _name(self, name: str) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)


def natures(timeline: Timeline) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Kernels as other, the rest as copies."""
    kinds = np.where(timeline.gpu.kind == GpuKind.KERNEL, BUSY.index("other"), BUSY.index("copy"))
    return kinds.astype(np.uint8)


def causes(attribution: Attribution) -> dict[str, int]:
    """ns by cause, those that occur."""
    sums = attribution.causes_ns().tolist()
    return {name: ns for name, ns in zip(CAUSES, sums, strict=True) if ns}


def _columns(rows: list[dict[str, Any]], required: str) -> dict[str, list[Any]]:
    if not rows:
        return {required: []} | {"end_ns": [], "thread": [], "kind": [], "role": [], "device": []}
    return {key: [row[key] for row in rows] for key in rows[0]}
