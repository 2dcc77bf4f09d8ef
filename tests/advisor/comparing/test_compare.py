"""What changed between two looks, and by how much."""

from __future__ import annotations

import math

import msgspec
import pytest

from advisor.comparing.compare import Wish, compare
from advisor.comparing.throughput import Work
from advisor.document import Diagnosis
from advisor.reports.common import Style
from advisor.reports.compare_view import finding_line
from advisor.reports.escape import terminal
from rules.compare.records import Comparison, Figure, Pair
from rules.finding import Effect
from rules.serving import ServingFigures
from rules.whatif import WhatIf
from tests.advisor.comparing.looks import (
    AFTER,
    BEFORE,
    make_look,
    make_row,
    with_device,
    with_provenance,
    without_series,
)
from tests.factories import T0_S, device_key, make_finding, make_workload

NAMES = ("a.json", "b.json")
LATER = T0_S + 600.0


def compared(a: Diagnosis, b: Diagnosis, **wish: object) -> Comparison:
    return compare(a, b, NAMES, Wish(**wish))  # type: ignore[arg-type]


def the_pair(a: Diagnosis, b: Diagnosis, **wish: object) -> Pair:
    (pair,) = compared(a, b, **wish).pairs
    return pair


def figure(pair: Pair, name: str) -> Figure:
    return next(f for f in pair.figures if f.name == name)


def test_a_gap_that_closed() -> None:
    pair = the_pair(BEFORE, AFTER)
    gap = figure(pair, "host")
    assert gap.change == pytest.approx(-0.3)
    assert gap.low is not None
    assert gap.high is not None
    assert gap.low < -0.3 < gap.high < 0.0
    assert (gap.says, gap.better) == ("down", "down")
    assert figure(pair, "useful").says == "up"
    assert figure(pair, "wasted_usd").says == "down"
    assert pair.throughput.factor == pytest.approx(0.9 / 0.6)
    assert pair.throughput.basis == "estimate"
    assert pair.throughput.low is not None
    assert 1.4 < pair.throughput.low < 1.5


def test_dollars_follow_the_ladder() -> None:
    pair = the_pair(BEFORE, AFTER)
    wasted = figure(pair, "wasted_usd")
    assert wasted.a == BEFORE.ladder[0].wasted_usd_h
    assert wasted.b == AFTER.ladder[0].wasted_usd_h
    (total,) = compared(BEFORE, AFTER).totals
    assert total.change == wasted.change


def test_the_same_work_again_is_no_difference() -> None:
    again = make_look(make_row(0.4), at_s=LATER, seed=99)
    pair = the_pair(BEFORE, again)
    assert {f.says for f in pair.figures if f.low is not None} == {"no-difference"}
    assert pair.throughput.says == "no-difference"


def test_energy_for_the_same_work() -> None:
    pair = the_pair(BEFORE, AFTER)
    watts = [figure(pair, "power").a, figure(pair, "power").b]
    assert watts[0] is not None
    assert watts[1] is not None
    assert pair.throughput.energy == pytest.approx(watts[1] / watts[0] / 1.5)


def test_watts_are_joules_between_readings_of_the_counter() -> None:
    """1 s lies between them in a look of 60 s."""
    (seen,) = without_series(BEFORE).observed
    read = msgspec.structs.replace(seen.evidence, energy_j=700.0, energy_s=1.0)
    look = msgspec.structs.replace(BEFORE, observed=(msgspec.structs.replace(seen, evidence=read),))
    found = figure(the_pair(look, look), "power")
    assert (found.a, found.b) == (700.0, 700.0)


def test_without_a_series_there_is_a_change_and_no_interval() -> None:
    gap = figure(the_pair(without_series(BEFORE), AFTER), "host")
    assert gap.change == pytest.approx(-0.3)
    assert (gap.low, gap.says) == (None, "unclear")
    assert "A: the document has no time series" in (gap.no_interval or "")


def test_a_window_too_short_says_so() -> None:
    row = make_row(0.4)
    short = make_look(row)
    (seen,) = short.observed
    assert seen.series is not None
    cut = msgspec.structs.replace(
        seen.series,
        t_s=seen.series.t_s[:10],
        duration_s=seen.series.duration_s[:10],
        useful_frac=seen.series.useful_frac[:10],
        shares={k: v[:10] for k, v in seen.series.shares.items()},
        figures={},
    )
    short = msgspec.structs.replace(short, observed=(msgspec.structs.replace(seen, series=cut),))
    pair = the_pair(short, AFTER)
    assert "too short: 6.0 s in 10 samples" in (figure(pair, "host").no_interval or "")
    assert "too short" in (pair.throughput.no_interval or "")


