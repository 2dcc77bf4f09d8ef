"""The timeline as rows of text: pure functions of a scene, a width and glyphs. A column is its time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from advisor.tui.glyphs import Glyphs
from advisor.tui.rows import Row, Span, left
from advisor.tui.trace import palette, times
from advisor.tui.trace.cover import Ints, edges
from advisor.tui.trace.lanes import StreamLane, ThreadLane
from advisor.tui.trace.palette import HOST_LOOKS, LOOKS, ORDER
from advisor.tui.trace.scene import Scene
from advisor.tui.trace.track import Track
from advisor.tui.trace.window import column_of
from rules.traces.records import BUSY

GUTTER = 10
# A name is written over what ran where it has at least this many columns.
NAMED_COLUMNS = 7
# From this part of a column on, a lane shows something in it.
LEAST_SHOWN = 0.02
HOLE = -1


class Layout(NamedTuple):
    """How many lines each part may take."""

    chart: int
    streams: int
    threads: int
    others: int = 3


class Cell(NamedTuple):
    """One column of one line."""

    text: str
    role: str = ""


# Below so many lines the timeline is a small one, so that a panel has room.
LOW = 16


def layout_for(lines: int, small: bool = False) -> Layout:
    """Parts for a terminal of so many lines; about half of it is left to the panel below."""
    if small or lines < LOW:
        return Layout(2, 0, 0, 0)
    spare = max(0, lines // 2 - 4)
    streams = 1 if lines < 26 else min(6, 1 + (spare - 8) // 3)
    threads = 1 if lines < 40 else 2
    return Layout(max(3, min(12, spare - streams - threads)), streams, threads, 1 if lines < 30 else 4)


def columns_of(width: int) -> int:
    """Columns of time in a timeline of so many cells."""
    return max(8, width - GUTTER - 1)


def timeline_rows(scene: Scene, width: int, layout: Layout, glyphs: Glyphs) -> list[Row]:
    """From top to bottom: all of it, steps, device, other devices, streams, threads, highlight, axis."""
    columns = columns_of(width)
    borders = scene.edges(columns)
    cursor = scene.window.column(columns)
    track = scene.track
    lines: list[Row] = [
        _all_row(scene, columns, glyphs),
        _line("steps", _step_cells(track, borders, glyphs), cursor),
        *_chart_rows(track, borders, layout.chart, cursor, glyphs),
    ]
    others = [other for other in scene.beside() if other is not track]
    lines += [
        _line(other.label, _main_cells(other, borders, glyphs), cursor) for other in others[: layout.others]
    ]
    lines += [
        _line(_stream_words(lane), _stream_cells(track, lane, borders, glyphs), cursor)
        for lane in track.streams[: layout.streams]
    ]
    lines += _host_rows(track, layout.threads, borders, cursor, glyphs)
    if scene.highlight is not None:
        cells = _level_cells(scene.highlight.cover.columns(borders), borders, "warn", glyphs)
        lines.append(_line("found", cells, cursor, "warn"))
    return [*lines, _axis_row(scene, columns, glyphs)]


def _line(name: str, cells: Sequence[Cell], cursor: int, role: str = "dim") -> Row:
    """The gutter with the line's name, then its cells, merged where they look alike."""
    marked = [
        Cell(cell.text, f"{cell.role} cursor".strip()) if at == cursor else cell
        for at, cell in enumerate(cells)
    ]
    spans = (
        Span("".join(cell.text for cell in run), look)
        for look, run in groupby(marked, lambda cell: cell.role)
    )
    return (Span(left(name, GUTTER - 1) + " ", role), *spans)


def _shares(track: Track, borders: Ints) -> NDArray[np.float64]:
    """Class or cause (in ORDER) by column: its part of the column's time."""
    lengths = np.maximum(np.diff(borders), 1)
    return np.array([track.covers[name].columns(borders) for name in ORDER]) / lengths


def _chart_rows(track: Track, borders: Ints, height: int, cursor: int, glyphs: Glyphs) -> list[Row]:
    """Stacked columns, busy classes at the bottom; borders are rounded where they lie."""
    reached = np.rint(np.cumsum(_shares(track, borders), axis=0) * height)
    names = [track.label] + [""] * (height - 1)
    scale = {0: "100 %", height - 1: "0"} if height > 2 else {}
    rows = []
    for y in range(height):
        above = (reached <= height - 1 - y).sum(axis=0)
        picked = np.where(above < len(ORDER), above, HOLE)
        name = names[y] if y == 0 else right_scale(scale.get(y, ""))
        cells = _sparse(picked.tolist(), _look_cells(picked, glyphs), y, glyphs)
        rows.append(_line(name, cells, cursor, "strong" if y == 0 else "dim"))
    return rows


