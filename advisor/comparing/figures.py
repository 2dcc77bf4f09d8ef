"""Figures of a pair of rows: each side, the change, its interval, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from advisor.comparing.means import means, too_short
from advisor.comparing.rows import Row
from rules import thresholds as th
from rules.compare.intervals import Interval, Mean, difference
from rules.compare.records import Change, Figure, Group
from rules.ladder import wasted
from rules.power import mean_power_w
from rules.verdict import SHARES

# Shares that do not depend on what the ceilings are.
_PLAIN = frozenset({"free", "idle_held", "host", "communication", "unknown"})
_GOOD_DOWN = frozenset({"free", "idle_held", "host", "communication", "throttle", "device"})
# A change of power or of a clock that is smaller says nothing: readings of whole watts, steps of 15 MHz.
_FLOORS = {"frac": th.NOISE_FLOOR.value, "w": 1.0, "mhz": 15.0}

FigureGroup = Literal["time", "roofs", "money", "device"]


class Pairing(msgspec.Struct, frozen=True):
    """Two rows, their means, and which groups of figures are refused, each with the reason.

    insist: figures are given all the same, and marked as forced.
    """

    a: Row
    b: Row
    refused: dict[Group, str]
    insist: bool = False

    def refusal(self, group: FigureGroup) -> str | None:
        """Why a figure of this group has no change."""
        if "all" in self.refused:
            return self.refused["all"]
        needs: dict[FigureGroup, tuple[Group, ...]] = {
            "time": (),
            "device": (),
            "roofs": ("roofs",),
            "money": ("money", "roofs"),
        }
        return next((self.refused[name] for name in needs[group] if name in self.refused), None)


def figures(pair: Pairing) -> tuple[Figure, ...]:
    """Every figure that at least one side has; shares that neither side has are left out."""
    means_a, means_b = means(pair.a), means(pair.b)
    short = _short(pair)
    made = [_with_change(f, pair, means_a, means_b, short) for f in _raw(pair.a, pair.b)]
    return tuple(f for f in made if f.a is not None or f.b is not None)


def _short(pair: Pairing) -> str | None:
    """Why there can be no interval, naming the side."""
    reasons = [too_short(row) for row in (pair.a, pair.b)]
    if reasons[0] == reasons[1] and reasons[0] is not None:
        return f"both: {reasons[0]}"
    return "; ".join(f"{name}: {why}" for name, why in zip("AB", reasons, strict=True) if why) or None


def _raw(a: Row, b: Row) -> list[Figure]:
    """The figures of both sides, without a change."""
    shares = [_share(name, a, b) for name in SHARES]
    power = powers_w(a, b)
    found = [f for f in shares if f.a or f.b]
    found += [
        _figure("useful", a.verdict.useful_frac, b.verdict.useful_frac, "roofs", "up"),
        _figure("wasted", wasted_share(a), wasted_share(b), "roofs", "down"),
        _figure("dram_roof", a.verdict.dram_roof_frac, b.verdict.dram_roof_frac, "roofs", "up"),
        _figure("pipe_roof", a.verdict.pipe_roof_frac, b.verdict.pipe_roof_frac, "roofs", "up"),
        Figure(name="power", unit="w", a=power[0], b=power[1], group="device"),
        Figure(name="sm_clock", unit="mhz", a=_clock(a), b=_clock(b), group="device"),
        Figure(name="wasted_usd", unit="usd_h", a=_usd(a), b=_usd(b), group="money", better="down"),
    ]
    return found


def _share(name: str, a: Row, b: Row) -> Figure:
    group: FigureGroup = "time" if name in _PLAIN else "roofs"
    better: Literal["down"] | None = "down" if name in _GOOD_DOWN else None
    return _figure(name, a.verdict.shares.get(name), b.verdict.shares.get(name), group, better)


def _figure(
    name: str, a: float | None, b: float | None, group: FigureGroup, better: Literal["up", "down"] | None
) -> Figure:
    return Figure(name=name, unit="frac", a=a, b=b, group=group, better=better)


def wasted_share(row: Row) -> float | None:
    """Part of the paid time that is neither useful nor unknown; None without a ladder."""
    return None if row.ladder is None else wasted(row.ladder.shares)


def powers_w(a: Row, b: Row) -> tuple[float | None, float | None]:
    """Mean power of both, read in one way: from the series, else the energy counters, else the medians."""
    ways: tuple[Callable[[Row], float | None], ...] = (_of_series, _of_energy, _of_samples)
    found = [(way(a), way(b)) for way in ways]
    return next((both for both in found if None not in both), found[-1])


def _of_series(row: Row) -> float | None:
    mean = means(row).get("power_w")
    return None if mean is None else mean.value


def _of_energy(row: Row) -> float | None:
    if row.observed is not None:
        return mean_power_w(row.observed.evidence.energy_j, row.observed.evidence.energy_s)
    kept = None if row.provenance is None else row.provenance.electricity
    return None if kept is None else kept.mean_w


def _of_samples(row: Row) -> float | None:
    return None if row.provenance is None else row.provenance.power_w_p50


def _clock(row: Row) -> float | None:
    return None if row.provenance is None else row.provenance.sm_mhz_p50


def _usd(row: Row) -> float | None:
    return None if row.ladder is None else row.ladder.wasted_usd_h


_SERIES = {"power": "power_w", "sm_clock": "sm_mhz"}
_NO_SERIES = "documents hold no series of it"


def _mean_for(figure: Figure, found: dict[str, Mean], row: Row) -> Mean | None:
    """The series' mean in the figure's own unit; its variance is what counts."""
    if figure.name == "wasted_usd":
        price = None if row.ladder is None else row.ladder.price_usd_h
        mean = found.get("wasted")
        return None if price is None or mean is None else mean.scaled(price)
    mean = found.get(_SERIES.get(figure.name, figure.name))
    if figure.name != "dram_roof" or mean is None:
        return mean
    roof = row.verdict.dram_roof_frac
    return mean.scaled(roof / mean.value) if roof is not None and mean.value > 0.0 else None


def _with_change(
    figure: Figure, pair: Pairing, means_a: dict[str, Mean], means_b: dict[str, Mean], short: str | None
) -> Figure:
    if figure.a is None or figure.b is None:
        return figure
    why = pair.refusal(figure.group)
    if why is not None and not pair.insist:
        return msgspec.structs.replace(figure, refused=why)
    change = figure.b - figure.a
    made = msgspec.structs.replace(
        figure,
        change=change,
        relative=change / figure.a if figure.a > 0.0 else None,
        forced=why is not None,
        says="unclear",
    )
    mean_a, mean_b = _mean_for(figure, means_a, pair.a), _mean_for(figure, means_b, pair.b)
    if mean_a is None or mean_b is None:
        return msgspec.structs.replace(made, no_interval=short or _NO_SERIES)
    return with_interval(made, difference(mean_a, mean_b, _floor(figure, pair)), mean_b.value - mean_a.value)


def _floor(figure: Figure, pair: Pairing) -> float:
    """What readings themselves can tell apart, in the figure's unit."""
    if figure.unit != "usd_h":
        return _FLOORS.get(figure.unit, 0.0)
    prices = [row.ladder.price_usd_h or 0.0 for row in (pair.a, pair.b) if row.ladder is not None]
    return th.NOISE_FLOOR.value * max(prices, default=0.0)


def with_interval(figure: Figure, found: Interval, centre: float) -> Figure:
    """The figure with its interval, around its own change rather than around that of the series.

    A verdict may move time between two shares for reasons that only the whole window shows: no chance.
    """
    change = figure.change or 0.0
    low, high = found.low + change - centre, found.high + change - centre
    return msgspec.structs.replace(
        figure, low=low, high=high, slow=found.slow, says=direction(change, low, high)
    )


def direction(change: float, low: float, high: float, nothing: float = 0.0) -> Change:
    """Up or down where the interval leaves out `nothing`, else no difference within noise."""
    if low <= nothing <= high:
        return "no-difference"
    return "up" if change > nothing else "down"
