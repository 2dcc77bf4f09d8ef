"""The first step where no other is whole: as long as the program's own mark says.

A step's time runs from the end of the previous step's work on the device, which a first step does not have.
Where other steps are whole it is left out of what is told of steps. A trace of a single step has nothing
else: its mark lies whole in the file, and the device's rest from the mark's begin to its first work, and from
its last work to the mark's end, is part of the step, with causes like any other.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.traces.attribution import Attribution, rows_of
from advisor.traces.host_lanes import HERE, view
from advisor.traces.idle_causes import cause_of_label, idle_causes
from advisor.traces.intervals import NONE, Ints, Spans, totals
from advisor.traces.lanes import Stretches
from advisor.traces.step_windows import Marks, Windows
from advisor.traces.timeline import Timeline
from rules.traces.records import CAUSES


def as_marked(timeline: Timeline, attribution: Attribution, windows: Windows) -> Windows:
    """The windows, the first one widened to its mark where no step is whole and nothing of it is lost."""
    marked, took = windows.marks, np.diff(windows.edges_ns)
    whole = bool((~windows.cut & (took > 0)).any())
    if marked is None or whole or took[0] <= 0 or windows.source == "optimizer" or _lost(windows):
        return windows
    edges, cut = windows.edges_ns.copy(), windows.cut.copy()
    edges[0], cut[0] = min(int(marked.start_ns[0]), int(edges[0])), False
    if len(windows) == 1:
        edges[1] = max(int(edges[1]), int(marked.end_ns[0]))
    lead = _before(timeline, attribution, int(edges[0]))
    rest = _after(timeline, attribution, marked, int(edges[1])) if len(windows) == 1 else 0 * lead
    note = f"step {windows.number[0]} has no whole step beside it: its time is that of its mark"
    return replace(windows, edges_ns=edges, cut=cut, beyond_ns=lead + rest, notes=(*windows.notes, note))


def _lost(windows: Windows) -> bool:
    return len(windows) == 1 and windows.lost_at_end


def _before(timeline: Timeline, attribution: Attribution, low_ns: int) -> Ints:
    """ns by CAUSES from a time to the device's first work."""
    if low_ns >= attribution.start_ns:
        return np.zeros(len(CAUSES), np.int64)
    gap = Spans(np.array([low_ns]), np.array([attribution.start_ns]))
    rows = rows_of(timeline, attribution.device)
    found = idle_causes(timeline, attribution.device, rows, gap, (low_ns, attribution.start_ns))
    return totals(found.end_ns - found.start_ns, found.cause, len(CAUSES))


def _after(timeline: Timeline, attribution: Attribution, marked: Marks, high_ns: int) -> Ints:
    """ns by CAUSES from the device's last work to a time: no more work came, by what the host did."""
    low_ns = attribution.end_ns
    if high_ns <= low_ns:
        return np.zeros(len(CAUSES), np.int64)
    seen = view(timeline, attribution.device, low_ns, high_ns)
    one = Stretches(*(np.array([value], np.int64) for value in (low_ns, high_ns, 0, NONE)))
    cuts = seen.explain(one, np.array([marked.thread], np.int64))
    cause = cause_of_label(np.where(cuts.label == NONE, HERE, cuts.label))
    return totals(cuts.end_ns - cuts.start_ns, cause, len(CAUSES))
