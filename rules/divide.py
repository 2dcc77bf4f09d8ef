"""Divide: how the busy time of one sub-window is shared out, given its two roof fractions.

A sub-window of 200 ms holds thousands of kernels, so its roof fractions are means over kernels of several
kinds. The model, with m and p the DRAM and pipe fractions, t the larger and o the smaller, c = CARRY:

- A kernel at one roof shows c of its own fraction at the other one too. A mix of memory kernels (share x)
  and compute kernels (share y) at the same height r then reads m = r(x + cy), p = r(y + cx), so x : y is
  m - cp : p - cm. The smaller part is (o - ct) / ((1 - c)(t + o)), none where o <= ct.
- No kernel passes its roof, so t <= 1 - x(1 - c): the smaller part is at most (1 - t) / (1 - c). A kernel at
  its roof keeps its time, however much it does beside.
- From ROOF_HIGH on, no time is put down to latency. Below it, none where both fractions sum to ROOF_SUM and
  two kinds of kernels show; all of it where they sum to ROOF_HIGH or only one kind shows; in between in
  proportion. (One kind of kernel below ROOF_HIGH is what Nsight Compute calls latency-bound.)

Launch-bound time (kernels too small while a thread is pegged, and the device idles in between) is the host's
by LAUNCH_PART of what the roofs leave: a kernel takes that much less from a CUDA graph. The rest is the
device's. Beside larger kernels, or where the device never idles, a pegged thread may as well spin in a wait:
then all of it is the device's, and that launches take some counts as an error of the model.

What it cannot see: kernels that overlap on the device, or one kind of kernel that uses both about equally,
read like a mix. So the smaller part is an upper bound, and `rules.noise` looks at how far it moves.
"""

from __future__ import annotations

from operator import add, sub
from typing import NamedTuple

from rules import thresholds as th

_HIGH, _CARRY = th.ROOF_HIGH.value, th.CARRY.value
# How far beyond ROOF_HIGH the sum of both fractions leaves no time to latency, relative to it.
_SPAN = th.ROOF_SUM.value / _HIGH - 1.0
# Two kinds of kernels are believed in as the smaller one's part rises to this.
_SECOND_KIND = th.SECONDARY.value

# Shares that a reading's error can move, in the order of `Parts` and of a split's `moved`.
MOVABLE: tuple[str, ...] = ("host", "communication", "device", "memory", "compute")

# How far both readings, and CARRY with LAUNCH_PART, are moved, in their errors, and in which directions; then
# ROOF_HIGH alone. The first NEAR of them, by one error, are what a lead's noise is made of.
STEPS: tuple[float, ...] = (1.0, 2.0)
_DIRECTIONS = ((1, -1, 0), (-1, 1, 0), (1, 1, 0), (-1, -1, 0), (0, 0, 1), (0, 0, -1))
NEAR = len(_DIRECTIONS)
_HIGH_ERROR = th.ROOF_HIGH_ERROR.value
CORNERS: tuple[tuple[float, float, float, float], ...] = (
    *((dram * step, pipe * step, model * step, _HIGH) for step in STEPS for dram, pipe, model in _DIRECTIONS),
    (0.0, 0.0, 0.0, _HIGH - _HIGH_ERROR),
    (0.0, 0.0, 0.0, _HIGH + _HIGH_ERROR),
)
_LOWEST, _HIGHEST = _HIGH - _HIGH_ERROR, _HIGH + _HIGH_ERROR
_CARRY_ERROR = th.CARRY_ERROR.value
_LAUNCH_ERROR = th.LAUNCH_PART_ERROR.value
_LEAST_CARRY = _CARRY - STEPS[-1] * _CARRY_ERROR


class Parts(NamedTuple):
    """Parts of busy time; they sum to 1, or to 0 where nothing can be said."""

    host: float = 0.0
    communication: float = 0.0
    device: float = 0.0
    memory: float = 0.0
    compute: float = 0.0


