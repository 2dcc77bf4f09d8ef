"""Probe `membw`: buffers, kernels and their checks, thread counts, and records end to end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from probes import hostbuffers, hostfiles
from probes import membw as module
from probes.cgroups import CpuQuota
from probes.counting import stream_bytes
from probes.hostbuffers import PERIOD, HostBuffers, Kernel, parts
from probes.lab import UnsupportedError
from probes.membw import METRICS, buffer_bytes, checked, cores, fastest, membw
from probes.team import Team
from probes.timing import Windows
from tests.probes.cpu_lab import cpu_lab

MIB = 1 << 20


@pytest.fixture
def team() -> Iterator[Team]:
    with Team([0, 0, 0]) as team:
        yield team


@pytest.fixture
def buffers(team: Team) -> HostBuffers:
    return HostBuffers(torch, team, 20 * PERIOD * 8)


def test_end_to_end() -> None:
    lab = cpu_lab()
    before = torch.get_num_threads()
    found = {m.metric: m for m in membw(lab)}
    assert list(found) == list(METRICS)
    for metric, m in found.items():
        assert (m.probe, m.unit, m.conditions.dtype) == ("membw", "bytes_s", "float64")
        assert m.median == m.conditions.tried[m.conditions.method.partition(";")[0]]
        assert m.conditions.method.partition(";")[0] in m.conditions.tried
        assert (m.valid, m.conditions.buffer_bytes) == ("degraded", 64 * MIB // 12 // 2048 * 2048), metric
        assert "caches" in (m.reason or "")
    assert found["host_copy_1"].conditions.extra["threads"] == 1
    assert torch.get_num_threads() == before


def test_every_way_does_what_it_says(buffers: HostBuffers) -> None:
    for metric in METRICS:
        right, wrong = checked(buffers, metric)
        assert wrong == {}
        assert len(right) == (2 if metric == "host_triad" else 3)


def test_without_numpy_there_are_fewer_ways(monkeypatch: pytest.MonkeyPatch, team: Team) -> None:
    monkeypatch.setattr(hostbuffers, "_numpy", lambda: None)
    found = HostBuffers(torch, team, MIB)
    assert [k.method for k in found.kernels("host_copy")] == ["torch copy_", "memcpy on each core"]
    assert [k.method for k in found.kernels("host_triad")] == ["torch add(alpha)"]


def test_without_torch_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, why: str) -> Any:
        raise UnsupportedError(why)

    monkeypatch.setattr("probes.lab._module", absent)
    found = list(membw(cpu_lab()))
    assert [m.metric for m in found] == list(METRICS)
    assert {m.valid for m in found} == {"unsupported"}
    assert all(m.reason and m.reason.startswith("unsupported: torch is not installed") for m in found)


def test_the_sources_hold_the_pattern(buffers: HostBuffers) -> None:
    want = torch.arange(buffers.count, dtype=torch.float64) % PERIOD
    assert torch.equal(buffers.b, want)
    assert torch.equal(buffers.c, want + 1)


@pytest.mark.parametrize("at", [0, 1, -1])
def test_a_part_that_is_not_done_is_seen(buffers: HostBuffers, at: int) -> None:
    (copy, *_), _ = checked(buffers, "host_copy")
    copy.call()
    low, high = buffers.parts[at]
    buffers.a[low:high] = -1.0
    assert not copy.right(None)


def test_wrong_results_are_left_out_and_named(buffers: HostBuffers, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Kernel("idle", lambda: None, buffers.kernels("host_copy")[0].right)
    good = buffers.kernels("host_copy")[1]
    monkeypatch.setattr(buffers, "kernels", lambda _: [idle, good])
    right, wrong = checked(buffers, "host_copy")
    assert ([k.method for k in right], wrong) == ([good.method], {"idle": "wrong result"})
    monkeypatch.setattr(buffers, "kernels", lambda _: [idle])
    with pytest.raises(RuntimeError, match="wrong results from idle"):
        checked(buffers, "host_copy")


def test_threads_are_restored_when_a_way_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    affinity = hostfiles.allowed_cores()

    def broken(_buffers: HostBuffers, _metric: str) -> Any:
        raise ValueError("broken")

    monkeypatch.setattr(module, "checked", broken)
    found = list(membw(cpu_lab()))
    assert {m.valid for m in found} == {"failed"}
    assert {m.reason for m in found} == {"ValueError: broken"}
    assert (torch.get_num_threads(), hostfiles.allowed_cores()) == (before, affinity)


def test_threads_are_restored_when_nobody_wants_the_rest() -> None:
    before = torch.get_num_threads()
    probe: Any = membw(cpu_lab())
    next(probe)
    probe.close()
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(
    ("free", "cache", "expected"),
    [
        (24 << 30, 32 * MIB, 128 * MIB),
        (24 << 30, 1 * MIB, 16 * MIB),
        (24 << 30, None, 256 * MIB),
    ],
)
def test_buffers_are_four_times_the_caches(free: int, cache: int | None, expected: int) -> None:
    assert buffer_bytes(free, cache) == (expected, None)


def test_buffers_take_a_quarter_of_the_free_memory_at_most() -> None:
    size, why = buffer_bytes(1200 * MIB, 64 * MIB)
    assert size == 100 * MIB
    assert why is not None
    assert "100 MiB" in why
    with pytest.raises(UnsupportedError, match="too little"):
        buffer_bytes(8 * MIB, 64 * MIB)
    with pytest.raises(UnsupportedError, match="too little"):
        buffer_bytes(0, None)


def test_parts_are_whole_periods_and_cover_all() -> None:
    found = parts(7 * PERIOD, 3)
    assert found == [(0, 2 * PERIOD), (2 * PERIOD, 4 * PERIOD), (4 * PERIOD, 7 * PERIOD)]
    assert parts(PERIOD, 2) == [(0, 0), (0, PERIOD)]


def test_a_quota_pays_for_fewer_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostfiles, "one_per_core", lambda _: (0, 2, 4, 6))
    for quota, expected in ((None, 4), (2.5, 2), (0.5, 1), (64.0, 4)):
        monkeypatch.setattr(module, "cpu_quota", lambda quota=quota: CpuQuota(cores=quota))
        assert len(cores()) == expected


def test_bytes_are_counted_as_stream_does() -> None:
    assert [stream_bytes(kind, 8) for kind in METRICS.values()] == [8, 8, 16, 24, 16]


def test_the_shortest_median_wins() -> None:
    taken = {
        "steady": Windows(call_s=(2.0, 2.0, 2.0), calls=1),
        "one lucky window": Windows(call_s=(1.0, 3.0, 3.0), calls=1),
    }
    assert fastest(taken) == "steady"
