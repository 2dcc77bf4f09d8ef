"""Which findings came, which went and which stayed, of two lists."""

from __future__ import annotations

from collections.abc import Iterable

from rules.compare.records import FindingChange
from rules.finding import Finding


def finding_changes(
    before: Iterable[Finding], after: Iterable[Finding], device: str = ""
) -> list[FindingChange]:
    """One change a code; of several findings of one code the first counts. device: as in FindingChange."""
    left, right = ({f.code: f for f in reversed(tuple(side))} for side in (before, after))
    codes = dict.fromkeys((*left, *right))
    return [_change(left.get(code), right.get(code), device) for code in codes]


def by_size(change: FindingChange) -> tuple[float, str, str]:
    """Order within those that came, went or stayed: the largest share first."""
    return -max(change.share_a or 0.0, change.share_b or 0.0), change.code, change.device


def _change(a: Finding | None, b: Finding | None, device: str) -> FindingChange:
    one = b or a
    assert one is not None  # noqa: S101
    return FindingChange(
        code=one.code,
        title=one.title,
        state="came" if a is None else "went" if b is None else "stayed",
        severity=one.severity,
        share_a=None if a is None else a.share,
        share_b=None if b is None else b.share,
        usd_h_a=None if a is None else a.usd_h,
        usd_h_b=None if b is None else b.usd_h,
        device=device,
    )
