"""The GPU's side-by-side comparison: its arithmetic, its tables, and its peers on tiny sizes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import gpu, gpu_peers
from benchmarks.peers.gpu import answers, row, table
from probes.metrics import METRICS
from probes.record import Conditions, Measurement, ProbeReport
from tests.probes.reports import report

ROOT = Path(__file__).resolve().parents[2]


def copied(median: float | None, of_spec: float | None = None, reason: str | None = None) -> ProbeReport:
    told = Conditions(method="own kernel", tried={"torch": 2e12})
    m = Measurement(
        probe="bandwidth",
        metric="dram_copy",
        unit="bytes_s",
        median=median,
        p10=median,
        p90=median,
        of_spec=of_spec,
        reason=reason,
        conditions=told,
    )
    return report(m)


def test_the_best_peer_is_the_best_by_its_median_over_rounds() -> None:
    rounds: list[dict[str, Any]] = [
        {"dram_copy": {"a": 2e12, "b": 1e12}},
        {"dram_copy": {"a": 2e12, "b": 9e12, "c": "not here"}},
    ]
    found = row("dram_copy", [copied(3e12), copied(3.03e12, 0.9)], rounds, False)
    assert (found.best_peer, found.peer) == ("b", 5e12)
    assert found.ratio == pytest.approx(0.603)
    assert found.spread == pytest.approx(0.03 / 3.015)
    assert found.of_spec == 0.9


def test_what_neither_side_has_is_no_ratio() -> None:
    found = row("dram_copy", [copied(None, reason="out of memory")], [{"dram_copy": {"a": "no cupy"}}], False)
    assert (found.ratio, found.spread, found.best_peer) == (None, None, None)
    assert "| dram_copy | out of memory | – | – | – |" in table([found], "a card")


def test_a_round_that_is_cut_off_loses_no_other(tmp_path: Path) -> None:
    peers = {"dram_copy": {"a": 2e12}}
    gpu.write(tmp_path, [copied(3e12, 0.9)], [peers], False)
    whole = json.loads((tmp_path / "peers.json").read_text())
    assert (whole["measured"], len(whole["reports"]), whole["peers"]) == (True, 1, [peers])
    assert "a: 2.00 TB/s" in (tmp_path / "peers.md").read_text()


def test_the_table_says_which_aims_are_met() -> None:
    rounds = [{"dram_copy": {"a": 3e12}}, {"dram_copy": {"a": 3e12}}]
    met = table([row("dram_copy", [copied(3e12, 0.90), copied(3.01e12, 0.90)], rounds, False)], "a card")
    assert met.count("met (") == 3
    missed = table([row("dram_copy", [copied(2e12, 0.60), copied(2.5e12, 0.75)], rounds, False)], "a card")
    assert missed.count("**missed**") == 3


def test_open_questions_are_answered_with_every_take() -> None:
    text = answers(copied(3e12, 0.9))
    assert "| bandwidth by cupy kernels and by torch | dram_copy | 3.00 TB/s |" in text
    assert "torch: 2.00 TB/s" in text


def test_every_aim_is_of_a_metric_that_has_peers_or_is_measured() -> None:
    assert set(gpu.AIM_OF_SPEC) <= set(gpu_peers.PEERS)
    assert {metric for metrics in gpu.OPEN.values() for metric in metrics} <= set(METRICS)


def test_the_peers_run_on_tiny_sizes() -> None:
    command = [sys.executable, "-m", "benchmarks.peers.gpu_peers", "--device", "cpu", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True)
    found = json.loads(done.stdout)
    assert found.keys() == gpu_peers.PEERS.keys()
    assert found["bf16"]["mamf-finder method"] > 0
    assert found["dram_copy"]["torch.utils.benchmark"] > 0
