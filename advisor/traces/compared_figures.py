"""Figures of two traces, per step with the interval that the spread of steps gives, or per span."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from advisor.comparing.figures import direction
from advisor.traces.comparable import Side, events
from advisor.traces.step_means import step_mean
from rules import thresholds_trace as tt
from rules.compare.intervals import Mean, difference
from rules.traces.compared import Per, TraceFigure
from rules.traces.records import BUSY, CAUSES, DeviceTrace, StepFigures, StepMean, StepRow

_PHASES = ("data", "zero_grad", "forward", "backward", "optimizer", "other")
Group = Literal["step", "cause", "busy", "phase", "work"]


def figures(a: Side, b: Side, per: Per) -> tuple[TraceFigure, ...]:
    """All that is in either: time, idle and busy; by cause, by class, by phase of the host; launches."""
    left, right = a[1], b[1]
    scale = max(mean(side, per, "step", "time").mean_us for side in (left, right))
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
        if per == "share" and name == "time":
            continue
        left, right = mean(a, per, group, name), mean(b, per, group, name)
        if left.mean_us or right.mean_us:
            yield _figure(name, group, left, right, per, scale)


def mean(device: DeviceTrace, per: Per, group: Group, name: str) -> StepMean:
    """Over all whole steps, or the one value of the span; parts of it where `per` is "share"."""
    if per == "step" and device.steps is not None:
        return _of_steps(device.steps, group, name)
    parts = {"time": device.span_us, "idle": device.idle_us, "busy": device.busy_us}
    known = {"step": parts, "cause": device.causes, "busy": device.busy}.get(group, {})
    value = known.get(name, 0.0)
    return StepMean(mean_us=value / device.span_us if per == "share" and device.span_us > 0 else value)


def _of_steps(steps: StepFigures, group: Group, name: str) -> StepMean:
    """As the steps' means say; documents without those tell by rows, where all are listed, or without a
    spread."""
    if steps.means:
        time = steps.means.get("step.time", StepMean(mean_us=0.0))
        never = StepMean(mean_us=0.0, variance=None if time.variance is None else 0.0, freedom=time.freedom)
        return steps.means.get(f"{group}.{name}", never)
    if steps.rows_left == 0:
        return step_mean([_of_step(row, group, name) for row in _whole_rows(steps)])
    busy = sum(steps.busy.values())
    parts = {"time": steps.mean_us or 0.0, "busy": busy, "idle": (steps.mean_us or 0.0) - busy}
    known = {"step": parts, "cause": steps.causes, "busy": steps.busy, "phase": steps.phases}.get(group, {})
    return StepMean(mean_us=known.get(name, 0.0))


def _whole_rows(steps: StepFigures) -> list[StepRow]:
    """Whole steps that took time; all that took time where none is whole."""
    took = [row for row in steps.rows if row.duration_us > 0.0]
    return [row for row in took if not row.partial] or took


def _of_step(row: StepRow, group: Group, name: str) -> float:
    parts = {"time": row.duration_us, "busy": row.busy_us, "idle": row.duration_us - row.busy_us}
    known = {"step": parts, "cause": row.causes, "busy": row.busy, "phase": row.phases}.get(group, {})
    return known.get(name, 0.0)


def _figure(name: str, group: Group, left: StepMean, right: StepMean, per: Per, scale: float) -> TraceFigure:
    a, b = left.mean_us, right.mean_us
    unit: Literal["us", "frac"] = "frac" if per == "share" else "us"
    better: Literal["down"] | None = "down" if group in ("step", "cause") and name != "busy" else None
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


def _interval(left: StepMean, right: StepMean) -> tuple[float | None, float | None]:
    """95 % by Welch, of means over steps. None where a side has too few."""
    sides = [_mean(side) for side in (left, right)]
    if sides[0] is None or sides[1] is None:
        return None, None
    found = difference(sides[0], sides[1])
    return found.low, found.high


def _mean(side: StepMean) -> Mean | None:
    if side.variance is None or side.freedom is None:
        return None
    return Mean(side.mean_us, side.variance, side.freedom)


def _count(name: str, a: float, b: float) -> TraceFigure:
    return TraceFigure(
        name=name, unit="count", group="work", a=a, b=b, change=b - a,
        relative=(b - a) / a if a > 0.0 else None,
        says="no-difference" if a == b else "up" if b > a else "down",
    )  # fmt: skip
