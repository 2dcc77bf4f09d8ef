"""Verdict: how the paid time splits, what limits the workload, and how sure that is."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.evidence import Tier, Workload

Class = Literal["compute", "memory", "host", "communication", "device", "idle", "unknown"]

# Every share key, in the order ladders and bars show them. They sum to 1.
SHARES: tuple[str, ...] = (
    "free",
    "idle_held",
    "host",
    "communication",
    "throttle",
    "device",
    "memory",
    "compute",
    "unknown",
)


# Which shares make up which class. Throttled time is work that ran slower: it belongs to the class that
# runs slower with the clock, compute, and is shown as its own share and secondary cause.
GROUPS: dict[Class, tuple[str, ...]] = {
    "idle": ("free", "idle_held"),
    "host": ("host",),
    "communication": ("communication",),
    "device": ("device",),
    "memory": ("memory",),
    "compute": ("compute", "throttle"),
}
CLASS_OF: dict[str, Class] = {share: class_ for class_, shares in GROUPS.items() for share in shares}


class EvidenceItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One checkable line: a metric, its value, the threshold it met, and where it was read.

    value is None when unknown. unit: "frac", "bytes_s", "w", "mhz", "c", "count", "cores", "s", ""...
    threshold: as shown, such as "> 0.15"; None for context only.
    """

    metric: str
    value: float | str | None
    unit: str = "frac"
    threshold: str | None = None
    source: str = ""


class Margin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Distance of a deciding value from its threshold; positive is on the verdict's side."""

    name: str
    value: float
    threshold: float
    margin: float


class Verdict(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}
):
    """What limits one workload.

    class_ ("class" in JSON): the largest group of shares, or `unknown`.
        `device` is time on the GPU in which neither roof was approached: latency, occupancy, grid size.
    cause: a short stable slug (`input-pipeline`, `launch-rate`, `dram-bandwidth`, `idle-held`, ...).
    secondary: the next class with a share of at least 0.15, if any.
    shares: SHARES key -> share of the window; sums to 1 within 1e-9.
    dram_roof_frac, pipe_roof_frac: busy-time means of the roof fractions; None when unknown.
    roofs: class -> mean of the larger roof fraction over that class's own busy time.
    counters: class -> counter (sm_active, sm_occupancy, tensor_active) -> its mean over that class's own busy
        time; without those that were not read.
    ceilings_label: how what the counters are compared with came about; "stale" for measurements that may no
        longer hold.
    useful_frac: part of the window in which it did what the card can do. unroofed_frac: part in which it was
        busy and no roof fraction is known, so that nobody can say how much of that was useful.
    cause_confidence: how sure the cause is, given the class, where it was inferred (host causes).
    unknown_because: what is missing, when class_ is `unknown`; also reasons for a lower tier.
    noise: how much the deciding lead may be off by chance and by the ceilings' own error; None when no share
        decided. settle: what measurement would settle an unknown or narrow verdict, with its command.
    """

    key: str
    gpu: int
    mig: str | None
    device_name: str
    workload: Workload | None
    class_: Class
    cause: str
    confidence: float
    tier: Tier
    shares: dict[str, float]
    evidence: tuple[EvidenceItem, ...] = ()
    secondary: Class | None = None
    secondary_cause: str | None = None
    margins: tuple[Margin, ...] = ()
    dram_roof_frac: float | None = None
    pipe_roof_frac: float | None = None
    pipe: str | None = None
    roofs: dict[str, float] = {}
    cause_confidence: float | None = None
    useful_frac: float | None = None
    unroofed_frac: float = 0.0
    ceilings_label: str | None = None
    headline: str = ""
    unknown_because: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    noise: float | None = None
    settle: tuple[str, ...] = ()
    counters: dict[str, dict[str, float]] = {}

    def class_mean(self, class_: str, counter: str) -> float | None:
        """A counter's mean over the busy time that went to a class; None where it was not read."""
        return self.counters.get(class_, {}).get(counter)


class Phase(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}
):
    """A stretch of the window with one class, merged from equal neighbouring sub-windows."""

    class_: str
    t_start_s: float
    t_end_s: float
