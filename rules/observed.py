"""Time-weighted figures over an Evidence's sub-windows, for rules. Unknown stays None."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from rules.evidence import Evidence, HostEvidence, SubWindow


def mean(evidence: Evidence, field: str) -> float | None:
    """Mean of a SubWindow field by time, over the sub-windows that have it."""
    return _once(evidence, ("mean", field), _mean)


def busy_mean(evidence: Evidence, field: str) -> float | None:
    """Mean of a counter over the time in which the engine ran: its sum over gr_active's, at most 1."""
    return _once(evidence, ("busy", field), _busy_mean)


def _once(
    evidence: Evidence, asked: tuple[str, str], figure: Callable[[Evidence, str], float | None]
) -> float | None:
    """A figure worked out once per evidence: a dozen rules ask for the same few, every second."""
    known: dict[tuple[str, str], float | None] = evidence.__dict__.setdefault("figures", {})
    if asked not in known:
        known[asked] = figure(evidence, asked[1])
    return known[asked]


def _mean(evidence: Evidence, field: str) -> float | None:
    pairs = _known(evidence, field)
    seconds = sum([d for _, d in pairs])
    return sum([value * d for value, d in pairs]) / seconds if seconds > 0 else None


def _busy_mean(evidence: Evidence, field: str) -> float | None:
    of = attrgetter(field)
    pairs = [(of(w), w.gr_active, w.duration_s) for w in _seen(evidence)]
    both = [(value, busy, d) for value, busy, d in pairs if value is not None and busy is not None]
    busy_s = sum([busy * d for _, busy, d in both])
    if busy_s <= 0:
        return None
    counted: float = sum([value * d for value, _, d in both])
    return min(1.0, counted / busy_s)


def variation(evidence: Evidence, field: str) -> float | None:
    """Coefficient of variation over sub-windows; None with fewer than five, or a mean of 0."""
    values = [value for value, _ in _known(evidence, field)]
    middle = sum(values) / len(values) if values else 0.0
    if len(values) < 5 or middle <= 0:
        return None
    spread = sum((value - middle) * (value - middle) for value in values) / len(values)
    return float(spread**0.5) / middle


def visible(host: HostEvidence) -> bool:
    """Whether /proc showed anything of the workload's process."""
    seen = (host.process_cpu_cores, host.main_thread_cpu_frac, host.threads, host.cpus_allowed)
    return any(figure is not None for figure in seen)


def link_mean(evidence: Evidence, link: str) -> float | None:
    """Mean bytes a second over `link` ("pcie" or "nvlink"), in its busier direction."""
    both = [mean(evidence, f"{link}_{way}_bytes_s") for way in ("rx", "tx")]
    known = [value for value in both if value is not None]
    return max(known) if known else None


def seconds(evidence: Evidence) -> float:
    """Seconds of data, lost sub-windows left out."""
    return sum(w.duration_s for w in _seen(evidence))


def reading_note(evidence: Evidence, counter: str) -> str:
    """Where `counter` was read: tier, number of sub-windows and their mean length."""
    windows = _seen(evidence)
    if not windows:
        return "no data"
    kind = {"counters": "GPM", "nvml": "NVML", "trace": "trace"}[evidence.tier]
    length_ms = 1000 * seconds(evidence) / len(windows)
    return f"{kind} {counter}, {len(windows)} sub-windows of {length_ms:.0f} ms"


def _seen(evidence: Evidence) -> list[SubWindow]:
    known: list[SubWindow] | None = evidence.__dict__.get("seen")
    if known is None:
        known = [w for w in evidence.windows if not w.lost and w.duration_s > 0]
        evidence.__dict__["seen"] = known
    return known


def _known(evidence: Evidence, field: str) -> list[tuple[float, float]]:
    of = attrgetter(field)
    pairs = [(of(window), window.duration_s) for window in _seen(evidence)]
    return [(value, seconds) for value, seconds in pairs if value is not None]
