"""Ceilings from a stored run, when they no longer hold, and GPUs that fall behind."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import METHOD_VERSION
from probes.ceilings import Ceilings
from probes.derive import BEHIND, OLD_S, alike, ceilings_of, outliers, stale, usable
from probes.record import Measurement, ProbeReport
from probes.specs import assumed_ceilings, find_spec
from tests.probes.reports import DAY_S, T0_S, cpu_facts, facts, full, key, report, take


@pytest.fixture(scope="module")
def sheet() -> Ceilings:
    """What is assumed of the same card."""
    spec = find_spec("NVIDIA H100 80GB HBM3", 85_520_809_984, "9.0")
    assert spec is not None
    return assumed_ceilings(spec)


def held(metric: str, value: float, clock: float, **changes: Any) -> Measurement:
    """A sustained GEMM and the clock it was held at."""
    extra = {"sustained_sm_mhz": clock, "sustained_power_w": 690.0}
    return take(metric, value * 1.1, sustained=value, extra=extra, sm_mhz=1980.0, **changes)


def derived(*takes: Measurement, sheet: Ceilings | None = None, **changes: Any) -> Ceilings:
    found = ceilings_of(report(*takes, **changes), sheet)
    assert found is not None
    return found


def value_of(ceilings: Ceilings, metric: str) -> float | None:
    found = ceilings.ceiling(metric)
    return found.value if found else None


def test_every_name_that_rules_read_is_measured(sheet: Ceilings) -> None:
    found = derived(
        take("dram_copy", 3.0e12),
        take("dram_read", 3.2e12),
        take("fp8_e4m3", 1.4e15),
        take("h2d_pinned", 55e9),
        take("d2h_pinned", 56e9),
        take("fp64", 58e12),
        *(take(name, 1e14) for name in ("bf16", "fp16", "tf32", "fp32", "int8")),
        sheet=sheet,
    )
    assert value_of(found, "dram") == 3.0e12
    assert value_of(found, "dram_read") == 3.2e12
    assert value_of(found, "fp8") == value_of(found, "fp8_e4m3") == 1.4e15
    assert value_of(found, "pcie") == 56e9, "the better direction"
    for name in ("dram", "bf16", "fp16", "tf32", "fp8", "int8", "fp64_tensor", "fp32", "pcie"):
        ceiling = found.ceiling(name)
        assert ceiling is not None, name
        assert ceiling.label == "measured", name
        assert ceiling.source.endswith("2026-09-21"), name


def test_a_triad_stands_in_for_a_copy_that_failed() -> None:
    found = derived(take("dram_copy", None, valid="failed"), take("dram_triad", 2.9e12))
    assert value_of(found, "dram") == 2.9e12


@pytest.mark.parametrize(
    ("capability", "name"), [("8.0", "fp64_tensor"), ("9.0", "fp64_tensor"), ("8.9", "fp64"), (None, "fp64")]
)
def test_fp64_gemms_show_tensor_cores_only_where_there_are_such(capability: str | None, name: str) -> None:
    found = derived(take("fp64", 58e12), device=facts(compute_capability=capability))
    assert value_of(found, name) == 58e12
    assert value_of(found, {"fp64": "fp64_tensor", "fp64_tensor": "fp64"}[name]) is None


def test_what_was_not_measured_is_assumed_by_its_own_label(sheet: Ceilings) -> None:
    found = derived(take("dram_copy", 3.0e12), sheet=sheet)
    bf16, dram = found.ceiling("bf16"), found.ceiling("dram")
    assert bf16 is not None
    assert dram is not None
    assert (bf16.label, dram.label) == ("assumed", "measured")
    assert found.label == "assumed", "half a measurement is not a measured card"
    assert found.measured_s == T0_S
    reading = found.reading("tensor_active")
    assert reading is not None
    assert reading.label == "assumed"


@pytest.mark.parametrize(
    "spoilt", [{"valid": "degraded"}, {"valid": "rejected"}, {"label": "contended"}, {"median": None}]
)
def test_only_valid_undisturbed_figures_count(sheet: Ceilings, spoilt: dict[str, Any]) -> None:
    assert ceilings_of(report(take("dram_copy", 3.0e12, **spoilt)), sheet) is sheet
    assert ceilings_of(report(take("dram_copy", 3.0e12, **spoilt)), None) is None


def test_a_contended_run_counts_for_nothing(sheet: Ceilings) -> None:
    assert ceilings_of(msgspec.structs.replace(full(), contended="python holds 3 GiB"), sheet) is sheet


def test_a_valid_take_beats_a_better_degraded_one() -> None:
    found = derived(take("dram_copy", 3.3e12, valid="degraded"), take("dram_copy", 3.0e12))
    assert value_of(found, "dram") == 3.0e12


def test_what_is_held_is_the_ceiling() -> None:
    assert value_of(derived(held("bf16", 730e12, 1410.0)), "bf16") == 730e12


def test_readings_are_the_highest_of_fitting_probes(sheet: Ceilings) -> None:
    found = derived(
        take("dram_copy", 3.0e12, counters_at_ceiling={"dram_active": 0.91, "fp32": 0.5}),
        take("dram_read", 3.2e12, counters_at_ceiling={"dram_active": 0.94}),
        take("bf16", 7e14, counters_at_ceiling={"tensor_active": 0.9, "hmma": 0.89, "dram_active": 0.99}),
        take("int8", 1e15, counters_at_ceiling={"tensor_active": 0.95, "imma": 0.93, "hmma": 0.97}),
        sheet=sheet,
    )
    readings = {r.counter: r.frac for r in found.readings if r.label == "measured"}
    assert readings == {"dram_active": 0.94, "tensor_active": 0.95, "hmma": 0.89, "imma": 0.93}
    assert found.label == "measured"


def test_a_counter_that_hardly_moved_is_at_no_ceiling(sheet: Ceilings) -> None:
    found = derived(
        take("fp64", 58e12, counters_at_ceiling={"dmma": 0.05, "dfma": 0.9}),
        take("dram_copy", 3e12, counters_at_ceiling={"dram_active": math.nan}),
        take("bf16", 7e14, counters_at_ceiling={"tensor_active": 1.04}),
        sheet=sheet,
    )
    measured = {r.counter: r.frac for r in found.readings if r.label == "measured"}
    assert measured == {"dfma": 0.9, "tensor_active": 1.0}


def test_without_gpm_bandwidth_and_a_gemm_make_a_measured_card(sheet: Ceilings) -> None:
    assert derived(take("dram_copy"), take("tf32"), sheet=sheet).label == "measured"
    assert derived(take("dram_copy"), take("l2_read"), sheet=sheet).label == "assumed"


def test_an_unknown_card_has_what_was_measured_and_nothing_else() -> None:
    found = derived(take("dram_copy"), device=facts(name="NVIDIA X9", model=None, sm_count=None))
    assert (found.label, found.model, found.sm_mhz, found.sm_count) == ("measured", "NVIDIA X9", None, None)
    assert {c.metric for c in found.ceilings} == {"dram_copy", "dram"}


def test_the_clock_is_that_of_the_best_half_precision_gemm_while_held(sheet: Ceilings) -> None:
    found = derived(
        take("dram_copy", 3e12, sm_mhz=1980.0),
        held("fp32", 50e12, 1900.0),
        held("fp16", 740e12, 1455.0),
        held("bf16", 730e12, 1410.0),
        sheet=sheet,
    )
    assert (found.label, found.sm_mhz, found.power_w) == ("measured", 1455.0, 690.0)


def test_without_a_held_gemm_a_measured_card_has_no_clock_to_be_throttled_from(sheet: Ceilings) -> None:
    short = derived(take("dram_copy", 3e12), take("bf16", 800e12, sm_mhz=1980.0), sheet=sheet)
    assert (short.label, short.sm_mhz) == ("measured", None)
    partial = derived(take("dram_copy", 3e12), sheet=sheet)
    assert (partial.label, partial.sm_mhz) == ("assumed", sheet.sm_mhz)


def test_a_host_has_ceilings_too() -> None:
    found = derived(take("host_copy", 2e11), device=cpu_facts())
    assert (found.label, value_of(found, "host_copy")) == ("measured", 2e11)


@given(st.floats(allow_nan=True, allow_infinity=True), st.floats(allow_nan=True, allow_infinity=True))
def test_no_figure_makes_a_ceiling_that_cannot_be_divided_by(value: float, frac: float) -> None:
    take_ = take("dram_copy", 1.0, median=value, counters_at_ceiling={"dram_active": frac})
    found = ceilings_of(report(take_), None)
    for ceiling in found.ceilings if found else ():
        assert 0 < ceiling.value < math.inf
    for reading in found.readings if found else ():
        assert 0.3 <= reading.frac <= 1.0


NOW: dict[str, Any] = {"driver": "580.95.05", "power_limit_w": 700.0, "ecc": True, "now_s": T0_S + DAY_S}


def test_the_same_card_is_not_stale() -> None:
    assert stale(full(), **NOW) is None
    assert stale(full()) is None, "what is unknown is not compared"
    assert stale(full(), **{**NOW, "power_limit_w": 700.004}) is None


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"driver": "590.1"}, "driver 580.95.05, now it is 590.1"),
        ({"power_limit_w": 500.0}, "power limit of 700 W, now it is 500 W"),
        ({"ecc": False}, "ECC on, now it is off"),
        ({"mig_profile": "1g.10gb"}, "a whole GPU, now it is 1g.10gb"),
        ({"now_s": T0_S + OLD_S + DAY_S}, "91 days ago"),
        ({"now_s": T0_S - 2 * DAY_S}, "yet to come"),
    ],
)
def test_what_changed_is_said(now: dict[str, Any], said: str) -> None:
    assert said in (stale(full(), **{**NOW, **now}) or "")


def test_another_method_is_stale_before_anything_else() -> None:
    other = full(method_version=METHOD_VERSION + 1)
    assert f"method {METHOD_VERSION + 1}" in (stale(other, **{**NOW, "driver": "1"}) or "")


def node(*values: float, metric: str = "bf16", **changes: Any) -> list[ProbeReport]:
    """A GPU for each value."""
    return [report(take(metric, v, **changes), device=facts(i)) for i, v in enumerate(values)]


def test_the_gpu_that_falls_behind_is_named() -> None:
    (found,) = outliers(node(790, 795, 800, 793, 791, 722))
    assert (found.key, found.index, found.metric) == (key(5), 5, "bf16")
    assert found.message == "GPU 5 reaches 91 % of its siblings' bf16"
    assert found.frac == pytest.approx(722 / 793)


def test_silicon_spread_is_no_outlier() -> None:
    assert outliers(node(780, 790, 800, 805, 770)) == ()
    assert outliers(node(3000, 2990, 2950, metric="dram_copy")) == ()
    assert [o.index for o in outliers(node(3000, 2990, 2890, metric="dram_copy"))] == [2]


def test_one_record_a_gpu_and_probe_its_worst() -> None:
    reports = [
        report(take("bf16", b), take("fp16", h), take("dram_copy", c), device=facts(i))
        for i, (b, h, c) in enumerate([(800, 800, 3000), (800, 800, 3000), (700, 600, 2000)])
    ]
    assert [(o.metric, round(o.frac, 2)) for o in outliers(reports)] == [("dram_copy", 0.67), ("fp16", 0.75)]


def test_of_two_the_lower_is_named_and_that_two_cannot_tell() -> None:
    (found,) = outliers(node(800, 700))
    assert found.message.startswith("GPU 1 reaches 88 % of GPU 0's bf16; two cannot tell")


def test_only_siblings_are_compared() -> None:
    reports = node(800, 800, 400)
    other = [msgspec.structs.replace(reports[2], device=facts(2, name="NVIDIA A100-SXM4-80GB", model="A100"))]
    assert outliers(reports[:2] + other) == ()
    sliced = [msgspec.structs.replace(reports[2], device=facts(2, mig_profile="3g.40gb"))]
    assert outliers(reports[:2] + sliced) == ()
    assert outliers([]) == outliers(reports[:1]) == ()


def test_degraded_figures_are_what_is_looked_for_and_contended_ones_are_not() -> None:
    reports = node(800, 800)
    slow = report(take("bf16", 300, valid="degraded"), device=facts(2))
    assert [o.index for o in outliers([*reports, slow])] == [2]
    assert outliers([*reports, msgspec.structs.replace(slow, contended="in use")]) == ()
    assert outliers([*reports, report(take("bf16", 300, valid="rejected"), device=facts(2))]) == ()


def test_host_costs_and_latencies_are_not_the_cards_own() -> None:
    assert outliers(node(1e-6, 1e-6, 9e-6, metric="launch_interval")) == ()
    assert outliers(node(1e-7, 1e-7, 9e-7, metric="dram_latency")) == ()
    assert outliers(node(2e10, 2e10, 1e10, metric="h2d_pageable")) == ()
    assert [o.index for o in outliers(node(5e10, 5e10, 2e10, metric="h2d_pinned"))] == [2]


def test_held_and_short_figures_are_not_mixed() -> None:
    short = [report(take("bf16", 800.0), device=facts(i)) for i in (0, 1)]
    long = report(take("bf16", 800.0, sustained=700.0), device=facts(2))
    assert outliers([*short, long]) == ()
    assert alike([take("bf16", 8.0, sustained=7.0), take("bf16", 9.0)]) == [8.0, 9.0]
    assert alike([take("bf16", 8.0, sustained=7.0), take("bf16", 9.0, sustained=6.0)]) == [7.0, 6.0]


@given(st.lists(st.floats(1e-3, 1e15), min_size=1, max_size=9), st.sampled_from(["bf16", "dram_copy"]))
def test_outliers_lie_below_their_threshold_and_never_the_best(values: list[float], metric: str) -> None:
    found = outliers(node(*values, metric=metric))
    probe = take(metric).probe
    best = values.index(max(values))
    assert all(o.frac < BEHIND[probe] for o in found)
    assert key(best) not in {o.key for o in found}
    assert len({o.key for o in found}) == len(found)


@given(st.lists(st.floats(1.0, 1e3), min_size=3, max_size=8), st.floats(1e-3, 1e3), st.randoms())
def test_outliers_depend_neither_on_scale_nor_on_order(values: list[float], by: float, rng: Any) -> None:
    def far(found: tuple[Any, ...]) -> set[str]:  # of the threshold, where rounding decides nothing
        return {o.key for o in found if o.frac < BEHIND["tensor"] - 1e-9}

    reports = node(*values)
    shuffled = node(*(v * by for v in values))
    rng.shuffle(shuffled)
    assert far(outliers(reports)) == far(outliers(shuffled))


def test_usable_is_empty_for_a_refused_run() -> None:
    assert usable(report(refused="busy")) == {}
