"""Where a finding and a what-if work out one fix apart from each other, they give one range."""

from __future__ import annotations

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
OWN_SHARE = {"MEM002": ("memory",), "COMP003": ("compute",), "COMP006": ("device",)}
# Rules whose finding and what-if are two calculations. The host gap's what-if repeats its finding, and pinned
# copies, graphs and a doubled batch are one function for both.
INDEPENDENT = (
    *("COMM001", "COMP003", "COMP005", "COMP006", "DEV002", "DEV003", "DEV015"),
    *("MEM001", "MEM002", "MEM004"),
)
# What is said of a program that serves requests alone.
OF_SERVERS = {"MEM002"}


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
    if code in OF_SERVERS:
        ctx = msgspec.structs.replace(ctx, evidence=msgspec.structs.replace(ctx.evidence, server="vllm"))
    finding = get_rule(code)(ctx)
    if finding is None or finding.effect is None:
        return None
    answer = next(fix for fix in all_fixes() if code in fix.codes).work(case_with(ctx, finding))
    return (finding, answer) if isinstance(answer, Draft) else None


@pytest.mark.parametrize("code", INDEPENDENT)
def test_one_range_for_one_fix(code: str) -> None:
    said = both(code)
    assert said is not None
    finding, draft = said
    own = [lever for lever in draft.levers if lever.share in OWN_SHARE.get(code, (lever.share,))]
    shares = {lever.share: SIGNATURES[code].verdict.shares[lever.share] for lever in draft.levers}
    assert finding.effect is not None
    assert factor(shares, own, "low") == pytest.approx(finding.effect.low, rel=1e-6)
    assert factor(shares, own, "high") == pytest.approx(finding.effect.high, rel=1e-6)


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
