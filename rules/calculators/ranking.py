"""GPUs by memory bandwidth for a dollar: what decode at a small batch buys."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rules.calculators.calculation import Calculation, CalculationError, Input, Part, plain

TITLE = "Memory bandwidth for a dollar"
FORMULA = "bandwidth_gb_s / price_usd_h"


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model as somebody rents it out."""

    model: str
    bandwidth_gb_s: Input
    price_usd_h: Input

    @property
    def gb_s_per_usd_h(self) -> float:
        """GB/s for each dollar an hour."""
        return self.bandwidth_gb_s.value / self.price_usd_h.value


def ranking(offers: Sequence[Offer]) -> Calculation:
    """Every offer, the most bandwidth for a dollar first; the first is the result."""
    if not offers:
        raise CalculationError("nobody of that name has a price in the bundled table", "see `advisor prices`")
    order = sorted(offers, key=lambda offer: -offer.gb_s_per_usd_h)
    best, *others = [_part(offer) for offer in order]
    return Calculation(
        calculator="rightsize",
        title=TITLE,
        name=best.name,
        meaning=best.meaning,
        formula=best.formula,
        worked=best.worked,
        value=best.value,
        unit=best.unit,
        inputs=tuple(given for offer in order for given in (offer.bandwidth_gb_s, offer.price_usd_h)),
        parts=tuple(others),
        notes=(
            "Data-sheet bandwidth; says nothing of compute, of memory size, or of what an engine reaches.",
        ),
    )


def _part(offer: Offer) -> Part:
    bandwidth, price = plain(offer.bandwidth_gb_s.value), plain(offer.price_usd_h.value)
    return Part(
        name=offer.model,
        meaning="",
        formula=FORMULA,
        worked=f"{bandwidth} / {price}",
        value=offer.gb_s_per_usd_h,
        unit="GB/s per $/h",
    )
