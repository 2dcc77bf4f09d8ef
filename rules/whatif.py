"""What-ifs: what a fix would buy, as a bound, a range and its basis. They can say "slower" or "no gain"."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.finding import Effect

# What a range rests on, the best of what it is made of: ratios measured on this very card; figures somebody
# published for such a workload; or nothing better than an assumption that is stated. Of several fixes
# together it is the weakest.
WhatIfBasis = Literal["measured", "anchor", "assumption"]
# faster: the whole range is above 1; slower: below; no-gain: 1 within 2 %; uncertain: 1 lies inside.
Outlook = Literal["faster", "no-gain", "slower", "uncertain"]


class Lever(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a fix does to one share of the time: it runs `low` to `high` times as fast (under 1: slower).

    share: a key of rules.verdict.SHARES. part: how much of that share it touches, 0 to 1. bound: what no fix
    of this kind exceeds. A factor of infinity is written as None: that time falls away.
    """

    share: str
    part: float = 1.0
    low: float | None = 1.0
    high: float | None = 1.0
    bound: float | None = None


class WhatIf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fix on one GPU or MIG instance.

    fix: a stable slug such as "host-gap", "cuda-graphs", "pin-memory", "fp8", "tf32", "batch", "smaller-gpu",
    "replicas", "power-cap", or several joined by "+". codes: rules whose findings it answers. effect:
    throughput factors of one card (1.4 = 40 % more work an hour); None where it is refused, and where no work
    ran that could be faster. levers: what it does to which share; fixes compose by these, never by adding
    percentages. price_low, price_high: what is paid an hour afterwards, as a multiple of today's; 1 unless
    the fix changes what is rented. usd_h_low, usd_h_high: what today's work would cost an hour afterwards (at
    the upper and at the lower end of the effect), None without a price. usd_per_mtok_low, usd_per_mtok_high:
    the same per million tokens, where an engine's tokens are known. watts_low, watts_high: power afterwards,
    where it changes. assumes: every condition under which the range holds. refused: why nothing can be said,
    else None.
    """

    fix: str
    title: str
    key: str
    gpu: int
    mig: str | None = None
    codes: tuple[str, ...] = ()
    effect: Effect | None = None
    basis: WhatIfBasis = "assumption"
    outlook: Outlook = "uncertain"
    levers: tuple[Lever, ...] = ()
    price_low: float = 1.0
    price_high: float = 1.0
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
