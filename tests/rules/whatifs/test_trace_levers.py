"""What-ifs of traced devices: measured parts, seconds, and that causes told apart add up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rules.recover import recoverable
from rules.registry import Context, run_rules
from rules.traces.kernel_records import ChainFigures
from rules.whatif import Lever
from rules.whatifs import trace_levers as levers
from rules.whatifs.answers import combined, what_ifs
from rules.whatifs.case import Case
from rules.whatifs.compose import factor
from rules.whatifs.registry import all_fixes, named
from tests.rules.catalogue import traces
from tests.rules.traces.made import CEILINGS, make_context, make_family, make_trace


def case_of(ctx: Context) -> Case:
    return Case(
        evidence=ctx.evidence, verdict=ctx.verdict, ladder=ctx.ladder, price=ctx.price,
        ceilings=ctx.ceilings, findings=run_rules(ctx),
    )  # fmt: skip


def fix_of(ctx: Context, slug: str) -> Any:
    return combined(case_of(ctx), named(slug))


def test_all_of_the_idle_time_for_data_is_the_bound() -> None:
    found = fix_of(traces.SIGNATURES["TRACE001"], "input-pipeline")
    assert (found.effect.low, found.effect.high) == pytest.approx((1 / 0.8, 1 / 0.6))
    assert "saves 200 ms to 400 ms of 1 s traced" in found.effect.basis
    assert found.usd_h_low == pytest.approx(6.0)


def test_graphs_save_what_the_chains_measured() -> None:
    found = fix_of(traces.SIGNATURES["TRACE002"], "cuda-graphs")
    assert (found.effect.low, found.effect.high) == pytest.approx((1 / 0.8, 1 / 0.7))
    assert found.basis == "measured"


def test_graphs_claim_less_where_the_profiler_slowed_launches() -> None:
    chains = ChainFigures(
        chains=1, kernels=9, of=9, median_length=9, kernel_us=1e5, gap_us=3e5, saved_low_us=2e5,
        saved_high_us=3e5, saved_low_by={"host_launch": 2e5}, saved_high_by={"host_launch": 3e5},
    )  # fmt: skip
    trace = make_trace({"host_launch": 0.4}, chains=chains, perturbed=("with_stack",))
    plan = levers.graphs(trace, make_context(trace).verdict.shares)
    assert plan is not None
    assert plan.effect({"host": 0.4}).low == pytest.approx(1 / 0.82)
    assert "less 10 %" in plan.how


def chains_of(low: dict[str, float], high: dict[str, float]) -> ChainFigures:
    return msgspec.structs.replace(
        traces.CHAINS,
        saved_low_us=sum(low.values()), saved_high_us=sum(high.values()),
        saved_low_by=low, saved_high_by=high,
    )  # fmt: skip


def test_what_chains_save_counts_under_the_cause_of_each_gap() -> None:
    """Gaps between queued kernels inside chains, late launches outside: graphs win no launch back."""
    chains = chains_of({"kernel_gap": 1e5}, {"kernel_gap": 2e5})
    ctx = make_context(make_trace({"host_launch": 0.2, "kernel_gap": 0.2}, chains=chains))
    assert ctx.evidence.trace is not None
    plan = levers.graphs(ctx.evidence.trace, ctx.verdict.shares)
    assert plan is not None
    assert [(lever.share, lever.of) for lever in plan.levers] == [("device", "kernel_gap")]
    late = next(f for f in run_rules(ctx) if f.code == "TRACE002")
    assert late.effect is not None
    assert late.effect.low == pytest.approx(1.0)
    (gap,) = [e for e in recoverable(ctx.ladder, run_rules(ctx)) if e.term == "host_gap"]
    assert (gap.share_low, gap.share_high) == pytest.approx((0.0, 0.2))


def test_both_causes_of_chains_are_saved_each_once() -> None:
    chains = chains_of({"host_launch": 5e4, "kernel_gap": 1e5}, {"host_launch": 1e5, "kernel_gap": 2e5})
    ctx = make_context(make_trace({"host_launch": 0.1, "kernel_gap": 0.2}, chains=chains))
    found = fix_of(ctx, "cuda-graphs")
    assert (found.effect.low, found.effect.high) == pytest.approx((1 / 0.85, 1 / 0.7))
    late = next(f for f in run_rules(ctx) if f.code == "TRACE002")
    assert late.effect is not None
    assert (late.effect.low, late.effect.high) == pytest.approx((1 / 0.95, 1 / 0.9))


def test_where_chains_were_measured_to_save_nothing_graphs_are_no_fix() -> None:
    ctx = make_context(make_trace({"host_launch": 0.5}, chains=chains_of({}, {})))
    assert ctx.evidence.trace is not None
    assert levers.graphs(ctx.evidence.trace, ctx.verdict.shares) is None
    late = next(f for f in run_rules(ctx) if f.code == "TRACE002")
    assert "would save nothing" in late.actions[0]
    assert late.effect is not None
    assert late.effect.low == pytest.approx(1.0)


def test_causes_that_a_trace_tells_apart_add_up() -> None:
    loader = Lever(share="host", of="data_loading", part=0.5, low=2.0, high=None)
    graphs = Lever(share="host", of="host_launch", part=0.5, low=2.0, high=None)
    assert factor({"host": 0.4}, (loader, graphs), "high") == pytest.approx(1 / 0.6)
    assert factor({"host": 0.4}, (loader, graphs), "low") == pytest.approx(1 / 0.8)


def test_one_cause_is_never_saved_twice() -> None:
    lever = Lever(share="host", of="host_launch", part=1.0, low=2.0, high=4.0)
    assert factor({"host": 0.4}, (lever, lever), "low") == pytest.approx(1 / 0.8)
    assert factor({"host": 0.4}, (lever, lever), "high") == pytest.approx(1 / (0.6 + 0.4 / 16))


def test_several_fixes_of_a_trace_compose() -> None:
    ctx = make_context(make_trace({"host_launch": 0.3, "data_loading": 0.3}, chains=traces.CHAINS))
    both = combined(case_of(ctx), (*named("input-pipeline"), *named("cuda-graphs")))
    assert both.effect is not None
    assert both.effect.high == pytest.approx(1 / 0.4)


def test_products_by_the_ratio_of_rates() -> None:
    found = fix_of(traces.SIGNATURES["TRACE010"], "tf32")
    assert found.effect.high == pytest.approx(1 / (0.5 + 0.5 / 8))
    volta = msgspec.structs.replace(
        CEILINGS, ceilings=tuple(c for c in CEILINGS.ceilings if c.metric == "fp32")
    )
    trace = make_trace(families=(make_family(0.5, tensor="eligible"),))
    assert fix_of(make_context(trace, ceilings=volta), "tf32").effect.high == pytest.approx(1.0)


@pytest.mark.parametrize("code", sorted(code for code in traces.SIGNATURES if code < "TRACE012"))
def test_finding_and_what_if_give_one_range(code: str) -> None:
    ctx = traces.SIGNATURES[code]
    finding = next(f for f in run_rules(ctx) if f.code == code)
    fix = next(fix for fix in all_fixes() if code in fix.codes and fix.slug != "host-gap")
    found = fix_of(ctx, fix.slug)
    assert finding.effect is not None
    assert found.effect is not None
    assert (found.effect.low, found.effect.high) == pytest.approx((finding.effect.low, finding.effect.high))


def test_what_a_trace_does_not_tell_is_said_to_whoever_asks() -> None:
    ctx = traces.SIGNATURES["TRACE001"]
    assert {one.fix for one in what_ifs(case_of(ctx))} == {"input-pipeline"}
    assert "a trace does not say" in fix_of(ctx, "power-cap").refused


def test_without_a_trace_its_fixes_refer_to_one() -> None:
    from tests.rules import contexts

    live = contexts.make_context(class_="host", host=0.4)
    assert "advisor trace" in str(fix_of(live, "fewer-syncs").refused)
