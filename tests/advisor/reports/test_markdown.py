"""Tickets: the right words in the right order, within their limit, and deaf to hostile names."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from advisor.document import Diagnosis, Flag
from advisor.reports.common import width_of
from advisor.reports.markdown import LIMITS, MIN_LIMIT, Flavor, render_markdown
from tests.advisor.reports.nasty import ALL, nasty
from tests.factories import (
    device_key,
    make_diagnosis,
    make_evidence_item,
    make_finding,
    make_ladder,
    make_provenance,
    make_verdict,
)
from tests.strategies import HOSTILE, diagnoses

RELAXED = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
FLAVORS: tuple[Flavor, ...] = ("github", "jira")
OWN_HTML = {
    "</details>",
    "<details><summary>How each verdict was reached</summary>",
    "<details><summary>Provenance</summary>",
}
OWN_HEADINGS = {"All GPUs", "By job", "Read this with care"}


def tokens(text: str) -> list[Token]:
    """All block and inline tokens, as GitHub's dialect has them."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found = []
    for token in parser.parse(text):
        found.append(token)
        found.extend(token.children or [])
    return found


def check_github(text: str, diagnosis: Diagnosis) -> None:
    """Nothing in the text is markup but what the report draws itself."""
    found = tokens(text)
    kinds = {token.type for token in found}
    assert not kinds & {
        "link_open",
        "image",
        "html_inline",
        "em_open",
        "s_open",
        "code_block",
        "lheading_open",
        "hr",
    }
    assert {t.content.strip() for t in found if t.type == "html_block"} <= OWN_HTML
    assert sum(t.type == "heading_open" and t.tag == "h2" for t in found) == 1
    assert {t.tag for t in found if t.type == "heading_open"} <= {"h2", "h3"}
    assert sum(t.type == "fence" for t in found) <= 1
    assert sum(t.tag == "h3" and t.type == "heading_open" for t in found) <= len(diagnosis.findings) + len(
        OWN_HEADINGS
    )
    assert not {t.type for t in found} & {"ordered_list_open"}


def check_jira(text: str) -> None:
    """Outside {noformat}, special characters stand only where the report draws with them."""
    body = re.sub(r"\{noformat\}\n[^\n]*\n\{noformat\}", "", text)
    assert "{noformat" not in body
    assert not re.search(r"(?<!\{)\{(?!\{)|(?<!\\)[\[\]!~^]|\?\?|\\\\", body)
    assert len(re.findall(r"^h2\. ", text, re.M)) == 1
    assert not re.search(r"^(h[1456]\.|----|\{)", body, re.M)
    for line in body.splitlines():
        if line.startswith("|"):
            assert line.endswith("|"), line


def check_clean(text: str) -> None:
    """One line is one line, and nothing in it drives a terminal or hides."""
    text.encode()
    assert all(char == "\n" or char.isprintable() or char == "\u2060" for char in text)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_order(flavor: Flavor) -> None:
    text = render_markdown(make_diagnosis("host", "memory", flags=(Flag(code="gap", message="2 s"),)), flavor)
    wanted = [
        "SYNTHETIC DATA",
        "is wasted",
        "where it goes",
        "HOST003 the input pipeline",
        "What",
        "loader workers at a full core",
        "Why",
        "Do",
        "Expect",
        "Check",
        "All GPUs",
        "By job",
        "How each verdict was reached",
        "Read this with care",
        "Provenance",
        "Reproduce",
        "Redacted:",
    ]
    places = [text.find(words) for words in wanted]
    assert -1 not in places, wanted[places.index(-1)]
    assert all(a < b for a, b in pairwise(places))


def test_title_of_one_gpu_is_two_sentences() -> None:
    lines = render_markdown(make_diagnosis("host")).splitlines()
    assert lines[0].startswith("> **SYNTHETIC DATA")
    assert lines[2] == (
        "## GPU 0 (Simulated X100 80GB) is host-bound: it waits for the input pipeline, 38 % of the time "
        "(confidence 0.94). $5.15 of $6.88 per hour is wasted ($1.97 to $2.58 recoverable); "
        "HOST003: up to $2.61 per hour recoverable."
    )


