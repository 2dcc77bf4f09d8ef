"""What a rival's classifier is given, and what is asked of it: a class for a whole recording, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from advisor.telemetry.records import DeviceInfo, HostSample, Sample
from benchmarks.workloads.spec import Label


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One device of one recording. samples: about one a second, each with its GPM sub-windows."""

    info: DeviceInfo
    samples: tuple[Sample, ...]
    host: tuple[HostSample, ...] = ()


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """A rival's published way to name a bottleneck.

    source: where its rules are published. mapping: how its words were turned into classes, for the reader.
    classify: the class of a recording, or None where it names none. missing: why it cannot run here.
    """

    name: str
    version: str
    source: str
    mapping: str
    classify: Callable[[Seen], Label | None]
    missing: str | None = None


def majority(found: Iterable[Label | None]) -> Label | None:
    """What was said most often, over the looks at one recording; of equals what was said first."""
    counts = Counter(found)
    return counts.most_common(1)[0][0] if counts else None


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the known values; None when there are none."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
