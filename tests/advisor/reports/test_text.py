"""Plain text: what fits a terminal, says the verdict first, and cannot drive the terminal."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from advisor.document import Diagnosis
from advisor.reports.text import MAX_FINDINGS, render_summary_line, render_text
from tests.advisor.reports.nasty import nasty
from tests.factories import make_diagnosis, make_finding, make_provenance, make_verdict
from tests.strategies import diagnoses

RELAXED = settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
SGR = re.compile(r"\x1b\[[0-9;]*m")


def check(text: str, width: int) -> None:
    text.encode()
    for line in SGR.sub("", text).splitlines():
        assert line.isprintable(), ascii(line)
        assert cell_len(line) <= width, line


@pytest.mark.parametrize("width", [80, 100, 120])
def test_verdict_then_money_then_findings_then_provenance(width: int) -> None:
    text = render_text(make_diagnosis("host", "memory"), width, False)
    wanted = [
        "SYNTHETIC",
        "is wasted",
        "Where the money goes",
        "HOST003 the input",
        "Expect",
        "All GPUs",
    ]
    places = [text.index(words) for words in [*wanted, "Provenance", "redacted", "reproduce"]]
    assert places == sorted(places)
    assert places[1] < 200
    check(text, width)


def test_bars_are_as_long_as_their_share() -> None:
    lines = render_text(make_diagnosis("host"), 100, False).splitlines()
    bars = [line for line in lines if "█" in line]
    assert [bar.count("█") for bar in bars] == [8, 7, 5]
    assert all(bar.count("█") + bar.count("░") == 20 for bar in bars)


def test_without_a_price_there_are_no_dollars() -> None:
    text = render_text(make_diagnosis("host", price_usd_h=None), 80, False)
    assert "$" not in text
    assert "Where the time goes" in text
    assert "no price is known" in text


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "200", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)
    diagnosis = make_diagnosis("host")
    plain, coloured = render_text(diagnosis, 80, False), render_text(diagnosis, 80, True)
    assert "\x1b" not in plain
    assert SGR.search(coloured)
    assert [line.rstrip() for line in SGR.sub("", coloured).splitlines()] == plain.splitlines()


def test_ascii() -> None:
    text = render_text(make_diagnosis("host"), 80, False, unicode=False)
    assert text.isascii()
    assert "########............" in text
    assert "1.4x to 1.6x" in text
    assert "?" not in text


@pytest.mark.parametrize("width", [1, 40, 79, 80, 120, 10_000])
@pytest.mark.parametrize("color", [True, False])
def test_the_nasty_document(width: int, color: bool) -> None:
    check(render_text(nasty(), width, color), min(140, max(40, width)))


@RELAXED
@given(diagnoses(), st.integers(40, 140), st.booleans())
def test_any_document(diagnosis: Diagnosis, width: int, color: bool) -> None:
    check(render_text(diagnosis, width, color), width)


def test_markup_in_names_is_shown_as_it_is() -> None:
    text = render_text(make_diagnosis(findings=[make_finding(title="[bold]x[/bold] :smile:")]), 80, False)
    assert "[bold]x[/bold] :smile:" in text


def test_many_findings_are_counted() -> None:
    findings = [make_finding(usd_h=float(100 - i)) for i in range(MAX_FINDINGS + 7)]
    text = render_text(make_diagnosis(findings=findings), 80, False)
    assert text.count("HOST003 the input") == MAX_FINDINGS
    assert "7 smaller findings left out; the JSON has all." in text


def test_no_findings_and_no_rows() -> None:
    text = render_text(Diagnosis(provenance=make_provenance()), 80, False)
    assert "No GPU was observed." in text
    assert "No findings" in text


def test_summary_line() -> None:
    line = render_summary_line(make_diagnosis("host"))
    assert line == (
        "synthetic: GPU 0 host-bound 0.94 · $5.15/h of $6.88/h wasted ($1.97 to $2.58 recoverable) · "
        "HOST003 the input pipeline is CPU-bound"
    )
    node = render_summary_line(
        make_diagnosis("host", "idle", price_usd_h=None, provenance=make_provenance(synthetic=False))
    )
    assert node == (
        "GPU 1 idle 0.94 · 87 % of paid time wasted on 2 GPUs (14 % to 69 % recoverable) · "
        "HOST003 the input pipeline is CPU-bound"
    )
    assert render_summary_line(Diagnosis(provenance=make_provenance())) == "no GPU was observed"


@RELAXED
@given(diagnoses())
def test_summary_line_is_one_printable_line(diagnosis: Diagnosis) -> None:
    line = render_summary_line(diagnosis)
    assert line.isprintable()
    assert len(line) < 400


def test_worst_is_named_first() -> None:
    verdicts = [make_verdict("compute", gpu=0), make_verdict("idle", gpu=1), make_verdict("host", gpu=2)]
    assert "GPU 1 (" in render_text(make_diagnosis(verdicts=verdicts), 120, False).split("Worst: ")[1][:10]


def test_a_critical_finding_comes_first_even_when_it_costs_nothing_yet() -> None:
    sick = make_finding(
        "DEV006", severity="critical", title="memory errors", usd_h=0.0, share=0.0, effect=None
    )
    text = render_text(make_diagnosis(findings=[make_finding(), sick]), 140, False)
    assert "critical: DEV006 (memory errors); HOST003: up to $2.61 per hour recoverable." in " ".join(
        text.split()
    )
    assert text.index("\nDEV006") < text.index("\nHOST003")
    assert "$0.00" not in text
    assert "DEV006" in render_summary_line(make_diagnosis(findings=[make_finding(), sick]))


def test_every_critical_finding_is_shown() -> None:
    sick = [make_finding("DEV005", severity="critical") for _ in range(30)]
    text = render_text(make_diagnosis(findings=[make_finding(), *sick]), 140, False)
    assert text.count("\nDEV005") == 30
    assert "1 smaller finding left out" in text
