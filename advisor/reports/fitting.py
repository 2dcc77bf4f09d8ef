"""Fitting a report into a tracker's limit: whole parts give way, the smallest first, and it is said.

A part is never cut: it has a few sizes, and is shown in one of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from advisor.reports.common import width_of

# What the sentence about what was left out may take.
NOTE_SIZE = 400


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a report in its sizes, fullest first. `lost` names what each smaller size leaves out."""

    sizes: tuple[str, ...]
    lost: tuple[str, ...] = ()


class Fitted(msgspec.Struct, frozen=True):
    """The size chosen for each part, and how often each thing was left out."""

    texts: tuple[str, ...]
    left_out: dict[str, int]


def fit(parts: Sequence[Part], steps: Iterable[tuple[int, int]], limit: int) -> Fitted:
    """Take `steps` (part, size) in their order until the parts fit into `limit`, the note included."""
    chosen = [0] * len(parts)
    total = sum(width_of(part.sizes[0]) for part in parts)
    for index, size in steps:
        if total + NOTE_SIZE <= limit:
            break
        sizes = parts[index].sizes
        if size <= chosen[index]:
            continue
        total += width_of(sizes[size]) - width_of(sizes[chosen[index]])
        chosen[index] = size
    texts = tuple(part.sizes[size] for part, size in zip(parts, chosen, strict=True))
    return Fitted(texts, _left_out(parts, chosen))


def _left_out(parts: Sequence[Part], chosen: Sequence[int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part, size in zip(parts, chosen, strict=True):
        if size:
            what = part.lost[size - 1]
            counts[what] = counts.get(what, 0) + 1
    return counts
