"""The CPU's GEMM probe, end to end on this machine, and its choice of sizes and threads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from probes import gemm as probe
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


@pytest.mark.parametrize(
    ("flop_s", "edges"),
    [
        (1e9, []),
        (50e9, [768, 1024]),
        (200e9, [768, 1024, 1536]),
        (5e12, [2048, 3072, 4096]),
        (1e15, [6144, 8192, 12288]),
    ],
)
def test_sizes_grow_with_the_host(flop_s: float, edges: list[int]) -> None:
    assert [s.m for s in probe.sizes(0.05, flop_s)] == edges


def test_threads_are_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(4)))
    monkeypatch.setattr(probe, "_two_threads_a_core", lambda: False)
    fp32 = probe.CPU_PRECISIONS[0]
    assert probe.best_threads(lab(timer=SteadyTimer()), fp32)[0] == 4
    fewer = msgspec.structs.replace(CPU, cores=2)
    assert probe.best_threads(lab(fewer, timer=SteadyTimer()), fp32)[0] == 2


class ThreadTimer(SteadyTimer):
    """Fewer threads are faster."""

    def windows(self, call: Any, calls: int, count: int) -> list[float]:
        return [1e-3 * torch.get_num_threads() * calls] * count


def test_one_thread_a_core_wins_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(4)))
    monkeypatch.setattr(probe, "_two_threads_a_core", lambda: True)
    before = torch.get_num_threads()
    fp32 = probe.CPU_PRECISIONS[0]
    threads, tried = probe.best_threads(lab(timer=ThreadTimer()), fp32)
    assert threads == 2
    assert set(tried) == {2, 4}
    (record,) = probe.each(lab(timer=ThreadTimer()), [fp32])
    assert record.conditions.extra["threads"] == 2
    assert [key for key in record.conditions.tried if key.startswith("4 threads")]
    assert torch.get_num_threads() == before


def test_whether_cores_run_two_threads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, expected in (("1\n", True), ("0\n", False)):
        (tmp_path / "active").write_text(text)
        monkeypatch.setattr(probe, "_SMT", tmp_path / "active")
        assert probe._two_threads_a_core() is expected
    monkeypatch.setattr(probe, "_SMT", tmp_path / "none")
    assert probe._two_threads_a_core() is False


def test_wrong_sums_are_rejected() -> None:
    def wrong(torch_: Any, g: Gemm) -> Any:
        right: Any = int_mm(torch_, g)
        return lambda: right().add_(1)

    int8 = next(p for p in probe.CPU_PRECISIONS if p.metric == "cpu_int8")
    (record,) = probe.each(lab(timer=SteadyTimer()), [msgspec.structs.replace(int8, call=wrong)])
    assert record.valid == "rejected"
