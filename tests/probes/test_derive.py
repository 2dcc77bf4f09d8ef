"""Ceilings from a stored run."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import Ceilings
from probes.derive import alike, ceilings_of, usable, while_busy
from probes.record import Measurement
from probes.specs import assumed_ceilings, find_spec
from tests.probes.reports import T0_S, cpu_facts, facts, full, report, take


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


def test_a_link_is_as_fast_as_it_is_from_the_nearer_socket() -> None:
    found = derived(take("h2d_pinned", 31e9), take("d2h_pinned", 33e9), take("h2d_numa_local", 55e9))
    assert value_of(found, "pcie") == 55e9


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
    ampere = facts(compute_capability="8.0")
    assert derived(take("dram_copy"), take("tf32"), sheet=sheet, device=ampere).label == "measured"
    assert derived(take("dram_copy"), take("l2_read"), sheet=sheet, device=ampere).label == "assumed"


def test_a_card_with_gpm_is_not_measured_by_a_run_too_short_for_counters(sheet: Ceilings) -> None:
    found = derived(take("dram_copy", 3e12), take("bf16", 7e14), sheet=sheet)
    assert (found.label, value_of(found, "bf16")) == ("assumed", 7e14)
    assert {r.label for r in found.readings} == {"assumed"}


def test_an_unknown_card_has_what_was_measured_and_nothing_else() -> None:
    unknown = facts(name="NVIDIA X9", model=None, sm_count=None)
    found = derived(take("dram_copy"), device=unknown)
    assert (found.label, found.model, found.sm_mhz, found.sm_count) == ("assumed", "NVIDIA X9", None, None)
    assert {c.metric for c in found.ceilings} == {"dram_copy", "dram"}
    whole = msgspec.structs.replace(full(), device=unknown)
    assert ceilings_of(whole, None) == derived(*whole.measurements, device=unknown)
    assert derived(*whole.measurements, device=unknown).label == "measured"


@pytest.mark.parametrize(
    ("counters", "frac"),
    [
        ({"dram_active": 0.8}, 0.8),
        ({"dram_active": 0.8, "gr_active": 0.9}, 0.8 / 0.9),
        ({"dram_active": 0.8, "gr_active": 1.02}, 0.8),
        ({"dram_active": 0.8, "gr_active": math.nan}, 0.8),
        ({"dram_active": 0.4, "gr_active": 0.41}, None),
        ({"dram_active": 0.4, "gr_active": 0.0}, None),
        ({"gr_active": 0.9}, None),
    ],
)
def test_a_reading_is_that_of_busy_time_as_live_ones_are(
    sheet: Ceilings, counters: dict[str, float], frac: float | None
) -> None:
    take_ = take("dram_copy", 3e12, counters_at_ceiling=counters)
    assert while_busy(take_, "dram_active") == (None if frac is None else pytest.approx(frac))
    reading = derived(take_, sheet=sheet).reading("dram_active")
    assert reading is not None
    assert reading.label == ("assumed" if frac is None else "measured")
    if frac is not None:
        assert reading.frac == pytest.approx(frac)


def test_pauses_between_windows_do_not_move_a_reading(sheet: Ceilings) -> None:
    """Live work as good as the probe's is at its roof, whatever part of the stretch the probe paused for."""
    for pause in (0.0, 0.07, 0.4):
        seen = {"tensor_active": 0.92 * (1 - pause), "gr_active": 1 - pause}
        reading = derived(take("bf16", 7e14, counters_at_ceiling=seen), sheet=sheet).reading("tensor_active")
        assert reading is not None
        assert reading.frac == pytest.approx(0.92)


def test_the_clock_is_the_lowest_that_a_half_precision_gemm_was_held_at(sheet: Ceilings) -> None:
    found = derived(
        take("dram_copy", 3e12, sm_mhz=1980.0),
        held("fp32", 50e12, 1900.0),
        held("fp16", 740e12, 1455.0),
        held("bf16", 730e12, 1410.0, throttle_reasons=("sw_power_cap",)),
        held("fp8_e4m3", 1300e12, 1335.0, throttle_reasons=("sw_power_cap",)),
        sheet=sheet,
    )
    assert (found.sm_mhz, found.power_w, found.power_limit_w) == (1410.0, 690.0, 700.0)
    others = derived(held("fp32", 50e12, 1900.0), held("fp8_e4m3", 1300e12, 1335.0), sheet=sheet)
    assert others.sm_mhz == 1335.0


def test_a_clock_that_heat_held_down_is_no_measure(sheet: Ceilings) -> None:
    cool, hot = held("fp16", 740e12, 1455.0), held("bf16", 600e12, 1100.0, throttle_reasons=("sw_thermal",))
    assert derived(cool, hot, sheet=sheet).sm_mhz == 1455.0
    assert derived(hot, sheet=sheet).sm_mhz == sheet.sm_mhz
    assert derived(hot, sheet=sheet).power_limit_w is None


def test_a_clock_beyond_what_is_assumed_is_no_claim(sheet: Ceilings) -> None:
    assert derived(held("fp64", 58e12, 2400.0), sheet=sheet).sm_mhz == sheet.sm_mhz
    assert derived(held("fp64", 58e12, 2400.0)).sm_mhz == facts().sm_mhz_max


def test_power_below_the_limit_is_not_all_a_card_draws(sheet: Ceilings) -> None:
    assert derived(held("fp64", 58e12, 1980.0), sheet=sheet).power_w == sheet.power_w
    assert derived(held("fp64", 58e12, 1980.0)).power_w is None


def test_without_a_held_gemm_the_clock_is_what_is_assumed(sheet: Ceilings) -> None:
    short = derived(take("dram_copy", 3e12), take("bf16", 800e12, sm_mhz=1700.0), sheet=sheet)
    assert (short.sm_mhz, short.power_limit_w) == (sheet.sm_mhz, None)
    assert derived(take("bf16", 800e12, sm_mhz=1700.0)).sm_mhz is None


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


def test_held_and_short_figures_are_not_mixed() -> None:
    assert alike([take("bf16", 8.0, sustained=7.0), take("bf16", 9.0)]) == [8.0, 9.0]
    assert alike([take("bf16", 8.0, sustained=7.0), take("bf16", 9.0, sustained=6.0)]) == [7.0, 6.0]


def test_usable_is_empty_for_a_refused_run() -> None:
    assert usable(report(refused="busy")) == {}
