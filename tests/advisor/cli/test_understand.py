"""explain, rules, schema and config."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from advisor.cli import output
from advisor.cli.app import run_cli
from advisor.config import settings
from advisor.schema import WHICH, Which, json_schema
from rules.registry import all_rules

CODE = all_rules()[0].code


def test_rules_are_one_line_each(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run_cli(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [rule.code for rule in all_rules()]
    assert max(len(line) for line in lines) <= 80


def test_rules_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["rules", "--json"])
    records = msgspec.json.decode(capsys.readouterr().out)
    assert {record["code"] for record in records} == {rule.code for rule in all_rules()}
    assert set(records[0]) == {"code", "title", "severity", "owner", "term", "distribution"}


@pytest.mark.parametrize("code", [CODE, CODE.lower()])
def test_explain_prints_the_page_as_markdown(capsys: pytest.CaptureFixture[str], code: str) -> None:
    assert run_cli(["explain", code]) == 0
    assert capsys.readouterr().out.startswith(f"# {CODE} ")


def test_explain_on_a_terminal_is_rendered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    run_cli(["explain", CODE])
    page = capsys.readouterr().out
    assert CODE in page
    assert "**" not in page
    assert "\x1b[3" not in page
    assert max(len(line) for line in page.splitlines()) <= 80


def test_explain_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["explain", CODE, "--json"])
    assert msgspec.json.decode(capsys.readouterr().out)["page"].startswith(f"# {CODE} ")


@pytest.mark.parametrize("word", ["host", "HOST"])
def test_explain_of_a_family_lists_its_rules(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["explain", word]) == 0
    codes = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert codes == [rule.code for rule in all_rules() if rule.code.startswith("HOST")]
    run_cli(["explain", word, "--json"])
    assert [record["code"] for record in msgspec.json.decode(capsys.readouterr().out)] == codes


@pytest.mark.parametrize("kind", [None, *WHICH])
def test_schema(capsys: pytest.CaptureFixture[str], kind: Which | None) -> None:
    assert run_cli(["schema"] if kind is None else ["schema", kind]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == json_schema(kind or "diagnosis")


def test_schema_by_the_command_that_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["schema", "compare"]) == 0
    assert msgspec.json.decode(capsys.readouterr().out) == json_schema("comparison")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration file is for the length of a test; it does not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in settings():
        monkeypatch.delenv(f"ADVISOR_{name.upper()}", raising=False)
    monkeypatch.delenv("ADVISOR_CONFIG", raising=False)
    return tmp_path / "advisor" / "config.toml"


def test_config_path(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["config", "path"])
    assert capsys.readouterr().out == f"{file}\n"
    run_cli(["config", "path", "--json"])
    assert msgspec.json.decode(capsys.readouterr().out) == {"path": str(file), "exists": False}


def test_config_init_writes_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["config", "init"]) == 0
    assert tomllib.loads(file.read_text()) == {}
    file.write_text("interval_s = 2.0\n")
    assert run_cli(["config", "init"]) == 2
    assert file.read_text() == "interval_s = 2.0\n"
    assert run_cli(["config", "init", "--force"]) == 0
    assert "interval_s = 2.0" not in file.read_text()
    assert capsys.readouterr().out == ""


def test_config_print_is_toml_with_origins(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.parent.mkdir()
    file.write_text("interval_s = 2.0\n")
    assert run_cli(["config", "print"]) == 0
    said = capsys.readouterr().out
    assert tomllib.loads(said)["interval_s"] == 2.0
    assert "interval_s = 2.0  # config" in said


def test_config_print_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_cli(["config", "print", "--json"])
    record = msgspec.json.decode(capsys.readouterr().out)
    assert set(settings()) <= set(record)
    assert record["origins"]["interval_s"] == "default"
    assert record["path"] == str(file)


def test_config_validate(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["config", "validate"]) == 0
    file.parent.mkdir()
    file.write_text("interval_s = 2.0\n")
    assert run_cli(["config", "validate"]) == 0
    assert "is valid" in capsys.readouterr().out
    file.write_text("intervall_s = 2.0\ntheme = 3\n")
    assert run_cli(["config", "validate"]) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert run_cli(["config", "validate", "--json", str(file)]) == 2
    assert msgspec.json.decode(capsys.readouterr().out)["valid"] is False


def test_a_file_that_was_named_must_exist(file: Path, tmp_path: Path) -> None:
    assert run_cli(["config", "validate", str(tmp_path / "other.toml")]) == 2


def test_a_broken_configuration_stops_every_measuring_command(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.parent.mkdir()
    file.write_text("theme = 3\n")
    assert run_cli(["diagnose"]) == 2
    assert "theme" in capsys.readouterr().err
