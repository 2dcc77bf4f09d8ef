"""Copies on a simulated device: rates, sizes, limits, and that the bytes are looked at."""

from __future__ import annotations

import os
from typing import Any

import pytest

from probes import transfer as module
from probes.lab import UnsupportedError
from probes.meter import Observed
from probes.metrics import METRICS
from probes.numa import Node
from probes.record import Measurement
from probes.transfer import buffer_bytes, size_name, sweep_copies, transfer
from tests.probes.host_side import facts, simulated
from tests.probes.host_sim import Costs, SimTensor, SimTorch

torch = pytest.importorskip("torch")
MIB = 1 << 20
COSTS = Costs(h2d_bytes_s=50e9, d2h_bytes_s=40e9, pageable_bytes_s=8e9, copy_start_s=2e-6)
SEEN = Observed(pcie_gen=5, pcie_width=16, sm_mhz=1980.0)
TWO_NODES = (
    Node(index=0, cpus=frozenset({0, 1}), distances={0: 10, 1: 20}),
    Node(index=1, cpus=frozenset({2, 3}), distances={0: 20, 1: 10}),
)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers of one and two MiB, so that tests are quick."""
    for mode in ("quick", "default", "full"):
        monkeypatch.setitem(module.MAIN_BYTES, mode, MIB)
        monkeypatch.setitem(module.LARGEST_BYTES, mode, 2 * MIB)
    monkeypatch.setattr(module, "may_pin_bytes", lambda: 64 * MIB)
    monkeypatch.setattr(module, "nodes", lambda: ())


@pytest.fixture
def affinity(monkeypatch: pytest.MonkeyPatch) -> list[set[int]]:
    now = [set(range(4))]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(now[-1]))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _pid, cpus: now.append(set(cpus)))
    return now


def run(
    monkeypatch: pytest.MonkeyPatch, mode: Any = "default", **known: Any
) -> tuple[dict[str, Measurement], SimTorch]:
    given = {"pcie_gen_max": 5, "pcie_width_max": 16, **known}
    lab, fake = simulated(monkeypatch, torch, COSTS, mode=mode, seen=SEEN, known=facts(**given))
    return {m.metric: m for m in transfer(lab)}, fake


def seconds(size: int, rate: float) -> float:
    return COSTS.copy_start_s + size / rate


@pytest.mark.usefixtures("small")
def test_each_way_has_its_rate_beside_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = run(monkeypatch)
    up, down = records["h2d_pinned"], records["d2h_pinned"]
    assert up.median == pytest.approx(MIB / seconds(MIB, 50e9), rel=0.01)
    assert down.median == pytest.approx(MIB / seconds(MIB, 40e9), rel=0.01)
    assert up.median is not None
    assert up.of_spec == pytest.approx(up.median / 64e9)
    assert up.conditions.buffer_bytes == MIB
    assert up.conditions.windows * (up.conditions.calls or 0) >= 16
    assert "as it ran" in up.conditions.method


@pytest.mark.usefixtures("small")
def test_sizes_stand_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = run(monkeypatch)
    tried = records["h2d_pinned"].conditions.tried
    assert list(tried) == ["4 KiB", "64 KiB", "256 KiB", "1 MiB"]
    assert tried["4 KiB"] == pytest.approx(4096 / seconds(4096, 50e9), rel=0.02)
    assert tried["1 MiB"] == pytest.approx(MIB / seconds(MIB, 50e9), rel=0.02)


@pytest.mark.usefixtures("small")
def test_pageable_copies_are_timed_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = run(monkeypatch)
    for metric in ("h2d_pageable", "d2h_pageable"):
        m = records[metric]
        whole = COSTS.op_call_s + MIB / COSTS.pageable_bytes_s + 2 * COSTS.sync_s
        assert m.median == pytest.approx(MIB / whole, rel=0.01)
        assert "wall clock" in m.conditions.method
        assert m.of_spec is not None and m.of_spec < 0.2


@pytest.mark.usefixtures("small")
def test_both_directions_count_all_bytes_until_the_slower_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = run(monkeypatch)
    both = records["bidir_pinned"]
    assert both.median == pytest.approx(2 * MIB / seconds(MIB, 40e9), rel=0.01)
    assert both.conditions.extra["h2d_bytes_s"] == pytest.approx(MIB / seconds(MIB, 50e9), rel=0.01)
    assert both.conditions.extra["d2h_bytes_s"] == pytest.approx(MIB / seconds(MIB, 40e9), rel=0.01)
    assert both.of_spec is None


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("into_device", "found_in", "fine"),
    [
        (True, ("h2d_pinned", "h2d_pageable", "bidir_pinned"), ("d2h_pinned", "d2h_pageable")),
        (False, ("d2h_pinned", "d2h_pageable", "bidir_pinned"), ("h2d_pinned", "h2d_pageable")),
    ],
)
def test_bytes_that_do_not_arrive_are_found(
    monkeypatch: pytest.MonkeyPatch, into_device: bool, found_in: tuple[str, ...], fine: tuple[str, ...]
) -> None:
    real = SimTensor.copy_

    def lossy(self: SimTensor, source: SimTensor, non_blocking: bool = False) -> None:
        before = int(self.real[-1])
        real(self, source, non_blocking)
        if self.on_device == into_device:
            self.real[-1] = before

    monkeypatch.setattr(SimTensor, "copy_", lossy)
    records, _ = run(monkeypatch)
    for metric in found_in:
        assert records[metric].valid == "failed"
        assert "not those that were sent" in (records[metric].reason or "")
    assert all(records[metric].valid == "valid" for metric in fine)


@pytest.mark.usefixtures("small", "affinity")
def test_a_torch_that_keeps_pinned_memory_cannot_tell_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "nodes", lambda: TWO_NODES)
    lab, fake = simulated(monkeypatch, torch, COSTS, mode="default", known=facts(numa_node=0))
    del fake._C._host_emptyCache
    records = {m.metric: m for m in transfer(lab)}
    assert records["h2d_pinned"].valid == records["bidir_pinned"].valid == "valid"
    for metric in ("h2d_numa_local", "h2d_numa_remote"):
        assert records[metric].valid == "unsupported"
        assert "cannot give pinned memory back" in (records[metric].reason or "")


@pytest.mark.usefixtures("small")
def test_one_node_is_unsupported_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    records, _ = run(monkeypatch)
    for metric in ("h2d_numa_local", "h2d_numa_remote"):
        assert records[metric].valid == "unsupported"
        assert "one NUMA node only" in (records[metric].reason or "")


@pytest.mark.usefixtures("small")
def test_memory_is_taken_from_the_node_and_the_affinity_given_back(
    monkeypatch: pytest.MonkeyPatch, affinity: list[set[int]]
) -> None:
    monkeypatch.setattr(module, "nodes", lambda: TWO_NODES)
    taken_on: list[set[int]] = []
    real = SimTorch.empty

    def watched(self: SimTorch, *args: Any, **kwargs: Any) -> SimTensor:
        if kwargs.get("pin_memory"):
            taken_on.append(set(affinity[-1]))
            assert not self.host_cache, "pinned memory came from the cache, so from any node"
        return real(self, *args, **kwargs)

    monkeypatch.setattr(SimTorch, "empty", watched)
    records, _ = run(monkeypatch, numa_node=1)
    assert {m.valid for m in records.values()} == {"valid"}
    assert taken_on == [{2, 3}, {2, 3}, {2, 3}, {0, 1}]
    assert affinity[-1] == set(range(4))
    assert records["h2d_numa_local"].conditions.extra["numa_node"] == 1.0
    assert records["h2d_numa_remote"].conditions.extra["numa_node"] == 0.0
    assert "GPU's NUMA node" in records["h2d_pinned"].conditions.method


@pytest.mark.usefixtures("small")
def test_affinity_is_given_back_after_a_failed_allocation(
    monkeypatch: pytest.MonkeyPatch, affinity: list[set[int]]
) -> None:
    monkeypatch.setattr(module, "nodes", lambda: TWO_NODES)
    lab, fake = simulated(monkeypatch, torch, COSTS, mode="default", known=facts(numa_node=0))
    fake.pin_limit = 0
    records = list(transfer(lab))
    assert {m.valid for m in records} == {"failed"}
    assert all("out of memory" in (m.reason or "") for m in records)
    assert affinity[-1] == set(range(4))


@pytest.mark.usefixtures("small")
def test_too_much_to_pin_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, fake = simulated(monkeypatch, torch, COSTS)
    fake.pin_limit = MIB
    first = next(iter(transfer(lab)))
    assert first.valid == "valid"
    assert fake.pins == [2 * MIB, MIB]


@pytest.mark.usefixtures("small")
def test_pinned_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = run(monkeypatch)
    assert not fake.host_cache
    lab, fake = simulated(monkeypatch, torch, COSTS)
    probe = transfer(lab)
    next(probe)
    assert fake.host_cache
    probe.close()  # type: ignore[attr-defined]
    assert not fake.host_cache


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("mode", "budget_s", "measured"),
    [
        ("quick", 0.0, ["h2d_pinned", "d2h_pinned"]),
        ("default", 0.0, ["h2d_pinned", "d2h_pinned"]),
        ("quick", 60.0, ["h2d_pinned", "d2h_pinned", "h2d_pageable", "d2h_pageable", "bidir_pinned"]),
    ],
)
def test_what_is_left_out_says_so(
    monkeypatch: pytest.MonkeyPatch, mode: Any, budget_s: float, measured: list[str]
) -> None:
    lab, _ = simulated(monkeypatch, torch, COSTS, mode=mode)
    lab.begin(budget_s)
    found = list(transfer(lab))
    assert [m.metric for m in found if m.median is not None] == measured
    assert {m.reason for m in found if m.median is None} == {f"no time left in {mode} mode"}
    assert {m.metric for m in found} == {name for name, m in METRICS.items() if m.probe == "transfer"}


@pytest.mark.parametrize(
    ("may_pin", "free", "size"),
    [
        (1 << 40, 1 << 40, 1 << 30),
        (2 << 30, 1 << 40, 1 << 30),
        ((2 << 30) - 1, 1 << 40, 512 * MIB),
        (1 << 40, 1 << 30, 128 * MIB),
        (2 * MIB, 1 << 40, MIB),
    ],
)
def test_buffers_fit_twice_into_what_may_be_pinned(may_pin: int, free: int, size: int) -> None:
    assert buffer_bytes(1 << 30, may_pin, free) == size


def test_no_buffer_at_all() -> None:
    with pytest.raises(UnsupportedError, match="too little memory"):
        buffer_bytes(1 << 30, 2 * MIB - 1, 1 << 40)


def test_the_sweep_goes_from_4_kib_to_1_gib() -> None:
    names = [size_name(size) for size in module.SWEEP_BYTES]
    assert names[0] == "4 KiB" and names[-1] == "1 GiB"
    assert (sweep_copies(4096), sweep_copies(64 * MIB), sweep_copies(1 << 30)) == (128, 16, 4)
