"""The CPU's GEMM probe, end to end on this machine, and its choice of sizes and threads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from probes import cgroups, hostfiles
from probes import gemm as probe
from probes.matmul import Shape
from probes.precisions import Gemm, int_mm
from probes.record import Measurement
from tests.probes.labs import CPU, SteadyTimer, lab

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def found() -> list[Measurement]:
    here = lab(CPU, "quick")
    before = torch.get_num_threads()
    records = list(probe.gemm(here))
    assert torch.get_num_threads() == before
    return records


def test_every_dtype_gives_a_figure_or_a_reason(found: list[Measurement]) -> None:
    assert sorted(m.metric for m in found) == ["cpu_bf16", "cpu_fp16", "cpu_fp32", "cpu_fp64", "cpu_int8"]
    for m in found:
        assert m.valid in {"valid", "unsupported"}, m.reason
        assert (m.median is None) == (m.valid == "unsupported")
    by_metric = {m.metric: m for m in found}
    assert by_metric["cpu_fp32"].valid == by_metric["cpu_fp64"].valid == "valid"
    assert by_metric["cpu_int8"].unit == "op_s"


def test_a_figure_says_how_it_came_about(found: list[Measurement]) -> None:
    fp32 = next(m for m in found if m.metric == "cpu_fp32")
    told = fp32.conditions
    assert fp32.median is not None
    assert fp32.median > 1e8
    assert told.shape in told.tried
    assert told.windows >= 3
    assert told.extra["threads"] >= 1
    assert told.versions["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert set(told.versions) >= {"onednn", "cpu_features"}
    assert fp32.of_spec is None
    assert "of_spec" in told.missing


@pytest.mark.usefixtures("small")
def test_a_dtype_that_torch_lacks_here_is_unsupported() -> None:
    def absent(_torch: Any, _g: Gemm) -> Any:
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    half = next(p for p in probe.CPU_PRECISIONS if p.metric == "cpu_fp16")
    fp64 = next(p for p in probe.CPU_PRECISIONS if p.metric == "cpu_fp64")
    records = list(probe.each(lab(timer=SteadyTimer()), [fp64, msgspec.structs.replace(half, call=absent)]))
    assert [m.valid for m in records] == ["valid", "unsupported"]
    assert (
        records[1].reason == "unsupported: torch cannot here: \"addmm_impl_cpu_\" not implemented for 'Half'"
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products that cost nothing, whatever a made-up clock says of them."""
    monkeypatch.setattr(probe, "START", (Shape(32, 32, 32),))
    monkeypatch.setattr(probe, "SHAPES", tuple(Shape(edge, edge, edge) for edge in (48, 64, 96, 128)))
    monkeypatch.setattr(probe, "_THREADS_SHAPE", Shape(32, 32, 32))


def cores(
    monkeypatch: pytest.MonkeyPatch, *, threads: int, physical: int, quota: float | None = None
) -> None:
    monkeypatch.setattr(hostfiles, "allowed_cores", lambda: frozenset(range(threads)))
    monkeypatch.setattr(hostfiles, "one_per_core", lambda _cores: tuple(range(physical)))
    monkeypatch.setattr(cgroups, "cpu_quota", lambda: cgroups.CpuQuota(cores=quota))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("threads", "physical", "quota", "tried"),
    [(4, 4, None, {4}), (4, 2, None, {2, 4}), (8, 4, 2.5, {2}), (8, 2, 3.0, {2, 3}), (4, 4, 0.5, {1})],
)
def test_threads_are_those_that_may_run(
    monkeypatch: pytest.MonkeyPatch, threads: int, physical: int, quota: float | None, tried: set[int]
) -> None:
    cores(monkeypatch, threads=threads, physical=physical, quota=quota)
    best, rates = probe.best_threads(lab(timer=SteadyTimer()), probe.CPU_PRECISIONS[0])
    assert set(rates) == tried
    assert best in tried


class RateTimer(SteadyTimer):
    """Cubes run at the same rate whatever their size."""

    flop_s = 1e9

    def windows(self, call: Any, calls: int, count: int) -> list[float]:
        result: Any = call()
        return [calls * 2 * result.shape[0] ** 3 / self.flop_s] * count


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("flop_s", "largest"), [(1e6, 32), (6e6, 48), (1e9, 128)])
def test_sizes_grow_until_a_call_takes_too_long(flop_s: float, largest: int) -> None:
    timer = RateTimer()
    timer.flop_s = flop_s
    (record,) = probe.each(lab(mode="default", timer=timer), [probe.CPU_PRECISIONS[2]])
    tried = [int(shape.split("x")[0]) for shape in record.conditions.tried]
    left_out = [int(s.split("x")[0]) for s, why in record.conditions.missing.items() if "would take" in why]
    assert max(tried) == largest
    assert sorted(tried + left_out) == [32, 48, 64, 96, 128]


class ThreadTimer(SteadyTimer):
    """Fewer threads are faster."""

    def windows(self, call: Any, calls: int, count: int) -> list[float]:
        return [1e-3 * torch.get_num_threads() * calls] * count


@pytest.mark.usefixtures("small")
def test_one_thread_a_core_wins_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, threads=4, physical=2)
    before = torch.get_num_threads()
    fp32 = probe.CPU_PRECISIONS[0]
    threads, tried = probe.best_threads(lab(timer=ThreadTimer()), fp32)
    assert threads == 2
    assert set(tried) == {2, 4}
    (record,) = probe.each(lab(timer=ThreadTimer()), [fp32])
    assert record.conditions.extra["threads"] == 2
    assert [key for key in record.conditions.tried if key.startswith("4 threads")]
    assert torch.get_num_threads() == before


@pytest.mark.usefixtures("small")
def test_wrong_sums_are_rejected() -> None:
    def wrong(torch_: Any, g: Gemm) -> Any:
        right: Any = int_mm(torch_, g)
        return lambda: right().add_(1)

    int8 = next(p for p in probe.CPU_PRECISIONS if p.metric == "cpu_int8")
    (record,) = probe.each(lab(timer=SteadyTimer()), [msgspec.structs.replace(int8, call=wrong)])
    assert record.valid == "rejected"
