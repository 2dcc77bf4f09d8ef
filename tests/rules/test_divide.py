"""Busy time between both roofs: pure kernels stay pure, kernels that take turns are told apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import thresholds as th
from rules.divide import CORNERS, MOVABLE, NEAR, Parts, Work, divide, moved, reached, second_part
from tests.rules.loads import Load, window
from tests.rules.test_classify import one

fracs = st.one_of(st.none(), st.floats(0.0, 1.0))
launches = st.sampled_from([None, 0.0, 0.5, 0.75])
errors = st.sampled_from([0.02, 0.05, 0.10])


def work(dram: float | None, pipe: float | None, error: float = 0.02, **more: Any) -> Work:
    given: dict[str, Any] = {"complete": True, "launching": None, "link": False, **more}
    return Work(dram=dram, pipe=pipe, dram_error=error, pipe_error=error, **given)


def parts(dram: float | None, pipe: float | None, **more: Any) -> Parts:
    return divide(work(dram, pipe, **more), dram, pipe)


def mixture(memory: float, height: float) -> tuple[float, float]:
    """Mean roof fractions of memory kernels for this part of the time and compute kernels for the rest."""
    carried = th.CARRY.value * height
    rest = 1.0 - memory
    return memory * height + rest * carried, rest * height + memory * carried


@pytest.mark.parametrize(("dram", "pipe"), [(0.28, 0.95), (0.2, 0.7), (0.05, 0.61)])
def test_a_gemm_with_the_traffic_that_gemms_have_is_compute_alone(dram: float, pipe: float) -> None:
    assert parts(dram, pipe) == Parts(compute=1.0)
    assert parts(pipe, dram) == Parts(memory=1.0)


def test_a_gemm_at_its_roof_keeps_its_time_whatever_else_it_does() -> None:
    """No kernel passes its roof, so a pipe that reads 0.95 leaves little time to others."""
    assert parts(0.6, 0.95).compute >= 0.92
    assert parts(0.9, 1.0).compute == 1.0


@given(st.floats(0.15, 0.85), st.floats(0.75, 0.95))
def test_kernels_that_take_turns_get_their_parts(memory: float, height: float) -> None:
    """A training step: the mean of neither roof gets to 0.6, yet every kernel is at one of them."""
    found = parts(*mixture(memory, height))
    assert found.device == pytest.approx(0.0, abs=0.02)
    assert found.memory == pytest.approx(memory, abs=0.1)
    assert found.compute == pytest.approx(1.0 - memory, abs=0.1)


def test_a_training_step_of_gemms_and_pointwise_kernels_is_not_latency() -> None:
    found = parts(0.45, 0.55)
    assert found.device == 0.0
    assert found.compute > found.memory > 0.3


@pytest.mark.parametrize(("dram", "pipe"), [(0.55, 0.05), (0.3, 0.25), (0.1, 0.5), (0.5, 0.15)])
def test_one_kind_of_kernel_below_the_roof_is_latency(dram: float, pipe: float) -> None:
    assert parts(dram, pipe) == Parts(device=1.0)


def test_latency_takes_over_gradually_as_the_sum_falls() -> None:
    device = [parts(half, half).device for half in (0.4, 0.36, 0.33, 0.31, 0.29)]
    assert device == sorted(device)
    assert (device[0], device[-1]) == (0.0, 1.0)


def test_where_a_roof_is_out_of_sight_only_a_near_one_decides() -> None:
    assert parts(0.5, None, complete=False) == Parts()
    assert parts(0.7, None, complete=False) == Parts(memory=1.0)


def test_links_and_launches_come_before_latency() -> None:
    assert parts(0.4, 0.4, link=True) == Parts(communication=1.0)
    assert parts(0.1, 0.2, launching=0.5) == Parts(host=0.4, device=0.6)


@given(fracs, fracs, st.booleans(), launches, st.booleans())
def test_parts_sum_to_one_or_to_nothing(
    dram: float | None, pipe: float | None, complete: bool, launching: float | None, link: bool
) -> None:
    found = parts(dram, pipe, complete=complete, launching=launching, link=link)
    assert all(part >= 0.0 for part in found)
    assert sum(found) == pytest.approx(1.0) or found == Parts()


@given(st.floats(0.0, 1.0), st.floats(1e-6, 1.0), st.floats(0.0, 1.0))
def test_the_height_reached_lies_between_the_larger_mean_and_the_roof(
    a: float, b: float, roofed: float
) -> None:
    top, other = max(a, b), min(a, b)
    assert top <= reached(top, other, roofed) <= 1.0 + 1e-12
    assert 0.0 <= second_part(top, other) <= 0.5 + 1e-12


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), errors, st.booleans())
def test_what_says_that_nothing_moves_is_right(
    dram: float, pipe: float, error: float, launching: float | None
) -> None:
    """The short cut leaves out no corner that matters."""
    w = work(dram, pipe, error, launching=launching)
    base = divide(w, dram, pipe)
    if moved(w, base) is None:
        for d, p, c, high in CORNERS:
            m, q = min(1.0, dram * (1 + d * error)), min(1.0, pipe * (1 + p * error))
            assert divide(w, m, q, c, high) == base


def test_a_roof_just_past_its_threshold_may_be_latency() -> None:
    w = work(0.61, 0.1)
    change = moved(w, divide(w, w.dram, w.pipe))
    assert change is not None
    corners = [
        dict(zip(MOVABLE, change[i : i + len(MOVABLE)], strict=True))
        for i in range(0, len(change), len(MOVABLE))
    ]
    assert min(c["memory"] for c in corners) == -1.0
    assert max(c["device"] for c in corners) == 1.0
    assert moved(work(0.9, 0.05), Parts(memory=1.0)) is None


@pytest.mark.parametrize(("dram", "last"), [(0.49, None), (0.55, "memory"), (0.65, "device"), (0.71, None)])
def test_the_threshold_itself_may_be_off(dram: float, last: str | None) -> None:
    """Beyond what the readings' errors move: a roof of 0.55 is latency by a round number alone."""
    w = work(dram, 0.0)
    change = moved(w, divide(w, w.dram, w.pipe))
    by_threshold = (change or (0.0,) * (len(CORNERS) * len(MOVABLE)))[-2 * len(MOVABLE) :]
    gained = {name for i, by in enumerate(by_threshold) if by > 0.0 for name in [MOVABLE[i % len(MOVABLE)]]}
    assert gained == ({last} if last else set())
    near = (change or ())[: NEAR * len(MOVABLE)]
    assert not any(near)


def test_a_split_of_a_mix_says_both_and_how_high_both_came() -> None:
    both: Load = {"dram_active": 0.45 * 0.9, "tensor_active": 0.55 * 0.8}
    part = one(window(**both))
    assert part.seconds["memory"] + part.seconds["compute"] == pytest.approx(0.2)
    assert part.useful_s / 0.2 == pytest.approx((0.45 + 0.55) / (1.0 + th.CARRY.value))
    assert set(part.at_s) == {"memory", "compute"}


def test_heat_slows_the_compute_part_of_a_mix_alone() -> None:
    hot: Load = {"sm_mhz": 990.0, "throttle_reasons": ("hw_thermal",)}
    both: Load = {"dram_active": 0.45 * 0.9, "tensor_active": 0.55 * 0.8}
    cool, slowed = one(window(**both)).seconds, one(window(**both, **hot)).seconds
    assert slowed["memory"] == pytest.approx(cool["memory"])
    assert slowed["throttle"] == pytest.approx(cool["compute"] / 2)
