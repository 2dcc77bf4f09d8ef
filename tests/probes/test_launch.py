"""Launches, synchronisation and graphs on a simulated device: what comes out is what it was built with."""

from __future__ import annotations

from typing import Any

import pytest

from probes.graphs import capture, line
from probes.launch import EMPTY, SPIN, launch
from probes.record import Measurement
from tests.probes.host_side import simulated
from tests.probes.host_sim import Costs, SimTorch

torch = pytest.importorskip("torch")
COSTS = Costs(call_s=3e-6, kernel_s=2e-6, sync_s=1e-6, replay_call_s=8e-6, graph_start_s=4e-6, node_s=1e-6)


class FakeKernel:
    def __init__(self, fake: SimTorch, call_s: float, kernel_s: float) -> None:
        self._fake, self._call_s, self._kernel_s = fake, call_s, kernel_s

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        assert (grid, block, args) == ((1,), (1,), ())
        self._fake.cuda.launch(self._call_s, self._kernel_s)


class FakeCupy:
    """Compiles one kernel; counts its waits."""

    def __init__(self, fake: SimTorch, call_s: float, kernel_s: float) -> None:
        self._kernel = FakeKernel(fake, call_s, kernel_s)
        self.cuda = self.runtime = self
        self.deviceSynchronize = fake.cuda.synchronize

    def RawKernel(self, source: str, name: str) -> FakeKernel:  # noqa: N802
        assert name in source
        return self._kernel

    def get_default_memory_pool(self) -> FakeCupy:
        return self

    def free_all_blocks(self) -> None:
        return


@pytest.fixture
def records(monkeypatch: pytest.MonkeyPatch) -> dict[str, Measurement]:
    lab, fake = simulated(monkeypatch, torch, COSTS, mode="default")
    lab.__dict__["cupy"] = FakeCupy(fake, 5e-6, 1.5e-6)
    return {m.metric: m for m in launch(lab)}


def test_every_metric_has_a_figure_with_its_spread(records: dict[str, Measurement]) -> None:
    assert list(records) == [
        "launch_interval",
        "launch_call",
        "sync_idle",
        "sync_round_trip",
        "graph_replay",
        "graph_node",
        "launch_wall",
    ]
    for m in records.values():
        assert m.reason is None, m
        assert m.median is not None and m.p10 is not None and m.p90 is not None and m.cv is not None
        assert m.p10 <= m.median <= m.p90
        assert m.conditions.method and m.conditions.sm_mhz == 1980.0


def test_the_cheaper_launcher_is_the_figure_and_both_are_told(records: dict[str, Measurement]) -> None:
    interval, call = records["launch_interval"], records["launch_call"]
    assert interval.median == pytest.approx(1.5e-6, rel=0.01)
    assert EMPTY in interval.conditions.method
    assert call.median == pytest.approx(3e-6, rel=0.01)
    assert SPIN in call.conditions.method
    assert call.conditions.tried == pytest.approx({EMPTY: 5e-6, SPIN: 3e-6}, rel=0.01)


def test_wall_clock_of_launches_is_the_slower_side(records: dict[str, Measurement]) -> None:
    assert records["launch_wall"].median == pytest.approx(3e-6, rel=0.01)
    assert records["launch_wall"].conditions.calls == 10_000


def test_synchronisation(records: dict[str, Measurement]) -> None:
    assert records["sync_idle"].median == pytest.approx(1e-6, rel=0.01)
    assert records["sync_round_trip"].median == pytest.approx(3e-6 + 2e-6 + 1e-6, rel=0.01)


def test_graph_costs_are_intercept_and_slope(records: dict[str, Measurement]) -> None:
    assert records["graph_replay"].median == pytest.approx(8e-6 + 4e-6 + 1e-6, rel=0.01)
    node = records["graph_node"]
    assert node.median == pytest.approx(1e-6, rel=0.01)
    assert node.conditions.extra["node_device_s"] == pytest.approx(1e-6, rel=0.01)


def test_replay_is_compared_with_eager(records: dict[str, Measurement]) -> None:
    extra = records["graph_replay"].conditions.extra
    assert extra["eager_200_s"] == pytest.approx(200 * 6e-6 + 2e-6 + 1e-6, rel=0.01)
    assert extra["replay_200_s"] == pytest.approx(8e-6 + 4e-6 + 200e-6 + 1e-6, rel=0.01)
    assert extra["eager_over_replay"] == pytest.approx(extra["eager_200_s"] / extra["replay_200_s"])
    assert extra["call_s"] == pytest.approx(8e-6, rel=0.01)


def test_without_cupy_torch_launches_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = simulated(monkeypatch, torch, COSTS)
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    records = {m.metric: m for m in launch(lab)}
    assert records["launch_interval"].median == pytest.approx(2e-6, rel=0.01)
    assert SPIN in records["launch_interval"].conditions.method
    assert "cupy is not installed" in records["launch_call"].conditions.missing["cupy"]


def test_without_torch_every_metric_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = simulated(monkeypatch, torch, COSTS, mode="default")
    del lab.__dict__["torch"]
    for name in ("torch", "cupy"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    records = list(launch(lab))
    assert len(records) == 7
    for m in records:
        assert m.valid == "unsupported" and m.reason and "torch is not installed" in m.reason


def test_blocking_launches_fail_the_queued_figures_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    costs = Costs(blocking=True)
    lab, _ = simulated(monkeypatch, torch, costs, mode="default")
    records = {m.metric: m for m in launch(lab)}
    assert records["launch_interval"].valid == "failed"
    assert "CUDA_LAUNCH_BLOCKING" in (records["launch_interval"].reason or "")
    assert records["sync_idle"].valid == "valid"
    assert records["graph_node"].median == pytest.approx(1e-6, rel=0.01)
    assert "CUDA_LAUNCH_BLOCKING" in records["graph_node"].conditions.missing["extra"]


def test_a_lost_device_ends_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    lab, fake = simulated(monkeypatch, torch, COSTS)

    def lost(*_args: object) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    lab.__dict__["cupy"] = FakeCupy(fake, 5e-6, 1.5e-6)
    monkeypatch.setattr(FakeKernel, "__call__", lost)
    with pytest.raises(RuntimeError, match="unspecified launch failure"):
        list(launch(lab))


def test_capture_warms_up_on_the_side_stream_and_takes_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    _, fake = simulated(monkeypatch, torch, COSTS)
    graph = capture(fake, lambda: fake.cuda._sleep(0), 17)
    assert graph.nodes == 17
    assert fake.cuda.warm_on_side == 3
    assert fake.cuda.current is fake.cuda.default


def test_a_line_goes_through_both_lengths() -> None:
    found = line([30e-6, 35e-6], [210e-6, 395e-6])
    assert found.node_s == pytest.approx((1e-6, 2e-6))
    assert found.fixed_s == pytest.approx((10e-6, -5e-6))
