"""Compaction: a whole run in bounded memory, at one resolution throughout.

When a series is full its neighbours are merged in pairs, and what comes later is merged to the same
stride before it is kept. So every part of a run weighs the same: an hour is looked at in sub-windows of a
second or two, a minute in 200 ms. Seconds per share add up exactly whatever the stride.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from rules.evidence import SubWindow
from rules.split import Split, merge

# About 7 minutes of 200 ms sub-windows, or half an hour of 1 s samples; a report tells no finer.
FULL = 2048

T = TypeVar("T")
_MEANS = tuple(
    name
    for name in SubWindow.__struct_fields__
    if name not in ("t_s", "duration_s", "has_process", "throttle_reasons", "lost", "launching")
)


class Series(Generic[T]):
    """The newest items of a stream, or all of a stream at a coarser stride. At most FULL are kept.

    merged: makes one item of two neighbours.
    """

    def __init__(self, merged: Callable[[T, T], T]) -> None:
        self._merged = merged
        self._kept: deque[T] = deque()
        self._pending: T | None = None
        self._count = 0
        self.stride = 1
        self.latest: T | None = None

    def append(self, item: T) -> None:
        """Take the next item."""
        self.latest = item
        self._pending = item if self._pending is None else self._merged(self._pending, item)
        self._count += 1
        if self._count < self.stride:
            return
        self._kept.append(self._pending)
        self._pending, self._count = None, 0
        if len(self._kept) >= FULL:
            self._halve()

    def drop(self, old: Callable[[T], bool]) -> None:
        """Forget items from the old end for as long as `old` says so."""
        while self._kept and old(self._kept[0]):
            self._kept.popleft()

    def __iter__(self) -> Iterator[T]:
        yield from self._kept
        if self._pending is not None:
            yield self._pending

    def __len__(self) -> int:
        return len(self._kept) + (self._pending is not None)

    def _halve(self) -> None:
        pairs = list(self._kept)
        if len(pairs) % 2:
            self._pending, self._count = pairs.pop(), self.stride
        self._kept = deque(self._merged(a, b) for a, b in zip(pairs[::2], pairs[1::2], strict=True))
        self.stride *= 2


def keep_first(first: T, _second: T) -> T:
    """Thinning: of neighbours only the first is kept."""
    return first


Piece = tuple[SubWindow, Split]


def merge_pieces(a: Piece, b: Piece) -> Piece:
    """A sub-window and its split, of the time of both."""
    return merge_windows(a[0], b[0]), merge(a[1], b[1])


def merge_windows(a: SubWindow, b: SubWindow) -> SubWindow:
    """One sub-window for the time of both: counters are means by time, reasons are those of either."""
    means: dict[str, Any] = {
        name: _weighted(getattr(a, name), a.duration_s, getattr(b, name), b.duration_s) for name in _MEANS
    }
    return SubWindow(
        t_s=b.t_s,
        duration_s=a.duration_s + b.duration_s,
        has_process=b.has_process if b.has_process is not None else a.has_process,
        throttle_reasons=tuple(sorted({*a.throttle_reasons, *b.throttle_reasons})),
        lost=a.lost and b.lost,
        launching=a.launching or b.launching,
        **means,
    )


def _weighted(a: float | None, a_s: float, b: float | None, b_s: float) -> float | None:
    if a is None or b is None or a_s + b_s <= 0:
        return b if a is None else a
    return (a * a_s + b * b_s) / (a_s + b_s)
