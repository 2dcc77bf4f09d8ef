"""--fail-on: what makes the exit code 1."""

from __future__ import annotations

import pytest

from advisor.cli.diagnostics import CliError, ExitCode
from advisor.cli.failon import judge, parse_fail_on, reasons_to_fail
from advisor.gate import FailOn
from rules.registry import all_rules
from tests.factories import make_diagnosis, make_finding


def test_nothing_asked_for_never_fails() -> None:
    assert reasons_to_fail(parse_fail_on(("",)), make_diagnosis("host")) == []


def test_words_are_sorted_into_kinds() -> None:
    code = all_rules()[0].code
    parsed = parse_fail_on((f"HIGH, {code.lower()}", "usd:3", "usd:1.5", "medium"))
    assert parsed == FailOn(severity="medium", codes=frozenset({code}), usd_h=1.5)


@pytest.mark.parametrize("word", ["usd:", "usd:x", "usd:-1", "usd:nan", "usd:inf", "hihg", "NOPE1"])
def test_unknown_words_are_refused(word: str) -> None:
    with pytest.raises(CliError) as caught:
        parse_fail_on((word,))
    assert caught.value.code == ExitCode.USAGE
    assert caught.value.fix


@pytest.mark.parametrize(
    ("asked", "severity", "fails"),
    [
        ("high", "high", True),
        ("high", "critical", True),
        ("high", "medium", False),
        ("info", "low", True),
        ("critical", "high", False),
    ],
)
def test_severity_or_worse(asked: str, severity: str, fails: bool) -> None:
    diagnosis = make_diagnosis(findings=[make_finding(severity=severity)])
    assert bool(reasons_to_fail(parse_fail_on((asked,)), diagnosis)) is fails


def test_code() -> None:
    wanted = FailOn(codes=frozenset({"HOST003"}))
    assert judge(make_diagnosis(findings=[make_finding("HOST003")]), wanted) is ExitCode.FINDINGS
    assert judge(make_diagnosis(findings=[make_finding("MEM001")]), wanted) is ExitCode.OK


def test_dollars_are_the_whole_nodes_waste() -> None:
    diagnosis = make_diagnosis("host", "host")
    wasted = diagnosis.totals.wasted_usd_h
    assert wasted is not None
    assert reasons_to_fail(FailOn(usd_h=wasted), diagnosis)
    assert not reasons_to_fail(FailOn(usd_h=wasted + 0.01), diagnosis)


def test_a_gate_in_dollars_without_prices_does_not_look_passed() -> None:
    with pytest.raises(CliError) as caught:
        reasons_to_fail(FailOn(usd_h=1.0), make_diagnosis("host", price_usd_h=None))
    assert caught.value.code == ExitCode.CANNOT_MEASURE


def test_reasons_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    judge(make_diagnosis(findings=[make_finding(severity="high")]), FailOn(severity="high"))
    said = capsys.readouterr()
    assert said.out == ""
    assert "HOST003 on GPU 0 is high" in said.err
