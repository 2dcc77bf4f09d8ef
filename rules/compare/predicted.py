"""Predictions beside what came of them: is the realised throughput in the range that was given?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from rules import thresholds_compare as tc
from rules.compare.records import Prediction, Throughput, Verdict
from rules.finding import Finding
from rules.whatif import WhatIf

# What another card, or another limit, would show; every other fix leaves both as they are.
_SHOWN_BY = {"smaller-gpu": "card", "larger-gpu": "card", "power-cap": "power limit"}


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """price_usd_h: of the row in A. price_after_usd_h: of B's, where the two may be held against each other.

    unchanged: what is the same in both, of "card" and "power limit". terms_a, terms_b: shares of the paid
    time by the ladder's term.
    """

    price_usd_h: float | None = None
    price_after_usd_h: float | None = None
    unchanged: frozenset[str] = frozenset()
    terms_a: Mapping[str, float] = {}
    terms_b: Mapping[str, float] = {}


def predictions(
    what_ifs: Sequence[WhatIf],
    findings: Sequence[Finding],
    after: Sequence[Finding],
    got: Throughput,
    circumstances: Circumstances,
) -> tuple[Prediction, ...]:
    """What A expected of each fix on one row, beside the throughput that B realised.

    findings: A's on that row; their own ranges are taken where no what-if answers them. after: B's.
    """
    said = [_of_what_if(w) for w in what_ifs if w.effect is not None and w.refused is None]
    answered = {code for prediction in said for code in prediction.codes}
    said += [p for f in findings if f.code not in answered for p in _of_finding(f)]
    return tuple(_realised(_seen(each, findings, after, circumstances), got, circumstances) for each in said)


def _of_what_if(what_if: WhatIf) -> Prediction:
    effect = what_if.effect
    assert effect is not None  # noqa: S101
    return Prediction(
        fix=what_if.fix,
        title=what_if.title,
        codes=what_if.codes,
        basis=what_if.basis,
        low=effect.low,
        high=effect.high,
        price_low=what_if.price_low,
        price_high=what_if.price_high,
        saving_low_usd_h=_less(what_if.price_usd_h, what_if.usd_h_high),
        saving_high_usd_h=_less(what_if.price_usd_h, what_if.usd_h_low),
    )


def _less(price_usd_h: float | None, afterwards_usd_h: float | None) -> float | None:
    """What is saved; a fix that changes what is rented says what it costs afterwards itself."""
    return None if price_usd_h is None or afterwards_usd_h is None else price_usd_h - afterwards_usd_h


def _of_finding(finding: Finding) -> list[Prediction]:
    effect = finding.effect
    if effect is None:
        return []
    title, codes = finding.title, (finding.code,)
    return [
        Prediction(
            fix=finding.code, title=title, codes=codes, basis="finding", low=effect.low, high=effect.high
        )
    ]


def _seen(
    said: Prediction, before: Sequence[Finding], after: Sequence[Finding], circumstances: Circumstances
) -> Prediction:
    """With whether the fix was made, as far as what changed tells."""
    shown = [_SHOWN_BY[slug] for slug in said.fix.split("+") if slug in _SHOWN_BY]
    for what in shown:
        if what in circumstances.unchanged:
            return msgspec.structs.replace(said, made=False, because=f"the {what} is the same")
    if shown:
        return msgspec.structs.replace(said, made=True, because=f"the {shown[0]} is another")
    had, has = (math.fsum(f.share for f in side if f.code in said.codes) for side in (before, after))
    if had <= 0.0:
        return said
    if has <= 0.0:
        return _gone(said, [f for f in before if f.code in said.codes], circumstances)
    smaller = has <= tc.FINDING_SMALLER.value * had
    word = "fell" if smaller else "stayed"
    return msgspec.structs.replace(
        said,
        made=smaller,
        because=f"its finding {word}, from {had * 100:.0f} % to {has * 100:.0f} % of the time",
    )


def _gone(said: Prediction, gone: Sequence[Finding], circumstances: Circumstances) -> Prediction:
    """A finding also goes where B did not look for it, or calls the same lost time by another name.

    So the term that the time is booked under must have fallen by what FINDING_SMALLER asks of the finding.
    """
    parts = {f.term: f.share for f in gone if f.term is not None and f.term in circumstances.terms_a}
    if not parts or not circumstances.terms_b:
        because = "its finding went, and no share of time tells whether for the fix"
        return msgspec.structs.replace(said, made=None, because=because)
    had = math.fsum(circumstances.terms_a[term] for term in parts)
    has = math.fsum(circumstances.terms_b.get(term, 0.0) for term in parts)
    asked = (1.0 - tc.FINDING_SMALLER.value) * min(had, math.fsum(parts.values()))
    if had - has >= asked:
        return msgspec.structs.replace(said, made=True, because="its finding went")
    because = f"its finding went, and its lost time stayed, {had * 100:.0f} % and {has * 100:.0f} %"
    return msgspec.structs.replace(said, made=False, because=because)


def _realised(said: Prediction, got: Throughput, circumstances: Circumstances) -> Prediction:
    price = circumstances.price_usd_h
    realised = msgspec.structs.replace(
        said,
        factor=got.factor,
        factor_low=got.low,
        factor_high=got.high,
        saving_low_usd_h=_or(said.saving_low_usd_h, saving(price, said.low)),
        saving_high_usd_h=_or(said.saving_high_usd_h, saving(price, said.high)),
        forced=got.forced,
    )
    if _rents_other(said):
        return _in_dollars(realised, got, circumstances)
    return msgspec.structs.replace(
        realised,
        says="not-made" if said.made is False else judged(said.low, said.high, got),
        saving_usd_h=saving(price, got.factor),
    )


def _rents_other(said: Prediction) -> bool:
    """Whether the fix changes what is rented, so that its throughput alone says nothing of its worth."""
    return (said.price_low, said.price_high) != (1.0, 1.0)


def _in_dollars(said: Prediction, got: Throughput, circumstances: Circumstances) -> Prediction:
    """Judged by what A's work costs at B's price, since a slower card or a fuller replica may be the aim."""
    if said.made is False:
        return msgspec.structs.replace(said, says="not-made")
    price, after = circumstances.price_usd_h, circumstances.price_after_usd_h
    low, high = said.saving_low_usd_h, said.saving_high_usd_h
    if price is None or after is None or low is None or high is None:
        why = "what is rented changed, and the two prices are not known or not comparable"
        because = f"{said.because}; {why}" if said.because else why
        return msgspec.structs.replace(said, says="unknown", because=because)
    dollars = Throughput(
        factor=_spared(price, after, got.factor),
        low=_spared(price, after, got.low),
        high=_spared(price, after, got.high),
    )
    return msgspec.structs.replace(said, says=judged(low, high, dollars), saving_usd_h=dollars.factor)


def _spared(price_usd_h: float, after_usd_h: float, factor: float | None) -> float | None:
    """Dollars an hour that A's work costs less in B, `factor` times as fast at another price."""
    return None if factor is None or factor <= 0.0 else price_usd_h - after_usd_h / factor


def _or(known: float | None, other: float | None) -> float | None:
    return other if known is None else known


def saving(price_usd_h: float | None, factor: float | None) -> float | None:
    """Dollars an hour that the same work costs less at `factor` times the throughput; negative: more."""
    if price_usd_h is None or factor is None or factor <= 0.0:
        return None
    return price_usd_h * (1.0 - 1.0 / factor)


def judged(low: float, high: float, got: Throughput) -> Verdict:
    """Where the realised factor lies against the predicted range."""
    if got.factor is None:
        return "unknown"
    if low <= got.factor <= high:
        return "inside"
    least = got.factor if got.low is None else got.low
    most = got.factor if got.high is None else got.high
    if least <= high and most >= low:
        return "within-noise"
    return "below" if got.factor < low else "above"
