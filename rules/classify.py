"""Classify: from sub-windows to a split of paid time.

`split` reads one sub-window and divides its seconds among the shares; it looks at nothing else, so a
live monitor does it once per sub-window. `rules.split` adds splits up; `rules.decide` names the class.

Roof fractions are conditional on busy time: a counter is an average over the whole sub-window, so it
is divided by the part in which anything ran, then by the counter's own reading at the ceiling.
"""

from __future__ import annotations

from probes.ceilings import Ceilings
from rules import thresholds as th
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Tier
from rules.roofs import Limits, Roofs, link_frac, roofs
from rules.split import Split, quiet, unseen

FAULT_REASONS = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})
CLOCK_REASONS = FAULT_REASONS | {"sw_power_cap"}


def split(window: SubWindow, tier: Tier, ceilings: Ceilings | None, limits: Limits) -> Split:
    """Divide one sub-window's seconds among SHARES."""
    d = window.duration_s
    if window.lost or window.gr_active is None:
        return unseen(window.t_s, d)
    busy = min(1.0, max(0.0, window.gr_active))
    if busy < th.ENGINE_IDLE.value:
        if window.has_process is False:
            return Split(window.t_s, d, {"free": d}, seen_s=d)
        return quiet(window.t_s, d)
    found = roofs(window, tier, ceilings, limits)
    seconds = {"host": d * (1.0 - busy)}
    where, useful_s = _divide_busy(seconds, d * busy, window, found, limits)
    return Split(
        window.t_s,
        d,
        seconds,
        seen_s=d,
        useful_s=useful_s,
        busy_s=d * busy,
        at_s={where: d * busy},
        roof_s={where: d * busy * (found.top or 0.0)},
        dram_s=None if found.dram is None else d * busy * found.dram,
        pipe_s=None if found.pipe is None else d * busy * found.pipe,
        pipe=found.pipe_name,
    )


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
        power_w=evidence.device.power_limit_w or (ceilings.power_w if ceilings else None),
        sm_mhz=probed if probed > 0.0 else evidence.device.sm_mhz_max,
        pcie_bytes_s=value("pcie"),
        nvlink_bytes_s=value("nvlink"),
        clock_reasons=CLOCK_REASONS if cap_costs(evidence.device, ceilings) else FAULT_REASONS,
    )


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


def _divide_busy(
    seconds: dict[str, float], busy_s: float, w: SubWindow, found: Roofs, limits: Limits
) -> tuple[str, float]:
    """Divide busy seconds into `seconds`: the class they went to, and how many of them were useful.

    Communication is a term of its own in the ladder, so what the device did meanwhile is not counted as
    useful beside it. Of launch-bound time the host keeps what the device did not use.
    """
    top = found.top
    if top is None:
        _add(seconds, "unknown", busy_s)
        return "unknown", 0.0
    if top < th.ROOF_HIGH.value and link_frac(w, limits) >= th.LINK_HIGH.value:
        _add(seconds, "communication", busy_s)
        return "communication", 0.0
    where = _busy_share(w, found)
    if where == "host":
        _add(seconds, "host", busy_s * (1.0 - top))
        _add(seconds, "device", busy_s * top)
        return where, busy_s * top
    lost_s = busy_s * clock_loss(w, limits) if where in ("compute", "device") else 0.0
    _add(seconds, "throttle", lost_s)
    _add(seconds, where, busy_s - lost_s)
    return where, 0.0 if where == "unknown" else min(busy_s * top, busy_s - lost_s)


def _busy_share(w: SubWindow, found: Roofs) -> str:
    top = found.top or 0.0
    if top >= th.ROOF_HIGH.value:
        return "memory" if (found.dram or 0.0) >= (found.pipe or 0.0) else "compute"
    if not found.complete:
        return "unknown"
    if w.launching and _kernels_too_small(w):
        return "host"
    return "device"


def _kernels_too_small(w: SubWindow) -> bool:
    """Short kernels leave SMs idle in between and never fill them: low sm_active, low occupancy."""
    if not w.gr_active:
        return False
    if w.sm_active is None:  # nvml tier: the caller has already found both estimated roofs low
        return True
    if w.sm_active / w.gr_active < th.LAUNCH_SM_ACTIVE.value:
        return True
    return w.sm_occupancy is not None and w.sm_occupancy / w.gr_active < th.LAUNCH_OCCUPANCY.value


def clock_loss(w: SubWindow, limits: Limits) -> float:
    """Share of compute speed lost to a clock the driver holds down (power, heat), 0 when it is not."""
    if not limits.sm_mhz or not w.sm_mhz or not limits.clock_reasons.intersection(w.throttle_reasons):
        return 0.0
    ratio = w.sm_mhz / limits.sm_mhz
    return 1.0 - ratio if ratio < th.CLOCK_LOW.value else 0.0


def _add(seconds: dict[str, float], key: str, value: float) -> None:
    if value > 0.0:
        seconds[key] = seconds.get(key, 0.0) + value
