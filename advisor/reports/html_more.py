"""What-ifs and engines as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from advisor.reports.common import SENTENCE, Style, row_name
from advisor.reports.figures import factor, number, usd
from advisor.reports.serving import Line, heading, lines
from rules.serving import ServingFigures
from rules.whatif import WhatIf

MAX_WHAT_IFS = 100
MAX_ENGINES = 40


class WhatIfRow(msgspec.Struct, frozen=True, kw_only=True):
    """One what-if, ready to show."""

    place: str
    title: str
    outlook: str
    effect: str
    cost: str
    basis: str
    conditions: tuple[str, ...]
    actions: tuple[str, ...]


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """One inference engine, as other formats word it."""

    name: str
    lines: tuple[Line, ...]


def what_if_rows(what_ifs: Sequence[WhatIf], style: Style) -> list[WhatIfRow]:
    """What fixes would buy, in the document's order."""
    return [_what_if(found, style) for found in what_ifs[:MAX_WHAT_IFS]]


def _what_if(found: WhatIf, style: Style) -> WhatIfRow:
    bound = found.effect.bound if found.effect else None
    basis = style.prose(found.effect.basis, SENTENCE) if found.effect else ""
    limit = f"; no fix of this kind exceeds {factor(bound)}" if bound is not None else ""
    return WhatIfRow(
        place=row_name(found.gpu, found.mig, style),
        title=style.text(found.title, 160),
        outlook="nothing can be said" if found.refused is not None else _OUTLOOKS[found.outlook],
        effect=_effect(found, style),
        cost=_cost(found),
        basis=f"{_BASES[found.basis]}{f': {basis}' if basis else ''}{limit}",
        conditions=tuple(style.prose(text, SENTENCE) for text in found.assumes[:12]),
        actions=tuple(style.prose(text, SENTENCE) for text in found.actions[:8]),
    )


_OUTLOOKS = {"faster": "faster", "no-gain": "no gain", "slower": "slower", "uncertain": "may be slower"}
_BASES = {"measured": "measured on this card", "anchor": "published figures", "assumption": "an assumption"}


def _effect(found: WhatIf, style: Style) -> str:
    if found.effect is None:
        return style.prose(found.refused or "unknown", SENTENCE)
    low, high = factor(found.effect.low), factor(found.effect.high)
    return f"{low} throughput" if low == high else f"{low} to {high} throughput"


def _cost(found: WhatIf) -> str:
    parts = []
    if found.usd_h_low is not None and found.usd_h_high is not None:
        now = "" if found.price_usd_h is None else f" instead of {usd(found.price_usd_h)}"
        parts.append(f"{_range(usd(found.usd_h_low), usd(found.usd_h_high))}{now} an hour for today's work")
    if found.usd_per_mtok_low is not None and found.usd_per_mtok_high is not None:
        per = _range(_fine(found.usd_per_mtok_low), _fine(found.usd_per_mtok_high))
        parts.append(f"{per} per million tokens")
    if found.watts_low is not None and found.watts_high is not None:
        parts.append(f"{_range(number(found.watts_low), number(found.watts_high))} W")
    return "; ".join(parts)


def _range(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def _fine(amount: float) -> str:
    """Dollars of tokens, which may be far below a cent."""
    return usd(amount) if abs(amount) >= 1 else f"${amount:.3g}"


def engines(serving: Sequence[ServingFigures], style: Style) -> list[Engine]:
    """What inference engines said of themselves."""
    return [Engine(name=heading(made, style), lines=lines(made, style)) for made in serving[:MAX_ENGINES]]
