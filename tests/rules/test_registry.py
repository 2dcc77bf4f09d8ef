"""The registry: pages complete, codes stable, findings never surer than what they rest on."""

from __future__ import annotations

import math
import re
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.ceilings import Ceilings
from rules.evidence import Device, Evidence, HostEvidence, SubWindow, Workload
from rules.finding import TERMS, Finding, LadderRow, Price
from rules.registry import (
    SECTIONS,
    Context,
    Rule,
    UnknownRuleError,
    all_rules,
    coverage,
    get_rule,
    page,
    references,
    rule,
    run_rules,
    sections,
    severity_of,
)
from rules.roofs import PIPES
from rules.verdict import SHARES, Class, Verdict
from tests.rules.contexts import CEILINGS, PRICE, make_context, make_evidence

CODES = [r.code for r in all_rules()]


@pytest.mark.parametrize("code", CODES)
def test_every_rule_has_a_complete_page(code: str) -> None:
    parts = sections(get_rule(code))
    assert tuple(name for name in parts if name) == SECTIONS
    assert all(parts.values()), f"{code} has an empty section"
    assert references(get_rule(code)), f"{code} names no source"


@pytest.mark.parametrize("code", CODES)
def test_a_page_names_only_codes_that_exist(code: str) -> None:
    assert set(re.findall(r"\b[A-Z]{2,5}\d{3}\b", page(code))) <= set(CODES)


def test_codes_are_sorted_unique_and_well_formed() -> None:
    assert sorted(set(CODES)) == CODES
    assert all(re.fullmatch(r"[A-Z]{2,5}\d{3}", code) for code in CODES)
    assert len(CODES) >= 12


def test_pages_start_with_code_and_title_and_are_found_in_any_case() -> None:
    assert page("host003").startswith("# HOST003 Input pipeline cannot keep up\n")
    assert "**What to do**" in page(" HOST003 ")


def test_an_unknown_code_is_told_its_neighbours() -> None:
    with pytest.raises(UnknownRuleError, match="HOST003"):
        page("HOST33")
    with pytest.raises(UnknownRuleError, match="advisor rules"):
        get_rule("!")


def test_a_code_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="HOST003"):
        rule("HOST003", "again", "low", "job")(lambda _: None)


@pytest.mark.parametrize(
    ("share", "worst", "expected"),
    [
        (0.5, "high", "high"),
        (0.5, "medium", "medium"),
        (0.2, "high", "medium"),
        (0.06, "high", "low"),
        (0, "high", "info"),
    ],
)
def test_severity_falls_with_the_share_and_never_passes_the_rules_own(
    share: float, worst: Any, expected: str
) -> None:
    assert severity_of(share, worst) == expected


def test_dollars_are_the_share_times_the_price_of_this_slice() -> None:
    evidence = make_evidence(price_share=0.25)
    (found,) = run_rules(make_context(evidence, class_="idle", idle_held=0.6))
    assert found.code == "IDLE002"
    assert found.usd_h == pytest.approx(10.0 * 0.25 * 0.6)


def test_without_a_price_there_are_no_dollars() -> None:
    nothing = Price(usd_h=None, basis="none", source="")
    (found,) = run_rules(make_context(class_="idle", idle_held=0.6, price=nothing))
    assert found.usd_h is None


def test_why_and_references_come_from_the_page() -> None:
    (found,) = run_rules(make_context(class_="idle", free=1.0))
    assert found.why.startswith("A free GPU costs as much per hour")
    assert found.references == references(get_rule("IDLE001"))


def test_coverage_is_what_was_seen_of_the_window() -> None:
    assert coverage(make_evidence(gap_s=2.5)) == 0.75
    assert coverage(make_evidence(windows=())) == 0.0
    assert coverage(make_evidence({"lost": True})) == 0.0
    assert coverage(make_evidence(t_end_s=0.0)) == 0.0


# --- properties: whatever the evidence, no rule raises, and none is surer than it may be ------------

numbers = st.one_of(
    st.floats(0, 1), st.floats(0, 1e12), st.floats(allow_nan=True, allow_infinity=True), st.just(0.0)
)
counts = st.integers(-1, 1 << 40)


def optional_fields(struct: type[msgspec.Struct], skip: set[str]) -> dict[str, st.SearchStrategy[Any]]:
    """A strategy for every optional number of a record."""
    found: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(struct):
        kinds = get_args(field.type)
        if field.name in skip or type(None) not in kinds:
            continue
        if float in kinds:
            found[field.name] = st.none() | numbers
        elif int in kinds:
            found[field.name] = st.none() | counts
        elif bool in kinds:
            found[field.name] = st.none() | st.booleans()
    return found


windows = st.builds(
    SubWindow, t_s=numbers, duration_s=numbers, lost=st.booleans(), **optional_fields(SubWindow, set())
)
reasons = st.sampled_from(["sw_power_cap", "sw_thermal", "hw_slowdown", "idle", "?"])
evidences = st.builds(
    Evidence,
    key=st.just("GPU-0"),
    gpu=st.integers(0, 15),
    device=st.builds(Device, name=st.text(max_size=20), **optional_fields(Device, set())),
    tier=st.sampled_from(["counters", "nvml", "trace"]),
    t_start_s=numbers,
    t_end_s=numbers,
    price_share=numbers,
    gap_s=numbers,
    lost_reason=st.none() | st.text(max_size=20),
    workload=st.none()
    | st.builds(Workload, pid=counts, name=st.text(max_size=90), user=st.none() | st.text(max_size=9)),
    windows=st.lists(windows, max_size=6).map(tuple),
    host=st.builds(HostEvidence, **optional_fields(HostEvidence, set())),
    throttle_frac=st.dictionaries(reasons, numbers, max_size=3),
    **optional_fields(Evidence, {"mig", "lost_reason", "workload"}),
)


