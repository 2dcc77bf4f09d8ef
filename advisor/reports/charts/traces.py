"""Charts of a traced device: its time by what it did and why it waited, and kernels below their roofs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from advisor.reports.charts.drawing import Chart, figure, label
from advisor.reports.charts.palette import LIGHT
from advisor.reports.charts.rooflines import rate
from advisor.reports.trace_figures import (
    BUSY_WORDS,
    CAUSE_WORDS,
    duration,
    parts,
    points,
    present,
    rough,
    short_name,
)
from rules.traces.kernel_records import KernelRow
from rules.traces.records import BUSY, CAUSES, DeviceTrace, Strip, TraceReport

# Devices that get charts of their own, those that lose most first.
MAX_DEVICES = 8
MAX_POINTS = 40
MAX_NAMED = 5
_NAMED = 33
_WORTH_A_WORD = 0.05
# As wide as a page: time has room, and text keeps its size.
STRIP_IN = 11.0
# Role and hatch of each class and cause: no two beside each other look alike, also without colour.
BUSY_LOOK: dict[str, tuple[str, str | None]] = {
    "compute": ("compute", None),
    "memory": ("memory", None),
    "latency": ("device", None),
    "other": ("free", None),
    "communication": ("link", None),
    "copy": ("throttle", None),
}
CAUSE_LOOK: dict[str, tuple[str, str | None]] = {
    "host_launch": ("host", None),
    "synchronisation": ("host", "////"),
    "data_loading": ("host", "...."),
    "copy_wait": ("throttle", "////"),
    "communication_wait": ("link", "////"),
    "stream_dependency": ("device", "////"),
    "kernel_gap": ("idle", None),
    "checkpoint_io": ("host", "xxxx"),
    "allocator": ("host", "\\\\\\\\"),
    "profiler_overhead": ("idle", "////"),
    "unknown": ("unknown", "xxx"),
}
_SCALES = ((60e6, "minutes"), (1e6, "seconds"), (1e3, "milliseconds"), (1.0, "microseconds"))
# Names of kernels whose points are nearer than so many decades need a line each, of so many points; and the
# height of the chart's inside in points.
_NEAR = 1.8
_LINE_PT = 8.5
_PLOT_PT = 175.0
_LEGEND: dict[str, Any] = {
    "handlelength": 1.1,
    "handleheight": 0.9,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
}


def trace_charts(report: TraceReport, numbers: Mapping[str, int]) -> Iterator[Chart]:
    """Every chart of the devices that were idle longest. numbers: key -> what a device is called by."""
    most = sorted(report.devices, key=lambda device: -device.idle_us)[:MAX_DEVICES]
    for place, device in enumerate(report.devices):
        if any(device is one for one in most):
            yield from _device(device, numbers.get(device.key, device.device), slug(place))


def slug(place: int) -> str:
    """What charts and sections of a device are called: by its place, as numbers repeat among ranks."""
    return f"trace{place}"


def _device(device: DeviceTrace, gpu: int, name: str) -> Iterator[Chart]:
    rank = f", rank {device.rank}" if device.rank is not None else ""
    place = f"GPU {gpu}{rank}"
    strip = device.strip
    if strip is not None and any(len(column) for column in (*strip.busy.values(), *strip.causes.values())):
        yield Chart(
            name=f"{name}-strip",
            title=f"{place}: what it did, and what it waited for",
            desc=_strip_words(device, strip),
            draw=lambda: strip_chart(strip),
            key=device.key,
        )
    if device.idle_us > 0 and any(device.causes.values()):
        yield Chart(
            name=f"{name}-causes",
            title=f"{place}: why it was idle",
            desc=_causes_words(device),
            draw=lambda: causes_chart(device),
            key=device.key,
        )
    rows = [row for row in device.kernels if _has_point(row)][:MAX_POINTS]
    if rows:
        yield Chart(
            name=f"{name}-kernels",
            title=f"{place}: kernels below their roofs{_left_out(device, rows)}",
            desc=_kernels_words(rows),
            draw=lambda: kernels_chart(rows),
            key=device.key,
        )


def _strip_words(device: DeviceTrace, strip: Strip) -> str:
    count = max((len(c) for c in (*strip.busy.values(), *strip.causes.values())), default=0)
    said = [
        f"{words.get(name, name)} {points(us / device.span_us)}"
        for words, order, given in ((BUSY_WORDS, BUSY, device.busy), (CAUSE_WORDS, CAUSES, device.causes))
        for name, us in present(given, order)
        if device.span_us > 0
    ]
    return f"{count} stretches of {duration(strip.width_us)}. Over all of them: {', '.join(said)}."


def _causes_words(device: DeviceTrace) -> str:
    found = present(device.causes, CAUSES)
    shares = parts([us for _, us in found], device.idle_us)
    said = ", ".join(
        f"{CAUSE_WORDS.get(name, name)} {duration(us)} ({share})"
        for (name, us), share in zip(found, shares, strict=True)
    )
    return f"Of {duration(device.idle_us)} idle: {said}."


def _has_point(row: KernelRow) -> bool:
    roofs = row.compute_frac or row.memory_frac
    return bool(roofs and row.intensity and row.flops and row.total_us > 0)


def _flop_s(row: KernelRow) -> float:
    """Operations a second, over the part of its time whose work is known."""
    return (row.flops or 0.0) / (row.total_us * 1e-6 * (row.known_frac or 1.0))


def _intensity(row: KernelRow) -> float:
    return row.intensity or 1.0


def _left_out(device: DeviceTrace, rows: Sequence[KernelRow]) -> str:
    """How much of the kernels has no place in the chart, as nobody knows how many operations they are."""
    gone = sum(row.busy_frac for row in device.kernels if not any(row is one for one in rows))
    if gone < _WORTH_A_WORD:
        return ""
    return f" (without {rough(min(1.0, gone))} of busy time, whose operations are not known)"


def _called(row: KernelRow) -> str:
    """A name by both of its ends: what tells kernels of a library apart stands at the end."""
    name = label(short_name(row.name), 4096)
    return name if len(name) <= _NAMED else f"{name[:14]}...{name[-16:]}"


def _kernels_words(rows: Sequence[KernelRow]) -> str:
    said = "; ".join(
        f"{label(short_name(row.name))} {rate(_flop_s(row), 'FLOP/s')} at {_intensity(row):.3g} a byte"
        for row in rows[:MAX_NAMED]
    )
    return f"{len(rows)} kernels by operations a byte and operations a second. The longest: {said}."


def strip_chart(strip: Strip) -> Figure:
    """Busy classes from below and idle causes above them, stretch by stretch, to 100 %."""
    columns = [(n, strip.busy[n], BUSY_LOOK, BUSY_WORDS) for n in BUSY if any(strip.busy.get(n, ()))]
    columns += [(n, strip.causes[n], CAUSE_LOOK, CAUSE_WORDS) for n in CAUSES if any(strip.causes.get(n, ()))]
    count = max(len(values) for _, values, _, _ in columns) if columns else 0
    drawn = figure(2.0 + 0.2 * ((len(columns) + 4) // 5), STRIP_IN)
    ax = drawn.add_subplot()
    scale, unit = _scale(count * strip.width_us)
    edges = [corner * strip.width_us / scale for i in range(count) for corner in (i, i + 1)]
    low = [0.0] * len(edges)
    for name, values, looks, words in columns:
        shares = [min(1.0, us / strip.width_us) if strip.width_us > 0 else 0.0 for us in values]
        shares += [0.0] * (count - len(shares))
        high = [a + shares[i // 2] for i, a in enumerate(low)]
        role, hatch = looks[name]
        ax.fill_between(
            edges,
            low,
            high,
            facecolor=LIGHT[role],
            edgecolor=LIGHT["surface"],
            linewidth=0.0,
            hatch=hatch,
            label=f"{'' if looks is BUSY_LOOK else 'idle: '}{words[name]}",
        )
        low = high
    ax.set_xlim(0, max(count * strip.width_us / scale, 1e-9))
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    ax.set_ylabel("share of time")
    ax.set_xlabel(f"{unit} since the first work on the device")
    drawn.legend(loc="outside upper left", ncols=5, **_LEGEND)
    return drawn


def _scale(us: float) -> tuple[float, str]:
    return next((scale for scale in _SCALES if us >= 3 * scale[0]), _SCALES[-1])


def causes_chart(device: DeviceTrace) -> Figure:
    """One bar a cause, the longest first."""
    found = present(device.causes, CAUSES)
    shares = parts([us for _, us in found], device.idle_us)
    drawn = figure(0.5 + 0.24 * len(found))
    ax = drawn.add_subplot()
    for place, (name, us) in enumerate(found):
        role, hatch = CAUSE_LOOK.get(name, ("unknown", None))
        ax.barh(
            place,
            us / device.idle_us,
            color=LIGHT[role],
            edgecolor=LIGHT["surface"],
            hatch=hatch,
            height=0.72,
        )
        said = f"{duration(us)} · {shares[place]}"
        _say(ax, said, (us / device.idle_us, place), (4, 0), va="center", fontsize=8)
    ax.set_yticks(range(len(found)), [CAUSE_WORDS.get(name, label(name)) for name, _ in found])
    ax.invert_yaxis()
    most = max(us for _, us in found) / device.idle_us
    ax.set_xlim(0, most * 1.38)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return drawn


def kernels_chart(rows: Sequence[KernelRow]) -> Figure:
    """Kernels by operations a byte and a second, with the roofs that their own figures imply."""
    drawn = figure(3.1)
    ax = drawn.add_subplot()
    ax.set_xscale("log")
    ax.set_yscale("log")
    most = max(row.total_us for row in rows)
    for row in reversed(rows):
        role, _ = BUSY_LOOK.get(row.nature, ("free", None))
        size = 3.0 + 9.0 * (row.total_us / most) ** 0.5
        ax.plot(
            [_intensity(row)],
            [_flop_s(row)],
            marker="o",
            markersize=size,
            color=LIGHT[role],
            markeredgecolor=LIGHT["surface"],
            markeredgewidth=0.8,
            linestyle="none",
        )
    _roofs(ax, rows)
    _names(ax, rows[:MAX_NAMED], most)
    _ticks(ax)
    ax.set_xlabel("operations per byte")
    ax.set_ylabel("operations a second")
    ax.grid(visible=True, which="major")
    return drawn


def _names(ax: Any, rows: Sequence[KernelRow], most: float) -> None:
    """Names beside their points; where they would lie over each other, the shorter kernel's one lower."""
    low, high = ax.get_ylim()
    decade_pt = _PLOT_PT / math.log10(high / low)
    placed: list[tuple[float, float]] = []
    for row in rows:
        size = 3.0 + 9.0 * (row.total_us / most) ** 0.5
        x, point = math.log10(_intensity(row)), math.log10(_flop_s(row)) * decade_pt
        y = point - 3.0
        for _ in placed:
            beside = (other for at, other in placed if abs(at - x) < _NEAR and abs(other - y) < _LINE_PT)
            y = min((other - _LINE_PT for other in beside), default=y)
        placed.append((x, y))
        _say(ax, _called(row), (_intensity(row), _flop_s(row)), (3.0 + size / 2, y - point), fontsize=7)


