"""How far ceilings are trusted: labels, staleness, clocks, and live work that goes beyond them."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import Ceiling, Ceilings, Label, Reading
from rules.calibration import IDENTITY, TABLES
from rules.classify import CLOCK_REASONS, FAULT_REASONS, SET_REASONS, limits_of, split
from rules.confidence import cap
from rules.decide import decide
from rules.engine import Subject, diagnose
from rules.evidence import Device
from rules.finding import Price
from rules.split import total
from rules.trust import exceeded, label_of, rate_label, trusted, words
from tests.rules.loads import CEILINGS, Load, evidence, series, window

replace = msgspec.structs.replace
STALE = replace(CEILINGS, measured_s=1.0, stale="measured under driver 570, now it is 580")
MEMORY: Load = {"dram_active": 0.8}
COMPUTE: Load = {"tensor_active": 0.75}
CAPPED: Load = {**COMPUTE, "sm_mhz": 1500.0, "throttle_reasons": ("sw_power_cap",)}


def relabelled(counter: str, label: Label) -> Ceilings:
    """The planted ceilings with one reading that came about in another way."""
    readings = (replace(r, label=label) if r.counter == counter else r for r in CEILINGS.readings)
    return replace(CEILINGS, readings=tuple(readings))


def sources(load: Load, ceilings: Ceilings) -> dict[str, str]:
    """Where the roof fractions of a verdict were read, by metric."""
    verdict = decide(evidence(series((50, load))), ceilings)
    return {item.metric: item.source for item in verdict.evidence if "roof" in item.metric}


def test_stale_measurements_count_as_typical_ones_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "counters", IDENTITY)
    fresh, stale = (decide(evidence(series((200, MEMORY))), c).confidence for c in (CEILINGS, STALE))
    assert fresh == pytest.approx(cap("memory", "counters", "measured"), abs=0.02)
    assert stale <= cap("memory", "counters", "typical") < fresh
    assumed = relabelled("dram_active", "assumed")
    assert trusted(replace(assumed, stale="old"), "memory", None) == "assumed"


@pytest.mark.parametrize(
    ("class_", "counter", "label"),
    [
        ("memory", "dram_active", "assumed"),
        ("memory", "tensor_active", "measured"),
        ("compute", "tensor_active", "assumed"),
        ("compute", "dram_active", "measured"),
        ("device", "tensor_active", "assumed"),
        ("device", "dram_active", "assumed"),
    ],
)
def test_a_verdict_is_as_sure_as_the_readings_it_rests_on(class_: Any, counter: str, label: str) -> None:
    assert trusted(relabelled(counter, "assumed"), class_, "tensor_active") == label


def test_without_ceilings_nothing_is_trusted() -> None:
    assert trusted(None, "memory", None) is None
    assert (label_of(None), words(None)) == (None, "no ceiling")


def test_evidence_names_the_label_of_the_very_reading() -> None:
    found = sources(MEMORY, relabelled("dram_active", "assumed"))
    assert found["DRAM roof fraction while busy"].endswith("assumed ceiling")
    assert found["tensor cores roof fraction while busy"].endswith("measured ceiling")
    assert sources(MEMORY, STALE)["DRAM roof fraction while busy"].endswith("stale ceiling")


def test_findings_name_the_label_too() -> None:
    price = Price(usd_h=4.0, basis="user", source="--price")
    for load, ceilings, code, said in (
        (MEMORY, CEILINGS, "MEM002", "measured ceiling"),
        (MEMORY, STALE, "MEM002", "stale ceiling"),
        (COMPUTE, STALE, "COMP001", "stale ceiling"),
    ):
        subject = Subject(evidence=evidence(series((50, load))), ceilings=ceilings, price=price, splits=None)
        (found,) = (f for f in diagnose(subject).findings if f.code == code)
        assert said in {item.source for item in found.evidence}


def test_a_ratio_of_two_rates_has_the_weaker_label() -> None:
    measured = Ceiling(metric="bf16", value=7e14, unit="flop_s", label="measured", source="")
    assumed = replace(measured, metric="fp8", label="assumed")
    assert rate_label(CEILINGS, measured, assumed) == "assumed"
    assert rate_label(CEILINGS, measured) == "measured"
    assert rate_label(STALE, measured) == "stale"


def test_a_verdict_that_lacks_a_reading_says_which() -> None:
    partly = replace(CEILINGS, label="assumed", readings=CEILINGS.readings[:1])
    verdict = decide(evidence(series((50, COMPUTE))), partly)
    assert verdict.class_ == "unknown"
    said = " ".join(verdict.unknown_because)
    assert "tensor_active: what it reads at its ceiling was not measured" in said
    assert "dram_active" not in said
    assert decide(evidence(series((50, COMPUTE))), CEILINGS).unknown_because == ()


# --- clocks ------------------------------------------------------------------------------------


def reasons(ceilings: Ceilings, **device: Any) -> frozenset[str]:
    card = Device(name="NVIDIA H100 80GB HBM3", power_limit_w=700.0, sm_mhz_max=1980.0, **device)
    return limits_of(evidence((window(),), device=card), ceilings).clock_reasons


def test_a_power_cap_costs_only_under_a_lowered_limit_whatever_was_measured() -> None:
    for ceilings in (CEILINGS, STALE, replace(CEILINGS, label="assumed"), replace(CEILINGS, sm_mhz=None)):
        assert reasons(ceilings) == FAULT_REASONS | SET_REASONS
        assert reasons(ceilings, power_limit_default_w=800.0) == CLOCK_REASONS
        assert reasons(replace(ceilings, power_limit_w=800.0)) == CLOCK_REASONS


def test_work_that_heat_slows_loses_what_the_probe_held_and_no_more() -> None:
    """A board that holds 1500 MHz in the probe's GEMM loses nothing at 1500 MHz, whatever it may boost to."""
    (load,) = series((1, {**CAPPED, "throttle_reasons": ("sw_thermal", "sw_power_cap")}))
    for clock, lost in ((1500.0, 0.0), (1410.0, 0.0), (1875.0, 0.2)):
        ceilings = replace(CEILINGS, sm_mhz=clock)
        limits = limits_of(evidence((load,)), ceilings)
        assert split(load, "counters", ceilings, limits).seconds.get("throttle", 0.0) == pytest.approx(
            0.2 * lost
        )


