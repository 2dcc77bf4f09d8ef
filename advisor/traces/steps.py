"""Steps of one device: how long, how the device spent them, which stand out and why, whether they drift."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from advisor.traces.attribution import Attribution
from advisor.traces.intervals import Ints
from advisor.traces.lone_step import as_marked
from advisor.traces.step_means import mean_with_error, step_means
from advisor.traces.step_period import repeating_windows
from advisor.traces.step_phases import phases_of
from advisor.traces.step_windows import Windows, host_windows, launched_windows, marks
from advisor.traces.timeline import Timeline
from rules import thresholds_trace as tt
from rules.compare.intervals import difference
from rules.traces.records import BUSY, CAUSES, StepFigures, StepRow

ROWS_MAX = 512
_MAD = 1.4826  # from a median absolute deviation to the standard deviation of a normal distribution
_KINDS = (*CAUSES, *BUSY)
_WORDS = {
    "unknown": "idle time of unknown cause", "compute": "compute kernels", "memory": "memory-bound kernels",
    "latency": "latency-bound kernels", "other": "other kernels", "copy": "copies",
}  # fmt: skip
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def step_figures(timeline: Timeline, attribution: Attribution) -> StepFigures:
    """The steps of the device that was attributed. Times are µs.

    Sums over steps are exact: the windows follow each other, and each nanosecond of them has one cause or one
    busy class. Never raises for lack of steps: then `source` is "none", and `notes` says why.
    """
    windows = step_windows(timeline, attribution)
    if windows is None:
        return StepFigures(source="none", count=0, notes=(_why_none(timeline),))
    return _figures(timeline, attribution, windows)


def step_windows(timeline: Timeline, attribution: Attribution) -> Windows | None:
    """The device's steps: by launches, else as marked on the host, else by kernels that repeat."""
    marked = marks(timeline, attribution.device)
    if marked is None:
        return repeating_windows(timeline, attribution.device)
    first, last = attribution.start_ns, attribution.end_ns
    launched = launched_windows(timeline, attribution.device, marked, first)
    if launched is None:
        return host_windows(timeline, marked, first, last)
    return as_marked(timeline, attribution, launched)


def _why_none(timeline: Timeline) -> str:
    if len(timeline.steps):
        return "no marked step holds any work of this device"
    marks = "ProfilerStep, NVTX, steps of an optimizer"
    return f"the program marked no steps ({marks}), and its kernels do not repeat clearly"


def spent(attribution: Attribution, windows: Windows) -> Ints:
    """ns by step (rows) and by CAUSES, then BUSY (columns)."""
    edges = windows.edges_ns
    parts = [attribution.between(int(a), int(b)) for a, b in pairwise(edges)]
    table = np.array([np.concatenate(part) for part in parts], np.int64).reshape(len(windows), len(_KINDS))
    if windows.beyond_ns is not None:
        table[0, : len(CAUSES)] += windows.beyond_ns
    return table


def _figures(timeline: Timeline, attribution: Attribution, windows: Windows) -> StepFigures:
    table = spent(attribution, windows)
    took = np.diff(windows.edges_ns).astype(np.float64) / 1000.0
    whole, notes = _whole(windows, took)
    odd = outliers(took, whole)
    phases = {} if windows.marks is None else phases_of(timeline, windows.marks)
    rows = _rows(windows, table, took, odd, phases)
    trend, noise = _trend(took[whole & ~odd])
    mean = table[whole].mean(axis=0) / 1000.0
    listed = [row for index, row in enumerate(rows) if index < ROWS_MAX or row.outlier]
    return StepFigures(
        source=windows.source,
        window=windows.window,
        count=len(windows),
        mean_us=float(took[whole].mean()),
        median_us=float(np.median(took[whole])),
        mad_us=_mad(took[whole]),
        p90_us=float(np.quantile(took[whole], 0.9)),
        max_us=float(took[whole].max()),
        trend=trend,
        trend_noise=noise,
        phases={name: float(np.median(spans[whole])) / 1000.0 for name, spans in phases.items()},
        causes=_named(CAUSES, mean[: len(CAUSES)]),
        busy=_named(BUSY, mean[len(CAUSES) :]),
        outliers=tuple(row.number for row in rows if row.outlier),
        outlier_because=_because(windows, table, took, whole & ~odd, odd, phases),
        partial=tuple(row.number for row in rows if row.partial),
        rows=tuple(listed),
        rows_left=len(rows) - len(listed),
        means=step_means(_groups(took, table, phases, whole)),
        events_mean=None if windows.events is None else float(windows.events.mean()),
        notes=notes,
    )


def _groups(took: Floats, table: Ints, phases: dict[str, Ints], whole: Mask) -> dict[str, dict[str, Floats]]:
    """µs by whole step: of its time, of each cause and class, of each phase of the host."""
    spans = table[whole] / 1000.0
    busy = spans[:, len(CAUSES) :].sum(axis=1)
    columns = spans.T
    return {
        "step": {"time": took[whole], "idle": took[whole] - busy, "busy": busy},
        "cause": dict(zip(CAUSES, columns[: len(CAUSES)], strict=True)),
        "busy": dict(zip(BUSY, columns[len(CAUSES) :], strict=True)),
        "phase": {name: ns[whole] / 1000.0 for name, ns in phases.items()},
    }


