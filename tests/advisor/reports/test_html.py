"""The page: nothing hostile gets in, nothing is loaded, its policy fits it, and it says what must be said."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from advisor.document import Diagnosis
from advisor.reports.charts.palette import DARK, LIGHT
from advisor.reports.html import policy, render_html, style_sheet
from advisor.reports.html_style import CODE_BEGIN, CODE_END, STYLE, finalize
from rules.evidence import Workload
from rules.finding import Effect
from rules.serving import ServingFigures
from rules.whatif import WhatIf
from tests.advisor.reports.illustrated import illustrated, make_observed
from tests.advisor.reports.nasty import ALL, nasty
from tests.factories import T0_S, make_diagnosis, make_finding, make_provenance, make_verdict
from tests.strategies import diagnoses

VOID = frozenset({"meta", "link", "br"})
LOADING = frozenset({"src", "href", "srcset", "action", "data", "poster", "background", "xlink:href"})
FORBIDDEN = frozenset(
    {"script", "iframe", "object", "embed", "img", "form", "foreignobject", "base", "a", "image", "animate"}
)


class Page(HTMLParser):
    """A page as a browser would take it apart."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check_safe(text: str) -> Page:
    """The rules that every page keeps, whatever is in its document."""
    page = Page(text)
    assert page.unbalanced == []
    assert page.open == []
    assert set(page.tags) & FORBIDDEN == set()
    assert page.tags.count("style") == 1
    for tag, name, value in page.attributes:
        assert name != "style"
        assert not name.startswith("on")
        if name in LOADING:
            assert value.startswith("#") or (tag, value) == ("link", "data:,")
        if "url(" in value:
            assert value.startswith("url(#")
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert all(value[1:] in ids for _, name, value in page.attributes if name == "href" and value[0] == "#")
    return page


@pytest.mark.parametrize(
    "document",
    [
        nasty(),
        illustrated(),
        illustrated(3),
        make_diagnosis("host", price_usd_h=None),
        make_diagnosis("unknown"),
        Diagnosis(provenance=make_provenance()),
    ],
    ids=["nasty", "one", "three", "no price", "unknown", "empty"],
)
def test_pages_are_safe_and_whole(document: Diagnosis) -> None:
    check_safe(render_html(document))


