"""Fixes of clocks and power: limits taken away, and a limit set on purpose."""

from __future__ import annotations

from rules import thresholds as th
from rules.whatif import Lever
from rules.whatifs.case import Case
from rules.whatifs.registry import Answer, Draft, Refused, fix

_GROUP = "power"
# Power above idle follows the clock between in proportion (voltage at its floor) and its cube (else).
_CUBE = 1.0 / 3.0
_CODES = ("DEV002", "DEV003", "DEV010", "DEV015")


@fix(
    "full-clock",
    "Let the clocks run free",
    codes=_CODES,
    group=_GROUP,
)
def full_clock(case: Case) -> Answer:
    """What holds the clocks down goes: a lowered power limit, heat, a brake, or a clock setting.

    The bound is the clock of the ceiling on time that follows the clock; the low end is no gain, as a board
    may not hold more. Work at the board's own default limit has lost nothing, and gains nothing here.
    """
    pinned = _pinned(case)
    if pinned is not None:
        names = [name for name in ("compute", "throttle") if case.share(name) > 0.0]
        levers = tuple(Lever(share=name, low=1.0, high=pinned, bound=pinned) for name in names)
        how = (
            "bound: the share that follows the clock runs at the board's highest clock; low end not measured"
        )
    elif case.share("throttle") >= th.WORTH_A_FIX.value:
        levers = (Lever(share="throttle", low=1.0, high=None),)
        how = (
            "the clock of the ceiling over the clock seen, on time that depends on it; nothing where the "
            "board cannot hold more"
        )
    else:
        return None
    if not levers:
        return None
    actions = next((f.actions[:2] for f in case.findings if f.code in _CODES), ())
    return Draft(
        levers=levers,
        how=how,
        assumes=("Cooling and power supply carry the full clock.",),
        actions=actions,
    )


def _pinned(case: Case) -> float | None:
    """The board's highest clock over the one that a setting allows; None where none is set low."""
    limit, most = case.evidence.device.sm_mhz_limit, case.evidence.device.sm_mhz_max
    if limit is None or most is None or not 0.0 < limit < th.CLOCK_PINNED.value * most:
        return None
    return most / limit


@fix("power-cap", "Cap the power", group=_GROUP)
def power_cap(case: Case) -> Answer:
    """A power limit at 80 % of today's: watts for throughput.

    Arithmetic follows the clock, which falls between in proportion to the power above idle and with its cube
    root; DRAM keeps its own clock, so memory-bound work often loses nothing. Whoever rents pays the same for
    the card, and more for the same work where it is slower; who pays for the electricity saves the watts.
    """
    device, drawn = case.evidence.device, case.evidence.power_w_p90
    limit = device.power_limit_w
    if case.evidence.mig is not None:
        return Refused("power is limited for the whole GPU, not for a MIG instance") if drawn else None
    if limit is None or drawn is None or limit <= 0.0:
        return Refused("the power that it draws, or its limit, was not read")
    cap = th.POWER_CAP.value * limit
    if drawn <= cap:
        return None
    idle = th.NVML_IDLE_POWER.value * limit
    part = max(0.0, cap - idle) / (drawn - idle)
    mean, said = _mean_w(case, drawn)
    low, high = _capped_w(mean, cap=cap, idle=idle, most=max(limit, drawn))
    return Draft(
        levers=_slowed(case, part),
        how=f"{cap:.0f} of {limit:.0f} W leaves {100 * part:.0f} % of the power above idle; clocks fall "
        f"between in proportion to it and with its cube root, on time that follows them; watts from {said}",
        assumes=(
            "The price of the GPU is the same under a cap: only whoever pays for electricity saves.",
            "DRAM keeps its clock under the cap.",
        ),
        actions=(f"`sudo nvidia-smi -i {case.evidence.gpu} -pl {cap:.0f}` sets it, until the next boot.",),
        watts_low=low,
        watts_high=high,
    )


def _mean_w(case: Case, drawn: float) -> tuple[float, str]:
    """Mean power of the board, by its energy counter where that was read twice, and what that is."""
    joules, seconds, median = case.evidence.energy_j, case.evidence.energy_s, case.evidence.power_w_p50
    if joules is not None and seconds is not None and joules > 0.0 and seconds > 0.0:
        return joules / seconds, "the energy counter's mean"
    return (median, "the median of readings") if median is not None and median > 0.0 else (drawn, "p90")


def _capped_w(mean: float, *, cap: float, idle: float, most: float) -> tuple[float, float]:
    """Mean power under a cap, at least and at most: power below the cap does not change.

    At least: all that is drawn above idle is drawn at `most`, which the cap cuts. At most: none of a mean
    below the cap was above it.
    """
    at_most = min(1.0, max(0.0, (mean - idle) / (most - idle)))
    high = min(mean, cap)
    return min(high, max(0.0, mean - at_most * (most - cap))), high


def _slowed(case: Case, part: float) -> tuple[Lever, ...]:
    """What a cap leaves of the speed of each share that a clock drives."""
    clock = part**_CUBE
    found = (
        Lever(share="compute", low=part, high=clock, bound=1.0),
        Lever(share="throttle", low=part, high=clock, bound=1.0),
        Lever(share="device", low=part, high=1.0, bound=1.0),
        Lever(share="memory", low=th.CAPPED_MEMORY.value, high=1.0, bound=1.0),
    )
    return tuple(lever for lever in found if case.share(lever.share) > 0.0)
