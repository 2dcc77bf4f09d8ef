"""Snapshot: one immutable picture of the node for a screen to draw. Made by advisor.monitor.Monitor."""

from __future__ import annotations

from typing import Literal

import msgspec

from advisor.document import Diagnosis
from advisor.telemetry.records import DeviceInfo, Hello, HostSample, ProcessSample, Sample, StackLook
from probes.ceilings import Ceilings, Label
from rules.finding import LadderRow
from rules.verdict import Verdict

Mode = Literal["live", "replay", "demo"]
State = Literal["waiting", "ok", "lost", "silent"]


class HistoryPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One tick of one device. shares: verdict shares (SHARES keys) of this tick alone; empty when unknown.

    gap: no data came in this tick (draw it as a hole, not as zero).
    """

    t_s: float
    shares: dict[str, float] = {}
    gr_active: float | None = None
    sm_active: float | None = None
    tensor_active: float | None = None
    dram_active: float | None = None
    power_w: float | None = None
    sm_mhz: float | None = None
    temp_c: float | None = None
    mem_used_bytes: int | None = None
    gap: bool = False


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """One row: a GPU, or a MIG instance. state: `waiting` (no frame yet), `ok`, `lost`, `silent`.

    ceilings: what its counters are compared with; None for a model nothing is known of. inside: the latest
    look inside its process, where somebody asked for one.
    """

    info: DeviceInfo
    state: State
    state_reason: str = ""
    sample: Sample | None = None
    latest: HistoryPoint | None = None
    processes: tuple[ProcessSample, ...] = ()
    verdict: Verdict | None = None
    ladder: LadderRow | None = None
    history: tuple[HistoryPoint, ...] = ()
    ceilings: Ceilings | None = None
    inside: StackLook | None = None

    @property
    def counters_at_ceiling(self) -> dict[str, float]:
        """Counter name -> its reading at the ceiling (what a full bar means)."""
        return {r.counter: r.frac for r in self.ceilings.readings} if self.ceilings else {}

    @property
    def ceilings_label(self) -> Label | None:
        """How the ceilings came about."""
        return self.ceilings.label if self.ceilings else None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The node at `t_s` (Unix time of the newest data).

    mode: where data comes from. reason: why a replay is shown instead of a live node, or "".
    stale: one sentence when data is old ("driver not answering since 14:02:31"), else None.
    ended: one sentence when the stream is over, else None.
    """

    t_s: float
    mode: Mode
    reason: str
    hello: Hello
    devices: tuple[DeviceView, ...]
    host: HostSample | None
    diagnosis: Diagnosis
    stale: str | None = None
    ended: str | None = None
    paused: bool = False