def normalised(values: list[float], names: tuple[str, ...]) -> dict[str, float]:
    whole = sum(values)
    if whole <= 0:
        return dict.fromkeys(names, 0.0) | {"unknown": 1.0}
    return {name: value / whole for name, value in zip(names, values, strict=True)}


def share_maps(names: tuple[str, ...]) -> st.SearchStrategy[dict[str, float]]:
    return st.lists(st.floats(0, 1), min_size=len(names), max_size=len(names)).map(
        lambda values: normalised(values, names)
    )


fractions = st.none() | st.floats(0, 1)
verdicts = st.builds(
    Verdict,
    key=st.just("GPU-0"),
    gpu=st.just(0),
    mig=st.none(),
    device_name=st.just(""),
    workload=st.none(),
    class_=st.sampled_from(get_args(Class)),
    cause=st.just(""),
    confidence=st.floats(0, 1),
    tier=st.just("counters"),
    shares=share_maps(SHARES),
    dram_roof_frac=fractions,
    pipe_roof_frac=fractions,
    pipe=st.none() | st.sampled_from(sorted(PIPES)),
)
ladders = st.builds(
    LadderRow,
    key=st.just("GPU-0"),
    gpu=st.just(0),
    mig=st.none(),
    price_usd_h=st.none(),
    basis=st.just("none"),
    price_source=st.just(""),
    shares=share_maps(TERMS),
)
prices = st.sampled_from([PRICE, Price(usd_h=None, basis="none", source="")])
ceilings: st.SearchStrategy[Ceilings | None] = st.sampled_from([None, CEILINGS])


@settings(max_examples=300, deadline=None)
@given(
    st.builds(Context, evidence=evidences, verdict=verdicts, ladder=ladders, ceilings=ceilings, price=prices)
)
def test_no_evidence_makes_a_rule_raise_or_claim_too_much(ctx: Context) -> None:
    for found in run_rules(ctx):
        check(ctx, get_rule(found.code), found)


plausible = st.sampled_from([None, 0.0, 0.03, 0.3, 0.5, 0.92, 1.0, 4.0, 900.0])
waiting_hosts = st.builds(
    HostEvidence,
    **{
        name: plausible
        for name in optional_fields(HostEvidence, set())
        if not name.startswith(("cpus", "child"))
    },
    children=st.none() | st.integers(0, 64),
    children_busy=st.none() | st.integers(0, 64),
    children_cpu_frac=plausible,
    cpus_allowed=st.none() | st.integers(0, 512),
)
waiting = st.builds(
    make_context,
    st.builds(
        make_evidence,
        st.fixed_dictionaries(
            {
                "gr_active": st.floats(0, 1),
                "sm_active": fractions,
                "pcie_rx_bytes_s": st.none() | st.floats(0, 6e10),
            }
        ),
        device=st.fixed_dictionaries(
            {"pcie_gen": st.integers(1, 6), "pcie_width": st.sampled_from([4, 8, 16])}
        ),
    ).flatmap(lambda e: waiting_hosts.map(lambda host: msgspec.structs.replace(e, host=host))),
    host=st.floats(0.1, 1.0),
)


# What lengthens a gap beside its cause, and facts of the node.
NEVER_ALONE = ("HOST006", "HOST007", "HOST020", "HOST021", "HOST022", "HOST024")


@settings(max_examples=300, deadline=None)
@given(waiting)
def test_a_host_gap_has_one_leading_cause_and_no_rule_claims_too_much(ctx: Context) -> None:
    found = run_rules(ctx)
    for each in found:
        check(ctx, get_rule(each.code), each)
    leading = [f for f in found if f.code.startswith("HOST") and f.code not in NEVER_ALONE]
    assert len(leading) <= 1
    if ctx.verdict.shares["host"] >= 0.15:
        assert any(f.code.startswith("HOST") for f in found)


def check(ctx: Context, made_by: Rule, found: Finding) -> None:
    assert 0.0 <= found.share <= 1.0
    assert 0.0 <= found.confidence <= 1.0
    if made_by.basis == "verdict":
        assert found.confidence <= ctx.verdict.confidence
    if made_by.basis == "window":
        assert found.confidence <= coverage(ctx.evidence)
    assert (found.usd_h is None) == (ctx.price.usd_h is None)
    assert found.usd_h is None or 0.0 <= found.usd_h <= 10.0
    assert found.claim.endswith(".")
    assert found.actions
    assert found.evidence
    if found.effect is not None:
        assert 0.0 < found.effect.low <= found.effect.high < math.inf
        assert found.effect.bound is None or found.effect.high <= found.effect.bound + 1e-9
        assert found.effect.basis
    assert msgspec.json.decode(msgspec.json.encode(found), type=Finding).code == found.code


def test_evidence_of_nothing_gives_no_finding() -> None:
    empty = Evidence(key="GPU-0", gpu=0, device=Device(name=""), tier="nvml", t_start_s=0.0, t_end_s=0.0)
    assert run_rules(make_context(empty, class_="unknown", unknown=1.0, ceilings=None)) == ()
