"""What is under the cursor: the column's shares, and the gap or the kernel that takes most of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from advisor.traces.timeline import UNKNOWN, CopyKind, GpuKind
from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left, wrap
from advisor.tui.text import safe
from advisor.tui.trace import times
from advisor.tui.trace.lanes import Rows
from advisor.tui.trace.legend import per_cent, tenths
from advisor.tui.trace.palette import HOST_LOOKS, LOOKS, is_idle
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.track import Track
from rules.traces.host_names import HostRole
from rules.traces.records import CAUSES

LEAD = 9
# Calls listed of a gap, and frames of a stack.
MOST_CALLS = 4
MOST_FRAMES = 5


class Found(NamedTuple):
    """What takes most of a column. row: of the GPU table, or None where it is a gap."""

    start_ns: int
    end_ns: int
    row: int | None


def found_at(scene: Scene, columns: int) -> Found | None:
    """The gap or the GPU interval with most of the cursor's column; the cursor's own where it has any."""
    low, high = scene.window.column_ns(columns)
    best: tuple[int, Found] | None = None
    for found in (*_gaps(scene.track, low, high), *_ran(scene.track, low, high)):
        covers = min(found.end_ns, high) - max(found.start_ns, low)
        if best is None or covers > best[0]:
            best = covers, found
    return best[1] if best else None


def _gaps(track: Track, low: int, high: int) -> list[Found]:
    spans = track.gaps
    first = int(np.searchsorted(spans.end_ns, low, side="right"))
    after = int(np.searchsorted(spans.start_ns, high, side="left"))
    if after <= first:
        return []
    starts, ends = spans.start_ns[first:after], spans.end_ns[first:after]
    best = int(np.argmax(np.minimum(ends, high) - np.maximum(starts, low)))
    return [Found(int(starts[best]), int(ends[best]), None)]


def _ran(track: Track, low: int, high: int) -> list[Found]:
    rows = track.all_rows
    inside = rows.overlapping(low, high)
    if not inside.size:
        return []
    starts, ends = rows.start_ns[inside], rows.end_ns[inside]
    best = int(np.argmax(np.minimum(ends, high) - np.maximum(starts, low)))
    return [Found(int(starts[best]), int(ends[best]), int(rows.at[inside[best]]))]


def under_rows(scene: Scene, columns: int, width: int, glyphs: Glyphs) -> list[Row]:
    """Time and shares of the column, then what is there in full."""
    low, high = scene.window.column_ns(columns)
    rows = [_head(scene, low, high), *_highlight_rows(scene, width)]
    found = found_at(scene, columns)
    if found is None:
        return [*rows, (Span("nothing of this device is known here", "dim"),)]
    if found.row is None:
        return [*rows, *_gap_rows(scene.track, found, width, glyphs)]
    return [*rows, *_ran_rows(scene.track, found, width, glyphs)]


def _head(scene: Scene, low: int, high: int) -> Row:
    shares = tenths(scene.shares(low, high))
    order = sorted(shares, key=lambda name: -shares[name])
    idle = sum(count for name, count in shares.items() if is_idle(name))
    at = times.instant(scene.window.cursor_ns, high - low)
    row: Row = (
        Span(left("at", LEAD), "dim"),
        Span(at, "strong"),
        Span(f"  column of {times.duration(high - low)}: ", "dim"),
        Span(f"idle {per_cent(idle)}" if idle else "busy"),
    )
    for name in order[:4]:
        row = (
            *row,
            Span("  "),
            Span(LOOKS[name].short, LOOKS[name].role),
            Span(f" {per_cent(shares[name])}"),
        )
    return row


def _highlight_rows(scene: Scene, width: int) -> list[Row]:
    """What is highlighted, and how much of the view it is."""
    wanted = scene.highlight
    if wanted is None:
        return []
    start, end = scene.window.start_ns, scene.window.end_ns
    share = wanted.cover.between(start, end) / max(1, end - start)
    words = f"{share * 100:.1f} % of the view, {len(wanted.cover):,} places: {safe(wanted.words)}"
    return _entry("found", words, width, "warn", limit=1) + (
        _entry("", wanted.note, width, "dim") if wanted.note else []
    )


def _entry(lead: str, text: str, width: int, role: str = "", limit: int = 2) -> list[Row]:
    """A word, and beside it text in at most `limit` lines."""
    return [
        (Span(left(lead if number == 0 else "", LEAD), "dim"), Span(line, role))
        for number, line in enumerate(wrap(text, width - LEAD, limit=limit))
    ]


def _gap_rows(track: Track, gap: Found, width: int, glyphs: Glyphs) -> list[Row]:
    """How long, why, between what, and what the host did."""
    causes = {
        name: ns
        for name, cover in track.covers.items()
        if is_idle(name) and (ns := cover.between(gap.start_ns, gap.end_ns))
    }
    spans = track.gaps
    lengths = spans.end_ns - spans.start_ns
    length = gap.end_ns - gap.start_ns
    longer = int((lengths > length).sum())
    share = length / max(1, int(lengths.sum()))
    place = f"longest of {len(spans)}" if not longer else f"no. {longer + 1} of {len(spans)} by length"
    title: Row = (
        Span(left("gap", LEAD), "dim"),
        Span(times.duration(length), "bad strong"),
        Span(f"  {place}, {share * 100:.1f} % of all idle time", "dim"),
    )
    why: Row = (Span(left("because", LEAD), "dim"),)
    for name in sorted(causes, key=lambda name: -causes[name]):
        look = LOOKS[name]
        why = (*why, Span(look.words, f"{look.role} strong"), Span(f" {times.duration(causes[name])}  "))
    rows = [title, why]
    if causes.get("unknown"):
        rows += _entry("", _why_unknown(track, gap), width, "dim")
    return [*rows, *_around(track, gap, width), *_host(track, gap, width, glyphs)]


def _why_unknown(track: Track, gap: Found) -> str:
    """What is missing to tell the cause of a gap."""
    if not track.threads:
        return "unknown, because the trace holds nothing of the host"
    idle = track.attribution.idle
    first = int(np.searchsorted(idle.end_ns, gap.start_ns, side="right"))
    after = int(np.searchsorted(idle.start_ns, gap.end_ns, side="left"))
    mine = idle.cause[first:after] == CAUSES.index("unknown")
    if idle.queued[first:after][mine].any():
        return "unknown, because the work was queued already, and the trace shows nothing that held it up"
    return "unknown, because the launch of what ran next is not in the trace"


def _around(track: Track, gap: Found, width: int) -> list[Row]:
    """What ran before and after."""
    rows = track.all_rows
    ended = rows.overlapping(gap.start_ns - 1, gap.start_ns)
    begun = rows.overlapping(gap.end_ns, gap.end_ns + 1)
    out: list[Row] = []
    for lead, places in (("before", ended), ("after", begun)):
        if places.size:
            out += _entry(lead, _what(track, int(rows.at[places[0]])), width, limit=1)
    return out


def _what(track: Track, row: int) -> str:
    gpu = track.timeline.gpu
    length = times.duration(int(gpu.end_ns[row] - gpu.start_ns[row]))
    return f"{length} on stream {gpu.stream[row]}: {track.name_of(row)}"


def _host(track: Track, found: Found, width: int, glyphs: Glyphs) -> list[Row]:
    """What the thread that launched did meanwhile; where it rested, what the one that launches most did."""
    if not track.threads:
        return _entry("host", "unknown: the trace has no CPU side", width, "warn")
    number = _thread_of(track, found)
    out = _entry("thread", track.thread_words(number), width, limit=1)
    did = _did(track, number, found, width, glyphs)
    main = track.threads[0]
    if did or number == main:
        return out + (did or _entry("did", "nothing that the trace shows", width))
    out += _entry("did", "nothing that the trace shows", width)
    meanwhile = _did(track, main, found, width, glyphs)
    title = _entry("beside", track.thread_words(main), width, limit=1)
    return [*out, *title, *meanwhile] if meanwhile else out


def _did(track: Track, number: int, found: Found, width: int, glyphs: Glyphs) -> list[Row]:
    """The calls that a thread was in, those it made, and what they are about; nothing where it made none."""
    lane = track.thread(number)
    rows, host = lane.rows, track.timeline.host
    inside = rows.overlapping(found.start_ns, found.end_ns)
    around = (rows.start_ns[inside] <= found.start_ns) & (rows.end_ns[inside] >= found.end_ns)
    frames = [track.name(int(host.name[rows.at[place]])) for place in inside[around].tolist()]
    out: list[Row] = []
    if frames:
        arrow = " > " if glyphs.ascii else " › "
        out += _entry("in", arrow.join(_inner(frames)), width)
    calls = _calls(track, rows, inside[~around], found)
    if calls:
        out += _entry("did", ", ".join(calls), width, limit=3)
    spent = {role: cover.between(found.start_ns, found.end_ns) for role, cover in lane.covers.items()}
    known = [role for role in HostRole if spent.get(role) and role != HostRole.OTHER]
    if known:
        words = ", ".join(f"{HOST_LOOKS[role].words} {times.duration(spent[role])}" for role in known)
        out += _entry("of that", words, width, "dim")
    return out


def _thread_of(track: Track, gap: Found) -> int:
    """The thread that issued what ended the gap, else the one that launches most."""
    rows, timeline = track.all_rows, track.timeline
    for place in rows.overlapping(gap.end_ns, gap.end_ns + 1).tolist():
        launch = int(timeline.gpu.launch[rows.at[place]])
        if launch >= 0:
            return int(timeline.host.thread[launch])
    return track.threads[0]


def _inner(frames: Sequence[str]) -> list[str]:
    """The outermost frames where they are many, and the innermost ones."""
    if len(frames) <= MOST_FRAMES:
        return list(frames)
    return [*frames[:2], "…", *frames[-(MOST_FRAMES - 2) :]]


def _calls(track: Track, rows: Rows, places: NDArray[np.intp], found: Found) -> list[str]:
    """The longest calls by name: time within the gap (nested calls count in both) and number."""
    if not places.size:
        return []
    names, which, counts = np.unique(
        track.timeline.host.name[rows.at[places]], return_inverse=True, return_counts=True
    )
    spent = np.zeros(names.shape[0], np.int64)
    ends = np.minimum(rows.end_ns[places], found.end_ns)
    np.add.at(spent, which, ends - np.maximum(rows.start_ns[places], found.start_ns))
    return [
        f"{track.name(int(names[top]))} {times.duration(int(spent[top]))}"
        + (f" in {counts[top]:,} calls" if counts[top] > 1 else "")
        for top in np.argsort(-spent, kind="stable")[:MOST_CALLS].tolist()
    ]


def _ran_rows(track: Track, found: Found, width: int, glyphs: Glyphs) -> list[Row]:
    """A kernel or copy: how long, its name, its shape, and who launched it."""
    row = found.row or 0
    gpu = track.timeline.gpu
    kind = GpuKind(int(gpu.kind[row])).name.lower()
    title: Row = (
        Span(left(kind, LEAD), "dim"),
        Span(times.duration(found.end_ns - found.start_ns), "good strong"),
        Span(f"  on stream {gpu.stream[row]}, began {times.instant(found.start_ns, 100)}", "dim"),
    )
    out = [title, *_entry("name", track.name_of(row), width)]
    facts = _copy_facts(track, row) if kind != "kernel" else _kernel_facts(track, row)
    if facts:
        out += _entry("shape", ", ".join(facts), width)
    op = int(gpu.op[row])
    if op >= 0:
        known = track.timeline.ops[op]
        dims = " × ".join("[" + ", ".join(map(str, dim)) + "]" for dim in known.dims if dim)
        out += _entry("op", f"{safe(known.name)} {dims}", width)
    return out + _launch_rows(track, row, found, width, glyphs)


def _kernel_facts(track: Track, row: int) -> list[str]:
    gpu = track.timeline.gpu
    facts = []
    if gpu.blocks[row] != UNKNOWN:
        facts.append(f"{gpu.blocks[row]:,} blocks of {gpu.threads[row]} threads")
    if gpu.registers[row] != UNKNOWN:
        facts.append(f"{gpu.registers[row]} registers a thread")
    occupancy = float(gpu.occupancy[row])
    facts.append("occupancy unknown" if np.isnan(occupancy) else f"occupancy {occupancy * 100:.0f} %")
    if gpu.graph[row] > 0:
        facts.append("from a CUDA graph")
    return facts


def _copy_facts(track: Track, row: int) -> list[str]:
    gpu = track.timeline.gpu
    size, length = int(gpu.bytes[row]), int(gpu.end_ns[row] - gpu.start_ns[row])
    direction = CopyKind(int(gpu.copy[row])).name.replace("_", " ").lower()
    facts = [] if direction == "other" else [direction]
    if size >= 0:
        facts.append(f"{size:,} bytes")
        facts += [f"{size / length:.2f} GB/s"] if length else []
    return facts


def _launch_rows(track: Track, row: int, found: Found, width: int, glyphs: Glyphs) -> list[Row]:
    """The call that launched it, how long before, and what it was called from."""
    timeline = track.timeline
    launch = int(timeline.gpu.launch[row])
    if launch < 0:
        return _entry("launched", "unknown: no call in the trace is correlated with it", width, "dim")
    host = timeline.host
    began = int(host.start_ns[launch])
    thread = int(host.thread[launch])
    words = (
        f"{times.duration(found.start_ns - began)} before, by {track.name(int(host.name[launch]))}"
        f" on {track.thread_words(thread)}"
    )
    rows = track.thread(thread).rows
    inside = rows.overlapping(began, began + 1)
    frames = [track.name(int(host.name[rows.at[place]])) for place in inside.tolist()]
    arrow = " > " if glyphs.ascii else " › "
    out = _entry("launched", words, width)
    return out + (_entry("in", arrow.join(_inner(frames)), width) if frames else [])
