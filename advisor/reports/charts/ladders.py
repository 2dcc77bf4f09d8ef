"""The waste ladder: a staircase from the price down to what was useful, and a bar for each GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from matplotlib.figure import Figure

from advisor.reports.charts.drawing import figure, label
from advisor.reports.charts.palette import HATCH, LIGHT, TERM_ROLE
from advisor.reports.figures import percent, usd
from rules.finding import TERMS
from rules.ladder import TERM_WORDS


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One term: its size on the axis, and what is written beside it."""

    term: str
    size: float
    said: str


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU or MIG instance: the size of each term, and what is written beside it."""

    name: str
    sizes: dict[str, float]
    said: str


def staircase(steps: Sequence[Step], whole: float, said: str, *, dollars: bool) -> Figure:
    """Each term begins where the one above it ended; together they are as long as the price."""
    drawn = figure(0.75 + 0.27 * (len(steps) + 1))
    ax = drawn.add_subplot()
    ax.barh([0], [whole], color=LIGHT["price"], height=0.66)
    names, notes, left = ["price" if dollars else "paid time"], [said], 0.0
    for i, step in enumerate(steps, start=1):
        _piece(ax, i, left, step.size, step.term)
        ax.plot([left, left], [i - 1 + 0.33, i - 0.33], color=LIGHT["muted"], linewidth=0.6)
        left += step.size
        names.append(TERM_WORDS[step.term])
        notes.append(step.said)
    _frame(ax, names, notes, whole)
    ax.set_xlabel("dollars an hour" if dollars else "share of paid time")
    _axis(ax, dollars=dollars)
    return drawn


def bars(rows: Sequence[Bar], *, dollars: bool) -> Figure:
    """One stacked bar a GPU, with a legend of the terms that occur."""
    terms = [term for term in TERMS if any(row.sizes.get(term, 0.0) > 0.0 for row in rows)]
    lines = 1 + (len(terms) - 1) // 4
    drawn = figure(0.75 + 0.2 * lines + 0.25 * len(rows))
    ax = drawn.add_subplot()
    for i, row in enumerate(rows):
        left = 0.0
        for term in terms:
            _piece(ax, i, left, row.sizes.get(term, 0.0), term)
            left += row.sizes.get(term, 0.0)
    _frame(ax, [label(row.name) for row in rows], [row.said for row in rows], _longest(rows))
    ax.set_xlabel("dollars an hour" if dollars else "share of paid time")
    _axis(ax, dollars=dollars)
    drawn.legend(handles=[_key(term) for term in terms], loc="outside upper left", ncols=4, **_COMPACT)
    return drawn


_COMPACT: dict[str, Any] = {
    "handlelength": 1.1,
    "handleheight": 0.9,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
}


def _longest(rows: Sequence[Bar]) -> float:
    return max((sum(row.sizes.values()) for row in rows), default=0.0)


def _piece(ax: Any, y: int, left: float, size: float, term: str) -> None:
    if size <= 0.0:
        return
    role = TERM_ROLE[term]
    ax.barh(
        [y],
        [size],
        left=[left],
        height=0.66,
        color=LIGHT[role],
        edgecolor=LIGHT["surface"],
        linewidth=0.6,
        hatch=HATCH.get(role),
    )


def _key(term: str) -> Any:
    from matplotlib.patches import Patch

    role = TERM_ROLE[term]
    return Patch(
        facecolor=LIGHT[role],
        edgecolor=LIGHT["surface"],
        linewidth=0.0,
        hatch=HATCH.get(role),
        label=TERM_WORDS[term],
    )


def _frame(ax: Any, names: Sequence[str], notes: Sequence[str], whole: float) -> None:
    """Names at the left, figures at the right, the first row on top."""
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, whole if whole > 0 else 1.0)
    ax.tick_params(axis="y", length=0, labelcolor=LIGHT["text"])
    ax.spines["left"].set_visible(False)
    ax.grid(visible=True, axis="x")
    for y, note in enumerate(notes):
        ax.annotate(
            note,
            (1.0, y),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            fontsize=8,
            annotation_clip=False,
        )


def _axis(ax: Any, *, dollars: bool) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(5))
    if dollars:
        cents = "" if ax.get_xlim()[1] >= 8 else ".00"
        ax.xaxis.set_major_formatter(
            FuncFormatter(lambda x, _: usd(x).removesuffix(".00") if not cents else usd(x))
        )
    else:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: percent(x)))
