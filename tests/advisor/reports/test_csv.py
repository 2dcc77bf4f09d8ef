"""The table: what a spreadsheet reads back is what the document says, and no cell is a formula."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from advisor.document import Diagnosis
from advisor.reports.csv import COLUMNS, render_csv, rows, text, unit_of
from rules.finding import TERMS
from rules.serving import ServingFigures
from rules.verdict import SHARES
from rules.whatif import WhatIf
from tests.advisor.reports.nasty import nasty
from tests.factories import T0_S, make_diagnosis, make_verdict
from tests.strategies import diagnoses

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\ufe62", "\ufe66")
TEXT_COLUMNS = ("host", "source", "mig", "kind", "name", "unit", "detail")


def read(document: Diagnosis) -> list[dict[str, str]]:
    """The table as a reader of RFC 4180 takes it."""
    return list(csv.DictReader(io.StringIO(render_csv(document), newline=""), strict=True))


def figures(table: list[dict[str, str]], kind: str, unit: str) -> dict[str, float]:
    return {row["name"]: float(row["value"]) for row in table if (row["kind"], row["unit"]) == (kind, unit)}


def test_lines_end_as_the_standard_says_and_all_are_as_wide() -> None:
    raw = render_csv(nasty())
    assert raw.splitlines(keepends=True)[0] == ",".join(COLUMNS) + "\r\n"
    parsed = list(csv.reader(io.StringIO(raw, newline=""), strict=True))
    assert {len(row) for row in parsed} == {len(COLUMNS)}
    assert raw.count("\r\n") == raw.count("\n") == len(parsed)


def test_the_ladder_sums_to_the_price() -> None:
    table = read(make_diagnosis("host"))
    dollars = figures(table, "ladder", "usd_h")
    assert sum(dollars[term] for term in TERMS) == pytest.approx(dollars["price"])
    assert sum(figures(table, "ladder", "frac").values()) == pytest.approx(1.0)
    assert sum(figures(table, "share", "frac")[name] for name in SHARES) == pytest.approx(1.0)


def test_without_a_price_there_are_shares_and_a_reason() -> None:
    table = read(make_diagnosis("host", price_usd_h=None))
    priced = [row for row in table if row["kind"] == "ladder" and row["unit"] == "usd_h"]
    assert [(row["name"], row["value"]) for row in priced] == [("price", "")]


def test_every_line_says_that_data_is_synthetic() -> None:
    assert {row["source"] for row in read(make_diagnosis("host"))} == {"live, synthetic"}


def test_findings_and_what_ifs_have_their_ranges() -> None:
    verdict = make_verdict()
    found = make_diagnosis(
        what_ifs=(
            WhatIf(fix="fp8", title="Use fp8", key=verdict.key, gpu=0, refused="nothing to go by"),
            WhatIf(fix="host-gap", title="Close", key=verdict.key, gpu=0, usd_h_low=4.0, usd_h_high=5.0),
        )
    )
    table = read(found)
    assert figures(table, "finding", "factor_low") == {"HOST003": 1.4}
    assert figures(table, "finding", "usd_h") == {"HOST003": 2.61}
    assert figures(table, "whatif", "usd_h_low") == {"host-gap": 4.0}
    assert [row["detail"] for row in table if row["name"] == "fp8"] == ["Use fp8: nothing to go by"]


def test_engines_have_a_line_a_figure() -> None:
    engine = ServingFigures(
        endpoint="127.0.0.1:8000",
        engine="vllm",
        t_start_s=T0_S,
        t_end_s=T0_S + 1,
        generation_tok_s=12.5,
        ttft_p50_s=0.2,
        missing={"tok_j": "no energy counter"},
    )
    table = [row for row in read(make_diagnosis(serving=(engine,))) if row["kind"] == "serving"]
    shown = {row["name"]: (row["value"], row["unit"]) for row in table}
    assert shown["generation_tok_s"] == ("12.5", "tok_s")
    assert shown["ttft_p50_s"] == ("0.2", "s")
    assert shown["tok_j"] == ("", "")
    assert "t_start_s" not in shown


@given(document=diagnoses())
@settings(max_examples=40)
def test_no_text_is_a_formula_and_figures_come_back(document: Diagnosis) -> None:
    table = read(document)
    for row in table:
        assert not any(row[name].lstrip(" ").startswith(FORMULA) for name in TEXT_COLUMNS)
    for made, row in zip(rows(document), table, strict=True):
        if isinstance(made.value, float | int):
            assert float(row["value"]) == pytest.approx(made.value, rel=1e-9)


@pytest.mark.parametrize("raw", ["=1+1", "+cmd", "-2", "@sum", " =1", "\t=1", "\uff1d1", "'=1"])
def test_formulas_get_an_apostrophe(raw: str) -> None:
    assert text(raw).startswith("'")


@given(raw=st.text(max_size=30))
def test_cells_are_one_printable_line(raw: str) -> None:
    assert text(raw).isprintable()


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("power_w_p50", "w"),
        ("mem_used_bytes", "bytes"),
        ("temp_c_max", "c"),
        ("ttft_p99_s", "s"),
        ("usd_per_mtok_prefill", "usd"),
        ("usd_h", "usd_h"),
        ("kv_use_max_frac", "frac"),
        ("goodput_tok_s", "tok_s"),
        ("windows", ""),
        ("running", ""),
    ],
)
def test_units_are_the_ends_of_names(name: str, unit: str) -> None:
    assert unit_of(name) == unit
