"""Classify: from sub-windows to a split of paid time.

`split` reads one sub-window and divides its seconds among the shares; it looks at nothing else, so a
live monitor does it once per sub-window. `rules.split` adds splits up; `rules.decide` names the class.

Roof fractions are conditional on busy time: a counter is an average over the whole sub-window, so it
is divided by the part in which anything ran, then by the counter's own reading at the ceiling.
"""

from __future__ import annotations

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.divide import MOVABLE, Parts, Work, divide, moved, reached
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier
from rules.roofs import Limits, Roofs, link_frac, roof_errors, roofs, sensible
from rules.split import Split, quiet, unseen
from rules.trust import reading_errors

FAULT_REASONS = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})
# A low clock that somebody set, as a power limit that somebody lowered, is speed paid for and not had.
SET_REASONS = frozenset({"app_clocks"})
CLOCK_REASONS = FAULT_REASONS | SET_REASONS | {"sw_power_cap"}


def split(window: SubWindow, tier: Tier, ceilings: Ceilings | None, limits: Limits) -> Split:
    """Divide one sub-window's seconds among SHARES."""
    d = window.duration_s
    if window.lost or not sensible(window.gr_active):
        return unseen(window.t_s, d)
    busy = min(1.0, window.gr_active or 0.0)
    if busy < th.ENGINE_IDLE.value:
        if window.has_process is False:
            return Split(window.t_s, d, {"free": d}, seen_s=d)
        return quiet(window.t_s, d)
    found = roofs(window, tier, ceilings, limits)
    work = _work(window, tier, found, limits)
    parts = divide(work, found.dram, found.pipe)
    return _split_busy(window, d * busy, found, parts, moved(work, parts), limits)


def limits_of(evidence: Evidence, ceilings: Ceilings | None) -> Limits:
    """The limits known of this device: from its ceilings, else from what the driver says of it.

    sm_mhz of measured ceilings is the lowest clock at which a probe's GEMM was held; of assumed ones it is
    the data sheet's boost clock.
    """

    def value(metric: str) -> float | None:
        found = ceilings.ceiling(metric) if ceilings else None
        return found.value if found and found.value > 0.0 else None

    probed = (ceilings.sm_mhz if ceilings else None) or 0.0
    return Limits(
        power_w=_full_power(evidence.device, ceilings),
        limit_w=evidence.device.power_limit_w or (ceilings.power_w if ceilings else None),
        sm_mhz=probed if probed > 0.0 else evidence.device.sm_mhz_max,
        errors=reading_errors(ceilings),
        pcie_bytes_s=value("pcie"),
        nvlink_bytes_s=value("nvlink"),
        clock_reasons=CLOCK_REASONS if cap_costs(evidence.device, ceilings) else FAULT_REASONS | SET_REASONS,
    )


def _full_power(device: Device, ceilings: Ceilings | None) -> float | None:
    """What a load that uses all of the device draws: what the probe's GEMMs drew, within today's limit."""
    known = [w for w in (device.power_limit_w, ceilings.power_w if ceilings else None) if w]
    return min(known, default=None)


def cap_costs(device: Device, ceilings: Ceilings | None) -> bool:
    """Whether a clock held down by the power limit counts as lost time.

    Large GEMMs reach a board's own limit always: that is part of its ceiling, and how far it lowers the clock
    depends on the load and the temperature. It costs when somebody lowered the limit: below the board's
    default, or below the one under which a probe held a clock.
    """
    probed = ceilings.power_limit_w if ceilings else None
    return power_lowered(device) or _is_below(device.power_limit_w, probed)


def power_lowered(device: Device) -> bool:
    """True when the power limit is below the board's default."""
    return _is_below(device.power_limit_w, device.power_limit_default_w)


def _is_below(limit_w: float | None, other_w: float | None) -> bool:
    return limit_w is not None and other_w is not None and limit_w < th.POWER_LIMIT_LOW.value * other_w


def is_launching(host: HostEvidence) -> bool:
    """True when a thread of the workload is pegged on a core and its children are not the busy ones."""
    thread = host.thread_demand_frac
    return thread is not None and thread >= th.LAUNCH_THREAD.value and not host.children_busy


def _work(w: SubWindow, tier: Tier, found: Roofs, limits: Limits) -> Work:
    dram_error, pipe_error = roof_errors(w, tier, found, limits)
    return Work(
        dram=found.dram,
        pipe=found.pipe,
        complete=found.complete,
        launching=_launch_part(w, tier) if w.launching else None,
        link=link_frac(w, limits) >= th.LINK_HIGH.value and found.top is not None,
        dram_error=dram_error,
        pipe_error=pipe_error,
    )