def test_a_damaged_series_is_no_series() -> None:
    (seen,) = BEFORE.observed
    assert seen.series is not None
    broken = msgspec.structs.replace(seen.series, useful_frac=(0.5,))
    look = msgspec.structs.replace(BEFORE, observed=(msgspec.structs.replace(seen, series=broken),))
    assert "damaged" in (figure(the_pair(look, AFTER), "host").no_interval or "")


# --- refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (with_provenance(AFTER, synthetic=False), "synthetic"),
        (make_look(make_row(0.1, tier="nvml"), at_s=LATER), "tier"),
        (make_look(make_row(0.1, device_name="NVIDIA Simulated Y200"), at_s=LATER), "model"),
        (make_look(make_row(0.1, mig="1g.10gb/7"), at_s=LATER), "mig"),
    ],
)
def test_other_methods_are_refused(other: Diagnosis, code: str) -> None:
    found = compared(BEFORE, other)
    (pair,) = found.pairs
    assert code in (found.refused or "")
    assert pair.figures == ()
    assert pair.throughput.factor is None
    assert any(d.code == code and d.weight == "blocking" for d in (*found.differences, *pair.differences))


def test_force_gives_figures_and_marks_every_one() -> None:
    found = compared(BEFORE, make_look(make_row(0.1, tier="nvml"), at_s=LATER), force=True)
    (pair,) = found.pairs
    assert found.forced
    assert all(f.forced for f in pair.figures if f.change is not None)
    assert pair.throughput.forced
    assert all(f.forced for f in found.totals)


def test_cards_can_be_what_is_compared() -> None:
    other = make_look(make_row(0.1, device_name="NVIDIA Simulated Y200"), at_s=LATER, price_usd_h=9.0)
    pair = the_pair(BEFORE, other, cards=True, work=Work(10.0, 20.0))
    assert pair.refused is None
    assert pair.throughput.factor == 2.0
    assert figure(pair, "wasted_usd").change is not None
    assert the_pair(BEFORE, other, cards=True).throughput.refused is not None


def test_other_ceilings_refuse_roofs_and_leave_gaps() -> None:
    other = make_look(make_row(0.1, ceilings_label="measured"), at_s=LATER)
    (seen,) = other.observed
    assert seen.ceilings is not None
    readings = tuple(msgspec.structs.replace(r, frac=0.5) for r in seen.ceilings.readings)
    moved = msgspec.structs.replace(seen, ceilings=msgspec.structs.replace(seen.ceilings, readings=readings))
    pair = the_pair(BEFORE, msgspec.structs.replace(other, observed=(moved,)))
    assert figure(pair, "host").change is not None
    assert figure(pair, "power").change is not None
    for name in ("useful", "wasted", "memory", "dram_roof", "wasted_usd"):
        assert "ceilings" in (figure(pair, name).refused or ""), name
    assert "ceilings" in (pair.throughput.refused or "")


def test_another_label_with_the_same_readings_refuses_nothing() -> None:
    pair = the_pair(BEFORE, make_look(make_row(0.1, ceilings_label="measured"), at_s=LATER))
    assert all(f.refused is None for f in pair.figures)


def test_another_price_refuses_dollars_alone() -> None:
    found = compared(BEFORE, make_look(make_row(0.1), at_s=LATER, price_usd_h=3.0))
    (pair,) = found.pairs
    assert "price" in (figure(pair, "wasted_usd").refused or "")
    assert figure(pair, "wasted").change is not None
    assert found.totals[0].change is None


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (make_row(0.1, pipe="fp32"), "precision"),
        (make_row(0.1, workload=make_workload("other.py")), "workload"),
        (make_row(0.1, shares={**make_row(0.1).shares, "memory": 0.0, "compute": 0.72}), "mix"),
    ],
)
def test_other_work_is_not_estimated(row: object, code: str) -> None:
    pair = the_pair(BEFORE, make_look(row, at_s=LATER))  # type: ignore[arg-type]
    assert code in (pair.throughput.refused or "")
    assert figure(pair, "host").change is not None
    counted = the_pair(BEFORE, make_look(row, at_s=LATER), work=Work(1.0, 1.1))  # type: ignore[arg-type]
    assert counted.throughput.factor == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (with_provenance(AFTER, driver_version="999.1"), "driver"),
        (with_provenance(AFTER, cuda_version=None), "cuda"),
        (with_provenance(AFTER, advisor_version="0.2.0"), "advisor"),
        (with_provenance(AFTER, host="node-other"), "node"),
        (with_provenance(AFTER, gpm_interval_s=1.0), "sub-window"),
        (with_provenance(AFTER, t_end_s=LATER + 600.0), "window"),
        (with_provenance(AFTER, t_start_s=T0_S + 30.0), "overlap"),
        (with_provenance(AFTER, ignore=("HOST",)), "rules"),
        (with_device(AFTER, power_limit_w=500.0), "power-limit"),
        (with_device(AFTER, ecc_enabled=False), "ecc"),
        (with_device(AFTER, thermally_settled=False), "settled"),
        (with_device(AFTER, sm_mhz_max=1500.0), "clock-limit"),
        (make_look(make_row(0.1, workload=make_workload(others=2)), at_s=LATER), "processes"),
    ],
)
def test_differences_weaken_and_are_listed(other: Diagnosis, code: str) -> None:
    found = compared(BEFORE, other)
    (pair,) = found.pairs
    (named,) = [d for d in (*found.differences, *pair.differences) if d.code == code]
    assert named.weight == "weakening"
    assert named.effect
    assert pair.refused is None


