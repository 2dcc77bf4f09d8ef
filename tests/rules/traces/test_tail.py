"""Blocks per SM as NVIDIA's occupancy calculator gives them, waves and tails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.traces.tail import SmLimits, resident_blocks, sm_limits, tail_frac, theoretical_occupancy, waves


def _limits(capability: str, sm_count: int = 100) -> SmLimits:
    found = sm_limits(sm_count, capability)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("capability", "threads", "registers", "shared", "resident", "occupancy"),
    [
        ("9.0", 1024, 32, 128, 2, 1.0),
        ("9.0", 128, 255, 0, 2, 0.125),
        ("9.0", 384, 168, 214_016, 1, 0.1875),
        ("8.0", 256, 64, 0, 4, 0.5),
        ("8.0", 128, 128, 73_728, 2, 0.125),
        ("7.0", 256, 122, 32_768, 2, 0.25),
        ("7.5", 256, 32, 0, 4, 1.0),
        ("8.9", 128, 16, 0, 12, 1.0),
        ("8.6", 32, 16, 0, 16, 1 / 3),
    ],
)
def test_what_an_sm_holds(
    capability: str, threads: int, registers: int, shared: int, resident: int, occupancy: float
) -> None:
    limits = _limits(capability)
    assert resident_blocks(limits, threads, registers, shared) == resident
    assert theoretical_occupancy(limits, threads, resident) == pytest.approx(occupancy)


def test_waves_and_the_tail_of_the_last() -> None:
    limits = _limits("9.0", 132)
    assert waves(limits, 264, 2) == 1.0
    assert tail_frac(1.0) == 0.0
    assert tail_frac(waves(limits, 265, 2)) == pytest.approx(1 - 265 / 528)
    assert tail_frac(waves(limits, 66, 1)) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("threads", "registers", "shared"), [(-1, 32, 0), (0, 32, 0), (128, -1, 0), (128, 32, -1)]
)
def test_unknown_facts_give_no_figure(threads: int, registers: int, shared: int) -> None:
    assert resident_blocks(_limits("9.0"), threads, registers, shared) is None


def test_more_than_an_sm_has_gives_no_figure() -> None:
    assert resident_blocks(_limits("8.0"), 1024, 32, 200_000) is None
    assert resident_blocks(_limits("8.0"), 4096, 32, 0) is None


def test_other_cards_have_no_limits_here() -> None:
    assert sm_limits(304, "gfx942") is None
    assert sm_limits(104, "9.0", warp_size=64) is None
    assert sm_limits(104, None) is None
    assert sm_limits(None, "9.0") is None


def test_the_trace_comes_before_the_table() -> None:
    found = sm_limits(132, "9.0", threads=1024, registers=32768, shared_bytes=4096)
    assert found is not None
    assert (found.threads, found.registers, found.shared_bytes) == (1024, 32768, 4096)


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_tail_is_a_fraction(value: float) -> None:
    assert 0.0 <= tail_frac(value) <= 1.0
