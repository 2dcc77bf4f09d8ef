"""Whether as much was asked of a row's engines in both looks: only then do tokens measure speed."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.reports.figures import number
from rules import thresholds as th
from rules import thresholds_compare as tc
from rules.serving import ServingFigures

Engines = Sequence[ServingFigures]


def unheld(a: Engines, b: Engines) -> str | None:
    """Why demand was not the same in both, or is not known to be, with what was counted; None where it was.

    It was where requests waited in both, so that there was always more to do, or where as many ran in both.
    None without an engine on either side.
    """
    if not a and not b:
        return None
    if not a or not b:
        return f"an engine on this GPU was asked in {'A' if a else 'B'} alone"
    waits, runs = ([_sum(engines, name) for engines in (a, b)] for name in ("waiting", "running"))
    if _saturated(waits) or _alike(runs):
        return None
    counted = (("tokens/s", [tokens_s(e) for e in (a, b)]), ("running", runs), ("waiting", waits))
    return ", ".join(f"{_shown(pair[0])} to {_shown(pair[1])} {name}" for name, pair in counted)


def tokens_s(engines: Engines) -> float | None:
    """Tokens a second of both kinds over a row's engines; None where one does not say."""
    generated = _sum(engines, "generation_tok_s")
    return None if generated is None else generated + sum(engine.prompt_tok_s or 0.0 for engine in engines)


def running(engines: Engines) -> float | None:
    """Requests that ran at once, over a row's engines; None where one does not say."""
    return _sum(engines, "running")


def _sum(engines: Engines, name: str) -> float | None:
    """The sum of a figure over the engines; None where one does not say, or there is none."""
    found: list[float | None] = [getattr(engine, name) for engine in engines]
    return sum(f for f in found if f is not None) if found and None not in found else None


def _saturated(waiting: Sequence[float | None]) -> bool:
    return all(count is not None and count >= tc.DEMAND_WAITING.value for count in waiting)


def _alike(running: Sequence[float | None]) -> bool:
    known = sorted(count for count in running if count is not None)
    asked = len(known) == len(running) and known[0] >= th.ASKED.value
    return asked and known[-1] <= tc.RUNNING_ALIKE.value * known[0]


def _shown(figure: float | None) -> str:
    return "unknown" if figure is None else number(figure)
