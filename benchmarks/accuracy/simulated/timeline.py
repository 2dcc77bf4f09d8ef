"""A program's run as stretches of time, and what a window of it does to counters and power."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from benchmarks.accuracy.simulated.card import WORK_COUNTERS, Card, Kernel
from benchmarks.accuracy.simulated.program import Phase, Program

# A long even phase is played in pieces, so that its pace can vary.
_PIECE_S = 0.05
# Power over a shorter cycle is averaged by the controller that holds the limit.
_AVERAGED_S = 0.3
# A clock is read as it is; this far back is now.
_MOMENT_S = 0.02
# Under its power limit a card that warms up holds a slightly lower clock at the end than at the start.
_COOLING = 0.012


class Stretch(NamedTuple):
    """One phase, or a piece of it, as it happened. pace: work over what the phase says; at most 1."""

    start_s: float
    end_s: float
    phase: int
    pace: float


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run. phases: as varied for this run. cycles: how many were gone through, with fractions.

    clocks: that each phase's kernel is held at in the beginning, MHz. fixed_s: of a cycle with the fix.
    """

    program: Program
    card: Card
    phases: tuple[Phase, ...]
    stretches: tuple[Stretch, ...]
    seconds: float
    cycles: float
    clocks: tuple[float, ...]
    fixed_s: float | None

    def mhz_at(self, phase: int, t_s: float) -> float:
        """The clock held at a time while the phase's kernel runs."""
        clock = self.clocks[phase]
        return clock * (1.0 - _COOLING * t_s / self.seconds) if clock < self.card.boost_mhz else clock

    def running_at(self, t_s: float) -> int | None:
        """The phase whose kernel ran last in the moment before; None where nothing did."""
        recent = self.between(max(0.0, t_s - _MOMENT_S), max(t_s, _MOMENT_S))
        return next((s.phase for s, _ in reversed(list(recent)) if self.phases[s.phase].kernel), None)

    def between(self, start_s: float, end_s: float) -> Iterator[tuple[Stretch, float]]:
        """The stretches that overlap a window, and for how long."""
        for stretch in self.stretches[self._first(start_s) :]:
            if stretch.start_s >= end_s:
                return
            overlap = min(stretch.end_s, end_s) - max(stretch.start_s, start_s)
            if overlap > 0.0:
                yield stretch, overlap

    def _first(self, t_s: float) -> int:
        low, high = 0, len(self.stretches)
        while low < high:
            middle = (low + high) // 2
            if self.stretches[middle].end_s <= t_s:
                low = middle + 1
            else:
                high = middle
        return low


def play(program: Program, card: Card, seconds: float, rng: random.Random) -> Run:
    """Run a program for so long, begun somewhere in its cycle; everything varies by a few per cent."""
    limited = replace(card, power_limit_w=program.power_limit_w or card.power_limit_w)
    pace = rng.lognormvariate(0.0, 0.03)
    varied = [_varied(phase, pace, rng) for phase in _distinct(program.cycle)]
    where = {id(phase): n for n, phase in enumerate(_distinct(program.cycle))}
    order = [where[id(phase)] for phase in program.cycle]
    phases = tuple(varied)
    stretches, cycles = _stretches(phases, order, seconds, rng)
    return Run(
        program=program,
        card=limited,
        phases=phases,
        stretches=tuple(stretches),
        seconds=seconds,
        cycles=cycles,
        clocks=_clocks(limited, phases, order),
        fixed_s=None if program.fixed_s is None else program.fixed_s * pace * rng.uniform(0.98, 1.02),
    )


def _clocks(card: Card, phases: Sequence[Phase], order: Sequence[int]) -> tuple[float, ...]:
    """The clock of each phase: what the cycle's mean power leaves, or in a long cycle the phase's own."""
    whole = sum(phases[n].seconds for n in order)
    running = [0.0] * len(phases)
    for n in order:
        running[n] += phases[n].seconds * phases[n].run
    shares: dict[Kernel, float] = {}
    for phase, seconds in zip(phases, running, strict=True):
        if phase.kernel is not None:
            shares[phase.kernel] = shares.get(phase.kernel, 0.0) + seconds / whole
    if whole < _AVERAGED_S:
        return (card.clock_mhz(shares),) * len(phases)
    own = [
        {phase.kernel: min(1.0, seconds / _AVERAGED_S)} if phase.kernel else {}
        for phase, seconds in zip(phases, running, strict=True)
    ]
    return tuple(card.clock_mhz(alone) for alone in own)


def _distinct(cycle: Iterable[Phase]) -> list[Phase]:
    return list({id(phase): phase for phase in cycle}.values())