def _sparse(picked: Sequence[int], cells: list[Cell], y: int, glyphs: Glyphs) -> list[Cell]:
    """Waits as dots of their colour, with the letter where a run begins and now and then in it."""
    dotted = []
    for x, (number, cell) in enumerate(zip(picked, cells, strict=True)):
        begins = x == 0 or picked[x - 1] != number
        wait = number >= len(BUSY)
        dotted.append(cell if begins or not wait or (x + 2 * y) % 4 == 0 else Cell(glyphs.empty, cell.role))
    return dotted


def right_scale(text: str) -> str:
    """A figure of the scale, flush right in the gutter."""
    return text.rjust(GUTTER - 2)


def _look_cells(picked: NDArray[np.intp], glyphs: Glyphs) -> list[Cell]:
    looks = [LOOKS[name] for name in ORDER]
    table = [Cell(palette.glyph(look, glyphs.ascii), look.role) for look in looks]
    return [Cell(glyphs.hole) if number == HOLE else table[number] for number in picked.tolist()]


def _main_cells(track: Track, borders: Ints, glyphs: Glyphs) -> list[Cell]:
    """What took most of each column."""
    shares = _shares(track, borders)
    return _look_cells(np.where(shares.sum(axis=0) > 0, shares.argmax(axis=0), HOLE), glyphs)


def _all_row(scene: Scene, columns: int, glyphs: Glyphs) -> Row:
    """All of the track in one line; what is in view lies under the cursor's colour."""
    window = scene.window
    whole = window.reset()
    cells = _main_cells(scene.track, edges(whole.start_ns, whole.end_ns, columns), glyphs)
    if window.length_ns == whole.length_ns:
        return _line("all", cells, HOLE)
    first, last = (
        column_of(at, whole.start_ns, whole.length_ns, columns) for at in (window.start_ns, window.end_ns - 1)
    )
    marked = [
        Cell(cell.text, f"{cell.role} cursor".strip()) if first <= at <= last else cell
        for at, cell in enumerate(cells)
    ]
    return _line("all", marked, HOLE)


def _step_cells(track: Track, borders: Ints, glyphs: Glyphs) -> list[Cell]:
    """A ruler of steps: a bar where one begins, its number where there is room."""
    columns = borders.shape[0] - 1
    starts, ends, numbers = track.steps
    cells = [Cell(" ")] * columns
    if not starts.shape[0]:
        return _written(cells, 0, "none marked in this trace", "dim")
    bar = "|" if glyphs.ascii else "│"
    inside = np.flatnonzero((ends > borders[0]) & (starts < borders[-1]))
    first = np.clip(np.searchsorted(borders, starts[inside], side="right") - 1, 0, columns - 1)
    after = np.clip(np.searchsorted(borders, ends[inside], side="left"), 1, columns)
    for step, low, high in zip(inside.tolist(), first.tolist(), after.tolist(), strict=True):
        for at in range(low, high):
            cells[at] = Cell(glyphs.rule, "dim")
        if starts[step] >= borders[0]:
            cells[low] = Cell(bar, "title")
        words = f"{numbers[step]} {times.duration(int(ends[step] - starts[step]))}"
        for label in (words, str(numbers[step])):
            if high - low >= len(label) + 3:
                _written(cells, low + 1, label, "")
                break
    return cells


def _written(cells: list[Cell], at: int, text: str, role: str) -> list[Cell]:
    """Text over the cells from `at` on, as far as they reach; characters of two cells are left out."""
    for offset, char in enumerate(char for char in text if cell_len(char) == 1):
        if at + offset < len(cells):
            cells[at + offset] = Cell(char, role)
    return cells


def _level_cells(covered: Ints, borders: Ints, role: str, glyphs: Glyphs) -> list[Cell]:
    """How much of each column, as a height; nothing is a blank, however little is the lowest height."""
    parts = (covered / np.maximum(np.diff(borders), 1)).tolist()
    top = len(glyphs.levels)
    return [
        Cell(glyphs.levels[min(top - 1, int(part * top))], role) if part > 0 else Cell(glyphs.hole)
        for part in parts
    ]