def test_two_equal_looks_differ_in_nothing_that_weakens() -> None:
    found = compared(BEFORE, make_look(make_row(0.4), at_s=LATER))
    said = [d for d in (*found.differences, *found.pairs[0].differences) if d.weight != "info"]
    assert said == []


def test_order_and_the_same_look_are_told() -> None:
    assert "order" in {d.code for d in compared(AFTER, BEFORE).differences}
    assert "same-look" in {d.code for d in compared(BEFORE, BEFORE).differences}


# --- throughput, findings, predictions -------------------------------------------------------------


def served(tok_s: float | None, **more: object) -> ServingFigures:
    """An engine on the first GPU, with ten requests running unless said otherwise."""
    said: dict[str, object] = {"keys": (device_key(0),), "running": 10.0, "waiting": 0.0, **more}
    return ServingFigures(
        endpoint="127.0.0.1:8000",
        engine="vllm",
        t_start_s=0.0,
        t_end_s=60.0,
        generation_tok_s=tok_s,
        **said,  # type: ignore[arg-type]
    )


def serving(a: ServingFigures, b: ServingFigures) -> tuple[Diagnosis, Diagnosis]:
    return msgspec.structs.replace(BEFORE, serving=(a,)), msgspec.structs.replace(AFTER, serving=(b,))


@pytest.mark.parametrize("keys", [(), ("GPU-another",)])
def test_an_engine_that_is_not_known_to_run_on_the_card_is_not_its_work(keys: tuple[str, ...]) -> None:
    got = the_pair(*serving(served(2347.0, keys=keys), served(69.8, keys=keys, running=0.4))).throughput
    assert (got.basis, got.demand) == ("estimate", "")
    assert got.factor == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("a", "b", "held"),
    [
        ({}, {}, True),
        ({"running": 10.0}, {"running": 10.9}, True),
        ({"running": 10.0}, {"running": 3.0}, False),
        ({"running": 10.0, "waiting": 4.0}, {"running": 30.0, "waiting": 1.5}, True),
        ({"running": 10.0, "waiting": 4.0}, {"running": 30.0, "waiting": 0.0}, False),
        ({"running": 0.1}, {"running": 0.1}, False),
        ({"running": None, "waiting": None}, {}, False),
    ],
)
def test_tokens_are_throughput_only_where_demand_was_the_same(
    a: dict[str, object], b: dict[str, object], held: bool
) -> None:
    got = the_pair(*serving(served(100.0, **a), served(50.0, **b))).throughput
    assert got.basis == ("serving" if held else "estimate")
    assert got.factor == pytest.approx(0.5 if held else 1.5)
    assert (got.demand == "") is held
    assert held or "100 to 50 tokens/s" in got.demand


def test_an_engine_that_was_asked_in_one_look_alone_is_other_demand() -> None:
    a, _ = serving(served(100.0), served(100.0))
    assert "in A alone" in the_pair(a, AFTER).throughput.demand


def test_tokens_come_before_an_estimate_and_work_before_tokens() -> None:
    a = msgspec.structs.replace(BEFORE, serving=(served(100.0),))
    b = msgspec.structs.replace(AFTER, serving=(served(130.0),))
    got = the_pair(a, b).throughput
    assert got.basis == "serving"
    assert got.factor == pytest.approx(1.3)
    assert the_pair(a, b, work=Work(2.0, 1.0)).throughput.factor == 0.5
    assert the_pair(a, msgspec.structs.replace(AFTER, serving=(served(None),))).throughput.basis == "estimate"


