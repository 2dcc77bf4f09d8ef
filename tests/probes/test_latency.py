"""The latency probe on the host: its chain is one cycle, and its records hold seconds and cycles."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from probes import latency as probe
from probes.kernels import load
from probes.latency import LINE_BYTES, WORDS, Chase, fault, label, latency, write_cycle
from probes.record import Measurement
from tests.probes.host_cuda import HostCupy, compiler
from tests.probes.memory_lab import memory_lab


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if compiler() is None:
        pytest.skip("no C++ compiler to run the kernels with on the host")
    return tmp_path_factory.mktemp("latency")


def small_chase(torch: Any, cupy: HostCupy, lines: int) -> Chase:
    memory, state = torch.zeros(lines * WORDS, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    return Chase(load(memory_lab(cupy), (), ()), memory, state)


@pytest.fixture(scope="module")
def measured(torch: Any, folder: Path) -> list[Measurement]:
    return list(latency(memory_lab(HostCupy(folder), memory_free_bytes=128 << 20)))


@pytest.mark.parametrize("lines", [1, 2, 3, 128, 1000])
def test_the_chain_is_one_cycle_over_all_lines(torch: Any, folder: Path, lines: int) -> None:
    chase = small_chase(torch, HostCupy(folder), lines)
    write_cycle(memory_lab(), chase, lines)
    base, first = chase.memory.data_ptr(), int(chase.state[0])
    at, seen = first, set()
    for _ in range(lines):
        assert (at - base) % LINE_BYTES == 0 and 0 <= at - base < lines * LINE_BYTES
        seen.add(at)
        at = int(chase.memory[(at - base) // 8])
    assert at == first and len(seen) == lines


def test_the_kernels_go_where_the_chain_leads(torch: Any, folder: Path) -> None:
    chase = small_chase(torch, HostCupy(folder), 128)
    assert fault(memory_lab(), chase) is None
    write_cycle(memory_lab(), chase, 128)
    start = int(chase.state[0])
    for _ in range(4):
        chase.kernels.chase("l2", chase.state.data_ptr(), 32).call()
    where, cycles, hops = chase.state.tolist()
    assert (where, hops) == (start, 128) and cycles > 0


def test_a_chain_that_stands_still_is_found(torch: Any, folder: Path) -> None:
    still = HostCupy(folder, spoil=("at = follow<PAST_L1>(at);", "follow<PAST_L1>(at);"))
    assert "did not go round" in str(fault(memory_lab(), small_chase(torch, still, 128)))
    records = list(latency(memory_lab(still)))
    assert [m.valid for m in records] == ["rejected", "rejected"]


def test_a_record_has_seconds_and_cycles(measured: list[Measurement]) -> None:
    assert [m.metric for m in measured] == ["l2_latency", "dram_latency"]
    for m in measured:
        assert m.valid == "valid" and m.unit == "s", m.reason
        assert m.median is not None and 0 < m.median < 1e-4
        # On the host the "cycles" are nanoseconds of one launch; on a shared machine it may be a slow one.
        assert 0.1 < m.conditions.extra["cycles"] / (m.median * 1e9) < 10
        assert m.conditions.extra["clock64_mhz"] > 0


def test_working_sets_follow_the_l2(measured: list[Measurement]) -> None:
    l2, dram = measured
    assert l2.conditions.buffer_bytes == (1 << 20) // 8
    assert dram.conditions.buffer_bytes == 8 << 20
    assert list(l2.conditions.tried)[:3] == ["16 KiB", "32 KiB", "64 KiB"]
    assert "32 MiB" in l2.conditions.tried and "64 MiB" not in l2.conditions.tried
    assert dram.conditions.tried == l2.conditions.tried


def test_a_set_near_the_l2_is_degraded(folder: Path) -> None:
    lab = memory_lab(HostCupy(folder), l2_bytes=4 << 20, memory_free_bytes=32 << 20)
    l2, dram = latency(lab)
    assert l2.valid == "valid" and dram.valid == "degraded"
    assert dram.reason == "a working set of 8 MiB is under 4 times the L2 (4 MiB)"


def test_an_unknown_l2_leaves_memory(folder: Path) -> None:
    l2, dram = latency(memory_lab(HostCupy(folder), l2_bytes=None))
    assert l2.valid == "unsupported" and "L2 is not known" in str(l2.reason)
    assert dram.valid == "valid" and dram.conditions.tried


def test_without_cupy_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    records = list(latency(memory_lab()))
    assert [m.valid for m in records] == ["unsupported", "unsupported"]
    assert "cupy is not installed" in str(records[0].reason)


def test_without_room_there_is_a_reason(folder: Path) -> None:
    records = list(latency(memory_lab(HostCupy(folder), memory_free_bytes=1 << 20)))
    assert [m.valid for m in records] == ["failed", "failed"]
    assert "MiB of device memory are free" in str(records[0].reason)


def test_quick_mode_sweeps_in_long_steps(folder: Path) -> None:
    (l2, _) = latency(memory_lab(HostCupy(folder), mode="quick", memory_free_bytes=128 << 20))
    assert list(l2.conditions.tried) == ["16 KiB", "256 KiB", "4 MiB"]


def test_sizes_have_names() -> None:
    assert [label(s) for s in (16 << 10, 1 << 20, 3 << 19, 1 << 30)] == [
        "16 KiB",
        "1 MiB",
        "1536 KiB",
        "1 GiB",
    ]
    assert probe.LARGEST == 1 << 30
