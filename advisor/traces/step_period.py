"""Steps that nobody marked, told by kernels that repeat.

The names of a stream's kernels, in order, are held against themselves at every likely distance. A distance
is taken for a step only where nearly all names agree at it, at both ends of the trace too: layers of one pass
repeat as well, but what comes before and after them does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from advisor.traces.step_windows import Windows, main_stream
from advisor.traces.timeline import GpuKind, Ints, Timeline
from rules import thresholds_trace as tt

SOURCE = "inferred from repeating kernels"
_ANCHORS = 12
_LAGS = 24


def repeating_windows(timeline: Timeline, device: int) -> Windows | None:
    """Steps from the repetition of kernels on the main stream; None where it is not clear."""
    gpu = timeline.gpu
    rows = np.flatnonzero((gpu.device == device) & (gpu.kind == GpuKind.KERNEL))
    if rows.shape[0] < 3 * tt.TRACE_PERIOD_LEAST.value:
        return None
    rows = rows[gpu.stream[rows] == main_stream(timeline, rows)]
    lag = period(gpu.name[rows], gpu.end_ns[rows] - gpu.start_ns[rows])
    if lag is None:
        return None
    ends = gpu.end_ns[rows][_first(rows, gpu.start_ns, gpu.end_ns, lag) :: lag]
    count = ends.shape[0] - 1
    if count < int(tt.TRACE_FEW_STEPS.value) or (np.diff(ends) <= 0).any():
        return None
    note = (
        f"the program marked no steps: {lag:,} kernels in the same order repeat, and are taken for one; "
        "they may be equal layers of one pass"
    )
    events = np.full(count, lag, np.int64)
    cut = np.zeros(count, np.bool_)
    numbers = np.arange(count, dtype=np.int64)
    return Windows(SOURCE, "kernels", numbers, ends, cut, events, None, (note,))


def period(names: NDArray[np.int32], took_ns: Ints) -> int | None:
    """After how many kernels their order repeats; None where it does not do so clearly."""
    least, count = int(tt.TRACE_PERIOD_LEAST.value), names.shape[0]
    fits = [(lag, _agree(names, lag)) for lag in _likely(names, took_ns) if least <= lag <= count // 3]
    best = max((fit for _, fit in fits), default=0.0)
    if best < tt.TRACE_PERIOD_AGREES.value:
        return None
    lag = min(lag for lag, fit in fits if fit >= best - 0.005)
    ends_agree = min(_agree(names[: 2 * lag], lag), _agree(names[-2 * lag :], lag))
    return lag if ends_agree >= tt.TRACE_PERIOD_AGREES.value else None


def _agree(names: NDArray[np.int32], lag: int) -> float:
    return float((names[lag:] == names[:-lag]).mean())


def _likely(names: NDArray[np.int32], took_ns: Ints) -> list[int]:
    """Distances between occurrences of the kernels with the most time, and of rare ones; shortest first."""
    kinds, which, counts = np.unique(names, return_inverse=True, return_counts=True)
    spent = np.zeros(kinds.shape[0], np.int64)
    np.add.at(spent, which, took_ns)
    repeats = np.flatnonzero(counts >= 3)
    longest = repeats[np.argsort(-spent[repeats], kind="stable")][:_ANCHORS]
    rarest = repeats[np.argsort(counts[repeats], kind="stable")][:_ANCHORS]
    lags: set[int] = set()
    for kind in np.unique(np.concatenate((longest, rarest))):
        places = np.flatnonzero(which == kind)
        lags |= _usual(np.diff(places)) | _usual(places[2:] - places[:-2])
    return sorted(lags)


def _usual(distances: Ints) -> set[int]:
    found, counts = np.unique(distances, return_counts=True)
    return {int(found[i]) for i in np.argsort(-counts, kind="stable")[:_LAGS]}


def _first(rows: NDArray[np.intp], start_ns: Ints, end_ns: Ints, lag: int) -> int:
    """The kernel that ends a step: the one after which the stream usually rests the longest."""
    rest = np.maximum(start_ns[rows][1:] - end_ns[rows][:-1], 0)
    whole = (rest.shape[0] // lag) * lag
    return int(np.argmax(np.median(rest[:whole].reshape(-1, lag), axis=0)))
