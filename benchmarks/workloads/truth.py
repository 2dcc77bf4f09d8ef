"""Truth of a recording: shares by class from what the program counted, and whether that bears its label out.

Nothing here reads a counter of the device. Ceilings are the card's own, as probes measured them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from benchmarks.workloads.spec import LABELS, Account, Label, Truth, Workload
from probes.ceilings import Ceilings
from rules.thresholds import HOST_FIRST, HOST_GAP, ROOF_HIGH

# How much faster the known fix has to be before it says that there was something to fix.
FIX_WORKS = 1.2
# Sections have to cover this part of the time before they say how it divides.
COVERED = 0.8
# A rate above its ceiling by more than probes and programs differ: the count or the ceiling is wrong.
ABOVE = 1.1

# Names under which probes keep a metric, in the order in which they are looked for.
_ALSO = {
    "dram_copy": ("dram_copy", "dram"),
    "dram_read": ("dram_read", "dram"),
    "fp64": ("fp64_tensor", "fp64"),
    "fp8": ("fp8", "fp8_e4m3"),
}
_RATE_UNITS = {"bytes": ("bytes_s",), "flops": ("flop_s", "op_s")}


class Bearing(NamedTuple):
    """Whether the accounting bears the label out, and by which figures or why not."""

    confirmed: bool
    because: str


def truth_of(
    workload: Workload,
    base: Account,
    fixed: Account | None,
    ceilings: Ceilings | None,
    *,
    recording: str,
    device: str,
    synthetic: bool,
) -> Truth:
    """The truth of one recording. What cannot be confirmed is unconfirmed and says why; nothing is raised.

    Of a mix by sections whose larger share is another accepted class, that class becomes the label; a host
    share of HOST_FIRST or more keeps naming the class, as it does in a verdict.
    """
    speedup = speedup_of(workload, base, fixed)
    shares = shares_of(workload, base, speedup)
    label = _label(workload, shares)
    fraction, missing = of_ceiling(workload, base, ceilings)
    impossible = _impossible(workload, base, fraction, ceilings)
    bearing = impossible or _bearing(workload, label, base, shares, speedup, fraction, missing, ceilings)
    return Truth(
        name=workload.name,
        family=workload.family,
        label=label,
        accepted=tuple(c for c in (workload.label, *workload.accepted) if c != label),
        cause=workload.cause,
        causes=workload.causes,
        shares=shares,
        confirmed=bearing.confirmed,
        because=bearing.because,
        recording=recording,
        device=device,
        synthetic=synthetic,
        base=base,
        fixed=fixed,
        fix=workload.fix,
        speedup=speedup,
        of_ceiling=fraction,
        about=workload.about,
    )


def speedup_of(workload: Workload, base: Account, fixed: Account | None) -> float | None:
    """How much more work a second is done with the fix than without; None where either is unknown.

    Work is FLOPs where both count them: a program that sizes its steps by the time they take does not do the
    same in each of two runs. In a host-bound program it is then the bytes, which its fix leaves as they are;
    elsewhere moving fewer bytes may be what the fix is for. Else it is steps.
    """
    if fixed is None or fixed.error is not None or base.error is not None:
        return None
    before, after = _rates(workload, base, fixed)
    ratio = after / before if before and after else 0.0
    return ratio if 0.0 < ratio < math.inf else None


def _rates(workload: Workload, base: Account, fixed: Account) -> tuple[float | None, float | None]:
    """Work a second without and with the fix, both by the same count."""
    for name in ("flops", "bytes") if workload.label == "host" else ("flops",):
        before, after = (_a_second(run, run.counts.get(name, 0.0)) for run in (base, fixed))
        if before and after:
            return before, after
    return _a_second(base, base.steps), _a_second(fixed, fixed.steps)


def _a_second(account: Account, amount: float) -> float | None:
    wall_s, amount = _seconds(account.wall_s), _seconds(amount)
    return amount / wall_s if wall_s and amount and account.steps > 0 else None


def _seconds(value: float) -> float:
    """A count that can be added up: 0 where it is negative or not finite."""
    return value if math.isfinite(value) and value > 0 else 0.0


def shares_of(workload: Workload, base: Account, speedup: float | None) -> dict[str, float]:
    """Class -> share of the time, summing to 1. What was not accounted for belongs to the label.

    `speedup`: the host has what the fix took away, `beneath` the rest; all of it is the label's where the
    fix did not run.
    """
    if workload.truth == "speedup":
        if speedup is None:
            return _filled({}, workload.label)
        return _filled({"host": max(0.0, 1.0 - 1.0 / speedup)}, workload.beneath)
    names = LABELS if workload.truth == "sections" else ("host",)
    return _filled(_sections(base, names), workload.label)


def _sections(base: Account, names: tuple[str, ...]) -> dict[str, float]:
    wall_s = _seconds(base.wall_s)
    if not wall_s:
        return {}
    return {
        name: min(1.0, _seconds(base.counts.get(f"{name}_s", 0.0)) / wall_s)
        for name in names
        if f"{name}_s" in base.counts
    }


def _filled(parts: dict[str, float], rest: Label) -> dict[str, float]:
    """Every class, with the rest of 1 given to `rest`; scaled down where parts overlap by rounding."""
    total = math.fsum(parts.values())
    scale = 1.0 / total if total > 1.0 else 1.0
    shares: dict[str, float] = {label: parts.get(label, 0.0) * scale for label in LABELS}
    shares[rest] += max(0.0, 1.0 - math.fsum(shares.values()))
    return shares


def _label(workload: Workload, shares: dict[str, float]) -> Label:
    if workload.truth != "sections":
        return workload.label
    if workload.label == "host" and shares["host"] >= HOST_FIRST.value:
        return "host"
    candidates = (workload.label, *workload.accepted)
    return max(candidates, key=lambda label: shares[label])


def of_ceiling(
    workload: Workload, base: Account, ceilings: Ceilings | None
) -> tuple[float | None, str | None]:
    """What `bound` names over its ceiling on this card, or None and why it is unknown.

    A rate is over wall time, in a workload by sections over its own sections: bytes over `memory_s`, FLOPs
    over `compute_s`.
    """
    if workload.bound is None:
        return None, None
    metric, unit = workload.bound
    rate = _amount_rate(workload, base, unit)
    if rate is None:
        return None, f"unknown, because the program counted no {unit}"
    ceiling = _measured(ceilings, metric, unit)
    if ceiling is None:
        return None, f"unknown, because the card was not probed for {metric}"
    return rate / ceiling, None


def _amount_rate(workload: Workload, base: Account, unit: str) -> float | None:
    section = {"bytes": "memory_s", "flops": "compute_s"}[unit]
    by_section = workload.truth == "sections" and section in base.counts
    seconds = _seconds(base.counts[section] if by_section else base.wall_s)
    amount = _seconds(base.counts.get(unit, 0.0))
    return amount / seconds if seconds and amount else None


def _measured(ceilings: Ceilings | None, metric: str, unit: str) -> float | None:
    """The measured limit of this card; what a data sheet says confirms nothing."""
    for name in _ALSO.get(metric, (metric,)):
        found = ceilings.ceiling(name) if ceilings is not None and ceilings.stale is None else None
        if found and found.label == "measured" and found.unit in _RATE_UNITS[unit] and _seconds(found.value):
            return found.value
    return None


def _bearing(
    workload: Workload,
    label: Label,
    base: Account,
    shares: dict[str, float],
    speedup: float | None,
    fraction: float | None,
    missing: str | None,
    ceilings: Ceilings | None,
) -> Bearing:
    """Confirmed only where the label is also what the shares say: the largest, or a host share that names
    the class."""
    if base.error is not None:
        return Bearing(False, f"the program did not run: {base.error}")
    if not base.steps and workload.process:
        return Bearing(False, "the program finished no step")
    if label == "idle":
        return _idle(base)
    if slack := _slack_section(workload, base, ceilings):
        return Bearing(False, slack)
    if label == "host":
        return _host(workload, base, shares, speedup)
    if shares[label] < max(shares.values()) or shares["host"] >= HOST_FIRST.value:
        return Bearing(False, f"{label} has {shares[label]:.2f} of the time, which does not name the class")
    if label == "device":
        return _device(workload, base, speedup, ceilings)
    return _roof(workload, label, base, shares, speedup, fraction, missing)


def _impossible(
    workload: Workload, base: Account, fraction: float | None, ceilings: Ceilings | None
) -> Bearing | None:
    """Not confirmed where a rate is more than the card can do; None where none is."""
    fractions = _section_fractions(workload, base, ceilings)
    if workload.bound is not None:
        fractions[workload.bound[0]] = fraction
    above = {name: frac for name, frac in fractions.items() if frac is not None and frac > ABOVE}
    if not above:
        return None
    words = ", ".join(f"{frac:.2f} of {name}" for name, frac in above.items())
    return Bearing(False, f"{words}: the count or the ceiling is wrong")


def _section_fractions(
    workload: Workload, base: Account, ceilings: Ceilings | None
) -> dict[str, float | None]:
    """Metric -> rate in its own section over its ceiling, of each section that is held against one; None
    where either is unknown."""
    found: dict[str, float | None] = {}
    for metric, unit in workload.sections:
        rate, ceiling = _amount_rate(workload, base, unit), _measured(ceilings, metric, unit)
        found[metric] = rate / ceiling if rate is not None and ceiling is not None else None
    return found


def _slack_section(workload: Workload, base: Account, ceilings: Ceilings | None) -> str | None:
    """Which section did not do what names its class, or is not known to have; None where all did."""
    for metric, frac in _section_fractions(workload, base, ceilings).items():
        if frac is None:
            return (
                f"how near its section is to {metric} is unknown: the card was not probed, or nothing counted"
            )
        if frac < ROOF_HIGH.value:
            return f"its section ran at {frac:.2f} of {metric}, {ROOF_HIGH.value:g} wanted"
    return None


def _idle(base: Account) -> Bearing:
    """Idle is what launches, computes and moves nothing, by its own count."""
    did = [name for name in ("bytes", "flops", "launches", "h2d_bytes") if base.counts.get(name)]
    if did:
        return Bearing(False, f"it is to be idle, and counted {', '.join(did)}")
    return Bearing(True, "nothing was launched")


def _host(workload: Workload, base: Account, shares: dict[str, float], speedup: float | None) -> Bearing:
    """A fix that wins what the share promises; without a fix to run, time that the program itself saw the
    device without work.

    A fix that takes half of the gap away is 1/(1 - 0.5 h) times as fast. Where the share comes from the fix's
    own speed-up, the fix has to be FIX_WORKS times as fast.
    """
    host, largest = shares["host"], max(shares.values())
    blocked = _sections(base, ("host",)).get("host", 0.0)
    words = _speed_words(workload, speedup)
    if workload.truth == "speedup" and speedup is None:
        return Bearing(False, f"the host's share is unknown, because {words}")
    if host < min(HOST_FIRST.value, largest):
        return Bearing(False, f"the host has {host:.2f} of the time, which does not name the class; {words}")
    if workload.fixed is None:
        return Bearing(
            blocked >= HOST_GAP.value, f"for {blocked:.2f} of the time it was on the host; {words}"
        )
    wanted = FIX_WORKS if workload.truth == "speedup" else 1.0 / (1.0 - 0.5 * host)
    counted = f"for {blocked:.2f} of the time it was on the host; " if blocked else ""
    if speedup is None:
        return Bearing(False, f"{counted}{words}")
    return Bearing(speedup >= wanted, f"{counted}{words}; {wanted:.2f} times were wanted")


def _device(workload: Workload, base: Account, speedup: float | None, ceilings: Ceilings | None) -> Bearing:
    """Far from every limit that it has a count for, or with a fix that is faster on the same device."""
    fractions = _fractions(workload, base, ceilings)
    near = {name: frac for name, frac in fractions.items() if frac >= ROOF_HIGH.value}
    words = _speed_words(workload, speedup)
    seen = ", ".join(f"{frac:.2f} of {name}" for name, frac in fractions.items())
    if near:
        return Bearing(False, f"it is near a limit: {seen}")
    if speedup is not None and speedup > FIX_WORKS:
        return Bearing(True, "; ".join(filter(None, (words, seen))))
    if fractions:
        return Bearing(True, f"{seen}, below {ROOF_HIGH.value:g}; {words}")
    return Bearing(False, f"how near it is to a limit is unknown, because the card was not probed; {words}")


def _fractions(workload: Workload, base: Account, ceilings: Ceilings | None) -> dict[str, float]:
    """Metric -> rate over ceiling, of what the program counted: bytes, and FLOPs at its own pipe or fp32."""
    metric, unit = workload.bound or ("", "")
    wanted = {"bytes": "dram_copy", "flops": "fp32"} | ({unit: metric} if metric else {})
    found = {}
    for what, name in wanted.items():
        rate, ceiling = _amount_rate(workload, base, what), _measured(ceilings, name, what)
        if rate is not None and ceiling is not None:
            found[name] = rate / ceiling
    return found


def _roof(
    workload: Workload,
    label: Label,
    base: Account,
    shares: dict[str, float],
    speedup: float | None,
    fraction: float | None,
    missing: str | None,
) -> Bearing:
    """At 0.6 or more of the ceiling that its bound names; without a bound, by sections or by its fix."""
    words = _speed_words(workload, speedup)
    if workload.bound is not None and label == workload.label:
        if fraction is None:
            return Bearing(False, f"of its ceiling: {missing}")
        said = f"{fraction:.2f} of {workload.bound[0]}, {ROOF_HIGH.value:g} wanted"
        return Bearing(fraction >= ROOF_HIGH.value, f"{said}; {words}")
    covered = math.fsum(_sections(base, LABELS).values())
    if workload.truth == "sections" and covered >= COVERED:
        return Bearing(True, f"its sections cover {covered:.2f} of the time, {label} {shares[label]:.2f}")
    if speedup is not None and speedup > FIX_WORKS:
        return Bearing(True, words)
    return Bearing(False, f"nothing to hold it against: no bound; {words}")


def _speed_words(workload: Workload, speedup: float | None) -> str:
    if workload.fixed is None:
        return "it has no fix to run"
    return "its fix did not run" if speedup is None else f"with its fix it is {speedup:.2f} times as fast"
