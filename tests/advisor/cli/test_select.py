"""--select, --ignore and rules of other packages, on the command line."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from advisor import plugins
from advisor.cli.app import run_cli
from advisor.document import Diagnosis
from advisor.reports.json import decode, encode
from tests.advisor.test_plugins import Install, install, source
from tests.factories import make_diagnosis, make_finding

__all__ = ["install"]


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A saved diagnosis with four findings, away from any configuration."""
    monkeypatch.setenv("ADVISOR_CONFIG", str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("")
    path = tmp_path / "saved.json"
    codes = ("HOST003", "HOST010", "MEM001", "IDLE001")
    path.write_bytes(encode(make_diagnosis(findings=[make_finding(code) for code in codes])))
    return str(path)


def exported(capsys: pytest.CaptureFixture[str], *args: str) -> Diagnosis:
    assert run_cli(["export", *args, "--json"]) == 0
    return decode(capsys.readouterr().out.encode())


def test_export_leaves_findings_out_and_says_so(saved: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = exported(capsys, saved, "--select", "HOST,MEM", "--ignore", "HOST00", "--ignore", "MEM001")
    assert [f.code for f in found.findings] == ["HOST010"]
    assert found.provenance.select == ("HOST", "MEM")
    assert found.provenance.ignored == {"HOST003": 1, "IDLE001": 1, "MEM001": 1}
    assert any(flag.code == "rules-ignored" for flag in found.flags)


def test_the_environment_and_the_flag_that_beats_it(
    saved: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADVISOR_IGNORE", "HOST,MEM")
    assert [f.code for f in exported(capsys, saved).findings] == ["IDLE001"]
    assert len(exported(capsys, saved, "--ignore", "").findings) == 4


@pytest.mark.parametrize("command", [["export", "-"], ["diagnose"], ["run", "true"], ["replay", "x"]])
def test_a_word_that_fits_no_rule_is_a_usage_error(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli([command[0], "--ignore", "HOTS", *command[1:]]) == 2
    said = capsys.readouterr().err
    assert "--ignore: no rule's code is 'HOTS' or begins with it" in said
    assert "fix: did you mean HOST" in said


def test_rules_of_packages_are_listed_and_explained(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("one-dist", source("ACME001"))
    install("two-dist", "import nothing_of_the_kind")
    assert run_cli(["rules"]) == 0
    done = capsys.readouterr()
    assert "A title [one-dist]" in done.out
    assert done.err.count("warning: rules of two-dist (two_dist) cannot be loaded") == 1
    run_cli(["rules", "--json"])
    records = {r["code"]: r for r in msgspec.json.decode(capsys.readouterr().out)}
    assert records["ACME001"]["distribution"] == "one-dist"
    assert records["HOST003"]["distribution"] is None
    assert run_cli(["explain", "acme001"]) == 0
    assert capsys.readouterr().out.startswith("# ACME001 A title")


def test_a_clash_is_said_with_both_names(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("one-dist", source("ACME001"))
    install("two-dist", source("ACME001"))
    assert run_cli(["rules"]) == 2
    assert "ACME001 is declared by both one-dist and two-dist" in capsys.readouterr().err


def test_version_and_help_load_no_rules(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugins, "load", lambda: pytest.fail("rules were loaded"))
    assert run_cli(["--version"]) == 0
    assert run_cli(["diagnose", "--help"]) == 0
    assert "--select" in capsys.readouterr().out
