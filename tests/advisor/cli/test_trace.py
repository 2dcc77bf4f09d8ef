"""`advisor trace` as a person runs it, on synthetic traces: no GPU produced their figures."""

from __future__ import annotations

import gzip
import json
import os
import pty
import termios
from pathlib import Path
from typing import Any

import pytest

from advisor.cli import trace_files
from advisor.cli.app import run_cli
from advisor.cli.diagnostics import Progress
from advisor.cli.screen import unseen_keys
from advisor.cli.trace_files import Reading, progress_line
from advisor.document import Diagnosis
from advisor.reports.json import decode
from tests.advisor.reports.traced import traced
from tests.advisor.traces.made import training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ranks of a job of two, and two traces that know of no job."""
    made = tmp_path_factory.mktemp("traces")
    (made / "ranks").mkdir()
    for rank in range(2):
        job: dict[str, Any] = {"rank": rank, "world_size": 2}
        training(4, gap_us=400.0 + 10 * rank, **job).write(made / "ranks" / f"rank{rank}.json.gz")
    training(6, gap_us=500.0).write(made / "slow.json")
    training(6, gap_us=50.0).write(made / "fast.json")
    return made


def said(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> str:
    """What a command line prints."""
    assert run_cli(["trace", *args]) == code
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *args: str) -> Diagnosis:
    """The document that a command line prints as JSON."""
    return decode(said(capsys, *args, "--json"))


def test_a_report_says_what_limits_it_and_divides_all_of_its_time(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = said(capsys, str(folder / "slow.json"))
    assert text.startswith("GPU 0 (Synthetic GPU) is host-bound: it waits for the input pipeline")
    assert text.count("100.00 %") == 2
    assert "synthetic_sgemm" in text
    assert "6 marked by the profiler" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_document_is_of_the_tier_trace_and_its_times_add_up(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    d = document(capsys, str(folder / "slow.json"))
    assert d.provenance.source == "trace"
    assert {verdict.tier for verdict in d.verdicts} == {"trace"}
    assert d.trace is not None
    (device,) = d.trace.devices
    assert device.busy_us + device.idle_us == pytest.approx(device.span_us, abs=5e-4)
    assert sum(device.causes.values()) == pytest.approx(device.idle_us, abs=5e-4)
    assert device.busy_us == pytest.approx(6 * (50 + 3 * 140))


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("r.json", "{"),
        ("r.md", "## GPU 0"),
        ("r.html", "<!doctype html>"),
        ("r.csv", "time,host"),
        ("r.txt", "GPU 0"),
    ],
)
def test_the_suffix_chooses_the_format(folder: Path, tmp_path: Path, name: str, begin: str) -> None:
    out = tmp_path / name
    assert run_cli(["trace", str(folder / "slow.json"), "-o", str(out)]) == 0
    assert out.read_text(encoding="utf-8").startswith(begin)
    assert out.stat().st_mode & 0o777 == 0o600


def test_charts_as_images(folder: Path, tmp_path: Path) -> None:
    assert run_cli(["trace", str(folder / "slow.json"), "-o", str(tmp_path / "r.png")]) == 0
    made = {path.name for path in tmp_path.iterdir()}
    assert {"r-ladder.png", "r-trace0-strip.png", "r-trace0-causes.png"} <= made


@pytest.mark.parametrize("command", ["report", "export", "whatif"])
def test_other_commands_read_the_document(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, command: str
) -> None:
    saved = tmp_path / "saved.json"
    assert run_cli(["trace", str(folder / "slow.json"), "-o", str(saved)]) == 0
    assert run_cli([command, str(saved)]) == 0
    assert "GPU 0" in capsys.readouterr().out


def test_its_findings_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["explain", "TRACE001"]) == 0
    assert "TRACE001" in capsys.readouterr().out


def test_a_folder_of_ranks_is_one_job(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    text = said(capsys, str(folder / "ranks"))
    assert "\nRanks\n2 of 2 ranks" in text
    assert "\nTraced devices\n" in text


def test_two_others_are_compared_before_first(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    slow, fast = str(folder / "slow.json"), str(folder / "fast.json")
    text = said(capsys, slow, fast)
    assert "Data loading went from" in text
    compared = json.loads(said(capsys, slow, fast, "--json"))
    assert (compared["a"], compared["b"]) == ("slow.json", "fast.json")


def test_ranks_can_be_compared_and_others_be_ranks(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    ranks = [str(folder / "ranks" / f"rank{rank}.json.gz") for rank in range(2)]
    assert "A  rank0.json.gz" in said(capsys, *ranks, "--compare")
    assert "\nRanks\n" in said(capsys, str(folder / "slow.json"), str(folder / "fast.json"), "--ranks")


def test_what_a_truncated_file_holds_is_told_and_what_not(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    whole = (folder / "slow.json").read_bytes()
    cut = tmp_path / "cut.json"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    assert run_cli(["trace", str(cut), "--json"]) == 0
    streams = capsys.readouterr()
    assert streams.err.startswith("advisor: warning: cut.json: ")
    d = decode(streams.out)
    assert "trace-truncated" in {flag.code for flag in d.flags}
    assert d.trace is not None
    assert d.trace.devices[0].busy_us > 0


def test_a_trace_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = training(2)
    made.events = [e for e in made.events if e.get("cat") in ("cpu_op", "user_annotation")]
    path = made.write(tmp_path / "cpu.json")
    d = document(capsys, str(path))
    assert d.trace is not None
    assert d.trace.cpu_only
    assert "GPU" in said(capsys, str(path))
    assert run_cli(["trace", str(path), "-o", str(tmp_path / "cpu.html")]) == 0


def test_more_kernels_when_asked(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = training(1)
    for i in range(40):
        made.launched(f"synthetic_kernel_{i:02}", 2000.0 + 100 * i, 2010.0 + 100 * i, 60.0 - i)
    path = str(made.write(tmp_path / "many.json"))
    assert "31 more kernels take" in said(capsys, path)
    assert "more kernels take" not in said(capsys, path, "--top", "60")


def test_one_device_of_several(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = training(2)
    made.launched("synthetic_elsewhere", 10.0, 20.0, 500.0, device=1)
    path = str(made.write(tmp_path / "two.json"))
    d = document(capsys, path, "--device", "1")
    assert d.trace is not None
    assert [(x.device, x.busy_us) for x in d.trace.devices] == [(1, 500.0)]


def test_a_model_gives_ceilings_and_a_price(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    slow = str(folder / "slow.json")
    assert document(capsys, slow).totals.price_usd_h is None
    named = document(capsys, slow, "--gpu-model", "H100 SXM5 80GB")
    assert named.totals.price_usd_h is not None
    assert named.provenance.devices[0].ceilings_model == "H100 SXM5 80GB"
    assert document(capsys, slow, "--price", "2").totals.price_usd_h == 2.0


def test_a_gate_fails_and_findings_can_be_left_out(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    slow = str(folder / "slow.json")
    said(capsys, slow, "--fail-on", "TRACE001", code=1)
    said(capsys, slow, "--fail-on", "TRACE001", "--ignore", "TRACE001")
    said(capsys, slow, "--select", "TRACE0", "--fail-on", "critical")


def test_attribution_is_written_for_perfetto(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "annotated.json"
    assert run_cli(["trace", str(folder / "slow.json"), "--perfetto", str(out)]) == 0
    assert len(json.loads(out.read_bytes())["traceEvents"]) > 100


def test_folders_do_not_leave(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    inner = tmp_path / "customer-x"
    inner.mkdir()
    path = inner / "gpu-node-17_4711.1719412345678.pt.trace.json"
    path.write_bytes((folder / "slow.json").read_bytes())
    text = said(capsys, str(path), "--json")
    assert "gpu-node-17" not in text
    assert "customer-x" not in text.replace(str(inner), "")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        ([], "no trace was named"),
        (["nowhere.json"], "there is no file nowhere.json"),
        (["-"], "not from stdin"),
        (["{slow}", "{slow}"], "is named twice"),
        (["{slow}", "{fast}", "{rank}"], "--ranks"),
        (["{slow}", "{fast}", "--ranks", "--compare"], "contradict"),
        (["{slow}", "--compare"], "name the other one too"),
        (["{slow}", "{fast}", "{rank}", "--compare"], "name two"),
        (["{slow}", "{fast}", "--fail-on", "high"], "--fail-on is for one trace"),
        (["{slow}", "{fast}", "--format", "html"], "not written as html"),
        (["{slow}", "--device", "3"], "devices in these traces: 0"),
        (["{slow}", "--gpu-model", "H100"], "names several models"),
        (["{slow}", "--gpu-model", "nothing"], "names no model"),
        (["{slow}", "--tui"], "needs a terminal"),
        (["{slow}", "--tui", "--json"], "writes no report"),
        (["{slow}", "--perfetto", "/nowhere/at/all.json"], "--perfetto cannot write"),
        (["{slow}", "--perfetto", "{slow}"], "it is a trace that is read"),
        (["{slow}", "-o", "x.pdf"], "nothing is written as .pdf"),
        (["{slow}", "--top", "0"], "--top"),
        (["{empty}"], "holds no trace"),
        (["{text}"], "torch.profiler"),
        (["{saved}"], "advisor report"),
        (["{slow}", "--join", "{slow}"], "slow.json"),
    ],
)
def test_bad_input_is_one_clear_line_and_what_to_do(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, args: list[str], told: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "saved.json").write_bytes(_saved())
    places = {name: str(folder / f"{name}.json") for name in ("slow", "fast")}
    places |= {"rank": str(folder / "ranks" / "rank0.json.gz"), "empty": str(tmp_path / "empty")}
    places |= {name: str(tmp_path / f"{name}.json") for name in ("text", "saved")}
    assert run_cli(["trace", *(arg.format(**places) for arg in args)]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert told in streams.err
    assert "Traceback" not in streams.err


def _saved() -> bytes:
    from advisor.reports.json import encode

    return encode(traced())


def test_a_trace_given_to_another_command_is_told_where_to_go(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for path in (folder / "slow.json", folder / "ranks" / "rank0.json.gz"):
        assert run_cli(["report", str(path)]) == 2
        assert f"advisor trace {path}" in capsys.readouterr().err


def test_a_live_look_of_another_job_is_not_joined(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live.json"
    live.write_bytes(_saved())
    assert run_cli(["trace", str(folder / "slow.json"), "--join", str(live)]) == 2
    assert "--join: " in capsys.readouterr().err


def test_interrupting_ends_quietly(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("advisor.traces.read.read", interrupted)
    assert run_cli(["trace", str(folder / "slow.json")]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_screen_is_opened_on_a_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr("advisor.cli.tracing.diagnostics.is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("advisor.tui.trace.app.run_trace", lambda *args: shown.append(args))
    assert run_cli(["trace", str(folder / "slow.json"), "--tui"]) == 0
    analysis, diagnosis, _ = shown[0]
    assert diagnosis.trace == analysis.report


def test_keys_are_not_echoed_while_a_trace_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0), os.fdopen(theirs, "r") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        before = termios.tcgetattr(theirs)[3]
        with unseen_keys():
            assert not termios.tcgetattr(theirs)[3] & termios.ECHO
            assert termios.tcgetattr(theirs)[3] & termios.ISIG
        assert termios.tcgetattr(theirs)[3] == before


def test_keys_are_left_alone_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    with unseen_keys():
        pass


def test_what_is_done_before_the_screen_opens_is_shown(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.cli.diagnostics.is_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda _: True})())
    monkeypatch.setattr("advisor.tui.trace.app.run_trace", lambda *_: None)
    monkeypatch.setenv("TERM", "xterm")
    assert run_cli(["trace", str(folder / "slow.json"), "--tui"]) == 0
    assert "reading slow.json, Ctrl-C stops" in capsys.readouterr().err


def test_progress_has_bytes_and_what_is_left() -> None:
    line = progress_line("a_rather_long_name_of_a_trace.pt.trace.json.gz", 52_000_000, 104_000_000, 2.0)
    assert "[##########----------] 52 of 104 MB, 2 s left" in line
    assert len(line) < 80
    assert progress_line("x", 5_000_000, None, 1.0) == "reading x 5 MB, Ctrl-C stops"
    assert "left" not in progress_line("x", 0, 10, 0.0)


def test_a_file_that_is_read_at_once_needs_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("advisor.cli.diagnostics.write", written.append)
    times = iter([0.0, 0.1, 0.9])
    reading = Reading("x", Progress(shown=True), lambda: next(times))
    reading.step(1, 10)
    assert written == []
    reading.step(5, 10)
    assert "reading x [##########" in written[0]
    reading.clear()
    assert written[-1].strip() == ""


def test_a_folder_stands_for_its_traces_alone(tmp_path: Path) -> None:
    for name in ("b.json", "a.json.gz", "c.sqlite", "notes.txt", "d.nsys-rep"):
        (tmp_path / name).write_bytes(gzip.compress(b"{}"))
    (tmp_path / "inner.json").mkdir()
    names = [path.name for path in trace_files.trace_files([str(tmp_path)])]
    assert names == ["a.json.gz", "b.json", "c.sqlite"]
