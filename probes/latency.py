"""Latency of the L2 and of device memory: one thread follows a chain of addresses, load after load.

The chain is one random cycle over all 128-byte lines of a working set, so that no prefetcher and no open page
helps. The headline figures bypass the L1; the sweep over working sets does not, and so shows every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import msgspec

from probes.buffers import NoRoomError, allocate, l2_bytes, whole_grains
from probes.kernels import Kernels, load
from probes.lab import Lab, UnsupportedError
from probes.record import Conditions, Measurement, Mode
from probes.stats import quantile
from probes.timing import Policy

LINE_BYTES = 128
WORDS = LINE_BYTES // 8
SMALLEST, LARGEST = 16 << 10, 1 << 30
FREE_SHARE = 0.25
# The L2's own figure is taken well inside it (an L2 in two halves may hold everything twice), memory's where
# at most an eighth of the lines can be in the L2.
L2_SHARE = 1 / 8
DRAM_MULTIPLE = 8
DRAM_MULTIPLE_LEAST = 4
# Hops of a launch: at 20 ns each in the L1, launching (about 3 µs) is 1 % of the sweep's first point (2 % in
# quick mode), and a fraction of that at the headline figures.
HOPS: dict[Mode, int] = {"quick": 8192, "default": 16384, "full": 16384}
# The sweep leaves this share of the time to the headline figures.
SWEEP_LEAVES = 0.4
# Hops before timing. A set that fits the L2 is gone along once, so that all of it is there (half a million
# lines of an L2 of 126 MB take some 0.1 s); of a larger one no more than warms the translation of addresses.
WARM_HOPS = 1 << 14
SWEEP_WINDOWS = 3
# Seconds, and windows at least, of a headline figure: one thread does not warm a card, and its clock hardly
# moves. A launch takes some 3 to 10 ms.
LONGEST_S: dict[Mode, float] = {"quick": 0.05, "default": 0.3, "full": 0.75}
QUICK_WINDOWS, QUICK_WARM_S = 8, 0.01


class Chase(msgspec.Struct, frozen=True):
    """Where the chain lies. memory: int64 words; state: see kernels.cu."""

    kernels: Kernels
    memory: Any
    state: Any

    @property
    def size(self) -> int:
        """Bytes there are for working sets."""
        return int(self.memory.numel()) * 8


def latency(lab: Lab) -> Iterator[Measurement]:
    """Seconds a dependent load takes: `l2_latency` and `dram_latency`.

    conditions.extra holds the same in cycles of the SM clock and the clock that follows from both;
    conditions.tried the latency by working set, in seconds. Without cupy there is no such kernel.
    """
    try:
        chase = _open(lab)
    except (UnsupportedError, NoRoomError) as error:
        none = lab.unsupported if isinstance(error, UnsupportedError) else lab.failed
        yield from (none(metric, str(error)) for metric in ("l2_latency", "dram_latency"))
        return
    swept: dict[str, float] = {}
    lab.say("working sets", 0.0)
    yield from lab.attempt("l2_latency", partial(_l2, lab, chase, swept))
    lab.say("memory latency", 0.7)
    yield from lab.attempt("dram_latency", partial(_dram, lab, chase, swept))


def _open(lab: Lab) -> Chase:
    """The kernels first: without them there is no use for memory."""
    kernels, torch = load(lab, (), ()), lab.torch
    size = whole_grains(min(max(LARGEST, _dram_set(lab)), lab.free_bytes() * FREE_SHARE))
    if size == 0:
        raise NoRoomError(f"only {lab.free_bytes() >> 20} MiB of device memory are free")
    (memory,) = allocate(lab, 1, size)
    state = torch.zeros(3, dtype=torch.int64, device=lab.device)
    return Chase(kernels, memory.view(torch.int64), state)


def _l2(lab: Lab, chase: Chase, swept: dict[str, float]) -> Measurement:
    """Fills `swept` as well, once the chain is known to be one cycle."""
    l2, wrong = l2_bytes(lab), fault(lab, chase)
    if wrong is not None:
        return msgspec.structs.replace(lab.failed("l2_latency", wrong), valid="rejected")
    sweep(lab, chase, swept)
    if l2 is None:
        raise UnsupportedError("the size of the L2 is not known")
    size = min(int(l2 * L2_SHARE) // LINE_BYTES * LINE_BYTES, chase.size)
    return _measured(lab, chase, "l2_latency", size, swept, "")


def _dram(lab: Lab, chase: Chase, swept: dict[str, float]) -> Measurement:
    """In a set so large that the L2 hardly helps; the address translation's misses are part of it."""
    wrong = fault(lab, chase)
    if wrong is not None:
        return msgspec.structs.replace(lab.failed("dram_latency", wrong), valid="rejected")
    size = min(_dram_set(lab), chase.size)
    note = "; includes whatever misses of address translation a set of this size has"
    taken = _measured(lab, chase, "dram_latency", size, swept, note)
    l2 = l2_bytes(lab) or 0
    if size >= DRAM_MULTIPLE_LEAST * l2:
        return taken
    reason = f"a working set of {label(size)} is under {DRAM_MULTIPLE_LEAST} times the L2 ({label(l2)})"
    return msgspec.structs.replace(taken, valid="degraded", reason=reason)


