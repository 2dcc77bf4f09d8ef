"""What-ifs in words: what a fix would buy, as every format shows it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from advisor.document import Diagnosis
from advisor.reports.common import SENTENCE, Style, row_name
from advisor.reports.figures import factor, number, usd
from rules.whatif import WhatIf

HEADING = "What a fix would buy"
# Of one GPU in a report; `advisor whatif` shows all.
MOST_EACH = 3
MOST_ROWS = 24
_A_CENT = 0.005
_NONE = "–"
_OUTLOOKS = {"no-gain": "no gain", "slower": "slower"}
# What is shown with two decimals as other than 1.0.
_SEEN_SLOWER, _SEEN_FASTER = 0.995, 1.005
WORTH = (
    "A finding's worth is what it wins back of today's waste; where $/h falls by more, the rest is more work "
    "for the same money."
)
OTHER_HOST = "Another card comes with another host, whose cores may be fewer."
# Of today's work, where the whole range says the same.
SURE_SPENDS = frozenset({"cheaper", "dearer"})
_ANOTHER_CARD = frozenset({"smaller-gpu", "larger-gpu"})
_SLOWER_ALONE = frozenset({"slower", "no-gain"})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One what-if, ready to show. cost: what today's work would cost an hour; "" where no price is known."""

    name: str
    fix: str
    title: str
    times: str
    cost: str
    basis: str


def rows(diagnosis: Diagnosis, style: Style) -> list[Row]:
    """The few what-ifs of each GPU that save most; none that only make it slower, and none refused."""
    shown: list[Row] = []
    for key in dict.fromkeys(one.key for one in diagnosis.what_ifs):
        mine = [one for one in diagnosis.what_ifs if one.key == key and _is_gain(one)]
        shown += [row(one, style) for one in mine[:MOST_EACH]]
    return shown[:MOST_ROWS]


def row(one: WhatIf, style: Style) -> Row:
    """One what-if in words."""
    return Row(
        name=row_name(one.gpu, one.mig, style),
        fix=style.text(one.fix, 80),
        title=style.text(one.title),
        times=times(one),
        cost=cost(one),
        basis=one.basis,
    )


def note(diagnosis: Diagnosis) -> str:
    """How to read the table."""
    priced = any(one.usd_h_low is not None for one in diagnosis.what_ifs)
    price = f"$/h is what today's work would cost. {WORTH} " if priced else ""
    host = f"{OTHER_HOST} " if moves(diagnosis.what_ifs) else ""
    return (
        f"{price}{host}Ranges of several fixes never add up: `advisor whatif FILE --fix A --fix B` composes "
        "them."
    )


def moves(found: Iterable[WhatIf]) -> bool:
    """Whether one of them moves to another card."""
    return any(one.refused is None and one.fix in _ANOTHER_CARD for one in found)


def is_empty(one: WhatIf) -> bool:
    """Whether it touches nothing here: neither time, nor what is paid, nor power."""
    return one.effect is not None and one.refused is None and not one.levers and one.price_low == 1.0


def times(one: WhatIf) -> str:
    """The range of throughput: "1.27× to 1.73×"; a dash where no work ran, or nothing can be said."""
    if one.effect is None:
        return _NONE
    low, high = factor(one.effect.low), factor(one.effect.high)
    return low if low == high else f"{low} to {high}"


def expect(one: WhatIf) -> str:
    """The range and what it comes to: "1.27× to 1.73× throughput, faster"; or that no work ran."""
    return f"{times(one)} throughput, {said(one)}" if one.effect is not None else said(one)


def said(one: WhatIf) -> str:
    """What becomes of the throughput, in words."""
    if one.outlook is None or one.effect is None:
        return "no work ran"
    if one.outlook in _SLOWER_ALONE:
        return _OUTLOOKS[one.outlook]
    if one.effect.low < _SEEN_SLOWER:
        return "may be slower"
    return "faster" if one.effect.low > _SEEN_FASTER else "may gain nothing"


def cost(one: WhatIf) -> str:
    """What today's work would cost an hour: "$3.97 to $5.43"; "" without a price."""
    return _dollars(one.usd_h_low, one.usd_h_high, 2)


def per_mtok(one: WhatIf) -> str:
    """Dollars per million tokens, in cents and parts of them; "" where no engine told its tokens."""
    return _dollars(one.usd_per_mtok_low, one.usd_per_mtok_high, 3)


def watts(one: WhatIf) -> str:
    """Power afterwards; "" where it does not change."""
    if one.watts_low is None or one.watts_high is None:
        return ""
    low, high = number(round(one.watts_low)), number(round(one.watts_high))
    return f"{low} W" if low == high else f"{low} to {high} W"


def facts(one: WhatIf, style: Style) -> list[tuple[str, str]]:
    """Everything else that is to be said of one what-if: name and sentence."""
    said: list[tuple[str, str]] = []
    effect = one.effect
    if effect is not None and effect.bound is not None:
        said.append(("Bound", f"no fix of this kind exceeds {factor(max(effect.bound, effect.high))}"))
    if effect is not None and effect.basis:
        said.append(("Basis", f"{one.basis}: {style.prose(effect.basis, 3 * SENTENCE)}"))
    said += [(name, value) for name, value in (("$/M tokens", per_mtok(one)), ("Power", watts(one))) if value]
    said += [("Assumes", style.prose(text, SENTENCE)) for text in one.assumes]
    return said + [("Do", style.prose(text, SENTENCE)) for text in one.actions]


def _is_gain(one: WhatIf) -> bool:
    """Whether it is worth showing unasked: faster, or cheaper for the same work, at least at its best."""
    if one.refused is not None:
        return False
    if one.usd_h_high is not None and one.price_usd_h is not None and one.usd_h_low is not None:
        return (
            one.usd_h_low < one.price_usd_h - _A_CENT and one.usd_h_low + one.usd_h_high < 2 * one.price_usd_h
        )
    return one.spend in ("cheaper", "uncertain") or (one.spend is None and one.outlook not in _SLOWER_ALONE)


def _dollars(low: float | None, high: float | None, digits: int) -> str:
    if low is None or high is None:
        return ""
    first, last = (usd(x) if digits == 2 else f"${x:,.{digits}f}" for x in (low, high))
    return first if first == last else f"{first} to {last}"
