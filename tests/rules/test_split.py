"""A split keeps what a later look, or a look at one class alone, asks of it; merged or not."""

from __future__ import annotations

import math
from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.classify import split
from rules.decide import decide
from rules.evidence import HostEvidence, SubWindow, Tier
from rules.split import COUNTED, Split, merge, total
from rules.stacks import Stacks
from rules.verdict import Verdict
from tests.rules.contexts import stacks_of
from tests.rules.loads import CEILINGS, Load, evidence, series, window
from tests.rules.test_classify import LIMITS, one, windows

SMALL: Load = {"gr_active": 0.9, "sm_active": 0.2, "sm_occupancy": 0.05, "launching": True}
QUIET: Load = {"gr_active": 0.0, "launching": True}
GEMM: Load = {"sm_active": 0.97, "sm_occupancy": 0.2, "tensor_active": 0.7}
WAITING: Stacks = stacks_of(synchronise=0.6, launch=0.4)


def same(a: Split, b: Split) -> None:
    """Two splits of the same time, but for rounding and classes without a second."""
    for name in Split.__struct_fields__:
        left, right = getattr(a, name), getattr(b, name)
        if isinstance(left, dict):
            for key in {**left, **right}:
                zero = (0.0,) * 2 * len(COUNTED) if name == "counted_s" else 0.0
                assert left.get(key, zero) == pytest.approx(right.get(key, zero), abs=1e-9), (name, key)
        elif isinstance(left, tuple) or isinstance(right, tuple):
            zeros = (0.0,) * len(left or right)
            assert (left or zeros) == pytest.approx(right or zeros, abs=1e-9), name
        else:
            assert left == (pytest.approx(right, abs=1e-9) if isinstance(right, float) else right), name


@given(windows, st.sampled_from(["counters", "nvml"]))
def test_waiting_is_what_a_thread_that_does_not_launch_would_give(w: SubWindow, tier: Tier) -> None:
    told = split(msgspec.structs.replace(w, launching=False), tier, CEILINGS, LIMITS)
    same(split(w, tier, CEILINGS, LIMITS).waiting, told)


@given(windows, windows)
def test_it_makes_no_difference_whether_waiting_is_asked_before_merging(a: SubWindow, b: SubWindow) -> None:
    same(merge(one(a), one(b)).waiting, merge(one(a).waiting, one(b).waiting))


def looked(stride: int, host: HostEvidence) -> Verdict:
    """Bursts of 8 s of small kernels between pauses of 8 s, kept at a coarser stride."""
    ws = series(*[(40, SMALL), (40, QUIET)] * 10)
    parts = [reduce(merge, [one(w) for w in ws[i : i + stride]]) for i in range(0, len(ws), stride)]
    return decide(evidence(ws, host=host), CEILINGS, parts)


@pytest.mark.parametrize("stacks", [None, WAITING])
def test_a_look_inside_says_the_same_of_a_long_run_as_of_a_short_one(stacks: Stacks | None) -> None:
    """Pauses that lasted stay idle-held, whatever was merged before somebody looked."""
    host = HostEvidence(stacks=stacks)
    fine, coarse = looked(1, host), looked(64, host)
    assert fine.shares["idle_held"] == pytest.approx(0.5)
    assert coarse.shares == pytest.approx(fine.shares)
    assert fine.shares["host"] < 0.06 if stacks else fine.shares["host"] > 0.2


def test_shape_is_judged_by_its_own_time() -> None:
    """A small kernel half of the time fills few SMs, however well the GEMMs beside it fill them."""
    mixed = [(11, {"sm_active": 0.12, "sm_occupancy": 0.03, "tensor_active": 0.0}), (9, GEMM)] * 10
    verdict = decide(evidence(series(*mixed)), CEILINGS)
    assert (verdict.class_, verdict.cause) == ("device", "small-grid")
    assert verdict.class_mean("device", "sm_active") == pytest.approx(0.12)
    assert verdict.class_mean("device", "tensor_active") == 0.0
    assert verdict.class_mean("compute", "sm_occupancy") == pytest.approx(0.2)
    assert verdict.class_mean("memory", "sm_active") is None


def test_a_class_has_its_own_means_after_merging_too() -> None:
    ws = series((30, {"dram_active": 0.8, "tensor_active": 0.04}), (30, GEMM))
    sums = total([reduce(merge, [one(w) for w in ws])])
    assert sums.counters["memory"]["tensor_active"] == pytest.approx(0.04)
    assert sums.counters["compute"]["tensor_active"] == pytest.approx(0.7)


def test_time_in_which_a_counter_was_not_read_does_not_dilute_its_mean() -> None:
    ws = series((10, {"sm_active": 0.4}), (30, {"sm_active": None, "sm_occupancy": None}))
    for parts in ([one(w) for w in ws], [reduce(merge, [one(w) for w in ws])]):
        means = total(parts).counters["device"]
        assert means["sm_active"] == pytest.approx(0.4)
        assert means["sm_occupancy"] == pytest.approx(0.5)


def test_a_counter_while_busy_is_a_part_of_the_busy_time() -> None:
    assert one(window(gr_active=0.5, sm_active=0.2)).counted_s["device"][0] == pytest.approx(0.1 * 0.4)
    assert one(window(sm_active=None, sm_occupancy=None, tensor_active=None)).counted_s == {}


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5])
def test_a_value_that_is_no_reading_counts_as_unread(value: float) -> None:
    assert one(window(gr_active=value)).seconds == {"unknown": 0.2}
    odd, unread = one(window(dram_active=value)), one(window(dram_active=None))
    assert odd.seconds == unread.seconds and "unknown" in odd.seconds
    same(one(window(sm_active=value, tensor_active=value)), one(window(sm_active=None, tensor_active=None)))
