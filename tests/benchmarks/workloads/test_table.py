"""The page of all workloads: current, complete, and safe for a table's cells."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.workloads import table
from benchmarks.workloads.catalogue import WORKLOADS
from benchmarks.workloads.table import README, known_by, main, markdown, row


def test_the_page_is_current() -> None:
    wanted = markdown(WORKLOADS.values())
    assert README.read_text(encoding="utf-8") == wanted, "run: python -m benchmarks.workloads.table"


def test_every_workload_has_a_line() -> None:
    text = markdown(WORKLOADS.values())
    assert [name for name in WORKLOADS if text.count(f"| `{name}` |") != 1] == []


def test_a_line_says_what_also_counts_and_how_it_is_known() -> None:
    assert row(WORKLOADS["tail_waves"]).startswith(
        "| `tail_waves` | device | latency (small-grid, low-occupancy) | far from limits | "
    )
    assert known_by(WORKLOADS["copy"]) == "bytes of ceiling `dram_copy`"
    assert known_by(WORKLOADS["gemm_bf16"]) == "FLOPs of ceiling `bf16`"
    assert known_by(WORKLOADS["free"]) == "nothing launched"
    assert known_by(WORKLOADS["eager_tiny_kernels"]).startswith("speed-up")


def test_a_cell_cannot_break_the_table() -> None:
    odd = msgspec.structs.replace(WORKLOADS["copy"], about="a | b\nc")
    assert row(odd).endswith("| a \\| b c |")


def test_the_command_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table, "README", tmp_path / "page.md")
    assert main([]) == 0 and main(["--print"]) == 0
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == capsys.readouterr().out
