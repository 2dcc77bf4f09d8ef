from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.ceilings import Ceilings
from probes.derive import ceilings_of
from probes.specs import assumed_ceilings, find_spec
from rules.classify import FAULT_REASONS, clock_loss, limits_of, split
from rules.evidence import Device, SubWindow, Tier
from rules.roofs import Limits
from rules.split import Split, merge, total
from rules.verdict import SHARES
from tests.probes.reports import facts, report, take
from tests.rules.loads import CEILINGS, Load, evidence, series, window

LIMITS = Limits(
    power_w=700.0, sm_mhz=1980.0, pcie_bytes_s=50e9, nvlink_bytes_s=400e9, clock_reasons=FAULT_REASONS
)


SPEC = find_spec("NVIDIA H100 80GB HBM3", 85_520_809_984, "9.0")
assert SPEC is not None
ASSUMED = assumed_ceilings(SPEC)

fracs = st.one_of(st.none(), st.floats(0.0, 1.2))
windows = st.builds(
    SubWindow,
    t_s=st.floats(0, 1e9),
    duration_s=st.floats(0.001, 10.0),
    has_process=st.sampled_from([True, False, None]),
    **dict.fromkeys(
        ("gr_active", "sm_active", "sm_occupancy", "tensor_active", "fp32", "fp64", "hmma", "dram_active"),
        fracs,
    ),
    mem_util_frac=fracs,
    power_w=st.one_of(st.none(), st.floats(0, 1500)),
    sm_mhz=st.one_of(st.none(), st.floats(0, 3000)),
    pcie_rx_bytes_s=st.one_of(st.none(), st.floats(0, 1e12)),
    throttle_reasons=st.lists(st.sampled_from(["sw_power_cap", "hw_thermal", "gpu_idle"])).map(tuple),
    lost=st.booleans(),
    launching=st.booleans(),
)


def one(w: SubWindow) -> Split:
    return split(w, "counters", CEILINGS, LIMITS)


def test_no_process_and_no_work_is_free() -> None:
    assert one(window(has_process=False, gr_active=0.0)).seconds == {"free": 0.2}


def test_work_without_a_visible_process_is_not_free() -> None:
    """In a container other people's processes are invisible, yet the engine runs."""
    assert "free" not in one(window(has_process=False, gr_active=1.0)).seconds


def test_time_with_nothing_running_is_the_host_gap() -> None:
    parts = one(window(gr_active=0.4, dram_active=0.36)).seconds
    assert parts["host"] == pytest.approx(0.12)
    assert parts["memory"] == pytest.approx(0.08)


def test_a_memory_bound_kernel_with_all_sms_active_is_memory_not_compute() -> None:
    parts = one(window(sm_active=1.0, dram_active=0.85, tensor_active=0.06)).seconds
    assert parts == {"host": 0.0, "memory": pytest.approx(0.2)}


def test_counters_are_divided_by_their_reading_at_the_ceiling() -> None:
    """0.56 of a card whose counter tops out at 0.9 is 0.62 of its roof: past the threshold."""
    assert "memory" in one(window(dram_active=0.56)).seconds
    assert "memory" not in one(window(dram_active=0.53)).seconds


def test_roofs_are_conditional_on_busy_time() -> None:
    """A starved GEMM at half duty shows half the tensor counter, but runs at its roof while it runs."""
    parts = one(window(gr_active=0.5, tensor_active=0.4)).seconds
    assert parts["compute"] == pytest.approx(0.1)


def test_busy_far_from_both_roofs_is_a_device_inefficiency() -> None:
    assert one(window(sm_active=0.05, sm_occupancy=0.02)).seconds["device"] == pytest.approx(0.2)


def test_small_kernels_with_a_pegged_thread_are_launch_bound() -> None:
    small: Load = {"gr_active": 0.6, "sm_active": 0.06, "sm_occupancy": 0.01}
    reached = 0.05 / 0.6 / 0.8
    parts = one(window(launching=True, **small))
    assert parts.seconds["host"] == pytest.approx(0.2 * (0.4 + 0.6 * 0.5 * (1 - reached)))
    assert parts.useful_s == pytest.approx(0.2 * 0.6 * reached)
    assert one(window(launching=False, **small)).seconds["host"] == pytest.approx(0.2 * 0.4)


