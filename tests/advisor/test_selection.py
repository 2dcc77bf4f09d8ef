"""Which findings a document keeps, and how it says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.config import ConfigError, load
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from advisor.selection import Selection, SelectionError, parse_selection
from tests.factories import make_diagnosis, make_finding

CODES = ("HOST003", "HOST010", "MEM001", "IDLE001")


def kept(select: str = "", ignore: str = "") -> list[str]:
    found = parse_selection(select, ignore)
    return [code for code in CODES if found.keeps(code)]


@pytest.mark.parametrize(
    ("select", "ignore", "left"),
    [
        ("", "", CODES),
        ("HOST", "", ("HOST003", "HOST010")),
        ("", "HOST", ("MEM001", "IDLE001")),
        ("HOST", "HOST00", ("HOST010",)),
        ("HOST,HOST003", "HOST00", ("HOST003", "HOST010")),
        ("HOST003", "HOST003", ()),
        ("host003", "all", ("HOST003",)),
        ("ALL", "MEM", ("HOST003", "HOST010", "IDLE001")),
        ("ALL", "ALL", ()),
        ("", "ALL", ()),
        (" HOST010 , MEM ", "", ("HOST010", "MEM001")),
    ],
)
def test_the_longer_word_decides_and_ignore_wins_a_tie(
    select: str, ignore: str, left: tuple[str, ...]
) -> None:
    assert tuple(kept(select, ignore)) == left


@pytest.mark.parametrize(("word", "fix"), [("HOTS", "HOST"), ("HOST033", "HOST003"), ("*", "advisor rules")])
def test_a_word_that_fits_no_rule_is_told_what_would(word: str, fix: str) -> None:
    with pytest.raises(SelectionError) as caught:
        parse_selection("", word)
    assert word in str(caught.value)
    assert fix in caught.value.fix


def test_findings_go_and_verdicts_ladder_and_totals_stay() -> None:
    before = make_diagnosis(findings=[make_finding(code) for code in CODES])
    after = parse_selection("", "HOST").applied(before)
    assert [f.code for f in after.findings] == ["MEM001", "IDLE001"]
    assert (after.verdicts, after.ladder, after.totals) == (before.verdicts, before.ladder, before.totals)


def test_a_ticket_says_what_was_left_out() -> None:
    fault = make_finding("DEV006", severity="critical")
    document = parse_selection("", "DEV").applied(make_diagnosis(findings=[fault, make_finding()]))
    assert document.provenance.ignore == ("DEV",)
    assert document.provenance.ignored == {"DEV006": 1}
    for text in (render_markdown(document), render_text(document, 120, False)):
        assert "critical ones among them: DEV006 (1)" in text
        assert "--ignore DEV" in text


def test_leaving_out_again_adds_to_what_was_left_out() -> None:
    first = parse_selection("", "HOST").applied(make_diagnosis(findings=[make_finding(c) for c in CODES]))
    second = parse_selection("", "MEM").applied(first)
    assert second.provenance.ignored == {"HOST003": 1, "HOST010": 1, "MEM001": 1}
    assert second.provenance.ignore == ("HOST", "MEM")
    assert Selection().applied(second) is second


def test_flag_beats_environment_beats_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('ignore = "MEM"\nselect = "MEM,HOST"\n')
    env = {"ADVISOR_IGNORE": "HOST"}
    assert load({}, {}, path).ignore == "MEM"
    assert load({}, env, path).ignore == "HOST"
    found = load({"ignore": "", "select": None}, env, path)
    assert (found.ignore, found.select, found.origins["ignore"]) == ("", "MEM,HOST", "flag")
    path.write_text('ignore = "MEMO"\n')
    with pytest.raises(ConfigError, match=r"ignore = 'MEMO': no rule's code.*did you mean MEM"):
        load({}, {}, path)


words = st.lists(st.sampled_from(["ALL", "H", "HOST", "HOST0", "HOST003", "MEM", "MEM001"]), max_size=4)


@given(words, words, st.sampled_from(CODES))
def test_selecting_more_keeps_more_and_ignoring_more_keeps_less(
    select: list[str], ignore: list[str], code: str
) -> None:
    base = Selection(select=tuple(select), ignore=tuple(ignore))
    if select:
        assert Selection(select=(*select, code), ignore=tuple(ignore)).keeps(code) >= base.keeps(code)
    assert Selection(select=tuple(select), ignore=(*ignore, code)).keeps(code) is False
