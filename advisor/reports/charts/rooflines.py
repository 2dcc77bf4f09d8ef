"""The roofline chart: what memory and arithmetic allow at each intensity, and where the workload stands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from advisor.reports.charts.drawing import figure
from advisor.reports.charts.palette import CLASS_ROLE, LIGHT
from rules.roofline import Point, Roof, Roofline

# How sure a ceiling is shows in its line: the less, the more broken.
LINES: dict[str, Any] = {
    "measured": "-",
    "stale": (0, (6, 1.5, 1, 1.5)),
    "typical": (0, (5, 2)),
    "assumed": (0, (1.5, 1.5)),
}
# An axis that spans this factor has ticks enough at the powers of ten.
_MANY = 500.0
# Labels closer than this part of the axis would lie over each other.
_LABEL_APART = 0.055
_SCALES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1.0, ""))


def rate(value: float, unit: str) -> str:
    """2.98e12, "B/s" -> "2.98 TB/s"."""
    scale, prefix = next((s for s in _SCALES if value >= s[0]), _SCALES[-1])
    return f"{value / scale:.3g} {prefix}{unit}"


def roof_name(roof: Roof) -> str:
    """What a roof is called."""
    return "DRAM" if roof.kind == "memory" else roof.metric


def roof_rate(roof: Roof) -> str:
    """How high a roof is: bytes, operations of integers, or of floating point, a second."""
    unit = "B/s" if roof.kind == "memory" else "OP/s" if roof.metric.startswith("int") else "FLOP/s"
    return rate(roof.value, unit)


def chart(found: Roofline) -> Figure:
    """Roofs and points of one device. It must have a mean."""
    drawn = figure(3.3)
    ax = drawn.add_subplot()
    ax.set_xscale("log")
    ax.set_yscale("log")
    memory = next(roof for roof in found.roofs if roof.kind == "memory")
    compute = [roof for roof in found.roofs if roof.kind == "compute"]
    left, right, low, high = _extent(found, memory, compute)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)
    along = _slope(ax, memory, compute, left)
    named = _named(compute, math.log10(high / low))
    for roof in compute:
        _level(ax, roof, memory, right, named=roof.metric in named)
    _points(ax, found)
    ax.grid(visible=True, which="major")
    ax.minorticks_off()
    ax.set_xlabel("operations per byte of DRAM traffic")
    ax.set_ylabel("operations a second, while busy")
    _ticks(ax)
    _lean(drawn, ax, along)
    return drawn


def _extent(found: Roofline, memory: Roof, compute: Sequence[Roof]) -> tuple[float, float, float, float]:
    points = [p for p in (found.mean, *found.classes, *found.stretches) if p is not None]
    top = max(roof.value for roof in compute)
    ridge = top / memory.value
    left = min([p.intensity for p in points] + [ridge]) / 6
    right = max([p.intensity for p in points] + [ridge]) * 8
    low = min([p.flop_s for p in points] + [roof.value for roof in compute if roof.used]) / 12
    return left, right, max(low, top * 1e-6), top * 2.2


def _slope(ax: Any, memory: Roof, compute: Sequence[Roof], left: float) -> Any:
    ridge = max(roof.value for roof in compute) / memory.value
    ax.plot(
        [left, ridge],
        [left * memory.value, ridge * memory.value],
        color=LIGHT["memory"],
        linestyle=LINES.get(memory.label, ":"),
        linewidth=1.8,
    )
    start = max(left, ax.get_ylim()[0] / memory.value)
    middle = math.sqrt(start * ridge)
    return ax.annotate(
        f"DRAM {roof_rate(memory)} ({memory.label})",
        (middle, middle * memory.value),
        textcoords="offset points",
        rotation_mode="anchor",
        ha="center",
        fontsize=8,
        color=LIGHT["memory"],
    )


def _lean(drawn: Figure, ax: Any, text: Any) -> None:
    """Turn a text to lie along a line of slope 1, which needs the final layout."""
    drawn.draw_without_rendering()
    x, y = text.xy
    (x0, y0), (x1, y1) = ax.transData.transform([(x, y), (2 * x, 2 * y)])
    angle = math.atan2(y1 - y0, x1 - x0)
    text.set_rotation(math.degrees(angle))
    text.set_position((-5 * math.sin(angle), 5 * math.cos(angle)))


def _named(roofs: Sequence[Roof], decades: float) -> frozenset[str]:
    """Which roofs have room for a label: the workload's own, then the others from the top."""
    taken: list[Roof] = []
    for roof in sorted(roofs, key=lambda r: not r.used):
        apart = [abs(math.log10(roof.value / other.value)) / decades for other in taken]
        if min(apart, default=1.0) >= _LABEL_APART:
            taken.append(roof)
    return frozenset(roof.metric for roof in taken)


def _level(ax: Any, roof: Roof, memory: Roof, right: float, *, named: bool) -> None:
    colour = LIGHT["compute"] if roof.used else LIGHT["muted"]
    ax.plot(
        [roof.value / memory.value, right],
        [roof.value, roof.value],
        color=colour,
        linestyle=LINES.get(roof.label, ":"),
        linewidth=1.8 if roof.used else 0.9,
    )
    if not named:
        return
    ax.annotate(
        f"{roof.metric} {roof_rate(roof)} ({roof.label})",
        (right, roof.value),
        xytext=(-2, 2.5),
        textcoords="offset points",
        ha="right",
        fontsize=8 if roof.used else 7,
        color=colour,
    )


def _points(ax: Any, found: Roofline) -> None:
    for class_ in dict.fromkeys(p.class_ for p in found.stretches):
        members = [p for p in found.stretches if p.class_ == class_]
        ax.plot(
            [p.intensity for p in members],
            [p.flop_s for p in members],
            linestyle="none",
            marker="o",
            markersize=2.6,
            markeredgewidth=0.0,
            color=_colour(class_),
            alpha=0.5,
        )
    for point in found.classes:
        _mark(ax, point, "D", f"{point.class_} time")
    if found.mean is not None:
        _mark(ax, found.mean, "o", "all busy time")


def _mark(ax: Any, point: Point, marker: str, said: str) -> None:
    ax.plot(
        [point.intensity],
        [point.flop_s],
        marker=marker,
        markersize=8 if marker == "o" else 7,
        color=_colour(point.class_) if point.class_ else LIGHT["bad"],
        markeredgecolor=LIGHT["surface"],
        markeredgewidth=1.0,
        linestyle="none",
    )
    ax.annotate(said, (point.intensity, point.flop_s), xytext=(8, -9), textcoords="offset points", fontsize=8)


def _colour(class_: str | None) -> str:
    return LIGHT[CLASS_ROLE.get(class_ or "", "muted")]


def _ticks(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    for axis, (low, high) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > _MANY else (1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: rate(y, "")))