class Work(NamedTuple):
    """What is known of a sub-window's busy time.

    complete: both roofs are in sight. launching: part of the time that launches take, None where no
    thread is pegged. link: a link is near its ceiling.
    dram_error, pipe_error: how far the roof fractions may be off, relative.
    """

    dram: float | None
    pipe: float | None
    complete: bool
    launching: float | None
    link: bool
    dram_error: float
    pipe_error: float


def divide(
    work: Work, dram: float | None, pipe: float | None, model: float = 0.0, high: float = _HIGH
) -> Parts:
    """Parts of busy time at these roof fractions. Sums to 0 where a roof that may decide is out of sight.

    model: by how many of their errors CARRY and LAUNCH_PART are off. high: what counts as at a roof.
    """
    m, p = dram or 0.0, pipe or 0.0
    top, other = (m, p) if m >= p else (p, m)
    minor = second_part(top, other, _CARRY + model * _CARRY_ERROR)
    roofed = 1.0
    if top < high:
        if work.link:
            return Parts(communication=1.0)
        if not work.complete:
            return Parts()
        roofed = _mixed(top + other, minor, high)
    hosts = (1.0 - roofed) * (1.0 - top) * _launches(work, model)
    larger, smaller = roofed * (1.0 - minor), roofed * minor
    memory, compute = (larger, smaller) if m >= p else (smaller, larger)
    return Parts(hosts, 0.0, 1.0 - roofed - hosts, memory, compute)


def _launches(work: Work, model: float) -> float:
    """Part of what no roof explains that is the launching thread's."""
    if work.launching is None:
        return 0.0
    return min(1.0, max(0.0, work.launching + model * _LAUNCH_ERROR))


def second_part(top: float, other: float, carry: float = _CARRY) -> float:
    """Part of the time at either roof that belongs to the lower one: what its kernels alone explain."""
    surplus = other - carry * top
    if surplus <= 0.0:
        return 0.0
    return min(surplus / (top + other), max(0.0, 1.0 - top)) / (1.0 - carry)


def reached(top: float, other: float, roofed: float) -> float:
    """Height of the roofs that the kernels come to: of two kinds in turn, higher than either mean shows."""
    height = min(1.0, top / (1.0 - (1.0 - _CARRY) * second_part(top, other)))
    return top + roofed * (height - top)


def moved(work: Work, base: Parts) -> tuple[float, ...] | None:
    """How the parts change as the readings and the model move by their errors, for each of CORNERS.

    None where no corner changes anything, which most sub-windows can tell at a glance.
    """
    if _settled(work):
        return None
    changes: list[float] = []
    for dram, pipe, model, high in CORNERS:
        m, p = _shifted(work.dram, dram * work.dram_error), _shifted(work.pipe, pipe * work.pipe_error)
        changes.extend(map(sub, divide(work, m, p, model, high), base))
    return tuple(changes) if any(changes) else None


def added(a: tuple[float, ...] | None, b: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Changes of two stretches together."""
    return b if a is None else a if b is None else tuple(map(add, a, b))


def _mixed(both: float, minor: float, high: float) -> float:
    """Part of busy time that is at a roof although the mean of neither gets there."""
    if both <= high or minor <= 0.0:
        return 0.0
    return min(1.0, (both / high - 1.0) / _SPAN) * min(1.0, minor / _SECOND_KIND)


def _shifted(frac: float | None, by: float) -> float | None:
    return None if frac is None else min(1.0, frac * (1.0 + by))


def _settled(work: Work) -> bool:
    """True where the largest errors leave one kind of kernel, on the same side of any ROOF_HIGH."""
    m, p = work.dram or 0.0, work.pipe or 0.0
    m_by, p_by = STEPS[-1] * work.dram_error, STEPS[-1] * work.pipe_error
    if m >= p:
        least, other = m * (1.0 - m_by), p * (1.0 + p_by)
    else:
        least, other = p * (1.0 - p_by), m * (1.0 + m_by)
    if least >= _HIGH and max(m, p) >= _HIGHEST:
        return other <= _LEAST_CARRY * least
    if work.launching is not None or max(m * (1.0 + m_by), p * (1.0 + p_by)) >= _HIGH:
        return False
    return m + p <= _LOWEST and m * (1 + m_by) + p * (1 + p_by) <= _HIGH
