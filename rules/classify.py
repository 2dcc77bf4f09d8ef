"""Classify: from sub-windows to a split of paid time.

`split` reads one sub-window and divides its seconds among the shares; it looks at nothing else, so a
live monitor does it once per sub-window. `total` adds splits up; `rules.decide` names the class.

Roof fractions are conditional on busy time: a counter is an average over the whole sub-window, so it
is divided by the part in which anything ran, then by the counter's own reading at the ceiling.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier
from rules.roofs import Limits, Roofs, link_frac, roofs
from rules.verdict import SHARES, Class

FAULT_REASONS = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})
CLOCK_REASONS = FAULT_REASONS | {"sw_power_cap"}

# Which shares make up which class. Throttled time is compute that ran slower, so it argues for
# neither memory nor host; it is shown as its own share and as a secondary cause.
GROUPS: dict[Class, tuple[str, ...]] = {
    "idle": ("free", "idle_held"),
    "host": ("host",),
    "communication": ("communication",),
    "device": ("device",),
    "memory": ("memory",),
    "compute": ("compute", "throttle"),
}

CLASS_OF: dict[str, Class] = {share: class_ for class_, shares in GROUPS.items() for share in shares}


class Split(msgspec.Struct, frozen=True, dict=True):
    """One sub-window's seconds, divided. `seconds` sums to `duration_s`.

    useful_s: busy seconds weighted by the larger roof fraction: time the device did what it can.
    quiet: nothing ran although a process holds the device (a host gap, or idle-held if it lasts).
    seen: False when there was no data.
    """

    t_s: float
    duration_s: float
    seconds: dict[str, float]
    useful_s: float = 0.0
    busy_s: float = 0.0
    dram_s: float | None = None
    pipe_s: float | None = None
    pipe: str | None = None
    quiet: bool = False
    seen: bool = True

    @cached_property
    def prevailing(self) -> str:
        """The class with most of the seconds; "unknown" where that is what most of them are."""
        scores: dict[str, float] = {}
        for share, seconds in self.seconds.items():
            class_ = CLASS_OF.get(share, "unknown")
            scores[class_] = scores.get(class_, 0.0) + seconds
        return max(scores, key=scores.__getitem__)


def unseen(t_s: float, duration_s: float) -> Split:
    """Time without data: paid for, and unknown."""
    return Split(t_s, duration_s, {"unknown": duration_s}, seen=False)


def split(
    window: SubWindow, tier: Tier, ceilings: Ceilings | None, limits: Limits, *, launching: bool = False
) -> Split:
    """Divide one sub-window's seconds among SHARES.

    launching: the host is known to have a thread pegged on a core at this time (see `is_launching`).
    """
    d = window.duration_s
    if window.lost or window.gr_active is None:
        return unseen(window.t_s, d)
    busy = min(1.0, max(0.0, window.gr_active))
    if busy < th.ENGINE_IDLE.value:
        if window.has_process is False:
            return Split(window.t_s, d, {"free": d})
        return Split(window.t_s, d, {"host": d}, quiet=True)
    found = roofs(window, tier, ceilings, limits)
    seconds = {"host": d * (1.0 - busy)}
    useful = _divide_busy(seconds, d * busy, window, found, limits, launching=launching)
    return Split(
        window.t_s,
        d,
        seconds,
        useful_s=useful,
        busy_s=d * busy,
        dram_s=None if found.dram is None else d * busy * found.dram,
        pipe_s=None if found.pipe is None else d * busy * found.pipe,
        pipe=found.pipe_name,
    )


def limits_of(evidence: Evidence, ceilings: Ceilings | None) -> Limits:
    """The limits known of this device: from its ceilings, else from what the driver says of it."""

    def value(metric: str) -> float | None:
        found = ceilings.ceiling(metric) if ceilings else None
        return found.value if found else None

    clock = (ceilings.sm_mhz if ceilings else None) or evidence.device.sm_mhz_max
    return Limits(
        power_w=evidence.device.power_limit_w or (ceilings.power_w if ceilings else None),
        sm_mhz=clock,
        pcie_bytes_s=value("pcie"),
        nvlink_bytes_s=value("nvlink"),
        clock_reasons=CLOCK_REASONS if _cap_costs(evidence.device, ceilings) else FAULT_REASONS,
    )


def _cap_costs(device: Device, ceilings: Ceilings | None) -> bool:
    """Whether a clock held down by the power limit counts as lost time.

    Large GEMMs reach a board's own limit always: that is part of its ceiling. It costs when somebody
    lowered the limit, or when a probe on this card has shown a higher clock under the same limit.
    """
    return power_lowered(device) or (ceilings is not None and ceilings.label == "measured")


def power_lowered(device: Device) -> bool:
    """True when the power limit is below the board's default."""
    limit, default = device.power_limit_w, device.power_limit_default_w
    return limit is not None and default is not None and limit < th.POWER_LIMIT_LOW.value * default


def is_launching(host: HostEvidence) -> bool:
    """True when a thread of the workload is pegged on a core and its children are not the busy ones."""
    thread = host.thread_demand_frac
    return thread is not None and thread >= th.LAUNCH_THREAD.value and not host.children_busy


