"""What-ifs: what a fix would buy, as a bound, a range and its basis. They can say "slower" or "no gain"."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.finding import Effect

# What a range rests on, from the strongest: ratios measured on this very card; figures that were published
# for such a workload; or an assumption that is stated. The weakest of its levers counts, and of a lever the
# weaker of its ends; an end that is no gain, or the bound itself, claims nothing and needs no basis.
WhatIfBasis = Literal["measured", "anchor", "assumption"]
# Of throughput. faster: the whole range is above 1; slower: below; no-gain: 1 within 2 %; uncertain: 1 lies
# inside.
Outlook = Literal["faster", "no-gain", "slower", "uncertain"]
# Of what today's work costs afterwards, by the same rule.
Spend = Literal["cheaper", "same", "dearer", "uncertain"]


class Lever(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a fix does to one share of the time: it runs `low` to `high` times as fast (under 1: slower).

    share: a key of rules.verdict.SHARES. part: how much of that share it touches, 0 to 1. of: what in the
    share that is, such as "weights"; "" is all of it. basis: what its factors rest on. bound: what no fix of
    this kind exceeds. A factor of infinity is written as None: that time falls away.
    """

    share: str
    part: float = 1.0
    of: str = ""
    basis: WhatIfBasis = "assumption"
    low: float | None = 1.0
    high: float | None = 1.0
    bound: float | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fix on one GPU or MIG instance.

    fix: a stable slug such as "host-gap", "cuda-graphs", "pin-memory", "fp8", "tf32", "batch", "smaller-gpu",
    "replicas", "power-cap", or several joined by "+". codes: rules whose findings it answers. effect:
    throughput factors of one card (1.4 = 40 % more work an hour); None where it is refused, and where no work
    ran that could be faster. outlook: of the effect, None without one. spend: of what today's work costs
    afterwards, in a word. levers: what it does to which share; fixes compose by these, never by adding
    percentages. price_low, price_high: what is paid an hour afterwards, as a multiple of today's; 1 unless
    the fix changes what is rented, None where no price of the other card goes with today's. usd_h_low,
    usd_h_high: what today's work would cost an hour afterwards (at the upper and at the lower end of the
    effect), None without a price. usd_per_mtok_low, usd_per_mtok_high: the same per million tokens, where an
    engine's tokens are known. watts_low, watts_high: power afterwards, where it changes. assumes: every
    condition under which the range holds. refused: why nothing can be said, else None.
    """

    fix: str
    title: str
    key: str
    gpu: int
    mig: str | None = None
    codes: tuple[str, ...] = ()
    effect: Effect | None = None
    basis: WhatIfBasis = "assumption"
    outlook: Outlook | None = None
    spend: Spend | None = None
    levers: tuple[Lever, ...] = ()
    price_low: float | None = 1.0
    price_high: float | None = 1.0
    price_usd_h: float | None = None
    usd_h_low: float | None = None
    usd_h_high: float | None = None
    usd_per_mtok_low: float | None = None
    usd_per_mtok_high: float | None = None
    watts_low: float | None = None
    watts_high: float | None = None
    assumes: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    refused: str | None = None
