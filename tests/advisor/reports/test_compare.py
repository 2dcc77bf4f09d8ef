"""A comparison as text and Markdown: fits, cannot be injected into, says what it must."""

from __future__ import annotations

import re

import msgspec
import pytest

from advisor.comparing.compare import Wish, compare
from advisor.comparing.throughput import Work
from advisor.document import Diagnosis
from advisor.reports.compare import render_markdown, render_text
from advisor.reports.compare_view import within
from rules.compare.records import Comparison, Throughput
from rules.finding import Effect
from rules.whatif import Lever, WhatIf
from tests.advisor.comparing.looks import AFTER, BEFORE, make_look, make_row, without_series
from tests.advisor.reports import nasty
from tests.factories import T0_S, device_key, make_finding, make_workload

LATER = T0_S + 600.0
SOME = compare(BEFORE, AFTER, ("a.json", "b.json"))


def hostile() -> Comparison:
    """Every name of both sides is hostile."""
    looks: list[Diagnosis] = []
    for at_s, host in ((T0_S, 0.4), (LATER, 0.1)):
        rows = [
            make_row(host, gpu=i, workload=make_workload(f"{text}{at_s:.0f}"), cause=text, pipe=text)
            for i, text in enumerate(nasty.ALL)
        ]
        found = tuple(make_finding(gpu=i, title=text) for i, text in enumerate(nasty.ALL))
        look = make_look(*rows, at_s=at_s, findings=found)
        provenance = msgspec.structs.replace(
            look.provenance, host=nasty.ESCAPES, driver_version=f"{at_s}{nasty.PIPES}"
        )
        looks.append(msgspec.structs.replace(look, provenance=provenance))
    return compare(looks[0], looks[1], (nasty.SCRIPT, nasty.LINES), Wish())


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if set(line) != {"─"}]


@pytest.mark.parametrize("width", [60, 80, 100])
def test_text_fits_the_terminal(width: int) -> None:
    for made in (SOME, hostile(), compare(without_series(BEFORE), AFTER, ("a", "b"))):
        lines = render_text(made, width, False).splitlines()
        wide = [line for line in lines if len(line) > max(width, 79)]
        assert wide == []


def test_text_obeys_no_terminal_and_is_one_line_each() -> None:
    text = render_text(hostile(), 80, False)
    assert not any(char in text for char in "\x1b\x07\x9b\u202e\u200b\r")
    assert "\n# two" not in text
    assert render_text(hostile(), 80, False, unicode=False).isascii()


def test_colour_is_bold_alone() -> None:
    assert "\x1b[1m" in render_text(SOME, 80, True)
    assert "\x1b" not in render_text(SOME, 80, False)


def test_markdown_cannot_be_injected_into() -> None:
    text = render_markdown(hostile())
    assert re.search(r"(?<!\\)<script", text) is None
    assert "](https://" not in text
    assert "@everyone" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in tables)
    assert not any(line.startswith(("# two", "- three")) for line in text.splitlines())


def test_the_outcome_comes_first() -> None:
    first = "\n".join(body(render_text(SOME, 80, False))[:5])
    assert "SYNTHETIC DATA" in first
    assert "1.50× the work per hour" in first.replace("\n", " ")
    assert "less is" in first


def test_a_refusal_names_what_differs_and_gives_no_figure() -> None:
    made = compare(BEFORE, make_look(make_row(0.1, tier="nvml"), at_s=LATER), ("a", "b"))
    for text in (render_text(made, 80, False), render_markdown(made)):
        assert "Not comparable" in text
        assert "counters -> nvml" in text
        assert "95 % interval" not in text


def test_forced_figures_are_marked_each() -> None:
    other = make_look(make_row(0.1, tier="nvml"), at_s=LATER)
    text = render_text(compare(BEFORE, other, ("a", "b"), Wish(force=True)), 80, False)
    table = text[text.index("95 % interval") :].split("\n\n")[0].splitlines()[1:]
    assert len(table) > 5
    assert all(line.endswith("forced") for line in table)
    assert "FORCED" in text


def test_noise_is_called_that() -> None:
    again = make_look(make_row(0.4), at_s=LATER, seed=99)
    text = " ".join(render_text(compare(BEFORE, again, ("a", "b")), 80, False).split())
    assert "no difference in throughput within noise" in text
    assert "dollars wasted: no difference within noise" in text


def test_what_several_fixes_realised_is_said_once() -> None:
    fixes = [
        WhatIf(
            fix=fix, title=fix, key=device_key(0), gpu=0, effect=Effect(low=1.2, high=1.67, basis="invented"),
            levers=(Lever(share="host"),), price_usd_h=6.88,
        )
        for fix in ("host-gap", "cuda-graphs")
    ]  # fmt: skip
    made = compare(make_look(make_row(0.4), what_ifs=tuple(fixes)), AFTER, ("a", "b"))
    for text in (render_text(made, 100, False), render_markdown(made)):
        words = " ".join(text.split())
        assert words.count("by one or more of cuda-graphs, host-gap") == 1
        assert words.count("that same figure") == 1
        assert words.count("if it was this one alone") == 2


def test_without_an_interval_nothing_is_noise() -> None:
    one = make_look(make_row(0.4))
    counted = compare(one, make_look(make_row(0.4), at_s=LATER), ("a", "b"), Wish(work=Work(10.0, 10.0)))
    first = " ".join(body(render_text(counted, 80, False))[2:4])
    assert "no difference in throughput (counted by the user)" in first
    assert "by sampling only" in render_text(SOME, 80, False)


def test_ends_of_an_interval_are_told_apart() -> None:
    got = Throughput(factor=13.2, basis="estimate", low=13.18, high=13.22)
    assert within(got) == "13.18× to 13.22× by sampling only"
    assert within(Throughput(factor=2e9, low=1e9, high=3e9)).startswith("1,000,000,000×")


def test_many_gpus_are_cut_and_that_is_said() -> None:
    rows = [make_row(0.3, gpu=i) for i in range(70)]
    made = compare(make_look(*rows), make_look(*rows, at_s=LATER), ("a", "b"))
    assert "6 more pairs are in the JSON" in render_text(made, 80, False)
    assert "6 more pairs are in the JSON" in render_markdown(made)
