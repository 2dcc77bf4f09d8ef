"""Bills in the document: made with it, in step with its findings, redacted with it, and none for a screen."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from advisor.bills import node_cents, row_amounts, statement, with_bills
from advisor.monitor import Monitor, MonitorOptions
from advisor.reports.json import decode, encode
from advisor.reports.redact import redact_diagnosis
from advisor.schema import json_schema
from advisor.selection import parse_selection
from advisor.tui.export import export
from rules.evidence import Workload
from tests.advisor.streams import QUIET, device, frames, hello
from tests.factories import make_diagnosis, make_finding, make_ladder, make_verdict

MEMORY = QUIET | {"dram_active": 0.85}


def monitor() -> Monitor:
    """A memory-bound GPU and one of another index, watched for ten seconds at $4 each."""
    both = (device(0), device(1))
    m = Monitor(MonitorOptions(env={}, price_flag=4.0))
    m.feed(hello(*both))
    for frame in frames(MEMORY, 10, *both):
        m.feed(frame)
    return m


def test_a_kept_document_has_bills_that_agree_with_its_totals() -> None:
    document = monitor().diagnosis()
    (node,) = [bill for bill in document.bills if bill.scope == "node"]
    assert node.price_usd_h == document.totals.price_usd_h == 8.0
    assert node.wasted_usd_h == pytest.approx(document.totals.wasted_usd_h)
    assert node.terms == pytest.approx(document.totals.terms)
    assert [bill.name for bill in document.bills if bill.scope == "gpu"] == ["GPU 0", "GPU 1"]


def test_what_a_screen_draws_has_none_and_an_export_of_it_has() -> None:
    assert monitor().snapshot().diagnosis.bills == ()


def test_an_export_from_the_screen_has_bills(tmp_path: Path) -> None:
    shown = monitor().snapshot().diagnosis
    _, data = export(shown, tmp_path)
    assert {bill["scope"] for bill in json.loads(data.read_text())["bills"]} >= {"gpu", "node"}


def test_bills_go_through_json() -> None:
    document = with_bills(make_diagnosis("host", "idle"))
    assert decode(encode(document)).bills == document.bills


def test_hiding_findings_changes_no_money() -> None:
    document = with_bills(make_diagnosis("host"))
    less = parse_selection("", "HOST").applied(document)
    assert document.bills[-1].recoverable_usd_h_low
    assert less.findings != document.findings
    assert less.bills == document.bills
    bare = make_diagnosis("host")
    assert parse_selection("", "HOST").applied(bare).bills == ()


def test_a_jobs_name_is_redacted_like_all_else() -> None:
    secret = "hf_" + "a" * 24
    verdict = make_verdict(workload=Workload(pid=7, name=f"serve.py --token {secret}"))
    shown = redact_diagnosis(with_bills(make_diagnosis(verdicts=[verdict])))
    assert secret not in encode(shown).decode()
    assert shown.provenance.host != "node" and [b.name for b in shown.bills][-1] == "node"


def test_the_schema_knows_a_bill() -> None:
    text = json.dumps(json_schema("diagnosis"))
    assert "recoverable_usd_h_low" in text and "share_high" in text


def test_the_line_on_the_screen_is_the_statements_sum() -> None:
    document = make_diagnosis(
        "host", "idle", "memory", findings=[make_finding(gpu=gpu, usd_h=None) for gpu in (0, 2)]
    )
    made = statement(document)
    line = node_cents(document)
    assert made is not None and line is not None
    assert made.node.won_back == (line.low, line.high)
    rows = row_amounts(document)
    assert sum(amount.price or 0 for amount in rows.values()) == made.node.price


def test_rows_of_one_key_in_a_damaged_document_are_still_added_up() -> None:
    """Two rows with the same key: neither is lost from the sums."""
    row = make_ladder()
    twice = make_diagnosis(ladder=(row, msgspec.structs.replace(row, gpu=1)))
    made = statement(twice)
    assert made is not None and made.node.price == 2 * 688
