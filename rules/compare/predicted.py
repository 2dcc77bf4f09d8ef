"""Predictions beside what came of them: is the realised throughput in the range that was given?"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rules.compare.made import Circumstances, made, shares_of_term
from rules.compare.records import Prediction, Throughput, Verdict
from rules.finding import Finding
from rules.whatif import WhatIf


def predictions(
    what_ifs: Sequence[WhatIf],
    findings: Sequence[Finding],
    after: Sequence[Finding],
    got: Throughput,
    circumstances: Circumstances,
) -> tuple[Prediction, ...]:
    """What A expected of each fix on one row, beside the throughput that B realised.

    findings: A's on that row; their own ranges are taken where no what-if answers them. after: B's. A look
    beside itself has none: nothing can have come of anything.
    """
    if circumstances.same_look:
        return ()
    said = [_of_what_if(w, findings) for w in what_ifs if w.effect is not None and w.refused is None]
    answered = {code for prediction in said for code in prediction.codes}
    said += [p for f in findings if f.code not in answered for p in _of_finding(f)]
    seen = []
    for each in said:
        told, because = made(each, findings, after, got, circumstances)
        seen.append(msgspec.structs.replace(each, made=told, because=because))
    return tuple(_realised(each, got, circumstances) for each in _together(seen))


def _together(seen: Sequence[Prediction]) -> list[Prediction]:
    """With the other fixes that seem to have been made as well: what was realised is of all of them."""
    fixes = [each.fix for each in seen if each.made]
    return [
        msgspec.structs.replace(each, together=tuple(fix for fix in fixes if fix != each.fix))
        if each.made
        else each
        for each in seen
    ]


def _of_what_if(what_if: WhatIf, findings: Sequence[Finding]) -> Prediction:
    effect = what_if.effect
    assert effect is not None  # noqa: S101
    shares = [lever.share for lever in what_if.levers]
    shares = shares or [s for f in findings if f.code in what_if.codes for s in shares_of_term(f.term)]
    return Prediction(
        fix=what_if.fix,
        title=what_if.title,
        codes=what_if.codes,
        basis=what_if.basis,
        shares=tuple(dict.fromkeys(shares)),
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
            fix=finding.code,
            title=title,
            codes=codes,
            basis="finding",
            shares=shares_of_term(finding.term),
            low=effect.low,
            high=effect.high,
        )
    ]


def _realised(said: Prediction, got: Throughput, circumstances: Circumstances) -> Prediction:
    price = circumstances.price_usd_h
    known = msgspec.structs.replace(
        said,
        saving_low_usd_h=_or(said.saving_low_usd_h, saving(price, said.low)),
        saving_high_usd_h=_or(said.saving_high_usd_h, saving(price, said.high)),
        forced=got.forced,
    )
    if not said.made:
        return msgspec.structs.replace(known, says="unknown" if said.made is None else "not-made")
    realised = msgspec.structs.replace(known, factor=got.factor, factor_low=got.low, factor_high=got.high)
    if _rents_other(said):
        return _in_dollars(realised, got, circumstances)
    return msgspec.structs.replace(
        realised,
        says=judged(said.low, said.high, got),
        saving_usd_h=saving(price, got.factor),
    )


def _rents_other(said: Prediction) -> bool:
    """Whether the fix changes what is rented, so that its throughput alone says nothing of its worth."""
    return (said.price_low, said.price_high) != (1.0, 1.0)


def _in_dollars(said: Prediction, got: Throughput, circumstances: Circumstances) -> Prediction:
    """Judged by what A's work costs at B's price, since a slower card or a fuller replica may be the aim."""
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
