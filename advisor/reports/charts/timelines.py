"""One device over its window: how time was shared out, and power and clock with their limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from matplotlib.figure import Figure

from advisor.document import TimeSeries
from advisor.reports.charts.drawing import figure
from advisor.reports.charts.palette import HATCH, LIGHT, SHARE_ROLE, SHARE_WORDS
from advisor.reports.figures import number
from rules.verdict import SHARES

# Stretches this much longer apart than they are long have a gap between them.
_GAP_S = 0.05
_SCALES = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
_LEGEND: dict[str, Any] = {
    "handlelength": 1.1,
    "handleheight": 0.9,
    "columnspacing": 1.2,
    "handletextpad": 0.5,
}


def shares_over_time(series: TimeSeries) -> Figure:
    """Shares stacked to 100 %, stretch by stretch, with what was useful as a line."""
    shown = [name for name in SHARES if any(series.shares.get(name, ()))]
    drawn = figure(2.15 + 0.2 * (len(shown) // 4))
    ax = drawn.add_subplot()
    steps = _steps(series)
    low = [0.0] * len(steps)
    for name in shown:
        high = [
            a + (series.shares[name][i] if i is not None else 0.0)
            for a, (_, i) in zip(low, steps, strict=True)
        ]
        role = SHARE_ROLE[name]
        ax.fill_between(
            [t for t, _ in steps],
            low,
            high,
            facecolor=LIGHT[role],
            edgecolor=LIGHT["surface"],
            linewidth=0.0,
            hatch=HATCH.get(role),
            label=SHARE_WORDS[name],
        )
        low = high
    _useful(ax, series, steps)
    _time_axis(ax, series)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "25", "50", "75", "100 %"])
    ax.set_ylabel("share of time")
    drawn.legend(loc="outside upper left", ncols=4, **_LEGEND)
    return drawn


def power_and_clock(series: TimeSeries, limit_w: float | None, top_mhz: float | None) -> Figure:
    """Power and the SM clock in two panels over one time axis; one panel where one of them was not read."""
    wanted = (
        ("power_w", "power (W)", limit_w, "limit", "W", "price"),
        ("sm_mhz", "SM clock (MHz)", top_mhz, "max", "MHz", "price"),
    )
    panels = [panel for panel in wanted if panel[0] in series.figures]
    drawn = figure(0.55 + 1.0 * len(panels))
    axes = drawn.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (name, title, limit, word, unit, role) in zip(axes, panels, strict=True):
        _line(ax, series, name, LIGHT[role])
        ax.set_ylabel(title)
        ax.set_ylim(0, 1.22 * max(_highest(series, name), limit or 0.0, 1.0))
        ax.grid(visible=True, axis="y")
        if limit:
            _limit(ax, limit, f"{word} {number(limit)} {unit}")
    _time_axis(axes[-1], series)
    return drawn


def _steps(series: TimeSeries) -> list[tuple[float, int | None]]:
    """Corners of a staircase over time: (time since the start, column); None in a gap."""
    scale, _ = _scale(series)
    return [(seconds / scale, column) for seconds, column in _corners(series)]


def _corners(series: TimeSeries) -> Iterator[tuple[float, int | None]]:
    begin, before = _begin(series), None
    for i, (end, length) in enumerate(zip(series.t_s, series.duration_s, strict=True)):
        start = end - length
        if before is not None and start - before > max(_GAP_S, 0.5 * length):
            yield before - begin, None
            yield start - begin, None
        yield start - begin, i
        yield end - begin, i
        before = end


def _begin(series: TimeSeries) -> float:
    return series.t_s[0] - series.duration_s[0] if series.t_s else 0.0


def _useful(ax: Any, series: TimeSeries, steps: Sequence[tuple[float, int | None]]) -> None:
    if len(series.useful_frac) != len(series.t_s):
        return
    nan = float("nan")
    values = [nan if i is None else series.useful_frac[i] for _, i in steps]
    times = [t for t, _ in steps]
    ax.plot(times, values, color=LIGHT["surface"], linewidth=2.0)
    ax.plot(times, values, color=LIGHT["text"], linewidth=0.9, label="useful (line)")


def _line(ax: Any, series: TimeSeries, name: str, colour: str) -> None:
    nan = float("nan")
    column = series.figures[name]
    points = [(t, nan if i is None or column[i] is None else column[i]) for t, i in _steps(series)]
    ax.plot([t for t, _ in points], [value for _, value in points], color=colour)


def _highest(series: TimeSeries, name: str) -> float:
    return max((value for value in series.figures[name] if value is not None), default=0.0)


def _limit(ax: Any, value: float, said: str) -> None:
    ax.axhline(value, color=LIGHT["bad"], linewidth=1.0, linestyle=(0, (4, 2)))
    ax.annotate(
        said,
        (1.0, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 2.5),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=LIGHT["bad"],
    )


def _time_axis(ax: Any, series: TimeSeries) -> None:
    from matplotlib.ticker import MaxNLocator

    scale, unit = _scale(series)
    ax.set_xlim(0, max(_length(series) / scale, 1e-3))
    ax.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 3, 5, 10]))
    ax.set_xlabel(f"{unit} since the start of the window")


def _length(series: TimeSeries) -> float:
    return series.t_s[-1] - _begin(series) if series.t_s else 0.0


def _scale(series: TimeSeries) -> tuple[float, str]:
    """Seconds in a unit of the time axis, and its name."""
    return next((scale for scale in _SCALES if _length(series) >= 3 * scale[0]), _SCALES[-1])