def test_a_device_that_never_waits_is_not_launch_bound_however_busy_the_thread() -> None:
    """A thread that spins until one long, small kernel is over is pegged as well."""
    small: Load = {"gr_active": 1.0, "sm_active": 0.1, "sm_occupancy": 0.02}
    assert one(window(launching=True, **small)).seconds == {"host": 0.0, "device": pytest.approx(0.2)}


def test_an_unknown_occupancy_is_not_a_low_one() -> None:
    filled = window(launching=True, sm_active=0.9, sm_occupancy=None)
    assert "device" in one(filled).seconds


def test_a_busy_link_with_low_roofs_is_communication() -> None:
    parts = one(window(nvlink_rx_bytes_s=300e9)).seconds
    assert parts["communication"] == pytest.approx(0.2)
    assert "communication" not in one(window(nvlink_rx_bytes_s=300e9, dram_active=0.85)).seconds


def test_a_held_down_clock_is_throttle_on_the_compute_share_alone() -> None:
    hot: Load = {"sm_mhz": 1188.0, "throttle_reasons": ("hw_thermal",)}
    compute = one(window(tensor_active=0.7, **hot)).seconds
    assert compute["throttle"] == pytest.approx(0.2 * 0.4)
    assert compute["compute"] == pytest.approx(0.2 * 0.6)
    assert "throttle" not in one(window(dram_active=0.85, **hot)).seconds


def test_a_low_clock_without_a_reason_is_not_throttle() -> None:
    assert clock_loss(window(sm_mhz=1000.0), LIMITS) == 0.0
    assert clock_loss(window(sm_mhz=1000.0, throttle_reasons=("gpu_idle",)), LIMITS) == 0.0


def test_a_power_limit_costs_only_where_it_was_lowered() -> None:
    def counted(limit_w: float | None, default_w: float | None, probed_w: float | None) -> bool:
        device = Device(name="made-up", power_limit_w=limit_w, power_limit_default_w=default_w)
        ceilings = msgspec.structs.replace(CEILINGS, power_limit_w=probed_w)
        return "sw_power_cap" in limits_of(evidence((), device=device), ceilings).clock_reasons

    assert not counted(700.0, 700.0, None)
    assert not counted(700.0, 700.0, 700.0)
    assert not counted(None, 700.0, 700.0)
    assert not counted(695.0, None, 700.0), "rounding"
    assert counted(500.0, 700.0, None)
    assert counted(500.0, 700.0, 500.0), "lowered before the probe already"
    assert counted(600.0, 600.0, 700.0), "lowered since the probe"


@given(
    st.lists(st.floats(1.0, 3000.0), min_size=1, max_size=4),
    st.floats(100.0, 1500.0),
    st.sampled_from([None, 0.99, 1.0, 1.3]),
    st.lists(windows, max_size=20),
)
def test_at_the_cards_own_limit_a_power_cap_alone_costs_nothing(
    clocks: list[float], limit_w: float, over_default: float | None, ws: list[SubWindow]
) -> None:
    """However warm the card, however hungry the load: what the probe's loads held is no claim on others."""
    found = probed(clocks, limit_w=limit_w, assumed=ASSUMED)
    default_w = None if over_default is None else limit_w / over_default
    device = Device(name="made-up", power_limit_w=limit_w, power_limit_default_w=default_w, sm_mhz_max=1980.0)
    capped = [msgspec.structs.replace(w, throttle_reasons=("sw_power_cap", "gpu_idle")) for w in ws]
    limits = limits_of(evidence((), device=device), found)
    parts = [split(w, tier, found, limits) for w in capped for tier in ("counters", "nvml")]
    assert total(parts).shares.get("throttle", 0.0) == 0.0