def _varied(phase: Phase, pace: float, rng: random.Random) -> Phase:
    """The phase as this run has it: another machine day, another data set."""
    pause = 1.0 - phase.run
    kernel = phase.kernel and replace(
        phase.kernel,
        copy=phase.kernel.copy * rng.uniform(0.98, 1.015),
        tensor=min(0.95, phase.kernel.tensor * rng.uniform(0.98, 1.015)),
        fp32=min(0.97, phase.kernel.fp32 * rng.uniform(0.97, 1.02)),
        warps=min(1.0, phase.kernel.warps * rng.uniform(0.96, 1.04)),
    )
    return replace(
        phase,
        seconds=phase.seconds * pace * rng.uniform(0.97, 1.03),
        kernel=kernel,
        run=1.0 - min(0.95, pause * rng.uniform(0.92, 1.08)),
        thread=min(1.0, phase.thread * rng.uniform(0.97, 1.03)),
    )


def _stretches(
    phases: tuple[Phase, ...], order: list[int], seconds: float, rng: random.Random
) -> tuple[list[Stretch], float]:
    whole = sum(phases[n].seconds for n in order)
    skip = rng.uniform(0.0, whole)
    t_s, found, played = -skip, [], 0
    wave_s, turn = rng.uniform(7.0, 15.0), rng.uniform(0.0, 2.0 * math.pi)
    while t_s < seconds:
        for n in order:
            length = phases[n].seconds * (1.0 + rng.uniform(-phases[n].spread, phases[n].spread))
            pieces = max(1, min(40, round(length / _PIECE_S)))
            for _ in range(pieces):
                end_s = t_s + length / pieces
                if end_s > 0.0 and t_s < seconds:
                    drift = 0.006 * math.sin(2.0 * math.pi * t_s / wave_s + turn)
                    pace = min(1.0, 0.992 + drift - abs(rng.gauss(0.0, 0.008)))
                    found.append(Stretch(max(0.0, t_s), min(seconds, end_s), n, pace))
                t_s = end_s
        played += 1
    return found, played * seconds / (t_s + skip)


class Activity(NamedTuple):
    """Means over a window. counters: as the card's units truly were, before anybody reads them.

    gr, nvml: share of the window in which the engine counted as active, by either measure. thread: CPU of the
    feeding thread. dynamic_w: power beyond that of an idle context.
    """

    counters: dict[str, float]
    gr: float
    nvml: float
    sm: float
    occupancy: float
    rx_bytes_s: float
    tx_bytes_s: float
    thread: float
    dynamic_w: float


class Meter:
    """Means over windows of one run; what a phase does is worked out once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._each = [
            _of_phase(phase, run.card, mhz) for phase, mhz in zip(run.phases, run.clocks, strict=True)
        ]

    def over(self, start_s: float, end_s: float) -> Activity:
        """The means between two times of the run."""
        seconds = [0.0] * len(self._each)
        paced = [0.0] * len(self._each)
        for stretch, overlap in self.run.between(start_s, end_s):
            seconds[stretch.phase] += overlap
            paced[stretch.phase] += overlap * stretch.pace
        length = end_s - start_s
        timed = [s / length for s in seconds]
        worked = [s / length for s in paced]

        return Activity(
            {name: self._counter(name, worked) for name in WORK_COUNTERS},
            self._mean("gr", timed),
            self._mean("nvml", timed),
            self._mean("sm", timed),
            self._mean("occupancy", timed),
            self._mean("rx_bytes_s", worked),
            self._mean("tx_bytes_s", worked),
            self._mean("thread", timed),
            self._mean("dynamic_w", worked),
        )

    def _counter(self, name: str, shares: Sequence[float]) -> float:
        pairs = zip(shares, self._each, strict=True)
        return sum(share * one.counters.get(name, 0.0) for share, one in pairs if share)

    def _mean(self, name: str, shares: Sequence[float]) -> float:
        values: list[float] = [getattr(one, name) for one in self._each]
        return sum(share * value for share, value in zip(shares, values, strict=True))


# Doorbell, pushbuffer and completion of one launch, over PCIe.
_LAUNCH_BYTES = 600.0


def _of_phase(phase: Phase, card: Card, mhz: float) -> Activity:
    kernel = phase.kernel
    if kernel is None:
        return Activity({}, 0.0, 0.0, 0.0, 0.0, phase.rx_bytes_s, phase.tx_bytes_s, phase.thread, 0.0)
    sm = phase.run * kernel.fill
    launches_s = phase.run / kernel.length_s
    return Activity(
        counters={name: phase.run * value for name, value in card.reads(kernel).items()},
        gr=_held(phase, kernel, card.engine_hold_s),
        nvml=_held(phase, kernel, card.nvml_hold_s),
        sm=sm,
        occupancy=sm * kernel.warps,
        rx_bytes_s=phase.rx_bytes_s + launches_s * _LAUNCH_BYTES,
        tx_bytes_s=phase.tx_bytes_s + launches_s * _LAUNCH_BYTES / 8,
        thread=phase.thread,
        dynamic_w=phase.run * card.dynamic_w(kernel, mhz),
    )


def _held(phase: Phase, kernel: Kernel, hold_s: float) -> float:
    """Share of time the engine counts as active, when it does so for a while past each kernel's end."""
    interval_s = kernel.length_s / phase.run
    return (kernel.length_s + min(interval_s - kernel.length_s, hold_s)) / interval_s
