"""advisor whatif: as a person and as a script asks it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from advisor.asked import Answers, FixPage
from advisor.cli.app import run_cli
from rules.whatifs.registry import all_fixes

DEMO = str(Path(__file__).parents[3] / "advisor" / "data" / "demo.jsonl.gz")


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ADVISOR_CONFIG", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("ADVISOR_PRICE", raising=False)


def test_a_recording_is_replayed_and_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["whatif", DEMO, "--gpu", "2", "--fix", "host-gap", "--price", "2.00"]) == 0
    out = capsys.readouterr().out
    assert "Close the host gap (host-gap)" in out
    assert "$1.16 to $1.58 an hour for today's $2.00" in out
    assert "GPU 0" not in out


def test_a_saved_diagnosis_gives_the_same_as_its_recording(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "demo.json"
    assert run_cli(["replay", DEMO, "--once", "--json", "-o", str(saved)]) == 0
    found = []
    for source in (DEMO, str(saved)):
        capsys.readouterr()
        assert run_cli(["whatif", source, "--json"]) == 0
        found.append(msgspec.json.decode(capsys.readouterr().out, type=Answers))
    assert found[0].rows == found[1].rows


def test_the_list_needs_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["whatif", "--list", "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=tuple[FixPage, ...])
    assert [page.fix for page in found] == [fix.slug for fix in all_fixes()]
    assert run_cli(["whatif", "--list"]) == 0
    assert "pin-memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no diagnosis was given"),
        (("/nowhere/x.json",), "cannot read /nowhere/x.json"),
        ((DEMO, "--fix", "gpu-graphs"), "did you mean cuda-graphs"),
        ((DEMO, "--fix", "qqqq"), "there are host-gap"),
        ((DEMO, "--fix", ""), "--fix names no fix"),
        ((DEMO, "--fix", "smaller-gpu", "--fix", "larger-gpu"), "replace each other"),
        ((DEMO, "--gpu", "9"), "no such GPU"),
        (("x.json", "--price", "2.00"), "--price is for recordings"),
    ],
)
def test_errors_say_what_to_do(args: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["whatif", *args]) == 2
    shown = capsys.readouterr()
    assert said in shown.err
    assert "fix:" in shown.err
    assert shown.out == ""


def test_half_a_document_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('{"schema_version": 1, "provenance": {')
    assert run_cli(["whatif", str(path)]) == 2
    assert "cut off" in capsys.readouterr().err
