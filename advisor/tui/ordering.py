"""Which rows are shown and in what order. The order does not jump: small changes leave rows in place."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from advisor.snapshot import DeviceView
from advisor.tui.devices import device_label, job_of, user_of, verdict_words, wasted_of
from advisor.tui.unallocated import is_unallocated

SortKey = Literal["wasted", "index", "verdict"]
SORT_KEYS: tuple[SortKey, ...] = ("wasted", "index", "verdict")
SORT_WORDS: dict[SortKey, str] = {"wasted": "$/h", "index": "index", "verdict": "verdict"}

# Rows that need someone now stand first whatever they are sorted by, save by index.
URGENCY: dict[str, int] = {"lost": 0, "silent": 0}
CRITICAL = 1
CALM = 2

# Above every GPU instance id.
UNALLOCATED_LAST = 1 << 16

# A row overtakes another only when its waste exceeds the other's by this share of the larger.
SLACK = 0.10


def matches(view: DeviceView, needle: str) -> bool:
    """Whether the row's name, job, user or verdict contains the text, whatever its case.

    One or two digits are an index and match nothing else.
    """
    if not needle:
        return True
    if needle.isdigit() and len(needle) <= 2:
        return view.info.index == int(needle)
    word, _, cause = verdict_words(view)
    jobs = " ".join(process.job or "" for process in view.processes)
    names = " ".join(process.name for process in view.processes)
    who = f"{job_of(view)[0]} {user_of(view)} {jobs} {names}"
    hay = f"gpu{device_label(view)} {who} {word} {cause} {view.info.name}"
    return needle.casefold() in hay.casefold()


def ordered(
    views: Sequence[DeviceView],
    by: SortKey,
    previous: Sequence[str] = (),
    critical: Collection[str] = (),
) -> list[DeviceView]:
    """The rows in order: lost and silent ones first, then those in `critical`, then the rest.

    Only the order by index knows no urgency. previous: keys as they stand now, kept where `by` is `wasted`
    and little changed. critical: keys of rows with a critical finding.
    """
    by_index = sorted(views, key=_index)
    if by == "index":
        return by_index
    return sorted(_calmly(by_index, by, previous), key=lambda view: _urgency(view, critical))


def _urgency(view: DeviceView, critical: Collection[str]) -> int:
    return URGENCY.get(view.state, CRITICAL if view.info.key in critical else CALM)


def _calmly(by_index: list[DeviceView], by: SortKey, previous: Sequence[str]) -> list[DeviceView]:
    if by == "verdict":
        return sorted(by_index, key=lambda view: verdict_words(view)[0])
    if not previous:
        return sorted(by_index, key=lambda view: -wasted_of(view))
    place = {key: number for number, key in enumerate(previous)}
    return _settle(sorted(by_index, key=lambda view: place.get(view.info.key, len(place))))


def _settle(views: list[DeviceView]) -> list[DeviceView]:
    """Insertion sort by waste in which a row passes another only when clearly ahead of it."""
    out: list[DeviceView] = []
    for view in views:
        at = len(out)
        while at and wasted_of(view) > wasted_of(out[at - 1]) * (1 + SLACK) + 0.01:
            at -= 1
        out.insert(at, view)
    return out


def _index(view: DeviceView) -> tuple[int, int]:
    """By index, then by instance; what is in no instance comes last."""
    if is_unallocated(view):
        return view.info.index, UNALLOCATED_LAST
    return view.info.index, view.info.gi_id if view.info.gi_id is not None else -1
