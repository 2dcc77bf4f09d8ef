"""Shares from accounts, and when an account bears its label out."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.spec import LABELS, Account, Truth, Workload
from benchmarks.workloads.truth import shares_of, truth_of
from probes.ceilings import Ceiling, Ceilings


def _ceilings(label: Any = "measured", stale: str | None = None, **values: float) -> Ceilings:
    units = {"bf16": "flop_s", "int8": "op_s", "fp32": "flop_s", "fp64_tensor": "flop_s"}
    return Ceilings(
        model="made-up card",
        label=label,
        stale=stale,
        ceilings=tuple(
            Ceiling(metric=n, value=v, unit=units.get(n, "bytes_s"), label=label, source="planted")
            for n, v in values.items()
        ),
    )


CARD = _ceilings(dram_copy=100.0, dram_read=110.0, bf16=1000.0, fp32=50.0, int8=2000.0, fp64_tensor=60.0)


def _account(steps: int = 10, wall_s: float = 10.0, **counts: float) -> Account:
    return Account(wall_s=wall_s, steps=steps, counts=counts)


def _workload(**changes: Any) -> Workload:
    given = {
        "name": "made_up",
        "family": "made",
        "label": "memory",
        "cause": "dram-bandwidth",
        "truth": "pure",
    }
    return Workload(**{**given, "about": "Made up.", "setup": lambda _: dict, **changes})


def _truth(
    workload: Workload, base: Account, fixed: Account | None = None, ceilings: Ceilings | None = CARD
) -> Truth:
    return truth_of(workload, base, fixed, ceilings, recording="r", device="d", synthetic=True)


_SECONDS = st.floats(allow_nan=True, allow_infinity=True)
_COUNTS = st.dictionaries(st.sampled_from([f"{label}_s" for label in LABELS] + ["bytes", "flops"]), _SECONDS)
_ACCOUNTS = st.builds(Account, wall_s=_SECONDS, steps=st.integers(0, 10**9), counts=_COUNTS)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(WORKLOADS)), _ACCOUNTS, st.none() | _ACCOUNTS)
def test_shares_sum_to_one_whatever_was_counted(name: str, base: Account, fixed: Account | None) -> None:
    truth = _truth(WORKLOADS[name], base, fixed)
    assert set(truth.shares) == set(LABELS)
    assert math.fsum(truth.shares.values()) == pytest.approx(1.0, abs=1e-9)
    assert all(0.0 <= share <= 1.0 for share in truth.shares.values())
    assert truth.because


def test_what_sections_leave_over_is_the_labels() -> None:
    mix = _workload(label="host", truth="sections")
    shares = shares_of(mix, _account(host_s=5.0, compute_s=3.0), None)
    assert shares["host"] == pytest.approx(0.7)
    assert shares["compute"] == pytest.approx(0.3)


def test_a_host_share_by_speedup_is_what_the_fix_took_away() -> None:
    launch = _workload(label="host", truth="speedup", beneath="device", fixed=lambda _: dict)
    truth = _truth(launch, _account(10), _account(40))
    assert truth.speedup == 4.0
    assert truth.shares["host"] == pytest.approx(0.75)
    assert truth.shares["device"] == pytest.approx(0.25)
    assert truth.confirmed


def test_a_fix_that_did_not_run_confirms_nothing() -> None:
    launch = _workload(label="host", truth="speedup", fixed=lambda _: dict)
    truth = _truth(launch, _account(10), Account(error="no graph"))
    assert not truth.confirmed
    assert "unknown, because its fix did not run" in truth.because


@pytest.mark.parametrize(("moved", "confirmed"), [(590.0, False), (600.0, True)])
def test_a_roof_is_confirmed_at_six_tenths_of_it(moved: float, confirmed: bool) -> None:
    truth = _truth(_workload(bound=("dram_copy", "bytes")), _account(bytes=moved))
    assert truth.of_ceiling == pytest.approx(moved / 1000.0)
    assert truth.confirmed is confirmed


@pytest.mark.parametrize(
    "ceilings",
    [
        None,
        _ceilings("assumed", dram_copy=1.0),
        _ceilings(stale="another driver", dram_copy=1.0),
        _ceilings(),
    ],
)
def test_without_a_measured_ceiling_the_fraction_is_unknown(ceilings: Ceilings | None) -> None:
    truth = _truth(_workload(bound=("dram_copy", "bytes")), _account(bytes=900.0), ceilings=ceilings)
    assert truth.of_ceiling is None
    assert not truth.confirmed
    assert "unknown, because the card was not probed for dram_copy" in truth.because


def test_operations_count_as_flops_and_fp64_has_its_own_name() -> None:
    int8 = _workload(label="compute", bound=("int8", "flops"))
    assert _truth(int8, _account(flops=15_000.0)).of_ceiling == pytest.approx(0.75)
    fp64 = _workload(label="compute", bound=("fp64", "flops"))
    assert _truth(fp64, _account(flops=480.0)).of_ceiling == pytest.approx(0.8)


def test_in_sections_a_rate_is_over_its_own_section() -> None:
    mix = _workload(label="compute", accepted=("memory",), truth="sections", bound=("bf16", "flops"))
    truth = _truth(mix, _account(compute_s=6.0, memory_s=4.0, flops=5400.0, bytes=1.0))
    assert truth.of_ceiling == pytest.approx(0.9)
    assert truth.confirmed


def test_the_larger_accepted_share_names_a_mix() -> None:
    mix = _workload(label="compute", accepted=("memory",), truth="sections", bound=("bf16", "flops"))
    truth = _truth(mix, _account(compute_s=4.0, memory_s=6.0, flops=3600.0))
    assert (truth.label, truth.accepted) == ("memory", ("compute",))
    assert truth.confirmed


def test_a_host_share_of_three_tenths_keeps_the_class() -> None:
    mix = _workload(label="host", accepted=("memory",), truth="sections")
    assert _truth(mix, _account(host_s=4.0, memory_s=6.0)).label == "host"
    less = _truth(mix, _account(host_s=2.0, memory_s=8.0))
    assert (less.label, less.accepted) == ("memory", ("host",))


LATE = _workload(label="host", truth="sections", fixed=lambda _: dict)


@pytest.mark.parametrize(("steps", "confirmed"), [(5, False), (14, False), (15, True)])
def test_a_fix_that_wins_too_little_confirms_no_host_label(steps: int, confirmed: bool) -> None:
    """However long the program saw the device without work: 6 of 10 s on the host promise 1.43 times."""
    truth = _truth(LATE, _account(host_s=6.0, compute_s=4.0), _account(steps))
    assert truth.confirmed is confirmed
    assert f"{steps / 10:.2f} times as fast; 1.43 times were wanted" in truth.because


def test_a_fix_that_failed_confirms_no_host_label() -> None:
    for fixed in (None, Account(error="no pool")):
        truth = _truth(LATE, _account(host_s=6.0, compute_s=4.0), fixed)
        assert not truth.confirmed
        assert "its fix did not run" in truth.because


@pytest.mark.parametrize(("host_s", "confirmed"), [(3.1, True), (0.0, False)])
def test_where_no_fix_is_known_the_sections_alone_confirm(host_s: float, confirmed: bool) -> None:
    alone = _workload(label="host", truth="sections")
    assert _truth(alone, _account(host_s=host_s, compute_s=9.9 - host_s)).confirmed is confirmed


def test_speeds_are_of_the_same_work() -> None:
    """A step of the fix that does half of the work is no faster; elsewhere bytes are what a fix saves."""
    assert _truth(LATE, _account(flops=100.0), _account(20, flops=100.0)).speedup == 1.0
    assert _truth(LATE, _account(bytes=100.0), _account(20, bytes=150.0)).speedup == 1.5
    assert _truth(LATE, _account(flops=100.0), _account(20, bytes=150.0)).speedup == 2.0
    fused = _workload(fixed=lambda _: dict)
    assert _truth(fused, _account(bytes=300.0), _account(20, bytes=100.0)).speedup == 2.0


@pytest.mark.parametrize(("moved", "confirmed"), [(1100.0, True), (1110.0, False), (3000.0, False)])
def test_nothing_is_faster_than_its_ceiling(moved: float, confirmed: bool) -> None:
    truth = _truth(_workload(bound=("dram_copy", "bytes")), _account(bytes=moved))
    assert truth.confirmed is confirmed
    assert ("the count or the ceiling is wrong" in truth.because) is not confirmed


@pytest.mark.parametrize(
    ("moved", "words"),
    [
        (550.0, "divided"),
        (300.0, "its section ran at 0.50 of dram_copy, 0.6 wanted"),
        (700.0, "1.17 of dram_copy: the count or the ceiling is wrong"),
        (0.0, "how near its section is to dram_copy is unknown"),
    ],
)
def test_a_section_of_a_mix_is_held_against_its_own_ceiling(moved: float, words: str) -> None:
    mix = _workload(label="host", truth="sections", sections=(("dram_copy", "bytes"),))
    truth = _truth(mix, _account(host_s=4.0, memory_s=6.0, bytes=moved))
    assert truth.confirmed is (words == "divided")
    assert truth.confirmed or words in truth.because


def test_every_section_of_the_mixes_has_its_ceiling() -> None:
    mixes = [w for w in WORKLOADS.values() if w.family == "mixes" and w.truth == "sections"]
    assert len(mixes) == 3
    assert all(workload.sections for workload in mixes)


def test_too_small_a_host_share_is_not_confirmed() -> None:
    truth = _truth(_workload(label="host", truth="sections"), _account(host_s=2.0, compute_s=8.0))
    assert not truth.confirmed
    assert "does not name the class" in truth.because


def test_a_roof_beside_a_large_host_share_is_not_confirmed() -> None:
    truth = _truth(_workload(bound=("dram_copy", "bytes")), _account(bytes=650.0, host_s=3.5))
    assert not truth.confirmed


def test_a_device_far_from_its_limits_is_confirmed_without_a_fix() -> None:
    shape = _workload(label="device", cause="small-grid")
    assert _truth(shape, _account(bytes=100.0, flops=100.0)).confirmed
    near = _truth(shape, _account(bytes=700.0, flops=100.0))
    assert not near.confirmed
    assert "near a limit" in near.because
    assert not _truth(shape, _account(bytes=100.0), ceilings=None).confirmed


@pytest.mark.parametrize(("steps", "confirmed"), [(12, False), (13, True)])
def test_a_faster_fix_confirms_a_device_that_was_not_probed(steps: int, confirmed: bool) -> None:
    shape = _workload(label="device", cause="small-grid", fixed=lambda _: dict)
    assert _truth(shape, _account(10), _account(steps), None).confirmed is confirmed


def test_what_is_idle_launches_nothing() -> None:
    held = _workload(label="idle", cause="idle-held")
    assert _truth(held, _account()).confirmed
    assert not _truth(held, _account(launches=1.0)).confirmed


def test_nobody_steps_for_a_free_device() -> None:
    free = _workload(label="idle", cause="free", setup=None, process=False)
    assert _truth(free, Account(wall_s=5.0)).confirmed
    assert not _truth(_workload(), Account(wall_s=5.0)).confirmed


def test_a_program_that_failed_confirms_nothing() -> None:
    truth = _truth(_workload(), Account(error="out of memory"))
    assert not truth.confirmed
    assert "out of memory" in truth.because
