"""What contributes to a finding is small print right under it, in every format and on the screens."""

from __future__ import annotations

import msgspec
import pytest

from advisor.document import Diagnosis
from advisor.reports.json import decode, encode
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from advisor.tui.banner import by_weight
from advisor.tui.findings import list_row
from advisor.tui.rows import text_of
from rules.finding import Finding
from tests.factories import make_diagnosis, make_finding

CAUSE = make_finding("MEM001", claim="GPU 0 is limited by DRAM bandwidth.", usd_h=1.0, share=0.5)
LEVER = make_finding(
    "MEM004", claim="A chain of kernels.", usd_h=6.5, role="contributing", actions=("One.", "Two.", "Three.")
)
OTHER = make_finding("HOST003", claim="The input cannot keep up.", usd_h=5.0, share=0.3)


def document(*findings: Finding) -> Diagnosis:
    return make_diagnosis(findings=findings)


def shown(*findings: Finding) -> tuple[str, str]:
    d = document(*findings)
    return render_markdown(d), render_text(d, 120, False)


def test_it_stands_under_its_primary_however_dear_it_is() -> None:
    for text in shown(LEVER, OTHER, CAUSE):
        heads = [text.index(words) for words in ("HOST003", "DRAM bandwidth", "A chain", "Provenance")]
        assert heads == sorted(heads)


def test_it_has_no_head_no_evidence_and_two_actions() -> None:
    markdown, text = shown(CAUSE, LEVER)
    assert "### MEM001" in markdown
    assert "### MEM004" not in markdown
    assert "**Also MEM004** A chain of kernels." in markdown
    assert "also: MEM004" in text
    for said in (markdown, text):
        tail = said[said.index("A chain") :]
        assert "Two." in tail
        assert "Three." not in tail
        assert said.count("loader workers at a full core") == 1


@pytest.mark.parametrize(
    "change", [{"severity": "critical"}, {"term": "throttle"}, {"gpu": 1, "key": "GPU-1"}]
)
def test_a_fault_and_what_has_no_primary_here_are_shown_in_full(change: dict[str, object]) -> None:
    markdown, _ = shown(CAUSE, msgspec.structs.replace(LEVER, **change))
    assert "### MEM004" in markdown


def test_json_keeps_term_and_role() -> None:
    found = decode(encode(document(CAUSE, LEVER))).findings
    assert [(f.code, f.term, f.role) for f in found] == [
        ("MEM001", "inefficiency", "primary"),
        ("MEM004", "inefficiency", "contributing"),
    ]


def test_screens_list_it_under_its_primary_as_also() -> None:
    assert [f.code for f in by_weight([LEVER, OTHER, CAUSE])] == ["HOST003", "MEM001", "MEM004"]
    assert "also: " in text_of(list_row(LEVER, 100))
    assert "also: " not in text_of(list_row(CAUSE, 100))


def test_what_costs_nothing_is_a_line_each_and_what_contributes_to_it_goes_along() -> None:
    near = make_finding("COMP001", claim="Near its roof.", usd_h=0.0, severity="info", term="inefficiency")
    fp8 = make_finding("COMP005", claim="fp8 is faster.", usd_h=0.0, role="contributing", term="inefficiency")
    text = render_text(make_diagnosis(findings=(near, fp8, OTHER)), 100, False)
    remarks = text[text.index("Also seen") :].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in remarks[1:3]] == ["COMP001", "COMP005"]
    assert "also: COMP005" not in text and text.index("HOST003") < text.index("Also seen")
