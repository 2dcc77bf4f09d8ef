"""Sections of a device's detail, and the pages for findings and money, as text."""

from __future__ import annotations

import re

import msgspec
import pytest

from advisor.tui import sections
from advisor.tui.counters import counter_rows
from advisor.tui.findings import finding_key, full_rows, ranked
from advisor.tui.glyphs import UNICODE
from advisor.tui.money import HORIZONS, VIEWS, View, money_rows
from advisor.tui.rows import Row, text_of, width_of
from rules.cents import Horizon
from tests import factories as make
from tests.advisor.tui import fakes

replace = msgspec.structs.replace


def texts(rows: list[Row]) -> list[str]:
    return [text_of(line).rstrip() for line in rows]


def test_a_counter_fills_its_bar_at_the_ceilings_reading() -> None:
    view = fakes.view_of(0, tick=60)
    lines = texts(counter_rows(view, 60, UNICODE))
    assert "ceilings assumed" in lines[0]
    dram = next(line for line in lines if line.startswith("DRAM"))
    assert dram == "DRAM          " + "█" * 21 + "···  88 %  0.81 of 0.92"


def test_without_gpm_utilisation_and_the_reason() -> None:
    view = fakes.view_of(0)
    assert view.sample is not None
    view = replace(
        view,
        info=replace(view.info, missing={"gpm": "needs Hopper or newer"}),
        sample=replace(view.sample, gpm=()),
    )
    lines = texts(counter_rows(view, 60, UNICODE))
    assert lines[1].startswith("utilisation")
    assert lines[-1] == "needs Hopper or newer"


def test_verdict_with_margins_and_evidence() -> None:
    lines = texts(sections.verdict_rows(fakes.view_of(2), 100, UNICODE))
    assert "confidence 0.94" in lines[0]
    assert lines[1].startswith("GPU 2 (Simulated X100 80GB) is host-bound")
    assert lines[2].endswith("0.38 vs 0.15  margin +0.23")
    assert "time with nothing running" in lines[3]
    assert "> 0.15" in lines[3]
    assert "GPM gr_active" in lines[3]


def test_verdict_of_a_lost_gpu_is_its_reason() -> None:
    view = fakes.view_of(2, state="lost", state_reason="reset the node")
    assert (
        texts(sections.verdict_rows(view, 60, UNICODE))[1] == "the driver has lost this GPU: reset the node"
    )


@pytest.mark.parametrize("gpu", range(8))
def test_ladder_cents_sum_to_the_price(gpu: int) -> None:
    lines = texts(sections.ladder_rows(fakes.view_of(gpu).ladder, 60, UNICODE))
    figures = [float(match[1]) for line in lines if (match := re.match(r" +(\d+\.\d\d) ", line))]
    *terms, price = figures
    assert round(sum(terms), 2) == price == 6.88


def test_ladder_without_price_says_how_to_give_one() -> None:
    ladder = make.make_ladder(price_usd_h=None)
    lines = texts(sections.ladder_rows(ladder, 80, UNICODE))
    assert any("38 %  host gap" in line for line in lines)
    assert any("--price" in line for line in lines)


def test_processes_with_cpu_threads_children_and_job() -> None:
    lines = texts(sections.process_rows(fakes.view_of(2), 100, UNICODE))
    assert lines[2].split() == [
        "train_vit.py", "81234", "97", "93", "64", "8", "of", "8", "40", "slurm:4702", "alice",
    ]  # fmt: skip


def test_a_hostile_process_name_stays_text() -> None:
    process = make.make_process(2, name="\x1b[31m[red]x[/red]\n")
    for line in texts(sections.process_rows(fakes.view_of(2, processes=(process,)), 100, UNICODE)):
        assert line.isprintable()


def test_power_clock_and_temperature_with_their_limits() -> None:
    lines = texts(sections.trend_rows(fakes.view_of(2), 80, UNICODE))
    assert lines[1].startswith("power       291 of 700 W")
    assert lines[2].startswith("SM clock    1755 of 1980 MHz")
    assert lines[3].startswith("temperature 52 °C")


def test_throttle_reasons_are_named() -> None:
    view = fakes.view_of(5)
    assert view.sample is not None
    view = replace(view, sample=replace(view.sample, throttle_reasons=("sw_power_cap",)))
    assert texts(sections.trend_rows(view, 80, UNICODE))[-1] == "throttled by sw_power_cap"


