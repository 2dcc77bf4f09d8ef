"""Predictions beside what came of them: is the realised throughput in the range that was given?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from rules import thresholds_compare as tc
from rules.compare.records import Prediction, Throughput, Verdict
from rules.finding import Finding
from rules.whatif import WhatIf


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """price_usd_h: of the row in A. unchanged: what is the same in both, of "card" and "power limit"."""

    price_usd_h: float | None = None
    unchanged: frozenset[str] = frozenset()


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
    shares = {f.code: f.share for f in findings}, {f.code: f.share for f in after}
    return tuple(_realised(_seen(each, shares, circumstances), got, circumstances) for each in said)


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
    said: Prediction, shares: tuple[Mapping[str, float], Mapping[str, float]], circumstances: Circumstances
) -> Prediction:
    """With whether the fix was made, as far as what changed tells."""
    for word, what in (("gpu", "card"), ("power-cap", "power limit")):
        if word in said.fix and what in circumstances.unchanged:
            return msgspec.structs.replace(said, made=False, because=f"the {what} is the same")
        if word in said.fix:
            return msgspec.structs.replace(said, made=True, because=f"the {what} is another")
    had, has = (sum(side.get(code, 0.0) for code in said.codes) for side in shares)
    if had <= 0.0:
        return said
    if has <= 0.0:
        return msgspec.structs.replace(said, made=True, because="its finding went")
    smaller = has <= tc.FINDING_SMALLER.value * had
    word = "fell" if smaller else "stayed"
    return msgspec.structs.replace(
        said,
        made=smaller,
        because=f"its finding {word}, from {had * 100:.0f} % to {has * 100:.0f} % of the time",
    )


def _realised(said: Prediction, got: Throughput, circumstances: Circumstances) -> Prediction:
    price = circumstances.price_usd_h
    return msgspec.structs.replace(
        said,
        factor=got.factor,
        factor_low=got.low,
        factor_high=got.high,
        says="not-made" if said.made is False else judged(said.low, said.high, got),
        saving_low_usd_h=_or(said.saving_low_usd_h, saving(price, said.low)),
        saving_high_usd_h=_or(said.saving_high_usd_h, saving(price, said.high)),
        saving_usd_h=saving(price, got.factor),
        forced=got.forced,
    )


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
