"""stderr and exit codes."""

from __future__ import annotations

import io
import sys

import pytest

from advisor.cli import diagnostics
from advisor.cli.diagnostics import CliError, ExitCode, Progress, cannot_measure


def test_exit_codes_are_those_documented() -> None:
    codes = {code.name: int(code) for code in ExitCode}
    assert codes == {
        "OK": 0,
        "FINDINGS": 1,
        "USAGE": 2,
        "CANNOT_MEASURE": 3,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
    }


def test_failure_says_what_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    code = diagnostics.fail(cannot_measure("no driver", "install one"))
    assert code == 3
    assert capsys.readouterr() == ("", "advisor: no driver\n  fix: install one\n")


def test_failure_with_several_problems(capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics.fail(CliError("two problems:\nfirst\nsecond"))
    assert capsys.readouterr().err == "advisor: two problems:\n  first\n  second\n"


def test_untrusted_text_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    diagnostics.note("name \x1b[2J\x07 end")
    assert "\x1b" not in capsys.readouterr().err


def test_crash_is_not_mistaken_for_findings(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnostics.crash(RuntimeError("boom")) == ExitCode.INTERNAL
    assert "RuntimeError: boom" in capsys.readouterr().err


def test_closed_stderr_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    diagnostics.note("nobody hears this")


def test_progress_is_drawn_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(shown=True)
    progress.show("looking 1s")
    progress.clear()
    assert capsys.readouterr().err == "\rlooking 1s\r" + " " * 10 + "\r"


def test_no_progress_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.show("looking 1s")
    progress.clear()
    assert capsys.readouterr().err == ""