@pytest.mark.parametrize(
    ("reasons", "lines"),
    [
        (("gpu_idle",), ["clocks: idle"]),
        (("app_clocks", "hw_thermal"), ["throttled by hw_thermal", "clocks: set by the application clocks"]),
        ((), []),
    ],
)
def test_an_idle_gpu_is_not_called_throttled(reasons: tuple[str, ...], lines: list[str]) -> None:
    view = fakes.view_of(5)
    assert view.sample is not None
    view = replace(view, sample=replace(view.sample, throttle_reasons=reasons))
    assert texts(sections.trend_rows(view, 80, UNICODE))[4:] == lines


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("threshold", ["< 0.6", ">= 0.6", ">= 1 of 8 cores"])
def test_a_threshold_is_shown_whole(threshold: str, width: int) -> None:
    items = (make.make_evidence_item(threshold=threshold), make.make_evidence_item(threshold=None))
    rows = sections.evidence_rows(items, width)
    assert f" {threshold}" in text_of(rows[0])
    assert max(width_of(line) for line in rows) <= width


def test_how_sure_the_cause_is_stands_beside_it() -> None:
    view = fakes.view_of(2)
    assert view.verdict is not None
    view = replace(view, verdict=replace(view.verdict, cause_confidence=0.55))
    title = texts(sections.title_rows(view, 80, UNICODE))[1]
    assert title == "HOST 0.94  it waits for the input pipeline 0.55"
    assert "confidence 0.94, cause 0.55" in texts(sections.verdict_rows(view, 80, UNICODE))[0]


@pytest.mark.parametrize("width", [76, 80, 118, 120, 160, 240])
@pytest.mark.parametrize("gpu", range(8))
def test_detail_fits_every_width(width: int, gpu: int) -> None:
    rows = sections.detail_rows(fakes.view_of(gpu), fakes.findings(), width, 8, UNICODE)
    assert max(width_of(line) for line in rows) <= width


@pytest.mark.parametrize(("width", "height"), [(80, 7), (80, 20), (120, 12), (200, 44)])
def test_preview_fits_its_place(width: int, height: int) -> None:
    rows = sections.preview_rows(fakes.view_of(2), fakes.findings(), width, height, UNICODE)
    assert len(rows) <= height
    assert max(width_of(line) for line in rows) <= width


@pytest.mark.parametrize("width", [60, 90, 140])
def test_a_finding_in_full(width: int) -> None:
    text = "\n".join(texts(full_rows(make.make_finding(gpu=2), width, UNICODE)))
    for words in (
        "HOST003 on GPU 2",
        "confidence 0.94",
        "8 of 8 loader workers",
        "time with nothing running",
        "Every second without a batch",
        "1. Set `num_workers=14`.",
        "2. Or decode on the GPU",
        "1.40× to 1.60× throughput",
        "no fix of this kind can exceed 1.61×",
        "at most $2.61 per hour",
        "GPM gr_active, 300 sub-wi",
    ):
        assert words in text


def test_findings_are_ranked_by_dollars_and_keep_their_order_while_the_same_are_listed() -> None:
    found = fakes.findings()
    keys = [finding_key(finding) for finding in ranked(found)]
    assert [key.split()[0] for key in keys] == ["IDLE002", "HOST003", "MEM001"]
    changed = [replace(finding, usd_h=1.0 if finding.code == "IDLE002" else 5.0) for finding in found]
    assert [finding_key(finding) for finding in ranked(changed, keys)] == keys
    assert ranked([*changed, make.make_finding("NEW001", usd_h=9.0)], keys)[0].code == "NEW001"


def test_without_price_findings_are_ranked_by_share() -> None:
    found = [make.make_finding(code, usd_h=None, share=share) for code, share in (("A", 0.1), ("B", 0.6))]
    assert [finding.code for finding in ranked(found)] == ["B", "A"]


def test_money_sums_agree_both_ways() -> None:
    lines = texts(money_rows(fakes.node().diagnosis, 100, UNICODE))
    head = lines[1].split()
    table = {line.split()[0 if line.startswith("node") else 1]: line.split() for line in lines[2:11]}
    won = head.index("recoverable")
    cents = {
        name: [
            0 if cell == "–" or place == won else round(float(cell) * 100)
            for place, cell in enumerate(cells[-len(head) :])
        ]
        for name, cells in table.items()
    }
    node = cents.pop("node")
    assert node == [sum(row[column] for row in cents.values()) for column in range(len(head))]
    for row in [*cents.values(), node]:
        assert sum(row[:-3]) == row[-1] >= row[-3]
    assert node[-1] == 8 * 688


