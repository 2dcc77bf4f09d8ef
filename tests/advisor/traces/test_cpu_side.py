"""What the CPU's side of a trace holds where nothing ran on a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.cli.app import run_cli
from advisor.reports.json import decode
from advisor.reports.text import render_text
from advisor.traces.cpu_side import cpu_figures
from advisor.traces.read import read
from advisor.traces.timeline import Timeline, TraceMeta, gpu_table, host_table, step_table
from tests.advisor.traces.diagnosed import diagnosed
from tests.advisor.traces.made import Maker, training

DATA = Path(__file__).with_name("data")


def test_own_time_is_without_operators_within(tmp_path: Path) -> None:
    made = Maker()
    made.op("outer", 0, 100)
    made.op("inner", 20, 30)
    made.op("inner", 60, 10)
    made.op("elsewhere", 10, 40, tid=2)
    found = cpu_figures(read(made.write(tmp_path / "cpu.json")), 0)
    assert found is not None
    assert {row.name: (row.own_us, row.count) for row in found.rows} == {
        "outer": (60.0, 1),
        "inner": (40.0, 2),
        "elsewhere": (40.0, 1),
    }
    assert (found.ops_us, found.span_us, found.threads, found.loader_us) == (140.0, 100.0, 2, 0.0)


def test_rows_without_a_name_or_a_thread_are_left_out_of_the_list() -> None:
    host = host_table(
        start_ns=[0, 0, 500], end_ns=[1000, 300, 900], thread=[-1, 0, 0], kind=[2, 2, 2], name=[-1, 0, -1]
    )
    meta = TraceMeta("synthetic.json", "kineto", 1)
    bare = Timeline(meta, gpu_table(start_ns=[], end_ns=[]), host, step_table(), ("aten::mm",), (), (), ())
    found = cpu_figures(bare, 0)
    assert found is not None
    assert [(row.name, row.own_us, row.count) for row in found.rows] == [("aten::mm", 0.3, 1)]
    assert found.ops_us == 1.7


def test_a_capture_of_the_cpu_alone_tells_operators_steps_and_loading() -> None:
    found = cpu_figures(read(DATA / "torch-cpu-steps.json.gz"), 0)
    assert found is not None
    assert found.steps == 3
    assert 0 < found.loader_us < found.span_us
    assert sum(row.own_us for row in found.rows) <= found.ops_us <= found.span_us
    assert "aten::addmm" in {row.name for row in found.rows}


def test_its_report_says_once_that_no_gpu_was_there_and_what_the_cpu_did() -> None:
    d = diagnosed([DATA / "torch-cpu-steps.json.gz"])
    text = render_text(d, 80, color=False)
    assert text.count("othing ran on a GPU") == 1
    assert text.count("holds nothing that ran on a GPU") == 1
    assert "GPU 0" not in text
    assert "in a DataLoader" in text
    assert "Operators by their own time" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_device_needs_no_such_summary(tmp_path: Path) -> None:
    report = diagnosed([training(3).write(tmp_path / "run.json")]).trace
    assert report is not None
    assert report.cpu == ()


@pytest.mark.parametrize(
    ("gate", "code"), [([], 0), (["--fail-on", "high"], 1), (["--fail-on", "critical"], 3)]
)
def test_a_file_cut_before_any_gpu_work_passes_no_gate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, gate: list[str], code: int
) -> None:
    made = Maker()
    for place in range(50):
        made.op("aten::work", place * 10.0, 5.0)
    whole = made.write(tmp_path / "whole.json").read_bytes()
    cut = tmp_path / "cut.json"
    cut.write_bytes(whole[: len(whole) // 2])
    assert run_cli(["trace", str(cut), *gate]) == code
    streams = capsys.readouterr()
    assert streams.out.startswith("The trace is cut before anything that ran on a GPU.")
    assert "othing ran on a GPU" not in streams.out.split("What was read")[0]
    assert ("cannot be judged" in streams.err) == (code == 3)


def test_names_of_operators_go_with_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["trace", str(DATA / "torch-cpu-ordered.json.gz"), "--json"]) == 0
    report = decode(capsys.readouterr().out).trace
    assert report is not None
    assert report.cpu[0].rows[0].name
