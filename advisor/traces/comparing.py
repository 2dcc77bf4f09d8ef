"""Two traces compared: devices matched, checked for being alike, then subtracted, cause by cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from advisor.document import Diagnosis
from advisor.traces.comparable import Side, differences, events, per_of, whole
from advisor.traces.compared_figures import figures
from advisor.traces.compared_kernels import kernel_changes, largest
from rules import thresholds_trace as tt
from rules.compare.findings import by_size, finding_changes
from rules.compare.records import FindingChange
from rules.finding import Finding
from rules.traces.compared import Per, TraceComparison, TraceFigure, TracePair, TraceSide
from rules.traces.records import BUSY, CAUSES, DeviceTrace, TraceReport

KERNELS_MAX = 40
How = Literal["rank", "index", "only"]


def compare_traces(
    before: TraceReport | Diagnosis, after: TraceReport | Diagnosis, *, names: tuple[str, str] = ("A", "B")
) -> TraceComparison:
    """What changed from one trace to another. names: what each is called.

    Findings are compared where diagnoses are given. Never raises: what cannot be compared says why.
    """
    reports = _report(before), _report(after)
    if reports[0] is None or reports[1] is None:
        which = names[0] if reports[0] is None else names[1]
        return TraceComparison(a=names[0], b=names[1], refused=f"{which} holds no trace")
    pairs, left_a, left_b = _matched(reports[0], reports[1])
    return TraceComparison(
        a=names[0],
        b=names[1],
        pairs=tuple(_pair(a, b, how) for a, b, how in pairs),
        only_a=tuple(_side(one, "span") for one in left_a),
        only_b=tuple(_side(one, "span") for one in left_b),
        findings=_findings(_of(before), _of(after), pairs),
        refused=None if pairs else _why_none(reports[0], reports[1]),
    )


def _report(given: TraceReport | Diagnosis) -> TraceReport | None:
    return given.trace if isinstance(given, Diagnosis) else given


def _of(given: TraceReport | Diagnosis) -> tuple[Finding, ...]:
    return given.findings if isinstance(given, Diagnosis) else ()


def _why_none(a: TraceReport, b: TraceReport) -> str:
    empty = [name for name, report in (("A", a), ("B", b)) if not report.devices]
    if empty:
        return f"nothing ran on a device in {' and in '.join(empty)}"
    return "the two have no device in common, by rank or by number"


def _matched(a: TraceReport, b: TraceReport) -> tuple[list[tuple[Side, Side, How]], list[Side], list[Side]]:
    """By rank, then by device number, then the only ones left."""
    left_a, left_b = [(a, device) for device in a.devices], [(b, device) for device in b.devices]
    pairs: list[tuple[Side, Side, How]] = []
    ways: tuple[tuple[How, Callable[[DeviceTrace], int | None]], ...] = (
        ("rank", lambda device: device.rank),
        ("index", lambda device: device.device),
    )
    for how, key in ways:
        for one in list(left_a):
            fits = [other for other in left_b if key(one[1]) is not None and key(other[1]) == key(one[1])]
            alike = [other for other in left_a if key(other[1]) == key(one[1])]
            if len(fits) == len(alike) == 1:
                pairs.append((one, fits[0], how))
                left_a.remove(one)
                left_b.remove(fits[0])
    if len(left_a) == len(left_b) == 1:
        pairs.append((left_a.pop(), left_b.pop(), "only"))
    return pairs, left_a, left_b


def _side(side: Side, per: Per) -> TraceSide:
    report, device = side
    steps = device.steps
    file = report.files[device.file].name if 0 <= device.file < len(report.files) else ""
    return TraceSide(
        key=device.key,
        file=file,
        device=device.device,
        span_us=device.span_us,
        idle_frac=device.idle_frac,
        device_name=device.name,
        rank=device.rank,
        steps=0 if steps is None else whole(steps.count, steps.partial),
        marked=0 if steps is None else steps.count,
        events=events(side, per),
    )


def _pair(a: Side, b: Side, how: How) -> TracePair:
    per, refused = per_of(a, b)
    found = figures(a, b, per)
    kernels = () if per == "share" else kernel_changes(a[1], b[1], _parts(a, b, per), _unit_us(found))
    gains, losses = ((), ()) if per == "share" else _explained(found)
    return TracePair(
        a=_side(a, per),
        b=_side(b, per),
        matched_by=how,
        per=per,
        differences=differences(a, b, per),
        figures=found,
        kernels=largest(kernels, KERNELS_MAX),
        kernels_left=max(0, len(kernels) - KERNELS_MAX),
        gains=gains,
        losses=losses,
        refused=refused,
        notes=_notes(a, b, per),
    )


def _parts(a: Side, b: Side, per: Per) -> tuple[float, float]:
    """Steps whose kernels a device's rows hold: by what ran in one, since steps cut by the profiler count."""
    if per != "step":
        return 1.0, 1.0
    ran = [(side[1].events, events(side, per)) for side in (a, b)]
    return (max(1.0, ran[0][0] / (ran[0][1] or 1.0)), max(1.0, ran[1][0] / (ran[1][1] or 1.0)))


def _unit_us(found: Sequence[TraceFigure]) -> float:
    time = next((figure for figure in found if figure.name == "time"), None)
    return 0.0 if time is None or time.a is None else time.a


def _explained(found: Sequence[TraceFigure]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Causes and classes that fell and that rose, by more than noise and a tiny part; the largest first."""
    time = next((f for f in found if f.group == "step" and f.name == "time"), None)
    whole_us = 1.0 if time is None else max(time.a or 0.0, time.b or 0.0)
    moved = [
        f
        for f in found
        if f.name in (CAUSES if f.group == "cause" else BUSY if f.group == "busy" else ())
        and f.change is not None
        and f.says != "no-difference"
        and abs(f.change) >= tt.TRACE_TINY.value * whole_us
    ]
    moved.sort(key=lambda f: -abs(f.change or 0.0))
    return (
        tuple(f.name for f in moved if (f.change or 0.0) < 0.0),
        tuple(f.name for f in moved if (f.change or 0.0) > 0.0),
    )


def _notes(a: Side, b: Side, per: Per) -> tuple[str, ...]:
    if per == "span":
        return ("without steps in both, times are of the whole traces, in which as much work ran",)
    if per == "share":
        return ()
    return tuple(
        f"{name}: {note}"
        for name, side in (("A", a), ("B", b))
        for note in (side[1].steps.notes if side[1].steps is not None else ())
    )


# --- findings -------------------------------------------------------------------------------------


def _findings(
    before: Sequence[Finding], after: Sequence[Finding], pairs: Sequence[tuple[Side, Side, How]]
) -> tuple[FindingChange, ...]:
    """What went first, then what came, then what stayed; by share. Of each pair of devices for itself."""
    several = len(pairs) > 1
    found = [
        change
        for a, b, _ in pairs
        for change in finding_changes(
            [f for f in before if f.key == a[1].key],
            [f for f in after if f.key == b[1].key],
            _called(a[1]) if several else "",
        )
    ]
    keys = {a[1].key for a, _, _ in pairs}, {b[1].key for _, b, _ in pairs}
    rest = [[f for f in side if f.key not in own] for side, own in zip((before, after), keys, strict=True)]
    found += finding_changes(rest[0], rest[1])
    order = ("went", "came", "stayed")
    return tuple(sorted(found, key=lambda one: (order.index(one.state), *by_size(one))))


def _called(device: DeviceTrace) -> str:
    return f"GPU {device.device}" if device.rank is None else f"rank {device.rank}"
