"""What the host was at during each step: data, zero_grad, optimizer, backward, forward, other.

Told by annotations (Optimizer.step#..., "## forward ##"), by DataLoader's own, and by operators of autograd.
Phases do not overlap: of several at once the first in the order above counts, so that they sum to the step as
the host marked it. Where nothing is annotated as forward, it is what the marking thread did in operators
before the step's first backward operator, loss included.
"""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from advisor.traces.intervals import Ints, Spans, empty, paint, union
from advisor.traces.step_windows import Marks
from advisor.traces.timeline import HostKind, Timeline
from rules import thresholds_trace as tt
from rules.traces.host_names import HostRole, host_role

PHASES = ("data", "zero_grad", "optimizer", "backward", "forward")
OTHER = "other"
_NONE = len(PHASES)
_BACKWARD, _FORWARD = PHASES.index("backward"), PHASES.index("forward")
_BACKWARD_NAMES = r"autograd::engine::evaluate_function|torch::autograd::|[A-Za-z]Backward\d*$|\bbackward\b"
_NAMES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("data", re.compile(r"\bdata_?load|\bwait_for_batch\b|\bcopy_batch|\b(?:next|get|fetch)_batch\b", re.I)),
    ("zero_grad", re.compile(r"\bzero_grad\b", re.I)),
    ("optimizer", re.compile(r"^Optimizer\.step#|\boptimi[sz]er\b|\boptim(?:izer)?[_ ]step\b", re.I)),
    ("backward", re.compile(_BACKWARD_NAMES)),
    ("forward", re.compile(r"\bforward\b", re.I)),
)  # fmt: skip


@lru_cache(maxsize=65536)
def phase(name: str) -> int:
    """Index into PHASES of what a host interval of this name is part of; their count where it tells none."""
    if host_role(name) == HostRole.DATA:
        return 0
    return next((PHASES.index(one) for one, pattern in _NAMES if pattern.search(name)), _NONE)


def phases_of(timeline: Timeline, marked: Marks) -> dict[str, Ints]:
    """Host ns of each phase in each step, and of what is left of it as "other". Phases never seen are left
    out."""
    codes = _codes(timeline)
    layers = [_layer(timeline, marked, codes, index) for index in range(_NONE)]
    if len(layers[_FORWARD]) == 0 and len(layers[_BACKWARD]):
        layers[_FORWARD] = _before_backward(timeline, marked, layers[_BACKWARD])
    painted = paint(layers)
    found = {}
    for index, name in enumerate(PHASES):
        one = painted.label == index
        if one.any():
            found[name] = inside(painted.start_ns[one], painted.end_ns[one], marked)
    known = sum(found.values(), np.zeros(len(marked), np.int64))
    return {**found, OTHER: marked.end_ns - marked.start_ns - known} if found else {}


def inside(start_ns: Ints, end_ns: Ints, marked: Marks) -> Ints:
    """How much of each step sorted, disjoint intervals cover, in ns."""
    return _covered(start_ns, end_ns, marked.end_ns) - _covered(start_ns, end_ns, marked.start_ns)


def _covered(start_ns: Ints, end_ns: Ints, until_ns: Ints) -> Ints:
    """How much time before each moment the intervals cover."""
    sums = np.concatenate((np.zeros(1, np.int64), np.cumsum(end_ns - start_ns)))
    begun = np.searchsorted(start_ns, until_ns, side="right")
    reach = np.where(begun > 0, end_ns[np.maximum(begun - 1, 0)] if end_ns.shape[0] else 0, 0)
    return sums[begun] - np.where(begun > 0, np.maximum(reach - until_ns, 0), 0)


def _codes(timeline: Timeline) -> NDArray[np.int8]:
    """The phase of every host row."""
    host = timeline.host
    told = (host.kind == HostKind.ANNOTATION) | (host.kind == HostKind.OP) | (host.kind == HostKind.PYTHON)
    told &= (host.role != HostRole.OVERHEAD) & (host.name >= 0)
    codes = np.full(len(host), _NONE, np.int8)
    used, which = np.unique(host.name[told], return_inverse=True)
    of_name = np.array([phase(timeline.names[name]) for name in used], np.int8)
    codes[told] = of_name[which] if used.shape[0] else _NONE
    return codes


def _layer(timeline: Timeline, marked: Marks, codes: NDArray[np.int8], index: int) -> Spans:
    """The time of one phase: backward on any thread of the process, others on the thread that marks."""
    host = timeline.host
    threads = marked.threads if index == _BACKWARD else np.array([marked.thread])
    rows = np.flatnonzero(codes == index)
    rows = rows[np.isin(host.thread[rows], threads)]
    rest = round(tt.TRACE_PHASE_REST_US.value * 1000)
    merged = union(host.start_ns[rows], host.end_ns[rows] + rest)
    return Spans(merged.start_ns, merged.end_ns - rest)


def _before_backward(timeline: Timeline, marked: Marks, backward: Spans) -> Spans:
    """From the first operator of each step to its first backward operator."""
    host = timeline.host
    ops = np.sort(host.start_ns[(host.kind == HostKind.OP) & (host.thread == marked.thread)])
    if ops.shape[0] == 0:
        return empty()
    first = _next(ops, marked.start_ns)
    until = _next(backward.start_ns, marked.start_ns)
    kept = (first < until) & (until < marked.end_ns)
    return union(first[kept], until[kept])


def _next(sorted_ns: Ints, from_ns: Ints) -> Ints:
    """The first moment at or after each; the largest number where there is none."""
    padded = np.append(sorted_ns, np.iinfo(np.int64).max)
    return padded[np.searchsorted(sorted_ns, from_ns, side="left")]
