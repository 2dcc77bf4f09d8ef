"""`advisor trace --pid`: what is refused before a job is disturbed, and a trace asked for and read."""

from __future__ import annotations

import gzip
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
