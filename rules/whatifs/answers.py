"""What-ifs of a case: each fix worked out in throughput, dollars and tokens, alone or together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from rules.finding import Effect
from rules.whatif import Outlook, Spend, WhatIf, WhatIfBasis
from rules.whatifs.case import Case
from rules.whatifs.compose import outlook
from rules.whatifs.paid import After, after
from rules.whatifs.registry import Answer, Draft, Fix, Refused, all_fixes, replaces

_BASES: tuple[WhatIfBasis, ...] = ("measured", "anchor", "assumption")
_TOO_LITTLE = "too little was read of this card to say where its time goes"
_NOTHING = "it touches none of this card's time"
_SPENDS: dict[Outlook, Spend] = {
    "faster": "cheaper",
    "slower": "dearer",
    "no-gain": "same",
    "uncertain": "uncertain",
}
TOGETHER = (
    "Fixes compose on shares of time: at the upper end one works on what the other left, at the lower end "
    "both save the same time."
)
_DEVICE = frozenset({"compute", "memory", "device", "throttle", "communication"})
_BESIDE = "one end: the host works beside the device and sets the pace"
# Less than this of the paid time is not worth a fix of its own in a list that nobody asked for.
_WORTH = 1.02
# Of today's cost: what is free is no infinite number of times as cheap.
_CENT = 1e-3
# Class of a verdict -> the ladder's terms that its time is in; "inefficiency" for the device's own classes.
_TERMS = {
    "host": ("host_gap",),
    "communication": ("communication",),
    "idle": ("idle_held", "free"),
}
_LAST = 2


class ExclusiveFixesError(ValueError):
    """Fixes were to be combined of which one replaces the other."""


def what_ifs(case: Case) -> tuple[WhatIf, ...]:
    """What each fix would buy here: those of the primary finding first, then by what is saved at the low end.

    Fixes that change neither throughput nor price by 2 % are left out; those of which nothing can be said
    stand last.
    """
    made = [one for one in (_unasked(case, fix) for fix in all_fixes()) if one is not None]
    ranks = _ranks(case)
    return tuple(sorted((one for one in made if _worth_telling(one)), key=lambda one: _order(one, ranks)))


def _unasked(case: Case, fix: Fix) -> WhatIf | None:
    """One fix, where what was seen speaks for it, or one would ask for it and nothing can be said."""
    answer = fix.answer(case)
    if answer is None or answer.if_asked:
        return None
    return _refused(case, (fix,), answer.because) if isinstance(answer, Refused) else _made(case, fix, answer)


def combined(case: Case, fixes: Sequence[Fix]) -> WhatIf:
    """Several fixes together, in any order; one that touches nothing says so and gains nothing.

    Of fixes that answer one finding those count that it speaks of here. Refused as a whole where one is.
    Raises ExclusiveFixesError for fixes that replace each other.
    """
    chosen = _ordered(fixes)
    _refuse_exclusive(chosen)
    answers = _spoken_of([(fix, fix.answer(case)) for fix in chosen])
    chosen = tuple(fix for fix, _ in answers)
    reasons = [f"{fix.slug}: {a.because}" for fix, a in answers if isinstance(a, Refused)]
    if reasons:
        alone = len(chosen) == 1
        return _refused(case, chosen, reasons[0].partition(": ")[2] if alone else "; ".join(reasons))
    drafts = [(fix, a) for fix, a in answers if isinstance(a, Draft)]
    idle = [fix.slug for fix, a in answers if a is None]
    if len(chosen) == 1 and drafts:
        return _made(case, *drafts[0])
    if not drafts and case.unknown:
        return _refused(case, chosen, _TOO_LITTLE)
    titles = {fix.slug: draft.title or fix.title for fix, draft in drafts}
    title = " + ".join(titles.get(fix.slug, fix.title) for fix in chosen)
    return _joined(case, chosen, [draft for _, draft in drafts], idle, title)


def _spoken_of(answers: Sequence[tuple[Fix, Answer]]) -> list[tuple[Fix, Answer]]:
    """Without fixes of which nothing can be said, where another that answers the same finding can be."""

    def instead(fix: Fix) -> bool:
        return any(isinstance(a, Draft) and set(fix.codes) & set(other.codes) for other, a in answers)

    return [(fix, a) for fix, a in answers if isinstance(a, Draft) or not instead(fix)]


def _ordered(fixes: Sequence[Fix]) -> tuple[Fix, ...]:
    wanted = {fix.slug for fix in fixes}
    return tuple(fix for fix in all_fixes() if fix.slug in wanted)


def _refuse_exclusive(fixes: Sequence[Fix]) -> None:
    for i, one in enumerate(fixes):
        other = next((f for f in fixes[:i] if replaces(f, one)), None)
        if other is not None:
            raise ExclusiveFixesError(f"{other.slug} and {one.slug} replace each other: ask for one of them")


def _joined(
    case: Case, fixes: Sequence[Fix], drafts: Sequence[Draft], idle: Sequence[str], title: str
) -> WhatIf:
    watts = next((d for d in drafts if d.watts_high is not None), None)
    whole = Draft(
        levers=tuple(lever for d in drafts for lever in d.levers),
        basis=_weakest([d.basis for d in drafts if d.basis is not None]),
        how="; ".join([*(d.how for d in drafts if d.how), *_untouched(idle, alone=not drafts)]),
        title=title,
        assumes=(
            *dict.fromkeys(a for d in drafts for a in d.assumes),
            *((TOGETHER,) if len(drafts) > 1 else ()),
        ),
        actions=tuple(dict.fromkeys(a for d in drafts for a in d.actions)),
        price_low=_product(d.price_low for d in drafts),
        price_high=_product(d.price_high for d in drafts),
        watts_low=watts.watts_low if watts and len(drafts) == 1 else None,
        watts_high=watts.watts_high if watts and len(drafts) == 1 else None,
        no_work=bool(drafts) and all(d.no_work for d in drafts),
        price_known=all(d.price_known for d in drafts),
    )
    return _worked_out(case, fixes, whole)


def _untouched(slugs: Sequence[str], *, alone: bool) -> list[str]:
    if alone:
        return [_NOTHING.replace("it touches", "they touch") if len(slugs) > 1 else _NOTHING]
    return [f"{slug}: {_NOTHING}" for slug in slugs]


def _weakest(found: Sequence[WhatIfBasis]) -> WhatIfBasis | None:
    return max(found, key=_BASES.index, default=None)


def _basis(case: Case, draft: Draft) -> WhatIfBasis:
    """The weakest of the levers that move time which there is, and of what the draft rests on beside them."""
    used = [lever.basis for lever in draft.levers if case.share(lever.share) > 0.0 and lever.part > 0.0]
    return _weakest([*used, *([draft.basis] if draft.basis else [])]) or "assumption"


def _product(values: Iterable[float]) -> float:
    return math.prod(sorted(values))


def _made(case: Case, fix: Fix, draft: Draft) -> WhatIf:
    return _worked_out(case, (fix,), draft)


def _worked_out(case: Case, fixes: Sequence[Fix], draft: Draft) -> WhatIf:
    then = after(case, draft.levers)
    effect = None if draft.no_work else _effect(case, draft, then)
    cheap, dear = draft.price_low * then.cheap, draft.price_high * then.dear
    price = case.ladder.price_usd_h
    paid = price if draft.price_known else None
    per_mtok = case.serving.usd_per_mtok if case.serving is not None and draft.price_known else None
    return WhatIf(
        fix="+".join(fix.slug for fix in fixes),
        title=draft.title or fixes[0].title,
        key=case.evidence.key,
        gpu=case.evidence.gpu,
        mig=case.evidence.mig,
        codes=_codes(fixes),
        effect=effect,
        basis=_basis(case, draft),
        outlook=None if effect is None else outlook(effect.low, effect.high),
        spend=_spend(cheap, dear) if draft.price_known else None,
        levers=draft.levers,
        price_low=draft.price_low if draft.price_known else None,
        price_high=draft.price_high if draft.price_known else None,
        price_usd_h=price,
        usd_h_low=_times(paid, cheap),
        usd_h_high=_times(paid, dear),
        usd_per_mtok_low=_times(per_mtok, cheap),
        usd_per_mtok_high=_times(per_mtok, dear),
        watts_low=draft.watts_low,
        watts_high=draft.watts_high,
        assumes=draft.assumes,
        actions=draft.actions,
    )


def _spend(cheap: float, dear: float) -> Spend:
    return _SPENDS[outlook(*(1.0 / max(_CENT, cost) for cost in (dear, cheap)))]


def _effect(case: Case, draft: Draft, then: After) -> Effect:
    beside = case.may_overlap and any(lever.share in _DEVICE for lever in draft.levers)
    how = f"{draft.how}; {_BESIDE}" if beside else draft.how
    return Effect(low=then.low, high=then.high, bound=then.bound, basis=how)


def _times(amount: float | None, by: float) -> float | None:
    return None if amount is None else amount * by


def _refused(case: Case, fixes: Sequence[Fix], because: str) -> WhatIf:
    return WhatIf(
        fix="+".join(fix.slug for fix in fixes),
        title=" + ".join(fix.title for fix in fixes),
        key=case.evidence.key,
        gpu=case.evidence.gpu,
        mig=case.evidence.mig,
        codes=_codes(fixes),
        price_usd_h=case.ladder.price_usd_h,
        refused=because,
    )


def _codes(fixes: Sequence[Fix]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(code for fix in fixes for code in fix.codes))


def _worth_telling(one: WhatIf) -> bool:
    """Whether it changes anything: throughput, what is paid, or power; or is refused."""
    if one.refused is not None or one.effect is None or one.watts_low is not None:
        return True
    moved = max(one.effect.high, 1.0 / one.effect.low)
    if one.price_low is None or one.price_high is None:
        return True
    return moved >= _WORTH or min(one.price_low, 1.0 / one.price_high) < 1.0 / _WORTH


def _ranks(case: Case) -> dict[str, int]:
    """Code -> 0 for the finding that names what limits this row, 1 for others of the same time."""
    terms = _TERMS.get(case.verdict.class_, ("inefficiency",))
    ranks = {f.code: 1 for f in case.findings if f.term in terms}
    named = next((f.code for f in case.findings if f.term in terms and f.role == "primary"), None)
    return {**ranks, named: 0} if named is not None else ranks


def _order(one: WhatIf, ranks: Mapping[str, int]) -> tuple[bool, int, bool, float, float, str]:
    """By the finding that it answers, then by cost at the low end of the effect; what has no price last."""
    rank = min((ranks.get(code, _LAST) for code in one.codes), default=_LAST)
    dear, cheap = _costs(one)
    return one.refused is not None, rank, one.price_low is None, dear, cheap, one.fix


def _costs(one: WhatIf) -> tuple[float, float]:
    """Of today's cost, what today's work costs at the lower and at the upper end of the effect."""
    if one.usd_h_low is not None and one.usd_h_high is not None and one.price_usd_h:
        return one.usd_h_high / one.price_usd_h, one.usd_h_low / one.price_usd_h
    high, low = one.price_high or 1.0, one.price_low or 1.0
    return (high, low) if one.effect is None else (high / one.effect.low, low / one.effect.high)
