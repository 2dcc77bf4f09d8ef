"""Memory bandwidth: read, write, copy and triad of device memory, and reads from the L2.

Each kind is measured by an own kernel and by torch's call. A short trial picks the kernel's best variant;
the better of kernel and torch is then measured at full length, the other one briefly. What each does is
checked before it is timed. Bytes are counted by STREAM's convention.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import msgspec

from probes.buffers import NoRoomError, allocate, clock_bytes_s, l2_bytes, too_small, wanted_bytes
from probes.counting import Stream, stream_bytes
from probes.kernels import RINGS, VARIANTS, Kernels, Variant, load
from probes.lab import Lab, UnsupportedError, device_lost, first_line, of, spec_value
from probes.record import Conditions, Measurement, Mode
from probes.stats import quantile
from probes.streams import Streams, Take, ring_take
from probes.timing import Call, Policy

# Variants of one way by their names. Making one may compile it.
Makers = Mapping[str, Callable[[], Take]]
# Those that rules need most come first; the others are left out where the time is over.
KINDS: tuple[Stream, ...] = ("read", "copy", "write", "triad")
WANTED: frozenset[Stream] = frozenset({"read", "copy"})
_METRICS = (*(f"dram_{kind}" for kind in KINDS), "l2_read")
# Shares of the L2 that the read of it sweeps over. An L2 in two partitions may hold everything twice.
L2_SHARES = (1 / 8, 1 / 4)
# A call of at least this length keeps the device's counters free of gaps between calls.
CALL_S = 1e-3
TRIAL_CALLS = 4
TRIAL_WINDOWS: dict[Mode, int] = {"quick": 3, "default": 5, "full": 5}
# A kind's trials end when they have taken this share of the time that was left, yet two are always made.
TRIAL_SHARE = 0.12
QUICK_VARIANTS, QUICK_RINGS = 2, 1
# In quick mode a figure that needs no counters (see `lab.COUNTED`) takes so long: passes take a millisecond
# or two, and trials have warmed the card.
QUICK_S, QUICK_WARM_S = 0.05, 0.01
# The slower of two ways is looked at for this share of the time.
SECOND_SHARE = 0.4


class Trial(msgspec.Struct, frozen=True):
    """A way that gave the right result, and its bytes per second in a short look."""

    take: Take
    bytes_s: float


class Tried(msgspec.Struct, frozen=True):
    """All variants of one way: those that work, the best first, and what is wrong with the others."""

    trials: tuple[Trial, ...]
    faults: dict[str, str]
    wrong: bool

    @property
    def rates(self) -> dict[str, float]:
        """Bytes per second of each variant."""
        return {t.take.name: t.bytes_s for t in self.trials}


class Bench(msgspec.Struct, frozen=True):
    """What is measured on. kernels: None where cupy is missing or cannot compile, and `why`."""

    streams: Streams
    kernels: Kernels | None
    why: str


def bandwidth(lab: Lab) -> Iterator[Measurement]:
    """Ceilings of this card's memory: `dram_read`, `dram_write`, `dram_copy`, `dram_triad`, `l2_read`.

    One record for each way a kind was measured at length, in quick mode for the better way alone; its method
    names the way, and `tried` has every way's rate in a short look. Sizes follow the device's own L2
    and free memory (see `probes.buffers`). A wrong result is `rejected`, too small a buffer `degraded`.
    """
    try:
        bench = _open(lab)
    except UnsupportedError as error:
        for metric in _METRICS:
            yield lab.unsupported(metric, str(error))
        return
    except NoRoomError as error:
        for metric in _METRICS:
            yield lab.failed(metric, str(error))
        return
    for done, kind in enumerate(KINDS):
        lab.say(f"memory {kind}", done / len(_METRICS))
        if kind in WANTED or lab.time_left_s() > 0:
            yield from _kind(lab, bench, kind)
        else:
            yield lab.left_out(f"dram_{kind}")
    lab.say("L2 read", len(KINDS) / len(_METRICS))
    yield from lab.unless_late("l2_read", lambda: _l2(lab, bench))


def _open(lab: Lab) -> Bench:
    """Buffers with data, and kernels if there can be any."""
    streams = Streams(lab.torch, allocate(lab, 3, wanted_bytes(lab, 3)), lab.generator())
    try:
        return Bench(streams, load(lab, _variants(lab), _rings(lab)), "")
    except UnsupportedError as error:
        return Bench(streams, None, str(error))


def _variants(lab: Lab) -> tuple[Variant, ...]:
    return VARIANTS[:QUICK_VARIANTS] if lab.plan.mode == "quick" else VARIANTS


def _rings(lab: Lab) -> tuple[Variant, ...]:
    return RINGS[:QUICK_RINGS] if lab.plan.mode == "quick" else RINGS


def _kind(lab: Lab, bench: Bench, kind: Stream) -> Iterator[Measurement]:
    """A record of each way to do one kind, the better way first and at full length."""
    work = stream_bytes(kind, bench.streams.size)
    ways = [try_all(lab, work, {"torch": partial(bench.streams.by_torch, kind)})]
    if bench.kernels is not None:
        ways.insert(0, try_all(lab, work, _kernel_takes(lab, bench.streams, bench.kernels, kind)))
    metric = f"dram_{kind}"
    yield from (_fault(lab, metric, way) for way in ways if not way.trials)
    rates = {name: rate for way in ways for name, rate in way.rates.items()}
    missing = {name: why for way in ways for name, why in way.faults.items()}
    told = Conditions(tried=rates, missing=missing | ({} if bench.kernels else {"cupy kernel": bench.why}))
    ranked = sorted((w.trials[0] for w in ways if w.trials), key=lambda t: t.bytes_s, reverse=True)
    for place, trial in enumerate(ranked):
        if place and (lab.plan.mode == "quick" or lab.time_left_s() < 0):
            return
        policy = _policy(lab, brief=place > 0)
        yield from lab.attempt(metric, partial(_dram, lab, bench, kind, trial, told, policy))


def _kernel_takes(lab: Lab, streams: Streams, kernels: Kernels, kind: Stream) -> Makers:
    return {v.label: partial(streams.by_kernel, kernels, kind, v) for v in _variants(lab)}


def _policy(lab: Lab, *, brief: bool) -> Policy:
    """As the mode asks; for a way that is no ceiling, or when time has run out, less."""
    if lab.plan.mode == "quick":
        short = {"total_s": min(lab.policy.total_s, QUICK_S), "warm_s": min(lab.policy.warm_s, QUICK_WARM_S)}
        return msgspec.structs.replace(lab.policy, **short)
    if not brief and lab.time_left_s() > 0:
        return lab.policy
    share = {"total_s": lab.policy.total_s * SECOND_SHARE, "warm_s": lab.policy.warm_s * SECOND_SHARE}
    return msgspec.structs.replace(lab.policy, **share)


def _dram(
    lab: Lab, bench: Bench, kind: Stream, trial: Trial, told: Conditions, policy: Policy
) -> Measurement:
    """One way at length, with its denominators."""
    size = bench.streams.size
    taken = _measured(lab, f"dram_{kind}", trial, stream_bytes(kind, size), told, policy)
    seen = taken.conditions
    clock, spec = clock_bytes_s(lab, seen.mem_mhz), spec_value(lab, "dram")
    extra = {k: v for k, v in (("clock_bytes_s", clock), ("spec_bytes_s", spec)) if v is not None}
    conditions = msgspec.structs.replace(
        seen, dtype="float32", buffer_bytes=size, extra={**seen.extra, **extra}
    )
    taken = msgspec.structs.replace(taken, of_clock=of(taken.median, clock), conditions=conditions)
    why = too_small(lab, size)
    return taken if why is None else msgspec.structs.replace(taken, valid="degraded", reason=why)


def _measured(
    lab: Lab, metric: str, trial: Trial, work: int, told: Conditions, policy: Policy
) -> Measurement:
    """A record of one way. Short passes are joined, so that the device's counters see no gaps."""
    passes = max(1, math.ceil(CALL_S * trial.bytes_s / work))
    take = trial.take
    conditions = msgspec.structs.replace(
        told, shape=take.shape, extra={**take.extra, "passes_per_call": float(passes)}
    )
    return lab.measure(
        metric,
        repeated(take.call, passes),
        work=passes * work,
        method=take.method,
        conditions=conditions,
        policy=policy,
    )


