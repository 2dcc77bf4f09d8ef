"""stdout: colour, width, and readers that go away."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import msgspec
import pytest

from advisor.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "on_terminal", "colored"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, True),
        ({"TERM": "dumb"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
    ],
)
def test_colour(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], on_terminal: bool, colored: bool
) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal() if on_terminal else io.StringIO())
    assert output.use_color(env) is colored


def test_width_follows_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert output.columns() == 80


def test_record_is_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_record({"a": [1, None]})
    assert msgspec.json.decode(capsys.readouterr().out) == {"a": [1, None]}


def test_a_reader_that_goes_away_is_not_an_error() -> None:
    script = (
        "from advisor.cli import output\nfor i in range(200000): output.write('line\\n')\nraise SystemExit(4)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"line\n"
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(30) == 4
    assert said == b""


def test_what_the_terminal_cannot_encode_is_replaced() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from advisor.cli import output; output.write('a ≤ b\\n')"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"a ? b\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("indent", ["2", "None"])
def test_a_record_is_json_in_every_encoding(encoding: str, indent: str) -> None:
    script = f"from advisor.cli import output; output.write_record({{'name': 'modèle😀 ≤\\udcff'}}, {indent})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.decode(encoding)) == {"name": "modèle😀 ≤?"}
    assert indent == "2" or done.stdout.count(b"\n") == 1
