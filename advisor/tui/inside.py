"""What a look inside a device's process showed: its feeding thread's time by activity, and where."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.telemetry.records import StackLook
from advisor.tui.blocks import heading
from advisor.tui.charts.meter import meter
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, clip, left, right, wrap
from advisor.tui.text import safe
from rules.stacks import StackGroup, Stacks, activity_words

TITLE = "inside the process"
GROUP_OF: dict[str, str] = {"launch": "compute", "compute": "compute", "decode": "compute"}
# Other threads are told by what they do most, the busiest first.
OTHERS_SHOWN = 3
NAME, FIGURE, BAR = 36, 6, 14


def inside_rows(look: StackLook | None, looking: bool, width: int, glyphs: Glyphs) -> list[Row]:
    """The section, with an empty line below; nothing where nobody looked."""
    if looking:
        line = "py-spy samples its stacks from outside for some seconds; it is not paused"
        return [heading(TITLE, width, glyphs), *_paragraph(line, width, "dim"), ()]
    if look is None:
        return []
    stacks = look.stacks
    rows = [heading(TITLE, width, glyphs, _remark(stacks))]
    if stacks.missing:
        rows += _paragraph(stacks.missing, width, "warn")
    mine = [group for group in stacks.groups if group.main]
    if mine:
        rows.append((Span(left(f"thread {safe(mine[0].thread)}, which feeds the GPU", width), "dim"),))
    rows += [line for group in mine for line in _group_rows(group, width, glyphs)]
    rows += [_other_row(group, width) for group in _busiest(stacks.groups)]
    return [*rows, ()]


def outcome(stacks: Stacks) -> str:
    """The look in one sentence for a notice."""
    mine = [group for group in stacks.groups if group.main]
    if not mine:
        return f"no stacks: {safe(stacks.missing or 'none were seen')}"
    first = mine[0]
    return f"feeding thread {activity_words(first.activity)} {first.frac:.0%} of the time"


def _remark(stacks: Stacks) -> str:
    if not stacks.groups:
        return safe(stacks.tool)
    native = ", C frames" if stacks.native else ""
    return safe(f"{stacks.tool}, pid {stacks.pid}, {stacks.samples} samples{native}")


def _group_rows(group: StackGroup, width: int, glyphs: Glyphs) -> list[Row]:
    """Activity, share and bar; below it the frame that names it, where the line has no room."""
    role = GROUP_OF.get(group.activity, "host")
    words: Row = (
        Span(left(activity_words(safe(group.activity)), NAME)),
        Span(right(f"{group.frac:.0%}", FIGURE) + " ", "strong"),
        *meter(group.frac, BAR, glyphs, role),
    )
    room = width - NAME - FIGURE - BAR - 4
    if room >= 40:
        return [(*words, Span("  " + left(_end(group.frame, room), room), "dim"))]
    return [clip(words, width), (Span("  " + left(_end(group.frame, width - 2), width - 2), "dim"),)]


def _end(frame: str, room: int) -> str:
    """Of a frame too long, the function and the end of its path."""
    text = safe(frame)
    if len(text) <= room:
        return text
    function, _, place = text.partition(" (")
    keep = room - len(function) - 4
    return f"{function} (..{place[-keep:]}" if keep > 8 else text[:room]


def _busiest(groups: Sequence[StackGroup]) -> list[StackGroup]:
    """The leading activity of the other threads that do anything but wait."""
    first: dict[str, StackGroup] = {}
    for group in groups:
        if not group.main and group.thread not in first:
            first[group.thread] = group
    busy = [g for g in first.values() if g.activity not in ("idle", "lock", "queue-wait")]
    return sorted(busy, key=lambda g: -g.frac)[:OTHERS_SHOWN]


def _other_row(group: StackGroup, width: int) -> Row:
    text = f"thread {safe(group.thread)} {activity_words(safe(group.activity))} {group.frac:.0%}"
    return (Span(left(text, width), "dim"),)


def _paragraph(text: str, width: int, role: str) -> list[Row]:
    return [(Span(line, role),) for line in wrap(safe(text), width)]