def repeated(call: Call, times: int) -> Call:
    """A call that makes `times` of them."""
    if times == 1:
        return call

    def many() -> None:
        for _ in range(times):
            call()

    return many


def try_all(lab: Lab, work: int | None, makers: Makers) -> Tried:
    """Check and time each variant of a way, until the time for trials is over; the best comes first.

    work: bytes of a pass where the take does not know them. A lost device is not caught.
    """
    end = time.monotonic() + TRIAL_SHARE * lab.time_left_s()
    trials: list[Trial] = []
    faults: dict[str, str] = {}
    wrong = False
    for name, maker in makers.items():
        if len(trials) >= 2 and time.monotonic() > end:
            break
        try:
            take = maker()
            fault = take.check()
            if fault is None:
                trials.append(Trial(take, (take.work or work or 0) / _pass_s(lab, take.call)))
                continue
            wrong, faults[name] = True, fault
        except Exception as error:
            if device_lost(error):
                raise
            faults[name] = f"{type(error).__name__}: {first_line(error)}"
    return Tried(tuple(sorted(trials, key=lambda t: t.bytes_s, reverse=True)), faults, wrong)


def _pass_s(lab: Lab, call: Call) -> float:
    """Seconds of a pass in a short look. The check has warmed it up."""
    return quantile(lab.timer.windows(call, TRIAL_CALLS, TRIAL_WINDOWS[lab.plan.mode]), 0.5) / TRIAL_CALLS


def _fault(lab: Lab, metric: str, way: Tried) -> Measurement:
    """A record of a way none of whose variants work."""
    reason = next(iter(way.faults.values()))
    broken = lab.failed(metric, reason)
    return msgspec.structs.replace(broken, valid="rejected") if way.wrong else broken


def _l2(lab: Lab, bench: Bench) -> Measurement:
    """Reads from the L2: many sweeps over a small part of it, past the L1 caches."""
    kernels, l2 = bench.kernels, l2_bytes(lab)
    if kernels is None:
        raise UnsupportedError(bench.why)
    if l2 is None:
        raise UnsupportedError("the size of the L2 is not known")
    sizes = [int(l2 * share) for share in L2_SHARES if l2 * share <= bench.streams.size]
    makers = {
        f"{ring.label}, {size >> 10} KiB": partial(ring_take, lab.torch, kernels, ring, bench.streams, size)
        for ring in _rings(lab)
        for size in sizes
    }
    tried = try_all(lab, None, makers)
    if not tried.trials:
        return _fault(lab, "l2_read", tried) if tried.faults else lab.failed("l2_read", "no room for a set")
    best = tried.trials[0]
    told = Conditions(dtype="uint32", tried=tried.rates, missing=tried.faults)
    taken = _measured(lab, "l2_read", best, best.take.work or 0, told, _policy(lab, brief=False))
    seen = msgspec.structs.replace(taken.conditions, buffer_bytes=int(best.take.extra["working_set_bytes"]))
    return msgspec.structs.replace(taken, conditions=seen)