def test_nothing_useful_is_no_divisor() -> None:
    idle = make_look(make_row(1.0, useful_frac=0.0), at_s=LATER)
    assert "next to nothing" in (the_pair(idle, AFTER).throughput.refused or "")
    assert the_pair(BEFORE, idle).throughput.factor == 0.0


def test_findings_that_came_went_and_stayed() -> None:
    a = make_look(make_row(0.4), findings=(make_finding("HOST003"), make_finding("MEM001")))
    b = make_look(make_row(0.1), at_s=LATER, findings=(make_finding("MEM001"), make_finding("COMP001")))
    found = {f.code: f.state for f in the_pair(a, b).findings}
    assert found == {"COMP001": "came", "HOST003": "went", "MEM001": "stayed"}


def test_dust_of_dollars_is_none_and_both_are_said_in_one_unit() -> None:
    a = make_look(make_row(0.4), findings=(make_finding("COMP005", usd_h=3.4e-14, share=0.6),))
    b = make_look(make_row(0.1), at_s=LATER, findings=(make_finding("COMP005", usd_h=1.5, share=0.7),))
    (found,) = the_pair(a, b).findings
    assert (found.usd_h_a, found.usd_h_b) == (0.0, 1.5)
    style = Style(terminal, terminal)
    assert "($0.00/h -> $1.50/h)" in finding_line(found, style)
    assert "(0.60 of the time -> 0.60 of the time)" in finding_line(the_pair(a, a).findings[0], style)


def test_predicted_against_realised() -> None:
    expected = WhatIf(
        fix="host-gap",
        title="remove the host gap",
        key=device_key(0),
        gpu=0,
        codes=("HOST003",),
        effect=Effect(low=1.4, high=1.67, basis="invented"),
        price_usd_h=6.88,
    )
    a = make_look(make_row(0.4), findings=(make_finding("HOST003"),), what_ifs=(expected,))
    (found,) = the_pair(a, AFTER).predictions
    assert (found.says, found.made) == ("inside", True)
    assert found.saving_usd_h == pytest.approx(6.88 * (1 - 1 / 1.5))


# --- matching ---------------------------------------------------------------------------------------


def test_rows_are_matched_whatever_their_order() -> None:
    rows = [make_row(0.1 * (i + 1), gpu=i) for i in range(4)]
    found = compared(make_look(*rows), make_look(*reversed(rows), at_s=LATER))
    assert [(p.a.key, p.matched_by) for p in found.pairs] == [(r.key, "uuid") for r in rows]
    assert all(p.a.key == p.b.key for p in found.pairs)
    assert math.isclose(found.totals[0].change or 0.0, 0.0, abs_tol=1e-9)


def test_another_node_is_matched_by_index_and_the_rest_is_listed() -> None:
    a = make_look(make_row(gpu=0), make_row(gpu=1))
    b = make_look(
        make_row(gpu=0, key="GPU-other-0", workload=None),
        make_row(gpu=5, key="GPU-other-5", workload=None),
        make_row(gpu=6, key="GPU-other-6", workload=None),
        at_s=LATER,
    )
    found = compared(a, b)
    assert [p.matched_by for p in found.pairs] == ["index"]
    assert [s.gpu for s in found.only_a] == [1]
    assert [s.gpu for s in found.only_b] == [5, 6]
    assert "card" in {d.code for d in found.pairs[0].differences}


def test_a_workload_that_moved_is_followed() -> None:
    a = make_look(make_row(gpu=0, workload=make_workload("x")), make_row(gpu=1, workload=make_workload("y")))
    b = make_look(
        make_row(gpu=2, workload=make_workload("y")), make_row(gpu=3, workload=make_workload("x")), at_s=LATER
    )
    found = compared(a, b)
    assert {(p.a.gpu, p.b.gpu, p.matched_by) for p in found.pairs} == {(0, 3, "workload"), (1, 2, "workload")}


def test_asked_for() -> None:
    a, b = (
        make_look(make_row(gpu=0), make_row(gpu=1)),
        make_look(make_row(gpu=2), make_row(gpu=3), at_s=LATER),
    )
    (pair,) = compared(a, b, pairs=("0=3",)).pairs
    assert (pair.a.gpu, pair.b.gpu, pair.matched_by) == (0, 3, "asked")
    assert len(compared(a, a, gpu="1").pairs) == 1
    assert compared(a, b, gpu=None).pairs == ()
    assert compared(a, b).refused


def test_nothing_in_common() -> None:
    found = compared(BEFORE, make_look(verdicts=(), ladder=(), observed=()))
    assert found.refused == "the two have no GPU in common"
    assert found.only_a