def _dram_set(lab: Lab) -> int:
    """The smallest power of two that is eight times the L2; the largest set where the L2 is not known."""
    l2 = l2_bytes(lab)
    return LARGEST if l2 is None else 1 << (DRAM_MULTIPLE * l2 - 1).bit_length()


def _measured(
    lab: Lab, chase: Chase, metric: str, size: int, swept: dict[str, float], note: str
) -> Measurement:
    """One working set at length, past the L1, in seconds and in cycles."""
    prepare(lab, chase, size, "l2")
    hops = HOPS[lab.plan.mode]
    told = Conditions(
        shape="grid 1 x 1", buffer_bytes=size, tried=dict(swept), missing=not_swept(lab, chase, swept)
    )
    taken = lab.measure(
        metric,
        chase.kernels.chase("l2", chase.state.data_ptr(), hops).call,
        work=hops,
        method=f"cupy kernel chase, one thread, ld.cg, one random cycle of {LINE_BYTES}-byte lines{note}",
        conditions=told,
        policy=_policy(lab),
    )
    _, cycles, gone = (int(x) for x in chase.state.tolist())
    each = cycles / gone
    extra = {"cycles": each, "clock64_mhz": each / (taken.median or float("inf")) / 1e6}
    return msgspec.structs.replace(taken, conditions=msgspec.structs.replace(taken.conditions, extra=extra))


def _policy(lab: Lab) -> Policy:
    """No longer than the figure needs, and in quick mode fewer windows."""
    policy, quick = lab.policy, lab.plan.mode == "quick"
    return msgspec.structs.replace(
        policy,
        windows=min(policy.windows, QUICK_WINDOWS) if quick else policy.windows,
        total_s=min(policy.total_s, LONGEST_S[lab.plan.mode]),
        warm_s=min(policy.warm_s, QUICK_WARM_S) if quick else policy.warm_s,
    )


def sweep(lab: Lab, chase: Chase, swept: dict[str, float]) -> None:
    """Latency by working set through the whole hierarchy, L1 included, into `swept`."""
    hops = HOPS[lab.plan.mode]
    least_s = max(0.0, SWEEP_LEAVES * lab.time_left_s())
    for size in sweep_sizes(lab, chase):
        if lab.time_left_s() <= least_s:
            break
        prepare(lab, chase, size, "l1")
        call = chase.kernels.chase("l1", chase.state.data_ptr(), hops).call
        swept[label(size)] = quantile(lab.timer.windows(call, 1, SWEEP_WINDOWS), 0.5) / hops


def sweep_sizes(lab: Lab, chase: Chase) -> list[int]:
    """Working sets of the sweep, bytes: each twice the one before, in quick mode 16 times."""
    step = 4 if lab.plan.mode == "quick" else 1
    most = min(LARGEST, chase.size).bit_length()
    return [1 << shift for shift in range(SMALLEST.bit_length() - 1, most, step)]


def not_swept(lab: Lab, chase: Chase, swept: dict[str, float]) -> dict[str, str]:
    """That the sweep did not go to its end, if it did not."""
    left = [name for size in sweep_sizes(lab, chase) if (name := label(size)) not in swept]
    return {"tried": f"{', '.join(left)}: {lab.no_time}"} if left else {}


def prepare(lab: Lab, chase: Chase, size: int, level: str) -> None:
    """Lay the chain over the first `size` bytes, and go along it until the caches hold what they can."""
    lines = size // LINE_BYTES
    write_cycle(lab, chase, lines)
    fits = size <= (l2_bytes(lab) or 0)
    chase.kernels.chase(level, chase.state.data_ptr(), lines if fits else min(lines, WARM_HOPS)).call()
    lab.timer.synchronize()
    chase.state[1:] = 0


def write_cycle(lab: Lab, chase: Chase, lines: int) -> None:
    """Make the first word of each line the address of the next line of one random cycle over all of them."""
    torch = lab.torch
    order = torch.randperm(lines, generator=lab.generator(), device=lab.device)
    address = order * LINE_BYTES + chase.memory.data_ptr()
    chase.memory[: lines * WORDS].view(lines, WORDS)[order, 0] = torch.roll(address, -1)
    chase.state.zero_()
    chase.state[0] = address[0]


def fault(lab: Lab, chase: Chase) -> str | None:
    """What is wrong with a small chain as the kernels walk it, or None: a cycle over all lines is back at
    its start after as many hops as there are lines, and not after half of them."""
    lines = SMALLEST // LINE_BYTES
    for level in ("l1", "l2"):
        write_cycle(lab, chase, lines)
        half = chase.kernels.chase(level, chase.state.data_ptr(), lines // 2)
        start = int(chase.state[0])
        half.call()
        middle = int(chase.state[0])
        half.call()
        if middle == start or int(chase.state[0]) != start:
            return f"the pointer chase ({level}) did not go round its cycle of {lines} lines"
    return None


def label(size: int) -> str:
    """A size in bytes as the sweep names it, such as "16 KiB"; binary units, rounded down."""
    for unit, shift in (("GiB", 30), ("MiB", 20)):
        if size >> shift and size % (1 << shift) == 0:
            return f"{size >> shift} {unit}"
    return f"{size >> 10} KiB"
