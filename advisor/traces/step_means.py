"""Means over all whole steps, with what their spread leaves open: what comparisons of traces rest on.

They are of every whole step, whichever steps a report lists, so that no choice of steps can bias them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from rules import thresholds_trace as tt
from rules.compare.intervals import Mean, mean_of
from rules.traces.records import StepMean

Floats = NDArray[np.float64]
# Longer series are averaged over neighbours first, to as many values.
_VALUES_MOST = 2048


def step_means(groups: Mapping[str, Mapping[str, Floats]]) -> dict[str, StepMean]:
    """By "group.name". groups: group -> name -> µs by whole step. What is 0 in every step is left out."""
    return {
        f"{group}.{name}": step_mean(values)
        for group, named in groups.items()
        for name, values in named.items()
        if values.any()
    }


def step_mean(values: Floats | Sequence[float]) -> StepMean:
    """The mean, and where there are steps enough its variance by batch means, else by the plain spread."""
    column = np.asarray(values, np.float64)
    count = column.shape[0]
    if count < int(tt.TRACE_FEW_STEPS.value):
        return StepMean(mean_us=float(column.mean()) if count else 0.0)
    found = mean_with_error(column)
    return StepMean(mean_us=found.value, variance=found.variance, freedom=found.freedom)


def mean_with_error(column: Floats) -> Mean:
    """Of two values or more, by batch means where the series is long enough."""
    parts = np.array_split(column, min(column.shape[0], _VALUES_MOST))
    batched = mean_of([float(part.mean()) for part in parts], [float(part.shape[0]) for part in parts])
    if batched is not None:
        return batched
    count = column.shape[0]
    return Mean(float(column.mean()), float(column.var(ddof=1)) / count, count - 1.0)