def _divide_busy(
    seconds: dict[str, float], busy_s: float, w: SubWindow, found: Roofs, limits: Limits, *, launching: bool
) -> float:
    """Divide busy seconds into `seconds`; return how many of them were useful."""
    top = found.top
    if top is None:
        _add(seconds, "unknown", busy_s)
        return 0.0
    useful = busy_s * top
    if top < th.ROOF_HIGH.value and link_frac(w, limits) >= th.LINK_HIGH.value:
        _add(seconds, "communication", busy_s)
        return useful
    where = _busy_share(w, found, launching=launching)
    lost_s = busy_s * clock_loss(w, limits) if where in ("compute", "device") else 0.0
    _add(seconds, "throttle", lost_s)
    _add(seconds, where, busy_s - lost_s)
    return min(useful, busy_s - lost_s)


def _busy_share(w: SubWindow, found: Roofs, *, launching: bool) -> str:
    top = found.top or 0.0
    if top >= th.ROOF_HIGH.value:
        return "memory" if (found.dram or 0.0) >= (found.pipe or 0.0) else "compute"
    if not found.complete:
        return "unknown"
    if launching and _kernels_too_small(w):
        return "host"
    return "device"


def _kernels_too_small(w: SubWindow) -> bool:
    """Short kernels leave SMs idle in between and never fill them: low sm_active, low occupancy."""
    if not w.gr_active:
        return False
    if w.sm_active is None:  # nvml tier: the caller has already found both estimated roofs low
        return True
    active = w.sm_active / w.gr_active
    occupancy = (w.sm_occupancy or 0.0) / w.gr_active
    return active < th.LAUNCH_SM_ACTIVE.value or occupancy < th.LAUNCH_OCCUPANCY.value


def clock_loss(w: SubWindow, limits: Limits) -> float:
    """Share of compute speed lost to a clock the driver holds down (power, heat), 0 when it is not."""
    if not limits.sm_mhz or not w.sm_mhz or not limits.clock_reasons.intersection(w.throttle_reasons):
        return 0.0
    ratio = w.sm_mhz / limits.sm_mhz
    return 1.0 - ratio if ratio < th.CLOCK_LOW.value else 0.0


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    if value > 0.0:
        seconds[key] = seconds.get(key, 0.0) + value


class Sums(msgspec.Struct, frozen=True):
    """Splits added up over a window. shares sums to 1, or is empty without any split.

    observed_s: seconds with data.
    """

    observed_s: float
    shares: dict[str, float]
    useful: float
    dram_roof: float | None
    pipe_roof: float | None
    pipe: str | None
    longest_quiet_s: float


def total(splits: Sequence[Split]) -> Sums:
    """Add splits up by time. A quiet run of IDLE_HELD_MIN_S, or a wholly quiet window, is idle-held."""
    length = sum(s.duration_s for s in splits)
    observed = sum(s.duration_s for s in splits if s.seen)
    if length <= 0.0:
        return Sums(0.0, {}, 0.0, None, None, None, 0.0)
    seconds = dict.fromkeys(SHARES, 0.0)
    for part in splits:
        for key, value in part.seconds.items():
            seconds[key] += value
    held, longest = _held_seconds(splits, observed)
    seconds["host"] -= held
    seconds["idle_held"] += held
    return Sums(
        observed,
        _normalised(seconds),
        min(1.0, sum([s.useful_s for s in splits]) / length),
        _mean([(s.dram_s, s.busy_s) for s in splits]),
        _mean([(s.pipe_s, s.busy_s) for s in splits]),
        _main_pipe(splits),
        longest,
    )


def _held_seconds(splits: Sequence[Split], observed: float) -> tuple[float, float]:
    """(seconds of quiet runs long enough to be idle-held, longest quiet run)."""
    held = longest = run = 0.0
    for part in [*splits, None]:
        if part is not None and part.quiet:
            run += part.duration_s
            continue
        longest = max(longest, run)
        if run >= th.IDLE_HELD_MIN_S.value or run >= observed:
            held += run
        run = 0.0
    return held, longest


def _normalised(seconds: dict[str, float]) -> dict[str, float]:
    """Shares that sum to 1 within rounding: the largest takes what floating point left over."""
    whole = sum(seconds.values())
    shares = {key: max(0.0, value / whole) for key, value in seconds.items()}
    largest = max(shares, key=lambda key: shares[key])
    shares[largest] += 1.0 - sum(shares.values())
    return shares


def _mean(pairs: Sequence[tuple[float | None, float]]) -> float | None:
    known = [(value, weight) for value, weight in pairs if value is not None]
    weight = sum([w for _, w in known])
    return sum([v for v, _ in known]) / weight if weight > 0 else None


def _main_pipe(splits: Sequence[Split]) -> str | None:
    weights: dict[str, float] = {}
    for part in splits:
        if part.pipe:
            weights[part.pipe] = weights.get(part.pipe, 0.0) + (part.pipe_s or 0.0)
    return max(weights, key=lambda name: weights[name]) if weights else None
