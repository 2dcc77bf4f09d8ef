"""Columns of the overview's table: which fit a width, and how wide each is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.cells import cell_len

from advisor.tui.charts.history import trend
from advisor.tui.charts.share_bar import share_bar
from advisor.tui.devices import GpuRow
from advisor.tui.glyphs import Glyphs
from advisor.tui.labels import SHORT_WORDS
from advisor.tui.rows import Row, Span, left, right

Cell = Callable[[GpuRow, int, Glyphs], Row]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. rank: the higher, the sooner it is dropped; 0 is never dropped. grow: share of spare width.

    most: the width past which it does not grow.
    """

    name: str
    head: str
    least: int
    rank: int
    cell: Cell
    grow: int = 0
    most: int = 0
    flush_right: bool = False
    short: str = ""


def _text(pick: Callable[[GpuRow], str], role: str = "") -> Cell:
    def cell(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
        return (Span(left(pick(gpu), width), "dim" if gpu.muted else role),)

    return cell


def _figure(pick: Callable[[GpuRow], str], role: str = "") -> Cell:
    def cell(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
        return (Span(right(pick(gpu), width), "dim" if gpu.muted else role),)

    return cell


def _dollars(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
    """To the cent, or to the dollar where that alone fits."""
    text = gpu.wasted if len(gpu.wasted) <= width else gpu.wasted.partition(".")[0]
    return (Span(right(text, width), "dim" if gpu.muted else "money"),)


def _word(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
    word = gpu.word if len(gpu.word) <= width else SHORT_WORDS.get(gpu.word, gpu.word)
    return (Span(left(word, width, ""), f"{gpu.role} strong"),)


def _job(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
    """As much of name, pid and job as fits whole; the name alone is cut."""
    text = next((words for words in gpu.job if cell_len(words) <= width), gpu.job[-1])
    return (Span(left(text, width), "dim" if gpu.muted else ""),)


def _cause(gpu: GpuRow, width: int, _glyphs: Glyphs) -> Row:
    text = gpu.cause if cell_len(gpu.cause) <= width else gpu.slug
    return (Span(left(text, width), "dim" if gpu.muted else ""),)


def _bar(gpu: GpuRow, width: int, glyphs: Glyphs) -> Row:
    return share_bar(gpu.shares, width, glyphs)


def _trend(gpu: GpuRow, width: int, glyphs: Glyphs) -> Row:
    return trend(gpu.history, width, glyphs)


COLUMNS: tuple[Column, ...] = (
    Column("gpu", "GPU", 4, 0, _text(lambda gpu: gpu.label, "strong")),
    Column("job", "job", 11, 0, _job, grow=3, most=40),
    Column("user", "user", 8, 9, _text(lambda gpu: gpu.user, "dim"), grow=1, most=12),
    Column("word", "verdict", 6, 0, _word, grow=4, most=7, short="limit"),
    Column("cause", "", 14, 2, _cause, grow=4, most=46),
    Column("confidence", "sure", 4, 0, _figure(lambda gpu: gpu.confidence, "dim"), flush_right=True),
    Column("bar", "where the time goes", 9, 0, _bar, grow=4, most=48, short="time goes"),
    Column("trend", "over time", 12, 10, _trend, grow=2, most=40),
    Column("sm", "SM", 4, 1, _figure(lambda gpu: gpu.sm), flush_right=True),
    Column("tensor", "TC", 3, 1, _figure(lambda gpu: gpu.tensor), flush_right=True),
    Column("dram", "DRAM", 4, 1, _figure(lambda gpu: gpu.dram), flush_right=True),
    Column("watts", "W", 4, 3, _figure(lambda gpu: gpu.watts), flush_right=True),
    Column("celsius", "°C", 3, 8, _figure(lambda gpu: gpu.celsius), flush_right=True),
    Column("mhz", "MHz", 4, 7, _figure(lambda gpu: gpu.mhz), flush_right=True),
    Column("memory", "mem GiB", 7, 4, _figure(lambda gpu: gpu.memory), flush_right=True),
    Column("wasted", "$/h", 5, 0, _dollars, flush_right=True),
)

GAP = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that fit, with their widths. `margin` cells at the left hold the cursor."""

    columns: tuple[tuple[Column, int], ...]
    margin: int = 2


def fit(width: int, margin: int = 2, without: frozenset[str] = frozenset()) -> Layout:
    """The columns for a table of `width` cells: dropped by rank, then widened by their share of the rest.

    without: names of columns that have nothing to show.
    """
    chosen = [column for column in COLUMNS if column.name not in without]
    room = width - margin + GAP
    for rank in sorted({column.rank for column in COLUMNS if column.rank}, reverse=True):
        if _least(chosen) <= room:
            break
        chosen = [column for column in chosen if column.rank != rank]
    widths = {column.name: column.least for column in chosen}
    _grow(chosen, widths, room - _least(chosen))
    return Layout(tuple((column, widths[column.name]) for column in chosen), margin)


def _least(columns: list[Column]) -> int:
    return sum(column.least + GAP for column in columns)


def _grow(columns: list[Column], widths: dict[str, int], spare: int) -> None:
    """Hand spare cells out one by one, to the column furthest behind its share."""
    growing = [column for column in columns if column.grow]
    given = {column.name: 0 for column in growing}
    while spare > 0:
        open_ = [column for column in growing if widths[column.name] < column.most]
        if not open_:
            return
        nearest = min(open_, key=lambda column: given[column.name] / column.grow)
        widths[nearest.name] += 1
        given[nearest.name] += 1
        spare -= 1


def head_row(layout: Layout) -> Row:
    """The line of column names."""
    spans = [Span(" " * layout.margin)]
    for column, width in layout.columns:
        place = right if column.flush_right else left
        text = column.head if len(column.head) <= width else column.short or column.head
        spans.append(Span(place(text, width) + " " * GAP, "dim"))
    return (*spans[:-1], Span(spans[-1].text[:-GAP], "dim"))


def body_row(gpu: GpuRow, layout: Layout, glyphs: Glyphs) -> Row:
    """One device's line, without the cursor. A reason runs on over the columns that have nothing to show."""
    spans: list[Span] = []
    spilled = _spilled(gpu, layout)
    for column, width in layout.columns:
        if column.name == "cause" and spilled:
            room = sum(width + GAP for column, width in layout.columns if column.name in spilled) - GAP
            spans.append(Span(left(gpu.cause, room) + " " * GAP, gpu.role))
        elif column.name not in spilled:
            spans.extend(column.cell(gpu, width, glyphs))
            spans.append(Span(" " * GAP))
    return tuple(spans[:-1])


def _spilled(gpu: GpuRow, layout: Layout) -> set[str]:
    """Names of the neighbouring columns, from the cause on, that the cause may run over."""
    names = [column.name for column, _ in layout.columns]
    if gpu.spill_to not in names or "cause" not in names:
        return set()
    return set(names[names.index("cause") : names.index(gpu.spill_to)])