def test_title_of_a_node_is_totals_then_the_worst() -> None:
    title = render_markdown(make_diagnosis("host", "memory", "idle", "unknown")).splitlines()[2]
    first, second = title.split(". Worst: ")
    assert first == (
        "## $15.48 of $27.52 per hour (56 %) on 4 GPUs is wasted ($1.97 to $10.07 recoverable), "
        "and what $6.88 buys is unknown"
    )
    assert second.startswith("GPU 2 (Simulated X100 80GB) is idle")
    assert second.endswith("HOST003 on GPU 0: up to $2.61 per hour recoverable.")


def test_data_that_is_not_synthetic_is_not_labelled() -> None:
    text = render_markdown(make_diagnosis("host", provenance=make_provenance(synthetic=False, note="")))
    assert text.startswith("## GPU 0")
    assert "SYNTHETIC" not in text


@pytest.mark.parametrize(("source", "word"), [("demo", "DEMO"), ("replay", "REPLAY")])
def test_what_is_not_live_says_so(source: str, word: str) -> None:
    text = render_markdown(make_diagnosis(provenance=make_provenance(synthetic=False, source=source)))
    assert text.startswith(f"> **{word}")


def ladder_cells(text: str) -> list[list[str]]:
    lines = text[text.index("where it goes") :].splitlines()
    rows = [line for line in lines[2:] if line.startswith("|")]
    end = next(i for i, row in enumerate(rows) if "**100 %**" in row)
    return [[cell.strip(" *") for cell in row.split("|")[1:-1]] for row in rows[: end + 1]]


@given(st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda w: sum(w) > 0.01), st.floats(0.1, 500))
@settings(deadline=None, max_examples=100)
def test_dollars_shown_sum_to_the_price_shown(weights: list[float], price: float) -> None:
    verdict = make_verdict("host")
    shares = dict(zip(make_ladder(verdict).shares, (w / sum(weights) for w in weights), strict=True))
    row = make_ladder(
        verdict, price_usd_h=price, shares=shares, terms={k: v * price for k, v in shares.items()}
    )
    text = render_markdown(make_diagnosis(verdicts=[verdict], ladder=(row,)))
    *terms, total = [cells[0] for cells in ladder_cells(text)]
    assert sum(round(float(t.replace(",", "")) * 100) for t in terms) == round(
        float(total.replace(",", "")) * 100
    )
    assert abs(float(total.replace(",", "")) - price) <= 0.005001


def test_without_a_price_there_are_shares_and_it_says_so() -> None:
    text = render_markdown(make_diagnosis("host", price_usd_h=None))
    rows = ladder_cells(text)
    assert [row[0] for row in rows] == ["38 %", "37 %", "25 %", "100 %"]
    assert "no price is known" in rows[-1][1]
    assert "$" not in text
    assert "65 %" not in text
    assert (
        "75 % of the paid time is wasted (29 % to 38 % recoverable); HOST003: 38 % of the paid time." in text
    )


def test_rows_without_a_price_are_counted() -> None:
    verdicts = [make_verdict("host", gpu=0), make_verdict("memory", gpu=1)]
    ladder = (make_ladder(verdicts[0]), make_ladder(verdicts[1], price_usd_h=None))
    text = render_markdown(make_diagnosis(verdicts=verdicts, ladder=ladder))
    assert "One row has no known price and is not in this table." in text


def test_effects_are_ranges_with_their_worth_and_basis() -> None:
    text = render_markdown(make_diagnosis("host"))
    assert "1.4× to 1.6× throughput (40 % to 60 % more), worth $1.97 to $2.58 per hour." in text
    assert "Basis: bound 1/(1-0.38) = 1.61x" in text


def test_findings_come_by_dollars_then_by_share() -> None:
    findings = [
        make_finding("AAA001", usd_h=None, share=0.2),
        make_finding("AAA002", usd_h=0.5),
        make_finding("AAA003", usd_h=2.0),
        make_finding("AAA004", usd_h=None, share=0.4),
    ]
    text = render_markdown(make_diagnosis(findings=findings))
    assert re.findall(r"^### (AAA\d+)", text, re.M) == ["AAA003", "AAA002", "AAA004", "AAA001"]


