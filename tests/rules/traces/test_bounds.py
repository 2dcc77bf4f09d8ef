"""No rule of traces claims more than there is: shares, dollars, effects against ladder and bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import Phase, given, settings

from rules.economics import saved
from rules.recover import recoverable
from rules.registry import Context, run_rules
from rules.roles import apart
from rules.whatifs.answers import what_ifs
from rules.whatifs.case import Case
from tests.rules.traces.scenes import scenes

_EXACT = 1e-9
_FIRE = [f"TRACE{number:03}" for number in (*range(2, 5), *range(8, 18), 22, 23)]


def test_no_finding_wins_back_more_than_its_term_has() -> None:
    """And each of these rules fires among them: else the bounds would hold of nothing."""
    seen: set[str] = set()

    @settings(max_examples=300, deadline=None, derandomize=True, phases=[Phase.generate], database=None)
    @given(scenes())
    def bounded(ctx: Context) -> None:
        seen.update(found.code for found in run_rules(ctx))
        _bounded(ctx)

    bounded()
    assert set(_FIRE) <= seen


def _bounded(ctx: Context) -> None:
    ladder = ctx.ladder
    assert math.fsum(ladder.shares.values()) == pytest.approx(1.0, abs=1e-9)
    assert min(ladder.shares.values()) >= -_EXACT
    trace = ctx.evidence.trace
    busy = 0.0 if trace is None else trace.busy_us / trace.span_us
    wasted = 1.0 - ladder.shares["useful"] - ladder.shares["unknown"]
    for found in run_rules(ctx):
        stake = wasted if found.term is None else ladder.shares[found.term]
        assert found.recoverable is not None
        assert found.recoverable <= stake + _EXACT, found.code
        assert (found.usd_h or 0.0) <= stake * (ladder.price_usd_h or 0.0) + _EXACT, found.code
        room = max(busy, stake) if found.term == "inefficiency" else stake
        assert found.term is None or found.share <= room + _EXACT, found.code
        if found.effect is None:
            assert found.recoverable == 0.0 or found.term == "unknown", found.code
            continue
        assert 1.0 - _EXACT <= found.effect.low <= found.effect.high + _EXACT, found.code
        assert found.effect.high <= (found.effect.bound or math.inf) + _EXACT, found.code
        assert saved(found.effect) <= 1.0


@settings(max_examples=60, deadline=None)
@given(scenes())
def test_what_is_recoverable_lies_within_its_term_and_roles_are_one_each(ctx: Context) -> None:
    found = run_rules(ctx)
    for entry in recoverable(ctx.ladder, found):
        share = ctx.ladder.shares[entry.term]
        assert -_EXACT <= entry.share_low <= entry.share_high <= share + _EXACT
    terms = [f.term for f in found if f.term and f.role == "primary"]
    assert len(terms) == len(set(terms))
    codes = [f.code for f in found]
    assert all(apart(a, b) is None for i, a in enumerate(codes) for b in codes[:i])


@settings(max_examples=40, deadline=None)
@given(scenes())
def test_no_what_if_saves_more_than_all_time_it_touches(ctx: Context) -> None:
    case = Case(
        evidence=ctx.evidence, verdict=ctx.verdict, ladder=ctx.ladder, price=ctx.price,
        ceilings=ctx.ceilings, findings=run_rules(ctx),
    )  # fmt: skip
    for one in what_ifs(case):
        if one.effect is None:
            continue
        touched = math.fsum(ctx.verdict.shares[share] for share in {lever.share for lever in one.levers})
        assert saved(one.effect) <= touched + _EXACT, one.fix
        assert one.effect.high <= (one.effect.bound or math.inf) + _EXACT, one.fix
