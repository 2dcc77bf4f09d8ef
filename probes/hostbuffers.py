"""Buffers of host memory with known contents, and kernels over them that move bytes and can be checked."""

from __future__ import annotations

import ctypes
import importlib
import mmap
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from probes.team import Job, Team

# Element i of b is i mod 256, that of c one more: small integers, so that every sum is exact, and none of
# their bytes is 0xFF.
PERIOD = 256
ITEM = 8
SCALAR = 3.0
_ABSENT = 0xFF
_SET = 0x05
# numpy's triad takes two passes; blocks of this many elements (128 KiB) stay in a core's cache between them.
_BLOCK = 16_384
_SPOT = 4_096


class Kernel(NamedTuple):
    """One way to move the bytes once. right(result): whether the call, which gave `result`, did its work."""

    method: str
    call: Callable[[], Any]
    right: Callable[[Any], bool]


class HostBuffers:
    """Three buffers of float64: a is written, b and c are read. Each core of the team first touches its part.

    Memory is asked for in huge pages, as numpy does too. Needs torch; numpy may be absent.
    """

    def __init__(self, torch: Any, team: Team, buffer_bytes: int) -> None:
        self.torch = torch
        self.numpy = _numpy()
        self.team = team
        self.count = max(PERIOD, buffer_bytes // ITEM // PERIOD * PERIOD)
        self.bytes = self.count * ITEM
        self.parts = parts(self.count, len(team.cores))
        self._libc = _libc()
        self._pattern = torch.arange(_SPOT, dtype=torch.float64) % PERIOD
        self.a, self.b, self.c = (_tensor(torch, self.bytes) for _ in range(3))
        for tensor, plus in ((self.a, 0), (self.b, 0), (self.c, 1)):
            self._spread(tensor, self._pattern + plus)

    def kernels(self, metric: str) -> list[Kernel]:
        """Every way there is to measure a metric."""
        return {
            "host_read": self._reads,
            "host_write": self._writes,
            "host_copy": self._copies,
            "host_triad": self._triads,
            "host_copy_1": self._copies_1,
        }[metric]()

    def spoil(self) -> None:
        """Overwrite what kernels write, so that a check sees the next call's work only."""
        self.a.fill_(-1.0)

    def _reads(self) -> list[Kernel]:
        b, find, total = self.b, self._libc.memchr, self.count / PERIOD * sum(range(PERIOD))
        looks = self._each(lambda low, high: find(_at(b, low), _ABSENT, (high - low) * ITEM))
        found = [
            Kernel("torch sum", b.sum, lambda r: float(r) == total),
            Kernel("memchr on each core", looks, lambda r: set(r) == {None}),
        ]
        if self.numpy:
            n = b.numpy()
            largest = self._each(lambda low, high: n[low:high].max())
            found.append(Kernel("numpy max on each core", largest, lambda r: set(r) == {PERIOD - 1.0}))
        return found

    def _writes(self) -> list[Kernel]:
        a, put = self.a, self._libc.memset
        sets = self._each(lambda low, high: put(_at(a, low), _SET, (high - low) * ITEM))
        as_set = ctypes.c_double.from_buffer_copy(bytes([_SET] * ITEM)).value
        found = [
            Kernel("torch fill_", lambda: a.fill_(SCALAR), self._constant(SCALAR)),
            Kernel("memset on each core", sets, self._constant(as_set)),
        ]
        if self.numpy:
            n = a.numpy()
            fills = self._each(lambda low, high: n[low:high].fill(SCALAR))
            found.append(Kernel("numpy fill on each core", fills, self._constant(SCALAR)))
        return found

    def _copies(self) -> list[Kernel]:
        a, b, move = self.a, self.b, self._libc.memcpy
        moves = self._each(lambda low, high: move(_at(a, low), _at(b, low), (high - low) * ITEM))
        found = [
            Kernel("torch copy_", lambda: a.copy_(b), self._multiple(1)),
            Kernel("memcpy on each core", moves, self._multiple(1)),
        ]
        if numpy := self.numpy:
            to, source = a.numpy(), b.numpy()
            copies = self._each(lambda low, high: numpy.copyto(to[low:high], source[low:high]))
            found.append(Kernel("numpy copyto on each core", copies, self._multiple(1)))
        return found

    def _copies_1(self) -> list[Kernel]:
        """On the caller's thread alone; the caller sets torch to one thread."""
        a, b, move, size = self.a, self.b, self._libc.memcpy, self.bytes
        found = [
            Kernel("torch copy_, 1 thread", lambda: a.copy_(b), self._multiple(1)),
            Kernel("memcpy", lambda: move(_at(a, 0), _at(b, 0), size), self._multiple(1)),
        ]
        if numpy := self.numpy:
            to, source = a.numpy(), b.numpy()
            found.append(Kernel("numpy copyto", lambda: numpy.copyto(to, source), self._multiple(1)))
        return found

    def _triads(self) -> list[Kernel]:
        a, b, c, add = self.a, self.b, self.c, self.torch.add
        right = self._multiple(1 + SCALAR, SCALAR)
        found = [Kernel("torch add(alpha)", lambda: add(b, c, alpha=SCALAR, out=a), right)]
        if numpy := self.numpy:
            x, y, z = a.numpy(), b.numpy(), c.numpy()

            def part(low: int, high: int) -> None:
                for at in range(low, high, _BLOCK):
                    block = slice(at, min(at + _BLOCK, high))
                    numpy.multiply(z[block], SCALAR, out=x[block])
                    numpy.add(x[block], y[block], out=x[block])

            found.append(Kernel("numpy multiply and add on each core", self._each(part), right))
        return found

    def _each(self, part: Callable[[int, int], Any]) -> Callable[[], list[Any]]:
        """A call that runs part(first, end) on every core's part of the elements at once."""
        jobs: list[Job] = [partial(part, low, high) for low, high in self.parts]
        return lambda: self.team.run(jobs)

    def _constant(self, value: float) -> Callable[[Any], bool]:
        return self._multiple(0, value)

    def _multiple(self, factor: float, plus: float = 0.0) -> Callable[[Any], bool]:
        """Whether a is the pattern times `factor` plus `plus`: at both ends, and around every core's ends."""
        want = self._pattern * factor + plus

        def right(_result: Any) -> bool:
            starts = {max(0, min(at, self.count) - _SPOT) for pair in self.parts for at in pair}
            starts |= {low for low, _ in self.parts}
            spots = (self.a[start : start + _SPOT] for start in starts)
            return all(self.torch.equal(spot, want[: len(spot)]) for spot in spots)

        return right

    def _spread(self, tensor: Any, block: Any) -> None:
        """Repeat a block of whole periods over the buffer, each core over its own part."""
        move, size = self._libc.memcpy, len(block)

        def part(low: int, high: int) -> None:
            for at in range(low, high, size):
                move(_at(tensor, at), _at(block, 0), min(size, high - at) * ITEM)

        self._each(part)()


def parts(count: int, cores: int) -> list[tuple[int, int]]:
    """First and end of each core's elements: whole periods, as even as can be."""
    periods = count // PERIOD
    edges = [periods * at // cores * PERIOD for at in range(cores + 1)]
    return list(pairwise(edges))


def _tensor(torch: Any, size: int) -> Any:
    """Float64 over fresh private memory that goes when the tensor does."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(AttributeError, OSError):  # A kernel without huge pages: small ones do.
        memory.madvise(mmap.MADV_HUGEPAGE)
    return torch.frombuffer(memory, dtype=torch.float64)


def _at(tensor: Any, element: int) -> int:
    address: int = tensor.data_ptr()
    return address + element * ITEM


def _numpy() -> Any:
    try:
        return importlib.import_module("numpy")
    except ImportError:
        return None


def _libc() -> Any:
    """The C library. Calls through it let go of the interpreter's lock."""
    libc = ctypes.CDLL(None)
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    for function, second in (
        (libc.memcpy, pointer),
        (libc.memset, ctypes.c_int),
        (libc.memchr, ctypes.c_int),
    ):
        function.argtypes, function.restype = [pointer, second, size], pointer
    return libc
