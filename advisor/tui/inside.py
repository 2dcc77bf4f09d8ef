"""What a look inside a device's process showed: its feeding thread's time by activity, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
_AT_REST = frozenset({"idle", "lock", "queue-wait", "child", "network", "blocked"})
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
        rows.append((Span(left(f"{_thread(mine[0])}, which feeds the GPU", width), "dim"),))
    percents = whole_percents({group.activity: group.frac for group in mine})
    rows += [line for group in mine for line in _group_rows(group, percents[group.activity], width, glyphs)]
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


def whole_percents(fracs: Mapping[str, float]) -> dict[str, int]:
    """Shares as whole percents whose sum is that of the shares: the largest remainders are rounded up."""
    floors = {name: int(100 * frac + 1e-9) for name, frac in fracs.items()}
    missing = round(100 * sum(fracs.values())) - sum(floors.values())
    by_rest = sorted(fracs, key=lambda name: floors[name] - 100 * fracs[name])
    return {name: floors[name] + (name in by_rest[:missing]) for name in fracs}


def _group_rows(group: StackGroup, percent: int, width: int, glyphs: Glyphs) -> list[Row]:
    """Activity, share and bar; below it the frame that names it, where the line has no room."""
    role = GROUP_OF.get(group.activity, "host")
    words: Row = (
        Span(left(activity_words(safe(group.activity)), NAME)),
        Span(right(f"{percent}%", FIGURE) + " ", "strong"),
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
    busy = [g for g in first.values() if g.activity not in _AT_REST]
    return sorted(busy, key=lambda g: -g.frac)[:OTHERS_SHOWN]


def _thread(group: StackGroup) -> str:
    """ "thread MainThread"; recordings name one without a name "thread 9763" already."""
    return f"thread {safe(group.thread.removeprefix('thread '))}"


def _other_row(group: StackGroup, width: int) -> Row:
    text = f"{_thread(group)} {activity_words(safe(group.activity))} {group.frac:.0%}"
    return (Span(left(text, width), "dim"),)


def _paragraph(text: str, width: int, role: str) -> list[Row]:
    return [(Span(line, role),) for line in wrap(safe(text), width)]