@given(
    st.lists(st.floats(1.0, 3000.0), max_size=4),
    st.floats(100.0, 700.0),
    st.sampled_from([None, ASSUMED]),
    windows,
)
def test_a_measured_clock_never_costs_more_than_an_assumed_one(
    clocks: list[float], limit_w: float, sheet: Ceilings | None, w: SubWindow
) -> None:
    """Whatever holds the clock down, as long as the limit is the one the probe ran under."""
    device = Device(name="made-up", power_limit_w=limit_w, power_limit_default_w=700.0, sm_mhz_max=1980.0)
    assumed = limits_of(evidence((), device=device), sheet)
    measured = limits_of(evidence((), device=device), probed(clocks, limit_w=limit_w, assumed=sheet))
    assert clock_loss(w, measured) <= clock_loss(w, assumed)


def probed(clocks: list[float], *, limit_w: float, assumed: Ceilings | None) -> Ceilings:
    """What derives from a run whose GEMMs were held at these clocks."""
    names = ("bf16", "fp16", "fp8_e4m3", "fp64")
    takes = [
        take(
            name,
            1e12,
            sustained=0.9e12,
            extra={"sustained_sm_mhz": clock, "sustained_power_w": limit_w},
            throttle_reasons=("sw_power_cap",),
            counters_at_ceiling={"tensor_active": 0.9},
        )
        for name, clock in zip(names, clocks, strict=False)
    ]
    copy = take("dram_copy", 3e12, counters_at_ceiling={"dram_active": 0.9})
    found = ceilings_of(report(copy, *takes, device=facts(power_limit_w=limit_w)), assumed)
    assert found is not None
    return found


def test_a_pipe_whose_reading_is_unknown_hides_the_nearer_roof() -> None:
    """A card without data sheet, of which the bandwidth alone was measured."""
    partly = msgspec.structs.replace(CEILINGS, label="assumed", readings=CEILINGS.readings[:1])

    def seen(**counters: float) -> dict[str, float]:
        parts = split(window(**counters), "counters", partly, LIMITS).seconds
        return {name: value for name, value in parts.items() if value}

    assert set(seen(dram_active=0.85)) == {"memory"}
    assert set(seen(dram_active=0.05)) == {"unknown"}, "neither roof, as far as can be seen"
    assert set(seen(dram_active=0.6, tensor_active=0.9)) == {"unknown"}
    assert set(seen(dram_active=0.6, tensor_active=0.3)) == {"memory"}


def test_without_a_ceiling_busy_time_is_unknown_and_the_gap_still_known() -> None:
    parts = split(window(gr_active=0.75), "counters", None, LIMITS).seconds
    assert parts == {"host": pytest.approx(0.05), "unknown": pytest.approx(0.15)}


def test_a_missing_pipe_counter_cannot_prove_a_device_inefficiency() -> None:
    assert one(window(tensor_active=None)).seconds == {"host": 0.0, "unknown": pytest.approx(0.2)}


def test_lost_and_unread_time_is_unknown() -> None:
    assert one(window(lost=True)).seconds == {"unknown": 0.2}
    assert one(window(gr_active=None)).seconds == {"unknown": 0.2}


def test_quiet_runs_are_a_host_gap_until_they_last() -> None:
    busy, quiet = {"tensor_active": 0.7}, {"gr_active": 0.0}
    short = total([one(w) for w in series((10, busy), (15, quiet), (10, busy))])
    assert short.shares["idle_held"] == 0.0
    assert short.shares["host"] == pytest.approx(15 / 35)
    long = total([one(w) for w in series((10, busy), (40, quiet), (10, busy))])
    assert long.shares["host"] == pytest.approx(0.0, abs=1e-9)
    assert long.shares["idle_held"] == pytest.approx(40 / 60)


def test_a_wholly_quiet_window_is_idle_held_however_short() -> None:
    shares = total([one(w) for w in series((5, {"gr_active": 0.0}))]).shares
    assert shares["idle_held"] == pytest.approx(1.0)


def test_quiet_with_missing_data_is_idle_held_merged_or_not() -> None:
    parts = [one(window(gr_active=0.0)), one(window(gr_active=None)), one(window(gr_active=0.0))]
    for kept in (parts, [merge(parts[0], parts[1]), parts[2]]):
        shares = total(kept).shares
        assert shares["idle_held"] == pytest.approx(2 / 3)
        assert shares["unknown"] == pytest.approx(1 / 3)


def test_nothing_observed_has_no_shares() -> None:
    assert total([]).shares == {}


