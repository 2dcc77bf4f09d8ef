"""--fail-on of a comparison: which change for the worse turns the exit code into 1.

    regression>5%   throughput down by more than 5 percent
    wasted>10%      wasted share of the paid time up by more than 10 points
    usd>1.5         dollars wasted an hour up by more than 1.5 over all pairs

The change itself is held against the limit. One that is estimated must besides be no noise: its interval must
not reach no change at all. An engine that was asked for less is no slower for it: where demand was not the
same in both, a regression is not judged, and more waste is none. ":" does for ">", which a shell takes for
itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Literal

import msgspec

from rules.compare.records import Comparison, Figure, Pair, Side

What = Literal["regression", "wasted", "usd"]
_WORD = re.compile(r"(?P<what>[a-z]+)\s*[>:]\s*\$?\s*(?P<limit>[0-9.]+)\s*(?P<percent>%?)", re.IGNORECASE)
_EXAMPLES = "write 'regression>5%', 'wasted>10%' or 'usd>1.5', in quotes: a shell takes > for itself"


class Limit(msgspec.Struct, frozen=True):
    """One word of the gate. value: a fraction, or dollars an hour."""

    what: What
    value: float


class Judged(msgspec.Struct, frozen=True):
    """failed: one line for each limit that was passed. open: one for each that could not be judged."""

    failed: tuple[str, ...]
    open: tuple[str, ...]


class CompareGateError(ValueError):
    """A word that means nothing here. `fix` says what does."""

    def __init__(self, message: str, fix: str = _EXAMPLES) -> None:
        super().__init__(message)
        self.fix = fix


def parse_limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Limits, repeated or comma-separated. Raises CompareGateError naming what is wrong."""
    words = [word.strip() for text in texts for word in text.split(",")]
    return tuple(_limit(word) for word in words if word)


def _limit(word: str) -> Limit:
    found = _WORD.fullmatch(word)
    if found is None:
        raise CompareGateError(f"{word!r}: not a limit")
    what = found["what"].lower()
    try:
        value = float(found["limit"])
    except ValueError:
        raise CompareGateError(f"{word!r}: not a number") from None
    if what == "usd" and not found["percent"] and math.isfinite(value):
        return Limit("usd", value)
    if what in ("regression", "wasted") and found["percent"] and value < 100.0:
        return Limit("regression" if what == "regression" else "wasted", value / 100.0)
    if what in ("regression", "wasted"):
        raise CompareGateError(f"{word!r}: needs a percentage below 100")
    raise CompareGateError(f"{word!r}: not a limit")


def judge(comparison: Comparison, limits: Iterable[Limit]) -> Judged:
    """Every limit against the comparison.

    A GPU of A that is not in B leaves every limit open, unless somebody named the pairs.
    """
    failed: list[str] = []
    left_open: list[str] = []
    for limit in limits:
        if not comparison.pairs:
            left_open.append(f"{_named(limit)} cannot be judged: nothing could be compared")
        left_open += [
            f"{_named(limit)} cannot be judged on {gone}: it is not in B" for gone in _gone(comparison)
        ]
        for name, outcome in _outcomes(comparison, limit):
            if isinstance(outcome, str):
                left_open.append(f"{_named(limit)} cannot be judged on {name}: {outcome}")
            elif outcome is not None:
                failed.append(f"{name}: {_said(limit, outcome)}")
    return Judged(tuple(failed), tuple(left_open))


def _gone(comparison: Comparison) -> list[str]:
    """Rows that only A has; none where somebody named the pairs, and left out the others."""
    if not comparison.pairs or any(pair.matched_by == "asked" for pair in comparison.pairs):
        return []
    return [_called(row) for row in comparison.only_a]


def _outcomes(comparison: Comparison, limit: Limit) -> list[tuple[str, float | str | None]]:
    """Where -> by how much it is worse, why that cannot be told, or None where the limit holds."""
    if limit.what == "usd":
        found = next((f for f in comparison.totals if f.name == "wasted_usd"), None)
        demand = next((p for p in comparison.pairs if p.throughput.demand), None)
        return [("all pairs", _asked_less(_worse(found, limit), demand))]
    if limit.what == "wasted":
        return [
            (place(pair), _asked_less(_worse(_figure(pair, "wasted"), limit, pair.refused), pair))
            for pair in comparison.pairs
        ]
    return [(place(pair), _slower(pair, limit)) for pair in comparison.pairs]


def _asked_less(outcome: float | str | None, pair: Pair | None) -> float | str | None:
    """More waste where an engine was asked for other work than before is left open."""
    told = pair is not None and bool(pair.throughput.demand) and isinstance(outcome, float)
    return _other_demand(pair) if told and pair is not None else outcome


def _other_demand(pair: Pair) -> str:
    return f"demand was not the same ({pair.throughput.demand})"


def place(pair: Pair) -> str:
    """ "GPU 2", or "GPU 2 and GPU 0" where the two are not the same."""
    a, b = _called(pair.a), _called(pair.b)
    return a if a == b else f"{a} and {b}"


def _called(row: Side) -> str:
    return f"GPU {row.gpu}" + (f" MIG {row.mig}" if row.mig else "")


def _figure(pair: Pair, name: str) -> Figure | None:
    return next((f for f in pair.figures if f.name == name), None)


def _worse(figure: Figure | None, limit: Limit, refused: str | None = None) -> float | str | None:
    if figure is None or figure.change is None:
        return refused or (figure.refused if figure and figure.refused else "no figure of it is known")
    if figure.change <= limit.value:
        return None
    if figure.low is None:
        return figure.no_interval or "it has no interval"
    return figure.change if figure.low > 0.0 else None


def _slower(pair: Pair, limit: Limit) -> float | str | None:
    got = pair.throughput
    if got.factor is None:
        return pair.refused or got.refused or "no throughput is known"
    if got.demand:
        return _other_demand(pair)
    loss = 1.0 - got.factor
    if loss <= limit.value:
        return None
    if got.basis in ("work", "serving"):
        return loss
    if got.high is None:
        return got.no_interval or "it has no interval"
    return loss if got.high < 1.0 else None


def _named(limit: Limit) -> str:
    return f"usd>{limit.value:g}" if limit.what == "usd" else f"{limit.what}>{limit.value * 100:g}%"


def _said(limit: Limit, by: float) -> str:
    if limit.what == "usd":
        return f"${by:,.2f} more is wasted an hour, over ${limit.value:,.2f}"
    if limit.what == "wasted":
        return f"{by * 100:.1f} points more of the paid time are wasted, over {limit.value * 100:g}"
    return f"throughput is down by {by * 100:.1f} %, over {limit.value * 100:g} %"
