"""Sanity rules, on figures near those that public benchmarks report; none was read from a GPU here."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import ordering, sanity
from probes.metrics import METRICS
from probes.record import Conditions, DeviceFacts, Measurement, Validity
from probes.sanity import judge
from probes.specs import GpuSpec, all_specs, find_spec

TERA = 1e12
GIGA = 1e9
H100 = DeviceFacts(
    kind="cuda",
    key="GPU-1",
    name="NVIDIA H100 80GB HBM3",
    compute_capability="9.0",
    sm_count=132,
    memory_total_bytes=85_520_809_984,
    pcie_gen_max=5,
    pcie_width_max=16,
)
CPU = DeviceFacts(kind="cpu", key="cpu:1", name="a CPU")


def spec_of(facts: DeviceFacts) -> GpuSpec | None:
    return find_spec(facts.name, facts.memory_total_bytes, facts.compute_capability)


def card(name: str, capability: str, gib: float) -> DeviceFacts:
    return DeviceFacts(
        kind="cuda",
        key="GPU-2",
        name=name,
        compute_capability=capability,
        memory_total_bytes=round(gib * 1e9 * 1.05),
    )


def took(metric: str, median: float | None, **changes: Any) -> Measurement:
    known = METRICS[metric]
    return Measurement(probe=known.probe, metric=metric, unit=known.unit, median=median, cv=0.002, **changes)


def one(m: Measurement, facts: DeviceFacts = H100) -> Measurement:
    (judged,) = judge([m], facts, spec_of(facts))
    return judged


def verdicts(facts: DeviceFacts, **medians: float) -> dict[str, str]:
    records = [took(metric, median) for metric, median in medians.items()]
    return {m.metric: m.valid for m in judge(records, facts, spec_of(facts))}


def healthy() -> list[Measurement]:
    return [
        took("dram_read", 3180 * GIGA),
        took("dram_copy", 3000 * GIGA),
        took("fp64", 57 * TERA),
        took("fp32", 51.9 * TERA),
        took("tf32", 402 * TERA),
        took("fp16", 760 * TERA),
        took("bf16", 794 * TERA),
        took("fp8_e4m3", 1402 * TERA),
        took("h2d_pinned", 55 * GIGA),
        took("h2d_pageable", 9 * GIGA),
        took("dram_latency", 3e-7),
        took("launch_call", 2e-6, p10=1e-6, p90=9e-6),
    ]


def test_what_public_benchmarks_report_of_a_healthy_card_is_valid() -> None:
    judged = judge(healthy(), H100, spec_of(H100))
    assert [m for m in judged if m.valid != "valid"] == []


@pytest.mark.parametrize("metric", ["dram_copy", "dram_read", "tf32", "bf16", "h2d_pinned"])
def test_more_than_the_data_sheet_is_rejected(metric: str) -> None:
    sheets = {
        "dram_copy": 3350e9,
        "dram_read": 3350e9,
        "tf32": 494.7e12,
        "bf16": 989.4e12,
        "h2d_pinned": 64e9,
    }
    over = one(took(metric, 1.03 * sheets[metric]))
    assert over.valid == "rejected"
    assert over.reason is not None
    assert "1.03 of the data sheet" in over.reason
    assert one(took(metric, 1.01 * sheets[metric])).valid != "rejected"


def test_sustained_over_the_data_sheet_is_rejected_too() -> None:
    assert one(took("bf16", 700 * TERA, sustained=1100 * TERA)).valid == "rejected"


def test_a_board_that_boosts_above_its_data_sheets_clock_may_be_faster() -> None:
    facts = card("NVIDIA GeForce RTX 5090", "12.0", 32)
    fast = took("bf16", 225 * TERA, conditions=Conditions(sm_mhz=2800))
    assert one(fast, facts).valid == "valid"
    assert one(msgspec.structs.replace(fast, conditions=Conditions()), facts).valid == "rejected"


@pytest.mark.parametrize(
    ("facts", "median", "valid"),
    [
        (H100, 920 * TERA, "degraded"),
        (H100, 880 * TERA, "valid"),
        (card("NVIDIA H20", "9.0", 96), 140 * TERA, "valid"),
        (card("NVIDIA A100-SXM4-80GB", "8.0", 80), 290 * TERA, "valid"),
        (card("NVIDIA B200", "10.0", 180), 2100 * TERA, "degraded"),
    ],
)
def test_a_gemm_too_good_for_random_data_is_doubted(facts: DeviceFacts, median: float, valid: str) -> None:
    judged = one(took("bf16", median), facts)
    assert judged.valid == valid
    assert valid == "valid" or "constant" in str(judged.reason)


@pytest.mark.parametrize(
    ("metric", "median", "valid"),
    [
        ("bf16", 480 * TERA, "degraded"),
        ("bf16", 500 * TERA, "valid"),
        ("dram_copy", 1900 * GIGA, "degraded"),
        ("dram_copy", 1910 * GIGA, "valid"),
        ("h2d_pinned", 47 * GIGA, "degraded"),
        ("h2d_pinned", 49 * GIGA, "valid"),
        ("h2d_pageable", 5 * GIGA, "valid"),
        ("h2d_numa_remote", 5 * GIGA, "valid"),
    ],
)
def test_floors(metric: str, median: float, valid: str) -> None:
    assert one(took(metric, median)).valid == valid


def test_a_low_figure_names_what_held_it_back() -> None:
    capped = one(
        took("bf16", 400 * TERA, conditions=Conditions(throttle_reasons=("gpu_idle", "sw_power_cap")))
    )
    assert "held back by sw_power_cap" in str(capped.reason)
    assert "its clock was low" in str(one(took("bf16", 400 * TERA, of_clock=0.7)).reason)
    assert "shared" in str(one(took("bf16", 400 * TERA, of_clock=0.3)).reason)


def test_a_mig_instance_is_held_against_its_share() -> None:
    slice_ = msgspec.structs.replace(
        H100,
        name=f"{H100.name} MIG 1g.20gb",
        mig_profile="1g.20gb",
        slice_frac=0.1212,
        memory_total_bytes=20_096 * 2**20,
        sm_count=16,
    )
    assert one(took("dram_copy", 0.88 * 3350e9 / 4), slice_).valid == "valid"
    assert one(took("dram_copy", 1.1 * 3350e9 / 4), slice_).valid == "rejected"
    assert one(took("bf16", 0.8 * 989e12 * 0.1212), slice_).valid == "valid"
    assert one(took("bf16", 0.8 * 989e12), slice_).valid == "rejected"
    assert one(took("h2d_pinned", 20e9), slice_).valid == "valid"


def test_a_mig_instance_with_power_to_spare_keeps_its_boost_clock() -> None:
    """Tensor rates of the sheet are for 1830 MHz, and it runs at 1980."""
    slice_ = msgspec.structs.replace(
        H100, name=f"{H100.name} MIG 1g.10gb", mig_profile="1g.10gb", slice_frac=0.1212, sm_count=16
    )
    boosted = Conditions(sm_mhz=1980)
    assert one(took("bf16", 1.0 * 989e12 * 0.1212, conditions=boosted), slice_).valid == "valid"
    assert one(took("bf16", 1.05 * 989e12 * 0.1212, conditions=boosted), slice_).valid == "valid"
    assert one(took("bf16", 1.12 * 989e12 * 0.1212, conditions=boosted), slice_).valid == "rejected"
    assert one(took("bf16", 1.05 * 989e12 * 0.1212, conditions=Conditions(sm_mhz=1500)), slice_).valid == (
        "rejected"
    )


def test_a_boost_clock_that_is_not_held_explains_too_good_a_figure() -> None:
    early = took("bf16", 920 * TERA, conditions=Conditions(sm_mhz=1900, extra={"settled": 0.0}))
    judged = one(early)
    assert judged.valid == "degraded"
    assert "still at a boost clock" in str(judged.reason)


def test_unsteady_figures_are_degraded_and_say_whether_they_were_taken_twice() -> None:
    spread = msgspec.structs.replace(took("bf16", 790 * TERA), cv=0.04)
    assert "unsteady: cv 4.0%" in str(one(spread).reason)
    again = one(msgspec.structs.replace(spread, conditions=Conditions(rerun=True)))
    assert (again.valid, "unsteady twice" in str(again.reason)) == ("degraded", True)
    clocks = Conditions(sm_mhz_min=1500, sm_mhz_max=1600, throttle_reasons=("hw_thermal",))
    drifted = one(took("bf16", 790 * TERA, conditions=clocks))
    assert drifted.valid == "degraded"
    assert "unsteady: the SM clock went from 1500 to 1600 MHz (limit 5%)" in str(drifted.reason)
    held = took("bf16", 790 * TERA, conditions=Conditions(sm_mhz_min=1530, sm_mhz_max=1600))
    assert one(held) == held


@pytest.mark.parametrize(
    ("reasons", "cv", "valid"),
    [
        (("sw_power_cap",), 0.02, "valid"),
        (("gpu_idle", "sw_power_cap"), 0.03, "valid"),
        ((), 0.01, "valid"),
        (("sw_power_cap",), 0.031, "degraded"),
        (("sw_power_cap", "sw_thermal"), 0.02, "degraded"),
        (("hw_power_brake",), 0.02, "degraded"),
    ],
)
def test_a_clock_that_the_power_limit_alone_moves_is_a_remark(
    reasons: tuple[str, ...], cv: float, valid: str
) -> None:
    clocks = Conditions(sm_mhz_min=1450, sm_mhz_max=1700, throttle_reasons=reasons)
    m = msgspec.structs.replace(took("bf16", 790 * TERA, conditions=clocks), cv=cv)
    judged = one(m)
    assert judged.valid == valid
    assert "the SM clock went from 1450 to 1700 MHz" in str(judged.reason)
    assert one(judged) == judged


def test_a_remark_joins_what_the_probe_said() -> None:
    clocks = Conditions(sm_mhz_min=1450, sm_mhz_max=1700, throttle_reasons=("sw_power_cap",))
    judged = one(took("bf16", 790 * TERA, conditions=clocks, reason="said before"))
    assert str(judged.reason) == "said before; the SM clock went from 1450 to 1700 MHz under the power limit"


VM = msgspec.structs.replace(H100, pcie_gen_max=1, pcie_width_max=16)


@pytest.mark.parametrize(
    ("gen", "width"), [(1, 16), (3, 16), (5, 4)], ids=["generation", "older slot", "narrow"]
)
def test_a_copy_faster_than_the_link_is_said_to_be_shows_that_the_link_is_unknown(
    gen: int, width: int
) -> None:
    facts = msgspec.structs.replace(H100, pcie_gen_max=gen, pcie_width_max=width)
    for metric in ("h2d_pinned", "d2h_pinned", "h2d_numa_local"):
        judged = one(took(metric, 55 * GIGA, of_spec=13.75), facts)
        assert (judged.valid, judged.of_spec, judged.reason) == ("valid", None, None)
        assert f"gen {gen} x{width}" in judged.conditions.missing["of_spec"]
        assert one(judged, facts) == judged


def test_no_link_carries_more_than_the_device_can() -> None:
    assert one(took("h2d_pinned", 66 * GIGA), VM).valid == "rejected"
    newer = msgspec.structs.replace(VM, pcie_gen_device_max=6)
    assert one(took("h2d_pinned", 66 * GIGA), newer).valid == "valid"
    assert one(took("h2d_pinned", 131 * GIGA), newer).valid == "rejected"
    unknown = msgspec.structs.replace(card("NVIDIA Unheard Of", "9.0", 80), pcie_gen_max=3, pcie_width_max=16)
    assert one(took("h2d_pinned", 55 * GIGA), unknown).valid == "valid"
    assert one(took("h2d_pinned", 500 * GIGA), unknown).valid == "rejected"


def test_behind_nvlink_the_pcie_link_bounds_nothing() -> None:
    grace = msgspec.structs.replace(card("NVIDIA GH200 480GB", "9.0", 96), pcie_gen_max=5, pcie_width_max=16)
    fast = took("h2d_pinned", 380 * GIGA)
    assert one(fast, grace) == fast


def test_a_loop_that_settled_is_steady_whatever_came_before() -> None:
    before = Conditions(sm_mhz_min=1400, sm_mhz_max=1980, extra={"sustained_settled": 1.0})
    settled = msgspec.structs.replace(
        took("bf16", 790 * TERA, sustained=730 * TERA, conditions=before), cv=0.05
    )
    assert one(settled).valid == "valid"
    moving = Conditions(sm_mhz_min=1400, sm_mhz_max=1980, extra={"sustained_settled": 0.0})
    assert one(msgspec.structs.replace(settled, conditions=moving)).valid == "degraded"


def test_costs_on_the_hosts_clock_may_spread() -> None:
    assert one(msgspec.structs.replace(took("launch_call", 2e-6), cv=0.4)).valid == "valid"
    assert one(msgspec.structs.replace(took("host_copy", 9e9), cv=0.09), CPU).valid == "valid"
    assert one(msgspec.structs.replace(took("host_copy", 9e9), cv=0.11), CPU).valid == "degraded"


def test_on_the_host_a_window_that_the_scheduler_took_away_does_not_count() -> None:
    stolen = msgspec.structs.replace(took("host_copy", 9e9, p10=8.8e9, p90=9.1e9), cv=0.9)
    assert one(stolen, CPU).valid == "valid"
    wide = msgspec.structs.replace(stolen, p10=6e9, p90=9.5e9)
    assert "imply a cv of 15.2%" in str(one(wide, CPU).reason)
    assert (
        one(msgspec.structs.replace(took("bf16", 790e12, p10=789e12, p90=791e12), cv=0.04)).valid
        == "degraded"
    )


def test_a_cpu_has_no_data_sheet_to_break() -> None:
    judged = judge([took("host_copy", 9e15), took("cpu_fp32", 1.0), took("cpu_bf16", 0.5)], CPU, None)
    assert {m.valid for m in judged} == {"valid"}


@pytest.mark.parametrize(
    ("medians", "wrong"),
    [
        ({"fp8_e4m3": 700, "bf16": 790}, "fp8_e4m3"),
        ({"tf32": 45, "fp32": 52}, "tf32"),
        ({"bf16": 400, "tf32": 400}, "bf16"),
        ({"fp16": 390, "tf32": 400}, "fp16"),
        ({"int8": 700, "bf16": 790}, "int8"),
        ({"fp8_e5m2": 800, "bf16": 790}, "fp8_e5m2"),
        # bf16 at 0.99 of its data sheet and fp8 at 0.64: bf16 is what is out of place.
        ({"fp8_e4m3": 1260, "bf16": 980}, "bf16"),
    ],
)
def test_of_a_pair_out_of_order_the_wrong_one_is_rejected(medians: dict[str, float], wrong: str) -> None:
    judged = verdicts(H100, **{metric: value * TERA for metric, value in medians.items()})
    assert [metric for metric, valid in judged.items() if valid == "rejected"] == [wrong]


def test_a_figure_of_a_small_shape_is_compared_with_none() -> None:
    small = took(
        "fp8_e5m2",
        900 * TERA,
        valid="degraded",
        reason="degraded: no time for larger shapes",
        conditions=Conditions(missing={"larger shapes": "no time"}),
    )
    large = took("bf16", 790 * TERA)
    assert judge([large, small], H100, spec_of(H100)) == (large, small)
    slow = msgspec.structs.replace(small, metric="tf32", median=790 * TERA / 2)
    fast = took("bf16", 500 * TERA)
    assert judge([fast, slow], H100, spec_of(H100)) == (fast, slow)


def test_precisions_are_compared_clock_for_clock_where_that_is_kinder() -> None:
    """fp8 on a card that got hot, bf16 at its boost clock."""
    hot = took("fp8_e4m3", 1020 * TERA, conditions=Conditions(sm_mhz=1100))
    cool = took("bf16", 840 * TERA, conditions=Conditions(sm_mhz=1900))
    assert [m.valid for m in judge([cool, hot], H100, spec_of(H100))] == ["valid", "valid"]
    as_cool = msgspec.structs.replace(hot, conditions=Conditions(sm_mhz=1900))
    assert [m.valid for m in judge([cool, as_cool], H100, spec_of(H100))] == ["valid", "rejected"]


def test_of_a_pair_out_of_order_the_doubtful_one_is_wrong() -> None:
    """Though the other is further from what such cards reach."""
    doubtful = took("bf16", 880 * TERA, conditions=Conditions(throttle_reasons=("hw_thermal",)))
    doubtful = msgspec.structs.replace(doubtful, cv=0.2)
    fp8 = took("fp8_e4m3", 1100 * TERA)
    assert [m.valid for m in judge([doubtful, fp8], H100, spec_of(H100))] == ["rejected", "valid"]


def test_a_rejected_figure_condemns_no_other() -> None:
    judged = verdicts(H100, fp8_e4m3=1402 * TERA, bf16=1300 * TERA, tf32=402 * TERA)
    assert judged == {"fp8_e4m3": "valid", "bf16": "rejected", "tf32": "valid"}


def test_a_wrong_middle_figure_is_the_only_one_rejected() -> None:
    judged = verdicts(H100, fp8_e4m3=1402 * TERA, bf16=380 * TERA, tf32=402 * TERA, fp32=52 * TERA)
    assert [metric for metric, valid in judged.items() if valid == "rejected"] == ["bf16"]


@pytest.mark.parametrize(
    ("facts", "medians"),
    [
        (card("NVIDIA GeForce RTX 4090", "8.9", 24), {"tf32": 75, "fp32": 77, "bf16": 155, "fp8_e4m3": 310}),
        (card("NVIDIA L40", "8.9", 48), {"tf32": 70, "fp32": 75, "bf16": 150, "fp8_e4m3": 290}),
        (card("NVIDIA B300 SXM6 AC", "10.3", 288), {"int8": 140, "bf16": 1700, "fp8_e4m3": 3300}),
    ],
)
def test_cards_that_are_cut_down_are_held_against_their_own_data_sheet(
    facts: DeviceFacts, medians: dict[str, float]
) -> None:
    assert spec_of(facts) is not None
    judged = verdicts(facts, **{metric: value * TERA for metric, value in medians.items()})
    assert "rejected" not in judged.values()


def test_an_unknown_card_is_held_against_the_order_alone() -> None:
    unknown = card("NVIDIA Unheard Of", "9.0", 80)
    assert spec_of(unknown) is None
    judged = verdicts(unknown, fp8_e4m3=500 * TERA, bf16=790 * TERA, tf32=400 * TERA, dram_copy=9e15)
    assert judged == {"fp8_e4m3": "rejected", "bf16": "valid", "tf32": "valid", "dram_copy": "valid"}


def test_each_take_is_judged_for_itself() -> None:
    takes = [took("fp16", 30 * TERA), took("fp16", 760 * TERA), took("tf32", 402 * TERA)]
    assert [m.valid for m in judge(takes, H100, spec_of(H100))] == ["rejected", "valid", "valid"]


@pytest.mark.parametrize("median", [0.0, -1.0, float("nan"), float("inf"), None])
def test_impossible_figures_are_rejected(median: float | None) -> None:
    assert one(took("bf16", median)).valid == "rejected"
    assert one(took("launch_call", median)).valid == "rejected"


def test_what_gave_no_figure_is_left_alone() -> None:
    for valid in ("unsupported", "failed", "rejected"):
        left = took("bf16", 9e99, valid=valid, reason="as it was")
        assert one(left) == left


def test_a_probes_own_doubt_stays() -> None:
    doubtful = took("bf16", 400 * TERA, valid="degraded", reason="of its own")
    assert one(doubtful) == doubtful
    assert one(msgspec.structs.replace(doubtful, median=2000 * TERA)).valid == "rejected"


GEMMS = [name for name, metric in METRICS.items() if metric.probe == "tensor"]
CARDS = [H100, CPU, card("NVIDIA Unheard Of", "12.0", 32)] + [
    card(name, capability, gib)
    for name, capability, gib in (
        ("NVIDIA GeForce RTX 3090", "8.6", 24),
        ("NVIDIA A100-SXM4-80GB", "8.0", 80),
        ("NVIDIA B200", "10.0", 180),
        ("Tesla T4", "7.5", 16),
    )
]


def made(
    metric: str,
    median: float | None,
    sustained: float | None,
    cv: float | None,
    valid: Validity,
    low: float,
) -> Measurement:
    clocks = Conditions(sm_mhz=1700, sm_mhz_min=low, sm_mhz_max=1700)
    plain = took(metric, median, sustained=sustained, valid=valid, conditions=clocks)
    return msgspec.structs.replace(plain, cv=cv)


MEASUREMENTS = st.builds(
    made,
    metric=st.one_of(st.sampled_from(GEMMS), st.sampled_from(sorted(METRICS))),
    median=st.one_of(st.none(), st.floats(1e9, 4e15), st.floats(-1, 1)),
    sustained=st.one_of(st.none(), st.floats(1e9, 4e15)),
    cv=st.one_of(st.none(), st.floats(0, 0.2)),
    valid=st.sampled_from(["valid", "valid", "valid", "degraded", "rejected", "failed", "unsupported"]),
    low=st.floats(1000, 1700),
)


@given(st.lists(MEASUREMENTS, max_size=14), st.sampled_from(CARDS))
def test_judging_keeps_order_and_figures_and_twice_is_once(
    measurements: list[Measurement], facts: DeviceFacts
) -> None:
    spec = spec_of(facts)
    judged = judge(measurements, facts, spec)
    assert judge(judged, facts, spec) == judged
    assert len(judged) == len(measurements)
    for before, after in zip(measurements, judged, strict=True):
        told: dict[str, Any] = {"valid": before.valid, "reason": before.reason}
        if METRICS[before.metric].spec == "pcie":
            told |= {"of_spec": before.of_spec, "conditions": before.conditions}
        assert msgspec.structs.replace(after, **told) == before
        if before.valid in ("rejected", "failed", "unsupported"):
            assert after == before
        if after.valid != before.valid:
            assert after.reason


@given(st.lists(MEASUREMENTS, max_size=10), st.sampled_from(CARDS), st.randoms(use_true_random=False))
def test_verdicts_do_not_depend_on_the_order_of_the_records(
    measurements: list[Measurement], facts: DeviceFacts, chance: random.Random
) -> None:
    spec = spec_of(facts)
    places = list(range(len(measurements)))
    chance.shuffle(places)
    judged = judge(measurements, facts, spec)
    shuffled = judge([measurements[i] for i in places], facts, spec)
    counted = [_verdict(judged[i]) for i in places]
    assert sorted(counted) == sorted(_verdict(m) for m in shuffled)


def _verdict(m: Measurement) -> tuple[str, str, str]:
    return (m.metric, repr(m.median), m.valid)


@given(st.lists(MEASUREMENTS, max_size=12), st.sampled_from(CARDS))
def test_what_remains_is_in_order(measurements: list[Measurement], facts: DeviceFacts) -> None:
    spec = spec_of(facts)
    kept = [m for m in judge(measurements, facts, spec) if m.valid in ("valid", "degraded")]
    for order in ordering.ORDERS:
        ratio = ordering.least_ratio(order, facts, spec)
        fast = [m.median for m in kept if m.metric == order.fast and m.median]
        slow = [m.median for m in kept if m.metric == order.slow and m.median]
        if ratio is not None and fast and slow:
            assert min(fast) >= ratio * max(slow) * (1 - 1e-12)


def test_every_dram_floor_is_of_a_card_in_the_table_and_below_what_healthy_ones_reach() -> None:
    specs = {spec.model: spec for spec in all_specs()}
    for model, floor in sanity.DRAM_FLOORS_BYTES_S.items():
        assert 0.45 < floor / specs[model].dram_bytes_s < 0.7
