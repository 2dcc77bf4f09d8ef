"""Chains of short kernels, and copies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from advisor.traces.attribution import attribute
from advisor.traces.chains import chains
from advisor.traces.copies import copy_rows
from advisor.traces.kernel_study import nature_column, study
from advisor.traces.timeline import CopyKind, GpuKind, Op
from rules.traces.kernel_records import ChainFigures
from tests.advisor.traces.kernel_scenes import CARD, Scene, ceilings

EVERY, LENGTH, COUNT = 10_000, 4_000, 20


def _row_of(scene: Scene, count: int = COUNT, *, start: int = 0, **more: Any) -> Scene:
    """Kernels of 4 us each 10 us, each launched 3 us before it starts: 6 us idle between two."""
    for number in range(count):
        at = start + 5_000 + number * EVERY
        scene.kernel(f"kernel_{number % 3}", at, LENGTH, launched=at - 3_000, **more)
    return scene


def _any(scene: Scene) -> ChainFigures | None:
    judged = study(timeline := scene.timeline(), CARD, None)
    return chains(judged, attribute(timeline, 0, nature_column(judged)))


def _found(scene: Scene) -> ChainFigures:
    found = _any(scene)
    assert found is not None
    return found


def test_a_chain_and_what_a_graph_would_save() -> None:
    found = _found(_row_of(Scene()))
    assert (found.chains, found.kernels, found.of, found.median_length) == (1, COUNT, COUNT, COUNT)
    assert found.kernel_us == COUNT * 4.0
    assert found.saved_high_us == found.gap_us == (COUNT - 1) * 6.0
    assert found.saved_low_us == pytest.approx((COUNT - 1) * (6.0 - 1.3))
    assert found.longest[:2] == ("kernel_0", "kernel_1")
    assert "1.3" in found.basis


def test_idle_time_of_two_streams_counts_once() -> None:
    """Two chains that rest together wait for the same device: 6 us between 4 us of kernels, side by side."""
    scene = _row_of(Scene())
    _row_of(scene, start=100, stream=8)
    found = _found(scene)
    assert (found.chains, found.kernels) == (2, 2 * COUNT)
    assert found.gap_us == pytest.approx((COUNT - 1) * 5.9)
    assert found.saved_low_us == pytest.approx((COUNT - 1) * (5.9 - 1.3))


def _burst(scene: Scene, start: int, count: int, launched: int) -> None:
    for number in range(count):
        at = start + number * 7_000
        scene.kernel("kernel", at, LENGTH, launched=launched + number * 3_500)


def test_what_is_saved_is_told_by_its_cause() -> None:
    """Bursts launched ahead, 3 us between kernels; 65 us of a late launch between two bursts."""
    scene = Scene()
    for number in range(10):
        start = 100_000 + number * (20 * 7_000 + 62_000)
        _burst(scene, start, 20, launched=start - 3_000)
    found = _found(scene)
    late = 9 * 65.0
    assert found.chains == 1
    assert found.saved_high_by == pytest.approx({"kernel_gap": 190 * 3.0, "host_launch": late}, abs=190 * 1.0)
    assert sum(found.saved_high_by.values()) == pytest.approx(found.saved_high_us) == found.gap_us
    assert "host_launch" not in found.saved_low_by or found.saved_low_by["host_launch"] < late / 10
    assert sum(found.saved_low_by.values()) == pytest.approx(found.saved_low_us)


def test_a_graph_of_a_burst_saves_nothing_between_bursts() -> None:
    scene = Scene()
    for number in range(6):
        for kernel in range(40):
            at = 50_000 + number * (300_000 + 40 * 4_000) + kernel * (LENGTH + 10)
            scene.kernel("kernel", at, LENGTH, launched=at - 10_000 + kernel % 7)
    found = _found(scene)
    assert (found.chains, found.median_length, found.saved_low_us) == (6, 40, 0.0)
    assert found.saved_high_us == pytest.approx(6 * 39 * 0.01)


def test_rows_that_take_no_time_end_a_gap_of_a_chain() -> None:
    """As in files whose times are whole us: 10 us from launch to launch explain each gap, not their sum."""
    scene = _row_of(Scene(), 10)
    for number in range(10):
        at = 5_000 + (10 + number) * EVERY
        scene.kernel("tiny", at, 0, launched=at - 3_000)
    found = _found(_row_of(scene, 10, start=20 * EVERY))
    assert found.chains == 1
    assert found.saved_low_us == pytest.approx(19 * (6.0 - 1.3) + 10 * (10.0 - 1.3))


def _sync(scene: Scene) -> None:
    scene.call("cudaStreamSynchronize", 5_000 + 10 * EVERY - 4_000, 500)


def _item(scene: Scene) -> None:
    scene.op(Op("aten::item"), 5_000 + 10 * EVERY - 4_000, 500)


def _step(scene: Scene) -> None:
    scene.steps.append(5_000 + 10 * EVERY - 4_000)


def _read_back(scene: Scene) -> None:
    scene.kernel("Memcpy", 5_000 + 10 * EVERY - 2_000, 500, kind=GpuKind.MEMCPY, copy=CopyKind.D2H_PAGEABLE)


@pytest.mark.parametrize("breaks", [_sync, _item, _step, _read_back])
def test_what_a_graph_cannot_hold_breaks_a_chain(breaks: Callable[[Scene], None]) -> None:
    scene = _row_of(Scene())
    breaks(scene)
    found = _found(scene)
    assert (found.chains, found.kernels, found.median_length) == (2, COUNT, 10)
    assert found.saved_high_us == (COUNT - 2) * 6.0


def test_other_streams_break_nothing_but_fill_gaps() -> None:
    scene = _row_of(Scene())
    scene.kernel("long", 0, 10_000_000, stream=8)
    found = _found(scene)
    assert found.kernels == COUNT
    assert found.saved_high_us == 0.0


def test_long_kernels_and_long_pauses_end_a_chain() -> None:
    scene = _row_of(Scene(), 12)
    _row_of(scene, 12, start=12 * EVERY + 2_000_000)
    assert _found(scene).chains == 2
    long = Scene()
    for number in range(COUNT):
        long.kernel("gemm", number * 50_000, 40_000, launched=number * 50_000 - 3_000)
    assert _found(long).chains == 0


def test_few_kernels_are_no_chain() -> None:
    found = _found(_row_of(Scene(), 9))
    assert (found.chains, found.kernels, found.saved_high_us) == (0, 0, 0.0)


@pytest.mark.parametrize("more", [{"graph": 3}, {"call": "cudaGraphLaunch"}])
def test_kernels_of_a_graph_are_graphed_already(more: dict[str, Any]) -> None:
    found = _found(_row_of(Scene(), **more))
    assert (found.chains, found.graphed) == (0, COUNT)


def test_without_launches_nothing_can_be_said() -> None:
    scene = Scene()
    for number in range(COUNT):
        scene.kernel("kernel", number * EVERY, LENGTH)
    assert _any(scene) is None


def _copy(scene: Scene, kind: CopyKind, start: int, length: int, size: int) -> None:
    scene.kernel("Memcpy", start, length, kind=GpuKind.MEMCPY, copy=kind, bytes=size)


def test_copies_by_direction_and_memory() -> None:
    scene = Scene()
    _copy(scene, CopyKind.H2D_PINNED, 0, 1_000_000, 10_000_000)
    _copy(scene, CopyKind.H2D_PAGEABLE, 2_000_000, 500_000, 1_000_000)
    _copy(scene, CopyKind.D2D, 3_000_000, 100_000, 25_000_000)
    scene.kernel("Memset", 4_000_000, 50_000, kind=GpuKind.MEMSET, bytes=50)
    scene.kernel("kernel", 400_000, 600_000)
    pinned, pageable, within, cleared = copy_rows(study(scene.timeline(), CARD, ceilings(pcie=2e10)))
    assert (pinned.kind, pinned.memory, pinned.count, pinned.bytes) == ("h2d", "pinned", 1, 10_000_000)
    assert (pinned.total_us, pinned.exposed_us) == (1000.0, 400.0)
    assert pinned.bytes_s == pytest.approx(1e10)
    assert pinned.ceiling_frac == pytest.approx(0.5)
    assert (pageable.memory, pageable.exposed_us) == ("pageable", 500.0)
    assert within.ceiling_frac == pytest.approx(2 * 25e6 / 1e-4 / 1e12)
    assert (cleared.kind, cleared.total_us) == ("set", 50.0)


def test_sizes_and_ceilings_that_are_not_known() -> None:
    scene = Scene()
    _copy(scene, CopyKind.P2P, 0, 1_000, -1)
    (row,) = copy_rows(study(scene.timeline(), CARD, None))
    assert (row.kind, row.bytes, row.bytes_s, row.ceiling_frac) == ("p2p", None, None, None)