def _split_busy(
    w: SubWindow,
    busy_s: float,
    found: Roofs,
    parts: Parts,
    change: tuple[float, ...] | None,
    limits: Limits,
) -> Split:
    """A split of a sub-window in which something ran, from the parts of its busy time."""
    d, top = w.duration_s, found.top or 0.0
    seconds = {"host": d - busy_s}
    at_s = {name: busy_s * part for name, part in zip(MOVABLE, parts, strict=True) if part > 0.0}
    for name, part_s in at_s.items():
        _add(seconds, name, part_s)
    if not at_s:
        _add(seconds, "unknown", busy_s)
    height = reached(top, min(found.dram or 0.0, found.pipe or 0.0), parts.memory + parts.compute)
    loss = clock_loss(w, limits)
    spared_s = _spared(busy_s, height, parts, loss) if parts.host > 0.0 and loss > 0.0 else None
    useful_s = _useful(seconds, busy_s, height, parts, loss)
    return Split(
        w.t_s,
        d,
        seconds,
        seen_s=d,
        useful_s=useful_s,
        busy_s=busy_s,
        at_s=at_s,
        roof_s={name: part_s * height for name, part_s in at_s.items()},
        dram_s=None if found.dram is None else busy_s * found.dram,
        pipe_s=None if found.pipe is None else busy_s * found.pipe,
        pipe=found.pipe_name,
        moved_s=None if change is None else tuple([busy_s * part for part in change]),
        counted_s=_counted(w, at_s),
        spared_s=spared_s,
    )


def _counted(w: SubWindow, at_s: dict[str, float]) -> dict[str, tuple[float, ...]]:
    """By class, what `Split.counted_s` says; empty where none of those counters was read."""
    busy, row, read = min(1.0, w.gr_active or 0.0), [], False
    for value in (w.sm_active, w.sm_occupancy, w.tensor_active):
        if value is not None and sensible(value):
            row += [min(1.0, value / busy), 1.0]
            read = True
        else:
            row += [0.0, 0.0]
    return {key: tuple([part_s * x for x in row]) for key, part_s in at_s.items()} if read else {}


def _spared(busy_s: float, height: float, parts: Parts, loss: float) -> tuple[float, ...]:
    """Seconds of compute, device and useful time that the clock would cost if nothing were launch-bound."""
    compute_s, device_s = busy_s * parts.compute * loss, busy_s * (parts.device + parts.host) * loss
    useful_s = busy_s * height
    return compute_s, device_s, useful_s - min(useful_s, busy_s - compute_s - device_s)


def _useful(seconds: dict[str, float], busy_s: float, height: float, parts: Parts, loss: float) -> float:
    """Takes the time lost to a held-down clock out of `seconds`; how many of the rest were useful.

    Communication is a term of its own in the ladder, so what the device did meanwhile is not counted as
    useful beside it. Only what runs at the
    SM clock loses by it: compute and latency, not memory.
    """
    if parts.host > 0.0:
        return busy_s * height
    worked_s = busy_s * (parts.device + parts.memory + parts.compute)
    lost_s = 0.0
    if loss > 0.0:
        for name in ("compute", "device"):
            part_s = seconds.get(name, 0.0) * loss
            if part_s > 0.0:
                seconds[name] -= part_s
                lost_s += part_s
        _add(seconds, "throttle", lost_s)
    return min(worked_s * height, worked_s - lost_s)


def _launch_part(w: SubWindow, tier: Tier) -> float:
    """Part of busy time that launches take while a thread is pegged.

    None of it where kernels fill the SMs, or where the device is not seen to idle between them.
    """
    if tier == "nvml":
        return th.LAUNCH_PART_NVML.value
    waits = (w.gr_active or 0.0) < th.LAUNCH_GAP.value
    return th.LAUNCH_PART.value if waits and _kernels_too_small(w) else 0.0


def _kernels_too_small(w: SubWindow) -> bool:
    """Short kernels leave SMs idle in between and never fill them: low sm_active, low occupancy.

    Kernels on the tensor cores hold few warps by design, so their occupancy says nothing.
    """
    if not w.gr_active or w.sm_active is None:
        return False
    if w.sm_active / w.gr_active < th.LAUNCH_SM_ACTIVE.value:
        return True
    if (w.tensor_active or 0.0) / w.gr_active >= th.TENSOR_IDLE.value:
        return False
    return w.sm_occupancy is not None and w.sm_occupancy / w.gr_active < th.LAUNCH_OCCUPANCY.value


def clock_loss(w: SubWindow, limits: Limits) -> float:
    """Share of compute speed lost to a clock that power, heat or a setting holds down, 0 when it is not."""
    if not limits.sm_mhz or not w.sm_mhz or not limits.clock_reasons.intersection(w.throttle_reasons):
        return 0.0
    ratio = w.sm_mhz / limits.sm_mhz
    return 1.0 - ratio if ratio < th.CLOCK_LOW.value else 0.0


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    if value > 0.0:
        seconds[key] = seconds.get(key, 0.0) + value