def test_an_impossible_clock_falls_back_to_the_drivers() -> None:
    assert limits_of(evidence((window(),)), replace(CEILINGS, sm_mhz=-5.0)).sm_mhz == 1980.0


# --- beyond the ceiling ------------------------------------------------------------------------


def test_work_clearly_beyond_a_measured_reading_is_told() -> None:
    found = exceeded(evidence(series((50, {"dram_active": 0.99, "tensor_active": 0.3}))), CEILINGS)
    assert found == {"dram_active": pytest.approx(1.1)}


def test_the_excess_is_that_of_busy_time() -> None:
    half = {"gr_active": 0.6, "tensor_active": 0.54}
    assert exceeded(evidence(series((50, half))), CEILINGS) == {"tensor_active": pytest.approx(0.9 / 0.8)}


@pytest.mark.parametrize(
    "parts",
    [
        ((50, {"dram_active": 0.94}),),
        ((3, {"dram_active": 0.99}), (47, MEMORY)),
        ((50, {"dram_active": 0.2, "gr_active": 0.2}),),
        ((50, {"dram_active": None}),),
        ((50, {"dram_active": 0.99, "gr_active": None}),),
    ],
    ids=["a little above", "for a moment", "mostly idle", "not read", "busy time unknown"],
)
def test_noise_is_not_called_an_excess(parts: tuple[tuple[int, Load], ...]) -> None:
    assert exceeded(evidence(series(*parts)), CEILINGS) == {}


def test_assumed_readings_are_no_measurement_to_exceed() -> None:
    beyond = evidence(series((50, {"dram_active": 0.99})))
    assert exceeded(beyond, relabelled("dram_active", "assumed")) == {}
    assert exceeded(beyond, None) == {}


# --- whatever was measured ---------------------------------------------------------------------

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
labels = st.sampled_from(["measured", "typical", "assumed"])
any_ceilings = st.builds(
    Ceilings,
    model=st.just("made-up card"),
    label=labels,
    readings=st.lists(
        st.builds(
            Reading,
            counter=st.sampled_from(["dram_active", "tensor_active", "fp32", "hmma", "?"]),
            frac=finite,
            label=labels,
            source=st.just(""),
        ),
        max_size=5,
    ).map(tuple),
    ceilings=st.lists(
        st.builds(
            Ceiling,
            metric=st.sampled_from(["pcie", "nvlink", "bf16", "fp8"]),
            value=finite,
            unit=st.just("bytes_s"),
            label=labels,
            source=st.just(""),
        ),
        max_size=4,
    ).map(tuple),
    sm_mhz=st.none() | finite,
    power_w=st.none() | finite,
    measured_s=st.none() | finite,
    stale=st.none() | st.text(max_size=5),
)
unit = st.floats(0, 1.2)
loads = st.fixed_dictionaries(
    dict.fromkeys(("gr_active", "dram_active", "tensor_active", "fp32", "hmma"), unit),
    optional={
        "sm_mhz": st.floats(1, 3000),
        "pcie_rx_bytes_s": st.floats(0, 1e11),
        "throttle_reasons": st.sampled_from([("sw_power_cap",), ("hw_thermal",)]),
    },
)


@given(any_ceilings, st.lists(loads, min_size=1, max_size=6))
def test_shares_sum_to_one_whatever_was_measured(ceilings: Ceilings, work: list[Load]) -> None:
    seen = evidence(series(*((10, load) for load in work)))
    verdict = decide(seen, ceilings)
    assert math.isclose(math.fsum(verdict.shares.values()), 1.0, abs_tol=1e-9)
    assert all(share >= -1e-12 for share in verdict.shares.values())
    assert 0.0 <= verdict.confidence <= 1.0
    parts = [split(w, "counters", ceilings, limits_of(seen, ceilings)) for w in seen.windows]
    assert -1e-9 <= total(parts).useful <= 1.0 + 1e-9
    assert all(frac > 1.0 for frac in exceeded(seen, ceilings).values())
