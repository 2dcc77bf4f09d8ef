"""What a rival's classifier is given, and what is asked of it: a class for a whole recording, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

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
    looks: its class at each look at a recording, None where it names none. sees: the tier of ours that has
    the same figures to go by. missing: why it cannot run here.
    """

    name: str
    version: str
    source: str
    mapping: str
    looks: Callable[[Seen], Sequence[Label | None]]
    sees: Literal["counters", "nvml"]
    missing: str | None = None

    def classify(self, seen: Seen) -> Label | None:
        """What it says of most of the time: a class, or nothing."""
        return majority(self.looks(seen))

    def named(self, seen: Seen) -> Label | None:
        """The class it names most often, however seldom it names any: in favour of hints that are sparse."""
        return majority(look for look in self.looks(seen) if look is not None)


def majority(found: Iterable[Label | None]) -> Label | None:
    """What was said most often, over the looks at one recording; of equals what was said first."""
    counts = Counter(found)
    return counts.most_common(1)[0][0] if counts else None


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the known values; None when there are none."""
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None
