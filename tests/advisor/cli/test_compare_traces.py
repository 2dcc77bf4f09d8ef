"""`advisor compare` of saved diagnoses of profiler traces."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from advisor.cli.app import run_cli
from rules.traces.compared import TraceComparison
from tests.advisor.traces.stepping import loop

DEMO = str(Path(__file__).parents[3] / "advisor" / "data" / "demo.jsonl.gz")


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADVISOR_CONFIG", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def saved(tmp_path: Path) -> list[str]:
    """Diagnoses of two synthetic loops, the second with a faster loader."""
    files = []
    for name, wait in (("before", 2_000.0), ("after", 100.0)):
        made = loop([wait + index for index in range(6)]).write(tmp_path / f"{name}-synthetic.json")
        out = tmp_path / f"{name}-diagnosis.json"
        assert run_cli(["trace", str(made), "--json", "-o", str(out)]) == 0
        files.append(str(out))
    return files


def test_two_traces_are_compared_as_traces(saved: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_cli(["compare", *saved]) == 0
    assert "that is the gain" in capsys.readouterr().out
    assert run_cli(["compare", *saved, "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=TraceComparison)
    assert found.pairs[0].gains == ("data_loading",)


def test_what_is_for_looks_is_refused(saved: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run_cli(["compare", *saved, "--gpu", "0"]) == 2
    assert "these are traces" in capsys.readouterr().err


def test_a_trace_and_a_look_are_not_compared(
    saved: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    look = tmp_path / "look.json"
    assert run_cli(["replay", DEMO, "--once", "--json", "-o", str(look)]) in (0, 1)
    capsys.readouterr()
    assert run_cli(["compare", saved[0], str(look)]) == 2
    assert "not comparable" in capsys.readouterr().err