def test_unknown_says_what_is_missing() -> None:
    verdict = make_verdict("unknown", unknown_because=("dram_active: no permission", "too short"))
    text = render_markdown(make_diagnosis(verdicts=[verdict]))
    assert "What its $6.88 per hour buys is unknown" in text
    assert "dram\\_active: no permission; too short" in text


def test_equal_flags_are_one_line() -> None:
    flags = tuple(
        Flag(code="assumed-ceilings", message=f"GPU {i}: assumed", key=device_key(i)) for i in range(8)
    )
    text = render_markdown(make_diagnosis(flags=flags))
    assert text.count("assumed-ceilings") == 1
    assert "and 7 more like it" in text


def test_an_empty_document_is_still_a_report() -> None:
    text = render_markdown(Diagnosis(provenance=make_provenance()))
    assert "No GPU was observed." in text
    assert "No findings" in text


def test_check_commands_cannot_inject_into_a_shell() -> None:
    finding = make_finding("HOST003; rm -rf ~", mig="x", key="MIG-$(reboot)")
    text = render_markdown(make_diagnosis(findings=[finding]))
    assert "--gpu 'MIG-$(reboot)' --duration" in text
    assert "advisor explain" not in text


def test_the_nasty_document_injects_nothing() -> None:
    diagnosis = nasty()
    text = render_markdown(diagnosis)
    check_github(text, diagnosis)
    check_clean(text)
    jira = render_markdown(diagnosis, "jira")
    check_jira(jira)
    check_clean(jira)


@RELAXED
@given(diagnoses())
def test_nothing_injects_markdown(diagnosis: Diagnosis) -> None:
    text = render_markdown(diagnosis)
    check_github(text, diagnosis)
    check_clean(text)


@RELAXED
@given(diagnoses())
def test_nothing_injects_wiki_markup(diagnosis: Diagnosis) -> None:
    text = render_markdown(diagnosis, "jira")
    check_jira(text)
    check_clean(text)


def saturated(text: str) -> Diagnosis:
    """A full document in which every free string is `text`."""
    raw = msgspec.to_builtins(
        make_diagnosis("host", "memory", "unknown", flags=(Flag(code="a", message="b"),))
    )
    return msgspec.convert(_saturate(raw, text), type=Diagnosis)


_CLOSED = {"class", "secondary", "tier", "severity", "owner", "role", "key", "created"}


def _saturate(value: Any, text: str, name: str = "") -> Any:
    if isinstance(value, dict):
        return {k: _saturate(v, text, k) for k, v in value.items() if k != "schema_version"}
    if isinstance(value, list | tuple):
        return [_saturate(item, text, name) for item in value]
    if isinstance(value, str) and name not in _CLOSED and value not in ("live", "replay", "demo", "run"):
        return text
    return value


@pytest.mark.parametrize("text", [*HOSTILE, *ALL], ids=range(len(HOSTILE) + len(ALL)))
def test_nothing_injects_where_every_string_is_hostile(text: str) -> None:
    diagnosis = saturated(text)
    ticket = render_markdown(diagnosis)
    check_github(ticket, diagnosis)
    check_clean(ticket)
    wiki = render_markdown(diagnosis, "jira")
    check_jira(wiki)
    check_clean(wiki)


@RELAXED
@given(diagnoses())
def test_every_table_keeps_its_columns(diagnosis: Diagnosis) -> None:
    widths: set[int] = set()
    for token in tokens(render_markdown(diagnosis)):
        if token.type == "table_open":
            widths = set()
        if token.type == "tr_open":
            count = 0
        if token.type in ("th_open", "td_open"):
            count += 1
        if token.type == "tr_close":
            widths.add(count)
            assert len(widths) == 1


