"""Trust: how far the ceilings behind a verdict can be relied on, and where live counters contradict them."""

from __future__ import annotations

from operator import attrgetter

from probes.ceilings import Ceiling, Ceilings, Label
from rules import thresholds as th
from rules.evidence import Evidence
from rules.roofs import PIPES, basis
from rules.verdict import Class

_LABELS: tuple[Label, ...] = ("measured", "typical", "assumed")
_ERRORS: dict[Label, float] = {
    "measured": th.CEILING_ERROR_MEASURED.value,
    "typical": th.CEILING_ERROR_TYPICAL.value,
    "assumed": th.CEILING_ERROR_ASSUMED.value,
}


def label_of(ceilings: Ceilings | None, counter: str | None = None) -> str | None:
    """Label of one counter's reading at the ceiling, of all of them without a counter; None if unknown.

    A reading that was measured and may no longer hold is "stale": it is named as such wherever it is used.
    """
    label = _label(ceilings, counter)
    return "stale" if label == "measured" and ceilings is not None and ceilings.stale else label


def trusted(ceilings: Ceilings | None, class_: Class, pipe: str | None) -> Label | None:
    """The label that counts for how sure a verdict of this class may be.

    Memory rests on the DRAM counter's reading, compute on the pipe's, and whatever says that both roofs are
    far away on both. Measured figures that may no longer hold count as typical ones.
    """
    used = {"memory": ("dram_active",), "compute": (pipe,)}.get(class_, ("dram_active", pipe))
    known = [label for label in (_label(ceilings, counter) for counter in used) if label is not None]
    label = max(known, key=_LABELS.index, default=_label(ceilings, None))
    return "typical" if label == "measured" and ceilings is not None and ceilings.stale else label


def reading_errors(ceilings: Ceilings | None) -> dict[str, float]:
    """Counter -> relative error of its reading at the ceiling, by the reading's label (stale: typical)."""
    if ceilings is None:
        return {}
    stale = ceilings.stale is not None
    return {
        r.counter: _ERRORS["typical" if stale and r.label == "measured" else r.label]
        for r in ceilings.readings
    }


def rate_label(ceilings: Ceilings | None, *used: Ceiling) -> str:
    """Label of the weakest of these limits; "stale" where they were measured and may no longer hold."""
    label = max((limit.label for limit in used), key=_LABELS.index)
    return "stale" if label == "measured" and ceilings is not None and ceilings.stale else label


def words(label: str | None) -> str:
    """ "measured ceiling", "stale ceiling", "no ceiling": as lines of evidence name what they divide by."""
    return f"{label or 'no'} ceiling"


def exceeded(evidence: Evidence, ceilings: Ceilings | None) -> dict[str, float]:
    """Counters that live work drives clearly beyond their measured reading at the ceiling, and how far.

    The value is the mean over the time beyond, as a multiple of the reading. Work that does more than the
    probe did shows a probe that fell short: another user of the card, a lower clock, a kernel that can be
    beaten. Sub-windows that are mostly idle are left out, for there a small error of gr_active is a large one
    of the counter while busy.
    """
    found: dict[str, float] = {}
    for reading in ceilings.readings if ceilings else ():
        if reading.label == "measured" and reading.frac > 0.0 and reading.counter in _ROOF_COUNTERS:
            beyond = _beyond(evidence, reading.counter, reading.frac)
            if beyond is not None:
                found[reading.counter] = beyond
    return found


_ROOF_COUNTERS = frozenset({"dram_active", *PIPES})


def _beyond(evidence: Evidence, counter: str, at_ceiling: float) -> float | None:
    """Mean multiple of the reading over the time above it, None where that time is too short to say."""
    of = attrgetter(counter)
    least = th.CEILING_EXCEEDED.value * at_ceiling
    seconds = sum_s = 0.0
    for w in evidence.windows:
        value, busy = of(w), w.gr_active
        if value is None or busy is None or w.lost or busy < th.CEILING_BUSY.value or value < least * busy:
            continue
        seconds += w.duration_s
        sum_s += w.duration_s * value / min(1.0, busy)
    return sum_s / seconds / at_ceiling if seconds >= th.CEILING_EXCEEDED_S.value else None


def _label(ceilings: Ceilings | None, counter: str | None) -> Label | None:
    if ceilings is None:
        return None
    if counter is None:
        return ceilings.label
    reading = ceilings.reading(counter) or ceilings.reading(basis(counter))
    return ceilings.label if reading is None else reading.label
