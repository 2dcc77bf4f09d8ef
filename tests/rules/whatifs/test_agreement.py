"""Where a finding and a what-if speak of one fix, they give one range: the finding of its own share."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from rules.finding import Finding
from rules.registry import Context, all_rules, get_rule
from rules.whatifs.case import Case, without_windows
from rules.whatifs.compose import factor
from rules.whatifs.registry import Draft, all_fixes
from tests.rules.catalogue import test_catalogue

SIGNATURES = test_catalogue.SIGNATURES

# Rule -> the share that its finding is about, where its what-if touches others too.
OWN_SHARE = {"COMP005": ("compute",), "MEM001": ("memory",), "COMP003": ("compute",), "COMP006": ("device",)}
# Findings that speak of a part of what the what-if does, or of something beside it.
APART = {
    "COMP002": "of fp64 on tensor cores, or none",
}


def case_with(ctx: Context, finding: Finding) -> Case:
    found = [f for f in (rule(ctx) for rule in all_rules()) if f is not None]
    return Case(
        evidence=without_windows(ctx.evidence),
        verdict=ctx.verdict,
        ladder=ctx.ladder,
        price=ctx.price,
        ceilings=ctx.ceilings,
        findings=(finding, *(f for f in found if f.code != finding.code)),
    )


def both(code: str) -> tuple[Finding, Draft] | None:
    """The finding with a range on its signature, and the what-if's draft; None where either is silent."""
    ctx = SIGNATURES[code]
    finding = get_rule(code)(ctx)
    if finding is None or finding.effect is None:
        return None
    answer = next(fix for fix in all_fixes() if code in fix.codes).work(case_with(ctx, finding))
    return (finding, answer) if isinstance(answer, Draft) else None


def pairs() -> Iterator[str]:
    codes = {code for fix in all_fixes() for code in fix.codes}
    yield from (code for code in sorted(codes & set(SIGNATURES) - set(APART)) if both(code))


@pytest.mark.parametrize("code", pairs())
def test_one_range_for_one_fix(code: str) -> None:
    said = both(code)
    assert said is not None
    finding, draft = said
    levers = [lever for lever in draft.levers if lever.share in OWN_SHARE.get(code, (lever.share,))]
    shares = {lever.share: SIGNATURES[code].verdict.shares[lever.share] for lever in levers}
    assert finding.effect is not None
    assert factor(shares, levers, "low") == pytest.approx(finding.effect.low, rel=1e-6)
    assert factor(shares, levers, "high") == pytest.approx(finding.effect.high, rel=1e-6)


def test_most_findings_with_a_range_have_a_what_if() -> None:
    assert len(list(pairs())) >= 20


def test_codes_are_of_rules_that_exist() -> None:
    known = {rule.code for rule in all_rules()}
    expected = {code for fix in all_fixes() for code in fix.codes} - known
    assert not expected


def test_a_case_keeps_no_windows() -> None:
    ctx = SIGNATURES["HOST003"]
    kept = without_windows(ctx.evidence)
    assert kept.windows == ()
    assert kept.host.stacks is None
    assert msgspec.structs.replace(kept, windows=ctx.evidence.windows, host=ctx.evidence.host) == ctx.evidence
