"""Kernels of two traces by name: which came, went, got faster or slower, or became another variant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rules import thresholds_trace as tt
from rules.traces.compared import KernelChange, KernelState
from rules.traces.kernel_records import KernelRow
from rules.traces.records import DeviceTrace

# Exchanged for another variant: as many launches of the same family, but for a few at a capture's ends.
_SAME_CALLS = 0.05
# Families of which a library holds many kernels, and chooses one.
_CHOSEN = frozenset({"gemm", "convolution", "attention"})


class Scaled(NamedTuple):
    """A kernel's row, and its time and launches in one step or in the span."""

    row: KernelRow
    us: float
    calls: float


def kernel_changes(
    a: DeviceTrace, b: DeviceTrace, parts: tuple[float, float], unit_us: float
) -> tuple[KernelChange, ...]:
    """What moved, the largest change first. parts: steps in each (1 for spans). unit_us: one step of A."""
    left, right = _scaled(a, parts[0]), _scaled(b, parts[1])
    least = tt.TRACE_KERNEL_MOVED.value * unit_us
    gone = [left[name] for name in left if name not in right and _told(left[name], b, parts[1])]
    come = [right[name] for name in right if name not in left and _told(right[name], a, parts[0])]
    found = [*_renamed(gone, come)]
    found += [_change(one, None, "vanished") for one in gone]
    found += [_change(None, one, "appeared") for one in come]
    found += [made for name in left if name in right for made in _moved(left[name], right[name])]
    named = [one for one in found if abs(one.change_us) >= least or one.state == "renamed"]
    return tuple(sorted(named, key=lambda one: -abs(one.change_us)))


def _scaled(device: DeviceTrace, parts: float) -> dict[str, Scaled]:
    return {row.name: Scaled(row, row.total_us / parts, row.count / parts) for row in device.kernels}


def _told(one: Scaled, other: DeviceTrace, parts: float) -> bool:
    """Whether the other side would list it: what has less time than all that is listed may be there too."""
    if other.kernels_left == 0:
        return True
    return one.us > min((row.total_us for row in other.kernels), default=0.0) / parts


def _renamed(gone: list[Scaled], come: list[Scaled]) -> Iterator[KernelChange]:
    """Pairs of one family with as many launches; they are taken out of both lists."""
    for one in sorted(gone, key=lambda scaled: -scaled.us):
        fits = [
            other
            for other in come
            if _variant(one.row, other.row)
            and abs(other.calls - one.calls) <= _SAME_CALLS * max(one.calls, other.calls)
        ]
        if not fits:
            continue
        other = min(fits, key=lambda scaled: abs(scaled.us - one.us))
        gone.remove(one)
        come.remove(other)
        yield _change(one, other, "renamed")


def _variant(a: KernelRow, b: KernelRow) -> bool:
    """Whether a library can have chosen one for the other, or they are instances of one template."""
    if a.family != b.family:
        return False
    return a.family in _CHOSEN or ("<" in a.name and a.name.partition("<")[0] == b.name.partition("<")[0])


def _moved(one: Scaled, other: Scaled) -> Iterator[KernelChange]:
    """Faster or slower where the median launch moved beyond its spread; more or fewer where launches did."""
    if one.row.median_us > 0.0 and _slower(one.row, other.row):
        yield _change(one, other, "slower" if other.row.median_us > one.row.median_us else "faster")
    elif abs(other.calls - one.calls) > _SAME_CALLS * max(one.calls, other.calls):
        yield _change(one, other, "more" if other.calls > one.calls else "fewer")


def _slower(a: KernelRow, b: KernelRow) -> bool:
    """Whether the medians differ by TRACE_CALL_MOVED and twice what chance does.

    The standard error of a median is 1.253 s / sqrt(n); s is taken from the median's distance to the 90th
    percentile, 1.282 s of a normal distribution.
    """
    moved = abs(b.median_us - a.median_us)
    errors = [1.253 * max(0.0, row.p90_us - row.median_us) / 1.282 / row.count**0.5 for row in (a, b)]
    by_chance = 2.0 * (errors[0] ** 2 + errors[1] ** 2) ** 0.5
    return bool(moved > max(tt.TRACE_CALL_MOVED.value * a.median_us, by_chance))


def _change(one: Scaled | None, other: Scaled | None, state: KernelState) -> KernelChange:
    first = one or other
    assert first is not None  # noqa: S101
    a_us, b_us = (0.0 if side is None else side.us for side in (one, other))
    return KernelChange(
        name=first.row.name,
        name_b=other.row.name if other is not None and state == "renamed" else None,
        state=state,
        family=first.row.family,
        change_us=b_us - a_us,
        a_us=a_us,
        b_us=b_us,
        calls_a=0.0 if one is None else one.calls,
        calls_b=0.0 if other is None else other.calls,
        call_a_us=None if one is None else one.row.median_us,
        call_b_us=None if other is None else other.row.median_us,
    )


def largest(found: Sequence[KernelChange], count: int) -> tuple[KernelChange, ...]:
    """The first `count`."""
    return tuple(found[:count])
