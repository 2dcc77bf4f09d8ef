"""What a reader sees first: failing cards, unknown money, and whose work it is."""

from __future__ import annotations

import pytest

from advisor.reports.findings import worth
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_summary_line, render_text
from rules.finding import Finding
from tests.factories import make_diagnosis, make_effect, make_finding, make_verdict, make_workload

LOST = make_verdict("unknown", gpu=1, cause="gpu-lost", unknown_because=("it fell off the bus",), headline="")


@pytest.mark.parametrize("findings", [(), (make_finding("DEV005", gpu=1, severity="critical"),)])
def test_a_lost_gpu_comes_before_money(findings: tuple[Finding, ...]) -> None:
    busy = make_verdict("host", gpu=0)
    text = render_text(make_diagnosis(verdicts=[busy, LOST], findings=findings), 140, False)
    first = text.split("\n\n")[1]
    assert first.startswith("GPU 1")
    assert "fell off the bus" in first
    assert "what $6.88 buys is unknown" in first


def test_the_summary_line_names_money_of_unknown_use() -> None:
    line = render_summary_line(make_diagnosis("host", "unknown"))
    assert "$6.88/h unknown" in line


def test_one_gpu_names_its_workload_under_the_headline() -> None:
    work = make_workload("train.py", pid=4242, job="slurm:77", user="user:1a2b3c", others=2)
    one = make_diagnosis(verdicts=[make_verdict("host", workload=work)])
    wanted = (
        "workload: train.py (pid 4242, slurm:77, user:1a2b3c), 2 more processes; host-bound, confidence 0.94"
    )
    assert wanted in render_text(one, 140, False)
    assert "train.py (pid 4242, slurm" in render_markdown(one, "github")
    assert "train.py (pid 4242, slurm" in render_markdown(one, "jira")
    assert "workload: " not in render_text(make_diagnosis("host", "memory"), 140, False)


def test_no_dollars_where_none_can_be_won() -> None:
    verdict = make_verdict("compute")
    finding = make_finding("COMP001", usd_h=0.0, share=0.99, effect=make_effect(0.81, 1.76))
    diagnosis = make_diagnosis(verdicts=[verdict], findings=(finding,))
    text = " ".join(render_text(diagnosis, 140, False).split())
    assert worth(finding, diagnosis) == "99 % of paid time"
    assert "0.81× to 1.76× throughput" in text
    assert "does more for the same money" in text
    assert "$0.00" not in text


def test_a_range_beyond_what_is_lost_says_so_and_a_slower_end_is_no_negative_price() -> None:
    finding = make_finding("MEM001", usd_h=0.19, share=0.99, effect=make_effect(0.81, 2.0))
    text = " ".join(render_text(make_diagnosis("memory", findings=(finding,)), 140, False).split())
    assert "0.81× to 2.0× throughput" in text and "it may be slower" in text
    assert "worth up to $0.19 per hour; beyond that it is more work for the same money" in text
    assert "-$" not in text


def test_nothing_is_found_where_nothing_could_be_judged() -> None:
    unknown = make_verdict("unknown")
    assert "No rule could judge" in render_text(make_diagnosis(verdicts=[unknown]), 140, False)
    assert "No rule saw a cost" in render_text(make_diagnosis("memory"), 140, False)