def _roofs(ax: Any, rows: Sequence[KernelRow]) -> None:
    """What each kernel's position below a roof says of that roof: a line each, by precision."""
    right, left = max(map(_intensity, rows)) * 6, min(map(_intensity, rows)) / 6
    levels: dict[str, float] = {}
    for row in rows:
        if row.compute_frac:
            levels.setdefault(label(row.precision or "compute", 12), _flop_s(row) / row.compute_frac)
    slopes = [_flop_s(r) / _intensity(r) / r.memory_frac for r in rows if r.memory_frac]
    top = max([*levels.values(), *(_flop_s(r) for r in rows)])
    low = min(_flop_s(row) for row in rows) / 6
    ax.set_xlim(left, right)
    ax.set_ylim(low, top * 3)
    for name, level in levels.items():
        ax.plot([left, right], [level, level], color=LIGHT["compute"], linewidth=1.2)
        said = f"{name} {rate(level, 'FLOP/s')}"
        _say(ax, said, (right, level), (-2, 2.5), ha="right", fontsize=7, color=LIGHT["compute"])
    if slopes:
        slope = sorted(slopes)[len(slopes) // 2]
        ax.plot([left, top / slope], [left * slope, top], color=LIGHT["memory"], linewidth=1.4)
        start = max(left, low / slope)
        said = f"memory {rate(slope, 'B/s')}"
        _say(ax, said, (start, start * slope), (14, 2), fontsize=7, color=LIGHT["memory"])


def _say(ax: Any, said: str, at: tuple[float, float], off: tuple[float, float], **look: Any) -> None:
    """A text beside a place of the chart, off it by points."""
    ax.annotate(said, at, xytext=off, textcoords="offset points", **look)


def _ticks(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0,)))
    ax.minorticks_off()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: rate(y, "")))
