"""The CPU's side-by-side comparison: its arithmetic, its peers' output, and a run that measures nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.peers import cpu, cpu_peers
from benchmarks.peers.cpu import Pair, rows, table
from probes.cores import COMPILERS
from probes.membw import METRICS
from probes.record import Measurement


def pair(median: float | None, **peers: float) -> Pair:
    """A figure of ours and its peers'."""
    ours = Measurement(probe="membw", metric="host_copy", unit="bytes_s", median=median)
    return Pair(ours=ours, peers=peers)


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    slow, fast = rows([[pair(10e9, slow=5e9, fast=10e9)], [pair(30e9, slow=10e9, fast=40e9)]])
    assert (slow.ratio, slow.low, slow.high, slow.best, slow.met) == (2.5, 2.0, 3.0, False, True)
    assert (fast.ratio, fast.ours, fast.theirs, fast.best, fast.met) == (0.875, 20e9, 25e9, True, False)


def test_figures_without_a_peer_or_a_value_have_no_row() -> None:
    assert rows([[pair(1.0), pair(None, x=1.0)]]) == []


def test_the_table_judges_the_best_peer_only() -> None:
    text = table(rows([[pair(9.8e9, slow=5e9, fast=10e9)]]), "a CPU")
    assert "### a CPU" in text
    slow, fast = text.splitlines()[-2:]
    assert "| slow | 5.0 GB/s | 1.960 |" in slow
    assert "met" not in slow
    assert "| fast | 10.0 GB/s | 0.980 |" in fast
    assert "**missed**" in fast


def test_what_mbw_prints() -> None:
    said = (
        "0\tMethod: MEMCPY\tElapsed: 0.00819\tMiB: 128.00000\tCopy: 1000.500 MiB/s\n"
        "AVG\tMethod: MEMCPY\tElapsed: 0.00819\tMiB: 128.00000\tCopy: 9.000 MiB/s\n"
    )
    assert cpu_peers.mbw_rates(said) == [1000.5 * (1 << 20)]


def test_what_the_c_loops_print() -> None:
    assert cpu_peers.stream_rates("copy 1\ntriad 5\ncopy 2e9\ncopy 3e9\n", "copy") == [2e9, 3e9]


def test_without_a_compiler_there_are_no_c_loops(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cpu_peers.build_stream(tmp_path) == (None, False)


@pytest.mark.parametrize("metric", ["cpu_fp32", "cpu_bf16", "cpu_int8"])
def test_the_gemm_peer(metric: str) -> None:
    before = torch.get_num_threads()
    figure = cpu_peers.gemm_figure(metric, "32x16x64", 1, 0.001)
    assert figure is not None
    assert figure > 0
    assert torch.get_num_threads() == before
    assert cpu_peers.gemm_figure("cpu_fp4", "32x16x64", 1, 0.001) is None


def test_a_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "peers.json"
    quick = ["--dry", "--mode", "quick", "--rounds", "2", "--seconds", "0.001"]
    before = torch.get_num_threads()
    assert cpu.main([*quick, "--probes", "membw", "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert (found["measured"], len(found["rounds"])) == (False, 2)
    assert [p["ours"]["metric"] for p in found["rounds"][0]] == list(METRICS)
    told = {(row["metric"], row["peer"]) for row in found["rows"]}
    assert {("host_copy", "numpy copyto"), ("host_triad", "torch add")} <= told
    assert (("host_triad", "C triad") in told) == (any(map(shutil.which, COMPILERS)))
    assert (("host_copy_1", "mbw MEMCPY") in told) == (shutil.which("mbw") is not None)
    for metric in METRICS:
        assert sum(row["best"] for row in found["rows"] if row["metric"] == metric) == 1
    assert all(row["ratio"] > 0 for row in found["rows"])
    assert "dry run: no measurement" in capsys.readouterr().out
    assert torch.get_num_threads() == before