def test_nvml_tier_names_memory_by_the_memory_controller_and_compute_by_power() -> None:
    def nvml(**counters: Any) -> Split:
        w = window(sm_active=None, tensor_active=None, dram_active=None, fp32=None, **counters)
        return split(w, "nvml", None, LIMITS)

    assert "memory" in nvml(mem_util_frac=0.95, power_w=600.0).seconds
    assert "compute" in nvml(mem_util_frac=0.3, power_w=690.0).seconds
    assert "device" in nvml(mem_util_frac=0.02, power_w=150.0).seconds
    assert "unknown" in nvml(mem_util_frac=None, power_w=None).seconds


@given(windows, st.sampled_from(["counters", "nvml"]), st.booleans())
def test_a_split_always_sums_to_its_duration(w: SubWindow, tier: Tier, known: bool) -> None:
    part = split(w, tier, CEILINGS if known else None, LIMITS)
    assert math.fsum(part.seconds.values()) == pytest.approx(w.duration_s, rel=1e-9)
    assert all(value >= 0.0 for value in part.seconds.values())
    assert 0.0 <= part.useful_s <= w.duration_s * (1 + 1e-9)


@given(st.lists(windows, min_size=1, max_size=60))
def test_shares_always_sum_to_one(ws: list[SubWindow]) -> None:
    shares = total([one(w) for w in ws]).shares
    assert set(shares) == set(SHARES)
    assert abs(math.fsum(shares.values()) - 1.0) < 1e-9
    assert all(value >= -1e-12 for value in shares.values())


def same(a: dict[str, float], b: dict[str, float]) -> bool:
    return all(a.get(key, 0.0) == pytest.approx(b.get(key, 0.0), abs=1e-9) for key in {*a, *b})


@given(st.lists(windows, min_size=2, max_size=30), st.data())
def test_merging_neighbours_changes_nothing(ws: list[SubWindow], data: st.DataObject) -> None:
    """However a series is merged, its shares, its useful part and its roofs stay the same."""
    before = total([one(w) for w in ws])
    parts = [one(w) for w in ws]
    for _ in range(data.draw(st.integers(1, len(parts) - 1))):
        i = data.draw(st.integers(0, len(parts) - 2))
        parts[i : i + 2] = [merge(parts[i], parts[i + 1])]
    after = total(parts)
    assert same(before.shares, after.shares)
    assert after.useful == pytest.approx(before.useful, abs=1e-9)
    assert after.observed_s == pytest.approx(before.observed_s)
    assert (before.dram_roof is None) == (after.dram_roof is None)


def test_communication_time_holds_no_useful_part() -> None:
    """It is a term of the ladder itself; what the device did meanwhile is not counted beside it."""
    assert one(window(nvlink_rx_bytes_s=300e9, dram_active=0.3)).useful_s == 0.0


@pytest.mark.parametrize("kind", ["hmma", "imma", "dfma", "dmma"])
def test_tensor_work_is_named_by_the_kind_that_makes_it_up(kind: str) -> None:
    kinds = {**dict.fromkeys(("hmma", "imma", "dfma", "dmma"), 0.0), kind: 0.7}
    part = one(window(tensor_active=0.72, **kinds))
    assert part.pipe == kind
    assert part.pipe_s == pytest.approx(0.2 * 0.72 / 0.8), "by the reading that decided"


def test_tensor_work_of_no_known_kind_is_just_that() -> None:
    assert one(window(tensor_active=0.72)).pipe == "tensor_active"
    assert one(window(tensor_active=0.72, hmma=0.3, imma=0.3)).pipe == "tensor_active"


def test_a_kind_without_a_reading_of_its_own_is_as_sure_as_tensor_work_is() -> None:
    limits = msgspec.structs.replace(
        LIMITS, errors={"tensor_active": 0.02, "dram_active": 0.02, "fp32": 0.02}
    )
    moved = [
        split(window(**{"tensor_active": 0.5, "fp32": 0.0, kind: 0.5}), "counters", CEILINGS, limits).moved_s
        for kind in ("tensor_active", "dmma")
    ]
    assert moved[0] is not None and moved[0] == moved[1]
