"""Figures of two traces, per step with the interval that the spread of steps gives, or per span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from advisor.comparing.figures import direction
from advisor.traces.comparable import Side, events
from rules import thresholds_trace as tt
from rules.compare.intervals import Mean, difference, mean_of
from rules.traces.compared import Per, TraceFigure
from rules.traces.records import BUSY, CAUSES, DeviceTrace, StepFigures, StepRow

_PHASES = ("data", "zero_grad", "forward", "backward", "optimizer", "other")
Group = Literal["step", "cause", "busy", "phase", "work"]


def figures(a: Side, b: Side, per: Per) -> tuple[TraceFigure, ...]:
    """All that is in either: time, idle and busy; by cause, by class, by phase of the host; launches."""
    left, right = a[1], b[1]
    scale = max(_whole(left, per), _whole(right, per))
    made = [
        *_of(left, right, per, "step", ("time", "idle", "busy"), scale),
        *_of(left, right, per, "cause", CAUSES, scale),
        *_of(left, right, per, "busy", BUSY, scale),
    ]
    if per == "step":
        made += _of(left, right, per, "phase", _PHASES, scale)
    if per != "share":
        made.append(_count("launched", events(a, per), events(b, per)))
    return tuple(made)


def _of(
    a: DeviceTrace, b: DeviceTrace, per: Per, group: Group, names: Sequence[str], scale: float
) -> Iterator[TraceFigure]:
    for name in names:
        left, right = _series(a, per, group, name), _series(b, per, group, name)
        if per == "share" and name == "time":
            continue
        if any(left) or any(right):
            yield _figure(name, group, left, right, per, scale)


def _series(device: DeviceTrace, per: Per, group: Group, name: str) -> list[float]:
    """One value a whole step, or the one of the span."""
    if per == "step" and device.steps is not None:
        return [_of_step(row, group, name) for row in rows_of(device.steps)]
    parts = {"time": device.span_us, "idle": device.idle_us, "busy": device.busy_us}
    known = {"step": parts, "cause": device.causes, "busy": device.busy}.get(group, {})
    value = known.get(name, 0.0)
    return [value / device.span_us if per == "share" and device.span_us > 0 else value]


def rows_of(steps: StepFigures) -> list[StepRow]:
    """Whole steps that took time; all that took time where none is whole."""
    took = [row for row in steps.rows if row.duration_us > 0.0]
    return [row for row in took if not row.partial] or took


def _of_step(row: StepRow, group: Group, name: str) -> float:
    parts = {"time": row.duration_us, "busy": row.busy_us, "idle": row.duration_us - row.busy_us}
    known = {"step": parts, "cause": row.causes, "busy": row.busy, "phase": row.phases}.get(group, {})
    return known.get(name, 0.0)


def _whole(device: DeviceTrace, per: Per) -> float:
    values = _series(device, per, "step", "time")
    return sum(values) / len(values) if values else 0.0


def _figure(
    name: str, group: Group, left: Sequence[float], right: Sequence[float], per: Per, scale: float
) -> TraceFigure:
    a, b = (sum(values) / len(values) if values else None for values in (left, right))
    unit: Literal["us", "frac"] = "frac" if per == "share" else "us"
    better: Literal["down"] | None = "down" if group in ("step", "cause") and name != "busy" else None
    made = TraceFigure(name=name, unit=unit, group=group, a=a, b=b, better=better)
    if a is None or b is None:
        return made
    change = b - a
    tiny = max(abs(a), abs(b)) < tt.TRACE_TINY.value * scale
    relative = None if a <= 0.0 or a < tt.TRACE_TINY.value * scale or per == "share" else change / a
    low, high = _interval(left, right)
    says = "no-difference" if change == 0.0 or (tiny and low is None) else "unclear"
    if low is not None and high is not None:
        says = direction(change, low, high)
    return TraceFigure(
        name=name, unit=unit, group=group, a=a, b=b, better=better, change=change, relative=relative,
        low=low, high=high, says=says,  # type: ignore[arg-type]
    )  # fmt: skip


def _interval(left: Sequence[float], right: Sequence[float]) -> tuple[float | None, float | None]:
    """95 % by Welch; by batch means of long series. None with fewer than three steps on a side."""
    if min(len(left), len(right)) < int(tt.TRACE_FEW_STEPS.value):
        return None, None
    found = difference(_mean(left), _mean(right))
    return found.low, found.high


def _mean(values: Sequence[float]) -> Mean:
    batched = mean_of(values, [1.0] * len(values))
    if batched is not None:
        return batched
    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    return Mean(mean, variance / count, count - 1.0)


def _count(name: str, a: float, b: float) -> TraceFigure:
    return TraceFigure(
        name=name, unit="count", group="work", a=a, b=b, change=b - a,
        relative=(b - a) / a if a > 0.0 else None,
        says="no-difference" if a == b else "up" if b > a else "down",
    )  # fmt: skip
