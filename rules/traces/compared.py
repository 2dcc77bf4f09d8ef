"""What a comparison of two traces says. A is before, B is after; every change is B less A.

Times are µs of a step where both traces have steps, else of the whole span where both did the same work,
else parts of the span.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.compare.records import Change, Difference, FindingChange

SCHEMA_VERSION = 1

# step: of a mean whole step. span: of the whole trace. share: parts of the span, since work is not the same.
Per = Literal["step", "span", "share"]
KernelState = Literal["appeared", "vanished", "renamed", "faster", "slower", "more", "fewer"]


class TraceSide(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One device of one trace. key: of its row. file, device_name: untrusted. steps: whole ones, of `marked`.

    events: what ran on the device in one step, or in the span.
    """

    key: str
    file: str
    device: int
    span_us: float
    idle_frac: float
    device_name: str | None = None
    rank: int | None = None
    steps: int = 0
    marked: int = 0
    events: float = 0.0


class TraceFigure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One figure of both. unit: "us", "count" or "frac" (a change is in points).

    group: "step" (its time, and busy and idle), "cause" (of CAUSES), "busy" (of BUSY), "phase" (of the host),
    "work". change: b less a; low, high: its 95 % interval from the spread of steps, None without one.
    relative: change over a, None where a is too small for that to mean anything.
    """

    name: str
    unit: Literal["us", "count", "frac"]
    group: Literal["step", "cause", "busy", "phase", "work"]
    a: float | None
    b: float | None
    better: Literal["up", "down"] | None = None
    change: float | None = None
    relative: float | None = None
    low: float | None = None
    high: float | None = None
    says: Change = "unknown"


class KernelChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kernel that changed. name: untrusted; name_b: in B where it is another variant of the family.

    a_us, b_us: a step or the span, summed over its launches; calls_a, calls_b: launches in it; call_a_us,
    call_b_us: median of one launch.
    """

    name: str
    state: KernelState
    family: str
    change_us: float
    name_b: str | None = None
    a_us: float = 0.0
    b_us: float = 0.0
    calls_a: float = 0.0
    calls_b: float = 0.0
    call_a_us: float | None = None
    call_b_us: float | None = None


class TracePair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device of A and the one of B it is compared with. differences: in what the two are not alike.

    gains, losses: the causes and busy classes that explain the change, the largest first. refused: why times
    are not compared; then figures are parts of the span, and kernels are left out. notes: what a reader
    should know.
    """

    a: TraceSide
    b: TraceSide
    matched_by: Literal["rank", "index", "only"]
    per: Per
    differences: tuple[Difference, ...] = ()
    figures: tuple[TraceFigure, ...] = ()
    kernels: tuple[KernelChange, ...] = ()
    kernels_left: int = 0
    gains: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    refused: str | None = None
    notes: tuple[str, ...] = ()


class TraceComparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two traces compared. a, b: as they were named, untrusted. only_a, only_b: devices without a
    counterpart. findings: those that came, went and stayed. refused: why nothing is compared."""

    schema_version: int = SCHEMA_VERSION
    a: str
    b: str
    pairs: tuple[TracePair, ...] = ()
    only_a: tuple[TraceSide, ...] = ()
    only_b: tuple[TraceSide, ...] = ()
    findings: tuple[FindingChange, ...] = ()
    refused: str | None = None