def big(count: int, rows: int, text: str) -> Diagnosis:
    verdicts = [make_verdict("host", gpu=i, headline=text, unknown_because=(text,)) for i in range(rows)]
    items = tuple(make_evidence_item(text, source=text, threshold=text) for _ in range(12))
    findings = [
        make_finding(
            gpu=i % max(1, rows), title=text, claim=text, why=text, evidence=items, usd_h=1.0 / (i + 1)
        )
        for i in range(count)
    ]
    return make_diagnosis(
        verdicts=verdicts,
        findings=findings,
        flags=tuple(Flag(code=f"{i}{text}", message=text) for i in range(40)),
        provenance=make_provenance(verdicts, note=text, command=text, host=text, redacted=(text,) * 20),
    )


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("limit", [None, MIN_LIMIT, 16_000])
@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(
    count=st.sampled_from([0, 1, 3, 4, 30, 300]),
    rows=st.sampled_from([1, 2, 8, 140]),
    text=st.sampled_from([*HOSTILE, "😀" * 3000, "{" * 3000, "&" * 3000]),
)
def test_limits_hold(flavor: Flavor, limit: int | None, count: int, rows: int, text: str) -> None:
    made = render_markdown(big(count, rows, text), flavor, limit)
    allowed = LIMITS[flavor] if limit is None else limit
    assert width_of(made) == len(made.encode("utf-16-le")) // 2 <= allowed
    shown = len(re.findall(r"^(?:###|h3\.) (?!All|By|Read|How|Prov)", made, re.M))
    if shown < count:
        left = count - shown
        assert f"{left} smaller finding{'s' * (left != 1)}" in made.replace(",", "")


def test_small_findings_go_before_evidence_tables() -> None:
    many = big(40, 1, "x" * 100)
    text = render_markdown(many, limit=20_000)
    assert "smaller findings" in text
    assert text.count("| evidence | value |") >= 3
    tight = render_markdown(many, limit=10_000)
    assert "37 smaller findings, 3 evidence tables" in tight
    assert len(re.findall(r"^### x|^### HOST", tight, re.M)) == 3


def test_a_critical_finding_outlives_larger_ones() -> None:
    items = tuple(make_evidence_item("x" * 150) for _ in range(10))
    findings = [make_finding(usd_h=5.0, evidence=items, why="y" * 800) for _ in range(60)]
    findings.append(make_finding("FAULT001", severity="critical", usd_h=None, share=0.0))
    text = render_markdown(make_diagnosis(findings=findings), limit=10_000)
    assert "FAULT001" in text
    assert "smaller findings" in text


def test_critical_findings_stand_first_and_are_left_out_last() -> None:
    urgent = [
        make_finding(f"FAULT00{n}", severity="critical", usd_h=0.0, share=0.0, evidence=(), effect=None)
        for n in range(1, 7)
    ]
    costly = [make_finding(usd_h=5.0, why="y" * 800) for _ in range(60)]
    text = render_markdown(make_diagnosis(findings=[*costly, *urgent]), limit=MIN_LIMIT)
    assert re.findall(r"^### ((?:FAULT|HOST)\d+)", text, re.M)[:6] == [f.code for f in urgent]
    assert re.search(r"5\d smaller findings|60 smaller findings", text)
    assert "· $0.00" not in text
    assert "0 % of paid time" not in text[text.index("### FAULT001") :]


def test_findings_that_overlap_are_said_to() -> None:
    said = "Dollars of findings on one GPU may overlap"
    assert said in render_markdown(make_diagnosis(findings=[make_finding(), make_finding("HOST006")]))
    assert said not in render_markdown(make_diagnosis(findings=[make_finding()]))
    apart = [make_finding(), make_finding("HOST006", gpu=1)]
    assert said not in render_markdown(make_diagnosis(findings=apart))
    bare = [make_finding(usd_h=None), make_finding("HOST006", usd_h=None)]
    assert "Shares of findings on one GPU may overlap" in render_markdown(make_diagnosis(findings=bare))


def test_a_limit_that_fits_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=str(MIN_LIMIT)):
        render_markdown(make_diagnosis(), limit=MIN_LIMIT - 1)


def test_nothing_is_left_out_where_there_is_room() -> None:
    text = render_markdown(big(300, 2, "short"), limit=10**9)
    assert "Left out" not in text
    assert text.count("### HOST003") == 300