@given(document=diagnoses())
@settings(max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_any_document_becomes_a_safe_page(document: Diagnosis) -> None:
    check_safe(render_html(document))


@given(words=st.text(max_size=60) | st.sampled_from(ALL))
@settings(max_examples=60)
def test_no_text_becomes_markup(words: str) -> None:
    for raw in (STYLE.text(words), STYLE.prose(words), STYLE.code(words)):
        shown = str(finalize(raw))
        assert set(re.findall(r"<[^>]*>", shown)) <= {"<code>", "</code>"}
        assert shown.count("<code>") == shown.count("</code>")
        assert CODE_BEGIN not in shown
        assert CODE_END not in shown


def test_marks_of_code_cannot_be_brought_in() -> None:
    assert "<code>" not in str(finalize(STYLE.text(f"{CODE_BEGIN}x{CODE_END}")))


def test_hostile_names_are_shown_as_they_are() -> None:
    text = render_html(nasty())
    page = Page(text)
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in text
    assert "\x1b" not in text


def test_the_policy_names_the_one_style_block() -> None:
    text = render_html(illustrated())
    block = text.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
    page = Page(text)
    said = next(v for tag, name, v in page.attributes if tag == "meta" and name == "content" and "src" in v)
    assert said == policy(style_sheet())
    assert f"style-src 'sha256-{digest}';" in said
    assert said.startswith("default-src 'none';")
    assert "script-src" not in said


def test_nothing_points_to_the_network() -> None:
    text = render_html(illustrated(2))
    found = set(re.findall(r"https?://[^\s\"'<]+", text))
    assert found == {"http://www.w3.org/2000/svg"}
    assert "@import" not in text


def test_the_same_document_gives_the_same_bytes() -> None:
    assert render_html(illustrated(2)) == render_html(illustrated(2))


def test_what_must_be_read_first_comes_first() -> None:
    found = make_diagnosis("host", provenance=make_provenance(source="replay"))
    words = Page(render_html(found)).text
    body = words[words.index("SYNTHETIC") :]
    assert body.startswith("SYNTHETIC DATA: no GPU produced these figures. REPLAY: made from a recording")
    assert body.index("REPLAY") < body.index("host-bound")


def test_the_top_says_what_it_costs_and_what_to_do() -> None:
    words = Page(render_html(make_diagnosis("host"))).text
    top = words[: words.index("Where the money goes")]
    assert "costs $6.88/h $5,022 a month of 730 h" in top
    assert "wasted" in top
    assert "recoverable" in top
    assert "Do this first Set num_workers=14 ." in top


def test_the_first_thing_to_do_is_a_failing_cards() -> None:
    fault = make_finding("FAULT001", severity="critical", usd_h=None, share=0.0, actions=("Replace it.",))
    words = Page(render_html(make_diagnosis("host", findings=(make_finding(), fault)))).text
    assert "Do this first Replace it." in words


def test_without_a_price_no_dollars_are_named_at_the_top() -> None:
    words = Page(render_html(make_diagnosis("host", price_usd_h=None))).text
    top = words[words.index("of paid time wasted") : words.index("Do this first")]
    assert "$" not in top
    assert "no price is known" in top


def test_a_missing_roofline_says_why() -> None:
    verdict = make_verdict("memory", tier="nvml")
    found = make_diagnosis(verdicts=(verdict,), observed=(make_observed(verdict, series=None),))
    words = Page(render_html(found)).text
    assert "No roofline: without GPM counters" in words
    assert "holds no series over time" in words


def test_what_ifs_and_engines_are_shown_with_what_they_rest_on() -> None:
    verdict = make_verdict("host")
    common: dict[str, Any] = {"key": verdict.key, "gpu": 0, "price_usd_h": 6.88}
    found = make_diagnosis(
        verdicts=(verdict,),
        what_ifs=(
            WhatIf(
                fix="host-gap",
                title="Close the gap <b>",
                effect=Effect(low=1.2, high=1.6, basis="invented basis"),
                outlook="faster",
                usd_h_low=4.3,
                usd_h_high=5.73,
                assumes=("the loader keeps up",),
                **common,
            ),
            WhatIf(fix="fp8", title="Use fp8", refused="no linear layers were seen", **common),
        ),
        serving=(
            ServingFigures(
                endpoint="127.0.0.1:8000",
                engine="vllm",
                model="<img src=x>",
                t_start_s=T0_S,
                t_end_s=T0_S + 60,
                generation_tok_s=1234.0,
            ),
        ),
    )
    page = check_safe(render_html(found))
    for words in ("Close the gap <b>", "1.2× to 1.6×", "$4.30 to $5.73", "invented basis"):
        assert words in page.text
    assert "Assumes the loader keeps up" in page.text
    assert "Use fp8 no linear layers were seen" in page.text
    assert "vLLM at 127.0.0.1:8000, model <img src=x>" in page.text


def test_ceilings_are_labelled_in_figures_too() -> None:
    words = Page(render_html(illustrated())).text
    assert "DRAM (the workload's) 2.9 TB/s assumed invented" in words
    assert "bf16 (the workload's) 790 TFLOP/s assumed invented" in words


def test_a_node_of_eight_is_small_enough_to_attach() -> None:
    assert len(render_html(illustrated(8)).encode()) < 1_500_000


def test_of_many_gpus_the_most_wasteful_have_charts() -> None:
    found = illustrated(20, observed=())
    words = Page(render_html(found)).text
    assert "The 16 most wasteful of 20 rows" in words


def test_long_names_are_cut() -> None:
    verdict = make_verdict("memory", workload=Workload(pid=1, name="n" * 100_000))
    assert len(render_html(make_diagnosis(verdicts=(verdict,)))) < 100_000


def test_both_palettes_have_every_role_and_no_colour_twice() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)
    sheet = style_sheet()
    assert all(f".f-{role} " in sheet and f".s-{role} " in sheet for role in LIGHT)
    assert sheet.isascii()


def test_images_beside_the_page_are_named() -> None:
    assert "report-ladder.png" in Page(render_html(illustrated(), ("report-ladder.png",))).text


def test_bills_come_with_documents_that_have_none() -> None:
    found = make_diagnosis("host")
    assert msgspec.structs.replace(found, bills=()) == found
    assert "Who pays, and who could win back what" in Page(render_html(found)).text