def _whole(windows: Windows, took: Floats) -> tuple[Mask, tuple[str, ...]]:
    """The steps that medians are of: whole ones, or all that took time where there are none."""
    empty = took <= 0.0
    notes = list(windows.notes)
    if (windows.cut & ~empty).any():
        notes.append(_cut_note(windows, windows.cut & ~empty, bool((~windows.cut & ~empty).any())))
    if empty.any():
        notes.append(f"no work on the main stream in {_numbers(windows.number[empty])}: in no median")
    whole = ~windows.cut & ~empty
    return (whole if whole.any() else ~empty), tuple(notes)


def _cut_note(windows: Windows, cut: Mask, others: bool) -> str:
    which = _numbers(windows.number[cut])
    if not others:
        return f"{which} cut by the profiler, and no other: figures are of what is there"
    return f"{which} cut by the profiler (beginning or end on the device not recorded): in no median"


def _numbers(numbers: Ints) -> str:
    shown = ", ".join(str(number) for number in numbers[:4])
    return f"step{'s' if numbers.shape[0] > 1 else ''} {shown}{', ...' if numbers.shape[0] > 4 else ''}"


def _mad(values: Floats) -> float:
    return float(np.median(np.abs(values - np.median(values))))


def outliers(took: Floats, whole: Mask) -> Mask:
    """Whole steps above the median by more than TRACE_STEP_MAD scaled deviations and TRACE_STEP_EXCESS."""
    if int(whole.sum()) < int(tt.TRACE_STEPS_SPREAD.value):
        return np.zeros(took.shape[0], np.bool_)
    usual = float(np.median(took[whole]))
    allowed = max(tt.TRACE_STEP_MAD.value * _MAD * _mad(took[whole]), tt.TRACE_STEP_EXCESS.value * usual)
    return whole & (took > usual + allowed)


def _because(
    windows: Windows, table: Ints, took: Floats, usual: Mask, odd: Mask, phases: dict[str, Ints]
) -> dict[str, str]:
    """What grew in each outlier, against the median of the usual steps: on the device, and of the host."""
    if not odd.any():
        return {}
    medians = np.median(table[usual], axis=0) / 1000.0
    length = float(np.median(took[usual]))
    return {
        str(windows.number[row]): _grew(table[row] / 1000.0 - medians, took[row] - length, length)
        + _phase_grew(phases, int(row), usual, float(took[row]) - length)
        for row in np.flatnonzero(odd)
    }


def _grew(more: Floats, excess: float, length: float) -> str:
    """ "47 ms over the usual 120 ms: data_loading +45 ms"; the causes of three quarters of it, or three."""
    parts, sum_ = [], 0.0
    for kind in np.argsort(-more)[:3]:
        if more[kind] <= 0.0 or sum_ >= 0.75 * excess:
            break
        name = _KINDS[kind]
        parts.append(f"{_WORDS.get(name, name.replace('_', ' '))} +{_ms(more[kind])}")
        sum_ += float(more[kind])
    return f"{_ms(excess)} over the usual {_ms(length)}: {', '.join(parts)}"


def _phase_grew(phases: dict[str, Ints], row: int, usual: Mask, excess: float) -> str:
    """The phase of the host that took longer, where that is half of the excess or more."""
    more = {name: (float(ns[row]) - float(np.median(ns[usual]))) / 1000.0 for name, ns in phases.items()}
    most = max(more, key=lambda name: more[name], default=None)
    if most is None or more[most] < 0.5 * excess:
        return ""
    return f"; on the host {most} +{_ms(more[most])}"


def _ms(us: float) -> str:
    return f"{us / 1000.0:.3g} ms" if us < 1e6 else f"{us / 1e6:.3g} s"


def _trend(took: Floats) -> tuple[float | None, float | None]:
    """Change of the mean from the first to the last third over the first, and its 95 % half-width.

    Welch's interval of the difference; from 20 steps a third by batch means, so that slow waves of step time
    do not count as a trend.
    """
    if took.shape[0] < int(tt.TRACE_STEPS_TREND.value):
        return None, None
    third = took.shape[0] // 3
    first, last = mean_with_error(took[:third]), mean_with_error(took[-third:])
    found = difference(first, last)
    return (last.value - first.value) / first.value, (found.high - found.low) / 2.0 / first.value


def _rows(windows: Windows, table: Ints, took: Floats, odd: Mask, phases: dict[str, Ints]) -> list[StepRow]:
    causes = len(CAUSES)
    return [
        StepRow(
            number=int(windows.number[i]),
            start_us=int(windows.edges_ns[i]) / 1000.0,
            duration_us=float(took[i]),
            busy_us=int(table[i, causes:].sum()) / 1000.0,
            causes=_named(CAUSES, table[i, :causes] / 1000.0),
            busy=_named(BUSY, table[i, causes:] / 1000.0),
            phases={name: int(spans[i]) / 1000.0 for name, spans in phases.items() if spans[i]},
            outlier=bool(odd[i]),
            partial=bool(windows.cut[i]),
            host_us=_host_us(windows, i),
            events=None if windows.events is None else int(windows.events[i]),
        )
        for i in range(len(windows))
    ]


def _host_us(windows: Windows, index: int) -> float | None:
    marked = windows.marks
    return None if marked is None else int(marked.end_ns[index] - marked.start_ns[index]) / 1000.0


def _named(names: Sequence[str], values: Floats) -> dict[str, float]:
    """Only what is there."""
    return {name: float(value) for name, value in zip(names, values, strict=True) if value}
