"""What `advisor trace` reads is never written over, and a folder is read without what is no trace in it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from advisor.cli.app import run_cli
from advisor.cli.diagnostics import CliError
from advisor.cli.reporting import Wish
from advisor.cli.trace_asking import Order, of_the_trace
from advisor.cli.trace_targets import check_targets
from advisor.cli.tracing import Asked
from advisor.reports.json import decode
from tests.advisor.traces.made import training


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A trace that may be lost."""
    return training(4, gap_us=300.0).write(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["{run}", "-o", "{run}"], "-o would overwrite"),
        (["{run}", "--json", "-o", "{folder}/../{name}/run.json"], "it is a trace that is read"),
        (["{run}", "-o", "{link}"], "-o would overwrite"),
        (["{folder}", "-o", "{run}"], "-o would overwrite"),
        (["{run}", "{other}", "--compare", "--json", "-o", "{other}"], "-o would overwrite"),
        (["{run}", "--perfetto", "{run}"], "--perfetto would overwrite"),
        (["{run}", "--perfetto", "{folder}/new.json", "-o", "{folder}/new.json"], "name the same file"),
        (["{run}", "--join", "{saved}", "-o", "{saved}"], "it is the diagnosis that is joined"),
        (["{png}", "--images", "-o", "{folder}/r.html"], "the images could overwrite"),
        (["{png}", "-o", "{folder}/r.png"], "the images could overwrite"),
    ],
)
def test_what_is_read_is_never_written_over(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path, args: list[str], told: str
) -> None:
    saved = tmp_path / "saved" / "d.json"
    saved.parent.mkdir()
    assert run_cli(["trace", str(run), "-o", str(saved)]) == 0
    other, png, link = tmp_path / "other.json", tmp_path / "r-trace0-causes.png", tmp_path / "link.json"
    other.write_bytes(run.read_bytes())
    png.write_bytes(run.read_bytes())
    if "{link}" in args:
        link.symlink_to(run)
    places = {"run": run, "folder": tmp_path, "name": tmp_path.name, "other": other, "png": png, "link": link}
    before = {path: path.read_bytes() for path in (run, other, png, saved)}
    assert run_cli(["trace", *(arg.format(saved=saved, **places) for arg in args)]) == 2
    assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before


def test_a_trace_that_is_to_be_kept_is_not_written_over(tmp_path: Path) -> None:
    asked = Asked(order=Order(pid=1, save=str(tmp_path / "kept.json")))
    with pytest.raises(CliError, match="--save keeps"):
        check_targets((), asked, Wish(out=str(tmp_path / "kept.json")))
    check_targets((), asked, Wish(out=str(tmp_path / "report.json")))


def test_a_folder_is_read_without_what_is_no_trace_in_it(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    assert run_cli(["trace", str(tmp_path), "--json", "-o", str(tmp_path / "run.diagnosis.json")]) == 0
    for name in ("annotated.json", "annotated.json.gz"):
        assert run_cli(["trace", str(run), "--perfetto", str(tmp_path / name)]) == 0
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "broken.json.gz").write_bytes(gzip.compress(b"{}")[:9])
    capsys.readouterr()
    assert run_cli(["trace", str(tmp_path), "--json"]) == 0
    streams = capsys.readouterr()
    report = decode(streams.out).trace
    assert report is not None
    assert [file.name for file in report.files] == ["run.json"]
    assert f"{tmp_path / 'run.diagnosis.json'} is left out: it is a diagnosis" in streams.err
    assert streams.err.count("is left out: it is what --perfetto wrote") == 2
    assert [note.split(":")[0] for note in report.notes] == ["left out"] * 2
    assert "warning: left out: config.json: JSON without traceEvents" in streams.err
    assert str(tmp_path) not in "".join(report.notes)


def test_its_own_document_in_a_folder_may_be_written_again(run: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert run_cli(["trace", str(run.parent), "--json", "-o", str(tmp_path / "d.json")]) == 0


def test_a_folder_without_any_trace_is_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text("{}")
    assert run_cli(["trace", str(tmp_path)]) == 2
    assert "a.json" in capsys.readouterr().err


def test_a_file_that_was_named_is_no_file_to_leave_out(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert run_cli(["trace", str(run), str(tmp_path / "config.json")]) == 2
    assert "config.json" in capsys.readouterr().err


def test_a_bad_gate_is_told_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.traces.read.read", lambda *_, **__: pytest.fail("it was read"))
    assert run_cli(["trace", str(run), "--fail-on", "TRACE9"]) == 2
    assert "--fail-on" in capsys.readouterr().err


def test_two_compared_list_no_number_of_kernels(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_bytes(run.read_bytes())
    assert run_cli(["trace", str(run), str(other), "--compare", "--top", "5"]) == 2
    assert "--top is for one trace" in capsys.readouterr().err


def test_a_command_is_kept_without_folders_and_hosts(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "customer acme"
    inner.mkdir()
    path = inner / "gpu-node-17.corp.acme.com_4242.1700000000000.pt.trace.json"
    path.write_bytes(run.read_bytes())
    args = ["trace", str(path), "--json", "--gpu-model", "V100 SXM2 16/32GB"]
    monkeypatch.setattr("sys.argv", ["advisor", *args, f"--output={inner}/x.json"])
    assert run_cli(args[:3]) == 0
    text = capsys.readouterr().out
    assert "acme" not in text
    command = decode(text).provenance.command
    assert command.startswith("advisor trace node-")
    assert command.endswith(
        "_4242.1700000000000.pt.trace.json --json --gpu-model 'V100 SXM2 16/32GB' --output=x.json"
    )


def test_a_trace_of_no_host_is_of_no_node(capsys: pytest.CaptureFixture[str], run: Path) -> None:
    assert run_cli(["trace", str(run), "--json"]) == 0
    provenance = decode(capsys.readouterr().out).provenance
    assert provenance.host == ""
    assert "host name hashed" not in provenance.redacted


@pytest.mark.parametrize(
    "typed",
    [
        ["trace", "--pid", "7", "--steps=5", "--with-stacks", "--save", "a.json", "--json"],
        ["trace", "--json", "--seconds", "1s", "--pid=7"],
    ],
)
def test_an_asked_trace_is_reproduced_from_its_file(typed: list[str]) -> None:
    assert of_the_trace(typed, Path("kept/a.json")) == ["trace", "kept/a.json", "--json"]


def test_a_report_whose_name_begins_with_a_dash_is_no_option(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-a b.nsys-rep").write_bytes(b"x")
    assert run_cli(["trace", "./-a b.nsys-rep"]) == 2
    assert "--output './-a b.sqlite' './-a b.nsys-rep'" in capsys.readouterr().err


def test_a_trace_does_not_enter_the_history_of_a_node(
    capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "d.json"
    assert run_cli(["trace", str(run), "-o", str(saved)]) == 0
    assert json.loads(saved.read_bytes())["provenance"]["source"] == "trace"
    assert run_cli(["history", "add", str(saved)]) == 2
    assert "is of a trace" in capsys.readouterr().err
