"""`advisor trace --pid`: what is refused before a job is disturbed, and a trace asked for and read."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from advisor.cli.diagnostics import CliError
from advisor.cli.reporting import Wish
from advisor.cli.trace_asking import STEPS, order_of, ordered
from advisor.cli.tracing import Asked, trace
from advisor.traces.errors import TraceError
from advisor.traces.ondemand import asking
from advisor.traces.ondemand.server import Say

ORDERED = Path(__file__).parents[1] / "traces" / "data" / "torch-cpu-ordered.json.gz"


@pytest.mark.parametrize("given", [{"steps": 2}, {"seconds": 1.0}, {"stacks": True}, {"save": "x.json"}])
def test_what_to_ask_for_needs_a_process(given: dict[str, object]) -> None:
    with pytest.raises(CliError, match="says what to ask a process for"):
        order_of(None, **given)  # type: ignore[arg-type]


def test_nothing_asked() -> None:
    assert order_of(None) is None


def test_steps_and_seconds_exclude_each_other() -> None:
    with pytest.raises(CliError, match="exclude each other"):
        order_of(7, steps=2, seconds=1.0)


def test_no_trace_is_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "t.json"
    there.write_text("{}")
    with pytest.raises(CliError, match="is there already"):
        order_of(7, save=str(there))
    with pytest.raises(CliError, match="there is no folder"):
        order_of(7, save=str(tmp_path / "no" / "t.json"))


def test_too_much_is_refused() -> None:
    with pytest.raises(CliError, match="too many"):
        order_of(7, steps=10_000)
    with pytest.raises(CliError, match="too long"):
        order_of(7, seconds=3600.0)


def test_a_file_beside_a_process() -> None:
    with pytest.raises(CliError, match="makes a trace of its own"):
        trace(Asked(files=("x.json",), order=order_of(7)), Wish())


def test_a_process_that_cannot_be_asked_is_exit_code_3(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Path:
        raise TraceError("it does not listen", "start it again")

    monkeypatch.setattr(asking, "fetch_trace", refuse)
    order = order_of(7)
    assert order is not None
    with pytest.raises(CliError, match="does not listen") as caught:
        ordered(order)
    assert (caught.value.code, caught.value.fix) == (3, "start it again")


def test_the_trace_that_was_asked_for_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted: list[asking.Wanted] = []

    def fetch(what: asking.Wanted, say: Say) -> Path:
        wanted.append(what)
        say("asking")
        path = tmp_path / "trace.json"
        path.write_bytes(gzip.decompress(ORDERED.read_bytes()))
        return path

    monkeypatch.setattr(asking, "fetch_trace", fetch)
    assert trace(Asked(order=order_of(7)), Wish()) == 0
    assert (wanted[0].pid, wanted[0].steps) == (7, STEPS)
    out, err = capsys.readouterr()
    assert "Nothing ran on a GPU in this trace" in out
    assert "the trace is kept as" in err


def test_too_little_is_refused() -> None:
    with pytest.raises(CliError, match="too short"):
        order_of(7, seconds=0.0001)


@pytest.mark.parametrize("name", ["", " ", "-"])
def test_a_trace_needs_a_name_to_be_kept_under(name: str) -> None:
    with pytest.raises(CliError, match="needs the name of a file"):
        order_of(7, save=name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CliError, match="no file can be made"):
        order_of(7, save=str(tmp_path / "t.json"))


def _written(monkeypatch: pytest.MonkeyPatch, path: Path, text: bytes) -> None:
    path.write_bytes(text)
    monkeypatch.setattr(asking, "fetch_trace", lambda *_: path)


@pytest.mark.parametrize(
    ("steps", "said"),
    [(3, ""), (5, "5 steps were asked for, and the trace holds 3")],
)
def test_fewer_steps_than_asked_for_are_told(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    steps: int,
    said: str,
) -> None:
    _written(monkeypatch, tmp_path / "trace.json", gzip.decompress(ORDERED.read_bytes()))
    assert trace(Asked(order=order_of(7, steps=steps)), Wish()) == 0
    err = capsys.readouterr().err
    assert said in err
    assert ("steps were asked for" in err) == bool(said)


def test_a_trace_without_steps_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = gzip.decompress(ORDERED.read_bytes()).replace(b"Optimizer.step#", b"Other.call#")
    _written(monkeypatch, tmp_path / "trace.json", text)
    assert trace(Asked(order=order_of(7, steps=3)), Wish()) == 0
    assert "the process counted none: its profiler took half a second" in capsys.readouterr().err


def test_an_empty_trace_is_told_as_what_the_process_wrote(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = b'{"traceEvents": [{"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "x"}}]}'
    _written(monkeypatch, tmp_path / "trace.json", text)
    with pytest.raises(CliError, match="what process 7 wrote holds nothing") as caught:
        trace(Asked(order=order_of(7)), Wish())
    assert caught.value.code == 3
    assert str(tmp_path / "trace.json") in caught.value.fix