@pytest.mark.parametrize("width", [78, 100, 160, 200])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("horizon", HORIZONS)
def test_money_fits_every_width(width: int, view: View, horizon: Horizon) -> None:
    rows = money_rows(fakes.node().diagnosis, width, UNICODE, view, horizon)
    assert max(width_of(line) for line in rows) <= width


def test_money_by_job_and_in_a_narrow_terminal() -> None:
    lines = texts(money_rows(fakes.node().diagnosis, 80, UNICODE, "job", "month"))
    assert lines[0].startswith("─ dollars per month, by job")
    job = next(line for line in lines if line.startswith("train_vit.py slurm:4702"))
    assert job.split()[2:5] == ["5,022.40", "3,756.76", "1,434.97–1,883.40"]
    assert next(line for line in lines if line.startswith("fleet")).split()[1:4] == ["5,022.40"] * 3
    assert next(line for line in lines if line.startswith("node")).split()[1:3] == ["40,179.20", "30,054.04"]
    assert "a month is 730 h at the rates of this window" in lines


def test_money_by_term_says_who_could_win_back_what_and_why() -> None:
    lines = texts(money_rows(fakes.node().diagnosis, 80, UNICODE, "node"))
    gap = next(number for number, line in enumerate(lines) if line.startswith("host gap"))
    assert lines[gap].split() == ["host", "gap", "5.23", "10", "%", "1.97–5.20", "job", "owner"]
    assert "HOST003" in lines[gap + 1] and "1/(1-h)" in lines[gap + 1]
    link = next(number for number, line in enumerate(lines) if line.startswith("communication"))
    assert "not known" in lines[link] and "no finding" in lines[link + 1]
    wasted = next(line for line in lines if line.startswith("wasted"))
    assert wasted.split() == ["wasted", "41.17", "75", "%", "10.75–21.20"]


def test_money_of_instances_stands_below_their_gpu() -> None:
    verdicts = [make.make_verdict("host", gpu=0, mig=f"3g.40gb/{i}") for i in (1, 2)]
    rows = tuple(make.make_ladder(verdict, price_usd_h=3.0) for verdict in verdicts)
    lines = texts(money_rows(make.make_diagnosis(verdicts=verdicts, ladder=rows), 100, UNICODE))
    assert [line.split()[0] for line in lines[2:6]] == ["GPU", "3g.40gb/1", "3g.40gb/2", "node"]
    assert lines[2].split()[-1] == lines[5].split()[-1] == "6.00"


def test_money_marks_a_job_that_shares_its_gpu() -> None:
    verdict = make.make_verdict("host", workload=make.make_workload(others=2))
    lines = texts(money_rows(make.make_diagnosis(verdicts=[verdict]), 100, UNICODE, "job"))
    assert lines[2].startswith("train_vit.py slurm:4711 *")
    assert "* shares a GPU with other processes; all of it is counted here" in lines


def test_money_of_one_device_says_what_is_recoverable() -> None:
    view = fakes.view_of(2)
    found = [each for each in fakes.findings() if each.gpu == 2]
    assert texts(sections.ladder_rows(view.ladder, 60, UNICODE, found))[-1] == (
        "  $1.97 to $2.58 recoverable: HOST003"
    )
    bare = make.make_ladder(view.verdict, price_usd_h=None)
    assert texts(sections.ladder_rows(bare, 60, UNICODE, found))[-1] == (
        "  29 % to 38 % recoverable: HOST003"
    )
    assert texts(sections.ladder_rows(view.ladder, 60, UNICODE))[-1] == "  up to $2.62 recoverable"
    assert view.verdict is not None
    silent = replace(view.verdict, cause="no-demand")
    rows = sections.ladder_rows(view.ladder, 60, UNICODE, (), silent)
    assert "recoverable" not in "".join(texts(rows))


def test_money_without_prices_gives_shares_and_advice() -> None:
    text = "\n".join(texts(money_rows(make.make_diagnosis("host", price_usd_h=None), 80, UNICODE)))
    assert "--price" in text
    assert "host gap 38 %" in text
    assert "recoverable 29 % to 38 %" in " ".join(text.split())


def test_money_where_only_some_have_a_price() -> None:
    diagnosis = make.make_diagnosis("host", "idle")
    ladder = (diagnosis.ladder[0], make.make_ladder(diagnosis.verdicts[1], price_usd_h=None))
    lines = texts(money_rows(replace(diagnosis, ladder=ladder), 80, UNICODE))
    assert lines[3] == "GPU 1          no price known"
    assert lines[4].split()[-1] == "6.88"
