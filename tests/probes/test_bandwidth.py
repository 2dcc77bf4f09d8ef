"""The bandwidth probe end to end on the host: its kernels run thread by thread, torch's calls for real."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from probes import streams
from probes.bandwidth import QUICK_VARIANTS, bandwidth, repeated, try_all
from probes.kernels import RINGS, VARIANTS
from probes.record import Measurement
from probes.streams import Take
from tests.probes.host_cuda import HostCupy, compiler
from tests.probes.memory_lab import memory_lab

METRICS = ["dram_read", "dram_copy", "dram_write", "dram_triad", "l2_read"]
BUFFERS = {"dram_read": 1, "dram_write": 1, "dram_copy": 2, "dram_triad": 3}


@pytest.fixture(scope="module", autouse=True)
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler to run the kernels with on the host")
    return tmp_path_factory.mktemp("bandwidth")


@pytest.fixture(autouse=True)
def few_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "L2_SWEEPS", 2)


@pytest.fixture(scope="module")
def measured(folder: Path) -> list[Measurement]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "L2_SWEEPS", 2)
        lab = memory_lab(HostCupy(folder), mem_mhz_max=1000.0, mem_bus_bits=128)
        return list(bandwidth(lab))


def test_each_kind_is_measured_by_kernel_and_by_torch(measured: list[Measurement]) -> None:
    assert {m.metric for m in measured} == set(METRICS)
    for metric in BUFFERS:
        ways = {m.conditions.method.startswith("cupy kernel") for m in measured if m.metric == metric}
        assert ways == {True, False}
    assert all(m.valid == "valid" and m.unit == "bytes_s" for m in measured), measured


def test_bytes_are_those_of_the_definition(measured: list[Measurement]) -> None:
    for m in measured:
        told = m.conditions
        assert m.median is not None and told.window_s is not None
        assert told.calls is not None and told.buffer_bytes is not None
        if m.metric in BUFFERS:
            moved = told.calls * told.extra["passes_per_call"] * BUFFERS[m.metric] * told.buffer_bytes
            assert m.median * told.window_s == pytest.approx(moved, rel=0.01)


def test_the_better_way_comes_first_and_all_variants_are_told(measured: list[Measurement]) -> None:
    labels = {v.label for v in VARIANTS}
    for metric in BUFFERS:
        takes = [m for m in measured if m.metric == metric]
        tried = takes[0].conditions.tried
        assert set(tried) == labels | {"torch"}
        best = max(tried, key=lambda name: tried[name])
        assert (best == "torch") == (not takes[0].conditions.method.startswith("cupy"))


def test_denominators_are_both_told(measured: list[Measurement]) -> None:
    copy = next(m for m in measured if m.metric == "dram_copy")
    assert copy.conditions.extra["clock_bytes_s"] == 32e9
    assert copy.median is not None and copy.of_clock == pytest.approx(copy.median / 32e9)
    assert copy.of_spec is None and "spec_bytes_s" not in copy.conditions.extra


def test_the_l2_is_read_within_a_quarter_of_it(measured: list[Measurement]) -> None:
    (l2,) = [m for m in measured if m.metric == "l2_read"]
    assert l2.conditions.buffer_bytes is not None and l2.conditions.buffer_bytes <= (1 << 20) / 4
    assert len(l2.conditions.tried) >= len(RINGS)
    assert l2.of_spec is None and l2.of_clock is None


def test_without_cupy_torch_alone_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    records = list(bandwidth(memory_lab()))
    assert [m.metric for m in records] == METRICS
    for m in records[:4]:
        assert m.valid == "valid" and m.conditions.method.startswith("torch.")
        assert "cupy is not installed" in m.conditions.missing["cupy kernel"]
    assert records[4].valid == "unsupported" and "cupy is not installed" in str(records[4].reason)


def test_without_torch_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = memory_lab()
    monkeypatch.setitem(sys.modules, "torch", None)
    records = list(bandwidth(lab))
    assert [(m.metric, m.valid) for m in records] == [(name, "unsupported") for name in METRICS]
    assert "torch is not installed" in str(records[0].reason)


def test_no_room_is_a_failure_of_each() -> None:
    records = list(bandwidth(memory_lab(memory_free_bytes=1 << 20)))
    assert [(m.metric, m.valid) for m in records] == [(name, "failed") for name in METRICS]
    assert "only 1 MiB" in str(records[0].reason)


def test_buffers_within_the_l2s_reach_are_degraded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    records = list(bandwidth(memory_lab(l2_bytes=64 << 20)))
    assert {m.valid for m in records[:4]} == {"degraded"}
    assert "under 5 times the L2 (64 MiB)" in str(records[0].reason)
    assert records[0].median is not None


def test_a_wrong_kernel_is_rejected_and_torch_remains(folder: Path) -> None:
    wrong = HostCupy(folder, spoil=("b.w + s * c.w", "b.w + c.w"))
    records = [m for m in bandwidth(memory_lab(wrong, mode="quick")) if m.metric == "dram_triad"]
    assert [m.valid for m in records] == ["rejected", "valid"]
    assert records[0].reason == "the triad's result is wrong" and records[0].median is None
    assert records[1].conditions.method.startswith("torch.add")
    assert set(records[1].conditions.missing.values()) >= {"the triad's result is wrong"}


def test_quick_mode_tries_few_variants(folder: Path) -> None:
    cupy = HostCupy(folder)
    records = list(bandwidth(memory_lab(cupy, mode="quick")))
    assert len(records[0].conditions.tried) == QUICK_VARIANTS + 1


def test_with_no_time_left_only_the_better_way_is_measured(folder: Path) -> None:
    records = list(bandwidth(memory_lab(HostCupy(folder), mode="quick", budget_s=0.0)))
    assert [m.metric for m in records] == METRICS
    assert len(records[0].conditions.tried) == 3


def take(name: str, check: str | None = None) -> Take:
    def call() -> None:
        if name == "breaks":
            raise RuntimeError("too many resources requested for launch")

    return Take(name=name, method=name, call=call, check=lambda: check)


def test_a_variant_that_cannot_be_launched_does_not_hide_the_others() -> None:
    makers = {name: lambda name=name: take(name) for name in ("breaks", "works")}
    tried = try_all(memory_lab(), 8, makers)
    assert [t.take.name for t in tried.trials] == ["works"]
    assert "too many resources" in tried.faults["breaks"] and not tried.wrong


def test_a_lost_device_is_not_caught() -> None:
    def lost() -> Take:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        try_all(memory_lab(), 8, {"lost": lost})


def test_repeated_calls() -> None:
    seen: list[int] = []
    repeated(lambda: seen.append(1), 3)()
    assert seen == [1, 1, 1]