def _stream_words(lane: StreamLane) -> str:
    """As much of "stream" as leaves room for its number."""
    room = GUTTER - 2 - len(str(lane.stream))
    return f"{'stream'[: max(1, room)]} {lane.stream}"


def _stream_cells(track: Track, lane: StreamLane, borders: Ints, glyphs: Glyphs) -> list[Cell]:
    """How busy the stream was, in the colour of what it did most; long intervals bear their names."""
    cells = _level_cells(lane.busy.columns(borders), borders, "", glyphs)
    if lane.covers:
        names = list(lane.covers)
        main = np.array([lane.covers[name].columns(borders) for name in names]).argmax(axis=0)
        roles = [LOOKS[name].role for name in names]
        cells = [Cell(cell.text, roles[at]) for cell, at in zip(cells, main.tolist(), strict=True)]
    return _named(track, lane, borders, cells, glyphs)


def _named(track: Track, lane: StreamLane, borders: Ints, cells: list[Cell], glyphs: Glyphs) -> list[Cell]:
    """Names over intervals of several columns, between marks of where each begins and ends."""
    low, high = int(borders[0]), int(borders[-1])
    columns = len(cells)
    inside = lane.rows.overlapping(low, high)
    starts = np.maximum(lane.rows.start_ns[inside], low)
    ends = np.minimum(lane.rows.end_ns[inside], high)
    wide = (ends - starts) * columns >= NAMED_COLUMNS * (high - low)
    for place, start, end in zip(
        inside[wide].tolist(), starts[wide].tolist(), ends[wide].tolist(), strict=True
    ):
        first = (start - low) * columns // (high - low)
        size = (end - low) * columns // (high - low) - first
        role = cells[min(columns - 1, first + size // 2)].role
        name = short_name(track.name_of(int(lane.rows.at[place])))
        text = f"{'[' if glyphs.ascii else '▐'}{left(name, size - 2, '.' if glyphs.ascii else '…')}"
        _written(cells, first, text + ("]" if glyphs.ascii else "▌"), f"{role} strong".strip())
    return cells


def short_name(name: str) -> str:
    """A kernel's name without what all kernels' names begin with."""
    for lead in ("void ", "at::native::", "(anonymous namespace)::"):
        name = name.removeprefix(lead)
    return name


def _host_rows(track: Track, most: int, borders: Ints, cursor: int, glyphs: Glyphs) -> list[Row]:
    if not most:
        return []
    if not track.threads:
        note = _written([Cell(" ")] * (borders.shape[0] - 1), 0, "unknown: the trace has no CPU side", "warn")
        return [_line("host", note, cursor)]
    rows = []
    for place, number in enumerate(track.threads[:most], start=1):
        cells = _host_cells(track.thread(number), borders, glyphs)
        rows.append(_line("host" if place == 1 else f"host {place}", cells, cursor))
    return rows


def _host_cells(lane: ThreadLane, borders: Ints, glyphs: Glyphs) -> list[Cell]:
    """What the thread was in for most of each column."""
    roles = list(lane.covers)
    if not roles:
        return [Cell(" ")] * (borders.shape[0] - 1)
    spent = np.array([lane.covers[role].columns(borders) for role in roles])
    shown = spent.sum(axis=0) >= LEAST_SHOWN * np.diff(borders)
    looks = [HOST_LOOKS[role] for role in roles]
    return [
        Cell(palette.glyph(looks[at], glyphs.ascii), looks[at].role) if there else Cell(glyphs.hole)
        for at, there in zip(spent.argmax(axis=0).tolist(), shown.tolist(), strict=True)
    ]


def _axis_row(scene: Scene, columns: int, glyphs: Glyphs) -> Row:
    """Times since the trace's zero, and where the cursor is."""
    window = scene.window
    step = times.nice_step(window.length_ns, max(1, columns // 14))
    cells = [Cell(" ")] * columns
    at = -(-window.start_ns // step) * step
    while at < window.end_ns:
        column = column_of(at, window.start_ns, window.length_ns, columns)
        label = times.instant(at, step)
        if column + len(label) + 1 <= columns:
            _written(cells, column, ("|" if glyphs.ascii else "╵") + label, "dim")
        at += step
    cells[window.column(columns)] = Cell("^" if glyphs.ascii else "▲", "strong")
    return _line("", cells, HOLE)
