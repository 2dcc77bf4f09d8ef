"""What reports say of jobs and of what could be won back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from advisor.document import Diagnosis
from advisor.reports import bills
from advisor.reports.common import Style
from advisor.reports.escape import terminal
from advisor.reports.markdown import render_markdown
from advisor.reports.text import render_text
from rules.evidence import Workload
from rules.finding import TERMS, Price
from rules.ladder import priced_row
from rules.recover import BOUND
from rules.verdict import SHARES
from tests.factories import fill, make_diagnosis, make_effect, make_finding, make_verdict
from tests.strategies import diagnoses

STYLE = Style(terminal, terminal)


def node(price: float | None = 6.88, **changes: object) -> Diagnosis:
    """Two GPUs of one job, one that is held, one that is free."""
    verdicts = [
        make_verdict("host", gpu=0),
        make_verdict("host", gpu=1),
        make_verdict("idle", gpu=2, workload=Workload(pid=7, name="jupyter", others=2)),
        make_verdict("idle", gpu=3, workload=None, shares=fill(SHARES, {"free": 1.0})),
    ]
    shares: list[dict[str, float]] = [{"host_gap": 0.5, "useful": 0.5}] * 2 + [
        {"idle_held": 0.9, "free": 0.1},
        {"free": 1.0},
    ]
    whose = Price(usd_h=price, basis="user", source="made up")
    rows = tuple(
        priced_row(v.key, v.gpu, None, fill(TERMS, parts), whose, 1.0)
        for v, parts in zip(verdicts, shares, strict=True)
    )
    found = [make_finding(gpu=0, effect=make_effect(1.25, 2.0), usd_h=None)]
    return make_diagnosis(**{"verdicts": verdicts, "ladder": rows, "findings": found, **changes})  # type: ignore[arg-type]


def squeezed(text: str) -> str:
    return " ".join(text.split())


def test_each_term_says_who_could_win_back_how_much_of_it() -> None:
    text = squeezed(render_text(node(), 140, False))
    assert "$7.57 fleet free time: no process uses it" in text
    assert "up to $6.19 job owner idle-held time: nothing runs" in text
    assert f"$1.38 to $6.88 job owner host gap: HOST003, {BOUND}" in text


def test_wasted_and_recoverable_stand_together_at_the_top() -> None:
    text = squeezed(render_text(node(), 140, False))
    assert "$20.64 of $27.52 per hour (75 %) on 4 GPUs is wasted ($8.95 to $20.64 recoverable)" in text


def test_a_month_has_730_hours_and_says_so() -> None:
    text = squeezed(render_text(node(), 140, False))
    assert "A month (730 h) at this rate: $20,089.60, $15,067.20 wasted " in text
    assert "($6,529.12 to $15,067.20 recoverable)." in text


def test_jobs_and_the_fleet_sum_to_the_node() -> None:
    rows = {row.name: row for row in bills.job_rows(node(), STYLE)}
    assert rows["slurm:4711 train_vit.py"] == bills.JobRow(
        "slurm:4711 train_vit.py", "0, 1", "$13.76", "$6.88 (50 %)", "$1.38 to $6.88", "$10,044.80"
    )
    held = rows["jupyter (pid 7) (shares 1 GPU with others)"]
    assert (held.price, held.month) == ("$6.19", "$4,520.16")
    fleet = rows["fleet (free, or no job known)"]
    assert (fleet.gpus, fleet.price, fleet.won, fleet.month) == ("2, 3", "$7.57", "$7.57", "$5,524.64")
    assert list(rows)[-1] == "all" and rows["all"].price == "$27.52" and rows["all"].month == "$20,089.60"


def test_the_ticket_has_it_in_its_table() -> None:
    text = render_markdown(node())
    assert "| $/h | share | where it goes | who can act | recoverable |" in text
    line = next(line for line in text.splitlines() if "| job owner | $1.38 to $6.88 |" in line)
    assert line.startswith("| 6.88 | 25 % |")
    assert "A month (730 h) at this rate" in text and "### By job" in text
    assert "||who can act||recoverable||" in render_markdown(node(), "jira").replace("|| ", "||").replace(
        " ||", "||"
    )


def test_without_a_price_the_same_is_said_in_shares() -> None:
    text = squeezed(render_text(node(price=None), 140, False))
    assert "75 % of the paid time on 4 GPUs is wasted (32 % to 75 % recoverable)" in text
    assert "5 % to 25 % job owner host gap: HOST003" in text
    assert "$" not in text.replace("$/h", "") and "A month" not in text


def test_what_nothing_is_known_of_is_named() -> None:
    silent = [make_verdict(v.class_, gpu=v.gpu, cause="no-demand") for v in node().verdicts]
    document = node(findings=[], verdicts=silent)
    assert "Not known to be recoverable: host gap." in squeezed(render_text(document, 140, False))
    table = render_markdown(document)
    assert "| job owner | not known |" in table


def test_no_waste_needs_no_word_on_recovery() -> None:
    verdict = make_verdict("compute")
    row = priced_row(
        verdict.key, 0, None, fill(TERMS, {"useful": 1.0}), Price(usd_h=5.0, basis="user", source=""), 1.0
    )
    text = render_text(make_diagnosis(verdicts=[verdict], ladder=(row,), findings=[]), 100, False)
    assert "recoverable" not in text and "won back" not in text and "nothing of it wasted" in text


def test_a_waste_that_nothing_wins_back_says_so() -> None:
    one = make_diagnosis(verdicts=[make_verdict("device", cause="no-demand")], findings=[])
    assert "(none known to be recoverable)" in squeezed(render_text(one, 100, False))
    assert "none of it known to be recoverable" in squeezed(render_text(one, 100, False))


def test_a_report_on_one_gpu_stays_short() -> None:
    text = render_text(make_diagnosis("host"), 100, False)
    assert "By job" not in text
    section = text[text.index("Recoverable, per hour") :].split("\n\n")[0]
    assert len(section.splitlines()) <= 5


@pytest.mark.parametrize(
    ("low", "high", "shown"), [(145, 291, "$1.45 to $2.91"), (0, 291, "up to $2.91"), (688, 688, "$6.88")]
)
def test_ranges(low: int, high: int, shown: str) -> None:
    assert bills.span_of(low, high) == shown


@given(diagnoses())
@settings(max_examples=40)
def test_any_document_can_be_shown(document: Diagnosis) -> None:
    rows = bills.job_rows(document, STYLE)
    assert bool(rows) == bool(document.ladder)
    bills.won_back(document, STYLE)
    assert "\x1b" not in bills.remark(document) + bills.month_line(document)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_jobs_keep_their_names_at_every_width(width: int) -> None:
    table = render_text(node(), width, False).split("By job")[1].split("\n\n")[0]
    assert "slurm:4711" in squeezed(table) and "$1.38 to $6.88" in table and "$6.88" in table
